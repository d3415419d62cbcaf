/* SPDX-License-Identifier: Apache-2.0
 * C12 (what a consumer that is gone had comes again; a slow one keeps what it has) and C13 (acks
 * out of order skip nothing over a restart). */
#include "contracts.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LEASE_MS = 3000, LONGER_MS = 4000 }; /* than a machine stands still, however it is renewed */

#define LONG "lease=1h" /* of the backend, where the subscription asks for less */

typedef struct kept_list {
    marty_delivery *kept[64];
    atomic_size_t begun, count;
} kept_list;

static marty_err keep_all(void *user, marty_delivery *delivery, const heard *what)
{
    (void)what;
    kept_list *self = user;
    marty_delivery *kept = marty_delivery_keep(delivery);
    size_t at = atomic_fetch_add(&self->begun, 1);
    if (at < 64) {
        self->kept[at] = kept;
    }
    atomic_fetch_add(&self->count, 1);
    return MARTY_OK;
}

typedef struct kept_wait {
    kept_list *list;
    size_t count;
} kept_wait;

static bool are_kept(void *user)
{
    const kept_wait *wait = user;
    return atomic_load(&wait->list->count) >= wait->count;
}

void c12_closed(void)
{
    /* An instance that keeps three and is cut off: another one gets them. */
    static const marty_pattern patterns[] = {MARTY_EVENT, MARTY_COMMAND, MARTY_STREAM};
    static const char *const names[] = {"order.*", "order.pay", "clicks"};
    suite_set_keys("lease=3s");
    marty_bus *sender = suite_open("shop", NULL);
    for (size_t i = 0; i < 3; i++) {
        kept_list self = {0};
        marty_bus *first = suite_open("billing", NULL);
        recorder *heard_ = recorder_new(keep_all, &self);
        suite_subscribe(first, patterns[i], names[i], heard_, NULL);
        suite_start(first);
        suite_publish_many(sender, patterns[i], suite_to(patterns[i], "billing", "clicks"),
                           "order.pay", "m", 0, 3, 3);
        EXPECT(test_wait_for(are_kept, &(kept_wait){&self, 3}, 10000), "%zu of 3 came",
               recorder_unique(heard_));
        marty_error why = {0};
        (void)marty_bus_close(first, 1, &why);
        marty_bus_free(first);
        marty_bus *second = suite_open("billing", NULL);
        recorder *again = recorder_new(NULL, NULL);
        suite_subscribe(second, patterns[i], names[i], again, NULL);
        suite_start(second);
        recorder_expect(again, "m", 0, 3, 1);
        suite_close(second);
        for (size_t k = 0; k < 3; k++) {
            marty_delivery_release(self.kept[k]);
        }
    }
}

static marty_err slow(void *user, marty_delivery *delivery, const heard *what)
{
    (void)user, (void)what;
    suite_pass(LONGER_MS * 2); /* the handler's work: two leases long */
    marty_err err = marty_delivery_check(delivery);
    EXPECT(err == MARTY_OK, "after two leases a running handler's delivery is not its own: %s",
           suite_err(err));
    return MARTY_OK;
}

static void slow_handler(const char *keys, uint32_t lease_ms)
{
    suite_set_keys(keys);
    marty_bus *first = suite_open("billing", NULL), *second = suite_open("billing", NULL);
    recorder *heard_ = recorder_new(slow, NULL);
    const marty_subscribe_options asked = {.lease_ms = lease_ms};
    suite_subscribe(first, MARTY_COMMAND, "charge", heard_, &asked);
    suite_start(first);
    suite_publish(first, MARTY_COMMAND, "billing", "charge", "slow", NULL, "x");
    EXPECT(recorder_wait_total(heard_, 1, 10000), "nothing came");
    suite_subscribe(second, MARTY_COMMAND, "charge", heard_, &asked);
    suite_start(second);
    recorder_expect_quiet(heard_, LONGER_MS * 5 / 2);
    suite_close(first);
    suite_close(second);
}

void c12_slow(void)
{
    slow_handler("lease=4s", 0);
}

/* It is renewed by the lease that was asked for, not by the backend's. */
void c12_asked_slow(void)
{
    slow_handler(LONG, LONGER_MS);
}

static marty_err take_and_keep(void *user, marty_delivery *delivery, const heard *what)
{
    (void)user;
    (void)marty_delivery_keep(delivery); /* for ever */
    suite_mark("first", what->id);
    return MARTY_OK;
}

/* With the lease that it asks for, or "0". */
void role_stall(int count, char *words[])
{
    marty_bus *bus = suite_open("billing", NULL);
    marty_subscribe_options asked = {.lease_ms = count ? (uint32_t)strtoul(words[0], NULL, 10) : 0};
    suite_subscribe(bus, MARTY_EVENT, "order.*", recorder_new(take_and_keep, NULL), &asked);
    suite_start(bus);
    suite_mark("ready", "yes");
    test_wait_for(suite_never, NULL, 60000);
}

/* Another process holds three messages and gets that signal: they come to us. */
static void lost_process(int number, const char *keys, uint32_t lease_ms)
{
    char word[16];
    snprintf(word, sizeof word, "%u", lease_ms);
    suite_set_keys(keys);
    marty_bus *bus = suite_open("billing", NULL);
    const char *words[] = {word, NULL};
    test_process process = suite_spawn("stall", words);
    EXPECT(suite_wait_marks("ready", 1, 15000), "the process did not get ready");
    suite_publish_many(bus, MARTY_EVENT, NULL, "order.created", "m", 0, 3, 3);
    EXPECT(suite_wait_marks("first", 3, 15000), "the process got %zu of 3",
           suite_marks_unique("first"));
    test_process_signal(&process, number);
    recorder *again = recorder_new(NULL, NULL);
    suite_subscribe(bus, MARTY_EVENT, "order.*", again,
                    &(marty_subscribe_options){.lease_ms = lease_ms});
    suite_start(bus);
    int64_t began = test_now_ms();
    recorder_expect(again, "m", 0, 3, 1);
    suite_note("came after %lld ms of a lease of %d", (long long)(test_now_ms() - began), LEASE_MS);
    EXPECT(suite_capabilities()->uncounted || recorder_at(again, 0).attempt >= 2,
           "the attempt of what a dead process had is %u", (unsigned)recorder_at(again, 0).attempt);
    test_process_kill(&process);
}

void c12_killed(void)
{
    lost_process(SIGKILL, "lease=3s", 0);
}

void c12_frozen(void)
{
    lost_process(SIGSTOP, "lease=3s", 0);
}

void c12_asked_killed(void)
{
    lost_process(SIGKILL, LONG, LEASE_MS);
}

void c12_asked_frozen(void)
{
    lost_process(SIGSTOP, LONG, LEASE_MS);
}

/* ---- C13 */

static bool has_settled(void *user)
{
    marty_stats stats;
    marty_subscription_stats(user, &stats);
    return stats.unsettled <= 1 && stats.acked >= 19;
}

typedef struct come_wait {
    recorder *heard;
    const char *id;
} come_wait;

static bool has_come(void *user)
{
    const come_wait *wait = user;
    return recorder_times(wait->heard, wait->id) > 0;
}

static void restart_after_acks(marty_pattern pattern, const char *name)
{
    enum { COUNT = 20, OPEN = 6 };
    kept_list self = {0};
    marty_bus *sender = suite_open("shop", NULL);
    marty_bus *bus = suite_open("billing", NULL);
    recorder *first = recorder_new(keep_all, &self), *second = recorder_new(NULL, NULL);
    marty_subscription *subscription =
        suite_subscribe(bus, pattern, name, first, &(marty_subscribe_options){.concurrency = 4});
    suite_start(bus);
    suite_publish_many(sender, pattern, suite_to(pattern, "billing", name), "order.pay", "m", 0,
                       COUNT, COUNT);
    EXPECT(test_wait_for(are_kept, &(kept_wait){&self, COUNT}, 10000), "%zu of %d came",
           recorder_unique(first), COUNT);
    char open[64] = "";
    for (size_t i = COUNT; i-- > 0;) { /* from the last to the first, all but one */
        if (i == OPEN) {
            snprintf(open, sizeof open, "%s", self.kept[i]->message->id);
            continue;
        }
        marty_err err = marty_ack(self.kept[i]);
        EXPECT(err == MARTY_OK, "acking out of order: %s", suite_err(err));
        marty_delivery_release(self.kept[i]);
    }
    EXPECT(test_wait_for(has_settled, subscription, 5000), "19 acks were not through in 5 s");
    marty_error why = {0};
    (void)marty_bus_close(bus, 50, &why);
    marty_bus_free(bus);
    bus = suite_open("billing", NULL);
    suite_subscribe(bus, pattern, name, second, NULL);
    suite_start(bus);
    EXPECT(test_wait_for(has_come, &(come_wait){second, open}, 15000),
           "%s: the one unsettled message %s was skipped", suite_pattern_name(pattern), open);
    while (recorder_wait_total(second, recorder_total(second) + 1, 300)) {
        EXPECT(recorder_total(second) <= COUNT, "more came than there are");
    }
    size_t again = recorder_total(second) - 1;
    if (pattern == MARTY_STREAM) { /* a log may keep its position only: what is above repeats */
        EXPECT(again < COUNT - OPEN, "stream: %zu settled ones came again", again);
        suite_note("%zu settled ones repeated", again);
    } else {
        EXPECT(again == 0, "%s: %zu settled messages came again, among them %s; only %s was open",
               suite_pattern_name(pattern), again, recorder_at(second, 0).id, open);
    }
    marty_delivery_release(self.kept[OPEN]);
    suite_close(bus);
}

/* Nobody may lose what it keeps before it acks, also where its threads get no turn for a second;
 * and what is cut off at the close has come again before the wait for it ends. */
#define HELD "lease=4s"

void c13_topic(void)
{
    suite_set_keys(HELD);
    restart_after_acks(MARTY_EVENT, "order.*");
}

void c13_queue(void)
{
    suite_set_keys(HELD);
    restart_after_acks(MARTY_COMMAND, "order.pay");
}

void c13_stream(void)
{
    suite_set_keys(HELD);
    restart_after_acks(MARTY_STREAM, "clicks");
}
