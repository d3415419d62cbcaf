/* SPDX-License-Identifier: Apache-2.0
 * marty request: ask a service and show its answer. */
#include "message.h"
#include "session.h"

#include <marty/adapter.h>

static const cli_flag flags[] = {
    {"timeout", 't', CLI_DURATION, "DURATION", "Time to wait for the answer; default 5s."},
    {"exact", 0, CLI_SWITCH, NULL, "Keep the line end at the end of stdin."},
    {0}};

/* On a terminal the answer alone, and what it took beside it. */
static void show(cli_run *cli, const marty_message *reply, double ms)
{
    if (cli->out.format != CLI_TABLE) {
        cli_lines_begin(cli);
        (void)cli_message_show(cli, reply, NULL);
        cli_lines_end(cli);
        return;
    }
    if (cli_utf8_valid(reply->data.size ? reply->data.data : "", reply->data.size)) {
        cli_text safe = {0};
        cli_text_safe(&safe, reply->data.size ? reply->data.data : "", reply->data.size);
        (void)cli_line(cli, safe.data ? safe.data : "", safe.size);
        cli_text_free(&safe);
    } else {
        cli_say(cli, "the answer is %zu bytes that are no text; get them with -o raw",
                reply->data.size);
    }
    cli_say(cli, "answered in %.1f ms", ms);
}

static int ask(cli_run *cli, marty_bus *bus, const cli_template *template_)
{
    marty_query_options options = {.with = &template_->message,
                                   .timeout_ms = cli_timeout(cli, "timeout", 0)};
    marty_message *reply = NULL;
    marty_error why = {0};
    int64_t begin = cli_monotonic_ns();
    marty_err err = marty_query(bus, cli_argument(cli, 0), cli_argument(cli, 1),
                                template_->message.data, &options, &reply, &why);
    if (err) {
        int code = cli_fail(cli, err, &why);
        if (err == MARTY_E_NO_RESPONDER) {
            cli_next(cli, "marty reply %s %s --echo", cli_argument(cli, 0), cli_argument(cli, 1));
        }
        return code;
    }
    show(cli, reply, (double)(cli_monotonic_ns() - begin) / 1e6);
    marty_message_unref(reply);
    return CLI_OK;
}

static int run(cli_run *cli)
{
    const char *argument = cli_argument(cli, 2);
    bool from_stdin = !argument || strcmp(argument, "-") == 0;
    cli_template template_;
    cli_text input = {0};
    marty_bus *bus = NULL;
    int code = cli_template_make(cli, &template_);
    if (!code && from_stdin) {
        code = cli_input_all(cli, &input, cli_set(cli, "exact"));
    }
    if (!code) {
        marty_bytes data = {input.data, input.size};
        cli_template_data(&template_, from_stdin ? data : marty_text(argument));
        code = cli_bus_open(cli, &bus, false, false);
    }
    code = code ? code : ask(cli, bus, &template_);
    code = cli_bus_close(cli, bus, code);
    cli_text_free(&input);
    cli_template_free(&template_);
    return code;
}

const cli_verb cli_verb_request = {
    .name = "request",
    .arguments = "SERVICE TYPE [DATA]",
    .summary = "ask a service and show its answer",
    .text = "DATA is the body; without it, or when it is \"-\", stdin is. Exit code 124 when "
            "nobody answered in time, 1 when the service answered with an error, whose code and "
            "text are shown.",
    .examples = "marty request user profile '{\"id\": 1}' --timeout 500ms\n"
                "marty request user profile '{\"id\": 1}' -o raw | jq .name",
    .tables = {flags, cli_flags_message, cli_flags_bus, cli_flags_common},
    .run = run,
    .argument_min = 2,
    .argument_max = 3,
};
