/* SPDX-License-Identifier: Apache-2.0
 * One SQLite connection: opening it, prepared statements, transactions, checkpoints, and what its
 * error codes mean to us. Functions return SQLite's (extended) codes, SQLITE_OK = 0; the text of
 * the last failure is kept. One thread at a time. */
#ifndef MARTY_BACKENDS_SQLITE_DB_H
#define MARTY_BACKENDS_SQLITE_DB_H
#include "append.h"
#include "shared.h"
#include "sql.h"
#include <sqlite3.h>

enum { SQ_SYNC_OFF, SQ_SYNC_NORMAL, SQ_SYNC_FULL, SQ_SYNC_EXTRA };

typedef struct sq_db { /* sync: what was asked for; sync_now: what holds at the moment */
    sqlite3 *handle;
    sq_shared *shared; /* set once it is attached: then waiting for the lock goes by its bells */
    sqlite3_stmt *tabled[SQ_TABLED][SQ_TABLES];
    sqlite3_stmt *once[SQ_OPS - SQ_TABLED];
    int sync, sync_now, wal_frames, wal_tried, wal_looked;
    bool in_transaction, committing;
    int64_t busy_until_ns;
    uint32_t busy_seen;
    sq_append append; /* messages that are not in their table yet */
    char text[200];
} sq_db;

/** Open the file, made when missing. E: as marty__sq_explain. */
marty_err marty__sq_db_open(sq_db *db, const char *path, marty_error *why);
/** WAL, durability and what else is set once; after the shared file is attached. */
marty_err marty__sq_db_prepare(sq_db *db, int sync, int64_t deadline_ns, marty_error *why);
/** Roll back, finalize, close; fine on one that is not open. */
void marty__sq_db_close(sq_db *db);
/** The path as SQLite knows it: absolute, links followed. */
const char *marty__sq_db_path(const sq_db *db);

/** The statement, reset; NULL: the code is in *ret_code. One that looks at a table of messages
 * finds all that were appended. */
sqlite3_stmt *marty__sq_statement(sq_db *db, sq_op op, unsigned table, int *ret_code);
/** Bind numbers to the parameters ?1 ... */
int marty__sq_bind(sqlite3_stmt *statement, const int64_t values[], int count);
/** Step once: SQLITE_ROW or SQLITE_DONE are both fine and returned, others noted. */
int marty__sq_step(sq_db *db, sqlite3_stmt *statement);
/** Run a statement that gives no rows. */
int marty__sq_run(sq_db *db, sqlite3_stmt *statement);
/** All at once: numbers in, no rows out. */
int marty__sq_do(sq_db *db, sq_op op, unsigned table, const int64_t values[], int count);
/** Numbers in, the first `columns` numbers of the first row out; no row: *ret_found false. */
int marty__sq_get(sq_db *db, sq_op op, const int64_t values[], int count, int64_t ret[],
                  int columns, bool *ret_found);
/** Append a message to a table, at once or with others later, before the commit at the latest. */
int marty__sq_append(sq_db *db, unsigned table, const sq_appended *row, marty_bytes body);
/** Write those that were appended: the last thing before a commit. */
int marty__sq_append_flush(sq_db *db);
/** Text of SQL that runs seldom. */
int marty__sq_exec(sq_db *db, const char *sql);

/** Begin to write; durable: the commit reaches the disk. SQLITE_BUSY once busy_until_ns passed. */
int marty__sq_begin(sq_db *db, bool durable, int64_t busy_until_ns);
/** Begin to read a snapshot. */
int marty__sq_begin_read(sq_db *db);
void marty__sq_end_read(sq_db *db);
/** Commit; on failure it is rolled back. */
int marty__sq_commit(sq_db *db);
/** Roll back; always works. */
void marty__sq_rollback(sq_db *db);
/** Move the log into the database when it has grown. */
void marty__sq_checkpoint(sq_db *db, bool idle);
/** Empty the log and cut it off, as far as those who read allow: what it had is room again. */
void marty__sq_log_cut(sq_db *db);
/** Whether that is due though there is much to do. */
bool marty__sq_checkpoint_due(sq_db *db);
/** Whether the log has grown past what readers may force on us. */
bool marty__sq_wal_full(const sq_db *db);

/** What a code means; text says which thing and what to do. */
marty_err marty__sq_explain(const sq_db *db, int code, const char *path, marty_error *why);
/** Whether the code says that the connection is of no more use. */
bool marty__sq_is_fatal(int code);

#define SQ_I(...)                                                                                  \
    (const int64_t[]){__VA_ARGS__}, (int)(sizeof(int64_t[]){__VA_ARGS__} / sizeof(int64_t))
#endif
