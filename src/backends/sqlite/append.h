/* SPDX-License-Identifier: Apache-2.0
 * Rows of messages on their way into a table: kept until they are many or somebody looks at the
 * table, then written by one statement that reads them here, as a virtual table. A statement for
 * each costs half as much again. A row that continues the table names no id: SQLite then gives it
 * the next one, which is that, and appends without looking for its place. One thread. */
#ifndef MARTY_BACKENDS_SQLITE_APPEND_H
#define MARTY_BACKENDS_SQLITE_APPEND_H
#include "base/buffer.h"

#include <sqlite3.h>

enum { SQ_APPEND_ROWS = 128, SQ_APPEND_BYTES = 128 * 1024 };

typedef struct sq_appended { /* 0 in expires_us and key: none */
    int64_t id, at_us, expires_us, key;
    size_t body_at, body_size;
} sq_appended;
typedef struct sq_append {
    sq_appended rows[SQ_APPEND_ROWS];
    marty__buffer bodies;
    unsigned count, table;
    int64_t edge; /* the greatest id of the table, 0 = none, with the rows given so far */
} sq_append;

/** Make the virtual table known to a connection, under the name marty_rows. */
int marty__sq_append_register(sqlite3 *handle, sq_append *rows);
/** Take one; SQLITE_NOMEM. There must be room. */
int marty__sq_append_take(sq_append *rows, const sq_appended *row, marty_bytes body);
/** Forget all. */
void marty__sq_append_clear(sq_append *rows);
#endif
