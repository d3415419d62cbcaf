/* SPDX-License-Identifier: Apache-2.0
 * Faults for torture, and going through all points of a run: see faults.h. */
#include "faults.h"

#include "backends/sqlite/test_vfs.h"
#include "base/alloc.h"
#include "check.h"

static _Atomic long points, fail_at; /* calls so far; the one that fails, 0 = none */
static _Atomic bool ever, armed, statements;
static _Thread_local bool exempt;

void faults_arm(long at, bool for_ever)
{
    atomic_store(&points, 0);
    atomic_store(&fail_at, at);
    atomic_store(&ever, for_ever);
    atomic_store(&armed, true);
}

long faults_disarm(void)
{
    atomic_store(&armed, false);
    atomic_store(&fail_at, 0);
    return atomic_load(&points);
}

void faults_exempt(bool is)
{
    exempt = is;
}

static bool fault(void)
{
    if (exempt || !atomic_load(&armed)) {
        return false;
    }
    long now = atomic_fetch_add(&points, 1) + 1, at = atomic_load(&fail_at);
    return at && (atomic_load(&ever) ? now >= at : now == at);
}

static bool may_allocate(size_t size)
{
    (void)size;
    return !fault();
}

static sqlite3_mem_methods real_memory;

static void *torture_malloc(int size)
{
    return fault() ? NULL : real_memory.xMalloc(size);
}

static void *torture_realloc(void *block, int size)
{
    return fault() ? NULL : real_memory.xRealloc(block, size);
}

static int disk_error(vfs_call call)
{
    static const int codes[] = {
        [VFS_OPEN] = SQLITE_CANTOPEN,     [VFS_READ] = SQLITE_IOERR_READ,
        [VFS_WRITE] = SQLITE_IOERR_WRITE, [VFS_TRUNCATE] = SQLITE_IOERR_TRUNCATE,
        [VFS_SYNC] = SQLITE_IOERR_FSYNC,  [VFS_SIZE] = SQLITE_IOERR_FSTAT,
        [VFS_LOCK] = SQLITE_IOERR_LOCK,   [VFS_SHARED] = SQLITE_IOERR_SHMLOCK,
        [VFS_SHM] = SQLITE_IOERR_SHMMAP,  [VFS_DELETE] = SQLITE_IOERR_DELETE};
    return fault() ? codes[call] : SQLITE_OK;
}

static int disk_full(vfs_call call)
{
    return call == VFS_WRITE && fault() ? SQLITE_FULL : SQLITE_OK;
}

static int locked(vfs_call call)
{
    return call == VFS_LOCK && fault() ? SQLITE_BUSY : SQLITE_OK;
}

/* What our sources call in place of sqlite3_step: the linker is told so. A statement that fails on
 * the disk or for want of memory mostly takes its transaction with it, and then the commit fails
 * too; one that fails alone is seen only by who looks at its answer. A rollback cannot fail. */
int __real_sqlite3_step(sqlite3_stmt *statement);
int __wrap_sqlite3_step(sqlite3_stmt *statement);
int __wrap_sqlite3_step(sqlite3_stmt *statement)
{
    bool can_fail = atomic_load(&statements) && strcmp(sqlite3_sql(statement), "ROLLBACK") != 0;
    return can_fail && fault() ? SQLITE_IOERR : __real_sqlite3_step(statement);
}

static bool install(const char *kind)
{
    if (strcmp(kind, "sqlite-memory") == 0) {
        sqlite3_mem_methods methods;
        (void)sqlite3_config(SQLITE_CONFIG_GETMALLOC, &real_memory);
        methods = real_memory;
        methods.xMalloc = torture_malloc;
        methods.xRealloc = torture_realloc;
        (void)sqlite3_config(SQLITE_CONFIG_MALLOC, &methods);
        (void)sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0); /* small ones are asked for, too */
        return true;
    }
    if (strcmp(kind, "memory") == 0) {
        marty__alloc_set_hook(may_allocate);
        return true;
    }
    if (strcmp(kind, "statement") == 0) {
        atomic_store(&statements, true);
        return true;
    }
    vfs_install();
    atomic_store(&vfs_hook, strcmp(kind, "disk-error") == 0  ? disk_error
                            : strcmp(kind, "disk-full") == 0 ? disk_full
                                                             : locked);
    return strcmp(kind, "disk-error") == 0 || strcmp(kind, "disk-full") == 0 ||
           strcmp(kind, "locked") == 0;
}

/* All points, those a stride apart first, until the time is over; how many. */
static long go_through(faults_run run, const char *kind, long count, bool for_ever,
                       int64_t until_ms)
{
    enum { STRIDE = 97 };
    long tried = 0;
    for (long from = 1; from <= STRIDE; from++) {
        for (long at = from; at <= count && check_now_ms() < until_ms; at += STRIDE) {
            (void)run(kind, at, for_ever);
            tried++;
        }
    }
    return tried;
}

int faults_main(int argc, char **argv, faults_run run)
{
    const char *kind = argc > 1 ? argv[1] : "memory";
    long seconds = argc > 2 ? strtol(argv[2], NULL, 10) : 15,
         only = argc > 3 ? strtol(argv[3], NULL, 10) : 0;
    if (!install(kind)) {
        fprintf(stderr, "no kind %s\n", kind);
        return 2;
    }
    if (only) { /* one point, as it was printed */
        (void)run(kind, only, argc > 4);
        return check_result();
    }
    long count = run(kind, 0, false);
    int64_t whole_ms = seconds ? seconds * 1000 : INT64_MAX / 100;
    long tried = go_through(run, kind, count, false, check_now_ms() + whole_ms * 6 / 10);
    tried += go_through(run, kind, count, true, check_now_ms() + whole_ms * 4 / 10);
    printf("%s: %ld fault points, %ld tried\n", kind, count, tried);
    return check_result();
}

const char *faults_name(const char *kind, long at, bool for_ever)
{
    static char text[100];
    (void)snprintf(text, sizeof text, "%s %ld %s", kind, at, for_ever ? "and all later" : "once");
    return text;
}
