/* SPDX-License-Identifier: Apache-2.0
 * C27 (kill -9 of a consumer at each step), C34 (a confirmed publish is durable), C46 (handlers
 * registered one after the other miss nothing), C49 (a cause is acked only once its effect is
 * stored). Processes of the suite die at named points; what each did is counted by its marks. */
#include "contracts.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COUNT = 60, CREDIT = 8 };

typedef struct victim {
    const char *point; /* "received", "handled", "settled" or "none" */
    int after;         /* dies at this message */
    atomic_int handled;
} victim;

static bool dies_here(victim *self, const char *point, int number)
{
    return number == self->after && strcmp(self->point, point) == 0;
}

static marty_err consume(void *user, marty_delivery *delivery, const heard *what)
{
    victim *self = user;
    int number = atomic_fetch_add(&self->handled, 1) + 1;
    if (dies_here(self, "received", number)) {
        suite_die();
    }
    suite_mark("effects", what->id);
    if (dies_here(self, "handled", number)) {
        suite_die();
    }
    if (strcmp(self->point, "settled") == 0 && number == self->after) {
        EXPECT(marty_ack(delivery) == MARTY_OK, "acking");
        suite_die(); /* the ack is on its way, or not */
    }
    return MARTY_OK;
}

static marty_pattern pattern_of(const char *word)
{
    static const marty_pattern all[] = {MARTY_EVENT, MARTY_COMMAND, MARTY_STREAM};
    for (size_t i = 0; i < 3; i++) {
        if (strcmp(suite_pattern_name(all[i]), word) == 0) {
            return all[i];
        }
    }
    suite_fail("no pattern is called %s", word);
}

static const char *name_of(marty_pattern pattern)
{
    return pattern == MARTY_EVENT ? "order.*" : pattern == MARTY_COMMAND ? "order.pay" : "clicks";
}

/* words: pattern, point, after, file of the effects wanted until it stops by itself. */
void role_victim(int count, char *words[])
{
    EXPECT(count == 3, "a victim needs pattern, point and number");
    marty_pattern pattern = pattern_of(words[0]);
    victim self = {.point = words[1], .after = (int)strtol(words[2], NULL, 10)};
    marty_bus *bus = suite_open("billing", NULL);
    suite_subscribe(bus, pattern, name_of(pattern), recorder_new(consume, &self),
                    &(marty_subscribe_options){.credit = CREDIT});
    suite_start(bus);
    suite_mark("ready", words[1]);
    bool all = suite_wait_marks("effects", COUNT, 40000);
    EXPECT(all, "%zu of %d effects", suite_marks_unique("effects"), COUNT);
    suite_close(bus);
}

static void run_victim(const char *pattern, const char *point, const char *after, bool dies)
{
    const char *words[] = {pattern, point, after, NULL};
    test_process process = suite_spawn("victim", words);
    EXPECT(test_process_join(&process, 50000), "a consumer that should %s at %s is not done",
           dies ? "die" : "finish", point);
    EXPECT((process.status != 0) == dies, "a consumer with point %s ended with status %d", point,
           process.status);
}

static void crash_at_each_step(marty_pattern pattern)
{
    /* A process that stands still for a lease on a busy machine repeats more than its crash would;
     * half of one must do for a cluster to read and write who holds what. */
    suite_set_keys(strcmp(suite_backend(), "nats-cluster") == 0 ? "lease=4s" : "lease=2s");
    const char *word = suite_pattern_name(pattern);
    marty_bus *bus = suite_open("shop", NULL);
    if (pattern == MARTY_EVENT) { /* the group must be there before the events */
        marty_bus *group = suite_open("billing", NULL);
        suite_subscribe(group, pattern, name_of(pattern), recorder_new(NULL, NULL), NULL);
        suite_start(group);
        suite_close(group);
    }
    suite_publish_many(bus, pattern, suite_to(pattern, "billing", "clicks"), "order.pay", "m", 0,
                       COUNT, 6);
    run_victim(word, "received", "5", true);
    run_victim(word, "handled", "12", true);
    run_victim(word, "settled", "12", true);
    run_victim(word, "none", "0", false);
    size_t total = suite_marks("effects"), unique = suite_marks_unique("effects");
    EXPECT(unique == COUNT, "%s: of %d messages %zu had an effect", word, COUNT, unique);
    /* where the broker learns late what is settled, a crash repeats that too */
    EXPECT(suite_capabilities()->settle_lag_ms || total - unique <= 4 * CREDIT,
           "%s: %zu effects were repeated; three crashes and a pause with %d in "
           "flight explain %d",
           word, total - unique, CREDIT, 4 * CREDIT);
    suite_note("%s: %zu of %d repeated", word, total - unique, COUNT);
}

void c27_topic(void)
{
    crash_at_each_step(MARTY_EVENT);
}

void c27_queue(void)
{
    crash_at_each_step(MARTY_COMMAND);
}

void c27_stream(void)
{
    crash_at_each_step(MARTY_STREAM);
}

/* ---- C34 */

void role_confirm_and_die(int count, char *words[])
{
    EXPECT(count == 1, "a name is needed");
    marty_bus *bus = suite_open("shop", NULL);
    int number = (int)strtol(words[0], NULL, 10);
    for (int i = 0; i < 20; i++) {
        const char *id = suite_id("m", number * 20 + i);
        suite_publish(bus, MARTY_COMMAND, "billing", "charge", id, NULL, id);
        suite_mark("confirmed", id);
    }
    suite_die();
}

void c34_publisher_killed(void)
{
    for (int i = 0; i < 3; i++) {
        char number[8];
        snprintf(number, sizeof number, "%d", i);
        const char *words[] = {number, NULL};
        test_process process = suite_spawn("confirm_and_die", words);
        EXPECT(test_process_join(&process, 20000), "a publisher did not finish");
        EXPECT(suite_marks("confirmed") == (size_t)(i + 1) * 20, "%zu are confirmed",
               suite_marks("confirmed"));
    }
    marty_bus *bus = suite_open("billing", NULL);
    recorder *heard_ = recorder_new(NULL, NULL);
    suite_subscribe(bus, MARTY_COMMAND, "charge", heard_, NULL);
    suite_start(bus);
    recorder_expect(heard_, "m", 0, 60, 1);
    suite_note("60 confirmed, 60 there");
}

void role_confirm_kinds_and_die(int count, char *words[])
{
    (void)count, (void)words;
    marty_bus *bus = suite_open("shop", NULL);
    suite_publish_many(bus, MARTY_STREAM, "clicks", "click", "s", 0, 50, 5);
    suite_publish_many(bus, MARTY_EVENT, NULL, "order.created", "e", 0, 50, 5);
    suite_mark("confirmed", "all");
    suite_die();
}

void c34_kinds(void)
{
    marty_bus *group = suite_open("billing", NULL); /* the group must be there before the events */
    suite_subscribe(group, MARTY_EVENT, "order.*", recorder_new(NULL, NULL), NULL);
    suite_start(group);
    suite_close(group);
    test_process process = suite_spawn("confirm_kinds_and_die", NULL);
    EXPECT(test_process_join(&process, 20000) && suite_marks("confirmed") == 1,
           "a publisher did not finish");
    marty_bus *bus = suite_open("billing", NULL);
    recorder *events = recorder_new(NULL, NULL), *clicks = recorder_new(NULL, NULL);
    suite_subscribe(bus, MARTY_EVENT, "order.*", events, NULL);
    suite_subscribe(bus, MARTY_STREAM, "clicks", clicks, NULL);
    suite_start(bus);
    recorder_expect(events, "e", 0, 50, 1);
    recorder_expect(clicks, "s", 0, 50, 1);
}

static marty_err bury(void *user, marty_delivery *delivery, const heard *what)
{
    (void)user, (void)what;
    return marty_reject(delivery, "buried");
}

void role_bury_and_die(int count, char *words[])
{
    (void)count, (void)words;
    marty_bus *bus = suite_open("billing", NULL);
    suite_subscribe(bus, MARTY_COMMAND, "charge", recorder_new(bury, NULL), NULL);
    suite_start(bus);
    suite_publish_many(bus, MARTY_COMMAND, "billing", "charge", "m", 0, 5, 0);
    suite_dead dead[8];
    suite_wait_dead(bus, "commands.billing", 5, dead, 8);
    suite_mark("confirmed", "all");
    suite_die();
}

void c34_dead(void)
{
    test_process process = suite_spawn("bury_and_die", NULL);
    EXPECT(test_process_join(&process, 20000) && suite_marks("confirmed") == 1,
           "the process did not bury five");
    marty_bus *bus = suite_open("shop", NULL);
    suite_dead dead[8];
    size_t count = suite_wait_dead(bus, "commands.billing", 5, dead, 8);
    EXPECT(count == 5, "%zu dead letters are there, not 5", count);
}

static const struct {
    const char *backend;
    marty_level level;
} levels[] = {{"memory", MARTY_LEVEL_MEMORY},    {"sqlite", MARTY_LEVEL_SYNCED},
              {"nats-old", MARTY_LEVEL_WRITTEN}, {"nats-new", MARTY_LEVEL_WRITTEN},
              {"nats-tls", MARTY_LEVEL_WRITTEN}, {"nats-cluster", MARTY_LEVEL_REPLICATED}};

void c34_level(void)
{
    /* What is said about how well it is stored is what the broker's configuration gives. */
    static const marty_pattern patterns[] = {MARTY_EVENT, MARTY_COMMAND, MARTY_STREAM};
    marty_bus *bus = suite_open("shop", NULL);
    marty_error why = {0};
    for (size_t i = 0; i < 3; i++) {
        marty_outcome outcome = {0};
        marty_message message = {.type = "order.pay"};
        const char *to = suite_to(patterns[i], "billing", "clicks");
        EXPECT_OK(suite_try_publish(bus, patterns[i], to, &message, NULL, &outcome, &why), &why,
                  "publishing");
        EXPECT(outcome.level == suite_level(), "%s is stored at level %d, granted is %d",
               suite_pattern_name(patterns[i]), (int)outcome.level, (int)suite_level());
        for (size_t k = 0; k < sizeof levels / sizeof levels[0]; k++) {
            EXPECT(strcmp(levels[k].backend, suite_backend()) != 0 ||
                       outcome.level == levels[k].level,
                   "%s says level %d, as configured it is %d", levels[k].backend,
                   (int)outcome.level, (int)levels[k].level);
        }
        if (suite_level() < MARTY_LEVEL_REPLICATED) {
            marty_publish_options more = {.level = (marty_level)(suite_level() + 1)};
            EXPECT_ERR(suite_try_publish(bus, patterns[i], to, &message, &more, NULL, &why),
                       MARTY_E_UNSUPPORTED, &why, "asking for a level that is not granted");
        }
    }
}

/* ---- C46 */

typedef struct two {
    recorder *created, *closed;
} two;

static marty_err mark_created(void *user, marty_delivery *delivery, const heard *what)
{
    (void)user, (void)delivery;
    EXPECT(strcmp(what->type, "order.created") == 0, "%s came to another's handler", what->type);
    suite_mark("created", what->id);
    return MARTY_OK;
}

static marty_err mark_closed(void *user, marty_delivery *delivery, const heard *what)
{
    (void)user, (void)delivery;
    EXPECT(strcmp(what->type, "order.closed") == 0, "%s came to another's handler", what->type);
    suite_mark("closed", what->id);
    return MARTY_OK;
}

static marty_bus *open_with_two(marty_subscription *subscriptions[2])
{
    marty_bus *bus = suite_open("billing", NULL);
    subscriptions[0] =
        suite_subscribe(bus, MARTY_EVENT, "order.created", recorder_new(mark_created, NULL), NULL);
    test_wait_for(suite_never, NULL, 50); /* time for a message to find half of the handlers */
    subscriptions[1] =
        suite_subscribe(bus, MARTY_EVENT, "order.closed", recorder_new(mark_closed, NULL), NULL);
    suite_start(bus);
    return bus;
}

void c46_handlers_one_by_one(void)
{
    enum { ROUNDS = 4, EACH = 40 };
    marty_subscription *subscriptions[2];
    marty_bus *sender = suite_open("shop", NULL);
    marty_bus *bus = open_with_two(subscriptions);
    for (int i = 0; i < ROUNDS; i++) {
        suite_publish_many(sender, MARTY_EVENT, NULL, "order.created", "a", i * EACH, EACH / 2, 5);
        suite_publish_many(sender, MARTY_EVENT, NULL, "order.closed", "b", i * EACH, EACH / 2, 5);
        suite_close(bus); /* under load: some are queued */
        suite_publish_many(sender, MARTY_EVENT, NULL, "order.created", "a", i * EACH + EACH / 2,
                           EACH / 2, 5);
        suite_publish_many(sender, MARTY_EVENT, NULL, "order.closed", "b", i * EACH + EACH / 2,
                           EACH / 2, 5);
        bus = open_with_two(subscriptions);
    }
    bool all = suite_wait_marks("created", ROUNDS * EACH, 15000) &&
               suite_wait_marks("closed", ROUNDS * EACH, 15000);
    EXPECT(all, "of %d each, %zu and %zu were handled", ROUNDS * EACH,
           suite_marks_unique("created"), suite_marks_unique("closed"));
    for (int i = 0; i < 2; i++) {
        marty_stats stats;
        marty_subscription_stats(subscriptions[i], &stats);
        EXPECT(stats.unmatched == 0, "%llu had no handler", (unsigned long long)stats.unmatched);
    }
    suite_note("%zu repeated", suite_marks("created") + suite_marks("closed") - 2 * ROUNDS * EACH);
}

/* ---- C49 */

static marty_err effect(void *user, marty_delivery *delivery, const heard *what)
{
    victim *self = user;
    int number = atomic_fetch_add(&self->handled, 1) + 1;
    if (dies_here(self, "before", number)) {
        suite_die();
    }
    marty_error why = {0};
    char id[64];
    snprintf(id, sizeof id, "effect-of-%s", what->id);
    marty_message message = {.type = "paid", .id = id, .data = marty_text(what->id)};
    const marty_message *one = &message;
    marty_publish_options options = {.settles = delivery};
    if (dies_here(self, "accepted", number)) {
        options.done = self->after ? suite_ignore_done : NULL;
        IGNORE(marty_publish(delivery->bus, MARTY_COMMAND, "ledger", &one, 1, &options, &why));
        suite_die();
    }
    marty_err err = marty_publish(delivery->bus, MARTY_COMMAND, "ledger", &one, 1, &options, &why);
    if (dies_here(self, "stored", number)) {
        suite_die();
    }
    return err;
}

void role_settler(int count, char *words[])
{
    EXPECT(count == 2, "a settler needs point and number");
    victim self = {.point = words[0], .after = (int)strtol(words[1], NULL, 10)};
    marty_bus *bus = suite_open("billing", NULL);
    marty_subscription *subscription =
        suite_subscribe(bus, MARTY_COMMAND, "order.pay", recorder_new(effect, &self),
                        &(marty_subscribe_options){.credit = CREDIT});
    suite_start(bus);
    EXPECT(test_wait_for(suite_is_idle, subscription, 40000), "it did not come to rest");
    suite_close(bus);
}

void c49_settles(void)
{
    static const char *const points[][2] = {
        {"before", "3"}, {"accepted", "6"}, {"stored", "6"}, {"none", "0"}};
    suite_set_keys("lease=1s");
    marty_bus *bus = suite_open("shop", NULL), *ledger = suite_open("ledger", NULL);
    recorder *effects = recorder_new(NULL, NULL);
    suite_subscribe(ledger, MARTY_COMMAND, "paid", effects, NULL);
    suite_start(ledger);
    suite_publish_many(bus, MARTY_COMMAND, "billing", "order.pay", "m", 0, COUNT, 0);
    for (size_t i = 0; i < 4; i++) {
        const char *words[] = {points[i][0], points[i][1], NULL};
        test_process process = suite_spawn("settler", words);
        EXPECT(test_process_join(&process, 50000), "the settler with point %s is not done",
               points[i][0]);
    }
    EXPECT(recorder_wait(effects, COUNT, 5000),
           "every cause is settled, of %d effects %zu are "
           "there",
           COUNT, recorder_unique(effects));
    suite_note("%zu effects repeated", recorder_duplicates(effects));
    recorder *left = recorder_new(NULL, NULL);
    marty_bus *last = suite_open("billing", NULL);
    suite_subscribe(last, MARTY_COMMAND, "order.pay", left, NULL);
    suite_start(last);
    recorder_expect_quiet(left, 1500);
}

static marty_err settle_by_publish(void *user, marty_delivery *delivery, const heard *what)
{
    (void)what;
    marty_error why = {0};
    marty_message message = {.type = "paid",
                             .subject = delivery->attempt == 1 ? "refuse" : "take",
                             .data = marty_text("x")};
    const marty_message *one = &message;
    marty_publish_options options = {.settles = delivery};
    marty_err err = marty_publish(delivery->bus, MARTY_COMMAND, "ledger", &one, 1, &options, &why);
    EXPECT(err == (delivery->attempt == 1 ? MARTY_E_STORAGE : MARTY_OK), "attempt %u: %s",
           (unsigned)delivery->attempt, suite_err(err));
    atomic_fetch_add((atomic_int *)user, 1);
    return MARTY_OK; /* it is settled by the publish, whatever this says */
}

void c49_not_stored(void)
{
    /* An effect that the broker refused leaves its cause to be tried again. */
    atomic_int tries = 0;
    marty_bus *bus = suite_open_with(suite_wrapped("twist:refuse", NULL),
                                     &(marty_bus_options){.service = "billing"});
    recorder *causes = recorder_new(settle_by_publish, &tries);
    suite_subscribe(bus, MARTY_COMMAND, "order.pay", causes,
                    &(marty_subscribe_options){.retry = {.first_ms = 20}});
    suite_start(bus);
    suite_publish(bus, MARTY_COMMAND, "billing", "order.pay", "cause", NULL, "x");
    EXPECT(recorder_wait_total(causes, 2, 10000), "the cause ran %zu times, not 2",
           recorder_total(causes));
    recorder_expect_quiet(causes, 150);
}
