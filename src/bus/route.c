/* SPDX-License-Identifier: Apache-2.0
 * Which route a message takes, and the channel that it names; and the channels of core's own. Pure
 * functions. */
#include "route_parts.h"

#include "backend/capability.h"
#include "base/limits.h"
#include "match.h"

#include <stdio.h>
#include <string.h>

typedef struct text {
    char *to;
    size_t size; /* also of what did not fit */
} text;

static void add(text *out, const char *from, size_t size)
{
    for (size_t i = 0; i < size; i++, out->size++) {
        if (out->size < MARTY__CHANNEL_ROOM - 1) {
            out->to[out->size] = from[i];
        }
    }
}

static void add_placeholder(text *out, const char *word, size_t size,
                            const marty__route_parts *from)
{
    if (size == 6 && memcmp(word, "domain", size) == 0) {
        size_t domain = strcspn(from->type, ".");
        bool rest = domain == 1 && from->type[0] == '>';
        add(out, rest ? "*" : from->type, domain);
        return;
    }
    const char *value = word[0] == 't' ? from->type : word[0] == 's' ? from->service : from->name;
    add(out, value, strlen(value));
}

/* Fills the template in; its placeholders were checked when the configuration was loaded. */
marty_err marty__route_expand(const char *template_, const marty__route_parts *from,
                              char ret[MARTY__CHANNEL_ROOM], marty_error *why)
{
    text out = {ret, 0};
    for (const char *at = template_; *at;) {
        size_t plain = strcspn(at, "{");
        add(&out, at, plain);
        at += plain;
        if (*at == '{') {
            size_t word = strcspn(at + 1, "}");
            add_placeholder(&out, at + 1, word, from);
            at += word + 2;
        }
    }
    bool fits = out.size < MARTY__CHANNEL_ROOM;
    ret[fits ? out.size : MARTY__CHANNEL_ROOM - 1] = '\0';
    return fits ? MARTY_OK
                : marty_error_set(why, MARTY_E_ARGUMENT,
                                  "the channel \"%.80s...\" would have %zu bytes; the limit is %d: "
                                  "take a shorter name",
                                  ret, out.size, MARTY__CHANNEL_ROOM - 1);
}

static marty_kind kind_of(marty_pattern pattern)
{
    static const marty_kind kinds[] = {[MARTY_EVENT] = MARTY_KIND_TOPIC,
                                       [MARTY_COMMAND] = MARTY_KIND_QUEUE,
                                       [MARTY_QUERY] = MARTY_KIND_REQUEST,
                                       [MARTY_STREAM] = MARTY_KIND_STREAM,
                                       [MARTY_BROADCAST] = MARTY_KIND_BROADCAST};
    return kinds[pattern];
}

bool marty__route_for_service(marty_pattern pattern)
{
    return pattern == MARTY_COMMAND || pattern == MARTY_QUERY;
}

/* Whether a route for a service or stream takes all of what is called so. */
bool marty__route_takes_name(const marty__config_route *route, const char *name)
{
    return strcmp(route->match, "*") == 0 || marty__pattern_matches(route->match, name);
}

static bool route_matches(const marty__config_route *route, const char *to, const char *type)
{
    if (route->pattern == MARTY_STREAM) {
        return marty__route_takes_name(route, to);
    }
    if (!marty__route_for_service(route->pattern)) {
        return marty__pattern_matches(route->match, type);
    }
    char both[2 * MARTY__CHANNEL_ROOM];
    (void)snprintf(both, sizeof both, "%s.%s", to, type);
    return marty__route_takes_name(route, to) || marty__pattern_matches(route->match, both);
}

marty_err marty__route_missing(const marty__config *config, marty_pattern pattern, const char *name,
                               marty_error *why)
{
    const char *word = marty__pattern_word(pattern);
    const char *key = marty__route_template(pattern);
    const char *to = config->backend_count ? config->backends[0].name : "main";
    return marty_error_set(why, MARTY_E_NOT_FOUND,
                           "%s: no route takes the %s \"%s\"; add one, for example: - {%.*s: "
                           "\"%s\", to: %s}",
                           config->from, word, name, (int)strcspn(key, "."), key, name, to);
}

void marty__route_fill(const marty__config *config, size_t index, marty__place *ret)
{
    const marty__config_route *route = &config->routes[index];
    *ret = (marty__place){.backend = route->backend,
                          .route = index,
                          .kind = kind_of(route->pattern),
                          .order = route->order,
                          .shards = route->shards,
                          .need = route->need,
                          .native = route->native != NULL};
    if (route->native) {
        (void)snprintf(ret->channel, sizeof ret->channel, "%s", route->native);
    }
}

/* Checks the names that the pattern has, and encodes the one that is a segment. */
static marty_err check_names(marty_pattern pattern, const char *to, const char *type,
                             char segment[MARTY__CHANNEL_ROOM], marty_error *why)
{
    marty_err err = marty__type_check(type, why);
    if (err || !(marty__route_for_service(pattern) || pattern == MARTY_STREAM)) {
        return err;
    }
    return marty__name_segment(segment, pattern == MARTY_STREAM ? "stream" : "service", to, why);
}

marty_err marty__route_publish(const marty__config *config, marty_pattern pattern, const char *to,
                               const char *type, marty__place *ret, marty_error *why)
{
    char segment[MARTY__CHANNEL_ROOM];
    if (pattern < MARTY_EVENT || pattern > MARTY_BROADCAST) {
        return marty_error_set(why, MARTY_E_ARGUMENT, "%d is no pattern", (int)pattern);
    }
    marty_err err = check_names(pattern, to, type, segment, why);
    if (err) {
        return err;
    }
    for (size_t i = 0; i < config->route_count; i++) {
        const marty__config_route *route = &config->routes[i];
        if (route->pattern != pattern || !route_matches(route, to, type)) {
            continue;
        }
        marty__route_parts from = {type, segment, segment};
        marty__place place;
        marty__route_fill(config, i, &place);
        err = route->native ? MARTY_OK
                            : marty__route_expand(route->channel, &from, place.channel, why);
        if (!err) {
            *ret = place;
        }
        return err;
    }
    return marty__route_missing(config, pattern, to ? to : type, why);
}

marty_err marty__route_needs(const marty__config *config, const marty__place *place,
                             const marty_capabilities *granted, marty_error *why)
{
    uint64_t missing = place->need & ~marty__capability_of(granted, place->kind, place->order);
    const marty__config_route *route = config->routes;
    unsigned bit = 0;
    if (!missing) {
        return MARTY_OK;
    }
    while (!(missing >> bit & 1)) {
        bit++;
    }
    while (route->backend != place->backend || !(route->need >> bit & 1)) {
        route++; /* one of them asked for it */
    }
    return marty_error_set(why, MARTY_E_UNSUPPORTED,
                           "%s: %s.need: %s grants no %s on %s; route it to another backend, or "
                           "take it from need",
                           route->from, route->label, config->backends[place->backend].name,
                           marty__capability_name(bit), place->channel);
}

/* ---- channels of core's own */

marty_err marty__dead_channel(const marty__config *config, const char *channel,
                              char ret[MARTY__CHANNEL_ROOM], marty_error *why)
{
    const char *at = strstr(config->dead_channel, "{channel}");
    size_t before = at ? (size_t)(at - config->dead_channel) : strlen(config->dead_channel);
    const char *after = at ? at + strlen("{channel}") : "";
    text out = {ret, 0};
    add(&out, config->dead_channel, before);
    for (const char *from = channel; at && *from; from++) {
        bool wild = *from == '*' || *from == '>'; /* a subscription to all streams */
        add(&out, wild ? (*from == '*' ? "_x2a_" : "_x3e_") : from, wild ? 5 : 1);
    }
    add(&out, after, strlen(after));
    if (out.size >= MARTY__CHANNEL_ROOM) {
        return marty_error_set(why, MARTY_E_ARGUMENT,
                               "the dead letters of \"%.80s...\" would lie in a channel whose name "
                               "has %zu bytes; the limit is %d: take a shorter name",
                               channel, out.size, MARTY__CHANNEL_ROOM - 1);
    }
    ret[out.size] = '\0';
    return MARTY_OK;
}

marty_err marty__reply_channel(const char *service, const char *instance,
                               char ret[MARTY__CHANNEL_ROOM], marty_error *why)
{
    char one[MARTY__CHANNEL_ROOM], two[MARTY__CHANNEL_ROOM];
    marty_err err = marty__name_segment(one, "service", service ? service : "none", why);
    err = err ? err : marty__name_segment(two, "instance", instance, why);
    if (err) {
        return err;
    }
    int size = snprintf(ret, MARTY__CHANNEL_ROOM, "replies.%s.%s", one, two);
    if (size >= MARTY__CHANNEL_ROOM) {
        return marty_error_set(why, MARTY_E_ARGUMENT,
                               "the reply channel \"%.80s...\" would have %d bytes; the limit is "
                               "%d: take a shorter service or instance",
                               ret, size, MARTY__CHANNEL_ROOM - 1);
    }
    return MARTY_OK;
}
