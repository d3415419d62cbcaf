/* SPDX-License-Identifier: Apache-2.0
 * References that an op drops while it has the broker's lock: giving them back means waiting for
 * memory that another core wrote last, and for the allocator, so it is done when the lock is free
 * again. An op without a list of its own, or whose list is full, gives them back where it is. */
#include "memory.h"

void marty__mem_drops_begin(broker *b, drops *into)
{
    into->count = 0;
    b->drops = into;
}

void marty__mem_drops_end(broker *b)
{
    b->drops = NULL;
}

void marty__mem_drops_give(drops *dropped)
{
    for (size_t i = 0; i < dropped->count; i++) {
        marty__message_unref_many(dropped->list[i].message, dropped->list[i].refs);
    }
}
