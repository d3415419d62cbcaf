/* SPDX-License-Identifier: Apache-2.0
 * Counts what really happened: all four databases are attached to one connection, and each order is
 * held against what should have happened to it. */
#include "tally.h"

#include "databases.h"

#include <stdio.h>

enum { SHOWN = 5 };

/* Per order, what happened how often. Every 10th is refused: reserve, refuse, release; the others:
 * reserve, charge, ship. Those that the order service lost are found too: the numbers are made
 * here.
 */
static const char *const per_order =
    "CREATE TEMP TABLE counted AS"
    " WITH RECURSIVE number(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM number WHERE n < ?1),"
    " wanted AS (SELECT printf('order-%06d', n) AS id, n % 10 = 0 AS refused FROM number),"
    " effect AS (SELECT * FROM inventory.effect UNION ALL SELECT * FROM payment.effect"
    "            UNION ALL SELECT * FROM shipping.effect)"
    " SELECT id, refused, (SELECT status FROM main.orders o WHERE o.id = w.id) AS status,"
    " (SELECT count(*) FROM effect e WHERE e.order_id = w.id AND what = 'reserve') AS reserve,"
    " (SELECT count(*) FROM effect e WHERE e.order_id = w.id AND what = 'release') AS release,"
    " (SELECT count(*) FROM effect e WHERE e.order_id = w.id AND what = 'charge') AS charge,"
    " (SELECT count(*) FROM effect e WHERE e.order_id = w.id AND what = 'refuse') AS refuse,"
    " (SELECT count(*) FROM effect e WHERE e.order_id = w.id AND what = 'ship') AS ship"
    " FROM wanted w";

#define WRONG                                                                                      \
    "(reserve <> 1 OR release <> refused OR refuse <> refused OR charge <> 1 - refused OR"         \
    " ship <> 1 - refused OR status IS NOT iif(refused, 'compensated', 'completed'))"

static const char *const totals =
    "SELECT count(status), total(status = 'completed'), total(status = 'compensated'),"
    " total(status NOT IN ('completed', 'compensated') OR status IS NULL), total(reserve),"
    " total(release), total(charge), total(refuse), total(ship), total(" WRONG "),"
    " (SELECT 3000 - sum(count) FROM inventory.stock) FROM counted";

static void show_wrong(sqlite3 *db)
{
    sqlite3_stmt *row = NULL;
    sqlite3_prepare_v2(db,
                       "SELECT printf('%s: %s, reserve %d, release %d, charge %d, refuse %d, ship "
                       "%d', id, ifnull(status, 'unknown'), reserve, release, charge, refuse, "
                       "ship) FROM counted WHERE " WRONG,
                       -1, &row, NULL);
    for (int i = 0; i < SHOWN && row && sqlite3_step(row) == SQLITE_ROW; i++) {
        fprintf(stderr, " wrong: %s\n", (const char *)sqlite3_column_text(row, 0));
    }
    sqlite3_finalize(row);
}

static bool count(sqlite3 *db, int orders, tally *ret)
{
    sqlite3_stmt *make = NULL, *row = NULL;
    bool fine = sqlite3_prepare_v2(db, per_order, -1, &make, NULL) == SQLITE_OK &&
                sqlite3_bind_int(make, 1, orders) == SQLITE_OK && sqlite3_step(make) == SQLITE_DONE;
    sqlite3_finalize(make);
    fine = fine && sqlite3_prepare_v2(db, totals, -1, &row, NULL) == SQLITE_OK &&
           sqlite3_step(row) == SQLITE_ROW;
    if (fine) {
        int *to[] = {&ret->orders,  &ret->completed, &ret->compensated, &ret->stuck, &ret->reserve,
                     &ret->release, &ret->charge,    &ret->refuse,      &ret->ship,  &ret->wrong};
        for (int i = 0; i < 10; i++) {
            *to[i] = sqlite3_column_int(row, i);
        }
        int gone = sqlite3_column_int(row, 10); /* from the shelf: what was kept of the reserved */
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
    } else if (fine && ret->wrong) {
        show_wrong(db);
    }
    sqlite3_close(db);
    return fine;
}

void tally_print(const tally *counted, int orders)
{
    printf(" orders   %d   completed %d   compensated %d   stuck %d\n", orders, counted->completed,
           counted->compensated, counted->stuck);
    printf(" effects  reserve %d (released %d)   charge %d   ship %d      each exactly once: %s\n",
           counted->reserve, counted->release, counted->charge, counted->ship,
           counted->exactly_once ? "yes" : "NO");
}
