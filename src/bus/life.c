/* SPDX-License-Identifier: Apache-2.0
 * The life of a bus: start, drain in three parts, close. Housekeeping (or process, simulated) moves
 * it on whenever something that it waits for has come; the deadline of the drain cuts off what is
 * left, which the broker delivers again. (1) DRAINING: nothing new to handlers, what is queued goes
 * back; handlers that run and kept deliveries may still do all. (2) FLUSHING: calls answer CLOSED;
 * what is in flight is answered, ports close. (3) CLOSED. */
#include "internal.h"

#include "base/error.h"

#include <unistd.h>

enum { CUT_MS = 1000 };

uint32_t marty__cores(void)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return cores < 1 ? 1 : cores > MARTY__WORKERS_MAX ? MARTY__WORKERS_MAX : (uint32_t)cores;
}

/* ---- start */
/* The one behind `one`, which may have left the list meanwhile; counted. NULL = none. */
static marty_subscription *next_subscription(marty_bus *bus, const marty_subscription *one)
{
    marty_subscription *next = NULL;
    marty__lock(&bus->lock);
    marty__link *link =
        one && one->link.next ? one->link.next : bus->subscriptions.next; /* all over: by number */
    for (; link != &bus->subscriptions && !next; link = link->next) {
        marty_subscription *found = MARTY__OWNER(link, marty_subscription, link);
        next = !one || found->serial > one->serial ? marty__subscription_ref(found) : NULL;
    }
    marty__unlock(&bus->lock);
    return next;
}

static void each_subscription(marty_bus *bus, void (*call)(marty_subscription *subscription))
{
    marty_subscription *one = next_subscription(bus, NULL);
    while (one) {
        call(one);
        marty_subscription *next = next_subscription(bus, one);
        marty__subscription_unref(one);
        one = next;
    }
}

static void start_one(marty_subscription *subscription)
{
    marty__lock(&subscription->lock);
    subscription->started = true;
    marty__unlock(&subscription->lock);
    marty__lanes_wake(subscription);
    for (size_t i = 0; i < subscription->consumer_count; i++) {
        marty__consumer_owe(subscription->consumers[i], 0);
        marty__port_kick(subscription->consumers[i]->port);
    }
}

marty_err marty_bus_start(marty_bus *bus, marty_error *why)
{
    marty_err err = marty__bus_enter(bus, MARTY__DRAINING, why);
    if (err || atomic_load(&bus->started)) {
        return err;
    }
    marty__lock(&bus->lock);
    bool first = !atomic_exchange(&bus->started, true);
    marty__unlock(&bus->lock);
    if (first) {
        (void)marty__alarm_cancel(bus, &bus->unstarted_alarm);
        each_subscription(bus, start_one);
    }
    return MARTY_OK;
}

static void unstarted_rang(marty__alarm *alarm)
{
    marty_bus *bus = MARTY__OWNER(alarm, marty_bus, unstarted_alarm);
    if (!atomic_load(&bus->started) && atomic_load(&bus->phase) == MARTY__OPEN) {
        marty__event(bus, MARTY_STATE_STALLED, NULL, NULL, MARTY_E_STATE,
                     "handlers are registered and the bus is not started; call marty_bus_start or "
                     "marty_bus_run");
    }
}

/* ---- drain */
void marty__life_step(marty_bus *bus)
{
    if (atomic_load(&bus->phase) != MARTY__OPEN && !bus->torn_down) {
        (void)marty__alarm_set(bus, &bus->life_alarm, marty__bus_now(bus));
    }
}

static bool move_on(marty_bus *bus, marty__phase from, marty__phase to)
{
    marty__lock(&bus->lock);
    bool moved = (marty__phase)atomic_load(&bus->phase) == from;
    if (moved) {
        atomic_store(&bus->phase, to);
        marty__wake_all(&bus->changed);
    }
    marty__unlock(&bus->lock);
    if (moved) {
        for (size_t i = 0; i < bus->port_count; i++) {
            marty__lock(&bus->ports[i].lock);
            marty__wake_all(&bus->ports[i].changed);
            marty__unlock(&bus->ports[i].lock);
        }
        marty__driven_wake(bus);
    }
    return moved;
}

/* Unless it is to be over before that. */
static int64_t drain_by(marty_bus *bus, int64_t deadline_ns)
{
    marty__lock(&bus->lock);
    int64_t before = atomic_load(&bus->drain_deadline_ns);
    int64_t deadline = before && before < deadline_ns ? before : deadline_ns;
    atomic_store(&bus->drain_deadline_ns, deadline);
    marty__unlock(&bus->lock);
    return deadline;
}

void marty__life_stop(marty_bus *bus)
{
    bool again = atomic_load(&bus->stops) > 1;
    if (move_on(bus, MARTY__OPEN, MARTY__DRAINING)) {
        int64_t deadline = drain_by(bus, marty__deadline_ns(marty__bus_now(bus), bus->drain_ms));
        marty__event(bus, MARTY_STATE_DRAINING, NULL, NULL, MARTY_OK, "nothing new is delivered");
        each_subscription(bus, marty__subscription_drain);
        for (size_t i = 0; i < bus->port_count; i++) {
            marty__port_kick(&bus->ports[i]);
        }
        /* close may have set it meanwhile */
        (void)marty__alarm_set_earlier(bus, &bus->drain_alarm, deadline);
        marty__life_step(bus);
    }
    if (again) {
        (void)marty__alarm_set_earlier(bus, &bus->drain_alarm, marty__bus_now(bus));
    }
}

static void drain_rang(marty__alarm *alarm)
{
    marty_bus *bus = MARTY__OWNER(alarm, marty_bus, drain_alarm);
    atomic_store(&bus->cut_off, true);
    marty__life_step(bus);
}

/* Everything that asked for an answer and has none gets one now. */
static void answer_rest(marty_bus *bus)
{
    bool any = true;
    while (any) { /* some may have come behind our back */
        marty__call_at at = {0};
        any = false;
        for (marty__call *call; (call = marty__call_find(bus, &at)) != NULL; any = true) {
            marty__call_expire(call, MARTY_E_CLOSED, true);
            marty__call_unref(call);
        }
    }
}

static bool flushed(marty_bus *bus)
{
    if (atomic_load(&bus->open_calls)) {
        return false;
    }
    for (size_t i = 0; i < bus->port_count; i++) {
        marty__lock(&bus->ports[i].lock);
        bool waits = bus->ports[i].settling > 0 && bus->ports[i].state == MARTY_STATE_UP;
        marty__unlock(&bus->ports[i].lock);
        if (waits) {
            return false;
        }
    }
    return true;
}

static bool ports_closed(marty_bus *bus)
{
    for (size_t i = 0; i < bus->port_count; i++) {
        marty__lock(&bus->ports[i].lock);
        bool closed = bus->ports[i].closed || !bus->ports[i].adapter;
        marty__unlock(&bus->ports[i].lock);
        if (!closed) {
            return false;
        }
    }
    return true;
}

static void close_ports(marty_bus *bus)
{
    int64_t now = marty__bus_now(bus), least = marty__deadline_ns(now, CUT_MS);
    int64_t drained = atomic_load(&bus->drain_deadline_ns);
    int64_t deadline = drained > least && !atomic_load(&bus->cut_off) ? drained : least;
    atomic_store(&bus->ports_closing, true);
    for (size_t i = 0; i < bus->port_count; i++) {
        marty__port_close(&bus->ports[i], deadline);
    }
    (void)marty__alarm_set(bus, &bus->drain_alarm, deadline);
}

static void life_rang(marty__alarm *alarm)
{
    marty_bus *bus = MARTY__OWNER(alarm, marty_bus, life_alarm);
    bool cut = atomic_load(&bus->cut_off);
    bool closing = atomic_load(&bus->ports_closing);
    int phase = atomic_load(&bus->phase);
    if (phase == MARTY__DRAINING &&
        (cut || (!atomic_load(&bus->running) && !atomic_load(&bus->kept)))) {
        (void)move_on(bus, MARTY__DRAINING, MARTY__FLUSHING);
        phase = MARTY__FLUSHING;
    }
    if (phase == MARTY__FLUSHING && !closing && (cut || flushed(bus))) {
        close_ports(bus);
    } else if (phase == MARTY__FLUSHING && closing &&
               (ports_closed(bus) ||
                marty__bus_now(bus) >=
                    atomic_load(&bus->drain_deadline_ns) + CUT_MS * (int64_t)MARTY__NS_PER_MS)) {
        answer_rest(bus);
        bus->hooks->closed(bus);
        marty__event(bus, MARTY_STATE_CLOSED, NULL, NULL, MARTY_OK,
                     cut ? "cut off at the drain deadline" : "drained");
        (void)move_on(bus, MARTY__FLUSHING, MARTY__CLOSED);
    }
    marty__lock(&bus->lock);
    marty__wake_all(&bus->changed); /* close waits for rest */
    marty__unlock(&bus->lock);
    if (atomic_load(&bus->ports_closing) && atomic_load(&bus->phase) == MARTY__FLUSHING &&
        ports_closed(bus)) {
        marty__life_step(bus);
    }
}

void marty__life_init(marty_bus *bus)
{
    bus->life_alarm.ring = life_rang;
    bus->drain_alarm.ring = drain_rang;
    bus->unstarted_alarm.ring = unstarted_rang;
}

void marty_bus_stop(marty_bus *bus)
{
    if (!bus || bus->fork_generation != marty__fork_generation()) {
        return;
    }
    (void)atomic_fetch_add(&bus->stops, 1);
    atomic_store(&bus->stop_asked, true);
    marty__clockwork_wake(bus);
}

/* ---- close */
static void take_down_subscription(marty_subscription *subscription)
{
    marty_bus *bus = subscription->bus;
    marty__lanes_clear(subscription, &(marty__clear){.lost = true});
    marty__lanes_disarm(subscription);
    marty__lock(&bus->lock);
    bool linked = subscription->link.next != NULL;
    marty__list_remove(&subscription->link);
    bus->subscription_count -= linked ? 1 : 0;
    marty__unlock(&bus->lock);
    for (size_t i = 0; i < subscription->consumer_count; i++) {
        marty__consumer *consumer = subscription->consumers[i];
        marty__lock(&consumer->lock);
        marty__consumer_drop(consumer, subscription);
        marty__unlock(&consumer->lock);
    }
    if (linked) {
        marty__subscription_unref(subscription);
    }
}

/* What was accepted while the bus came to be closed: no worker is left to tell it. Other threads
 * of the program may be about to tell what they have just cancelled, or to hear what became of
 * theirs: they have a moment for it. */
static void tell_rest(marty_bus *bus)
{
    int64_t until_ns = marty__monotonic_ns() + CUT_MS * (int64_t)MARTY__NS_PER_MS;
    answer_rest(bus);
    bus->hooks->closed(bus);
    marty__lock(&bus->lock);
    while (atomic_load(&bus->open_calls) && marty__monotonic_ns() < until_ns) {
        marty__unlock(&bus->lock);
        (void)marty__pool_run_some(bus, SIZE_MAX);
        marty__lock(&bus->lock);
        if (atomic_load(&bus->open_calls)) {
            (void)marty__wait(&bus->changed, &bus->lock,
                              marty__monotonic_ns() + (int64_t)MARTY__NS_PER_MS);
        }
    }
    marty__unlock(&bus->lock);
    marty__pool_end(bus);
}

static void tear_down(marty_bus *bus)
{
    marty__clockwork_close(bus);
    marty__pool_close(bus);
    for (size_t i = 0; i < bus->port_count; i++) {
        marty__port_shut(&bus->ports[i]);
    }
    each_subscription(bus, take_down_subscription);
    marty__events_free(bus);
    tell_rest(bus);
    if (bus->user_free) {
        bus->user_free(bus->user);
        bus->user_free = NULL;
    }
}

static void shorten(marty_bus *bus, int64_t deadline_ns)
{
    (void)drain_by(bus, deadline_ns);
    if (atomic_load(&bus->phase) != MARTY__OPEN && !atomic_load(&bus->ports_closing)) {
        (void)marty__alarm_set_earlier(bus, &bus->drain_alarm, deadline_ns);
    }
}

static bool at_rest(const marty_bus *bus)
{
    return atomic_load(&bus->phase) == MARTY__CLOSED && atomic_load(&bus->running) == 0;
}

/* A driven bus: what is due runs here, as it would in process. */
static void pump(marty_bus *bus)
{
    marty__clockwork_run(bus);
    (void)marty__pool_run_some(bus, 1024);
}

/* Up to the deadline for handlers that run; where none does, a little beyond it, for what is cut
 * off to be given back and the broker's own goodbye, which housekeeping may come to late. */
static int64_t patience_ns(const marty_bus *bus, int64_t deadline_ns)
{
    return atomic_load(&bus->running) ? deadline_ns : marty__deadline_ns(deadline_ns, 3 * CUT_MS);
}

/* Simulated time may stand still while an adapter's thread needs real time: so many rounds of it
 * without progress are enough. */
enum { STILL_ROUNDS = 1000 };

static bool wait_at_rest(marty_bus *bus, int64_t deadline_ns)
{
    int still = 0;
    while (!at_rest(bus)) {
        int64_t before = marty__bus_now(bus);
        if (bus->driven) {
            pump(bus);
        }
        marty__lock(&bus->lock);
        bool woken = true;
        if (!at_rest(bus)) {
            int64_t step =
                marty__monotonic_ns() + (bus->simulated ? 1 : 5) * (int64_t)MARTY__NS_PER_MS;
            woken = marty__wait(&bus->changed, &bus->lock,
                                bus->driven ? step : patience_ns(bus, deadline_ns));
        }
        marty__unlock(&bus->lock);
        int64_t now = marty__bus_now(bus);
        still = woken || now > before || marty__pool_has_work(bus) ? 0 : still + 1;
        if (now >= patience_ns(bus, deadline_ns) || still > STILL_ROUNDS) {
            break;
        }
    }
    return at_rest(bus);
}

static marty_err close_now(marty_bus *bus, int64_t deadline_ns, marty_error *why)
{
    shorten(bus, deadline_ns);
    if (!atomic_load(&bus->stops)) { /* a second stop would cut the drain short */
        marty_bus_stop(bus);
    }
    if (bus->simulated || !bus->clockwork.has_thread) {
        marty__life_stop(bus);
    }
    if (!wait_at_rest(bus, deadline_ns)) {
        return marty_error_set(
            why, MARTY_E_TIMEOUT,
            "handlers still run; what they use must live on: call marty_bus_close again");
    }
    tear_down(bus);
    return MARTY_OK;
}

marty_err marty__bus_close_once(marty_bus *bus, int64_t deadline_ns, marty_error *why)
{
    marty__lock(&bus->close_lock);
    marty_err err = bus->torn_down ? MARTY_OK : close_now(bus, deadline_ns, why);
    marty__unlock(&bus->close_lock);
    return err;
}
