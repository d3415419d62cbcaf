/* SPDX-License-Identifier: Apache-2.0
 * marty reply: answer the queries of a service with data, an echo, a program's output, or an error.
 */
#include "message.h"

#include <stdio.h>

static const cli_flag flags[] = {
    {"echo", 0, CLI_SWITCH, NULL, "Answer with what was asked."},
    {"exec", 'x', CLI_STRING, "COMMAND",
     "Run this for each query, its data on stdin; what it prints is the answer. An exit status "
     "other than 0 answers with the error exit_STATUS."},
    {"fail", 0, CLI_STRING, "CODE:TEXT", "Answer with this error."},
    {"content-type", 0, CLI_STRING, "TYPE", "Content type of the answer."},
    {0}};

/* What cannot be answered (the asker gave up) is said, and is no reason to retry. */
static marty_err answered(const cli_run *cli, marty_err err, const marty_error *why)
{
    if (err) {
        (void)cli_fail(cli, err, why);
    }
    return MARTY_OK;
}

static marty_err answer_data(const cli_run *cli, marty_delivery *delivery, marty_bytes data)
{
    cli_template template_ = {.message.content_type = cli_string(cli, "content-type", NULL)};
    marty_error why = {0};
    cli_template_data(&template_, data);
    return answered(cli, marty_reply(delivery, &template_.message, &why), &why);
}

static marty_err answer_failure(const cli_run *cli, marty_delivery *delivery)
{
    const char *fail = cli_string(cli, "fail", ""), *colon = strchr(fail, ':');
    char code[56];
    (void)snprintf(code, sizeof code, "%.*s", (int)strcspn(fail, ":"), fail);
    return answered(cli, marty_fail(delivery, MARTY_CLASS_CALLER, code, colon ? colon + 1 : code),
                    NULL);
}

static marty_err answer_exec(const cli_run *cli, marty_delivery *delivery, const char *command)
{
    cli_text output = {0};
    marty_err err;
    char code[56];
    int status;
    cli_text_add(&output, "", 0);
    status = cli_exec(command, delivery, &output);
    if (status == 0) {
        bool line_end = output.size && output.data[output.size - 1] == '\n' &&
                        cli_utf8_valid(output.data, output.size);
        marty_bytes data = {output.data, output.size - line_end};
        err = answer_data(cli, delivery, data);
    } else {
        (void)snprintf(code, sizeof code, "exit_%d", status);
        err = answered(cli, marty_fail(delivery, MARTY_CLASS_RETRY, code, "the command failed"),
                       NULL);
    }
    cli_text_free(&output);
    return err;
}

static marty_err answer(void *user, marty_delivery *delivery)
{
    const cli_run *cli = user;
    const char *command = cli_string(cli, "exec", NULL), *data = cli_argument(cli, 2);
    if (cli_set(cli, "fail")) {
        return answer_failure(cli, delivery);
    }
    if (command) {
        return answer_exec(cli, delivery, command);
    }
    return answer_data(cli, delivery, data ? marty_text(data) : delivery->message->data);
}

static int run(cli_run *cli)
{
    int ways = (cli_argument(cli, 2) != NULL) + cli_set(cli, "echo") + cli_set(cli, "exec") +
               cli_set(cli, "fail");
    cli_listening listening = {.pattern = MARTY_QUERY,
                               .name = cli_argument(cli, 1),
                               .service = cli_argument(cli, 0),
                               .handle = answer,
                               .user = cli};
    if (ways != 1) {
        return cli_usage(cli, "give one answer: DATA, --echo, --exec COMMAND or --fail CODE:TEXT");
    }
    return cli_listen(cli, &listening);
}

const cli_verb cli_verb_reply = {
    .name = "reply",
    .arguments = "SERVICE PATTERN [DATA]",
    .summary = "answer the queries of a service",
    .text = "It shows each query and answers it: with DATA, with --echo what was asked, with "
            "--exec what a command prints, with --fail an error that the asker gets typed.",
    .examples = "marty reply user profile '{\"name\": \"Ada\"}'\n"
                "marty reply user profile --exec './profile.py'\n"
                "marty reply user '>' --fail 'not_found:no such user'",
    .tables = {flags, cli_flags_listen, cli_flags_bus, cli_flags_common},
    .run = run,
    .argument_min = 2,
    .argument_max = 3,
};
