/* SPDX-License-Identifier: Apache-2.0
 * marty-bench-raw URL SIZE RATE FOR-MS WARM-UP-MS: the open loop over a plain client. Two lines of
 * JSON on stdout; asked by `marty bench --compare raw`. */
#include "open.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

static const open_client *const clients[] = {&open_memory, &open_sqlite,
#ifdef BENCH_NATS
                                             &open_nats,
#endif
                                             NULL};

_Noreturn void open_fail(const char *what, const char *why)
{
    (void)fprintf(stderr, "raw: %s: %s\n", what, why);
    exit(1);
}

int64_t open_now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void count(open_run *run, cli_histogram *histogram, int64_t due_ns)
{
    if (due_ns >= run->warm_ns) {
        cli_histogram_add(histogram, (uint64_t)(open_now_ns() - due_ns));
    }
}

void open_stored(open_run *run, int64_t due_ns)
{
    count(run, &run->stored, due_ns);
    atomic_fetch_add(&run->answered, 1);
}

void open_delivered(open_run *run, const char *data)
{
    int64_t due_ns;
    memcpy(&due_ns, data, sizeof due_ns);
    count(run, &run->delivered, due_ns);
    atomic_fetch_add(&run->received, 1);
}

static void sleep_until(int64_t at_ns)
{
    struct timespec at = {.tv_sec = at_ns / 1000000000, .tv_nsec = at_ns % 1000000000};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) != 0) {
    }
}

static void send_all(open_run *run, const open_client *client, double gap_ns)
{
    int64_t due_ns[OPEN_BATCH];
    char *data = calloc(OPEN_BATCH, run->size);
    uint64_t n = 0;
    int64_t now = open_now_ns();
    (void)prctl(PR_SET_TIMERSLACK, 1UL);
    while (data && now < run->end_ns) {
        size_t due = 0;
        int64_t next = run->begin_ns + (int64_t)((double)n * gap_ns);
        if (next > now) {
            sleep_until(next);
            now = open_now_ns();
        }
        while (due < OPEN_BATCH && next <= now) {
            memcpy(data + due * run->size, &next, sizeof next);
            due_ns[due++] = next;
            next = run->begin_ns + (int64_t)((double)++n * gap_ns);
        }
        atomic_fetch_add(&run->sent, due);
        client->send(run, data, due_ns, due);
        now = open_now_ns();
    }
    free(data);
}

static void wait_for_rest(open_run *run)
{
    int64_t end = open_now_ns() + INT64_C(10000000000);
    while (open_now_ns() < end && (atomic_load(&run->answered) < atomic_load(&run->sent) ||
                                   atomic_load(&run->received) < atomic_load(&run->sent))) {
        sleep_until(open_now_ns() + 1000000);
    }
}

static void print(const char *what, cli_histogram *histogram, size_t size, double seconds)
{
    static const struct {
        const char *name;
        double share;
    } shares[] = {{"p50_us", 0.5},
                  {"p90_us", 0.9},
                  {"p99_us", 0.99},
                  {"p999_us", 0.999},
                  {"p9999_us", 0.9999}};
    uint64_t total = atomic_load(&histogram->count);
    printf("{\"what\":\"raw %s\",\"size\":%zu,\"count\":%" PRIu64 ",\"rate\":%.0f", what, size,
           total, (double)total / seconds);
    for (size_t i = 0; i < sizeof shares / sizeof shares[0]; i++) {
        printf(",\"%s\":%.1f", shares[i].name,
               (double)cli_histogram_at(histogram, shares[i].share) / 1e3);
    }
    printf(",\"max_us\":%.1f}\n", (double)atomic_load(&histogram->max) / 1e3);
}

int main(int count, char **words)
{
    static open_run run;
    const open_client *client = NULL;
    long rate = count == 6 ? strtol(words[3], NULL, 10) : 0;
    for (size_t i = 0; count == 6 && clients[i]; i++) {
        size_t length = strlen(clients[i]->scheme);
        if (strncmp(words[1], clients[i]->scheme, length) == 0 && words[1][length] == ':') {
            client = clients[i];
        }
    }
    if (count != 6 || rate < 1) {
        (void)fprintf(stderr, "usage: marty-bench-raw URL SIZE RATE FOR-MS WARM-UP-MS\n");
        return 2;
    }
    if (!client) {
        open_fail(words[1], "there is no plain client for it here");
    }
    run.url = words[1];
    run.size = (size_t)strtol(words[2], NULL, 10);
    run.size = run.size < OPEN_STAMP ? OPEN_STAMP : run.size;
    client->open(&run);
    run.begin_ns = open_now_ns();
    run.warm_ns = run.begin_ns + strtol(words[5], NULL, 10) * 1000000;
    run.end_ns = run.warm_ns + strtol(words[4], NULL, 10) * 1000000;
    send_all(&run, client, 1e9 / (double)rate);
    wait_for_rest(&run);
    client->close(&run);
    double seconds = (double)(run.end_ns - run.warm_ns) / 1e9;
    print("stored", &run.stored, run.size, seconds);
    print("delivered", &run.delivered, run.size, seconds);
    return 0;
}
