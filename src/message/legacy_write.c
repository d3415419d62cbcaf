/* SPDX-License-Identifier: Apache-2.0
 * The envelope of the Python services, writing, byte for byte as json.dumps does. What it has no
 * place for (subject, schema, trace, extensions) goes into its headers, under "ce-" names, where
 * the original leaves it alone; the source is not carried. Any thread. */
#include "base/buffer.h"
#include "base/clock.h"
#include "base/time.h"
#include "base/utf8.h"
#include "codec.h"
#include "json_scan.h"
#include "json_write.h"
#include "rules.h"

#include <strings.h>

static void add_string(marty__buffer *out, const char *text, size_t size)
{
    size_t room = marty__json_room_ascii(text, size);
    if (marty__buffer_reserve(out, room)) {
        char *at = out->data + out->size;
        out->size += (size_t)(marty__json_put_ascii(at, text, size) - at);
        out->data[out->size] = '\0';
    }
}

static void add_text(marty__buffer *out, const char *text)
{
    if (text) {
        add_string(out, text, strlen(text));
    } else {
        marty__buffer_text(out, "null");
    }
}

/* The inside of a JSON string, written anew; returns behind its closing quote. */
static const char *add_json_string(marty__buffer *out, const char *at, const char *end)
{
    marty__buffer_byte(out, '"');
    while (at < end && *at != '"') {
        uint32_t point = 0;
        char text[4];
        size_t taken = marty__json_point(at, (size_t)(end - at), &point);
        if (point >= 0xd800 && point <= 0xdfff) {
            marty__buffer_format(out, "\\u%04x", (unsigned)point);
        } else if (marty__buffer_reserve(out, 16)) {
            size_t size = marty__utf8_put(text, point);
            char quoted[16];
            char *stop = marty__json_put_ascii(quoted, text, size);
            marty__buffer_add(out, quoted + 1, (size_t)(stop - quoted) - 2);
        }
        at += taken ? taken : 1;
    }
    marty__buffer_byte(out, '"');
    return at + 1;
}

/* Valid JSON as Python separates and escapes it; numbers keep their text. */
static void add_json(marty__buffer *out, const char *at, size_t size)
{
    const char *end = at + size;
    while (at < end) {
        char byte = *at++;
        if (byte == '"') {
            at = add_json_string(out, at, end);
        } else if (byte == ',' || byte == ':') {
            marty__buffer_byte(out, byte);
            marty__buffer_byte(out, ' ');
        } else if (byte != ' ' && byte != '\n' && byte != '\r' && byte != '\t') {
            marty__buffer_byte(out, byte);
        }
    }
}

static marty_err add_data(marty__buffer *out, const marty_message *from, marty_error *why)
{
    marty__json_value value;
    const char *data = from->data.data;
    size_t size = from->data.size;
    if (!marty__content_is_json(from->content_type, strlen(from->content_type))) {
        if (!marty__utf8_valid(data, size)) {
            return marty_error_set(why, MARTY_E_MALFORMED,
                                   "data: the legacy envelope carries JSON and text only, and this "
                                   "%.64s is not UTF-8; send base64 text, or use CloudEvents",
                                   from->content_type);
        }
        add_string(out, data, size);
    } else if (!size) {
        marty__buffer_text(out, "null");
    } else if (marty__json_valid(data, size, true, 1, &value)) {
        add_json(out, data, size);
    } else {
        return marty_error_set(why, MARTY_E_MALFORMED,
                               "data: its content type is %.64s, but it is not valid JSON",
                               from->content_type);
    }
    return MARTY_OK;
}

/* A duration as Python writes a float of seconds. */
static void add_seconds(marty__buffer *out, int64_t us)
{
    uint64_t size = us < 0 ? (uint64_t)0 - (uint64_t)us : (uint64_t)us;
    unsigned fraction = (unsigned)(size % 1000000);
    int digits = 6;
    marty__buffer_text(out, us < 0 ? "-" : "");
    if (size && size < 100) { /* below 0.0001: with an exponent */
        unsigned tens = (unsigned)size / 10, ones = (unsigned)size % 10;
        marty__buffer_format(out, "%u", tens ? tens : ones);
        if (tens && ones) {
            marty__buffer_format(out, ".%u", ones);
        }
        marty__buffer_text(out, tens ? "e-05" : "e-06");
        return;
    }
    while (digits > 1 && fraction % 10 == 0) {
        fraction /= 10;
        digits--;
    }
    marty__buffer_format(out, "%llu.%0*u", (unsigned long long)(size / 1000000), digits, fraction);
}

static void add_values(marty__buffer *out, const marty_message *from, size_t first)
{
    const marty_header *header = &from->headers[first];
    size_t count = 0;
    for (size_t i = first; i < from->header_count; i++) {
        count += from->headers[i].kind == header->kind &&
                 strcmp(from->headers[i].name, header->name) == 0;
    }
    if (header->kind == MARTY_ATTRIBUTE_INTEGER || header->kind == MARTY_ATTRIBUTE_BOOLEAN) {
        marty__buffer_add(out, header->value.data, header->value.size);
        return;
    }
    marty__buffer_text(out, count > 1 ? "[" : "");
    for (size_t i = first, put = 0; i < from->header_count; i++) {
        const marty_header *other = &from->headers[i];
        if (other->kind == header->kind && strcmp(other->name, header->name) == 0) {
            marty__buffer_text(out, put++ ? ", " : "");
            add_string(out, other->value.data, other->value.size);
        }
    }
    marty__buffer_text(out, count > 1 ? "]" : "");
}

/* Whether one of the headers before has the same name and class. */
static bool shown(const marty_message *from, size_t at)
{
    const marty_header *header = &from->headers[at];
    for (size_t i = 0; i < at; i++) {
        const marty_header *other = &from->headers[i];
        if ((other->kind == MARTY_HEADER) == (header->kind == MARTY_HEADER) &&
            strcmp(other->name, header->name) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_reply_to(const marty_header *header)
{
    return header->kind != MARTY_HEADER && strcmp(header->name, "replyto") == 0;
}

/* A plain header that would be read as the trace of the event; that one has its own place. */
static bool is_trace(const marty_header *header)
{
    return header->kind == MARTY_HEADER && (strcasecmp(header->name, "traceparent") == 0 ||
                                            strcasecmp(header->name, "tracestate") == 0);
}

/* Names of headers and attributes need no escapes. */
static void add_name(marty__buffer *out, size_t *count, const char *prefix, const char *name)
{
    marty__buffer_text(out, (*count)++ ? ", \"" : "\"");
    marty__buffer_text(out, prefix);
    marty__buffer_text(out, name);
    marty__buffer_text(out, "\": ");
}

static marty_err add_headers(marty__buffer *out, const marty_message *from, marty_error *why)
{
    static const struct {
        marty__field field;
        const char *prefix;
    } carried[] = {{MARTY__SUBJECT, "ce-"},
                   {MARTY__SCHEMA, "ce-"},
                   {MARTY__TRACE_PARENT, ""},
                   {MARTY__TRACE_STATE, ""}};
    size_t count = 0;
    marty__buffer_byte(out, '{');
    for (size_t i = 0; i < from->header_count; i++) {
        const marty_header *header = &from->headers[i];
        bool plain = header->kind == MARTY_HEADER;
        if (is_reply_to(header) || is_trace(header) || shown(from, i)) {
            continue;
        }
        if (plain && !marty__utf8_valid(header->value.data, header->value.size)) {
            return marty_error_set(why, MARTY_E_MALFORMED,
                                   "header %.64s: the legacy envelope carries text only, and this "
                                   "is not UTF-8",
                                   header->name);
        }
        add_name(out, &count, plain ? "" : "ce-", header->name);
        add_values(out, from, i);
    }
    for (size_t i = 0; i < sizeof carried / sizeof carried[0]; i++) {
        const char *text = *marty__field_in(from, carried[i].field);
        if (text) {
            add_name(out, &count, carried[i].prefix, marty__fields[carried[i].field].wire);
            add_text(out, text);
        }
    }
    marty__buffer_byte(out, '}');
    return MARTY_OK;
}

static const char *reply_to(const marty_message *from)
{
    for (size_t i = 0; i < from->header_count; i++) {
        if (is_reply_to(&from->headers[i]) && from->headers[i].value.size) {
            return from->headers[i].value.data;
        }
    }
    return NULL;
}

static marty_err add_metadata(marty__buffer *out, const marty_message *from, marty_error *why)
{
    char time[MARTY__TIME_TEXT];
    int64_t time_us = from->time_us ? from->time_us : marty__wall_us();
    size_t size = marty__time_format(time, time_us) - 1; /* naive: without the Z */
    marty__buffer_text(out, "{\"message_id\": ");
    add_text(out, from->id);
    marty__buffer_text(out, ", \"correlation_id\": ");
    add_text(out, from->correlation_id);
    marty__buffer_text(out, ", \"causation_id\": ");
    bool caused = from->causation_id && strcmp(from->causation_id, from->id) != 0;
    add_text(out, caused ? from->causation_id : NULL);
    marty__buffer_text(out, ", \"timestamp\": ");
    add_string(out, time, size);
    marty__buffer_text(out, ", \"ttl\": ");
    if (from->expires_us && from->expires_us != time_us) {
        add_seconds(out, from->expires_us - time_us);
    } else {
        marty__buffer_text(out, "null");
    }
    marty__buffer_format(out, ", \"priority\": %d, \"content_type\": ", (int)from->priority);
    add_text(out, from->content_type);
    marty__buffer_text(out, ", \"headers\": ");
    marty_err err = add_headers(out, from, why);
    marty__buffer_text(out, ", \"routing_key\": ");
    add_text(out, from->key);
    marty__buffer_text(out, ", \"reply_to\": ");
    add_text(out, reply_to(from));
    marty__buffer_text(out, ", \"message_type\": ");
    add_text(out, from->type);
    marty__buffer_byte(out, '}');
    return err;
}

marty_err marty__legacy_encode(marty_message **ret_wire, const marty_message *from,
                               marty_error *why)
{
    static const char content_type[] = "application/json";
    marty__buffer body = {0};
    marty__wire wire;
    marty__buffer_text(&body, "{\"data\": ");
    marty_err err = add_data(&body, from, why);
    marty__buffer_text(&body, ", \"metadata\": ");
    err = err ? err : add_metadata(&body, from, why);
    marty__buffer_byte(&body, '}');
    if (!err && body.failed) {
        err =
            marty_error_set(why, MARTY_E_NO_MEMORY, "no memory to encode message %.64s", from->id);
    }
    err = err ? err : marty__wire_begin(&wire, from, 0, body.size + 1, why);
    if (!err) {
        memcpy(wire.cursor, body.data, body.size + 1);
        wire.block->message.data = (marty_bytes){wire.cursor, body.size};
        wire.block->message.content_type = content_type;
        wire.block->sizes[MARTY__CONTENT_TYPE] = sizeof content_type - 1;
        *ret_wire = marty__wire_end(&wire, from);
    }
    marty__buffer_free(&body);
    return err;
}
