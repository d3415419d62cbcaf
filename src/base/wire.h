/* SPDX-License-Identifier: Apache-2.0
 * Numbers and texts in few bytes: LEB128 without needless bytes, texts behind their size. A reader
 * that has met a mistake stays broken and gives zeros, so it is looked at once, at the end. */
#ifndef MARTY_BASE_WIRE_H
#define MARTY_BASE_WIRE_H
#include "base/buffer.h"

#include <marty/types.h>

typedef struct marty__wire {
    const uint8_t *at, *end;
    bool broken;
} marty__wire;

void marty__wire_put(marty__buffer *to, uint64_t number);
void marty__wire_put_bytes(marty__buffer *to, marty_bytes bytes);
uint64_t marty__wire_number(marty__wire *from);
/** A number of at most max, else broken. */
uint64_t marty__wire_upto(marty__wire *from, uint64_t max);
/** The same, but not 0: what is absent is not written. */
uint64_t marty__wire_some(marty__wire *from, uint64_t max);
/** Borrowed from what is read; at most max bytes. */
marty_bytes marty__wire_bytes(marty__wire *from, size_t max);
/** Exactly size bytes. */
void marty__wire_raw(marty__wire *from, void *to, size_t size);
#endif
