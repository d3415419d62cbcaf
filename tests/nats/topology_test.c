/* SPDX-License-Identifier: Apache-2.0
 * Topology of the nats module: made, checked, left alone, looked at, removed; dead letters browsed;
 * messages for later and with a time to live, where the server can. */
#include "harness.h"

#include "base/clock.h"

#include <nats/nats.h>

extern const marty_backend marty_module;

static marty_err topology(harness *h, const char *verb, const marty_want *what, char *out,
                          size_t size)
{
    marty_error why = {0};
    marty_message *answer = NULL;
    marty_err err = marty_module.topology(h->port, verb, what, marty__monotonic_ns() + 5000000000,
                                          &answer, &why);
    (void)snprintf(out, size, "%.*s", answer ? (int)answer->data.size : (int)strlen(why.text),
                   answer ? (const char *)answer->data.data : why.text);
    marty_message_unref(answer);
    return err;
}

static void test_check_names_what_is_missing_and_what_differs(test_server *server)
{
    char text[4096];
    harness *h = harness_up(server, "topology=check");
    marty_want want = harness_want(MARTY_KIND_TOPIC, "events.check", "g", 10);
    CHECK_INT(harness_publish(h, MARTY_KIND_TOPIC, "events.check", "check.a", "x", NULL),
              MARTY_E_NOT_FOUND);
    CHECK_HAS(h->last_error, "events__check");
    CHECK_INT(harness_subscribe(h, 1, &want), MARTY_E_NOT_FOUND);
    CHECK_INT(topology(h, "check", &want, text, sizeof text), MARTY_E_NOT_FOUND);
    CHECK_INT(topology(h, "ensure", &want, text, sizeof text), MARTY_OK);
    CHECK_HAS(text, "\"created\":true");
    CHECK_INT(topology(h, "ensure", &want, text, sizeof text), MARTY_OK);
    CHECK_HAS(text, "\"created\":false");
    CHECK_INT(topology(h, "check", &want, text, sizeof text), MARTY_OK);
    CHECK_INT(harness_subscribe(h, 1, &want), MARTY_OK);
    CHECK_INT(harness_publish(h, MARTY_KIND_TOPIC, "events.check", "check.a", "x", NULL), MARTY_OK);
    harness_close(h);
    h = harness_up(server, "retention=1d");
    CHECK_INT(harness_publish(h, MARTY_KIND_TOPIC, "events.check", "check.a", "x", NULL),
              MARTY_E_EXISTS);
    CHECK_HAS(h->last_error, "max_age: wanted 86400000ms, found 604800000ms");
    harness_close(h);
    h = harness_up(server, "lease=20s");
    CHECK_INT(harness_subscribe(h, 1, &want), MARTY_OK); /* it takes the lease that is there */
    marty_want ordered = harness_want(MARTY_KIND_TOPIC, "events.ordered", "a", 4);
    ordered.channel.order = MARTY_ORDER_KEY;
    CHECK_INT(harness_subscribe(h, 2, &ordered), MARTY_OK);
    harness_close(h);
    h = harness_up(server, "lease=10s");
    CHECK_INT(harness_subscribe(h, 2, &ordered), MARTY_E_EXISTS); /* of shards all have the same */
    CHECK_HAS(h->last_error, "ack_wait: wanted 10000ms (lease=), found 20000ms");
    harness_close(h);
    h = harness_up(server, "topology=none");
    CHECK_INT(harness_publish(h, MARTY_KIND_TOPIC, "events.check", "check.a", "x", NULL), MARTY_OK);
    CHECK_INT(h->levels[1], MARTY_LEVEL_MEMORY);
    CHECK_INT(harness_publish(h, MARTY_KIND_TOPIC, "events.nowhere", "nowhere.a", "x", NULL),
              MARTY_E_UNAVAILABLE);
    harness_close(h);
}

/* What an operator made narrower than its channel. */
static void narrow(const test_server *server, const char *stream, const char *group,
                   const char *filter)
{
    char url[256];
    natsConnection *nc = NULL;
    jsCtx *js = NULL;
    jsConsumerConfig config;
    test_server_url(server, url, sizeof url);
    REQUIRE(natsConnection_ConnectTo(&nc, url) == NATS_OK);
    REQUIRE(natsConnection_JetStream(&js, nc, NULL) == NATS_OK);
    (void)jsConsumerConfig_Init(&config);
    config.Durable = group;
    config.AckPolicy = js_AckExplicit;
    config.AckWait = 10000000000;
    config.MaxDeliver = -1;
    config.FilterSubject = filter;
    CHECK_INT(js_AddConsumer(NULL, js, stream, &config, NULL, NULL), NATS_OK);
    jsCtx_Destroy(js);
    natsConnection_Destroy(nc);
}

static void test_other_patterns_take_effect(test_server *server)
{
    harness *h = harness_up(server, "");
    const char *patterns[] = {"wide.a", "wide.b.*"};
    marty_want want = harness_want(MARTY_KIND_TOPIC, "events.wide", "g", 50);
    want.patterns = patterns;
    want.pattern_count = 1;
    CHECK_INT(harness_subscribe(h, 1, &want), MARTY_OK);
    want.pattern_count = 2;
    CHECK_INT(harness_subscribe(h, 1, &want), MARTY_OK);
    CHECK_INT(harness_publish(h, MARTY_KIND_TOPIC, "events.wide", "wide.a", "x", NULL), MARTY_OK);
    CHECK_INT(harness_publish(h, MARTY_KIND_TOPIC, "events.wide", "wide.b.d", "x", NULL), MARTY_OK);
    CHECK(harness_wait_delivered(h, 2, 5000));
    harness_settle_all(h, 0, MARTY_SETTLE_ACK);
    CHECK_INT(h->settled_lost, 0);
    want.channel.group = "narrow";
    narrow(server, "events__wide", "narrow", "events.wide.a");
    CHECK_INT(harness_subscribe(h, 2, &want), MARTY_OK); /* widened: it has both at last */
    CHECK(harness_wait_delivered(h, 4, 15000));
    harness_close(h);
}

static void test_inspect_list_and_remove(test_server *server)
{
    char text[8192];
    harness *h = harness_up(server, "prefix=t1.");
    marty_want want = harness_want(MARTY_KIND_TOPIC, "events.look", "billing", 1);
    CHECK_INT(harness_subscribe(h, 1, &want), MARTY_OK);
    for (int i = 0; i < 3; i++) {
        CHECK_INT(harness_publish(h, MARTY_KIND_TOPIC, "events.look", "look.a", "abc", NULL),
                  MARTY_OK);
    }
    CHECK(harness_wait_delivered(h, 1, 5000));
    want.channel.group = NULL;
    CHECK_INT(topology(h, "inspect", &want, text, sizeof text), MARTY_OK);
    CHECK_HAS(text, "\"channel\":\"events.look\",\"kind\":\"topic\",\"messages\":3");
    CHECK_HAS(text, "\"group\":\"billing\"");
    CHECK_HAS(text, "\"level\":\"written\"");
    CHECK(strstr(text, "\"oldest_us\":0") == NULL);
    CHECK_INT(topology(h, "list", NULL, text, sizeof text), MARTY_OK);
    CHECK_HAS(text, "{\"channel\":\"events.look\",\"kind\":\"topic\",\"messages\":3");
    CHECK(strstr(text, "events.check") == NULL); /* of another prefix */
    CHECK_INT(topology(h, "inspect", NULL, text, sizeof text), MARTY_OK);
    CHECK_HAS(text, "\"tls\":false");
    CHECK_HAS(text, "\"unsafe\":[{");
    want.channel.group = "billing";
    CHECK_INT(harness_unsubscribe(h, 1), MARTY_E_CLOSED);
    CHECK_INT(topology(h, "remove", &want, text, sizeof text), MARTY_OK);
    CHECK_HAS(text, "billing");
    CHECK_INT(topology(h, "remove", &want, text, sizeof text), MARTY_E_NOT_FOUND);
    CHECK_INT(harness_subscribe(h, 1, &want), MARTY_OK);
    int64_t until = test_now_ms() + test_patience(5000);
    while (test_now_ms() < until) { /* until its pull is there */
        (void)topology(h, "inspect", &want, text, sizeof text);
        if (strstr(text, "\"members\":1")) {
            break;
        }
        check__pause();
    }
    CHECK_INT(topology(h, "remove", &want, text, sizeof text), MARTY_E_STATE);
    CHECK_HAS(text, "live members");
    want.reset = true;
    want.channel.group = NULL;
    CHECK_INT(topology(h, "remove", &want, text, sizeof text), MARTY_OK);
    CHECK_HAS(text, "t1__events__look");
    CHECK_INT(topology(h, "inspect", &want, text, sizeof text), MARTY_E_NOT_FOUND);
    harness_close(h);
}

static void test_dead_letters_are_browsed_and_erased(test_server *server)
{
    char text[8192];
    harness *h = harness_up(server, "");
    marty_want want = harness_want(MARTY_KIND_DEAD, "dead.events.order", NULL, 2);
    marty_outgoing out = {.channel = {.kind = MARTY_KIND_DEAD, .name = "dead.events.order"}};
    for (int i = 0; i < 3; i++) {
        const marty_header headers[] = {{"martydeadcause", marty_text("boom"), MARTY_ATTRIBUTE},
                                        {"x-mine", marty_text("kept"), MARTY_HEADER}};
        marty_message letter = {.type = "order.created",
                                .data = marty_text("{}"),
                                .headers = headers,
                                .header_count = 2};
        CHECK_INT(harness_publish_as(h, &out, &letter), MARTY_OK);
    }
    want.start.from = MARTY_FROM_EARLIEST;
    CHECK_INT(topology(h, "browse", &want, text, sizeof text), MARTY_OK);
    CHECK_HAS(text, "\"position\":\"1\"");
    CHECK_HAS(text, "\"position\":\"2\"");
    CHECK_HAS(text, "[\"x-mine\",\"kept\"]");
    CHECK_HAS(text, "[\"ce-martydeadcause\",\"boom\"]");
    CHECK_HAS(text, "\"data\":\"e30=\"");
    CHECK_HAS(text, "\"next\":\"3\"");
    want.start = (marty_start){.from = MARTY_FROM_POSITION, .position = "2"};
    CHECK_INT(topology(h, "erase", &want, text, sizeof text), MARTY_OK);
    CHECK_HAS(text, "\"erased\":1");
    CHECK_INT(topology(h, "erase", &want, text, sizeof text), MARTY_E_NOT_FOUND);
    want.credit = 10;
    CHECK_INT(topology(h, "browse", &want, text, sizeof text), MARTY_OK);
    CHECK_HAS(text, "\"position\":\"3\"");
    CHECK_HAS(text, "\"next\":null");
    harness_close(h);
}

static bool shows(harness *h, const marty_want *want, const char *counts)
{
    char text[8192];
    for (int64_t until = test_now_ms() + test_patience(5000); test_now_ms() < until;) {
        CHECK_INT(topology(h, "inspect", want, text, sizeof text), MARTY_OK);
        if (strstr(text, counts)) {
            return true;
        }
        check__pause();
    }
    fprintf(stderr, "%s is not in %s\n", counts, text);
    return false;
}

static void test_a_copy_goes_to_its_group_only(test_server *server)
{
    harness *h = harness_up(server, "");
    marty_want a = harness_want(MARTY_KIND_TOPIC, "events.copy", "a", 10);
    marty_want b = harness_want(MARTY_KIND_TOPIC, "events.copy", "b", 10);
    CHECK_INT(harness_subscribe(h, 1, &a), MARTY_OK);
    CHECK_INT(harness_subscribe(h, 2, &b), MARTY_OK);
    marty_outgoing out = {
        .channel = {.kind = MARTY_KIND_TOPIC, .name = "events.copy", .group = "a"}};
    marty_message message = {.type = "copy.x", .id = "same", .source = "/s"};
    CHECK_INT(harness_publish_as(h, &out, &message), MARTY_OK);
    CHECK(harness_wait_delivered(h, 1, 5000));
    CHECK(harness_quiet(h, 100));
    CHECK_INT(h->deliveries[0].incoming.subscription, 1);
    CHECK(shows(h, &a, "\"lag\":0,\"due\":0,\"unsettled\":1"));
    harness_settle(h, 0, MARTY_SETTLE_ACK, 0);
    CHECK(shows(h, &a, "\"lag\":0,\"due\":0,\"unsettled\":0"));
    harness_close(h);
}

static void settle(harness *h, unsigned index, marty_verb verb) /* and ask for no more */
{
    marty_settling one = {.subscription = h->deliveries[index].incoming.subscription,
                          .tag = h->deliveries[index].incoming.tag,
                          .verb = verb,
                          .attempt = 1};
    marty_module.settle(h->port, &one, 1);
}

/* The server counts what was given back like what somebody has. */
static void test_what_was_given_back_waits(test_server *server)
{
    harness *h = harness_up(server, ""), *other = harness_up(server, "");
    marty_want want = harness_want(MARTY_KIND_TOPIC, "events.back", "g", 1);
    CHECK_INT(harness_subscribe(h, 1, &want), MARTY_OK);
    for (int i = 0; i < 2; i++) {
        CHECK_INT(harness_publish(h, MARTY_KIND_TOPIC, "events.back", "back.a", "x", NULL),
                  MARTY_OK);
    }
    CHECK(harness_wait_delivered(h, 1, 5000));
    CHECK(shows(h, &want, "\"lag\":1,\"due\":1,\"unsettled\":1"));
    settle(h, 0, MARTY_SETTLE_GIVE_BACK);
    CHECK(shows(h, &want, "\"lag\":2,\"due\":2,\"unsettled\":0"));
    marty_module.grant(h->port, 1, 10);
    CHECK(harness_wait_delivered(h, 3, 5000));
    CHECK(shows(h, &want, "\"lag\":0,\"due\":0,\"unsettled\":2"));
    harness_settle(h, 1, MARTY_SETTLE_RETRY, 60000); /* a pull is out: what comes not is not due */
    CHECK(shows(h, &want, "\"lag\":0,\"due\":0,\"unsettled\":2"));
    CHECK(shows(other, &want, "\"lag\":0,\"due\":0,\"unsettled\":2"));
    harness_close(h);
    harness_close(other);
}

/* Nor is what another member's shard has, or what is behind one that comes again later. */
static void test_what_is_due_in_a_shard(test_server *server)
{
    char text[8192];
    harness *h = harness_up(server, ""), *other = harness_up(server, "");
    marty_want want = harness_want(MARTY_KIND_STREAM, "streams.due", "g", 2);
    want.channel.order = MARTY_ORDER_KEY;
    want.channel.shards = 1;
    marty_outgoing out = {.channel = want.channel};
    out.channel.group = NULL;
    CHECK_INT(harness_subscribe(h, 1, &want), MARTY_OK);
    CHECK(harness_wait_shards(h, 1, 1, 5000));
    CHECK_INT(harness_subscribe(other, 1, &want), MARTY_OK);
    for (int i = 0; i < 4; i++) {
        marty_message message = {.type = "x", .key = "k", .data = marty_text("x")};
        CHECK_INT(harness_publish_as(h, &out, &message), MARTY_OK);
    }
    CHECK(harness_wait_delivered(h, 2, 5000));
    CHECK(shows(h, &want, "\"lag\":2,\"due\":2,\"unsettled\":2"));
    CHECK(shows(other, &want, "\"lag\":2,\"due\":0,\"unsettled\":2"));
    harness_settle(h, 1, MARTY_SETTLE_RETRY, 60000);
    harness_settle(h, 0, MARTY_SETTLE_RETRY, 60000);
    CHECK(harness_quiet(h, 100));
    CHECK(shows(h, &want, "\"due\":0,"));
    CHECK_INT(topology(h, "list", NULL, text, sizeof text), MARTY_OK);
    CHECK_HAS(text, "\"groups\":[\"g\"]");
    want.reset = true; /* whoever is there */
    CHECK_INT(topology(h, "remove", &want, text, sizeof text), MARTY_OK);
    CHECK_HAS(text, "\"g-0\"");
    harness_close(h);
    harness_close(other);
}

static void test_one_subscription_over_several_channels(test_server *server)
{
    harness *h = harness_up(server, "prefix=w.");
    CHECK_INT(harness_publish(h, MARTY_KIND_TOPIC, "events.one", "one.a", "x", NULL), MARTY_OK);
    CHECK_INT(harness_publish(h, MARTY_KIND_TOPIC, "events.two", "two.a", "x", NULL), MARTY_OK);
    marty_want want = harness_want(MARTY_KIND_TOPIC, "events.*", "g", 10);
    want.start.from = MARTY_FROM_EARLIEST;
    CHECK_INT(harness_subscribe(h, 1, &want), MARTY_OK);
    CHECK(harness_wait_delivered(h, 2, 5000));
    CHECK_INT(harness_publish(h, MARTY_KIND_TOPIC, "events.three", "three.a", "x", NULL), MARTY_OK);
    CHECK(harness_wait_delivered(h, 3, 15000)); /* a channel made later */
    harness_close(h);
}

/* One that waited here for credit and went back is no attempt: core has not seen it. The other one
 * is held meanwhile: it is renewed, should the machine stand still. */
static void test_what_waited_in_vain_is_no_attempt(test_server *server)
{
    harness *h = harness_up(server, "prefix=v.&lease=6s");
    CHECK_INT(harness_publish(h, MARTY_KIND_TOPIC, "events.one", "one.a", "x", NULL), MARTY_OK);
    CHECK_INT(harness_publish(h, MARTY_KIND_TOPIC, "events.two", "two.a", "x", NULL), MARTY_OK);
    marty_want want = harness_want(MARTY_KIND_TOPIC, "events.*", "g", 1); /* one pull for each */
    want.start.from = MARTY_FROM_EARLIEST;
    CHECK_INT(harness_subscribe(h, 1, &want), MARTY_OK);
    CHECK(harness_wait_delivered(h, 1, 5000));
    for (int i = 0; i < 4; i++) { /* the other one goes back after half of a lease */
        CHECK(harness_quiet(h, 850));
        harness_settle(h, 0, MARTY_SETTLE_EXTEND, 0);
    }
    harness_settle(h, 0, MARTY_SETTLE_ACK, 0);
    CHECK(harness_wait_delivered(h, 2, 5000));
    CHECK_INT(h->deliveries[1].incoming.attempt, 1);
    harness_close(h);
}

static void test_scheduled_messages(test_server *server, bool grants)
{
    harness *h = harness_up(server, "");
    CHECK_INT((h->granted.can[MARTY_KIND_TOPIC] & MARTY_CAN_DELAY) != 0, grants);
    marty_want want = harness_want(MARTY_KIND_TOPIC, "events.later", "g", 10);
    CHECK_INT(harness_subscribe(h, 1, &want), MARTY_OK);
    int64_t before = test_now_ms();
    marty_outgoing out = {.channel = {.kind = MARTY_KIND_TOPIC, .name = "events.later"},
                          .deliver_at_us = marty__wall_us() + 400000};
    marty_message message = {.type = "later.x", .id = "one", .data = marty_text("x")};
    if (!grants) {
        CHECK_INT(harness_publish_as(h, &out, &message), MARTY_E_UNSUPPORTED);
        harness_close(h);
        return;
    }
    CHECK_INT(harness_publish_as(h, &out, &message), MARTY_OK);
    message.id = "two"; /* not due before it is cancelled, whenever that is */
    out.deliver_at_us += 3600000000;
    CHECK_INT(harness_publish_as(h, &out, &message), MARTY_OK);
    marty_error why = {0};
    uint64_t token = ++h->next_token;
    CHECK_INT(marty_module.cancel(h->port, &out.channel, "two", token, &why), MARTY_OK);
    CHECK_INT(harness_wait_answer(h, token, 5000), MARTY_OK);
    token = ++h->next_token;
    CHECK_INT(marty_module.cancel(h->port, &out.channel, "two", token, &why), MARTY_OK);
    CHECK_INT(harness_wait_answer(h, token, 5000), MARTY_E_NOT_FOUND);
    CHECK(harness_wait_delivered(h, 1, 5000));
    CHECK(test_now_ms() - before >= 399);
    CHECK_TEXT(h->deliveries[0].incoming.message->id, "one");
    harness_close(h);
}

static void test_time_to_live(test_server *server, bool grants)
{
    harness *h = harness_up(server, "");
    CHECK_INT((h->granted.can[MARTY_KIND_TOPIC] & MARTY_CAN_TIME_TO_LIVE) != 0, grants);
    marty_outgoing out = {.channel = {.kind = MARTY_KIND_TOPIC, .name = "events.short"}};
    marty_message message = {
        .type = "short.x", .data = marty_text("x"), .expires_us = marty__wall_us() + 3000000};
    CHECK_INT(harness_publish_as(h, &out, &message), MARTY_OK);
    CHECK_TEXT(h->positions[1], "1"); /* it is stored; whoever looks may come too late to see it */
    char text[4096] = "";
    marty_want look = harness_want(MARTY_KIND_TOPIC, "events.short", NULL, 0);
    CHECK_INT(topology(h, "inspect", &look, text, sizeof text), MARTY_OK);
    CHECK(grants || strstr(text, "\"messages\":1"));
    for (int64_t until = test_now_ms() + test_patience(10000);
         grants && test_now_ms() < until && !strstr(text, "\"messages\":0");) {
        CHECK_INT(topology(h, "inspect", &look, text, sizeof text), MARTY_OK);
        check__pause();
    }
    CHECK(!grants || strstr(text, "\"messages\":0") != NULL);
    harness_close(h);
}

int main(int argc, char **argv)
{
    bool old = argc > 1 && strcmp(argv[1], "old") == 0;
    test_server *server = harness_server(argc > 1 ? argv[1] : "new", NULL);
    test_check_names_what_is_missing_and_what_differs(server);
    test_other_patterns_take_effect(server);
    test_inspect_list_and_remove(server);
    test_dead_letters_are_browsed_and_erased(server);
    test_a_copy_goes_to_its_group_only(server);
    test_what_was_given_back_waits(server);
    test_what_is_due_in_a_shard(server);
    test_one_subscription_over_several_channels(server);
    test_what_waited_in_vain_is_no_attempt(server);
    test_scheduled_messages(server, !old);
    test_time_to_live(server, !old);
    test_server_free(server);
    free(server);
    return check_result();
}
