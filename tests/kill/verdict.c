/* SPDX-License-Identifier: Apache-2.0
 * What must be true in the end: each order is one saga that has ended as its card says, each effect
 * happened exactly once in the participants' own databases, and there is no row beside those. */
#include "round.h"

#include "databases.h"
#include "tally.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ORDERS_MAX = 10000, PAGE = 1000 };

typedef struct ledger {
    unsigned char seen[ORDERS_MAX + 1];
    int count, orders, page;
    char last[40], wrong[300];
} ledger;

static bool on_saga(void *user, const marty_saga_facts *facts)
{
    ledger *to = user;
    const char *number = strncmp(facts->key, "order-", 6) == 0 ? facts->key + 6 : "0";
    long n = strtol(number, NULL, 10);
    marty_saga_status should = n % 10 == 0 ? MARTY_SAGA_COMPENSATED : MARTY_SAGA_COMPLETED;
    bool known = n > 0 && n <= to->orders;
    if (!known || to->seen[n]++ || facts->status != should || *facts->stuck) {
        (void)snprintf(to->wrong, sizeof to->wrong, "saga %s of %.40s: status %d, stuck \"%.100s\"",
                       facts->id, facts->key, (int)facts->status, facts->stuck);
    }
    (void)snprintf(to->last, sizeof to->last, "%s", facts->id);
    to->count++;
    to->page++;
    return true;
}

static bool count_sagas(marty_saga_engine *engine, int orders, char *ret_why, size_t why_size)
{
    static ledger book;
    memset(&book, 0, sizeof book);
    book.orders = orders;
    do {
        char after[40];
        marty_error why = {0};
        book.page = 0;
        memcpy(after, book.last, sizeof after);
        marty_saga_filter all = {.limit = PAGE, .after = *after ? after : NULL};
        if (marty_saga_list(engine, &all, on_saga, &book, &why) != MARTY_OK) {
            (void)snprintf(ret_why, why_size, "the store: %.300s", why.text);
            return false;
        }
    } while (book.page == PAGE);
    if (*book.wrong || book.count != orders) {
        (void)snprintf(ret_why, why_size, "%d sagas of %d orders; %s", book.count, orders,
                       book.wrong);
        return false;
    }
    return true;
}

/* Four effects for each order: two are done and undone, or all four are done. */
static bool count_rows(const char *folder, int orders, char *ret_why, size_t why_size)
{
    sqlite3 *db = databases_open(folder);
    sqlite3_stmt *row = NULL;
    int rows = -1;
    if (db &&
        sqlite3_prepare_v2(db,
                           "SELECT (SELECT count(*) FROM main.effect) +"
                           " (SELECT count(*) FROM inventory.effect) +"
                           " (SELECT count(*) FROM payment.effect) +"
                           " (SELECT count(*) FROM shipping.effect)",
                           -1, &row, NULL) == SQLITE_OK &&
        sqlite3_step(row) == SQLITE_ROW) {
        rows = sqlite3_column_int(row, 0);
    }
    (void)sqlite3_finalize(row);
    (void)sqlite3_close(db);
    if (rows != 4 * orders) {
        (void)snprintf(ret_why, why_size, "%d effects in the databases, and not %d", rows,
                       4 * orders);
    }
    return rows == 4 * orders;
}

bool verdict_take(marty_saga_engine *engine, const char *folder, int orders, char *ret_why,
                  size_t why_size)
{
    tally counted = {0};
    if (!count_sagas(engine, orders, ret_why, why_size)) {
        return false;
    }
    if (!tally_take(&counted, folder, orders) || !counted.exactly_once) {
        (void)snprintf(ret_why, why_size,
                       "%d orders have other effects than they should: validate %d, cancel %d, "
                       "reserve %d, release %d, charge %d, ship %d",
                       counted.wrong, counted.validate, counted.cancel, counted.reserve,
                       counted.release, counted.charge, counted.ship);
        return false;
    }
    return count_rows(folder, orders, ret_why, why_size);
}

enum { SHOWN_MAX = 20 };

typedef struct opened {
    char id[SHOWN_MAX][40];
    int count;
} opened;

static bool on_open(void *user, const marty_saga_facts *facts)
{
    opened *to = user;
    (void)snprintf(to->id[to->count++], sizeof to->id[0], "%s", facts->id);
    return to->count < SHOWN_MAX;
}

void verdict_show_open(marty_saga_engine *engine, const char *folder)
{
    char path[700];
    opened found = {.count = 0};
    marty_saga_filter open = {.open = true, .limit = SHOWN_MAX};
    (void)snprintf(path, sizeof path, "%s/open.jsonl", folder);
    FILE *file = fopen(path, "w");
    marty_err err = marty_saga_list(engine, &open, on_open, &found, NULL);
    for (int i = 0; !err && file && i < found.count; i++) {
        marty_message *report = NULL;
        if (marty_saga_show(engine, found.id[i], true, &report, NULL) == MARTY_OK) {
            (void)fprintf(file, "%.*s\n", MARTY_BYTES_ARGS(report->data));
            marty_message_unref(report);
        }
    }
    if (file) {
        (void)fclose(file);
    }
}
