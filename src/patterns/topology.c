/* SPDX-License-Identifier: Apache-2.0
 * What lies on the brokers, by our names: asked of the backends that may have it. Answers as JSON:
 * {"answers":[{"backend":"main","channel":"events.order","answer":{...}}]}. */
#include "patterns.h"

#include "base/buffer.h"
#include "base/error.h"
#include "bus/route_parts.h"
#include "message/message.h"

#include <string.h>

typedef struct request {
    marty_bus *bus;
    const char *verb;
    bool force;
    int64_t deadline_ns;
    marty__buffer *to;
    size_t answers;
} request;

static void add_answer(request *self, const marty__port *port, const char *channel,
                       const marty_message *answer)
{
    marty__buffer_text(self->to, self->answers++ ? ",{\"backend\":" : "{\"backend\":");
    marty__buffer_json(self->to, port->name, strlen(port->name));
    if (channel) {
        marty__buffer_text(self->to, ",\"channel\":");
        marty__buffer_json(self->to, channel, strlen(channel));
    }
    marty__buffer_text(self->to, ",\"answer\":");
    marty__buffer_add(self->to, answer->data.data, answer->data.size);
    marty__buffer_byte(self->to, '}');
}

static marty_err ask(request *self, marty__port *port, const marty_channel *channel,
                     marty_error *why)
{
    marty_message *answer = NULL;
    marty_want want = {.reset = self->force};
    if (channel) {
        want.channel = *channel;
    }
    marty_err err = marty__port_topology(port, self->verb, &want, self->deadline_ns, &answer, why);
    if (err) {
        return err;
    }
    add_answer(self, port, want.channel.name, answer);
    marty_message_unref(answer);
    return MARTY_OK;
}

/* A type or a name that a route's pattern matches: its wildcards filled with a word. */
static void fill_pattern(char ret[MARTY__CHANNEL_ROOM], const char *pattern, const char *word)
{
    size_t used = 0;
    for (; *pattern && used + 2 < MARTY__CHANNEL_ROOM; pattern++) {
        ret[used++] = *pattern == '*' || *pattern == '>' ? word[0] : *pattern;
    }
    ret[used] = '\0';
}

static bool place_of(const marty__config *config, size_t index, const char *word, marty__place *ret)
{
    const marty__config_route *route = &config->routes[index];
    bool service = marty__route_for_service(route->pattern),
         stream = route->pattern == MARTY_STREAM;
    char filled[MARTY__CHANNEL_ROOM], *type = filled;
    fill_pattern(filled, route->match, word);
    if (service) {
        type = strchr(filled, '.');
        if (type) {
            *type++ = '\0';
        }
    }
    return marty__route_publish(config, route->pattern, service || stream ? filled : NULL,
                                stream || !type ? word : type, ret, NULL) == MARTY_OK &&
           ret->route == index;
}

/* The channel that a route names by itself: the same whatever its wildcards stand for. */
static bool route_channel(const marty__config *config, size_t index, marty__place *ret)
{
    marty__place other;
    return place_of(config, index, "x", ret) && place_of(config, index, "y", &other) &&
           strcmp(ret->channel, other.channel) == 0;
}

static marty_channel channel_at(const marty__place *place)
{
    return (marty_channel){.kind = place->kind,
                           .order = place->order,
                           .native = place->native,
                           .name = place->channel,
                           .shards = place->shards};
}

/* Everything kept that the routes name. */
static marty_err ask_routes(request *self, marty_error *why)
{
    const marty__config *config = self->bus->config;
    marty_err err = MARTY_OK;
    for (size_t i = 0; i < config->route_count && !err; i++) {
        marty__place place, before;
        bool keeps, again = false;
        if (!route_channel(config, i, &place)) {
            continue;
        }
        keeps = place.kind != MARTY_KIND_REQUEST && place.kind != MARTY_KIND_BROADCAST;
        for (size_t k = 0; k < i && !again; k++) {
            again = route_channel(config, k, &before) && before.backend == place.backend &&
                    strcmp(before.channel, place.channel) == 0;
        }
        if (keeps && !again) {
            marty_channel channel = channel_at(&place);
            err = ask(self, &self->bus->ports[place.backend], &channel, why);
        }
    }
    return err;
}

/* One channel: on the backend that has it; ensure and check ask the one that its route names. */
static marty_err ask_channel(request *self, const char *name, marty_error *why)
{
    marty__place place;
    bool makes = strcmp(self->verb, "ensure") == 0 || strcmp(self->verb, "check") == 0;
    bool routed = marty__route_find(self->bus->config, name, &place);
    marty_channel channel = channel_at(&place);
    marty_err err = MARTY_E_NOT_FOUND;
    if (makes && routed) {
        return ask(self, &self->bus->ports[place.backend], &channel, why);
    }
    for (size_t i = 0; i < self->bus->port_count && err == MARTY_E_NOT_FOUND; i++) {
        err = ask(self, &self->bus->ports[i], &channel, why);
    }
    return err;
}

/* Everything that the subscriptions of this bus name. */
static marty_err ask_subscriptions(request *self, marty_error *why)
{
    marty_err err = MARTY_OK;
    for (size_t i = 0; i < self->bus->port_count && !err; i++) {
        marty__port *port = &self->bus->ports[i];
        for (uint64_t number = 1; !err; number++) {
            marty__lock(&port->lock);
            bool end = number >= port->next_number;
            marty__consumer *consumer = end ? NULL : marty__map_get_u64(&port->consumers, number);
            if (consumer) {
                (void)marty__consumer_ref(consumer);
            }
            marty__unlock(&port->lock);
            if (consumer && consumer->kind != MARTY_KIND_REPLY && consumer->group) {
                marty_channel channel = {.kind = consumer->kind,
                                         .order = consumer->order,
                                         .native = consumer->native,
                                         .name = consumer->channel,
                                         .group = consumer->group,
                                         .shards = consumer->shards};
                err = ask(self, port, &channel, why);
            }
            if (consumer) {
                marty__consumer_unref(consumer);
            }
            if (end) {
                break;
            }
        }
    }
    return err;
}

static marty_err ask_all_servers(request *self, marty_error *why)
{
    marty_err err = MARTY_OK;
    for (size_t i = 0; i < self->bus->port_count && !err; i++) {
        err = ask(self, &self->bus->ports[i], NULL, why);
    }
    return err;
}

static marty_err dispatch(request *self, const char *channel, marty_error *why)
{
    bool list = strcmp(self->verb, "list") == 0, inspect = strcmp(self->verb, "inspect") == 0;
    if (channel && !list) {
        return ask_channel(self, channel, why);
    }
    if (list || inspect) {
        return ask_all_servers(self, why);
    }
    if (strcmp(self->verb, "remove") == 0) {
        return marty_error_set(why, MARTY_E_ARGUMENT, "remove needs the exact name of a channel");
    }
    marty_err err = ask_routes(self, why);
    return err ? err : ask_subscriptions(self, why);
}

marty_err marty_topology(marty_bus *bus, const char *verb, const char *channel, bool force,
                         marty_message **ret_report, marty_error *why)
{
    static const char *const verbs[] = {"ensure", "check", "inspect", "list", "remove"};
    marty_err err = marty__bus_enter(bus, MARTY__FLUSHING, why);
    bool known = false;
    for (size_t i = 0; verb && i < sizeof verbs / sizeof verbs[0]; i++) {
        known = known || strcmp(verb, verbs[i]) == 0;
    }
    if (!err && (!known || !ret_report)) {
        err = marty_error_set(
            why, MARTY_E_ARGUMENT,
            known ? "ret_report is NULL"
                  : "unknown verb; expected ensure, check, inspect, list or remove");
    }
    if (err) {
        return err;
    }
    marty__buffer text = {0};
    request self = {.bus = bus,
                    .verb = verb,
                    .force = force,
                    .deadline_ns = marty__bus_deadline(bus, 0, 10000),
                    .to = &text};
    marty__buffer_text(&text, "{\"answers\":[");
    err = dispatch(&self, channel, why);
    marty__buffer_text(&text, "]}");
    if (!err && text.failed) {
        err = marty__error_code(why, MARTY_E_NO_MEMORY);
    }
    if (!err) {
        marty_message report = {.type = "marty.topology", .data = {text.data, text.size}};
        err = marty__message_new(ret_report, &report, NULL, &bus->env, bus->source, why);
    }
    marty__buffer_free(&text);
    return err;
}
