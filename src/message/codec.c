/* SPDX-License-Identifier: Apache-2.0
 * Which codec it is, and what all of them share. No state; any thread. */
#include "codec.h"

#include "base/limits.h"
#include "base/time.h"
#include "json_scan.h"
#include "message.h"
#include "rules.h"

static marty__prefix prefix_of(const char *text)
{
    return (marty__prefix){text, strlen(text), strcmp(text, "ce-") == 0};
}

static char prefix_byte(char byte)
{
    return byte == ':' ? '_' : byte >= 'A' && byte <= 'Z' ? (char)(byte + ('a' - 'A')) : byte;
}

int marty__prefix_match(const marty__prefix *prefix, const char *name, size_t size)
{
    if (size <= prefix->size) {
        return -1;
    }
    for (size_t i = 0; i < prefix->size; i++) {
        if (name[i] != prefix->text[i] && prefix_byte(name[i]) != prefix_byte(prefix->text[i])) {
            return -1;
        }
    }
    return (int)prefix->size;
}

#define IS(text, at)                                                                               \
    if (memcmp(name, text, sizeof text - 1) == 0) {                                                \
        return at;                                                                                 \
    }                                                                                              \
    break

#define OR(text, at)                                                                               \
    if (memcmp(name, text, sizeof text - 1) == 0) {                                                \
        return at;                                                                                 \
    }

int marty__attribute_find(const char *name, size_t size)
{
    switch (size) { /* so that each comparison has a size known here, and costs a load or two */
    case 2:
        IS("id", MARTY__ID);
    case 4:
        OR("type", MARTY__TYPE)
        OR("time", MARTY__AT_TIME)
        IS("data", MARTY__AT_DATA);
    case 6:
        IS("source", MARTY__SOURCE);
    case 7:
        IS("subject", MARTY__SUBJECT);
    case 10:
        OR("tracestate", MARTY__TRACE_STATE)
        OR("dataschema", MARTY__SCHEMA)
        IS("expirytime", MARTY__AT_EXPIRES);
    case 11:
        OR("specversion", MARTY__AT_SPECVERSION)
        OR("traceparent", MARTY__TRACE_PARENT)
        OR("causationid", MARTY__CAUSATION)
        IS("data_base64", MARTY__AT_DATA_BASE64);
    case 12:
        IS("partitionkey", MARTY__KEY);
    case 13:
        OR("correlationid", MARTY__CORRELATION)
        IS("martypriority", MARTY__AT_PRIORITY);
    case 15:
        IS("datacontenttype", MARTY__CONTENT_TYPE);
    default:
        break;
    }
    return MARTY__AT_EXTENSION;
}
#undef IS
#undef OR

static marty_err take_priority(marty__draft *draft, const char *text, size_t size, marty_error *why)
{
    const char *wrong = marty__value_wrong(MARTY_ATTRIBUTE_INTEGER, text, size);
    if (wrong) {
        return marty_error_set(why, MARTY_E_MALFORMED, "martypriority: %s", wrong);
    }
    int64_t value = 0;
    for (size_t i = text[0] == '-'; i < size; i++) {
        value = value * 10 + (text[i] - '0');
    }
    draft->priority = (int32_t)(text[0] == '-' ? -value : value);
    return MARTY_OK;
}

marty_err marty__draft_scalar(marty__draft *draft, int attribute, const char *text, size_t size,
                              marty_error *why)
{
    if (attribute == MARTY__AT_PRIORITY) {
        return take_priority(draft, text, size, why);
    }
    if (attribute == MARTY__AT_SPECVERSION) {
        return size == 3 && memcmp(text, "1.0", 3) == 0
                   ? MARTY_OK
                   : marty_error_set(why, MARTY_E_MALFORMED,
                                     "specversion: \"%.*s\", but only 1.0 is understood",
                                     (int)(size < 16 ? size : 16), text);
    }
    int64_t *to = attribute == MARTY__AT_TIME ? &draft->time_us : &draft->expires_us;
    return marty__time_parse(text, size, to)
               ? MARTY_OK
               : marty_error_set(why, MARTY_E_MALFORMED,
                                 "%s: \"%.*s\" is not RFC 3339, such as 2026-01-02T03:04:05Z",
                                 attribute == MARTY__AT_TIME ? "time" : "expirytime",
                                 (int)(size < 40 ? size : 40), text);
}

marty_err marty__draft_unique(const marty__draft *draft, const char *name, size_t size,
                              marty_error *why)
{
    for (size_t i = 0; i < draft->header_count; i++) {
        const marty__draft_header *header = &draft->headers[i];
        if (header->kind != MARTY_HEADER && header->name.size == size &&
            memcmp(header->name.at, name, size) == 0) {
            return marty_error_set(why, MARTY_E_MALFORMED, "attribute %.*s: it is there twice",
                                   (int)(size < 64 ? size : 64), name);
        }
    }
    return MARTY_OK;
}

bool marty__piece_is_json(const marty__piece *content_type)
{
    MARTY__UNSET char small[6 * MARTY__MEDIA_TYPE_BYTES_MAX];
    const char *text = content_type->at;
    size_t size = content_type->size;
    if (content_type->form == MARTY__JSON) {
        const char *parameters = memchr(text, ';', size);
        size = parameters ? (size_t)(parameters - text) : size;
        if (size > sizeof small) {
            return false;
        }
        size = marty__json_unescape(small, text, size);
        text = small;
    }
    return marty__content_is_json(text, size);
}

marty_err marty__draft_require(const marty__draft *draft, const char *prefix, marty_error *why)
{
    static const marty__field required[] = {MARTY__ID, MARTY__SOURCE, MARTY__TYPE};
    for (size_t i = 0; i < sizeof required / sizeof required[0]; i++) {
        if (!draft->fields[required[i]].at) {
            return marty_error_set(why, MARTY_E_MALFORMED,
                                   "%s%s is missing: an event has id, source, specversion and type",
                                   prefix, marty__fields[required[i]].wire);
        }
    }
    return MARTY_OK;
}

marty_err marty__wire_begin(marty__wire *wire, const marty_message *from, size_t headers,
                            size_t bytes, marty_error *why)
{
    size_t text_at = sizeof(marty__block) + headers * sizeof(marty_header);
    wire->block = marty__block_new(text_at + bytes);
    if (!wire->block) {
        return marty_error_set(why, MARTY_E_NO_MEMORY, "no memory to encode message %.64s",
                               from->id);
    }
    wire->header_count = 0;
    wire->cursor = (char *)wire->block + text_at;
    wire->block->message = *from;
    memcpy(wire->block->sizes, marty__block_of(from)->sizes, sizeof wire->block->sizes);
    wire->block->message.marty__self = &wire->block->message;
    return MARTY_OK;
}

marty_message *marty__wire_end(marty__wire *wire, const marty_message *from)
{
    marty__block *block = wire->block;
    block->message.headers = block->headers;
    block->message.header_count = wire->header_count;
    block->parent = marty_message_ref(from);
    block->depth = (uint8_t)(marty__block_of(from)->depth + 1);
    block->cost += marty__block_of(from)->cost;
    return &block->message;
}

marty_err marty__wire_check(const marty__prefix *prefix, const marty_header *header,
                            marty_error *why)
{
    size_t size = strlen(header->name);
    bool taken = marty__same_word(header->name, size, "content-type", 12);
    if (prefix->size) {
        taken = taken || marty__prefix_match(prefix, header->name, size) >= 0;
    } else {
        taken = taken || !marty__attribute_name_wrong(header->name, size);
    }
    if (taken) {
        return marty_error_set(why, MARTY_E_MALFORMED,
                               "header %.64s: this transport would read it as part of the "
                               "envelope (prefix \"%s\"); name it differently",
                               header->name, prefix->text);
    }
    const char *wrong =
        prefix->percent ? marty__header_value_wrong(header->value.data, header->value.size) : NULL;
    return wrong ? marty_error_set(why, MARTY_E_MALFORMED, "header %.64s: %s", header->name, wrong)
                 : MARTY_OK;
}

marty_err marty_message_encode(marty_message **ret_wire, const marty_message *from,
                               marty_format format, const char *prefix, marty_error *why)
{
    marty_message *own = NULL;
    if (!marty__message_counted(from)) {
        marty_err made = marty_message_new(&own, from, NULL, why);
        if (made) {
            return made;
        }
        from = own;
    }
    marty_err err = MARTY_OK;
    marty__prefix with = prefix_of(prefix ? prefix : "ce-");
    switch (format) {
    case MARTY_BINARY:
        err = marty__binary_encode(ret_wire, from, &with, why);
        break;
    case MARTY_STRUCTURED:
        err = marty__structured_encode(ret_wire, from, &with, why);
        break;
    case MARTY_LEGACY:
        err = marty__legacy_encode(ret_wire, from, why);
        break;
    default:
        err = marty_error_set(why, MARTY_E_ARGUMENT, "format: %d is none of marty_format",
                              (int)format);
        break;
    }
    marty_message_unref(own);
    return err;
}

/* What the headers say about the format. */
typedef struct hints {
    const marty_header *content_type;
    bool version;
} hints;

/* Whether the name is that word (lower case), in any case. */
static bool is_word(const char *name, const char *word)
{
    for (; *word; name++, word++) {
        if (prefix_byte(*name) != *word) {
            return false;
        }
    }
    return !*name;
}

static void look(const marty_message *wire, const marty__prefix *prefix, hints *ret_hints)
{
    *ret_hints = (hints){NULL, false};
    for (size_t i = 0; i < wire->header_count; i++) {
        const char *name = wire->headers[i].name;
        if (is_word(name, "content-type")) {
            ret_hints->content_type = &wire->headers[i];
        } else if (!ret_hints->version) {
            size_t at = 0;
            while (at < prefix->size && name[at] &&
                   prefix_byte(name[at]) == prefix_byte(prefix->text[at])) {
                at++;
            }
            ret_hints->version = at == prefix->size && is_word(name + at, "specversion");
        }
    }
}

/* Whether it is application/cloudevents, in JSON. */
static marty_err says_structured(const marty_header *content_type, bool *ret_structured,
                                 marty_error *why)
{
    static const char start[] = "application/cloudevents";
    const char *text = content_type->value.data;
    size_t size = content_type->value.size, length = sizeof start - 1;
    *ret_structured = size >= length && marty__same_word(text, length, start, length);
    if (!*ret_structured || marty__content_is_json(text, size) || size == length ||
        text[length] == ';') {
        bool batch =
            *ret_structured && size > length + 6 && marty__same_word(text + length, 6, "-batch", 6);
        return batch ? marty_error_set(why, MARTY_E_MALFORMED,
                                       "content-type %.*s: batches are not read; send each event "
                                       "in a message of its own",
                                       (int)(size < 64 ? size : 64), text)
                     : MARTY_OK;
    }
    return marty_error_set(why, MARTY_E_MALFORMED,
                           "content-type %.*s: structured events are read as "
                           "application/cloudevents+json only",
                           (int)(size < 64 ? size : 64), text);
}

/* An event in JSON that nothing says so about, as some senders have it. */
static bool looks_structured(const marty_message *wire)
{
    marty__json_scan scan;
    marty__json_value name, value;
    bool first = true;
    marty__json_begin(&scan, wire->data.data, wire->data.size, false);
    if (!marty__json_enter(&scan, '{')) {
        return false;
    }
    while (marty__json_member(&scan, first, &name, &value, 1) > 0) {
        if (name.size == 11 && memcmp(name.at, "specversion", 11) == 0) {
            return true;
        }
        first = false;
    }
    return false;
}

static marty_err check_wire(const marty_message *wire, marty_error *why)
{
    if (!wire || (wire->data.size && !wire->data.data) || (wire->header_count && !wire->headers)) {
        return marty_error_set(why, MARTY_E_ARGUMENT, "wire: NULL where bytes are expected");
    }
    if (wire->header_count > MARTY__DRAFT_HEADERS_MAX + MARTY__AT_EXTENSION) {
        return marty_error_set(why, MARTY_E_TOO_LARGE, "headers: %zu, at most %d are allowed",
                               wire->header_count, (int)MARTY__HEADERS_MAX);
    }
    return MARTY_OK;
}

marty_err marty_message_decode(marty_message **ret_message, const marty_message *wire,
                               const char *prefix, marty_error *why)
{
    marty__prefix with = prefix_of(prefix ? prefix : "ce-");
    bool structured = false;
    hints found;
    marty_err err = check_wire(wire, why);
    if (err) {
        return err;
    }
    look(wire, &with, &found);
    if (found.content_type) {
        err = says_structured(found.content_type, &structured, why);
        if (err) {
            return err;
        }
    }
    if (!structured && found.version) {
        return marty__binary_decode(ret_message, wire, &with, why);
    }
    if (structured || (!found.content_type && looks_structured(wire))) {
        return marty__structured_decode(ret_message, wire, &with, why);
    }
    if (!prefix) {
        return marty__legacy_decode(ret_message, wire, why);
    }
    return marty_error_set(why, MARTY_E_MALFORMED,
                           "not a CloudEvent: neither a header %sspecversion nor the content-type "
                           "application/cloudevents+json",
                           prefix);
}
