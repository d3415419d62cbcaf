/* SPDX-License-Identifier: Apache-2.0
 * Orders: takes an order, asks the inventory for the price, and leads the order through the other
 * services: each event of theirs is answered by the next command. A refused payment is undone by
 * a command, too: release what was reserved.
 *   order BUS-URL DATABASE */
#include "store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const schema =
    "CREATE TABLE IF NOT EXISTS orders (id TEXT PRIMARY KEY, status TEXT, price INT);"
    "CREATE TABLE IF NOT EXISTS effect (what TEXT, order_id TEXT);";

#define ORDER_ID "json_extract(:data, '$.order')"
#define BECOMES(status)                                                                            \
    "UPDATE orders SET status = '" status "' WHERE id = " ORDER_ID ";"                             \
    "INSERT INTO effect VALUES ('" status "', " ORDER_ID ");"

/* What follows what: on this event the order becomes so, and that service gets this command. */
static const struct {
    const char *event, *sql, *service, *command;
} steps[] = {
    {"inventory.reserved",
     BECOMES("reserved") "UPDATE orders SET price = json_extract(:data, '$.price')"
                         " WHERE id = " ORDER_ID,
     "payment", "charge"},
    {"payment.charged", BECOMES("paid"), "shipping", "ship"},
    {"shipping.shipped", BECOMES("completed"), NULL, NULL},
    {"payment.refused", BECOMES("refused"), "inventory", "release"},
    {"inventory.released", BECOMES("compensated"), NULL, NULL},
};

static marty_err on_event(void *user, marty_delivery *event)
{
    const marty_message *message = event->message;
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        if (strcmp(steps[i].event, message->type) != 0) {
            continue;
        }
        marty_err err = store_apply(user, message, steps[i].sql);
        if (err || !steps[i].command) {
            return err;
        }
        return marty_send_command(
            event->bus, steps[i].service, steps[i].command, message->data,
            &(marty_publish_options){.settles = event, .once = steps[i].command}, NULL);
    }
    return MARTY_OK; /* an event that is none of our business */
}

static marty_err on_place(void *user, marty_delivery *command)
{
    const marty_message *message = command->message;
    marty_message *priced = NULL;
    marty_error why = {0};
    marty_err err = marty_query(command->bus, "inventory", "price", message->data,
                                &(marty_query_options){.timeout_ms = 1000}, &priced, &why);
    if (err == MARTY_E_REMOTE) { /* the inventory answered, with an error of its own */
        return marty_reject(command, why.text);
    }
    if (err) { /* it is away: not this order's fault, so no attempt is counted */
        return marty_give_back(command, 100, why.text);
    }
    err = store_apply(user, message,
                      "INSERT INTO orders (id, status) VALUES (" ORDER_ID ", 'placed')");
    if (!err) {
        err = marty_send_command(command->bus, "inventory", "reserve", priced->data,
                                 &(marty_publish_options){.settles = command, .once = "reserve"},
                                 NULL);
    }
    marty_message_unref(priced);
    return err;
}

/* How many orders are done, and how many there are: {"done": 3, "all": 7}. */
static marty_err on_progress(void *user, marty_delivery *query)
{
    char *answer = store_ask(user,
                             "SELECT json_object('done',"
                             " count(*) FILTER (WHERE status IN ('completed', 'compensated')),"
                             " 'all', count(*)) FROM orders",
                             query->message->data);
    if (!answer) {
        return MARTY_E_FAILED;
    }
    marty_err err = marty_reply(query, &(marty_message){.data = marty_text(answer)}, NULL);
    free(answer);
    return err;
}

int main(int argc, char **argv)
{
    marty_error why = {0};
    marty_bus *bus = NULL;
    marty_subscribe_options four_at_once = {.concurrency = 4};
    store *db = argc == 3 ? store_open(argv[2], schema) : NULL;
    if (!db) {
        fprintf(stderr, "usage: order BUS-URL DATABASE\n");
        return 2;
    }
    bool failed =
        marty_bus_open(&bus, argv[1], &(marty_bus_options){.service = "order", .timeout_ms = 10000},
                       &why) ||
        marty_subscribe_to_events(bus, "inventory.*", on_event, db, NULL, NULL, &why) ||
        marty_subscribe_to_events(bus, "payment.*", on_event, db, NULL, NULL, &why) ||
        marty_subscribe_to_events(bus, "shipping.*", on_event, db, NULL, NULL, &why) ||
        marty_handle_commands(bus, "place", on_place, db, &four_at_once, NULL, &why) ||
        marty_handle_queries(bus, "progress", on_progress, db, NULL, NULL, &why) ||
        marty_bus_run(bus, &why);
    if (failed) {
        fprintf(stderr, "order: %s\n", why.text);
    }
    marty_bus_free(bus);
    store_close(db);
    return failed;
}
