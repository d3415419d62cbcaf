/* SPDX-License-Identifier: Apache-2.0
 * What a server or an account does not allow is said at once, with its name, and is never an answer
 * that does not come: permissions, limits of an account, the size of a message, a stream that is
 * not there. Against a real server: argv[1] = "new" or "old". */
#include "harness.h"

#include "check.h"
#include "support/nats_wire.h"

#include "backends/nats/parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *which = "new";
static const char accounts[] =
    "accounts {\n"
    "  SMALL { jetstream { max_streams: 1, max_store: 100KB, max_mem: 1MB, max_consumers: 9 },\n"
    "          users: [ {user: small, password: s} ] }\n"
    "  LARGE { jetstream: enabled, users: [ {user: large, password: l} ] }\n"
    "  BARE { users: [ {user: bare, password: b} ] }\n"
    "  TIED { jetstream: enabled, users: [\n"
    "    {user: mute, password: m, permissions: { publish: [\"nothing\"] }},\n"
    "    {user: deaf, password: d, permissions: { subscribe: [\"nothing\"] }},\n"
    "    {user: tied, password: t, permissions: {\n"
    "      publish: [\"_INBOX.>\", \"$JS.API.INFO\", \"$JS.API.STREAM.INFO.>\"] }},\n"
    "    {user: full, password: f},\n"
    "    {user: blind, password: b, permissions: {\n"
    "      publish: { deny: [\"$JS.API.CONSUMER.INFO.>\"] } }} ] }\n"
    "}\n"
    "max_payload: 10000\n";

static test_server *start(void)
{
    test_server_options options = {.extra = accounts};
    return harness_server(which, &options);
}

static harness *open_as(const test_server *server, const char *user, const char *keys)
{
    char url[256], text[512] = "";
    (void)snprintf(url, sizeof url, "nats://%s@127.0.0.1:%d%s", user, server->port, keys);
    harness *h = harness_open(url, text, sizeof text);
    REQUIRE(h != NULL);
    return h;
}

/* What needs its own inbox says so, and does not wait for itself. */
static void test_no_inbox(const test_server *server)
{
    static const char *const users[][2] = {{"mute:m", "publish to _INBOX"},
                                           {"deaf:d", "subscribe to _INBOX"}};
    for (size_t i = 0; i < 2; i++) {
        harness *h = open_as(server, users[i][0], "");
        CHECK_INT(harness_reach(h), MARTY_E_DENIED);
        CHECK_HAS(h->text, users[i][1]);
        harness_close(h);
    }
}

static void test_no_right_to_create(const test_server *server)
{
    harness *h = open_as(server, "tied:t", "");
    REQUIRE(harness_reach(h) == MARTY_OK);
    CHECK_INT(harness_publish(h, MARTY_KIND_TOPIC, "events.x", "x.y", "1", NULL), MARTY_E_DENIED);
    CHECK_HAS(h->last_error, "publish to $JS.API.STREAM.CREATE.events__x");
    marty_want want = harness_want(MARTY_KIND_TOPIC, "events.x", "g", 4);
    CHECK_INT(harness_subscribe(h, 1, &want), MARTY_E_DENIED);
    harness_close(h);
}

static void test_no_right_to_publish(const test_server *server)
{
    harness *h = open_as(server, "tied:t", "?topology=none");
    REQUIRE(harness_reach(h) == MARTY_OK);
    CHECK_INT(harness_publish(h, MARTY_KIND_TOPIC, "events.x", "x.y", "1", NULL), MARTY_E_DENIED);
    CHECK_HAS(h->last_error, "publish to events.x");
    harness_close(h);
}

/* Who may not ask how long a lease is takes a shorter one each time that something comes again.
 * What came is acked in each round: else all of it comes again each 300 ms, until no credit is
 * left.
 */
static void test_no_right_to_see_a_lease(const test_server *server)
{
    harness *maker = open_as(server, "full:f", "?lease=300ms");
    harness *h = open_as(server, "blind:b", "?topology=none&lease=1h");
    REQUIRE(harness_reach(maker) == MARTY_OK && harness_reach(h) == MARTY_OK);
    marty_want want = harness_want(MARTY_KIND_QUEUE, "commands.blind", "blind", 1);
    CHECK_INT(harness_subscribe(maker, 1, &want), MARTY_OK);
    CHECK_INT(harness_unsubscribe(maker, 1), MARTY_E_CLOSED);
    harness_close(maker);
    want.credit = 100;
    CHECK_INT(harness_subscribe(h, 1, &want), MARTY_OK);
    int64_t lease_ms = INT64_MAX;
    unsigned at = 0;
    for (unsigned i = 0; i < 50 && lease_ms > 1900000; i++) { /* of a first attempt */
        CHECK_INT(harness_publish(h, MARTY_KIND_QUEUE, "commands.blind", "x", "1", NULL), MARTY_OK);
        REQUIRE(harness_wait_delivered(h, at + 2, 5000)); /* it, and it again */
        for (; at < harness_delivered(h); at++) {
            const got *one = &h->deliveries[at];
            if (one->incoming.attempt == 1) {
                lease_ms = (one->incoming.lease_until_ns - one->at_ns) / 1000000;
            }
            harness_settle(h, at, MARTY_SETTLE_ACK, 0);
        }
    }
    CHECK(lease_ms <= 1900000);
    harness_close(h);
}

static void test_limits_of_an_account(const test_server *server)
{
    char *data = calloc(1, 9001);
    REQUIRE(data != NULL);
    memset(data, 'x', 9000);
    harness *h = open_as(server, "small:s", "");
    REQUIRE(harness_reach(h) == MARTY_OK);
    marty_err err = MARTY_OK;
    for (int i = 0; i < 20 && !err; i++) {
        err = harness_publish(h, MARTY_KIND_TOPIC, "events.x", "x.y", data, NULL);
    }
    CHECK_INT(err, MARTY_E_STORAGE);
    CHECK_HAS(h->last_error, "raise");
    CHECK_INT(harness_publish(h, MARTY_KIND_TOPIC, "events.z", "z.y", "1", NULL), MARTY_E_STORAGE);
    CHECK_HAS(h->last_error, "streams");
    harness_close(h);
    free(data);
}

static void test_an_account_without_jetstream(const test_server *server)
{
    harness *h = open_as(server, "bare:b", "");
    REQUIRE(harness_reach(h) == MARTY_OK);
    CHECK_INT(harness_publish(h, MARTY_KIND_TOPIC, "events.x", "x.y", "1", NULL),
              MARTY_E_UNAVAILABLE);
    CHECK_HAS(h->last_error, "JetStream is off");
    harness_close(h);
}

static void test_a_message_that_is_too_large(const test_server *server)
{
    char *data = calloc(1, 20001);
    REQUIRE(data != NULL);
    memset(data, 'x', 20000);
    harness *h = open_as(server, "small:s", "");
    REQUIRE(harness_reach(h) == MARTY_OK);
    CHECK_INT(harness_publish(h, MARTY_KIND_BROADCAST, "broadcast.x", "x.y", data, NULL),
              MARTY_E_TOO_LARGE);
    CHECK_HAS(h->last_error, "(max_payload)");
    CHECK_INT(harness_publish(h, MARTY_KIND_BROADCAST, "broadcast.x", "x.y", "1", NULL), MARTY_OK);
    harness_close(h);
    free(data);
}

static void test_a_stream_that_is_not_there(const test_server *server)
{
    harness *h = open_as(server, "small:s", "?topology=none&prefix=none");
    REQUIRE(harness_reach(h) == MARTY_OK);
    CHECK_INT(harness_publish(h, MARTY_KIND_TOPIC, "events.x", "x.y", "1", NULL),
              MARTY_E_UNAVAILABLE);
    CHECK_HAS(h->last_error, "stream noneevents__x");
    harness_close(h);
    h = open_as(server, "small:s", "?topology=check&prefix=none");
    REQUIRE(harness_reach(h) == MARTY_OK);
    CHECK_INT(harness_publish(h, MARTY_KIND_TOPIC, "events.x", "x.y", "1", NULL),
              MARTY_E_NOT_FOUND);
    CHECK_HAS(h->last_error, "marty topology create");
    harness_close(h);
}

/* A server that sends what nobody asked for (a real one does not: it is put in as if it came): what
 * is above two pulls goes back and is not kept. */
static void test_more_than_was_asked_for(const test_server *server)
{
    enum { MORE = 2600, BYTES = 9000 };
    static char data[BYTES];
    static nats_wire wire;
    static nats_wire_message heard;
    char reply[400];
    harness *h = open_as(server, "large:l", "?lease=60s");
    REQUIRE(harness_reach(h) == MARTY_OK);
    marty_want want = harness_want(MARTY_KIND_TOPIC, "events.x", "g", 1);
    REQUIRE(harness_subscribe(h, 1, &want) == MARTY_OK);
    CHECK_INT(harness_publish(h, MARTY_KIND_TOPIC, "events.x", "x.y", "1", NULL), MARTY_OK);
    REQUIRE(harness_wait_delivered(h, 1, 10000)); /* with it the credit is used */
    REQUIRE(nats_wire_connect(&wire, server->port, "large", "l"));
    REQUIRE(nats_wire_subscribe(&wire, "$JS.ACK.>"));
    nats__subscription *owner = MARTY__OWNER(h->port->subscriptions.next, nats__subscription, link);
    nats__source *source = MARTY__OWNER(owner->sources.next, nats__source, link);
    for (int i = 1000; i < 1000 + MORE; i++) {
        (void)snprintf(reply, sizeof reply, "%s1.%d.%d.1795644000000000000.0", source->ack_prefix,
                       i, i);
        const nats__message message = {.subject = "s",
                                       .reply = reply,
                                       .told = "",
                                       .lines = "",
                                       .data = data,
                                       .size = sizeof data};
        CHECK_INT(nats__deliver(h->port, source, &message, 1, true), 0);
    }
    CHECK(nats_wire_next(&wire, &heard, 10000) && strncmp(heard.body, "-NAK", 4) == 0);
    CHECK_INT(harness_delivered(h), 1);
    nats_wire_close(&wire);
    harness_close(h);
}

int main(int argc, char **argv)
{
    which = argc > 1 ? argv[1] : "new";
    test_server *server = start();
    test_no_inbox(server);
    test_no_right_to_create(server);
    test_no_right_to_publish(server);
    test_no_right_to_see_a_lease(server);
    test_limits_of_an_account(server);
    test_an_account_without_jetstream(server);
    test_a_message_that_is_too_large(server);
    test_a_stream_that_is_not_there(server);
    test_more_than_was_asked_for(server);
    test_server_free(server);
    free(server);
    return check_result();
}
