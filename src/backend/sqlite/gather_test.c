/* SPDX-License-Identifier: Apache-2.0
 * What was gathered for the log and then rolled back is never written: its place there is that of
 * another connection's commit by then. */
#include "gather.h"

#include "backends/sqlite/test_file.h"

static void execute(sqlite3 *handle, const char *text)
{
    CHECK_INT(sqlite3_exec(handle, text, NULL, NULL, NULL), SQLITE_OK);
}

static sqlite3 *open_as(const char *name, const char *vfs)
{
    sqlite3 *handle = NULL;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
    REQUIRE(sqlite3_open_v2(test_file(name), &handle, flags, vfs) == SQLITE_OK);
    execute(handle, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
                    "PRAGMA wal_autocheckpoint=0; PRAGMA cache_size=-64");
    return handle;
}

static int note(void *user, int count, char **values, char **names)
{
    (void)count;
    (void)names;
    (void)snprintf(user, 100, "%s", values[0]);
    return 0;
}

static void check_file(const char *name)
{
    char text[100] = "", rows[100] = "";
    sqlite3 *handle = open_as(name, NULL);
    CHECK_INT(sqlite3_exec(handle, "PRAGMA integrity_check", note, text, NULL), SQLITE_OK);
    CHECK_INT(sqlite3_exec(handle, "SELECT count(*) FROM b WHERE x = 2", note, rows, NULL),
              SQLITE_OK);
    CHECK_TEXT(text, "ok");
    CHECK_TEXT(rows, "100");
    (void)sqlite3_close(handle);
}

static void fill(sqlite3 *handle, const char *table, int x)
{
    char text[200];
    (void)snprintf(text, sizeof text,
                   "WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i<100) "
                   "INSERT INTO %s SELECT i, %d, randomblob(3000) FROM n",
                   table, x);
    execute(handle, text);
}

/* The log begins anew, one spills more than its cache holds and gives up, the other commits there;
 * then the first reads on, or ends. */
static void what_was_rolled_back_is_not_written(const char *name, bool reads)
{
    sqlite3 *one = open_as(name, marty__sqlite_gather_name());
    execute(one, "CREATE TABLE a(i INTEGER PRIMARY KEY, x INTEGER, bytes BLOB);"
                 "CREATE TABLE b(i INTEGER PRIMARY KEY, x INTEGER, bytes BLOB)");
    sqlite3 *other = open_as(name, NULL);
    execute(one, "PRAGMA wal_checkpoint(PASSIVE)");
    execute(one, "BEGIN IMMEDIATE");
    marty__sqlite_gather_allow(one, true);
    fill(one, "a", 1);
    execute(one, "ROLLBACK");
    execute(other, "BEGIN IMMEDIATE");
    fill(other, "b", 2);
    execute(other, "COMMIT");
    if (reads) {
        execute(one, "SELECT count(*) FROM a");
        check_file(name);
    }
    CHECK_INT(sqlite3_close(one), SQLITE_OK);
    check_file(name);
    (void)sqlite3_close(other);
}

int main(void)
{
    what_was_rolled_back_is_not_written("reads.db", true);
    what_was_rolled_back_is_not_written("closes.db", false);
    test_folder_remove();
    return check_result();
}
