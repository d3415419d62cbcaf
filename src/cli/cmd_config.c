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

/* Where a field of an object is from: its own "NAME_from", else the object's "from". */
static const char *origin(const json_t *object, const char *name, const char *from)
{
    char key[64];
    const char *own, *whole = json_string_value(json_object_get(object, "from"));
    (void)snprintf(key, sizeof key, "%.50s_from", name);
    own = json_string_value(json_object_get(object, key));
    return own ? own : whole ? whole : from;
}

static bool is_about(const char *key, const char *name)
{
    size_t length = strlen(name);
    return strcmp(name, "from") == 0 || (strcmp(name, "name") == 0 && key[0]) ||
           (length > 5 && strcmp(name + length - 5, "_from") == 0);
}

/* A route in one line of a table: "event order.* -> log, events.{domain}". */
static void route_row(cli_run *cli, const char *key, const json_t *route)
{
    const char *channel = json_string_value(json_object_get(route, "channel"));
    const char *native = json_string_value(json_object_get(route, "name"));
    const char *order = json_string_value(json_object_get(route, "order"));
    char *text =
        cli_textf("%s %s -> %s, %s%s", json_string_value(json_object_get(route, "pattern")),
                  json_string_value(json_object_get(route, "match")),
                  json_string_value(json_object_get(route, "to")),
                  channel  ? channel
                  : native ? native
                           : "?",
                  order && strcmp(order, "key") == 0 ? ", order by key" : "");
    row(cli, key, json_string(text), origin(route, "", ""));
    marty_free(text);
}

static void report_rows(cli_run *cli, const char *key, json_t *value, const char *from);

static void array_rows(cli_run *cli, const char *key, json_t *array, const char *from)
{
    json_t *part;
    size_t i;
    json_array_foreach(array, i, part)
    {
        const char *called = json_string_value(json_object_get(part, "name"));
        bool route = strcmp(key, "routes") == 0;
        char *path =
            called && !route ? cli_textf("%s.%s", key, called) : cli_textf("%s[%zu]", key, i);
        if (route && cli->out.format == CLI_TABLE) {
            route_row(cli, path, part);
        } else {
            report_rows(cli, path, part, from);
        }
        marty_free(path);
    }
}

/* A part of the report as rows; what is beside a value says where it is from. */
static void report_rows(cli_run *cli, const char *key, json_t *value, const char *from)
{
    const char *name;
    json_t *part;
    if (json_is_object(value)) {
        json_object_foreach(value, name, part)
        {
            char *path = key[0] ? cli_textf("%s.%s", key, name) : cli_strdup(name);
            bool said = strcmp(path, "service") == 0 && cli->settings.service.value;
            if (!is_about(key, name) && !said) {
                report_rows(cli, path, part, origin(value, name, from));
            }
            marty_free(path);
        }
    } else if (json_is_array(value) && json_is_object(json_array_get(value, 0))) {
        array_rows(cli, key, value, from);
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
