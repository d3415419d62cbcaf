/* SPDX-License-Identifier: Apache-2.0
 * SHA-256 as FIPS 180-4 writes it down. */
#include "sha256.h"

static const uint32_t round_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t turn(uint32_t x, unsigned bits)
{
    return x >> bits | x << (32 - bits);
}

static void schedule(uint32_t w[64], const uint8_t *block)
{
    for (int i = 0; i < 16; i++) {
        w[i] = (uint32_t)block[i * 4] << 24 | (uint32_t)block[i * 4 + 1] << 16 |
               (uint32_t)block[i * 4 + 2] << 8 | block[i * 4 + 3];
    }
    for (int i = 16; i < 64; i++) {
        uint32_t a = w[i - 15], b = w[i - 2];
        w[i] = w[i - 16] + (turn(a, 7) ^ turn(a, 18) ^ a >> 3) + w[i - 7] +
               (turn(b, 17) ^ turn(b, 19) ^ b >> 10);
    }
}

/* One round; the eight words change names from round to round instead of places. */
static inline void round_of(const uint32_t *a, const uint32_t *b, const uint32_t *c, uint32_t *d,
                            const uint32_t *e, const uint32_t *f, const uint32_t *g, uint32_t *h,
                            uint32_t word)
{
    uint32_t choose = *g ^ (*e & (*f ^ *g));
    uint32_t majority = (*a & *b) | (*c & (*a | *b));
    uint32_t one = *h + (turn(*e, 6) ^ turn(*e, 11) ^ turn(*e, 25)) + choose + word;
    *d += one;
    *h = one + (turn(*a, 2) ^ turn(*a, 13) ^ turn(*a, 22)) + majority;
}

static void compress(marty__sha256 *hash, const uint8_t *block)
{
    uint32_t w[64];
    schedule(w, block);
    uint32_t *s = hash->state;
    uint32_t a = s[0], b = s[1], c = s[2], d = s[3], e = s[4], f = s[5], g = s[6], h = s[7];
    for (int i = 0; i < 64; i += 8) {
        const uint32_t *k = &round_constants[i], *v = &w[i];
        round_of(&a, &b, &c, &d, &e, &f, &g, &h, k[0] + v[0]);
        round_of(&h, &a, &b, &c, &d, &e, &f, &g, k[1] + v[1]);
        round_of(&g, &h, &a, &b, &c, &d, &e, &f, k[2] + v[2]);
        round_of(&f, &g, &h, &a, &b, &c, &d, &e, k[3] + v[3]);
        round_of(&e, &f, &g, &h, &a, &b, &c, &d, k[4] + v[4]);
        round_of(&d, &e, &f, &g, &h, &a, &b, &c, k[5] + v[5]);
        round_of(&c, &d, &e, &f, &g, &h, &a, &b, k[6] + v[6]);
        round_of(&b, &c, &d, &e, &f, &g, &h, &a, k[7] + v[7]);
    }
    s[0] += a, s[1] += b, s[2] += c, s[3] += d;
    s[4] += e, s[5] += f, s[6] += g, s[7] += h;
}

void marty__sha256_begin(marty__sha256 *hash)
{
    *hash = (marty__sha256){.state = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f,
                                      0x9b05688c, 0x1f83d9ab, 0x5be0cd19}};
}

void marty__sha256_add(marty__sha256 *hash, const void *data, size_t size)
{
    const uint8_t *at = data;
    while (size) {
        size_t have = (size_t)(hash->size % 64);
        size_t take = size < 64 - have ? size : 64 - have;
        memcpy(hash->block + have, at, take);
        hash->size += take;
        at += take;
        size -= take;
        if (hash->size % 64 == 0) {
            compress(hash, hash->block);
        }
    }
}

void marty__sha256_end(marty__sha256 *hash, uint8_t ret[MARTY__SHA256_BYTES])
{
    static const uint8_t padding[64] = {0x80};
    uint64_t bits = hash->size * 8;
    uint8_t length[8];
    for (int i = 0; i < 8; i++) {
        length[i] = (uint8_t)(bits >> (56 - 8 * i));
    }
    size_t have = (size_t)(hash->size % 64);
    marty__sha256_add(hash, padding, have < 56 ? 56 - have : 120 - have);
    marty__sha256_add(hash, length, sizeof length);
    for (int i = 0; i < MARTY__SHA256_BYTES; i++) {
        ret[i] = (uint8_t)(hash->state[i / 4] >> (24 - 8 * (i % 4)));
    }
}
