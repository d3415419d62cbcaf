/* SPDX-License-Identifier: Apache-2.0
 * C42: who leaves a group may still settle what it has. The last ack of a handler that runs while
 * its subscription is stopped counts, and so does that of a kept delivery; what was not begun is
 * another's at once, uncounted. Also where two subscriptions share one place at the broker. */
#include "contracts.h"

#include <stdatomic.h>
#include <string.h>

typedef struct leaver {
    atomic_bool open;
    atomic_size_t begun;
    marty_delivery *_Atomic kept;
} leaver;

static bool is_open(void *user)
{
    leaver *self = user;
    return atomic_load(&self->open);
}

static marty_err work_until_told(void *user, marty_delivery *delivery, const heard *what)
{
    (void)delivery, (void)what;
    leaver *self = user;
    atomic_fetch_add(&self->begun, 1);
    EXPECT(test_wait_for(is_open, self, 30000), "nobody opened the gate");
    return MARTY_OK;
}

static marty_err keep_one(void *user, marty_delivery *delivery, const heard *what)
{
    (void)what;
    leaver *self = user;
    marty_delivery *none = NULL;
    if (atomic_load(&self->kept)) {
        return MARTY_E_UNAVAILABLE;
    }
    (void)atomic_compare_exchange_strong(&self->kept, &none, marty_delivery_keep(delivery));
    return MARTY_OK;
}

static bool one_is_kept(void *user)
{
    leaver *self = user;
    return atomic_load(&self->kept) != NULL;
}

typedef struct place {
    marty_pattern pattern;
    const char *name, *to;
} place;

static const place places[] = {{MARTY_EVENT, "order.*", NULL},
                               {MARTY_COMMAND, "order.pay", "billing"},
                               {MARTY_STREAM, "clicks", "clicks"}};

static marty_subscription *listen(marty_bus *bus, const place *at, recorder *heard_)
{
    return suite_subscribe(bus, at->pattern, at->name, heard_,
                           &(marty_subscribe_options){.credit = 4});
}

/* All but the first come to another instance, as first attempts where the broker can. */
static void expect_others(const place *at, recorder *first, int count)
{
    marty_bus *bus = suite_open("billing", NULL);
    recorder *rest = recorder_new(NULL, NULL);
    suite_subscribe(bus, at->pattern, at->name, rest, NULL);
    suite_start(bus);
    heard done = recorder_at(first, 0);
    EXPECT(recorder_wait(rest, (size_t)count - 1, 15000), "of the %d left %zu came to another",
           count - 1, recorder_unique(rest));
    recorder_expect_quiet(rest, 300);
    EXPECT(recorder_times(rest, done.id) == 0,
           "%s was acked by who left, and came again to another", done.id);
    EXPECT(recorder_total(rest) == (size_t)count - 1, "%zu came, %d were left",
           recorder_total(rest), count - 1);
    suite_close(bus);
}

void c42_last_ack(void)
{
    enum { COUNT = 6 };
    marty_bus *sender = suite_open("shop", NULL);
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        leaver self = {0};
        marty_error why = {0};
        marty_bus *bus = suite_open("billing", NULL);
        recorder *heard_ = recorder_new(work_until_told, &self);
        marty_subscription *subscription = listen(bus, &places[i], heard_);
        suite_start(bus);
        suite_publish_many(sender, places[i].pattern, places[i].to, "order.pay", "m", 0, COUNT, 3);
        EXPECT(recorder_wait_total(heard_, 1, 10000), "nothing came");
        marty_subscription_stop(subscription);
        recorder_expect_quiet(heard_, 100);
        atomic_store(&self.open, true);
        EXPECT_OK(marty_unsubscribe(subscription, 10000, &why), &why, "unsubscribing");
        EXPECT(recorder_total(heard_) == 1, "%zu were handled, one ran when it was stopped",
               recorder_total(heard_));
        expect_others(&places[i], heard_, COUNT);
        suite_close(bus);
    }
}

void c42_kept_ack(void)
{
    enum { COUNT = 6 };
    marty_bus *sender = suite_open("shop", NULL);
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        leaver self = {0};
        marty_error why = {0};
        marty_bus *bus = suite_open("billing", NULL);
        recorder *heard_ = recorder_new(keep_one, &self);
        marty_subscription *subscription = listen(bus, &places[i], heard_);
        suite_start(bus);
        suite_publish_many(sender, places[i].pattern, places[i].to, "order.pay", "m", 0, COUNT, 3);
        EXPECT(test_wait_for(one_is_kept, &self, 10000), "nothing came");
        EXPECT_OK(marty_unsubscribe(subscription, 10000, &why), &why, "unsubscribing");
        marty_delivery *kept = atomic_load(&self.kept);
        EXPECT(marty_ack(kept) == MARTY_OK, "what was kept could not be acked after unsubscribing");
        marty_delivery_release(kept);
        expect_others(&places[i], heard_, COUNT);
        suite_close(bus);
    }
}

/* Two handlers of one group on one channel: the first that is stopped still runs when the second
 * leaves, too. */
void c42_shared_leave(void)
{
    leaver self = {0};
    marty_error why = {0};
    marty_bus *sender = suite_open("shop", NULL), *bus = suite_open("billing", NULL);
    recorder *slow = recorder_new(work_until_told, &self), *quick = recorder_new(NULL, NULL);
    marty_subscription *first = suite_subscribe(bus, MARTY_EVENT, "order.paid", slow, NULL);
    marty_subscription *second = suite_subscribe(bus, MARTY_EVENT, "order.sent", quick, NULL);
    suite_start(bus);
    suite_publish(sender, MARTY_EVENT, NULL, "order.paid", "slow", NULL, "x");
    EXPECT(recorder_wait_total(slow, 1, 10000), "nothing came");
    marty_subscription_stop(first);
    suite_publish(sender, MARTY_EVENT, NULL, "order.sent", "quick", NULL, "x");
    EXPECT(recorder_wait_total(quick, 1, 10000), "one stopped, and the other gets nothing");
    EXPECT_OK(marty_unsubscribe(second, 10000, &why), &why, "unsubscribing the second");
    atomic_store(&self.open, true);
    EXPECT_OK(marty_unsubscribe(first, 10000, &why), &why, "unsubscribing the first");
    marty_bus *other = suite_open("billing", NULL);
    recorder *rest = recorder_new(NULL, NULL);
    suite_subscribe(other, MARTY_EVENT, "order.*", rest, NULL);
    suite_start(other);
    suite_publish(sender, MARTY_EVENT, NULL, "order.paid", "last", NULL, "x");
    EXPECT(recorder_wait(rest, 1, 15000), "another instance gets nothing");
    recorder_expect_quiet(rest, 300);
    EXPECT(recorder_times(rest, "slow") == 0 && recorder_times(rest, "quick") == 0,
           "what was acked came again: slow %zu times, quick %zu times",
           recorder_times(rest, "slow"), recorder_times(rest, "quick"));
    suite_close(other);
    suite_close(bus);
}
