/* SPDX-License-Identifier: Apache-2.0
 * SipHash-1-3 (Aumasson, Bernstein) and murmur2 (Appleby), written from their public descriptions.
 * Any thread. */
#include "hash.h"

#include "random.h"

#include <pthread.h>

static uint64_t process_key[2];
static pthread_once_t process_key_once = PTHREAD_ONCE_INIT;

static void make_process_key(void)
{
    marty__random_bytes(process_key, sizeof process_key);
}

static uint64_t rotate(uint64_t value, int bits)
{
    return value << bits | value >> (64 - bits);
}

typedef struct sip {
    uint64_t v[4];
} sip;

/* In registers: a call for each round costs more than the round. */
MARTY__ATTRIBUTE(always_inline) static inline sip sip_round(sip s)
{
    s.v[0] += s.v[1];
    s.v[2] += s.v[3];
    s.v[1] = rotate(s.v[1], 13) ^ s.v[0];
    s.v[3] = rotate(s.v[3], 16) ^ s.v[2];
    s.v[0] = rotate(s.v[0], 32);
    s.v[2] += s.v[1];
    s.v[0] += s.v[3];
    s.v[1] = rotate(s.v[1], 17) ^ s.v[2];
    s.v[3] = rotate(s.v[3], 21) ^ s.v[0];
    s.v[2] = rotate(s.v[2], 32);
    return s;
}

/* Eight bytes at once; compilers make one load of it. */
static uint64_t read_word(const unsigned char *bytes)
{
    return (uint64_t)bytes[0] | (uint64_t)bytes[1] << 8 | (uint64_t)bytes[2] << 16 |
           (uint64_t)bytes[3] << 24 | (uint64_t)bytes[4] << 32 | (uint64_t)bytes[5] << 40 |
           (uint64_t)bytes[6] << 48 | (uint64_t)bytes[7] << 56;
}

static uint64_t read_le(const unsigned char *bytes, size_t size)
{
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++) {
        value |= (uint64_t)bytes[i] << (8 * i);
    }
    return value;
}

/* The last bytes, less than a word; of more than a word the end is read whole. */
static uint64_t read_rest(const unsigned char *bytes, size_t size)
{
    size_t rest = size % 8;
    if (!rest || size < 8) {
        return read_le(bytes, rest);
    }
    return read_word(bytes + size - 8) >> 8 * (8 - rest);
}

static uint64_t sip13(const uint64_t key[2], const void *data, size_t size)
{
    sip s = {{key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du,
              key[0] ^ 0x6c7967656e657261u, key[1] ^ 0x7465646279746573u}};
    const unsigned char *bytes = data;
    for (size_t at = 0; at + 8 <= size; at += 8) {
        uint64_t word = read_word(bytes + at);
        s.v[3] ^= word;
        s = sip_round(s);
        s.v[0] ^= word;
    }
    uint64_t last = (uint64_t)size << 56 | read_rest(bytes, size);
    s.v[3] ^= last;
    s = sip_round(s);
    s.v[0] ^= last;
    s.v[2] ^= 0xff;
    s = sip_round(sip_round(sip_round(s)));
    return s.v[0] ^ s.v[1] ^ s.v[2] ^ s.v[3];
}

uint64_t marty__hash(const void *data, size_t size)
{
    (void)pthread_once(&process_key_once, make_process_key);
    return sip13(process_key, data, size);
}

uint64_t marty__hash_number(uint64_t number)
{
    (void)pthread_once(&process_key_once, make_process_key);
    __extension__ unsigned __int128 product =
        (unsigned __int128)(number ^ process_key[0]) * (process_key[1] | 1);
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

uint64_t marty__hash_stable(const void *data, size_t size)
{
    static const uint64_t zero[2] = {0, 0};
    return sip13(zero, data, size);
}

uint32_t marty__murmur2(const void *data, size_t size)
{
    const uint32_t mix = 0x5bd1e995;
    const unsigned char *bytes = data;
    uint32_t hash = 0x9747b28cu ^ (uint32_t)size;
    size_t whole = size & ~(size_t)3;
    for (size_t at = 0; at < whole; at += 4) {
        uint32_t word = (uint32_t)read_le(bytes + at, 4) * mix;
        word ^= word >> 24;
        hash = hash * mix ^ word * mix;
    }
    if (size > whole) {
        hash ^= (uint32_t)read_le(bytes + whole, size - whole);
        hash *= mix;
    }
    hash ^= hash >> 13;
    hash *= mix;
    return hash ^ hash >> 15;
}

void marty__hex(char *ret, const void *data, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *bytes = data;
    for (size_t i = 0; i < size; i++) {
        ret[2 * i] = digits[bytes[i] >> 4];
        ret[2 * i + 1] = digits[bytes[i] & 15];
    }
    ret[2 * size] = '\0';
}
