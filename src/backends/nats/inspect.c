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

/* When the first message was stored that the group has not settled; 0 = it has settled all. */
static int64_t oldest(marty_port *port, const char *stream, json_t *consumer)
{
    char call[NATS__NAME_MAX + 32];
    json_t *answer = NULL;
    marty_error ignored = {0};
    json_int_t floor = number(json_object_get(consumer, "ack_floor"), "stream_seq");
    if (number(consumer, "num_pending") + number(consumer, "num_ack_pending") == 0) {
        return 0;
    }
    (void)snprintf(call, sizeof call, "STREAM.MSG.GET.%s", stream);
    json_t *body = json_pack("{s:I, s:s}", "seq", floor + 1, "next_by_subj", ">");
    marty_err err = nats__api(port, call, body, nats__api_deadline(port), &answer, NULL, &ignored);
    const char *time_text =
        json_string_value(json_object_get(json_object_get(answer, "message"), "time"));
    int64_t us = err ? 0 : nats__parse_time(time_text);
    json_decref(answer);
    json_decref(body);
    return us;
}

static void add_number(json_t *group, const char *name, json_int_t more)
{
    (void)json_object_set_new(group, name, json_integer(number(group, name) + more));
}

static void add_consumer(marty_port *port, const char *stream, bool sharded, json_t *consumer,
                         json_t *groups)
{
    char name[256];
    const char *own = json_string_value(json_object_get(consumer, "name"));
    bool durable = json_object_get(json_object_get(consumer, "config"), "durable_name") != NULL;
    if (!own || !durable || !nats__group_of(own, sharded, name)) {
        return; /* of one instance, gone with it */
    }
    json_t *group = json_object_get(groups, name);
    if (!group) {
        group = json_pack("{s:s, s:i, s:i, s:i, s:i, s:i}", "group", name, "lag", 0, "unsettled", 0,
                          "redelivered", 0, "oldest_us", 0, "members", 0);
        (void)json_object_set_new(groups, name, group);
    }
    add_number(group, "lag", number(consumer, "num_pending"));
    add_number(group, "unsettled", number(consumer, "num_ack_pending"));
    add_number(group, "redelivered", number(consumer, "num_redelivered"));
    json_int_t waiting = number(consumer, "num_waiting");
    if (waiting > number(group, "members")) {
        (void)json_object_set_new(group, "members", json_integer(waiting));
    }
    int64_t us = oldest(port, stream, consumer), known = number(group, "oldest_us");
    if (us > 0 && (known == 0 || us < known)) {
        (void)json_object_set_new(group, "oldest_us", json_integer(us));
    }
}

/* What waits in the group's retry place is lag, too. */
static void add_retry(marty_port *port, const marty_want *what, json_t *group)
{
    marty_channel place = what->channel;
    nats__channel *retry = NULL;
    json_t *info = NULL;
    marty_error ignored = {0};
    place.group = json_string_value(json_object_get(group, "group"));
    pthread_mutex_lock(&port->lock);
    marty_err err = nats__channel_get_locked(port, &retry, &place, &ignored);
    pthread_mutex_unlock(&port->lock);
    if (!err && retry->retry && nats__stream_info(port, retry->stream, &info, &ignored) == 0) {
        add_number(group, "lag", number(json_object_get(info, "state"), "messages"));
    }
    json_decref(info);
}

static marty_err list_groups(marty_port *port, const marty_want *what, nats__channel *channel,
                             json_t **ret_groups, marty_error *why)
{
    char call[NATS__NAME_MAX + 32];
    json_t *consumers = NULL, *one, *groups = json_object(), *list = json_array();
    const char *name;
    size_t index;
    (void)snprintf(call, sizeof call, "CONSUMER.LIST.%s", channel->stream);
    marty_err err = nats__pages(port, call, "consumers", &consumers, why);
    json_array_foreach(consumers, index, one)
    {
        add_consumer(port, channel->stream, channel->shards > 1, one, groups);
    }
    json_object_foreach(groups, name, one)
    {
        if (!what->channel.group || strcmp(what->channel.group, name) == 0) {
            add_retry(port, what, one);
            (void)json_array_append(list, one);
        }
    }
    json_decref(groups);
    json_decref(consumers);
    *ret_groups = list;
    return err;
}

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
    err = err ? err : list_groups(port, what, channel, &groups, why);
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

static json_t *groups_of(marty_port *port, const char *stream, bool sharded)
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
            if (consumer && durable && nats__group_of(consumer, sharded, name) &&
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
            bool sharded = strncmp(description, "marty: 1 shard", 14) != 0;
            (void)json_array_append_new(channels, json_pack("{s:s, s:s, s:I, s:I, s:o}", "channel",
                                                            name, "kind", kind_of(name), "messages",
                                                            number(state, "messages"), "bytes",
                                                            number(state, "bytes"), "groups",
                                                            groups_of(port, stream, sharded)));
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
