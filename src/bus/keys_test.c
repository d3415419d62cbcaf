/* SPDX-License-Identifier: Apache-2.0
 * Several of one key in one batch: of them, and of those that wait, nothing runs before one that
 * stands in front of it and is retried or kept. On one thread, in simulated time. */
#include "test_script.h"
#include "test_simulated.h"

enum { AGAIN_MS = 50, BATCH = 4 };

/* What the handler does with the first run of messages 1 to 9: r puts it off, k keeps it, a acks
 * it, v has its shard revoked and puts it off, . leaves it to the return value; in that order. */
static struct {
    const char *does;  /* by number */
    const char *order; /* "32": first message 3, then 2; NULL = as they come */
    char runs[128];    /* as it was called, "1234 2 34 " */
    marty_delivery *kept;
    marty_err answer;
} plan;

static char number_of(const marty_delivery *delivery)
{
    return delivery->message->id[1];
}

static void do_one(marty_delivery *delivery)
{
    int at = number_of(delivery) - '1';
    char what = delivery->attempt > 1 || at >= (int)strlen(plan.does) ? '.' : plan.does[at];
    if (what == 'v') {
        revoke(0, simulated_ns + (int64_t)1000 * MS);
    }
    if (what == 'r' || what == 'v') {
        CHECK_INT(marty_retry(delivery, AGAIN_MS, "later"), MARTY_OK);
    } else if (what == 'k' && !plan.kept) {
        plan.kept = marty_delivery_keep(delivery);
    } else if (what == 'a') {
        CHECK_INT(marty_ack(delivery), MARTY_OK);
    }
}

static marty_err plod(void *user, marty_delivery *first)
{
    (void)user;
    size_t size = strlen(plan.runs);
    for (marty_delivery *delivery = first; delivery; delivery = delivery->next) {
        plan.runs[size++] = number_of(delivery);
    }
    plan.runs[size++] = ' ';
    REQUIRE(size < sizeof plan.runs - 10);
    for (const char *at = plan.order; at && *at; at++) {
        for (marty_delivery *delivery = first; delivery; delivery = delivery->next) {
            if (number_of(delivery) == *at) {
                do_one(delivery);
            }
        }
    }
    for (marty_delivery *delivery = first; delivery && !plan.order; delivery = delivery->next) {
        do_one(delivery);
    }
    marty_err answer = plan.answer;
    plan.answer = MARTY_OK;
    return answer;
}

static void process(marty_bus *bus)
{
    for (int i = 0; i < 20; i++) {
        CHECK_INT(marty_bus_process(bus, 0, NULL, NULL), MARTY_OK);
    }
}

static void pass(marty_bus *bus, int64_t ms)
{
    simulated_ns += ms * MS;
    process(bus);
}

static marty_bus *open_with(const char *does, uint32_t wait_ms)
{
    marty_bus *bus = NULL;
    marty_error why = {0};
    marty_bus_options options = {.service = "s",
                                 .driven = true,
                                 .env = &surroundings,
                                 .inflight_max = script.answers_each < 0 ? 1U : 0U};
    marty_subscribe_options batches = {
        .batch_max = BATCH,
        .batch_wait_ms = wait_ms,
        .retry = {.first_ms = AGAIN_MS, .max_ms = AGAIN_MS, .no_jitter = true}};
    memset(&plan, 0, sizeof plan);
    plan.does = does;
    script.count = 0;
    REQUIRE(!marty_bus_open(&bus, "script:", &options, &why));
    REQUIRE(!marty_process_stream(bus, "orders", plod, NULL, &batches, NULL, &why));
    process(bus);
    return bus;
}

static void deliver_some(uint64_t from, uint64_t to)
{
    for (uint64_t tag = from; tag <= to; tag++) {
        deliver(tag, 0, "a", INT64_MAX, NULL);
    }
}

/* Messages 1 to 6 of one key. */
static marty_bus *run_six(const char *does, const char *order, marty_err answer)
{
    marty_bus *bus = open_with(does, 0);
    plan.order = order;
    plan.answer = answer;
    deliver_some(1, 6);
    process(bus);
    return bus;
}

static void finish(marty_bus *bus)
{
    marty_delivery_release(plan.kept);
    CHECK_INT(marty_bus_close(bus, 0, NULL), MARTY_OK);
    marty_bus_free(bus);
}

static void expect_all_acked(uint64_t last)
{
    for (uint64_t tag = 1; tag <= last; tag++) {
        CHECK_INT(settled(tag, 0), 1);
        CHECK_INT(last_of(tag).verb, MARTY_SETTLE_ACK);
    }
}

static const struct {
    const char *does, *order;
    marty_err answer;
    const char *at_first, *at_last;
} puts_off[] = {
    {"r...", NULL, MARTY_OK, "1234 ", "1234 1234 56 "},
    {".r..", NULL, MARTY_OK, "1234 ", "1234 2345 6 "},
    {"...r", NULL, MARTY_OK, "1234 ", "1234 456 "},
    {".ra.", "32", MARTY_OK, "1234 ", "1234 2456 "},   /* 3 is done with before 2 is put off */
    {".rr.", "32", MARTY_OK, "1234 ", "1234 2345 6 "}, /* the later one first */
    {"ar..", NULL, MARTY_OK, "1234 ", "1234 2345 6 "},
    {".r..", NULL, MARTY_E_FAILED, "1234 ", "1234 1234 56 "}, /* and then the first one is, too */
    {"a...", NULL, MARTY_E_FAILED, "1234 ", "1234 2345 6 "},
};

static void nothing_overtakes_one_of_a_batch_that_is_put_off(void)
{
    for (size_t i = 0; i < sizeof puts_off / sizeof puts_off[0]; i++) {
        marty_bus *bus = run_six(puts_off[i].does, puts_off[i].order, puts_off[i].answer);
        pass(bus, AGAIN_MS - 1);
        CHECK_TEXT(plan.runs, puts_off[i].at_first);
        pass(bus, 1);
        CHECK_TEXT(plan.runs, puts_off[i].at_last);
        expect_all_acked(6);
        finish(bus);
    }
}

static void other_keys_go_on(void)
{
    marty_bus *bus = run_six(".r..", NULL, MARTY_OK);
    deliver(7, 0, "b", INT64_MAX, NULL);
    process(bus);
    CHECK_TEXT(plan.runs, "1234 7 ");
    finish(bus);
}

/* 3 is kept, then 2 is put off. */
static void nor_one_that_is_kept_behind_it(void)
{
    marty_bus *bus = run_six(".rk.", "32", MARTY_OK);
    pass(bus, AGAIN_MS);
    CHECK_TEXT(plan.runs, "1234 2 ");
    pass(bus, 10 * AGAIN_MS);
    CHECK_TEXT(plan.runs, "1234 2 ");
    CHECK_INT(marty_ack(plan.kept), MARTY_OK);
    process(bus);
    CHECK_TEXT(plan.runs, "1234 2 456 ");
    expect_all_acked(6);
    finish(bus);
}

/* The one in front of it is still in hand when its time has come. */
static void nor_does_it_run_before_one_in_front_of_it(void)
{
    marty_bus *bus = run_six("kr..", NULL, MARTY_OK);
    pass(bus, 10 * AGAIN_MS);
    CHECK_TEXT(plan.runs, "1234 ");
    CHECK_INT(marty_ack(plan.kept), MARTY_OK);
    process(bus);
    CHECK_TEXT(plan.runs, "1234 2345 6 ");
    expect_all_acked(6);
    finish(bus);
}

static void what_is_kept_may_be_put_off_later(void)
{
    marty_bus *bus = run_six(".k..", NULL, MARTY_OK);
    pass(bus, 10 * AGAIN_MS);
    CHECK_TEXT(plan.runs, "1234 ");
    CHECK_INT(marty_retry(plan.kept, AGAIN_MS, "not yet"), MARTY_OK);
    pass(bus, AGAIN_MS - 1);
    CHECK_TEXT(plan.runs, "1234 ");
    pass(bus, 1);
    CHECK_TEXT(plan.runs, "1234 2345 6 ");
    expect_all_acked(6);
    finish(bus);
}

/* Its shard is leaving, so it is retried by the broker, and what is behind it goes back. */
static void what_is_behind_one_that_goes_back_goes_back(void)
{
    marty_bus *bus = run_six(".v..", NULL, MARTY_OK);
    pass(bus, 10 * AGAIN_MS);
    CHECK_TEXT(plan.runs, "1234 ");
    CHECK_INT(last_of(1).verb, MARTY_SETTLE_ACK);
    CHECK_INT(last_of(2).verb, MARTY_SETTLE_RETRY);
    for (uint64_t tag = 3; tag <= 6; tag++) {
        CHECK_INT(last_of(tag).verb, MARTY_SETTLE_GIVE_BACK);
    }
    finish(bus);
}

/* Lost meanwhile; what comes instead goes on in order. */
static void a_lost_connection_leaves_nothing_of_it(void)
{
    marty_bus *bus = run_six(".rk.", "32", MARTY_OK);
    script.sink->state(script.sink, MARTY_STATE_DOWN, NULL, MARTY_E_UNAVAILABLE, "gone");
    pass(bus, 10000);
    plan.does = "";
    deliver_some(2, 6);
    process(bus);
    CHECK_TEXT(plan.runs, "1234 "); /* 3 is in hand still */
    CHECK_INT(marty_ack(plan.kept), MARTY_E_LOST);
    process(bus);
    CHECK_TEXT(plan.runs, "1234 2345 6 ");
    finish(bus);
}

static void note_done(void *user, const marty_outcome outcomes[], size_t count)
{
    (void)outcomes;
    *(size_t *)user += count;
}

/* Tried too often before it came here: its dead letter is refused, as publishes are in the way. */
static void nor_one_that_cannot_become_a_dead_letter(void)
{
    size_t done = 0;
    uint64_t token = 0;
    script.answers_each = -1;
    marty_bus *bus = open_with("", 0);
    const marty_message other = {.type = "in.the.way"}, *list[] = {&other};
    marty_publish_options options = {.done = note_done, .user = &done};
    CHECK_INT(marty_publish(bus, MARTY_EVENT, NULL, list, 1, &options, NULL), MARTY_OK);
    CHECK(taken(&token) > 0);
    const marty_header tried = {"martyattempts", {"100", 3}, MARTY_ATTRIBUTE};
    deliver(1, 0, "a", INT64_MAX, &tried);
    deliver_some(2, 3);
    process(bus);
    CHECK_TEXT(plan.runs, "");
    script.answers_each = 0;
    script.sink->published(script.sink,
                           &(marty_published){.token = token, .level = MARTY_LEVEL_MEMORY}, 1);
    pass(bus, 60000);
    CHECK_INT(done, 1);
    CHECK_TEXT(plan.runs, "23 ");
    expect_all_acked(3);
    finish(bus);
}

/* With 600 s to wait for it. */
static void a_full_batch_of_one_key_waits_for_nothing(void)
{
    marty_bus *bus = open_with("", 600000);
    deliver_some(1, 3);
    process(bus);
    CHECK_TEXT(plan.runs, "");
    deliver_some(4, 7);
    process(bus);
    CHECK_TEXT(plan.runs, "1234 ");
    deliver(8, 0, "b", INT64_MAX, NULL);
    process(bus);
    CHECK_TEXT(plan.runs, "1234 5678 ");
    expect_all_acked(8);
    finish(bus);
}

int main(void)
{
    marty_error why = {0};
    REQUIRE(!marty_backend_register(&script_backend, &why));
    nothing_overtakes_one_of_a_batch_that_is_put_off();
    other_keys_go_on();
    nor_one_that_is_kept_behind_it();
    nor_does_it_run_before_one_in_front_of_it();
    what_is_kept_may_be_put_off_later();
    what_is_behind_one_that_goes_back_goes_back();
    a_lost_connection_leaves_nothing_of_it();
    nor_one_that_cannot_become_a_dead_letter();
    a_full_batch_of_one_key_waits_for_nothing();
    return check_result();
}
