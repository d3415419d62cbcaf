/* SPDX-License-Identifier: Apache-2.0
 * marty handle: take the commands of a service, run a program for each, settle by its exit status.
 */
#include "message.h"

enum { EXIT_REJECT = 65, EXIT_AGAIN = 75 }; /* sysexits: EX_DATAERR, EX_TEMPFAIL */

static const cli_flag flags[] = {
    {"exec", 'x', CLI_STRING, "COMMAND",
     "Run this for each command, its data on stdin: exit status 0 settles it, 65 rejects it, 75 "
     "gives it back uncounted, any other retries it."},
    {"settle", 0, CLI_CHOICE, "ack|retry|reject", "Without --exec: how to settle each."},
    {0}};

static marty_err settle(void *user, marty_delivery *delivery)
{
    const cli_run *cli = user;
    const char *command = cli_string(cli, "exec", NULL), *how = cli_string(cli, "settle", "ack");
    char reason[64];
    int status;
    if (!command) {
        return strcmp(how, "ack") == 0     ? MARTY_OK
               : strcmp(how, "retry") == 0 ? marty_retry(delivery, 0, "marty handle --settle retry")
                                           : marty_reject(delivery, "marty handle --settle reject");
    }
    status = cli_exec(command, delivery, NULL);
    (void)snprintf(reason, sizeof reason, "exit status %d", status);
    if (status == EXIT_REJECT) {
        return marty_reject(delivery, reason);
    }
    if (status == EXIT_AGAIN) {
        return marty_give_back(delivery, 0, reason);
    }
    return status == 0 ? MARTY_OK : marty_retry(delivery, 0, reason);
}

static int run(cli_run *cli)
{
    const char *pattern = cli_argument(cli, 1);
    cli_listening listening = {.pattern = MARTY_COMMAND,
                               .name = pattern ? pattern : ">",
                               .service = cli_argument(cli, 0),
                               .handle = settle,
                               .user = cli,
                               .hide = cli_set(cli, "exec")};
    if (cli_set(cli, "exec") && cli_set(cli, "settle")) {
        return cli_usage(cli, "--exec settles by the exit status: no --settle with it");
    }
    return cli_listen(cli, &listening);
}

const cli_verb cli_verb_handle = {
    .name = "handle",
    .arguments = "SERVICE [PATTERN]",
    .summary = "handle the commands of a service",
    .text = "Without PATTERN it takes all commands of the service. It shares them with the other "
            "instances of the service: what it takes, they do not get. A command run by --exec "
            "has MARTY_TYPE, MARTY_ID, MARTY_KEY, MARTY_CHANNEL, MARTY_ATTEMPT and "
            "MARTY_CORRELATION_ID in its environment.",
    .examples = "marty handle payment\n"
                "marty handle payment charge --exec './charge.sh' --concurrency 4\n"
                "marty handle payment --count 1 --settle reject",
    .tables = {flags, cli_flags_listen, cli_flags_position, cli_flags_bus, cli_flags_common},
    .run = run,
    .argument_min = 1,
    .argument_max = 2,
};
