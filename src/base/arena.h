/* SPDX-License-Identifier: Apache-2.0
 * Memory that is freed all at once: for what is read once and lives together. A failed allocation
 * is remembered in `failed`, so that a reader may check once, at its end. Not thread-safe. */
#ifndef MARTY_BASE_ARENA_H
#define MARTY_BASE_ARENA_H
#include <marty/types.h>

typedef struct marty__arena {
    struct marty__arena_block *blocks;
    bool failed;
} marty__arena;

/** Zeroed memory, aligned for everything; NULL (and failed) without memory. */
void *marty__arena_alloc(marty__arena *arena, size_t size);
/** Copy of bytes with a NUL after them; NULL (and failed) without memory. */
char *marty__arena_text(marty__arena *arena, const char *text, size_t size);
/** Copy of what printf would print; NULL (and failed) without memory. */
char *marty__arena_format(marty__arena *arena, const char *format, ...)
    MARTY__ATTRIBUTE(format(printf, 2, 3));
/** Empty it for the next use; a block is kept for that. */
void marty__arena_reset(marty__arena *arena);
/** Free all of it; the arena is empty and usable again. */
void marty__arena_free(marty__arena *arena);
#endif
