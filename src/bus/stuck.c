/* SPDX-License-Identifier: Apache-2.0
 * Keys that are stuck: the first of a key has been with its handler for long, or is tried again,
 * and what waits behind it uses up the credit of all others. Where the backend can hold a key
 * (HOLD_KEY), those behind it beyond a share go back with a delay, uncounted. What of such a key is
 * still on its way to us then must not overtake them: until the backend has answered it goes back,
 * too. Where that does not help, the consumer is said to be stalled, with the key that has waited
 * longest. Looked at only while little credit is left; housekeeping thread.
 */
#include "internal.h"

#include "base/assert.h"
#include "message/message.h"

#include <stdio.h>
#include <string.h>

enum {
    LOOK_MS = 500, /* a handler that has one for longer keeps its key from others */
    BACK_MIN_MS = 250,
    BACK_MAX_MS = 5000
};

static uint32_t share_of(const marty_subscription *subscription)
{
    uint32_t keys = subscription->stuck_keys ? subscription->stuck_keys : 1;
    return subscription->credit / 2 / keys;
}

/* As long as the first one will be held; of one whose end nobody knows as long again as it took. */
static uint32_t delay_of(const marty__delivery *first, int64_t now_ns)
{
    int64_t ns = !first ? 0
                 : first->held
                     ? first->again_ns - now_ns
                     : now_ns - atomic_load_explicit(&first->handed_ns, memory_order_relaxed);
    int64_t ms = ns / MARTY__NS_PER_MS;
    return (uint32_t)(ms < BACK_MIN_MS ? BACK_MIN_MS : ms > BACK_MAX_MS ? BACK_MAX_MS : ms);
}

/* With subscription->lock held; its reference goes along. */
static void turn_away(marty__delivery *delivery, uint32_t delay_ms, marty__link *back)
{
    delivery->keyed = false;
    delivery->delay_ms = delay_ms;
    (void)marty__delivery_ref(delivery);
    marty__list_push(&delivery->subscription->returning, &delivery->returning);
    marty__list_push(back, &delivery->link);
}

/* Whether others of its key are. */
static bool is_returning(const marty__delivery *delivery)
{
    const marty__link *head = &delivery->subscription->returning;
    for (const marty__link *link = head->next; link != head; link = link->next) {
        const marty__delivery *other = MARTY__OWNER(link, const marty__delivery, returning);
        if (other->consumer == delivery->consumer &&
            strcmp(other->handle.message->key, delivery->handle.message->key) == 0) {
            return true;
        }
    }
    return false;
}

static bool no_room_behind(const marty__delivery *first)
{
    size_t count = 0, share = share_of(first->subscription);
    for (const marty__link *link = first->waiting.next; link != &first->waiting && count < share;
         link = link->next) {
        count++;
    }
    return count == share;
}

static bool can_hold_keys(const marty__consumer *consumer)
{
    return marty__port_can(consumer->port, consumer->kind, consumer->order, MARTY_CAN_HOLD_KEY);
}

bool marty__stuck_turns_away(marty__delivery *delivery, const marty__delivery *first,
                             marty__link *back)
{
    bool full =
        first && first->stuck_ns && can_hold_keys(delivery->consumer) && no_room_behind(first);
    if (!full && !is_returning(delivery)) {
        return false;
    }
    turn_away(delivery, delay_of(first, marty__bus_now(delivery->consumer->bus)), back);
    return true;
}

/* Nobody will answer it: it was lost meanwhile. */
static void not_returning(marty__delivery *delivery)
{
    marty_subscription *subscription = delivery->subscription;
    marty__lock(&subscription->lock);
    bool listed = delivery->returning.next != NULL;
    marty__list_remove(&delivery->returning);
    marty__unlock(&subscription->lock);
    if (listed) {
        marty__delivery_unref(delivery);
    }
}

void marty__stuck_give_back(marty__link *back)
{
    marty__link *link;
    while ((link = marty__list_pop(back)) != NULL) {
        marty__delivery *delivery = MARTY__OWNER(link, marty__delivery, link);
        marty__delivery_reopen(delivery);
        if (marty__delivery_take(delivery)) {
            not_returning(delivery);
        } else {
            marty__delivery_finish(delivery, MARTY_SETTLE_GIVE_BACK, delivery->delay_ms);
        }
        marty__delivery_unref(delivery);
    }
}

/* With the member's lock held. */
static void take_answered(marty_subscription *member, const marty__consumer *consumer, uint64_t tag,
                          marty__link *answered)
{
    for (marty__link *link = member->returning.next; link != &member->returning;
         link = link->next) {
        marty__delivery *delivery = MARTY__OWNER(link, marty__delivery, returning);
        if (delivery->tag == tag && delivery->consumer == consumer) {
            marty__assert(link != answered);
            marty__list_remove(link);
            marty__list_push(answered, link);
            return;
        }
    }
}

static void unref_all(marty__link *list)
{
    marty__link *link;
    while ((link = marty__list_pop(list)) != NULL) {
        marty__delivery_unref(MARTY__OWNER(link, marty__delivery, returning));
    }
}

void marty__stuck_answered(marty__consumer *consumer, const uint64_t *tags, size_t count)
{
    marty_subscription *member;
    marty__link answered;
    marty__list_init(&answered);
    for (size_t at = SIZE_MAX; consumer->order == MARTY_ORDER_KEY &&
                               (member = marty__consumer_member(consumer, &at)) != NULL;) {
        marty__lock(&member->lock);
        for (size_t k = 0; k < count && !marty__list_empty(&member->returning); k++) {
            take_answered(member, consumer, tags[k], &answered);
        }
        marty__unlock(&member->lock);
        marty__subscription_unref(member);
    }
    unref_all(&answered);
}

void marty__stuck_forget(marty_subscription *subscription, const marty__consumer *consumer,
                         marty__link *forgotten)
{
    for (marty__link *link = subscription->returning.next, *next; link != &subscription->returning;
         link = next) {
        next = link->next;
        if (!consumer || MARTY__OWNER(link, marty__delivery, returning)->consumer == consumer) {
            marty__list_remove(link);
            marty__list_push(forgotten, link);
        }
    }
}

/* ---- looking */
typedef struct look {
    const marty__consumer *consumer;
    int64_t now_ns;
    marty__link back;
    /* of the one that has been stuck for the longest time */
    int64_t since_ns;
    uint32_t attempt, credit;
    char key[sizeof((marty__consumer *)0)->stuck_key];
} look;

static bool is_stuck(const marty__delivery *first, int64_t now_ns)
{
    int64_t handed_ns = atomic_load_explicit(&first->handed_ns, memory_order_relaxed);
    return first->held || (handed_ns && now_ns - handed_ns >= LOOK_MS * (int64_t)MARTY__NS_PER_MS);
}

static void note_oldest(look *self, const marty__delivery *first)
{
    if (first->stuck_ns < self->since_ns) {
        const char *key = first->handle.message->key;
        self->since_ns = first->stuck_ns;
        self->attempt = first->handle.attempt;
        (void)marty__text_clean(self->key, sizeof self->key, key, strlen(key));
    }
}

/* With the member's lock held. */
static void find_stuck(look *self, marty_subscription *member)
{
    marty__delivery *first;
    member->stuck_keys = 0;
    for (size_t at = 0; (first = marty__map_next(&member->keys, &at)) != NULL;) {
        if (first->consumer == self->consumer &&
            (first->stuck_ns || is_stuck(first, self->now_ns))) {
            first->stuck_ns = first->stuck_ns ? first->stuck_ns : self->now_ns;
            member->stuck_keys++;
            note_oldest(self, first);
        }
    }
}

/* With the member's lock held: what waits beyond its share. */
static void send_back(look *self, marty_subscription *member)
{
    marty__delivery *first;
    uint32_t share = share_of(member);
    for (size_t at = 0; (first = marty__map_next(&member->keys, &at)) != NULL;) {
        marty__link *link = first->waiting.next;
        for (uint32_t i = 0; i < share && link != &first->waiting; i++) {
            link = link->next;
        }
        for (marty__link *next; first->stuck_ns && link != &first->waiting; link = next) {
            marty__delivery *delivery = MARTY__OWNER(link, marty__delivery, link);
            next = link->next;
            bool waits = !delivery->held && !delivery->in_hands;
            if (waits && delivery->consumer == self->consumer) {
                marty__list_remove(link);
                turn_away(delivery, delay_of(first, self->now_ns), &self->back);
            }
        }
    }
}

static void look_at(look *self, marty_subscription *member)
{
    marty__lock(&member->lock);
    if (member->order == MARTY_ORDER_KEY && !marty__subscription_stops(member)) {
        find_stuck(self, member);
        if (can_hold_keys(self->consumer)) {
            send_back(self, member);
        }
    }
    marty__unlock(&member->lock);
}

static void say_stalled(marty__consumer *consumer, const look *self)
{
    char text[256];
    (void)snprintf(text, sizeof text,
                   "nothing moves: key \"%s\" waits at attempt %u since %lld s, and what is "
                   "unsettled (credit %u) is it, is behind it, or waits like it; mend why it "
                   "fails, or give more credit",
                   self->key, self->attempt,
                   (long long)((self->now_ns - self->since_ns) / MARTY__NS_PER_MS / 1000),
                   self->credit);
    marty__event(consumer->bus, MARTY_STATE_STALLED, consumer->port, consumer, MARTY_E_TIMEOUT,
                 text);
}

/* All of the credit is out, and nothing has come for a while. */
static void look_for_stall(marty__consumer *consumer, look *self)
{
    marty__lock(&consumer->lock);
    bool before = consumer->stalled;
    int64_t quiet_ns = self->now_ns - consumer->last_delivery_ns;
    consumer->stalled = self->key[0] && consumer->unsettled_count >= consumer->credit &&
                        quiet_ns >= MARTY__QUIET_MS * (int64_t)MARTY__NS_PER_MS;
    bool begins = consumer->stalled && !before, ends = before && !consumer->stalled;
    memcpy(consumer->stuck_key, self->key, sizeof self->key);
    self->credit = consumer->credit;
    marty__unlock(&consumer->lock);
    if (begins) {
        say_stalled(consumer, self);
    } else if (ends) {
        marty__bus_log(consumer->bus, 2, "%s %s: moves again", consumer->port->name,
                       consumer->channel);
    }
}

bool marty__consumer_crowded(const marty__consumer *consumer)
{
    return consumer->order == MARTY_ORDER_KEY &&
           4 * (uint64_t)consumer->unsettled_count >= 3 * (uint64_t)consumer->credit;
}

void marty__stuck_start(marty__consumer *consumer)
{
    marty__consumer_arm(consumer, &consumer->stuck_alarm,
                        marty__deadline_ns(marty__bus_now(consumer->bus), LOOK_MS));
}

void marty__stuck_rang(marty__alarm *alarm)
{
    marty__consumer *consumer = MARTY__OWNER(alarm, marty__consumer, stuck_alarm);
    look self = {
        .consumer = consumer, .now_ns = marty__bus_now(consumer->bus), .since_ns = MARTY__NEVER};
    marty__list_init(&self.back);
    marty__lock(&consumer->lock);
    bool crowded = marty__consumer_crowded(consumer) && !consumer->left &&
                   atomic_load(&consumer->bus->phase) == MARTY__OPEN;
    consumer->crowded = crowded;
    marty__unlock(&consumer->lock);
    marty_subscription *member;
    for (size_t at = SIZE_MAX;
         crowded && (member = marty__consumer_member(consumer, &at)) != NULL;) {
        look_at(&self, member);
        marty__subscription_unref(member);
    }
    look_for_stall(consumer, &self);
    marty__stuck_give_back(&self.back);
    if (crowded) {
        marty__stuck_start(consumer);
    }
    marty__port_kick(consumer->port);
    marty__consumer_unref(consumer);
}
