/* SPDX-License-Identifier: Apache-2.0
 * Channels: rows by name, looked up once and known until the count of changes in marty_state moves,
 * which every transaction reads first; so a channel that another process removed is noticed before
 * anything is stored under it. The writer's thread. */
#include "work.h"

#include <stdio.h>

#define DAY_US ((int64_t)86400 * 1000000)
enum { KEPT_DAYS = 7, DEAD_DAYS = 14, VOLATILE_S = 60 };

static int check_all_subs(marty_port *port)
{
    int code = marty__sq_check_subs(port, &port->wild);
    for (unsigned bit = 0; bit < SQ_NEWS_BITS && !code; bit++) {
        code = marty__sq_check_subs(port, &port->buckets[bit]);
    }
    return code;
}

int marty__sq_topology_sync(marty_port *port)
{
    int64_t counts[2] = {0, 0};
    bool found = false;
    int code = marty__sq_get(&port->db, SQ_STATE_READ, NULL, 0, counts, 2, &found);
    if (!code && port->topology != counts[0]) {
        marty__sq_logs_forget(port);
        port->topology = counts[0];
    }
    if (!code && port->removals != counts[1]) {
        code = check_all_subs(port);
        port->removals = code ? -1 : counts[1];
    }
    return code;
}

/* Others must look everything up again; what we know of it stays true. */
int marty__sq_topology_changed(marty_port *port)
{
    int64_t topology = 0;
    bool found = false;
    int code = marty__sq_get(&port->db, SQ_STATE_CHANGED, NULL, 0, &topology, 1, &found);
    port->topology = code ? port->topology : topology;
    return code;
}

int64_t marty__sq_channel_age(const marty_port *port, marty_kind kind)
{
    switch (kind) {
    case MARTY_KIND_TOPIC:
    case MARTY_KIND_STREAM:
        return port->options.age_given ? port->options.age_us : KEPT_DAYS * DAY_US;
    case MARTY_KIND_DEAD:
        return DEAD_DAYS * DAY_US;
    case MARTY_KIND_QUEUE:
        return 0;
    case MARTY_KIND_REQUEST:
    case MARTY_KIND_REPLY:
    case MARTY_KIND_BROADCAST:
    default:
        return (int64_t)VOLATILE_S * 1000000;
    }
}

bool marty__sq_channel_ordered(marty_kind kind, marty_order order)
{
    return order == MARTY_ORDER_KEY || (order == MARTY_ORDER_DEFAULT && kind == MARTY_KIND_STREAM);
}

void marty__sq_touch(marty_port *port, unsigned bit)
{
    marty__sq_news_add(&port->touched.news, bit);
    port->touched.any_news = true;
}

int marty__sq_channel_find(marty_port *port, sq_channel *channel, bool *ret_found)
{
    int code;
    sqlite3_stmt *find = marty__sq_statement(&port->db, SQ_CHANNEL_FIND, 0, &code);
    code = code ? code : sqlite3_bind_text(find, 1, channel->name, -1, SQLITE_STATIC);
    code = code ? code : marty__sq_step(&port->db, find);
    *ret_found = code == SQLITE_ROW;
    if (code == SQLITE_ROW) {
        channel->id = sqlite3_column_int64(find, 0);
        channel->kind = (marty_kind)sqlite3_column_int(find, 1);
        channel->ordered = sqlite3_column_int(find, 2) != 0;
        channel->age_us = sqlite3_column_int64(find, 3);
        channel->bytes_max = sqlite3_column_int64(find, 4);
        channel->trim_hard = sqlite3_column_int(find, 5) != 0;
        channel->owner = sqlite3_column_int64(find, 6);
    }
    if (code == SQLITE_ROW || code == SQLITE_DONE) {
        (void)sqlite3_reset(find);
        code = SQLITE_OK;
    }
    return code;
}

static int add_row(marty_port *port, const sq_channel *channel)
{
    int code;
    sqlite3_stmt *add = marty__sq_statement(&port->db, SQ_CHANNEL_ADD, 0, &code);
    code = code ? code
                : marty__sq_bind(add, SQ_I((int64_t)channel->kind, channel->ordered,
                                           channel->age_us, channel->bytes_max, channel->trim_hard,
                                           port->now_us, channel->owner));
    code = code ? code : sqlite3_bind_text(add, 8, channel->name, -1, SQLITE_STATIC);
    return code ? code : marty__sq_run(&port->db, add);
}

int marty__sq_channel_make(marty_port *port, sq_channel *channel, marty_order order)
{
    bool keeps = marty__sq_kind_keeps(channel->kind);
    channel->ordered = marty__sq_channel_ordered(channel->kind, order);
    channel->age_us = marty__sq_channel_age(port, channel->kind);
    channel->bytes_max = keeps && channel->kind != MARTY_KIND_DEAD ? port->options.bytes_max : 0;
    channel->trim_hard = keeps && port->options.trim_hard;
    channel->log_count = 0;
    channel->owner = channel->kind == MARTY_KIND_REPLY ? (int64_t)port->member : 0;
    int code = add_row(port, channel);
    channel->id = sqlite3_last_insert_rowid(port->db.handle);
    if (!code && keeps) {
        int64_t log = 0;
        code = marty__sq_log_add(port, channel->id, 0, 0, &log);
        code = code ? code : marty__sq_group_join_log(port, channel, log);
    }
    code = code ? code : marty__sq_topology_changed(port);
    return code || !keeps ? code : marty__sq_log_read_channel(port, channel);
}

int marty__sq_channel_after(marty_port *port, sq_channel *channel, char *name, size_t size,
                            bool *ret_found)
{
    int code;
    sqlite3_stmt *row = marty__sq_statement(&port->db, SQ_CHANNEL_ALL, 0, &code);
    code = code ? code : marty__sq_bind(row, SQ_I(channel->id, 1));
    code = code ? code : marty__sq_step(&port->db, row);
    *ret_found = code == SQLITE_ROW;
    if (*ret_found) {
        channel->id = sqlite3_column_int64(row, 0);
        (void)snprintf(name, size, "%s", (const char *)sqlite3_column_text(row, 1));
        channel->kind = (marty_kind)sqlite3_column_int(row, 2);
        channel->ordered = sqlite3_column_int(row, 3) != 0;
        channel->bit = marty__sq_news_bit(name);
    }
    if (row) {
        (void)sqlite3_reset(row);
    }
    return code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK : code;
}

/* Dead letters always find a place, as do channels that keep nothing. */
static bool may_make(const marty_port *port, const sq_channel *channel, bool make)
{
    return make && (port->options.topology == SQ_CREATE || channel->kind == MARTY_KIND_DEAD ||
                    !marty__sq_kind_keeps(channel->kind));
}

static int look_up(marty_port *port, sq_channel *channel, marty_order order, bool make,
                   sq_why *ret_why)
{
    bool found = false;
    sq_channel row = {.name = channel->name, .kind = channel->kind};
    int code = marty__sq_channel_find(port, &row, &found);
    if (code) {
        return code;
    }
    channel->id = row.id;
    channel->found_kind = row.kind;
    channel->ordered = row.ordered;
    channel->age_us = row.age_us;
    channel->bytes_max = row.bytes_max;
    channel->trim_hard = row.trim_hard;
    channel->owner = row.owner;
    if (found && row.kind != channel->kind) {
        *ret_why = SQ_WHY_DIFFERENT;
        return SQLITE_OK;
    }
    if (!found && !may_make(port, channel, make)) {
        *ret_why = SQ_WHY_NO_CHANNEL;
        return SQLITE_OK;
    }
    code = found ? SQLITE_OK : marty__sq_channel_make(port, channel, order);
    if (!code && found && marty__sq_kind_keeps(channel->kind)) {
        code = marty__sq_log_read_channel(port, channel);
    }
    channel->generation = code ? 0 : port->generation;
    return code;
}

int marty__sq_channel_resolve(marty_port *port, sq_channel *channel, marty_order order, bool make,
                              sq_why *ret_why)
{
    int code = SQLITE_OK;
    *ret_why = SQ_WHY_STORED;
    if (channel->generation != port->generation) {
        code = look_up(port, channel, order, make, ret_why);
    }
    if (!code && *ret_why == SQ_WHY_STORED && order != MARTY_ORDER_DEFAULT &&
        (channel->kind == MARTY_KIND_TOPIC || channel->kind == MARTY_KIND_QUEUE ||
         channel->kind == MARTY_KIND_STREAM) &&
        channel->ordered != (order == MARTY_ORDER_KEY)) {
        *ret_why = SQ_WHY_DIFFERENT;
    }
    return code;
}
