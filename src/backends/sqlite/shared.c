/* SPDX-License-Identifier: Apache-2.0
 * Attaching to the shared file, and who is alive. The door (byte 0, an open file description lock)
 * is held while a port attaches: the first one in finds no slot held and makes the file anew,
 * so nothing that a crash or an older boot left in it is ever believed. Locks are of the open file
 * description, so two ports of one process see each other; a child made by fork shares its
 * parent's and may keep it alive: then leases decide. */
#include "shared.h"

#include "base/clock.h"
#include "base/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    VERSION = 1,
    DOOR = 0,
    FIRST_SLOT = 1, /* byte to lock */
    FILE_BYTES = sizeof(sq_header) + SQ_SLOTS * sizeof(sq_slot),
    PATH_BYTES = 4096,
    POLL_NS = 2 * MARTY__NS_PER_MS
};
static const char magic[8] = "martysq";

void marty__sq_shared_init(sq_shared *shared)
{
    memset(shared, 0, sizeof *shared);
    shared->fd = shared->slot = -1;
}

static int set_lock(int fd, int command, short type, off_t start, off_t size)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = size};
    int result = fcntl(fd, command, &lock);
    return command == F_OFD_GETLK && result == 0 ? lock.l_type != F_UNLCK : result;
}

static bool held_by_another(const sq_shared *shared, off_t start, off_t size)
{
    return set_lock(shared->fd, F_OFD_GETLK, F_WRLCK, start, size) != 0;
}

/* Like the database's own helpers, with its mode, so that whoever may open the one may open both.
 */
static marty_err open_file(sq_shared *shared, const char *path, mode_t mode, marty_error *why)
{
    struct stat status;
    shared->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, mode);
    if (shared->fd >= 0) {
        if (fstat(shared->fd, &status) == 0 && status.st_size == 0) {
            (void)fchmod(shared->fd,
                         mode); /* ours, just made: not less than asked for by a umask */
        }
        return MARTY_OK;
    }
    marty_err err =
        errno == EACCES || errno == EPERM || errno == EROFS ? MARTY_E_DENIED : MARTY_E_STORAGE;
    return marty_error_set(why, err, "%s: %s; the folder of the database must be writable", path,
                           strerror(errno));
}

static marty_err shut_door(sq_shared *shared, const char *path, int64_t deadline_ns,
                           marty_error *why)
{
    while (set_lock(shared->fd, F_OFD_SETLK, F_WRLCK, DOOR, 1) != 0) {
        if (errno != EAGAIN && errno != EACCES && errno != EINTR) {
            return marty_error_set(why, MARTY_E_UNAVAILABLE, "%s: cannot lock it: %s", path,
                                   strerror(errno));
        }
        if (shared->env->monotonic_ns(shared->env->user) >= deadline_ns) {
            return marty_error_set(why, MARTY_E_UNAVAILABLE,
                                   "%s: another process is opening the database and does not "
                                   "finish; it may be changing its schema",
                                   path);
        }
        (void)nanosleep(&(struct timespec){.tv_nsec = POLL_NS}, NULL);
    }
    return MARTY_OK;
}

static bool known(const sq_header *header)
{
    return memcmp(header->magic, magic, sizeof magic) == 0 && header->version == VERSION &&
           header->slot_size == sizeof(sq_slot);
}

/* No other is in: what the file says is of the past. */
static void renew(sq_shared *shared)
{
    const marty_env *env = shared->env;
    memset((void *)shared->header, 0, FILE_BYTES);
    memcpy(shared->header->magic, magic, sizeof magic);
    shared->header->version = VERSION;
    shared->header->slot_size = sizeof(sq_slot);
    atomic_store(&shared->header->clock_us,
                 env->wall_us(env->user) - env->monotonic_ns(env->user) / 1000);
}

static marty_err map_file(sq_shared *shared, const char *path, marty_error *why)
{
    /* Blocks first: a hole that cannot be filled later would be a SIGBUS, not an error. */
    int failed = posix_fallocate(shared->fd, 0, FILE_BYTES);
    if (failed) {
        return marty_error_set(why, MARTY_E_STORAGE, "%s: no room for %d bytes: %s", path,
                               (int)FILE_BYTES, strerror(failed));
    }
    void *mapped = mmap(NULL, FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, shared->fd, 0);
    if (mapped == MAP_FAILED) {
        return marty_error_set(why, MARTY_E_STORAGE, "%s: cannot map it: %s", path,
                               strerror(errno));
    }
    shared->header = mapped;
    shared->slots = (sq_slot *)(void *)((char *)mapped + sizeof(sq_header));
    if (!held_by_another(shared, FIRST_SLOT, SQ_SLOTS)) {
        renew(shared);
    } else if (!known(shared->header)) {
        return marty_error_set(why, MARTY_E_MALFORMED,
                               "%s: not made by this version of Marty, and in use; stop the "
                               "other processes, or upgrade them",
                               path);
    }
    return MARTY_OK;
}

marty_err marty__sq_shared_attach(sq_shared *shared, const char *database, const marty_env *env,
                                  int64_t deadline_ns, marty_error *why)
{
    char path[PATH_BYTES];
    struct stat status;
    int length = snprintf(path, sizeof path, "%s-marty", database);
    if (length < 0 || (size_t)length >= sizeof path) {
        return marty_error_set(why, MARTY_E_CONFIG, "%.200s...: the path is too long", database);
    }
    shared->env = env;
    mode_t mode = stat(database, &status) == 0 ? status.st_mode & 0666 : 0644;
    marty_err err = open_file(shared, path, mode, why);
    err = err ? err : shut_door(shared, path, deadline_ns, why);
    err = err ? err : map_file(shared, path, why);
    if (err) {
        marty__sq_shared_detach(shared);
    }
    return err;
}

static void take_slot(sq_shared *shared, int slot, uint64_t member)
{
    sq_slot *mine = &shared->slots[slot];
    shared->slot = slot;
    for (size_t i = 0; i < SQ_NEWS_WORDS; i++) {
        atomic_store(&mine->interest[i], 0);
        atomic_store(&mine->news[i], 0);
    }
    atomic_store(&mine->asleep, 0);
    atomic_store(&mine->wanting_ns, 0);
    atomic_store(&mine->member, member);
    uint32_t used = atomic_load(&shared->header->slots_used);
    if (used <= (uint32_t)slot) {
        atomic_store(&shared->header->slots_used, (uint32_t)slot + 1);
    }
}

marty_err marty__sq_shared_enter(sq_shared *shared, uint64_t member, marty_error *why)
{
    for (int slot = 0; slot < SQ_SLOTS; slot++) {
        if (set_lock(shared->fd, F_OFD_SETLK, F_WRLCK, FIRST_SLOT + slot, 1) == 0) {
            take_slot(shared, slot, member);
            (void)set_lock(shared->fd, F_OFD_SETLK, F_UNLCK, DOOR, 1);
            return MARTY_OK;
        }
    }
    return marty_error_set(why, MARTY_E_UNAVAILABLE,
                           "%d buses have the database open already, the most there may be",
                           (int)SQ_SLOTS);
}

void marty__sq_shared_detach(sq_shared *shared)
{
    if (shared->slot >= 0) {
        atomic_store(&shared->slots[shared->slot].member, 0);
    }
    if (shared->header) {
        (void)munmap((void *)shared->header, FILE_BYTES);
    }
    if (shared->fd >= 0) {
        (void)close(shared->fd); /* and with it every lock */
    }
    marty__sq_shared_init(shared);
}

int64_t marty__sq_shared_now_us(const sq_shared *shared)
{
    const marty_env *env = shared->env;
    return env->monotonic_ns(env->user) / 1000 + atomic_load(&shared->header->clock_us);
}

bool marty__sq_shared_alive(const sq_shared *shared, int slot, uint64_t member)
{
    if (slot < 0 || slot >= SQ_SLOTS || atomic_load(&shared->slots[slot].member) != member) {
        return false;
    }
    return slot == shared->slot || held_by_another(shared, FIRST_SLOT + slot, 1);
}

uint64_t marty__sq_shared_census(const sq_shared *shared)
{
    uint64_t census = 0;
    uint32_t used = atomic_load(&shared->header->slots_used);
    for (uint32_t slot = 0; slot < used && slot < SQ_SLOTS; slot++) {
        uint64_t member = atomic_load(&shared->slots[slot].member);
        if (member && marty__sq_shared_alive(shared, (int)slot, member)) {
            census = census * 31 + member;
        }
    }
    return census;
}

unsigned marty__sq_news_bit(const char *name)
{
    return (unsigned)(marty__hash_stable(name, strlen(name)) % SQ_NEWS_BITS);
}

bool marty__sq_shared_sweep_due(sq_shared *shared, int64_t every_ns)
{
    int64_t now = shared->env->monotonic_ns(shared->env->user);
    int64_t swept = atomic_load(&shared->header->swept_ns);
    return (now < swept || now - swept >= every_ns) &&
           atomic_compare_exchange_strong(&shared->header->swept_ns, &swept, now);
}
