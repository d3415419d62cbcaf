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

/* The two hexadecimal digits of each byte. */
#define ROW(high)                                                                                  \
    high "0" high "1" high "2" high "3" high "4" high "5" high "6" high "7" high "8" high "9" high \
         "a" high "b" high "c" high "d" high "e" high "f"
static const char pairs[] = ROW("0") ROW("1") ROW("2") ROW("3") ROW("4") ROW("5") ROW("6") ROW("7")
    ROW("8") ROW("9") ROW("a") ROW("b") ROW("c") ROW("d") ROW("e") ROW("f");
#undef ROW

/* Four digits of the lowest bits. */
static inline void put_four(char out[4], uint64_t value)
{
    memcpy(out, pairs + 2 * (value >> 8 & 0xff), 2);
    memcpy(out + 2, pairs + 2 * (value & 0xff), 2);
}

void marty__uuid7(const marty_env *env, char out[MARTY__UUID_TEXT])
{
    env = env ? env : marty__env_real();
    marty__uuid7_at(env, env->wall_us(env->user), out);
}

static void put_ms(char out[MS_TEXT], uint64_t ms)
{
    if (!last.written || last.ms != ms) {
        put_four(last.text, ms >> 32);
        put_four(last.text + 4, ms >> 16);
        put_four(last.text + 9, ms);
        last.text[8] = last.text[13] = '-';
        last.ms = ms;
        last.written = true;
    }
    memcpy(out, last.text, MS_TEXT);
}

static void put(char out[MARTY__UUID_TEXT], const uint64_t id[2])
{
    uint64_t first = id[0], second = id[1];
    put_ms(out, first >> 16);
    put_four(out + 14, first);
    put_four(out + 19, second >> 48);
    put_four(out + 24, second >> 32);
    put_four(out + 28, second >> 16);
    put_four(out + 32, second);
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
