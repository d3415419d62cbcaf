/* SPDX-License-Identifier: Apache-2.0
 * One predicate per rule. What is said of a value says what was expected. Pure functions. */
#include "rules.h"

#include "ascii.h"
#include "base/base64.h"
#include "base/time.h"
#include "base/utf8.h"

static bool is_lower(char byte)
{
    return byte >= 'a' && byte <= 'z';
}

static bool is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

static bool is_alpha(char byte)
{
    return is_lower(byte) || (byte >= 'A' && byte <= 'Z');
}

static bool is_hex(char byte)
{
    return is_digit(byte) || (byte >= 'a' && byte <= 'f') || (byte >= 'A' && byte <= 'F');
}

static char lower(char byte)
{
    return byte >= 'A' && byte <= 'Z' ? (char)(byte + ('a' - 'A')) : byte;
}

bool marty__same_word(const char *a, size_t a_size, const char *b, size_t b_size)
{
    if (a_size != b_size) {
        return false;
    }
    for (size_t i = 0; i < a_size; i++) {
        if (lower(a[i]) != lower(b[i])) {
            return false;
        }
    }
    return true;
}

static bool starts_with(const char *text, size_t size, const char *start)
{
    size_t length = strlen(start);
    return size >= length && marty__same_word(text, length, start, length);
}

const char *marty__text_wrong(const char *text, size_t size)
{
    size_t at = marty__plain_run(text, size, false);
    while (at < size) {
        uint32_t point = 0;
        size_t length = marty__utf8_next(text + at, size - at, &point);
        if (!length) {
            return "it is not UTF-8";
        }
        if (point < 0x20 || (point >= 0x7f && point <= 0x9f)) {
            return "it has a control character";
        }
        if ((point >= 0xfdd0 && point <= 0xfdef) || (point & 0xfffe) == 0xfffe) {
            return "it has a Unicode noncharacter";
        }
        at += length;
        at += marty__plain_run(text + at, size - at, false);
    }
    return NULL;
}

const char *marty__attribute_name_wrong(const char *name, size_t size)
{
    if (!size) {
        return "it is empty; an attribute's name is made of a to z and 0 to 9";
    }
    for (size_t i = 0; i < size; i++) {
        if (!is_lower(name[i]) && !is_digit(name[i])) {
            return "an attribute's name is made of a to z and 0 to 9 only";
        }
    }
    if (size == 4 && memcmp(name, "data", 4) == 0) {
        return "\"data\" is no attribute; set the message's data";
    }
    return NULL;
}

const char *marty__header_name_wrong(const char *name, size_t size)
{
    static const char others[] = "!#$%&'*+-.^_`|~";
    if (!size) {
        return "it is empty";
    }
    for (size_t i = 0; i < size; i++) {
        bool plain = is_alpha(name[i]) || is_digit(name[i]);
        if (!plain && (!name[i] || !memchr(others, name[i], sizeof others - 1))) {
            return "a header's name is made of letters, digits and !#$%&'*+-.^_`|~ only";
        }
    }
    return NULL;
}

bool marty__header_name_reserved(const char *name, size_t size)
{
    if (size < 3 || lower(name[0]) != 'c') {
        return false;
    }
    return marty__same_word(name, size, "content-type", 12) || starts_with(name, size, "ce-") ||
           starts_with(name, size, "ce_") || starts_with(name, size, "cloudevents_") ||
           starts_with(name, size, "cloudevents:");
}

const char *marty__header_value_wrong(const char *value, size_t size)
{
    for (size_t at = marty__plain_run(value, size, false); at < size; at++) {
        if (value[at] == '\r' || value[at] == '\n' || value[at] == '\0') {
            return "a header's value may not have CR, LF or NUL";
        }
    }
    return NULL;
}

static const char *integer_wrong(const char *value, size_t size)
{
    static const char wrong[] = "an integer is -2147483648 to 2147483647, without leading zeros";
    size_t at = size && value[0] == '-' ? 1 : 0;
    int64_t number = 0;
    if (size == at || size - at > 10 || (value[at] == '0' && (at || size > 1))) {
        return wrong;
    }
    for (size_t i = at; i < size; i++) {
        if (!is_digit(value[i])) {
            return wrong;
        }
        number = number * 10 + (value[i] - '0');
    }
    return number > (int64_t)INT32_MAX + (at ? 1 : 0) ? wrong : NULL;
}

static const char *binary_wrong(const char *value, size_t size)
{
    unsigned char scrap[768];
    size_t got = 0;
    bool good = size % 4 == 0;
    for (size_t at = 0; good && at < size;) {
        size_t part = size - at < 1024 ? size - at : 1024;
        good = marty__base64_decode(scrap, &got, value + at, part);
        good = good && (at + part == size || got == part / 4 * 3); /* padding at the end only */
        at += part;
    }
    return good ? NULL : "binary is base64 with padding (RFC 4648)";
}

const char *marty__value_wrong(marty_header_kind kind, const char *value, size_t size)
{
    int64_t time_us = 0;
    switch (kind) {
    case MARTY_HEADER:
        return marty__header_value_wrong(value, size);
    case MARTY_ATTRIBUTE:
        return marty__text_wrong(value, size);
    case MARTY_ATTRIBUTE_INTEGER:
        return integer_wrong(value, size);
    case MARTY_ATTRIBUTE_BOOLEAN:
        return (size == 4 && memcmp(value, "true", 4) == 0) ||
                       (size == 5 && memcmp(value, "false", 5) == 0)
                   ? NULL
                   : "a boolean is true or false";
    case MARTY_ATTRIBUTE_BINARY:
        return binary_wrong(value, size);
    case MARTY_ATTRIBUTE_URI:
        return marty__uri_wrong(value, size, false);
    case MARTY_ATTRIBUTE_TIMESTAMP:
        return marty__time_parse(value, size, &time_us)
                   ? NULL
                   : "a timestamp is RFC 3339, such as 2026-01-02T03:04:05Z";
    }
    return "its kind is none of marty_header_kind";
}

static size_t scheme_length(const char *text, size_t size)
{
    size_t at = 0;
    while (at < size && (is_alpha(text[at]) || (at && (is_digit(text[at]) || text[at] == '+' ||
                                                       text[at] == '-' || text[at] == '.')))) {
        at++;
    }
    return at && at < size && text[at] == ':' ? at : 0;
}

const char *marty__uri_wrong(const char *text, size_t size, bool absolute)
{
    static const char others[] = "-._~:/?#[]@!$&'()*+,;=";
    if (!size) {
        return "it is empty";
    }
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '%') {
            if (size - i < 3 || !is_hex(text[i + 1]) || !is_hex(text[i + 2])) {
                return "in a URI % is followed by two hexadecimal digits";
            }
        } else if (!is_alpha(text[i]) && !is_digit(text[i]) &&
                   (!text[i] || !memchr(others, text[i], sizeof others - 1))) {
            return "a URI has no spaces, quotes or letters beyond ASCII; write them as %XX";
        }
    }
    if (absolute && !scheme_length(text, size)) {
        return "an absolute URI is expected, such as https://example.com/order.json";
    }
    return NULL;
}

static size_t token_length(const char *text, size_t size)
{
    size_t at = 0;
    while (at < size && !marty__header_name_wrong(text + at, 1)) {
        at++;
    }
    return at;
}

const char *marty__content_type_wrong(const char *text, size_t size)
{
    static const char wrong[] = "a media type is expected, such as application/json";
    size_t type = token_length(text, size);
    if (!type || type == size || text[type] != '/') {
        return wrong;
    }
    size_t subtype = token_length(text + type + 1, size - type - 1), end = type + 1 + subtype;
    if (!subtype || (end < size && text[end] != ';' && text[end] != ' ')) {
        return wrong;
    }
    return marty__plain_run(text, size, false) == size ? NULL : wrong;
}

/* Without a branch in it, so that the compiler does many bytes at once. */
static inline bool hex_id(const char *text, size_t size, bool *ret_zero)
{
    unsigned bad = 0, bits = 0;
    for (size_t i = 0; i < size; i++) {
        unsigned char byte = (unsigned char)text[i], digit = (unsigned char)(byte - '0');
        unsigned char letter = (unsigned char)(byte - 'a');
        bad |= (unsigned)(digit > 9) & (unsigned)(letter > 5);
        bits |= digit;
    }
    *ret_zero = bits == 0;
    return !bad;
}

const char *marty__trace_parent_wrong(const char *text, size_t size)
{
    static const char wrong[] =
        "W3C traceparent is expected: 00-<32 hex>-<16 hex>-<2 hex>, lower case, ids not zero";
    bool version_zero, trace_zero, parent_zero, flags_zero;
    if (size < 55 || text[2] != '-' || text[35] != '-' || text[52] != '-') {
        return wrong;
    }
    if (!hex_id(text, 2, &version_zero) || !hex_id(text + 3, 32, &trace_zero) ||
        !hex_id(text + 36, 16, &parent_zero) || !hex_id(text + 53, 2, &flags_zero)) {
        return wrong;
    }
    if (trace_zero || parent_zero || memcmp(text, "ff", 2) == 0) {
        return wrong;
    }
    bool ends = size == 55 || (!version_zero && text[55] == '-');
    return ends && !marty__text_wrong(text, size) ? NULL : wrong;
}

static bool is_state_member(const char *text, size_t size)
{
    size_t key = 0;
    while (key < size && (is_lower(text[key]) || is_digit(text[key]) ||
                          (key && text[key] && memchr("_-*/@", text[key], 5)))) {
        key++;
    }
    if (!key || key > 256 || key == size || text[key] != '=') {
        return false;
    }
    size_t value = size - key - 1;
    if (!value || value > 256) {
        return false;
    }
    const char *at = text + key + 1;
    return marty__plain_run(at, value, false) == value && !memchr(at, '=', value);
}

const char *marty__trace_state_wrong(const char *text, size_t size)
{
    static const char wrong[] = "W3C tracestate is expected: up to 32 of key=value, with commas";
    size_t members = 0;
    for (size_t at = 0; at <= size;) {
        const char *comma = at < size ? memchr(text + at, ',', size - at) : NULL;
        size_t end = comma ? (size_t)(comma - text) : size, next = end + 1;
        while (at < end && (text[at] == ' ' || text[at] == '\t')) {
            at++;
        }
        while (end > at && (text[end - 1] == ' ' || text[end - 1] == '\t')) {
            end--;
        }
        if (end > at) {
            members++;
            if (!is_state_member(text + at, end - at)) {
                return wrong;
            }
        }
        at = next;
    }
    return members && members <= 32 && !marty__text_wrong(text, size) ? NULL : wrong;
}

/* The media type without parameters and spaces. */
static size_t media_length(const char *content_type, size_t size)
{
    const char *end = size ? memchr(content_type, ';', size) : NULL;
    size_t length = end ? (size_t)(end - content_type) : size;
    while (length && (content_type[length - 1] == ' ' || content_type[length - 1] == '\t')) {
        length--;
    }
    return length <= MARTY__MEDIA_TYPE_BYTES_MAX ? length : 0;
}

static bool ends_with(const char *text, size_t size, const char *end)
{
    size_t length = strlen(end);
    return size >= length && marty__same_word(text + size - length, length, end, length);
}

bool marty__content_is_json(const char *content_type, size_t size)
{
    if (size == 16 && memcmp(content_type, "application/json", 16) == 0) {
        return true;
    }
    size = media_length(content_type, size);
    return ends_with(content_type, size, "/json") || ends_with(content_type, size, "+json");
}

bool marty__content_is_text(const char *content_type, size_t size)
{
    size = media_length(content_type, size);
    return starts_with(content_type, size, "text/") || ends_with(content_type, size, "/xml") ||
           ends_with(content_type, size, "+xml") || ends_with(content_type, size, "/yaml") ||
           ends_with(content_type, size, "+yaml");
}
