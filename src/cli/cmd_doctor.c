/* SPDX-License-Identifier: Apache-2.0
 * marty doctor and backend ls: each backend, whether it is reachable, what it grants, what is
 * unsafe and how to mend it. */
#include "reports.h"

#include <marty/adapter.h>

static const cli_flag flags[] = {
    {"timeout", 't', CLI_DURATION, "DURATION", "Time to wait for the backends; default 5s."}, {0}};
static const cli_flag doctor_flags[] = {
    {"strict", 0, CLI_SWITCH, NULL, "Exit code 1 when anything is unsafe, too."}, {0}};
static const cli_column columns[] = {{"NAME", "name", false},
                                     {"SCHEME", "scheme", false},
                                     {"STATE", "state", false},
                                     {"LEVEL", "granted.level", false},
                                     {"COPIES", "granted.copies", true},
                                     {"URL", "url", false},
                                     {"NOTE", "text", false}};

static const char *text_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static bool is_up(const json_t *backend)
{
    const char *state = text_of(backend, "state");
    return state && strcmp(state, "up") == 0;
}

static int exit_code(size_t up, size_t count)
{
    return up == count ? CLI_OK : up ? CLI_PARTIAL : CLI_ERROR;
}

static int ls(cli_run *cli)
{
    marty_bus *bus = NULL;
    int code;
    json_t *report, *backend;
    size_t i, up = 0, count = 0;
    cli->hush_states = true;
    code = cli_bus_open(cli, &bus, true, false);
    report = code ? NULL : cli_backends_wait(cli, bus, cli_timeout(cli, "timeout", 5000), &code);
    cli_progress_end(cli);
    cli_rows_begin(cli, columns, sizeof columns / sizeof columns[0], false);
    json_array_foreach(json_object_get(report, "backends"), i, backend)
    {
        count++;
        up += is_up(backend);
        cli_row(cli, json_incref(backend));
    }
    cli_rows_end(cli, NULL);
    code = code ? code : exit_code(up, count);
    json_decref(report);
    return cli_bus_close(cli, bus, code);
}

/* "topic: groups, replay; queue: ..." in one line for each kind of channel. */
static void say_grants(json_t *can)
{
    const char *kind;
    json_t *words;
    json_object_foreach(can, kind, words)
    {
        char *list = cli_cell(can, kind);
        if (json_array_size(words)) {
            (void)printf("    %-10s %s\n", kind, list);
        }
        marty_free(list);
    }
}

static void say_server(const json_t *server)
{
    const char *name = text_of(server, "server"), *version = text_of(server, "version");
    if (version) {
        (void)printf("  server    %s %s%s\n", name ? name : "", version,
                     json_is_true(json_object_get(server, "tls")) ? ", TLS" : "");
    }
}

static void say_stored(const json_t *granted)
{
    char *level = cli_cell(granted, "level"), *copies = cli_cell(granted, "copies");
    char *synced = cli_cell(granted, "synced");
    (void)printf("  stored    %s, copies %s, synced %s%s\n", level, copies, synced,
                 json_is_true(json_object_get(granted, "assumed"))
                     ? " (assumed: it could not be read)"
                     : "");
    marty_free(level);
    marty_free(copies);
    marty_free(synced);
}

static size_t say_unsafe(const json_t *server)
{
    json_t *item;
    size_t i;
    json_array_foreach(json_object_get(server, "unsafe"), i, item)
    {
        const char *what = text_of(item, "what"), *mend = text_of(item, "mend");
        (void)printf("  unsafe    %s\n  mend it   %s\n", what ? what : "?", mend ? mend : "?");
    }
    return json_array_size(json_object_get(server, "unsafe"));
}

static size_t say_backend(const cli_run *cli, const json_t *backend, const json_t *server)
{
    cli_text state = {0};
    const char *name = text_of(backend, "name"), *url = text_of(backend, "url");
    const char *text = text_of(backend, "text"), *reason = text_of(backend, "reason");
    const json_t *granted = json_object_get(backend, "granted");
    bool up = is_up(backend);
    size_t unsafe = 0;
    cli_text_colour(cli, &state, up ? "32" : "1;31", up ? "up" : "down");
    (void)printf("%s  %s  %s\n", name ? name : "?", state.data, url ? url : "");
    cli_text_free(&state);
    if (!up) {
        cli_text safe = {0};
        text = text ? text : reason ? reason : "no answer in time";
        cli_text_safe(&safe, text, strlen(text));
        (void)printf("  reason    %s\n", safe.data);
        cli_text_free(&safe);
        return 0;
    }
    say_server(server);
    say_stored(granted);
    unsafe = say_unsafe(server);
    (void)printf("  grants\n");
    say_grants(json_object_get(granted, "can"));
    return unsafe;
}

/* What the server of a backend says of itself, from a report over all of them. */
static const json_t *server_of(const json_t *servers, const char *backend, size_t count)
{
    const json_t *row;
    size_t i;
    for (i = 0; i < json_array_size(servers); i++) {
        const char *name;
        row = json_array_get(servers, i);
        name = text_of(row, "backend");
        if ((!name && count == 1) || (name && backend && strcmp(name, backend) == 0)) {
            return row;
        }
    }
    return NULL;
}

static int diagnose(cli_run *cli, const json_t *report, const json_t *servers)
{
    const json_t *backends = json_object_get(report, "backends");
    size_t count = json_array_size(backends), up = 0, unsafe = 0, i;
    bool table = cli->out.format == CLI_TABLE || cli->out.format == CLI_RAW;
    cli_rows_begin(cli, columns, sizeof columns / sizeof columns[0], false);
    for (i = 0; i < count; i++) {
        json_t *backend = json_array_get(backends, i);
        const json_t *server = server_of(servers, text_of(backend, "name"), count);
        up += is_up(backend);
        if (table) {
            unsafe += say_backend(cli, backend, server);
        } else {
            json_t *row = json_copy(backend);
            if (server) {
                (void)json_object_set_new(row, "server", json_deep_copy(server));
            }
            unsafe += json_array_size(json_object_get(server, "unsafe"));
            cli_row(cli, row);
        }
    }
    if (table) {
        json_decref(cli->out.rows);
        cli->out.rows = NULL;
    } else {
        cli_rows_end(cli, NULL);
    }
    cli_say(cli, "%zu of %zu backends up, %zu unsafe settings", up, count, unsafe);
    return unsafe && cli_set(cli, "strict") && up == count ? CLI_ERROR : exit_code(up, count);
}

static int doctor(cli_run *cli)
{
    marty_bus *bus = NULL;
    int code, unknown = CLI_OK;
    json_t *report, *inspected, *servers;
    cli->hush_states = true;
    code = cli_bus_open(cli, &bus, true, false);
    report = code ? NULL : cli_backends_wait(cli, bus, cli_timeout(cli, "timeout", 5000), &code);
    cli_progress_end(cli);
    if (report) {
        inspected = cli_topology(cli, bus, "inspect", NULL, false, true, &unknown);
        servers = inspected ? cli_report_rows(inspected, "backends", "unsafe") : NULL;
        code = diagnose(cli, report, servers);
        json_decref(servers);
        json_decref(inspected);
        json_decref(report);
    }
    return cli_bus_close(cli, bus, code);
}

const cli_verb cli_verb_doctor = {
    .name = "doctor",
    .arguments = "",
    .summary = "is each backend reachable, what does it grant, what is unsafe",
    .text = "For each backend: whether it answers and why not, its version and TLS, how well it "
            "stores, what it grants for each kind of channel, and which of its settings are unsafe "
            "and how to mend them. Exit code 5 when some are down, 1 when all are.",
    .examples = "marty doctor\nmarty doctor -b nats://127.0.0.1:4222 -o json",
    .tables = {doctor_flags, flags, cli_flags_bus, cli_flags_common},
    .run = doctor,
};
const cli_verb cli_verb_backend_ls = {
    .name = "backend ls",
    .arguments = "",
    .summary = "the backends of the configuration and what they grant",
    .text = "In JSON each has all capabilities and limits. Exit code 5 when some are down, 1 when "
            "all are.",
    .tables = {flags, cli_flags_bus, cli_flags_common},
    .run = ls,
};
