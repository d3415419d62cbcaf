/* SPDX-License-Identifier: Apache-2.0
 * Participants whose notes are on a PostgreSQL primary that is killed in the middle of their work,
 * with an effect in each of its transactions, and whose synchronous standby is promoted: orders go
 * on and end as they should, and every effect is in the database once. */
#include <marty/marty.h>
#include <marty/saga.h>

#include "check.h"
#include "support/postgres.h"
#include "support/wait.h"

#include <libpq-fe.h>
#include <stdatomic.h>

enum { ORDERS = 200, REFUSED = ORDERS / 10, KILL_AT = 150, END_MS = 120000, SKIPPED = 77 };

static const marty_step steps[] = {
    {.name = "reserve", .service = "shop", .command = "reserve", .compensate = "release"},
    {.name = "charge",
     .service = "shop",
     .command = "charge",
     .kind = MARTY_STEP_PIVOT,
     .in_doubt = MARTY_IN_DOUBT_PROBE},
    {.name = "ship", .service = "shop", .command = "ship", .kind = MARTY_STEP_RETRIABLE}};
static const marty_saga order = {
    .name = "order", .version = 1, .steps = steps, .step_count = sizeof steps / sizeof *steps};

static test_postgres pair;
static atomic_int effects, ended[MARTY_SAGA_ABANDONED + 1];
static atomic_bool killed;

static void on_change(void *user, const marty_saga_change *change)
{
    (void)user;
    atomic_fetch_add(&ended[change->facts->status], 1);
}

static int all_ended(void)
{
    return atomic_load(&ended[MARTY_SAGA_COMPLETED]) + atomic_load(&ended[MARTY_SAGA_COMPENSATED]);
}

/* From one on they wait, within their transactions, until the primary is dead. */
static marty_err do_step(void *user, marty_operation *operation, void *transaction)
{
    const char *what = user;
    char sql[200];
    if (strcmp(what, "charge") == 0 && strstr(operation->data.data, "\"card\":0")) {
        return marty_operation_refuse(operation, "card refused");
    }
    (void)snprintf(sql, sizeof sql, "INSERT INTO effect VALUES ('%s', '%s')", operation->saga,
                   what);
    PGresult *result = PQexec(transaction, sql);
    bool done = PQresultStatus(result) == PGRES_COMMAND_OK;
    PQclear(result);
    if (done && atomic_fetch_add(&effects, 1) >= KILL_AT) {
        CHECK_SOON(atomic_load(&killed), END_MS);
    }
    return done ? MARTY_OK : MARTY_E_UNAVAILABLE;
}

/* The first number of an answer; -1 = there is none. */
static int ask(const char *url, const char *sql)
{
    char where[400];
    (void)snprintf(where, sizeof where, "%s?target_session_attrs=read-write", url);
    PGconn *own = PQconnectdb(where);
    PGresult *result = PQexec(own, sql);
    ExecStatusType status = PQresultStatus(result);
    int value = status == PGRES_COMMAND_OK ? 0
                : status == PGRES_TUPLES_OK && PQntuples(result) == 1
                    ? (int)strtol(PQgetvalue(result, 0, 0), NULL, 10)
                    : -1;
    if (value < 0) {
        fprintf(stderr, "%s\n", PQerrorMessage(own));
    }
    PQclear(result);
    PQfinish(own);
    return value;
}

static void check_effects(const char *url)
{
    static const struct {
        const char *what;
        int count;
    } rows[] = {{"reserve", ORDERS},
                {"charge", ORDERS - REFUSED},
                {"ship", ORDERS - REFUSED},
                {"release", REFUSED}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char sql[200];
        (void)snprintf(sql, sizeof sql, "SELECT count(*) FROM effect WHERE what = '%s'",
                       rows[i].what);
        CHECK_INT(ask(url, sql), rows[i].count);
        (void)snprintf(sql, sizeof sql, "SELECT count(DISTINCT saga) FROM effect WHERE what = '%s'",
                       rows[i].what);
        CHECK_INT(ask(url, sql), rows[i].count);
    }
}

static void place(marty_saga_engine *engine)
{
    marty_error why = {0};
    for (int i = 0; i < ORDERS; i++) {
        char input[64], id[40];
        (void)snprintf(input, sizeof input, "{\"order\":%d,\"card\":%d}", i, i % 10);
        CHECK_INT(marty_saga_start(engine, "order", NULL, marty_text(input), NULL, id, &why),
                  MARTY_OK);
    }
}

static void fail_over(void)
{
    char why[400] = "";
    CHECK_SOON(atomic_load(&effects) > KILL_AT, END_MS);
    CHECK(all_ended() < ORDERS);
    test_postgres_kill(&pair);
    atomic_store(&killed, true);
    if (!CHECK(test_postgres_promote(&pair, why, sizeof why))) {
        fprintf(stderr, "%s\n", why);
    }
}

static void run(const char *url)
{
    static const char *const commands[] = {"reserve", "release", "charge", "ship"};
    const marty_bus_options shop = {.service = "shop"};
    const marty_saga_options options = {.on_change = on_change};
    marty_error why = {0};
    marty_bus *bus = NULL;
    marty_saga_engine *engine = NULL;
    REQUIRE(ask(url, "CREATE TABLE effect (saga TEXT, what TEXT)") == 0);
    REQUIRE(marty_bus_open(&bus, "memory:", &shop, &why) == MARTY_OK);
    REQUIRE(marty_saga_open(&engine, bus, "memory:", &options, &why) == MARTY_OK);
    REQUIRE(marty_saga_register(engine, &order, NULL, &why) == MARTY_OK);
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        marty_participant_options several = {.concurrency = 4}; /* want one connection */
        marty_err err = marty_participate(bus, commands[i], url, do_step,
                                          (void *)(uintptr_t)commands[i], &several, NULL, &why);
        if (err) {
            fprintf(stderr, "%s\n", why.text);
        }
        REQUIRE(err == MARTY_OK);
    }
    REQUIRE(marty_bus_start(bus, &why) == MARTY_OK);
    place(engine);
    fail_over();
    CHECK_SOON(all_ended() == ORDERS, test_patience(END_MS));
    CHECK_INT(atomic_load(&ended[MARTY_SAGA_COMPENSATED]), REFUSED);
    CHECK_INT(atomic_load(&ended[MARTY_SAGA_COMPLETED]), ORDERS - REFUSED);
    CHECK_INT(marty_saga_close(engine, 0, NULL), MARTY_OK);
    CHECK_INT(marty_bus_close(bus, 0, NULL), MARTY_OK);
    marty_bus_free(bus);
    check_effects(url);
}

int main(void)
{
    char url[300], why[400] = "";
    bool missing = false;
    if (!test_postgres_start(&pair, &missing, why, sizeof why)) {
        printf("%s: %s\n", missing ? "skipped" : "failed", why);
        test_postgres_free(&pair);
        return missing ? SKIPPED : 1;
    }
    test_postgres_url(&pair, url, sizeof url);
    run(url);
    test_postgres_free(&pair);
    return check_result();
}
