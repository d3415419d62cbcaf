/* SPDX-License-Identifier: Apache-2.0
 * What the four participants share: run SQL in the transaction that an effect is given, and a main
 * of a few lines. */
#ifndef SAGAS_PARTICIPANT_H
#define SAGAS_PARTICIPANT_H
#include <marty/marty.h>
#include <marty/saga.h>

#include <sqlite3.h>
#include <stdio.h>

/* Run one statement; :data in it is the operation's data. How many rows it changed, or -1. */
static inline int run_sql(sqlite3 *db, const char *sql, const marty_operation *operation)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
    int place = code ? 0 : sqlite3_bind_parameter_index(statement, ":data");
    if (place) {
        (void)sqlite3_bind_text(statement, place, operation->data.data, (int)operation->data.size,
                                SQLITE_STATIC);
    }
    code = code ? code : sqlite3_step(statement);
    (void)sqlite3_finalize(statement);
    return code == SQLITE_DONE ? sqlite3_changes(db) : -1;
}

/* The tables of a participant, made when they are missing. */
static inline bool make_tables(const char *path, const char *schema)
{
    sqlite3 *db = NULL;
    bool fine = sqlite3_open(path, &db) == SQLITE_OK &&
                sqlite3_busy_timeout(db, 5000) == SQLITE_OK &&
                sqlite3_exec(db, "PRAGMA journal_mode=WAL", NULL, NULL, NULL) == SQLITE_OK &&
                sqlite3_exec(db, schema, NULL, NULL, NULL) == SQLITE_OK;
    if (!fine) {
        fprintf(stderr, "%s: %s\n", path, sqlite3_errmsg(db));
    }
    (void)sqlite3_close(db);
    return fine;
}

typedef struct role {
    const char *command;
    marty_effect effect;
} role;

/* Take part with these commands until SIGTERM. Arguments: BUS-URL DATABASE. A broker that is not
 * there yet, or slow to greet, is waited for. */
static inline int participate(int argc, char **argv, const char *service, const char *schema,
                              const role *roles, size_t count)
{
    char store[600];
    marty_bus *bus = NULL;
    marty_error why = {0};
    if (argc != 3 || !make_tables(argv[2], schema)) {
        fprintf(stderr, "usage: %s BUS-URL DATABASE\n", service);
        return 2;
    }
    (void)snprintf(store, sizeof store, "sqlite:%s", argv[2]);
    bool failed = marty_bus_open(
        &bus, argv[1], &(marty_bus_options){.service = service, .timeout_ms = 10000}, &why);
    for (size_t i = 0; i < count && !failed; i++) {
        failed = marty_participate(bus, roles[i].command, store, roles[i].effect, NULL, NULL, NULL,
                                   &why);
    }
    failed = failed || marty_bus_run(bus, &why);
    if (failed) {
        fprintf(stderr, "%s: %s\n", service, why.text);
    }
    marty_bus_free(bus);
    return failed;
}
#endif
