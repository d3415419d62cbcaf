/* SPDX-License-Identifier: Apache-2.0
 * The inside of JSON strings as text. Pure functions. */
#include "json_scan.h"

#include "base/utf8.h"

static bool hex_unit(const char *text, const char *end, uint32_t *ret_unit)
{
    uint32_t unit = 0;
    if (end - text < 4) {
        return false;
    }
    for (size_t i = 0; i < 4; i++) {
        char byte = text[i], low = (char)(byte | 0x20);
        if (byte >= '0' && byte <= '9') {
            unit = unit << 4 | (uint32_t)(byte - '0');
        } else if (low >= 'a' && low <= 'f') {
            unit = unit << 4 | (uint32_t)(low - 'a' + 10);
        } else {
            return false;
        }
    }
    *ret_unit = unit;
    return true;
}

size_t marty__json_unicode(const char *text, const char *end, uint32_t *ret_point)
{
    uint32_t low = 0;
    if (!hex_unit(text, end, ret_point)) {
        return 0;
    }
    bool high = *ret_point >= 0xd800 && *ret_point <= 0xdbff;
    if (high && end - text >= 10 && text[4] == '\\' && text[5] == 'u' &&
        hex_unit(text + 6, end, &low) && low >= 0xdc00 && low <= 0xdfff) {
        *ret_point = 0x10000 + ((*ret_point - 0xd800) << 10) + (low - 0xdc00);
        return 10;
    }
    return 4;
}

size_t marty__json_point(const char *text, size_t size, uint32_t *ret_point)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (text[0] != '\\' || size < 2) {
        return marty__utf8_next(text, size, ret_point);
    }
    if (text[1] == 'u') {
        return 2 + marty__json_unicode(text + 2, text + size, ret_point);
    }
    const char *found = memchr(from, text[1], sizeof from - 1);
    *ret_point = (unsigned char)(found ? to[found - from] : text[1]);
    return 2;
}

size_t marty__json_unescape(char *out, const char *text, size_t size)
{
    const char *end = text + size;
    size_t length = 0;
    while (text < end) {
        const char *slash = memchr(text, '\\', (size_t)(end - text));
        size_t run = slash ? (size_t)(slash - text) : (size_t)(end - text);
        memmove(out + length, text, run);
        length += run;
        text += run;
        if (slash) {
            uint32_t point = 0;
            size_t taken = marty__json_point(text, (size_t)(end - text), &point);
            bool lone = point >= 0xd800 && point <= 0xdfff;
            length += marty__utf8_put(out + length, lone ? 0xfffd : point);
            text += taken ? taken : 1;
        }
    }
    return length;
}
