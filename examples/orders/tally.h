/* SPDX-License-Identifier: Apache-2.0
 * Counts what really happened, from the databases of the services. */
#ifndef ORDERS_TALLY_H
#define ORDERS_TALLY_H
#include <stdbool.h>

typedef struct tally {
    int orders, completed, compensated, stuck;  /* as the order service sees it */
    int reserve, release, charge, refuse, ship; /* as those who did it see it */
    int wrong; /* orders for which some effect did not happen exactly as often as it should */
    bool exactly_once;
} tally;

/** Count; false: a database cannot be read, the reason is on stderr. */
bool tally_take(tally *ret, const char *folder, int orders);
/** Two lines, and one per order that is wrong (the first few). */
void tally_print(const tally *counted, int orders);
#endif
