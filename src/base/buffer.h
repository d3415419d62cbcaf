/* SPDX-License-Identifier: Apache-2.0
 * A growing run of bytes. A failed allocation is remembered in `failed`, so that a writer checks
 * once, at its end. The bytes are always followed by a NUL that is not counted. Not thread-safe. */
#ifndef MARTY_BASE_BUFFER_H
#define MARTY_BASE_BUFFER_H
#include <marty/backend.h>

#include <string.h>

typedef struct marty__buffer {
    char *data;
    size_t size, capacity;
    bool failed;
} marty__buffer;

/** Append bytes for which there may be no room yet. */
void marty__buffer_grow(marty__buffer *buffer, const void *data, size_t size);
/** Append bytes. */
MARTY_INLINE void marty__buffer_add(marty__buffer *buffer, const void *data, size_t size)
{
    if (size >= buffer->capacity - buffer->size || buffer->failed) {
        marty__buffer_grow(buffer, data, size);
        return;
    }
    if (size) {
        memcpy(buffer->data + buffer->size, data, size);
    }
    buffer->size += size;
    buffer->data[buffer->size] = '\0';
}
/** Append a string; NULL adds nothing. */
void marty__buffer_text(marty__buffer *buffer, const char *text);
/** Append one byte. */
MARTY_INLINE void marty__buffer_byte(marty__buffer *buffer, char byte)
{
    marty__buffer_add(buffer, &byte, 1);
}
/** Append printf-like. */
void marty__buffer_format(marty__buffer *buffer, const char *format, ...)
    MARTY__ATTRIBUTE(format(printf, 2, 3));
/** Append a JSON string with its quotes; text must be UTF-8 (bytes that are not become U+FFFD). */
void marty__buffer_json(marty__buffer *buffer, const char *text, size_t size);
/** Room for size more bytes; false (and failed) without memory. */
bool marty__buffer_reserve(marty__buffer *buffer, size_t size);
/** Forget the content, keep the memory. */
void marty__buffer_clear(marty__buffer *buffer);
/** Free the memory; the buffer is empty and usable again. */
void marty__buffer_free(marty__buffer *buffer);
#endif
