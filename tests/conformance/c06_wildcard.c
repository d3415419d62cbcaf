/* SPDX-License-Identifier: Apache-2.0
 * C06 again: patterns that span channels (bit wildcard), and C39: priority, where it is granted. */
#include "contracts.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

void c06_wildcard(void)
{
    static const char *const types[] = {"order.created", "user.created", "user.closed",
                                        "audit.made.twice"};
    static const marty_pattern patterns[] = {MARTY_EVENT, MARTY_BROADCAST};
    marty_bus *sender = suite_open("shop", NULL);
    for (size_t p = 0; p < 2; p++) {
        if (!suite_granted(suite_kind_of(patterns[p]), MARTY_CAN_WILDCARD)) {
            suite_note("%s: not granted", suite_pattern_name(patterns[p]));
            continue;
        }
        marty_bus *bus = suite_open("billing", NULL), *other = suite_open("audit", NULL);
        recorder *all = recorder_new(NULL, NULL), *created = recorder_new(NULL, NULL);
        suite_publish(sender, patterns[p], NULL, "order.created", "early", NULL, "x");
        suite_subscribe(bus, patterns[p], ">", all, NULL);
        suite_subscribe(other, patterns[p], "*.created", created, NULL);
        suite_start(bus);
        suite_start(other);
        for (size_t i = 0; i < 4; i++) {
            suite_publish(sender, patterns[p], NULL, types[i], suite_id("m", (int)i), NULL, "x");
        }
        /* channels made after the subscription are found too, soon */
        EXPECT(recorder_wait(all, 4, 20000), "%s: of 4 channels \">\" got %zu messages",
               suite_pattern_name(patterns[p]), recorder_unique(all));
        EXPECT(recorder_wait(created, 2, 20000), "%s: \"*.created\" got %zu of 2",
               suite_pattern_name(patterns[p]), recorder_unique(created));
        recorder_expect_quiet(created, 100);
        EXPECT(recorder_total(all) == 4 && recorder_total(created) == 2,
               "%s: \">\" got %zu, \"*.created\" %zu", suite_pattern_name(patterns[p]),
               recorder_total(all), recorder_total(created));
        suite_close(bus);
        suite_close(other);
    }
}

void c06_wildcard_streams(void)
{
    marty_bus *sender = suite_open("shop", NULL), *bus = suite_open("billing", NULL);
    suite_publish_many(sender, MARTY_STREAM, "clicks", "click", "a", 0, 10, 3);
    recorder *all = recorder_new(NULL, NULL);
    suite_subscribe(bus, MARTY_STREAM, "*", all, NULL);
    suite_start(bus);
    suite_publish_many(sender, MARTY_STREAM, "views", "view", "b", 0, 10, 3);
    EXPECT(recorder_wait(all, 20, 20000), "of two streams with 10 messages each %zu came",
           recorder_unique(all));
    EXPECT(recorder_duplicates(all) == 0, "%zu came twice", recorder_duplicates(all));
}

typedef struct gate {
    atomic_bool open;
} gate;

static bool is_open(void *user)
{
    return atomic_load(&((gate *)user)->open);
}

static marty_err wait_at_gate(void *user, marty_delivery *delivery, const heard *what)
{
    (void)delivery, (void)what;
    EXPECT(test_wait_for(is_open, user, 30000), "the gate was not opened");
    return MARTY_OK;
}

void c39_priority(void)
{
    /* While one is handled, what waits at the broker comes by priority, not by age. */
    static const marty_pattern patterns[] = {MARTY_EVENT, MARTY_COMMAND};
    static const char *const names[] = {"order.*", "order.pay"};
    static const int32_t priorities[] = {0, 1, 9, 5, 0, 9};
    static const char *const wanted[] = {"m-0000", "m-0002", "m-0005",
                                         "m-0003", "m-0001", "m-0004"};
    marty_error why = {0};
    for (size_t p = 0; p < 2; p++) {
        gate self = {false};
        marty_bus *bus = suite_open("billing", NULL);
        recorder *heard_ = recorder_new(wait_at_gate, &self);
        suite_subscribe(bus, patterns[p], names[p], heard_,
                        &(marty_subscribe_options){.credit = 1});
        suite_start(bus);
        for (int i = 0; i < 6; i++) {
            marty_message message = {
                .type = "order.pay", .id = suite_id("m", i), .priority = priorities[i]};
            EXPECT_OK(suite_try_publish(bus, patterns[p], suite_to(patterns[p], "billing", NULL),
                                        &message, NULL, NULL, &why),
                      &why, "publishing with priority %d", (int)priorities[i]);
            EXPECT(recorder_wait_total(heard_, 1, 10000), "nothing came");
        }
        atomic_store(&self.open, true);
        recorder_expect(heard_, "m", 0, 6, 1);
        for (size_t i = 0; i < 6; i++) {
            EXPECT(strcmp(recorder_at(heard_, i).id, wanted[i]) == 0,
                   "%s: number %zu to come was %s, by priority it is %s",
                   suite_pattern_name(patterns[p]), i, recorder_at(heard_, i).id, wanted[i]);
        }
        suite_close(bus);
    }
}

/* ---- C22: what waits at the broker for credit expires there, also where nothing is kept */

void c22_waiting(void)
{
    gate self = {false};
    marty_error why = {0};
    marty_bus *bus = suite_open_with(suite_wrapped("twist:patient", NULL),
                                     &(marty_bus_options){.service = "billing"});
    marty_bus *sender = suite_open("shop", NULL);
    recorder *heard_ = recorder_new(wait_at_gate, &self);
    suite_subscribe(bus, MARTY_BROADCAST, "cache.*", heard_,
                    &(marty_subscribe_options){.credit = 1});
    suite_start(bus);
    suite_publish(sender, MARTY_BROADCAST, NULL, "cache.clear", "stays-0000", NULL, "x");
    EXPECT(recorder_wait_total(heard_, 1, 10000), "nothing came");
    marty_message message = {.type = "cache.clear", .id = "gone"};
    marty_publish_options options = {.expires_in_ms = 200};
    EXPECT_OK(suite_try_publish(sender, MARTY_BROADCAST, NULL, &message, &options, NULL, &why),
              &why, "broadcasting");
    suite_publish(sender, MARTY_BROADCAST, NULL, "cache.clear", "stays-0001", NULL, "x");
    test_wait_for(suite_never, NULL, 600); /* longer than it lives */
    atomic_store(&self.open, true);
    EXPECT(recorder_wait_total(heard_, 2, 10000), "%zu came", recorder_total(heard_));
    recorder_expect_quiet(heard_, 100);
    recorder_expect(heard_, "stays", 0, 2, 1);
}

static marty_err answer_at_gate(void *user, marty_delivery *query)
{
    suite_mark("asked", query->message->type);
    EXPECT(test_wait_for(is_open, user, 30000), "the gate was not opened");
    marty_error why = {0};
    IGNORE(marty_reply(query, NULL, &why));
    return MARTY_OK;
}

static marty_err ask_for(marty_bus *bus, const char *type, int32_t timeout_ms)
{
    marty_error why = {0};
    marty_message *reply = NULL;
    marty_query_options options = {.timeout_ms = timeout_ms};
    marty_err err = marty_query(bus, "user", type, marty_text("x"), &options, &reply, &why);
    marty_message_unref(reply);
    return err;
}

static void on_first(void *user, const marty_message *reply, const marty_error *error)
{
    (void)reply;
    atomic_store((atomic_int *)user, error ? -1 : 1);
}

static bool is_first_asked(void *user)
{
    (void)user;
    return suite_marks_of("asked", "first") == 1;
}

static bool is_first_answered(void *user)
{
    return atomic_load((atomic_int *)user) != 0;
}

void c22_waiting_query(void)
{
    /* A query whose asker has given up is not handled any more. */
    gate self = {false};
    static atomic_int first; /* it may be answered after us, when something failed */
    marty_error why = {0};
    marty_query_options options = {
        .done = on_first, .user = &first, .timeout_ms = (int32_t)test_patience(20000)};
    marty_bus *asker = suite_open("shop", NULL);
    marty_bus *bus = suite_open_with(suite_wrapped("twist:patient", NULL),
                                     &(marty_bus_options){.service = "user"});
    EXPECT_OK(marty_handle_queries(bus, ">", answer_at_gate, &self,
                                   &(marty_subscribe_options){.credit = 1}, NULL, &why),
              &why, "handling queries");
    suite_start(bus);
    suite_start(asker);
    EXPECT_OK(marty_query(asker, "user", "first", marty_text("x"), &options, NULL, &why), &why,
              "asking the first");
    EXPECT(test_wait_for(is_first_asked, NULL, 10000), "the first is not handled");
    EXPECT(ask_for(asker, "second", 300) == MARTY_E_TIMEOUT, "nobody answers the second in time");
    atomic_store(&self.open, true);
    EXPECT(ask_for(asker, "third", (int32_t)test_patience(10000)) == MARTY_OK,
           "the third is answered");
    EXPECT(test_wait_for(is_first_answered, &first, 10000) && atomic_load(&first) == 1,
           "the first is answered");
    EXPECT(suite_marks_of("asked", "second") == 0, "a query that had expired was handled");
    EXPECT(suite_marks("asked") == 2, "%zu queries were handled", suite_marks("asked"));
}
