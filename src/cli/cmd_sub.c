/* SPDX-License-Identifier: Apache-2.0
 * marty sub: events or broadcasts of a pattern, shown as they come. */
#include "message.h"

static const cli_flag flags[] = {
    {"broadcast", 0, CLI_SWITCH, NULL, "Listen to broadcasts instead of events."}, {0}};

static int run(cli_run *cli)
{
    bool broadcast = cli_set(cli, "broadcast");
    cli_listening listening = {.pattern = broadcast ? MARTY_BROADCAST : MARTY_EVENT,
                               .name = cli_argument(cli, 0),
                               .own_group = !broadcast};
    if (broadcast && (cli_set(cli, "from") || cli_set(cli, "group") || cli_set(cli, "position"))) {
        return cli_usage(cli, "a broadcast is not kept: it has no --group, --from or --position");
    }
    return cli_listen(cli, &listening);
}

const cli_verb cli_verb_sub = {
    .name = "sub",
    .arguments = "PATTERN",
    .summary = "show the events of a pattern as they come",
    .text = "PATTERN is a type; in it \"*\" stands for one word and \">\" at its end for the rest: "
            "quote it, because the shell reads them too. Without --group it listens for itself "
            "alone, from now on, and takes nothing from anybody; with --group it shares the "
            "messages of that group and acknowledges each when it is written out.",
    .examples = "marty sub 'order.*'\n"
                "marty sub '>' --from 5m --count 10 -o jsonl\n"
                "marty sub order.created --group billing | while read -r line; do ...; done\n"
                "marty sub --broadcast 'cache.*'",
    .tables = {flags, cli_flags_listen, cli_flags_position, cli_flags_bus, cli_flags_common},
    .run = run,
    .argument_min = 1,
    .argument_max = 1,
};
