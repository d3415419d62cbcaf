/* SPDX-License-Identifier: Apache-2.0
 * RFC 3339 text and Unix time in microseconds. Years 0000 to 9999, proleptic Gregorian. Pure
 * functions. */
#ifndef MARTY_BASE_TIME_H
#define MARTY_BASE_TIME_H
#include <marty/types.h>

enum { MARTY__TIME_TEXT = 32 };                                /* room for the text and its NUL */
#define MARTY__TIME_FIRST_US (INT64_C(-62167219200) * 1000000) /* 0000-01-01T00:00:00Z */
#define MARTY__TIME_LAST_US (INT64_C(253402300800) * 1000000 - 1) /* the end of 9999 */

/** "2026-01-02T03:04:05.678901Z", without a fraction when it is zero; what is outside the years
 * 0000 to 9999 is written as the nearest time inside. Returns the length. */
size_t marty__time_format(char out[MARTY__TIME_TEXT], int64_t time_us);
/** Strict RFC 3339 (an offset is required; "t" and "z" are fine; a leap second is the first of the
 * next minute; digits after the sixth are dropped). */
bool marty__time_parse(const char *text, size_t size, int64_t *ret_time_us);
/** ISO text as Python writes it: as RFC 3339, but the offset may be missing (then it is UTC) and a
 * space may stand for the "T". */
bool marty__time_parse_iso(const char *text, size_t size, int64_t *ret_time_us);
#endif
