/* SPDX-License-Identifier: Apache-2.0
 * UUIDv7: 48 bits of milliseconds, 12 bits of their fraction (RFC 9562 section 6.2, method 3), 62
 * bits of chance. The last time used is per thread, so nothing is shared and nothing waits. */
#include "uuid.h"

#include "base/clock.h"
#include "base/local.h"
#include "base/random.h"

#include <endian.h>
#include <string.h>

/* The last time used, and the text of its milliseconds, which many ids share. */
enum { MS_TEXT = 14 };
static MARTY__LOCAL struct {
    uint64_t tick, ms;
    int64_t wall_us; /* that the tick is not behind */
    char text[MS_TEXT];
    bool written;
} last;

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
    value = htobe64(value); /* the first digit first */
    ;
    memcpy(out, &value, sizeof value);
}

void marty__uuid7(const marty_env *env, char out[MARTY__UUID_TEXT])
{
    env = env ? env : marty__env_real();
    marty__uuid7_at(env, env->wall_us(env->user), out);
}

static void put_ms(char out[MS_TEXT], uint64_t ms)
{
    if (!last.written || last.ms != ms) {
        put_hex(last.text + 5, ms & 0xffff); /* fills up the one before, as below */
        put_hex(last.text, ms >> 16 & 0xffffffff);
        last.text[8] = last.text[13] = '-';
        last.ms = ms;
        last.written = true;
    }
    memcpy(out, last.text, MS_TEXT);
}

static void put(char out[MARTY__UUID_TEXT], const uint64_t id[2])
{
    put_hex(out + 28, id[1] & 0xffffffff); /* from the end: each fills up the one before */
    put_hex(out + 20, id[1] >> 32 & 0xffff);
    put_hex(out + 15, id[1] >> 48);
    put_hex(out + 10, id[0] & 0xffff);
    put_ms(out, id[0] >> 16);
    out[18] = out[23] = '-';
    out[36] = '\0';
}

static void of_parts(uint64_t id[2], uint64_t tick, uint64_t chance)
{
    id[0] = tick >> 12 << 16 | 0x7000 | (tick & 0xfff);
    id[1] = (uint64_t)1 << 63 | chance >> 2;
}

void marty__uuid7_at(const marty_env *env, int64_t wall_us, char out[MARTY__UUID_TEXT])
{
    const marty_env *real = marty__env_real();
    env = env ? env : real;
    uint64_t id[2], tick = tick_of(wall_us), chance = 0;
    if (env->wall_us == real->wall_us) {
        tick = tick > last.tick ? tick : last.tick + 1;
        last.tick = tick;
    }
    env->random(env->user, &chance, sizeof chance);
    of_parts(id, tick, chance);
    put(out, id);
}

void marty__uuid7_next(int64_t wall_us, uint64_t id[2], char out[MARTY__UUID_TEXT])
{
    if (wall_us != last.wall_us) {
        uint64_t tick = tick_of(wall_us);
        last.tick = tick > last.tick ? tick - 1 : last.tick;
        last.wall_us = wall_us;
    }
    of_parts(id, ++last.tick, marty__random_word());
    put(out, id);
}

/* Eight hexadecimal digits; other bytes give some number. */
static uint64_t read_hex(const char *text)
{
    uint64_t digits;
    memcpy(&digits, text, sizeof digits);
    digits = be64toh(digits);
    digits = (digits & 0x0f0f0f0f0f0f0f0fu) + 9 * (digits >> 6 & 0x0101010101010101u);
    digits = (digits | digits >> 4) & 0x00ff00ff00ff00ffu;
    digits = (digits | digits >> 8) & 0x0000ffff0000ffffu;
    return (digits | digits >> 16) & 0xffffffff;
}

bool marty__uuid7_read(uint64_t id[2], const char *text, size_t size)
{
    char again[MARTY__UUID_TEXT];
    if (size != MARTY__UUID_TEXT - 1 || text[14] != '7') {
        return false;
    }
    id[0] = read_hex(text) << 32 | (read_hex(text + 9) >> 16) << 16 | (read_hex(text + 14) >> 16);
    id[1] =
        (read_hex(text + 19) >> 16) << 48 | (read_hex(text + 24) >> 16) << 32 | read_hex(text + 28);
    put(again, id); /* the same text only: no capitals, no other bytes */
    return memcmp(again, text, size) == 0;
}
