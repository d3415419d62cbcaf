/* SPDX-License-Identifier: Apache-2.0
 * C10, a key that is stuck with more of it behind it than may be unsettled: the other keys of its
 * subscription go on, none is counted as an attempt, and order holds. Where so many keys are stuck
 * that nothing can go on, that is told, with one of them. */
#include "contracts.h"

#include <jansson.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BEHIND = 200, OTHERS = 100, CREDIT = 64 };

typedef struct block {
    atomic_bool on;
    bool keeps; /* the handler keeps it, else it fails */
    _Atomic(marty_delivery *) kept;
} block;

/* The first of the key is stuck for as long as the block is on. */
static marty_err be_stuck(void *user, marty_delivery *delivery, const heard *what)
{
    block *self = user;
    if (strcmp(what->id, "stuck-0000") != 0 || !atomic_load(&self->on)) {
        return MARTY_OK;
    }
    if (self->keeps) {
        atomic_store(&self->kept, marty_delivery_keep(delivery));
        return MARTY_OK;
    }
    return MARTY_E_FAILED;
}

/* Of the stuck key each came once, in order, at its first attempt; but for the first one. */
static void expect_in_order(recorder *heard_)
{
    int next = 0;
    for (size_t i = 0; i < recorder_total(heard_); i++) {
        heard what = recorder_at(heard_, i);
        if (strcmp(what.id, "stuck-0000") == 0) {
            next = 1;
            continue;
        }
        EXPECT(what.attempt == 1, "%s came at attempt %u and had not failed", what.id,
               what.attempt);
        if (strncmp(what.id, "stuck", 5) == 0) {
            EXPECT(strcmp(what.id, suite_id("stuck", next)) == 0, "%s came after %d others of it",
                   what.id, next);
            next++;
        }
    }
    EXPECT(next == BEHIND + 1, "%d of %d of the stuck key came", next, BEHIND + 1);
}

static size_t came_of(recorder *heard_, const char *name)
{
    size_t count = 0;
    for (size_t i = 0; i < recorder_total(heard_); i++) {
        count += strncmp(recorder_at(heard_, i).id, name, strlen(name)) == 0;
    }
    return count;
}

typedef struct wanted {
    recorder *heard_;
    size_t others;
} wanted;

static bool others_came(void *user)
{
    wanted *self = user;
    return came_of(self->heard_, "other") >= self->others;
}

static void let_go(block *self)
{
    atomic_store(&self->on, false);
    if (self->keeps) {
        marty_err err = marty_ack(self->kept);
        EXPECT(err == MARTY_OK, "acking what was kept: %s", suite_err(err));
        marty_delivery_release(self->kept);
    }
}

static void stuck(marty_pattern pattern, const char *name, const char *type, bool keeps)
{
    block self = {.keeps = keeps};
    atomic_store(&self.on, true);
    marty_bus *bus = suite_open_ordered("billing");
    recorder *heard_ = recorder_new(be_stuck, &self);
    const char *to = suite_to(pattern, "billing", name);
    suite_subscribe(bus, pattern, name, heard_,
                    &(marty_subscribe_options){
                        .order = MARTY_ORDER_KEY,
                        .concurrency = 4,
                        .credit = CREDIT,
                        .retry = {.attempts = UINT32_MAX, .first_ms = 300, .max_ms = 300}});
    suite_publish_many(bus, pattern, to, type, "stuck", 0, BEHIND + 1, 1);
    for (int i = 0; i < OTHERS; i++) {
        char key[16];
        snprintf(key, sizeof key, "o%d", i % 7);
        suite_publish(bus, pattern, to, type, suite_id("other", i), key, "x");
    }
    suite_start(bus);
    wanted all = {heard_, OTHERS};
    EXPECT(test_wait_for(others_came, &all, 20000),
           "behind a key that is stuck with %d of it, %zu of %d of other keys came (credit %d)",
           BEHIND, came_of(heard_, "other"), OTHERS, CREDIT);
    EXPECT(came_of(heard_, "stuck") == recorder_times(heard_, "stuck-0000"),
           "a message overtook the one of its key that is stuck");
    let_go(&self);
    EXPECT(recorder_wait(heard_, BEHIND + 1 + OTHERS, 30000), "then %zu of %d came",
           recorder_unique(heard_), BEHIND + 1 + OTHERS);
    expect_in_order(heard_);
}

void c10_stuck_stream(void)
{
    stuck(MARTY_STREAM, "clicks", "click", false);
}

void c10_stuck_topic(void)
{
    stuck(MARTY_EVENT, "order.*", "order.created", false);
}

void c10_stuck_queue(void)
{
    stuck(MARTY_COMMAND, "charge", "charge", false);
}

void c10_stuck_kept(void)
{
    stuck(MARTY_STREAM, "clicks", "click", true);
}

/* ---- nothing helps */
typedef struct told {
    atomic_bool stalled;
    char text[256];
} told;

static void on_state(void *user, const marty_state_event *event)
{
    told *self = user;
    if (event->state == MARTY_STATE_STALLED && !atomic_load(&self->stalled)) {
        snprintf(self->text, sizeof self->text, "%s", event->text);
        atomic_store(&self->stalled, true);
    }
}

static bool is_told(void *user)
{
    return atomic_load(&((told *)user)->stalled);
}

static marty_err always_fail(void *user, marty_delivery *delivery, const heard *what)
{
    (void)delivery, (void)what;
    return atomic_load((atomic_bool *)user) ? MARTY_E_FAILED : MARTY_OK;
}

static void expect_stalled(marty_bus *bus)
{
    marty_message *report = NULL;
    marty_error why = {0};
    EXPECT_OK(marty_bus_report(bus, MARTY_REPORT_SUBSCRIPTIONS, &report, &why), &why, "report");
    json_t *root = json_loadb(report->data.data, report->data.size, 0, NULL);
    const json_t *one = json_array_get(json_object_get(root, "subscriptions"), 0);
    const char *state = json_string_value(json_object_get(one, "state"));
    const char *key = json_string_value(json_object_get(one, "stuck_key"));
    EXPECT(state && strcmp(state, "stalled") == 0, "the report says state \"%s\"",
           state ? state : "");
    EXPECT(key && key[0] == 'k', "the report says stuck_key \"%s\"", key ? key : "");
    json_decref(root);
    marty_message_unref(report);
}

void c10_stalled(void)
{
    enum { KEYS = 6, EACH = 4 };
    told self = {.text = ""};
    atomic_bool failing;
    atomic_init(&failing, true);
    marty_bus *bus = suite_open_with(
        NULL, &(marty_bus_options){.service = "billing", .on_state = on_state, .user = &self});
    recorder *heard_ = recorder_new(always_fail, &failing);
    suite_subscribe(bus, MARTY_STREAM, "clicks", heard_,
                    &(marty_subscribe_options){
                        .concurrency = 2,
                        .credit = 4,
                        .retry = {.attempts = UINT32_MAX, .first_ms = 300, .max_ms = 300}});
    suite_publish_many(bus, MARTY_STREAM, "clicks", "click", "m", 0, KEYS * EACH, KEYS);
    suite_start(bus);
    EXPECT(test_wait_for(is_told, &self, 20000), "no state STALLED in 20 s");
    EXPECT(strstr(self.text, "key \"k"), "it names no key: %s", self.text);
    expect_stalled(bus);
    atomic_store(&failing, false);
    EXPECT(recorder_wait(heard_, KEYS * EACH, 20000), "then %zu of %d came",
           recorder_unique(heard_), KEYS * EACH);
}
