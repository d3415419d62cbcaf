/* SPDX-License-Identifier: Apache-2.0
 * C24 (credit bounds what is held, the in-flight limit bounds what is published), C25 (pause and
 * resume), C33 (concurrency changed while running). */
#include "contracts.h"
#include "wrap.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct gate {
    atomic_bool open;
    atomic_int inside, most;
} gate;

static bool is_open(void *user)
{
    gate *self = user;
    return atomic_load(&self->open);
}

static marty_err wait_at_gate(void *user, marty_delivery *delivery, const heard *what)
{
    (void)delivery, (void)what;
    gate *self = user;
    int inside = atomic_fetch_add(&self->inside, 1) + 1;
    if (inside > atomic_load(&self->most)) {
        atomic_store(&self->most, inside);
    }
    EXPECT(test_wait_for(is_open, self, 30000), "the gate was not opened");
    atomic_fetch_sub(&self->inside, 1);
    return MARTY_OK;
}

void c24_credit(void)
{
    enum { CREDIT = 16, COUNT = 600 };
    gate self = {0};
    marty_bus *bus = suite_open("billing", NULL);
    recorder *heard_ = recorder_new(wait_at_gate, &self);
    marty_subscription *subscription = suite_subscribe(
        bus, MARTY_COMMAND, "charge", heard_, &(marty_subscribe_options){.credit = CREDIT});
    suite_start(bus);
    suite_publish_many(bus, MARTY_COMMAND, "billing", "charge", "m", 0, COUNT, 0);
    EXPECT(recorder_wait_total(heard_, 1, 10000), "nothing came");
    marty_stats stats;
    int64_t end = test_now_ms() + 400; /* time for a backend to bring more than it may */
    do {
        marty_subscription_stats(subscription, &stats);
        EXPECT(stats.unsettled <= CREDIT,
               "with a credit of %d and a handler that stands, %llu are held", CREDIT,
               (unsigned long long)stats.unsettled);
        EXPECT(stats.delivered <= CREDIT, "with a credit of %d %llu were delivered", CREDIT,
               (unsigned long long)stats.delivered);
    } while (!test_wait_for(suite_never, NULL, 10) && test_now_ms() < end);
    EXPECT(recorder_total(heard_) == 1, "one lane ran %zu handlers", recorder_total(heard_));
    atomic_store(&self.open, true);
    recorder_expect(heard_, "m", 0, COUNT, 1);
}

/* ---- publishing */

typedef struct room {
    atomic_int done, stored, room_events;
} room;

static void on_done(void *user, const marty_outcome *outcomes, size_t count)
{
    room *self = user;
    for (size_t i = 0; i < count; i++) {
        atomic_fetch_add(&self->stored, outcomes[i].err == MARTY_OK ? 1 : 0);
    }
    atomic_fetch_add(&self->done, (int)count);
}

static void on_state(void *user, const marty_state_event *event)
{
    room *self = user;
    if (event->state == MARTY_STATE_ROOM) {
        atomic_fetch_add(&self->room_events, 1);
    }
}

static bool has_room(void *user)
{
    room *self = user;
    return atomic_load(&self->room_events) > 0;
}

static unsigned long in_flight(marty_bus *bus)
{
    marty_error why = {0};
    marty_message *report = NULL;
    EXPECT_OK(marty_bus_report(bus, MARTY_REPORT_BACKENDS, &report, &why), &why, "a report");
    char *text = calloc(1, report->data.size + 1);
    EXPECT(text, "no memory");
    memcpy(text, report->data.data, report->data.size);
    const char *found = strstr(text, "\"inflight\":");
    EXPECT(found, "the report does not say what is in flight: %.300s", text);
    unsigned long count = strtoul(found + strlen("\"inflight\":"), NULL, 10);
    free(text);
    marty_message_unref(report);
    return count;
}

static marty_err publish_one(marty_bus *bus, room *self, int number, bool wait)
{
    marty_error why = {0};
    marty_message message = {.type = "charge", .id = suite_id("m", number)};
    const marty_message *one = &message;
    marty_publish_options options = {.done = on_done, .user = self, .wait_for_room = wait};
    marty_err err = marty_publish(bus, MARTY_COMMAND, "billing", &one, 1, &options, &why);
    EXPECT(err == MARTY_OK || err == MARTY_E_FULL, "publishing: %s %s", suite_err(err), why.text);
    return err;
}

static void *let_go_soon(void *unused)
{
    (void)unused;
    test_wait_for(suite_never, NULL, 150);
    twist_let_go();
    return NULL;
}

void c24_inflight(void)
{
    /* The wrapper confirms nothing until it is told to: the limit is reached. */
    enum { LIMIT = 8, COUNT = 300 };
    static room self;
    marty_error why = {0};
    marty_bus *bus = suite_open_with(
        suite_wrapped("twist:hold", NULL),
        &(marty_bus_options){
            .service = "billing", .inflight_max = LIMIT, .on_state = on_state, .user = &self});
    marty_bus *other = suite_open("billing", NULL);
    recorder *heard_ = recorder_new(NULL, NULL);
    suite_subscribe(other, MARTY_COMMAND, "charge", heard_, NULL);
    suite_start(other);
    int accepted = 0, full = 0;
    for (int i = 0; i < 4 * LIMIT; i++) {
        publish_one(bus, &self, accepted, false) ? full++ : accepted++;
        EXPECT(in_flight(bus) <= LIMIT, "%lu publishes are in flight, the limit is %d",
               in_flight(bus), LIMIT);
    }
    EXPECT(accepted == LIMIT && full == 3 * LIMIT,
           "with nothing confirmed %d were accepted, %d "
           "refused as FULL; the limit is %d",
           accepted, full, LIMIT);
    pthread_t thread;
    pthread_create(&thread, NULL, let_go_soon, NULL);
    EXPECT(test_wait_for(has_room, &self, 5000), "FULL, and no ROOM followed");
    for (; accepted < COUNT; accepted++) { /* waiting for room: all are taken */
        marty_err err = publish_one(bus, &self, accepted, true);
        EXPECT(err == MARTY_OK, "waiting for room: %s", suite_err(err));
    }
    pthread_join(thread, NULL);
    EXPECT_OK(marty_bus_flush(bus, 10000, &why), &why, "flushing");
    EXPECT(atomic_load(&self.done) == COUNT && atomic_load(&self.stored) == COUNT,
           "%d accepted, %d answered, %d stored", COUNT, atomic_load(&self.done),
           atomic_load(&self.stored));
    recorder_expect(heard_, "m", 0, COUNT, 1);
}

/* ---- C25 */

void c25_pause(void)
{
    static const marty_pattern patterns[] = {MARTY_EVENT, MARTY_COMMAND, MARTY_STREAM};
    static const char *const names[] = {"order.*", "order.pay", "clicks"};
    marty_error why = {0};
    marty_bus *bus = suite_open("billing", NULL), *other = suite_open("control", NULL);
    suite_start(other);
    for (size_t i = 0; i < 3; i++) {
        recorder *heard_ = recorder_new(NULL, NULL);
        marty_subscription *subscription =
            suite_subscribe(bus, patterns[i], names[i], heard_, NULL);
        suite_start(bus);
        const char *to = suite_to(patterns[i], "billing", "clicks");
        suite_publish_many(bus, patterns[i], to, "order.pay", "m", 0, 20, 3);
        recorder_expect(heard_, "m", 0, 20, 1);
        EXPECT_OK(marty_subscription_pause(subscription, true, &why), &why, "pausing");
        suite_publish_many(bus, patterns[i], to, "order.pay", "m", 20, 100, 3);
        recorder_expect_quiet(heard_, 200);
        EXPECT_OK(marty_subscription_pause(subscription, false, &why), &why, "resuming");
        recorder_expect(heard_, "m", 0, 120, 1);
    }
}

void c25_starts_paused(void)
{
    marty_error why = {0};
    marty_bus *bus = suite_open("billing", NULL);
    recorder *heard_ = recorder_new(NULL, NULL);
    marty_subscription *subscription = suite_subscribe(bus, MARTY_EVENT, "order.*", heard_,
                                                       &(marty_subscribe_options){.paused = true});
    suite_start(bus);
    suite_publish_many(bus, MARTY_EVENT, NULL, "order.created", "m", 0, 30, 0);
    recorder_expect_quiet(heard_, 200);
    EXPECT_OK(marty_subscription_pause(subscription, false, &why), &why, "resuming");
    recorder_expect(heard_, "m", 0, 30, 1);
}

/* ---- C33 */

static bool three_are_inside(void *user)
{
    gate *self = user;
    return atomic_load(&self->inside) >= 3;
}

static bool all_are_out(void *user)
{
    return recorder_running(user) == 0;
}

/* All of them came, and no handler is on its way through the gate any more. */
static void shut(gate *self, recorder *heard_, size_t count)
{
    EXPECT(recorder_wait(heard_, count, 15000), "%zu of %zu came", recorder_unique(heard_), count);
    EXPECT(test_wait_for(all_are_out, heard_, 5000), "handlers did not come back");
    atomic_store(&self->open, false);
}

void c33_concurrency(void)
{
    gate self = {0};
    marty_error why = {0};
    marty_bus *bus =
        suite_open_with(NULL, &(marty_bus_options){.service = "billing", .workers = 6});
    recorder *heard_ = recorder_new(wait_at_gate, &self);
    marty_subscription *subscription = suite_subscribe(bus, MARTY_STREAM, "clicks", heard_, NULL);
    suite_start(bus);
    suite_publish_many(bus, MARTY_STREAM, "clicks", "click", "m", 0, 60, 30);
    EXPECT(recorder_wait_total(heard_, 1, 10000), "nothing came");
    recorder_expect_quiet(heard_, 100); /* one at a time */
    EXPECT_OK(marty_subscription_concurrency(subscription, 4, &why), &why, "four lanes");
    atomic_store(&self.open, true);
    shut(&self, heard_, 60);
    suite_publish_many(bus, MARTY_STREAM, "clicks", "click", "m", 60, 60, 30);
    EXPECT(test_wait_for(three_are_inside, &self, 10000),
           "with concurrency 4 only %d handlers ran at once", atomic_load(&self.inside));
    EXPECT_OK(marty_subscription_concurrency(subscription, 1, &why), &why, "one lane");
    atomic_store(&self.open, true);
    shut(&self, heard_, 120);
    atomic_store(&self.most, 0);
    size_t before = recorder_total(heard_);
    suite_publish_many(bus, MARTY_STREAM, "clicks", "click", "m", 120, 30, 30);
    EXPECT(recorder_wait_total(heard_, before + 1, 10000), "nothing came");
    recorder_expect_quiet(heard_, 150);
    atomic_store(&self.open, true);
    recorder_expect(heard_, "m", 0, 150, 1);
    EXPECT(atomic_load(&self.most) == 1, "back at one lane %d handlers ran at once",
           atomic_load(&self.most));
}
