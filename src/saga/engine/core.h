/* SPDX-License-Identifier: Apache-2.0
 * The engine without threads, broker or clock of its own: events go in, the machine decides,
 * the store keeps, commands go out. It works in turns: a turn takes what waits, decides it, commits
 * all of it together, and only then acknowledges and sends. Simulation runs this very code over a
 * simulated store and wire. One thread makes turns; inputs and outcomes may come from any. */
#ifndef MARTY_SAGA_ENGINE_CORE_H
#define MARTY_SAGA_ENGINE_CORE_H
#include "base/list.h"
#include "saga/machine.h"
#include "saga/stores/stores.h"
#include "spread.h"

#include <marty/saga.h>

typedef struct marty__saga_core marty__saga_core;

/* What became of an input. */
typedef struct marty__saga_done {
    marty_err err;                 /* MARTY_OK = durable, or known to be nothing new */
    marty__saga_ignored ignored;   /* with MARTY_OK */
    const marty_saga_facts *facts; /* of the saga now; NULL with an error */
    marty_bytes state;             /* with facts */
    const char *why;               /* with an error */
} marty__saga_done;

/* An event for one saga. Its maker owns it, and what it points to, until `done` was called: once,
 * in a turn or in close. */
typedef struct marty__saga_input {
    marty__link link;
    const char *saga; /* its id */
    marty__saga_event event;
    const char *name; /* START, PARENT_UNDO: of the definition */
    uint32_t version; /* of the definition; 0 = the newest */
    bool migrates;    /* a VERB: to that version of its definition */
    void (*done)(struct marty__saga_input *input, const marty__saga_done *done);
    /* A local function to run in the transaction that the event belongs to; else NULL. */
    const marty__saga_command *inside;
    unsigned tries; /* core's own */
} marty__saga_input;

/* One command of a saga's outbox: in the store until it was sent, here while it is being sent. */
typedef struct marty__saga_item marty__saga_item;

/* Where commands go. The calls come from the thread that makes turns, and do not block. */
typedef struct marty__saga_wire {
    void *user;
    /* Publish a command; marty__saga_item_sent follows once, from any thread, also at once. */
    void (*send)(void *user, const char *saga, const marty__saga_command *command,
                 marty__saga_item *item);
    /* Nothing more is sent for now: those that were may go. NULL = they have gone. */
    void (*flush)(void *user);
    /* Run a local function outside the store's transaction; a REPLY input follows, and sent. */
    void (*local)(void *user, const char *saga, const marty__saga_command *command,
                  marty__saga_item *item);
    /* Run one inside the transaction. Its answer as an event; data and reason live until the next
     * call. An error is a RETRY: what it did is undone. */
    marty_err (*inside)(void *user, const char *saga, const marty__saga_command *command,
                        void *transaction, marty__saga_event *ret_reply);
    /* There is something to do: make a turn soon. Any thread; it must not call core. */
    void (*wake)(void *user);
    /* A transition is durable. For waits and hooks. */
    void (*changed)(void *user, const marty_saga_change *change);
    /* A line for the log; 0 error, 1 warning, 2 information. */
    void (*log)(void *user, int level, const char *text);
} marty__saga_wire;

/* Counters, for metrics. */
typedef struct marty__saga_counts {
    uint64_t inputs, transitions, commits, sent, resent, send_failures, started;
    uint64_t ended[MARTY_SAGA_ABANDONED + 1]; /* by status */
    uint64_t ignored[MARTY__SAGA_IGNORED_MALFORMED + 1];
    uint64_t late; /* answers: of an attempt that is over, a saga that has ended, ... */
    uint64_t stuck, failing, in_doubt, undo_failures; /* how often that came about */
    uint64_t fence_losses, conflicts, doubts, timer_failures;
    int64_t timer_lag_us;            /* of the last timer that acted */
    marty__spread sagas, operations; /* from start to end; from the first attempt to the answer */
} marty__saga_counts;

enum { MARTY__SAGA_TERM_MS = 2000 };

typedef struct marty__saga_core_options {
    const marty_saga_store_table *table;
    marty_saga_store *store; /* the maker closes it, after core */
    marty__saga_wire wire;
    marty_env env;
    marty__saga_rules rules;
    const char *owner;  /* unique for each start of a process */
    bool leads;         /* has shards: timers and outboxes of others; else only what is put in */
    uint32_t term_ms;   /* of leases; 0 = MARTY__SAGA_TERM_MS */
    uint32_t cache_max; /* sagas kept in memory; 0 = 4,096 */
} marty__saga_core_options;

marty_err marty__saga_core_open(marty__saga_core **ret_core,
                                const marty__saga_core_options *options, marty_error *why);
/** Take no more inputs: those put in from now on are answered with CLOSED. Any thread. */
void marty__saga_core_stop(marty__saga_core *core);
/** Answer all that waits for a turn with CLOSED, once no more are made: else what is put back would
 * never be. */
void marty__saga_core_refuse(marty__saga_core *core);
/** Give shards back, answer what waits with CLOSED, free. No outcome may come any more. */
void marty__saga_core_close(marty__saga_core *core);
/** Add a definition: kept in the store, newest of its name from now on; core's from now on. */
marty_err marty__saga_core_define(marty__saga_core *core, marty__saga_definition *definition,
                                  marty_error *why);
/** Put an event in. Any thread. */
void marty__saga_core_put(marty__saga_core *core, marty__saga_input *input);
/** What became of a command that was sent. Any thread. */
void marty__saga_item_sent(marty__saga_item *item, marty_err outcome);
/** Make a turn; returns when the next is due by the monotonic clock, at the latest. */
int64_t marty__saga_core_turn(marty__saga_core *core);
/** How many inputs wait for a turn. Any thread. */
size_t marty__saga_core_waiting(marty__saga_core *core);
/** Why the store did not do what it was last asked to write, cut to size; "" = it did. Any thread.
 */
void marty__saga_core_refusal(marty__saga_core *core, char *ret_text, size_t size);
/** Whether commands are being sent, or local steps run. Any thread. */
bool marty__saga_core_sending(marty__saga_core *core);
/** Whether nothing waits, or is in a turn, and nothing is being sent. Any thread. */
bool marty__saga_core_idle(const marty__saga_core *core);
const marty__saga_counts *marty__saga_core_counts(const marty__saga_core *core);
/** The shards it looks after now. */
uint32_t marty__saga_core_shards(const marty__saga_core *core);
#endif
