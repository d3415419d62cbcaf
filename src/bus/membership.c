/* SPDX-License-Identifier: Apache-2.0
 * Which subscriptions share a consumer: joining checks that patterns of one group are disjoint,
 * leaving unsubscribes with the last. Locks: bus->lock guards the search, consumer->lock the
 * members. */
#include "internal.h"

#include "base/alloc.h"
#include "base/error.h"

#include <string.h>

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

/* With port->lock held. A group of this instance alone is never shared. */
static marty__consumer *find(marty__port *port, const marty__place *place, const char *group)
{
    for (size_t at = 0; group;) {
        marty__consumer *consumer = marty__map_next(&port->consumers, &at);
        if (!consumer) {
            break;
        }
        if (!consumer->left && consumer->kind == place->kind && same_text(consumer->group, group) &&
            strcmp(consumer->channel, place->channel) == 0) {
            return marty__consumer_ref(consumer);
        }
    }
    return NULL;
}

static void run_unsubscribe(marty__port *port, marty__command *command)
{
    marty__consumer *consumer = MARTY__OWNER(command, marty__consumer, unsubscribe_command);
    marty__lock(&consumer->lock);
    bool asked = consumer->asked;
    marty__unlock(&consumer->lock);
    if (asked && marty__port_usable(port)) {
        port->backend->unsubscribe(port->adapter, consumer->number);
    } else {
        marty__consumer_answer(consumer, MARTY_E_CLOSED, "unsubscribed");
    }
    marty__consumer_unref(consumer);
}

static marty__consumer *new_consumer(marty__port *port, const marty__place *place,
                                     const marty_subscription *subscription,
                                     const marty_subscribe_options *options)
{
    marty__consumer *consumer = marty_alloc_zero(1, sizeof *consumer);
    if (!consumer) {
        return NULL;
    }
    atomic_init(&consumer->refs, 1);
    consumer->bus = marty__bus_ref(port->bus);
    consumer->port = port;
    consumer->kind = place->kind;
    consumer->order = subscription->order;
    consumer->shards = place->shards;
    consumer->native = place->native;
    consumer->wild = place->wild;
    consumer->start = options->start;
    consumer->reset = options->reset ? 1 : 0; /* its first wish */
    marty__list_init(&consumer->unsettled);
    marty__list_init(&consumer->spare);
    bool locks = marty__mutex_init(&consumer->lock) && marty__cond_init(&consumer->changed);
    bool has_group = !subscription->instance_group;
    consumer->channel = marty__strdup(place->channel);
    consumer->group = has_group ? marty__strdup(subscription->group) : NULL;
    consumer->start_position =
        options->start.position ? marty__strdup(options->start.position) : NULL;
    consumer->match = marty__match_new();
    marty__consumer_prepare(consumer, run_unsubscribe);
    if (!locks || !consumer->channel || !consumer->match || (has_group && !consumer->group) ||
        (options->start.position && !consumer->start_position)) {
        marty__consumer_unref(consumer);
        return NULL;
    }
    consumer->group_name = consumer->group ? consumer->group : MARTY_GROUP_INSTANCE;
    return consumer;
}

/* With port->lock held. */
static bool publish_number(marty__port *port, marty__consumer *consumer)
{
    consumer->number = port->next_number;
    if (!marty__map_put_u64(&port->consumers, consumer->number, consumer)) {
        return false;
    }
    port->next_number++;
    return true;
}

/* With consumer->lock held. */
static marty_err add_member(marty__consumer *consumer, marty_subscription *subscription,
                            marty_error *why)
{
    marty_subscription *other =
        marty__match_overlap(consumer->match, marty__subscription_types(subscription));
    if (other) {
        return marty_error_set(why, MARTY_E_EXISTS,
                               "\"%s\" overlaps \"%s\", which group %s already handles on %s; name "
                               "another group for a copy of each message",
                               subscription->name, other->name, consumer->group_name,
                               consumer->channel);
    }
    if (consumer->order != subscription->order) {
        return marty_error_set(
            why, MARTY_E_EXISTS,
            "group %s reads %s %s order by key already; use the same order or another group",
            consumer->group_name, consumer->channel,
            consumer->order == MARTY_ORDER_KEY ? "with" : "without");
    }
    marty_subscription **members = marty_realloc(
        consumer->members, (consumer->member_count + 1) * sizeof(marty_subscription *));
    if (!members) {
        return marty__error_code(why, MARTY_E_NO_MEMORY);
    }
    consumer->members = members;
    if (!marty__unmade_reserve(consumer, consumer->credit + subscription->credit)) {
        return marty__error_code(why, MARTY_E_NO_MEMORY);
    }
    marty_err err =
        marty__match_add(consumer->match, marty__subscription_types(subscription), subscription);
    if (err) {
        return marty__error_code(why, err);
    }
    consumer->taker = NULL;
    members[consumer->member_count++] = subscription;
    consumer->credit += subscription->credit;
    consumer->batches += subscription->batches;
    return MARTY_OK;
}

/* What the adapter was asked for already, by a port that came up meanwhile, did not count this one:
 * its credit is owed, less what those who have left had more. Who has not asked yet asks for all of
 * it. */
static marty_err join(marty__consumer *consumer, marty_subscription *subscription, marty_error *why)
{
    marty__lock(&consumer->lock);
    marty_err err = consumer->left ? MARTY_E_CLOSED : add_member(consumer, subscription, why);
    consumer->wish += err ? 0 : 1;
    if (!err && consumer->asked) {
        uint32_t credit = subscription->credit;
        uint32_t paid = credit < consumer->surplus ? credit : consumer->surplus;
        consumer->surplus -= paid;
        consumer->owed += credit - paid;
    }
    marty__unlock(&consumer->lock);
    if (!err) {
        marty__consumer_owe(consumer, 0);
    }
    return err;
}

/* A new one that its maker could not join, unless another has meanwhile. */
static void take_back(marty__port *port, marty__consumer *consumer)
{
    marty__lock(&consumer->lock);
    bool nobodys = consumer->member_count == 0;
    consumer->left = consumer->gone = nobodys;
    marty__unlock(&consumer->lock);
    if (nobodys) {
        marty__lock(&port->lock);
        void *found = marty__map_take_u64(&port->consumers, consumer->number);
        marty__unlock(&port->lock);
        if (found) { /* else who was in it meanwhile has ended it */
            marty__consumer_unref(consumer);
        }
    }
}

/* The one that others have, or a new one; counted. NULL without memory. */
static marty__consumer *find_or_make(marty__port *port, marty_subscription *subscription,
                                     const marty__place *place,
                                     const marty_subscribe_options *options, bool *ret_made)
{
    marty__lock(&port->lock);
    marty__consumer *consumer =
        find(port, place, subscription->instance_group ? NULL : subscription->group);
    *ret_made = !consumer;
    if (!consumer) {
        consumer = new_consumer(port, place, subscription, options);
        if (consumer && publish_number(port, consumer)) {
            (void)marty__consumer_ref(consumer); /* one is the map's, one is the caller's */
        } else if (consumer) {
            marty__consumer_unref(consumer);
            consumer = NULL;
        }
    }
    marty__unlock(&port->lock);
    return consumer;
}

marty_err marty__consumer_join(marty_subscription *subscription, const marty__place *place,
                               const marty_subscribe_options *options,
                               marty__consumer **ret_consumer, marty_error *why)
{
    marty__port *port = &subscription->bus->ports[place->backend];
    marty_err err;
    do { /* again when its last member has left it in between */
        bool made = false;
        marty__consumer *consumer = find_or_make(port, subscription, place, options, &made);
        if (!consumer) {
            return marty__error_code(why, MARTY_E_NO_MEMORY);
        }
        err = join(consumer, subscription, why);
        if (!err) {
            *ret_consumer = consumer;
            return MARTY_OK;
        }
        if (made) {
            take_back(port, consumer);
        }
        marty__consumer_unref(consumer);
    } while (err == MARTY_E_CLOSED);
    return err;
}

void marty__consumer_drop(marty__consumer *consumer, const marty_subscription *subscription)
{
    for (size_t i = 0; i < consumer->member_count; i++) {
        if (consumer->members[i] == subscription) {
            marty__match_remove(consumer->match, marty__subscription_types(subscription),
                                consumer->members[i]);
            consumer->taker = NULL;
            consumer->members[i] = consumer->members[--consumer->member_count];
            uint32_t credit = subscription->credit;
            uint32_t owed = credit < consumer->owed ? credit : consumer->owed;
            consumer->credit -= credit;
            consumer->batches -= subscription->batches;
            consumer->owed -= owed; /* what is not granted yet; the rest is paid off */
            consumer->surplus += credit - owed;
            return;
        }
    }
}

/* ---- leaving: the broker keeps us as long as there is something to settle */
bool marty__consumer_keeps(const marty__consumer *consumer)
{
    return consumer->kind == MARTY_KIND_TOPIC || consumer->kind == MARTY_KIND_QUEUE ||
           consumer->kind == MARTY_KIND_STREAM;
}

bool marty__consumer_ends(marty__consumer *consumer)
{
    bool open =
        marty__consumer_keeps(consumer) && (consumer->unsettled_count || consumer->settling);
    bool ends = consumer->left && !consumer->gone && !open;
    if (ends) {
        consumer->gone = true;
    }
    return ends;
}

void marty__consumer_end(marty__consumer *consumer)
{
    (void)marty__consumer_ref(consumer);
    if (!marty__port_command(consumer->port, &consumer->unsubscribe_command)) {
        marty__consumer_unref(consumer);
    }
    marty__port_kick(consumer->port);
}

void marty__consumer_leave_rang(marty__alarm *alarm)
{
    marty__consumer *consumer = MARTY__OWNER(alarm, marty__consumer, leave_alarm);
    marty__lock(&consumer->lock);
    bool cut = !consumer->gone;
    if (cut) {
        consumer->gone = true;
        marty__consumer_lose_all(consumer);
    }
    marty__unlock(&consumer->lock);
    if (cut) {
        marty__consumer_end(consumer);
    }
    marty__consumer_unref(consumer);
}

void marty__consumer_drain(marty__consumer *consumer)
{
    marty__lock(&consumer->lock);
    marty__wake_all(&consumer->changed); /* who waits for it to be subscribed */
    marty__unlock(&consumer->lock);
    if (marty__consumer_keeps(consumer)) {
        marty__consumer_take_back(consumer);
        return;
    }
    marty__lock(&consumer->lock);
    consumer->left = consumer->kind != MARTY_KIND_REPLY; /* handlers that run may still ask */
    bool ends = marty__consumer_ends(consumer);
    marty__unlock(&consumer->lock);
    if (ends) {
        marty__consumer_end(consumer);
    }
}

void marty__consumer_leave(marty__consumer *consumer, marty_subscription *subscription,
                           int64_t deadline_ns)
{
    marty__lock(&consumer->lock);
    marty__consumer_drop(consumer, subscription);
    consumer->wish++;
    bool last = !consumer->member_count;
    consumer->left = last;
    bool ends = marty__consumer_ends(consumer), waits = last && !consumer->gone;
    if (waits) {
        marty__consumer_arm_held(consumer, &consumer->leave_alarm, deadline_ns);
    }
    marty__unlock(&consumer->lock);
    if (ends) {
        marty__consumer_end(consumer);
    } else if (waits) {
        marty__consumer_take_back(consumer);
    } else if (!last) {
        marty__consumer_subscribe(consumer);
        marty__port_kick(consumer->port);
    }
}

static const char *routed_channel(const marty__consumer *consumer,
                                  const marty_subscription *subscription,
                                  const marty_message *message)
{
    marty__place place;
    marty_bus *bus = consumer->bus;
    if (marty__route_publish(bus->config, subscription->pattern, subscription->service,
                             message->type, &place, NULL) ||
        place.backend != consumer->port->index || place.native ||
        !marty__pattern_covers(consumer->channel, place.channel)) {
        return consumer->channel;
    }
    const char *kept = marty__bus_keep_name(bus, place.channel, MARTY__KNOWN_CHANNELS_MAX);
    return kept ? kept : consumer->channel;
}

const char *marty__consumer_channel_of(const marty__consumer *consumer,
                                       const marty_subscription *subscription,
                                       const marty_incoming *incoming)
{
    if (!consumer->wild) {
        return consumer->channel;
    }
    if (incoming->channel) {
        const char *kept =
            marty__bus_keep_name(consumer->bus, incoming->channel, MARTY__KNOWN_CHANNELS_MAX);
        return kept ? kept : consumer->channel;
    }
    bool routed = subscription && incoming->message &&
                  subscription->pattern != MARTY_STREAM; /* a message does not say its stream */
    return routed ? routed_channel(consumer, subscription, incoming->message) : consumer->channel;
}
