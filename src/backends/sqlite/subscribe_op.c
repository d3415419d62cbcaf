/* SPDX-License-Identifier: Apache-2.0
 * The ops of subscriptions, any thread: like all they check, take what they need with its memory,
 * and leave it to the writer. Whether the port is up is asked under the lock in which it is queued,
 * so nothing is left behind where nobody looks any more. */
#include "work.h"

#include "base/alloc.h"

#include <string.h>

static void count_bit(marty_port *port, const sq_sub *sub, int by)
{
    uint32_t *users = sub->wild ? &port->wild_users : &port->bit_users[sub->channel->bit];
    *users = (uint32_t)((int)*users + by);
}

/* The writer's, under the lock. */
void marty__sq_sub_free(marty_port *port, sq_sub *sub)
{
    count_bit(port, sub, -1);
    port->interest_stale = true;
    marty__list_remove(&sub->granted);
    marty__list_remove(&sub->hungry);
    marty__list_remove(&sub->bucket);
    marty__heap_remove(&port->due, &sub->due);
    marty_free(sub->group);
    marty_free(sub);
}

static sq_sub *sub_new(marty_port *port, uint64_t number, const marty_want *want)
{
    sq_sub *sub = marty_alloc_zero(1, sizeof *sub);
    if (!sub) {
        return NULL;
    }
    marty_kind kind = want->channel.kind;
    bool shared = kind == MARTY_KIND_TOPIC || kind == MARTY_KIND_STREAM;
    sub->number = number;
    sub->credit = want->credit;
    sub->order = want->channel.order;
    sub->wild = marty__sq_is_wild(want->channel.name);
    sub->owned = shared && !want->channel.group;
    sub->channel = marty__sq_channel_of(port, &want->channel, false);
    sub->bye.kind = SQ_UNSUBSCRIBE;
    sub->bye.sub = sub;
    marty__list_init(&sub->claims);
    if (!sub->channel || !marty__sq_copy(&sub->group, shared ? want->channel.group : "") ||
        !marty__map_put_u64(&port->subs, number, sub)) {
        marty_free(sub->group);
        marty_free(sub);
        return NULL;
    }
    count_bit(port, sub, 1);
    port->interest_stale = true;
    return sub;
}

static marty_err check_want(const marty_port *port, const marty_want *want, marty_error *why)
{
    marty_err err = marty__sq_channel_check(port, &want->channel, why);
    if (err) {
        return err;
    }
    marty_kind kind = want->channel.kind;
    bool wild = marty__sq_is_wild(want->channel.name);
    if (kind == MARTY_KIND_DEAD || (wild && kind != MARTY_KIND_TOPIC && kind != MARTY_KIND_STREAM &&
                                    kind != MARTY_KIND_BROADCAST)) {
        return marty_error_set(why, MARTY_E_UNSUPPORTED,
                               "channel %s: sqlite has no subscription to %s", want->channel.name,
                               wild ? "several channels of this kind" : "dead letters");
    }
    if (want->start.from == MARTY_FROM_POSITION &&
        !marty__sq_position_read(want->start.position, 1)) {
        return marty_error_set(why, MARTY_E_ARGUMENT,
                               "channel %s: \"%.48s\" is no position; it is a number, as a "
                               "delivery shows it",
                               want->channel.name,
                               want->start.position ? want->start.position : "");
    }
    return MARTY_OK;
}

/* Under the lock. */
static void set_credit(marty_port *port, sq_sub *sub, uint32_t credit)
{
    sub->credit = credit;
    if (!sub->granted.next) {
        marty__list_push(&port->granted, &sub->granted);
    }
}

static marty_err queue_subscribe(marty_port *port, uint64_t number, const marty_want *want,
                                 sq_control *control)
{
    if (!port->up) {
        return MARTY_E_UNAVAILABLE;
    }
    sq_sub *sub = marty__map_get_u64(&port->subs, number);
    if (sub) {
        set_credit(port, sub,
                   want->reset || want->credit > sub->credit ? want->credit : sub->credit);
    } else {
        sub = sub_new(port, number, want);
    }
    if (!sub) {
        return MARTY_E_NO_MEMORY;
    }
    control->kind = SQ_SUBSCRIBE;
    control->sub = sub;
    int64_t asked_us = (int64_t)want->lease_ms * 1000, most_us = port->options.lease_us;
    control->lease_us = asked_us && asked_us < most_us ? asked_us : most_us;
    control->start = want->start;
    control->start.position = control->id;
    control->reset = want->reset;
    marty__sq_control_queue(port, control);
    return MARTY_OK;
}

marty_err marty__sq_subscribe(marty_port *port, uint64_t subscription, const marty_want *want,
                              marty_error *why)
{
    marty_err err = check_want(port, want, why);
    if (err) {
        return err;
    }
    sq_control *control = marty_alloc_zero(1, sizeof *control);
    err = control && marty__sq_copy(&control->id, want->start.position) ? MARTY_OK
                                                                        : MARTY_E_NO_MEMORY;
    if (!err) {
        marty__lock(&port->lock);
        err = queue_subscribe(port, subscription, want, control);
        marty__unlock(&port->lock);
    }
    if (err) {
        marty_free(control ? control->id : NULL);
        marty_free(control);
        return marty__sq_not_queued(port, err, why);
    }
    return MARTY_OK;
}

void marty__sq_grant(marty_port *port, uint64_t subscription, uint32_t credit)
{
    marty__lock(&port->lock);
    sq_sub *sub = marty__map_get_u64(&port->subs, subscription);
    if (sub) {
        uint32_t more = credit > UINT32_MAX - sub->credit ? UINT32_MAX : sub->credit + credit;
        set_credit(port, sub, credit ? more : 0);
        marty__sq_wake(port);
    }
    marty__unlock(&port->lock);
}

void marty__sq_unsubscribe(marty_port *port, uint64_t subscription)
{
    marty__lock(&port->lock);
    bool queued = false; /* not up: the writer is about to free it */
    sq_sub *sub = port->up ? marty__map_take_u64(&port->subs, subscription) : NULL;
    if (sub) {
        marty__sq_control_queue(port, &sub->bye);
        queued = true;
    }
    marty__unlock(&port->lock);
    if (!queued) {
        port->sink->subscribed(port->sink, subscription, MARTY_E_CLOSED, "it was not subscribed");
    }
}
