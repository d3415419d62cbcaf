/* SPDX-License-Identifier: Apache-2.0
 * One suite for participants: this library's on each of its databases, and a program in another
 * language over a real nats-server.
 *     participant sqlite | program INTERPRETER SCRIPT */
#include "participant_effects.h"

#include "support/process.h"
#include "support/server.h"

#include <signal.h>
#include <sqlite3.h>
#include <unistd.h>

static char folder[] = "/tmp/marty-participant-XXXXXX";
static world w;

/* ---- SQLite: ours, and the program's */
static bool run_sqlite(void *transaction, const char *sql)
{
    return sqlite3_exec(transaction, sql, NULL, NULL, NULL) == SQLITE_OK;
}

static int count_sqlite(world *of, const char *what, const char *order)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *row = NULL;
    int value = -1;
    if (sqlite3_open_v2(of->database, &db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK &&
        sqlite3_busy_timeout(db, 5000) == SQLITE_OK &&
        sqlite3_prepare_v2(db, "SELECT count(*) FROM effect WHERE what = ?1 AND order_id = ?2", -1,
                           &row, NULL) == SQLITE_OK &&
        sqlite3_bind_text(row, 1, what, -1, SQLITE_STATIC) == SQLITE_OK &&
        sqlite3_bind_text(row, 2, order, -1, SQLITE_STATIC) == SQLITE_OK &&
        sqlite3_step(row) == SQLITE_ROW) {
        value = sqlite3_column_int(row, 0);
    }
    (void)sqlite3_finalize(row);
    (void)sqlite3_close(db);
    return value;
}

static void make_table(void)
{
    sqlite3 *db = NULL;
    REQUIRE(sqlite3_open(w.database, &db) == SQLITE_OK);
    REQUIRE(run_sqlite(db, "PRAGMA journal_mode=WAL; CREATE TABLE effect (what TEXT, order_id "
                           "TEXT)"));
    (void)sqlite3_close(db);
}

static void test_sqlite(void)
{
    char url[450];
    payment p = {.run = run_sqlite};
    (void)snprintf(w.database, sizeof w.database, "%s/payment.db", folder);
    (void)snprintf(url, sizeof url, "sqlite:%s", w.database);
    w.count = count_sqlite;
    make_table();
    world_open(&w, "memory:");
    p.bus = w.bus;
    payment_start(&p, url);
    world_listen(&w);
    participant_cases(&w);
    participant_own_cases(&w);
    local_steps(&w, url, run_sqlite);
    world_close(&w);
}

/* ---- a program */
static struct {
    test_process process;
    const char *interpreter, *script;
    char url[256], log[400];
} program;

static void start_program(void)
{
    const char *argv[] = {program.interpreter, program.script, program.url, w.database, NULL};
    REQUIRE(test_process_start(&program.process, argv, NULL, program.log));
}

static void freeze_program(world *of, bool still)
{
    (void)of;
    if (still) {
        test_process_freeze(&program.process);
    } else {
        test_process_signal(&program.process, SIGCONT);
    }
}

static void restart_program(world *of)
{
    (void)of;
    test_process_kill(&program.process);
    start_program();
}

static void print_log(void)
{
    FILE *file = fopen(program.log, "r");
    char line[500];
    while (file && fgets(line, sizeof line, file)) {
        fprintf(stderr, "    program: %s", line);
    }
    if (file) {
        (void)fclose(file);
    }
}

static int test_program(const char *interpreter, const char *script)
{
    test_server server = {.port = 0};
    test_server_options options = {.kind = TEST_NATS_NEW};
    char path[512], why[300];
    if (access(interpreter, X_OK) != 0) {
        fprintf(stderr, "skipped: %s is not there; make setup makes it\n", interpreter);
        return 77;
    }
    if (!test_server_find(TEST_NATS_NEW, path, sizeof path, why, sizeof why)) {
        fprintf(stderr, "skipped: %s\n", why);
        return 77;
    }
    if (!CHECK(test_server_start(&server, &options, why, sizeof why))) {
        fprintf(stderr, "%s\n", why);
        return 1;
    }
    program.interpreter = interpreter;
    program.script = script;
    test_server_url(&server, program.url, sizeof program.url);
    (void)snprintf(program.log, sizeof program.log, "%s/program.log", folder);
    (void)snprintf(w.database, sizeof w.database, "%s/payment.db", folder);
    w.count = count_sqlite;
    w.freeze = freeze_program;
    w.restart = restart_program;
    world_open(&w, program.url);
    world_listen(&w);
    start_program();
    participant_cases(&w);
    CHECK(
        test_process_alive(&program.process)); /* the one started last: it never ended by itself */
    test_process_signal(&program.process, SIGTERM);
    CHECK(test_process_join(&program.process, ANSWER_MS));
    int result = check_result();
    if (result) {
        print_log();
    }
    world_close(&w);
    test_server_free(&server);
    return result;
}

int main(int count, char **values)
{
    int result = 2;
    REQUIRE(mkdtemp(folder));
    if (count == 2 && strcmp(values[1], "sqlite") == 0) {
        test_sqlite();
        result = check_result();
    } else if (count == 4 && strcmp(values[1], "program") == 0) {
        result = test_program(values[2], values[3]);
    } else {
        fprintf(stderr, "usage: participant sqlite | program INTERPRETER SCRIPT\n");
    }
    test_folder_remove(folder);
    return result;
}
