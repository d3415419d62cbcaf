/* SPDX-License-Identifier: Apache-2.0
 * Hashes: a seeded one for tables that peers fill, and stable ones that decide where a key goes.
 * Any thread. */
#ifndef MARTY_BASE_HASH_H
#define MARTY_BASE_HASH_H
#include <marty/types.h>

/** SipHash-1-3 with a key of this process: for hash tables only, never written anywhere. */
uint64_t marty__hash(const void *data, size_t size);
/** The same of a number, in one multiplication. */
uint64_t marty__hash_number(uint64_t number);
/** Stable 64-bit hash (SipHash-1-3 with key 0): the same in every process and version. */
uint64_t marty__hash_stable(const void *data, size_t size);
/** Kafka's murmur2, for shards: (murmur2(key) & 0x7fffffff) % shards. */
uint32_t marty__murmur2(const void *data, size_t size);
/** Bytes as lower case hexadecimal text, with its NUL: 2 * size + 1 bytes. */
void marty__hex(char *ret, const void *data, size_t size);
#endif
