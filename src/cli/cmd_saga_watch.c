/* SPDX-License-Identifier: Apache-2.0
 * marty saga watch: what changes, as it happens. Each look takes the sagas that are open, those
 * that were started lately, as some begin and end between two looks, and those that were open
 * before and are not any more. */
#include "saga.h"

#include <marty/adapter.h>
#include <stdlib.h>

enum { LOOK_MS = 250, LATELY_S = 10 };

typedef struct watching {
    cli_run *cli;
    const cli_saga *saga;
    const cli_saga_want *want; /* which changes are said */
    json_t *seen, *next;       /* id -> version, as of the last look and of this; ended: negative */
    int64_t begin_us;
    bool first;
} watching;

static void say(const watching *w, const marty_saga_facts *facts)
{
    char now[16];
    if (w->cli->out.format == CLI_TABLE) {
        cli_time_short(now, facts->changed_us);
        (void)printf("%s  %s  %s  %s  v%llu%s%s\n", now, facts->id, facts->name,
                     cli_saga_word(facts), (unsigned long long)facts->version,
                     *facts->stuck ? "  " : "", facts->stuck);
        return;
    }
    json_t *row = cli_saga_row(facts);
    char *line = json_dumps(row, JSON_COMPACT);
    (void)cli_line(w->cli, line ? line : "{}", line ? strlen(line) : 2);
    free(line);
    json_decref(row);
}

static bool on_saga(void *user, const marty_saga_facts *facts)
{
    watching *w = user;
    bool ended = facts->status >= MARTY_SAGA_COMPLETED;
    if (json_object_get(w->next, facts->id)) {
        return true; /* in this look already */
    }
    json_int_t version = (json_int_t)facts->version, old = ended ? -version : version;
    json_t *known = json_object_get(w->seen, facts->id);
    (void)json_object_set_new(w->next, facts->id, json_integer(old));
    bool before = !known && ended && facts->changed_us < w->begin_us;
    if (json_integer_value(known) != old && !before && cli_saga_meant(w->want, facts)) {
        say(w, facts);
    }
    return !w->cli->out.broken;
}

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

static void look_at(watching *w, const char *id)
{
    marty_message *report = NULL;
    marty_error why = {0};
    if (marty_saga_show(w->saga->engine, id, false, &report, &why)) {
        return; /* purged */
    }
    json_t *whole = cli_report_json(report), *saga = json_object_get(whole, "saga");
    marty_saga_facts facts = {.id = id,
                              .name = text_of(saga, "definition"),
                              .key = text_of(saga, "key"),
                              .stuck = "",
                              .due_us = INT64_MAX,
                              .status = cli_saga_status(text_of(saga, "state")),
                              .version =
                                  (uint64_t)json_integer_value(json_object_get(saga, "version"))};
    (void)cli_time_parse(&facts.started_us, text_of(saga, "started"));
    (void)cli_time_parse(&facts.changed_us, text_of(saga, "changed"));
    if (facts.status >= MARTY_SAGA_COMPLETED) {
        (void)on_saga(w, &facts);
    }
    json_decref(whole);
}

/* Those that were open and are not any more. */
static void look_at_gone(watching *w)
{
    const char *id;
    json_t *version;
    json_object_foreach(w->seen, id, version)
    {
        if (json_integer_value(version) > 0 && !json_object_get(w->next, id)) {
            look_at(w, id);
        }
    }
}

/* An id that is below all of those that were started lately, or NULL for the first look. */
static const char *lately(const watching *w, char ret[40])
{
    int64_t ms = cli_wall_us() / 1000 - INT64_C(1000) * LATELY_S;
    (void)snprintf(ret, 40, "%08llx-%04llx", (unsigned long long)ms >> 16,
                   (unsigned long long)ms & 0xffff);
    return w->first ? NULL : ret;
}

static marty_err look(watching *w, marty_error *why)
{
    char after[40];
    cli_saga_want open = {.filter = {.name = w->want->filter.name, .open = true},
                          .started_before_us = INT64_MAX},
                  fresh = open;
    fresh.filter.open = false;
    fresh.filter.after = lately(w, after);
    w->next = json_object();
    marty_err err = cli_saga_walk(w->saga, &open, UINT64_MAX, on_saga, w, why);
    if (!err && fresh.filter.after) {
        err = cli_saga_walk(w->saga, &fresh, UINT64_MAX, on_saga, w, why);
    }
    if (!err && !w->first) {
        look_at_gone(w);
    }
    json_decref(w->seen);
    w->seen = w->next;
    w->first = false;
    return err;
}

static int watch(cli_run *cli)
{
    cli_saga saga;
    cli_wait wait;
    cli_saga_want want;
    marty_error why = {0};
    cli_wait_init(&wait, 0);
    int code = cli_saga_open(cli, &saga, true, false);
    bool opened = !code;
    cli_saga_wanted(cli, &want);
    watching w = {.cli = cli,
                  .saga = &saga,
                  .want = &want,
                  .seen = json_object(),
                  .begin_us = cli_wall_us(),
                  .first = true};
    int64_t until_ns = cli_set(cli, "for")
                           ? cli_monotonic_ns() + (int64_t)cli_number(cli, "for", 0) * 1000000
                           : INT64_MAX;
    cli_lines_begin(cli);
    while (!code && !wait.interrupted && !cli->out.broken && cli_monotonic_ns() < until_ns) {
        marty_err err = look(&w, &why);
        code = err ? cli_fail(cli, err, &why) : CLI_OK;
        cli_flush(cli);
        if (!code) {
            cli_wait_run(cli, &wait, LOOK_MS);
        }
    }
    cli_lines_end(cli);
    json_decref(w.seen);
    cli_wait_free(&wait);
    return opened ? cli_saga_close(cli, &saga, code) : code;
}

static const cli_flag watch_flags[] = {{"for", 0, CLI_DURATION, "DURATION", "End after that long."},
                                       {0}};

const cli_verb cli_verb_saga_watch = {
    .name = "saga watch",
    .arguments = "",
    .summary = "say what changes, as it happens",
    .text =
        "First the sagas that are open, then a line for each that changes, as long as the flags "
        "mean it; looks four times a second, so of several changes in between the last is said. "
        "Needs the store only, no backend.",
    .examples = "marty saga watch --saga order\nmarty saga watch --status stuck --for 1m -o jsonl",
    .tables = {watch_flags, cli_flags_sagas, cli_flags_store, cli_flags_bus, cli_flags_common},
    .run = watch,
};
