/* SPDX-License-Identifier: Apache-2.0
 * Payments: charges a card, or refuses it. A card that ends in 0 has no money.
 *   payment BUS-URL DATABASE */
#include "store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const schema = "CREATE TABLE IF NOT EXISTS effect (what TEXT, order_id TEXT);";

static const char *const charge =
    "INSERT INTO effect SELECT"
    " CASE WHEN json_extract(:data, '$.card') LIKE '%0' THEN 'refuse' ELSE 'charge' END,"
    " json_extract(:data, '$.order')";

/* What was decided is asked of the database: a command that comes again gets the same answer. */
static const char *const decision =
    "SELECT what FROM effect WHERE order_id = json_extract(:data, '$.order')";

static marty_err on_charge(void *user, marty_delivery *command)
{
    marty_err err = store_apply(user, command->message, charge);
    if (err) {
        return err; /* tried again, by the retry policy */
    }
    char *decided = store_ask(user, decision, command->message->data);
    if (!decided) {
        return MARTY_E_FAILED;
    }
    bool charged = strcmp(decided, "charge") == 0;
    free(decided);
    return marty_publish_event(
        command->bus, charged ? "payment.charged" : "payment.refused", command->message->data,
        &(marty_publish_options){.settles = command, .once = "decided"}, NULL);
}

int main(int argc, char **argv)
{
    marty_error why = {0};
    marty_bus *bus = NULL;
    store *db = argc == 3 ? store_open(argv[2], schema) : NULL;
    if (!db) {
        fprintf(stderr, "usage: payment BUS-URL DATABASE\n");
        return 2;
    }
    bool failed =
        marty_bus_open(&bus, argv[1],
                       &(marty_bus_options){.service = "payment", .timeout_ms = 10000}, &why) ||
        marty_handle_commands(bus, "charge", on_charge, db, NULL, NULL, &why) ||
        marty_bus_run(bus, &why);
    if (failed) {
        fprintf(stderr, "payment: %s\n", why.text);
    }
    marty_bus_free(bus);
    store_close(db);
    return failed;
}
