/* SPDX-License-Identifier: Apache-2.0
 * Clocks, surroundings and deadlines. */
#include "clock.h"

#include "tests/check.h"

static int64_t seven(void *user)
{
    return *(int64_t *)user;
}

static void surroundings_are_completed(void)
{
    int64_t number = 7;
    marty_env env = marty__env_complete(NULL);
    CHECK(env.monotonic_ns && env.wall_us && env.random);
    env = marty__env_complete(&(marty_env){.user = &number, .wall_us = seven});
    CHECK_INT(env.wall_us(env.user), 7);
    CHECK(env.monotonic_ns == marty__env_real()->monotonic_ns);
    uint64_t a = 0, b = 0;
    env.random(env.user, &a, sizeof a);
    env.random(env.user, &b, sizeof b);
    CHECK(a != b);
}

static void clocks_go_forward(void)
{
    int64_t before = marty__monotonic_ns();
    unsigned wrong = 0;
    for (int i = 0; i < 1000; i++) {
        int64_t now = marty__monotonic_ns();
        wrong += now < before;
        before = now;
    }
    CHECK_INT(wrong, 0);
    CHECK(marty__wall_us() > INT64_C(1600000000000000));
}

static void deadlines_saturate(void)
{
    CHECK_INT(marty__deadline_ns(5, 2), 2000005);
    CHECK_INT(marty__deadline_ns(5, 0), 5);
    CHECK_INT(marty__deadline_ns(5, INT64_MAX), MARTY__NEVER);
    CHECK_INT(marty__deadline_ns(MARTY__NEVER - 1, 1), MARTY__NEVER);
    CHECK_INT(marty__deadline_ns(5000000, -1), 4000000);
}

int main(void)
{
    surroundings_are_completed();
    clocks_go_forward();
    deadlines_saturate();
    return check_result();
}
