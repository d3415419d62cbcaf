/* SPDX-License-Identifier: Apache-2.0
 * What is a whole number, and what is none. */
#include "number.h"

#include "tests/check.h"

static void check(const char *text, uint64_t max, bool is_one, uint64_t number)
{
    uint64_t have = 77;
    CHECK(marty__number_read(&have, text, strlen(text), max) == is_one);
    CHECK(have == (is_one ? number : 77));
    CHECK(marty__number_or_0(text, max) == (is_one ? number : 0));
}

int main(void)
{
    check("0", UINT64_MAX, true, 0);
    check("0", 0, true, 0);
    check("007", 7, true, 7);
    check("18446744073709551615", UINT64_MAX, true, UINT64_MAX);
    check("18446744073709551616", UINT64_MAX, false, 0);
    check("99999999999999999999", UINT64_MAX, false, 0);
    check("4294967295", UINT32_MAX, true, UINT32_MAX);
    check("4294967296", UINT32_MAX, false, 0);
    check("10", 9, false, 0);
    check("9", 8, false, 0);
    check("", UINT64_MAX, false, 0);
    check("-1", UINT64_MAX, false, 0);
    check("+1", UINT64_MAX, false, 0);
    check(" 1", UINT64_MAX, false, 0);
    check("1 ", UINT64_MAX, false, 0);
    check("1x", UINT64_MAX, false, 0);
    check("\xb1", UINT64_MAX, false, 0);
    CHECK(marty__number_or_0(NULL, 9) == 0);
    return check_result();
}
