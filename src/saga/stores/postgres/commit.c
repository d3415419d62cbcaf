/* SPDX-License-Identifier: Apache-2.0
 * Writing sagas to postgres: a batch is one transaction, sent in pipeline mode, so one round trip.
 * A batch with a local step goes step by step, since the step works in the transaction. A
 * connection that is lost before the answer leaves the batch in doubt: settle raises the writer's
 * generation, so that what was lost cannot come through any more. */
#include "postgres.h"

#include <stdlib.h>
#include <string.h>

const char pg_write_sql[] =
    "SELECT result, who FROM marty_saga_write($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15,"
    "$16,$17)";

/* Named by a batch when it begins: the writer's generation, and the shards of those writes that
 * name an epoch, locked in their order. */
const char pg_begin_sql[] = "SELECT marty_saga_begin($1,$2,$3::int[])";

void pg_write_parameters(pg_parameters *to, const marty_saga_write *write)
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

void pg_take_result(marty_saga_write *write, const PGresult *result)
{
    static const marty_err results[] = {MARTY_OK, MARTY_E_STATE, MARTY_E_LOST, MARTY_E_EXISTS};
    int64_t code = pg_get_number(result, 0, 0);
    write->result = code >= 0 && code < 4 ? results[code] : MARTY_E_INTERNAL;
    if (write->result == MARTY_E_EXISTS) {
        (void)snprintf(write->existing, sizeof write->existing, "%s", pg_get_text(result, 0, 1));
    }
}

void pg_begin_parameters(pg_parameters *to, const pg_batch *of, char shards[PG_SHARDS_BYTES])
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

bool pg_send_sql(pg_batch *of, const char *sql, const pg_parameters *with)
{
    return PQsendQueryParams(of->connection, sql, with->count, NULL, with->values, with->lengths,
                             with->formats, 0);
}

static bool send_prepared(pg_batch *of, const char *name, const pg_parameters *with)
{
    return PQsendQueryPrepared(of->connection, name, with->count, with->values, with->lengths,
                               with->formats, 0);
}

/* Once for a connection: then the server need not read and plan the same text for each write. */
static void prepare(pg_batch *of)
{
    static const char *const statements[][2] = {{"marty_begin", pg_begin_sql},
                                                {"marty_write", pg_write_sql}};
    pg_link *link = &of->store->writer;
    for (size_t i = 0; i < 2 && !link->prepared && !of->lost && !of->err; i++) {
        of->lost = !PQsendPrepare(of->connection, statements[i][0], statements[i][1], 0, NULL);
        PGresult *result = NULL;
        while (!of->lost && (result = pg_next(link, of->until_ns, &of->lost)) != NULL) {
            if (PQresultStatus(result) == PGRES_FATAL_ERROR) {
                of->err = pg_error(of->connection, result, "preparing to write", of->why);
            }
            PQclear(result);
        }
    }
    link->prepared = !of->lost && !of->err;
    of->lost |= !link->prepared; /* half of them would be in the way of the next try */
}

/* All results of one statement of the pipeline; the last that is not NULL is given to `write`. */
static void read_one(pg_batch *of, marty_saga_write *write)
{
    PGresult *result = NULL;
    while (!of->lost && (result = pg_next(&of->store->writer, of->until_ns, &of->lost)) != NULL) {
        ExecStatusType status = PQresultStatus(result);
        if (status == PGRES_TUPLES_OK && write) {
            pg_take_result(write, result);
        } else if (status == PGRES_FATAL_ERROR && !of->err) {
            of->err = pg_error(of->connection, result, "writing", of->why);
        }
        PQclear(result);
        if (status == PGRES_PIPELINE_SYNC) {
            return;
        }
    }
}

static void run_pipeline(pg_batch *of)
{
    static const pg_parameters none;
    pg_parameters space;
    char shards[PG_SHARDS_BYTES];
    prepare(of);
    if (of->lost || of->err) {
        return;
    }
    pg_begin_parameters(&space, of, shards);
    bool sent = PQenterPipelineMode(of->connection) && pg_send_sql(of, "BEGIN", &none) &&
                send_prepared(of, "marty_begin", &space);
    for (size_t i = 0; i < of->count && sent; i++) {
        pg_write_parameters(&space, of->writes[i]);
        sent = send_prepared(of, "marty_write", &space);
    }
    sent = sent && pg_send_sql(of, "COMMIT", &none) && PQpipelineSync(of->connection);
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

/* One transaction; its connection is closed unless it is known to have ended. */
static marty_err commit_once(pg_batch *of)
{
    of->ended = of->lost = of->committing = false;
    of->err = MARTY_OK;
    of->connection = pg_enter(&of->store->writer, of->until_ns, of->why);
    if (!of->connection) {
        return of->why ? of->why->code : MARTY_E_UNAVAILABLE;
    }
    if (pg_has_steps(of)) {
        pg_run_with_steps(of);
    } else {
        run_pipeline(of);
    }
    if (of->ended ||
        (of->err && !of->lost && PQtransactionStatus(of->connection) != PQTRANS_IDLE)) {
        of->lost = true; /* do not leave a transaction behind */
        of->committing = false;
    }
    bool gone =
        PQstatus(of->connection) != CONNECTION_OK; /* ended from there, perhaps after COMMIT */
    of->lost |= gone;
    bool doubt = of->committing && (gone || (of->lost && !of->err));
    if (of->lost && !of->err && !doubt) {
        of->err = pg_error(of->connection, NULL, "writing", of->why);
    }
    for (size_t i = 0; i < of->count && doubt; i++) {
        marty_saga_write *write = of->writes[i];
        write->result = write->result ? write->result : MARTY_E_MAYBE_STORED;
    }
    pg_leave(&of->store->writer, of->lost);
    return doubt ? MARTY_OK : of->err;
}

/* A step that has ended the transaction has undone the others, too: they are written again without
 * it. */
marty_err pg_commit(marty_saga_store *store, marty_saga_write *const writes[], size_t count,
                    int64_t until_ns, marty_error *why)
{
    pg_batch of = {
        .store = store, .writes = writes, .count = count, .until_ns = until_ns, .why = why};
    for (size_t i = 0; i < count; i++) {
        writes[i]->result = MARTY_OK;
        writes[i]->existing[0] = '\0';
    }
    marty_err err = commit_once(&of);
    while (of.ended) {
        err = commit_once(&of);
    }
    return err;
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
