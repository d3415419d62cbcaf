/* SPDX-License-Identifier: Apache-2.0
 * In memory, raw: a queue under a mutex, one thread that takes all that is there. */
#include "open.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

typedef struct node {
    struct node *next;
    char data[];
} node;
typedef struct queue {
    pthread_mutex_t lock;
    pthread_cond_t filled;
    node *first, **last;
    bool closed;
    pthread_t thread;
} queue;

static void *take(void *user)
{
    open_run *run = user;
    queue *self = run->own;
    pthread_mutex_lock(&self->lock);
    while (!self->closed || self->first) {
        node *all = self->first;
        if (!all) {
            pthread_cond_wait(&self->filled, &self->lock);
            continue;
        }
        self->first = NULL;
        self->last = &self->first;
        pthread_mutex_unlock(&self->lock);
        while (all) {
            node *next = all->next;
            open_delivered(run, all->data);
            free(all);
            all = next;
        }
        pthread_mutex_lock(&self->lock);
    }
    pthread_mutex_unlock(&self->lock);
    return NULL;
}

static void open_it(open_run *run)
{
    static queue self = {.lock = PTHREAD_MUTEX_INITIALIZER, .filled = PTHREAD_COND_INITIALIZER};
    self.last = &self.first;
    run->own = &self;
    if (pthread_create(&self.thread, NULL, take, run) != 0) {
        open_fail("memory", "no thread");
    }
}

static void send_it(open_run *run, const char *data, const int64_t due_ns[], size_t count)
{
    queue *self = run->own;
    node *made[OPEN_BATCH];
    for (size_t i = 0; i < count; i++) {
        made[i] = malloc(sizeof(node) + run->size);
        if (!made[i]) {
            open_fail("memory", "none left");
        }
        made[i]->next = NULL;
        memcpy(made[i]->data, data + i * run->size, run->size);
    }
    pthread_mutex_lock(&self->lock);
    for (size_t i = 0; i < count; i++) {
        *self->last = made[i];
        self->last = &made[i]->next;
    }
    pthread_cond_signal(&self->filled);
    pthread_mutex_unlock(&self->lock);
    for (size_t i = 0; i < count; i++) {
        open_stored(run, due_ns[i]);
    }
}

static void close_it(open_run *run)
{
    queue *self = run->own;
    pthread_mutex_lock(&self->lock);
    self->closed = true;
    pthread_cond_signal(&self->filled);
    pthread_mutex_unlock(&self->lock);
    (void)pthread_join(self->thread, NULL);
}

const open_client open_memory = {"memory", open_it, send_it, close_it};
