/* SPDX-License-Identifier: Apache-2.0
 * xoshiro256** per thread, seeded by getrandom, reseeded every 64 Ki draws and after a fork. Any
 * thread. */
#include "random.h"

#include "cold.h"
#include "local.h"

#include <pthread.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

enum { RESEED_AFTER = 1 << 16 };

static MARTY__LOCAL struct {
    uint64_t state[4];
    uint32_t left; /* draws until it is seeded again; 0 in a new thread and in a child of fork */
} generator;

static pthread_once_t fork_once = PTHREAD_ONCE_INIT;

/* In the child, whose only thread this is. */
static void note_fork(void)
{
    generator.left = 0;
}

static void watch_forks(void)
{
    (void)pthread_atfork(NULL, NULL, note_fork);
}

MARTY__COLD static void seed(void)
{
    (void)pthread_once(&fork_once, watch_forks);
    if (getrandom(generator.state, sizeof generator.state, 0) != (ssize_t)sizeof generator.state) {
        struct timespec now; /* no kernel randomness: ids must still differ */
        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        generator.state[0] ^= (uint64_t)now.tv_nsec;
        generator.state[1] ^= (uint64_t)now.tv_sec ^ (uint64_t)(uintptr_t)&generator;
    }
    generator.state[3] |= 1; /* never all zero */
    generator.left = RESEED_AFTER;
}

static uint64_t rotate(uint64_t value, int bits)
{
    return value << bits | value >> (64 - bits);
}

static uint64_t next(void)
{
    uint64_t *s = generator.state;
    uint64_t result = rotate(s[1] * 5, 7) * 9, shifted = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = rotate(s[3], 45);
    return result;
}

uint64_t marty__random_word(void)
{
    if (!generator.left) {
        seed();
    }
    generator.left--;
    return next();
}

void marty__random_bytes(void *buffer, size_t size)
{
    unsigned char *out = buffer;
    uint64_t value;
    for (; size >= sizeof value; size -= sizeof value, out += sizeof value) {
        value = marty__random_word();
        memcpy(out, &value, sizeof value);
    }
    if (size) {
        value = marty__random_word();
        memcpy(out, &value, size);
    }
}
