/* SPDX-License-Identifier: Apache-2.0
 * C26 (draining), C31 (cancelling what is blocked), C32 (use after close). */
#include "contracts.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

typedef struct work {
    atomic_bool open;
    atomic_int begun, finished;
} work;

static bool is_open(void *user)
{
    work *self = user;
    return atomic_load(&self->open);
}

static marty_err work_slowly(void *user, marty_delivery *delivery, const heard *what)
{
    (void)delivery, (void)what;
    work *self = user;
    atomic_fetch_add(&self->begun, 1);
    test_wait_for(is_open, self, 30000);
    atomic_fetch_add(&self->finished, 1);
    return MARTY_OK;
}

static bool two_have_begun(void *user)
{
    work *self = user;
    return atomic_load(&self->begun) == 2;
}

void c26_drain(void)
{
    enum { COUNT = 60 };
    work self = {0};
    marty_error why = {0};
    marty_bus *other = suite_open("shop", NULL), *bus = suite_open("billing", NULL);
    recorder *first = recorder_new(work_slowly, &self), *second = recorder_new(NULL, NULL);
    suite_subscribe(bus, MARTY_COMMAND, "charge", first,
                    &(marty_subscribe_options){.concurrency = 2, .retry = {.attempts = 2}});
    suite_start(bus);
    suite_publish_many(other, MARTY_COMMAND, "billing", "charge", "m", 0, COUNT, 10);
    EXPECT(test_wait_for(two_have_begun, &self, 10000), "two handlers did not begin");
    marty_bus_stop(bus);
    recorder_expect_quiet(first, 100); /* nothing new begins */
    atomic_store(&self.open, true);
    EXPECT_OK(marty_bus_close(bus, 10000, &why), &why, "closing");
    EXPECT(atomic_load(&self.begun) == 2 && atomic_load(&self.finished) == 2,
           "%d handlers began, %d finished; two ran when the drain began", atomic_load(&self.begun),
           atomic_load(&self.finished));
    marty_bus_free(bus);
    bus = suite_open("billing", NULL);
    suite_subscribe(bus, MARTY_COMMAND, "charge", second, NULL);
    suite_start(bus);
    EXPECT(recorder_wait(second, COUNT - 2, 15000), "of %d not begun %zu came later", COUNT - 2,
           recorder_unique(second));
    recorder_expect_quiet(second, 100);
    EXPECT(recorder_total(second) == COUNT - 2, "%zu came later, %d were left",
           recorder_total(second), COUNT - 2);
    suite_dead dead[1];
    EXPECT(suite_dead_letters(bus, "commands.billing", dead, 1) == 0,
           "a drained message became a dead letter");
}

void c26_deadline(void)
{
    work self = {0};
    marty_error why = {0};
    marty_bus *bus = suite_open("billing", NULL);
    recorder *heard_ = recorder_new(work_slowly, &self);
    suite_subscribe(bus, MARTY_COMMAND, "charge", heard_, NULL);
    suite_start(bus);
    suite_publish(bus, MARTY_COMMAND, "billing", "charge", "stuck", NULL, "x");
    EXPECT(recorder_wait_total(heard_, 1, 10000), "nothing came");
    int64_t began = test_now_ms();
    EXPECT_ERR(marty_bus_close(bus, 300, &why), MARTY_E_TIMEOUT, &why,
               "closing while a handler stands");
    int64_t took = test_now_ms() - began;
    EXPECT(took >= 290 && took <= 300 + test_patience(SUITE_PAUSE_MS),
           "a close of 300 ms took %lld", (long long)took);
    atomic_store(&self.open, true);
    EXPECT_OK(marty_bus_close(bus, 10000, &why), &why, "closing again, to wait more");
    EXPECT(atomic_load(&self.finished) == 1, "after OK a handler still runs");
    marty_bus_free(bus);
}

static marty_err close_inside(void *user, marty_delivery *delivery, const heard *what)
{
    (void)what;
    marty_error why = {0};
    marty_err err = marty_bus_close(delivery->bus, 5000, &why);
    EXPECT(err == MARTY_E_STATE, "close in a handler answered %s, not STATE", suite_err(err));
    marty_message message = {.type = "order.closed", .id = "from-the-drain"};
    const marty_message *one = &message;
    err = marty_publish(delivery->bus, MARTY_EVENT, NULL, &one, 1, NULL, &why);
    EXPECT(err == MARTY_OK, "a running handler could not publish while draining: %s %s",
           suite_err(err), why.text);
    atomic_store((atomic_bool *)user, true);
    return MARTY_OK;
}

static bool is_true(void *user)
{
    return atomic_load((atomic_bool *)user);
}

void c26_from_a_handler(void)
{
    atomic_bool done = false;
    marty_bus *bus = suite_open("billing", NULL), *other = suite_open("shop", NULL);
    recorder *heard_ = recorder_new(close_inside, &done), *late = recorder_new(NULL, NULL);
    suite_subscribe(other, MARTY_EVENT, "order.*", late, NULL);
    suite_start(other);
    suite_subscribe(bus, MARTY_COMMAND, "charge", heard_, NULL);
    suite_start(bus);
    suite_publish(other, MARTY_COMMAND, "billing", "charge", "m", NULL, "x");
    EXPECT(test_wait_for(is_true, &done, 10000), "the handler did not come through");
    suite_close(bus);
    EXPECT(recorder_wait(late, 1, 10000), "what a handler published while draining did not come");
}

static void *close_it(void *bus)
{
    marty_error why = {0};
    marty_err err = marty_bus_close(bus, 10000, &why);
    EXPECT(err == MARTY_OK || err == MARTY_E_CLOSED, "a concurrent close answered %s %s",
           suite_err(err), why.text);
    return NULL;
}

void c26_concurrent(void)
{
    marty_bus *bus = suite_open("billing", NULL);
    recorder *heard_ = recorder_new(NULL, NULL);
    suite_subscribe(bus, MARTY_COMMAND, "charge", heard_, NULL);
    suite_start(bus);
    suite_publish_many(bus, MARTY_COMMAND, "billing", "charge", "m", 0, 100, 0);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        pthread_create(&threads[i], NULL, close_it, bus);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    marty_bus_free(bus);
}

static void *stop_soon(void *bus)
{
    test_wait_for(suite_never, NULL, 100);
    marty_bus_stop(bus);
    return NULL;
}

void c26_run(void)
{
    marty_error why = {0};
    marty_bus *bus = suite_open("billing", NULL);
    recorder *heard_ = recorder_new(NULL, NULL);
    suite_subscribe(bus, MARTY_EVENT, "order.*", heard_, NULL);
    pthread_t thread;
    pthread_create(&thread, NULL, stop_soon, bus);
    EXPECT_OK(marty_bus_run(bus, &why), &why, "run until stop");
    pthread_join(thread, NULL);
    suite_close(bus);
}

/* ---- C31 */

static int key;

static bool cancel_one(void *bus)
{
    return marty_bus_cancel(bus, &key) > 0;
}

static void *cancel_soon(void *bus)
{
    EXPECT(test_wait_for(cancel_one, bus, 10000), "there was nothing to cancel");
    return NULL;
}

static marty_err never_answer(void *user, marty_delivery *query)
{
    (void)user;
    marty_delivery_keep(query);
    return MARTY_OK;
}

void c31_query(void)
{
    marty_error why = {0};
    marty_message *reply = NULL;
    marty_bus *bus = suite_open("user", NULL);
    EXPECT_OK(marty_handle_queries(bus, "profile", never_answer, NULL, NULL, NULL, &why), &why,
              "handling queries");
    suite_start(bus);
    pthread_t thread;
    pthread_create(&thread, NULL, cancel_soon, bus);
    int64_t began = test_now_ms();
    marty_query_options options = {.timeout_ms = 20000, .cancel_key = &key};
    marty_err err = marty_query(bus, "user", "profile", marty_text("x"), &options, &reply, &why);
    EXPECT(err == MARTY_E_CANCELLED || err == MARTY_E_MAYBE_STORED,
           "a cancelled query ended with %s", suite_err(err));
    EXPECT(test_now_ms() - began < test_patience(5000), "cancelling took %lld ms",
           (long long)(test_now_ms() - began));
    pthread_join(thread, NULL);
    EXPECT(marty_bus_cancel(bus, &key) == 0, "there is still something to cancel");
}

static void *stop_subscription(void *subscription)
{
    test_wait_for(suite_never, NULL, 100);
    marty_subscription_stop(subscription);
    return NULL;
}

void c31_receive(void)
{
    marty_error why = {0};
    marty_bus *bus = suite_open("billing", NULL);
    marty_subscription *subscription = suite_subscribe(bus, MARTY_COMMAND, "charge", NULL, NULL);
    suite_start(bus);
    pthread_t thread;
    pthread_create(&thread, NULL, stop_subscription, subscription);
    marty_delivery *first = NULL;
    int64_t began = test_now_ms();
    EXPECT_ERR(marty_receive(subscription, 20000, &first, &why), MARTY_E_CLOSED, &why,
               "receiving from what is stopped meanwhile");
    EXPECT(test_now_ms() - began < test_patience(5000), "it took %lld ms",
           (long long)(test_now_ms() - began));
    pthread_join(thread, NULL);
    EXPECT_OK(marty_unsubscribe(subscription, 5000, &why), &why, "unsubscribing");
}

/* ---- C32 */

void c32_after_close(void)
{
    marty_error why = {0};
    marty_message *answer = NULL;
    marty_subscription *none = NULL;
    marty_bus *bus = suite_open("billing", NULL);
    recorder *heard_ = recorder_new(NULL, NULL);
    marty_subscription *subscription = suite_subscribe(bus, MARTY_EVENT, "order.*", heard_, NULL);
    suite_start(bus);
    EXPECT_OK(marty_bus_close(bus, 10000, &why), &why, "closing");
    EXPECT_OK(marty_bus_close(bus, 10000, &why), &why, "closing twice");
    marty_message message = {.type = "order.created"};
    EXPECT_ERR(suite_try_publish(bus, MARTY_EVENT, NULL, &message, NULL, NULL, &why),
               MARTY_E_CLOSED, &why, "publishing after close");
    EXPECT_ERR(marty_query(bus, "user", "profile", marty_text("x"), NULL, &answer, &why),
               MARTY_E_CLOSED, &why, "asking after close");
    EXPECT_ERR(marty_subscribe_to_events(bus, "a.b", recorder_handle, heard_, NULL, &none, &why),
               MARTY_E_CLOSED, &why, "subscribing after close");
    EXPECT_ERR(marty_bus_start(bus, &why), MARTY_E_CLOSED, &why, "starting after close");
    marty_delivery *first = NULL;
    marty_err err = marty_receive(subscription, 100, &first, &why);
    EXPECT(err == MARTY_E_CLOSED || err == MARTY_E_STATE, "receiving after close: %s",
           suite_err(err));
    EXPECT_ERR(marty_unschedule(bus, MARTY_EVENT, NULL, "order.created", "x", &why), MARTY_E_CLOSED,
               &why, "unscheduling after close");
    err = marty_subscription_pause(subscription, true, &why);
    EXPECT(err == MARTY_E_CLOSED, "pausing after close: %s", suite_err(err));
    marty_stats stats;
    marty_subscription_stats(subscription, &stats);
    marty_bus_stop(bus);
    err = marty_unsubscribe(subscription, 1000, &why);
    EXPECT(err == MARTY_OK || err == MARTY_E_CLOSED, "unsubscribing after close: %s",
           suite_err(err));
    marty_bus_free(bus);
    marty_bus_free(NULL);
    marty_message_unref(NULL);
    marty_delivery_release(NULL);
}
