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

enum { CLEAN_MAX = 64, FAULTS_MAX = 64 };
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

/* One sabotage in this process; what was found goes to the file that the parent named. */
static int sabotage_one(const char *row, const char *name)
{
    const char *path = getenv("MARTY_SUITE_CATCH");
    for (const fault *one = saboteur_faults; one->name; one++) {
        if (one->caught_by && strcmp(name, one->name) == 0) {
            json_t *table = json_array();
            bool caught = try_fault(row, one, table);
            if (path && json_dump_file(json_array_get(table, 0), path, 0) != 0) {
                fprintf(stderr, "%s cannot be written\n", path);
                caught = false;
            }
            json_decref(table);
            return !caught;
        }
    }
    fprintf(stderr, "no sabotage is called %s\n", name);
    return 2;
}

/* ---- all of them, some beside each other, each in a process of its own */

typedef struct attempt {
    test_process process;
    char path[700], log[700];
    bool begun, ended;
} attempt;

typedef struct campaign {
    const char *row;
    char folder[600];
    attempt all[FAULTS_MAX];
    size_t count, running;
} campaign;

static bool fits(const fault *one, const char *row)
{
    return one->caught_by && (!one->inner || strcmp(one->inner, row) == 0);
}

static void begin(campaign *self, size_t at, const char *name)
{
    attempt *mine = &self->all[at];
    char catch[800];
    snprintf(mine->path, sizeof mine->path, "%s/%zu.json", self->folder, at);
    snprintf(mine->log, sizeof mine->log, "%s/%zu.log", self->folder, at);
    snprintf(catch, sizeof catch, "MARTY_SUITE_CATCH=%s", mine->path);
    const char *argv[] = {suite_self(), "--sabotage", self->row, "--contract", name, NULL};
    const char *environment[] = {catch, NULL};
    mine->begun = test_process_start(&mine->process, argv, environment, mine->log);
    mine->ended = !mine->begun;
    self->running += mine->begun;
}

static bool one_has_ended(void *user)
{
    campaign *self = user;
    bool some = false;
    for (size_t i = 0; i < self->count; i++) {
        attempt *mine = &self->all[i];
        if (mine->begun && !mine->ended && !test_process_alive(&mine->process)) {
            mine->ended = some = true;
            self->running--;
        }
    }
    return some || !self->running;
}

static void run_all(campaign *self, int jobs)
{
    for (const fault *one = saboteur_faults; one->name && self->count < FAULTS_MAX; one++) {
        if (fits(one, self->row)) {
            while (self->running >= (size_t)jobs) {
                test_wait_for(one_has_ended, self, 120000);
            }
            begin(self, self->count++, one->name);
        }
    }
    while (self->running) {
        test_wait_for(one_has_ended, self, 120000);
    }
}

static void print_file(const char *path)
{
    char line[1600];
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file)) {
        if (strncmp(line, "caught", 6) == 0 || strncmp(line, "MISSED", 6) == 0 || line[0] == '#') {
            fputs(line, stdout);
        }
    }
    if (file) {
        fclose(file);
    }
}

int sabotage(const char *row, const char *only, int jobs)
{
    static campaign self;
    if (only) {
        return sabotage_one(row, only);
    }
    self.row = row;
    if (!test_folder_make(self.folder, sizeof self.folder, "sabotage")) {
        fprintf(stderr, "no scratch folder can be made\n");
        return 2;
    }
    run_all(&self, jobs);
    json_t *table = json_array();
    size_t caught = 0;
    for (size_t i = 0; i < self.count; i++) {
        json_t *found = json_load_file(self.all[i].path, 0, NULL);
        caught += json_is_true(json_object_get(found, "caught"));
        print_file(self.all[i].log);
        json_array_append_new(table, found ? found : json_object());
    }
    char path[1024];
    const char *build = getenv("MARTY_BUILD_DIR");
    snprintf(path, sizeof path, "%s/saboteur-%s.json", build ? build : SUITE_BUILD_DIR, row);
    bool written = json_dump_file(table, path, JSON_INDENT(1)) == 0;
    json_decref(table);
    test_folder_remove(self.folder);
    printf("%zu sabotages around %s, %zu caught, %zu missed\n", self.count, row, caught,
           self.count - caught);
    return caught != self.count || !self.count || !written;
}
