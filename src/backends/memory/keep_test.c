/* SPDX-License-Identifier: Apache-2.0
 * What the memory: port keeps and for how long: limits, age, duplicates, schedules, time to live,
 * priority, dead letters, and what topology says about all of it. */
#include "test_port.h"

static marty_outgoing to(marty_kind kind, const char *name)
{
    return (marty_outgoing){.channel = {.kind = kind, .name = name}};
}

static marty_err say_big(probe *p, marty_kind kind, const char *name, const char *id, size_t size)
{
    char *body = calloc(1, size);
    marty_message message = {.id = id, .data = {body, size}, .content_type = "text/plain"};
    marty_err err = publish(p, to(kind, name), &message).err;
    free(body);
    return err;
}

static void a_full_broker_says_so_and_room_is_made_by_what_has_passed(void)
{
    probe *a = probe_open("memory:?limit=128KiB");
    char id[16];
    unsigned stored = 0;
    listen_to(a, 1, MARTY_KIND_TOPIC, "events.x", "g", 0);
    for (; stored < 40; stored++) {
        (void)snprintf(id, sizeof id, "m%u", stored);
        if (say_big(a, MARTY_KIND_TOPIC, "events.x", id, 8000)) {
            break;
        }
    }
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
    probe *a = probe_open("memory:?limit=128KiB");
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

static void hard_trimming_drops_the_oldest(void)
{
    probe *a = probe_open("memory:?retention=1h,64KiB&trim=hard");
    char id[16];
    listen_to(a, 1, MARTY_KIND_TOPIC, "events.x", "g", 0);
    for (unsigned i = 0; i < 20; i++) {
        (void)snprintf(id, sizeof id, "m%u", i);
        CHECK_INT(say_big(a, MARTY_KIND_TOPIC, "events.x", id, 8000), MARTY_OK);
    }
    test_backend->grant(a->port, 1, 100);
    CHECK(a->deliveries >= 5 && a->deliveries <= 8);
    CHECK_TEXT(a->delivered[a->deliveries - 1].message->id, "m19");
    probe *b = probe_open("memory:?retention=64KiB");
    unsigned stored = 0;
    while (stored < 20 && !say_big(b, MARTY_KIND_STREAM, "streams.x", id, 8000)) {
        (void)snprintf(id, sizeof id, "n%u", stored++);
    }
    CHECK(stored >= 5 && stored <= 8);
    probe_close(a);
    probe_close(b);
}

static void age_drops_what_nobody_took(void)
{
    probe *a = probe_open("memory:?retention=10s");
    marty_want want = {.channel = {.kind = MARTY_KIND_STREAM, .name = "streams.x", .group = "g"},
                       .credit = 9};
    CHECK_INT(say(a, MARTY_KIND_STREAM, "streams.x", "old", NULL), MARTY_OK);
    pass_ms(6000);
    CHECK_INT(say(a, MARTY_KIND_STREAM, "streams.x", "young", NULL), MARTY_OK);
    pass_ms(6000);
    CHECK_HAS(ask(a, "inspect", want, NULL), "\"messages\":1,");
    CHECK_INT(subscribe_with(a, 1, want), MARTY_OK);
    CHECK_TEXT(heard(a), "young");
    probe_close(a);
}

static void the_same_id_folds_within_the_window(void)
{
    probe *a = probe_open("memory:?dedup=10s");
    listen_to(a, 1, MARTY_KIND_TOPIC, "events.x", "g", 50);
    marty_message other = {.id = "m1", .source = "/elsewhere"};
    CHECK_INT(say(a, MARTY_KIND_TOPIC, "events.x", "m1", NULL), MARTY_OK);
    CHECK_INT(say(a, MARTY_KIND_TOPIC, "events.x", "m1", NULL), MARTY_OK);
    CHECK_TEXT(a->published[1].position, "");
    CHECK_INT(publish(a, to(MARTY_KIND_TOPIC, "events.x"), &other).err, MARTY_OK);
    CHECK_INT(say(a, MARTY_KIND_TOPIC, "events.y", "m1", NULL), MARTY_OK);
    CHECK_TEXT(heard(a), "m1 m1");
    pass_ms(9999);
    CHECK_INT(say(a, MARTY_KIND_TOPIC, "events.x", "m1", NULL), MARTY_OK);
    CHECK_TEXT(heard(a), "m1 m1");
    pass_ms(1);
    CHECK_INT(say(a, MARTY_KIND_TOPIC, "events.x", "m1", NULL), MARTY_OK);
    CHECK_TEXT(heard(a), "m1 m1 m1");
    for (unsigned i = 0; i < 3000; i++) { /* tables that grow and turn forget nothing young */
        char id[16];
        (void)snprintf(id, sizeof id, "n%u", i);
        CHECK_INT(say(a, MARTY_KIND_QUEUE, "commands.n", id, NULL), MARTY_OK);
        pass_ms(3);
    }
    for (unsigned i = 0; i < 900; i++) {
        char id[16];
        (void)snprintf(id, sizeof id, "n%u", i);
        CHECK_INT(say(a, MARTY_KIND_QUEUE, "commands.n", id, NULL), MARTY_OK);
    }
    marty_want queue = {.channel = {.kind = MARTY_KIND_QUEUE, .name = "commands.n"}};
    CHECK_HAS(ask(a, "inspect", queue, NULL), "\"messages\":3000,");
    probe_close(a);
    a = probe_open("memory:?dedup=0");
    listen_to(a, 1, MARTY_KIND_TOPIC, "events.x", "g", 50);
    CHECK_INT(say(a, MARTY_KIND_TOPIC, "events.x", "m1", NULL), MARTY_OK);
    CHECK_INT(say(a, MARTY_KIND_TOPIC, "events.x", "m1", NULL), MARTY_OK);
    CHECK_TEXT(heard(a), "m1 m1");
    probe_close(a);
}

static void a_refused_message_is_not_remembered(void)
{
    probe *a = probe_open("memory:?limit=64KiB");
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

static marty_err cancel(probe *p, const char *name, const char *id)
{
    marty_error why = {0};
    marty_channel channel_ = {.kind = MARTY_KIND_QUEUE, .name = name};
    CHECK_INT(test_backend->cancel(p->port, &channel_, id, ++p->next_token, &why), MARTY_OK);
    REQUIRE(p->published[p->publishes - 1].token == p->next_token);
    return p->published[p->publishes - 1].err;
}

static void a_scheduled_one_comes_in_time_or_is_cancelled(void)
{
    probe *a = probe_open("memory:");
    listen_to(a, 1, MARTY_KIND_QUEUE, "commands.q", "q", 9);
    marty_outgoing later = to(MARTY_KIND_QUEUE, "commands.q");
    later.deliver_at_us = test_wall_us + 2500000;
    marty_message m1 = {.id = "m1"}, m2 = {.id = "m2"};
    CHECK_INT(publish(a, later, &m1).err, MARTY_OK);
    CHECK_INT(publish(a, later, &m1).err, MARTY_OK); /* the same */
    CHECK_INT(publish(a, later, &m2).err, MARTY_OK);
    CHECK_INT(cancel(a, "commands.q", "m2"), MARTY_OK);
    CHECK_INT(cancel(a, "commands.q", "m2"), MARTY_E_NOT_FOUND);
    CHECK_INT(cancel(a, "commands.other", "m1"), MARTY_E_NOT_FOUND);
    pass_ms(2499);
    CHECK_INT(a->deliveries, 0);
    pass_ms(1);
    CHECK_TEXT(heard(a), "m1");
    CHECK_INT(cancel(a, "commands.q", "m1"), MARTY_E_NOT_FOUND);
    later = to(MARTY_KIND_BROADCAST, "broadcast.x");
    later.deliver_at_us = test_wall_us + 2500000;
    CHECK_INT(publish(a, later, &m1).err, MARTY_E_UNSUPPORTED);
    later = to(MARTY_KIND_QUEUE, "commands.q");
    later.deliver_at_us = test_wall_us - 5; /* past: now */
    m2.id = "m3";
    CHECK_INT(publish(a, later, &m2).err, MARTY_OK);
    CHECK_TEXT(heard(a), "m1 m3");
    probe_close(a);
}

static void what_is_expired_is_never_delivered(void)
{
    probe *a = probe_open("memory:");
    marty_message brief = {.id = "brief", .expires_us = test_wall_us + 1000000};
    listen_to(a, 1, MARTY_KIND_QUEUE, "commands.q", "q", 0);
    listen_to(a, 2, MARTY_KIND_TOPIC, "events.x", "g", 1);
    CHECK_INT(publish(a, to(MARTY_KIND_QUEUE, "commands.q"), &brief).err, MARTY_OK);
    CHECK_INT(publish(a, to(MARTY_KIND_TOPIC, "events.x"), &brief).err, MARTY_OK);
    CHECK_INT(say(a, MARTY_KIND_QUEUE, "commands.q", "lasting", NULL), MARTY_OK);
    CHECK_TEXT(heard(a), "brief");
    CHECK_INT(settle(a, &a->delivered[0], MARTY_SETTLE_RETRY, 5000), MARTY_OK);
    pass_ms(1000);
    test_backend->grant(a->port, 1, 5);
    test_backend->grant(a->port, 2, 5);
    pass_ms(5000);
    CHECK_TEXT(heard(a), "brief lasting");
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
    probe *a = probe_open("memory:clocks"), *b = probe_open("memory:clocks");
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

static void priority_goes_first_and_last(void)
{
    static const struct {
        const char *id;
        int32_t priority;
    } said[] = {{"n1", 0}, {"low", -2}, {"n2", 0}, {"high", 5}, {"top", 99}, {"high2", 5}};
    probe *a = probe_open("memory:");
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

static marty_want dead_want(const char *position, uint32_t most)
{
    marty_want want = {.channel = {.kind = MARTY_KIND_DEAD, .name = "dead.commands.q"},
                       .credit = most};
    if (position) {
        want.start = (marty_start){.from = MARTY_FROM_POSITION, .position = position};
    }
    return want;
}

static void reject(probe *p, const noted_delivery *d, const char *id)
{
    marty_message letter = {.id = id, .data = marty_text("body"), .content_type = "text/plain"};
    marty_message *message = message_of(&letter);
    marty_outgoing dead = to(MARTY_KIND_DEAD, "dead.commands.q");
    dead.message = message;
    marty_settling how = {
        .subscription = d->subscription, .tag = d->tag, .verb = MARTY_SETTLE_REJECT, .dead = &dead};
    test_backend->settle(p->port, &how, 1);
    CHECK_INT(p->settled[p->settlings - 1].result, MARTY_OK);
    marty_message_unref(message);
}

static void rejected_ones_lie_among_the_dead(void)
{
    probe *a = probe_open("memory:");
    marty_err err;
    listen_to(a, 1, MARTY_KIND_QUEUE, "commands.q", "q", 9);
    for (int i = 0; i < 3; i++) {
        CHECK_INT(say(a, MARTY_KIND_QUEUE, "commands.q", i ? i > 1 ? "c2" : "c1" : "c0", NULL),
                  MARTY_OK);
    }
    (void)ask(a, "browse", dead_want(NULL, 10), &err);
    CHECK_INT(err, MARTY_E_NOT_FOUND);
    reject(a, &a->delivered[0], "d0");
    reject(a, &a->delivered[1], "d1");
    reject(a, &a->delivered[2], "d0"); /* the same letter folds */
    CHECK_INT(settle(a, &a->delivered[0], MARTY_SETTLE_ACK, 0), MARTY_E_LOST);
    const char *page = ask(a, "browse", dead_want(NULL, 1), NULL);
    CHECK_HAS(page, "{\"letters\":[{\"position\":\"1\",\"headers\":[");
    CHECK_HAS(page, "[\"ce-id\",\"d0\"]");
    CHECK_HAS(page, "\"data\":\"Ym9keQ==\"}],\"next\":\"2\"}");
    page = ask(a, "browse", dead_want("2", 10), NULL);
    CHECK_HAS(page, "[\"ce-id\",\"d1\"]");
    CHECK_HAS(page, "\"next\":null}");
    CHECK_TEXT(ask(a, "erase", dead_want("1", 0), NULL), "{\"erased\":1}");
    (void)ask(a, "erase", dead_want("1", 0), &err);
    CHECK_INT(err, MARTY_E_NOT_FOUND);
    CHECK(!strstr(ask(a, "browse", dead_want(NULL, 10), NULL), "d0"));
    CHECK_HAS(ask(a, "inspect", dead_want(NULL, 0), NULL), "\"kind\":\"dead\",\"messages\":1,");
    pass_ms((int64_t)13 * 24 * 3600 * 1000);
    CHECK_HAS(ask(a, "inspect", dead_want(NULL, 0), NULL), "\"messages\":1,");
    pass_ms((int64_t)2 * 24 * 3600 * 1000);
    CHECK_HAS(ask(a, "inspect", dead_want(NULL, 0), NULL), "\"messages\":0,");
    marty_want queue = {.channel = {.kind = MARTY_KIND_QUEUE, .name = "commands.q"}, .credit = 1};
    (void)ask(a, "browse", queue, &err);
    CHECK_INT(err, MARTY_E_ARGUMENT);
    probe_close(a);
}

static void topology_makes_compares_lists_and_removes(void)
{
    probe *a = probe_open("memory:?prefix=p"), *b = probe_open("memory:");
    marty_err err;
    marty_want topic = {.channel = {.kind = MARTY_KIND_TOPIC, .name = "events.x", .group = "g"}};
    marty_want queue = {.channel = {.kind = MARTY_KIND_QUEUE, .name = "events.x"}};
    (void)ask(a, "check", topic, &err);
    CHECK_INT(err, MARTY_E_NOT_FOUND);
    CHECK_TEXT(ask(a, "ensure", topic, NULL), "{\"channel\":\"events.x\",\"kind\":\"topic\","
                                              "\"created\":true,\"differences\":[]}");
    CHECK_HAS(ask(a, "ensure", topic, NULL), "\"created\":false");
    CHECK_HAS(ask(a, "check", topic, NULL), "\"created\":false");
    CHECK_HAS(ask(a, "check", queue, &err), "kind: queue is wanted, topic is there");
    CHECK_INT(err, MARTY_E_EXISTS);
    CHECK_INT(say(a, MARTY_KIND_TOPIC, "events.x", "m1", NULL), MARTY_OK);
    CHECK_HAS(ask(a, "list", (marty_want){0}, NULL),
              "{\"channel\":\"events.x\",\"kind\":\"topic\",\"messages\":1,");
    CHECK_TEXT(ask(b, "list", (marty_want){0}, NULL), "{\"channels\":[]}");
    listen_to(a, 1, MARTY_KIND_TOPIC, "events.x", "g", 1);
    const char *seen = ask(a, "inspect", topic, NULL);
    CHECK_HAS(seen, "\"groups\":[{\"group\":\"g\",\"lag\":1,\"unsettled\":1,\"redelivered\":0,");
    CHECK_HAS(seen, "\"members\":1");
    (void)ask(a, "remove", topic, &err);
    CHECK_INT(err, MARTY_E_STATE);
    topic.reset = true;
    CHECK_TEXT(ask(a, "remove", topic, NULL), "{\"removed\":[\"g\"]}");
    CHECK_INT(a->subscribed[1].reason, MARTY_E_UNAVAILABLE);
    CHECK_INT(settle(a, &a->delivered[0], MARTY_SETTLE_ACK, 0), MARTY_E_LOST);
    listen_to(a, 1, MARTY_KIND_TOPIC, "events.x", "g", 1);
    listen_to(a, 2, MARTY_KIND_TOPIC, "events.x", NULL, 1);
    listen_to(a, 3, MARTY_KIND_TOPIC, "events.*", "w", 1);
    topic.channel.group = NULL;
    CHECK_TEXT(ask(a, "remove", topic, NULL), "{\"removed\":[\"events.x\"]}");
    CHECK_INT(a->subscribes, 7);
    (void)ask(a, "remove", topic, &err);
    CHECK_INT(err, MARTY_E_NOT_FOUND);
    CHECK_INT(say(a, MARTY_KIND_TOPIC, "events.x", "m2", NULL), MARTY_OK);
    CHECK_TEXT(heard(a), "m1 m2"); /* the wildcard is there for the new one */
    (void)ask(a, "sing", topic, &err);
    CHECK_INT(err, MARTY_E_UNSUPPORTED);
    CHECK_HAS(ask(a, "inspect", (marty_want){0}, NULL), "{\"server\":\"memory\",\"version\":\"");
    probe_close(a);
    probe_close(b);
}

int main(void)
{
    a_full_broker_says_so_and_room_is_made_by_what_has_passed();
    a_queue_frees_what_is_settled_in_any_order();
    hard_trimming_drops_the_oldest();
    age_drops_what_nobody_took();
    the_same_id_folds_within_the_window();
    a_refused_message_is_not_remembered();
    a_scheduled_one_comes_in_time_or_is_cancelled();
    what_is_expired_is_never_delivered();
    clocks_that_differ_are_understood();
    priority_goes_first_and_last();
    rejected_ones_lie_among_the_dead();
    topology_makes_compares_lists_and_removes();
    return check_result();
}
