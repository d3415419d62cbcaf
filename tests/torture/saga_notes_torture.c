/* SPDX-License-Identifier: Apache-2.0
 * Torture of a participant's notes in SQLite: batches of operations, some repeated, refused or
 * sealed, on a file whose log is not yet in it (as after a crash), with a fault at another point
 * each time. Afterwards the file, as a crash would leave it and as it is closed, must hold each
 * batch that was committed, none that was not, one in doubt whole or not at all; and for each
 * operation that is noted as done its effect, once, and no other.
 *     saga_notes_torture KIND SECONDS (0 = all points); faults.h has the kinds */
#include "faults.h"
#include "files.h"
#include "saga/participant/notes.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "check.h"

#include <sqlite3.h>

enum { KEYS = 14, OLD = 3, SOON_MS = 20, WITHIN_MS = 10000, BATCH = 4 };

static const marty__notes_table *const table = &marty__notes_sqlite;

typedef struct scene {
    marty__notes *notes;
    marty__note_kind known[KEYS];
    marty__note_kind doubt[KEYS]; /* what it is if the batch in doubt was committed */
    bool purge_doubt;
} scene;

typedef struct ask {
    int key;
    marty__note_kind kind; /* what it comes to */
} ask;

static int64_t until(int ms)
{
    return marty__deadline_ns(marty__monotonic_ns(), ms);
}

static void name_key(int key, char ret[16])
{
    (void)snprintf(ret, 16, "key-%d", key);
}

/* ---- a batch */
static bool affect(void *transaction, const char *key)
{
    char sql[80];
    (void)snprintf(sql, sizeof sql, "INSERT INTO effect VALUES ('%s')", key);
    return sqlite3_exec(transaction, sql, NULL, NULL, NULL) == SQLITE_OK;
}

/* What is found must be what is known, unless that is in doubt. */
static void check_note(const scene *of, int key, const marty__note *note)
{
    char text[16];
    name_key(key, text);
    bool gone = of->purge_doubt && key < OLD && !note->kind;
    if (!of->doubt[key] && !gone) {
        CHECK_INT(note->kind, of->known[key]);
    }
    if (note->kind == MARTY__NOTE_DONE) {
        CHECK_TEXT(note->text, text);
    }
}

static marty_err work_one(const scene *of, const ask *one, void *transaction, bool *ret_new)
{
    char key[16];
    marty__note note = {0};
    name_key(one->key, key);
    marty_err err = table->enter(of->notes, key, &note, NULL);
    if (!err) {
        check_note(of, one->key, &note);
        *ret_new = note.kind == MARTY__NOTE_NONE;
    }
    marty_free(note.text);
    if (err || !*ret_new) {
        return err ? err : table->leave(of->notes, NULL);
    }
    if (one->kind != MARTY__NOTE_TOMBSTONE && !affect(transaction, key)) {
        return MARTY_E_STORAGE;
    }
    err = one->kind == MARTY__NOTE_REFUSED ? table->undo(of->notes, NULL) : MARTY_OK;
    err = err ? err : table->add(of->notes, key, one->kind, key, strlen(key), 1000000, NULL);
    return err ? err : table->leave(of->notes, NULL);
}

static void batch(scene *of, const ask asks[], size_t count)
{
    void *transaction = NULL;
    bool is_new[BATCH] = {false};
    marty_err err = table->begin(of->notes, until(SOON_MS), &transaction, NULL);
    if (err) {
        return;
    }
    for (size_t i = 0; i < count && !err; i++) {
        err = work_one(of, &asks[i], transaction, &is_new[i]);
    }
    if (err) {
        table->roll_back(of->notes);
        return;
    }
    err = table->commit(of->notes, NULL);
    for (size_t i = 0; i < count && err != MARTY_E_FAILED; i++) {
        if (is_new[i] && err) {
            of->doubt[asks[i].key] = asks[i].kind;
        } else if (is_new[i]) {
            of->known[asks[i].key] = asks[i].kind;
            of->doubt[asks[i].key] = MARTY__NOTE_NONE;
        }
    }
}

static void purge(scene *of)
{
    of->purge_doubt = table->purge(of->notes, 1000, until(SOON_MS), NULL) != MARTY_OK;
    for (int i = 0; i < OLD && !of->purge_doubt; i++) {
        of->known[i] = MARTY__NOTE_NONE;
    }
}

static void use(scene *of)
{
    static const marty__note_kind DONE = MARTY__NOTE_DONE, NO = MARTY__NOTE_REFUSED,
                                  SEALED = MARTY__NOTE_TOMBSTONE;
    batch(of, (ask[]){{4, DONE}, {5, DONE}, {6, NO}, {7, DONE}}, 4);
    batch(of, (ask[]){{8, SEALED}, {9, DONE}}, 2);
    batch(of, (ask[]){{4, DONE}, {6, DONE}, {10, DONE}}, 3); /* two were answered before */
    purge(of);
    batch(of, (ask[]){{8, DONE}, {3, DONE}, {11, NO}}, 3);
    batch(of, (ask[]){{12, DONE}}, 1);
    batch(of, (ask[]){{12, DONE}, {13, DONE}}, 2);
}

static marty_err open_notes(scene *of, const char *path, int ms)
{
    char where[120];
    marty_error why = {0};
    marty_url *url = NULL;
    (void)snprintf(where, sizeof where, "sqlite:%s", path);
    faults_exempt(true);
    REQUIRE(marty_url_parse(&url, where, &why) == MARTY_OK);
    faults_exempt(false);
    marty_err err = table->open(&of->notes, url, marty__env_real(), until(ms), &why);
    marty_url_free(url);
    return err;
}

/* ---- what must hold */
static int number(sqlite3 *db, const char *sql, const char *key)
{
    sqlite3_stmt *row = NULL;
    int value = -1;
    if (sqlite3_prepare_v2(db, sql, -1, &row, NULL) == SQLITE_OK &&
        sqlite3_bind_text(row, 1, key, -1, SQLITE_STATIC) == SQLITE_OK &&
        sqlite3_step(row) == SQLITE_ROW) {
        value = sqlite3_column_int(row, 0);
    }
    (void)sqlite3_finalize(row);
    return value;
}

static void verify(const scene *of, const char *path)
{
    sqlite3 *db = NULL;
    REQUIRE(sqlite3_open(path, &db) == SQLITE_OK);
    CHECK_INT(number(db,
                     "SELECT count(*) FROM pragma_integrity_check WHERE ?1 = ?1 AND "
                     "integrity_check = 'ok'",
                     ""),
              1);
    for (int i = 0; i < KEYS; i++) {
        char key[16];
        name_key(i, key);
        int kind = number(db, "SELECT total(kind) FROM marty_operation WHERE key = ?1", key);
        int effects = number(db, "SELECT count(*) FROM effect WHERE key = ?1", key);
        bool purged = of->purge_doubt && i < OLD && kind == 0;
        bool doubted = of->doubt[i] && kind == (int)of->doubt[i];
        CHECK(kind == (int)of->known[i] || purged || doubted);
        CHECK_INT(effects, i >= OLD && kind == MARTY__NOTE_DONE);
    }
    (void)sqlite3_close(db);
}

/* Some operations are there from the start; the log holds them. */
static void make_template(void)
{
    scene first = {.notes = NULL};
    sqlite3 *db = NULL;
    REQUIRE(open_notes(&first, files_path("first", ""), WITHIN_MS) == MARTY_OK);
    REQUIRE(sqlite3_open(files_path("first", ""), &db) == SQLITE_OK);
    REQUIRE(sqlite3_exec(db,
                         "CREATE TABLE effect (key TEXT);"
                         "INSERT INTO marty_operation VALUES ('key-0', 1, 'key-0', 1), ('key-1', "
                         "1, 'key-1', 1), ('key-2', 3, '', 1)",
                         NULL, NULL, NULL) == SQLITE_OK);
    files_copy("first", "template");
    (void)sqlite3_close(db);
    table->close(first.notes);
}

static long torture(const char *kind, long at, bool for_ever)
{
    static bool made;
    scene of = {.known = {MARTY__NOTE_DONE, MARTY__NOTE_DONE, MARTY__NOTE_TOMBSTONE}};
    if (!made) { /* once the faults are in place: SQLite takes them before its first call only */
        make_template();
        made = true;
    }
    files_copy("template", "run");
    files_copy("template", "crashed");
    faults_arm(at, for_ever);
    marty_err err = open_notes(&of, files_path("run", ""), SOON_MS);
    if (!err) {
        use(&of);
    }
    long points = faults_disarm();
    if (!err) {
        files_copy("run", "crashed");
        table->close(of.notes);
    }
    const char *when = atomic_load(&check__failed) ? "in" : "after a crash at the end of";
    verify(&of, files_path("crashed", ""));
    when = atomic_load(&check__failed) ? when : "after";
    verify(&of, files_path("run", ""));
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
