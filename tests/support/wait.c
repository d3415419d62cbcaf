/* SPDX-License-Identifier: Apache-2.0
 * See wait.h. */
#include "wait.h"

#include <poll.h>
#include <stdlib.h>
#include <time.h>

int64_t test_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

bool test_wait_for(bool (*holds)(void *user), void *user, int64_t limit_ms)
{
    int64_t end = test_now_ms() + test_patience(limit_ms);
    int pause_ms = 1;
    while (!holds(user)) {
        if (test_now_ms() >= end) {
            return holds(user);
        }
        poll(NULL, 0, pause_ms);
        pause_ms = pause_ms < 8 ? pause_ms + 1 : 8;
    }
    return true;
}

int64_t test_patience(int64_t ms)
{
    const char *text = getenv("MARTY_TEST_PATIENCE");
    double factor = text ? strtod(text, NULL) : 1.0;
    return factor > 1.0 ? (int64_t)((double)ms * factor) : ms;
}
