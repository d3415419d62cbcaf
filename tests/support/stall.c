/* SPDX-License-Identifier: Apache-2.0
 * Preloaded into a test: now and then one of its threads stands still, as on a machine that has
 * other things to do, at a lock, a clock, a wait, a read or a write; the others go on. What a test
 * then misses it claims of the machine, not of Marty. From a seed, though threads come in an order
 * of their own. Costs no CPU time, so that many tests can be stalled at once.
 *     MARTY_STALL=SEED,STALL_MS,EVERY_MS,MOST */
#include <dlfcn.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static const int64_t ns_per_ms = 1000000;
static struct {
    atomic_bool on;
    int stall_ms, every_ms, most; /* on average every so often, and at most so often in all */
    _Atomic uint64_t chance;
    _Atomic int64_t next_ns; /* INT64_MAX while one is being begun */
    atomic_int skip;         /* one of so many passes through here, so that rare ones come up too */
    atomic_int count;
} stalls;

/* Not through what is replaced below. */
static int64_t now_ns(void)
{
    struct timespec now = {0};
    (void)syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 * ns_per_ms + now.tv_nsec;
}

static uint32_t draw(void)
{
    uint64_t step = UINT64_C(0x9e3779b97f4a7c15);
    uint64_t bits = atomic_fetch_add(&stalls.chance, step) + step;
    bits = (bits ^ bits >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    bits = (bits ^ bits >> 27) * UINT64_C(0x94d049bb133111eb);
    return (uint32_t)(bits >> 32);
}

static void arm(int64_t from_ns)
{
    static const int skips[] = {1, 1, 3, 10, 40, 200};
    uint32_t within_us = 2000 * (uint32_t)stalls.every_ms + 1;
    atomic_store(&stalls.skip, skips[draw() % 6]);
    atomic_store(&stalls.next_ns, from_ns + (int64_t)(draw() % within_us) * 1000);
}

__attribute__((constructor)) static void begin(void)
{
    const char *text = getenv("MARTY_STALL");
    unsigned long seed = 0;
    if (text && sscanf(text, "%lu,%d,%d,%d", &seed, &stalls.stall_ms, &stalls.every_ms,
                       &stalls.most) == 4) {
        atomic_store(&stalls.chance, seed * UINT64_C(0x2545f4914f6cdd1d));
        arm(now_ns());
        atomic_store(&stalls.on, true);
    }
}

static void stand_still(const char *where, int64_t until_ns)
{
    char name[20] = "", text[120];
    (void)pthread_getname_np(pthread_self(), name, sizeof name);
    int size = snprintf(text, sizeof text, "[stall: %s stands still at %s]\n", name, where);
    (void)syscall(SYS_write, STDERR_FILENO, text, (size_t)size);
    for (int64_t left_ns; (left_ns = until_ns - now_ns()) > 0;) {
        struct timespec rest = {left_ns / (1000 * ns_per_ms), left_ns % (1000 * ns_per_ms)};
        (void)syscall(SYS_nanosleep, &rest, NULL);
    }
}

/* Not static: headers may have inline ones of some of these. */
void stall_pass(const char *where);
void stall_pass(const char *where)
{
    if (!atomic_load(&stalls.on)) {
        return;
    }
    int64_t at_ns = atomic_load(&stalls.next_ns), here_ns = now_ns();
    if (here_ns < at_ns || draw() % (uint32_t)atomic_load(&stalls.skip) != 0 ||
        !atomic_compare_exchange_strong(&stalls.next_ns, &at_ns, INT64_MAX)) {
        return;
    }
    if (atomic_fetch_add(&stalls.count, 1) < stalls.most) {
        arm(here_ns); /* another one may stand still meanwhile */
        stand_still(where, here_ns + stalls.stall_ms * ns_per_ms);
    }
}

/* ---- what is replaced */
#pragma GCC visibility push(default)
#define REAL(function)                                                                             \
    static __typeof__(&(function)) real;                                                           \
    if (!real) {                                                                                   \
        *(void **)&real = dlsym(RTLD_NEXT, #function);                                             \
    }

int pthread_mutex_lock(pthread_mutex_t *mutex)
{
    REAL(pthread_mutex_lock)
    stall_pass("a lock");
    return real(mutex);
}

int pthread_mutex_unlock(pthread_mutex_t *mutex)
{
    REAL(pthread_mutex_unlock)
    int result = real(mutex);
    stall_pass("the end of a lock");
    return result;
}

int pthread_create(pthread_t *ret_thread, const pthread_attr_t *attributes, void *(*run)(void *),
                   void *argument)
{
    REAL(pthread_create)
    stall_pass("the start of a thread");
    int result = real(ret_thread, attributes, run, argument);
    stall_pass("a thread that has started");
    return result;
}

int poll(struct pollfd *descriptors, nfds_t count, int timeout_ms)
{
    REAL(poll)
    stall_pass("a poll");
    int result = real(descriptors, count, timeout_ms);
    stall_pass("the end of a poll");
    return result;
}

int nanosleep(const struct timespec *rest, struct timespec *ret_left)
{
    REAL(nanosleep)
    int result = real(rest, ret_left);
    stall_pass("the end of a pause");
    return result;
}

int clock_gettime(clockid_t clock, struct timespec *ret_now)
{
    REAL(clock_gettime)
    int result = real(clock, ret_now);
    stall_pass("a clock");
    return result;
}

ssize_t read(int descriptor, void *data, size_t size)
{
    REAL(read)
    stall_pass("a read");
    return real(descriptor, data, size);
}

ssize_t write(int descriptor, const void *data, size_t size)
{
    REAL(write)
    stall_pass("a write");
    return real(descriptor, data, size);
}
#pragma GCC visibility pop
