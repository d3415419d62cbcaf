/* SPDX-License-Identifier: Apache-2.0
 * marty pub, send and broadcast: publish to everyone, to one service, to every instance. */
#include "message.h"

static int pub(cli_run *cli)
{
    return cli_publish(cli, MARTY_EVENT, NULL, cli_argument(cli, 0), 1);
}

static int send(cli_run *cli)
{
    return cli_publish(cli, MARTY_COMMAND, cli_argument(cli, 0), cli_argument(cli, 1), 2);
}

static int broadcast(cli_run *cli)
{
    return cli_publish(cli, MARTY_BROADCAST, NULL, cli_argument(cli, 0), 1);
}

#define DATA_TEXT                                                                                  \
    "DATA is the body; without it, or when it is \"-\", all of stdin is one message, less one "    \
    "line end at the end of text (--exact keeps it). With --lines each line of stdin is a "        \
    "message, published as it comes.\n\n"

const cli_verb cli_verb_pub = {
    .name = "pub",
    .arguments = "TYPE [DATA]",
    .summary = "publish an event to everyone who subscribed to its type",
    .text = DATA_TEXT
    "It waits until the backend has stored the message and says how well: memory, written, synced "
    "or replicated. \"maybe stored\" means that the answer was lost: publish again with the same "
    "--id, and the message is stored once.",
    .examples = "echo '{\"id\": 7}' | marty pub order.created\n"
                "marty pub order.created '{\"id\": 7}' --key 7 -H tenant:acme\n"
                "marty pub reminder.due '{}' --in 5s\n"
                "tail -f orders.jsonl | marty pub order.created --lines",
    .tables = {cli_flags_publish, cli_flags_message, cli_flags_bus, cli_flags_common},
    .run = pub,
    .argument_min = 1,
    .argument_max = 2,
};

const cli_verb cli_verb_send = {
    .name = "send",
    .arguments = "SERVICE TYPE [DATA]",
    .summary = "send a command to one service, handled once",
    .text = DATA_TEXT "The command waits in the queue of the service until one of its instances "
                      "has handled it.",
    .examples = "marty send payment charge '{\"order\": 7, \"amount\": 99.99}'\n"
                "marty send payment charge '{}' --at 2026-11-01T10:00",
    .tables = {cli_flags_publish, cli_flags_message, cli_flags_bus, cli_flags_common},
    .run = send,
    .argument_min = 2,
    .argument_max = 3,
};

const cli_verb cli_verb_broadcast = {
    .name = "broadcast",
    .arguments = "TYPE [DATA]",
    .summary = "tell every instance that runs now; nothing is kept",
    .text = DATA_TEXT "Listen with: marty sub --broadcast PATTERN.",
    .examples = "marty broadcast cache.clear '{\"table\": \"users\"}'",
    .tables = {cli_flags_publish, cli_flags_message, cli_flags_bus, cli_flags_common},
    .run = broadcast,
    .argument_min = 1,
    .argument_max = 2,
};
