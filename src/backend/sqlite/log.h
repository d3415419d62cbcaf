/* SPDX-License-Identifier: Apache-2.0
 * How large a write-ahead log may grow. It is moved into the file when it has so many pages, and as
 * soon as the disk has less room left than the log has bytes; then it is cut off, too. So what is
 * in the log fits into the file, and a log alone never fills a disk. */
#ifndef MARTY_BACKEND_SQLITE_LOG_H
#define MARTY_BACKEND_SQLITE_LOG_H
#include "errors.h"

/* Of one connection that writes; lives as long as it does. */
typedef struct marty__sqlite_log {
    int frames_max;                   /* moved when it is so long */
    int looked;                       /* frames when the disk was last looked at */
    marty__sqlite_patience *patience; /* that of the connection's busy handler */
} marty__sqlite_log;

/** After each commit of this connection from now on; in place of SQLite's wal_autocheckpoint. */
void marty__sqlite_log_watch(sqlite3 *handle, marty__sqlite_log *log);
/** Whether the disk has less room than the log of this handle has bytes, those of an older and
 * longer one behind what is in it included. */
bool marty__sqlite_log_crowds(sqlite3 *handle);
/** Move it all into the file and cut it off; as far as the disk and those who read allow. */
void marty__sqlite_log_cut(sqlite3 *handle, marty__sqlite_log *log);
#endif
