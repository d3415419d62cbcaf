/* SPDX-License-Identifier: Apache-2.0
 * Growing texts and the encodings that the program prints: JSON strings, base64, and what a
 * terminal may safely see. The only place of the program that asks for memory. */
#include "text.h"

#include <marty/adapter.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static void *must(void *block)
{
    if (!block) {
        (void)fputs("MARTY_E_NO_MEMORY  out of memory\n", stderr);
        exit(1);
    }
    return block;
}

void cli_broken(const char *what)
{
    (void)fprintf(stderr, "MARTY_E_INTERNAL  a bug in marty; please report: %s\n", what);
    abort();
}

void *cli_alloc(size_t size)
{
    return must(marty_alloc_zero(1, size ? size : 1));
}

void *cli_realloc(void *block, size_t size)
{
    return must(marty_realloc(block, size ? size : 1));
}

char *cli_strndup(const char *text, size_t size)
{
    char *copy = cli_alloc(size + 1);
    memcpy(copy, text, size);
    return copy;
}

char *cli_strdup(const char *text)
{
    return text ? cli_strndup(text, strlen(text)) : NULL;
}

static void reserve(cli_text *text, size_t more)
{
    if (text->size + more + 1 > text->room) {
        size_t room = text->room ? text->room * 2 : 128;
        while (room < text->size + more + 1) {
            room *= 2;
        }
        text->data = cli_realloc(text->data, room);
        text->room = room;
    }
}

void cli_text_add(cli_text *text, const void *data, size_t size)
{
    reserve(text, size);
    if (size) {
        memcpy(text->data + text->size, data, size);
    }
    text->size += size;
    text->data[text->size] = '\0';
}

void cli_text_put(cli_text *text, const char *string)
{
    cli_text_add(text, string, strlen(string));
}

MARTY__ATTRIBUTE(format(printf, 2, 0))
static void add_format(cli_text *text, const char *format, va_list arguments)
{
    va_list again;
    int length;
    va_copy(again, arguments);
    length = vsnprintf(NULL, 0, format, arguments);
    if (length > 0) {
        reserve(text, (size_t)length);
        (void)vsnprintf(text->data + text->size, (size_t)length + 1, format, again);
        text->size += (size_t)length;
    }
    va_end(again);
}

void cli_text_format(cli_text *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    add_format(text, format, arguments);
    va_end(arguments);
}

char *cli_textf(const char *format, ...)
{
    cli_text text = {0};
    va_list arguments;
    cli_text_add(&text, "", 0);
    va_start(arguments, format);
    add_format(&text, format, arguments);
    va_end(arguments);
    return text.data;
}

size_t cli_utf8_next(const char *text, size_t size)
{
    const unsigned char *at = (const unsigned char *)text;
    unsigned char low = 0x80, high = 0xbf;
    size_t length, i;
    if (size == 0) {
        return 0;
    }
    if (at[0] < 0x80) {
        return 1;
    }
    length = at[0] >= 0xc2 && at[0] <= 0xdf   ? 2
             : (at[0] & 0xf0) == 0xe0         ? 3
             : at[0] >= 0xf0 && at[0] <= 0xf4 ? 4
                                              : 0;
    if (length == 0 || size < length) {
        return 0;
    }
    low = at[0] == 0xe0 ? 0xa0 : at[0] == 0xf0 ? 0x90 : low;
    high = at[0] == 0xed ? 0x9f : at[0] == 0xf4 ? 0x8f : high;
    if (at[1] < low || at[1] > high) {
        return 0;
    }
    for (i = 2; i < length; i++) {
        if ((at[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return length;
}

bool cli_utf8_valid(const char *text, size_t size)
{
    size_t at = 0;
    while (at < size) {
        size_t length = cli_utf8_next(text + at, size - at);
        if (length == 0) {
            return false;
        }
        at += length;
    }
    return true;
}

void cli_text_json(cli_text *text, const char *string, size_t size)
{
    size_t at = 0;
    cli_text_put(text, "\"");
    while (at < size) {
        unsigned char byte = (unsigned char)string[at];
        size_t length = cli_utf8_next(string + at, size - at);
        if (length == 0) {
            cli_text_put(text, "\xef\xbf\xbd");
            length = 1;
        } else if (byte == '"' || byte == '\\') {
            cli_text_format(text, "\\%c", byte);
        } else if (byte == '\n') {
            cli_text_put(text, "\\n");
        } else if (byte < 0x20 || byte == 0x7f) {
            cli_text_format(text, "\\u%04x", byte);
        } else {
            cli_text_add(text, string + at, length);
        }
        at += length;
    }
    cli_text_put(text, "\"");
}

void cli_text_safe(cli_text *text, const char *string, size_t size)
{
    size_t at = 0;
    while (at < size) {
        unsigned char byte = (unsigned char)string[at];
        size_t length = cli_utf8_next(string + at, size - at);
        /* C1 controls (0x80 to 0x9f) steer terminals too */
        bool c1 = length == 2 && byte == 0xc2 && (unsigned char)string[at + 1] < 0xa0;
        if (byte == '\n') {
            cli_text_put(text, "\\n");
        } else if (byte == '\t') {
            cli_text_put(text, " ");
        } else if (length == 0 || byte < 0x20 || byte == 0x7f) {
            cli_text_format(text, "\\x%02x", byte);
            length = 1;
        } else if (c1) {
            cli_text_format(text, "\\x%02x", (unsigned char)string[at + 1]);
        } else {
            cli_text_add(text, string + at, length);
        }
        at += length;
    }
}

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void cli_text_base64(cli_text *text, const void *data, size_t size)
{
    const unsigned char *in = data;
    size_t at;
    for (at = 0; at < size; at += 3) {
        size_t left = size - at;
        uint32_t group = (uint32_t)in[at] << 16 | (uint32_t)(left > 1 ? in[at + 1] : 0) << 8 |
                         (uint32_t)(left > 2 ? in[at + 2] : 0);
        char out[4] = {base64_digits[group >> 18], base64_digits[group >> 12 & 63],
                       left > 1 ? base64_digits[group >> 6 & 63] : '=',
                       left > 2 ? base64_digits[group & 63] : '='};
        cli_text_add(text, out, sizeof out);
    }
}

bool cli_base64_decode(void **ret_data, size_t *ret_size, const char *text)
{
    size_t size = strlen(text), at, done = 0;
    unsigned char *out;
    if (size % 4) {
        return false;
    }
    out = cli_alloc(size / 4 * 3 + 1);
    for (at = 0; at < size; at += 4) {
        uint32_t group = 0;
        size_t pad = 0, i;
        for (i = 0; i < 4; i++) {
            const char *digit = text[at + i] ? strchr(base64_digits, text[at + i]) : NULL;
            bool padding = text[at + i] == '=' && at + 4 == size && i > 1;
            if ((!digit && !padding) || (digit && pad)) {
                marty_free(out);
                return false;
            }
            pad += padding;
            group = group << 6 | (digit ? (uint32_t)(digit - base64_digits) : 0);
        }
        for (i = 0; i < 3 - pad; i++) {
            out[done++] = (unsigned char)(group >> (16 - 8 * i));
        }
    }
    *ret_data = out;
    *ret_size = done;
    return true;
}

void cli_text_clear(cli_text *text)
{
    text->size = 0;
    if (text->data) {
        text->data[0] = '\0';
    }
}

void cli_text_free(cli_text *text)
{
    marty_free(text->data);
    memset(text, 0, sizeof *text);
}
