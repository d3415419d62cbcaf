/* SPDX-License-Identifier: Apache-2.0
 * What two orchestrators may do to a store at the very same moment, each over its own handle. */
#include "suite.h"

#include <pthread.h>

enum { ROUNDS = 40 };

typedef struct racer {
    suite_store store;
    pthread_barrier_t *start;
    pthread_t thread;
    unsigned refused;
} racer;

static void *define_all(void *user)
{
    racer *one = user;
    marty_bytes document = {"same", 4};
    for (uint32_t version = 1; version <= ROUNDS; version++) {
        (void)pthread_barrier_wait(one->start);
        one->refused += one->store.table->define(one->store.handle, "at-once", version, "hash",
                                                 document, suite_until(), NULL) != MARTY_OK;
    }
    return NULL;
}

/* Both bring the same definition: neither may be told that the other's is different. */
static void defines_the_same_at_once(const char *url)
{
    racer racers[2];
    pthread_barrier_t start;
    REQUIRE(pthread_barrier_init(&start, NULL, 2) == 0);
    for (int i = 0; i < 2; i++) {
        racers[i] = (racer){.store = suite_open(url), .start = &start};
        REQUIRE(pthread_create(&racers[i].thread, NULL, define_all, &racers[i]) == 0);
    }
    for (int i = 0; i < 2; i++) {
        (void)pthread_join(racers[i].thread, NULL);
        CHECK_INT(racers[i].refused, 0);
        suite_close(&racers[i].store);
    }
    (void)pthread_barrier_destroy(&start);
}

int suite_races(const char *url)
{
    defines_the_same_at_once(url);
    return check_result();
}
