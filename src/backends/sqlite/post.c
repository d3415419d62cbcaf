/* SPDX-License-Identifier: Apache-2.0
 * What keeps nothing: queries, replies, broadcasts. Each is a row of marty_post for a moment: a
 * query or reply is removed when it is taken, a broadcast when it is a minute old; those who listen
 * to broadcasts have their place in memory, from now on. Commits of these alone wait for no disk.
 * The writer's thread. */
#include "work.h"

#include "base/alloc.h"

#include <string.h>

enum { KEEP_US = 60000000, AT_ONCE = 256 };

/* Somebody alive listens to the queries of a channel. */
static int has_responder(marty_port *port, int64_t channel, bool *ret_any)
{
    int code;
    *ret_any = false;
    sqlite3_stmt *rows = marty__sq_statement(&port->db, SQ_SUBSCRIBER_OF_CHANNEL, 0, &code);
    code = code ? code : marty__sq_bind(rows, SQ_I(channel));
    while (!code && !*ret_any && (code = marty__sq_step(&port->db, rows)) == SQLITE_ROW) {
        code = SQLITE_OK;
        *ret_any = marty__sq_shared_alive(&port->shared, sqlite3_column_int(rows, 1),
                                          (uint64_t)sqlite3_column_int64(rows, 0));
    }
    if (rows) {
        (void)sqlite3_reset(rows);
    }
    return code == SQLITE_DONE ? SQLITE_OK : code;
}

static int add_row(marty_port *port, const sq_entry *entry)
{
    int code;
    int64_t expires_us = marty__sq_stored_time(port, entry->message->expires_us);
    marty__buffer_clear(&port->body);
    marty__sq_row_write(&port->body, entry->message, entry->reply_to);
    if (port->body.failed) {
        marty__buffer_free(&port->body);
        return SQLITE_NOMEM;
    }
    sqlite3_stmt *add = marty__sq_statement(&port->db, SQ_POST_ADD, 0, &code);
    code = code ? code
                : marty__sq_bind(add, SQ_I(entry->channel->id, port->now_us,
                                           expires_us ? expires_us : port->now_us + KEEP_US));
    code =
        code ? code : sqlite3_bind_blob64(add, 4, port->body.data, port->body.size, SQLITE_STATIC);
    return code ? code : marty__sq_run(&port->db, add);
}

int marty__sq_post_add(marty_port *port, sq_entry *entry)
{
    bool any = true;
    int code = SQLITE_OK;
    if (entry->channel->kind == MARTY_KIND_REQUEST) {
        code = has_responder(port, entry->channel->id, &any);
    }
    if (code || !any) {
        entry->why = SQ_WHY_NO_RESPONDER;
        entry->err = MARTY_E_NO_RESPONDER;
        return code;
    }
    marty__sq_touch(port, entry->channel->bit);
    return add_row(port, entry);
}

int marty__sq_post_open(marty_port *port, sq_sub *sub)
{
    bool found = false;
    sub->cursor = sub->cursor_next = 0;
    return sub->channel->kind == MARTY_KIND_BROADCAST
               ? marty__sq_get(&port->db, SQ_POST_NEWEST, NULL, 0, &sub->cursor, 1, &found)
               : SQLITE_OK;
}

static int deliver(marty_port *port, sq_sub *sub, const sq_row *row)
{
    if (row->expires_us && row->expires_us <= port->now_us) {
        return SQLITE_OK;
    }
    sq_delivery *delivery = marty__sq_delivery_add(port);
    if (!delivery) {
        return SQLITE_NOMEM;
    }
    delivery->sub = sub;
    delivery->tag = ++port->serial << SQ_TAG_BITS;
    delivery->attempt = 1;
    port->delivery_bytes += row->size;
    return marty__sq_delivery_read(delivery, row, sub->channel->kind == MARTY_KIND_REQUEST);
}

static void post_columns(sqlite3_stmt *statement, sq_row *row)
{
    *row = (sq_row){.id = sqlite3_column_int64(statement, 0),
                    .at_us = sqlite3_column_int64(statement, 1),
                    .expires_us = sqlite3_column_int64(statement, 2),
                    .body = sqlite3_column_blob(statement, 3),
                    .size = (size_t)sqlite3_column_bytes(statement, 3)};
}

static bool round_full(const marty_port *port)
{
    return port->delivery_bytes >= SQ_ROUND_BYTES;
}

int marty__sq_post_take(marty_port *port, sq_sub *sub)
{
    int code;
    int64_t taken[AT_ONCE];
    size_t count = 0;
    uint32_t credit = marty__sq_credit(port, sub);
    int64_t limit = credit < AT_ONCE ? credit : AT_ONCE;
    sqlite3_stmt *rows = marty__sq_statement(&port->db, SQ_POST_OF_CHANNEL, 0, &code);
    code = code ? code : marty__sq_bind(rows, SQ_I(sub->channel_id, 0, limit));
    while (!code && !round_full(port) && (code = marty__sq_step(&port->db, rows)) == SQLITE_ROW) {
        sq_row row;
        post_columns(rows, &row);
        taken[count++] = row.id;
        code = deliver(port, sub, &row);
    }
    sub->maybe = code != SQLITE_DONE || (int64_t)count == limit;
    code = code == SQLITE_DONE ? SQLITE_OK : code;
    if (rows) {
        (void)sqlite3_reset(rows);
    }
    for (size_t i = 0; i < count && !code; i++) {
        code = marty__sq_do(&port->db, SQ_POST_REMOVE, 0, SQ_I(taken[i]));
    }
    return code;
}

int marty__sq_post_listen(marty_port *port, sq_sub *sub)
{
    int code;
    uint32_t credit = marty__sq_credit(port, sub), count = 0;
    int64_t limit = credit < AT_ONCE ? credit : AT_ONCE;
    sqlite3_stmt *rows =
        marty__sq_statement(&port->db, sub->wild ? SQ_POST_ALL : SQ_POST_OF_CHANNEL, 0, &code);
    code = code ? code
           : sub->wild
               ? marty__sq_bind(rows, SQ_I(sub->cursor, (int64_t)MARTY_KIND_BROADCAST, limit))
               : marty__sq_bind(rows, SQ_I(sub->channel_id, sub->cursor, limit));
    while (!code && !round_full(port) && (code = marty__sq_step(&port->db, rows)) == SQLITE_ROW) {
        sq_row row;
        post_columns(rows, &row);
        const char *name = sub->wild ? (const char *)sqlite3_column_text(rows, 4) : NULL;
        bool wanted = !name || marty__sq_name_matches(sub->channel->name, name);
        code = wanted ? deliver(port, sub, &row) : SQLITE_OK;
        sub->cursor_next = row.id;
        count++;
    }
    sub->maybe = code != SQLITE_DONE || (int64_t)count == limit;
    code = code == SQLITE_DONE ? SQLITE_OK : code;
    if (rows) {
        (void)sqlite3_reset(rows);
    }
    return code;
}

int marty__sq_post_pending(marty_port *port, const sq_sub *sub, bool *ret_any)
{
    int64_t id = 0;
    return marty__sq_get(&port->db, SQ_POST_OF_CHANNEL, SQ_I(sub->channel_id, 0, 1), &id, 1,
                         ret_any);
}
