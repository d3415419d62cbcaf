/* SPDX-License-Identifier: Apache-2.0
 * Conditions over a row: "reason ~ 'timeout' and attempts >= 5". Fields are the row's; operators
 * = != ~ !~ (extended regular expression) < <= > >= (numbers, and durations for age). */
#ifndef MARTY_CLI_WHERE_H
#define MARTY_CLI_WHERE_H
#include "cli.h"

typedef struct cli_where cli_where;
/** Parse; fields is the list "a|b|c" of those there are. NULL: why says what is wrong. */
cli_where *cli_where_parse(const char *text, const char *fields, cli_text *why);
/** Whether the row fulfils it; NULL is fulfilled by all. */
bool cli_where_holds(const cli_where *where, const json_t *row);
/** NULL is fine. */
void cli_where_free(cli_where *where);
#endif
