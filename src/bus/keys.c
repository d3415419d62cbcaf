/* SPDX-License-Identifier: Apache-2.0
 * Order by key: of each key one delivery goes first (it is in subscription->keys), and all others
 * that are unsettled stand behind it, in order, in its list: those that wait, those that are put
 * off for a retry, and those that are in hands already, as a batch may have several of a key. One
 * leaves when it is settled for good, whether it runs, is kept or is retried until then. The map
 * has room for every unsettled delivery (reserved with the credit), so nothing here allocates at a
 * bad moment. */
#include "internal.h"

#include <string.h>

static marty__delivery *first_of(marty_subscription *subscription, const char *key)
{
    return marty__map_get(&subscription->keys, key, strlen(key));
}

static void lead(marty__delivery *delivery)
{
    const char *key = delivery->handle.message->key;
    (void)marty__map_put(&delivery->subscription->keys, key, strlen(key), delivery);
}

bool marty__key_admit(marty__delivery *delivery, marty__link *back)
{
    marty_subscription *subscription = delivery->subscription;
    const char *key = delivery->handle.message->key;
    if (subscription->order != MARTY_ORDER_KEY || !key) {
        return true;
    }
    marty__delivery *first = first_of(subscription, key);
    if (marty__stuck_turns_away(delivery, first, back)) {
        return false;
    }
    delivery->keyed = true;
    if (first) {
        marty__list_push(&first->waiting, &delivery->link);
        return false;
    }
    if (!marty__map_reserve(&subscription->keys, 1)) {
        delivery->keyed =
            false; /* only without memory and beyond the reserve; better late than never: run it */
        return true;
    }
    lead(delivery);
    return true;
}

/* The first of its key is settled: the next one leads, whoever has it. */
static void succeed(marty__delivery *first)
{
    marty_subscription *subscription = first->subscription;
    const char *key = first->handle.message->key;
    marty__link *link = marty__list_pop(&first->waiting);
    if (!link) {
        (void)marty__map_take(&subscription->keys, key, strlen(key));
        return;
    }
    marty__delivery *next = MARTY__OWNER(link, marty__delivery, link);
    marty__list_move(&next->waiting, &first->waiting);
    lead(next);
    if (next->held) {
        marty__list_push(&subscription->held, &next->link);
    } else if (!next->in_hands) {
        marty__lane_put(next, true);
    }
}

void marty__key_done(marty__delivery *delivery)
{
    marty_subscription *subscription = delivery->subscription;
    if (!subscription || subscription->order != MARTY_ORDER_KEY) {
        return;
    }
    marty__lock(&subscription->lock);
    if (delivery->keyed) {
        delivery->keyed = false;
        if (first_of(subscription, delivery->handle.message->key) == delivery) {
            succeed(delivery);
        } else {
            marty__list_remove(&delivery->link);
        }
    }
    marty__unlock(&subscription->lock);
}

marty__delivery *marty__key_next(const marty__link *after, const marty__delivery *first)
{
    if (after->next == &first->waiting) {
        return NULL;
    }
    marty__delivery *next = MARTY__OWNER(after->next, marty__delivery, link);
    return next->held || next->in_hands || next->left_batch ? NULL : next;
}

bool marty__key_leads(const marty__delivery *delivery)
{
    return !delivery->keyed ||
           first_of(delivery->subscription, delivery->handle.message->key) == delivery;
}

void marty__key_replace(marty__delivery *old, marty__delivery *fresh)
{
    if (!old->keyed) {
        return;
    }
    old->keyed = false;
    fresh->keyed = true;
    if (first_of(old->subscription, old->handle.message->key) == old) {
        marty__list_move(&fresh->waiting, &old->waiting);
        lead(fresh);
    } else {
        marty__list_insert(&old->link, &fresh->link);
        marty__list_remove(&old->link);
    }
}

void marty__key_unbatch(marty__delivery *delivery)
{
    marty__delivery *first = first_of(delivery->subscription, delivery->handle.message->key);
    marty__link *at = delivery == first ? &delivery->waiting : &delivery->link;
    for (at = at->next; at != &first->waiting; at = at->next) {
        marty__delivery *next = MARTY__OWNER(at, marty__delivery, link);
        int open = MARTY__OPEN_VERDICT;
        if (next->in_hands && !marty__delivery_kept(next) &&
            atomic_compare_exchange_strong(&next->verdict, &open, MARTY__RETURNED_VERDICT)) {
            next->in_hands = false;
            next->left_batch = true;
            (void)marty__delivery_ref(next);
        }
    }
}
