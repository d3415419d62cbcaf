/* SPDX-License-Identifier: Apache-2.0
 * Opening and closing for the saga verbs, and their words. */
#include "saga.h"

#include <marty/adapter.h>
#include <stdlib.h>

const cli_flag cli_flags_store[] = {
    {"store", 'S', CLI_STRING, "URL",
     "Where the sagas are kept: sqlite:sagas.db, postgres://host/db, "
     "nats://host/bucket; default: $MARTY_STORE."},
    {0}};

/* A name that was mistyped makes no new store: an orchestrator makes it. */
static char *store_url(const char *store, bool client)
{
    bool kept = strncmp(store, "memory:", strlen("memory:")) != 0;
    return client && kept && !strstr(store, "create=") ? cli_url_with(store, "create", "no")
                                                       : cli_strdup(store);
}

int cli_saga_open(cli_run *cli, cli_saga *ret, bool client, bool sends)
{
    const char *store = cli_string(cli, "store", getenv("MARTY_STORE"));
    memset(ret, 0, sizeof *ret);
    if (!store || !*store) {
        return cli_usage(cli, "no store of sagas: give --store URL (sqlite:sagas.db), or set "
                              "MARTY_STORE");
    }
    int code = sends ? cli_bus_open(cli, &ret->bus, false, false) : cli_bus_none(cli, &ret->bus);
    if (code) {
        return code;
    }
    marty_saga_options options = {.client = client};
    marty_error why = {0};
    char *url = store_url(store, client);
    marty_err err = marty_saga_open(&ret->engine, ret->bus, url ? url : store, &options, &why);
    marty_free(url);
    if (err) {
        code = cli_fail(cli, err, &why);
        return cli_bus_close(cli, ret->bus, code);
    }
    return CLI_OK;
}

int cli_saga_close(cli_run *cli, cli_saga *saga, int code)
{
    marty_error why = {0};
    marty_err err = marty_saga_close(saga->engine, 0, &why);
    if (err && !code) {
        code = cli_fail(cli, err, &why);
    }
    return cli_bus_close(cli, saga->bus, code);
}

/* What is wrong with the JSON that was typed, the last argument. */
static void say_malformed(const cli_run *cli)
{
    size_t count = cli->given.argument_count;
    json_error_t at;
    json_t *value = count ? json_loads(cli_argument(cli, count - 1), JSON_DECODE_ANY, &at) : NULL;
    if (count && !value) {
        cli_next(cli, "mend the JSON: %s", at.text);
    }
    json_decref(value);
}

int cli_saga_fail(const cli_run *cli, marty_err err, const marty_error *why)
{
    int code = cli_fail(cli, err, why);
    if (err == MARTY_E_MALFORMED) {
        say_malformed(cli);
    } else if (err == MARTY_E_ARGUMENT && strncmp(why->text, "note:", 5) == 0) {
        cli_next(cli, "the same with -m 'WHY'");
    }
    if (err == MARTY_E_NOT_FOUND && strstr(why->text, "there is no saga")) {
        bool of_definition = strstr(why->text, "register it") != NULL;
        cli_next(cli, of_definition ? "marty saga run FILE   (it registers what FILE defines)"
                                    : "marty saga ls");
    }
    return code;
}

static const char *const words[] = {[MARTY_SAGA_RUNNING] = "running",
                                    [MARTY_SAGA_COMPENSATING] = "compensating",
                                    [MARTY_SAGA_COMPLETED] = "completed",
                                    [MARTY_SAGA_COMPENSATED] = "compensated",
                                    [MARTY_SAGA_ABANDONED] = "abandoned"};

bool cli_saga_failing(const marty_saga_facts *facts)
{
    return facts->status < MARTY_SAGA_COMPLETED &&
           strncmp(facts->stuck, MARTY_SAGA_FAILING, strlen(MARTY_SAGA_FAILING)) == 0;
}

const char *cli_saga_word(const marty_saga_facts *facts)
{
    bool ended = facts->status >= MARTY_SAGA_COMPLETED; /* what held it up then holds nothing now */
    bool failing = cli_saga_failing(facts);
    return ended                       ? words[facts->status]
           : *facts->stuck && !failing ? "stuck"
           : facts->paused             ? "paused"
           : failing                   ? "failing"
                                       : words[facts->status];
}

marty_saga_status cli_saga_status(const char *word)
{
    size_t i = sizeof words / sizeof *words - 1;
    while (i > 0 && (!words[i] || strcmp(words[i], word) != 0)) {
        i--;
    }
    return (marty_saga_status)i;
}

json_t *cli_saga_row(const marty_saga_facts *facts)
{
    char started[40], changed[40], due[40] = "";
    cli_time_text(started, facts->started_us);
    cli_time_text(changed, facts->changed_us);
    if (facts->due_us != INT64_MAX) {
        cli_time_text(due, facts->due_us);
    }
    json_t *row = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:s, s:s}", "id", facts->id,
                            "saga", facts->name, "key", facts->key, "status", cli_saga_word(facts),
                            "started", started, "changed", changed, "version",
                            (json_int_t)facts->version, "stuck", facts->stuck, "due", due);
    if (row) {
        (void)json_object_set_new(row, "age_s",
                                  json_integer((cli_wall_us() - facts->started_us) / 1000000));
    }
    return row;
}

json_t *cli_saga_read(cli_run *cli, const cli_saga *saga, const char *id, int *ret_code)
{
    marty_message *report = NULL;
    marty_error why = {0};
    marty_err err = marty_saga_show(saga->engine, id, true, &report, &why);
    if (err) {
        *ret_code = cli_saga_fail(cli, err, &why);
        return NULL;
    }
    return cli_report_json(report);
}
