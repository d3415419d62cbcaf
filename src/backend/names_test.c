/* SPDX-License-Identifier: Apache-2.0
 * Names: the examples of the mapping, and the property that encoding is one-to-one and decoding its
 * inverse, over every short name of the bytes that matter and many random ones. */
#include <marty/backend.h>

#include "check.h"

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
static const char dotted[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.";
static const char lower[] = "abcdefghijklmnopqrstuvwxyz0123456789_-.";

static void names_become_what_the_mapping_says(void)
{
    static const struct {
        const char *name, *allowed, *native;
    } cases[] = {{"events.order", letters, "events__order"},
                 {"events.order", dotted, "events.order"},
                 {"commands.payment_service", letters, "commands__payment_service"},
                 {"payment_service", letters, "payment_service"},
                 {"a_.b", letters, "a_x5f___b"},
                 {"a._b", letters, "a___b"},
                 {"a__b", letters, "a_x5f__b"},
                 {"a_xb", letters, "a_x5f_xb"},
                 {"a_x2e_b", dotted, "a_x5f_x2e_b"},
                 {"a_", letters, "a_"},
                 {"_", letters, "_"},
                 {"a b", letters, "a_x20_b"},
                 {"a_ b", letters, "a_x5f__x20_b"},
                 {"\xc3\xa9", letters, "_xc3__xa9_"},
                 {"Payment", lower, "_x50_ayment"},
                 {"a*.>", letters, "a_x2a____x3e_"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char native[1300], name[256];
        marty_error why = {0};
        CHECK_INT(marty_name_encode(native, 1299, cases[i].name, cases[i].allowed, &why), MARTY_OK);
        CHECK_TEXT(native, cases[i].native);
        CHECK_INT(marty_name_decode(name, 255, native, cases[i].allowed, &why), MARTY_OK);
        CHECK_TEXT(name, cases[i].name);
    }
}

/* Decoding gives the name again: so two names never share an encoding. */
static bool goes_there_and_back(const char *name, const char *allowed)
{
    char native[1300], again[256];
    marty_error why = {0};
    if (marty_name_encode(native, 1299, name, allowed, &why) ||
        marty_name_decode(again, 255, native, allowed, &why)) {
        fprintf(stderr, "    %s: %s\n", name, why.text);
        return false;
    }
    return strcmp(name, again) == 0 && native[strspn(native, allowed)] == '\0';
}

static void every_short_name_goes_there_and_back(void)
{
    static const char bytes[] = "_x.25fe a";
    enum { KINDS = sizeof bytes - 1, LENGTH = 6 };
    unsigned failed = 0;
    for (unsigned size = 1; size <= LENGTH; size++) {
        unsigned total = 1;
        for (unsigned i = 0; i < size; i++) {
            total *= KINDS;
        }
        for (unsigned number = 0; number < total; number++) {
            char name[LENGTH + 1] = {0};
            for (unsigned i = 0, rest = number; i < size; i++, rest /= KINDS) {
                name[i] = bytes[rest % KINDS];
            }
            failed += !goes_there_and_back(name, letters);
            failed += size < 5 && !goes_there_and_back(name, dotted);
        }
    }
    CHECK_INT(failed, 0);
}

static void random_names_go_there_and_back(void)
{
    uint32_t seed = 1;
    unsigned failed = 0;
    for (unsigned round = 0; round < 20000; round++) {
        char name[256] = {0};
        seed = seed * 1664525 + 1013904223;
        size_t size = 1 + (seed >> 16) % 255;
        for (size_t i = 0; i < size; i++) {
            seed = seed * 1664525 + 1013904223;
            unsigned char byte = (unsigned char)(seed >> 20);
            name[i] = (char)((seed >> 30) && byte ? byte : "_x."[(seed >> 12) % 3]);
        }
        failed += !goes_there_and_back(name, round % 2 ? letters : lower);
    }
    CHECK_INT(failed, 0);
}

/* What decodes, encodes to the same: nothing foreign is taken for ours. */
static void decoding_takes_only_what_encoding_gives(void)
{
    static const char bytes[] = "_x25feA";
    enum { KINDS = sizeof bytes - 1 };
    unsigned failed = 0, taken = 0;
    for (unsigned number = 0; number < KINDS * KINDS * KINDS * KINDS * KINDS * KINDS; number++) {
        char native[7] = {0}, name[256], again[1300];
        marty_error why = {0};
        for (unsigned i = 0, rest = number; i < 6; i++, rest /= KINDS) {
            native[i] = bytes[rest % KINDS];
        }
        if (marty_name_decode(name, 255, native, letters, &why) == MARTY_OK) {
            taken++;
            failed += marty_name_encode(again, 1299, name, letters, &why) || strcmp(again, native);
        }
    }
    CHECK_INT(failed, 0);
    CHECK(taken > 1000);
    static const char *const foreign[] = {"a_x5f_b", "a_xzz_", "a_x2E_b", "a_x00_b",
                                          "a_x",     "a_x2",   "a_x41_",  "a b"};
    for (size_t i = 0; i < sizeof foreign / sizeof foreign[0]; i++) {
        char name[256];
        marty_error why = {0};
        CHECK_INT(marty_name_decode(name, 255, foreign[i], letters, &why), MARTY_E_ARGUMENT);
        CHECK_HAS(why.text, foreign[i]);
    }
}

static void limits_are_said(void)
{
    char native[32], name[300];
    marty_error why = {0};
    CHECK_INT(marty_name_encode(native, 12, "events.order", letters, &why), MARTY_E_ARGUMENT);
    CHECK_HAS(why.text, "events.order takes 13 bytes on this broker, its limit is 12");
    CHECK_INT(marty_name_encode(native, 13, "events.order", letters, &why), MARTY_OK);
    CHECK_INT(marty_name_encode(native, 31, "", letters, &why), MARTY_E_ARGUMENT);
    CHECK_INT(marty_name_encode(native, 31, "a", "abc", &why), MARTY_E_ARGUMENT);
    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    CHECK_INT(marty_name_encode(native, 31, name, letters, &why), MARTY_E_ARGUMENT);
    CHECK_HAS(why.text, "over 255 bytes");
    CHECK_INT(marty_name_decode(native, 31, name, letters, &why), MARTY_E_ARGUMENT);
    CHECK_INT(marty_name_decode(native, 2, "abc", letters, &why), MARTY_E_ARGUMENT);
}

int main(void)
{
    names_become_what_the_mapping_says();
    every_short_name_goes_there_and_back();
    random_names_go_there_and_back();
    decoding_takes_only_what_encoding_gives();
    limits_are_said();
    return check_result();
}
