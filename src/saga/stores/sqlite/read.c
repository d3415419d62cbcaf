/* SPDX-License-Identifier: Apache-2.0
 * Reading sagas from a file. Each call is one statement, so one snapshot. What was committed by the
 * writing connection, or by another process, is seen by the next call. */
#include "sqlite.h"

#include <stdio.h>
#include <string.h>

/* The end of a scan: an error, or NOT_FOUND where something had to be there. */
static marty_err ended(saga_db *db, sqlite3_stmt *statement, int code, marty_error *why)
{
    bool fine = code == SQLITE_ROW || code == SQLITE_DONE || code == SQLITE_OK;
    marty_err err = fine ? MARTY_OK : marty__saga_db_error(db, code, why);
    (void)sqlite3_reset(statement);
    return err;
}

static int step(saga_db *db, sqlite3_stmt *statement)
{
    return statement ? sqlite3_step(statement) : marty__saga_db_code(db);
}

static marty_err no_saga(const char *id, marty_error *why)
{
    return marty_error_set(why, MARTY_E_NOT_FOUND, "there is no saga %s", id);
}

marty_err marty__saga_sqlite_load(marty_saga_store *store, const char *id,
                                  marty_saga_record **ret_record, int64_t until_ns,
                                  marty_error *why)
{
    saga_db *db = &store->reader;
    marty_err entered = marty__saga_db_enter(db, until_ns, why);
    if (entered) {
        return entered;
    }
    sqlite3_stmt *row = SAGA_BIND(db, SAGA_SQL_LOAD, saga_text(id));
    int code = step(db, row);
    marty_saga_record *record = NULL;
    if (code == SQLITE_ROW) {
        marty_saga_facts facts;
        marty__saga_db_facts(row, &facts);
        record =
            marty_saga_record_new(&facts, (uint64_t)marty__saga_db_int(row, 15),
                                  marty__saga_db_bytes(row, 13), marty__saga_db_bytes(row, 14));
        code = record ? SQLITE_ROW : SQLITE_NOMEM;
        if (record) {
            record->place = marty__saga_db_int(row, 16);
        }
    }
    marty_err err = ended(db, row, code, why);
    marty__saga_db_leave(db);
    if (!err && !record) {
        return no_saga(id, why);
    }
    if (!err) {
        *ret_record = record;
    }
    return err;
}

marty_err marty__saga_sqlite_find(marty_saga_store *store, const char *name, const char *key,
                                  char ret_id[40], int64_t until_ns, marty_error *why)
{
    saga_db *db = &store->reader;
    marty_err entered = marty__saga_db_enter(db, until_ns, why);
    if (entered) {
        return entered;
    }
    sqlite3_stmt *row = SAGA_BIND(db, SAGA_SQL_KEY, saga_text(name), saga_text(key));
    int code = step(db, row);
    char id[40] = "";
    if (code == SQLITE_ROW) {
        (void)snprintf(id, sizeof id, "%s", marty__saga_db_text(row, 0));
    }
    marty_err err = ended(db, row, code, why);
    marty__saga_db_leave(db);
    if (!err && !*id) {
        return marty_error_set(why, MARTY_E_NOT_FOUND, "no saga %s has the key %s", name, key);
    }
    if (!err) {
        memcpy(ret_id, id, sizeof id);
    }
    return err;
}

marty_err marty__saga_sqlite_due(marty_saga_store *store, const marty_saga_shards *shards,
                                 int64_t now_us, uint32_t limit, marty_saga_found found, void *user,
                                 int64_t *ret_next_us, int64_t until_ns, marty_error *why)
{
    saga_db *db = &store->reader;
    marty_err entered = marty__saga_db_enter(db, until_ns, why);
    if (entered) {
        return entered;
    }
    sqlite3_stmt *row = marty__saga_db_statement(db, SAGA_SQL_DUE);
    int64_t next = INT64_MAX;
    int code = step(db, row);
    for (bool goes_on = true; code == SQLITE_ROW; code = sqlite3_step(row)) {
        marty_saga_facts facts;
        marty__saga_db_facts(row, &facts);
        if (!marty__saga_has_shard(shards, facts.shard)) {
            continue;
        }
        if (facts.due_us > now_us || !limit || !goes_on) {
            next = facts.due_us;
            break;
        }
        limit--;
        goes_on = found(user, &facts);
    }
    marty_err err = ended(db, row, code, why);
    marty__saga_db_leave(db);
    if (!err) {
        *ret_next_us = next;
    }
    return err;
}

marty_err marty__saga_sqlite_unsent(marty_saga_store *store, const marty_saga_shards *shards,
                                    int64_t before_us, uint32_t limit, marty_saga_found found,
                                    void *user, int64_t until_ns, marty_error *why)
{
    saga_db *db = &store->reader;
    marty_err entered = marty__saga_db_enter(db, until_ns, why);
    if (entered) {
        return entered;
    }
    sqlite3_stmt *row = SAGA_BIND(db, SAGA_SQL_UNSENT, saga_int(before_us));
    int code = step(db, row);
    for (; code == SQLITE_ROW && limit; code = sqlite3_step(row)) {
        marty_saga_facts facts;
        marty__saga_db_facts(row, &facts);
        if (marty__saga_has_shard(shards, facts.shard)) {
            limit--;
            if (!found(user, &facts)) {
                break;
            }
        }
    }
    marty_err err = ended(db, row, code, why);
    marty__saga_db_leave(db);
    return err;
}

marty_err marty__saga_sqlite_list(marty_saga_store *store, const marty_saga_filter *filter,
                                  marty_saga_found found, void *user, int64_t until_ns,
                                  marty_error *why)
{
    saga_db *db = &store->reader;
    saga_sql which = filter->stuck  ? SAGA_SQL_LIST_STUCK
                     : filter->open ? SAGA_SQL_LIST_OPEN
                                    : SAGA_SQL_LIST;
    marty_err entered = marty__saga_db_enter(db, until_ns, why);
    if (entered) {
        return entered;
    }
    sqlite3_stmt *row =
        SAGA_BIND(db, which, saga_text(filter->after ? filter->after : ""), saga_text(filter->name),
                  saga_text(filter->key), saga_int(filter->status), saga_int(filter->stuck),
                  saga_int(filter->changed_before_us),
                  saga_int((int64_t)(filter->limit ? filter->limit : 100)));
    int code = step(db, row);
    for (; code == SQLITE_ROW; code = sqlite3_step(row)) {
        marty_saga_facts facts;
        marty__saga_db_facts(row, &facts);
        if (!found(user, &facts)) {
            break;
        }
    }
    marty_err err = ended(db, row, code, why);
    marty__saga_db_leave(db);
    return err;
}

marty_err marty__saga_sqlite_history(marty_saga_store *store, const char *id, uint64_t from,
                                     marty_saga_batch found, void *user, int64_t until_ns,
                                     marty_error *why)
{
    saga_db *db = &store->reader;
    marty_err entered = marty__saga_db_enter(db, until_ns, why);
    if (entered) {
        return entered;
    }
    sqlite3_stmt *saga = SAGA_BIND(db, SAGA_SQL_VERSION, saga_text(id));
    int code = step(db, saga);
    bool there = code == SQLITE_ROW;
    marty_err err = ended(db, saga, code, why);
    if (!err && there) {
        sqlite3_stmt *row = SAGA_BIND(db, SAGA_SQL_HISTORY, saga_text(id), saga_int((int64_t)from));
        for (code = step(db, row); code == SQLITE_ROW; code = sqlite3_step(row)) {
            if (!found(user, (uint64_t)marty__saga_db_int(row, 0), marty__saga_db_int(row, 1),
                       marty__saga_db_bytes(row, 2))) {
                break;
            }
        }
        err = ended(db, row, code, why);
    }
    marty__saga_db_leave(db);
    return err || there ? err : no_saga(id, why);
}

marty_err marty__saga_sqlite_definitions(marty_saga_store *store, const char *name,
                                         const char *hash, marty_saga_document found, void *user,
                                         int64_t until_ns, marty_error *why)
{
    saga_db *db = &store->reader;
    marty_err entered = marty__saga_db_enter(db, until_ns, why);
    if (entered) {
        return entered;
    }
    sqlite3_stmt *row = SAGA_BIND(db, SAGA_SQL_DEFINITIONS, saga_text(name), saga_text(hash));
    int code = step(db, row);
    for (; code == SQLITE_ROW; code = sqlite3_step(row)) {
        if (!found(user, marty__saga_db_text(row, 0), (uint32_t)marty__saga_db_int(row, 1),
                   marty__saga_db_text(row, 2), marty__saga_db_bytes(row, 3))) {
            break;
        }
    }
    marty_err err = ended(db, row, code, why);
    marty__saga_db_leave(db);
    return err;
}
