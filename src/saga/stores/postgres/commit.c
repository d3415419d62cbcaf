/* SPDX-License-Identifier: Apache-2.0
 * Writing sagas to postgres: a batch is one call of a function, so one round trip and one
 * transaction. A batch with a local step goes step by step, since the step works in the
 * transaction. A connection that is lost before the answer leaves the batch in doubt: settle raises
 * the writer's generation, so that what was lost cannot come through any more. */
#include "postgres.h"

#include <stdlib.h>
#include <string.h>

enum { SQL_BYTES = 300 };
static const char prepared_name[] = "marty_write";

static void write_sql(const marty_saga_store *store, char ret[SQL_BYTES])
{
    (void)snprintf(ret, SQL_BYTES,
                   "SELECT * FROM %s.marty_saga_write($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,"
                   "$14,$15,$16,$17,$18,$19,$20)",
                   store->schema);
}

void pg_note_error(pg_batch *of, const PGresult *result)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    of->deposed |= state && strcmp(state, "MS003") == 0;
    of->err = of->err ? of->err : pg_error(of->connection, result, "writing", of->why);
}

bool pg_send_writes(pg_batch *of, size_t fences, marty_saga_write *const writes[], size_t count,
                    bool prepared)
{
    char sql[SQL_BYTES];
    pg_parameters with;
    char *fenced = pg_fence_parameters(&with, of->store, of->writes, fences);
    char *rows = fenced ? pg_row_parameters(&with, writes, count) : NULL;
    bool sent = false;
    write_sql(of->store, sql);
    if (!rows) {
        of->err = marty_error_set(of->why, MARTY_E_NO_MEMORY, "writing sagas");
    } else if (prepared) {
        sent = PQsendQueryPrepared(of->connection, prepared_name, with.count, with.values,
                                   with.lengths, with.formats, 0);
    } else {
        sent = PQsendQueryParams(of->connection, sql, with.count, NULL, with.values, with.lengths,
                                 with.formats, 0);
    }
    of->lost |= rows && !sent;
    marty_free(fenced);
    marty_free(rows);
    return sent;
}

static void take_refused(marty_saga_write *const writes[], size_t count, const PGresult *result)
{
    for (int row = 0; row < PQntuples(result); row++) {
        size_t place = (size_t)pg_get_number(result, row, 0);
        if (place < 1 || place > count) {
            continue;
        }
        marty_saga_write *write = writes[place - 1];
        write->result = pg_get_number(result, row, 1) == 3 ? MARTY_E_EXISTS : MARTY_E_STATE;
        (void)snprintf(write->existing, sizeof write->existing, "%s", pg_get_text(result, row, 2));
    }
}

void pg_read_writes(pg_batch *of, marty_saga_write *const writes[], size_t count)
{
    PGresult *result = NULL;
    while (!of->lost && (result = pg_next(&of->store->writer, of->until_ns, &of->lost)) != NULL) {
        if (PQresultStatus(result) == PGRES_FATAL_ERROR) {
            pg_note_error(of, result);
        } else {
            take_refused(writes, count, result);
        }
        PQclear(result);
    }
}

/* Once for a connection: then the server need not read and plan the same text for each batch. */
static void prepare(pg_batch *of)
{
    char sql[SQL_BYTES];
    pg_link *link = &of->store->writer;
    if (!link->prepared) {
        write_sql(of->store, sql);
        of->lost = !PQsendPrepare(of->connection, prepared_name, sql, 0, NULL);
        pg_read_writes(of, NULL, 0);
        link->prepared = !of->lost && !of->err;
    }
}

static void run_writes(pg_batch *of)
{
    prepare(of);
    if (!of->lost && !of->err) {
        of->committing = pg_send_writes(of, of->count, of->writes, of->count, true);
        pg_read_writes(of, of->writes, of->count);
    }
}

/* One transaction; its connection is closed unless it is known to have ended. */
static marty_err commit_once(pg_batch *of)
{
    of->ended = of->lost = of->committing = of->deposed = false;
    of->err = MARTY_OK;
    of->connection = pg_enter(&of->store->writer, of->until_ns, of->why);
    if (!of->connection) {
        return of->why ? of->why->code : MARTY_E_UNAVAILABLE;
    }
    if (pg_has_steps(of)) {
        pg_run_with_steps(of);
    } else {
        run_writes(of);
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

/* An epoch never comes back, so those that name another than the present one are out. False: none
 * does, or it cannot be told. */
static bool find_deposed(pg_batch *of)
{
    bool found = false;
    PGresult *result = pg_ask(&of->store->writer, "SELECT shard, epoch FROM marty_saga_shard", NULL,
                              of->until_ns, of->why);
    for (int row = 0; result && row < PQntuples(result); row++) {
        int64_t shard = pg_get_number(result, row, 0);
        uint64_t epoch = (uint64_t)pg_get_number(result, row, 1);
        for (size_t i = 0; i < of->count; i++) {
            marty_saga_write *write = of->writes[i];
            if (write->facts.shard == shard && write->epoch && write->epoch != epoch) {
                write->result = MARTY_E_LOST;
                found = true;
            }
        }
    }
    PQclear(result);
    return found;
}

static bool is_out(const marty_saga_write *write)
{
    return write->result == MARTY_E_LOST || write->result == MARTY_E_FAILED;
}

/* A write that names an epoch that is over, and a step that has ended the transaction, have undone
 * the others, too: they are written again without it. */
marty_err pg_commit(marty_saga_store *store, marty_saga_write *const writes[], size_t count,
                    int64_t until_ns, marty_error *why)
{
    pg_batch of = {.store = store, .until_ns = until_ns, .why = why};
    marty_err err = MARTY_OK;
    bool again = true;
    of.writes = marty_alloc(count * sizeof *of.writes + 1);
    if (!of.writes) {
        return marty_error_set(why, MARTY_E_NO_MEMORY, "writing sagas");
    }
    for (size_t i = 0; i < count; i++) {
        writes[i]->result = MARTY_OK;
    }
    while (again) {
        of.count = 0;
        for (size_t i = 0; i < count; i++) {
            if (!is_out(writes[i])) {
                writes[i]->result = MARTY_OK;
                writes[i]->existing[0] = '\0';
                of.writes[of.count++] = writes[i];
            }
        }
        err = of.count ? commit_once(&of) : MARTY_OK;
        again = of.count && (of.ended || (of.deposed && find_deposed(&of)));
    }
    marty_free(of.writes);
    return err;
}

/* Raised to what the server says now; what it says when others have asked meanwhile is later. */
static void raise_generation(marty_saga_store *store, uint64_t now)
{
    uint64_t before = atomic_load(&store->generation);
    while (before < now && !atomic_compare_exchange_weak(&store->generation, &before, now)) {
    }
}

/* A server that has gone back (a copy, a standby that was behind) may know an older one of ours: it
 * is asked on until it has caught up, as we only ever go up. */
marty_err pg_settle(marty_saga_store *store, int64_t until_ns, marty_error *why)
{
    uint64_t now = 0, least = atomic_load(&store->generation);
    do {
        pg_parameters space = {.count = 0};
        pg_text(&space, store->token);
        PGresult *result =
            pg_ask(&store->writer, "SELECT marty_saga_settle($1)", &space, until_ns, why);
        if (!result) {
            return why ? why->code : MARTY_E_UNAVAILABLE;
        }
        now = (uint64_t)pg_get_number(result, 0, 0);
        PQclear(result);
    } while (now < least);
    raise_generation(store, now);
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
