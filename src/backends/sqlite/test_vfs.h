/* SPDX-License-Identifier: Apache-2.0
 * SQLite's file system with faults: every call that touches a file asks a hook first, which may let
 * it fail with a code of SQLite's. It becomes the default one of this process. Any thread. Used by
 * the tests of sqlite only. */
#ifndef MARTY_BACKENDS_SQLITE_TEST_VFS_H
#define MARTY_BACKENDS_SQLITE_TEST_VFS_H
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

typedef enum vfs_call {
    VFS_OPEN,
    VFS_READ,
    VFS_WRITE,
    VFS_TRUNCATE,
    VFS_SYNC,
    VFS_SIZE,
    VFS_LOCK,   /* alone */
    VFS_SHARED, /* with others */
    VFS_SHM,
    VFS_DELETE
} vfs_call;
typedef struct vfs_file { /* the real one follows */
    sqlite3_file base;
} vfs_file;

/** Asked before each call: SQLITE_OK, or what it fails with. */
static int (*_Atomic vfs_hook)(vfs_call call);
static sqlite3_vfs vfs_own, *vfs_real;
static sqlite3_io_methods vfs_methods;

static int vfs_ask(vfs_call call)
{
    int (*hook)(vfs_call) = atomic_load(&vfs_hook);
    return hook ? hook(call) : SQLITE_OK;
}

static sqlite3_file *vfs_inner(sqlite3_file *file)
{
    return (sqlite3_file *)(void *)((char *)file + sizeof(vfs_file));
}

#define VFS_CALL(call, name, ...)                                                                  \
    int code = vfs_ask(call);                                                                      \
    return code ? code : vfs_inner(file)->pMethods->name(vfs_inner(file), __VA_ARGS__)

static int vfs_close(sqlite3_file *file)
{
    return vfs_inner(file)->pMethods->xClose(vfs_inner(file));
}
static int vfs_read(sqlite3_file *file, void *out, int size, sqlite3_int64 at)
{
    VFS_CALL(VFS_READ, xRead, out, size, at);
}
static int vfs_write(sqlite3_file *file, const void *data, int size, sqlite3_int64 at)
{
    VFS_CALL(VFS_WRITE, xWrite, data, size, at);
}
static int vfs_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    VFS_CALL(VFS_TRUNCATE, xTruncate, size);
}
static int vfs_sync(sqlite3_file *file, int flags)
{
    VFS_CALL(VFS_SYNC, xSync, flags);
}
static int vfs_size(sqlite3_file *file, sqlite3_int64 *size)
{
    VFS_CALL(VFS_SIZE, xFileSize, size);
}
static int vfs_lock(sqlite3_file *file, int level)
{
    VFS_CALL(VFS_LOCK, xLock, level);
}
static int vfs_unlock(sqlite3_file *file, int level)
{
    return vfs_inner(file)->pMethods->xUnlock(vfs_inner(file), level);
}
static int vfs_reserved(sqlite3_file *file, int *out)
{
    VFS_CALL(VFS_LOCK, xCheckReservedLock, out);
}
static int vfs_control(sqlite3_file *file, int op, void *argument)
{
    return vfs_inner(file)->pMethods->xFileControl(vfs_inner(file), op, argument);
}
static int vfs_sector(sqlite3_file *file)
{
    return vfs_inner(file)->pMethods->xSectorSize(vfs_inner(file));
}
static int vfs_character(sqlite3_file *file)
{
    return vfs_inner(file)->pMethods->xDeviceCharacteristics(vfs_inner(file));
}
static int vfs_shm_map(sqlite3_file *file, int region, int size, int extend, void volatile **out)
{
    VFS_CALL(VFS_SHM, xShmMap, region, size, extend, out);
}
static int vfs_shm_lock(sqlite3_file *file, int offset, int count, int flags)
{
    vfs_call call = flags & SQLITE_SHM_EXCLUSIVE ? VFS_LOCK : VFS_SHARED;
    int code = flags & SQLITE_SHM_LOCK ? vfs_ask(call) : SQLITE_OK;
    return code ? code : vfs_inner(file)->pMethods->xShmLock(vfs_inner(file), offset, count, flags);
}
static void vfs_shm_barrier(sqlite3_file *file)
{
    vfs_inner(file)->pMethods->xShmBarrier(vfs_inner(file));
}
static int vfs_shm_unmap(sqlite3_file *file, int remove)
{
    return vfs_inner(file)->pMethods->xShmUnmap(vfs_inner(file), remove);
}

static int vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out)
{
    (void)vfs;
    file->pMethods = NULL;
    int code = vfs_ask(VFS_OPEN);
    code = code ? code : vfs_real->xOpen(vfs_real, name, vfs_inner(file), flags, out);
    if (!code) {
        file->pMethods = &vfs_methods;
    }
    return code;
}
static int vfs_delete(sqlite3_vfs *vfs, const char *name, int sync)
{
    (void)vfs;
    int code = vfs_ask(VFS_DELETE);
    return code ? code : vfs_real->xDelete(vfs_real, name, sync);
}

static void vfs_install(void)
{
    vfs_real = sqlite3_vfs_find(NULL);
    vfs_own = *vfs_real;
    vfs_own.zName = "marty-faults";
    vfs_own.szOsFile = (int)sizeof(vfs_file) + vfs_real->szOsFile;
    vfs_own.xOpen = vfs_open;
    vfs_own.xDelete = vfs_delete;
    vfs_methods = (sqlite3_io_methods){.iVersion = 2,
                                       .xClose = vfs_close,
                                       .xRead = vfs_read,
                                       .xWrite = vfs_write,
                                       .xTruncate = vfs_truncate,
                                       .xSync = vfs_sync,
                                       .xFileSize = vfs_size,
                                       .xLock = vfs_lock,
                                       .xUnlock = vfs_unlock,
                                       .xCheckReservedLock = vfs_reserved,
                                       .xFileControl = vfs_control,
                                       .xSectorSize = vfs_sector,
                                       .xDeviceCharacteristics = vfs_character,
                                       .xShmMap = vfs_shm_map,
                                       .xShmLock = vfs_shm_lock,
                                       .xShmBarrier = vfs_shm_barrier,
                                       .xShmUnmap = vfs_shm_unmap};
    (void)sqlite3_vfs_register(&vfs_own, 1);
}
#endif
