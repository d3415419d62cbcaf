/* SPDX-License-Identifier: Apache-2.0
 * The settle op: finds each delivery by its tag and queues it for the writer, needing no memory but
 * for a dead letter. What it cannot find is too late: LOST, answered at once. Deliveries that keep
 * nothing (queries, replies, broadcasts) are settled already: OK. Any thread. */
#include "port.h"

#include "base/alloc.h"

#include <string.h>

enum { ANSWERS = 64 };
typedef struct answers { /* of settlings alike, told in one call */
    uint64_t subscription;
    marty_verb verb;
    marty_err result;
    size_t count;
    uint64_t tags[ANSWERS];
} answers;

static void tell(const marty_port *port, answers *told)
{
    if (told->count) {
        port->sink->settled(port->sink, told->subscription, told->verb, told->tags, told->count,
                            told->result, 0);
        told->count = 0;
    }
}

static void answer(const marty_port *port, answers *told, const marty_settling *settling,
                   marty_err result)
{
    if (told->count == ANSWERS || told->subscription != settling->subscription ||
        told->verb != settling->verb || told->result != result) {
        tell(port, told);
    }
    told->subscription = settling->subscription;
    told->verb = settling->verb;
    told->result = result;
    told->tags[told->count++] = settling->tag;
}

static sq_item *find(const marty_port *port, const sq_sub *sub, uint64_t tag)
{
    sq_claim *claim = marty__map_get_u64(&port->claims, tag >> SQ_TAG_BITS);
    uint64_t index = tag & (SQ_CLAIM_MAX - 1);
    if (!claim || claim->sub != sub || index >= claim->count) {
        return NULL;
    }
    return claim->items[index].stand == SQ_OUT ? &claim->items[index] : NULL;
}

/* The dead letter to store in its place. Under the lock. */
static marty_err take_dead(marty_port *port, sq_item *item, const marty_outgoing *dead)
{
    marty_error why;
    if (!dead) {
        return MARTY_OK;
    }
    marty_err err = marty__sq_channel_check(port, &dead->channel, &why);
    if (err) {
        return err;
    }
    sq_entry *entry = marty_alloc_zero(1, sizeof *entry);
    sq_channel *channel = entry ? marty__sq_channel_of(port, &dead->channel, false) : NULL;
    if (!channel) {
        marty_free(entry);
        return MARTY_E_NO_MEMORY;
    }
    entry->channel = channel;
    entry->message = marty_message_ref(dead->message);
    item->dead = entry;
    return MARTY_OK;
}

static void extend(marty_port *port, sq_item *item, uint32_t delay_ms)
{
    item->extend_ms = delay_ms;
    item->extends++;
    if (!item->extend_queued) {
        item->extend_queued = true;
        marty__list_push(&port->extends, &item->extending);
    }
}

/* OK = queued. Under the lock. */
static marty_err queue(marty_port *port, const marty_settling *settling, bool *ret_queued)
{
    sq_sub *sub = marty__map_get_u64(&port->subs, settling->subscription);
    *ret_queued = false;
    if (sub && !marty__sq_kind_keeps(sub->channel->kind)) {
        return MARTY_OK;
    }
    sq_item *item = sub && port->up ? find(port, sub, settling->tag) : NULL;
    if (!item) {
        return MARTY_E_LOST;
    }
    marty_err err =
        settling->verb == MARTY_SETTLE_REJECT ? take_dead(port, item, settling->dead) : MARTY_OK;
    if (err) {
        return err;
    }
    *ret_queued = true;
    if (settling->verb == MARTY_SETTLE_EXTEND) {
        extend(port, item, settling->delay_ms);
        return MARTY_OK;
    }
    item->stand = SQ_SETTLING;
    item->verb = settling->verb;
    item->delay_ms = settling->delay_ms;
    marty__list_push(&port->settles, &item->link);
    return MARTY_OK;
}

/* Queue from batch[i] on until an answer has to be told; returns where that is, or count. */
static size_t queue_some(marty_port *port, const marty_settling batch[], size_t i, size_t count,
                         marty_err *ret_err)
{
    bool queued = true, any = false;
    marty__lock(&port->lock);
    for (; i < count; i++) {
        *ret_err = queue(port, &batch[i], &queued);
        if (!queued) {
            break;
        }
        any = true;
    }
    sq_slot *sleeper = any ? marty__sq_swing(port) : NULL;
    marty__unlock(&port->lock);
    if (sleeper) {
        marty__sq_bell_wake(sleeper);
    }
    return i;
}

void marty__sq_settle(marty_port *port, const marty_settling batch[], size_t count)
{
    answers told = {.count = 0};
    for (size_t i = 0; i < count; i++) {
        marty_err err = MARTY_OK;
        i = queue_some(port, batch, i, count, &err);
        if (i < count) {
            answer(port, &told, &batch[i], err);
        }
    }
    tell(port, &told);
}
