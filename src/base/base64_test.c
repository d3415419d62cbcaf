/* SPDX-License-Identifier: Apache-2.0
 * Base64: RFC 4648's own examples, every byte and size there and back, what is not canonical. */
#include "base64.h"

#include "tests/check.h"

static void the_examples_of_the_rfc(void)
{
    static const char *const cases[][2] = {{"", ""},
                                           {"f", "Zg=="},
                                           {"fo", "Zm8="},
                                           {"foo", "Zm9v"},
                                           {"foob", "Zm9vYg=="},
                                           {"fooba", "Zm9vYmE="},
                                           {"foobar", "Zm9vYmFy"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char out[16];
        size_t size = strlen(cases[i][0]), length = marty__base64_encode(out, cases[i][0], size);
        CHECK_BYTES(out, length, cases[i][1], strlen(cases[i][1]));
        CHECK_INT(length, marty__base64_size(size));
        CHECK(marty__base64_decode(out, &size, out, length)); /* in place */
        CHECK_BYTES(out, size, cases[i][0], strlen(cases[i][0]));
    }
}

static void every_byte_comes_back(void)
{
    unsigned char bytes[300], back[300];
    char text[404];
    unsigned wrong = 0;
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (unsigned char)(255 - i);
    }
    for (size_t size = 0; size <= sizeof bytes; size++) {
        size_t length = marty__base64_encode(text, bytes, size), got = 0;
        wrong += length != marty__base64_size(size);
        wrong += !marty__base64_decode(back, &got, text, length);
        wrong += got != size || memcmp(back, bytes, size) != 0;
    }
    CHECK_INT(wrong, 0);
}

static void what_is_not_canonical_is_refused(void)
{
    static const char *const texts[] = {
        "A",    "AA",       "AAA",   "A===", "====", "AB==", "AAB=", "AA=A",   "A=AA",
        "=AAA", "AA==AAAA", "AA\n=", "AA-A", "AA_A", " AAA", "AAA ", "AAA\x80"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        char out[16];
        size_t size = 0;
        if (!CHECK(!marty__base64_decode(out, &size, texts[i], strlen(texts[i])))) {
            fprintf(stderr, "    of %s\n", texts[i]);
        }
    }
}

int main(void)
{
    the_examples_of_the_rfc();
    every_byte_comes_back();
    what_is_not_canonical_is_refused();
    return check_result();
}
