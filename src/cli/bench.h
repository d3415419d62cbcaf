/* SPDX-License-Identifier: Apache-2.0
 * What the two sides of `marty bench` share. */
#ifndef MARTY_CLI_BENCH_H
#define MARTY_CLI_BENCH_H
#include "histogram.h"
#include "message.h"
#include "session.h"

enum { CLI_BENCH_BATCH = 64, CLI_BENCH_STAMP = 16 };
typedef struct cli_bench {
    cli_run *cli;
    marty_bus *bus;
    marty_pattern pattern;
    char name[40], type[64];           /* of this run alone; name: service, stream or domain */
    uint64_t rate, size;               /* rate 0 = as fast as there is room */
    int64_t begin_ns, warm_ns, end_ns; /* what is sent before warm_ns is not counted */
    bool consume;
    _Atomic uint64_t sent, answered, failed, delivered, repeated;
    _Atomic int first_failure;
    cli_histogram *stored, *received; /* from when it should have been sent */
} cli_bench;

/** Send until the end, each message at its time or as soon after as there is room. */
void cli_bench_send(cli_bench *bench);
/** Subscribe the receiving side. */
marty_err cli_bench_listen(cli_bench *bench, marty_error *why);
/** Run the same load over the plain client, and give its rows. CLI_OK, or an exit code after it is
 * said. */
int cli_bench_raw(cli_bench *bench);
/** Wait until all that was sent is answered and, as far as it comes, delivered. */
void cli_bench_settle(cli_bench *bench, int64_t limit_ms);
#endif
