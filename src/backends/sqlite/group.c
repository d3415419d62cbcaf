/* SPDX-License-Identifier: Apache-2.0
 * Groups: who reads what, and from where. A group is (scope, name); its scope is a channel's name,
 * or a pattern of names ("wild"): then it has a cursor on each channel that matches, those made
 * later included, from their first message. A queue has one group, without a name. Subscriptions
 * without a group get one of their own, which dies with them. The writer's thread. */
#include "work.h"

#include "base/alloc.h"

#include <stdio.h>
#include <string.h>

bool marty__sq_name_matches(const char *pattern, const char *name)
{
    for (;;) {
        size_t want = strcspn(pattern, "."), have = strcspn(name, ".");
        if (want == 1 && *pattern == '>') {
            return *name != '\0';
        }
        bool any = want == 1 && *pattern == '*' && have > 0;
        if (!any && (want != have || memcmp(pattern, name, want) != 0)) {
            return false;
        }
        pattern += want;
        name += have;
        if (!*pattern || !*name) {
            return *pattern == *name;
        }
        pattern++;
        name++;
    }
}

static int find_exact(marty_port *port, const char *scope, const char *name, int64_t *ret_grp)
{
    int code;
    sqlite3_stmt *find = marty__sq_statement(&port->db, SQ_GROUP_FIND, 0, &code);
    code = code ? code : sqlite3_bind_text(find, 1, scope, -1, SQLITE_STATIC);
    code = code ? code : sqlite3_bind_text(find, 2, name, -1, SQLITE_STATIC);
    code = code ? code : marty__sq_step(&port->db, find);
    *ret_grp = code == SQLITE_ROW ? sqlite3_column_int64(find, 0) : 0;
    if (find) {
        (void)sqlite3_reset(find);
    }
    return code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK : code;
}

int marty__sq_group_find(marty_port *port, const sq_channel *channel, const char *name,
                         int64_t *ret_grp)
{
    int code = find_exact(port, channel->name, name, ret_grp);
    if (code || *ret_grp) {
        return code;
    }
    sqlite3_stmt *rows = marty__sq_statement(&port->db, SQ_GROUP_WILD_NAMED, 0, &code);
    code = code ? code : marty__sq_bind(rows, SQ_I((int64_t)channel->kind));
    code = code ? code : sqlite3_bind_text(rows, 2, name, -1, SQLITE_STATIC);
    while (!code && !*ret_grp && (code = marty__sq_step(&port->db, rows)) == SQLITE_ROW) {
        code = SQLITE_OK;
        const char *scope = (const char *)sqlite3_column_text(rows, 1);
        if (scope && marty__sq_name_matches(scope, channel->name)) {
            *ret_grp = sqlite3_column_int64(rows, 0);
        }
    }
    if (rows) {
        (void)sqlite3_reset(rows);
    }
    return code == SQLITE_DONE ? SQLITE_OK : code;
}

int marty__sq_group_join_log(marty_port *port, const sq_channel *channel, int64_t log)
{
    int code;
    sqlite3_stmt *rows = marty__sq_statement(&port->db, SQ_GROUP_WILD, 0, &code);
    code = code ? code : marty__sq_bind(rows, SQ_I((int64_t)channel->kind));
    while (!code && (code = marty__sq_step(&port->db, rows)) == SQLITE_ROW) {
        code = SQLITE_OK;
        const char *scope = (const char *)sqlite3_column_text(rows, 1);
        if (scope && marty__sq_name_matches(scope, channel->name)) {
            code = marty__sq_do(&port->db, SQ_CURSOR_ADD, 0,
                                SQ_I(sqlite3_column_int64(rows, 0), log, 1));
        }
    }
    if (rows) {
        (void)sqlite3_reset(rows);
    }
    return code == SQLITE_DONE ? SQLITE_OK : code;
}

/* ---- where to start */
static int start_place(marty_port *port, const sq_channel *channel, const sq_log *log,
                       const marty_start *start, int64_t *ret_place)
{
    int64_t position = 0;
    bool earliest = channel->kind != MARTY_KIND_TOPIC;
    switch (start->from) {
    case MARTY_FROM_EARLIEST:
        break;
    case MARTY_FROM_NOW:
        earliest = false;
        break;
    case MARTY_FROM_TIME:
        return marty__sq_log_place_at(port, log, marty__sq_stored_time(port, start->time_us),
                                      ret_place);
    case MARTY_FROM_POSITION:
        position = marty__sq_position_read(start->position, channel->first_log);
        if (marty__sq_log_of(position) == log->id) {
            *ret_place = marty__sq_place_of(position);
            return SQLITE_OK;
        }
        earliest = true; /* a position is of one log; the others are read from their beginning */
        break;
    case MARTY_FROM_GROUP:
    default:
        *ret_place = earliest ? 1 : log->next;
        return SQLITE_OK;
    }
    earliest = earliest || start->from == MARTY_FROM_EARLIEST;
    *ret_place = earliest ? 1 : log->next;
    return SQLITE_OK;
}

int marty__sq_cursors_place(marty_port *port, int64_t grp, sq_channel *channel,
                            const marty_start *start, bool add)
{
    int code = SQLITE_OK;
    for (unsigned i = 0; i < channel->log_count && !code; i++) {
        sq_log *log = NULL;
        int64_t place = 1;
        code = marty__sq_log_load(port, channel->logs[i], &log);
        if (code || !log) {
            continue;
        }
        code = start_place(port, channel, log, start, &place);
        code = code ? code
                    : marty__sq_do(&port->db, add ? SQ_CURSOR_ADD : SQ_CURSOR_SET, 0,
                                   SQ_I(grp, log->id, place));
    }
    return code;
}

/* On every channel that a pattern matches. */
static int each_match(marty_port *port, const sq_sub *sub, const marty_start *start, bool add)
{
    char name[300] = "";
    sq_channel found = {.name = name};
    int code = SQLITE_OK;
    for (bool more = true; more && !code;) {
        code = marty__sq_channel_after(port, &found, name, sizeof name, &more);
        if (!code && more && found.kind == sub->channel->kind &&
            marty__sq_name_matches(sub->channel->name, name)) {
            code = marty__sq_log_read_channel(port, &found);
            code = code ? code : marty__sq_cursors_place(port, sub->grp, &found, start, add);
        }
    }
    return code;
}

static int place_all(marty_port *port, sq_sub *sub, const marty_start *start, bool add)
{
    return sub->wild ? each_match(port, sub, start, add)
                     : marty__sq_cursors_place(port, sub->grp, sub->channel, start, add);
}

/* ---- making, finding, moving */
static int add_row(marty_port *port, const char *scope, const char *name,
                   const int64_t wild_owner[2], int64_t *ret_grp)
{
    int code;
    sqlite3_stmt *add = marty__sq_statement(&port->db, SQ_GROUP_ADD, 0, &code);
    code = code ? code : marty__sq_bind(add, SQ_I(wild_owner[0], wild_owner[1], port->now_us));
    code = code ? code : sqlite3_bind_text(add, 4, scope, -1, SQLITE_STATIC);
    code = code ? code : sqlite3_bind_text(add, 5, name, -1, SQLITE_STATIC);
    code = code ? code : marty__sq_run(&port->db, add);
    *ret_grp = sqlite3_last_insert_rowid(port->db.handle);
    return code;
}

static int add_group(marty_port *port, sq_sub *sub, const char *name, const marty_start *start)
{
    int64_t wild_owner[2] = {sub->wild ? (int64_t)sub->channel->kind : 0,
                             sub->owned ? (int64_t)port->member : 0};
    int code = add_row(port, sub->channel->name, name, wild_owner, &sub->grp);
    return code ? code : place_all(port, sub, start, true);
}

int marty__sq_group_make(marty_port *port, sq_channel *channel, const char *name,
                         const marty_start *start)
{
    int64_t grp = 0, wild_owner[2] = {0, 0};
    int code = add_row(port, channel->name, name, wild_owner, &grp);
    return code ? code : marty__sq_cursors_place(port, grp, channel, start, true);
}

int marty__sq_group_scoped(marty_port *port, const char *scope, int64_t *ret_grp)
{
    int code;
    sqlite3_stmt *find = marty__sq_statement(&port->db, SQ_GROUP_SCOPED, 0, &code);
    code = code ? code : sqlite3_bind_text(find, 1, scope, -1, SQLITE_STATIC);
    code = code ? code : marty__sq_step(&port->db, find);
    *ret_grp = code == SQLITE_ROW ? sqlite3_column_int64(find, 0) : 0;
    if (find) {
        (void)sqlite3_reset(find);
    }
    return code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK : code;
}

int marty__sq_seek(marty_port *port, sq_sub *sub, const marty_start *start)
{
    int code = marty__sq_do(&port->db, SQ_CLAIM_REMOVE_GROUP, 0, SQ_I(sub->grp));
    code = code ? code : marty__sq_do(&port->db, SQ_RETRY_REMOVE_GROUP, 0, SQ_I(sub->grp));
    code = code ? code : place_all(port, sub, start, false);
    marty__sq_touch(port, sub->channel->bit);
    return code;
}

int marty__sq_group_open(marty_port *port, sq_sub *sub, const sq_control *control,
                         marty_err *ret_err)
{
    char own[64];
    marty_start start = control->start;
    int64_t grp = 0;
    const char *name = sub->group ? sub->group : own;
    (void)snprintf(own, sizeof own, "~%016llx.%llu", (unsigned long long)port->member,
                   (unsigned long long)sub->number);
    if (sub->owned && start.from == MARTY_FROM_GROUP) {
        start.from = MARTY_FROM_NOW;
    }
    if (sub->channel->kind == MARTY_KIND_QUEUE) {
        start.from = MARTY_FROM_EARLIEST; /* all that is there is to be done */
    }
    int code = find_exact(port, sub->channel->name, name, &grp);
    *ret_err = MARTY_OK;
    if (code) {
        return code;
    }
    if (grp) {
        sub->grp = grp;
        return control->reset && sub->channel->kind != MARTY_KIND_QUEUE
                   ? marty__sq_seek(port, sub, &start)
                   : SQLITE_OK;
    }
    if (port->options.topology != SQ_CREATE && !sub->owned) {
        *ret_err = MARTY_E_NOT_FOUND;
        return SQLITE_OK;
    }
    return add_group(port, sub, name, &start);
}

/* The logs that hold copies for this group alone, with what is in them. */
static int remove_own_logs(marty_port *port, int64_t grp)
{
    int code = SQLITE_OK;
    for (bool more = true; more && !code;) {
        int64_t log = 0;
        code = marty__sq_get(&port->db, SQ_LOG_OF_GROUP, SQ_I(grp), &log, 1, &more);
        if (code || !more) {
            break;
        }
        int64_t first = marty__sq_first_of(log);
        code = marty__sq_do(&port->db, SQ_MESSAGE_REMOVE_RANGE, marty__sq_table_of(first),
                            SQ_I(first, marty__sq_first_of(log + 1) - 1));
        code = code ? code : marty__sq_do(&port->db, SQ_LOG_REMOVE, 0, SQ_I(log));
    }
    return code;
}

int marty__sq_group_remove(marty_port *port, int64_t grp)
{
    static const sq_op ops[] = {SQ_CLAIM_REMOVE_GROUP, SQ_RETRY_REMOVE_GROUP,
                                SQ_CURSOR_REMOVE_GROUP, SQ_LATER_REMOVE_GROUP, SQ_GROUP_REMOVE};
    int code = marty__sq_logs_save(port);
    code = code ? code : remove_own_logs(port, grp);
    for (size_t i = 0; i < sizeof ops / sizeof ops[0] && !code; i++) {
        code = marty__sq_do(&port->db, ops[i], 0, SQ_I(grp));
    }
    return code;
}
