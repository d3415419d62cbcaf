/* SPDX-License-Identifier: Apache-2.0
 * Events: tell everyone that something happened. Two services hear each event, once each.
 *   events [BUS-URL] */
#include <marty/marty.h>

#include <stdio.h>

static marty_err on_order(void *user, marty_delivery *order)
{
    const char *service = user;
    printf("%s heard %s: %.*s\n", service, order->message->type,
           MARTY_BYTES_ARGS(order->message->data));
    return MARTY_OK; /* = ack; an error = once more, by the retry policy */
}

static marty_err on_end(void *user, marty_delivery *end)
{
    (void)user;
    marty_bus_stop(end->bus);
    return MARTY_OK;
}

int main(int argc, char **argv)
{
    marty_error why = {0};
    marty_bus *bus = NULL;
    /* The group is who hears it: all instances of one service share one. Other programs would be
     * services of their own, and need not say so. */
    marty_subscribe_options mailing = {.group = "mailing"};
    bool failed =
        marty_bus_open(&bus,
                       argc > 1 ? argv[1] : "memory:", &(marty_bus_options){.service = "billing"},
                       &why) ||
        marty_subscribe_to_events(bus, "order.*", on_order, "billing", NULL, NULL, &why) ||
        marty_subscribe_to_events(bus, "order.*", on_order, "mailing", &mailing, NULL, &why) ||
        marty_subscribe_to_events(bus, "demo.end", on_end, NULL, NULL, NULL, &why) ||
        marty_publish_event(bus, "order.created", marty_text("{\"id\": 7}"), NULL, &why) ||
        marty_publish_event(bus, "order.paid", marty_text("{\"id\": 7}"), NULL, &why) ||
        /* scheduled: nobody gets it before */
        marty_publish_event(bus, "demo.end", marty_text("{}"),
                            &(marty_publish_options){.deliver_in_ms = 300}, &why) ||
        marty_bus_run(bus, &why);
    if (failed) {
        fprintf(stderr, "%s\n", why.text);
    }
    marty_bus_free(bus);
    return failed;
}
