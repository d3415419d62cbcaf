/* SPDX-License-Identifier: Apache-2.0
 * The verbs of topology that make, check and remove. They run on the caller's thread, beside the
 * ops, and wait for the server. */
#include "parts.h"

#include "thread.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE_ITEMS_MAX = 100000, LOOK_AGAIN_NS = 100000000 };

const char *nats__kind_word(marty_kind kind)
{
    static const char *const words[] = {"",       "topic",     "queue", "request",
                                        "stream", "broadcast", "reply", "dead"};
    return words[kind];
}

marty_err nats__pages(marty_port *port, const char *call, const char *key, json_t **ret_all,
                      marty_error *why)
{
    json_t *all = json_array();
    marty_err err = MARTY_OK;
    bool more = true;
    while (!err && more && json_array_size(all) < PAGE_ITEMS_MAX) {
        json_t *answer = NULL, *body = json_pack("{s:i}", "offset", (int)json_array_size(all));
        err = nats__api(port, call, body, nats__api_deadline(port), &answer, NULL, why);
        json_t *page = json_object_get(answer, key);
        json_int_t total = json_integer_value(json_object_get(answer, "total"));
        size_t size = json_array_size(page);
        (void)json_array_extend(all, page);
        more = size > 0 && (json_int_t)json_array_size(all) < total;
        json_decref(answer);
        json_decref(body);
    }
    if (err) {
        json_decref(all);
        return err;
    }
    *ret_all = all;
    return MARTY_OK;
}

size_t nats__group_size(const char *consumer, uint32_t shards)
{
    const char *dash = shards > 0 ? strrchr(consumer, '-') : NULL;
    const char *at = dash ? dash + 1 : "";
    bool shard = *at && nats__number(&at) < shards && !*at;
    return shard ? (size_t)(dash - consumer) : strlen(consumer);
}

bool nats__group_of(const char *consumer, uint32_t shards, char ret_group[256])
{
    char name[NATS__NAME_MAX + 1];
    marty_error ignored = {0};
    size_t size = nats__group_size(consumer, shards);
    size = size < NATS__NAME_MAX ? size : NATS__NAME_MAX;
    memcpy(name, consumer, size);
    name[size] = '\0';
    return marty_name_decode(ret_group, 255, name, nats__name_bytes, &ignored) == MARTY_OK;
}

uint32_t nats__shards_of(const nats__channel *channel)
{
    return channel->kind == MARTY_KIND_STREAM ? channel->shards : 0;
}

/* ---- ensure, check */

static marty_err channel_get(marty_port *port, const marty_want *what, bool retry,
                             nats__channel **ret_channel, marty_error *why)
{
    marty_channel wanted = what->channel;
    wanted.group = retry ? what->channel.group : NULL;
    pthread_mutex_lock(&port->lock);
    marty_err err = nats__channel_get_locked(port, ret_channel, &wanted, why);
    pthread_mutex_unlock(&port->lock);
    return err;
}

static marty_err ensure_consumer(marty_port *port, nats__subscription *subscription,
                                 nats__channel *channel, int shard, nats__topology mode,
                                 nats__report *report, marty_error *why)
{
    nats__source *source = NULL;
    marty_err err = nats__source_new(port, subscription, channel, shard, &source, why);
    err = err ? err : nats__consumer_ensure(port, subscription, source, mode, false, report, why);
    nats__source_free(source);
    return err;
}

/* A subscription that only names what its consumers would filter by. */
static marty_err ensure_group(marty_port *port, const marty_want *what, nats__channel *channel,
                              nats__topology mode, nats__report *report, marty_error *why)
{
    nats__subscription *subscription = nats__subscription_new(port, 0, what);
    nats__channel *retry = NULL;
    marty_kind kind = what->channel.kind;
    marty_err err =
        subscription ? MARTY_OK : marty_error_set(why, MARTY_E_NO_MEMORY, "nats: no memory");
    if (!err && kind != MARTY_KIND_QUEUE) {
        err = channel_get(port, what, true, &retry, why);
        err = err ? err : nats__stream_ensure(port, retry, mode, report, why);
        err = err ? err : ensure_consumer(port, subscription, retry, -1, mode, report, why);
    }
    bool shared = subscription && nats__is_shared(subscription, channel);
    bool sharded = shared && kind == MARTY_KIND_STREAM;
    for (uint32_t i = 0; !err && i < (sharded ? channel->shards : 1); i++) {
        err =
            ensure_consumer(port, subscription, channel, sharded ? (int)i : -1, mode, report, why);
    }
    if (!err && shared && mode == NATS__CREATE) {
        err = nats__bucket_ensure(port, why);
    }
    nats__subscription_free(subscription);
    return err;
}

static marty_err ensure(marty_port *port, const marty_want *what, nats__topology mode,
                        json_t **ret_answer, marty_error *why)
{
    nats__report report = {.created = false};
    nats__channel *channel = NULL;
    json_t *differences = json_array();
    marty_err err = channel_get(port, what, false, &channel, why);
    err = err ? err : nats__stream_ensure(port, channel, mode, &report, why);
    bool grouped = what->channel.kind == MARTY_KIND_QUEUE ||
                   (what->channel.group && (what->channel.kind == MARTY_KIND_TOPIC ||
                                            what->channel.kind == MARTY_KIND_STREAM));
    if (!err && grouped && !channel->core) {
        err = ensure_group(port, what, channel, mode, &report, why);
    }
    for (size_t i = 0; i < report.count; i++) {
        const nats__difference *at = &report.differences[i];
        (void)json_array_append_new(differences,
                                    json_pack("{s:s, s:s, s:s}", "field", at->field, "wanted",
                                              at->wanted, "found", at->found));
    }
    *ret_answer = json_pack("{s:s, s:s, s:b, s:o}", "channel", what->channel.name, "kind",
                            nats__kind_word(what->channel.kind), "created", (int)report.created,
                            "differences", differences);
    return err;
}

/* ---- remove */

static marty_err remove_stream(marty_port *port, const char *stream, json_t *removed,
                               marty_error *why)
{
    char call[NATS__NAME_MAX + 32];
    (void)snprintf(call, sizeof call, "STREAM.DELETE.%s", stream);
    marty_err err = nats__api(port, call, NULL, nats__api_deadline(port), NULL, NULL, why);
    if (!err) {
        (void)json_array_append_new(removed, json_string(stream));
    }
    return err;
}

/* Consumers of the group (or all) that somebody pulls from now: 0 or the number. */
static marty_err count_live(marty_port *port, const nats__channel *channel, const char *group,
                            json_t *consumers, marty_error *why)
{
    size_t index;
    json_t *one;
    json_array_foreach(consumers, index, one)
    {
        char name[256];
        const char *consumer = json_string_value(json_object_get(one, "name"));
        bool matches = consumer && nats__group_of(consumer, nats__shards_of(channel), name) &&
                       (!group || strcmp(name, group) == 0);
        if (matches && json_integer_value(json_object_get(one, "num_waiting")) > 0) {
            return marty_error_set(why, MARTY_E_STATE,
                                   "channel %s: group %s has live members; stop them, or force it",
                                   channel->name, name);
        }
    }
    (void)port;
    return MARTY_OK;
}

/* The consumers of a channel, unless the group has live members. One that pulls is between two
 * pulls now and then: only who is not there three times is gone. */
static marty_err list_unused(marty_port *port, const nats__channel *channel, const char *group,
                             bool force, json_t **ret_consumers, marty_error *why)
{
    char call[NATS__NAME_MAX + 32];
    marty_err err = MARTY_OK;
    (void)snprintf(call, sizeof call, "CONSUMER.LIST.%s", channel->stream);
    for (int look = 0; look < (force ? 1 : 3) && !err; look++) {
        if (look > 0) {
            nats__pause(port, LOOK_AGAIN_NS);
        }
        json_decref(*ret_consumers);
        *ret_consumers = NULL;
        err = nats__pages(port, call, "consumers", ret_consumers, why);
        if (!err && !force) {
            err = count_live(port, channel, group, *ret_consumers, why);
        }
    }
    return err;
}

static marty_err remove_consumers(marty_port *port, const nats__channel *channel, const char *group,
                                  json_t *consumers, json_t *removed, marty_error *why)
{
    char wanted[NATS__NAME_MAX + 1];
    size_t index;
    json_t *one;
    marty_err err = nats__consumer_name(wanted, channel, group, -1, why);
    json_array_foreach(consumers, index, one)
    {
        const char *consumer = json_string_value(json_object_get(one, "name"));
        size_t size = consumer ? nats__group_size(consumer, nats__shards_of(channel)) : 0;
        bool matches =
            !err && size > 0 && size == strlen(wanted) && strncmp(consumer, wanted, size) == 0;
        if (matches) {
            err = nats__consumer_remove(port, channel->stream, consumer, why);
            (void)json_array_append_new(removed, json_string(consumer));
        }
    }
    return err;
}

/* The retry places of all groups of a channel. */
static marty_err remove_retries(marty_port *port, const nats__channel *channel, json_t *removed,
                                marty_error *why)
{
    char prefix[NATS__NAME_MAX + 8], retry[512];
    json_t *names = NULL, *one;
    size_t index;
    (void)snprintf(retry, sizeof retry, "%sretry.%s.", port->options.prefix, channel->name);
    marty_err err = marty_name_encode(prefix, NATS__NAME_MAX, retry, nats__name_bytes, why);
    err = err ? err : nats__pages(port, "STREAM.NAMES", "streams", &names, why);
    json_array_foreach(names, index, one)
    {
        const char *stream = json_string_value(one);
        if (!err && stream && strncmp(stream, prefix, strlen(prefix)) == 0) {
            err = remove_stream(port, stream, removed, why);
        }
    }
    json_decref(names);
    return err;
}

static void forget(marty_port *port, nats__channel *channel)
{
    pthread_mutex_lock(&port->lock);
    channel->ready = channel->core ? NATS__READY : NATS__UNKNOWN;
    pthread_mutex_unlock(&port->lock);
}

static marty_err remove_channel(marty_port *port, const marty_want *what, nats__channel *channel,
                                json_t *removed, marty_error *why)
{
    json_t *consumers = NULL;
    const char *group = what->channel.group;
    nats__channel *retry = NULL;
    marty_err err = list_unused(port, channel, group, what->reset, &consumers, why);
    if (!err && !group) {
        err = remove_stream(port, channel->stream, removed, why);
        err = err ? err : remove_retries(port, channel, removed, why);
        forget(port, channel);
    } else if (!err) {
        err = remove_consumers(port, channel, group, consumers, removed, why);
        err = err ? err : channel_get(port, what, true, &retry, why);
        if (!err && retry->retry) {
            err = remove_stream(port, retry->stream, removed, why);
            err = err == MARTY_E_NOT_FOUND ? MARTY_OK : err;
            forget(port, retry);
        }
        if (!err && json_array_size(removed) == 0) {
            err = marty_error_set(why, MARTY_E_NOT_FOUND, "channel %s: there is no group %s",
                                  channel->name, group);
        }
    }
    json_decref(consumers);
    return err;
}

static marty_err remove_op(marty_port *port, const marty_want *what, json_t **ret_answer,
                           marty_error *why)
{
    nats__channel *channel = NULL;
    json_t *removed = json_array();
    marty_err err = channel_get(port, what, false, &channel, why);
    if (!err && !channel->core) {
        err = remove_channel(port, what, channel, removed, why);
    }
    *ret_answer = json_pack("{s:o}", "removed", removed);
    return err;
}

/* ---- the op */

static marty_err answer_of(json_t *answer, marty_message **ret_answer, marty_error *why)
{
    char *text = answer ? json_dumps(answer, JSON_COMPACT) : NULL;
    if (!text) {
        return marty_error_set(why, MARTY_E_NO_MEMORY, "nats: no memory for the answer");
    }
    marty_message template_ = {.type = "marty.topology", .data = marty_text(text)};
    marty_err err = marty_message_new(ret_answer, &template_, NULL, why);
    free(text);
    return err;
}

static marty_err run(marty_port *port, const char *verb, const marty_want *what,
                     json_t **ret_answer, marty_error *why)
{
    bool named = what && what->channel.name && what->channel.name[0];
    if (strcmp(verb, "inspect") == 0 && !named) {
        return nats__inspect_server(port, ret_answer, why);
    }
    if (strcmp(verb, "list") == 0) {
        return nats__list(port, ret_answer, why);
    }
    if (!named) {
        return marty_error_set(why, MARTY_E_ARGUMENT, "%s needs the name of a channel", verb);
    }
    if (strcmp(verb, "ensure") == 0 || strcmp(verb, "check") == 0) {
        return ensure(port, what, verb[0] == 'e' ? NATS__CREATE : NATS__CHECK, ret_answer, why);
    }
    if (strcmp(verb, "inspect") == 0) {
        return nats__inspect(port, what, ret_answer, why);
    }
    if (strcmp(verb, "remove") == 0) {
        return remove_op(port, what, ret_answer, why);
    }
    if (strcmp(verb, "browse") == 0) {
        return nats__browse(port, what, ret_answer, why);
    }
    if (strcmp(verb, "erase") == 0) {
        return nats__erase(port, what, ret_answer, why);
    }
    return marty_error_set(why, MARTY_E_UNSUPPORTED, "nats knows no topology verb %s", verb);
}

marty_err nats__topology_op(marty_port *port, const char *verb, const marty_want *what,
                            int64_t deadline_ns, marty_message **ret_answer, marty_error *why)
{
    json_t *answer = NULL;
    pthread_mutex_lock(&port->lock);
    bool up = port->life == NATS__UP;
    pthread_mutex_unlock(&port->lock);
    if (!up) {
        return marty_error_set(why, MARTY_E_UNAVAILABLE, "nats: not connected");
    }
    if (deadline_ns > 0 && nats__now_ns(port) >= deadline_ns) {
        return marty_error_set(why, MARTY_E_TIMEOUT, "nats: %s was not begun in time", verb);
    }
    marty_err err = run(port, verb, what, &answer, why);
    err = err ? err : answer_of(answer, ret_answer, why);
    json_decref(answer);
    return err;
}
