/* SPDX-License-Identifier: Apache-2.0
 * See errors.h. Any thread that may use the handle. */
#include "errors.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* ---- what codes mean */
const char *marty__sqlite_words(sqlite3 *handle, int code)
{
    bool its_last = handle && sqlite3_extended_errcode(handle) == code;
    return its_last ? sqlite3_errmsg(handle) : sqlite3_errstr(code);
}

static bool out_of_descriptors(void)
{
    int spare = open("/", O_RDONLY | O_CLOEXEC);
    if (spare >= 0) {
        (void)close(spare);
    }
    return spare < 0 && (errno == EMFILE || errno == ENFILE);
}

static marty_err cannot_open(const char *path, marty_error *why)
{
    struct stat status;
    if (out_of_descriptors()) {
        return marty_error_set(why, MARTY_E_UNAVAILABLE,
                               "%s: cannot open it: too many files are open; raise the limit "
                               "(ulimit -n)",
                               path);
    }
    char folder[512];
    (void)snprintf(folder, sizeof folder, "%s", path);
    char *slash = strrchr(folder, '/');
    if (stat(path, &status) == 0) {
        return S_ISDIR(status.st_mode)
                   ? marty_error_set(why, MARTY_E_CONFIG, "%s: it is a folder; name a file", path)
                   : marty_error_set(why, MARTY_E_DENIED,
                                     "%s: no permission to open it (its -wal and -shm, too)", path);
    }
    if (slash && slash != folder) {
        *slash = '\0';
        if (stat(folder, &status) != 0 && errno == ENOENT) {
            return marty_error_set(why, MARTY_E_NOT_FOUND,
                                   "%s: the folder %s does not exist; make it first", path, folder);
        }
    }
    return marty_error_set(why, MARTY_E_DENIED, "%s: cannot open it: %s", path, strerror(errno));
}

static marty_err storage(int code, const char *words, const char *path, marty_error *why)
{
    switch (code & 0xff) {
    case SQLITE_FULL:
        return marty_error_set(why, MARTY_E_STORAGE,
                               "%s: disk full; free some space, it goes on by itself", path);
    case SQLITE_CORRUPT:
        return marty_error_set(why, MARTY_E_STORAGE,
                               "%s: the database is damaged: %s; restore a copy, or save what is "
                               "left with: sqlite3 FILE .recover",
                               path, words);
    default:
        return marty_error_set(why, MARTY_E_STORAGE,
                               "%s: %s (SQLite %d); look at the disk and the log of the system",
                               path, words, code);
    }
}

marty_err marty__sqlite_error(int code, const char *words, const char *path, marty_error *why)
{
    words = words && *words ? words : sqlite3_errstr(code);
    if (code == SQLITE_IOERR_NOMEM) {
        return marty_error_set(why, MARTY_E_NO_MEMORY, "%s: out of memory", path);
    }
    switch (code & 0xff) {
    case SQLITE_CANTOPEN:
        return cannot_open(path, why);
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return marty_error_set(why, MARTY_E_DENIED,
                               "%s: it is read-only; file and folder must be writable", path);
    case SQLITE_NOTADB:
        return marty_error_set(why, MARTY_E_MALFORMED,
                               "%s: it is not a SQLite database (or is encrypted)", path);
    case SQLITE_CORRUPT:
    case SQLITE_FULL:
    case SQLITE_IOERR:
        return storage(code, words, path, why);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
        return marty_error_set(why, MARTY_E_UNAVAILABLE,
                               "%s: locked by another program, which does not let go of it", path);
    case SQLITE_NOMEM:
        return marty_error_set(why, MARTY_E_NO_MEMORY, "%s: out of memory", path);
    case SQLITE_TOOBIG:
        return marty_error_set(why, MARTY_E_TOO_LARGE, "%s: too large for a row", path);
    default:
        return marty_error_set(why, MARTY_E_INTERNAL, "%s: %s (SQLite %d)", path, words, code);
    }
}

marty_err marty__sqlite_newer(const char *path, int64_t found, int known, marty_error *why)
{
    return marty_error_set(why, MARTY_E_UNSUPPORTED,
                           "%s: its schema is version %lld, this Marty (%s) knows up to %d; "
                           "upgrade Marty",
                           path, (long long)found, marty_version(), known);
}

/* ---- waiting */
int marty__sqlite_on_busy(void *user, int times)
{
    const marty__sqlite_patience *patience = user;
    (void)times;
    if (patience->env->monotonic_ns(patience->env->user) >= patience->until_ns) {
        return 0;
    }
    (void)nanosleep(&(struct timespec){.tv_nsec = MARTY__NS_PER_MS}, NULL);
    return 1;
}

int marty__sqlite_execute(sqlite3 *handle, const char *sql, marty__sqlite_patience *patience)
{
    int code = sqlite3_exec(handle, sql, NULL, NULL, NULL);
    while ((code & 0xff) == SQLITE_BUSY && marty__sqlite_on_busy(patience, 0)) {
        code = sqlite3_exec(handle, sql, NULL, NULL, NULL);
    }
    return code;
}
