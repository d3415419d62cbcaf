/* SPDX-License-Identifier: Apache-2.0
 * Servers that die, freeze and refuse: every token is answered, what was confirmed is there, and a
 * new connection goes on. */
#include "harness.h"

#include "base/clock.h"

extern const marty_backend marty_module;

static const char *which;

/* Publish until the connection is gone; how many were confirmed. */
static void publish_some(harness *h, int count)
{
    marty_outgoing out = {.channel = {.kind = MARTY_KIND_TOPIC, .name = "events.load"}};
    for (int i = 0; i < count; i++) {
        char id[32];
        (void)snprintf(id, sizeof id, "m-%llu", (unsigned long long)h->next_token + 1);
        marty_message message = {.type = "load.x", .id = id, .data = marty_text("x")};
        (void)harness_send(h, &out, &message);
    }
}

static bool all_answered(void *user)
{
    harness *h = user;
    pthread_mutex_lock(&h->lock);
    bool all = h->answered == h->next_token;
    pthread_mutex_unlock(&h->lock);
    return all;
}

/* Every id that was confirmed is delivered; doubles are allowed. */
static void check_nothing_lost(harness *h, unsigned from)
{
    static bool seen[TOKENS];
    memset(seen, 0, sizeof seen);
    unsigned confirmed = 0, missing = 0;
    int64_t until = test_now_ms() + test_patience(20000);
    do {
        unsigned count = harness_delivered(h);
        for (; from < count; from++) {
            const marty_message *message = h->deliveries[from].incoming.message;
            seen[strtoul(message->id + 2, NULL, 10) % TOKENS] = true;
            harness_settle(h, from, MARTY_SETTLE_ACK, 0);
        }
        confirmed = missing = 0;
        for (uint64_t token = 1; token <= h->next_token; token++) {
            confirmed += h->answers[token] == MARTY_OK;
            missing += h->answers[token] == MARTY_OK && !seen[token];
        }
        (void)harness_wait_delivered(h, from + 1, 100);
    } while (missing > 0 && test_now_ms() < until);
    printf("%u published, %u confirmed, %u of these missing\n", (unsigned)h->next_token, confirmed,
           missing);
    CHECK_INT(missing, 0);
    CHECK(confirmed > 0);
}

static void test_a_killed_server_comes_back(void)
{
    char why[512];
    test_server *server = harness_server(which, NULL);
    harness *h = harness_up(server, "lease=2s");
    marty_want want = harness_want(MARTY_KIND_TOPIC, "events.load", "g", 200);
    CHECK_INT(harness_subscribe(h, 1, &want), MARTY_OK);
    publish_some(h, 3000);
    test_server_kill(server);
    publish_some(h, 100);
    CHECK(harness_wait_state(h, MARTY_STATE_DOWN, 5000));
    CHECK(test_wait_for(all_answered, h, 5000));
    for (uint64_t token = 1; token <= h->next_token; token++) {
        marty_err err = h->answers[token];
        if (!CHECK(err == MARTY_OK || err == MARTY_E_MAYBE_STORED || err == MARTY_E_UNAVAILABLE)) {
            break;
        }
    }
    unsigned before = harness_delivered(h);
    if (before > 0) {
        harness_settle(h, 0, MARTY_SETTLE_ACK, 0); /* of the connection that is gone */
        CHECK_INT(h->settled_lost, 1);
    }
    CHECK_INT(harness_connect(h), MARTY_E_UNAVAILABLE);
    CHECK_HAS(h->text, "connection refused");
    CHECK(test_server_restart(server, why, sizeof why));
    CHECK_INT(harness_reach(h), MARTY_OK);
    CHECK_INT(harness_subscribe(h, 1, &want), MARTY_OK);
    publish_some(h, 100);
    CHECK(test_wait_for(all_answered, h, 5000));
    CHECK_INT(h->answers[h->next_token], MARTY_OK);
    check_nothing_lost(h, before);
    harness_close(h);
    test_server_free(server);
    free(server);
}

static void test_a_frozen_server_is_noticed(void)
{
    test_server *server = harness_server(which, NULL);
    harness *h = harness_up(server, "");
    CHECK_INT(harness_publish(h, MARTY_KIND_TOPIC, "events.load", "load.x", "x", NULL), MARTY_OK);
    test_server_freeze(server);
    int64_t before = test_now_ms();
    uint64_t first = h->next_token + 1;
    publish_some(h, 5000);
    CHECK(test_now_ms() - before < test_patience(4000));  /* no op waits until it is noticed */
    CHECK(harness_wait_state(h, MARTY_STATE_DOWN, 8000)); /* after 4.5 s, and a machine's pauses */
    printf("noticed after %d ms: %s\n", (int)(test_now_ms() - before), h->text);
    CHECK_HAS(h->text, "silent");
    CHECK(test_wait_for(all_answered, h, 5000));
    CHECK_INT(h->answers[first], MARTY_E_MAYBE_STORED);
    CHECK_INT(harness_connect(h), MARTY_E_UNAVAILABLE);
    CHECK_HAS(h->text, "says nothing");
    test_server_thaw(server);
    CHECK_INT(harness_reach(h), MARTY_OK);
    CHECK_INT(harness_publish(h, MARTY_KIND_TOPIC, "events.load", "load.x", "x", NULL), MARTY_OK);
    harness_close(h);
    test_server_free(server);
    free(server);
}

static void remove_stream(harness *h, const char *channel)
{
    marty_error why = {0};
    marty_message *answer = NULL;
    marty_want want = harness_want(MARTY_KIND_TOPIC, channel, NULL, 0);
    want.reset = true;
    CHECK_INT(marty_module.topology(h->port, "remove", &want, marty__monotonic_ns() + 5000000000,
                                    &answer, &why),
              MARTY_OK);
    marty_message_unref(answer);
}

/* Core hears that its group is gone. A server of 2.9 may say no word to the pull: its end (4.7 s at
 * most), its grace (2 s), and 3 s more without an answer, until it is asked by name. */
static bool is_told_that_it_is_gone(harness *h)
{
    bool told = false;
    for (int64_t until = test_now_ms() + test_patience(20000); !told && test_now_ms() < until;) {
        pthread_mutex_lock(&h->lock);
        told = h->subscribed[0].reason == MARTY_E_UNAVAILABLE;
        pthread_mutex_unlock(&h->lock);
        check__pause();
    }
    return told;
}

/* Nothing was asked of it when it went, so the server of 2.9 has said nothing, nor does it then. */
static void test_a_group_that_went_unseen_is_noticed(void)
{
    test_server *server = harness_server(which, NULL);
    harness *h = harness_up(server, ""), *other = harness_up(server, "");
    marty_want want = harness_want(MARTY_KIND_TOPIC, "events.unseen", "g", 0);
    CHECK_INT(harness_subscribe(h, 1, &want), MARTY_OK);
    remove_stream(other, "events.unseen");
    harness_grant(h, 1, 5);
    CHECK(is_told_that_it_is_gone(h));
    harness_close(other);
    harness_close(h);
    test_server_free(server);
    free(server);
}

static void test_a_removed_stream_is_made_again(void)
{
    test_server *server = harness_server(which, NULL);
    harness *h = harness_up(server, "");
    harness *other = harness_up(server, "");
    CHECK_INT(harness_publish(h, MARTY_KIND_TOPIC, "events.gone", "gone.x", "1", NULL), MARTY_OK);
    remove_stream(other, "events.gone");
    CHECK_INT(harness_publish(h, MARTY_KIND_TOPIC, "events.gone", "gone.x", "2", NULL),
              MARTY_E_UNAVAILABLE);
    CHECK_HAS(h->last_error, "no stream takes it");
    CHECK_INT(harness_publish(h, MARTY_KIND_TOPIC, "events.gone", "gone.x", "3", NULL), MARTY_OK);
    marty_want want = harness_want(MARTY_KIND_TOPIC, "events.gone", "g", 5);
    CHECK_INT(harness_subscribe(h, 1, &want), MARTY_OK);
    remove_stream(other, "events.gone");
    CHECK(is_told_that_it_is_gone(h));
    CHECK_INT(harness_subscribe(h, 1, &want), MARTY_OK);
    CHECK_INT(harness_publish(h, MARTY_KIND_TOPIC, "events.gone", "gone.x", "4", NULL), MARTY_OK);
    CHECK(harness_wait_delivered(h, 1, 5000));
    harness_close(other);
    harness_close(h);
    test_server_free(server);
    free(server);
}

static void test_too_large_and_bad_names_are_refused(void)
{
    test_server *server = harness_server(which, NULL);
    harness *h = harness_up(server, "");
    size_t limit = (size_t)h->granted.payload_bytes_max;
    char *data = calloc(1, limit + 1);
    REQUIRE(data != NULL && limit > 0);
    marty_outgoing out = {.channel = {.kind = MARTY_KIND_TOPIC, .name = "events.size"}};
    marty_message message = {.type = "size.x", .data = {data, limit - 1000}};
    CHECK_INT(harness_publish_as(h, &out, &message), MARTY_OK);
    message.data.size = limit + 1;
    CHECK_INT(harness_publish_as(h, &out, &message), MARTY_E_TOO_LARGE);
    CHECK_HAS(h->last_error, "max_payload");
    message.data = marty_text("x");
    const marty_header rollup[] = {{"Nats-Rollup", marty_text("all"), MARTY_HEADER}};
    message.headers = rollup;
    message.header_count = 1;
    CHECK_INT(harness_publish_as(h, &out, &message), MARTY_E_MALFORMED);
    message.header_count = 0;
    message.type = "size..x";
    CHECK_INT(harness_publish_as(h, &out, &message), MARTY_E_ARGUMENT);
    message.type = "size.a b*>";
    CHECK_INT(harness_publish_as(h, &out, &message), MARTY_OK);
    marty_want want = harness_want(MARTY_KIND_TOPIC, "events.size", "g", 10);
    want.start.from = MARTY_FROM_EARLIEST;
    CHECK_INT(harness_subscribe(h, 1, &want), MARTY_OK);
    CHECK(harness_wait_delivered(h, 2, 5000));
    CHECK_TEXT(h->deliveries[1].incoming.message->type, "size.a b*>");
    free(data);
    harness_close(h);
    test_server_free(server);
    free(server);
}

static void test_permissions(void)
{
    test_server_options options = {
        .extra = "authorization { users = [ { user: joe, password: p, permissions: { publish: {"
                 " deny: [\"events.secret.>\", \"broadcast.secret.>\"] } } } ] }\n"};
    char url[256], text[512];
    test_server *server = harness_server(which, &options);
    (void)snprintf(url, sizeof url, "nats://joe:p@127.0.0.1:%d", server->port);
    harness *h = harness_open(url, text, sizeof text);
    REQUIRE(h != NULL);
    CHECK_INT(harness_reach(h), MARTY_OK);
    CHECK_INT(harness_publish(h, MARTY_KIND_TOPIC, "events.open", "open.x", "1", NULL), MARTY_OK);
    int64_t before = test_now_ms();
    CHECK_INT(harness_publish(h, MARTY_KIND_TOPIC, "events.secret", "secret.x", "1", NULL),
              MARTY_E_DENIED);
    CHECK(test_now_ms() - before < test_patience(4000)); /* not only when no answer is waited for */
    CHECK_HAS(h->last_error, "events.secret.x");
    harness_close(h);
    test_server_free(server);
    free(server);
}

static void test_close_while_connecting_and_unused(void)
{
    char text[512];
    harness *h = harness_open("nats://127.0.0.1:1", text, sizeof text);
    REQUIRE(h != NULL);
    harness_close(h); /* never connected */
    h = harness_open("nats://127.0.0.1:1", text, sizeof text);
    REQUIRE(h != NULL);
    marty_error why = {0};
    CHECK_INT(marty_module.connect(h->port, &why), MARTY_OK);
    harness_close(h);
}

int main(int argc, char **argv)
{
    which = argc > 1 ? argv[1] : "new";
    test_a_killed_server_comes_back();
    test_a_frozen_server_is_noticed();
    test_a_removed_stream_is_made_again();
    test_a_group_that_went_unseen_is_noticed();
    test_too_large_and_bad_names_are_refused();
    test_permissions();
    test_close_while_connecting_and_unused();
    return check_result();
}
