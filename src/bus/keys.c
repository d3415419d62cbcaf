/* SPDX-License-Identifier: Apache-2.0
 * Order by key: of each key one delivery goes first (it is in subscription->keys) and later ones
 * wait in its list, until it is settled for good, whether it runs, is kept or is retried. In a
 * batch, followers of the same key may stand behind it. The map has room for every unsettled
 * delivery (reserved with the credit), so nothing here allocates at a bad moment. */
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

/* The next unsettled one: a follower in the batch, else the first that waits. */
static marty__delivery *successor(marty__delivery *delivery)
{
    marty__delivery *next = delivery->follower;
    while (next && !next->keyed) { /* settled by the handler already */
        next = next->follower;
    }
    if (!next) {
        marty__link *link = marty__list_pop(&delivery->waiting);
        next = link ? MARTY__OWNER(link, marty__delivery, link) : NULL;
    }
    return next;
}

void marty__key_done(marty__delivery *delivery)
{
    marty_subscription *subscription = delivery->subscription;
    if (!subscription || !delivery->keyed) {
        return;
    }
    marty__lock(&subscription->lock);
    delivery->keyed = false;
    const char *key = delivery->handle.message->key;
    if (first_of(subscription, key) == delivery) {
        marty__delivery *next = successor(delivery);
        if (next) {
            marty__list_move(&next->waiting, &delivery->waiting);
            lead(next);
            if (!next->in_batch) {
                marty__lane_put(next, true);
            }
        } else {
            (void)marty__map_take(&subscription->keys, key, strlen(key));
        }
        delivery->follower = NULL;
    }
    marty__unlock(&subscription->lock);
}

void marty__key_skip(marty_subscription *subscription, marty__delivery **batch, size_t count,
                     marty__delivery *skipped)
{
    marty__lock(&subscription->lock);
    for (size_t i = count; i > 0; i--) {
        if (batch[i - 1]->follower == skipped) {
            batch[i - 1]->follower = skipped->follower;
            break;
        }
    }
    marty__unlock(&subscription->lock);
}

void marty__key_replace(marty__delivery *old, marty__delivery *fresh)
{
    if (!old->keyed) {
        return;
    }
    old->keyed = false;
    fresh->keyed = true;
    marty__list_move(&fresh->waiting, &old->waiting);
    if (first_of(old->subscription, old->handle.message->key) == old) {
        lead(fresh);
    }
}

void marty__key_unbatch(marty__delivery *delivery)
{
    marty__link behind;
    marty__list_init(&behind);
    for (marty__delivery *next = delivery->follower, *after; next; next = after) {
        after = next->follower;
        next->follower = NULL;
        next->in_batch = false;
        int open = MARTY__OPEN_VERDICT;
        if (next->keyed && !marty__delivery_kept(next) &&
            atomic_compare_exchange_strong(&next->verdict, &open, MARTY__RETURNED_VERDICT)) {
            next->left_batch = true;
            marty__list_push(&behind, &marty__delivery_ref(next)->link);
        }
    }
    delivery->follower = NULL;
    marty__list_move(&behind, &delivery->waiting);
    marty__list_move(&delivery->waiting, &behind);
}
