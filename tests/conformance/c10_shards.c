/* SPDX-License-Identifier: Apache-2.0
 * C10, what moves when a second instance joins an ordered stream: of each delivery that the first
 * one keeps, either it is told that it is LOST, and then the message comes again, to whoever has
 * its shard now (brokers that take all shards away and deal them anew may give it to the same one);
 * or it may settle it, and then nobody gets it. So it is for every broker, whether it moves shards
 * at a deadline, keys at once, or nothing at all. */
#include "contracts.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { MANY = 24 };

static struct {
    pthread_mutex_t lock;
    marty_delivery *list[MANY];
    size_t count;
    bool keep;
} kept = {.lock = PTHREAD_MUTEX_INITIALIZER};

static marty_err keep_first(void *user, marty_delivery *delivery, const heard *what)
{
    (void)user, (void)what;
    pthread_mutex_lock(&kept.lock);
    if (kept.keep && kept.count < MANY) {
        kept.list[kept.count++] = marty_delivery_keep(delivery);
    }
    pthread_mutex_unlock(&kept.lock);
    return MARTY_OK;
}

static bool all_are_kept(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&kept.lock);
    bool all = kept.count == MANY;
    pthread_mutex_unlock(&kept.lock);
    return all;
}

/* What the first instance is told of its shards. */
static struct {
    atomic_bool has_some;
    atomic_int_least64_t over_ms; /* when those that it loses are lost, Unix time; 0 = none are */
} shards;

static void note_state(void *user, const marty_state_event *event)
{
    (void)user;
    if (event->state == MARTY_STATE_ASSIGNED) {
        atomic_store(&shards.has_some, true);
    } else if (event->state == MARTY_STATE_REVOKED) {
        atomic_store(&shards.over_ms, event->deadline_ms);
    }
}

static bool are_over(void *unused)
{
    struct timespec now;
    (void)unused;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t over_ms = atomic_load(&shards.over_ms);
    return over_ms && (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 > over_ms + 100;
}

/* What the first one still has is acked; the number of those that it has not. */
static size_t settle_all(bool lost[MANY])
{
    size_t count = 0;
    for (size_t i = 0; i < MANY; i++) {
        marty_err err = marty_ack(kept.list[i]);
        EXPECT(err == MARTY_OK || err == MARTY_E_LOST, "acking what was kept answers %s",
               suite_err(err));
        lost[i] = err == MARTY_E_LOST;
        count += lost[i];
    }
    return count;
}

typedef struct both {
    recorder *ours, *theirs;
    size_t wanted;
} both;

static bool all_came_again(void *user)
{
    const both *self = user;
    return recorder_total(self->ours) + recorder_total(self->theirs) >= self->wanted;
}

void c10_moved_shards(void)
{
    bool lost[MANY];
    marty_bus *first = suite_open_with(
        suite_url("lease=5s"), &(marty_bus_options){.service = "billing", .on_state = note_state});
    recorder *ours = recorder_new(keep_first, NULL);
    recorder *theirs = recorder_new(NULL, NULL);
    kept.keep = true;
    suite_subscribe(first, MARTY_STREAM, "clicks", ours,
                    &(marty_subscribe_options){.concurrency = 4, .credit = 4 * MANY});
    suite_start(first);
    suite_publish_many(first, MARTY_STREAM, "clicks", "click.made", "m", 0, MANY, MANY);
    EXPECT(test_wait_for(all_are_kept, NULL, 20000), "the first instance got %zu of %d", kept.count,
           MANY);
    marty_bus *second = suite_open("billing", "lease=5s");
    suite_subscribe(second, MARTY_STREAM, "clicks", theirs,
                    &(marty_subscribe_options){.concurrency = 4});
    suite_start(second);
    if (atomic_load(&shards.has_some)) {
        EXPECT(test_wait_for(are_over, NULL, 40000),
               "a second instance came, and the first was told of no shard that it loses");
    }
    size_t moved = settle_all(lost);
    both all = {ours, theirs, MANY + moved};
    EXPECT(test_wait_for(all_came_again, &all, 20000), "%zu were lost, and %zu of them came again",
           moved, recorder_total(ours) + recorder_total(theirs) - MANY);
    for (size_t i = 0; i < MANY; i++) {
        const char *id = kept.list[i]->message->id;
        size_t again = recorder_times(theirs, id) + recorder_times(ours, id) - 1;
        EXPECT(again == (lost[i] ? 1 : 0), "%s: who kept it %s, and it came %zu times again", id,
               lost[i] ? "lost it" : "could settle it", again);
    }
    recorder_expect_quiet(theirs, 1000);
    suite_note("%zu of %d lost, %zu went to the other", moved, MANY, recorder_unique(theirs));
    for (size_t i = 0; i < MANY; i++) {
        marty_delivery_release(kept.list[i]);
    }
    suite_close(second);
    suite_close(first);
}
