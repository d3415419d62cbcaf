/* SPDX-License-Identifier: Apache-2.0
 * C35 (the same id twice inside the window is one message), C38 (traces go on), C47 (an outage
 * downstream kills nothing), C48 (an effect published `once`). */
#include "contracts.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

void c35_window(void)
{
    static const marty_pattern patterns[] = {MARTY_EVENT, MARTY_COMMAND, MARTY_STREAM};
    static const char *const names[] = {"order.*", "order.pay", "clicks"};
    suite_set_keys("dedup=4s");
    marty_bus *one = suite_open("billing", NULL), *two = suite_open("billing", NULL);
    recorder *heard_[3];
    for (size_t i = 0; i < 3; i++) {
        heard_[i] = recorder_new(NULL, NULL);
        suite_subscribe(one, patterns[i], names[i], heard_[i], NULL);
    }
    suite_start(one);
    for (size_t i = 0; i < 3; i++) { /* answered OK each time, by any instance, comes once */
        const char *to = suite_to(patterns[i], "billing", "clicks");
        int64_t began = test_now_ms();
        suite_publish(one, patterns[i], to, "order.pay", "same", "k", "x");
        suite_publish(one, patterns[i], to, "order.pay", "same", "k", "x");
        suite_publish(two, patterns[i], to, "order.pay", "same", "k", "x");
        suite_publish(two, patterns[i], to, "order.pay", "other", "k", "x");
        EXPECT(test_now_ms() - began < 3900, "too slow to try the window: %lld ms",
               (long long)(test_now_ms() - began));
    }
    for (size_t i = 0; i < 3; i++) {
        EXPECT(recorder_wait(heard_[i], 2, 10000), "%s: %zu of 2 came",
               suite_pattern_name(patterns[i]), recorder_unique(heard_[i]));
        recorder_expect_quiet(heard_[i], 100);
        EXPECT(recorder_total(heard_[i]) == 2, "%s: of 2 ids, published 4 times, %zu came",
               suite_pattern_name(patterns[i]), recorder_total(heard_[i]));
    }
    suite_pass(5500); /* past the edge of the window */
    for (size_t i = 0; i < 3; i++) {
        suite_publish(two, patterns[i], suite_to(patterns[i], "billing", "clicks"), "order.pay",
                      "same", "k", "x");
    }
    for (size_t i = 0; i < 3; i++) {
        EXPECT(recorder_wait_total(heard_[i], 3, 10000),
               "%s: after the window the same id is still swallowed",
               suite_pattern_name(patterns[i]));
    }
}

void c35_other_source(void)
{
    marty_error why = {0};
    marty_bus *bus = suite_open("billing", NULL);
    recorder *heard_ = recorder_new(NULL, NULL);
    suite_subscribe(bus, MARTY_EVENT, "order.*", heard_, NULL);
    suite_start(bus);
    static const char *const sources[] = {"/one", "/two"};
    for (size_t i = 0; i < 2; i++) {
        marty_message message = {.type = "order.pay", .id = "same", .source = sources[i]};
        EXPECT_OK(suite_try_publish(bus, MARTY_EVENT, NULL, &message, NULL, NULL, &why), &why,
                  "publishing");
    }
    EXPECT(recorder_wait_total(heard_, 2, 10000), "an id is one message per source: %zu of 2 came",
           recorder_total(heard_));
}

/* ---- C38 */

static const char trace[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
enum { TRACE_ID = 3, TRACE_ID_SIZE = 32 };

static void same_trace(const char *where, const char *parent)
{
    EXPECT(parent && strlen(parent) == 55 &&
               strncmp(parent + TRACE_ID, trace + TRACE_ID, TRACE_ID_SIZE) == 0,
           "%s: the trace is \"%s\", it began as %s", where, parent ? parent : "", trace);
}

typedef struct traced {
    atomic_int seen;
    atomic_bool healthy;
} traced;

static marty_err expect_trace(void *user, marty_delivery *delivery, const heard *what)
{
    traced *self = user;
    (void)what;
    const marty_message *message = delivery->message;
    same_trace(delivery->attempt > 1 ? "retry" : "delivery", message->trace_parent);
    EXPECT(message->trace_state && strcmp(message->trace_state, "vendor=1") == 0,
           "the trace's state is \"%s\"", message->trace_state ? message->trace_state : "");
    atomic_fetch_add(&self->seen, 1);
    if (!atomic_load(&self->healthy)) {
        return delivery->attempt == 1 ? MARTY_E_FAILED : marty_reject(delivery, "enough");
    }
    marty_error why = {0};
    marty_message effect = {.type = "paid"};
    const marty_message *one = &effect;
    marty_publish_options options = {.cause = message};
    EXPECT_OK(marty_publish(delivery->bus, MARTY_COMMAND, "ledger", &one, 1, &options, &why), &why,
              "publishing an effect");
    return MARTY_OK;
}

static marty_err expect_effect(void *user, marty_delivery *delivery, const heard *what)
{
    (void)user, (void)what;
    const marty_message *message = delivery->message;
    same_trace("effect", message->trace_parent);
    EXPECT(message->causation_id && strcmp(message->causation_id, "traced") == 0,
           "the effect's cause is \"%s\"", message->causation_id ? message->causation_id : "");
    EXPECT(message->correlation_id && strcmp(message->correlation_id, "conversation") == 0,
           "the effect's correlation is \"%s\"",
           message->correlation_id ? message->correlation_id : "");
    return MARTY_OK;
}

static marty_dead_verb replay(void *user, const marty_dead_letter *letter, marty_message *instead)
{
    (void)user, (void)instead;
    same_trace("dead letter", letter->message ? letter->message->trace_parent : NULL);
    return MARTY_DEAD_REPLAY;
}

void c38_trace(void)
{
    traced self = {0};
    marty_error why = {0};
    marty_bus *bus = suite_open("billing", NULL), *ledger = suite_open("ledger", NULL);
    recorder *heard_ = recorder_new(expect_trace, &self);
    recorder *effects = recorder_new(expect_effect, NULL);
    suite_subscribe(bus, MARTY_EVENT, "order.*", heard_,
                    &(marty_subscribe_options){.retry = {.first_ms = 20}});
    suite_subscribe(ledger, MARTY_COMMAND, "paid", effects, NULL);
    suite_start(bus);
    suite_start(ledger);
    marty_message message = {.type = "order.pay",
                             .id = "traced",
                             .correlation_id = "conversation",
                             .trace_parent = trace,
                             .trace_state = "vendor=1"};
    EXPECT_OK(suite_try_publish(bus, MARTY_EVENT, NULL, &message, NULL, NULL, &why), &why,
              "publishing");
    suite_dead dead[2];
    suite_wait_dead(bus, "events.order", 1, dead, 2);
    atomic_store(&self.healthy, true);
    EXPECT_OK(marty_dead_letters(bus, "events.order", NULL, replay, NULL, &why), &why, "replaying");
    EXPECT(recorder_wait_total(heard_, 3, 10000), "%zu deliveries, not 3", recorder_total(heard_));
    EXPECT(recorder_wait(effects, 1, 10000), "the effect did not come");
}

/* ---- C47 */

enum { OUTAGES = 12 };

static marty_err be_down(void *user, marty_delivery *delivery, const heard *what)
{
    static const marty_err errors[] = {MARTY_E_UNAVAILABLE, MARTY_E_FULL, MARTY_E_NO_MEMORY};
    (void)what;
    atomic_int *calls = user;
    int call = atomic_fetch_add(calls, 1);
    EXPECT(delivery->attempt == 1, "during an outage the attempt rose to %u after %d calls",
           (unsigned)delivery->attempt, call);
    return call < OUTAGES ? errors[call % 3] : MARTY_OK;
}

void c47_outage(void)
{
    static const marty_pattern patterns[] = {MARTY_EVENT, MARTY_COMMAND, MARTY_STREAM};
    static const char *const names[] = {"order.*", "order.pay", "clicks"};
    static const char *const channels[] = {"events.order", "commands.billing", "streams.clicks"};
    marty_bus *bus = suite_open("billing", NULL);
    for (size_t i = 0; i < 3; i++) {
        atomic_int calls = 0;
        recorder *heard_ = recorder_new(be_down, &calls);
        suite_subscribe(
            bus, patterns[i], names[i], heard_,
            &(marty_subscribe_options){.retry = {.attempts = 3, .first_ms = 10, .max_ms = 30}});
        suite_start(bus);
        suite_publish_many(bus, patterns[i], suite_to(patterns[i], "billing", "clicks"),
                           "order.pay", "m", 0, 4, 2);
        EXPECT(recorder_wait_total(heard_, OUTAGES + 4, 20000),
               "%s: %d calls came, it should go on by itself to %d",
               suite_pattern_name(patterns[i]), atomic_load(&calls), OUTAGES + 4);
        recorder_expect_quiet(heard_, 100);
        suite_dead dead[1];
        EXPECT(suite_dead_letters(bus, channels[i], dead, 1) == 0,
               "%s: an outage made a dead letter", suite_pattern_name(patterns[i]));
    }
}

/* ---- C48 */

typedef struct once_ids {
    char first[40];
    atomic_int count;
} once_ids;

static marty_err publish_once(void *user, marty_delivery *delivery, const heard *what)
{
    (void)what;
    once_ids *self = user;
    marty_error why = {0};
    marty_outcome outcome = {0};
    marty_message effect = {.type = "paid", .data = marty_text("x")};
    const marty_message *one = &effect;
    marty_publish_options options = {
        .cause = delivery->message, .once = "pay", .outcomes = &outcome};
    EXPECT_OK(marty_publish(delivery->bus, MARTY_COMMAND, "ledger", &one, 1, &options, &why), &why,
              "publishing once");
    if (atomic_fetch_add(&self->count, 1) == 0) {
        snprintf(self->first, sizeof self->first, "%s", outcome.id);
    }
    EXPECT(strcmp(self->first, outcome.id) == 0, "attempt %u published it as %s, the first was %s",
           (unsigned)delivery->attempt, outcome.id, self->first);
    return delivery->attempt < 3 ? MARTY_E_FAILED : MARTY_OK;
}

static void once(size_t wanted)
{
    once_ids self = {0};
    marty_bus *bus = suite_open("billing", NULL), *ledger = suite_open("ledger", NULL);
    recorder *causes = recorder_new(publish_once, &self), *effects = recorder_new(NULL, NULL);
    suite_subscribe(bus, MARTY_EVENT, "order.*", causes,
                    &(marty_subscribe_options){.retry = {.first_ms = 20}});
    suite_subscribe(ledger, MARTY_COMMAND, "paid", effects, NULL);
    suite_start(bus);
    suite_start(ledger);
    suite_publish(bus, MARTY_EVENT, NULL, "order.pay", "cause", NULL, "x");
    EXPECT(recorder_wait_total(causes, 3, 10000), "%zu attempts, not 3", recorder_total(causes));
    EXPECT(recorder_wait_total(effects, wanted, 10000), "%zu effects", recorder_total(effects));
    recorder_expect_quiet(effects, 150);
    EXPECT(recorder_unique(effects) == 1, "%zu different effects", recorder_unique(effects));
    EXPECT(strcmp(recorder_at(effects, 0).id, self.first) == 0, "the effect came as %s",
           recorder_at(effects, 0).id);
}

void c48_once(void)
{
    once(1);
}
