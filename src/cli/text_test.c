/* SPDX-License-Identifier: Apache-2.0
 * What is printed is safe for JSON and for terminals, and base64 comes back as it went. */
#include "text.h"

#include "check.h"
#include <marty/adapter.h>

static void json_strings_are_escaped(void)
{
    cli_text text = {0};
    cli_text_json(&text, "a\"b\\c\n\x01\xff\xc3\xbc", 10);
    CHECK_TEXT(text.data, "\"a\\\"b\\\\c\\n\\u0001\xef\xbf\xbd\xc3\xbc\"");
    cli_text_free(&text);
}

static void a_terminal_sees_no_control_characters(void)
{
    cli_text text = {0};
    cli_text_safe(&text,
                  "ok\x1b[2J\n\xc2\x9b"
                  "31m\xfe\x7f",
                  14);
    CHECK_TEXT(text.data, "ok\\x1b[2J\\n\\x9b31m\\xfe\\x7f");
    cli_text_free(&text);
}

static void base64_comes_back(void)
{
    unsigned char bytes[256];
    size_t size, got = 0, i;
    void *back = NULL;
    for (i = 0; i < sizeof bytes; i++) {
        bytes[i] = (unsigned char)(i * 7);
    }
    for (size = 0; size < 20; size++) {
        cli_text text = {0};
        cli_text_add(&text, "", 0);
        cli_text_base64(&text, bytes, size);
        REQUIRE(cli_base64_decode(&back, &got, text.data));
        CHECK_BYTES(back, got, bytes, size);
        marty_free(back);
        cli_text_free(&text);
    }
    CHECK(!cli_base64_decode(&back, &got, "abc"));
    CHECK(!cli_base64_decode(&back, &got, "ab=c"));
    CHECK(!cli_base64_decode(&back, &got, "a==="));
    CHECK(!cli_base64_decode(&back, &got, "ab*="));
    CHECK(!cli_base64_decode(&back, &got, "ab==abcd"));
}

static void only_shortest_forms_are_utf8(void)
{
    CHECK(cli_utf8_valid("gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80", 11));
    CHECK(!cli_utf8_valid("\xc0\xaf", 2));
    CHECK(!cli_utf8_valid("\xed\xa0\x80", 3)); /* half of a pair */
    CHECK(!cli_utf8_valid("\xf4\x90\x80\x80", 4));
    CHECK(!cli_utf8_valid("\xc3", 1));
}

int main(void)
{
    json_strings_are_escaped();
    a_terminal_sees_no_control_characters();
    base64_comes_back();
    only_shortest_forms_are_utf8();
    return check_result();
}
