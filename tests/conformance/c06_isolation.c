/* SPDX-License-Identifier: Apache-2.0
 * C06: who subscribed to one thing gets nothing of another, whatever their names are made of. */
#include "contracts.h"

#include <stdio.h>
#include <string.h>

void c06_topics(void)
{
    static const char *const types[] = {"order.created", "order.closed", "orders.created",
                                        "order.created.twice", "user.created"};
    enum { TYPES = 5 };
    marty_bus *bus = suite_open("billing", NULL);
    recorder *each[TYPES];
    for (size_t i = 0; i < TYPES; i++) {
        char group[16];
        snprintf(group, sizeof group, "group%zu", i);
        each[i] = recorder_new(NULL, NULL);
        suite_subscribe(bus, MARTY_EVENT, types[i], each[i],
                        &(marty_subscribe_options){.group = group});
    }
    recorder *star = recorder_new(NULL, NULL);
    suite_subscribe(bus, MARTY_EVENT, "order.*", star, &(marty_subscribe_options){.group = "star"});
    suite_start(bus);
    for (size_t i = 0; i < TYPES; i++) {
        suite_publish_many(bus, MARTY_EVENT, NULL, types[i], types[i], 0, 10, 0);
    }
    for (size_t i = 0; i < TYPES; i++) {
        recorder_expect(each[i], types[i], 0, 10, 1);
    }
    EXPECT(recorder_wait(star, 20, 10000), "order.* got %zu of 20", recorder_unique(star));
    EXPECT(recorder_times(star, "order.created.twice-0000") == 0, "order.* got three words");
    EXPECT(recorder_total(star) == 20, "order.* got %zu, not 20", recorder_total(star));
    for (size_t i = 0; i < TYPES; i++) {
        for (size_t k = 0; k < recorder_total(each[i]); k++) {
            EXPECT(strcmp(recorder_at(each[i], k).type, types[i]) == 0, "%s came to %s",
                   recorder_at(each[i], k).type, types[i]);
        }
    }
}

void c06_handlers_of_a_group(void)
{
    /* One group with disjoint patterns: each delivery has exactly one handler. */
    marty_bus *bus = suite_open("billing", NULL);
    recorder *created = recorder_new(NULL, NULL), *closed = recorder_new(NULL, NULL);
    suite_subscribe(bus, MARTY_EVENT, "order.created", created, NULL);
    suite_subscribe(bus, MARTY_EVENT, "order.closed", closed, NULL);
    marty_error why = {0};
    marty_err err =
        marty_subscribe_to_events(bus, "order.*", recorder_handle, created, NULL, NULL, &why);
    EXPECT_ERR(err, MARTY_E_EXISTS, &why, "an overlapping pattern in one group");
    EXPECT(strstr(why.text, "group"), "the error for an overlap does not speak of a group: %s",
           why.text);
    suite_start(bus);
    suite_publish_many(bus, MARTY_EVENT, NULL, "order.created", "created", 0, 40, 0);
    suite_publish_many(bus, MARTY_EVENT, NULL, "order.closed", "closed", 0, 40, 0);
    recorder_expect(created, "created", 0, 40, 1);
    recorder_expect(closed, "closed", 0, 40, 1);
}

void c06_services(void)
{
    static const char *const services[] = {"pay",      "payment",      "pay_ment", "pay__ment",
                                           "pay.ment", "pay_x2e_ment", "pay-ment"};
    enum { SERVICES = 7 };
    recorder *commands[SERVICES], *streams[SERVICES];
    marty_bus *sender = suite_open("shop", NULL);
    for (size_t i = 0; i < SERVICES; i++) {
        marty_bus *bus = suite_open(services[i], NULL);
        commands[i] = recorder_new(NULL, NULL);
        streams[i] = recorder_new(NULL, NULL);
        suite_subscribe(bus, MARTY_COMMAND, "charge", commands[i], NULL);
        suite_subscribe(bus, MARTY_STREAM, services[i], streams[i], NULL);
        suite_start(bus);
    }
    for (size_t i = 0; i < SERVICES; i++) {
        char name[64];
        suite_publish_many(sender, MARTY_COMMAND, services[i], "charge", services[i], 0, 5, 0);
        snprintf(name, sizeof name, "s-%s", services[i]);
        suite_publish_many(sender, MARTY_STREAM, services[i], "click", name, 0, 5, 2);
    }
    for (size_t i = 0; i < SERVICES; i++) {
        char name[64];
        recorder_expect(commands[i], services[i], 0, 5, 1);
        snprintf(name, sizeof name, "s-%s", services[i]);
        recorder_expect(streams[i], name, 0, 5, 1);
    }
}

static bool is_name_refusal(marty_err err)
{
    return err == MARTY_E_ARGUMENT || err == MARTY_E_MALFORMED || err == MARTY_E_UNSUPPORTED ||
           err == MARTY_E_NOT_FOUND || err == MARTY_E_TOO_LARGE;
}

/* Subscribes and publishes under that name: it comes under the same name, or both are refused. */
static bool try_type(marty_bus *bus, const char *type, int number)
{
    char group[16];
    snprintf(group, sizeof group, "group%d", number);
    marty_error why = {0};
    recorder *got = recorder_new(NULL, NULL);
    marty_subscribe_options options = {.group = group, .timeout_ms = SUITE_SUBSCRIBE_MS};
    marty_err err =
        marty_subscribe_to_events(bus, type, recorder_handle, got, &options, NULL, &why);
    EXPECT(!err || is_name_refusal(err), "subscribing to \"%s\" ended with %s: %s", type,
           suite_err(err), why.text);
    marty_message message = {.type = type, .id = suite_id("named", number)};
    marty_err published = suite_try_publish(bus, MARTY_EVENT, NULL, &message, NULL, NULL, &why);
    EXPECT(!published || is_name_refusal(published), "publishing \"%s\" ended with %s: %s", type,
           suite_err(published), why.text);
    if (err || published) {
        return false;
    }
    EXPECT(recorder_wait(got, 1, 10000), "\"%s\" was taken and did not come", type);
    heard what = recorder_at(got, 0);
    EXPECT(strcmp(what.type, type) == 0, "\"%s\" came as \"%s\"", type, what.type);
    EXPECT(strcmp(what.id, suite_id("named", number)) == 0, "%s came to \"%s\"", what.id, type);
    return true;
}

void c06_hostile_types(void)
{
    static char longest[256], too_long[300];
    memset(longest, 'a', 200);
    memcpy(longest, "long.", 5);
    memset(too_long, 'b', sizeof too_long - 1);
    static const char *const types[] = {
        "a",      "A.b",      "a_b.c_d",   "a__b.c",     "_x.y",       "a.x_y",    "a-b.c-d",
        "a b.c",  "a.b c",    "a/b.c",     "a.\xc3\xbc", "\xc3\xbc.a", "a.b\xff",  "a..b",
        ".a",     "a.",       "a.*",       "a.>",        "*",          ">",        "",
        "a$b.c",  "$SYS.a",   "$JS.API.a", "_INBOX.a",   "a\tb.c",     "a\r\nb.c", "a:b.c",
        "a%41.c", "events.a", "dead.a",    "marty.a",    "a'b.c",      "a\"b.c",   "a\\b.c",
        "a{b}.c", longest,    too_long};
    marty_bus *bus = suite_open("billing", NULL);
    suite_start(bus);
    size_t carried = 0, refused = 0;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        bool was = try_type(bus, types[i], (int)i);
        was ? carried++ : refused++;
        suite_log("type %zu \"%.60s\": %s", i, types[i], was ? "carried" : "refused");
    }
    marty_error why = {0};
    static const char *const never[] = {"", "a..b", "a.*", ">", too_long};
    for (size_t i = 0; i < 5; i++) {
        marty_message message = {.type = never[i]};
        EXPECT(suite_try_publish(bus, MARTY_EVENT, NULL, &message, NULL, NULL, &why),
               "the type \"%.20s\" was published", never[i]);
    }
    suite_note("%zu hostile types carried whole, %zu refused", carried, refused);
}
