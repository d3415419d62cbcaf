/* SPDX-License-Identifier: Apache-2.0
 * The last words on their way to the adapter. A worker collects those of its turn and hands them
 * over at once; others go one by one. Each carries a reference until the op has seen it. Credit
 * goes back with them. */
#include "internal.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/local.h"
#include "base/unset.h"

enum { AT_ONCE = 256, MANY = 32 };

static MARTY__LOCAL marty__turn *running; /* of this thread, or NULL */

void marty__settle_begin(marty__turn *turn, const marty_subscription *of)
{
    marty__list_init(&turn->settles);
    turn->of = of;
    turn->outer = running;
    running = turn;
}

static void give_to_port(marty__port *port, marty__link *list, size_t count)
{
    marty__lock(&port->lock);
    marty__list_move(&port->settles, list);
    port->settling += count;
    marty__unlock(&port->lock);
}

static void settle_beside(marty__port *port, marty__link *run);

/* By this thread, not by whoever runs the ops, if that gets more done: a few of one of many lanes
 * had better wait for those of the others. */
static bool goes_beside(const marty__port *port, size_t count)
{
    return port->backend->settles_beside && !marty__in_sink &&
           (count >= MANY || !marty__pool_crowded(port->bus));
}

static marty__port *port_of(const marty__link *settle)
{
    return MARTY__OWNER(settle, marty__delivery, settle_link)->consumer->port;
}

/* One run of deliveries of the same port after the other, in their order. */
static void hand_over(marty__link *settles)
{
    while (!marty__list_empty(settles)) {
        marty__port *port = port_of(settles->next);
        marty__link run, *at = settles->next;
        size_t count = 0;
        marty__list_init(&run);
        for (; at != settles && port_of(at) == port; at = at->next) {
            count++;
        }
        marty__list_move_until(&run, settles, at);
        marty__lock(&port->lock);
        port->settling += count;
        if (goes_beside(port, count) && marty__port_enter_held(port)) {
            marty__unlock(&port->lock);
            settle_beside(port, &run);
            marty__lock(&port->lock);
            marty__port_leave_held(port);
        } else {
            marty__list_move(&port->settles, &run);
        }
        marty__port_kick_held(port);
    }
}

void marty__settle_flush(marty__turn *turn)
{
    running = turn->outer;
    hand_over(&turn->settles);
}

void marty__settle_queue(marty__delivery *delivery)
{
    if (running && running->of == delivery->subscription) {
        marty__list_push(&running->settles, &delivery->settle_link);
        return;
    }
    marty__link one;
    marty__list_init(&one);
    marty__list_push(&one, &delivery->settle_link);
    give_to_port(delivery->consumer->port, &one, 1);
}

/* With consumer->lock held, under which what is kept for too long is taken away: off its unsettled
 * ones and onto the list, unless it is settled or, as of another epoch, LOST. */
static bool pass_on(marty__consumer *consumer, marty__delivery *delivery, marty__link *list)
{
    if (atomic_load(&delivery->verdict) != MARTY__OPEN_VERDICT) {
        return false;
    }
    if (marty__delivery_stale(delivery)) {
        atomic_store(&delivery->verdict, MARTY__LOST_VERDICT);
        return false;
    }
    if (delivery->unsettled.next) {
        marty__list_remove(&delivery->unsettled);
        consumer->unsettled_count--;
    }
    consumer->settling++;
    atomic_store_explicit(&delivery->verdict, MARTY__SETTLED_VERDICT, memory_order_relaxed);
    delivery->verb = MARTY_SETTLE_ACK;
    delivery->delay_ms = 0;
    marty__list_push(list, &delivery->settle_link);
    return true;
}

static void let_go_of(marty__delivery *delivery)
{
    if (atomic_load_explicit(&delivery->user_refs, memory_order_acquire) == 1) {
        /* its handler's, which is through, so nobody can take another: nothing to count with a lock
         */
        atomic_store_explicit(&delivery->user_refs, 0, memory_order_relaxed);
    } else {
        marty__delivery_end(delivery);
    }
}

void marty__deliveries_ack(marty__delivery **list, size_t count)
{
    marty_subscription *subscription = list[0]->subscription;
    marty__assert(running && running->of == subscription);
    marty__link acked;
    size_t rest = 0, lost = 0;
    marty__list_init(&acked);
    for (size_t i = 0; i < count;) {
        marty__consumer *consumer = list[i]->consumer;
        marty__lock(&consumer->lock);
        for (; i < count && list[i]->consumer == consumer; i++) {
            marty__delivery *delivery = list[i];
            let_go_of(delivery);
            if (!pass_on(consumer, delivery, &acked)) {
                lost += atomic_load(&delivery->verdict) == MARTY__LOST_VERDICT ? 1 : 0;
                list[rest++] = delivery;
            }
        }
        marty__unlock(&consumer->lock);
    }
    marty__subscription_count(subscription, MARTY__ACKED, count - rest);
    marty__subscription_count(subscription, MARTY__LOST, lost);
    marty__list_move(&running->settles, &acked);
    marty__deliveries_unref(list, rest); /* settled by the handler, or lost */
}

/* ---- to the adapter, by the runner or beside it */
static void fill(const marty__delivery *delivery, marty_settling *settling)
{
    *settling = (marty_settling){.subscription = delivery->consumer->number,
                                 .tag = delivery->tag,
                                 .verb = delivery->verb,
                                 .delay_ms = delivery->delay_ms,
                                 .attempt = marty__delivery_attempt(delivery),
                                 .dead = delivery->dead ? &delivery->dead->outgoing : NULL};
}

static void free_dead(marty__delivery *delivery)
{
    if (delivery->dead) {
        marty_message_unref(delivery->dead->message);
        marty_free(delivery->dead);
        delivery->dead = NULL;
    }
}

/* What they were worth goes back as credit, and their references. Those lost meanwhile have given
 * theirs back then; under the lock, as another thread may begin the next epoch right now. */
static void let_go(marty__delivery **list, size_t count)
{
    for (size_t i = 0; i < count;) {
        marty__consumer *consumer = list[i]->consumer;
        uint32_t owed = 0, settled = 0;
        marty__lock(&consumer->lock);
        for (; i < count && list[i]->consumer == consumer; i++) {
            owed += marty__delivery_stale(list[i]) ? 0 : 1;
            settled++;
            free_dead(list[i]);
        }
        marty__consumer_settled_held(consumer, owed, settled);
    }
    marty__deliveries_unref(list, count);
}

/* The next ones of a list, cut off in one piece. */
static size_t take(marty__link *from, marty__delivery **list, marty_settling *batch)
{
    size_t count = 0;
    marty__link taken, *link = from->next;
    for (; count < AT_ONCE && link != from; link = link->next, count++) {
        list[count] = MARTY__OWNER(link, marty__delivery, settle_link);
        fill(list[count], &batch[count]);
    }
    marty__list_init(&taken);
    marty__list_move_until(&taken, from, link);
    return count;
}

void marty__settles_run(marty__port *port)
{
    MARTY__UNSET marty__delivery *list[AT_ONCE];
    MARTY__UNSET marty_settling batch[AT_ONCE];
    marty__lock(&port->lock);
    bool usable = marty__port_usable_held(port);
    size_t count = take(&port->settles, list, batch);
    marty__unlock(&port->lock);
    if (usable && count) {
        port->backend->settle(port->adapter, batch, count);
    }
    for (size_t i = 0; i < count && !usable; i++) {
        marty__settled(port, batch[i].subscription, batch[i].verb, &batch[i].tag, 1, MARTY_E_LOST,
                       0);
    }
    let_go(list, count);
}

/* By the thread that has run them, while another is in an op, perhaps for long. */
static void settle_beside(marty__port *port, marty__link *run)
{
    MARTY__UNSET marty__delivery *list[AT_ONCE];
    MARTY__UNSET marty_settling batch[AT_ONCE];
    for (size_t count; (count = take(run, list, batch)) > 0;) {
        port->backend->settle(port->adapter, batch, count);
        let_go(list, count);
    }
}

/* ---- answers */
static void count_answers(marty__consumer *consumer, size_t count, marty_err result)
{
    marty__lock(&consumer->lock);
    if (result == MARTY_E_LOST) {
        consumer->lost += count;
    } else if (result) {
        consumer->settle_failed += count;
    }
    marty__unlock(&consumer->lock);
}

void marty__settled(marty__port *port, uint64_t subscription, marty_verb verb, const uint64_t *tags,
                    size_t count, marty_err result, int64_t lease_until_ns)
{
    marty__lock(&port->lock);
    port->settling -= port->settling < count ? port->settling : count;
    bool none = port->settling == 0;
    marty__consumer *consumer = NULL;
    if (result || verb == MARTY_SETTLE_EXTEND ||
        verb == MARTY_SETTLE_GIVE_BACK) { /* else there is nothing to note */
        consumer = marty__map_get_u64(&port->consumers, subscription);
    }
    if (consumer) {
        (void)marty__consumer_ref(consumer);
    }
    marty__unlock(&port->lock);
    if (consumer) {
        if (verb == MARTY_SETTLE_EXTEND) {
            marty__lease_answer(consumer, tags, count, result, lease_until_ns);
        } else {
            count_answers(consumer, count, result);
        }
        if (verb == MARTY_SETTLE_GIVE_BACK) {
            marty__stuck_answered(consumer, tags, count);
        }
        marty__consumer_unref(consumer);
    }
    if (none) {
        marty__life_step(port->bus);
    }
}
