/* SPDX-License-Identifier: Apache-2.0
 * What somebody has written into a store by hand: the engine says which saga is damaged, does
 * nothing for it, above all not the steps of another one, and goes on with all others. argv[1]: the
 * URL of the store, else a file of its own. */
#include "damage.h"

#include <marty/marty.h>
#include <marty/saga.h>

#include "check.h"

#include <stdatomic.h>
#include <unistd.h>

static const char document[] = "saga: nap\nsteps:\n  - {name: nap, timer: 1h}\n";

static char ids[DAMAGE_SAGAS][40];
static const char *url;
static atomic_bool told[DAMAGE_SAGAS];
static marty_bus *bus;
static marty_saga_engine *engine;

static void on_log(void *user, int level, const char *text)
{
    (void)user;
    for (size_t i = 0; i < DAMAGE_SAGAS && level <= 1; i++) {
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

static marty_err act(int which, marty_saga_verb verb)
{
    return marty_saga_act(engine, ids[which], verb,
                          &(marty_saga_order){.who = "kim", .note = "enough"}, NULL);
}

static void try_all(void)
{
    marty_error why = {0};
    damage_watch(url);
    open_engine();
    CHECK_INT(marty_saga_register(engine, NULL, document, &why), MARTY_OK);
    for (size_t i = 0; i < DAMAGE_SAGAS; i++) {
        CHECK_INT(
            marty_saga_start(engine, "nap", damage_keys[i], marty_text("{}"), NULL, ids[i], &why),
            MARTY_OK);
    }
    close_engine();
    damage_do(url, ids);
    open_engine();
    CHECK_SOON(atomic_load(&told[DAMAGE_RUBBISH]), 10000);
    CHECK_SOON(atomic_load(&told[DAMAGE_FACTS]), 10000);
    CHECK_INT(act(DAMAGE_RUBBISH, MARTY_SAGA_CANCEL), MARTY_E_MALFORMED);
    CHECK_INT(act(DAMAGE_ANOTHERS, MARTY_SAGA_CANCEL), MARTY_E_MALFORMED);
    CHECK(act(DAMAGE_FACTS, MARTY_SAGA_CANCEL) != MARTY_OK);
    CHECK_INT(act(DAMAGE_SHARD, MARTY_SAGA_CANCEL), MARTY_OK);
    CHECK_INT(act(DAMAGE_WHOLE, MARTY_SAGA_CANCEL), MARTY_OK);
    marty_saga_status status = MARTY_SAGA_RUNNING;
    CHECK_INT(marty_saga_wait(engine, ids[DAMAGE_SHARD], 10000, &status, &why), MARTY_OK);
    CHECK_INT(marty_saga_wait(engine, ids[DAMAGE_WHOLE], 10000, &status, &why), MARTY_OK);
    close_engine();
}

int main(int count, char **values)
{
    char folder[] = "/tmp/marty-damaged-XXXXXX", own[128];
    REQUIRE(mkdtemp(folder));
    (void)snprintf(own, sizeof own, "sqlite:%s/sagas.db", folder);
    url = count > 1 ? values[1] : own;
    try_all();
    (void)unlink(strchr(own, ':') + 1);
    return rmdir(folder) == 0 ? check_result() : 1;
}
