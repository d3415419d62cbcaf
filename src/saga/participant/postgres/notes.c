/* SPDX-License-Identifier: Apache-2.0
 * Notes in PostgreSQL, in the participant's own database: the effect gets the connection. Each key
 * is locked before it is looked up, until the transaction ends: of two processes that are asked for
 * one operation, or for it and for its undo, the second waits and then finds the first one's note.
 * So does who looks a key up again whose commit was lost from sight. */
#include "saga/participant/notes.h"
#include "saga/postgres/guard.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { IDLE_MS = 60000, END_MS = 5000, SQL_BYTES = 400, KEY_BYTES = 1200 };

static const char *const schema[] = {
    "CREATE TABLE IF NOT EXISTS marty_operation (key text PRIMARY KEY COLLATE \"C\", kind int NOT "
    "NULL, answer bytea NOT NULL, at_us bigint NOT NULL)",
    "CREATE INDEX IF NOT EXISTS marty_operation_at ON marty_operation (at_us)",
    "CREATE OR REPLACE FUNCTION marty_operation_find(key_ text, OUT kind_ int, OUT answer_ bytea) "
    "LANGUAGE plpgsql SET search_path FROM CURRENT AS $$ BEGIN"
    "  PERFORM pg_advisory_xact_lock(hashtextextended(key_, 7310579));"
    "  SELECT kind, answer INTO kind_, answer_ FROM marty_operation WHERE key = key_; END $$",
    "CREATE OR REPLACE FUNCTION marty_operation_add(key_ text, kind_ int, answer_ bytea, at_ "
    "bigint) RETURNS void LANGUAGE plpgsql SET search_path FROM CURRENT AS $$ BEGIN"
    "  INSERT INTO marty_operation VALUES (key_, kind_, answer_, at_); END $$",
    NULL};

struct marty__notes {
    pg_link link;     /* held from begin to the end */
    int64_t until_ns; /* of who has the link */
    char *url;
    char schema[140]; /* where our tables are, quoted: an effect may choose another one */
};

static marty_err code_of(const marty_error *why)
{
    return why && why->code ? why->code : MARTY_E_UNAVAILABLE;
}

static int64_t end_ns(const marty__notes *notes)
{
    return notes->link.env->monotonic_ns(notes->link.env->user) + INT64_C(1000000) * END_MS;
}

/* Which schema the tables are in. */
static marty_err look_around(marty__notes *notes, marty_error *why)
{
    PGresult *result =
        pg_ask(&notes->link, "SELECT quote_ident(current_schema())", NULL, notes->until_ns, why);
    if (!result) {
        return code_of(why);
    }
    (void)snprintf(notes->schema, sizeof notes->schema, "%s", pg_get_text(result, 0, 0));
    PQclear(result);
    return MARTY_OK;
}

static void notes_close(marty__notes *notes)
{
    pg_link_free(&notes->link);
    marty_free(notes->url);
    marty_free(notes);
}

static marty_err notes_open(marty__notes **ret_notes, const marty_url *url, const marty_env *env,
                            int64_t until_ns, marty_error *why)
{
    marty_error reason = {0};
    marty__notes *notes = marty_alloc_zero(1, sizeof *notes);
    if (!notes) {
        return marty_error_set(why, MARTY_E_NO_MEMORY, "opening %s", url->redacted);
    }
    notes->url = pg_url(url, IDLE_MS);
    notes->until_ns = until_ns;
    pg_link_init(&notes->link, notes->url, env);
    marty_err err = notes->url
                        ? pg_make(&notes->link, pg_guard, until_ns, &reason)
                        : marty_error_set(&reason, MARTY_E_NO_MEMORY, "opening a participant");
    err = err ? err : pg_make(&notes->link, schema, until_ns, &reason);
    err = err ? err : look_around(notes, &reason);
    if (err) {
        notes_close(notes);
        return marty_error_set(why, err, "%s: %.400s", url->redacted, reason.text);
    }
    *ret_notes = notes;
    return MARTY_OK;
}

static void notes_roll_back(marty__notes *notes)
{
    PGconn *connection = notes->link.connection;
    bool lost = PQstatus(connection) != CONNECTION_OK ||
                PQtransactionStatus(connection) == PQTRANS_ACTIVE ||
                PQpipelineStatus(connection) != PQ_PIPELINE_OFF;
    (void)PQsetnonblocking(connection, 1);
    if (!lost && PQtransactionStatus(connection) != PQTRANS_IDLE) {
        marty_err err = pg_run(&notes->link, "ROLLBACK", end_ns(notes), &lost, NULL);
        lost |= err != MARTY_OK;
    }
    pg_leave(&notes->link, lost);
}

/* What a commit says must be on the disk: a crash that forgets it would have it done again. */
static marty_err begin_once(marty__notes *notes, int64_t until_ns, marty_error *why)
{
    char sql[SQL_BYTES];
    bool lost = false;
    if (!pg_enter(&notes->link, until_ns, why)) {
        return code_of(why);
    }
    notes->until_ns = until_ns;
    (void)snprintf(sql, sizeof sql,
                   "BEGIN; SELECT set_config('synchronous_commit', 'on', true) WHERE "
                   "current_setting('synchronous_commit') = 'off'; "
                   "SELECT %s.marty_transaction_open()",
                   notes->schema);
    marty_err err = pg_run(&notes->link, sql, until_ns, &lost, why);
    if (err) {
        pg_leave(&notes->link, true);
    }
    return err;
}

static marty_err notes_begin(marty__notes *notes, int64_t until_ns, void **ret_transaction,
                             marty_error *why)
{
    marty_err err = begin_once(notes, until_ns, why);
    if (err == MARTY_E_UNAVAILABLE) { /* a connection that has died since it was last used */
        err = begin_once(notes, until_ns, why);
    }
    if (!err) {
        *ret_transaction = notes->link.connection;
    }
    return err;
}

static bool take_note(const PGresult *result, marty__note *ret_note)
{
    if (PQgetisnull(result, 0, 0)) {
        return true;
    }
    marty_bytes answer = pg_get_bytes(result, 0, 1);
    ret_note->kind = (marty__note_kind)pg_get_number(result, 0, 0);
    ret_note->text = (char *)(uintptr_t)answer.data;
    ret_note->size = answer.size;
    return answer.data != NULL;
}

/* Look a key up; `more` are statements that follow in the same round trip. */
static marty_err find(marty__notes *notes, const char *key, const char *more, marty__note *ret_note,
                      marty_error *why)
{
    char sql[SQL_BYTES + KEY_BYTES];
    PGconn *connection = notes->link.connection;
    char *literal = PQescapeLiteral(connection, key, strlen(key));
    *ret_note = (marty__note){.kind = MARTY__NOTE_NONE};
    if (!literal) {
        return marty_error_set(why, MARTY_E_NO_MEMORY, "looking up an operation");
    }
    int size = snprintf(sql, sizeof sql, "SELECT * FROM %s.marty_operation_find(%s)%s",
                        notes->schema, literal, more);
    PQfreemem(literal);
    if (size < 0 || (size_t)size >= sizeof sql) {
        return marty_error_set(why, MARTY_E_TOO_LARGE, "the key %.80s... is too long", key);
    }
    marty_err err = MARTY_OK;
    bool lost = !PQsendQuery(connection, sql);
    PGresult *result = NULL;
    while (!lost && (result = pg_next(&notes->link, notes->until_ns, &lost)) != NULL) {
        ExecStatusType status = PQresultStatus(result);
        if (status == PGRES_FATAL_ERROR) {
            err = err ? err : pg_error(connection, result, "asking", why);
        } else if (status == PGRES_TUPLES_OK && !take_note(result, ret_note)) {
            err = marty_error_set(why, MARTY_E_NO_MEMORY, "looking up an operation");
        }
        PQclear(result);
    }
    err = lost && !err ? pg_error(connection, NULL, "asking", why) : err;
    (void)PQsetnonblocking(connection, 0); /* an effect uses it as it likes */
    return err;
}

static marty_err notes_enter(marty__notes *notes, const char *key, marty__note *ret_note,
                             marty_error *why)
{
    (void)PQsetnonblocking(notes->link.connection, 1);
    return find(notes, key, "; SAVEPOINT marty_effect", ret_note, why); /* the lock is outside */
}

static marty_err notes_find(marty__notes *notes, const char *key, marty__note *ret_note,
                            marty_error *why)
{
    (void)PQsetnonblocking(notes->link.connection, 1);
    return find(notes, key, "", ret_note, why);
}

static marty_err notes_add(marty__notes *notes, const char *key, marty__note_kind kind,
                           const char *text, size_t size, int64_t at_us, marty_error *why)
{
    char sql[SQL_BYTES];
    pg_parameters with = {.count = 0};
    PGconn *connection = notes->link.connection;
    marty_err err = pg_guard_check(connection, false, why);
    if (err) {
        return err;
    }
    (void)snprintf(sql, sizeof sql, "SELECT %s.marty_operation_add($1, $2, $3, $4)", notes->schema);
    pg_text(&with, key);
    pg_number(&with, (int64_t)kind);
    pg_bytes(&with, (marty_bytes){text, size});
    pg_number(&with, at_us);
    bool lost = !PQsendQueryParams(connection, sql, with.count, NULL, with.values, with.lengths,
                                   with.formats, 0);
    PGresult *result = NULL;
    while (!lost && (result = pg_next(&notes->link, notes->until_ns, &lost)) != NULL) {
        if (PQresultStatus(result) == PGRES_FATAL_ERROR) {
            err = pg_error(connection, result, "noting in", why);
        }
        PQclear(result);
    }
    return lost && !err ? pg_error(connection, NULL, "noting in", why) : err;
}

/* The savepoint is gone with the transaction that it was in. */
static marty_err end_savepoint(marty__notes *notes, const char *sql, marty_error *why)
{
    bool lost = false;
    marty_err err = pg_run(&notes->link, sql, notes->until_ns, &lost, why);
    return err == MARTY_E_INTERNAL ? pg_guard_lost(why) : err; /* no such savepoint */
}

static marty_err notes_undo(marty__notes *notes, marty_error *why)
{
    marty_err err = pg_guard_check(notes->link.connection, true, why);
    return err ? err : end_savepoint(notes, "ROLLBACK TO marty_effect", why);
}

static marty_err notes_leave(marty__notes *notes, marty_error *why)
{
    marty_err err = pg_guard_check(notes->link.connection, false, why);
    return err ? err : end_savepoint(notes, "RELEASE marty_effect", why);
}

/* An error that the server says is one: then it has undone the transaction. */
static marty_err notes_commit(marty__notes *notes, marty_error *why)
{
    char sql[SQL_BYTES];
    bool lost = false;
    PGconn *connection = notes->link.connection;
    (void)snprintf(sql, sizeof sql, "SELECT %s.marty_transaction_close(); COMMIT", notes->schema);
    (void)PQsetnonblocking(connection, 1);
    marty_err err = pg_run(&notes->link, sql, notes->until_ns, &lost, why);
    if (err && !lost && PQstatus(connection) == CONNECTION_OK && err != MARTY_E_UNAVAILABLE) {
        err = MARTY_E_FAILED;
        notes_roll_back(notes);
        return err;
    }
    pg_leave(&notes->link, err != MARTY_OK);
    return err;
}

static marty_err notes_purge(marty__notes *notes, int64_t before_us, int64_t until_ns,
                             marty_error *why)
{
    char sql[SQL_BYTES];
    pg_parameters with = {.count = 0};
    (void)snprintf(sql, sizeof sql, "DELETE FROM %s.marty_operation WHERE at_us < $1",
                   notes->schema);
    pg_number(&with, before_us);
    PGresult *result = pg_ask(&notes->link, sql, &with, until_ns, why);
    marty_err err = result ? MARTY_OK : code_of(why);
    PQclear(result);
    return err;
}

static const marty__notes_table table = {
    .abi = MARTY__NOTES_ABI,
    .scheme = "postgres",
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

MARTY_API const marty__notes_table *marty_notes_module(uint32_t abi);

const marty__notes_table *marty_notes_module(uint32_t abi)
{
    return abi == MARTY__NOTES_ABI ? &table : NULL;
}
