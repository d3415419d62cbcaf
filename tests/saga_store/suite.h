/* SPDX-License-Identifier: Apache-2.0
 * What the parts of the stores' suite share: opening the store under test (or a second handle on
 * the same sagas), and short ways to build and make calls. */
#ifndef MARTY_TESTS_SAGA_STORE_SUITE_H
#define MARTY_TESTS_SAGA_STORE_SUITE_H
#include "saga/stores/stores.h"

#include "check.h"

typedef struct suite_store {
    const marty_saga_store_table *table;
    marty_saga_store *handle;
    marty_url *url; /* outlives the handle */
} suite_store;

/** Open the store of a URL; ends the program when that fails. */
suite_store suite_open(const char *url);
void suite_close(suite_store *store);
/** The words with which opening is refused; "" when it opens. Static. */
const char *suite_refusal(const char *url, marty_err *ret_err);
/** A deadline for a call. */
int64_t suite_until(void);

/** A write of a version of a saga, with texts made of id and version. Static: 64 at a time. */
marty_saga_write *suite_write(const char *id, uint64_t version, const char *key);
/** Commit one; returns its result. */
marty_err suite_commit(suite_store *store, marty_saga_write *write);

/** The directed cases; each opens the URL anew, on sagas of its own. 0 = all held. */
int suite_cases(const char *url);
/** Calls for many at once. 0 = all held. */
int suite_many(const char *url);
/** What two handles do at the same moment. 0 = all held. */
int suite_races(const char *url);
/** Random calls on a fresh store, compared with the one in memory. 0 = all held. */
int suite_random(const char *url, uint64_t seed, unsigned calls);
#endif
