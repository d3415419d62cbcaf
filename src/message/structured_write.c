/* SPDX-License-Identifier: Apache-2.0
 * Structured mode, writing: the event as one JSON object of a fixed shape. JSON data goes in as it
 * is (white space around it aside), text as a string, all else as base64. Any thread. */
#include "ascii.h"
#include "base/base64.h"
#include "base/time.h"
#include "base/utf8.h"
#include "codec.h"
#include "json_scan.h"
#include "json_write.h"
#include "rules.h"

#include <stdio.h>

enum { OPENING = 32, SCALAR = 64 }; /* room for {"specversion":"1.0" and } and for a scalar */

typedef enum body { NOTHING, RAW, TEXT, BASE64 } body;
typedef struct plan {
    size_t sizes[MARTY__FIELDS], bytes, plain;
    bool simple[MARTY__FIELDS]; /* needs no escapes */
    body body;
    marty_bytes data;
} plan;

static void measure_data(plan *to, const marty_message *from)
{
    const char *type = from->content_type;
    size_t type_size = to->sizes[MARTY__CONTENT_TYPE];
    marty__json_value value;
    to->data = from->data;
    if (!from->data.size) {
        to->body = NOTHING;
        return;
    }
    to->body = BASE64;
    if (marty__content_is_json(type, type_size)) {
        if (marty__json_valid(from->data.data, from->data.size, false, 1, &value)) {
            bool string = value.kind == MARTY__JSON_STRING;
            to->body = RAW;
            to->data.data = string ? value.at - 1 : value.at;
            to->data.size = string ? value.size + 2 : value.size;
        }
    } else if (marty__content_is_text(type, type_size) &&
               marty__utf8_valid(from->data.data, from->data.size)) {
        to->body = TEXT;
    }
    to->bytes += to->body == RAW ? to->data.size + sizeof ",\"data\":"
                 : to->body == TEXT
                     ? marty__json_room(to->data.data, to->data.size) + 10
                     : marty__base64_size(to->data.size) + sizeof ",\"data_base64\":\"\"";
}

static marty_err measure(plan *to, const marty_message *from, const marty__prefix *prefix,
                         marty_error *why)
{
    to->bytes = OPENING + 3 * SCALAR;
    to->plain = 0;
    for (size_t i = 0; i < MARTY__FIELDS; i++) {
        const char *text = *marty__field_in(from, (marty__field)i);
        if (text) {
            size_t size = marty__block_of(from)->sizes[i];
            to->sizes[i] = size;
            to->simple[i] = marty__plain_run(text, size, true) == size;
            to->bytes += marty__fields[i].wire_size + 6 +
                         (to->simple[i] ? size : marty__json_room(text, size));
        }
    }
    for (size_t i = 0; i < from->header_count; i++) {
        const marty_header *header = &from->headers[i];
        if (header->kind != MARTY_HEADER) {
            to->bytes +=
                strlen(header->name) + 6 + marty__json_room(header->value.data, header->value.size);
            continue;
        }
        marty_err err = marty__wire_check(prefix, header, why);
        if (err) {
            return err;
        }
        to->plain++;
    }
    measure_data(to, from);
    return MARTY_OK;
}

static inline char *put(char *at, const char *text, size_t size)
{
    marty__copy(at, text, size);
    return at + size;
}

/* ,"name": */
static char *put_name(char *at, const char *name, size_t size)
{
    at = put(at, ",\"", 2);
    at = put(at, name, size);
    return put(at, "\":", 2);
}

static char *put_scalars(char *at, const marty_message *from)
{
    static const char *const names[] = {",\"time\":\"", ",\"expirytime\":\""};
    const int64_t times[] = {from->time_us, from->expires_us};
    for (size_t i = 0; i < 2; i++) {
        if (times[i]) {
            at = put(at, names[i], strlen(names[i]));
            at += marty__time_format(at, times[i]);
            *at++ = '"';
        }
    }
    if (from->priority) {
        at += snprintf(at, SCALAR, ",\"martypriority\":%d", (int)from->priority);
    }
    return at;
}

static char *put_attributes(char *at, const marty_message *from)
{
    for (size_t i = 0; i < from->header_count; i++) {
        const marty_header *header = &from->headers[i];
        if (header->kind == MARTY_HEADER) {
            continue;
        }
        at = put_name(at, header->name, strlen(header->name));
        if (header->kind == MARTY_ATTRIBUTE_INTEGER || header->kind == MARTY_ATTRIBUTE_BOOLEAN) {
            at = put(at, header->value.data, header->value.size);
        } else {
            at = marty__json_put(at, header->value.data, header->value.size);
        }
    }
    return at;
}

static char *put_data(char *at, const plan *with)
{
    switch (with->body) {
    case NOTHING:
        break;
    case RAW:
        at = put(at, ",\"data\":", 8);
        at = put(at, with->data.data, with->data.size);
        break;
    case TEXT:
        at = put(at, ",\"data\":", 8);
        at = marty__json_put(at, with->data.data, with->data.size);
        break;
    case BASE64:
        at = put(at, ",\"data_base64\":\"", 16);
        at += marty__base64_encode(at, with->data.data, with->data.size);
        *at++ = '"';
        break;
    }
    return at;
}

static char *put_body(char *at, const marty_message *from, const plan *with)
{
    at = put(at, "{\"specversion\":\"1.0\"", 20);
    for (size_t i = 0; i < MARTY__FIELDS; i++) {
        const char *text = *marty__field_in(from, (marty__field)i);
        if (!text) {
            continue;
        }
        at = put_name(at, marty__fields[i].wire, marty__fields[i].wire_size);
        if (with->simple[i]) {
            *at++ = '"';
            at = put(at, text, with->sizes[i]);
            *at++ = '"';
        } else {
            at = marty__json_put(at, text, with->sizes[i]);
        }
    }
    at = put_scalars(at, from);
    at = put_attributes(at, from);
    at = put_data(at, with);
    *at++ = '}';
    *at = '\0';
    return at;
}

marty_err marty__structured_encode(marty_message **ret_wire, const marty_message *from,
                                   const marty__prefix *prefix, marty_error *why)
{
    static const char content_type[] = "application/cloudevents+json";
    plan with;
    marty__wire wire;
    marty_err err = measure(&with, from, prefix, why);
    err = err ? err : marty__wire_begin(&wire, from, 1 + with.plain, with.bytes, why);
    if (err) {
        return err;
    }
    marty__wire_header(&wire, "content-type", content_type, sizeof content_type - 1);
    for (size_t i = 0; with.plain && i < from->header_count; i++) {
        if (from->headers[i].kind == MARTY_HEADER) {
            wire.block->headers[wire.header_count++] = from->headers[i];
        }
    }
    wire.block->message.content_type = content_type;
    wire.block->sizes[MARTY__CONTENT_TYPE] = sizeof content_type - 1;
    wire.block->message.data.data = wire.cursor;
    wire.block->message.data.size = (size_t)(put_body(wire.cursor, from, &with) - wire.cursor);
    *ret_wire = marty__wire_end(&wire, from);
    return MARTY_OK;
}
