/* SPDX-License-Identifier: Apache-2.0
 * Scheduled messages: a row each until they are due, then moved into their log by whichever port
 * is awake; the one that took it in arms its own timer, all others look each second. Taking one
 * back removes the row, and what de-duplication remembers of it. The writer's thread. */
#include "work.h"

#include "base/alloc.h"

#include <string.h>

enum { DUE_AT_ONCE = 64 };

int marty__sq_later_add(marty_port *port, const sq_entry *entry, int64_t grp)
{
    int code;
    int64_t name[3];
    sq_log *log = NULL; /* so that one of its priority is there when it is due */
    const marty_message *message = entry->message;
    const sq_channel *channel = entry->channel;
    int64_t due_us = marty__sq_stored_time(port, entry->deliver_at_us);
    marty__buffer_clear(&port->body);
    marty__sq_row_write(&port->body, message, NULL);
    if (port->body.failed) {
        marty__buffer_free(&port->body);
        return SQLITE_NOMEM;
    }
    marty__sq_seen_name(channel, entry->group, message, name);
    code = grp ? SQLITE_OK : marty__sq_log_for(port, entry->channel, message->priority, &log);
    sqlite3_stmt *add = code ? NULL : marty__sq_statement(&port->db, SQ_LATER_ADD, 0, &code);
    code = code ? code
                : marty__sq_bind(add, SQ_I(due_us, marty__sq_stored_time(port, message->expires_us),
                                           channel->id, grp, message->priority,
                                           channel->ordered ? marty__sq_key_of(message) : 0,
                                           name[0], name[1], name[2]));
    code = code ? code : sqlite3_bind_text(add, 10, message->id, -1, SQLITE_STATIC);
    code =
        code ? code : sqlite3_bind_blob64(add, 11, port->body.data, port->body.size, SQLITE_STATIC);
    code = code ? code : marty__sq_run(&port->db, add);
    if (!code && due_us < port->later_due_us) {
        port->later_due_us = due_us;
    }
    return code;
}

int marty__sq_later_cancel(marty_port *port, sq_control *control)
{
    sq_entry *entry = &control->entry;
    int64_t id = 0, name[3] = {0};
    int code =
        marty__sq_channel_resolve(port, entry->channel, MARTY_ORDER_DEFAULT, false, &entry->why);
    if (!code && entry->why == SQ_WHY_STORED) {
        sqlite3_stmt *find = marty__sq_statement(&port->db, SQ_LATER_FIND, 0, &code);
        code = code ? code : marty__sq_bind(find, SQ_I(entry->channel->id));
        code = code ? code : sqlite3_bind_text(find, 2, control->id, -1, SQLITE_STATIC);
        code = code ? code : marty__sq_step(&port->db, find);
        for (int i = 0; i < 3 && code == SQLITE_ROW; i++) {
            name[i] = sqlite3_column_int64(find, i + 1);
        }
        id = code == SQLITE_ROW ? sqlite3_column_int64(find, 0) : 0;
        code = code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK : code;
        if (find) {
            (void)sqlite3_reset(find);
        }
    }
    if (!code && id) {
        code = marty__sq_do(&port->db, SQ_LATER_REMOVE, 0, SQ_I(id));
        code = code ? code : marty__sq_seen_forget(port, name);
    }
    entry->why = id ? SQ_WHY_STORED : SQ_WHY_NOT_SCHEDULED;
    entry->err = id ? MARTY_OK : MARTY_E_NOT_FOUND;
    return code;
}

typedef struct due { /* a row that is due */
    int64_t id, expires_us, channel, grp, key;
    int32_t priority;
} due;

/* The log it goes to, by the channel's row; NULL when the channel or group is gone. */
static int log_of(marty_port *port, const due *one, sq_log **ret_log)
{
    int code;
    int64_t main = 0, best = 0, far = INT64_MAX;
    sqlite3_stmt *rows = marty__sq_statement(&port->db, SQ_LOG_OF_CHANNEL, 0, &code);
    code = code ? code : marty__sq_bind(rows, SQ_I(one->channel));
    while (!code && (code = marty__sq_step(&port->db, rows)) == SQLITE_ROW) {
        code = SQLITE_OK;
        int64_t id = sqlite3_column_int64(rows, 0), grp = sqlite3_column_int64(rows, 2);
        int64_t away = sqlite3_column_int64(rows, 3) - one->priority;
        away = away < 0 ? -away : away;
        main = !grp && (!main || id < main) ? id : main;
        if (grp == one->grp && away < far) {
            best = id;
            far = away;
        }
    }
    if (rows) {
        (void)sqlite3_reset(rows);
    }
    code = code == SQLITE_DONE ? SQLITE_OK : code;
    *ret_log = NULL;
    if (!code && !best && main && one->grp) { /* the first copy for this group */
        code = marty__sq_log_add(port, one->channel, one->grp, 0, &best);
        code = code ? code : marty__sq_do(&port->db, SQ_CURSOR_ADD, 0, SQ_I(one->grp, best, 1));
        code = code ? code : marty__sq_topology_changed(port);
    }
    return code || !best ? code : marty__sq_log_load(port, best, ret_log);
}

static int move_one(marty_port *port, const due *one)
{
    sq_log *log = NULL;
    int64_t message = 0, times[3] = {port->now_us, one->expires_us, one->key};
    marty_bytes body = {port->body.data, port->body.size};
    int code = log_of(port, one, &log);
    if (!code && log) {
        code = marty__sq_log_append(port, log, times, body, &message);
    }
    return code ? code : marty__sq_do(&port->db, SQ_LATER_REMOVE, 0, SQ_I(one->id));
}

/* The first that is due, its body in port->body. */
static int next_due(marty_port *port, due *ret_due, bool *ret_found)
{
    int code;
    sqlite3_stmt *row = marty__sq_statement(&port->db, SQ_LATER_DUE, 0, &code);
    code = code ? code : marty__sq_bind(row, SQ_I(port->now_us, 1));
    code = code ? code : marty__sq_step(&port->db, row);
    *ret_found = code == SQLITE_ROW;
    if (*ret_found) {
        *ret_due = (due){.id = sqlite3_column_int64(row, 0),
                         .expires_us = sqlite3_column_int64(row, 1),
                         .channel = sqlite3_column_int64(row, 2),
                         .grp = sqlite3_column_int64(row, 3),
                         .priority = sqlite3_column_int(row, 4),
                         .key = sqlite3_column_int64(row, 5)};
        marty__buffer_clear(&port->body);
        marty__buffer_add(&port->body, sqlite3_column_blob(row, 6),
                          (size_t)sqlite3_column_bytes(row, 6));
    }
    if (row) {
        (void)sqlite3_reset(row);
    }
    if (*ret_found && port->body.failed) {
        marty__buffer_free(&port->body);
        return SQLITE_NOMEM;
    }
    return code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK : code;
}

int marty__sq_later_run(marty_port *port)
{
    int code = SQLITE_OK;
    bool found = true;
    for (int i = 0; i < DUE_AT_ONCE && found && !code; i++) {
        due one = {0};
        code = next_due(port, &one, &found);
        code = code || !found ? code : move_one(port, &one);
    }
    return code ? code : marty__sq_later_look(port);
}

int marty__sq_later_look(marty_port *port)
{
    int64_t next = 0;
    bool found = false;
    int code = marty__sq_get(&port->db, SQ_LATER_NEXT, NULL, 0, &next, 1, &found);
    port->later_due_us = !code && found && next ? next : INT64_MAX;
    return code;
}
