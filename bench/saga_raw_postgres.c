/* SPDX-License-Identifier: Apache-2.0
 * The plain program on PostgreSQL: the store's tables and rows, a group commit in one round trip
 * with prepared statements in pipeline mode; no engine, no checks, no messages. */
#include "saga.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { PARAMETERS_MAX = 15, DATABASE_TRIES = 2000 };

typedef struct plain {
    bench_side *side;
    PGconn *connection;
    int queued; /* statements of the transaction that have no result yet */
} plain;

typedef struct parameters {
    const char *values[PARAMETERS_MAX];
    int lengths[PARAMETERS_MAX], formats[PARAMETERS_MAX], count;
    char space[PARAMETERS_MAX][24];
} parameters;

/* ---- the server */
static PGconn *join(bench_side *side, const char *url)
{
    PGconn *connection = PQconnectdb(url);
    if (PQstatus(connection) != CONNECTION_OK) {
        bench_fail(side, "postgres: %s", PQerrorMessage(connection));
    }
    return connection;
}

static PGresult *ask(bench_side *side, PGconn *connection, const char *sql)
{
    PGresult *result = PQexec(connection, sql);
    ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) {
        bench_fail(side, "postgres: %s", PQresultErrorMessage(result));
    }
    return result;
}

static double ask_number(bench_side *side, PGconn *connection, const char *sql)
{
    PGresult *result = ask(side, connection, sql);
    double number = strtod(PQgetvalue(result, 0, 0), NULL);
    PQclear(result);
    return number;
}

void saga_postgres_fresh(bench_side *side, char *ret_url, size_t size)
{
    char sql[100];
    const char *url = bench_postgres();
    PGconn *connection = join(side, url);
    int length = (int)(strrchr(url, '/') - url);
    (void)snprintf(sql, sizeof sql, "CREATE DATABASE bench_%d", (int)getpid());
    PQclear(ask(side, connection, sql));
    PQfinish(connection);
    (void)snprintf(ret_url, size, "%.*s/bench_%d", length, url, (int)getpid());
}

/* A connection counts what it did when it ends. */
uint64_t saga_postgres_syncs(bench_side *side)
{
    PGconn *connection = join(side, bench_postgres());
    for (int i = 0; i < DATABASE_TRIES; i++) {
        if (ask_number(side, connection,
                       "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client "
                       "backend' AND pid <> pg_backend_pid()") == 0) {
            break;
        }
        (void)nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    }
    double syncs = ask_number(side, connection, "SELECT wal_sync FROM pg_stat_wal");
    PQfinish(connection);
    return (uint64_t)syncs;
}

long saga_postgres_pid(void)
{
    char path[64], text[512] = "";
    bench_side side = {0};
    PGconn *connection = PQconnectdb(bench_postgres());
    if (PQstatus(connection) != CONNECTION_OK) {
        (void)fprintf(stderr, "postgres: %s", PQerrorMessage(connection));
        PQfinish(connection);
        return 0;
    }
    (void)snprintf(path, sizeof path, "/proc/%.0f/stat",
                   ask_number(&side, connection, "SELECT pg_backend_pid()"));
    FILE *file = fopen(path, "r");
    const char *end = file && fgets(text, sizeof text, file) ? strrchr(text, ')') : NULL;
    long pid = end ? strtol(end + 4, NULL, 10) : 0; /* ") S PARENT" */
    if (file) {
        (void)fclose(file);
    }
    PQfinish(connection);
    return pid;
}

/* ---- one group commit */
static void add_text(parameters *to, const char *text)
{
    to->values[to->count] = text;
    to->lengths[to->count] = 0;
    to->formats[to->count++] = 0;
}

static void add_number(parameters *to, int64_t number)
{
    char *text = to->space[to->count];
    (void)snprintf(text, sizeof to->space[0], "%lld", (long long)number);
    add_text(to, text);
}

static void add_bytes(parameters *to, const void *data, size_t size)
{
    to->values[to->count] = data;
    to->lengths[to->count] = (int)size;
    to->formats[to->count++] = 1;
}

static void queue(plain *self, const char *statement, const parameters *with)
{
    static const parameters none;
    with = with ? with : &none;
    if (!PQsendQueryPrepared(self->connection, statement, with->count, with->values, with->lengths,
                             with->formats, 1)) {
        bench_fail(self->side, "postgres: %s", PQerrorMessage(self->connection));
    }
    self->queued++;
}

static void begin(void *user)
{
    queue(user, "begin", NULL);
}

static void commit(void *user)
{
    plain *self = user;
    queue(self, "commit", NULL);
    if (!PQpipelineSync(self->connection)) {
        bench_fail(self->side, "postgres: %s", PQerrorMessage(self->connection));
    }
    for (self->queued++; self->queued; self->queued--) { /* the sync has a result, too */
        PGresult *result = PQgetResult(self->connection);
        ExecStatusType status = PQresultStatus(result);
        if (status != PGRES_COMMAND_OK && status != PGRES_PIPELINE_SYNC) {
            bench_fail(self->side, "postgres: %s", PQresultErrorMessage(result));
        }
        PQclear(result);
        if (status != PGRES_PIPELINE_SYNC) {
            PQclear(PQgetResult(self->connection)); /* the end of the statement */
        }
    }
}

static int64_t later(int64_t at_us, long n)
{
    return at_us == INT64_MAX ? at_us : at_us + n * 100;
}

static void add(plain *self, const saga_row *row, const char *id, const char *key, long n)
{
    parameters with = {.count = 0};
    add_text(&with, id);
    add_text(&with, row->text[SAGA_NAME]);
    add_text(&with, key);
    add_text(&with, row->text[SAGA_DEFINITION]);
    add_number(&with, row->number[SAGA_STATUS]);
    add_number(&with, n % MARTY_SAGA_SHARDS);
    add_number(&with, later(row->number[SAGA_STARTED], n));
    add_number(&with, later(row->number[SAGA_CHANGED], n));
    add_number(&with, later(row->number[SAGA_DUE], n));
    add_text(&with, row->number[SAGA_UNSENT] ? "t" : "f");
    add_bytes(&with, row->state.data, row->state.size);
    add_bytes(&with, row->outbox.data, row->outbox.size);
    queue(self, "insert", &with);
}

static void change(plain *self, const saga_row *row, const char *id, long n)
{
    parameters with = {.count = 0};
    add_text(&with, id);
    add_text(&with, row->text[SAGA_DEFINITION]);
    add_number(&with, row->number[SAGA_STATUS]);
    add_number(&with, row->number[SAGA_VERSION]);
    add_number(&with, later(row->number[SAGA_CHANGED], n));
    add_number(&with, later(row->number[SAGA_DUE], n));
    add_text(&with, row->number[SAGA_UNSENT] ? "t" : "f");
    add_bytes(&with, row->state.data, row->state.size);
    add_bytes(&with, row->outbox.data, row->outbox.size);
    queue(self, "update", &with);
}

static void write_version(void *user, const saga_row *row, long n)
{
    plain *self = user;
    char id[40], key[40];
    parameters with = {.count = 0};
    saga_name(n, id, key);
    if (row->number[SAGA_VERSION] == 1) {
        add(self, row, id, key, n);
    } else {
        change(self, row, id, n);
    }
    add_text(&with, id);
    add_number(&with, row->number[SAGA_VERSION]);
    add_number(&with, later(row->number[SAGA_CHANGED], n));
    add_bytes(&with, row->batch.data, row->batch.size);
    queue(self, "history", &with);
}

static void prepare_all(plain *self)
{
    static const char *const statements[][2] = {
        {"begin", "BEGIN"},
        {"commit", "COMMIT"},
        {"insert", "INSERT INTO marty_saga VALUES ($1, $2, $3, $4, '', $5, false, $6, 1, $7, $8, "
                   "$9, $10, $11, $12)"},
        {"update", "UPDATE marty_saga SET definition = $2, stuck = '', status = $3, paused = "
                   "false, version = $4, changed_us = $5, due_us = $6, unsent = $7, state = $8, "
                   "outbox = $9 WHERE id = $1"},
        {"history", "INSERT INTO marty_saga_history VALUES ($1, $2, $3, $4)"}};
    for (size_t i = 0; i < sizeof statements / sizeof *statements; i++) {
        PGresult *result = PQprepare(self->connection, statements[i][0], statements[i][1], 0, NULL);
        if (PQresultStatus(result) != PGRES_COMMAND_OK) {
            bench_fail(self->side, "postgres: %s", PQresultErrorMessage(result));
        }
        PQclear(result);
    }
}

void saga_raw_postgres(const bench_job *job, bench_side *side)
{
    static saga_row rows[SAGA_VERSIONS];
    char url[300];
    plain self = {.side = side};
    saga_raw raw = {&self, begin, write_version, commit, job->group};
    int64_t *ns = calloc((size_t)job->count, sizeof *ns);
    saga_record(side, rows);
    saga_postgres_fresh(side, url, sizeof url);
    saga_make_tables(side, url);
    uint64_t syncs = saga_postgres_syncs(side);
    self.connection = join(side, url);
    prepare_all(&self);
    (void)PQenterPipelineMode(self.connection);
    bench_begin(side);
    saga_raw_run(&raw, rows, job->count, job->argument, ns);
    bench_end(side);
    bench_latencies(side, ns, (size_t)job->count);
    PQfinish(self.connection);
    side->syncs = saga_postgres_syncs(side) - syncs;
    free(ns);
}
