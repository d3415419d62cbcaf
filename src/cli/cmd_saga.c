/* SPDX-License-Identifier: Apache-2.0
 * marty saga run, start and wait: the orchestrator as a process, and sagas begun by hand. */
#include "saga.h"

#include <errno.h>
#include <marty/adapter.h>
#include <stdlib.h>

marty_err cli_saga_file(const char *path, cli_text *ret, marty_error *why)
{
    char block[4096];
    size_t size;
    FILE *file = fopen(path, "re");
    if (!file) {
        return marty_error_set(why, MARTY_E_NOT_FOUND, "%s cannot be read: %s", path,
                               strerror(errno));
    }
    while ((size = fread(block, 1, sizeof block, file)) > 0) {
        cli_text_add(ret, block, size);
    }
    bool failed = ferror(file) != 0;
    (void)fclose(file);
    return failed ? marty_error_set(why, MARTY_E_STORAGE, "%s cannot be read", path) : MARTY_OK;
}

/* The library has its text only: what it calls "definition" is the file. */
static int refuse_file(const cli_run *cli, marty_err err, const char *path, const marty_error *why)
{
    static const char word[] = "definition:";
    size_t length = strlen(word);
    bool placed = strncmp(why->text, word, length) == 0;
    return cli_failf(cli, err, "%s:%s%s", path, placed ? "" : " ",
                     why->text + (placed ? length : 0));
}

static int define(cli_run *cli, const cli_saga *saga)
{
    for (size_t i = 0; i < cli->given.argument_count; i++) {
        const char *path = cli_argument(cli, i);
        cli_text text = {0};
        marty_error why = {0};
        marty_err err = cli_saga_file(path, &text, &why);
        int code = err ? cli_fail(cli, err, &why) : CLI_OK;
        err = err ? err : marty_saga_register(saga->engine, NULL, text.data ? text.data : "", &why);
        cli_text_free(&text);
        if (err) {
            return code ? code : refuse_file(cli, err, path, &why);
        }
        cli_say(cli, "saga defined by %s", path);
    }
    return CLI_OK;
}

static int report(cli_run *cli, const cli_saga *saga)
{
    marty_error why = {0};
    marty_message *numbers = NULL;
    marty_err err = marty_saga_report(saga->engine, &numbers, &why);
    if (err) {
        return cli_fail(cli, err, &why);
    }
    (void)cli_line(cli, numbers->data.data, numbers->data.size);
    marty_message_unref(numbers);
    return CLI_OK;
}

/* Until it is interrupted or the time is over; with --report its numbers every so often. */
static int run_until(cli_run *cli, const cli_saga *saga, cli_wait *wait)
{
    uint64_t every_ms = cli_number(cli, "report", 0), left_ms = cli_number(cli, "for", 0);
    bool ends = left_ms > 0;
    int code = CLI_OK;
    do {
        uint64_t ms = every_ms && (!ends || every_ms < left_ms) ? every_ms : left_ms;
        wait->timed_out = false;
        cli_wait_run(cli, wait, ms);
        left_ms -= ends ? ms : 0;
        code = every_ms ? report(cli, saga) : CLI_OK;
    } while (!code && wait->timed_out && !cli->out.broken && (!ends || left_ms > 0));
    return code;
}

/* What may be lost is said to whoever runs sagas, not only to whoever asks. */
static int say_unsafe(const cli_run *cli, const cli_saga *saga)
{
    marty_error why = {0};
    marty_message *numbers = NULL;
    marty_err err = marty_saga_report(saga->engine, &numbers, &why);
    if (err) {
        return cli_fail(cli, err, &why);
    }
    json_t *json = cli_report_json(numbers);
    const char *store = json_string_value(json_object_get(json, "store"));
    if (store && strstr(store, "UNSAFE") && !cli->out.verbose) { /* verbose has said it */
        cli_say(cli, "warning: sagas: %s", store);
    }
    json_decref(json);
    return CLI_OK;
}

static int run(cli_run *cli)
{
    cli_wait wait;
    cli_saga saga;
    cli_wait_init(&wait, 0);
    int code = cli_saga_open(cli, &saga, false, true);
    if (!code) {
        marty_error why = {0};
        code = define(cli, &saga);
        code = code ? code : say_unsafe(cli, &saga);
        marty_err err = code ? MARTY_OK : marty_bus_start(saga.bus, &why);
        code = err ? cli_fail(cli, err, &why) : code;
        if (!code) {
            cli_say(cli, "running sagas; end it with Ctrl-C, others go on with them");
            code = run_until(cli, &saga, &wait);
        }
        code = cli_saga_close(cli, &saga, code);
    }
    cli_wait_free(&wait);
    return code;
}

static const cli_flag run_flags[] = {
    {"report", 0, CLI_DURATION, "DURATION", "Print its numbers, one JSON line, that often."},
    {"for", 0, CLI_DURATION, "DURATION", "End after that long; default: until it is interrupted."},
    {0}};

const cli_verb cli_verb_saga_run = {
    .name = "saga run",
    .arguments = "[FILE...]",
    .summary = "run sagas: an orchestrator as a process",
    .text =
        "Registers the definitions in the FILEs (YAML or JSON) and looks after all sagas of the "
        "store. As many as you like may run on one store: they share the work, and when one "
        "dies the others take over. --service is the command queue that participants answer "
        "to, the same for all of them.",
    .examples = "marty saga run orders.yaml --store sqlite:sagas.db -b sqlite:bus.db "
                "--service orders\n"
                "marty saga run --store postgres://db/sagas -b nats://broker --service orders",
    .tables = {run_flags, cli_flags_store, cli_flags_bus, cli_flags_common},
    .run = run,
    .argument_max = -1,
};

/* ---- start and wait */
static const cli_column started_columns[] = {{"ID", "id", false}};
static const cli_flag start_flags[] = {
    {"key", 'k', CLI_STRING, "KEY", "Start key: starting twice with one key is starting once."},
    {"version", 0, CLI_NUMBER, "N", "Version of the definition; default: the newest."},
    {"deadline", 0, CLI_DURATION, "DURATION", "Cancel it when it takes longer."},
    {"await", 'w', CLI_SWITCH, NULL, "Wait until it has ended, as marty saga wait does."},
    {"timeout", 't', CLI_DURATION, "DURATION", "With --await: how long; default 30s."},
    {"or-stuck", 0, CLI_SWITCH, NULL, "With --await: until it is stuck, too; exit code 6."},
    {0}};

static int start(cli_run *cli)
{
    cli_saga saga;
    marty_error why = {0};
    char id[40];
    const char *input = cli_argument(cli, 1);
    marty_saga_start_options options = {.deadline_ms = cli_number(cli, "deadline", 0)};
    if (!cli_saga_version(cli, "version", &options.version)) {
        return cli_usage(cli, "--version: no version is that high");
    }
    if (!cli_set(cli, "await") && (cli_set(cli, "or-stuck") || cli_set(cli, "timeout"))) {
        return cli_usage(cli, "--or-stuck and --timeout are of a wait: --await with them");
    }
    int code = cli_saga_open(cli, &saga, true, true);
    if (code) {
        return code;
    }
    marty_err err = marty_bus_start(saga.bus, &why);
    err = err ? err
              : marty_saga_start(saga.engine, cli_argument(cli, 0), cli_string(cli, "key", NULL),
                                 marty_text(input ? input : "{}"), &options, id, &why);
    if (err) {
        code = cli_saga_fail(cli, err, &why);
    } else if (cli_set(cli, "await")) {
        code = cli_saga_wait(cli, &saga, id);
    } else {
        cli_rows_begin(cli, started_columns, 1, true);
        cli_row(cli, json_pack("{s:s}", "id", id));
        cli_rows_end(cli, NULL);
        cli_next(cli, "marty saga show %s", id);
    }
    return cli_saga_close(cli, &saga, code);
}

const cli_verb cli_verb_saga_start = {
    .name = "saga start",
    .arguments = "SAGA [INPUT]",
    .summary = "start a saga",
    .text = "INPUT is JSON; default {}. It is in the store when this returns; with the same key "
            "again it is the same saga.",
    .examples = "marty saga start order '{\"id\":7}' --key order-7 --store sqlite:sagas.db "
                "-b sqlite:bus.db\n"
                "marty saga start order '{\"id\":7}' --key order-7 --await",
    .tables = {start_flags, cli_flags_store, cli_flags_bus, cli_flags_common},
    .run = start,
    .argument_min = 1,
    .argument_max = 2,
};

static int wait_verb(cli_run *cli)
{
    cli_saga saga;
    char id[40];
    int code = cli_saga_open(cli, &saga, true, false);
    if (code) {
        return code;
    }
    code = cli_saga_find(cli, &saga, cli_argument(cli, 0), id);
    return cli_saga_close(cli, &saga, code ? code : cli_saga_wait(cli, &saga, id));
}

static const cli_flag wait_flags[] = {
    {"timeout", 't', CLI_DURATION, "DURATION", "How long to wait; default 30s."},
    {"or-stuck", 0, CLI_SWITCH, NULL, "Until it is stuck, too, and waits for a person."},
    {0}};

const cli_verb cli_verb_saga_wait = {
    .name = "saga wait",
    .arguments = "ID",
    .summary = "wait until a saga has ended",
    .text =
        "Exit code 0 when it completed, 5 when it was compensated or abandoned, 124 when it goes "
        "on. When it is stuck, or a step of it is tried in vain, that is said on stderr with "
        "what to do, and it is waited for all the same, as somebody may mend it; with "
        "--or-stuck the wait ends with exit code 6 once it is stuck.",
    .examples = "marty saga wait 019ac... --timeout 5m\n"
                "marty saga wait 019ac... --or-stuck --timeout 1h",
    .tables = {wait_flags, cli_flags_store, cli_flags_bus, cli_flags_common},
    .run = wait_verb,
    .argument_min = 1,
    .argument_max = 1,
};
