/* SPDX-License-Identifier: Apache-2.0
 * Numbers with commas. */
#include "base/grouped.h"

#include "tests/check.h"

int main(void)
{
    CHECK_TEXT(marty__grouped(0).text, "0");
    CHECK_TEXT(marty__grouped(999).text, "999");
    CHECK_TEXT(marty__grouped(1000).text, "1,000");
    CHECK_TEXT(marty__grouped(1048576).text, "1,048,576");
    CHECK_TEXT(marty__grouped(UINT64_MAX).text, "18,446,744,073,709,551,615");
    return check_result();
}
