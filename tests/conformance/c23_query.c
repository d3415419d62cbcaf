/* SPDX-License-Identifier: Apache-2.0
 * C23: queries: the right reply among many, time-outs, late replies, the responder's own errors,
 * nobody there. */
#include "contracts.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MANY = 150 };

static marty_err answer(void *user, marty_delivery *query)
{
    (void)user;
    char text[64];
    marty_error why = {0};
    snprintf(text, sizeof text, "answer to %.*s", MARTY_BYTES_ARGS(query->message->data));
    marty_message reply = {.data = marty_text(text)};
    marty_err err = marty_reply(query, &reply, &why);
    EXPECT(err == MARTY_OK, "replying: %s %s", suite_err(err), why.text);
    err = marty_reply(query, &reply, &why);
    EXPECT(err == MARTY_E_STATE, "replying twice answered %s, not STATE", suite_err(err));
    return MARTY_OK;
}

typedef struct asked {
    char wanted[64];
    atomic_int answers, wrong;
    marty_err err;
} asked;

static void on_answer(void *user, const marty_message *reply, const marty_error *error)
{
    asked *self = user;
    self->err = error ? error->code : MARTY_OK;
    bool right = reply && reply->data.size == strlen(self->wanted) &&
                 memcmp(reply->data.data, self->wanted, reply->data.size) == 0;
    if (!right) {
        atomic_fetch_add(&self->wrong, 1);
    }
    atomic_fetch_add(&self->answers, 1);
}

static bool are_answered(void *user)
{
    asked *all = user;
    for (size_t i = 0; i < MANY; i++) {
        if (atomic_load(&all[i].answers) == 0) {
            return false;
        }
    }
    return true;
}

void c23_many(void)
{
    static asked all[MANY];
    marty_error why = {0};
    marty_bus *asker = suite_open("shop", NULL);
    for (int i = 0; i < 2; i++) {
        marty_bus *responder = suite_open("user", NULL);
        EXPECT_OK(marty_handle_queries(responder, "profile", answer, NULL,
                                       &(marty_subscribe_options){.concurrency = 4}, NULL, &why),
                  &why, "handling queries");
        suite_start(responder);
    }
    suite_start(asker);
    for (size_t i = 0; i < MANY; i++) {
        char text[32];
        snprintf(text, sizeof text, "question %zu", i);
        snprintf(all[i].wanted, sizeof all[i].wanted, "answer to %s", text);
        marty_query_options options = {
            .done = on_answer, .user = &all[i], .timeout_ms = (int32_t)test_patience(10000)};
        EXPECT_OK(marty_query(asker, "user", "profile", marty_text(text), &options, NULL, &why),
                  &why, "asking question %zu", i);
    }
    EXPECT(test_wait_for(are_answered, all, 15000), "not all of %d questions were answered", MANY);
    for (size_t i = 0; i < MANY; i++) {
        EXPECT(atomic_load(&all[i].answers) == 1, "question %zu was answered %d times", i,
               atomic_load(&all[i].answers));
        EXPECT(atomic_load(&all[i].wrong) == 0, "question %zu got another one's answer, or %s", i,
               suite_err(all[i].err));
    }
}

/* ---- time-outs */

typedef struct late_one {
    marty_delivery *kept;
    atomic_bool has;
} late_one;

static marty_err keep_query(void *user, marty_delivery *query)
{
    late_one *self = user;
    self->kept = marty_delivery_keep(query);
    atomic_store(&self->has, true);
    return MARTY_OK;
}

static bool has_query(void *user)
{
    late_one *self = user;
    return atomic_load(&self->has);
}

static unsigned long late_replies(marty_bus *bus)
{
    marty_error why = {0};
    marty_message *report = NULL;
    EXPECT_OK(marty_bus_report(bus, MARTY_REPORT_METRICS, &report, &why), &why, "asking metrics");
    char *text = calloc(1, report->data.size + 1);
    EXPECT(text, "no memory");
    memcpy(text, report->data.data, report->data.size);
    const char *found = strstr(text, "\"late_replies\"");
    EXPECT(found, "the metrics do not count late_replies: %.400s", text);
    unsigned long count = strtoul(found + strcspn(found, "0123456789"), NULL, 10);
    free(text);
    marty_message_unref(report);
    return count;
}

static bool has_counted_late(void *user)
{
    return late_replies(user) == 1;
}

void c23_late(void)
{
    late_one self = {0};
    marty_error why = {0};
    marty_message *reply = NULL;
    marty_bus *asker = suite_open("shop", NULL), *responder = suite_open("user", NULL);
    EXPECT_OK(marty_handle_queries(responder, "profile", keep_query, &self, NULL, NULL, &why), &why,
              "handling queries");
    suite_start(responder);
    suite_start(asker);
    /* Else opening the way back may take the 400 ms, and the query is never sent. */
    marty_query_options options = {.timeout_ms = 10000};
    marty_err err = marty_query(asker, "user", "nothing", marty_text("x"), &options, &reply, &why);
    EXPECT_ERR(err, MARTY_E_REMOTE, &why, "a query of a type without a handler");
    options.timeout_ms = 400;
    int64_t began = test_now_ms();
    err = marty_query(asker, "user", "profile", marty_text("x"), &options, &reply, &why);
    int64_t took = test_now_ms() - began;
    EXPECT_ERR(err, MARTY_E_TIMEOUT, &why, "a query that nobody answers in time");
    EXPECT(took >= 390 && took <= 400 + test_patience(SUITE_PAUSE_MS),
           "a timeout of 400 ms took %lld", (long long)took);
    EXPECT(test_wait_for(has_query, &self, 5000), "the query did not come");
    EXPECT(late_replies(asker) == 0, "a late reply is counted before there was one");
    marty_message late = {.data = marty_text("too late")};
    err = marty_reply(self.kept, &late, &why);
    EXPECT(err == MARTY_OK || err == MARTY_E_TIMEOUT, "a late reply: %s", suite_err(err));
    if (err == MARTY_OK) {
        EXPECT(test_wait_for(has_counted_late, asker, 5000), "a late reply came and was not "
                                                             "counted");
    }
    marty_delivery_release(self.kept);
    suite_note("a reply after the deadline answers %s", suite_err(err));
}

/* ---- errors */

static marty_err fail_in_many_ways(void *user, marty_delivery *query)
{
    (void)user;
    const char *type = query->message->type;
    if (strcmp(type, "fails.typed") == 0) {
        marty_err err = marty_fail(query, MARTY_CLASS_CALLER, "not_found", "no user 7");
        EXPECT(err == MARTY_OK, "fail answered %s", suite_err(err));
        return MARTY_OK;
    }
    if (strcmp(type, "fails.retry") == 0) {
        EXPECT(marty_fail(query, MARTY_CLASS_RETRY, "busy", "come again") == MARTY_OK, "fail");
        return MARTY_OK;
    }
    return strcmp(type, "fails.returns") == 0 ? MARTY_E_STORAGE : MARTY_OK;
}

/* With so much time that an answer which comes at its end is none at once. */
static marty_err ask(marty_bus *asker, const char *type, marty_error *why)
{
    marty_message *reply = NULL;
    *why = (marty_error){0};
    marty_query_options options = {.timeout_ms = (int32_t)test_patience(8000)};
    marty_err err = marty_query(asker, "user", type, marty_text("x"), &options, &reply, why);
    EXPECT(err || reply, "a query answered OK without a reply");
    marty_message_unref(reply);
    return err;
}

void c23_errors(void)
{
    marty_error why = {0};
    marty_bus *asker = suite_open("shop", NULL), *responder = suite_open("user", NULL);
    EXPECT_OK(marty_handle_queries(responder, "fails.*", fail_in_many_ways, NULL, NULL, NULL, &why),
              &why, "handling queries");
    suite_start(responder);
    suite_start(asker);
    EXPECT_ERR(ask(asker, "fails.typed", &why), MARTY_E_REMOTE, &why, "a typed failure");
    EXPECT(strcmp(why.remote, "not_found") == 0, "its code is \"%s\", not not_found", why.remote);
    EXPECT(strcmp(why.text, "no user 7") == 0, "its text is \"%s\", not \"no user 7\"", why.text);
    EXPECT(why.error_class == MARTY_CLASS_CALLER, "its class is %d", (int)why.error_class);
    EXPECT_ERR(ask(asker, "fails.retry", &why), MARTY_E_REMOTE, &why, "a failure to repeat");
    EXPECT(why.error_class == MARTY_CLASS_RETRY && strcmp(why.remote, "busy") == 0,
           "its class is %d, its code %s", (int)why.error_class, why.remote);
    EXPECT_ERR(ask(asker, "fails.returns", &why), MARTY_E_REMOTE, &why, "a handler's error");
    EXPECT(strstr(why.remote, "STORAGE") || strstr(why.text, "STORAGE") || why.text[0],
           "a handler's error says nothing");
    EXPECT_ERR(ask(asker, "fails.silent", &why), MARTY_E_REMOTE, &why,
               "a handler that returns OK without a reply");
    EXPECT(strstr(why.remote, "unanswered") || strstr(why.text, "unanswered"),
           "then the asker should read \"unanswered\", it got \"%s\" \"%s\"", why.remote, why.text);
}

void c23_unknown_type(void)
{
    /* A service that is there, but handles no such query: an answer at once, not a time-out. */
    marty_error why = {0};
    marty_bus *asker = suite_open("shop", NULL), *responder = suite_open("user", NULL);
    EXPECT_OK(marty_handle_queries(responder, "profile", answer, NULL, NULL, NULL, &why), &why,
              "handling queries");
    suite_start(responder);
    suite_start(asker);
    int64_t began = test_now_ms();
    marty_err err = ask(asker, "unheard-of", &why);
    EXPECT(err == MARTY_E_REMOTE || err == MARTY_E_NO_RESPONDER,
           "a query that the service does not handle ended with %s %s", suite_err(err), why.text);
    EXPECT(test_now_ms() - began < test_patience(SUITE_PAUSE_MS), "it took %lld ms to say so",
           (long long)(test_now_ms() - began));
}

void c23_nobody(void)
{
    marty_error why = {0};
    marty_bus *asker = suite_open("shop", NULL);
    suite_start(asker);
    for (int i = 0; i < 3; i++) {
        int64_t began = test_now_ms();
        EXPECT_ERR(ask(asker, "profile", &why), MARTY_E_NO_RESPONDER, &why, "asking nobody");
        EXPECT(test_now_ms() - began < test_patience(SUITE_PAUSE_MS), "it took %lld ms to say so",
               (long long)(test_now_ms() - began));
    }
    marty_bus *responder = suite_open("user", NULL);
    EXPECT_OK(marty_handle_queries(responder, "profile", answer, NULL, NULL, NULL, &why), &why,
              "handling queries");
    suite_start(responder);
    EXPECT_OK(ask(asker, "profile", &why), &why, "asking once somebody is there");
    suite_close(responder);
    EXPECT_ERR(ask(asker, "profile", &why), MARTY_E_NO_RESPONDER, &why,
               "asking after the responder has left");
}

static marty_err check_deadline(void *user, marty_delivery *query)
{
    (void)user;
    EXPECT(query->deadline_ms > 0, "the asker's deadline did not travel");
    return answer(NULL, query);
}

void c23_deadline(void)
{
    marty_error why = {0};
    marty_bus *asker = suite_open("shop", NULL), *responder = suite_open("user", NULL);
    EXPECT_OK(marty_handle_queries(responder, "profile", check_deadline, NULL, NULL, NULL, &why),
              &why, "handling queries");
    suite_start(responder);
    suite_start(asker);
    EXPECT_OK(ask(asker, "profile", &why), &why, "asking");
}
