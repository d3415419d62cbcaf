/* SPDX-License-Identifier: Apache-2.0
 * Deliveries in the user's hands: kept, settled, given back. The right to say the last word (the
 * verdict) is taken once, by whoever is first. What happens then at the broker is in settle.c, and
 * what waits in memory to run again in held.c. */
#include "internal.h"

static marty__delivery *inner(marty_delivery *delivery)
{
    return (marty__delivery *)(void *)delivery;
}

static const marty__delivery *inner_const(const marty_delivery *delivery)
{
    return (const marty__delivery *)(const void *)delivery;
}

/* ---- the verdict */
bool marty__delivery_stale(const marty__delivery *delivery)
{
    return atomic_load_explicit(&delivery->epoch, memory_order_acquire) !=
           atomic_load_explicit(&delivery->consumer->epoch, memory_order_acquire);
}

void marty__delivery_forfeit(marty__delivery *delivery)
{
    atomic_store_explicit(&delivery->epoch, MARTY__GONE, memory_order_release);
    if (delivery->unsettled.next) {
        marty__list_remove(&delivery->unsettled);
        delivery->consumer->unsettled_count--;
    }
}

void marty__delivery_inactive(marty__delivery *delivery)
{
    if (atomic_exchange(&delivery->active, false)) {
        marty_bus *bus = delivery->consumer->bus;
        (void)atomic_fetch_sub(&bus->kept, 1);
        marty__life_step(bus);
    }
}

marty_err marty__delivery_take(marty__delivery *delivery)
{
    int open = MARTY__OPEN_VERDICT;
    if (!atomic_compare_exchange_strong(&delivery->verdict, &open, MARTY__SETTLED_VERDICT)) {
        return open == MARTY__LOST_VERDICT ? MARTY_E_LOST : MARTY_E_STATE;
    }
    if (marty__delivery_stale(delivery)) {
        atomic_store(&delivery->verdict, MARTY__LOST_VERDICT);
        marty__subscription_count(delivery->subscription, MARTY__LOST, 1);
        marty__key_done(delivery);
        marty__delivery_inactive(delivery);
        return MARTY_E_LOST;
    }
    return MARTY_OK;
}

void marty__delivery_lose(marty__delivery *delivery)
{
    int open = MARTY__OPEN_VERDICT;
    if (atomic_compare_exchange_strong(&delivery->verdict, &open, MARTY__LOST_VERDICT)) {
        marty__subscription_count(delivery->subscription, MARTY__LOST, 1);
    }
    marty__key_done(delivery);
    marty__delivery_inactive(delivery);
}

void marty__delivery_reopen(marty__delivery *delivery)
{
    int returned = MARTY__RETURNED_VERDICT;
    (void)atomic_compare_exchange_strong(&delivery->verdict, &returned, MARTY__OPEN_VERDICT);
}

bool marty__delivery_expired(const marty__delivery *delivery)
{
    return delivery->expires_ns != MARTY__NEVER &&
           marty__bus_now(delivery->consumer->bus) >= delivery->expires_ns;
}

/* ---- the last word */
static void off_the_consumer(marty__delivery *delivery)
{
    marty__consumer *consumer = delivery->consumer;
    marty__lock(&consumer->lock);
    if (delivery->unsettled.next) {
        marty__list_remove(&delivery->unsettled);
        consumer->unsettled_count--;
    }
    consumer->settling++;
    marty__unlock(&consumer->lock);
}

static marty__stat stat_of(marty_verb verb)
{
    switch (verb) {
    case MARTY_SETTLE_ACK:
        return MARTY__ACKED;
    case MARTY_SETTLE_RETRY:
        return MARTY__RETRIED;
    case MARTY_SETTLE_REJECT:
        return MARTY__REJECTED;
    case MARTY_SETTLE_EXTEND:
    case MARTY_SETTLE_GIVE_BACK:
    default:
        return MARTY__GIVEN_BACK;
    }
}

void marty__delivery_finish(marty__delivery *delivery, marty_verb verb, uint32_t delay_ms)
{
    marty__subscription_count(delivery->subscription, stat_of(verb), 1);
    delivery->verb = verb;
    delivery->delay_ms = delay_ms;
    off_the_consumer(delivery);
    (void)marty__delivery_ref(delivery);
    marty__settle_queue(delivery);
    marty__key_done(delivery);
    marty__delivery_inactive(delivery);
}

/* ---- around the handler */
bool marty__delivery_admit(marty__delivery *delivery)
{
    int verdict = atomic_load(&delivery->verdict);
    if (verdict == MARTY__RETURNED_VERDICT) {
        return false; /* it has another turn */
    }
    if (verdict != MARTY__OPEN_VERDICT || marty__delivery_stale(delivery)) {
        marty__delivery_lose(delivery);
        return false;
    }
    bool fresh = delivery->expires_ns == MARTY__NEVER && delivery->handle.attempt <= 1;
    return fresh || delivery->consumer->bus->hooks->admit(delivery);
}

void marty__delivery_begin(marty__delivery *delivery, int64_t now_ns)
{
    if (!atomic_load_explicit(&delivery->handed_ns, memory_order_relaxed)) { /* nobody's till now */
        atomic_store_explicit(&delivery->user_refs, 1, memory_order_relaxed);
    } else {
        (void)atomic_fetch_add(&delivery->user_refs, 1);
    }
    atomic_store_explicit(&delivery->kept, false, memory_order_relaxed);
    atomic_store_explicit(&delivery->handed_ns, now_ns, memory_order_relaxed);
}

void marty__delivery_end(marty__delivery *delivery)
{
    (void)atomic_fetch_sub(&delivery->user_refs, 1);
}

static void conclude_query(marty__delivery *delivery, marty_err err)
{
    if (!delivery->answered) {
        delivery->consumer->bus->hooks->unanswered(delivery, err);
    }
    marty__delivery_finish(delivery, MARTY_SETTLE_ACK, 0);
}

void marty__delivery_conclude(marty__delivery *delivery, marty_err err)
{
    marty_bus *bus = delivery->consumer->bus;
    if (marty__delivery_take(delivery)) {
        return;
    }
    marty__delivery_end(delivery); /* its handler is through: it may run again as the same object */
    if (delivery->handle.pattern == MARTY_QUERY) {
        conclude_query(delivery, err);
    } else if (!err) {
        marty__delivery_finish(delivery, MARTY_SETTLE_ACK, 0);
    } else if (atomic_load(&bus->phase) != MARTY__OPEN || err == MARTY_E_FULL ||
               err == MARTY_E_UNAVAILABLE || err == MARTY_E_NO_MEMORY) {
        if ((delivery->keyed || marty__port_granted(delivery->consumer->port)->give_back_counts) &&
            delivery->subscription && atomic_load(&bus->phase) == MARTY__OPEN) {
            marty__delivery_hold(delivery, 0,
                                 false); /* stays in front of its key; the lane waits */
        } else {
            marty__delivery_finish(delivery, MARTY_SETTLE_GIVE_BACK, 0);
        }
    } else {
        bool known = err > MARTY_OK && err <= MARTY_E_FAILED;
        bus->hooks->failed(delivery, known ? err : MARTY_E_FAILED, 0, NULL);
    }
    (void)atomic_fetch_add(&delivery->user_refs, 1); /* the caller ends it */
}

/* ---- public */
marty_delivery *marty_delivery_keep(marty_delivery *handle)
{
    if (!handle) {
        return NULL;
    }
    marty__delivery *delivery = inner(handle);
    (void)marty__delivery_ref(delivery);
    (void)atomic_fetch_add(&delivery->user_refs, 1);
    atomic_store_explicit(&delivery->kept, true, memory_order_relaxed);
    if (atomic_load(&delivery->verdict) == MARTY__OPEN_VERDICT &&
        !atomic_exchange(&delivery->active, true)) {
        (void)atomic_fetch_add(&delivery->consumer->bus->kept, 1);
        if (atomic_load(&delivery->verdict) != MARTY__OPEN_VERDICT) {
            marty__delivery_inactive(delivery); /* settled by another thread in between */
        }
    }
    return handle;
}

static void give_up(marty__delivery *delivery)
{
    if (marty__delivery_take(delivery)) {
        return;
    }
    marty__subscription_count(delivery->subscription, MARTY__DROPPED, 1);
    if (delivery->handle.pattern == MARTY_QUERY) {
        conclude_query(delivery, MARTY_E_FAILED);
    } else if (atomic_load(&delivery->consumer->bus->phase) != MARTY__OPEN) {
        marty__delivery_finish(delivery, MARTY_SETTLE_GIVE_BACK, 0);
    } else {
        delivery->consumer->bus->hooks->failed(delivery, MARTY_E_FAILED, (uint32_t)MARTY__AT_ONCE,
                                               "given back unsettled");
    }
}

void marty__delivery_let_go(marty__delivery *delivery)
{
    if (atomic_fetch_sub(&delivery->user_refs, 1) == 1) {
        give_up(delivery);
    }
}

void marty_delivery_release(marty_delivery *handle)
{
    if (!handle) {
        return;
    }
    marty__delivery *delivery = inner(handle);
    marty_bus *bus = marty__bus_ref(delivery->consumer->bus);
    if (bus->fork_generation == marty__fork_generation()) {
        marty__delivery_let_go(delivery);
        for (size_t i = 0; i < bus->port_count; i++) {
            if (&bus->ports[i] == delivery->consumer->port) {
                marty__port_kick(&bus->ports[i]);
            }
        }
    }
    marty__delivery_unref(delivery);
    marty__bus_unref(bus);
}

void marty_delivery_release_all(marty_delivery *first)
{
    while (first) {
        marty_delivery *next = first->next;
        first->next = NULL; /* who keeps it does not keep the rest */
        marty_delivery_release(first);
        first = next;
    }
}

marty_err marty_delivery_check(const marty_delivery *handle)
{
    if (!handle) {
        return MARTY_E_ARGUMENT;
    }
    const marty__delivery *delivery = inner_const(handle);
    marty_bus *bus = delivery->consumer->bus;
    if (bus->fork_generation != marty__fork_generation()) {
        return MARTY_E_FORKED;
    }
    if (bus->cut_off || atomic_load(&bus->phase) == MARTY__CLOSED) {
        return MARTY_E_CANCELLED;
    }
    bool lost =
        atomic_load(&delivery->verdict) == MARTY__LOST_VERDICT || marty__delivery_stale(delivery);
    marty__lock(&delivery->consumer->lock); /* it may be renewed right now */
    int64_t lease = delivery->lease_until_ns;
    marty__unlock(&delivery->consumer->lock);
    return lost || (lease != MARTY__NEVER && lease < marty__bus_now(bus)) ? MARTY_E_LOST : MARTY_OK;
}

static marty_err settle_now(marty__delivery *delivery, marty_verb verb, uint32_t delay_ms,
                            const char *reason)
{
    const marty__hooks *hooks = delivery->consumer->bus->hooks;
    if (delivery->handle.pattern == MARTY_QUERY) {
        conclude_query(delivery, verb == MARTY_SETTLE_ACK ? MARTY_OK : MARTY_E_FAILED);
        return MARTY_OK;
    }
    switch (verb) {
    case MARTY_SETTLE_RETRY:
        hooks->failed(delivery, MARTY_E_FAILED, delay_ms, reason);
        break;
    case MARTY_SETTLE_REJECT:
        hooks->rejected(delivery, MARTY_E_FAILED, reason);
        break;
    case MARTY_SETTLE_GIVE_BACK:
        hooks->given_back(delivery, delay_ms);
        break;
    case MARTY_SETTLE_EXTEND:
    case MARTY_SETTLE_ACK:
    default:
        marty__delivery_finish(delivery, MARTY_SETTLE_ACK, 0);
        break;
    }
    return MARTY_OK;
}

static marty_err extend(marty__delivery *delivery, uint32_t delay_ms)
{
    if (atomic_load(&delivery->verdict) != MARTY__OPEN_VERDICT) {
        return atomic_load(&delivery->verdict) == MARTY__LOST_VERDICT ? MARTY_E_LOST
                                                                      : MARTY_E_STATE;
    }
    return marty__lease_extend(delivery, delay_ms);
}

marty_err marty_settle(marty_delivery *handle, marty_verb verb, uint32_t delay_ms,
                       const char *reason)
{
    if (!handle || verb < MARTY_SETTLE_ACK || verb > MARTY_SETTLE_GIVE_BACK) {
        return MARTY_E_ARGUMENT;
    }
    marty__delivery *delivery = inner(handle);
    marty_bus *bus = delivery->consumer->bus;
    marty_err err = marty__bus_enter(bus, MARTY__CLOSED, NULL);
    if (err) {
        return err;
    }
    if (atomic_load(&bus->cut_off)) {
        return MARTY_E_CLOSED; /* past the drain deadline: it comes again */
    }
    if (verb == MARTY_SETTLE_EXTEND) {
        return extend(delivery, delay_ms);
    }
    err = marty__delivery_take(delivery);
    if (err) {
        return err;
    }
    (void)marty__delivery_ref(delivery);
    err = settle_now(delivery, verb, delay_ms, reason);
    marty__port_kick(delivery->consumer->port);
    marty__delivery_unref(delivery);
    return err;
}
