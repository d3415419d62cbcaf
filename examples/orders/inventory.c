/* SPDX-License-Identifier: Apache-2.0
 * The inventory: answers what an item costs, reserves items for an order, and releases them again.
 *   inventory BUS-URL DATABASE */
#include "store.h"

#include <stdio.h>
#include <stdlib.h>

static const char *const schema =
    "CREATE TABLE IF NOT EXISTS stock (item TEXT PRIMARY KEY, price INT, count INT);"
    "INSERT OR IGNORE INTO stock VALUES ('book', 12, 1000), ('lamp', 30, 1000), ('mug', 7, 1000);"
    "CREATE TABLE IF NOT EXISTS effect (what TEXT, order_id TEXT);";

static const char *const reserve =
    "UPDATE stock SET count = count - json_extract(:data, '$.quantity')"
    " WHERE item = json_extract(:data, '$.item');"
    "INSERT INTO effect VALUES ('reserve', json_extract(:data, '$.order'));";

static const char *const release =
    "UPDATE stock SET count = count + json_extract(:data, '$.quantity')"
    " WHERE item = json_extract(:data, '$.item');"
    "INSERT INTO effect VALUES ('release', json_extract(:data, '$.order'));";

/* First the effect, then the event, then the ack, which `settles` gives once the event is stored.
 * Killed in between, the command comes again: the inbox skips the effect, and `once` gives the
 * event the same id as before, so that nobody counts it twice. */
static marty_err on_reserve(void *user, marty_delivery *command)
{
    marty_err err = store_apply(user, command->message, reserve);
    return err ? err
               : marty_publish_event(
                     command->bus, "inventory.reserved", command->message->data,
                     &(marty_publish_options){.settles = command, .once = "reserved"}, NULL);
}

static marty_err on_release(void *user, marty_delivery *command)
{
    marty_err err = store_apply(user, command->message, release);
    return err ? err
               : marty_publish_event(
                     command->bus, "inventory.released", command->message->data,
                     &(marty_publish_options){.settles = command, .once = "released"}, NULL);
}

/* Answers with the order, and its price in it. */
static marty_err on_price(void *user, marty_delivery *query)
{
    char *answer = store_ask(user,
                             "SELECT json_set(:data, '$.price', price"
                             " * json_extract(:data, '$.quantity')) FROM stock"
                             " WHERE item = json_extract(:data, '$.item')",
                             query->message->data);
    if (!answer) {
        return marty_fail(query, MARTY_CLASS_CALLER, "unknown_item", "we do not sell this");
    }
    marty_err err = marty_reply(query, &(marty_message){.data = marty_text(answer)}, NULL);
    free(answer);
    return err;
}

int main(int argc, char **argv)
{
    marty_error why = {0};
    marty_bus *bus = NULL;
    store *db = argc == 3 ? store_open(argv[2], schema) : NULL;
    if (!db) {
        fprintf(stderr, "usage: inventory BUS-URL DATABASE\n");
        return 2;
    }
    bool failed =
        marty_bus_open(&bus, argv[1],
                       &(marty_bus_options){.service = "inventory", .timeout_ms = 10000}, &why) ||
        marty_handle_commands(bus, "reserve", on_reserve, db, NULL, NULL, &why) ||
        marty_handle_commands(bus, "release", on_release, db, NULL, NULL, &why) ||
        marty_handle_queries(bus, "price", on_price, db, NULL, NULL, &why) ||
        marty_bus_run(bus, &why); /* until SIGTERM, then drains */
    if (failed) {
        fprintf(stderr, "inventory: %s\n", why.text);
    }
    marty_bus_free(bus);
    store_close(db);
    return failed;
}
