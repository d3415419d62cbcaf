/* SPDX-License-Identifier: Apache-2.0
 * A growing text, and memory for the program: without memory it says so and exits, so no caller
 * checks. The text is always followed by a NUL that is not counted. Not thread-safe. */
#ifndef MARTY_CLI_TEXT_H
#define MARTY_CLI_TEXT_H
#include <marty/marty.h>

typedef struct cli_text {
    char *data; /* NULL until the first byte */
    size_t size, room;
} cli_text;

/** An internal promise that stays checked in release. */
#define cli_assert(condition) ((condition) ? (void)0 : cli_broken(#condition))
/** Say which promise is broken and stop. */
_Noreturn void cli_broken(const char *what);

/** Zeroed memory, never NULL. Free with marty_free. */
void *cli_alloc(size_t size);
/** Grown memory, never NULL. */
void *cli_realloc(void *block, size_t size);
/** Copies, never NULL (but NULL of NULL). Free with marty_free. */
char *cli_strdup(const char *text);
char *cli_strndup(const char *text, size_t size);
/** A new string, printf-like. Free with marty_free. */
char *cli_textf(const char *format, ...) MARTY__ATTRIBUTE(format(printf, 1, 2));

/** Append bytes, a string, or printf-like. */
void cli_text_add(cli_text *text, const void *data, size_t size);
void cli_text_put(cli_text *text, const char *string);
void cli_text_format(cli_text *text, const char *format, ...)
    MARTY__ATTRIBUTE(format(printf, 2, 3));
/** Append a JSON string with its quotes; bytes that are not UTF-8 become U+FFFD. */
void cli_text_json(cli_text *text, const char *string, size_t size);
/** Append base64 (RFC 4648, padded). */
void cli_text_base64(cli_text *text, const void *data, size_t size);
/** Append what a terminal may see: control characters as \xNN, line ends as \n. */
void cli_text_safe(cli_text *text, const char *string, size_t size);
/** Forget the content, keep the memory. */
void cli_text_clear(cli_text *text);
/** Free the memory; empty and usable again. */
void cli_text_free(cli_text *text);
/** Decode base64 into a new block; false when it is none. Free with marty_free. */
bool cli_base64_decode(void **ret_data, size_t *ret_size, const char *text);
/** Length of the valid UTF-8 sequence at text (1 to 4), 0 when there is none. */
size_t cli_utf8_next(const char *text, size_t size);
/** Whether all of it is UTF-8. */
bool cli_utf8_valid(const char *text, size_t size);
#endif
