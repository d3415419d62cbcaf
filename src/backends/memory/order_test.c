/* SPDX-License-Identifier: Apache-2.0
 * Settling, order by key over several ports, leases and seek on the memory: port. */
#include "test_port.h"

static const marty_outgoing keyed = {
    .channel = {.kind = MARTY_KIND_TOPIC, .order = MARTY_ORDER_KEY, .name = "events.k"}};

static void say_keyed(probe *p, const char *id, const char *key)
{
    marty_message message = {.id = id, .key = key};
    CHECK_INT(publish(p, keyed, &message).err, MARTY_OK);
}

static void listen_keyed(probe *p, uint32_t credit)
{
    marty_want want = {.channel = keyed.channel, .credit = credit};
    want.channel.group = "g";
    CHECK_INT(subscribe_with(p, 1, want), MARTY_OK);
}

static void a_retry_comes_again_and_counts(void)
{
    probe *a = probe_open("memory:");
    listen_to(a, 1, MARTY_KIND_QUEUE, "commands.q", "q", 10);
    CHECK_INT(say(a, MARTY_KIND_QUEUE, "commands.q", "c1", NULL), MARTY_OK);
    CHECK_INT(settle(a, &a->delivered[0], MARTY_SETTLE_RETRY, 0), MARTY_OK);
    CHECK_INT(a->delivered[1].attempt, 2);
    CHECK_INT(settle(a, &a->delivered[1], MARTY_SETTLE_GIVE_BACK, 0), MARTY_OK);
    CHECK_INT(a->delivered[2].attempt, 2);
    CHECK_INT(settle(a, &a->delivered[2], MARTY_SETTLE_RETRY, 500), MARTY_OK);
    CHECK_INT(a->deliveries, 3);
    pass_ms(499);
    CHECK_INT(a->deliveries, 3); /* never early */
    pass_ms(1);
    CHECK_INT(a->delivered[3].attempt, 3);
    CHECK_INT(settle(a, &a->delivered[3], MARTY_SETTLE_ACK, 0), MARTY_OK);
    for (size_t i = 0; i < a->deliveries; i++) { /* each tag was good for one settling */
        CHECK_INT(settle(a, &a->delivered[i], MARTY_SETTLE_ACK, 0), MARTY_E_LOST);
    }
    noted_delivery forged = a->delivered[3];
    forged.tag = UINT64_MAX;
    CHECK_INT(settle(a, &forged, MARTY_SETTLE_ACK, 0), MARTY_E_LOST);
    forged.subscription = 99;
    CHECK_INT(settle(a, &forged, MARTY_SETTLE_ACK, 0), MARTY_E_LOST);
    probe_close(a);
}

static void given_back_ones_keep_their_order(void)
{
    probe *a = probe_open("memory:back"), *b = probe_open("memory:back");
    listen_to(a, 1, MARTY_KIND_QUEUE, "commands.q", "q", 3);
    for (int i = 0; i < 5; i++) {
        char id[8];
        (void)snprintf(id, sizeof id, "c%d", i);
        CHECK_INT(say(b, MARTY_KIND_QUEUE, "commands.q", id, NULL), MARTY_OK);
    }
    CHECK_INT(settle(a, &a->delivered[1], MARTY_SETTLE_ACK, 0), MARTY_OK);
    CHECK_INT(settle(a, &a->delivered[2], MARTY_SETTLE_GIVE_BACK, 0), MARTY_OK);
    CHECK_INT(settle(a, &a->delivered[0], MARTY_SETTLE_GIVE_BACK, 0), MARTY_OK);
    listen_to(b, 1, MARTY_KIND_QUEUE, "commands.q", "q", 9);
    CHECK_TEXT(heard(b), "c0 c2 c3 c4");
    probe_close(a);
    probe_close(b);
}

static void a_key_stays_with_one_port_until_settled(void)
{
    probe *a = probe_open("memory:key"), *b = probe_open("memory:key");
    listen_keyed(a, 10);
    listen_keyed(b, 10);
    say_keyed(a, "x1", "x");
    probe *first = a->deliveries ? a : b, *other = a->deliveries ? b : a;
    say_keyed(a, "x2", "x");
    say_keyed(a, "x3", "x");
    CHECK_TEXT(heard(first), "x1 x2 x3");
    say_keyed(a, "y1", "y");
    CHECK_TEXT(heard(other), "y1"); /* by turns */
    ack_all(first);
    size_t before = other->deliveries;
    say_keyed(a, "x4", "x");
    say_keyed(a, "x5", "x");
    CHECK(other->deliveries == before || other->deliveries == before + 2);
    probe_close(a);
    probe_close(b);
}

static void a_key_waits_for_its_holder_and_others_go_on(void)
{
    probe *a = probe_open("memory:wait"), *b = probe_open("memory:wait");
    listen_keyed(a, 1);
    say_keyed(a, "x1", "x");
    say_keyed(a, "x2", "x");
    say_keyed(a, "y1", "y");
    say_keyed(a, "n1", NULL);
    listen_keyed(b, 10);
    CHECK_TEXT(heard(a), "x1");
    CHECK_TEXT(heard(b), "y1 n1"); /* x2 is a's, which has no credit */
    CHECK_INT(settle(a, &a->delivered[0], MARTY_SETTLE_ACK, 0), MARTY_OK);
    CHECK_TEXT(heard(b), "y1 n1 x2"); /* nobody holds x any more */
    probe_close(a);
    probe_close(b);
}

static void a_retried_key_comes_before_its_later_ones(void)
{
    probe *a = probe_open("memory:late"), *b = probe_open("memory:late");
    listen_keyed(a, 2);
    say_keyed(a, "x1", "x");
    say_keyed(a, "x2", "x");
    say_keyed(a, "x3", "x");
    CHECK_TEXT(heard(a), "x1 x2");
    CHECK_INT(settle(a, &a->delivered[1], MARTY_SETTLE_GIVE_BACK, 0), MARTY_OK);
    CHECK_INT(settle(a, &a->delivered[0], MARTY_SETTLE_RETRY, 1000), MARTY_OK);
    listen_keyed(b, 10);
    test_backend->grant(a->port, 1, 10);
    CHECK_TEXT(heard(a), "x1 x2");
    CHECK_TEXT(heard(b), "");
    say_keyed(a, "y1", "y");
    CHECK_INT(a->deliveries + b->deliveries, 3);
    pass_ms(1000);
    probe *who = a->deliveries > 3 ? a : b;
    CHECK_HAS(heard(who), "x1 x2 x3");
    CHECK_INT(a->deliveries + b->deliveries, 6);
    probe_close(a);
    probe_close(b);
}

static void a_closed_port_gives_its_keys_to_another(void)
{
    probe *a = probe_open("memory:gone"), *b = probe_open("memory:gone");
    listen_keyed(a, 10);
    for (int i = 0; i < 6; i++) {
        char id[8];
        (void)snprintf(id, sizeof id, "x%d", i);
        say_keyed(a, id, "x");
    }
    CHECK_INT(settle(a, &a->delivered[1], MARTY_SETTLE_ACK, 0), MARTY_OK);
    listen_keyed(b, 10);
    CHECK_TEXT(heard(b), "");
    probe_close(a);
    CHECK_TEXT(heard(b), "x0 x2 x3 x4 x5");
    CHECK_INT(b->delivered[0].attempt, 1);
    probe_close(b);
}

static void many_keys_keep_their_order_under_chaos(void)
{
    enum { KEYS = 7, EACH = 40 };
    probe *ports[2] = {probe_open("memory:chaos"), probe_open("memory:chaos")};
    unsigned seed = 7, next[KEYS] = {0}, done = 0;
    listen_keyed(ports[0], 8);
    listen_keyed(ports[1], 8);
    for (unsigned i = 0; i < KEYS * EACH; i++) {
        char id[16], key[4];
        (void)snprintf(id, sizeof id, "%u-%u", i % KEYS, i / KEYS);
        (void)snprintf(key, sizeof key, "k%u", i % KEYS);
        say_keyed(ports[0], id, key);
    }
    for (unsigned turn = 0; turn < 40000 && done < KEYS * EACH; turn++) {
        seed = seed * 1664525 + 1013904223;
        probe *p = ports[seed >> 16 & 1];
        if (!p->deliveries) {
            continue;
        }
        noted_delivery d = p->delivered[0]; /* the oldest that it has: a lane of one */
        unsigned key = 0, number = 0;
        CHECK(sscanf(d.message->id, "%u-%u", &key, &number) == 2);
        memmove(p->delivered, p->delivered + 1, --p->deliveries * sizeof d);
        bool first = number == next[key];
        bool ack = first && (seed >> 20 & 3) != 0;
        for (unsigned other = 0; other < 2; other++) { /* no other port holds this key */
            for (size_t i = 0; ports[other] != p && i < ports[other]->deliveries; i++) {
                unsigned held = 0;
                CHECK(sscanf(ports[other]->delivered[i].message->id, "%u-", &held) == 1);
                CHECK(held != key);
            }
        }
        CHECK_INT(settle(p, &d, ack ? MARTY_SETTLE_ACK : MARTY_SETTLE_GIVE_BACK, 0), MARTY_OK);
        p->settlings = 0;
        next[key] += ack;
        done += ack;
        marty_message_unref(d.message);
        test_backend->grant(p->port, 1, 1);
    }
    CHECK_INT(done, KEYS * EACH);
    probe_close(ports[0]);
    probe_close(ports[1]);
}

static void a_stream_has_shards(void)
{
    probe *a = probe_open("memory:");
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

static void a_lease_ends_unless_it_is_renewed(void)
{
    probe *a = probe_open("memory:lease?lease=30s"), *b = probe_open("memory:lease?lease=30s");
    listen_to(a, 1, MARTY_KIND_QUEUE, "commands.q", "q", 2);
    CHECK_INT(say(b, MARTY_KIND_QUEUE, "commands.q", "c1", NULL), MARTY_OK);
    CHECK_INT(say(b, MARTY_KIND_QUEUE, "commands.q", "c2", NULL), MARTY_OK);
    CHECK_INT(a->delivered[0].lease_until_ns, test_now_ns + 30000 * (int64_t)MARTY__NS_PER_MS);
    listen_to(b, 1, MARTY_KIND_QUEUE, "commands.q", "q", 5);
    pass_ms(20000);
    CHECK_INT(settle(a, &a->delivered[0], MARTY_SETTLE_EXTEND, 0), MARTY_OK);
    CHECK_INT(a->settled[0].lease_until_ns, test_now_ns + 30000 * (int64_t)MARTY__NS_PER_MS);
    pass_ms(9999);
    CHECK_INT(b->deliveries, 0);
    pass_ms(1);
    CHECK_TEXT(heard(b), "c2");
    CHECK_INT(b->delivered[0].attempt, 2);
    CHECK_INT(settle(a, &a->delivered[1], MARTY_SETTLE_ACK, 0), MARTY_E_LOST);
    CHECK_INT(settle(a, &a->delivered[1], MARTY_SETTLE_EXTEND, 0), MARTY_E_LOST);
    CHECK_INT(settle(b, &b->delivered[0], MARTY_SETTLE_EXTEND, 90000), MARTY_OK);
    pass_ms(30000);
    CHECK_TEXT(heard(b), "c2 c1");
    probe_close(a); /* the clock is kept by the other from now on */
    pass_ms(59999);
    CHECK_TEXT(heard(b), "c2 c1 c1 c1");
    pass_ms(1);
    CHECK_TEXT(heard(b), "c2 c1 c1 c1 c2");
    probe_close(b);
}

static void a_group_moves_by_seek(void)
{
    probe *a = probe_open("memory:seek"), *b = probe_open("memory:seek");
    int64_t times_us[4];
    marty_want want = {.channel = {.kind = MARTY_KIND_STREAM, .name = "streams.s", .group = "g"},
                       .credit = 50};
    CHECK_INT(subscribe_with(a, 1, want), MARTY_OK);
    for (int i = 0; i < 4; i++) {
        char id[8];
        (void)snprintf(id, sizeof id, "s%d", i);
        times_us[i] = test_wall_us;
        CHECK_INT(say(b, MARTY_KIND_STREAM, "streams.s", id, NULL), MARTY_OK);
        pass_ms(1000);
    }
    CHECK_INT(settle(a, &a->delivered[0], MARTY_SETTLE_ACK, 0), MARTY_OK);
    noted_delivery old = a->delivered[1];
    want.reset = true;
    want.credit = 1;
    want.start = (marty_start){.from = MARTY_FROM_EARLIEST};
    CHECK_INT(subscribe_with(a, 1, want), MARTY_OK);
    CHECK_TEXT(heard(a), "s0 s1 s2 s3 s0"); /* the credit begins anew */
    CHECK_INT(settle(a, &old, MARTY_SETTLE_ACK, 0), MARTY_E_LOST);
    want.credit = 10;
    want.start = (marty_start){.from = MARTY_FROM_POSITION, .position = old.position};
    probe_forget(a);
    CHECK_INT(subscribe_with(a, 1, want), MARTY_OK);
    CHECK_TEXT(heard(a), "s1 s2 s3");
    want.start = (marty_start){.from = MARTY_FROM_TIME, .time_us = times_us[2]};
    probe_forget(a);
    CHECK_INT(subscribe_with(a, 1, want), MARTY_OK);
    CHECK_TEXT(heard(a), "s2 s3");
    want.start = (marty_start){.from = MARTY_FROM_NOW};
    probe_forget(a);
    CHECK_INT(subscribe_with(a, 1, want), MARTY_OK);
    CHECK_TEXT(heard(a), "");
    want.start = (marty_start){.from = MARTY_FROM_POSITION, .position = "x"};
    CHECK_INT(subscribe_with(a, 1, want), MARTY_E_ARGUMENT);
    want.reset = false; /* only new patterns: nothing moves */
    CHECK_INT(subscribe_with(a, 1, want), MARTY_OK);
    CHECK_INT(say(b, MARTY_KIND_STREAM, "streams.s", "s4", NULL), MARTY_OK);
    CHECK_TEXT(heard(a), "s4");
    probe_close(a);
    probe_close(b);
}

static void a_copy_goes_to_its_group_only(void)
{
    probe *a = probe_open("memory:");
    marty_message message = {.id = "r1"};
    marty_outgoing copy = {.channel = {.kind = MARTY_KIND_TOPIC, .name = "events.x", .group = "g"}};
    CHECK_INT(publish(a, copy, &message).err, MARTY_E_NO_GROUP);
    listen_to(a, 1, MARTY_KIND_TOPIC, "events.x", "g", 9);
    listen_to(a, 2, MARTY_KIND_TOPIC, "events.x", "h", 9);
    CHECK_INT(publish(a, copy, &message).err, MARTY_OK);
    CHECK_TEXT(heard(a), "r1");
    CHECK_INT(a->delivered[0].subscription, 1);
    CHECK_TEXT(a->delivered[0].position, "");
    CHECK_INT(settle(a, &a->delivered[0], MARTY_SETTLE_RETRY, 0), MARTY_OK);
    CHECK_INT(a->delivered[1].attempt, 2);
    copy.deliver_at_us = test_wall_us + 5000000;
    message.id = "r2";
    CHECK_INT(publish(a, copy, &message).err, MARTY_OK);
    pass_ms(5000);
    CHECK_TEXT(heard(a), "r1 r1 r2");
    CHECK_INT(a->delivered[2].subscription, 1);
    probe_close(a);
}

int main(void)
{
    a_retry_comes_again_and_counts();
    given_back_ones_keep_their_order();
    a_key_stays_with_one_port_until_settled();
    a_key_waits_for_its_holder_and_others_go_on();
    a_retried_key_comes_before_its_later_ones();
    a_closed_port_gives_its_keys_to_another();
    many_keys_keep_their_order_under_chaos();
    a_stream_has_shards();
    a_lease_ends_unless_it_is_renewed();
    a_group_moves_by_seek();
    a_copy_goes_to_its_group_only();
    return check_result();
}
