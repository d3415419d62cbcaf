/* SPDX-License-Identifier: Apache-2.0
 * Who gets what, by kind of channel, and how much at once: for the port of each backend that is
 * built in. Two ports of one name are two buses; that they are in one process makes no difference
 * to them. */
#ifndef MARTY_BACKEND_TEST_SHARE_H
#define MARTY_BACKEND_TEST_SHARE_H
#include "backend/test_talk.h"

static void groups_each_get_all_and_share(void)
{
    probe *a = probe_open("share"), *b = probe_open("share");
    listen_to(a, 1, MARTY_KIND_TOPIC, "events.order", "billing", 1);
    listen_to(b, 1, MARTY_KIND_TOPIC, "events.order", "billing", 1);
    listen_to(b, 2, MARTY_KIND_TOPIC, "events.order", "shipping", 10);
    CHECK_INT(say(a, MARTY_KIND_TOPIC, "events.order", "m1", NULL), MARTY_OK);
    CHECK_INT(say(a, MARTY_KIND_TOPIC, "events.order", "m2", NULL), MARTY_OK);
    await(a, 1);
    await(b, 3);
    CHECK_TEXT(a->published[0].position, "1");
    CHECK_TEXT(a->published[1].position, "2");
    CHECK_INT(a->published[1].level, a->granted.level);
    CHECK_INT(a->delivered[0].attempt, 1);
    CHECK(a->delivered[0].lease_until_ns > test_monotonic(NULL));
    ack_all(a);
    ack_all(b);
    probe_close(a);
    probe_close(b);
}

static void an_instance_alone_hears_all_from_now_on(void)
{
    probe *a = probe_open("alone"), *b = probe_open("alone");
    CHECK_INT(say(a, MARTY_KIND_TOPIC, "events.order", "before", NULL), MARTY_OK);
    listen_to(a, 1, MARTY_KIND_TOPIC, "events.order", NULL, 10);
    listen_to(b, 1, MARTY_KIND_TOPIC, "events.order", NULL, 10);
    CHECK_INT(say(a, MARTY_KIND_TOPIC, "events.order", "after", NULL), MARTY_OK);
    await(a, 1);
    await(b, 1);
    CHECK_TEXT(heard(a), "after");
    CHECK_TEXT(heard(b), "after");
    CHECK_INT(settle(b, &b->delivered[0], MARTY_SETTLE_RETRY, 0), MARTY_OK);
    await(b, 2);
    unlisten(b, 1);
    CHECK_INT(say(a, MARTY_KIND_TOPIC, "events.order", "later", NULL), MARTY_OK);
    barrier(b);
    CHECK_TEXT(heard(b), "after after");
    marty_want topic = {.channel = {.kind = MARTY_KIND_TOPIC, .name = "events.order"}};
    CHECK_HAS(ask(a, "inspect", topic, NULL), "\"groups\":[{\"group\":null,\"lag\":0,");
    probe_close(b);
    probe_close(a);
}

static void a_group_keeps_its_backlog(void)
{
    probe *a = probe_open("backlog"), *b = probe_open("backlog");
    listen_to(a, 1, MARTY_KIND_TOPIC, "events.order", "billing", 0);
    unlisten(a, 1);
    CHECK_INT(say(a, MARTY_KIND_TOPIC, "events.order", "m1", NULL), MARTY_OK);
    probe_close(a);
    listen_to(b, 2, MARTY_KIND_TOPIC, "events.order", "billing", 5);
    await(b, 1);
    CHECK_TEXT(heard(b), "m1");
    CHECK_INT(b->delivered[0].attempt, 1);
    probe_close(b);
}

static void a_late_group_may_start_anywhere(void)
{
    probe *a = probe_open("late");
    marty_want want = {.channel = {.kind = MARTY_KIND_TOPIC, .name = "events.x", .group = "g"},
                       .start = {.from = MARTY_FROM_EARLIEST},
                       .credit = 9};
    CHECK_INT(say(a, MARTY_KIND_TOPIC, "events.x", "m1", NULL), MARTY_OK);
    pass_ms(2);
    int64_t between_us = test_wall(NULL);
    CHECK_INT(say(a, MARTY_KIND_TOPIC, "events.x", "m2", NULL), MARTY_OK);
    CHECK_INT(say(a, MARTY_KIND_TOPIC, "events.x", "m3", NULL), MARTY_OK);
    CHECK_INT(subscribe_with(a, 1, want), MARTY_OK);
    await(a, 3);
    ack_all(a);
    want.channel.group = "h"; /* what one group has passed is there for another */
    want.start = (marty_start){.from = MARTY_FROM_POSITION, .position = "2"};
    CHECK_INT(subscribe_with(a, 2, want), MARTY_OK);
    await(a, 5);
    want.channel.group = "i";
    want.start = (marty_start){.from = MARTY_FROM_TIME, .time_us = between_us};
    CHECK_INT(subscribe_with(a, 3, want), MARTY_OK);
    await(a, 7);
    CHECK_TEXT(heard(a), "m1 m2 m3 m2 m3 m2 m3");
    listen_to(a, 4, MARTY_KIND_STREAM, "streams.y", "g", 9); /* streams begin at the earliest */
    CHECK_INT(say(a, MARTY_KIND_STREAM, "streams.y", "s1", "k"), MARTY_OK);
    await(a, 8);
    listen_to(a, 5, MARTY_KIND_STREAM, "streams.y", "h", 9);
    await(a, 9);
    probe_close(a);
}

static void a_queue_gives_each_to_one_and_waits_for_somebody(void)
{
    probe *a = probe_open("queue"), *b = probe_open("queue");
    marty_want queue = {.channel = {.kind = MARTY_KIND_QUEUE, .name = "commands.pay"}};
    CHECK_INT(say(a, MARTY_KIND_QUEUE, "commands.pay", "c1", NULL), MARTY_OK);
    listen_to(a, 1, MARTY_KIND_QUEUE, "commands.pay", "pay", 2);
    await(a, 1);
    listen_to(b, 1, MARTY_KIND_QUEUE, "commands.pay", "pay", 1);
    CHECK_INT(say(b, MARTY_KIND_QUEUE, "commands.pay", "c2", NULL), MARTY_OK);
    CHECK_INT(say(b, MARTY_KIND_QUEUE, "commands.pay", "c3", NULL), MARTY_OK);
    await(a, 2);
    await(b, 1);
    CHECK_TEXT(a->delivered[0].position, "");
    probe_close(a); /* gives back what it has */
    test_backend->grant(b->port, 1, 5);
    await(b, 3);
    for (size_t i = 0; i < b->deliveries; i++) {
        CHECK_INT(b->delivered[i].attempt, 1);
    }
    CHECK_HAS(ask(b, "inspect", queue, NULL), "\"messages\":3,");
    ack_all(b);
    CHECK_HAS(ask(b, "inspect", queue, NULL), "\"messages\":0,\"bytes\":0,");
    probe_close(b);
}

static void credit_is_never_exceeded(void)
{
    probe *a = probe_open("credit");
    listen_to(a, 1, MARTY_KIND_QUEUE, "commands.q", "q", 3);
    for (int i = 0; i < 10; i++) {
        char id[8];
        (void)snprintf(id, sizeof id, "c%d", i);
        CHECK_INT(say(a, MARTY_KIND_QUEUE, "commands.q", id, NULL), MARTY_OK);
    }
    barrier(a);
    CHECK_TEXT(heard(a), "c0 c1 c2");
    CHECK_INT(settle(a, &a->delivered[1], MARTY_SETTLE_ACK, 0), MARTY_OK);
    barrier(a);
    CHECK_INT(a->deliveries, 3); /* settling is not granting */
    test_backend->grant(a->port, 1, 2);
    await(a, 5);
    barrier(a);
    CHECK_TEXT(heard(a), "c0 c1 c2 c3 c4");
    test_backend->grant(a->port, 1, 100);
    await(a, 10);
    test_backend->grant(a->port, 77, 1); /* nobody's */
    probe_close(a);
}

static void broadcast_reaches_every_instance_that_is_there(void)
{
    probe *a = probe_open("cast"), *b = probe_open("cast");
    CHECK_INT(say(a, MARTY_KIND_BROADCAST, "broadcast.cache", "b0", NULL), MARTY_OK);
    listen_to(a, 1, MARTY_KIND_BROADCAST, "broadcast.cache", NULL, 10);
    listen_to(b, 1, MARTY_KIND_BROADCAST, "broadcast.cache", NULL, 1);
    listen_to(b, 2, MARTY_KIND_BROADCAST, "broadcast.*", NULL, 10);
    CHECK_INT(say(a, MARTY_KIND_BROADCAST, "broadcast.cache", "b1", NULL), MARTY_OK);
    CHECK_INT(a->published[1].level, MARTY_LEVEL_MEMORY);
    CHECK_INT(say(a, MARTY_KIND_BROADCAST, "broadcast.cache", "b2", NULL), MARTY_OK);
    CHECK_INT(say(a, MARTY_KIND_BROADCAST, "other.cache", "b3", NULL), MARTY_OK);
    await(a, 2);
    await(b, 3);
    CHECK_TEXT(heard(a), "b1 b2");
    size_t one = b->delivered[0].subscription == 1 ? 0 : b->delivered[1].subscription == 1 ? 1 : 2;
    CHECK_INT(settle(b, &b->delivered[one], MARTY_SETTLE_RETRY, 0), MARTY_OK); /* no meaning */
    barrier(b);
    CHECK_INT(b->deliveries, 3);
    test_backend->grant(b->port, 1, 5);
    await(b, 4);
    CHECK_TEXT(b->delivered[3].message->id, "b2");
    probe_close(a);
    probe_close(b);
}

static marty_outgoing request_to(const char *name, const char *reply_to)
{
    return (marty_outgoing){.channel = {.kind = MARTY_KIND_REQUEST, .name = name},
                            .reply_to = reply_to};
}

static void a_request_is_answered_or_has_no_responder(void)
{
    probe *asker = probe_open("rpc?prefix=t"), *user = probe_open("rpc?prefix=t");
    marty_message q1 = {.id = "q1"}, q2 = {.id = "q2"}, r1 = {.id = "r1"};
    listen_to(asker, 9, MARTY_KIND_REPLY, "replies.a.1", NULL, 10);
    CHECK_INT(publish(asker, request_to("queries.user", "replies.a.1"), &q1).err,
              MARTY_E_NO_RESPONDER);
    listen_to(user, 1, MARTY_KIND_REQUEST, "queries.user", "user", 0);
    CHECK_INT(publish(asker, request_to("queries.user", "replies.a.1"), &q2).err, MARTY_OK);
    barrier(user);
    CHECK_INT(user->deliveries, 0); /* it waits for credit */
    test_backend->grant(user->port, 1, 4);
    await(user, 1);
    CHECK_TEXT(heard(user), "q2");
    CHECK(user->delivered[0].reply_to[0] != '\0');
    marty_outgoing reply = {
        .channel = {.kind = MARTY_KIND_REPLY, .name = user->delivered[0].reply_to}};
    CHECK_INT(publish(user, reply, &r1).err, MARTY_OK);
    await(asker, 1);
    CHECK_TEXT(heard(asker), "r1");
    CHECK_INT(settle(user, &user->delivered[0], MARTY_SETTLE_ACK, 0), MARTY_OK);
    CHECK_INT(settle(user, &user->delivered[0], MARTY_SETTLE_ACK, 0), MARTY_OK);
    unlisten(asker, 9);
    r1.id = "r2";
    CHECK_INT(publish(user, reply, &r1).err, MARTY_OK); /* nobody waits: dropped */
    reply.channel.name = "t.queries.user";
    CHECK_INT(publish(user, reply, &r1).err, MARTY_E_ARGUMENT);
    probe_close(user);
    CHECK_INT(publish(asker, request_to("queries.user", "replies.a.1"), &q2).err,
              MARTY_E_NO_RESPONDER);
    probe_close(asker);
}

static void wildcards_span_channels_also_new_ones(void)
{
    probe *a = probe_open("wild"), *b = probe_open("wild");
    CHECK_INT(say(a, MARTY_KIND_TOPIC, "events.order", "m0", NULL), MARTY_OK);
    listen_to(a, 1, MARTY_KIND_TOPIC, "events.*", "audit", 3);
    listen_to(a, 2, MARTY_KIND_TOPIC, ">", "all", 10);
    CHECK_INT(say(b, MARTY_KIND_TOPIC, "events.order", "m1", NULL), MARTY_OK);
    CHECK_INT(say(b, MARTY_KIND_TOPIC, "events.user", "m2", NULL), MARTY_OK);
    CHECK_INT(say(b, MARTY_KIND_TOPIC, "events.user.eu", "m3", NULL), MARTY_OK);
    CHECK_INT(say(b, MARTY_KIND_TOPIC, "events.order", "m4", NULL), MARTY_OK);
    CHECK_INT(say(b, MARTY_KIND_TOPIC, "events.order", "m5", NULL), MARTY_OK);
    await(a, 3 + 5);
    barrier(a);
    size_t audit = 0;
    for (size_t i = 0; i < a->deliveries; i++) {
        audit += a->delivered[i].subscription == 1;
    }
    CHECK_INT(audit, 3); /* one credit for all its channels */
    CHECK_INT(a->deliveries, 3 + 5);
    ack_all(a);
    unlisten(a, 1);
    CHECK_INT(say(b, MARTY_KIND_TOPIC, "events.new", "m6", NULL), MARTY_OK);
    await(a, 9);
    listen_to(a, 3, MARTY_KIND_TOPIC, "events.*", "audit", 10);
    await(a, 9 + 2); /* m5 and, of a channel made meanwhile, m6 */
    marty_want wild = {.channel = {.kind = MARTY_KIND_QUEUE, .name = "commands.*"}};
    CHECK_INT(subscribe_with(a, 4, wild), MARTY_E_UNSUPPORTED);
    CHECK_INT(say(a, MARTY_KIND_TOPIC, "events.*", "m7", NULL), MARTY_E_ARGUMENT);
    probe_close(a);
    probe_close(b);
}

static void prefixes_keep_apart(void)
{
    probe *a = probe_open("apart?prefix=a"), *b = probe_open("apart?prefix=b");
    listen_to(b, 1, MARTY_KIND_QUEUE, "commands.q", "q", 1);
    CHECK_INT(say(a, MARTY_KIND_QUEUE, "commands.q", "x", NULL), MARTY_OK);
    barrier(b);
    CHECK_INT(b->deliveries, 0);
    marty_outgoing native = {
        .channel = {.kind = MARTY_KIND_QUEUE, .name = "b.commands.q", .native = true}};
    marty_message message = {.id = "n"};
    CHECK_INT(publish(a, native, &message).err, MARTY_OK);
    await(b, 1);
    CHECK_TEXT(heard(b), "n");
    probe_close(a);
    probe_close(b);
}

static void what_differs_is_refused(void)
{
    probe *a = probe_open("differs"), *c = probe_open("differs?topology=check");
    marty_want want = {.channel = {.kind = MARTY_KIND_TOPIC, .name = "events.x", .group = "g"}};
    CHECK_INT(say(c, MARTY_KIND_TOPIC, "events.x", "m", NULL), MARTY_E_NOT_FOUND);
    CHECK_HAS(c->why_not[0], "events.x");
    CHECK_INT(subscribe_with(c, 1, want), MARTY_E_NOT_FOUND);
    CHECK_INT(say(a, MARTY_KIND_QUEUE, "events.x", "m", NULL), MARTY_OK);
    CHECK_INT(say(a, MARTY_KIND_TOPIC, "events.x", "m", NULL), MARTY_E_EXISTS);
    CHECK_HAS(a->why_not[1], "kind: topic is wanted, queue is there");
    CHECK_INT(subscribe_with(a, 1, want), MARTY_E_EXISTS);
    CHECK_INT(say(a, MARTY_KIND_QUEUE, "", "m", NULL), MARTY_E_ARGUMENT);
    CHECK_INT(say(a, MARTY_KIND_QUEUE, "a\nb", "m", NULL), MARTY_E_ARGUMENT);
    want.channel = (marty_channel){.kind = MARTY_KIND_DEAD, .name = "dead.x"};
    CHECK_INT(subscribe_with(a, 1, want), MARTY_E_UNSUPPORTED);
    marty_message message = {.id = "late"};
    marty_outgoing late = {.channel = {.kind = MARTY_KIND_QUEUE, .name = "events.x"},
                           .deadline_ns = test_monotonic(NULL) - 1};
    CHECK_INT(publish(a, late, &message).err, MARTY_E_TIMEOUT);
    CHECK_INT(say(a, MARTY_KIND_STREAM, "streams.s", "m", NULL), MARTY_OK);
    marty_outgoing unordered = {
        .channel = {.kind = MARTY_KIND_STREAM, .order = MARTY_ORDER_NONE, .name = "streams.s"}};
    CHECK_INT(publish(a, unordered, &message).err, MARTY_E_EXISTS);
    unlisten(a, 44);
    probe_close(a);
    probe_close(c);
}

/** URLs that are refused, each with what the error says of it. */
typedef struct refused_url {
    const char *url, *says;
} refused_url;

TOOL void a_url_says_only_what_is_true(const refused_url urls[], size_t count)
{
    marty_sink none = noting_sink;
    for (size_t i = 0; i < count; i++) {
        marty_error why = {0};
        marty_port *port = NULL;
        CHECK_INT(test_backend->open(&port, urls[i].url, &none, &why), MARTY_E_CONFIG);
        CHECK_HAS(why.text, urls[i].says);
    }
}

/* Unsettled: with a member; lag: with nobody; due: what of it could go now. */
static void what_waits_is_told_from_what_is_held(void)
{
    probe *a = probe_open("waits");
    marty_want topic = {.channel = {.kind = MARTY_KIND_TOPIC, .name = "events.x", .group = "g"}};
    marty_want stream = {.channel = {.kind = MARTY_KIND_STREAM, .name = "streams.x", .group = "g"}};
    stream.channel.order = MARTY_ORDER_KEY;
    listen_to(a, 1, MARTY_KIND_TOPIC, "events.x", "g", 1);
    CHECK_INT(say(a, MARTY_KIND_TOPIC, "events.x", "m1", NULL), MARTY_OK);
    CHECK_INT(say(a, MARTY_KIND_TOPIC, "events.x", "m2", NULL), MARTY_OK);
    await(a, 1);
    CHECK_HAS(ask(a, "inspect", topic, NULL), "\"lag\":1,\"due\":1,\"unsettled\":1,");
    CHECK_INT(settle(a, &a->delivered[0], MARTY_SETTLE_RETRY, 60000), MARTY_OK);
    CHECK_HAS(ask(a, "inspect", topic, NULL), "\"lag\":2,\"due\":1,\"unsettled\":0,");
    stream.credit = 1;
    CHECK_INT(subscribe_with(a, 2, stream), MARTY_OK);
    CHECK_INT(say(a, MARTY_KIND_STREAM, "streams.x", "s1", "k"), MARTY_OK);
    CHECK_INT(say(a, MARTY_KIND_STREAM, "streams.x", "s2", "k"), MARTY_OK);
    await(a, 2);
    CHECK_HAS(ask(a, "inspect", stream, NULL), "\"lag\":1,\"due\":0,\"unsettled\":1,");
    probe_close(a);
}

TOOL void share_cases(void)
{
    groups_each_get_all_and_share();
    an_instance_alone_hears_all_from_now_on();
    a_group_keeps_its_backlog();
    a_late_group_may_start_anywhere();
    a_queue_gives_each_to_one_and_waits_for_somebody();
    credit_is_never_exceeded();
    broadcast_reaches_every_instance_that_is_there();
    a_request_is_answered_or_has_no_responder();
    wildcards_span_channels_also_new_ones();
    prefixes_keep_apart();
    what_differs_is_refused();
    what_waits_is_told_from_what_is_held();
}
#endif
