/* SPDX-License-Identifier: Apache-2.0
 * A lock that may be held for long, so whoever wants it waits up to a deadline only. All inline:
 * modules, too, have it. Any thread. */
#ifndef MARTY_BASE_GATE_H
#define MARTY_BASE_GATE_H
#include <marty/types.h>

#include <errno.h>
#include <pthread.h>
#include <time.h>

typedef struct marty__gate {
    pthread_mutex_t mutex; /* of taken */
    pthread_cond_t left;
    bool taken;
} marty__gate;

/** Make one; false when the system has no resources. */
MARTY_INLINE bool marty__gate_init(marty__gate *gate)
{
    pthread_condattr_t monotonic;
    gate->taken = false;
    if (pthread_condattr_init(&monotonic) != 0) {
        return false;
    }
    bool made = pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) == 0 &&
                pthread_cond_init(&gate->left, &monotonic) == 0;
    (void)pthread_condattr_destroy(&monotonic);
    if (made && pthread_mutex_init(&gate->mutex, NULL) != 0) {
        (void)pthread_cond_destroy(&gate->left);
        made = false;
    }
    return made;
}

MARTY_INLINE void marty__gate_free(marty__gate *gate)
{
    (void)pthread_cond_destroy(&gate->left);
    (void)pthread_mutex_destroy(&gate->mutex);
}

/** False once the monotonic deadline has passed (INT64_MAX = none): then it is another's. */
MARTY_INLINE bool marty__gate_enter(marty__gate *gate, int64_t deadline_ns)
{
    struct timespec until = {.tv_sec = (time_t)(deadline_ns / 1000000000),
                             .tv_nsec = (long)(deadline_ns % 1000000000)};
    bool in_time = true;
    (void)pthread_mutex_lock(&gate->mutex);
    while (gate->taken && in_time) {
        in_time = pthread_cond_timedwait(&gate->left, &gate->mutex, &until) != ETIMEDOUT;
    }
    bool mine = !gate->taken;
    gate->taken = true;
    (void)pthread_mutex_unlock(&gate->mutex);
    return mine;
}

MARTY_INLINE void marty__gate_leave(marty__gate *gate)
{
    (void)pthread_mutex_lock(&gate->mutex);
    gate->taken = false;
    (void)pthread_cond_signal(&gate->left);
    (void)pthread_mutex_unlock(&gate->mutex);
}
#endif
