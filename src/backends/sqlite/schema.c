/* SPDX-License-Identifier: Apache-2.0
 * Tables. A message is one row of one of 16 tables, its number = log << 40 | place in the log, so
 * a log is read in one sweep without an index of its own, and appending is at the right edge of a
 * tree for the first 16 logs. What groups have read is one row (cursor); what a process holds is
 * one row for each batch it took (claim); rows per message and group exist only for those to be
 * delivered again (retry). README.md says more. */
#include "schema.h"

#include "backend/sqlite/errors.h"

#include <stdio.h>

#define MESSAGES(n)                                                                                \
    "CREATE TABLE marty_message_" #n "(id INTEGER PRIMARY KEY, at_us INTEGER NOT NULL,"            \
    " expires_us INTEGER, key INTEGER, body BLOB NOT NULL);"

static const char *const step_1[] = {
    "CREATE TABLE marty_state(id INTEGER PRIMARY KEY CHECK(id = 1), version INTEGER NOT NULL,"
    " topology INTEGER NOT NULL, created_us INTEGER NOT NULL);"
    "CREATE TABLE marty_channel(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE,"
    " kind INTEGER NOT NULL, ordered INTEGER NOT NULL, age_us INTEGER NOT NULL,"
    " bytes_max INTEGER NOT NULL, trim_hard INTEGER NOT NULL, created_us INTEGER NOT NULL,"
    " owner INTEGER NOT NULL);"
    "CREATE TABLE marty_log(id INTEGER PRIMARY KEY AUTOINCREMENT, channel INTEGER NOT NULL,"
    " grp INTEGER, priority INTEGER NOT NULL, next INTEGER NOT NULL, messages INTEGER NOT NULL,"
    " bytes INTEGER NOT NULL, last_us INTEGER NOT NULL);"
    "CREATE INDEX marty_log_channel ON marty_log(channel);",
    MESSAGES(0) MESSAGES(1) MESSAGES(2) MESSAGES(3) MESSAGES(4) MESSAGES(5) MESSAGES(6) MESSAGES(7),
    MESSAGES(8) MESSAGES(9) MESSAGES(10) MESSAGES(11) MESSAGES(12) MESSAGES(13) MESSAGES(14)
        MESSAGES(15),
    "CREATE TABLE marty_group(id INTEGER PRIMARY KEY AUTOINCREMENT, scope TEXT NOT NULL,"
    " name TEXT NOT NULL, wild INTEGER NOT NULL, owner INTEGER NOT NULL,"
    " created_us INTEGER NOT NULL, UNIQUE(scope, name));"
    "CREATE TABLE marty_cursor(grp INTEGER NOT NULL, log INTEGER NOT NULL, next INTEGER NOT NULL,"
    " PRIMARY KEY(grp, log)) WITHOUT ROWID;"
    "CREATE INDEX marty_cursor_log ON marty_cursor(log);"
    "CREATE TABLE marty_claim(grp INTEGER NOT NULL, member INTEGER NOT NULL,"
    " serial INTEGER NOT NULL, version INTEGER NOT NULL, lease_us INTEGER NOT NULL,"
    " items BLOB NOT NULL, PRIMARY KEY(grp, member, serial)) WITHOUT ROWID;"
    "CREATE TABLE marty_retry(grp INTEGER NOT NULL, message INTEGER NOT NULL,"
    " attempt INTEGER NOT NULL, due_us INTEGER NOT NULL, key INTEGER,"
    " PRIMARY KEY(grp, message)) WITHOUT ROWID;"
    "CREATE INDEX marty_retry_due ON marty_retry(grp, due_us);",
    "CREATE TABLE marty_later(id INTEGER PRIMARY KEY AUTOINCREMENT, due_us INTEGER NOT NULL,"
    " expires_us INTEGER, channel INTEGER NOT NULL, grp INTEGER NOT NULL,"
    " priority INTEGER NOT NULL, key INTEGER, late INTEGER NOT NULL, a INTEGER NOT NULL,"
    " b INTEGER NOT NULL, message TEXT NOT NULL, body BLOB NOT NULL);"
    "CREATE INDEX marty_later_due ON marty_later(due_us);"
    "CREATE INDEX marty_later_message ON marty_later(channel, message);"
    "CREATE TABLE marty_seen(id INTEGER PRIMARY KEY AUTOINCREMENT, at_us INTEGER NOT NULL,"
    " first_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL, entries BLOB NOT NULL);"
    "CREATE INDEX marty_seen_time ON marty_seen(first_ms, last_ms);",
    "CREATE TABLE marty_post(id INTEGER PRIMARY KEY AUTOINCREMENT, channel INTEGER NOT NULL,"
    " at_us INTEGER NOT NULL, expires_us INTEGER, body BLOB NOT NULL);"
    "CREATE INDEX marty_post_channel ON marty_post(channel, id);"
    "CREATE TABLE marty_member(id INTEGER PRIMARY KEY, slot INTEGER NOT NULL,"
    " pid INTEGER NOT NULL, since_us INTEGER NOT NULL);"
    "CREATE TABLE marty_subscriber(member INTEGER NOT NULL, number INTEGER NOT NULL,"
    " grp INTEGER NOT NULL, channel INTEGER NOT NULL, PRIMARY KEY(member, number)) WITHOUT ROWID;"
    "CREATE INDEX marty_subscriber_channel ON marty_subscriber(channel);"
    "CREATE INDEX marty_subscriber_group ON marty_subscriber(grp);",
    NULL};

/* Groups count what age took from them; removals are counted apart from other changes; ids that are
 * no fresh UUIDv7 are remembered one by one. */
static const char *const step_2[] = {
    "ALTER TABLE marty_group ADD COLUMN missed INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE marty_state ADD COLUMN removals INTEGER NOT NULL DEFAULT 1;"
    "CREATE TABLE marty_seen_name(id INTEGER PRIMARY KEY, late INTEGER NOT NULL,"
    " a INTEGER NOT NULL, b INTEGER NOT NULL, at_us INTEGER NOT NULL, UNIQUE(late, a, b));",
    NULL};

/* Blocks of ids without an index and a counter that every commit writes: a row for each 128 of them
 * says what times they are of, and the newest block is never removed, so numbers go on. */
static const char *const step_3[] = {
    "CREATE TABLE marty_seen_new(id INTEGER PRIMARY KEY, at_us INTEGER NOT NULL,"
    " first_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL, entries BLOB NOT NULL);"
    "INSERT INTO marty_seen_new SELECT id, at_us, first_ms, last_ms, entries FROM marty_seen"
    " ORDER BY id;"
    "DROP TABLE marty_seen;"
    "ALTER TABLE marty_seen_new RENAME TO marty_seen;"
    "CREATE TABLE marty_seen_span(id INTEGER PRIMARY KEY, at_us INTEGER NOT NULL,"
    " first_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL);"
    "INSERT INTO marty_seen_span SELECT id >> 7, max(at_us), min(first_ms), max(last_ms)"
    " FROM marty_seen WHERE id >> 7 < (SELECT max(id) >> 7 FROM marty_seen) GROUP BY id >> 7;",
    NULL};

static const char *const *const steps[SQ_SCHEMA_VERSION] = {step_1, step_2, step_3};

static int run_step(sq_db *db, int step, int64_t now_us)
{
    char sql[200];
    int code = SQLITE_OK;
    for (const char *const *part = steps[step]; *part && !code; part++) {
        code = marty__sq_exec(db, *part);
    }
    if (!code && step == 0) {
        (void)snprintf(sql, sizeof sql,
                       "INSERT INTO marty_state VALUES(1, 1, 1, %lld);"
                       "PRAGMA application_id=%d",
                       (long long)now_us, (int)SQ_APPLICATION_ID);
        code = marty__sq_exec(db, sql);
    }
    if (!code) {
        (void)snprintf(sql, sizeof sql,
                       "UPDATE marty_state SET version = %d; PRAGMA user_version = %d", step + 1,
                       step + 1);
        code = marty__sq_exec(db, sql);
    }
    return code;
}

int marty__sq_schema_make(sq_db *db, int version, int64_t now_us)
{
    int code = SQLITE_OK;
    for (int step = 0; step < version && !code; step++) {
        code = run_step(db, step, now_us);
    }
    return code;
}

static int number(sq_db *db, const char *sql, int64_t *ret_number)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(db->handle, sql, -1, &statement, NULL);
    code = code ? code : marty__sq_step(db, statement);
    *ret_number = code == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
    code = code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK : code;
    (void)sqlite3_finalize(statement);
    return code;
}

/* The version of our tables, 0 = there are none; others: how many tables of somebody else. */
static int look(sq_db *db, int64_t *ret_version, int64_t *ret_others)
{
    int64_t ours = 0;
    *ret_version = 0;
    int code = number(db, "SELECT count(*) FROM sqlite_schema WHERE name = 'marty_state'", &ours);
    code = code ? code
                : number(db,
                         "SELECT count(*) FROM sqlite_schema WHERE name NOT LIKE 'marty_%'"
                         " AND name NOT LIKE 'sqlite_%'",
                         ret_others);
    if (!code && ours) {
        code = number(db, "SELECT version FROM marty_state WHERE id = 1", ret_version);
    }
    return code;
}

static marty_err bring_up(sq_db *db, const marty_env *env, marty_error *why)
{
    int64_t version = 0, others = 0;
    const char *path = marty__sq_db_path(db);
    int code = look(db, &version, &others);
    if (!code && version > SQ_SCHEMA_VERSION) {
        return marty__sqlite_newer(path, version, SQ_SCHEMA_VERSION, why);
    }
    if (!code && !version && others) {
        return marty_error_set(why, MARTY_E_CONFIG,
                               "%s: it is the database of another program (%lld tables and none "
                               "of Marty's); name a file of its own",
                               path, (long long)others);
    }
    for (int64_t step = version; step < SQ_SCHEMA_VERSION && !code; step++) {
        code = run_step(db, (int)step, env->wall_us(env->user));
    }
    return code ? marty__sq_explain(db, code, path, why) : MARTY_OK;
}

marty_err marty__sq_schema_ensure(sq_db *db, const marty_env *env, marty_error *why)
{
    int code = marty__sq_begin(db, true, db->busy_until_ns);
    if (code) {
        return marty__sq_explain(db, code, marty__sq_db_path(db), why);
    }
    marty_err err = bring_up(db, env, why);
    if (err) {
        marty__sq_rollback(db);
        return err;
    }
    code = marty__sq_commit(db);
    return code ? marty__sq_explain(db, code, marty__sq_db_path(db), why) : MARTY_OK;
}
