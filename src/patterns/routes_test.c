/* SPDX-License-Identifier: Apache-2.0
 * A configuration with several backends through the whole bus: messages go where the routes say, a
 * subscription hears all of them, and what a route needs is held to. */
#include <marty/marty.h>

#include "tests/check.h"

#include <jansson.h>
#include <stdatomic.h>
#include <unistd.h>

static const char *const text =
    "service: shop\n"
    "backends: {main: 'memory:main', log: 'memory:log'}\n"
    "routes:\n"
    "  - {events: 'order.*', to: log}\n"
    "  - {events: 'audit.>', to: log, channel: 'trail.{type}'}\n"
    "  - {events: 'exotic.*', to: main, need: [transactions]}\n"
    "  - {events: '>', to: main}\n"
    "  - {commands: 'payment.refund', to: log}\n"
    "  - {commands: '*', to: main, channel: 'commands.{service}.{type}'}\n"
    "retry: {attempts: 2, first: 1ms, max: 2ms}\n"
    "dead_letter: {channel: 'lost.{channel}'}\n";

static atomic_int heard, charged;

static marty_bus *open_bus(void)
{
    marty_error why = {0};
    marty_bus *bus = NULL;
    if (marty_bus_open(&bus, NULL, &(marty_bus_options){.config_text = text}, &why)) {
        fprintf(stderr, "%s\n", why.text);
    }
    REQUIRE(bus);
    return bus;
}

static marty_err hear(void *user, marty_delivery *event)
{
    (void)user;
    bool order = strncmp(event->message->type, "order.", 6) == 0;
    bool audit = strncmp(event->message->type, "audit.", 6) == 0;
    CHECK_TEXT(event->backend, order || audit ? "log" : "main");
    if (audit) {
        CHECK_TEXT(event->channel, "trail.audit.login.ok");
    }
    atomic_fetch_add(&heard, 1);
    return MARTY_OK;
}

static void published_to(marty_bus *bus, marty_pattern pattern, const char *to, const char *type,
                         const char *place)
{
    marty_error why = {0};
    marty_outcome outcome = {0};
    char have[160];
    marty_message message = {.type = type, .data = marty_text("{}")};
    const marty_message *one = &message;
    marty_publish_options options = {.outcomes = &outcome};
    CHECK_INT(marty_publish(bus, pattern, to, &one, 1, &options, &why), MARTY_OK);
    snprintf(have, sizeof have, "%s:%s", outcome.backend, outcome.channel);
    CHECK_TEXT(have, place);
}

static void messages_go_where_the_routes_say(void)
{
    marty_error why = {0};
    marty_bus *bus = open_bus();
    CHECK_INT(marty_subscribe_to_events(bus, ">", hear, NULL, NULL, NULL, &why),
              MARTY_E_UNSUPPORTED); /* it spans a route whose need is not met */
    CHECK_HAS(why.text, "config_text:6: routes[2].need: main grants no transactions on");
    CHECK_INT(marty_publish_event(bus, "exotic.x", marty_text("{}"), NULL, &why),
              MARTY_E_UNSUPPORTED);
    CHECK_INT(marty_subscribe_to_events(bus, "order.>", hear, NULL, NULL, NULL, &why), MARTY_OK);
    CHECK_INT(marty_subscribe_to_events(bus, "audit.>", hear, NULL, NULL, NULL, &why), MARTY_OK);
    CHECK_INT(marty_subscribe_to_events(bus, "user.*", hear, NULL, NULL, NULL, &why), MARTY_OK);
    CHECK_INT(marty_bus_start(bus, &why), MARTY_OK);
    published_to(bus, MARTY_EVENT, NULL, "order.created", "log:events.order");
    published_to(bus, MARTY_EVENT, NULL, "user.created", "main:events.user");
    published_to(bus, MARTY_EVENT, NULL, "audit.login.ok", "log:trail.audit.login.ok");
    published_to(bus, MARTY_COMMAND, "payment", "refund", "log:commands.payment");
    published_to(bus, MARTY_COMMAND, "payment", "charge", "main:commands.payment.charge");
    CHECK_SOON(atomic_load(&heard) == 3, 5000);
    CHECK_INT(marty_bus_close(bus, 0, &why), MARTY_OK);
    marty_bus_free(bus);
    CHECK_INT(atomic_load(&heard), 3);
}

static marty_err fail(void *user, marty_delivery *command)
{
    (void)user;
    (void)command;
    atomic_fetch_add(&charged, 1);
    return MARTY_E_FAILED;
}

static bool channel_has(marty_bus *bus, const char *channel, int messages)
{
    marty_error why = {0};
    marty_message *report = NULL;
    if (marty_topology(bus, "inspect", channel, false, &report, &why)) {
        return false;
    }
    json_t *json = json_loadb(report->data.data, report->data.size, 0, NULL);
    const json_t *first = json_array_get(json_object_get(json, "answers"), 0);
    const json_t *count = json_object_get(json_object_get(first, "answer"), "messages");
    bool has = json_is_integer(count) && json_integer_value(count) == messages;
    json_decref(json);
    marty_message_unref(report);
    return has;
}

static void retries_and_dead_letters_are_as_configured(void)
{
    marty_error why = {0};
    marty_bus *bus = open_bus();
    marty_subscribe_options options = {.service = "payment"};
    CHECK_INT(marty_handle_commands(bus, "charge", fail, NULL, &options, NULL, &why), MARTY_OK);
    CHECK_INT(marty_bus_start(bus, &why), MARTY_OK);
    published_to(bus, MARTY_COMMAND, "payment", "charge", "main:commands.payment.charge");
    CHECK_SOON(channel_has(bus, "lost.commands.payment.charge", 1), 5000);
    CHECK_INT(atomic_load(&charged), 2); /* retry.attempts */
    CHECK_INT(marty_bus_close(bus, 0, &why), MARTY_OK);
    marty_bus_free(bus);
}

static marty_err reject_once(void *user, marty_delivery *event)
{
    CHECK_TEXT(event->channel, user);
    CHECK_TEXT(event->group, "all");
    return atomic_fetch_add(&heard, 1) ? MARTY_OK : marty_reject(event, "not this one");
}

static marty_dead_verb replay(void *user, const marty_dead_letter *letter, marty_message *instead)
{
    (void)instead;
    CHECK_TEXT(letter->dead_channel, user);
    return MARTY_DEAD_REPLAY;
}

/* What a subscription rejects lies where the message was published to, and comes back from there.
 */
static void rejected_and_replayed(const char *config, const char *channel, char *handled_on)
{
    marty_error why = {0};
    marty_bus *bus = NULL;
    marty_bus_options options = {.service = "shop", .config_text = config, .timeout_ms = 20000};
    char dead[64];
    snprintf(dead, sizeof dead, "dead.%s", channel);
    atomic_store(&heard, 0);
    REQUIRE(marty_bus_open(&bus, NULL, &options, &why) == MARTY_OK);
    CHECK_INT(marty_subscribe_to_events(bus, ">", reject_once, handled_on,
                                        &(marty_subscribe_options){.group = "all"}, NULL, &why),
              MARTY_OK);
    CHECK_INT(marty_bus_start(bus, &why), MARTY_OK);
    CHECK_INT(marty_publish_event(bus, "user.created", marty_text("{}"), NULL, &why), MARTY_OK);
    CHECK_SOON(channel_has(bus, dead, 1), 5000);
    CHECK_INT(marty_dead_letters(bus, channel, NULL, replay, dead, &why), MARTY_OK);
    CHECK_SOON(atomic_load(&heard) == 2, 5000);
    CHECK(channel_has(bus, dead, 0));
    CHECK_INT(marty_bus_close(bus, 0, &why), MARTY_OK);
    marty_bus_free(bus);
}

static void what_many_channels_bring_can_be_replayed(void)
{
    static char user[] = "events.user", old[] = "Old Users";
    rejected_and_replayed("backends: {main: 'memory:'}\n", "events.user", user);
    char folder[] = "/tmp/marty-routes-XXXXXX", config[128];
    REQUIRE(mkdtemp(folder) && chdir(folder) == 0);
    snprintf(config, sizeof config, "backends: {main: 'sqlite:%s/bus.db'}\n", folder);
    rejected_and_replayed(config, "events.user", user);
    CHECK(unlink("bus.db") == 0 && unlink("bus.db-marty") == 0 && rmdir(folder) == 0);
    rejected_and_replayed("backends: {main: 'memory:'}\n"
                          "routes: [{events: 'user.*', name: 'Old Users'}]\n",
                          "Old Users", old);
}

static void the_report_is_json_with_places(void)
{
    marty_error why = {0};
    marty_message *report = NULL;
    marty_bus *bus = open_bus();
    REQUIRE(marty_bus_report(bus, MARTY_REPORT_CONFIG, &report, &why) == MARTY_OK);
    json_t *json = json_loadb(report->data.data, report->data.size, 0, NULL);
    const json_t *route = json_array_get(json_object_get(json, "routes"), 1);
    CHECK_TEXT(json_string_value(json_object_get(route, "channel")), "trail.{type}");
    CHECK_TEXT(json_string_value(json_object_get(route, "from")), "config_text:5");
    CHECK_TEXT(json_string_value(json_object_get(json, "service")), "shop");
    json_decref(json);
    marty_message_unref(report);
    marty_bus_free(bus);
}

int main(void)
{
    messages_go_where_the_routes_say();
    retries_and_dead_letters_are_as_configured();
    what_many_channels_bring_can_be_replayed();
    the_report_is_json_with_places();
    return check_result();
}
