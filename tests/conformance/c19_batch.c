/* SPDX-License-Identifier: Apache-2.0
 * C19 (batches out: each message has its outcome, order kept) and C20 (batches in: by count, wait
 * and bytes, each item settled alone). */
#include "contracts.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MANY = 100 };
typedef struct batch {
    marty_message messages[MANY];
    const marty_message *pointers[MANY];
    marty_outcome outcomes[MANY];
    char ids[MANY][32];
    atomic_int dones;
    atomic_size_t done_count;
} batch;

static void fill(batch *self)
{
    memset(self, 0, sizeof *self);
    for (int i = 0; i < MANY; i++) {
        snprintf(self->ids[i], sizeof self->ids[i], "m-%04d", i);
        self->messages[i] = (marty_message){
            .type = "click", .id = self->ids[i], .key = "k", .data = marty_text(self->ids[i])};
        self->pointers[i] = &self->messages[i];
        self->outcomes[i].err = MARTY_E_INTERNAL;
    }
}

static void on_done(void *user, const marty_outcome *outcomes, size_t count)
{
    batch *self = user;
    for (size_t i = 0; i < count; i++) {
        EXPECT(strcmp(outcomes[i].id, self->ids[i]) == 0, "outcome %zu is of %s, not %s", i,
               outcomes[i].id, self->ids[i]);
    }
    atomic_store(&self->done_count, count);
    atomic_fetch_add(&self->dones, 1);
}

static bool is_done(void *user)
{
    batch *self = user;
    return atomic_load(&self->dones) > 0;
}

void c19_outcomes(void)
{
    static batch self;
    fill(&self);
    marty_error why = {0};
    marty_bus *bus = suite_open("billing", NULL);
    recorder *heard_ = recorder_new(NULL, NULL);
    suite_subscribe(bus, MARTY_STREAM, "clicks", heard_, NULL);
    suite_start(bus);
    marty_publish_options options = {.outcomes = self.outcomes, .done = on_done, .user = &self};
    EXPECT_OK(marty_stream_events(bus, "clicks", self.pointers, MANY, &options, &why), &why,
              "publishing a batch with a completion");
    EXPECT(test_wait_for(is_done, &self, 10000), "the completion did not come");
    EXPECT(atomic_load(&self.done_count) == MANY, "it had %zu outcomes, not %d",
           atomic_load(&self.done_count), MANY);
    for (int i = 0; i < MANY; i++) {
        EXPECT(self.outcomes[i].err == MARTY_OK, "message %d: %s", i,
               suite_err(self.outcomes[i].err));
        EXPECT(self.outcomes[i].level >= MARTY_LEVEL_MEMORY, "message %d is stored at no level", i);
        EXPECT(self.outcomes[i].backend && self.outcomes[i].channel &&
                   strcmp(self.outcomes[i].channel, "streams.clicks") == 0,
               "message %d was stored in channel \"%s\"", i,
               self.outcomes[i].channel ? self.outcomes[i].channel : "");
    }
    recorder_expect(heard_, "m", 0, MANY, 1);
    for (size_t i = 0; i < MANY; i++) {
        EXPECT(strcmp(recorder_at(heard_, i).id, self.ids[i]) == 0,
               "delivery %zu is %s: the order "
               "of the batch is lost",
               i, recorder_at(heard_, i).id);
    }
    EXPECT_OK(marty_bus_flush(bus, 5000, &why), &why, "flushing");
    EXPECT(atomic_load(&self.dones) == 1, "the completion came %d times", atomic_load(&self.dones));
}

void c19_partial(void)
{
    /* The wrapper refuses what has the subject "refuse", as a broker with a full disk would. */
    static batch self;
    fill(&self);
    for (int i = 0; i < MANY; i += 7) {
        self.messages[i].subject = "refuse";
    }
    marty_error why = {0};
    marty_bus *bus = suite_open_with(suite_wrapped("twist:refuse", NULL),
                                     &(marty_bus_options){.service = "billing"});
    recorder *heard_ = recorder_new(NULL, NULL);
    suite_subscribe(bus, MARTY_STREAM, "clicks", heard_, NULL);
    suite_start(bus);
    marty_publish_options options = {.outcomes = self.outcomes};
    marty_err err = marty_stream_events(bus, "clicks", self.pointers, MANY, &options, &why);
    EXPECT_ERR(err, MARTY_E_STORAGE, &why, "a batch of which some were refused");
    size_t stored = 0;
    for (int i = 0; i < MANY; i++) {
        marty_err wanted = i % 7 == 0 ? MARTY_E_STORAGE : MARTY_OK;
        EXPECT(self.outcomes[i].err == wanted, "message %d: %s, not %s", i,
               suite_err(self.outcomes[i].err), suite_err(wanted));
        stored += wanted == MARTY_OK;
    }
    EXPECT(recorder_wait(heard_, stored, 10000), "%zu stored, %zu came", stored,
           recorder_unique(heard_));
    recorder_expect_quiet(heard_, 50);
    size_t at = 0;
    for (int i = 0; i < MANY; i++) {
        if (i % 7) {
            EXPECT(strcmp(recorder_at(heard_, at).id, self.ids[i]) == 0,
                   "delivery %zu is %s, %s was next in the batch", at, recorder_at(heard_, at).id,
                   self.ids[i]);
            at++;
        }
    }
}

void c19_too_large(void)
{
    static batch self;
    size_t limit = (size_t)suite_capabilities()->payload_bytes_max;
    if (!limit || limit > 64u << 20) {
        suite_skip("no limit below 64 MiB is known for this backend");
    }
    fill(&self);
    char *bytes = suite_alloc(limit + 1);
    self.messages[5].data = (marty_bytes){bytes, limit + 1};
    marty_error why = {0};
    marty_bus *bus = suite_open("billing", NULL);
    recorder *heard_ = recorder_new(NULL, NULL);
    suite_subscribe(bus, MARTY_STREAM, "clicks", heard_, NULL);
    suite_start(bus);
    marty_publish_options options = {.outcomes = self.outcomes};
    marty_err err = marty_stream_events(bus, "clicks", self.pointers, 10, &options, &why);
    EXPECT_ERR(err, MARTY_E_TOO_LARGE, &why, "a batch with one message over the limit");
    size_t stored = 0;
    for (int i = 0; i < 10; i++) {
        stored += self.outcomes[i].err == MARTY_OK;
    }
    EXPECT(self.outcomes[5].err != MARTY_OK, "the one that is too large is said to be stored");
    suite_publish(bus, MARTY_STREAM, "clicks", "click", "after", "k", "x");
    EXPECT(recorder_wait(heard_, stored + 1, 10000), "%zu came, %zu were stored",
           recorder_unique(heard_), stored + 1);
    recorder_expect_quiet(heard_, 50);
}

/* ---- C20 */

typedef struct batches {
    pthread_mutex_t lock;
    size_t sizes[256], bytes[256], count;
} batches;

static size_t note_batch(batches *self, const marty_delivery *first)
{
    size_t size = 0, bytes = 0;
    for (const marty_delivery *one = first; one; one = one->next) {
        size++;
        bytes += one->message->data.size;
    }
    pthread_mutex_lock(&self->lock);
    if (self->count < 256) {
        self->sizes[self->count] = size;
        self->bytes[self->count++] = bytes;
    }
    pthread_mutex_unlock(&self->lock);
    return size;
}

typedef struct batch_handler {
    batches seen;
    recorder *heard;
    bool odd_fail;
} batch_handler;

static marty_err handle_batch(void *user, marty_delivery *delivery)
{
    batch_handler *self = user;
    note_batch(&self->seen, delivery);
    for (marty_delivery *one = delivery, *next; one; one = next) {
        next = one->next;
        marty_delivery *rest = one->next;
        one->next = NULL;
        recorder_handle(self->heard, one);
        one->next = rest;
        size_t length = strlen(one->message->id);
        bool odd = (one->message->id[length - 1] - '0') % 2 == 1;
        if (self->odd_fail && odd && one->attempt == 1) {
            EXPECT(marty_retry(one, 20, "odd") == MARTY_OK, "retrying one of a batch");
        } else {
            EXPECT(marty_ack(one) == MARTY_OK, "acking one of a batch");
        }
    }
    return MARTY_OK;
}

void c20_each_alone(void)
{
    batch_handler self = {.seen.lock = PTHREAD_MUTEX_INITIALIZER,
                          .heard = recorder_new(NULL, NULL),
                          .odd_fail = true};
    marty_error why = {0};
    marty_bus *bus = suite_open("billing", NULL);
    suite_publish_many(bus, MARTY_COMMAND, "billing", "charge", "m", 0, 40, 0);
    EXPECT_OK(marty_handle_commands(bus, "charge", handle_batch, &self,
                                    &(marty_subscribe_options){.batch_max = 10}, NULL, &why),
              &why, "subscribing in batches");
    suite_start(bus);
    EXPECT(recorder_wait_total(self.heard, 60, 15000), "%zu deliveries came, 60 should",
           recorder_total(self.heard));
    recorder_expect_quiet(self.heard, 100);
    for (int i = 0; i < 40; i++) {
        size_t times = recorder_times(self.heard, suite_id("m", i));
        EXPECT(times == (i % 2 ? 2u : 1u), "%s came %zu times", suite_id("m", i), times);
    }
    size_t largest = 0;
    for (size_t i = 0; i < self.seen.count; i++) {
        EXPECT(self.seen.sizes[i] >= 1 && self.seen.sizes[i] <= 10, "a batch of %zu, at most 10",
               self.seen.sizes[i]);
        largest = self.seen.sizes[i] > largest ? self.seen.sizes[i] : largest;
    }
    EXPECT(largest > 1, "40 messages were there, every batch had one");
    suite_note("%zu batches, largest %zu", self.seen.count, largest);
}

void c20_wait_and_bytes(void)
{
    batch_handler self = {.seen.lock = PTHREAD_MUTEX_INITIALIZER,
                          .heard = recorder_new(NULL, NULL)};
    batch_handler small = {.seen.lock = PTHREAD_MUTEX_INITIALIZER,
                           .heard = recorder_new(NULL, NULL)};
    marty_error why = {0};
    suite_want(MARTY_KIND_STREAM, MARTY_CAN_ORDER_BY_KEY);
    marty_bus *bus = suite_open("billing", NULL);
    EXPECT_OK(marty_handle_commands(
                  bus, "charge", handle_batch, &self,
                  &(marty_subscribe_options){.batch_max = 50, .batch_wait_ms = 400}, NULL, &why),
              &why, "subscribing with a wait");
    EXPECT_OK(marty_process_stream(
                  bus, "clicks", handle_batch, &small,
                  &(marty_subscribe_options){.batch_max = 50, .batch_bytes_max = 2500}, NULL, &why),
              &why, "subscribing with a limit of bytes");
    char kilo[1001];
    memset(kilo, 'x', 1000);
    kilo[1000] = 0;
    for (int i = 0; i < 12; i++) {
        suite_publish(bus, MARTY_STREAM, "clicks", "click", suite_id("b", i), "k", kilo);
    }
    suite_start(bus);
    for (int i = 0; i < 3; i++) {
        suite_publish(bus, MARTY_COMMAND, "billing", "charge", suite_id("m", i), NULL, "x");
    }
    recorder_expect(self.heard, "m", 0, 3, 1);
    EXPECT(self.seen.count <= 2, "3 messages within a wait of 400 ms came in %zu batches",
           self.seen.count);
    recorder_expect(small.heard, "b", 0, 12, 1);
    for (size_t i = 0; i < small.seen.count; i++) {
        EXPECT(small.seen.bytes[i] <= 2500, "a batch of %zu bytes, at most 2500",
               small.seen.bytes[i]);
    }
}

void c20_pull(void)
{
    marty_error why = {0};
    marty_bus *bus = suite_open("billing", NULL);
    marty_subscription *subscription = suite_subscribe(bus, MARTY_COMMAND, "charge", NULL,
                                                       &(marty_subscribe_options){.batch_max = 8});
    suite_start(bus);
    suite_publish_many(bus, MARTY_COMMAND, "billing", "charge", "m", 0, 30, 0);
    bool seen[30] = {false};
    size_t have = 0;
    while (have < 30) {
        marty_delivery *first = NULL;
        EXPECT_OK(marty_receive(subscription, 10000, &first, &why), &why, "pulling, %zu had come",
                  have);
        size_t size = 0;
        for (marty_delivery *one = first; one; one = one->next, size++) {
            long number = strtol(one->message->id + 2, NULL, 10);
            EXPECT(number >= 0 && number < 30 && !seen[number], "%s came again", one->message->id);
            seen[number] = true;
            EXPECT(marty_ack(one) == MARTY_OK, "acking what was pulled");
        }
        EXPECT(size <= 8, "%zu were pulled at once, at most 8", size);
        have += size;
        marty_delivery_release_all(first);
    }
    recorder *with_handler = recorder_new(NULL, NULL);
    marty_subscription *other = suite_subscribe(bus, MARTY_EVENT, "order.*", with_handler, NULL);
    marty_delivery *none = NULL;
    EXPECT_ERR(marty_receive(other, 100, &none, &why), MARTY_E_STATE, &why,
               "pulling where there is a handler");
}
