/* SPDX-License-Identifier: Apache-2.0
 * See damage.h: rows of a database. */
#include "damage.h"

#include "check.h"

#include <libpq-fe.h>

static const char sql[] =
    "UPDATE marty_saga SET shard = 9999 WHERE key = 'shard';"
    "UPDATE marty_saga SET state = (SELECT state FROM marty_saga WHERE key = 'whole') "
    "WHERE key = 'anothers';"
    "UPDATE marty_saga SET state = '\\x0badc0de', shard = -7 WHERE key = 'rubbish';"
    "UPDATE marty_saga SET definition = 'nonsense' WHERE key = 'facts';"
    "UPDATE marty_saga SET due_us = 1";

void damage_watch(const char *url)
{
    (void)url;
}

void damage_do(const char *url, char ids[DAMAGE_SAGAS][40])
{
    (void)ids;
    PGconn *db = PQconnectdb(url);
    REQUIRE(PQstatus(db) == CONNECTION_OK);
    PGresult *result = PQexec(db, sql);
    if (!CHECK_INT(PQresultStatus(result), PGRES_COMMAND_OK)) {
        (void)fprintf(stderr, "%s\n", PQerrorMessage(db));
    }
    PQclear(result);
    PQfinish(db);
}
