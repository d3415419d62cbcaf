/* SPDX-License-Identifier: Apache-2.0
 * marty topology: what lies on the brokers. */
#include "reports.h"

#include <marty/adapter.h>

static const cli_column made_columns[] = {{"CHANNEL", "channel", false},
                                          {"KIND", "kind", false},
                                          {"BACKEND", "backend", false},
                                          {"RESULT", "result", false},
                                          {"DIFFERENCES", "differences", false}};
static const cli_column list_columns[] = {
    {"CHANNEL", "channel", false},  {"KIND", "kind", false},  {"BACKEND", "backend", false},
    {"MESSAGES", "messages", true}, {"BYTES", "bytes", true}, {"GROUPS", "groups", true}};
static const cli_column group_columns[] = {{"CHANNEL", "channel", false},
                                           {"GROUP", "group", false},
                                           {"LAG", "lag", true},
                                           {"UNSETTLED", "unsettled", true},
                                           {"REDELIVERED", "redelivered", true},
                                           {"MEMBERS", "members", true},
                                           {"OLDEST", "oldest", false}};

static void made_rows(cli_run *cli, json_t *report, const char *found)
{
    json_t *rows = cli_report_rows(report, "channels", "channel"), *row;
    size_t i;
    json_array_foreach(rows, i, row)
    {
        bool differs = json_array_size(json_object_get(row, "differences")) > 0;
        bool created = json_is_true(json_object_get(row, "created"));
        (void)json_object_set_new(row, "result",
                                  json_string(differs   ? "different"
                                              : created ? "created"
                                                        : found));
        cli_row(cli, json_incref(row));
    }
    json_decref(rows);
}

/* ensure or check: each channel that is named, or all that the configuration names. */
static int make(cli_run *cli, const char *verb, const char *found)
{
    marty_bus *bus = NULL;
    int code = cli_bus_open(cli, &bus, false, false), worst = CLI_OK;
    size_t count = cli->given.argument_count, i, fine = 0;
    cli_rows_begin(cli, made_columns, 5, false);
    for (i = 0; !code && i < (count ? count : 1); i++) {
        int one = CLI_OK;
        json_t *report = cli_topology(cli, bus, verb, cli_argument(cli, i), false, false, &one);
        if (report) {
            made_rows(cli, report, found);
            fine++;
        }
        json_decref(report);
        worst = one ? one : worst;
    }
    if (!code && worst) {
        code = fine ? CLI_PARTIAL : worst;
    }
    cli_rows_end(cli,
                 code ? NULL : "nothing is named: give CHANNELs, or routes in the configuration");
    return cli_bus_close(cli, bus, code);
}

static int create(cli_run *cli)
{
    return make(cli, "ensure", "there");
}

static int check(cli_run *cli)
{
    return make(cli, "check", "right");
}

static void list_row(cli_run *cli, json_t *row)
{
    const json_t *groups = json_object_get(row, "groups");
    if (json_is_array(groups)) { /* how many; who they are says: show CHANNEL */
        (void)json_object_set_new(row, "groups", json_integer((json_int_t)json_array_size(groups)));
    }
    cli_row(cli, json_incref(row));
}

/* The groups of one channel as rows of a table; in JSON the channel as it is reported. */
static void show_one(cli_run *cli, json_t *report)
{
    json_t *rows = cli_report_rows(report, "channels", "channel"), *row, *group;
    size_t i, k;
    bool table = cli->out.format == CLI_TABLE;
    cli_rows_begin(cli, list_columns, 6, true);
    json_array_foreach(rows, i, row)
    {
        json_t *copy = json_copy(row);
        if (table) {
            list_row(cli, copy);
        } else {
            cli_row(cli, json_incref(copy));
        }
        json_decref(copy);
    }
    cli_rows_end(cli, NULL);
    if (table) {
        (void)printf("\n");
        cli_rows_begin(cli, group_columns, 7, false);
        json_array_foreach(rows, i, row)
        {
            json_array_foreach(json_object_get(row, "groups"), k, group)
            {
                json_t *copy = json_copy(group);
                char when[40];
                json_int_t oldest = json_integer_value(json_object_get(group, "oldest_us"));
                if (oldest) {
                    cli_time_text(when, oldest);
                    (void)json_object_set_new(copy, "oldest", json_string(when));
                }
                (void)json_object_set(copy, "channel", json_object_get(row, "channel"));
                cli_row(cli, copy);
            }
        }
        cli_rows_end(cli, "it has no groups");
    }
    json_decref(rows);
}

static int show(cli_run *cli)
{
    const char *channel = cli_argument(cli, 0);
    marty_bus *bus = NULL;
    int code = cli_bus_open(cli, &bus, false, false);
    json_t *report =
        code ? NULL
             : cli_topology(cli, bus, channel ? "inspect" : "list", channel, false, false, &code);
    json_t *rows, *row;
    size_t i;
    if (report && channel) {
        show_one(cli, report);
    } else if (report) {
        rows = cli_report_rows(report, "channels", "channel");
        cli_rows_begin(cli, list_columns, 6, false);
        json_array_foreach(rows, i, row)
        {
            list_row(cli, row);
        }
        cli_rows_end(cli, "there are no channels yet");
        json_decref(rows);
    }
    json_decref(report);
    return cli_bus_close(cli, bus, code);
}

static int remove_channel(cli_run *cli)
{
    const char *channel = cli_argument(cli, 0);
    marty_bus *bus = NULL;
    json_t *found = NULL, *report = NULL;
    int code = cli_bus_open(cli, &bus, false, false);
    char *what;
    if (!code) {
        found = cli_topology(cli, bus, "inspect", channel, false, false, &code);
    }
    if (found && cli_set(cli, "dry-run")) {
        cli_say(cli, "would remove %s and what is in it:", channel);
        show_one(cli, found);
    } else if (found) {
        what = cli_textf("this removes %s with its messages and groups, for ever", channel);
        if (cli_confirm(cli, what, channel, &code)) {
            report = cli_topology(cli, bus, "remove", channel, cli_set(cli, "force"), false, &code);
        }
        marty_free(what);
    }
    if (report) {
        const json_t *all = json_object_get(report, "answers");
        const json_t *answer = json_object_get(json_array_get(all, 0), "answer");
        cli_rows_begin(cli, made_columns, 4, true);
        cli_row(cli, json_pack("{s:s, s:s, s:O?}", "channel", channel, "result", "removed",
                               "removed", json_object_get(answer, "removed")));
        cli_rows_end(cli, NULL);
    }
    json_decref(found);
    json_decref(report);
    return cli_bus_close(cli, bus, code);
}

static const cli_flag force_flags[] = {
    {"force", 0, CLI_SWITCH, NULL, "Also when somebody is reading from it now."}, {0}};

const cli_verb cli_verb_topology_create = {
    .name = "topology create",
    .arguments = "[CHANNEL...]",
    .summary = "make the channels that the configuration names",
    .text = "With CHANNEL only these (events.order, commands.payment, streams.clicks). What is "
            "there is never altered: a difference is an error that names field, wanted and found.",
    .examples = "marty topology create -c marty.yaml\nmarty topology create events.order",
    .tables = {cli_flags_bus, cli_flags_common},
    .run = create,
    .argument_max = -1,
};
const cli_verb cli_verb_topology_check = {
    .name = "topology check",
    .arguments = "[CHANNEL...]",
    .summary = "compare what is there with what the configuration wants",
    .text = "Nothing is changed. Exit code 3 when a channel is missing, 1 when one is different.",
    .tables = {cli_flags_bus, cli_flags_common},
    .run = check,
    .argument_max = -1,
};
const cli_verb cli_verb_topology_show = {
    .name = "topology show",
    .arguments = "[CHANNEL]",
    .summary = "the channels and what is in them; of one, its groups",
    .text = "Without CHANNEL it lists all channels of all backends.",
    .examples = "marty topology show\nmarty topology show events.order",
    .tables = {cli_flags_bus, cli_flags_common},
    .run = show,
    .argument_max = 1,
};
const cli_verb cli_verb_topology_remove = {
    .name = "topology remove",
    .arguments = "CHANNEL",
    .summary = "remove a channel with its messages and groups",
    .text = "It asks for the exact name on a terminal, and refuses a channel that somebody reads "
            "from unless --force.",
    .examples = "marty topology remove events.order --dry-run\n"
                "marty topology remove events.order --yes",
    .tables = {force_flags, cli_flags_danger, cli_flags_bus, cli_flags_common},
    .run = remove_channel,
    .argument_min = 1,
    .argument_max = 1,
};
