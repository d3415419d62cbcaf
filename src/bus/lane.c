/* SPDX-License-Identifier: Apache-2.0
 * Lanes: FIFO queues of deliveries, each run by one worker at a time, so a handler with one lane is
 * never run concurrently with itself. A turn takes what is ready, up to TURN, and gives the worker
 * back. Locks: subscription->lock; none while a handler runs. */
#include "internal.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/unset.h"

#include <string.h>

enum { TURN = 256, FLUSH_AFTER_NS = 200000, PROBES = 16 };

/* ---- scheduling, with subscription->lock held */
static bool may_run(const marty_subscription *subscription)
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

/* The first that is ready; NULL also while a batch of another lane has it still, from before the
 * lanes changed, and its handler may be walking there. */
static marty__delivery *front_of(const marty__lane *lane)
{
    marty__delivery *front = marty__list_empty(&lane->ready)
                                 ? NULL
                                 : MARTY__OWNER(lane->ready.next, marty__delivery, link);
    return front && front->left_batch ? NULL : front;
}

static void consider(marty__lane *lane, marty__link *due)
{
    marty_subscription *subscription = lane->subscription;
    if (!front_of(lane) || lane->scheduled || !may_run(subscription)) {
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
    if (front_of(lane) && may_run(subscription)) {
        schedule(lane, &due);
    }
    marty__unlock(&subscription->lock);
    marty__pool_add_all(subscription->bus, &due);
    marty__subscription_unref(subscription);
}

/* Ordered: by the key, so that a key stays with one lane. Else an idle one near, so that no message
 * waits behind a slow one while a lane has nothing to do. */
static marty__lane *lane_of(marty_subscription *subscription, const marty_message *message)
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
    marty__lane *lane = lane_of(delivery->subscription, delivery->handle.message);
    marty__link due;
    marty__list_init(&due);
    put(lane, delivery, first);
    consider(lane, &due);
    marty__pool_add_all(delivery->subscription->bus, &due);
}

/* Not run here: back uncounted. Nobody else has a query: its asker is told. */
static void return_unrun(marty__delivery *delivery)
{
    if (delivery->handle.pattern == MARTY_QUERY) {
        delivery->consumer->bus->hooks->unanswered(delivery, MARTY_E_UNAVAILABLE);
    }
    marty__delivery_finish(delivery, MARTY_SETTLE_GIVE_BACK, 0);
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
        consider(only, due);
    }
    while (running && (link = marty__list_pop(deliveries)) != NULL) {
        marty__delivery *delivery = MARTY__OWNER(link, marty__delivery, link);
        marty__lane *before = lane;
        lane = lane_of(subscription, delivery->handle.message);
        if (before && before != lane) {
            consider(before, due);
        }
        if (marty__key_admit(delivery, &back)) {
            put(lane, delivery, false);
        }
    }
    if (lane) {
        consider(lane, due); /* once for all of a key: what is behind its first may fill a batch */
    }
    marty__unlock(&subscription->lock);
    marty__stuck_give_back(&back);
    while ((link = marty__list_pop(deliveries)) != NULL) { /* too late: back uncounted */
        marty__delivery *delivery = MARTY__OWNER(link, marty__delivery, link);
        if (!marty__delivery_take(delivery)) {
            return_unrun(delivery);
        }
        marty__delivery_unref(delivery);
    }
}

void marty__lanes_wake(marty_subscription *subscription)
{
    marty__link due;
    marty__list_init(&due);
    marty__lock(&subscription->lock);
    for (uint32_t i = 0; i < subscription->lane_made; i++) {
        consider(subscription->lanes[i], &due);
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

/* ---- running */
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
    for (marty__delivery *delivery; count < max && (delivery = front_of(lane)) != NULL;) {
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
        consider(lane_of(subscription, delivery->handle.message), &due);
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
    return may_run(subscription) && !outage_lasts ? take_batch(lane, batch, max) : 0;
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

static void run_lane(marty__task *task)
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
    consider(lane, &due);
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

/* ---- making and clearing */
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
        lane->task.run = run_lane;
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
        return_unrun(delivery);
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
