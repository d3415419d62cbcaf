/* SPDX-License-Identifier: Apache-2.0
 * See postgres.h. Each server is a child of ours, as a user without rights when we are root. What
 * differs between primary and standby is a file of settings that is written anew, and the file
 * that says that it is a standby. */
#include "postgres.h"

#include "postgres_tools.h"
#include "server.h"
#include "wait.h"

#include <dirent.h>
#include <fcntl.h>
#include <libpq-fe.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { READY_MS = 30000, COPY_MS = 60000 };

static bool fail(char *ret_why, size_t size, const char *what, const char *where)
{
    snprintf(ret_why, size, "%s; see the logs in %s", what, where);
    return false;
}

/* ---- one server */
static void data_of(const test_postgres *pair, int which, char ret[600])
{
    snprintf(ret, 600, "%s/%d", pair->folder, which);
}

static bool write_file(const test_postgres *pair, int which, const char *name, const char *text)
{
    char data[600], path[700];
    data_of(pair, which, data);
    snprintf(path, sizeof path, "%s/%s", data, name);
    FILE *file = fopen(path, "w");
    struct stat owner;
    bool fine = file && fputs(text, file) >= 0 && stat(data, &owner) == 0 &&
                fchown(fileno(file), owner.st_uid, owner.st_gid) == 0;
    return file && fclose(file) == 0 && fine;
}

/* Who is waited for at a commit: any standby, or none. */
static bool write_standbys(test_postgres *pair, int which, bool synchronous)
{
    bool fine = write_file(pair, which, "postgresql.auto.conf",
                           synchronous ? "synchronous_standby_names = '*'\n" : "");
    test_process_signal(&pair->process[which], SIGHUP);
    return fine;
}

static PGconn *connect_to(const test_postgres *pair, int which)
{
    char text[160];
    snprintf(text, sizeof text,
             "host=127.0.0.1 port=%d user=postgres dbname=postgres connect_timeout=2",
             pair->port[which]);
    PGconn *connection = PQconnectdb(text);
    if (PQstatus(connection) != CONNECTION_OK) {
        PQfinish(connection);
        return NULL;
    }
    return connection;
}

/* Whether it runs, and its first column, if there is one, is true. */
static bool ask(const test_postgres *pair, int which, const char *sql)
{
    PGconn *connection = connect_to(pair, which);
    PGresult *result = connection ? PQexec(connection, sql) : NULL;
    ExecStatusType status = PQresultStatus(result);
    bool fine =
        status == PGRES_COMMAND_OK || (status == PGRES_TUPLES_OK && PQntuples(result) == 1 &&
                                       strcmp(PQgetvalue(result, 0, 0), "f") != 0);
    PQclear(result);
    PQfinish(connection);
    return fine;
}

typedef struct asked {
    test_postgres *pair;
    int which;
    const char *sql;
} asked;

static bool is_so(void *user)
{
    const asked *of = user;
    return ask(of->pair, of->which, of->sql) || !test_process_alive(&of->pair->process[of->which]);
}

static bool wait_for(test_postgres *pair, int which, const char *sql)
{
    asked of = {pair, which, sql};
    return test_wait_for(is_so, &of, READY_MS) && test_process_alive(&pair->process[which]);
}

static bool launch(test_postgres *pair, int which)
{
    const char *argv[TEST_POSTGRES_ARGUMENTS] = {NULL};
    char program[600], data[600], port[16], from[160], log[600];
    size_t count = test_postgres_user(argv);
    data_of(pair, which, data);
    snprintf(program, sizeof program, "%s/postgres", pair->bin);
    snprintf(log, sizeof log, "%s/%d.log", pair->folder, which);
    snprintf(port, sizeof port, "%d", pair->port[which]);
    snprintf(from, sizeof from, "primary_conninfo=host=127.0.0.1 port=%d user=postgres",
             pair->port[1 - which]);
    const char *const rest[] = {program, "-D", data, "-p", port, "-c", from};
    memcpy(&argv[count], rest, sizeof rest);
    return test_process_start(&pair->process[which], argv, NULL, log) &&
           wait_for(pair, which, "SELECT true");
}

/* ---- the pair */
/* Every commit from now on is on both; and so is all from before, once one such is made. */
static bool synchronise(test_postgres *pair)
{
    int primary = pair->primary;
    return wait_for(pair, primary,
                    "SELECT count(*) > 0 FROM pg_stat_replication WHERE state = 'streaming'") &&
           write_standbys(pair, primary, true) &&
           wait_for(pair, primary,
                    "SELECT count(*) > 0 FROM pg_stat_replication WHERE sync_state = 'sync'") &&
           wait_for(pair, primary,
                    "SELECT pg_logical_emit_message(true, 'test', 'both') IS NOT NULL");
}

/* Of both. The log is kept for pg_rewind, also by the server that it runs for the recovery. */
static const char settings[] = "listen_addresses = '127.0.0.1'\nunix_socket_directories = ''\n"
                               "wal_keep_size = 512MB\nwal_retrieve_retry_interval = 100ms\n";

static bool make_pair(test_postgres *pair)
{
    char first[600], second[600];
    data_of(pair, 0, first);
    data_of(pair, 1, second);
    const char *const init[] = {"initdb", "-D", first, "-A",   "trust",       "-U", "postgres",
                                "-N",     "-k", "-E",  "UTF8", "--no-locale", NULL};
    const char *argv[TEST_POSTGRES_ARGUMENTS] = {NULL};
    size_t count = test_postgres_user(argv);
    const char *const copy[] = {"cp", "-r", first, second, NULL};
    memcpy(&argv[count], copy, sizeof copy);
    return test_postgres_tool(pair, init) && write_file(pair, 0, "postgresql.conf", settings) &&
           test_process_run(argv, NULL, COPY_MS) == 0 &&
           write_file(pair, 1, "standby.signal", "") && launch(pair, 0) && launch(pair, 1) &&
           synchronise(pair);
}

bool test_postgres_start(test_postgres *pair, bool *ret_missing, char *ret_why, size_t why_size)
{
    *pair = (test_postgres){.primary = 0};
    *ret_missing = !test_postgres_find(pair);
    if (*ret_missing) {
        snprintf(ret_why, why_size, "no PostgreSQL server; `make setup` gets one");
        return false;
    }
    pair->standby = TEST_STANDBY_FOLLOWS;
    pair->port[0] = test_free_port();
    pair->port[1] = test_free_port();
    pthread_mutex_init(&pair->mutex, NULL);
    pthread_cond_init(&pair->gone, NULL);
    if (!test_postgres_folder(pair) || !make_pair(pair)) {
        return fail(ret_why, why_size, "PostgreSQL does not start", pair->folder);
    }
    return true;
}

void test_postgres_url(const test_postgres *pair, char *ret_url, size_t size)
{
    snprintf(ret_url, size, "postgres://postgres@127.0.0.1:%d,127.0.0.1:%d/postgres", pair->port[0],
             pair->port[1]);
}

/* A process whose parent is that one, and that has not ended: its fourth and third field, behind a
 * name in brackets. */
static bool is_child(const char *pid, pid_t parent)
{
    char path[300], text[512];
    snprintf(path, sizeof path, "/proc/%.20s/stat", pid);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = file >= 0 ? read(file, text, sizeof text - 1) : -1;
    if (file >= 0) {
        close(file);
    }
    text[size > 0 ? size : 0] = '\0';
    const char *end = strrchr(text, ')');
    return end && strlen(end) > 4 && end[2] != 'Z' && strtol(end + 4, NULL, 10) == parent;
}

/* Whether the children have all ended; those that have not are killed. */
static bool have_ended(void *user)
{
    const test_process *process = user;
    bool ended = true;
    DIR *entries = opendir("/proc");
    for (struct dirent *entry; entries && (entry = readdir(entries));) {
        if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' &&
            is_child(entry->d_name, process->pid)) {
            kill((pid_t)strtol(entry->d_name, NULL, 10), SIGKILL);
            ended = false;
        }
    }
    if (entries) {
        closedir(entries);
    }
    return ended;
}

void test_postgres_kill(test_postgres *pair)
{
    test_process *process = &pair->process[pair->primary];
    if (!test_process_alive(process)) {
        return;
    }
    test_process_freeze(process); /* no new children; and the old ones are not told */
    /* One that still ends, in a write to a slow disk perhaps, would keep its server from starting
     * again: the memory that they share is in use. */
    (void)test_wait_for(have_ended, process, READY_MS);
    test_process_kill(process);
    atomic_store(&pair->standby, TEST_STANDBY_NONE);
}

bool test_postgres_promote(test_postgres *pair, char *ret_why, size_t why_size)
{
    int standby = 1 - pair->primary;
    char data[600];
    data_of(pair, standby, data);
    const char *const promote[] = {"pg_ctl", "-D", data, "promote", "-w", NULL};
    if (!write_standbys(pair, standby, false) || !test_postgres_tool(pair, promote)) {
        return fail(ret_why, why_size, "the standby is not promoted", pair->folder);
    }
    pair->primary = standby;
    return true;
}

static bool rejoin(test_postgres *pair, int old)
{
    char data[600], source[160];
    data_of(pair, old, data);
    snprintf(source, sizeof source,
             "--source-server=host=127.0.0.1 port=%d user=postgres dbname=postgres",
             pair->port[1 - old]);
    const char *const rewind[] = {"pg_rewind", "-D", data, source, NULL};
    /* The checkpoint: else pg_rewind does not see that the promoted one is ahead. */
    return wait_for(pair, 1 - old, "CHECKPOINT") && test_postgres_tool(pair, rewind) &&
           write_file(pair, old, "standby.signal", "") && launch(pair, old) && synchronise(pair);
}

static void *help(void *user)
{
    test_postgres *pair = user;
    int old = 1 - pair->primary;
    atomic_store(&pair->standby, rejoin(pair, old) ? TEST_STANDBY_FOLLOWS : TEST_STANDBY_FAILED);
    pthread_mutex_lock(&pair->mutex);
    while (!pair->let_go[old]) {
        pthread_cond_wait(&pair->gone, &pair->mutex);
    }
    pthread_mutex_unlock(&pair->mutex);
    return NULL;
}

/* Its server is dead, or to die. */
static void dismiss(test_postgres *pair, int which)
{
    if (pair->has_helper[which]) {
        pthread_mutex_lock(&pair->mutex);
        pair->let_go[which] = true;
        pthread_cond_broadcast(&pair->gone);
        pthread_mutex_unlock(&pair->mutex);
        pthread_join(pair->helper[which], NULL);
    }
    pair->has_helper[which] = pair->let_go[which] = false;
}

bool test_postgres_restart(test_postgres *pair, char *ret_why, size_t why_size)
{
    dismiss(pair, pair->primary);
    bool fine = launch(pair, pair->primary);
    atomic_store(&pair->standby, TEST_STANDBY_FOLLOWS); /* it waits for the other one as before */
    return fine || fail(ret_why, why_size, "the primary does not start again", pair->folder);
}

bool test_postgres_rejoin(test_postgres *pair, char *ret_why, size_t why_size)
{
    int old = 1 - pair->primary;
    dismiss(pair, old);
    atomic_store(&pair->standby, TEST_STANDBY_JOINS);
    pair->has_helper[old] = pthread_create(&pair->helper[old], NULL, help, pair) == 0;
    return pair->has_helper[old] ||
           fail(ret_why, why_size, "no thread for the old primary", pair->folder);
}

void test_postgres_free(test_postgres *pair)
{
    if (!pair->folder[0]) {
        return;
    }
    for (int i = 0; i < 2; i++) {
        dismiss(pair, i);
        test_process_kill(&pair->process[i]);
    }
    test_folder_remove(pair->folder);
    pthread_cond_destroy(&pair->gone);
    pthread_mutex_destroy(&pair->mutex);
    pair->folder[0] = '\0';
}
