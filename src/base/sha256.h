/* SPDX-License-Identifier: Apache-2.0
 * SHA-256 (FIPS 180-4): for names made of content, where two things must never share one. libmarty
 * links no library of cryptography, and nothing here is a secret. Pure; one thread per object. */
#ifndef MARTY_BASE_SHA256_H
#define MARTY_BASE_SHA256_H
#include <marty/types.h>

enum { MARTY__SHA256_BYTES = 32 };
typedef struct marty__sha256 {
    uint32_t state[8];
    uint64_t size;
    uint8_t block[64];
} marty__sha256;

/** Begin. */
void marty__sha256_begin(marty__sha256 *hash);
/** More bytes. */
void marty__sha256_add(marty__sha256 *hash, const void *data, size_t size);
/** The end: what it comes to. */
void marty__sha256_end(marty__sha256 *hash, uint8_t ret[MARTY__SHA256_BYTES]);
#endif
