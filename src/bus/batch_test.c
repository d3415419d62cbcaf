/* SPDX-License-Identifier: Apache-2.0
 * Batches of keys that fail while their connection is lost, or they are given back: who leaves a
 * batch before it is over is freed once, and all comes in order in the end. Chance decides when.
 * And batches of keys of which each is settled by hand. */
#include "test_script.h"

#include <pthread.h>
#include <stdatomic.h>

enum { ROUNDS = 60, KEYS = 16, EACH = 6, ALL = KEYS * EACH };

static void deliver_round(uint64_t round)
{
    for (uint64_t i = 0; i < ALL; i++) {
        char key[8];
        (void)snprintf(key, sizeof key, "k%u", (unsigned)(i % KEYS));
        deliver(round * ALL + i + 1, 0, key, INT64_MAX, NULL);
    }
}

static void spin(unsigned us)
{
    int64_t until = in_ms(0) + (int64_t)us * 1000;
    while (in_ms(0) < until) {
    }
}

static void a_connection_is_lost_while_batches_fail(void)
{
    const marty_retry_policy soon = {.attempts = UINT32_MAX, .first_ms = 1, .max_ms = 1};
    marty_bus *bus = begin(false, &(marty_subscribe_options){.order = MARTY_ORDER_KEY,
                                                             .credit = ALL,
                                                             .concurrency = 4,
                                                             .batch_max = EACH,
                                                             .batch_wait_ms = 1,
                                                             .retry = soon});
    uint32_t chance = 1;
    service.answer = MARTY_E_FAILED;
    for (uint64_t round = 0; round < ROUNDS; round++) {
        deliver_round(round);
        chance = chance * 1664525 + 1013904223;
        spin(chance >> 20); /* up to 4 ms */
        pthread_mutex_lock(&script.lock);
        script.granted = 0;
        pthread_mutex_unlock(&script.lock);
        script.sink->state(script.sink, MARTY_STATE_DOWN, NULL, MARTY_E_UNAVAILABLE, "gone");
        CHECK_SOON(granted() >= ALL, 5000); /* and what stuck keys gave back before it */
    }
    service.answer = MARTY_OK;
    deliver_round(ROUNDS);
    for (uint64_t i = 1; i <= ALL; i++) {
        CHECK_SOON(settled(ROUNDS * ALL + i, MARTY_SETTLE_ACK) == 1, 5000);
    }
    end(bus);
}

/* ---- at the worst moment: when the first of a batch is put off, chance is asked, and answers by
 * losing the connection, which takes those that have just left the batch */
static bool lose_now;

static int64_t monotonic(void *user)
{
    (void)user;
    return check_now_ms() * 1000000;
}

static int64_t wall(void *user)
{
    (void)user;
    return check_now_ms() * 1000;
}

static void random_bytes(void *user, void *buffer, size_t size)
{
    (void)user;
    memset(buffer, 1, size);
    if (lose_now) {
        lose_now = false;
        script.sink->state(script.sink, MARTY_STATE_DOWN, NULL, MARTY_E_UNAVAILABLE, "gone");
    }
}

static void who_left_a_batch_is_taken_before_it_is_over(void)
{
    const marty_env env = {.monotonic_ns = monotonic, .wall_us = wall, .random = random_bytes};
    marty_bus *bus = NULL;
    marty_error why = {0};
    marty_bus_options options = {.service = "s", .driven = true, .env = &env};
    marty_subscribe_options batches = {.batch_max = 4, .batch_wait_ms = 1};
    REQUIRE(!marty_bus_open(&bus, "script:", &options, &why));
    REQUIRE(!marty_process_stream(bus, "orders", handle, NULL, &batches, NULL, &why));
    REQUIRE(!marty_bus_process(bus, 0, NULL, &why));
    atomic_store(&service.runs, 0);
    service.answer = MARTY_E_FAILED;
    for (uint64_t tag = 1; tag <= 4; tag++) {
        deliver(tag, 0, "a", INT64_MAX, NULL);
    }
    lose_now = true;
    for (int64_t until = check_now_ms() + 5000; lose_now && check_now_ms() < until;) {
        REQUIRE(!marty_bus_process(bus, 1, NULL, &why));
    }
    CHECK(!lose_now);
    CHECK_INT(atomic_load(&service.runs), 1);
    CHECK_INT(marty_bus_close(bus, 0, &why), MARTY_OK);
    marty_bus_free(bus);
}

/* ---- each one on its own: of a batch some are acked, put off, or kept and settled by another
 * thread, and still all of a key are done with in their order */
static struct {
    pthread_mutex_t lock;
    marty_delivery *kept[ALL];
    size_t kept_count;
    uint32_t chance;
    uint64_t next[KEYS]; /* of a key the one to be done with */
} world = {.lock = PTHREAD_MUTEX_INITIALIZER};

static uint64_t number_of(const marty_delivery *delivery)
{
    return strtoull(delivery->message->id + 1, NULL, 10);
}

static unsigned key_of(const marty_delivery *delivery)
{
    return (unsigned)strtoul(delivery->message->key + 1, NULL, 10);
}

/* With the lock held: of eight cases one. */
static unsigned roll(void)
{
    world.chance = world.chance * 1664525 + 1013904223;
    return world.chance >> 29;
}

/* With the lock held; noted first, since the next one may run as soon as it is acked. */
static void ack(marty_delivery *delivery)
{
    unsigned key = key_of(delivery);
    CHECK_INT(number_of(delivery), world.next[key]);
    world.next[key] += KEYS;
    CHECK_INT(marty_ack(delivery), MARTY_OK);
}

/* What a handler did last of a key; what stands behind one that it put off has left the batch. */
typedef enum deed { ACKED, KEPT, PUT_OFF } deed;

static deed decide(marty_delivery *delivery, deed before)
{
    unsigned what = roll();
    if (what == 0 || before == KEPT) {
        CHECK_INT(marty_retry(delivery, 1, "later"), MARTY_OK);
        return PUT_OFF;
    }
    if (what == 1) {
        world.kept[world.kept_count++] = marty_delivery_keep(delivery);
        return KEPT;
    }
    ack(delivery);
    return ACKED;
}

static marty_err decide_all(void *user, marty_delivery *first)
{
    deed last[KEYS] = {ACKED};
    (void)user;
    pthread_mutex_lock(&world.lock);
    for (marty_delivery *delivery = first; delivery; delivery = delivery->next) {
        deed *mine = &last[key_of(delivery)];
        *mine = *mine == PUT_OFF ? PUT_OFF : decide(delivery, *mine);
    }
    pthread_mutex_unlock(&world.lock);
    return MARTY_OK;
}

static bool settle_one(void)
{
    pthread_mutex_lock(&world.lock);
    marty_delivery *delivery = world.kept_count ? world.kept[--world.kept_count] : NULL;
    unsigned what = roll();
    if (delivery && what > 3) {
        ack(delivery);
    } else if (delivery && what > 1) {
        CHECK_INT(marty_retry(delivery, 1, "not yet"), MARTY_OK);
    }
    pthread_mutex_unlock(&world.lock);
    marty_delivery_release(delivery); /* unsettled by chance, which is a retry at once */
    return delivery != NULL;
}

static bool all_done(uint64_t last)
{
    pthread_mutex_lock(&world.lock);
    bool all = true;
    for (unsigned key = 0; key < KEYS; key++) {
        all = all && world.next[key] > last;
    }
    pthread_mutex_unlock(&world.lock);
    return all;
}

static void each_of_a_batch_is_settled_by_hand_in_order(void)
{
    marty_bus *bus = NULL;
    marty_error why = {0};
    marty_subscribe_options batches = {.credit = ALL,
                                       .concurrency = 4,
                                       .batch_max = EACH,
                                       .retry = {.attempts = UINT32_MAX, .first_ms = 1}};
    for (uint64_t key = 0; key < KEYS; key++) {
        world.next[key] = key ? key : KEYS;
    }
    REQUIRE(
        !marty_bus_open(&bus, "script:", &(marty_bus_options){.service = "s", .workers = 4}, &why));
    REQUIRE(!marty_process_stream(bus, "orders", decide_all, NULL, &batches, NULL, &why));
    REQUIRE(!marty_bus_start(bus, &why));
    for (uint64_t round = 0; round < 8; round++) {
        for (uint64_t number = round * ALL + 1; number <= (round + 1) * ALL; number++) {
            char key[8];
            (void)snprintf(key, sizeof key, "k%u", (unsigned)(number % KEYS));
            deliver(number, 0, key, INT64_MAX, NULL);
        }
        CHECK_SOON(!settle_one() && all_done((round + 1) * ALL), 20000);
    }
    CHECK_INT(marty_bus_close(bus, 0, &why), MARTY_OK);
    marty_bus_free(bus);
}

int main(void)
{
    marty_error why = {0};
    REQUIRE(!marty_backend_register(&script_backend, &why));
    who_left_a_batch_is_taken_before_it_is_over();
    a_connection_is_lost_while_batches_fail();
    each_of_a_batch_is_settled_by_hand_in_order();
    return check_result();
}
