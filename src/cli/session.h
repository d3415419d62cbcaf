/* SPDX-License-Identifier: Apache-2.0
 * A bus opened from the settings, and what long-running verbs wait on. */
#ifndef MARTY_CLI_SESSION_H
#define MARTY_CLI_SESSION_H
#include "cli.h"

#include <pthread.h>

/** Open a bus: settings resolved, --backend NAME and --envelope applied. lazy: do not wait for
 * connections. idle: never connect at all (to look at the configuration). CLI_OK, or an exit code
 * after the error is said. */
int cli_bus_open(cli_run *cli, marty_bus **ret_bus, bool lazy, bool idle);
/** A bus for what needs none, whatever the settings say. */
int cli_bus_none(cli_run *cli, marty_bus **ret_bus);
/** Close it; what it says is said, and code kept unless it was CLI_OK. */
int cli_bus_close(cli_run *cli, marty_bus *bus, int code);
/** A JSON report of the bus; NULL after the error is said in *ret_code. */
json_t *cli_report(cli_run *cli, marty_bus *bus, marty_report what, int *ret_code);
/** The JSON of a message's data, or NULL. Unrefs it. */
json_t *cli_report_json(marty_message *report);

/** A URL with one parameter set, whatever it was. Free with marty_free. */
char *cli_url_with(const char *url, const char *key, const char *value);
/** The configuration file with only this backend (NULL = all) and each backend URL with this
 * envelope (NULL = as it is). Free with marty_free. NOT_FOUND names the backends there are. */
marty_err cli_config_edit(char **ret_text, const char *path, const char *backend,
                          const char *envelope, marty_error *why);

/* What ends a verb that listens: enough messages, the time limit, a signal, or an error. Handlers
 * on any thread and the main thread meet here. */
typedef struct cli_wait {
    pthread_mutex_t lock;   /* also makes handlers take turns at stdout */
    int signals, wake;      /* descriptors: SIGINT and SIGTERM; woken by a handler */
    uint64_t count, wanted; /* wanted 0 = without end */
    bool full, interrupted, timed_out;
} cli_wait;
/** Before the bus is opened, so that its threads block the signals. */
void cli_wait_init(cli_wait *wait, uint64_t wanted);
/** Until full, broken output, a signal or the limit (0 = none). A second signal, a
 * second later or more, ends the process. */
void cli_wait_run(cli_run *cli, cli_wait *wait, uint64_t limit_ms);
/** The exit code for how it ended. */
int cli_wait_code(const cli_run *cli, const cli_wait *wait);
void cli_wait_free(cli_wait *wait);
/** With the lock held: take one of the wanted; false when there are enough. */
bool cli_wait_take(cli_wait *wait);
/** With the lock held: wake the main thread to look at full and broken. */
void cli_wait_wake(cli_wait *wait);
#endif
