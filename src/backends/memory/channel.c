/* SPDX-License-Identifier: Apache-2.0
 * Channels: made once with a kind, an order and shards, then found by name. A queue or request
 * channel has one group from the start. What a channel keeps is bounded by age, by size and by the
 * broker's limit; room is made from what every group has passed, never from what is unsettled,
 * unless trim=hard was asked for. With the broker's lock held. */
#include "memory.h"

#include "backend/capability.h"
#include "base/alloc.h"
#include "base/limits.h"

#include <string.h>

enum { AHEAD = 4 };

#define DEAD_RETENTION_MS ((uint64_t)14 * 24 * 3600 * 1000)

channel *marty__mem_channel_find(broker *b, const char *name)
{
    return marty__map_get(&b->channels, name, strlen(name));
}

static bool has_one_group(marty_kind kind)
{
    return kind == MARTY_KIND_QUEUE || kind == MARTY_KIND_REQUEST || kind == MARTY_KIND_REPLY;
}

static void set_limits(channel *c, const settings *s)
{
    bool log = c->kind == MARTY_KIND_TOPIC || c->kind == MARTY_KIND_STREAM;
    c->retention_ms = c->kind == MARTY_KIND_DEAD ? DEAD_RETENTION_MS : s->retention_ms;
    c->retention_bytes = log ? s->retention_bytes : UINT64_MAX;
    c->history = c->kind == MARTY_KIND_TOPIC ? s->history : 0;
    c->history = c->kind == MARTY_KIND_STREAM ? UINT64_MAX : c->history;
    c->trim_hard = log && s->trim_hard;
}

static marty_order order_of(const marty_channel *like)
{
    if (like->order != MARTY_ORDER_DEFAULT) {
        return like->order;
    }
    return like->kind == MARTY_KIND_STREAM ? MARTY_ORDER_KEY : MARTY_ORDER_NONE;
}

static uint32_t shards_of(const marty_channel *like)
{
    return like->kind != MARTY_KIND_STREAM ? 1 : like->shards ? like->shards : MARTY__SHARDS;
}

static void channel_free(channel *c)
{
    broker *b = c->broker;
    while (!marty__list_empty(&c->groups)) {
        marty__mem_group_free(MARTY__OWNER(c->groups.next, group, link));
    }
    for (size_t at = 0;;) {
        scheduled *s = marty__map_next(&c->scheduled, &at);
        if (!s) {
            break;
        }
        marty__mem_scheduled_free(s);
    }
    while (c->log.first < c->log.next) {
        marty__mem_entry_clear(c, marty__mem_entry(&c->log, c->log.first));
        marty__mem_log_advance(b, &c->log, 1);
    }
    marty__mem_log_free(b, &c->log);
    marty__map_free(&c->group_names);
    marty__map_free(&c->scheduled);
    marty_free(c->name);
    marty_free(c);
}

void marty__mem_channel_unref(channel *c)
{
    if (--c->refs == 0) {
        channel_free(c);
    }
}

void marty__mem_channel_remove(channel *c)
{
    broker *b = c->broker;
    (void)marty__map_take(&b->channels, c->name, c->name_size);
    for (marty__link *at = b->ports.next; at != &b->ports; at = at->next) {
        marty_port *port = MARTY__OWNER(at, marty_port, link);
        port->last = port->last == c ? NULL : port->last;
    }
    while (!marty__list_empty(&c->groups)) {
        marty__mem_group_free(MARTY__OWNER(c->groups.next, group, link));
    }
    marty__mem_channel_unref(c);
}

static channel *channel_new(broker *b, const char *name, const marty_channel *like,
                            const settings *s)
{
    channel *c = marty_alloc_zero(1, sizeof *c);
    if (!c) {
        return NULL;
    }
    marty__list_init(&c->groups);
    c->broker = b;
    c->refs = 1;
    c->kind = like->kind;
    c->order = order_of(like);
    c->shards = shards_of(like);
    c->keeps_nothing = like->kind == MARTY_KIND_REQUEST || like->kind == MARTY_KIND_BROADCAST ||
                       like->kind == MARTY_KIND_REPLY;
    c->moves = has_one_group(like->kind);
    c->log.first = c->log.next = 1;
    c->number = ++b->channel_numbers;
    set_limits(c, s);
    c->name = marty__strdup(name);
    c->name_size = strlen(name);
    bool made = c->name && (!c->moves || marty__mem_group_new(c, "")) &&
                marty__map_put(&b->channels, c->name, c->name_size, c);
    if (!made) {
        marty__mem_channel_unref(c);
        return NULL;
    }
    return c;
}

static marty_err differs(const channel *c, const marty_channel *like, marty_error *why)
{
    if (c->kind != like->kind) {
        return marty_error_set(why, MARTY_E_EXISTS,
                               "channel %.255s: kind: %s is wanted, %s is there; use another name",
                               c->name, marty__kind_name(like->kind), marty__kind_name(c->kind));
    }
    if (like->order != MARTY_ORDER_DEFAULT && like->order != c->order) {
        bool by_key = like->order == MARTY_ORDER_KEY;
        return marty_error_set(
            why, MARTY_E_EXISTS,
            "channel %.255s: order: %s is wanted, %s is there; the order is fixed "
            "when a channel is made",
            c->name, by_key ? "key" : "none", by_key ? "none" : "key");
    }
    if (like->shards && c->kind == MARTY_KIND_STREAM && like->shards != c->shards) {
        return marty_error_set(
            why, MARTY_E_EXISTS,
            "channel %.255s: shards: %u are wanted, %u are there; they are fixed "
            "when a channel is made",
            c->name, like->shards, c->shards);
    }
    return MARTY_OK;
}

marty_err marty__mem_channel(marty_port *port, channel **ret_channel, const char *name,
                             const marty_channel *like, bool make, marty_error *why)
{
    broker *b = port->broker;
    channel *c = marty__mem_channel_find(b, name);
    if (!c && !make) {
        return marty_error_set(
            why, MARTY_E_NOT_FOUND,
            "there is no channel %.255s on %s; make it with marty topology create", name,
            port->shown);
    }
    if (!c) {
        c = channel_new(b, name, like, &port->settings);
        if (!c) {
            return marty_error_set(why, MARTY_E_NO_MEMORY, "no memory for the channel %.255s",
                                   name);
        }
        if (!marty__mem_wild_join(c)) {
            marty__mem_channel_remove(c);
            return marty_error_set(why, MARTY_E_NO_MEMORY, "no memory for the channel %.255s",
                                   name);
        }
    }
    marty_err err = differs(c, like, why);
    if (!err) {
        *ret_channel = c;
    }
    return err;
}

/* What it costs is still to be taken off. */
static inline void empty(channel *c, entry *e)
{
    if (e->message) {
        marty__mem_drop(c->broker, e->message, 1 + e->spare);
        e->message = NULL;
        e->spare = 0;
        if (c->kind == MARTY_KIND_REQUEST && e->of.reply) {
            marty__mem_channel_unref(e->of.reply);
            e->of.reply = NULL;
        }
    }
}

void marty__mem_entry_clear(channel *c, entry *e)
{
    empty(c, e);
    c->bytes -= e->bytes;
    c->broker->bytes -= e->bytes;
    e->bytes = 0;
}

/* The first ones of the log, all in one segment, below an offset, until so many bytes are gone. */
static void drop_some(channel *c, uint64_t below, uint64_t bytes)
{
    record_log *log = &c->log;
    uint64_t most = SEGMENT_ENTRIES - log->first % SEGMENT_ENTRIES, gone = 0, count = 0;
    most = below - log->first < most ? below - log->first : most;
    for (entry *e = marty__mem_entry(log, log->first); count < most && gone < bytes; count++, e++) {
        if (count + AHEAD < most && e[AHEAD].message) { /* whose count another core wrote last */
            __builtin_prefetch(marty__block_of(e[AHEAD].message), 1);
        }
        gone += e->bytes;
        c->erased -= !e->message;
        empty(c, e);
    }
    c->bytes -= gone;
    c->broker->bytes -= gone;
    marty__mem_log_advance(c->broker, log, count);
}

static void drop_first(channel *c)
{
    drop_some(c, c->log.first + 1, UINT64_MAX);
}

void marty__mem_channel_erase(channel *c, uint64_t offset)
{
    marty__mem_entry_clear(c, marty__mem_entry(&c->log, offset));
    c->erased++;
    while (c->log.first < c->log.next && !marty__mem_entry(&c->log, c->log.first)->message) {
        drop_first(c);
    }
}

/* Below it every group has passed. Without groups nothing is. */
static uint64_t floor_of(const channel *c)
{
    uint64_t low = c->group_count ? c->log.next : c->log.first;
    for (const marty__link *at = c->groups.next; at != &c->groups; at = at->next) {
        uint64_t next = MARTY__OWNER(at, group, link)->next;
        low = next < low ? next : low;
    }
    return low;
}

static void drop_passed(channel *c, uint64_t until_bytes)
{
    if (c->bytes <= until_bytes) {
        return;
    }
    uint64_t low = floor_of(c);
    while (c->bytes > until_bytes && c->log.first < low) {
        drop_some(c, low, c->bytes - until_bytes);
    }
}

static void drop_old(channel *c)
{
    uint64_t age_us = c->retention_ms > INT64_MAX / 2000 ? INT64_MAX / 2 : c->retention_ms * 1000;
    int64_t oldest_us = marty__mem_wall(c->broker) - (int64_t)age_us;
    while (c->log.first < c->log.next &&
           marty__mem_entry(&c->log, c->log.first)->time_us < oldest_us) {
        c->dropped += marty__mem_entry(&c->log, c->log.first)->message != NULL;
        drop_first(c);
    }
}

void marty__mem_channel_trim(channel *c)
{
    if (c->moves) {
        return;
    }
    if (!c->keeps_nothing) {
        drop_old(c);
    }
    if (c->kind != MARTY_KIND_DEAD) {
        drop_passed(c, c->history);
    }
}

static void make_room(broker *b, uint64_t bytes)
{
    uint64_t spare = b->settings.limit / 16; /* so that this walk is rare */
    for (size_t at = 0; b->bytes + bytes + spare > b->settings.limit;) {
        channel *each = marty__map_next(&b->channels, &at);
        if (!each) {
            return;
        }
        uint64_t over = b->bytes + bytes + spare - b->settings.limit;
        drop_passed(each, each->bytes > over ? each->bytes - over : 0);
    }
}

bool marty__mem_channel_room(channel *c, uint64_t bytes)
{
    broker *b = c->broker;
    if (c->bytes + bytes > c->retention_bytes) {
        drop_passed(c, c->retention_bytes > bytes ? c->retention_bytes - bytes : 0);
    }
    if (b->bytes + bytes > b->settings.limit) {
        make_room(b, bytes);
    }
    while (c->trim_hard && c->log.first < c->log.next &&
           (c->bytes + bytes > c->retention_bytes || b->bytes + bytes > b->settings.limit)) {
        c->dropped++;
        drop_first(c);
    }
    return marty__mem_channel_has_room(c, bytes);
}

void marty__mem_channel_overflow(channel *c, uint64_t entries)
{
    while (c->log.next - c->log.first > entries) {
        c->dropped++;
        drop_first(c);
    }
}
