/* SPDX-License-Identifier: Apache-2.0
 * What the fuzz targets share. A target is one file with LLVMFuzzerTestOneInput: it never crashes,
 * and what it decoded holds what the decoder promises (FUZZ_CHECK), whatever the input. libFuzzer
 * drives it in the fuzz preset, fuzz_main.c everywhere else. One thread. */
#ifndef MARTY_TESTS_FUZZ_H
#define MARTY_TESTS_FUZZ_H
#include "message/message.h"
#include "tests/fuzz/event.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/** The promise holds, or the process ends. */
#define FUZZ_CHECK(condition)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #condition);                \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/** Whether jansson's error is about what it cannot hold (large numbers, a NUL in a name), not about
 * what JSON is. */
#define FUZZ_JANSSON_LIMIT(error)                                                                  \
    (json_error_code(error) == json_error_numeric_overflow ||                                      \
     json_error_code(error) == json_error_null_byte_in_key)

/** A copy of the input with a NUL behind it, and nothing behind that. Free with free. */
static inline char *fuzz_text(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    FUZZ_CHECK(text);
    if (size) {
        memcpy(text, data, size);
    }
    text[size] = '\0';
    return text;
}
#endif
