/* SPDX-License-Identifier: Apache-2.0
 * The connection and its statements. Prepared ones are kept for the life of the connection; SQLite
 * prepares them again by itself when another process changes the schema. Single thread. */
#include "db.h"

#include "backend/sqlite/gather.h"

#include "base/assert.h"
#include "base/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { PAGE_BYTES = 8192, CACHE_KIB = 2048, BUSY_SLICE_NS = 5 * MARTY__NS_PER_MS };

static const char *const tabled_sql[] = {
#define SQ__TEXT(name, text) text,
    SQ_STATEMENTS_TABLED(SQ__TEXT)};
static const char *const once_sql[] = {SQ_STATEMENTS_ONCE(SQ__TEXT)};

static int note(sq_db *db, int code)
{
    const char *text = db->handle ? sqlite3_errmsg(db->handle) : sqlite3_errstr(code);
    (void)snprintf(db->text, sizeof db->text, "%s", text);
    return code;
}

/* Another writes: wait for the end of its transaction, then try again. */
static int on_busy(void *user, int times)
{
    sq_db *db = user;
    (void)times;
    int64_t left_ns = db->busy_until_ns - marty__monotonic_ns();
    if (left_ns <= 0) {
        return 0;
    }
    int64_t wait_ns = left_ns < BUSY_SLICE_NS ? left_ns : BUSY_SLICE_NS;
    if (db->shared && db->shared->slot >= 0) {
        db->busy_seen = marty__sq_shared_want(db->shared, db->busy_seen, wait_ns);
    } else {
        (void)nanosleep(&(struct timespec){.tv_nsec = (long)wait_ns}, NULL);
    }
    return 1;
}

static int on_wal(void *user, sqlite3 *handle, const char *name, int frames)
{
    (void)handle;
    (void)name;
    ((sq_db *)user)->wal_frames = frames;
    return SQLITE_OK;
}

marty_err marty__sq_db_open(sq_db *db, const char *path, marty_error *why)
{
    int flags =
        SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE | SQLITE_OPEN_CREATE;
    int code = sqlite3_open_v2(path, &db->handle, flags, marty__sqlite_gather_name());
    if (code) {
        (void)note(db, code);
        marty_err err = marty__sq_explain(db, code, path, why);
        marty__sq_db_close(db);
        return err;
    }
    (void)sqlite3_busy_handler(db->handle, on_busy, db);
    (void)sqlite3_wal_hook(db->handle, on_wal, db);
    code = marty__sq_append_register(db->handle, &db->append);
    if (code) {
        (void)note(db, code);
        marty_err err = marty__sq_explain(db, code, path, why);
        marty__sq_db_close(db);
        return err;
    }
    return MARTY_OK;
}

const char *marty__sq_db_path(const sq_db *db)
{
    return sqlite3_db_filename(db->handle, "main");
}

/* One value of a pragma that answers with a row. */
static int pragma_value(sq_db *db, const char *sql, char *ret_text, size_t size)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(db->handle, sql, -1, &statement, NULL);
    code = code ? code : sqlite3_step(statement);
    ret_text[0] = '\0';
    if (code == SQLITE_ROW) {
        (void)snprintf(ret_text, size, "%s", (const char *)sqlite3_column_text(statement, 0));
        code = SQLITE_OK;
    } else if (code == SQLITE_DONE) {
        code = SQLITE_OK;
    }
    code = code ? note(db, code) : code;
    (void)sqlite3_finalize(statement);
    return code;
}

static int set_sync(sq_db *db, int sync)
{
    static const char *const sql[] = {"PRAGMA synchronous=0", "PRAGMA synchronous=1",
                                      "PRAGMA synchronous=2", "PRAGMA synchronous=3"};
    if (db->sync_now == sync) {
        return SQLITE_OK;
    }
    int code = marty__sq_exec(db, sql[sync]);
    db->sync_now = code ? -1 : sync;
    return code;
}

/* Setting WAL needs the file alone for a moment, and SQLite does not always wait for it. */
static int set_wal(sq_db *db, int64_t deadline_ns, char *ret_mode, size_t size)
{
    int code = pragma_value(db, "PRAGMA journal_mode=WAL", ret_mode, size);
    while ((code & 0xff) == SQLITE_BUSY && marty__monotonic_ns() < deadline_ns) {
        (void)nanosleep(&(struct timespec){.tv_nsec = BUSY_SLICE_NS}, NULL);
        code = pragma_value(db, "PRAGMA journal_mode=WAL", ret_mode, size);
    }
    return code;
}

marty_err marty__sq_db_prepare(sq_db *db, int sync, int64_t deadline_ns, marty_error *why)
{
    char mode[16] = "", sql[400], level[16] = "";
    const char *path = marty__sq_db_path(db);
    db->busy_until_ns = deadline_ns;
    db->sync = sync;
    db->sync_now = -1;
    (void)snprintf(sql, sizeof sql,
                   "PRAGMA page_size=%d; PRAGMA cache_size=-%d; PRAGMA secure_delete=OFF;"
                   "PRAGMA wal_autocheckpoint=0; PRAGMA journal_size_limit=67108864;"
                   "PRAGMA temp_store=MEMORY; PRAGMA trusted_schema=OFF",
                   (int)PAGE_BYTES, (int)CACHE_KIB);
    int code = marty__sq_exec(db, sql);
    code = code ? code : set_wal(db, deadline_ns, mode, sizeof mode);
    if (!code && strcmp(mode, "wal") != 0) {
        return marty_error_set(why, MARTY_E_UNSUPPORTED,
                               "%s: the file system cannot keep a write-ahead log (journal mode "
                               "stays %s); put the file on a local disk",
                               path, mode);
    }
    (void)sqlite3_wal_hook(db->handle, on_wal, db); /* wal_autocheckpoint took its place */
    code = code ? code : set_sync(db, sync);
    code = code ? code : pragma_value(db, "PRAGMA synchronous", level, sizeof level);
    if (!code && (level[0] != (char)('0' + sync) || level[1])) {
        return marty_error_set(why, MARTY_E_UNSUPPORTED, "%s: synchronous is %s, asked for was %d",
                               path, level, sync);
    }
    return code ? marty__sq_explain(db, code, path, why) : MARTY_OK;
}

void marty__sq_db_close(sq_db *db)
{
    if (db->in_transaction) {
        marty__sq_rollback(db);
    }
    for (size_t op = 0; op < SQ_TABLED; op++) {
        for (size_t table = 0; table < SQ_TABLES; table++) {
            (void)sqlite3_finalize(db->tabled[op][table]);
        }
    }
    for (size_t op = 0; op < SQ_OPS - SQ_TABLED; op++) {
        (void)sqlite3_finalize(db->once[op]);
    }
    (void)sqlite3_close(db->handle);
    marty__buffer_free(&db->append.bodies);
    memset(db, 0, sizeof *db);
}

/* ---- statements */
static int prepare(sq_db *db, const char *sql, sqlite3_stmt **ret_statement)
{
    int code =
        sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, ret_statement, NULL);
    return code ? note(db, code) : code;
}

static int get(sq_db *db, sq_op op, unsigned table, const int64_t values[], int count,
               int64_t ret[], int columns, bool *ret_found)
{
    int code;
    sqlite3_stmt *statement = marty__sq_statement(db, op, table, &code);
    code = code ? code : marty__sq_bind(statement, values, count);
    if (code) {
        return code;
    }
    code = marty__sq_step(db, statement);
    *ret_found = code == SQLITE_ROW;
    for (int i = 0; i < columns && code == SQLITE_ROW; i++) {
        ret[i] = sqlite3_column_int64(statement, i);
    }
    (void)sqlite3_reset(statement);
    return code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK : code;
}

int marty__sq_append_flush(sq_db *db)
{
    int code = SQLITE_OK;
    if (!db->append.count) {
        return code;
    }
    bool found = false;
    unsigned table = db->append.table;
    code = get(db, SQ_MESSAGE_EDGE, table, NULL, 0, &db->append.edge, 1, &found);
    sqlite3_stmt *add = code ? NULL : marty__sq_statement(db, SQ_MESSAGE_ADD, table, &code);
    code = code ? code : marty__sq_run(db, add);
    marty__sq_append_clear(&db->append); /* a failure ends the transaction */
    return code;
}

int marty__sq_append(sq_db *db, unsigned table, const sq_appended *row, marty_bytes body)
{
    sq_append *append = &db->append;
    bool full = append->count == SQ_APPEND_ROWS ||
                (append->count && append->bodies.size + body.size > SQ_APPEND_BYTES);
    int code = full || append->table != table ? marty__sq_append_flush(db) : SQLITE_OK;
    append->table = table;
    return code ? code : marty__sq_append_take(append, row, body);
}

sqlite3_stmt *marty__sq_statement(sq_db *db, sq_op op, unsigned table, int *ret_code)
{
    sqlite3_stmt **place =
        op < SQ_TABLED ? &db->tabled[op][table] : &db->once[(unsigned)op - SQ_TABLED];
    bool looks = op < SQ_TABLED && op > SQ_MESSAGE_EDGE && table == db->append.table;
    *ret_code = looks ? marty__sq_append_flush(db) : SQLITE_OK;
    if (*ret_code) {
        return NULL;
    }
    if (*place) {
        (void)sqlite3_reset(*place);
        return *place;
    }
    if (op < SQ_TABLED) {
        char sql[300];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        (void)snprintf(sql, sizeof sql, tabled_sql[op], table);
#pragma GCC diagnostic pop
        *ret_code = prepare(db, sql, place);
    } else {
        *ret_code = prepare(db, once_sql[(unsigned)op - SQ_TABLED], place);
    }
    return *place;
}

int marty__sq_bind(sqlite3_stmt *statement, const int64_t values[], int count)
{
    int code = SQLITE_OK;
    for (int i = 0; i < count && !code; i++) {
        code = sqlite3_bind_int64(statement, i + 1, values[i]);
    }
    marty__assert(code != SQLITE_RANGE);
    return code;
}

int marty__sq_step(sq_db *db, sqlite3_stmt *statement)
{
    int code = sqlite3_step(statement);
    return code == SQLITE_ROW || code == SQLITE_DONE ? code : note(db, code);
}

int marty__sq_run(sq_db *db, sqlite3_stmt *statement)
{
    int code = sqlite3_step(statement);
    code = code == SQLITE_DONE || code == SQLITE_ROW ? SQLITE_OK : note(db, code);
    (void)sqlite3_reset(statement);
    return code;
}

int marty__sq_do(sq_db *db, sq_op op, unsigned table, const int64_t values[], int count)
{
    int code;
    sqlite3_stmt *statement = marty__sq_statement(db, op, table, &code);
    code = code ? code : marty__sq_bind(statement, values, count);
    return code ? code : marty__sq_run(db, statement);
}

int marty__sq_get(sq_db *db, sq_op op, const int64_t values[], int count, int64_t ret[],
                  int columns, bool *ret_found)
{
    return get(db, op, 0, values, count, ret, columns, ret_found);
}

int marty__sq_exec(sq_db *db, const char *sql)
{
    int code = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);
    return code ? note(db, code) : code;
}

int marty__sq_begin(sq_db *db, bool durable, int64_t busy_until_ns)
{
    int sync = durable || db->sync < SQ_SYNC_NORMAL ? db->sync : SQ_SYNC_NORMAL;
    int code = set_sync(db, sync);
    db->busy_until_ns = busy_until_ns;
    db->busy_seen = db->shared ? marty__sq_shared_commits(db->shared) : 0;
    code = code ? code : marty__sq_exec(db, "BEGIN IMMEDIATE");
    if (code) {
        if (db->shared) {
            marty__sq_shared_unwant(db->shared);
        }
        return code;
    }
    db->in_transaction = true;
    marty__sqlite_gather_allow(db->handle, sync >= SQ_SYNC_FULL);
    if (db->shared) {
        marty__sq_shared_began(db->shared);
    }
    return SQLITE_OK;
}
