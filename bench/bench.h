/* SPDX-License-Identifier: Apache-2.0
 * Benchmarks: each pair is one job done by us and by the raw client, alternating, each time in a
 * fresh process, medians of 7. A side does its preparation, calls bench_begin, does the job, calls
 * bench_end. Rates are noisy on a shared machine; CPU time, system calls and allocations per
 * message are not, so they stand beside. Nothing here is a test: no number fails anything. */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct bench_side { /* what one side measured, in memory shared with the runner */
    double seconds, cpu_seconds, broker_seconds; /* the last: CPU time of the broker meanwhile */
    double p50_us, p99_us;                       /* 0 = not measured */
    double value;                                /* of a job that compares what it measured */
    long rss_kb;
    uint64_t allocations, system_calls;
    uint64_t written, syncs; /* bytes given to write, the broker's too; fsync and fdatasync */
    volatile int measuring;  /* between begin and end: the tracer counts */
    double group;            /* transitions in a commit, of a side that counts them */
    bool done;
    char failure[200];
} bench_side;

typedef struct bench_job {
    const char *what; /* "nats-jetstream-publish" */
    size_t size;      /* bytes of a message */
    long count;       /* messages of a timed run */
    const char *unit; /* "msg/s"; latency: "us" */
    bool latency;     /* compare p50 instead of the rate */
    bool measured;    /* compare side->value instead of the rate */
    void (*ours)(const struct bench_job *job, bench_side *side);
    void (*raw)(const struct bench_job *job, bench_side *side);
    const char *url; /* of the broker or file, when it needs one */
    int argument;    /* of the job: how many groups, threads, subscriptions */
    double group;    /* of a raw side: that of our run just before it; 0 = it has none */
    long counted;    /* most messages of the runs that count calls; 0 = 20,000; -1 = no such runs */
} bench_job;

void bench_begin(bench_side *side);
void bench_end(bench_side *side);
/** It cannot go on: say why and end this process. */
_Noreturn void bench_fail(bench_side *side, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/** Latencies in nanoseconds (sorted here) into p50 and p99. */
void bench_latencies(bench_side *side, int64_t *ns, size_t count);
int64_t bench_now_ns(void);
/** The broker's process, so that the CPU time of it and its children is counted, too; 0 = none. */
void bench_broker(long pid);
/** Run a pair and print its row. rounds: how often each side runs. */
void bench_pair(const bench_job *job, int rounds);

/** Run only the pairs whose name contains part. */
void bench_only(const char *part);
bool bench_wants(const char *what);

/** Leave out the runs that count calls and allocations. */
void bench_timed(void);

/* ---- the parts; each runs its pairs */
void bench_memory(int rounds);
void bench_sqlite(int rounds);
void bench_nats(int rounds);
void bench_core(int rounds);
void bench_saga_sqlite(int rounds);
void bench_saga_postgres(int rounds);
void bench_saga_many(int rounds);
/** --postgres URL of the command line, or NULL. */
const char *bench_postgres(void);
/** What a pair compares. */
double bench_value(const bench_job *job, const bench_side *side);

/* ---- count.c: allocations of this process while it measures */
void bench_count_allocations(bool on);
uint64_t bench_allocations(void);
/** Calls of fsync and fdatasync by this process, ever. */
uint64_t bench_syncs(void);
/* ---- trace.c: run a side under a tracer that counts its system calls while it measures */
bool bench_trace(void (*run)(const bench_job *job, bench_side *side), const bench_job *job,
                 bench_side *side);
/* ---- report.c */
bool bench_report_open(const char *path);
void bench_report(const bench_job *job, const bench_side *ours, const bench_side *raw);
void bench_report_close(void);
/** Where a scratch file may be. */
const char *bench_folder(void);
#endif
