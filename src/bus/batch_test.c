/* SPDX-License-Identifier: Apache-2.0
 * Batches of keys that fail while their connection is lost, or they are given back: who leaves a
 * batch before it is over is freed once, and all comes in order in the end. Chance decides when. */
#include "test_script.h"

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
        CHECK_SOON(granted() == ALL, 5000);
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

int main(void)
{
    marty_error why = {0};
    REQUIRE(!marty_backend_register(&script_backend, &why));
    who_left_a_batch_is_taken_before_it_is_over();
    a_connection_is_lost_while_batches_fail();
    return check_result();
}
