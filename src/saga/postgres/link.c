/* SPDX-License-Identifier: Apache-2.0
 * Connections to PostgreSQL: see link.h. */
#include "link.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { HOST_MS = 2000 }; /* for one host, while there are others */

void pg_text(pg_parameters *to, const char *text)
{
    to->values[to->count] = text;
    to->lengths[to->count] = 0;
    to->formats[to->count++] = 0;
}

void pg_number(pg_parameters *to, int64_t number)
{
    char *text = to->space[to->count];
    (void)snprintf(text, sizeof to->space[0], "%" PRId64, number);
    pg_text(to, text);
}

void pg_bytes(pg_parameters *to, marty_bytes bytes)
{
    to->values[to->count] = bytes.size ? bytes.data : "";
    to->lengths[to->count] = (int)bytes.size;
    to->formats[to->count++] = 1;
}

void pg_shards(char ret[PG_SHARDS_BYTES], const marty_saga_shards *shards)
{
    char *at = ret;
    *at++ = '{';
    for (int i = 0; i < MARTY_SAGA_SHARDS; i++) {
        if ((shards->bits[i / 64] >> (i % 64)) & 1) {
            at += snprintf(at, 5, "%s%d", at[-1] == '{' ? "" : ",", i);
        }
    }
    (void)snprintf(at, 2, "}");
}

static int left_ms(const pg_link *link, int64_t until_ns)
{
    int64_t left_ns = until_ns - link->env->monotonic_ns(link->env->user);
    return left_ns <= 0 ? 0 : left_ns > INT64_C(60000000000) ? 60000 : (int)(left_ns / 1000000) + 1;
}

static bool wait_for(const pg_link *link, PGconn *connection, short events, int64_t until_ns)
{
    struct pollfd one = {.fd = PQsocket(connection), .events = events};
    int found = 0;
    do {
        int ms = left_ms(link, until_ns);
        found = ms ? poll(&one, 1, ms) : 0;
    } while (found < 0 && errno == EINTR);
    return found > 0;
}

/* What libpq says has several lines, and an end of line; a reason is one line. */
static marty_err say(marty_error *why, marty_err err, const char *doing, const char *text)
{
    char line[300];
    size_t size = 0;
    for (const char *at = text; *at && size + 1 < sizeof line; at++) {
        bool blank = strchr(" \t\r\n", *at) != NULL;
        if (!blank || (size && line[size - 1] != ' ')) {
            line[size++] = blank ? ' ' : *at;
        }
    }
    size -= size && line[size - 1] == ' ';
    return marty_error_set(why, err, "%s postgres: %.*s", doing, (int)size, line);
}

static marty_err refused(PGconn *connection, const char *doing, marty_error *why)
{
    const char *text = connection ? PQerrorMessage(connection) : "out of memory";
    marty_err err =
        strstr(text, "password") || strstr(text, "authentication") || strstr(text, "permission")
            ? MARTY_E_DENIED
        : strstr(text, "certificate") || strstr(text, "SSL") ? MARTY_E_TLS
        : strstr(text, "does not exist")                     ? MARTY_E_CONFIG
                                                             : MARTY_E_UNAVAILABLE;
    return say(why, err, doing, text);
}

/* "already exists, skipping": not for stderr. */
static void on_notice(void *user, const char *text)
{
    (void)user;
    (void)text;
}

static PGconn *connect_to(const pg_link *link, const char *url, int64_t until_ns, marty_error *why)
{
    PGconn *connection = PQconnectStart(url);
    PostgresPollingStatusType state = PGRES_POLLING_WRITING;
    while (connection && PQstatus(connection) != CONNECTION_BAD && state != PGRES_POLLING_OK &&
           state != PGRES_POLLING_FAILED) {
        short events = state == PGRES_POLLING_READING ? POLLIN : POLLOUT;
        if (!wait_for(link, connection, events, until_ns)) {
            (void)marty_error_set(why, MARTY_E_TIMEOUT, "connecting to postgres takes too long");
            PQfinish(connection);
            return NULL;
        }
        state = PQconnectPoll(connection);
    }
    if (!connection || PQstatus(connection) != CONNECTION_OK) {
        (void)refused(connection, "connecting to", why);
        PQfinish(connection);
        return NULL;
    }
    (void)PQsetnonblocking(connection, 1);
    (void)PQsetNoticeProcessor(connection, on_notice, NULL);
    return connection;
}

static const char *next_host(const pg_link *link, const char *url)
{
    url += strlen(url) + 1;
    return *url ? url : link->url;
}

/* Each host in turn, from the one that was good before. One that says nothing (its machine is gone)
 * must leave time for the others. */
static PGconn *connect_now(pg_link *link, int64_t until_ns, marty_error *why)
{
    PGconn *connection = NULL;
    const char *first = link->good ? link->good : link->url, *url = first;
    do {
        const char *next = next_host(link, url);
        int64_t host_ns = link->env->monotonic_ns(link->env->user) + HOST_MS * INT64_C(1000000);
        bool all = next == first || host_ns > until_ns;
        connection = connect_to(link, url, all ? until_ns : host_ns, why);
        link->good = connection ? url : link->good;
        url = next;
    } while (!connection && url != first);
    return connection;
}

void pg_link_init(pg_link *link, const char *url, const marty_env *env)
{
    (void)marty__gate_init(&link->gate);
    link->url = url;
    link->env = env;
}

void pg_link_free(pg_link *link)
{
    PQfinish(link->connection);
    marty__gate_free(&link->gate);
}

PGconn *pg_enter(pg_link *link, int64_t until_ns, marty_error *why)
{
    if (!marty__gate_enter(&link->gate, until_ns)) {
        (void)marty_error_set(why, MARTY_E_TIMEOUT,
                              "nothing was done: another call has had postgres all the time, "
                              "perhaps a local step that does not return");
        return NULL;
    }
    if (link->connection && PQstatus(link->connection) != CONNECTION_OK) {
        PQfinish(link->connection);
        link->connection = NULL;
    }
    if (!link->connection) {
        link->prepared = false;
        link->connection = connect_now(link, until_ns, why);
    }
    if (!link->connection) {
        pg_leave(link, false);
        return NULL;
    }
    return link->connection;
}

void pg_leave(pg_link *link, bool broken)
{
    if (broken) {
        PQfinish(link->connection);
        link->connection = NULL;
    }
    marty__gate_leave(&link->gate);
}

PGresult *pg_next(pg_link *link, int64_t until_ns, bool *ret_lost)
{
    PGconn *connection = link->connection;
    for (;;) {
        int unsent = PQflush(connection);
        if (unsent < 0) {
            *ret_lost = true;
            return NULL;
        }
        if (!unsent && !PQisBusy(connection)) {
            return PQgetResult(connection);
        }
        short events = unsent ? POLLIN | POLLOUT : POLLIN;
        if (!wait_for(link, connection, events, until_ns) || !PQconsumeInput(connection)) {
            *ret_lost = true;
            return NULL;
        }
    }
}

marty_err pg_error(PGconn *connection, const PGresult *result, const char *doing, marty_error *why)
{
    const char *state = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
    const char *text = result ? PQresultErrorMessage(result) : PQerrorMessage(connection);
    static const struct {
        const char *state;
        marty_err err;
    } kinds[] = {
        {"40", MARTY_E_UNAVAILABLE}, {"55", MARTY_E_UNAVAILABLE}, {"57", MARTY_E_UNAVAILABLE},
        {"08", MARTY_E_UNAVAILABLE}, {"25", MARTY_E_UNAVAILABLE}, {"53", MARTY_E_STORAGE},
        {"58", MARTY_E_STORAGE},     {"28", MARTY_E_DENIED},      {"42501", MARTY_E_DENIED}};
    marty_err err = state ? MARTY_E_INTERNAL : MARTY_E_UNAVAILABLE;
    for (size_t i = 0; state && i < sizeof kinds / sizeof *kinds; i++) {
        if (strncmp(state, kinds[i].state, strlen(kinds[i].state)) == 0) {
            err = kinds[i].err;
        }
    }
    return say(why, err, doing,
               text && *text ? text : "no answer in time, or the connection is lost");
}

/* The last result of what was sent. */
static PGresult *last_result(pg_link *link, int64_t until_ns, bool *ret_lost)
{
    PGresult *kept = NULL, *result = NULL;
    while (!*ret_lost && (result = pg_next(link, until_ns, ret_lost)) != NULL) {
        PQclear(kept);
        kept = result;
    }
    return kept;
}

/* The result of a statement on a link that is taken, which is given back. */
static PGresult *take_result(pg_link *link, bool sent, int64_t until_ns, marty_error *why)
{
    bool lost = !sent;
    PGconn *connection = link->connection;
    PGresult *kept = last_result(link, until_ns, &lost);
    ExecStatusType status = kept ? PQresultStatus(kept) : PGRES_FATAL_ERROR;
    bool fine = !lost && (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK);
    if (!fine) {
        (void)pg_error(connection, lost ? NULL : kept, "asking", why);
        PQclear(kept);
        kept = NULL;
    }
    pg_leave(link, lost);
    return kept;
}

static PGresult *ask(pg_link *link, const char *sql, const pg_parameters *with, int binary,
                     int64_t until_ns, marty_error *why)
{
    PGconn *connection = pg_enter(link, until_ns, why);
    if (!connection) {
        return NULL;
    }
    bool sent = PQsendQueryParams(connection, sql, with->count, NULL, with->values, with->lengths,
                                  with->formats, binary);
    return take_result(link, sent, until_ns, why);
}

PGresult *pg_ask(pg_link *link, const char *sql, const pg_parameters *parameters, int64_t until_ns,
                 marty_error *why)
{
    static const pg_parameters none;
    return ask(link, sql, parameters ? parameters : &none, 0, until_ns, why);
}

PGresult *pg_ask_binary(pg_link *link, const char *sql, const pg_parameters *with, int64_t until_ns,
                        marty_error *why)
{
    return ask(link, sql, with, 1, until_ns, why);
}

PGresult *pg_ask_prepared(pg_link *link, const char *name, const char *sql,
                          const pg_parameters *with, int64_t until_ns, marty_error *why)
{
    PGconn *connection = pg_enter(link, until_ns, why);
    if (!connection) {
        return NULL;
    }
    if (!link->prepared) {
        bool lost = !PQsendPrepare(connection, name, sql, 0, NULL);
        PGresult *result = last_result(link, until_ns, &lost);
        link->prepared = !lost && PQresultStatus(result) == PGRES_COMMAND_OK;
        if (!link->prepared) {
            (void)pg_error(connection, lost ? NULL : result, "asking", why);
            PQclear(result);
            pg_leave(link, lost);
            return NULL;
        }
        PQclear(result);
    }
    bool sent = PQsendQueryPrepared(connection, name, with->count, with->values, with->lengths,
                                    with->formats, 1);
    return take_result(link, sent, until_ns, why);
}

marty_err pg_run(pg_link *link, const char *sql, int64_t until_ns, bool *ret_lost, marty_error *why)
{
    marty_err err = MARTY_OK;
    PGresult *result = NULL;
    *ret_lost = !PQsendQuery(link->connection, sql);
    while (!*ret_lost && (result = pg_next(link, until_ns, ret_lost)) != NULL) {
        if (PQresultStatus(result) == PGRES_FATAL_ERROR && !err) {
            err = pg_error(link->connection, result, "asking", why);
        }
        PQclear(result);
    }
    return *ret_lost && !err ? pg_error(link->connection, NULL, "asking", why) : err;
}

marty_err pg_make(pg_link *link, const char *const statements[], int64_t until_ns, marty_error *why)
{
    PGconn *connection = pg_enter(link, until_ns, why);
    if (!connection) {
        return why ? why->code : MARTY_E_UNAVAILABLE;
    }
    bool lost = false;
    marty_err err =
        pg_run(link, "BEGIN; SELECT pg_advisory_xact_lock(7310579)", until_ns, &lost, why);
    for (const char *const *sql = statements; *sql && !err; sql++) {
        err = pg_run(link, *sql, until_ns, &lost, why);
    }
    err = err ? err : pg_run(link, "COMMIT", until_ns, &lost, why);
    pg_leave(link, lost || err); /* with the transaction that it is in */
    return err;
}

const char *pg_get_text(const PGresult *result, int row, int column)
{
    return PQgetvalue(result, row, column);
}

/* As text, or in the binary form: its bytes, the first first. */
int64_t pg_get_number(const PGresult *result, int row, int column)
{
    const char *value = PQgetvalue(result, row, column);
    if (!PQfformat(result, column)) {
        return strtoll(value, NULL, 10);
    }
    uint64_t number = 0;
    for (int i = 0; i < PQgetlength(result, row, column); i++) {
        number = number << 8 | (unsigned char)value[i];
    }
    return (int64_t)number;
}

static int digit(char c)
{
    return c <= '9' ? c - '0' : c - 'a' + 10;
}

/* bytea as text is \x and two digits a byte. */
marty_bytes pg_get_bytes(const PGresult *result, int row, int column)
{
    const char *text = PQgetvalue(result, row, column);
    size_t size = (size_t)PQgetlength(result, row, column);
    size = size >= 2 ? (size - 2) / 2 : 0;
    char *bytes = marty_alloc(size + 1);
    for (size_t i = 0; bytes && i < size; i++) {
        bytes[i] = (char)(digit(text[2 + 2 * i]) << 4 | digit(text[3 + 2 * i]));
    }
    if (bytes) {
        bytes[size] = '\0'; /* for those that are text */
    }
    return (marty_bytes){bytes, bytes ? size : 0};
}
