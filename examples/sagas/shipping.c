/* SPDX-License-Identifier: Apache-2.0
 * Shipping: comes after the point of no return, so it never refuses; it is asked until it is done.
 *   shipping BUS-URL DATABASE */
#include "participant.h"

static const char *const schema = "CREATE TABLE IF NOT EXISTS effect (what TEXT, order_id TEXT);";

static marty_err ship(void *user, marty_operation *operation, void *transaction)
{
    (void)user;
    int noted = run_sql(transaction,
                        "INSERT INTO effect VALUES ('ship', json_extract(:data, '$.input.order'))",
                        operation);
    return noted == 1 ? MARTY_OK : MARTY_E_STORAGE;
}

int main(int argc, char **argv)
{
    static const role roles[] = {{"ship", ship}};
    return participate(argc, argv, "shipping", schema, roles, 1);
}
