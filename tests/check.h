/* SPDX-License-Identifier: Apache-2.0
 * What a unit test needs: CHECK goes on after a failure and counts it, REQUIRE ends the program.
 * main ends with `return check_result();`, which is 0 only if there was a check and none failed, in
 * whichever file of the program.
 * Any thread may check. A test waits for a condition with CHECK_SOON, never by sleeping for it. */
#ifndef MARTY_TESTS_CHECK_H
#define MARTY_TESTS_CHECK_H
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CHECK__UNUSED __attribute__((unused))
#define CHECK__HERE __FILE__, __LINE__

__attribute__((weak)) atomic_uint check__passed, check__failed; /* one pair for all files */

/** The condition holds; else say where and what, and go on. The value is the condition's. */
#define CHECK(condition) check__that((condition), CHECK__HERE, #condition)
/** The same for two numbers, two strings (NULL is a value), or runs of bytes: says both. */
#define CHECK_INT(have, want) check__int((int64_t)(have), (int64_t)(want), CHECK__HERE, #have)
#define CHECK_TEXT(have, want) check__text((have), (want), CHECK__HERE, #have)
#define CHECK_BYTES(have, have_size, want, want_size)                                              \
    CHECK((have_size) == (want_size) &&                                                            \
          ((want_size) == 0 || memcmp((have), (want), (want_size)) == 0))
/** The text has that part in it. */
#define CHECK_HAS(have, part) check__has((have), (part), CHECK__HERE, #have)
/** The condition holds, or there is no point in going on. */
#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!CHECK(condition)) {                                                                   \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)
/** The condition comes true within that many milliseconds, or 20,000 if that is more: they say when
 * a test gives up, not how fast a thing must be, as a machine may stand still for seconds. It is
 * looked at each millisecond. */
#define CHECK_SOON(condition, within_ms)                                                           \
    do {                                                                                           \
        int64_t check__until = check_now_ms() + check__limit(within_ms);                           \
        while (!(condition) && check_now_ms() < check__until) {                                    \
            check__pause();                                                                        \
        }                                                                                          \
        CHECK(condition);                                                                          \
    } while (0)

CHECK__UNUSED static bool check__that(bool holds, const char *file, int line, const char *what)
{
    if (holds) {
        atomic_fetch_add(&check__passed, 1);
    } else {
        atomic_fetch_add(&check__failed, 1);
        fprintf(stderr, "%s:%d: failed: %s\n", file, line, what);
    }
    return holds;
}

CHECK__UNUSED static bool check__int(int64_t have, int64_t want, const char *file, int line,
                                     const char *what)
{
    bool same = check__that(have == want, file, line, what);
    if (!same) {
        fprintf(stderr, "    have %lld, want %lld\n", (long long)have, (long long)want);
    }
    return same;
}

CHECK__UNUSED static bool check__text(const char *have, const char *want, const char *file,
                                      int line, const char *what)
{
    bool same = check__that(have && want ? !strcmp(have, want) : have == want, file, line, what);
    if (!same) {
        fprintf(stderr, "    have %s\n    want %s\n", have ? have : "NULL", want ? want : "NULL");
    }
    return same;
}

CHECK__UNUSED static bool check__has(const char *have, const char *part, const char *file, int line,
                                     const char *what)
{
    bool has = check__that(have && strstr(have, part), file, line, what);
    if (!has) {
        fprintf(stderr, "    have %s\n    want in it %s\n", have ? have : "NULL", part);
    }
    return has;
}

/** Monotonic milliseconds. */
CHECK__UNUSED static int64_t check_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Programs that a sanitizer slows down have that much longer, as tests/support/wait.h says. */
CHECK__UNUSED static int64_t check__patience(int64_t ms)
{
    const char *text = getenv("MARTY_TEST_PATIENCE");
    double factor = text ? strtod(text, NULL) : 1.0;
    return factor > 1.0 ? (int64_t)((double)ms * factor) : ms;
}

CHECK__UNUSED static int64_t check__limit(int64_t ms)
{
    return check__patience(ms > 20000 ? ms : 20000);
}

CHECK__UNUSED static void check__pause(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

/** The exit code of a test program; prints the counts. */
CHECK__UNUSED static int check_result(void)
{
    unsigned passed = atomic_load(&check__passed), failed = atomic_load(&check__failed);
    printf("%u checks passed, %u failed\n", passed, failed);
    return passed > 0 && failed == 0 ? 0 : 1;
}
#endif
