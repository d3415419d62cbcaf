/* SPDX-License-Identifier: Apache-2.0
 * Messages of consumers on their way to core. The loop's alone. What comes without credit, or
 * behind a message of an ordered source that was given back, is kept here in its order. */
#include "kept.h"
#include "parts.h"

#include <stdio.h>
#include <string.h>

enum { CLOCKS_AGREE_US = 1000000 };

typedef struct admitted {
    const nats__message *message;
    int64_t stored_us; /* by the server's clock */
} admitted;

struct nats__batch {
    nats__read read;
    marty_incoming incoming[NATS__BATCH];
    admitted admitted[NATS__BATCH];
    char positions[NATS__BATCH][48];
};

nats__batch *nats__batch_new(void)
{
    return marty_alloc_zero(1, sizeof(nats__batch));
}

void nats__batch_free(nats__batch *batch)
{
    if (batch) {
        nats__read_free(&batch->read);
    }
    marty_free(batch);
}

nats__read *nats__batch_read(nats__batch *batch)
{
    return &batch->read;
}

/* $JS.ACK.[<domain>.<account>.]<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.
 * <pending>[.<token>]: what stands behind the consumer's name, found from behind. */
typedef struct ack_parts {
    const char *tail;
    size_t tail_size;
    uint64_t delivered, sequence;
    int64_t stored_us; /* by the server's clock */
} ack_parts;

static bool read_ack(nats__source *source, const char *subject, ack_parts *parts)
{
    if (!subject || strncmp(subject, "$JS.ACK.", 8) != 0) {
        return false;
    }
    if (strncmp(subject, source->ack_prefix, source->ack_prefix_size) != 0) {
        char middle[2 * NATS__NAME_MAX + 8]; /* with domain and account before: learn it */
        (void)snprintf(middle, sizeof middle, ".%s", source->ack_prefix + 8);
        const char *at = strstr(subject, middle);
        size_t size = at ? (size_t)(at - subject) + strlen(middle) : 0;
        char *prefix = at ? marty_realloc(source->ack_prefix, size + 1) : NULL;
        if (!prefix) {
            return false;
        }
        memcpy(prefix, subject, size);
        prefix[size] = '\0';
        source->ack_prefix = prefix;
        source->ack_prefix_size = size;
    }
    const char *at = subject + source->ack_prefix_size;
    parts->tail = at;
    parts->delivered = nats__number(&at);
    at += *at == '.';
    parts->sequence = nats__number(&at);
    at += *at == '.';
    (void)nats__number(&at); /* of the consumer */
    at += *at == '.';
    parts->stored_us = (int64_t)(nats__number(&at) / 1000);
    parts->tail_size = (size_t)(at - parts->tail) + strlen(at);
    return parts->tail_size < sizeof((nats__entry *)0)->tail && parts->sequence > 0;
}

/* A lease that ended without our noticing: what core holds of it is void. Either we stood still, or
 * somebody has shortened it: the next one is taken to be no longer than this one was, at most. */
static int64_t forget_older(nats__subscription *subscription, const nats__source *source,
                            uint64_t sequence, int64_t now_ns)
{
    int64_t lease_ns = nats__lease_ns(source), guess_ns = NATS__GUESS_MS * INT64_C(1000000);
    for (uint32_t i = 0; i < subscription->entry_count; i++) {
        nats__entry *entry = &subscription->entries[i];
        if (entry->tag && entry->source == source && entry->sequence == sequence) {
            int64_t was_ns = now_ns - entry->leased_ns;
            was_ns = was_ns > guess_ns ? was_ns : guess_ns;
            nats__entry_free_locked(subscription, entry);
            nats__lease_doubt_locked(subscription);
            return was_ns < lease_ns ? was_ns : lease_ns;
        }
    }
    return lease_ns;
}

/* Its place in the stream, 0 = unknown. */
uint64_t nats__sequence_of(nats__source *source, const nats__message *message)
{
    ack_parts parts;
    return read_ack(source, message->reply, &parts) ? parts.sequence : 0;
}

void nats__return_locked(nats__source *source, const nats__message *message)
{
    uint64_t sequence = nats__sequence_of(source, message);
    if (sequence > 0) {
        nats__uncounted_note_locked(source, sequence);
    }
    nats__nak_locked(&source->owner->port->wires[0], message->reply, 0);
}

/* Whether it is one that was given back and is waited for; it is not from now on. */
static bool is_awaited(nats__source *source, uint64_t sequence)
{
    for (size_t i = 0; i < source->awaited_count; i++) {
        if (source->awaited[i].sequence == sequence) {
            source->awaited[i] = source->awaited[--source->awaited_count];
            return true;
        }
    }
    return false;
}

/* The shard of a message of a source of all shards: the last word of its subject. */
static uint32_t shard_of(const nats__source *source, const nats__message *message)
{
    if (!source->ephemeral || source->channel->shards <= 1) {
        return source->shard;
    }
    const char *dot = strrchr(message->subject, '.');
    const char *at = dot ? dot + 1 : "";
    return (uint32_t)nats__number(&at);
}

static size_t write_position(const nats__source *source, uint32_t shard, uint64_t sequence,
                             char out[48])
{
    size_t size = 0;
    if (source->channel->shards > 1 && !source->channel->retry) {
        size = nats__decimal(out, shard);
        out[size++] = ':';
    }
    size += nats__decimal(out + size, sequence);
    out[size] = '\0';
    return size;
}

/* The server's clock as known at a moment. */
typedef struct server_clock {
    bool needed;
    int64_t server_us, wall_us;
} server_clock;

/* With the lock held. Where the server removes nothing by its own clock, core looks at the time to
 * live by ours. */
static server_clock read_clock(const marty_port *port)
{
    if (port->clock_us == 0 || port->api_level >= NATS__LEVEL_TTL) {
        return (server_clock){.needed = false};
    }
    return (server_clock){.needed = true,
                          .server_us =
                              port->clock_us + (nats__now_ns(port) - port->clock_ns) / 1000,
                          .wall_us = nats__wall_us(port)};
}

/* Make it a time of ours, by the server's clock, so that nobody's clock but the server's counts. */
static marty_message *by_our_clock(const server_clock *clock, int64_t stored_us,
                                   marty_message *message)
{
    int64_t lives_us = message ? message->expires_us - message->time_us : 0;
    if (!clock->needed || !message || !message->expires_us || lives_us <= 0) {
        return message;
    }
    int64_t expires_us = clock->wall_us + (stored_us + lives_us - clock->server_us);
    int64_t differs_us = expires_us - message->expires_us;
    return differs_us > -CLOCKS_AGREE_US && differs_us < CLOCKS_AGREE_US
               ? message
               : nats__with_expiry(message, expires_us > 1 ? expires_us : 1);
}

/* Lock held: all but what stands in the message itself. */
static void fill(marty_port *port, nats__source *source, const nats__message *message,
                 const ack_parts *parts, nats__entry *entry, size_t place, int64_t since_ns,
                 int64_t lease_ns)
{
    nats__subscription *subscription = source->owner;
    nats__batch *batch = port->batch;
    uint32_t uncounted = parts->delivered > 1
                             ? nats__uncounted_of(subscription, source->channel, parts->sequence)
                             : 0;
    uint32_t attempt = (uint32_t)parts->delivered;
    entry->source = source;
    entry->sequence = parts->sequence;
    entry->leased_ns = since_ns;
    memcpy(entry->tail, parts->tail, parts->tail_size + 1);
    source->last_sequence =
        parts->sequence > source->last_sequence ? parts->sequence : source->last_sequence;
    uint32_t shard = shard_of(source, message);
    (void)write_position(source, shard, parts->sequence, batch->positions[place]);
    batch->admitted[place] = (admitted){message, parts->stored_us};
    batch->incoming[place] =
        (marty_incoming){.subscription = subscription->number,
                         .tag = entry->tag,
                         .channel = subscription->wildcard ? source->channel->name : NULL,
                         .position = batch->positions[place],
                         .attempt = attempt > uncounted ? attempt - uncounted : 1,
                         .shard = shard,
                         .lease_until_ns = since_ns + lease_ns,
                         .raw = {message->data, message->size}};
}

bool nats__source_flows_locked(const nats__source *source, int64_t now_ns)
{
    return source->running && !source->owner->leaving && !source->releasing &&
           (!source->ordered || now_ns < source->valid_until_ns);
}

/* Lock held. Decides about one message: handed over, kept, or given back. */
static bool admit(marty_port *port, nats__source *source, const nats__message *message,
                  size_t place, bool fresh, int64_t now_ns)
{
    nats__subscription *subscription = source->owner;
    ack_parts parts;
    if (!read_ack(source, message->reply, &parts)) {
        return false;
    }
    bool running = nats__source_flows_locked(source, now_ns);
    int64_t since_ns = fresh ? now_ns : message->since_ns;
    if (fresh && parts.delivered > 1) {
        nats__kept_forget_locked(source, parts.sequence);
    }
    bool waits = source->awaited_count > 0 || (fresh && source->kept_count > 0);
    bool behind = waits && (!is_awaited(source, parts.sequence) ||
                            nats__kept_before_locked(source, parts.sequence));
    bool room = subscription->credit > 0 && !behind;
    nats__entry *entry = NULL;
    int64_t lease_ns = parts.delivered > 1 && running
                           ? forget_older(subscription, source, parts.sequence, now_ns)
                           : nats__lease_ns(source);
    if (running && room) {
        entry = nats__entry_new_locked(subscription);
    }
    if (entry) {
        subscription->credit--;
        fill(port, source, message, &parts, entry, place, since_ns, lease_ns);
        return true;
    }
    if (!nats__keep_locked(source, message, since_ns)) { /* one that ends gives it back, too */
        nats__return_locked(source, message);
    }
    return false;
}

/* Take those apart that were admitted, and hand them over: at once up to an unreadable one, as its
 * headers lie where the next one's will. */
static void hand_over(marty_port *port, marty_kind kind, size_t count, const server_clock *clock)
{
    nats__batch *batch = port->batch;
    size_t first = 0;
    for (size_t i = 0; i < count; i++) {
        const admitted *from = &batch->admitted[i];
        marty_incoming *to = &batch->incoming[i];
        nats__read_message(port, from->message, &batch->read);
        to->message = nats__mend_type(port, kind, from->message, batch->read.message);
        to->message = by_our_clock(clock, from->stored_us, to->message);
        to->headers = batch->read.headers;
        to->header_count = batch->read.header_count;
        if (!to->message || i + 1 == count) {
            port->sink->delivered(port->sink, batch->incoming + first, i + 1 - first);
            first = i + 1;
        }
    }
}

size_t nats__deliver(marty_port *port, nats__source *source, const nats__message *messages,
                     size_t count, bool fresh)
{
    size_t used = 0;
    int64_t now_ns = nats__now_ns(port);
    pthread_mutex_lock(&port->lock);
    marty_kind kind = source->owner->kind;
    for (size_t i = 0; i < count; i++) {
        source->outstanding -= fresh && source->outstanding > 0;
        used += admit(port, source, &messages[i], used, fresh, now_ns);
    }
    server_clock clock = read_clock(port);
    pthread_mutex_unlock(&port->lock);
    hand_over(port, kind, used, &clock);
    return used;
}
