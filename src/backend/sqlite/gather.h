/* SPDX-License-Identifier: Apache-2.0
 * A file system of SQLite over the default one. A commit that syncs writes its pages to the
 * write-ahead log one by one, each in two pieces; here they are gathered, and handed on in one
 * call when the sync comes, or before anything else is asked of the log. Nobody can miss them
 * until then: with FULL, SQLite shows a commit's pages to readers only once they are synced. Those
 * of a transaction that is rolled back are dropped: their place in the log is another's by then.
 * Any thread; a file by one at a time. */
#ifndef MARTY_BACKEND_SQLITE_GATHER_H
#define MARTY_BACKEND_SQLITE_GATHER_H
#include <sqlite3.h>
#include <stdbool.h>

/** Its name for sqlite3_open_v2; made known to SQLite the first time. NULL: SQLite refused. */
const char *marty__sqlite_gather_name(void);
/** Whether the log of this connection may gather from now on: only if its commits sync. Takes the
 * connection's rollback hook. */
void marty__sqlite_gather_allow(sqlite3 *handle, bool allowed);
#endif
