/* SPDX-License-Identifier: Apache-2.0
 * Where a subscription reads. It may concern several routes: it is narrowed to what each of them
 * carries, and a channel that another one covers is not read twice. Pure functions. */
#include "route_parts.h"

#include "base/limits.h"
#include "match.h"

#include <stdio.h>
#include <string.h>

typedef struct gather {
    const marty__config *config;
    marty_pattern pattern;
    const char *name, *service; /* as given */
    char segment[MARTY__CHANNEL_ROOM];
    marty__place *places;
    size_t max, count;
} gather;

static marty_err contradiction(const gather *to, const marty__place *a, const marty__place *b,
                               marty_error *why)
{
    const marty__config_route *one = &to->config->routes[a->route];
    const marty__config_route *two = &to->config->routes[b->route];
    return marty_error_set(why, MARTY_E_CONFIG,
                           "%s: %s and %s (%s) both lead to %s, but with another order or another "
                           "number of shards; a channel has one of each",
                           one->from, one->label, two->label, two->from, b->channel);
}

/* A channel that one of the places covers is read already; one that it covers is read by it. */
static marty_err add_place(gather *to, const marty__place *from, marty_error *why)
{
    marty__place made = *from, *place = &made;
    size_t kept = 0;
    for (size_t i = 0; i < to->count; i++) {
        marty__place *old = &to->places[i];
        bool beside = old->backend != place->backend || old->native != place->native;
        bool same = !beside && strcmp(old->channel, place->channel) == 0;
        bool inside = same || (!beside && !old->native &&
                               marty__pattern_covers(old->channel, place->channel));
        bool around =
            !beside && !old->native && marty__pattern_covers(place->channel, old->channel);
        if ((inside || around) && (old->order != place->order || old->shards != place->shards)) {
            return contradiction(to, old, place, why);
        }
        if (inside) {
            old->need |= place->need;
            return MARTY_OK;
        }
        if (around) {
            place->need |= old->need;
        } else {
            to->places[kept++] = *old;
        }
    }
    to->count = kept;
    if (to->count == to->max) {
        return marty_error_set(why, MARTY_E_ARGUMENT,
                               "\"%s\" spans more than %zu channels; the limit of one subscription",
                               to->name, to->max);
    }
    to->places[to->count++] = *place;
    return MARTY_OK;
}

static marty_err spans(const gather *to, const marty__config_route *route, const char *channel,
                       marty_error *why)
{
    return marty_error_set(why, MARTY_E_UNSUPPORTED,
                           "\"%s\" spans channels that have no name in common (\"%s\", from %s of "
                           "%s); list them in that route, as in channels: [%.*s, ...]",
                           to->name, channel, route->channel, route->from,
                           (int)strcspn(route->channel, "{"), route->channel);
}

/* Whether every wildcard of a channel's name is a whole segment. */
static bool expressible(const char *channel)
{
    marty_error ignored;
    return marty__pattern_check(channel, &ignored) == MARTY_OK;
}

static marty_err add_listed(gather *to, const marty__config_route *route, marty__place *place,
                            marty_error *why)
{
    marty_err err = MARTY_OK;
    for (size_t i = 0; i < route->channel_count && !err; i++) {
        (void)snprintf(place->channel, sizeof place->channel, "%s", route->channels[i]);
        err = add_place(to, place, why);
    }
    return err;
}

static marty_err add_route(gather *to, size_t index, const marty__route_parts *from,
                           marty_error *why)
{
    const marty__config_route *route = &to->config->routes[index];
    marty__place place;
    marty__route_fill(to->config, index, &place);
    if (place.native) {
        return add_place(to, &place, why);
    }
    marty_err err = marty__route_expand(route->channel, from, place.channel, why);
    if (err) {
        return err;
    }
    if (!strpbrk(place.channel, "*>")) {
        return add_place(to, &place, why);
    }
    if (route->channel_count) {
        return add_listed(to, route, &place, why);
    }
    if (!expressible(place.channel)) {
        return spans(to, route, place.channel, why);
    }
    place.wild = true;
    return add_place(to, &place, why);
}

/* What of the subscription a route of types carries; *ret_all: the whole of it. */
static bool narrow_types(const gather *to, const marty__config_route *route,
                         char type[MARTY__PATTERN_ROOM], bool *ret_all)
{
    char name[2 * MARTY__CHANNEL_ROOM];
    size_t skip = 0;
    if (marty__route_for_service(to->pattern)) {
        if (marty__route_takes_name(route, to->service)) {
            *ret_all = true;
            (void)snprintf(type, MARTY__PATTERN_ROOM, "%s", to->name);
            return true;
        }
        skip = strlen(to->service) + 1;
        (void)snprintf(name, sizeof name, "%s.%s", to->service, to->name);
    } else {
        (void)snprintf(name, sizeof name, "%s", to->name);
    }
    *ret_all = marty__pattern_covers(route->match, name);
    if (!marty__pattern_intersect(route->match, name, type)) {
        return false;
    }
    size_t size = strlen(type) - skip;
    memmove(type, type + skip, size + 1);
    return size <= MARTY__NAME_BYTES_MAX; /* no longer one is a type */
}

static marty_err subscribe_types(gather *to, marty_error *why)
{
    bool all = false;
    for (size_t i = 0; i < to->config->route_count && !all; i++) {
        const marty__config_route *route = &to->config->routes[i];
        char type[MARTY__PATTERN_ROOM];
        if (route->pattern != to->pattern || !narrow_types(to, route, type, &all)) {
            continue;
        }
        marty__route_parts from = {type, to->segment, NULL};
        marty_err err = add_route(to, i, &from, why);
        if (err) {
            return err;
        }
    }
    return MARTY_OK;
}

static marty_err subscribe_stream(gather *to, marty_error *why)
{
    marty_err err = marty__name_segment(to->segment, "stream", to->name, why);
    for (size_t i = 0; i < to->config->route_count && !err; i++) {
        const marty__config_route *route = &to->config->routes[i];
        if (route->pattern == MARTY_STREAM && marty__route_takes_name(route, to->name)) {
            return add_route(to, i, &(marty__route_parts){.name = to->segment}, why);
        }
    }
    return err;
}

/* "*" or ">": every stream. A route for one stream gives that; others give all of their backend. */
static marty_err subscribe_streams(gather *to, marty_error *why)
{
    marty_err err = MARTY_OK;
    for (size_t i = 0; i < to->config->route_count && !err; i++) {
        const marty__config_route *route = &to->config->routes[i];
        if (route->pattern != MARTY_STREAM) {
            continue;
        }
        (void)snprintf(to->segment, sizeof to->segment, "*");
        if (!marty__pattern_wild(route->match)) {
            err = marty__name_segment(to->segment, "stream", route->match, why);
        }
        if (!err) {
            err = add_route(to, i, &(marty__route_parts){.name = to->segment}, why);
        }
    }
    return err;
}

static marty_err subscribe_named(gather *to, marty_error *why)
{
    if (to->pattern != MARTY_STREAM) {
        marty_err err = marty__pattern_check(to->name, why);
        if (!err && marty__route_for_service(to->pattern)) {
            err = marty__name_segment(to->segment, "service", to->service, why);
        }
        return err ? err : subscribe_types(to, why);
    }
    if (!to->name || !strpbrk(to->name, "*>")) {
        return subscribe_stream(to, why);
    }
    if (strcmp(to->name, "*") == 0 || strcmp(to->name, ">") == 0) {
        return subscribe_streams(to, why);
    }
    return marty_error_set(why, MARTY_E_UNSUPPORTED,
                           "the stream \"%s\": a stream's name is one word, so a subscription "
                           "names one stream or all of them, \"*\"",
                           to->name);
}

marty_err marty__route_subscribe(const marty__config *config, marty_pattern pattern,
                                 const char *name, const char *service, marty__place places[],
                                 size_t max, size_t *ret_count, marty_error *why)
{
    gather to = {config, pattern, name, service, "", places, max, 0};
    if (pattern < MARTY_EVENT || pattern > MARTY_BROADCAST) {
        return marty_error_set(why, MARTY_E_ARGUMENT, "%d is no pattern", (int)pattern);
    }
    marty_err err = subscribe_named(&to, why);
    if (!err && !to.count) {
        err = marty__route_missing(config, pattern,
                                   marty__route_for_service(pattern) ? service : name, why);
    }
    if (!err) {
        *ret_count = to.count;
    }
    return err;
}
