/* SPDX-License-Identifier: Apache-2.0
 * Rows that are appended get the ids that they were given, whatever the table has: none, older
 * ones, newer ones, gaps, and two logs in turn. */
#include "db.h"

#include "check.h"

#include <string.h>

#define LOG(n) ((int64_t)(n) << 40)
enum { TABLE = 3 };

static sq_db *open_db(void)
{
    static sq_db db;
    marty_error why = {0};
    REQUIRE(marty__sq_db_open(&db, ":memory:", &why) == MARTY_OK);
    REQUIRE(marty__sq_exec(&db,
                           "CREATE TABLE marty_message_3(id INTEGER PRIMARY KEY, at_us INTEGER"
                           " NOT NULL, expires_us INTEGER, key INTEGER, body BLOB NOT NULL)") ==
            SQLITE_OK);
    return &db;
}

static void append(sq_db *db, int64_t id)
{
    const sq_appended row = {.id = id, .at_us = id + 1};
    const marty_bytes body = {&id, sizeof id};
    CHECK(marty__sq_append(db, TABLE, &row, body) == SQLITE_OK);
}

/* Every row's body and time say the id that it was meant to have. */
static int64_t rows_that_are_right(sq_db *db)
{
    int code;
    int64_t right = 0;
    sqlite3_stmt *rows = marty__sq_statement(db, SQ_MESSAGE_RANGE, TABLE, &code);
    REQUIRE(rows && marty__sq_bind(rows, SQ_I(0, INT64_MAX, 100000)) == SQLITE_OK);
    while (marty__sq_step(db, rows) == SQLITE_ROW) {
        int64_t id = 0;
        REQUIRE(sqlite3_column_bytes(rows, 4) == (int)sizeof id);
        memcpy(&id, sqlite3_column_blob(rows, 4), sizeof id);
        right += sqlite3_column_int64(rows, 0) == id && sqlite3_column_int64(rows, 1) == id + 1;
    }
    (void)sqlite3_reset(rows);
    return right;
}

static void ids_are_those_that_were_given(void)
{
    sq_db *db = open_db();
    for (int64_t i = 1; i <= 300; i++) { /* the first of an empty table, then in one run */
        append(db, LOG(3) + i);
    }
    CHECK(rows_that_are_right(db) == 300);
    for (int64_t i = 301; i <= 340; i++) { /* two logs in one table, in turn */
        append(db, LOG(3) + i);
        append(db, LOG(19) + i);
    }
    CHECK(rows_that_are_right(db) == 380);
    append(db, LOG(3) + 341); /* beside newer ones */
    append(db, LOG(3) + 342);
    append(db, LOG(19) + 350); /* after a gap */
    append(db, LOG(19) + 351);
    CHECK(rows_that_are_right(db) == 384);
    CHECK(marty__sq_do(db, SQ_MESSAGE_REMOVE_RANGE, TABLE, SQ_I(LOG(19) + 345, LOG(20))) ==
          SQLITE_OK);
    append(db, LOG(19) + 352); /* numbers of what is gone are not used again */
    CHECK(rows_that_are_right(db) == 383);
    marty__sq_db_close(db);
}

int main(void)
{
    ids_are_those_that_were_given();
    return check_result();
}
