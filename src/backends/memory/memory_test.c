/* SPDX-License-Identifier: Apache-2.0
 * The memory: port, kind by kind: who gets what, credit, and what a URL may say. */
#include "test_port.h"

static void groups_each_get_all_and_share(void)
{
    probe *a = probe_open("memory:share"), *b = probe_open("memory:share");
    listen_to(a, 1, MARTY_KIND_TOPIC, "events.order", "billing", 10);
    listen_to(b, 1, MARTY_KIND_TOPIC, "events.order", "billing", 10);
    listen_to(b, 2, MARTY_KIND_TOPIC, "events.order", "shipping", 10);
    CHECK_INT(say(a, MARTY_KIND_TOPIC, "events.order", "m1", NULL), MARTY_OK);
    CHECK_INT(say(a, MARTY_KIND_TOPIC, "events.order", "m2", NULL), MARTY_OK);
    CHECK_TEXT(heard(a), "m1");
    CHECK_INT(b->deliveries, 3);
    CHECK_TEXT(a->delivered[0].position, "1");
    CHECK_INT(a->delivered[0].attempt, 1);
    CHECK_INT(a->delivered[0].lease_until_ns, INT64_MAX);
    CHECK_TEXT(a->published[1].position, "2");
    CHECK_INT(a->published[1].level, MARTY_LEVEL_MEMORY);
    ack_all(a);
    ack_all(b);
    probe_close(a);
    probe_close(b);
}

static void an_instance_alone_hears_all_from_now_on(void)
{
    probe *a = probe_open("memory:alone"), *b = probe_open("memory:alone");
    CHECK_INT(say(a, MARTY_KIND_TOPIC, "events.order", "before", NULL), MARTY_OK);
    listen_to(a, 1, MARTY_KIND_TOPIC, "events.order", NULL, 10);
    listen_to(b, 1, MARTY_KIND_TOPIC, "events.order", NULL, 10);
    CHECK_INT(say(a, MARTY_KIND_TOPIC, "events.order", "after", NULL), MARTY_OK);
    CHECK_TEXT(heard(a), "after");
    CHECK_TEXT(heard(b), "after");
    test_backend->unsubscribe(b->port, 1);
    CHECK_INT(b->subscribed[1].reason, MARTY_E_CLOSED);
    CHECK_INT(say(a, MARTY_KIND_TOPIC, "events.order", "later", NULL), MARTY_OK);
    CHECK_TEXT(heard(b), "after");
    probe_close(b);
    probe_close(a);
}

static void a_group_keeps_its_backlog(void)
{
    probe *a = probe_open("memory:");
    listen_to(a, 1, MARTY_KIND_TOPIC, "events.order", "billing", 0);
    test_backend->unsubscribe(a->port, 1);
    CHECK_INT(say(a, MARTY_KIND_TOPIC, "events.order", "m1", NULL), MARTY_OK);
    listen_to(a, 2, MARTY_KIND_TOPIC, "events.order", "billing", 5);
    CHECK_TEXT(heard(a), "m1");
    probe_close(a);
}

static void a_late_group_may_start_at_the_earliest(void)
{
    probe *a = probe_open("memory:");
    marty_want want = {.channel = {.kind = MARTY_KIND_TOPIC, .name = "events.x", .group = "g"},
                       .start = {.from = MARTY_FROM_EARLIEST},
                       .credit = 9};
    CHECK_INT(say(a, MARTY_KIND_TOPIC, "events.x", "m1", NULL), MARTY_OK);
    CHECK_INT(subscribe_with(a, 1, want), MARTY_OK);
    ack_all(a);
    want.channel.group = "h"; /* what one group has passed is there for another */
    CHECK_INT(subscribe_with(a, 2, want), MARTY_OK);
    CHECK_TEXT(heard(a), "m1 m1");
    listen_to(a, 3, MARTY_KIND_STREAM, "streams.y", "g", 9); /* streams begin there */
    CHECK_INT(say(a, MARTY_KIND_STREAM, "streams.y", "s1", "k"), MARTY_OK);
    listen_to(a, 4, MARTY_KIND_STREAM, "streams.y", "h", 9);
    CHECK_TEXT(heard(a), "m1 m1 s1 s1");
    probe_close(a);
}

static void a_queue_gives_each_to_one_and_waits_for_somebody(void)
{
    probe *a = probe_open("memory:queue"), *b = probe_open("memory:queue");
    CHECK_INT(say(a, MARTY_KIND_QUEUE, "commands.pay", "c1", NULL), MARTY_OK);
    listen_to(a, 1, MARTY_KIND_QUEUE, "commands.pay", "pay", 2);
    listen_to(b, 1, MARTY_KIND_QUEUE, "commands.pay", "pay", 2);
    CHECK_INT(say(a, MARTY_KIND_QUEUE, "commands.pay", "c2", NULL), MARTY_OK);
    CHECK_INT(say(a, MARTY_KIND_QUEUE, "commands.pay", "c3", NULL), MARTY_OK);
    CHECK_INT(a->deliveries + b->deliveries, 3);
    CHECK(a->deliveries && b->deliveries);
    CHECK_TEXT(a->delivered[0].position, "");
    probe_close(a); /* gives back what it has */
    CHECK_INT(b->deliveries, 2);
    test_backend->grant(b->port, 1, 5);
    CHECK_INT(b->deliveries, 3);
    for (size_t i = 0; i < b->deliveries; i++) {
        CHECK_INT(b->delivered[i].attempt, 1);
    }
    probe_close(b);
}

static void credit_is_never_exceeded(void)
{
    probe *a = probe_open("memory:");
    listen_to(a, 1, MARTY_KIND_QUEUE, "commands.q", "q", 3);
    for (int i = 0; i < 10; i++) {
        char id[8];
        (void)snprintf(id, sizeof id, "c%d", i);
        CHECK_INT(say(a, MARTY_KIND_QUEUE, "commands.q", id, NULL), MARTY_OK);
    }
    CHECK_TEXT(heard(a), "c0 c1 c2");
    CHECK_INT(settle(a, &a->delivered[1], MARTY_SETTLE_ACK, 0), MARTY_OK);
    CHECK_INT(a->deliveries, 3); /* settling is not granting */
    test_backend->grant(a->port, 1, 2);
    CHECK_TEXT(heard(a), "c0 c1 c2 c3 c4");
    test_backend->grant(a->port, 1, 100);
    CHECK_INT(a->deliveries, 10);
    test_backend->grant(a->port, 77, 1); /* nobody's */
    probe_close(a);
}

static void broadcast_reaches_every_instance_that_is_there(void)
{
    probe *a = probe_open("memory:cast"), *b = probe_open("memory:cast");
    CHECK_INT(say(a, MARTY_KIND_BROADCAST, "broadcast.cache", "b0", NULL), MARTY_OK);
    listen_to(a, 1, MARTY_KIND_BROADCAST, "broadcast.cache", NULL, 10);
    listen_to(b, 1, MARTY_KIND_BROADCAST, "broadcast.cache", NULL, 1);
    CHECK_INT(say(a, MARTY_KIND_BROADCAST, "broadcast.cache", "b1", NULL), MARTY_OK);
    CHECK_INT(say(a, MARTY_KIND_BROADCAST, "broadcast.cache", "b2", NULL), MARTY_OK);
    CHECK_TEXT(heard(a), "b1 b2");
    CHECK_TEXT(heard(b), "b1");
    CHECK_INT(settle(b, &b->delivered[0], MARTY_SETTLE_RETRY, 0), MARTY_OK); /* no meaning */
    test_backend->grant(b->port, 1, 5);
    CHECK_TEXT(heard(b), "b1 b2");
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
    probe *asker = probe_open("memory:rpc?prefix=t"), *user = probe_open("memory:rpc?prefix=t");
    marty_message q1 = {.id = "q1"}, q2 = {.id = "q2"}, r1 = {.id = "r1"};
    listen_to(asker, 9, MARTY_KIND_REPLY, "replies.a.1", NULL, 10);
    CHECK_INT(publish(asker, request_to("queries.user", "replies.a.1"), &q1).err,
              MARTY_E_NO_RESPONDER);
    listen_to(user, 1, MARTY_KIND_REQUEST, "queries.user", "user", 0);
    CHECK_INT(publish(asker, request_to("queries.user", "replies.a.1"), &q2).err, MARTY_OK);
    CHECK_INT(user->deliveries, 0); /* it waits for credit */
    test_backend->grant(user->port, 1, 4);
    CHECK_TEXT(heard(user), "q2");
    CHECK(user->delivered[0].reply_to[0] != '\0');
    marty_outgoing reply = {
        .channel = {.kind = MARTY_KIND_REPLY, .name = user->delivered[0].reply_to}};
    CHECK_INT(publish(user, reply, &r1).err, MARTY_OK);
    CHECK_TEXT(heard(asker), "r1");
    CHECK_INT(settle(user, &user->delivered[0], MARTY_SETTLE_ACK, 0), MARTY_OK);
    CHECK_INT(settle(user, &user->delivered[0], MARTY_SETTLE_ACK, 0), MARTY_OK);
    test_backend->unsubscribe(asker->port, 9);
    r1.id = "r2";
    CHECK_INT(publish(user, reply, &r1).err, MARTY_OK); /* nobody waits: dropped */
    reply.channel.name = "t.queries.user";
    CHECK_INT(publish(user, reply, &r1).err, MARTY_E_ARGUMENT);
    probe_close(user);
    CHECK_INT(publish(asker, request_to("queries.user", "replies.a.1"), &q2).err,
              MARTY_E_NO_RESPONDER);
    probe_close(asker);
}

static void a_query_that_waits_learns_that_nobody_is_left(void)
{
    probe *asker = probe_open("memory:left"), *user = probe_open("memory:left");
    marty_message q1 = {.id = "q1"}, q2 = {.id = "q2"};
    listen_to(asker, 9, MARTY_KIND_REPLY, "replies.a.1", NULL, 10);
    listen_to(user, 1, MARTY_KIND_REQUEST, "queries.user", "user", 0);
    CHECK_INT(publish(asker, request_to("queries.user", "replies.a.1"), &q1).err, MARTY_OK);
    CHECK_INT(publish(asker, request_to("queries.user", NULL), &q2).err, MARTY_OK);
    CHECK_INT(asker->deliveries, 0);
    test_backend->unsubscribe(user->port, 1);
    REQUIRE(asker->deliveries == 1);
    CHECK_TEXT(asker->delivered[0].message->causation_id, "q1");
    marty_bytes status = marty_message_header(asker->delivered[0].message, "martyreply");
    CHECK_BYTES(status.data, status.size, "MARTY_E_NO_RESPONDER", strlen("MARTY_E_NO_RESPONDER"));
    listen_to(user, 2, MARTY_KIND_REQUEST, "queries.user", "user", 5);
    CHECK_INT(user->deliveries, 0);
    probe_close(user);
    probe_close(asker);
}

static void what_nobody_listens_to_leaves_nothing_behind(void)
{
    probe *a = probe_open("memory:"), *b = probe_open("memory:");
    marty_message message = {.id = "q"};
    CHECK_INT(say(a, MARTY_KIND_BROADCAST, "broadcast.x", "b1", NULL), MARTY_OK);
    CHECK_INT(publish(a, request_to("queries.x", "replies.a.1"), &message).err,
              MARTY_E_NO_RESPONDER);
    listen_to(a, 1, MARTY_KIND_BROADCAST, "broadcast.x", NULL, 5);
    listen_to(a, 2, MARTY_KIND_REQUEST, "queries.x", "x", 5);
    CHECK_HAS(ask(a, "list", (marty_want){0}, NULL), "broadcast.x");
    test_backend->unsubscribe(a->port, 1);
    test_backend->unsubscribe(a->port, 2);
    CHECK_TEXT(ask(a, "list", (marty_want){0}, NULL), "{\"channels\":[]}");
    listen_to(b, 1, MARTY_KIND_BROADCAST, "broadcast.>", NULL, 5);
    CHECK_INT(say(b, MARTY_KIND_BROADCAST, "broadcast.new", "b2", NULL), MARTY_OK);
    CHECK_TEXT(heard(b), "b2");
    probe_close(a);
    probe_close(b);
}

static void wildcards_span_channels_also_new_ones(void)
{
    probe *a = probe_open("memory:");
    CHECK_INT(say(a, MARTY_KIND_TOPIC, "events.order", "m0", NULL), MARTY_OK);
    listen_to(a, 1, MARTY_KIND_TOPIC, "events.*", "audit", 3);
    listen_to(a, 2, MARTY_KIND_TOPIC, ">", "all", 10);
    CHECK_INT(say(a, MARTY_KIND_TOPIC, "events.order", "m1", NULL), MARTY_OK);
    CHECK_INT(say(a, MARTY_KIND_TOPIC, "events.user", "m2", NULL), MARTY_OK);
    CHECK_INT(say(a, MARTY_KIND_TOPIC, "events.user.eu", "m3", NULL), MARTY_OK);
    CHECK_INT(say(a, MARTY_KIND_TOPIC, "events.order", "m4", NULL), MARTY_OK);
    CHECK_INT(say(a, MARTY_KIND_TOPIC, "events.order", "m5", NULL), MARTY_OK);
    size_t audit = 0;
    for (size_t i = 0; i < a->deliveries; i++) {
        audit += a->delivered[i].subscription == 1;
    }
    CHECK_INT(audit, 3); /* m1 m2 m4: one credit for all its channels */
    CHECK_INT(a->deliveries, 3 + 5);
    ack_all(a);
    marty_want wild = {.channel = {.kind = MARTY_KIND_QUEUE, .name = "commands.*"}};
    CHECK_INT(subscribe_with(a, 3, wild), MARTY_E_UNSUPPORTED);
    CHECK_INT(say(a, MARTY_KIND_TOPIC, "events.*", "m6", NULL), MARTY_E_ARGUMENT);
    probe_close(a);
}

static void prefixes_and_private_brokers_keep_apart(void)
{
    probe *a = probe_open("memory:apart?prefix=a"), *b = probe_open("memory:apart?prefix=b");
    probe *c = probe_open("memory:"), *d = probe_open("memory:");
    listen_to(b, 1, MARTY_KIND_QUEUE, "commands.q", "q", 1);
    listen_to(d, 1, MARTY_KIND_QUEUE, "commands.q", "q", 1);
    CHECK_INT(say(a, MARTY_KIND_QUEUE, "commands.q", "x", NULL), MARTY_OK);
    CHECK_INT(say(c, MARTY_KIND_QUEUE, "commands.q", "x", NULL), MARTY_OK);
    CHECK_INT(b->deliveries + d->deliveries, 0);
    marty_outgoing native = {
        .channel = {.kind = MARTY_KIND_QUEUE, .name = "b.commands.q", .native = true}};
    marty_message message = {.id = "n"};
    CHECK_INT(publish(a, native, &message).err, MARTY_OK);
    CHECK_TEXT(heard(b), "n");
    probe_close(a);
    probe_close(b);
    probe_close(c);
    probe_close(d);
}

static void what_differs_is_refused(void)
{
    probe *a = probe_open("memory:?topology=check"), *b = probe_open("memory:");
    marty_want want = {.channel = {.kind = MARTY_KIND_TOPIC, .name = "events.x", .group = "g"}};
    CHECK_INT(say(a, MARTY_KIND_TOPIC, "events.x", "m", NULL), MARTY_E_NOT_FOUND);
    CHECK_HAS(a->why_not[0], "there is no channel events.x");
    CHECK_INT(subscribe_with(a, 1, want), MARTY_E_NOT_FOUND);
    CHECK_INT(say(b, MARTY_KIND_QUEUE, "events.x", "m", NULL), MARTY_OK);
    CHECK_INT(say(b, MARTY_KIND_TOPIC, "events.x", "m", NULL), MARTY_E_EXISTS);
    CHECK_HAS(b->why_not[1], "kind: topic is wanted, queue is there");
    CHECK_INT(subscribe_with(b, 1, want), MARTY_E_EXISTS);
    CHECK_INT(say(b, MARTY_KIND_QUEUE, "", "m", NULL), MARTY_E_ARGUMENT);
    CHECK_INT(say(b, MARTY_KIND_QUEUE, "a\nb", "m", NULL), MARTY_E_ARGUMENT);
    want.channel = (marty_channel){.kind = MARTY_KIND_DEAD, .name = "dead.x"};
    CHECK_INT(subscribe_with(b, 1, want), MARTY_E_UNSUPPORTED);
    marty_message message = {.id = "late"};
    marty_outgoing late = {.channel = {.kind = MARTY_KIND_QUEUE, .name = "events.x"},
                           .deadline_ns = test_now_ns - 1};
    CHECK_INT(publish(b, late, &message).err, MARTY_E_TIMEOUT);
    test_backend->unsubscribe(b->port, 44);
    CHECK_INT(b->subscribed[0].reason, MARTY_E_CLOSED);
    probe_close(a);
    probe_close(b);
}

static void a_url_says_only_what_is_true(void)
{
    static const struct {
        const char *url, *says;
    } cases[] = {{"memory://host", "no host"},
                 {"memory:?limmit=5", "did you mean \"limit\""},
                 {"memory:?limit=1", "at least 64KiB"},
                 {"memory:?limit=many", "no size"},
                 {"memory:?lease=soon", "no duration"},
                 {"memory:?retention=7d,often", "neither a duration nor a size"},
                 {"memory:?level=synced", "lost with the process"},
                 {"memory:?replicas=3", "one process"},
                 {"memory:?envelope=legacy", "messages, not bytes"},
                 {"memory:?tls_ca=x", "no connection"},
                 {"memory:?topology=maybe", "create, check or none"},
                 {"memory:?trim=soft", "only be hard"},
                 {"memory:?dedup=15d", "at most 14d"},
                 {"memory:?prefix=a.*", "prefix"}};
    static probe none;
    none.sink = noting_sink;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        marty_error why = {0};
        marty_port *port = NULL;
        CHECK_INT(test_backend->open(&port, cases[i].url, &none.sink, &why), MARTY_E_CONFIG);
        CHECK_HAS(why.text, cases[i].says);
    }
    probe *a = probe_open("memory:said?limit=1MiB&level=memory&replicas=1&retention=1h,1MiB");
    marty_error why = {0};
    marty_port *port = NULL;
    CHECK_INT(test_backend->open(&port, "memory:said?limit=2MiB", &none.sink, &why),
              MARTY_E_CONFIG);
    CHECK_HAS(why.text, "open with another limit");
    CHECK_INT(a->granted.payload_bytes_max, 131072);
    CHECK_INT(a->granted.deduplicate_ms, 600000);
    probe_close(a);
    a = probe_open("memory:said?dedup=0&lease=3s"); /* the first one went with its broker */
    CHECK_INT(a->granted.can[MARTY_KIND_TOPIC] & MARTY_CAN_DEDUPLICATE, 0);
    CHECK_INT(a->granted.lease_ms, 3000);
    probe_close(a);
}

int main(void)
{
    groups_each_get_all_and_share();
    an_instance_alone_hears_all_from_now_on();
    a_group_keeps_its_backlog();
    a_late_group_may_start_at_the_earliest();
    a_queue_gives_each_to_one_and_waits_for_somebody();
    credit_is_never_exceeded();
    broadcast_reaches_every_instance_that_is_there();
    a_request_is_answered_or_has_no_responder();
    a_query_that_waits_learns_that_nobody_is_left();
    what_nobody_listens_to_leaves_nothing_behind();
    wildcards_span_channels_also_new_ones();
    prefixes_and_private_brokers_keep_apart();
    what_differs_is_refused();
    a_url_says_only_what_is_true();
    return check_result();
}
