/* SPDX-License-Identifier: Apache-2.0
 * Binary mode, writing: attributes become headers, the data is the body, both borrowed from the
 * event; only what must be percent-encoded, prefixed or formatted is written anew. Any thread. */
#include "ascii.h"
#include "base/time.h"
#include "codec.h"
#include "rules.h"

#include <stdio.h>

enum { SCALARS = 3 }; /* time, expirytime, martypriority */
#define NAMES(prefix)                                                                              \
    {                                                                                              \
        prefix "type", prefix "id", prefix "source", prefix "subject", prefix "partitionkey",      \
            "content-type", prefix "dataschema", prefix "correlationid", prefix "causationid",     \
            prefix "traceparent", prefix "tracestate", prefix "time", prefix "expirytime",         \
            prefix "martypriority", prefix "specversion"                                           \
    }
typedef const char *names[MARTY__AT_SPECVERSION + 1];
static const names dash_names = NAMES("ce-"), underscore_names = NAMES("ce_"),
                   bare_names = NAMES("");

/* Names that live for ever for the usual prefixes, NULL for others. */
static const char *const *static_names(const marty__prefix *prefix)
{
    if (prefix->percent) {
        return dash_names;
    }
    return strcmp(prefix->text, "ce_") == 0 ? underscore_names : !prefix->size ? bare_names : NULL;
}

static bool is_bare(char byte)
{
    return byte > 0x20 && byte < 0x7f && byte != '"' && byte != '%';
}

/* Whether all of it is what a header carries as it is. */
static bool bare(const char *text, size_t size)
{
    return marty__run(text, size, '"', '%', ' ') == size;
}

static size_t percent_encode(char *out, const char *text, size_t size)
{
    static const char hex[] = "0123456789ABCDEF";
    char *at = out;
    for (size_t i = 0; i < size; i++) {
        if (is_bare(text[i])) {
            *at++ = text[i];
        } else {
            *at++ = '%';
            *at++ = hex[(unsigned char)text[i] >> 4];
            *at++ = hex[(unsigned char)text[i] & 15];
        }
    }
    return (size_t)(at - out);
}

/* What one attribute will take of the room for bytes. */
static size_t value_room(const marty__prefix *prefix, const char *text, size_t size)
{
    return prefix->percent && !bare(text, size) ? size * 3 + 1 : 0;
}

static const char *put_name(marty__wire *wire, const marty__prefix *prefix, const char *name)
{
    char *at = wire->cursor;
    size_t size = strlen(name) + 1;
    memcpy(at, prefix->text, prefix->size);
    memcpy(at + prefix->size, name, size);
    wire->cursor += prefix->size + size;
    return at;
}

static void put_value(marty__wire *wire, const char *name, const char *text, size_t size,
                      size_t room)
{
    if (room) {
        size_t length = percent_encode(wire->cursor, text, size);
        wire->cursor[length] = '\0';
        marty__wire_header(wire, name, wire->cursor, length);
        wire->cursor += length + 1;
    } else {
        marty__wire_header(wire, name, text, size);
    }
}

typedef struct plan {
    size_t sizes[MARTY__FIELDS], rooms[MARTY__FIELDS], bytes;
    const char *const *names;
    bool nested; /* the data is an event itself: its content type must not announce this one */
} plan;

static bool is_nested(const char *content_type, size_t size)
{
    static const char start[] = "application/cloudevents";
    return size >= sizeof start - 1 &&
           marty__same_word(content_type, sizeof start - 1, start, sizeof start - 1);
}

/* Sizes of all; refuses headers that this transport would misread. */
static marty_err measure(plan *to, const marty_message *from, const marty__prefix *prefix,
                         marty_error *why)
{
    to->names = static_names(prefix);
    to->bytes = SCALARS * MARTY__TIME_TEXT + prefix->size + sizeof "datacontenttype";
    to->nested = is_nested(from->content_type, marty__block_of(from)->sizes[MARTY__CONTENT_TYPE]);
    if (!to->names) {
        to->bytes += (MARTY__AT_SPECVERSION + 1) * (prefix->size + sizeof "datacontenttype");
    }
    for (size_t i = 0; i < MARTY__FIELDS; i++) {
        const char *text = *marty__field_in(from, (marty__field)i);
        size_t size = marty__block_of(from)->sizes[i];
        to->sizes[i] = size;
        bool attribute = text && (i != MARTY__CONTENT_TYPE || to->nested);
        to->rooms[i] = attribute ? value_room(prefix, text, size) : 0;
        to->bytes += to->rooms[i];
    }
    for (size_t i = 0; i < from->header_count; i++) {
        const marty_header *header = &from->headers[i];
        if (header->kind != MARTY_HEADER) {
            to->bytes += prefix->size + strlen(header->name) + 1 +
                         value_room(prefix, header->value.data, header->value.size);
            continue;
        }
        marty_err err = marty__wire_check(prefix, header, why);
        if (err) {
            return err;
        }
    }
    return MARTY_OK;
}

static const char *name_of(marty__wire *wire, const marty__prefix *prefix, const plan *with, int at)
{
    if (at == MARTY__CONTENT_TYPE) {
        return with->nested ? put_name(wire, prefix, marty__fields[at].wire) : "content-type";
    }
    return with->names ? with->names[at] : put_name(wire, prefix, bare_names[at]);
}

static void put_scalars(marty__wire *wire, const marty__prefix *prefix, const plan *with,
                        const marty_message *from)
{
    const int64_t times[] = {from->time_us, from->expires_us};
    for (int i = 0; i < 2; i++) {
        if (times[i]) {
            const char *name = name_of(wire, prefix, with, MARTY__AT_TIME + i);
            size_t size = marty__time_format(wire->cursor, times[i]);
            marty__wire_header(wire, name, wire->cursor, size);
            wire->cursor += size + 1;
        }
    }
    if (from->priority) {
        const char *name = name_of(wire, prefix, with, MARTY__AT_PRIORITY);
        int size = snprintf(wire->cursor, MARTY__TIME_TEXT, "%d", (int)from->priority);
        marty__wire_header(wire, name, wire->cursor, (size_t)size);
        wire->cursor += size + 1;
    }
}

static void put_headers(marty__wire *wire, const marty__prefix *prefix, const marty_message *from)
{
    for (size_t i = 0; i < from->header_count; i++) {
        const marty_header *header = &from->headers[i];
        if (header->kind == MARTY_HEADER) {
            wire->block->headers[wire->header_count++] = *header;
        } else {
            const char *name = put_name(wire, prefix, header->name);
            put_value(wire, name, header->value.data, header->value.size,
                      value_room(prefix, header->value.data, header->value.size));
        }
    }
}

marty_err marty__binary_encode(marty_message **ret_wire, const marty_message *from,
                               const marty__prefix *prefix, marty_error *why)
{
    plan with;
    marty__wire wire;
    marty_err err = measure(&with, from, prefix, why);
    err = err ? err
              : marty__wire_begin(&wire, from, MARTY__AT_SPECVERSION + 1 + from->header_count,
                                  with.bytes, why);
    if (err) {
        return err;
    }
    marty__wire_header(&wire, name_of(&wire, prefix, &with, MARTY__AT_SPECVERSION), "1.0", 3);
    for (int i = 0; i < MARTY__FIELDS; i++) {
        const char *text = *marty__field_in(from, (marty__field)i);
        if (text) {
            put_value(&wire, name_of(&wire, prefix, &with, i), text, with.sizes[i], with.rooms[i]);
        }
    }
    put_scalars(&wire, prefix, &with, from);
    put_headers(&wire, prefix, from);
    *ret_wire = marty__wire_end(&wire, from);
    return MARTY_OK;
}
