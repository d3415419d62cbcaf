/* SPDX-License-Identifier: Apache-2.0
 * Opening the bus as the settings say, narrating its states, and closing it. */
#include "session.h"

#include <marty/adapter.h>
#include <unistd.h>

static void on_log(void *user, int level, const char *text)
{
    const cli_run *cli = user;
    static const char *const names[] = {"error", "warning", "info", "debug"};
    if (cli->out.verbose) {
        cli_say(cli, "%s: %s", names[level < 0 ? 0 : level > 3 ? 3 : level], text);
    }
}

static const char *state_name(marty_state state)
{
    switch (state) {
    case MARTY_STATE_UP:
        return "up";
    case MARTY_STATE_DOWN:
        return "down";
    case MARTY_STATE_BLOCKED:
        return "blocked";
    case MARTY_STATE_STALLED:
        return "stalled";
    case MARTY_STATE_REFUSED:
        return "refused";
    case MARTY_STATE_ROOM:
    case MARTY_STATE_DRAINING:
    case MARTY_STATE_CLOSED:
    case MARTY_STATE_SUBSCRIBED:
    case MARTY_STATE_ASSIGNED:
    case MARTY_STATE_REVOKED:
        break;
    }
    return NULL;
}

/* Trouble is always narrated; the rest with --verbose only, and "up" once it was down. */
static void on_state(void *user, const marty_state_event *event)
{
    cli_run *cli = user;
    const char *name = state_name(event->state);
    bool up = event->state == MARTY_STATE_UP;
    if (event->state == MARTY_STATE_DOWN) {
        cli->was_down = true;
    }
    if (name && (!up || cli->was_down || cli->out.verbose) && !cli->hush_states) {
        cli_say(cli, "%s %s%s%s", event->backend ? event->backend : "bus", name,
                event->text && event->text[0] ? ": " : "", event->text ? event->text : "");
    }
    if (up) {
        cli->was_down = false;
    }
}

char *cli_url_with(const char *url, const char *key, const char *value)
{
    cli_text text = {0};
    size_t length = strcspn(url, "?"), key_length = strlen(key);
    const char *at = url + length;
    char sign = '?';
    cli_text_add(&text, url, length);
    while (*at) {
        size_t part = strcspn(++at, "&");
        bool same = strncmp(at, key, key_length) == 0 && at[key_length] == '=';
        if (part && !same) {
            cli_text_format(&text, "%c%.*s", sign, (int)part, at);
            sign = '&';
        }
        at += part;
    }
    cli_text_format(&text, "%c%s=%s", sign, key, value);
    return text.data;
}

static int nowhere(const cli_run *cli)
{
    int code =
        cli_usage(cli, "no backend is named: give -b URL, for example -b sqlite:orders.db or "
                       "-b nats://127.0.0.1:4222, or write marty.yaml");
    cli_next(cli, "marty context add local -b sqlite:orders.db --select");
    return code;
}

/* What marty_bus_open gets: a URL or path in *ret_where, or a configuration in *ret_text. */
static int where_make(cli_run *cli, char **ret_where, char **ret_text)
{
    const cli_settings *settings = &cli->settings;
    const char *backend = settings->backend.value, *config = settings->config.value;
    const char *envelope = settings->envelope.value;
    marty_error why = {0};
    marty_err err = MARTY_OK;
    if (backend && strchr(backend, ':')) {
        *ret_where = envelope ? cli_url_with(backend, "envelope", envelope) : cli_strdup(backend);
    } else if (!config) {
        return nowhere(cli);
    } else if (backend || envelope) {
        err = cli_config_edit(ret_text, config, backend, envelope, &why);
    } else {
        *ret_where = cli_strdup(config);
    }
    return err ? cli_fail(cli, err, &why) : CLI_OK;
}

int cli_bus_open(cli_run *cli, marty_bus **ret_bus, bool lazy, bool idle)
{
    static const marty_env still = {0};
    marty_error why = {0};
    char *where = NULL, *text = NULL;
    marty_bus_options options = {.lazy = lazy || idle,
                                 .driven = idle,
                                 .timeout_ms = cli_timeout(cli, "wait", 0),
                                 .env = idle ? &still : NULL,
                                 .on_state = on_state,
                                 .on_log = on_log,
                                 .user = cli};
    marty_err err;
    int code = cli_settings_resolve(cli);
    cli->idle = idle;
    code = code ? code : where_make(cli, &where, &text);
    if (code == CLI_OK) {
        options.service = cli->settings.service.value;
        options.config_text = text;
        bool hushed = cli->hush_states; /* one try: what is wrong is said as the error */
        cli->hush_states = hushed || (!options.lazy && !options.timeout_ms && !cli->out.verbose);
        err = marty_bus_open(ret_bus, where, &options, &why);
        cli->hush_states = hushed;
        code = err ? cli_fail(cli, err, &why) : CLI_OK;
    }
    marty_free(where);
    marty_free(text);
    return code;
}

int cli_bus_none(cli_run *cli, marty_bus **ret_bus)
{
    static const marty_env still = {0};
    marty_error why = {0};
    marty_bus_options options = {
        .lazy = true, .driven = true, .env = &still, .on_log = on_log, .user = cli};
    cli->idle = true;
    marty_err err = marty_bus_open(ret_bus, "memory:", &options, &why);
    return err ? cli_fail(cli, err, &why) : CLI_OK;
}

int cli_bus_close(cli_run *cli, marty_bus *bus, int code)
{
    marty_error why = {0};
    marty_err err;
    if (!bus) {
        return code;
    }
    cli->hush_states = true;
    err = cli->idle ? MARTY_OK : marty_bus_close(bus, 0, &why); /* idle: nothing is under way */
    if (err && code == CLI_OK) {
        code = cli_fail(cli, err, &why);
    }
    marty_bus_free(bus);
    return code;
}

json_t *cli_report_json(marty_message *report)
{
    json_t *json = NULL;
    if (report) {
        json = json_loadb(report->data.data, report->data.size, JSON_DECODE_ANY, NULL);
        marty_message_unref(report);
    }
    return json;
}

json_t *cli_report(cli_run *cli, marty_bus *bus, marty_report what, int *ret_code)
{
    marty_error why = {0};
    marty_message *report = NULL;
    marty_err err = marty_bus_report(bus, what, &report, &why);
    json_t *json;
    if (err) {
        *ret_code = cli_fail(cli, err, &why);
        return NULL;
    }
    json = cli_report_json(report);
    if (!json) {
        *ret_code = cli_failf(cli, MARTY_E_INTERNAL, "the report of the bus is no JSON");
    }
    return json;
}
