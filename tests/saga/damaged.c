/* SPDX-License-Identifier: Apache-2.0
 * Rows of a store that somebody has written by hand: the engine says which saga is damaged, does
 * nothing for it, above all not the steps of another one, and goes on with all others. */
#include <marty/marty.h>
#include <marty/saga.h>

#include "check.h"

#include <sqlite3.h>
#include <stdatomic.h>
#include <unistd.h>

static const char document[] = "saga: nap\nsteps:\n  - {name: nap, timer: 1h}\n";

enum { SHARD, ANOTHERS, WHOLE, RUBBISH, SAGAS };
static const char *const keys[SAGAS] = {"shard", "anothers", "whole", "rubbish"};
static char ids[SAGAS][40], url[128];
static atomic_bool told[SAGAS];
static marty_bus *bus;
static marty_saga_engine *engine;

static void on_log(void *user, int level, const char *text)
{
    (void)user;
    for (size_t i = 0; i < SAGAS && level <= 1; i++) {
        if (ids[i][0] && strstr(text, ids[i])) {
            atomic_store(&told[i], true);
        }
    }
}

static void open_engine(void)
{
    marty_error why = {0};
    REQUIRE(marty_bus_open(&bus, "memory:", &(marty_bus_options){.service = "s", .on_log = on_log},
                           &why) == 0);
    REQUIRE(marty_saga_open(&engine, bus, url, NULL, &why) == MARTY_OK);
    REQUIRE(marty_bus_start(bus, &why) == MARTY_OK);
}

static void close_engine(void)
{
    CHECK_INT(marty_saga_close(engine, 10000, NULL), MARTY_OK);
    CHECK_INT(marty_bus_close(bus, 10000, NULL), MARTY_OK);
    marty_bus_free(bus);
}

static void damage(void)
{
    static const char sql[] =
        "UPDATE marty_saga SET shard = 9999 WHERE key = 'shard';"
        "UPDATE marty_saga SET state = (SELECT state FROM marty_saga WHERE key = 'whole') "
        "WHERE key = 'anothers';"
        "UPDATE marty_saga SET state = x'0badc0de' WHERE key = 'rubbish';"
        "UPDATE marty_saga SET due_us = 1";
    sqlite3 *db = NULL;
    char *wrong = NULL;
    REQUIRE(sqlite3_open(strchr(url, ':') + 1, &db) == SQLITE_OK);
    if (!CHECK_INT(sqlite3_exec(db, sql, NULL, NULL, &wrong), SQLITE_OK)) {
        (void)fprintf(stderr, "%s\n", wrong);
    }
    sqlite3_free(wrong);
    (void)sqlite3_close(db);
}

static marty_err act(int which, marty_saga_verb verb)
{
    return marty_saga_act(engine, ids[which], verb,
                          &(marty_saga_order){.who = "kim", .note = "enough"}, NULL);
}

int main(void)
{
    char folder[] = "/tmp/marty-damaged-XXXXXX";
    marty_error why = {0};
    REQUIRE(mkdtemp(folder));
    (void)snprintf(url, sizeof url, "sqlite:%s/sagas.db", folder);
    open_engine();
    CHECK_INT(marty_saga_register(engine, NULL, document, &why), MARTY_OK);
    for (size_t i = 0; i < SAGAS; i++) {
        CHECK_INT(marty_saga_start(engine, "nap", keys[i], marty_text("{}"), NULL, ids[i], &why),
                  MARTY_OK);
    }
    close_engine();
    damage();
    open_engine();
    CHECK_SOON(atomic_load(&told[RUBBISH]), 10000);
    CHECK_INT(act(RUBBISH, MARTY_SAGA_CANCEL), MARTY_E_MALFORMED);
    CHECK_INT(act(ANOTHERS, MARTY_SAGA_CANCEL), MARTY_E_MALFORMED);
    CHECK_INT(act(SHARD, MARTY_SAGA_CANCEL), MARTY_OK);
    CHECK_INT(act(WHOLE, MARTY_SAGA_CANCEL), MARTY_OK);
    marty_saga_status status = MARTY_SAGA_RUNNING;
    CHECK_INT(marty_saga_wait(engine, ids[SHARD], 10000, &status, &why), MARTY_OK);
    CHECK_INT(marty_saga_wait(engine, ids[WHOLE], 10000, &status, &why), MARTY_OK);
    close_engine();
    (void)unlink(strchr(url, ':') + 1);
    return rmdir(folder) == 0 ? check_result() : 1;
}
