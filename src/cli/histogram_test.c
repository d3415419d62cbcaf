/* SPDX-License-Identifier: Apache-2.0
 * Percentiles are right to 1 % over the whole range. */
#include "histogram.h"

#include "check.h"

static cli_histogram histogram; /* zeroed; too large for a stack */

static bool near(uint64_t have, uint64_t want)
{
    return have >= want && have <= want + want / 100 + 1;
}

static void percentiles_of_a_ramp(void)
{
    uint64_t i;
    CHECK_INT(cli_histogram_at(&histogram, 0.5), 0);
    for (i = 1; i <= 100000; i++) {
        cli_histogram_add(&histogram, i * 1000);
    }
    CHECK(near(cli_histogram_at(&histogram, 0.5), 50000000));
    CHECK(near(cli_histogram_at(&histogram, 0.99), 99000000));
    CHECK(near(cli_histogram_at(&histogram, 0.9999), 99990000));
    CHECK_INT(cli_histogram_at(&histogram, 1), 100000000);
    CHECK_INT(histogram.max, 100000000);
}

static void the_ends_of_the_range_have_cells(void)
{
    memset(&histogram, 0, sizeof histogram);
    cli_histogram_add(&histogram, 0);
    CHECK_INT(cli_histogram_at(&histogram, 0.5), 0);
    cli_histogram_add(&histogram, 255);
    cli_histogram_add(&histogram, 256);
    CHECK_INT(cli_histogram_at(&histogram, 0.66), 255);
    cli_histogram_add(&histogram, UINT64_MAX);
    CHECK(cli_histogram_at(&histogram, 1) == UINT64_MAX);
}

int main(void)
{
    percentiles_of_a_ramp();
    the_ends_of_the_range_have_cells();
    return check_result();
}
