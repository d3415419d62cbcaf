/* SPDX-License-Identifier: Apache-2.0
 * The log of a channel: segments of entries in a ring of pointers, so that any offset is found at
 * once and both ends move without copying. Emptied segments are used again by the next log that
 * needs one. With the broker's lock held. */
#include "memory.h"

#include <string.h>

enum { SPARE_MAX = 64, RING_FIRST = 4 };

static uint64_t segment_of(uint64_t offset)
{
    return offset / SEGMENT_ENTRIES;
}

static segment **slot_of(const record_log *log, uint64_t number)
{
    return &log->ring[number & (log->capacity - 1)];
}

static bool grow(record_log *log)
{
    size_t capacity = log->capacity ? log->capacity * 2 : RING_FIRST;
    segment **ring = marty_alloc_zero(capacity, sizeof(segment *));
    if (!ring) {
        return false;
    }
    for (uint64_t i = 0; i < log->capacity; i++) {
        uint64_t number = segment_of(log->first) + i;
        ring[number & (capacity - 1)] = *slot_of(log, number);
    }
    marty_free(log->ring);
    log->ring = ring;
    log->capacity = capacity;
    return true;
}

static segment *take_segment(broker *b)
{
    segment *taken = b->spare_segments;
    if (taken) {
        b->spare_segments = taken->next;
        b->spare_count--;
        return taken;
    }
    return marty_alloc(sizeof *taken);
}

static void give_segment(broker *b, segment *given)
{
    if (b->spare_count < SPARE_MAX) {
        given->next = b->spare_segments;
        b->spare_segments = given;
        b->spare_count++;
    } else {
        marty_free(given);
    }
}

entry *marty__mem_log_place_new(broker *b, record_log *log)
{
    uint64_t number = segment_of(log->next);
    if (number - segment_of(log->first) >= log->capacity && !grow(log)) {
        return NULL;
    }
    segment **slot = slot_of(log, number);
    if (!*slot) {
        *slot = take_segment(b);
        if (!*slot) {
            return NULL;
        }
    }
    return &(*slot)->entries[log->next % SEGMENT_ENTRIES];
}

void marty__mem_log_advance(broker *b, record_log *log, uint64_t count)
{
    log->first += count;
    if (log->first % SEGMENT_ENTRIES == 0) {
        segment **slot = slot_of(log, segment_of(log->first) - 1);
        give_segment(b, *slot);
        *slot = NULL;
    }
}

void marty__mem_log_free(broker *b, record_log *log)
{
    for (size_t i = 0; i < log->capacity; i++) {
        if (log->ring[i]) {
            give_segment(b, log->ring[i]);
        }
    }
    marty_free(log->ring);
    *log = (record_log){0};
}
