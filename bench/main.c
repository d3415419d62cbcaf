/* SPDX-License-Identifier: Apache-2.0
 * marty_bench [--rounds N] [--only WORD] [--timed] [--json FILE] [--postgres URL] [PART...]: all
 * parts of the program unless some are named; --only: the rows whose name contains the word;
 * --timed: without the runs that count calls and allocations, for a profiler. */
#include "bench.h"

#include "support/process.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char folder[512];

const char *bench_folder(void)
{
    if (!folder[0] && !test_folder_make(folder, sizeof folder, "bench")) {
        (void)fprintf(stderr, "no scratch folder\n");
        exit(1);
    }
    return folder;
}

static const char *postgres;

const char *bench_postgres(void)
{
    return postgres;
}

static const struct {
    const char *name;
    void (*run)(int rounds);
} parts[] = {
#if defined BENCH_CORE
    {"core", bench_core},
#elif defined BENCH_SAGA
    {"sqlite", bench_saga_sqlite},
    {"postgres", bench_saga_postgres},
    {"many", bench_saga_many},
#else
    {"memory", bench_memory},
    {"sqlite", bench_sqlite},
#endif
#ifdef BENCH_NATS
    {"nats", bench_nats},
#endif
};
enum { PARTS = sizeof parts / sizeof parts[0] };

int main(int count, char **words)
{
    bool chosen[PARTS] = {false}, any = false;
    const char *json = NULL;
    int rounds = 7;
    for (int i = 1; i < count; i++) {
        bool known = false;
        if (strcmp(words[i], "--rounds") == 0 && i + 1 < count) {
            rounds = (int)strtol(words[++i], NULL, 10);
            known = rounds > 0;
        } else if (strcmp(words[i], "--json") == 0 && i + 1 < count) {
            json = words[++i];
            known = true;
        } else if (strcmp(words[i], "--only") == 0 && i + 1 < count) {
            bench_only(words[++i]);
            known = true;
        } else if (strcmp(words[i], "--timed") == 0) {
            bench_timed();
            known = true;
        } else if (strcmp(words[i], "--postgres") == 0 && i + 1 < count) {
            postgres = words[++i];
            known = true;
        }
        for (size_t k = 0; k < PARTS; k++) {
            if (strcmp(words[i], parts[k].name) == 0) {
                chosen[k] = any = known = true;
            }
        }
        if (!known) {
            (void)fprintf(
                stderr,
                "usage: marty_bench [--rounds N] [--only WORD] [--timed] [--json FILE] [--postgres "
                "URL] [PART...]\n");
            return 2;
        }
    }
    if (!bench_report_open(json)) {
        (void)fprintf(stderr, "%s cannot be written\n", json);
        return 1;
    }
    for (size_t k = 0; k < PARTS; k++) {
        if (!any || chosen[k]) {
            parts[k].run(rounds);
        }
    }
    bench_report_close();
    test_folder_remove(folder);
    return 0;
}
