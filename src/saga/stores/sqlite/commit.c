/* SPDX-License-Identifier: Apache-2.0
 * Writing sagas to a file: all that is given together is one transaction. A write has its fences in
 * its statement, and what is refused writes nothing; a local step that fails is undone by a
 * savepoint. A commit whose end SQLite reports as an error is in doubt, unless the disk was full or
 * the lock was not to be had: its frames may lie in the log, to be found after a crash, until
 * another commit has written over them; that is what settle does. */
#include "sqlite.h"

#include <stdio.h>
#include <string.h>

static int epoch_of(saga_db *db, uint32_t shard, uint64_t *ret_epoch)
{
    sqlite3_stmt *statement = SAGA_BIND(db, SAGA_SQL_SHARD, saga_int(shard));
    int code = statement ? sqlite3_step(statement) : marty__saga_db_code(db);
    *ret_epoch = code == SQLITE_ROW ? (uint64_t)marty__saga_db_int(statement, 0) : 0;
    (void)sqlite3_reset(statement);
    return code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK : code;
}

static int existing(saga_db *db, marty_saga_write *write)
{
    if (!write->facts.key || !*write->facts.key) {
        return SQLITE_OK;
    }
    sqlite3_stmt *statement =
        SAGA_BIND(db, SAGA_SQL_KEY, saga_text(write->facts.name), saga_text(write->facts.key));
    int code = statement ? sqlite3_step(statement) : marty__saga_db_code(db);
    if (code == SQLITE_ROW) {
        (void)snprintf(write->existing, sizeof write->existing, "%s",
                       marty__saga_db_text(statement, 0));
        write->result = MARTY_E_EXISTS;
    }
    (void)sqlite3_reset(statement);
    return code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK : code;
}

/* Whether it may be written; the reason is its result. */
static int check(saga_db *db, marty_saga_write *write, int64_t *ret_number)
{
    uint64_t epoch = write->epoch;
    int code = write->epoch ? epoch_of(db, write->facts.shard, &epoch) : SQLITE_OK;
    if (code || epoch != write->epoch) {
        write->result = MARTY_E_LOST;
        return code;
    }
    sqlite3_stmt *statement = SAGA_BIND(db, SAGA_SQL_VERSION, saga_text(write->facts.id));
    code = statement ? sqlite3_step(statement) : marty__saga_db_code(db);
    bool there = code == SQLITE_ROW;
    *ret_number = there ? marty__saga_db_int(statement, 0) : 0;
    uint64_t have = there ? (uint64_t)marty__saga_db_int(statement, 1) : 0;
    (void)sqlite3_reset(statement);
    if (!there && code != SQLITE_DONE) {
        return code;
    }
    write->result = write->facts.version == have + 1 ? MARTY_OK : MARTY_E_STATE;
    return write->result || there ? SQLITE_OK : existing(db, write);
}

static const char *text_of(const char *text)
{
    return text ? text : "";
}

static int insert(saga_db *db, const marty_saga_write *write)
{
    const marty_saga_facts *facts = &write->facts;
    return marty__saga_db_run(
        db, SAGA_BIND(db, SAGA_SQL_INSERT, saga_text(facts->id), saga_text(facts->name),
                      saga_text(text_of(facts->key)), saga_text(facts->definition),
                      saga_text(text_of(facts->stuck)), saga_int(facts->status),
                      saga_int(facts->paused), saga_int(facts->shard),
                      saga_int((int64_t)facts->version), saga_int(facts->started_us),
                      saga_int(facts->changed_us), saga_int(facts->due_us), saga_int(facts->unsent),
                      saga_blob(write->state), saga_blob(write->outbox),
                      saga_int((int64_t)write->epoch)));
}

static int update(saga_db *db, const marty_saga_write *write, int64_t number)
{
    const marty_saga_facts *facts = &write->facts;
    return marty__saga_db_run(
        db, SAGA_BIND(db, SAGA_SQL_UPDATE, saga_int(number), saga_text(facts->definition),
                      saga_text(text_of(facts->stuck)), saga_int(facts->status),
                      saga_int(facts->paused), saga_int((int64_t)facts->version),
                      saga_int(facts->changed_us), saga_int(facts->due_us), saga_int(facts->unsent),
                      saga_blob(write->state), saga_blob(write->outbox), saga_text(facts->id),
                      saga_int((int64_t)write->epoch), saga_int(facts->shard)));
}

/* The saga's row, where the fences allow it, and then its history; *ret_done says whether. */
static int write_rows(saga_db *db, marty_saga_write *write, int64_t number, bool *ret_done)
{
    int code = number ? update(db, write, number) : insert(db, write);
    *ret_done = !code && sqlite3_changes(db->handle) > 0;
    if (!*ret_done) {
        return code;
    }
    write->place = number ? number : sqlite3_last_insert_rowid(db->handle);
    return marty__saga_db_run(db, SAGA_BIND(db, SAGA_SQL_HISTORY_ADD, saga_int(write->place),
                                            saga_int((int64_t)write->facts.version),
                                            saga_int(write->facts.changed_us),
                                            saga_blob(write->history)));
}

/* A step that ends our transaction would commit what is not whole. */
static int refuse_commit(void *user)
{
    (void)user;
    return 1;
}

/* A savepoint that is not there is gone with our transaction: the step has ended it, and so undone
 * it, also if it has begun another one. */
static int end_savepoint(saga_db *db, saga_sql sql)
{
    int code = marty__saga_db_run(db, marty__saga_db_statement(db, sql));
    return sqlite3_get_autocommit(db->handle) || code == SQLITE_ERROR ? SQLITE_ABORT : code;
}

/* A local step works in the transaction; what it has done goes with the rest or not at all. */
static int write_with_step(saga_db *db, marty_saga_write *write, int64_t number)
{
    int code = marty__saga_db_run(db, marty__saga_db_statement(db, SAGA_SQL_SAVE));
    if (code) {
        return code;
    }
    (void)sqlite3_commit_hook(db->handle, refuse_commit, NULL);
    write->result = write->fill(write, db->handle);
    (void)sqlite3_commit_hook(db->handle, NULL, NULL);
    code = sqlite3_get_autocommit(db->handle) ? SQLITE_ABORT : SQLITE_OK;
    bool done = true;
    if (!code && (write->result || write->undo)) {
        code = end_savepoint(db, SAGA_SQL_UNDO);
    }
    if (!code && !write->result) {
        code = write_rows(db, write, number, &done);
    }
    if (!code && !done) { /* the step has changed what is not its own */
        write->result = MARTY_E_FAILED;
        code = end_savepoint(db, SAGA_SQL_UNDO);
    }
    code = code ? code : end_savepoint(db, SAGA_SQL_KEEP);
    write->result = code == SQLITE_ABORT ? MARTY_E_FAILED : write->result;
    return code;
}

/* Most are written where they are said to be. What writes nothing there is looked at: a fence or a
 * key refuses it, or it is elsewhere. */
static int write_one(saga_db *db, marty_saga_write *write)
{
    int64_t number = write->facts.version == 1 ? 0 : write->place;
    bool done = false;
    write->result = MARTY_OK;
    write->existing[0] = '\0';
    int code = SQLITE_OK;
    if (!write->fill && (number || write->facts.version == 1)) {
        code = write_rows(db, write, number, &done);
    }
    if (code || done) {
        return code;
    }
    code = check(db, write, &number);
    if (code || write->result) {
        return code;
    }
    if (write->fill) {
        return write_with_step(db, write, number);
    }
    code = write_rows(db, write, number, &done);
    write->result = done ? MARTY_OK : MARTY_E_STATE;
    return code;
}

static void answer_all(marty_saga_write *const writes[], size_t count, marty_err result)
{
    for (size_t i = 0; i < count; i++) {
        if (!writes[i]->result) {
            writes[i]->result = result;
        }
    }
}

/* A step that has ended the transaction has undone the others, too: they are written again without
 * it. Those that have failed stay so. */
static int write_all(saga_db *db, marty_saga_write *const writes[], size_t count)
{
    int code = marty__saga_db_begin(db);
    for (size_t i = 0; i < count && !code; i++) {
        code = writes[i]->result == MARTY_E_FAILED ? SQLITE_OK : write_one(db, writes[i]);
    }
    return code;
}

/* The last page of a commit makes it one, and it was not written. */
static bool is_full(int code)
{
    return (code & 0xff) == SQLITE_FULL;
}

marty_err marty__saga_sqlite_commit(marty_saga_store *store, marty_saga_write *const writes[],
                                    size_t count, int64_t until_ns, marty_error *why)
{
    saga_db *db = &store->writer;
    for (size_t i = 0; i < count; i++) {
        writes[i]->result = MARTY_OK;
    }
    marty_err err = marty__saga_db_enter(db, until_ns, why);
    if (err) {
        return err;
    }
    int code = write_all(db, writes, count);
    while (code == SQLITE_ABORT) {
        marty__saga_db_roll_back(db); /* what the step may have begun */
        code = write_all(db, writes, count);
    }
    bool ends = !code;
    code = code ? code : marty__saga_db_run(db, marty__saga_db_statement(db, SAGA_SQL_COMMIT));
    if (code) {
        err = marty__saga_db_fail(db, code, why);
    }
    if (ends && err && err != MARTY_E_UNAVAILABLE && !is_full(code)) {
        answer_all(writes, count, MARTY_E_MAYBE_STORED);
        err = MARTY_OK;
    }
    marty__saga_db_leave(db);
    return err;
}

marty_err marty__saga_sqlite_settle(marty_saga_store *store, int64_t until_ns, marty_error *why)
{
    saga_db *db = &store->writer;
    marty_err entered = marty__saga_db_enter(db, until_ns, why);
    if (entered) {
        return entered;
    }
    int code = marty__saga_db_run(db, marty__saga_db_statement(db, SAGA_SQL_SETTLE));
    marty_err err = code ? marty__saga_db_fail(db, code, why) : MARTY_OK;
    marty__saga_db_leave(db);
    return err;
}

marty_err marty__saga_sqlite_sent(marty_saga_store *store, const marty_saga_facts sagas[],
                                  size_t count, int64_t until_ns, marty_error *why)
{
    saga_db *db = &store->writer;
    marty_err entered = marty__saga_db_enter(db, until_ns, why);
    if (entered) {
        return entered;
    }
    int code = marty__saga_db_begin(db);
    for (size_t i = 0; i < count && !code; i++) {
        code = marty__saga_db_run(db, SAGA_BIND(db, SAGA_SQL_SENT, saga_text(sagas[i].id),
                                                saga_int((int64_t)sagas[i].version)));
    }
    return marty__saga_db_end(db, code, why);
}

static int purge_some(saga_db *db, int64_t before_us, uint32_t limit, uint32_t *ret_count)
{
    int code = SQLITE_OK;
    while (!code && *ret_count < limit) {
        sqlite3_stmt *find = SAGA_BIND(db, SAGA_SQL_PURGE_FIND, saga_int(before_us), saga_int(1));
        code = find ? sqlite3_step(find) : marty__saga_db_code(db);
        if (code != SQLITE_ROW) {
            (void)sqlite3_reset(find);
            return code == SQLITE_DONE ? SQLITE_OK : code;
        }
        int64_t number = marty__saga_db_int(find, 0);
        (void)sqlite3_reset(find);
        code = marty__saga_db_run(db, SAGA_BIND(db, SAGA_SQL_PURGE_HISTORY, saga_int(number)));
        code = code ? code
                    : marty__saga_db_run(db, SAGA_BIND(db, SAGA_SQL_PURGE_SAGA, saga_int(number)));
        *ret_count += !code;
    }
    return code;
}

marty_err marty__saga_sqlite_purge(marty_saga_store *store, int64_t before_us, uint32_t limit,
                                   uint32_t *ret_count, int64_t until_ns, marty_error *why)
{
    saga_db *db = &store->writer;
    uint32_t count = 0;
    marty_err entered = marty__saga_db_enter(db, until_ns, why);
    if (entered) {
        return entered;
    }
    int code = marty__saga_db_begin(db);
    code = code ? code : purge_some(db, before_us, limit, &count);
    marty_err err = marty__saga_db_end(db, code, why);
    if (!err) {
        *ret_count = count;
    }
    return err;
}
