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

/* ---- what nobody keeps */

/* echo: of a query whose reply is heard here by way of the library; else NULL. */
static marty_err frame_core(marty_port *port, int index, uint64_t token, const char *subject,
                            const char *reply, const char *echo, const marty_message *message,
                            const char *channel, marty_error *why)
{
    nats__wire *wire = &port->wires[index];
    marty_message *body = NULL;
    marty_err err =
        nats__encode_locked(port, message, port->options.envelope != NATS__CLOUDEVENTS, &body, why);
    err = err ? err : nats__check_size(port, channel, message, body, why);
    if (!err) {
        marty_bytes lines = {port->scratch.data, port->scratch.size};
        nats__ring *ring = echo ? &port->asked : &wire->ring;
        bool noted = nats__ring_add(ring, token, reply ? nats__hash(reply) : 0);
        bool framed = noted && nats__frame_locked(wire, subject, reply, lines, body->data);
        framed = framed && (!echo || nats__frame_locked(wire, echo, NULL, (marty_bytes){NULL, 0},
                                                        (marty_bytes){NULL, 0}));
        ring->count -= noted && !framed; /* the last one, not asked about yet */
        err = framed ? MARTY_OK : marty_error_set(why, MARTY_E_NO_MEMORY, "nats: no memory");
    }
    marty_message_unref(body);
    return err;
}

/* A query. With TLS an echo goes behind it to the same inbox: the library swallows the server's "no
 * responders" and tells only that there was one; the echo that comes next says for which. */
static marty_err take_request(marty_port *port, nats__channel *channel, const marty_outgoing *out,
                              marty_error *why)
{
    char subject[NATS__SUBJECT_MAX], reply[NATS__SUBJECT_MAX], echo[NATS__SUBJECT_MAX];
    marty_message *told = NULL;
    const char *name = channel->name;
    marty_err err = nats__subject_locked(channel, out->message->type, 0, subject, why);
    if (err || !out->reply_to) {
        return err ? err
                   : frame_core(port, 1, out->token, subject, NULL, NULL, out->message, name, why);
    }
    err = nats__reply_subject(port, out->reply_to, out->message->id, reply, why);
    err = err ? err : nats__reply_subject(port, out->reply_to, NATS__ECHO, echo, why);
    const marty_message *message = out->message;
    if (!err && port->options.envelope != NATS__CLOUDEVENTS) { /* legacy: say it in the body */
        err = nats__with_attribute(message, "replyto", reply, &told, why);
        message = told;
    }
    bool heard = port->wires[1].tls && nats__replies_heard_locked(port, out->reply_to);
    err = err ? err
              : frame_core(port, 1, out->token, subject, reply, heard ? echo : NULL, message, name,
                           why);
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
        return frame_core(port, 1, out->token, out->channel.name, NULL, NULL, out->message,
                          "replies", why);
    }
    marty_err err = nats__channel_get_locked(port, &channel, &out->channel, why);
    if (!err && out->channel.kind == MARTY_KIND_REQUEST) {
        return take_request(port, channel, out, why);
    }
    err = err ? err : nats__subject_locked(channel, out->message->type, 0, subject, why);
    return err ? err
               : frame_core(port, 0, out->token, subject, NULL, NULL, out->message, channel->name,
                            why);
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
    if (channel->ready == NATS__READY && marty__list_empty(&channel->held)) { /* in their order */
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
    if (bulk->ring.count > bulk->ring_asked) {
        nats__confirm_locked(bulk, false);
    }
    if (bulk->out.size > 0) {
        bool few = port->pending_used + bulk->ring.count <= IN_FLIGHT_FEW;
        if (few) {
            nats__send_locked(bulk);
        } else {
            nats__wake(port, bulk->out.size > BACKLOG_BYTES);
        }
    }
    if (queries->ring.count > queries->ring_asked && queries->confirm_at_ns == INT64_MAX) {
        queries->confirm_at_ns = nats__now_ns(port) + LAZY_NS;
        port->due_ns =
            queries->confirm_at_ns < port->due_ns ? queries->confirm_at_ns : port->due_ns;
        nats__wake(port, false);
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
