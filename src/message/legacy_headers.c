/* SPDX-License-Identifier: Apache-2.0
 * The envelope of the Python services, reading: texts, and its headers, which may hold any JSON.
 * Texts stay texts, arrays of texts become headers that repeat, null is absent, all else is kept as
 * its JSON. Any thread. */
#include "legacy.h"

#include "base/limits.h"
#include "rules.h"

bool marty__legacy_named(const marty__json_value *name, const char *text)
{
    size_t size = strlen(text);
    return name->size == size && memcmp(name->at, text, size) == 0;
}

marty__piece marty__legacy_piece(const marty__json_value *value)
{
    marty__form form = value->kind != MARTY__JSON_STRING || value->plain ? MARTY__PLAIN
                       : value->escaped                                  ? MARTY__JSON
                                                                         : MARTY__ANY;
    return (marty__piece){value->at, value->size, form};
}

/* A text, or a number as its text; null and "" are as good as absent. */
marty_err marty__legacy_text(marty__legacy_reader *to, marty__field field,
                             const marty__json_value *value, marty_error *why)
{
    bool number = value->kind == MARTY__JSON_NUMBER;
    if (value->kind == MARTY__JSON_NULL || !value->size) {
        return MARTY_OK;
    }
    if (value->kind != MARTY__JSON_STRING && !number) {
        return marty_error_set(why, MARTY_E_MALFORMED,
                               "the legacy envelope's metadata: %s: a text is expected",
                               marty__fields[field].name);
    }
    size_t most = field <= MARTY__ID ? MARTY__NAME_BYTES_MAX : MARTY__ATTRIBUTE_BYTES_MAX;
    if (value->size > most && !value->escaped) {
        return marty__field_check(field, value->at, value->size, true, why);
    }
    to->draft.fields[field] = marty__legacy_piece(value);
    return MARTY_OK;
}

marty_err marty__legacy_header_add(marty__legacy_reader *to, marty__piece name,
                                   marty_header_kind kind, const marty__json_value *value,
                                   marty_error *why)
{
    marty__draft_header *header = marty__draft_header_add(&to->draft, why);
    if (!header) {
        return to->draft.header_count < MARTY__DRAFT_HEADERS_MAX ? MARTY_E_NO_MEMORY
                                                                 : MARTY_E_TOO_LARGE;
    }
    header->name = name;
    header->kind = kind;
    header->value = marty__legacy_piece(value);
    return value->size <= MARTY__ATTRIBUTE_BYTES_MAX
               ? MARTY_OK
               : marty_error_set(why, MARTY_E_TOO_LARGE,
                                 "header %.*s: %zu bytes, at most %d are allowed",
                                 (int)(name.size < 64 ? name.size : 64), name.at, value->size,
                                 (int)MARTY__ATTRIBUTE_BYTES_MAX);
}

/* Of an attribute that our writer put into the headers. */
static marty_err take_attribute(marty__legacy_reader *to, const char *name, size_t size,
                                const marty__json_value *value, marty_error *why)
{
    int at = marty__attribute_find(name, size);
    marty_header_kind kind = MARTY_ATTRIBUTE;
    if (at == MARTY__SUBJECT || at == MARTY__SCHEMA || at == MARTY__SOURCE) {
        return marty__legacy_text(to, (marty__field)at, value, why);
    }
    if (at != MARTY__AT_EXTENSION) {
        return MARTY_OK; /* the metadata says it */
    }
    if (value->kind == MARTY__JSON_TRUE || value->kind == MARTY__JSON_FALSE) {
        kind = MARTY_ATTRIBUTE_BOOLEAN;
    } else if (value->kind == MARTY__JSON_NUMBER &&
               !marty__value_wrong(MARTY_ATTRIBUTE_INTEGER, value->at, value->size)) {
        kind = MARTY_ATTRIBUTE_INTEGER;
    }
    marty_err err = marty__draft_unique(&to->draft, name, size, why);
    return err ? err : marty__legacy_header_add(to, marty__plain(name, size), kind, value, why);
}

/* An array of texts is a header that repeats; false when it is something else. */
static bool take_array(marty__legacy_reader *to, marty__piece name, const marty__json_value *value,
                       marty_error *why, marty_err *ret_err)
{
    marty__json_scan scan;
    marty__json_value each;
    size_t before = to->draft.header_count;
    int more = 1;
    marty__json_begin(&scan, value->at, value->size, MARTY__PYTHON);
    if (value->kind != MARTY__JSON_ARRAY || !marty__json_enter(&scan, '[')) {
        return false;
    }
    for (bool first = true; more > 0 && !*ret_err; first = false) {
        more = marty__json_element(&scan, first, &each, 2);
        if (more > 0 && each.kind != MARTY__JSON_STRING) {
            to->draft.header_count = before;
            return false;
        }
        if (more > 0) {
            *ret_err = marty__legacy_header_add(to, name, MARTY_HEADER, &each, why);
        }
    }
    return to->draft.header_count > before;
}

/* What a header's name becomes: none that an envelope would be read from. */
static marty__piece name_piece(const marty__json_value *name)
{
    MARTY__UNSET char small[256];
    marty__piece piece = {name->at, name->size, MARTY__PLAIN};
    if (!name->escaped) {
        piece.form = marty__header_name_reserved(name->at, name->size) ? MARTY__RAW_NAME
                     : marty__header_name_wrong(name->at, name->size)  ? MARTY__NAME
                                                                       : MARTY__PLAIN;
        return piece;
    }
    bool reserved = name->size > sizeof small;
    if (!reserved) {
        size_t size = marty__json_unescape(small, name->at, name->size);
        reserved = marty__header_name_reserved(small, size);
    }
    piece.form = reserved ? MARTY__RAW_JSON_NAME : MARTY__JSON_NAME;
    return piece;
}

marty_err marty__legacy_header(marty__legacy_reader *to, const marty__json_value *name,
                               const marty__json_value *value, marty_error *why)
{
    marty_err err = MARTY_OK;
    const char *text = name->at;
    size_t size = name->size;
    bool attribute =
        size > 3 && memcmp(text, "ce-", 3) == 0 && !marty__attribute_name_wrong(text + 3, size - 3);
    if (!size || value->kind == MARTY__JSON_NULL) {
        return MARTY_OK;
    }
    if (attribute) {
        return take_attribute(to, text + 3, size - 3, value, why);
    }
    for (marty__field field = MARTY__TRACE_PARENT; field <= MARTY__TRACE_STATE; field++) {
        const marty__field_info *info = &marty__fields[field];
        if (marty__same_word(text, size, info->wire, info->wire_size)) {
            return marty__legacy_text(to, field, value, why);
        }
    }
    marty__piece piece = name_piece(name);
    if (take_array(to, piece, value, why, &err)) {
        return err;
    }
    return marty__legacy_header_add(to, piece, MARTY_HEADER, value, why);
}
