/* SPDX-License-Identifier: Apache-2.0
 * Core against a backend that the test plays by hand: shards that are revoked at a deadline, leases
 * that are lost one by one, what is told of attempts. So each moment can be chosen, which no broker
 * allows. Sink calls are made on the test's thread; ops are noted, and settlings answered at once
 * unless the test says otherwise. */
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
    uint64_t number;
    uint32_t granted; /* since the bus began */
    noted settles[NOTES];
    size_t count;
    bool lose_extends;
} script = {.lock = PTHREAD_MUTEX_INITIALIZER};

static const marty_capabilities script_claims = {
    .can = {[MARTY_KIND_TOPIC] = MARTY_CAN_GROUPS | MARTY_CAN_CONFIRM,
            [MARTY_KIND_STREAM] = MARTY_CAN_GROUPS | MARTY_CAN_CONFIRM | MARTY_CAN_ORDER_BY_KEY},
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
    (void)why;
    port->sink->state(port->sink, MARTY_STATE_UP, &script_claims, MARTY_OK, "up");
    return MARTY_OK;
}

static marty_err op_publish(marty_port *port, const marty_outgoing batch[], size_t count,
                            size_t *ret_taken, marty_error *why)
{
    (void)why;
    for (size_t i = 0; i < count; i++) {
        marty_published one = {.token = batch[i].token, .level = MARTY_LEVEL_MEMORY};
        port->sink->published(port->sink, &one, 1);
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
    pthread_mutex_unlock(&script.lock);
    port->sink->subscribed(port->sink, number, MARTY_OK, "");
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
        pthread_mutex_unlock(&script.lock);
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

static const marty_backend script_backend = {.abi = MARTY_BACKEND_ABI,
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
static int64_t in_ms(int64_t ms)
{
    return script.sink->env->monotonic_ns(script.sink->env->user) + ms * 1000000;
}

static void deliver(uint64_t tag, uint32_t shard, const char *key, int64_t lease_until_ns,
                    const marty_header *header)
{
    char id[32];
    marty_message *message = NULL;
    marty_error why = {0};
    (void)snprintf(id, sizeof id, "m%llu", (unsigned long long)tag);
    marty_message template_ = {.type = "order.made",
                               .source = "test",
                               .id = id,
                               .key = key,
                               .data = marty_text("{}"),
                               .headers = header,
                               .header_count = header ? 1 : 0};
    REQUIRE(!marty_message_new(&message, &template_, NULL, &why));
    marty_incoming in = {.subscription = script.number,
                         .tag = tag,
                         .message = message,
                         .attempt = 1,
                         .shard = shard,
                         .lease_until_ns = lease_until_ns};
    script.sink->delivered(script.sink, &in, 1);
}

/** How often that tag came back with that verb; 0 = any verb, tag 0 = any tag. */
static size_t settled(uint64_t tag, int verb)
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

static noted last_of(uint64_t tag)
{
    noted found = {0};
    pthread_mutex_lock(&script.lock);
    for (size_t i = 0; i < script.count; i++) {
        found = script.settles[i].tag == tag ? script.settles[i] : found;
    }
    pthread_mutex_unlock(&script.lock);
    return found;
}

static uint32_t granted(void)
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
    bool hold;        /* handlers wait until it is over */
    bool keep;        /* handlers keep what they get */
    marty_err answer; /* what they return */
    atomic_int running;
    atomic_int runs; /* handlers that began, ever */
    marty_err last;  /* what checking the last one said when it was over */
    marty_delivery *kept[64];
    size_t kept_count;
} service = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static marty_err handle(void *user, marty_delivery *delivery)
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
    marty_err answer = service.answer;
    pthread_mutex_unlock(&service.lock);
    atomic_fetch_sub(&service.running, 1);
    return answer;
}

static void go_on(void)
{
    pthread_mutex_lock(&service.lock);
    service.hold = false;
    pthread_cond_broadcast(&service.changed);
    pthread_mutex_unlock(&service.lock);
}

static marty_bus *begin(bool hold, const marty_subscribe_options *options)
{
    marty_bus *bus = NULL;
    marty_error why = {0};
    pthread_mutex_lock(&script.lock);
    script.count = 0;
    script.granted = 0;
    script.lose_extends = false;
    pthread_mutex_unlock(&script.lock);
    service.hold = hold;
    service.keep = false;
    service.answer = MARTY_OK;
    service.kept_count = 0;
    atomic_store(&service.runs, 0);
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

static void end(marty_bus *bus)
{
    marty_error why = {0};
    go_on();
    for (size_t i = 0; i < service.kept_count; i++) {
        marty_delivery_release(service.kept[i]);
    }
    CHECK_INT(marty_bus_close(bus, 0, &why), MARTY_OK);
    marty_bus_free(bus);
}

static void revoke(uint32_t shard, int64_t deadline_ns)
{
    script.sink->revoked(script.sink, script.number, &shard, 1, deadline_ns);
}

/* ---- shards */
static void what_waits_goes_back_at_once_and_what_runs_may_finish(void)
{
    marty_bus *bus = begin(true, NULL);
    deliver(1, 7, NULL, INT64_MAX, NULL);
    deliver(2, 7, NULL, INT64_MAX, NULL);
    deliver(3, 8, NULL, INT64_MAX, NULL);
    CHECK_SOON(atomic_load(&service.running) == 1, 2000);
    revoke(7, in_ms(60000));
    CHECK_SOON(settled(2, MARTY_SETTLE_GIVE_BACK) == 1, 2000);
    CHECK_INT(settled(3, 0), 0); /* of another shard */
    CHECK_INT(settled(1, 0), 0);
    go_on();
    CHECK_SOON(settled(1, MARTY_SETTLE_ACK) == 1, 2000);
    CHECK_INT(service.last, MARTY_OK);
    CHECK_SOON(settled(3, MARTY_SETTLE_ACK) == 1, 2000);
    end(bus);
    CHECK_INT(settled(2, 0), 1);
}

static void what_runs_past_the_deadline_is_lost_and_its_credit_comes_back(void)
{
    marty_bus *bus = begin(true, &(marty_subscribe_options){.credit = 1});
    deliver(1, 7, NULL, INT64_MAX, NULL);
    CHECK_SOON(atomic_load(&service.running) == 1, 2000);
    CHECK_INT(granted(), 0);
    revoke(7, in_ms(30));
    CHECK_SOON(granted() == 1, 2000); /* while its handler still runs */
    CHECK_INT(atomic_load(&service.running), 1);
    go_on();
    CHECK_SOON(atomic_load(&service.running) == 0, 2000);
    CHECK_INT(service.last, MARTY_E_LOST);
    deliver(2, 7, NULL, INT64_MAX, NULL); /* the shard is ours again */
    CHECK_SOON(settled(2, MARTY_SETTLE_ACK) == 1, 2000);
    CHECK_SOON(granted() == 2, 2000);
    end(bus);
    CHECK_INT(settled(1, 0), 0); /* LOST is never sent */
    CHECK_INT(granted(), 2);
}

static void what_is_kept_is_lost_too(void)
{
    marty_bus *bus = begin(false, &(marty_subscribe_options){.credit = 4});
    service.keep = true;
    deliver(1, 7, NULL, INT64_MAX, NULL);
    CHECK_SOON(service.kept_count == 1 && atomic_load(&service.running) == 0, 2000);
    CHECK_INT(marty_delivery_check(service.kept[0]), MARTY_OK);
    revoke(7, in_ms(30));
    CHECK_SOON(granted() >= 1, 2000);
    CHECK_INT(marty_delivery_check(service.kept[0]), MARTY_E_LOST);
    CHECK_INT(marty_ack(service.kept[0]), MARTY_E_LOST);
    CHECK_INT(granted(), 1);
    end(bus);
    CHECK_INT(settled(1, 0), 0);
}

static void a_shard_that_is_gone_already_takes_all_with_it(void)
{
    marty_bus *bus = begin(true, &(marty_subscribe_options){.credit = 3});
    deliver(1, 7, NULL, INT64_MAX, NULL);
    deliver(2, 7, NULL, INT64_MAX, NULL);
    deliver(3, 7, NULL, INT64_MAX, NULL);
    CHECK_SOON(atomic_load(&service.running) == 1, 2000);
    revoke(7, in_ms(-1));
    CHECK_SOON(granted() == 3, 2000);
    go_on();
    end(bus);
    CHECK_INT(settled(0, 0), 0);
    CHECK_INT(atomic_load(&service.runs), 1);
}

/* A failed one of an ordered subscription is held in memory; not past its shard. */
static void what_fails_meanwhile_is_not_held(void)
{
    marty_bus *bus = begin(true, &(marty_subscribe_options){.order = MARTY_ORDER_KEY});
    service.answer = MARTY_E_FAILED;
    deliver(1, 7, "k", INT64_MAX, NULL);
    CHECK_SOON(atomic_load(&service.running) == 1, 2000);
    revoke(7, in_ms(60000));
    go_on();
    CHECK_SOON(settled(1, MARTY_SETTLE_RETRY) == 1, 2000);
    CHECK_INT(last_of(1).attempt, 1);
    end(bus);
    CHECK_INT(settled(1, 0), 1);
}

/* What was held goes back with the attempts that it has had, so that its next owner goes on. */
static void what_is_held_goes_back_with_its_attempts(void)
{
    marty_header carried = {"martyattempts", marty_text("4"), MARTY_ATTRIBUTE};
    marty_bus *bus = begin(
        false,
        &(marty_subscribe_options){
            .order = MARTY_ORDER_KEY,
            .retry = {.attempts = 20, .first_ms = 60000, .max_ms = 60000, .no_jitter = true}});
    service.answer = MARTY_E_FAILED;
    deliver(1, 7, "k", INT64_MAX, &carried);
    CHECK_SOON(atomic_load(&service.runs) == 1 && atomic_load(&service.running) == 0, 2000);
    deliver(2, 7, "k", INT64_MAX, NULL); /* waits behind it */
    revoke(7, in_ms(60000));
    CHECK_SOON(settled(1, MARTY_SETTLE_GIVE_BACK) + settled(1, MARTY_SETTLE_RETRY) == 1, 2000);
    CHECK_SOON(settled(2, MARTY_SETTLE_GIVE_BACK) == 1, 2000);
    noted back = last_of(1);
    CHECK_INT(back.attempt + (back.verb == MARTY_SETTLE_RETRY ? 1 : 0), 2); /* the broker's count */
    CHECK_INT(last_of(2).attempt, 1);
    end(bus);
}

static void a_key_goes_on_when_its_shard_comes_back(void)
{
    marty_bus *bus = begin(true, &(marty_subscribe_options){.order = MARTY_ORDER_KEY});
    deliver(1, 7, "k", INT64_MAX, NULL);
    deliver(2, 7, "k", INT64_MAX, NULL);
    CHECK_SOON(atomic_load(&service.running) == 1, 2000);
    revoke(7, in_ms(-1));
    deliver(11, 7, "k", INT64_MAX, NULL); /* the same ones, by new tags */
    deliver(12, 7, "k", INT64_MAX, NULL);
    CHECK_INT(atomic_load(&service.running), 1); /* one of a key at once, even so */
    go_on();
    CHECK_SOON(settled(11, MARTY_SETTLE_ACK) == 1 && settled(12, MARTY_SETTLE_ACK) == 1, 2000);
    end(bus);
    CHECK_INT(settled(1, 0) + settled(2, 0), 0);
    CHECK_INT(atomic_load(&service.runs), 3);
}

/* ---- leases */
static void leases_are_renewed_together(void)
{
    marty_bus *bus = begin(true, NULL);
    int64_t until = in_ms(300);
    for (uint64_t tag = 1; tag <= 40; tag++) {
        deliver(tag, 0, NULL, until, NULL);
    }
    CHECK_SOON(settled(0, MARTY_SETTLE_EXTEND) >= 40, 5000);
    CHECK(last_of(40).together > 1);
    end(bus);
}

static void a_lease_that_is_lost_ends_alone_and_its_key_goes_on(void)
{
    marty_bus *bus = begin(true, &(marty_subscribe_options){.order = MARTY_ORDER_KEY, .credit = 4});
    int64_t until = in_ms(300);
    script.lose_extends = true;
    deliver(1, 0, "k", until, NULL);
    deliver(2, 0, "k", until, NULL);
    deliver(3, 0, "k", until, NULL);
    CHECK_SOON(granted() == 3, 5000);
    CHECK_INT(atomic_load(&service.running), 1);
    deliver(11, 0, "k", INT64_MAX, NULL);
    deliver(12, 0, "k", INT64_MAX, NULL);
    go_on();
    CHECK_SOON(settled(11, MARTY_SETTLE_ACK) == 1 && settled(12, MARTY_SETTLE_ACK) == 1, 2000);
    CHECK_SOON(granted() == 5, 2000);
    end(bus);
    CHECK_INT(settled(1, MARTY_SETTLE_ACK) + settled(2, MARTY_SETTLE_ACK), 0);
    CHECK_INT(atomic_load(&service.runs), 3); /* 1, 11, 12 */
}

int main(void)
{
    marty_error why = {0};
    REQUIRE(!marty_backend_register(&script_backend, &why));
    what_waits_goes_back_at_once_and_what_runs_may_finish();
    what_runs_past_the_deadline_is_lost_and_its_credit_comes_back();
    what_is_kept_is_lost_too();
    a_shard_that_is_gone_already_takes_all_with_it();
    what_fails_meanwhile_is_not_held();
    what_is_held_goes_back_with_its_attempts();
    a_key_goes_on_when_its_shard_comes_back();
    leases_are_renewed_together();
    a_lease_that_is_lost_ends_alone_and_its_key_goes_on();
    return check_result();
}
