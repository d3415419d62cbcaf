/* SPDX-License-Identifier: Apache-2.0
 * For tests: the backend "wrap:", which is "memory:" with a hand on what the adapter says. The test
 * holds back answers. One port at a time. */
#ifndef MARTY_PATTERNS_TEST_WRAP_H
#define MARTY_PATTERNS_TEST_WRAP_H
#include <marty/backend.h>
#include <marty/marty.h>

#include "tests/check.h"

#include <stdatomic.h>

enum { WRAP_SUBSCRIPTIONS = 16 };

struct marty_port {
    marty_sink sink; /* first: the inner adapter's view of us */
    const marty_sink *outer;
    marty_port *inner;
};

static struct {
    const marty_backend *memory;
    struct marty_port *port;
    marty_kind kinds[WRAP_SUBSCRIPTIONS]; /* of a subscription's number */
    atomic_bool hold_reply;               /* keep the answer to subscribing to replies */
    atomic_uint_fast64_t held_reply;      /* its number, once it is kept */
    _Atomic marty_err refuse_reply;       /* the answer instead */
    atomic_bool hold_closed;              /* the adapter does not say that it is closed */
    atomic_bool hold_published;           /* nor what became of publishes */
    void (*before_publish)(void);         /* called in the op */
} wrap;

static const marty_sink *wrap_outer(const marty_sink *sink)
{
    return ((const struct marty_port *)(const void *)sink)->outer;
}

static void wrap_state(const marty_sink *sink, marty_state state, const marty_capabilities *granted,
                       marty_err reason, const char *text)
{
    if (state == MARTY_STATE_CLOSED && atomic_load(&wrap.hold_closed)) {
        return;
    }
    wrap_outer(sink)->state(wrap_outer(sink), state, granted, reason, text);
}

static void wrap_published(const marty_sink *sink, const marty_published results[], size_t count)
{
    if (atomic_load(&wrap.hold_published)) {
        return;
    }
    wrap_outer(sink)->published(wrap_outer(sink), results, count);
}

static void wrap_delivered(const marty_sink *sink, const marty_incoming batch[], size_t count)
{
    wrap_outer(sink)->delivered(wrap_outer(sink), batch, count);
}

static void wrap_settled(const marty_sink *sink, uint64_t subscription, marty_verb verb,
                         const uint64_t tags[], size_t count, marty_err result,
                         int64_t lease_until_ns)
{
    wrap_outer(sink)->settled(wrap_outer(sink), subscription, verb, tags, count, result,
                              lease_until_ns);
}

static void wrap_subscribed(const marty_sink *sink, uint64_t subscription, marty_err reason,
                            const char *text)
{
    bool reply = subscription < WRAP_SUBSCRIPTIONS && wrap.kinds[subscription] == MARTY_KIND_REPLY;
    if (reply && !reason && atomic_load(&wrap.hold_reply)) {
        atomic_store(&wrap.held_reply, subscription);
        return;
    }
    marty_err refusal = atomic_load(&wrap.refuse_reply);
    if (reply && !reason && refusal) {
        reason = refusal;
        text = "refused by the test";
    }
    wrap_outer(sink)->subscribed(wrap_outer(sink), subscription, reason, text);
}

static void wrap_timer(const marty_sink *sink, int64_t at_ns, void (*call)(void *user), void *user)
{
    wrap_outer(sink)->timer(wrap_outer(sink), at_ns, call, user);
}

static void wrap_log(const marty_sink *sink, int level, const char *text)
{
    wrap_outer(sink)->log(wrap_outer(sink), level, text);
}

static bool wrap_later(const marty_sink *sink, void (*call)(void *user), void *user)
{
    return wrap_outer(sink)->later(wrap_outer(sink), call, user);
}

static marty_err wrap_open(marty_port **ret_port, const char *url, const marty_sink *sink,
                           marty_error *why)
{
    (void)url;
    marty_port *port = calloc(1, sizeof *port);
    REQUIRE(port);
    port->outer = sink;
    port->sink = (marty_sink){.abi = MARTY_BACKEND_ABI,
                              .size = sizeof port->sink,
                              .env = sink->env,
                              .state = wrap_state,
                              .published = wrap_published,
                              .delivered = wrap_delivered,
                              .settled = wrap_settled,
                              .subscribed = wrap_subscribed,
                              .timer = wrap_timer,
                              .log = wrap_log,
                              .later = wrap_later};
    wrap.port = port;
    *ret_port = port;
    return wrap.memory->open(&port->inner, "memory:ends", &port->sink, why);
}

static marty_err wrap_connect(marty_port *port, marty_error *why)
{
    return wrap.memory->connect(port->inner, why);
}

static marty_err wrap_publish(marty_port *port, const marty_outgoing batch[], size_t count,
                              size_t *ret_taken, marty_error *why)
{
    if (wrap.before_publish) {
        wrap.before_publish();
    }
    return wrap.memory->publish(port->inner, batch, count, ret_taken, why);
}

static marty_err wrap_subscribe(marty_port *port, uint64_t subscription, const marty_want *want,
                                marty_error *why)
{
    REQUIRE(subscription < WRAP_SUBSCRIPTIONS);
    wrap.kinds[subscription] = want->channel.kind;
    return wrap.memory->subscribe(port->inner, subscription, want, why);
}

static void wrap_grant(marty_port *port, uint64_t subscription, uint32_t credit)
{
    wrap.memory->grant(port->inner, subscription, credit);
}

static void wrap_settle(marty_port *port, const marty_settling batch[], size_t count)
{
    wrap.memory->settle(port->inner, batch, count);
}

static void wrap_unsubscribe(marty_port *port, uint64_t subscription)
{
    wrap.memory->unsubscribe(port->inner, subscription);
}

static void wrap_close(marty_port *port, int64_t deadline_ns)
{
    wrap.memory->close(port->inner, deadline_ns);
}

static void wrap_free(marty_port *port)
{
    wrap.memory->free(port->inner);
    free(port);
}

static marty_err wrap_topology(marty_port *port, const char *verb, const marty_want *what,
                               int64_t deadline_ns, marty_message **ret_answer, marty_error *why)
{
    return wrap.memory->topology(port->inner, verb, what, deadline_ns, ret_answer, why);
}

static marty_backend wrap_backend = {.abi = MARTY_BACKEND_ABI,
                                     .size = sizeof wrap_backend,
                                     .scheme = "wrap",
                                     .package = "none",
                                     .open = wrap_open,
                                     .connect = wrap_connect,
                                     .publish = wrap_publish,
                                     .subscribe = wrap_subscribe,
                                     .grant = wrap_grant,
                                     .settle = wrap_settle,
                                     .unsubscribe = wrap_unsubscribe,
                                     .close = wrap_close,
                                     .free = wrap_free,
                                     .topology = wrap_topology};

static void wrap_register(void)
{
    marty_error why = {0};
    REQUIRE(!marty_backend_find(&wrap.memory, "memory", &why));
    wrap_backend.claims = wrap.memory->claims;
    REQUIRE(!marty_backend_register(&wrap_backend, &why));
}

static void wrap_close_bus(marty_bus *bus)
{
    marty_error why = {0};
    CHECK_INT(marty_bus_close(bus, 0, &why), MARTY_OK);
    marty_bus_free(bus);
}
#endif
