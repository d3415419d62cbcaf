/* SPDX-License-Identifier: Apache-2.0
 * What all requests of `marty peer` share: lines out, tables of names, and fields of a request. */
#include "peer.h"

#include <ctype.h>
#include <marty/adapter.h>
#include <stdlib.h>

void peer_line(peer *self, const cli_text *line)
{
    (void)pthread_mutex_lock(&self->out);
    if (fwrite(line->data, 1, line->size, stdout) != line->size || fputc('\n', stdout) == EOF ||
        fflush(stdout) != 0) {
        self->cli->out.broken = true; /* nobody reads: stdin will end, too */
    }
    (void)pthread_mutex_unlock(&self->out);
}

void peer_ok(peer *self, const char *id, const char *extra)
{
    cli_text line = {0};
    cli_text_format(&line, "{\"id\":%s,\"ok\":true%s}", id, extra);
    peer_line(self, &line);
    cli_text_free(&line);
}

static const char *class_word(marty_class error_class)
{
    return error_class == MARTY_CLASS_CALLER  ? "caller"
           : error_class == MARTY_CLASS_RETRY ? "retry"
           : error_class == MARTY_CLASS_FATAL ? "fatal"
                                              : "none";
}

void peer_error_json(cli_text *text, marty_err err, const marty_error *why)
{
    const marty_err_info *info = marty_err_describe(err);
    bool told = why && why->code == err;
    const char *said = told && why->text[0] ? why->text : info->text;
    cli_text_format(text, "\"error\":{\"code\":\"%s\",\"class\":\"%s\",\"text\":", info->name,
                    class_word(told ? why->error_class : info->error_class));
    cli_text_json(text, said, strlen(said));
    if (told && why->remote[0]) {
        cli_text_put(text, ",\"remote\":");
        cli_text_json(text, why->remote, strlen(why->remote));
    }
    if (told && why->retry_after_ms) {
        cli_text_format(text, ",\"retry_after_ms\":%u", why->retry_after_ms);
    }
    cli_text_put(text, "}");
}

void peer_failed(peer *self, const char *id, marty_err err, const marty_error *why,
                 const char *extra)
{
    cli_text line = {0};
    cli_text_format(&line, "{\"id\":%s,\"ok\":false,", id);
    peer_error_json(&line, err, why);
    cli_text_format(&line, "%s}", extra);
    peer_line(self, &line);
    cli_text_free(&line);
}

uint64_t peer_add(peer *self, peer_table *table, peer_item *item)
{
    uint64_t number;
    (void)pthread_mutex_lock(&self->tables);
    number = item->number = ++table->last;
    item->next = table->cells[item->number % PEER_CELLS];
    table->cells[item->number % PEER_CELLS] = item;
    (void)pthread_mutex_unlock(&self->tables);
    return number;
}

/* 0 = there is none of this name. */
static uint64_t number_of(const peer_table *table, const json_t *name)
{
    const char *text = json_string_value(name);
    char *end = NULL;
    if (!text) {
        return (uint64_t)json_integer_value(name);
    }
    bool named = text[0] == table->letter && isdigit((unsigned char)text[1]);
    uint64_t number = named ? strtoull(text + 1, &end, 10) : 0; /* too large a one is never given */
    return named && !*end ? number : 0;
}

peer_item *peer_get(peer *self, peer_table *table, const json_t *name, bool take)
{
    uint64_t number = number_of(table, name);
    peer_item **at, *found;
    (void)pthread_mutex_lock(&self->tables);
    at = &table->cells[number % PEER_CELLS];
    while (*at && (*at)->number != number) {
        at = &(*at)->next;
    }
    found = *at;
    if (found && take) {
        *at = found->next;
    }
    (void)pthread_mutex_unlock(&self->tables);
    return found;
}

peer_item *peer_take_any(peer *self, peer_table *table,
                         bool (*fits)(const peer_item *, const void *), const void *with)
{
    peer_item *found = NULL;
    size_t i;
    (void)pthread_mutex_lock(&self->tables);
    for (i = 0; i < PEER_CELLS && !found; i++) {
        peer_item **at = &table->cells[i];
        while (*at && !fits(*at, with)) {
            at = &(*at)->next;
        }
        found = *at;
        if (found) {
            *at = found->next;
        }
    }
    (void)pthread_mutex_unlock(&self->tables);
    return found;
}

const char *peer_text(const peer *self, const char *key)
{
    return json_string_value(json_object_get(self->request, key));
}

int64_t peer_number(const peer *self, const char *key, int64_t without)
{
    const json_t *value = json_object_get(self->request, key);
    return json_is_integer(value) ? json_integer_value(value) : without;
}

uint32_t peer_small(const peer *self, const char *key)
{
    int64_t number = peer_number(self, key, 0);
    return number < 0 ? 0 : number > UINT32_MAX ? UINT32_MAX : (uint32_t)number;
}

int32_t peer_ms(const peer *self, const char *key)
{
    int64_t ms = peer_number(self, key, 0);
    return ms < -1 ? -1 : ms > INT32_MAX ? INT32_MAX : (int32_t)ms;
}

bool peer_true(const peer *self, const char *key)
{
    return json_is_true(json_object_get(self->request, key));
}

marty_err peer_bus_of(peer *self, peer_bus **ret_bus, marty_error *why)
{
    const json_t *name = json_object_get(self->request, "bus");
    uint64_t number;
    peer_item *found = NULL;
    if (name) {
        found = peer_get(self, &self->buses, name, false);
    } else { /* the newest that is open */
        for (number = self->buses.last; number && !found; number--) {
            json_t *counted = json_integer((json_int_t)number);
            found = peer_get(self, &self->buses, counted, false);
            json_decref(counted);
        }
    }
    if (!found) {
        return marty_error_set(why, MARTY_E_ARGUMENT,
                               name ? "bus: there is none of this name"
                                    : "no bus is open: open one first");
    }
    *ret_bus = (peer_bus *)(void *)found;
    return MARTY_OK;
}

marty_err peer_subscription_of(peer *self, peer_subscription **ret_subscription, marty_error *why)
{
    const json_t *name = json_object_get(self->request, "subscription");
    peer_item *found = name ? peer_get(self, &self->subscriptions, name, false) : NULL;
    if (!found) {
        return marty_error_set(why, MARTY_E_ARGUMENT, "subscription: %s",
                               name ? "there is none of this name" : "it is missing");
    }
    *ret_subscription = (peer_subscription *)(void *)found;
    return MARTY_OK;
}

marty_err peer_pattern_of(const peer *self, marty_pattern without, marty_pattern *ret_pattern,
                          marty_error *why)
{
    const json_t *given = json_object_get(self->request, "pattern");
    const char *word = json_string_value(given);
    marty_pattern pattern;
    if (!given) {
        *ret_pattern = without;
        return MARTY_OK;
    }
    for (pattern = MARTY_EVENT; word && pattern <= MARTY_BROADCAST; pattern++) {
        if (strcmp(word, cli_pattern_name(pattern)) == 0) {
            *ret_pattern = pattern;
            return MARTY_OK;
        }
    }
    return marty_error_set(why, MARTY_E_ARGUMENT,
                           "pattern: one of event, command, query, stream, broadcast was expected");
}

marty_err peer_start_of(const json_t *object, marty_start *ret_start, marty_error *why)
{
    const char *from = json_string_value(json_object_get(object, "from"));
    const char *position = json_string_value(json_object_get(object, "position"));
    if (from && !cli_from_parse(ret_start, from)) {
        return marty_error_set(why, MARTY_E_ARGUMENT,
                               "from: one of earliest, now, a time ago such as 5m, or a time such "
                               "as @2026-11-01 was expected");
    }
    if (position) {
        ret_start->from = MARTY_FROM_POSITION;
        ret_start->position = position;
    }
    return MARTY_OK;
}

const void *peer_cancel_key(peer *self, const char *name)
{
    peer_key *key;
    if (!name) {
        return NULL;
    }
    for (key = self->keys; key; key = key->next) {
        if (strcmp(key->name, name) == 0) {
            return key;
        }
    }
    key = cli_alloc(sizeof *key);
    key->name = cli_strdup(name);
    key->next = self->keys;
    self->keys = key;
    return key;
}
