/* SPDX-License-Identifier: Apache-2.0
 * Binary mode, reading: headers with the prefix are attributes, the body is the data. Lenient in
 * names (any case), in percent-encoding (too much of it, none of it, quoted values) and in where
 * the content type stands. Any thread. */
#include "base/limits.h"
#include "codec.h"
#include "json_scan.h"
#include "rules.h"

#include "ascii.h"

enum { SMALL = 64, NAME_MAX_SIZE = MARTY__NAME_BYTES_MAX };

/* Bytes that are fine as they are, or will be turned and checked when the message is made. */
static marty__piece value_piece(const marty_bytes *value, bool percent)
{
    const char *text = value->data ? value->data : "";
    char other = percent ? '%' : '\n', quote = percent ? '"' : '\n';
    bool plain = marty__run(text, value->size, other, quote, quote) == value->size;
    return (marty__piece){text, value->size,
                          plain     ? MARTY__PLAIN
                          : percent ? MARTY__PERCENT
                                    : MARTY__ANY};
}

static marty_err check_value(const marty_header *header, marty_error *why)
{
    return header->value.size <= MARTY__ATTRIBUTE_BYTES_MAX
               ? MARTY_OK
               : marty_error_set(why, MARTY_E_TOO_LARGE,
                                 "header %.64s: %zu bytes, at most %d are allowed", header->name,
                                 header->value.size, (int)MARTY__ATTRIBUTE_BYTES_MAX);
}

static marty_err take_scalar(marty__draft *draft, int attribute, const marty__piece *piece,
                             marty_error *why)
{
    MARTY__UNSET char small[SMALL];
    if (piece->form != MARTY__PERCENT || piece->size > sizeof small) {
        return marty__draft_scalar(draft, attribute, piece->at, piece->size, why);
    }
    size_t size = marty__percent_decode(small, piece->at, piece->size);
    return marty__draft_scalar(draft, attribute, small, size, why);
}

static marty_err take_field(marty__draft *draft, marty__field field, const marty__piece *piece,
                            marty_error *why)
{
    if (!piece->size && field > MARTY__SOURCE) {
        return MARTY_OK; /* empty is as good as absent */
    }
    size_t most = field <= MARTY__ID ? MARTY__NAME_BYTES_MAX : MARTY__ATTRIBUTE_BYTES_MAX;
    if (piece->form == MARTY__PLAIN && (!piece->size || piece->size > most)) {
        return marty__field_check(field, piece->at, piece->size, true, why);
    }
    draft->fields[field] = *piece;
    return MARTY_OK;
}

/* Lower case of a name, when it has only what an attribute's name has. */
static marty_err lower_name(char out[NAME_MAX_SIZE], const char *name, size_t size,
                            marty_error *why)
{
    if (size > NAME_MAX_SIZE) {
        return marty_error_set(why, MARTY_E_TOO_LARGE,
                               "attribute name %.32s...: %zu bytes, at most %d are allowed", name,
                               size, (int)NAME_MAX_SIZE);
    }
    for (size_t i = 0; i < size; i++) {
        char byte = name[i];
        out[i] = byte >= 'A' && byte <= 'Z' ? (char)(byte + ('a' - 'A')) : byte;
    }
    const char *wrong = marty__attribute_name_wrong(out, size);
    return wrong ? marty_error_set(why, MARTY_E_MALFORMED, "attribute name \"%.*s\": %s",
                                   (int)(size < 64 ? size : 64), name, wrong)
                 : MARTY_OK;
}

static marty_err take_extension(marty__draft *draft, const char *name, size_t size,
                                const char *lower, const marty__piece *value, marty_error *why)
{
    marty_err err = MARTY_OK;
    for (size_t i = 0; !err && i < draft->header_count; i++) {
        const marty__draft_header *other = &draft->headers[i];
        if (other->kind != MARTY_HEADER &&
            marty__same_word(other->name.at, other->name.size, name, size)) {
            err = marty__draft_unique(draft, other->name.at, size, why);
        }
    }
    marty__draft_header *header = err ? NULL : marty__draft_header_add(draft, why);
    if (!header) {
        return err                                              ? err
               : draft->header_count < MARTY__DRAFT_HEADERS_MAX ? MARTY_E_NO_MEMORY
                                                                : MARTY_E_TOO_LARGE;
    }
    header->name = marty__plain(name, size);
    header->name.form = memcmp(name, lower, size) == 0 ? MARTY__PLAIN : MARTY__LOWER;
    header->value = *value;
    header->kind = MARTY_ATTRIBUTE;
    return MARTY_OK;
}

static marty_err take_attribute(marty__draft *draft, uint32_t *seen, const char *name, size_t size,
                                const marty__piece *value, marty_error *why)
{
    MARTY__UNSET char lower[NAME_MAX_SIZE];
    const char *key = name;
    int at = marty__attribute_find(name, size);
    if (at == MARTY__AT_EXTENSION) {
        marty_err err = lower_name(lower, name, size, why);
        if (err) {
            return err;
        }
        key = lower;
        at = marty__attribute_find(lower, size);
    }
    if (at == MARTY__AT_EXTENSION) {
        return take_extension(draft, name, size, lower, value, why);
    }
    if (at == MARTY__AT_DATA || at == MARTY__AT_DATA_BASE64 || *seen & 1u << at) {
        return marty_error_set(why, MARTY_E_MALFORMED, "attribute %.*s: %s", (int)size, key,
                               *seen & 1u << at ? "it is there twice" : "no such attribute");
    }
    *seen |= 1u << at;
    return at < MARTY__FIELDS ? take_field(draft, (marty__field)at, value, why)
                              : take_scalar(draft, at, value, why);
}

static marty_err add_plain(marty__draft *draft, const marty_header *from, size_t size,
                           marty_error *why)
{
    if (!size) {
        return marty_error_set(why, MARTY_E_MALFORMED, "a header has no name");
    }
    marty__draft_header *header = marty__draft_header_add(draft, why);
    if (!header) {
        return draft->header_count < MARTY__DRAFT_HEADERS_MAX ? MARTY_E_NO_MEMORY
                                                              : MARTY_E_TOO_LARGE;
    }
    header->name = marty__plain(from->name, size);
    header->name.form = marty__header_name_reserved(from->name, size) ? MARTY__RAW_NAME
                        : marty__header_name_wrong(from->name, size)  ? MARTY__NAME
                                                                      : MARTY__PLAIN;
    header->value = marty__plain(from->value.data ? from->value.data : "", from->value.size);
    header->kind = MARTY_HEADER;
    return MARTY_OK;
}

static bool is_content_type(const char *name, size_t size)
{
    return size == 12 && marty__same_word(name, size, "content-type", 12);
}

marty_err marty__draft_plain(marty__draft *draft, const marty_message *wire,
                             const marty__prefix *prefix, marty_error *why)
{
    for (size_t i = 0; i < wire->header_count; i++) {
        const marty_header *header = &wire->headers[i];
        size_t size = strlen(header->name);
        if (is_content_type(header->name, size) ||
            (prefix->size && marty__prefix_match(prefix, header->name, size) >= 0)) {
            continue;
        }
        marty_err err = check_value(header, why);
        err = err ? err : add_plain(draft, header, size, why);
        if (err) {
            return err;
        }
    }
    return MARTY_OK;
}

/* With the empty prefix (MQTT) an attribute is what may be one; "ce-" is taken off, as some send
 * it. */
static int attribute_at(const marty__prefix *prefix, const char *name, size_t size)
{
    if (prefix->size) {
        return marty__prefix_match(prefix, name, size);
    }
    if (size > 3 && marty__same_word(name, 3, "ce-", 3)) {
        return 3;
    }
    return marty__attribute_name_wrong(name, size) ? -1 : 0;
}

static marty_err take_headers(marty__draft *draft, const marty_message *wire,
                              const marty__prefix *prefix, marty_error *why)
{
    uint32_t seen = 0;
    marty__piece content_type = {0};
    marty_err err = MARTY_OK;
    for (size_t i = 0; !err && i < wire->header_count; i++) {
        const marty_header *header = &wire->headers[i];
        size_t size = strlen(header->name);
        err = check_value(header, why);
        if (err || is_content_type(header->name, size)) {
            content_type = value_piece(&header->value, false);
            continue;
        }
        int at = attribute_at(prefix, header->name, size);
        if (at >= 0) {
            marty__piece value = value_piece(&header->value, prefix->percent);
            err = take_attribute(draft, &seen, header->name + at, size - (size_t)at, &value, why);
        } else {
            err = add_plain(draft, header, size, why);
        }
    }
    if (!err && content_type.size) {
        err = take_field(draft, MARTY__CONTENT_TYPE, &content_type, why);
    }
    return err;
}

marty_err marty__binary_decode(marty_message **ret_message, const marty_message *wire,
                               const marty__prefix *prefix, marty_error *why)
{
    static const char unknown[] = "application/octet-stream";
    marty__json_value value;
    MARTY__UNSET marty__draft draft;
    marty__draft_init(&draft);
    draft.lenient = true;
    marty_err err = take_headers(&draft, wire, prefix, why);
    err = err ? err : marty__draft_require(&draft, prefix->text, why);
    if (err) {
        marty__draft_free(&draft);
        return err;
    }
    if (!draft.fields[MARTY__CONTENT_TYPE].at) {
        bool json = !wire->data.size ||
                    marty__json_valid(wire->data.data, wire->data.size, false, 0, &value);
        draft.fields[MARTY__CONTENT_TYPE] =
            json ? marty__plain("application/json", 16) : marty__plain(unknown, sizeof unknown - 1);
    }
    draft.data = marty__plain(wire->data.data, wire->data.size);
    return marty__draft_finish(&draft, ret_message, why);
}
