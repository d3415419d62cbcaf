/* SPDX-License-Identifier: Apache-2.0
 * What can be changed and asked of a running subscription: pause, concurrency, seek, pull,
 * counters. Any thread. */
#include "internal.h"

#include "base/error.h"
#include "base/grouped.h"

#include <string.h>

static marty_err enter(marty_subscription *subscription, marty_error *why)
{
    if (!subscription) {
        return marty_error_set(why, MARTY_E_ARGUMENT, "subscription is NULL");
    }
    return marty__bus_enter(subscription->bus, MARTY__CLOSED, why);
}

marty_err marty_subscription_pause(marty_subscription *subscription, bool paused, marty_error *why)
{
    marty_err err = enter(subscription, why);
    if (err) {
        return err;
    }
    marty__lock(&subscription->lock);
    subscription->paused = paused;
    marty__unlock(&subscription->lock);
    for (size_t i = 0; i < subscription->consumer_count; i++) {
        marty__consumer_pause(subscription->consumers[i]);
    }
    marty__lanes_wake(subscription);
    return MARTY_OK;
}

marty_err marty_subscription_concurrency(marty_subscription *subscription, uint32_t concurrency,
                                         marty_error *why)
{
    marty_err err = enter(subscription, why);
    if (err) {
        return err;
    }
    if (concurrency < 1 || concurrency > MARTY__CONCURRENCY_MAX) {
        return marty_error_set(why, MARTY_E_ARGUMENT, "concurrency is %u; expected 1 to %s",
                               concurrency, marty__grouped(MARTY__CONCURRENCY_MAX).text);
    }
    marty__lock(&subscription->lock);
    err = marty__lanes_make(subscription, concurrency, why);
    marty__unlock(&subscription->lock);
    marty__lanes_wake(subscription);
    return err;
}

marty_err marty_subscription_seek(marty_subscription *subscription, const marty_start to[],
                                  size_t count, marty_error *why)
{
    marty_err err = enter(subscription, why);
    if (err) {
        return err;
    }
    if (!to || !count) {
        return marty_error_set(why, MARTY_E_ARGUMENT, "seek needs at least one place to go to");
    }
    for (size_t i = 0; i < subscription->consumer_count; i++) {
        marty__consumer *consumer = subscription->consumers[i];
        if (!marty__port_can(consumer->port, consumer->kind, consumer->order, MARTY_CAN_REPLAY)) {
            return marty_error_set(why, MARTY_E_UNSUPPORTED,
                                   "%s grants no replay on %s; route it to memory, sqlite or nats",
                                   consumer->port->name, consumer->channel);
        }
    }
    int64_t deadline = marty__bus_deadline(subscription->bus, 0, MARTY__TIMEOUT_MS);
    for (size_t k = 0; k < count && !err; k++) {
        for (size_t i = 0; i < subscription->consumer_count && !err; i++) {
            err = marty__consumer_seek(subscription->consumers[i], &to[k], deadline, why);
        }
    }
    return err;
}

/* ---- pulling */
/* With subscription->lock held. */
static size_t pull(marty_subscription *subscription, marty_delivery **ret_first)
{
    size_t count = 0, bytes = 0;
    marty__delivery *last = NULL;
    bool open = !subscription->paused && !subscription->stopped &&
                atomic_load(&subscription->bus->phase) == MARTY__OPEN;
    for (uint32_t i = 0; open && i < subscription->lane_count && count < subscription->batch_max;
         i++) {
        marty__lane *lane = subscription->lanes[i];
        while (
            count < subscription->batch_max &&
            (!bytes || bytes < subscription->batch_bytes_max || !subscription->batch_bytes_max)) {
            marty__delivery *delivery = marty__lane_take(lane);
            if (!delivery) {
                break;
            }
            bytes += delivery->handle.message->data.size;
            delivery->handle.next = NULL;
            if (last) {
                last->handle.next = &delivery->handle;
            } else {
                *ret_first = &delivery->handle;
            }
            last = delivery;
            count++;
        }
    }
    return count;
}

/* Out of the lock: begun and kept for the user; what is not admitted leaves the list. */
static size_t hand_out(marty_subscription *subscription, marty_delivery **first)
{
    size_t count = 0;
    marty_delivery *list = *first, **link = first;
    while (list) {
        marty__delivery *delivery = (marty__delivery *)(void *)list;
        list = list->next;
        if (marty__delivery_admit(delivery)) {
            marty__delivery_begin(delivery, marty__bus_now(subscription->bus));
            (void)marty_delivery_keep(&delivery->handle);
            marty__delivery_end(delivery);
            marty__subscription_count(subscription, MARTY__DELIVERED, 1);
            *link = &delivery->handle;
            link = &delivery->handle.next;
            count++;
        }
        marty__delivery_unref(delivery); /* the lane's; keep took another */
    }
    *link = NULL;
    return count;
}

static marty_err wait_for_some(marty_subscription *subscription, int64_t deadline,
                               marty_delivery **ret_first)
{
    marty_bus *bus = subscription->bus;
    marty_err err = MARTY_OK;
    bool in_time = true;
    marty__lock(&subscription->lock);
    marty__pool_block(bus);
    while (!pull(subscription, ret_first) && !err) {
        if (subscription->stopped || atomic_load(&bus->phase) != MARTY__OPEN) {
            err = MARTY_E_CLOSED;
        } else if (!in_time) {
            err = MARTY_E_TIMEOUT;
        } else {
            in_time = marty__bus_wait(bus, &subscription->changed, &subscription->lock, deadline);
        }
    }
    marty__pool_unblock(bus);
    marty__unlock(&subscription->lock);
    return err;
}

marty_err marty_receive(marty_subscription *subscription, int32_t timeout_ms,
                        marty_delivery **ret_first, marty_error *why)
{
    marty_err err = enter(subscription, why);
    if (err) {
        return err;
    }
    if (subscription->handler) {
        return marty_error_set(why, MARTY_E_STATE,
                               "\"%s\" has a handler; subscribe with handler NULL to receive",
                               subscription->name);
    }
    if (!ret_first) {
        return marty_error_set(why, MARTY_E_ARGUMENT, "ret_first is NULL");
    }
    err = marty_bus_start(subscription->bus, why);
    int64_t deadline = timeout_ms == MARTY_NO_WAIT
                           ? 0
                           : marty__bus_deadline(subscription->bus, timeout_ms, MARTY__TIMEOUT_MS);
    marty_delivery *first = NULL;
    while (!err && !first) {
        err = wait_for_some(subscription, deadline, &first);
        if (!err && !hand_out(subscription, &first)) {
            first = NULL;
        }
    }
    if (err == MARTY_E_TIMEOUT) {
        return marty_error_set(why, err, "nothing came for \"%s\" in time", subscription->name);
    }
    if (err == MARTY_E_CLOSED) {
        return marty_error_set(why, err, "\"%s\" is stopped", subscription->name);
    }
    if (!err) {
        *ret_first = first;
    }
    return err;
}

/* ---- counters */
static void add_consumer(marty__consumer *consumer, marty_stats *stats, int64_t now)
{
    marty__lock(&consumer->lock);
    stats->unsettled += consumer->unsettled_count;
    stats->lost += consumer->lost;
    stats->settle_failed += consumer->settle_failed;
    if (!marty__list_empty(&consumer->unsettled)) {
        const marty__delivery *oldest =
            MARTY__OWNER(consumer->unsettled.next, marty__delivery, unsettled);
        int64_t handed = atomic_load_explicit(&oldest->handed_ns, memory_order_relaxed);
        int64_t since = handed ? handed : now;
        uint64_t age = (uint64_t)((now - since) / MARTY__NS_PER_MS);
        stats->oldest_unsettled_ms =
            age > stats->oldest_unsettled_ms ? age : stats->oldest_unsettled_ms;
    }
    uint64_t quiet = consumer->last_delivery_ns
                         ? (uint64_t)((now - consumer->last_delivery_ns) / MARTY__NS_PER_MS)
                         : UINT64_MAX;
    stats->last_delivery_ms = quiet < stats->last_delivery_ms ? quiet : stats->last_delivery_ms;
    marty__unlock(&consumer->lock);
}

void marty_subscription_stats(const marty_subscription *subscription, marty_stats *ret_stats)
{
    if (!ret_stats) {
        return;
    }
    memset(ret_stats, 0, sizeof *ret_stats);
    if (!subscription || subscription->bus->fork_generation != marty__fork_generation()) {
        return;
    }
    marty_subscription *self = (marty_subscription *)(uintptr_t)subscription;
    ret_stats->delivered = atomic_load(&self->stats[MARTY__DELIVERED]);
    ret_stats->acked = atomic_load(&self->stats[MARTY__ACKED]);
    ret_stats->retried = atomic_load(&self->stats[MARTY__RETRIED]);
    ret_stats->rejected = atomic_load(&self->stats[MARTY__REJECTED]);
    ret_stats->given_back = atomic_load(&self->stats[MARTY__GIVEN_BACK]);
    ret_stats->lost = atomic_load(&self->stats[MARTY__LOST]);
    ret_stats->dropped = atomic_load(&self->stats[MARTY__DROPPED]);
    ret_stats->unmatched = atomic_load(&self->bus->unmatched);
    ret_stats->late = atomic_load(&self->bus->late_replies);
    ret_stats->lag = UINT64_MAX;
    ret_stats->last_delivery_ms = UINT64_MAX;
    int64_t now = marty__bus_now(self->bus);
    marty__lock(&self->lock);
    for (uint32_t i = 0; i < self->lane_made; i++) {
        ret_stats->queued += self->lanes[i]->ready_count;
    }
    marty__unlock(&self->lock);
    for (size_t i = 0; i < self->consumer_count; i++) {
        add_consumer(self->consumers[i], ret_stats, now);
    }
}
