/* SPDX-License-Identifier: Apache-2.0
 * Base64 of RFC 4648 section 4: the standard alphabet, padded, canonical. Pure functions. */
#ifndef MARTY_BASE_BASE64_H
#define MARTY_BASE_BASE64_H
#include <marty/types.h>

/** Length of the encoding of so many bytes, without a NUL. size is at most SIZE_MAX / 2. */
MARTY_INLINE size_t marty__base64_size(size_t size)
{
    return (size + 2) / 3 * 4;
}
/** Write the encoding (marty__base64_size bytes, no NUL); returns its length. */
size_t marty__base64_encode(char *out, const void *data, size_t size);
/** Read it: out has room for size / 4 * 3 bytes and may be the text itself. False when it is not
 * canonical base64. */
bool marty__base64_decode(void *out, size_t *ret_size, const char *text, size_t size);
#endif
