/* SPDX-License-Identifier: Apache-2.0
 * A driven bus, with real and with simulated surroundings: the user's code runs in process only,
 * and simulated time is all the time there is, so the same seed gives the same run. */
#include <marty/marty.h>

#include "tests/check.h"

#include <poll.h>
#include <pthread.h>

static int seen;
static pthread_t driver;

static marty_err note(void *user, marty_delivery *delivery)
{
    (void)user;
    (void)delivery;
    CHECK(pthread_equal(driver, pthread_self()));
    seen++;
    return MARTY_OK;
}

static int answers;

static void stored(void *user, const marty_outcome *outcomes, size_t count)
{
    (void)user;
    CHECK(pthread_equal(driver, pthread_self()));
    CHECK_INT(count, 1);
    CHECK_INT(outcomes[0].err, MARTY_OK);
    answers++;
}

static void callbacks_run_in_process_only(void)
{
    marty_error why = {0};
    marty_bus *bus = NULL;
    seen = answers = 0;
    driver = pthread_self();
    REQUIRE(!marty_bus_open(&bus, "memory:", &(marty_bus_options){.service = "s", .driven = true},
                            &why));
    CHECK_INT(marty_subscribe_to_events(bus, "a.*", note, NULL, NULL, NULL, &why), MARTY_OK);
    marty_publish_options options = {.done = stored};
    CHECK_INT(marty_publish_event(bus, "a.b", marty_text("{}"), &options, &why), MARTY_OK);
    CHECK_INT(answers, 0);
    for (int64_t until = check_now_ms() + check__limit(0);
         (seen < 1 || answers < 1) && check_now_ms() < until;) {
        struct pollfd on = {.fd = marty_bus_fd(bus), .events = POLLIN};
        (void)poll(&on, 1, 10);
        CHECK_INT(marty_bus_process(bus, 0, NULL, &why), MARTY_OK);
    }
    CHECK_INT(seen, 1);
    CHECK_INT(answers, 1);
    CHECK_INT(marty_bus_close(bus, 0, &why), MARTY_OK);
    CHECK_INT(marty_bus_process(bus, 0, NULL, &why), MARTY_E_CLOSED);
    marty_bus_free(bus);
}

typedef struct world {
    int64_t ns;
    uint64_t random;
} world;

static int64_t world_ns(void *user)
{
    return ((world *)user)->ns;
}

static int64_t world_us(void *user)
{
    return 1800000000000000 + ((world *)user)->ns / 1000;
}

static void world_random(void *user, void *buffer, size_t size)
{
    world *self = user;
    unsigned char *out = buffer;
    for (size_t i = 0; i < size; i++) {
        self->random = self->random * 6364136223846793005u + 1442695040888963407u;
        out[i] = (unsigned char)(self->random >> 56);
    }
}

static int64_t times[8];
static world now;

static marty_err fail_twice(void *user, marty_delivery *delivery)
{
    (void)user;
    times[seen++ % 8] = now.ns;
    return delivery->attempt < 3 ? MARTY_E_FAILED : MARTY_OK;
}

static int64_t run_simulated(uint64_t seed)
{
    marty_error why = {0};
    marty_bus *bus = NULL;
    seen = 0;
    now = (world){.ns = 1000000, .random = seed};
    marty_env env = {
        .user = &now, .monotonic_ns = world_ns, .wall_us = world_us, .random = world_random};
    marty_bus_options options = {.service = "s", .driven = true, .env = &env};
    REQUIRE(!marty_bus_open(&bus, "memory:", &options, &why));
    CHECK_INT(marty_subscribe_to_events(bus, "a.*", fail_twice, NULL, NULL, NULL, &why), MARTY_OK);
    CHECK_INT(marty_publish_event(bus, "a.b", marty_text("{}"), NULL, &why), MARTY_OK);
    for (int i = 0; i < 1000 && seen < 3; i++) {
        int32_t wait_ms = 0;
        CHECK_INT(marty_bus_process(bus, 0, &wait_ms, &why), MARTY_OK);
        now.ns += (wait_ms > 0 ? wait_ms : 1) * INT64_C(1000000);
    }
    CHECK_INT(seen, 3);
    CHECK_INT(marty_bus_close(bus, 0, &why), MARTY_OK);
    marty_bus_free(bus);
    return times[2];
}

static void the_same_seed_gives_the_same_run(void)
{
    int64_t first = run_simulated(42);
    CHECK_INT(run_simulated(42), first);
    CHECK(run_simulated(43) != first);
}

static marty_err close_it(void *user, marty_delivery *delivery)
{
    (void)user;
    marty_error why = {0};
    CHECK_INT(marty_bus_close(delivery->bus, 0, &why), MARTY_E_STATE);
    return MARTY_OK;
}

static void closing_from_a_handler_only_begins_it(void)
{
    marty_error why = {0};
    marty_bus *bus = NULL;
    REQUIRE(!marty_bus_open(&bus, "memory:", &(marty_bus_options){.service = "s"}, &why));
    CHECK_INT(marty_subscribe_to_events(bus, "a.*", close_it, NULL, NULL, NULL, &why), MARTY_OK);
    CHECK_INT(marty_publish_event(bus, "a.b", marty_text("{}"), NULL, &why), MARTY_OK);
    CHECK_INT(marty_bus_run(bus, &why), MARTY_OK);
    CHECK_INT(marty_publish_event(bus, "a.b", marty_text("{}"), NULL, &why), MARTY_E_CLOSED);
    CHECK_INT(marty_bus_close(bus, 0, &why), MARTY_OK);
    CHECK_INT(marty_bus_close(bus, 0, &why), MARTY_OK);
    marty_bus_free(bus);
}

int main(void)
{
    callbacks_run_in_process_only();
    the_same_seed_gives_the_same_run();
    closing_from_a_handler_only_begins_it();
    return check_result();
}
