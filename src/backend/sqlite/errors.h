/* SPDX-License-Identifier: Apache-2.0
 * What a fault of SQLite is to us, and how long another's lock is waited for: one answer for the
 * backend, the store of sagas and the notes of participants. The table is in docs/design/0005. */
#ifndef MARTY_BACKEND_SQLITE_ERRORS_H
#define MARTY_BACKEND_SQLITE_ERRORS_H
#include <marty/adapter.h>
#include <sqlite3.h>

/** What a code is to us, with the path and what to do in the text. words: SQLite's own, or NULL. */
marty_err marty__sqlite_error(int code, const char *words, const char *path, marty_error *why);
/** SQLite's own words for a code that a call with this handle (or NULL) has just returned. Borrowed
 * until the next call. */
const char *marty__sqlite_words(sqlite3 *handle, int code);
/** The file was made by a newer Marty. */
marty_err marty__sqlite_newer(const char *path, int64_t found, int known, marty_error *why);

/** How long to wait for a lock of the file, by the clock of env. */
typedef struct marty__sqlite_patience {
    const marty_env *env;
    int64_t until_ns;
} marty__sqlite_patience;
/** A busy handler, whose user is one. */
int marty__sqlite_on_busy(void *patience, int times);
/** Execute what asks for the lock but once, as setting WAL does, until it has it. */
int marty__sqlite_execute(sqlite3 *handle, const char *sql, marty__sqlite_patience *patience);
#endif
