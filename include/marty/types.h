/* SPDX-License-Identifier: Apache-2.0
 * Handles, bytes, and the macros that mark declarations. The rules that hold for every declaration
 * of Marty stand once, at the top of <marty/marty.h>. Nothing here allocates or waits. */
#ifndef MARTY_TYPES_H
#define MARTY_TYPES_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/**
 * A compiler's attribute, or nothing. A binding generator may define it first.
 *
 * @since 0.1
 * @source docs/design/0002-public-api.md
 */
#if defined(MARTY__ATTRIBUTE)
#elif defined(__GNUC__)
#define MARTY__ATTRIBUTE(x) __attribute__((x))
#else
#define MARTY__ATTRIBUTE(x)
#endif
/** Exported by the library. @since 0.1 @source docs/design/0002-public-api.md */
#define MARTY_API MARTY__ATTRIBUTE(visibility("default"))
/** The same, and dropping its error would lose a message: the compiler warns.
 *  @since 0.1 @source docs/design/0002-public-api.md */
#define MARTY_MUST MARTY_API MARTY__ATTRIBUTE(warn_unused_result)
/** A convenience that is compiled into the caller.
 *  @since 0.1 @source docs/design/0002-public-api.md */
#define MARTY_INLINE static inline MARTY__ATTRIBUTE(unused)
/** The same, of which the error must not be dropped.
 *  @since 0.1 @source docs/design/0002-public-api.md */
#define MARTY_VERB MARTY_INLINE MARTY__ATTRIBUTE(warn_unused_result)

#ifdef __cplusplus
extern "C" {
#endif

/** What a service opens: its connections, routes, subscriptions and workers. One owner.
 *  @since 0.1 @source docs/design/0001-architecture.md */
typedef struct marty_bus marty_bus;
/** One handler's place at a channel. One owner.
 *  @since 0.1 @source docs/design/0001-architecture.md */
typedef struct marty_subscription marty_subscription;
/** One attempt to hand a message to a handler. Counted.
 *  @since 0.1 @source docs/design/0001-architecture.md */
typedef struct marty_delivery marty_delivery;

/** Borrowed view of bytes. @since 0.1 @source docs/design/0002-public-api.md */
typedef struct marty_bytes {
    const void *data; /**< May be NULL when size is 0. */
    size_t size;      /**< How many bytes. */
} marty_bytes;

/**
 * View of a string without its NUL. Never copies.
 *
 * @param text The string; NULL gives no bytes. Borrowed as long as the view is used.
 * @return The view.
 * @threads Any.
 * @since 0.1
 * @source docs/design/0002-public-api.md
 */
MARTY_INLINE marty_bytes marty_text(const char *text)
{
    marty_bytes bytes = {text, text ? strlen(text) : 0};
    return bytes;
}

/** The two arguments of "%.*s" for a marty_bytes.
 *  @since 0.1 @source docs/design/0002-public-api.md */
#define MARTY_BYTES_ARGS(b) (int)(b).size, (const char *)(b).data
/** A timeout: do not wait at all. @since 0.1 @source docs/design/0002-public-api.md */
#define MARTY_NO_WAIT (-1)

#ifdef __cplusplus
}
#endif
#endif
