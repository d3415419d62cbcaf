/* SPDX-License-Identifier: Apache-2.0
 * A transaction that somebody else's code works in (a participant's effect, a local step), and that
 * only we may end. While it is open a row of it breaks a deferred constraint: a COMMIT in it fails,
 * and undoes all. Whoever rolls back and begins anew has neither that row nor our savepoint. */
#ifndef MARTY_SAGA_POSTGRES_GUARD_H
#define MARTY_SAGA_POSTGRES_GUARD_H
#include "link.h"

/** Its tables and functions, for pg_make: marty_transaction_open() after BEGIN,
 *  marty_transaction_close() before COMMIT, which fails in another transaction. */
extern const char *const pg_guard[];

/**
 * After that code has returned: whether the transaction is still ours to go on with.
 *
 * @param connection Its connection; it goes back to never blocking.
 * @param undone It says that nothing counts, so that SQL that failed is fine.
 * @return OK; FAILED: it has ended the transaction, or left it in a state that cannot be committed;
 *     UNAVAILABLE: the connection is gone.
 */
marty_err pg_guard_check(PGconn *connection, bool undone, marty_error *why);
/** The meaning of a savepoint's release that has failed. */
marty_err pg_guard_lost(marty_error *why);
#endif
