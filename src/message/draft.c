/* SPDX-License-Identifier: Apache-2.0
 * From pieces to one allocation: one pass sizes it, one fills it. Layout: block, headers,
 * strings, data, each string and the data with a NUL. No state. */
#include "draft.h"

#include "ascii.h"
#include "base/alloc.h"
#include "base/base64.h"
#include "block.h"
#include "json_scan.h"
#include "message.h"
#include "rules.h"

#include <strings.h>

#define FIELD(field, wire)                                                                         \
    {                                                                                              \
#field, wire, sizeof wire - 1, offsetof(marty_message, field)                              \
    }
const marty__field_info marty__fields[MARTY__FIELDS] = {
    [MARTY__TYPE] = FIELD(type, "type"),
    [MARTY__ID] = FIELD(id, "id"),
    [MARTY__SOURCE] = FIELD(source, "source"),
    [MARTY__SUBJECT] = FIELD(subject, "subject"),
    [MARTY__KEY] = FIELD(key, "partitionkey"),
    [MARTY__CONTENT_TYPE] = FIELD(content_type, "datacontenttype"),
    [MARTY__SCHEMA] = FIELD(schema, "dataschema"),
    [MARTY__CORRELATION] = FIELD(correlation_id, "correlationid"),
    [MARTY__CAUSATION] = FIELD(causation_id, "causationid"),
    [MARTY__TRACE_PARENT] = FIELD(trace_parent, "traceparent"),
    [MARTY__TRACE_STATE] = FIELD(trace_state, "tracestate"),
};

void marty__draft_init(marty__draft *draft)
{
    memset(draft, 0, offsetof(marty__draft, own));
    draft->headers = draft->own;
    draft->header_room = MARTY__DRAFT_HEADERS;
}

void marty__draft_free(marty__draft *draft)
{
    if (draft->headers != draft->own) {
        marty_free(draft->headers);
        draft->headers = draft->own;
    }
    draft->header_count = 0;
}

marty__draft_header *marty__draft_header_add(marty__draft *draft, marty_error *why)
{
    if (draft->header_count == draft->header_room) {
        if (draft->header_count >= MARTY__DRAFT_HEADERS_MAX) {
            marty_error_set(why, MARTY_E_TOO_LARGE,
                            "more than %d headers; put them into the data instead",
                            (int)MARTY__HEADERS_MAX);
            return NULL;
        }
        marty__draft_header *more = marty_alloc(sizeof *more * MARTY__DRAFT_HEADERS_MAX);
        if (!more) {
            marty_error_set(why, MARTY_E_NO_MEMORY, "no memory for the headers of a message");
            return NULL;
        }
        memcpy(more, draft->headers, sizeof *more * draft->header_count);
        draft->headers = more;
        draft->header_room = MARTY__DRAFT_HEADERS_MAX;
    }
    marty__draft_header *header = &draft->headers[draft->header_count++];
    memset(header, 0, sizeof *header);
    return header;
}

static const char raw_mark[4] = {'r', 'a', 'w', '-'};

static size_t piece_room(const marty__piece *piece)
{
    bool grows = piece->form >= MARTY__NAME && piece->form <= MARTY__BYTES;
    return grows ? piece->size * 3 + sizeof raw_mark : piece->size;
}

/* Data stands where any number may be read from it. */
static size_t data_after(size_t text_end)
{
    return (text_end + 15) & ~(size_t)15;
}

static size_t text_after(const marty__draft *draft)
{
    return sizeof(marty__block) + draft->header_count * sizeof(marty_header);
}

static size_t data_place(const marty__draft *draft)
{
    size_t size = text_after(draft);
    for (size_t i = 0; i < MARTY__FIELDS; i++) {
        size += draft->fields[i].at ? piece_room(&draft->fields[i]) + 1 : 0;
    }
    for (size_t i = 0; i < draft->header_count; i++) {
        const marty__draft_header *header = &draft->headers[i];
        size += piece_room(&header->name) + piece_room(&header->value) + 2;
    }
    return data_after(size);
}

static bool is_hex(char byte, unsigned *ret_value)
{
    if (byte >= '0' && byte <= '9') {
        *ret_value = (unsigned)(byte - '0');
        return true;
    }
    char lower = (char)(byte | 0x20);
    *ret_value = (unsigned)(lower - 'a' + 10);
    return lower >= 'a' && lower <= 'f';
}

size_t marty__percent_decode(char *out, const char *text, size_t size)
{
    bool quoted = size >= 2 && text[0] == '"' && text[size - 1] == '"';
    size_t at = quoted ? 1 : 0, end = quoted ? size - 1 : size, length = 0;
    while (at < end) {
        unsigned high = 0, low = 0;
        if (quoted && text[at] == '\\' && at + 1 < end) {
            at++;
        }
        if (text[at] == '%' && end - at >= 3 && is_hex(text[at + 1], &high) &&
            is_hex(text[at + 2], &low)) {
            out[length++] = (char)(high << 4 | low);
            at += 3;
        } else {
            out[length++] = text[at++];
        }
    }
    return length;
}

/* %XX for what a header's name may not have, or (value) for what is not printable. out may be
 * 2 * size before text or more. */
static size_t percent_encode(char *out, const char *text, size_t size, bool value)
{
    static const char hex[] = "0123456789ABCDEF";
    size_t length = 0;
    for (size_t i = 0; i < size; i++) {
        char byte = text[i];
        bool bare = value ? byte >= 0x20 && byte < 0x7f && byte != '%'
                          : !marty__header_name_wrong(&byte, 1);
        if (bare) {
            out[length++] = byte;
        } else {
            out[length++] = '%';
            out[length++] = hex[(unsigned char)byte >> 4];
            out[length++] = hex[(unsigned char)byte & 15];
        }
    }
    return length;
}

/* A header's or attribute's name; returns its length. */
static size_t put_name(char *out, const marty__piece *piece)
{
    size_t size = piece->size, mark = 0;
    const char *text = piece->at;
    if (piece->form == MARTY__LOWER) {
        for (size_t i = 0; i < size; i++) {
            out[i] = text[i] >= 'A' && text[i] <= 'Z' ? (char)(text[i] + ('a' - 'A')) : text[i];
        }
        return size;
    }
    if (piece->form == MARTY__RAW_NAME || piece->form == MARTY__RAW_JSON_NAME) {
        memcpy(out, raw_mark, sizeof raw_mark);
        mark = sizeof raw_mark;
    }
    if (piece->form == MARTY__JSON_NAME || piece->form == MARTY__RAW_JSON_NAME) {
        char *turned = out + mark + 2 * size;
        size = marty__json_unescape(turned, text, size);
        text = turned;
    }
    return mark + percent_encode(out + mark, text, size, false);
}

/* Its bytes to *cursor, which moves past them. False when they were base64 and are not. */
static bool put_bytes(char **cursor, const marty__piece *piece, size_t *ret_size)
{
    size_t size = piece->size;
    bool good = true;
    switch (piece->form) {
    case MARTY__PLAIN:
    case MARTY__ANY:
        marty__copy(*cursor, piece->at, size);
        break;
    case MARTY__JSON:
        size = marty__json_unescape(*cursor, piece->at, size);
        break;
    case MARTY__PERCENT:
        size = marty__percent_decode(*cursor, piece->at, size);
        break;
    case MARTY__JSON_BASE64:
        size = marty__json_unescape(*cursor, piece->at, size);
        good = marty__base64_decode(*cursor, &size, *cursor, size);
        break;
    case MARTY__BASE64:
        good = marty__base64_decode(*cursor, &size, piece->at, size);
        break;
    case MARTY__LOWER:
    case MARTY__NAME:
    case MARTY__RAW_NAME:
    case MARTY__JSON_NAME:
    case MARTY__RAW_JSON_NAME:
        size = put_name(*cursor, piece);
        break;
    case MARTY__BYTES:
        size = percent_encode(*cursor, piece->at, size, true);
        break;
    }
    *cursor += size;
    *ret_size = size;
    return good;
}

static inline const char *put_text(char **cursor, const marty__piece *piece, size_t *ret_size)
{
    const char *text = *cursor;
    if (piece->form == MARTY__PLAIN) {
        *ret_size = piece->size;
        marty__copy(*cursor, piece->at, piece->size);
        *cursor += piece->size;
    } else {
        (void)put_bytes(cursor, piece, ret_size);
    }
    *(*cursor)++ = '\0';
    return text;
}

marty_err marty__field_check(marty__field field, const char *text, size_t size, bool lenient,
                             marty_error *why)
{
    const char *name = marty__fields[field].wire, *wrong = NULL;
    size_t most = field <= MARTY__ID ? MARTY__NAME_BYTES_MAX : MARTY__ATTRIBUTE_BYTES_MAX;
    if (size > most) {
        return marty_error_set(why, MARTY_E_TOO_LARGE, "%s: %zu bytes, at most %zu are allowed",
                               name, size, most);
    }
    if (!size) {
        return marty_error_set(why, MARTY_E_MALFORMED, "%s: it is empty; %s", name,
                               field <= MARTY__SOURCE ? "it is required" : "leave it out instead");
    }
    wrong = marty__text_wrong(text, size);
    if (!wrong && !lenient && (field == MARTY__SOURCE || field == MARTY__SCHEMA)) {
        wrong = marty__uri_wrong(text, size, field == MARTY__SCHEMA);
    } else if (!wrong && !lenient && field == MARTY__CONTENT_TYPE) {
        wrong = marty__content_type_wrong(text, size);
    }
    return wrong ? marty_error_set(why, MARTY_E_MALFORMED, "%s: %s", name, wrong) : MARTY_OK;
}

/* As W3C has it: a bad traceparent takes tracestate with it, a bad tracestate goes alone. */
static void drop_bad_traces(marty__block *block)
{
    marty_message *message = &block->message;
    uint32_t *parent_size = &block->sizes[MARTY__TRACE_PARENT];
    uint32_t *state_size = &block->sizes[MARTY__TRACE_STATE];
    const char *parent = message->trace_parent, *state = message->trace_state;
    bool bad = !parent || marty__trace_parent_wrong(parent, *parent_size);
    if (bad) {
        message->trace_parent = NULL;
        *parent_size = 0;
    }
    if (bad || (state && marty__trace_state_wrong(state, *state_size))) {
        message->trace_state = NULL;
        *state_size = 0;
    }
}

/* What is absent and has the id in its place. */
static void use_id(marty__block *block, marty__field field)
{
    const char **text = marty__field_of(&block->message, field);
    if (!*text) {
        *text = block->message.id;
        block->sizes[field] = block->sizes[MARTY__ID];
    }
}

/* The message is all zero before. */
static marty_err put_fields(marty__block *block, const marty__draft *draft, char **cursor,
                            marty_error *why)
{
    marty_message *message = &block->message;
    const char *words = *cursor;
    for (size_t i = 0; i < MARTY__FIELDS; i++) {
        const marty__piece *piece = &draft->fields[i];
        size_t size = 0;
        if (piece->at) {
            const char *text = put_text(cursor, piece, &size);
            *marty__field_of(message, (marty__field)i) = text;
            if (piece->form != MARTY__PLAIN && i < MARTY__TRACE_PARENT) {
                marty_err err = marty__field_check((marty__field)i, text, size, true, why);
                if (err) {
                    return err;
                }
            }
        }
        block->sizes[i] = (uint32_t)size;
    }
    use_id(block, MARTY__CORRELATION);
    if (draft->first) {
        use_id(block, MARTY__CAUSATION);
    }
    block->words = (uint32_t)(*cursor - words);
    if (draft->lenient && (message->trace_parent || message->trace_state)) {
        drop_bad_traces(block);
    }
    return MARTY_OK;
}

static marty_err put_headers(marty_header *to, const marty__draft *draft, char **cursor,
                             marty_error *why)
{
    for (size_t i = 0; i < draft->header_count; i++, to++) {
        const marty__draft_header *from = &draft->headers[i];
        size_t name_size = 0;
        to->kind = from->kind;
        to->name = put_text(cursor, &from->name, &name_size);
        to->value.data = put_text(cursor, &from->value, &to->value.size);
        if (from->value.form != MARTY__PLAIN && from->kind != MARTY_HEADER) {
            const char *wrong = marty__value_wrong(from->kind, to->value.data, to->value.size);
            if (wrong) {
                return marty_error_set(why, MARTY_E_MALFORMED, "attribute %s: %s", to->name, wrong);
            }
        }
    }
    return MARTY_OK;
}

static const marty_bytes *plain_header(const marty_message *message, marty__field field)
{
    for (size_t i = 0; i < message->header_count; i++) {
        const marty_header *header = &message->headers[i];
        if (header->kind == MARTY_HEADER &&
            strcasecmp(header->name, marty__fields[field].wire) == 0) {
            return &header->value;
        }
    }
    return NULL;
}

/* Without a trace of its own, it has a good one of its plain headers (where it stays, too). */
static void adopt_trace(marty__block *block)
{
    marty_message *message = &block->message;
    const marty_bytes *parent = plain_header(message, MARTY__TRACE_PARENT), *state = NULL;
    if (parent && !marty__trace_parent_wrong(parent->data, parent->size)) {
        message->trace_parent = parent->data;
        block->sizes[MARTY__TRACE_PARENT] = (uint32_t)parent->size;
        state = plain_header(message, MARTY__TRACE_STATE);
        if (state && !marty__trace_state_wrong(state->data, state->size)) {
            message->trace_state = state->data;
            block->sizes[MARTY__TRACE_STATE] = (uint32_t)state->size;
        }
    }
}

static marty_err put_all(marty__block *block, const marty__draft *draft, size_t data_at,
                         marty_error *why)
{
    marty_message *message = &block->message;
    char *data = (char *)block + data_at, *cursor = (char *)block + text_after(draft);
    memset(message, 0, sizeof *message);
    message->marty__self = message;
    message->time_us = draft->time_us;
    message->expires_us = draft->expires_us;
    message->priority = draft->priority;
    message->headers = draft->header_count ? block->headers : NULL;
    message->header_count = draft->header_count;
    message->data.data = data;
    if (draft->data.size && !put_bytes(&data, &draft->data, &message->data.size)) {
        return marty_error_set(why, MARTY_E_MALFORMED, "data_base64: it is not base64 (RFC 4648)");
    }
    *data = '\0';
    marty_err err = put_fields(block, draft, &cursor, why);
    err = err ? err : put_headers(block->headers, draft, &cursor, why);
    if (!err && message->header_count && !message->trace_parent) {
        adopt_trace(block);
    }
    return err;
}

marty_err marty__draft_finish(marty__draft *draft, marty_message **ret_message, marty_error *why)
{
    size_t data_at = data_place(draft);
    marty_err err = MARTY_OK;
    if (draft->data.size > SIZE_MAX / 4) {
        marty__draft_free(draft);
        return marty_error_set(why, MARTY_E_TOO_LARGE, "data: %zu bytes are more than memory has",
                               draft->data.size);
    }
    marty__block *block = marty__block_new(data_at + draft->data.size + 1);
    if (block) {
        err = put_all(block, draft, data_at, why);
    } else {
        err = marty_error_set(why, MARTY_E_NO_MEMORY, "no memory for a message with %zu bytes",
                              draft->data.size);
    }
    marty__draft_free(draft);
    if (err) {
        marty_message_unref(block ? &block->message : NULL);
        return err;
    }
    *ret_message = &block->message;
    return MARTY_OK;
}

/* ---- one like another */
static void move(const char **text, ptrdiff_t by)
{
    if (*text) {
        *text += by;
    }
}

/* Strings that were copied with their message stand as far from it as before. All but the first
 * ones are seldom there. */
static void move_words(marty_message *message, ptrdiff_t by)
{
    message->type += by;
    message->id += by;
    message->source += by;
    message->content_type += by;
    message->correlation_id += by;
    move(&message->causation_id, by);
    move(&message->subject, by);
    move(&message->key, by);
    move(&message->schema, by);
    move(&message->trace_parent, by);
    move(&message->trace_state, by);
}

marty_err marty__draft_repeat(const marty_message *like, marty_bytes data,
                              marty_message **ret_message, marty_error *why)
{
    const marty__block *from = marty__block_of(like);
    size_t text_end = sizeof(marty__block) + from->words, data_at = data_after(text_end);
    marty__block *block =
        data.size > SIZE_MAX / 4 ? NULL : marty__block_new(data_at + data.size + 1);
    if (!block) {
        return marty_error_set(why, MARTY_E_NO_MEMORY, "no memory for a message with %zu bytes",
                               data.size);
    }
    marty_message *message = &block->message;
    char *bytes = (char *)block + data_at;
    memcpy(block->sizes, from->sizes, offsetof(marty__block, parent));
    memcpy(message, like, text_end - offsetof(marty__block, message));
    move_words(message, (const char *)message - (const char *)like);
    message->marty__self = message;
    message->data = (marty_bytes){bytes, data.size};
    if (data.size) {
        memcpy(bytes, data.data, data.size);
    }
    bytes[data.size] = '\0';
    *ret_message = message;
    return MARTY_OK;
}
