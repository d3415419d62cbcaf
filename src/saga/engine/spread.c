/* SPDX-License-Identifier: Apache-2.0
 * See spread.h. */
#include "spread.h"

static unsigned cell_of(uint64_t value)
{
    if (value < 4) {
        return (unsigned)value;
    }
    unsigned power = 63 - (unsigned)__builtin_clzll(value);
    unsigned cell = 4 * (power - 1) + (unsigned)(value >> (power - 2) & 3);
    return cell < MARTY__SPREAD_CELLS ? cell : MARTY__SPREAD_CELLS - 1;
}

/* The greatest value of a cell. */
static int64_t end_of(unsigned cell)
{
    if (cell < 4) {
        return cell;
    }
    unsigned power = cell / 4 + 1;
    return (INT64_C(1) << power) + (INT64_C(1) << (power - 2)) * (cell % 4 + 1) - 1;
}

void marty__spread_add(marty__spread *spread, int64_t time_us)
{
    time_us = time_us > 0 ? time_us : 0;
    spread->cells[cell_of((uint64_t)time_us)]++;
    spread->count++;
    spread->sum_us += time_us;
    spread->max_us = time_us > spread->max_us ? time_us : spread->max_us;
}

int64_t marty__spread_at(const marty__spread *spread, unsigned share)
{
    uint64_t wanted = (spread->count * share + 99) / 100, seen = 0;
    for (unsigned cell = 0; cell < MARTY__SPREAD_CELLS && wanted; cell++) {
        seen += spread->cells[cell];
        if (seen >= wanted) {
            int64_t end = end_of(cell);
            return end < spread->max_us && cell < MARTY__SPREAD_CELLS - 1 ? end : spread->max_us;
        }
    }
    return spread->max_us;
}
