/* SPDX-License-Identifier: Apache-2.0
 * Times are read and written as people and RFC 3339 have them. */
#include "cli.h"

#include "check.h"

static void times_are_read(void)
{
    int64_t us = 0;
    char text[40];
    CHECK(cli_time_parse(&us, "2026-11-01T10:00:00Z"));
    CHECK_INT(us, 1793527200000000);
    CHECK(cli_time_parse(&us, "2026-11-01T12:00:00.25+02:00"));
    CHECK_INT(us, 1793527200250000);
    cli_time_text(text, us);
    CHECK_TEXT(text, "2026-11-01T10:00:00.250000Z");
    cli_time_text(text, -1);
    CHECK_TEXT(text, "1969-12-31T23:59:59.999999Z");
    CHECK(cli_time_parse(&us, "2026-11-01"));
    CHECK(cli_time_parse(&us, "2026-11-01 10:00"));
    CHECK(cli_time_parse(&us, "10:30"));
    CHECK(!cli_time_parse(&us, "2026-13-01"));
    CHECK(!cli_time_parse(&us, "2026-11-01T25:00"));
    CHECK(!cli_time_parse(&us, "2026-11-01T10:00Zx"));
    CHECK(!cli_time_parse(&us, "tomorrow"));
    CHECK(!cli_time_parse(&us, ""));
}

static void starts_are_read(void)
{
    marty_start start = {0};
    CHECK(cli_from_parse(&start, "earliest"));
    CHECK_INT(start.from, MARTY_FROM_EARLIEST);
    CHECK(cli_from_parse(&start, "now"));
    CHECK_INT(start.from, MARTY_FROM_NOW);
    CHECK(cli_from_parse(&start, "5m"));
    CHECK_INT(start.from, MARTY_FROM_TIME);
    CHECK(start.time_us <= cli_wall_us() - 299000000);
    CHECK(start.time_us >= cli_wall_us() - 301000000);
    CHECK(cli_from_parse(&start, "@2026-11-01T10:00:00Z"));
    CHECK_INT(start.time_us, 1793527200000000);
    CHECK(!cli_from_parse(&start, "yesterday"));
    CHECK(!cli_from_parse(&start, "@"));
}

int main(void)
{
    times_are_read();
    starts_are_read();
    return check_result();
}
