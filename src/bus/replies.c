/* SPDX-License-Identifier: Apache-2.0
 * The channel for answers to this bus: one per port, opened at the first query, gone with the bus.
 */
#include "internal.h"

#include "base/error.h"

#include <stdio.h>

enum { REPLY_CREDIT = 4096 };

static marty_err subscribe(marty__port *port, marty_error *why)
{
    marty_bus *bus = port->bus;
    marty__place place = {
        .backend = port->index, .kind = MARTY_KIND_REPLY, .order = MARTY_ORDER_NONE};
    marty_subscribe_options options = {.credit = REPLY_CREDIT, .timeout_ms = MARTY_NO_WAIT};
    marty__subscribe what = {.pattern = MARTY_QUERY,
                             .name = ">",
                             .group = MARTY_GROUP_INSTANCE,
                             .options = &options,
                             .places = &place,
                             .place_count = 1};
    marty_err err = marty__reply_channel(bus->service, bus->instance, place.channel, why);
    if (err) {
        return err;
    }
    marty_subscription *subscription = NULL;
    err = marty__subscription_open(bus, &what, &subscription, why);
    if (err) {
        return err;
    }
    marty__lock(&port->lock);
    bool first = !port->reply;
    if (first) {
        port->reply = marty__consumer_ref(subscription->consumers[0]);
    }
    marty__unlock(&port->lock);
    if (!first) {
        return marty_unsubscribe(subscription, MARTY_NO_WAIT, NULL), MARTY_OK;
    }
    marty__subscription_unref(subscription); /* the bus's list keeps it */
    return MARTY_OK;
}

marty_err marty__port_reply(marty__port *port, const char **ret_name, int64_t deadline_ns,
                            marty_error *why)
{
    marty__lock(&port->lock);
    bool there = port->reply != NULL;
    marty__unlock(&port->lock);
    marty_err err = there ? MARTY_OK : subscribe(port, why);
    if (err) {
        return err;
    }
    err = marty__consumer_wait(port->reply, deadline_ns, why);
    *ret_name = port->reply->channel;
    return err;
}
