/* SPDX-License-Identifier: Apache-2.0
 * The plain program on SQLite: the store's tables, its settings, its rows, in the same group
 * commits; no engine, no checks, no messages. */
#include "saga.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct plain {
    bench_side *side;
    sqlite3 *db;
    sqlite3_stmt *begin, *commit, *insert, *update, *history;
} plain;

static void check(const plain *self, int code)
{
    if (code != SQLITE_OK && code != SQLITE_ROW && code != SQLITE_DONE) {
        bench_fail(self->side, "sqlite: %s", sqlite3_errmsg(self->db));
    }
}

static void prepare(plain *self, const char *sql, sqlite3_stmt **ret)
{
    check(self, sqlite3_prepare_v3(self->db, sql, -1, SQLITE_PREPARE_PERSISTENT, ret, NULL));
}

static void run(plain *self, sqlite3_stmt *statement)
{
    check(self, sqlite3_step(statement));
    check(self, sqlite3_reset(statement));
}

static void plain_open(plain *self, bench_side *side, const char *path)
{
    self->side = side;
    check(self,
          sqlite3_open_v2(path, &self->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL));
    check(self, sqlite3_exec(self->db,
                             "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA "
                             "cache_size=-8192; PRAGMA wal_autocheckpoint=4000",
                             NULL, NULL, NULL));
    prepare(self, "BEGIN IMMEDIATE", &self->begin);
    prepare(self, "COMMIT", &self->commit);
    prepare(self,
            "INSERT INTO marty_saga (number, id, name, key, definition, stuck, status, paused, "
            "shard, version, started_us, changed_us, due_us, unsent, state, outbox) VALUES (?1, "
            "?2, ?3, ?4, ?5, '', ?6, 0, ?7, 1, ?8, ?9, ?10, ?11, ?12, ?13)",
            &self->insert);
    prepare(self,
            "UPDATE marty_saga SET definition = ?2, stuck = '', status = ?3, paused = 0, version = "
            "?4, changed_us = ?5, due_us = ?6, unsent = ?7, state = ?8, outbox = ?9 WHERE number = "
            "?1",
            &self->update);
    prepare(self, "INSERT INTO marty_saga_history VALUES (?1, ?2, ?3, ?4)", &self->history);
}

static void plain_close(plain *self)
{
    (void)sqlite3_finalize(self->begin);
    (void)sqlite3_finalize(self->commit);
    (void)sqlite3_finalize(self->insert);
    (void)sqlite3_finalize(self->update);
    (void)sqlite3_finalize(self->history);
    (void)sqlite3_close(self->db);
}

static void begin(void *user)
{
    plain *self = user;
    run(self, self->begin);
}

static void commit(void *user)
{
    plain *self = user;
    run(self, self->commit);
}

/* Time goes on from saga to saga, as it does for the engine. */
static int64_t later(int64_t at_us, long n)
{
    return at_us == INT64_MAX ? at_us : at_us + n * 100;
}

static void add(plain *self, const saga_row *row, long n)
{
    char id[40], key[40];
    sqlite3_stmt *to = self->insert;
    saga_name(n, id, key);
    (void)sqlite3_bind_int64(to, 1, n + 1);
    (void)sqlite3_bind_text(to, 2, id, -1, NULL);
    (void)sqlite3_bind_text(to, 3, row->text[SAGA_NAME], -1, NULL);
    (void)sqlite3_bind_text(to, 4, key, -1, NULL);
    (void)sqlite3_bind_text(to, 5, row->text[SAGA_DEFINITION], -1, NULL);
    (void)sqlite3_bind_int64(to, 6, row->number[SAGA_STATUS]);
    (void)sqlite3_bind_int64(to, 7, n % MARTY_SAGA_SHARDS);
    (void)sqlite3_bind_int64(to, 8, later(row->number[SAGA_STARTED], n));
    (void)sqlite3_bind_int64(to, 9, later(row->number[SAGA_CHANGED], n));
    (void)sqlite3_bind_int64(to, 10, later(row->number[SAGA_DUE], n));
    (void)sqlite3_bind_int64(to, 11, row->number[SAGA_UNSENT]);
    (void)sqlite3_bind_blob64(to, 12, row->state.data, row->state.size, NULL);
    (void)sqlite3_bind_blob64(to, 13, row->outbox.data, row->outbox.size, NULL);
    run(self, to);
}

static void change(plain *self, const saga_row *row, long n)
{
    sqlite3_stmt *to = self->update;
    (void)sqlite3_bind_int64(to, 1, n + 1);
    (void)sqlite3_bind_text(to, 2, row->text[SAGA_DEFINITION], -1, NULL);
    (void)sqlite3_bind_int64(to, 3, row->number[SAGA_STATUS]);
    (void)sqlite3_bind_int64(to, 4, row->number[SAGA_VERSION]);
    (void)sqlite3_bind_int64(to, 5, later(row->number[SAGA_CHANGED], n));
    (void)sqlite3_bind_int64(to, 6, later(row->number[SAGA_DUE], n));
    (void)sqlite3_bind_int64(to, 7, row->number[SAGA_UNSENT]);
    (void)sqlite3_bind_blob64(to, 8, row->state.data, row->state.size, NULL);
    (void)sqlite3_bind_blob64(to, 9, row->outbox.data, row->outbox.size, NULL);
    run(self, to);
}

static void write_version(void *user, const saga_row *row, long n)
{
    plain *self = user;
    sqlite3_stmt *to = self->history;
    if (row->number[SAGA_VERSION] == 1) {
        add(self, row, n);
    } else {
        change(self, row, n);
    }
    (void)sqlite3_bind_int64(to, 1, n + 1);
    (void)sqlite3_bind_int64(to, 2, row->number[SAGA_VERSION]);
    (void)sqlite3_bind_int64(to, 3, later(row->number[SAGA_CHANGED], n));
    (void)sqlite3_bind_blob64(to, 4, row->batch.data, row->batch.size, NULL);
    run(self, to);
}

void saga_raw_sqlite(const bench_job *job, bench_side *side)
{
    static saga_row rows[SAGA_VERSIONS];
    char path[400], url[420];
    plain self = {0};
    saga_raw raw = {&self, begin, write_version, commit, job->group};
    int64_t *ns = calloc((size_t)job->count, sizeof *ns);
    saga_record(side, rows);
    saga_path(path, sizeof path, "raw");
    (void)snprintf(url, sizeof url, "sqlite:%s", path);
    saga_make_tables(side, url);
    plain_open(&self, side, path);
    bench_begin(side);
    saga_raw_run(&raw, rows, job->count, job->argument, ns);
    bench_end(side);
    bench_latencies(side, ns, (size_t)job->count);
    plain_close(&self);
    free(ns);
}

/* ---- the same after a crash: first all that is open is read */
static long read_open(plain *self)
{
    sqlite3_stmt *read = NULL;
    long count = 0;
    prepare(self, "SELECT id, state, outbox FROM marty_saga WHERE unsent = 1 ORDER BY changed_us",
            &read);
    while (sqlite3_step(read) == SQLITE_ROW) {
        size_t size = (size_t)sqlite3_column_bytes(read, 1) + (size_t)sqlite3_column_bytes(read, 2);
        free(memcpy(malloc(size + 1), sqlite3_column_blob(read, 1),
                    (size_t)sqlite3_column_bytes(read, 1)));
        count++;
    }
    (void)sqlite3_finalize(read);
    return count;
}

static void recover(const bench_job *job, bench_side *side, bool finish)
{
    static saga_row rows[SAGA_VERSIONS];
    char path[400];
    plain self = {0};
    saga_record(side, rows);
    saga_path(path, sizeof path, "raw");
    saga_copy(side, job->url, path);
    bench_begin(side);
    plain_open(&self, side, path);
    if (read_open(&self) != job->count) {
        bench_fail(side, "not all are open");
    }
    for (long from = 0; from < job->count && finish; from += SAGA_GROUP) {
        for (int version = 1; version < SAGA_VERSIONS; version++) {
            begin(&self);
            for (long n = from; n < from + SAGA_GROUP && n < job->count; n++) {
                write_version(&self, &rows[version], n);
            }
            commit(&self);
        }
    }
    bench_end(side);
    plain_close(&self);
}

void saga_raw_resend(const bench_job *job, bench_side *side)
{
    recover(job, side, false);
}

void saga_raw_recovery(const bench_job *job, bench_side *side)
{
    recover(job, side, true);
}
