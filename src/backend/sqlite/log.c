/* SPDX-License-Identifier: Apache-2.0
 * See log.h. The thread that commits. */
#include "log.h"

#include "base/clock.h"

#include <sys/stat.h>
#include <sys/statvfs.h>

enum { LOOK_FRAMES = 16, CUT_MS = 100 };

void marty__sqlite_log_cut(sqlite3 *handle, marty__sqlite_log *log)
{
    marty__sqlite_patience *patience = log->patience;
    int64_t until_ns = patience->until_ns;
    int64_t now_ns = patience->env->monotonic_ns(patience->env->user);
    patience->until_ns = marty__deadline_ns(now_ns, CUT_MS); /* another's read may last longer */
    (void)sqlite3_wal_checkpoint_v2(handle, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    patience->until_ns = until_ns;
}

bool marty__sqlite_log_crowds(sqlite3 *handle)
{
    struct stat log;
    struct statvfs disk;
    const char *path = sqlite3_db_filename(handle, "main");
    const char *log_path = path && *path ? sqlite3_filename_wal(path) : NULL;
    return log_path && stat(log_path, &log) == 0 && statvfs(log_path, &disk) == 0 &&
           (uint64_t)disk.f_bavail * disk.f_frsize < (uint64_t)log.st_size;
}

/* What comes of it is not the commit's: that has been done. */
static int on_commit(void *user, sqlite3 *handle, const char *name, int frames)
{
    marty__sqlite_log *log = user;
    log->looked = frames < log->looked ? 0 : log->looked; /* it began anew */
    if (frames - log->looked >= LOOK_FRAMES) {
        log->looked = frames;
        if (marty__sqlite_log_crowds(handle)) {
            marty__sqlite_log_cut(handle, log);
            return SQLITE_OK;
        }
    }
    if (frames >= log->frames_max) {
        (void)sqlite3_wal_checkpoint_v2(handle, name, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    }
    return SQLITE_OK;
}

void marty__sqlite_log_watch(sqlite3 *handle, marty__sqlite_log *log)
{
    log->looked = 0;
    (void)sqlite3_wal_hook(handle, on_commit, log);
}
