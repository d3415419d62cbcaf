/* SPDX-License-Identifier: Apache-2.0
 * Random bytes without a system call each: a per-thread generator, reseeded from the kernel. Any
 * thread; fork-safe. */
#ifndef MARTY_BASE_RANDOM_H
#define MARTY_BASE_RANDOM_H
#include <marty/types.h>

/** Fill buffer with random bytes: unpredictable enough for ids, not for keys. Never fails. */
void marty__random_bytes(void *buffer, size_t size);
#endif
