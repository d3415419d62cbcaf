/* SPDX-License-Identifier: Apache-2.0
 * Reading the JSON reports of the bus. */
#ifndef MARTY_CLI_REPORTS_H
#define MARTY_CLI_REPORTS_H
#include "session.h"

/** Every object in an array of that name, at any depth, each with the "backend" it is under; an
 * object that has `key` itself counts, too. A new array. */
json_t *cli_report_rows(json_t *report, const char *array, const char *key);
/** marty_topology, said when it fails; NULL then, and *ret_code. quiet: not said. */
json_t *cli_topology(cli_run *cli, marty_bus *bus, const char *verb, const char *channel,
                     bool force, bool quiet, int *ret_code);
/** Poll the report of backends until each is up or failed, or the limit. */
json_t *cli_backends_wait(cli_run *cli, marty_bus *bus, int64_t limit_ms, int *ret_code);
#endif
