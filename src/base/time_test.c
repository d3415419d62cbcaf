/* SPDX-License-Identifier: Apache-2.0
 * Time as text, against the C library's calendar and a table of good and bad texts. */
#include "base/time.h"

#include "tests/check.h"

#include <time.h>

#define SECOND INT64_C(1000000)

static void days_agree_with_the_c_library(void)
{
    unsigned wrong = 0;
    for (int64_t day = -719528; day < 2932897; day += 13) { /* 0000-01-01 to 9999-12-31 */
        time_t seconds = (time_t)(day * 86400 + 86399 - day % 1000);
        struct tm tm;
        char want[64], have[MARTY__TIME_TEXT];
        REQUIRE(gmtime_r(&seconds, &tm));
        snprintf(want, sizeof want, "%04d-%02d-%02dT%02d:%02d:%02dZ", tm.tm_year + 1900,
                 tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
        size_t size = marty__time_format(have, (int64_t)seconds * SECOND);
        int64_t back = 0;
        wrong += size != 20 || strcmp(have, want) != 0;
        wrong += !marty__time_parse(have, size, &back) || back != (int64_t)seconds * SECOND;
    }
    CHECK_INT(wrong, 0);
}

static void texts_are_as_expected(void)
{
    static const struct {
        int64_t us;
        const char *text;
    } cases[] = {{0, "1970-01-01T00:00:00Z"},
                 {1, "1970-01-01T00:00:00.000001Z"},
                 {-1, "1969-12-31T23:59:59.999999Z"},
                 {INT64_C(1767323045678901), "2026-01-02T03:04:05.678901Z"},
                 {INT64_C(1709164800) * SECOND, "2024-02-29T00:00:00Z"},
                 {INT64_MIN, "0000-01-01T00:00:00Z"},
                 {INT64_MAX, "9999-12-31T23:59:59.999999Z"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[MARTY__TIME_TEXT];
        CHECK_INT(marty__time_format(text, cases[i].us), strlen(cases[i].text));
        CHECK_TEXT(text, cases[i].text);
    }
}

static void texts_are_read(void)
{
    static const struct {
        const char *text;
        int64_t us;
    } cases[] = {{"1985-04-12T23:20:50.52Z", INT64_C(482196050520000)}, /* of RFC 3339 */
                 {"1996-12-19T16:39:57-08:00", INT64_C(851042397000000)},
                 {"1990-12-31T23:59:60Z", INT64_C(662688000000000)},
                 {"1990-12-31T15:59:60-08:00", INT64_C(662688000000000)},
                 {"1937-01-01T12:00:27.87+00:20", INT64_C(-1041337172130000)},
                 {"2000-02-29t00:00:00z", INT64_C(951782400000000)},
                 {"1970-01-01T00:00:00.1234567899Z", 123456},
                 {"0000-01-01T00:00:00Z", INT64_C(-62167219200000000)},
                 {"1970-01-01T00:00:00+23:59", INT64_C(-86340000000)}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t us = 0;
        CHECK(marty__time_parse(cases[i].text, strlen(cases[i].text), &us));
        CHECK_INT(us, cases[i].us);
    }
}

static void bad_texts_are_refused(void)
{
    static const char *const texts[] = {
        "",
        "2026",
        "2026-01-02",
        "2026-01-02T03:04Z",
        "2026-01-02T03:04:05",
        "2026-01-02 03:04:05Z",
        "2026-1-2T03:04:05Z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-01-00T00:00:00Z",
        "2026-01-32T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "2026-01-02T24:00:00Z",
        "2026-01-02T00:60:00Z",
        "2026-01-02T00:00:61Z",
        "2026-01-02T00:00:00.Z",
        "2026-01-02T00:00:00,5Z",
        "2026-01-02T00:00:00+1:00",
        "2026-01-02T00:00:00+24:00",
        "2026-01-02T00:00:00+01:60",
        "2026-01-02T00:00:00+0100",
        "2026-01-02T00:00:00Zx",
        "+2026-01-02T00:00:00Z",
        "-026-01-02T00:00:00Z",
        "12026-01-02T00:00:00Z",
        "0000-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "9999-12-31T23:59:60Z",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        int64_t us = 77;
        CHECK(!marty__time_parse(texts[i], strlen(texts[i]), &us));
        CHECK_INT(us, 77);
    }
    int64_t us = 0;
    CHECK(!marty__time_parse("2026-01-02T00:00:00Z", 19, &us)); /* the size counts, not the NUL */
}

static void python_may_leave_out_the_zone(void)
{
    int64_t us = 0;
    CHECK(marty__time_parse_iso("2026-01-02T03:04:05.678901", 26, &us));
    CHECK_INT(us, INT64_C(1767323045678901));
    CHECK(marty__time_parse_iso("2026-01-02 03:04:05", 19, &us));
    CHECK_INT(us, INT64_C(1767323045000000));
    CHECK(marty__time_parse_iso("2026-01-02T03:04:05+01:00", 25, &us));
    CHECK_INT(us, INT64_C(1767319445000000));
    CHECK(!marty__time_parse_iso("now", 3, &us));
    CHECK(!marty__time_parse_iso("2026-01-02T03:04:05 Z", 21, &us));
}

int main(void)
{
    days_agree_with_the_c_library();
    texts_are_as_expected();
    texts_are_read();
    bad_texts_are_refused();
    python_may_leave_out_the_zone();
    return check_result();
}
