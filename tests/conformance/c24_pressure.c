/* SPDX-License-Identifier: Apache-2.0
 * C24 (credit bounds what is held, the in-flight limit bounds what is published), C25 (pause and
 * resume), C33 (concurrency changed while running). */
#include "contracts.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
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

void c24_inflight(void)
{
    enum { LIMIT = 8, COUNT = 400 };
    static room self;
    marty_error why = {0};
    marty_bus *bus = suite_open_with(NULL, &(marty_bus_options){.service = "billing",
                                                                .inflight_max = LIMIT,
                                                                .on_state = on_state,
                                                                .user = &self});
    recorder *heard_ = recorder_new(NULL, NULL);
    suite_subscribe(bus, MARTY_COMMAND, "charge", heard_, NULL);
    suite_start(bus);
    int accepted = 0, full = 0;
    for (int i = 0; i < COUNT; i++) {
        marty_message message = {.type = "charge", .id = suite_id("m", accepted)};
        const marty_message *one = &message;
        marty_publish_options options = {.done = on_done, .user = &self};
        marty_err err = marty_publish(bus, MARTY_COMMAND, "billing", &one, 1, &options, &why);
        EXPECT(err == MARTY_OK || err == MARTY_E_FULL, "publishing: %s %s", suite_err(err),
               why.text);
        err ? full++ : accepted++;
        int open = accepted - atomic_load(&self.done);
        EXPECT(open <= LIMIT + 1, "%d publishes are open, the limit is %d", open, LIMIT);
        if (full == 1 && err) {
            EXPECT(test_wait_for(has_room, &self, 10000), "FULL, and no ROOM followed");
        }
    }
    EXPECT_OK(marty_bus_flush(bus, 10000, &why), &why, "flushing");
    EXPECT(atomic_load(&self.done) == accepted && atomic_load(&self.stored) == accepted,
           "%d accepted, %d answered, %d stored", accepted, atomic_load(&self.done),
           atomic_load(&self.stored));
    EXPECT(full > 0, "%d publishes with a limit of %d were never refused as FULL", COUNT, LIMIT);
    suite_note("%d accepted, %d FULL", accepted, full);
    for (int i = accepted; i < accepted + 20; i++) { /* waiting for room: all are taken */
        marty_message message = {.type = "charge", .id = suite_id("m", i)};
        const marty_message *one = &message;
        marty_publish_options options = {.done = on_done, .user = &self, .wait_for_room = true};
        EXPECT_OK(marty_publish(bus, MARTY_COMMAND, "billing", &one, 1, &options, &why), &why,
                  "publishing with a wait for room");
    }
    EXPECT_OK(marty_bus_flush(bus, 10000, &why), &why, "flushing");
    recorder_expect(heard_, "m", 0, accepted + 20, 1);
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
    EXPECT(recorder_wait(heard_, 60, 15000), "%zu of 60 came", recorder_unique(heard_));
    atomic_store(&self.open, false);
    suite_publish_many(bus, MARTY_STREAM, "clicks", "click", "m", 60, 60, 30);
    EXPECT(test_wait_for(three_are_inside, &self, 10000),
           "with concurrency 4 only %d handlers ran at once", atomic_load(&self.inside));
    EXPECT_OK(marty_subscription_concurrency(subscription, 1, &why), &why, "one lane");
    atomic_store(&self.open, true);
    EXPECT(recorder_wait(heard_, 120, 15000), "%zu of 120 came", recorder_unique(heard_));
    atomic_store(&self.open, false);
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
