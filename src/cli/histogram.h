/* SPDX-License-Identifier: Apache-2.0
 * A histogram of times over the whole range of 64 bits with an error under 1 %, as HdrHistogram
 * does: linear within each power of two. Adding is one atomic increment, from any thread. */
#ifndef MARTY_CLI_HISTOGRAM_H
#define MARTY_CLI_HISTOGRAM_H
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

enum { CLI_HISTOGRAM_CELLS = 58 * 128 + 128 };
typedef struct cli_histogram {
    _Atomic uint64_t cells[CLI_HISTOGRAM_CELLS];
    _Atomic uint64_t count, max, sum;
} cli_histogram;

void cli_histogram_add(cli_histogram *histogram, uint64_t value);
/** The smallest value that at least this share (0.9999) of all values do not exceed; 0 when there
 * are none. */
uint64_t cli_histogram_at(const cli_histogram *histogram, double share);
#endif
