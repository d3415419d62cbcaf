/* SPDX-License-Identifier: Apache-2.0
 * A participant on PostgreSQL: the cases of all, two of them at once, connections and the server
 * killed in the middle, a commit whose answer is lost, and a saga of which all is in one database.
 * Locks of the test's own connection (42: at a commit; 43: in an effect) hold a transaction where
 * it shall be met.
 *     participant_postgres URL */
#include "participant_effects.h"

#include "support/proxy.h"

#include <libpq-fe.h>
#include <signal.h>

enum { AT_COMMIT = 42, IN_EFFECT = 43 };

static PGconn *own; /* the test's */
static const char *server_url;

static bool run_postgres(void *transaction, const char *sql)
{
    PGresult *result = PQexec(transaction, sql);
    ExecStatusType status = PQresultStatus(result);
    PQclear(result);
    return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
}

/* A number, by the test's own connection: a new one after the server has crashed. */
static int ask(const char *sql)
{
    int value = -1;
    int64_t until = check_now_ms() + check__patience(ANSWER_MS);
    while (value < 0 && check_now_ms() < until) {
        PGresult *result = PQexec(own, sql);
        if (PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1) {
            value = (int)strtol(PQgetvalue(result, 0, 0), NULL, 10);
        } else {
            PQreset(own);
        }
        PQclear(result);
    }
    return value;
}

static int count_postgres(world *w, const char *what, const char *order)
{
    char sql[200];
    (void)w;
    (void)snprintf(sql, sizeof sql,
                   "SELECT count(*) FROM effect WHERE what = '%s' AND order_id = '%s'", what,
                   order);
    return ask(sql);
}

/* How many transactions wait for a lock. */
static int waiting(void)
{
    return ask("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND "
               "application_name = 'marty'");
}

static void hold(int lock, bool held)
{
    char sql[80];
    (void)snprintf(sql, sizeof sql, "SELECT 1 FROM pg_advisory_%s(%d)", held ? "lock" : "unlock",
                   lock);
    CHECK_INT(ask(sql), 1);
}

static atomic_int mishaps; /* that are still to come: each happens once */

static void act(const char *what, void *transaction)
{
    char sql[80];
    if (strcmp(what, "wait") == 0) {
        (void)snprintf(sql, sizeof sql, "SELECT pg_advisory_xact_lock(%d)", IN_EFFECT);
        (void)run_postgres(transaction, sql);
    } else if (strcmp(what, "other schema") == 0) {
        (void)run_postgres(transaction, "SET LOCAL search_path = pg_catalog");
    } else if (strcmp(what, "leave running") == 0) {
        (void)PQsendQuery(transaction, "SELECT 1");
    } else if (strcmp(what, "prepare") == 0) {
        (void)run_postgres(transaction, "PREPARE TRANSACTION 'mine'");
    } else if (strcmp(what, "deferred") == 0) {
        (void)run_postgres(transaction, "INSERT INTO deferred VALUES (1)");
    } else if (strcmp(what, "terminate") == 0 && atomic_fetch_sub(&mishaps, 1) > 0) {
        (void)run_postgres(transaction, "SELECT pg_terminate_backend(pg_backend_pid())");
    } else if (strcmp(what, "kill server") == 0 && atomic_fetch_sub(&mishaps, 1) > 0) {
        (void)kill(PQbackendPID(transaction), SIGKILL); /* the server recovers as after a crash */
        (void)run_postgres(transaction, "SELECT 1");
    }
}

static void make_tables(void)
{
    REQUIRE(run_postgres(
        own,
        "CREATE TABLE effect (what text, order_id text);"
        "CREATE TABLE never (id int PRIMARY KEY);"
        "CREATE TABLE deferred (id int REFERENCES never DEFERRABLE INITIALLY DEFERRED);"
        "CREATE FUNCTION wait_at_commit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        "  PERFORM pg_advisory_xact_lock(42); RETURN NEW; END $$;"
        "CREATE CONSTRAINT TRIGGER wait_at_commit AFTER INSERT ON effect DEFERRABLE INITIALLY "
        "DEFERRED FOR EACH ROW WHEN (NEW.what = 'reserve') EXECUTE FUNCTION wait_at_commit()"));
}

/* ---- what an effect may leave behind */
static void what_cannot_be_committed_is_not_done(world *w)
{
    static const char *const acts[] = {"bad sql", "leave running", "prepare", "deferred"};
    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++) {
        char order[32];
        world_order(w, order);
        command charge = {.order = order, .key = key_of(order, "f"), .act = acts[i]};
        world_expect(w, &charge, "retry");
        CHECK_INT(w->count(w, "charge", order), 0);
        charge.act = "none";
        world_expect(w, &charge, "ok");
        CHECK_INT(w->count(w, "charge", order), 1);
    }
}

static void settings_of_an_effect_do_no_harm(world *w)
{
    char order[32];
    world_order(w, order);
    command charge = {.order = order, .key = key_of(order, "f"), .act = "other schema"};
    world_expect(w, &charge, "ok");
    world_expect(w, &charge, "ok");
    CHECK_INT(w->count(w, "charge", order), 1);
}

/* ---- two at once */
static void two_that_are_asked_at_once_do_it_once(world *w)
{
    char order[32];
    world_order(w, order);
    command first = {.order = order, .key = key_of(order, "f"), .act = "wait"};
    command second = {.order = order, .key = first.key, .act = "wait", .service = "payment-two"};
    int calls = payment_calls();
    hold(IN_EFFECT, true);
    world_send(w, &first);
    CHECK_SOON(waiting() == 1, ANSWER_MS);
    world_send(w, &second);
    CHECK_SOON(waiting() == 2, ANSWER_MS); /* for the key */
    hold(IN_EFFECT, false);
    answer got = {.word = "nothing"};
    CHECK(world_wait(w, first.key, 1, &got)); /* both have answered */
    CHECK_TEXT(got.word, "ok");
    CHECK_INT(w->count(w, "charge", order), 1);
    CHECK_INT(payment_calls(), calls + 1);
}

static void an_undo_waits_for_the_forward_that_runs(world *w)
{
    char order[32];
    world_order(w, order);
    command charge = {.order = order, .key = key_of(order, "f"), .act = "wait"};
    command undo = {.service = "payment-two",
                    .type = "refund",
                    .direction = "undo",
                    .order = order,
                    .key = key_of(order, "u"),
                    .forward = charge.key};
    hold(IN_EFFECT, true);
    world_send(w, &charge);
    CHECK_SOON(waiting() == 1, ANSWER_MS);
    world_send(w, &undo);
    CHECK_SOON(waiting() == 2, ANSWER_MS);
    hold(IN_EFFECT, false);
    answer got = {.word = "nothing"};
    CHECK(world_wait(w, charge.key, 0, &got));
    CHECK_TEXT(got.word, "ok");
    CHECK(world_wait(w, undo.key, 0, &got));
    CHECK_TEXT(got.word, "ok");
    CHECK_INT(w->count(w, "charge", order), 1);
    CHECK_INT(w->count(w, "refund", order), 1);
}

/* ---- connections */
static void what_a_lost_connection_undid_is_done_again(world *w)
{
    static const char *const acts[] = {"terminate", "kill server"};
    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++) {
        char order[32];
        world_order(w, order);
        command charge = {.order = order, .key = key_of(order, "f"), .act = acts[i]};
        int calls = payment_calls();
        atomic_store(&mishaps, 1);
        world_expect(w, &charge, "ok");
        CHECK(payment_calls() >= calls + 2);
        CHECK_INT(w->count(w, "charge", order), 1);
        world_expect(w, &charge, "ok"); /* and it was committed */
        CHECK_INT(w->count(w, "charge", order), 1);
    }
}

/* The server has taken the COMMIT, and nobody hears that it is done: the operation is looked up,
 * which waits for that commit, and answered; the effect does not run again. */
static void a_commit_whose_answer_is_lost_is_looked_up(world *w, test_proxy *proxy)
{
    char order[32];
    world_order(w, order);
    command reserve = {
        .service = "far", .type = "reserve", .order = order, .key = key_of(order, "f")};
    int calls = payment_calls();
    hold(AT_COMMIT, true);
    world_send(w, &reserve);
    CHECK_SOON(waiting() == 1, ANSWER_MS); /* in its COMMIT */
    CHECK_INT(world_answers(w, reserve.key), 0);
    test_proxy_cut(proxy);
    CHECK_SOON(waiting() == 2, ANSWER_MS); /* looking it up */
    hold(AT_COMMIT, false);
    answer got = {.word = "nothing"};
    CHECK(world_wait(w, reserve.key, 0, &got));
    CHECK_TEXT(got.word, "ok");
    CHECK_INT(payment_calls(), calls + 1);
    CHECK_INT(w->count(w, "reserve", order), 1);
}

/* ---- a saga, with all that belongs to it in one database */
static const marty_step steps[] = {{.name = "reserve",
                                    .service = "payment",
                                    .command = "reserve",
                                    .compensate = "release",
                                    .clocks = {.attempt_ms = 5000}},
                                   {.name = "charge",
                                    .service = "payment",
                                    .command = "charge",
                                    .kind = MARTY_STEP_PIVOT,
                                    .in_doubt = MARTY_IN_DOUBT_PROBE,
                                    .retry = {.attempts = 5, .first_ms = 100},
                                    .clocks = {.attempt_ms = 5000}}};
static const marty_saga order_saga = {
    .name = "order", .version = 1, .steps = steps, .step_count = sizeof steps / sizeof *steps};

enum { ORDERS = 60 };

/* Again under its key, while the server that number 23 has killed comes back. */
static marty_err start_order(marty_saga_engine *engine, int number, const char *input,
                             char ret_id[40], marty_error *why)
{
    char key[32];
    marty_err err = MARTY_E_UNAVAILABLE;
    (void)snprintf(key, sizeof key, "saga-%d", number);
    int64_t until = check_now_ms() + check__patience(ANSWER_MS);
    while (marty_err_describe(err)->error_class == MARTY_CLASS_RETRY && check_now_ms() < until) {
        err = marty_saga_start(engine, "order", key, marty_text(input), NULL, ret_id, why);
    }
    return err;
}

static void start_orders(marty_saga_engine *engine, char ids[ORDERS][40])
{
    marty_error why = {0};
    for (int i = 0; i < ORDERS; i++) {
        char input[120];
        (void)snprintf(input, sizeof input,
                       "{\"order\":\"saga-%d\",\"card\":\"4000-%04d\",\"act\":\"%s\"}", i, i,
                       i == 7    ? "terminate"
                       : i == 23 ? "kill server"
                       : i == 31 ? "commit"
                                 : "none");
        if (!CHECK_INT(start_order(engine, i, input, ids[i], &why), MARTY_OK)) {
            fprintf(stderr, "%s\n", why.text);
        }
    }
}

/* Number 31 tries to end its transaction each time: it is never done. */
static void check_orders(marty_saga_engine *engine, char ids[ORDERS][40])
{
    marty_error why = {0};
    for (int i = 0; i < ORDERS; i++) {
        marty_saga_status status = 0;
        if (!CHECK_INT(marty_saga_wait(engine, ids[i], 60000, &status, &why), MARTY_OK)) {
            fprintf(stderr, "order %d: %s\n", i, why.text);
        }
        CHECK_INT(status, i % 10 && i != 31 ? MARTY_SAGA_COMPLETED : MARTY_SAGA_COMPENSATED);
    }
    CHECK_INT(ask("SELECT count(*) FROM effect WHERE what = 'charge' AND order_id ~ 'saga-'"),
              ORDERS - ORDERS / 10 - 1);
    CHECK_INT(ask("SELECT count(*) FROM effect WHERE what = 'reserve' AND order_id ~ 'saga-'"),
              ORDERS);
    CHECK_INT(ask("SELECT count(*) FROM effect WHERE what = 'release' AND order_id ~ 'saga-'"),
              ORDERS / 10 + 1);
    CHECK_INT(ask("SELECT count(*) FROM (SELECT FROM effect WHERE order_id ~ 'saga-' GROUP BY "
                  "what, order_id HAVING count(*) > 1) AS twice"),
              0);
}

static void an_order_saga_survives(world *w)
{
    static char ids[ORDERS][40];
    marty_saga_engine *engine = NULL;
    marty_error why = {0};
    marty_saga_options options = {.service = "local"};
    atomic_store(&mishaps, 2);
    if (!CHECK_INT(marty_saga_open(&engine, w->bus, server_url, &options, &why), MARTY_OK) ||
        !CHECK_INT(marty_saga_register(engine, &order_saga, NULL, &why), MARTY_OK)) {
        fprintf(stderr, "%s\n", why.text);
        return;
    }
    start_orders(engine, ids);
    check_orders(engine, ids);
    CHECK_INT(marty_saga_close(engine, 0, &why), MARTY_OK);
}

/* The same server through a proxy. */
static void far_url(char ret[200], const test_proxy *proxy)
{
    const char *host = strstr(server_url, "127.0.0.1:");
    REQUIRE(host);
    const char *rest = host + strcspn(host, "/");
    (void)snprintf(ret, 200, "%.*s127.0.0.1:%d%s", (int)(host - server_url), server_url,
                   test_proxy_port(proxy), rest);
}

static void test_all(world *w, const char *url)
{
    char far[200];
    server_url = url;
    own = PQconnectdb(url);
    REQUIRE(PQstatus(own) == CONNECTION_OK);
    make_tables();
    test_proxy *proxy = test_proxy_start((int)strtol(strstr(url, "127.0.0.1:") + 10, NULL, 10));
    REQUIRE(proxy);
    far_url(far, proxy);
    w->count = count_postgres;
    world_open(w, "memory:");
    payment first = {.bus = w->bus, .run = run_postgres, .act = act}, second = first, third = first;
    second.service = "payment-two";
    third.service = "far";
    payment_start(&first, url);
    payment_start(&second, url);
    payment_start(&third, far);
    world_listen(w);
    participant_cases(w);
    participant_own_cases(w);
    what_cannot_be_committed_is_not_done(w);
    settings_of_an_effect_do_no_harm(w);
    two_that_are_asked_at_once_do_it_once(w);
    an_undo_waits_for_the_forward_that_runs(w);
    a_commit_whose_answer_is_lost_is_looked_up(w, proxy);
    what_a_lost_connection_undid_is_done_again(w);
    local_steps(w, url, run_postgres);
    an_order_saga_survives(w);
    world_close(w);
    test_proxy_stop(proxy);
    PQfinish(own);
}

int main(int count, char **values)
{
    static world w;
    if (count != 2) {
        fprintf(stderr, "usage: participant_postgres URL\n");
        return 2;
    }
    test_all(&w, values[1]);
    return check_result();
}
