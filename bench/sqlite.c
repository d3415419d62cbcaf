/* SPDX-License-Identifier: Apache-2.0
 * sqlite: against the same rows in plain SQL, the same batches, write-ahead log and synchronous
 * FULL on both sides. */
#include "ours.h"

#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BATCH = 100 };

static void fresh_file(char *path, size_t size, const char *name)
{
    (void)snprintf(path, size, "%s/%s-%d.db", bench_folder(), name, (int)getpid());
}

/* ---- ours */
static void ours_url(char *url, size_t size)
{
    char path[400];
    fresh_file(path, sizeof path, "ours");
    (void)snprintf(url, size, "sqlite:%s", path);
}

static void publish(const bench_job *job, bench_side *side)
{
    char url[500];
    ours_url(url, sizeof url);
    bench_job here = *job;
    here.url = url;
    marty_bus *bus = ours_open(&here, side, "bench");
    ours_publish(bus, side, job, BATCH, BATCH); /* the channel is there */
    bench_begin(side);
    ours_publish(bus, side, job, job->count, BATCH);
    bench_end(side);
    marty_bus_free(bus);
}

static void consume(const bench_job *job, bench_side *side)
{
    char url[500];
    atomic_long seen = 0;
    marty_error why = {0};
    ours_url(url, sizeof url);
    bench_job here = *job;
    here.url = url;
    marty_bus *bus = ours_open(&here, side, "bench");
    marty_subscribe_options options = {.batch_max = BATCH, .credit = 4 * BATCH};
    ours_check(side,
               marty_subscribe_to_events(bus, "bench.*", ours_count, &seen, &options, NULL, &why),
               &why, "subscribe");
    ours_publish(bus, side, job, job->count, BATCH);
    bench_begin(side);
    ours_check(side, marty_bus_start(bus, &why), &why, "start");
    ours_wait(side, &seen, job->count);
    ours_check(side, marty_bus_close(bus, 0, &why), &why, "close"); /* acks are in the file */
    bench_end(side);
    marty_bus_free(bus);
}

/* ---- raw */
static void check(bench_side *side, sqlite3 *db, int code)
{
    if (code != SQLITE_OK && code != SQLITE_ROW && code != SQLITE_DONE) {
        bench_fail(side, "sqlite: %s", sqlite3_errmsg(db));
    }
}

static sqlite3 *raw_open(bench_side *side)
{
    char path[400];
    sqlite3 *db = NULL;
    fresh_file(path, sizeof path, "raw");
    check(side, db,
          sqlite3_open_v2(path, &db,
                          SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL));
    check(side, db,
          sqlite3_exec(db,
                       "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA secure_delete=OFF;"
                       "CREATE TABLE message (seq INTEGER PRIMARY KEY, channel INT, type TEXT, id "
                       "TEXT, source TEXT, time_us INT, data BLOB)",
                       NULL, NULL, NULL));
    return db;
}

static void insert_batch(bench_side *side, sqlite3 *db, sqlite3_stmt *insert, const void *data,
                         size_t size, long from)
{
    check(side, db, sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL));
    for (long i = from; i < from + BATCH; i++) {
        char id[40];
        (void)snprintf(id, sizeof id, "01a0b1c2-0000-7000-8000-%012lx", i);
        check(side, db, sqlite3_bind_int(insert, 1, 1));
        check(side, db, sqlite3_bind_text(insert, 2, "bench.done", -1, SQLITE_STATIC));
        check(side, db, sqlite3_bind_text(insert, 3, id, -1, SQLITE_TRANSIENT));
        check(side, db, sqlite3_bind_text(insert, 4, "/bench", -1, SQLITE_STATIC));
        check(side, db, sqlite3_bind_int64(insert, 5, i));
        check(side, db, sqlite3_bind_blob(insert, 6, data, (int)size, SQLITE_STATIC));
        check(side, db, sqlite3_step(insert));
        check(side, db, sqlite3_reset(insert));
    }
    check(side, db, sqlite3_exec(db, "COMMIT", NULL, NULL, NULL));
}

static void insert_all(const bench_job *job, bench_side *side, sqlite3 *db)
{
    sqlite3_stmt *insert = NULL;
    void *data = calloc(1, job->size);
    check(side, db,
          sqlite3_prepare_v2(
              db,
              "INSERT INTO message (channel, type, id, source, time_us, data) VALUES (?,?,?,?,?,?)",
              -1, &insert, NULL));
    for (long i = 0; i < job->count; i += BATCH) {
        insert_batch(side, db, insert, data, job->size, i);
    }
    (void)sqlite3_finalize(insert);
    free(data);
}

static void raw_publish(const bench_job *job, bench_side *side)
{
    sqlite3 *db = raw_open(side);
    bench_begin(side);
    insert_all(job, side, db);
    bench_end(side);
    (void)sqlite3_close(db);
}

/* Read a batch, hand it over, delete it: one transaction a batch. */
static void raw_consume(const bench_job *job, bench_side *side)
{
    sqlite3 *db = raw_open(side);
    sqlite3_stmt *read = NULL, *erase = NULL;
    long seen = 0;
    insert_all(job, side, db);
    check(side, db,
          sqlite3_prepare_v2(
              db, "SELECT seq, type, id, source, time_us, data FROM message ORDER BY seq LIMIT 100",
              -1, &read, NULL));
    check(side, db, sqlite3_prepare_v2(db, "DELETE FROM message WHERE seq = ?", -1, &erase, NULL));
    bench_begin(side);
    while (seen < job->count) {
        int64_t rows[BATCH];
        int count = 0;
        check(side, db, sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL));
        while (sqlite3_step(read) == SQLITE_ROW) {
            void *copy = malloc((size_t)sqlite3_column_bytes(read, 5) + 1); /* handed over */
            memcpy(copy, sqlite3_column_blob(read, 5), (size_t)sqlite3_column_bytes(read, 5));
            rows[count++] = sqlite3_column_int64(read, 0);
            free(copy);
        }
        check(side, db, sqlite3_reset(read));
        for (int i = 0; i < count; i++) {
            check(side, db, sqlite3_bind_int64(erase, 1, rows[i]));
            check(side, db, sqlite3_step(erase));
            check(side, db, sqlite3_reset(erase));
        }
        check(side, db, sqlite3_exec(db, "COMMIT", NULL, NULL, NULL));
        seen += count;
    }
    bench_end(side);
    (void)sqlite3_finalize(read);
    (void)sqlite3_finalize(erase);
    (void)sqlite3_close(db);
}

void bench_sqlite(int rounds)
{
    static const size_t sizes[] = {128, 1024};
    for (size_t i = 0; i < 2; i++) {
        bench_job job = {.what = "sqlite-publish-100",
                         .size = sizes[i],
                         .count = 50000,
                         .unit = "msg/s",
                         .ours = publish,
                         .raw = raw_publish};
        bench_pair(&job, rounds);
        job.what = "sqlite-consume-100", job.ours = consume, job.raw = raw_consume;
        bench_pair(&job, rounds);
    }
}
