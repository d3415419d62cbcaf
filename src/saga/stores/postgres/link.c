/* SPDX-License-Identifier: Apache-2.0
 * Connections of the postgres store: made when needed, waited on until a deadline, closed when
 * lost. libpq is never let block: every wait is a poll with what is left of the time. */
#include "postgres.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

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

static int left_ms(const marty_saga_store *store, int64_t until_ns)
{
    int64_t left_ns = until_ns - store->env.monotonic_ns(store->env.user);
    return left_ns <= 0 ? 0 : left_ns > INT64_C(60000000000) ? 60000 : (int)(left_ns / 1000000) + 1;
}

static bool wait_for(marty_saga_store *store, PGconn *connection, short events, int64_t until_ns)
{
    struct pollfd one = {.fd = PQsocket(connection), .events = events};
    int found = 0;
    do {
        int ms = left_ms(store, until_ns);
        found = ms ? poll(&one, 1, ms) : 0;
    } while (found < 0 && errno == EINTR);
    return found > 0;
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
    return marty_error_set(why, err, "%s postgres: %.300s", doing, text);
}

/* "already exists, skipping": not for stderr. */
static void on_notice(void *user, const char *text)
{
    (void)user;
    (void)text;
}

static PGconn *connect_now(marty_saga_store *store, int64_t until_ns, marty_error *why)
{
    PGconn *connection = PQconnectStart(store->url);
    PostgresPollingStatusType state = PGRES_POLLING_WRITING;
    while (connection && PQstatus(connection) != CONNECTION_BAD && state != PGRES_POLLING_OK &&
           state != PGRES_POLLING_FAILED) {
        short events = state == PGRES_POLLING_READING ? POLLIN : POLLOUT;
        if (!wait_for(store, connection, events, until_ns)) {
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

PGconn *pg_enter(marty_saga_store *store, pg_link *link, int64_t until_ns, marty_error *why)
{
    (void)pthread_mutex_lock(&link->mutex);
    if (link->connection && PQstatus(link->connection) != CONNECTION_OK) {
        PQfinish(link->connection);
        link->connection = NULL;
    }
    if (!link->connection) {
        link->connection = connect_now(store, until_ns, why);
    }
    if (!link->connection) {
        (void)pthread_mutex_unlock(&link->mutex);
    }
    return link->connection;
}

void pg_leave(pg_link *link, bool broken)
{
    if (broken) {
        PQfinish(link->connection);
        link->connection = NULL;
    }
    (void)pthread_mutex_unlock(&link->mutex);
}

PGresult *pg_next(marty_saga_store *store, PGconn *connection, int64_t until_ns, bool *ret_lost)
{
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
        if (!wait_for(store, connection, events, until_ns) || !PQconsumeInput(connection)) {
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
    return marty_error_set(why, err, "%s the sagas in postgres: %.300s", doing,
                           text && *text ? text : "the connection is lost");
}

PGresult *pg_ask(marty_saga_store *store, pg_link *link, const char *sql,
                 const pg_parameters *parameters, int64_t until_ns, marty_error *why)
{
    static const pg_parameters none;
    const pg_parameters *with = parameters ? parameters : &none;
    PGconn *connection = pg_enter(store, link, until_ns, why);
    if (!connection) {
        return NULL;
    }
    bool lost = !PQsendQueryParams(connection, sql, with->count, NULL, with->values, with->lengths,
                                   with->formats, 0);
    PGresult *kept = NULL, *result = NULL;
    while (!lost && (result = pg_next(store, connection, until_ns, &lost)) != NULL) {
        PQclear(kept);
        kept = result;
    }
    ExecStatusType status = kept ? PQresultStatus(kept) : PGRES_FATAL_ERROR;
    bool fine = !lost && (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK);
    if (!fine) {
        (void)pg_error(connection, lost ? NULL : kept, "asking for", why);
        PQclear(kept);
        kept = NULL;
    }
    pg_leave(link, lost);
    return kept;
}

const char *pg_get_text(const PGresult *result, int row, int column)
{
    return PQgetvalue(result, row, column);
}

int64_t pg_get_number(const PGresult *result, int row, int column)
{
    return strtoll(PQgetvalue(result, row, column), NULL, 10);
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
    return (marty_bytes){bytes, bytes ? size : 0};
}

void pg_get_facts(const PGresult *result, int row, marty_saga_facts *ret_facts)
{
    *ret_facts = (marty_saga_facts){
        .id = pg_get_text(result, row, 0),
        .name = pg_get_text(result, row, 1),
        .key = pg_get_text(result, row, 2),
        .definition = pg_get_text(result, row, 3),
        .stuck = pg_get_text(result, row, 4),
        .status = (marty_saga_status)pg_get_number(result, row, 5),
        .paused = pg_get_number(result, row, 6) != 0,
        .shard = (uint32_t)pg_get_number(result, row, 7),
        .version = (uint64_t)pg_get_number(result, row, 8),
        .started_us = pg_get_number(result, row, 9),
        .changed_us = pg_get_number(result, row, 10),
        .due_us = pg_get_number(result, row, 11),
        .unsent = pg_get_number(result, row, 12) != 0,
    };
}
