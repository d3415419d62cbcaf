/* SPDX-License-Identifier: Apache-2.0
 * Files with many sagas, made once for all rounds, each by a process of its own so that ours stays
 * small. Those that wait are copies of one that the engine has made, under other ids; those that
 * are open are started by the engine one by one, since their commands have keys of their own. */
#include "saga.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STARTERS = 256, ID = 36 };

static void check(bench_side *side, sqlite3 *db, int code)
{
    if (code != SQLITE_OK && code != SQLITE_ROW && code != SQLITE_DONE) {
        bench_fail(side, "sqlite: %s", sqlite3_errmsg(db));
    }
}

static void execute(bench_side *side, sqlite3 *db, const char *sql)
{
    check(side, db, sqlite3_exec(db, sql, NULL, NULL, NULL));
}

static void start_some(bench_side *side, const char *path, const char *definition, long count)
{
    char url[420];
    saga_world world;
    (void)snprintf(url, sizeof url, "sqlite:%s", path);
    saga_open(&world, side, "memory:", url, SAGA_SILENT);
    saga_run(&world, definition, count, count < STARTERS ? (int)count : STARTERS, false, NULL);
    saga_close(&world);
}

/* The bytes of a column with every mention of one id made another of the same length. */
static void *renamed(sqlite3_stmt *from, int column, const char *old, const char *id, size_t *size)
{
    *size = (size_t)sqlite3_column_bytes(from, column);
    char *copy = malloc(*size + 1);
    memcpy(copy, sqlite3_column_blob(from, column), *size);
    for (size_t at = 0; at + ID <= *size; at++) {
        if (memcmp(copy + at, old, ID) == 0) {
            memcpy(copy + at, id, ID);
        }
    }
    return copy;
}

static void insert_copy(bench_side *side, sqlite3 *db, sqlite3_stmt *to, sqlite3_stmt *one, long n)
{
    char id[40], key[40], old[40];
    size_t size = 0;
    saga_name(n, id, key);
    (void)snprintf(old, sizeof old, "%s", (const char *)sqlite3_column_text(one, 0));
    (void)sqlite3_bind_text(to, 1, id, -1, NULL);
    (void)sqlite3_bind_text(to, 2, key, -1, NULL);
    (void)sqlite3_bind_int64(to, 3, n % MARTY_SAGA_SHARDS);
    (void)sqlite3_bind_int64(to, 4, n);
    void *state = renamed(one, 1, old, id, &size);
    (void)sqlite3_bind_blob64(to, 5, state, size, free);
    void *batch = renamed(one, 2, old, id, &size);
    (void)sqlite3_bind_blob64(to, 6, batch, size, free);
    check(side, db, sqlite3_step(to));
    check(side, db, sqlite3_reset(to));
}

/* The first saga again and again: the n-th is due n microseconds later. Its history goes with it.
 */
static void multiply(bench_side *side, const char *path, long count)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *one = NULL, *to = NULL;
    check(side, db, sqlite3_open(path, &db));
    execute(side, db,
            "PRAGMA synchronous=OFF; PRAGMA cache_size=-262144;"
            "CREATE TEMP VIEW copy AS SELECT '' id, '' key, 0 shard, 0 later, x'' state, x'' batch;"
            "CREATE TEMP TRIGGER more INSTEAD OF INSERT ON copy BEGIN "
            "INSERT INTO marty_saga (id, name, key, definition, stuck, status, paused, shard, "
            "version, started_us, changed_us, due_us, unsent, state, outbox) SELECT NEW.id, name, "
            "NEW.key, definition, stuck, status, paused, NEW.shard, version, started_us, "
            "changed_us, due_us + NEW.later, 0, NEW.state, x'' FROM marty_saga WHERE number = 1;"
            "INSERT INTO marty_saga_history SELECT (SELECT max(number) FROM marty_saga), version, "
            "at_us, NEW.batch FROM marty_saga_history WHERE number = 1; END;");
    check(side, db,
          sqlite3_prepare_v2(db,
                             "SELECT id, state, (SELECT batch FROM marty_saga_history WHERE number "
                             "= 1) FROM marty_saga WHERE number = 1",
                             -1, &one, NULL));
    check(side, db, sqlite3_step(one));
    check(
        side, db,
        sqlite3_prepare_v2(db, "INSERT INTO copy VALUES (?1, ?2, ?3, ?4, ?5, ?6)", -1, &to, NULL));
    execute(side, db, "BEGIN");
    for (long n = 1; n < count; n++) {
        insert_copy(side, db, to, one, n);
    }
    (void)sqlite3_finalize(one);
    (void)sqlite3_finalize(to);
    execute(side, db, "COMMIT; PRAGMA wal_checkpoint(TRUNCATE)");
    (void)sqlite3_close(db);
}

static void fill_waiting(bench_side *side, const char *path, long count)
{
    start_some(side, path, "wait", 1);
    multiply(side, path, count);
}

/* Its engine has sent the commands and has not said so: the mark of it may be lost in a crash. */
static void fill_open(bench_side *side, const char *path, long count)
{
    sqlite3 *db = NULL;
    start_some(side, path, "open", count);
    check(side, db, sqlite3_open(path, &db));
    execute(side, db, "UPDATE marty_saga SET unsent = 1; PRAGMA wal_checkpoint(TRUNCATE)");
    (void)sqlite3_close(db);
}

static bool fill(void (*how)(bench_side *side, const char *path, long count), const char *path,
                 long count)
{
    int status = 0;
    (void)fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        bench_side side = {0};
        how(&side, path, count);
        _exit(0);
    }
    bool fine = child > 0 && waitpid(child, &status, 0) == child && status == 0;
    if (!fine) {
        (void)fprintf(stderr, "%s could not be filled\n", path);
    }
    return fine;
}

bool saga_fill_waiting(const char *path, long count)
{
    return fill(fill_waiting, path, count);
}

bool saga_fill_open(const char *path, long count)
{
    return fill(fill_open, path, count);
}

void saga_copy(bench_side *side, const char *from, const char *to)
{
    static char space[1 << 20];
    FILE *in = fopen(from, "rb");
    FILE *out = in ? fopen(to, "wb") : NULL;
    if (!out) {
        bench_fail(side, "%s cannot be copied", from);
    }
    for (size_t size; (size = fread(space, 1, sizeof space, in)) > 0;) {
        if (fwrite(space, 1, size, out) != size) {
            bench_fail(side, "%s cannot be written", to);
        }
    }
    (void)fclose(in);
    if (fclose(out) != 0) {
        bench_fail(side, "%s cannot be written", to);
    }
}
