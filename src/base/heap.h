/* SPDX-License-Identifier: Apache-2.0
 * Timers: an intrusive pairing heap by time. Adding and removing never allocate, so arming a timer
 * cannot fail. Not thread-safe. */
#ifndef MARTY_BASE_HEAP_H
#define MARTY_BASE_HEAP_H
#include <marty/types.h>

typedef struct marty__timer {
    int64_t at_ns;
    struct marty__timer *child, *next,
        *before; /* before: the sibling before, or the parent of a first child */
    bool armed;
} marty__timer;
typedef struct marty__heap {
    marty__timer *root;
} marty__heap;

/** Arm (or arm anew) for a time. */
void marty__heap_add(marty__heap *heap, marty__timer *timer, int64_t at_ns);
/** Disarm; fine when it is not armed. */
void marty__heap_remove(marty__heap *heap, marty__timer *timer);
/** When the first is due, MARTY__NEVER (INT64_MAX) when none is. */
int64_t marty__heap_next_ns(const marty__heap *heap);
/** The first one that is due at now, taken out, or NULL. */
marty__timer *marty__heap_pop(marty__heap *heap, int64_t now_ns);
#endif
