/* SPDX-License-Identifier: Apache-2.0
 * Runs pairs: each side in a process of its own, ours and raw in turn; the median run of each is
 * what counts. */
#include "bench.h"

#include <dirent.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS_MAX = 31, COUNTED_MAX = 20000 };

int64_t bench_now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static double cpu_now(void)
{
    struct rusage used;
    (void)getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

/* ---- the broker: CPU time and bytes written, of the process, its threads and its children */
static long broker;

void bench_broker(long pid)
{
    broker = pid;
}

/* The first line of a file of /proc that begins so, behind that; "" when there is none. */
static void read_line(const char *path, const char *begins, char *ret, size_t size)
{
    char line[4096];
    FILE *file = fopen(path, "r");
    *ret = '\0';
    while (file && !*ret && fgets(line, sizeof line, file)) {
        if (strncmp(line, begins, strlen(begins)) == 0) {
            (void)snprintf(ret, size, "%s", line + strlen(begins));
        }
    }
    if (file) {
        (void)fclose(file);
    }
}

static double cpu_of(long pid)
{
    char path[300], text[64];
    double sum = 0;
    (void)snprintf(path, sizeof path, "/proc/%ld/task", pid);
    DIR *tasks = opendir(path);
    for (struct dirent *task; tasks && (task = readdir(tasks)) != NULL;) {
        (void)snprintf(path, sizeof path, "/proc/%ld/task/%.20s/schedstat", pid, task->d_name);
        read_line(path, "", text, sizeof text);
        sum += (double)strtoull(text, NULL, 10);
    }
    if (tasks) {
        (void)closedir(tasks);
    }
    return sum / 1e9;
}

static double written_by(long pid)
{
    char path[64], text[64];
    (void)snprintf(path, sizeof path, "/proc/%ld/io", pid);
    read_line(path, "wchar:", text, sizeof text);
    return (double)strtoull(text, NULL, 10);
}

static double sum_of_broker(double (*of)(long pid))
{
    char path[64], text[4096], *at = text;
    if (!broker) {
        return 0;
    }
    (void)snprintf(path, sizeof path, "/proc/%ld/task/%ld/children", broker, broker);
    read_line(path, "", text, sizeof text);
    double sum = of(broker);
    for (long child; (child = strtol(at, &at, 10)) > 0;) {
        sum += of(child);
    }
    return sum;
}

static uint64_t written_now(void)
{
    return (uint64_t)(written_by((long)getpid()) + sum_of_broker(written_by));
}

static bool count_allocations;

void bench_begin(bench_side *side)
{
    bench_count_allocations(count_allocations);
    side->broker_seconds = sum_of_broker(cpu_of);
    side->written = written_now();
    side->syncs = bench_syncs();
    side->measuring = 1;
    side->cpu_seconds = cpu_now();
    side->seconds = (double)bench_now_ns() / 1e9;
}

void bench_end(bench_side *side)
{
    side->seconds = (double)bench_now_ns() / 1e9 - side->seconds;
    side->cpu_seconds = cpu_now() - side->cpu_seconds;
    side->measuring = 0;
    side->broker_seconds = sum_of_broker(cpu_of) - side->broker_seconds;
    side->written = written_now() - side->written;
    side->syncs = bench_syncs() - side->syncs;
    side->allocations = bench_allocations();
    bench_count_allocations(false);
    struct rusage used;
    (void)getrusage(RUSAGE_SELF, &used);
    side->rss_kb = used.ru_maxrss;
}

_Noreturn void bench_fail(bench_side *side, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(side->failure, sizeof side->failure, format, arguments);
    va_end(arguments);
    _exit(1);
}

static int by_value(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return left < right ? -1 : left > right;
}

void bench_latencies(bench_side *side, int64_t *ns, size_t count)
{
    qsort(ns, count, sizeof *ns, by_value);
    side->p50_us = (double)ns[count / 2] / 1e3;
    side->p99_us = (double)ns[count * 99 / 100] / 1e3;
}

/* ---- one run of one side */
typedef void (*side_call)(const bench_job *job, bench_side *side);

static bench_side *shared_side(void)
{
    static bench_side *side;
    if (!side) {
        side = mmap(NULL, sizeof *side, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    }
    if (side == MAP_FAILED) {
        exit(1);
    }
    memset(side, 0, sizeof *side);
    return side;
}

static bench_side run_side(side_call call, const bench_job *job)
{
    bench_side *side = shared_side();
    (void)fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        call(job, side);
        side->done = true;
        _exit(0);
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child) {
        (void)snprintf(side->failure, sizeof side->failure, "no process");
    } else if (!side->done && !side->failure[0]) {
        (void)snprintf(side->failure, sizeof side->failure, "it crashed");
    }
    return *side;
}

double bench_value(const bench_job *job, const bench_side *side)
{
    return side->seconds <= 0 ? 0
           : job->measured    ? side->value
           : job->latency     ? side->p50_us
                              : (double)job->count / side->seconds;
}

/* The median run by what the pair compares. */
static bench_side median(const bench_job *job, bench_side *sides, int count)
{
    for (int i = 1; i < count; i++) {
        for (int k = i; k > 0 && bench_value(job, &sides[k]) < bench_value(job, &sides[k - 1]);
             k--) {
            bench_side other = sides[k];
            sides[k] = sides[k - 1];
            sides[k - 1] = other;
        }
    }
    return sides[count / 2];
}

/* Fewer messages under a counter: it is slow, and the numbers are per message anyway. */
static void count_calls(side_call call, const bench_job *job, bench_side *side)
{
    bench_job few = *job;
    long most = job->counted ? job->counted : COUNTED_MAX;
    if (most < 0) {
        return;
    }
    few.count = few.count > most ? most : few.count;
    double scale = (double)job->count / (double)few.count;
    bench_side *counted = shared_side();
    if (bench_trace(call, &few, counted)) {
        side->system_calls = (uint64_t)((double)counted->system_calls * scale);
    }
    count_allocations = true;
    bench_side allocated = run_side(call, &few);
    count_allocations = false;
    side->allocations = (uint64_t)((double)allocated.allocations * scale);
}

static const char *only;
static bool timed;

void bench_timed(void)
{
    timed = true;
}

void bench_only(const char *part)
{
    only = part;
}

bool bench_wants(const char *what)
{
    return !only || strstr(what, only);
}

void bench_pair(const bench_job *job, int rounds)
{
    if (!bench_wants(job->what)) {
        return;
    }
    bench_side ours[ROUNDS_MAX], raw[ROUNDS_MAX];
    int good_ours = 0, good_raw = 0;
    rounds = rounds > ROUNDS_MAX ? ROUNDS_MAX : rounds;
    for (int i = 0; i < rounds; i++) {
        ours[good_ours] = run_side(job->ours, job);
        if (ours[good_ours].failure[0]) {
            (void)fprintf(stderr, "%s %zu ours: %s\n", job->what, job->size,
                          ours[good_ours].failure);
        } else {
            good_ours++;
        }
        if (job->raw) {
            bench_job same = *job;
            same.group = good_ours ? ours[good_ours - 1].group : 0;
            raw[good_raw] = run_side(job->raw, &same);
            if (raw[good_raw].failure[0]) {
                (void)fprintf(stderr, "%s %zu raw: %s\n", job->what, job->size,
                              raw[good_raw].failure);
            } else {
                good_raw++;
            }
        }
    }
    bench_side best_ours = {0}, best_raw = {0};
    if (good_ours) {
        best_ours = median(job, ours, good_ours);
    }
    if (good_ours && !timed) {
        count_calls(job->ours, job, &best_ours);
    }
    if (good_raw) {
        best_raw = median(job, raw, good_raw);
    }
    if (good_raw && !timed) {
        bench_job same = *job;
        same.group = best_ours.group;
        count_calls(job->raw, &same, &best_raw);
    }
    bench_report(job, &best_ours, &best_raw);
}
