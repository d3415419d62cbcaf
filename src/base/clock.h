/* SPDX-License-Identifier: Apache-2.0
 * Clocks of the machine, and the surroundings (marty_env) made of them. Monotonic for waits, wall
 * for what people read. */
#ifndef MARTY_BASE_CLOCK_H
#define MARTY_BASE_CLOCK_H
#include <marty/bus.h>

enum { MARTY__NS_PER_MS = 1000000, MARTY__US_PER_MS = 1000 };
#define MARTY__NEVER INT64_MAX

/** CLOCK_MONOTONIC in nanoseconds. */
int64_t marty__monotonic_ns(void);
/** Unix time in microseconds. */
int64_t marty__wall_us(void);
/** The real surroundings: no slot is NULL. Static. */
const marty_env *marty__env_real(void);
/** Whether clocks and chance are all real. */
bool marty__env_is_real(const marty_env *env);
/** env with every NULL slot filled by the real one (env may be NULL). */
marty_env marty__env_complete(const marty_env *env);
/** now + ms, saturating at MARTY__NEVER. */
int64_t marty__deadline_ns(int64_t now_ns, int64_t ms);
#endif
