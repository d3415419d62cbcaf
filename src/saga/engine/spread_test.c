/* SPDX-License-Identifier: Apache-2.0
 * Shares of a spread against the values themselves, and values at the ends. */
#include "spread.h"

#include "check.h"

static void shares_are_known_to_a_quarter(void)
{
    marty__spread spread = {0};
    CHECK_INT(marty__spread_at(&spread, 50), 0);
    for (int64_t us = 1; us <= 100000; us++) {
        marty__spread_add(&spread, us);
    }
    for (unsigned share = 1; share <= 100; share++) {
        int64_t have = marty__spread_at(&spread, share), want = (int64_t)share * 1000;
        CHECK(have >= want && have <= want + want / 4);
    }
    CHECK_INT(spread.count, 100000);
    CHECK_INT(spread.max_us, 100000);
    CHECK_INT(spread.sum_us, INT64_C(100000) * 100001 / 2);
}

static void the_ends_fit(void)
{
    static const int64_t ends[] = {-5, 0, 1, 3, 4, 5, 7, 8, INT64_C(1) << 40, INT64_MAX};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        marty__spread spread = {0};
        marty__spread_add(&spread, ends[i]);
        CHECK_INT(marty__spread_at(&spread, 99), ends[i] > 0 ? ends[i] : 0);
    }
}

int main(void)
{
    shares_are_known_to_a_quarter();
    the_ends_fit();
    return check_result();
}
