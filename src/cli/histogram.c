/* SPDX-License-Identifier: Apache-2.0
 * Cells: values under 256 have one each; above, each power of two is cut into 128. */
#include "histogram.h"

static size_t cell_of(uint64_t value)
{
    unsigned shift;
    if (value < 256) {
        return (size_t)value;
    }
    shift = 56 - (unsigned)__builtin_clzll(value);
    return shift * 128 + (size_t)(value >> shift);
}

/* The greatest value that falls into a cell. */
static uint64_t value_of(size_t cell)
{
    unsigned shift = cell < 256 ? 0 : (unsigned)(cell / 128) - 1;
    uint64_t base = cell - (size_t)shift * 128;
    return (base << shift) + (((uint64_t)1 << shift) - 1);
}

void cli_histogram_add(cli_histogram *histogram, uint64_t value)
{
    uint64_t max = atomic_load_explicit(&histogram->max, memory_order_relaxed);
    atomic_fetch_add_explicit(&histogram->cells[cell_of(value)], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&histogram->count, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&histogram->sum, value, memory_order_relaxed);
    while (value > max &&
           !atomic_compare_exchange_weak_explicit(&histogram->max, &max, value,
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
}

uint64_t cli_histogram_at(const cli_histogram *histogram, double share)
{
    uint64_t count = atomic_load(&histogram->count), max = atomic_load(&histogram->max);
    uint64_t wanted = (uint64_t)(share * (double)count + 0.999999), seen = 0, value;
    size_t cell;
    if (count == 0) {
        return 0;
    }
    wanted = wanted < 1 ? 1 : wanted > count ? count : wanted;
    for (cell = 0; cell < CLI_HISTOGRAM_CELLS; cell++) {
        seen += atomic_load_explicit(&histogram->cells[cell], memory_order_relaxed);
        if (seen >= wanted) {
            value = value_of(cell);
            return value < max ? value : max;
        }
    }
    return max;
}
