/* SPDX-License-Identifier: Apache-2.0
 * marty version: of the program and of the library that runs. */
#include "cli.h"

static int run(cli_run *cli)
{
    if (cli->out.format == CLI_TABLE || cli->out.format == CLI_RAW) {
        (void)printf(cli->out.format == CLI_TABLE ? "marty %s\n" : "%s\n", marty_version());
        return CLI_OK;
    }
    cli_rows_begin(cli, NULL, 0, true);
    cli_row(cli, json_pack("{s:s, s:s}", "marty", MARTY_VERSION, "library", marty_version()));
    cli_rows_end(cli, NULL);
    return CLI_OK;
}

const cli_verb cli_verb_version = {
    .name = "version",
    .arguments = "",
    .summary = "versions of the program and of the library",
    .text = "\"marty --version\" prints the same line and loads nothing.",
    .tables = {cli_flags_common},
    .run = run,
};
