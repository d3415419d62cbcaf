/* SPDX-License-Identifier: Apache-2.0
 * The subject of one message, its shard, reply addresses, and the way back from a stream's name.
 * Pure but for the last subject that a channel keeps. */
#include "parts.h"

#include <stdio.h>
#include <string.h>

static bool starts_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

/* The name and the type as one: a type that goes on where the name ends is not said twice. */
static marty_err join(const char *name, const char *type, char *out, size_t size, marty_error *why)
{
    const char *rest = starts_with(name, "events.")      ? name + 7
                       : starts_with(name, "broadcast.") ? name + 10
                                                         : NULL;
    size_t rest_size = rest ? strlen(rest) : 0, name_size = strlen(name), type_size = strlen(type);
    bool goes_on = rest && strncmp(type, rest, rest_size) == 0 &&
                   (type[rest_size] == '\0' || type[rest_size] == '.');
    bool ends = name_size > type_size && name[name_size - type_size - 1] == '.' &&
                strcmp(name + name_size - type_size, type) == 0;
    int written = goes_on ? snprintf(out, size, "%.*s%s", (int)(rest - name), name, type)
                  : ends  ? snprintf(out, size, "%s", name)
                          : snprintf(out, size, "%s.%s", name, type);
    if (written < 0 || (size_t)written >= size) {
        return marty_error_set(why, MARTY_E_ARGUMENT,
                               "the type %.64s... is too long for a subject of nats", type);
    }
    return MARTY_OK;
}

/* Below the subject of a stream that has a name of its own. */
static marty_err native_subject(const nats__channel *channel, const char *type, char *out,
                                marty_error *why)
{
    size_t size = strlen(channel->native_subject);
    if (size > 0 && channel->native_subject[size - 1] == '>') {
        memcpy(out, channel->native_subject, size - 1);
        return marty_name_encode(out + size - 1, NATS__SUBJECT_MAX - size, type,
                                 nats__subject_bytes, why);
    }
    memcpy(out, channel->native_subject, size + 1);
    return MARTY_OK;
}

static marty_err make_subject(nats__channel *channel, const char *type, char *out, marty_error *why)
{
    char whole[512], encoded[NATS__SUBJECT_MAX];
    size_t prefix = 0; /* what stands before the name in the channel's subject */
    if (channel->native_subject) {
        return native_subject(channel, type, out, why);
    }
    marty_err err =
        marty_name_encode(encoded, sizeof encoded - 1, channel->name, nats__subject_bytes, why);
    if (err) {
        return err;
    }
    prefix = strlen(channel->subject) - strlen(encoded);
    err = join(channel->name, type, whole, sizeof whole, why);
    if (err) {
        return err;
    }
    memcpy(out, channel->subject, prefix);
    err = marty_name_encode(out + prefix, NATS__SUBJECT_MAX - 1 - prefix, whole,
                            nats__subject_bytes, why);
    size_t size = err ? 0 : strlen(out);
    if (!err && (strstr(out, "..") || out[size - 1] == '.')) {
        return marty_error_set(why, MARTY_E_ARGUMENT,
                               "the type %.200s has an empty word between its dots, which nats "
                               "cannot carry",
                               type);
    }
    return err;
}

marty_err nats__subject_locked(nats__channel *channel, const char *type, uint32_t shard,
                               char ret_subject[NATS__SUBJECT_MAX], marty_error *why)
{
    size_t size = strlen(channel->subject);
    bool sharded = channel->kind == MARTY_KIND_STREAM && !channel->retry && !channel->bare;
    if (sharded || channel->retry || channel->bare || channel->kind == MARTY_KIND_DEAD) {
        memcpy(ret_subject, channel->subject, size + 1);
        if (sharded) {
            ret_subject[size++] = '.';
            ret_subject[size + nats__decimal(ret_subject + size, shard)] = '\0';
        }
        return MARTY_OK;
    }
    if (channel->last_type[0] && strcmp(channel->last_type, type) == 0) {
        memcpy(ret_subject, channel->last_subject, strlen(channel->last_subject) + 1);
        return MARTY_OK;
    }
    marty_err err = make_subject(channel, type, ret_subject, why);
    if (!err && strlen(type) < 256) {
        memcpy(channel->last_type, type, strlen(type) + 1);
        memcpy(channel->last_subject, ret_subject, strlen(ret_subject) + 1);
    }
    return err;
}

uint32_t nats__shard_of(const nats__channel *channel, const marty_message *message)
{
    const char *key = message->key ? message->key : message->id;
    if (channel->shards <= 1) {
        return 0;
    }
    return (nats__murmur2(key, strlen(key)) & 0x7fffffff) % channel->shards;
}

/* The id of a request as one word of a subject. */
static marty_err encode_id(const char *id, char *out, size_t size, marty_error *why)
{
    return marty_name_encode(out, size, id, nats__name_bytes, why);
}

marty_err nats__reply_subject(const marty_port *port, const char *reply_to, const char *id,
                              char ret_subject[NATS__SUBJECT_MAX], marty_error *why)
{
    char name[NATS__SUBJECT_MAX / 2], word[NATS__SUBJECT_MAX / 4];
    marty_err err = marty_name_encode(name, sizeof name - 1, reply_to, nats__name_bytes, why);
    if (!err && id) {
        err = encode_id(id, word, sizeof word - 1, why);
    }
    if (!err) {
        int size = snprintf(ret_subject, NATS__SUBJECT_MAX, "%s.%s%s%s", port->options.inbox, name,
                            id ? "." : "", id ? word : "");
        if (size < 0 || size >= NATS__SUBJECT_MAX) {
            return marty_error_set(why, MARTY_E_ARGUMENT, "the reply address of %.64s is too long",
                                   reply_to);
        }
    }
    return err;
}

bool nats__reply_allowed(const char *subject)
{
    if (!subject || !*subject || *subject == '$' || *subject == '.') {
        return false; /* $JS, $SYS, $KV: a reply must not command the server */
    }
    for (const char *at = subject; *at; at++) {
        if (*at <= ' ' || *at > '~' || *at == '*' || *at == '>') {
            return false;
        }
    }
    return strlen(subject) < NATS__SUBJECT_MAX;
}

bool nats__logical_name(const marty_port *port, const char *stream, char ret_name[256])
{
    char prefix[NATS__NAME_MAX + 1] = "";
    marty_error ignored = {0};
    if (port->options.prefix[0] && marty_name_encode(prefix, NATS__NAME_MAX, port->options.prefix,
                                                     nats__name_bytes, &ignored) != MARTY_OK) {
        return false;
    }
    if (marty_name_decode(ret_name, 255, stream, nats__name_bytes, &ignored) != MARTY_OK) {
        return false;
    }
    size_t size = strlen(port->options.prefix);
    if (strncmp(ret_name, port->options.prefix, size) != 0) {
        return false;
    }
    memmove(ret_name, ret_name + size, strlen(ret_name + size) + 1);
    return true;
}

/* Words at dots: "*" one, ">" one or more at the end. */
bool nats__pattern_match(const char *pattern, const char *name)
{
    while (*pattern && *name) {
        size_t pattern_word = strcspn(pattern, "."), name_word = strcspn(name, ".");
        if (pattern_word == 1 && *pattern == '>') {
            return pattern[1] == '\0';
        }
        bool any = pattern_word == 1 && *pattern == '*';
        if (!any && (pattern_word != name_word || strncmp(pattern, name, name_word) != 0)) {
            return false;
        }
        pattern += pattern_word + (pattern[pattern_word] == '.');
        name += name_word + (name[name_word] == '.');
    }
    return !*pattern && !*name;
}
