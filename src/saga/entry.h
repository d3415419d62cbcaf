/* SPDX-License-Identifier: Apache-2.0
 * Entries of a saga's history: the facts. Applying one is the only way in which a state changes.
 * Kinds and the order of their fields are on disk: append only. */
#ifndef MARTY_SAGA_ENTRY_H
#define MARTY_SAGA_ENTRY_H
#include "base/wire.h"
#include "state.h"

enum { MARTY__ENTRY_NUMBERS = 4, MARTY__ENTRY_BYTES = 6, MARTY__SAGA_HISTORY_VERSION = 1 };
typedef enum marty__saga_entry_kind {
    MARTY__ENTRY_BATCH = 1,  /* opens each batch: version at cause; id who note */
    MARTY__ENTRY_STARTED,    /* flags; id definition input key, parent's key and saga */
    MARTY__ENTRY_PHASE,      /* phase; reason */
    MARTY__ENTRY_FLAGS,      /* set clear */
    MARTY__ENTRY_DEADLINE,   /* due, 0 = off */
    MARTY__ENTRY_SEEN,       /* hashed id of a signal or verb */
    MARTY__ENTRY_KEPT,       /* until; name data: a signal before its wait */
    MARTY__ENTRY_TAKEN,      /* index: that signal is used */
    MARTY__ENTRY_UNDO_ASKED, /* key: by the parent */
    MARTY__ENTRY_OPENED,     /* node parent iteration leaf: a new slot */
    MARTY__ENTRY_STATUS,     /* slot status; result of DONE, else reason */
    MARTY__ENTRY_STUCK,      /* slot why; reason */
    MARTY__ENTRY_SENT,       /* slot undo: one attempt more */
    MARTY__ENTRY_GENERATION, /* slot undo: a new key */
    MARTY__ENTRY_TIMER,      /* slot which due, 0 = off */
    MARTY__ENTRY_MARK,       /* slot set clear */
    MARTY__ENTRY_REASON,     /* slot; reason */
    MARTY__ENTRY_CHECKPOINT, /* slot; data */
    MARTY__ENTRY_INPUT,      /* slot undo; data */
    MARTY__ENTRY_BUDGET,     /* slot undo: from 0 again */
    MARTY__ENTRY_PROBED,     /* slot */
    MARTY__ENTRY_COUNT,      /* slot count */
    MARTY__ENTRY_NOTE,       /* text: changes nothing */
    MARTY__ENTRY_MIGRATED,   /* definition, nodes of the slots in it */
    MARTY__ENTRY_LAST = MARTY__ENTRY_MIGRATED
} marty__saga_entry_kind;

/* What caused a batch. */
typedef enum marty__saga_cause {
    MARTY__SAGA_BY_START = 1,
    MARTY__SAGA_BY_MESSAGE,
    MARTY__SAGA_BY_TIMER,
    MARTY__SAGA_BY_SIGNAL,
    MARTY__SAGA_BY_PERSON,
    MARTY__SAGA_BY_PARENT,
    MARTY__SAGA_BY_BROKER /* it refused a command */
} marty__saga_cause;

typedef struct marty__saga_entry {
    marty__saga_entry_kind kind;
    uint64_t n[MARTY__ENTRY_NUMBERS];
    marty_bytes b[MARTY__ENTRY_BYTES];
} marty__saga_entry;

/* Names of fields for views; of bytes the first letter says what they are: t text, j JSON, h raw.
 */
typedef struct marty__saga_entry_shape {
    const char *name;
    const char *numbers[MARTY__ENTRY_NUMBERS];
    const char *bytes[MARTY__ENTRY_BYTES];
} marty__saga_entry_shape;
extern const marty__saga_entry_shape marty__saga_entry_shapes[MARTY__ENTRY_LAST + 1];

void marty__saga_entry_write(const marty__saga_entry *entry, marty__buffer *to);
/** The next of a batch; from is broken when it is none. */
void marty__saga_entry_read(marty__saga_entry *ret, marty__wire *from);
/** Apply: false when it does not fit the state (arena->failed: without memory). The state is then
 * of no use. The bytes of the entry are borrowed for as long as the state lives. */
bool marty__saga_apply(marty__saga_state *state, const marty__saga_entry *entry);
#endif
