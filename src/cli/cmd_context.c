/* SPDX-License-Identifier: Apache-2.0
 * marty context: named places to talk to. */
#include "cli.h"

#include <marty/adapter.h>
#include <stdlib.h>

static const cli_column columns[] = {
    {"", "mark", false},         {"NAME", "name", false},       {"BACKEND", "backend", false},
    {"CONFIG", "config", false}, {"SERVICE", "service", false}, {"ENVELOPE", "envelope", false}};

/* A URL as it may be shown; what is no URL has no secret. */
static json_t *shown(const char *url)
{
    marty_url *parsed = NULL;
    json_t *text;
    if (!url || !strchr(url, ':') || marty_url_parse(&parsed, url, NULL) != MARTY_OK) {
        return url && !strchr(url, '@') ? json_string(url) : url ? json_string("(hidden)") : NULL;
    }
    text = json_string(parsed->redacted);
    marty_url_free(parsed);
    return text;
}

static json_t *row_of(const char *name, const cli_context *context, bool selected)
{
    json_t *row = json_pack("{s:s, s:b}", "name", name, "selected", selected);
    (void)json_object_set_new(row, "mark", json_string(selected ? "*" : " "));
    if (context->backend) {
        (void)json_object_set_new(row, "backend", shown(context->backend));
    }
    if (context->config) {
        (void)json_object_set_new(row, "config", json_string(context->config));
    }
    if (context->service) {
        (void)json_object_set_new(row, "service", json_string(context->service));
    }
    if (context->envelope) {
        (void)json_object_set_new(row, "envelope", json_string(context->envelope));
    }
    return row;
}

static void row_give(cli_run *cli, json_t *row)
{
    if (cli->out.format == CLI_JSON || cli->out.format == CLI_JSONL) {
        (void)json_object_del(row, "mark");
    }
    cli_row(cli, row);
}

static int ls(cli_run *cli)
{
    char *selected = cli_context_selected();
    size_t count, i;
    char **names = cli_context_names(&count);
    int code = CLI_OK;
    bool raw = cli->out.format == CLI_RAW; /* names alone, for scripts */
    cli_rows_begin(cli, raw ? columns + 1 : columns, raw ? 1 : 6, false);
    for (i = 0; i < count; i++) {
        cli_context context = {0};
        marty_error why = {0};
        marty_err err = cli_context_load(&context, names[i], &why);
        if (err) {
            (void)cli_fail(cli, err, &why);
            code = CLI_PARTIAL;
        } else {
            row_give(cli, row_of(names[i], &context, selected && strcmp(selected, names[i]) == 0));
        }
        cli_context_free(&context);
        marty_free(names[i]);
    }
    cli_rows_end(cli, "no context yet; make one: marty context add NAME -b URL --select");
    marty_free(names);
    marty_free(selected);
    return code;
}

static int show(cli_run *cli)
{
    char *selected = cli_context_selected();
    const char *name = cli_argument(cli, 0) ? cli_argument(cli, 0) : selected;
    cli_context context = {0};
    marty_error why = {0};
    marty_err err;
    int code = CLI_OK;
    if (!name) {
        marty_free(selected);
        return cli_failf(cli, MARTY_E_NOT_FOUND,
                         "no context is selected: marty context select NAME");
    }
    err = cli_context_load(&context, name, &why);
    if (err) {
        code = cli_fail(cli, err, &why);
    } else {
        cli_rows_begin(cli, columns, 6, true);
        row_give(cli, row_of(name, &context, selected && strcmp(selected, name) == 0));
        cli_rows_end(cli, NULL);
    }
    cli_context_free(&context);
    marty_free(selected);
    return code;
}

/* A file of this folder, also from others. */
static char *anywhere(const char *backend)
{
    bool relative = backend && strncmp(backend, "sqlite:", 7) == 0 && !strchr("/?", backend[7]);
    char *folder = relative ? realpath(".", NULL) : NULL;
    char *made = folder ? cli_textf("sqlite:%s/%s", folder, backend + 7) : cli_strdup(backend);
    free(folder);
    return made;
}

static int add(cli_run *cli)
{
    const char *name = cli_argument(cli, 0), *config = cli_string(cli, "config", NULL);
    cli_context context = {.backend = anywhere(cli_string(cli, "backend", NULL)),
                           .service = cli_strdup(cli_string(cli, "service", NULL)),
                           .envelope = cli_strdup(cli_string(cli, "envelope", NULL))};
    cli_context old = {0};
    char *absolute = config ? realpath(config, NULL) : NULL;
    marty_error why = {0};
    marty_err err = MARTY_OK;
    int code = CLI_OK;
    context.config = cli_strdup(absolute ? absolute : config);
    free(absolute);
    if (!context.backend && !context.config) {
        code = cli_usage(cli, "a context says where: give -b URL or -c FILE");
    } else if (cli_context_load(&old, name, NULL) == MARTY_OK && !cli_set(cli, "force")) {
        code = cli_failf(cli, MARTY_E_EXISTS,
                         "context \"%s\" is there already; replace it with "
                         "--force, or name another",
                         name);
    } else {
        err = cli_context_save(&context, name, &why);
        if (!err && cli_set(cli, "select")) {
            err = cli_context_select(name, &why);
        }
        code = err ? cli_fail(cli, err, &why) : CLI_OK;
    }
    if (!code) {
        cli_say(cli, "context \"%s\" is written%s", name,
                cli_set(cli, "select") ? " and selected" : "");
        if (!cli_set(cli, "select")) {
            cli_next(cli, "marty context select %s", name);
        }
    }
    cli_context_free(&old);
    cli_context_free(&context);
    return code;
}

static int choose(cli_run *cli)
{
    marty_error why = {0};
    const char *name = cli_argument(cli, 0);
    marty_err err = cli_context_select(name, &why);
    char *selected;
    if (err) {
        (void)cli_fail(cli, err, &why);
        cli_next(cli, "marty context ls");
        return cli_exit_code(err);
    }
    selected = cli_context_selected();
    cli_say(cli, "context \"%s\" is selected", selected ? selected : name);
    marty_free(selected);
    return CLI_OK;
}

static int rm(cli_run *cli)
{
    marty_error why = {0};
    const char *name = cli_argument(cli, 0);
    cli_context context = {0};
    marty_err err = cli_context_load(&context, name, &why);
    int code = CLI_OK;
    cli_context_free(&context);
    if (err == MARTY_E_NOT_FOUND || err == MARTY_E_ARGUMENT) {
        return cli_failf(cli, err, "no context \"%s\": marty context ls", name);
    }
    if (cli_set(cli, "dry-run")) {
        cli_say(cli, "would remove context \"%s\"", name);
        return CLI_OK;
    }
    if (!cli_confirm(cli, "this removes a context", name, &code)) {
        return code;
    }
    err = cli_context_remove(name, &why);
    if (err) {
        return cli_fail(cli, err, &why);
    }
    cli_say(cli, "context \"%s\" is removed", name);
    return CLI_OK;
}

static const cli_flag add_flags[] = {
    {"select", 's', CLI_SWITCH, NULL, "Select it, too."},
    {"force", 0, CLI_SWITCH, NULL, "Replace the one of that name."},
    {0}};

const cli_verb cli_verb_context_ls = {
    .name = "context ls",
    .arguments = "",
    .summary = "list the contexts",
    .text = "They are files in $XDG_CONFIG_HOME/marty/contexts (~/.config without it), readable by "
            "you alone. Passwords are not shown.",
    .tables = {cli_flags_common},
    .run = ls,
};
const cli_verb cli_verb_context_add = {
    .name = "context add",
    .arguments = "NAME",
    .summary = "name a place to talk to",
    .text = "A context has a backend or a configuration file, and perhaps a service and an "
            "envelope. What flags and environment say counts for more.",
    .examples = "marty context add local -b sqlite:/var/lib/orders.db --select\n"
                "marty context add prod -c /etc/marty/prod.yaml",
    .tables = {add_flags, cli_flags_bus, cli_flags_common},
    .run = add,
    .argument_min = 1,
    .argument_max = 1,
};
const cli_verb cli_verb_context_select = {
    .name = "context select",
    .arguments = "NAME",
    .summary = "use a context from now on",
    .text = "\"-\" selects the one before.",
    .examples = "marty context select prod\nmarty context select -",
    .tables = {cli_flags_common},
    .run = choose,
    .argument_min = 1,
    .argument_max = 1,
    .words = "@contexts",
};
const cli_verb cli_verb_context_show = {
    .name = "context show",
    .arguments = "[NAME]",
    .summary = "show a context, without NAME the selected one",
    .text = "Passwords are not shown.",
    .tables = {cli_flags_common},
    .run = show,
    .argument_max = 1,
    .words = "@contexts",
};
const cli_verb cli_verb_context_rm = {
    .name = "context rm",
    .arguments = "NAME",
    .summary = "remove a context",
    .text = "Only the name is forgotten; nothing at the broker changes.",
    .tables = {cli_flags_danger, cli_flags_common},
    .run = rm,
    .argument_min = 1,
    .argument_max = 1,
    .words = "@contexts",
};
