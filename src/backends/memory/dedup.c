/* SPDX-License-Identifier: Apache-2.0
 * De-duplication by (source, id) in a channel and group. What was seen lies in two tables: the
 * present one, and the one before it; when the present one is a window old, or full, it becomes the
 * one before. So nothing is ever removed one by one, and memory is bounded: the window is as asked,
 * or the last 786,432 messages, whichever is shorter. 96 bits of a message are compared: the hash
 * is seeded in each process, so nobody can make two of them meet. With the broker's lock held, but
 * for fingerprints. */
#include "memory.h"

#include "base/hash.h"

#include <string.h>

enum { SLOTS_FIRST = 1024, SLOTS_MAX = 1 << 20 };

static uint64_t mix(uint64_t value)
{
    value ^= value >> 32;
    value *= 0x9e3779b97f4a7c15u;
    return value ^ value >> 29;
}

/* A second opinion about the same bytes: cheap, it only has to differ from the first. */
static uint32_t tag_of(const char *text, size_t size)
{
    uint64_t sum = size;
    while (size) {
        uint64_t word = 0;
        size_t step = size < 8 ? size : 8;
        memcpy(&word, text, step);
        sum = mix(sum + word);
        text += step;
        size -= step;
    }
    return (uint32_t)(sum >> 16) | 1;
}

fingerprint marty__mem_fingerprint(const marty_message *message)
{
    size_t id = strlen(message->id), source = message->source ? strlen(message->source) : 0;
    fingerprint of = {marty__hash(message->id, id), tag_of(message->id, id)};
    of.hash = mix(of.hash + mix(tag_of(message->source ? message->source : "", source)));
    return of;
}

fingerprint marty__mem_fingerprint_in(fingerprint of, const channel *c, const char *group_)
{
    of.hash = mix(of.hash + c->number);
    if (group_) {
        of.hash = mix(of.hash + marty__hash(group_, strlen(group_)));
    }
    return of;
}

static seen *place_of(const generation *g, fingerprint of)
{
    if (!g->capacity) {
        return NULL;
    }
    size_t at = of.hash & (g->capacity - 1);
    while (g->slots[at].tag && (g->slots[at].hash != of.hash || g->slots[at].tag != of.tag)) {
        at = (at + 1) & (g->capacity - 1);
    }
    return &g->slots[at];
}

void marty__mem_dedup_prefetch(const dedup *d, fingerprint of)
{
    if (d->now.capacity) {
        __builtin_prefetch(&d->now.slots[of.hash & (d->now.capacity - 1)], 1);
    }
    if (d->before.count) {
        __builtin_prefetch(&d->before.slots[of.hash & (d->before.capacity - 1)]);
    }
}

static uint32_t stamp(int64_t now_ns)
{
    return (uint32_t)(now_ns / MARTY__NS_PER_MS);
}

static bool within(const seen *slot, int64_t now_ns, uint64_t window_ms)
{
    return slot && slot->tag && stamp(now_ns) - slot->at_ms < window_ms;
}

static void empty(generation *g, int64_t now_ns)
{
    if (g->count) {
        memset(g->slots, 0, g->capacity * sizeof *g->slots);
    }
    g->count = 0;
    g->began_ms = now_ns / MARTY__NS_PER_MS;
}

static void turn(dedup *d, int64_t now_ns)
{
    generation old = d->before;
    d->before = d->now;
    d->now = old;
    empty(&d->now, now_ns);
}

/* Turn when what lies in the present table is as old as the window. */
static void keep_time(dedup *d, int64_t now_ns)
{
    int64_t age_ms = now_ns / MARTY__NS_PER_MS - d->now.began_ms;
    if (age_ms >= (int64_t)d->window_ms) {
        bool all_old = age_ms >= 2 * (int64_t)d->window_ms;
        turn(d, now_ns);
        if (all_old) {
            empty(&d->before, now_ns);
        }
    }
}

bool marty__mem_dedup_seen(dedup *d, fingerprint of, int64_t now_ns, uint64_t window_ms)
{
    keep_time(d, now_ns);
    return within(place_of(&d->now, of), now_ns, window_ms) ||
           (d->before.count && within(place_of(&d->before, of), now_ns, window_ms));
}

static bool grow(generation *g)
{
    generation bigger = {.capacity = g->capacity ? g->capacity * 2 : SLOTS_FIRST,
                         .count = g->count,
                         .began_ms = g->began_ms};
    bigger.slots = marty_alloc_zero(bigger.capacity, sizeof(seen));
    if (!bigger.slots) {
        return false;
    }
    for (size_t i = 0; i < g->capacity; i++) {
        const seen *old = &g->slots[i];
        if (old->tag) {
            *place_of(&bigger, (fingerprint){old->hash, old->tag}) = *old;
        }
    }
    marty_free(g->slots);
    *g = bigger;
    return true;
}

bool marty__mem_dedup_reserve(dedup *d, int64_t now_ns)
{
    generation *g = &d->now;
    if (g->count < g->capacity / 4 * 3) {
        return true;
    }
    if (g->capacity < SLOTS_MAX) {
        return grow(g);
    }
    turn(d, now_ns);
    return d->now.capacity || grow(&d->now);
}

void marty__mem_dedup_remember(dedup *d, fingerprint of, int64_t now_ns)
{
    seen *slot = place_of(&d->now, of);
    d->now.count += !slot->tag;
    *slot = (seen){of.hash, of.tag, stamp(now_ns)};
}

void marty__mem_dedup_free(dedup *d)
{
    marty_free(d->now.slots);
    marty_free(d->before.slots);
}
