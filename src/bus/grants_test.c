/* SPDX-License-Identifier: Apache-2.0
 * What core does otherwise where a backend says so: that it counts what is given back, that its
 * delays are coarse, that it knows how long it has had a message. */
#include "test_script.h"

#include "bus/internal.h"

static void an_outage_is_waited_for_here_where_giving_back_counts(void)
{
    script.granted_more = (marty_capabilities){.give_back_counts = true};
    marty_bus *bus = begin(false, &(marty_subscribe_options){.retry = {.first_ms = 1}});
    service.answer = MARTY_E_UNAVAILABLE;
    deliver(1, 0, NULL, INT64_MAX, NULL);
    CHECK_SOON(atomic_load(&service.runs) >= 3, 5000);
    CHECK_INT(settled(1, 0), 0);
    service.answer = MARTY_OK;
    CHECK_SOON(settled(1, MARTY_SETTLE_ACK) == 1, 5000);
    CHECK_INT(last_of(1).attempt, 1);
    end(bus);
    script.granted_more = (marty_capabilities){0};
}

static void it_goes_back_to_others_where_it_does_not(void)
{
    marty_bus *bus = begin(false, NULL);
    service.answer = MARTY_E_UNAVAILABLE;
    deliver(1, 0, NULL, INT64_MAX, NULL);
    CHECK_SOON(settled(1, MARTY_SETTLE_GIVE_BACK) == 1, 5000);
    end(bus);
}

static void a_delay_shorter_than_the_backend_can_is_held_here(void)
{
    script.granted_more = (marty_capabilities){.delay_step_ms = 1000};
    marty_retry_policy soon = {.first_ms = 20, .max_ms = 20, .no_jitter = true};
    marty_bus *bus = begin(false, &(marty_subscribe_options){.retry = soon});
    service.answer = MARTY_E_FAILED;
    deliver(1, 0, NULL, INT64_MAX, NULL);
    CHECK_SOON(atomic_load(&service.runs) >= 2, 5000);
    CHECK_INT(settled(1, MARTY_SETTLE_RETRY), 0);
    end(bus);
    script.granted_more = (marty_capabilities){0};
}

static void a_longer_one_is_the_backends(void)
{
    script.granted_more = (marty_capabilities){.delay_step_ms = 1000};
    marty_retry_policy late = {.first_ms = 4500, .max_ms = 4500, .no_jitter = true};
    marty_bus *bus = begin(false, &(marty_subscribe_options){.retry = late});
    service.answer = MARTY_E_FAILED;
    deliver(1, 0, NULL, INT64_MAX, NULL);
    CHECK_SOON(settled(1, MARTY_SETTLE_RETRY) == 1, 5000);
    end(bus);
    script.granted_more = (marty_capabilities){0};
}

/* The sender's clock is an hour behind ours: 60 s are not over when the broker has had it for 1 s,
 * and are when it has had it for 61. */
static void a_time_to_live_is_told_by_the_brokers_clock(void)
{
    const int64_t second = 1000000;
    marty_bus *bus = begin(false, NULL);
    int64_t now = script.sink->env->wall_us(script.sink->env->user);
    marty_message behind = {.time_us = now - 3600 * second, .expires_us = now - 3540 * second};
    marty_message ahead = {.time_us = now + 3600 * second, .expires_us = now + 3660 * second};
    deliver_message(1, 0, behind, INT64_MAX, 1 * second);
    CHECK_SOON(settled(1, MARTY_SETTLE_ACK) == 1, 5000);
    CHECK_INT(atomic_load(&service.runs), 1);
    deliver_message(2, 0, behind, INT64_MAX, 61 * second);
    deliver_message(3, 0, ahead, INT64_MAX, 61 * second);
    deliver_message(4, 0, behind, INT64_MAX, 0); /* nobody can say: by our clock it is over */
    CHECK_SOON(settled(0, MARTY_SETTLE_ACK) == 4, 5000);
    CHECK_INT(atomic_load(&service.runs), 1);
    deliver_message(5, 0, ahead, INT64_MAX, 1 * second);
    CHECK_SOON(settled(5, MARTY_SETTLE_ACK) == 1, 5000);
    CHECK_INT(atomic_load(&service.runs), 2);
    end(bus);
}

/* A broker that restarts as another version: handlers look at what it grants all the while. */
static void what_is_granted_changes_under_running_handlers(void)
{
    enum { MESSAGES = 4 };
    const marty_capabilities *seen[2] = {NULL, NULL};
    marty_bus *bus = begin(false, &(marty_subscribe_options){.retry = {.first_ms = 1}});
    service.answer = MARTY_E_UNAVAILABLE;
    for (uint64_t i = 0; i < 200; i++) {
        marty_capabilities granted = script_claims;
        granted.give_back_counts = i % 2;
        script.sink->state(script.sink, MARTY_STATE_UP, &granted, MARTY_OK, "up");
        const marty_capabilities *now = marty__port_granted(&bus->ports[0]);
        CHECK(now->give_back_counts == granted.give_back_counts);
        CHECK(!seen[i % 2] || seen[i % 2] == now); /* not kept twice */
        seen[i % 2] = now;
        if (i < MESSAGES) {
            deliver(i + 1, 0, NULL, INT64_MAX, NULL);
        }
    }
    service.answer = MARTY_OK;
    CHECK_SOON(settled(0, MARTY_SETTLE_ACK) + settled(0, MARTY_SETTLE_GIVE_BACK) == MESSAGES, 5000);
    end(bus);
}

int main(void)
{
    marty_error why = {0};
    REQUIRE(!marty_backend_register(&script_backend, &why));
    an_outage_is_waited_for_here_where_giving_back_counts();
    it_goes_back_to_others_where_it_does_not();
    a_delay_shorter_than_the_backend_can_is_held_here();
    a_longer_one_is_the_backends();
    a_time_to_live_is_told_by_the_brokers_clock();
    what_is_granted_changes_under_running_handlers();
    return check_result();
}
