/* SPDX-License-Identifier: Apache-2.0
 * Four databases as one. One thread. */
#include "databases.h"

#include <stdbool.h>
#include <stdio.h>

static bool attach(sqlite3 *db, const char *folder, const char *name)
{
    char *path = sqlite3_mprintf("%s/%s.db", folder, name);
    char *sql = sqlite3_mprintf("ATTACH %Q AS %s", path, name);
    bool fine = path && sql && sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK;
    sqlite3_free(sql);
    sqlite3_free(path);
    return fine;
}

void databases_complain(sqlite3 *db, const char *folder)
{
    fprintf(stderr, "%s/order.db: %s\n", folder, sqlite3_errmsg(db));
}

sqlite3 *databases_open(const char *folder)
{
    sqlite3 *db = NULL;
    char *path = sqlite3_mprintf("%s/order.db", folder);
    bool fine = path && sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK &&
                sqlite3_busy_timeout(db, 5000) == SQLITE_OK && attach(db, folder, "inventory") &&
                attach(db, folder, "payment") && attach(db, folder, "shipping");
    if (!fine) {
        databases_complain(db, folder);
        sqlite3_close(db);
        db = NULL;
    }
    sqlite3_free(path);
    return db;
}
