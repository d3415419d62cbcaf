/* SPDX-License-Identifier: Apache-2.0
 * How long things took: four cells for each power of two of microseconds, so a share of them is
 * known to a quarter of its value, in 700 bytes. Owned by one thread; copies are plain. */
#ifndef MARTY_SAGA_ENGINE_SPREAD_H
#define MARTY_SAGA_ENGINE_SPREAD_H
#include <stdint.h>

enum { MARTY__SPREAD_CELLS = 164 };
typedef struct marty__spread {
    uint32_t cells[MARTY__SPREAD_CELLS];
    uint64_t count;
    int64_t sum_us, max_us;
} marty__spread;

/** Below 0 counts as 0. */
void marty__spread_add(marty__spread *spread, int64_t time_us);
/** What `share` per cent of them did not exceed, rounded up to the end of its cell; 0 = none yet.
 */
int64_t marty__spread_at(const marty__spread *spread, unsigned share);
#endif
