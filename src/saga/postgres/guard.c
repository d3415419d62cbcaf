/* SPDX-License-Identifier: Apache-2.0
 * Transactions that only we may end: see guard.h. */
#include "guard.h"

const char *const pg_guard[] = {
    "CREATE TABLE IF NOT EXISTS marty_never (id int PRIMARY KEY)",
    "CREATE TABLE IF NOT EXISTS marty_open (id int, CONSTRAINT only_marty_may_end_this_transaction "
    "FOREIGN KEY (id) REFERENCES marty_never DEFERRABLE INITIALLY DEFERRED)",
    "CREATE OR REPLACE FUNCTION marty_transaction_open() RETURNS void LANGUAGE plpgsql SET "
    "search_path FROM CURRENT AS $$ BEGIN INSERT INTO marty_open VALUES (1); END $$",
    "CREATE OR REPLACE FUNCTION marty_transaction_close() RETURNS void LANGUAGE plpgsql SET "
    "search_path FROM CURRENT AS $$ BEGIN DELETE FROM marty_open;"
    "  IF NOT FOUND THEN RAISE EXCEPTION 'the transaction was ended' USING ERRCODE = 'MS002'; END "
    "IF; END $$",
    NULL};

marty_err pg_guard_lost(marty_error *why)
{
    return marty_error_set(why, MARTY_E_FAILED,
                           "it has ended the transaction that it was given: it must neither commit "
                           "nor roll back");
}

marty_err pg_guard_check(PGconn *connection, bool undone, marty_error *why)
{
    if (PQstatus(connection) != CONNECTION_OK) {
        return marty_error_set(why, MARTY_E_UNAVAILABLE, "the connection to postgres is lost");
    }
    PGTransactionStatusType status = PQtransactionStatus(connection);
    if (status == PQTRANS_IDLE) {
        return pg_guard_lost(why);
    }
    if (status == PQTRANS_ACTIVE || PQpipelineStatus(connection) != PQ_PIPELINE_OFF) {
        return marty_error_set(why, MARTY_E_FAILED,
                               "it has left a statement running: take all of its results");
    }
    if (status == PQTRANS_INERROR && !undone) {
        return marty_error_set(why, MARTY_E_FAILED,
                               "it says that it is done, but its SQL has failed: %.300s",
                               PQerrorMessage(connection));
    }
    (void)PQsetnonblocking(connection, 1);
    return MARTY_OK;
}
