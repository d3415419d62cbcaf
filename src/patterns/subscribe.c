/* SPDX-License-Identifier: Apache-2.0
 * Subscribing: check, route, and hand to the bus. */
#include "patterns.h"

#include "backend/capability.h"
#include "base/error.h"
#include "base/grouped.h"
#include "base/limits.h"

#include <string.h>

static marty_err check(marty_pattern pattern, const char *name,
                       const marty_subscribe_options *options, marty_error *why)
{
    if (pattern < MARTY_EVENT || pattern > MARTY_BROADCAST) {
        return marty_error_set(why, MARTY_E_ARGUMENT,
                               "pattern is %d; expected EVENT, COMMAND, QUERY, STREAM or BROADCAST",
                               (int)pattern);
    }
    if (!name) {
        return marty_error_set(why, MARTY_E_ARGUMENT,
                               "name is NULL; expected a type such as \"order.*\"");
    }
    bool many = options->concurrency > MARTY__CONCURRENCY_MAX;
    if (many || options->batch_max > MARTY__BATCH_MAX) {
        uint64_t max = many ? MARTY__CONCURRENCY_MAX : MARTY__BATCH_MAX;
        return marty_error_set(why, MARTY_E_ARGUMENT, "options.%s is over %s",
                               many ? "concurrency" : "batch_max", marty__grouped(max).text);
    }
    if (options->lease_ms && options->lease_ms < MARTY__LEASE_MIN_MS) {
        return marty_error_set(why, MARTY_E_ARGUMENT, "options.lease_ms is %u; at least %d",
                               options->lease_ms, (int)MARTY__LEASE_MIN_MS);
    }
    if (options->start.from == MARTY_FROM_POSITION && !options->start.position) {
        return marty_error_set(why, MARTY_E_ARGUMENT,
                               "options.start.position is NULL with MARTY_FROM_POSITION");
    }
    marty_err err = marty__pattern_check(name, why);
    return err ? err
               : marty__reserved_check(options->reserved,
                                       sizeof options->reserved / sizeof options->reserved[0],
                                       "options", why);
}

/* Who shares the work: the named group, else the service's; a broadcast reaches every instance. */
static marty_err choose_group(marty_bus *bus, marty_pattern pattern,
                              const marty_subscribe_options *options, const char **ret_group,
                              const char **ret_service, marty_error *why)
{
    char segment[MARTY__CHANNEL_ROOM];
    *ret_service = options->service ? options->service : bus->service;
    *ret_group = options->group ? options->group : *ret_service;
    if (pattern == MARTY_BROADCAST) {
        *ret_group = MARTY_GROUP_INSTANCE;
        return MARTY_OK;
    }
    if ((pattern == MARTY_COMMAND || pattern == MARTY_QUERY) && *ret_service) {
        *ret_group = *ret_service; /* the service is the group: one of its instances takes each */
    }
    if (!*ret_group) {
        return marty_error_set(why, MARTY_E_ARGUMENT,
                               "neither options.group nor a service name: two services would share "
                               "their work unasked; set options.service of the bus");
    }
    return strcmp(*ret_group, MARTY_GROUP_INSTANCE) == 0
               ? MARTY_OK
               : marty__name_segment(segment, "group", *ret_group, why);
}

static marty_err check_place(marty_bus *bus, const marty__place *place,
                             const marty_subscribe_options *options, marty_error *why)
{
    marty__port *port = &bus->ports[place->backend];
    if (place->wild && !marty__port_can(port, place->kind, place->order, MARTY_CAN_WILDCARD)) {
        return marty_error_set(why, MARTY_E_UNSUPPORTED,
                               "%s cannot subscribe to \"%s\", which spans channels; name them in "
                               "its route: channels: [..]",
                               port->name, place->channel);
    }
    if (place->order == MARTY_ORDER_KEY &&
        !marty__port_can(port, place->kind, place->order, MARTY_CAN_ORDER_BY_KEY)) {
        return marty_error_set(why, MARTY_E_UNSUPPORTED, "%s grants no order by key on %s",
                               port->name, place->channel);
    }
    bool asks_past = options->start.from == MARTY_FROM_EARLIEST ||
                     options->start.from == MARTY_FROM_TIME ||
                     options->start.from == MARTY_FROM_POSITION || options->reset;
    if (asks_past && !marty__port_can(port, place->kind, place->order, MARTY_CAN_REPLAY)) {
        return marty_error_set(why, MARTY_E_UNSUPPORTED,
                               "%s grants no replay on %s: it cannot start anywhere but now",
                               port->name, place->channel);
    }
    return marty__route_needs(bus->config, place, marty__port_granted(port), why);
}

/* The order asked for must be the one that the route declares. */
static marty_err check_order(const marty__place *place, const marty_subscribe_options *options,
                             marty_error *why)
{
    if (options->order == MARTY_ORDER_KEY && place->order != MARTY_ORDER_KEY) {
        return marty_error_set(why, MARTY_E_UNSUPPORTED,
                               "%s is not declared with order: key; set it in its route",
                               place->channel);
    }
    return MARTY_OK;
}

marty_err marty_subscribe(marty_bus *bus, marty_pattern pattern, const char *name,
                          marty_handler handler, void *user, const marty_subscribe_options *options,
                          marty_subscription **ret_subscription, marty_error *why)
{
    static const marty_subscribe_options none;
    options = options ? options : &none;
    marty_err err = marty__bus_enter(bus, MARTY__DRAINING, why);
    err = err ? err : check(pattern, name, options, why);
    if (err) {
        return err;
    }
    if (!handler && !ret_subscription) {
        return marty_error_set(why, MARTY_E_ARGUMENT,
                               "handler and ret_subscription are NULL: nobody could receive");
    }
    marty__place places[MARTY__PLACES_MAX];
    marty__subscribe what = {.pattern = pattern,
                             .name = name,
                             .handler = handler,
                             .user = user,
                             .options = options,
                             .places = places};
    err = choose_group(bus, pattern, options, &what.group, &what.service, why);
    err = err ? err
              : marty__route_subscribe(bus->config, pattern, name, what.service, places,
                                       MARTY__PLACES_MAX, &what.place_count, why);
    for (size_t i = 0; i < what.place_count && !err; i++) {
        err = check_order(&places[i], options, why);
        if (options->order == MARTY_ORDER_NONE) {
            places[i].order = MARTY_ORDER_NONE;
        }
        err = err ? err : check_place(bus, &places[i], options, why);
    }
    return err ? err : marty__subscription_open(bus, &what, ret_subscription, why);
}
