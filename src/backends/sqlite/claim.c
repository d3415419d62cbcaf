/* SPDX-License-Identifier: Apache-2.0
 * Claiming: which subscriptions to ask in this round ("hungry": credit, and perhaps messages), and
 * taking for those without order: first what waits to be delivered again and is due, then what the
 * group has not read, highest priority first. The writer's thread. */
#include "work.h"

#include "base/alloc.h"

enum { RETRIES_AT_ONCE = 256, LOGS_AT_ONCE = 64 };

uint32_t marty__sq_credit(marty_port *port, const sq_sub *sub)
{
    marty__lock(&port->lock);
    uint32_t credit = sub->credit;
    marty__unlock(&port->lock);
    return credit;
}

void marty__sq_feed(marty_port *port, sq_sub *sub)
{
    sub->maybe = true;
    if (sub->ready && !sub->gone && !sub->hungry.next && marty__sq_credit(port, sub) > 0) {
        marty__list_push(&port->hungry, &sub->hungry);
    }
}

static void feed_list(marty_port *port, marty__link *head)
{
    for (marty__link *link = head->next; link != head; link = link->next) {
        marty__sq_feed(port, MARTY__OWNER(link, sq_sub, bucket));
    }
}

void marty__sq_feed_bit(marty_port *port, unsigned bit)
{
    feed_list(port, &port->buckets[bit]);
}

void marty__sq_feed_wild(marty_port *port)
{
    feed_list(port, &port->wild);
}

void marty__sq_feed_all(marty_port *port)
{
    feed_list(port, &port->wild);
    for (unsigned bit = 0; bit < SQ_NEWS_BITS; bit++) {
        feed_list(port, &port->buckets[bit]);
    }
}

/* ---- without order */
typedef struct waiting {
    int64_t message;
    uint32_t attempt;
} waiting;

static int take_retries(marty_port *port, sq_taking *taking)
{
    int code;
    waiting due[RETRIES_AT_ONCE];
    size_t count = 0;
    uint32_t limit = taking->room < RETRIES_AT_ONCE ? taking->room : RETRIES_AT_ONCE;
    int64_t grp = taking->sub->grp;
    sqlite3_stmt *rows = marty__sq_statement(&port->db, SQ_RETRY_DUE, 0, &code);
    code = code ? code : marty__sq_bind(rows, SQ_I(grp, port->now_us, limit));
    while (!code && (code = marty__sq_step(&port->db, rows)) == SQLITE_ROW) {
        code = SQLITE_OK;
        due[count].message = sqlite3_column_int64(rows, 0);
        due[count++].attempt = (uint32_t)sqlite3_column_int64(rows, 1);
    }
    code = code == SQLITE_DONE ? SQLITE_OK : code;
    if (rows) {
        (void)sqlite3_reset(rows);
    }
    for (size_t i = 0; i < count && !code; i++) {
        if (marty__sq_taking_full(port, taking)) {
            taking->more = true;
            break;
        }
        code = marty__sq_do(&port->db, SQ_RETRY_REMOVE, 0, SQ_I(grp, due[i].message));
        code = code ? code
                    : marty__sq_taking_add_one(port, taking, due[i].message, due[i].attempt + 1);
    }
    taking->more = taking->more || count == RETRIES_AT_ONCE;
    return code;
}

static int take_log(marty_port *port, sq_taking *taking, int64_t log, int64_t from, int64_t end)
{
    int code;
    int64_t first = marty__sq_first_of(log), next = from;
    uint32_t have = taking->claim ? taking->claim->count : 0;
    uint32_t limit = taking->room > have ? taking->room - have : 0;
    sqlite3_stmt *rows =
        marty__sq_statement(&port->db, SQ_MESSAGE_RANGE, marty__sq_table_of(first), &code);
    code = code ? code : marty__sq_bind(rows, SQ_I(first + from, first + end, (int64_t)limit));
    uint32_t seen = 0;
    while (!code && !marty__sq_taking_full(port, taking) &&
           (code = marty__sq_step(&port->db, rows)) == SQLITE_ROW) {
        sq_row row;
        marty__sq_row_columns(rows, &row);
        code = marty__sq_taking_add(port, taking, &row, 1);
        next = marty__sq_place_of(row.id) + 1;
        seen++;
    }
    next = code == SQLITE_DONE && seen < limit ? end : next;
    code = code == SQLITE_DONE ? SQLITE_OK : code;
    if (rows) {
        (void)sqlite3_reset(rows);
    }
    taking->more = taking->more || next < end;
    return code || next == from
               ? code
               : marty__sq_do(&port->db, SQ_CURSOR_SET, 0, SQ_I(taking->sub->grp, log, next));
}

static int take_news(marty_port *port, sq_taking *taking)
{
    int code;
    int64_t logs[LOGS_AT_ONCE][3];
    size_t count = 0;
    sqlite3_stmt *rows = marty__sq_statement(&port->db, SQ_CURSOR_NEWS, 0, &code);
    code = code ? code : marty__sq_bind(rows, SQ_I(taking->sub->grp));
    while (!code && count < LOGS_AT_ONCE &&
           (code = marty__sq_step(&port->db, rows)) == SQLITE_ROW) {
        code = SQLITE_OK;
        for (int i = 0; i < 3; i++) {
            logs[count][i] = sqlite3_column_int64(rows, i);
        }
        count++;
    }
    taking->more = taking->more || count == LOGS_AT_ONCE;
    code = code == SQLITE_DONE ? SQLITE_OK : code;
    if (rows) {
        (void)sqlite3_reset(rows);
    }
    for (size_t i = 0; i < count && !code; i++) {
        if (marty__sq_taking_full(port, taking)) {
            taking->more = true;
            break;
        }
        code = take_log(port, taking, logs[i][0], logs[i][1], logs[i][2]);
    }
    return code;
}

/* ---- all of them */
/* When the next of those that wait may go. */
static int arm(marty_port *port, sq_sub *sub)
{
    int64_t due_us = 0;
    bool found = false;
    int code =
        marty__sq_get(&port->db, SQ_RETRY_NEXT, SQ_I(sub->grp, port->now_us), &due_us, 1, &found);
    if (!code && found && due_us) {
        marty__heap_add(&port->due, &sub->due, port->now_ns + (due_us - port->now_us) * 1000);
    } else if (!code) {
        marty__heap_remove(&port->due, &sub->due);
    }
    return code;
}

static int claim_for(marty_port *port, sq_sub *sub)
{
    uint32_t credit = marty__sq_credit(port, sub);
    sq_taking taking = {.sub = sub, .room = credit < SQ_CLAIM_MAX ? credit : SQ_CLAIM_MAX};
    int code = SQLITE_OK;
    if (!taking.room) {
        return SQLITE_OK;
    }
    if (sub->ordered) {
        code = marty__sq_claim_ordered(port, &taking);
    } else {
        code = take_retries(port, &taking);
        code = code ? code : take_news(port, &taking);
    }
    code = code ? code : marty__sq_taking_end(port, &taking);
    code = code ? code : arm(port, sub);
    sub->maybe = taking.more;
    return code;
}

int marty__sq_claims_run(marty_port *port)
{
    marty__link *link;
    int code = SQLITE_OK;
    while (!code && port->delivery_bytes < SQ_ROUND_BYTES &&
           (link = marty__list_pop(&port->hungry)) != NULL) {
        sq_sub *sub = MARTY__OWNER(link, sq_sub, hungry);
        marty__list_push(&port->fed, &sub->hungry);
        sub->cursor_next = sub->cursor;
        if (marty__sq_kind_keeps(sub->channel->kind)) {
            code = claim_for(port, sub);
        } else if (sub->channel->kind == MARTY_KIND_BROADCAST) {
            code = marty__sq_post_listen(port, sub);
        } else {
            code = marty__sq_post_take(port, sub);
        }
    }
    return code;
}

static int probe(marty_port *port, const sq_sub *sub, bool *ret_any)
{
    int64_t log = 0;
    if (!marty__sq_kind_keeps(sub->channel->kind)) {
        return marty__sq_post_pending(port, sub, ret_any);
    }
    int code = marty__sq_get(&port->db, SQ_CURSOR_NEWS, SQ_I(sub->grp), &log, 1, ret_any);
    if (!code && !*ret_any) {
        code = marty__sq_get(&port->db, SQ_RETRY_DUE, SQ_I(sub->grp, port->now_us, 1), &log, 1,
                             ret_any);
    }
    return code;
}

int marty__sq_claims_probe(marty_port *port, bool *ret_any)
{
    marty__link *link, later;
    int code = SQLITE_OK;
    *ret_any = false;
    marty__list_init(&later);
    while (!code && (link = marty__list_pop(&port->hungry)) != NULL) {
        sq_sub *sub = MARTY__OWNER(link, sq_sub, hungry);
        bool any = false;
        if (sub->channel->kind == MARTY_KIND_BROADCAST) {
            marty__list_push(&port->fed, &sub->hungry);
            sub->cursor_next = sub->cursor;
            code = marty__sq_post_listen(port, sub);
            continue;
        }
        code = probe(port, sub, &any);
        if (code || any) {
            marty__list_push(&later, &sub->hungry);
        } else {
            sub->maybe = false;
            code = sub->grp ? arm(port, sub) : SQLITE_OK;
        }
        *ret_any = *ret_any || any;
    }
    marty__list_move(&port->hungry, &later);
    return code;
}

/* ---- the end of a round */
static void forget(marty_port *port, sq_claim *claim)
{
    marty__lock(&port->lock);
    (void)marty__map_take_u64(&port->claims, claim->serial);
    marty__unlock(&port->lock);
    marty__sq_claim_free(port, claim);
}

/* Once until they are fewer. */
static void say_parked(marty_port *port, sq_sub *sub)
{
    if (sub->parked_full && !sub->parked_told) {
        marty_port_log(port->sink, 1,
                       "%s: %d messages of group %s wait for keys that others hold or that are "
                       "tried again; it reads no further until some of them have gone on",
                       sub->channel->name, (int)SQ_PARKED_MAX, sub->group ? sub->group : "");
    }
    sub->parked_told = sub->parked_full;
}

void marty__sq_claims_end(marty_port *port, bool committed)
{
    marty__link *link;
    while ((link = marty__list_pop(&port->new_claims)) != NULL) {
        sq_claim *claim = MARTY__OWNER(link, sq_claim, link);
        if (committed) {
            marty__list_push(&claim->sub->claims, &claim->link);
        } else {
            forget(port, claim);
        }
    }
    while ((link = marty__list_pop(&port->fed)) != NULL) {
        sq_sub *sub = MARTY__OWNER(link, sq_sub, hungry);
        sub->cursor = committed ? sub->cursor_next : sub->cursor;
        if (committed) {
            say_parked(port, sub);
        }
        if (!committed || sub->maybe) {
            marty__sq_feed(port, sub);
        }
    }
}

void marty__sq_claim_free(marty_port *port, sq_claim *claim)
{
    (void)port;
    marty_free(claim);
}
