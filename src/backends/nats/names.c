/* SPDX-License-Identifier: Apache-2.0
 * Our names as the broker's: streams, subjects, consumers, reply addresses (the one place that
 * knows). Channels are made here once and live as long as the port. */
#include "parts.h"

#include <string.h>

const char nats__name_bytes[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
const char nats__subject_bytes[] =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"
    ".!\"#$%&'()+,/:;<=?@[\\]^`{|}~";

/* A subject is words between dots: an empty word would never be delivered. */
static marty_err check_words(const char *subject, marty_error *why)
{
    size_t size = strlen(subject);
    if (size == 0 || subject[0] == '.' || subject[size - 1] == '.' || strstr(subject, "..")) {
        return marty_error_set(why, MARTY_E_ARGUMENT,
                               "the name %.200s has an empty word between its dots, which nats "
                               "cannot carry",
                               subject);
    }
    return MARTY_OK;
}

static marty_err encode_subject(char *out, const char *prefix, const char *name, marty_error *why)
{
    size_t size = strlen(prefix);
    if (size >= NATS__SUBJECT_MAX / 4) {
        return marty_error_set(why, MARTY_E_CONFIG, "prefix= is over %d bytes long",
                               NATS__SUBJECT_MAX / 4);
    }
    memcpy(out, prefix, size);
    marty_err err =
        marty_name_encode(out + size, NATS__SUBJECT_MAX - 1 - size, name, nats__subject_bytes, why);
    return err ? err : check_words(out, why);
}

/* prefix + name (+ "__" + group) as a name of a stream or consumer. */
static marty_err encode_name(char out[NATS__NAME_MAX + 1], const char *prefix, const char *name,
                             const char *group, marty_error *why)
{
    char whole[768];
    size_t prefix_size = strlen(prefix), name_size = strlen(name);
    if (prefix_size + name_size >= sizeof whole) {
        return marty_error_set(why, MARTY_E_ARGUMENT, "the name %.64s... is too long", name);
    }
    memcpy(whole, prefix, prefix_size);
    memcpy(whole + prefix_size, name, name_size + 1);
    marty_err err = marty_name_encode(out, NATS__NAME_MAX, whole, nats__name_bytes, why);
    if (err || !group) {
        return err;
    }
    size_t size = strlen(out);
    if (size + 3 > NATS__NAME_MAX) {
        return marty_error_set(why, MARTY_E_ARGUMENT,
                               "the retry place of group %s on %s takes over %d bytes; choose "
                               "shorter names",
                               group, name, NATS__NAME_MAX);
    }
    memcpy(out + size, "__", 2);
    return marty_name_encode(out + size + 2, NATS__NAME_MAX - size - 2, group, nats__name_bytes,
                             why);
}

marty_err nats__consumer_name(char ret_name[NATS__NAME_MAX + 1], const nats__channel *channel,
                              const char *group, int shard, marty_error *why)
{
    const char *dot = strchr(channel->name, '.');
    if (channel->kind == MARTY_KIND_QUEUE && !channel->retry && !channel->native) {
        group = dot ? dot + 1 : channel->name; /* one consumer for all, whatever they call it */
    }
    marty_err err = marty_name_encode(ret_name, NATS__NAME_MAX - 12, group, nats__name_bytes, why);
    if (!err && shard >= 0) {
        size_t size = strlen(ret_name);
        ret_name[size++] = '-';
        ret_name[size + nats__decimal(ret_name + size, (uint64_t)shard)] = '\0';
    }
    return err;
}

/* ---- channels */

typedef struct channel_names {
    char stream[NATS__NAME_MAX + 1];
    char subject[NATS__SUBJECT_MAX], schedule[NATS__SUBJECT_MAX];
} channel_names;

static bool keeps(const marty_port *port, marty_kind kind)
{
    bool core =
        kind == MARTY_KIND_REQUEST || kind == MARTY_KIND_BROADCAST || kind == MARTY_KIND_REPLY;
    bool legacy = port->options.envelope == NATS__LEGACY &&
                  (kind == MARTY_KIND_TOPIC || kind == MARTY_KIND_QUEUE);
    return !core && !legacy;
}

static bool is_retry(const marty_channel *from)
{
    return from->group && (from->kind == MARTY_KIND_TOPIC || from->kind == MARTY_KIND_STREAM);
}

/* The legacy services' streams have the bare name as their subject. */
static const char *bare(const marty_port *port, const marty_channel *from)
{
    bool legacy = port->options.envelope != NATS__CLOUDEVENTS && from->kind == MARTY_KIND_STREAM;
    return legacy && strncmp(from->name, "streams.", 8) == 0 ? from->name + 8 : from->name;
}

static marty_err name_channel(const marty_port *port, const marty_channel *from,
                              channel_names *names, marty_error *why)
{
    const char *prefix = from->native ? "" : port->options.prefix;
    char logical[512], group[NATS__NAME_MAX + 1];
    *names = (channel_names){.stream = ""};
    bool retry = is_retry(from);
    int size = snprintf(logical, sizeof logical, "%s%s", retry ? "retry." : "", from->name);
    if (size < 0 || (size_t)size >= sizeof logical) {
        return marty_error_set(why, MARTY_E_ARGUMENT, "the channel name %.64s... is too long",
                               from->name);
    }
    marty_err err = encode_subject(names->subject, prefix, retry ? logical : bare(port, from), why);
    if (!err && keeps(port, from->kind)) {
        err = encode_name(names->stream, prefix, logical, retry ? from->group : NULL, why);
    }
    if (!err && retry) {
        size_t used = strlen(names->subject);
        err = marty_name_encode(group, NATS__NAME_MAX, from->group, nats__name_bytes, why);
        if (!err && used + strlen(group) + 2 > NATS__SUBJECT_MAX) {
            err =
                marty_error_set(why, MARTY_E_ARGUMENT, "group name %.64s is too long", from->group);
        }
        if (!err) {
            names->subject[used] = '.';
            memcpy(names->subject + used + 1, group, strlen(group) + 1);
        }
    }
    if (!err) {
        (void)snprintf(names->schedule, sizeof names->schedule, "%s%s%.900s", prefix, "schedule.",
                       names->subject + strlen(prefix));
    }
    return err;
}

static char *copy(char **at, const char *text)
{
    size_t size = strlen(text) + 1;
    char *start = *at;
    memcpy(start, text, size);
    *at += size;
    return start;
}

static nats__channel *new_channel(const marty_port *port, const marty_channel *from,
                                  const channel_names *names)
{
    bool retry = is_retry(from);
    size_t size = strlen(from->name) + strlen(names->stream) + strlen(names->subject) +
                  strlen(names->schedule) + (retry ? strlen(from->group) : 0) + 5;
    nats__channel *channel = marty_alloc_zero(1, sizeof *channel + size + 256 + NATS__SUBJECT_MAX);
    if (!channel) {
        return NULL;
    }
    char *at = (char *)(channel + 1);
    channel->last_type = at;
    channel->last_subject = at + 256;
    at += 256 + NATS__SUBJECT_MAX;
    channel->kind = from->kind;
    channel->native = from->native;
    channel->retry = retry;
    channel->name = copy(&at, from->name);
    channel->group = retry ? copy(&at, from->group) : NULL;
    channel->stream = copy(&at, names->stream);
    channel->subject = copy(&at, names->subject);
    channel->schedule = copy(&at, names->schedule);
    channel->bare = !retry && bare(port, from) != from->name;
    channel->core = !keeps(port, from->kind);
    channel->ready = channel->core ? NATS__READY : NATS__UNKNOWN;
    channel->level = MARTY_LEVEL_MEMORY;
    channel->order = from->order;
    bool sharded = from->kind == MARTY_KIND_STREAM && from->order != MARTY_ORDER_NONE &&
                   port->options.envelope == NATS__CLOUDEVENTS && !from->native && !retry;
    channel->shards = sharded ? (from->shards ? from->shards : 12) : 1;
    channel->shards_given = from->shards > 0;
    marty__list_init(&channel->held);
    return channel;
}

/* Order is fixed when a channel is made; who asks for nothing takes it as it is. */
static marty_err agree(nats__channel *channel, const marty_channel *from, marty_error *why)
{
    bool states = from->order != MARTY_ORDER_DEFAULT && !channel->retry && !channel->core;
    if (states && channel->order == MARTY_ORDER_DEFAULT && channel->ready == NATS__UNKNOWN) {
        channel->order = from->order;
    }
    if (states && channel->order != MARTY_ORDER_DEFAULT && channel->order != from->order) {
        return marty_error_set(why, MARTY_E_EXISTS,
                               "channel %s exists and is different: order: wanted %s, found %s",
                               channel->name, from->order == MARTY_ORDER_KEY ? "key" : "none",
                               channel->order == MARTY_ORDER_KEY ? "key" : "none");
    }
    return MARTY_OK;
}

marty_err nats__channel_get_locked(marty_port *port, nats__channel **ret_channel,
                                   const marty_channel *from, marty_error *why)
{
    channel_names names;
    size_t bucket = (nats__hash(from->name) + (uint64_t)from->kind) %
                    (sizeof port->buckets / sizeof port->buckets[0]);
    bool retry = is_retry(from);
    for (nats__channel *at = port->buckets[bucket]; at; at = at->next) {
        if (at->kind == from->kind && at->native == from->native && at->retry == retry &&
            strcmp(at->name, from->name) == 0 && (!retry || strcmp(at->group, from->group) == 0)) {
            *ret_channel = at;
            return agree(at, from, why);
        }
    }
    marty_err err = name_channel(port, from, &names, why);
    if (err) {
        return err;
    }
    nats__channel *channel = new_channel(port, from, &names);
    if (!channel) {
        return marty_error_set(why, MARTY_E_NO_MEMORY, "nats: no memory for channel %s",
                               from->name);
    }
    channel->next = port->buckets[bucket];
    port->buckets[bucket] = channel;
    *ret_channel = channel;
    return MARTY_OK;
}
