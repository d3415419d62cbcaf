/* SPDX-License-Identifier: Apache-2.0
 * Waking: between threads and processes by a futex in the shared file. A word that has moved since
 * it was read never lets its reader sleep, and a sleeper says so before it sleeps, so a ring that
 * finds nobody asleep costs no system call and none is lost. Waiting for the writer's lock goes the
 * same way, by the count of transactions ended; who has waited is let go first, so a busy port does
 * not starve the others. Nothing here is held: whoever dies in the middle leaves nothing shut. */
#include "shared.h"

#include "base/clock.h"

#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
    STALE_NS = 200 * MARTY__NS_PER_MS, /* a wish to write that old is of a dead process */
    YIELD_NS = 2 * MARTY__NS_PER_MS
};

static void futex_wait(_Atomic uint32_t *word, uint32_t seen, int64_t wait_ns)
{
    struct timespec time = {.tv_sec = (time_t)(wait_ns / 1000000000),
                            .tv_nsec = (long)(wait_ns % 1000000000)};
    if (wait_ns > 0) {
        (void)syscall(SYS_futex, word, FUTEX_WAIT, seen, &time, NULL, 0);
    }
}

static void futex_wake(_Atomic uint32_t *word, int count)
{
    (void)syscall(SYS_futex, word, FUTEX_WAKE, count, NULL, NULL, 0);
}

uint32_t marty__sq_bell_read(const sq_slot *slot)
{
    return atomic_load(&slot->bell);
}

bool marty__sq_bell_swing(sq_slot *slot)
{
    (void)atomic_fetch_add(&slot->bell, 1);
    return atomic_load(&slot->asleep) != 0;
}

void marty__sq_bell_wake(sq_slot *slot)
{
    futex_wake(&slot->bell, INT_MAX);
}

void marty__sq_bell_ring(sq_slot *slot)
{
    if (marty__sq_bell_swing(slot)) {
        marty__sq_bell_wake(slot);
    }
}

void marty__sq_bell_wait(sq_slot *slot, uint32_t seen, int64_t wait_ns)
{
    atomic_store(&slot->asleep, 1);
    if (atomic_load(&slot->bell) == seen) {
        futex_wait(&slot->bell, seen, wait_ns);
    }
    atomic_store(&slot->asleep, 0);
}

void marty__sq_shared_listen(sq_shared *shared, const sq_news *interest)
{
    sq_slot *mine = &shared->slots[shared->slot];
    for (size_t i = 0; i < SQ_NEWS_WORDS; i++) {
        atomic_store(&mine->interest[i], interest->words[i]);
    }
}

static bool add_news(sq_slot *slot, const sq_news *news)
{
    bool any = false;
    for (size_t i = 0; i < SQ_NEWS_WORDS; i++) {
        uint64_t bits = news->words[i] & atomic_load(&slot->interest[i]);
        if (bits) {
            (void)atomic_fetch_or(&slot->news[i], bits);
            any = true;
        }
    }
    return any;
}

void marty__sq_shared_tell(sq_shared *shared, const sq_news *news)
{
    uint32_t used = atomic_load(&shared->header->slots_used);
    for (uint32_t i = 0; i < used && i < SQ_SLOTS; i++) {
        sq_slot *slot = &shared->slots[i];
        if ((int)i != shared->slot && atomic_load(&slot->member) && add_news(slot, news)) {
            marty__sq_bell_ring(slot);
        }
    }
}

sq_news marty__sq_shared_heard(sq_shared *shared)
{
    sq_news news = {{0}};
    sq_slot *mine = &shared->slots[shared->slot];
    for (size_t i = 0; i < SQ_NEWS_WORDS; i++) {
        if (atomic_load_explicit(&mine->news[i], memory_order_relaxed)) {
            news.words[i] = atomic_exchange(&mine->news[i], 0);
        }
    }
    return news;
}

/* ---- the turn to write */
static bool someone_wants(const sq_shared *shared, int64_t now_ns)
{
    uint32_t used = atomic_load(&shared->header->slots_used);
    for (uint32_t i = 0; i < used && i < SQ_SLOTS; i++) {
        int64_t since = atomic_load(&shared->slots[i].wanting_ns);
        if ((int)i != shared->slot && since && now_ns - since < STALE_NS) {
            return true;
        }
    }
    return false;
}

void marty__sq_shared_began(sq_shared *shared)
{
    atomic_store(&shared->slots[shared->slot].wanting_ns, 0);
    (void)atomic_fetch_add(&shared->header->turns, 1);
    if (someone_wants(shared, marty__monotonic_ns())) {
        futex_wake(&shared->header->turns, INT_MAX);
    }
}

void marty__sq_shared_ended(sq_shared *shared)
{
    (void)atomic_fetch_add(&shared->header->commits, 1);
    if (someone_wants(shared, marty__monotonic_ns())) {
        futex_wake(&shared->header->commits, 1);
    }
}

uint32_t marty__sq_shared_commits(const sq_shared *shared)
{
    return atomic_load(&shared->header->commits);
}

uint32_t marty__sq_shared_want(sq_shared *shared, uint32_t seen, int64_t wait_ns)
{
    atomic_store(&shared->slots[shared->slot].wanting_ns, marty__monotonic_ns());
    if (marty__sq_shared_commits(shared) == seen) {
        futex_wait(&shared->header->commits, seen, wait_ns);
    }
    return marty__sq_shared_commits(shared);
}

void marty__sq_shared_unwant(sq_shared *shared)
{
    atomic_store(&shared->slots[shared->slot].wanting_ns, 0);
}

bool marty__sq_shared_wanted(const sq_shared *shared)
{
    return atomic_load(&shared->header->slots_used) > 1 &&
           someone_wants(shared, marty__monotonic_ns());
}

void marty__sq_shared_yield(sq_shared *shared)
{
    uint32_t seen = atomic_load(&shared->header->turns);
    if (someone_wants(shared, marty__monotonic_ns())) {
        futex_wait(&shared->header->turns, seen, YIELD_NS);
    }
}
