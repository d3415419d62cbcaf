/* SPDX-License-Identifier: Apache-2.0
 * Order by key of the nats module: shards over instances, handed over and taken over; seek. */
#include "harness.h"

#include "base/clock.h"

extern const marty_backend marty_module;

static const char stream[] = "streams.clicks";

static void publish_keys(harness *h, const char *channel, int from, int count)
{
    marty_outgoing out = {
        .channel = {.kind = MARTY_KIND_STREAM, .order = MARTY_ORDER_KEY, .name = channel}};
    for (int i = from; i < from + count; i++) {
        char key[16], data[16];
        (void)snprintf(key, sizeof key, "k%d", i % 20);
        (void)snprintf(data, sizeof data, "%d", i);
        marty_message message = {.type = "click", .key = key, .data = marty_text(data)};
        (void)harness_send(h, &out, &message);
    }
    for (uint64_t token = h->next_token - (uint64_t)count + 1; token <= h->next_token; token++) {
        if (!CHECK_INT(harness_wait_answer(h, token, 8000), MARTY_OK)) {
            fprintf(stderr, "%s\n", h->last_error);
            return;
        }
    }
}

/* The numbers of one key rise; of all deliveries from an index on. */
static bool in_order(harness *h, unsigned from)
{
    int last[20];
    memset(last, 0xff, sizeof last);
    for (unsigned i = from; i < harness_delivered(h); i++) {
        const marty_message *message = h->deliveries[i].incoming.message;
        int number = (int)strtol(message->data.data, NULL, 10);
        int key = (int)strtol(message->key + 1, NULL, 10);
        if (number <= last[key]) {
            fprintf(stderr, "key %d: %d after %d\n", key, number, last[key]);
            return false;
        }
        last[key] = number;
    }
    return true;
}

static marty_want want_of(const char *channel, const char *group)
{
    marty_want want = harness_want(MARTY_KIND_STREAM, channel, group, 500);
    want.channel.order = MARTY_ORDER_KEY;
    return want;
}

static bool wait_both(harness *a, harness *b, unsigned count)
{
    int64_t until = test_now_ms() + test_patience(10000);
    while (harness_delivered(a) + harness_delivered(b) < count && test_now_ms() < until) {
        check__pause();
    }
    return harness_delivered(a) + harness_delivered(b) == count;
}

/* Shards are of one who says so within half of a lease: 5 s, of which a machine may stand still
 * for some. */
static void test_shards_are_shared_and_move(test_server *server)
{
    harness *a = harness_up(server, "lease=10s"), *b = harness_up(server, "lease=10s");
    marty_want want = want_of(stream, "g");
    CHECK_INT(harness_subscribe(a, 1, &want), MARTY_OK);
    CHECK(harness_wait_shards(a, 1, 12, 5000));
    publish_keys(a, stream, 0, 200);
    CHECK(harness_wait_delivered(a, 200, 5000));
    CHECK(in_order(a, 0));
    CHECK(strchr(a->deliveries[0].position, ':') != NULL);
    harness_settle_all(a, 0, MARTY_SETTLE_ACK);
    CHECK_INT(harness_subscribe(b, 1, &want), MARTY_OK);
    CHECK(harness_wait_shards(b, 1, 6, 5000));
    CHECK(harness_wait_shards(a, 1, 6, 5000));
    publish_keys(a, stream, 200, 200);
    CHECK(wait_both(a, b, 400));
    CHECK(in_order(a, 0) && in_order(b, 0));
    harness_settle_all(b, 0, MARTY_SETTLE_ACK);
    unsigned held = harness_delivered(a) - 200; /* a settles none of these, and leaves */
    int64_t before = test_now_ms();
    CHECK_INT(harness_unsubscribe(a, 1), MARTY_E_CLOSED);
    CHECK(harness_wait_shards(b, 1, 12, 5000));
    printf("handed over after %d ms\n", (int)(test_now_ms() - before));
    unsigned from = 400 - 200 - held;
    CHECK(harness_wait_delivered(b, from + held, 5000));
    CHECK(in_order(b, from));
    harness_settle(a, 200, MARTY_SETTLE_ACK, 0);
    CHECK(a->settled_lost >= 1);
    harness_close(a);
    harness_close(b);
}

/* A member that dies without a word: its connection is cut by freeing it undrained. It is noticed
 * after half of the lease and one beat, an eighth: the rest is for a machine that stands still. */
static void test_a_dead_member_is_taken_over_within_the_lease(test_server *server)
{
    harness *a = harness_up(server, "lease=8s"), *b = harness_up(server, "lease=8s");
    const char *name = "streams.dying";
    marty_want want = want_of(name, "g");
    CHECK_INT(harness_subscribe(a, 1, &want), MARTY_OK);
    CHECK_INT(harness_subscribe(b, 1, &want), MARTY_OK);
    CHECK(harness_wait_shards(a, 1, 6, 5000));
    CHECK(harness_wait_shards(b, 1, 6, 5000));
    publish_keys(b, name, 0, 100);
    CHECK(wait_both(a, b, 100));
    unsigned lost = harness_delivered(a), kept = harness_delivered(b);
    harness_settle_all(b, 0, MARTY_SETTLE_ACK);
    int64_t before = test_now_ms();
    marty_module.free(a->port); /* no close: nothing is given back */
    CHECK(harness_wait_shards(b, 1, 12, 8000));
    printf("taken over after %d ms of a lease of 8000 ms\n", (int)(test_now_ms() - before));
    CHECK(harness_wait_delivered(b, 100, 15000));
    CHECK(in_order(b, kept));
    for (unsigned i = 0; i < lost; i++) {
        marty_message_unref(a->deliveries[i].incoming.message);
    }
    free(a);
    harness_close(b);
}

static void test_given_back_comes_before_later_ones(test_server *server)
{
    harness *h = harness_up(server, "");
    const char *name = "streams.back";
    marty_want want = want_of(name, "g");
    want.channel.shards = 1;
    want.credit = 1;
    CHECK_INT(harness_subscribe(h, 1, &want), MARTY_OK);
    CHECK(harness_wait_shards(h, 1, 1, 5000));
    marty_outgoing out = {.channel = want.channel};
    out.channel.group = NULL;
    for (int i = 0; i < 5; i++) {
        char data[8];
        (void)snprintf(data, sizeof data, "%d", i);
        marty_message message = {.type = "x", .key = "k", .data = marty_text(data)};
        CHECK_INT(harness_publish_as(h, &out, &message), MARTY_OK);
    }
    CHECK(harness_wait_delivered(h, 1, 5000));
    marty_module.grant(h->port, 1, 2);
    CHECK(harness_wait_delivered(h, 3, 5000));
    harness_settle(h, 0, MARTY_SETTLE_RETRY, 100);
    harness_settle(h, 1, MARTY_SETTLE_GIVE_BACK, 100);
    harness_settle(h, 2, MARTY_SETTLE_GIVE_BACK, 100);
    marty_module.grant(h->port, 1, 10);
    CHECK(harness_wait_delivered(h, 8, 5000));
    const char *wanted[] = {"0", "1", "2", "0", "1", "2", "3", "4"};
    for (unsigned i = 0; i < 8 && i < harness_delivered(h); i++) {
        CHECK_BYTES(h->deliveries[i].incoming.message->data.data, 1, wanted[i], 1);
    }
    CHECK_INT(h->deliveries[3].incoming.attempt, 2);
    CHECK_INT(h->deliveries[4].incoming.attempt, 1);
    harness_close(h);
}

/* Also when those behind it have used up all that was asked for. */
static void test_a_retry_is_asked_for_behind_many_later_ones(test_server *server)
{
    enum { COUNT = 100 };
    harness *h = harness_up(server, "");
    marty_want want = want_of("streams.busy", "g");
    want.channel.shards = 1;
    want.credit = 1;
    CHECK_INT(harness_subscribe(h, 1, &want), MARTY_OK);
    CHECK(harness_wait_shards(h, 1, 1, 5000));
    publish_keys(h, "streams.busy", 0, COUNT);
    CHECK(harness_wait_delivered(h, 1, 5000));
    marty_module.grant(h->port, 1, 20);
    CHECK(harness_wait_delivered(h, 21, 5000));
    for (unsigned i = 0; i < 3; i++) {
        harness_settle(h, i, i ? MARTY_SETTLE_GIVE_BACK : MARTY_SETTLE_RETRY, 250 + i * 50);
    }
    (void)harness_wait_delivered(h, GOT, 100); /* what was asked for comes, and waits behind them */
    harness_settle_all(h, 3, MARTY_SETTLE_ACK);
    marty_module.grant(h->port, 1, COUNT);
    CHECK(harness_wait_delivered(h, COUNT + 3, 5000));
    CHECK(in_order(h, 21));
    harness_close(h);
}

static void be_subscribed(harness *h, const marty_want *want)
{
    if (!harness_wait_state(h, MARTY_STATE_UP, 0)) {
        CHECK_INT(harness_reach(h), MARTY_OK);
        CHECK_INT(harness_subscribe(h, 1, want), MARTY_OK);
    }
}

/* Settles what comes until each of these numbers has come, after so many deliveries. A connection
 * that is lost meanwhile is made anew, as a server that stood still may be taken for gone. */
static bool all_come(harness *h, const marty_want *want, unsigned after, unsigned first,
                     unsigned count)
{
    static bool seen[1000];
    unsigned missing = count;
    memset(seen, 0, sizeof seen);
    for (int64_t until = test_now_ms() + test_patience(20000); test_now_ms() < until;) {
        be_subscribed(h, want);
        for (; after < harness_delivered(h); after++) {
            const marty_message *message = h->deliveries[after].incoming.message;
            unsigned long number = strtoul(message->data.data, NULL, 10);
            if (number >= first && number < first + count && !seen[number]) {
                seen[number] = true;
                missing--;
            }
            harness_settle(h, after, MARTY_SETTLE_ACK, 0);
        }
        if (missing == 0) {
            return true;
        }
        (void)harness_wait_delivered(h, after + 1, 100);
    }
    fprintf(stderr, "%u of %u did not come\n", missing, count);
    return false;
}

/* The server stands still, the lease of the shard ends while messages wait here for credit, and
 * credit comes: nothing of it may go any more, and all of it comes when the server goes on. If the
 * machine stood still as well that may be after a new connection. */
static void test_a_lease_that_ends_while_messages_wait(test_server *server)
{
    enum { FIRST = 20, COUNT = 300, STEP_MS = 10 };
    harness *h = harness_up(server, "lease=1s");
    marty_want want = want_of("streams.waiting", "g");
    want.credit = 3 * COUNT;
    CHECK_INT(harness_subscribe(h, 1, &want), MARTY_OK);
    CHECK(harness_wait_shards(h, 1, 12, 5000));
    publish_keys(h, "streams.waiting", 0, FIRST);
    CHECK(all_come(h, &want, 0, 0, FIRST));
    marty_module.grant(h->port, 1, 0);
    publish_keys(h, "streams.waiting", FIRST, COUNT);
    test_server_freeze(server);
    for (int64_t until = test_now_ms() + 1500; test_now_ms() < until;) {
        marty_module.grant(h->port, 1, 1);
        (void)harness_wait_delivered(h, GOT, STEP_MS); /* all take longer than the lease */
    }
    unsigned before = harness_delivered(h);
    test_server_thaw(server);
    want.credit = 3 * COUNT;
    marty_module.grant(h->port, 1, want.credit);
    CHECK(all_come(h, &want, before, FIRST, COUNT));
    harness_close(h);
}

static void test_a_group_seeks(test_server *server)
{
    harness *h = harness_up(server, "");
    marty_want want = harness_want(MARTY_KIND_TOPIC, "events.seek", "g", 100);
    char position[24];
    CHECK_INT(harness_publish(h, MARTY_KIND_TOPIC, "events.seek", "seek.a", "0", NULL), MARTY_OK);
    CHECK_INT(harness_subscribe(h, 1, &want), MARTY_OK); /* from now */
    for (int i = 1; i <= 5; i++) {
        CHECK_INT(harness_publish(h, MARTY_KIND_TOPIC, "events.seek", "seek.a", "x", position),
                  MARTY_OK);
    }
    CHECK(harness_wait_delivered(h, 5, 5000));
    CHECK_TEXT(h->deliveries[0].position, "2");
    want.reset = true;
    want.start.from = MARTY_FROM_EARLIEST;
    CHECK_INT(harness_subscribe(h, 1, &want), MARTY_OK);
    CHECK(harness_wait_delivered(h, 11, 5000));
    CHECK_TEXT(h->deliveries[5].position, "1");
    harness_settle(h, 0, MARTY_SETTLE_ACK, 0);
    CHECK_INT(h->settled_lost, 1);
    want.start.from = MARTY_FROM_POSITION;
    want.start.position = "4";
    CHECK_INT(harness_subscribe(h, 1, &want), MARTY_OK);
    CHECK(harness_wait_delivered(h, 14, 5000));
    CHECK_TEXT(h->deliveries[11].position, "4");
    want.start = (marty_start){.from = MARTY_FROM_NOW};
    CHECK_INT(harness_subscribe(h, 1, &want), MARTY_OK);
    CHECK(harness_quiet(h, 100));
    want.start = (marty_start){.from = MARTY_FROM_TIME, .time_us = 1};
    CHECK_INT(harness_subscribe(h, 1, &want), MARTY_OK);
    CHECK(harness_wait_delivered(h, 20, 5000));
    harness_close(h);
}

/* Each seek while the one before is still being set up: the last one counts. */
static void test_seeks_in_quick_succession(test_server *server, marty_kind kind,
                                           const char *channel)
{
    enum { SEEKS = 300, COUNT = 5 };
    harness *h = harness_up(server, "");
    marty_want want = harness_want(kind, channel, "g", 100);
    want.channel.order = kind == MARTY_KIND_STREAM ? MARTY_ORDER_KEY : MARTY_ORDER_NONE;
    want.channel.shards = 1;
    marty_outgoing out = {.channel = want.channel};
    out.channel.group = NULL;
    for (int i = 0; i < COUNT; i++) {
        marty_message message = {.type = "hasty.a", .key = "k", .data = marty_text("x")};
        CHECK_INT(harness_publish_as(h, &out, &message), MARTY_OK);
    }
    want.start.from = MARTY_FROM_POSITION;
    for (int i = 0; i < SEEKS; i++) {
        char position[32];
        marty_error why = {0};
        (void)snprintf(position, sizeof position, "%d", i == SEEKS - 1 ? 4 : 1 + i % 3);
        want.start.position = position;
        want.reset = i > 0;
        CHECK_INT(marty_module.subscribe(h->port, 1, &want, &why), MARTY_OK);
        memset(position, '9', sizeof position - 1);
        (void)harness_wait_delivered(h, GOT, i % 3); /* sooner or later in the setting up */
    }
    for (int64_t until = test_now_ms() + test_patience(20000);
         h->settled_ok < 2 && test_now_ms() < until;) {
        unsigned count = harness_delivered(h);
        if (count >= 2 && strstr(h->deliveries[count - 2].position, "4") &&
            strstr(h->deliveries[count - 1].position, "5") && harness_quiet(h, 200)) {
            harness_settle(h, count - 2, MARTY_SETTLE_ACK, 0); /* those of an earlier one: LOST */
            harness_settle(h, count - 1, MARTY_SETTLE_ACK, 0);
        } else {
            (void)harness_wait_delivered(h, count + 1, 100);
        }
    }
    CHECK(h->settled_ok >= 2);
    harness_close(h);
}

/* It goes on where it was after a lost connection, but not after a seek. */
static void test_an_instance_seeks(test_server *server)
{
    harness *h = harness_up(server, "");
    marty_want want = harness_want(MARTY_KIND_TOPIC, "events.alone", NULL, 10);
    CHECK_INT(harness_publish(h, MARTY_KIND_TOPIC, "events.alone", "alone.a", "0", NULL), MARTY_OK);
    CHECK_INT(harness_subscribe(h, 1, &want), MARTY_OK);
    CHECK_INT(harness_publish(h, MARTY_KIND_TOPIC, "events.alone", "alone.a", "1", NULL), MARTY_OK);
    CHECK(harness_wait_delivered(h, 1, 5000));
    CHECK_TEXT(h->deliveries[0].position, "2");
    want.reset = true;
    want.start.from = MARTY_FROM_EARLIEST;
    CHECK_INT(harness_subscribe(h, 1, &want), MARTY_OK);
    CHECK(harness_wait_delivered(h, 3, 5000));
    CHECK_TEXT(h->deliveries[1].position, "1");
    harness_close(h);
}

static void test_an_instance_of_its_own_leaves_nothing(test_server *server)
{
    harness *h = harness_up(server, "");
    marty_want want = harness_want(MARTY_KIND_TOPIC, "events.own", NULL, 10);
    CHECK_INT(harness_publish(h, MARTY_KIND_TOPIC, "events.own", "own.a", "0", NULL), MARTY_OK);
    CHECK_INT(harness_subscribe(h, 1, &want), MARTY_OK);
    CHECK_INT(harness_publish(h, MARTY_KIND_TOPIC, "events.own", "own.a", "1", NULL), MARTY_OK);
    CHECK(harness_wait_delivered(h, 1, 5000));
    CHECK_TEXT(h->deliveries[0].position, "2");
    CHECK_INT(harness_unsubscribe(h, 1), MARTY_E_CLOSED);
    marty_error why = {0};
    marty_message *answer = NULL;
    marty_want look = harness_want(MARTY_KIND_TOPIC, "events.own", NULL, 0);
    CHECK_INT(marty_module.topology(h->port, "inspect", &look, marty__monotonic_ns() + 5000000000,
                                    &answer, &why),
              MARTY_OK);
    CHECK_HAS(answer ? answer->data.data : "", "\"groups\":[]");
    marty_message_unref(answer);
    harness_close(h);
}

int main(int argc, char **argv)
{
    test_server *server = harness_server(argc > 1 ? argv[1] : "new", NULL);
    test_shards_are_shared_and_move(server);
    test_a_dead_member_is_taken_over_within_the_lease(server);
    test_given_back_comes_before_later_ones(server);
    test_a_retry_is_asked_for_behind_many_later_ones(server);
    test_a_lease_that_ends_while_messages_wait(server);
    test_a_group_seeks(server);
    test_seeks_in_quick_succession(server, MARTY_KIND_TOPIC, "events.hasty");
    test_seeks_in_quick_succession(server, MARTY_KIND_STREAM, "streams.hasty");
    test_an_instance_seeks(server);
    test_an_instance_of_its_own_leaves_nothing(server);
    test_server_free(server);
    free(server);
    return check_result();
}
