/* SPDX-License-Identifier: Apache-2.0
 * Places: every row of the table of names, what a subscription over several routes and channels
 * reads, and every error. */
#include "route.h"

#include "tests/check.h"

static marty__config *load(const char *text)
{
    marty__config *c = NULL;
    marty_error why = {0};
    marty_err err = marty__config_load(&c, NULL, &(marty_bus_options){.config_text = text}, &why);
    if (err) {
        fprintf(stderr, "%s\n", why.text);
    }
    REQUIRE(err == MARTY_OK);
    return c;
}

#define ONE "backends: {main: 'memory:'}\n"
#define TWO "backends: {main: 'memory:', log: 'memory:log'}\nroutes:\n"

static const struct {
    const char *text;
    marty_pattern pattern;
    const char *to, *type, *channel;
    size_t backend;
    marty_kind kind;
    marty_order order;
    uint32_t shards;
    bool native;
} to_publish[] = {
    {ONE, MARTY_EVENT, NULL, "order.created", "events.order", 0, MARTY_KIND_TOPIC, MARTY_ORDER_NONE,
     0, false},
    {ONE, MARTY_EVENT, NULL, "order", "events.order", 0, MARTY_KIND_TOPIC, MARTY_ORDER_NONE, 0,
     false},
    {ONE, MARTY_EVENT, NULL, "user_registered", "events.user_registered", 0, MARTY_KIND_TOPIC,
     MARTY_ORDER_NONE, 0, false},
    {ONE, MARTY_COMMAND, "payment", "charge", "commands.payment", 0, MARTY_KIND_QUEUE,
     MARTY_ORDER_NONE, 0, false},
    {ONE, MARTY_COMMAND, "payment_service", "charge.card", "commands.payment_service", 0,
     MARTY_KIND_QUEUE, MARTY_ORDER_NONE, 0, false},
    {ONE, MARTY_COMMAND, "pay.eu", "charge", "commands.pay_x2e_eu", 0, MARTY_KIND_QUEUE,
     MARTY_ORDER_NONE, 0, false},
    {ONE, MARTY_QUERY, "user", "profile", "queries.user", 0, MARTY_KIND_REQUEST, MARTY_ORDER_NONE,
     0, false},
    {ONE, MARTY_BROADCAST, NULL, "cache.clear", "broadcast.cache", 0, MARTY_KIND_BROADCAST,
     MARTY_ORDER_NONE, 0, false},
    {ONE, MARTY_STREAM, "clicks", "click", "streams.clicks", 0, MARTY_KIND_STREAM, MARTY_ORDER_KEY,
     12, false},
    {ONE, MARTY_STREAM, "a.b", "click", "streams.a_x2e_b", 0, MARTY_KIND_STREAM, MARTY_ORDER_KEY,
     12, false},
    {ONE "routes: [{events: '>', channel: 'events.{type}', order: key}]", MARTY_EVENT, NULL,
     "order.created", "events.order.created", 0, MARTY_KIND_TOPIC, MARTY_ORDER_KEY, 0, false},
    {ONE "routes: [{events: '>', channel: audit}]", MARTY_EVENT, NULL, "order.created", "audit", 0,
     MARTY_KIND_TOPIC, MARTY_ORDER_NONE, 0, false},
    {ONE "routes: [{events: '>', channel: 'eu.{domain}.events'}]", MARTY_EVENT, NULL, "order.x",
     "eu.order.events", 0, MARTY_KIND_TOPIC, MARTY_ORDER_NONE, 0, false},
    {ONE "routes: [{events: 'order.*', name: 'Old Topic'}]", MARTY_EVENT, NULL, "order.created",
     "Old Topic", 0, MARTY_KIND_TOPIC, MARTY_ORDER_NONE, 0, true},
    {ONE "routes: [{commands: '*', channel: 'commands.{service}.{type}'}]", MARTY_COMMAND, "pay",
     "charge.card", "commands.pay.charge.card", 0, MARTY_KIND_QUEUE, MARTY_ORDER_NONE, 0, false},
    {ONE "routes: [{streams: '*', channel: 'logs.{name}', order: none, shards: 3}]", MARTY_STREAM,
     "clicks", "c", "logs.clicks", 0, MARTY_KIND_STREAM, MARTY_ORDER_NONE, 3, false},
    /* the first that matches */
    {TWO "- {events: 'order.*', to: log}\n- {events: '>', to: main}", MARTY_EVENT, NULL,
     "order.created", "events.order", 1, MARTY_KIND_TOPIC, MARTY_ORDER_NONE, 0, false},
    {TWO "- {events: 'order.*', to: log}\n- {events: '>', to: main}", MARTY_EVENT, NULL,
     "order.created.x", "events.order", 0, MARTY_KIND_TOPIC, MARTY_ORDER_NONE, 0, false},
    /* a service by its name, a part of it by service.type, all by "*" */
    {TWO "- {commands: 'pay.refund.>', to: log}\n- {commands: pay, to: main}", MARTY_COMMAND, "pay",
     "refund.all", "commands.pay", 1, MARTY_KIND_QUEUE, MARTY_ORDER_NONE, 0, false},
    {TWO "- {commands: 'pay.refund.>', to: log}\n- {commands: pay, to: main}", MARTY_COMMAND, "pay",
     "charge", "commands.pay", 0, MARTY_KIND_QUEUE, MARTY_ORDER_NONE, 0, false},
    {TWO "- {queries: '*', to: log}", MARTY_QUERY, "a.b", "c.d", "queries.a_x2e_b", 1,
     MARTY_KIND_REQUEST, MARTY_ORDER_NONE, 0, false},
    {TWO "- {streams: 'clicks.*', to: log}\n- {streams: '*', to: main}", MARTY_STREAM, "clicks.eu",
     "t", "streams.clicks_x2e_eu", 1, MARTY_KIND_STREAM, MARTY_ORDER_KEY, 12, false},
};

static void test_where_to_publish(void)
{
    for (size_t i = 0; i < sizeof to_publish / sizeof to_publish[0]; i++) {
        marty__config *c = load(to_publish[i].text);
        marty__place place = {0};
        marty_error why = {0};
        CHECK_INT(marty__route_publish(c, to_publish[i].pattern, to_publish[i].to,
                                       to_publish[i].type, &place, &why),
                  MARTY_OK);
        CHECK_TEXT(place.channel, to_publish[i].channel);
        CHECK_INT(place.backend, to_publish[i].backend);
        CHECK_INT(place.kind, to_publish[i].kind);
        CHECK_INT(place.order, to_publish[i].order);
        CHECK_INT(place.shards, to_publish[i].shards);
        CHECK_INT(place.native, to_publish[i].native);
        CHECK_INT(place.wild, false);
        CHECK_INT(c->routes[place.route].pattern, to_publish[i].pattern);
        marty__config_free(c);
    }
}

/* The places as text: "main:events.order log:events.* (wild)". */
static void describe(const marty__config *c, const marty__place *places, size_t count,
                     char text[1024])
{
    size_t size = 0;
    text[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        size +=
            (size_t)snprintf(text + size, 1024 - size, "%s%s:%s%s%s", i ? " " : "",
                             c->backends[places[i].backend].name, places[i].channel,
                             places[i].wild ? "(wild)" : "", places[i].native ? "(native)" : "");
    }
}

static const struct {
    const char *text;
    marty_pattern pattern;
    const char *name, *service, *places;
} to_subscribe[] = {
    {ONE, MARTY_EVENT, "order.created", NULL, "main:events.order"},
    {ONE, MARTY_EVENT, "order.*", NULL, "main:events.order"},
    {ONE, MARTY_EVENT, "order.>", NULL, "main:events.order"},
    {ONE, MARTY_EVENT, "order", NULL, "main:events.order"},
    {ONE, MARTY_EVENT, ">", NULL, "main:events.*(wild)"},
    {ONE, MARTY_EVENT, "*", NULL, "main:events.*(wild)"},
    {ONE, MARTY_EVENT, "*.created", NULL, "main:events.*(wild)"},
    {ONE, MARTY_BROADCAST, "cache.*", NULL, "main:broadcast.cache"},
    {ONE, MARTY_BROADCAST, ">", NULL, "main:broadcast.*(wild)"},
    {ONE, MARTY_COMMAND, "charge", "pay", "main:commands.pay"},
    {ONE, MARTY_COMMAND, ">", "pay.eu", "main:commands.pay_x2e_eu"},
    {ONE, MARTY_QUERY, "*", "user", "main:queries.user"},
    {ONE, MARTY_STREAM, "clicks", NULL, "main:streams.clicks"},
    {ONE, MARTY_STREAM, "a.b", NULL, "main:streams.a_x2e_b"},
    {ONE, MARTY_STREAM, "*", NULL, "main:streams.*(wild)"},
    {ONE, MARTY_STREAM, ">", NULL, "main:streams.*(wild)"},
    /* one channel per type */
    {ONE "routes: [{events: '>', channel: 'events.{type}'}]", MARTY_EVENT, "order.*", NULL,
     "main:events.order.*(wild)"},
    {ONE "routes: [{events: '>', channel: 'events.{type}'}]", MARTY_EVENT, "order.>", NULL,
     "main:events.order.>(wild)"},
    {ONE "routes: [{events: '>', channel: 'events.{type}'}]", MARTY_EVENT, "a.b", NULL,
     "main:events.a.b"},
    {ONE "routes: [{commands: '*', channel: 'commands.{service}.{type}'}]", MARTY_COMMAND, "charge",
     "pay", "main:commands.pay.charge"},
    {ONE "routes: [{commands: '*', channel: 'commands.{service}.{type}'}]", MARTY_COMMAND, "*",
     "pay", "main:commands.pay.*(wild)"},
    /* constants, lists, native names */
    {ONE "routes: [{events: '>', channel: audit}]", MARTY_EVENT, ">", NULL, "main:audit"},
    {ONE "routes: [{events: '>', channels: [events.a, events.b, events.a]}]", MARTY_EVENT, ">",
     NULL, "main:events.a main:events.b"},
    {ONE "routes: [{events: '>', channels: [events.a]}]", MARTY_EVENT, "b.*", NULL,
     "main:events.b"},
    {ONE "routes: [{events: 'order.*', name: Old}]", MARTY_EVENT, "order.*", NULL,
     "main:Old(native)"},
    {ONE "routes: [{events: 'order.*', name: Old}]", MARTY_EVENT, ">", NULL,
     "main:Old(native) main:events.*(wild)"},
    {ONE "routes: [{streams: clicks, name: Old}]", MARTY_STREAM, "*", NULL,
     "main:Old(native) main:streams.*(wild)"},
    /* several routes: narrowed to what each carries, until one takes all of the rest */
    {TWO "- {events: 'order.*', to: log}\n- {events: '>', to: main}", MARTY_EVENT, ">", NULL,
     "log:events.order main:events.*(wild)"},
    {TWO "- {events: 'order.*', to: log}\n- {events: '>', to: main}", MARTY_EVENT, "order.created",
     NULL, "log:events.order"},
    {TWO "- {events: 'order.*', to: log}\n- {events: '>', to: main}", MARTY_EVENT, "user.*", NULL,
     "main:events.user"},
    {TWO "- {events: 'order.*', to: log}\n- {events: '>', to: main}", MARTY_EVENT, "order.>", NULL,
     "log:events.order main:events.order"},
    {TWO "- {events: 'order.*', to: log}\n- {events: 'user.*', to: log}", MARTY_EVENT, ">", NULL,
     "log:events.order log:events.user"},
    {TWO "- {events: 'order.*', to: log}\n- {events: '>', to: log}", MARTY_EVENT, ">", NULL,
     "log:events.*(wild)"},
    {TWO "- {commands: 'pay.refund', to: log}\n- {commands: pay, to: main}", MARTY_COMMAND, "*",
     "pay", "log:commands.pay main:commands.pay"},
    {TWO "- {commands: 'pay.refund', to: log}\n- {commands: pay, to: main}", MARTY_COMMAND,
     "charge", "pay", "main:commands.pay"},
    {TWO "- {commands: 'pay.*', to: log, channel: 'commands.{service}.{type}'}\n"
         "- {commands: '*', to: main}",
     MARTY_COMMAND, "refund", "pay", "log:commands.pay.refund"},
    {TWO "- {streams: clicks, to: log}\n- {streams: '*', to: main}", MARTY_STREAM, "*", NULL,
     "log:streams.clicks main:streams.*(wild)"},
    {TWO "- {streams: clicks, to: log}\n- {streams: '*', to: main}", MARTY_STREAM, "clicks", NULL,
     "log:streams.clicks"},
};

static void test_where_to_subscribe(void)
{
    for (size_t i = 0; i < sizeof to_subscribe / sizeof to_subscribe[0]; i++) {
        marty__config *c = load(to_subscribe[i].text);
        marty__place places[8];
        size_t count = 0;
        marty_error why = {0};
        char text[1024];
        marty_err err = marty__route_subscribe(c, to_subscribe[i].pattern, to_subscribe[i].name,
                                               to_subscribe[i].service, places, 8, &count, &why);
        describe(c, places, count, text);
        if (!CHECK_INT(err, MARTY_OK) || !CHECK_TEXT(text, to_subscribe[i].places)) {
            fprintf(stderr, "    row %zu: %s %s\n", i, to_subscribe[i].text, why.text);
        }
        marty__config_free(c);
    }
}

static char *repeat(char to[600], char byte, size_t size)
{
    memset(to, byte, size);
    to[size] = '\0';
    return to;
}

static void test_what_cannot_be_published(void)
{
    char name[600], dots[600];
    repeat(name, 'n', 256);
    repeat(dots, '.', 100);
    for (size_t i = 0; i < 100; i += 2) {
        dots[i] = 'a';
    }
    dots[99] = '\0';
    const struct {
        const char *text;
        marty_pattern pattern;
        const char *to, *type;
        marty_err err;
        const char *complaint;
    } rows[] = {
        {ONE, MARTY_EVENT, NULL, NULL, MARTY_E_ARGUMENT, "the type is NULL; it must have 1 to 255"},
        {ONE, MARTY_EVENT, NULL, "", MARTY_E_ARGUMENT, "the type is empty; it must have 1 to 255"},
        {ONE, MARTY_EVENT, NULL, name, MARTY_E_ARGUMENT, "...\" has 256 bytes; the limit is 255"},
        {ONE, MARTY_EVENT, NULL, dots, MARTY_E_ARGUMENT, "has 50 segments; the limit is 32"},
        {ONE, MARTY_EVENT, NULL, "a..b", MARTY_E_ARGUMENT,
         "the type \"a..b\" has an empty segment"},
        {ONE, MARTY_EVENT, NULL, ".a", MARTY_E_ARGUMENT, "has an empty segment"},
        {ONE, MARTY_EVENT, NULL, "a.", MARTY_E_ARGUMENT, "has an empty segment"},
        {ONE, MARTY_EVENT, NULL, "a.*", MARTY_E_ARGUMENT, "the type \"a.*\" contains \"*\""},
        {ONE, MARTY_EVENT, NULL, "a>", MARTY_E_ARGUMENT, "the type \"a>\" contains \">\""},
        {ONE, MARTY_EVENT, NULL, "a\tb", MARTY_E_ARGUMENT, "control characters; byte 1 is 0x09"},
        {ONE, MARTY_EVENT, NULL, "a\xc3", MARTY_E_ARGUMENT, "the type is not UTF-8"},
        {ONE, MARTY_COMMAND, NULL, "a", MARTY_E_ARGUMENT, "the service is NULL"},
        {ONE, MARTY_QUERY, "", "a", MARTY_E_ARGUMENT, "the service is empty"},
        {ONE, MARTY_STREAM, NULL, "a", MARTY_E_ARGUMENT, "the stream is NULL"},
        {ONE, MARTY_STREAM, "*", "a", MARTY_E_ARGUMENT, "the stream \"*\" contains \"*\""},
        {ONE, MARTY_COMMAND, name, "a", MARTY_E_ARGUMENT, "has 256 bytes; the limit is 255"},
        {ONE, MARTY_COMMAND, name + 1, "a", MARTY_E_ARGUMENT,
         "would have 264 bytes; the limit is 255: take a shorter name"},
        {ONE, MARTY_STREAM, dots, "a", MARTY_E_ARGUMENT, "is over 255 bytes once its dots are"},
        {ONE, (marty_pattern)9, NULL, "a", MARTY_E_ARGUMENT, "9 is no pattern"},
        {TWO "- {events: 'order.*', to: log}", MARTY_EVENT, NULL, "user.x", MARTY_E_NOT_FOUND,
         "config_text: no route takes the event \"user.x\"; add one, for example: - {events: "
         "\"user.x\", to: main}"},
        {TWO "- {events: 'order.*', to: log}", MARTY_COMMAND, "pay", "x", MARTY_E_NOT_FOUND,
         "no route takes the command \"pay\"; add one, for example: - {commands: \"pay\", to: "
         "main}"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        marty__config *c = load(rows[i].text);
        marty__place place = {.backend = 77};
        marty_error why = {0};
        CHECK_INT(marty__route_publish(c, rows[i].pattern, rows[i].to, rows[i].type, &place, &why),
                  rows[i].err);
        CHECK_HAS(why.text, rows[i].complaint);
        CHECK_INT(place.backend, 77);
        marty__config_free(c);
    }
}

static void test_what_cannot_be_subscribed(void)
{
    static const struct {
        const char *text;
        marty_pattern pattern;
        const char *name, *service;
        marty_err err;
        const char *complaint;
    } rows[] = {
        {ONE, MARTY_EVENT, "a..b", NULL, MARTY_E_ARGUMENT, "a segment is empty"},
        {ONE, MARTY_EVENT, NULL, NULL, MARTY_E_ARGUMENT, "the pattern is NULL"},
        {ONE, MARTY_COMMAND, "a", NULL, MARTY_E_ARGUMENT, "the service is NULL"},
        {ONE, MARTY_STREAM, NULL, NULL, MARTY_E_ARGUMENT, "the stream is NULL"},
        {ONE, MARTY_STREAM, "clicks.*", NULL, MARTY_E_UNSUPPORTED,
         "the stream \"clicks.*\": a stream's name is one word"},
        {ONE, (marty_pattern)0, "a", NULL, MARTY_E_ARGUMENT, "0 is no pattern"},
        {ONE "routes: [{events: '>', channel: 'events.x-{domain}'}]", MARTY_EVENT, "*.created",
         NULL, MARTY_E_UNSUPPORTED,
         "\"*.created\" spans channels that have no name in common (\"events.x-*\", from "
         "events.x-{domain} of config_text:2); list them in that route, as in channels: "
         "[events.x-, ...]"},
        {ONE "routes: [{events: '>', channels: [e.a, e.b, e.c, e.d, e.e]}]", MARTY_EVENT, ">", NULL,
         MARTY_E_ARGUMENT, "\">\" spans more than 4 channels"},
        {TWO "- {events: 'order.*', to: log}", MARTY_EVENT, "user.*", NULL, MARTY_E_NOT_FOUND,
         "no route takes the event \"user.*\"; add one"},
        {TWO "- {commands: pay, to: log}", MARTY_COMMAND, "x", "ship", MARTY_E_NOT_FOUND,
         "no route takes the command \"ship\"; add one"},
        {TWO "- {events: 'order.new', to: log, order: key}\n- {events: 'order.*', to: log}",
         MARTY_EVENT, "order.*", NULL, MARTY_E_CONFIG,
         "config_text:3: routes[0] and routes[1] (config_text:4) both lead to events.order, but"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        marty__config *c = load(rows[i].text);
        marty__place places[4];
        size_t count = 77;
        marty_error why = {0};
        CHECK_INT(marty__route_subscribe(c, rows[i].pattern, rows[i].name, rows[i].service, places,
                                         4, &count, &why),
                  rows[i].err);
        CHECK_HAS(why.text, rows[i].complaint);
        CHECK_INT(count, 77);
        marty__config_free(c);
    }
}

static void test_names_become_one_segment(void)
{
    static const struct {
        const char *name, *segment;
    } rows[] = {
        {"payment_service", "payment_service"},
        {"a.b", "a_x2e_b"},
        {"a__b", "a__b"},
        {"my_xfer", "my_xfer"},
        {"a_x2e_b", "a_x5f_x2e_b"},
        {"_x2e.", "_x5f_x2e_x2e_"},
        {"größe", "größe"},
    };
    marty_error why = {0};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char segment[MARTY__CHANNEL_ROOM];
        CHECK_INT(marty__name_segment(segment, "group", rows[i].name, &why), MARTY_OK);
        CHECK_TEXT(segment, rows[i].segment);
    }
    CHECK_TEXT(marty__name_reserved("retry.x", 0), "retry");
    CHECK_TEXT(marty__name_reserved("events", MARTY_COMMAND), "events");
    CHECK_TEXT(marty__name_reserved("events", MARTY_EVENT), NULL);
    CHECK_TEXT(marty__name_reserved("eventsx", 0), NULL);
}

static void test_channels_of_core(void)
{
    char channel[MARTY__CHANNEL_ROOM], name[600];
    marty_error why = {0};
    marty__config *c = load(ONE);
    CHECK_INT(marty__dead_channel(c, "events.order", channel, &why), MARTY_OK);
    CHECK_TEXT(channel, "dead.events.order");
    CHECK_INT(marty__dead_channel(c, "streams.*", channel, &why), MARTY_OK);
    CHECK_TEXT(channel, "dead.streams._x2a_");
    CHECK_INT(marty__dead_channel(c, repeat(name, 'n', 251), channel, &why), MARTY_E_ARGUMENT);
    CHECK_HAS(why.text, "has 256 bytes; the limit is 255");
    marty__config_free(c);
    c = load(ONE "dead_letter: {channel: lost}\n");
    CHECK_INT(marty__dead_channel(c, "events.order", channel, &why), MARTY_OK);
    CHECK_TEXT(channel, "lost");
    marty__config_free(c);
    CHECK_INT(marty__reply_channel("a.b", "01xyz", channel, &why), MARTY_OK);
    CHECK_TEXT(channel, "replies.a_x2e_b.01xyz");
    CHECK_INT(marty__reply_channel(NULL, "01xyz", channel, &why), MARTY_OK);
    CHECK_TEXT(channel, "replies.none.01xyz");
    CHECK_INT(marty__reply_channel(repeat(name, 'n', 250), "01xyz", channel, &why),
              MARTY_E_ARGUMENT);
    CHECK_INT(marty__reply_channel("a", "", channel, &why), MARTY_E_ARGUMENT);
}

static const char *const many =
    TWO "- {events: 'order.*', to: log, order: key, shards: 3}\n"
        "- {events: 'audit.>', to: log, channel: 'trail.{type}'}\n"
        "- {events: '>', to: main, channels: [events.a, other]}\n"
        "- {commands: 'pay.refund', to: log}\n"
        "- {commands: '*', to: main, channel: 'commands.{service}.{type}'}\n"
        "- {streams: 'clicks.eu', to: log, order: none}\n"
        "- {streams: '*', to: main, channel: 's-{name}-log.x'}\n"
        "- {broadcast: '>', to: main, name: Old}\n"
        "dead_letter: {channel: 'lost.{channel}.x'}\n";
static const struct {
    const char *channel;
    int route; /* -1: none names it */
    marty_kind kind;
} finds[] = {
    {"events.order", 0, MARTY_KIND_TOPIC},
    {"events.user", 2, MARTY_KIND_TOPIC},
    {"events.user.x", -1, MARTY_KIND_TOPIC},
    {"other", 2, MARTY_KIND_TOPIC},
    {"trail.audit.login.ok", 1, MARTY_KIND_TOPIC},
    {"trail.user", -1, MARTY_KIND_TOPIC},
    {"commands.pay", 3, MARTY_KIND_QUEUE},
    {"commands.ship", -1, MARTY_KIND_QUEUE},
    {"commands.pay.charge.card", 4, MARTY_KIND_QUEUE},
    {"commands.a_x2e_b.charge", 4, MARTY_KIND_QUEUE},
    {"streams.clicks_x2e_eu", 5, MARTY_KIND_STREAM},
    {"streams.clicks", -1, MARTY_KIND_STREAM},
    {"s-clicks-log.x", 6, MARTY_KIND_STREAM},
    {"s--log.x", -1, MARTY_KIND_TOPIC},
    {"Old", 7, MARTY_KIND_BROADCAST},
    {"lost.events.order.x", -1, MARTY_KIND_DEAD},
    {"lost..x", -1, MARTY_KIND_TOPIC},
    {"dead.events.order", -1, MARTY_KIND_DEAD},
    {"replies.x.y", -1, MARTY_KIND_REPLY},
};

static void test_a_channel_is_found_by_its_name(void)
{
    marty__config *c = load(many);
    for (size_t i = 0; i < sizeof finds / sizeof finds[0]; i++) {
        marty__place place;
        bool found = marty__route_find(c, finds[i].channel, &place);
        bool right = CHECK_INT(found ? (int)place.route : -1, finds[i].route);
        if (!CHECK_INT(place.kind, finds[i].kind) || !right) {
            fprintf(stderr, "    of: %s\n", finds[i].channel);
        }
        CHECK_TEXT(place.channel, finds[i].channel);
        CHECK_INT(place.native, finds[i].route == 7);
    }
    marty__config_free(c);
}

static void test_needs(void)
{
    marty__config *c = load(ONE "routes: [{streams: '*', need: [replay, browse]}]");
    marty__place place;
    marty_error why = {0};
    marty_capabilities granted = {.can = {[0] = MARTY_CAN_REPLAY}};
    REQUIRE(marty__route_publish(c, MARTY_STREAM, "clicks", "c", &place, &why) == MARTY_OK);
    CHECK_INT(marty__route_needs(c, &place, &granted, &why), MARTY_E_UNSUPPORTED);
    CHECK_HAS(why.text, "config_text:2: routes[0].need: main grants no browse on streams.clicks");
    granted.can[MARTY_KIND_STREAM] = MARTY_CAN_BROWSE;
    CHECK_INT(marty__route_needs(c, &place, &granted, &why), MARTY_OK);
    marty__config_free(c);
}

int main(void)
{
    test_where_to_publish();
    test_where_to_subscribe();
    test_what_cannot_be_published();
    test_what_cannot_be_subscribed();
    test_names_become_one_segment();
    test_channels_of_core();
    test_a_channel_is_found_by_its_name();
    test_needs();
    return check_result();
}
