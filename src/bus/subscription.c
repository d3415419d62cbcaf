/* SPDX-License-Identifier: Apache-2.0
 * What the user holds of a subscription: handler, lanes, counters. References: the user's (or the
 * bus's), one per delivery, one per scheduled lane. The last one frees it and calls user_free, when
 * the handler can run no more. */
#include "internal.h"

#include "base/alloc.h"
#include "base/error.h"

#include <stdio.h>
#include <string.h>

void marty__subscription_ref_many(marty_subscription *subscription, uint32_t count)
{
    (void)atomic_fetch_add_explicit(&subscription->refs, count, memory_order_relaxed);
}

marty_subscription *marty__subscription_ref(marty_subscription *subscription)
{
    marty__subscription_ref_many(subscription, 1);
    return subscription;
}

void marty__subscription_unref(marty_subscription *subscription)
{
    marty__subscription_unref_many(subscription, 1);
}

void marty__subscription_unref_many(marty_subscription *subscription, uint32_t count)
{
    if (atomic_fetch_sub_explicit(&subscription->refs, count, memory_order_acq_rel) != count) {
        return;
    }
    marty_bus *bus = subscription->bus;
    (void)atomic_fetch_sub(&bus->pulled, subscription->handler ? 0 : 1);
    if (subscription->user_free) {
        subscription->user_free(subscription->user);
    }
    marty__lanes_free(subscription);
    for (size_t i = 0; i < subscription->consumer_count; i++) {
        marty__consumer_unref(subscription->consumers[i]);
    }
    marty_free(subscription->consumers);
    marty_free(subscription->name);
    marty_free(subscription->group);
    marty_free(subscription->service);
    marty__cond_free(&subscription->changed);
    marty__mutex_free(&subscription->lock);
    marty_free(subscription);
    marty__bus_unref(bus);
}

const char *marty__subscription_types(const marty_subscription *subscription)
{
    return subscription->pattern == MARTY_STREAM ? ">" : subscription->name;
}

void marty__subscription_count(marty_subscription *subscription, marty__stat stat, uint64_t count)
{
    if (subscription) {
        (void)atomic_fetch_add_explicit(&subscription->stats[stat], count, memory_order_relaxed);
    }
}

/* ---- making */
static void fill(marty_subscription *subscription, const marty__subscribe *what)
{
    const marty_subscribe_options *options = what->options;
    const marty_retry_policy *general = &subscription->bus->config->retry;
    subscription->pattern = what->pattern;
    subscription->handler = what->handler;
    subscription->user = what->user;
    subscription->order = what->places[0].order;
    subscription->retry = options->retry;
    marty_retry_policy *retry = &subscription->retry;
    retry->attempts = retry->attempts     ? retry->attempts
                      : general->attempts ? general->attempts
                                          : MARTY__RETRY_ATTEMPTS;
    retry->first_ms = retry->first_ms     ? retry->first_ms
                      : general->first_ms ? general->first_ms
                                          : MARTY__RETRY_FIRST_MS;
    retry->max_ms = retry->max_ms     ? retry->max_ms
                    : general->max_ms ? general->max_ms
                                      : MARTY__RETRY_MAX_MS;
    retry->no_jitter = retry->no_jitter || general->no_jitter;
    uint32_t lanes = options->concurrency ? options->concurrency : 1;
    subscription->batch_max = options->batch_max ? options->batch_max : 1;
    subscription->batch_wait_ms = options->batch_wait_ms;
    subscription->batch_bytes_max = options->batch_bytes_max;
    uint64_t batches = (uint64_t)subscription->batch_max * lanes, two_batches = 2 * batches;
    uint32_t usual = two_batches > MARTY__CREDIT && two_batches < UINT32_MAX ? (uint32_t)two_batches
                                                                             : MARTY__CREDIT;
    subscription->credit = options->credit ? options->credit : usual;
    if (subscription->batch_wait_ms && subscription->batch_max > 1) {
        subscription->batches =
            batches < subscription->credit ? (uint32_t)batches : subscription->credit;
    }
    subscription->keep_max_ms = options->keep_max_ms ? options->keep_max_ms : MARTY__KEEP_MAX_MS;
    subscription->lease_ms = options->lease_ms;
    subscription->paused = options->paused;
    subscription->started = atomic_load(&subscription->bus->started);
}

static marty_err make(marty_bus *bus, const marty__subscribe *what,
                      marty_subscription **ret_subscription, marty_error *why)
{
    marty_subscription *subscription = marty_alloc_zero(1, sizeof *subscription);
    if (!subscription) {
        return marty__error_code(why, MARTY_E_NO_MEMORY);
    }
    atomic_init(&subscription->refs, 1);
    subscription->bus = marty__bus_ref(bus);
    fill(subscription, what);
    (void)atomic_fetch_add(&bus->pulled, what->handler ? 0 : 1);
    marty__list_init(&subscription->held);
    marty__list_init(&subscription->returning);
    bool made = marty__mutex_init(&subscription->lock) && marty__cond_init(&subscription->changed);
    subscription->instance_group = what->group && strcmp(what->group, MARTY_GROUP_INSTANCE) == 0;
    subscription->name = marty__strdup(what->name);
    subscription->group = what->group ? marty__strdup(what->group) : NULL;
    subscription->service = what->service ? marty__strdup(what->service) : NULL;
    subscription->consumers = marty_alloc_zero(what->place_count, sizeof(marty__consumer *));
    made = made && subscription->name && (subscription->group || !what->group) &&
           (subscription->service || !what->service) && subscription->consumers;
    made = made && (subscription->order != MARTY_ORDER_KEY ||
                    marty__map_reserve(&subscription->keys, subscription->credit));
    marty_err err =
        made ? marty__lanes_make(subscription,
                                 what->options->concurrency ? what->options->concurrency : 1, why)
             : marty__error_code(why, MARTY_E_NO_MEMORY);
    if (err) {
        marty__subscription_unref(subscription);
        return err;
    }
    *ret_subscription = subscription;
    return MARTY_OK;
}

/* Out of the way of others at once; what runs or is kept may still be settled until the deadline.
 */
static void leave_all(marty_subscription *subscription, int64_t deadline_ns)
{
    for (size_t i = 0; i < subscription->consumer_count; i++) {
        marty__consumer_leave(subscription->consumers[i], subscription, deadline_ns);
    }
}

/* Off the bus's list: does so once. */
static bool unlink_from_bus(marty_subscription *subscription)
{
    marty_bus *bus = subscription->bus;
    marty__lock(&bus->lock);
    bool linked = subscription->link.next != NULL;
    marty__list_remove(&subscription->link);
    bus->subscription_count -= linked ? 1 : 0;
    marty__unlock(&bus->lock);
    return linked;
}

static void link_to_bus(marty_subscription *subscription)
{
    marty_bus *bus = subscription->bus;
    marty__lock(&bus->lock);
    marty__list_push(&bus->subscriptions, &subscription->link);
    subscription->serial = ++bus->next_serial;
    bus->subscription_count++;
    (void)marty__subscription_ref(subscription); /* the list's */
    subscription->started = atomic_load(&bus->started);
    if (!atomic_load(&bus->started) && bus->subscription_count == 1 && subscription->handler) {
        (void)marty__alarm_set(bus, &bus->unstarted_alarm,
                               marty__deadline_ns(marty__bus_now(bus), MARTY__UNSTARTED_MS));
    }
    marty__unlock(&bus->lock);
}

static marty_err wait_all(marty_subscription *subscription, int32_t timeout_ms, marty_error *why)
{
    marty_bus *bus = subscription->bus;
    int64_t deadline = marty__bus_deadline(bus, timeout_ms, MARTY__TIMEOUT_MS);
    marty_err err = MARTY_OK;
    for (size_t i = 0; i < subscription->consumer_count && !err; i++) {
        if (timeout_ms != MARTY_NO_WAIT) {
            err = marty__consumer_wait(subscription->consumers[i], 0, true, deadline, why);
        }
    }
    return err;
}

static void stop(marty_subscription *subscription, int32_t timeout_ms)
{
    marty__lock(&subscription->lock);
    bool first = !subscription->stopped;
    subscription->stopped = true;
    marty__wake_all(&subscription->changed);
    marty__unlock(&subscription->lock);
    if (first) {
        leave_all(subscription,
                  marty__bus_deadline(subscription->bus, timeout_ms, MARTY__DRAIN_MS));
        marty__lanes_clear(subscription, &(marty__clear){0});
        marty__lanes_disarm(subscription);
    }
}

static marty_err wait_for_handlers(marty_subscription *subscription, int32_t timeout_ms,
                                   marty_error *why)
{
    marty_bus *bus = subscription->bus;
    int64_t deadline = marty__bus_deadline(bus, timeout_ms, MARTY__DRAIN_MS);
    bool in_time = true;
    marty__lock(&subscription->lock);
    while (subscription->running && in_time) {
        in_time = timeout_ms != MARTY_NO_WAIT &&
                  marty__bus_wait(bus, &subscription->changed, &subscription->lock, deadline);
    }
    bool runs = subscription->running > 0;
    marty__unlock(&subscription->lock);
    return runs ? marty_error_set(why, MARTY_E_TIMEOUT,
                                  "the handler of \"%s\" still runs; what it uses must live on",
                                  subscription->name)
                : MARTY_OK;
}

static void abandon(marty_subscription *subscription)
{
    subscription->user_free = NULL; /* an error return keeps nothing of the user's */
    stop(subscription, MARTY__DRAIN_MS);
    if (!marty__pool_inside(subscription->bus)) { /* it may have run already */
        (void)wait_for_handlers(subscription, 0, NULL);
    }
    if (unlink_from_bus(subscription)) {
        marty__subscription_unref(subscription);
    }
    marty__subscription_unref(subscription);
}

marty_err marty__subscription_open(marty_bus *bus, const marty__subscribe *what,
                                   marty_subscription **ret_subscription, marty_error *why)
{
    marty_subscription *subscription = NULL;
    marty_err err = make(bus, what, &subscription, why);
    if (err) {
        return err;
    }
    link_to_bus(subscription);
    for (size_t i = 0; i < what->place_count && !err; i++) {
        err = marty__consumer_join(subscription, &what->places[i], what->options,
                                   &subscription->consumers[i], why);
        subscription->consumer_count += err ? 0 : 1;
    }
    for (size_t i = 0; i < subscription->consumer_count && !err; i++) {
        marty__consumer_subscribe(subscription->consumers[i]);
        marty__consumer_pause(subscription->consumers[i]);
        marty__port_kick(subscription->consumers[i]->port);
    }
    err = err ? err : wait_all(subscription, what->options->timeout_ms, why);
    if (!err && atomic_load(&bus->phase) == MARTY__CLOSED) { /* else the close finds it */
        err = marty_error_set(why, MARTY_E_CLOSED, "the bus was closed meanwhile");
    }
    if (err) {
        abandon(subscription);
        return err;
    }
    subscription->user_free = what->options->user_free;
    subscription->owned = ret_subscription != NULL;
    if (ret_subscription) {
        *ret_subscription = subscription;
    } else {
        marty__subscription_unref(subscription); /* the bus's list keeps it */
    }
    return MARTY_OK;
}

/* ---- stopping */
void marty__subscription_drain(marty_subscription *subscription)
{
    for (size_t i = 0; i < subscription->consumer_count; i++) {
        marty__consumer_drain(subscription->consumers[i]);
    }
    marty__lanes_clear(subscription, &(marty__clear){0});
    marty__lock(&subscription->lock);
    marty__wake_all(&subscription->changed);
    marty__unlock(&subscription->lock);
}

void marty_subscription_stop(marty_subscription *subscription)
{
    if (subscription && subscription->bus->fork_generation == marty__fork_generation()) {
        stop(subscription, MARTY__DRAIN_MS);
    }
}

marty_err marty_unsubscribe(marty_subscription *subscription, int32_t timeout_ms, marty_error *why)
{
    if (!subscription) {
        return MARTY_OK;
    }
    marty_bus *bus = subscription->bus;
    if (bus->fork_generation != marty__fork_generation()) {
        return marty__error_code(why, MARTY_E_FORKED);
    }
    bool closed = atomic_load(&bus->phase) == MARTY__CLOSED;
    stop(subscription, timeout_ms > 0 ? timeout_ms : MARTY__DRAIN_MS);
    marty_err err = MARTY_OK;
    if (!marty__pool_inside(bus)) {
        err = wait_for_handlers(subscription, timeout_ms, why);
    }
    if (unlink_from_bus(subscription)) {
        marty__subscription_unref(subscription);
    }
    marty__subscription_unref(subscription);
    return err      ? err
           : closed ? marty_error_set(why, MARTY_E_CLOSED, "the bus was closed before")
                    : MARTY_OK;
}
