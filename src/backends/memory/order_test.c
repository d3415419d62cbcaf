/* SPDX-License-Identifier: Apache-2.0
 * Settling, order by key over several ports, leases and seek on the memory: port. */
#include "test_port.h"

#include "backend/test_order.h"

static void a_stream_has_shards(void)
{
    probe *a = probe_open("");
    listen_to(a, 1, MARTY_KIND_STREAM, "streams.s", "g", 100);
    for (int i = 0; i < 60; i++) {
        char id[8], key[8];
        (void)snprintf(id, sizeof id, "s%d", i);
        (void)snprintf(key, sizeof key, "k%d", i % 30);
        CHECK_INT(say(a, MARTY_KIND_STREAM, "streams.s", id, key), MARTY_OK);
    }
    unsigned seen = 0;
    for (size_t i = 0; i < 60; i++) {
        CHECK(a->delivered[i].shard < 12);
        CHECK_INT(a->delivered[i].shard, a->delivered[(i + 30) % 60].shard);
        seen |= 1u << a->delivered[i].shard;
    }
    CHECK(__builtin_popcount(seen) > 5);
    marty_want other = {.channel = {.kind = MARTY_KIND_STREAM, .name = "streams.s", .shards = 3}};
    CHECK_INT(subscribe_with(a, 2, other), MARTY_E_EXISTS);
    probe_close(a);
}

static void who_is_left_keeps_the_clock(void)
{
    probe *a = probe_open("clock?lease=30s"), *b = probe_open("clock?lease=30s");
    listen_to(b, 1, MARTY_KIND_QUEUE, "commands.q", "q", 5);
    CHECK_INT(say(a, MARTY_KIND_QUEUE, "commands.q", "c1", NULL), MARTY_OK);
    CHECK_INT(b->delivered[0].lease_until_ns, test_now_ns + 30000 * (int64_t)MARTY__NS_PER_MS);
    pass_ms(20000);
    CHECK_INT(settle(b, &b->delivered[0], MARTY_SETTLE_EXTEND, 0), MARTY_OK);
    CHECK_INT(b->settled[0].lease_until_ns, test_now_ns + 30000 * (int64_t)MARTY__NS_PER_MS);
    probe_close(a);
    pass_ms(29999);
    CHECK_TEXT(heard(b), "c1");
    pass_ms(1);
    CHECK_TEXT(heard(b), "c1 c1");
    probe_close(b);
}

static void nothing_is_early_by_what_reading_a_clock_took(void)
{
    probe *a = probe_open("");
    marty_message later = {.id = "later"};
    marty_outgoing out = {.channel = {.kind = MARTY_KIND_QUEUE, .name = "commands.q"},
                          .deliver_at_us = test_wall_us + 400000};
    int64_t due_ns = test_now_ns + 400 * (int64_t)MARTY__NS_PER_MS;
    listen_to(a, 1, MARTY_KIND_QUEUE, "commands.q", "q", 5);
    test_read_ns = 20 * (int64_t)MARTY__NS_PER_MS;
    CHECK_INT(publish(a, out, &later).err, MARTY_OK);
    test_read_ns = 0;
    CHECK_INT(a->deliveries, 0);
    await(a, 1);
    CHECK(a->delivered[0].at_ns >= due_ns);
    probe_close(a);
}

static void a_subscription_asks_for_a_lease_of_its_own(void)
{
    probe *a = probe_open("asked?lease=30s");
    marty_want want = {.channel = {.kind = MARTY_KIND_QUEUE, .name = "commands.q", .group = "q"},
                       .credit = 5,
                       .lease_ms = 2000};
    CHECK_INT(subscribe_with(a, 1, want), MARTY_OK);
    CHECK_INT(say(a, MARTY_KIND_QUEUE, "commands.q", "c1", NULL), MARTY_OK);
    CHECK_INT(a->delivered[0].lease_until_ns, test_now_ns + 2000 * (int64_t)MARTY__NS_PER_MS);
    pass_ms(1000);
    CHECK_INT(settle(a, &a->delivered[0], MARTY_SETTLE_EXTEND, 0), MARTY_OK);
    CHECK_INT(a->settled[0].lease_until_ns, test_now_ns + 2000 * (int64_t)MARTY__NS_PER_MS);
    pass_ms(2000);
    CHECK_TEXT(heard(a), "c1 c1");
    want.lease_ms = 60000; /* the broker's is the longest */
    CHECK_INT(subscribe_with(a, 1, want), MARTY_OK);
    CHECK_INT(settle(a, &a->delivered[1], MARTY_SETTLE_EXTEND, 0), MARTY_OK);
    CHECK_INT(a->settled[1].lease_until_ns, test_now_ns + 30000 * (int64_t)MARTY__NS_PER_MS);
    probe_close(a);
    a = probe_open("asked_in_vain");
    CHECK_INT(subscribe_with(a, 1, want), MARTY_OK);
    CHECK_INT(say(a, MARTY_KIND_QUEUE, "commands.q", "c1", NULL), MARTY_OK);
    CHECK_INT(a->delivered[0].lease_until_ns, INT64_MAX); /* nobody dies alone */
    probe_close(a);
}

int main(void)
{
    order_cases("chaos");
    a_subscription_asks_for_a_lease_of_its_own();
    a_stream_has_shards();
    who_is_left_keeps_the_clock();
    nothing_is_early_by_what_reading_a_clock_took();
    return check_result();
}
