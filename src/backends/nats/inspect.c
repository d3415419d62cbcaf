/* SPDX-License-Identifier: Apache-2.0
 * Looking at what lies at the server: a channel with its groups, all channels, the server itself.
 * Blocking; the caller's thread. */
#include "parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int64_t nats__parse_time(const char *text)
{
    struct tm parts = {0};
    const char *at = text ? strptime(text, "%Y-%m-%dT%H:%M:%S", &parts) : NULL;
    int64_t fraction = 0, scale = 100000;
    if (!at || parts.tm_year < 0) {
        return 0;
    }
    if (*at == '.') {
        for (at++; *at >= '0' && *at <= '9'; at++, scale /= 10) {
            fraction += (*at - '0') * scale;
        }
    }
    int64_t us = (int64_t)timegm(&parts) * 1000000 + fraction;
    return us > 0 ? us : 0;
}

static json_int_t number(json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

static const char *level_word(json_t *config)
{
    const char *storage = json_string_value(json_object_get(config, "storage"));
    if (storage && strcmp(storage, "memory") == 0) {
        return "memory";
    }
    return number(config, "num_replicas") >= 3 ? "replicated" : "written";
}

/* ---- a channel */

marty_err nats__inspect(marty_port *port, const marty_want *what, json_t **ret_answer,
                        marty_error *why)
{
    nats__channel *channel = NULL;
    marty_channel wanted = what->channel;
    json_t *info = NULL, *groups = NULL;
    wanted.group = NULL;
    pthread_mutex_lock(&port->lock);
    marty_err err = nats__channel_get_locked(port, &channel, &wanted, why);
    pthread_mutex_unlock(&port->lock);
    if (!err && channel->core) {
        *ret_answer =
            json_pack("{s:s, s:s, s:i, s:i, s:i, s:i, s:s, s:[]}", "channel", channel->name, "kind",
                      nats__kind_word(channel->kind), "messages", 0, "bytes", 0, "first_us", 0,
                      "last_us", 0, "level", "memory", "groups");
        return MARTY_OK;
    }
    err = err ? err : nats__stream_info(port, channel->stream, &info, why);
    err = err ? err : nats__groups(port, what, channel, &groups, why);
    json_t *state = json_object_get(info, "state");
    if (!err) {
        const char *first = json_string_value(json_object_get(state, "first_ts"));
        const char *last = json_string_value(json_object_get(state, "last_ts"));
        bool empty = number(state, "messages") == 0;
        *ret_answer = json_pack(
            "{s:s, s:s, s:I, s:I, s:I, s:I, s:s, s:O}", "channel", channel->name, "kind",
            nats__kind_word(channel->kind), "messages", number(state, "messages"), "bytes",
            number(state, "bytes"), "first_us", (json_int_t)(empty ? 0 : nats__parse_time(first)),
            "last_us", (json_int_t)(empty ? 0 : nats__parse_time(last)), "level",
            level_word(json_object_get(info, "config")), "groups", groups);
    }
    json_decref(groups);
    json_decref(info);
    return err;
}

/* ---- all channels */

static const char *kind_of(const char *name)
{
    static const char *const words[][2] = {
        {"events.", "topic"}, {"commands.", "queue"}, {"streams.", "stream"}, {"dead.", "dead"}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strncmp(name, words[i][0], strlen(words[i][0])) == 0) {
            return words[i][1];
        }
    }
    return "topic";
}

static json_t *groups_of(marty_port *port, const char *stream, uint32_t shards)
{
    char call[NATS__NAME_MAX + 32], name[256];
    json_t *names = NULL, *one, *seen = json_object(), *list = json_array();
    size_t index;
    marty_error ignored = {0};
    (void)snprintf(call, sizeof call, "CONSUMER.LIST.%s", stream);
    if (nats__pages(port, call, "consumers", &names, &ignored) == MARTY_OK) {
        json_array_foreach(names, index, one)
        {
            const char *consumer = json_string_value(json_object_get(one, "name"));
            bool durable = json_object_get(json_object_get(one, "config"), "durable_name") != NULL;
            if (consumer && durable && nats__group_of(consumer, shards, name) &&
                !json_object_get(seen, name)) {
                (void)json_object_set_new(seen, name, json_true());
                (void)json_array_append_new(list, json_string(name));
            }
        }
    }
    json_decref(seen);
    json_decref(names);
    return list;
}

marty_err nats__list(marty_port *port, json_t **ret_answer, marty_error *why)
{
    json_t *streams = NULL, *one, *channels = json_array();
    size_t index;
    marty_err err = nats__pages(port, "STREAM.LIST", "streams", &streams, why);
    json_array_foreach(streams, index, one)
    {
        char name[256];
        json_t *config = json_object_get(one, "config"), *state = json_object_get(one, "state");
        const char *stream = json_string_value(json_object_get(config, "name"));
        const char *description = json_string_value(json_object_get(config, "description"));
        bool ours = description && strncmp(description, "marty: ", 7) == 0 && stream &&
                    nats__logical_name(port, stream, name) && strncmp(name, "retry.", 6) != 0;
        if (ours) {
            const char *at = description + 7; /* "marty: 12 shards" */
            uint32_t shards = strcmp(kind_of(name), "stream") ? 0 : (uint32_t)nats__number(&at);
            (void)json_array_append_new(channels, json_pack("{s:s, s:s, s:I, s:I, s:o}", "channel",
                                                            name, "kind", kind_of(name), "messages",
                                                            number(state, "messages"), "bytes",
                                                            number(state, "bytes"), "groups",
                                                            groups_of(port, stream, shards)));
        }
    }
    json_decref(streams);
    *ret_answer = json_pack("{s:o}", "channels", channels);
    return err;
}

/* ---- the server */

static void unsafe(json_t *list, const char *what, const char *mend)
{
    (void)json_array_append_new(list, json_pack("{s:s, s:s}", "what", what, "mend", mend));
}

static bool is_local(const char *server)
{
    return strncmp(server, "127.", 4) == 0 || strncmp(server, "localhost:", 10) == 0 ||
           strncmp(server, "::1", 3) == 0;
}

marty_err nats__inspect_server(marty_port *port, json_t **ret_answer, marty_error *why)
{
    const nats__options *options = &port->options;
    marty_capabilities granted;
    json_t *list = json_array();
    char server[256], version[32];
    static const char *const levels[] = {"any", "memory", "written", "synced", "replicated"};
    (void)why;
    pthread_mutex_lock(&port->lock);
    nats__grants(port, &granted);
    (void)snprintf(server, sizeof server, "%s", port->server);
    (void)snprintf(version, sizeof version, "%s", port->version);
    bool jetstream = port->jetstream;
    pthread_mutex_unlock(&port->lock);
    if (!jetstream) {
        unsafe(list, "JetStream is off: nothing is kept", "start the server with: nats-server -js");
    } else if (options->memory) {
        unsafe(list, "storage=memory: a restart of the server loses all",
               "leave storage= out: streams then lie in files");
    } else if (options->replicas < 3) {
        unsafe(list, "one copy of each message: a lost disk loses them",
               "run three servers and set replicas=3");
    }
    if (jetstream && !options->memory) {
        unsafe(list, "files reach the disk every 2 minutes unless the server says otherwise",
               "set sync_interval: always in the server's jetstream block, then level=synced here");
    }
    if (!options->tls && !is_local(server)) {
        unsafe(list, "plain text over the network", "give the server a certificate and set tls=on");
    }
    bool anonymous = !options->user && !options->token && !options->creds && !options->nkey &&
                     !options->tls_cert;
    if (anonymous && !is_local(server)) {
        unsafe(list, "no credentials: everybody may do everything",
               "set authorization in the server, and user and password, token, nkey or creds here");
    }
    *ret_answer = json_pack("{s:s, s:s, s:b, s:s, s:b, s:o}", "server", server, "version", version,
                            "tls", (int)options->tls, "level", levels[granted.level], "jetstream",
                            (int)jetstream, "unsafe", list);
    return MARTY_OK;
}
