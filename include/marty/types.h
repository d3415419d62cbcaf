/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MARTY_TYPES_H
#define MARTY_TYPES_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(MARTY__ATTRIBUTE) /* a binding generator's */
#elif defined(__GNUC__)
#define MARTY__ATTRIBUTE(x) __attribute__((x))
#else
#define MARTY__ATTRIBUTE(x)
#endif
#define MARTY_API MARTY__ATTRIBUTE(visibility("default"))
#define MARTY_MUST                                                                                 \
    MARTY_API MARTY__ATTRIBUTE(warn_unused_result) /* dropping this error would lose a message */
#define MARTY_INLINE static inline MARTY__ATTRIBUTE(unused)
#define MARTY_VERB MARTY_INLINE MARTY__ATTRIBUTE(warn_unused_result)
#ifdef __cplusplus
extern "C" {
#endif
typedef struct marty_bus marty_bus;
typedef struct marty_subscription marty_subscription;
typedef struct marty_delivery marty_delivery;
typedef struct marty_bytes {
    const void *data;
    size_t size;
} marty_bytes; /* Borrowed view; data may be NULL when size is 0. */
/** View of a string without its NUL; NULL gives no bytes. Never copies. */
MARTY_INLINE marty_bytes marty_text(const char *text)
{
    marty_bytes bytes = {text, text ? strlen(text) : 0};
    return bytes;
}
#define MARTY_BYTES_ARGS(b) (int)(b).size, (const char *)(b).data /* for "%.*s" */
#define MARTY_NO_WAIT (-1)
#ifdef __cplusplus
}
#endif
#endif
