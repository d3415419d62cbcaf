/* SPDX-License-Identifier: Apache-2.0
 * The groups of a channel as the server sees their consumers, and what it cannot know of them: it
 * counts what was given back like what somebody has. Blocking; the caller's thread. */
#include "parts.h"

#include <stdio.h>
#include <string.h>

static json_int_t number(json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

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

typedef struct standing { /* of a consumer */
    json_int_t waits;     /* delivered once, and with nobody now */
    json_int_t due;       /* could be ours now */
} standing;

static json_int_t held_of(const nats__source *source)
{
    json_int_t held = 0;
    for (uint32_t i = 0; i < source->owner->entry_count; i++) {
        const nats__entry *entry = &source->owner->entries[i];
        held += entry->tag && entry->source == source;
    }
    return held;
}

/* The server counts what was given back like what somebody has. We know of it what we keep here;
 * and where no pull of ours is out, what core does not hold waits for one: with a pull out the
 * server would have delivered it, so then it is with others. What waits behind one that comes again
 * later is not due. */
static standing standing_of(const nats__source *source, json_int_t pending, json_int_t open,
                            int64_t now_ns)
{
    json_int_t held = held_of(source), kept = (json_int_t)source->kept_count;
    bool awaits = source->awaited_count > 0 && now_ns < source->awaited_until_ns;
    bool asks = nats__source_asks_locked(source, now_ns);
    json_int_t waits = asks || awaits ? kept : open > held ? open - held : 0;
    return (standing){waits, awaits || source->releasing ? 0 : pending + waits};
}

/* One that we do not pull from: of a shard it is another's, else it should be ours, too. */
static standing look_at(marty_port *port, const char *stream, const char *consumer,
                        json_int_t pending, json_int_t open)
{
    pthread_mutex_lock(&port->lock);
    standing found = {0, nats__shared_locked(port, stream) ? 0 : pending};
    int64_t now_ns = nats__now_ns(port);
    for (marty__link *at = port->subscriptions.next; at != &port->subscriptions; at = at->next) {
        nats__subscription *subscription = MARTY__OWNER(at, nats__subscription, link);
        for (marty__link *s = subscription->sources.next; s != &subscription->sources;
             s = s->next) {
            nats__source *source = MARTY__OWNER(s, nats__source, link);
            if (strcmp(source->channel->stream, stream) == 0 &&
                strcmp(source->consumer, consumer) == 0) {
                found = standing_of(source, pending, open, now_ns);
            }
        }
    }
    pthread_mutex_unlock(&port->lock);
    return found;
}

static void add_counts(marty_port *port, const char *stream, json_t *consumer, json_t *group)
{
    json_int_t pending = number(consumer, "num_pending"),
               open = number(consumer, "num_ack_pending");
    const char *name = json_string_value(json_object_get(consumer, "name"));
    standing now = look_at(port, stream, name ? name : "", pending, open);
    add_number(group, "lag", pending + now.waits);
    add_number(group, "due", now.due);
    add_number(group, "unsettled", open - now.waits);
    add_number(group, "redelivered", number(consumer, "num_redelivered"));
}

static void add_consumer(marty_port *port, const nats__channel *channel, json_t *consumer,
                         json_t *groups)
{
    char name[256];
    const char *own = json_string_value(json_object_get(consumer, "name"));
    bool durable = json_object_get(json_object_get(consumer, "config"), "durable_name") != NULL;
    if (!own || !durable || !nats__group_of(own, nats__shards_of(channel), name)) {
        return; /* of one instance, gone with it */
    }
    json_t *group = json_object_get(groups, name);
    if (!group) {
        group = json_pack("{s:s, s:i, s:i, s:i, s:i, s:i, s:i}", "group", name, "lag", 0, "due", 0,
                          "unsettled", 0, "redelivered", 0, "oldest_us", 0, "members", 0);
        (void)json_object_set_new(groups, name, group);
    }
    add_counts(port, channel->stream, consumer, group);
    json_int_t waiting = number(consumer, "num_waiting");
    if (waiting > number(group, "members")) {
        (void)json_object_set_new(group, "members", json_integer(waiting));
    }
    int64_t us = oldest(port, channel->stream, consumer), known = number(group, "oldest_us");
    if (us > 0 && (known == 0 || us < known)) {
        (void)json_object_set_new(group, "oldest_us", json_integer(us));
    }
}

/* What lies in the group's retry place is its, too; until it has a consumer there all of it
 * waits, and what is to be delivered later does in any case. */
static void add_retry(marty_port *port, const marty_want *what, json_t *group)
{
    marty_channel place = what->channel;
    char consumer[NATS__NAME_MAX + 1], call[2 * NATS__NAME_MAX + 32];
    nats__channel *retry = NULL;
    json_t *info = NULL, *of = NULL;
    marty_error ignored = {0};
    place.group = json_string_value(json_object_get(group, "group"));
    pthread_mutex_lock(&port->lock);
    marty_err err = nats__channel_get_locked(port, &retry, &place, &ignored);
    pthread_mutex_unlock(&port->lock);
    if (err || !retry->retry || nats__stream_info(port, retry->stream, &info, &ignored) != 0) {
        return;
    }
    json_int_t rest = number(json_object_get(info, "state"), "messages");
    json_decref(info);
    if (rest > 0 && nats__consumer_name(consumer, retry, place.group, -1, &ignored) == MARTY_OK) {
        (void)snprintf(call, sizeof call, "CONSUMER.INFO.%s.%s", retry->stream, consumer);
        (void)nats__api(port, call, NULL, nats__api_deadline(port), &of, NULL, &ignored);
    }
    if (of) {
        add_counts(port, retry->stream, of, group);
        rest -= number(of, "num_pending") + number(of, "num_ack_pending");
    }
    add_number(group, "lag", rest > 0 ? rest : 0);
    json_decref(of);
}

marty_err nats__groups(marty_port *port, const marty_want *what, nats__channel *channel,
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
        add_consumer(port, channel, one, groups);
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
