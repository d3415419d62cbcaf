/* SPDX-License-Identifier: Apache-2.0
 * What a consumer filters by: its channel, whatever the patterns of its handlers. Narrower filters
 * would have to be changed when another handler comes, and a consumer of nats-server 2.15.2 whose
 * filters were changed was seen to deliver one message per pull from then on. One that an operator
 * made narrower is widened. A server refuses filters that overlap. Pure, but for reading the port's
 * features. */
#include "parts.h"

#include <stdio.h>
#include <string.h>

/* Whether all that b matches, a matches too. */
static bool covers(const char *a, const char *b)
{
    for (;;) {
        size_t a_word = strcspn(a, "."), b_word = strcspn(b, ".");
        if (a_word == 1 && *a == '>') {
            return *b != '\0';
        }
        bool any = a_word == 1 && *a == '*' && !(b_word == 1 && *b == '>');
        if (!*a || !*b || (!any && (a_word != b_word || strncmp(a, b, a_word) != 0))) {
            return false;
        }
        a += a_word;
        b += b_word;
        if (!*a || !*b) {
            return !*a && !*b;
        }
        a++;
        b++;
    }
}

/* Whether some subject is matched by both. */
static bool overlap(const char *a, const char *b)
{
    for (;;) {
        size_t a_word = strcspn(a, "."), b_word = strcspn(b, ".");
        bool a_rest = a_word == 1 && *a == '>', b_rest = b_word == 1 && *b == '>';
        if (a_rest || b_rest) {
            return *a && *b;
        }
        bool any = (a_word == 1 && *a == '*') || (b_word == 1 && *b == '*');
        if (!any && (a_word != b_word || strncmp(a, b, a_word) != 0)) {
            return false;
        }
        a += a_word;
        b += b_word;
        if (!*a || !*b) {
            return !*a && !*b;
        }
        a++;
        b++;
    }
}

static const char *text_at(json_t *array, size_t index)
{
    return json_string_value(json_array_get(array, index));
}

/* All subjects of the channel but those of messages for later. */
static json_t *whole(const nats__channel *channel)
{
    char below[NATS__SUBJECT_MAX + 4];
    (void)snprintf(below, sizeof below, "%s.>", channel->subject);
    bool named = channel->kind != MARTY_KIND_STREAM;
    return named ? json_pack("[s, s]", channel->subject, below) : json_pack("[s]", below);
}

static bool add_filter(json_t *filters, const char *filter)
{
    size_t i = 0;
    while (i < json_array_size(filters)) {
        const char *have = text_at(filters, i);
        if (covers(have, filter)) {
            return true;
        }
        if (covers(filter, have)) {
            (void)json_array_remove(filters, i);
            continue;
        }
        if (overlap(have, filter)) {
            return false;
        }
        i++;
    }
    return json_array_append_new(filters, json_string(filter)) == 0;
}

json_t *nats__filters(marty_port *port, const nats__source *source)
{
    const nats__channel *channel = source->channel;
    char filter[NATS__SUBJECT_MAX + 16];
    if (channel->kind == MARTY_KIND_STREAM && source->ephemeral && !channel->bare) {
        return whole(channel); /* one consumer of all shards */
    }
    if (channel->kind == MARTY_KIND_STREAM && !channel->retry && !channel->bare) {
        (void)snprintf(filter, sizeof filter, "%s.%u", channel->subject, source->shard);
        return json_pack("[s]", filter);
    }
    bool all =
        channel->retry || channel->bare || channel->native || !nats__version_at_least(port, 2, 10);
    return all ? json_array() : whole(channel);
}

bool nats__filters_cover(json_t *found, json_t *wanted)
{
    if (json_array_size(found) == 0 || json_array_size(wanted) == 0) {
        return json_array_size(found) == 0;
    }
    for (size_t i = 0; i < json_array_size(wanted); i++) {
        bool covered = false;
        for (size_t j = 0; j < json_array_size(found) && !covered; j++) {
            covered = covers(text_at(found, j), text_at(wanted, i));
        }
        if (!covered) {
            return false;
        }
    }
    return true;
}

json_t *nats__filters_union(json_t *found, json_t *wanted, const nats__channel *channel)
{
    json_t *both = json_array();
    json_t *lists[] = {found, wanted};
    if (json_array_size(found) == 0 || json_array_size(wanted) == 0) {
        return both; /* one of them has no filter: all */
    }
    for (size_t l = 0; l < 2; l++) {
        for (size_t i = 0; i < json_array_size(lists[l]); i++) {
            if (!add_filter(both, text_at(lists[l], i))) {
                json_decref(both);
                return whole(channel);
            }
        }
    }
    return both;
}
