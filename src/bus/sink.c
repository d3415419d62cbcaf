/* SPDX-License-Identifier: Apache-2.0
 * What an adapter tells us. Each may come on any thread, also inside an op: nothing here blocks,
 * fails or calls an op. */
#include "internal.h"

#include "base/assert.h"

#include <stdio.h>

_Static_assert(offsetof(marty__port, sink) == 0, "sink is first");

static marty__port *owner(const marty_sink *sink)
{
    return (marty__port *)(uintptr_t)sink; /* its first member; ours, so not really const */
}

/* ---- state */
static void set_state(marty__port *port, marty_state state, const marty_capabilities *granted,
                      marty_err reason, const char *text)
{
    port->state = state;
    port->reason = reason;
    (void)snprintf(port->text, sizeof port->text, "%s", text ? text : "");
    if (granted) {
        marty__port_set_granted(port, granted);
        port->ever_up = true;
    }
}

/* Those there now: one that joins meanwhile sees the new state by itself. */
static void each_consumer(marty__port *port, void (*call)(marty__consumer *consumer))
{
    marty__lock(&port->lock);
    for (uint64_t number = 1; number < port->next_number; number++) {
        marty__consumer *consumer = marty__map_get_u64(&port->consumers, number);
        if (consumer) {
            (void)marty__consumer_ref(consumer);
            marty__unlock(&port->lock);
            call(consumer);
            marty__consumer_unref(consumer);
            marty__lock(&port->lock);
        }
    }
    marty__unlock(&port->lock);
}

/* With the lock held. */
static void note_up(marty__port *port)
{
    port->failures = 0;
    port->up_ns = marty__bus_now(port->bus);
    atomic_store(&port->fruitful, false);
}

/* With the lock held. */
static void note_down(marty__port *port)
{
    int64_t lasted_ns = marty__bus_now(port->bus) - port->up_ns;
    bool steady = lasted_ns >= MARTY__RECONNECT_STEADY_MS * (int64_t)MARTY__NS_PER_MS ||
                  atomic_load(&port->fruitful);
    port->relapses = steady ? 0 : port->relapses + 1;
}

static void on_state(const marty_sink *sink, marty_state state, const marty_capabilities *granted,
                     marty_err reason, const char *text)
{
    marty__in_sink++;
    marty__port *port = owner(sink);
    marty__lock(&port->lock);
    bool was_up = port->state == MARTY_STATE_UP || port->state == MARTY_STATE_BLOCKED;
    bool first_failure = !was_up && state == MARTY_STATE_DOWN && port->failures == 0;
    bool same = port->state == state && port->reason == reason && !first_failure;
    bool rises = state == MARTY_STATE_UP && !was_up;
    bool falls = state == MARTY_STATE_DOWN && !port->closing;
    set_state(port, state, granted, reason, text);
    port->connecting = false;
    port->full = false;
    port->closed = port->closed || state == MARTY_STATE_CLOSED;
    if (rises) {
        note_up(port);
    } else if (falls && was_up) {
        note_down(port);
    }
    marty__wake_all(&port->changed);
    marty__unlock(&port->lock);
    if (rises) {
        each_consumer(port, marty__consumer_up);
    } else if (falls && was_up) {
        each_consumer(port, marty__consumer_down);
    }
    if (falls) {
        marty__port_retry(port);
    }
    if (!same) {
        marty__event(port->bus, state, port, NULL, reason, text);
    }
    marty__port_kick_later(port);
    marty__life_step(port->bus);
    marty__in_sink--;
}

/* ---- answers */
static void bear_fruit(marty__port *port)
{
    if (!atomic_load_explicit(&port->fruitful, memory_order_relaxed)) {
        atomic_store(&port->fruitful, true);
    }
}

static void on_published(const marty_sink *sink, const marty_published results[], size_t count)
{
    marty__in_sink++;
    if (count > 0 && !results[0].err) { /* what is in doubt is told when it ends */
        bear_fruit(owner(sink));
    }
    marty__published(owner(sink), results, count);
    marty__in_sink--;
}

static void on_delivered(const marty_sink *sink, const marty_incoming batch[], size_t count)
{
    marty__in_sink++;
    bear_fruit(owner(sink));
    marty__intake(owner(sink), batch, count);
    marty__in_sink--;
}

static void on_settled(const marty_sink *sink, uint64_t subscription, marty_verb verb,
                       const uint64_t tags[], size_t count, marty_err result,
                       int64_t lease_until_ns)
{
    marty__in_sink++;
    marty__settled(owner(sink), subscription, verb, tags, count, result, lease_until_ns);
    marty__in_sink--;
}

static marty__consumer *consumer_of(marty__port *port, uint64_t number)
{
    marty__lock(&port->lock);
    marty__consumer *consumer = marty__map_get_u64(&port->consumers, number);
    if (consumer) {
        (void)marty__consumer_ref(consumer);
    }
    marty__unlock(&port->lock);
    return consumer;
}

static void on_subscribed(const marty_sink *sink, uint64_t subscription, marty_err reason,
                          const char *text)
{
    marty__in_sink++;
    marty__port *port = owner(sink);
    marty__consumer *consumer = consumer_of(port, subscription);
    if (consumer) {
        marty__consumer_answer(consumer, reason, text);
        marty__consumer_unref(consumer);
    }
    marty__port_kick_later(port);
    marty__in_sink--;
}

static void on_shards(const marty_sink *sink, marty_state state, uint64_t subscription,
                      const uint32_t shards[], size_t count, int64_t deadline_ns)
{
    marty__port *port = owner(sink);
    marty__consumer *consumer = consumer_of(port, subscription);
    if (consumer) {
        marty__event_shards(port->bus, state, consumer, shards, count, deadline_ns);
        marty__consumer_unref(consumer);
    }
}

static void on_assigned(const marty_sink *sink, uint64_t subscription, const uint32_t shards[],
                        size_t count)
{
    marty__in_sink++;
    on_shards(sink, MARTY_STATE_ASSIGNED, subscription, shards, count, 0);
    marty__in_sink--;
}

static void on_revoked(const marty_sink *sink, uint64_t subscription, const uint32_t shards[],
                       size_t count, int64_t deadline_ns)
{
    marty__in_sink++;
    marty__port *port = owner(sink);
    marty__consumer *consumer = consumer_of(port, subscription);
    if (consumer) {
        marty__consumer_revoked(consumer, shards, count, deadline_ns);
        marty__consumer_unref(consumer);
    }
    int64_t left_ns = deadline_ns - marty__bus_now(port->bus);
    int64_t deadline_ms = (marty__bus_wall(port->bus) + left_ns / 1000) / MARTY__US_PER_MS;
    on_shards(sink, MARTY_STATE_REVOKED, subscription, shards, count, deadline_ms);
    marty__in_sink--;
}

/* ---- timers and log */
static void timer_run(marty__port *port, marty__command *command)
{
    marty__adapter_timer *timer = MARTY__OWNER(command, marty__adapter_timer, command);
    if (port->adapter) {
        timer->call(timer->user);
    }
}

static void timer_rang(marty__alarm *alarm)
{
    marty__adapter_timer *timer = MARTY__OWNER(alarm, marty__adapter_timer, alarm);
    (void)marty__port_command(timer->port, &timer->command);
    marty__port_kick(timer->port);
}

static marty__adapter_timer *timer_of(marty__port *port, void (*call)(void *user), void *user)
{
    marty__adapter_timer *found = NULL;
    marty__lock(&port->lock);
    for (size_t i = 0; i < MARTY__ADAPTER_TIMERS && !found; i++) {
        marty__adapter_timer *timer = &port->timers[i];
        if (!timer->call) {
            *timer = (marty__adapter_timer){.alarm = {.ring = timer_rang},
                                            .command = {.run = timer_run},
                                            .port = port,
                                            .call = call,
                                            .user = user};
        }
        found = timer->call == call && timer->user == user ? timer : NULL;
    }
    marty__unlock(&port->lock);
    marty__assert(found); /* an adapter has at most MARTY__ADAPTER_TIMERS different timers */
    return found;
}

static void on_timer(const marty_sink *sink, int64_t at_ns, void (*call)(void *user), void *user)
{
    marty__port *port = owner(sink);
    marty__adapter_timer *timer = timer_of(port, call, user);
    if (at_ns == MARTY__NEVER) {
        (void)marty__alarm_cancel(port->bus, &timer->alarm);
    } else {
        (void)marty__alarm_set(port->bus, &timer->alarm, at_ns);
    }
}

static void on_log(const marty_sink *sink, int level, const char *text)
{
    marty__port *port = owner(sink);
    marty__bus_log(port->bus, level, "%s: %s", port->name, text);
}

static bool on_later(const marty_sink *sink, void (*call)(void *user), void *user)
{
    return marty__lend(owner(sink), call, user);
}

void marty__sink_init(marty__port *port)
{
    port->sink = (marty_sink){.abi = MARTY_BACKEND_ABI,
                              .size = sizeof port->sink,
                              .env = &port->bus->env,
                              .state = on_state,
                              .published = on_published,
                              .delivered = on_delivered,
                              .settled = on_settled,
                              .subscribed = on_subscribed,
                              .assigned = on_assigned,
                              .revoked = on_revoked,
                              .timer = on_timer,
                              .log = on_log,
                              .later = on_later};
}
