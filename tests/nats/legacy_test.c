/* SPDX-License-Identifier: Apache-2.0
 * The envelope of the Python services over core subjects, both directions, with the library alone
 * on the other side as they are: no headers, no queue groups, no confirmation. */
#include "harness.h"

#include <nats/nats.h>

static const char *which;

static natsConnection *old_service(const test_server *server)
{
    char url[256];
    natsConnection *nc = NULL;
    test_server_url(server, url, sizeof url);
    REQUIRE(natsConnection_ConnectTo(&nc, url) == NATS_OK);
    return nc;
}

static const char event[] =
    "{\"data\": {\"id\": 7}, \"metadata\": {\"message_id\": \"m-1\", \"correlation_id\": \"c-1\", "
    "\"causation_id\": null, \"timestamp\": \"2026-01-02T03:04:05.678901\", \"ttl\": null, "
    "\"priority\": 0, \"content_type\": \"application/json\", \"headers\": {}, \"routing_key\": "
    "null, \"reply_to\": null, \"message_type\": \"%s\"}}";

static void old_publish(natsConnection *nc, const char *subject, const char *type)
{
    char body[1024];
    (void)snprintf(body, sizeof body, event, type);
    CHECK_INT(natsConnection_PublishString(nc, subject, body), NATS_OK);
    CHECK_INT(natsConnection_Flush(nc), NATS_OK);
}

static void next(natsSubscription *subscription, char *out, size_t size, char *reply, size_t room)
{
    natsMsg *message = NULL;
    out[0] = '\0';
    if (!CHECK_INT(natsSubscription_NextMsg(&message, subscription, test_patience(5000)),
                   NATS_OK)) {
        return;
    }
    (void)snprintf(out, size, "%.*s", natsMsg_GetDataLength(message), natsMsg_GetData(message));
    if (reply) {
        (void)snprintf(reply, room, "%s",
                       natsMsg_GetReply(message) ? natsMsg_GetReply(message) : "");
    }
    natsMsg_Destroy(message);
}

static void test_events_and_commands(void)
{
    char body[2048];
    natsSubscription *created = NULL, *charge = NULL;
    test_server *server = harness_server(which, NULL);
    natsConnection *nc = old_service(server);
    harness *a = harness_up(server, "envelope=legacy"), *b = harness_up(server, "envelope=legacy");
    CHECK_INT(natsConnection_SubscribeSync(&created, nc, "events.order.created"), NATS_OK);
    CHECK_INT(natsConnection_SubscribeSync(&charge, nc, "commands.payment.charge"), NATS_OK);
    CHECK_INT(natsConnection_Flush(nc), NATS_OK);
    marty_want want = harness_want(MARTY_KIND_TOPIC, "events.order", "g", 10);
    CHECK_INT(harness_subscribe(a, 1, &want), MARTY_OK);
    CHECK_INT(harness_subscribe(b, 1, &want), MARTY_OK);
    CHECK_INT(
        harness_publish(a, MARTY_KIND_TOPIC, "events.order", "order.created", "{\"id\": 1}", NULL),
        MARTY_OK);
    CHECK_INT(a->levels[1], MARTY_LEVEL_MEMORY);
    next(created, body, sizeof body, NULL, 0);
    CHECK_HAS(body, "{\"data\": {\"id\": 1}, \"metadata\": {\"message_id\": ");
    CHECK_HAS(body, "\"message_type\": \"order.created\"}}");
    CHECK_INT(harness_publish(a, MARTY_KIND_QUEUE, "commands.payment", "charge", "{}", NULL),
              MARTY_OK);
    next(charge, body, sizeof body, NULL, 0);
    CHECK_HAS(body, "\"message_type\": \"charge\"");
    old_publish(nc, "events.order.created", "order.created");
    int64_t until = test_now_ms() + test_patience(5000); /* one of each to the group */
    while (harness_delivered(a) + harness_delivered(b) < 2 && test_now_ms() < until) {
        check__pause();
    }
    CHECK(harness_quiet(a, 50));
    CHECK_INT(harness_delivered(a) + harness_delivered(b), 2);
    harness *one = harness_delivered(a) ? a : b;
    unsigned last = harness_delivered(one) - 1;
    CHECK_TEXT(one->deliveries[last].incoming.message->type, "order.created");
    harness_settle(one, last, MARTY_SETTLE_RETRY, 50); /* kept in memory */
    CHECK(harness_wait_delivered(one, last + 2, 5000));
    CHECK_INT(one->deliveries[last + 1].incoming.attempt, 2);
    harness_settle(one, last + 1, MARTY_SETTLE_ACK, 0);
    CHECK_INT(one->settled_ok, 2);
    natsSubscription_Destroy(created);
    natsSubscription_Destroy(charge);
    natsConnection_Destroy(nc);
    harness_close(a);
    harness_close(b);
    test_server_free(server);
    free(server);
}

static void test_saga_types_are_mended(void)
{
    test_server *server = harness_server(which, NULL);
    natsConnection *nc = old_service(server);
    harness *h = harness_up(server, "envelope=legacy");
    marty_want want = harness_want(MARTY_KIND_TOPIC, "events.saga", "g", 10);
    CHECK_INT(harness_subscribe(h, 1, &want), MARTY_OK);
    old_publish(nc, "events.saga.SagaStarted", "SagaStarted");
    CHECK(harness_wait_delivered(h, 1, 5000));
    CHECK_TEXT(h->deliveries[0].incoming.message->type, "saga.SagaStarted");
    natsConnection_Destroy(nc);
    harness_close(h);
    test_server_free(server);
    free(server);
}

static void test_queries_both_ways(void)
{
    char body[2048], reply[256], request[1024];
    natsSubscription *handler = NULL;
    natsMsg *answer = NULL;
    test_server *server = harness_server(which, NULL);
    natsConnection *nc = old_service(server);
    harness *h = harness_up(server, "envelope=legacy");
    CHECK_INT(natsConnection_SubscribeSync(&handler, nc, "queries.user.profile"), NATS_OK);
    CHECK_INT(natsConnection_Flush(nc), NATS_OK);
    marty_want replies = harness_want(MARTY_KIND_REPLY, "replies.billing.abc", NULL, 100);
    CHECK_INT(harness_subscribe(h, 1, &replies), MARTY_OK);
    marty_outgoing ask = {.channel = {.kind = MARTY_KIND_REQUEST, .name = "queries.user"},
                          .reply_to = "replies.billing.abc"};
    marty_message query = {.type = "profile", .id = "q-1", .data = marty_text("{}")};
    CHECK_INT(harness_publish_as(h, &ask, &query), MARTY_OK);
    next(handler, body, sizeof body, reply, sizeof reply);
    CHECK_HAS(body, "\"reply_to\": \"_INBOX.");
    CHECK_HAS(body, reply);
    (void)snprintf(request, sizeof request, /* as handle_queries answers */
                   "{\"data\": {\"name\": \"x\"}, \"metadata\": {\"message_id\": \"r-1\", "
                   "\"correlation_id\": \"q-1\", \"causation_id\": \"q-1\", \"timestamp\": "
                   "\"2026-01-02T03:04:05\", \"message_type\": null}}");
    CHECK_INT(natsConnection_PublishString(nc, reply, request), NATS_OK);
    CHECK(harness_wait_delivered(h, 1, 5000));
    CHECK_TEXT(h->deliveries[0].incoming.message->causation_id, "q-1");
    marty_want queries = harness_want(MARTY_KIND_REQUEST, "queries.billing", "billing", 10);
    CHECK_INT(harness_subscribe(h, 2, &queries), MARTY_OK);
    natsSubscription *inbox = NULL; /* an original asks: the inbox is in the reply field only */
    CHECK_INT(natsConnection_SubscribeSync(&inbox, nc, "_INBOX.old.1"), NATS_OK);
    (void)snprintf(request, sizeof request, event, "total");
    CHECK_INT(
        natsConnection_PublishRequestString(nc, "queries.billing.total", "_INBOX.old.1", request),
        NATS_OK);
    CHECK(harness_wait_delivered(h, 2, 5000));
    CHECK_TEXT(h->deliveries[1].reply_to, "_INBOX.old.1");
    marty_outgoing back = {
        .channel = {.kind = MARTY_KIND_REPLY, .name = h->deliveries[1].reply_to}};
    marty_message total = {.type = "total", .causation_id = "m-1", .data = marty_text("42")};
    CHECK_INT(harness_publish_as(h, &back, &total), MARTY_OK);
    CHECK_INT(natsSubscription_NextMsg(&answer, inbox, test_patience(5000)), NATS_OK);
    CHECK_HAS(answer ? natsMsg_GetData(answer) : "", "{\"data\": 42, \"metadata\": ");
    natsMsg_Destroy(answer);
    natsSubscription_Destroy(inbox);
    natsSubscription_Destroy(handler);
    natsConnection_Destroy(nc);
    harness_close(h);
    test_server_free(server);
    free(server);
}

static void test_both_keeps_what_either_side_says(void)
{
    char body[2048];
    natsSubscription *created = NULL;
    test_server *server = harness_server(which, NULL);
    natsConnection *nc = old_service(server);
    harness *new_ = harness_up(server, ""), *h = harness_up(server, "envelope=both");
    CHECK_INT(natsConnection_SubscribeSync(&created, nc, "events.order.created"), NATS_OK);
    marty_want want = harness_want(MARTY_KIND_TOPIC, "events.order", "g", 10);
    CHECK_INT(harness_subscribe(h, 1, &want), MARTY_OK);
    old_publish(nc, "events.order.created", "order.created");
    CHECK(harness_wait_delivered(h, 1, 5000));
    CHECK_TEXT(h->deliveries[0].incoming.message->id, "m-1");
    CHECK_INT(harness_publish(new_, MARTY_KIND_TOPIC, "events.order", "order.created", "1", NULL),
              MARTY_OK);
    CHECK(harness_wait_delivered(h, 2, 5000));
    CHECK_INT(harness_publish(h, MARTY_KIND_TOPIC, "events.order", "order.created", "2", NULL),
              MARTY_OK);
    CHECK_INT(h->levels[1], MARTY_LEVEL_WRITTEN);
    CHECK(harness_wait_delivered(h, 3, 5000));
    next(created, body, sizeof body, NULL, 0); /* its own, the new one's, and ours in its form */
    next(created, body, sizeof body, NULL, 0);
    next(created, body, sizeof body, NULL, 0);
    CHECK_HAS(body, "{\"data\": 2, \"metadata\": {");
    harness_settle_all(h, 0, MARTY_SETTLE_ACK);
    marty_want strict = harness_want(MARTY_KIND_TOPIC, "events.order", "strict", 10);
    strict.start.from = MARTY_FROM_EARLIEST;
    CHECK_INT(harness_subscribe(new_, 1, &strict), MARTY_OK);
    CHECK(harness_wait_delivered(new_, 3, 5000));
    CHECK(new_->deliveries[0].unreadable); /* legacy bodies are no CloudEvents */
    CHECK(!new_->deliveries[1].unreadable);
    natsSubscription_Destroy(created);
    natsConnection_Destroy(nc);
    harness_close(new_);
    harness_close(h);
    test_server_free(server);
    free(server);
}

int main(int argc, char **argv)
{
    which = argc > 1 ? argv[1] : "new";
    test_events_and_commands();
    test_saga_types_are_mended();
    test_queries_both_ways();
    test_both_keeps_what_either_side_says();
    return check_result();
}
