/* SPDX-License-Identifier: Apache-2.0
 * What the program says on stderr: mistakes, errors with what to do next, narration, progress,
 * questions. Results never come here. */
#include "cli.h"

#include <marty/adapter.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

bool cli_set(const cli_run *cli, const char *flag)
{
    return cli_flags_value(&cli->given, flag)->set;
}

const char *cli_string(const cli_run *cli, const char *flag, const char *without)
{
    const cli_value *value = cli_flags_value(&cli->given, flag);
    return value->set ? value->text : without;
}

uint64_t cli_number(const cli_run *cli, const char *flag, uint64_t without)
{
    const cli_value *value = cli_flags_value(&cli->given, flag);
    return value->set ? value->number : without;
}

int32_t cli_timeout(const cli_run *cli, const char *flag, int32_t without)
{
    const cli_value *value = cli_flags_value(&cli->given, flag);
    if (!value->set) {
        return without;
    }
    return value->number > INT32_MAX ? INT32_MAX : value->number ? (int32_t)value->number : 1;
}

const char *cli_argument(const cli_run *cli, size_t i)
{
    return i < cli->given.argument_count ? cli->given.arguments[i] : NULL;
}

void cli_text_colour(const cli_run *cli, cli_text *text, const char *colour, const char *string)
{
    if (cli->out.colour) {
        cli_text_format(text, "\x1b[%sm%s\x1b[0m", colour, string);
    } else {
        cli_text_put(text, string);
    }
}

/* What a line of the library says may come from a peer: no control characters to the terminal. */
static void error_line(const char *head, const char *body)
{
    cli_text text = {0};
    cli_text_put(&text, head);
    cli_text_put(&text, "  ");
    cli_text_safe(&text, body, strlen(body));
    cli_text_put(&text, "\n");
    (void)fputs(text.data, stderr);
    cli_text_free(&text);
}

int cli_usage(const cli_run *cli, const char *format, ...)
{
    va_list arguments;
    (void)fputs("marty: ", stderr);
    va_start(arguments, format);
    (void)vfprintf(stderr, format, arguments);
    va_end(arguments);
    (void)fputs("\n", stderr);
    if (cli->verb) {
        cli_next(cli, "marty help %s", cli->verb->name);
    }
    return CLI_USAGE;
}

int cli_exit_code(marty_err err)
{
    if (err == MARTY_OK) {
        return CLI_OK;
    }
    if (err == MARTY_E_NOT_FOUND) {
        return CLI_NOT_FOUND;
    }
    return err == MARTY_E_TIMEOUT ? CLI_TIMED_OUT : CLI_ERROR;
}

/* What to type next; nothing when the text of the error says it. */
static void next_step(const cli_run *cli, marty_err err)
{
    const char *backend = cli->settings.backend.value, *config = cli->settings.config.value;
    bool down = err == MARTY_E_UNAVAILABLE || err == MARTY_E_DENIED || err == MARTY_E_TLS ||
                err == MARTY_E_PROTOCOL;
    bool doctor = cli->verb && strcmp(cli->verb->name, "doctor") == 0;
    bool validate = cli->verb && strcmp(cli->verb->name, "config validate") == 0;
    if (down && !doctor && (backend || config)) {
        cli_text shown = {0};
        marty_url *url = NULL;
        if (backend && marty_url_parse(&url, backend, NULL) == MARTY_OK) {
            cli_text_format(&shown, "-b '%s'", url->redacted);
        } else {
            cli_text_format(&shown, "-c %s", config ? config : "marty.yaml");
        }
        cli_next(cli, "marty doctor %s", shown.data);
        marty_url_free(url);
        cli_text_free(&shown);
    } else if (err == MARTY_E_CONFIG && config && !validate) {
        cli_next(cli, "marty config validate %s", config);
    } else if (err == MARTY_E_MAYBE_STORED || err == MARTY_E_INTERNAL || err == MARTY_E_NO_GROUP ||
               err == MARTY_E_LOST) {
        cli_next(cli, "marty errors lookup %s", marty_err_describe(err)->name);
    }
}

int cli_fail(const cli_run *cli, marty_err err, const marty_error *why)
{
    const marty_err_info *info = marty_err_describe(err);
    cli_text head = {0}, body = {0};
    cli_text_colour(cli, &head, "1;31", info->name);
    if (err == MARTY_E_REMOTE && why && why->remote[0]) {
        cli_text_format(&body, "%s: ", why->remote);
    }
    cli_text_put(&body, why && why->text[0] ? why->text : info->text);
    error_line(head.data, body.data);
    next_step(cli, err);
    cli_text_free(&head);
    cli_text_free(&body);
    return cli_exit_code(err);
}

int cli_failf(const cli_run *cli, marty_err err, const char *format, ...)
{
    marty_error why = {0};
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(why.text, sizeof why.text, format, arguments);
    va_end(arguments);
    return cli_fail(cli, err, &why);
}

static void narrate(const cli_run *cli, const char *head, const char *body)
{
    if (!cli->out.quiet) {
        (void)fprintf(stderr, "%s%s\n", head, body);
    }
}

void cli_say(const cli_run *cli, const char *format, ...)
{
    cli_text text = {0};
    char line[1024];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    cli_text_safe(&text, line, strlen(line));
    narrate(cli, "", text.data);
    cli_text_free(&text);
}

void cli_next(const cli_run *cli, const char *format, ...)
{
    char line[1024];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    narrate(cli, "  next: ", line);
}

void cli_progress(cli_run *cli, const char *format, ...)
{
    int64_t now = cli_monotonic_ns();
    va_list arguments;
    if (!cli->out.narrate_tty || cli->out.quiet) {
        return;
    }
    if (cli->out.progress_ns == 0) {
        cli->out.progress_ns = now + 1000000000; /* nothing that is done within a second */
    }
    if (now < cli->out.progress_ns) {
        return;
    }
    cli->out.progress_ns = now + 200000000;
    cli->out.progress_shown = true;
    (void)fputs("\r\x1b[K ", stderr);
    va_start(arguments, format);
    (void)vfprintf(stderr, format, arguments);
    va_end(arguments);
    (void)fflush(stderr);
}

void cli_progress_end(cli_run *cli)
{
    if (cli->out.progress_shown) {
        (void)fputs("\r\x1b[K", stderr);
        cli->out.progress_shown = false;
    }
}

bool cli_confirm(cli_run *cli, const char *what, const char *type_this, int *ret_code)
{
    char answer[512] = "";
    if (cli_set(cli, "yes")) {
        return true;
    }
    if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO)) {
        *ret_code =
            cli_usage(cli, "%s: say --yes to do it without a terminal, or --dry-run first", what);
        return false;
    }
    (void)fprintf(stderr, "%s\nType %s to go on: ", what, type_this);
    if (fgets(answer, sizeof answer, stdin)) {
        answer[strcspn(answer, "\n")] = '\0';
    }
    if (strcmp(answer, type_this) == 0) {
        return true;
    }
    cli_say(cli, "nothing was done");
    *ret_code = CLI_ERROR;
    return false;
}
