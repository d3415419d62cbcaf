/* SPDX-License-Identifier: Apache-2.0
 * Counts what really happened, from the databases of the participants. */
#ifndef SAGAS_TALLY_H
#define SAGAS_TALLY_H
#include <stdbool.h>

typedef struct tally {
    int validate, cancel, reserve, release, charge, ship;
    int wrong; /* orders for which some effect did not happen exactly as often as it should */
    bool exactly_once;
} tally;

/** Count; false: a database cannot be read, the reason is on stderr. */
bool tally_take(tally *ret, const char *folder, int orders);
/** Two lines. */
void tally_print(const tally *counted);
#endif
