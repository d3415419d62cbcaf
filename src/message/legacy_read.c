/* SPDX-License-Identifier: Apache-2.0
 * The envelope of the Python services, reading: all that the original reads, and what it drops
 * without a word (no metadata) where no harm is in it. The type and the source may be told by the
 * adapter, in the wire message's fields: the subject knows more than the envelope. Any thread. */
#include "base/clock.h"
#include "base/limits.h"
#include "base/time.h"
#include "legacy.h"
#include "rules.h"
#include "uuid.h"

static marty_err malformed(const marty__json_scan *scan, const char *part, marty_error *why)
{
    return marty_error_set(why, MARTY_E_MALFORMED, "the legacy envelope's %s, at byte %zu: %s",
                           part, marty__json_offset(scan), scan->wrong);
}

static marty_err take_time(marty__legacy_reader *to, const marty__json_value *value,
                           marty_error *why)
{
    if (value->kind == MARTY__JSON_NULL) {
        return MARTY_OK;
    }
    if (value->kind == MARTY__JSON_STRING &&
        marty__time_parse_iso(value->at, value->size, &to->draft.time_us)) {
        return MARTY_OK;
    }
    return marty_error_set(why, MARTY_E_MALFORMED,
                           "the legacy envelope's metadata: timestamp: ISO time is expected, such "
                           "as 2026-01-02T03:04:05.678901, not %.*s",
                           (int)(value->size < 40 ? value->size : 40), value->at);
}

static marty_err take_priority(marty__legacy_reader *to, const marty__json_value *value,
                               marty_error *why)
{
    if (value->kind == MARTY__JSON_NULL) {
        return MARTY_OK;
    }
    return value->kind == MARTY__JSON_NUMBER
               ? marty__draft_scalar(&to->draft, MARTY__AT_PRIORITY, value->at, value->size, why)
               : marty_error_set(
                     why, MARTY_E_MALFORMED,
                     "the legacy envelope's metadata: priority: an integer is expected");
}

/* A number of seconds as microseconds; what is too large saturates. */
static int64_t to_us(const marty__json_value *value)
{
    const char *at = value->at, *end = at + value->size;
    double number = 0, scale = 1e6, most = 9e18;
    bool negative = at < end && *at == '-', point = false;
    int exponent = 0, sign = 1;
    for (at += negative; at < end && ((*at >= '0' && *at <= '9') || *at == '.'); at++) {
        if (*at == '.') {
            point = true;
        } else {
            number = number * 10 + (*at - '0');
            scale = point ? scale / 10 : scale;
        }
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        at++;
        sign = at < end && *at == '-' ? -1 : 1;
        at += at < end && (*at == '-' || *at == '+');
        for (; at < end && exponent < 1000; at++) {
            exponent = exponent * 10 + (*at - '0');
        }
    }
    for (; exponent; exponent--) {
        scale = sign < 0 ? scale / 10 : scale * 10;
    }
    double us = number * scale + 0.5;
    us = us < most ? us : most; /* also when it is no number */
    return negative ? -(int64_t)us : (int64_t)us;
}

static marty_err take_ttl(marty__legacy_reader *to, const marty__json_value *value,
                          marty_error *why)
{
    if (value->kind == MARTY__JSON_NULL) {
        return MARTY_OK;
    }
    char first = *value->at, second = value->size > 1 ? value->at[1] : '0';
    bool finite = first != 'N' && first != 'I' && second != 'I';
    if (value->kind != MARTY__JSON_NUMBER || !finite) {
        return marty_error_set(why, MARTY_E_MALFORMED,
                               "the legacy envelope's metadata: ttl: a number of seconds is "
                               "expected");
    }
    to->ttl = *value;
    to->has_ttl = to_us(value) != 0;
    return MARTY_OK;
}

static marty_err take_meta(marty__legacy_reader *to, const marty__json_value *name,
                           const marty__json_value *value, marty_error *why)
{
    static const struct {
        const char *name;
        marty__field field;
    } texts[] = {{"message_id", MARTY__ID},          {"correlation_id", MARTY__CORRELATION},
                 {"causation_id", MARTY__CAUSATION}, {"content_type", MARTY__CONTENT_TYPE},
                 {"routing_key", MARTY__KEY},        {"message_type", MARTY__TYPE}};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (marty__legacy_named(name, texts[i].name)) {
            return marty__legacy_text(to, texts[i].field, value, why);
        }
    }
    if (marty__legacy_named(name, "timestamp")) {
        return take_time(to, value, why);
    }
    if (marty__legacy_named(name, "ttl")) {
        return take_ttl(to, value, why);
    }
    if (marty__legacy_named(name, "priority")) {
        return take_priority(to, value, why);
    }
    if (marty__legacy_named(name, "headers")) {
        to->headers = *value;
    } else if (marty__legacy_named(name, "reply_to")) {
        to->reply_to = *value;
    }
    return MARTY_OK; /* others are ignored, as the original does */
}

typedef marty_err (*on_member)(marty__legacy_reader *to, const marty__json_value *name,
                               const marty__json_value *value, marty_error *why);

static marty_err each_member(marty__legacy_reader *to, const char *text, size_t size,
                             const char *part, on_member take, marty_error *why)
{
    marty__json_scan scan;
    marty__json_value name, value;
    marty_err err = MARTY_OK;
    int more = 1;
    marty__json_begin(&scan, text, size, MARTY__PYTHON);
    if (!marty__json_enter(&scan, '{')) {
        return malformed(&scan, part, why);
    }
    for (bool first = true; !err && more > 0; first = false) {
        more = marty__json_member(&scan, first, &name, &value, 1);
        if (more > 0) {
            err = take(to, &name, &value, why);
        }
    }
    if (!err && (more < 0 || !marty__json_finish(&scan))) {
        err = malformed(&scan, part, why);
    }
    return err;
}

static marty_err take_part(marty__legacy_reader *to, const marty__json_value *name,
                           const marty__json_value *value, marty_error *why)
{
    if (marty__legacy_named(name, "data")) {
        if (to->has_data) {
            return marty_error_set(why, MARTY_E_MALFORMED,
                                   "the legacy envelope: data is there twice");
        }
        to->data = *value;
        to->has_data = true;
    } else if (marty__legacy_named(name, "metadata")) {
        to->metadata = *value;
    }
    return MARTY_OK;
}

/* The type that the subject tells is the whole one when it ends with the one told here. */
static void settle_type(marty__legacy_reader *to)
{
    marty__piece *type = &to->draft.fields[MARTY__TYPE];
    const char *told = to->wire->type;
    size_t size = told ? strlen(told) : 0;
    if (!type->at) {
        *type = told ? marty__plain(told, size) : marty__plain("unknown", 7);
        type->form = MARTY__ANY;
    } else if (size > type->size && type->form == MARTY__PLAIN &&
               told[size - type->size - 1] == '.' &&
               memcmp(told + size - type->size, type->at, type->size) == 0) {
        *type = (marty__piece){told, size, MARTY__ANY};
    }
}

static void complete(marty__legacy_reader *to)
{
    marty__draft *draft = &to->draft;
    marty__piece *content_type = &draft->fields[MARTY__CONTENT_TYPE];
    if (!draft->fields[MARTY__ID].at) {
        marty__uuid7(NULL, to->id);
        draft->fields[MARTY__ID] = marty__plain(to->id, MARTY__UUID_TEXT - 1);
    }
    if (!draft->fields[MARTY__SOURCE].at) {
        const char *source = to->wire->source ? to->wire->source : "/legacy";
        draft->fields[MARTY__SOURCE] = (marty__piece){source, strlen(source), MARTY__ANY};
    }
    if (!content_type->at) {
        *content_type = marty__plain("application/json", 16);
    }
    settle_type(to);
    draft->time_us = draft->time_us ? draft->time_us : marty__wall_us();
    if (to->has_ttl) { /* what ends after the last of all years never ends */
        int64_t ttl_us = to_us(&to->ttl), left_us = MARTY__TIME_LAST_US - draft->time_us;
        draft->expires_us = ttl_us > left_us ? 0 : draft->time_us + ttl_us;
        draft->expires_us =
            draft->expires_us < MARTY__TIME_FIRST_US ? MARTY__TIME_FIRST_US : draft->expires_us;
    }
}

static void take_data(marty__legacy_reader *to)
{
    bool string = to->data.kind == MARTY__JSON_STRING;
    bool json = marty__piece_is_json(&to->draft.fields[MARTY__CONTENT_TYPE]);
    to->draft.data = string && !json ? marty__legacy_piece(&to->data)
                     : string        ? marty__plain(to->data.at - 1, to->data.size + 2)
                                     : marty__plain(to->data.at, to->data.size);
}

static marty_err take_metadata(marty__legacy_reader *to, marty_error *why)
{
    static const char reply_to[] = "replyto";
    marty_err err = MARTY_OK;
    if (to->metadata.at && to->metadata.kind != MARTY__JSON_NULL) {
        err = each_member(to, to->metadata.at, to->metadata.size, "metadata", take_meta, why);
    }
    if (!err && to->headers.at && to->headers.kind != MARTY__JSON_NULL) {
        err =
            each_member(to, to->headers.at, to->headers.size, "headers", marty__legacy_header, why);
    }
    if (!err && to->reply_to.kind == MARTY__JSON_STRING && to->reply_to.size) {
        err = marty__draft_unique(&to->draft, reply_to, sizeof reply_to - 1, why);
        err = err ? err
                  : marty__legacy_header_add(to, marty__plain(reply_to, sizeof reply_to - 1),
                                             MARTY_ATTRIBUTE, &to->reply_to, why);
    }
    return err;
}

marty_err marty__legacy_decode(marty_message **ret_message, const marty_message *wire,
                               marty_error *why)
{
    marty__legacy_reader to;
    memset(&to, 0, sizeof to);
    marty__draft_init(&to.draft);
    to.draft.lenient = true;
    to.wire = wire;
    marty_err err = each_member(&to, wire->data.data, wire->data.size, "body", take_part, why);
    if (!err && !to.has_data) {
        err = marty_error_set(why, MARTY_E_MALFORMED,
                              "the legacy envelope: data is missing: {\"data\": ..., "
                              "\"metadata\": {...}} is expected");
    }
    err = err ? err : take_metadata(&to, why);
    if (err) {
        marty__draft_free(&to.draft);
        return err;
    }
    complete(&to);
    take_data(&to);
    return marty__draft_finish(&to.draft, ret_message, why);
}
