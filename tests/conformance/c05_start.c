/* SPDX-License-Identifier: Apache-2.0
 * C05: what was published before the first subscriber, starting elsewhere, and seeking. */
#include "contracts.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

void c05_queue(void)
{
    marty_bus *sender = suite_open("shop", NULL);
    suite_publish_many(sender, MARTY_COMMAND, "billing", "charge", "early", 0, 20, 0);
    marty_bus *bus = suite_open("billing", NULL);
    recorder *heard_ = recorder_new(NULL, NULL);
    suite_subscribe(bus, MARTY_COMMAND, "charge", heard_, NULL);
    suite_start(bus);
    suite_publish_many(sender, MARTY_COMMAND, "billing", "charge", "early", 20, 5, 0);
    recorder_expect(heard_, "early", 0, 25, 1);
}

void c05_stream(void)
{
    marty_bus *sender = suite_open("shop", NULL);
    suite_publish_many(sender, MARTY_STREAM, "clicks", "click", "early", 0, 50, 5);
    marty_bus *bus = suite_open("billing", NULL);
    recorder *heard_ = recorder_new(NULL, NULL);
    suite_subscribe(bus, MARTY_STREAM, "clicks", heard_, NULL);
    suite_start(bus);
    recorder_expect(heard_, "early", 0, 50, 1);
}

void c05_topic_now(void)
{
    marty_bus *sender = suite_open("shop", NULL);
    suite_publish_many(sender, MARTY_EVENT, NULL, "order.created", "early", 0, 10, 0);
    marty_bus *bus = suite_open("billing", NULL);
    recorder *heard_ = recorder_new(NULL, NULL);
    suite_subscribe(bus, MARTY_EVENT, "order.*", heard_, NULL);
    suite_start(bus);
    suite_publish_many(sender, MARTY_EVENT, NULL, "order.created", "late", 0, 10, 0);
    recorder_expect(heard_, "late", 0, 10, 1);
}

void c05_topic_kept(void)
{
    /* A group that exists keeps getting its messages while nobody of it is there. */
    marty_bus *sender = suite_open("shop", NULL);
    marty_bus *bus = suite_open("billing", NULL);
    recorder *first = recorder_new(NULL, NULL), *second = recorder_new(NULL, NULL);
    suite_subscribe(bus, MARTY_EVENT, "order.*", first, NULL);
    suite_start(bus);
    suite_publish_many(sender, MARTY_EVENT, NULL, "order.created", "one", 0, 5, 0);
    recorder_expect(first, "one", 0, 5, 1);
    suite_close(bus);
    suite_publish_many(sender, MARTY_EVENT, NULL, "order.created", "two", 0, 10, 0);
    bus = suite_open("billing", NULL);
    suite_subscribe(bus, MARTY_EVENT, "order.*", second, NULL);
    suite_start(bus);
    recorder_expect(second, "two", 0, 10, 1);
}

void c05_earliest(void)
{
    marty_bus *sender = suite_open("shop", NULL);
    suite_publish_many(sender, MARTY_EVENT, NULL, "order.created", "early", 0, 30, 0);
    marty_bus *bus = suite_open("billing", NULL);
    recorder *heard_ = recorder_new(NULL, NULL);
    suite_subscribe(bus, MARTY_EVENT, "order.*", heard_,
                    &(marty_subscribe_options){.start = {.from = MARTY_FROM_EARLIEST}});
    suite_start(bus);
    recorder_expect(heard_, "early", 0, 30, 1);
}

void c05_stream_now(void)
{
    marty_bus *sender = suite_open("shop", NULL);
    suite_publish_many(sender, MARTY_STREAM, "clicks", "click", "early", 0, 20, 4);
    marty_bus *bus = suite_open("billing", NULL);
    recorder *heard_ = recorder_new(NULL, NULL);
    suite_subscribe(bus, MARTY_STREAM, "clicks", heard_,
                    &(marty_subscribe_options){.start = {.from = MARTY_FROM_NOW}});
    suite_start(bus);
    suite_publish_many(sender, MARTY_STREAM, "clicks", "click", "late", 0, 20, 4);
    recorder_expect(heard_, "late", 0, 20, 1);
}

/* Positions and times of what came, to start from. */
typedef struct places {
    char position[64];
    int64_t time_us;
} places;

static marty_err note_place(void *user, marty_delivery *delivery, const heard *what)
{
    places *noted = user;
    if (strcmp(what->id, "m-0010") == 0) {
        snprintf(noted->position, sizeof noted->position, "%s",
                 delivery->position ? delivery->position : "");
    }
    return MARTY_OK;
}

static int64_t wall_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static bool is_later(void *user)
{
    return wall_us() > *(int64_t *)user + 20000;
}

/* 10 messages, a moment that is in no message's time, 10 more (one key, so that positions are of
 * one shard). Gives the moment. */
static int64_t publish_around_a_moment(marty_bus *bus)
{
    suite_publish_many(bus, MARTY_STREAM, "clicks", "click", "m", 0, 10, 1);
    int64_t moment = wall_us();
    EXPECT(test_wait_for(is_later, &moment, 1000), "the clock stands still");
    moment += 10000;
    suite_publish_many(bus, MARTY_STREAM, "clicks", "click", "m", 10, 10, 1);
    return moment;
}

void c05_time_and_position(void)
{
    marty_bus *bus = suite_open("billing", NULL);
    int64_t moment = publish_around_a_moment(bus);
    places noted = {0};
    recorder *whole = recorder_new(note_place, &noted);
    suite_subscribe(bus, MARTY_STREAM, "clicks", whole,
                    &(marty_subscribe_options){.group = "whole"});
    suite_start(bus);
    recorder_expect(whole, "m", 0, 20, 1);
    recorder *by_time = recorder_new(NULL, NULL);
    suite_subscribe(bus, MARTY_STREAM, "clicks", by_time,
                    &(marty_subscribe_options){
                        .group = "bytime", .start = {.from = MARTY_FROM_TIME, .time_us = moment}});
    recorder_expect(by_time, "m", 10, 10, 1);
    EXPECT(noted.position[0], "replay is granted, but deliveries have no position");
    recorder *by_position = recorder_new(NULL, NULL);
    suite_subscribe(bus, MARTY_STREAM, "clicks", by_position,
                    &(marty_subscribe_options){
                        .group = "byposition",
                        .start = {.from = MARTY_FROM_POSITION, .position = noted.position}});
    recorder_expect(by_position, "m", 10, 10, 1);
}

static void seek(marty_subscription *subscription, marty_start to, const char *what)
{
    marty_error why = {0};
    EXPECT_OK(marty_subscription_seek(subscription, &to, 1, &why), &why, "seeking to %s", what);
}

void c05_seek(void)
{
    marty_bus *bus = suite_open("billing", NULL);
    int64_t moment = publish_around_a_moment(bus);
    places noted = {0};
    recorder *heard_ = recorder_new(note_place, &noted);
    marty_subscription *subscription = suite_subscribe(bus, MARTY_STREAM, "clicks", heard_, NULL);
    suite_start(bus);
    recorder_expect(heard_, "m", 0, 20, 1);
    seek(subscription, (marty_start){.from = MARTY_FROM_EARLIEST}, "the earliest");
    recorder_expect(heard_, "m", 0, 20, 2);
    seek(subscription, (marty_start){.from = MARTY_FROM_TIME, .time_us = moment}, "a time");
    EXPECT(recorder_wait_total(heard_, 50, 10000),
           "after seeking to a time %zu came in all, not 50", recorder_total(heard_));
    EXPECT(recorder_times(heard_, "m-0009") == 2 && recorder_times(heard_, "m-0010") == 3,
           "seeking to a time between m-0009 and m-0010 brought them %zu and %zu times in all",
           recorder_times(heard_, "m-0009"), recorder_times(heard_, "m-0010"));
    seek(subscription, (marty_start){.from = MARTY_FROM_NOW}, "now");
    suite_publish_many(bus, MARTY_STREAM, "clicks", "click", "m", 20, 5, 1);
    EXPECT(recorder_wait_total(heard_, 55, 10000), "after seeking to now %zu came in all, not 55",
           recorder_total(heard_));
    recorder_expect_quiet(heard_, 100);
}
