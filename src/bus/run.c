/* SPDX-License-Identifier: Apache-2.0
 * How a program runs and ends a bus: run (signals), flush, cancel, close, free. */
#include "internal.h"

#include "base/clock.h"
#include "base/error.h"

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>

/* ---- signals: only while somebody is inside marty_bus_run */
enum { RUNS_MAX = 16 };

/* One request to end may come as several signals at once: from `timeout`, or from a terminal and
 * a wrapper that passes it on, to the process and to its group. So the second that counts comes no
 * sooner than that. */
#define AGAIN_NS INT64_C(1000000000)

static _Atomic(marty_bus *) runs[RUNS_MAX];
static _Atomic int64_t asked_ns[RUNS_MAX]; /* the first signal for that run; 0 = none yet */
static atomic_uint handling;               /* threads inside on_signal */

static void on_signal(int number)
{
    (void)number;
    (void)atomic_fetch_add(&handling, 1);
    int64_t now_ns = marty__monotonic_ns(); /* signal-safe */
    for (size_t i = 0; i < RUNS_MAX; i++) {
        marty_bus *bus = atomic_load(&runs[i]);
        int64_t first_ns = 0;
        if (bus && (atomic_compare_exchange_strong(&asked_ns[i], &first_ns, now_ns) ||
                    now_ns - first_ns >= AGAIN_NS)) {
            marty_bus_stop(bus);
        }
    }
    (void)atomic_fetch_sub(&handling, 1);
}

static size_t enter_run(marty_bus *bus)
{
    for (size_t i = 0; i < RUNS_MAX; i++) {
        marty_bus *none = NULL;
        if (atomic_compare_exchange_strong(&runs[i], &none, bus)) {
            atomic_store(&asked_ns[i], 0);
            return i;
        }
    }
    return RUNS_MAX;
}

/* A handler on another thread that has found the bus may not outlive it. */
static void leave_run(size_t place)
{
    atomic_store(&runs[place], NULL);
    while (atomic_load(&handling)) {
        (void)sched_yield();
    }
}

/* All runs of the process share the two handlers: the first one brings ours, the last one brings
 * back what was there before. */
static pthread_mutex_t handlers_lock = PTHREAD_MUTEX_INITIALIZER;
static size_t handlers_users;
static struct sigaction term_before, interrupt_before;

static void take_signals(void)
{
    struct sigaction ours = {.sa_handler = on_signal};
    (void)sigemptyset(&ours.sa_mask);
    (void)pthread_mutex_lock(&handlers_lock);
    if (!handlers_users++) {
        (void)sigaction(SIGTERM, &ours, &term_before);
        (void)sigaction(SIGINT, &ours, &interrupt_before);
    }
    (void)pthread_mutex_unlock(&handlers_lock);
}

static void give_signals_back(void)
{
    (void)pthread_mutex_lock(&handlers_lock);
    if (!--handlers_users) {
        (void)sigaction(SIGTERM, &term_before, NULL);
        (void)sigaction(SIGINT, &interrupt_before, NULL);
    }
    (void)pthread_mutex_unlock(&handlers_lock);
}

static void serve(marty_bus *bus)
{
    marty__lock(&bus->lock);
    while (atomic_load(&bus->phase) != MARTY__CLOSED) {
        if (bus->driven) {
            marty__unlock(&bus->lock);
            int32_t wait_ms = 0;
            struct pollfd on = {.fd = bus->wake_fd, .events = POLLIN};
            (void)marty_bus_process(bus, 10, &wait_ms, NULL);
            if (wait_ms != 0 && atomic_load(&bus->phase) != MARTY__CLOSED) {
                (void)poll(&on, 1, wait_ms < 0 || wait_ms > 1000 ? 1000 : wait_ms);
            }
            marty__lock(&bus->lock);
        } else {
            (void)marty__wait(&bus->changed, &bus->lock, MARTY__NEVER);
        }
    }
    marty__unlock(&bus->lock);
}

marty_err marty_bus_run(marty_bus *bus, marty_error *why)
{
    marty_err err = marty__bus_enter(bus, MARTY__CLOSED, why);
    if (err) {
        return err;
    }
    if (marty__pool_inside(bus)) {
        return marty_error_set(why, MARTY_E_STATE,
                               "marty_bus_run must not be called from a callback");
    }
    err = marty_bus_start(bus, why);
    if (err && err != MARTY_E_CLOSED) {
        return err;
    }
    size_t place = enter_run(bus);
    if (place == RUNS_MAX) {
        return marty_error_set(why, MARTY_E_STATE, "more than %d buses run at once in this process",
                               RUNS_MAX);
    }
    take_signals();
    serve(bus);
    give_signals_back();
    leave_run(place);
    if (atomic_load(&bus->cut_off)) {
        return marty_error_set(why, MARTY_E_TIMEOUT,
                               "the drain was cut off; what was not settled is delivered again");
    }
    return MARTY_OK;
}

/* ---- flush and cancel */
static bool idle(marty_bus *bus)
{
    return atomic_load(&bus->open_calls) == 0;
}

marty_err marty_bus_flush(marty_bus *bus, int32_t timeout_ms, marty_error *why)
{
    marty_err err = marty__bus_enter(bus, MARTY__CLOSED, why);
    if (err) {
        return err;
    }
    int64_t deadline = marty__bus_deadline(bus, timeout_ms, MARTY__DRAIN_MS);
    bool pump = bus->driven && !marty__pool_inside(bus);
    marty__pool_block(bus);
    while (!idle(bus) && marty__bus_now(bus) < deadline) {
        if (pump) {
            (void)marty_bus_process(bus, 0, NULL, NULL);
        }
        marty__lock(&bus->lock);
        int64_t step = marty__deadline_ns(marty__bus_now(bus), pump ? 1 : 20);
        if (!idle(bus)) {
            (void)marty__bus_wait(bus, &bus->changed, &bus->lock,
                                  step < deadline ? step : deadline);
        }
        marty__unlock(&bus->lock);
        if (bus->simulated && !idle(bus) && !marty__pool_has_work(bus) &&
            marty__clockwork_next(bus) > marty__bus_now(bus)) {
            break;
        }
    }
    marty__pool_unblock(bus);
    return idle(bus) ? MARTY_OK
                     : marty_error_set(why, MARTY_E_TIMEOUT, "%zu calls are not answered yet",
                                       atomic_load(&bus->open_calls));
}

size_t marty_bus_cancel(marty_bus *bus, const void *key)
{
    size_t count = 0;
    if (!key || marty__bus_enter(bus, MARTY__CLOSED, NULL)) {
        return 0;
    }
    for (marty__call *call = marty__calls_of(bus, key), *next; call; call = next, count++) {
        next = call->next_of_key;
        marty__call_expire(call, MARTY_E_CANCELLED, true);
        marty__call_unref(call);
    }
    return count + (bus->hooks->cancelled ? bus->hooks->cancelled(bus, key) : 0);
}

/* ---- close and free */
marty_err marty_bus_close(marty_bus *bus, int32_t timeout_ms, marty_error *why)
{
    if (!bus) {
        return marty_error_set(why, MARTY_E_ARGUMENT, "bus is NULL");
    }
    if (bus->fork_generation != marty__fork_generation()) {
        return marty__error_code(why, MARTY_E_FORKED);
    }
    if (marty__pool_inside(bus)) {
        marty_bus_stop(bus);
        return marty_error_set(
            why, MARTY_E_STATE,
            "closing from a callback only begins it; call marty_bus_close from another thread");
    }
    return marty__bus_close_once(bus, marty__bus_deadline(bus, timeout_ms, bus->drain_ms), why);
}

static void *reap(void *argument)
{
    marty_bus *bus = argument;
    while (marty__bus_close_once(bus, marty__bus_now(bus), NULL)) {
    }
    marty__bus_unref(bus);
    return NULL;
}

/* Handlers that still run (perhaps this very one) finish in peace: a thread of its own waits for
 * them. */
static void reap_later(marty_bus *bus)
{
    pthread_t thread;
    marty_bus_stop(bus);
    if (marty__thread_start(&thread, "marty-reaper", reap, bus)) {
        (void)pthread_detach(thread);
    } else {
        marty__bus_log(bus, 0, "no thread to free the bus with; its memory stays");
    }
}

void marty_bus_free(marty_bus *bus)
{
    if (!bus || bus->fork_generation != marty__fork_generation()) {
        return;
    }
    if (marty__pool_inside(bus)) {
        reap_later(bus);
    } else if (marty__bus_close_once(bus, marty__bus_now(bus), NULL)) {
        reap_later(bus);
    } else {
        marty__bus_unref(bus);
    }
}
