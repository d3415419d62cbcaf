/* SPDX-License-Identifier: Apache-2.0
 * What a source keeps, and for how long, by a clock that the test sets: what was kept beyond its
 * lease is the server's again, and is never handed over as if it were ours. No server: what would
 * be sent to one is read from the buffer of the wire. */
#include "kept.h"
#include "parts.h"

#include "tests/check.h"

#include <stdio.h>
#include <string.h>

static int64_t now_ns;

static int64_t monotonic(void *user)
{
    (void)user;
    return now_ns;
}

static int64_t wall(void *user)
{
    (void)user;
    return now_ns / 1000;
}

static const marty_env surroundings = {.monotonic_ns = monotonic, .wall_us = wall};

static struct {
    char positions[256];    /* in their order, each with a space */
    int64_t lease_until_ns; /* of the last one */
    uint32_t attempt;
} handed;

static void delivered(const marty_sink *sink, const marty_incoming batch[], size_t count)
{
    (void)sink;
    for (size_t i = 0; i < count; i++) {
        size_t size = strlen(handed.positions);
        (void)snprintf(handed.positions + size, sizeof handed.positions - size, "%s ",
                       batch[i].position);
        handed.lease_until_ns = batch[i].lease_until_ns;
        handed.attempt = batch[i].attempt;
        marty_message_unref(batch[i].message);
    }
}

static const marty_sink sink = {.env = &surroundings, .delivered = delivered};
static marty_port port;
static nats__channel channel = {.kind = MARTY_KIND_QUEUE, .name = "q", .stream = "S", .shards = 1};
static nats__subscription subscription;
static nats__source source;

static int64_t s(double seconds)
{
    return (int64_t)(seconds * 1e9);
}

static void begin(bool ordered)
{
    static char connection; /* that there is one; nothing looks into it */
    now_ns = s(100);
    memset(&port, 0, sizeof port);
    memset(&subscription, 0, sizeof subscription);
    memset(&source, 0, sizeof source);
    memset(&handed, 0, sizeof handed);
    (void)pthread_mutex_init(&port.lock, NULL);
    port.sink = &sink;
    port.life = NATS__UP;
    port.payload_max = 1 << 20;
    port.options.prefix = "";
    port.wires[0].nc = (natsConnection *)(void *)&connection;
    port.wires[0].port = &port;
    port.batch = nats__batch_new();
    marty__list_init(&port.jobs);
    marty__list_init(&port.subscriptions);
    marty__list_init(&subscription.sources);
    subscription.port = &port;
    source.owner = &subscription;
    source.channel = &channel;
    source.lease_ms = 10000;
    source.running = true;
    source.ordered = ordered;
    source.valid_until_ns = INT64_MAX;
    source.ack_prefix_size = strlen("$JS.ACK.S.c.");
    source.ack_prefix = marty_alloc(64);
    REQUIRE(source.ack_prefix && port.batch);
    (void)snprintf(source.ack_prefix, 64, "$JS.ACK.S.c.");
    (void)snprintf(source.consumer, sizeof source.consumer, "c");
    marty__list_push(&port.subscriptions, &subscription.link);
    marty__list_push(&subscription.sources, &source.link);
}

static void end(void)
{
    marty__link *link;
    while ((link = marty__list_pop(&port.jobs)) != NULL) {
        marty_free(MARTY__OWNER(link, nats__job, link));
    }
    nats__entries_drop_locked(&subscription, NULL, false);
    for (size_t i = 0; i < source.kept_count; i++) {
        marty_free(source.kept[source.kept_head + i]);
    }
    marty_free(subscription.orphans.data);
    marty_free(source.kept);
    marty_free(source.awaited);
    marty_free(source.ack_prefix);
    marty_free(subscription.entries);
    marty_free(port.wires[0].out.data);
    nats__batch_free(port.batch);
    (void)pthread_mutex_destroy(&port.lock);
}

static void come(unsigned sequence, unsigned times)
{
    char reply[128];
    (void)snprintf(reply, sizeof reply, "$JS.ACK.S.c.%u.%u.1.1700000000000000000.0", times,
                   sequence);
    static const char lines[] =
        "ce-specversion: 1.0\r\nce-type: q\r\nce-source: /s\r\nce-id: 1\r\n";
    nats__message message = {.subject = "q",
                             .reply = reply,
                             .lines = lines,
                             .lines_size = sizeof lines - 1,
                             .data = "{}",
                             .size = 2,
                             .told = ""};
    (void)nats__deliver(&port, &source, &message, 1, true);
}

static void look(void)
{
    (void)nats__sources_look(&port, now_ns);
}

/* How often the server was told that, since it was asked last. */
static unsigned told(const char *word)
{
    unsigned count = 0;
    nats__buffer *out = &port.wires[0].out;
    if (out->size > 0) {
        REQUIRE(nats__buffer_append(out, "", 1));
        for (const char *at = out->data; (at = strstr(at, word)) != NULL; at++) {
            count++;
        }
    }
    out->size = 0;
    return count;
}

static void each_is_given_back_at_half_its_own_lease(void)
{
    begin(false);
    come(1, 1);
    now_ns += s(3);
    come(2, 1);
    now_ns += s(3);
    look();
    CHECK_INT(told("-NAK"), 1); /* the first */
    CHECK_INT(source.kept_count, 1);
    subscription.credit = 1;
    look();
    CHECK_TEXT(handed.positions, "2 ");
    CHECK_INT(handed.lease_until_ns, s(113)); /* of when it came */
    end();
}

static void one_that_is_kept_again_is_as_old_as_it_was(void)
{
    begin(false);
    come(1, 1);
    now_ns += s(4);
    nats__message *first = nats__kept_take_locked(&source); /* it was to go, and there was credit */
    CHECK_INT(nats__deliver(&port, &source, first, 1, false), 0);
    marty_free(first);
    CHECK_INT(source.kept_count, 1);
    now_ns += s(4);
    subscription.credit = 1;
    look();
    CHECK_TEXT(handed.positions, "");
    CHECK_INT(told("-NAK"), 1);
    end();
}

static void what_is_past_its_lease_is_the_servers(void)
{
    begin(false);
    come(1, 1);
    now_ns += s(11); /* this process stood still: another one may have it */
    subscription.credit = 1;
    look();
    CHECK_TEXT(handed.positions, "");
    CHECK_INT(told("$JS.ACK"), 0);
    CHECK_INT(source.kept_count, 0);
    come(1, 2);
    CHECK_TEXT(handed.positions, "1 ");
    CHECK_INT(handed.attempt, 1); /* nobody has tried it */
    end();
}

static void what_must_stay_for_its_order_is_renewed(void)
{
    begin(true);
    subscription.credit = 9;
    nats__await_locked(&source, 1, 30000);
    come(2, 1);
    come(3, 1);
    for (int i = 0; i < 3; i++) {
        now_ns += s(6);
        look();
        CHECK_INT(told("+WPI"), 2);
    }
    come(1, 2);
    now_ns += s(1);
    look();
    CHECK_TEXT(handed.positions, "1 2 3 ");
    CHECK_INT(handed.attempt, 1);
    CHECK_INT(handed.lease_until_ns, s(128)); /* of when it was renewed */
    end();
}

static void unless_another_may_have_its_shard(void)
{
    begin(true);
    nats__await_locked(&source, 1, 30000);
    come(2, 1);
    source.valid_until_ns = now_ns + s(5);
    now_ns += s(6);
    look();
    CHECK_INT(told("$JS.ACK"), 0);
    CHECK_INT(source.kept_count, 1);
    end();
}

static void what_the_server_has_again_comes_before_what_is_kept(void)
{
    begin(true);
    nats__await_locked(&source, 1, 0);
    come(2, 1);
    now_ns += s(8);
    come(3, 1);
    now_ns += s(3); /* without a look meanwhile */
    subscription.credit = 9;
    come(1, 2);
    look();
    CHECK_TEXT(handed.positions, "1 ");
    come(2, 2);
    look();
    CHECK_TEXT(handed.positions, "1 2 3 ");
    end();
}

static void one_that_comes_again_is_kept_once(void)
{
    begin(true);
    nats__await_locked(&source, 1, 30000);
    come(2, 1);
    come(3, 1);
    come(2, 2); /* somebody has made the lease shorter */
    CHECK_INT(source.kept_count, 2);
    CHECK(subscription.doubts);
    subscription.credit = 9;
    come(1, 2);
    look();
    CHECK_TEXT(handed.positions, "1 2 3 ");
    end();
}

static void nobody_looks_at_a_lease_for_one_that_leaves(void)
{
    begin(false);
    come(1, 1);
    subscription.leaving = true;
    subscription.jobs = UINT32_MAX; /* as while it is taken down */
    come(1, 2);
    nats__source_doubt_locked(&source);
    CHECK(marty__list_empty(&port.jobs));
    CHECK_INT(subscription.jobs, UINT32_MAX);
    end();
}

static void what_an_older_connection_had_is_given_back_while_it_is_ours(void)
{
    natsConnection *connection;
    begin(false);
    subscription.credit = 1;
    come(1, 1); /* with core */
    now_ns += s(2);
    come(2, 1); /* kept */
    connection = port.wires[0].nc;
    port.wires[0].nc = NULL;
    nats__entries_drop_locked(&subscription, NULL, true);
    port.wires[0].nc = connection;
    now_ns += s(9); /* the first is past its lease */
    nats__give_back_orphans_locked(&subscription);
    CHECK_INT(told("$JS.ACK.S.c.1.2."), 1);
    nats__give_back_orphans_locked(&subscription);
    CHECK_INT(told("$JS.ACK"), 0);
    end();
}

int main(void)
{
    each_is_given_back_at_half_its_own_lease();
    one_that_is_kept_again_is_as_old_as_it_was();
    what_is_past_its_lease_is_the_servers();
    what_must_stay_for_its_order_is_renewed();
    unless_another_may_have_its_shard();
    what_the_server_has_again_comes_before_what_is_kept();
    one_that_comes_again_is_kept_once();
    nobody_looks_at_a_lease_for_one_that_leaves();
    what_an_older_connection_had_is_given_back_while_it_is_ours();
    return check_result();
}
