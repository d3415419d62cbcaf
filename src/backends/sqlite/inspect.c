/* SPDX-License-Identifier: Apache-2.0
 * The topology verbs that look at channels: inspect and list. Counts come from the rows of logs,
 * times are told as the wall clock is now. The writer's thread. */
#include "topology.h"

#include "backend/capability.h"
#include "base/alloc.h"

#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>

#define FIRST(log) marty__sq_first_of(log)

static int64_t wall_of(const marty_port *port, int64_t stored_us)
{
    return stored_us ? port->wall_us + stored_us - port->now_us : 0;
}

/* ---- the server: the file */
static void add_unsafe(marty__buffer *json, const char *what, const char *mend)
{
    marty__buffer_text(json, json->data[json->size - 1] == '[' ? "{\"what\":" : ",{\"what\":");
    marty__buffer_json(json, what, strlen(what));
    marty__buffer_text(json, ",\"mend\":");
    marty__buffer_json(json, mend, strlen(mend));
    marty__buffer_byte(json, '}');
}

static void add_file_system(const marty_port *port, marty__buffer *json)
{
    enum { NFS = 0x6969, SMB = 0x517b, TMPFS = 0x01021994 };
    const uint64_t cifs = 0xff534d42, smb2 = 0xfe534d42;
    struct statfs status;
    if (statfs(port->options.path, &status) != 0) {
        return;
    }
    uint64_t type = (uint64_t)status.f_type & 0xffffffff;
    if (type == NFS || type == SMB || type == cifs || type == smb2) {
        add_unsafe(json, "the file is on a network file system, whose locks cannot be trusted",
                   "put it on a local disk");
    }
    if (type == TMPFS) {
        add_unsafe(json, "the file is in memory (tmpfs): it is gone when the machine stops",
                   "put it on a disk");
    }
}

static int inspect_server(marty_port *port, struct sq_ask *ask)
{
    marty__buffer *json = &ask->json;
    marty__buffer_format(json,
                         "{\"server\":\"sqlite\",\"version\":\"%s\",\"tls\":false,\"level\":\"%s\","
                         "\"unsafe\":[",
                         sqlite3_libversion(),
                         marty__level_name(marty__sq_level(port, MARTY_KIND_QUEUE)));
    if (!json->failed && port->db.sync < SQ_SYNC_FULL) {
        add_unsafe(json,
                   port->db.sync == SQ_SYNC_OFF
                       ? "sync=off: a crash of the machine loses messages, and may damage the file"
                       : "sync=normal: a crash of the machine loses the last messages",
                   "leave sync out, or set sync=full");
    }
    if (!json->failed) {
        add_file_system(port, json);
    }
    marty__buffer_text(json, "]}");
    return SQLITE_OK;
}

/* ---- a channel */
typedef struct counts {
    int64_t messages, bytes, first_us, last_us;
} counts;

static int first_time(marty_port *port, const sq_log *log, int64_t from, int64_t *ret_us)
{
    int code;
    int64_t first = FIRST(log->id);
    sqlite3_stmt *row =
        marty__sq_statement(&port->db, SQ_MESSAGE_FROM, marty__sq_table_of(first), &code);
    code = code ? code : marty__sq_bind(row, SQ_I(first + from, FIRST(log->id + 1)));
    code = code ? code : marty__sq_step(&port->db, row);
    int64_t at_us = code == SQLITE_ROW ? sqlite3_column_int64(row, 1) : 0;
    *ret_us = at_us && (!*ret_us || at_us < *ret_us) ? at_us : *ret_us;
    if (row) {
        (void)sqlite3_reset(row);
    }
    return code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK : code;
}

static int count_logs(marty_port *port, const sq_channel *channel, counts *ret)
{
    int code = SQLITE_OK;
    *ret = (counts){0};
    for (unsigned i = 0; i < channel->log_count && !code; i++) {
        sq_log *log = NULL;
        code = marty__sq_log_load(port, channel->logs[i], &log);
        if (!code && log) {
            ret->messages += log->messages;
            ret->bytes += log->bytes;
            ret->last_us = log->last_us > ret->last_us ? log->last_us : ret->last_us;
            code = first_time(port, log, 1, &ret->first_us);
        }
    }
    return code;
}

static int count_channel(marty_port *port, const sq_channel *channel, counts *ret)
{
    bool found = false;
    return marty__sq_kind_keeps(channel->kind)
               ? count_logs(port, channel, ret)
               : marty__sq_get(&port->db, SQ_POST_COUNT, SQ_I(channel->id), &ret->messages, 4,
                               &found);
}

typedef struct group_counts {
    int64_t id, owner, missed, lag, delayed, unsettled, redelivered, oldest_us, members;
    char name[300];
} group_counts;

/* What is out of one log. */
static int count_claims(marty_port *port, const sq_log *log, group_counts *group, int64_t *oldest)
{
    int code;
    sqlite3_stmt *rows = marty__sq_statement(&port->db, SQ_CLAIM_OF_GROUP, 0, &code);
    code = code ? code : marty__sq_bind(rows, SQ_I(group->id));
    while (!code && (code = marty__sq_step(&port->db, rows)) == SQLITE_ROW) {
        sq_held *held = NULL;
        size_t count = 0;
        code = marty__sq_items_unpack(sqlite3_column_blob(rows, 4),
                                      (size_t)sqlite3_column_bytes(rows, 4), &held, &count);
        for (size_t i = 0; i < count; i++) {
            if (marty__sq_log_of(held[i].message) == log->id) {
                group->unsettled++;
                group->redelivered += held[i].attempt > 1;
                *oldest = held[i].message < *oldest ? held[i].message : *oldest;
            }
        }
        marty_free(held);
    }
    if (rows) {
        (void)sqlite3_reset(rows);
    }
    return code == SQLITE_DONE ? SQLITE_OK : code;
}

static int count_log_of_group(marty_port *port, group_counts *group, int64_t id, int64_t next)
{
    bool found = false;
    sq_log *log = NULL;
    int64_t waits[4] = {0, 0, 0, 0};
    int code = marty__sq_log_load(port, id, &log);
    if (code || !log) {
        return code;
    }
    int64_t oldest = FIRST(id) + next;
    code = marty__sq_get(&port->db, SQ_RETRY_COUNT,
                         SQ_I(group->id, FIRST(id), FIRST(id + 1), port->now_us), waits, 4, &found);
    group->lag += log->next - next + waits[0];
    group->redelivered += waits[1];
    group->delayed += waits[3];
    oldest = waits[2] && waits[2] < oldest ? waits[2] : oldest;
    code = code ? code : count_claims(port, log, group, &oldest);
    return code ? code : first_time(port, log, marty__sq_place_of(oldest), &group->oldest_us);
}

static int count_group(marty_port *port, const sq_channel *channel, group_counts *group)
{
    int code = SQLITE_OK;
    int64_t row[4] = {0, 0, 0, 0};
    for (bool found = true; found && !code;) {
        code = marty__sq_get(&port->db, SQ_CURSOR_AFTER, SQ_I(group->id, row[0]), row, 4, &found);
        if (!code && found && row[3] == channel->id) {
            code = count_log_of_group(port, group, row[0], row[1]);
        }
    }
    return code ? code
                : marty__sq_members(port, SQ_SUBSCRIBER_OF_GROUP, group->id, &group->members);
}

/* What could be claimed now. In an ordered channel it may be behind what is claimed or delayed. */
static int64_t due(const sq_channel *channel, const group_counts *group)
{
    bool behind = channel->ordered && (group->unsettled || group->delayed);
    return behind ? 0 : group->lag - group->delayed;
}

static void add_group(marty_port *port, marty__buffer *json, const sq_channel *channel,
                      const group_counts *group)
{
    marty__buffer_text(json, json->data[json->size - 1] == '[' ? "{\"group\":" : ",{\"group\":");
    if (group->owner) {
        marty__buffer_text(json, "null");
    } else {
        marty__buffer_json(json, group->name, strlen(group->name));
    }
    marty__buffer_format(json,
                         ",\"lag\":%lld,\"due\":%lld,\"unsettled\":%lld,\"redelivered\":%lld,"
                         "\"oldest_us\":%lld,\"members\":%lld,\"lost\":%lld}",
                         (long long)group->lag, (long long)due(channel, group),
                         (long long)group->unsettled, (long long)group->redelivered,
                         (long long)wall_of(port, group->oldest_us), (long long)group->members,
                         (long long)group->missed);
}

/* The next group that reads a channel, by number. */
static int next_group(marty_port *port, const sq_channel *channel, group_counts *group,
                      bool *ret_found)
{
    int code;
    int64_t after = group->id;
    sqlite3_stmt *row = marty__sq_statement(&port->db, SQ_GROUPS_OF_CHANNEL, 0, &code);
    code = code ? code : marty__sq_bind(row, SQ_I(channel->id, after));
    code = code ? code : marty__sq_step(&port->db, row);
    *ret_found = code == SQLITE_ROW;
    if (*ret_found) {
        *group = (group_counts){.id = sqlite3_column_int64(row, 0),
                                .missed = sqlite3_column_int64(row, 2),
                                .owner = sqlite3_column_int64(row, 3)};
        (void)snprintf(group->name, sizeof group->name, "%s",
                       (const char *)sqlite3_column_text(row, 1));
    }
    if (row) {
        (void)sqlite3_reset(row);
    }
    return code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK : code;
}

int marty__sq_ask_inspect(marty_port *port, struct sq_ask *ask)
{
    char name[300];
    sq_channel channel;
    counts sum = {0};
    group_counts group = {0};
    int64_t later = 0;
    bool found = false;
    if (!ask->want->channel.name) {
        return inspect_server(port, ask);
    }
    int code = marty__sq_ask_channel(port, ask, &channel, name, &found);
    if (code || !found) {
        return code;
    }
    code = count_channel(port, &channel, &sum);
    code = code
               ? code
               : marty__sq_get(&port->db, SQ_LATER_OF_CHANNEL, SQ_I(channel.id), &later, 1, &found);
    marty__buffer_text(&ask->json, "{\"channel\":");
    marty__buffer_json(&ask->json, ask->want->channel.name, strlen(ask->want->channel.name));
    marty__buffer_format(
        &ask->json,
        ",\"kind\":\"%s\",\"messages\":%lld,\"bytes\":%lld,\"first_us\":%lld,\"last_us\":%lld,"
        "\"level\":\"%s\",\"order\":\"%s\",\"scheduled\":%lld,\"groups\":[",
        marty__kind_name(channel.kind), (long long)sum.messages, (long long)sum.bytes,
        (long long)wall_of(port, sum.first_us), (long long)wall_of(port, sum.last_us),
        marty__level_name(marty__sq_level(port, channel.kind)), channel.ordered ? "key" : "none",
        (long long)later);
    for (found = true; found && !code && !ask->json.failed;) {
        code = next_group(port, &channel, &group, &found);
        code = code || !found ? code : count_group(port, &channel, &group);
        if (!code && found) {
            add_group(port, &ask->json, &channel, &group);
        }
    }
    marty__buffer_text(&ask->json, "]}");
    return code;
}

/* ---- list */
static int add_listed(marty_port *port, struct sq_ask *ask, sq_channel *channel)
{
    counts sum = {0};
    group_counts group = {0};
    int64_t groups = 0;
    bool keeps = marty__sq_kind_keeps(channel->kind);
    int code = keeps ? marty__sq_log_read_channel(port, channel) : SQLITE_OK;
    code = code ? code : count_channel(port, channel, &sum);
    for (bool found = true; found && !code;) {
        code = next_group(port, channel, &group, &found);
        groups += found;
    }
    const char *name = marty__sq_short_name(port, channel->name);
    marty__buffer_text(&ask->json, ask->json.data && ask->json.data[ask->json.size - 1] == '['
                                       ? "{\"channel\":"
                                       : ",{\"channel\":");
    marty__buffer_json(&ask->json, name, strlen(name));
    marty__buffer_format(&ask->json,
                         ",\"kind\":\"%s\",\"messages\":%lld,\"bytes\":%lld,\"groups\":%lld}",
                         marty__kind_name(channel->kind), (long long)sum.messages,
                         (long long)sum.bytes, (long long)groups);
    return code;
}

int marty__sq_ask_list(marty_port *port, struct sq_ask *ask)
{
    char name[300];
    sq_channel channel = {.name = name};
    int code = SQLITE_OK;
    marty__buffer_text(&ask->json, "{\"channels\":[");
    for (bool found = true; found && !code && !ask->json.failed;) {
        code = marty__sq_channel_after(port, &channel, name, sizeof name, &found);
        bool ours = strncmp(name, port->options.prefix, strlen(port->options.prefix)) == 0;
        if (!code && found && ours && channel.kind != MARTY_KIND_REPLY) {
            code = add_listed(port, ask, &channel);
        }
    }
    marty__buffer_text(&ask->json, "]}");
    return code;
}
