/* SPDX-License-Identifier: Apache-2.0
 * Storing one message: into a channel's log, or as a copy for one group. Nothing is dispatched
 * here. With the broker's lock held. */
#include "memory.h"

#include "base/hash.h"
#include "message/block.h"
#include "message/message.h"

#include <string.h>

enum { VOLATILE_ENTRIES_MAX = 10000 };

uint32_t marty__mem_cost(const marty_message *message)
{
    size_t cost = marty__block_of(message)->cost + sizeof(entry);
    return cost > UINT32_MAX ? UINT32_MAX : (uint32_t)cost;
}

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

/* The next entry of a log, for a place that it has. */
static void put_entry(channel *c, entry *e, const entry *of)
{
    *e = *of;
    (void)marty__message_keep(of->message, 1 + of->spare);
    c->bytes += of->bytes;
    c->broker->bytes += of->bytes;
    if (c->order == MARTY_ORDER_KEY && c->kind != MARTY_KIND_REQUEST) {
        e->of.key = key_of(of->message->key);
    }
    if (c->kind == MARTY_KIND_STREAM) {
        const char *key = of->message->key ? of->message->key : of->message->id;
        e->shard = (uint16_t)((marty__murmur2(key, strlen(key)) & 0x7fffffff) % c->shards);
    }
    c->log.next++;
}

static marty_err store_entry(storing *what, uint32_t cost, marty_error *why)
{
    channel *c = what->channel;
    entry *e = marty__mem_log_place(c->broker, &c->log);
    if (!e) {
        return no_memory(why);
    }
    what->position = c->log.next;
    put_entry(c, e,
              &(entry){.message = &marty__block_of(what->message)->message,
                       .time_us = next_time(c),
                       .expires_ns = what->expires_ns,
                       .bytes = cost,
                       .spare = spare_of(c)});
    if (c->kind == MARTY_KIND_REQUEST) {
        e->of.reply = what->reply;
        if (what->reply) {
            what->reply->refs++;
        }
    }
    return MARTY_OK;
}

size_t marty__mem_store_plain(channel *c, const marty_outgoing batch[], size_t count)
{
    uint64_t cost = 0;
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        cost += marty__mem_cost(batch[i].message);
    }
    if (!marty__mem_channel_has_room(c, cost)) {
        return 0;
    }
    entry like = {.time_us = next_time(c), .spare = spare_of(c)};
    for (entry *e; at < count && (e = marty__mem_log_place(c->broker, &c->log)) != NULL; at++) {
        like.message = &marty__block_of(batch[at].message)->message;
        like.bytes = marty__mem_cost(batch[at].message);
        put_entry(c, e, &like);
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
