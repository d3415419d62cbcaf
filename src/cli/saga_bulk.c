/* SPDX-License-Identifier: Apache-2.0
 * One verb for many sagas: those that flags choose, one after another, each with its result. What
 * is done already is done once: the same again changes nothing, so it may be interrupted and
 * repeated. */
#include "saga.h"

#include <marty/adapter.h>

typedef struct bulk {
    cli_run *cli;
    const cli_saga *saga;
    marty_saga_verb verb;
    const marty_saga_order *order;
    uint64_t from;  /* of migrate: only those under this version; 0 = any */
    uint64_t limit; /* how many are to be done */
    bool dry;
    json_t *versions; /* of definitions, by hash */
    json_t *reasons;  /* why some were refused, and how many */
    uint64_t done, same, refused;
} bulk;

const cli_flag cli_flags_bulk[] = {
    {"all", 'a', CLI_SWITCH, NULL, "All sagas that these flags choose, instead of ID."},
    {"limit", 'n', CLI_NUMBER, "N", "At most so many of them."},
    {"yes", 'y', CLI_SWITCH, NULL, "Do not ask; with --all needed without a terminal."},
    {0}};
static const cli_column columns[] = {{"ID", "id", false},
                                     {"SAGA", "saga", false},
                                     {"KEY", "key", false},
                                     {"RESULT", "result", false},
                                     {"WHY", "why", false}};

/* The version of a saga's definition: read from the first saga of each. 0 = it cannot be read. */
static uint64_t version_of(bulk *b, const marty_saga_facts *facts)
{
    json_t *known = json_object_get(b->versions, facts->definition);
    marty_message *report = NULL;
    if (!known && !marty_saga_show(b->saga->engine, facts->id, false, &report, NULL)) {
        json_t *whole = cli_report_json(report); /* frees the report */
        known = json_object_get(json_object_get(whole, "saga"), "definition_version");
        (void)json_object_set(b->versions, facts->definition, known);
        known = json_object_get(b->versions, facts->definition);
        json_decref(whole);
    }
    return (uint64_t)json_integer_value(known);
}

/* Whether it would change anything, of a trial's report. */
static bool changes(marty_message *report)
{
    json_t *trial = cli_report_json(report);
    bool changed = json_is_true(json_object_get(trial, "changed"));
    json_decref(trial);
    return changed;
}

/* What stands before the reason: "saga 01a...: ". */
static const char *reason_of(const marty_error *why)
{
    const char *colon = strncmp(why->text, "saga ", 5) == 0 ? strstr(why->text, ": ") : NULL;
    return colon ? colon + 2 : why->text;
}

static void give(bulk *b, const marty_saga_facts *facts, const char *result, const char *reason)
{
    cli_row(b->cli, json_pack("{s:s, s:s, s:s, s:s, s:s*}", "id", facts->id, "saga", facts->name,
                              "key", facts->key, "result", result, "why", reason));
}

static bool on_saga(void *user, const marty_saga_facts *facts)
{
    bulk *b = user;
    marty_error why = {0};
    marty_message *report = NULL;
    if (b->from && version_of(b, facts) != b->from) {
        return true;
    }
    marty_err err =
        marty_saga_preview(b->saga->engine, facts->id, b->verb, b->order, &report, &why);
    if (!err && !changes(report)) {
        b->same++;
        give(b, facts, "as it is", NULL);
        return !b->cli->out.broken;
    }
    if (!err && !b->dry) {
        err = marty_saga_act(b->saga->engine, facts->id, b->verb, b->order, &why);
    }
    if (err) {
        const char *reason = reason_of(&why);
        json_int_t before = json_integer_value(json_object_get(b->reasons, reason));
        (void)json_object_set_new(b->reasons, reason, json_integer(before + 1));
        b->refused++;
        give(b, facts, b->dry ? "would be refused" : "refused", reason);
    } else {
        b->done++;
        give(b, facts, b->dry ? "would be done" : "done", NULL);
    }
    cli_progress(b->cli, "%llu done, %llu refused", (unsigned long long)b->done,
                 (unsigned long long)b->refused);
    return !b->cli->out.broken && b->done + b->refused < b->limit;
}

static int summary(const bulk *b)
{
    const char *reason;
    json_t *count;
    cli_say(b->cli, "%s: %s%llu done, %llu as they are, %llu refused", b->cli->verb->name,
            b->dry ? "would be: " : "", (unsigned long long)b->done, (unsigned long long)b->same,
            (unsigned long long)b->refused);
    json_object_foreach(b->reasons, reason, count)
    {
        cli_say(b->cli, "  refused, %lld: %s", (long long)json_integer_value(count), reason);
    }
    return !b->refused ? CLI_OK : b->done ? CLI_PARTIAL : CLI_ERROR;
}

/* Of a verb that repairs only those in trouble are meant; of the others those that are open. */
static void choose(const bulk *b, cli_saga_want *want)
{
    bool repairs =
        b->verb == MARTY_SAGA_RETRY || b->verb == MARTY_SAGA_SKIP || b->verb == MARTY_SAGA_WAIVE;
    cli_saga_wanted(b->cli, want);
    if (b->verb == MARTY_SAGA_RESUME) {
        want->word = "paused";
    }
    if (!cli_set(b->cli, "status")) {
        want->filter.stuck = want->filter.stuck || repairs;
        want->filter.open = true;
    }
}

int cli_saga_each(cli_run *cli, const cli_saga *saga, marty_saga_verb verb,
                  const marty_saga_order *order, uint64_t from)
{
    bulk b = {.cli = cli, .saga = saga, .verb = verb, .order = order, .from = from};
    cli_saga_want want;
    marty_error why = {0};
    b.dry = cli_set(cli, "dry-run");
    b.limit = cli_number(cli, "limit", UINT64_MAX);
    b.versions = json_object();
    b.reasons = json_object();
    choose(&b, &want);
    cli_rows_begin(cli, columns, sizeof columns / sizeof *columns, false);
    marty_err err = b.limit ? cli_saga_walk(saga, &want, UINT64_MAX, on_saga, &b, &why) : MARTY_OK;
    cli_progress_end(cli);
    cli_rows_end(cli, err ? NULL : "no sagas like that");
    int code = err ? cli_fail(cli, err, &why) : summary(&b);
    json_decref(b.versions);
    json_decref(b.reasons);
    return code;
}
