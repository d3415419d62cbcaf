/* SPDX-License-Identifier: Apache-2.0
 * One saga for people: how it stands, each step, its history, and what to type next when it waits
 * for a person. */
#include "saga.h"

#include <marty/adapter.h>
#include <stdlib.h>

enum { UNSENT_MS = 3000 };

static int number_of(const json_t *object, const char *part, const char *name)
{
    return (int)json_integer_value(json_object_get(json_object_get(object, part), name));
}

static void print_head(const json_t *saga)
{
    (void)printf("%s version %d  %s  %s%s\n", cli_saga_text(saga, "definition"),
                 (int)json_integer_value(json_object_get(saga, "definition_version")),
                 cli_saga_text(saga, "saga"), cli_saga_text(saga, "state"), cli_saga_pause(saga));
    (void)printf("key %s   started %s   changed %s\n", cli_saga_text(saga, "key"),
                 cli_saga_text(saga, "started"), cli_saga_text(saga, "changed"));
    if (*cli_saga_text(saga, "reason")) {
        (void)printf("because: %s\n", cli_saga_text(saga, "reason"));
    }
}

/* When it is tried again, or how long its answer is waited for, in the words of the column behind a
 * step; "" when neither. */
static const char *next_try(const json_t *step, char ret[48])
{
    const json_t *timer;
    size_t i;
    char clock[16];
    const char *status = cli_saga_text(step, "status");
    bool asked = strcmp(status, "calling") == 0 || strcmp(status, "undoing") == 0;
    ret[0] = '\0';
    json_array_foreach(json_object_get(step, "timers"), i, timer)
    {
        if ((asked || strstr(status, "backoff")) &&
            strcmp(cli_saga_text(timer, "timer"), "main") == 0) {
            (void)snprintf(ret, 48, "%s%s%s", asked ? "no answer yet, awaited until " : "again at ",
                           cli_saga_clock(cli_saga_text(timer, "due"), clock), asked ? " " : ": ");
        }
    }
    return ret;
}

static void print_step(const json_t *step)
{
    char again[48];
    char *result = json_dumps(json_object_get(step, "result"), JSON_COMPACT | JSON_ENCODE_ANY);
    bool done = strcmp(cli_saga_text(step, "status"), "done") == 0;
    const char *reason = done ? "" : cli_saga_text(step, "reason"); /* of an earlier attempt */
    (void)printf("%-24s %-14s %8d %6d  %s%s%s%s%.200s\n", cli_saga_text(step, "step"),
                 cli_saga_text(step, "status"), number_of(step, "forward", "attempt"),
                 number_of(step, "undo", "attempt"),
                 json_is_true(json_object_get(step, "failing")) ? "failing, " : "",
                 next_try(step, again), cli_saga_text(step, "stuck"),
                 *cli_saga_text(step, "stuck") ? ": " : "",
                 *reason                                 ? reason
                 : result && strcmp(result, "null") != 0 ? result
                                                         : "");
    free(result);
}

static void print_steps(const json_t *saga)
{
    const json_t *step;
    size_t i;
    (void)printf("\n%-24s %-14s %8s %6s  %s\n", "STEP", "STATUS", "ATTEMPTS", "UNDO", "");
    json_array_foreach(json_object_get(saga, "steps"), i, step)
    {
        print_step(step);
    }
}

/* The first step that is tried in vain, or NULL. */
static const json_t *failing_step(const json_t *saga)
{
    const json_t *step;
    size_t i;
    json_array_foreach(json_object_get(saga, "steps"), i, step)
    {
        if (json_is_true(json_object_get(step, "failing"))) {
            return step;
        }
    }
    return NULL;
}

void cli_saga_next(const cli_run *cli, const json_t *saga)
{
    const json_t *failing = failing_step(saga);
    bool stuck = strncmp(cli_saga_text(saga, "state"), "stuck", 5) == 0;
    if (stuck) {
        cli_next(cli, "marty saga retry %s   (or supply, skip, waive, compensate, abandon)",
                 cli_saga_text(saga, "saga"));
    } else if (failing) {
        cli_say(cli,
                "%s is tried in vain, and again by itself; what nobody handles, or died, is "
                "seen by: marty subscription ls, marty dlq ls",
                cli_saga_text(failing, "step"));
        cli_next(cli, "marty saga retry %s   (at once; or supply, skip, waive, compensate --step)",
                 cli_saga_text(saga, "saga"));
    }
}

static void print_letters(const json_t *letters)
{
    const json_t *letter;
    size_t i;
    json_array_foreach(letters, i, letter)
    {
        cli_text cause = {0};
        const char *text = cli_saga_text(letter, "cause");
        cli_text_safe(&cause, text, strlen(text));
        (void)printf("%sdead letter %s  %s of %s: %s\n", i ? "" : "\n", cli_saga_text(letter, "id"),
                     cli_saga_text(letter, "type"), cli_saga_text(letter, "channel"),
                     cause.data ? cause.data : "");
        cli_text_free(&cause);
    }
}

/* The next transition, or half a second, ends that: what lasts has a reason. */
static bool is_unsent(const json_t *whole)
{
    int64_t changed_us = 0;
    const json_t *saga = json_object_get(whole, "saga");
    return json_is_true(json_object_get(whole, "unsent")) &&
           cli_time_parse(&changed_us, cli_saga_text(saga, "changed")) &&
           cli_wall_us() - changed_us > INT64_C(1000) * UNSENT_MS;
}

void cli_saga_timeline(cli_run *cli, const json_t *whole)
{
    const json_t *saga = json_object_get(whole, "saga"),
                 *letters = json_object_get(whole, "dead_letters");
    print_head(saga);
    print_steps(saga);
    (void)printf("\n");
    cli_saga_history(json_object_get(whole, "history"));
    print_letters(letters);
    cli_flush(cli);
    if (is_unsent(whole)) {
        cli_say(cli, "what it asks is not known to be sent yet: is an orchestrator running, and "
                     "its broker up? See: marty doctor");
    }
    if (json_array_size(letters) > 0) {
        cli_next(cli, "marty dlq replay %s   (once its cause is mended; for all: marty dlq ls)",
                 cli_saga_text(json_array_get(letters, 0), "id"));
    }
    cli_saga_next(cli, saga);
}
