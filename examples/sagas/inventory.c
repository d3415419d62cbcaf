/* SPDX-License-Identifier: Apache-2.0
 * The inventory: reserves items for an order, and releases them again. What an effect does and the
 * note that it is done are one transaction, so it happens once, however often it is asked.
 *   inventory BUS-URL DATABASE */
#include "participant.h"

static const char *const schema =
    "CREATE TABLE IF NOT EXISTS stock (item TEXT PRIMARY KEY, count INT);"
    "INSERT OR IGNORE INTO stock VALUES ('book', 100000), ('lamp', 100000), ('mug', 100000);"
    "CREATE TABLE IF NOT EXISTS effect (what TEXT, order_id TEXT);";

static marty_err reserve(void *user, marty_operation *operation, void *transaction)
{
    (void)user;
    int taken = run_sql(transaction,
                        "UPDATE stock SET count = count - 1 WHERE count > 0 AND "
                        "item = json_extract(:data, '$.input.item')",
                        operation);
    if (taken == 0) {
        return marty_operation_refuse(operation, "out of stock"); /* the saga compensates */
    }
    int noted = run_sql(
        transaction, "INSERT INTO effect VALUES ('reserve', json_extract(:data, '$.input.order'))",
        operation);
    return taken == 1 && noted == 1 ? marty_operation_reply(operation, marty_text("{\"shelf\":4}"))
                                    : MARTY_E_STORAGE; /* not now: it is asked again */
}

static marty_err release(void *user, marty_operation *operation, void *transaction)
{
    (void)user;
    bool fine =
        run_sql(transaction,
                "UPDATE stock SET count = count + 1 WHERE item = json_extract(:data, "
                "'$.input.item')",
                operation) == 1 &&
        run_sql(transaction,
                "INSERT INTO effect VALUES ('release', json_extract(:data, '$.input.order'))",
                operation) == 1;
    return fine ? MARTY_OK : MARTY_E_STORAGE;
}

int main(int argc, char **argv)
{
    static const role roles[] = {{"reserve", reserve}, {"release", release}};
    return participate(argc, argv, "inventory", schema, roles, 2);
}
