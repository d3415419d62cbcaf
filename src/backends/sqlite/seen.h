/* SPDX-License-Identifier: Apache-2.0
 * The newest ids in memory: two halves, each a run of entries with a hash table over it. Filled in
 * order; when one is full the other is emptied and goes on, so nothing is ever taken out of a
 * table but the last one put in. One thread. */
#ifndef MARTY_BACKENDS_SQLITE_SEEN_H
#define MARTY_BACKENDS_SQLITE_SEEN_H
#include "work.h"

enum {
    SQ_SEEN_BYTES = 16,
    SQ_SEEN_FRESH_MS = 2000,
    SQ_SEEN_SPAN_BLOCKS = 128, /* blocks that share a row of marty_seen_span: id >> 7 in sql.h */
    SQ_SEEN_HALF = 32768,      /* entries of a half: their index + 1 has 16 bits in a slot */
    SQ_SEEN_SLOTS = 2 * SQ_SEEN_HALF
};
typedef struct sq_seen_half {
    unsigned char entries[SQ_SEEN_HALF][SQ_SEEN_BYTES];
    uint32_t slots[SQ_SEEN_SLOTS]; /* see seen_set.c */
    uint32_t count;
    int64_t last_ms;
} sq_seen_half;
typedef struct sq_seen_set { /* pending: entries from there on are of this round, not committed */
    sq_seen_half *halves[2]; /* [0] is being filled */
    uint32_t pending;
    int64_t first_ms, last_ms; /* of the pending ones */
    int64_t horizon_ms;        /* ids made before it may have been dropped */
    int64_t last_id, saved_id; /* newest block taken in; written in this round */
    uint64_t round;            /* synced in it */
    uint32_t last_slot;
    bool any_late, undo_name, started;
    int64_t context_channel; /* the last context, and of what it is; 0 = none */
    uint64_t context;
    char context_source[128];
    int64_t undo[3];
} sq_seen_set;

/** Whether it was not there; then it is now. There is always room within a round. */
bool marty__sq_seen_add(sq_seen_set *seen, const unsigned char entry[SQ_SEEN_BYTES], int64_t ms);
/** Whether it is among those of this round. */
bool marty__sq_seen_pending(const sq_seen_set *seen, const unsigned char entry[SQ_SEEN_BYTES]);
/** Take the last one out again. */
void marty__sq_seen_drop_last(sq_seen_set *seen);
#endif
