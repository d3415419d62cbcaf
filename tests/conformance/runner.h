/* SPDX-License-Identifier: Apache-2.0
 * Inside the suite's program: which backends there are, how cases are run in processes of their own
 * beside each other, and where results go. */
#ifndef TESTS_CONFORMANCE_RUNNER_H
#define TESTS_CONFORMANCE_RUNNER_H
#include "suite.h"

#include "support/server.h"

enum { SUITE_CASES_MAX = 256 };

/* A backend to run against: a row of backends.c, or a URL given by the caller. */
typedef struct target {
    char name[160]; /* "memory", "mask:delayed_retry:memory", the scheme of a URL */
    char wrap[128]; /* "mask:delayed_retry", "saboteur:lose_ack" or "" */
    char row[64];   /* without the wrapper */
    char url[1200]; /* with %t = tag of the case, %f = its folder */
    bool processes, durable, server, cluster, lease;
    test_server servers[3];
    int server_count;
} target;

/** Finds the row of "[wrapper:argument:]row" or takes a URL; false: ret_why. */
bool target_find(target *self, const char *text, char *ret_why, size_t size);
/** Starts its servers. False: ret_why (a server that is not installed: *ret_missing). */
bool target_start(target *self, bool *ret_missing, char *ret_why, size_t size);
void target_stop(target *self);
/** The URL for a case. */
void target_url(const target *self, const char *tag, const char *folder, char *ret_url,
                size_t size);
/** What the case of that tag has made is not needed any more. */
void target_forget(const target *self, const char *tag);
/** Names of the rows, "" past the last. */
const char *target_row(size_t index);

typedef struct verdict {
    const suite_case *one;
    char result[8], reason[1300];
    int64_t ms;
} verdict;
typedef struct run_options {
    const char *only; /* "C09" or "C09.keys" or NULL */
    int jobs;
    bool quiet;
} run_options;
/** Runs the cases; how many verdicts. ret_version as the server says. */
size_t runner_run(target *to, const run_options *options, verdict ret_verdicts[SUITE_CASES_MAX],
                  char *ret_version, size_t version_size);

/** A folder for the data of this run's servers; the caller removes it. */
bool stores_make(char *ret_path, size_t size);

/** Adds results by contract to the JSON file, in place of older ones of this backend. */
bool report_write(const char *path, const char *backend, const char *version,
                  const verdict verdicts[], size_t count);
/** Breaks every contract around that row and notes who caught it. Exit code. */
int sabotage(const char *row, const char *only, int jobs);
#endif
