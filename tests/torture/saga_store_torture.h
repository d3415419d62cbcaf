/* SPDX-License-Identifier: Apache-2.0
 * What the parts of the torture of the sqlite store of sagas share: one run (saga_store_torture.c),
 * and what must hold after it (saga_store_after.c). One thread. */
#ifndef TESTS_TORTURE_SAGA_STORE_TORTURE_H
#define TESTS_TORTURE_SAGA_STORE_TORTURE_H
#include "faults.h"
#include "saga/stores/stores.h"

#include "check.h"

#include <sqlite3.h>

enum { SAGAS = 16, ENDED = 4, BEGUN = 10, STATE_BYTES = 2000, SOON_MS = 20, WITHIN_MS = 10000 };

typedef struct scene {
    marty_saga_store *tested, *oracle;
    uint64_t versions[SAGAS], epochs[MARTY_SAGA_SHARDS];
    int steps[SAGAS];               /* rows that local steps have written */
    marty_saga_write doubts[SAGAS]; /* result set: it may be there; texts are not kept */
    bool leased, lease_doubt, purge_doubt, defined, sent_doubt[SAGAS];
} scene;

/** All that a store does, on the file, with a fault; how many points there are. */
long saga_store_run(scene *of, const char *path, long at, bool for_ever);
/** A write of a version of a saga. Its texts are good until the next of that saga. */
void saga_store_text(const scene *of, int which, uint64_t version, marty_saga_write *ret);
/** The write of it that is in doubt. */
marty_saga_write saga_store_doubt(const scene *of, int which);
/** The sagas that are there before. */
void saga_store_begin(scene *of, const marty_saga_store_table *table, marty_saga_store *store);
/** Keep the files as they are now, beside. */
void saga_store_crash(void);
#endif
