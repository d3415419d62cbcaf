/* SPDX-License-Identifier: Apache-2.0
 * A participant's insides: what it is, and one operation that it is asked for. A batch of them is
 * handled by one worker, from its reading to its answers. */
#ifndef MARTY_SAGA_PARTICIPANT_PARTICIPANT_H
#define MARTY_SAGA_PARTICIPANT_PARTICIPANT_H
#include "notes.h"

#include "saga/engine/engine.h"

typedef struct participant {
    marty_bus *bus;
    const marty__notes_table *table;
    marty__notes *notes;
    marty_effect effect, probe;
    void *user;
    uint64_t keep_us;
    _Atomic unsigned handled;
} participant;

/* One delivery of a batch: the operation that it asks for, and the answer that it gets. */
typedef struct asked {
    participant *self;
    struct asked *next;
    marty_delivery *delivery;
    engine_operation operation; /* texts are the headers below */
    char saga[40], step[256], key[MARTY__SAGA_TEXT], forward[MARTY__SAGA_TEXT], reply_to[128];
    char attempt[12];
    const char *reply; /* the word */
    const char *reason;
    marty_bytes result;
    bool tombstone;
    marty_err err; /* nothing is known of it: it must come again */
    marty__note note, forward_note;
    marty_error why;
} asked;

/** Do what the rules say, within the transaction: what is to be answered is in it then. E: FAILED:
 * by what its effect did nothing counts that was done in the transaction; others: nothing is known.
 */
marty_err marty__participant_work(asked *one, void *transaction);
/** Nothing was done, for the reason in `why`: answer so. */
void marty__participant_give_up(asked *one);
/** As it was before it was worked on. */
void marty__participant_reset(asked *one);
#endif
