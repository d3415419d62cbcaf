/* SPDX-License-Identifier: Apache-2.0
 * Walking the dead letters of a channel: browse page by page, decode, ask what to do, replay or
 * discard. A replayed letter goes to the group that it died in, under its own id, and is removed
 * once it is stored there. */
#include "reliability.h"

#include "backend/capability.h"
#include "base/alloc.h"
#include "base/base64.h"
#include "base/error.h"
#include "base/number.h"
#include "base/time.h"
#include "message/message.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

enum { PAGE = 64, LETTER_MS = 30000 };

typedef struct walk {
    marty_bus *bus;
    marty__port *port;
    const char *dead_channel;
    marty_on_dead each;
    void *user;
    bool stopped;
} walk;

static marty_err browse_op(walk *self, const char *verb, const char *position, marty_start from,
                           marty_message **ret_answer, marty_error *why)
{
    marty_want want = {.channel = {.kind = MARTY_KIND_DEAD, .name = self->dead_channel},
                       .start = from,
                       .credit = PAGE};
    if (position) {
        want.start = (marty_start){.from = MARTY_FROM_POSITION, .position = position};
    }
    return marty__port_topology(self->port, verb, &want,
                                marty__bus_deadline(self->bus, 0, LETTER_MS), ret_answer, why);
}

/* ---- from JSON to a letter */
static marty_err wire_of(json_t *row, marty_header *headers, size_t max, marty_message *wire,
                         void **ret_body)
{
    json_t *list = json_object_get(row, "headers"), *pair;
    const char *data = json_string_value(json_object_get(row, "data"));
    size_t i, size = 0, text_size = data ? strlen(data) : 0;
    void *body = marty_alloc(text_size / 4 * 3 + 4);
    *ret_body = body;
    if (!body) {
        return MARTY_E_NO_MEMORY;
    }
    if (data && !marty__base64_decode(body, &size, data, text_size)) {
        return MARTY_E_MALFORMED;
    }
    *wire = (marty_message){.type = "wire", .data = {body, size}, .headers = headers};
    json_array_foreach(list, i, pair)
    {
        json_t *value = json_array_get(pair, 1);
        if (wire->header_count < max && json_is_string(value)) {
            headers[wire->header_count++] =
                (marty_header){json_string_value(json_array_get(pair, 0)),
                               {json_string_value(value), json_string_length(value)},
                               MARTY_HEADER};
        }
    }
    return MARTY_OK;
}

static const char *take_text(const marty_message *message, const char *name, char *room,
                             size_t size)
{
    marty_bytes value = marty__message_attribute(message, name);
    if (!value.data) {
        return NULL;
    }
    (void)snprintf(room, size, "%.*s", (int)value.size, (const char *)value.data);
    return room;
}

typedef struct texts {
    char cause[256], channel[256], group[256], position[64], to[256], code[64], attempts[16],
        replays[16], time[64], pattern[16];
} texts;

static marty_pattern pattern_of(const char *word)
{
    for (int i = MARTY_EVENT; word && i <= MARTY_BROADCAST; i++) {
        if (strcmp(marty__pattern_word((marty_pattern)i), word) == 0) {
            return (marty_pattern)i;
        }
    }
    return MARTY_EVENT;
}

static void describe(const walk *self, const marty_message *message, const char *position,
                     texts *to, marty_dead_letter *letter)
{
    const char *attempts =
        take_text(message, "martydeadattempts", to->attempts, sizeof to->attempts);
    const char *replays = take_text(message, "martydeadreplays", to->replays, sizeof to->replays);
    const char *time = take_text(message, "martydeadtime", to->time, sizeof to->time);
    *letter = (marty_dead_letter){.dead_channel = self->dead_channel,
                                  .backend = self->port->name,
                                  .position = position,
                                  .message = message};
    letter->channel = take_text(message, "martydeadchannel", to->channel, sizeof to->channel);
    letter->group = take_text(message, "martydeadgroup", to->group, sizeof to->group);
    letter->cause = take_text(message, "martydeadcause", to->cause, sizeof to->cause);
    letter->to = take_text(message, "martydeadto", to->to, sizeof to->to);
    letter->code = marty__err_by_name(
        take_text(message, "martydeadcode", to->code, sizeof to->code), MARTY_E_FAILED);
    letter->pattern =
        pattern_of(take_text(message, "martydeadpattern", to->pattern, sizeof to->pattern));
    letter->attempts = (uint32_t)marty__number_or_0(attempts, UINT32_MAX);
    letter->replays = (uint32_t)marty__number_or_0(replays, UINT32_MAX);
    if (time) {
        (void)marty__time_parse(time, strlen(time), &letter->died_us);
    }
}

/* ---- replay */
static bool is_ours(const char *name)
{
    return strncmp(name, "martydead", 9) == 0 || strcmp(name, "martyattempts") == 0 ||
           strcmp(name, "martyreplays") == 0 || strcmp(name, MARTY__COPY_OF) == 0;
}

/* The message as it was: its own id, without what made it a letter; counts its replays for the
 * guard. */
static marty_err revive(walk *self, const marty_message *instead, const marty_dead_letter *letter,
                        marty_message **ret_message, marty_error *why)
{
    marty_header *headers = marty_alloc_zero(instead->header_count + 2, sizeof *headers);
    char count[16], id[37];
    size_t kept = 0;
    if (!headers) {
        return marty__error_code(why, MARTY_E_NO_MEMORY);
    }
    for (size_t i = 0; i < instead->header_count; i++) {
        if (!is_ours(instead->headers[i].name)) {
            headers[kept++] = instead->headers[i];
        }
    }
    (void)snprintf(count, sizeof count, "%u", letter->replays + 1);
    headers[kept++] = (marty_header){"martyreplays", marty_text(count), MARTY_ATTRIBUTE};
    const char *of = letter->message->id;
    marty__copy_id(id, of, "replay", letter->group, letter->replays + 1);
    headers[kept++] = (marty_header){MARTY__COPY_OF, marty_text(of), MARTY_ATTRIBUTE};
    marty_message copy = *instead;
    copy.id = id;
    copy.headers = headers;
    copy.header_count = kept;
    copy.expires_us = 0;
    marty_err err =
        marty__message_new(ret_message, &copy, NULL, &self->bus->env, self->bus->source, why);
    marty_free(headers);
    return err;
}

static marty_err send_back(walk *self, marty_message *message, const marty_dead_letter *letter,
                           marty_kind kind, marty_error *why)
{
    size_t channel_size = strlen(letter->channel) + 1, group_size = strlen(letter->group) + 1;
    marty__call *call = marty__call_new(self->bus, 1, 1, channel_size + group_size);
    if (!call) {
        return marty__error_code(why, MARTY_E_NO_MEMORY);
    }
    memcpy(call->strings, letter->channel, channel_size);
    memcpy(call->strings + channel_size, letter->group, group_size);
    char order[8], shards[16];
    const char *ordered = take_text(letter->message, "martydeadorder", order, sizeof order);
    const char *count = take_text(letter->message, "martydeadshards", shards, sizeof shards);
    marty__place place;
    marty_channel channel = {
        .name = call->strings,
        .group = call->strings + channel_size,
        .kind = kind,
        .order = ordered && strcmp(ordered, "key") == 0 ? MARTY_ORDER_KEY : MARTY_ORDER_NONE,
        .shards = (uint32_t)marty__number_or_0(count, UINT32_MAX),
        .native = marty__route_find(self->bus->config, letter->channel, &place) && place.native};
    marty__call_go(call, &(marty__way){.port = self->port, .like.channel = channel});
    marty__call_add(call, marty_message_ref(message));
    call->waited = true;
    call->deadline_ns = marty__bus_deadline(self->bus, 0, LETTER_MS);
    marty_err err = marty__call_accept(call, true, why);
    if (!err) {
        marty__call_wait(call);
        err = call->posts[0].err;
        err = err ? marty_error_set(why, err, "%s %s: %s", self->port->name, letter->channel,
                                    call->text)
                  : MARTY_OK;
    }
    marty__call_unref(call);
    return err;
}

static marty_err replay(walk *self, const marty_message *instead, const marty_dead_letter *letter,
                        bool forced, marty_error *why)
{
    char kind_word[16];
    const char *word = take_text(letter->message, "martydeadkind", kind_word, sizeof kind_word);
    marty_kind kind = word ? marty__kind_by_name(word) : (marty_kind)0;
    if (!letter->message || !letter->channel || !letter->group || !kind) {
        return marty_error_set(
            why, MARTY_E_MALFORMED,
            "the letter at %s does not say where it came from; discard it or publish it anew",
            letter->position);
    }
    if (letter->replays >= MARTY__REPLAYS_MAX && !forced) {
        return marty_error_set(
            why, MARTY_E_STATE,
            "the letter at %s was replayed %u times and died each time; use force",
            letter->position, letter->replays);
    }
    marty_message *message = NULL;
    marty_err err = revive(self, instead, letter, &message, why);
    err = err ? err : send_back(self, message, letter, kind, why);
    marty_message_unref(message);
    return err;
}

static marty_err erase(walk *self, const char *position, marty_error *why)
{
    marty_message *answer = NULL;
    marty_err err = browse_op(self, "erase", position, (marty_start){0}, &answer, why);
    marty_message_unref(answer);
    return err == MARTY_E_NOT_FOUND ? MARTY_OK : err; /* somebody else was faster */
}

/* ---- the walk */
/* What no envelope could be read from was stored under this type, as it came. */
static bool was_unreadable(const marty_message *message, const marty_dead_letter *letter)
{
    return letter->code == MARTY_E_MALFORMED && strcmp(message->type, MARTY__UNREADABLE) == 0;
}

static marty_err visit(walk *self, const marty_message *message, marty_bytes raw,
                       const char *position, marty_error *why)
{
    texts with;
    marty_dead_letter letter;
    marty_message instead = {0};
    marty_err err = MARTY_OK;
    describe(self, message, position, &with, &letter);
    letter.raw = raw;
    if (message && was_unreadable(message, &letter)) {
        letter.raw = message->data;
        letter.message = message = NULL;
    }
    if (message) {
        instead = *message;
    }
    marty_dead_verb verb = self->each(self->user, &letter, message ? &instead : NULL);
    switch (verb) {
    case MARTY_DEAD_REPLAY:
    case MARTY_DEAD_REPLAY_FORCED:
        err = replay(self, &instead, &letter, verb == MARTY_DEAD_REPLAY_FORCED, why);
        err = err ? err : erase(self, position, why);
        break;
    case MARTY_DEAD_DISCARD:
        err = erase(self, position, why);
        break;
    case MARTY_DEAD_STOP:
        self->stopped = true;
        break;
    case MARTY_DEAD_LEAVE:
    default:
        break;
    }
    return err;
}

/* Under the id that it had before it became a letter. */
static marty_err original(marty_message **message)
{
    marty_bytes value = marty__message_attribute(*message, "martydeadid");
    if (!value.data) {
        return MARTY_OK;
    }
    char *id = marty_alloc(value.size + 1);
    if (!id) {
        return MARTY_E_NO_MEMORY;
    }
    memcpy(id, value.data, value.size);
    id[value.size] = '\0';
    marty__change change = {.id = id};
    marty_message *copy = NULL;
    marty_err err = marty__message_copy_with(&copy, *message, &change, NULL);
    marty_free(id);
    if (!err) {
        marty_message_unref(*message);
        *message = copy;
    }
    return err;
}

static marty_err visit_row(walk *self, json_t *row, marty_error *why)
{
    marty_header headers[256];
    marty_message wire, *message = NULL;
    void *body = NULL;
    const char *position = json_string_value(json_object_get(row, "position"));
    marty_err err = wire_of(row, headers, sizeof headers / sizeof headers[0], &wire, &body);
    marty_err read = err ? MARTY_OK : marty_message_decode(&message, &wire, "ce-", NULL);
    if (read) {
        message = NULL; /* unreadable: raw has it */
        err = read == MARTY_E_NO_MEMORY ? read : MARTY_OK;
    }
    err = err ? err : original(&message);
    err = err ? marty_error_set(why, err, "%s: a dead letter came garbled", self->port->name)
              : visit(self, message, wire.data, position ? position : "", why);
    marty_message_unref(message);
    marty_free(body);
    return err;
}

static marty_err walk_channel(walk *self, const marty_start *start, marty_error *why)
{
    marty_start from = start ? *start : (marty_start){.from = MARTY_FROM_EARLIEST};
    char next[64] = "";
    marty_err err = MARTY_OK;
    do {
        marty_message *answer = NULL;
        err = browse_op(self, "browse", next[0] ? next : NULL, from, &answer, why);
        if (err) {
            return err;
        }
        json_t *root = json_loadb(answer->data.data, answer->data.size, JSON_ALLOW_NUL, NULL), *row;
        marty_message_unref(answer);
        size_t i;
        const char *more = json_string_value(json_object_get(root, "next"));
        (void)snprintf(next, sizeof next, "%s", more ? more : "");
        json_array_foreach(json_object_get(root, "letters"), i, row)
        {
            err = err || self->stopped ? err : visit_row(self, row, why);
        }
        json_decref(root);
    } while (!err && next[0] && !self->stopped);
    return err;
}

static marty_err walk_all(walk *self, const marty_start *start, marty_error *why)
{
    marty_message *answer = NULL;
    self->dead_channel = NULL;
    marty_err err = browse_op(self, "list", NULL, (marty_start){0}, &answer, why);
    if (err) {
        return err;
    }
    json_t *root = json_loadb(answer->data.data, answer->data.size, 0, NULL), *row;
    marty_message_unref(answer);
    size_t i;
    json_array_foreach(json_object_get(root, "channels"), i, row)
    {
        const char *kind = json_string_value(json_object_get(row, "kind"));
        if (!err && !self->stopped && kind && strcmp(kind, "dead") == 0) {
            self->dead_channel = json_string_value(json_object_get(row, "channel"));
            err = walk_channel(self, start, why);
        }
    }
    json_decref(root);
    return err;
}

static bool is_dead_name(const marty__config *config, const char *channel)
{
    marty__place place;
    return !marty__route_find(config, channel, &place) && place.kind == MARTY_KIND_DEAD;
}

static marty_err walk_port(walk *self, const char *channel, const marty_start *start,
                           marty_error *why)
{
    if (!self->port->backend->topology ||
        !marty__port_can(self->port, MARTY_KIND_DEAD, MARTY_ORDER_NONE, MARTY_CAN_BROWSE)) {
        return marty_error_set(why, MARTY_E_UNSUPPORTED, "%s cannot show its dead letters",
                               self->port->name);
    }
    marty_err down = marty__port_check(self->port, why);
    if (down) {
        return down;
    }
    if (strcmp(channel, "*") == 0) {
        return walk_all(self, start, why);
    }
    char name[MARTY__CHANNEL_ROOM];
    marty_err err = MARTY_OK;
    if (is_dead_name(self->bus->config, channel)) {
        (void)snprintf(name, sizeof name, "%s", channel);
    } else {
        err = marty__dead_channel(self->bus->config, channel, name, why);
    }
    self->dead_channel = name;
    err = err ? err : walk_channel(self, start, why);
    self->dead_channel = NULL;
    return err;
}

marty_err marty_dead_letters(marty_bus *bus, const char *channel, const marty_start *start,
                             marty_on_dead each, void *user, marty_error *why)
{
    marty_err err = marty__bus_enter(bus, MARTY__FLUSHING, why);
    if (err) {
        return err;
    }
    if (!channel || !*channel || !each) {
        return marty_error_set(why, MARTY_E_ARGUMENT, "%s",
                               each ? "channel is empty; expected a name or \"*\""
                                    : "each is NULL");
    }
    bool found = strcmp(channel, "*") == 0;
    marty_err last = MARTY_E_NOT_FOUND;
    walk self = {.bus = bus, .each = each, .user = user};
    for (size_t i = 0; i < bus->port_count && !self.stopped; i++) {
        self.port = &bus->ports[i];
        err = walk_port(&self, channel, start, why);
        found = found || !err;
        if (err && err != MARTY_E_NOT_FOUND &&
            (err != MARTY_E_UNSUPPORTED || bus->port_count == 1)) {
            return err;
        }
        last = err ? err : last;
    }
    return found ? MARTY_OK
                 : marty_error_set(why, last, "no dead letters of channel %s on any backend",
                                   channel);
}
