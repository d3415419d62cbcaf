/* SPDX-License-Identifier: Apache-2.0
 * Small texts: RFC 3339 times, base64 and attributes made clean. */
#include "tests/fuzz/fuzz.h"

#include "base/base64.h"
#include "base/time.h"
#include "message/rules.h"

static void check_time(const char *text, size_t size)
{
    char out[MARTY__TIME_TEXT];
    int64_t us = 0, back = 0;
    if (marty__time_parse(text, size, &us)) {
        size_t length = marty__time_format(out, us);
        FUZZ_CHECK(marty__time_parse(out, length, &back) && back == us);
        FUZZ_CHECK(marty__time_parse_iso(text, size, &back) && back == us);
    } else if (marty__time_parse_iso(text, size, &us)) {
        size_t length = marty__time_format(out, us);
        FUZZ_CHECK(marty__time_parse(out, length, &back) && back == us);
    }
}

static void check_base64(const char *text, size_t size)
{
    char *bytes = malloc(size + 4), *again = malloc(marty__base64_size(size) + 4);
    size_t got = 0;
    FUZZ_CHECK(bytes && again);
    if (marty__base64_decode(bytes, &got, text, size)) {
        FUZZ_CHECK(marty__base64_encode(again, bytes, got) == size);
        FUZZ_CHECK(memcmp(again, text, size) == 0); /* there is one way only */
    }
    size_t length = marty__base64_encode(again, text, size);
    free(bytes);
    bytes = malloc(length + 4);
    FUZZ_CHECK(bytes && marty__base64_decode(bytes, &got, again, length) && got == size);
    FUZZ_CHECK(memcmp(bytes, text, size) == 0);
    free(again);
    free(bytes);
}

static void check_clean(const char *text, size_t size)
{
    char *out = malloc(size + 1);
    FUZZ_CHECK(out);
    for (size_t room = size + 1; room; room /= 2) {
        size_t length = marty__text_clean(out, room, text, size);
        FUZZ_CHECK(length < room && !marty__text_wrong(out, length));
        FUZZ_CHECK(room <= size || marty__text_wrong(text, size) ||
                   (length == size && memcmp(out, text, size) == 0));
    }
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = fuzz_text(data, size);
    check_time(text, size);
    check_base64(text, size);
    check_clean(text, size);
    for (int kind = MARTY_HEADER; kind <= MARTY_ATTRIBUTE_TIMESTAMP; kind++) {
        (void)marty__value_wrong((marty_header_kind)kind, text, size);
    }
    (void)marty__trace_parent_wrong(text, size);
    (void)marty__trace_state_wrong(text, size);
    (void)marty__content_type_wrong(text, size);
    free(text);
    return 0;
}
