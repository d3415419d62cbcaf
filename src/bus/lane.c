/* SPDX-License-Identifier: Apache-2.0
 * Lanes: FIFO queues of deliveries, each run by one worker at a time, so a handler with one lane is
 * never run concurrently with itself. How they are made, which one a delivery goes to, and when one
 * is due to run. lane_turn.c runs them, lane_clear.c takes out what is not to run. Locks:
 * subscription->lock. */
#include "lane_parts.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/error.h"
#include "base/hash.h"

#include <string.h>

enum { PROBES = 16 };

/* ---- scheduling, with subscription->lock held */
bool marty__lanes_may_run(const marty_subscription *subscription)
{
    return subscription->started && !subscription->paused && !subscription->stopped &&
           atomic_load(&subscription->bus->phase) == MARTY__OPEN;
}

bool marty__subscription_stops(const marty_subscription *subscription)
{
    return subscription->stopped || atomic_load(&subscription->bus->phase) != MARTY__OPEN;
}

/* Onto a list of tasks, for the pool once the lock is given back. */
static void schedule(marty__lane *lane, marty__link *due)
{
    if (!lane->scheduled && lane->subscription->handler) {
        lane->scheduled = true;
        (void)marty__subscription_ref(lane->subscription);
        marty__list_push(due, &lane->task.link);
    }
}

static void wake_at(marty__lane *lane, int64_t at_ns)
{
    if (!lane->alarm_set) {
        lane->alarm_set = true;
        (void)marty__subscription_ref(lane->subscription);
        (void)marty__alarm_set(lane->subscription->bus, &lane->alarm, at_ns);
    }
}

/* Whether what is ready fills a batch, with those that may run behind the first of their key. */
static bool fills_batch(const marty__lane *lane)
{
    const marty_subscription *subscription = lane->subscription;
    size_t count = lane->ready_count, max = subscription->batch_max;
    for (const marty__link *at = lane->ready.next;
         subscription->order == MARTY_ORDER_KEY && at != &lane->ready && count < max;
         at = at->next) {
        const marty__delivery *first = MARTY__OWNER(at, const marty__delivery, link);
        const marty__delivery *next = marty__key_next(&first->waiting, first);
        for (; next && count < max; next = marty__key_next(&next->link, first)) {
            count++;
        }
    }
    return count >= max;
}

marty__delivery *marty__lane_front(const marty__lane *lane)
{
    marty__delivery *front = marty__list_empty(&lane->ready)
                                 ? NULL
                                 : MARTY__OWNER(lane->ready.next, marty__delivery, link);
    return front && front->left_batch ? NULL : front;
}

void marty__lane_consider(marty__lane *lane, marty__link *due)
{
    marty_subscription *subscription = lane->subscription;
    if (!marty__lane_front(lane) || lane->scheduled || !marty__lanes_may_run(subscription)) {
        return;
    }
    if (!subscription->handler) {
        marty__wake_all(&subscription->changed);
        marty__driven_wake(subscription->bus);
        return;
    }
    int64_t now =
        lane->not_before_ns || subscription->batch_wait_ms ? marty__bus_now(subscription->bus) : 0;
    if (lane->not_before_ns > now) {
        wake_at(lane, lane->not_before_ns);
    } else if (!subscription->batch_wait_ms || fills_batch(lane)) {
        schedule(lane, due);
    } else {
        wake_at(lane, marty__deadline_ns(now, subscription->batch_wait_ms));
    }
}

static void lane_rang(marty__alarm *alarm)
{
    marty__lane *lane = MARTY__OWNER(alarm, marty__lane, alarm);
    marty_subscription *subscription = lane->subscription;
    marty__link due;
    marty__list_init(&due);
    marty__lock(&subscription->lock);
    lane->alarm_set = false;
    if (marty__lane_front(lane) && marty__lanes_may_run(subscription)) {
        schedule(lane, &due);
    }
    marty__unlock(&subscription->lock);
    marty__pool_add_all(subscription->bus, &due);
    marty__subscription_unref(subscription);
}

/* ---- filling */
marty__lane *marty__lane_of(marty_subscription *subscription, const marty_message *message)
{
    uint32_t count = subscription->lane_count;
    if (count == 1) {
        return subscription->lanes[0];
    }
    if (subscription->order == MARTY_ORDER_KEY && message->key) {
        return subscription->lanes[marty__hash(message->key, strlen(message->key)) % count];
    }
    marty__assert(count > 0);
    uint32_t first = subscription->next_lane++;
    for (uint32_t i = 0; i < count && i < PROBES; i++) {
        marty__lane *lane = subscription->lanes[(first + i) % count];
        if (!lane->scheduled && !lane->ready_count) {
            return lane;
        }
    }
    return subscription->lanes[first % count];
}

static void put(marty__lane *lane, marty__delivery *delivery, bool first)
{
    if (first) {
        marty__list_push_first(&lane->ready, &delivery->link);
    } else {
        marty__list_push(&lane->ready, &delivery->link);
    }
    lane->ready_count++;
}

void marty__lane_put(marty__delivery *delivery, bool first)
{
    marty__lane *lane = marty__lane_of(delivery->subscription, delivery->handle.message);
    marty__link due;
    marty__list_init(&due);
    put(lane, delivery, first);
    marty__lane_consider(lane, &due);
    marty__pool_add_all(delivery->subscription->bus, &due);
}

void marty__lanes_add(marty_subscription *subscription, marty__link *deliveries, size_t count,
                      marty__link *due)
{
    marty__link *link, back;
    marty__lane *lane = NULL;
    marty__list_init(&back);
    marty__lock(&subscription->lock);
    bool running = !marty__subscription_stops(subscription); /* else nobody clears it any more */
    if (running && subscription->lane_count == 1 && subscription->order != MARTY_ORDER_KEY) {
        marty__lane *only = subscription->lanes[0]; /* no choice and no keys: all of it at once */
        marty__list_move(&only->ready, deliveries);
        only->ready_count += count;
        marty__lane_consider(only, due);
    }
    while (running && (link = marty__list_pop(deliveries)) != NULL) {
        marty__delivery *delivery = MARTY__OWNER(link, marty__delivery, link);
        marty__lane *before = lane;
        lane = marty__lane_of(subscription, delivery->handle.message);
        if (before && before != lane) {
            marty__lane_consider(before, due);
        }
        if (marty__key_admit(delivery, &back)) {
            put(lane, delivery, false);
        }
    }
    if (lane) {
        /* once for all of a key: what is behind its first may fill a batch */
        marty__lane_consider(lane, due);
    }
    marty__unlock(&subscription->lock);
    marty__stuck_give_back(&back);
    while ((link = marty__list_pop(deliveries)) != NULL) { /* too late: back uncounted */
        marty__delivery *delivery = MARTY__OWNER(link, marty__delivery, link);
        if (!marty__delivery_take(delivery)) {
            marty__delivery_return_unrun(delivery);
        }
        marty__delivery_unref(delivery);
    }
}

/* ---- all of a subscription */
void marty__lanes_wake(marty_subscription *subscription)
{
    marty__link due;
    marty__list_init(&due);
    marty__lock(&subscription->lock);
    for (uint32_t i = 0; i < subscription->lane_made; i++) {
        marty__lane_consider(subscription->lanes[i], &due);
    }
    marty__wake_all(&subscription->changed);
    marty__unlock(&subscription->lock);
    marty__pool_add_all(subscription->bus, &due);
}

void marty__lanes_disarm(marty_subscription *subscription)
{
    marty__lock(&subscription->lock);
    for (uint32_t i = 0; i < subscription->lane_made; i++) {
        if (marty__alarm_cancel(subscription->bus, &subscription->lanes[i]->alarm)) {
            marty__subscription_unref(subscription); /* not the last one */
        }
    }
    marty__unlock(&subscription->lock);
}

marty_err marty__lanes_make(marty_subscription *subscription, uint32_t count, marty_error *why)
{
    if (count > subscription->lane_made) {
        marty__lane **lanes = marty_realloc(subscription->lanes, count * sizeof(marty__lane *));
        if (!lanes) {
            return marty__error_code(why, MARTY_E_NO_MEMORY);
        }
        subscription->lanes = lanes;
    }
    while (subscription->lane_made < count) {
        marty__lane *lane = marty_alloc_zero(1, sizeof *lane);
        if (!lane) {
            return marty__error_code(why, MARTY_E_NO_MEMORY);
        }
        lane->subscription = subscription;
        lane->task.run = marty__lane_run;
        lane->alarm.ring = lane_rang;
        marty__list_init(&lane->ready);
        subscription->lanes[subscription->lane_made++] = lane;
    }
    marty__link moved;
    marty__list_init(&moved);
    for (uint32_t i = count; i < subscription->lane_made;
         i++) { /* fewer than before: theirs go to the others */
        marty__list_move(&moved, &subscription->lanes[i]->ready);
        subscription->lanes[i]->ready_count = 0;
    }
    subscription->lane_count = count;
    marty__link *link;
    while ((link = marty__list_pop(&moved)) != NULL) {
        marty__lane_put(MARTY__OWNER(link, marty__delivery, link), false);
    }
    return MARTY_OK;
}

void marty__lanes_free(marty_subscription *subscription)
{
    for (uint32_t i = 0; i < subscription->lane_made; i++) {
        marty__assert(marty__list_empty(&subscription->lanes[i]->ready));
        marty_free(subscription->lanes[i]);
    }
    marty_free(subscription->lanes);
    marty__map_free(&subscription->keys);
}
