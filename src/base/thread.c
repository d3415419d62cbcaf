/* SPDX-License-Identifier: Apache-2.0
 * pthreads with the house rules: monotonic waits, all signals blocked, failures that mean a bug are
 * asserted. */
#include "thread.h"

#include "assert.h"
#include "clock.h"

#include <errno.h>
#include <signal.h>
#include <time.h>

/* What is held for longer than a moment is held by nobody here: who finds one taken looks again a
 * few times before sleeping. */
bool marty__mutex_init(marty__mutex *mutex)
{
    *mutex = (pthread_mutex_t)PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP;
    return true;
}

bool marty__cond_init(marty__cond *cond)
{
    pthread_condattr_t attributes;
    if (pthread_condattr_init(&attributes) != 0) {
        return false;
    }
    bool made = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0 &&
                pthread_cond_init(cond, &attributes) == 0;
    (void)pthread_condattr_destroy(&attributes);
    return made;
}

void marty__mutex_free(marty__mutex *mutex)
{
    (void)pthread_mutex_destroy(mutex);
}

void marty__cond_free(marty__cond *cond)
{
    (void)pthread_cond_destroy(cond);
}

void marty__lock(marty__mutex *mutex)
{
    int failed = pthread_mutex_lock(mutex);
    marty__assert(!failed);
}

void marty__unlock(marty__mutex *mutex)
{
    int failed = pthread_mutex_unlock(mutex);
    marty__assert(!failed);
}

void marty__wake_one(marty__cond *cond)
{
    (void)pthread_cond_signal(cond);
}

void marty__wake_all(marty__cond *cond)
{
    (void)pthread_cond_broadcast(cond);
}

bool marty__wait(marty__cond *cond, marty__mutex *mutex, int64_t deadline_ns)
{
    if (deadline_ns == MARTY__NEVER) {
        return pthread_cond_wait(cond, mutex) == 0;
    }
    struct timespec until = {.tv_sec = (time_t)(deadline_ns / 1000000000),
                             .tv_nsec = (long)(deadline_ns % 1000000000)};
    return pthread_cond_timedwait(cond, mutex, &until) != ETIMEDOUT;
}

bool marty__bell_init(marty__bell *bell)
{
    bell->rung = false;
    if (!marty__mutex_init(&bell->mutex)) {
        return false;
    }
    bool made = marty__cond_init(&bell->cond);
    if (!made) {
        marty__mutex_free(&bell->mutex);
    }
    return made;
}

void marty__bell_free(marty__bell *bell)
{
    marty__cond_free(&bell->cond);
    marty__mutex_free(&bell->mutex);
}

void marty__bell_ring(marty__bell *bell)
{
    marty__lock(&bell->mutex);
    bell->rung = true;
    marty__unlock(&bell->mutex);
    marty__wake_one(&bell->cond);
}

bool marty__bell_wait(marty__bell *bell, int64_t deadline_ns)
{
    bool in_time = true;
    marty__lock(&bell->mutex);
    while (!bell->rung && in_time) {
        in_time = marty__wait(&bell->cond, &bell->mutex, deadline_ns);
    }
    bool rung = bell->rung;
    marty__unlock(&bell->mutex);
    return rung;
}

bool marty__thread_start(pthread_t *ret_thread, const char *name, void *(*run)(void *),
                         void *argument)
{
    sigset_t all, before;
    (void)sigfillset(&all);
    if (pthread_sigmask(SIG_SETMASK, &all, &before) != 0) {
        return false;
    }
    bool started = pthread_create(ret_thread, NULL, run, argument) == 0;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (started) {
        (void)pthread_setname_np(*ret_thread, name);
    }
    return started;
}
