/* SPDX-License-Identifier: Apache-2.0
 * C21 (scheduled publish: never early, bounded lateness, outlives a restart, can be taken back) and
 * C22 (what has expired is never handed over). */
#include "contracts.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { LATE_MS = SUITE_PAUSE_MS };

static void schedule(marty_bus *bus, marty_pattern pattern, const char *id, uint32_t in_ms)
{
    marty_error why = {0};
    marty_message message = {.type = "order.pay", .id = id, .key = "k", .data = marty_text("x")};
    marty_publish_options options = {.deliver_in_ms = in_ms};
    EXPECT_OK(suite_try_publish(bus, pattern, suite_to(pattern, "billing", "clicks"), &message,
                                &options, NULL, &why),
              &why, "scheduling the %s %s in %u ms", suite_pattern_name(pattern), id, in_ms);
}

static void expect_at(const heard *what, int64_t began, int64_t wanted_ms, const char *name)
{
    int64_t after = what->at_ms - began;
    EXPECT(after >= wanted_ms - 2, "%s: scheduled in %lld ms, came after %lld: early", name,
           (long long)wanted_ms, (long long)after);
    int64_t step_ms = (int64_t)suite_capabilities()->delay_step_ms;
    EXPECT(after <= wanted_ms + step_ms + test_patience(LATE_MS),
           "%s: scheduled in %lld ms, came after %lld", name, (long long)wanted_ms,
           (long long)after);
    suite_note("%s %lld ms late", name, (long long)(after - wanted_ms));
}

typedef struct outcome { /* of a publish that nobody waits for */
    marty_outcome of;
    atomic_bool has;
} outcome;

static void on_outcome(void *user, const marty_outcome *outcomes, size_t count)
{
    outcome *self = user;
    (void)outcomes;
    (void)count;
    atomic_store(&self->has, true);
}

static bool has_outcome(void *user)
{
    return atomic_load(&((outcome *)user)->has);
}

/* Not waited for, so that however slow the broker is, what comes next is sent in the same moment.
 */
static void begin_schedule(marty_bus *bus, marty_pattern pattern, const char *id, uint32_t in_ms,
                           outcome *ret_outcome)
{
    marty_error why = {0};
    marty_message message = {.type = "order.pay", .id = id, .key = "k", .data = marty_text("x")};
    marty_publish_options options = {.deliver_in_ms = in_ms,
                                     .done = on_outcome,
                                     .user = ret_outcome,
                                     .outcomes = &ret_outcome->of};
    EXPECT_OK(suite_try_publish(bus, pattern, suite_to(pattern, "billing", "clicks"), &message,
                                &options, NULL, &why),
              &why, "scheduling the %s %s in %u ms", suite_pattern_name(pattern), id, in_ms);
}

static heard find(recorder *from, const char *id)
{
    size_t i = 0;
    while (strcmp(recorder_at(from, i).id, id) != 0) {
        i++;
    }
    return recorder_at(from, i);
}

/* All three were stored before any was due. */
static void expect_order(recorder *heard_, const char *name)
{
    heard one = recorder_at(heard_, 0), two = recorder_at(heard_, 1),
          three = recorder_at(heard_, 2);
    EXPECT(strcmp(one.id, "now") == 0, "%s: %s came before what is due now", name, one.id);
    EXPECT(strcmp(two.id, "first") == 0, "%s: %s came before %s", name, two.id, three.id);
}

static void delayed(marty_pattern pattern, const char *name)
{
    outcome outcomes[2] = {0};
    marty_bus *bus = suite_open("billing", NULL);
    recorder *heard_ = recorder_new(NULL, NULL);
    suite_subscribe(bus, pattern, name, heard_, NULL);
    suite_start(bus);
    int64_t began = test_now_ms();
    /* apart by more than a broker may round them up */
    int64_t step_ms = (int64_t)suite_capabilities()->delay_step_ms, apart_ms = 500 + 2 * step_ms;
    begin_schedule(bus, pattern, "second", (uint32_t)(400 + apart_ms), &outcomes[0]);
    begin_schedule(bus, pattern, "first", 400, &outcomes[1]);
    suite_publish(bus, pattern, suite_to(pattern, "billing", "clicks"), "order.pay", "now", "j",
                  "x");
    for (int i = 0; i < 2; i++) {
        EXPECT(test_wait_for(has_outcome, &outcomes[i], 10000), "scheduling was not answered");
        EXPECT(outcomes[i].of.err == MARTY_OK, "scheduling answered %s",
               suite_err(outcomes[i].of.err));
    }
    int64_t stored_ms = test_now_ms() - began;
    EXPECT(recorder_wait(heard_, 3, 10000), "%s: %zu of 3 came", suite_pattern_name(pattern),
           recorder_unique(heard_));
    if (stored_ms < 400) {
        expect_order(heard_, suite_pattern_name(pattern));
    } else {
        suite_note("stored only after %lld ms, when one was due", (long long)stored_ms);
    }
    heard first = find(heard_, "first"), second = find(heard_, "second");
    expect_at(&first, began, 400, suite_pattern_name(pattern));
    expect_at(&second, began, 400 + apart_ms, suite_pattern_name(pattern));
    recorder_expect_quiet(heard_, 50);
}

void c21_topic(void)
{
    delayed(MARTY_EVENT, "order.*");
}

void c21_queue(void)
{
    delayed(MARTY_COMMAND, "order.pay");
}

void c21_stream(void)
{
    delayed(MARTY_STREAM, "clicks");
}

void c21_absolute(void)
{
    struct timespec now;
    marty_error why = {0};
    marty_bus *bus = suite_open("billing", NULL);
    recorder *heard_ = recorder_new(NULL, NULL);
    suite_subscribe(bus, MARTY_EVENT, "order.*", heard_, NULL);
    suite_start(bus);
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t began = test_now_ms(), wall_us = (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
    marty_message message = {.type = "order.pay", .id = "at", .data = marty_text("x")};
    marty_publish_options options = {.deliver_at_us = wall_us + 500000};
    EXPECT_OK(suite_try_publish(bus, MARTY_EVENT, NULL, &message, &options, NULL, &why), &why,
              "scheduling at a time");
    message.id = "past";
    options.deliver_at_us = wall_us - 60000000;
    EXPECT_OK(suite_try_publish(bus, MARTY_EVENT, NULL, &message, &options, NULL, &why), &why,
              "scheduling at a time that is past");
    EXPECT(recorder_wait(heard_, 2, 10000), "%zu of 2 came", recorder_unique(heard_));
    EXPECT(strcmp(recorder_at(heard_, 0).id, "past") == 0, "what was due before came after");
    heard what = recorder_at(heard_, 1);
    expect_at(&what, began, 500, "at");
}

void c21_restart(void)
{
    marty_bus *bus = suite_open("billing", NULL), *other = suite_open("shop", NULL);
    recorder *before = recorder_new(NULL, NULL), *after = recorder_new(NULL, NULL);
    suite_subscribe(bus, MARTY_EVENT, "order.*", before, NULL);
    suite_start(bus);
    int64_t began = test_now_ms();
    schedule(other, MARTY_EVENT, "kept", 700);
    suite_close(bus);
    bus = suite_open("billing", NULL);
    suite_subscribe(bus, MARTY_EVENT, "order.*", after, NULL);
    suite_start(bus);
    int64_t listens = test_now_ms() - began;
    EXPECT(recorder_wait(after, 1, 10000), "a scheduled message did not outlive the instance");
    heard what = recorder_at(after, 0);
    int64_t late = listens > 700 ? began + listens - 700 : began; /* nobody listened before */
    EXPECT(what.at_ms - began >= 700 - 2, "it came after %lld ms, early",
           (long long)(what.at_ms - began));
    EXPECT(what.at_ms - late <= 700 + test_patience(LATE_MS), "it came after %lld ms",
           (long long)(what.at_ms - began));
    EXPECT(recorder_total(before) == 0, "it came early, to the first instance");
}

void role_schedule_and_die(int count, char *words[])
{
    (void)count, (void)words;
    marty_bus *bus = suite_open("shop", NULL);
    schedule(bus, MARTY_COMMAND, "kept", 1500);
    suite_mark("scheduled", "yes");
    suite_die();
}

void c21_crash(void)
{
    test_process process = suite_spawn("schedule_and_die", NULL);
    EXPECT(test_process_join(&process, 15000), "the process did not schedule");
    EXPECT(suite_marks("scheduled") == 1, "the process could not schedule");
    int64_t began = test_now_ms();
    marty_bus *bus = suite_open("billing", NULL);
    recorder *heard_ = recorder_new(NULL, NULL);
    suite_subscribe(bus, MARTY_COMMAND, "order.pay", heard_, NULL);
    suite_start(bus);
    EXPECT(recorder_wait(heard_, 1, 15000), "what a process scheduled died with it");
    suite_note("came %lld ms after the crash", (long long)(recorder_at(heard_, 0).at_ms - began));
}

void c21_cancel(void)
{
    static const marty_pattern patterns[] = {MARTY_EVENT, MARTY_COMMAND, MARTY_STREAM};
    static const char *const names[] = {"order.*", "order.pay", "clicks"};
    marty_error why = {0};
    marty_bus *bus = suite_open("billing", NULL), *sender = suite_open("shop", NULL);
    recorder *heard_[3];
    for (size_t i = 0; i < 3; i++) {
        const char *to = suite_to(patterns[i], "billing", "clicks");
        heard_[i] = recorder_new(NULL, NULL);
        suite_subscribe(bus, patterns[i], names[i], heard_[i], NULL);
        suite_start(bus);
        schedule(sender, patterns[i], "taken-back", 4000); /* long before it is due */
        schedule(sender, patterns[i], "stays", 4200);
        EXPECT_OK(marty_unschedule(bus, patterns[i], to, "order.pay", "taken-back", &why), &why,
                  "%s: taking back a scheduled message", suite_pattern_name(patterns[i]));
        EXPECT_ERR(marty_unschedule(bus, patterns[i], to, "order.pay", "taken-back", &why),
                   MARTY_E_NOT_FOUND, &why, "%s: taking it back again",
                   suite_pattern_name(patterns[i]));
        EXPECT_ERR(marty_unschedule(bus, patterns[i], to, "order.pay", "never-was", &why),
                   MARTY_E_NOT_FOUND, &why, "%s: taking back what never was",
                   suite_pattern_name(patterns[i]));
    }
    for (size_t i = 0; i < 3; i++) {
        const char *to = suite_to(patterns[i], "billing", "clicks");
        EXPECT(recorder_wait(heard_[i], 1, 10000), "what was not taken back did not come");
        EXPECT(strcmp(recorder_at(heard_[i], 0).id, "stays") == 0, "%s: %s came though taken back",
               suite_pattern_name(patterns[i]), recorder_at(heard_[i], 0).id);
        recorder_expect_quiet(heard_[i], 200);
        EXPECT_ERR(marty_unschedule(bus, patterns[i], to, "order.pay", "stays", &why),
                   MARTY_E_NOT_FOUND, &why, "%s: taking back what has gone out",
                   suite_pattern_name(patterns[i]));
    }
}

/* ---- C22 */

static void publish_expiring(marty_bus *bus, marty_pattern pattern, const char *id, uint32_t in_ms)
{
    marty_error why = {0};
    marty_message message = {.type = "order.pay", .id = id, .key = "k", .data = marty_text("x")};
    marty_publish_options options = {.expires_in_ms = in_ms};
    EXPECT_OK(suite_try_publish(bus, pattern, suite_to(pattern, "billing", "clicks"), &message,
                                &options, NULL, &why),
              &why, "publishing the %s %s", suite_pattern_name(pattern), id);
}

/* Expired ones lie among others while nobody listens; only the others come. */
static void expire(const char *url)
{
    static const marty_pattern patterns[] = {MARTY_EVENT, MARTY_COMMAND, MARTY_STREAM};
    static const char *const names[] = {"order.*", "order.pay", "clicks"};
    marty_bus *sender = suite_open("shop", NULL);
    recorder *heard_[3];
    marty_bus *bus = suite_open_with(url, &(marty_bus_options){.service = "billing"});
    for (size_t i = 0; i < 3; i++) {
        heard_[i] = recorder_new(NULL, NULL);
        suite_subscribe(bus, patterns[i], names[i], heard_[i],
                        &(marty_subscribe_options){.paused = true});
    }
    suite_start(bus);
    marty_error why = {0};
    EXPECT_OK(marty_bus_close(bus, 5000, &why), &why, "closing"); /* the groups stay */
    marty_bus_free(bus);
    for (size_t i = 0; i < 3; i++) {
        publish_expiring(sender, patterns[i], "gone-0000", 300);
        publish_expiring(sender, patterns[i], "stays-0000", 0);
        publish_expiring(sender, patterns[i], "gone-0001", 1000);
        publish_expiring(sender, patterns[i], "stays-0001", 600000);
    }
    test_wait_for(suite_never, NULL, 1600); /* longer than they live, brokers count seconds */
    bus = suite_open_with(url, &(marty_bus_options){.service = "billing"});
    for (size_t i = 0; i < 3; i++) {
        suite_subscribe(bus, patterns[i], names[i], heard_[i], NULL);
    }
    suite_start(bus);
    for (size_t i = 0; i < 3; i++) {
        EXPECT(recorder_wait(heard_[i], 2, 10000), "%s: %zu of the 2 that live came",
               suite_pattern_name(patterns[i]), recorder_unique(heard_[i]));
        recorder_expect_quiet(heard_[i], 100);
        recorder_expect(heard_[i], "stays", 0, 2, 1);
        suite_dead dead[1];
        EXPECT(suite_dead_letters(bus,
                                  i == 0   ? "events.order"
                                  : i == 1 ? "commands.billing"
                                           : "streams.clicks",
                                  dead, 1) == 0,
               "%s: an expired message became a dead letter unasked",
               suite_pattern_name(patterns[i]));
    }
}

void c22_expired(void)
{
    expire(suite_url(NULL));
}

void c22_native(void)
{
    /* The wrapper hides the expiry from core: only the broker can keep them back. */
    expire(suite_wrapped("twist:patient", NULL));
}

void c22_message_says(void)
{
    /* A message's own time beats the option; one that is over at once is never handed over. */
    struct timespec now;
    marty_error why = {0};
    marty_bus *bus = suite_open("billing", NULL);
    recorder *heard_ = recorder_new(NULL, NULL);
    suite_subscribe(bus, MARTY_EVENT, "order.*", heard_, NULL);
    suite_start(bus);
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t wall_us = (int64_t)now.tv_sec * 1000000;
    marty_message message = {.type = "order.pay",
                             .id = "over",
                             .data = marty_text("x"),
                             .expires_us = wall_us - 5000000};
    marty_err err = suite_try_publish(bus, MARTY_EVENT, NULL, &message, NULL, NULL, &why);
    EXPECT(err == MARTY_OK || err == MARTY_E_TIMEOUT || err == MARTY_E_ARGUMENT,
           "publishing what has expired: %s", suite_err(err));
    message.id = "lives";
    message.expires_us = wall_us + 90000000;
    EXPECT_OK(suite_try_publish(bus, MARTY_EVENT, NULL, &message, NULL, NULL, &why), &why,
              "publishing with a time of its own");
    EXPECT(recorder_wait(heard_, 1, 10000), "nothing came");
    EXPECT(strcmp(recorder_at(heard_, 0).id, "lives") == 0, "what had expired came");
    int64_t expires_us = recorder_at(heard_, 0).expires_us;
    EXPECT(expires_us == wall_us + 90000000, "its expiry came as %lld, was %lld",
           (long long)expires_us, (long long)(wall_us + 90000000));
    recorder_expect_quiet(heard_, 100);
}
