/* SPDX-License-Identifier: Apache-2.0
 * A clock that the test moves, and chance that is always the same, for a bus on one thread. */
#ifndef MARTY_BUS_TEST_SIMULATED_H
#define MARTY_BUS_TEST_SIMULATED_H
#include <marty/backend.h>

#include <string.h>

enum { MS = 1000000 };

static int64_t simulated_ns = MS, step_ns; /* step: it goes on whenever it is read */

static int64_t monotonic(void *user)
{
    (void)user;
    return simulated_ns += step_ns;
}

static int64_t wall(void *user)
{
    (void)user;
    return simulated_ns / 1000;
}

static void random_bytes(void *user, void *buffer, size_t size)
{
    (void)user;
    memset(buffer, 7, size);
}

static const marty_env surroundings = {
    .monotonic_ns = monotonic, .wall_us = wall, .random = random_bytes};
#endif
