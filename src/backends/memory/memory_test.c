/* SPDX-License-Identifier: Apache-2.0
 * The memory: port, kind by kind: who gets what, credit, and what a URL may say. */
#include "test_port.h"

#include "backend/test_share.h"

static void a_query_that_waits_learns_that_nobody_is_left(void)
{
    probe *asker = probe_open("left"), *user = probe_open("left");
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
    probe *a = probe_open(""), *b = probe_open("");
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

static void private_brokers_keep_apart(void)
{
    probe *a = probe_open(""), *b = probe_open("");
    listen_to(b, 1, MARTY_KIND_QUEUE, "commands.q", "q", 1);
    CHECK_INT(say(a, MARTY_KIND_QUEUE, "commands.q", "x", NULL), MARTY_OK);
    CHECK_INT(b->deliveries, 0);
    probe_close(a);
    probe_close(b);
}

/* A broker goes on while a port of it is open, though none was connected for a while. */
static void what_is_for_later_survives_a_time_without_ports(void)
{
    probe *a = probe_open("kept"), *b = probe_new("memory:kept");
    marty_message m1 = {.id = "m1"};
    marty_outgoing later = {.channel = {.kind = MARTY_KIND_QUEUE, .name = "commands.q"},
                            .deliver_at_us = test_wall(NULL) + 500000};
    CHECK_INT(publish(a, later, &m1).err, MARTY_OK);
    probe_close(a);
    pass_ms(1000);
    CHECK_INT(probe_connect(b), MARTY_STATE_UP);
    listen_to(b, 1, MARTY_KIND_QUEUE, "commands.q", "q", 5);
    await(b, 1);
    CHECK_TEXT(heard(b), "m1");
    probe_close(b);
}

static void a_broker_lives_as_long_as_its_ports(void)
{
    marty_sink none = noting_sink;
    marty_error why = {0};
    marty_port *port = NULL;
    probe *a = probe_open("said?limit=1MiB&level=memory&replicas=1&retention=1h,1MiB");
    CHECK_INT(test_backend->open(&port, "memory:said?limit=2MiB", &none, &why), MARTY_E_CONFIG);
    CHECK_HAS(why.text, "open with another limit");
    CHECK_INT(a->granted.payload_bytes_max, 131072);
    CHECK_INT(a->granted.deduplicate_ms, 600000);
    probe_close(a);
    a = probe_open("said?dedup=0&lease=3s"); /* the first one went with its broker */
    CHECK_INT(a->granted.can[MARTY_KIND_TOPIC] & MARTY_CAN_DEDUPLICATE, 0);
    CHECK_INT(a->granted.lease_ms, 3000);
    probe_close(a);
}

static const refused_url urls[] = {{"memory://host", "no host"},
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

int main(void)
{
    share_cases();
    a_query_that_waits_learns_that_nobody_is_left();
    what_nobody_listens_to_leaves_nothing_behind();
    private_brokers_keep_apart();
    a_url_says_only_what_is_true(urls, sizeof urls / sizeof urls[0]);
    what_is_for_later_survives_a_time_without_ports();
    a_broker_lives_as_long_as_its_ports();
    return check_result();
}
