/* SPDX-License-Identifier: Apache-2.0
 * The postgres store's insides, a module: one connection that writes and one that reads, each
 * behind a lock. What must happen together is one call of a function that schema.c makes, so one
 * round trip. A lost connection is made anew by the next call. */
#ifndef MARTY_SAGA_STORES_POSTGRES_POSTGRES_H
#define MARTY_SAGA_STORES_POSTGRES_POSTGRES_H
#include "saga/postgres/link.h"

#include <stdatomic.h>
#include <stdio.h>

struct marty_saga_store {
    pg_link writer, reader;
    marty_env env;
    char *url;      /* of both links */
    char token[40]; /* names this store among all writers */
    /* What is written must name it; only ever raised, by settle, which any thread may call. */
    _Atomic uint64_t generation;
    char schema[140];  /* where our tables are, quoted: a local step may choose another one */
    char *search_path; /* which the next step must not meet */
    char line[320];
};

/** A shard that there is not, written by hand, stands for one that there is. */
#define PG_SHARD "(shard & 255)"
_Static_assert(MARTY_SAGA_SHARDS == 256, "PG_SHARD");
#define PG_FACTS                                                                                   \
    "id, name, key, definition, stuck, status, paused::int, " PG_SHARD ", version, started_us, "   \
    "changed_us, due_us, unsent::int"

/** Statements that make what is missing; NULL ends them. */
extern const char *const pg_schema[];

/* Writes that are one transaction. */
typedef struct pg_batch {
    marty_saga_store *store;
    PGconn *connection;
    marty_saga_write **writes; /* those of this try */
    size_t count;
    int64_t until_ns;
    marty_error *why;
    bool lost, committing;
    bool ended;   /* a step has ended our transaction */
    bool deposed; /* a write names an epoch that is over: nothing was written */
    marty_err err;
} pg_batch;

/** The parameters that fence writes. To be freed behind the call; NULL without memory. */
char *pg_fence_parameters(pg_parameters *to, const marty_saga_store *store,
                          marty_saga_write *const writes[], size_t count);
/** Behind those, the rows. */
char *pg_row_parameters(pg_parameters *to, marty_saga_write *const writes[], size_t count);
/** An array of texts as a parameter; to be freed behind the call; NULL without memory. */
char *pg_text_array(pg_parameters *to, const char *const texts[], size_t count);
/** Send the statement that holds those fences and writes these rows, prepared or as its text. */
bool pg_send_writes(pg_batch *of, size_t fences, marty_saga_write *const writes[], size_t count,
                    bool prepared);
/** All results of what was sent: errors, and which writes were refused. */
void pg_read_writes(pg_batch *of, marty_saga_write *const writes[], size_t count);
/** What an error means for the batch. */
void pg_note_error(pg_batch *of, const PGresult *result);
/** Whether there is a local step in it. */
bool pg_has_steps(const pg_batch *of);
/** Write them; of->ended: a step has undone all, its result is FAILED. */
void pg_run_with_steps(pg_batch *of);

/* The calls of the table, by file. */
marty_err pg_open(marty_saga_store **ret_store, const marty_url *url, const marty_env *env,
                  int64_t until_ns, marty_error *why);
void pg_close(marty_saga_store *store);
const char *pg_describe(const marty_saga_store *store);
marty_err pg_commit(marty_saga_store *store, marty_saga_write *const writes[], size_t count,
                    int64_t until_ns, marty_error *why);
marty_err pg_settle(marty_saga_store *store, int64_t until_ns, marty_error *why);
marty_err pg_sent(marty_saga_store *store, const marty_saga_facts sagas[], size_t count,
                  int64_t until_ns, marty_error *why);
marty_err pg_purge(marty_saga_store *store, int64_t before_us, uint32_t limit, uint32_t *ret_count,
                   int64_t until_ns, marty_error *why);
marty_err pg_load(marty_saga_store *store, const char *id, marty_saga_record **ret_record,
                  int64_t until_ns, marty_error *why);
marty_err pg_load_many(marty_saga_store *store, const char *const ids[], size_t count,
                       marty_saga_loaded loaded, void *user, int64_t until_ns, marty_error *why);
marty_err pg_find(marty_saga_store *store, const char *name, const char *key, char ret_id[40],
                  int64_t until_ns, marty_error *why);
marty_err pg_due(marty_saga_store *store, const marty_saga_shards *shards, int64_t now_us,
                 uint32_t limit, marty_saga_found found, void *user, int64_t *ret_next_us,
                 int64_t until_ns, marty_error *why);
marty_err pg_unsent(marty_saga_store *store, const marty_saga_shards *shards, int64_t before_us,
                    uint32_t limit, marty_saga_found found, void *user, int64_t until_ns,
                    marty_error *why);
marty_err pg_list(marty_saga_store *store, const marty_saga_filter *filter, marty_saga_found found,
                  void *user, int64_t until_ns, marty_error *why);
marty_err pg_history(marty_saga_store *store, const char *id, uint64_t from, marty_saga_batch found,
                     void *user, int64_t until_ns, marty_error *why);
marty_err pg_lease(marty_saga_store *store, marty_saga_lease *lease, int64_t until_ns,
                   marty_error *why);
marty_err pg_release(marty_saga_store *store, const char *owner, const marty_saga_shard shards[],
                     size_t count, int64_t until_ns, marty_error *why);
marty_err pg_define(marty_saga_store *store, const char *name, uint32_t version, const char *hash,
                    marty_bytes document, int64_t until_ns, marty_error *why);
marty_err pg_definitions(marty_saga_store *store, const char *name, const char *hash,
                         marty_saga_document found, void *user, int64_t until_ns, marty_error *why);
#endif
