/* SPDX-License-Identifier: Apache-2.0
 * marty saga ls, show, watch, export and purge: look at sagas; purge removes those that have ended.
 */
#include "saga.h"

#include <marty/adapter.h>
#include <stdlib.h>

static const cli_column columns[] = {{"ID", "id", false},           {"SAGA", "saga", false},
                                     {"KEY", "key", false},         {"STATUS", "status", false},
                                     {"STARTED", "started", false}, {"AGE s", "age_s", true},
                                     {"STUCK", "stuck", false}};
static const cli_flag ls_flags[] = {
    {"saga", 0, CLI_STRING, "NAME", "Only those of this definition."},
    {"status", 0, CLI_CHOICE, "running|compensating|completed|compensated|abandoned|stuck|open",
     "Only those that stand so; open: not ended; stuck: wait for a person."},
    {"key", 'k', CLI_STRING, "KEY", "Only that with this start key."},
    {"older", 0, CLI_DURATION, "DURATION", "Only those unchanged for that long."},
    {"after", 0, CLI_STRING, "ID", "Go on after this one."},
    {"limit", 'n', CLI_NUMBER, "N", "At most so many; default 100."},
    {0}};

static bool fill_filter(const cli_run *cli, marty_saga_filter *ret)
{
    static const char *const words[] = {"",          "running",     "compensating",
                                        "completed", "compensated", "abandoned"};
    const char *status = cli_string(cli, "status", "");
    uint64_t older_ms = cli_number(cli, "older", 0);
    *ret = (marty_saga_filter){.name = cli_string(cli, "saga", NULL),
                               .key = cli_string(cli, "key", NULL),
                               .after = cli_string(cli, "after", NULL),
                               .limit = (uint32_t)cli_number(cli, "limit", 100),
                               .stuck = strcmp(status, "stuck") == 0,
                               .open = strcmp(status, "open") == 0};
    for (unsigned i = 1; i < sizeof words / sizeof *words; i++) {
        if (strcmp(words[i], status) == 0) {
            ret->status = (marty_saga_status)i;
        }
    }
    if (older_ms) {
        ret->changed_before_us = cli_wall_us() - (int64_t)older_ms * 1000;
    }
    return ret->limit > 0 && ret->limit <= 10000;
}

static bool on_row(void *user, const marty_saga_facts *facts)
{
    cli_row(user, cli_saga_row(facts));
    return true;
}

static int ls(cli_run *cli)
{
    cli_saga saga;
    marty_saga_filter filter;
    marty_error why = {0};
    if (!fill_filter(cli, &filter)) {
        return cli_usage(cli, "--limit is from 1 to 10000");
    }
    int code = cli_saga_open(cli, &saga, true, false);
    if (code) {
        return code;
    }
    cli_rows_begin(cli, columns, sizeof columns / sizeof *columns, false);
    marty_err err = marty_saga_list(saga.engine, &filter, on_row, cli, &why);
    cli_rows_end(cli, err ? NULL : "no sagas like that");
    return cli_saga_close(cli, &saga, err ? cli_fail(cli, err, &why) : CLI_OK);
}

const cli_verb cli_verb_saga_ls = {
    .name = "saga ls",
    .arguments = "",
    .summary = "the sagas of a store",
    .text = "In the order of their ids, which is about the order of their starts.",
    .examples = "marty saga ls --store sqlite:sagas.db\n"
                "marty saga ls --status stuck\nmarty saga ls --saga order --older 1h --status open",
    .tables = {ls_flags, cli_flags_store, cli_flags_bus, cli_flags_common},
    .run = ls,
};

/* ---- one saga */
static json_t *read_saga(cli_run *cli, const cli_saga *saga, const char *id, int *ret_code)
{
    marty_message *report = NULL;
    marty_error why = {0};
    marty_err err = marty_saga_show(saga->engine, id, true, &report, &why);
    if (err) {
        *ret_code = cli_fail(cli, err, &why);
        return NULL;
    }
    return cli_report_json(report);
}

static void print_json(cli_run *cli, const json_t *value)
{
    char *text = json_dumps(value, JSON_COMPACT);
    (void)cli_line(cli, text ? text : "{}", text ? strlen(text) : 2);
    free(text);
}

static int show(cli_run *cli)
{
    cli_saga saga;
    int code = cli_saga_open(cli, &saga, true, false);
    json_t *whole = code ? NULL : read_saga(cli, &saga, cli_argument(cli, 0), &code);
    if (whole && cli->out.format == CLI_TABLE) {
        cli_saga_timeline(cli, whole);
    } else if (whole) {
        print_json(cli, whole);
    }
    json_decref(whole);
    return saga.engine ? cli_saga_close(cli, &saga, code) : code;
}

const cli_verb cli_verb_saga_show = {
    .name = "saga show",
    .arguments = "ID",
    .summary = "one saga: its steps, and all that happened",
    .text =
        "The steps with their attempts, what it waits for and why it is stuck; then its history, "
        "each line with its cause.",
    .examples = "marty saga show 019ac...\nmarty saga show 019ac... -o json | jq .saga",
    .tables = {cli_flags_store, cli_flags_bus, cli_flags_common},
    .run = show,
    .argument_min = 1,
    .argument_max = 1,
};

/* ---- export */
typedef struct exporting {
    char (*ids)[40];
    size_t count, room;
} exporting;

static bool on_export(void *user, const marty_saga_facts *facts)
{
    exporting *to = user;
    if (to->count == to->room) {
        return false;
    }
    (void)snprintf(to->ids[to->count++], sizeof to->ids[0], "%s", facts->id);
    return true;
}

static int export_page(cli_run *cli, const cli_saga *saga, const exporting *page)
{
    int code = CLI_OK;
    for (size_t i = 0; i < page->count && !code && !cli->out.broken; i++) {
        json_t *whole = read_saga(cli, saga, page->ids[i], &code);
        if (whole) {
            print_json(cli, whole);
        }
        json_decref(whole);
    }
    return code;
}

static int export_verb(cli_run *cli)
{
    enum { PAGE = 1000 };
    cli_saga saga;
    marty_saga_filter filter;
    marty_error why = {0};
    (void)fill_filter(cli, &filter);
    int code = cli_saga_open(cli, &saga, true, false);
    if (code) {
        return code;
    }
    uint64_t left = cli_set(cli, "limit") ? filter.limit : UINT64_MAX;
    exporting page = {.ids = marty_alloc_zero(PAGE, sizeof *page.ids)};
    char after[40] = "";
    (void)snprintf(after, sizeof after, "%s", filter.after ? filter.after : "");
    while (!code && left && page.ids) {
        page.count = 0;
        page.room = filter.limit = left < PAGE ? (uint32_t)left : PAGE;
        filter.after = after;
        marty_err err = marty_saga_list(saga.engine, &filter, on_export, &page, &why);
        code = err ? cli_fail(cli, err, &why) : export_page(cli, &saga, &page);
        left -= page.count;
        if (page.count < page.room) {
            break;
        }
        memcpy(after, page.ids[page.count - 1], sizeof after);
    }
    marty_free(page.ids);
    return cli_saga_close(cli, &saga, code);
}

const cli_verb cli_verb_saga_export = {
    .name = "saga export",
    .arguments = "",
    .summary = "sagas with their histories, one JSON line each",
    .text = "All of them, or those that the flags of ls name: for an archive, or a database to "
            "search in.",
    .examples = "marty saga export --status completed --older 30d >archive.jsonl",
    .tables = {ls_flags, cli_flags_store, cli_flags_bus, cli_flags_common},
    .run = export_verb,
};

/* ---- watch */
static bool on_watch(void *user, const marty_saga_facts *facts)
{
    json_t *seen = user; /* id -> version */
    json_int_t version = json_integer_value(json_object_get(seen, facts->id));
    if (version != (json_int_t)facts->version) {
        char now[16];
        cli_time_short(now, facts->changed_us);
        (void)json_object_set_new(seen, facts->id, json_integer((json_int_t)facts->version));
        (void)printf("%s  %s  %s  %s  v%llu%s%s\n", now, facts->id, facts->name,
                     cli_saga_word(facts), (unsigned long long)facts->version,
                     *facts->stuck ? "  " : "", facts->stuck);
    }
    return true;
}

static int watch(cli_run *cli)
{
    cli_saga saga;
    cli_wait wait;
    marty_saga_filter filter;
    marty_error why = {0};
    cli_wait_init(&wait, 0);
    (void)fill_filter(cli, &filter);
    int code = cli_saga_open(cli, &saga, true, false);
    json_t *seen = json_object();
    int64_t until_ns = cli_set(cli, "for")
                           ? cli_monotonic_ns() + (int64_t)cli_number(cli, "for", 0) * 1000000
                           : INT64_MAX;
    while (!code && !wait.interrupted && cli_monotonic_ns() < until_ns) {
        marty_err err = marty_saga_list(saga.engine, &filter, on_watch, seen, &why);
        code = err ? cli_fail(cli, err, &why) : CLI_OK;
        cli_flush(cli);
        if (!code) {
            cli_wait_run(cli, &wait, 250);
        }
    }
    json_decref(seen);
    cli_wait_free(&wait);
    return saga.engine ? cli_saga_close(cli, &saga, code) : code;
}

static const cli_flag watch_flags[] = {{"for", 0, CLI_DURATION, "DURATION", "End after that long."},
                                       {0}};

const cli_verb cli_verb_saga_watch = {
    .name = "saga watch",
    .arguments = "",
    .summary = "say what changes, as it happens",
    .text =
        "A line for each change of the sagas that the flags of ls name; looks four times a second.",
    .examples = "marty saga watch --status open\nmarty saga watch --status stuck --for 1m",
    .tables = {watch_flags, ls_flags, cli_flags_store, cli_flags_bus, cli_flags_common},
    .run = watch,
};

/* ---- purge */
static const cli_flag purge_flags[] = {
    {"older", 0, CLI_DURATION, "DURATION",
     "Only those that ended longer ago than this: no shorter than repeated starts and late answers "
     "may take."},
    {0}};

static int purge(cli_run *cli)
{
    cli_saga saga;
    marty_error why = {0};
    uint64_t count = 0, older_ms = cli_number(cli, "older", 0);
    int code = CLI_OK;
    if (!cli_set(cli, "older")) {
        return cli_usage(cli, "say how old: --older 30d");
    }
    if (!cli_confirm(cli, "remove sagas that have ended, with their histories", "purge", &code)) {
        return code;
    }
    code = cli_saga_open(cli, &saga, true, false);
    if (code) {
        return code;
    }
    marty_err err =
        marty_saga_purge(saga.engine, cli_wall_us() - (int64_t)older_ms * 1000, &count, &why);
    if (!err) {
        cli_say(cli, "%llu sagas removed", (unsigned long long)count);
    }
    return cli_saga_close(cli, &saga, err ? cli_fail(cli, err, &why) : CLI_OK);
}

const cli_verb cli_verb_saga_purge = {
    .name = "saga purge",
    .arguments = "",
    .summary = "remove sagas that have ended",
    .text = "With their histories; export them first if they are wanted.",
    .examples = "marty saga purge --older 30d --yes",
    .tables = {purge_flags, cli_flags_danger, cli_flags_store, cli_flags_bus, cli_flags_common},
    .run = purge,
};
