/* SPDX-License-Identifier: Apache-2.0
 * Shipping: sends the parcel of an order.
 *   shipping BUS-URL DATABASE */
#include "store.h"

#include <stdio.h>

static const char *const schema = "CREATE TABLE IF NOT EXISTS effect (what TEXT, order_id TEXT);";

static marty_err on_ship(void *user, marty_delivery *command)
{
    marty_err err =
        store_apply(user, command->message,
                    "INSERT INTO effect VALUES ('ship', json_extract(:data, '$.order'))");
    return err ? err
               : marty_publish_event(
                     command->bus, "shipping.shipped", command->message->data,
                     &(marty_publish_options){.settles = command, .once = "shipped"}, NULL);
}

int main(int argc, char **argv)
{
    marty_error why = {0};
    marty_bus *bus = NULL;
    store *db = argc == 3 ? store_open(argv[2], schema) : NULL;
    if (!db) {
        fprintf(stderr, "usage: shipping BUS-URL DATABASE\n");
        return 2;
    }
    bool failed =
        marty_bus_open(&bus, argv[1],
                       &(marty_bus_options){.service = "shipping", .timeout_ms = 10000}, &why) ||
        marty_handle_commands(bus, "ship", on_ship, db, NULL, NULL, &why) ||
        marty_bus_run(bus, &why);
    if (failed) {
        fprintf(stderr, "shipping: %s\n", why.text);
    }
    marty_bus_free(bus);
    store_close(db);
    return failed;
}
