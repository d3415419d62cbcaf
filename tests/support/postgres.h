/* SPDX-License-Identifier: Apache-2.0
 * A PostgreSQL primary with a synchronous standby for tests, on free loopback ports, with their
 * data in a scratch folder. The primary is killed for real, the standby promoted, and the old
 * primary brought back as the standby of the new. One thread at a time; servers die with it. */
#ifndef TESTS_SUPPORT_POSTGRES_H
#define TESTS_SUPPORT_POSTGRES_H
#include "process.h"

#include <pthread.h>
#include <stdatomic.h>

typedef enum test_postgres_standby { /* how the other one of the two is */
                                     TEST_STANDBY_NONE,
                                     TEST_STANDBY_JOINS,
                                     TEST_STANDBY_FOLLOWS, /* what is committed is on both */
                                     TEST_STANDBY_FAILED
} test_postgres_standby;

typedef struct test_postgres {
    test_process process[2];
    char bin[512], folder[512];
    int port[2];
    int primary; /* which of the two */
    /* A child dies with the thread that has started it: who brings a server back stays. */
    pthread_t helper[2];
    bool has_helper[2];
    pthread_mutex_t mutex;
    pthread_cond_t gone;
    bool let_go[2];
    _Atomic test_postgres_standby standby;
} test_postgres;

/** Starts both, and waits until what is committed is on both. False: ret_why; ret_missing says
 * that there is no server to be had, so that a test may skip. */
bool test_postgres_start(test_postgres *pair, bool *ret_missing, char *ret_why, size_t why_size);
/** "postgres://postgres@127.0.0.1:a,127.0.0.1:b/postgres". */
void test_postgres_url(const test_postgres *pair, char *ret_url, size_t size);
/** kill -9 of every process of the primary, at one moment: none of them can still commit. */
void test_postgres_kill(test_postgres *pair);
/** The standby becomes the primary; nothing waits for a standby from then on. */
bool test_postgres_promote(test_postgres *pair, char *ret_why, size_t why_size);
/** The primary that was killed starts again, as what it was. */
bool test_postgres_restart(test_postgres *pair, char *ret_why, size_t why_size);
/** Begins to make the one that was killed the standby of the other: pair->standby tells. Once it
 * follows, what is committed is on both, and so is every later commit before it is answered. */
bool test_postgres_rejoin(test_postgres *pair, char *ret_why, size_t why_size);
/** Kills both and removes their folder. Zeroed is fine. */
void test_postgres_free(test_postgres *pair);
#endif
