/* SPDX-License-Identifier: Apache-2.0
 * Leases of a consumer's unsettled deliveries: asked anew at a third of their length, as long as
 * they are handled, queued or kept; one that is kept for too long is given up. How long they are is
 * what the adapter says of each: looked at as often as the shortest needs, asked anew as early as
 * the longest does. Housekeeping thread.
 */
#include "internal.h"

enum { AT_ONCE = 128 };

#define LENGTH_MIN_NS (MARTY__LEASE_MIN_MS * (int64_t)MARTY__NS_PER_MS)

/* With consumer->lock held: looked at as often as the shortest needs. */
static int64_t tick_ns(const marty__consumer *consumer)
{
    return consumer->lease_short_ns / 3;
}

/* Two that came in one batch differ by moments. One that came late has little left of its lease,
 * or nothing, which says nothing of how long leases are. */
int64_t marty__lease_note(marty__consumer *consumer, int64_t until_ns, int64_t now_ns)
{
    int64_t left = until_ns - now_ns, length = left > LENGTH_MIN_NS ? left : LENGTH_MIN_NS;
    bool first = !consumer->lease_on;
    bool shorter = first || length < consumer->lease_short_ns - consumer->lease_short_ns / 8;
    consumer->lease_on = true;
    consumer->lease_ns = first || length > consumer->lease_ns ? length : consumer->lease_ns;
    consumer->lease_short_ns = shorter ? length : consumer->lease_short_ns;
    if (first && left >= length) {
        return now_ns + tick_ns(consumer);
    }
    return shorter ? now_ns : MARTY__NEVER;
}

int64_t marty__lease_shorten(marty__consumer *consumer, uint32_t lease_ms)
{
    int64_t now_ns = marty__bus_now(consumer->bus), at_ns = MARTY__NEVER;
    int64_t until_ns = marty__deadline_ns(now_ns, lease_ms);
    for (marty__link *link = consumer->unsettled.next; link != &consumer->unsettled;
         link = link->next) {
        marty__delivery *delivery = MARTY__OWNER(link, marty__delivery, unsettled);
        if (delivery->lease_until_ns != MARTY__NEVER && delivery->lease_until_ns > until_ns) {
            delivery->lease_until_ns = until_ns;
            int64_t this_ns = marty__lease_note(consumer, until_ns, now_ns);
            at_ns = this_ns < at_ns ? this_ns : at_ns;
        }
    }
    return at_ns;
}

/* Another thread may have found meanwhile that it has to be sooner. */
void marty__lease_start(marty__consumer *consumer, int64_t at_ns)
{
    marty__lock(&consumer->lock);
    if (!consumer->gone) { /* as for all of its alarms */
        (void)marty__consumer_ref(consumer);
        if (marty__alarm_set_earlier(consumer->bus, &consumer->lease_alarm, at_ns)) {
            marty__consumer_unref(consumer); /* it has one already */
        }
    }
    marty__unlock(&consumer->lock);
}

/* With consumer->lock held. */
static void queue_extend(marty__delivery *delivery, uint32_t extend_ms)
{
    marty__port *port = delivery->consumer->port;
    marty__lock(&port->lock);
    if (!delivery->extend_link.next) {
        (void)marty__delivery_ref(delivery);
        delivery->extend_ms = extend_ms;
        delivery->extend_attempt = marty__delivery_attempt(delivery);
        marty__list_push(&port->extends, &delivery->extend_link);
        port->settling++;
    }
    marty__unlock(&port->lock);
}

/* In somebody's hands still, and for too long: not one that is held, nor one whose last word is on
 * its way. */
static bool kept_too_long(const marty__delivery *delivery, int64_t now)
{
    uint32_t max_ms = delivery->subscription ? delivery->subscription->keep_max_ms : 0;
    int64_t handed = atomic_load_explicit(&delivery->handed_ns, memory_order_relaxed);
    return max_ms && handed && now > marty__deadline_ns(handed, max_ms) &&
           atomic_load(&delivery->user_refs) > 0;
}

/* With consumer->lock held, under which a batch is acked and one comes to be held: its verdict,
 * away from whoever has it. One just held may have its handler's hand on it for a moment more. */
static bool take_away(marty__delivery *delivery)
{
    int open = MARTY__OPEN_VERDICT;
    marty__lock(&delivery->subscription->lock);
    bool held = delivery->held;
    marty__unlock(&delivery->subscription->lock);
    return !held && !marty__delivery_stale(delivery) &&
           atomic_compare_exchange_strong(&delivery->verdict, &open, MARTY__SETTLED_VERDICT);
}

/* Extends what is due; one that is kept too long comes back with a reference and its verdict taken,
 * to be given up without the lock. */
static marty__delivery *renew(marty__consumer *consumer, int64_t now)
{
    int64_t length = consumer->lease_ns;
    for (marty__link *link = consumer->unsettled.next; link != &consumer->unsettled;
         link = link->next) {
        marty__delivery *delivery = MARTY__OWNER(link, marty__delivery, unsettled);
        if (delivery->lease_until_ns == MARTY__NEVER || delivery->revoked ||
            atomic_load(&delivery->verdict) == MARTY__LOST_VERDICT) {
            continue;
        }
        if (kept_too_long(delivery, now) && take_away(delivery)) {
            return marty__delivery_ref(delivery);
        }
        if (delivery->lease_until_ns - now < length * 2 / 3 + length / 12 && !delivery->extending) {
            delivery->extending = true;
            queue_extend(delivery, 0);
        }
    }
    return NULL;
}

static void give_up(marty__delivery *delivery)
{
    delivery->consumer->bus->hooks->failed(delivery, MARTY_E_TIMEOUT, 0,
                                           "kept longer than keep_max_ms");
    marty__delivery_unref(delivery);
}

void marty__lease_rang(marty__alarm *alarm)
{
    marty__consumer *consumer = MARTY__OWNER(alarm, marty__consumer, lease_alarm);
    int64_t now = marty__bus_now(consumer->bus);
    for (;;) {
        marty__lock(&consumer->lock);
        marty__delivery *old = renew(consumer, now);
        bool more = !marty__list_empty(&consumer->unsettled);
        int64_t next = now + tick_ns(consumer);
        consumer->lease_on = more;
        marty__unlock(&consumer->lock);
        if (old) {
            give_up(old);
            continue;
        }
        if (more) {
            marty__lease_start(consumer, next);
        }
        break;
    }
    marty__port_kick(consumer->port);
    marty__consumer_unref(consumer);
}

marty_err marty__lease_extend(marty__delivery *delivery, uint32_t delay_ms)
{
    marty__consumer *consumer = delivery->consumer;
    marty__lock(&consumer->lock);
    bool lost = marty__delivery_stale(delivery);
    if (!lost && !delivery->revoked && delivery->lease_until_ns != MARTY__NEVER) {
        queue_extend(delivery, delay_ms);
    }
    marty__unlock(&consumer->lock);
    marty__port_kick(consumer->port);
    return lost ? MARTY_E_LOST : MARTY_OK;
}

static size_t take_extends(marty__port *port, marty__delivery **list, marty_settling *batch)
{
    size_t count = 0;
    marty__link *link;
    marty__lock(&port->lock);
    while (count < AT_ONCE && (link = marty__list_pop(&port->extends)) != NULL) {
        marty__delivery *delivery = list[count] = MARTY__OWNER(link, marty__delivery, extend_link);
        batch[count++] = (marty_settling){.subscription = delivery->consumer->number,
                                          .tag = delivery->tag,
                                          .verb = MARTY_SETTLE_EXTEND,
                                          .delay_ms = delivery->extend_ms,
                                          .attempt = delivery->extend_attempt};
    }
    marty__unlock(&port->lock);
    return count;
}

void marty__extends_run(marty__port *port)
{
    marty__delivery *list[AT_ONCE];
    marty_settling batch[AT_ONCE];
    size_t count;
    while ((count = take_extends(port, list, batch)) > 0) {
        if (marty__port_usable(port)) {
            port->backend->settle(port->adapter, batch, count);
        }
        for (size_t i = 0; i < count && !marty__port_usable(port); i++) {
            marty__settled(port, batch[i].subscription, MARTY_SETTLE_EXTEND, &batch[i].tag, 1,
                           MARTY_E_LOST, 0);
        }
        marty__deliveries_unref(list, count);
    }
}

/* With consumer->lock held. The answers come about in the order of the unsettled ones, so each is
 * looked for from where the one before it was. */
static marty__delivery *with_tag(marty__consumer *consumer, marty__link **from, uint64_t tag)
{
    marty__link *link = *from;
    for (size_t i = 0; i <= consumer->unsettled_count; i++, link = link->next) {
        marty__delivery *delivery = MARTY__OWNER(link, marty__delivery, unsettled);
        if (link != &consumer->unsettled && delivery->tag == tag) {
            *from = link->next;
            return delivery;
        }
    }
    return NULL;
}

void marty__lease_answer(marty__consumer *consumer, const uint64_t *tags, size_t count,
                         marty_err result, int64_t lease_until_ns)
{
    uint32_t lost = 0;
    int64_t now = marty__bus_now(consumer->bus), at = MARTY__NEVER;
    marty__lock(&consumer->lock);
    marty__link *from = consumer->unsettled.next;
    for (size_t i = 0; i < count; i++) {
        marty__delivery *delivery = with_tag(consumer, &from, tags[i]);
        if (!delivery) {
            continue; /* settled meanwhile */
        }
        delivery->extending = false;
        if (result == MARTY_E_LOST) {
            marty__delivery_forfeit(delivery);
            lost++;
        } else if (!result && !delivery->revoked) {
            delivery->lease_until_ns = lease_until_ns;
            if (!delivery->extend_ms && lease_until_ns != MARTY__NEVER) {
                int64_t this = marty__lease_note(consumer, lease_until_ns, now);
                at = this < at ? this : at;
            }
        }
    }
    marty__unlock(&consumer->lock);
    if (at != MARTY__NEVER) {
        marty__lease_start(consumer, at);
    }
    if (lost) {
        marty__consumer_owe(consumer, lost);
    }
}
