/* SPDX-License-Identifier: Apache-2.0
 * `marty bench --compare raw`: the same load over the broker's plain client, by the program
 * marty-bench-raw, which links these clients so that `marty` need not. */
#include "bench.h"

#include <errno.h>
#include <marty/adapter.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* Beside this program as it is built, or where it is installed. */
static char *find(void)
{
    char *self = realpath("/proc/self/exe", NULL), *path = NULL;
    size_t i;
    if (self) {
        *strrchr(self, '/') = '\0';
    }
    for (i = 0; self && i < 2 && !path; i++) {
        path = i ? cli_textf("%s/../libexec/marty/marty-bench-raw", self)
                 : cli_textf("%s/bench/marty-bench-raw", self);
        if (access(path, X_OK) != 0) {
            marty_free(path);
            path = NULL;
        }
    }
    free(self);
    return path;
}

/* Its output, line by line; its exit status. */
static int run(char *const words[], void (*line)(void *user, const char *text), void *user)
{
    int ends[2] = {-1, -1}, status = 127;
    char *text = NULL;
    size_t room = 0;
    pid_t child = 0;
    FILE *from;
    posix_spawn_file_actions_t actions;
    if (pipe(ends) != 0) {
        return 127;
    }
    (void)posix_spawn_file_actions_init(&actions);
    (void)posix_spawn_file_actions_addclose(&actions, ends[0]);
    (void)posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    status = posix_spawn(&child, words[0], &actions, NULL, words, environ);
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)close(ends[1]);
    from = fdopen(ends[0], "r");
    while (!status && from && getline(&text, &room, from) > 0) {
        line(user, text);
    }
    free(text); /* getline's */
    (void)(from ? fclose(from) : close(ends[0]));
    if (status) {
        return 127;
    }
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* A row of the raw side, with how many times its median ours is. */
static void give(void *user, const char *text)
{
    const cli_bench *bench = user;
    json_t *row = json_loads(text, 0, NULL);
    const char *what = json_string_value(json_object_get(row, "what"));
    bool stored = what && strcmp(what, "raw stored") == 0;
    double raw = json_real_value(json_object_get(row, "p50_us"));
    double ours = (double)cli_histogram_at(stored ? bench->stored : bench->received, 0.5) / 1e3;
    if (!row) {
        return;
    }
    if (raw > 0 && (stored || bench->consume)) {
        (void)json_object_set_new(row, "ours_to_raw",
                                  json_real((double)(int64_t)(ours / raw * 100 + 0.5) / 100));
    }
    if (stored || bench->consume) {
        cli_row(bench->cli, row);
    } else {
        json_decref(row);
    }
}

int cli_bench_raw(cli_bench *bench)
{
    cli_run *cli = bench->cli;
    const char *url = cli->settings.backend.value;
    char *program = find(), *words[7] = {program, NULL};
    int status, i;
    if (!program) {
        return cli_failf(
            cli, MARTY_E_NOT_FOUND,
            "marty-bench-raw is not beside this program and not installed: it is built "
            "with the benchmarks (make bench)");
    }
    words[1] = cli_strdup(url);
    words[2] = cli_textf("%llu", (unsigned long long)bench->size);
    words[3] = cli_textf("%llu", (unsigned long long)bench->rate);
    words[4] = cli_textf("%lld", (long long)((bench->end_ns - bench->warm_ns) / 1000000));
    words[5] = cli_textf("%lld", (long long)((bench->warm_ns - bench->begin_ns) / 1000000));
    status = run(words, give, bench);
    for (i = 0; i < 6; i++) {
        marty_free(words[i]);
    }
    return status ? cli_failf(cli, MARTY_E_UNAVAILABLE, "marty-bench-raw ended with %d", status)
                  : CLI_OK;
}
