/* SPDX-License-Identifier: Apache-2.0
 * How long a step is tried, when that is said, and what a person can do meanwhile
 * (docs/design/0018-retries-of-sagas.md). */
#include "test_machine.h"

static const char order[] =
    "saga: order\n"
    "version: 1\n"
    "steps:\n"
    "  - {name: reserve, service: inventory, command: reserve, compensate: release}\n"
    "  - {name: charge, service: payment, command: charge, kind: pivot, in_doubt: probe}\n"
    "  - {name: ship, service: shipping, command: ship, kind: retriable}\n";

static const marty__saga_slot *slot_at(world *w, const char *path)
{
    return &w->turn.decoded->slots[slot_of(w, path)];
}

static bool says(world *w, const char *path, const char *text)
{
    char reason[300];
    marty_bytes bytes = slot_at(w, path)->reason;
    snprintf(reason, sizeof reason, "%.*s", (int)bytes.size, (const char *)bytes.data);
    return strstr(reason, text) != NULL;
}

static bool failing(world *w, const char *path)
{
    return marty__saga_failing(w->definition, w->turn.decoded, slot_of(w, path));
}

static int64_t seconds_since_start(const world *w)
{
    return (w->now_us - w->turn.decoded->started_us) / 1000000;
}

static void counted_attempts_end_in_doubt(void)
{
    world w = world_new("saga: s\nversion: 1\nsteps:\n  - {name: a, service: s, command: a, "
                        "compensate: un, retry: {attempts: 5}}\n");
    start(&w, "");
    for (int attempt = 1; attempt <= 5; attempt++) {
        CHECK_TEXT(status(&w, "a"), "calling");
        pass_to_due(&w); /* the attempt */
        CHECK_TEXT(status(&w, "a"), attempt < 5 ? "backoff" : "in-doubt");
        if (attempt < 5) {
            pass_to_due(&w);
        }
    }
    CHECK_TEXT(word(&w), "stuck-forward");
    verb(&w, MARTY__SAGA_VERB_RETRY, "a", NULL);
    CHECK_TEXT(status(&w, "a"), "backoff");
    tick(&w);
    CHECK_TEXT(commands(&w), "forward a.6");
    world_free(&w);
}

/* A participant whose database is away says "not now" at once, for an hour. */
static void an_outage_of_an_hour_is_outlived(void)
{
    world w = world_new(order);
    start(&w, "");
    int64_t longest_us = 0;
    while (seconds_since_start(&w) < 3600) {
        answer(&w, "reserve", MARTY__SAGA_RETRY, "");
        CHECK_TEXT(status(&w, "reserve"), "backoff");
        int64_t wait_us = w.turn.due_us - w.now_us;
        longest_us = wait_us > longest_us ? wait_us : longest_us;
        pass_to_due(&w);
        CHECK_TEXT(word(&w), "running");
    }
    CHECK(longest_us > 60 * INT64_C(1000000));
    CHECK(longest_us <= 120 * INT64_C(1000000));
    printf("an hour of \"not now\": %u attempts, history %zu bytes\n",
           (unsigned)slot_at(&w, "reserve")->forward.used, w.history_bytes);
    answer(&w, "reserve", MARTY__SAGA_OK, "");
    CHECK_TEXT(commands(&w), "forward charge.1");
    world_free(&w);
}

static void a_week_is_the_default_end(void)
{
    world w = world_new(order);
    start(&w, "");
    w.now_us += INT64_C(7) * 24 * 3600 * 1000000 - 1; /* nobody looked meanwhile */
    tick(&w);
    CHECK_TEXT(status(&w, "reserve"), "backoff");
    pass_to_due(&w);
    CHECK_TEXT(word(&w), "stuck-forward");
    CHECK(says(&w, "reserve", "over its time after 1 attempt"));
    world_free(&w);
}

static void the_total_time_ends_attempts_that_are_not_counted(void)
{
    world w = world_new("saga: s\nversion: 1\nsteps:\n  - {name: a, service: s, command: a, "
                        "compensate: un, total_timeout: 20m}\n");
    start(&w, "");
    while (strcmp(word(&w), "running") == 0) {
        pass_to_due(&w);
        REQUIRE(seconds_since_start(&w) <= 1200);
    }
    CHECK_INT(seconds_since_start(&w), 1200);
    CHECK_TEXT(status(&w, "a"), "in-doubt");
    CHECK_TEXT(word(&w), "stuck-forward");
    CHECK(says(&w, "a", "attempts: no answer in time"));
    verb(&w, MARTY__SAGA_VERB_RETRY, NULL, NULL); /* the time begins anew */
    tick(&w);
    w.now_us += INT64_C(19) * 60 * 1000000;
    tick(&w);
    CHECK_TEXT(status(&w, "a"), "backoff");
    world_free(&w);
}

/* It says "not done" to each probe and never does it: that is no way to go round for ever. */
static void what_is_never_done_is_not_called_for_ever(void)
{
    static const char *const kinds[] = {"pivot", "retriable, compensate: un"};
    for (int i = 0; i < 2; i++) {
        char text[300];
        snprintf(text, sizeof text,
                 "saga: s\nversion: 1\nsteps:\n  - {name: a, service: s, command: a, kind: %s, "
                 "in_doubt: probe, total_timeout: 5m}\n",
                 kinds[i]);
        world w = world_new(text);
        start(&w, "");
        while (strcmp(word(&w), "running") == 0) {
            pass_to_due(&w);
            if (strcmp(status(&w, "a"), "in-doubt") == 0) {
                answer(&w, "a", MARTY__SAGA_NOT_DONE, "");
            }
            REQUIRE(seconds_since_start(&w) <= 360);
        }
        CHECK(seconds_since_start(&w) >= 300);
        CHECK_TEXT(word(&w), i == 0 ? "compensated" : "stuck-forward");
        CHECK_TEXT(status(&w, "a"), "rejected");
        world_free(&w);
    }
}

static void it_is_asked_for_as_long_as_it_may_be_tried(void)
{
    world w = world_new("saga: s\nversion: 1\nsteps:\n  - {name: a, service: s, command: a, "
                        "kind: pivot, in_doubt: probe, total_timeout: 1h}\n");
    start(&w, "");
    while (strcmp(word(&w), "running") == 0) {
        pass_to_due(&w);
        REQUIRE(seconds_since_start(&w) <= 2 * 3600);
    }
    CHECK(seconds_since_start(&w) >= 3600);
    CHECK(slot_at(&w, "a")->probes > 20);
    CHECK(says(&w, "a", "no probe was answered"));
    world_free(&w);
}

static void refuse_charge(world *w)
{
    start(w, "");
    answer(w, "reserve", MARTY__SAGA_OK, "");
    answer(w, "charge", MARTY__SAGA_REFUSED, "");
    CHECK_TEXT(commands(w), "undo reserve.1");
}

static void an_undo_that_is_refused_is_soon_stuck(void)
{
    world w = world_new(order);
    refuse_charge(&w);
    for (int i = 0; i < 10; i++) {
        CHECK_TEXT(word(&w), "compensating");
        answer_undo(&w, "reserve", MARTY__SAGA_REFUSED);
        if (i < 9) {
            pass_to_due(&w);
        }
    }
    CHECK_TEXT(word(&w), "stuck-undo");
    CHECK(seconds_since_start(&w) < 120);
    world_free(&w);
}

static void trouble_is_said_after_ten_seconds(void)
{
    world w = world_new(order);
    refuse_charge(&w);
    CHECK(!failing(&w, "reserve"));
    answer_undo(&w, "reserve", MARTY__SAGA_RETRY);
    CHECK(!failing(&w, "reserve"));
    while (!failing(&w, "reserve")) {
        pass_to_due(&w);
        answer_undo(&w, "reserve", MARTY__SAGA_RETRY);
        CHECK(seconds_since_start(&w) < 10 || failing(&w, "reserve"));
    }
    CHECK(w.turn.due_us - w.turn.decoded->started_us >= 10 * INT64_C(1000000));
    CHECK(seconds_since_start(&w) < 12);
    pass_to_due(&w);
    CHECK(failing(&w, "reserve"));
    CHECK_TEXT(word(&w), "compensating");
    answer_undo(&w, "reserve", MARTY__SAGA_OK);
    CHECK(!failing(&w, "reserve"));
    world_free(&w);
}

static void an_undo_that_nobody_handles_is_seen_after_its_first_attempt(void)
{
    world w = world_new(order);
    refuse_charge(&w);
    pass_to_due(&w);
    CHECK_INT(seconds_since_start(&w), 30);
    CHECK(failing(&w, "reserve"));
    verb(&w, MARTY__SAGA_VERB_WAIVE, NULL, NULL); /* it need not be named */
    CHECK_TEXT(word(&w), "compensated");
    world_free(&w);
}

static void a_first_attempt_that_takes_long_is_no_trouble(void)
{
    world w = world_new(order);
    start(&w, "");
    answer(&w, "reserve", MARTY__SAGA_ACCEPTED, "");
    w.now_us += 20 * 1000000;
    answer(&w, "reserve", MARTY__SAGA_PROGRESS, "{}");
    CHECK(!failing(&w, "reserve"));
    verb(&w, MARTY__SAGA_VERB_SUPPLY, "reserve", "{}");
    CHECK_INT(w.err, MARTY_E_STATE);
    world_free(&w);
}

static void a_person_need_not_wait_for_the_backoff(void)
{
    world w = world_new(order);
    start(&w, "");
    answer(&w, "reserve", MARTY__SAGA_RETRY, "");
    verb(&w, MARTY__SAGA_VERB_RETRY, NULL, NULL);
    CHECK_TEXT(status(&w, "reserve"), "backoff");
    CHECK_INT(w.turn.due_us, w.now_us);
    tick(&w);
    CHECK_TEXT(commands(&w), "forward reserve.2");
    verb(&w, MARTY__SAGA_VERB_SUPPLY, NULL, "{\"ref\":1}"); /* while it is called */
    CHECK_TEXT(commands(&w), "forward charge.1");
    world_free(&w);
}

static void a_person_may_undo_what_is_tried_in_vain(void)
{
    world w = world_new(order);
    start(&w, "");
    pass_to_due(&w);
    verb(&w, MARTY__SAGA_VERB_COMPENSATE, "reserve", NULL);
    CHECK_TEXT(commands(&w), "undo reserve.1");
    CHECK_HAS(last_data(&w), "\"outcome\":\"unknown\"");
    verb(&w, MARTY__SAGA_VERB_COMPENSATE, "reserve", NULL);
    CHECK_INT(w.err, MARTY_E_STATE);
    world_free(&w);
}

int main(void)
{
    counted_attempts_end_in_doubt();
    an_outage_of_an_hour_is_outlived();
    a_week_is_the_default_end();
    the_total_time_ends_attempts_that_are_not_counted();
    what_is_never_done_is_not_called_for_ever();
    it_is_asked_for_as_long_as_it_may_be_tried();
    an_undo_that_is_refused_is_soon_stuck();
    trouble_is_said_after_ten_seconds();
    an_undo_that_nobody_handles_is_seen_after_its_first_attempt();
    a_first_attempt_that_takes_long_is_no_trouble();
    a_person_need_not_wait_for_the_backoff();
    a_person_may_undo_what_is_tried_in_vain();
    return check_result();
}
