/* SPDX-License-Identifier: Apache-2.0
 * C11 (retry, reject, delay), C14 (settling twice), C15 (attempts are counted). */
#include "contracts.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const marty_pattern kept[] = {MARTY_EVENT, MARTY_COMMAND, MARTY_STREAM};
static const char *const names[] = {"order.*", "order.pay", "clicks"};

static void publish_one(marty_bus *bus, marty_pattern pattern, const char *id)
{
    suite_publish(bus, pattern, suite_to(pattern, "billing", "clicks"), "order.pay", id, "k0", id);
}

static marty_err fail_first(void *user, marty_delivery *delivery, const heard *what)
{
    (void)user, (void)what;
    return delivery->attempt == 1 ? MARTY_E_FAILED : MARTY_OK;
}

void c11_retry(void)
{
    for (size_t i = 0; i < 3; i++) {
        marty_bus *bus = suite_open("billing", NULL);
        recorder *heard_ = recorder_new(fail_first, NULL);
        suite_subscribe(bus, kept[i], names[i], heard_,
                        &(marty_subscribe_options){.retry = {.first_ms = 20}});
        suite_start(bus);
        publish_one(bus, kept[i], "retried");
        EXPECT(recorder_wait_total(heard_, 2, 10000), "%s: a failed message came %zu times",
               suite_pattern_name(kept[i]), recorder_total(heard_));
        heard second = recorder_at(heard_, 1);
        EXPECT(strcmp(second.id, "retried") == 0 && second.attempt == 2,
               "%s: the second delivery was %s, attempt %u", suite_pattern_name(kept[i]), second.id,
               (unsigned)second.attempt);
        recorder_expect_quiet(heard_, 150);
        suite_close(bus);
    }
}

static marty_err reject_it(void *user, marty_delivery *delivery, const heard *what)
{
    (void)user, (void)what;
    marty_err err = marty_reject(delivery, "not for us");
    EXPECT(err == MARTY_OK, "reject answered %s", suite_err(err));
    return MARTY_OK;
}

void c11_reject(void)
{
    static const char *const channels[] = {"events.order", "commands.billing", "streams.clicks"};
    for (size_t i = 0; i < 3; i++) {
        marty_bus *bus = suite_open("billing", NULL);
        recorder *heard_ = recorder_new(reject_it, NULL);
        suite_subscribe(bus, kept[i], names[i], heard_, NULL);
        suite_start(bus);
        publish_one(bus, kept[i], "rejected");
        EXPECT(recorder_wait_total(heard_, 1, 10000), "%s: nothing came",
               suite_pattern_name(kept[i]));
        suite_dead dead[2];
        size_t count = suite_wait_dead(bus, channels[i], 1, dead, 2);
        EXPECT(count == 1, "%s: one reject made %zu dead letters", suite_pattern_name(kept[i]),
               count);
        EXPECT(strcmp(dead[0].id, "rejected") == 0 && strcmp(dead[0].cause, "not for us") == 0,
               "%s: the dead letter is %s with cause \"%s\"", suite_pattern_name(kept[i]),
               dead[0].id, dead[0].cause);
        recorder_expect_quiet(heard_, 100);
        suite_close(bus);
    }
}

enum { DELAY_MS = 500 };

static marty_err retry_later(void *user, marty_delivery *delivery, const heard *what)
{
    (void)user, (void)what;
    if (delivery->attempt > 1) {
        return MARTY_OK;
    }
    marty_err err = marty_retry(delivery, DELAY_MS, "later");
    EXPECT(err == MARTY_OK, "retry answered %s", suite_err(err));
    return MARTY_OK;
}

void c11_delay(void)
{
    for (size_t i = 0; i < 3; i++) {
        marty_bus *bus = suite_open("billing", NULL);
        recorder *heard_ = recorder_new(retry_later, NULL);
        suite_subscribe(bus, kept[i], names[i], heard_, NULL);
        suite_start(bus);
        publish_one(bus, kept[i], "later");
        EXPECT(recorder_wait_total(heard_, 2, 10000), "%s: it did not come again",
               suite_pattern_name(kept[i]));
        int64_t after = recorder_at(heard_, 1).at_ms - recorder_at(heard_, 0).at_ms;
        EXPECT(after >= DELAY_MS - 2, "%s: retry in %d ms came after %lld ms",
               suite_pattern_name(kept[i]), DELAY_MS, (long long)after);
        int64_t step_ms = (int64_t)suite_capabilities()->delay_step_ms;
        EXPECT(after <= DELAY_MS + step_ms + test_patience(SUITE_PAUSE_MS),
               "%s: retry in %d ms took %lld ms", suite_pattern_name(kept[i]), DELAY_MS,
               (long long)after);
        suite_note("%s %lld ms late", suite_pattern_name(kept[i]), (long long)(after - DELAY_MS));
        suite_close(bus);
    }
}

/* A long delay, longer than core may hold a message in memory: the broker's, or a copy's. */
static marty_err retry_much_later(void *user, marty_delivery *delivery, const heard *what)
{
    (void)user, (void)what;
    return delivery->attempt == 1 ? marty_retry(delivery, 6000, "much later") : MARTY_OK;
}

void c11_long_delay(void)
{
    marty_bus *bus = suite_open("billing", NULL);
    recorder *heard_ = recorder_new(retry_much_later, NULL);
    suite_subscribe(bus, MARTY_EVENT, "order.*", heard_, NULL);
    suite_start(bus);
    publish_one(bus, MARTY_EVENT, "later");
    EXPECT(recorder_wait_total(heard_, 2, 15000), "it did not come again within 15 s");
    int64_t after = recorder_at(heard_, 1).at_ms - recorder_at(heard_, 0).at_ms;
    EXPECT(after >= 5998 && after <= 6000 + test_patience(SUITE_PAUSE_MS),
           "retry in 6000 ms took %lld ms", (long long)after);
    EXPECT(recorder_at(heard_, 1).attempt == 2, "its attempt is %u",
           (unsigned)recorder_at(heard_, 1).attempt);
}

/* ---- C14 */

typedef struct settler {
    atomic_int done;
    marty_delivery *kept;
} settler;

static marty_err settle_twice(void *user, marty_delivery *delivery, const heard *what)
{
    settler *self = user;
    marty_err err;
    if (strcmp(what->id, "acked") == 0) {
        err = marty_ack(delivery);
        EXPECT(err == MARTY_OK, "ack: %s", suite_err(err));
        err = marty_ack(delivery);
        EXPECT(err == MARTY_E_STATE, "a second ack answered %s, not STATE", suite_err(err));
        err = marty_retry(delivery, 0, "after the ack");
        EXPECT(err == MARTY_E_STATE, "retry after ack answered %s, not STATE", suite_err(err));
        err = marty_reject(delivery, "after the ack");
        EXPECT(err == MARTY_E_STATE, "reject after ack answered %s, not STATE", suite_err(err));
        atomic_fetch_add(&self->done, 1);
        return MARTY_E_FAILED; /* what it settled itself counts, not this */
    }
    if (strcmp(what->id, "retried") == 0 && delivery->attempt == 1) {
        err = marty_retry(delivery, 10, "once more");
        EXPECT(err == MARTY_OK, "retry: %s", suite_err(err));
        err = marty_ack(delivery);
        EXPECT(err == MARTY_E_STATE, "ack after retry answered %s, not STATE", suite_err(err));
    }
    if (strcmp(what->id, "kept") == 0) {
        self->kept = marty_delivery_keep(delivery);
        EXPECT(self->kept == delivery, "keep gave another pointer");
    }
    atomic_fetch_add(&self->done, 1);
    return MARTY_OK;
}

void c14_twice(void)
{
    settler self = {0};
    marty_bus *bus = suite_open("billing", NULL);
    recorder *heard_ = recorder_new(settle_twice, &self);
    suite_subscribe(bus, MARTY_COMMAND, "order.pay", heard_, NULL);
    suite_start(bus);
    publish_one(bus, MARTY_COMMAND, "acked");
    publish_one(bus, MARTY_COMMAND, "retried");
    publish_one(bus, MARTY_COMMAND, "kept");
    EXPECT(recorder_wait_total(heard_, 4, 10000), "%zu deliveries came, not 4",
           recorder_total(heard_));
    EXPECT(recorder_times(heard_, "acked") == 1, "an acked message came again");
    marty_error why = {0};
    marty_bus *control = suite_open("control", NULL); /* keeps what lives in the process */
    int64_t began = test_now_ms();
    marty_err closed =
        marty_bus_close(bus, 200, &why); /* waits for what is kept, to its deadline */
    EXPECT(closed == MARTY_OK || closed == MARTY_E_TIMEOUT, "closing while one is kept: %s",
           suite_err(closed));
    EXPECT(test_now_ms() - began >= 190, "closing while one is kept took %lld ms of 200",
           (long long)(test_now_ms() - began));
    marty_bus_free(bus);
    marty_err err = marty_ack(self.kept);
    EXPECT(err == MARTY_E_CLOSED || err == MARTY_E_LOST, "ack after close answered %s, not CLOSED",
           suite_err(err));
    marty_delivery_release(self.kept);
    marty_delivery_release(NULL);
    /* what was kept and not settled is not lost */
    bus = suite_open("billing", NULL);
    recorder *again = recorder_new(NULL, NULL);
    suite_subscribe(bus, MARTY_COMMAND, "order.pay", again, NULL);
    suite_start(bus);
    EXPECT(recorder_wait(again, 1, 10000), "what was kept over the close did not come again");
    EXPECT(strcmp(recorder_at(again, 0).id, "kept") == 0, "%s came again, it was settled",
           recorder_at(again, 0).id);
    recorder_expect_quiet(again, 100);
    marty_bus_free(control);
}

void c14_release(void)
{
    /* Given back unsettled = retried at once, counted as dropped. */
    marty_bus *bus = suite_open("billing", NULL);
    marty_error why = {0};
    marty_subscription *subscription = suite_subscribe(bus, MARTY_COMMAND, "order.pay", NULL, NULL);
    suite_start(bus);
    publish_one(bus, MARTY_COMMAND, "dropped");
    marty_delivery *first = NULL;
    EXPECT_OK(marty_receive(subscription, 10000, &first, &why), &why, "receiving");
    marty_delivery_release(first);
    EXPECT_OK(marty_receive(subscription, 10000, &first, &why), &why,
              "receiving what was released unsettled");
    EXPECT(first->attempt == 2, "its attempt is %u, not 2", (unsigned)first->attempt);
    EXPECT(marty_ack(first) == MARTY_OK, "acking what was received");
    marty_delivery_release(first);
    marty_stats stats;
    marty_subscription_stats(subscription, &stats);
    EXPECT(stats.dropped == 1, "stats say %llu dropped, not 1", (unsigned long long)stats.dropped);
    marty_err err = marty_receive(subscription, 100, &first, &why);
    EXPECT_ERR(err, MARTY_E_TIMEOUT, &why, "receiving when there is nothing");
}

/* ---- C15 */

static marty_err fail_until_third(void *user, marty_delivery *delivery, const heard *what)
{
    (void)user, (void)what;
    return delivery->attempt < 3 ? MARTY_E_FAILED : MARTY_OK;
}

void c15_attempts(void)
{
    for (size_t i = 0; i < 3; i++) {
        marty_bus *bus = suite_open("billing", NULL);
        recorder *heard_ = recorder_new(fail_until_third, NULL);
        suite_subscribe(bus, kept[i], names[i], heard_,
                        &(marty_subscribe_options){.retry = {.first_ms = 10}});
        suite_start(bus);
        publish_one(bus, kept[i], "counted");
        EXPECT(recorder_wait_total(heard_, 3, 10000), "%s: %zu deliveries came, not 3",
               suite_pattern_name(kept[i]), recorder_total(heard_));
        for (uint32_t k = 0; k < 3; k++) {
            EXPECT(recorder_at(heard_, k).attempt == k + 1, "%s: delivery %u says attempt %u",
                   suite_pattern_name(kept[i]), (unsigned)k + 1,
                   (unsigned)recorder_at(heard_, k).attempt);
        }
        suite_close(bus);
    }
}

static marty_err always_fail(void *user, marty_delivery *delivery, const heard *what)
{
    (void)user, (void)delivery, (void)what;
    return MARTY_E_FAILED;
}

static bool has_retried_twice(void *subscription)
{
    marty_stats stats;
    marty_subscription_stats(subscription, &stats);
    return stats.retried >= 2;
}

void c15_instances(void)
{
    /* The first instance fails twice and goes; the second must not begin at 1 again. */
    if (!suite_granted(MARTY_KIND_TOPIC, MARTY_CAN_DELAYED_RETRY)) {
        suite_skip("what core holds for a retry it counts in memory only");
    }
    marty_bus *sender = suite_open("shop", NULL);
    marty_bus *bus = suite_open("billing", NULL);
    recorder *first = recorder_new(always_fail, NULL), *second = recorder_new(NULL, NULL);
    marty_subscribe_options options = {
        .retry = {.attempts = 20, .first_ms = 50, .max_ms = 50, .no_jitter = true}};
    marty_subscription *subscription =
        suite_subscribe(bus, MARTY_EVENT, "order.*", first, &options);
    suite_start(bus);
    publish_one(sender, MARTY_EVENT, "counted");
    EXPECT(test_wait_for(has_retried_twice, subscription, 10000), "%zu deliveries came",
           recorder_total(first));
    uint32_t before = recorder_at(first, 1).attempt; /* a later one may fail while draining */
    suite_close(bus);
    bus = suite_open("billing", NULL);
    suite_subscribe(bus, MARTY_EVENT, "order.*", second, &options);
    suite_start(bus);
    EXPECT(recorder_wait_total(second, 1, 15000), "nothing came to the second instance");
    uint32_t after = recorder_at(second, 0).attempt;
    EXPECT(after > before, "attempt %u at the first instance, %u at the second", (unsigned)before,
           (unsigned)after);
    suite_note("attempt %u, then %u", (unsigned)before, (unsigned)after);
}

static marty_err die_at_first(void *user, marty_delivery *delivery, const heard *what)
{
    (void)user, (void)what;
    char line[32];
    snprintf(line, sizeof line, "%u", (unsigned)delivery->attempt);
    suite_mark("attempts", line);
    suite_die();
}

void role_die_at_first(int count, char *words[])
{
    (void)count, (void)words;
    marty_bus *bus = suite_open("billing", NULL);
    suite_subscribe(bus, MARTY_COMMAND, "order.pay", recorder_new(die_at_first, NULL), NULL);
    suite_start(bus);
    EXPECT(test_wait_for(suite_never, NULL, 60000), "nothing came");
}

void c15_crash(void)
{
    /* Killed while handling, twice: the third process sees a count above the second's. */
    suite_set_keys("lease=3s");
    marty_bus *bus = suite_open("billing", NULL);
    publish_one(bus, MARTY_COMMAND, "counted");
    for (int i = 0; i < 2; i++) {
        test_process process = suite_spawn("die_at_first", NULL);
        EXPECT(test_process_join(&process, 20000), "process %d got nothing to die of", i);
    }
    if (suite_capabilities()->uncounted) {
        suite_skip("the broker counts no deliveries, and a crash tells nobody");
    }
    EXPECT(suite_marks("attempts") == 2, "%zu processes saw it", suite_marks("attempts"));
    recorder *heard_ = recorder_new(NULL, NULL);
    suite_subscribe(bus, MARTY_COMMAND, "order.pay", heard_, NULL);
    suite_start(bus);
    EXPECT(recorder_wait_total(heard_, 1, 20000), "after two crashes it did not come again");
    EXPECT(recorder_at(heard_, 0).attempt >= 3, "after two crashes its attempt is %u",
           (unsigned)recorder_at(heard_, 0).attempt);
    EXPECT(suite_marks_of("attempts", "1") == 1, "%zu processes saw attempt 1",
           suite_marks_of("attempts", "1"));
}
