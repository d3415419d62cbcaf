/* SPDX-License-Identifier: Apache-2.0
 * Memory that is freed all at once: a list of blocks, one per allocation that is large, shared by
 * the small ones. Not thread-safe. */
#include "arena.h"

#include "alloc.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { BLOCK = 8192 };
typedef struct marty__arena_block {
    struct marty__arena_block *next;
    size_t used, size;
    _Alignas(max_align_t) char bytes[];
} block;

void *marty__arena_alloc(marty__arena *arena, size_t size)
{
    size = (size + _Alignof(max_align_t) - 1) / _Alignof(max_align_t) * _Alignof(max_align_t);
    block *at = arena->blocks;
    if (!at || at->size - at->used < size) {
        size_t room = size > BLOCK / 2 ? size : BLOCK;
        at = marty_alloc_zero(1, sizeof *at + room);
        if (!at) {
            arena->failed = true;
            return NULL;
        }
        at->size = room;
        block **where = room == BLOCK || !arena->blocks ? &arena->blocks : &arena->blocks->next;
        at->next = *where;
        *where = at;
    }
    void *memory = at->bytes + at->used;
    at->used += size;
    return memory;
}

char *marty__arena_text(marty__arena *arena, const char *text, size_t size)
{
    char *copy = marty__arena_alloc(arena, size + 1);
    if (copy && size) {
        memcpy(copy, text, size);
    }
    return copy;
}

char *marty__arena_format(marty__arena *arena, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    char *text = marty__arena_alloc(arena, size < 0 ? 1 : (size_t)size + 1);
    if (text && size > 0) {
        va_start(arguments, format);
        (void)vsnprintf(text, (size_t)size + 1, format, arguments);
        va_end(arguments);
    }
    return text;
}

void marty__arena_reset(marty__arena *arena)
{
    block *kept = NULL;
    for (block *at = arena->blocks, *next; at; at = next) {
        next = at->next;
        if (!kept && at->size == BLOCK) {
            kept = at;
        } else {
            marty_free(at);
        }
    }
    if (kept) {
        memset(kept->bytes, 0, kept->used);
        kept->used = 0;
        kept->next = NULL;
    }
    *arena = (marty__arena){.blocks = kept};
}

void marty__arena_free(marty__arena *arena)
{
    for (block *at = arena->blocks, *next; at; at = next) {
        next = at->next;
        marty_free(at);
    }
    *arena = (marty__arena){0};
}
