/* SPDX-License-Identifier: Apache-2.0
 * What SQLite's codes are to us, each row of the table; and that a fault of a file has one answer,
 * whoever opens it: the backend, the store of sagas, the notes of a participant. */
#include "errors.h"

#include "backends/sqlite/test_file.h"
#include "base/clock.h"
#include "saga/participant/notes.h"
#include "saga/stores/stores.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

typedef struct row {
    int code;
    marty_err err;
    const char *says;
} row;

static const row rows[] = {
    {SQLITE_READONLY, MARTY_E_DENIED, "x.db: it is read-only"},
    {SQLITE_READONLY_DIRECTORY, MARTY_E_DENIED, "x.db: it is read-only"},
    {SQLITE_PERM, MARTY_E_DENIED, "file and folder must be writable"},
    {SQLITE_AUTH, MARTY_E_DENIED, "file and folder must be writable"},
    {SQLITE_NOTADB, MARTY_E_MALFORMED, "not a SQLite database"},
    {SQLITE_CORRUPT, MARTY_E_STORAGE, "damaged: as SQLite says; restore a copy"},
    {SQLITE_CORRUPT_INDEX, MARTY_E_STORAGE, "sqlite3 FILE .recover"},
    {SQLITE_FULL, MARTY_E_STORAGE, "disk full; free some space"},
    {SQLITE_IOERR_WRITE, MARTY_E_STORAGE, "as SQLite says (SQLite 778); look at the disk"},
    {SQLITE_IOERR_NOMEM, MARTY_E_NO_MEMORY, "out of memory"},
    {SQLITE_NOMEM, MARTY_E_NO_MEMORY, "out of memory"},
    {SQLITE_BUSY, MARTY_E_UNAVAILABLE, "locked by another program"},
    {SQLITE_BUSY_RECOVERY, MARTY_E_UNAVAILABLE, "locked by another program"},
    {SQLITE_LOCKED, MARTY_E_UNAVAILABLE, "locked by another program"},
    {SQLITE_PROTOCOL, MARTY_E_UNAVAILABLE, "locked by another program"},
    {SQLITE_TOOBIG, MARTY_E_TOO_LARGE, "too large for a row"},
    {SQLITE_ERROR, MARTY_E_INTERNAL, "x.db: as SQLite says (SQLite 1)"},
    {SQLITE_CONSTRAINT_UNIQUE, MARTY_E_INTERNAL, "(SQLite 2067)"},
};

static void every_row_of_the_table(void)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        marty_error why = {0};
        CHECK_INT(marty__sqlite_error(rows[i].code, "as SQLite says", "x.db", &why), rows[i].err);
        CHECK_HAS(why.text, rows[i].says);
    }
    marty_error why = {0};
    CHECK_INT(marty__sqlite_error(SQLITE_IOERR_READ, NULL, "x.db", &why), MARTY_E_STORAGE);
    CHECK_HAS(why.text, "disk I/O error");
    CHECK_INT(marty__sqlite_newer("x.db", 9, 2, &why), MARTY_E_UNSUPPORTED);
    CHECK_HAS(why.text, "its schema is version 9");
}

static void a_process_without_descriptors_is_told_so(void)
{
    marty_error why = {0};
    struct rlimit before, none;
    REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = before.rlim_max};
    REQUIRE(setrlimit(RLIMIT_NOFILE, &none) == 0);
    marty_err err = marty__sqlite_error(SQLITE_CANTOPEN, NULL, "x.db", &why);
    REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
    CHECK_INT(err, MARTY_E_UNAVAILABLE);
    CHECK_HAS(why.text, "too many files are open; raise the limit (ulimit -n)");
}

/* ---- one file, three who open it */
static int64_t soon(void)
{
    return marty__deadline_ns(marty__monotonic_ns(), 50);
}

static marty_err open_backend(const char *text, marty_error *why)
{
    marty_bus *bus = NULL;
    marty_bus_options options = {.service = "s", .timeout_ms = 20000};
    marty_err err = marty_bus_open(&bus, text, &options, why);
    marty_bus_free(bus);
    return err;
}

static marty_err open_store(const char *text, marty_error *why)
{
    marty_url *url = NULL;
    marty_saga_store *store = NULL;
    const marty_saga_store_table *table = marty__saga_store_find("sqlite", why);
    REQUIRE(table && !marty_url_parse(&url, text, why));
    marty_err err = table->open(&store, url, marty__env_real(), soon(), why);
    if (!err) {
        table->close(store);
    }
    marty_url_free(url);
    return err;
}

static marty_err open_notes(const char *text, marty_error *why)
{
    marty_url *url = NULL;
    marty__notes *notes = NULL;
    REQUIRE(!marty_url_parse(&url, text, why));
    const marty__notes_table *table = marty__notes_find(url, why);
    REQUIRE(table);
    marty_err err = table->open(&notes, url, marty__env_real(), soon(), why);
    if (!err) {
        table->close(notes);
    }
    marty_url_free(url);
    return err;
}

typedef marty_err (*opener)(const char *text, marty_error *why);

static void answers(opener open_it, const char *path, marty_err want, const char *says)
{
    char url[400];
    marty_error why = {0};
    (void)snprintf(url, sizeof url, "sqlite:%s", path);
    CHECK_INT(open_it(url, &why), want);
    CHECK_HAS(why.text, says);
    CHECK_HAS(why.text, path);
}

static void all_answer(const char *path, marty_err want, const char *says)
{
    answers(open_backend, path, want, says);
    answers(open_store, path, want, says);
    answers(open_notes, path, want, says);
}

static sqlite3 *open_raw(const char *path, const char *sql)
{
    sqlite3 *db = NULL;
    REQUIRE(sqlite3_open(path, &db) == SQLITE_OK);
    REQUIRE(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK);
    return db;
}

static void a_fault_has_one_answer(void)
{
    char junk[4096];
    memset(junk, 'x', sizeof junk);
    int fd = open(test_file("junk.db"), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    REQUIRE(fd >= 0 && write(fd, junk, sizeof junk) == (ssize_t)sizeof junk);
    (void)close(fd);
    all_answer(test_file("junk.db"), MARTY_E_MALFORMED, "it is not a SQLite database");
    all_answer(test_file("nowhere/x.db"), MARTY_E_NOT_FOUND, "does not exist; make it first");
    (void)mkdir(test_file("folder"), 0755);
    all_answer(test_file("folder"), MARTY_E_CONFIG, "it is a folder; name a file");
    (void)rmdir(test_file("folder"));
    sqlite3 *db = open_raw(test_file("locked.db"), "PRAGMA locking_mode=EXCLUSIVE; BEGIN EXCLUSIVE;"
                                                   "CREATE TABLE marty_x(y)");
    /* the backend waits for longer: its own test has it */
    answers(open_store, test_file("locked.db"), MARTY_E_UNAVAILABLE, "locked by another program");
    answers(open_notes, test_file("locked.db"), MARTY_E_UNAVAILABLE, "locked by another program");
    (void)sqlite3_close(db);
}

static void a_newer_file_is_unsupported(void)
{
    marty_error why = {0};
    char url[400];
    (void)snprintf(url, sizeof url, "sqlite:%s", test_file("newer.db"));
    CHECK_INT(open_store(url, &why), MARTY_OK);
    CHECK_INT(open_backend(url, &why), MARTY_OK);
    (void)sqlite3_close(open_raw(test_file("newer.db"), "UPDATE marty_saga_store SET schema = 99;"
                                                        "UPDATE marty_state SET version = 99"));
    CHECK_INT(open_store(url, &why), MARTY_E_UNSUPPORTED);
    CHECK_HAS(why.text, "its schema is version 99");
    CHECK_INT(open_backend(url, &why), MARTY_E_UNSUPPORTED);
    CHECK_HAS(why.text, "its schema is version 99");
}

int main(void)
{
    every_row_of_the_table();
    a_process_without_descriptors_is_told_so();
    a_fault_has_one_answer();
    a_newer_file_is_unsupported();
    test_folder_remove();
    return check_result();
}
