/* SPDX-License-Identifier: Apache-2.0
 * Writing JSON strings into memory that is large enough. The text is UTF-8. Pure functions. */
#ifndef MARTY_MESSAGE_JSON_WRITE_H
#define MARTY_MESSAGE_JSON_WRITE_H
#include <marty/types.h>

/** Room for the string with its quotes. */
size_t marty__json_room(const char *text, size_t size);
/** Write it with its quotes, UTF-8 as it is; returns the end. */
char *marty__json_put(char *at, const char *text, size_t size);
/** The same in ASCII only, as Python's json.dumps has it: \uXXXX, surrogate pairs. Bytes that are
 * not UTF-8 become U+FFFD. */
size_t marty__json_room_ascii(const char *text, size_t size);
char *marty__json_put_ascii(char *at, const char *text, size_t size);
#endif
