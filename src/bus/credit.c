/* SPDX-License-Identifier: Apache-2.0
 * What an adapter may have unsettled with us: all of a consumer's credit when it subscribes anew,
 * then what is settled is owed and goes back to it in eighths. Reckoned under consumer->lock, and
 * queued under it. */
#include "internal.h"

/* Nothing flows before the bus is started, so that no message misses a handler registered later;
 * what keeps nothing cannot wait. Nor in a drain: what is given back would come again at once. */
static bool may_flow(const marty__consumer *consumer)
{
    bool keeps_nothing =
        consumer->kind == MARTY_KIND_BROADCAST || consumer->kind == MARTY_KIND_REPLY;
    bool open = atomic_load(&consumer->bus->phase) == MARTY__OPEN ||
                consumer->kind == MARTY_KIND_REPLY; /* running handlers may still ask */
    return open && (atomic_load(&consumer->bus->started) || keeps_nothing) && !consumer->paused &&
           !consumer->left;
}

uint32_t marty__consumer_first_credit(marty__consumer *consumer)
{
    if (consumer->reset) {
        marty__consumer_lose_all(consumer);
    }
    marty__lock(&consumer->port->lock);
    consumer->grant = 0;
    consumer->take_back = false;
    marty__unlock(&consumer->port->lock);
    size_t unsettled = consumer->unsettled_count;
    uint32_t credit = consumer->credit > unsettled ? (uint32_t)(consumer->credit - unsettled) : 0;
    bool flows = may_flow(consumer);
    consumer->owed = flows ? 0 : credit;
    consumer->surplus = 0;
    return flows ? credit : 0;
}

/* With consumer->lock held: so nothing is granted by what was reckoned before it leaves, or before
 * it asks anew. */
static void queue_grant(marty__consumer *consumer, uint32_t grant, bool take_back)
{
    marty__port *port = consumer->port;
    marty__lock(&port->lock);
    consumer->grant = take_back ? 0 : consumer->grant + grant;
    consumer->take_back = consumer->take_back || take_back;
    if (!consumer->grant_link.next) {
        (void)marty__consumer_ref(consumer);
        marty__list_push(&port->grants, &consumer->grant_link);
    }
    marty__unlock(&port->lock);
}

/* With consumer->lock held: what may be granted of what is owed. An eighth of the credit goes back
 * together; or what there is, once the broker has no more than that left, or too little for the
 * batches that a member waits for. */
static uint32_t grant_of(marty__consumer *consumer, uint32_t count)
{
    uint32_t grant = 0, paid = count < consumer->surplus ? count : consumer->surplus;
    consumer->surplus -= paid;
    consumer->owed += count - paid;
    size_t spent = consumer->unsettled_count + consumer->owed;
    bool short_of =
        spent + consumer->owed >= consumer->credit || spent + consumer->batches > consumer->credit;
    bool enough = (uint64_t)consumer->owed * 8 >= consumer->credit || short_of;
    if (enough && consumer->asked && may_flow(consumer)) {
        grant = consumer->owed;
        consumer->owed = 0;
    }
    return grant;
}

void marty__consumer_settled_held(marty__consumer *consumer, uint32_t owed, uint32_t settled)
{
    uint32_t grant = grant_of(consumer, owed);
    consumer->settling -= settled;
    bool ends = marty__consumer_ends(consumer);
    if (grant && !ends) {
        queue_grant(consumer, grant, false);
    }
    marty__unlock(&consumer->lock);
    if (ends) {
        marty__consumer_end(consumer);
    }
}

void marty__consumer_owe(marty__consumer *consumer, uint32_t count)
{
    marty__lock(&consumer->lock);
    marty__consumer_settled_held(consumer, count, 0);
}

void marty__consumer_take_back(marty__consumer *consumer)
{
    marty__lock(&consumer->lock);
    queue_grant(consumer, 0, true);
    marty__unlock(&consumer->lock);
    marty__port_kick(consumer->port);
}

void marty__consumer_pause(marty__consumer *consumer)
{
    bool paused = true;
    marty__lock(&consumer->lock);
    for (size_t i = 0; i < consumer->member_count; i++) {
        paused = paused && consumer->members[i]->paused;
    }
    consumer->paused = paused;
    marty__unlock(&consumer->lock);
    if (!paused) {
        marty__consumer_owe(consumer, 0);
        marty__port_kick(consumer->port);
    }
}
