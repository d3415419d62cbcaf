/* SPDX-License-Identifier: Apache-2.0
 * Calendar arithmetic on days since 1970 (Hinnant's civil algorithms), written out so that nothing
 * depends on the locale or the zone of the process. Pure functions. */
#include "time.h"

enum { US_PER_SECOND = 1000000, SECONDS_PER_DAY = 86400 };

static void put_two(char *out, uint32_t value)
{
    static const char pairs[] = "0001020304050607080910111213141516171819"
                                "2021222324252627282930313233343536373839"
                                "4041424344454647484950515253545556575859"
                                "6061626364656667686970717273747576777879"
                                "8081828384858687888990919293949596979899";
    memcpy(out, pairs + 2 * (value % 100), 2);
}

static void put_date(char *out, int64_t days)
{
    int64_t shifted = days + 719468; /* from 0000-03-01 */
    int64_t era = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
    uint32_t day_of_era = (uint32_t)(shifted - era * 146097);
    uint32_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    uint32_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    uint32_t month_shifted = (5 * day_of_year + 2) / 153;
    uint32_t month = month_shifted < 10 ? month_shifted + 3 : month_shifted - 9;
    int64_t year = (int64_t)year_of_era + era * 400 + (month <= 2);
    put_two(out, (uint32_t)year / 100);
    put_two(out + 2, (uint32_t)year);
    out[4] = '-';
    put_two(out + 5, month);
    out[7] = '-';
    put_two(out + 8, day_of_year - (153 * month_shifted + 2) / 5 + 1);
}

size_t marty__time_format(char out[MARTY__TIME_TEXT], int64_t time_us)
{
    time_us = time_us < MARTY__TIME_FIRST_US  ? MARTY__TIME_FIRST_US
              : time_us > MARTY__TIME_LAST_US ? MARTY__TIME_LAST_US
                                              : time_us;
    int64_t from_first = time_us - MARTY__TIME_FIRST_US; /* never negative, so division is plain */
    int64_t seconds = from_first / US_PER_SECOND;
    uint32_t fraction = (uint32_t)(from_first % US_PER_SECOND);
    uint32_t of_day = (uint32_t)(seconds % SECONDS_PER_DAY);
    put_date(out,
             seconds / SECONDS_PER_DAY + MARTY__TIME_FIRST_US / US_PER_SECOND / SECONDS_PER_DAY);
    out[10] = 'T';
    put_two(out + 11, of_day / 3600);
    out[13] = ':';
    put_two(out + 14, of_day / 60 % 60);
    out[16] = ':';
    put_two(out + 17, of_day % 60);
    size_t size = 19;
    if (fraction) {
        out[size] = '.';
        put_two(out + size + 1, fraction / 10000);
        put_two(out + size + 3, fraction / 100);
        put_two(out + size + 5, fraction);
        size += 7;
    }
    out[size] = 'Z';
    out[size + 1] = '\0';
    return size + 1;
}

/* Exactly count digits at *at, moved past them; -1 when they are not digits. */
static int32_t take_digits(const char **at, const char *end, int count)
{
    int32_t value = 0;
    if (end - *at < count) {
        return -1;
    }
    for (int i = 0; i < count; i++, (*at)++) {
        if (**at < '0' || **at > '9') {
            return -1;
        }
        value = value * 10 + (**at - '0');
    }
    return value;
}

static bool take_byte(const char **at, const char *end, char byte, char other)
{
    if (*at == end || (**at != byte && **at != other)) {
        return false;
    }
    (*at)++;
    return true;
}

static int64_t days_from_civil(int32_t year, int32_t month, int32_t day)
{
    int32_t shifted = month <= 2 ? year - 1 : year;
    int32_t era = (shifted >= 0 ? shifted : shifted - 399) / 400;
    int32_t year_of_era = shifted - era * 400;
    int32_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    int32_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return (int64_t)era * 146097 + day_of_era - 719468;
}

static int32_t days_in_month(int32_t year, int32_t month)
{
    static const unsigned char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return month == 2 && leap ? 29 : days[month - 1];
}

static bool take_date(const char **at, const char *end, int64_t *ret_days)
{
    int32_t year = take_digits(at, end, 4);
    if (year < 0 || !take_byte(at, end, '-', '-')) {
        return false;
    }
    int32_t month = take_digits(at, end, 2);
    if (month < 1 || month > 12 || !take_byte(at, end, '-', '-')) {
        return false;
    }
    int32_t day = take_digits(at, end, 2);
    if (day < 1 || day > days_in_month(year, month)) {
        return false;
    }
    *ret_days = days_from_civil(year, month, day);
    return true;
}

static bool take_fraction(const char **at, const char *end, int32_t *ret_us)
{
    int32_t us = 0, digits = 0;
    *ret_us = 0;
    if (!take_byte(at, end, '.', '.')) {
        return true;
    }
    for (; *at < end && **at >= '0' && **at <= '9'; (*at)++, digits++) {
        us = digits < 6 ? us * 10 + (**at - '0') : us;
    }
    for (int32_t i = digits; i < 6; i++) {
        us *= 10;
    }
    *ret_us = us;
    return digits > 0;
}

static bool take_clock(const char **at, const char *end, int64_t *ret_us)
{
    int32_t fraction = 0, hour = take_digits(at, end, 2);
    if (hour < 0 || hour > 23 || !take_byte(at, end, ':', ':')) {
        return false;
    }
    int32_t minute = take_digits(at, end, 2);
    if (minute < 0 || minute > 59 || !take_byte(at, end, ':', ':')) {
        return false;
    }
    int32_t second = take_digits(at, end, 2);
    if (second < 0 || second > 60 || !take_fraction(at, end, &fraction)) {
        return false;
    }
    fraction = second == 60 ? 0 : fraction;
    *ret_us = (int64_t)(hour * 3600 + minute * 60 + second) * US_PER_SECOND + fraction;
    return true;
}

static bool take_offset(const char **at, const char *end, int64_t *ret_us)
{
    *ret_us = 0;
    if (take_byte(at, end, 'Z', 'z')) {
        return true;
    }
    bool west = take_byte(at, end, '-', '-');
    if (!west && !take_byte(at, end, '+', '+')) {
        return false;
    }
    int32_t hour = take_digits(at, end, 2);
    if (hour < 0 || hour > 23 || !take_byte(at, end, ':', ':')) {
        return false;
    }
    int32_t minute = take_digits(at, end, 2);
    if (minute < 0 || minute > 59) {
        return false;
    }
    int64_t offset = (int64_t)(hour * 60 + minute) * 60 * US_PER_SECOND;
    *ret_us = west ? -offset : offset;
    return true;
}

static bool parse(const char *text, size_t size, bool iso, int64_t *ret_time_us)
{
    const char *at = text, *end = text + size;
    int64_t days = 0, clock_us = 0, offset_us = 0;
    if (!take_date(&at, end, &days)) {
        return false;
    }
    bool parted = take_byte(&at, end, 'T', 't') || (iso && take_byte(&at, end, ' ', ' '));
    if (!parted || !take_clock(&at, end, &clock_us)) {
        return false;
    }
    bool zoned = (iso && at == end) || take_offset(&at, end, &offset_us);
    if (!zoned || at != end) {
        return false;
    }
    int64_t time_us = days * SECONDS_PER_DAY * US_PER_SECOND + clock_us - offset_us;
    if (time_us < MARTY__TIME_FIRST_US ||
        time_us > MARTY__TIME_LAST_US) { /* an offset may carry it out of the years */
        return false;
    }
    *ret_time_us = time_us;
    return true;
}

bool marty__time_parse(const char *text, size_t size, int64_t *ret_time_us)
{
    return parse(text, size, false, ret_time_us);
}

bool marty__time_parse_iso(const char *text, size_t size, int64_t *ret_time_us)
{
    return parse(text, size, true, ret_time_us);
}
