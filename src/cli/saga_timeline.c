/* SPDX-License-Identifier: Apache-2.0
 * One saga for people: how it stands, each step, and what happened when and why, a line for each
 * change; then what to type next when it waits for a person. The same line for what a verb would
 * do, with what it would send. */
#include "saga.h"

#include <stdlib.h>

enum { STEPS_MAX = 1000 };

/* The text of a member, or "". */
static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

static int number_of(const json_t *object, const char *part, const char *name)
{
    return (int)json_integer_value(json_object_get(json_object_get(object, part), name));
}

/* "15:59:39.293" of an RFC 3339 time. */
static const char *clock_of(const char *time, char ret[16])
{
    const char *at = strchr(time, 'T');
    (void)snprintf(ret, 16, "%.12s", at ? at + 1 : time);
    return ret;
}

/* " (paused)" of one that is held and has not ended. */
static const char *pause_of(const json_t *saga)
{
    static const char *const open[] = {"running", "compensating", "stuck-forward", "stuck-undo"};
    const json_t *flag;
    size_t i;
    bool paused = false, goes_on = false;
    json_array_foreach(json_object_get(saga, "flags"), i, flag)
    {
        paused = paused || strcmp(json_string_value(flag), "paused") == 0;
    }
    for (i = 0; i < sizeof open / sizeof *open; i++) {
        goes_on = goes_on || strcmp(text_of(saga, "state"), open[i]) == 0;
    }
    return paused && goes_on ? " (paused)" : "";
}

static void print_head(const json_t *saga)
{
    (void)printf("%s version %d  %s  %s%s\n", text_of(saga, "definition"),
                 (int)json_integer_value(json_object_get(saga, "definition_version")),
                 text_of(saga, "saga"), text_of(saga, "state"), pause_of(saga));
    (void)printf("key %s   started %s   changed %s\n", text_of(saga, "key"),
                 text_of(saga, "started"), text_of(saga, "changed"));
    if (*text_of(saga, "reason")) {
        (void)printf("because: %s\n", text_of(saga, "reason"));
    }
}

/* When it is tried again, in the words of the column behind a step; "" when it is not. */
static const char *next_try(const json_t *step, char ret[40])
{
    const json_t *timer;
    size_t i;
    char clock[16];
    ret[0] = '\0';
    json_array_foreach(json_object_get(step, "timers"), i, timer)
    {
        if (strstr(text_of(step, "status"), "backoff") &&
            strcmp(text_of(timer, "timer"), "main") == 0) {
            (void)snprintf(ret, 40, "again at %s: ", clock_of(text_of(timer, "due"), clock));
        }
    }
    return ret;
}

static void print_step(const json_t *step)
{
    char again[40];
    char *result = json_dumps(json_object_get(step, "result"), JSON_COMPACT | JSON_ENCODE_ANY);
    bool done = strcmp(text_of(step, "status"), "done") == 0;
    const char *reason = done ? "" : text_of(step, "reason"); /* of an earlier attempt */
    (void)printf("%-24s %-14s %8d %6d  %s%s%s%s%.200s\n", text_of(step, "step"),
                 text_of(step, "status"), number_of(step, "forward", "attempt"),
                 number_of(step, "undo", "attempt"),
                 json_is_true(json_object_get(step, "failing")) ? "failing, " : "",
                 next_try(step, again), text_of(step, "stuck"), *text_of(step, "stuck") ? ": " : "",
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

/* What to do when it waits for a person, or may need one. */
static void say_next(cli_run *cli, const json_t *saga)
{
    const json_t *failing = failing_step(saga);
    bool stuck = strncmp(text_of(saga, "state"), "stuck", 5) == 0;
    if (stuck) {
        cli_next(cli, "marty saga retry %s   (or supply, skip, waive, compensate, abandon)",
                 text_of(saga, "saga"));
    } else if (failing) {
        cli_say(cli,
                "%s is tried in vain, and again by itself; what nobody handles, or died, is "
                "seen by: marty subscription ls, marty dlq ls",
                text_of(failing, "step"));
        cli_next(cli, "marty saga retry %s   (at once; or supply, skip, waive, compensate --step)",
                 text_of(saga, "saga"));
    }
}

/* Names of steps by their places, as a history opens them, and why each is stuck, or NULL. */
typedef struct places {
    const char *names[STEPS_MAX], *stuck[STEPS_MAX];
    size_t count;
} places;

/* What of a saga's flags a person set or should know. The numbers are those of the history. */
static void print_flags(const json_t *entry)
{
    enum { PAUSED = 1, OVERDUE = 64 };
    json_int_t set = json_integer_value(json_object_get(entry, "set"));
    json_int_t clear = json_integer_value(json_object_get(entry, "clear"));
    (void)printf("%s%s%s", set & PAUSED ? "  the saga is paused" : "",
                 clear & PAUSED ? "  the saga is resumed" : "",
                 set & OVERDUE ? "  the saga is over its deadline" : "");
}

/* What an entry says to a person; most say nothing. */
static void print_entry(const json_t *entry, const places *known)
{
    const char *kind = text_of(entry, "entry");
    size_t slot = (size_t)json_integer_value(json_object_get(entry, "slot"));
    const char *name = slot < known->count && known->names[slot] ? known->names[slot] : "";
    if (strcmp(kind, "status") == 0 && *name) {
        (void)printf("  %s %s%s%s", name, text_of(entry, "status"),
                     *text_of(entry, "reason") ? ": " : "", text_of(entry, "reason"));
    } else if (strcmp(kind, "sent") == 0 && *name) {
        bool undo = json_integer_value(json_object_get(entry, "undo")) != 0;
        (void)printf("  -> %s%s", undo ? "undo " : "", name);
    } else if (strcmp(kind, "phase") == 0) {
        (void)printf("  the saga is %s%s%s", text_of(entry, "phase"),
                     *text_of(entry, "reason") ? ": " : "", text_of(entry, "reason"));
    } else if (strcmp(kind, "stuck") == 0) {
        (void)printf("  %s STUCK: %s%s%s", name, text_of(entry, "why"),
                     *text_of(entry, "reason") ? ", " : "", text_of(entry, "reason"));
    } else if (strcmp(kind, "reason") == 0 && *text_of(entry, "reason")) {
        (void)printf("  %s: %s", name, text_of(entry, "reason"));
    } else if (strcmp(kind, "flags") == 0) {
        print_flags(entry);
    } else if (strcmp(kind, "migrated") == 0) {
        (void)printf("  it goes on under version %d of its definition",
                     (int)json_integer_value(json_object_get(entry, "definition_version")));
    } else if (strcmp(kind, "note") == 0) {
        (void)printf("  %s", text_of(entry, "text"));
    }
}

/* Keep the places as an entry leaves them. */
static void note_entry(const json_t *entry, places *to)
{
    const char *kind = text_of(entry, "entry");
    const json_t *place = json_object_get(entry, "slot");
    size_t slot = (size_t)json_integer_value(place);
    if (strcmp(kind, "opened") == 0 && to->count < STEPS_MAX) {
        to->names[to->count++] = json_string_value(json_object_get(entry, "step"));
    } else if (!place || slot >= to->count) {
        return;
    } else if (strcmp(kind, "stuck") == 0) {
        to->stuck[slot] = text_of(entry, "why");
    } else if (strcmp(kind, "status") == 0 || strcmp(kind, "sent") == 0 ||
               strcmp(kind, "generation") == 0) {
        to->stuck[slot] = NULL;
    }
}

static bool turns_back(const json_t *batch)
{
    const json_t *entry;
    size_t i;
    json_array_foreach(batch, i, entry)
    {
        if (strcmp(text_of(entry, "phase"), "compensating") == 0) {
            return true;
        }
    }
    return false;
}

static void print_batch(const json_t *batch, places *known)
{
    const json_t *entry, *head = json_array_get(batch, 0);
    char clock[16];
    size_t i;
    (void)printf("%s  %-8s", clock_of(text_of(head, "at"), clock), text_of(head, "cause"));
    if (*text_of(head, "who")) {
        (void)printf(" %s%s%s", text_of(head, "who"), *text_of(head, "note") ? ": " : "",
                     text_of(head, "note"));
    }
    places before = *known;
    json_array_foreach(batch, i, entry)
    {
        note_entry(entry, known);
        print_entry(entry, known);
    }
    for (i = 0; i < before.count && turns_back(batch); i++) { /* it waits for these, too */
        if (before.stuck[i] && before.stuck[i] == known->stuck[i] && known->names[i]) {
            (void)printf("  %s is still STUCK: %s", known->names[i], known->stuck[i]);
        }
    }
    (void)printf("\n");
}

static void print_commands(const json_t *trial)
{
    const json_t *command;
    size_t i;
    json_array_foreach(json_object_get(trial, "commands"), i, command)
    {
        const char *service = text_of(command, "service");
        (void)printf("  sends %s %s (%s%s%s)\n", text_of(command, "command"),
                     text_of(command, "step"), text_of(command, "type"), *service ? " to " : "",
                     service);
    }
}

void cli_saga_preview(cli_run *cli, const json_t *whole, const json_t *trial)
{
    const json_t *batch, *entry, *after = json_object_get(trial, "state");
    places known = {.count = 0};
    size_t i, j;
    if (!json_is_true(json_object_get(trial, "changed"))) {
        cli_say(cli, "it would change nothing: %s", text_of(trial, "ignored"));
        return;
    }
    json_array_foreach(json_object_get(whole, "history"), i, batch)
    {
        json_array_foreach(batch, j, entry)
        {
            note_entry(entry, &known);
        }
    }
    print_batch(json_object_get(trial, "history"), &known);
    print_commands(trial);
    (void)printf("  then it is %s%s\n", text_of(after, "state"), pause_of(after));
    cli_flush(cli);
    cli_say(cli, "nothing was done; without --dry-run it is");
}

void cli_saga_timeline(cli_run *cli, const json_t *whole)
{
    const json_t *saga = json_object_get(whole, "saga"), *batch;
    places known = {.count = 0};
    size_t i;
    print_head(saga);
    print_steps(saga);
    (void)printf("\n");
    json_array_foreach(json_object_get(whole, "history"), i, batch)
    {
        print_batch(batch, &known);
    }
    cli_flush(cli);
    say_next(cli, saga);
}
