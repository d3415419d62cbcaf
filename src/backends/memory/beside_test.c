/* SPDX-License-Identifier: Apache-2.0
 * Settling on several threads beside the ops of memory:. An answer that a key is held comes once
 * core has what it was being told, not once it is told nothing more; and whole buses with many
 * lanes, which fail, reject, give back and close in the midst of it: each message is done with
 * once, and those of a key in their order. */
#include <marty/marty.h>

#include "backend/registry.h"
#include "base/clock.h"
#include "base/thread.h"

#include "check.h"

enum { LIMIT_MS = 20000, MESSAGES = 3000, KEYS = 16, LANES = 8, SERVICES = 3 };

/* ---- one port, whose core is here: it is told on a thread that the test holds up */
static struct {
    marty_sink sink;
    marty_port *port;
    marty__mutex lock;
    marty__cond changed;
    unsigned begun, let; /* batches that core is told, and may have */
    uint64_t tags[8];
    atomic_uint told, answered;
} one;

static void on_state(const marty_sink *sink, marty_state state, const marty_capabilities *granted,
                     marty_err reason, const char *text)
{
    (void)sink, (void)state, (void)granted, (void)reason, (void)text;
}
static void on_published(const marty_sink *sink, const marty_published results[], size_t count)
{
    (void)sink;
    for (size_t i = 0; i < count; i++) {
        CHECK_INT(results[i].err, MARTY_OK);
    }
}
static void on_delivered(const marty_sink *sink, const marty_incoming batch[], size_t count)
{
    (void)sink;
    marty__lock(&one.lock);
    for (size_t i = 0; i < count; i++) {
        unsigned told = atomic_load(&one.told);
        REQUIRE(told < 8);
        one.tags[told] = batch[i].tag;
        marty_message_unref(batch[i].message);
        atomic_store(&one.told, told + 1);
    }
    unsigned turn = ++one.begun;
    while (one.let < turn) {
        (void)marty__wait(&one.changed, &one.lock, INT64_MAX);
    }
    marty__unlock(&one.lock);
}
static void on_settled(const marty_sink *sink, uint64_t subscription, marty_verb verb,
                       const uint64_t tags[], size_t count, marty_err result,
                       int64_t lease_until_ns)
{
    (void)sink, (void)subscription, (void)verb, (void)tags, (void)lease_until_ns;
    CHECK_INT(result, MARTY_OK);
    atomic_fetch_add(&one.answered, (unsigned)count);
}
static void on_subscribed(const marty_sink *sink, uint64_t subscription, marty_err reason,
                          const char *text)
{
    (void)sink, (void)subscription, (void)reason, (void)text;
}
static void on_timer(const marty_sink *sink, int64_t at_ns, void (*call)(void *user), void *user)
{
    (void)sink, (void)at_ns, (void)call, (void)user;
}
static void on_log(const marty_sink *sink, int level, const char *text)
{
    (void)sink, (void)level, (void)text;
}
static bool on_later(const marty_sink *sink, void (*call)(void *user), void *user)
{
    (void)sink, (void)call, (void)user;
    return true;
}

static void let(unsigned batches)
{
    marty__lock(&one.lock);
    one.let = batches;
    marty__wake_all(&one.changed);
    marty__unlock(&one.lock);
}

static void say(const char *id, const char *key)
{
    marty_message *message = NULL;
    marty_error why = {0};
    size_t taken = 0;
    marty_message template_ = {.type = "t", .id = id, .key = key};
    REQUIRE(!marty_message_new(&message, &template_, NULL, &why));
    marty_outgoing out = {
        .token = 1,
        .channel = {.kind = MARTY_KIND_QUEUE, .order = MARTY_ORDER_KEY, .name = "work"},
        .message = message};
    CHECK_INT(marty__memory_backend.publish(one.port, &out, 1, &taken, &why), MARTY_OK);
    marty_message_unref(message);
}

/* Who grants tells what there is now. */
static void *grant(void *user)
{
    (void)user;
    marty__memory_backend.grant(one.port, 1, 8);
    return NULL;
}

static void *hold_first(void *user)
{
    marty_settling how = {
        .subscription = 1, .tag = one.tags[0], .verb = MARTY_SETTLE_GIVE_BACK, .delay_ms = 600000};
    (void)user;
    marty__memory_backend.settle(one.port, &how, 1);
    return NULL;
}

/* Whether so many are with core, as the broker sees it. */
static bool unsettled_are(unsigned count)
{
    char want_text[32];
    marty_error why = {0};
    marty_message *answer = NULL;
    marty_want want = {.channel = {.kind = MARTY_KIND_QUEUE, .name = "work", .group = "g"}};
    (void)snprintf(want_text, sizeof want_text, "\"unsettled\":%u,", count);
    REQUIRE(!marty__memory_backend.topology(one.port, "inspect", &want, INT64_MAX, &answer, &why));
    char text[1024];
    (void)snprintf(text, sizeof text, "%.*s", MARTY_BYTES_ARGS(answer->data));
    marty_message_unref(answer);
    return strstr(text, want_text) != NULL;
}

static void open_one(void)
{
    marty_error why = {0};
    marty_want want = {
        .channel = {
            .kind = MARTY_KIND_QUEUE, .order = MARTY_ORDER_KEY, .name = "work", .group = "g"}};
    REQUIRE(marty__mutex_init(&one.lock) && marty__cond_init(&one.changed));
    one.sink = (marty_sink){.abi = MARTY_BACKEND_ABI,
                            .size = sizeof one.sink,
                            .env = marty__env_real(),
                            .state = on_state,
                            .published = on_published,
                            .delivered = on_delivered,
                            .settled = on_settled,
                            .subscribed = on_subscribed,
                            .timer = on_timer,
                            .log = on_log,
                            .later = on_later};
    REQUIRE(!marty__memory_backend.open(&one.port, "memory:", &one.sink, &why));
    REQUIRE(!marty__memory_backend.connect(one.port, &why));
    REQUIRE(!marty__memory_backend.subscribe(one.port, 1, &want, &why));
}

/* Whoever tells never rests while there is more: the answer must not wait for that. */
static void a_held_key_is_answered_after_the_batch_being_told(void)
{
    pthread_t teller, settler;
    open_one();
    say("a", "k");
    REQUIRE(!pthread_create(&teller, NULL, grant, NULL));
    CHECK_SOON(atomic_load(&one.told) == 1, LIMIT_MS);
    say("b", "other"); /* the next batch of the same thread */
    REQUIRE(unsettled_are(2) && !pthread_create(&settler, NULL, hold_first, NULL));
    CHECK_SOON(unsettled_are(1), LIMIT_MS);
    CHECK_INT(atomic_load(&one.answered), 0);
    let(1);
    CHECK_SOON(atomic_load(&one.answered) == 1, LIMIT_MS);
    let(UINT32_MAX);
    REQUIRE(!pthread_join(settler, NULL));
    REQUIRE(!pthread_join(teller, NULL));
    marty__memory_backend.close(one.port, INT64_MAX);
    marty__memory_backend.free(one.port);
    marty__cond_free(&one.changed);
    marty__mutex_free(&one.lock);
}

/* ---- whole buses */
static struct {
    bool by_key;
    atomic_uint done[MESSAGES], all; /* how often each was acked or rejected */
    atomic_uint next[KEYS];          /* of a key: the place of the message that comes next */
    atomic_uint seed;
} world;

static unsigned key_of(unsigned number)
{
    return number % KEYS;
}

static unsigned any(void)
{
    unsigned value = atomic_fetch_add(&world.seed, 0x9e3779b9u);
    value ^= value >> 16;
    value *= 0x85ebca6bu;
    return value ^ value >> 13;
}

static void done_with(unsigned number)
{
    CHECK_INT(atomic_fetch_add(&world.done[number], 1), 0);
    if (world.by_key) {
        CHECK_INT(atomic_fetch_add(&world.next[key_of(number)], 1), number / KEYS);
    }
    atomic_fetch_add(&world.all, 1);
}

static marty_err work(void *user, marty_delivery *delivery)
{
    unsigned number = 0;
    (void)user;
    CHECK_INT(sscanf(delivery->message->id, "m%u", &number), 1);
    REQUIRE(number < MESSAGES);
    switch (any() % 16) {
    case 0:
    case 1:
        return MARTY_E_FAILED;
    case 2:
        return MARTY_E_UNAVAILABLE;
    case 3:
        CHECK_INT(marty_give_back(delivery, 1 + any() % 3, "later"), MARTY_OK);
        return MARTY_OK;
    case 4:
        CHECK_INT(marty_retry(delivery, 1 + any() % 3, "again"), MARTY_OK);
        return MARTY_OK;
    case 5:
        done_with(number);
        CHECK_INT(marty_reject(delivery, "never"), MARTY_OK);
        return MARTY_OK;
    default:
        done_with(number);
        return MARTY_OK;
    }
}

static marty_bus *open_bus(bool works)
{
    marty_bus *bus = NULL;
    marty_error why = {0};
    marty_bus_options options = {.service = "s", .workers = 3};
    marty_subscribe_options how = {.concurrency = LANES,
                                   .order = world.by_key ? MARTY_ORDER_KEY : MARTY_ORDER_NONE,
                                   .retry = {.attempts = UINT32_MAX, .first_ms = 1, .max_ms = 3}};
    REQUIRE(!marty_bus_open(&bus, world.by_key ? "memory:keys" : "memory:lanes", &options, &why));
    if (works) {
        marty_err err = world.by_key
                            ? marty_process_stream(bus, "x", work, NULL, &how, NULL, &why)
                            : marty_subscribe_to_events(bus, "x.*", work, NULL, &how, NULL, &why);
        REQUIRE(!err && !marty_bus_start(bus, &why));
    }
    return bus;
}

static void close_bus(marty_bus *bus)
{
    marty_error why = {0};
    CHECK_INT(marty_bus_close(bus, LIMIT_MS, &why), MARTY_OK);
    marty_bus_free(bus);
}

static void publish_all(marty_bus *bus)
{
    enum { TOGETHER = 50 };
    marty_error why = {0};
    for (unsigned at = 0; at < MESSAGES; at += TOGETHER) {
        marty_message templates[TOGETHER];
        const marty_message *messages[TOGETHER];
        char ids[TOGETHER][16], keys[TOGETHER][16];
        for (unsigned i = 0; i < TOGETHER; i++) {
            (void)snprintf(ids[i], sizeof ids[i], "m%u", at + i);
            (void)snprintf(keys[i], sizeof keys[i], "k%u", key_of(at + i));
            templates[i] = (marty_message){.type = "x.y", .id = ids[i], .data = marty_text("{}")};
            templates[i].key = world.by_key ? keys[i] : NULL;
            messages[i] = &templates[i];
        }
        marty_pattern pattern = world.by_key ? MARTY_STREAM : MARTY_EVENT;
        const char *to = world.by_key ? "x" : NULL;
        REQUIRE(!marty_publish(bus, pattern, to, messages, TOGETHER, NULL, &why));
    }
}

static void *publish(void *user)
{
    publish_all(user);
    return NULL;
}

static bool has_come_to(unsigned count)
{
    return atomic_load(&world.all) >= (count < MESSAGES ? count : MESSAGES);
}

static void buses_come_and_go(bool by_key)
{
    pthread_t publisher;
    memset(&world, 0, sizeof world);
    world.by_key = by_key;
    marty_bus *from = open_bus(false), *to[SERVICES];
    for (unsigned i = 0; i < SERVICES; i++) {
        to[i] = open_bus(true);
    }
    REQUIRE(!pthread_create(&publisher, NULL, publish, from));
    for (unsigned turn = 0; atomic_load(&world.all) < MESSAGES; turn++) {
        unsigned before = atomic_load(&world.all);
        CHECK_SOON(has_come_to(before + MESSAGES / 10), LIMIT_MS);
        REQUIRE(has_come_to(before + 1)); /* else nothing moves */
        close_bus(to[turn % SERVICES]);
        to[turn % SERVICES] = open_bus(true);
    }
    REQUIRE(!pthread_join(publisher, NULL));
    for (unsigned i = 0; i < SERVICES; i++) {
        close_bus(to[i]);
    }
    close_bus(from);
    CHECK_INT(atomic_load(&world.all), MESSAGES);
}

int main(void)
{
    a_held_key_is_answered_after_the_batch_being_told();
    buses_come_and_go(false);
    buses_come_and_go(true);
    return check_result();
}
