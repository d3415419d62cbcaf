/* SPDX-License-Identifier: Apache-2.0
 * Reading the JSON reports of the bus. */
#include "reports.h"

static void collect(json_t *rows, json_t *value, const char *array, const char *key,
                    const char *backend)
{
    const char *name, *own;
    json_t *part;
    size_t i;
    if (json_is_object(value)) {
        own = json_string_value(json_object_get(value, "backend"));
        own = own ? own : json_string_value(json_object_get(value, "name"));
        own = own ? own : backend;
        if (json_object_get(value, key) && !json_object_get(value, "answer")) {
            json_t *row = json_copy(value);
            if (own && !json_object_get(row, "backend")) {
                (void)json_object_set_new(row, "backend", json_string(own));
            }
            (void)json_array_append_new(rows, row);
            return;
        }
        json_object_foreach(value, name, part)
        {
            if (strcmp(name, array) == 0 || json_is_object(part) || json_is_array(part)) {
                collect(rows, part, array, key, own);
            }
        }
    } else if (json_is_array(value)) {
        json_array_foreach(value, i, part)
        {
            collect(rows, part, array, key, backend);
        }
    }
}

json_t *cli_report_rows(json_t *report, const char *array, const char *key)
{
    json_t *rows = json_array();
    collect(rows, report, array, key, NULL);
    return rows;
}

json_t *cli_topology(cli_run *cli, marty_bus *bus, const char *verb, const char *channel,
                     bool force, bool quiet, int *ret_code)
{
    marty_message *report = NULL;
    marty_error why = {0};
    marty_err err = marty_topology(bus, verb, channel, force, &report, &why);
    json_t *json;
    if (err) {
        *ret_code = quiet ? cli_exit_code(err) : cli_fail(cli, err, &why);
        return NULL;
    }
    json = cli_report_json(report);
    if (!json) {
        *ret_code = cli_failf(cli, MARTY_E_INTERNAL, "the topology report is no JSON");
    }
    return json;
}

static bool decided(const json_t *report)
{
    const json_t *backends = json_object_get(report, "backends");
    size_t i;
    for (i = 0; i < json_array_size(backends); i++) {
        const json_t *backend = json_array_get(backends, i);
        const char *state = json_string_value(json_object_get(backend, "state"));
        bool failed = json_integer_value(json_object_get(backend, "failures")) > 0;
        if (!(state && strcmp(state, "up") == 0) && !failed) {
            return false;
        }
    }
    return true;
}

json_t *cli_backends_wait(cli_run *cli, marty_bus *bus, int64_t limit_ms, int *ret_code)
{
    int64_t end = cli_monotonic_ns() + limit_ms * 1000000;
    for (;;) {
        json_t *report = cli_report(cli, bus, MARTY_REPORT_BACKENDS, ret_code);
        if (!report || decided(report) || cli_monotonic_ns() >= end) {
            return report;
        }
        json_decref(report);
        cli_progress(cli, "connecting ...");
        cli_sleep_ns(10000000);
    }
}
