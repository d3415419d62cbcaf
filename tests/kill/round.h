/* SPDX-License-Identifier: Apache-2.0
 * One round: orders are placed while a seed's choice of processes is killed, until every saga has
 * ended; then everything is counted. One thread. */
#ifndef TESTS_KILL_ROUND_H
#define TESTS_KILL_ROUND_H
#include "stage.h"

#include <marty/marty.h>
#include <marty/saga.h>

typedef struct outcome {
    int kills, killed[ACTORS], gave_up;
    int64_t done_ms;         /* from the start of the round */
    int64_t kill_to_done_ms; /* from the last kill until every saga has ended */
    bool right, missing;     /* missing: a server that is not installed */
    char why[1300];
} outcome;

/** Places all orders and ends; what fails is tried again with the same key. */
int place_orders(const char *bus, const char *store, int count);
/** Plays one. */
void round_play(outcome *ret, const kill_options *o);
/** Whether nothing waits at the broker, and (held_too) nothing is unsettled. false: why. */
bool queues_are_empty(marty_bus *bus, bool held_too, char *ret_why, size_t why_size);
/** false: why. */
bool letters_are_none(marty_bus *bus, char *ret_why, size_t why_size);
/** Writes what is still open, each with its history, into FOLDER/open.jsonl. */
void verdict_show_open(marty_saga_engine *engine, const char *folder);
/** Counts what is in the store of sagas and in the participants' databases. false: why. */
bool verdict_take(marty_saga_engine *engine, const char *folder, int orders, char *ret_why,
                  size_t why_size);
#endif
