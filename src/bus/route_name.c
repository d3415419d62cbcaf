/* SPDX-License-Identifier: Apache-2.0
 * The names that programs give (types, services, streams, groups): what is allowed, and how one
 * becomes a segment of a channel's name; and the words that begin channels. Pure functions. */
#include "route.h"

#include "base/limits.h"
#include "base/utf8.h"
#include "match.h"

#include <stdio.h>
#include <string.h>

typedef struct pattern_row {
    const char *word, *first, *template_; /* first: reserved first segment of its channels */
} pattern_row;
static const pattern_row rows[] = {
    [MARTY_EVENT] = {"event", "events", "events.{domain}"},
    [MARTY_COMMAND] = {"command", "commands", "commands.{service}"},
    [MARTY_QUERY] = {"query", "queries", "queries.{service}"},
    [MARTY_STREAM] = {"stream", "streams", "streams.{name}"},
    [MARTY_BROADCAST] = {"broadcast", "broadcast", "broadcast.{domain}"},
};

const char *marty__pattern_word(marty_pattern pattern)
{
    return rows[pattern].word;
}

const char *marty__route_template(marty_pattern pattern)
{
    return rows[pattern].template_;
}

const char *marty__name_reserved(const char *channel, marty_pattern pattern)
{
    static const char *const words[] = {"events",   "commands", "queries",  "streams",
                                        "replies",  "dead",     "retry",    "delay",
                                        "schedule", "marty",    "broadcast"};
    size_t size = strcspn(channel, ".");
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strlen(words[i]) == size && memcmp(words[i], channel, size) == 0) {
            bool own = pattern && strcmp(rows[pattern].first, words[i]) == 0;
            return own ? NULL : words[i];
        }
    }
    return NULL;
}

static marty_err check_name(const char *what, const char *name, marty_error *why)
{
    size_t size = name ? strlen(name) : 0;
    if (size == 0) {
        return marty_error_set(why, MARTY_E_ARGUMENT, "the %s is %s; it must have 1 to %d bytes",
                               what, name ? "empty" : "NULL", MARTY__NAME_BYTES_MAX);
    }
    if (size > MARTY__NAME_BYTES_MAX) {
        return marty_error_set(why, MARTY_E_ARGUMENT,
                               "the %s \"%.60s...\" has %zu bytes; the limit is %d", what, name,
                               size, MARTY__NAME_BYTES_MAX);
    }
    if (!marty__utf8_valid(name, size)) {
        return marty_error_set(why, MARTY_E_ARGUMENT, "the %s is not UTF-8; it must be", what);
    }
    for (size_t i = 0; i < size; i++) {
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f) {
            return marty_error_set(why, MARTY_E_ARGUMENT,
                                   "the %s must not contain control characters; byte %zu is 0x%02x",
                                   what, i, (unsigned)name[i]);
        }
        if (name[i] == '*' || name[i] == '>') {
            return marty_error_set(why, MARTY_E_ARGUMENT,
                                   "the %s \"%s\" contains \"%c\", which stands for other names in "
                                   "a subscription; here it must be one name",
                                   what, name, name[i]);
        }
    }
    return MARTY_OK;
}

marty_err marty__type_check(const char *type, marty_error *why)
{
    marty_err err = check_name("type", type, why);
    if (err) {
        return err;
    }
    size_t count = 1;
    for (const char *at = type; *at; at++) {
        bool edge = at == type || at[1] == '\0' || at[1] == '.';
        if (*at == '.' && edge) {
            return marty_error_set(why, MARTY_E_ARGUMENT,
                                   "the type \"%s\" has an empty segment; between dots there must "
                                   "be a word, as in \"order.created\"",
                                   type);
        }
        count += *at == '.';
    }
    if (count > MARTY__SEGMENTS_MAX) {
        return marty_error_set(why, MARTY_E_ARGUMENT,
                               "the type \"%.60s...\" has %zu segments; the limit is %d", type,
                               count, MARTY__SEGMENTS_MAX);
    }
    return MARTY_OK;
}

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

/* Whether this "_" would read as the begin of an escape in what is written. */
static bool looks_escaped(const char *at)
{
    return at[0] == '_' && at[1] == 'x' && is_hex(at[2]) && is_hex(at[3]) &&
           (at[4] == '_' || at[4] == '.');
}

marty_err marty__name_segment(char ret[MARTY__CHANNEL_ROOM], const char *what, const char *name,
                              marty_error *why)
{
    marty_err err = check_name(what, name, why);
    if (err) {
        return err;
    }
    size_t size = 0;
    for (const char *at = name; *at; at++) {
        bool escape = *at == '.' || looks_escaped(at);
        size_t needed = escape ? 5 : 1;
        if (size + needed >= MARTY__CHANNEL_ROOM) {
            return marty_error_set(why, MARTY_E_ARGUMENT,
                                   "the %s \"%.60s...\" is over %d bytes once its dots are encoded "
                                   "as \"_x2e_\"; take a shorter one",
                                   what, name, MARTY__CHANNEL_ROOM - 1);
        }
        if (escape) {
            (void)snprintf(ret + size, 6, "_x%02x_", (unsigned)(unsigned char)*at);
        } else {
            ret[size] = *at;
        }
        size += needed;
    }
    ret[size] = '\0';
    return MARTY_OK;
}
