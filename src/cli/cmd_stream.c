/* SPDX-License-Identifier: Apache-2.0
 * marty stream publish and stream read: an ordered log by name. */
#include "message.h"

static int publish(cli_run *cli)
{
    return cli_publish(cli, MARTY_STREAM, cli_argument(cli, 0), cli_argument(cli, 1), 2);
}

static int read_stream(cli_run *cli)
{
    cli_listening listening = {
        .pattern = MARTY_STREAM, .name = cli_argument(cli, 0), .own_group = true};
    return cli_listen(cli, &listening);
}

const cli_verb cli_verb_stream_publish = {
    .name = "stream publish",
    .arguments = "STREAM TYPE [DATA]",
    .summary = "append to a stream",
    .text = "DATA is the body; without it, or when it is \"-\", all of stdin is one message; with "
            "--lines each line is one. Messages of one --key keep their order.",
    .examples = "marty stream publish clicks page.view '{\"page\": \"/\"}' --key user7\n"
                "marty stream publish clicks page.view --lines < clicks.jsonl",
    .tables = {cli_flags_publish, cli_flags_message, cli_flags_bus, cli_flags_common},
    .run = publish,
    .argument_min = 2,
    .argument_max = 3,
};

const cli_verb cli_verb_stream_read = {
    .name = "stream read",
    .arguments = "STREAM",
    .summary = "read a stream from any place, and follow it",
    .text = "Without --group it reads for itself alone, from the earliest message on unless --from "
            "or --position says else. With --group it goes on where the group was.",
    .examples = "marty stream read clicks --count 10\n"
                "marty stream read clicks --from @2026-11-01T10:00 --timeout 2s -o jsonl",
    .tables = {cli_flags_listen, cli_flags_position, cli_flags_bus, cli_flags_common},
    .run = read_stream,
    .argument_min = 1,
    .argument_max = 1,
};
