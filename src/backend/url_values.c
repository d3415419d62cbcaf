/* SPDX-License-Identifier: Apache-2.0
 * What stands behind the keys of a URL: which keys are known, durations and sizes. Pure functions;
 * any thread. */
#include "url.h"

#include "base/buffer.h"

#include <ctype.h>
#include <string.h>

const char *const marty__url_common_keys[] = {
    "prefix",   "topology", "level", "lease",    "dedup",  "retention", "trim",
    "replicas", "envelope", "wait",  "tls",      "tls_ca", "tls_cert",  "tls_key",
    "tls_host", "user",     "token", "password", "creds",  "nkey",      NULL};

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Letters put in, left out, changed, or swapped with their neighbour; words of more than 31 bytes
 * are far from everything. */
static size_t distance(const char *a, const char *b)
{
    size_t a_size = strlen(a), b_size = strlen(b), rows[3][32];
    if (a_size > 31 || b_size > 31) {
        return SIZE_MAX;
    }
    for (size_t j = 0; j <= b_size; j++) {
        rows[0][j] = j;
    }
    for (size_t i = 1; i <= a_size; i++) {
        size_t *row = rows[i % 3];
        const size_t *above = rows[(i + 2) % 3], *before = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b_size; j++) {
            row[j] = least(above[j - 1] + (a[i - 1] != b[j - 1]), least(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                row[j] = least(row[j], before[j - 2] + 1);
            }
        }
    }
    return rows[a_size % 3][b_size];
}

const char *marty__nearest(const char *word, const char *const words[])
{
    const char *nearest = NULL;
    size_t best = strlen(word) > 4 ? 3 : 2; /* nearer than that */
    for (size_t i = 0; words[i]; i++) {
        size_t far = distance(word, words[i]);
        if (far < best) {
            best = far;
            nearest = words[i];
        }
    }
    return nearest;
}

static bool listed(const char *name, const char *const words[])
{
    for (size_t i = 0; words && words[i]; i++) {
        if (strcmp(name, words[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* Words, without those that are in `but`. */
static void add_words(marty__buffer *list, const char *const words[], const char *const but[])
{
    for (size_t i = 0; words && words[i]; i++) {
        if (!listed(words[i], but)) {
            marty__buffer_text(list, list->size ? ", " : "");
            marty__buffer_text(list, words[i]);
        }
    }
}

static marty_err unknown_key(const marty_url *url, const char *key, const char *const known[],
                             marty_error *why)
{
    marty__buffer list = {0};
    const char *near = known ? marty__nearest(key, known) : NULL;
    near = near ? near : marty__nearest(key, marty__url_common_keys);
    add_words(&list, known, NULL);
    add_words(&list, marty__url_common_keys, known);
    marty_err err =
        marty_error_set(why, MARTY_E_CONFIG, "%s: unknown key \"%s\"%s%s%s; known are %s",
                        url->redacted, key, near ? "; did you mean \"" : "", near ? near : "",
                        near ? "\"?" : "", list.failed || !list.data ? "in the guide" : list.data);
    marty__buffer_free(&list);
    return err;
}

marty_err marty_url_check(const marty_url *url, const char *const known[], marty_error *why)
{
    for (size_t i = 0; i < url->parameter_count; i++) {
        const char *key = url->parameters[i].name;
        if (!listed(key, known) && !listed(key, marty__url_common_keys)) {
            return unknown_key(url, key, known, why);
        }
    }
    return MARTY_OK;
}

typedef struct unit {
    const char *name;
    uint64_t factor;
} unit;

/* A whole number and one of the units. False when it is none, or does not fit. */
static bool parse_number(uint64_t *ret_value, const char *text, const unit units[])
{
    uint64_t number = 0;
    const char *at = text;
    for (; isdigit((unsigned char)*at); at++) {
        uint64_t digit = (uint64_t)(*at - '0');
        if (number > (UINT64_MAX - digit) / 10) {
            return false;
        }
        number = number * 10 + digit;
    }
    if (at == text) {
        return false;
    }
    for (const unit *u = units; u->name; u++) {
        if (strcmp(at, u->name) == 0 && number <= (uint64_t)INT64_MAX / u->factor) {
            *ret_value = number * u->factor;
            return true;
        }
    }
    return number == 0 && !*at && (*ret_value = 0, true); /* nothing needs no unit */
}

static const char *value_shown(const char *key, const char *text)
{
    return marty__url_is_secret(key, strlen(key)) ? "***" : text;
}

marty_err marty_parse_duration(uint64_t *ret_ms, const char *key, const char *text,
                               marty_error *why)
{
    static const unit units[] = {{"ms", 1},      {"s", 1000},     {"m", 60000},
                                 {"h", 3600000}, {"d", 86400000}, {NULL, 0}};
    if (!text || !parse_number(ret_ms, text, units)) {
        return marty_error_set(why, MARTY_E_CONFIG,
                               "%s: \"%.64s\" is no duration; write a whole number and ms, s, m, h "
                               "or d, like 30s",
                               key, text ? value_shown(key, text) : "");
    }
    return MARTY_OK;
}

marty_err marty_parse_size(uint64_t *ret_bytes, const char *key, const char *text, marty_error *why)
{
    static const unit units[] = {{"", 1},
                                 {"B", 1},
                                 {"KiB", 1ull << 10},
                                 {"MiB", 1ull << 20},
                                 {"GiB", 1ull << 30},
                                 {"TiB", 1ull << 40},
                                 {"kB", 1000},
                                 {"KB", 1000},
                                 {"MB", 1000000},
                                 {"GB", 1000000000},
                                 {"TB", 1000000000000},
                                 {NULL, 0}};
    if (!text || !parse_number(ret_bytes, text, units)) {
        return marty_error_set(why, MARTY_E_CONFIG,
                               "%s: \"%.64s\" is no size; write a whole number of bytes, or with "
                               "KiB, MiB, GiB, TiB, like 64MiB",
                               key, text ? value_shown(key, text) : "");
    }
    return MARTY_OK;
}
