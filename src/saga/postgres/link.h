/* SPDX-License-Identifier: Apache-2.0
 * A connection to PostgreSQL, of a store of sagas or of a participant's notes (one module): made
 * when it is needed, waited on until a deadline, closed when it is lost. libpq is never let block:
 * every wait is a poll with what is left of the time. A link is taken from enter to leave, also
 * while a local step works on its connection: others wait for it to their own deadlines. */
#ifndef MARTY_SAGA_POSTGRES_LINK_H
#define MARTY_SAGA_POSTGRES_LINK_H
#include "base/gate.h"

#include <marty/saga_store.h>

#include <libpq-fe.h>
#include <pthread.h>

enum { PG_PARAMETERS_MAX = 24, PG_SHARDS_BYTES = MARTY_SAGA_SHARDS * 4 + 3 };

typedef struct pg_link {
    marty__gate gate;   /* all below is whose it is */
    PGconn *connection; /* NULL = lost */
    bool prepared;      /* it knows the statement that its owner has prepared */
    const char *url;    /* one text for each host */
    const char *good;   /* of those, the one that was connected last: tried first */
    const marty_env *env;
} pg_link;

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

/** A URL as libpq takes it, with our settings: one that writes, an idle transaction is ended after
 * so long. One text for each host, one behind another; an empty one ends them. To be given to
 * marty_free; NULL without memory. */
char *pg_url(const marty_url *url, unsigned idle_ms);

void pg_link_init(pg_link *link, const char *url, const marty_env *env);
void pg_link_free(pg_link *link);
/** Take the link, connected; NULL with why (and the link is not taken). E: TIMEOUT: others had it.
 */
PGconn *pg_enter(pg_link *link, int64_t until_ns, marty_error *why);
/** Give it back; broken: the connection is closed. */
void pg_leave(pg_link *link, bool broken);
/** Run one statement with parameters, and wait until then. NULL with why: what is not a result. */
PGresult *pg_ask(pg_link *link, const char *sql, const pg_parameters *parameters, int64_t until_ns,
                 marty_error *why);
/** The same, with columns in the binary form: numbers as pg_get_number reads them, bytes as they
 * are.
 */
PGresult *pg_ask_binary(pg_link *link, const char *sql, const pg_parameters *with, int64_t until_ns,
                        marty_error *why);
/** That with the one statement that a link prepares, once for each connection. */
PGresult *pg_ask_prepared(pg_link *link, const char *name, const char *sql,
                          const pg_parameters *with, int64_t until_ns, marty_error *why);
/** Run statements without parameters, one after another, on a link that is taken. *ret_lost: the
 * connection is gone or the time is over. */
marty_err pg_run(pg_link *link, const char *sql, int64_t until_ns, bool *ret_lost,
                 marty_error *why);
/** The next result of a connection, waiting until then; NULL at the end of a statement. */
PGresult *pg_next(pg_link *link, int64_t until_ns, bool *ret_lost);
/** Make tables: statements up to a NULL, in one transaction of their own. */
marty_err pg_make(pg_link *link, const char *const statements[], int64_t until_ns,
                  marty_error *why);
/** What a failed result means. */
marty_err pg_error(PGconn *connection, const PGresult *result, const char *doing, marty_error *why);
/** Columns of a row: text, number, bytes (decoded, a NUL behind them, to be freed with marty_free).
 */
const char *pg_get_text(const PGresult *result, int row, int column);
int64_t pg_get_number(const PGresult *result, int row, int column);
marty_bytes pg_get_bytes(const PGresult *result, int row, int column);
#endif
