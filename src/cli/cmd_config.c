/* SPDX-License-Identifier: Apache-2.0
 * marty config: which value counts and where it came from; whether a file is right. Neither
 * connects to anything. */
#include "session.h"

#include <marty/adapter.h>
#include <string.h>

static const cli_column columns[] = {
    {"KEY", "key", false}, {"VALUE", "value", false}, {"FROM", "from", false}};

static void row(cli_run *cli, const char *key, json_t *value, const char *from)
{
    json_t *made = json_pack("{s:s, s:o, s:s}", "key", key, "value", value, "from", from);
    if (made) {
        cli_row(cli, made);
    }
}

static void setting_row(cli_run *cli, const char *key, const cli_setting *setting)
{
    marty_url *url = NULL;
    const char *shown = setting->value;
    if (!setting->value) {
        return;
    }
    if (strcmp(key, "backend") == 0 && marty_url_parse(&url, setting->value, NULL) == MARTY_OK) {
        shown = url->redacted;
    }
    row(cli, key, json_string(shown), setting->from);
    marty_url_free(url);
}

/* A part of the report as rows; "from" beside values says where they are from. */
static void report_rows(cli_run *cli, const char *key, json_t *value, const char *from)
{
    const char *name;
    json_t *part;
    size_t i;
    if (json_is_object(value)) {
        const char *own = json_string_value(json_object_get(value, "from"));
        json_object_foreach(value, name, part)
        {
            char *path = key[0] ? cli_textf("%s.%s", key, name) : cli_strdup(name);
            bool about = strcmp(name, "from") == 0 || (strcmp(name, "name") == 0 && key[0]);
            if (!about) {
                report_rows(cli, path, part, own ? own : from);
            }
            marty_free(path);
        }
    } else if (json_is_array(value) && json_is_object(json_array_get(value, 0))) {
        json_array_foreach(value, i, part)
        {
            const char *called = json_string_value(json_object_get(part, "name"));
            char *path = called ? cli_textf("%s.%s", key, called) : cli_textf("%s[%zu]", key, i);
            report_rows(cli, path, part, from);
            marty_free(path);
        }
    } else if (!json_is_null(value)) {
        row(cli, key, json_incref(value), from);
    }
}

static int explain(cli_run *cli)
{
    const cli_settings *settings = &cli->settings;
    marty_bus *bus = NULL;
    json_t *report = NULL;
    int code = cli_bus_open(cli, &bus, true, true);
    cli_rows_begin(cli, columns, 3, false);
    setting_row(cli, "context", &settings->context);
    setting_row(cli, "backend", &settings->backend);
    setting_row(cli, "config", &settings->config);
    setting_row(cli, "service", &settings->service);
    setting_row(cli, "envelope", &settings->envelope);
    if (!code) {
        report = cli_report(cli, bus, MARTY_REPORT_CONFIG, &code);
    }
    if (report) {
        report_rows(cli, "", report, "");
        json_decref(report);
    }
    cli_rows_end(cli, NULL);
    return cli_bus_close(cli, bus, code);
}

static int validate(cli_run *cli)
{
    const char *file = cli_argument(cli, 0);
    marty_bus *bus = NULL;
    json_t *report;
    int code;
    if (file) {
        cli_setting *config = &cli->settings.config;
        config->value = cli_strdup(file);
        (void)snprintf(config->from, sizeof config->from, "argument");
    }
    code = cli_bus_open(cli, &bus, true, true);
    if (code) {
        return code;
    }
    report = cli_report(cli, bus, MARTY_REPORT_CONFIG, &code);
    if (report) {
        cli_rows_begin(cli, NULL, 0, true);
        if (cli->out.format != CLI_TABLE && cli->out.format != CLI_RAW) {
            cli_row(cli,
                    json_pack("{s:s?, s:b, s:i, s:i}", "config", cli->settings.config.value,
                              "valid", 1, "backends",
                              (int)json_array_size(json_object_get(report, "backends")), "routes",
                              (int)json_array_size(json_object_get(report, "routes"))));
        }
        cli_rows_end(cli, NULL);
        cli_say(cli, "%s is fine: %zu backends, %zu routes",
                cli->settings.config.value ? cli->settings.config.value : "it",
                json_array_size(json_object_get(report, "backends")),
                json_array_size(json_object_get(report, "routes")));
        json_decref(report);
    }
    return cli_bus_close(cli, bus, code);
}

const cli_verb cli_verb_config_explain = {
    .name = "config explain",
    .arguments = "",
    .summary = "every value that counts, and where it came from",
    .text = "Flags count for more than the environment (MARTY_CONTEXT, then MARTY_CONFIG), that "
            "for more than the selected context, that for more than marty.yaml in this folder. It "
            "connects to nothing.",
    .examples = "marty config explain\nMARTY_CONTEXT=prod marty config explain -o json",
    .tables = {cli_flags_bus, cli_flags_common},
    .run = explain,
};
const cli_verb cli_verb_config_validate = {
    .name = "config validate",
    .arguments = "[FILE]",
    .summary = "check a configuration file",
    .text = "A mistake names file, line and field. It connects to nothing; ask \"marty doctor\" "
            "whether the backends are there.",
    .examples = "marty config validate marty.yaml",
    .tables = {cli_flags_bus, cli_flags_common},
    .run = validate,
    .argument_max = 1,
};
