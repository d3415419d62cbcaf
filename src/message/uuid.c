/* SPDX-License-Identifier: Apache-2.0
 * UUIDv7: 48 bits of milliseconds, 12 bits of their fraction (RFC 9562 section 6.2, method 3), 62
 * bits of chance. The last time used is per thread, so nothing is shared and nothing waits. */
#include "uuid.h"

#include "base/clock.h"

#include <string.h>

static _Thread_local uint64_t last_tick;

/* Milliseconds times 4096 plus the fraction. */
static uint64_t tick_of(int64_t wall_us)
{
    uint64_t us = wall_us > 0 ? (uint64_t)wall_us : 0;
    return us / 1000 << 12 | us % 1000 * 4096 / 1000;
}

/* Sixteen hexadecimal digits, all at once: a nibble into each byte, then to its letter. */
static void put_hex(char out[16], uint64_t value)
{
    for (int half = 0; half < 2; half++) {
        uint64_t nibbles = half ? value & 0xffffffff : value >> 32;
        nibbles = (nibbles | nibbles << 16) & 0x0000ffff0000ffffu;
        nibbles = (nibbles | nibbles << 8) & 0x00ff00ff00ff00ffu;
        nibbles = (nibbles | nibbles << 4) & 0x0f0f0f0f0f0f0f0fu;
        uint64_t above_nine = (nibbles + 0x0606060606060606u) >> 4 & 0x0101010101010101u;
        nibbles += 0x3030303030303030u + above_nine * ('a' - '0' - 10);
        for (int i = 7; i >= 0; i--) { /* one store: the compiler turns it around */
            out[8 * half + i] = (char)(nibbles & 0xff);
            nibbles >>= 8;
        }
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
    char digits[32];
    put_hex(digits, tick >> 12 << 16 | 0x7000 | (tick & 0xfff));
    put_hex(digits + 16, UINT64_C(1) << 63 | chance >> 2);
    memcpy(out, digits, 8);
    memcpy(out + 9, digits + 8, 4);
    memcpy(out + 14, digits + 12, 4);
    memcpy(out + 19, digits + 16, 4);
    memcpy(out + 24, digits + 20, 12);
    out[8] = out[13] = out[18] = out[23] = '-';
    out[36] = '\0';
}
