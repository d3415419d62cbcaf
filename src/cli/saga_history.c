/* SPDX-License-Identifier: Apache-2.0
 * What happened to a saga, when and why, for people: a line for each transition, what repeats
 * itself folded. The same line for what a verb would do, with what it would send. */
#include "saga.h"

#include <stdio.h>
#include <stdlib.h>

enum { STEPS_MAX = 1000, FOLD_MIN = 3, PERIOD_MAX = 2 };

const char *cli_saga_text(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

const char *cli_saga_clock(const char *time, char ret[16])
{
    const char *at = strchr(time, 'T');
    (void)snprintf(ret, 16, "%.12s", at ? at + 1 : time);
    return ret;
}

const char *cli_saga_pause(const json_t *saga)
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
        goes_on = goes_on || strcmp(cli_saga_text(saga, "state"), open[i]) == 0;
    }
    return paused && goes_on ? " (paused)" : "";
}

/* Names of steps by their places, as a history opens them, and why each is stuck, or NULL. */
typedef struct places {
    const char *names[STEPS_MAX], *stuck[STEPS_MAX];
    size_t count;
} places;

/* What of a saga's flags a person set or should know. The numbers are those of the history. */
static void print_flags(FILE *to, const json_t *entry)
{
    enum { PAUSED = 1, OVERDUE = 64 };
    json_int_t set = json_integer_value(json_object_get(entry, "set"));
    json_int_t clear = json_integer_value(json_object_get(entry, "clear"));
    (void)fprintf(to, "%s%s%s", set & PAUSED ? "  the saga is paused" : "",
                  clear & PAUSED ? "  the saga is resumed" : "",
                  set & OVERDUE ? "  the saga is over its deadline" : "");
}

/* What an entry says to a person; most say nothing. */
static void print_entry(FILE *to, const json_t *entry, const places *known)
{
    const char *kind = cli_saga_text(entry, "entry");
    size_t slot = (size_t)json_integer_value(json_object_get(entry, "slot"));
    const char *name = slot < known->count && known->names[slot] ? known->names[slot] : "";
    if (strcmp(kind, "status") == 0 && *name) {
        (void)fprintf(to, "  %s %s%s%s", name, cli_saga_text(entry, "status"),
                      *cli_saga_text(entry, "reason") ? ": " : "", cli_saga_text(entry, "reason"));
    } else if (strcmp(kind, "sent") == 0 && *name) {
        bool undo = json_integer_value(json_object_get(entry, "undo")) != 0;
        (void)fprintf(to, "  -> %s%s", undo ? "undo " : "", name);
    } else if (strcmp(kind, "phase") == 0) {
        (void)fprintf(to, "  the saga is %s%s%s", cli_saga_text(entry, "phase"),
                      *cli_saga_text(entry, "reason") ? ": " : "", cli_saga_text(entry, "reason"));
    } else if (strcmp(kind, "stuck") == 0) {
        (void)fprintf(to, "  %s STUCK: %s%s%s", name, cli_saga_text(entry, "why"),
                      *cli_saga_text(entry, "reason") ? ", " : "", cli_saga_text(entry, "reason"));
    } else if (strcmp(kind, "reason") == 0 && *cli_saga_text(entry, "reason")) {
        (void)fprintf(to, "  %s: %s", name, cli_saga_text(entry, "reason"));
    } else if (strcmp(kind, "flags") == 0) {
        print_flags(to, entry);
    } else if (strcmp(kind, "migrated") == 0) {
        (void)fprintf(to, "  it goes on under version %d of its definition",
                      (int)json_integer_value(json_object_get(entry, "definition_version")));
    } else if (strcmp(kind, "note") == 0) {
        (void)fprintf(to, "  %s", cli_saga_text(entry, "text"));
    }
}

/* Keep the places as an entry leaves them. */
static void note_entry(const json_t *entry, places *to)
{
    const char *kind = cli_saga_text(entry, "entry");
    const json_t *place = json_object_get(entry, "slot");
    size_t slot = (size_t)json_integer_value(place);
    if (strcmp(kind, "opened") == 0 && to->count < STEPS_MAX) {
        to->names[to->count++] = json_string_value(json_object_get(entry, "step"));
    } else if (!place || slot >= to->count) {
        return;
    } else if (strcmp(kind, "stuck") == 0) {
        to->stuck[slot] = cli_saga_text(entry, "why");
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
        if (strcmp(cli_saga_text(entry, "phase"), "compensating") == 0) {
            return true;
        }
    }
    return false;
}

/* A transition: when, and all that it did. */
typedef struct line {
    char day[11], clock[16];
    char *text; /* NULL without memory */
} line;

static void print_batch(FILE *to, const json_t *batch, places *known)
{
    const json_t *entry, *head = json_array_get(batch, 0);
    size_t i;
    (void)fprintf(to, "%-8s", cli_saga_text(head, "cause"));
    if (*cli_saga_text(head, "who")) {
        (void)fprintf(to, " %s%s%s", cli_saga_text(head, "who"),
                      *cli_saga_text(head, "note") ? ": " : "", cli_saga_text(head, "note"));
    }
    places before = *known;
    json_array_foreach(batch, i, entry)
    {
        note_entry(entry, known);
        print_entry(to, entry, known);
    }
    for (i = 0; i < before.count && turns_back(batch); i++) { /* it waits for these, too */
        if (before.stuck[i] && before.stuck[i] == known->stuck[i] && known->names[i]) {
            (void)fprintf(to, "  %s is still STUCK: %s", known->names[i], known->stuck[i]);
        }
    }
}

static line make_line(const json_t *batch, places *known)
{
    line made = {.text = NULL};
    size_t size = 0;
    const char *at = cli_saga_text(json_array_get(batch, 0), "at");
    FILE *to = open_memstream(&made.text, &size);
    (void)snprintf(made.day, sizeof made.day, "%.10s", at);
    (void)cli_saga_clock(at, made.clock);
    if (to) {
        print_batch(to, batch, known);
        (void)fclose(to);
    }
    return made;
}

/* The date once for all lines of a day, but for the first day's, which is above. */
static void put_line(const line *one, const char *day)
{
    if (strcmp(one->day, day) != 0) {
        (void)printf("%s\n", one->day);
    }
    (void)printf("%s  %s\n", one->clock, one->text ? one->text : "(no memory to show it)");
}

static bool same(const line *a, const line *b)
{
    return a->text && b->text && strcmp(a->text, b->text) == 0;
}

/* How often the lines from there on, period of them, come again at once. */
static size_t repeats(const line lines[], size_t count, size_t from, size_t period)
{
    size_t at = from + period;
    while (at < count && same(&lines[at], &lines[at - period])) {
        at++;
    }
    return (at - from) / period - 1;
}

static void put_lines(const line lines[], size_t count)
{
    for (size_t at = 0; at < count;) {
        size_t period = 1, again = 0;
        for (size_t p = 1; p <= PERIOD_MAX && !again; p++) {
            size_t found = repeats(lines, count, at, p);
            period = found >= FOLD_MIN ? p : period;
            again = found >= FOLD_MIN ? found : 0;
        }
        for (size_t i = 0; i < period && at + i < count; i++) {
            put_line(&lines[at + i], lines[at + i > 0 ? at + i - 1 : 0].day);
        }
        at += period * (again + 1);
        if (again) {
            (void)printf("              ... %zu times more, until %s %s\n", again,
                         lines[at - 1].day, lines[at - 1].clock);
        }
    }
}

static void print_commands(const json_t *trial)
{
    const json_t *command;
    size_t i;
    json_array_foreach(json_object_get(trial, "commands"), i, command)
    {
        const char *service = cli_saga_text(command, "service");
        (void)printf("  sends %s %s (%s%s%s)\n", cli_saga_text(command, "command"),
                     cli_saga_text(command, "step"), cli_saga_text(command, "type"),
                     *service ? " to " : "", service);
    }
}

void cli_saga_preview(cli_run *cli, const json_t *whole, const json_t *trial)
{
    const json_t *batch, *entry, *after = json_object_get(trial, "state");
    places known = {.count = 0};
    size_t i, j;
    if (!json_is_true(json_object_get(trial, "changed"))) {
        cli_say(cli, "it would change nothing: %s", cli_saga_text(trial, "ignored"));
        return;
    }
    json_array_foreach(json_object_get(whole, "history"), i, batch)
    {
        json_array_foreach(batch, j, entry)
        {
            note_entry(entry, &known);
        }
    }
    line would = make_line(json_object_get(trial, "history"), &known);
    put_line(&would, would.day);
    free(would.text); /* open_memstream's */
    print_commands(trial);
    (void)printf("  then it is %s%s\n", cli_saga_text(after, "state"), cli_saga_pause(after));
    cli_flush(cli);
    cli_say(cli, "nothing was done; without --dry-run it is");
}

void cli_saga_history(const json_t *history)
{
    const json_t *batch;
    places known = {.count = 0};
    size_t i, count = json_array_size(history);
    line *lines = cli_alloc((count + 1) * sizeof *lines);
    json_array_foreach(history, i, batch)
    {
        lines[i] = make_line(batch, &known);
    }
    put_lines(lines, count);
    for (i = 0; i < count; i++) {
        free(lines[i].text); /* open_memstream's */
    }
    marty_free(lines);
}
