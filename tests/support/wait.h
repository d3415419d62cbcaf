/* SPDX-License-Identifier: Apache-2.0
 * Waiting in tests: for a condition, never for a time. Every wait has a deadline, and a wait that
 * runs into it says so by its return value. Any thread. */
#ifndef TESTS_SUPPORT_WAIT_H
#define TESTS_SUPPORT_WAIT_H
#include <stdbool.h>
#include <stdint.h>

/** Milliseconds of the monotonic clock. */
int64_t test_now_ms(void);
/** Asks `holds` again and again, a millisecond or two apart, until it says yes or limit_ms have
 * passed. */
bool test_wait_for(bool (*holds)(void *user), void *user, int64_t limit_ms);
/** How much longer everything may take: MARTY_TEST_PATIENCE (a number, default 1), for sanitizers
 * and crowded machines. */
int64_t test_patience(int64_t ms);
#endif
