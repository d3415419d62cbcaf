/* SPDX-License-Identifier: Apache-2.0
 * Taking a scheduled message back. */
#include "patterns.h"

#include "base/error.h"

#include <stdio.h>

marty_err marty_unschedule(marty_bus *bus, marty_pattern pattern, const char *to, const char *type,
                           const char *id, marty_error *why)
{
    marty__place place;
    marty_err err = marty__bus_enter(bus, MARTY__FLUSHING, why);
    if (!err && (!id || !*id)) {
        return marty_error_set(why, MARTY_E_ARGUMENT,
                               "id is empty; expected the id of the scheduled message");
    }
    err = err ? err : marty__route_publish(bus->config, pattern, to, type, &place, why);
    if (err) {
        return err;
    }
    marty__port *port = &bus->ports[place.backend];
    if (!port->backend->cancel ||
        !marty__port_can(port, place.kind, place.order, MARTY_CAN_CANCEL)) {
        return marty_error_set(why, MARTY_E_UNSUPPORTED,
                               "%s cannot take back a scheduled message on %s", port->name,
                               place.channel);
    }
    marty__call *call = marty__call_new(bus, 1, 1, sizeof place.channel);
    if (!call) {
        return marty__error_code(why, MARTY_E_NO_MEMORY);
    }
    marty_message named = {.type = type, .id = id};
    (void)snprintf(call->strings, sizeof place.channel, "%s", place.channel);
    marty__call_go(call, &(marty__way){.port = port,
                                       .like.channel = {.name = call->strings,
                                                        .kind = place.kind,
                                                        .order = place.order,
                                                        .shards = place.shards,
                                                        .native = place.native},
                                       .cancels = true});
    call->no_retry = true;
    call->deadline_ns = marty__bus_deadline(bus, 0, MARTY__TIMEOUT_MS);
    marty__given given = marty__outgoing_given(bus, NULL);
    marty_message *message = NULL;
    err = marty__outgoing_message(&named, &given, &message, why);
    if (!err) {
        marty__call_add(call, message);
        call->waited = true; /* not before: what it waits with is made by accepting it */
        err = marty__call_accept(call, true, why);
    }
    if (!err) {
        marty__call_wait(call);
        err = marty__call_verdict(call, why);
    }
    marty__call_unref(call);
    return err;
}
