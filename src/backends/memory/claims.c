/* SPDX-License-Identifier: Apache-2.0
 * Claims of an ordered group: one per key of which something is held, delayed or waits. All of a
 * key that is held is held by one member; what comes later waits for it in the claim, by rank. A
 * claim is known by the hash of its key: two keys that share one are kept in order together, no
 * more. With the broker's lock held. */
#include "memory.h"

#include "base/assert.h"

enum { CLAIM_CHUNK = 63 };

typedef struct claim_chunk {
    marty__link link;
    claim claims[CLAIM_CHUNK];
} claim_chunk;

static bool add_chunk(broker *b)
{
    claim_chunk *made = marty_alloc_zero(1, sizeof *made);
    if (!made) {
        return false;
    }
    for (size_t i = 0; i < CLAIM_CHUNK; i++) {
        marty__list_push(&b->free_claims, &made->claims[i].ready);
    }
    marty__list_push(&b->claim_chunks, &made->link);
    return true;
}

void marty__mem_claims_free(broker *b)
{
    for (marty__link *link; (link = marty__list_pop(&b->claim_chunks)) != NULL;) {
        marty_free(MARTY__OWNER(link, claim_chunk, link));
    }
}

bool marty__mem_claim_join(item *it, uint64_t key)
{
    group *g = it->group;
    broker *b = g->channel->broker;
    node *found = marty__mem_table_get(&g->claims, key);
    if (!found) {
        bool room = marty__mem_table_reserve(&g->claims) &&
                    (!marty__list_empty(&b->free_claims) || add_chunk(b));
        if (!room) {
            return false;
        }
        claim *c = MARTY__OWNER(marty__list_pop(&b->free_claims), claim, ready);
        *c = (claim){.node = {NULL, key}};
        marty__list_init(&c->waiting);
        marty__mem_table_put(&g->claims, &c->node);
        found = &c->node;
    }
    it->of.claim = MARTY__OWNER(found, claim, node);
    it->of.claim->items++;
    return true;
}

bool marty__mem_claim_free_to_go(const claim *c)
{
    return !c->delayed && marty__list_empty(&c->waiting);
}

void marty__mem_claim_ready(group *g, claim *c)
{
    marty__list_remove(&c->ready);
    if (!c->delayed && !marty__list_empty(&c->waiting)) {
        marty__list_push(c->holder ? &c->holder->ready : &g->ready, &c->ready);
    }
}

void marty__mem_claim_hold(item *it, member *m)
{
    claim *c = it->of.claim;
    marty__assert(!c->holder || c->holder == m);
    c->holder = m;
    c->held++;
}

void marty__mem_claim_delay(item *it)
{
    it->of.claim->delayed++;
    marty__mem_claim_ready(it->group, it->of.claim);
}

void marty__mem_claim_left(item *it)
{
    claim *c = it->of.claim;
    if (it->state == ITEM_HELD && --c->held == 0) {
        c->holder = NULL;
    } else if (it->state == ITEM_DELAYED) {
        c->delayed--;
    }
    marty__mem_claim_ready(it->group, c);
}

void marty__mem_claim_drop(item *it)
{
    claim *c = it->of.claim;
    it->of.claim = NULL;
    if (--c->items == 0) {
        broker *b = it->group->channel->broker;
        marty__list_remove(&c->ready);
        marty__mem_table_take(&it->group->claims, &c->node);
        marty__list_push_first(&b->free_claims, &c->ready);
    }
}
