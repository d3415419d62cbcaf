/* SPDX-License-Identifier: Apache-2.0
 * Settling, order by key over several ports, leases, seek, batches: for the port of each backend
 * that is built in. */
#ifndef MARTY_BACKEND_TEST_ORDER_H
#define MARTY_BACKEND_TEST_ORDER_H
#include "backend/test_talk.h"

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

/* Said to one, of one key: x0, x1, ... */
static void say_many(probe *p, int count)
{
    for (int i = 0; i < count; i++) {
        char id[16];
        (void)snprintf(id, sizeof id, "x%d", i);
        say_keyed(p, id, "x");
    }
}

static int64_t ms_since(int64_t since_ns)
{
    return (test_monotonic(NULL) - since_ns) / MARTY__NS_PER_MS;
}

static void a_retry_comes_again_and_counts(void)
{
    probe *a = probe_open("retry");
    listen_to(a, 1, MARTY_KIND_QUEUE, "commands.q", "q", 10);
    CHECK_INT(say(a, MARTY_KIND_QUEUE, "commands.q", "c1", NULL), MARTY_OK);
    await(a, 1);
    CHECK_INT(settle(a, &a->delivered[0], MARTY_SETTLE_RETRY, 0), MARTY_OK);
    await(a, 2);
    CHECK_INT(a->delivered[1].attempt, 2);
    CHECK_INT(settle(a, &a->delivered[1], MARTY_SETTLE_GIVE_BACK, 0), MARTY_OK);
    await(a, 3);
    CHECK_INT(a->delivered[2].attempt, 2);
    int64_t since_ns = test_monotonic(NULL);
    CHECK_INT(settle(a, &a->delivered[2], MARTY_SETTLE_RETRY, 300), MARTY_OK);
    await(a, 4);
    CHECK((a->delivered[3].at_ns - since_ns) / MARTY__NS_PER_MS >= 300); /* never early */
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
    probe *a = probe_open("back"), *b = probe_open("back");
    listen_keyed(a, 3);
    say_many(b, 5);
    await(a, 3);
    CHECK_INT(settle(a, &a->delivered[0], MARTY_SETTLE_ACK, 0), MARTY_OK);
    CHECK_INT(settle(a, &a->delivered[2], MARTY_SETTLE_GIVE_BACK, 0), MARTY_OK);
    CHECK_INT(settle(a, &a->delivered[1], MARTY_SETTLE_GIVE_BACK, 0), MARTY_OK);
    listen_keyed(b, 9);
    await(b, 4);
    CHECK_TEXT(heard(b), "x1 x2 x3 x4");
    probe_close(a);
    probe_close(b);
}

static void a_key_stays_with_one_port_until_settled(void)
{
    probe *a = probe_open("key"), *b = probe_open("key");
    listen_keyed(a, 1);
    say_keyed(a, "x1", "x");
    await(a, 1);
    say_keyed(a, "x2", "x");
    say_keyed(a, "y1", "y");
    say_keyed(a, "n1", NULL);
    listen_keyed(b, 10);
    await(b, 2);
    CHECK_TEXT(heard(b), "y1 n1"); /* x2 is a's, which has no credit */
    barrier(b);
    CHECK_INT(b->deliveries, 2);
    CHECK_INT(settle(a, &a->delivered[0], MARTY_SETTLE_ACK, 0), MARTY_OK);
    await(b, 3); /* nobody holds x any more */
    CHECK_TEXT(heard(b), "y1 n1 x2");
    say_keyed(a, "x3", "x");
    test_backend->grant(a->port, 1, 10);
    await(b, 4);
    CHECK_TEXT(heard(b), "y1 n1 x2 x3");
    CHECK_TEXT(heard(a), "x1");
    probe_close(a);
    probe_close(b);
}

static void a_retried_key_comes_before_its_later_ones(void)
{
    probe *a = probe_open("later"), *b = probe_open("later");
    listen_keyed(a, 2);
    say_many(a, 3);
    await(a, 2);
    CHECK_INT(settle(a, &a->delivered[1], MARTY_SETTLE_GIVE_BACK, 0), MARTY_OK);
    int64_t since_ns = test_monotonic(NULL);
    CHECK_INT(settle(a, &a->delivered[0], MARTY_SETTLE_RETRY, 400), MARTY_OK);
    listen_keyed(b, 10);
    test_backend->grant(a->port, 1, 10);
    say_keyed(a, "y1", "y");
    barrier(a);
    barrier(b);
    size_t early = deliveries_of(a) + deliveries_of(b); /* y1 goes, x waits */
    CHECK(early == 3 || ms_since(since_ns) >= 400);
    SOON(deliveries_of(a) + deliveries_of(b) == 6);
    CHECK(ms_since(since_ns) >= 400);
    CHECK_HAS(heard(a->deliveries > 3 ? a : b), "x0 x1 x2");
    probe_close(a);
    probe_close(b);
}

static void a_closed_port_gives_its_keys_to_another(void)
{
    probe *a = probe_open("gone"), *b = probe_open("gone");
    listen_keyed(a, 10);
    say_many(a, 6);
    await(a, 6);
    CHECK_INT(settle(a, &a->delivered[0], MARTY_SETTLE_ACK, 0), MARTY_OK);
    listen_keyed(b, 10);
    barrier(b);
    CHECK_INT(b->deliveries, 0);
    probe_close(a);
    await(b, 5);
    CHECK_TEXT(heard(b), "x1 x2 x3 x4 x5");
    CHECK_INT(b->delivered[0].attempt, 1);
    probe_close(b);
}

/* One delivery of a port, taken off its notes: the oldest, a lane of one. */
static bool take_one(probe *p, noted_delivery *ret)
{
    marty__lock(&p->lock);
    bool any = p->deliveries > 0;
    if (any) {
        *ret = p->delivered[0];
        memmove(p->delivered, p->delivered + 1, --p->deliveries * sizeof *ret);
    }
    p->settlings = p->publishes = 0;
    marty__unlock(&p->lock);
    return any;
}

static bool holds_key(probe *p, unsigned key)
{
    bool holds = false;
    marty__lock(&p->lock);
    for (size_t i = 0; i < p->deliveries && !holds; i++) {
        holds = (unsigned)p->delivered[i].message->id[0] - '0' == key;
    }
    marty__unlock(&p->lock);
    return holds;
}

static void many_keys_keep_their_order_under_chaos(const char *name)
{
    enum { KEYS = 7, EACH = 30 };
    probe *ports[2] = {probe_open(name), probe_open(name)};
    unsigned seed = 7, next[KEYS] = {0}, done = 0;
    listen_keyed(ports[0], 8);
    listen_keyed(ports[1], 8);
    for (unsigned i = 0; i < KEYS * EACH; i++) {
        char id[24], key[4];
        (void)snprintf(id, sizeof id, "%u-%u", i % KEYS, i / KEYS);
        (void)snprintf(key, sizeof key, "k%u", i % KEYS);
        say_keyed(ports[0], id, key);
    }
    int64_t until_ms = check_now_ms() + WITHIN_MS;
    while (done < KEYS * EACH && check_now_ms() < until_ms) {
        noted_delivery d;
        seed = seed * 1664525 + 1013904223;
        probe *p = ports[seed >> 16 & 1], *other = ports[!(seed >> 16 & 1)];
        if (!take_one(p, &d)) {
            continue;
        }
        unsigned key = (unsigned)d.message->id[0] - '0';
        unsigned number = (unsigned)strtoul(d.message->id + 2, NULL, 10);
        CHECK(!holds_key(other, key)); /* no other port holds this key */
        bool ack = number == next[key] && (seed >> 20 & 3) != 0;
        CHECK_INT(settle(p, &d, ack ? MARTY_SETTLE_ACK : MARTY_SETTLE_GIVE_BACK, 0), MARTY_OK);
        next[key] += ack;
        done += ack;
        marty_message_unref(d.message);
        test_backend->grant(p->port, 1, 1);
    }
    CHECK_INT(done, KEYS * EACH);
    probe_close(ports[0]);
    probe_close(ports[1]);
}

static void a_lease_ends_unless_it_is_renewed(void)
{
    probe *a = probe_open("lease?lease=4s"), *b = probe_open("lease"); /* renewed in time */
    CHECK_INT(say(b, MARTY_KIND_QUEUE, "commands.q", "c1", NULL), MARTY_OK);
    CHECK_INT(say(b, MARTY_KIND_QUEUE, "commands.q", "c2", NULL), MARTY_OK);
    listen_to(a, 1, MARTY_KIND_QUEUE, "commands.q", "q", 2);
    await(a, 2); /* both leases are as young as can be */
    int64_t until_ns = a->delivered[1].lease_until_ns;
    CHECK_INT(settle(a, &a->delivered[0], MARTY_SETTLE_EXTEND, 60000), MARTY_OK);
    listen_to(b, 1, MARTY_KIND_QUEUE, "commands.q", "q", 5);
    CHECK(a->settled[0].lease_until_ns > until_ns + 50000 * (int64_t)MARTY__NS_PER_MS);
    await(b, 1);
    CHECK_TEXT(heard(b), "c2");
    CHECK(b->delivered[0].at_ns >= until_ns);
    CHECK_INT(b->delivered[0].attempt, 2);
    CHECK_INT(settle(a, &a->delivered[1], MARTY_SETTLE_ACK, 0), MARTY_E_LOST);
    CHECK_INT(settle(a, &a->delivered[1], MARTY_SETTLE_EXTEND, 0), MARTY_E_LOST);
    CHECK_INT(settle(a, &a->delivered[0], MARTY_SETTLE_ACK, 0), MARTY_OK);
    CHECK_INT(settle(b, &b->delivered[0], MARTY_SETTLE_ACK, 0), MARTY_OK);
    probe_close(a);
    probe_close(b);
}

static void a_group_moves_by_seek(void)
{
    probe *a = probe_open("seek"), *b = probe_open("seek");
    marty_want want = {.channel = {.kind = MARTY_KIND_STREAM, .name = "streams.s", .group = "g"},
                       .credit = 3};
    int64_t times_us[6];
    CHECK_INT(subscribe_with(a, 1, want), MARTY_OK);
    for (int i = 1; i <= 5; i++) {
        char id[16];
        (void)snprintf(id, sizeof id, "s%d", i);
        times_us[i] = test_wall(NULL);
        CHECK_INT(say(b, MARTY_KIND_STREAM, "streams.s", id, id), MARTY_OK);
        pass_ms(2);
    }
    await(a, 3);
    CHECK_INT(settle(a, &a->delivered[0], MARTY_SETTLE_ACK, 0), MARTY_OK);
    want.reset = true;
    want.start = (marty_start){.from = MARTY_FROM_POSITION, .position = a->delivered[1].position};
    CHECK_INT(subscribe_with(a, 1, want), MARTY_OK);
    CHECK_INT(settle(a, &a->delivered[1], MARTY_SETTLE_ACK, 0), MARTY_E_LOST);
    CHECK_INT(settle(a, &a->delivered[2], MARTY_SETTLE_EXTEND, 0), MARTY_E_LOST);
    test_backend->grant(a->port, 1, 9);
    await(a, 7);
    CHECK_TEXT(heard(a), "s1 s2 s3 s2 s3 s4 s5");
    want.reset = false; /* only its patterns changed */
    CHECK_INT(subscribe_with(a, 1, want), MARTY_OK);
    CHECK_INT(settle(a, &a->delivered[4], MARTY_SETTLE_ACK, 0), MARTY_OK);
    /* another port moves it: what this one holds is lost */
    want.reset = true;
    want.start = (marty_start){.from = MARTY_FROM_EARLIEST};
    CHECK_INT(subscribe_with(b, 1, want), MARTY_OK);
    CHECK_INT(settle(a, &a->delivered[5], MARTY_SETTLE_ACK, 0), MARTY_E_LOST);
    unlisten(a, 1);
    await(b, 3);
    want.credit = 9;
    want.start = (marty_start){.from = MARTY_FROM_TIME, .time_us = times_us[4]};
    probe_forget(b);
    CHECK_INT(subscribe_with(b, 1, want), MARTY_OK);
    await(b, 2);
    CHECK_TEXT(heard(b), "s4 s5");
    want.start = (marty_start){.from = MARTY_FROM_NOW};
    probe_forget(b);
    CHECK_INT(subscribe_with(b, 1, want), MARTY_OK);
    want.start = (marty_start){.from = MARTY_FROM_POSITION, .position = "x"};
    CHECK_INT(subscribe_with(b, 1, want), MARTY_E_ARGUMENT);
    CHECK_INT(say(a, MARTY_KIND_STREAM, "streams.s", "s6", NULL), MARTY_OK);
    await(b, 1);
    CHECK_TEXT(heard(b), "s6");
    probe_close(a);
    probe_close(b);
}

static void a_batch_is_settled_in_one_go(void)
{
    enum { COUNT = 2000 };
    probe *a = probe_open("batch");
    static marty_outgoing out[COUNT];
    static marty_settling how[COUNT];
    marty_error why = {0};
    size_t taken = 0;
    listen_to(a, 1, MARTY_KIND_TOPIC, "events.x", "g", COUNT);
    for (int i = 0; i < COUNT; i++) {
        char id[16];
        (void)snprintf(id, sizeof id, "m%d", i);
        marty_message message = {.id = id};
        out[i] = (marty_outgoing){.token = (uint64_t)i + 1,
                                  .channel = {.kind = MARTY_KIND_TOPIC, .name = "events.x"},
                                  .message = message_of(&message)};
    }
    CHECK_INT(test_backend->publish(a->port, out, COUNT, &taken, &why), MARTY_OK);
    CHECK_INT(taken, COUNT);
    await(a, COUNT);
    for (int i = 0; i < COUNT; i++) {
        CHECK_TEXT(a->delivered[i].message->id, out[i].message->id);
        marty_message *message = marty_message_ref(out[i].message);
        marty_message_unref(message);
        marty_message_unref(message);
        how[i] = (marty_settling){
            .subscription = 1, .tag = a->delivered[i].tag, .verb = MARTY_SETTLE_ACK};
    }
    test_backend->settle(a->port, how, COUNT);
    CHECK(probe_wait(a, &a->settlings, COUNT, WITHIN_MS));
    for (int i = 0; i < COUNT; i++) {
        CHECK_INT(a->settled[i].result, MARTY_OK);
    }
    marty_want topic = {.channel = {.kind = MARTY_KIND_TOPIC, .name = "events.x"}};
    CHECK_HAS(ask(a, "inspect", topic, NULL), "\"lag\":0,\"due\":0,\"unsettled\":0,");
    probe_close(a);
}

TOOL void order_cases(const char *chaos)
{
    a_retry_comes_again_and_counts();
    given_back_ones_keep_their_order();
    a_key_stays_with_one_port_until_settled();
    a_retried_key_comes_before_its_later_ones();
    a_closed_port_gives_its_keys_to_another();
    many_keys_keep_their_order_under_chaos(chaos);
    a_lease_ends_unless_it_is_renewed();
    a_group_moves_by_seek();
    a_batch_is_settled_in_one_go();
}
#endif
