/* SPDX-License-Identifier: Apache-2.0
 * Publishing, groups, settling, positions, broadcasts and queries of the nats module. */
#include "harness.h"

extern const marty_backend marty_module;

static void test_events_are_stored_and_delivered_to_groups(test_server *server)
{
    harness *h = harness_up(server, "");
    marty_want billing = harness_want(MARTY_KIND_TOPIC, "events.order", "billing", 16);
    marty_want shipping = harness_want(MARTY_KIND_TOPIC, "events.order", "shipping", 16);
    char position[24] = "";
    CHECK_INT(harness_subscribe(h, 1, &billing), MARTY_OK);
    CHECK_INT(harness_subscribe(h, 2, &shipping), MARTY_OK);
    CHECK_INT(harness_publish(h, MARTY_KIND_TOPIC, "events.order", "order.created", "{\"id\":7}",
                              position),
              MARTY_OK);
    CHECK_TEXT(position, "1");
    CHECK_INT(h->levels[1], MARTY_LEVEL_WRITTEN);
    CHECK(harness_wait_delivered(h, 2, 5000));
    for (unsigned i = 0; i < 2 && i < harness_delivered(h); i++) {
        const marty_message *message = h->deliveries[i].incoming.message;
        REQUIRE(message != NULL);
        CHECK_TEXT(message->type, "order.created");
        CHECK_BYTES(message->data.data, message->data.size, "{\"id\":7}", 8);
        CHECK_INT(h->deliveries[i].incoming.attempt, 1);
        CHECK_TEXT(h->deliveries[i].position, "1");
        harness_settle(h, i, MARTY_SETTLE_ACK, 0);
    }
    CHECK(harness_wait_settled(h, 2, 1000));
    CHECK(harness_quiet(h, 100));
    harness_settle(h, 0, MARTY_SETTLE_ACK, 0); /* twice */
    CHECK_INT(h->settled_lost, 1);
    CHECK_INT(harness_unsubscribe(h, 1), MARTY_E_CLOSED);
    harness_close(h);
}

static void test_many_flow_within_credit(test_server *server)
{
    enum { COUNT = 2000 };
    harness *h = harness_up(server, "");
    marty_want want = harness_want(MARTY_KIND_TOPIC, "events.flow", "g", 50);
    CHECK_INT(harness_subscribe(h, 1, &want), MARTY_OK);
    marty_outgoing out = {.channel = {.kind = MARTY_KIND_TOPIC, .name = "events.flow"}};
    for (int i = 0; i < COUNT; i++) {
        char data[16];
        (void)snprintf(data, sizeof data, "%d", i);
        marty_message message = {.type = "flow.x", .data = marty_text(data)};
        (void)harness_send(h, &out, &message);
    }
    CHECK(harness_wait_delivered(h, 50, 5000));
    CHECK(harness_quiet(h, 100));
    CHECK_INT(harness_delivered(h), 50);
    unsigned done = 0;
    int64_t until = test_now_ms() + test_patience(20000);
    while (done < COUNT && test_now_ms() < until) {
        unsigned count = harness_delivered(h);
        for (; done < count; done++) {
            harness_settle(h, done, MARTY_SETTLE_ACK, 0);
        }
        (void)harness_wait_delivered(h, done + 1, 1000);
    }
    CHECK_INT(done, COUNT);
    for (unsigned i = 0; i < done; i++) {
        char data[16];
        (void)snprintf(data, sizeof data, "%u", i);
        const marty_message *message = h->deliveries[i].incoming.message;
        if (!CHECK_BYTES(message->data.data, message->data.size, data, strlen(data))) {
            break;
        }
    }
    for (uint64_t token = 1; token <= COUNT; token++) {
        if (!CHECK_INT(harness_wait_answer(h, token, 5000), MARTY_OK)) {
            fprintf(stderr, "%s\n", h->last_error);
            break;
        }
    }
    harness_close(h);
}

static void test_retry_and_give_back(test_server *server)
{
    harness *h = harness_up(server, "lease=5s");
    marty_want want = harness_want(MARTY_KIND_QUEUE, "commands.payment", NULL, 8);
    CHECK_INT(harness_subscribe(h, 1, &want), MARTY_OK);
    CHECK_INT(harness_publish(h, MARTY_KIND_QUEUE, "commands.payment", "charge", "1", NULL),
              MARTY_OK);
    CHECK(harness_wait_delivered(h, 1, 5000));
    int64_t before = test_now_ms();
    harness_settle(h, 0, MARTY_SETTLE_RETRY, 200);
    CHECK(harness_wait_delivered(h, 2, 5000));
    CHECK(test_now_ms() - before >= 199);
    CHECK_INT(h->deliveries[1].incoming.attempt, 2);
    harness_settle(h, 1, MARTY_SETTLE_GIVE_BACK, 0);
    CHECK(harness_wait_delivered(h, 3, 5000));
    CHECK_INT(h->deliveries[2].incoming.attempt, 2); /* not counted */
    harness_settle(h, 2, MARTY_SETTLE_EXTEND, 0);
    harness_settle(h, 2, MARTY_SETTLE_ACK, 0);
    CHECK(harness_wait_settled(h, 4, 1000));
    CHECK(harness_quiet(h, 100));
    harness_close(h);
}

static void test_a_lease_that_ends_comes_again(test_server *server)
{
    harness *h = harness_up(server, "lease=500ms");
    marty_want want = harness_want(MARTY_KIND_TOPIC, "events.lease", "g", 8);
    CHECK_INT(harness_subscribe(h, 1, &want), MARTY_OK);
    CHECK_INT(harness_publish(h, MARTY_KIND_TOPIC, "events.lease", "lease.x", "1", NULL), MARTY_OK);
    CHECK(harness_wait_delivered(h, 1, 5000));
    CHECK(harness_wait_delivered(h, 2, 5000));
    CHECK_INT(h->deliveries[1].incoming.attempt, 2);
    harness_settle(h, 0, MARTY_SETTLE_ACK, 0);
    CHECK_INT(h->settled_lost, 1);
    bool ended = false; /* by the first ack that is in time */
    for (int64_t until = test_now_ms() + test_patience(20000); !ended && test_now_ms() < until;) {
        harness_settle(h, harness_delivered(h) - 1, MARTY_SETTLE_ACK, 0);
        ended = harness_quiet(h, 700);
    }
    CHECK(ended);
    harness_close(h);
}

/* How long the lease was that the delivery with that index came with, about. */
static int64_t lease_ms(const harness *h, unsigned index)
{
    const marty_incoming *one = &h->deliveries[index].incoming;
    return (one->lease_until_ns - h->deliveries[index].at_ns) / 1000000;
}

static void test_the_shortest_lease_of_a_group_is_everyones(test_server *server)
{
    harness *a = harness_up(server, "lease=1h"), *b = harness_up(server, "lease=2h");
    marty_want plain = harness_want(MARTY_KIND_QUEUE, "commands.shared", "shared", 1);
    marty_want short_ = plain;
    short_.lease_ms = 400;
    CHECK_INT(harness_subscribe(a, 1, &plain), MARTY_OK);
    CHECK_INT(harness_publish(a, MARTY_KIND_QUEUE, "commands.shared", "x", "1", NULL), MARTY_OK);
    CHECK(harness_wait_delivered(a, 1, 5000));
    CHECK(lease_ms(a, 0) > 3500000);
    CHECK_INT(harness_subscribe(b, 1, &plain), MARTY_OK);  /* it takes the one that is there, */
    CHECK_INT(harness_subscribe(b, 1, &short_), MARTY_OK); /* until another handler asks */
    CHECK(harness_wait_delivered(b, 1, 5000));             /* it comes after that, not in an hour */
    CHECK_INT(b->deliveries[0].incoming.attempt, 2);
    CHECK(lease_ms(b, 0) <= 400);
    harness_settle(b, 0, MARTY_SETTLE_ACK, 0);
    CHECK_INT(harness_unsubscribe(b, 1), MARTY_E_CLOSED);
    harness_settle(a, 0, MARTY_SETTLE_ACK, 0);
    /* The first one hears nothing of it, until what it holds comes again. */
    CHECK_INT(harness_publish(a, MARTY_KIND_QUEUE, "commands.shared", "x", "2", NULL), MARTY_OK);
    unsigned at = 1;
    while (at < 20 && harness_wait_delivered(a, at + 1, 5000) && lease_ms(a, at) > 400) {
        harness_grant(a, 1, 1);
        at++;
    }
    CHECK(at < 20 && lease_ms(a, at) <= 400);
    harness_close(b);
    harness_close(a);
}

/* Publishes and acks until a first attempt comes with a lease of at most so long: another thread
 * looks what it is. */
static bool learns_lease(harness *h, const char *queue, unsigned at, int64_t most_ms)
{
    for (int64_t until = test_now_ms() + test_patience(10000); test_now_ms() < until;) {
        CHECK_INT(harness_publish(h, MARTY_KIND_QUEUE, queue, "x", "2", NULL), MARTY_OK);
        if (!harness_wait_delivered(h, at + 1, 5000)) {
            return false;
        }
        for (; at < harness_delivered(h); at++) {
            harness_settle(h, at, MARTY_SETTLE_ACK, 0);
            if (h->deliveries[at].incoming.attempt == 1 && lease_ms(h, at) <= most_ms) {
                return true;
            }
        }
        check__pause();
    }
    return false;
}

/* Who may or will not look at a consumer learns from what comes again that its lease is shorter. */
static void test_a_lease_that_nobody_looked_at(test_server *server)
{
    harness *maker = harness_up(server, "lease=400ms"),
            *h = harness_up(server, "topology=none&lease=1h");
    marty_want want = harness_want(MARTY_KIND_QUEUE, "commands.unseen", "unseen", 1);
    CHECK_INT(harness_subscribe(maker, 1, &want), MARTY_OK);
    CHECK_INT(harness_unsubscribe(maker, 1), MARTY_E_CLOSED);
    harness_close(maker);
    want.credit = 8;
    CHECK_INT(harness_subscribe(h, 1, &want), MARTY_OK);
    CHECK_INT(harness_publish(h, MARTY_KIND_QUEUE, "commands.unseen", "x", "1", NULL), MARTY_OK);
    CHECK(harness_wait_delivered(h, 1, 5000));
    CHECK(lease_ms(h, 0) > 3500000);
    CHECK(harness_wait_delivered(h, 2, 5000));
    CHECK_INT(h->deliveries[1].incoming.attempt, 2);
    CHECK(lease_ms(h, 1) < 60000); /* no longer than it took to come again */
    CHECK(learns_lease(h, "commands.unseen", 1, 400));
    harness_close(h);
}

/* What waits for a channel to be made goes before what comes once it is there, whoever made it. */
static void test_publishing_to_what_is_being_made_keeps_the_order(test_server *server)
{
    enum { MOST = 3000, LEAST = 100 };
    harness *h = harness_up(server, "");
    marty_want want = harness_want(MARTY_KIND_TOPIC, "events.made", "g", 1);
    marty_outgoing out = {.channel = {.kind = MARTY_KIND_TOPIC, .name = "events.made"}};
    marty_message template_ = {.type = "made.x", .data = marty_text("1")};
    marty_error why = {0};
    uint64_t first = h->next_token + 1, last = 0;
    CHECK_INT(marty_module.subscribe(h->port, 1, &want, &why), MARTY_OK);
    for (unsigned i = 0; i < MOST && (i < LEAST || !harness_subscribed(h, 1)); i++) {
        (void)harness_send(h, &out, &template_);
    }
    for (uint64_t token = first; token <= h->next_token; token++) {
        CHECK_INT(harness_wait_answer(h, token, 8000), MARTY_OK);
        uint64_t position = strtoull(h->positions[token], NULL, 10);
        if (!CHECK(position > last)) {
            break;
        }
        last = position;
    }
    harness_close(h);
}

static void test_a_duplicate_id_is_stored_once(test_server *server)
{
    harness *h = harness_up(server, "");
    marty_outgoing out = {.channel = {.kind = MARTY_KIND_TOPIC, .name = "events.twice"}};
    marty_message one = {.type = "twice.x", .id = "a", .source = "/s", .data = marty_text("1")};
    CHECK_INT(harness_publish_as(h, &out, &one), MARTY_OK);
    CHECK_INT(harness_publish_as(h, &out, &one), MARTY_OK);
    CHECK_TEXT(h->positions[2], "1");
    one.source = "/t";
    CHECK_INT(harness_publish_as(h, &out, &one), MARTY_OK);
    CHECK_TEXT(h->positions[3], "2");
    harness_close(h);
}

static void test_broadcast_reaches_each_instance(test_server *server)
{
    harness *a = harness_up(server, ""), *b = harness_up(server, "");
    marty_want want = harness_want(MARTY_KIND_BROADCAST, "broadcast.cache", NULL, 100);
    CHECK_INT(harness_subscribe(a, 1, &want), MARTY_OK);
    CHECK_INT(harness_subscribe(b, 1, &want), MARTY_OK);
    for (int i = 0; i < 10; i++) {
        CHECK_INT(
            harness_publish(a, MARTY_KIND_BROADCAST, "broadcast.cache", "cache.clear", "x", NULL),
            MARTY_OK);
    }
    CHECK_INT(a->levels[1], MARTY_LEVEL_MEMORY);
    CHECK(harness_wait_delivered(a, 10, 5000));
    CHECK(harness_wait_delivered(b, 10, 5000));
    CHECK(harness_quiet(b, 50));
    CHECK_INT(harness_delivered(a), 10);
    harness_settle(a, 0, MARTY_SETTLE_ACK, 0);
    CHECK_INT(a->settled_ok, 1);
    harness_close(a);
    harness_close(b);
}

/* Another handler of the group may come at any moment; what is granted once it is there is kept. */
static void test_asking_again_while_it_is_set_up_changes_nothing(test_server *server)
{
    harness *h = harness_up(server, "");
    marty_want want = harness_want(MARTY_KIND_TOPIC, "events.twice", "billing", 0);
    marty_error why = {0};
    CHECK_INT(marty_module.subscribe(h->port, 1, &want, &why), MARTY_OK);
    int64_t until_ms = test_now_ms() + test_patience(10000);
    while (!harness_subscribed(h, 1) && test_now_ms() < until_ms) { /* at each of its steps */
        CHECK_INT(marty_module.subscribe(h->port, 1, &want, &why), MARTY_OK);
    }
    marty_module.grant(h->port, 1, 8);
    marty_outgoing out = {.channel = {.kind = MARTY_KIND_TOPIC, .name = "events.twice"}};
    marty_message message = {.type = "twice.created", .data = marty_text("{}")};
    CHECK_INT(harness_publish_as(h, &out, &message), MARTY_OK);
    out.channel.group = "billing"; /* by the place of what is tried again */
    CHECK_INT(harness_publish_as(h, &out, &message), MARTY_OK);
    CHECK(harness_wait_delivered(h, 2, 5000));
    harness_settle_all(h, 0, MARTY_SETTLE_ACK);
    CHECK(harness_wait_settled(h, 2, 1000));
    harness_close(h);
}

static void test_queries_are_answered(test_server *server)
{
    harness *asker = harness_up(server, ""), *user = harness_up(server, "");
    marty_want replies = harness_want(MARTY_KIND_REPLY, "replies.billing.abc", NULL, 100);
    marty_want queries = harness_want(MARTY_KIND_REQUEST, "queries.user", "user", 100);
    CHECK_INT(harness_subscribe(asker, 1, &replies), MARTY_OK);
    marty_outgoing ask = {.channel = {.kind = MARTY_KIND_REQUEST, .name = "queries.user"},
                          .reply_to = "replies.billing.abc"};
    marty_message query = {.type = "profile", .id = "q-1", .data = marty_text("{}")};
    CHECK_INT(harness_publish_as(asker, &ask, &query), MARTY_E_NO_RESPONDER);
    CHECK_INT(harness_subscribe(user, 1, &queries), MARTY_OK);
    query.id = "q-2";
    CHECK_INT(harness_publish_as(asker, &ask, &query), MARTY_OK);
    CHECK(harness_wait_delivered(user, 1, 5000));
    CHECK_TEXT(user->deliveries[0].incoming.message->type, "profile");
    marty_outgoing reply = {
        .channel = {.kind = MARTY_KIND_REPLY, .name = user->deliveries[0].reply_to}};
    marty_message body = {
        .type = "profile", .causation_id = "q-2", .data = marty_text("{\"a\":1}")};
    CHECK_INT(harness_publish_as(user, &reply, &body), MARTY_OK);
    CHECK(harness_wait_delivered(asker, 1, 5000));
    CHECK_TEXT(asker->deliveries[0].incoming.message->causation_id, "q-2");
    reply.channel.name = "$JS.API.STREAM.DELETE.x";
    CHECK_INT(harness_publish_as(user, &reply, &body), MARTY_E_ARGUMENT);
    harness_close(asker);
    harness_close(user);
}

int main(int argc, char **argv)
{
    test_server *server = harness_server(argc > 1 ? argv[1] : "new", NULL);
    test_events_are_stored_and_delivered_to_groups(server);
    test_many_flow_within_credit(server);
    test_retry_and_give_back(server);
    test_a_lease_that_ends_comes_again(server);
    test_the_shortest_lease_of_a_group_is_everyones(server);
    test_a_lease_that_nobody_looked_at(server);
    test_publishing_to_what_is_being_made_keeps_the_order(server);
    test_a_duplicate_id_is_stored_once(server);
    test_broadcast_reaches_each_instance(server);
    test_asking_again_while_it_is_set_up_changes_nothing(server);
    test_queries_are_answered(server);
    test_server_free(server);
    free(server);
    return check_result();
}
