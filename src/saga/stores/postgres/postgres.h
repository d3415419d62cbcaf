/* SPDX-License-Identifier: Apache-2.0
 * The postgres store's insides, a module: one connection that writes and one that reads, each
 * behind a lock. What must happen together is one round trip: BEGIN, calls of the functions that
 * schema.c makes, COMMIT. A lost connection is made anew by the next call. */
#ifndef MARTY_SAGA_STORES_POSTGRES_POSTGRES_H
#define MARTY_SAGA_STORES_POSTGRES_POSTGRES_H
#include <marty/saga_store.h>

#include <libpq-fe.h>
#include <pthread.h>
#include <stdio.h>

enum { PG_PARAMETERS_MAX = 24, PG_SHARDS_BYTES = MARTY_SAGA_SHARDS * 4 + 3 };

typedef struct pg_link {
    pthread_mutex_t mutex;
    PGconn *connection; /* NULL = lost */
    bool writes;
} pg_link;

struct marty_saga_store {
    pg_link writer, reader;
    marty_env env;
    char *url;
    char token[40];      /* names this store among all writers */
    uint64_t generation; /* what is written must name it; raised by settle */
    char line[320];
};

/* Parameters of a statement, built one by one. Numbers are kept as text in `space`. */
typedef struct pg_parameters {
    const char *values[PG_PARAMETERS_MAX];
    int lengths[PG_PARAMETERS_MAX], formats[PG_PARAMETERS_MAX];
    int count;
    char space[PG_PARAMETERS_MAX][24];
} pg_parameters;
void pg_text(pg_parameters *to, const char *text);
void pg_number(pg_parameters *to, int64_t number);
void pg_bytes(pg_parameters *to, marty_bytes bytes);

/** A set of shards as an array of SQL. */
void pg_shards(char ret[PG_SHARDS_BYTES], const marty_saga_shards *shards);

/** Take the link, connected; NULL with why (and the link is not taken). */
PGconn *pg_enter(marty_saga_store *store, pg_link *link, int64_t until_ns, marty_error *why);
/** Give it back; broken: the connection is closed. */
void pg_leave(pg_link *link, bool broken);
/** Run one statement with parameters, and wait until then. NULL with why: what is not a result. */
PGresult *pg_ask(marty_saga_store *store, pg_link *link, const char *sql,
                 const pg_parameters *parameters, int64_t until_ns, marty_error *why);
/** The next result of a connection, waiting until then; NULL at the end of a statement. *ret_lost:
 * the connection is gone or the time is over. */
PGresult *pg_next(marty_saga_store *store, PGconn *connection, int64_t until_ns, bool *ret_lost);
/** What a failed result means. */
marty_err pg_error(PGconn *connection, const PGresult *result, const char *doing, marty_error *why);
/** Columns of a row: text, number, bytes (decoded, to be freed with marty_free; size in *ret_size).
 */
const char *pg_get_text(const PGresult *result, int row, int column);
int64_t pg_get_number(const PGresult *result, int row, int column);
marty_bytes pg_get_bytes(const PGresult *result, int row, int column);
/** Facts of the columns that PG_FACTS names, borrowed from the result. */
void pg_get_facts(const PGresult *result, int row, marty_saga_facts *ret_facts);

#define PG_FACTS                                                                                   \
    "id, name, key, definition, stuck, status, paused::int, shard, version, started_us, "          \
    "changed_us, due_us, unsent::int"

/** Statements, from BEGIN to COMMIT; NULL ends them. */
extern const char *const pg_schema[];

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
