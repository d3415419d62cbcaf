/* SPDX-License-Identifier: Apache-2.0
 * The JSON scanner, held against a well-kept JSON library on a table of good and bad texts, and on
 * every single-byte damage of a good one. */
#include "json_scan.h"

#include "json_write.h"
#include "tests/check.h"

#include <jansson.h>

static bool ours(const char *text, size_t size)
{
    marty__json_value value;
    return marty__json_valid(text, size, false, 0, &value);
}

/* The library's opinion; what only a number's size is against counts as fine, since it is JSON. */
static bool theirs(const char *text, size_t size)
{
    json_error_t error;
    json_t *json = json_loadb(text, size, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    bool good = json || json_error_code(&error) == json_error_numeric_overflow;
    json_decref(json);
    return good;
}

static const struct {
    const char *text;
    bool good;
} judged[] = {
    {"{}", true},
    {"[]", true},
    {" \t\r\n[ ] ", true},
    {"0", true},
    {"-0", true},
    {"-0.0e-0", true},
    {"1E+5", true},
    {"12345678901234567890123", true},
    {"1e999", true},
    {"\"\"", true},
    {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\uD83D\\uDE00\"", true},
    {"\"\\u0000\"", true},
    {"\"\x7f\xc2\x80\xf4\x8f\xbf\xbf\"", true},
    {"true", true},
    {"false", true},
    {"null", true},
    {"{\"a\":{\"b\":[1,{\"c\":null}]},\"a\":2}", true},
    {"[1,[2,[3]]]", true},
    {"", false},
    {" ", false},
    {"{", false},
    {"}", false},
    {"[", false},
    {"]", false},
    {"[1,]", false},
    {"[,1]", false},
    {"[1 2]", false},
    {"[1}", false},
    {"{\"a\":1]", false},
    {"{\"a\"}", false},
    {"{\"a\":}", false},
    {"{\"a\":1,}", false},
    {"{,\"a\":1}", false},
    {"{a:1}", false},
    {"{1:1}", false},
    {"{\"a\" 1}", false},
    {"{\"a\":1 \"b\":2}", false},
    {"{} {}", false},
    {"01", false},
    {"-", false},
    {"+1", false},
    {"1.", false},
    {".5", false},
    {"1e", false},
    {"1e+", false},
    {"0x1", false},
    {"NaN", false},
    {"Infinity", false},
    {"-Infinity", false},
    {"tru", false},
    {"True", false},
    {"nul", false},
    {"\"", false},
    {"\"\\\"", false},
    {"\"\\x\"", false},
    {"\"\\u12\"", false},
    {"\"\\u12g4\"", false},
    {"\"\\ud800\"", false},
    {"\"\\udc00\"", false},
    {"\"\\ud800\\u0041\"", false},
    {"\"\\ud800\\ud800\"", false},
    {"\"\n\"", false},
    {"\"\x01\"", false},
    {"\"\x80\"", false},
    {"\"\xc0\x80\"", false},
    {"\"\xe0\x80\x80\"", false},
    {"\"\xed\xa0\x80\"", false},
    {"\"\xf4\x90\x80\x80\"", false},
    {"\"\xc3\"", false},
    {"'a'", false},
    {"[1]//", false},
    {"\xef\xbb\xbf[]", false},
    {"\v[]", false},
    {"\xc2\xa0[]", false},
};

static void good_and_bad_texts_are_told_apart(void)
{
    for (size_t i = 0; i < sizeof judged / sizeof judged[0]; i++) {
        size_t size = strlen(judged[i].text);
        if (!CHECK(ours(judged[i].text, size) == judged[i].good) ||
            !CHECK(theirs(judged[i].text, size) == judged[i].good)) {
            fprintf(stderr, "    of %s\n", judged[i].text);
        }
    }
    CHECK(!ours("1\0", 2));
    CHECK(!ours("\"a\0b\"", 5));
    CHECK(!ours(NULL, 0));
}

static void damage_is_judged_alike(void)
{
    static const char good[] = "{\"na\\u00fcme\": [1.5e+3, -0, true, {\"k\": \"\xc3\xbc\\n\"}], "
                               "\"x\":{},\"y\":[ ] , \"z\" : null}";
    char text[sizeof good];
    unsigned unlike = 0;
    REQUIRE(ours(good, sizeof good - 1));
    for (size_t at = 0; at < sizeof good - 1; at++) {
        memcpy(text, good, sizeof text);
        for (int byte = 0; byte < 256; byte++) { /* another byte there */
            text[at] = (char)byte;
            unlike += ours(text, sizeof good - 1) != theirs(text, sizeof good - 1);
        }
        unlike += ours(good, at) != theirs(good, at); /* cut there */
        memcpy(text, good, at);                       /* one left out */
        memcpy(text + at, good + at + 1, sizeof good - 1 - at);
        unlike += ours(text, sizeof good - 2) != theirs(text, sizeof good - 2);
    }
    CHECK_INT(unlike, 0);
}

static void depth_is_bounded(void)
{
    char text[400];
    for (size_t depth = 1; depth <= 130; depth++) {
        for (size_t i = 0; i < depth; i++) {
            text[i] = '[';
            text[2 * depth - 1 - i] = ']';
        }
        CHECK(ours(text, 2 * depth) == (depth <= MARTY__JSON_DEPTH));
    }
    marty__json_value value;
    CHECK(marty__json_valid("[[]]", 4, false, 62, &value));
    CHECK(!marty__json_valid("[[]]", 4, false, 63, &value));
    memset(text, '[', sizeof text);
    CHECK(!ours(text, sizeof text));
    char mixed[] = "{\"a\":[{\"b\":[{\"c\":[]}]}]}"; /* the kinds of braces are kept apart */
    CHECK(ours(mixed, sizeof mixed - 1));
    mixed[sizeof mixed - 3] = '}';
    CHECK(!ours(mixed, sizeof mixed - 1));
}

static void members_are_slices_of_the_text(void)
{
    static const char text[] = " { \"a\" : \"x\\ty\" , \"b\":[1, 2],\"c\":-1.5 ,\"\":true} ";
    marty__json_scan scan;
    marty__json_value name, value;
    marty__json_begin(&scan, text, sizeof text - 1, false);
    REQUIRE(marty__json_enter(&scan, '{'));
    REQUIRE(marty__json_member(&scan, true, &name, &value, 1) == 1);
    CHECK_BYTES(name.at, name.size, "a", 1);
    CHECK(name.plain && !name.escaped);
    CHECK_BYTES(value.at, value.size, "x\\ty", 4);
    CHECK(value.kind == MARTY__JSON_STRING && value.escaped && !value.plain);
    REQUIRE(marty__json_member(&scan, false, &name, &value, 1) == 1);
    CHECK_BYTES(value.at, value.size, "[1, 2]", 6);
    CHECK_INT(value.kind, MARTY__JSON_ARRAY);
    REQUIRE(marty__json_member(&scan, false, &name, &value, 1) == 1);
    CHECK_BYTES(value.at, value.size, "-1.5", 4);
    CHECK_INT(value.kind, MARTY__JSON_NUMBER);
    REQUIRE(marty__json_member(&scan, false, &name, &value, 1) == 1);
    CHECK_INT(name.size, 0);
    CHECK_INT(value.kind, MARTY__JSON_TRUE);
    CHECK_INT(marty__json_member(&scan, false, &name, &value, 1), 0);
    CHECK(marty__json_finish(&scan));
    CHECK_INT(marty__json_offset(&scan), sizeof text - 1);
}

static void elements_are_walked(void)
{
    marty__json_scan scan;
    marty__json_value value;
    marty__json_begin(&scan, "[1, \"b\" ]", 9, false);
    REQUIRE(marty__json_enter(&scan, '['));
    CHECK_INT(marty__json_element(&scan, true, &value, 1), 1);
    CHECK_INT(value.kind, MARTY__JSON_NUMBER);
    CHECK_INT(marty__json_element(&scan, false, &value, 1), 1);
    CHECK_INT(value.kind, MARTY__JSON_STRING);
    CHECK_INT(marty__json_element(&scan, false, &value, 1), 0);
    marty__json_begin(&scan, "[1 2]", 5, false);
    REQUIRE(marty__json_enter(&scan, '['));
    CHECK_INT(marty__json_element(&scan, true, &value, 1), 1);
    CHECK_INT(marty__json_element(&scan, false, &value, 1), -1);
    CHECK_HAS(scan.wrong, "a comma");
    CHECK_INT(marty__json_offset(&scan), 3);
}

static void python_is_looser(void)
{
    static const char *const texts[] = {"NaN", "[Infinity,-Infinity]", "\"\\ud800\"",
                                        "{\"a\":NaN}"};
    marty__json_value value;
    for (size_t i = 0; i < 4; i++) {
        CHECK(!ours(texts[i], strlen(texts[i])));
        CHECK(marty__json_valid(texts[i], strlen(texts[i]), true, 0, &value));
    }
    CHECK(!marty__json_valid("nan", 3, true, 0, &value));
    CHECK(!marty__json_valid("-NaN", 4, true, 0, &value));
    CHECK(!marty__json_valid("Infinit", 7, true, 0, &value));
}

static void escapes_are_turned(void)
{
    static const struct {
        const char *text, *want;
    } cases[] = {{"plain", "plain"},
                 {"", ""},
                 {"\\\"\\\\\\/\\b\\f\\n\\r\\t", "\"\\/\b\f\n\r\t"},
                 {"\\u0041\\u00e9\\u20AC\\ud83d\\ude00", "A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"},
                 {"a\\ud800b", "a\xef\xbf\xbd"
                               "b"},
                 {"\\udc00\\ud800", "\xef\xbf\xbd\xef\xbf\xbd"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char out[64];
        size_t size = strlen(cases[i].text);
        memcpy(out, cases[i].text, size);
        size = marty__json_unescape(out, out, size); /* in place */
        CHECK_BYTES(out, size, cases[i].want, strlen(cases[i].want));
    }
}

static void strings_come_back_as_they_were(void)
{
    unsigned bad = 0;
    for (uint32_t point = 0; point < 0x11000; point++) {
        char text[40] = "some plain text, then ", out[256];
        size_t size = strlen(text);
        if (point >= 0xd800 && point <= 0xdfff) {
            continue;
        }
        if (point < 0x80) {
            text[size++] = (char)point;
        } else if (point < 0x800) {
            text[size++] = (char)(0xc0 | point >> 6);
            text[size++] = (char)(0x80 | (point & 0x3f));
        } else if (point < 0x10000) {
            text[size++] = (char)(0xe0 | point >> 12);
            text[size++] = (char)(0x80 | (point >> 6 & 0x3f));
            text[size++] = (char)(0x80 | (point & 0x3f));
        } else {
            text[size++] = (char)(0xf0 | point >> 18);
            text[size++] = (char)(0x80 | (point >> 12 & 0x3f));
            text[size++] = (char)(0x80 | (point >> 6 & 0x3f));
            text[size++] = (char)(0x80 | (point & 0x3f));
        }
        text[size++] = '.';
        for (int ascii = 0; ascii < 2; ascii++) {
            size_t room = ascii ? marty__json_room_ascii(text, size) : marty__json_room(text, size);
            char *end =
                ascii ? marty__json_put_ascii(out, text, size) : marty__json_put(out, text, size);
            size_t length = (size_t)(end - out);
            marty__json_value value = {0};
            bad += length > room || !marty__json_valid(out, length, false, 0, &value);
            for (size_t i = 0; ascii && i < length; i++) {
                bad += (unsigned char)out[i] > 0x7f;
            }
            length = marty__json_unescape(out, value.at, value.size);
            bad += length != size || memcmp(out, text, size) != 0;
        }
    }
    CHECK_INT(bad, 0);
    char out[64]; /* what is not UTF-8 is marked, in ASCII */
    char *end = marty__json_put_ascii(out, "a\xff\xc3", 3);
    CHECK_BYTES(out, (size_t)(end - out), "\"a\\ufffd\\ufffd\"", 15);
}

int main(void)
{
    good_and_bad_texts_are_told_apart();
    damage_is_judged_alike();
    depth_is_bounded();
    members_are_slices_of_the_text();
    elements_are_walked();
    python_is_looser();
    escapes_are_turned();
    strings_come_back_as_they_were();
    return check_result();
}
