/* SPDX-License-Identifier: Apache-2.0
 * The worker: one thread that runs jobs in order, those that wait for the server: connecting,
 * ensuring channels, setting subscriptions up and taking them down. Jobs have their memory from
 * birth, so posting one cannot fail. */
#include "parts.h"

#include "thread.h"

#include <signal.h>
#include <string.h>

bool nats__thread(pthread_t *ret_thread, const char *name, void *(*run)(void *), void *argument)
{
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    bool started = pthread_create(ret_thread, NULL, run, argument) == 0;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (started) {
        (void)pthread_setname_np(*ret_thread, name);
    }
    return started;
}

bool nats__cond_init(pthread_cond_t *cond)
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

bool nats__wait_locked(marty_port *port, pthread_cond_t *cond, int64_t until_ns)
{
    if (until_ns == INT64_MAX) {
        return pthread_cond_wait(cond, &port->lock) == 0;
    }
    if (until_ns <= nats__now_ns(port)) {
        return false;
    }
    struct timespec at = {(time_t)(until_ns / 1000000000), (long)(until_ns % 1000000000)};
    (void)pthread_cond_timedwait(cond, &port->lock, &at);
    return nats__now_ns(port) < until_ns;
}

void nats__pause(marty_port *port, int64_t ns)
{
    int64_t until_ns = nats__now_ns(port) + ns;
    pthread_mutex_lock(&port->lock);
    while (!atomic_load(&port->stop) && nats__wait_locked(port, &port->changed, until_ns)) {
    }
    pthread_mutex_unlock(&port->lock);
}

nats__job *nats__job_new(void (*run)(marty_port *port, nats__job *job), const char *text)
{
    size_t size = text ? strlen(text) + 1 : 0;
    nats__job *job = marty_alloc_zero(1, sizeof *job + size);
    if (job) {
        job->run = run;
        if (size) {
            memcpy(job->text, text, size);
        }
    }
    return job;
}

void nats__job_post_locked(marty_port *port, nats__job *job)
{
    if (job->subscription) {
        job->subscription->jobs++;
    }
    marty__list_push(&port->jobs, &job->link);
    pthread_cond_signal(&port->jobs_changed);
}

void nats__jobs_drop_locked(marty_port *port, const nats__subscription *subscription)
{
    for (marty__link *at = port->jobs.next, *next; at != &port->jobs; at = next) {
        nats__job *job = MARTY__OWNER(at, nats__job, link);
        next = at->next;
        if (job->subscription == subscription) {
            marty__list_remove(at);
            marty_free(job);
        }
    }
}

/* One that was unsubscribed and that no job is about any more. */
static nats__subscription *next_leaving(marty_port *port)
{
    for (marty__link *at = port->leaving.next; at != &port->leaving; at = at->next) {
        nats__subscription *subscription = MARTY__OWNER(at, nats__subscription, link);
        if (subscription->jobs == 0) {
            marty__list_remove(at);
            return subscription;
        }
    }
    return NULL;
}

static void *worker_main(void *argument)
{
    marty_port *port = argument;
    nats__library_open();
    pthread_mutex_lock(&port->lock);
    while (!atomic_load(&port->stop)) {
        nats__subscription *leaving = next_leaving(port);
        if (leaving) {
            pthread_mutex_unlock(&port->lock);
            nats__leave(port, leaving, true);
            pthread_mutex_lock(&port->lock);
            continue;
        }
        marty__link *link = marty__list_pop(&port->jobs);
        if (!link) {
            if (port->refresh_ns > nats__now_ns(port)) {
                (void)nats__wait_locked(port, &port->jobs_changed, port->refresh_ns);
                continue;
            }
            pthread_mutex_unlock(&port->lock);
            nats__refresh(port);
            pthread_mutex_lock(&port->lock);
            continue;
        }
        nats__job *job = MARTY__OWNER(link, nats__job, link);
        pthread_mutex_unlock(&port->lock);
        job->run(port, job);
        marty_free(job);
        pthread_mutex_lock(&port->lock);
    }
    pthread_mutex_unlock(&port->lock);
    nats_ReleaseThreadMemory();
    return NULL;
}

marty_err nats__worker_start(marty_port *port, marty_error *why)
{
    if (!port->worker_started) {
        port->worker_started = nats__thread(&port->worker, "nats worker", worker_main, port);
    }
    return port->worker_started
               ? MARTY_OK
               : marty_error_set(why, MARTY_E_NO_MEMORY, "nats: no thread left for the worker");
}

void nats__worker_stop(marty_port *port)
{
    if (port->worker_started) {
        atomic_store(&port->stop, true);
        pthread_mutex_lock(&port->lock);
        pthread_cond_broadcast(&port->jobs_changed);
        pthread_cond_broadcast(&port->changed);
        pthread_mutex_unlock(&port->lock);
        (void)pthread_join(port->worker, NULL);
        port->worker_started = false;
    }
    marty__link *link;
    while ((link = marty__list_pop(&port->jobs)) != NULL) {
        marty_free(MARTY__OWNER(link, nats__job, link));
    }
}
