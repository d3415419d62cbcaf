/* SPDX-License-Identifier: Apache-2.0
 * What the store writes of one order, version by version: taken down by triggers in a file in which
 * the engine runs one. And the order in which a plain program would write the same for many. */
#include "saga.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS                                                                                    \
    "id, name, key, definition, stuck, status, paused, shard, version, started_us, changed_us, "   \
    "due_us, unsent, state, outbox"

static void check(bench_side *side, sqlite3 *db, int code)
{
    if (code != SQLITE_OK && code != SQLITE_ROW && code != SQLITE_DONE) {
        bench_fail(side, "sqlite: %s", sqlite3_errmsg(db));
    }
}

static void take_down(bench_side *side, const char *path)
{
    sqlite3 *db = NULL;
    check(side, db, sqlite3_open(path, &db));
    check(side, db,
          sqlite3_exec(db,
                       "CREATE TABLE taken AS SELECT " COLUMNS " FROM marty_saga WHERE 0;"
                       "CREATE TRIGGER one AFTER INSERT ON marty_saga BEGIN INSERT INTO taken "
                       "SELECT " COLUMNS " FROM marty_saga WHERE number = NEW.number; END;"
                       "CREATE TRIGGER more AFTER UPDATE OF version ON marty_saga BEGIN INSERT "
                       "INTO taken SELECT " COLUMNS
                       " FROM marty_saga WHERE number = NEW.number; END;",
                       NULL, NULL, NULL));
    (void)sqlite3_close(db);
}

static void copy_bytes(sqlite3_stmt *from, int column, void **ret_data, size_t *ret_size)
{
    *ret_size = (size_t)sqlite3_column_bytes(from, column);
    *ret_data = malloc(*ret_size + 1);
    if (*ret_size) {
        memcpy(*ret_data, sqlite3_column_blob(from, column), *ret_size);
    }
}

static void read_row(sqlite3_stmt *from, saga_row *row)
{
    for (int i = 0; i <= SAGA_UNSENT; i++) {
        row->number[i] = sqlite3_column_int64(from, i);
        const char *text = (const char *)sqlite3_column_text(from, i);
        (void)snprintf(row->text[i], sizeof row->text[i], "%s", text ? text : "");
    }
    copy_bytes(from, SAGA_UNSENT + 1, &row->state.data, &row->state.size);
    copy_bytes(from, SAGA_UNSENT + 2, &row->outbox.data, &row->outbox.size);
    copy_bytes(from, SAGA_UNSENT + 3, &row->batch.data, &row->batch.size);
}

void saga_record(bench_side *side, saga_row rows[SAGA_VERSIONS])
{
    char path[400], url[420];
    sqlite3 *db = NULL;
    sqlite3_stmt *read = NULL;
    saga_world world;
    saga_path(path, sizeof path, "taken");
    (void)snprintf(url, sizeof url, "sqlite:%s", path);
    saga_make_tables(side, url);
    take_down(side, path);
    saga_open(&world, side, "memory:", url, SAGA_ANSWER);
    saga_run(&world, "order", 1, 1, true, NULL);
    saga_close(&world);
    check(side, db, sqlite3_open(path, &db));
    check(side, db,
          sqlite3_prepare_v2(db,
                             "SELECT " COLUMNS ", (SELECT batch FROM marty_saga_history h WHERE "
                             "h.version = taken.version) FROM taken ORDER BY version",
                             -1, &read, NULL));
    int count = 0;
    for (; sqlite3_step(read) == SQLITE_ROW; count++) {
        read_row(read, &rows[count % SAGA_VERSIONS]);
    }
    if (count != SAGA_VERSIONS) {
        bench_fail(side, "an order is no longer %d transitions", SAGA_VERSIONS);
    }
    (void)sqlite3_finalize(read);
    (void)sqlite3_close(db);
}

void saga_name(long n, char id[40], char key[40])
{
    (void)snprintf(id, 40, "01a0b1c2-0000-7000-8000-%012lx", (unsigned long)n);
    (void)snprintf(key, 40, "order-12345-%08ld", n);
}

/* A commit after every `group` versions, on average, whatever sagas they are of: never two of one,
 * as no more than those in flight are in a group. */
typedef struct grouping {
    const saga_raw *raw;
    double group, done, end; /* versions so far; when the group ends */
    bool open;
} grouping;

static void end_group(grouping *to)
{
    if (to->open) {
        to->raw->commit(to->raw->self);
        to->open = false;
    }
}

static void add_version(grouping *to, const saga_row *row, long saga)
{
    if (!to->open) {
        to->raw->begin(to->raw->self);
        to->open = true;
        to->end += to->group;
    }
    to->raw->write(to->raw->self, row, saga);
    if (++to->done >= to->end) {
        end_group(to);
    }
}

/* All that are in flight go step by step. */
void saga_raw_run(const saga_raw *raw, const saga_row rows[SAGA_VERSIONS], long count,
                  int in_flight, int64_t *ns)
{
    double most = in_flight < SAGA_GROUP ? in_flight : SAGA_GROUP;
    grouping groups = {.raw = raw,
                       .group = raw->group >= 1 && raw->group < most ? raw->group : most};
    for (long first = 0; first < count; first += in_flight) {
        long end = first + in_flight < count ? first + in_flight : count;
        int64_t began = bench_now_ns();
        for (int version = 0; version < SAGA_VERSIONS; version++) {
            for (long n = first; n < end; n++) {
                add_version(&groups, &rows[version], n);
            }
        }
        for (long n = first; n < end && ns; n++) {
            ns[n] = bench_now_ns() - began;
        }
    }
    end_group(&groups);
}
