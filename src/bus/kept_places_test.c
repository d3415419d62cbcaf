/* SPDX-License-Identifier: Apache-2.0
 * Places that are kept say what the routes say, also where more types are published than there is
 * room for, and on several threads; messages that are made like others of their type say no more
 * than they should. */
#include "internal.h"

#include "tests/check.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { TYPES = 4 * MARTY__KEPT_PLACES, THREADS = 4 };

static marty_bus *bus;

static void open_bus(void)
{
    marty_error why = {0};
    REQUIRE(!marty_bus_open(&bus, "memory:", &(marty_bus_options){.service = "places"}, &why));
}

static void name_of(char text[32], int i)
{
    (void)snprintf(text, 32, "domain%d.made", i);
}

/* Finds each type twice: what stands for it is the same, and says what the routes say. */
static void *find_all(void *unused)
{
    (void)unused;
    size_t kept_count = 0, wrong = 0;
    for (int i = 0; i < 2 * TYPES; i++) {
        char type[32];
        marty__place found = {0}, expected = {0};
        marty__kept_place *kept = NULL;
        name_of(type, i % TYPES);
        marty_err err = marty__place_find(bus, MARTY_EVENT, NULL, type, &found, &kept, NULL);
        err =
            err ? err : marty__route_publish(bus->config, MARTY_EVENT, NULL, type, &expected, NULL);
        const marty__place *place = kept ? &kept->place : &found;
        wrong += err || strcmp(place->channel, expected.channel) != 0 ||
                 place->kind != expected.kind || place->order != expected.order ||
                 place->backend != expected.backend;
        wrong += kept && kept != marty__place_kept(bus, MARTY_EVENT, NULL, type);
        kept_count += kept != NULL;
    }
    CHECK_INT(wrong, 0);
    CHECK(kept_count > MARTY__KEPT_PLACES / 2);
    CHECK(kept_count <= 2 * MARTY__KEPT_PLACES);
    return NULL;
}

static void test_threads_find_what_the_routes_say(void)
{
    pthread_t threads[THREADS];
    open_bus();
    for (int i = 0; i < THREADS; i++) {
        REQUIRE(!pthread_create(&threads[i], NULL, find_all, NULL));
    }
    for (int i = 0; i < THREADS; i++) {
        REQUIRE(!pthread_join(threads[i], NULL));
    }
    CHECK(bus->kept_names.count <= MARTY__KEPT_PLACES); /* each type has a channel of its own */
    marty_bus_free(bus);
}

static void test_patterns_and_services_are_told_apart(void)
{
    marty__place room;
    marty__kept_place *event = NULL, *command = NULL, *other = NULL;
    open_bus();
    CHECK_INT(marty__place_find(bus, MARTY_EVENT, NULL, "pay", &room, &event, NULL), MARTY_OK);
    CHECK_INT(marty__place_find(bus, MARTY_COMMAND, "a", "pay", &room, &command, NULL), MARTY_OK);
    CHECK_INT(marty__place_find(bus, MARTY_COMMAND, "b", "pay", &room, &other, NULL), MARTY_OK);
    REQUIRE(event && command && other);
    CHECK_TEXT(event->place.channel, "events.pay");
    CHECK_TEXT(command->place.channel, "commands.a");
    CHECK_TEXT(other->place.channel, "commands.b");
    CHECK_INT(marty__place_find(bus, MARTY_EVENT, NULL, "a..b", &room, &event, NULL),
              MARTY_E_ARGUMENT);
    CHECK(!event);
    marty_bus_free(bus);
}

/* A service that publishes to ever new names does not grow for ever. */
static void test_outcomes_name_so_many_channels_and_no_more(void)
{
    enum { NAMES = MARTY__KNOWN_CHANNELS_MAX + 200 };
    size_t named = 0, wrong = 0;
    open_bus();
    for (int i = 0; i < NAMES; i++) {
        char type[32], channel[40];
        marty_outcome outcome;
        marty_error why = {0};
        (void)snprintf(type, sizeof type, "domain%d.made", i);
        (void)snprintf(channel, sizeof channel, "events.domain%d", i);
        marty_publish_options options = {.outcomes = &outcome};
        marty_err err = marty_publish_event(bus, type, marty_text("{}"), &options, &why);
        named += outcome.channel != NULL;
        wrong += err || outcome.err || (outcome.channel && strcmp(outcome.channel, channel) != 0);
    }
    CHECK_INT(wrong, 0);
    CHECK(named >= MARTY__KNOWN_CHANNELS_MAX && named < NAMES);
    CHECK(bus->kept_names.count <= MARTY__KNOWN_CHANNELS_MAX);
    marty_bus_free(bus);
}

/* ---- messages made like others */
typedef struct seen {
    char id[2][40], key[2][8], subject[2][8], data[2][8];
    int64_t times_us[2];
    atomic_int count;
} seen;

static marty_err see(void *user, marty_delivery *delivery)
{
    seen *all = user;
    const marty_message *message = delivery->message;
    int i = atomic_load(&all->count);
    if (i < 2) {
        (void)snprintf(all->id[i], sizeof all->id[i], "%s", message->id);
        (void)snprintf(all->key[i], sizeof all->key[i], "%s", message->key ? message->key : "-");
        (void)snprintf(all->subject[i], sizeof all->subject[i], "%s",
                       message->subject ? message->subject : "-");
        (void)snprintf(all->data[i], sizeof all->data[i], "%.*s", MARTY_BYTES_ARGS(message->data));
        all->times_us[i] = message->time_us;
    }
    atomic_fetch_add(&all->count, 1);
    return MARTY_OK;
}

static void publish(const marty_message *template_)
{
    marty_error why = {0};
    CHECK_INT(marty_publish(bus, MARTY_EVENT, NULL, &template_, 1, NULL, &why), MARTY_OK);
}

static void test_a_message_has_what_its_template_says_and_no_more(void)
{
    marty_error why = {0};
    seen all = {.count = 0};
    marty_bus_options options = {.service = "places", .driven = true};
    REQUIRE(!marty_bus_open(&bus, "memory:", &options, &why));
    REQUIRE(!marty_subscribe_to_events(bus, "order.*", see, &all, NULL, NULL, &why));
    REQUIRE(!marty_bus_start(bus, &why));
    publish(&(marty_message){
        .type = "order.made", .key = "k", .subject = "s", .time_us = 7, .data = marty_text("one")});
    publish(&(marty_message){.type = "order.made", .data = marty_text("two")});
    for (int i = 0; i < 1000 && atomic_load(&all.count) < 2; i++) {
        (void)marty_bus_process(bus, 10, NULL, &why);
    }
    CHECK_INT(all.count, 2);
    CHECK_TEXT(all.key[0], "k");
    CHECK_TEXT(all.subject[0], "s");
    CHECK_TEXT(all.data[0], "one");
    CHECK_INT(all.times_us[0], 7);
    CHECK_TEXT(all.key[1], "-");
    CHECK_TEXT(all.subject[1], "-");
    CHECK_TEXT(all.data[1], "two");
    CHECK(all.times_us[1] > 7);
    CHECK(strcmp(all.id[0], all.id[1]) != 0);
    marty_bus_free(bus);
}

int main(void)
{
    test_threads_find_what_the_routes_say();
    test_patterns_and_services_are_told_apart();
    test_outcomes_name_so_many_channels_and_no_more();
    test_a_message_has_what_its_template_says_and_no_more();
    return check_result();
}
