/* SPDX-License-Identifier: Apache-2.0
 * A mutex queue of owned messages (allocated by the producer, freed by the consumer, which drains
 * all under one lock), bounded as our credit is. No ids, groups, acks or retries: the
 * floor under which no bus goes. */
#include "memory_raw.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct item {
    struct item *next;
    atomic_int refs;
    char data[];
} item;

typedef struct node { /* of a queue: fan-out shares items */
    struct node *next;
    item *what;
} node;

typedef struct queue {
    pthread_mutex_t lock;
    pthread_cond_t filled, drained;
    node *first, **last;
    size_t count, room;
    bool over;
} queue;

static void queue_init(queue *self, int receivers)
{
    memset(self, 0, sizeof *self);
    self->room = memory_room(receivers);
    (void)pthread_mutex_init(&self->lock, NULL);
    (void)pthread_cond_init(&self->filled, NULL);
    (void)pthread_cond_init(&self->drained, NULL);
    self->last = &self->first;
}

static item *new_item(const void *data, size_t size, int refs)
{
    item *what = malloc(sizeof *what + size);
    what->next = NULL;
    atomic_init(&what->refs, refs);
    memcpy(what->data, data, size);
    return what;
}

static void push(queue *self, item *what)
{
    node *place = malloc(sizeof *place);
    *place = (node){NULL, what};
    (void)pthread_mutex_lock(&self->lock);
    while (self->count >= self->room) {
        (void)pthread_cond_wait(&self->drained, &self->lock);
    }
    *self->last = place;
    self->last = &place->next;
    if (self->count++ == 0) {
        (void)pthread_cond_signal(&self->filled);
    }
    (void)pthread_mutex_unlock(&self->lock);
}

static node *drain(queue *self)
{
    (void)pthread_mutex_lock(&self->lock);
    while (!self->count && !self->over) {
        (void)pthread_cond_wait(&self->filled, &self->lock);
    }
    node *list = self->first;
    self->first = NULL;
    self->last = &self->first;
    self->count = 0;
    (void)pthread_cond_broadcast(&self->drained);
    (void)pthread_mutex_unlock(&self->lock);
    return list;
}

static void end(queue *self)
{
    (void)pthread_mutex_lock(&self->lock);
    self->over = true;
    (void)pthread_cond_broadcast(&self->filled);
    (void)pthread_mutex_unlock(&self->lock);
}

static long consume(node *list)
{
    long count = 0;
    while (list) {
        node *next = list->next;
        if (atomic_fetch_sub(&list->what->refs, 1) == 1) {
            free(list->what);
        }
        free(list);
        list = next;
        count++;
    }
    return count;
}

static void *consumer(void *argument)
{
    queue *self = argument;
    node *list;
    while ((list = drain(self)) != NULL) {
        (void)consume(list);
    }
    return NULL;
}

typedef struct producer {
    queue *to;
    const bench_job *job;
    long count;
} producer;

static void *produce(void *argument)
{
    producer *self = argument;
    char *data = calloc(1, self->job->size);
    for (long i = 0; i < self->count; i++) {
        push(self->to, new_item(data, self->job->size, 1));
    }
    free(data);
    return NULL;
}

static void run(const bench_job *job, bench_side *side, int threads)
{
    queue between;
    pthread_t consumers[2], producers[2];
    queue_init(&between, 1);
    producer self = {&between, job, job->count / threads};
    for (int i = 0; i < threads; i++) {
        (void)pthread_create(&consumers[i], NULL, consumer, &between);
    }
    bench_begin(side);
    for (int i = 0; i < threads; i++) {
        (void)pthread_create(&producers[i], NULL, produce, &self);
    }
    for (int i = 0; i < threads; i++) {
        (void)pthread_join(producers[i], NULL);
    }
    end(&between);
    for (int i = 0; i < threads; i++) {
        (void)pthread_join(consumers[i], NULL);
    }
    bench_end(side);
}

void raw_one_to_one(const bench_job *job, bench_side *side)
{
    run(job, side, 1);
}

void raw_two_to_two(const bench_job *job, bench_side *side)
{
    run(job, side, 2);
}

/* One item in each group's queue, two threads that drain half of the queues each. */
typedef struct group_set {
    queue *queues;
    int from, to;
    long left;
} group_set;

static void *drain_set(void *argument)
{
    group_set *self = argument;
    while (self->left > 0) {
        long before = self->left;
        for (int i = self->from; i < self->to && self->left > 0; i++) {
            queue *one = &self->queues[i];
            (void)pthread_mutex_lock(&one->lock);
            node *list = one->first;
            one->first = NULL;
            one->last = &one->first;
            one->count = 0;
            (void)pthread_cond_broadcast(&one->drained);
            (void)pthread_mutex_unlock(&one->lock);
            self->left -= consume(list);
        }
        if (self->left == before) {
            struct timespec moment = {.tv_nsec = 50000};
            (void)nanosleep(&moment, NULL);
        }
    }
    return NULL;
}

void raw_fan_out(const bench_job *job, bench_side *side)
{
    int groups = job->argument, half = groups / 2;
    long messages = job->count / groups;
    queue *queues = calloc((size_t)groups, sizeof *queues);
    char *data = calloc(1, job->size);
    pthread_t threads[2];
    for (int i = 0; i < groups; i++) {
        queue_init(&queues[i], groups);
    }
    group_set sets[2] = {{queues, 0, half, messages * half},
                         {queues, half, groups, messages * (groups - half)}};
    bench_begin(side);
    for (int i = 0; i < 2; i++) {
        (void)pthread_create(&threads[i], NULL, drain_set, &sets[i]);
    }
    for (long m = 0; m < messages; m++) {
        item *what = new_item(data, job->size, groups);
        for (int i = 0; i < groups; i++) {
            push(&queues[i], what);
        }
    }
    for (int i = 0; i < 2; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    bench_end(side);
    free(data);
    free(queues);
}

/* ---- latency */
typedef struct echo {
    queue to;
    atomic_int_fast64_t arrived_ns;
    atomic_long number;
} echo;

static void *on_arrival(void *argument)
{
    echo *self = argument;
    node *list;
    while ((list = drain(&self->to)) != NULL) {
        atomic_store(&self->arrived_ns, bench_now_ns());
        atomic_fetch_add(&self->number, consume(list));
    }
    return NULL;
}

static void ping(const bench_job *job, bench_side *side, bool same_thread)
{
    echo self;
    pthread_t thread;
    memset(&self, 0, sizeof self);
    queue_init(&self.to, 1);
    if (!same_thread) {
        (void)pthread_create(&thread, NULL, on_arrival, &self);
    }
    int64_t *ns = calloc((size_t)job->count, sizeof *ns);
    char *data = calloc(1, job->size);
    bench_begin(side);
    for (long i = 0; i < job->count; i++) {
        int64_t began = bench_now_ns();
        push(&self.to, new_item(data, job->size, 1));
        if (same_thread) {
            node *list = drain(&self.to);
            atomic_store(&self.arrived_ns, bench_now_ns());
            (void)consume(list);
        } else {
            while (atomic_load(&self.number) <= i) {
                struct timespec moment = {.tv_nsec = 1000};
                (void)nanosleep(&moment, NULL);
            }
        }
        ns[i] = atomic_load(&self.arrived_ns) - began;
    }
    bench_end(side);
    bench_latencies(side, ns, (size_t)job->count);
    free(ns);
    free(data);
}

void raw_latency(const bench_job *job, bench_side *side)
{
    ping(job, side, false);
}

void raw_latency_same_thread(const bench_job *job, bench_side *side)
{
    ping(job, side, true);
}
