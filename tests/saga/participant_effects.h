/* SPDX-License-Identifier: Apache-2.0
 * The effect of this library's participant under test: what a command's `act` asks for beside the
 * row, and how SQL is run on each kind of database. A participant is a bus of its own on `url`. */
#ifndef TESTS_SAGA_PARTICIPANT_EFFECTS_H
#define TESTS_SAGA_PARTICIPANT_EFFECTS_H
#include "participant.h"

/** A kind of database: run SQL in a transaction that an effect was given; false = it failed. */
typedef bool (*effect_sql)(void *transaction, const char *sql);

typedef struct payment {
    marty_bus *bus;
    const char *service; /* NULL = payment */
    effect_sql run;
    /** NULL, or: what the kind of database does for an act. */
    void (*act)(const char *act, void *transaction);
} payment;

/** Take part with charge and refund, reserve and release, with the notes there. */
void payment_start(payment *p, const char *store_url);
/** Local steps of an engine whose store has the table of effects, too. */
void local_steps(world *w, const char *store_url, effect_sql run);
/** How often an effect has been called. */
int payment_calls(void);
#endif
