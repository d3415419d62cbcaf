/* SPDX-License-Identifier: Apache-2.0
 * Reading sagas from postgres, over the connection that reads: one statement each. */
#include "postgres.h"

#include <inttypes.h>
#include <string.h>

static marty_err code_of(const marty_error *why)
{
    return why ? why->code : MARTY_E_UNAVAILABLE;
}

static marty_err no_saga(const char *id, marty_error *why)
{
    return marty_error_set(why, MARTY_E_NOT_FOUND, "there is no saga %s", id);
}

static void pg_get_facts(const PGresult *result, int row, marty_saga_facts *ret_facts)
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

#define RECORD                                                                                     \
    "SELECT " PG_FACTS ", state, outbox, (SELECT epoch FROM marty_saga_shard s WHERE s.shard = "   \
    "(m.shard & 255)) FROM marty_saga m WHERE id "

/* Each column as it comes, in the binary form; NULL without memory. */
static marty_saga_record *take_record(const PGresult *result, int row)
{
    marty_saga_facts facts;
    pg_get_facts(result, row, &facts);
    marty_bytes state = {PQgetvalue(result, row, 13), (size_t)PQgetlength(result, row, 13)};
    marty_bytes outbox = {PQgetvalue(result, row, 14), (size_t)PQgetlength(result, row, 14)};
    return marty_saga_record_new(&facts, (uint64_t)pg_get_number(result, row, 15), state, outbox);
}

marty_err pg_load(marty_saga_store *store, const char *id, marty_saga_record **ret_record,
                  int64_t until_ns, marty_error *why)
{
    pg_parameters space = {.count = 0};
    marty_error reason = {0};
    pg_text(&space, id);
    PGresult *result =
        pg_ask_prepared(&store->reader, "marty_load", RECORD "= $1", &space, until_ns, &reason);
    if (!result) {
        return marty_error_set(why, reason.code, "%s", reason.text);
    }
    bool there = PQntuples(result) > 0;
    marty_saga_record *record = there ? take_record(result, 0) : NULL;
    PQclear(result);
    if (!there) {
        return no_saga(id, why);
    }
    if (!record) {
        return marty_error_set(why, MARTY_E_NO_MEMORY, "reading the saga %s", id);
    }
    *ret_record = record;
    return MARTY_OK;
}

marty_err pg_load_many(marty_saga_store *store, const char *const ids[], size_t count,
                       marty_saga_loaded loaded, void *user, int64_t until_ns, marty_error *why)
{
    pg_parameters space = {.count = 0};
    marty_error reason = {0};
    char *array = pg_text_array(&space, ids, count);
    if (!array) {
        return marty_error_set(why, MARTY_E_NO_MEMORY, "reading sagas");
    }
    PGresult *result =
        pg_ask_binary(&store->reader, RECORD "= ANY ($1::text[])", &space, until_ns, &reason);
    marty_free(array);
    if (!result) {
        return marty_error_set(why, reason.code, "%s", reason.text);
    }
    bool goes_on = true;
    for (int row = 0; row < PQntuples(result) && goes_on; row++) {
        marty_saga_record *record = take_record(result, row);
        goes_on = record && loaded(user, record);
    }
    PQclear(result);
    return MARTY_OK;
}

marty_err pg_find(marty_saga_store *store, const char *name, const char *key, char ret_id[40],
                  int64_t until_ns, marty_error *why)
{
    pg_parameters space = {.count = 0};
    marty_error reason = {0};
    pg_text(&space, name);
    pg_text(&space, key);
    PGresult *result = pg_ask(
        &store->reader, "SELECT id FROM marty_saga WHERE name = $1 AND key = $2 AND key <> ''",
        &space, until_ns, &reason);
    if (!result) {
        return marty_error_set(why, reason.code, "%s", reason.text);
    }
    bool there = PQntuples(result) > 0;
    if (there) {
        (void)snprintf(ret_id, 40, "%s", pg_get_text(result, 0, 0));
    }
    PQclear(result);
    return there ? MARTY_OK
                 : marty_error_set(why, MARTY_E_NOT_FOUND, "no saga %s has the key %s", name, key);
}

static void tell(const PGresult *result, int count, marty_saga_found found, void *user)
{
    for (int row = 0; row < count; row++) {
        marty_saga_facts facts;
        pg_get_facts(result, row, &facts);
        if (!found(user, &facts)) {
            break;
        }
    }
}

marty_err pg_due(marty_saga_store *store, const marty_saga_shards *shards, int64_t now_us,
                 uint32_t limit, marty_saga_found found, void *user, int64_t *ret_next_us,
                 int64_t until_ns, marty_error *why)
{
    char set[PG_SHARDS_BYTES];
    pg_parameters space = {.count = 0};
    pg_shards(set, shards);
    pg_text(&space, set);
    pg_number(&space, (int64_t)limit + 1);
    PGresult *result =
        pg_ask(&store->reader,
               "SELECT " PG_FACTS " FROM marty_saga WHERE due_us < "
               "9223372036854775807 AND " PG_SHARD " = ANY ($1::int[]) ORDER BY due_us, id "
               "LIMIT $2",
               &space, until_ns, why);
    if (!result) {
        return code_of(why);
    }
    int rows = PQntuples(result), due = 0;
    while (due < rows && due < (int)limit && pg_get_number(result, due, 11) <= now_us) {
        due++;
    }
    *ret_next_us = due < rows ? pg_get_number(result, due, 11) : INT64_MAX;
    tell(result, due, found, user);
    PQclear(result);
    return MARTY_OK;
}

marty_err pg_unsent(marty_saga_store *store, const marty_saga_shards *shards, int64_t before_us,
                    uint32_t limit, marty_saga_found found, void *user, int64_t until_ns,
                    marty_error *why)
{
    char set[PG_SHARDS_BYTES];
    pg_parameters space = {.count = 0};
    pg_shards(set, shards);
    pg_text(&space, set);
    pg_number(&space, before_us);
    pg_number(&space, limit);
    PGresult *result =
        pg_ask(&store->reader,
               "SELECT " PG_FACTS " FROM marty_saga WHERE unsent AND " PG_SHARD " = ANY "
               "($1::int[]) AND changed_us < $2 ORDER BY changed_us, id LIMIT $3",
               &space, until_ns, why);
    if (!result) {
        return code_of(why);
    }
    tell(result, PQntuples(result), found, user);
    PQclear(result);
    return MARTY_OK;
}

#define LIST(of)                                                                                   \
    "SELECT " PG_FACTS " FROM marty_saga WHERE " of                                                \
    " AND id > $1 AND ($2::text IS NULL OR name = "                                                \
    "$2) AND ($3::text IS NULL OR key = $3) AND ($4::int = 0 OR status = $4) AND (NOT $5::bool "   \
    "OR stuck <> '') AND ($6::bigint = 0 OR changed_us < $6) ORDER BY id LIMIT $7"

marty_err pg_list(marty_saga_store *store, const marty_saga_filter *filter, marty_saga_found found,
                  void *user, int64_t until_ns, marty_error *why)
{
    static const char *const any = LIST("true"), *const unended = LIST("status < 3"),
                             *const stuck = LIST("stuck <> '' AND status < 3");
    pg_parameters space = {.count = 0};
    bool open = filter->open;
    pg_text(&space, filter->after ? filter->after : "");
    pg_text(&space, filter->name);
    pg_text(&space, filter->key);
    pg_number(&space, filter->status);
    pg_text(&space, filter->stuck ? "t" : "f");
    pg_number(&space, filter->changed_before_us);
    pg_number(&space, filter->limit ? filter->limit : 100);
    PGresult *result = pg_ask(&store->reader,
                              filter->stuck ? stuck
                              : open        ? unended
                                            : any,
                              &space, until_ns, why);
    if (!result) {
        return code_of(why);
    }
    tell(result, PQntuples(result), found, user);
    PQclear(result);
    return MARTY_OK;
}

marty_err pg_history(marty_saga_store *store, const char *id, uint64_t from, marty_saga_batch found,
                     void *user, int64_t until_ns, marty_error *why)
{
    pg_parameters space = {.count = 0};
    pg_text(&space, id);
    pg_number(&space, (int64_t)from);
    PGresult *result = pg_ask(&store->reader,
                              "SELECT h.version, h.at_us, h.batch FROM marty_saga m LEFT JOIN "
                              "marty_saga_history h ON h.id = m.id AND h.version >= $2 WHERE m.id "
                              "= $1 ORDER BY h.version",
                              &space, until_ns, why);
    if (!result) {
        return code_of(why);
    }
    bool there = PQntuples(result) > 0, goes_on = true;
    marty_err err = MARTY_OK;
    for (int row = 0; row < PQntuples(result) && goes_on && !err; row++) {
        if (PQgetisnull(result, row, 0)) {
            continue;
        }
        marty_bytes batch = pg_get_bytes(result, row, 2);
        err = batch.data ? MARTY_OK : marty_error_set(why, MARTY_E_NO_MEMORY, "reading a history");
        goes_on = !err && found(user, (uint64_t)pg_get_number(result, row, 0),
                                pg_get_number(result, row, 1), batch);
        marty_free((void *)(uintptr_t)batch.data);
    }
    PQclear(result);
    return err || there ? err : no_saga(id, why);
}

marty_err pg_definitions(marty_saga_store *store, const char *name, const char *hash,
                         marty_saga_document found, void *user, int64_t until_ns, marty_error *why)
{
    pg_parameters space = {.count = 0};
    pg_text(&space, name);
    pg_text(&space, hash);
    PGresult *result =
        pg_ask(&store->reader,
               "SELECT name, version, hash, document FROM marty_saga_definition WHERE ($1::text IS "
               "NULL OR name = $1) AND ($2::text IS NULL OR hash = $2) ORDER BY name, version",
               &space, until_ns, why);
    if (!result) {
        return code_of(why);
    }
    bool goes_on = true;
    for (int row = 0; row < PQntuples(result) && goes_on; row++) {
        marty_bytes document = pg_get_bytes(result, row, 3);
        goes_on = document.data &&
                  found(user, pg_get_text(result, row, 0), (uint32_t)pg_get_number(result, row, 1),
                        pg_get_text(result, row, 2), document);
        marty_free((void *)(uintptr_t)document.data);
    }
    PQclear(result);
    return MARTY_OK;
}
