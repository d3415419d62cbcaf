/* SPDX-License-Identifier: Apache-2.0
 * What is kept and for how long: limits, age, duplicates, schedules, time to live, priority, dead
 * letters, copies for one group, and what topology says of it. For the port of each backend that is
 * built in. */
#ifndef MARTY_BACKEND_TEST_KEEP_H
#define MARTY_BACKEND_TEST_KEEP_H
#include "backend/test_talk.h"

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

/* Until one is refused, whose id is left; how many were stored. */
static unsigned fill_up(probe *p, char ret_id[16])
{
    unsigned stored = 0;
    listen_to(p, 1, MARTY_KIND_TOPIC, "events.x", "g", 0);
    for (; stored < 40; stored++) {
        (void)snprintf(ret_id, 16, "m%u", stored);
        if (say_big(p, MARTY_KIND_TOPIC, "events.x", ret_id, 8000)) {
            break;
        }
    }
    return stored;
}

static void a_full_channel_says_so_and_room_is_made_by_what_has_passed(void)
{
    probe *a = probe_open("full?retention=64KiB");
    char id[16];
    unsigned stored = fill_up(a, id);
    CHECK(stored >= 6 && stored <= 8);
    CHECK_INT(a->published[stored].err, MARTY_E_FULL);
    CHECK_HAS(a->why_not[stored], "events.x");
    CHECK_INT(say_big(a, MARTY_KIND_QUEUE, "commands.q", "other", 8000), MARTY_OK);
    test_backend->grant(a->port, 1, 2);
    await(a, 2);
    ack_all(a);
    CHECK_INT(say_big(a, MARTY_KIND_TOPIC, "events.x", id, 8000), MARTY_OK); /* not remembered */
    CHECK_INT(say_big(a, MARTY_KIND_TOPIC, "events.x", "again", 8000), MARTY_OK);
    CHECK_INT(say_big(a, MARTY_KIND_TOPIC, "events.x", "third", 8000), MARTY_E_FULL);
    test_backend->grant(a->port, 1, 100);
    await(a, stored + 2);
    probe_close(a);
}

static void hard_trimming_drops_the_oldest(void)
{
    probe *a = probe_open("trim?retention=1h,64KiB&trim=hard");
    char id[16];
    listen_to(a, 1, MARTY_KIND_TOPIC, "events.x", "g", 0);
    for (unsigned i = 0; i < 20; i++) {
        (void)snprintf(id, sizeof id, "m%u", i);
        CHECK_INT(say_big(a, MARTY_KIND_TOPIC, "events.x", id, 8000), MARTY_OK);
    }
    test_backend->grant(a->port, 1, 100);
    SOON(strstr(heard(a), "m19") != NULL);
    CHECK(a->deliveries >= 5 && a->deliveries <= 8);
    marty_want topic = {.channel = {.kind = MARTY_KIND_TOPIC, .name = "events.x"}};
    char lost[32];
    (void)snprintf(lost, sizeof lost, "\"lost\":%zu", 20 - a->deliveries);
    CHECK_HAS(ask(a, "inspect", topic, NULL), lost);
    probe_close(a);
}

static void age_drops_what_nobody_took(void)
{
    probe *a = probe_open("age?retention=4s"); /* the young one's way takes less */
    marty_want want = {.channel = {.kind = MARTY_KIND_STREAM, .name = "streams.x", .group = "g"},
                       .credit = 0};
    CHECK_INT(subscribe_with(a, 1, want), MARTY_OK);
    CHECK_INT(say(a, MARTY_KIND_STREAM, "streams.x", "old", NULL), MARTY_OK);
    SOON(strstr(ask(a, "inspect", want, NULL), "\"messages\":0,") != NULL);
    CHECK_HAS(ask(a, "inspect", want, NULL), "\"lag\":0,");
    CHECK_HAS(ask(a, "inspect", want, NULL), "\"lost\":1");
    test_backend->grant(a->port, 1, 9); /* before it is old, too */
    CHECK_INT(say(a, MARTY_KIND_STREAM, "streams.x", "young", NULL), MARTY_OK);
    await(a, 1);
    CHECK_TEXT(heard(a), "young");
    CHECK_TEXT(a->delivered[0].position, "2");
    probe_close(a);
}

static void the_same_id_folds_within_the_window(void)
{
    probe *a = probe_open("fold?dedup=5s"), *b = probe_open("fold?dedup=5s");
    marty_message other = {.id = "m1", .source = "/elsewhere"}, fresh = {.subject = "s"};
    marty_message *ours = message_of(&fresh);
    listen_to(a, 1, MARTY_KIND_TOPIC, "events.x", "g", 50);
    CHECK_INT(say(a, MARTY_KIND_TOPIC, "events.x", "m1", NULL), MARTY_OK);
    CHECK_INT(say(b, MARTY_KIND_TOPIC, "events.x", "m1", NULL), MARTY_OK);
    CHECK_TEXT(b->published[0].position, "");
    CHECK_INT(publish(a, to(MARTY_KIND_TOPIC, "events.x"), &other).err, MARTY_OK);
    CHECK_INT(say(a, MARTY_KIND_TOPIC, "events.y", "m1", NULL), MARTY_OK);
    int64_t before_ns = test_monotonic(NULL);
    CHECK_INT(publish(a, to(MARTY_KIND_TOPIC, "events.x"), ours).err, MARTY_OK); /* a UUIDv7 */
    int64_t after_ns = test_monotonic(NULL);
    CHECK_INT(publish(b, to(MARTY_KIND_TOPIC, "events.x"), ours).err, MARTY_OK);
    CHECK_INT(publish(a, to(MARTY_KIND_TOPIC, "events.x"), ours).err, MARTY_OK);
    await(a, 3);
    probe_close(b);
    b = probe_open("fold?dedup=5s"); /* one that was not there yet */
    CHECK_INT(publish(b, to(MARTY_KIND_TOPIC, "events.x"), ours).err, MARTY_OK);
    pass_until(before_ns + 2300 * (int64_t)MARTY__NS_PER_MS);
    CHECK_INT(publish(a, to(MARTY_KIND_TOPIC, "events.x"), ours).err, MARTY_OK); /* no more fresh */
    CHECK_INT(publish(b, to(MARTY_KIND_TOPIC, "events.x"), ours).err, MARTY_OK);
    barrier(a);
    CHECK_INT(a->deliveries, 3);
    pass_until(after_ns + 5600 * (int64_t)MARTY__NS_PER_MS);
    CHECK_INT(say(b, MARTY_KIND_TOPIC, "events.x", "m1", NULL), MARTY_OK);
    CHECK_INT(publish(b, to(MARTY_KIND_TOPIC, "events.x"), ours).err, MARTY_OK);
    CHECK_INT(publish(a, to(MARTY_KIND_TOPIC, "events.x"), ours).err, MARTY_OK);
    await(a, 5);
    barrier(a);
    CHECK_INT(a->deliveries, 5);
    marty_message_unref(ours);
    probe_close(a);
    probe_close(b);
    a = probe_open("unfolded?dedup=0");
    listen_to(a, 1, MARTY_KIND_TOPIC, "events.x", "g", 50);
    CHECK_INT(say(a, MARTY_KIND_TOPIC, "events.x", "m1", NULL), MARTY_OK);
    CHECK_INT(say(a, MARTY_KIND_TOPIC, "events.x", "m1", NULL), MARTY_OK);
    await(a, 2);
    probe_close(a);
}

static marty_err cancel(probe *p, const char *name, const char *id)
{
    marty_error why = {0};
    size_t before = p->publishes;
    marty_channel channel = {.kind = MARTY_KIND_QUEUE, .name = name};
    CHECK_INT(test_backend->cancel(p->port, &channel, id, ++p->next_token, &why), MARTY_OK);
    REQUIRE(probe_wait(p, &p->publishes, before + 1, WITHIN_MS));
    REQUIRE(p->published[before].token == p->next_token);
    return p->published[before].err;
}

static void a_scheduled_one_comes_in_time_or_is_cancelled(void)
{
    probe *a = probe_open("later"), *b = probe_open("later");
    listen_to(a, 1, MARTY_KIND_QUEUE, "commands.q", "q", 9);
    marty_outgoing later = to(MARTY_KIND_QUEUE, "commands.q");
    int64_t since_ns = test_monotonic(NULL);
    later.deliver_at_us = test_wall(NULL) + 500000;
    marty_outgoing far = later; /* is not due before it is cancelled, however slow the disk */
    far.deliver_at_us = test_wall(NULL) + 60000000;
    marty_message m1 = {.id = "m1"}, m2 = {.id = "m2"}, m3 = {.id = "m3"};
    CHECK_INT(publish(b, later, &m1).err, MARTY_OK);
    CHECK_INT(publish(a, later, &m1).err, MARTY_OK); /* the same */
    CHECK_INT(publish(b, far, &m2).err, MARTY_OK);
    CHECK_INT(cancel(a, "commands.q", "m2"), MARTY_OK); /* also from another port */
    CHECK_INT(cancel(b, "commands.q", "m2"), MARTY_E_NOT_FOUND);
    CHECK_INT(cancel(a, "commands.other", "m1"), MARTY_E_NOT_FOUND);
    probe_close(b); /* who stored it is gone */
    await(a, 1);
    CHECK_TEXT(heard(a), "m1");
    CHECK((a->delivered[0].at_ns - since_ns) / MARTY__NS_PER_MS >= 500);
    CHECK_INT(cancel(a, "commands.q", "m1"), MARTY_E_NOT_FOUND);
    CHECK_INT(publish(a, later, &m2).err, MARTY_OK); /* cancelled: not a duplicate, and due */
    later.deliver_at_us = test_wall(NULL) - 5;       /* past: now */
    CHECK_INT(publish(a, later, &m3).err, MARTY_OK);
    await(a, 3);
    CHECK_TEXT(heard(a), "m1 m2 m3");
    probe_close(a);
}

static void what_is_expired_is_never_delivered(void)
{
    probe *a = probe_open("expire");
    marty_message brief = {.id = "brief"};
    marty_want queue = {.channel = {.kind = MARTY_KIND_QUEUE, .name = "commands.q"}};
    listen_to(a, 1, MARTY_KIND_QUEUE, "commands.q", "q", 0);
    listen_to(a, 2, MARTY_KIND_TOPIC, "events.x", "g", 1);
    brief.expires_us = test_wall(NULL) + 5000000; /* two commits on a busy disk and a delivery */
    CHECK_INT(publish(a, to(MARTY_KIND_QUEUE, "commands.q"), &brief).err, MARTY_OK);
    CHECK_INT(publish(a, to(MARTY_KIND_TOPIC, "events.x"), &brief).err, MARTY_OK);
    await(a, 1);
    CHECK_TEXT(heard(a), "brief");
    CHECK_INT(say(a, MARTY_KIND_QUEUE, "commands.q", "lasting", NULL), MARTY_OK);
    CHECK_INT(settle(a, &a->delivered[0], MARTY_SETTLE_RETRY, 700), MARTY_OK);
    SOON(test_wall(NULL) > brief.expires_us);
    test_backend->grant(a->port, 1, 5);
    test_backend->grant(a->port, 2, 5);
    await(a, 2);
    CHECK_TEXT(heard(a), "brief lasting");
    CHECK_HAS(ask(a, "inspect", queue, NULL), "\"messages\":1,");
    probe_close(a);
}

static void priority_goes_first_and_last(void)
{
    probe *a = probe_open("priority");
    static const int32_t priorities[] = {0, 5, -3, 5, 0, 9};
    for (size_t i = 0; i < sizeof priorities / sizeof priorities[0]; i++) {
        char id[8];
        (void)snprintf(id, sizeof id, "p%zu", i);
        marty_message message = {.id = id, .priority = priorities[i]};
        CHECK_INT(publish(a, to(MARTY_KIND_QUEUE, "commands.q"), &message).err, MARTY_OK);
    }
    listen_to(a, 1, MARTY_KIND_QUEUE, "commands.q", "q", 2);
    await(a, 2);
    test_backend->grant(a->port, 1, 9);
    await(a, 6);
    CHECK_TEXT(heard(a), "p5 p1 p3 p0 p4 p2");
    ack_all(a);
    for (int i = 0; i < 40; i++) { /* more priorities than there are logs: the nearest */
        char id[8];
        (void)snprintf(id, sizeof id, "q%d", i);
        marty_message message = {.id = id, .priority = i * 100};
        CHECK_INT(publish(a, to(MARTY_KIND_QUEUE, "commands.q"), &message).err, MARTY_OK);
    }
    test_backend->grant(a->port, 1, 99);
    await(a, 46);
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

static marty_err reject(probe *p, const noted_delivery *d, const char *id)
{
    marty_message letter = {.id = id, .data = marty_text("body"), .content_type = "text/plain"};
    marty_outgoing dead = to(MARTY_KIND_DEAD, "dead.commands.q");
    marty_message *message = message_of(&letter);
    dead.message = message;
    marty_err err = settle_with(
        p, (marty_settling){
               .subscription = 1, .tag = d->tag, .verb = MARTY_SETTLE_REJECT, .dead = &dead});
    marty_message_unref(message);
    return err;
}

static void rejected_ones_lie_among_the_dead(void)
{
    probe *a = probe_open("dead");
    marty_err err;
    marty_want queue = {.channel = {.kind = MARTY_KIND_QUEUE, .name = "commands.q"}, .credit = 1};
    listen_to(a, 1, MARTY_KIND_QUEUE, "commands.q", "q", 9);
    for (int i = 0; i < 3; i++) {
        CHECK_INT(say(a, MARTY_KIND_QUEUE, "commands.q", i ? i > 1 ? "c2" : "c1" : "c0", NULL),
                  MARTY_OK);
    }
    await(a, 3);
    (void)ask(a, "browse", dead_want(NULL, 10), &err);
    CHECK_INT(err, MARTY_E_NOT_FOUND);
    CHECK_INT(reject(a, &a->delivered[0], "d0"), MARTY_OK);
    CHECK_INT(reject(a, &a->delivered[1], "d1"), MARTY_OK);
    CHECK_INT(reject(a, &a->delivered[2], "d0"), MARTY_OK); /* the same letter folds */
    CHECK_INT(settle(a, &a->delivered[0], MARTY_SETTLE_ACK, 0), MARTY_E_LOST);
    CHECK_HAS(ask(a, "inspect", queue, NULL), "\"messages\":0,");
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
    /* what was erased may die again at once */
    CHECK_INT(say(a, MARTY_KIND_QUEUE, "commands.q", "c3", NULL), MARTY_OK);
    await(a, 4);
    CHECK_INT(reject(a, &a->delivered[3], "d0"), MARTY_OK);
    CHECK_HAS(ask(a, "inspect", dead_want(NULL, 0), NULL), "\"messages\":2,");
    (void)ask(a, "browse", queue, &err);
    CHECK_INT(err, MARTY_E_ARGUMENT);
    probe_close(a);
}

static void a_copy_goes_to_one_group_only(void)
{
    probe *a = probe_open("copy");
    marty_message copy = {.id = "copy"};
    marty_want topic = {.channel = {.kind = MARTY_KIND_TOPIC, .name = "events.x"}};
    listen_to(a, 1, MARTY_KIND_TOPIC, "events.x", "g", 9);
    listen_to(a, 2, MARTY_KIND_TOPIC, "events.x", "h", 9);
    listen_to(a, 3, MARTY_KIND_TOPIC, "events.*", "w", 9);
    marty_outgoing out = to(MARTY_KIND_TOPIC, "events.x");
    out.channel.group = "g";
    CHECK_INT(publish(a, out, &copy).err, MARTY_OK);
    await(a, 1);
    CHECK_INT(a->delivered[0].subscription, 1);
    CHECK_INT(settle(a, &a->delivered[0], MARTY_SETTLE_RETRY, 0), MARTY_OK);
    await(a, 2);
    CHECK_INT(settle(a, &a->delivered[1], MARTY_SETTLE_ACK, 0), MARTY_OK);
    out.channel.group = "w";
    CHECK_INT(publish(a, out, &copy).err, MARTY_OK);
    await(a, 3);
    CHECK_INT(a->delivered[2].subscription, 3);
    out.channel.group = "nobody";
    CHECK_INT(publish(a, out, &copy).err, MARTY_E_NO_GROUP);
    CHECK_HAS(a->why_not[2], "has no group nobody");
    barrier(a);
    CHECK_INT(a->deliveries, 3);
    CHECK_HAS(ask(a, "inspect", topic, NULL), "\"messages\":0,"); /* not in the log of all */
    probe_close(a);
}

static void topology_makes_compares_lists_and_removes(void)
{
    probe *a = probe_open("topology?prefix=p"), *b = probe_open("topology");
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
    topic.channel.order = MARTY_ORDER_KEY;
    CHECK_HAS(ask(a, "ensure", topic, &err), "order: key is wanted, none is there");
    CHECK_INT(err, MARTY_E_EXISTS);
    topic.channel.order = MARTY_ORDER_DEFAULT;
    CHECK_INT(say(a, MARTY_KIND_TOPIC, "events.x", "m1", NULL), MARTY_OK);
    CHECK_HAS(ask(a, "list", (marty_want){0}, NULL),
              "{\"channel\":\"events.x\",\"kind\":\"topic\",\"messages\":1,");
    listen_to(a, 1, MARTY_KIND_TOPIC, "events.x", "g", 1);
    await(a, 1);
    const char *seen = ask(b, "inspect", (marty_want){.channel = {.name = "p.events.x"}}, NULL);
    CHECK_HAS(
        seen,
        "\"groups\":[{\"group\":\"g\",\"lag\":0,\"due\":0,\"unsettled\":1,\"redelivered\":0,");
    CHECK_HAS(seen, "\"members\":1");
    (void)ask(a, "remove", topic, &err);
    CHECK_INT(err, MARTY_E_STATE);
    topic.reset = true;
    CHECK_TEXT(ask(a, "remove", topic, NULL), "{\"removed\":[\"g\"]}");
    CHECK(probe_wait(a, &a->subscribes, 2, WITHIN_MS));
    CHECK_INT(a->subscribed[1].reason, MARTY_E_UNAVAILABLE);
    CHECK_INT(settle(a, &a->delivered[0], MARTY_SETTLE_ACK, 0), MARTY_E_LOST);
    listen_to(a, 1, MARTY_KIND_TOPIC, "events.x", "g", 1);
    listen_to(a, 2, MARTY_KIND_TOPIC, "events.x", NULL, 1);
    listen_to(a, 3, MARTY_KIND_TOPIC, "events.*", "w", 1);
    topic.channel.group = NULL;
    topic.channel.name = "p.events.x";
    CHECK_TEXT(ask(b, "remove", topic, NULL), "{\"removed\":[\"p.events.x\"]}"); /* by another */
    CHECK(probe_wait(a, &a->subscribes, 7, WITHIN_MS));
    (void)ask(b, "remove", topic, &err);
    CHECK_INT(err, MARTY_E_NOT_FOUND);
    CHECK_INT(say(a, MARTY_KIND_TOPIC, "events.x", "m2", NULL), MARTY_OK);
    await(a, 2); /* the wildcard is there for the new one */
    CHECK_TEXT(heard(a), "m1 m2");
    (void)ask(a, "sing", topic, &err);
    CHECK_INT(err, MARTY_E_UNSUPPORTED);
    char server[40];
    (void)snprintf(server, sizeof server, "{\"server\":\"%s\",\"version\":\"",
                   test_backend->scheme);
    CHECK_HAS(ask(a, "inspect", (marty_want){0}, NULL), server);
    probe_close(a);
    (void)ask(b, "list", (marty_want){0}, NULL);
    probe_close(b);
}

TOOL void keep_cases(void)
{
    a_full_channel_says_so_and_room_is_made_by_what_has_passed();
    hard_trimming_drops_the_oldest();
    age_drops_what_nobody_took();
    the_same_id_folds_within_the_window();
    a_scheduled_one_comes_in_time_or_is_cancelled();
    what_is_expired_is_never_delivered();
    priority_goes_first_and_last();
    rejected_ones_lie_among_the_dead();
    a_copy_goes_to_one_group_only();
    topology_makes_compares_lists_and_removes();
}
#endif
