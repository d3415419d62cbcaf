/* SPDX-License-Identifier: Apache-2.0
 * Writing sagas to postgres: a batch is one transaction, sent in pipeline mode, so one round trip.
 * A batch with a local step goes step by step, since the step works in the transaction. A
 * connection that is lost before the answer leaves the batch in doubt: settle raises the writer's
 * generation, so that what was lost cannot come through any more. */
#include "postgres.h"

#include <stdlib.h>
#include <string.h>

static const char write_sql[] =
    "SELECT result, who FROM marty_saga_write($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15,"
    "$16,$17)";

typedef struct batch {
    marty_saga_store *store;
    PGconn *connection;
    marty_saga_write *const *writes;
    size_t count;
    int64_t until_ns;
    marty_error *why;
    bool lost, committing;
    marty_err err;
} batch;

static void write_parameters(pg_parameters *to, const marty_saga_write *write)
{
    const marty_saga_facts *facts = &write->facts;
    to->count = 0;
    pg_text(to, facts->id);
    pg_text(to, facts->name);
    pg_text(to, facts->key ? facts->key : "");
    pg_text(to, facts->definition);
    pg_text(to, facts->stuck ? facts->stuck : "");
    pg_number(to, facts->status);
    pg_text(to, facts->paused ? "t" : "f");
    pg_number(to, facts->shard);
    pg_number(to, (int64_t)facts->version);
    pg_number(to, facts->started_us);
    pg_number(to, facts->changed_us);
    pg_number(to, facts->due_us);
    pg_text(to, facts->unsent ? "t" : "f");
    pg_number(to, (int64_t)write->epoch);
    pg_bytes(to, write->state);
    pg_bytes(to, write->outbox);
    pg_bytes(to, write->history);
}

static void take_result(marty_saga_write *write, const PGresult *result)
{
    static const marty_err results[] = {MARTY_OK, MARTY_E_STATE, MARTY_E_LOST, MARTY_E_EXISTS};
    int64_t code = pg_get_number(result, 0, 0);
    write->result = code >= 0 && code < 4 ? results[code] : MARTY_E_INTERNAL;
    if (write->result == MARTY_E_EXISTS) {
        (void)snprintf(write->existing, sizeof write->existing, "%s", pg_get_text(result, 0, 1));
    }
}

/* Named by a batch when it begins: the writer's generation, and the shards of those writes that
 * name an epoch, locked in their order. */
static const char begin_sql[] = "SELECT marty_saga_begin($1,$2,$3::int[])";

static void begin_parameters(pg_parameters *to, const batch *of, char shards[PG_SHARDS_BYTES])
{
    marty_saga_shards wanted = {{0}};
    for (size_t i = 0; i < of->count; i++) {
        uint32_t shard = of->writes[i]->facts.shard % MARTY_SAGA_SHARDS;
        wanted.bits[shard / 64] |= (uint64_t)(of->writes[i]->epoch != 0) << (shard % 64);
    }
    pg_shards(shards, &wanted);
    to->count = 0;
    pg_text(to, of->store->token);
    pg_number(to, (int64_t)of->store->generation);
    pg_text(to, shards);
}

static bool send_sql(batch *of, const char *sql, const pg_parameters *with)
{
    return PQsendQueryParams(of->connection, sql, with->count, NULL, with->values, with->lengths,
                             with->formats, 0);
}

/* All results of one statement of the pipeline; the last that is not NULL is given to `write`. */
static void read_one(batch *of, marty_saga_write *write)
{
    PGresult *result = NULL;
    while (!of->lost && (result = pg_next(&of->store->writer, of->until_ns, &of->lost)) != NULL) {
        ExecStatusType status = PQresultStatus(result);
        if (status == PGRES_TUPLES_OK && write) {
            take_result(write, result);
        } else if (status == PGRES_FATAL_ERROR && !of->err) {
            of->err = pg_error(of->connection, result, "writing", of->why);
        }
        PQclear(result);
        if (status == PGRES_PIPELINE_SYNC) {
            return;
        }
    }
}

static void run_pipeline(batch *of)
{
    static const pg_parameters none;
    pg_parameters space;
    char shards[PG_SHARDS_BYTES];
    begin_parameters(&space, of, shards);
    bool sent = PQenterPipelineMode(of->connection) && send_sql(of, "BEGIN", &none) &&
                send_sql(of, begin_sql, &space);
    for (size_t i = 0; i < of->count && sent; i++) {
        write_parameters(&space, of->writes[i]);
        sent = send_sql(of, write_sql, &space);
    }
    sent = sent && send_sql(of, "COMMIT", &none) && PQpipelineSync(of->connection);
    of->committing = true;
    of->lost = !sent;
    read_one(of, NULL);
    read_one(of, NULL);
    for (size_t i = 0; i < of->count; i++) {
        read_one(of, of->writes[i]);
    }
    read_one(of, NULL);
    if (!of->lost) {
        read_one(of, NULL); /* the end of the pipeline */
        (void)PQexitPipelineMode(of->connection);
    }
}

/* ---- with a local step: statement by statement */
static PGresult *run_one(batch *of, const char *sql, const pg_parameters *with)
{
    static const pg_parameters none;
    const pg_parameters *given = with ? with : &none;
    PGresult *kept = NULL, *result = NULL;
    if (of->lost || of->err) {
        return NULL;
    }
    of->lost = !send_sql(of, sql, given);
    while (!of->lost && (result = pg_next(&of->store->writer, of->until_ns, &of->lost)) != NULL) {
        PQclear(kept);
        kept = result;
    }
    if (kept && PQresultStatus(kept) == PGRES_FATAL_ERROR) {
        of->err = pg_error(of->connection, kept, "writing", of->why);
    }
    return kept;
}

static void run_plain(batch *of, const char *sql)
{
    PQclear(run_one(of, sql, NULL));
}

static void call_write(batch *of, marty_saga_write *write)
{
    pg_parameters space;
    write_parameters(&space, write);
    PGresult *result = run_one(of, write_sql, &space);
    if (result && !of->err && PQresultStatus(result) == PGRES_TUPLES_OK) {
        take_result(write, result);
    }
    PQclear(result);
}

/* Whether it could be written now; else its result says why. The row stays locked. */
static bool check_first(batch *of, marty_saga_write *write)
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

static void run_step(batch *of, marty_saga_write *write)
{
    if (!check_first(of, write)) {
        return;
    }
    run_plain(of, "SAVEPOINT marty_saga_one");
    (void)PQsetnonblocking(of->connection, 0); /* the step uses the connection as it likes */
    write->result = write->fill(write, of->connection);
    (void)PQsetnonblocking(of->connection, 1);
    if (!write->result && write->undo) {
        run_plain(of, "ROLLBACK TO marty_saga_one");
    }
    if (!write->result) {
        call_write(of, write);
    }
    if (write->result && PQstatus(of->connection) == CONNECTION_OK) {
        run_plain(of, "ROLLBACK TO marty_saga_one");
    }
}

static void run_with_steps(batch *of)
{
    pg_parameters space;
    char shards[PG_SHARDS_BYTES];
    begin_parameters(&space, of, shards);
    run_plain(of, "BEGIN");
    PQclear(run_one(of, begin_sql, &space));
    for (size_t i = 0; i < of->count && !of->err && !of->lost; i++) {
        marty_saga_write *write = of->writes[i];
        if (write->fill) {
            run_step(of, write);
        } else {
            call_write(of, write);
        }
    }
    of->committing = !of->err && !of->lost;
    run_plain(of, of->committing ? "COMMIT" : "ROLLBACK");
}

static bool has_steps(const batch *of)
{
    for (size_t i = 0; i < of->count; i++) {
        if (of->writes[i]->fill) {
            return true;
        }
    }
    return false;
}

marty_err pg_commit(marty_saga_store *store, marty_saga_write *const writes[], size_t count,
                    int64_t until_ns, marty_error *why)
{
    batch of = {.store = store, .writes = writes, .count = count, .until_ns = until_ns, .why = why};
    of.connection = pg_enter(&store->writer, until_ns, why);
    if (!of.connection) {
        return why ? why->code : MARTY_E_UNAVAILABLE;
    }
    for (size_t i = 0; i < count; i++) {
        writes[i]->result = MARTY_OK;
        writes[i]->existing[0] = '\0';
    }
    if (has_steps(&of)) {
        run_with_steps(&of);
    } else {
        run_pipeline(&of);
    }
    if (of.err && !of.lost && PQtransactionStatus(of.connection) != PQTRANS_IDLE) {
        of.lost = true; /* do not leave a transaction behind */
        of.committing = false;
    }
    bool gone =
        PQstatus(of.connection) != CONNECTION_OK; /* ended from there, perhaps after COMMIT */
    of.lost |= gone;
    bool doubt = of.committing && (gone || (of.lost && !of.err));
    if (of.lost && !of.err && !doubt) {
        of.err = pg_error(of.connection, NULL, "writing", why);
    }
    for (size_t i = 0; i < count && doubt; i++) {
        writes[i]->result = writes[i]->result ? writes[i]->result : MARTY_E_MAYBE_STORED;
    }
    pg_leave(&store->writer, of.lost);
    return doubt ? MARTY_OK : of.err;
}

marty_err pg_settle(marty_saga_store *store, int64_t until_ns, marty_error *why)
{
    pg_parameters space = {.count = 0};
    pg_text(&space, store->token);
    PGresult *result =
        pg_ask(&store->writer,
               "INSERT INTO marty_saga_writer VALUES ($1, 1) ON CONFLICT (token) DO "
               "UPDATE SET generation = marty_saga_writer.generation + 1, at = now() "
               "RETURNING generation",
               &space, until_ns, why);
    if (!result) {
        return why ? why->code : MARTY_E_UNAVAILABLE;
    }
    store->generation = (uint64_t)pg_get_number(result, 0, 0);
    PQclear(result);
    return MARTY_OK;
}

marty_err pg_sent(marty_saga_store *store, const marty_saga_facts sagas[], size_t count,
                  int64_t until_ns, marty_error *why)
{
    enum { ROW = 64 };
    char *ids = marty_alloc(count * ROW + 3), *versions = marty_alloc(count * ROW + 3);
    char *id = ids, *version = versions;
    if (!ids || !versions) {
        marty_free(ids);
        marty_free(versions);
        return marty_error_set(why, MARTY_E_NO_MEMORY, "marking sagas as sent");
    }
    id += snprintf(id, 2, "{");
    version += snprintf(version, 2, "{");
    for (size_t i = 0; i < count; i++) {
        id += snprintf(id, ROW, "%s%.39s", i ? "," : "", sagas[i].id);
        version +=
            snprintf(version, ROW, "%s%llu", i ? "," : "", (unsigned long long)sagas[i].version);
    }
    (void)snprintf(id, 2, "}");
    (void)snprintf(version, 2, "}");
    pg_parameters space = {.count = 0};
    pg_text(&space, ids);
    pg_text(&space, versions);
    PGresult *result = pg_ask(&store->writer,
                              "UPDATE marty_saga m SET unsent = false FROM unnest($1::text[], "
                              "$2::bigint[]) AS s(id, version) WHERE m.id = s.id AND m.version = "
                              "s.version AND m.unsent",
                              &space, until_ns, why);
    marty_free(ids);
    marty_free(versions);
    bool fine = result != NULL;
    PQclear(result);
    return fine ? MARTY_OK : why ? why->code : MARTY_E_UNAVAILABLE;
}

marty_err pg_purge(marty_saga_store *store, int64_t before_us, uint32_t limit, uint32_t *ret_count,
                   int64_t until_ns, marty_error *why)
{
    pg_parameters space = {.count = 0};
    pg_number(&space, before_us);
    pg_number(&space, limit);
    PGresult *result = pg_ask(
        &store->writer,
        "WITH old AS (SELECT id FROM marty_saga WHERE status >= 3 AND changed_us < $1 LIMIT $2 FOR "
        "UPDATE SKIP LOCKED), "
        "gone AS (DELETE FROM marty_saga WHERE id IN (SELECT id FROM old) RETURNING id), "
        "past AS (DELETE FROM marty_saga_history WHERE id IN (SELECT id FROM old)) "
        "SELECT count(*) FROM gone",
        &space, until_ns, why);
    if (!result) {
        return why ? why->code : MARTY_E_UNAVAILABLE;
    }
    *ret_count = (uint32_t)pg_get_number(result, 0, 0);
    PQclear(result);
    return MARTY_OK;
}
