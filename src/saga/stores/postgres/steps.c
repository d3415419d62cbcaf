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
    of->lost = !pg_send_sql(of, sql, given);
    while (!of->lost && (result = pg_next(&of->store->writer, of->until_ns, &of->lost)) != NULL) {
        PQclear(kept);
        kept = result;
    }
    if (kept && PQresultStatus(kept) == PGRES_FATAL_ERROR) {
        of->err = pg_error(of->connection, kept, "writing", of->why);
    }
    return kept;
}

static void run_plain(pg_batch *of, const char *sql)
{
    PQclear(run_one(of, sql, NULL));
}

static void call_write(pg_batch *of, marty_saga_write *write)
{
    pg_parameters space;
    pg_write_parameters(&space, write);
    PGresult *result = run_one(of, pg_write_sql, &space);
    if (result && !of->err && PQresultStatus(result) == PGRES_TUPLES_OK) {
        pg_take_result(write, result);
    }
    PQclear(result);
}

/* Whether it could be written now; else its result says why. The row stays locked. */
static bool check_first(pg_batch *of, marty_saga_write *write)
{
    pg_parameters space = {.count = 0};
    pg_text(&space, write->facts.id);
    PGresult *result =
        run_one(of, "SELECT version FROM marty_saga WHERE id = $1 FOR UPDATE", &space);
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

static void run_step(pg_batch *of, marty_saga_write *write)
{
    marty_error ignored = {0};
    if (!check_first(of, write)) {
        return;
    }
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

void pg_run_with_steps(pg_batch *of)
{
    pg_parameters space;
    char shards[PG_SHARDS_BYTES];
    pg_begin_parameters(&space, of, shards);
    run_plain(of, "BEGIN");
    PQclear(run_one(of, pg_begin_sql, &space));
    run_plain(of, "SELECT marty_transaction_open()");
    for (size_t i = 0; i < of->count && !of->err && !of->lost && !of->ended; i++) {
        marty_saga_write *write = of->writes[i];
        if (write->result == MARTY_E_FAILED) {
            continue; /* in a try before this one */
        }
        if (write->fill) {
            run_step(of, write);
        } else {
            call_write(of, write);
        }
    }
    if (of->ended) {
        return;
    }
    run_plain(of, "SELECT marty_transaction_close()");
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
