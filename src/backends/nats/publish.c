/* SPDX-License-Identifier: Apache-2.0
 * Publishing: an op frames what it can at once. What JetStream keeps is answered by its ack, to a
 * reply subject that names the slot here; what nobody keeps is answered by an echo behind it.
 * Messages for a channel that is not known to exist wait until the worker has ensured it. */
#include "parts.h"

#include <stdio.h>
#include <string.h>

enum { IN_FLIGHT_FEW = 16, BACKLOG_BYTES = 32 * 1024, LAZY_NS = 2000000 };

void nats__answer(marty_port *port, uint64_t token, marty_err err, marty_level level,
                  const char *text)
{
    marty_published result = {.token = token, .err = err, .level = level, .text = text};
    port->sink->published(port->sink, &result, 1);
}

static void refuse(marty_port *port, uint64_t token, marty_err err, const marty_error *why)
{
    nats__answer(port, token, err, MARTY_LEVEL_ANY, why->text);
}

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
    if (what->copy || channel->kind == MARTY_KIND_DEAD) {
        added = added && add_attribute(lines, message, "martyattempts") &&
                add_attribute(lines, message, "martydeadgroup") &&
                add_attribute(lines, message, "martydeadattempts") &&
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
    write_time(what->deliver_at_us, time_text, sizeof time_text);
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

static marty_err check_size(const marty_port *port, const char *channel,
                            const marty_message *message, const marty_message *body,
                            marty_error *why)
{
    size_t size = body->data.size + (port->scratch.size ? port->scratch.size + 12 : 0);
    if (port->payload_max > 0 && size > (size_t)port->payload_max) {
        return marty_error_set(why, MARTY_E_TOO_LARGE,
                               "message %s on channel %s: %zu bytes with its headers, the limit of "
                               "this nats-server is %lld (max_payload); send a reference, or raise "
                               "it",
                               message->id, channel, size, (long long)port->payload_max);
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
    slot->token = 0;
    slot->generation++;
    slot->next_free = port->pending_free;
    port->pending_free = index + 1;
    port->pending_used--;
}

static void reply_of_slot(const marty_port *port, const nats__pending *slot, char *out)
{
    const char *base = port->wires[0].base;
    size_t size = strlen(base);
    memcpy(out, base, size);
    memcpy(out + size, ".p.", 3);
    size += 3;
    size += nats__decimal(out + size, (uint64_t)(slot - port->pending));
    out[size++] = '.';
    out[size + nats__decimal(out + size, slot->generation)] = '\0';
}

static marty_err frame_pending(marty_port *port, nats__channel *channel, const nats__held *what,
                               const char *subject, uint32_t shard, const marty_message *body,
                               marty_error *why)
{
    char reply[128];
    nats__pending *slot = pending_new(port);
    if (!slot) {
        return marty_error_set(why, MARTY_E_NO_MEMORY, "nats: no memory for a publish");
    }
    slot->token = what->token;
    slot->channel = channel;
    slot->shard = shard;
    slot->deadline_ns = what->deadline_ns;
    slot->subject_hash = nats__hash(subject);
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
    err = err ? err : check_size(port, channel->name, what->message, body, &why);
    err = err ? err : frame_pending(port, channel, what, subject, shard, body, &why);
    marty_message_unref(body);
    if (err) {
        refuse(port, what->token, err, &why);
    }
}

/* ---- what nobody keeps */

static marty_err frame_core(marty_port *port, int index, uint64_t token, const char *subject,
                            const char *reply, const marty_message *message, const char *channel,
                            marty_error *why)
{
    nats__wire *wire = &port->wires[index];
    marty_message *body = NULL;
    marty_err err =
        nats__encode_locked(port, message, port->options.envelope != NATS__CLOUDEVENTS, &body, why);
    err = err ? err : check_size(port, channel, message, body, why);
    if (!err) {
        marty_bytes lines = {port->scratch.data, port->scratch.size};
        bool noted = nats__unconfirmed_add_locked(wire, token);
        bool framed = noted && nats__frame_locked(wire, subject, reply, lines, body->data);
        wire->ring_count -= noted && !framed; /* the last one, not asked about yet */
        err = framed ? MARTY_OK : marty_error_set(why, MARTY_E_NO_MEMORY, "nats: no memory");
    }
    marty_message_unref(body);
    return err;
}

/* A query. In the legacy envelope the reply address is said in the body, too. */
static marty_err take_request(marty_port *port, nats__channel *channel, const marty_outgoing *out,
                              marty_error *why)
{
    char subject[NATS__SUBJECT_MAX], reply[NATS__SUBJECT_MAX];
    marty_err err = nats__subject_locked(channel, out->message->type, 0, subject, why);
    if (!err && out->reply_to) {
        err = nats__reply_subject(port, out->reply_to, out->message->id, reply, why);
    }
    const char *reply_to = out->reply_to ? reply : NULL;
    if (err || port->options.envelope == NATS__CLOUDEVENTS || !reply_to) {
        return err ? err
                   : frame_core(port, 1, out->token, subject, reply_to, out->message, channel->name,
                                why);
    }
    marty_message *told = NULL;
    err = nats__with_attribute(out->message, "replyto", reply_to, &told, why);
    err = err ? err : frame_core(port, 1, out->token, subject, reply_to, told, channel->name, why);
    marty_message_unref(told);
    return err;
}

static marty_err take_core(marty_port *port, const marty_outgoing *out, marty_error *why)
{
    nats__channel *channel = NULL;
    char subject[NATS__SUBJECT_MAX];
    if (out->channel.kind == MARTY_KIND_REPLY) {
        if (!nats__reply_allowed(out->channel.name)) {
            return marty_error_set(why, MARTY_E_ARGUMENT,
                                   "\"%.200s\" is no address that a reply may go to",
                                   out->channel.name);
        }
        return frame_core(port, 1, out->token, out->channel.name, NULL, out->message, "replies",
                          why);
    }
    marty_err err = nats__channel_get_locked(port, &channel, &out->channel, why);
    if (!err && out->channel.kind == MARTY_KIND_REQUEST) {
        return take_request(port, channel, out, why);
    }
    err = err ? err : nats__subject_locked(channel, out->message->type, 0, subject, why);
    return err ? err
               : frame_core(port, 0, out->token, subject, NULL, out->message, channel->name, why);
}

/* ---- the op */

static marty_err hold(marty_port *port, nats__channel *channel, const nats__held *what,
                      marty_error *why)
{
    nats__held *held = marty_alloc(sizeof *held);
    nats__job *job = channel->ready == NATS__UNKNOWN ? nats__job_new(nats__ensure_run, NULL) : NULL;
    if (!held || (channel->ready == NATS__UNKNOWN && !job)) {
        marty_free(held);
        marty_free(job);
        return marty_error_set(why, MARTY_E_NO_MEMORY, "nats: no memory to hold a message");
    }
    *held = *what;
    held->message = marty_message_ref(what->message);
    marty__list_push(&channel->held, &held->link);
    port->held_count++;
    if (held->deadline_ns < port->pending_due_ns) {
        port->pending_due_ns = port->due_ns = held->deadline_ns;
    }
    if (job) {
        channel->ready = NATS__ENSURING;
        job->channel = channel;
        nats__job_post_locked(port, job);
    }
    return MARTY_OK;
}

static marty_err take_stored(marty_port *port, const marty_outgoing *out, int64_t deadline_ns,
                             marty_error *why)
{
    nats__channel *channel = NULL;
    nats__held what = {.token = out->token,
                       .deliver_at_us = out->deliver_at_us,
                       .deadline_ns = deadline_ns,
                       .copy = out->channel.group != NULL};
    if (!port->jetstream) {
        return marty_error_set(why, MARTY_E_UNAVAILABLE,
                               "nats://%s keeps nothing: JetStream is off; start the server with: "
                               "nats-server -js",
                               port->server);
    }
    marty_err err = nats__channel_get_locked(port, &channel, &out->channel, why);
    if (err) {
        return err;
    }
    what.message = marty_message_ref(out->message);
    if (channel->ready == NATS__READY) {
        nats__publish_one_locked(port, channel, &what);
    } else {
        err = hold(port, channel, &what, why);
    }
    marty_message_unref(what.message);
    return err;
}

static void take_one(marty_port *port, const marty_outgoing *out, int64_t now_ns)
{
    marty_error why = {0};
    marty_kind kind = out->channel.kind;
    bool legacy = port->options.envelope == NATS__LEGACY && !out->channel.group &&
                  (kind == MARTY_KIND_TOPIC || kind == MARTY_KIND_QUEUE);
    bool core = kind == MARTY_KIND_REQUEST || kind == MARTY_KIND_REPLY ||
                kind == MARTY_KIND_BROADCAST || legacy;
    int64_t most_ns = now_ns + (int64_t)NATS__CALL_MS * 1000000;
    int64_t deadline_ns = out->deadline_ns > 0 ? out->deadline_ns : most_ns;
    marty_err err = deadline_ns <= now_ns
                        ? marty_error_set(&why, MARTY_E_TIMEOUT, "not begun in time")
                        : MARTY_OK;
    err = err ? err : core ? take_core(port, out, &why) : take_stored(port, out, deadline_ns, &why);
    if (err) {
        refuse(port, out->token, err, &why);
    }
}

/* What was framed goes out: at once while little is under way; else the loop takes it with what
 * comes after it, when acks wake it, or when there is a packet's worth. */
static void push_out(marty_port *port)
{
    nats__wire *bulk = &port->wires[0], *queries = &port->wires[1];
    if (bulk->ring_count > bulk->ring_asked) {
        nats__confirm_locked(bulk, false);
    }
    if (bulk->out.size > 0) {
        bool few = port->pending_used + bulk->ring_count <= IN_FLIGHT_FEW;
        if (few) {
            nats__send_locked(bulk);
        } else {
            nats__wake(port, bulk->out.size > BACKLOG_BYTES);
        }
    }
    if (queries->ring_count > queries->ring_asked && queries->confirm_at_ns == INT64_MAX) {
        queries->confirm_at_ns = nats__now_ns(port) + LAZY_NS;
        port->due_ns =
            queries->confirm_at_ns < port->due_ns ? queries->confirm_at_ns : port->due_ns;
    }
    if (queries->out.size > 0) {
        nats__send_locked(queries);
    }
}

marty_err nats__publish(marty_port *port, const marty_outgoing batch[], size_t count,
                        size_t *ret_taken, marty_error *why)
{
    size_t taken = 0;
    int64_t now_ns = nats__now_ns(port);
    marty_err err = MARTY_OK;
    pthread_mutex_lock(&port->lock);
    if (port->life != NATS__UP || port->closing) {
        err = marty_error_set(why, MARTY_E_UNAVAILABLE, "nats: not connected");
    }
    while (!err && taken < count) {
        bool full = port->pending_used >= NATS__PENDING_MAX ||
                    nats__backlog_locked(&port->wires[0]) > NATS__OUT_BYTES_MAX ||
                    nats__backlog_locked(&port->wires[1]) > NATS__OUT_BYTES_MAX;
        if (full) {
            err = marty_error_set(why, MARTY_E_FULL, "nats: %u publishes are not answered yet",
                                  port->pending_used);
            break;
        }
        take_one(port, &batch[taken++], now_ns);
    }
    if (taken > 0) {
        push_out(port);
    }
    pthread_mutex_unlock(&port->lock);
    *ret_taken = taken;
    return err;
}
