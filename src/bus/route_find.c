/* SPDX-License-Identifier: Apache-2.0
 * From the name of a channel back to its place: which route names it so, hence its kind, order and
 * backend. For people who name channels: topology, dead letters. Pure functions. */
#include "route_parts.h"

#include "base/limits.h"
#include "match.h"

#include <stdio.h>
#include <string.h>

/* What the placeholders of a template stand for in a name; "" where it has none. */
typedef struct captured {
    char domain[MARTY__CHANNEL_ROOM], type[MARTY__CHANNEL_ROOM], service[MARTY__CHANNEL_ROOM],
        name[MARTY__CHANNEL_ROOM];
} captured;

static char *room_of(captured *to, const char *word)
{
    return word[0] == 't'   ? to->type
           : word[0] == 'd' ? to->domain
           : word[0] == 's' ? to->service
                            : to->name;
}

/* Whether the template gives the name. Each placeholder is in it once at most, so this ends soon.
 */
static bool fits(const char *template_, const char *name, captured *to)
{
    for (; *template_ && *template_ != '{'; template_++, name++) {
        if (*template_ != *name) {
            return false;
        }
    }
    if (!*template_) {
        return !*name;
    }
    const char *word = template_ + 1, *rest = strchr(word, '}') + 1;
    size_t size = word[0] == 't' ? strlen(name) : strcspn(name, ".");
    for (; size > 0; size--) {
        if (fits(rest, name + size, to)) {
            (void)snprintf(room_of(to, word), MARTY__CHANNEL_ROOM, "%.*s", (int)size, name);
            return true;
        }
    }
    return false;
}

static int hex_of(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The inverse of marty__name_segment, in place. */
static void decode(char *segment)
{
    char *to = segment;
    for (const char *at = segment; *at; to++) {
        int high = at[0] == '_' && at[1] == 'x' ? hex_of(at[2]) : -1;
        int low = high >= 0 ? hex_of(at[3]) : -1;
        bool escape = low >= 0 && at[4] == '_';
        *to = escape ? (char)(high * 16 + low) : *at;
        at += escape ? 5 : 1;
    }
    *to = '\0';
}

/* Whether the route takes messages whose channel has these parts. */
static bool plausible(const marty__config_route *route, captured *parts)
{
    char under[2 * MARTY__CHANNEL_ROOM];
    bool service = marty__route_for_service(route->pattern);
    decode(parts->service);
    decode(parts->name);
    if (route->pattern == MARTY_STREAM) {
        return !parts->name[0] || marty__route_takes_name(route, parts->name);
    }
    if (service && (!parts->service[0] || marty__route_takes_name(route, parts->service))) {
        return true;
    }
    const char *first = service ? parts->service : parts->domain;
    if (!service && parts->type[0]) {
        return marty__pattern_matches(route->match, parts->type);
    }
    (void)snprintf(under, sizeof under, "%s.%s", first, parts->type[0] ? parts->type : ">");
    return !first[0] || marty__pattern_overlaps(route->match, under) ||
           marty__pattern_matches(route->match, first);
}

static bool names(const marty__config_route *route, const char *channel)
{
    captured parts = {0};
    if (route->native) {
        return strcmp(route->native, channel) == 0;
    }
    for (size_t i = 0; i < route->channel_count; i++) {
        if (strcmp(route->channels[i], channel) == 0) {
            return true;
        }
    }
    return fits(route->channel, channel, &parts) && plausible(route, &parts);
}

static bool is_dead(const marty__config *config, const char *channel)
{
    const char *template_ = config->dead_channel, *at = strstr(template_, "{channel}");
    size_t before = at ? (size_t)(at - template_) : 0, size = strlen(channel);
    const char *after = at ? at + strlen("{channel}") : "";
    if (!at) {
        return strcmp(template_, channel) == 0;
    }
    return size > before + strlen(after) && strncmp(channel, template_, before) == 0 &&
           strcmp(channel + size - strlen(after), after) == 0;
}

static marty_kind kind_by_word(const char *channel)
{
    static const struct {
        const char *word;
        marty_kind kind;
    } kinds[] = {{"commands", MARTY_KIND_QUEUE},      {"queries", MARTY_KIND_REQUEST},
                 {"broadcast", MARTY_KIND_BROADCAST}, {"streams", MARTY_KIND_STREAM},
                 {"dead", MARTY_KIND_DEAD},           {"replies", MARTY_KIND_REPLY}};
    size_t size = strcspn(channel, ".");
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strlen(kinds[i].word) == size && memcmp(kinds[i].word, channel, size) == 0) {
            return kinds[i].kind;
        }
    }
    return MARTY_KIND_TOPIC;
}

bool marty__route_find(const marty__config *config, const char *channel, marty__place *ret)
{
    bool fine = strlen(channel) < MARTY__CHANNEL_ROOM;
    for (size_t i = 0; i < config->route_count && fine; i++) {
        if (names(&config->routes[i], channel)) {
            marty__route_fill(config, i, ret);
            (void)snprintf(ret->channel, sizeof ret->channel, "%s", channel);
            return true;
        }
    }
    marty_kind kind = is_dead(config, channel) ? MARTY_KIND_DEAD : kind_by_word(channel);
    bool stream = kind == MARTY_KIND_STREAM;
    *ret = (marty__place){.backend = SIZE_MAX,
                          .route = SIZE_MAX,
                          .kind = kind,
                          .order = stream ? MARTY_ORDER_KEY : MARTY_ORDER_NONE,
                          .shards = stream ? MARTY__SHARDS : 0};
    (void)snprintf(ret->channel, sizeof ret->channel, "%s", channel);
    return false;
}

bool marty__route_stream(const marty__config *config, const char *channel,
                         char ret_name[MARTY__CHANNEL_ROOM])
{
    for (size_t i = 0; i < config->route_count && strlen(channel) < MARTY__CHANNEL_ROOM; i++) {
        const marty__config_route *route = &config->routes[i];
        captured parts = {0};
        if (route->pattern == MARTY_STREAM && !route->native &&
            fits(route->channel, channel, &parts) && plausible(route, &parts) && parts.name[0]) {
            (void)snprintf(ret_name, MARTY__CHANNEL_ROOM, "%s", parts.name);
            return true;
        }
    }
    return false;
}
