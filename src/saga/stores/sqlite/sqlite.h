/* SPDX-License-Identifier: Apache-2.0
 * The sqlite store's insides: one connection that writes and one that reads, each behind a lock.
 * Sagas, their histories, shards, members and definitions are tables named marty_saga*; the file
 * may hold tables of the user too, so that a local step can write to them in the same transaction.
 */
#ifndef MARTY_SAGA_STORES_SQLITE_SQLITE_H
#define MARTY_SAGA_STORES_SQLITE_SQLITE_H
#include "backend/sqlite/log.h"
#include "base/gate.h"
#include "base/thread.h"
#include "saga/stores/stores.h"

#include <sqlite3.h>
#include <string.h>

typedef enum saga_sql {
    SAGA_SQL_BEGIN,
    SAGA_SQL_COMMIT,
    SAGA_SQL_ROLLBACK,
    SAGA_SQL_SAVE,
    SAGA_SQL_UNDO,
    SAGA_SQL_KEEP,
    SAGA_SQL_VERSION,
    SAGA_SQL_KEY,
    SAGA_SQL_INSERT,
    SAGA_SQL_UPDATE,
    SAGA_SQL_HISTORY_ADD,
    SAGA_SQL_SENT,
    SAGA_SQL_SETTLE,
    SAGA_SQL_LOAD,
    SAGA_SQL_DUE,
    SAGA_SQL_UNSENT,
    SAGA_SQL_LIST,
    SAGA_SQL_LIST_OPEN,
    SAGA_SQL_LIST_STUCK,
    SAGA_SQL_HISTORY,
    SAGA_SQL_PURGE_FIND,
    SAGA_SQL_PURGE_HISTORY,
    SAGA_SQL_PURGE_SAGA,
    SAGA_SQL_MEMBER,
    SAGA_SQL_MEMBER_GONE,
    SAGA_SQL_MEMBERS,
    SAGA_SQL_SHARD,
    SAGA_SQL_SHARDS,
    SAGA_SQL_SHARD_RENEW,
    SAGA_SQL_SHARD_TAKE,
    SAGA_SQL_SHARD_FREE,
    SAGA_SQL_DEFINE,
    SAGA_SQL_DEFINITION,
    SAGA_SQL_DEFINITIONS,
    SAGA_SQL_COUNT
} saga_sql;

/* A value to be bound. */
typedef struct saga_value {
    enum { SAGA_INT, SAGA_TEXT, SAGA_BLOB } kind;
    int64_t number;
    marty_bytes bytes;
} saga_value;

typedef struct saga_db {
    marty__gate gate; /* a local step may keep it for as long as it likes */
    sqlite3 *handle;
    sqlite3_stmt *statements[SAGA_SQL_COUNT];
    marty__sqlite_patience patience; /* for the file's lock */
    marty__sqlite_log log;           /* of the one that writes */
    bool gathers;                    /* its commits sync, so their writes are one */
} saga_db;

typedef struct saga_db_how {
    const char *path, *sync;
    const marty_env *env; /* lives as long as the connection */
    bool there;           /* it must be: nothing is made */
    bool writes;          /* this connection */
} saga_db_how;

struct marty_saga_store {
    saga_db writer, reader;
    marty_env env;
    char line[320]; /* the description */
};

/** Open one connection; the one that writes makes the tables. */
marty_err marty__saga_db_open(saga_db *db, const saga_db_how *how, int64_t until_ns,
                              marty_error *why);
/** Finalize and close; fine on one that is not open. */
void marty__saga_db_close(saga_db *db);
/** Take the connection for a call that has until then. E: TIMEOUT. */
marty_err marty__saga_db_enter(saga_db *db, int64_t until_ns, marty_error *why);
void marty__saga_db_leave(saga_db *db);
/** Begin to write, once entered. An SQLite code, for `end`. */
int marty__saga_db_begin(saga_db *db);
/** Commit what went well (code 0), roll back what did not, and give the connection back. */
marty_err marty__saga_db_end(saga_db *db, int code, marty_error *why);
/** Roll back, where a transaction is open. */
void marty__saga_db_roll_back(saga_db *db);
/** The error of a code, and rolled back; a disk that is full gets the room of the log. */
marty_err marty__saga_db_fail(saga_db *db, int code, marty_error *why);
/** A statement, reset and without values; NULL without memory. */
sqlite3_stmt *marty__saga_db_statement(saga_db *db, saga_sql which);
/** A value for a statement; text may be NULL. */
MARTY_INLINE saga_value saga_int(int64_t value)
{
    return (saga_value){.kind = SAGA_INT, .number = value};
}
MARTY_INLINE saga_value saga_text(const char *value)
{
    return (saga_value){.kind = SAGA_TEXT, .bytes = {value, value ? strlen(value) : 0}};
}
MARTY_INLINE saga_value saga_blob(marty_bytes value)
{
    return (saga_value){.kind = SAGA_BLOB, .bytes = value};
}
/** Bind by position, borrowed until the statement is reset. Returns the statement or NULL. */
sqlite3_stmt *marty__saga_db_bind(saga_db *db, saga_sql which, const saga_value values[],
                                  size_t count);
#define SAGA_BIND(db, which, ...)                                                                  \
    marty__saga_db_bind(db, which, (const saga_value[]){__VA_ARGS__},                              \
                        sizeof((const saga_value[]){__VA_ARGS__}) / sizeof(saga_value))
/** Step a statement that gives no row, and reset it; NULL = it could not be had. An SQLite code. */
int marty__saga_db_run(saga_db *db, sqlite3_stmt *statement);
/** Why the last statement could not be had; never 0. */
int marty__saga_db_code(saga_db *db);
/** A number of a column, a text that is never NULL, bytes. Borrowed until the next step. */
int64_t marty__saga_db_int(sqlite3_stmt *statement, int column);
const char *marty__saga_db_text(sqlite3_stmt *statement, int column);
marty_bytes marty__saga_db_bytes(sqlite3_stmt *statement, int column);
/** What a code of SQLite is to us, with the file in the text. */
marty_err marty__saga_db_error(saga_db *db, int code, marty_error *why);
/** Facts of the columns that SAGA_FACTS names, borrowed from the row. */
void marty__saga_db_facts(sqlite3_stmt *row, marty_saga_facts *ret_facts);

/* The calls of the table, by file. */
marty_err marty__saga_sqlite_commit(marty_saga_store *store, marty_saga_write *const writes[],
                                    size_t count, int64_t until_ns, marty_error *why);
marty_err marty__saga_sqlite_settle(marty_saga_store *store, int64_t until_ns, marty_error *why);
marty_err marty__saga_sqlite_sent(marty_saga_store *store, const marty_saga_facts sagas[],
                                  size_t count, int64_t until_ns, marty_error *why);
marty_err marty__saga_sqlite_purge(marty_saga_store *store, int64_t before_us, uint32_t limit,
                                   uint32_t *ret_count, int64_t until_ns, marty_error *why);
marty_err marty__saga_sqlite_load(marty_saga_store *store, const char *id,
                                  marty_saga_record **ret_record, int64_t until_ns,
                                  marty_error *why);
marty_err marty__saga_sqlite_find(marty_saga_store *store, const char *name, const char *key,
                                  char ret_id[40], int64_t until_ns, marty_error *why);
marty_err marty__saga_sqlite_due(marty_saga_store *store, const marty_saga_shards *shards,
                                 int64_t now_us, uint32_t limit, marty_saga_found found, void *user,
                                 int64_t *ret_next_us, int64_t until_ns, marty_error *why);
marty_err marty__saga_sqlite_unsent(marty_saga_store *store, const marty_saga_shards *shards,
                                    int64_t before_us, uint32_t limit, marty_saga_found found,
                                    void *user, int64_t until_ns, marty_error *why);
marty_err marty__saga_sqlite_list(marty_saga_store *store, const marty_saga_filter *filter,
                                  marty_saga_found found, void *user, int64_t until_ns,
                                  marty_error *why);
marty_err marty__saga_sqlite_history(marty_saga_store *store, const char *id, uint64_t from,
                                     marty_saga_batch found, void *user, int64_t until_ns,
                                     marty_error *why);
marty_err marty__saga_sqlite_lease(marty_saga_store *store, marty_saga_lease *lease,
                                   int64_t until_ns, marty_error *why);
marty_err marty__saga_sqlite_release(marty_saga_store *store, const char *owner,
                                     const marty_saga_shard shards[], size_t count,
                                     int64_t until_ns, marty_error *why);
marty_err marty__saga_sqlite_define(marty_saga_store *store, const char *name, uint32_t version,
                                    const char *hash, marty_bytes document, int64_t until_ns,
                                    marty_error *why);
marty_err marty__saga_sqlite_definitions(marty_saga_store *store, const char *name,
                                         const char *hash, marty_saga_document found, void *user,
                                         int64_t until_ns, marty_error *why);
#endif
