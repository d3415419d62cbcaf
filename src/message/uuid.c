/* SPDX-License-Identifier: Apache-2.0
 * UUIDv7: 48 bits of milliseconds, 12 bits of their fraction (RFC 9562 section 6.2, method 3), 62
 * bits of chance. The last time used is per thread, so nothing is shared and nothing waits. */
#include "uuid.h"

#include "base/clock.h"

static _Thread_local uint64_t last_tick;

/* Milliseconds times 4096 plus the fraction. */
static uint64_t tick_of(int64_t wall_us)
{
    uint64_t us = wall_us > 0 ? (uint64_t)wall_us : 0;
    return us / 1000 << 12 | us % 1000 * 4096 / 1000;
}

/* Eight hexadecimal digits, all at once: a nibble into each byte, then to its letter. */
static void put_hex(char out[8], uint64_t value)
{
    value = (value | value << 16) & 0x0000ffff0000ffffu;
    value = (value | value << 8) & 0x00ff00ff00ff00ffu;
    value = (value | value << 4) & 0x0f0f0f0f0f0f0f0fu;
    uint64_t above_nine = (value + 0x0606060606060606u) >> 4 & 0x0101010101010101u;
    value += 0x3030303030303030u + above_nine * ('a' - '0' - 10);
    for (int i = 7; i >= 0; i--) { /* one store: the compiler turns it around */
        out[i] = (char)(value & 0xff);
        value >>= 8;
    }
}

void marty__uuid7(const marty_env *env, char out[MARTY__UUID_TEXT])
{
    env = env ? env : marty__env_real();
    marty__uuid7_at(env, env->wall_us(env->user), out);
}

void marty__uuid7_at(const marty_env *env, int64_t wall_us, char out[MARTY__UUID_TEXT])
{
    const marty_env *real = marty__env_real();
    env = env ? env : real;
    uint64_t tick = tick_of(wall_us), chance = 0;
    if (env->wall_us == real->wall_us) {
        tick = tick > last_tick ? tick : last_tick + 1;
        last_tick = tick;
    }
    env->random(env->user, &chance, sizeof chance);
    put_hex(out + 28, chance >> 2 & 0xffffffff); /* from the end: each fills up the one before */
    put_hex(out + 20, chance >> 34 & 0xffff);
    put_hex(out + 15, 0x8000 | chance >> 50);
    put_hex(out + 10, 0x7000 | (tick & 0xfff));
    put_hex(out + 5, tick >> 12 & 0xffff);
    put_hex(out, tick >> 28 & 0xffffffff);
    out[8] = out[13] = out[18] = out[23] = '-';
    out[36] = '\0';
}
