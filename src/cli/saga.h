/* SPDX-License-Identifier: Apache-2.0
 * What the saga verbs share: an engine opened from the settings, and words for what they show. */
#ifndef MARTY_CLI_SAGA_H
#define MARTY_CLI_SAGA_H
#include "session.h"

#include <marty/saga.h>

typedef struct cli_saga {
    marty_bus *bus;
    marty_saga_engine *engine;
} cli_saga;

extern const cli_flag cli_flags_store[];

/** Open bus and engine; sends: it may have to publish commands, so the bus connects; else no
 * backend is needed. CLI_OK, or an exit code after the error is said. */
int cli_saga_open(cli_run *cli, cli_saga *ret, bool client, bool sends);
/** Close both; code is kept unless it was CLI_OK. */
int cli_saga_close(cli_run *cli, cli_saga *saga, int code);
/** A whole file, added to a text. */
marty_err cli_saga_file(const char *path, cli_text *ret, marty_error *why);
/** "running", "stuck", "completed", ... */
const char *cli_saga_word(const marty_saga_facts *facts);
/** One saga with its history, for people. */
void cli_saga_timeline(cli_run *cli, const json_t *whole);
/** One saga as a row: id, name, key, status, age, stuck. */
json_t *cli_saga_row(const marty_saga_facts *facts);
#endif
