/* SPDX-License-Identifier: Apache-2.0
 * A driven bus: one descriptor, an eventfd, that is readable when marty_bus_process has something
 * to do. The housekeeping thread rings the alarms; with simulated surroundings process does, and
 * ret_wait_ms says when to come again. */
#include "internal.h"

#include "base/error.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

void marty__driven_wake(marty_bus *bus)
{
    if (bus->wake_fd >= 0 && !atomic_exchange(&bus->awake, true)) {
        uint64_t one = 1;
        ssize_t written = write(bus->wake_fd, &one, sizeof one);
        (void)written; /* full means readable already */
    }
}

static void hush(marty_bus *bus)
{
    uint64_t count;
    ssize_t got = read(bus->wake_fd, &count, sizeof count);
    (void)got; /* empty is fine */
    atomic_store(&bus->awake, false);
}

marty_err marty__driven_open(marty_bus *bus, marty_error *why)
{
    bus->wake_fd = -1;
    if (!bus->driven) {
        return MARTY_OK;
    }
    bus->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (bus->wake_fd < 0) {
        return marty_error_set(why, MARTY_E_NO_MEMORY, "a driven bus needs a descriptor: %s",
                               strerror(errno));
    }
    return MARTY_OK;
}

void marty__driven_close(marty_bus *bus)
{
    if (bus->wake_fd >= 0) {
        (void)close(bus->wake_fd);
        bus->wake_fd = -1;
    }
}

int marty_bus_fd(const marty_bus *bus)
{
    return bus && bus->driven && bus->fork_generation == marty__fork_generation() ? bus->wake_fd
                                                                                  : -1;
}

static int32_t wait_ms(marty_bus *bus, int64_t next_ns)
{
    if (marty__pool_has_work(bus)) {
        return 0;
    }
    if (next_ns == MARTY__NEVER) {
        return -1;
    }
    int64_t left = (next_ns - marty__bus_now(bus) + MARTY__NS_PER_MS - 1) / MARTY__NS_PER_MS;
    return left < 0 ? 0 : left > INT32_MAX ? INT32_MAX : (int32_t)left;
}

static marty_err process(marty_bus *bus, uint32_t budget_ms, int32_t *ret_wait_ms)
{
    int64_t until = marty__bus_now(bus) + (int64_t)budget_ms * MARTY__NS_PER_MS;
    bool stopping = atomic_load(&bus->stop_asked);
    hush(bus);
    if (stopping) {
        marty__life_stop(bus);
    }
    do {
        marty__clockwork_run(bus);
    } while (marty__pool_run_some(bus, 256) && marty__bus_now(bus) < until);
    if (marty__pool_has_work(bus)) {
        marty__driven_wake(bus);
    }
    if (ret_wait_ms) { /* a task may have set an alarm, which simulated nobody else wakes for */
        int64_t next = bus->simulated ? marty__clockwork_next(bus) : MARTY__NEVER;
        *ret_wait_ms = wait_ms(bus, next);
    }
    return MARTY_OK;
}

marty_err marty_bus_process(marty_bus *bus, uint32_t budget_ms, int32_t *ret_wait_ms,
                            marty_error *why)
{
    marty_err err = marty__bus_enter(bus, MARTY__CLOSED, why);
    if (err) {
        return err;
    }
    if (!bus->driven) {
        return marty_error_set(why, MARTY_E_STATE,
                               "marty_bus_process is for a bus opened with driven = true");
    }
    if (marty__pool_inside(bus) || atomic_exchange(&bus->processing, true)) {
        return marty_error_set(
            why, MARTY_E_STATE,
            "marty_bus_process runs already: call it from one thread, not from a callback");
    }
    err = marty_bus_start(bus, why);
    if (!err || err == MARTY_E_CLOSED) {
        err = process(bus, budget_ms, ret_wait_ms);
    }
    atomic_store(&bus->processing, false);
    if (!err && atomic_load(&bus->phase) == MARTY__CLOSED && !marty__pool_has_work(bus)) {
        return marty_error_set(why, MARTY_E_CLOSED, "drained; call marty_bus_close");
    }
    return err;
}

bool marty__bus_wait(marty_bus *bus, marty__cond *cond, marty__mutex *lock, int64_t deadline_ns)
{
    if (!bus->simulated) {
        return marty__wait(cond, lock, deadline_ns);
    }
    marty__unlock(lock); /* nobody else rings alarms */
    int64_t before = marty__bus_now(bus);
    marty__clockwork_run(bus);
    marty__lock(lock);
    /* An adapter may have threads of its own: let them speak for a moment of real time. */
    bool woken = marty__wait(cond, lock, marty__monotonic_ns() + MARTY__NS_PER_MS);
    int64_t now = marty__bus_now(bus);
    return now < deadline_ns && (woken || now > before);
}
