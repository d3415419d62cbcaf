/* SPDX-License-Identifier: Apache-2.0
 * What core holds unsettled: a table per subscription. A tag is the index of a place and a serial
 * number that is never used twice, so that a tag of an older connection, lease or seek finds
 * nothing. Lock held throughout. */
#include "parts.h"

#include <stdio.h>
#include <string.h>

enum { INDEX_BITS = 20 };

static bool grow(nats__subscription *subscription)
{
    uint32_t count = subscription->entry_count ? subscription->entry_count * 2 : 64;
    nats__entry *entries = count <= 1u << INDEX_BITS
                               ? marty_realloc(subscription->entries, count * sizeof *entries)
                               : NULL;
    if (!entries) {
        return false;
    }
    for (uint32_t i = count; i > subscription->entry_count; i--) {
        entries[i - 1] = (nats__entry){.next_free = subscription->free_entry};
        subscription->free_entry = i; /* index + 1 */
    }
    subscription->entries = entries;
    subscription->entry_count = count;
    return true;
}

nats__entry *nats__entry_new_locked(nats__subscription *subscription)
{
    if (!subscription->free_entry && !grow(subscription)) {
        return NULL;
    }
    uint32_t index = subscription->free_entry - 1;
    nats__entry *entry = &subscription->entries[index];
    subscription->free_entry = entry->next_free;
    subscription->used++;
    entry->tag = ++subscription->serial << INDEX_BITS | index;
    entry->source = NULL;
    entry->kept = NULL;
    entry->again_ns = 0;
    return entry;
}

void nats__entry_free_locked(nats__subscription *subscription, nats__entry *entry)
{
    marty_free(entry->kept);
    entry->kept = NULL;
    entry->tag = 0;
    entry->again_ns = 0;
    entry->next_free = subscription->free_entry;
    subscription->free_entry = (uint32_t)(entry - subscription->entries) + 1;
    subscription->used--;
}

void nats__nak_locked(nats__wire *wire, const char *ack_subject, uint32_t delay_ms)
{
    char text[64] = "-NAK";
    if (delay_ms > 0) {
        (void)snprintf(text, sizeof text, "-NAK {\"delay\": %llu}",
                       (unsigned long long)delay_ms * 1000000);
    }
    (void)nats__frame_locked(wire, ack_subject, NULL, (marty_bytes){NULL, 0}, marty_text(text));
}

/* ---- giving back: as long as it is ours. Later it may be with another one, from whom it would be
 * taken */

bool nats__ack_note_locked(nats__buffer *list, int64_t until_ns, const char *prefix,
                           const char *tail)
{
    size_t before = strlen(prefix), size = strlen(tail) + 1;
    if (!nats__buffer_room(list, sizeof until_ns + before + size)) {
        return false;
    }
    nats__buffer_add(list, &until_ns, sizeof until_ns);
    nats__buffer_add(list, prefix, before);
    nats__buffer_add(list, tail, size);
    return true;
}

/* The subject at a place in such a list, which moves on; NULL = its end. */
static const char *next_noted(const nats__buffer *list, size_t *at, int64_t *ret_until_ns)
{
    if (*at >= list->size) {
        return NULL;
    }
    memcpy(ret_until_ns, list->data + *at, sizeof *ret_until_ns);
    const char *subject = list->data + *at + sizeof *ret_until_ns;
    *at += sizeof *ret_until_ns + strlen(subject) + 1;
    return subject;
}

/* The server hears it now, or once the next connection is up. */
static void give_back(nats__subscription *subscription, const nats__source *source,
                      const char *ack_subject, int64_t until_ns)
{
    marty_port *port = subscription->port;
    if (source->ordered || nats__now_ns(port) >= until_ns) {
        return; /* ordered: its next owner begins behind the last settled one */
    }
    if (port->wires[0].nc && port->life == NATS__UP) {
        nats__nak_locked(&port->wires[0], ack_subject, 0);
    } else if (!source->ephemeral) {
        (void)nats__ack_note_locked(&subscription->orphans, until_ns, ack_subject, "");
    }
}

void nats__give_back_orphans_locked(nats__subscription *subscription)
{
    marty_port *port = subscription->port;
    const char *subject;
    int64_t until_ns, now_ns = nats__now_ns(port);
    size_t at = 0;
    while ((subject = next_noted(&subscription->orphans, &at, &until_ns)) != NULL) {
        if (now_ns < until_ns) {
            nats__nak_locked(&port->wires[0], subject, 0);
        }
    }
    subscription->orphans.size = 0;
}

static void drop_kept(nats__subscription *subscription, nats__source *source, bool back)
{
    int64_t lease_ns = nats__lease_ns(source), until_ns;
    const char *subject;
    size_t at = 0;
    for (size_t i = 0; i < source->kept_count; i++) {
        nats__message *message = source->kept[source->kept_head + i];
        if (back && message->reply) {
            give_back(subscription, source, message->reply, message->since_ns + lease_ns);
        }
        marty_free(message);
    }
    while (back && (subject = next_noted(&source->returned, &at, &until_ns)) != NULL) {
        give_back(subscription, source, subject, until_ns);
    }
    source->kept_head = source->kept_count = source->kept_bytes = 0;
    source->awaited_count = 0;
    source->returned.size = 0;
}

void nats__give_back_idle_locked(nats__source *source)
{
    bool some = source->kept_count > 0 || source->returned.size > 0;
    if (some && source->owner->retiring && source->outstanding == 0 && !source->ordered) {
        drop_kept(source->owner, source, true);
        nats__wake(source->owner->port, true);
    }
}

/* A group of this instance alone goes on behind the last one that was settled. */
static void note_resume(nats__subscription *subscription, nats__source *source)
{
    uint64_t next = source->last_sequence + 1;
    for (uint32_t i = 0; i < subscription->entry_count; i++) {
        const nats__entry *entry = &subscription->entries[i];
        if (entry->tag && entry->source == source && entry->sequence < next) {
            next = entry->sequence;
        }
    }
    subscription->resume = source->last_sequence > 0 ? next : subscription->resume;
}

void nats__entries_drop_locked(nats__subscription *subscription, nats__source *only, bool back)
{
    for (marty__link *s = subscription->sources.next; s != &subscription->sources; s = s->next) {
        nats__source *source = MARTY__OWNER(s, nats__source, link);
        if (!only || only == source) {
            if (source->ephemeral) {
                note_resume(subscription, source);
            }
            drop_kept(subscription, source, back);
        }
    }
    for (uint32_t i = 0; i < subscription->entry_count; i++) {
        nats__entry *entry = &subscription->entries[i];
        if (!entry->tag || (only && entry->source != only)) {
            continue;
        }
        if (back && entry->source) {
            char subject[2 * NATS__NAME_MAX + 160];
            (void)snprintf(subject, sizeof subject, "%s%s", entry->source->ack_prefix, entry->tail);
            give_back(subscription, entry->source, subject,
                      entry->leased_ns + nats__lease_ns(entry->source));
        }
        nats__entry_free_locked(subscription, entry);
    }
}

void nats__uncounted_note_locked(const nats__source *source, uint64_t sequence)
{
    nats__subscription *subscription = source->owner;
    size_t count = sizeof subscription->uncounted / sizeof subscription->uncounted[0];
    for (size_t i = 0; i < count; i++) {
        nats__uncounted *at = &subscription->uncounted[i];
        if (at->channel == source->channel && at->sequence == sequence) {
            at->times++;
            return;
        }
    }
    nats__uncounted *next = &subscription->uncounted[subscription->uncounted_next++ % count];
    *next = (nats__uncounted){sequence, source->channel, 1};
}

uint32_t nats__uncounted_of(const nats__subscription *subscription, const nats__channel *channel,
                            uint64_t sequence)
{
    size_t count = sizeof subscription->uncounted / sizeof subscription->uncounted[0];
    for (size_t i = 0; i < count; i++) {
        const nats__uncounted *at = &subscription->uncounted[i];
        if (at->channel == channel && at->sequence == sequence) {
            return at->times;
        }
    }
    return 0;
}
