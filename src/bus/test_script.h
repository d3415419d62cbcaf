/* SPDX-License-Identifier: Apache-2.0
 * A backend that a test plays by hand, and a service on it. So each moment can be chosen, which no
 * broker allows. Sink calls are made on the test's thread; ops are noted, and settlings answered at
 * once. One bus at a time. */
#ifndef MARTY_BUS_TEST_SCRIPT_H
#define MARTY_BUS_TEST_SCRIPT_H
#include <marty/backend.h>

#include "check.h"

#include <pthread.h>

enum { NOTES = 4096 };

typedef struct noted {
    uint64_t tag;
    marty_verb verb;
    uint32_t attempt;
    size_t together; /* how many the op had */
} noted;

struct marty_port {
    const marty_sink *sink;
};

static struct {
    pthread_mutex_t lock;
    const marty_sink *sink;
    marty_capabilities granted_more; /* limits and flags; bits beside those of the claims */
    uint64_t number;
    uint32_t granted;  /* since the bus began */
    uint32_t lease_ms; /* as it was last asked for */
    noted settles[NOTES];
    size_t count;
    uint32_t asked;    /* how often it was subscribed to */
    uint32_t resets;   /* of them, with the group moved */
    int64_t moved_to;  /* the time that the last one said */
    size_t patterns;   /* and how many names */
    uint32_t refusals; /* so many of them are refused */
    marty_err refusal; /* with this; MARTY_OK = without a word */
    bool mute;         /* connecting to it does not end */
    bool down;         /* it cannot be connected to */
    bool lose_extends;
    bool answers_later; /* what is settled waits for answer_all */
    int answers_each;   /* publishes: every nth; 0 = all, below 0 = none */
    uint64_t taken;
    marty_settling waiting[NOTES];
    size_t waiting_count;
    uint64_t token; /* of the last publish */
} script = {.lock = PTHREAD_MUTEX_INITIALIZER};

static const marty_capabilities script_claims = {
    .can = {[MARTY_KIND_TOPIC] = MARTY_CAN_GROUPS | MARTY_CAN_CONFIRM | MARTY_CAN_DELAYED_RETRY,
            [MARTY_KIND_STREAM] =
                MARTY_CAN_GROUPS | MARTY_CAN_CONFIRM | MARTY_CAN_ORDER_BY_KEY | MARTY_CAN_HOLD_KEY},
    .level = MARTY_LEVEL_MEMORY,
    .lease_ms = 300};

/* ---- the backend */
static marty_err op_open(marty_port **ret_port, const char *url, const marty_sink *sink,
                         marty_error *why)
{
    (void)url;
    marty_port *port = marty_alloc_zero(1, sizeof *port);
    if (!port) {
        return marty_error_set(why, MARTY_E_NO_MEMORY, "no memory");
    }
    port->sink = script.sink = sink;
    *ret_port = port;
    return MARTY_OK;
}

static marty_err op_connect(marty_port *port, marty_error *why)
{
    pthread_mutex_lock(&script.lock);
    bool down = script.down, mute = script.mute;
    pthread_mutex_unlock(&script.lock);
    if (down) {
        return marty_error_set(why, MARTY_E_UNAVAILABLE, "down");
    }
    if (mute) {
        return MARTY_OK;
    }
    marty_capabilities granted = script_claims;
    granted.can[MARTY_KIND_TOPIC] |= script.granted_more.can[MARTY_KIND_TOPIC];
    granted.give_back_counts = script.granted_more.give_back_counts;
    granted.delay_step_ms = script.granted_more.delay_step_ms;
    port->sink->state(port->sink, MARTY_STATE_UP, &granted, MARTY_OK, "up");
    return MARTY_OK;
}

static marty_err op_publish(marty_port *port, const marty_outgoing batch[], size_t count,
                            size_t *ret_taken, marty_error *why)
{
    (void)why;
    for (size_t i = 0; i < count; i++) {
        marty_published one = {.token = batch[i].token, .level = MARTY_LEVEL_MEMORY};
        pthread_mutex_lock(&script.lock);
        int each = script.answers_each;
        bool now = !each || (each > 0 && (script.taken + 1) % (uint64_t)each == 0);
        script.taken++;
        script.token = one.token;
        pthread_mutex_unlock(&script.lock);
        if (now) {
            port->sink->published(port->sink, &one, 1);
        }
    }
    *ret_taken = count;
    return MARTY_OK;
}

static marty_err op_subscribe(marty_port *port, uint64_t number, const marty_want *want,
                              marty_error *why)
{
    (void)why;
    pthread_mutex_lock(&script.lock);
    script.number = number;
    script.granted += want->credit;
    script.asked++;
    script.resets += want->reset;
    script.moved_to = want->start.time_us;
    script.patterns = want->pattern_count;
    bool refuses = script.refusals > 0;
    script.refusals -= refuses;
    script.lease_ms = want->lease_ms;
    pthread_mutex_unlock(&script.lock);
    if (!refuses || script.refusal) {
        port->sink->subscribed(port->sink, number, refuses ? script.refusal : MARTY_OK,
                               refuses ? "not now" : "");
    }
    return MARTY_OK;
}

static void op_grant(marty_port *port, uint64_t number, uint32_t credit)
{
    (void)port;
    (void)number;
    pthread_mutex_lock(&script.lock);
    script.granted += credit;
    pthread_mutex_unlock(&script.lock);
}

static void op_settle(marty_port *port, const marty_settling batch[], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const marty_settling *one = &batch[i];
        pthread_mutex_lock(&script.lock);
        bool extend = one->verb == MARTY_SETTLE_EXTEND, lost = extend && script.lose_extends;
        if (script.count < NOTES) {
            script.settles[script.count++] = (noted){one->tag, one->verb, one->attempt, count};
        }
        bool later = script.answers_later && script.waiting_count < NOTES;
        if (later) {
            script.waiting[script.waiting_count++] = *one;
        }
        pthread_mutex_unlock(&script.lock);
        if (later) {
            continue;
        }
        int64_t until = port->sink->env->monotonic_ns(port->sink->env->user) + 300000000;
        port->sink->settled(port->sink, one->subscription, one->verb, &one->tag, 1,
                            lost ? MARTY_E_LOST : MARTY_OK, extend ? until : INT64_MAX);
    }
}

static void op_unsubscribe(marty_port *port, uint64_t number)
{
    port->sink->subscribed(port->sink, number, MARTY_E_CLOSED, "unsubscribed");
}

static void op_close(marty_port *port, int64_t deadline_ns)
{
    (void)deadline_ns;
    port->sink->state(port->sink, MARTY_STATE_CLOSED, NULL, MARTY_OK, "closed");
}

static void op_free(marty_port *port)
{
    marty_free(port);
}

CHECK__UNUSED static const marty_backend script_backend = {.abi = MARTY_BACKEND_ABI,
                                                           .size = sizeof script_backend,
                                                           .scheme = "script",
                                                           .package = "none",
                                                           .claims = &script_claims,
                                                           .open = op_open,
                                                           .connect = op_connect,
                                                           .publish = op_publish,
                                                           .subscribe = op_subscribe,
                                                           .grant = op_grant,
                                                           .settle = op_settle,
                                                           .unsubscribe = op_unsubscribe,
                                                           .close = op_close,
                                                           .free = op_free};

/* ---- what the backend does when the test says so */
CHECK__UNUSED static int64_t in_ms(int64_t ms)
{
    return script.sink->env->monotonic_ns(script.sink->env->user) + ms * 1000000;
}

CHECK__UNUSED static void deliver_message(uint64_t tag, uint32_t shard, marty_message template_,
                                          int64_t lease_until_ns, int64_t age_us)
{
    char id[32];
    marty_message *message = NULL;
    marty_error why = {0};
    (void)snprintf(id, sizeof id, "m%llu", (unsigned long long)tag);
    template_.type = "order.made";
    template_.source = "test";
    template_.id = id;
    template_.data = marty_text("{}");
    REQUIRE(!marty_message_new(&message, &template_, NULL, &why));
    pthread_mutex_lock(&script.lock);
    uint64_t number = script.number; /* a worker may subscribe again */
    pthread_mutex_unlock(&script.lock);
    marty_incoming in = {.subscription = number,
                         .tag = tag,
                         .message = message,
                         .attempt = 1,
                         .shard = shard,
                         .lease_until_ns = lease_until_ns,
                         .age_us = age_us};
    script.sink->delivered(script.sink, &in, 1);
}

CHECK__UNUSED static void deliver(uint64_t tag, uint32_t shard, const char *key,
                                  int64_t lease_until_ns, const marty_header *header)
{
    deliver_message(tag, shard,
                    (marty_message){.key = key, .headers = header, .header_count = header ? 1 : 0},
                    lease_until_ns, 0);
}

/** How many publishes came so far, and the token of the last one. */
CHECK__UNUSED static uint64_t taken(uint64_t *ret_token)
{
    pthread_mutex_lock(&script.lock);
    uint64_t count = script.taken;
    *ret_token = script.token;
    pthread_mutex_unlock(&script.lock);
    return count;
}

/** Answer what was settled since answers_later, and from now on at once. */
CHECK__UNUSED static void answer_all(void)
{
    pthread_mutex_lock(&script.lock);
    script.answers_later = false;
    size_t count = script.waiting_count;
    script.waiting_count = 0;
    pthread_mutex_unlock(&script.lock);
    for (size_t i = 0; i < count; i++) {
        const marty_settling *one = &script.waiting[i];
        script.sink->settled(script.sink, one->subscription, one->verb, &one->tag, 1, MARTY_OK,
                             INT64_MAX);
    }
}

/** How often that tag came back with that verb; 0 = any verb, tag 0 = any tag. */
CHECK__UNUSED static size_t settled(uint64_t tag, int verb)
{
    size_t count = 0;
    pthread_mutex_lock(&script.lock);
    for (size_t i = 0; i < script.count; i++) {
        count += (!tag || script.settles[i].tag == tag) &&
                 (!verb || (int)script.settles[i].verb == verb);
    }
    pthread_mutex_unlock(&script.lock);
    return count;
}

CHECK__UNUSED static noted last_of(uint64_t tag)
{
    noted found = {0};
    pthread_mutex_lock(&script.lock);
    for (size_t i = 0; i < script.count; i++) {
        found = script.settles[i].tag == tag ? script.settles[i] : found;
    }
    pthread_mutex_unlock(&script.lock);
    return found;
}

CHECK__UNUSED static uint32_t granted(void)
{
    pthread_mutex_lock(&script.lock);
    uint32_t credit = script.granted;
    pthread_mutex_unlock(&script.lock);
    return credit;
}

/* ---- the service */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool hold;         /* handlers wait until it is over */
    atomic_bool keep;  /* handlers keep what they get */
    atomic_int answer; /* what they return */
    atomic_int running;
    atomic_int runs; /* handlers that began, ever */
    atomic_int last; /* what checking the last one said when it was over */
    marty_delivery *kept[64];
    atomic_size_t kept_count;
} service = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

CHECK__UNUSED static marty_err handle(void *user, marty_delivery *delivery)
{
    (void)user;
    atomic_fetch_add(&service.running, 1);
    atomic_fetch_add(&service.runs, 1);
    pthread_mutex_lock(&service.lock);
    if (service.keep && service.kept_count < 64) {
        service.kept[service.kept_count++] = marty_delivery_keep(delivery);
    }
    while (service.hold) {
        pthread_cond_wait(&service.changed, &service.lock);
    }
    service.last = marty_delivery_check(delivery);
    marty_err answer = (marty_err)atomic_load(&service.answer);
    pthread_mutex_unlock(&service.lock);
    atomic_fetch_sub(&service.running, 1);
    return answer;
}

CHECK__UNUSED static void go_on(void)
{
    pthread_mutex_lock(&service.lock);
    service.hold = false;
    pthread_cond_broadcast(&service.changed);
    pthread_mutex_unlock(&service.lock);
}

/** As if nothing had come, been asked or been run yet. */
CHECK__UNUSED static void clear_all(bool hold)
{
    pthread_mutex_lock(&script.lock);
    script.count = 0;
    script.granted = script.asked = 0;
    script.lose_extends = script.answers_later = false;
    pthread_mutex_unlock(&script.lock);
    service.hold = hold;
    service.keep = false;
    service.answer = MARTY_OK;
    service.kept_count = 0;
    atomic_store(&service.runs, 0);
}

CHECK__UNUSED static marty_bus *begin(bool hold, const marty_subscribe_options *options)
{
    marty_bus *bus = NULL;
    marty_error why = {0};
    clear_all(hold);
    REQUIRE(
        !marty_bus_open(&bus, "script:", &(marty_bus_options){.service = "s", .workers = 4}, &why));
    marty_err err =
        options && options->order == MARTY_ORDER_KEY
            ? marty_process_stream(bus, "orders", handle, NULL, options, NULL, &why)
            : marty_subscribe_to_events(bus, "order.*", handle, NULL, options, NULL, &why);
    REQUIRE(!err && !marty_bus_start(bus, &why));
    uint32_t credit = options && options->credit ? options->credit : 64;
    CHECK_SOON(granted() == credit, 2000); /* after the start */
    pthread_mutex_lock(&script.lock);
    script.granted = 0;
    pthread_mutex_unlock(&script.lock);
    return bus;
}

CHECK__UNUSED static void end(marty_bus *bus)
{
    marty_error why = {0};
    go_on();
    for (size_t i = 0; i < service.kept_count; i++) {
        marty_delivery_release(service.kept[i]);
    }
    CHECK_INT(marty_bus_close(bus, 0, &why), MARTY_OK);
    marty_bus_free(bus);
}

CHECK__UNUSED static void revoke(uint32_t shard, int64_t deadline_ns)
{
    script.sink->revoked(script.sink, script.number, &shard, 1, deadline_ns);
}
#endif
