/* SPDX-License-Identifier: Apache-2.0
 * C17: who subscribes to all streams at once knows which one a message came from, so its dead
 * letters say so and can be replayed. */
#include "contracts.h"

#include <stdatomic.h>
#include <string.h>

static const char *const streams[] = {"clicks", "page.views"};
static const char *const channels[] = {"streams.clicks", "streams.page_x2e_views"};

static marty_err reject_while_ill(void *user, marty_delivery *delivery, const heard *what)
{
    size_t i = strcmp(what->type, "click") == 0 ? 0 : 1;
    EXPECT(strcmp(delivery->channel, channels[i]) == 0, "a message of %s says it is of %s",
           channels[i], delivery->channel);
    return atomic_load((atomic_bool *)user) ? MARTY_OK : marty_reject(delivery, "ill");
}

static marty_dead_verb replay(void *user, const marty_dead_letter *letter, marty_message *instead)
{
    (void)instead;
    EXPECT(letter->to && strcmp(letter->to, user) == 0, "the letter of stream %s is for %s",
           (const char *)user, letter->to ? letter->to : "nobody");
    return MARTY_DEAD_REPLAY;
}

void c17_wild_streams(void)
{
    atomic_bool healthy = false;
    marty_error why = {0};
    marty_bus *sender = suite_open("shop", NULL), *bus = suite_open("billing", NULL);
    recorder *heard_ = recorder_new(reject_while_ill, &healthy);
    suite_publish(sender, MARTY_STREAM, streams[0], "click", "m-0000", "k", "x");
    suite_publish(sender, MARTY_STREAM, streams[1], "view", "m-0001", "k", "x");
    suite_subscribe(bus, MARTY_STREAM, "*", heard_, NULL);
    suite_start(bus);
    EXPECT(recorder_wait(heard_, 2, 20000), "of two streams %zu came", recorder_unique(heard_));
    for (size_t i = 0; i < 2; i++) {
        suite_dead dead[1];
        suite_wait_dead(bus, channels[i], 1, dead, 1);
    }
    atomic_store(&healthy, true);
    for (size_t i = 0; i < 2; i++) {
        marty_err err =
            marty_dead_letters(bus, channels[i], NULL, replay, (char *)(uintptr_t)streams[i], &why);
        EXPECT_OK(err, &why, "replaying the letters of %s", channels[i]);
        EXPECT(recorder_wait_total(heard_, 3 + i, 20000), "the replay of %s did not come",
               channels[i]);
        suite_dead dead[1];
        EXPECT(suite_dead_letters(bus, channels[i], dead, 1) == 0, "a replayed letter stays");
    }
    recorder_expect(heard_, "m", 0, 2, 2);
}
