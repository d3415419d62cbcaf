/* SPDX-License-Identifier: Apache-2.0
 * One connection of the sqlite store: opening it, its tables, its statements, its errors. */
#include "sqlite.h"

#include "backend/sqlite/gather.h"

#include <stdio.h>
#include <string.h>

enum { SCHEMA = 1, LOG_FRAMES = 4000 };

#define FACTS                                                                                      \
    "id, name, key, definition, stuck, status, paused, shard, version, started_us, changed_us, "   \
    "due_us, unsent"
#define NEVER "9223372036854775807"
#define UNDER(epoch, shard)                                                                        \
    "(" epoch " = 0 OR " epoch " = (SELECT epoch FROM marty_saga_shard WHERE shard = " shard "))"

static const char *const sql_text[SAGA_SQL_COUNT] = {
    [SAGA_SQL_BEGIN] = "BEGIN IMMEDIATE",
    [SAGA_SQL_COMMIT] = "COMMIT",
    [SAGA_SQL_ROLLBACK] = "ROLLBACK",
    [SAGA_SQL_SAVE] = "SAVEPOINT marty_saga_one",
    [SAGA_SQL_UNDO] = "ROLLBACK TO marty_saga_one",
    [SAGA_SQL_KEEP] = "RELEASE marty_saga_one",
    [SAGA_SQL_VERSION] = "SELECT number, version FROM marty_saga WHERE id = ?1",
    [SAGA_SQL_KEY] = "SELECT id FROM marty_saga WHERE name = ?1 AND key = ?2 AND key <> ''",
    /* Both write nothing where a fence or a key stands against it: then it is looked why. */
    [SAGA_SQL_INSERT] = "INSERT INTO marty_saga (" FACTS ", state, outbox) SELECT "
                        "?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15 "
                        "WHERE " UNDER("?16", "?8") " ON CONFLICT DO NOTHING",
    [SAGA_SQL_UPDATE] = "UPDATE marty_saga SET definition = ?2, stuck = ?3, status = ?4, "
                        "paused = ?5, version = ?6, changed_us = ?7, due_us = ?8, unsent = ?9, "
                        "state = ?10, outbox = ?11 WHERE number = ?1 AND id = ?12 AND "
                        "version = ?6 - 1 AND " UNDER("?13", "?14"),
    [SAGA_SQL_HISTORY_ADD] = "INSERT INTO marty_saga_history VALUES (?1, ?2, ?3, ?4)",
    [SAGA_SQL_SENT] =
        "UPDATE marty_saga SET unsent = 0 WHERE id = ?1 AND version = ?2 AND unsent = 1",
    [SAGA_SQL_SETTLE] = "UPDATE marty_saga_store SET settled = settled + 1",
    [SAGA_SQL_LOAD] =
        "SELECT " FACTS ", state, outbox, coalesce((SELECT epoch FROM "
        "marty_saga_shard s WHERE s.shard = marty_saga.shard), 0), number FROM marty_saga "
        "WHERE id = ?1",
    [SAGA_SQL_DUE] =
        "SELECT " FACTS " FROM marty_saga WHERE due_us < " NEVER " ORDER BY due_us, id",
    [SAGA_SQL_UNSENT] = "SELECT " FACTS " FROM marty_saga WHERE unsent = 1 AND changed_us < ?1 "
                        "ORDER BY changed_us, id",
    [SAGA_SQL_LIST] =
        "SELECT " FACTS " FROM marty_saga WHERE id > ?1 AND (?2 IS NULL OR name = ?2) AND "
        "(?3 IS NULL OR key = ?3) AND (?4 = 0 OR status = ?4) AND (?5 = 0 OR stuck <> '') AND "
        "(?6 = 0 OR changed_us < ?6) ORDER BY id LIMIT ?7",
    [SAGA_SQL_LIST_OPEN] =
        "SELECT " FACTS " FROM marty_saga WHERE status < 3 AND id > ?1 AND "
        "(?2 IS NULL OR name = ?2) AND (?3 IS NULL OR key = ?3) AND (?4 = 0 OR status = ?4) AND "
        "(?5 = 0 OR stuck <> '') AND (?6 = 0 OR changed_us < ?6) ORDER BY id LIMIT ?7",
    [SAGA_SQL_LIST_STUCK] =
        "SELECT " FACTS " FROM marty_saga WHERE stuck <> '' AND id > ?1 AND "
        "(?2 IS NULL OR name = ?2) AND (?3 IS NULL OR key = ?3) AND (?4 = 0 OR status = ?4) AND "
        "(?6 = 0 OR changed_us < ?6) AND status < 3 ORDER BY id LIMIT ?7",
    [SAGA_SQL_HISTORY] = "SELECT version, at_us, batch FROM marty_saga_history WHERE number = "
                         "(SELECT number FROM marty_saga WHERE id = ?1) AND version >= ?2 "
                         "ORDER BY version",
    [SAGA_SQL_PURGE_FIND] =
        "SELECT number FROM marty_saga WHERE status >= 3 AND changed_us < ?1 LIMIT ?2",
    [SAGA_SQL_PURGE_HISTORY] = "DELETE FROM marty_saga_history WHERE number = ?1",
    [SAGA_SQL_PURGE_SAGA] = "DELETE FROM marty_saga WHERE number = ?1",
    [SAGA_SQL_MEMBER] = "INSERT INTO marty_saga_member VALUES (?1, ?2) "
                        "ON CONFLICT (owner) DO UPDATE SET until_us = excluded.until_us",
    [SAGA_SQL_MEMBER_GONE] = "DELETE FROM marty_saga_member WHERE owner = ?1 OR until_us <= ?2",
    [SAGA_SQL_MEMBERS] = "SELECT count(*) FROM marty_saga_member WHERE until_us > ?1",
    [SAGA_SQL_SHARD] = "SELECT epoch FROM marty_saga_shard WHERE shard = ?1",
    [SAGA_SQL_SHARDS] = "SELECT shard, epoch, owner, until_us FROM marty_saga_shard",
    [SAGA_SQL_SHARD_RENEW] = "UPDATE marty_saga_shard SET until_us = ?3 "
                             "WHERE shard = ?1 AND epoch = ?2",
    [SAGA_SQL_SHARD_TAKE] =
        "INSERT INTO marty_saga_shard VALUES (?1, ?2, ?3, ?4) ON CONFLICT (shard) DO UPDATE SET "
        "epoch = excluded.epoch, owner = excluded.owner, until_us = excluded.until_us",
    [SAGA_SQL_SHARD_FREE] = "UPDATE marty_saga_shard SET owner = '', until_us = 0 "
                            "WHERE shard = ?1 AND epoch = ?2 AND owner = ?3",
    [SAGA_SQL_DEFINE] =
        "INSERT INTO marty_saga_definition VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
    [SAGA_SQL_DEFINITION] =
        "SELECT hash FROM marty_saga_definition WHERE name = ?1 AND version = ?2",
    [SAGA_SQL_DEFINITIONS] = "SELECT name, version, hash, document FROM marty_saga_definition "
                             "WHERE (?1 IS NULL OR name = ?1) AND (?2 IS NULL OR hash = ?2) "
                             "ORDER BY name, version",
};

static const char schema[] =
    "CREATE TABLE marty_saga (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, name TEXT NOT "
    "NULL, key TEXT NOT NULL, definition TEXT NOT NULL, stuck TEXT NOT NULL, status INTEGER NOT "
    "NULL, paused INTEGER NOT NULL, shard INTEGER NOT NULL, version INTEGER NOT NULL, started_us "
    "INTEGER NOT NULL, changed_us INTEGER NOT NULL, due_us INTEGER NOT NULL, unsent INTEGER NOT "
    "NULL, state BLOB NOT NULL, outbox BLOB NOT NULL);"
    "CREATE UNIQUE INDEX marty_saga_key ON marty_saga (name, key) WHERE key <> '';"
    "CREATE INDEX marty_saga_due ON marty_saga (due_us) WHERE due_us < " NEVER ";"
    "CREATE INDEX marty_saga_unsent ON marty_saga (changed_us) WHERE unsent = 1;"
    "CREATE INDEX marty_saga_open ON marty_saga (id) WHERE status < 3;"
    "CREATE INDEX marty_saga_stuck ON marty_saga (id) WHERE stuck <> '';"
    "CREATE INDEX marty_saga_ended ON marty_saga (changed_us) WHERE status >= 3;"
    "CREATE TABLE marty_saga_history (number INTEGER, version INTEGER, at_us INTEGER NOT NULL, "
    "batch BLOB NOT NULL, PRIMARY KEY (number, version)) WITHOUT ROWID;"
    "CREATE TABLE marty_saga_shard (shard INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, owner TEXT "
    "NOT NULL, until_us INTEGER NOT NULL);"
    "CREATE TABLE marty_saga_member (owner TEXT PRIMARY KEY, until_us INTEGER NOT NULL) WITHOUT "
    "ROWID;"
    "CREATE TABLE marty_saga_definition (name TEXT, version INTEGER, hash TEXT NOT NULL, document "
    "BLOB NOT NULL, PRIMARY KEY (name, version)) WITHOUT ROWID;"
    "CREATE TABLE marty_saga_store (schema INTEGER NOT NULL, boot TEXT NOT NULL, settled INTEGER "
    "NOT NULL);"
    "INSERT INTO marty_saga_store VALUES (1, '', 0);";

static int execute(saga_db *db, const char *sql)
{
    return sqlite3_exec(db->handle, sql, NULL, NULL, NULL);
}

/* The first number of the first row; fallback where there is no row or no table. */
static int64_t ask(saga_db *db, const char *sql, int64_t fallback)
{
    sqlite3_stmt *statement = NULL;
    int64_t value = fallback;
    if (sqlite3_prepare_v2(db->handle, sql, -1, &statement, NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW) {
        value = sqlite3_column_int64(statement, 0);
    }
    (void)sqlite3_finalize(statement);
    return value;
}

/* Leases are kept by the monotonic clock, which begins anew with the machine. */
static int free_leases_of_another_boot(saga_db *db)
{
    char boot[64] = "", sql[400];
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
    if (file) {
        if (fgets(boot, sizeof boot, file)) {
            boot[strcspn(boot, "\n")] = '\0';
        }
        (void)fclose(file);
    }
    (void)sqlite3_snprintf(sizeof sql, sql,
                           "UPDATE marty_saga_shard SET owner = '', until_us = 0 WHERE (SELECT "
                           "boot FROM marty_saga_store) <> %Q;"
                           "DELETE FROM marty_saga_member WHERE (SELECT boot FROM "
                           "marty_saga_store) <> %Q; UPDATE marty_saga_store SET boot = %Q;",
                           boot, boot, boot);
    return execute(db, sql);
}

static int make_tables(saga_db *db, int64_t *ret_schema)
{
    int code = execute(db, "BEGIN IMMEDIATE");
    if (code) {
        return code;
    }
    *ret_schema = ask(db, "SELECT schema FROM marty_saga_store", 0);
    if (!*ret_schema) {
        code = execute(db, schema);
        *ret_schema = SCHEMA;
    }
    if (!code && *ret_schema == SCHEMA) {
        code = free_leases_of_another_boot(db);
    }
    code = code ? code : execute(db, "COMMIT");
    if (code) {
        (void)execute(db, "ROLLBACK");
    }
    return code;
}

static int prepare_file(saga_db *db, const char *sync, bool writes)
{
    char sql[200];
    (void)snprintf(sql, sizeof sql,
                   "PRAGMA journal_mode=WAL; PRAGMA synchronous=%s; PRAGMA cache_size=-8192; "
                   "PRAGMA query_only=%d",
                   sync, !writes);
    return marty__sqlite_execute(db->handle, sql, &db->patience);
}

/* One that is to be there already: a name that was mistyped must not make a store, nor tables in a
 * file of something else. */
static bool is_missing(saga_db *db, int code, const saga_db_how *how)
{
    return how->there && ((code & 0xff) == SQLITE_CANTOPEN ||
                          (!code && ask(db, "SELECT schema FROM marty_saga_store", 0) == 0));
}

marty_err marty__saga_db_open(saga_db *db, const saga_db_how *how, int64_t until_ns,
                              marty_error *why)
{
    if (!marty__gate_init(&db->gate)) {
        return marty_error_set(why, MARTY_E_NO_MEMORY, "%s: no lock to be had", how->path);
    }
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE |
                (how->there ? 0 : SQLITE_OPEN_CREATE);
    int64_t found = SCHEMA;
    db->patience = (marty__sqlite_patience){how->env, until_ns};
    int code = sqlite3_open_v2(how->path, &db->handle, flags, marty__sqlite_gather_name());
    db->gathers = strcmp(how->sync, "normal") != 0;
    if (!code) {
        (void)sqlite3_busy_handler(db->handle, marty__sqlite_on_busy, &db->patience);
    }
    if (is_missing(db, code, how)) {
        return marty_error_set(why, MARTY_E_NOT_FOUND,
                               "%s: no sagas are kept there; an orchestrator makes the store",
                               how->path);
    }
    code = code ? code : prepare_file(db, how->sync, how->writes);
    if (!code && how->writes) {
        db->log = (marty__sqlite_log){.frames_max = LOG_FRAMES, .patience = &db->patience};
        marty__sqlite_log_watch(db->handle, &db->log);
        code = make_tables(db, &found);
    }
    if (code) {
        return marty__sqlite_error(code, marty__sqlite_words(db->handle, code), how->path, why);
    }
    return found == SCHEMA ? MARTY_OK : marty__sqlite_newer(how->path, found, SCHEMA, why);
}

void marty__saga_db_close(saga_db *db)
{
    for (int i = 0; i < SAGA_SQL_COUNT; i++) {
        (void)sqlite3_finalize(db->statements[i]);
    }
    if (db->handle) {
        (void)sqlite3_close(db->handle);
        marty__gate_free(&db->gate);
    }
    db->handle = NULL;
}

marty_err marty__saga_db_enter(saga_db *db, int64_t until_ns, marty_error *why)
{
    if (!marty__gate_enter(&db->gate, until_ns)) {
        return marty__saga_store_late(why);
    }
    db->patience.until_ns = until_ns;
    return MARTY_OK;
}

void marty__saga_db_leave(saga_db *db)
{
    marty__gate_leave(&db->gate);
}

int marty__saga_db_begin(saga_db *db)
{
    int code = marty__saga_db_run(db, marty__saga_db_statement(db, SAGA_SQL_BEGIN));
    if (!code) {
        marty__sqlite_gather_allow(db->handle, db->gathers);
    }
    return code;
}

marty_err marty__saga_db_end(saga_db *db, int code, marty_error *why)
{
    code = code ? code : marty__saga_db_run(db, marty__saga_db_statement(db, SAGA_SQL_COMMIT));
    marty_err err = code ? marty__saga_db_fail(db, code, why) : MARTY_OK;
    marty__saga_db_leave(db);
    return err;
}

marty_err marty__saga_db_fail(saga_db *db, int code, marty_error *why)
{
    marty_err err = marty__saga_db_error(db, code, why);
    marty__saga_db_roll_back(db);
    if ((code & 0xff) == SQLITE_FULL) {
        marty__sqlite_log_cut(db->handle, &db->log);
    }
    return err;
}

void marty__saga_db_roll_back(saga_db *db)
{
    if (!sqlite3_get_autocommit(db->handle)) {
        (void)marty__saga_db_run(db, marty__saga_db_statement(db, SAGA_SQL_ROLLBACK));
    }
}

sqlite3_stmt *marty__saga_db_statement(saga_db *db, saga_sql which)
{
    sqlite3_stmt **at = &db->statements[which];
    if (*at) {
        (void)sqlite3_reset(*at);
        (void)sqlite3_clear_bindings(*at);
    } else if (sqlite3_prepare_v3(db->handle, sql_text[which], -1, SQLITE_PREPARE_PERSISTENT, at,
                                  NULL)) {
        *at = NULL;
    }
    return *at;
}

static int bind_one(sqlite3_stmt *statement, int at, const saga_value *value)
{
    switch (value->kind) {
    case SAGA_INT:
        return sqlite3_bind_int64(statement, at, value->number);
    case SAGA_TEXT:
        return sqlite3_bind_text(statement, at, value->bytes.data, (int)value->bytes.size, NULL);
    case SAGA_BLOB:
        break;
    }
    return sqlite3_bind_blob64(statement, at, value->bytes.size ? value->bytes.data : "",
                               value->bytes.size, NULL);
}

sqlite3_stmt *marty__saga_db_bind(saga_db *db, saga_sql which, const saga_value values[],
                                  size_t count)
{
    sqlite3_stmt *statement = marty__saga_db_statement(db, which);
    int code = statement ? SQLITE_OK : SQLITE_NOMEM;
    for (size_t i = 0; i < count && !code; i++) {
        code = bind_one(statement, (int)i + 1, &values[i]);
    }
    return code ? NULL : statement;
}

int marty__saga_db_run(saga_db *db, sqlite3_stmt *statement)
{
    if (!statement) {
        return marty__saga_db_code(db);
    }
    int code = sqlite3_step(statement);
    (void)sqlite3_reset(statement);
    return code == SQLITE_DONE || code == SQLITE_ROW ? SQLITE_OK : code;
}

int marty__saga_db_code(saga_db *db)
{
    int code = sqlite3_extended_errcode(db->handle);
    return code && code != SQLITE_ROW && code != SQLITE_DONE ? code : SQLITE_NOMEM;
}

int64_t marty__saga_db_int(sqlite3_stmt *statement, int column)
{
    return sqlite3_column_int64(statement, column);
}

const char *marty__saga_db_text(sqlite3_stmt *statement, int column)
{
    const char *text = (const char *)sqlite3_column_text(statement, column);
    return text ? text : "";
}

marty_bytes marty__saga_db_bytes(sqlite3_stmt *statement, int column)
{
    const void *data = sqlite3_column_blob(statement, column);
    return (marty_bytes){data, (size_t)sqlite3_column_bytes(statement, column)};
}

/* A row that somebody has written by hand must not lead beyond the shards that there are. */
static uint32_t shard_of(sqlite3_stmt *row)
{
    int64_t shard = marty__saga_db_int(row, 7);
    return shard >= 0 && shard < MARTY_SAGA_SHARDS ? (uint32_t)shard
                                                   : marty__saga_shard(marty__saga_db_text(row, 0));
}

void marty__saga_db_facts(sqlite3_stmt *row, marty_saga_facts *ret_facts)
{
    *ret_facts = (marty_saga_facts){
        .id = marty__saga_db_text(row, 0),
        .name = marty__saga_db_text(row, 1),
        .key = marty__saga_db_text(row, 2),
        .definition = marty__saga_db_text(row, 3),
        .stuck = marty__saga_db_text(row, 4),
        .status = (marty_saga_status)sqlite3_column_int(row, 5),
        .paused = sqlite3_column_int(row, 6) != 0,
        .shard = shard_of(row),
        .version = (uint64_t)marty__saga_db_int(row, 8),
        .started_us = marty__saga_db_int(row, 9),
        .changed_us = marty__saga_db_int(row, 10),
        .due_us = marty__saga_db_int(row, 11),
        .unsent = sqlite3_column_int(row, 12) != 0,
    };
}

marty_err marty__saga_db_error(saga_db *db, int code, marty_error *why)
{
    const char *path = db->handle ? sqlite3_db_filename(db->handle, "main") : NULL;
    return marty__sqlite_error(code, marty__sqlite_words(db->handle, code),
                               path && *path ? path : "the file", why);
}
