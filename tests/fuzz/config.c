/* SPDX-License-Identifier: Apache-2.0
 * Configuration in YAML: no crash; an error names something, and shows nothing of the environment
 * save in the open parts of a URL; what loads makes a report that is JSON, and routes by which
 * publisher and subscriber meet. */
#include "bus/config.h"

#include "bus/route.h"
#include "tests/fuzz/fuzz.h"

#include <jansson.h>

enum { PLACES = 64 };
static const char secret[] = "hunter2 of the environment";

static void check_report(const marty__config *config)
{
    marty__buffer json = {0};
    marty__config_json(config, &json);
    FUZZ_CHECK(!json.failed && json.size);
    json_t *parsed = json_loadb(json.data, json.size, 0, NULL);
    FUZZ_CHECK(parsed);
    json_decref(parsed);
    marty__buffer_free(&json);
}

/* Where a message goes is the one place that a subscription to its very type reads. */
static void check_meet(const marty__config *config, marty_pattern pattern, const char *to,
                       const char *type)
{
    marty__place place, places[PLACES];
    size_t count = 0;
    marty_error why;
    if (marty__route_publish(config, pattern, to, type, &place, &why)) {
        return;
    }
    marty_err err = marty__route_subscribe(config, pattern, pattern == MARTY_STREAM ? to : type, to,
                                           places, PLACES, &count, &why);
    FUZZ_CHECK(err == MARTY_OK && count == 1);
    FUZZ_CHECK(place.backend == places[0].backend && place.backend < config->backend_count);
    FUZZ_CHECK(place.channel[0] && strcmp(place.channel, places[0].channel) == 0);
}

static void check_routes(const marty__config *config)
{
    for (size_t i = 0; i < config->route_count; i++) {
        const marty__config_route *route = &config->routes[i];
        marty__place places[PLACES];
        size_t count = 0;
        marty_error why;
        check_meet(config, route->pattern, route->match, route->match);
        check_meet(config, route->pattern, "payment", "order.created");
        (void)marty__route_subscribe(config, route->pattern, ">", "a.b", places, PLACES, &count,
                                     &why);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = fuzz_text(data, size);
    marty__config *config = NULL;
    marty_error why = {0};
    const marty_bus_options options = {.config_text = text};
    setenv("SECRET", secret, 1);
    if (marty__config_load(&config, NULL, &options, &why) == MARTY_OK) {
        check_report(config);
        check_routes(config);
        marty__config_free(config);
    } else {
        FUZZ_CHECK(!config && why.code && why.text[0]);
        bool shown = strstr(why.text, secret) && !strstr(text, secret);
        FUZZ_CHECK(!shown || strstr(why.text, "backends."));
    }
    free(text);
    return 0;
}
