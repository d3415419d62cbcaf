/* SPDX-License-Identifier: Apache-2.0
 * Patterns as strings: their grammar, and how two of them relate. Pure functions; nothing is
 * copied save an intersection. */
#include "match.h"

#include "base/limits.h"
#include "base/utf8.h"

#include <string.h>

typedef struct segment {
    const char *text;
    size_t size;
} segment;

/* The next segment of a name, false at its end; *at is NULL once the last one is taken. */
static bool take(const char **at, segment *ret)
{
    if (!*at) {
        return false;
    }
    const char *dot = strchr(*at, '.');
    ret->text = *at;
    ret->size = dot ? (size_t)(dot - *at) : strlen(*at);
    *at = dot ? dot + 1 : NULL;
    return true;
}

static bool is(const segment *part, char wildcard)
{
    return part->size == 1 && part->text[0] == wildcard;
}

static bool same(const segment *a, const segment *b)
{
    return a->size == b->size && memcmp(a->text, b->text, a->size) == 0;
}

static marty_err check_segment(const char *pattern, const segment *part, bool last,
                               marty_error *why)
{
    if (part->size == 0) {
        return marty_error_set(why, MARTY_E_ARGUMENT,
                               "pattern \"%s\": a segment is empty; between dots there must be a "
                               "word, \"*\" or, at the end, \">\"",
                               pattern);
    }
    if (is(part, '>') && !last) {
        return marty_error_set(why, MARTY_E_ARGUMENT,
                               "pattern \"%s\": \">\" stands for the rest, so it must be the last "
                               "segment; \"*\" stands for one",
                               pattern);
    }
    if (is(part, '*') || is(part, '>')) {
        return MARTY_OK;
    }
    if (memchr(part->text, '*', part->size) || memchr(part->text, '>', part->size)) {
        return marty_error_set(why, MARTY_E_ARGUMENT,
                               "pattern \"%s\": \"%.*s\" mixes a word and a wildcard; \"*\" and "
                               "\">\" must be whole segments",
                               pattern, (int)part->size, part->text);
    }
    return MARTY_OK;
}

static marty_err check_bytes(const char *pattern, size_t size, marty_error *why)
{
    if (size == 0 || size > MARTY__NAME_BYTES_MAX) {
        return marty_error_set(why, MARTY_E_ARGUMENT,
                               "pattern \"%.60s%s\": %zu bytes; it must have 1 to %d", pattern,
                               size > 60 ? "..." : "", size, MARTY__NAME_BYTES_MAX);
    }
    if (!marty__utf8_valid(pattern, size)) {
        return marty_error_set(why, MARTY_E_ARGUMENT, "a pattern must be UTF-8; this one is not");
    }
    for (size_t i = 0; i < size; i++) {
        if ((unsigned char)pattern[i] < 0x20 || pattern[i] == 0x7f) {
            return marty_error_set(why, MARTY_E_ARGUMENT,
                                   "a pattern must not contain control characters; byte %zu of "
                                   "this one is 0x%02x",
                                   i, (unsigned)pattern[i]);
        }
    }
    return MARTY_OK;
}

marty_err marty__pattern_check(const char *pattern, marty_error *why)
{
    if (!pattern) {
        return marty_error_set(why, MARTY_E_ARGUMENT, "the pattern is NULL; it must have a name");
    }
    marty_err err = check_bytes(pattern, strlen(pattern), why);
    size_t count = 0;
    segment part;
    for (const char *at = pattern; !err && take(&at, &part); count++) {
        err = check_segment(pattern, &part, !at, why);
    }
    if (!err && count > MARTY__SEGMENTS_MAX) {
        return marty_error_set(why, MARTY_E_ARGUMENT,
                               "pattern \"%.60s...\": %zu segments; the limit is %d", pattern,
                               count, MARTY__SEGMENTS_MAX);
    }
    return err;
}

bool marty__pattern_matches(const char *pattern, const char *type)
{
    segment want, have;
    while (take(&pattern, &want)) {
        if (!take(&type, &have)) {
            return false;
        }
        if (is(&want, '>') && !pattern) {
            return true;
        }
        if (!is(&want, '*') && !same(&want, &have)) {
            return false;
        }
    }
    return !type;
}

bool marty__pattern_overlaps(const char *a, const char *b)
{
    segment x, y;
    while (take(&a, &x)) {
        if (!take(&b, &y)) {
            return false;
        }
        if (is(&x, '>') || is(&y, '>')) {
            return true;
        }
        if (!is(&x, '*') && !is(&y, '*') && !same(&x, &y)) {
            return false;
        }
    }
    return !b;
}

bool marty__pattern_covers(const char *wide, const char *narrow)
{
    segment x, y;
    while (take(&wide, &x)) {
        if (!take(&narrow, &y)) {
            return false;
        }
        if (is(&x, '>')) {
            return true;
        }
        if (is(&y, '>') || (!is(&x, '*') && !same(&x, &y))) {
            return false;
        }
    }
    return !narrow;
}

bool marty__pattern_intersect(const char *a, const char *b, char ret[MARTY__PATTERN_ROOM])
{
    segment x, y;
    size_t size = 0;
    if (!marty__pattern_overlaps(a, b)) {
        return false;
    }
    while (take(&a, &x) && take(&b, &y)) {
        const segment *narrow = is(&x, '>') || (is(&x, '*') && !is(&y, '>')) ? &y : &x;
        if (size) {
            ret[size++] = '.';
        }
        memcpy(ret + size, narrow->text, narrow->size);
        size += narrow->size;
        const char *rest = is(&x, '>') ? b : is(&y, '>') ? a : NULL;
        if (rest) {
            ret[size++] = '.';
            memcpy(ret + size, rest, strlen(rest));
            size += strlen(rest);
        }
        if (is(&x, '>') || is(&y, '>')) {
            break;
        }
    }
    ret[size] = '\0';
    return true;
}

bool marty__pattern_wild(const char *pattern)
{
    segment part;
    while (take(&pattern, &part)) {
        if (is(&part, '*') || is(&part, '>')) {
            return true;
        }
    }
    return false;
}
