/* SPDX-License-Identifier: Apache-2.0
 * Runs: entries of a log that one member gets at once are one item, told and acked as one, until
 * something else happens to one of them. An item for each is kept free meanwhile, so that settling
 * never needs memory. Only of groups without order and ports without leases, and of entries that
 * nothing sets apart. With the broker's lock held. */
#include "memory.h"

#include "base/assert.h"

static run *run_new(broker *b)
{
    run *r = b->free_runs;
    if (r) {
        b->free_runs = r->next;
    }
    return r ? r : marty_alloc(sizeof *r);
}

static void run_free(broker *b, run *r)
{
    r->next = b->free_runs;
    b->free_runs = r;
}

void marty__mem_runs_free(broker *b)
{
    while (b->free_runs) {
        run *r = b->free_runs;
        b->free_runs = r->next;
        marty_free(r);
    }
}

/* How many from e on are there, live for ever and have no priority. */
static uint32_t count_alike(const entry *e, uint64_t most)
{
    uint32_t count = 0;
    while (count < most && e[count].message && !e[count].expires_ns && !e[count].flags &&
           e[count].shard == e->shard) {
        count++;
    }
    return count;
}

/* One reference for the run, one for the delivery. */
static marty_message *take(entry *e)
{
    if (e->spare < 2) {
        return marty__message_keep(e->message, 2);
    }
    e->spare -= 2;
    return e->message;
}

item *marty__mem_run_take(group *g, entry *e, size_t most)
{
    broker *b = g->channel->broker;
    uint64_t there = g->channel->log.next - g->next, offset = g->next;
    uint64_t of_segment = SEGMENT_ENTRIES - offset % SEGMENT_ENTRIES;
    there = there < of_segment ? there : of_segment;
    there = there < most ? there : most;
    uint32_t count = count_alike(e, there < RUN_MAX ? there : RUN_MAX);
    run *r = count >= RUN_MIN && marty__mem_items_there(b, count + 1) ? run_new(b) : NULL;
    item *it = r ? marty__mem_item_new(b, g) : NULL;
    if (!it) {
        return NULL;
    }
    b->promised += count;
    g->ranks += count - 1;
    g->next += count;
    it->run = r;
    it->message = NULL;
    it->offset = offset;
    it->shard = e->shard;
    r->first = e;
    r->open = ~(uint64_t)0 >> (RUN_MAX - count);
    r->count = count;
    r->told = 0;
    for (uint32_t i = 0; i < count; i++) {
        r->messages[i] = take(&e[i]);
    }
    return it;
}

/* Below that place the log has no entry of it any more: it loses them from the first one on. */
static uint64_t lost_of(const item *it)
{
    uint64_t first = it->group->channel->log.first;
    return first > it->offset ? first - it->offset : 0;
}

/* Some have left the run, whose item goes with its last one. */
static void close_places(item *it, uint64_t places, size_t count)
{
    it->run->open &= ~places;
    it->group->channel->broker->promised -= count;
    it->group->held -= count;
}

/* What it holds of those messages goes to their entries, while there are some. */
static void drop(const item *it, uint64_t places)
{
    const run *r = it->run;
    uint64_t lost = lost_of(it);
    for (; places; places &= places - 1) {
        uint32_t place = (uint32_t)__builtin_ctzll(places), refs = place < r->told ? 1 : 2;
        if (place >= lost) {
            r->first[place].spare += refs;
        } else {
            marty__mem_drop(it->group->channel->broker, r->messages[place], refs);
        }
    }
}

void marty__mem_run_drop(item *it)
{
    run *r = it->run;
    broker *b = it->group->channel->broker;
    drop(it, r->open);
    b->promised -= marty__mem_item_size(it);
    it->run = NULL;
    run_free(b, r);
}

size_t marty__mem_run_ack(item *it, const marty_settling batch[], size_t count)
{
    const run *r = it->run;
    uint64_t number = batch[0].subscription, acked = 0;
    uint64_t open = r->told ? r->open & ~(uint64_t)0 >> (RUN_MAX - r->told) : 0;
    size_t size = 0;
    for (; size < count; size++) {
        const marty_settling *how = &batch[size];
        uint64_t place = (how->tag ^ it->tag) >> ITEM_INDEX_BITS;
        bool of_run = place < RUN_MAX && !((how->tag ^ it->tag) & ITEM_INDEX_MASK);
        if (!of_run || how->verb != MARTY_SETTLE_ACK || how->subscription != number ||
            !(open >> place & 1)) {
            break;
        }
        acked |= (uint64_t)1 << place;
        open &= ~((uint64_t)1 << place);
    }
    drop(it, acked);
    close_places(it, acked, size);
    if (!r->open) {
        marty__mem_item_free(it);
    }
    return size;
}

item *marty__mem_run_split(item *it, uint32_t place)
{
    group *g = it->group;
    run *r = it->run;
    entry *e = place >= lost_of(it) ? &r->first[place] : NULL;
    close_places(it, (uint64_t)1 << place, 1);
    item *one = marty__mem_item_new(g->channel->broker, g);
    marty__assert(one); /* promised */
    g->ranks--;
    one->rank = it->rank + place;
    one->message = r->messages[place];
    one->offset = it->offset + place;
    one->shard = it->shard;
    one->state = ITEM_HELD;
    one->member = it->member;
    one->tag += (uint64_t)1 << ITEM_TAG_BITS;
    if (place >= r->told) { /* its delivery's */
        *(e ? &e->spare : &one->spare) += 1;
    }
    g->held++;
    marty__list_insert(it->link.before, &one->link);
    if (!r->open) {
        marty__mem_item_free(it);
    }
    return one;
}
