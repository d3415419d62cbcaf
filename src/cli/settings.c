/* SPDX-License-Identifier: Apache-2.0
 * Where to talk to, value by value: flags > environment > context > default, and who decided. No
 * library is asked here, so that `marty config explain` works with anything. */
#include "cli.h"

#include <marty/adapter.h>
#include <stdlib.h>
#include <unistd.h>

static void decide(cli_setting *setting, const char *value, const char *from, const char *detail)
{
    if (!value || !value[0] || setting->value) {
        return;
    }
    setting->value = cli_strdup(value);
    (void)snprintf(setting->from, sizeof setting->from, "%s%s", from, detail);
}

static void context_choose(cli_run *cli)
{
    cli_setting *context = &cli->settings.context;
    char *selected = cli_context_selected();
    decide(context, cli_string(cli, "context", NULL), "flag --context", "");
    decide(context, getenv("MARTY_CONTEXT"), "environment MARTY_CONTEXT", "");
    decide(context, selected, "selected", " (marty context select)");
    marty_free(selected);
}

static int context_load(cli_run *cli, cli_context *ret_context)
{
    marty_error why = {0};
    char **names;
    size_t count, i;
    const char *name = cli->settings.context.value, *near;
    marty_err err = name ? cli_context_load(ret_context, name, &why) : MARTY_OK;
    if (err != MARTY_E_NOT_FOUND) {
        return err ? cli_fail(cli, err, &why) : CLI_OK;
    }
    if (strncmp(cli->settings.context.from, "selected", 8) == 0) {
        cli_say(cli, "the selected context \"%s\" is gone; select another: marty context select",
                name);
        return CLI_OK;
    }
    names = cli_context_names(&count);
    near = cli_suggest(name, (const char *const *)names, count);
    err = MARTY_E_NOT_FOUND;
    if (near) {
        (void)cli_failf(cli, err, "%s: no context \"%s\"; did you mean \"%s\"?",
                        cli->settings.context.from, name, near);
    } else {
        (void)cli_failf(cli, err, "%s: no context \"%s\"; there %s %zu: marty context ls",
                        cli->settings.context.from, name, count == 1 ? "is" : "are", count);
    }
    for (i = 0; i < count; i++) {
        marty_free(names[i]);
    }
    marty_free(names);
    return CLI_NOT_FOUND;
}

/* Backend and configuration are two answers to one question; the higher of them hides the lower,
 * but a backend that is only a name needs a configuration from further down. */
static bool where_is_decided(const cli_settings *settings)
{
    return settings->config.value ||
           (settings->backend.value && strchr(settings->backend.value, ':'));
}

static void where_from_context(cli_settings *settings, const cli_context *context)
{
    if (!where_is_decided(settings)) {
        if (!settings->backend.value) {
            decide(&settings->backend, context->backend, "context ", settings->context.value);
        }
        if (!where_is_decided(settings)) {
            decide(&settings->config, context->config, "context ", settings->context.value);
        }
    }
}

static void where_decide(cli_run *cli, const cli_context *context)
{
    cli_settings *settings = &cli->settings;
    bool selected = strncmp(settings->context.from, "selected", 8) == 0;
    decide(&settings->backend, cli_string(cli, "backend", NULL), "flag --backend", "");
    if (!where_is_decided(settings)) {
        decide(&settings->config, cli_string(cli, "config", NULL), "flag --config", "");
    }
    if (!selected) {
        where_from_context(settings, context);
    }
    if (!where_is_decided(settings)) {
        decide(&settings->config, getenv("MARTY_CONFIG"), "environment MARTY_CONFIG", "");
    }
    if (selected) {
        where_from_context(settings, context);
    }
    if (!where_is_decided(settings) && access("marty.yaml", F_OK) == 0) {
        decide(&settings->config, "marty.yaml", "default", " (found in this folder)");
    }
}

int cli_settings_resolve(cli_run *cli)
{
    cli_settings *settings = &cli->settings;
    cli_context context = {0};
    int code;
    context_choose(cli);
    code = context_load(cli, &context);
    if (code) {
        return code;
    }
    where_decide(cli, &context);
    decide(&settings->service, cli_string(cli, "service", NULL), "flag --service", "");
    decide(&settings->service, context.service, "context ", settings->context.value);
    if (!settings->config.value) {
        decide(&settings->service, "marty", "default", "");
    }
    decide(&settings->envelope, cli_string(cli, "envelope", NULL), "flag --envelope", "");
    decide(&settings->envelope, context.envelope, "context ", settings->context.value);
    cli_context_free(&context);
    if (settings->backend.value && !where_is_decided(settings)) {
        return cli_usage(cli,
                         "%s: \"%s\" is no URL, and there is no configuration that could have a "
                         "backend of that name; a URL is for example sqlite:orders.db",
                         settings->backend.from, settings->backend.value);
    }
    return CLI_OK;
}

void cli_settings_free(cli_run *cli)
{
    cli_setting *all[] = {&cli->settings.context, &cli->settings.backend, &cli->settings.config,
                          &cli->settings.service, &cli->settings.envelope};
    size_t i;
    for (i = 0; i < sizeof all / sizeof all[0]; i++) {
        marty_free(all[i]->value);
        all[i]->value = NULL;
    }
}
