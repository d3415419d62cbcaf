/* SPDX-License-Identifier: Apache-2.0
 * Counts what really happened: the four databases are attached to one connection, and each order is
 * held against what should have happened to it. */
#include "tally.h"

#include <sqlite3.h>
#include <stdio.h>

/* Every 10th is refused, so undone; the numbers are made here, so that a lost one is found. */
static const char *const counting =
    "WITH RECURSIVE number(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM number WHERE n < ?1),"
    " wanted AS (SELECT printf('order-%06d', n) AS id, n % 10 = 0 AS refused FROM number),"
    " happened AS (SELECT * FROM main.effect UNION ALL SELECT * FROM inventory.effect UNION ALL"
    "   SELECT * FROM payment.effect UNION ALL SELECT * FROM shipping.effect),"
    " counted AS (SELECT order_id, total(what = 'validate') AS validate,"
    "   total(what = 'cancel') AS cancel, total(what = 'reserve') AS reserve,"
    "   total(what = 'release') AS release, total(what = 'charge') AS charge,"
    "   total(what = 'ship') AS ship FROM happened GROUP BY order_id)"
    " SELECT total(validate), total(cancel), total(reserve), total(release), total(charge),"
    "   total(ship), total(validate IS NOT 1 OR reserve IS NOT 1 OR cancel IS NOT refused OR"
    "   release IS NOT refused OR charge IS NOT 1 - refused OR ship IS NOT 1 - refused),"
    "   (SELECT 300000 - sum(count) FROM inventory.stock)"
    " FROM wanted LEFT JOIN counted ON order_id = id";

static bool attach(sqlite3 *db, const char *folder, const char *name)
{
    char *path = sqlite3_mprintf("%s/%s.db", folder, name);
    char *sql = sqlite3_mprintf("ATTACH %Q AS %s", path, name);
    bool fine = path && sql && sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK;
    sqlite3_free(sql);
    sqlite3_free(path);
    return fine;
}

static bool count(sqlite3 *db, int orders, tally *ret)
{
    sqlite3_stmt *row = NULL;
    bool fine = sqlite3_prepare_v2(db, counting, -1, &row, NULL) == SQLITE_OK &&
                sqlite3_bind_int(row, 1, orders) == SQLITE_OK && sqlite3_step(row) == SQLITE_ROW;
    if (fine) {
        int *to[] = {&ret->validate, &ret->cancel, &ret->reserve, &ret->release,
                     &ret->charge,   &ret->ship,   &ret->wrong};
        for (int i = 0; i < 7; i++) {
            *to[i] = sqlite3_column_int(row, i);
        }
        int gone = sqlite3_column_int(row, 7); /* from the shelf */
        ret->exactly_once = ret->wrong == 0 && gone == ret->reserve - ret->release;
    }
    sqlite3_finalize(row);
    return fine;
}

bool tally_take(tally *ret, const char *folder, int orders)
{
    sqlite3 *db = NULL;
    char *path = sqlite3_mprintf("%s/order.db", folder);
    bool fine = path && sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK &&
                attach(db, folder, "inventory") && attach(db, folder, "payment") &&
                attach(db, folder, "shipping") && count(db, orders, ret);
    if (!fine) {
        fprintf(stderr, "%s: %s\n", path ? path : folder, sqlite3_errmsg(db));
    }
    sqlite3_free(path);
    sqlite3_close(db);
    return fine;
}

void tally_print(const tally *counted)
{
    printf(" effects  reserve %d (released %d)   charge %d   ship %d      each exactly once: %s\n",
           counted->reserve, counted->release, counted->charge, counted->ship,
           counted->exactly_once ? "yes" : "NO");
}
