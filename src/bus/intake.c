/* SPDX-License-Identifier: Apache-2.0
 * From an adapter's batch to the lanes of the subscriptions whose patterns match. Runs inside the
 * adapter's call: it neither blocks nor runs code of the user. A delivery that there is no memory
 * or handler for is settled here. */
#include "internal.h"

#include "base/alloc.h"
#include "base/number.h"
#include "base/unset.h"
#include "message/block.h"
#include "message/message.h"

#include <string.h>

/* ---- the object */
/* Of an attribute of ours; 0 = none, or none that we wrote. */
static uint32_t number_in(const marty_message *message, const char *name)
{
    marty_bytes value = marty__message_attribute(message, name);
    uint64_t number = 0;
    (void)marty__number_read(&number, value.data, value.size, UINT32_MAX);
    return (uint32_t)number;
}

static uint32_t carried_attempts(const marty_message *message)
{
    uint32_t count = message && message->header_count ? number_in(message, "martyattempts") : 0;
    return count < MARTY__ATTEMPTS_MAX ? count : MARTY__ATTEMPTS_MAX;
}

/* What all deliveries of a consumer to a subscription have alike; the rest is fill's. With
 * consumer->lock held. */
static void prepare(marty__delivery *like, marty__consumer *consumer,
                    marty_subscription *subscription)
{
    memset(like, 0, offsetof(marty__delivery, link));
    atomic_init(&like->refs, 1);
    atomic_init(&like->user_refs, 0);
    atomic_init(&like->verdict, MARTY__OPEN_VERDICT);
    atomic_init(&like->active, false);
    like->consumer = consumer;
    like->subscription = subscription;
    like->expires_ns = MARTY__NEVER;
    marty_delivery *handle = &like->handle;
    handle->bus = consumer->bus;
    handle->subscription = subscription;
    handle->backend = consumer->port->name;
    handle->channel = consumer->channel;
    handle->group = consumer->group_name;
    handle->pattern = subscription ? subscription->pattern : MARTY_EVENT;
}

/* The references of consumer and subscription are its maker's to take. */
static void fill(marty__delivery *delivery, const marty__delivery *like,
                 const marty_incoming *incoming, marty_message *message)
{
    marty__consumer *consumer = like->consumer;
    memcpy((void *)delivery, like, offsetof(marty__delivery, link));
    delivery->tag = incoming->tag;
    atomic_init(&delivery->epoch, atomic_load_explicit(&consumer->epoch, memory_order_relaxed));
    delivery->lease_until_ns = incoming->lease_until_ns;
    marty__list_init(&delivery->waiting);
    marty_delivery *handle = &delivery->handle;
    handle->message = message;
    size_t position_size = incoming->position ? strlen(incoming->position) + 1 : 0;
    if (position_size && position_size <= sizeof delivery->position) {
        memcpy(delivery->position, incoming->position, position_size);
        handle->position = delivery->position;
    }
    if (consumer->wild) {
        handle->channel = marty__consumer_channel_of(consumer, like->subscription, incoming);
    }
    delivery->carried = carried_attempts(message);
    handle->attempt = (incoming->attempt ? incoming->attempt : 1) + delivery->carried;
    handle->shard = incoming->shard;
}

/* How long it lives from now on. A query says how long its asker waits, whatever the clocks say:
 * nobody keeps it on the way. What a broker delivers that looks at times to live was alive then:
 * where our clock disagrees, the sender's and ours are apart. One that says how long it has had the
 * message tells it without any other clock. */
static int64_t left_us(const marty__consumer *consumer, const marty_message *message,
                       int64_t age_us, int64_t wall_us)
{
    uint32_t asked_ms = consumer->kind == MARTY_KIND_REQUEST && message->header_count
                            ? number_in(message, MARTY__ASKED_MS)
                            : 0;
    if (asked_ms) {
        return (int64_t)asked_ms * MARTY__US_PER_MS;
    }
    bool alive =
        consumer->kind == MARTY_KIND_REQUEST || consumer->kind == MARTY_KIND_BROADCAST ||
        marty__port_can(consumer->port, consumer->kind, consumer->order, MARTY_CAN_TIME_TO_LIVE);
    int64_t lives_us = message->expires_us - message->time_us, left = message->expires_us - wall_us;
    if (age_us > 0 && lives_us > 0) {
        int64_t by_age_us = lives_us - age_us;
        return left <= 0 || by_age_us < left ? by_age_us : left;
    }
    return left <= 0 && alive && lives_us > 0 ? lives_us : left;
}

/* Of a message that has a time to live. */
static void note_expiry(marty__delivery *delivery, int64_t age_us, int64_t now_ns)
{
    int64_t wall_us = marty__bus_wall(delivery->consumer->bus);
    int64_t left = left_us(delivery->consumer, delivery->handle.message, age_us, wall_us);
    delivery->expires_ns = left <= 0                               ? now_ns
                           : left > (MARTY__NEVER - now_ns) / 1000 ? MARTY__NEVER
                                                                   : now_ns + left * 1000;
    if (delivery->handle.pattern == MARTY_QUERY) {
        delivery->handle.deadline_ms = (wall_us + left) / MARTY__US_PER_MS;
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
        bus->hooks->unanswered(delivery, consumer->left ? MARTY_E_UNAVAILABLE : MARTY_E_NOT_FOUND);
        settle_bare(consumer, delivery, MARTY_SETTLE_ACK);
    } else {
        settle_bare(consumer, delivery, MARTY_SETTLE_ACK);
    }
}

/* Its envelope is unreadable: what came, byte for byte, goes to the dead letters. */
static void unreadable(marty__consumer *consumer, marty__delivery *delivery,
                       const marty_incoming *incoming)
{
    marty_message *message = NULL;
    if (marty__message_unreadable(&message, MARTY__UNREADABLE, incoming->raw, incoming->headers,
                                  incoming->header_count, &consumer->bus->env, NULL)) {
        settle_bare(consumer, delivery, MARTY_SETTLE_RETRY);
        return;
    }
    delivery->handle.message = message;
    atomic_store(&delivery->verdict, MARTY__SETTLED_VERDICT);
    consumer->bus->hooks->rejected(delivery, MARTY_E_MALFORMED, "the envelope is unreadable");
    marty__delivery_unref(delivery);
}

/* ---- the way in */
typedef struct intake {
    marty__port *port;
    marty__consumer *consumer;        /* of the run of messages at hand, counted */
    marty_subscription *subscription; /* of the deliveries in list, counted */
    marty__link list;
    size_t count;    /* of the list */
    marty__link due; /* lanes to run: their workers are woken once, for all of the batch */
    int64_t now_ns;
    int64_t lease_at_ns; /* when leases are to be renewed because of them; MARTY__NEVER */
    bool unmade;         /* there was no memory for one */
    bool crowded;        /* little of its credit is left, since now */
} intake;

static void hand_over(intake *in)
{
    if (in->subscription) {
        if (!marty__list_empty(&in->list)) {
            marty__lanes_add(in->subscription, &in->list, in->count, &in->due);
            in->count = 0;
        }
        marty__subscription_unref(in->subscription);
        in->subscription = NULL;
    }
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

/* With consumer->lock held. */
static void note(intake *in, marty__delivery *delivery)
{
    marty__consumer *consumer = in->consumer;
    marty__list_push(&consumer->unsettled, &delivery->unsettled);
    consumer->unsettled_count++;
    if (delivery->lease_until_ns != MARTY__NEVER) {
        int64_t at_ns = marty__lease_note(consumer, delivery->lease_until_ns, in->now_ns);
        in->lease_at_ns = at_ns < in->lease_at_ns ? at_ns : in->lease_at_ns;
    }
    if (!consumer->crowded && marty__consumer_crowded(consumer)) {
        consumer->crowded = in->crowded = true;
    }
}

/* A copy for a retry or a replay went out under an id of its own, so that no broker takes it for a
 * duplicate: here it gets back the one it is known by. False without memory. */
static bool restore_id(const marty_message *message, marty_message **ret_message)
{
    marty_bytes id = marty__message_attribute(message, MARTY__COPY_OF);
    if (!id.data || !id.size) {
        return true;
    }
    char *text = marty_alloc(id.size + 1);
    if (!text) {
        return false;
    }
    memcpy(text, id.data, id.size);
    text[id.size] = '\0';
    marty_header none = {MARTY__COPY_OF, {NULL, 0}, MARTY_ATTRIBUTE};
    marty__change change = {.id = text, .set = &none, .set_count = 1};
    marty_err err = marty__message_copy_with(ret_message, message, &change, NULL);
    marty_free(text);
    return err == MARTY_OK;
}

/* With consumer->lock held: a delivery of it, which own() is to follow; or NULL without memory. */
static marty__delivery *make(intake *in, const marty_incoming *incoming,
                             const marty__delivery *like)
{
    marty_message *mine = incoming->message;
    bool good = !mine || !mine->header_count || restore_id(incoming->message, &mine);
    marty__delivery *delivery = good ? marty__delivery_new(in->consumer) : NULL;
    if (mine != incoming->message) { /* it keeps the other alive; of two, one is ours */
        marty_message_unref(delivery ? incoming->message : mine);
    }
    if (delivery) {
        fill(delivery, like, incoming, mine);
        if (mine && mine->expires_us) {
            note_expiry(delivery, incoming->age_us, in->now_ns);
        }
        note(in, delivery);
        if (incoming->reply_to && in->consumer->kind == MARTY_KIND_REQUEST) {
            delivery->reply_to = marty__strdup(incoming->reply_to);
        }
    }
    return delivery;
}

/* With consumer->lock held: new deliveries keep what they belong to alive. */
static void own(marty__consumer *consumer, marty_subscription *subscription, uint32_t count)
{
    marty__consumer_ref_many(consumer, count);
    if (subscription) {
        marty__subscription_ref_many(subscription, count);
    }
}

/* With consumer->lock held: who takes such messages; NULL = nobody, as of what is unreadable
 * (NULL). What came last mostly comes again. */
static marty_subscription *taker_of(marty__consumer *consumer, const marty_message *message)
{
    const char *type = message ? message->type : NULL;
    if (!type) {
        return NULL;
    }
    if (consumer->taker && strcmp(consumer->taken_type, type) == 0) {
        return consumer->taker;
    }
    size_t size = strlen(type) + 1;
    marty_subscription *taker = marty__match_first(consumer->match, type);
    if (taker && size <= sizeof consumer->taken_type) {
        consumer->taker = taker;
        memcpy(consumer->taken_type, type, size);
    }
    return taker;
}

/* Another thread has written both: where the one was made like the other, no text is looked at. */
static bool same_type(const marty_message *message, const marty_message *first)
{
    bool akin = marty__message_counted(message) && marty__message_counted(first) &&
                marty__block_akin(marty__block_of(message), marty__block_of(first));
    return akin || (message && strcmp(message->type, first->type) == 0);
}

/* With consumer->lock held: onto the list (none for which there is no memory) the first of them and
 * what follows it of the same type, which is all of one subscriber. Returns how many that were. */
static size_t make_run(intake *in, const marty_incoming *batch, size_t count,
                       const marty__delivery *like, marty__link *list, uint32_t *ret_made)
{
    marty__consumer *consumer = in->consumer;
    size_t taken = 0;
    uint32_t made = 0;
    do {
        marty__delivery *delivery = make(in, &batch[taken++], like);
        if (!delivery) {
            marty_message_unref(batch[taken - 1].message);
            in->unmade = marty__unmade_add(consumer, &batch[taken - 1]) || in->unmade;
            break; /* with the message went the type's name */
        }
        marty__list_push(list, &delivery->link);
        made++;
    } while (taken < count && batch[taken].subscription == consumer->number &&
             same_type(batch[taken].message, batch[0].message));
    own(consumer, like->subscription, made);
    *ret_made = made;
    return taken;
}

/* With consumer->lock held: nothing of it will run any more. What comes now stays unsettled and is
 * given back by the adapter when it leaves: given back at once it would come again at once, and
 * some brokers count that. A query is answered instead, nobody else has it. */
static bool too_late(const marty__consumer *consumer)
{
    return (consumer->left || atomic_load(&consumer->bus->phase) != MARTY__OPEN) &&
           consumer->kind != MARTY_KIND_REQUEST;
}

/* As many of one consumer as go to one subscription, under one lock; returns how many. 0: the first
 * needs special care. */
static size_t take_run(intake *in, const marty_incoming *batch, size_t count)
{
    marty__consumer *consumer = in->consumer;
    size_t taken = 0;
    MARTY__UNSET marty__delivery like;
    marty__lock(&consumer->lock);
    consumer->last_delivery_ns = in->now_ns;
    bool late = too_late(consumer);
    while (taken < count && batch[taken].subscription == consumer->number) {
        if (late) {
            marty_message_unref(batch[taken++].message);
            continue;
        }
        marty_subscription *subscription = taker_of(consumer, batch[taken].message);
        if (!subscription || (in->subscription && subscription != in->subscription)) {
            break;
        }
        if (!in->subscription) {
            in->subscription = marty__subscription_ref(subscription);
        }
        if (!taken) {
            prepare(&like, consumer, subscription);
        }
        uint32_t made = 0;
        taken += make_run(in, &batch[taken], count - taken, &like, &in->list, &made);
        in->count += made;
    }
    marty__unlock(&consumer->lock);
    return taken;
}

/* One without a handler, or unreadable. */
static void take_odd(intake *in, const marty_incoming *incoming)
{
    marty__consumer *consumer = in->consumer;
    marty__link list;
    uint32_t made = 0;
    marty__list_init(&list);
    marty__lock(&consumer->lock);
    bool wanted = taker_of(consumer, incoming->message) != NULL;
    if (!wanted) {
        MARTY__UNSET marty__delivery like;
        prepare(&like, consumer, NULL);
        (void)make_run(in, incoming, 1, &like, &list, &made);
    }
    marty__unlock(&consumer->lock);
    marty__delivery *delivery =
        made ? MARTY__OWNER(marty__list_pop(&list), marty__delivery, link) : NULL;
    if (wanted) { /* of another subscription than the run before; or one that has just joined */
        hand_over(in);
        (void)take_run(in, incoming, 1);
    } else if (delivery && incoming->message) {
        unmatched(consumer, delivery);
    } else if (delivery) {
        unreadable(consumer, delivery, incoming);
    }
}

static void reply_in(intake *in, const marty_incoming *incoming)
{
    marty_bus *bus = in->port->bus;
    if (incoming->message) {
        bus->hooks->replied(bus, incoming->message);
        marty_message_unref(incoming->message);
    }
    marty__consumer_owe(in->consumer, 1); /* replies need no settling */
}

static size_t take_some(intake *in, const marty_incoming *batch, size_t count)
{
    choose_consumer(in, batch[0].subscription);
    if (!in->consumer) {
        marty_message_unref(batch[0].message);
        marty__bus_log(in->port->bus, 1, "%s: a delivery for subscription %llu, which is gone",
                       in->port->name, (unsigned long long)batch[0].subscription);
        return 1;
    }
    if (in->consumer->kind == MARTY_KIND_REPLY) {
        reply_in(in, &batch[0]);
        return 1;
    }
    size_t taken = take_run(in, batch, count);
    if (!taken) {
        take_odd(in, &batch[0]);
        taken = 1;
    }
    return taken;
}

void marty__intake(marty__port *port, const marty_incoming *batch, size_t count)
{
    intake in = {.port = port, .now_ns = marty__bus_now(port->bus), .lease_at_ns = MARTY__NEVER};
    marty__list_init(&in.list);
    marty__list_init(&in.due);
    for (size_t i = 0; i < count;) {
        i += take_some(&in, &batch[i], count - i);
        if (in.lease_at_ns != MARTY__NEVER) {
            marty__lease_start(in.consumer, in.lease_at_ns);
            in.lease_at_ns = MARTY__NEVER;
        }
        if (in.crowded) {
            in.crowded = false;
            marty__stuck_start(in.consumer);
        }
        if (in.unmade) {
            in.unmade = false;
            marty__unmade_wait(in.consumer);
        }
    }
    hand_over(&in);
    if (marty__lent_by(port->bus)) {
        marty__pool_add_own(port->bus, &in.due);
    } else {
        marty__pool_add_all(port->bus, &in.due);
    }
    if (in.consumer) {
        marty__consumer_unref(in.consumer);
    }
    marty__port_kick_later(port);
}
