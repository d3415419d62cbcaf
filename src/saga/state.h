/* SPDX-License-Identifier: Apache-2.0
 * A saga's state. The only thing that changes it is marty__saga_apply of an entry, so folding the
 * history gives exactly the state, by construction. Both have one compact encoding with a version
 * byte; the decoders refuse whatever the encoders cannot write. A decoded state borrows its texts
 * from the bytes it was read from and has the rest in an arena. One thread at a time. */
#ifndef MARTY_SAGA_STATE_H
#define MARTY_SAGA_STATE_H
#include "base/arena.h"
#include "base/buffer.h"

#include <marty/types.h>

#include <marty/error.h>

enum {
    MARTY__SAGA_KEY_BYTES = 16,
    MARTY__SAGA_TEXT = 48,        /* any id or key as text, with its NUL */
    MARTY__SAGA_ID_TEXT_MAX = 39, /* of a saga's own id, as <marty/saga_store.h> has it */
    MARTY__SAGA_START_KEY_MAX = 128,
    MARTY__SAGA_STATE_BYTES_MAX = 1 << 20,
    MARTY__SAGA_RESULT_BYTES_MAX = 256 << 10,
    MARTY__SAGA_REASON_BYTES_MAX = 1024,
    MARTY__SAGA_SLOTS_MAX = 20000, /* node instances of one saga */
    MARTY__SAGA_SEEN_MAX = 1000,   /* signals and verbs of one saga */
    MARTY__SAGA_KEPT_MAX = 100,    /* signals that came before their wait */
    MARTY__SAGA_ID_BYTES_MAX = 255 /* ids, names and notes that come from outside */
};

typedef enum marty__saga_phase {
    MARTY__SAGA_RUNNING = 1,
    MARTY__SAGA_COMPENSATING,
    MARTY__SAGA_COMPLETED, /* the first of the ends */
    MARTY__SAGA_COMPENSATED,
    MARTY__SAGA_ABANDONED
} marty__saga_phase;

/* Flags of a saga. */
enum {
    MARTY__SAGA_PAUSED = 1,
    MARTY__SAGA_CANCEL = 2, /* cancel requested; void once the pivot is done */
    MARTY__SAGA_PIVOT_PASSED = 4,
    MARTY__SAGA_CHILD_SAGA = 8,  /* has a parent that wants the answer */
    MARTY__SAGA_UNDO_ASKED = 16, /* the parent's undo waits for the answer */
    MARTY__SAGA_REOPENED = 32,   /* was COMPLETED once, undone after that */
    MARTY__SAGA_OVERDUE = 64,    /* the deadline has passed */
    MARTY__SAGA_RESIDUE = 128,   /* ended with effects that are left */
    MARTY__SAGA_BORN_DEAD = 256  /* made by an undo that came before its start */
};

/* Of a leaf: IDLE to WAIVED; of the others OPEN, DONE, REJECTED. */
typedef enum marty__saga_status {
    MARTY__SAGA_IDLE = 1,
    MARTY__SAGA_CALLING, /* a wait: it waits */
    MARTY__SAGA_BACKOFF,
    MARTY__SAGA_DONE,
    MARTY__SAGA_REJECTED,
    MARTY__SAGA_IN_DOUBT,
    MARTY__SAGA_SKIPPED,
    MARTY__SAGA_UNDOING,
    MARTY__SAGA_UNDO_BACKOFF,
    MARTY__SAGA_UNDONE,
    MARTY__SAGA_RESOLVED, /* found to have no effect, or nothing to undo */
    MARTY__SAGA_UNDO_STUCK,
    MARTY__SAGA_WAIVED,
    MARTY__SAGA_OPEN
} marty__saga_status;

/* Why a node is stuck (0 = it is not). */
typedef enum marty__saga_stuck {
    MARTY__SAGA_STUCK_REFUSED = 1, /* refused where it may not be: retriable, or after the pivot */
    MARTY__SAGA_STUCK_DOUBT,       /* in doubt, and nothing left to try */
    MARTY__SAGA_STUCK_UNDO,        /* its undo failed for good */
    MARTY__SAGA_STUCK_NO_UNDO,     /* it must be undone and has no undo */
    MARTY__SAGA_STUCK_RESIDUE,     /* its child ended with effects left */
    MARTY__SAGA_STUCK_HORIZON,     /* its key may be forgotten already by the participant */
    MARTY__SAGA_STUCK_LIMIT,       /* over a limit: iterations, items, size */
    MARTY__SAGA_STUCK_MISSING      /* the engine has no such function or definition */
} marty__saga_stuck;

/* Flags of a slot. */
enum {
    MARTY__SAGA_STARTED = 1,    /* the current attempt was ACCEPTED */
    MARTY__SAGA_DOUBTFUL = 2,   /* an attempt of this generation had no answer */
    MARTY__SAGA_KNOWN = 4,      /* the forward result is there (DONE) */
    MARTY__SAGA_C_REFUSED = 8,  /* the last answer to the undo was REJECTED */
    MARTY__SAGA_LEFT_OVER = 16, /* waived or skipped by a person with an effect that may be there */
    MARTY__SAGA_LATE_F = 32,    /* a late answer to F was recorded */
    MARTY__SAGA_BROKEN = 64,    /* an answer contradicted a definite one: recorded */
    MARTY__SAGA_CANCELLED = 128, /* a child: its cancel was sent */
    MARTY__SAGA_FORCED = 256,    /* at_most_once: a person allowed another call */
    MARTY__SAGA_TO_UNDO = 512    /* in doubt, and its undo is what comes next */
};

enum {
    MARTY__SAGA_TIMER_MAIN,
    MARTY__SAGA_TIMER_START,
    MARTY__SAGA_TIMER_HEARTBEAT,
    MARTY__SAGA_TIMER_TOTAL,
    MARTY__SAGA_TIMERS
};
typedef struct marty__saga_timer {
    int64_t due_us; /* wall clock; 0 = not armed */
    uint64_t token; /* never used twice in a saga */
} marty__saga_timer;

/* One direction of an op. Attempts are never used twice within a generation. */
typedef struct marty__saga_op {
    uint32_t generation, attempt; /* attempt 0 = never sent */
    uint32_t used;                /* of the budget, over all generations since the last reset */
    int64_t first_us;             /* first dispatch of this generation; 0 = none */
    int64_t since_us;             /* when its budget began; 0 = at first_us */
    marty_bytes input;            /* replaced by a person; size 0 = not */
} marty__saga_op;

/* A node instance. Slot 0 is the root sequence. */
typedef struct marty__saga_slot {
    uint16_t node;
    marty__saga_status status;
    marty__saga_stuck stuck;
    uint32_t parent;    /* a slot; of slot 0 itself */
    uint32_t iteration; /* within the loop or the map that is its parent */
    uint32_t flags;
    uint32_t count; /* choice: case taken + 1 (0 = none); loop: iterations begun; map: items */
    uint32_t probes, probes_used; /* sent ever; of the budget */
    uint64_t done;                /* place in the order of completion; 0 = not done */
    marty__saga_op forward, undo;
    marty__saga_timer timers[MARTY__SAGA_TIMERS];
    marty_bytes result;     /* JSON; of DONE */
    marty_bytes reason;     /* text; of REJECTED, of what is stuck, of the last RETRY */
    marty_bytes checkpoint; /* JSON; the last PROGRESS */
    uint32_t last, before;  /* not encoded: last child, the sibling before; 0 = none */
} marty__saga_slot;

/* A signal that came before its wait. */
typedef struct marty__saga_kept {
    marty_bytes name, data;
    int64_t until_us; /* 0 = the end of the saga */
} marty__saga_kept;

typedef struct marty__saga_state {
    uint64_t version; /* 0 = there is none yet */
    char id[MARTY__SAGA_TEXT];
    uint8_t definition[32];
    marty__saga_phase phase;
    uint32_t flags;
    int64_t started_us, changed_us;
    marty_bytes input, key; /* key: the start key, may be empty */
    marty_bytes reason;     /* why it left RUNNING, or was abandoned */
    marty__saga_timer deadline;
    uint8_t parent[MARTY__SAGA_KEY_BYTES];      /* op key of F at the parent */
    uint8_t parent_undo[MARTY__SAGA_KEY_BYTES]; /* op key of C at the parent */
    marty_bytes parent_saga;                    /* its id; empty without a parent */
    uint64_t tokens, completions; /* counters: of timers, of the order of completion */
    marty__saga_slot *slots;
    uint32_t slot_count, slot_room;
    uint8_t (*seen)[MARTY__SAGA_KEY_BYTES]; /* ids of signals and verbs, hashed */
    uint32_t seen_count, seen_room;
    marty__saga_kept *kept;
    uint32_t kept_count, kept_room;
    marty__arena *arena; /* of everything that grows */
} marty__saga_state;

/** Read a state; it borrows bytes and arena. E: MALFORMED, NO_MEMORY. */
marty_err marty__saga_state_read(marty__saga_state *ret, marty__arena *arena, marty_bytes bytes,
                                 marty_error *why);
/** Append the encoding; the buffer's `failed` says when there was no memory. */
void marty__saga_state_write(const marty__saga_state *state, marty__buffer *to);
/** The earliest timer that may act, 0 = none: what a store keeps as the saga's due time. */
int64_t marty__saga_state_due(const marty__saga_state *state);
/** "running", "stuck-forward", "completed": as people and the store's index see it. Static. */
const char *marty__saga_state_word(const marty__saga_state *state);
/** The first stuck slot, or NULL. */
const marty__saga_slot *marty__saga_state_stuck(const marty__saga_state *state);
/** When the budget of an op began, which its total time is counted from; 0 = it was never sent. */
MARTY_INLINE int64_t marty__saga_budget_us(const marty__saga_op *op)
{
    return op->since_us ? op->since_us : op->first_us;
}
/** Words of the enumerations, for views. Static. */
const char *marty__saga_status_word(marty__saga_status status);
const char *marty__saga_stuck_word(marty__saga_stuck stuck);
const char *marty__saga_phase_word(marty__saga_phase phase);

MARTY_INLINE bool marty__saga_ended(const marty__saga_state *state)
{
    return state->phase >= MARTY__SAGA_COMPLETED;
}
#endif
