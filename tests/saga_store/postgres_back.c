/* SPDX-License-Identifier: Apache-2.0
 * A store in PostgreSQL whose server has gone back while it is open, as a standby that was behind
 * and was promoted: what it knows of this writer is older than what the writer knows. Once that is
 * settled the writer goes on.
 *     saga_store_postgres_back URL */
#include "suite.h"

#include <libpq-fe.h>

static void forget_writers(const char *url)
{
    PGconn *db = PQconnectdb(url);
    REQUIRE(PQstatus(db) == CONNECTION_OK);
    PGresult *result = PQexec(db, "DELETE FROM marty_saga_writer");
    if (!CHECK_INT(PQresultStatus(result), PGRES_COMMAND_OK)) {
        (void)fprintf(stderr, "%s\n", PQerrorMessage(db));
    }
    PQclear(result);
    PQfinish(db);
}

int main(int count, char **words)
{
    marty_error why = {0};
    REQUIRE(count == 2);
    suite_store store = suite_open(words[1]);
    CHECK_INT(suite_commit(&store, suite_write("back-1", 1, "")), MARTY_OK);
    for (int i = 0; i < 3; i++) { /* whatever was in doubt */
        CHECK_INT(store.table->settle(store.handle, suite_until(), &why), MARTY_OK);
    }
    CHECK_INT(suite_commit(&store, suite_write("back-1", 2, "")), MARTY_OK);
    forget_writers(words[1]);
    CHECK(suite_commit(&store, suite_write("back-2", 1, "")) != MARTY_OK);
    CHECK_INT(store.table->settle(store.handle, suite_until(), &why), MARTY_OK);
    CHECK_INT(suite_commit(&store, suite_write("back-2", 1, "")), MARTY_OK);
    CHECK_INT(suite_commit(&store, suite_write("back-1", 3, "")), MARTY_OK);
    suite_close(&store);
    return check_result();
}
