/* SPDX-License-Identifier: Apache-2.0
 * SHA-256 gives what FIPS 180-4's examples say, however its input is cut. */
#include "base/sha256.h"

#include "check.h"

static void text_of(char out[65], const char *data, size_t size, size_t step)
{
    marty__sha256 hash;
    uint8_t bytes[MARTY__SHA256_BYTES];
    marty__sha256_begin(&hash);
    for (size_t at = 0; at < size; at += step) {
        marty__sha256_add(&hash, data + at, step < size - at ? step : size - at);
    }
    marty__sha256_end(&hash, bytes);
    for (size_t i = 0; i < sizeof bytes; i++) {
        snprintf(out + 2 * i, 3, "%02x", bytes[i]);
    }
}

int main(void)
{
    static const struct {
        const char *text, *want;
    } cases[] = {{"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
                 {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
                 {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                  "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
                 {"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopq"
                  "klmnopqrlmn"
                  "opqrsmnopqrstnopqrstu",
                  "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"}};
    char text[65];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (size_t step = 1; step < 70; step += 23) {
            text_of(text, cases[i].text, strlen(cases[i].text), step);
            CHECK_TEXT(text, cases[i].want);
        }
    }
    char *million = malloc(1000000);
    REQUIRE(million);
    memset(million, 'a', 1000000);
    text_of(text, million, 1000000, 1009);
    CHECK_TEXT(text, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    free(million);
    return check_result();
}
