/* SPDX-License-Identifier: Apache-2.0
 * Clocks and the default surroundings. Any thread. */
#include "clock.h"

#include "random.h"

#include <time.h>

int64_t marty__monotonic_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t marty__wall_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static int64_t real_monotonic(void *user)
{
    (void)user;
    return marty__monotonic_ns();
}

static int64_t real_wall(void *user)
{
    (void)user;
    return marty__wall_us();
}

static void real_random(void *user, void *buffer, size_t size)
{
    (void)user;
    marty__random_bytes(buffer, size);
}

static const marty_env real = {
    .monotonic_ns = real_monotonic, .wall_us = real_wall, .random = real_random};

const marty_env *marty__env_real(void)
{
    return &real;
}

bool marty__env_is_real(const marty_env *env)
{
    return env->monotonic_ns == real.monotonic_ns && env->wall_us == real.wall_us &&
           env->random == real.random;
}

marty_env marty__env_complete(const marty_env *env)
{
    marty_env whole = env ? *env : real;
    whole.monotonic_ns = whole.monotonic_ns ? whole.monotonic_ns : real.monotonic_ns;
    whole.wall_us = whole.wall_us ? whole.wall_us : real.wall_us;
    whole.random = whole.random ? whole.random : real.random;
    return whole;
}

int64_t marty__deadline_ns(int64_t now_ns, int64_t ms)
{
    return ms > (MARTY__NEVER - now_ns) / MARTY__NS_PER_MS ? MARTY__NEVER
                                                           : now_ns + ms * MARTY__NS_PER_MS;
}
