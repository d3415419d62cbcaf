/* SPDX-License-Identifier: Apache-2.0
 * What a consumer filters by: a hint that saves traffic, so it may be wider than what was asked,
 * never narrower. A server refuses filters that overlap. Pure, but for reading the port's features.
 */
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

/* A pattern of types as a filter below the channel's subject; false: it says nothing there. */
static bool pattern_filter(const nats__channel *channel, const char *pattern,
                           char out[NATS__SUBJECT_MAX])
{
    const char *name = channel->name;
    const char *domain = strncmp(name, "events.", 7) == 0 ? name + 7 : NULL;
    while (domain && *domain && *pattern) { /* word by word: what the name says already */
        size_t word = strcspn(pattern, "."), known = strcspn(domain, ".");
        bool same = word == known && strncmp(pattern, domain, word) == 0;
        if (!same && !(word == 1 && *pattern == '*')) {
            return false;
        }
        pattern += word + (pattern[word] == '.');
        domain += known + (domain[known] == '.');
    }
    if (domain && *domain) {
        return false;
    }
    int size =
        snprintf(out, NATS__SUBJECT_MAX, "%s%s%s", channel->subject, *pattern ? "." : "", pattern);
    for (const char *at = out; *at; at++) {
        if (*at != '*' && *at != '>' && !strchr(nats__subject_bytes, *at)) {
            return false; /* would have to be encoded: not worth it */
        }
    }
    return size > 0 && size < NATS__SUBJECT_MAX;
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

json_t *nats__filters(marty_port *port, const nats__subscription *subscription,
                      const nats__source *source)
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
    if (channel->retry || channel->bare || channel->native ||
        !nats__version_at_least(port, 2, 10)) {
        return json_array();
    }
    json_t *filters = json_array();
    bool narrow = channel->kind == MARTY_KIND_TOPIC && subscription->pattern_count > 0 &&
                  subscription->pattern_count <= 32;
    for (size_t i = 0; narrow && i < subscription->pattern_count; i++) {
        narrow = pattern_filter(channel, subscription->patterns[i], filter) &&
                 add_filter(filters, filter);
    }
    if (!narrow) {
        json_decref(filters);
        return whole(channel);
    }
    return filters;
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
