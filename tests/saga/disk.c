/* SPDX-License-Identifier: Apache-2.0
 * A store of sagas on a disk that fails, that is small, and that is full: who starts a saga is told
 * what is wrong with the disk, the logs of store, bus and participant do not fill it, and once
 * there is room all goes on, each effect once. The small disk is this process's alone; where that
 * is not allowed its part is skipped, which is said. */
#include <marty/marty.h>
#include <marty/saga.h>

#include "backends/sqlite/test_vfs.h"
#include "check.h"
#include "support/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

enum { SMALL_SAGAS = 150, MORE_SAGAS = 2000, SKIPPED = 77 };

static const char document[] = "saga: order\nsteps:\n"
                               "  - {name: reserve, service: stock, command: reserve, "
                               "compensate: release}\n";
static char folder[] = "/tmp/marty-saga-disk-XXXXXX";
static marty_bus *bus;
static marty_saga_engine *engine;
static int started;

static marty_err reserve(void *user, marty_operation *operation, void *transaction)
{
    (void)user;
    char sql[200];
    (void)snprintf(sql, sizeof sql,
                   "CREATE TABLE IF NOT EXISTS effect (saga TEXT); INSERT INTO effect VALUES "
                   "('%s')",
                   operation->saga);
    return sqlite3_exec(transaction, sql, NULL, NULL, NULL) ? MARTY_E_STORAGE : MARTY_OK;
}

static const char *path_of(const char *name)
{
    static char path[100];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void open_all(const char *bus_url)
{
    marty_error why = {0};
    char url[120];
    const marty_bus_options options = {.service = "stock"};
    REQUIRE(marty_bus_open(&bus, bus_url, &options, &why) == MARTY_OK);
    (void)snprintf(url, sizeof url, "sqlite:%s", path_of("sagas.db"));
    REQUIRE(marty_saga_open(&engine, bus, url, NULL, &why) == MARTY_OK);
    REQUIRE(marty_saga_register(engine, NULL, document, &why) == MARTY_OK);
    (void)snprintf(url, sizeof url, "sqlite:%s", path_of("stock.db"));
    REQUIRE(marty_participate(bus, "reserve", url, reserve, NULL, NULL, NULL, &why) == MARTY_OK);
    REQUIRE(marty_bus_start(bus, &why) == MARTY_OK);
}

static void close_all(void)
{
    CHECK_INT(marty_saga_close(engine, 10000, NULL), MARTY_OK);
    CHECK_INT(marty_bus_close(bus, 10000, NULL), MARTY_OK);
    marty_bus_free(bus);
}

/* The one that is next; the same again, while it has failed. */
static marty_err start(int32_t timeout_ms, marty_error *why)
{
    char key[20], id[40];
    const marty_saga_start_options options = {.timeout_ms = timeout_ms};
    (void)snprintf(key, sizeof key, "order-%d", started);
    marty_err err = marty_saga_start(engine, "order", key, marty_text("{}"), &options, id, why);
    started += !err;
    return err;
}

static int ask(const char *name, const char *sql)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *row = NULL;
    int value = -1;
    if (sqlite3_open_v2(path_of(name), &db, SQLITE_OPEN_READONLY, NULL) == SQLITE_OK &&
        sqlite3_prepare_v2(db, sql, -1, &row, NULL) == SQLITE_OK &&
        sqlite3_step(row) == SQLITE_ROW) {
        value = sqlite3_column_int(row, 0);
    }
    (void)sqlite3_finalize(row);
    (void)sqlite3_close(db);
    return value;
}

static int completed(void)
{
    return ask("sagas.db", "SELECT count(*) FROM marty_saga WHERE status = 3");
}

static void all_end_well(void)
{
    CHECK_SOON(completed() == started, 60000);
    CHECK_INT(completed(), started);
    CHECK_INT(ask("stock.db", "SELECT count(*) FROM effect"), started);
    CHECK_INT(ask("stock.db", "SELECT count(DISTINCT saga) FROM effect"), started);
}

/* ---- one that fails */
static int no_sync(vfs_call call)
{
    return call == VFS_SYNC ? SQLITE_IOERR_FSYNC : SQLITE_OK;
}

static void who_waits_in_vain_is_told_what_the_store_says(void)
{
    marty_error why = {0};
    open_all("memory:");
    CHECK_INT(start(0, &why), MARTY_OK);
    CHECK_SOON(completed() == 1, 10000);
    atomic_store(&vfs_hook, no_sync);
    int64_t until_ms = check_now_ms() + 20000; /* on a slow machine it has not said so yet */
    do {
        CHECK_INT(start(300, &why), MARTY_E_TIMEOUT);
    } while (!strstr(why.text, "it said last: ") && check_now_ms() < until_ms);
    CHECK_HAS(why.text, "the store has not answered in time; it said last: ");
    CHECK_HAS(why.text, "look at the disk");
    atomic_store(&vfs_hook, NULL);
    CHECK_INT(start(0, &why), MARTY_OK);
    all_end_well();
    close_all();
}

/* ---- one that is small */
static void the_logs_do_not_fill_it(void)
{
    marty_error why = {0};
    while (started < SMALL_SAGAS && start(0, &why) == MARTY_OK) {
        CHECK_SOON(completed() == started, 20000);
    }
    CHECK_INT(started, SMALL_SAGAS);
    all_end_well();
}

static void fill(void)
{
    static char block[512];
    int fd = open(path_of("ballast"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    REQUIRE(fd >= 0);
    while (write(fd, block, sizeof block) > 0) {
    }
    CHECK_INT(errno, ENOSPC);
    REQUIRE(close(fd) == 0);
}

/* What the files have room for inside is used up first. */
static void one_that_is_full_is_named_and_waited_for(void)
{
    marty_error why = {0};
    marty_err err = MARTY_OK;
    fill();
    for (int i = 0; i < MORE_SAGAS && !err; i++) {
        int64_t began_ms = check_now_ms();
        err = start(0, &why);
        CHECK(!err || check_now_ms() - began_ms < 5000);
    }
    CHECK_INT(err, MARTY_E_STORAGE);
    CHECK_HAS(why.text, "disk full");
    REQUIRE(unlink(path_of("ballast")) == 0);
    CHECK_INT(start(0, &why), MARTY_OK);
    all_end_well();
}

static void remove_all(void)
{
    static const char *const names[] = {"sagas.db", "sagas.db-wal", "sagas.db-shm",
                                        "stock.db", "stock.db-wal", "stock.db-shm"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        (void)unlink(path_of(names[i]));
    }
}

int main(int count, char **values)
{
    bool small = count == 2 && strcmp(values[1], "small") == 0;
    REQUIRE(mkdtemp(folder));
    const char *refused = small ? test_small_disk(folder, "2m") : NULL;
    if (refused) {
        printf("skipped: %s\n", refused);
        return rmdir(folder) == 0 ? SKIPPED : 1;
    }
    if (small) {
        char bus_url[120];
        (void)snprintf(bus_url, sizeof bus_url, "sqlite:%s", path_of("bus.db"));
        open_all(bus_url);
        the_logs_do_not_fill_it();
        one_that_is_full_is_named_and_waited_for();
        close_all();
        (void)umount(folder);
    } else {
        vfs_install();
        who_waits_in_vain_is_told_what_the_store_says();
        remove_all();
    }
    CHECK(rmdir(folder) == 0);
    return check_result();
}
