/* SPDX-License-Identifier: Apache-2.0
 * The databases of the four services as one, for counting afterwards: that of the orders is "main",
 * the others are attached by their names. */
#ifndef ORDERS_DATABASES_H
#define ORDERS_DATABASES_H
#include <sqlite3.h>

/** Open FOLDER/order.db and attach the rest; NULL: the reason is on stderr. Yours to close. */
sqlite3 *databases_open(const char *folder);
/** Say on stderr what went wrong last. */
void databases_complain(sqlite3 *db, const char *folder);
#endif
