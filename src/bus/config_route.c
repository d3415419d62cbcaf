/* SPDX-License-Identifier: Apache-2.0
 * The routes of a configuration: each sends what matches to a backend and names its channel. All
 * that can be wrong with a route by itself or against another is found here, at load. */
#include "config_read.h"

#include "backend/capability.h"
#include "base/limits.h"
#include "match.h"
#include "route.h"

#include <stdio.h>
#include <string.h>

enum { PATH_ROOM = 64 };

static const char *const route_keys[] = {"events", "commands", "queries",  "streams", "broadcast",
                                         "to",     "channel",  "channels", "name",    "order",
                                         "need",   "shards",   "on_dead",  NULL};
static const marty_pattern patterns[] = {MARTY_EVENT, MARTY_COMMAND, MARTY_QUERY, MARTY_STREAM,
                                         MARTY_BROADCAST}; /* of the first five keys */
enum { PATTERNS = sizeof patterns / sizeof patterns[0] };

typedef struct route_reader {
    const marty__config_reader *r;
    const marty__yaml *node;
    marty__config_route *route;
    char path[PATH_ROOM]; /* "routes[3]", then ".key" for the key at hand */
    size_t path_size;
} route_reader;

/* The entry of a key, with the path set to it for errors; NULL when it is not there. */
static const marty__yaml *field(route_reader *t, const char *key)
{
    (void)snprintf(t->path + t->path_size, PATH_ROOM - t->path_size, "%s%s", key ? "." : "",
                   key ? key : "");
    return key ? marty__yaml_get(t->node, key) : NULL;
}

static marty_err wrong(const route_reader *t, const marty__yaml *node, const char *text)
{
    return marty__config_wrong(t->r, MARTY_E_CONFIG, node->line, t->path, "%s", text);
}

static marty_err read_match(route_reader *t)
{
    const marty__yaml *found = NULL;
    for (size_t i = 0; i < PATTERNS; i++) {
        const marty__yaml *node = field(t, route_keys[i]);
        if (node && found) {
            return marty__config_wrong(t->r, MARTY_E_CONFIG, node->line, t->path,
                                       "a route is for one of them, and \"%s\" is there already; "
                                       "write another route",
                                       found->key);
        }
        if (node) {
            found = node;
            t->route->pattern = patterns[i];
        }
    }
    if (!found) {
        (void)field(t, NULL);
        return wrong(t, t->node,
                     "a route says what it takes, by one of events, commands, queries, "
                     "streams, broadcast");
    }
    (void)field(t, found->key);
    marty_err err = marty__config_text(t->r, found, t->path, &t->route->match);
    marty_error detail;
    if (!err && marty__pattern_check(t->route->match, &detail)) {
        return wrong(t, found,
                     found->variable ? "what the environment gives is no pattern" : detail.text);
    }
    return err;
}

static marty_err read_to(route_reader *t)
{
    const marty__config *config = t->r->config;
    const marty__yaml *node = field(t, "to");
    char list[200];
    marty__config_join_backends(list, sizeof list, config);
    if (!node && config->backend_count == 1) {
        t->route->backend = 0;
        return MARTY_OK;
    }
    if (!node) {
        return marty__config_wrong(t->r, MARTY_E_CONFIG, t->node->line, t->path,
                                   "missing; name a backend: there are %s", list);
    }
    const char *name = NULL;
    marty_err err = marty__config_text(t->r, node, t->path, &name);
    if (err) {
        return err;
    }
    if (strcmp(name, "auto") == 0) {
        return marty__config_wrong(t->r, MARTY_E_UNSUPPORTED, node->line, t->path,
                                   "this version cannot choose a backend by itself; name one: "
                                   "there are %s",
                                   list);
    }
    for (size_t i = 0; i < config->backend_count; i++) {
        if (strcmp(config->backends[i].name, name) == 0) {
            t->route->backend = i;
            return MARTY_OK;
        }
    }
    return marty__config_wrong(t->r, MARTY_E_CONFIG, node->line, t->path,
                               "no backend called \"%.60s\"; there are %s", node->raw, list);
}

/* A channel of `channels`: a name without wildcard or placeholder. */
static marty_err read_listed(route_reader *t, const marty__yaml *node, const char **ret)
{
    marty_err err = marty__config_text(t->r, node, t->path, ret);
    marty_error detail;
    if (err) {
        return err;
    }
    if (marty__pattern_check(*ret, &detail) || strpbrk(*ret, "*>{}")) {
        return marty__config_wrong(t->r, MARTY_E_CONFIG, node->line, t->path,
                                   "\"%.60s\" is no channel; expected one name without wildcards, "
                                   "such as events.order",
                                   node->raw);
    }
    const char *reserved = marty__name_reserved(*ret, t->route->pattern);
    if (reserved) {
        return marty__config_wrong(t->r, MARTY_E_CONFIG, node->line, t->path,
                                   "\"%.60s\": \"%s\" is reserved for channels of another kind",
                                   node->raw, reserved);
    }
    return MARTY_OK;
}

static marty_err read_channels(route_reader *t)
{
    const marty__yaml *node = field(t, "channels");
    if (!node) {
        return MARTY_OK;
    }
    if (node->kind != MARTY__YAML_LIST || node->count == 0 || node->count > MARTY__CHANNELS_MAX) {
        return marty__config_wrong(t->r, MARTY_E_CONFIG, node->line, t->path,
                                   "expected a list of 1 to %d channels, such as [events.order, "
                                   "events.user]",
                                   MARTY__CHANNELS_MAX);
    }
    t->route->channels = marty__arena_alloc(t->r->arena, node->count * sizeof(const char *));
    if (!t->route->channels) {
        return marty__config_no_memory(t->r);
    }
    for (const marty__yaml *at = node->first; at; at = at->next) {
        marty_err err = read_listed(t, at, &t->route->channels[t->route->channel_count]);
        if (err) {
            return err;
        }
        t->route->channel_count++;
    }
    return MARTY_OK;
}

static marty_err read_native(route_reader *t)
{
    const marty__yaml *node = field(t, "name");
    if (!node) {
        return MARTY_OK;
    }
    marty_err err = marty__config_text(t->r, node, t->path, &t->route->native);
    if (!err && strlen(t->route->native) > MARTY__NAME_BYTES_MAX) {
        return marty__config_wrong(t->r, MARTY_E_CONFIG, node->line, t->path,
                                   "%zu bytes; the limit is %d", strlen(t->route->native),
                                   MARTY__NAME_BYTES_MAX);
    }
    const marty__yaml *other = err ? NULL : marty__yaml_get(t->node, "channel");
    other = err || other ? other : marty__yaml_get(t->node, "channels");
    if (other) {
        return marty__config_wrong(t->r, MARTY_E_CONFIG, other->line, t->path,
                                   "the broker's own name stands for the channel; take \"%s\" away",
                                   other->key);
    }
    return err;
}

static marty_err read_channel(route_reader *t)
{
    const marty__yaml *node = field(t, "channel");
    t->route->channel = marty__route_template(t->route->pattern);
    marty_err err =
        node ? marty__config_template(t->r, node, t->path, t->route->pattern, &t->route->channel)
             : MARTY_OK;
    err = err ? err : read_native(t);
    return err ? err : read_channels(t);
}

static marty_err read_order(route_reader *t)
{
    static const char *const words[] = {"none", "key", NULL};
    bool stream = t->route->pattern == MARTY_STREAM;
    bool ordered = stream || t->route->pattern == MARTY_EVENT || t->route->pattern == MARTY_COMMAND;
    size_t word = stream;
    const marty__yaml *node = field(t, "order");
    marty_err err = node ? marty__config_word(t->r, node, t->path, words, &word) : MARTY_OK;
    if (err) {
        return err;
    }
    if (word && !ordered) {
        return wrong(t, node, "queries and broadcasts have no order");
    }
    t->route->order = word ? MARTY_ORDER_KEY : MARTY_ORDER_NONE;
    t->route->shards = stream ? MARTY__SHARDS : 0;
    node = field(t, "shards");
    if (node && !stream && t->route->order != MARTY_ORDER_KEY) {
        return wrong(t, node, "only streams and channels with order: key have shards");
    }
    return node ? marty__config_number(t->r, node, t->path, 1, MARTY__SHARDS_MAX, &t->route->shards)
                : MARTY_OK;
}

static marty_err read_on_dead(route_reader *t)
{
    static const char *const words[] = {"go_on", "stop_key", NULL};
    size_t word = 0;
    const marty__yaml *node = field(t, "on_dead");
    marty_err err = node ? marty__config_word(t->r, node, t->path, words, &word) : MARTY_OK;
    if (!err && word && t->route->order != MARTY_ORDER_KEY) {
        return wrong(t, node, "a key can only be stopped where there is order: key");
    }
    if (!err && word) {
        return marty__config_wrong(t->r, MARTY_E_UNSUPPORTED, node->line, t->path,
                                   "this version always goes on with the next of the key; write "
                                   "go_on, or take it away");
    }
    return err;
}

enum { CAN_MAX = 64 };

static marty_err read_need_word(route_reader *t, const marty__yaml *node)
{
    const char *words[CAN_MAX + 1] = {0};
    for (unsigned i = 0; i < CAN_MAX && marty__capability_name(i); i++) {
        words[i] = marty__capability_name(i);
    }
    size_t word = 0;
    marty_err err = marty__config_word(t->r, node, t->path, words, &word);
    t->route->need |= err ? 0 : (uint64_t)1 << word;
    return err;
}

static marty_err read_need(route_reader *t)
{
    const marty__yaml *node = field(t, "need");
    if (!node || node->kind == MARTY__YAML_TEXT) {
        return node ? read_need_word(t, node) : MARTY_OK;
    }
    if (node->kind != MARTY__YAML_LIST) {
        return wrong(t, node, "expected a list of capabilities, such as [replay, order_by_key]");
    }
    marty_err err = MARTY_OK;
    for (const marty__yaml *at = node->first; at && !err; at = at->next) {
        err = read_need_word(t, at);
    }
    return err;
}

/* A route behind one that takes all of the same is a mistake: nothing ever reaches it. */
static const marty__config_route *shadow(const marty__config *config,
                                         const marty__config_route *route)
{
    bool types = route->pattern == MARTY_EVENT || route->pattern == MARTY_BROADCAST;
    for (size_t i = 0; i < config->route_count; i++) {
        const marty__config_route *before = &config->routes[i];
        bool all = !types && strcmp(before->match, "*") == 0;
        if (before->pattern == route->pattern &&
            (all || marty__pattern_covers(before->match, route->match))) {
            return before;
        }
    }
    return NULL;
}

static marty_err read_route(const marty__config_reader *r, const marty__yaml *node)
{
    marty__config *config = r->config;
    route_reader t = {.r = r, .node = node, .route = &config->routes[config->route_count]};
    t.path_size = (size_t)snprintf(t.path, sizeof t.path, "routes[%zu]", config->route_count);
    t.route->label = marty__arena_text(r->arena, t.path, t.path_size);
    t.route->from = marty__config_from(r, node);
    marty_err (*const steps[])(route_reader *) = {read_match, read_to,   read_channel,
                                                  read_order, read_need, read_on_dead};
    marty_err err = marty__config_keys(r, node, t.path, route_keys);
    for (size_t i = 0; i < sizeof steps / sizeof steps[0] && !err; i++) {
        err = steps[i](&t);
    }
    (void)field(&t, NULL);
    const marty__config_route *before = err ? NULL : shadow(config, t.route);
    if (before) {
        return marty__config_wrong(r, MARTY_E_CONFIG, node->line, t.path,
                                   "nothing can reach it: %s, which comes first, takes all that it "
                                   "would; put it before, or take it away",
                                   before->label);
    }
    if (!err && (!t.route->label || !t.route->from)) {
        return marty__config_no_memory(r);
    }
    config->route_count += err ? 0 : 1;
    return err;
}

/* With one backend all that no route takes goes there. */
static void add_rest(marty__config *config)
{
    for (size_t i = 0; i < PATTERNS; i++) {
        bool stream = patterns[i] == MARTY_STREAM;
        bool types = patterns[i] == MARTY_EVENT || patterns[i] == MARTY_BROADCAST;
        marty__config_route rest = {.pattern = patterns[i],
                                    .match = types ? ">" : "*",
                                    .channel = marty__route_template(patterns[i]),
                                    .order = stream ? MARTY_ORDER_KEY : MARTY_ORDER_NONE,
                                    .shards = stream ? MARTY__SHARDS : 0,
                                    .label = "the default route",
                                    .from = "default"};
        if (!shadow(config, &rest)) {
            config->routes[config->route_count++] = rest;
        }
    }
}

marty_err marty__config_read_routes(const marty__config_reader *r, const marty__yaml *routes)
{
    marty__config *config = r->config;
    size_t count = routes ? routes->count : 0;
    if (routes && (routes->kind != MARTY__YAML_LIST || count == 0 || count > MARTY__ROUTES_MAX)) {
        return marty__config_wrong(r, MARTY_E_CONFIG, routes->line, "routes",
                                   "expected a list of 1 to %d routes, such as - {events: "
                                   "\"order.*\", to: %s}",
                                   MARTY__ROUTES_MAX, config->backends[0].name);
    }
    config->routes = marty__arena_alloc(r->arena, (count + PATTERNS) * sizeof *config->routes);
    if (!config->routes) {
        return marty__config_no_memory(r);
    }
    for (const marty__yaml *at = routes ? routes->first : NULL; at; at = at->next) {
        marty_err err = read_route(r, at);
        if (err) {
            return err;
        }
    }
    if (config->backend_count == 1) {
        add_rest(config);
    }
    return MARTY_OK;
}
