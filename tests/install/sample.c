/* SPDX-License-Identifier: Apache-2.0
 * What a user's first program looks like, built against an installed Marty: one event through
 * memory:, then it stops itself. Says so, and exits 0, only if the event arrived. */
#include <marty/marty.h>
#include <stdio.h>

static int orders;

static marty_err on_order(void *user, marty_delivery *order)
{
    (void)user;
    orders++;
    printf("%s %.*s\n", order->message->type, MARTY_BYTES_ARGS(order->message->data));
    marty_bus_stop(order->bus);
    return MARTY_OK;
}

int main(void)
{
    marty_error why = {0};
    marty_bus *bus = NULL;
    marty_bus_options options = {.service = "billing"};
    bool failed =
        marty_bus_open(&bus, "memory:", &options, &why) ||
        marty_subscribe_to_events(bus, "order.*", on_order, NULL, NULL, NULL, &why) ||
        marty_publish_event(bus, "order.created", marty_text("{\"id\": 7}"), NULL, &why) ||
        marty_bus_run(bus, &why);
    if (failed) {
        fprintf(stderr, "%s\n", why.text);
    }
    marty_bus_free(bus);
    printf("%d order, libmarty %s\n", orders, marty_version());
    return failed || orders != 1;
}
