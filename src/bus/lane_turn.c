/* SPDX-License-Identifier: Apache-2.0
 * A turn of a lane: a worker takes what is ready, up to TURN, in batches, calls the handler, does
 * what its return value says, and is given back. Locks: subscription->lock; none while a handler
 * runs. */
#include "lane_parts.h"

#include "base/alloc.h"
#include "base/unset.h"

enum { TURN = 256, FLUSH_AFTER_NS = 200000 };

static void hand_over(marty__delivery *delivery)
{
    delivery->in_hands = true;
    marty__delivery_reopen(delivery);
}

marty__delivery *marty__lane_take(marty__lane *lane)
{
    marty__link *link = marty__list_pop(&lane->ready);
    if (!link) {
        return NULL;
    }
    lane->ready_count--;
    marty__delivery *delivery = MARTY__OWNER(link, marty__delivery, link);
    hand_over(delivery);
    return delivery;
}

/* What counts of it for a limit of bytes; without one its message, which another thread has made,
 * need not be looked at. */
static size_t size_in(const marty__delivery *delivery, size_t bytes_max)
{
    return bytes_max ? delivery->handle.message->data.size : 0;
}

/* With subscription->lock held, where a batch is limited by no key and no bytes: those in front,
 * cut off in one piece. */
static size_t take_front(marty__lane *lane, marty__delivery **batch, size_t max)
{
    size_t count = 0;
    marty__link front, *link = lane->ready.next;
    for (; link != &lane->ready && count < max; link = link->next) {
        batch[count++] = MARTY__OWNER(link, marty__delivery, link);
    }
    marty__list_init(&front);
    marty__list_move_until(&front, &lane->ready, link);
    lane->ready_count -= count;
    return count;
}

/* With subscription->lock held: one batch into the array, followers of a key behind their first. */
static size_t take_batch(marty__lane *lane, marty__delivery **batch, size_t max)
{
    size_t count = 0, bytes = 0, bytes_max = lane->subscription->batch_bytes_max;
    if (!bytes_max && lane->subscription->order != MARTY_ORDER_KEY) {
        return take_front(lane, batch, max);
    }
    for (marty__delivery *delivery; count < max && (delivery = marty__lane_front(lane)) != NULL;) {
        bytes += size_in(delivery, bytes_max);
        if (count && bytes > bytes_max) {
            break;
        }
        (void)marty__lane_take(lane);
        batch[count++] = delivery;
        marty__delivery *next =
            delivery->keyed ? marty__key_next(&delivery->waiting, delivery) : NULL;
        while (next && count < max) {
            bytes += size_in(next, bytes_max);
            if (bytes > bytes_max) {
                break;
            }
            hand_over(next);
            batch[count++] = next;
            next = marty__key_next(&next->link, delivery);
        }
    }
    return count;
}

/* Whether one before it of its key was put off, so that it waits behind that with a reference of
 * its own, or has left from there: its batch is done with it. fails: those behind it leave. */
static bool has_left(marty__delivery *delivery, bool fails)
{
    marty_subscription *subscription = delivery->subscription;
    marty__link due;
    if (subscription->order != MARTY_ORDER_KEY) {
        return false;
    }
    marty__list_init(&due);
    marty__lock(&subscription->lock);
    bool left = delivery->left_batch;
    delivery->left_batch = false;
    if (left) {
        marty__lane_consider(marty__lane_of(subscription, delivery->handle.message), &due);
    } else if (fails && delivery->keyed) {
        marty__key_unbatch(delivery);
    }
    marty__unlock(&subscription->lock);
    marty__pool_add_all(subscription->bus, &due);
    return left;
}

/* Those that may run into their handler's hands, each leading to the next; returns how many. One
 * that does not may take others of its key out, before or while they are looked at. */
static size_t begin(marty__delivery **batch, size_t count, int64_t now)
{
    size_t begun = 0;
    bool refused = false;
    for (size_t i = 0; i < count; i++) {
        marty__delivery *delivery = batch[i];
        if (!(refused && has_left(delivery, false)) && marty__delivery_admit(delivery)) {
            marty__delivery_begin(delivery, now);
            delivery->handle.next = NULL;
            if (begun) {
                batch[begun - 1]->handle.next = &delivery->handle;
            }
            batch[begun++] = delivery;
            continue;
        }
        refused = true;
        (void)has_left(delivery, false); /* meanwhile */
        marty__delivery_unref(delivery);
    }
    return begun;
}

static void outage(marty__lane *lane)
{
    marty_subscription *subscription = lane->subscription;
    uint64_t wait_ms = (uint64_t)subscription->retry.first_ms
                       << (lane->outages < 16 ? lane->outages : 16);
    wait_ms = wait_ms > subscription->retry.max_ms ? subscription->retry.max_ms : wait_ms;
    lane->outages++;
    lane->not_before_ns = marty__deadline_ns(marty__bus_now(subscription->bus), (int64_t)wait_ms);
}

static bool is_outage(marty_err err)
{
    return err == MARTY_E_FULL || err == MARTY_E_UNAVAILABLE || err == MARTY_E_NO_MEMORY;
}

/* The usual end of a batch: all is well, so all of it is acked at once. */
static bool conclude_well(const marty_subscription *subscription, marty__delivery **batch,
                          size_t count)
{
    bool by_key =
        subscription->order == MARTY_ORDER_KEY; /* of a key some may have left the batch */
    bool well = subscription->pattern != MARTY_QUERY;
    for (size_t i = 0; i < count && well; i++) {
        well = !marty__delivery_kept(batch[i]) && !(by_key && batch[i]->handle.message->key);
    }
    if (well) {
        marty__deliveries_ack(batch, count);
    }
    return well;
}

static void conclude(marty__lane *lane, marty__delivery **batch, size_t count, marty_err err)
{
    marty_subscription *subscription = lane->subscription;
    if (!err && conclude_well(subscription, batch, count)) {
        lane->outages = 0;
        lane->not_before_ns = 0;
        return;
    }
    for (size_t i = 0; i < count; i++) {
        marty__delivery *delivery = batch[i];
        bool open = atomic_load(&delivery->verdict) == MARTY__OPEN_VERDICT;
        if (has_left(delivery, (open && err) || marty__delivery_kept(delivery))) {
            marty__delivery_end(delivery);
            marty__delivery_unref(delivery); /* who has it now has a reference of its own */
            continue;
        }
        if (open && !marty__delivery_kept(delivery)) {
            marty__delivery_conclude(delivery, err);
            marty__delivery_end(delivery);
        } else {
            delivery->handle.next = NULL; /* who keeps it does not keep the batch */
            marty__delivery_let_go(delivery);
        }
        if (atomic_load(&delivery->verdict) == MARTY__RETURNED_VERDICT) {
            (void)has_left(delivery, false); /* since it was asked */
        }
        marty__delivery_unref(delivery);
    }
    if (is_outage(err)) {
        outage(lane);
    } else {
        lane->outages = 0;
        lane->not_before_ns = 0;
    }
}

static void run_batch(marty__lane *lane, marty__delivery **batch, size_t count)
{
    marty_subscription *subscription = lane->subscription;
    marty__subscription_count(subscription, MARTY__DELIVERED, count);
    marty_err err = subscription->handler(subscription->user, &batch[0]->handle);
    conclude(lane, batch, count, err);
}

/* With subscription->lock held. */
static size_t next_batch(marty__lane *lane, marty__delivery **batch, size_t max)
{
    marty_subscription *subscription = lane->subscription;
    bool outage_lasts =
        lane->not_before_ns && lane->not_before_ns > marty__bus_now(subscription->bus);
    return marty__lanes_may_run(subscription) && !outage_lasts ? take_batch(lane, batch, max) : 0;
}

/* With subscription->lock held, given up while handlers run. What was settled is with the port
 * before the last look at the lane, which so is one span of the lock with the end of the turn; what
 * comes until then, perhaps of that settling, is another turn. */
static void turn(marty__lane *lane, marty__delivery **batch, size_t max)
{
    marty_subscription *subscription = lane->subscription;
    marty__turn settles;
    int64_t now = marty__bus_now(subscription->bus), began = now;
    bool flushed = true;
    size_t done = 0, count = next_batch(lane, batch, max);
    while (count) {
        done += count;
        bool last = marty__list_empty(&lane->ready) || done >= TURN;
        marty__unlock(&subscription->lock);
        if (flushed) {
            marty__settle_begin(&settles, subscription);
            began = now;
        }
        count = begin(batch, count, now);
        if (count) {
            run_batch(lane, batch, count);
        }
        now = marty__bus_now(subscription->bus);
        flushed = last || now - began > FLUSH_AFTER_NS; /* slow handlers do not hold acks back */
        if (flushed) {
            marty__settle_flush(&settles);
        }
        marty__lock(&subscription->lock);
        count = last ? 0 : next_batch(lane, batch, max);
    }
    if (!flushed) {
        marty__unlock(&subscription->lock);
        marty__settle_flush(&settles);
        marty__lock(&subscription->lock);
    }
}

void marty__lane_run(marty__task *task)
{
    marty__lane *lane = MARTY__OWNER(task, marty__lane, task);
    marty_subscription *subscription = lane->subscription;
    marty_bus *bus = subscription->bus;
    MARTY__UNSET marty__delivery *few[TURN];
    size_t max = subscription->batch_max;
    marty__delivery **many = max > TURN ? marty_alloc(max * sizeof *many) : NULL;
    marty__link due;
    marty__list_init(&due);
    (void)atomic_fetch_add(&bus->running, 1);
    marty__lock(&subscription->lock);
    subscription->running++;
    turn(lane, many ? many : few, many || max <= TURN ? max : TURN);
    if (marty__subscription_stops(subscription)) { /* a failed one may have sent others to wait */
        marty__unlock(&subscription->lock);
        marty__lanes_clear(subscription, &(marty__clear){0});
        marty__lock(&subscription->lock);
    }
    subscription->running--;
    lane->scheduled = false;
    marty__lane_consider(lane, &due);
    marty__wake_all(&subscription->changed);
    marty__unlock(&subscription->lock);
    marty__pool_add_own(bus, &due);
    marty_free(many);
    (void)marty__bus_ref(bus);
    (void)atomic_fetch_sub(&bus->running, 1);
    marty__subscription_unref(subscription);
    marty__life_step(bus);
    marty__bus_unref(bus);
}
