/* SPDX-License-Identifier: Apache-2.0
 * Notes in a SQLite file, which is the participant's own database: the effect gets the connection.
 */
#include "saga/participant/notes.h"

#include "backend/sqlite/log.h"
#include "base/alloc.h"
#include "base/thread.h"

#include <sqlite3.h>
#include <string.h>

typedef enum notes_sql {
    NOTES_BEGIN,
    NOTES_SAVE,
    NOTES_KEEP,
    NOTES_UNDO,
    NOTES_COMMIT,
    NOTES_FIND,
    NOTES_ADD,
    NOTES_PURGE,
    NOTES_SQL_COUNT
} notes_sql;

static const char *const sql_text[NOTES_SQL_COUNT] = {
    [NOTES_BEGIN] = "BEGIN IMMEDIATE",
    [NOTES_SAVE] = "SAVEPOINT marty_effect",
    [NOTES_KEEP] = "RELEASE marty_effect",
    [NOTES_UNDO] = "ROLLBACK TO marty_effect",
    [NOTES_COMMIT] = "COMMIT",
    [NOTES_FIND] = "SELECT kind, answer FROM marty_operation WHERE key = ?1",
    [NOTES_ADD] = "INSERT INTO marty_operation VALUES (?1, ?2, ?3, ?4)",
    [NOTES_PURGE] = "DELETE FROM marty_operation WHERE at_us < ?1",
};

struct marty__notes {
    marty__mutex mutex; /* held from begin to the end */
    sqlite3 *handle;
    sqlite3_stmt *statements[NOTES_SQL_COUNT];
    marty__sqlite_patience patience;
    marty__sqlite_log log;
};

enum { LOG_FRAMES = 1000 };

static marty_err explain(marty__notes *notes, int code, marty_error *why)
{
    const char *path = sqlite3_db_filename(notes->handle, "main");
    return marty__sqlite_error(code, marty__sqlite_words(notes->handle, code), path ? path : "",
                               why);
}

static int prepare(marty__notes *notes, notes_sql which, sqlite3_stmt **ret)
{
    sqlite3_stmt **at = &notes->statements[which];
    int code = SQLITE_OK;
    if (*at) {
        (void)sqlite3_reset(*at);
        (void)sqlite3_clear_bindings(*at);
    } else {
        code = sqlite3_prepare_v3(notes->handle, sql_text[which], -1, SQLITE_PREPARE_PERSISTENT, at,
                                  NULL);
    }
    *ret = *at;
    return code;
}

static int run(marty__notes *notes, notes_sql which)
{
    sqlite3_stmt *statement = NULL;
    int code = prepare(notes, which, &statement);
    code = code ? code : sqlite3_step(statement);
    (void)sqlite3_reset(statement);
    return code == SQLITE_DONE || code == SQLITE_ROW ? SQLITE_OK : code;
}

static void notes_close(marty__notes *notes)
{
    for (int i = 0; i < NOTES_SQL_COUNT; i++) {
        (void)sqlite3_finalize(notes->statements[i]);
    }
    (void)sqlite3_close(notes->handle);
    marty__mutex_free(&notes->mutex);
    marty_free(notes);
}

static marty_err notes_open(marty__notes **ret_notes, const marty_url *url, const marty_env *env,
                            int64_t until_ns, marty_error *why)
{
    static const char *const known[] = {NULL};
    static const char setup[] =
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
        "CREATE TABLE IF NOT EXISTS marty_operation (key TEXT PRIMARY KEY, kind INTEGER NOT NULL, "
        "answer BLOB, at_us INTEGER NOT NULL) WITHOUT ROWID;"
        "CREATE INDEX IF NOT EXISTS marty_operation_at ON marty_operation (at_us);";
    marty_err err = marty_url_check(url, known, why);
    if (err) {
        return err;
    }
    if (!url->path || !*url->path) {
        return marty_error_set(why, MARTY_E_CONFIG, "%s names no file: write sqlite:inventory.db",
                               url->redacted);
    }
    marty__notes *notes = marty_alloc_zero(1, sizeof *notes);
    if (!notes || !marty__mutex_init(&notes->mutex)) {
        marty_free(notes);
        return marty_error_set(why, MARTY_E_NO_MEMORY, "opening %s", url->redacted);
    }
    notes->patience = (marty__sqlite_patience){env, until_ns};
    int flags =
        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    int code = sqlite3_open_v2(url->path, &notes->handle, flags, NULL);
    if (!code) {
        notes->log = (marty__sqlite_log){.frames_max = LOG_FRAMES, .patience = &notes->patience};
        (void)sqlite3_busy_handler(notes->handle, marty__sqlite_on_busy, &notes->patience);
        marty__sqlite_log_watch(notes->handle, &notes->log);
        code = marty__sqlite_execute(notes->handle, setup, &notes->patience);
    }
    if (code) {
        err = marty__sqlite_error(code, marty__sqlite_words(notes->handle, code), url->path, why);
        notes_close(notes);
        return err;
    }
    *ret_notes = notes;
    return MARTY_OK;
}

static void notes_roll_back(marty__notes *notes)
{
    (void)sqlite3_commit_hook(notes->handle, NULL, NULL);
    if (!sqlite3_get_autocommit(notes->handle)) {
        (void)sqlite3_exec(notes->handle, "ROLLBACK", NULL, NULL, NULL);
    }
    marty__unlock(&notes->mutex);
}

/* An effect that ends our transaction would commit what is not whole. */
static int refuse_commit(void *user)
{
    (void)user;
    return 1;
}

static marty_err notes_begin(marty__notes *notes, int64_t until_ns, void **ret_transaction,
                             marty_error *why)
{
    marty__lock(&notes->mutex);
    notes->patience.until_ns = until_ns;
    int code = run(notes, NOTES_BEGIN);
    if (code) {
        marty_err err = explain(notes, code, why);
        notes_roll_back(notes);
        return err;
    }
    (void)sqlite3_commit_hook(notes->handle, refuse_commit, NULL);
    *ret_transaction = notes->handle;
    return MARTY_OK;
}

/* The savepoint is gone with the transaction that it was in, also when an effect has begun another
 * one. */
static marty_err explain_effect(marty__notes *notes, int code, marty_error *why)
{
    bool ended = sqlite3_get_autocommit(notes->handle) || code == SQLITE_ERROR;
    return ended ? marty_error_set(why, MARTY_E_FAILED, MARTY__NOTES_ENDED)
                 : explain(notes, code, why);
}

static marty_err notes_find(marty__notes *notes, const char *key, marty__note *ret_note,
                            marty_error *why)
{
    sqlite3_stmt *row = NULL;
    *ret_note = (marty__note){0};
    int code = prepare(notes, NOTES_FIND, &row);
    code = code ? code : sqlite3_bind_text(row, 1, key, -1, NULL);
    code = code ? code : sqlite3_step(row);
    if (code == SQLITE_ROW) {
        ret_note->kind = (marty__note_kind)sqlite3_column_int(row, 0);
        const void *text = sqlite3_column_blob(row, 1);
        ret_note->size = (size_t)sqlite3_column_bytes(row, 1);
        ret_note->text = marty_alloc(ret_note->size + 1);
        code = ret_note->text ? SQLITE_ROW : SQLITE_NOMEM;
        if (ret_note->text) {
            if (ret_note->size) {
                memcpy(ret_note->text, text, ret_note->size);
            }
            ret_note->text[ret_note->size] = '\0';
        }
    }
    (void)sqlite3_reset(row);
    return code == SQLITE_ROW || code == SQLITE_DONE ? MARTY_OK : explain(notes, code, why);
}

static marty_err notes_enter(marty__notes *notes, const char *key, marty__note *ret_note,
                             marty_error *why)
{
    int code = run(notes, NOTES_SAVE);
    return code ? explain(notes, code, why) : notes_find(notes, key, ret_note, why);
}

static marty_err notes_add(marty__notes *notes, const char *key, marty__note_kind kind,
                           const char *text, size_t size, int64_t at_us, marty_error *why)
{
    sqlite3_stmt *row = NULL;
    if (sqlite3_get_autocommit(notes->handle)) {
        return explain_effect(notes, SQLITE_ERROR, why);
    }
    int code = prepare(notes, NOTES_ADD, &row);
    code = code ? code : sqlite3_bind_text(row, 1, key, -1, NULL);
    code = code ? code : sqlite3_bind_int(row, 2, (int)kind);
    code = code ? code : sqlite3_bind_blob64(row, 3, size ? text : "", size, NULL);
    code = code ? code : sqlite3_bind_int64(row, 4, at_us);
    code = code ? code : sqlite3_step(row);
    (void)sqlite3_reset(row);
    return code == SQLITE_DONE ? MARTY_OK : explain(notes, code, why);
}

static marty_err notes_undo(marty__notes *notes, marty_error *why)
{
    int code = run(notes, NOTES_UNDO);
    return code ? explain_effect(notes, code, why) : MARTY_OK;
}

static marty_err notes_leave(marty__notes *notes, marty_error *why)
{
    int code = run(notes, NOTES_KEEP);
    return code ? explain_effect(notes, code, why) : MARTY_OK;
}

static marty_err notes_commit(marty__notes *notes, marty_error *why)
{
    (void)sqlite3_commit_hook(notes->handle, NULL, NULL);
    int code = run(notes, NOTES_COMMIT);
    marty_err err = code ? explain(notes, code, why) : MARTY_OK;
    if ((code & 0xff) == SQLITE_CONSTRAINT) { /* one that was deferred until here */
        err = marty_error_set(why, MARTY_E_FAILED, "%s", sqlite3_errmsg(notes->handle));
    }
    notes_roll_back(notes);
    return err;
}

static marty_err notes_purge(marty__notes *notes, int64_t before_us, int64_t until_ns,
                             marty_error *why)
{
    sqlite3_stmt *row = NULL;
    marty__lock(&notes->mutex);
    notes->patience.until_ns = until_ns;
    int code = prepare(notes, NOTES_PURGE, &row);
    code = code ? code : sqlite3_bind_int64(row, 1, before_us);
    code = code ? code : sqlite3_step(row);
    (void)sqlite3_reset(row);
    marty_err err = code == SQLITE_DONE ? MARTY_OK : explain(notes, code, why);
    marty__unlock(&notes->mutex);
    return err;
}

const marty__notes_table marty__notes_sqlite = {
    .abi = MARTY__NOTES_ABI,
    .scheme = "sqlite",
    .open = notes_open,
    .close = notes_close,
    .begin = notes_begin,
    .enter = notes_enter,
    .find = notes_find,
    .add = notes_add,
    .undo = notes_undo,
    .leave = notes_leave,
    .commit = notes_commit,
    .roll_back = notes_roll_back,
    .purge = notes_purge,
};
