/* SPDX-License-Identifier: Apache-2.0
 * Growing byte runs: content, the NUL behind it, failures that are remembered, JSON strings. */
#include "buffer.h"

#include "alloc.h"
#include "tests/check.h"

static bool refuse(size_t size)
{
    (void)size;
    return false;
}

static void what_is_added_is_there(void)
{
    marty__buffer buffer = {0};
    marty__buffer_text(&buffer, NULL);
    marty__buffer_add(&buffer, NULL, 0);
    marty__buffer_text(&buffer, "text ");
    marty__buffer_byte(&buffer, 'b');
    marty__buffer_byte(&buffer, '\0');
    marty__buffer_format(&buffer, "%d-%s", 42, "x");
    CHECK_BYTES(buffer.data, buffer.size,
                "text b\0"
                "42-x",
                11);
    CHECK_INT(buffer.data[buffer.size], 0);
    marty__buffer_clear(&buffer);
    CHECK_INT(buffer.size, 0);
    CHECK_INT(buffer.data[0], 0);
    marty__buffer_free(&buffer);
    CHECK(!buffer.data && !buffer.capacity);
    marty__buffer_clear(&buffer);
    marty__buffer_free(&buffer);
}

static void it_grows_byte_by_byte_and_at_once(void)
{
    marty__buffer buffer = {0};
    unsigned wrong = 0;
    for (int i = 0; i < 100000; i++) {
        marty__buffer_byte(&buffer, (char)i);
    }
    for (int i = 0; i < 100000; i++) {
        wrong += buffer.data[i] != (char)i;
    }
    CHECK(marty__buffer_reserve(&buffer, 1000000));
    CHECK(buffer.capacity > 1100000);
    CHECK_INT(buffer.size, 100000);
    CHECK_INT(wrong, 0);
    marty__buffer_free(&buffer);
}

static void long_formats_fit(void)
{
    marty__buffer buffer = {0};
    marty__buffer_format(&buffer, "%0500d|", 7);
    CHECK_INT(buffer.size, 501);
    CHECK_INT(buffer.data[499], '7');
    marty__buffer_free(&buffer);
}

static void a_failure_is_remembered(void)
{
    marty__buffer buffer = {0};
    marty__buffer_text(&buffer, "kept");
    size_t left = buffer.capacity - buffer.size - 1;
    marty__alloc_set_hook(refuse);
    for (size_t i = 0; i < left; i++) {
        marty__buffer_byte(&buffer, '.');
    }
    CHECK(!buffer.failed); /* there was room */
    marty__buffer_byte(&buffer, 'x');
    CHECK(buffer.failed);
    marty__alloc_set_hook(NULL);
    marty__buffer_text(&buffer, "more");
    marty__buffer_format(&buffer, "%d", 1);
    marty__buffer_json(&buffer, "a", 1);
    CHECK(buffer.failed);
    CHECK_INT(buffer.size, 4 + left);
    marty__buffer_clear(&buffer);
    CHECK(!buffer.failed);
    CHECK(!marty__buffer_reserve(&buffer, SIZE_MAX));
    CHECK(buffer.failed);
    marty__buffer_free(&buffer);
}

static void strings_become_json(void)
{
    static const struct {
        const char *text, *want;
        size_t size;
    } cases[] = {{"", "\"\"", 0},
                 {"plain", "\"plain\"", 5},
                 {"\"\\\b\t\n\f\r", "\"\\\"\\\\\\b\\t\\n\\f\\r\"", 7},
                 {"\0\x1f\x7f", "\"\\u0000\\u001f\\u007f\"", 3},
                 {"gr\xc3\xbc\xf0\x9f\x98\x80", "\"gr\xc3\xbc\xf0\x9f\x98\x80\"", 8},
                 {"a\xff\xc3", "\"a\xef\xbf\xbd\xef\xbf\xbd\"", 3}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        marty__buffer buffer = {0};
        marty__buffer_json(&buffer, cases[i].text, cases[i].size);
        CHECK_BYTES(buffer.data, buffer.size, cases[i].want, strlen(cases[i].want));
        marty__buffer_free(&buffer);
    }
}

int main(void)
{
    what_is_added_is_there();
    it_grows_byte_by_byte_and_at_once();
    long_formats_fit();
    a_failure_is_remembered();
    strings_become_json();
    return check_result();
}
