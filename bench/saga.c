/* SPDX-License-Identifier: Apache-2.0
 * Durable sagas: an order of four steps, each a command to a service that answers; every transition
 * in the store, synced. Beside it the plain program that writes the same rows in group commits of
 * the same size, as our run just before it had them. And what many sagas cost: a million that wait,
 * a hundred thousand after a crash. */
#include "saga.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    WARM_UP = 32,
    COUNTED = 500,
    MANY_ROUNDS = 3,
    WAITING = 1000000,
    OPEN = 100000,
    NAPS = 2000
};

static void measure(const bench_job *job, bench_side *side, const char *bus_url,
                    const char *store_url, saga_who who)
{
    saga_world world;
    int64_t *ns = calloc((size_t)job->count, sizeof *ns);
    saga_open(&world, side, bus_url, store_url, who);
    saga_run(&world, "nap", WARM_UP, WARM_UP, true, NULL);
    double transitions[2], commits[2];
    saga_numbers(&world, &transitions[0], &commits[0]);
    bench_begin(side);
    saga_run(&world, "order", job->count, job->argument, true, ns);
    bench_end(side);
    saga_numbers(&world, &transitions[1], &commits[1]);
    side->group = (transitions[1] - transitions[0]) / (commits[1] - commits[0]);
    bench_latencies(side, ns, (size_t)job->count);
    saga_close(&world);
    free(ns);
}

static void on_sqlite(const bench_job *job, bench_side *side)
{
    char path[400], url[420];
    saga_path(path, sizeof path, "sagas");
    (void)snprintf(url, sizeof url, "sqlite:%s", path);
    measure(job, side, "memory:", url, SAGA_ANSWER);
}

/* Everything is kept: the messages, what the services did, the sagas. */
static void on_files(const bench_job *job, bench_side *side)
{
    char path[400], url[420], bus_url[420];
    saga_path(path, sizeof path, "sagas");
    (void)snprintf(url, sizeof url, "sqlite:%s", path);
    saga_path(path, sizeof path, "bus");
    (void)snprintf(bus_url, sizeof bus_url, "sqlite:%s", path);
    measure(job, side, bus_url, url, SAGA_DURABLE);
}

typedef struct at_once {
    int in_flight;
    long count;
} at_once;
static const at_once points[] = {{1, 500}, {16, 2000}, {128, 5000}, {1024, 10000}};
enum { POINTS = sizeof points / sizeof points[0] };

static void bench_points(const char *name, int rounds, bench_job job)
{
    char what[60];
    for (size_t i = 0; i < POINTS; i++) {
        (void)snprintf(what, sizeof what, "saga-%s-%d", name, points[i].in_flight);
        job.what = what;
        job.count = points[i].count;
        job.argument = points[i].in_flight;
        job.unit = "saga/s";
        job.counted = COUNTED;
        job.latency = false;
        bench_pair(&job, rounds);
        if (points[i].in_flight == 1) {
            (void)snprintf(what, sizeof what, "saga-%s-alone", name);
            job.unit = "us";
            job.latency = true;
            job.counted = -1;
            bench_pair(&job, rounds);
        }
    }
}

void bench_saga_sqlite(int rounds)
{
    bench_points("sqlite", rounds, (bench_job){.ours = on_sqlite, .raw = saga_raw_sqlite});
    bench_job job = {.what = "saga-all-in-files-128",
                     .count = 2000,
                     .argument = 128,
                     .unit = "saga/s",
                     .counted = COUNTED,
                     .ours = on_files};
    bench_pair(&job, rounds);
}

#ifdef BENCH_POSTGRES
static void on_postgres(const bench_job *job, bench_side *side)
{
    char url[300];
    saga_postgres_fresh(side, url, sizeof url);
    saga_make_tables(side, url);
    uint64_t syncs = saga_postgres_syncs(side);
    measure(job, side, "memory:", url, SAGA_ANSWER);
    side->syncs = saga_postgres_syncs(side) - syncs;
}
#endif

void bench_saga_postgres(int rounds)
{
    (void)rounds;
#ifdef BENCH_POSTGRES
    if (bench_postgres()) {
        bench_broker(saga_postgres_pid());
        bench_points("postgres", rounds,
                     (bench_job){.ours = on_postgres, .raw = saga_raw_postgres});
        bench_broker(0);
        return;
    }
#endif
    (void)fprintf(stderr, "postgres: not measured: --postgres URL (tests/support/with_postgres.sh "
                          "gives one), and libpq when it was built\n");
}

/* ---- many */
static long resident(void)
{
    long pages = 0;
    char text[100];
    FILE *file = fopen("/proc/self/statm", "r");
    if (file && fgets(text, sizeof text, file)) {
        char *at = text;
        (void)strtol(text, &at, 10);
        pages = strtol(at, NULL, 10);
    }
    if (file) {
        (void)fclose(file);
    }
    return pages * sysconf(_SC_PAGESIZE);
}

static void open_many(const bench_job *job, saga_world *world, bench_side *side)
{
    char url[520];
    (void)snprintf(url, sizeof url, "sqlite:%s", job->url);
    saga_open(world, side, "memory:", url, SAGA_ANSWER);
}

/* The whole process, once it has started some more and has shared its time with their timers. */
static void waiting_memory(const bench_job *job, bench_side *side)
{
    saga_world world;
    open_many(job, &world, side);
    bench_begin(side);
    saga_run(&world, "wait", NAPS, 64, false, NULL);
    saga_run(&world, "order", NAPS, 64, true, NULL);
    bench_end(side);
    side->value = (double)resident() / (double)job->count;
    saga_close(&world);
}

static void naps(const bench_job *job, bench_side *side)
{
    saga_world world;
    int64_t *ns = calloc((size_t)job->count, sizeof *ns);
    open_many(job, &world, side);
    saga_run(&world, "nap", WARM_UP, WARM_UP, true, NULL);
    bench_begin(side);
    saga_run(&world, "nap", job->count, job->argument, true, ns);
    bench_end(side);
    bench_latencies(side, ns, (size_t)job->count);
    saga_close(&world);
    free(ns);
}

/* The same with no other timer. */
static void naps_alone(const bench_job *job, bench_side *side)
{
    char path[400];
    bench_job here = *job;
    saga_path(path, sizeof path, "naps");
    here.url = path;
    naps(&here, side);
}

static void wait_for(bench_side *side, saga_world *world, long count, bool ended)
{
    int64_t until = bench_now_ns() + INT64_C(300000000000);
    for (long have = 0; have < count;) {
        (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        have = atomic_load(&world->asked);
        if (bench_now_ns() > until) {
            bench_fail(side, "%ld of %ld commands came", have, count);
        }
    }
    for (marty_message *report = NULL; ended;) { /* the last answers are being written */
        char done[32];
        marty_error why = {0};
        (void)snprintf(done, sizeof done, "\"completed\":%d,", OPEN);
        if (marty_saga_report(world->engine, &report, &why) != MARTY_OK || bench_now_ns() > until) {
            bench_fail(side, "they have not all ended: %.150s", (const char *)report->data.data);
        }
        ended = !strstr(report->data.data, done);
        marty_message_unref(report);
        (void)nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    }
}

static void recover(const bench_job *job, bench_side *side, saga_who who)
{
    char path[400], url[420];
    saga_world world;
    saga_path(path, sizeof path, "crashed");
    saga_copy(side, job->url, path);
    (void)snprintf(url, sizeof url, "sqlite:%s", path);
    bench_begin(side);
    saga_open(&world, side, "memory:", url, who);
    wait_for(side, &world, who == SAGA_SILENT ? job->count : job->count * SAGA_STEPS,
             who == SAGA_ANSWER);
    bench_end(side);
    (void)unlink(path);
    side->done = true;
    _exit(0); /* its end is not measured */
}

static void resend(const bench_job *job, bench_side *side)
{
    recover(job, side, SAGA_SILENT);
}

static void recovery(const bench_job *job, bench_side *side)
{
    recover(job, side, SAGA_ANSWER);
}

void bench_saga_many(int rounds)
{
    char waiting[400], open[400];
    rounds = rounds > MANY_ROUNDS ? MANY_ROUNDS : rounds;
    saga_path(waiting, sizeof waiting, "waiting");
    saga_path(open, sizeof open, "open");
    bool wants_waiting =
        bench_wants("saga-memory-1M-waiting") || bench_wants("saga-timer-1M-pending");
    bool wants_open =
        bench_wants("saga-resend-100k-open") || bench_wants("saga-recovery-100k-open");
    if (wants_waiting && saga_fill_waiting(waiting, WAITING)) {
        bench_job job = {.what = "saga-memory-1M-waiting",
                         .count = WAITING,
                         .unit = "B/saga",
                         .measured = true,
                         .counted = -1,
                         .url = waiting,
                         .ours = waiting_memory};
        bench_pair(&job, rounds);
        job = (bench_job){.what = "saga-timer-1M-pending",
                          .count = NAPS,
                          .argument = 16,
                          .unit = "us",
                          .latency = true,
                          .counted = COUNTED,
                          .url = waiting,
                          .ours = naps,
                          .raw = naps_alone};
        bench_pair(&job, rounds);
    }
    if (wants_open && saga_fill_open(open, OPEN)) {
        bench_job job = {.what = "saga-resend-100k-open",
                         .count = OPEN,
                         .unit = "saga/s",
                         .counted = -1,
                         .url = open,
                         .ours = resend,
                         .raw = saga_raw_resend};
        bench_pair(&job, rounds);
        job.what = "saga-recovery-100k-open", job.ours = recovery, job.raw = saga_raw_recovery;
        bench_pair(&job, rounds);
    }
}
