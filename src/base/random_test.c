/* SPDX-License-Identifier: Apache-2.0
 * Chance: spread, different per thread and per process. */
#include "random.h"

#include "tests/check.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

static void bits_are_spread(void)
{
    enum { DRAWS = 100000 };
    unsigned ones[64] = {0}, wrong = 0;
    for (int i = 0; i < DRAWS; i++) {
        uint64_t value = 0;
        marty__random_bytes(&value, sizeof value);
        for (int bit = 0; bit < 64; bit++) {
            ones[bit] += (unsigned)(value >> bit & 1);
        }
    }
    for (int bit = 0; bit < 64; bit++) { /* ten standard deviations */
        wrong += ones[bit] < DRAWS / 2 - 1600 || ones[bit] > DRAWS / 2 + 1600;
    }
    CHECK_INT(wrong, 0);
}

static void any_size_is_filled(void)
{
    unsigned wrong = 0;
    for (size_t size = 0; size <= 40; size++) {
        unsigned char seen[40] = {0}, bytes[42];
        for (int round = 0; round < 20; round++) {
            memset(bytes, 0, sizeof bytes);
            marty__random_bytes(bytes + 1, size);
            for (size_t i = 0; i < size; i++) {
                seen[i] |= bytes[i + 1];
            }
            wrong += bytes[0] || bytes[size + 1];
        }
        for (size_t i = 0; i < size; i++) {
            wrong += !seen[i]; /* not zero twenty times */
        }
    }
    CHECK_INT(wrong, 0);
}

static void *draw(void *out)
{
    marty__random_bytes(out, 32);
    return NULL;
}

static void threads_and_children_differ(void)
{
    unsigned char mine[32], threads[2][32], childs[32];
    pthread_t thread;
    int ends[2];
    for (size_t i = 0; i < 2; i++) {
        REQUIRE(pthread_create(&thread, NULL, draw, threads[i]) == 0);
        REQUIRE(pthread_join(thread, NULL) == 0);
    }
    REQUIRE(pipe(ends) == 0);
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (!child) {
        draw(childs);
        _exit(write(ends[1], childs, sizeof childs) == sizeof childs ? 0 : 1);
    }
    draw(mine);
    CHECK(read(ends[0], childs, sizeof childs) == sizeof childs);
    CHECK(waitpid(child, NULL, 0) == child);
    CHECK(memcmp(mine, childs, 32) != 0);
    CHECK(memcmp(mine, threads[0], 32) != 0);
    CHECK(memcmp(threads[0], threads[1], 32) != 0);
    close(ends[0]);
    close(ends[1]);
}

int main(void)
{
    bits_are_spread();
    any_size_is_filled();
    threads_and_children_differ();
    return check_result();
}
