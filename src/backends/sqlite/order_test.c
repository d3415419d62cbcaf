/* SPDX-License-Identifier: Apache-2.0
 * Settling, order by key over several ports, leases and seek on the sqlite: port. */
#include "test_file.h"

#include "backend/test_order.h"

static void attempts_are_counted_over_restarts(void)
{
    for (uint32_t attempt = 1; attempt <= 3; attempt++) {
        probe *a = probe_open("attempts");
        if (attempt == 1) {
            CHECK_INT(say(a, MARTY_KIND_QUEUE, "commands.q", "c1", NULL), MARTY_OK);
        }
        listen_to(a, 1, MARTY_KIND_QUEUE, "commands.q", "q", 10);
        await(a, 1);
        CHECK_INT(a->delivered[0].attempt, attempt);
        CHECK_INT(settle(a, &a->delivered[0], MARTY_SETTLE_RETRY, 1), MARTY_OK);
        probe_close(a);
    }
}

/* The wall clock jumps an hour, forth and back: nothing that waits moves. */
static void a_jump_of_the_clock_moves_nothing(void)
{
    probe *a = probe_open("jump?lease=20s"), *b = probe_open("jump?lease=20s");
    marty_message m1 = {.id = "m1"}, brief = {.id = "brief"};
    listen_to(a, 1, MARTY_KIND_QUEUE, "commands.q", "q", 9);
    CHECK_INT(say(a, MARTY_KIND_QUEUE, "commands.q", "c1", NULL), MARTY_OK);
    await(a, 1);
    test_wall_ahead_us = 3600000000;
    CHECK_INT(settle(a, &a->delivered[0], MARTY_SETTLE_EXTEND, 0), MARTY_OK);
    int64_t since_ns = marty__monotonic_ns();
    marty_outgoing later = {.channel = {.kind = MARTY_KIND_QUEUE, .name = "commands.q"},
                            .deliver_at_us = test_wall(NULL) + 3000000}; /* behind the next */
    CHECK_INT(publish(b, later, &m1).err, MARTY_OK);
    test_wall_ahead_us = -3600000000;
    brief.expires_us = test_wall(NULL) + 60000000; /* a minute by the clock as it is now */
    CHECK_INT(publish(b, (marty_outgoing){.channel = later.channel}, &brief).err, MARTY_OK);
    await(a, 3);
    CHECK_TEXT(heard(a), "c1 brief m1");
    CHECK((a->delivered[2].at_ns - since_ns) / MARTY__NS_PER_MS >= 3000);
    CHECK_INT(settle(a, &a->delivered[0], MARTY_SETTLE_ACK, 0), MARTY_OK); /* still its own */
    CHECK_INT(say(b, MARTY_KIND_QUEUE, "commands.q", "c1", NULL), MARTY_OK);
    barrier(a);
    CHECK_INT(a->deliveries, 3); /* a duplicate, still */
    test_wall_ahead_us = 0;
    probe_close(a);
    probe_close(b);
}

static void a_subscription_asks_for_a_lease_of_its_own(void)
{
    probe *a = probe_open("asked?lease=1h&sync=off");
    marty_want want = {.channel = {.kind = MARTY_KIND_QUEUE, .name = "commands.q", .group = "q"},
                       .credit = 5,
                       .lease_ms = 2500};
    CHECK_INT(subscribe_with(a, 1, want), MARTY_OK);
    CHECK_INT(say(a, MARTY_KIND_QUEUE, "commands.q", "c1", NULL), MARTY_OK);
    await(a, 1);
    int64_t since_ns = a->delivered[0].at_ns;
    CHECK(a->delivered[0].lease_until_ns <= since_ns + 2500 * (int64_t)MARTY__NS_PER_MS);
    await(a, 2); /* not in an hour */
    CHECK_INT(a->delivered[1].attempt, 2);
    CHECK_INT(settle(a, &a->delivered[0], MARTY_SETTLE_ACK, 0), MARTY_E_LOST);
    want.lease_ms = 0;
    CHECK_INT(subscribe_with(a, 1, want), MARTY_OK);
    await(a, 3);
    CHECK(a->delivered[2].lease_until_ns >
          a->delivered[2].at_ns + 3000000 * (int64_t)MARTY__NS_PER_MS);
    CHECK_INT(settle(a, &a->delivered[2], MARTY_SETTLE_ACK, 0), MARTY_OK);
    probe_close(a);
}

int main(void)
{
    order_cases("chaos?sync=off");
    a_subscription_asks_for_a_lease_of_its_own();
    attempts_are_counted_over_restarts();
    a_jump_of_the_clock_moves_nothing();
    test_folder_remove();
    return check_result();
}
