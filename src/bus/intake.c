/* SPDX-License-Identifier: Apache-2.0
 * From an adapter's batch to the lanes of the subscriptions whose patterns match. Runs inside the
 * adapter's call: it neither blocks nor runs code of the user. A delivery that there is no memory
 * or handler for is settled here. */
#include "internal.h"

#include "base/alloc.h"

#include <stdio.h>
#include <string.h>

enum { SPARES_MAX = 4096 };

/* ---- the object */
static marty__delivery *new_delivery(marty__consumer *consumer)
{
    marty__link *link = marty__list_pop(&consumer->spare);
    if (link) {
        consumer->spare_count--;
        return MARTY__OWNER(link, marty__delivery, link);
    }
    return marty_alloc(sizeof(marty__delivery));
}

marty__delivery *marty__delivery_ref(marty__delivery *delivery)
{
    (void)atomic_fetch_add_explicit(&delivery->refs, 1, memory_order_relaxed);
    return delivery;
}

void marty__delivery_unref(marty__delivery *delivery)
{
    if (atomic_fetch_sub_explicit(&delivery->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    marty__consumer *consumer = delivery->consumer;
    marty_subscription *subscription = delivery->subscription;
    marty_message_unref((marty_message *)(uintptr_t)delivery->handle.message);
    marty_free(delivery->reply_to);
    marty__lock(&consumer->lock);
    bool spare = consumer->spare_count < SPARES_MAX && !consumer->gone;
    if (spare) {
        delivery->link = (marty__link){0};
        marty__list_push_first(&consumer->spare, &delivery->link);
        consumer->spare_count++;
    }
    marty__unlock(&consumer->lock);
    if (!spare) {
        marty_free(delivery);
    }
    if (subscription) {
        marty__subscription_unref(subscription);
    }
    marty__consumer_unref(consumer);
}

static marty_pattern pattern_of(const marty__consumer *consumer,
                                const marty_subscription *subscription)
{
    (void)consumer;
    return subscription ? subscription->pattern : MARTY_EVENT;
}

static uint32_t carried_attempts(const marty_message *message)
{
    marty_bytes value = message && message->header_count
                            ? marty_message_header(message, "martyattempts")
                            : (marty_bytes){0};
    uint32_t count = 0;
    const char *digits = value.data;
    for (size_t i = 0; i < value.size && i < 6 && digits[i] >= '0' && digits[i] <= '9'; i++) {
        count = count * 10 + (uint32_t)(digits[i] - '0');
    }
    return count;
}

static void fill(marty__delivery *delivery, marty__consumer *consumer,
                 marty_subscription *subscription, const marty_incoming *incoming)
{
    memset(delivery, 0, offsetof(marty__delivery, position));
    atomic_init(&delivery->refs, 1);
    atomic_init(&delivery->user_refs, 0);
    atomic_init(&delivery->verdict, MARTY__OPEN_VERDICT);
    atomic_init(&delivery->active, false);
    delivery->consumer = marty__consumer_ref(consumer);
    delivery->subscription = subscription ? marty__subscription_ref(subscription) : NULL;
    delivery->tag = incoming->tag;
    delivery->epoch = consumer->epoch;
    delivery->lease_until_ns = incoming->lease_until_ns;
    delivery->broker_attempt = incoming->attempt ? incoming->attempt : 1;
    delivery->carried = carried_attempts(incoming->message);
    delivery->reason[0] = '\0';
    bool has_position =
        incoming->position && strlen(incoming->position) < sizeof delivery->position;
    (void)snprintf(delivery->position, sizeof delivery->position, "%s",
                   has_position ? incoming->position : "");
    marty__list_init(&delivery->waiting);
    marty_delivery *handle = &delivery->handle;
    handle->message = incoming->message;
    handle->bus = consumer->bus;
    handle->subscription = subscription;
    handle->backend = consumer->port->name;
    handle->channel = consumer->channel;
    handle->group = consumer->group_name;
    handle->position = has_position ? delivery->position : NULL;
    handle->pattern = pattern_of(consumer, subscription);
    handle->attempt = delivery->broker_attempt + delivery->carried;
    handle->shard = incoming->shard;
    if (handle->pattern == MARTY_QUERY && incoming->message && incoming->message->expires_us) {
        handle->deadline_ms = incoming->message->expires_us / MARTY__US_PER_MS;
    }
}

/* ---- what cannot go to a handler */
/* No delivery object to be had, or nobody for it: settle the tag as it is, from a little memory
 * that is always there. */
static void settle_bare(marty__consumer *consumer, marty__delivery *delivery, marty_verb verb)
{
    atomic_store(&delivery->verdict, MARTY__SETTLED_VERDICT);
    (void)consumer;
    marty__delivery_finish(delivery, verb, 0);
    marty__delivery_unref(delivery);
}

static void unmatched(marty__consumer *consumer, marty__delivery *delivery)
{
    marty_bus *bus = consumer->bus;
    (void)atomic_fetch_add(&bus->unmatched, 1);
    if (consumer->kind == MARTY_KIND_QUEUE) { /* another instance may know the command; else it ends
                                                 in the dead letters */
        atomic_store(&delivery->verdict, MARTY__SETTLED_VERDICT);
        bus->hooks->failed(delivery, MARTY_E_NOT_FOUND, 0, "no handler for this type");
        marty__delivery_unref(delivery);
    } else if (consumer->kind == MARTY_KIND_REQUEST) {
        delivery->handle.pattern = MARTY_QUERY;
        bus->hooks->unanswered(delivery, MARTY_E_NOT_FOUND);
        settle_bare(consumer, delivery, MARTY_SETTLE_ACK);
    } else {
        settle_bare(consumer, delivery, MARTY_SETTLE_ACK);
    }
}

/* Its envelope is unreadable: what came, byte for byte, goes to the dead letters. */
static void unreadable(marty__consumer *consumer, marty__delivery *delivery,
                       const marty_incoming *incoming)
{
    marty_message raw = {.type = "marty.unreadable",
                         .data = incoming->raw,
                         .content_type = "application/octet-stream",
                         .headers = incoming->headers,
                         .header_count = incoming->header_count};
    marty_message *message = NULL;
    if (marty_message_new(&message, &raw, NULL, NULL)) {
        raw.headers = NULL; /* headers that we may not carry: the body is what counts */
        raw.header_count = 0;
        if (marty_message_new(&message, &raw, NULL, NULL)) {
            settle_bare(consumer, delivery, MARTY_SETTLE_RETRY);
            return;
        }
    }
    delivery->handle.message = message;
    atomic_store(&delivery->verdict, MARTY__SETTLED_VERDICT);
    consumer->bus->hooks->rejected(delivery, MARTY_E_MALFORMED, "the envelope is unreadable");
    marty__delivery_unref(delivery);
}

/* ---- the way in */
typedef struct intake {
    marty__port *port;
    marty__consumer *consumer;        /* of the run of messages at hand */
    marty_subscription *subscription; /* likewise */
    const char *type;
    marty__link list; /* deliveries for it */
} intake;

static void hand_over(intake *in)
{
    if (in->subscription) {
        if (!marty__list_empty(&in->list)) {
            marty__lanes_add(in->subscription, &in->list);
        }
        marty__subscription_unref(in->subscription);
        in->subscription = NULL;
    }
    in->type = NULL;
}

static void choose_consumer(intake *in, uint64_t number)
{
    if (in->consumer && in->consumer->number == number) {
        return;
    }
    hand_over(in);
    if (in->consumer) {
        marty__consumer_unref(in->consumer);
    }
    marty__lock(&in->port->lock);
    in->consumer = marty__map_get_u64(&in->port->consumers, number);
    if (in->consumer) {
        (void)marty__consumer_ref(in->consumer);
    }
    marty__unlock(&in->port->lock);
}

/* With consumer->lock held: whose message it is; NULL = nobody's. */
static marty_subscription *subscriber(const intake *in, const char *type)
{
    marty_subscription *found = marty__match_first(in->consumer->match, type);
    return found;
}

/* With consumer->lock held. Returns whether it is the first with a lease. */
static bool note(marty__consumer *consumer, marty__delivery *delivery)
{
    marty__list_push(&consumer->unsettled, &delivery->unsettled);
    consumer->unsettled_count++;
    consumer->last_delivery_ns = marty__bus_now(consumer->bus);
    bool first = delivery->lease_until_ns != MARTY__NEVER && !consumer->lease_on;
    consumer->lease_on = consumer->lease_on || first;
    return first;
}

static void take_in(intake *in, const marty_incoming *incoming)
{
    marty__consumer *consumer = in->consumer;
    const char *type = incoming->message ? incoming->message->type : NULL;
    marty__lock(&consumer->lock);
    marty_subscription *subscription = type ? subscriber(in, type) : NULL;
    marty__delivery *delivery = new_delivery(consumer);
    bool lease = false;
    if (delivery) {
        fill(delivery, consumer, subscription, incoming);
        lease = note(consumer, delivery);
        if (incoming->reply_to && consumer->kind == MARTY_KIND_REQUEST) {
            delivery->reply_to = marty__strdup(incoming->reply_to);
        }
    }
    if (subscription && subscription != in->subscription) {
        (void)marty__subscription_ref(subscription);
    }
    marty__unlock(&consumer->lock);
    if (lease) {
        marty__lease_start(consumer);
    }
    if (!delivery) { /* its lease or connection will end and it comes again */
        marty_message_unref(incoming->message);
        (void)atomic_fetch_add(&consumer->bus->dropped, 1);
    }
    if (subscription != in->subscription) {
        hand_over(in);
        in->subscription = subscription;
    }
    if (delivery && !type) {
        unreadable(consumer, delivery, incoming);
    } else if (delivery && !subscription) {
        unmatched(consumer, delivery);
    } else if (delivery) {
        marty__list_push(&in->list, &delivery->link);
    }
}

static void reply_in(marty_bus *bus, marty__consumer *consumer, const marty_incoming *incoming)
{
    if (incoming->message) {
        bus->hooks->replied(bus, incoming->message);
        marty_message_unref(incoming->message);
    }
    marty__consumer_owe(consumer, 1); /* replies need no settling */
}

void marty__intake(marty__port *port, const marty_incoming *batch, size_t count)
{
    intake in = {.port = port};
    marty__list_init(&in.list);
    for (size_t i = 0; i < count; i++) {
        choose_consumer(&in, batch[i].subscription);
        if (!in.consumer) {
            marty_message_unref(batch[i].message);
            marty__bus_log(port->bus, 1, "%s: a delivery for subscription %llu, which is gone",
                           port->name, (unsigned long long)batch[i].subscription);
        } else if (in.consumer->kind == MARTY_KIND_REPLY) {
            reply_in(port->bus, in.consumer, &batch[i]);
        } else {
            take_in(&in, &batch[i]);
        }
    }
    hand_over(&in);
    if (in.consumer) {
        marty__consumer_unref(in.consumer);
    }
    marty__port_kick_later(port);
}
