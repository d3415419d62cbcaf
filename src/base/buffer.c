/* SPDX-License-Identifier: Apache-2.0
 * Growing byte runs. Not thread-safe. */
#include "buffer.h"

#include "utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool marty__buffer_reserve(marty__buffer *buffer, size_t size)
{
    if (buffer->failed || size > SIZE_MAX / 2 - buffer->size) {
        buffer->failed = true;
        return false;
    }
    size_t need = buffer->size + size + 1;
    if (need <= buffer->capacity) {
        return true;
    }
    size_t capacity = buffer->capacity ? buffer->capacity * 2 : 64;
    capacity = capacity < need ? need : capacity;
    char *data = marty_realloc(buffer->data, capacity);
    if (!data) {
        buffer->failed = true;
        return false;
    }
    buffer->data = data;
    buffer->capacity = capacity;
    return true;
}

void marty__buffer_grow(marty__buffer *buffer, const void *data, size_t size)
{
    if (marty__buffer_reserve(buffer, size)) {
        marty__buffer_add(buffer, data, size);
    }
}

void marty__buffer_text(marty__buffer *buffer, const char *text)
{
    if (text) {
        marty__buffer_add(buffer, text, strlen(text));
    }
}

void marty__buffer_format(marty__buffer *buffer, const char *format, ...)
{
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int size = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (size < 0) {
        buffer->failed = true;
    } else if (marty__buffer_reserve(buffer, (size_t)size)) {
        (void)vsnprintf(buffer->data + buffer->size, (size_t)size + 1, format, again);
        buffer->size += (size_t)size;
    }
    va_end(again);
}

static void json_byte(marty__buffer *buffer, unsigned char byte)
{
    static const char *const shorts[] = {
        ['\b'] = "\\b", ['\t'] = "\\t", ['\n'] = "\\n", ['\f'] = "\\f", ['\r'] = "\\r"};
    if (byte == '"' || byte == '\\') {
        marty__buffer_byte(buffer, '\\');
        marty__buffer_byte(buffer, (char)byte);
    } else if (byte < sizeof shorts / sizeof shorts[0] && shorts[byte]) {
        marty__buffer_text(buffer, shorts[byte]);
    } else if (byte < 0x20 || byte == 0x7f) {
        marty__buffer_format(buffer, "\\u%04x", byte);
    } else {
        marty__buffer_byte(buffer, (char)byte);
    }
}

void marty__buffer_json(marty__buffer *buffer, const char *text, size_t size)
{
    marty__buffer_byte(buffer, '"');
    for (size_t at = 0; at < size;) {
        unsigned char byte = (unsigned char)text[at];
        if (byte < 0x80) {
            json_byte(buffer, byte);
            at++;
            continue;
        }
        size_t length = marty__utf8_next(text + at, size - at, NULL);
        if (length) {
            marty__buffer_add(buffer, text + at, length);
            at += length;
        } else {
            marty__buffer_text(buffer, "\xef\xbf\xbd");
            at++;
        }
    }
    marty__buffer_byte(buffer, '"');
}

void marty__buffer_clear(marty__buffer *buffer)
{
    buffer->size = 0;
    buffer->failed = false;
    if (buffer->data) {
        buffer->data[0] = '\0';
    }
}

void marty__buffer_free(marty__buffer *buffer)
{
    marty_free(buffer->data);
    *buffer = (marty__buffer){0};
}
