/* SPDX-License-Identifier: Apache-2.0
 * marty saga lint, graph and replay: definitions looked at, without a store or a broker. */
#include "saga.h"

#include <marty/adapter.h>
#include <marty/saga_tools.h>
#include <stdlib.h>

static int load(cli_run *cli, const char *path, cli_text *ret)
{
    marty_error why = {0};
    marty_err err = cli_saga_file(path, ret, &why);
    return err ? cli_fail(cli, err, &why) : CLI_OK;
}

static marty_bytes bytes_of(const cli_text *text)
{
    return (marty_bytes){text->data ? text->data : "", text->size};
}

/* ---- lint */
static void say_findings(cli_run *cli, const char *path, const json_t *report)
{
    const json_t *each;
    size_t i;
    json_array_foreach(json_object_get(report, "findings"), i, each)
    {
        (void)printf("%s:%lld: %s: %s [%s]\n", path,
                     (long long)json_integer_value(json_object_get(each, "line")),
                     json_is_true(json_object_get(each, "error")) ? "error" : "warning",
                     json_string_value(json_object_get(each, "text")),
                     json_string_value(json_object_get(each, "code")));
    }
    if (i == 0) {
        cli_say(cli, "%s: nothing to say against saga %s, version %lld", path,
                json_string_value(json_object_get(report, "saga")),
                (long long)json_integer_value(json_object_get(report, "version")));
    }
}

static int lint_one(cli_run *cli, const char *path)
{
    cli_text text = {0};
    marty_message *message = NULL;
    marty_error why = {0};
    int code = load(cli, path, &text);
    marty_err err = code ? MARTY_OK : marty_saga_lint(path, bytes_of(&text), &message, &why);
    code = err ? cli_fail(cli, err, &why) : code;
    if (!code && cli->out.format != CLI_TABLE) {
        (void)cli_line(cli, message->data.data, message->data.size);
    }
    if (!code) {
        json_t *report = json_loadb(message->data.data, message->data.size, 0, NULL);
        if (cli->out.format == CLI_TABLE) {
            say_findings(cli, path, report);
        }
        bool errors = json_integer_value(json_object_get(report, "errors")) > 0;
        code = errors ? CLI_ERROR : CLI_OK;
        json_decref(report);
    }
    marty_message_unref(message);
    cli_text_free(&text);
    return code;
}

static int lint(cli_run *cli)
{
    int code = CLI_OK;
    for (size_t i = 0; i < cli->given.argument_count; i++) {
        int each = lint_one(cli, cli_argument(cli, i));
        code = code ? code : each;
    }
    cli_flush(cli);
    return code;
}

const cli_verb cli_verb_saga_lint = {
    .name = "saga lint",
    .arguments = "FILE...",
    .summary = "what is wrong with a saga's definition",
    .text = "Each mistake with its line and what to do. Errors make it fail, and registering would "
            "refuse them; warnings do not.",
    .examples = "marty saga lint sagas/*.yaml\nmarty saga lint order.yaml -o json | jq .hash",
    .tables = {cli_flags_common},
    .run = lint,
    .argument_min = 1,
    .argument_max = 1000,
};

/* ---- graph */
static const cli_flag graph_flags[] = {
    {"as", 0, CLI_CHOICE, "dot|mermaid", "For which program; default mermaid."}, {0}};

static int graph(cli_run *cli)
{
    cli_text text = {0};
    marty_message *picture = NULL;
    marty_error why = {0};
    const char *path = cli_argument(cli, 0);
    int code = load(cli, path, &text);
    marty_err err = code ? MARTY_OK
                         : marty_saga_graph(path, bytes_of(&text), cli_string(cli, "as", "mermaid"),
                                            &picture, &why);
    code = err ? cli_fail(cli, err, &why) : code;
    if (!code) {
        (void)fwrite(picture->data.data, 1, picture->data.size, stdout);
        cli_flush(cli);
    }
    marty_message_unref(picture);
    cli_text_free(&text);
    return code;
}

const cli_verb cli_verb_saga_graph = {
    .name = "saga graph",
    .arguments = "FILE",
    .summary = "a saga's definition as a picture",
    .text = "Steps in their order; what undoes one is dashed beside it.",
    .examples = "marty saga graph order.yaml\nmarty saga graph order.yaml --as dot | dot -Tsvg",
    .tables = {graph_flags, cli_flags_common},
    .run = graph,
    .argument_min = 1,
    .argument_max = 1,
};

/* ---- replay */
static int replay(cli_run *cli)
{
    cli_text definition = {0}, events = {0};
    marty_message *report = NULL;
    marty_error why = {0};
    const char *path = cli_argument(cli, 0);
    const char *from = cli->given.argument_count > 1 ? cli_argument(cli, 1) : "/dev/stdin";
    int code = load(cli, path, &definition);
    code = code ? code : load(cli, from, &events);
    marty_err err =
        code ? MARTY_OK
             : marty_saga_replay(path, bytes_of(&definition), bytes_of(&events), &report, &why);
    code = err ? cli_fail(cli, err, &why) : code;
    if (!code) {
        (void)fwrite(report->data.data, 1, report->data.size, stdout);
        cli_flush(cli);
    }
    marty_message_unref(report);
    cli_text_free(&events);
    cli_text_free(&definition);
    return code;
}

const cli_verb cli_verb_saga_replay = {
    .name = "saga replay",
    .arguments = "FILE [EVENTS]",
    .summary = "what the machine makes of events, line by line",
    .text = "EVENTS, or standard input, has one JSON object a line; after each, state, history, "
            "commands and due time come out as one line. No store, no broker, no clock: "
            "docs/reference/saga-replay.md has the format.",
    .examples = "marty saga replay order.yaml events.jsonl | jq -c .state.state",
    .tables = {cli_flags_common},
    .run = replay,
    .argument_min = 1,
    .argument_max = 2,
};
