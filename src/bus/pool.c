/* SPDX-License-Identifier: Apache-2.0
 * Worker threads and the queue of tasks that they run. `running` counts the unblocked threads
 * inside a task: a thread that blocks inside a call of ours leaves the count, so another may take
 * its place, up to as many again. A driven bus has no threads here: marty_bus_process runs the
 * tasks. */
#include "internal.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/error.h"
#include "base/local.h"

static MARTY__LOCAL const marty_bus *inside; /* the bus whose task this thread runs */

bool marty__pool_inside(const marty_bus *bus)
{
    return inside == bus;
}

bool marty__pool_inside_any(void)
{
    return inside != NULL;
}

bool marty__pool_has_work(marty_bus *bus)
{
    marty__lock(&bus->pool.lock);
    bool has = !marty__list_empty(&bus->pool.tasks);
    marty__unlock(&bus->pool.lock);
    return has;
}

bool marty__pool_crowded(const marty_bus *bus)
{
    return atomic_load_explicit(&bus->pool.crowded, memory_order_relaxed);
}

static void *work(void *argument);

/* With pool->lock held. A thread that cannot be had now is tried again with the next task. */
static void start_thread(marty_bus *bus)
{
    marty__pool *pool = &bus->pool;
    if (pool->started < 2 * pool->size &&
        marty__thread_start(&pool->threads[pool->started], "marty-worker", work, bus)) {
        pool->started++;
    }
}

/* With pool->lock held: see that a queued task finds a thread. Returns whether all are stuck.
 * ret_wake: one that waits is to be woken, best without the lock; one at a time, since it looks for
 * more work than its own when it comes. */
static bool staff(marty_bus *bus, bool *ret_wake)
{
    marty__pool *pool = &bus->pool;
    *ret_wake = false;
    if (marty__list_empty(&pool->tasks) || pool->running >= pool->size || pool->stopping) {
        return false;
    }
    if (pool->waiting) {
        *ret_wake = !pool->waking;
        pool->waking = true;
        return false;
    }
    uint32_t before = pool->started;
    start_thread(bus);
    return before == pool->started && pool->blocked >= 2 * pool->size;
}

static void stall_rang(marty__alarm *alarm)
{
    marty_bus *bus = MARTY__OWNER(alarm, marty_bus, pool.stall_alarm);
    marty__event(bus, MARTY_STATE_STALLED, NULL, NULL, MARTY_E_STATE,
                 "every worker waits inside a call of Marty; give the bus more workers or use done "
                 "callbacks");
}

/* Said by housekeeping: the caller may hold a lock. */
static void report_stall(marty_bus *bus)
{
    marty__lock(&bus->pool.lock);
    bool tell = !bus->pool.stalled;
    bus->pool.stalled = true;
    marty__unlock(&bus->pool.lock);
    if (tell) {
        (void)marty__alarm_set(bus, &bus->pool.stall_alarm, marty__bus_now(bus));
    }
}

static void run_task(marty_bus *bus, marty__task *task)
{
    const marty_bus *before = inside;
    inside = bus;
    task->run(task);
    inside = before;
}

static void run_here(marty_bus *bus, marty__link *tasks)
{
    marty__link *link;
    while ((link = marty__list_pop(tasks)) != NULL) {
        run_task(bus, MARTY__OWNER(link, marty__task, link));
    }
}

/* With no lock held: what staff has said. */
static void tell_staff(marty_bus *bus, bool wake, bool stuck)
{
    if (wake) {
        marty__wake_one(&bus->pool.work);
    } else if (stuck) {
        report_stall(bus);
    }
}

void marty__pool_add_all(marty_bus *bus, marty__link *tasks)
{
    marty__pool *pool = &bus->pool;
    bool wake = false, stuck = false;
    if (marty__list_empty(tasks)) {
        return;
    }
    marty__lock(&pool->lock);
    bool ended = pool->ended;
    if (!ended) {
        marty__list_move(&pool->tasks, tasks);
    }
    if (!pool->driven) {
        stuck = staff(bus, &wake);
    }
    marty__unlock(&pool->lock);
    if (ended) {
        run_here(bus, tasks);
    } else if (pool->driven) {
        marty__driven_wake(bus);
    } else {
        tell_staff(bus, wake, stuck);
    }
}

void marty__pool_add(marty_bus *bus, marty__task *task)
{
    marty__link one;
    marty__assert(!task->link.next);
    marty__list_init(&one);
    marty__list_push(&one, &task->link);
    marty__pool_add_all(bus, &one);
}

void marty__pool_add_own(marty_bus *bus, marty__link *tasks)
{
    if (marty__list_empty(tasks)) {
        return;
    }
    marty__lock(&bus->pool.lock);
    marty__list_move(&bus->pool.tasks, tasks);
    marty__unlock(&bus->pool.lock);
}

bool marty__pool_lend(marty_bus *bus, marty__task *task, bool own)
{
    marty__pool *pool = &bus->pool;
    bool wake = false, stuck = false;
    marty__lock(&pool->lock);
    bool lends = !pool->stopping;
    if (lends) {
        marty__list_push(&pool->tasks, &task->link);
    }
    if (lends && !own) {
        stuck = staff(bus, &wake);
    }
    marty__unlock(&pool->lock);
    tell_staff(bus, wake, stuck);
    return lends;
}

/* With pool->lock held. */
static void note_crowd(marty__pool *pool)
{
    const marty__link *at = &pool->tasks;
    for (int i = 0; i < 3 && at; i++) {
        at = at->next == &pool->tasks ? NULL : at->next;
    }
    atomic_store_explicit(&pool->crowded, at != NULL, memory_order_relaxed);
}

static void *work(void *argument)
{
    marty_bus *bus = argument;
    marty__pool *pool = &bus->pool;
    marty__lock(&pool->lock);
    for (;;) {
        while (!pool->stopping &&
               (marty__list_empty(&pool->tasks) || pool->running >= pool->size)) {
            pool->waiting++;
            (void)marty__wait(&pool->work, &pool->lock, MARTY__NEVER);
            pool->waiting--;
            pool->waking = false;
        }
        if (marty__list_empty(&pool->tasks)) {
            break;
        }
        marty__task *task = MARTY__OWNER(marty__list_pop(&pool->tasks), marty__task, link);
        note_crowd(pool);
        pool->running++;
        bool wake;
        (void)staff(bus, &wake);
        marty__unlock(&pool->lock);
        if (wake) {
            marty__wake_one(&pool->work);
        }
        run_task(bus, task);
        marty__lock(&pool->lock);
        pool->running--;
    }
    marty__unlock(&pool->lock);
    return NULL;
}

size_t marty__pool_run_some(marty_bus *bus, size_t max)
{
    size_t count = 0;
    for (; count < max; count++) {
        marty__lock(&bus->pool.lock);
        marty__link *link = marty__list_pop(&bus->pool.tasks);
        marty__unlock(&bus->pool.lock);
        if (!link) {
            break;
        }
        run_task(bus, MARTY__OWNER(link, marty__task, link));
    }
    return count;
}

void marty__pool_block(marty_bus *bus)
{
    if (inside != bus || bus->pool.driven) {
        return;
    }
    marty__lock(&bus->pool.lock);
    bus->pool.running--;
    bus->pool.blocked++;
    bool wake, stuck = staff(bus, &wake);
    marty__unlock(&bus->pool.lock);
    tell_staff(bus, wake, stuck);
}

void marty__pool_unblock(marty_bus *bus)
{
    if (inside != bus || bus->pool.driven) {
        return;
    }
    marty__lock(&bus->pool.lock);
    bus->pool.running++;
    bus->pool.blocked--;
    bus->pool.stalled = false;
    marty__unlock(&bus->pool.lock);
}

marty_err marty__pool_open(marty_bus *bus, uint32_t workers, marty_error *why)
{
    marty__pool *pool = &bus->pool;
    pool->size = workers;
    pool->driven = bus->driven;
    pool->stall_alarm.ring = stall_rang;
    pool->threads = marty_alloc_zero(2 * (size_t)workers, sizeof *pool->threads);
    if (!pool->threads) {
        return marty__error_code(why, MARTY_E_NO_MEMORY);
    }
    if (!marty__mutex_init(&pool->lock) || !marty__cond_init(&pool->work)) {
        return marty_error_set(why, MARTY_E_NO_MEMORY, "no more locks to be had from the system");
    }
    return MARTY_OK;
}

void marty__pool_close(marty_bus *bus)
{
    marty__pool *pool = &bus->pool;
    if (!pool->threads) {
        return;
    }
    marty__lock(&pool->lock);
    pool->stopping = true;
    marty__wake_all(&pool->work);
    uint32_t count = pool->started;
    marty__unlock(&pool->lock);
    for (uint32_t i = 0; i < count; i++) {
        (void)pthread_join(pool->threads[i], NULL);
    }
    (void)marty__pool_run_some(bus, SIZE_MAX); /* driven: completions that nobody processed */
    marty_free(pool->threads);
    pool->threads = NULL;
}

void marty__pool_end(marty_bus *bus)
{
    do {
        (void)marty__pool_run_some(bus, SIZE_MAX);
        marty__lock(&bus->pool.lock);
        bus->pool.ended = marty__list_empty(&bus->pool.tasks);
        marty__unlock(&bus->pool.lock);
    } while (!bus->pool.ended);
}
