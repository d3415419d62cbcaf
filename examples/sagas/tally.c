/* SPDX-License-Identifier: Apache-2.0
 * Counts what really happened: the four databases are attached to one connection, and each order is
 * held against what should have happened to it. */
#include "tally.h"

#include "databases.h"

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
    sqlite3 *db = databases_open(folder);
    bool fine = db && count(db, orders, ret);
    if (db && !fine) {
        databases_complain(db, folder);
    }
    sqlite3_close(db);
    return fine;
}

void tally_print(const tally *counted)
{
    printf(" effects  validate %d (cancelled %d)   reserve %d (released %d)   charge %d   ship %d\n"
           "          each exactly once, and what was refused undone to the last: %s\n",
           counted->validate, counted->cancel, counted->reserve, counted->release, counted->charge,
           counted->ship, counted->exactly_once ? "yes" : "NO");
}
