/* SPDX-License-Identifier: Apache-2.0
 * The one allocator of the library, with the one hook that torture uses to fail the n-th
 * allocation. Any thread. Everything in libmarty and its modules allocates here. */
#include "alloc.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static _Atomic(marty__alloc_hook) hook;

void marty__alloc_set_hook(marty__alloc_hook may_allocate)
{
    atomic_store(&hook, may_allocate);
}

static bool refused(size_t size)
{
    marty__alloc_hook may_allocate = atomic_load_explicit(&hook, memory_order_relaxed);
    return may_allocate && !may_allocate(size);
}

bool marty__alloc_allowed(size_t size)
{
    return !refused(size);
}

bool marty__alloc_hooked(void)
{
    return atomic_load_explicit(&hook, memory_order_relaxed) != NULL;
}

void *marty_alloc(size_t size)
{
    return refused(size) ? NULL : malloc(size ? size : 1);
}

void *marty_alloc_zero(size_t count, size_t size)
{
    if (size && count > SIZE_MAX / size) {
        return NULL;
    }
    return refused(count * size) ? NULL : calloc(count ? count : 1, size ? size : 1);
}

void *marty_realloc(void *block, size_t size)
{
    return refused(size) ? NULL : realloc(block, size ? size : 1);
}

void marty_free(void *block)
{
    free(block);
}

char *marty__strdup(const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = marty_alloc(size);
    return copy ? memcpy(copy, text, size) : NULL;
}

void *marty__memdup(const void *data, size_t size)
{
    void *copy = marty_alloc(size);
    return copy && size ? memcpy(copy, data, size) : copy;
}
