/* SPDX-License-Identifier: Apache-2.0
 * Logs: where messages lie. A log's row has its next place and its counts; it is read once in a
 * round and written once at its end. Channels have one log, and one more for each other priority
 * that was used (16 at most: then the nearest); a group that is sent copies of its own has one for
 * those. The writer's thread. */
#include "work.h"

#include "base/alloc.h"

#include <stdlib.h>
#include <string.h>

enum { LOGS_MAX = 16 };

void marty__sq_logs_forget(marty_port *port)
{
    sq_log *log;
    for (size_t at = 0; (log = marty__map_next(&port->logs, &at)) != NULL;) {
        marty__map_take_u64(&port->logs, (uint64_t)log->id);
        marty_free(log);
    }
    port->log_again = NULL;
    port->generation++;
    marty__list_init(&port->dirty_logs);
}

int marty__sq_log_add(marty_port *port, int64_t channel, int64_t grp, int32_t priority,
                      int64_t *ret_log)
{
    int code;
    sqlite3_stmt *add = marty__sq_statement(&port->db, SQ_LOG_ADD, 0, &code);
    code = code ? code : marty__sq_bind(add, SQ_I(channel, grp, priority));
    code = code || grp ? code : sqlite3_bind_null(add, 2);
    code = code ? code : marty__sq_run(&port->db, add);
    *ret_log = sqlite3_last_insert_rowid(port->db.handle);
    return code;
}

/* The entry of the cache; new ones are stale. */
static sq_log *cached(marty_port *port, int64_t id)
{
    sq_log *log = marty__map_get_u64(&port->logs, (uint64_t)id);
    if (log) {
        return log;
    }
    log = marty_alloc_zero(1, sizeof *log);
    if (log && !marty__map_put_u64(&port->logs, (uint64_t)id, log)) {
        marty_free(log);
        return NULL;
    }
    if (log) {
        log->id = id;
        log->bit = SQ_NEWS_BITS;
    }
    return log;
}

static void read_columns(const marty_port *port, sqlite3_stmt *row, sq_log *log)
{
    log->channel = sqlite3_column_int64(row, 1);
    log->grp = sqlite3_column_int64(row, 2);
    log->priority = sqlite3_column_int(row, 3);
    log->next = sqlite3_column_int64(row, 4);
    log->messages = sqlite3_column_int64(row, 5);
    log->bytes = sqlite3_column_int64(row, 6);
    log->last_us = sqlite3_column_int64(row, 7);
    log->round = port->round;
}

static int read_bit(marty_port *port, sq_log *log)
{
    int code;
    sqlite3_stmt *row = marty__sq_statement(&port->db, SQ_CHANNEL_BY_ID, 0, &code);
    code = code ? code : marty__sq_bind(row, SQ_I(log->channel));
    code = code ? code : marty__sq_step(&port->db, row);
    if (code == SQLITE_ROW && sqlite3_column_text(row, 0)) {
        log->bit = marty__sq_news_bit((const char *)sqlite3_column_text(row, 0));
    }
    (void)sqlite3_reset(row);
    return code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK : code;
}

int marty__sq_log_load(marty_port *port, int64_t id, sq_log **ret_log)
{
    int code;
    sq_log *log = port->log_again && port->log_again->id == id ? port->log_again : cached(port, id);
    *ret_log = log;
    if (!log) {
        return SQLITE_NOMEM;
    }
    port->log_again = log;
    if (log->round == port->round) {
        return SQLITE_OK;
    }
    sqlite3_stmt *row = marty__sq_statement(&port->db, SQ_LOG_GET, 0, &code);
    code = code ? code : marty__sq_bind(row, SQ_I(id));
    code = code ? code : marty__sq_step(&port->db, row);
    if (code == SQLITE_ROW) {
        read_columns(port, row, log);
        (void)sqlite3_reset(row);
        return log->bit < SQ_NEWS_BITS ? SQLITE_OK : read_bit(port, log);
    }
    if (code == SQLITE_DONE) {
        *ret_log = NULL;
        code = SQLITE_OK;
    }
    return code;
}

int marty__sq_log_name(marty_port *port, int64_t id, char **ret_name)
{
    sq_log *log = NULL;
    int code = marty__sq_log_load(port, id, &log);
    if (code || !log) {
        return code;
    }
    sqlite3_stmt *row = marty__sq_statement(&port->db, SQ_CHANNEL_BY_ID, 0, &code);
    code = code ? code : marty__sq_bind(row, SQ_I(log->channel));
    code = code ? code : marty__sq_step(&port->db, row);
    const char *name = code == SQLITE_ROW ? (const char *)sqlite3_column_text(row, 0) : NULL;
    if (name) {
        *ret_name = marty__strdup(name + strlen(port->options.prefix));
        code = *ret_name ? code : SQLITE_NOMEM;
    }
    if (row) {
        (void)sqlite3_reset(row);
    }
    return code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK : code;
}

static void note_log(sq_channel *channel, int64_t id, int32_t priority)
{
    if (channel->log_count < LOGS_MAX) {
        bool first = channel->log_count == 0 || id < channel->first_log;
        channel->first_log = first ? id : channel->first_log;
        channel->logs[channel->log_count] = id;
        channel->priorities[channel->log_count++] = priority;
    }
}

int marty__sq_log_read_channel(marty_port *port, sq_channel *channel)
{
    int code;
    channel->log_count = 0;
    sqlite3_stmt *rows = marty__sq_statement(&port->db, SQ_LOG_OF_CHANNEL, 0, &code);
    code = code ? code : marty__sq_bind(rows, SQ_I(channel->id));
    while (!code && (code = marty__sq_step(&port->db, rows)) == SQLITE_ROW) {
        code = SQLITE_OK;
        if (sqlite3_column_int64(rows, 2) == 0) {
            note_log(channel, sqlite3_column_int64(rows, 0), sqlite3_column_int(rows, 3));
        }
        sq_log *log = cached(port, sqlite3_column_int64(rows, 0));
        if (!log) {
            code = SQLITE_NOMEM;
        } else if (log->round != port->round) {
            read_columns(port, rows, log);
            log->bit = channel->bit;
        }
    }
    if (rows) {
        (void)sqlite3_reset(rows);
    }
    return code == SQLITE_DONE ? SQLITE_OK : code;
}

static unsigned nearest(const sq_channel *channel, int32_t priority)
{
    unsigned best = 0;
    for (unsigned i = 1; i < channel->log_count; i++) {
        int64_t far = llabs((int64_t)channel->priorities[i] - priority);
        best = far < llabs((int64_t)channel->priorities[best] - priority) ? i : best;
    }
    return best;
}

int marty__sq_log_for(marty_port *port, sq_channel *channel, int32_t priority, sq_log **ret_log)
{
    if (channel->ordered || channel->kind == MARTY_KIND_DEAD) {
        priority = 0; /* order by key leaves no room for another */
    }
    unsigned at = nearest(channel, priority);
    if (channel->priorities[at] == priority || channel->log_count >= LOGS_MAX) {
        return marty__sq_log_load(port, channel->logs[at], ret_log);
    }
    int64_t id = 0;
    int code = marty__sq_log_add(port, channel->id, 0, priority, &id);
    code = code ? code : marty__sq_do(&port->db, SQ_CURSOR_LIKE, 0, SQ_I(channel->first_log, id));
    code = code ? code : marty__sq_topology_changed(port);
    code = code ? code : marty__sq_log_read_channel(port, channel);
    return code ? code : marty__sq_log_load(port, id, ret_log);
}

int marty__sq_log_of_group(marty_port *port, sq_channel *channel, int64_t grp, sq_log **ret_log)
{
    int code;
    int64_t id = 0;
    sqlite3_stmt *rows = marty__sq_statement(&port->db, SQ_LOG_OF_CHANNEL, 0, &code);
    code = code ? code : marty__sq_bind(rows, SQ_I(channel->id));
    while (!code && !id && (code = marty__sq_step(&port->db, rows)) == SQLITE_ROW) {
        code = SQLITE_OK;
        id = sqlite3_column_int64(rows, 2) == grp ? sqlite3_column_int64(rows, 0) : 0;
    }
    code = code == SQLITE_DONE ? SQLITE_OK : code;
    if (rows) {
        (void)sqlite3_reset(rows);
    }
    if (!code && !id) {
        code = marty__sq_log_add(port, channel->id, grp, 0, &id);
        code = code ? code : marty__sq_do(&port->db, SQ_CURSOR_ADD, 0, SQ_I(grp, id, 1));
        code = code ? code : marty__sq_topology_changed(port);
    }
    return code ? code : marty__sq_log_load(port, id, ret_log);
}

void marty__sq_log_dirty(marty_port *port, sq_log *log)
{
    if (!log->dirty.next) {
        marty__list_push(&port->dirty_logs, &log->dirty);
    }
}

int marty__sq_logs_save(marty_port *port)
{
    marty__link *link;
    int code = SQLITE_OK;
    while (!code && (link = marty__list_pop(&port->dirty_logs)) != NULL) {
        sq_log *log = MARTY__OWNER(link, sq_log, dirty);
        code = marty__sq_do(&port->db, SQ_LOG_SAVE, 0,
                            SQ_I(log->id, log->next, log->messages, log->bytes, log->last_us));
    }
    return code;
}
