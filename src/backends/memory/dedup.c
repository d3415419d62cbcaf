/* SPDX-License-Identifier: Apache-2.0
 * De-duplication by (source, id) in a channel and group. What was seen lies in tables that age as a
 * whole, so nothing is removed one by one and memory is bounded. Ids of ours (UUIDv7) tell when
 * they were made: they lie in a ring of small tables, and only those are looked at whose ids were
 * made then, in the common case the one that is in the cache. Ids that were made by the publish
 * that brings them need no look; they are listed, and a list becomes a table when somebody looks
 * for one that may be in it. Other ids lie in a pair of larger tables. 96 bits of a message are
 * compared, hashed with a secret of the broker, so nobody can make two of them meet. With the
 * broker's lock held, but for fingerprints. */
#include "memory.h"

#include "base/hash.h"
#include "base/random.h"
#include "message/block.h"
#include "message/uuid.h"

#include <string.h>

enum { SLOTS_FIRST = 1024, SLOTS_OURS = 1 << 14, SLOTS_OTHERS = 1 << 18 };

/* ---- fingerprints */
static uint64_t word_at(const char *text)
{
    uint64_t word;
    memcpy(&word, text, sizeof word);
    return word;
}

/* Up to 15 bytes as two words; the words may overlap, the size tells such apart. */
static void last_words(uint64_t words[2], const char *text, size_t size)
{
    uint32_t low = 0, high = 0;
    if (size >= 8) {
        words[0] = word_at(text);
        words[1] = word_at(text + size - 8);
    } else if (size >= 4) {
        memcpy(&low, text, 4);
        memcpy(&high, text + size - 4, 4);
        words[0] = low;
        words[1] = high;
    } else {
        words[0] = words[1] = 0;
        for (size_t i = 0; i < size; i++) {
            words[0] = words[0] << 8 | (unsigned char)text[i];
        }
    }
}

/* Two keyed hashes of the bytes in one pass, 16 of them a step. */
static void add_text(uint64_t sums[2], const uint64_t secret[4], const char *text, size_t size)
{
    uint64_t a = sums[0] + size, b = sums[1], words[2];
    while (size >= 16) {
        words[0] = word_at(text);
        words[1] = word_at(text + 8);
        a = marty__mem_fold(a ^ words[0] ^ secret[0], words[1] ^ secret[1]);
        b = marty__mem_fold(b ^ words[0] ^ secret[2], words[1] ^ secret[3]);
        text += 16;
        size -= 16;
    }
    last_words(words, text, size);
    sums[0] = marty__mem_fold(a ^ words[0] ^ secret[0], words[1] ^ secret[1]);
    sums[1] = marty__mem_fold(b ^ words[0] ^ secret[2], words[1] ^ secret[3]);
}

void marty__mem_dedup_init(dedup *d)
{
    marty__random_bytes(d->secret, sizeof d->secret);
}

fingerprint marty__mem_fingerprint(const dedup *d, const marty_message *message)
{
    size_t size = marty__field_size(message, MARTY__ID);
    size_t source_size = message->source ? marty__field_size(message, MARTY__SOURCE) : 0;
    uint64_t id[2], sums[2] = {d->secret[3], d->secret[1]};
    if (marty__uuid7_read(id, message->id, size)) {
        uint64_t source = source_size ? marty__hash(message->source, source_size) : 0;
        return marty__mem_fingerprint_of(d, id, source);
    }
    add_text(sums, d->secret, message->id, size);
    if (source_size) {
        add_text(sums, d->secret, message->source, source_size);
    }
    return (fingerprint){.hash = sums[0], .tag = (uint32_t)(sums[1] >> 16) | 1};
}

/* ---- one table */
static seen *place_of(const generation *g, fingerprint of)
{
    size_t at = of.hash & (g->capacity - 1);
    while (g->slots[at].tag && (g->slots[at].hash != of.hash || g->slots[at].tag != of.tag)) {
        at = (at + 1) & (g->capacity - 1);
    }
    return &g->slots[at];
}

static uint32_t stamp(int64_t now_ms)
{
    return (uint32_t)now_ms;
}

static bool matches(const seen *slot, fingerprint of, int64_t now_ms, uint64_t window_ms)
{
    return slot->hash == of.hash && slot->tag == of.tag && stamp(now_ms) - slot->at_ms < window_ms;
}

/* From a list to a table. False without memory: it is still a list. */
static bool make_table(generation *g)
{
    generation made = *g;
    made.slots = marty_alloc_zero(g->capacity, sizeof(seen));
    if (!made.slots) {
        return false;
    }
    made.count = 0;
    made.listed = false;
    for (size_t i = 0; i < g->count; i++) { /* in order, so that the last of two counts */
        seen *slot =
            place_of(&made, (fingerprint){.hash = g->slots[i].hash, .tag = g->slots[i].tag});
        made.count += !slot->tag;
        *slot = g->slots[i];
    }
    marty_free(g->slots);
    *g = made;
    return true;
}

static bool has(generation *g, fingerprint of, int64_t now_ms, uint64_t window_ms)
{
    if (!g->count) {
        return false;
    }
    if (!g->listed || make_table(g)) {
        return matches(place_of(g, of), of, now_ms, window_ms);
    }
    for (size_t i = 0; i < g->count; i++) {
        if (matches(&g->slots[i], of, now_ms, window_ms)) {
            return true;
        }
    }
    return false;
}

static void empty(generation *g, int64_t now_ms)
{
    if (g->count && !g->listed) {
        memset(g->slots, 0, g->capacity * sizeof *g->slots);
    }
    g->count = 0;
    g->began_ms = g->last_ms = now_ms;
    g->made_low = UINT64_MAX;
    g->made_high = 0;
}

static bool grow(generation *g, size_t capacity)
{
    generation bigger = *g;
    bigger.capacity = capacity;
    bigger.slots = marty_alloc_zero(capacity, sizeof(seen));
    if (!bigger.slots) {
        return false;
    }
    if (g->listed && g->count) {
        memcpy(bigger.slots, g->slots, g->count * sizeof(seen));
    }
    for (size_t i = 0; !g->listed && i < g->capacity; i++) {
        const seen *old = &g->slots[i];
        if (old->tag) {
            *place_of(&bigger, (fingerprint){.hash = old->hash, .tag = old->tag}) = *old;
        }
    }
    marty_free(g->slots);
    *g = bigger;
    return true;
}

static bool is_full(const generation *g)
{
    return g->count >= g->capacity / 4 * 3;
}

static void remember(generation *g, fingerprint of, int64_t now_ms)
{
    seen *slot = g->listed ? &g->slots[g->count++] : place_of(g, of);
    g->count += !g->listed && !slot->tag;
    *slot = (seen){of.hash, of.tag, stamp(now_ms)};
    g->last_ms = now_ms;
    g->made_low = of.made_ms < g->made_low ? of.made_ms : g->made_low;
    g->made_high = of.made_ms > g->made_high ? of.made_ms : g->made_high;
}

/* ---- ids of ours: a ring, the newest at `ours_at` */
static generation *ours(dedup *d, size_t back)
{
    return &d->ours[(d->ours_at + OURS - back) % OURS];
}

static void turn_ours(dedup *d, int64_t now_ms)
{
    uint64_t high = ours(d, 0)->made_high, before = ours(d, 0)->older_high;
    d->ours_at = (d->ours_at + 1) % OURS;
    ours(d, 0)->listed = true; /* it is not cleared, then */
    empty(ours(d, 0), now_ms);
    ours(d, 0)->older_high = high > before ? high : before;
}

static bool seen_ours(dedup *d, fingerprint of, int64_t now_ms, uint64_t window_ms)
{
    for (size_t back = 0; back < OURS; back++) {
        generation *g = ours(d, back);
        bool may_be = of.made_ms >= g->made_low && of.made_ms <= g->made_high;
        if (may_be && has(g, of, now_ms, window_ms)) {
            return true;
        }
        if (of.made_ms > g->older_high) {
            return false; /* made later than all that lies further back */
        }
    }
    return false;
}

static bool reserve_ours(dedup *d, int64_t now_ms)
{
    generation *g = ours(d, 0);
    if (!g->capacity) {
        size_t first = d->ours_turned ? SLOTS_OURS : SLOTS_FIRST;
        empty(g, now_ms);
        g->listed = true;
        return grow(g, first);
    }
    bool old = now_ms - g->began_ms >= (int64_t)d->window_ms;
    if (!old && !is_full(g)) {
        return true;
    }
    if (!old && g->capacity < SLOTS_OURS) {
        return grow(g, g->capacity * 2);
    }
    turn_ours(d, now_ms);
    d->ours_turned = true;
    return ours(d, 0)->capacity || grow(ours(d, 0), SLOTS_OURS);
}

/* ---- other ids: the present table and the one before it */
static void turn_others(dedup *d, int64_t now_ms)
{
    generation old = d->before;
    d->before = d->now;
    d->now = old;
    empty(&d->now, now_ms);
}

static bool reserve_others(dedup *d, int64_t now_ms)
{
    int64_t age_ms = now_ms - d->now.began_ms;
    if (d->now.capacity && age_ms >= (int64_t)d->window_ms) {
        turn_others(d, now_ms);
        if (age_ms >= 2 * (int64_t)d->window_ms) {
            empty(&d->before, now_ms);
        }
    }
    generation *g = &d->now;
    if (g->capacity && !is_full(g)) {
        return true;
    }
    if (g->capacity < SLOTS_OTHERS) {
        g->began_ms = g->capacity ? g->began_ms : now_ms;
        return grow(g, g->capacity ? g->capacity * 2 : SLOTS_FIRST);
    }
    turn_others(d, now_ms);
    return d->now.capacity || grow(&d->now, SLOTS_FIRST);
}

/* ---- both */
void marty__mem_dedup_prefetch(const dedup *d, fingerprint of)
{
    const generation *g = of.made_ms ? &d->ours[d->ours_at] : &d->now;
    if (g->count && !g->listed) {
        __builtin_prefetch(&g->slots[of.hash & (g->capacity - 1)], 1);
    }
    if (!of.made_ms && d->before.count) {
        __builtin_prefetch(&d->before.slots[of.hash & (d->before.capacity - 1)]);
    }
}

bool marty__mem_dedup_seen(dedup *d, fingerprint of, int64_t now_ns, uint64_t window_ms)
{
    int64_t now_ms = now_ns / MARTY__NS_PER_MS;
    if (of.made_ms) {
        return seen_ours(d, of, now_ms, window_ms);
    }
    return has(&d->now, of, now_ms, window_ms) || has(&d->before, of, now_ms, window_ms);
}

bool marty__mem_dedup_reserve(dedup *d, fingerprint of, int64_t now_ns)
{
    int64_t now_ms = now_ns / MARTY__NS_PER_MS;
    return of.made_ms ? reserve_ours(d, now_ms) : reserve_others(d, now_ms);
}

void marty__mem_dedup_remember(dedup *d, fingerprint of, int64_t now_ns)
{
    remember(of.made_ms ? ours(d, 0) : &d->now, of, now_ns / MARTY__NS_PER_MS);
}

void marty__mem_dedup_list(dedup *d, const fingerprint of[], size_t count, uint64_t salt,
                           int64_t now_ns)
{
    generation *g = ours(d, 0);
    int64_t now_ms = now_ns / MARTY__NS_PER_MS;
    if (!g->listed) {
        for (size_t i = 0; i < count; i++) {
            remember(g, marty__mem_fingerprint_in(of[i], salt), now_ms);
        }
        return;
    }
    uint64_t low = g->made_low, high = g->made_high;
    seen *slot = &g->slots[g->count];
    for (size_t i = 0; i < count; i++, slot++) {
        *slot = (seen){of[i].hash ^ salt, of[i].tag, stamp(now_ms)};
        low = of[i].made_ms < low ? of[i].made_ms : low;
        high = of[i].made_ms > high ? of[i].made_ms : high;
    }
    g->count += count;
    g->last_ms = now_ms;
    g->made_low = low;
    g->made_high = high;
}

/* Its slot stays, so that what was put behind it is found, and is too old for any window. */
static void forget(generation *g, fingerprint of, int64_t now_ms)
{
    uint32_t past = stamp(now_ms) - (UINT32_C(1) << 31);
    for (size_t i = 0; g->listed && i < g->count; i++) {
        bool it = g->slots[i].hash == of.hash && g->slots[i].tag == of.tag;
        g->slots[i].at_ms = it ? past : g->slots[i].at_ms;
    }
    seen *slot = g->count && !g->listed ? place_of(g, of) : NULL;
    if (slot && slot->tag) {
        slot->at_ms = past;
    }
}

void marty__mem_dedup_forget(dedup *d, fingerprint of, int64_t now_ns)
{
    int64_t now_ms = now_ns / MARTY__NS_PER_MS;
    for (size_t i = 0; of.made_ms && i < OURS; i++) {
        forget(&d->ours[i], of, now_ms);
    }
    forget(&d->now, of, now_ms);
    forget(&d->before, of, now_ms);
}

void marty__mem_dedup_free(dedup *d)
{
    marty_free(d->now.slots);
    marty_free(d->before.slots);
    for (size_t i = 0; i < OURS; i++) {
        marty_free(d->ours[i].slots);
    }
}
