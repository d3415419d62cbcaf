/* SPDX-License-Identifier: Apache-2.0
 * The channel for answers to this bus: one per port, opened at the first query, gone with the bus.
 * Nobody waits for it: requests stand aside in port->asks until the broker has it, and after each
 * lost connection again. */
#include "internal.h"

#include "base/error.h"

#include <stdio.h>

static marty_err subscribe(marty__port *port, const char *name, marty_error *why)
{
    marty_bus *bus = port->bus;
    marty__place place = {
        .backend = port->index, .kind = MARTY_KIND_REPLY, .order = MARTY_ORDER_NONE};
    marty_subscribe_options options = {.credit = MARTY__REPLY_CREDIT, .timeout_ms = MARTY_NO_WAIT};
    marty__subscribe what = {.pattern = MARTY_QUERY,
                             .name = ">",
                             .group = MARTY_GROUP_INSTANCE,
                             .options = &options,
                             .places = &place,
                             .place_count = 1};
    (void)snprintf(place.channel, sizeof place.channel, "%s", name);
    marty_subscription *subscription = NULL;
    marty_err err = marty__subscription_open(bus, &what, &subscription, why);
    if (err) {
        return err;
    }
    marty__lock(&port->lock);
    if (!port->closed) { /* else nobody would give it back */
        port->reply = marty__consumer_ref(subscription->consumers[0]);
    }
    marty__unlock(&port->lock);
    marty__subscription_unref(subscription); /* the bus's list keeps it */
    return MARTY_OK;
}

/* With port->lock held: ours, if it was refused for good; counted. */
static marty__consumer *refused_one(const marty__port *port)
{
    return port->reply_refused && port->reply ? marty__consumer_ref(port->reply) : NULL;
}

void marty__reply_answer(marty__port *port, bool stands, marty_err reason)
{
    marty__lock(&port->lock);
    port->reply_stands = stands;
    port->reply_refused = /* for good; else it is tried again by itself */
        reason && marty_err_describe(reason)->error_class != MARTY_CLASS_RETRY;
    if (stands) { /* they have waited: in front of the others */
        marty__list_move(&port->asks, &port->posts);
        marty__list_move(&port->posts, &port->asks);
    }
    marty__unlock(&port->lock);
}

/* One opens it, however many ask first: a second subscription would take the channel along when it
 * ends. One that was refused for good is tried again by the next who asks. */
marty_err marty__port_reply(marty__port *port, char ret_name[MARTY__CHANNEL_ROOM], marty_error *why)
{
    marty_error inner = {0};
    marty_err err = marty__reply_channel(port->bus->service, port->bus->instance, ret_name, why);
    if (err) {
        return err;
    }
    marty__lock(&port->lock);
    bool open = !port->reply && !port->reply_opening;
    port->reply_opening = port->reply_opening || open;
    marty__consumer *refused = refused_one(port);
    port->reply_refused = false;
    marty__unlock(&port->lock);
    if (refused) {
        marty__consumer_subscribe(refused);
        marty__consumer_unref(refused);
    }
    if (!open) {
        return MARTY_OK;
    }
    err = subscribe(port, ret_name, &inner);
    marty__lock(&port->lock);
    port->reply_opening = false;
    marty__unlock(&port->lock);
    if (err) {
        marty__asks_refuse(port, err, inner.text);
        return marty_error_set(why, err, "%s", inner.text);
    }
    return MARTY_OK;
}

/* In the runner: where it never will stand, who waits for it is told why. */
void marty__asks_run(marty__port *port)
{
    marty__lock(&port->lock);
    marty__consumer *refused = marty__list_empty(&port->asks) ? NULL : refused_one(port);
    marty__unlock(&port->lock);
    if (refused) {
        char text[sizeof refused->text];
        marty__lock(&refused->lock);
        marty_err reason = refused->reason;
        (void)snprintf(text, sizeof text, "%s", refused->text);
        marty__unlock(&refused->lock);
        marty__asks_refuse(port, reason ? reason : MARTY_E_UNAVAILABLE, text);
        marty__consumer_unref(refused);
    }
}
