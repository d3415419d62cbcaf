/* SPDX-License-Identifier: Apache-2.0
 * Publishing, reading dead letters and small words of the suite: each fails the case when what it
 * does is refused. */
#include "suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *suite_id(const char *name, int number)
{
    static _Thread_local char ring[16][64];
    static _Thread_local unsigned turn;
    char *text = ring[turn++ % 16];
    snprintf(text, sizeof ring[0], "%s-%04d", name, number);
    return text;
}

const char *suite_pattern_name(marty_pattern pattern)
{
    static const char *const names[] = {"", "event", "command", "query", "stream", "broadcast"};
    return names[pattern];
}

marty_kind suite_kind_of(marty_pattern pattern)
{
    static const marty_kind kinds[] = {MARTY_KIND_TOPIC,   MARTY_KIND_TOPIC,  MARTY_KIND_QUEUE,
                                       MARTY_KIND_REQUEST, MARTY_KIND_STREAM, MARTY_KIND_BROADCAST};
    return kinds[pattern];
}

const char *suite_to(marty_pattern pattern, const char *service, const char *stream)
{
    if (pattern == MARTY_COMMAND || pattern == MARTY_QUERY) {
        return service;
    }
    return pattern == MARTY_STREAM ? stream : NULL;
}

marty_err suite_try_publish(marty_bus *bus, marty_pattern pattern, const char *to,
                            const marty_message *message, const marty_publish_options *options,
                            marty_outcome *outcome, marty_error *why)
{
    marty_publish_options mine = options ? *options : (marty_publish_options){0};
    if (pattern == MARTY_STREAM) {
        suite_want(MARTY_KIND_STREAM, MARTY_CAN_ORDER_BY_KEY);
    }
    if (outcome) {
        mine.outcomes = outcome;
    }
    return marty_publish(bus, pattern, to, &message, 1, &mine, why);
}

void suite_publish(marty_bus *bus, marty_pattern pattern, const char *to, const char *type,
                   const char *id, const char *key, const char *body)
{
    marty_error why = {0};
    marty_outcome outcome = {0};
    marty_message message = {.type = type, .id = id, .key = key, .data = marty_text(body)};
    marty_err err = suite_try_publish(bus, pattern, to, &message, NULL, &outcome, &why);
    EXPECT_OK(err, &why, "publishing the %s %s (%s)", suite_pattern_name(pattern), type,
              id ? id : "no id");
    EXPECT(outcome.err == MARTY_OK, "publish answered OK, its outcome %s", suite_err(outcome.err));
}

static void publish_batch(marty_bus *bus, marty_pattern pattern, const char *to, const char *type,
                          const char *name, int from, int count, int keys)
{
    enum { MOST = 100 };
    marty_message messages[MOST];
    const marty_message *pointers[MOST];
    marty_outcome outcomes[MOST];
    char ids[MOST][64], names[MOST][16];
    for (int i = 0; i < count; i++) {
        snprintf(ids[i], sizeof ids[i], "%s-%04d", name, from + i);
        snprintf(names[i], sizeof names[i], "k%d", keys ? (from + i) % keys : 0);
        messages[i] = (marty_message){
            .type = type, .id = ids[i], .key = keys ? names[i] : NULL, .data = marty_text(ids[i])};
        pointers[i] = &messages[i];
        outcomes[i] = (marty_outcome){.err = MARTY_E_INTERNAL};
    }
    marty_error why = {0};
    marty_publish_options options = {.outcomes = outcomes,
                                     .timeout_ms = (int32_t)test_patience(10000)};
    marty_err err = marty_publish(bus, pattern, to, pointers, (size_t)count, &options, &why);
    EXPECT_OK(err, &why, "publishing %d of %s as a batch", count, name);
    for (int i = 0; i < count; i++) {
        EXPECT(outcomes[i].err == MARTY_OK, "a batch answered OK, but its message %s %s", ids[i],
               suite_err(outcomes[i].err));
    }
}

void suite_publish_many(marty_bus *bus, marty_pattern pattern, const char *to, const char *type,
                        const char *name, int from, int count, int keys)
{
    if (pattern == MARTY_STREAM) {
        suite_want(MARTY_KIND_STREAM, MARTY_CAN_ORDER_BY_KEY);
    }
    for (int done = 0; done < count; done += 100) {
        int some = count - done < 100 ? count - done : 100;
        publish_batch(bus, pattern, to, type, name, from + done, some, keys);
    }
}

/* ---- dead letters */

typedef struct collected {
    suite_dead *letters;
    size_t count, max;
} collected;

static void copy_letter(suite_dead *to, const marty_dead_letter *letter)
{
    *to = (suite_dead){.code = letter->code,
                       .attempts = letter->attempts,
                       .replays = letter->replays,
                       .raw_size = letter->raw.size,
                       .readable = letter->message != NULL};
    snprintf(to->cause, sizeof to->cause, "%s", letter->cause ? letter->cause : "");
    snprintf(to->channel, sizeof to->channel, "%s", letter->channel ? letter->channel : "");
    snprintf(to->group, sizeof to->group, "%s", letter->group ? letter->group : "");
    memcpy(to->raw, letter->raw.data ? letter->raw.data : "",
           letter->raw.size < sizeof to->raw ? letter->raw.size : sizeof to->raw);
    const marty_message *message = letter->message;
    if (!message) {
        return;
    }
    snprintf(to->id, sizeof to->id, "%s", message->id);
    snprintf(to->type, sizeof to->type, "%s", message->type);
    snprintf(to->trace, sizeof to->trace, "%s", message->trace_parent ? message->trace_parent : "");
    to->size = message->data.size;
    memcpy(to->body, message->data.data ? message->data.data : "",
           to->size < sizeof to->body ? to->size : sizeof to->body);
    marty_bytes kept = marty_message_header(message, "x-kept");
    snprintf(to->header, sizeof to->header, "%.*s", MARTY_BYTES_ARGS(kept));
}

static marty_dead_verb collect(void *user, const marty_dead_letter *letter, marty_message *instead)
{
    (void)instead;
    collected *found = user;
    if (found->count == found->max) {
        return MARTY_DEAD_STOP;
    }
    copy_letter(&found->letters[found->count++], letter);
    return MARTY_DEAD_LEAVE;
}

size_t suite_dead_letters(marty_bus *bus, const char *channel, suite_dead ret_dead[], size_t max)
{
    collected found = {ret_dead, 0, max};
    marty_error why = {0};
    suite_want(MARTY_KIND_DEAD, MARTY_CAN_BROWSE);
    marty_err err = marty_dead_letters(bus, channel, NULL, collect, &found, &why);
    if (err == MARTY_E_NOT_FOUND) {
        return 0;
    }
    EXPECT_OK(err, &why, "reading the dead letters of %s", channel);
    return found.count;
}

typedef struct dead_wait {
    marty_bus *bus;
    const char *channel;
    suite_dead *dead;
    size_t wanted, max, have;
} dead_wait;

static bool are_dead(void *user)
{
    dead_wait *wait = user;
    wait->have = suite_dead_letters(wait->bus, wait->channel, wait->dead, wait->max);
    return wait->have >= wait->wanted;
}

size_t suite_wait_dead(marty_bus *bus, const char *channel, size_t count, suite_dead ret_dead[],
                       size_t max)
{
    dead_wait wait = {bus, channel, ret_dead, count, max, 0};
    bool there = test_wait_for(are_dead, &wait, 10000);
    EXPECT(there, "%zu dead letters wanted in %s, %zu there", count, channel, wait.have);
    return wait.have;
}
