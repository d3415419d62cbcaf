/* SPDX-License-Identifier: Apache-2.0
 * What must hold after a run of torture of the sqlite store of sagas: the file is sound, and all
 * that can be read is what the store in memory says. The run begins on a copy of files whose log
 * has not been taken over yet. */
#include "files.h"
#include "saga_store_torture.h"

#include "base/alloc.h"
#include "base/clock.h"

static const marty_saga_store_table *const sqlite = &marty__saga_sqlite;
static const marty_saga_store_table *const memory = &marty__saga_memory;

static int64_t until(void)
{
    return marty__deadline_ns(marty__monotonic_ns(), WITHIN_MS);
}

void saga_store_crash(void)
{
    files_copy("run", "crashed");
}

static marty_saga_store *open_store(const marty_saga_store_table *table, const char *where)
{
    marty_error why = {0};
    marty_url *url = NULL;
    marty_saga_store *store = NULL;
    REQUIRE(marty_url_parse(&url, where, &why) == MARTY_OK);
    if (!CHECK_INT(table->open(&store, url, marty__env_real(), until(), &why), MARTY_OK)) {
        fprintf(stderr, "    %s\n", why.text);
        exit(1);
    }
    marty_url_free(url);
    return store;
}

static int ask(const char *path, const char *sql, char *ret_text, size_t size)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *row = NULL;
    int value = -1;
    if (sqlite3_open(path, &db) == SQLITE_OK &&
        sqlite3_prepare_v2(db, sql, -1, &row, NULL) == SQLITE_OK &&
        sqlite3_step(row) == SQLITE_ROW) {
        value = sqlite3_column_int(row, 0);
        (void)snprintf(ret_text, size, "%s", (const char *)sqlite3_column_text(row, 0));
    }
    (void)sqlite3_finalize(row);
    (void)sqlite3_close(db);
    return value;
}

/* The files that each run begins with: open, so that the log is not taken over. */
static void make_template(void)
{
    static scene first;
    char where[120];
    sqlite3 *db = NULL;
    (void)snprintf(where, sizeof where, "sqlite:%s", files_path("first", ""));
    marty_saga_store *store = open_store(sqlite, where);
    saga_store_begin(&first, sqlite, store);
    REQUIRE(sqlite3_open(files_path("first", ""), &db) == SQLITE_OK &&
            sqlite3_exec(db, "CREATE TABLE step (id TEXT, version INT)", NULL, NULL, NULL) ==
                SQLITE_OK);
    files_copy("first", "template");
    (void)sqlite3_close(db);
    sqlite->close(store);
}

/* ---- comparing */
typedef struct history {
    int which;
    uint64_t version;
} history;

/* None is missing, and each is what that version wrote. */
static bool take_batch(void *user, uint64_t version, int64_t at_us, marty_bytes batch)
{
    history *of = user;
    marty_saga_write wrote;
    CHECK_INT(version, of->version + 1);
    of->version = version;
    saga_store_text(&(scene){0}, of->which, version, &wrote);
    CHECK_BYTES(batch.data, batch.size, wrote.history.data, wrote.history.size);
    CHECK_INT(at_us, wrote.facts.changed_us);
    return true;
}

static void compare_facts(const marty_saga_facts *have, const marty_saga_facts *want,
                          bool sent_doubt)
{
    CHECK_TEXT(have->id, want->id);
    CHECK_TEXT(have->name, want->name);
    CHECK_TEXT(have->key, want->key);
    CHECK_TEXT(have->definition, want->definition);
    CHECK_INT(have->status, want->status);
    CHECK_INT(have->shard, want->shard);
    CHECK_INT(have->version, want->version);
    CHECK_INT(have->changed_us, want->changed_us);
    CHECK_INT(have->due_us, want->due_us);
    CHECK(have->unsent == want->unsent || sent_doubt);
}

/* What is wanted of one: as the store in memory says, or what was in doubt, whole. */
typedef struct wanted {
    marty_err err;
    marty_saga_record *record;
    int steps;
} wanted;

static wanted want_of(const scene *of, int which, const marty_saga_record *have)
{
    char id[8];
    marty_saga_write doubt = saga_store_doubt(of, which);
    wanted ret = {.steps = of->steps[which]};
    (void)snprintf(id, sizeof id, "s%d", which);
    if (of->doubts[which].result && have &&
        have->facts.version == of->doubts[which].facts.version) {
        ret.record = marty_saga_record_new(&doubt.facts, 0, doubt.state, doubt.outbox);
        ret.steps += doubt.fill != NULL && !doubt.undo;
        return ret;
    }
    ret.err = memory->load(of->oracle, id, &ret.record, until(), NULL);
    return ret;
}

static void compare_one(const scene *of, marty_saga_store *store, const char *path, int which)
{
    char id[8], sql[80], ignored[20], key[12], found[40] = "";
    marty_saga_record *have = NULL;
    history past = {.which = which};
    (void)snprintf(id, sizeof id, "s%d", which);
    (void)snprintf(key, sizeof key, "key-%d", which);
    marty_err has = sqlite->load(store, id, &have, until(), NULL);
    wanted want = want_of(of, which, have);
    bool gone = of->purge_doubt && which < ENDED && has == MARTY_E_NOT_FOUND;
    if (!gone && CHECK_INT(has, want.err) && !has) {
        compare_facts(&have->facts, &want.record->facts, of->sent_doubt[which]);
        CHECK_BYTES(have->state.data, have->state.size, want.record->state.data,
                    want.record->state.size);
        CHECK_BYTES(have->outbox.data, have->outbox.size, want.record->outbox.data,
                    want.record->outbox.size);
        CHECK(have->epoch >= (of->leased ? of->epochs[have->facts.shard] : 0));
        CHECK_INT(sqlite->find(store, "order", key, found, until(), NULL), MARTY_OK);
        CHECK_TEXT(found, id);
        CHECK_INT(sqlite->history(store, id, 0, take_batch, &past, until(), NULL), MARTY_OK);
        CHECK_INT(past.version, have->facts.version);
    }
    (void)snprintf(sql, sizeof sql, "SELECT count(*) FROM step WHERE id = '%s'", id);
    CHECK_INT(ask(path, sql, ignored, sizeof ignored), want.steps);
    marty_free(have);
    marty_free(want.record);
}

static bool count_found(void *user, const marty_saga_facts *facts)
{
    (void)facts;
    ++*(int *)user;
    return true;
}

/* The indexes say what the rows say. */
static void compare_lists(const scene *of, marty_saga_store *store)
{
    marty_saga_shards all;
    int have = 0, want = 0;
    int64_t next = 0;
    memset(&all, 0xff, sizeof all);
    CHECK_INT(
        sqlite->due(store, &all, INT64_MAX - 1, 100, count_found, &have, &next, until(), NULL),
        MARTY_OK);
    CHECK_INT(
        memory->due(of->oracle, &all, INT64_MAX - 1, 100, count_found, &want, &next, until(), NULL),
        MARTY_OK);
    bool doubt = of->purge_doubt;
    for (int i = 0; i < SAGAS; i++) {
        doubt |= of->sent_doubt[i] || of->doubts[i].result;
    }
    CHECK(have == want || doubt);
    have = want = 0;
    CHECK_INT(sqlite->unsent(store, &all, INT64_MAX, 100, count_found, &have, until(), NULL),
              MARTY_OK);
    CHECK_INT(memory->unsent(of->oracle, &all, INT64_MAX, 100, count_found, &want, until(), NULL),
              MARTY_OK);
    CHECK(have == want || doubt);
}

static bool count_document(void *user, const char *name, uint32_t version, const char *hash,
                           marty_bytes document)
{
    (void)version;
    CHECK_TEXT(name, "order");
    CHECK_TEXT(hash, "hash");
    CHECK_INT(document.size, strlen("{\"saga\": \"order\"}"));
    ++*(int *)user;
    return true;
}

static void verify(const scene *of, const char *path)
{
    char where[120], said[80] = "";
    int documents = 0;
    (void)snprintf(where, sizeof where, "sqlite:%s", path);
    marty_saga_store *store = open_store(sqlite, where);
    (void)ask(path, "PRAGMA integrity_check", said, sizeof said);
    CHECK_TEXT(said, "ok");
    for (int i = 0; i < SAGAS; i++) {
        compare_one(of, store, path, i);
    }
    compare_lists(of, store);
    CHECK_INT(sqlite->definitions(store, NULL, NULL, count_document, &documents, until(), NULL),
              MARTY_OK);
    CHECK(documents == 1 || (documents == 0 && !of->defined));
    sqlite->close(store);
}

static long torture(const char *kind, long at, bool for_ever)
{
    static scene of;
    static bool made;
    if (!made) { /* once the faults are in place: SQLite takes them before its first call only */
        make_template();
        made = true;
    }
    memset(&of, 0, sizeof of);
    of.oracle = open_store(memory, "memory:");
    saga_store_begin(&of, memory, of.oracle);
    files_copy("template", "run");
    files_copy("template", "crashed");
    long points = saga_store_run(&of, files_path("run", ""), at, for_ever);
    const char *when = atomic_load(&check__failed) ? "in" : "after a crash at the end of";
    verify(&of, files_path("crashed", ""));
    when = atomic_load(&check__failed) ? when : "after";
    verify(&of, files_path("run", ""));
    memory->close(of.oracle);
    if (atomic_load(&check__failed) > 0) {
        fprintf(stderr, "    %s %s\n", when, faults_name(kind, at, for_ever));
        exit(1);
    }
    return points;
}

int main(int count, char **values)
{
    int result = faults_main(count, values, torture);
    files_remove();
    return result;
}
