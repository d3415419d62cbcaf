/* SPDX-License-Identifier: Apache-2.0
 * Engines under a test's thumb: the real core, over one store in memory whose calls can be made to
 * fail or to be overtaken, a wire that only notes what was sent, and a clock that stands still. */
#ifndef MARTY_TESTS_SAGA_RIG_H
#define MARTY_TESTS_SAGA_RIG_H
#include "base/alloc.h"
#include "saga/engine/core.h"

#include "check.h"

enum { RIG_SENT = 64 };

typedef struct rig rig;

typedef struct rig_sent {
    char what[80]; /* "forward a.1" */
    char key[MARTY__SAGA_TEXT], saga[40];
    uint32_t attempt;
    bool durable; /* the store had it when it was sent */
} rig_sent;

typedef struct rig_engine {
    rig *in;
    marty__saga_core *core;
    marty_saga_store *store;
    bool dead; /* no call of it reaches the store any more, and nothing the wire */
    int bad_due, bad_unsent, bad_load; /* so many of the next calls fail */
    marty_err refuses;                 /* what the broker answers, unless MARTY_OK */
    int leases;                        /* calls that wanted shards */
    void (*after_due)(rig *r);         /* between the reading and the deciding */
    void (*while_sending)(rig *r, const rig_sent *sent);
    rig_sent sent[RIG_SENT];
    int sent_count;
} rig_engine;

struct rig {
    marty_saga_store *shared;
    const marty_saga_store_table *memory;
    int64_t now_us;
    int trouble; /* of an engine that is started: its first calls of due, unsent and load fail */
    rig_engine a, b;
};

void rig_open(rig *r, const char *definition);
void rig_close(rig *r);
void rig_start(rig_engine *engine, rig *r, const char *name);
/** kill -9. */
void rig_kill(rig_engine *engine);
/** Turns at this time, until it has nothing to do. */
void rig_turn(rig_engine *engine);
void rig_pass(rig *r, int64_t ms);
/** Start the saga of the definition under that id. */
void rig_begin(rig_engine *engine, const char *id);
/** An answer to what was sent. */
void rig_answer(rig_engine *engine, const rig_sent *to, marty__saga_reply reply);
/** How often that was sent. */
int rig_count(const rig_engine *engine, const char *what);
/** Status of a saga in the store; 0 = it is not there. */
int rig_status(rig *r, const char *id);
#endif
