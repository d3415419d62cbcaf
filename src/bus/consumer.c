/* SPDX-License-Identifier: Apache-2.0
 * One native subscription per (port, channel, group), shared by the subscriptions whose patterns it
 * serves: its references and alarms, and what a connection that comes or goes means to it.
 * membership.c makes it and knows who is in it, consumer_ask.c subscribes, credit.c grants.
 * References: the port's map, each member, each delivery. */
#include "internal.h"

#include "base/alloc.h"

/* ---- lifetime */
void marty__consumer_ref_many(marty__consumer *consumer, uint32_t count)
{
    (void)atomic_fetch_add_explicit(&consumer->refs, count, memory_order_relaxed);
}

marty__consumer *marty__consumer_ref(marty__consumer *consumer)
{
    marty__consumer_ref_many(consumer, 1);
    return consumer;
}

static void free_spares(marty__consumer *consumer)
{
    marty__link *link;
    while ((link = marty__list_pop(&consumer->spare)) != NULL) {
        marty_free(MARTY__OWNER(link, marty__delivery, link));
    }
}

void marty__consumer_unref(marty__consumer *consumer)
{
    marty__consumer_unref_many(consumer, 1);
}

void marty__consumer_unref_many(marty__consumer *consumer, uint32_t count)
{
    if (atomic_fetch_sub_explicit(&consumer->refs, count, memory_order_acq_rel) != count) {
        return;
    }
    marty_bus *bus = consumer->bus;
    free_spares(consumer);
    marty__match_free(consumer->match);
    marty_free(consumer->members);
    marty_free(consumer->unmade);
    marty_free(consumer->words);
    marty_free(consumer->start_position);
    marty_free(consumer->channel);
    marty_free(consumer->group);
    marty__cond_free(&consumer->changed);
    marty__mutex_free(&consumer->lock);
    marty_free(consumer);
    marty__bus_unref(bus);
}

/* The alarm owns a reference while it is set. Under the lock: who forgets the consumer disarms all
 * that was armed before, and nothing is after. */
void marty__consumer_arm_held(marty__consumer *consumer, marty__alarm *alarm, int64_t at_ns)
{
    if (consumer->gone) {
        return;
    }
    (void)marty__consumer_ref(consumer);
    if (marty__alarm_set(consumer->bus, alarm, at_ns)) {
        marty__consumer_unref(consumer);
    }
}

void marty__consumer_arm(marty__consumer *consumer, marty__alarm *alarm, int64_t at_ns)
{
    marty__lock(&consumer->lock);
    marty__consumer_arm_held(consumer, alarm, at_ns);
    marty__unlock(&consumer->lock);
}

static void disarm(marty__consumer *consumer, marty__alarm *alarm)
{
    if (marty__alarm_cancel(consumer->bus, alarm)) {
        marty__consumer_unref(consumer);
    }
}

void marty__consumer_prepare(marty__consumer *consumer,
                             void (*unsubscribe)(marty__port *port, marty__command *command))
{
    consumer->subscribe_command.run = marty__subscribe_run;
    consumer->unsubscribe_command.run = unsubscribe;
    consumer->again_alarm.ring = marty__again_rang;
    consumer->watch_alarm.ring = marty__watch_rang;
    consumer->lease_alarm.ring = marty__lease_rang;
    consumer->leave_alarm.ring = marty__consumer_leave_rang;
    consumer->unmade_alarm.ring = marty__unmade_rang;
    consumer->unmade_command.run = marty__unmade_run;
    consumer->revoke_alarm.ring = marty__revoke_rang;
    consumer->stuck_alarm.ring = marty__stuck_rang;
    consumer->revoke_ns = MARTY__NEVER;
    consumer->watch_task.run = marty__watch_look;
    consumer->restart_command.run = marty__watch_restart;
}

/* The adapter's last word on a number: out of the port's map. */
void marty__consumer_forget(marty__consumer *consumer)
{
    marty__port *port = consumer->port;
    marty__lock(&port->lock);
    void *found = marty__map_take_u64(&port->consumers, consumer->number);
    marty__wake_all(&port->changed);
    marty__unlock(&port->lock);
    if (found) {
        marty__lock(&consumer->lock);
        consumer->gone = true; /* nothing is armed any more: on a closed bus nobody would ring */
        marty__unlock(&consumer->lock);
        disarm(consumer, &consumer->lease_alarm);
        disarm(consumer, &consumer->revoke_alarm);
        disarm(consumer, &consumer->watch_alarm);
        disarm(consumer, &consumer->again_alarm);
        disarm(consumer, &consumer->leave_alarm);
        disarm(consumer, &consumer->unmade_alarm);
        disarm(consumer, &consumer->stuck_alarm);
        marty__consumer_unref(consumer);
    }
}

/* ---- up and down */
/* With consumer->lock held: what was delivered before belongs to another epoch. */
void marty__consumer_lose_all(marty__consumer *consumer)
{
    (void)atomic_fetch_add(&consumer->epoch, 1);
    while (marty__list_pop(&consumer->unsettled)) {
        consumer->unsettled_count--;
    }
}

void marty__consumer_clear(marty__consumer *consumer, const marty__clear *what)
{
    marty_subscription *member;
    for (size_t at = SIZE_MAX; (member = marty__consumer_member(consumer, &at)) != NULL;) {
        marty__lanes_clear(member, what);
        marty__subscription_unref(member);
    }
}

void marty__consumer_up(marty__consumer *consumer)
{
    marty__lock(&consumer->lock);
    bool asks = !consumer->gone && !consumer->asked; /* else it joined just now, and did */
    consumer->restarting = consumer->restarting && !asks;
    marty__unlock(&consumer->lock);
    if (asks) {
        marty__consumer_subscribe(consumer);
    }
}

void marty__consumer_down(marty__consumer *consumer)
{
    marty__lock(&consumer->lock);
    consumer->subscribed = false;
    consumer->asked = consumer->asking = false;
    marty__wake_all(&consumer->changed);
    if (consumer->kind == MARTY_KIND_REPLY) {
        marty__reply_answer(consumer->port, false, MARTY_OK);
    }
    marty__consumer_lose_all(consumer);
    bool gone = consumer->gone || consumer->left;
    consumer->gone = gone;
    marty__unlock(&consumer->lock);
    marty__consumer_clear(consumer, &(marty__clear){.consumer = consumer, .lost = true});
    if (gone) {
        marty__consumer_forget(consumer);
    }
}

/* From the last to the first: the last one takes the place of one that leaves, so none that stays
 * is passed over. */
marty_subscription *marty__consumer_member(marty__consumer *consumer, size_t *at)
{
    marty__lock(&consumer->lock);
    *at = *at < consumer->member_count ? *at : consumer->member_count;
    marty_subscription *member = *at ? marty__subscription_ref(consumer->members[--*at]) : NULL;
    marty__unlock(&consumer->lock);
    return member;
}
