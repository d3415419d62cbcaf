/* SPDX-License-Identifier: Apache-2.0
 * Payments: charges a card, or says for good that it will not. A real one would call the card
 * company with operation->key, which is the same on every attempt.
 *   payment BUS-URL DATABASE */
#include "participant.h"

static const char *const schema = "CREATE TABLE IF NOT EXISTS effect (what TEXT, order_id TEXT);";

static marty_err charge(void *user, marty_operation *operation, void *transaction)
{
    (void)user;
    int noted = run_sql(transaction,
                        "INSERT INTO effect SELECT 'charge', json_extract(:data, '$.input.order') "
                        "WHERE json_extract(:data, '$.input.card') NOT LIKE '%0'",
                        operation);
    if (noted == 0) {
        return marty_operation_refuse(operation, "card refused");
    }
    return noted == 1 ? marty_operation_reply(operation, marty_text("{\"receipt\":17}"))
                      : MARTY_E_STORAGE;
}

int main(int argc, char **argv)
{
    static const role roles[] = {{"charge", charge}};
    return participate(argc, argv, "payment", schema, roles, 1);
}
