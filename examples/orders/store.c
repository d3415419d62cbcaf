/* SPDX-License-Identifier: Apache-2.0
 * A service's own database with an inbox. One connection and one lock: a transaction is never mixed
 * with another thread's. */
#include "store.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct store {
    sqlite3 *db;
    pthread_mutex_t lock;
};

/* An entry may go once its message cannot come any more, for example after seven days. */
static const char *const inbox =
    "PRAGMA journal_mode = WAL; PRAGMA busy_timeout = 5000; PRAGMA synchronous = NORMAL;"
    "CREATE TABLE IF NOT EXISTS inbox (source TEXT, id TEXT, at TEXT DEFAULT CURRENT_TIMESTAMP,"
    "                                  PRIMARY KEY (source, id)) WITHOUT ROWID;";

store *store_open(const char *path, const char *schema)
{
    store *opened = calloc(1, sizeof *opened);
    if (!opened) {
        return NULL;
    }
    pthread_mutex_init(&opened->lock, NULL);
    if (sqlite3_open(path, &opened->db) || sqlite3_exec(opened->db, inbox, NULL, NULL, NULL) ||
        sqlite3_exec(opened->db, schema, NULL, NULL, NULL)) {
        fprintf(stderr, "%s: %s\n", path, sqlite3_errmsg(opened->db));
        store_close(opened);
        return NULL;
    }
    return opened;
}

void store_close(store *db)
{
    if (db) {
        sqlite3_close(db->db);
        pthread_mutex_destroy(&db->lock);
        free(db);
    }
}

/* Runs each statement of the SQL, with :data bound where it is named. */
static int run(sqlite3 *db, const char *sql, marty_bytes data)
{
    int result = SQLITE_OK;
    while (*sql && (result == SQLITE_OK || result == SQLITE_DONE)) {
        sqlite3_stmt *statement = NULL;
        result = sqlite3_prepare_v2(db, sql, -1, &statement, &sql);
        if (result != SQLITE_OK || !statement) {
            break;
        }
        sqlite3_bind_text(statement, sqlite3_bind_parameter_index(statement, ":data"), data.data,
                          (int)data.size, SQLITE_TRANSIENT);
        do {
            result = sqlite3_step(statement);
        } while (result == SQLITE_ROW);
        sqlite3_finalize(statement);
    }
    return result == SQLITE_DONE ? SQLITE_OK : result;
}

/* Whether the message is new; it is noted then. */
static int note(sqlite3 *db, const marty_message *message, int *ret_new)
{
    sqlite3_stmt *statement = NULL;
    int result = sqlite3_prepare_v2(db, "INSERT OR IGNORE INTO inbox (source, id) VALUES (?1, ?2)",
                                    -1, &statement, NULL);
    if (result == SQLITE_OK) {
        sqlite3_bind_text(statement, 1, message->source, -1, SQLITE_TRANSIENT);
        sqlite3_bind_text(statement, 2, message->id, -1, SQLITE_TRANSIENT);
        result = sqlite3_step(statement);
        sqlite3_finalize(statement);
    }
    *ret_new = sqlite3_changes(db);
    return result == SQLITE_DONE ? SQLITE_OK : result;
}

marty_err store_apply(store *db, const marty_message *message, const char *sql)
{
    int new_message = 0;
    pthread_mutex_lock(&db->lock);
    int result = sqlite3_exec(db->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    if (result == SQLITE_OK) {
        result = note(db->db, message, &new_message);
        if (result == SQLITE_OK && new_message) {
            result = run(db->db, sql, message->data);
        }
        if (result == SQLITE_OK) {
            result = sqlite3_exec(db->db, "COMMIT", NULL, NULL, NULL);
        }
        if (result != SQLITE_OK) {
            fprintf(stderr, "%s %s: %s\n", message->type, message->id, sqlite3_errmsg(db->db));
            sqlite3_exec(db->db, "ROLLBACK", NULL, NULL, NULL);
        }
    }
    pthread_mutex_unlock(&db->lock);
    return result == SQLITE_OK ? MARTY_OK : MARTY_E_FAILED;
}

char *store_ask(store *db, const char *sql, marty_bytes data)
{
    char *answer = NULL;
    sqlite3_stmt *statement = NULL;
    pthread_mutex_lock(&db->lock);
    if (sqlite3_prepare_v2(db->db, sql, -1, &statement, NULL) == SQLITE_OK) {
        sqlite3_bind_text(statement, sqlite3_bind_parameter_index(statement, ":data"), data.data,
                          (int)data.size, SQLITE_TRANSIENT);
        if (sqlite3_step(statement) == SQLITE_ROW && sqlite3_column_text(statement, 0)) {
            answer = strdup((const char *)sqlite3_column_text(statement, 0));
        }
        sqlite3_finalize(statement);
    }
    pthread_mutex_unlock(&db->lock);
    return answer;
}
