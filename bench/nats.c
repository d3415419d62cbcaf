/* SPDX-License-Identifier: Apache-2.0
 * nats: against raw libnats, on a server of its own: JetStream confirmed publish, consume and ack,
 * core one way, request and reply. */
#include "nats_raw.h"
#include "ours.h"

#include "support/server.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CALL = 64, WINDOW = 4096, DRIVEN = 1 };

static marty_bus *open_bus(const bench_job *job, bench_side *side, const char *service)
{
    char url[300];
    marty_bus *bus = NULL;
    marty_error why = {0};
    (void)snprintf(url, sizeof url, "%s?prefix=b%d", job->url, (int)getpid());
    marty_bus_options options = {
        .service = service, .inflight_max = WINDOW, .driven = job->argument == DRIVEN};
    ours_check(side, marty_bus_open(&bus, url, &options, &why), &why, "open");
    return bus;
}

typedef struct outcomes {
    atomic_long stored, bad;
} outcomes;

static void on_stored(void *user, const marty_outcome *list, size_t count)
{
    outcomes *self = user;
    long bad = 0;
    for (size_t i = 0; i < count; i++) {
        bad += list[i].err ? 1 : 0;
    }
    atomic_fetch_add(&self->stored, (long)count);
    atomic_fetch_add(&self->bad, bad);
}

static void publish_window(marty_bus *bus, bench_side *side, const bench_job *job,
                           marty_pattern pattern, long count)
{
    outcomes self = {0};
    marty_error why = {0};
    char *data = calloc(1, job->size);
    marty_publish_options options = {
        .done = on_stored, .user = &self, .wait_for_room = true, .timeout_ms = 30000};
    const marty_message message = {.type = "bench.done", .data = {data, job->size}};
    const marty_message *list[CALL];
    for (size_t i = 0; i < CALL; i++) {
        list[i] = &message;
    }
    for (long i = 0; i < count; i += CALL) {
        size_t some = count - i < CALL ? (size_t)(count - i) : CALL;
        ours_check(side, marty_publish(bus, pattern, NULL, list, some, &options, &why), &why,
                   "publish");
    }
    ours_wait(side, &self.stored, count);
    if (atomic_load(&self.bad)) {
        bench_fail(side, "%ld were not stored", atomic_load(&self.bad));
    }
    free(data);
}

static void publish(const bench_job *job, bench_side *side)
{
    marty_bus *bus = open_bus(job, side, "bench");
    ours_publish(bus, side, job, 1, 1); /* the stream is there */
    bench_begin(side);
    publish_window(bus, side, job, MARTY_EVENT, job->count);
    bench_end(side);
    marty_message *report = NULL;
    marty_error why = {0};
    ours_check(side, marty_topology(bus, "remove", "events.bench", true, &report, &why), &why,
               "remove");
    marty_message_unref(report);
    marty_bus_free(bus);
}

static void consume(const bench_job *job, bench_side *side)
{
    atomic_long seen = 0;
    marty_error why = {0};
    marty_bus *bus = open_bus(job, side, "bench");
    marty_subscribe_options options = {.batch_max = 256, .credit = 2000};
    ours_check(side,
               marty_subscribe_to_events(bus, "bench.*", ours_count, &seen, &options, NULL, &why),
               &why, "subscribe");
    publish_window(bus, side, job, MARTY_EVENT, job->count);
    bench_begin(side);
    ours_check(side, marty_bus_start(bus, &why), &why, "start");
    ours_wait(side, &seen, job->count);
    bench_end(side);
    marty_bus_free(bus);
}

static void one_way(const bench_job *job, bench_side *side)
{
    atomic_long seen = 0;
    marty_error why = {0};
    marty_bus *in = open_bus(job, side, "bench"), *out = open_bus(job, side, "other");
    marty_subscribe_options options = {.batch_max = 256, .credit = 65536};
    ours_check(
        side, marty_subscribe_to_broadcasts(in, "bench.*", ours_count, &seen, &options, NULL, &why),
        &why, "subscribe");
    ours_check(side, marty_bus_start(in, &why), &why, "start");
    bench_begin(side);
    publish_window(out, side, job, MARTY_BROADCAST, job->count);
    ours_wait(side, &seen, job->count);
    bench_end(side);
    marty_bus_free(out);
    marty_bus_free(in);
}

static marty_err answer(void *user, marty_delivery *query)
{
    (void)user;
    marty_message reply = {.data = query->message->data};
    return marty_reply(query, &reply, NULL);
}

static void *drive(void *bus)
{
    marty_error why = {0};
    if (marty_bus_run(bus, &why)) {
        fprintf(stderr, "bench: the responder stopped: %s\n", why.text);
    }
    return NULL;
}

/* Driven: a thread of the program's own runs the responder's bus. */
static void request(const bench_job *job, bench_side *side)
{
    pthread_t driver;
    marty_error why = {0};
    marty_bus *in = open_bus(job, side, "user"), *out = open_bus(job, side, "other");
    ours_check(side, marty_handle_queries(in, "profile", answer, NULL, NULL, NULL, &why), &why,
               "handle");
    ours_check(side, marty_bus_start(in, &why), &why, "start");
    if (job->argument == DRIVEN && pthread_create(&driver, NULL, drive, in) != 0) {
        bench_fail(side, "no thread");
    }
    int64_t *ns = calloc((size_t)job->count, sizeof *ns);
    char *data = calloc(1, job->size);
    bench_begin(side);
    for (long i = 0; i < job->count; i++) {
        marty_message *reply = NULL;
        int64_t began = bench_now_ns();
        ours_check(
            side,
            marty_query(out, "user", "profile", (marty_bytes){data, job->size}, NULL, &reply, &why),
            &why, "query");
        ns[i] = bench_now_ns() - began;
        marty_message_unref(reply);
    }
    bench_end(side);
    bench_latencies(side, ns, (size_t)job->count);
    free(data);
    free(ns);
    if (job->argument == DRIVEN) {
        marty_bus_stop(in);
        (void)pthread_join(driver, NULL);
    }
    marty_bus_free(out);
    marty_bus_free(in);
}

void bench_nats(int rounds)
{
    static const size_t sizes[] = {128, 1024};
    char why[300] = "", url[200];
    test_server server = {0};
    test_server_options options = {.kind = TEST_NATS_NEW};
    if (!test_server_start(&server, &options, why, sizeof why)) {
        options.kind = TEST_NATS_OLD;
        if (!test_server_start(&server, &options, why, sizeof why)) {
            (void)fprintf(stderr, "nats: not measured: %s\n", why);
            return;
        }
    }
    test_server_url(&server, url, sizeof url);
    bench_broker((long)server.process.pid);
    for (size_t i = 0; i < 2; i++) {
        bench_job job = {.what = "nats-jetstream-publish",
                         .size = sizes[i],
                         .count = 50000,
                         .unit = "msg/s",
                         .url = url};
        job.ours = publish, job.raw = raw_nats_publish;
        bench_pair(&job, rounds);
        job.what = "nats-jetstream-consume-ack", job.ours = consume, job.raw = raw_nats_consume;
        bench_pair(&job, rounds);
        job.what = "nats-core-one-way", job.count = 300000, job.ours = one_way,
        job.raw = raw_nats_one_way;
        bench_pair(&job, rounds);
        job.what = "nats-request-reply", job.count = 5000, job.unit = "us", job.latency = true;
        job.ours = request, job.raw = raw_nats_request;
        bench_pair(&job, rounds);
        job.what = "nats-request-reply-driven", job.argument = DRIVEN;
        bench_pair(&job, rounds);
    }
    test_server_free(&server);
}
