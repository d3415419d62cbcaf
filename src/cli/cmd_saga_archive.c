/* SPDX-License-Identifier: Apache-2.0
 * marty saga export and purge: what has ended goes into an archive, and out of the store. */
#include "saga.h"

#include <marty/adapter.h>
#include <stdlib.h>

/* ---- export */
typedef struct exporting {
    cli_run *cli;
    const cli_saga *saga;
    int code;
} exporting;

static bool on_export(void *user, const marty_saga_facts *facts)
{
    exporting *to = user;
    json_t *whole = cli_saga_read(to->cli, to->saga, facts->id, &to->code);
    char *text = whole ? json_dumps(whole, JSON_COMPACT) : NULL;
    bool fine = text && cli_line(to->cli, text, strlen(text));
    free(text);
    json_decref(whole);
    return fine;
}

static const cli_flag export_flags[] = {
    {"limit", 'n', CLI_NUMBER, "N", "At most so many; default: all."}, {0}};

static int export_verb(cli_run *cli)
{
    cli_saga saga;
    cli_saga_want want;
    marty_error why = {0};
    int code = cli_saga_open(cli, &saga, true, false);
    if (code) {
        return code;
    }
    exporting to = {.cli = cli, .saga = &saga};
    cli_saga_wanted(cli, &want);
    cli_lines_begin(cli);
    marty_err err =
        cli_saga_walk(&saga, &want, cli_number(cli, "limit", UINT64_MAX), on_export, &to, &why);
    cli_lines_end(cli);
    return cli_saga_close(cli, &saga, err ? cli_fail(cli, err, &why) : to.code);
}

const cli_verb cli_verb_saga_export = {
    .name = "saga export",
    .arguments = "",
    .summary = "sagas with their histories, one JSON line each",
    .text = "All of them, or those that the flags name: for an archive, or a database to search "
            "in. Needs the store only, no backend.",
    .examples = "marty saga export --status completed --older 30d >archive.jsonl",
    .tables = {export_flags, cli_flags_sagas, cli_flags_store, cli_flags_bus, cli_flags_common},
    .run = export_verb,
};

/* ---- purge */
static const cli_column purge_columns[] = {{"REMOVED", "removed", true}},
                        would_columns[] = {{"WOULD REMOVE", "would_remove", true}};
static const cli_flag purge_flags[] = {
    {"older", 0, CLI_DURATION, "DURATION",
     "Only those that ended longer ago than this: no shorter than repeated starts and late answers "
     "may take."},
    {0}};

static bool on_ended(void *user, const marty_saga_facts *facts)
{
    uint64_t *count = user;
    *count += facts->status >= MARTY_SAGA_COMPLETED;
    return true;
}

/* How many a purge would take. */
static marty_err count_ended(const cli_saga *saga, int64_t before_us, uint64_t *ret_count,
                             marty_error *why)
{
    cli_saga_want all = {.filter = {.changed_before_us = before_us},
                         .started_before_us = INT64_MAX};
    return cli_saga_walk(saga, &all, UINT64_MAX, on_ended, ret_count, why);
}

static int purge(cli_run *cli)
{
    cli_saga saga;
    marty_error why = {0};
    uint64_t count = 0;
    bool dry = cli_set(cli, "dry-run");
    int code = CLI_OK;
    if (!cli_set(cli, "older")) {
        return cli_usage(cli, "say how old: --older 30d");
    }
    if (!dry &&
        !cli_confirm(cli, "remove sagas that have ended, with their histories", "purge", &code)) {
        return code;
    }
    code = cli_saga_open(cli, &saga, true, false);
    if (code) {
        return code;
    }
    int64_t before_us = cli_saga_ago(cli, "older");
    marty_err err = dry ? count_ended(&saga, before_us, &count, &why)
                        : marty_saga_purge(saga.engine, before_us, &count, &why);
    if (!err) {
        cli_rows_begin(cli, dry ? would_columns : purge_columns, 1, true);
        cli_row(cli, json_pack("{s:I}", dry ? "would_remove" : "removed", (json_int_t)count));
        cli_rows_end(cli, NULL);
    }
    return cli_saga_close(cli, &saga, err ? cli_fail(cli, err, &why) : CLI_OK);
}

const cli_verb cli_verb_saga_purge = {
    .name = "saga purge",
    .arguments = "",
    .summary = "remove sagas that have ended",
    .text = "With their histories; export them first if they are wanted. Needs the store only, no "
            "backend.",
    .examples = "marty saga purge --older 30d --yes",
    .tables = {purge_flags, cli_flags_danger, cli_flags_store, cli_flags_bus, cli_flags_common},
    .run = purge,
};
