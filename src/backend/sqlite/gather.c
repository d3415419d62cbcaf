/* SPDX-License-Identifier: Apache-2.0
 * Gathering the writes to a write-ahead log. All other files are the default file system's own and
 * do not come by here again once they are open. What fails when it is handed on at last fails the
 * call that made it so, and with it the transaction, which ends as if nothing had been written. */
#include "gather.h"

#include "base/alloc.h"

#include <pthread.h>
#include <string.h>

enum { GATHER_BYTES = 124 * 1024 }; /* unix file systems of SQLite take up to 128 KiB at once */

typedef struct gather_file {
    sqlite3_file base;
    sqlite3_file *inner;
    unsigned char *bytes;
    size_t size;
    sqlite3_int64 at; /* where the first byte belongs */
    bool allowed;
} gather_file;

static gather_file *of(sqlite3_file *file)
{
    return (gather_file *)(void *)file;
}

static int hand_on(gather_file *file)
{
    size_t size = file->size;
    file->size = 0;
    return size ? file->inner->pMethods->xWrite(file->inner, file->bytes, (int)size, file->at)
                : SQLITE_OK;
}

static int on_write(sqlite3_file *base, const void *data, int size, sqlite3_int64 at)
{
    gather_file *file = of(base);
    bool follows = file->size && file->at + (sqlite3_int64)file->size == at;
    bool fits = file->size + (size_t)size <= GATHER_BYTES;
    if (file->size && (!file->allowed || !follows || !fits)) {
        int code = hand_on(file);
        if (code) {
            return code;
        }
    }
    if (!file->allowed || (size_t)size > GATHER_BYTES) {
        return file->inner->pMethods->xWrite(file->inner, data, size, at);
    }
    file->at = file->size ? file->at : at;
    memcpy(file->bytes + file->size, data, (size_t)size);
    file->size += (size_t)size;
    return SQLITE_OK;
}

/* What was committed was synced; what was not is no longer ours to write. */
static int on_close(sqlite3_file *base)
{
    gather_file *file = of(base);
    int code = file->inner->pMethods->xClose(file->inner);
    marty_free(file->bytes);
    sqlite3_free(file->inner);
    return code;
}

static int on_read(sqlite3_file *base, void *out, int size, sqlite3_int64 at)
{
    int code = hand_on(of(base));
    return code ? code : of(base)->inner->pMethods->xRead(of(base)->inner, out, size, at);
}

static int on_truncate(sqlite3_file *base, sqlite3_int64 size)
{
    int code = hand_on(of(base));
    return code ? code : of(base)->inner->pMethods->xTruncate(of(base)->inner, size);
}

static int on_sync(sqlite3_file *base, int flags)
{
    int code = hand_on(of(base));
    return code ? code : of(base)->inner->pMethods->xSync(of(base)->inner, flags);
}

static int on_size(sqlite3_file *base, sqlite3_int64 *ret_size)
{
    int code = hand_on(of(base));
    return code ? code : of(base)->inner->pMethods->xFileSize(of(base)->inner, ret_size);
}

static int on_lock(sqlite3_file *base, int level)
{
    return of(base)->inner->pMethods->xLock(of(base)->inner, level);
}

static int on_unlock(sqlite3_file *base, int level)
{
    return of(base)->inner->pMethods->xUnlock(of(base)->inner, level);
}

static int on_reserved(sqlite3_file *base, int *ret_held)
{
    return of(base)->inner->pMethods->xCheckReservedLock(of(base)->inner, ret_held);
}

static int on_control(sqlite3_file *base, int what, void *argument)
{
    return of(base)->inner->pMethods->xFileControl(of(base)->inner, what, argument);
}

static int on_sector(sqlite3_file *base)
{
    return of(base)->inner->pMethods->xSectorSize(of(base)->inner);
}

static int on_traits(sqlite3_file *base)
{
    return of(base)->inner->pMethods->xDeviceCharacteristics(of(base)->inner);
}

static const sqlite3_io_methods methods = {.iVersion = 1,
                                           .xClose = on_close,
                                           .xRead = on_read,
                                           .xWrite = on_write,
                                           .xTruncate = on_truncate,
                                           .xSync = on_sync,
                                           .xFileSize = on_size,
                                           .xLock = on_lock,
                                           .xUnlock = on_unlock,
                                           .xCheckReservedLock = on_reserved,
                                           .xFileControl = on_control,
                                           .xSectorSize = on_sector,
                                           .xDeviceCharacteristics = on_traits};

/* ---- the file system */
static sqlite3_vfs gather, *under;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int registered = SQLITE_ERROR;

static int open_log(gather_file *file, const char *name, int flags, int *ret_flags)
{
    file->bytes = marty_alloc(GATHER_BYTES);
    file->inner = sqlite3_malloc(under->szOsFile);
    int code = file->bytes && file->inner ? SQLITE_OK : SQLITE_NOMEM;
    if (!code) {
        file->inner->pMethods = NULL;
        code = under->xOpen(under, name, file->inner, flags, ret_flags);
        if (code && file->inner->pMethods) {
            (void)file->inner->pMethods->xClose(file->inner);
        }
    }
    if (code) {
        marty_free(file->bytes);
        sqlite3_free(file->inner);
        return code;
    }
    file->base.pMethods = &methods;
    return SQLITE_OK;
}

static int on_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags,
                   int *ret_flags)
{
    (void)vfs;
    if (!(flags & SQLITE_OPEN_WAL)) {
        return under->xOpen(under, name, file, flags, ret_flags);
    }
    *of(file) = (gather_file){.size = 0};
    return open_log(of(file), name, flags, ret_flags);
}

static int on_delete(sqlite3_vfs *vfs, const char *name, int sync)
{
    (void)vfs;
    return under->xDelete(under, name, sync);
}

static int on_access(sqlite3_vfs *vfs, const char *name, int flags, int *ret_result)
{
    (void)vfs;
    return under->xAccess(under, name, flags, ret_result);
}

static int on_full_name(sqlite3_vfs *vfs, const char *name, int size, char *out)
{
    (void)vfs;
    return under->xFullPathname(under, name, size, out);
}

static void make_known(void)
{
    under = sqlite3_vfs_find(NULL);
    if (!under) {
        return;
    }
    gather = *under; /* chance, time, sleep and loading stay the default's */
    gather.zName = "marty-gather";
    gather.pNext = NULL;
    gather.szOsFile =
        under->szOsFile > (int)sizeof(gather_file) ? under->szOsFile : (int)sizeof(gather_file);
    gather.xOpen = on_open;
    gather.xDelete = on_delete;
    gather.xAccess = on_access;
    gather.xFullPathname = on_full_name;
    registered = sqlite3_vfs_register(&gather, 0);
}

const char *marty__sqlite_gather_name(void)
{
    (void)pthread_once(&once, make_known);
    return registered == SQLITE_OK ? gather.zName : NULL;
}

static gather_file *log_of(sqlite3 *handle)
{
    sqlite3_file *file = NULL;
    int code = sqlite3_file_control(handle, "main", SQLITE_FCNTL_JOURNAL_POINTER, &file);
    return code == SQLITE_OK && file && file->pMethods == &methods ? of(file) : NULL;
}

/* Another may have written there since. However it ended: by our word, an error, or the close. */
static void on_rollback(void *handle)
{
    gather_file *file = log_of(handle);
    if (file) {
        file->size = 0;
    }
}

void marty__sqlite_gather_allow(sqlite3 *handle, bool allowed)
{
    gather_file *file = log_of(handle);
    if (file) {
        file->allowed = allowed;
        (void)sqlite3_rollback_hook(handle, on_rollback, handle);
    }
}
