/* SPDX-License-Identifier: Apache-2.0
 * What the memory: port keeps and for how long: what is shared by all backends, and its own limit,
 * tables, priorities and clocks. */
#include "test_port.h"

#include "backend/test_keep.h"

static void a_full_broker_says_so_and_room_is_made_by_what_has_passed(void)
{
    probe *a = probe_open("?limit=128KiB");
    char id[16];
    unsigned stored = fill_up(a, id);
    CHECK(stored >= 13 && stored <= 16);
    CHECK_INT(a->published[stored].err, MARTY_E_FULL);
    CHECK_HAS(a->why_not[stored], "is full");
    CHECK_INT(say_big(a, MARTY_KIND_QUEUE, "commands.q", "other", 8000), MARTY_E_FULL);
    test_backend->grant(a->port, 1, 5);
    ack_all(a);
    CHECK_INT(say_big(a, MARTY_KIND_QUEUE, "commands.q", "other", 8000), MARTY_OK);
    CHECK_INT(say_big(a, MARTY_KIND_TOPIC, "events.x", "again", 8000), MARTY_OK);
    CHECK_INT(say_big(a, MARTY_KIND_TOPIC, "events.x", "big", 16385), MARTY_E_TOO_LARGE);
    CHECK_HAS(a->why_not[a->publishes - 1], "the limit of memory is 16384");
    probe_close(a);
}

static void a_queue_frees_what_is_settled_in_any_order(void)
{
    probe *a = probe_open("?limit=128KiB");
    char id[16];
    listen_to(a, 1, MARTY_KIND_QUEUE, "commands.q", "q", 1);
    CHECK_INT(say(a, MARTY_KIND_QUEUE, "commands.q", "stuck", NULL), MARTY_OK);
    for (unsigned i = 0; i < 600; i++) { /* far more than fit at once */
        (void)snprintf(id, sizeof id, "m%u", i);
        CHECK_INT(say_big(a, MARTY_KIND_QUEUE, "commands.q", id, 8000), MARTY_OK);
        test_backend->grant(a->port, 1, 1);
        REQUIRE(a->deliveries == i + 2);
        CHECK_INT(settle(a, &a->delivered[i + 1], MARTY_SETTLE_ACK, 0), MARTY_OK);
    }
    CHECK_INT(settle(a, &a->delivered[0], MARTY_SETTLE_ACK, 0), MARTY_OK);
    CHECK_HAS(ask(a, "inspect", (marty_want){.channel = to(MARTY_KIND_QUEUE, "commands.q").channel},
                  NULL),
              "\"messages\":0,\"bytes\":0");
    CHECK_HAS(ask(a, "inspect", (marty_want){0}, NULL), "\"bytes\":0,");
    probe_close(a);
}

static void tables_that_grow_and_turn_forget_nothing_young(void)
{
    probe *a = probe_open("?dedup=10s");
    for (unsigned i = 0; i < 3900; i++) {
        char id[16];
        (void)snprintf(id, sizeof id, "n%u", i % 3000);
        CHECK_INT(say(a, MARTY_KIND_QUEUE, "commands.n", id, NULL), MARTY_OK);
        pass_ms(i < 3000 ? 3 : 0);
    }
    marty_want queue = {.channel = {.kind = MARTY_KIND_QUEUE, .name = "commands.n"}};
    CHECK_HAS(ask(a, "inspect", queue, NULL), "\"messages\":3000,");
    probe_close(a);
}

static void a_refused_message_is_not_remembered(void)
{
    probe *a = probe_open("?limit=64KiB");
    listen_to(a, 1, MARTY_KIND_QUEUE, "commands.q", "q", 0);
    CHECK_INT(say_big(a, MARTY_KIND_QUEUE, "commands.q", "x", 8192), MARTY_OK);
    unsigned stored = 0;
    char id[16];
    do {
        (void)snprintf(id, sizeof id, "m%u", stored++);
    } while (!say_big(a, MARTY_KIND_QUEUE, "commands.q", id, 8000));
    test_backend->grant(a->port, 1, 2);
    ack_all(a);
    CHECK_INT(say_big(a, MARTY_KIND_QUEUE, "commands.q", id, 8000), MARTY_OK);
    test_backend->grant(a->port, 1, 100);
    CHECK_HAS(heard(a), id);
    probe_close(a);
}

static int64_t behind(void *user)
{
    return test_wall(user) - 3600000000;
}

static void clocks_that_differ_are_understood(void)
{
    static const marty_env late = {
        .monotonic_ns = test_monotonic, .wall_us = behind, .random = test_random};
    probe *a = probe_open("clocks"), *b = probe_open("clocks");
    b->sink.env = &late; /* an hour behind */
    listen_to(a, 1, MARTY_KIND_QUEUE, "commands.q", "q", 9);
    marty_message brief = {.id = "brief", .expires_us = behind(NULL) + 60000000};
    CHECK_INT(publish(b, to(MARTY_KIND_QUEUE, "commands.q"), &brief).err, MARTY_OK);
    CHECK_TEXT(heard(a), "brief");
    CHECK_INT(a->delivered[0].message->expires_us, test_wall_us + 60000000);
    CHECK_INT(settle(a, &a->delivered[0], MARTY_SETTLE_RETRY, 60000), MARTY_OK);
    marty_outgoing later = to(MARTY_KIND_QUEUE, "commands.q");
    later.deliver_at_us = behind(NULL) + 2000000;
    marty_message message = {.id = "later"};
    CHECK_INT(publish(b, later, &message).err, MARTY_OK);
    pass_ms(1999);
    CHECK_TEXT(heard(a), "brief");
    pass_ms(1);
    CHECK_TEXT(heard(a), "brief later");
    pass_ms(60000);
    CHECK_TEXT(heard(a), "brief later"); /* it has expired meanwhile */
    CHECK_INT(say(a, MARTY_KIND_STREAM, "streams.x", "s1", NULL), MARTY_OK);
    pass_ms(5000);
    marty_want want = {.channel = {.kind = MARTY_KIND_STREAM, .name = "streams.x", .group = "g"},
                       .start = {.from = MARTY_FROM_TIME, .time_us = behind(NULL)},
                       .credit = 9};
    CHECK_INT(say(b, MARTY_KIND_STREAM, "streams.x", "s2", NULL), MARTY_OK);
    CHECK_INT(subscribe_with(b, 1, want), MARTY_OK);
    CHECK_TEXT(heard(b), "s2");
    probe_close(a);
    probe_close(b);
}

static void priority_is_of_topics_too(void)
{
    static const struct {
        const char *id;
        int32_t priority;
    } said[] = {{"n1", 0}, {"low", -2}, {"n2", 0}, {"high", 5}, {"top", 99}, {"high2", 5}};
    probe *a = probe_open("");
    listen_to(a, 1, MARTY_KIND_QUEUE, "commands.q", "q", 0);
    listen_to(a, 2, MARTY_KIND_TOPIC, "events.x", "g", 0);
    for (size_t i = 0; i < sizeof said / sizeof said[0]; i++) {
        marty_message message = {.id = said[i].id, .priority = said[i].priority};
        CHECK_INT(publish(a, to(MARTY_KIND_QUEUE, "commands.q"), &message).err, MARTY_OK);
        CHECK_INT(publish(a, to(MARTY_KIND_TOPIC, "events.x"), &message).err, MARTY_OK);
    }
    test_backend->grant(a->port, 1, 9);
    CHECK_TEXT(heard(a), "top high high2 n1 n2 low");
    CHECK_INT(settle(a, &a->delivered[5], MARTY_SETTLE_GIVE_BACK, 0), MARTY_OK);
    probe_forget(a);
    test_backend->grant(a->port, 2, 2);
    CHECK_TEXT(heard(a), "top high");
    CHECK_INT(settle(a, &a->delivered[1], MARTY_SETTLE_RETRY, 0), MARTY_OK);
    test_backend->grant(a->port, 2, 9);
    CHECK_TEXT(heard(a), "top high high high2 n1 n2 low");
    marty_want want = {.channel = {.kind = MARTY_KIND_TOPIC, .name = "events.x", .group = "late"},
                       .start = {.from = MARTY_FROM_EARLIEST},
                       .credit = 9};
    probe_forget(a);
    CHECK_INT(subscribe_with(a, 3, want), MARTY_OK);
    CHECK_TEXT(heard(a), "n1 low n2 high top high2"); /* history has its own order */
    probe_close(a);
}

static void dead_letters_are_kept_for_two_weeks(void)
{
    probe *a = probe_open("");
    listen_to(a, 1, MARTY_KIND_QUEUE, "commands.q", "q", 9);
    CHECK_INT(say(a, MARTY_KIND_QUEUE, "commands.q", "c1", NULL), MARTY_OK);
    CHECK_INT(reject(a, &a->delivered[0], "d1"), MARTY_OK);
    pass_ms((int64_t)13 * 24 * 3600 * 1000);
    CHECK_HAS(ask(a, "inspect", dead_want(NULL, 0), NULL), "\"messages\":1,");
    pass_ms((int64_t)2 * 24 * 3600 * 1000);
    CHECK_HAS(ask(a, "inspect", dead_want(NULL, 0), NULL), "\"messages\":0,");
    probe_close(a);
}

int main(void)
{
    keep_cases();
    a_full_broker_says_so_and_room_is_made_by_what_has_passed();
    a_queue_frees_what_is_settled_in_any_order();
    tables_that_grow_and_turn_forget_nothing_young();
    a_refused_message_is_not_remembered();
    clocks_that_differ_are_understood();
    priority_is_of_topics_too();
    dead_letters_are_kept_for_two_weeks();
    return check_result();
}
