/* SPDX-License-Identifier: Apache-2.0
 * Counts allocations by standing in front of glibc's malloc, in a run of its own so that timed runs
 * pay nothing but a flag; and syncs, by standing in front of fsync and fdatasync. */
#include "bench.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *block, size_t size);

/* Programs hide their symbols here, and a library only takes what is not hidden. */
#define SEEN __attribute__((visibility("default")))

static atomic_bool counting;
static atomic_uint_fast64_t allocations, syncs;

void bench_count_allocations(bool on)
{
    atomic_store(&allocations, 0);
    atomic_store(&counting, on);
}

uint64_t bench_allocations(void)
{
    return atomic_load(&allocations);
}

static void count(void)
{
    if (atomic_load_explicit(&counting, memory_order_relaxed)) {
        atomic_fetch_add_explicit(&allocations, 1, memory_order_relaxed);
    }
}

SEEN void *malloc(size_t size)
{
    count();
    return __libc_malloc(size);
}

SEEN void *calloc(size_t number, size_t size)
{
    count();
    return __libc_calloc(number, size);
}

SEEN void *realloc(void *block, size_t size)
{
    count();
    return __libc_realloc(block, size);
}

uint64_t bench_syncs(void)
{
    return atomic_load(&syncs);
}

SEEN int fsync(int file)
{
    atomic_fetch_add_explicit(&syncs, 1, memory_order_relaxed);
    return (int)syscall(SYS_fsync, file);
}

SEEN int fdatasync(int file)
{
    atomic_fetch_add_explicit(&syncs, 1, memory_order_relaxed);
    return (int)syscall(SYS_fdatasync, file);
}
