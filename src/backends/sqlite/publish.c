/* SPDX-License-Identifier: Apache-2.0
 * A publish in a round: its channel, whether it was seen before, room, and the row; and what is
 * told of it once the round is over. The writer's thread. */
#include "work.h"

#include "base/hash.h"

#include <stdio.h>
#include <string.h>

int64_t marty__sq_key_of(const marty_message *message)
{
    const char *key = message->key ? message->key : message->id;
    int64_t hash = (int64_t)marty__hash_stable(key, strlen(key));
    return hash ? hash : 1; /* 0 = no key */
}

/* As a duration from the moment that the round began: a jump of the clock is no matter. */
int64_t marty__sq_stored_time(const marty_port *port, int64_t wall_us)
{
    int64_t stored = port->now_us + (wall_us - port->wall_us);
    return !wall_us ? 0 : stored > 0 ? stored : 1;
}

marty_level marty__sq_level(const marty_port *port, marty_kind kind)
{
    if (!marty__sq_kind_keeps(kind) || port->db.sync == SQ_SYNC_OFF) {
        return MARTY_LEVEL_MEMORY;
    }
    return port->db.sync == SQ_SYNC_NORMAL ? MARTY_LEVEL_WRITTEN : MARTY_LEVEL_SYNCED;
}

static int check_room(marty_port *port, sq_channel *channel, size_t size, bool *ret_room)
{
    *ret_room = true;
    if (!channel->bytes_max) {
        return SQLITE_OK;
    }
    return marty__sq_log_make_room(port, channel, (int64_t)size, ret_room);
}

int marty__sq_publish_store(marty_port *port, sq_channel *channel, const sq_entry *entry,
                            int64_t grp, int64_t *ret_message)
{
    const marty_message *message = entry->message;
    sq_log *log = NULL;
    bool room = true;
    int code = grp ? marty__sq_log_of_group(port, channel, grp, &log)
                   : marty__sq_log_for(port, channel, message->priority, &log);
    *ret_message = 0;
    if (code || !log) {
        return code;
    }
    marty__buffer_clear(&port->body);
    marty__sq_row_write(&port->body, message, NULL);
    if (port->body.failed) {
        marty__buffer_free(&port->body);
        return SQLITE_NOMEM;
    }
    code = check_room(port, channel, port->body.size, &room);
    if (code || !room) {
        return code;
    }
    int64_t times[3] = {port->now_us, marty__sq_stored_time(port, message->expires_us),
                        channel->ordered ? marty__sq_key_of(message) : 0};
    marty_bytes body = {port->body.data, port->body.size};
    return marty__sq_log_append(port, log, times, body, ret_message);
}

/* A durable one, its channel known. */
static int store(marty_port *port, sq_entry *entry)
{
    int64_t grp = 0;
    bool seen = false, scheduled = entry->deliver_at_us > 0;
    int code = SQLITE_OK;
    if (entry->group) {
        code = marty__sq_group_find(port, entry->channel, entry->group, &grp);
        if (code || !grp) {
            entry->why = SQ_WHY_NO_GROUP;
            entry->err = MARTY_E_NO_GROUP;
            return code;
        }
    }
    bool fresh = !scheduled && entry->channel->kind != MARTY_KIND_DEAD;
    code = marty__sq_seen_before(port, entry, fresh, &seen);
    if (code || seen) {
        entry->why = SQ_WHY_DUPLICATE;
        return code;
    }
    if (scheduled && marty__sq_stored_time(port, entry->deliver_at_us) > port->now_us) {
        return marty__sq_later_add(port, entry, grp);
    }
    code = marty__sq_publish_store(port, entry->channel, entry, grp, &entry->position);
    if (!code && !entry->position) {
        entry->why = SQ_WHY_LIMIT;
        entry->err = MARTY_E_FULL;
        code = marty__sq_seen_undo(port);
    }
    return code;
}

/* What a publish to a channel that is not there, or is different, is answered. */
static marty_err err_of(sq_why why)
{
    switch (why) {
    case SQ_WHY_NO_CHANNEL:
        return MARTY_E_NOT_FOUND;
    case SQ_WHY_DIFFERENT:
        return MARTY_E_EXISTS;
    case SQ_WHY_WAL:
        return MARTY_E_STORAGE;
    case SQ_WHY_STORED:
    case SQ_WHY_DUPLICATE:
    case SQ_WHY_LOCKED:
    case SQ_WHY_LATE:
    case SQ_WHY_LIMIT:
    case SQ_WHY_NO_GROUP:
    case SQ_WHY_NO_RESPONDER:
    case SQ_WHY_NOT_SCHEDULED:
    case SQ_WHY_CLOSED:
    case SQ_WHY_DATABASE:
    default:
        return MARTY_OK;
    }
}

int marty__sq_publish_apply(marty_port *port, sq_entry *entry)
{
    sq_channel *channel = entry->channel;
    bool reply = channel->kind == MARTY_KIND_REPLY;
    entry->err = MARTY_OK;
    entry->position = 0;
    int code = marty__sq_channel_resolve(port, channel, entry->order, !reply, &entry->why);
    if (code) {
        return code;
    }
    if (reply && entry->why == SQ_WHY_NO_CHANNEL) {
        entry->why = SQ_WHY_STORED; /* nobody waits for it any more: dropped */
        return SQLITE_OK;
    }
    if (entry->why == SQ_WHY_STORED && marty__sq_kind_keeps(channel->kind) &&
        marty__sq_wal_full(&port->db)) {
        entry->why = SQ_WHY_WAL;
    }
    entry->err = err_of(entry->why);
    if (reply && entry->why == SQ_WHY_DIFFERENT) {
        entry->err = MARTY_E_ARGUMENT;
    }
    if (entry->why != SQ_WHY_STORED) {
        return SQLITE_OK;
    }
    return marty__sq_kind_keeps(channel->kind) ? store(port, entry)
                                               : marty__sq_post_add(port, entry);
}
