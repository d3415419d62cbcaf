/* SPDX-License-Identifier: Apache-2.0
 * What handlers saw: every delivery in the order in which it began, counted by id. One mutex; waits
 * are for a count, with a deadline. Grows without end: a case hears some thousands. */
#include "suite.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BUCKETS = 16384 };
struct recorder {
    recorder_answer answer;
    void *user;
    pthread_mutex_t lock;
    pthread_cond_t more;
    heard *all;
    size_t *next_same; /* of each: 1 + index of an older one in its bucket */
    size_t total, room, unique, running, most;
    size_t first[BUCKETS];
};

recorder *recorder_new(recorder_answer answer, void *user)
{
    recorder *self = suite_alloc(sizeof *self);
    pthread_condattr_t monotonic;
    if (pthread_condattr_init(&monotonic) != 0) {
        abort();
    }
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&self->lock, NULL);
    pthread_cond_init(&self->more, &monotonic);
    self->answer = answer;
    self->user = user;
    return self;
}

static size_t bucket_of(const char *id)
{
    uint32_t hash = 2166136261u;
    for (; *id; id++) {
        hash = (hash ^ (unsigned char)*id) * 16777619u;
    }
    return hash % BUCKETS;
}

/* Lock held. */
static size_t times(const recorder *self, const char *id)
{
    size_t count = 0;
    for (size_t at = self->first[bucket_of(id)]; at; at = self->next_same[at - 1]) {
        count += strcmp(self->all[at - 1].id, id) == 0;
    }
    return count;
}

static void grow(recorder *self)
{
    if (self->total < self->room) {
        return;
    }
    self->room = self->room ? self->room * 2 : 256;
    self->all = realloc(self->all, self->room * sizeof *self->all);
    self->next_same = realloc(self->next_same, self->room * sizeof *self->next_same);
    if (!self->all || !self->next_same) {
        abort();
    }
}

static heard describe(const marty_delivery *delivery)
{
    const marty_message *message = delivery->message;
    heard what = {.size = message->data.size,
                  .attempt = delivery->attempt,
                  .at_ms = test_now_ms(),
                  .expires_us = message->expires_us,
                  .bus = delivery->bus};
    snprintf(what.id, sizeof what.id, "%s", message->id);
    snprintf(what.type, sizeof what.type, "%s", message->type);
    snprintf(what.key, sizeof what.key, "%s", message->key ? message->key : "");
    snprintf(what.body, sizeof what.body, "%.*s",
             (int)(message->data.size < 63 ? message->data.size : 63),
             message->data.size ? (const char *)message->data.data : "");
    return what;
}

static heard record(recorder *self, const marty_delivery *delivery)
{
    heard what = describe(delivery);
    pthread_mutex_lock(&self->lock);
    grow(self);
    self->unique += times(self, what.id) == 0;
    size_t bucket = bucket_of(what.id);
    self->all[self->total] = what;
    self->next_same[self->total] = self->first[bucket];
    self->first[bucket] = ++self->total;
    self->running++;
    self->most = self->running > self->most ? self->running : self->most;
    pthread_cond_broadcast(&self->more);
    pthread_mutex_unlock(&self->lock);
    return what;
}

static void finished(recorder *self, size_t count)
{
    pthread_mutex_lock(&self->lock);
    self->running -= count;
    pthread_mutex_unlock(&self->lock);
}

marty_err recorder_handle(void *recorder_, marty_delivery *delivery)
{
    recorder *self = recorder_;
    marty_err err = MARTY_OK;
    for (marty_delivery *one = delivery, *next; one; one = next) {
        next = one->next;
        heard what = record(self, one);
        err = self->answer ? self->answer(self->user, one, &what) : MARTY_OK;
        finished(self, 1);
        if (next && err) {
            marty_settle(one, MARTY_SETTLE_RETRY, 0, "answered so in a batch");
            err = MARTY_OK;
        }
    }
    return err;
}

size_t recorder_total(recorder *self)
{
    pthread_mutex_lock(&self->lock);
    size_t total = self->total;
    pthread_mutex_unlock(&self->lock);
    return total;
}

size_t recorder_unique(recorder *self)
{
    pthread_mutex_lock(&self->lock);
    size_t unique = self->unique;
    pthread_mutex_unlock(&self->lock);
    return unique;
}

size_t recorder_duplicates(recorder *self)
{
    pthread_mutex_lock(&self->lock);
    size_t duplicates = self->total - self->unique;
    pthread_mutex_unlock(&self->lock);
    return duplicates;
}

size_t recorder_times(recorder *self, const char *id)
{
    pthread_mutex_lock(&self->lock);
    size_t count = times(self, id);
    pthread_mutex_unlock(&self->lock);
    return count;
}

heard recorder_at(recorder *self, size_t index)
{
    pthread_mutex_lock(&self->lock);
    if (index >= self->total) {
        suite_fail("delivery %zu was looked for, only %zu came", index, self->total);
    }
    heard what = self->all[index];
    pthread_mutex_unlock(&self->lock);
    return what;
}

size_t recorder_running(recorder *self)
{
    pthread_mutex_lock(&self->lock);
    size_t running = self->running;
    pthread_mutex_unlock(&self->lock);
    return running;
}

size_t recorder_most_at_once(recorder *self)
{
    pthread_mutex_lock(&self->lock);
    size_t most = self->most;
    pthread_mutex_unlock(&self->lock);
    return most;
}

static bool wait_exactly(recorder *self, const size_t *counter, size_t wanted, int64_t limit_ms)
{
    int64_t end = test_now_ms() + limit_ms;
    struct timespec until = {.tv_sec = end / 1000, .tv_nsec = end % 1000 * 1000000};
    pthread_mutex_lock(&self->lock);
    int waited = 0;
    while (*counter < wanted && waited == 0) {
        waited = pthread_cond_timedwait(&self->more, &self->lock, &until);
    }
    bool reached = *counter >= wanted;
    pthread_mutex_unlock(&self->lock);
    return reached;
}

static bool wait_until(recorder *self, const size_t *counter, size_t wanted, int64_t limit_ms)
{
    return wait_exactly(self, counter, wanted, test_patience(limit_ms));
}

bool recorder_wait(recorder *self, size_t unique, int64_t limit_ms)
{
    return wait_until(self, &self->unique, unique, limit_ms);
}

bool recorder_wait_total(recorder *self, size_t total, int64_t limit_ms)
{
    return wait_until(self, &self->total, total, limit_ms);
}

void recorder_expect(recorder *self, const char *name, int from, int count, size_t wanted)
{
    recorder_wait_total(self, (size_t)count * wanted, 15000);
    int missing = 0, extra = 0;
    char first_missing[64] = "", first_extra[64] = "";
    for (int i = 0; i < count; i++) {
        const char *id = suite_id(name, from + i);
        size_t have = recorder_times(self, id);
        if (have < wanted && missing++ == 0) {
            snprintf(first_missing, sizeof first_missing, "%s (%zu times)", id, have);
        }
        if (have > wanted && extra++ == 0) {
            snprintf(first_extra, sizeof first_extra, "%s (%zu times)", id, have);
        }
    }
    EXPECT(missing == 0, "of %d messages %d came too seldom, first %s, wanted %zu times", count,
           missing, first_missing, wanted);
    EXPECT(extra == 0, "of %d messages %d came too often, first %s, wanted %zu times", count, extra,
           first_extra, wanted);
    size_t total = recorder_total(self);
    for (size_t i = 0; total > (size_t)count * wanted && i < total; i++) {
        heard what = recorder_at(self, i);
        bool ours = false;
        for (int k = 0; k < count && !ours; k++) {
            ours = strcmp(what.id, suite_id(name, from + k)) == 0;
        }
        EXPECT(ours, "message %s came, which nobody should get here", what.id);
    }
}

void recorder_expect_quiet(recorder *self, int64_t quiet_ms)
{
    size_t before = recorder_total(self);
    if (wait_exactly(self, &self->total, before + 1, quiet_ms)) {
        heard what = recorder_at(self, before);
        suite_fail("%s came once more (attempt %u), after %zu deliveries nothing should", what.id,
                   (unsigned)what.attempt, before);
    }
}
