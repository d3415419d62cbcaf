/* SPDX-License-Identifier: Apache-2.0
 * Requests of `marty peer` as JSON, with the data of messages kept as it is written: numbers have
 * more digits than a parser's. The text is rewritten before it is parsed, so that each message's
 * data is a string that holds its JSON. */
#include "peer.h"

typedef enum place { OTHER, REQUEST, MESSAGES, MESSAGE, DATA } place;
typedef struct rewriting {
    cli_text *out;
    const char *from, *end; /* what is not copied yet */
} rewriting;

static bool is_one_of(char byte, const char *set)
{
    return byte && strchr(set, byte);
}

static const char *skip_space(const rewriting *self, const char *at)
{
    while (at && at < self->end && is_one_of(*at, " \t\r\n")) {
        at++;
    }
    return at == self->end ? NULL : at;
}

/* Behind the string that begins there; NULL when it does not end. */
static const char *skip_string(const rewriting *self, const char *at)
{
    for (at++; at < self->end && *at != '"'; at++) {
        at += *at == '\\';
    }
    return at < self->end ? at + 1 : NULL;
}

/* Behind the value that begins there. Whether it is JSON is for others to say. */
static const char *skip_value(const rewriting *self, const char *at)
{
    size_t depth = 0;
    while (at && at < self->end) {
        if (*at == '"') {
            at = skip_string(self, at);
        } else if (is_one_of(*at, "{[")) {
            depth++;
            at++;
        } else if (is_one_of(*at, "}]") && depth) {
            depth--;
            at++;
        } else if (depth) {
            at++;
            continue;
        } else { /* a number or a word */
            const char *from = at;
            while (at < self->end && !is_one_of(*at, ",}] \t\r\n")) {
                at++;
            }
            return at > from ? at : NULL;
        }
        if (!depth) {
            return at;
        }
    }
    return NULL;
}

static bool key_is(const char *key, const char *end, const char *word)
{
    json_t *decoded;
    bool is = (size_t)(end - key) == strlen(word) + 2 && memcmp(key + 1, word, strlen(word)) == 0;
    if (is || !memchr(key, '\\', (size_t)(end - key))) {
        return is;
    }
    decoded = json_loadb(key, (size_t)(end - key), JSON_DECODE_ANY, NULL);
    is = decoded && strcmp(json_string_value(decoded), word) == 0;
    json_decref(decoded);
    return is;
}

static place place_of(place in, const char *key, const char *end)
{
    if (in == REQUEST) {
        return key_is(key, end, "message")    ? MESSAGE
               : key_is(key, end, "messages") ? MESSAGES
                                              : OTHER;
    }
    return in == MESSAGE && key_is(key, end, "data") ? DATA : OTHER;
}

static const char *data_rewrite(rewriting *self, const char *at)
{
    const char *end = skip_value(self, at);
    cli_text data = {0};
    if (end && !cli_text_json_value(&data, at, (size_t)(end - at))) {
        end = NULL;
    }
    if (end) {
        cli_text_add(self->out, self->from, (size_t)(at - self->from));
        cli_text_json(self->out, data.data, data.size);
        self->from = end;
    }
    cli_text_free(&data);
    return end;
}

/* Behind the value there; NULL when it is no JSON. */
static const char *walk(rewriting *self, const char *at,
                        place in) /* NOLINT(misc-no-recursion): 3 */
{
    char close;
    at = skip_space(self, at);
    if (!at || in == DATA) {
        return at ? data_rewrite(self, at) : NULL;
    }
    close = *at == '{' && (in == REQUEST || in == MESSAGE) ? '}' : ']';
    if (close == ']' && (in != MESSAGES || *at != '[')) {
        return skip_value(self, at);
    }
    do {
        place inner = MESSAGE;
        at = skip_space(self, at + 1);
        if (!at || *at == close) {
            return at ? at + 1 : NULL;
        }
        if (close == '}') {
            const char *key = at, *end = *at == '"' ? skip_string(self, at) : NULL;
            at = skip_space(self, end);
            if (!at || *at != ':') {
                return NULL;
            }
            at++;
            inner = place_of(in, key, end);
        }
        at = skip_space(self, walk(self, at, inner));
    } while (at && *at == ',');
    return at && *at == close ? at + 1 : NULL;
}

json_t *peer_parse(const char *text, size_t size, bool message, json_error_t *ret_wrong)
{
    cli_text made = {0};
    rewriting self = {&made, text, text + size};
    size_t flags = JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES;
    json_t *request = NULL;
    if (walk(&self, text, message ? MESSAGE : REQUEST)) {
        cli_text_add(&made, self.from, (size_t)(self.end - self.from));
        request = json_loadb(made.data, made.size, flags, ret_wrong);
    }
    if (!request) { /* say where in the text as it came */
        json_decref(json_loadb(text, size, flags, ret_wrong));
    }
    cli_text_free(&made);
    return request;
}
