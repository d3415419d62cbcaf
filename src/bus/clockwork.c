/* SPDX-License-Identifier: Apache-2.0
 * Alarms: one heap, one housekeeping thread that sleeps until the first is due. It renews leases,
 * reconnects and keeps deadlines, and runs none of the user's code. With injected surroundings
 * there is no thread: marty_bus_process rings. */
#include "internal.h"

#include "base/error.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static int64_t now_ns(const marty_bus *bus)
{
    return bus->env.monotonic_ns(bus->env.user);
}

/* With the lock held; gives it up while ringing. Returns whether one rang. */
static bool ring_one(marty_bus *bus)
{
    marty__clockwork *clockwork = &bus->clockwork;
    marty__timer *timer = marty__heap_pop(&clockwork->heap, now_ns(bus));
    if (!timer) {
        return false;
    }
    marty__alarm *alarm = MARTY__OWNER(timer, marty__alarm, timer);
    marty__unlock(&clockwork->lock);
    alarm->ring(alarm); /* may free its owner */
    marty__lock(&clockwork->lock);
    return true;
}

/* Sleep until the first is due, or somebody writes to wake_fd. With the lock held; gives it up. */
static void sleep_on(marty_bus *bus)
{
    marty__clockwork *clockwork = &bus->clockwork;
    int64_t until = marty__heap_next_ns(&clockwork->heap), left = until - now_ns(bus);
    struct timespec wait = {.tv_sec = (time_t)(left / 1000000000),
                            .tv_nsec = (long)(left % 1000000000)};
    struct pollfd on = {.fd = clockwork->wake_fd, .events = POLLIN};
    uint64_t count;
    clockwork->asleep_until_ns = until;
    marty__unlock(&clockwork->lock);
    if (left > 0 && ppoll(&on, 1, until == MARTY__NEVER ? NULL : &wait, NULL) > 0) {
        ssize_t got = read(clockwork->wake_fd, &count, sizeof count);
        (void)got; /* somebody else's wake will do as well */
    }
    if (atomic_load(&bus->stop_asked)) {
        marty__life_stop(bus);
    }
    marty__lock(&clockwork->lock);
    clockwork->asleep_until_ns = 0;
}

/* Seen to before alarms that are due, of which there may always be one more. */
static bool stop_waits(const marty_bus *bus)
{
    return atomic_load(&bus->stop_asked) && atomic_load(&bus->phase) == MARTY__OPEN;
}

static void *keep_house(void *argument)
{
    marty_bus *bus = argument;
    marty__clockwork *clockwork = &bus->clockwork;
    marty__lock(&clockwork->lock);
    while (!clockwork->stopping) {
        if (stop_waits(bus) || !ring_one(bus)) {
            sleep_on(bus);
        }
    }
    marty__unlock(&clockwork->lock);
    return NULL;
}

void marty__clockwork_wake(marty_bus *bus)
{
    if (bus->clockwork.wake_fd >= 0) {
        uint64_t one = 1;
        ssize_t written = write(bus->clockwork.wake_fd, &one, sizeof one);
        (void)written; /* full: it is awake */
    }
    marty__driven_wake(bus);
}

static bool set(marty_bus *bus, marty__alarm *alarm, int64_t at_ns, bool earlier_only)
{
    marty__clockwork *clockwork = &bus->clockwork;
    marty__lock(&clockwork->lock);
    bool was = alarm->timer.armed;
    if (!earlier_only || !was || at_ns < alarm->timer.at_ns) {
        bool wake =
            at_ns < clockwork->asleep_until_ns; /* later ones it will see when it wakes by itself */
        marty__heap_add(&clockwork->heap, &alarm->timer, at_ns);
        if (wake) {
            clockwork->asleep_until_ns = at_ns;
            marty__clockwork_wake(bus);
        }
    }
    marty__unlock(&clockwork->lock);
    return was;
}

bool marty__alarm_set(marty_bus *bus, marty__alarm *alarm, int64_t at_ns)
{
    return set(bus, alarm, at_ns, false);
}

bool marty__alarm_set_earlier(marty_bus *bus, marty__alarm *alarm, int64_t at_ns)
{
    return set(bus, alarm, at_ns, true);
}

bool marty__alarm_cancel(marty_bus *bus, marty__alarm *alarm)
{
    marty__lock(&bus->clockwork.lock);
    bool was = alarm->timer.armed;
    marty__heap_remove(&bus->clockwork.heap, &alarm->timer);
    marty__unlock(&bus->clockwork.lock);
    return was;
}

int64_t marty__clockwork_next(marty_bus *bus)
{
    marty__lock(&bus->clockwork.lock);
    int64_t next = marty__heap_next_ns(&bus->clockwork.heap);
    marty__unlock(&bus->clockwork.lock);
    return next;
}

void marty__clockwork_run(marty_bus *bus)
{
    marty__clockwork *clockwork = &bus->clockwork;
    if (clockwork->has_thread) {
        return;
    }
    marty__lock(&clockwork->lock);
    while (ring_one(bus)) {
    }
    marty__unlock(&clockwork->lock);
}

marty_err marty__clockwork_open(marty_bus *bus, marty_error *why)
{
    marty__clockwork *clockwork = &bus->clockwork;
    if (!marty__mutex_init(&clockwork->lock)) {
        return marty_error_set(why, MARTY_E_NO_MEMORY, "no more locks to be had from the system");
    }
    clockwork->asleep_until_ns = MARTY__NEVER;
    if (bus->simulated) {
        return MARTY_OK;
    }
    clockwork->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (clockwork->wake_fd < 0) {
        return marty_error_set(why, MARTY_E_NO_MEMORY, "a bus needs a descriptor: %s",
                               strerror(errno));
    }
    marty__lock(&clockwork->lock);
    clockwork->has_thread = marty__thread_start(&clockwork->thread, "marty-house", keep_house, bus);
    bool started = clockwork->has_thread;
    marty__unlock(&clockwork->lock);
    return started ? MARTY_OK
                   : marty_error_set(why, MARTY_E_NO_MEMORY, "the system has no more threads");
}

void marty__clockwork_close(marty_bus *bus)
{
    marty__clockwork *clockwork = &bus->clockwork;
    if (!clockwork->has_thread) {
        return;
    }
    marty__lock(&clockwork->lock);
    clockwork->stopping = true;
    marty__unlock(&clockwork->lock);
    marty__clockwork_wake(bus);
    (void)pthread_join(clockwork->thread, NULL);
}

void marty__clockwork_free(marty_bus *bus)
{
    if (bus->clockwork.wake_fd >= 0) {
        (void)close(bus->clockwork.wake_fd);
    }
}
