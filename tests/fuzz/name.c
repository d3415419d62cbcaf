/* SPDX-License-Identifier: Apache-2.0
 * Names of channels: what is encoded has only allowed bytes and comes back; what is decoded was
 * encoded so. */
#include "tests/fuzz/fuzz.h"

enum { MOST = 400 };

static void check(const char *text, const char *allowed)
{
    char native[MOST + 1], back[MOST + 1], again[MOST + 1];
    marty_error why = {0};
    if (marty_name_encode(native, MOST, text, allowed, &why) == MARTY_OK) {
        for (const char *at = native; *at; at++) {
            FUZZ_CHECK(strchr(allowed, *at));
        }
        FUZZ_CHECK(marty_name_decode(back, MOST, native, allowed, &why) == MARTY_OK);
        FUZZ_CHECK(strcmp(back, text) == 0);
    } else {
        FUZZ_CHECK(why.code == MARTY_E_ARGUMENT && why.text[0]);
    }
    if (marty_name_decode(back, MOST, text, allowed, &why) == MARTY_OK) {
        bool fits = strlen(text) <= MOST;
        marty_err err = marty_name_encode(again, MOST, back, allowed, &why);
        FUZZ_CHECK(fits ? err == MARTY_OK && strcmp(again, text) == 0 : err == MARTY_E_ARGUMENT);
    } else {
        FUZZ_CHECK(why.code == MARTY_E_ARGUMENT && why.text[0]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char most[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    static const char dots[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.";
    static const char lower[] = "abcdefghijklmnopqrstuvwxyz0123456789-_";
    char *text = fuzz_text(data, size);
    check(text, most);
    check(text, dots);
    check(text, lower);
    free(text);
    return 0;
}
