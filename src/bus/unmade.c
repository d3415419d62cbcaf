/* SPDX-License-Identifier: Apache-2.0
 * Deliveries that there was no memory for. Each tag waits a moment in its consumer, which has room
 * for all that were granted, and goes back uncounted: at once it would come again at once. Locks:
 * consumer->lock. */
#include "internal.h"

#include "base/alloc.h"

enum { MOMENT_MS = 100, AT_ONCE = 64 };

bool marty__unmade_reserve(marty__consumer *consumer, uint32_t credit)
{
    if (consumer->unmade_room >= credit || !marty__consumer_keeps(consumer)) {
        return true;
    }
    /* Doubled, else ten thousand members that join one by one copy it ten thousand times. */
    uint64_t twice = 2 * (uint64_t)consumer->unmade_room;
    uint32_t room = twice > credit && twice <= UINT32_MAX ? (uint32_t)twice : credit;
    marty__unmade *list = marty_realloc(consumer->unmade, room * sizeof *list);
    if (!list) {
        return false;
    }
    consumer->unmade = list;
    consumer->unmade_room = room;
    return true;
}

bool marty__unmade_add(marty__consumer *consumer, const marty_incoming *incoming)
{
    (void)atomic_fetch_add(&consumer->bus->dropped, 1);
    if (consumer->unmade_count == consumer->unmade_room) {
        return false; /* of what keeps nothing; or a member has left: its lease or connection ends
                       */
    }
    consumer->unmade[consumer->unmade_count++] = (marty__unmade){
        .tag = incoming->tag, .attempt = incoming->attempt, .epoch = consumer->epoch};
    consumer->settling++;
    return consumer->unmade_count == 1;
}

void marty__unmade_wait(marty__consumer *consumer)
{
    marty__consumer_arm(consumer, &consumer->unmade_alarm,
                        marty__deadline_ns(marty__bus_now(consumer->bus), MOMENT_MS));
}

void marty__unmade_rang(marty__alarm *alarm)
{
    marty__consumer *consumer = MARTY__OWNER(alarm, marty__consumer, unmade_alarm);
    marty__port *port = consumer->port;
    (void)marty__consumer_ref(consumer);
    if (!marty__port_command(port, &consumer->unmade_command)) {
        marty__consumer_unref(consumer);
    }
    marty__port_kick(port);
    marty__consumer_unref(consumer);
}

/* Up to a batch; ret_taken counts those of another epoch, too. */
static size_t take(marty__consumer *consumer, marty_settling *batch, size_t *ret_taken)
{
    size_t count = 0, taken = 0;
    marty__lock(&consumer->lock);
    while (taken < AT_ONCE && consumer->unmade_count) {
        marty__unmade one = consumer->unmade[--consumer->unmade_count];
        taken++;
        if (one.epoch == consumer->epoch) {
            batch[count++] = (marty_settling){.subscription = consumer->number,
                                              .tag = one.tag,
                                              .verb = MARTY_SETTLE_GIVE_BACK,
                                              .attempt = one.attempt};
        }
    }
    marty__unlock(&consumer->lock);
    *ret_taken = taken;
    return count;
}

void marty__unmade_run(marty__port *port, marty__command *command)
{
    marty__consumer *consumer = MARTY__OWNER(command, marty__consumer, unmade_command);
    marty_settling batch[AT_ONCE];
    size_t count, taken;
    do {
        count = take(consumer, batch, &taken);
        if (count && marty__port_usable(port)) {
            marty__lock(&port->lock);
            port->settling += count;
            marty__unlock(&port->lock);
            port->backend->settle(port->adapter, batch, count);
        }
        if (taken) {
            marty__lock(&consumer->lock);
            marty__consumer_settled_held(consumer, (uint32_t)count, (uint32_t)taken);
        }
    } while (taken);
    marty__consumer_unref(consumer);
}
