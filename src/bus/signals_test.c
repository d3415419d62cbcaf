/* SPDX-License-Identifier: Apache-2.0
 * Signals while marty_bus_run serves: one ends it after a drain, also when it comes twice at once;
 * another one a second later cuts the drain short. The bus is driven, so the handler and what the
 * signals do are on one thread. */
#include <marty/marty.h>

#include "base/clock.h"
#include "base/thread.h"
#include "tests/check.h"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#define SECOND_NS INT64_C(1000000000)

static marty_delivery *kept;
static int handled;
static int64_t three_ns; /* how long three signals took */
static _Atomic int64_t first_ns;

static marty_err ask_at_once(void *user, marty_delivery *delivery)
{
    (void)user;
    (void)delivery;
    three_ns = marty__monotonic_ns();
    (void)raise(SIGTERM);
    (void)raise(SIGTERM);
    (void)raise(SIGINT);
    three_ns = marty__monotonic_ns() - three_ns;
    handled++;
    return MARTY_OK;
}

/* It is never settled, so the drain goes on until it is cut short. */
static marty_err keep_and_ask(void *user, marty_delivery *delivery)
{
    (void)user;
    kept = marty_delivery_keep(delivery);
    (void)raise(SIGTERM);
    first_ns = marty__monotonic_ns(); /* the bus has heard it by now */
    return MARTY_OK;
}

static void stored(void *user, const marty_outcome *outcomes, size_t count)
{
    (void)user;
    CHECK_INT(count, 1);
    CHECK_INT(outcomes[0].err, MARTY_OK);
}

static marty_bus *bus_with(marty_handler handler)
{
    marty_error why = {0};
    marty_bus *bus = NULL;
    marty_bus_options options = {.service = "s", .driven = true, .drain_ms = 60000};
    marty_publish_options publish = {.done = stored};
    REQUIRE(!marty_bus_open(&bus, "memory:", &options, &why));
    REQUIRE(!marty_handle_commands(bus, "end", handler, NULL, NULL, NULL, &why));
    REQUIRE(!marty_send_command(bus, "s", "end", marty_text("{}"), &publish, &why));
    return bus;
}

static void a_signal_that_comes_twice_is_one(void)
{
    marty_error why = {0};
    marty_bus *bus = bus_with(ask_at_once);
    marty_err err = marty_bus_run(bus, &why);
    if (three_ns < SECOND_NS) { /* else this thread stood still, and they are two */
        CHECK_INT(err, MARTY_OK);
        CHECK_TEXT(why.text, "");
    }
    CHECK_INT(handled, 1);
    marty_bus_free(bus);
}

static void *ask_again(void *user)
{
    (void)user;
    while (!first_ns || marty__monotonic_ns() - first_ns < SECOND_NS + SECOND_NS / 20) {
        (void)poll(NULL, 0, 5); /* the clock is what is waited for */
    }
    (void)kill(getpid(), SIGINT);
    return NULL;
}

static void another_a_second_later_cuts_the_drain_short(void)
{
    marty_error why = {0};
    pthread_t thread;
    marty_bus *bus = bus_with(keep_and_ask);
    REQUIRE(marty__thread_start(&thread, "again", ask_again, NULL));
    CHECK_INT(marty_bus_run(bus, &why), MARTY_E_TIMEOUT);
    CHECK(marty__monotonic_ns() - first_ns < 30 * SECOND_NS);
    CHECK(pthread_join(thread, NULL) == 0);
    marty_delivery_release(kept);
    marty_bus_free(bus);
}

int main(void)
{
    a_signal_that_comes_twice_is_one();
    another_a_second_later_cuts_the_drain_short();
    return check_result();
}
