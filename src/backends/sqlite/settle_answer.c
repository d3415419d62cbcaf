/* SPDX-License-Identifier: Apache-2.0
 * Telling core what became of settlements, and freeing claims of which nothing is left. Alike ones
 * are told together. The writer's thread. */
#include "work.h"

#include "base/alloc.h"
#include "base/clock.h"

enum { AT_ONCE = 64 };
typedef struct answers { /* of settlings alike */
    uint64_t subscription;
    marty_verb verb;
    marty_err result;
    int64_t lease_until_ns;
    size_t count;
    uint64_t tags[AT_ONCE];
} answers;

static void tell(const marty_port *port, answers *told)
{
    if (told->count) {
        port->sink->settled(port->sink, told->subscription, told->verb, told->tags, told->count,
                            told->result, told->lease_until_ns);
        told->count = 0;
    }
}

static uint64_t tag_of(const sq_item *item)
{
    return item->claim->serial << SQ_TAG_BITS | (uint64_t)(item - item->claim->items);
}

static void answer(const marty_port *port, answers *told, const sq_item *item, marty_verb verb,
                   marty_err result)
{
    int64_t until_ns = verb == MARTY_SETTLE_EXTEND && !result
                           ? port->now_ns + (item->lease_us - port->now_us) * 1000
                           : 0;
    if (told->count == AT_ONCE || told->subscription != item->claim->sub->number ||
        told->verb != verb || told->result != result || told->lease_until_ns != until_ns) {
        tell(port, told);
    }
    told->subscription = item->claim->sub->number;
    told->verb = verb;
    told->result = result;
    told->lease_until_ns = until_ns;
    told->tags[told->count++] = tag_of(item);
}

static void answer_extends(marty_port *port, answers *told, marty_err failed)
{
    marty__link *link;
    while ((link = marty__list_pop(&port->work_extends)) != NULL) {
        sq_item *item = MARTY__OWNER(link, sq_item, extending);
        marty_err result = failed ? failed : item->gone ? MARTY_E_LOST : MARTY_OK;
        marty__lock(&port->lock);
        uint32_t times = item->extends;
        item->extends = 0;
        item->extend_queued = false;
        marty__unlock(&port->lock);
        item->lease_us = result ? item->lease_us : item->extended_us;
        item->extended_us = 0;
        for (uint32_t i = 0; i < times; i++) {
            answer(port, told, item, MARTY_SETTLE_EXTEND, result);
        }
    }
}

static void free_dead(marty_port *port, sq_item *item)
{
    if (item->dead) {
        marty__sq_entry_free(port, item->dead);
        marty_free(item->dead);
        item->dead = NULL;
    }
}

/* Nothing of it is left: off the lists and the map. Its memory is freed by the caller. */
static void retire(marty_port *port, sq_claim *claim)
{
    marty__lock(&port->lock);
    (void)marty__map_take_u64(&port->claims, claim->serial);
    marty__unlock(&port->lock);
    marty__list_remove(&claim->link);
    marty__list_remove(&claim->dirty);
}

/* What they stand at now, for those who settle them again. */
static void mark_settles(marty_port *port, marty_err failed)
{
    marty__lock(&port->lock);
    for (marty__link *at = port->work_settles.next; at != &port->work_settles; at = at->next) {
        sq_item *item = MARTY__OWNER(at, sq_item, link);
        item->over = item->gone || (!failed && !item->result);
        item->leaving = false;
        item->stand = item->over ? SQ_OVER : SQ_OUT;
        item->result = item->gone ? MARTY_E_LOST : failed ? failed : item->result;
    }
    marty__unlock(&port->lock);
}

static void answer_settles(marty_port *port, answers *told)
{
    marty__link *link;
    while ((link = marty__list_pop(&port->work_settles)) != NULL) {
        sq_item *item = MARTY__OWNER(link, sq_item, link);
        sq_claim *claim = item->claim;
        free_dead(port, item);
        answer(port, told, item, item->verb, item->result);
        claim->left -= item->over;
        if (!claim->left) {
            retire(port, claim);
            marty__sq_claim_free(port, claim);
        }
    }
}

void marty__sq_settle_answer(marty_port *port, marty_err failed)
{
    answers told = {.count = 0};
    while (marty__list_pop(&port->dirty_claims)) {
        continue; /* written, or rolled back */
    }
    answer_extends(port, &told, failed);
    mark_settles(port, failed);
    answer_settles(port, &told);
    tell(port, &told);
}

void marty__sq_settle_undo(marty_port *port)
{
    while (marty__list_pop(&port->dirty_claims)) {
        continue;
    }
}

/* Under the lock: what ops have queued of it. */
static void unqueue(sq_claim *claim, marty__link *settles, marty__link *extends)
{
    for (uint32_t i = 0; i < claim->count; i++) {
        sq_item *item = &claim->items[i];
        item->gone = true;
        if (item->link.next) {
            marty__list_remove(&item->link);
            marty__list_push(settles, &item->link);
        }
        if (item->extending.next) {
            marty__list_remove(&item->extending);
            marty__list_push(extends, &item->extending);
        }
    }
}

void marty__sq_claims_drop(marty_port *port, sq_sub *sub)
{
    answers told = {.count = 0};
    marty__link settles, extends, *link;
    marty__list_init(&settles);
    marty__list_init(&extends);
    marty__lock(&port->lock);
    for (link = sub->claims.next; link != &sub->claims; link = link->next) {
        sq_claim *claim = MARTY__OWNER(link, sq_claim, link);
        (void)marty__map_take_u64(&port->claims, claim->serial);
        unqueue(claim, &settles, &extends);
    }
    marty__unlock(&port->lock);
    while ((link = marty__list_pop(&extends)) != NULL) {
        sq_item *item = MARTY__OWNER(link, sq_item, extending);
        for (; item->extends; item->extends--) {
            answer(port, &told, item, MARTY_SETTLE_EXTEND, MARTY_E_LOST);
        }
    }
    while ((link = marty__list_pop(&settles)) != NULL) {
        sq_item *item = MARTY__OWNER(link, sq_item, link);
        free_dead(port, item);
        answer(port, &told, item, item->verb, MARTY_E_LOST);
    }
    tell(port, &told);
    while ((link = marty__list_pop(&sub->claims)) != NULL) {
        sq_claim *claim = MARTY__OWNER(link, sq_claim, link);
        marty__list_remove(&claim->dirty);
        marty__sq_claim_free(port, claim);
    }
}
