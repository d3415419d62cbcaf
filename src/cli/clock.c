/* SPDX-License-Identifier: Apache-2.0
 * Time for the program: its only clock, and times as people write and read them. */
#include "cli.h"

#include <ctype.h>
#include <errno.h>
#include <marty/adapter.h>
#include <time.h>

int64_t cli_monotonic_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t cli_wall_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

void cli_sleep_ns(int64_t ns)
{
    struct timespec rest = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
    if (ns <= 0) {
        return;
    }
    while (nanosleep(&rest, &rest) != 0 && errno == EINTR) {
    }
}

static int64_t floor_seconds(int64_t time_us, long *ret_us)
{
    int64_t seconds = time_us / 1000000;
    long us = (long)(time_us % 1000000);
    if (us < 0) {
        seconds--;
        us += 1000000;
    }
    *ret_us = us;
    return seconds;
}

void cli_time_text(char ret_text[40], int64_t time_us)
{
    struct tm parts;
    long us = 0;
    time_t seconds = (time_t)floor_seconds(time_us, &us);
    size_t length;
    (void)gmtime_r(&seconds, &parts);
    length = strftime(ret_text, 40, "%Y-%m-%dT%H:%M:%S", &parts);
    if (us) {
        (void)snprintf(ret_text + length, 40 - length, ".%06ldZ", us);
    } else {
        (void)snprintf(ret_text + length, 40 - length, "Z");
    }
}

void cli_time_short(char ret_text[16], int64_t time_us)
{
    struct tm parts;
    long us = 0;
    time_t seconds = (time_t)floor_seconds(time_us, &us);
    size_t length;
    (void)localtime_r(&seconds, &parts);
    length = strftime(ret_text, 16, "%H:%M:%S", &parts);
    (void)snprintf(ret_text + length, 16 - length, ".%03ld", us / 1000 % 1000);
}

/* Digits of exactly that length; moves on. */
static bool digits(const char **at, int count, int *ret_number)
{
    int number = 0;
    while (count-- > 0) {
        if (!isdigit((unsigned char)**at)) {
            return false;
        }
        number = number * 10 + (*(*at)++ - '0');
    }
    *ret_number = number;
    return true;
}

static bool clock_parse(const char **at, struct tm *parts, long *ret_us)
{
    long unit = 100000;
    if (!digits(at, 2, &parts->tm_hour) || *(*at)++ != ':' || !digits(at, 2, &parts->tm_min)) {
        return false;
    }
    if (**at == ':') {
        (*at)++;
        if (!digits(at, 2, &parts->tm_sec)) {
            return false;
        }
        if (**at == '.') {
            (*at)++;
            while (isdigit((unsigned char)**at)) {
                *ret_us += (*(*at)++ - '0') * unit;
                unit /= 10;
            }
        }
    }
    return parts->tm_hour < 24 && parts->tm_min < 60 && parts->tm_sec < 61;
}

/* Seconds east of UTC, or local when there is no zone. */
static bool zone_parse(const char **at, bool *ret_local, long *ret_offset)
{
    int hours = 0, minutes = 0, sign = **at == '-' ? -1 : 1;
    *ret_local = **at == '\0';
    *ret_offset = 0;
    if (**at == 'Z') {
        (*at)++;
    } else if (**at == '+' || **at == '-') {
        (*at)++;
        if (!digits(at, 2, &hours)) {
            return false;
        }
        *at += **at == ':';
        if (!digits(at, 2, &minutes)) {
            return false;
        }
        *ret_offset = sign * (hours * 3600L + minutes * 60L);
    }
    return true;
}

static bool date_parse(const char **at, struct tm *parts)
{
    int year = 0;
    if (!digits(at, 4, &year) || *(*at)++ != '-' || !digits(at, 2, &parts->tm_mon) ||
        *(*at)++ != '-' || !digits(at, 2, &parts->tm_mday)) {
        return false;
    }
    parts->tm_year = year - 1900;
    parts->tm_mon--;
    return parts->tm_mon >= 0 && parts->tm_mon < 12 && parts->tm_mday >= 1 && parts->tm_mday <= 31;
}

bool cli_time_parse(int64_t *ret_us, const char *text)
{
    struct tm parts = {0};
    const char *at = text;
    bool local = true, today = strlen(text) >= 5 && text[2] == ':';
    long us = 0, offset = 0;
    time_t seconds;
    if (today) {
        time_t now = (time_t)(cli_wall_us() / 1000000);
        (void)localtime_r(&now, &parts);
        parts.tm_sec = 0;
        if (!clock_parse(&at, &parts, &us)) {
            return false;
        }
    } else {
        if (!date_parse(&at, &parts)) {
            return false;
        }
        if (*at == 'T' || *at == ' ') {
            at++;
            if (!clock_parse(&at, &parts, &us) || !zone_parse(&at, &local, &offset)) {
                return false;
            }
        }
    }
    if (*at) {
        return false;
    }
    parts.tm_isdst = -1;
    seconds = local ? mktime(&parts) : timegm(&parts) - offset;
    *ret_us = (int64_t)seconds * 1000000 + us;
    return true;
}

bool cli_from_parse(marty_start *ret_start, const char *text)
{
    marty_start start = {0};
    uint64_t ago_ms = 0;
    if (strcmp(text, "earliest") == 0) {
        start.from = MARTY_FROM_EARLIEST;
    } else if (strcmp(text, "now") == 0) {
        start.from = MARTY_FROM_NOW;
    } else if (text[0] == '@') {
        start.from = MARTY_FROM_TIME;
        if (!cli_time_parse(&start.time_us, text + 1)) {
            return false;
        }
    } else if (marty_parse_duration(&ago_ms, "from", text, NULL) == MARTY_OK &&
               ago_ms < (uint64_t)INT64_MAX / 1000) {
        start.from = MARTY_FROM_TIME;
        start.time_us = cli_wall_us() - (int64_t)ago_ms * 1000;
    } else {
        return false;
    }
    *ret_start = start;
    return true;
}
