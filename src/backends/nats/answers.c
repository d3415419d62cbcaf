/* SPDX-License-Identifier: Apache-2.0
 * Answers to what was published: acks of JetStream, echoes, deadlines, refusals. The loop's, but
 * for what ops and the worker call with the lock held. */
#include "denied.h"
#include "parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LAZY_NS = 2000000 };

static const char nobody_answers[] = "nobody answers these queries now";

/* ---- echoes */

bool nats__ring_add(nats__ring *ring, uint64_t token, uint64_t mark)
{
    if (ring->count == ring->capacity) {
        size_t capacity = ring->capacity ? ring->capacity * 2 : 256;
        nats__taken *taken = marty_alloc(capacity * sizeof *taken);
        if (!taken) {
            return false;
        }
        for (size_t i = 0; i < ring->count; i++) {
            taken[i] = ring->taken[(ring->head + i) % ring->capacity];
        }
        marty_free(ring->taken);
        *ring = (nats__ring){taken, capacity, 0, ring->count};
    }
    /* It has room, so it has a capacity: NOLINTNEXTLINE(clang-analyzer-core.DivideZero) */
    ring->taken[(ring->head + ring->count++) % ring->capacity] = (nats__taken){token, mark};
    return true;
}

uint64_t nats__ring_take(nats__ring *ring)
{
    uint64_t token = ring->taken[ring->head].token;
    ring->head = (ring->head + 1) % ring->capacity;
    ring->count--;
    return token;
}

void nats__confirm_locked(nats__wire *wire, bool forced)
{
    char subject[96];
    size_t size = strlen(wire->base);
    wire->confirm_at_ns = INT64_MAX;
    if (wire->echo_out || !wire->nc || (wire->ring.count == 0 && !forced)) {
        return;
    }
    memcpy(subject, wire->base, size);
    memcpy(subject + size, ".c.e.", 5);
    size += 5;
    subject[size + nats__decimal(subject + size, wire->echo + 1)] = '\0';
    if (nats__frame_locked(wire, subject, NULL, (marty_bytes){NULL, 0}, (marty_bytes){NULL, 0})) {
        wire->echo++;
        wire->echo_out = true;
        wire->ring_asked = wire->ring.count;
        nats__wake(wire->port, false);
    }
}

/* The next token that the echo has answered. */
static bool next_confirmed(nats__wire *wire, nats__answers *answers)
{
    if (wire->ring_asked == 0) {
        return false;
    }
    uint64_t token = nats__ring_take(&wire->ring);
    wire->ring_asked--;
    answers->results[answers->count] =
        (marty_published){.token = token, .level = MARTY_LEVEL_MEMORY};
    answers->count += token != 0;
    return true;
}

static void tell(marty_port *port, nats__answers *answers)
{
    if (answers->count > 0) {
        port->sink->published(port->sink, answers->results, answers->count);
        answers->count = 0;
    }
}

/* With the lock held: tell what is gathered without it. */
static void tell_unlocked(marty_port *port, nats__answers *answers)
{
    pthread_mutex_unlock(&port->lock);
    tell(port, answers);
    pthread_mutex_lock(&port->lock);
}

static void take_echo(nats__wire *wire, uint64_t number, nats__answers *answers)
{
    if (number != wire->echo || !wire->echo_out) {
        return;
    }
    while (next_confirmed(wire, answers)) { /* no other echo asks for more meanwhile */
        if (answers->count == NATS__BATCH) {
            tell_unlocked(wire->port, answers);
        }
    }
    wire->echo_out = false;
    if (wire->ring.count > 0 && wire == &wire->port->wires[0]) {
        nats__confirm_locked(wire, false);
    } else if (wire->ring.count > 0) {
        wire->confirm_at_ns = nats__now_ns(wire->port) + LAZY_NS;
        wire->port->due_ns =
            wire->confirm_at_ns < wire->port->due_ns ? wire->confirm_at_ns : wire->port->due_ns;
    }
}

/* ---- acks of JetStream: {"stream":"S","seq":7} or {...,"error":{...}} */

static const char *find(const char *text, size_t size, const char *word)
{
    return memmem(text, size, word, strlen(word));
}

static void write_position(const nats__pending *slot, uint64_t sequence, char out[48])
{
    size_t size = 0;
    if (slot->channel->shards > 1) {
        size = nats__decimal(out, slot->shard);
        out[size++] = ':';
    }
    out[size + nats__decimal(out + size, sequence)] = '\0';
}

static marty_err refused(const char *data, size_t size, const nats__channel *channel,
                         marty_error *why)
{
    json_t *answer = json_loadb(data, size, 0, NULL);
    json_t *problem = json_object_get(answer, "error");
    const char *text = json_string_value(json_object_get(problem, "description"));
    int code = (int)json_integer_value(json_object_get(problem, "err_code"));
    char what[320];
    (void)snprintf(what, sizeof what, "channel %s", channel->name);
    marty_err err = nats__api_error(code, text ? text : "refused", what, why);
    json_decref(answer);
    return err;
}

static marty_err no_stream(nats__channel *channel, marty_error *why)
{
    channel->ready = NATS__UNKNOWN; /* the next publish ensures it again */
    return marty_error_set(
        why, MARTY_E_UNAVAILABLE,
        "channel %s: no stream takes it: stream %s is not there, or JetStream is "
        "off or starting",
        channel->name, channel->stream);
}

static void take_ack(marty_port *port, nats__pending *slot, const nats__message *message,
                     marty_published *result, marty_error *why)
{
    const char *data = message->data;
    size_t size = message->size;
    nats__channel *channel = slot->channel;
    *result = (marty_published){.token = slot->token};
    const char *sequence = size ? find(data, size, "\"seq\":") : NULL;
    if (message->status == 503) {
        result->err = no_stream(channel, why);
    } else if (size && find(data, size, "\"error\"")) {
        result->err = refused(data, size, channel, why);
    } else if (sequence) {
        sequence += 6;
        result->level = channel->level;
        write_position(slot, nats__number(&sequence), result->position);
    } else {
        result->err = marty_error_set(why, MARTY_E_MAYBE_STORED,
                                      "channel %s: an answer that is no ack came", channel->name);
    }
    result->text = result->err ? why->text : NULL;
    nats__acked_note_locked(port, slot->subject_hash);
    nats__pending_free_locked(port, (uint32_t)(slot - port->pending));
}

static void take_ack_of(marty_port *port, const char *rest, const nats__message *message,
                        nats__answers *answers)
{
    marty_error why = {0};
    uint64_t index = nats__number(&rest);
    rest += *rest == '.';
    uint64_t generation = nats__number(&rest);
    nats__pending *slot = index < port->pending_count ? &port->pending[index] : NULL;
    if (!slot || !slot->token || slot->generation != generation) {
        return; /* answered by its deadline */
    }
    marty_published *result = &answers->results[answers->count++];
    take_ack(port, slot, message, result, &why);
    if (result->err || answers->count == NATS__BATCH) {
        tell_unlocked(port, answers);
        result->text = NULL; /* why lives here only */
    }
}

/* Each publish has one answer, or finds no stream, which the library (with TLS) tells without
 * saying which it was. Once as many found none as are left unanswered, it is those. */
static void find_missing(marty_port *port, nats__channel *channel, nats__answers *answers)
{
    marty_error why = {0};
    if (channel->missing == 0 || channel->in_flight > channel->missing) {
        return;
    }
    (void)no_stream(channel, &why);
    for (uint32_t i = 0; i < port->pending_count && channel->in_flight > 0; i++) {
        if (port->pending[i].token && port->pending[i].channel == channel) {
            answers->results[answers->count++] = (marty_published){
                .token = port->pending[i].token, .err = MARTY_E_UNAVAILABLE, .text = why.text};
            nats__pending_free_locked(port, i);
            if (answers->count == NATS__BATCH) {
                tell(port, answers); /* with the lock: what is published from here on found one */
            }
        }
    }
    channel->missing = 0;
    tell_unlocked(port, answers);
}

void nats__acks_arrived(marty_port *port, nats__inbox *inbox, const nats__message *messages,
                        size_t count)
{
    nats__answers answers;
    nats__channel *channel = inbox->owner;
    answers.count = 0;
    pthread_mutex_lock(&port->lock);
    size_t base = inbox->wire ? strlen(inbox->wire->base) + 3 : 0;
    for (size_t i = 0; i < count; i++) {
        const char *rest = messages[i].subject ? messages[i].subject + base : "";
        (void)nats__number(&rest); /* the channel */
        if (!messages[i].subject) {
            channel->missing++;
        } else if (*rest == '.') {
            rest++;
            take_ack_of(port, rest, &messages[i], &answers);
        }
    }
    find_missing(port, channel, &answers);
    nats__forbidden_look_locked(port);
    pthread_mutex_unlock(&port->lock);
    tell(port, &answers);
}

void nats__asked(marty_port *port, bool nobody)
{
    pthread_mutex_lock(&port->lock);
    uint64_t token = port->asked.count > 0 ? nats__ring_take(&port->asked) : 0;
    pthread_mutex_unlock(&port->lock);
    if (token && nobody) {
        nats__answer(port, token, MARTY_E_NO_RESPONDER, MARTY_LEVEL_ANY, nobody_answers);
    } else if (token) {
        nats__answer(port, token, MARTY_OK, MARTY_LEVEL_MEMORY, NULL);
    }
}

void nats__asked_nobody(marty_port *port, const char *reply_subject)
{
    uint64_t mark = nats__hash(reply_subject), token = 0;
    pthread_mutex_lock(&port->lock);
    nats__ring *ring = &port->wires[1].ring;
    for (size_t i = 0; i < ring->count && !token; i++) {
        nats__taken *taken = &ring->taken[(ring->head + i) % ring->capacity];
        if (taken->mark == mark) {
            token = taken->token;
            taken->token = 0;
        }
    }
    pthread_mutex_unlock(&port->lock);
    if (token) {
        nats__answer(port, token, MARTY_E_NO_RESPONDER, MARTY_LEVEL_ANY, nobody_answers);
    }
}

void nats__asked_all(marty_port *port)
{
    pthread_mutex_lock(&port->lock);
    size_t count = port->asked.count;
    pthread_mutex_unlock(&port->lock);
    for (size_t i = 0; i < count; i++) {
        nats__asked(port, false);
    }
}

void nats__control_arrived(marty_port *port, nats__inbox *inbox, const nats__message *messages,
                           size_t count)
{
    nats__answers answers;
    answers.count = 0;
    pthread_mutex_lock(&port->lock);
    nats__wire *wire = inbox->wire;
    size_t base = wire ? strlen(wire->base) : 0;
    for (size_t i = 0; i < count; i++) {
        const char *subject = messages[i].subject;
        if (!subject) {
            nats__call_nobody_locked(port);
            continue;
        }
        const char *rest = wire && strlen(subject) > base + 5 ? subject + base + 5 : "";
        char kind = *rest ? rest[-2] : '\0';
        if (kind == 'a') {
            nats__call_answer_locked(port, (uint32_t)nats__number(&rest), &messages[i]);
        } else if (kind == 'e') {
            take_echo(wire, nats__number(&rest), &answers);
        }
    }
    pthread_mutex_unlock(&port->lock);
    tell(port, &answers);
}

/* ---- deadlines */

static bool expire_pending(marty_port *port, int64_t now_ns, int64_t *due_ns,
                           nats__answers *answers)
{
    for (uint32_t i = 0; i < port->pending_count; i++) {
        nats__pending *slot = &port->pending[i];
        if (!slot->token) {
            continue;
        }
        if (slot->deadline_ns > now_ns) {
            *due_ns = slot->deadline_ns < *due_ns ? slot->deadline_ns : *due_ns;
            continue;
        }
        answers->results[answers->count++] = (marty_published){
            .token = slot->token,
            .err = MARTY_E_MAYBE_STORED,
            .text = "nats: no ack in time; the server may be slow, without a leader, or its disk "
                    "full: publish again with the same id"};
        slot->channel->missing -= slot->channel->missing > 0; /* perhaps it was this one */
        nats__forbidden_expired_locked(port, slot->subject_hash);
        nats__pending_free_locked(port, i);
        if (answers->count == NATS__BATCH) {
            return true;
        }
    }
    return false;
}

static bool expire_held(marty_port *port, nats__channel *channel, int64_t now_ns, int64_t *due_ns,
                        nats__answers *answers)
{
    marty__link *at = channel->held.next;
    while (at != &channel->held && answers->count < NATS__BATCH) {
        nats__held *held = MARTY__OWNER(at, nats__held, link);
        at = at->next;
        if (held->deadline_ns > now_ns) {
            *due_ns = held->deadline_ns < *due_ns ? held->deadline_ns : *due_ns;
            continue;
        }
        answers->results[answers->count++] = (marty_published){
            .token = held->token,
            .err = MARTY_E_TIMEOUT,
            .text = "nats: its stream could not be ensured in time; it was not sent"};
        marty__list_remove(&held->link);
        marty_message_unref(held->message);
        marty_free(held);
        port->held_count--;
    }
    return answers->count == NATS__BATCH;
}

int64_t nats__pending_expire(marty_port *port, int64_t now_ns)
{
    nats__answers answers;
    bool more = true;
    int64_t due_ns = INT64_MAX;
    while (more) {
        answers.count = 0;
        more = false;
        pthread_mutex_lock(&port->lock);
        due_ns = port->pending_due_ns;
        if (due_ns <= now_ns) {
            due_ns = INT64_MAX;
            more = expire_pending(port, now_ns, &due_ns, &answers);
            for (size_t i = 0; !more && port->held_count > 0 && i < 256; i++) {
                for (nats__channel *at = port->buckets[i]; at && !more; at = at->next) {
                    more = expire_held(port, at, now_ns, &due_ns, &answers);
                }
            }
            port->pending_due_ns = more ? now_ns : due_ns;
            nats__forbidden_look_locked(port);
        }
        pthread_mutex_unlock(&port->lock);
        tell(port, &answers);
    }
    return due_ns;
}
