/* SPDX-License-Identifier: Apache-2.0
 * Runs cases: each is this program again, in a process of its own with a folder, a log and a time
 * limit, some beside each other. A case that wants to be alone gets it. One thread. */
#include "runner.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

typedef struct job {
    const suite_case *one;
    test_process process;
    int64_t began_ms;
    char folder[600], log[700], result[700], stores[700], tag[64];
} job;

typedef struct run {
    target *to;
    const run_options *options;
    char grants[700], folder[600], stores[600];
    verdict *verdicts;
    size_t count;
    job jobs[8];
    int running;
    bool alone;
} run;

static bool is_chosen(const suite_case *one, const char *only)
{
    if (!only) {
        return true;
    }
    char whole[96];
    snprintf(whole, sizeof whole, "%s.%s", one->contract, one->name);
    return strcmp(only, one->contract) == 0 || strcmp(only, whole) == 0;
}

static const char *why_not(const target *to, const suite_case *one)
{
    if ((one->flags & SUITE_PROCESSES) && !to->processes) {
        return "it lives in one process";
    }
    if ((one->flags & SUITE_DURABLE) && !to->durable) {
        return "it keeps nothing beyond the process";
    }
    if ((one->flags & SUITE_CLUSTER) && !to->cluster) {
        return "it has no cluster to lose a leader of";
    }
    if ((one->flags & SUITE_SERVER) && (!to->server || to->cluster)) {
        return to->cluster ? "shown on a single server" : "it has no server to start";
    }
    return NULL;
}

static void print_verdict(const run *self, const verdict *made)
{
    char name[96];
    bool failed = strcmp(made->result, "fail") == 0;
    snprintf(name, sizeof name, "%s.%s", made->one->contract, made->one->name);
    if (!self->options->quiet) {
        printf("%s %zu - %-26s %6lld ms%s%s%s\n", failed ? "not ok" : "ok", self->count, name,
               (long long)made->ms, strcmp(made->result, "skip") == 0 ? " # SKIP" : "",
               made->reason[0] ? "  " : "", made->reason);
        fflush(stdout);
    }
}

static verdict *add(run *self, const suite_case *one, const char *result, const char *reason,
                    int64_t ms)
{
    verdict *made = &self->verdicts[self->count++];
    *made = (verdict){.one = one, .ms = ms};
    snprintf(made->result, sizeof made->result, "%s", result);
    snprintf(made->reason, sizeof made->reason, "%s", reason);
    print_verdict(self, made);
    return made;
}

/* ---- one case */

static void start(run *self, job *slot, const suite_case *one)
{
    char tag[64], url[1500], name[96], environment[7][1700];
    *slot = (job){.one = one, .began_ms = test_now_ms()};
    size_t length = 0;
    snprintf(name, sizeof name, "%s.%s", one->contract, one->name);
    for (const char *at = name; *at && length < 60; at++) {
        if (*at != '.' && *at != '_') {
            tag[length++] = (char)(*at >= 'A' && *at <= 'Z' ? *at + 32 : *at);
        }
    }
    tag[length] = 0;
    memcpy(slot->tag, tag, length + 1);
    if (!test_folder_make(slot->folder, sizeof slot->folder, tag)) {
        fprintf(stderr, "no folder for %s can be made\n", name);
        exit(2);
    }
    char folder[600];
    snprintf(folder, sizeof folder, "%s", slot->folder);
    snprintf(slot->log, sizeof slot->log, "%s/log", folder);
    snprintf(slot->result, sizeof slot->result, "%s/result", folder);
    target_url(self->to, tag, slot->folder, url, sizeof url);
    snprintf(environment[0], sizeof environment[0], "MARTY_SUITE_BACKEND=%s", self->to->row);
    snprintf(environment[1], sizeof environment[1], "MARTY_SUITE_URL=%s", url);
    snprintf(environment[2], sizeof environment[2], "MARTY_SUITE_FOLDER=%s", slot->folder);
    snprintf(environment[3], sizeof environment[3], "MARTY_SUITE_RESULT=%s", slot->result);
    snprintf(environment[4], sizeof environment[4], "MARTY_SUITE_GRANTS=%s", self->grants);
    snprintf(environment[5], sizeof environment[5], "MARTY_SUITE_WRAP=%s", self->to->wrap);
    snprintf(slot->stores, sizeof slot->stores, "%s/%s", self->stores, tag);
    snprintf(environment[6], sizeof environment[6], "MARTY_TEST_SERVERS=%s", slot->stores);
    const char *const set[] = {environment[0],
                               environment[1],
                               environment[2],
                               environment[3],
                               environment[4],
                               environment[5],
                               environment[6],
                               self->to->processes ? "MARTY_SUITE_PROCESSES=1" : NULL,
                               NULL};
    const char *const argv[] = {suite_self(), "--case", name, NULL};
    if (!test_process_start(&slot->process, argv, set, slot->log)) {
        fprintf(stderr, "%s cannot be started\n", name);
        exit(2);
    }
    self->running++;
    self->alone = (one->flags & SUITE_ALONE) != 0;
}

static void print_log(const char *path)
{
    FILE *file = fopen(path, "r");
    char line[1024];
    long lines = 0;
    while (file && fgets(line, sizeof line, file)) {
        lines++;
    }
    if (!file) {
        return;
    }
    rewind(file);
    for (long i = 0; fgets(line, sizeof line, file); i++) {
        if (i >= lines - 60) {
            printf("#   %s", line);
        }
    }
    fclose(file);
}

static void read_result(const job *slot, bool late, char *ret_result, char *ret_reason, size_t size)
{
    char line[1400] = "";
    FILE *file = fopen(slot->result, "r");
    if (file) {
        if (!fgets(line, sizeof line, file)) {
            line[0] = 0;
        }
        fclose(file);
    }
    line[strcspn(line, "\n")] = 0;
    char *tab = strchr(line, '\t');
    if (tab) { /* a child process of the case may have said it */
        snprintf(ret_result, 8, "%.*s", (int)(tab - line) < 7 ? (int)(tab - line) : 7, line);
        snprintf(ret_reason, size, "%s", tab + 1);
        return;
    }
    snprintf(ret_result, 8, "fail");
    if (late) {
        snprintf(ret_reason, size, "it did not end within %lld s",
                 (long long)(test_patience(slot->one->limit_ms) / 1000));
    } else if (WIFSIGNALED(slot->process.status)) {
        snprintf(ret_reason, size, "the process died of signal %d (%s)",
                 WTERMSIG(slot->process.status), strsignal(WTERMSIG(slot->process.status)));
    } else {
        snprintf(ret_reason, size, "the process ended with status %d and said nothing",
                 WEXITSTATUS(slot->process.status));
    }
}

/* Takes the end of one job; false: it runs on. */
static bool finish(run *self, job *slot)
{
    bool late = test_now_ms() - slot->began_ms > test_patience(slot->one->limit_ms);
    if (test_process_alive(&slot->process) && !late) {
        return false;
    }
    char result[8], reason[1300];
    test_process_kill(&slot->process);
    read_result(slot, late, result, reason, sizeof reason);
    add(self, slot->one, result, reason, test_now_ms() - slot->began_ms);
    if (strcmp(result, "fail") == 0 && !self->options->quiet) {
        print_log(slot->log);
    }
    if (!getenv("MARTY_SUITE_KEEP")) {
        test_folder_remove(slot->folder);
    }
    test_folder_remove(slot->stores);
    target_forget(self->to, slot->tag);
    slot->one = NULL;
    self->running--;
    self->alone = false;
    return true;
}

/* ---- all of them */

static bool has_room(void *user)
{
    run *self = user;
    bool some = false;
    for (int i = 0; i < self->options->jobs; i++) {
        if (self->jobs[i].one) {
            some = finish(self, &self->jobs[i]) || some;
        }
    }
    return some || self->running == 0;
}

static void wait_for_room(run *self, int below)
{
    while (self->running >= below) {
        test_wait_for(has_room, self, 600000);
    }
}

static void run_case(run *self, const suite_case *one)
{
    const char *reason = why_not(self->to, one);
    if (reason) {
        add(self, one, "skip", reason, 0);
        return;
    }
    wait_for_room(self, (one->flags & SUITE_ALONE) || self->alone ? 1 : self->options->jobs);
    for (int i = 0; i < self->options->jobs; i++) {
        if (!self->jobs[i].one) {
            start(self, &self->jobs[i], one);
            return;
        }
    }
}

/* Asks what is granted, in a process of its own. */
static bool probe(run *self, char *ret_why, size_t size)
{
    char url[1500], environment[3][1700], log[700], folder[600];
    snprintf(folder, sizeof folder, "%s", self->folder);
    snprintf(self->grants, sizeof self->grants, "%s/grants.json", folder);
    snprintf(log, sizeof log, "%s/probe.log", self->folder);
    target_url(self->to, "probe", self->folder, url, sizeof url);
    snprintf(environment[0], sizeof environment[0], "MARTY_SUITE_URL=%s", url);
    snprintf(environment[1], sizeof environment[1], "MARTY_SUITE_WRAP=%s", self->to->wrap);
    snprintf(environment[2], sizeof environment[2], "MARTY_SUITE_FOLDER=%s", self->folder);
    const char *const set[] = {environment[0], environment[1], environment[2], NULL};
    const char *const argv[] = {suite_self(), "--probe", self->grants, NULL};
    test_process process;
    bool fine = test_process_start(&process, argv, set, log) &&
                test_process_join(&process, 30000) && WIFEXITED(process.status) &&
                WEXITSTATUS(process.status) == 0;
    test_process_kill(&process);
    if (fine) {
        setenv("MARTY_SUITE_GRANTS", self->grants, 1);
        return true;
    }
    snprintf(ret_why, size, "the backend cannot be asked what it grants");
    FILE *file = fopen(log, "r");
    char line[600];
    while (file && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = 0;
        snprintf(ret_why, size, "%s", line);
    }
    if (file) {
        fclose(file);
    }
    return false;
}

/* C39, second half: every claim of this run was shown by a case that passed. */
static void check_shown(run *self)
{
    static const suite_case shown = {.contract = "C39", .name = "shown"};
    char missing[600] = "";
    size_t claims = 0;
    for (int kind = MARTY_KIND_TOPIC; kind <= MARTY_KIND_DEAD; kind++) {
        for (unsigned bit = 1; suite_bit_name(bit)[0]; bit <<= 1) {
            bool seen = !suite_granted((marty_kind)kind, bit);
            claims += !seen;
            for (size_t i = 0; i < self->count && !seen; i++) {
                const verdict *made = &self->verdicts[i];
                seen = (made->one->kinds & SUITE_KIND(kind)) && (made->one->proves & bit) &&
                       strcmp(made->result, "pass") == 0;
            }
            size_t have = strlen(missing);
            if (!seen) {
                snprintf(missing + have, sizeof missing - have, "%s%s on %s", have ? ", " : "",
                         suite_bit_name(bit), suite_kind_name(kind));
            }
        }
    }
    char reason[700];
    snprintf(reason, sizeof reason,
             missing[0] ? "claimed, and no case that shows it passed: %s"
                        : "%s%zu claims by kind, each shown",
             missing, claims);
    add(self, &shown, missing[0] ? "fail" : "pass", reason, 0);
}

static size_t all_alike(run *self, const char *result, const char *reason)
{
    size_t count;
    const suite_case *cases = suite_cases(&count);
    for (size_t i = 0; i < count; i++) {
        if (is_chosen(&cases[i], self->options->only)) {
            add(self, &cases[i], result, reason, 0);
        }
    }
    return self->count;
}

static void run_all(run *self)
{
    size_t count;
    const suite_case *cases = suite_cases(&count);
    for (size_t i = 0; i < count; i++) {
        if (is_chosen(&cases[i], self->options->only)) {
            run_case(self, &cases[i]);
        }
    }
    wait_for_room(self, 1);
    if (!self->options->only) {
        check_shown(self);
    }
}

size_t runner_run(target *to, const run_options *options, verdict ret_verdicts[SUITE_CASES_MAX],
                  char *ret_version, size_t version_size)
{
    run self = {.to = to, .options = options, .verdicts = ret_verdicts};
    char why[700];
    bool missing;
    snprintf(ret_version, version_size, "?");
    if (!test_folder_make(self.folder, sizeof self.folder, "run") ||
        !stores_make(self.stores, sizeof self.stores) ||
        setenv("MARTY_TEST_SERVERS", self.stores, 1) != 0) {
        fprintf(stderr, "no scratch folder can be made\n");
        exit(2);
    }
    if (!target_start(to, &missing, why, sizeof why)) {
        all_alike(&self, missing ? "skip" : "fail", why);
    } else if (!probe(&self, why, sizeof why)) {
        all_alike(&self, "fail", why);
    } else {
        setenv("MARTY_SUITE_FOLDER", self.folder, 1);
        snprintf(ret_version, version_size, "%s", suite_version());
        run_all(&self);
    }
    target_stop(to);
    test_folder_remove(self.folder);
    test_folder_remove(self.stores);
    return self.count;
}
