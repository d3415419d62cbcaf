/* SPDX-License-Identifier: Apache-2.0
 * One message on its way to JetStream: its id for the server, its time to live, its schedule, and
 * the slot that its ack will name. Lock held throughout; the loop, ops and the worker. */
#include "denied.h"
#include "parts.h"

#include "base/grouped.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* ---- what goes along with a message for JetStream */

static bool is_ours(const char *id)
{
    return strlen(id) == 36 && id[8] == '-' && id[13] == '-' && id[14] == '7' && id[18] == '-' &&
           id[23] == '-';
}

static bool add_attribute(nats__buffer *to, const marty_message *message, const char *name)
{
    marty_bytes value = marty_message_header(message, name);
    return nats__buffer_text(to, "/") && nats__buffer_append(to, value.data, value.size);
}

/* The id that the server remembers: ours as it is, a foreign one with its source; a copy (for one
 * group, or a dead letter) is another message to the server, one for each time it was copied. */
static bool add_message_id(marty_port *port, const nats__channel *channel, const nats__held *what)
{
    nats__buffer *lines = &port->scratch;
    const marty_message *message = what->message;
    bool added = nats__buffer_text(lines, "Nats-Msg-Id: ") && nats__buffer_text(lines, message->id);
    if (!is_ours(message->id)) {
        char size[24];
        size[nats__decimal(size, strlen(message->id))] = '\0';
        added = added && nats__buffer_text(lines, "@") && nats__buffer_text(lines, size) &&
                nats__buffer_text(lines, "@") && nats__buffer_text(lines, message->source);
    }
    if (channel->kind == MARTY_KIND_DEAD) { /* one death is one letter, however often written */
        added = added && add_attribute(lines, message, "martydeadgroup") &&
                add_attribute(lines, message, "martydeadreplays");
    } else if (what->copy) {
        added = added && add_attribute(lines, message, "martyattempts") &&
                add_attribute(lines, message, "martydeadreplays");
    }
    return added && nats__buffer_text(lines, "\r\n");
}

/* How long it may live, as a duration: the server's clock counts it. Whole seconds, at least one;
 * core looks at the exact time before every handler. */
static bool add_time_to_live(marty_port *port, const nats__channel *channel,
                             const marty_message *message, const char *name)
{
    char text[24];
    if (!channel->ttl || message->expires_us <= 0) {
        return true;
    }
    int64_t left_us = message->expires_us - nats__wall_us(port);
    uint64_t seconds = left_us > 0 ? (uint64_t)(left_us + 999999) / 1000000 : 1;
    size_t size = nats__decimal(text, seconds);
    memcpy(text + size, "s", 2);
    return nats__line_locked(port, name, text);
}

/* RFC 3339 in UTC with microseconds. */
static void write_time(int64_t us, char *out, size_t size)
{
    time_t seconds = (time_t)(us / 1000000);
    struct tm parts;
    char text[32] = "";
    if (gmtime_r(&seconds, &parts)) {
        (void)strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
    }
    (void)snprintf(out, size, "%s.%06dZ", text, (int)(us % 1000000));
}

/* A time of our clock as the server's. Ours is read first: it may come out late by a moment, never
 * early. */
static int64_t server_time(const marty_port *port, int64_t us)
{
    if (port->clock_us == 0) {
        return us;
    }
    int64_t left_us = us - nats__wall_us(port);
    return port->clock_us + (nats__now_ns(port) - port->clock_ns) / 1000 + left_us + 1;
}

/* A message for later lies on a subject of its own in the same stream, and the server publishes it
 * when it is due. */
static marty_err make_schedule(marty_port *port, const nats__channel *channel,
                               const nats__held *what, char subject[NATS__SUBJECT_MAX],
                               marty_error *why)
{
    char at[80], time_text[64], id[NATS__SUBJECT_MAX / 4];
    if (!channel->schedules) {
        return marty_error_set(why, MARTY_E_UNSUPPORTED,
                               "channel %s: its stream %s delivers nothing later: that takes "
                               "nats-server 2.12 and allow_msg_schedules; set scheduler: to a "
                               "backend that can, or make the stream anew",
                               channel->name, channel->stream);
    }
    write_time(server_time(port, what->deliver_at_us), time_text, sizeof time_text);
    (void)snprintf(at, sizeof at, "@at %s", time_text);
    marty_err err = marty_name_encode(id, sizeof id - 1, what->message->id, nats__name_bytes, why);
    if (err) {
        return err;
    }
    bool added = nats__line_locked(port, "Nats-Schedule", at) &&
                 nats__line_locked(port, "Nats-Schedule-Target", subject) &&
                 add_time_to_live(port, channel, what->message, "Nats-Schedule-TTL");
    int size = snprintf(subject, NATS__SUBJECT_MAX, "%s.%s", channel->schedule, id);
    if (!added || size < 0 || size >= NATS__SUBJECT_MAX) {
        return marty_error_set(why, MARTY_E_ARGUMENT, "channel %s: the id %.64s is too long",
                               channel->name, what->message->id);
    }
    return MARTY_OK;
}

marty_err nats__check_size(const marty_port *port, const char *channel,
                           const marty_message *message, const marty_message *body,
                           marty_error *why)
{
    size_t size = body->data.size + (port->scratch.size ? port->scratch.size + 12 : 0);
    if (port->payload_max > 0 && size > (size_t)port->payload_max) {
        return marty_error_set(why, MARTY_E_TOO_LARGE,
                               "message %s on channel %s: %s bytes with its headers, the limit of "
                               "this nats-server is %s (max_payload); send a reference, or raise "
                               "it",
                               message->id, channel, marty__grouped(size).text,
                               marty__grouped((uint64_t)port->payload_max).text);
    }
    return MARTY_OK;
}

/* ---- slots */

static bool grow_pending(marty_port *port)
{
    uint32_t count = port->pending_count ? port->pending_count * 2 : 1024;
    nats__pending *pending =
        count <= NATS__PENDING_MAX ? marty_realloc(port->pending, count * sizeof *pending) : NULL;
    if (!pending) {
        return false;
    }
    for (uint32_t i = count; i > port->pending_count; i--) {
        pending[i - 1] = (nats__pending){.next_free = port->pending_free};
        port->pending_free = i; /* index + 1 */
    }
    port->pending = pending;
    port->pending_count = count;
    return true;
}

static nats__pending *pending_new(marty_port *port)
{
    if (!port->pending_free && !grow_pending(port)) {
        return NULL;
    }
    nats__pending *slot = &port->pending[port->pending_free - 1];
    port->pending_free = slot->next_free;
    port->pending_used++;
    return slot;
}

void nats__pending_free_locked(marty_port *port, uint32_t index)
{
    nats__pending *slot = &port->pending[index];
    slot->channel->in_flight--;
    slot->token = 0;
    nats__forbidden_note_locked(port, slot->subject_hash, false);
    slot->generation++;
    slot->next_free = port->pending_free;
    port->pending_free = index + 1;
    port->pending_used--;
}

/* Each channel has an inbox for its acks, so that a missing stream shows which channel it is of. */
static marty_err open_acks(marty_port *port, nats__channel *channel, marty_error *why)
{
    char subject[96];
    if (channel->acks.wire) {
        return MARTY_OK;
    }
    channel->id = channel->id ? channel->id : ++port->next_channel;
    channel->missing = 0;
    channel->acks.arrived = nats__acks_arrived;
    channel->acks.owner = channel;
    (void)snprintf(subject, sizeof subject, "%s.p.%u.>", port->wires[0].base, channel->id);
    return nats__inbox_open_locked(&port->wires[0], &channel->acks, subject, NULL, why);
}

static void reply_of_slot(const marty_port *port, const nats__pending *slot, char *out)
{
    const char *base = port->wires[0].base;
    size_t size = strlen(base);
    memcpy(out, base, size);
    memcpy(out + size, ".p.", 3);
    size += 3;
    size += nats__decimal(out + size, slot->channel->id);
    out[size++] = '.';
    size += nats__decimal(out + size, (uint64_t)(slot - port->pending));
    out[size++] = '.';
    out[size + nats__decimal(out + size, slot->generation)] = '\0';
}

static marty_err frame_pending(marty_port *port, nats__channel *channel, const nats__held *what,
                               const char *subject, uint32_t shard, const marty_message *body,
                               marty_error *why)
{
    char reply[128];
    marty_err err = open_acks(port, channel, why);
    nats__pending *slot = err ? NULL : pending_new(port);
    if (err) {
        return err;
    }
    if (!slot) {
        return marty_error_set(why, MARTY_E_NO_MEMORY, "nats: no memory for a publish");
    }
    slot->token = what->token;
    slot->channel = channel;
    channel->in_flight++;
    slot->shard = shard;
    slot->deadline_ns = what->deadline_ns;
    slot->subject_hash = nats__hash(subject);
    slot->serial = ++port->pending_serial;
    nats__forbidden_note_locked(port, slot->subject_hash, true);
    if (slot->deadline_ns < port->pending_due_ns) {
        port->pending_due_ns = slot->deadline_ns;
        port->due_ns = slot->deadline_ns < port->due_ns ? slot->deadline_ns : port->due_ns;
    }
    reply_of_slot(port, slot, reply);
    marty_bytes lines = {port->scratch.data, port->scratch.size};
    if (!nats__frame_locked(&port->wires[0], subject, reply, lines, body->data)) {
        nats__pending_free_locked(port, (uint32_t)(slot - port->pending));
        return marty_error_set(why, MARTY_E_NO_MEMORY, "nats: no memory for a message");
    }
    return MARTY_OK;
}

void nats__publish_one_locked(marty_port *port, nats__channel *channel, const nats__held *what)
{
    char subject[NATS__SUBJECT_MAX];
    marty_error why = {0};
    marty_message *body = NULL;
    uint32_t shard = nats__shard_of(channel, what->message);
    marty_err err = nats__subject_locked(channel, what->message->type, shard, subject, &why);
    err = err ? err
              : nats__encode_locked(port, what->message,
                                    port->options.envelope != NATS__CLOUDEVENTS &&
                                        channel->kind != MARTY_KIND_DEAD && !channel->retry,
                                    &body, &why);
    if (!err && !add_message_id(port, channel, what)) {
        err = marty_error_set(&why, MARTY_E_NO_MEMORY, "nats: no memory for headers");
    }
    if (!err && what->deliver_at_us > nats__wall_us(port)) {
        err = make_schedule(port, channel, what, subject, &why);
    } else if (!err && !add_time_to_live(port, channel, what->message, "Nats-TTL")) {
        err = marty_error_set(&why, MARTY_E_NO_MEMORY, "nats: no memory for headers");
    }
    err = err ? err : nats__check_size(port, channel->name, what->message, body, &why);
    err = err ? err : frame_pending(port, channel, what, subject, shard, body, &why);
    marty_message_unref(body);
    if (err) {
        nats__answer(port, what->token, err, MARTY_LEVEL_ANY, why.text);
    }
}
