/* SPDX-License-Identifier: Apache-2.0
 * Eight bytes at a time over what text mostly is. Header only; pure functions. */
#ifndef MARTY_MESSAGE_ASCII_H
#define MARTY_MESSAGE_ASCII_H
#include <marty/types.h>

#define MARTY__EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

/* Not zero when one of the eight bytes is below 0x20, above 0x7e, or (with quote) is '"' or '\\'.
 */
MARTY_INLINE uint64_t marty__special_in(uint64_t word, bool quote)
{
    uint64_t low = word - MARTY__EACH(0x20);
    uint64_t del = word ^ MARTY__EACH(0x7f);
    uint64_t found = low | (del - MARTY__EACH(1)) | word;
    if (quote) {
        uint64_t mark = word ^ MARTY__EACH('"'), slash = word ^ MARTY__EACH('\\');
        found |= (mark - MARTY__EACH(1)) | (slash - MARTY__EACH(1));
    }
    return found & MARTY__EACH(0x80);
}

/** How many bytes at the start are 0x20 to 0x7e; with quote, neither '"' nor '\\'. */
MARTY_INLINE size_t marty__plain_run(const char *text, size_t size, bool quote)
{
    size_t at = 0;
    while (size - at >= 8) {
        uint64_t word = 0;
        memcpy(&word, text + at, sizeof word);
        if (marty__special_in(word, quote)) {
            break;
        }
        at += 8;
    }
    while (at < size && text[at] >= 0x20 && text[at] < 0x7f &&
           !(quote && (text[at] == '"' || text[at] == '\\'))) {
        at++;
    }
    return at;
}
#endif
