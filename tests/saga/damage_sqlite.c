/* SPDX-License-Identifier: Apache-2.0
 * See damage.h: rows of a file. */
#include "damage.h"

#include "check.h"

#include <sqlite3.h>

static const char sql[] =
    "UPDATE marty_saga SET shard = 9999 WHERE key = 'shard';"
    "UPDATE marty_saga SET state = (SELECT state FROM marty_saga WHERE key = 'whole') "
    "WHERE key = 'anothers';"
    "UPDATE marty_saga SET state = x'0badc0de', shard = 9999 WHERE key = 'rubbish';"
    "UPDATE marty_saga SET definition = 'nonsense' WHERE key = 'facts';"
    "UPDATE marty_saga SET due_us = 1";

void damage_watch(const char *url)
{
    (void)url;
}

void damage_do(const char *url, char ids[DAMAGE_SAGAS][40])
{
    sqlite3 *db = NULL;
    char *wrong = NULL;
    (void)ids;
    REQUIRE(sqlite3_open(strchr(url, ':') + 1, &db) == SQLITE_OK);
    if (!CHECK_INT(sqlite3_exec(db, sql, NULL, NULL, &wrong), SQLITE_OK)) {
        (void)fprintf(stderr, "%s\n", wrong);
    }
    sqlite3_free(wrong);
    (void)sqlite3_close(db);
}
