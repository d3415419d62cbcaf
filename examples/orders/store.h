/* SPDX-License-Identifier: Apache-2.0
 * A service's own database: SQLite, with an inbox. A broker may deliver a message twice (a service
 * that dies after its work and before its ack gets it again), so what a message does and the note
 * that it is done are one transaction: store_apply does nothing for a message that it has seen.
 * Any thread may call. */
#ifndef ORDERS_STORE_H
#define ORDERS_STORE_H
#include <marty/marty.h>

typedef struct store store;

/** Open or make it; schema is SQL that may run again. NULL: the reason is on stderr. */
store *store_open(const char *path, const char *schema);
/** Run SQL for this message, once however often it comes; :data in it is the message's data. */
marty_err store_apply(store *db, const marty_message *message, const char *sql);
/** First column of the first row of a question, to free(); NULL when there is none. */
char *store_ask(store *db, const char *sql, marty_bytes data);
/** NULL is fine. */
void store_close(store *db);
#endif
