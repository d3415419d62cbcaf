/* SPDX-License-Identifier: Apache-2.0
 * The promises of the message layer as checks, for the targets that decode events. */
#include "tests/fuzz/event.h"

#include "base/utf8.h"
#include "message/rules.h"
#include "tests/fuzz/fuzz.h"

static const char *const *fields_of(const marty_message *event, size_t *ret_count)
{
    static const char *fields[8];
    fields[0] = event->subject;
    fields[1] = event->key;
    fields[2] = event->schema;
    fields[3] = event->causation_id;
    fields[4] = event->trace_parent;
    fields[5] = event->trace_state;
    *ret_count = 6;
    return fields;
}

static void check_text(const char *text)
{
    FUZZ_CHECK(text[0]);
    FUZZ_CHECK(!marty__text_wrong(text, strlen(text)));
}

static void check_whole(const marty_message *event)
{
    size_t count = 0;
    const char *const *fields = fields_of(event, &count);
    FUZZ_CHECK(event->marty__self == event);
    check_text(event->id);
    check_text(event->type);
    check_text(event->source);
    check_text(event->content_type);
    check_text(event->correlation_id);
    for (size_t i = 0; i < count; i++) {
        if (fields[i]) {
            check_text(fields[i]);
        }
    }
    FUZZ_CHECK(!event->trace_parent ||
               !marty__trace_parent_wrong(event->trace_parent, strlen(event->trace_parent)));
    FUZZ_CHECK(!event->trace_state || event->trace_parent);
    FUZZ_CHECK(event->data.data && ((const char *)event->data.data)[event->data.size] == '\0');
    for (size_t i = 0; i < event->header_count; i++) {
        const marty_header *header = &event->headers[i];
        size_t size = strlen(header->name);
        FUZZ_CHECK(((const char *)header->value.data)[header->value.size] == '\0');
        FUZZ_CHECK(marty_message_header(event, header->name).data != NULL);
        if (header->kind == MARTY_HEADER) {
            FUZZ_CHECK(!marty__header_name_wrong(header->name, size));
        } else {
            FUZZ_CHECK(!marty__attribute_name_wrong(header->name, size));
            FUZZ_CHECK(!marty__value_wrong(header->kind, header->value.data, header->value.size));
        }
    }
}

static bool is_space(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r';
}

/* JSON data may lose white space around it in structured mode. */
static marty_bytes trimmed(const marty_message *event)
{
    const char *at = event->data.data;
    size_t size = event->data.size;
    if (marty__content_is_json(event->content_type, strlen(event->content_type))) {
        while (size && is_space(at[size - 1])) {
            size--;
        }
        for (; size && is_space(*at); at++) {
            size--;
        }
    }
    return (marty_bytes){at, size};
}

static bool same_bytes(marty_bytes a, marty_bytes b)
{
    return a.size == b.size && (!a.size || memcmp(a.data, b.data, a.size) == 0);
}

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool same_fields(const marty_message *a, const marty_message *b)
{
    return same_text(a->type, b->type) && same_text(a->id, b->id) &&
           same_text(a->source, b->source) && same_text(a->subject, b->subject) &&
           same_text(a->key, b->key) && same_text(a->content_type, b->content_type) &&
           same_text(a->schema, b->schema) && same_text(a->correlation_id, b->correlation_id) &&
           same_text(a->causation_id, b->causation_id) &&
           same_text(a->trace_parent, b->trace_parent) &&
           same_text(a->trace_state, b->trace_state) && a->time_us == b->time_us &&
           a->expires_us == b->expires_us && a->priority == b->priority &&
           a->header_count == b->header_count;
}

/* The n-th header of that class: plain ones and attributes keep their order among themselves. */
static const marty_header *nth(const marty_message *event, bool plain, size_t n)
{
    for (size_t i = 0; i < event->header_count; i++) {
        if ((event->headers[i].kind == MARTY_HEADER) == plain && n-- == 0) {
            return &event->headers[i];
        }
    }
    return NULL;
}

static void check_same(const marty_message *a, const marty_message *b)
{
    FUZZ_CHECK(same_fields(a, b));
    FUZZ_CHECK(same_bytes(trimmed(a), trimmed(b)));
    for (int plain = 0; plain < 2; plain++) {
        for (size_t n = 0;; n++) {
            const marty_header *one = nth(a, plain, n), *two = nth(b, plain, n);
            FUZZ_CHECK(!one == !two);
            if (!one) {
                break;
            }
            FUZZ_CHECK(strcmp(one->name, two->name) == 0 && same_bytes(one->value, two->value));
        }
    }
}

/* There and back; what cannot go that way (a header that would be misread) is refused in words. */
static void check_way(const marty_message *event, marty_format format, const char *prefix)
{
    marty_message *wire = NULL, *back = NULL;
    marty_error why = {0};
    marty_err err = marty_message_encode(&wire, event, format, prefix, &why);
    if (err) {
        FUZZ_CHECK(err == MARTY_E_MALFORMED && why.text[0] && marty__utf8_valid(why.text, 1));
        return;
    }
    FUZZ_CHECK(marty_message_decode(&back, wire, prefix, &why) == MARTY_OK);
    check_same(event, back);
    marty_message_unref(back);
    marty_message_unref(wire);
}

/* The legacy envelope writes JSON its own way, and groups headers: so the second writing must be
 * the first one again. */
static void check_legacy(const marty_message *event)
{
    marty_message *wire = NULL, *back = NULL, *again = NULL;
    marty_error why = {0};
    if (marty_message_encode(&wire, event, MARTY_LEGACY, NULL, &why)) {
        FUZZ_CHECK(why.code == MARTY_E_MALFORMED && why.text[0]);
        return;
    }
    FUZZ_CHECK(marty_message_decode(&back, wire, NULL, &why) == MARTY_OK);
    FUZZ_CHECK(strcmp(back->id, event->id) == 0 && strcmp(back->type, event->type) == 0);
    int64_t left_us = event->expires_us / 2 - event->time_us / 2;
    bool exact = left_us < INT64_C(1) << 50 && left_us > -(INT64_C(1) << 50);
    if (event->time_us && exact) {
        FUZZ_CHECK(marty_message_encode(&again, back, MARTY_LEGACY, NULL, &why) == MARTY_OK);
        FUZZ_CHECK(same_bytes(wire->data, again->data));
    }
    marty_message_unref(again);
    marty_message_unref(back);
    marty_message_unref(wire);
}

void fuzz_event(const marty_message *event)
{
    check_whole(event);
    check_way(event, MARTY_BINARY, "ce-");
    check_way(event, MARTY_BINARY, "ce_");
    check_way(event, MARTY_STRUCTURED, "ce-");
    check_legacy(event);
}

size_t fuzz_wire(marty_message *wire, marty_header headers[], size_t most, char *text, size_t size)
{
    size_t count = 0;
    char *at = text, *end = text + size;
    while (at < end && *at != '\n') {
        char *line = at, *stop = memchr(at, '\n', (size_t)(end - at));
        stop = stop ? stop : end;
        char *colon = memchr(line, ':', (size_t)(stop - line));
        at = stop < end ? stop + 1 : end;
        if (!colon || count == most) {
            continue;
        }
        *colon = '\0';
        char *value = colon + 1 < stop && colon[1] == ' ' ? colon + 2 : colon + 1;
        headers[count++] = (marty_header){line, {value, (size_t)(stop - value)}, MARTY_HEADER};
    }
    at += at < end;
    *wire = (marty_message){
        .headers = headers, .header_count = count, .data = {at, (size_t)(end - at)}};
    return count;
}
