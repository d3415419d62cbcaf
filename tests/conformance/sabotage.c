/* SPDX-License-Identifier: Apache-2.0
 * The suite can fail: every sabotage of saboteur.c around a row must be caught by the case that it
 * names; and the same wrapper without a sabotage must pass that case. The catches are printed as a
 * table and kept as build/saboteur-ROW.json. */
#include "runner.h"
#include "wrap.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CLEAN_MAX = 64 };
typedef struct clean { /* cases that were run without a sabotage, once each */
    const char *name;
    bool passed;
} clean;
static clean cleans[CLEAN_MAX];
static size_t clean_count;

/* The verdict of one case through the wrapper. */
static bool run_one(const char *row, const char *fault_name, const char *name, verdict *ret)
{
    static verdict verdicts[SUITE_CASES_MAX];
    target to;
    char text[200], why[300], version[64];
    snprintf(text, sizeof text, "saboteur:%s:%s", fault_name, row);
    if (!target_find(&to, text, why, sizeof why)) {
        fprintf(stderr, "%s\n", why);
        return false;
    }
    run_options options = {.only = name, .jobs = 1, .quiet = true};
    size_t count = runner_run(&to, &options, verdicts, version, sizeof version);
    if (count != 1) {
        fprintf(stderr, "%zu cases are called %s\n", count, name);
        return false;
    }
    *ret = verdicts[0];
    return true;
}

static bool passes_clean(const char *row, const char *name)
{
    for (size_t i = 0; i < clean_count; i++) {
        if (strcmp(cleans[i].name, name) == 0) {
            return cleans[i].passed;
        }
    }
    verdict made;
    bool passed = run_one(row, "none", name, &made) && strcmp(made.result, "pass") == 0;
    if (!passed) {
        printf("#   without a sabotage %s: %s %s\n", name, made.result, made.reason);
    }
    if (clean_count < CLEAN_MAX) {
        cleans[clean_count++] = (clean){name, passed};
    }
    return passed;
}

static bool try_fault(const char *row, const fault *one, json_t *table)
{
    verdict made = {0};
    bool clean_passes = passes_clean(row, one->caught_by);
    bool ran = clean_passes && run_one(row, one->name, one->caught_by, &made);
    bool caught = ran && strcmp(made.result, "fail") == 0;
    printf("%-7s %-20s %-24s %s\n", caught ? "caught" : "MISSED", one->name, one->caught_by,
           clean_passes ? made.reason : "the case fails without the sabotage, too");
    fflush(stdout);
    json_array_append_new(table, json_pack("{ss ss ss ss ss sb sI}", "sabotage", one->name, "says",
                                           one->says, "backend", row, "caught_by", one->caught_by,
                                           "reason", made.reason, "caught", caught, "ms",
                                           (json_int_t)made.ms));
    return caught;
}

int sabotage(const char *row, const char *only, int jobs)
{
    (void)jobs;
    json_t *table = json_array();
    size_t tried = 0, missed = 0;
    for (const fault *one = saboteur_faults; one->name; one++) {
        bool fits = !one->inner || strcmp(one->inner, row) == 0;
        if (one->caught_by && fits && (!only || strcmp(only, one->name) == 0)) {
            tried++;
            missed += !try_fault(row, one, table);
        }
    }
    char path[1024];
    const char *build = getenv("MARTY_BUILD_DIR");
    snprintf(path, sizeof path, "%s/saboteur-%s.json", build ? build : SUITE_BUILD_DIR, row);
    if (!only && json_dump_file(table, path, JSON_INDENT(1)) != 0) {
        fprintf(stderr, "%s cannot be written\n", path);
        missed++;
    }
    json_decref(table);
    printf("%zu sabotages around %s, %zu caught, %zu missed\n", tried, row, tried - missed, missed);
    return missed || !tried;
}
