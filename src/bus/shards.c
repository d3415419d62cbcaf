/* SPDX-License-Identifier: Apache-2.0
 * Shards that an adapter will lose at a deadline. What of them is queued or held in memory goes
 * back at once, so that the next owner has it; what runs or is kept may be settled until the
 * deadline, as if its lease ended there and could not be renewed, and is LOST after it. Its credit
 * goes back then, as for all that is lost. The deadline is kept by the housekeeping thread. */
#include "internal.h"

static bool is_among(uint32_t shard, const uint32_t *shards, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (shards[i] == shard) {
            return true;
        }
    }
    return false;
}

/* With consumer->lock held: their leases end then. */
static bool mark(marty__consumer *consumer, const uint32_t *shards, size_t count,
                 int64_t deadline_ns)
{
    bool any = false;
    for (marty__link *link = consumer->unsettled.next; link != &consumer->unsettled;
         link = link->next) {
        marty__delivery *delivery = MARTY__OWNER(link, marty__delivery, unsettled);
        if (!is_among(delivery->handle.shard, shards, count)) {
            continue;
        }
        bool sooner = !delivery->revoked || deadline_ns < delivery->lease_until_ns;
        if (sooner && deadline_ns < delivery->lease_until_ns) {
            delivery->lease_until_ns = deadline_ns;
        }
        delivery->revoked = true;
        any = true;
    }
    return any;
}

/* With consumer->lock held: what is over is lost. Returns how many; when the next ones are. */
static uint32_t forfeit_due(marty__consumer *consumer, int64_t now_ns, int64_t *ret_next_ns)
{
    uint32_t lost = 0;
    *ret_next_ns = MARTY__NEVER;
    for (marty__link *link = consumer->unsettled.next, *next; link != &consumer->unsettled;
         link = next) {
        next = link->next;
        marty__delivery *delivery = MARTY__OWNER(link, marty__delivery, unsettled);
        if (delivery->revoked && delivery->lease_until_ns <= now_ns) {
            marty__delivery_forfeit(delivery);
            lost++;
        } else if (delivery->revoked && delivery->lease_until_ns < *ret_next_ns) {
            *ret_next_ns = delivery->lease_until_ns;
        }
    }
    return lost;
}

static void forfeit_and_rearm(marty__consumer *consumer)
{
    int64_t next_ns = MARTY__NEVER, now_ns = marty__bus_now(consumer->bus);
    marty__lock(&consumer->lock);
    uint32_t lost = forfeit_due(consumer, now_ns, &next_ns);
    if (next_ns < consumer->revoke_ns) {
        consumer->revoke_ns = next_ns;
        marty__consumer_arm_held(consumer, &consumer->revoke_alarm, next_ns);
    }
    marty__unlock(&consumer->lock);
    if (lost) {
        marty__bus_log(consumer->bus, 1,
                       "%s: %u deliveries of %s were not settled before their "
                       "shards went to others",
                       consumer->port->name, lost, consumer->channel);
        marty__consumer_owe(consumer, lost);
    }
}

void marty__revoke_rang(marty__alarm *alarm)
{
    marty__consumer *consumer = MARTY__OWNER(alarm, marty__consumer, revoke_alarm);
    marty__lock(&consumer->lock);
    consumer->revoke_ns = MARTY__NEVER;
    marty__unlock(&consumer->lock);
    forfeit_and_rearm(consumer);
    marty__port_kick(consumer->port);
    marty__consumer_unref(consumer);
}

void marty__consumer_revoked(marty__consumer *consumer, const uint32_t *shards, size_t count,
                             int64_t deadline_ns)
{
    marty__lock(&consumer->lock);
    bool any = mark(consumer, shards, count, deadline_ns);
    marty__unlock(&consumer->lock);
    if (!any) {
        return;
    }
    if (deadline_ns > marty__bus_now(consumer->bus)) {
        marty__consumer_clear(
            consumer,
            &(marty__clear){.consumer = consumer, .shards = shards, .shard_count = count});
    }
    forfeit_and_rearm(consumer);
    marty__port_kick_later(consumer->port); /* what went back, and what is owed */
}
