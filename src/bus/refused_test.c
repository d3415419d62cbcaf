/* SPDX-License-Identifier: Apache-2.0
 * Subscribing while the backend refuses: what may pass is asked again until the caller's time is
 * over, what will not is told at once, and a stop of the bus ends the wait. */
#include "test_script.h"

static uint32_t asked(void)
{
    pthread_mutex_lock(&script.lock);
    uint32_t count = script.asked;
    pthread_mutex_unlock(&script.lock);
    return count;
}

static marty_bus *begin_refusing(marty_err refusal, uint32_t refusals)
{
    marty_bus *bus = NULL;
    marty_error why = {0};
    script.asked = 0;
    script.refusals = refusals;
    script.refusal = refusal;
    REQUIRE(!marty_bus_open(&bus, "script:", &(marty_bus_options){.service = "s"}, &why));
    return bus;
}

static marty_err subscribe_within(marty_bus *bus, int32_t timeout_ms, marty_error *why)
{
    marty_subscribe_options options = {.timeout_ms = timeout_ms};
    return marty_subscribe_to_events(bus, "order.*", handle, NULL, &options, NULL, why);
}

static void set_down(bool down)
{
    pthread_mutex_lock(&script.lock);
    script.down = down;
    pthread_mutex_unlock(&script.lock);
}

static void finish(marty_bus *bus)
{
    CHECK_INT(marty_bus_close(bus, 0, NULL), MARTY_OK);
    marty_bus_free(bus);
    script.refusals = 0;
}

/* As a cluster that chooses its leader does for some seconds. */
static void what_may_pass_is_waited_for(void)
{
    static const marty_err passing[] = {MARTY_E_TIMEOUT, MARTY_E_UNAVAILABLE};
    for (size_t i = 0; i < sizeof passing / sizeof *passing; i++) {
        marty_error why = {0};
        marty_bus *bus = begin_refusing(passing[i], 2);
        CHECK_INT(subscribe_within(bus, 60000, &why), MARTY_OK);
        CHECK_INT(asked(), 3);
        finish(bus);
    }
}

static void and_told_when_the_time_is_over(void)
{
    marty_error why = {0};
    marty_bus *bus = begin_refusing(MARTY_E_TIMEOUT, UINT32_MAX);
    CHECK_INT(subscribe_within(bus, 3000, &why), MARTY_E_UNAVAILABLE); /* asked once at least */
    CHECK_TEXT(why.text, "not now");
    finish(bus);
}

static void what_does_not_pass_is_told_at_once(void)
{
    marty_error why = {0};
    marty_bus *bus = begin_refusing(MARTY_E_DENIED, 1);
    CHECK_INT(subscribe_within(bus, 60000, &why), MARTY_E_DENIED);
    CHECK_INT(asked(), 1);
    finish(bus);
}

typedef struct waiting {
    marty_bus *bus;
    int32_t timeout_ms;
    marty_err err;
} waiting;

static void *wait_for_it(void *user)
{
    waiting *one = user;
    one->err = subscribe_within(one->bus, one->timeout_ms, NULL);
    return NULL;
}

static void a_stop_ends_the_wait(marty_err refusal)
{
    waiting one = {.bus = begin_refusing(refusal, UINT32_MAX), .timeout_ms = 600000};
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, wait_for_it, &one) == 0);
    CHECK_SOON(asked() > 0, 5000);
    marty_bus_stop(one.bus);
    REQUIRE(pthread_join(thread, NULL) == 0); /* it would take ten minutes */
    /* OK: stopped before it had begun to wait, when a closed port is not waited for */
    CHECK(one.err == MARTY_E_CLOSED || one.err == MARTY_OK);
    finish(one.bus);
}

static void one_that_goes_down_is_not_waited_for(void)
{
    waiting one = {.bus = begin_refusing(MARTY_OK, 1), .timeout_ms = 60000};
    int64_t began_ms = check_now_ms();
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, wait_for_it, &one) == 0);
    CHECK_SOON(asked() == 1, 5000);
    set_down(true);
    script.sink->state(script.sink, MARTY_STATE_DOWN, NULL, MARTY_E_UNAVAILABLE, "gone");
    REQUIRE(pthread_join(thread, NULL) == 0);
    CHECK(check_now_ms() - began_ms < 30000);
    CHECK_INT(one.err, MARTY_OK);
    CHECK_INT(asked(), 1);
    set_down(false);
    CHECK_SOON(asked() == 2, 20000);
    finish(one.bus);
}

static void opening_says_that_connecting_takes_long(void)
{
    marty_bus *bus = NULL;
    marty_error why = {0};
    marty_bus_options options = {.timeout_ms = 20};
    script.mute = true;
    CHECK_INT(marty_bus_open(&bus, "script:", &options, &why), MARTY_E_UNAVAILABLE);
    CHECK_HAS(why.text, "connecting takes longer");
    script.mute = false;
}

int main(void)
{
    marty_error why = {0};
    REQUIRE(!marty_backend_register(&script_backend, &why));
    what_may_pass_is_waited_for();
    and_told_when_the_time_is_over();
    what_does_not_pass_is_told_at_once();
    a_stop_ends_the_wait(MARTY_OK);
    a_stop_ends_the_wait(MARTY_E_TIMEOUT);
    one_that_goes_down_is_not_waited_for();
    opening_says_that_connecting_takes_long();
    return check_result();
}
