/* SPDX-License-Identifier: Apache-2.0
 * Any bytes as a configuration: refused with a text, or loaded; then its report is JSON, its routes
 * give places whose names are within the limits, and what is published is where it is subscribed.
 */
#include "base/alloc.h"
#include "base/assert.h"
#include "bus/config.h"
#include "bus/match.h"
#include "bus/route.h"

#include <jansson.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_report(const marty__config *config)
{
    marty__buffer json = {0};
    marty__config_json(config, &json);
    json_t *parsed = json_loadb(json.data, json.size, 0, NULL);
    marty__assert(parsed);
    json_decref(parsed);
    marty__buffer_free(&json);
}

/* A message's place is among those that a subscription to its own type reads. */
static void check_meet(const marty__config *config, marty_pattern pattern, const char *to,
                       const char *type)
{
    marty__place place, places[64];
    size_t count = 0;
    bool stream = pattern == MARTY_STREAM;
    marty_error why;
    if (marty__route_publish(config, pattern, to, type, &place, &why)) {
        return;
    }
    marty_err err =
        marty__route_subscribe(config, pattern, stream ? to : type, to, places, 64, &count, &why);
    marty__assert(err == MARTY_OK && count == 1);
    marty__assert(place.backend == places[0].backend);
    marty__assert(strcmp(place.channel, places[0].channel) == 0);
    marty__assert(strlen(place.channel) > 0 && place.backend < config->backend_count);
}

static void check_routes(const marty__config *config)
{
    for (size_t i = 0; i < config->route_count; i++) {
        const marty__config_route *route = &config->routes[i];
        marty__place places[64];
        size_t count = 0;
        marty_error why;
        check_meet(config, route->pattern, route->match, route->match);
        check_meet(config, route->pattern, "payment", "order.created");
        (void)marty__route_subscribe(config, route->pattern, ">", "a.b", places, 64, &count, &why);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    marty__config *config = NULL;
    marty_error why = {0};
    char *text = marty_alloc(size + 1);
    marty__assert(text);
    if (size) {
        memcpy(text, data, size);
    }
    text[size] = '\0';
    marty_err err = marty__config_load(
        &config, NULL, &(marty_bus_options){.config_text = text, .service = "fuzz"}, &why);
    marty__assert(err ? why.text[0] != '\0' && !config : config != NULL);
    if (config) {
        check_report(config);
        check_routes(config);
    }
    marty__config_free(config);
    marty_free(text);
    return 0;
}
