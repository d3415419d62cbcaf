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

static char *put_hex(char *out, uint64_t value, int digits)
{
    static const char hex[] = "0123456789abcdef";
    for (int shift = 4 * digits - 4; shift >= 0; shift -= 4) {
        *out++ = hex[value >> shift & 15];
    }
    return out;
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
    char *at = put_hex(out, tick >> 28 & 0xffffffff, 8);
    *at++ = '-';
    at = put_hex(at, tick >> 12 & 0xffff, 4);
    *at++ = '-';
    *at++ = '7';
    at = put_hex(at, tick & 0xfff, 3);
    *at++ = '-';
    at = put_hex(at, 0x8000 | (chance >> 48 & 0x3fff), 4);
    *at++ = '-';
    at = put_hex(at, chance & 0xffffffffffff, 12);
    *at = '\0';
}
