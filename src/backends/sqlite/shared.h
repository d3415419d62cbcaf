/* SPDX-License-Identifier: Apache-2.0
 * What the processes on one database tell each other without SQL: a small file beside it
 * ("orders.db-marty"), mapped by all. It holds no data, only bells: each port has a slot with a
 * futex word that others ring after a commit, and bits for the channels that it listens to. A byte
 * of the file, locked for as long as the port lives (the kernel lets go of it at SIGKILL too), says
 * who is alive. All that is lost when the file is lost is speed: every port also looks by itself
 * each second. Calls on one sq_shared: its own thread, but for the bell, which any thread may ring.
 */
#ifndef MARTY_BACKENDS_SQLITE_SHARED_H
#define MARTY_BACKENDS_SQLITE_SHARED_H
#include <marty/backend.h>
#include <stdatomic.h>

enum { SQ_SLOTS = 256, SQ_NEWS_WORDS = 8, SQ_NEWS_BITS = SQ_NEWS_WORDS * 64 };

/* A set of channels, by hash of their names: two may share a bit, then one of them is woken for
 * nothing. */
typedef struct sq_news {
    uint64_t words[SQ_NEWS_WORDS];
} sq_news;

typedef struct sq_slot { /* asleep: it waits on bell. wanting_ns: since when it waits to write */
    _Atomic uint32_t bell, asleep;
    _Atomic uint64_t member;
    _Atomic int64_t wanting_ns;
    _Atomic uint64_t interest[SQ_NEWS_WORDS], news[SQ_NEWS_WORDS];
    uint64_t reserved[5];
} sq_slot;
typedef struct sq_header { /* clock_us: what is added to the monotonic clock to give stored times.
        commits: rung when a writer is done. swept_ns: when housekeeping was last done */
    char magic[8];
    uint32_t version, slot_size;
    _Atomic int64_t clock_us, swept_ns;
    _Atomic uint32_t commits, turns, slots_used;
    uint32_t reserved[21];
} sq_header;
_Static_assert(sizeof(sq_slot) == 192 && sizeof(sq_header) == 128, "layout of the shared file");

typedef struct sq_shared {
    int fd, slot; /* slot -1 = none */
    sq_header *header;
    sq_slot *slots;
    const marty_env *env;
} sq_shared;

/** Nothing attached: detach is fine. */
void marty__sq_shared_init(sq_shared *shared);
/** Map the file beside the database, made when missing, with its mode. On return the calling port
 * holds the door: others wait in their attach until marty__sq_shared_enter. E: UNAVAILABLE (the
 * door stays shut until the deadline), STORAGE, DENIED, MALFORMED. */
marty_err marty__sq_shared_attach(sq_shared *shared, const char *database, const marty_env *env,
                                  int64_t deadline_ns, marty_error *why);
/** Take a slot for a member and open the door. E: UNAVAILABLE (all slots taken). */
marty_err marty__sq_shared_enter(sq_shared *shared, uint64_t member, marty_error *why);
/** Give slot and mapping back. */
void marty__sq_shared_detach(sq_shared *shared);

/** Stored time, microseconds: follows the monotonic clock for as long as any port is open, so a
 * wall clock that jumps moves no lease, delay or age. */
int64_t marty__sq_shared_now_us(const sq_shared *shared);
/** Whether a member that said it has that slot lives. */
bool marty__sq_shared_alive(const sq_shared *shared, int slot, uint64_t member);
/** A number that changes when a port comes or goes (a system call per slot). */
uint64_t marty__sq_shared_census(const sq_shared *shared);

/** The bit of a channel's name. */
unsigned marty__sq_news_bit(const char *name);
MARTY_INLINE void marty__sq_news_add(sq_news *news, unsigned bit)
{
    news->words[bit / 64] |= (uint64_t)1 << bit % 64;
}
/** Say what this port listens to: before it reads the database for it. */
void marty__sq_shared_listen(sq_shared *shared, const sq_news *interest);
/** Ring all others that listen to any of these: after the commit. */
void marty__sq_shared_tell(sq_shared *shared, const sq_news *news);
/** What was rung for since the last call. */
sq_news marty__sq_shared_heard(sq_shared *shared);

/** The word of the bell, read before looking for work. */
uint32_t marty__sq_bell_read(const sq_slot *slot);
/** Ring it: any thread. */
void marty__sq_bell_ring(sq_slot *slot);
/** The same in two steps, so that who wakes finds no lock held: whether somebody sleeps, then
 * waking them. The second only names the place: the slot may have been unmapped since. */
bool marty__sq_bell_swing(sq_slot *slot);
void marty__sq_bell_wake(sq_slot *slot);
/** Sleep until it is rung after `seen` was read, or for wait_ns. */
void marty__sq_bell_wait(sq_slot *slot, uint32_t seen, int64_t wait_ns);

/** A transaction has begun or ended: let those who wait to write try. */
void marty__sq_shared_began(sq_shared *shared);
void marty__sq_shared_ended(sq_shared *shared);
/** How many have ended: read before trying to begin. */
uint32_t marty__sq_shared_commits(const sq_shared *shared);
/** Wait until one more than `seen` has ended, at most wait_ns; the new count. Others see the wish
 * until this port begins or unwants. */
uint32_t marty__sq_shared_want(sq_shared *shared, uint32_t seen, int64_t wait_ns);
void marty__sq_shared_unwant(sq_shared *shared);
/** Whether another waits to write. */
bool marty__sq_shared_wanted(const sq_shared *shared);
/** Let one of those who wait go first, if any does. */
void marty__sq_shared_yield(sq_shared *shared);
/** Whether it is this port's turn to do the housekeeping of all, due every so often. */
bool marty__sq_shared_sweep_due(sq_shared *shared, int64_t every_ns);
#endif
