/* SPDX-License-Identifier: Apache-2.0
 * The simulation of engines: the real core of the engine, two or three of them over one store, with
 * simulated calls of the store, wire, clocks and deaths; participants and definitions are those of
 * the machine's simulation. One seed decides everything.
 *   store.c    the store that they share: the one in memory, behind faults
 *   host.c     engines that live and die, their wires and their inputs
 *   main.c     what happens next; then all faults heal, and everything must end */
#ifndef MARTY_TESTS_SIMULATION_ENGINE_WORLD_H
#define MARTY_TESTS_SIMULATION_ENGINE_WORLD_H
#include "../sim.h"

#include "saga/engine/core.h"

enum {
    ENGINES = 3,
    OUTCOMES_MAX = 512,
    LATE_MAX = 32,
    DURABLE_MAX = 8192,
    PROMISES_MAX = 2048,
    INSIDE_MAX = 64
};

typedef struct world world;

/* What an engine's wire owes it: the outcome of a command. */
typedef struct outcome {
    marty__saga_item *item;
    marty_err err;
} outcome;

typedef struct engine {
    world *in;
    unsigned number;
    marty__saga_core *core; /* NULL = dead */
    marty_saga_store *store;
    int64_t skew_us;  /* of its wall clock */
    bool frozen;      /* it does not run, and does not know it */
    bool dead;        /* its calls of the store do nothing any more */
    uint32_t dies_in; /* calls of the store from now; 0 = not planned */
    bool dies_after;  /* the call is made, its answer never comes */
    int64_t next_ns;
    outcome outcomes[OUTCOMES_MAX];
    uint32_t outcome_count;
    char owner[24];
} engine;

/* Writes of a commit that was lost on its way: they may still come, until its engine settles. */
typedef struct late {
    unsigned number; /* of the engine */
    marty_saga_write writes[8];
    uint32_t count;
} late;

/* What a local step inside a transaction has changed in the ledger, to take it back. */
typedef struct inside {
    uint32_t own, forward; /* records; UINT32_MAX = none */
    sim_record own_before, forward_before;
    const char *saga;
    bool undo;
} inside;

typedef struct durable {
    const char *saga;
    marty_bytes outbox;
} durable;

/* An event of a saga's life that a committed transition has promised. */
typedef struct promise {
    const char *message;
    bool kept;
} promise;

struct world {
    sim s; /* definitions, ledger, messages, mirror of the sagas */
    const marty_saga_store_table *memory;
    marty_saga_store *shared;
    engine engines[ENGINES];
    late lates[LATE_MAX];
    uint32_t late_count, starts, store_faults;
    durable durable[DURABLE_MAX]; /* every outbox that was committed */
    uint32_t durable_count;
    promise promises[PROMISES_MAX];
    uint32_t promise_count;
    inside insides[INSIDE_MAX];
    uint32_t inside_count;
    bool meanwhile; /* others run in the middle of an engine's turn */
    uint64_t calls, commits, migrations, deaths, doubts, late_writes;
};

/* store.c */
extern const marty_saga_store_table world_store_table;
/** The store as one engine sees it. */
marty_saga_store *world_store_new(world *w, unsigned number);
/** A lost write arrives after all. */
void world_write_late(world *w);
/** Whether a committed outbox of the saga had that message. */
bool world_is_durable(world *w, const char *saga, const char *message);

/** Which of the definitions one with that hash (as text) is. */
int world_definition(const world *w, const char *hash);

/* host.c */
void world_engine_start(world *w, unsigned number);
/** kill -9: nothing more of it reaches the store or the wire. */
void world_engine_kill(world *w, unsigned number);
/** An orderly end: it hands its shards over. */
void world_engine_stop(world *w, unsigned number);
/** A turn of it, or an outcome that its wire owes it. */
void world_engine_turn(world *w, unsigned number);
void world_engine_outcome(world *w, unsigned number);
/** Give a message to a saga to some engine that lives; it comes back when it was not taken. */
void world_deliver(world *w, uint32_t index);
/** While an engine waits for the store, the others, the messages and the time go on. */
void world_meanwhile(world *w, unsigned number);
/** Turns until nobody has anything to do at this time. */
void world_drain(world *w);
#endif
