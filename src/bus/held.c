/* SPDX-License-Identifier: Apache-2.0
 * Deliveries that are to run again are held in memory until then: unsettled, their leases renewed,
 * in their place among those of their key. While the user has a hand on one, another object stands
 * for it from then on. */
#include "internal.h"

#include "base/alloc.h"

#include <string.h>

/* What stays as it is from one run to the next. Whoever has a hand on the old one may still change
 * the rest of it: who counts it, and where it stands in his list. */
static void copy(marty__delivery *fresh, const marty__delivery *old)
{
    const marty_delivery *handle = &old->handle;
    atomic_init(&fresh->refs, 1);
    atomic_init(&fresh->verdict, MARTY__SETTLED_VERDICT); /* as the old one's, till it stands */
    fresh->consumer = marty__consumer_ref(old->consumer);
    fresh->subscription = marty__subscription_ref(old->subscription);
    fresh->handle = (marty_delivery){.message = marty_message_ref(handle->message),
                                     .bus = handle->bus,
                                     .subscription = handle->subscription,
                                     .backend = handle->backend,
                                     .channel = handle->channel,
                                     .group = handle->group,
                                     .pattern = handle->pattern,
                                     .attempt = handle->attempt,
                                     .lease_ms = handle->lease_ms,
                                     .shard = handle->shard,
                                     .deadline_ms = handle->deadline_ms};
    if (handle->position) {
        memcpy(fresh->position, old->position, sizeof fresh->position);
        fresh->handle.position = fresh->position;
    }
    fresh->reply_to = old->reply_to ? marty__strdup(old->reply_to) : NULL;
    fresh->carried = old->carried;
    fresh->tag = old->tag;
    fresh->expires_ns = old->expires_ns;
    atomic_init(&fresh->handed_ns, atomic_load_explicit(&old->handed_ns, memory_order_relaxed));
    marty__list_init(&fresh->waiting);
}

/* The object to run again: the same, or another when the user still has a hand on this one (whose
 * verdict is spent). */
static marty__delivery *fresh_one(marty__delivery *old)
{
    if (!atomic_load(&old->user_refs)) {
        return marty__delivery_ref(old);
    }
    marty__delivery *fresh = marty_alloc_zero(1, sizeof *fresh);
    if (fresh) {
        copy(fresh, old);
    }
    return fresh;
}

static void held_rang(marty__alarm *alarm)
{
    marty__delivery *delivery = MARTY__OWNER(alarm, marty__delivery, alarm);
    marty_subscription *subscription = delivery->subscription;
    marty__lock(&subscription->lock);
    bool held = delivery->held; /* else taken away meanwhile, into a list that is not ours */
    delivery->held = false;
    if (held && marty__key_leads(delivery)) { /* else it runs when those before it are done */
        marty__list_remove(&delivery->link);
        marty__lane_put(delivery, true);
    }
    marty__unlock(&subscription->lock);
    marty__delivery_unref(delivery);
}

/* With consumer->lock and subscription->lock held: what others may have changed until now. */
static void take_over(marty__delivery *old, marty__delivery *fresh)
{
    atomic_store(&fresh->epoch, atomic_load(&old->epoch));
    fresh->lease_until_ns = old->lease_until_ns;
    fresh->revoked = old->revoked;
    fresh->stuck_ns = old->stuck_ns;
    if (old->unsettled.next) {
        marty__list_insert(&old->unsettled, &fresh->unsettled);
        marty__list_remove(&old->unsettled);
    }
    marty__key_replace(old, fresh);
}

/* True when its shard has come to be revoked, and what of that was held was given back before.
 * fresh stands for old from now on: in the unsettled ones, among those of its key, and in the list
 * of those held. */
static bool swap_in(marty__delivery *old, marty__delivery *fresh, int64_t again_ns, bool counted)
{
    marty_subscription *subscription = old->subscription;
    marty__consumer *consumer = old->consumer;
    marty__lock(&consumer->lock);
    marty__lock(&subscription->lock);
    if (old->keyed) {
        marty__key_unbatch(old);
    }
    if (fresh != old) {
        take_over(old, fresh);
    }
    atomic_store(&fresh->verdict, MARTY__OPEN_VERDICT);
    fresh->handle.attempt += counted;
    fresh->held = true;
    fresh->in_hands = false;
    fresh->again_ns = again_ns;
    if (marty__key_leads(fresh)) { /* else it stands in its place behind the first */
        marty__list_push(&subscription->held, &fresh->link);
    }
    (void)marty__alarm_set(consumer->bus, &fresh->alarm, again_ns); /* whoever takes it away from
                                                                       there finds it set */
    marty__unlock(&subscription->lock);
    bool revoked = fresh->revoked;
    marty__unlock(&consumer->lock);
    return revoked;
}

/* Lost already, or with its shard soon: then it comes again to whoever has that. */
static bool is_leaving(marty__delivery *delivery)
{
    marty__consumer *consumer = delivery->consumer;
    marty__lock(&consumer->lock);
    bool leaving = delivery->revoked || marty__delivery_stale(delivery);
    marty__unlock(&consumer->lock);
    return leaving;
}

/* It goes back to the broker: what stands behind it in order must not run before it comes again. */
static void give_back_behind(marty__delivery *delivery)
{
    marty_subscription *subscription = delivery->subscription;
    uint32_t shard = delivery->handle.shard;
    if (!subscription || subscription->order != MARTY_ORDER_KEY) {
        return;
    }
    marty__lock(&subscription->lock);
    if (delivery->keyed) {
        marty__key_unbatch(delivery);
    }
    marty__unlock(&subscription->lock);
    marty__lanes_clear(
        subscription,
        &(marty__clear){.consumer = delivery->consumer, .shards = &shard, .shard_count = 1});
}

void marty__delivery_hold(marty__delivery *delivery, uint32_t delay_ms, bool counted)
{
    marty_bus *bus = delivery->consumer->bus;
    marty_subscription *subscription = delivery->subscription;
    bool running =
        subscription && !marty__subscription_stops(subscription) && !is_leaving(delivery);
    marty__delivery *fresh = running ? fresh_one(delivery) : NULL;
    if (!fresh) {
        give_back_behind(delivery);
        marty__delivery_finish(delivery, counted ? MARTY_SETTLE_RETRY : MARTY_SETTLE_GIVE_BACK, 0);
        return;
    }
    marty__subscription_count(subscription, counted ? MARTY__RETRIED : MARTY__GIVEN_BACK, 1);
    fresh->alarm.ring = held_rang;
    (void)marty__delivery_ref(fresh); /* the list's and the alarm's */
    marty__delivery_inactive(delivery);
    int64_t again_ns = marty__deadline_ns(marty__bus_now(bus), delay_ms);
    uint32_t shard = delivery->handle.shard;
    marty__clear what = {.consumer = delivery->consumer, .shards = &shard};
    what.shard_count = swap_in(delivery, fresh, again_ns, counted) ? 1 : 0;
    if (marty__subscription_stops(subscription)) { /* its end may have passed by just before */
        marty__lanes_clear(subscription, &(marty__clear){0});
    } else if (what.shard_count) {
        marty__lanes_clear(subscription, &what);
    }
}
