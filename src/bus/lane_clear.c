/* SPDX-License-Identifier: Apache-2.0
 * What waits in the lanes of a subscription or is held is taken out of them unrun: given back, or
 * lost with its connection, shard or place. What runs or is kept stays. Locks: subscription->lock,
 * but while deliveries end. */
#include "lane_parts.h"

void marty__delivery_return_unrun(marty__delivery *delivery)
{
    if (delivery->handle.pattern == MARTY_QUERY) {
        delivery->consumer->bus->hooks->unanswered(delivery, MARTY_E_UNAVAILABLE);
    }
    marty__delivery_finish(delivery, MARTY_SETTLE_GIVE_BACK, 0);
}

/* Whether a delivery is among those to clear: of any consumer (NULL) or of one, and there of any
 * shard or of some. What of one is lost came before: others may come meanwhile. */
static bool meant(const marty__delivery *delivery, const marty__clear *what)
{
    if (what->consumer && (delivery->consumer != what->consumer ||
                           (what->lost && !marty__delivery_stale(delivery)))) {
        return false;
    }
    for (size_t i = 0; i < what->shard_count; i++) {
        if (what->shards[i] == delivery->handle.shard) {
            return true;
        }
    }
    return what->shard_count == 0;
}

static void pick(marty__link *from, const marty__clear *what, marty__link *to, size_t *count)
{
    for (marty__link *link = from->next, *next; link != from; link = next) {
        next = link->next;
        marty__delivery *delivery = MARTY__OWNER(link, marty__delivery, link);
        pick(&delivery->waiting, what, to, NULL);
        if (!delivery->in_hands && meant(delivery, what)) {
            delivery->held = false;
            marty__list_remove(link);
            marty__list_push_first(to,
                                   link); /* behind first, so that a key goes back from its end */
            if (count) {
                --*count;
            }
        }
    }
}

static void pick_behind_keys(marty_subscription *subscription, const marty__clear *what,
                             marty__link *to)
{
    marty__delivery *first;
    for (size_t at = 0; (first = marty__map_next(&subscription->keys, &at)) != NULL;) {
        pick(&first->waiting, what, to, NULL); /* of those that run or are kept */
    }
}

static void drop(marty__delivery *delivery, bool lost)
{
    marty__delivery_reopen(delivery);
    if (marty__alarm_cancel(delivery->consumer->bus, &delivery->alarm)) {
        marty__delivery_unref(delivery); /* it was held */
    }
    if (lost) {
        marty__consumer *consumer = delivery->consumer;
        marty__lock(&consumer->lock);
        marty__delivery_forfeit(delivery); /* nothing unsettled is freed */
        marty__unlock(&consumer->lock);
        marty__delivery_lose(delivery);
    } else if (!marty__delivery_take(delivery)) {
        marty__delivery_return_unrun(delivery);
    }
    marty__delivery_unref(delivery);
}

void marty__lanes_clear(marty_subscription *subscription, const marty__clear *what)
{
    marty__link picked, forgotten, *link;
    marty__list_init(&picked);
    marty__list_init(&forgotten);
    marty__lock(&subscription->lock);
    if (what->lost || marty__subscription_stops(subscription)) {
        marty__stuck_forget(subscription, what->consumer, &forgotten);
    }
    for (uint32_t i = 0; i < subscription->lane_made; i++) {
        pick(&subscription->lanes[i]->ready, what, &picked, &subscription->lanes[i]->ready_count);
    }
    pick(&subscription->held, what, &picked, NULL);
    pick_behind_keys(subscription, what, &picked);
    marty__unlock(&subscription->lock);
    bool some = !marty__list_empty(&picked);
    while ((link = marty__list_pop(&picked)) != NULL) {
        drop(MARTY__OWNER(link, marty__delivery, link), what->lost);
    }
    while ((link = marty__list_pop(&forgotten)) != NULL) {
        marty__delivery_unref(MARTY__OWNER(link, marty__delivery, returning));
    }
    for (size_t i = 0; some && i < subscription->consumer_count; i++) {
        marty__port_kick(subscription->consumers[i]->port);
    }
}
