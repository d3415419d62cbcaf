/* SPDX-License-Identifier: Apache-2.0
 * marty subscription ls: the groups that are known at the brokers, and how far behind each is. */
#include "reports.h"

static const cli_column columns[] = {
    {"GROUP", "group", false},        {"CHANNEL", "channel", false},
    {"BACKEND", "backend", false},    {"LAG", "lag", true},
    {"UNSETTLED", "unsettled", true}, {"REDELIVERED", "redelivered", true},
    {"MEMBERS", "members", true}};

static void groups_of(cli_run *cli, const json_t *channel)
{
    json_t *group;
    size_t i;
    json_array_foreach(json_object_get(channel, "groups"), i, group)
    {
        if (json_is_object(group)) {
            json_t *row = json_copy(group);
            (void)json_object_set(row, "channel", json_object_get(channel, "channel"));
            if (json_object_get(channel, "backend")) {
                (void)json_object_set(row, "backend", json_object_get(channel, "backend"));
            }
            cli_row(cli, row);
        }
    }
}

static int run(cli_run *cli)
{
    const char *wanted = cli_argument(cli, 0);
    marty_bus *bus = NULL;
    int code = cli_bus_open(cli, &bus, false, false);
    json_t *list = code ? NULL : cli_topology(cli, bus, "list", NULL, false, false, &code);
    json_t *channels = list ? cli_report_rows(list, "channels", "channel") : NULL, *channel;
    bool found = false;
    size_t i;
    cli_rows_begin(cli, columns, sizeof columns / sizeof columns[0], false);
    json_array_foreach(channels, i, channel)
    {
        const char *name = json_string_value(json_object_get(channel, "channel"));
        int gone = CLI_OK; /* between list and inspect: no matter */
        json_t *report, *rows;
        if (!name || (wanted && strcmp(wanted, name) != 0)) {
            continue;
        }
        found = true;
        report = cli_topology(cli, bus, "inspect", name, false, true, &gone);
        rows = report ? cli_report_rows(report, "channels", "channel") : NULL;
        groups_of(cli, json_array_get(rows, 0));
        json_decref(rows);
        json_decref(report);
    }
    cli_rows_end(cli, code || (wanted && !found) ? NULL : "there are no groups yet");
    if (!code && wanted && !found) {
        code = cli_failf(cli, MARTY_E_NOT_FOUND, "no channel \"%s\": marty topology show", wanted);
    }
    json_decref(channels);
    json_decref(list);
    return cli_bus_close(cli, bus, code);
}

const cli_verb cli_verb_subscription_ls = {
    .name = "subscription ls",
    .arguments = "[CHANNEL]",
    .summary = "the groups at the brokers and how far behind each is",
    .text =
        "LAG is what a group has not been given yet, UNSETTLED what it has and has not settled.",
    .examples = "marty subscription ls\nmarty subscription ls events.order -o json",
    .tables = {cli_flags_bus, cli_flags_common},
    .run = run,
    .argument_max = 1,
};
