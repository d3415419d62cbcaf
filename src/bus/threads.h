/* SPDX-License-Identifier: Apache-2.0
 * Who runs what: tasks on workers (or in process), alarms on the housekeeping thread. Nothing here
 * allocates at use, so queueing and arming cannot fail. */
#ifndef MARTY_BUS_THREADS_H
#define MARTY_BUS_THREADS_H
#include "base/heap.h"
#include "base/list.h"
#include "base/thread.h"

#include <marty/bus.h>

#include <stdatomic.h>

/* Something for a worker (or process) to run once. Embedded in its owner, so queueing never
 * allocates. */
typedef struct marty__task {
    marty__link link;
    void (*run)(struct marty__task *task);
} marty__task;

/* Rings once, on the housekeeping thread (or in process when simulated), with no lock held. Its
 * owner keeps itself alive meanwhile. */
typedef struct marty__alarm {
    marty__timer timer;
    void (*ring)(struct marty__alarm *alarm);
} marty__alarm;

/* Runs tasks: on worker threads, or on the thread that calls marty_bus_process. */
typedef struct marty__pool {
    marty__mutex lock;
    marty__cond work;
    marty__link tasks;
    pthread_t *threads;
    uint32_t size;    /* how many may run at once */
    uint32_t started; /* threads that exist, at most 2 * size */
    uint32_t running,
        waiting;      /* tasks being run by unblocked threads; threads that wait for work */
    uint32_t blocked; /* threads inside a blocking call of ours */
    bool stopping, driven, stalled;
    bool waking;         /* one that waits is on its way */
    atomic_bool crowded; /* more than two tasks were queued when one was last taken */
    bool ended;          /* whoever adds a task runs it */
    marty__alarm stall_alarm;
} marty__pool;

/* Alarms and the thread that rings them. */
typedef struct marty__clockwork {
    marty__mutex lock;
    marty__heap heap;
    pthread_t thread;
    int64_t asleep_until_ns; /* when the thread wakes by itself; 0 = it is awake */
    int wake_fd;             /* this and the next: from the opening on as they are */
    bool has_thread;         /* else process rings */
    bool stopping;
} marty__clockwork;

/* ---- pool.c */
marty_err marty__pool_open(marty_bus *bus, uint32_t workers, marty_error *why);
void marty__pool_close(marty_bus *bus);
/** After that: run what is left; what is added from now on runs where it is added, with no lock
 * held. */
void marty__pool_end(marty_bus *bus);
/** Queue a task that is not queued. Never fails. */
void marty__pool_add(marty_bus *bus, marty__task *task);
/** Queue all of a list; it is empty then. Best without a lock that the tasks need. */
void marty__pool_add_all(marty_bus *bus, marty__link *tasks);
/** The same from a task that ends now: its own thread looks for the next one anyway, so nobody is
 * woken. */
void marty__pool_add_own(marty_bus *bus, marty__link *tasks);
/** Queue one that needs what is freed once the pool is closed; false: it is, or is about to be, and
 * nothing is queued. own: as above. */
bool marty__pool_lend(marty_bus *bus, marty__task *task, bool own);
/** Around a wait of ours on any thread: on a worker, another takes its place. */
void marty__pool_block(marty_bus *bus);
void marty__pool_unblock(marty_bus *bus);
/** Whether this thread is one that runs user code of this bus now. */
bool marty__pool_inside(const marty_bus *bus);
/** The same of any bus. */
bool marty__pool_inside_any(void);
/** Whether several tasks wait for a worker. A look without the lock. */
bool marty__pool_crowded(const marty_bus *bus);
/** Run up to max queued tasks on this thread; returns how many. */
size_t marty__pool_run_some(marty_bus *bus, size_t max);
bool marty__pool_has_work(marty_bus *bus);

/* ---- lend.c */
/** Of the task that lends an adapter its worker. */
void marty__lent_run(marty__task *task);
/** Whether this thread is in such a task of that bus: it looks for the next one anyway. */
bool marty__lent_by(const marty_bus *bus);

/* ---- clockwork.c */
marty_err marty__clockwork_open(marty_bus *bus, marty_error *why);
/** End the thread, once. */
void marty__clockwork_close(marty_bus *bus);
/** With the bus: until then somebody may wake it, also a signal. */
void marty__clockwork_free(marty_bus *bus);
/** Whether it was set already (and so is set anew). */
bool marty__alarm_set(marty_bus *bus, marty__alarm *alarm, int64_t at_ns);
/** Earlier of what it is set to and at_ns; whether it was set already. */
bool marty__alarm_set_earlier(marty_bus *bus, marty__alarm *alarm, int64_t at_ns);
/** Not any more; true when it was set (and so will not ring). */
bool marty__alarm_cancel(marty_bus *bus, marty__alarm *alarm);
/** Ring what is due on this thread (simulated). */
void marty__clockwork_run(marty_bus *bus);
/** When the next is due. */
int64_t marty__clockwork_next(marty_bus *bus);
/** Wake housekeeping (and process). Async-signal-safe. */
void marty__clockwork_wake(marty_bus *bus);
#endif
