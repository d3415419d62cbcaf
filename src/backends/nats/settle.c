/* SPDX-License-Identifier: Apache-2.0
 * Settling: a word to the ack subject of the message. An ack that is lost on the way means that the
 * message comes again, so none is waited for. */
#include "kept.h"
#include "parts.h"

#include <string.h>

enum { AWAIT_NS = 5000000 };

typedef struct settled_run { /* settlings of one subscription, verb and result, told together */
    uint64_t tags[NATS__BATCH];
    size_t count;
    uint64_t subscription;
    marty_verb verb;
    marty_err result;
    int64_t lease_until_ns;
} settled_run;

/* With the lock held; the sink calls no op and waits for nothing. */
static void tell(marty_port *port, settled_run *run)
{
    if (run->count > 0) {
        port->sink->settled(port->sink, run->subscription, run->verb, run->tags, run->count,
                            run->result, run->lease_until_ns);
        run->count = 0;
    }
}

static void add(marty_port *port, settled_run *run, const marty_settling *settling,
                marty_err result, int64_t lease_until_ns)
{
    bool same = run->count > 0 && run->count < NATS__BATCH &&
                run->subscription == settling->subscription && run->verb == settling->verb &&
                run->result == result && run->lease_until_ns == lease_until_ns;
    if (!same) {
        tell(port, run);
        run->subscription = settling->subscription;
        run->verb = settling->verb;
        run->result = result;
        run->lease_until_ns = lease_until_ns;
    }
    run->tags[run->count++] = settling->tag;
}

void nats__await_locked(nats__source *source, uint64_t sequence, uint32_t delay_ms)
{
    marty_port *port = source->owner->port;
    if (source->awaited_count == source->awaited_capacity) {
        size_t capacity = source->awaited_capacity ? source->awaited_capacity * 2 : 16;
        nats__awaited *awaited = marty_realloc(source->awaited, capacity * sizeof *awaited);
        if (!awaited) {
            return;
        }
        source->awaited = awaited;
        source->awaited_capacity = capacity;
    }
    int64_t due_ns = nats__now_ns(port) + (int64_t)delay_ms * 1000000 + AWAIT_NS;
    int64_t until_ns = due_ns + nats__lease_ns(source);
    source->awaited[source->awaited_count++] = (nats__awaited){sequence, due_ns};
    port->due_ns = due_ns < port->due_ns ? due_ns : port->due_ns;
    source->awaited_until_ns =
        until_ns > source->awaited_until_ns ? until_ns : source->awaited_until_ns;
}

void nats__renew_locked(nats__wire *wire, const char *ack_subject)
{
    (void)nats__frame_locked(wire, ack_subject, NULL, (marty_bytes){NULL, 0}, marty_text("+WPI"));
}

static void say(nats__wire *wire, const nats__entry *entry, marty_verb verb, uint32_t delay_ms)
{
    char subject[2 * NATS__NAME_MAX + 160];
    /* What a broker stores has a source: NOLINTNEXTLINE(clang-analyzer-core.NullDereference) */
    size_t size = entry->source->ack_prefix_size, tail = strlen(entry->tail);
    memcpy(subject, entry->source->ack_prefix, size);
    memcpy(subject + size, entry->tail, tail + 1);
    if (verb == MARTY_SETTLE_RETRY || verb == MARTY_SETTLE_GIVE_BACK) {
        nats__nak_locked(wire, subject, delay_ms);
        return;
    }
    if (verb == MARTY_SETTLE_EXTEND) {
        nats__renew_locked(wire, subject);
        return;
    }
    const char *word = verb == MARTY_SETTLE_REJECT ? "+TERM" : "+ACK";
    (void)nats__frame_locked(wire, subject, NULL, (marty_bytes){NULL, 0}, marty_text(word));
}

/* Given back while pulls of ours are out it would come to one of them, at once and counted, or be
 * lost on the way to one that ends: it waits until they are gone. */
static bool return_later(nats__subscription *subscription, nats__entry *entry, marty_verb verb,
                         uint32_t delay_ms)
{
    nats__source *source = entry->source;
    bool back = verb == MARTY_SETTLE_RETRY || verb == MARTY_SETTLE_GIVE_BACK;
    if (!back || delay_ms > 0 || !subscription->retiring || source->ordered ||
        source->outstanding == 0) {
        return false;
    }
    return nats__ack_note_locked(&source->returned, entry->leased_ns + nats__lease_ns(source),
                                 source->ack_prefix, entry->tail);
}

static void settle_stored(marty_port *port, nats__subscription *subscription, nats__entry *entry,
                          const marty_settling *settling)
{
    bool back = settling->verb == MARTY_SETTLE_RETRY || settling->verb == MARTY_SETTLE_GIVE_BACK;
    if (!return_later(subscription, entry, settling->verb, settling->delay_ms)) {
        say(&port->wires[0], entry, settling->verb, settling->delay_ms);
    }
    if (settling->verb == MARTY_SETTLE_GIVE_BACK) {
        nats__uncounted_note_locked(entry->source, entry->sequence);
    }
    if (back && entry->source->ordered) {
        nats__await_locked(entry->source, entry->sequence, settling->delay_ms);
    } else if (back && settling->delay_ms > 0) {
        nats__source *source = entry->source;
        size_t size = sizeof source->due_ns / sizeof source->due_ns[0];
        source->due_ns[source->due_next++ % size] =
            nats__now_ns(port) + (int64_t)settling->delay_ms * 1000000;
    }
    if (settling->verb != MARTY_SETTLE_EXTEND) {
        nats__entry_free_locked(subscription, entry);
    }
}

static void settle_memory(marty_port *port, nats__subscription *subscription, nats__entry *entry,
                          const marty_settling *settling)
{
    int64_t at_ns = nats__now_ns(port) + (int64_t)settling->delay_ms * 1000000;
    switch (settling->verb) {
    case MARTY_SETTLE_RETRY:
    case MARTY_SETTLE_GIVE_BACK:
        entry->attempt += settling->verb == MARTY_SETTLE_RETRY;
        entry->again_ns = at_ns;
        entry->tag = ++subscription->serial << 20 | (entry->tag & 0xfffff);
        port->due_ns = at_ns < port->due_ns ? at_ns : port->due_ns;
        break;
    case MARTY_SETTLE_ACK:
    case MARTY_SETTLE_REJECT:
        nats__entry_free_locked(subscription, entry);
        break;
    case MARTY_SETTLE_EXTEND:
        break;
    }
}

static void settle_one(marty_port *port, nats__subscription *subscription,
                       const marty_settling *settling, settled_run *run, int64_t now_ns)
{
    uint64_t index = settling->tag & 0xfffff;
    nats__entry *entry =
        subscription && index < subscription->entry_count ? &subscription->entries[index] : NULL;
    entry = entry && entry->tag == settling->tag && !entry->again_ns ? entry : NULL;
    if (entry && !subscription->core && entry->source->ordered &&
        now_ns >= entry->source->valid_until_ns) {
        nats__entry_free_locked(subscription, entry); /* another instance may have its shard */
        entry = NULL;
    }
    if (subscription && subscription->core && !subscription->memory) {
        add(port, run, settling, MARTY_OK, INT64_MAX); /* nothing is kept: nothing to settle */
    } else if (!entry) {
        add(port, run, settling, MARTY_E_LOST, 0);
    } else if (subscription->memory) {
        settle_memory(port, subscription, entry, settling);
        add(port, run, settling, MARTY_OK, INT64_MAX);
    } else {
        bool extends = settling->verb == MARTY_SETTLE_EXTEND;
        int64_t lease_until_ns = extends ? now_ns + nats__lease_ns(entry->source) : 0;
        entry->leased_ns = extends ? now_ns : entry->leased_ns;
        settle_stored(port, subscription, entry, settling);
        add(port, run, settling, MARTY_OK, lease_until_ns);
    }
}

void nats__settle(marty_port *port, const marty_settling batch[], size_t count)
{
    settled_run run;
    run.count = 0;
    pthread_mutex_lock(&port->lock);
    int64_t now_ns = nats__now_ns(port);
    nats__subscription *subscription = NULL;
    size_t waited = port->wires[0].out.size;
    for (size_t i = 0; i < count; i++) {
        if (!subscription || subscription->number != batch[i].subscription) {
            subscription = nats__subscription_find_locked(port, batch[i].subscription);
        }
        settle_one(port, subscription, &batch[i], &run, now_ns);
    }
    if (port->wires[0].out.size > waited || (subscription && subscription->memory)) {
        nats__wake(port, false);
    }
    pthread_mutex_unlock(&port->lock);
    tell(port, &run);
}
