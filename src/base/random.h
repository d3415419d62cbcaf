/* SPDX-License-Identifier: Apache-2.0
 * Random bytes without a system call each: a per-thread generator, reseeded from the kernel. Any
 * thread; fork-safe. */
#ifndef MARTY_BASE_RANDOM_H
#define MARTY_BASE_RANDOM_H
#include <marty/types.h>

/** 64 random bits: unpredictable enough for ids, not for keys. Never fails. */
uint64_t marty__random_word(void);
/** Fill buffer with such. */
void marty__random_bytes(void *buffer, size_t size);
#endif
