/* SPDX-License-Identifier: Apache-2.0
 * Structured mode, reading: one pass over the JSON finds the attributes and the data as slices of
 * the body. Any thread. */
#include "ascii.h"
#include "base/limits.h"
#include "codec.h"
#include "json_scan.h"
#include "rules.h"

enum { SMALL = 256 };

/* What stands in the object besides what the draft holds. */
typedef struct found {
    uint32_t seen;
    marty__json_value data, base64;
    bool has_data, has_base64;
} found;

static marty_err malformed(const marty__json_scan *scan, marty_error *why)
{
    return marty_error_set(why, MARTY_E_MALFORMED, "the event's JSON, at byte %zu: %s",
                           marty__json_offset(scan), scan->wrong);
}

static marty__piece string_piece(const marty__json_value *value)
{
    marty__piece piece = marty__plain(value->at, value->size);
    piece.form = value->escaped ? MARTY__JSON : value->plain ? MARTY__PLAIN : MARTY__ANY;
    return piece;
}

static marty_err take_field(marty__draft *draft, marty__field field, const marty__json_value *value,
                            marty_error *why)
{
    if (value->kind != MARTY__JSON_STRING) {
        return marty_error_set(why, MARTY_E_MALFORMED, "%s: a string is expected",
                               marty__fields[field].wire);
    }
    if (!value->size && field > MARTY__SOURCE) {
        return MARTY_OK; /* empty is as good as absent */
    }
    size_t most = field <= MARTY__ID ? MARTY__NAME_BYTES_MAX : MARTY__ATTRIBUTE_BYTES_MAX;
    if (!value->size || (value->plain && value->size > most)) {
        return marty__field_check(field, value->at, value->size, true, why);
    }
    draft->fields[field] = string_piece(value);
    return MARTY_OK;
}

static marty_err take_scalar(marty__draft *draft, int attribute, const marty__json_value *value,
                             marty_error *why)
{
    MARTY__UNSET char small[SMALL];
    size_t size = value->size;
    const char *text = value->at;
    bool number = attribute == MARTY__AT_PRIORITY;
    if (value->kind != MARTY__JSON_STRING && !(number && value->kind == MARTY__JSON_NUMBER)) {
        return marty_error_set(why, MARTY_E_MALFORMED, "%s: %s is expected",
                               number                               ? "martypriority"
                               : attribute == MARTY__AT_SPECVERSION ? "specversion"
                               : attribute == MARTY__AT_TIME        ? "time"
                                                                    : "expirytime",
                               number ? "an integer" : "a string");
    }
    if (value->kind == MARTY__JSON_STRING && value->escaped && size <= sizeof small) {
        size = marty__json_unescape(small, text, size);
        text = small;
    }
    return marty__draft_scalar(draft, attribute, text, size, why);
}

/* Kind and text of an extension's value. */
static marty_err extension_value(marty__draft_header *header, const marty__json_value *value,
                                 marty_error *why)
{
    const char *wrong = NULL;
    header->value = marty__plain(value->at, value->size);
    switch (value->kind) {
    case MARTY__JSON_STRING:
        header->kind = MARTY_ATTRIBUTE;
        header->value = string_piece(value);
        break;
    case MARTY__JSON_NUMBER:
        header->kind = MARTY_ATTRIBUTE_INTEGER;
        wrong = marty__value_wrong(MARTY_ATTRIBUTE_INTEGER, value->at, value->size);
        break;
    case MARTY__JSON_TRUE:
    case MARTY__JSON_FALSE:
        header->kind = MARTY_ATTRIBUTE_BOOLEAN;
        break;
    case MARTY__JSON_NULL: /* unset: only its name is kept, to see it again */
        header->kind = MARTY_ATTRIBUTE;
        header->value.at = NULL;
        break;
    case MARTY__JSON_OBJECT:
    case MARTY__JSON_ARRAY:
        wrong = "a string, an integer or a boolean is expected";
        break;
    }
    if (!wrong && value->size > MARTY__ATTRIBUTE_BYTES_MAX) {
        return marty_error_set(
            why, MARTY_E_TOO_LARGE, "attribute %.*s: %zu bytes, at most %d are allowed",
            (int)header->name.size, header->name.at, value->size, (int)MARTY__ATTRIBUTE_BYTES_MAX);
    }
    return wrong ? marty_error_set(why, MARTY_E_MALFORMED, "attribute %.*s: %s",
                                   (int)header->name.size, header->name.at, wrong)
                 : MARTY_OK;
}

static marty_err take_extension(marty__draft *draft, const marty__json_value *name,
                                const marty__json_value *value, marty_error *why)
{
    const char *wrong = marty__attribute_name_wrong(name->at, name->size);
    if (wrong || name->size > MARTY__NAME_BYTES_MAX) {
        return marty_error_set(why, MARTY_E_MALFORMED, "attribute name \"%.*s\": %s",
                               (int)(name->size < 64 ? name->size : 64), name->at,
                               wrong ? wrong : "it is too long");
    }
    marty_err err = marty__draft_unique(draft, name->at, name->size, why);
    if (err) {
        return err;
    }
    marty__draft_header *header = marty__draft_header_add(draft, why);
    if (!header) {
        return draft->header_count < MARTY__DRAFT_HEADERS_MAX ? MARTY_E_NO_MEMORY
                                                              : MARTY_E_TOO_LARGE;
    }
    header->name = marty__plain(name->at, name->size);
    return extension_value(header, value, why);
}

static marty_err take_known(marty__draft *draft, found *in, int at, const marty__json_value *value,
                            marty_error *why)
{
    if (value->kind == MARTY__JSON_NULL && at != MARTY__AT_DATA) {
        return MARTY_OK; /* unset */
    }
    if (at == MARTY__AT_DATA) {
        in->data = *value;
        in->has_data = true;
        return MARTY_OK;
    }
    if (at == MARTY__AT_DATA_BASE64) {
        in->base64 = *value;
        in->has_base64 = true;
        return value->kind == MARTY__JSON_STRING
                   ? MARTY_OK
                   : marty_error_set(why, MARTY_E_MALFORMED, "data_base64: a string is expected");
    }
    return at < MARTY__FIELDS ? take_field(draft, (marty__field)at, value, why)
                              : take_scalar(draft, at, value, why);
}

static marty_err take_member(marty__draft *draft, found *in, const marty__json_value *given,
                             const marty__json_value *value, marty_error *why)
{
    MARTY__UNSET char small[SMALL];
    marty__json_value copy = *given, *name = &copy;
    if (name->escaped && name->size <= sizeof small) { /* a name that needs none: look again */
        name->size = marty__json_unescape(small, name->at, name->size);
        name->at = small;
    }
    int at = marty__attribute_find(name->at, name->size);
    if (at == MARTY__AT_EXTENSION) {
        if (name->escaped) {
            return marty_error_set(why, MARTY_E_MALFORMED,
                                   "attribute name \"%.*s\": written with escapes",
                                   (int)(name->size < 64 ? name->size : 64), name->at);
        }
        return take_extension(draft, name, value, why);
    }
    if (in->seen & 1u << at) {
        return marty_error_set(why, MARTY_E_MALFORMED, "%.*s: it is there twice", (int)name->size,
                               name->at);
    }
    in->seen |= 1u << at;
    return take_known(draft, in, at, value, why);
}

static marty_err take_object(marty__draft *draft, found *in, const marty_message *wire,
                             marty_error *why)
{
    marty__json_scan scan;
    marty__json_value name, value;
    marty_err err = MARTY_OK;
    int more = 1;
    marty__json_begin(&scan, wire->data.data, wire->data.size, false);
    if (!marty__json_enter(&scan, '{')) {
        return malformed(&scan, why);
    }
    for (bool first = true; !err && more > 0; first = false) {
        more = marty__json_member(&scan, first, &name, &value, 1);
        if (more > 0) {
            err = take_member(draft, in, &name, &value, why);
        }
    }
    if (!err && (more < 0 || !marty__json_finish(&scan))) {
        err = malformed(&scan, why);
    }
    if (!err && !(in->seen & 1u << MARTY__AT_SPECVERSION)) {
        err = marty_error_set(why, MARTY_E_MALFORMED,
                              "specversion is missing: an event has id, source, specversion and "
                              "type");
    }
    return err;
}

static marty_err take_data(marty__draft *draft, const found *in, marty_error *why)
{
    static const char json[] = "application/json", unknown[] = "application/octet-stream";
    marty__piece *content_type = &draft->fields[MARTY__CONTENT_TYPE];
    if (in->has_data && in->has_base64) {
        return marty_error_set(why, MARTY_E_MALFORMED,
                               "data and data_base64 are both there; only one may be");
    }
    if (in->has_base64) {
        draft->data = (marty__piece){in->base64.at, in->base64.size,
                                     in->base64.escaped ? MARTY__JSON_BASE64 : MARTY__BASE64};
    } else if (in->has_data) {
        bool string = in->data.kind == MARTY__JSON_STRING,
             whole = !content_type->at || marty__piece_is_json(content_type);
        draft->data = string && !whole ? string_piece(&in->data)
                      : string         ? marty__plain(in->data.at - 1, in->data.size + 2)
                                       : marty__plain(in->data.at, in->data.size);
    }
    if (!content_type->at) {
        *content_type = in->has_base64 ? marty__plain(unknown, sizeof unknown - 1)
                                       : marty__plain(json, sizeof json - 1);
    }
    return MARTY_OK;
}

static void drop_unset(marty__draft *draft)
{
    size_t count = 0;
    for (size_t i = 0; i < draft->header_count; i++) {
        if (draft->headers[i].value.at) {
            draft->headers[count++] = draft->headers[i];
        }
    }
    draft->header_count = count;
}

marty_err marty__structured_decode(marty_message **ret_message, const marty_message *wire,
                                   const marty__prefix *prefix, marty_error *why)
{
    MARTY__UNSET marty__draft draft;
    found in = {0};
    marty__draft_init(&draft);
    draft.lenient = true;
    marty_err err = take_object(&draft, &in, wire, why);
    err = err ? err : marty__draft_require(&draft, "", why);
    err = err ? err : take_data(&draft, &in, why);
    drop_unset(&draft);
    err = err ? err : marty__draft_plain(&draft, wire, prefix, why);
    if (err) {
        marty__draft_free(&draft);
        return err;
    }
    return marty__draft_finish(&draft, ret_message, why);
}
