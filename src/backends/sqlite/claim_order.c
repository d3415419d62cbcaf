/* SPDX-License-Identifier: Apache-2.0
 * Claiming where order by key is asked: a key that another member has unsettled is left to it, one
 * that waits (given back, retried with a delay) holds up what comes after it. What is passed by
 * that way is parked in the queue of its group, at its place, so that the group's cursor can go on;
 * a group parks a bounded number, then it waits, and the log says so. The writer's thread. */
#include "work.h"

#include "base/alloc.h"
#include "base/map.h"

enum { PAGE = 64, SCANNED_MAX = 8192 };

typedef struct ordering { /* keys that may not be taken: the map's values say nothing */
    marty_port *port;
    sq_taking *taking;
    marty__map blocked;
    int64_t parked;
} ordering;

static int block(ordering *order, int64_t key)
{
    return marty__map_put_u64(&order->blocked, (uint64_t)key, order) ? SQLITE_OK : SQLITE_NOMEM;
}

static bool is_blocked(const ordering *order, int64_t key)
{
    return marty__map_get_u64(&order->blocked, (uint64_t)key) != NULL;
}

/* Keys that other members have. */
static int read_busy(ordering *order)
{
    int code;
    marty_port *port = order->port;
    sqlite3_stmt *rows = marty__sq_statement(&port->db, SQ_CLAIM_OF_GROUP, 0, &code);
    code = code ? code : marty__sq_bind(rows, SQ_I(order->taking->sub->grp));
    while (!code && (code = marty__sq_step(&port->db, rows)) == SQLITE_ROW) {
        sq_held *held = NULL;
        size_t count = 0;
        code = SQLITE_OK;
        if ((uint64_t)sqlite3_column_int64(rows, 1) == port->member) {
            continue;
        }
        code = marty__sq_items_unpack(sqlite3_column_blob(rows, 4),
                                      (size_t)sqlite3_column_bytes(rows, 4), &held, &count);
        for (size_t i = 0; i < count && !code; i++) {
            code = block(order, held[i].key);
        }
        marty_free(held);
    }
    if (rows) {
        (void)sqlite3_reset(rows);
    }
    return code == SQLITE_DONE ? SQLITE_OK : code;
}

/* ---- what waits, by place */
typedef struct place {
    int64_t message, due_us, key;
    uint32_t attempt;
} place;

static int read_page(ordering *order, int64_t after, place page[PAGE], size_t *ret_count)
{
    int code;
    marty_port *port = order->port;
    size_t count = 0;
    sqlite3_stmt *rows = marty__sq_statement(&port->db, SQ_RETRY_PLACES, 0, &code);
    code = code ? code : marty__sq_bind(rows, SQ_I(order->taking->sub->grp, after, PAGE));
    while (!code && (code = marty__sq_step(&port->db, rows)) == SQLITE_ROW) {
        code = SQLITE_OK;
        page[count++] = (place){.message = sqlite3_column_int64(rows, 0),
                                .attempt = (uint32_t)sqlite3_column_int64(rows, 1),
                                .due_us = sqlite3_column_int64(rows, 2),
                                .key = sqlite3_column_int64(rows, 3)};
    }
    if (rows) {
        (void)sqlite3_reset(rows);
    }
    *ret_count = count;
    return code == SQLITE_DONE ? SQLITE_OK : code;
}

static int take_place(ordering *order, const place *one)
{
    marty_port *port = order->port;
    bool free = !is_blocked(order, one->key) && one->due_us <= port->now_us;
    if (!free || marty__sq_taking_full(port, order->taking)) {
        order->taking->more = order->taking->more || free;
        order->parked++;
        return block(order, one->key);
    }
    int code =
        marty__sq_do(&port->db, SQ_RETRY_REMOVE, 0, SQ_I(order->taking->sub->grp, one->message));
    return code ? code
                : marty__sq_taking_add_one(port, order->taking, one->message, one->attempt + 1);
}

/* All that waits is looked at, so that none of it is overtaken by what follows. */
static int take_waiting(ordering *order, bool *ret_all)
{
    place page[PAGE];
    size_t count = PAGE, scanned = 0;
    int64_t after = 0;
    int code = SQLITE_OK;
    while (count == PAGE && scanned < SCANNED_MAX && !code) {
        code = read_page(order, after, page, &count);
        for (size_t i = 0; i < count && !code; i++) {
            code = take_place(order, &page[i]);
        }
        after = count ? page[count - 1].message : after;
        scanned += count;
    }
    *ret_all = count < PAGE;
    return code;
}

/* ---- what the group has not read */
static int park(ordering *order, const sq_row *row)
{
    order->parked++;
    int code = block(order, row->key);
    return code ? code
                : marty__sq_do(&order->port->db, SQ_RETRY_ADD, 0,
                               SQ_I(order->taking->sub->grp, row->id, 0, 0, row->key));
}

static int take_log(ordering *order, const int64_t log[3])
{
    int code;
    marty_port *port = order->port;
    int64_t first = marty__sq_first_of(log[0]), next = log[1];
    sqlite3_stmt *rows =
        marty__sq_statement(&port->db, SQ_MESSAGE_RANGE, marty__sq_table_of(first), &code);
    code = code ? code : marty__sq_bind(rows, SQ_I(first + log[1], first + log[2], SCANNED_MAX));
    while (!code && !marty__sq_taking_full(port, order->taking) && order->parked < SQ_PARKED_MAX &&
           (code = marty__sq_step(&port->db, rows)) == SQLITE_ROW) {
        sq_row row;
        marty__sq_row_columns(rows, &row);
        code = is_blocked(order, row.key) ? park(order, &row)
                                          : marty__sq_taking_add(port, order->taking, &row, 1);
        next = marty__sq_place_of(row.id) + 1;
    }
    next = code == SQLITE_DONE && log[2] - log[1] <= SCANNED_MAX ? log[2] : next;
    code = code == SQLITE_DONE ? SQLITE_OK : code;
    if (rows) {
        (void)sqlite3_reset(rows);
    }
    order->taking->more = order->taking->more || (next < log[2] && order->parked < SQ_PARKED_MAX);
    return code || next == log[1] ? code
                                  : marty__sq_do(&port->db, SQ_CURSOR_SET, 0,
                                                 SQ_I(order->taking->sub->grp, log[0], next));
}

static int take_news(ordering *order)
{
    int64_t log[3], done = 0;
    int code = SQLITE_OK;
    for (bool found = true; found && !code;) {
        code = marty__sq_get(&order->port->db, SQ_CURSOR_NEWS_AFTER,
                             SQ_I(order->taking->sub->grp, done), log, 3, &found);
        code = code || !found ? code : take_log(order, log);
        done = log[0];
    }
    return code;
}

int marty__sq_claim_ordered(marty_port *port, sq_taking *taking)
{
    ordering order = {.port = port, .taking = taking};
    bool all = false;
    int code = read_busy(&order);
    code = code ? code : take_waiting(&order, &all);
    if (!code && all && !marty__sq_taking_full(port, taking)) {
        code = take_news(&order);
    } else if (!code && all) {
        taking->more = true;
    }
    taking->sub->parked_full = order.parked >= SQ_PARKED_MAX;
    marty__map_free(&order.blocked);
    return code;
}
