/* SPDX-License-Identifier: Apache-2.0
 * What a path that is taken millions of times a second does once in a thousand times is a function
 * that is MARTY__COLD: it stays out of its caller, which then saves no registers for it. */
#ifndef MARTY_BASE_COLD_H
#define MARTY_BASE_COLD_H

#define MARTY__COLD __attribute__((cold, noinline))
#endif
