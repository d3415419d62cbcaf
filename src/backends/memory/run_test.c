/* SPDX-License-Identifier: Apache-2.0
 * Messages that go out as a run are settled, given back, lost and kept like those that go alone:
 * in any order, across batches and segments, and with no allocation to be had. */
#include "base/alloc.h"
#include "test_port.h"
#include "tests/storm.h"

enum { MANY = 300, FEW = 40 };

static marty_message *messages[MANY]; /* m0, m1, ... */

/* All of them in one call. */
static void say_all(probe *p, size_t count)
{
    marty_outgoing batch[MANY];
    marty_error why = {0};
    size_t taken = 0, before = p->publishes;
    for (size_t i = 0; i < count; i++) {
        batch[i] = (marty_outgoing){.token = ++p->next_token,
                                    .channel = {.kind = MARTY_KIND_TOPIC, .name = "events.x"},
                                    .message = messages[i]};
    }
    CHECK_INT(test_backend->publish(p->port, batch, count, &taken, &why), MARTY_OK);
    REQUIRE(taken == count && p->publishes == before + count);
    for (size_t i = 0; i < count; i++) {
        CHECK_INT(p->published[before + i].token, batch[i].token);
        CHECK(p->published[before + i].err == MARTY_OK ||
              (storm_failed && p->published[before + i].err == MARTY_E_NO_MEMORY));
    }
}

static void listen_with(probe *p, uint32_t credit)
{
    listen_to(p, 1, MARTY_KIND_TOPIC, "events.x", "g", credit);
}

static void expect_order(const probe *p, size_t from, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char id[8], position[24];
        (void)snprintf(id, sizeof id, "m%zu", from + i);
        (void)snprintf(position, sizeof position, "%zu", from + i + 1);
        CHECK_TEXT(p->delivered[i].message->id, id);
        CHECK_TEXT(p->delivered[i].position, position);
        CHECK_INT(p->delivered[i].attempt, 1);
        CHECK(!i || p->delivered[i].tag != p->delivered[i - 1].tag);
    }
}

static const char *group_of(probe *p)
{
    return ask(p, "inspect",
               (marty_want){.channel = {.kind = MARTY_KIND_TOPIC, .name = "events.x"}}, NULL);
}

static void credit_is_held_to_and_batches_are_cut_anywhere(void)
{
    probe *a = probe_open("?dedup=0s");
    listen_with(a, 0);
    say_all(a, MANY);
    CHECK_INT(a->deliveries, 0);
    test_backend->grant(a->port, 1, 10);
    CHECK_INT(a->deliveries, 10);
    test_backend->grant(a->port, 1, 2);
    CHECK_INT(a->deliveries, 12);
    test_backend->grant(a->port, 1, 1000); /* more than a batch, over the end of a segment */
    CHECK_INT(a->deliveries, MANY);
    expect_order(a, 0, MANY);
    CHECK_HAS(group_of(a), "\"lag\":0,\"due\":0,\"unsettled\":300,");
    ack_all(a);
    CHECK_HAS(group_of(a), "\"unsettled\":0,");
    CHECK_INT(settle(a, &a->delivered[7], MARTY_SETTLE_ACK, 0), MARTY_E_LOST);
    probe_close(a);
}

static void a_batch_of_acks_is_answered_one_by_one(void)
{
    probe *a = probe_open("?dedup=0s");
    marty_settling batch[FEW + 2];
    listen_with(a, FEW);
    say_all(a, FEW);
    for (size_t i = 0; i < FEW; i++) { /* backwards in pairs: no two tags are neighbours as given */
        batch[i] =
            (marty_settling){.subscription = 1,
                             .tag = a->delivered[i < FEW / 2 ? i : FEW - 1 - i + FEW / 2].tag,
                             .verb = MARTY_SETTLE_ACK};
    }
    batch[FEW] = batch[3]; /* settled before */
    batch[FEW + 1] = batch[5];
    batch[FEW + 1].subscription = 2; /* nobody's */
    test_backend->settle(a->port, batch, FEW + 2);
    CHECK_INT(a->settlings, FEW + 2);
    for (size_t i = 0; i < FEW + 2; i++) {
        CHECK_INT(a->settled[i].tag, batch[i].tag);
        CHECK_INT(a->settled[i].result, i < FEW ? MARTY_OK : MARTY_E_LOST);
    }
    CHECK_HAS(group_of(a), "\"unsettled\":0,");
    probe_close(a);
}

static void one_that_comes_again_leaves_the_others_alone(void)
{
    probe *a = probe_open("?dedup=0s");
    listen_with(a, FEW);
    say_all(a, FEW);
    CHECK_INT(settle(a, &a->delivered[4], MARTY_SETTLE_EXTEND, 1000), MARTY_OK);
    CHECK_INT(settle(a, &a->delivered[4], MARTY_SETTLE_RETRY, 0), MARTY_OK);
    CHECK_INT(settle(a, &a->delivered[4], MARTY_SETTLE_ACK, 0), MARTY_E_LOST);
    CHECK_INT(settle(a, &a->delivered[9], MARTY_SETTLE_RETRY, 50), MARTY_OK);
    CHECK_INT(settle(a, &a->delivered[2], MARTY_SETTLE_GIVE_BACK, 0), MARTY_OK);
    marty_outgoing dead = {.channel = {.kind = MARTY_KIND_DEAD, .name = "dead.events.x"},
                           .message = a->delivered[6].message};
    CHECK_INT(settle_with(a, (marty_settling){.subscription = 1,
                                              .tag = a->delivered[6].tag,
                                              .verb = MARTY_SETTLE_REJECT,
                                              .dead = &dead}),
              MARTY_OK);
    CHECK_HAS(group_of(a), "\"lag\":3,\"due\":2,\"unsettled\":36,");
    test_backend->grant(a->port, 1, 4);
    pass_ms(60);
    CHECK_INT(a->deliveries, FEW + 3);
    CHECK_TEXT(a->delivered[FEW].message->id, "m2");
    CHECK_INT(a->delivered[FEW].attempt, 1);
    CHECK_TEXT(a->delivered[FEW + 1].message->id, "m4");
    CHECK_INT(a->delivered[FEW + 1].attempt, 2);
    CHECK_TEXT(a->delivered[FEW + 2].message->id, "m9");
    for (size_t i = 0; i < a->deliveries; i++) {
        bool before = i == 2 || i == 4 || i == 6 || i == 9;
        CHECK_INT(settle(a, &a->delivered[i], MARTY_SETTLE_ACK, 0),
                  before ? MARTY_E_LOST : MARTY_OK);
    }
    CHECK_HAS(group_of(a), "\"unsettled\":0,");
    probe_close(a);
}

static void what_a_member_leaves_behind_comes_in_its_old_order(void)
{
    probe *a = probe_open("runs?dedup=0s"), *b = probe_open("runs?dedup=0s");
    listen_with(a, FEW);
    say_all(a, FEW);
    CHECK_INT(a->deliveries, FEW);
    CHECK_INT(settle(a, &a->delivered[0], MARTY_SETTLE_ACK, 0), MARTY_OK);
    CHECK_INT(settle(a, &a->delivered[3], MARTY_SETTLE_RETRY, 0), MARTY_OK);
    listen_with(b, 0);
    unlisten(a, 1);
    test_backend->grant(b->port, 1, 100);
    CHECK_INT(b->deliveries, FEW - 1);
    for (size_t i = 0; i + 1 < FEW; i++) {
        CHECK_INT(b->delivered[i].message == messages[i + 1], 1);
        CHECK_INT(b->delivered[i].attempt, i == 2 ? 2 : 1);
    }
    ack_all(b);
    probe_close(a);
    probe_close(b);
}

static void a_seek_loses_what_is_out_and_an_end_forgets_it(void)
{
    probe *a = probe_open("?dedup=0s");
    listen_with(a, FEW);
    say_all(a, FEW);
    noted_delivery old = a->delivered[5];
    marty_want again = {.channel = {.kind = MARTY_KIND_TOPIC, .name = "events.x", .group = "g"},
                        .start = {.from = MARTY_FROM_EARLIEST},
                        .reset = true,
                        .credit = FEW};
    CHECK_INT(subscribe_with(a, 1, again), MARTY_OK);
    CHECK_INT(a->deliveries, 2 * FEW);
    CHECK_INT(settle(a, &old, MARTY_SETTLE_ACK, 0), MARTY_E_LOST);
    CHECK_INT(settle(a, &a->delivered[FEW + 5], MARTY_SETTLE_ACK, 0), MARTY_OK);
    probe_close(a); /* with all the others unsettled */
}

static void what_the_log_has_dropped_is_settled_all_the_same(void)
{
    probe *a = probe_open("?dedup=0s&history=0");
    listen_with(a, FEW);
    say_all(a, FEW);
    CHECK_HAS(group_of(a), "\"messages\":0,");
    CHECK_INT(settle(a, &a->delivered[1], MARTY_SETTLE_RETRY, 0), MARTY_OK);
    CHECK_INT(settle(a, &a->delivered[0], MARTY_SETTLE_ACK, 0), MARTY_OK);
    test_backend->grant(a->port, 1, 1);
    CHECK_TEXT(a->delivered[FEW].message->id, "m1");
    unlisten(a, 1);
    probe_forget(a);
    listen_with(a, 100);
    CHECK_INT(a->deliveries, FEW - 1);
    CHECK_TEXT(a->delivered[0].message->id, "m1");
    ack_all(a);
    CHECK_HAS(ask(a, "inspect", (marty_want){0}, NULL), "\"bytes\":0,");
    probe_close(a);
}

/* What is retried needs an item of its own, which is there. */
static bool storm_round(unsigned nth, bool ever)
{
    probe *a = probe_open("?dedup=0s");
    listen_with(a, FEW);
    storm_begin(nth, ever);
    say_all(a, FEW);
    size_t first = a->deliveries;
    for (size_t i = 0; i < first; i++) {
        marty_verb verb = i % 3 ? MARTY_SETTLE_RETRY : MARTY_SETTLE_ACK;
        CHECK_INT(settle(a, &a->delivered[i], verb, i % 3 == 1 ? 5 : 0), MARTY_OK);
    }
    storm = false;
    pass_ms(100);
    test_backend->grant(a->port, 1, 1000);
    size_t stored = 0;
    for (size_t i = 0; i < a->publishes; i++) {
        stored += a->published[i].err == MARTY_OK;
    }
    for (size_t i = first; i < a->deliveries; i++) {
        CHECK_INT(settle(a, &a->delivered[i], MARTY_SETTLE_ACK, 0), MARTY_OK);
    }
    CHECK_INT(a->deliveries, stored + first - (first + 2) / 3);
    CHECK(strstr(group_of(a), "\"lag\":0,\"due\":0,\"unsettled\":0,") || !stored);
    probe_close(a);
    return storm_failed;
}

int main(void)
{
    for (size_t i = 0; i < MANY; i++) {
        char id[8];
        (void)snprintf(id, sizeof id, "m%zu", i);
        messages[i] = message_of(&(marty_message){.id = id});
    }
    credit_is_held_to_and_batches_are_cut_anywhere();
    a_batch_of_acks_is_answered_one_by_one();
    one_that_comes_again_leaves_the_others_alone();
    what_a_member_leaves_behind_comes_in_its_old_order();
    a_seek_loses_what_is_out_and_an_end_forgets_it();
    what_the_log_has_dropped_is_settled_all_the_same();
    marty__alloc_set_hook(storm_may_allocate);
    unsigned once = 1, ever = 1;
    while (storm_round(once, false)) {
        once++;
    }
    while (storm_round(ever, true)) {
        ever++;
    }
    CHECK(once > 3 && once < 100 && ever > 3 && ever < 100);
    marty__alloc_set_hook(NULL);
    for (size_t i = 0; i < MANY; i++) {
        marty_message_unref(messages[i]);
    }
    return check_result();
}
