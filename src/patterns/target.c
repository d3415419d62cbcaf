/* SPDX-License-Identifier: Apache-2.0
 * Where the messages of one type go: the place by the routes, what its backend grants, how much it
 * takes. */
#include "target.h"

#include "backend/capability.h"
#include "base/error.h"
#include "base/grouped.h"

#include <string.h>

static marty_err check_level(const marty__publish *self, const marty__target *to,
                             const marty_capabilities *granted, marty_error *why)
{
    bool keeps = to->place->kind != MARTY_KIND_BROADCAST;
    marty_level level = keeps ? granted->level : MARTY_LEVEL_MEMORY;
    if (self->options->level > level) {
        return marty_error_set(why, MARTY_E_UNSUPPORTED,
                               "%s stores at level %s on %s, less than the %s that was asked",
                               to->port->name, marty__level_name(level), to->place->channel,
                               marty__level_name(self->options->level));
    }
    return MARTY_OK;
}

static marty_err check_granted(const marty__publish *self, marty__target *to, marty_error *why)
{
    marty__port *port = to->port;
    const marty_capabilities *granted = marty__port_granted(port);
    to->payload_max = granted->payload_bytes_max ? granted->payload_bytes_max : UINT64_MAX;
    to->headers_max = granted->header_count_max ? granted->header_count_max : UINT32_MAX;
    if (!self->deliver_at_us && !self->options->level && !to->place->need) {
        return MARTY_OK; /* it asks for nothing that may not be granted */
    }
    if (self->deliver_at_us &&
        !marty__capability_has(granted, to->place->kind, to->place->order, MARTY_CAN_DELAY)) {
        return marty_error_set(
            why, MARTY_E_UNSUPPORTED,
            "%s grants no delayed delivery on %s; route it to memory, sqlite or nats 2.12",
            port->name, to->place->channel);
    }
    marty_err err = marty__route_needs(self->bus->config, to->place, granted, why);
    return err ? err : check_level(self, to, granted, why);
}

marty_err marty__target_check(const marty__target *to, const marty_message *message,
                              marty_error *why)
{
    if (message->data.size > to->payload_max) {
        return marty_error_set(
            why, MARTY_E_TOO_LARGE,
            "message %s on channel %s: %s bytes, the limit of %s is %s; send a reference",
            message->id ? message->id : message->type, to->place->channel,
            marty__grouped(message->data.size).text, to->port->name,
            marty__grouped(to->payload_max).text);
    }
    if (message->header_count > to->headers_max) {
        return marty_error_set(why, MARTY_E_TOO_LARGE,
                               "message on channel %s: %s headers, the limit of %s is %s",
                               to->place->channel, marty__grouped(message->header_count).text,
                               to->port->name, marty__grouped(to->headers_max).text);
    }
    return MARTY_OK;
}

/* The channel's name lives as long as the call; as the bus, when somebody sees the outcomes, as
 * long as there are not too many. */
void marty__target_go(const marty__publish *self, marty__call *call, const marty__target *to,
                      char **room)
{
    const marty__place *place = to->place;
    bool seen = self->options->outcomes || self->options->done;
    const char *lasting =
        to->kept ? to->kept->channel
        : seen   ? marty__bus_keep_name(self->bus, place->channel, MARTY__KNOWN_CHANNELS_MAX)
                 : NULL;
    marty__way way = {.port = to->port,
                      .like.channel = {.kind = place->kind,
                                       .order = place->order,
                                       .native = place->native,
                                       .name = lasting,
                                       .shards = place->shards},
                      .lasts = lasting != NULL,
                      .like.deliver_at_us = self->deliver_at_us};
    if (!lasting) {
        way.like.channel.name = memcpy(*room, place->channel, sizeof place->channel);
        *room += MARTY__CHANNEL_ROOM;
    }
    marty__call_go(call, &way);
}

marty_err marty__target_find(const marty__publish *self, const char *type, marty__target *to,
                             marty_error *why)
{
    marty_err err =
        marty__place_find(self->bus, self->pattern, self->to, type, &to->found, &to->kept, why);
    if (err) {
        return err;
    }
    to->place = to->kept ? &to->kept->place : &to->found;
    to->port = &self->bus->ports[to->place->backend];
    return check_granted(self, to, why);
}
