/* SPDX-License-Identifier: Apache-2.0
 * Orders as sagas, all in one process: an engine, four participants with databases of their own, a
 * bus. Every tenth card is refused; in the end each saga has ended as it should, and the
 * participants' databases say that each effect happened exactly once.
 *     saga_flow memory|sqlite ORDERS [STORE-URL] */
#include <marty/marty.h>
#include <marty/saga.h>

#include "check.h"

#include <sqlite3.h>
#include <unistd.h>

static char folder[] = "/tmp/marty-saga-flow-XXXXXX";

static const marty_step steps[] = {
    {.name = "validate", .service = "shop", .command = "validate", .compensate = "cancel"},
    {.name = "reserve", .service = "shop", .command = "reserve", .compensate = "release"},
    {.name = "charge",
     .service = "shop",
     .command = "charge",
     .kind = MARTY_STEP_PIVOT,
     .in_doubt = MARTY_IN_DOUBT_PROBE},
    {.name = "ship", .service = "shop", .command = "ship", .kind = MARTY_STEP_RETRIABLE}};
static const marty_saga order = {
    .name = "order", .version = 1, .steps = steps, .step_count = sizeof steps / sizeof *steps};

static marty_err count_effect(sqlite3 *db, const char *what, const char *saga)
{
    char sql[300];
    (void)snprintf(sql, sizeof sql,
                   "CREATE TABLE IF NOT EXISTS effect (saga TEXT, what TEXT);"
                   "INSERT INTO effect VALUES ('%s', '%s')",
                   saga, what);
    return sqlite3_exec(db, sql, NULL, NULL, NULL) ? MARTY_E_STORAGE : MARTY_OK;
}

static marty_err do_step(void *user, marty_operation *operation, void *transaction)
{
    const char *what = user;
    if (strcmp(what, "charge") == 0 && strstr(operation->data.data, "\"card\":0")) {
        return marty_operation_refuse(operation, "card refused");
    }
    marty_err err = count_effect(transaction, what, operation->saga);
    return err ? err : marty_operation_reply(operation, marty_text("{\"done\":true}"));
}

static int ask(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *row = NULL;
    int value = -1;
    if (sqlite3_prepare_v2(db, sql, -1, &row, NULL) == SQLITE_OK &&
        sqlite3_step(row) == SQLITE_ROW) {
        value = sqlite3_column_int(row, 0);
    }
    (void)sqlite3_finalize(row);
    return value;
}

/* A compensation shares the database of what it undoes, to know whether that was done. */
static const char *database_of(const char *what)
{
    return strcmp(what, "cancel") == 0    ? "validate"
           : strcmp(what, "release") == 0 ? "reserve"
                                          : what;
}

static int count_of(const char *what, const char *column)
{
    char path[200], sql[200];
    (void)snprintf(path, sizeof path, "%s/%s.db", folder, database_of(what));
    (void)snprintf(sql, sizeof sql, "SELECT count(%s) FROM effect WHERE what = '%s'", column,
                   strcmp(what, "sagas") == 0 ? "local" : what);
    sqlite3 *db = NULL;
    int value =
        sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL) == SQLITE_OK ? ask(db, sql) : -1;
    (void)sqlite3_close(db);
    return value < 0 ? 0 : value;
}

static void participate(marty_bus *bus, const char *what)
{
    char url[200];
    marty_error why = {0};
    (void)snprintf(url, sizeof url, "sqlite:%s/%s.db", folder, database_of(what));
    if (!CHECK_INT(
            marty_participate(bus, what, url, do_step, (void *)(uintptr_t)what, NULL, NULL, &why),
            MARTY_OK)) {
        fprintf(stderr, "%s\n", why.text);
    }
}

static void run_orders(marty_saga_engine *engine, int orders)
{
    char(*ids)[40] = calloc((size_t)orders, sizeof *ids);
    marty_error why = {0};
    REQUIRE(ids);
    for (int i = 0; i < orders; i++) {
        char input[64], key[20], again[40];
        (void)snprintf(input, sizeof input, "{\"order\":%d,\"card\":%d}", i, i % 10);
        (void)snprintf(key, sizeof key, "order-%d", i);
        if (!CHECK_INT(
                marty_saga_start(engine, "order", key, marty_text(input), NULL, ids[i], &why),
                MARTY_OK)) {
            fprintf(stderr, "%s\n", why.text);
        }
        if (i % 7 == 0) {
            CHECK_INT(marty_saga_start(engine, "order", key, marty_text(input), NULL, again, &why),
                      MARTY_OK);
            CHECK_TEXT(again, ids[i]);
        }
    }
    int completed = 0, compensated = 0;
    for (int i = 0; i < orders; i++) {
        marty_saga_status status = 0;
        if (!CHECK_INT(
                marty_saga_wait(engine, ids[i], (int32_t)check__patience(20000), &status, &why),
                MARTY_OK)) {
            marty_message *report = NULL;
            fprintf(stderr, "%s\n", why.text);
            if (marty_saga_show(engine, ids[i], true, &report, &why) == MARTY_OK) {
                fprintf(stderr, "%.*s\n", (int)report->data.size, (const char *)report->data.data);
                marty_message_unref(report);
            }
            break;
        }
        marty_saga_order late = {.who = "ann"};
        CHECK_INT(marty_saga_act(engine, ids[i], MARTY_SAGA_CANCEL, &late, &why), MARTY_E_STATE);
        completed += status == MARTY_SAGA_COMPLETED;
        compensated += status == MARTY_SAGA_COMPENSATED;
    }
    CHECK_INT(completed, orders - (orders + 9) / 10);
    CHECK_INT(compensated, (orders + 9) / 10);
    free(ids);
}

/* A local step works in the store's transaction: what it wrote stays if it is done, and goes if it
 * refuses, or tries to end the transaction. */
static const marty_step local_steps[] = {
    {.name = "write", .local = "write", .compensate = "write"}};
static const marty_saga local_saga = {
    .name = "local", .version = 1, .steps = local_steps, .step_count = 1};

static marty_err write_row(void *user, marty_operation *operation, void *transaction)
{
    (void)user;
    if (operation->undo) {
        return MARTY_OK;
    }
    CHECK_INT(count_effect(transaction, "local", operation->saga), MARTY_OK);
    if (strstr(operation->data.data, "ends") && operation->attempt == 1) {
        CHECK(sqlite3_exec(transaction, "COMMIT", NULL, NULL, NULL) != SQLITE_OK);
        return MARTY_E_FAILED;
    }
    return strstr(operation->data.data, "refuse") ? marty_operation_refuse(operation, "not\nhere")
                                                  : MARTY_OK;
}

static void run_local(marty_saga_engine *engine)
{
    static const struct {
        const char *input;
        marty_saga_status status;
    } rows[] = {{"{\"what\":\"do\"}", MARTY_SAGA_COMPLETED},
                {"{\"what\":\"refuse\"}", MARTY_SAGA_COMPENSATED},
                {"{\"what\":\"ends\"}", MARTY_SAGA_COMPLETED}};
    marty_error why = {0};
    CHECK_INT(marty_saga_function(engine, "write", write_row, NULL, &why), MARTY_OK);
    if (!CHECK_INT(marty_saga_register(engine, &local_saga, NULL, &why), MARTY_OK)) {
        fprintf(stderr, "%s\n", why.text);
    }
    for (int i = 0; i < 3; i++) {
        char id[40];
        marty_saga_status status = 0;
        CHECK_INT(
            marty_saga_start(engine, "local", NULL, marty_text(rows[i].input), NULL, id, &why),
            MARTY_OK);
        CHECK_INT(marty_saga_wait(engine, id, (int32_t)check__patience(20000), &status, &why),
                  MARTY_OK);
        CHECK_INT(status, rows[i].status);
    }
    CHECK_INT(count_of("sagas", "*"), 2);
}

static void check_effects(int orders)
{
    const struct {
        const char *what;
        int count;
    } rows[] = {{"validate", orders},
                {"reserve", orders},
                {"charge", orders - (orders + 9) / 10},
                {"ship", orders - (orders + 9) / 10},
                {"cancel", (orders + 9) / 10},
                {"release", (orders + 9) / 10}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        CHECK_INT(count_of(rows[i].what, "*"), rows[i].count);
        CHECK_INT(count_of(rows[i].what, "DISTINCT saga"), rows[i].count);
    }
}

static void clean_up(void)
{
    char command[200];
    (void)snprintf(command, sizeof command, "rm -r %s", folder);
    CHECK_INT(system(command), 0);
}

int main(int count, char **values)
{
    bool memory = count < 2 || strcmp(values[1], "memory") == 0;
    int orders = count > 2 ? (int)strtol(values[2], NULL, 10) : 100;
    REQUIRE(mkdtemp(folder));
    char bus_url[200], store_url[200];
    (void)snprintf(bus_url, sizeof bus_url, "sqlite:%s/bus.db", folder);
    (void)snprintf(store_url, sizeof store_url, "sqlite:%s/sagas.db", folder);
    marty_bus *bus = NULL;
    marty_error why = {0};
    marty_bus_options options = {.service = "shop"};
    REQUIRE(marty_bus_open(&bus, memory ? "memory:" : bus_url, &options, &why) == MARTY_OK);
    marty_saga_engine *engine = NULL;
    const char *store = count > 3 ? values[3] : memory ? "memory:" : store_url;
    if (!CHECK_INT(marty_saga_open(&engine, bus, store, NULL, &why), MARTY_OK) ||
        !CHECK_INT(marty_saga_register(engine, &order, NULL, &why), MARTY_OK)) {
        fprintf(stderr, "%s\n", why.text);
        return 1;
    }
    static const char *const commands[] = {"validate", "cancel", "reserve",
                                           "release",  "charge", "ship"};
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        participate(bus, commands[i]);
    }
    REQUIRE(marty_bus_start(bus, &why) == MARTY_OK);
    run_orders(engine, orders);
    if (strncmp(store, "sqlite:", 7) == 0) {
        run_local(engine);
    }
    marty_message *report = NULL;
    if (CHECK_INT(marty_saga_report(engine, &report, &why), MARTY_OK)) {
        printf("%.*s\n", (int)report->data.size, (const char *)report->data.data);
        marty_message_unref(report);
    }
    CHECK_INT(marty_saga_close(engine, 0, &why), MARTY_OK);
    CHECK_INT(marty_bus_close(bus, 5000, &why), MARTY_OK);
    marty_bus_free(bus);
    check_effects(orders);
    clean_up();
    return check_result();
}
