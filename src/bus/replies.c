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
    port->reply = marty__consumer_ref(subscription->consumers[0]);
    marty__unlock(&port->lock);
    marty__subscription_unref(subscription); /* the bus's list keeps it */
    return MARTY_OK;
}

/* One opens it, however many ask first: a second subscription would take the channel along when it
 * ends. *ret_mine: it is this caller's turn, to be ended by turn_over. */
static marty_err wait_turn(marty__port *port, bool *ret_mine, int64_t deadline_ns, marty_error *why)
{
    bool in_time = true;
    marty__lock(&port->lock);
    while (!port->reply && port->reply_opening && in_time) {
        in_time = marty__wait(&port->changed, &port->lock, deadline_ns);
    }
    *ret_mine = !port->reply && !port->reply_opening;
    port->reply_opening = port->reply_opening || *ret_mine;
    bool there = port->reply != NULL;
    marty__unlock(&port->lock);
    return there || *ret_mine
               ? MARTY_OK
               : marty_error_set(why, MARTY_E_TIMEOUT,
                                 "the reply channel on %s did not open in time", port->name);
}

static void turn_over(marty__port *port)
{
    marty__lock(&port->lock);
    port->reply_opening = false;
    marty__wake_all(&port->changed);
    marty__unlock(&port->lock);
}

marty_err marty__port_reply(marty__port *port, const char **ret_name, int64_t deadline_ns,
                            marty_error *why)
{
    bool mine = false;
    marty_err err = wait_turn(port, &mine, deadline_ns, why);
    if (mine) {
        err = subscribe(port, why);
        turn_over(port);
    }
    if (err) {
        return err;
    }
    err = marty__consumer_wait(port->reply, deadline_ns, why);
    *ret_name = port->reply->channel;
    return err;
}
