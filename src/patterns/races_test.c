/* SPDX-License-Identifier: Apache-2.0
 * Everything at once: threads publish, ask, settle what others keep, subscribe, pause, change
 * lanes, look at reports, and end it all at any moment, while the bus is closed under them. Nothing
 * hangs, every answer that was promised comes once, every subscription ends. What it proves most is
 * seen by the sanitizers: no race, and no memory left. */
#include <marty/marty.h>

#include "tests/check.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

static const char *const text = "service: shop\n"
                                "backends: {main: 'memory:races', log: 'memory:raceslog'}\n"
                                "routes:\n"
                                "  - {events: 'audit.>', to: log}\n"
                                "  - {events: '>', to: main}\n"
                                "  - {streams: '>', to: log, order: key}\n"
                                "  - {commands: '*', to: main}\n"
                                "  - {queries: '*', to: main}\n"
                                "retry: {attempts: 4, first: 1ms, max: 2ms}\n";

enum { ROUNDS = 20, SLOTS = 64 };

static struct {
    marty_bus *bus;
    atomic_bool over;
    atomic_int promised, answered; /* calls with done */
    atomic_int lent, freed;        /* user_free of subscriptions that were made */
    _Atomic(marty_delivery *) kept[SLOTS];
    char key; /* of those that are cancelled */
} it;

static uint32_t chance(uint32_t *seed, uint32_t below)
{
    *seed = *seed * 1664525 + 1013904223;
    return (*seed >> 8) % below;
}

/* A seed for each thread, so that a round goes about the same way again. */
static uint32_t new_seed(void)
{
    static atomic_uint seeds = 20261126;
    return atomic_fetch_add(&seeds, 7919);
}

/* Whatever comes of it: the bus may be closed by now. */
static void any(marty_err err)
{
    CHECK(err >= MARTY_OK && err != MARTY_E_INTERNAL);
}

/* ---- handlers and what they keep */
static void end_one(marty_delivery *delivery, uint32_t *seed)
{
    switch (chance(seed, 6)) {
    case 0:
        any(marty_settle(delivery, MARTY_SETTLE_ACK, 0, NULL));
        break;
    case 1:
        any(marty_settle(delivery, MARTY_SETTLE_RETRY, chance(seed, 3), "by a race"));
        break;
    case 2:
        any(marty_settle(delivery, MARTY_SETTLE_GIVE_BACK, 0, NULL));
        break;
    case 3:
        any(marty_settle(delivery, MARTY_SETTLE_REJECT, 0, "by a race"));
        break;
    case 4:
        any(marty_settle(delivery, MARTY_SETTLE_EXTEND, 1000, NULL));
        break;
    default:
        any(marty_delivery_check(delivery));
        break;
    }
    marty_delivery_release(delivery);
}

/* Into a place for the settlers; who was there before is ended here. Kept twice at times: then two
 * threads have it. */
static void lend(marty_delivery *delivery, uint32_t *seed)
{
    for (uint32_t times = 1 + chance(seed, 2); times > 0; times--) {
        marty_delivery *kept = marty_delivery_keep(delivery);
        marty_delivery *before = atomic_exchange(&it.kept[chance(seed, SLOTS)], kept);
        if (before) {
            end_one(before, seed);
        }
    }
}

static marty_err handle(void *user, marty_delivery *first)
{
    static atomic_uint calls;
    uint32_t seed = atomic_fetch_add(&calls, 2654435761u);
    (void)user;
    for (marty_delivery *one = first; one; one = one->next) {
        if (one->pattern == MARTY_QUERY) {
            any(marty_reply(one, NULL, NULL));
        } else if (chance(&seed, 3) == 0) {
            lend(one, &seed);
        }
    }
    static const marty_err ends[] = {MARTY_OK, MARTY_OK, MARTY_E_FAILED, MARTY_E_UNAVAILABLE};
    return ends[chance(&seed, sizeof ends / sizeof ends[0])];
}

static void *settle(void *unused)
{
    uint32_t seed = new_seed();
    while (!atomic_load(&it.over)) {
        marty_delivery *delivery = atomic_exchange(&it.kept[chance(&seed, SLOTS)], NULL);
        if (delivery) {
            end_one(delivery, &seed);
        } else {
            (void)sched_yield();
        }
    }
    return unused;
}

/* ---- publishing and asking */
static void done(void *user, const marty_outcome *outcomes, size_t count)
{
    (void)user, (void)outcomes, (void)count;
    (void)atomic_fetch_add(&it.answered, 1);
}

static void told(void *user, const marty_message *reply, const marty_error *error)
{
    (void)user;
    CHECK(!reply != !error);
    (void)atomic_fetch_add(&it.answered, 1);
}

static void promise(marty_err err)
{
    if (!err) {
        (void)atomic_fetch_add(&it.promised, 1);
    }
}

static void publish_some(uint32_t *seed)
{
    static const char *const keys[] = {NULL, "a", "b"};
    const char *key = keys[chance(seed, 3)];
    marty_message one = {.type = "order.made", .key = key}, other = {.type = "audit.done"};
    const marty_message *both[] = {&one, &other}, *many[] = {&one, &one, &one, &one};
    marty_publish_options options = {.timeout_ms = 200,
                                     .done = chance(seed, 2) ? done : NULL,
                                     .at_once = chance(seed, 2),
                                     .cancel_key = chance(seed, 2) ? &it.key : NULL};
    marty_err err = MARTY_OK;
    switch (chance(seed, 3)) {
    case 0:
        err = marty_publish(it.bus, MARTY_EVENT, NULL, both, 2, &options, NULL);
        break;
    case 1:
        err = marty_publish(it.bus, MARTY_STREAM, "clicks", many, 4, &options, NULL);
        break;
    default:
        err = marty_publish(it.bus, MARTY_COMMAND, "shop", many, 1, &options, NULL);
        break;
    }
    if (options.done) {
        promise(err);
    }
}

static void *publish(void *unused)
{
    uint32_t seed = new_seed();
    while (!atomic_load(&it.over)) {
        marty_query_options asks = {.timeout_ms = 1 + (int32_t)chance(&seed, 50),
                                    .cancel_key = &it.key,
                                    .done = chance(&seed, 2) ? told : NULL};
        marty_err err;
        switch (chance(&seed, 8)) {
        case 0:
            err = marty_query(it.bus, "shop", "price", marty_text("1"), &asks, NULL, NULL);
            promise(asks.done ? err : MARTY_E_STATE);
            break;
        case 1:
            (void)marty_bus_cancel(it.bus, &it.key);
            break;
        default:
            publish_some(&seed);
            break;
        }
    }
    return unused;
}

/* ---- subscribing */
static void note_free(void *user)
{
    (void)user;
    (void)atomic_fetch_add(&it.freed, 1);
}

static marty_subscription *subscribe(uint32_t *seed)
{
    static const char *const groups[] = {"one", "two"};
    marty_subscription *made = NULL;
    marty_subscribe_options options = {.group = groups[chance(seed, 2)],
                                       .concurrency = 1 + chance(seed, 3),
                                       .batch_max = 1 + chance(seed, 4),
                                       .timeout_ms = chance(seed, 2) ? MARTY_NO_WAIT : 500,
                                       .user_free = note_free};
    marty_handler handler = chance(seed, 4) ? handle : NULL;
    marty_err err;
    switch (chance(seed, 5)) {
    case 0:
        err = marty_subscribe(it.bus, MARTY_STREAM, "clicks", handler, NULL, &options, &made, NULL);
        break;
    case 1:
        err = marty_subscribe(it.bus, MARTY_COMMAND, "order.made", handler, NULL, &options, &made,
                              NULL);
        break;
    case 2:
        err = marty_subscribe(it.bus, MARTY_QUERY, "price", handle, NULL, &options, &made, NULL);
        break;
    case 3:
        err = marty_subscribe(it.bus, MARTY_EVENT, "audit.*", handler, NULL, &options, &made, NULL);
        break;
    default:
        err = marty_subscribe(it.bus, MARTY_EVENT, "order.*", handler, NULL, &options, &made, NULL);
        break;
    }
    if (!err) {
        (void)atomic_fetch_add(&it.lent, 1);
    }
    return made;
}

static void control(marty_subscription *subscription, uint32_t *seed)
{
    marty_start to = {.from = MARTY_FROM_EARLIEST};
    marty_delivery *first = NULL;
    marty_stats stats;
    switch (chance(seed, 6)) {
    case 0:
        any(marty_subscription_pause(subscription, chance(seed, 2), NULL));
        break;
    case 1:
        any(marty_subscription_concurrency(subscription, 1 + chance(seed, 4), NULL));
        break;
    case 2:
        any(marty_subscription_seek(subscription, &to, 1, NULL));
        break;
    case 3:
        marty_subscription_stats(subscription, &stats);
        break;
    default:
        if (!marty_receive(subscription, 1, &first, NULL)) {
            marty_delivery_release_all(first);
        }
        break;
    }
}

static void *control_some(void *unused)
{
    uint32_t seed = new_seed();
    while (!atomic_load(&it.over)) {
        marty_subscription *subscription = subscribe(&seed);
        for (uint32_t left = chance(&seed, 20); subscription && left > 0; left--) {
            control(subscription, &seed);
        }
        if (chance(&seed, 2)) {
            marty_subscription_stop(subscription);
        }
        any(marty_unsubscribe(subscription, chance(&seed, 2) ? MARTY_NO_WAIT : 500, NULL));
    }
    return unused;
}

/* ---- looking */
static void heed(void *user, const marty_state_event *event)
{
    (void)user;
    CHECK(event->text != NULL);
}

static marty_dead_verb leave(void *user, const marty_dead_letter *letter, marty_message *instead)
{
    (void)user, (void)letter, (void)instead;
    return MARTY_DEAD_DISCARD;
}

static void *look(void *unused)
{
    uint32_t seed = new_seed();
    while (!atomic_load(&it.over)) {
        marty_message *report = NULL;
        marty_report what = (marty_report)(MARTY_REPORT_HEALTH + chance(&seed, 6));
        any(marty_bus_report(it.bus, what, &report, NULL));
        marty_message_unref(report);
        any(marty_dead_letters(it.bus, "*", NULL, leave, NULL, NULL));
        any(marty_bus_flush(it.bus, 1, NULL));
    }
    return unused;
}

static void open_bus(void)
{
    marty_error why = {0};
    marty_bus_options options = {.config_text = text, .workers = 2, .on_state = heed};
    CHECK_INT(marty_bus_open(&it.bus, NULL, &options, &why), MARTY_OK);
    REQUIRE(it.bus);
    CHECK_INT(marty_bus_start(it.bus, &why), MARTY_OK);
}

static void *stop_soon(void *unused)
{
    uint32_t seed = new_seed();
    for (uint32_t left = chance(&seed, 300); left > 0; left--) {
        (void)sched_yield();
    }
    marty_bus_stop(it.bus);
    while (!atomic_load(&it.over)) { /* also one that is closed */
        marty_bus_stop(it.bus);
        (void)sched_yield();
    }
    return unused;
}

static void let_go_of_all(void)
{
    for (size_t i = 0; i < SLOTS; i++) {
        marty_delivery_release(atomic_exchange(&it.kept[i], NULL));
    }
}

/* For that many answers of this thread's calls: what the others do meanwhile is the test. */
static void go_on_for(uint32_t calls)
{
    for (; calls > 0; calls--) {
        any(marty_publish_event(it.bus, "order.made", marty_text("1"),
                                &(marty_publish_options){.timeout_ms = 500}, NULL));
    }
}

static void a_round(uint32_t *seed)
{
    static void *(*const works[])(void *) = {publish, publish, control_some, control_some,
                                             settle,  settle,  look,         stop_soon};
    enum { THREADS = sizeof works / sizeof works[0] };
    pthread_t threads[THREADS];
    bool stops = chance(seed, 2);
    atomic_store(&it.over, false);
    open_bus();
    for (size_t i = 0; i < THREADS - (stops ? 0 : 1); i++) {
        REQUIRE(pthread_create(&threads[i], NULL, works[i], NULL) == 0);
    }
    go_on_for(chance(seed, 200));
    while (marty_bus_close(it.bus, 1 + (int32_t)chance(seed, 100), NULL) == MARTY_E_TIMEOUT) {
    }
    go_on_for(100);
    atomic_store(&it.over, true);
    for (size_t i = 0; i < THREADS - (stops ? 0 : 1); i++) {
        REQUIRE(pthread_join(threads[i], NULL) == 0);
    }
    let_go_of_all();
    marty_bus_free(it.bus);
    CHECK_INT(atomic_load(&it.answered), atomic_load(&it.promised));
    CHECK_INT(atomic_load(&it.freed), atomic_load(&it.lent));
}

int main(void)
{
    uint32_t seed = new_seed();
    for (int round = 0; round < ROUNDS; round++) {
        a_round(&seed);
    }
    return check_result();
}
