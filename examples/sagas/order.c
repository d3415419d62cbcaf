/* SPDX-License-Identifier: Apache-2.0
 * Orders: accepts an order, and cancels it again when the saga goes back.
 *   order BUS-URL DATABASE */
#include "participant.h"

static const char *const schema =
    "CREATE TABLE IF NOT EXISTS orders (id TEXT PRIMARY KEY, status TEXT);"
    "CREATE TABLE IF NOT EXISTS effect (what TEXT, order_id TEXT);";

static marty_err validate(void *user, marty_operation *operation, void *transaction)
{
    (void)user;
    bool fine =
        run_sql(transaction,
                "INSERT INTO orders VALUES (json_extract(:data, '$.input.order'), 'valid')",
                operation) == 1 &&
        run_sql(transaction,
                "INSERT INTO effect VALUES ('validate', json_extract(:data, '$.input.order'))",
                operation) == 1;
    return fine ? MARTY_OK : MARTY_E_STORAGE;
}

static marty_err cancel(void *user, marty_operation *operation, void *transaction)
{
    (void)user;
    bool fine =
        run_sql(transaction,
                "UPDATE orders SET status = 'cancelled' WHERE id = json_extract(:data, "
                "'$.input.order')",
                operation) == 1 &&
        run_sql(transaction,
                "INSERT INTO effect VALUES ('cancel', json_extract(:data, '$.input.order'))",
                operation) == 1;
    return fine ? MARTY_OK : MARTY_E_STORAGE;
}

int main(int argc, char **argv)
{
    static const role roles[] = {{"validate", validate}, {"cancel", cancel}};
    return participate(argc, argv, "order", schema, roles, 2);
}
