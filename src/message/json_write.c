/* SPDX-License-Identifier: Apache-2.0
 * JSON strings: what is plain is copied in runs, the rest byte by byte. Pure functions. */
#include "json_write.h"

#include "ascii.h"
#include "base/utf8.h"

static const char *short_escape(uint32_t byte)
{
    switch (byte) {
    case '"':
        return "\\\"";
    case '\\':
        return "\\\\";
    case '\b':
        return "\\b";
    case '\t':
        return "\\t";
    case '\n':
        return "\\n";
    case '\f':
        return "\\f";
    case '\r':
        return "\\r";
    default:
        return NULL;
    }
}

static char *put_unit(char *at, uint32_t unit)
{
    static const char hex[] = "0123456789abcdef";
    *at++ = '\\';
    *at++ = 'u';
    for (int shift = 12; shift >= 0; shift -= 4) {
        *at++ = hex[unit >> shift & 15];
    }
    return at;
}

static char *put_escape(char *at, uint32_t byte)
{
    const char *escape = short_escape(byte);
    if (escape) {
        *at++ = escape[0];
        *at++ = escape[1];
        return at;
    }
    return put_unit(at, byte);
}

size_t marty__json_room(const char *text, size_t size)
{
    size_t room = size + 2;
    for (size_t at = marty__plain_run(text, size, true); at < size; at++) {
        unsigned char byte = (unsigned char)text[at];
        room += byte < 0x20 ? 5 : byte == '"' || byte == '\\' ? 1 : 0;
    }
    return room;
}

char *marty__json_put(char *at, const char *text, size_t size)
{
    *at++ = '"';
    for (size_t from = 0; from < size;) {
        size_t run = marty__plain_run(text + from, size - from, true);
        memcpy(at, text + from, run);
        at += run;
        from += run;
        for (; from < size && marty__plain_run(text + from, 1, true) == 0; from++) {
            unsigned char byte = (unsigned char)text[from];
            if (byte < 0x20 || byte == '"' || byte == '\\') {
                at = put_escape(at, byte);
            } else {
                *at++ = text[from];
            }
        }
    }
    *at++ = '"';
    return at;
}

/* The next code point (U+FFFD for what is none) and how many bytes it takes. */
static size_t next_point(const char *text, size_t size, uint32_t *ret_point)
{
    size_t length = marty__utf8_next(text, size, ret_point);
    if (!length) {
        *ret_point = 0xfffd;
        return 1;
    }
    return length;
}

size_t marty__json_room_ascii(const char *text, size_t size)
{
    size_t room = 2, from = 0;
    while (from < size) {
        size_t run = marty__plain_run(text + from, size - from, true);
        room += run;
        from += run;
        if (from < size) {
            uint32_t point = 0;
            from += next_point(text + from, size - from, &point);
            room += point == 0x7f ? 1 : short_escape(point) ? 2 : point < 0x10000 ? 6 : 12;
        }
    }
    return room;
}

char *marty__json_put_ascii(char *at, const char *text, size_t size)
{
    *at++ = '"';
    for (size_t from = 0; from < size;) {
        size_t run = marty__plain_run(text + from, size - from, true);
        memcpy(at, text + from, run);
        at += run;
        from += run;
        if (from == size) {
            break;
        }
        uint32_t point = 0;
        from += next_point(text + from, size - from, &point);
        if (point == 0x7f) {
            *at++ = 0x7f;
        } else if (point < 0x10000) {
            at = put_escape(at, point);
        } else {
            at = put_unit(at, 0xd800 + ((point - 0x10000) >> 10));
            at = put_unit(at, 0xdc00 + ((point - 0x10000) & 0x3ff));
        }
    }
    *at++ = '"';
    return at;
}
