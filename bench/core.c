/* SPDX-License-Identifier: Apache-2.0
 * What core costs by itself: matching among a million subscriptions against a thousand, from start
 * to the first publish on memory:, and `marty --version` against /bin/true. */
#include "ours.h"

#include "bus/match.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- matching: "raw" is the same trie with 1,000 patterns */
static void match_among(const bench_job *job, bench_side *side, int patterns)
{
    marty__match *match = marty__match_new();
    for (int i = 0; i < patterns; i++) {
        char pattern[64];
        (void)snprintf(pattern, sizeof pattern, i % 10 ? "domain%d.created.v%d" : "domain%d.*.v%d",
                       i, i % 7);
        if (!match || marty__match_add(match, pattern, side)) {
            bench_fail(side, "no memory for %d patterns", patterns);
        }
    }
    char types[1024][64];
    for (int i = 0; i < 1024; i++) {
        int which = (int)((unsigned)i * 2654435761u % (unsigned)patterns);
        (void)snprintf(types[i], sizeof types[i], "domain%d.created.v%d", which, which % 7);
    }
    bench_begin(side);
    for (long i = 0; i < job->count; i++) {
        if (!marty__match_first(match, types[i & 1023])) {
            bench_fail(side, "no match for %s", types[i & 1023]);
        }
    }
    bench_end(side);
    side->p50_us = side->seconds * 1e6 / (double)job->count;
}

static void match_million(const bench_job *job, bench_side *side)
{
    match_among(job, side, 1000000);
}

static void match_thousand(const bench_job *job, bench_side *side)
{
    match_among(job, side, 1000);
}

/* ---- start */
static void first_publish(const bench_job *job, bench_side *side)
{
    int64_t *ns = calloc((size_t)job->count, sizeof *ns);
    bench_begin(side);
    for (long i = 0; i < job->count; i++) {
        int64_t began = bench_now_ns();
        marty_error why = {0};
        marty_bus *bus = ours_open(job, side, "bench");
        ours_check(side, marty_publish_event(bus, "bench.first", marty_text("{}"), NULL, &why),
                   &why, "publish");
        ns[i] = bench_now_ns() - began;
        marty_bus_free(bus);
    }
    bench_end(side);
    bench_latencies(side, ns, (size_t)job->count);
    free(ns);
}

static void run_program(const bench_job *job, bench_side *side, const char *program,
                        const char *word)
{
    int64_t *ns = calloc((size_t)job->count, sizeof *ns);
    bench_begin(side);
    for (long i = 0; i < job->count; i++) {
        int64_t began = bench_now_ns();
        int status = 0;
        pid_t child = fork();
        if (child == 0) {
            int nowhere = open("/dev/null", O_WRONLY);
            (void)dup2(nowhere, STDOUT_FILENO);
            (void)execl(program, program, word, (char *)NULL);
            _exit(127);
        }
        if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
            bench_fail(side, "%s %s ended with %d", program, word, status);
        }
        ns[i] = bench_now_ns() - began;
    }
    bench_end(side);
    bench_latencies(side, ns, (size_t)job->count);
    free(ns);
}

static void version(const bench_job *job, bench_side *side)
{
    run_program(job, side, BENCH_MARTY, "--version");
}

static void nothing(const bench_job *job, bench_side *side)
{
    run_program(job, side, "/bin/true", "--version");
}

void bench_core(int rounds)
{
    bench_job job = {
        .what = "match-1M-against-1k", .count = 1000000, .unit = "us", .latency = true};
    job.ours = match_million, job.raw = match_thousand;
    bench_pair(&job, rounds > 3 ? 3 : rounds);
    job.what = "start-to-first-publish", job.count = 50,
    job.url = "memory:", job.ours = first_publish, job.raw = NULL;
    bench_pair(&job, rounds);
    job.what = "marty-version-against-true", job.count = 40, job.ours = version, job.raw = nothing;
    bench_pair(&job, rounds);
}
