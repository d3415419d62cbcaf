/* SPDX-License-Identifier: Apache-2.0
 * sqlite, raw: a table beside the file, write-ahead log, synchronous FULL. What is due goes in by
 * one transaction, and out by the next. */
#include "open.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct table {
    char path[1024];
    sqlite3 *db;
    sqlite3_stmt *insert, *select, *erase;
} table;

static void check(table *self, int code)
{
    if (code != SQLITE_OK && code != SQLITE_ROW && code != SQLITE_DONE) {
        open_fail(self->path, sqlite3_errmsg(self->db));
    }
}

static void prepare(table *self, const char *sql, sqlite3_stmt **ret_made)
{
    check(self, sqlite3_prepare_v2(self->db, sql, -1, ret_made, NULL));
}

static void run_sql(table *self, const char *sql)
{
    check(self, sqlite3_exec(self->db, sql, NULL, NULL, NULL));
}

static void open_it(open_run *run)
{
    static table self;
    size_t length = strcspn(run->url + 7, "?");
    run->own = &self;
    (void)snprintf(self.path, sizeof self.path, "%.*s-raw-%d", (int)length, run->url + 7,
                   (int)getpid());
    check(&self,
          sqlite3_open_v2(self.path, &self.db,
                          SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL));
    run_sql(&self, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE message (seq "
                   "INTEGER PRIMARY KEY, type TEXT, id TEXT, data BLOB)");
    prepare(&self, "INSERT INTO message (type, id, data) VALUES ('bench.tick', ?, ?)",
            &self.insert);
    prepare(&self, "SELECT data FROM message WHERE seq >= ? ORDER BY seq LIMIT 64", &self.select);
    prepare(&self, "DELETE FROM message WHERE seq >= ?", &self.erase);
}

static void put(table *self, const open_run *run, const char *data, size_t count)
{
    run_sql(self, "BEGIN IMMEDIATE");
    for (size_t i = 0; i < count; i++) {
        char id[40];
        (void)snprintf(id, sizeof id, "01a0b1c2-0000-7000-8000-%012x", (unsigned)i);
        check(self, sqlite3_bind_text(self->insert, 1, id, -1, SQLITE_TRANSIENT));
        check(self, sqlite3_bind_blob(self->insert, 2, data + i * run->size, (int)run->size,
                                      SQLITE_STATIC));
        check(self, sqlite3_step(self->insert));
        check(self, sqlite3_reset(self->insert));
    }
    run_sql(self, "COMMIT");
}

static void send_it(open_run *run, const char *data, const int64_t due_ns[], size_t count)
{
    table *self = run->own;
    put(self, run, data, count);
    for (size_t i = 0; i < count; i++) {
        open_stored(run, due_ns[i]);
    }
    check(self, sqlite3_bind_int(self->select, 1, 0));
    while (sqlite3_step(self->select) == SQLITE_ROW) {
        open_delivered(run, sqlite3_column_blob(self->select, 0));
    }
    check(self, sqlite3_reset(self->select));
    check(self, sqlite3_bind_int(self->erase, 1, 0));
    check(self, sqlite3_step(self->erase));
    check(self, sqlite3_reset(self->erase));
}

static void close_it(open_run *run)
{
    static const char *const ends[] = {"", "-wal", "-shm"};
    table *self = run->own;
    char path[1040];
    (void)sqlite3_finalize(self->insert);
    (void)sqlite3_finalize(self->select);
    (void)sqlite3_finalize(self->erase);
    (void)sqlite3_close(self->db);
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        (void)snprintf(path, sizeof path, "%s%s", self->path, ends[i]);
        (void)unlink(path);
    }
}

const open_client open_sqlite = {"sqlite", open_it, send_it, close_it};
