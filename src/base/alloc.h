/* SPDX-License-Identifier: Apache-2.0
 * Allocation inside the library: marty_alloc and friends are public in <marty/backend.h>; here are
 * the internal extras. */
#ifndef MARTY_BASE_ALLOC_H
#define MARTY_BASE_ALLOC_H
#include <marty/backend.h>

/** Asked before every allocation; false makes it fail. Any thread. Torture only. */
typedef bool (*marty__alloc_hook)(size_t size);
/** Set or clear (NULL) the hook. */
void marty__alloc_set_hook(marty__alloc_hook may_allocate);

/** What the hook says to an allocation of that size (true without a hook): for caches of blocks, so
 * that torture reaches what they hand out. */
bool marty__alloc_allowed(size_t size);
/** Whether there is a hook. */
bool marty__alloc_hooked(void);

/** Copy of a string, or NULL when out of memory. Free with marty_free. */
char *marty__strdup(const char *text);
/** Copy of bytes, or NULL when out of memory. */
void *marty__memdup(const void *data, size_t size);
#endif
