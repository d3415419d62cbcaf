/* SPDX-License-Identifier: Apache-2.0
 * A group that shall move (a seek, or a subscribe with reset) moves once, whatever refuses or goes
 * away meanwhile; a seek that failed moves nothing later. On one thread, in simulated time. */
#include "test_script.h"
#include "test_simulated.h"

static const marty_start there = {.from = MARTY_FROM_TIME, .time_us = 7},
                         here = {.from = MARTY_FROM_TIME, .time_us = 5};

/* ---- the same backend with its answers later, one by one; a refusal comes at once */
static struct {
    uint64_t number;
    marty_err reasons[8];
    unsigned count;
} answers;

static void answer_one(void *user)
{
    marty_port *port = user;
    marty_err reason = answers.reasons[0];
    memmove(answers.reasons, answers.reasons + 1, sizeof answers.reasons - sizeof reason);
    if (--answers.count) {
        port->sink->timer(port->sink, in_ms(20), answer_one, port);
    }
    port->sink->subscribed(port->sink, answers.number, reason, "later");
}

static void answer_later(marty_port *port, uint64_t number, marty_err reason)
{
    REQUIRE(answers.count < 8);
    answers.number = number;
    answers.reasons[answers.count++] = reason;
    if (answers.count == 1) {
        port->sink->timer(port->sink, in_ms(20), answer_one, port);
    }
}

static marty_err subscribe_later(marty_port *port, uint64_t number, const marty_want *want,
                                 marty_error *why)
{
    if (script.refusals) {
        return op_subscribe(port, number, want, why);
    }
    script.asked++;
    script.resets += want->reset;
    script.moved_to = want->start.time_us;
    script.patterns = want->pattern_count;
    answer_later(port, number, MARTY_OK);
    return MARTY_OK;
}

static void unsubscribe_later(marty_port *port, uint64_t number)
{
    answer_later(port, number, MARTY_E_CLOSED);
}

static marty_bus *open_at(const char *url)
{
    marty_bus *bus = NULL;
    marty_error why = {0};
    marty_bus_options options = {.service = "s", .driven = true, .env = &surroundings};
    script.asked = script.resets = script.refusals = 0;
    answers.count = 0;
    REQUIRE(!marty_bus_open(&bus, url, &options, &why));
    return bus;
}

static marty_bus *open_driven(void)
{
    return open_at("script:");
}

static marty_subscription *subscribe_to(marty_bus *bus, const char *types, int32_t timeout_ms,
                                        bool reset)
{
    marty_subscription *subscription = NULL;
    marty_error why = {0};
    marty_subscribe_options options = {.start = here, .reset = reset, .timeout_ms = timeout_ms};
    CHECK_INT(marty_subscribe_to_events(bus, types, handle, NULL, &options, &subscription, &why),
              MARTY_OK);
    return subscription;
}

static marty_subscription *subscribe(marty_bus *bus, bool reset)
{
    return subscribe_to(bus, "order.*", 0, reset);
}

static void go_down(void)
{
    script.sink->state(script.sink, MARTY_STATE_DOWN, NULL, MARTY_E_UNAVAILABLE, "gone");
}

static void process_until_asked(marty_bus *bus, uint32_t times)
{
    for (int i = 0; i < 100000 && script.asked < times; i++) {
        CHECK_INT(marty_bus_process(bus, 0, NULL, NULL), MARTY_OK);
    }
    CHECK_INT(script.asked, times);
}

static void finish(marty_bus *bus, marty_subscription *subscription)
{
    CHECK_INT(marty_unsubscribe(subscription, 0, NULL), MARTY_OK);
    CHECK_INT(marty_bus_close(bus, 0, NULL), MARTY_OK);
    marty_bus_free(bus);
}

static void subscribing_moves_it_once_the_backend_is_there(void)
{
    marty_bus *bus = open_driven();
    go_down();
    marty_subscription *subscription = subscribe(bus, true);
    CHECK_INT(script.asked, 0);
    process_until_asked(bus, 1);
    CHECK_INT(script.resets, 1);
    go_down();
    process_until_asked(bus, 2);
    CHECK_INT(script.resets, 1); /* it has moved: a new connection goes on where it is */
    finish(bus, subscription);
}

static void a_seek_waits_for_a_backend_that_is_away(void)
{
    marty_error why = {0};
    marty_bus *bus = open_driven();
    marty_subscription *subscription = subscribe(bus, false);
    go_down();
    CHECK_INT(marty_subscription_seek(subscription, &there, 1, &why), MARTY_OK);
    CHECK_INT(script.resets, 1);
    CHECK_INT(script.moved_to, 7);
    finish(bus, subscription);
}

static void a_seek_that_is_refused_for_now_is_asked_again(void)
{
    marty_error why = {0};
    marty_bus *bus = open_driven();
    marty_subscription *subscription = subscribe(bus, false);
    script.refusals = 1;
    script.refusal = MARTY_E_UNAVAILABLE;
    CHECK_INT(marty_subscription_seek(subscription, &there, 1, &why), MARTY_OK);
    CHECK_INT(script.asked, 3);
    CHECK_INT(script.resets, 2);
    finish(bus, subscription);
}

static void after_one_that_is_refused_it_goes_on_where_it_was(void)
{
    marty_error why = {0};
    marty_bus *bus = open_driven();
    marty_subscription *subscription = subscribe(bus, false);
    script.refusals = 1;
    script.refusal = MARTY_E_NOT_FOUND;
    CHECK_INT(marty_subscription_seek(subscription, &there, 1, &why), MARTY_E_NOT_FOUND);
    process_until_asked(bus, 3);
    CHECK_INT(script.resets, 1);
    CHECK_INT(script.moved_to, 5);
    finish(bus, subscription);
}

static void the_end_of_a_refused_one_is_no_answer_to_the_next(void)
{
    marty_error why = {0};
    marty_bus *bus = open_at("later:");
    marty_subscription *subscription = subscribe(bus, false);
    script.refusals = 1;
    script.refusal = MARTY_E_NOT_FOUND;
    CHECK_INT(marty_subscription_seek(subscription, &here, 1, &why), MARTY_E_NOT_FOUND);
    CHECK_INT(answers.count, 1); /* CLOSED is to come */
    CHECK_INT(marty_subscription_seek(subscription, &there, 1, &why), MARTY_OK);
    CHECK_INT(script.moved_to, 7);
    CHECK_INT(script.asked, 3); /* not before CLOSED, and not for it once more */
    finish(bus, subscription);
}

/* What the adapter has not answered yet, or was not told, is no answer to who comes later. */
static void another_name_waits_for_an_answer_of_its_own(void)
{
    marty_bus *bus = open_at("later:");
    marty_subscription *made = subscribe_to(bus, "order.made", 0, false);
    CHECK_INT(script.patterns, 1);
    marty_subscription *paid = subscribe_to(bus, "order.paid", 0, false);
    CHECK_INT(script.patterns, 2);
    CHECK_INT(script.asked, 2);
    CHECK_INT(answers.count, 0);
    marty_subscription *sent = subscribe_to(bus, "order.sent", MARTY_NO_WAIT, false);
    process_until_asked(bus, 3);
    CHECK_INT(answers.count, 1); /* of that one */
    marty_subscription *lost = subscribe_to(bus, "order.lost", 0, false);
    CHECK_INT(script.patterns, 4);
    CHECK_INT(script.asked, 4);
    CHECK_INT(answers.count, 0);
    CHECK_INT(marty_unsubscribe(made, 0, NULL), MARTY_OK);
    CHECK_INT(marty_unsubscribe(paid, 0, NULL), MARTY_OK);
    CHECK_INT(marty_unsubscribe(sent, 0, NULL), MARTY_OK);
    finish(bus, lost);
}

static void the_answer_to_another_name_is_none_to_a_seek(void)
{
    marty_error why = {0};
    marty_bus *bus = open_at("later:");
    marty_subscription *made = subscribe_to(bus, "order.made", 0, false);
    marty_subscription *paid = subscribe_to(bus, "order.paid", MARTY_NO_WAIT, false);
    process_until_asked(bus, 2);
    CHECK_INT(answers.count, 1); /* of that name */
    CHECK_INT(marty_subscription_seek(made, &there, 1, &why), MARTY_OK);
    CHECK_INT(script.asked, 3);
    CHECK_INT(script.resets, 1);
    CHECK_INT(answers.count, 0);
    CHECK_INT(marty_unsubscribe(paid, 0, NULL), MARTY_OK);
    finish(bus, made);
}

/* Refused while a seek waits to be told: that one is told at once, and has its own answer. */
static void a_refused_name_does_not_refuse_a_seek(void)
{
    marty_error why = {0};
    marty_bus *bus = open_at("later:");
    marty_subscription *made = subscribe_to(bus, "order.made", 0, false);
    marty_subscription *paid = subscribe_to(bus, "order.paid", MARTY_NO_WAIT, false);
    process_until_asked(bus, 2);
    answers.reasons[0] = MARTY_E_NOT_FOUND;
    CHECK_INT(marty_subscription_seek(made, &there, 1, &why), MARTY_OK);
    CHECK_INT(script.asked, 3);
    CHECK_INT(script.moved_to, 7);
    CHECK_INT(answers.count, 0);
    CHECK_INT(marty_unsubscribe(paid, 0, NULL), MARTY_OK);
    finish(bus, made);
}

static marty_subscription *two[2];

static void stop_two(void *user)
{
    (void)user;
    marty_subscription_stop(two[0]);
    marty_subscription_stop(two[1]);
}

/* While another name is being answered, so that nobody is told of the seek: the end is its answer.
 */
static void the_end_answers_a_seek_that_nobody_was_told_of(void)
{
    marty_error why = {0};
    marty_bus *bus = open_at("later:");
    two[0] = subscribe_to(bus, "order.made", 0, false);
    two[1] = subscribe_to(bus, "order.paid", MARTY_NO_WAIT, false);
    process_until_asked(bus, 2);
    script.sink->timer(script.sink, in_ms(5), stop_two, NULL);
    int64_t began_ns = simulated_ns;
    CHECK_INT(marty_subscription_seek(two[0], &there, 1, &why), MARTY_E_CLOSED);
    CHECK(simulated_ns - began_ns < (int64_t)1000 * MS);
    CHECK_INT(script.resets, 0);
    CHECK_INT(marty_unsubscribe(two[1], 0, NULL), MARTY_OK);
    finish(bus, two[0]);
}

static void one_that_is_refused_too_late_goes_on_where_it_was(void)
{
    marty_error why = {0};
    marty_bus *bus = open_at("later:");
    marty_subscription *subscription = subscribe(bus, false);
    script.refusals = 1;
    script.refusal = MARTY_OK; /* it is still at it */
    step_ns = 100 * MS;
    CHECK_INT(marty_subscription_seek(subscription, &there, 1, &why), MARTY_E_UNAVAILABLE);
    step_ns = MS;
    CHECK_INT(script.asked, 2);
    script.sink->subscribed(script.sink, script.number, MARTY_E_NOT_FOUND, "at last");
    process_until_asked(bus, 3);
    CHECK_INT(script.resets, 1);
    CHECK_INT(script.moved_to, 5);
    finish(bus, subscription);
}

int main(void)
{
    step_ns = MS; /* else what waits would wait for ever */
    marty_error why = {0};
    marty_backend later = script_backend;
    later.scheme = "later";
    later.subscribe = subscribe_later;
    later.unsubscribe = unsubscribe_later;
    REQUIRE(!marty_backend_register(&later, &why));
    REQUIRE(!marty_backend_register(&script_backend, &why));
    script.granted_more.can[MARTY_KIND_TOPIC] = MARTY_CAN_REPLAY;
    subscribing_moves_it_once_the_backend_is_there();
    a_seek_waits_for_a_backend_that_is_away();
    a_seek_that_is_refused_for_now_is_asked_again();
    after_one_that_is_refused_it_goes_on_where_it_was();
    the_end_of_a_refused_one_is_no_answer_to_the_next();
    one_that_is_refused_too_late_goes_on_where_it_was();
    another_name_waits_for_an_answer_of_its_own();
    the_answer_to_another_name_is_none_to_a_seek();
    a_refused_name_does_not_refuse_a_seek();
    the_end_answers_a_seek_that_nobody_was_told_of();
    return check_result();
}
