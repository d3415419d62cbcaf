/* SPDX-License-Identifier: Apache-2.0
 * memory: against a plain mutex queue whose consumer drains it, with owned messages: what a program
 * without a bus would write. */
#include "memory_raw.h"
#include "ours.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void subscribe(marty_bus *bus, bench_side *side, const char *group, uint32_t concurrency,
                      uint32_t room, atomic_long *counter)
{
    marty_error why = {0};
    marty_subscribe_options options = {
        .group = group, .batch_max = 256, .credit = room, .concurrency = concurrency};
    ours_check(side,
               marty_subscribe_to_events(bus, "bench.*", ours_count, counter, &options, NULL, &why),
               &why, "subscribe");
}

/* What is published and what has come; publishers are as far ahead as a raw queue lets them. */
typedef struct flow {
    atomic_long sent, seen;
    int receivers;
} flow;

static void publish(marty_bus *bus, bench_side *side, const bench_job *job, long count,
                    size_t batch, flow *between)
{
    long room = (long)memory_room(between->receivers), receivers = between->receivers;
    while (count > 0) {
        long some = count < room / 2 ? count : room / 2;
        ours_publish(bus, side, job, some, batch);
        count -= some;
        long sent = atomic_fetch_add(&between->sent, some) + some;
        while (sent * receivers - atomic_load(&between->seen) > room * receivers) {
            struct timespec moment = {.tv_nsec = 20000};
            (void)nanosleep(&moment, NULL);
        }
    }
}

/* First as many as the broker keeps as history, so that what is measured is the steady state. */
enum { WARM = 40000 };

static void warm_up(marty_bus *bus, bench_side *side, const bench_job *job, flow *between)
{
    int receivers = between->receivers;
    long count = receivers > 100 ? 2 * (long)memory_room(receivers) : WARM;
    publish(bus, side, job, count, receivers > 100 ? 16 : 256, between);
    ours_wait(side, &between->seen, count * receivers);
    atomic_store(&between->seen, 0);
    atomic_store(&between->sent, 0);
}

/* One publisher, one handler; job->argument: messages a call. */
static void one_to_one(const bench_job *job, bench_side *side)
{
    flow between = {.receivers = 1};
    marty_error why = {0};
    marty_bus *bus = ours_open(job, side, "bench");
    subscribe(bus, side, "one", 1, memory_room(1), &between.seen);
    ours_check(side, marty_bus_start(bus, &why), &why, "start");
    warm_up(bus, side, job, &between);
    bench_begin(side);
    publish(bus, side, job, job->count, (size_t)job->argument, &between);
    ours_wait(side, &between.seen, job->count);
    bench_end(side);
    marty_bus_free(bus);
}

typedef struct publisher {
    marty_bus *bus;
    bench_side *side;
    const bench_job *job;
    long count;
    flow *between;
} publisher;

static void *publish_half(void *argument)
{
    publisher *self = argument;
    publish(self->bus, self->side, self->job, self->count, 256, self->between);
    return NULL;
}

static void two_to_two(const bench_job *job, bench_side *side)
{
    flow between = {.receivers = 1};
    marty_error why = {0};
    pthread_t threads[2];
    marty_bus *bus = ours_open(job, side, "bench");
    subscribe(bus, side, "two", 2, memory_room(1), &between.seen);
    ours_check(side, marty_bus_start(bus, &why), &why, "start");
    publisher self = {bus, side, job, job->count / 2, &between};
    warm_up(bus, side, job, &between);
    bench_begin(side);
    for (int i = 0; i < 2; i++) {
        (void)pthread_create(&threads[i], NULL, publish_half, &self);
    }
    for (int i = 0; i < 2; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    ours_wait(side, &between.seen, job->count / 2 * 2);
    bench_end(side);
    marty_bus_free(bus);
}

/* count is of deliveries: each message goes to job->argument groups. */
static void fan_out(const bench_job *job, bench_side *side)
{
    flow between = {.receivers = job->argument};
    marty_error why = {0};
    marty_bus *bus = ours_open(job, side, "bench");
    for (int i = 0; i < job->argument; i++) {
        char group[32];
        (void)snprintf(group, sizeof group, "group-%d", i);
        subscribe(bus, side, group, 1, memory_room(job->argument), &between.seen);
    }
    ours_check(side, marty_bus_start(bus, &why), &why, "start");
    long messages = job->count / job->argument;
    warm_up(bus, side, job, &between);
    bench_begin(side);
    publish(bus, side, job, messages, job->argument > 100 ? 16 : 256, &between);
    ours_wait(side, &between.seen, messages * job->argument);
    bench_end(side);
    marty_bus_free(bus);
}

/* ---- latency: from publish to handler, one at a time */
typedef struct ping {
    atomic_int_fast64_t arrived_ns;
    atomic_int number;
} ping;

static marty_err on_ping(void *user, marty_delivery *delivery)
{
    ping *self = user;
    (void)delivery;
    atomic_store(&self->arrived_ns, bench_now_ns());
    atomic_fetch_add(&self->number, 1);
    return MARTY_OK;
}

static void wait_for_ping(marty_bus *bus, ping *self, int number, bool driven)
{
    while (atomic_load(&self->number) < number) {
        if (driven) {
            (void)marty_bus_process(bus, 0, NULL, NULL);
        } else {
            struct timespec moment = {.tv_nsec = 1000};
            (void)nanosleep(&moment, NULL);
        }
    }
}

static void latency(const bench_job *job, bench_side *side)
{
    bool driven = job->argument != 0;
    ping self = {0};
    marty_error why = {0};
    marty_bus *bus = NULL;
    marty_bus_options options = {.service = "bench", .driven = driven};
    ours_check(side, marty_bus_open(&bus, job->url, &options, &why), &why, "open");
    ours_check(side, marty_subscribe_to_events(bus, "bench.*", on_ping, &self, NULL, NULL, &why),
               &why, "subscribe");
    ours_check(side, marty_bus_start(bus, &why), &why, "start");
    int64_t *ns = calloc((size_t)job->count, sizeof *ns);
    char *data = calloc(1, job->size);
    for (long i = 0; i < WARM + job->count; i++) {
        if (i == WARM) {
            bench_begin(side);
        }
        int64_t began = bench_now_ns();
        ours_check(
            side,
            marty_publish_event(bus, "bench.ping", (marty_bytes){data, job->size}, NULL, &why),
            &why, "publish");
        wait_for_ping(bus, &self, (int)i + 1, driven);
        ns[i < WARM ? 0 : i - WARM] = atomic_load(&self.arrived_ns) - began;
    }
    bench_end(side);
    bench_latencies(side, ns, (size_t)job->count);
    free(ns);
    free(data);
    marty_bus_free(bus);
}

void bench_memory(int rounds)
{
    static const size_t sizes[] = {128, 1024};
    for (size_t i = 0; i < 2; i++) {
        bench_job job = {.size = sizes[i], .unit = "msg/s", .url = "memory:"};
        job.what = "memory-1-to-1-batched", job.count = 2000000, job.argument = 256;
        job.ours = one_to_one, job.raw = raw_one_to_one;
        bench_pair(&job, rounds);
        job.what = "memory-1-to-1-single", job.count = 200000, job.argument = 1;
        bench_pair(&job, rounds);
        job.what = "memory-2-to-2-batched", job.count = 2000000, job.argument = 256;
        job.ours = two_to_two, job.raw = raw_two_to_two;
        bench_pair(&job, rounds);
        job.what = "memory-fan-out-8", job.count = 4000000, job.argument = 8;
        job.ours = fan_out, job.raw = raw_fan_out;
        bench_pair(&job, rounds);
        job.what = "memory-fan-out-1000", job.count = 4000000, job.argument = 1000;
        bench_pair(&job, rounds);
        job.what = "memory-latency-workers", job.count = 20000, job.argument = 0, job.unit = "us",
        job.latency = true;
        job.ours = latency, job.raw = raw_latency;
        bench_pair(&job, rounds);
        job.what = "memory-latency-driven", job.count = 100000, job.argument = 1;
        job.raw = raw_latency_same_thread;
        bench_pair(&job, rounds);
    }
}
