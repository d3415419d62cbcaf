/* SPDX-License-Identifier: Apache-2.0
 * The public engine's insides: core with a thread that makes its turns, a bus that its commands go
 * over, and callers that wait. */
#ifndef MARTY_SAGA_ENGINE_ENGINE_H
#define MARTY_SAGA_ENGINE_ENGINE_H
#include "core.h"

#include "base/thread.h"
#include <marty/marty.h>
#include <marty/saga.h>
#include <stdatomic.h>

typedef struct engine_function {
    marty_effect effect;
    void *user;
    struct engine_function *next;
    char name[];
} engine_function;

enum { ENGINE_POSTS = 64 };

typedef struct engine_post { /* a command to be published; all is borrowed from its item */
    const char *saga;
    const marty__saga_command *command;
    marty__saga_item *item;
    marty_message message;
    marty_header headers[9];
    char attempt[12];
} engine_post;

typedef struct engine_waiter { /* for the end of a saga */
    marty__link link;          /* of the list, which has a reference; under the engine's mutex */
    marty__link told;          /* of those about to be told; of the thread that makes turns */
    atomic_uint refs;
    marty__bell ended;
    marty_saga_status status; /* once it has rung */
    char stuck[200];          /* why, at the last look; "": it is not */
    int64_t looked_ns;        /* when that was */
    char id[];
} engine_waiter;

enum { ENGINE_SEEN = 2048 }; /* sagas at work at once that a wait need not look for */

typedef struct engine_seen { /* of a recent transition */
    char id[40];
    marty_saga_status status;
    int64_t at_us;
} engine_seen;

/* Who hears the participants' answers. Its subscription frees it, perhaps after the engine. */
typedef struct engine_ear {
    marty__mutex mutex;
    marty_saga_engine *engine; /* NULL: it has gone; under the mutex, held while it is used */
} engine_ear;

struct marty_saga_engine {
    marty_bus *bus;
    marty_url *url;
    marty_saga_store *store;
    const marty_saga_store_table *table;
    marty__saga_core *core;
    marty_env env;
    char service[128], owner[64];
    uint32_t lease_ms; /* of its shards, and of the answers that it has been given */
    marty__saga_rules rules;
    marty_saga_changed on_change;
    void *user; /* of on_change */
    /* Of who opens and closes it; what a callback sees of it, it was given by open's return. */
    pthread_t thread, steps_thread; /* turns; local functions that run outside */
    bool started, steps_started;
    marty_subscription *answers;
    engine_ear *ear;    /* of answers */
    marty__mutex mutex; /* over all below but what says otherwise; those above are open's */
    marty__cond wake, changed;
    bool stopping;
    bool left;         /* its owner has gone: nobody is told anything any more */
    unsigned telling;  /* calls of on_change and of the bus's log */
    atomic_bool woken; /* set by any; the first who sets it wakes */
    marty__link waiters[MARTY_SAGA_SHARDS]; /* by the saga's shard */
    engine_seen seen[ENGINE_SEEN];          /* by the id's hash */
    marty__cond steps_wake;
    marty__link steps;          /* waiting to be run */
    engine_function *functions; /* only ever added to, and each never changed */
    marty__saga_counts counts;  /* as of the last turn */
    uint32_t shards;
    engine_post posts[ENGINE_POSTS]; /* of this turn; of the thread that makes turns */
    size_t post_count;
    char *inside_data; /* of the last local function inside: its result; of that thread, too */
    char inside_reason[MARTY__SAGA_REASON_BYTES_MAX + 1];
};

/** An operation being done, with what its effect has said. */
typedef struct engine_operation {
    marty_operation operation; /* first: the effect gets this */
    char *result;
    size_t result_size;
    bool refused;
    char reason[MARTY__SAGA_REASON_BYTES_MAX + 1];
} engine_operation;

/** Wire of core over the bus and the functions. */
marty__saga_wire marty__engine_wire(marty_saga_engine *engine);
/** Send a command, with those that the turn sends until it flushes. */
void marty__engine_send(void *user, const char *saga, const marty__saga_command *command,
                        marty__saga_item *item);
void marty__engine_flush(void *user);
/** A transition is durable: tell those who wait for its end. */
void marty__engine_note(marty_saga_engine *engine, const marty_saga_facts *facts);
/** Handle the participants' answers. */
marty_err marty__engine_listen(marty_saga_engine *engine, marty_error *why);
/** Hear no more of them: those that still come go to other engines. */
void marty__engine_deafen(marty_saga_engine *engine, int32_t timeout_ms);
/** Tell nobody anything any more, and wait for a moment for a callback that runs, unless this is
 * it.
 */
void marty__engine_hush(marty_saga_engine *engine);
/** Run the local functions outside, until stopping. */
void *marty__engine_steps(void *user);
/** Answer those steps that nobody will run any more. */
void marty__engine_steps_drop(marty_saga_engine *engine);
/** Call an effect for a command; what it said is in ret. */
marty_err marty__engine_effect(marty_effect effect, void *user, const char *saga,
                               const marty__saga_command *command, void *transaction,
                               engine_operation *ret);
/** Deadline of a call of the store for the caller's own thread. */
int64_t marty__engine_until(void);
/** Of a public timeout: 0 = otherwise, MARTY_NO_WAIT = now. */
int64_t marty__engine_deadline(int32_t timeout_ms, int32_t otherwise_ms);

enum { ENGINE_TEXT = sizeof((marty_error *)NULL)->text };

/** At each public entry: refuse NULL, another process and, of what waits for a turn, the thread
 * that makes turns. */
marty_err marty__engine_enter(const marty_saga_engine *engine, bool waits, marty_error *why);
/** Put an event in and wait until it is durable. ret_text gets the text of an error, or the id with
 *  EXISTS. */
marty_err marty__engine_ask(marty_saga_engine *engine, const marty__saga_input *input,
                            int32_t timeout_ms, char ret_text[ENGINE_TEXT]);
/** The definition of a hash, compiled; the caller's. E: NOT_FOUND, and those of the store. */
marty_err marty__engine_definition(marty_saga_engine *engine, const char *hash,
                                   marty__saga_definition **ret, marty_error *why);
/** A report of JSON. */
marty_err marty__engine_report(const marty__buffer *json, const char *type,
                               marty_message **ret_report, marty_error *why);
#endif
