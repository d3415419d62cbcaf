/* SPDX-License-Identifier: Apache-2.0
 * Delivery objects, made once and used again: a consumer keeps those that are free, so that steady
 * traffic allocates nothing. References are given back many at a time, with one lock for all of a
 * consumer. */
#include "internal.h"

#include "base/alloc.h"

#include <string.h>

enum { SPARES_MAX = 4096 };

marty__delivery *marty__delivery_new(marty__consumer *consumer)
{
    marty__link *link = marty__list_pop(&consumer->spare);
    if (link) {
        consumer->spare_count--;
        return MARTY__OWNER(link, marty__delivery, link);
    }
    return marty_alloc_zero(1, sizeof(marty__delivery));
}

marty__delivery *marty__delivery_ref(marty__delivery *delivery)
{
    (void)atomic_fetch_add_explicit(&delivery->refs, 1, memory_order_relaxed);
    return delivery;
}

/* What free deliveries held: the consumer keeps the objects that it has room for; the others'
 * memory goes. */
static void keep_or_free(marty__consumer *consumer, marty__link *dead, uint32_t count)
{
    marty__lock(&consumer->lock);
    if (consumer->spare_count + count <= SPARES_MAX && !consumer->gone) { /* all, those in front */
        marty__list_move(dead, &consumer->spare);
        marty__list_move(&consumer->spare, dead);
        consumer->spare_count += count;
    }
    while (!marty__list_empty(dead) && consumer->spare_count < SPARES_MAX && !consumer->gone) {
        marty__link *link = marty__list_pop(dead);
        marty__list_push_first(&consumer->spare, link);
        consumer->spare_count++;
    }
    marty__unlock(&consumer->lock);
    marty__link *link;
    while ((link = marty__list_pop(dead)) != NULL) {
        marty_free(MARTY__OWNER(link, marty__delivery, link));
    }
    marty__consumer_unref_many(consumer, count);
}

void marty__deliveries_unref(marty__delivery **list, size_t count)
{
    for (size_t i = 0; i < count;) {
        marty__consumer *consumer = list[i]->consumer;
        marty_subscription *subscription = list[i]->subscription;
        marty__link dead;
        uint32_t died = 0;
        marty__list_init(&dead);
        for (; i < count && list[i]->consumer == consumer && list[i]->subscription == subscription;
             i++) {
            marty__delivery *delivery = list[i];
            if (atomic_load_explicit(&delivery->refs, memory_order_acquire) != 1 &&
                atomic_fetch_sub_explicit(&delivery->refs, 1, memory_order_acq_rel) != 1) {
                continue;
            }
            marty_message_unref((marty_message *)(uintptr_t)delivery->handle.message);
            if (delivery->reply_to) {
                marty_free(delivery->reply_to);
            }
            marty__list_push(&dead, &delivery->link);
            died++;
        }
        if (died) {
            keep_or_free(consumer, &dead, died);
            if (subscription) {
                marty__subscription_unref_many(subscription, died);
            }
        }
    }
}

void marty__delivery_unref(marty__delivery *delivery)
{
    marty__deliveries_unref(&delivery, 1);
}
