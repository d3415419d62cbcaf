/* SPDX-License-Identifier: Apache-2.0
 * C07 (groups get all, members share, broadcast reaches each) and C08 (many publishers, many
 * subscribers, every message counted). Instances are buses of this process, and processes. */
#include "contracts.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void c07_groups(void)
{
    marty_bus *sender = suite_open("shop", NULL);
    marty_bus *billing = suite_open("billing", NULL), *shipping = suite_open("shipping", NULL);
    recorder *one = recorder_new(NULL, NULL), *two = recorder_new(NULL, NULL);
    suite_subscribe(billing, MARTY_EVENT, "order.*", one, NULL);
    suite_subscribe(shipping, MARTY_EVENT, "order.*", two, NULL);
    suite_start(billing);
    suite_start(shipping);
    suite_publish_many(sender, MARTY_EVENT, NULL, "order.created", "m", 0, 200, 0);
    recorder_expect(one, "m", 0, 200, 1);
    recorder_expect(two, "m", 0, 200, 1);
}

void c07_stream_groups(void)
{
    marty_bus *sender = suite_open("shop", NULL);
    marty_bus *billing = suite_open("billing", NULL), *shipping = suite_open("shipping", NULL);
    recorder *one = recorder_new(NULL, NULL), *two = recorder_new(NULL, NULL);
    suite_subscribe(billing, MARTY_STREAM, "clicks", one, NULL);
    suite_subscribe(shipping, MARTY_STREAM, "clicks", two, NULL);
    suite_start(billing);
    suite_start(shipping);
    suite_publish_many(sender, MARTY_STREAM, "clicks", "click", "m", 0, 200, 10);
    recorder_expect(one, "m", 0, 200, 1);
    recorder_expect(two, "m", 0, 200, 1);
}

/* Waits a little for the other member to have had its turn, so that neither takes all. */
typedef struct turns {
    recorder *other;
    bool waited;
} turns;

static bool other_has_some(void *user)
{
    return recorder_total(user) > 0;
}

static marty_err wait_for_other(void *user, marty_delivery *delivery, const heard *what)
{
    (void)delivery, (void)what;
    turns *mine = user;
    if (!mine->waited) {
        mine->waited = true;
        test_wait_for(other_has_some, mine->other, 5000);
    }
    return MARTY_OK;
}

static void members_share(marty_pattern pattern, const char *name, int keys)
{
    marty_bus *sender = suite_open("shop", NULL);
    marty_bus *buses[2];
    turns turn[2] = {{0}};
    recorder *each[2];
    for (int i = 0; i < 2; i++) {
        buses[i] = suite_open("billing", NULL);
        each[i] = recorder_new(wait_for_other, &turn[i]);
    }
    turn[0].other = each[1];
    turn[1].other = each[0];
    for (int i = 0; i < 2; i++) {
        suite_subscribe(buses[i], pattern, name, each[i], &(marty_subscribe_options){.credit = 8});
        suite_start(buses[i]);
    }
    const char *to = suite_to(pattern, "billing", name);
    suite_publish_many(sender, pattern, to, pattern == MARTY_EVENT ? "order.created" : "charge",
                       "m", 0, 200, keys);
    int64_t end = test_now_ms() + test_patience(15000);
    while (recorder_total(each[0]) + recorder_total(each[1]) < 200 && test_now_ms() < end) {
        recorder_wait_total(each[0], recorder_total(each[0]) + 1, 20);
    }
    size_t missing = 0, twice = 0;
    for (int i = 0; i < 200; i++) {
        const char *id = suite_id("m", i);
        size_t times = recorder_times(each[0], id) + recorder_times(each[1], id);
        missing += times == 0;
        twice += times > 1;
    }
    EXPECT(missing == 0 && twice == 0,
           "%s: of 200 messages for two members of a group %zu came to neither, %zu more than once",
           suite_pattern_name(pattern), missing, twice);
    EXPECT(recorder_total(each[0]) && recorder_total(each[1]),
           "%s: one member of the group got all (%zu and %zu)", suite_pattern_name(pattern),
           recorder_total(each[0]), recorder_total(each[1]));
    suite_note("%s shared %zu : %zu", suite_pattern_name(pattern), recorder_total(each[0]),
               recorder_total(each[1]));
}

void c07_share_topic(void)
{
    members_share(MARTY_EVENT, "order.*", 0);
}

void c07_share_queue(void)
{
    members_share(MARTY_COMMAND, "charge", 0);
}

void c07_share_stream(void)
{
    members_share(MARTY_STREAM, "clicks", 40);
}

void c07_broadcast(void)
{
    enum { INSTANCES = 3 };
    marty_bus *sender = suite_open("shop", NULL);
    recorder *each[INSTANCES];
    for (int i = 0; i < INSTANCES; i++) {
        marty_bus *bus = suite_open("billing", NULL);
        each[i] = recorder_new(NULL, NULL);
        suite_subscribe(bus, MARTY_BROADCAST, "cache.*", each[i], NULL);
        suite_start(bus);
    }
    for (int i = 0; i < 50; i++) {
        suite_publish(sender, MARTY_BROADCAST, NULL, "cache.clear", suite_id("b", i), NULL, "x");
    }
    for (int i = 0; i < INSTANCES; i++) {
        recorder_expect(each[i], "b", 0, 50, 1);
    }
}

void c07_instance_group(void)
{
    /* MARTY_GROUP_INSTANCE on events: each instance gets all, from now. */
    marty_bus *sender = suite_open("shop", NULL);
    suite_publish_many(sender, MARTY_EVENT, NULL, "order.created", "early", 0, 5, 0);
    recorder *each[2];
    for (int i = 0; i < 2; i++) {
        marty_bus *bus = suite_open("billing", NULL);
        each[i] = recorder_new(NULL, NULL);
        suite_subscribe(bus, MARTY_EVENT, "order.*", each[i],
                        &(marty_subscribe_options){.group = MARTY_GROUP_INSTANCE});
        suite_start(bus);
    }
    suite_publish_many(sender, MARTY_EVENT, NULL, "order.created", "m", 0, 50, 0);
    recorder_expect(each[0], "m", 0, 50, 1);
    recorder_expect(each[1], "m", 0, 50, 1);
}

/* ---- C08 */

enum { PUBLISHERS = 4, SUBSCRIBERS = 3, EACH = 300 };

typedef struct publisher {
    pthread_t thread;
    int number;
} publisher;

static void *publish_some(void *user)
{
    const publisher *self = user;
    char name[16];
    snprintf(name, sizeof name, "p%d", self->number);
    marty_bus *bus = suite_open("shop", NULL);
    suite_publish_many(bus, MARTY_EVENT, NULL, "order.created", name, 0, EACH, 7);
    suite_close(bus);
    return NULL;
}

static void count_all(recorder *const all[], size_t recorders, size_t publishers)
{
    size_t missing = 0, repeated = 0;
    for (size_t p = 0; p < publishers; p++) {
        char name[16];
        snprintf(name, sizeof name, "p%zu", p);
        for (int i = 0; i < EACH; i++) {
            size_t times = 0;
            for (size_t r = 0; r < recorders; r++) {
                times += recorder_times(all[r], suite_id(name, i));
            }
            missing += times == 0;
            repeated += times > 1 ? times - 1 : 0;
        }
    }
    EXPECT(missing == 0, "of %zu messages %zu did not come", publishers * EACH, missing);
    EXPECT(repeated == 0, "of %zu messages, %zu came again though each was acked",
           publishers * EACH, repeated);
    suite_note("%zu messages, %zu duplicates", publishers * EACH, repeated);
}

void c08_threads(void)
{
    recorder *all[SUBSCRIBERS];
    for (int i = 0; i < SUBSCRIBERS; i++) {
        marty_bus *bus = suite_open("billing", NULL);
        all[i] = recorder_new(NULL, NULL);
        suite_subscribe(bus, MARTY_EVENT, "order.*", all[i],
                        &(marty_subscribe_options){.concurrency = 3});
        suite_start(bus);
    }
    publisher publishers[PUBLISHERS];
    for (int i = 0; i < PUBLISHERS; i++) {
        publishers[i].number = i;
        pthread_create(&publishers[i].thread, NULL, publish_some, &publishers[i]);
    }
    for (int i = 0; i < PUBLISHERS; i++) {
        pthread_join(publishers[i].thread, NULL);
    }
    int64_t end = test_now_ms() + test_patience(20000);
    size_t total = 0;
    while (total < PUBLISHERS * EACH && test_now_ms() < end) {
        recorder_wait_total(all[0], recorder_total(all[0]) + 1, 20);
        total = recorder_total(all[0]) + recorder_total(all[1]) + recorder_total(all[2]);
    }
    count_all(all, SUBSCRIBERS, PUBLISHERS);
}

void role_publisher(int count, char *words[])
{
    EXPECT(count == 1, "a publisher needs its number");
    publisher self = {.number = (int)strtol(words[0], NULL, 10)};
    publish_some(&self);
}

static marty_err mark_it(void *user, marty_delivery *delivery, const heard *what)
{
    (void)user, (void)delivery;
    suite_mark("came", what->id);
    return MARTY_OK;
}

static bool is_told_to_stop(void *user)
{
    (void)user;
    return suite_marks("stop") > 0;
}

void role_subscriber(int count, char *words[])
{
    (void)count, (void)words;
    marty_bus *bus = suite_open("billing", NULL);
    recorder *all = recorder_new(mark_it, NULL);
    suite_subscribe(bus, MARTY_EVENT, "order.*", all,
                    &(marty_subscribe_options){.concurrency = 2, .credit = 16});
    suite_start(bus);
    suite_mark("ready", words[0]);
    EXPECT(test_wait_for(is_told_to_stop, NULL, 60000), "nobody said stop");
    suite_close(bus);
}

void c08_processes(void)
{
    test_process subscribers[2], publishers[3];
    for (int i = 0; i < 2; i++) {
        const char *words[] = {i ? "1" : "0", NULL};
        subscribers[i] = suite_spawn("subscriber", words);
    }
    EXPECT(suite_wait_marks("ready", 2, 15000), "the subscribers did not get ready");
    for (int i = 0; i < 3; i++) {
        char number[8];
        snprintf(number, sizeof number, "%d", i);
        const char *words[] = {number, NULL};
        publishers[i] = suite_spawn("publisher", words);
    }
    for (int i = 0; i < 3; i++) {
        suite_join(&publishers[i], 30000);
    }
    bool all = suite_wait_marks("came", 3 * EACH, 20000);
    suite_mark("stop", "now");
    suite_join(&subscribers[0], 15000);
    suite_join(&subscribers[1], 15000);
    size_t unique = suite_marks_unique("came"), total = suite_marks("came");
    EXPECT(all, "of %d messages %zu came", 3 * EACH, unique);
    EXPECT(total == unique, "%zu messages came again though each was acked", total - unique);
    suite_note("%d messages, %zu duplicates", 3 * EACH, total - unique);
}
