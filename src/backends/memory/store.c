/* SPDX-License-Identifier: Apache-2.0
 * Storing one message: into a channel's log, or as a copy for one group. Nothing is dispatched
 * here. With the broker's lock held. */
#include "memory.h"

#include "base/hash.h"

#include <string.h>

enum { VOLATILE_ENTRIES_MAX = 10000 };

/* The hash of a key, never 0; NULL gives 0. */
static uint64_t key_of(const char *key)
{
    uint64_t hash = key ? marty__hash(key, strlen(key)) : 0;
    return key && !hash ? 1 : hash;
}

static marty_err full(const storing *what, marty_error *why)
{
    const broker *b = what->channel->broker;
    bool of_channel = b->bytes < b->settings.limit && what->channel->bytes;
    return marty_error_set(why, MARTY_E_FULL,
                           "%s is full: %s %.64s keeps %llu bytes that not every group has passed "
                           "(%s=, trim=hard)",
                           what->port->shown, of_channel ? "channel" : "the broker of",
                           what->channel->name,
                           (unsigned long long)(of_channel ? what->channel->bytes : b->bytes),
                           of_channel ? "retention" : "limit");
}

static marty_err no_memory(marty_error *why)
{
    return marty_error_set(why, MARTY_E_NO_MEMORY, "no memory to store a message");
}

/* An item that waits in a group: a copy, or one of a queue that has a priority. */
static marty_err store_item(const storing *what, group *g, marty_error *why)
{
    item *it = marty__mem_item_new(what->channel->broker, g);
    uint64_t key = g->ordered ? key_of(what->message->key) : 0;
    if (!it) {
        return no_memory(why);
    }
    it->message = marty_message_ref(what->message);
    it->expires_ns = what->expires_ns;
    if (key && !marty__mem_claim_join(it, key)) {
        marty__mem_item_free(it);
        return no_memory(why);
    }
    marty__mem_wait(it);
    return MARTY_OK;
}

static marty_err store_copy(const storing *what, marty_error *why)
{
    group *g = marty__mem_group_find(what->channel, what->group);
    if (!g) {
        return marty_error_set(why, MARTY_E_NO_GROUP, "channel %.128s has no group %.128s",
                               what->channel->name, what->group);
    }
    return store_item(what, g, why);
}

/* For each group an item's and a delivery's. What moves out of the log takes its own along; what
 * keeps nothing delivers that one. */
static uint32_t spare_of(const channel *c)
{
    if (c->moves) {
        return c->kind == MARTY_KIND_QUEUE;
    }
    uint32_t each = c->keeps_nothing ? 1 : 2;
    return c->group_count < UINT16_MAX ? each * (uint32_t)c->group_count : 0;
}

/* The time of what is stored now: times never go back. */
static int64_t next_time(channel *c)
{
    int64_t now_us = marty__mem_wall(c->broker);
    c->last_us = now_us > c->last_us ? now_us : c->last_us;
    return c->last_us;
}

/* The next entry of a log, for a place that it has, and not yet counted: what differs from one that
 * is like it. */
static inline void put_entry(const channel *c, entry *e, const entry *like,
                             const marty_message *message, uint32_t cost)
{
    *e = *like;
    e->message = marty__message_keep(message, 1 + like->spare);
    e->bytes = cost;
    if (c->order == MARTY_ORDER_KEY && c->kind != MARTY_KIND_REQUEST) {
        e->of.key = key_of(message->key);
    }
    if (c->kind == MARTY_KIND_STREAM) {
        const char *key = message->key ? message->key : message->id;
        e->shard = (uint16_t)((marty__murmur2(key, strlen(key)) & 0x7fffffff) % c->shards);
    }
}

static void count_entries(channel *c, size_t count, uint64_t cost)
{
    c->log.next += count;
    c->bytes += cost;
    c->broker->bytes += cost;
}

static marty_err store_entry(storing *what, uint32_t cost, marty_error *why)
{
    channel *c = what->channel;
    entry *e = marty__mem_log_place(c->broker, &c->log);
    if (!e) {
        return no_memory(why);
    }
    what->position = c->log.next;
    entry like = {.time_us = next_time(c), .expires_ns = what->expires_ns, .spare = spare_of(c)};
    put_entry(c, e, &like, what->message, cost);
    count_entries(c, 1, cost);
    if (c->kind == MARTY_KIND_REQUEST) {
        e->of.reply = what->reply;
        if (what->reply) {
            what->reply->refs++;
        }
    }
    return MARTY_OK;
}

/* As many as the segment at the log's end has room for; 0 without memory. */
static size_t fill_segment(channel *c, const entry *like, const marty_outgoing batch[],
                           size_t count)
{
    entry *e = marty__mem_log_place(c->broker, &c->log);
    size_t room = SEGMENT_ENTRIES - c->log.next % SEGMENT_ENTRIES;
    uint64_t bytes = 0;
    count = !e ? 0 : count < room ? count : room;
    for (size_t i = 0; i < count; i++) {
        uint32_t cost = marty__mem_cost(batch[i].message);
        put_entry(c, &e[i], like, batch[i].message, cost);
        bytes += cost;
    }
    count_entries(c, count, bytes);
    return count;
}

size_t marty__mem_store_plain(channel *c, const marty_outgoing batch[], size_t count, uint64_t cost)
{
    size_t at = 0;
    if (!marty__mem_channel_has_room(c, cost)) {
        return 0;
    }
    entry like = {.time_us = next_time(c), .spare = spare_of(c)};
    for (size_t some = 1; at < count && some; at += some) {
        some = fill_segment(c, &like, batch + at, count - at);
    }
    return at;
}

marty_err marty__mem_store(storing *what, marty_error *why)
{
    channel *c = what->channel;
    what->position = 0;
    if (c->kind == MARTY_KIND_BROADCAST && !c->group_count) {
        return MARTY_OK; /* nobody there: said to nobody */
    }
    if (c->kind == MARTY_KIND_REQUEST && c->log.next - c->log.first >= VOLATILE_ENTRIES_MAX) {
        return marty_error_set(why, MARTY_E_FULL, "%d queries wait on %.255s already",
                               VOLATILE_ENTRIES_MAX, c->name);
    }
    if (c->keeps_nothing) {
        marty__mem_channel_overflow(c, VOLATILE_ENTRIES_MAX - 1);
    }
    uint32_t cost = marty__mem_cost(what->message);
    if (c->kind == MARTY_KIND_DEAD) {
        marty__mem_channel_trim(c);
    }
    if (!marty__mem_channel_has_room(c, cost) && !marty__mem_channel_room(c, cost)) {
        return full(what, why);
    }
    if (what->group && !c->moves) {
        return store_copy(what, why);
    }
    bool has_levels = c->kind == MARTY_KIND_QUEUE || c->kind == MARTY_KIND_TOPIC;
    int level = has_levels && c->order != MARTY_ORDER_KEY ? marty__mem_level(what->message) : 0;
    if (level && c->moves && marty__mem_store_urgent(what)) {
        return MARTY_OK;
    }
    marty_err err = store_entry(what, cost, why);
    if (!err && level && !c->moves) {
        (void)marty__mem_prioritise(c, marty__mem_entry(&c->log, what->position), what->position);
    }
    return err;
}
