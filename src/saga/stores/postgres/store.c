/* SPDX-License-Identifier: Apache-2.0
 * The postgres store: opening, closing, leases, definitions, and its table of calls. */
#include "postgres.h"

#include "saga/postgres/guard.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { IDLE_MS = 15000 }; /* one that stands still holds no rows longer */

static marty_err code_of(const marty_error *why)
{
    return why ? why->code : MARTY_E_UNAVAILABLE;
}

static marty_err keep_schema(marty_saga_store *store, const char *schema, const char *path,
                             marty_error *why)
{
    size_t size = strlen(path) + 1;
    (void)snprintf(store->schema, sizeof store->schema, "%s", schema);
    store->search_path = marty_alloc(size);
    if (!store->search_path) {
        return marty_error_set(why, MARTY_E_NO_MEMORY, "opening a store");
    }
    memcpy(store->search_path, path, size);
    return MARTY_OK;
}

static marty_err describe(marty_saga_store *store, int64_t until_ns, marty_error *why)
{
    PGresult *result =
        pg_ask(&store->reader,
               "SELECT current_setting('fsync'), current_setting('synchronous_commit'), "
               "current_setting('synchronous_standby_names'), "
               "current_setting('server_version'), quote_ident(current_schema()), "
               "current_setting('search_path')",
               NULL, until_ns, why);
    if (!result) {
        return code_of(why);
    }
    marty_err err = keep_schema(store, pg_get_text(result, 0, 4), pg_get_text(result, 0, 5), why);
    const char *fsync = pg_get_text(result, 0, 0), *commit = pg_get_text(result, 0, 1);
    const char *standbys = pg_get_text(result, 0, 2);
    bool synced = strcmp(fsync, "on") == 0 && strcmp(commit, "off") != 0;
    (void)snprintf(store->line, sizeof store->line,
                   "postgres %.40s: fsync=%.8s, synchronous_commit=%.16s, standbys %.60s; all "
                   "transitions that wait are one commit%s",
                   pg_get_text(result, 0, 3), fsync, commit, *standbys ? standbys : "none",
                   !synced      ? "; UNSAFE: the last commits are lost when the server dies"
                   : !*standbys ? "; the last commits are lost with the server's disk"
                                : "");
    PQclear(result);
    return err;
}

void pg_close(marty_saga_store *store)
{
    pg_link_free(&store->writer);
    pg_link_free(&store->reader);
    marty_free(store->search_path);
    marty_free(store->url);
    marty_free(store);
}

static void make_token(marty_saga_store *store)
{
    unsigned char bytes[16];
    store->env.random(store->env.user, bytes, sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i++) {
        (void)snprintf(store->token + 2 * i, 3, "%02x", bytes[i]);
    }
}

/* libpq gets the URL without the key that is ours. */
static marty_err read_url(marty_saga_store *store, const marty_url *url, bool *ret_there,
                          marty_error *why)
{
    const char *create = marty_url_get(url, "create");
    marty_header *parameters = marty_alloc_zero(url->parameter_count + 1, sizeof *parameters);
    marty_url rest = *url;
    rest.parameters = parameters;
    rest.parameter_count = 0;
    for (size_t i = 0; parameters && i < url->parameter_count; i++) {
        if (strcmp(url->parameters[i].name, "create") != 0) {
            parameters[rest.parameter_count++] = url->parameters[i];
        }
    }
    store->url = parameters ? pg_url(&rest, IDLE_MS) : NULL;
    marty_free(parameters);
    *ret_there = create && strcmp(create, "no") == 0;
    if (create && !*ret_there && strcmp(create, "yes") != 0) {
        return marty_error_set(why, MARTY_E_CONFIG, "%s: create=%.16s: expected yes or no",
                               url->redacted, create);
    }
    return store->url ? MARTY_OK : marty_error_set(why, MARTY_E_NO_MEMORY, "opening a store");
}

/* A name that was mistyped must not get tables. */
static marty_err check_there(marty_saga_store *store, const marty_url *url, int64_t until_ns,
                             marty_error *why)
{
    PGresult *result = pg_ask(&store->writer, "SELECT to_regclass('marty_saga_writer') IS NULL",
                              NULL, until_ns, why);
    if (!result) {
        return code_of(why);
    }
    bool missing = strcmp(pg_get_text(result, 0, 0), "t") == 0;
    PQclear(result);
    return missing ? marty_error_set(why, MARTY_E_NOT_FOUND,
                                     "%s: no sagas are kept there; an orchestrator makes the store",
                                     url->redacted)
                   : MARTY_OK;
}

static marty_err make_tables(marty_saga_store *store, int64_t until_ns, marty_error *why)
{
    marty_err err = pg_make(&store->writer, pg_guard, until_ns, why);
    return err ? err : pg_make(&store->writer, pg_schema, until_ns, why);
}

marty_err pg_open(marty_saga_store **ret_store, const marty_url *url, const marty_env *env,
                  int64_t until_ns, marty_error *why)
{
    marty_saga_store *store = marty_alloc_zero(1, sizeof *store);
    if (!store) {
        return marty_error_set(why, MARTY_E_NO_MEMORY, "opening %s", url->redacted);
    }
    store->env = *env;
    bool there = false;
    marty_err err = read_url(store, url, &there, why);
    pg_link_init(&store->writer, store->url, &store->env);
    pg_link_init(&store->reader, store->url, &store->env);
    make_token(store);
    err = err     ? err
          : there ? check_there(store, url, until_ns, why)
                  : make_tables(store, until_ns, why);
    err = err ? err : pg_settle(store, until_ns, why);
    err = err ? err : describe(store, until_ns, why);
    if (err) {
        pg_close(store);
        return err;
    }
    *ret_store = store;
    return MARTY_OK;
}

const char *pg_describe(const marty_saga_store *store)
{
    return store->line;
}

/* ---- leases */
static char *write_held(const marty_saga_shard held[], size_t count, bool epochs)
{
    char *text = marty_alloc(count * 24 + 3), *at = text;
    if (!text) {
        return NULL;
    }
    *at++ = '{';
    for (size_t i = 0; i < count; i++) {
        at += snprintf(at, 24, "%s%" PRIu64, i ? "," : "",
                       epochs ? held[i].epoch : (uint64_t)held[i].shard);
    }
    (void)snprintf(at, 2, "}");
    return text;
}

static PGresult *ask_with_held(marty_saga_store *store, const char *sql, const char *owner,
                               const marty_saga_lease *lease, const marty_saga_shard held[],
                               size_t count, int64_t until_ns, marty_error *why)
{
    char *shards = write_held(held, count, false), *epochs = write_held(held, count, true);
    pg_parameters space = {.count = 0};
    PGresult *result = NULL;
    if (shards && epochs) {
        pg_text(&space, owner);
        if (lease) {
            pg_number(&space, lease->term_ms);
            pg_number(&space, lease->want);
        }
        pg_text(&space, shards);
        pg_text(&space, epochs);
        result = pg_ask(&store->writer, sql, &space, until_ns, why);
    } else {
        (void)marty_error_set(why, MARTY_E_NO_MEMORY, "leasing shards");
    }
    marty_free(shards);
    marty_free(epochs);
    return result;
}

/* Those that are kept in the order they were held in, then those that were taken. */
static void take_leases(marty_saga_lease *lease, const PGresult *result)
{
    marty_saga_shard before[MARTY_SAGA_SHARDS];
    uint32_t count = lease->count, kept = 0;
    bool seen[MARTY_SAGA_SHARDS] = {false};
    memcpy(before, lease->held, sizeof before);
    for (uint32_t i = 0; i < count; i++) {
        for (int row = 0; row < PQntuples(result); row++) {
            if (pg_get_number(result, row, 0) == before[i].shard &&
                (uint64_t)pg_get_number(result, row, 1) == before[i].epoch) {
                lease->held[kept++] = before[i];
                seen[before[i].shard] = true;
            }
        }
    }
    for (int row = 0; row < PQntuples(result); row++) {
        int64_t shard = pg_get_number(result, row, 0);
        lease->members = (uint32_t)pg_get_number(result, row, 2);
        if (shard >= 0 && shard < MARTY_SAGA_SHARDS && !seen[shard]) {
            lease->held[kept++] =
                (marty_saga_shard){(uint32_t)shard, (uint64_t)pg_get_number(result, row, 1)};
        }
    }
    lease->count = kept;
}

marty_err pg_lease(marty_saga_store *store, marty_saga_lease *lease, int64_t until_ns,
                   marty_error *why)
{
    PGresult *result =
        ask_with_held(store, "SELECT * FROM marty_saga_lease($1, $2, $3, $4::int[], $5::bigint[])",
                      lease->owner, lease, lease->held, lease->count, until_ns, why);
    if (!result) {
        return code_of(why);
    }
    take_leases(lease, result);
    PQclear(result);
    return MARTY_OK;
}

marty_err pg_release(marty_saga_store *store, const char *owner, const marty_saga_shard shards[],
                     size_t count, int64_t until_ns, marty_error *why)
{
    PGresult *result = ask_with_held(
        store,
        "WITH given AS (SELECT m.shard FROM marty_saga_shard m JOIN unnest($2::int[], "
        "$3::bigint[]) AS h(shard, epoch) ON m.shard = h.shard AND m.epoch = h.epoch WHERE m.owner "
        "= $1 ORDER BY m.shard FOR UPDATE) UPDATE marty_saga_shard m SET owner = '', until_us = 0 "
        "FROM given WHERE m.shard = given.shard",
        owner, NULL, shards, count, until_ns, why);
    bool fine = result != NULL;
    PQclear(result);
    return fine ? MARTY_OK : code_of(why);
}

marty_err pg_define(marty_saga_store *store, const char *name, uint32_t version, const char *hash,
                    marty_bytes document, int64_t until_ns, marty_error *why)
{
    pg_parameters space = {.count = 0};
    pg_text(&space, name);
    pg_number(&space, version);
    pg_text(&space, hash);
    pg_bytes(&space, document);
    PGresult *result =
        pg_ask(&store->writer,
               "INSERT INTO marty_saga_definition VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
               &space, until_ns, why);
    if (result) { /* by itself: the same statement would not see what another has just committed */
        PQclear(result);
        space.count = 2;
        result = pg_ask(&store->writer,
                        "SELECT hash FROM marty_saga_definition WHERE name = $1 AND version = $2",
                        &space, until_ns, why);
    }
    if (!result) {
        return code_of(why);
    }
    bool same = PQntuples(result) && strcmp(pg_get_text(result, 0, 0), hash) == 0;
    PQclear(result);
    return same ? MARTY_OK
                : marty_error_set(why, MARTY_E_EXISTS,
                                  "the definition %s version %u is there and is different: give it "
                                  "a new version",
                                  name, (unsigned)version);
}

static const marty_saga_store_table table = {
    .abi = MARTY_SAGA_STORE_ABI,
    .scheme = "postgres",
    .open = pg_open,
    .close = pg_close,
    .describe = pg_describe,
    .commit = pg_commit,
    .settle = pg_settle,
    .load = pg_load,
    .load_many = pg_load_many,
    .find = pg_find,
    .due = pg_due,
    .unsent = pg_unsent,
    .sent = pg_sent,
    .lease = pg_lease,
    .release = pg_release,
    .define = pg_define,
    .definitions = pg_definitions,
    .list = pg_list,
    .history = pg_history,
    .purge = pg_purge,
};

MARTY_API const marty_saga_store_table *marty_saga_store_module(uint32_t abi);

const marty_saga_store_table *marty_saga_store_module(uint32_t abi)
{
    return abi == MARTY_SAGA_STORE_ABI ? &table : NULL;
}
