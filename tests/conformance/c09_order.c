/* SPDX-License-Identifier: Apache-2.0
 * C09 (order per key while keys run side by side) and C10 (what an unsettled message blocks). */
#include "contracts.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEYS = 8, PER_KEY = 40 };

static int number_of(const char *id)
{
    const char *dash = strrchr(id, '-');
    return dash ? (int)strtol(dash + 1, NULL, 10) : -1;
}

/* For each key, the first time that each message was heard must be in the order of its number. */
static void expect_order(recorder *heard_)
{
    int last[64];
    for (size_t k = 0; k < 64; k++) {
        last[k] = -1;
    }
    size_t total = recorder_total(heard_);
    for (size_t i = 0; i < total; i++) {
        heard what = recorder_at(heard_, i);
        int key = (int)strtol(what.key + 1, NULL, 10), number = number_of(what.id);
        EXPECT(key >= 0 && key < 64, "%s came with key \"%s\"", what.id, what.key);
        EXPECT(number >= last[key], "of key %s number %d came after number %d", what.key, number,
               last[key]);
        last[key] = number;
    }
}

/* Each handler waits until another runs too, once: proof that keys run side by side. */
typedef struct meeting {
    atomic_int here;
    atomic_bool met;
} meeting;

static bool have_met(void *user)
{
    meeting *self = user;
    if (atomic_load(&self->here) > 1) {
        atomic_store(&self->met, true);
    }
    return atomic_load(&self->met);
}

static marty_err meet(void *user, marty_delivery *delivery, const heard *what)
{
    (void)delivery, (void)what;
    meeting *self = user;
    atomic_fetch_add(&self->here, 1);
    test_wait_for(have_met, self, 5000);
    atomic_fetch_sub(&self->here, 1);
    return MARTY_OK;
}

void c09_keys(void)
{
    meeting self = {0};
    marty_bus *bus = suite_open("billing", NULL);
    recorder *heard_ = recorder_new(meet, &self);
    /* credit for all of them: a log may bring one shard's first, and two keys may share a lane */
    suite_subscribe(bus, MARTY_STREAM, "clicks", heard_,
                    &(marty_subscribe_options){.concurrency = 4, .credit = KEYS * PER_KEY});
    suite_start(bus);
    suite_publish_many(bus, MARTY_STREAM, "clicks", "click", "m", 0, KEYS * PER_KEY, KEYS);
    recorder_expect(heard_, "m", 0, KEYS * PER_KEY, 1);
    expect_order(heard_);
    EXPECT(atomic_load(&self.met), "with concurrency 4 and %d keys no two handlers ran at once",
           KEYS);
    suite_note("%zu handlers at once", recorder_most_at_once(heard_));
}

void c09_instances(void)
{
    /* Two instances record into one list: order per key holds over both. */
    recorder *heard_ = recorder_new(NULL, NULL);
    marty_bus *buses[2];
    for (int i = 0; i < 2; i++) {
        buses[i] = suite_open("billing", NULL);
        suite_subscribe(buses[i], MARTY_STREAM, "clicks", heard_,
                        &(marty_subscribe_options){.concurrency = 2, .credit = 16});
        suite_start(buses[i]);
    }
    suite_publish_many(buses[0], MARTY_STREAM, "clicks", "click", "m", 0, KEYS * PER_KEY, KEYS);
    recorder_expect(heard_, "m", 0, KEYS * PER_KEY, 1);
    expect_order(heard_);
    size_t first = 0;
    for (size_t i = 0; i < recorder_total(heard_); i++) {
        first += recorder_at(heard_, i).bus == buses[0];
    }
    suite_note("%zu : %zu", first, KEYS * PER_KEY - first);
}

/* Message 8 (the second of key k0) fails twice. */
static marty_err fail_twice(void *user, marty_delivery *delivery, const heard *what)
{
    (void)user;
    bool bad = number_of(what->id) == KEYS && delivery->attempt <= 2;
    return bad ? MARTY_E_FAILED : MARTY_OK;
}

void c09_retry_keeps_order(void)
{
    marty_bus *bus = suite_open("billing", NULL);
    recorder *heard_ = recorder_new(fail_twice, NULL);
    suite_subscribe(
        bus, MARTY_STREAM, "clicks", heard_,
        &(marty_subscribe_options){.concurrency = 3,
                                   .retry = {.first_ms = 1500, .max_ms = 1500, .no_jitter = true}});
    suite_start(bus);
    suite_publish_many(bus, MARTY_STREAM, "clicks", "click", "m", 0, KEYS * 10, KEYS);
    EXPECT(recorder_wait(heard_, KEYS * 10, 20000), "%zu of %d came", recorder_unique(heard_),
           KEYS * 10);
    EXPECT(recorder_wait_total(heard_, KEYS * 10 + 2, 15000), "the failing message ran %zu times",
           recorder_times(heard_, suite_id("m", KEYS)));
    expect_order(heard_);
    size_t failing = 0, others_between = 0, total = recorder_total(heard_);
    for (size_t i = 0; i < total; i++) {
        heard what = recorder_at(heard_, i);
        failing += number_of(what.id) == KEYS;
        others_between += failing > 0 && failing < 3 && strcmp(what.key, "k0") != 0;
    }
    EXPECT(failing == 3, "the message that fails twice ran %zu times, not 3", failing);
    EXPECT(others_between > 0, "while one key waited for its retry no other key went on");
    suite_note("%zu of other keys meanwhile", others_between);
}

/* Batches that have several of a key, of which not the first is put off, once for each batch and
 * each message: what stands behind it in the batch comes again behind it. */
enum { IN_BATCHES = 96, OF_KEYS = 3 };
typedef struct in_batches {
    pthread_mutex_t lock;
    bool put_off[IN_BATCHES], done[IN_BATCHES];
    int awaited[OF_KEYS]; /* the one that was put off; -1 = none */
    int count, overtook, overtaken, times;
} in_batches;

/* Of one key, in one batch; with the lock held. */
static void handle_key(in_batches *self, marty_delivery *first, int key)
{
    int before = 0;
    bool behind = false; /* one that was put off now */
    for (marty_delivery *one = first; one; one = one->next) {
        int number = number_of(one->message->id), *awaited = &self->awaited[key];
        if (number % OF_KEYS != key) {
            continue;
        }
        if (!behind && *awaited >= 0 && number > *awaited) {
            self->overtook = number;
            self->overtaken = *awaited;
        }
        *awaited = !behind && number == *awaited ? -1 : *awaited;
        if (!behind && before && !self->put_off[number] && number % 4 == 3) {
            EXPECT(marty_retry(one, 30, "later") == MARTY_OK, "retrying one of a batch");
            self->put_off[number] = behind = true;
            *awaited = number;
            self->times++;
        }
        self->count += !behind && !self->done[number];
        self->done[number] = self->done[number] || !behind;
        before++;
    }
}

static marty_err put_some_off(void *user, marty_delivery *first)
{
    in_batches *self = user;
    pthread_mutex_lock(&self->lock);
    for (int key = 0; key < OF_KEYS; key++) {
        handle_key(self, first, key);
    }
    pthread_mutex_unlock(&self->lock);
    return MARTY_OK;
}

static bool all_are_done(void *user)
{
    in_batches *self = user;
    pthread_mutex_lock(&self->lock);
    bool all = self->count == IN_BATCHES;
    pthread_mutex_unlock(&self->lock);
    return all;
}

void c09_batches(void)
{
    in_batches self = {.lock = PTHREAD_MUTEX_INITIALIZER, .awaited = {-1, -1, -1}};
    marty_error why = {0};
    marty_bus *bus = suite_open("billing", NULL);
    suite_publish_many(bus, MARTY_STREAM, "clicks", "click", "m", 0, IN_BATCHES, OF_KEYS);
    marty_subscribe_options options = {.batch_max = 12, .batch_wait_ms = 50, .concurrency = 2};
    EXPECT_OK(marty_process_stream(bus, "clicks", put_some_off, &self, &options, NULL, &why), &why,
              "subscribing in batches");
    suite_start(bus);
    bool all = test_wait_for(all_are_done, &self, 20000);
    EXPECT(all, "%d of %d were done with", self.count, IN_BATCHES);
    EXPECT(!self.overtook, "number %d came while %d of its key waited to be tried again",
           self.overtook, self.overtaken);
    EXPECT(self.times > 0, "no batch had several of a key");
    suite_note("%d put off", self.times);
}

static void order_of(marty_pattern pattern, const char *name, const char *type)
{
    recorder *heard_ = recorder_new(NULL, NULL);
    marty_bus *buses[2];
    for (int i = 0; i < 2; i++) {
        buses[i] = suite_open_ordered("billing");
        suite_subscribe(
            buses[i], pattern, name, heard_,
            &(marty_subscribe_options){.concurrency = 3, .order = MARTY_ORDER_KEY, .credit = 16});
        suite_start(buses[i]);
    }
    suite_publish_many(buses[0], pattern, suite_to(pattern, "billing", NULL), type, "m", 0,
                       KEYS * PER_KEY, KEYS);
    recorder_expect(heard_, "m", 0, KEYS * PER_KEY, 1);
    expect_order(heard_);
}

void c09_topic(void)
{
    order_of(MARTY_EVENT, "order.*", "order.created");
}

void c09_queue(void)
{
    order_of(MARTY_COMMAND, "charge", "charge");
}

/* ---- C10 */

typedef struct holder {
    pthread_mutex_t lock;
    marty_delivery *kept;
} holder;

/* Keeps the first delivery that is not of another key, unsettled. */
static marty_err keep_first(void *user, marty_delivery *delivery, const heard *what)
{
    holder *self = user;
    pthread_mutex_lock(&self->lock);
    if (!self->kept && strncmp(what->id, "other", 5) != 0) {
        self->kept = marty_delivery_keep(delivery);
    }
    pthread_mutex_unlock(&self->lock);
    return MARTY_OK;
}

static void let_go(holder *self)
{
    pthread_mutex_lock(&self->lock);
    EXPECT(self->kept, "nothing was kept");
    marty_err err = marty_ack(self->kept);
    EXPECT(err == MARTY_OK, "acking a kept delivery: %s", suite_err(err));
    marty_delivery_release(self->kept);
    pthread_mutex_unlock(&self->lock);
}

void c10_ordered_blocks(void)
{
    holder self = {.lock = PTHREAD_MUTEX_INITIALIZER};
    marty_bus *bus = suite_open("billing", NULL);
    recorder *heard_ = recorder_new(keep_first, &self);
    suite_subscribe(bus, MARTY_STREAM, "clicks", heard_,
                    &(marty_subscribe_options){.concurrency = 3});
    suite_start(bus);
    suite_publish_many(bus, MARTY_STREAM, "clicks", "click", "blocked", 0, 5, 1);
    suite_publish(bus, MARTY_STREAM, "clicks", "click", "other-0000", "k8", "x");
    suite_publish(bus, MARTY_STREAM, "clicks", "click", "other-0001", "k9", "x");
    EXPECT(recorder_wait(heard_, 3, 10000),
           "the first of a key is kept; of it and two of other "
           "keys %zu came",
           recorder_unique(heard_));
    recorder_expect_quiet(heard_, 150);
    let_go(&self);
    EXPECT(recorder_wait(heard_, 7, 10000), "after the ack %zu of 7 came", recorder_unique(heard_));
    EXPECT(recorder_duplicates(heard_) == 0, "%zu came twice", recorder_duplicates(heard_));
    expect_order(heard_);
}

void c10_unordered_goes_on(void)
{
    holder self = {.lock = PTHREAD_MUTEX_INITIALIZER};
    marty_bus *bus = suite_open("billing", NULL);
    recorder *heard_ = recorder_new(keep_first, &self);
    suite_subscribe(bus, MARTY_EVENT, "order.*", heard_, NULL);
    suite_start(bus);
    suite_publish_many(bus, MARTY_EVENT, NULL, "order.created", "m", 0, 20, 1);
    recorder_expect(heard_, "m", 0, 20, 1);
    let_go(&self);
    recorder_expect_quiet(heard_, 100);
}
