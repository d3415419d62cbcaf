/* SPDX-License-Identifier: Apache-2.0
 * The JSON scanner against jansson: they take the same texts (depth aside), and see the same
 * strings in them. */
#include "message/json_scan.h"

#include "base/buffer.h"
#include "message/json_write.h"
#include "tests/fuzz/fuzz.h"

#include <jansson.h>

static void check_string(const json_t *json, const marty__json_value *value)
{
    char *text = malloc(value->size + 1);
    FUZZ_CHECK(text);
    size_t size = marty__json_unescape(text, value->at, value->size);
    FUZZ_CHECK(size == json_string_length(json));
    FUZZ_CHECK(memcmp(text, json_string_value(json), size) == 0);
    char *out = malloc(marty__json_room_ascii(text, size) + 16);
    FUZZ_CHECK(out);
    size_t length = (size_t)(marty__json_put_ascii(out, text, size) - out);
    FUZZ_CHECK(length <= marty__json_room_ascii(text, size));
    json_t *again = json_loadb(out, length, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    FUZZ_CHECK(json_equal(json, again));
    json_decref(again);
    free(out);
    free(text);
}

/* Walk with the scanner what the library has as a tree. */
static void check_value(const json_t *json, const marty__json_value *value, unsigned depth)
{
    marty__json_scan scan;
    marty__json_value name, each;
    bool first = true;
    size_t count = 0;
    static const marty__json_kind kinds[] = {
        [JSON_OBJECT] = MARTY__JSON_OBJECT, [JSON_ARRAY] = MARTY__JSON_ARRAY,
        [JSON_STRING] = MARTY__JSON_STRING, [JSON_INTEGER] = MARTY__JSON_NUMBER,
        [JSON_REAL] = MARTY__JSON_NUMBER,   [JSON_TRUE] = MARTY__JSON_TRUE,
        [JSON_FALSE] = MARTY__JSON_FALSE,   [JSON_NULL] = MARTY__JSON_NULL};
    FUZZ_CHECK(kinds[json_typeof(json)] == value->kind);
    marty__json_begin(&scan, value->at, value->size, false);
    if (value->kind == MARTY__JSON_STRING) {
        check_string(json, value);
    } else if (value->kind == MARTY__JSON_ARRAY && depth < 8) {
        FUZZ_CHECK(marty__json_enter(&scan, '['));
        for (; marty__json_element(&scan, first, &each, 1) == 1; first = false) {
            check_value(json_array_get(json, count++), &each, depth + 1);
        }
        FUZZ_CHECK(count == json_array_size(json) && marty__json_finish(&scan));
    } else if (value->kind == MARTY__JSON_OBJECT) {
        FUZZ_CHECK(marty__json_enter(&scan, '{'));
        while (marty__json_member(&scan, first, &name, &each, 1) == 1) {
            first = false;
            count++;
        }
        FUZZ_CHECK(count >= json_object_size(json) && marty__json_finish(&scan));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_error_t error;
    marty__json_value value = {0}, python = {0};
    char *text = malloc(size ? size : 1); /* no NUL behind it: nothing may read there */
    FUZZ_CHECK(text);
    memcpy(text, data, size);
    bool ours = marty__json_valid(text, size, false, 0, &value);
    json_t *json = json_loadb(text, size, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    if (ours) {
        FUZZ_CHECK(json || FUZZ_JANSSON_LIMIT(&error));
        FUZZ_CHECK(marty__json_valid(text, size, true, 0, &python)); /* Python takes all of it */
        FUZZ_CHECK(python.size == value.size);
    }
    if (json) {
        marty__json_scan scan;
        marty__json_begin(&scan, text, size, false);
        if (!ours) { /* only for being too deep; and to jansson a NUL is an end */
            bool read = marty__json_read(&scan, &value, 0);
            FUZZ_CHECK(memchr(text, '\0', size) || (!read && strstr(scan.wrong, "deep")));
        } else {
            check_value(json, &value, 0);
        }
    }
    json_decref(json);
    free(text);
    return 0;
}
