/* SPDX-License-Identifier: Apache-2.0
 * Strict UTF-8 (no overlong forms, no surrogates, nothing above U+10FFFF). Pure functions. */
#ifndef MARTY_BASE_UTF8_H
#define MARTY_BASE_UTF8_H
#include <marty/types.h>

/** Length (1 to 4) of the valid sequence at text, 0 when there is none; its code point in ret_point
 * unless NULL. */
size_t marty__utf8_next(const char *text, size_t size, uint32_t *ret_point);
/** Whether all of text is valid. */
bool marty__utf8_valid(const char *text, size_t size);
/** Append the encoding of a code point to out (4 bytes of room); returns its length. */
size_t marty__utf8_put(char *out, uint32_t point);
#endif
