/* SPDX-License-Identifier: Apache-2.0
 * Settling, order by key over several ports, leases and lost ones on the sqlite: port. */
#include "test_file.h"

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
    probe *a = probe_open("retry.db");
    listen_to(a, 1, MARTY_KIND_QUEUE, "commands.q", "q", 10);
    CHECK_INT(say(a, MARTY_KIND_QUEUE, "commands.q", "c1", NULL), MARTY_OK);
    await(a, 1);
    CHECK_INT(settle(a, &a->delivered[0], MARTY_SETTLE_RETRY, 0), MARTY_OK);
    await(a, 2);
    CHECK_INT(a->delivered[1].attempt, 2);
    CHECK_INT(settle(a, &a->delivered[1], MARTY_SETTLE_GIVE_BACK, 0), MARTY_OK);
    await(a, 3);
    CHECK_INT(a->delivered[2].attempt, 2);
    int64_t before_ns = marty__monotonic_ns();
    CHECK_INT(settle(a, &a->delivered[2], MARTY_SETTLE_RETRY, 300), MARTY_OK);
    await(a, 4);
    CHECK((a->delivered[3].at_ns - before_ns) / MARTY__NS_PER_MS >= 300); /* never early */
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

static void attempts_are_counted_over_restarts(void)
{
    for (uint32_t attempt = 1; attempt <= 3; attempt++) {
        probe *a = probe_open("attempts.db");
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

static void given_back_ones_keep_their_order(void)
{
    probe *a = probe_open("back.db"), *b = probe_open("back.db");
    listen_keyed(a, 3);
    for (int i = 0; i < 5; i++) {
        char id[8];
        (void)snprintf(id, sizeof id, "c%d", i);
        say_keyed(b, id, "same");
    }
    await(a, 3);
    CHECK_INT(settle(a, &a->delivered[0], MARTY_SETTLE_ACK, 0), MARTY_OK);
    CHECK_INT(settle(a, &a->delivered[2], MARTY_SETTLE_GIVE_BACK, 0), MARTY_OK);
    CHECK_INT(settle(a, &a->delivered[1], MARTY_SETTLE_GIVE_BACK, 0), MARTY_OK);
    listen_keyed(b, 9);
    await(b, 4);
    CHECK_TEXT(heard(b), "c1 c2 c3 c4");
    probe_close(a);
    probe_close(b);
}

static void a_key_stays_with_one_port_until_settled(void)
{
    probe *a = probe_open("key.db"), *b = probe_open("key.db");
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
    probe *a = probe_open("later.db"), *b = probe_open("later.db");
    listen_keyed(a, 2);
    say_keyed(a, "x1", "x");
    say_keyed(a, "x2", "x");
    say_keyed(a, "x3", "x");
    await(a, 2);
    CHECK_INT(settle(a, &a->delivered[1], MARTY_SETTLE_GIVE_BACK, 0), MARTY_OK);
    int64_t since_ns = marty__monotonic_ns();
    CHECK_INT(settle(a, &a->delivered[0], MARTY_SETTLE_RETRY, 400), MARTY_OK);
    listen_keyed(b, 10);
    test_backend->grant(a->port, 1, 10);
    say_keyed(a, "y1", "y");
    barrier(a);
    barrier(b);
    size_t early = deliveries_of(a) + deliveries_of(b); /* y1 goes, x waits */
    CHECK(early == 3 || (marty__monotonic_ns() - since_ns) / MARTY__NS_PER_MS >= 400);
    CHECK_SOON(deliveries_of(a) + deliveries_of(b) == 6, WITHIN_MS);
    CHECK((marty__monotonic_ns() - since_ns) / MARTY__NS_PER_MS >= 400);
    CHECK_HAS(heard(a->deliveries > 3 ? a : b), "x1 x2 x3");
    probe_close(a);
    probe_close(b);
}

static void a_closed_port_gives_its_keys_to_another(void)
{
    probe *a = probe_open("gone.db"), *b = probe_open("gone.db");
    listen_keyed(a, 10);
    for (int i = 0; i < 6; i++) {
        char id[8];
        (void)snprintf(id, sizeof id, "x%d", i);
        say_keyed(a, id, "x");
    }
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

static void many_keys_keep_their_order_under_chaos(void)
{
    enum { KEYS = 7, EACH = 30 };
    probe *ports[2] = {probe_open("chaos.db?sync=off"), probe_open("chaos.db?sync=off")};
    unsigned seed = 7, next[KEYS] = {0}, done = 0;
    listen_keyed(ports[0], 8);
    listen_keyed(ports[1], 8);
    for (unsigned i = 0; i < KEYS * EACH; i++) {
        char id[24], key[4];
        (void)snprintf(id, sizeof id, "%u-%u", i % KEYS, i / KEYS);
        (void)snprintf(key, sizeof key, "k%u", i % KEYS);
        say_keyed(ports[0], id, key);
    }
    int64_t until_ms = check_now_ms() + 20000;
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
    probe *a = probe_open("lease.db?lease=800ms"), *b = probe_open("lease.db?lease=800ms");
    listen_to(a, 1, MARTY_KIND_QUEUE, "commands.q", "q", 2);
    CHECK_INT(say(b, MARTY_KIND_QUEUE, "commands.q", "c1", NULL), MARTY_OK);
    CHECK_INT(say(b, MARTY_KIND_QUEUE, "commands.q", "c2", NULL), MARTY_OK);
    await(a, 2);
    int64_t until_ns = a->delivered[1].lease_until_ns;
    listen_to(b, 1, MARTY_KIND_QUEUE, "commands.q", "q", 5);
    CHECK_INT(settle_with(a, (marty_settling){.subscription = 1,
                                              .tag = a->delivered[0].tag,
                                              .verb = MARTY_SETTLE_EXTEND,
                                              .delay_ms = 60000}),
              MARTY_OK);
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

/* The wall clock jumps an hour, forth and back: nothing that waits moves. */
static void a_jump_of_the_clock_moves_nothing(void)
{
    probe *a = probe_open("jump.db?lease=2s"), *b = probe_open("jump.db?lease=2s");
    marty_message m1 = {.id = "m1"}, brief = {.id = "brief"};
    listen_to(a, 1, MARTY_KIND_QUEUE, "commands.q", "q", 9);
    CHECK_INT(say(a, MARTY_KIND_QUEUE, "commands.q", "c1", NULL), MARTY_OK);
    await(a, 1);
    test_wall_ahead_us = 3600000000;
    CHECK_INT(settle(a, &a->delivered[0], MARTY_SETTLE_EXTEND, 0), MARTY_OK);
    int64_t since_ns = marty__monotonic_ns();
    marty_outgoing later = {.channel = {.kind = MARTY_KIND_QUEUE, .name = "commands.q"},
                            .deliver_at_us = test_wall(NULL) + 400000};
    CHECK_INT(publish(b, later, &m1).err, MARTY_OK);
    test_wall_ahead_us = -3600000000;
    brief.expires_us = test_wall(NULL) + 60000000; /* a minute by the clock as it is now */
    CHECK_INT(publish(b, (marty_outgoing){.channel = later.channel}, &brief).err, MARTY_OK);
    await(a, 3);
    CHECK_TEXT(heard(a), "c1 brief m1");
    CHECK((a->delivered[2].at_ns - since_ns) / MARTY__NS_PER_MS >= 400);
    CHECK_INT(settle(a, &a->delivered[0], MARTY_SETTLE_ACK, 0), MARTY_OK); /* still its own */
    CHECK_INT(say(b, MARTY_KIND_QUEUE, "commands.q", "c1", NULL), MARTY_OK);
    barrier(a);
    CHECK_INT(a->deliveries, 3); /* a duplicate, still */
    test_wall_ahead_us = 0;
    probe_close(a);
    probe_close(b);
}

static void a_batch_is_settled_in_one_go(void)
{
    enum { COUNT = 2000 };
    probe *a = probe_open("batch.db");
    static marty_outgoing out[COUNT];
    static marty_settling how[COUNT];
    marty_error why = {0};
    size_t taken = 0;
    listen_to(a, 1, MARTY_KIND_TOPIC, "events.x", "g", COUNT);
    for (int i = 0; i < COUNT; i++) {
        marty_message message = {.subject = "s"};
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
    CHECK_HAS(ask(a, "inspect", topic, NULL), "\"lag\":0,\"unsettled\":0,");
    probe_close(a);
}

int main(void)
{
    a_retry_comes_again_and_counts();
    attempts_are_counted_over_restarts();
    given_back_ones_keep_their_order();
    a_key_stays_with_one_port_until_settled();
    a_retried_key_comes_before_its_later_ones();
    a_closed_port_gives_its_keys_to_another();
    many_keys_keep_their_order_under_chaos();
    a_lease_ends_unless_it_is_renewed();
    a_jump_of_the_clock_moves_nothing();
    a_batch_is_settled_in_one_go();
    test_folder_remove();
    return check_result();
}
