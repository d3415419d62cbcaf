/* SPDX-License-Identifier: Apache-2.0
 * The scanner: no recursion, the stack of open braces is one bit each in a word. Not shared by
 * threads. */
#include "json_scan.h"

#include "ascii.h"
#include "base/utf8.h"

void marty__json_begin(marty__json_scan *scan, const char *text, size_t size, bool python)
{
    text = text ? text : "";
    *scan = (marty__json_scan){text, text, text + size, python, NULL};
}

static bool fail(marty__json_scan *scan, const char *wrong)
{
    scan->wrong = scan->wrong ? scan->wrong : wrong;
    return false;
}

static void skip_space(marty__json_scan *scan)
{
    while (scan->at < scan->end &&
           (*scan->at == ' ' || *scan->at == '\n' || *scan->at == '\r' || *scan->at == '\t')) {
        scan->at++;
    }
}

/* The next byte, NUL at the end (which no place expects). */
static char peek(const marty__json_scan *scan)
{
    return scan->at < scan->end ? *scan->at : '\0';
}

static bool take(marty__json_scan *scan, char byte, const char *wrong)
{
    if (peek(scan) != byte) {
        return fail(scan, wrong);
    }
    scan->at++;
    return true;
}

static bool read_escape(marty__json_scan *scan)
{
    uint32_t point = 0;
    scan->at++;
    char byte = peek(scan);
    if (byte != 'u') {
        if (!byte || !memchr("\"\\/bfnrt", byte, 8)) {
            return fail(scan, "this escape is not one of JSON's");
        }
        scan->at++;
        return true;
    }
    size_t length = marty__json_unicode(scan->at + 1, scan->end, &point);
    if (!length) {
        return fail(scan, "\\u is followed by four hexadecimal digits");
    }
    if (point >= 0xd800 && point <= 0xdfff && !scan->python) {
        return fail(scan, "a surrogate stands alone");
    }
    scan->at += 1 + length;
    return true;
}

/* Behind the opening quote; moves behind the closing one. */
static bool read_string(marty__json_scan *scan, marty__json_value *value)
{
    value->kind = MARTY__JSON_STRING;
    value->at = scan->at;
    value->escaped = false;
    value->plain = true;
    for (;;) {
        scan->at += marty__plain_run(scan->at, (size_t)(scan->end - scan->at), true);
        if (scan->at == scan->end) {
            return fail(scan, "the closing quote is missing");
        }
        if (*scan->at == '"') {
            value->size = (size_t)(scan->at++ - value->at);
            return true;
        }
        value->plain = false;
        if (*scan->at == '\\') {
            value->escaped = true;
            if (!read_escape(scan)) {
                return false;
            }
            continue;
        }
        if ((unsigned char)*scan->at < 0x20) {
            return fail(scan, "a control character stands in a string");
        }
        size_t length = marty__utf8_next(scan->at, (size_t)(scan->end - scan->at), NULL);
        if (!length) {
            return fail(scan, "it is not UTF-8");
        }
        scan->at += length;
    }
}

static size_t skip_digits(marty__json_scan *scan)
{
    const char *from = scan->at;
    while (scan->at < scan->end && *scan->at >= '0' && *scan->at <= '9') {
        scan->at++;
    }
    return (size_t)(scan->at - from);
}

static bool read_word(marty__json_scan *scan, const char *word)
{
    size_t length = strlen(word);
    if ((size_t)(scan->end - scan->at) < length || memcmp(scan->at, word, length) != 0) {
        return fail(scan, "a value is expected");
    }
    scan->at += length;
    return true;
}

static bool read_number(marty__json_scan *scan)
{
    static const char wrong[] = "a number is not as JSON writes it";
    if (peek(scan) == '-') {
        scan->at++;
        if (scan->python && peek(scan) == 'I') {
            return read_word(scan, "Infinity");
        }
    }
    if (peek(scan) == '0') {
        scan->at++;
    } else if (!skip_digits(scan)) {
        return fail(scan, wrong);
    }
    if (peek(scan) == '.') {
        scan->at++;
        if (!skip_digits(scan)) {
            return fail(scan, wrong);
        }
    }
    if (peek(scan) == 'e' || peek(scan) == 'E') {
        scan->at++;
        if (peek(scan) == '+' || peek(scan) == '-') {
            scan->at++;
        }
        if (!skip_digits(scan)) {
            return fail(scan, wrong);
        }
    }
    return true;
}

static bool read_scalar(marty__json_scan *scan, marty__json_value *value)
{
    const char *from = scan->at;
    bool good = false;
    switch (peek(scan)) {
    case '"':
        scan->at++;
        return read_string(scan, value);
    case 't':
        value->kind = MARTY__JSON_TRUE;
        good = read_word(scan, "true");
        break;
    case 'f':
        value->kind = MARTY__JSON_FALSE;
        good = read_word(scan, "false");
        break;
    case 'n':
        value->kind = MARTY__JSON_NULL;
        good = read_word(scan, "null");
        break;
    case 'N':
    case 'I':
        value->kind = MARTY__JSON_NUMBER;
        good = scan->python ? read_word(scan, peek(scan) == 'N' ? "NaN" : "Infinity")
                            : fail(scan, "a value is expected");
        break;
    default:
        value->kind = MARTY__JSON_NUMBER;
        good = peek(scan) == '-' || (peek(scan) >= '0' && peek(scan) <= '9')
                   ? read_number(scan)
                   : fail(scan, "a value is expected");
        break;
    }
    value->at = from;
    value->size = (size_t)(scan->at - from);
    return good;
}

/* Name and colon of a member, and the space behind it. */
static bool read_name(marty__json_scan *scan, marty__json_value *name)
{
    if (!take(scan, '"', "a name in quotes is expected") || !read_string(scan, name)) {
        return false;
    }
    skip_space(scan);
    if (!take(scan, ':', "a colon is expected")) {
        return false;
    }
    skip_space(scan);
    return true;
}

/* Behind a value: closes what is complete. 1 = another value follows, 0 = all is closed, -1. */
static int read_ends(marty__json_scan *scan, uint64_t *objects, unsigned *level)
{
    marty__json_value name;
    while (*level) {
        bool object = *objects & 1;
        skip_space(scan);
        char byte = peek(scan);
        if (byte == ',') {
            scan->at++;
            skip_space(scan);
            return !object || read_name(scan, &name) ? 1 : -1;
        }
        if (byte != (object ? '}' : ']')) {
            return fail(scan, "a comma or a closing brace is expected") ? 1 : -1;
        }
        scan->at++;
        *objects >>= 1;
        (*level)--;
    }
    return 0;
}

/* At an opening brace; moves behind the closing one. */
static bool read_nested(marty__json_scan *scan, unsigned depth)
{
    marty__json_value scrap;
    uint64_t objects = 0; /* a bit for each open one, the innermost lowest */
    unsigned level = 0;
    for (;;) {
        char byte = peek(scan);
        if (byte == '{' || byte == '[') {
            if (depth + level >= MARTY__JSON_DEPTH) {
                return fail(scan, "it is nested more than 64 deep");
            }
            bool object = byte == '{';
            objects = objects << 1 | object;
            level++;
            scan->at++;
            skip_space(scan);
            if (peek(scan) != (object ? '}' : ']')) {
                if (object && !read_name(scan, &scrap)) {
                    return false;
                }
                continue;
            }
        } else if (!read_scalar(scan, &scrap)) {
            return false;
        }
        int more = read_ends(scan, &objects, &level);
        if (more <= 0) {
            return more == 0;
        }
    }
}

bool marty__json_read(marty__json_scan *scan, marty__json_value *ret_value, unsigned depth)
{
    skip_space(scan);
    const char *from = scan->at;
    char byte = peek(scan);
    if (byte != '{' && byte != '[') {
        return read_scalar(scan, ret_value);
    }
    if (!read_nested(scan, depth)) {
        return false;
    }
    *ret_value = (marty__json_value){.kind = byte == '{' ? MARTY__JSON_OBJECT : MARTY__JSON_ARRAY,
                                     .at = from,
                                     .size = (size_t)(scan->at - from)};
    return true;
}

bool marty__json_finish(marty__json_scan *scan)
{
    skip_space(scan);
    return scan->at == scan->end || fail(scan, "something follows the end");
}

bool marty__json_enter(marty__json_scan *scan, char brace)
{
    skip_space(scan);
    return take(scan, brace, brace == '{' ? "an object is expected" : "an array is expected");
}

/* 1 = one more follows, 0 = the end (taken), -1. */
static int next_of(marty__json_scan *scan, bool first, char close)
{
    skip_space(scan);
    if (peek(scan) == close) {
        scan->at++;
        return 0;
    }
    if (!first && !take(scan, ',', "a comma or a closing brace is expected")) {
        return -1;
    }
    skip_space(scan);
    return 1;
}

int marty__json_member(marty__json_scan *scan, bool first, marty__json_value *ret_name,
                       marty__json_value *ret_value, unsigned depth)
{
    int next = next_of(scan, first, '}');
    if (next <= 0) {
        return next;
    }
    return read_name(scan, ret_name) && marty__json_read(scan, ret_value, depth) ? 1 : -1;
}

int marty__json_element(marty__json_scan *scan, bool first, marty__json_value *ret_value,
                        unsigned depth)
{
    int next = next_of(scan, first, ']');
    if (next <= 0) {
        return next;
    }
    return marty__json_read(scan, ret_value, depth) ? 1 : -1;
}

bool marty__json_valid(const char *text, size_t size, bool python, unsigned depth,
                       marty__json_value *ret_value)
{
    marty__json_scan scan;
    marty__json_begin(&scan, text, size, python);
    return marty__json_read(&scan, ret_value, depth) && marty__json_finish(&scan);
}
