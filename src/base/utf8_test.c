/* SPDX-License-Identifier: Apache-2.0
 * UTF-8: every code point there and back, and the forms that are not UTF-8. */
#include "utf8.h"

#include "tests/check.h"

static void every_code_point_comes_back(void)
{
    unsigned wrong = 0;
    for (uint32_t point = 0; point <= 0x110000; point++) {
        char text[4];
        uint32_t back = 0;
        bool good = point <= 0x10ffff && !(point >= 0xd800 && point <= 0xdfff);
        size_t size = marty__utf8_put(text, point);
        wrong += size != (point < 0x80 ? 1u : point < 0x800 ? 2u : point < 0x10000 ? 3u : 4u);
        wrong += marty__utf8_next(text, size, &back) != (good ? size : 0);
        wrong += good && back != point;
        wrong += marty__utf8_next(text, size - 1, NULL) != 0; /* cut */
        wrong += marty__utf8_valid(text, size) != good;
    }
    CHECK_INT(wrong, 0);
}

static void every_two_bytes_are_judged(void)
{
    unsigned valid = 0;
    for (int i = 0; i < 0x10000; i++) {
        char text[2] = {(char)(i >> 8), (char)i};
        valid += marty__utf8_valid(text, 2);
    }
    CHECK_INT(valid, 128 * 128 + (0x800 - 0x80));
}

static void other_forms_are_refused(void)
{
    static const char *const texts[] = {"\x80",
                                        "\xbf",
                                        "\xc0\x80",
                                        "\xc1\xbf",
                                        "\xe0\x80\x80",
                                        "\xe0\x9f\xbf",
                                        "\xf0\x80\x80\x80",
                                        "\xf0\x8f\xbf\xbf",
                                        "\xed\xa0\x80",
                                        "\xed\xbf\xbf",
                                        "\xf4\x90\x80\x80",
                                        "\xf5\x80\x80\x80",
                                        "\xf8\x88\x80\x80\x80",
                                        "\xfe",
                                        "\xff",
                                        "a\xc3",
                                        "\xc3(",
                                        "\xe2\x82(",
                                        "\xf0\x9f\x98("};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        CHECK(!marty__utf8_valid(texts[i], strlen(texts[i])));
    }
    CHECK(marty__utf8_valid("", 0));
    CHECK(marty__utf8_valid(NULL, 0));
    CHECK(marty__utf8_valid("a\0b", 3));
    CHECK_INT(marty__utf8_next("", 0, NULL), 0);
}

int main(void)
{
    every_code_point_comes_back();
    every_two_bytes_are_judged();
    other_forms_are_refused();
    return check_result();
}
