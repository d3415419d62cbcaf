/* SPDX-License-Identifier: Apache-2.0
 * Probes of memory: a clock that only the test moves. One thread, save where said. */
#ifndef MARTY_BACKENDS_MEMORY_TEST_PORT_H
#define MARTY_BACKENDS_MEMORY_TEST_PORT_H
#include "backend/registry.h"

static int64_t test_now_ns = 1000000000, test_wall_us = 1800000000000000;
static int64_t test_read_ns; /* how much later it is once a clock was read */
static const marty_backend *const test_backend = &marty__memory_backend;

static int64_t read_clock(const int64_t *clock)
{
    int64_t now = *clock;
    test_now_ns += test_read_ns;
    test_wall_us += test_read_ns / 1000;
    return now;
}
static int64_t test_monotonic(void *user)
{
    (void)user;
    return read_clock(&test_now_ns);
}
static int64_t test_wall(void *user)
{
    (void)user;
    return read_clock(&test_wall_us);
}
static void test_random(void *user, void *buffer, size_t size)
{
    (void)user;
    memset(buffer, 7, size);
}
static const marty_env test_env = {
    .monotonic_ns = test_monotonic, .wall_us = test_wall, .random = test_random};

#include "backend/test_talk.h"

/** "name" or "name?keys"; "" = a broker of its own. */
TOOL probe *probe_open(const char *name)
{
    char url[200];
    (void)snprintf(url, sizeof url, "memory:%s", name);
    return probe_open_url(url);
}

/** Let time pass, ringing what is due at its moment. */
TOOL void pass_ms(int64_t ms)
{
    int64_t end_ns = test_now_ns + ms * MARTY__NS_PER_MS;
    for (;;) {
        noted_timer *first = NULL;
        for (probe *p = probes; p; p = p->next) {
            for (size_t i = 0; i < p->timer_count; i++) {
                if (p->timers[i].at_ns <= end_ns && (!first || p->timers[i].at_ns < first->at_ns)) {
                    first = &p->timers[i];
                }
            }
        }
        int64_t at_ns = first && first->at_ns > test_now_ns ? first->at_ns : test_now_ns;
        at_ns = first ? at_ns : end_ns;
        test_wall_us += (at_ns - test_now_ns) / 1000;
        test_now_ns = at_ns;
        if (!first) {
            return;
        }
        first->at_ns = INT64_MAX;
        first->call(first->user);
    }
}

static bool test_wait(probe *p, int64_t until_ns)
{
    marty__unlock(&p->lock);
    pass_ms(1);
    marty__lock(&p->lock);
    return test_now_ns <= until_ns;
}
#endif
