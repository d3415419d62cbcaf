/* SPDX-License-Identifier: Apache-2.0
 * Items: what is delivered or waits to be. They come in chunks and are used again; a tag names an
 * item and how often it was handed out, so that an old tag never fits. With the broker's lock held.
 */
#include "memory.h"

#include "base/assert.h"
#include "message/message.h"

#include <string.h>

enum { CHUNKS_MAX = (1 << ITEM_INDEX_BITS) / ITEM_CHUNK - 1 };

static bool add_chunk(broker *b)
{
    if (b->chunk_count == b->chunk_capacity) {
        size_t capacity = b->chunk_capacity ? b->chunk_capacity * 2 : 8;
        item **chunks = marty_realloc(b->chunks, capacity * sizeof(item *));
        if (!chunks) {
            return false;
        }
        b->chunks = chunks;
        b->chunk_capacity = capacity;
    }
    item *chunk = b->chunk_count < CHUNKS_MAX ? marty_alloc_zero(ITEM_CHUNK, sizeof *chunk) : NULL;
    if (!chunk) {
        return false;
    }
    for (size_t i = ITEM_CHUNK; i-- > 0;) {
        chunk[i].tag = b->chunk_count * ITEM_CHUNK + i + 1;
        marty__list_push_first(&b->free_items, &chunk[i].link);
    }
    b->chunks[b->chunk_count++] = chunk;
    b->free_count += ITEM_CHUNK;
    return true;
}

bool marty__mem_items_there(broker *b, size_t count)
{
    while (b->free_count < b->promised + count) {
        if (!add_chunk(b)) {
            return false;
        }
    }
    return true;
}

item *marty__mem_item_new(broker *b, group *g)
{
    if (!marty__mem_items_there(b, 1)) {
        return NULL;
    }
    item *it = MARTY__OWNER(marty__list_pop(&b->free_items), item, link);
    b->free_count--;
    it->group = g;
    it->run = NULL;
    it->offset = 0;
    it->expires_ns = 0;
    it->tries = it->bytes = it->spare = 0;
    it->shard = 0;
    it->level = 0;
    it->of.claim = NULL;
    it->rank = ++g->ranks;
    return it;
}

void marty__mem_item_unused(item *it)
{
    broker *b = it->group->channel->broker;
    marty__list_push_first(&b->free_items, &it->link);
    b->free_count++;
}

item *marty__mem_item_of(const broker *b, uint64_t tag)
{
    uint64_t index = (tag & ITEM_INDEX_MASK) - 1;
    if (index >= b->chunk_count * ITEM_CHUNK) {
        return NULL;
    }
    item *it = &b->chunks[index / ITEM_CHUNK][index % ITEM_CHUNK];
    uint64_t of = it->run ? tag & ~ITEM_PLACE_MASK : tag;
    return it->state == ITEM_HELD && it->tag == of ? it : NULL;
}

void marty__mem_item_charge(item *it)
{
    if (!it->bytes) {
        it->bytes = marty__mem_cost(it->message);
        it->group->channel->broker->bytes += it->bytes;
    }
}

static void leave_holder(item *it)
{
    subscription *s = it->member->subscription;
    if (s->unsent == it) {
        s->unsent = it->link.next == &s->held ? NULL : MARTY__OWNER(it->link.next, item, link);
        if (!s->unsent) {
            marty__list_remove(&s->ready);
        }
    }
    it->member = NULL;
    it->group->held -= marty__mem_item_size(it);
}

void marty__mem_item_leave(item *it)
{
    group *g = it->group;
    if (it->state == ITEM_HELD) {
        leave_holder(it);
    } else if (it->state == ITEM_WAITING) {
        g->waiting--;
        if (it->level && g->levels) {
            g->levels->count--;
            g->levels->above -= it->level > 0;
        }
    } else if (it->state == ITEM_DELAYED) {
        g->delayed_count--;
    }
    if (it->timer.armed) {
        marty__heap_remove(&g->channel->broker->leases, &it->timer);
    }
    marty__list_remove(&it->link);
    if (g->ordered && it->of.claim) {
        marty__mem_claim_left(it);
    }
    it->state = ITEM_FREE;
}

/* Its entry, while the log has that. */
static entry *entry_of(const item *it)
{
    const record_log *log = &it->group->channel->log;
    entry *e = it->offset >= log->first && it->offset ? marty__mem_entry(log, it->offset) : NULL;
    return e && e->message == it->message ? e : NULL;
}

marty_message *marty__mem_item_lend(item *it)
{
    entry *e = entry_of(it);
    uint32_t *spare = e ? &e->spare : &it->spare;
    if (*spare) {
        --*spare;
        return it->message;
    }
    return marty_message_ref(it->message);
}

/* What it holds of its message goes to the entry, while there is one. */
static void drop_message(item *it)
{
    entry *e = it->message ? entry_of(it) : NULL;
    if (e) {
        e->spare++;
    } else if (it->message) {
        marty__mem_drop(it->group->channel->broker, it->message, 1 + it->spare);
    }
    it->message = NULL;
}

void marty__mem_item_free(item *it)
{
    broker *b = it->group->channel->broker;
    marty__mem_item_leave(it);
    if (it->group->ordered && it->of.claim) {
        marty__mem_claim_drop(it);
    } else if (it->group->channel->kind == MARTY_KIND_REQUEST && it->of.reply) {
        marty__mem_channel_unref(it->of.reply);
    }
    if (it->run) {
        marty__mem_run_drop(it);
    } else {
        drop_message(it);
    }
    b->bytes -= it->bytes;
    marty__mem_item_unused(it);
}

void marty__mem_items_free(broker *b)
{
    for (size_t i = 0; i < b->chunk_count; i++) {
        marty_free(b->chunks[i]);
    }
    marty_free(b->chunks);
    marty__mem_runs_free(b);
}
