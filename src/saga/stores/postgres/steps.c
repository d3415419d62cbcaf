/* SPDX-License-Identifier: Apache-2.0
 * Batches with local steps, which work in the transaction: statement by statement. A step that ends
 * the transaction is found out, and nothing of the batch counts. */
#include "postgres.h"

#include "saga/postgres/guard.h"

static PGresult *run_one(pg_batch *of, const char *sql, const pg_parameters *with)
{
    static const pg_parameters none;
    const pg_parameters *given = with ? with : &none;
    PGresult *kept = NULL, *result = NULL;
    if (of->lost || of->err) {
        return NULL;
    }
    of->lost = !PQsendQueryParams(of->connection, sql, given->count, NULL, given->values,
                                  given->lengths, given->formats, 0);
    while (!of->lost && (result = pg_next(&of->store->writer, of->until_ns, &of->lost)) != NULL) {
        PQclear(kept);
        kept = result;
    }
    if (kept && PQresultStatus(kept) == PGRES_FATAL_ERROR) {
        pg_note_error(of, kept);
    }
    return kept;
}

static void run_plain(pg_batch *of, const char *sql)
{
    PQclear(run_one(of, sql, NULL));
}

/* A statement that calls something of ours: a step may have chosen another schema. */
static PGresult *run_ours(pg_batch *of, const char *before, const char *name,
                          const pg_parameters *with)
{
    char sql[300];
    (void)snprintf(sql, sizeof sql, "SELECT %s%s.%s", before, of->store->schema, name);
    return run_one(of, sql, with);
}

static void call_write(pg_batch *of, marty_saga_write *write)
{
    if (!of->err && !of->lost && pg_send_writes(of, 0, &write, 1, false)) {
        pg_read_writes(of, &write, 1);
    }
}

/* Whether it could be written now; else its result says why. The row stays locked. */
static bool check_first(pg_batch *of, marty_saga_write *write)
{
    pg_parameters space = {.count = 0};
    pg_text(&space, write->facts.id);
    PGresult *result = run_ours(of, "version FROM ", "marty_saga WHERE id = $1 FOR UPDATE", &space);
    uint64_t have =
        result && !of->err && PQntuples(result) ? (uint64_t)pg_get_number(result, 0, 0) : 0;
    PQclear(result);
    write->result = write->facts.version == have + 1 ? MARTY_OK : MARTY_E_STATE;
    return !of->err && !of->lost && !write->result;
}

/* A savepoint that is not there is gone with our transaction. */
static void end_savepoint(pg_batch *of, marty_saga_write *write, const char *sql)
{
    run_plain(of, sql);
    if (of->err == MARTY_E_INTERNAL) { /* no such savepoint */
        of->ended = true;
        write->result = MARTY_E_FAILED;
    }
}

/* As the store's connection has it, whatever the step before has set. */
static void set_search_path(pg_batch *of)
{
    pg_parameters space = {.count = 0};
    pg_text(&space, of->store->search_path);
    PQclear(run_one(of, "SELECT set_config('search_path', $1, true)", &space));
}

static void run_step(pg_batch *of, marty_saga_write *write)
{
    marty_error ignored = {0};
    if (!check_first(of, write)) {
        return;
    }
    set_search_path(of);
    run_plain(of, "SAVEPOINT marty_saga_one");
    if (of->err || of->lost) {
        return;
    }
    (void)PQsetnonblocking(of->connection, 0); /* the step uses the connection as it likes */
    write->result = write->fill(write, of->connection);
    bool undone = write->result || write->undo;
    marty_err left = pg_guard_check(of->connection, undone, &ignored);
    if (left == MARTY_E_FAILED) {
        of->ended = true;
        write->result = MARTY_E_FAILED;
    }
    of->lost |= left == MARTY_E_UNAVAILABLE;
    if (left) {
        return;
    }
    if (undone) {
        end_savepoint(of, write, "ROLLBACK TO marty_saga_one");
    }
    if (!write->result) {
        call_write(of, write);
        if (write->result && !of->err) {
            end_savepoint(of, write, "ROLLBACK TO marty_saga_one");
        }
    }
    if (!of->err) {
        end_savepoint(of, write, "RELEASE marty_saga_one");
    }
}

/* All fences first, for a deposed owner's step is not to run at all; they hold to the end. */
static void begin(pg_batch *of)
{
    run_plain(of, "BEGIN");
    if (!of->err && !of->lost && pg_send_writes(of, of->count, NULL, 0, false)) {
        pg_read_writes(of, NULL, 0);
    }
    PQclear(run_ours(of, "", "marty_transaction_open()", NULL));
}

void pg_run_with_steps(pg_batch *of)
{
    begin(of);
    for (size_t i = 0; i < of->count && !of->err && !of->lost && !of->ended; i++) {
        if (of->writes[i]->fill) {
            run_step(of, of->writes[i]);
        } else {
            call_write(of, of->writes[i]);
        }
    }
    if (of->ended) {
        return;
    }
    PQclear(run_ours(of, "", "marty_transaction_close()", NULL));
    of->committing = !of->err && !of->lost;
    run_plain(of, of->committing ? "COMMIT" : "ROLLBACK");
}

bool pg_has_steps(const pg_batch *of)
{
    for (size_t i = 0; i < of->count; i++) {
        if (of->writes[i]->fill) {
            return true;
        }
    }
    return false;
}
