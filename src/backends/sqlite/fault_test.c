/* SPDX-License-Identifier: Apache-2.0
 * What is wrong with a file, and what becomes of messages then: older and newer schemas, files of
 * others, damage, locks, a full disk, errors of the disk. Each has its code and a text that says
 * what to do; what was confirmed is there afterwards. */
#include "schema.h"
#include "test_file.h"
#include "test_vfs.h"

#include <fcntl.h>

/* A port on a file that cannot be opened: state DOWN with this reason and text. */
static void refused(const char *path, marty_err reason, const char *says)
{
    char url[400];
    (void)snprintf(url, sizeof url, "sqlite:%s", path);
    probe *p = probe_new(url);
    CHECK_INT(probe_connect(p), MARTY_STATE_DOWN);
    CHECK_INT(p->reason, reason);
    CHECK_HAS(p->state_text, says);
    probe_close(p);
}

static void write_file(const char *path, const char *data, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    REQUIRE(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    (void)close(fd);
}

static void run_sql(const char *path, const char *sql)
{
    sqlite3 *db = NULL;
    char *error = NULL;
    REQUIRE(sqlite3_open(path, &db) == SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, &error)) {
        fprintf(stderr, "    %s: %s\n", sql, error);
        exit(1);
    }
    (void)sqlite3_close(db);
}

static void files_that_are_none_of_ours_are_refused(void)
{
    char junk[4096];
    memset(junk, 'x', sizeof junk);
    write_file(test_file("junk.db"), junk, sizeof junk);
    refused(test_file("junk.db"), MARTY_E_MALFORMED, "not a SQLite database");
    run_sql(test_file("theirs.db"), "CREATE TABLE customers(name)");
    refused(test_file("theirs.db"), MARTY_E_CONFIG, "the database of another program");
    refused(test_file("nowhere/x.db"), MARTY_E_NOT_FOUND, "does not exist; make it first");
    (void)mkdir(test_file("folder"), 0755);
    refused(test_file("folder"), MARTY_E_CONFIG, "it is a folder");
    (void)rmdir(test_file("folder"));
}

static void a_newer_schema_is_left_alone(void)
{
    probe *a = probe_open("newer.db");
    probe_close(a);
    run_sql(test_file("newer.db"), "UPDATE marty_state SET version = 99");
    refused(test_file("newer.db"), MARTY_E_UNSUPPORTED, "its schema is version 99");
}

static void an_older_schema_is_brought_up_to_date(void)
{
    sq_db db = {0};
    marty_error why = {0};
    REQUIRE(marty__sq_db_open(&db, test_file("older.db"), &why) == MARTY_OK);
    REQUIRE(marty__sq_db_prepare(&db, SQ_SYNC_FULL, marty__monotonic_ns() + 1000000000, &why) ==
            MARTY_OK);
    REQUIRE(marty__sq_schema_make(&db, 1, marty__wall_us()) == SQLITE_OK);
    REQUIRE(marty__sq_exec(&db,
                           "INSERT INTO marty_channel VALUES(1,'events.old',1,0,0,0,0,1,0);"
                           "INSERT INTO marty_log VALUES(1,1,NULL,0,2,1,46,1);"
                           "INSERT INTO marty_group VALUES(1,'events.old','g',0,0,1);"
                           "INSERT INTO marty_cursor VALUES(1,1,1);"
                           "INSERT INTO marty_message_0 VALUES(1099511627777, 1, NULL, NULL,"
                           " x'0187A00100000000000000000D6F726465722E63726561746564026D31052F7465"
                           "7374')") == SQLITE_OK);
    marty__sq_db_close(&db);
    probe *a = probe_open("older.db");
    listen_to(a, 1, MARTY_KIND_TOPIC, "events.old", "g", 9);
    await(a, 1);
    CHECK_TEXT(heard(a), "m1");
    CHECK_INT(settle(a, &a->delivered[0], MARTY_SETTLE_ACK, 0), MARTY_OK);
    probe_close(a);
    a = probe_open("older.db"); /* once is enough */
    probe_close(a);
}

static int64_t number_of(sq_db *db, const char *sql)
{
    sqlite3_stmt *statement = NULL;
    REQUIRE(sqlite3_prepare_v2(db->handle, sql, -1, &statement, NULL) == SQLITE_OK);
    REQUIRE(sqlite3_step(statement) == SQLITE_ROW);
    int64_t number = sqlite3_column_int64(statement, 0);
    (void)sqlite3_finalize(statement);
    return number;
}

static void ids_of_an_older_schema_stay_known(void)
{
    sq_db db = {0};
    marty_error why = {0};
    REQUIRE(marty__sq_db_open(&db, test_file("seen.db"), &why) == MARTY_OK);
    REQUIRE(marty__sq_db_prepare(&db, SQ_SYNC_FULL, marty__monotonic_ns() + 1000000000, &why) ==
            MARTY_OK);
    REQUIRE(marty__sq_schema_make(&db, 2, marty__wall_us()) == SQLITE_OK);
    REQUIRE(marty__sq_exec(&db, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n"
                                " WHERE i < 300) INSERT INTO marty_seen SELECT i, 9000000000000000,"
                                " i * 10, i * 10 + 9, zeroblob(16) FROM n") == SQLITE_OK);
    marty__sq_db_close(&db);
    probe *a = probe_open("seen.db");
    marty_message fresh = {.subject = "s"};
    marty_message *message = message_of(&fresh);
    CHECK_INT(publish(a,
                      (marty_outgoing){.channel = {.kind = MARTY_KIND_QUEUE, .name = "commands.q"}},
                      message)
                  .err,
              MARTY_OK);
    marty_message_unref(message);
    probe_close(a);
    REQUIRE(marty__sq_db_open(&db, test_file("seen.db"), &why) == MARTY_OK);
    CHECK_INT(number_of(&db, "SELECT count(*) FROM marty_seen"), 301);
    CHECK_INT(number_of(&db, "SELECT max(id) FROM marty_seen"), 301);
    CHECK_INT(number_of(&db, "SELECT count(*) FROM marty_seen_span"), 2);
    CHECK_INT(number_of(&db, "SELECT first_ms FROM marty_seen_span WHERE id = 1"), 1280);
    CHECK_INT(number_of(&db, "SELECT last_ms FROM marty_seen_span WHERE id = 1"), 2559);
    marty__sq_db_close(&db);
}

static void damage_is_said(void)
{
    probe *a = probe_open("damaged.db");
    for (int i = 0; i < 200; i++) {
        CHECK_INT(say(a, MARTY_KIND_QUEUE, "commands.q", NULL, NULL), MARTY_OK);
    }
    probe_close(a);
    int fd = open(test_file("damaged.db"), O_WRONLY);
    char junk[4096];
    memset(junk, 0x5a, sizeof junk);
    for (int page = 1; page < 30; page++) { /* all but the first */
        REQUIRE(pwrite(fd, junk, sizeof junk, page * 4096) == sizeof junk);
    }
    (void)close(fd);
    refused(test_file("damaged.db"), MARTY_E_STORAGE, "the database is damaged");
}

static void an_unreadable_row_comes_as_it_is(void)
{
    probe *a = probe_open("row.db");
    CHECK_INT(say(a, MARTY_KIND_QUEUE, "commands.q", "m1", NULL), MARTY_OK);
    CHECK_INT(say(a, MARTY_KIND_QUEUE, "commands.q", "m2", NULL), MARTY_OK);
    run_sql(test_file("row.db"), "UPDATE marty_message_0 SET body = x'0102030405'"
                                 " WHERE id = 1099511627777");
    listen_to(a, 1, MARTY_KIND_QUEUE, "commands.q", "q", 9);
    await(a, 2);
    CHECK(a->delivered[0].message == NULL && a->delivered[0].raw_size == 5);
    CHECK(a->delivered[1].message != NULL);
    ack_all(a);
    probe_close(a);
}

static void a_locked_file_is_waited_for_until_the_deadline(void)
{
    probe *a = probe_open("locked.db");
    sqlite3 *other = NULL;
    marty_message m1 = {.id = "m1"}, m2 = {.id = "m2"};
    marty_outgoing out = {.channel = {.kind = MARTY_KIND_QUEUE, .name = "commands.q"}};
    listen_to(a, 1, MARTY_KIND_QUEUE, "commands.q", "q", 9);
    REQUIRE(sqlite3_open(test_file("locked.db"), &other) == SQLITE_OK);
    (void)sqlite3_busy_timeout(other, (int)WITHIN_MS); /* the port may be writing for itself */
    REQUIRE(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_OK);
    out.deadline_ns = marty__monotonic_ns() + 3000 * (int64_t)MARTY__NS_PER_MS;
    CHECK_INT(publish(a, out, &m1).err, MARTY_E_UNAVAILABLE);
    CHECK(marty__monotonic_ns() >= out.deadline_ns);
    CHECK_HAS(a->why_not[0], "locked by another program");
    marty_message *message = message_of(&m2);
    marty_error why = {0};
    size_t taken = 0;
    out.deadline_ns = 0;
    out.message = message;
    out.token = 77;
    CHECK_INT(test_backend->publish(a->port, &out, 1, &taken, &why), MARTY_OK);
    marty_message_unref(message);
    REQUIRE(sqlite3_exec(other, "COMMIT", NULL, NULL, NULL) == SQLITE_OK);
    CHECK(probe_wait(a, &a->publishes, 2, WITHIN_MS));
    CHECK_INT(a->published[1].err, MARTY_OK);
    await(a, 1);
    CHECK_TEXT(heard(a), "m2");
    (void)sqlite3_close(other);
    probe_close(a);
}

/* Who asks about topology is told at its deadline, by whoever has the question then. */
static void asking_ends_at_its_deadline_while_the_file_is_locked(void)
{
    enum { ASKS = 6, STEP_MS = 15 };
    probe *a = probe_open("asked.db");
    sqlite3 *other = NULL;
    REQUIRE(sqlite3_open(test_file("asked.db"), &other) == SQLITE_OK);
    (void)sqlite3_busy_timeout(other, (int)WITHIN_MS); /* the port may be writing for itself */
    REQUIRE(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_OK);
    for (int i = 0; i < ASKS; i++) {
        marty_message *answer = NULL;
        marty_error why = {0};
        marty_want all = {.credit = 0};
        int64_t until_ns = marty__deadline_ns(marty__monotonic_ns(), i * STEP_MS);
        CHECK_INT(test_backend->topology(a->port, "list", &all, until_ns, &answer, &why),
                  MARTY_E_TIMEOUT);
        CHECK_HAS(why.text, "did not answer in time");
    }
    REQUIRE(sqlite3_exec(other, "COMMIT", NULL, NULL, NULL) == SQLITE_OK);
    CHECK_TEXT(ask(a, "list", (marty_want){.credit = 0}, NULL), "{\"channels\":[]}");
    (void)sqlite3_close(other);
    probe_close(a);
}

/* A reader that stays does not stop us, and the log is emptied once it is gone. */
static void a_long_reader_stops_nobody(void)
{
    probe *a = probe_open("reader.db?sync=off");
    sqlite3 *other = NULL;
    char body[2000] = "";
    marty_message message = {.data = {body, sizeof body}};
    marty_outgoing out = {.channel = {.kind = MARTY_KIND_QUEUE, .name = "commands.q"}};
    CHECK_INT(publish(a, out, &message).err, MARTY_OK);
    REQUIRE(sqlite3_open(test_file("reader.db"), &other) == SQLITE_OK);
    REQUIRE(sqlite3_exec(other, "BEGIN; SELECT * FROM marty_message_0", NULL, NULL, NULL) ==
            SQLITE_OK);
    for (int i = 0; i < 3000; i++) {
        CHECK_INT(publish(a, out, &message).err, MARTY_OK);
    }
    (void)sqlite3_close(other);
    probe_forget(a);
    for (int i = 0; i < 3000; i++) {
        CHECK_INT(publish(a, out, &message).err, MARTY_OK);
    }
    struct stat status;
    REQUIRE(stat(test_file("reader.db-wal"), &status) == 0);
    CHECK(status.st_size < 100 << 20);
    probe_close(a);
}

/* ---- faults of the disk */
static _Atomic int vfs_write_fails, vfs_sync_fails;

static int failing(vfs_call call)
{
    if (call == VFS_WRITE && vfs_write_fails) {
        return vfs_write_fails;
    }
    return call == VFS_SYNC ? vfs_sync_fails : SQLITE_OK;
}

static void a_full_disk_is_said_and_publishing_goes_on_by_itself(void)
{
    probe *a = probe_open("disk.db");
    listen_to(a, 1, MARTY_KIND_QUEUE, "commands.q", "q", 9);
    CHECK_INT(say(a, MARTY_KIND_QUEUE, "commands.q", "m1", NULL), MARTY_OK);
    await(a, 1);
    vfs_write_fails = SQLITE_FULL;
    CHECK_INT(say(a, MARTY_KIND_QUEUE, "commands.q", "m2", NULL), MARTY_E_STORAGE);
    CHECK_HAS(a->why_not[1], "disk full");
    marty_settling ack = {.subscription = 1, .tag = a->delivered[0].tag, .verb = MARTY_SETTLE_ACK};
    test_backend->settle(a->port, &ack, 1); /* waits for room */
    for (int i = 0; i < 20; i++) {
        CHECK_INT(say(a, MARTY_KIND_QUEUE, "commands.q", "m2", NULL), MARTY_E_STORAGE);
    }
    CHECK_INT(a->settlings, 0);
    CHECK_INT(state_of(a), MARTY_STATE_UP);
    vfs_write_fails = 0;
    CHECK(probe_wait(a, &a->settlings, 1, WITHIN_MS));
    CHECK_INT(a->settled[0].result, MARTY_OK);
    CHECK_INT(say(a, MARTY_KIND_QUEUE, "commands.q", "m2", NULL), MARTY_OK);
    await(a, 2);
    CHECK_TEXT(heard(a), "m1 m2");
    probe_close(a);
}

static void errors_of_the_disk_end_the_connection_and_it_comes_back(void)
{
    probe *a = probe_open("error.db");
    CHECK_INT(say(a, MARTY_KIND_QUEUE, "commands.q", "m1", NULL), MARTY_OK);
    vfs_sync_fails = SQLITE_IOERR_FSYNC;
    CHECK_INT(say(a, MARTY_KIND_QUEUE, "commands.q", "m2", NULL), MARTY_E_MAYBE_STORED);
    CHECK_HAS(a->why_not[1], "disk I/O error");
    for (int i = 0; i < 5 && state_of(a) == MARTY_STATE_UP; i++) {
        marty_message again = {.id = "m2"}, *message = message_of(&again);
        marty_outgoing out = {.token = ++a->next_token,
                              .channel = {.kind = MARTY_KIND_QUEUE, .name = "commands.q"},
                              .message = message};
        marty_error why = {0};
        size_t taken = 0, before = a->publishes;
        if (test_backend->publish(a->port, &out, 1, &taken, &why) == MARTY_OK) {
            CHECK(probe_wait(a, &a->publishes, before + taken, WITHIN_MS));
        }
        marty_message_unref(message);
    }
    CHECK(await_state(a, MARTY_STATE_DOWN));
    CHECK_INT(a->reason, MARTY_E_STORAGE);
    vfs_sync_fails = 0;
    CHECK_INT(probe_connect(a), MARTY_STATE_UP);
    CHECK_INT(say(a, MARTY_KIND_QUEUE, "commands.q", "m2", NULL), MARTY_OK);
    probe_forget(a);
    listen_to(a, 1, MARTY_KIND_QUEUE, "commands.q", "q", 9);
    await(a, 2); /* m2 once: the second one folds if the first was stored after all */
    CHECK_TEXT(heard(a), "m1 m2");
    probe_close(a);
}

static probe *_Atomic taken_back_from;

static int taking_back(vfs_call call)
{
    probe *from = call == VFS_SYNC ? atomic_exchange(&taken_back_from, NULL) : NULL;
    if (from) {
        test_backend->grant(from->port, 1, 0);
    }
    return SQLITE_OK;
}

/* What was claimed by then is delivered still, and no credit comes of it. */
static void credit_that_is_taken_back_during_a_commit_is_gone(void)
{
    probe *a = probe_open("credit.db");
    listen_to(a, 1, MARTY_KIND_QUEUE, "commands.q", "q", 5);
    atomic_store(&taken_back_from, a);
    atomic_store(&vfs_hook, taking_back);
    CHECK_INT(say(a, MARTY_KIND_QUEUE, "commands.q", "m1", NULL), MARTY_OK);
    await(a, 1);
    atomic_store(&vfs_hook, failing);
    CHECK(!atomic_load(&taken_back_from));
    CHECK_INT(say(a, MARTY_KIND_QUEUE, "commands.q", "m2", NULL), MARTY_OK);
    barrier(a);
    CHECK_TEXT(heard(a), "m1");
    test_backend->grant(a->port, 1, 1);
    await(a, 2);
    CHECK_TEXT(heard(a), "m1 m2");
    probe_close(a);
}

static void a_port_that_is_not_open_says_so(void)
{
    probe *a = probe_open("closed.db");
    marty_error why = {0};
    marty_err err;
    size_t taken = 0;
    test_backend->close(a->port, marty__deadline_ns(marty__monotonic_ns(), WITHIN_MS));
    CHECK(await_state(a, MARTY_STATE_CLOSED));
    marty_message empty = {.id = "m"}, *message = message_of(&empty);
    marty_outgoing out = {.channel = {.kind = MARTY_KIND_QUEUE, .name = "commands.q"},
                          .message = message};
    CHECK_INT(test_backend->publish(a->port, &out, 1, &taken, &why), MARTY_E_UNAVAILABLE);
    marty_message_unref(message);
    CHECK_INT(subscribe_with(a, 1, (marty_want){.channel = out.channel}), MARTY_E_UNAVAILABLE);
    CHECK_INT(test_backend->cancel(a->port, &out.channel, "m", 1, &why), MARTY_E_UNAVAILABLE);
    test_backend->unsubscribe(a->port, 1);
    CHECK_INT(a->subscribed[a->subscribes - 1].reason, MARTY_E_CLOSED);
    (void)ask(a, "list", (marty_want){0}, &err);
    CHECK_INT(err, MARTY_E_UNAVAILABLE);
    test_backend->close(a->port, 0);
    probe_free(a);
}

int main(void)
{
    vfs_install();
    atomic_store(&vfs_hook, failing);
    files_that_are_none_of_ours_are_refused();
    a_newer_schema_is_left_alone();
    an_older_schema_is_brought_up_to_date();
    ids_of_an_older_schema_stay_known();
    damage_is_said();
    an_unreadable_row_comes_as_it_is();
    a_locked_file_is_waited_for_until_the_deadline();
    asking_ends_at_its_deadline_while_the_file_is_locked();
    a_long_reader_stops_nobody();
    credit_that_is_taken_back_during_a_commit_is_gone();
    a_full_disk_is_said_and_publishing_goes_on_by_itself();
    errors_of_the_disk_end_the_connection_and_it_comes_back();
    a_port_that_is_not_open_says_so();
    test_folder_remove();
    return check_result();
}
