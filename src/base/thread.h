/* SPDX-License-Identifier: Apache-2.0
 * Threads of ours block all signals; waits are on the monotonic clock. Thin over pthreads: locking
 * that cannot fail asserts. */
#ifndef MARTY_BASE_THREAD_H
#define MARTY_BASE_THREAD_H
#include <marty/types.h>
#include <pthread.h>

typedef pthread_mutex_t marty__mutex;
typedef pthread_cond_t marty__cond;

/** Make a mutex and a condition; false when the system has no resources. */
bool marty__mutex_init(marty__mutex *mutex);
bool marty__cond_init(marty__cond *cond);
void marty__mutex_free(marty__mutex *mutex);
void marty__cond_free(marty__cond *cond);
void marty__lock(marty__mutex *mutex);
void marty__unlock(marty__mutex *mutex);
void marty__wake_one(marty__cond *cond);
void marty__wake_all(marty__cond *cond);
/** Wait until woken or the monotonic deadline (MARTY__NEVER = none); false once the deadline has
 * passed. */
bool marty__wait(marty__cond *cond, marty__mutex *mutex, int64_t deadline_ns);

/* Something that happens once: one waits for it, another rings. What is written before the ring may
 * be read after the wait. It must live until both calls have returned: each holds a reference. */
typedef struct marty__bell {
    marty__mutex mutex;
    marty__cond cond;
    bool rung;
} marty__bell;
/** Make one; false when the system has no resources. */
bool marty__bell_init(marty__bell *bell);
void marty__bell_free(marty__bell *bell);
/** Wakes who waits, without a lock that it would meet. */
void marty__bell_ring(marty__bell *bell);
/** Whether it has rung by the monotonic deadline (MARTY__NEVER = none). */
bool marty__bell_wait(marty__bell *bell, int64_t deadline_ns);

/** Start a thread with all signals blocked and a short name (up to 15 bytes); false when there is
 * none to be had. */
bool marty__thread_start(pthread_t *ret_thread, const char *name, void *(*run)(void *),
                         void *argument);
#endif
