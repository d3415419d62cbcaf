/* SPDX-License-Identifier: Apache-2.0
 * Another try. Where order by key is asked the message is held and its key waits; else the broker
 * delays it if it can, or it is held in memory for a short while, or a copy for its group goes out
 * with a time before which it does not come. Copy first, then ack: a crash between gives a
 * duplicate, never a loss. */
#include "reliability.h"

#include "message/message.h"

#include <stdio.h>
#include <string.h>

/* Delay before try number attempt + 1: exponential from first to max, with full jitter unless told
 * not to. */
static uint32_t backoff_ms(const marty_retry_policy *policy, uint32_t attempt, const marty_env *env)
{
    uint32_t doublings = attempt > 1 ? attempt - 1 : 0;
    uint64_t ceiling = (uint64_t)policy->first_ms << (doublings < 31 ? doublings : 31);
    ceiling = ceiling > policy->max_ms ? policy->max_ms : ceiling;
    if (policy->no_jitter) {
        return (uint32_t)ceiling;
    }
    uint64_t chance = 0;
    env->random(env->user, &chance, sizeof chance);
    return (uint32_t)(1 + chance % (ceiling ? ceiling : 1)); /* full jitter, never nothing */
}

static marty_retry_policy policy_of(const marty__delivery *delivery)
{
    if (delivery->subscription) {
        return delivery->subscription->retry;
    }
    marty_retry_policy policy = delivery->consumer->bus->config->retry;
    policy.attempts = policy.attempts ? policy.attempts : MARTY__RETRY_ATTEMPTS;
    policy.first_ms = policy.first_ms ? policy.first_ms : MARTY__RETRY_FIRST_MS;
    policy.max_ms = policy.max_ms ? policy.max_ms : MARTY__RETRY_MAX_MS;
    return policy;
}

/* ---- before the handler */
bool marty__retry_admit(marty__delivery *delivery)
{
    marty_bus *bus = delivery->consumer->bus;
    marty_retry_policy policy = policy_of(delivery);
    if (marty__delivery_expired(delivery)) {
        if (!marty__delivery_take(delivery)) {
            (void)atomic_fetch_add(&bus->expired, 1);
            marty__delivery_finish(delivery, MARTY_SETTLE_ACK, 0);
        }
        return false;
    }
    uint64_t worn_out = 2 * (uint64_t)policy.attempts + MARTY__WORN_OUT_EXTRA;
    if (policy.attempts != UINT32_MAX && delivery->handle.attempt > worn_out) {
        if (!marty__delivery_take(delivery)) {
            marty__dead_letter(
                delivery, MARTY_E_INTERNAL,
                "delivered again and again and never settled: it seems to kill its process");
        }
        return false;
    }
    return true;
}

/* ---- the copy */
static void copied(marty__call *call)
{
    marty__delivery *delivery = call->user;
    marty_err err = call->posts[0].err;
    if (err) {
        marty__delivery_finish(delivery, MARTY_SETTLE_RETRY,
                               0); /* no copy: the original comes again by itself */
    } else {
        marty__delivery_finish(delivery, MARTY_SETTLE_ACK, 0);
    }
    marty__port_kick_later(delivery->consumer->port);
    marty__delivery_unref(delivery);
}

static marty_err publish_copy(marty__delivery *delivery, uint32_t delay_ms)
{
    marty__consumer *consumer = delivery->consumer;
    marty_bus *bus = consumer->bus;
    char count[16], id[37];
    (void)snprintf(count, sizeof count, "%u", delivery->handle.attempt);
    marty__copy_id(id, delivery->handle.message->id, "retry", consumer->group,
                   delivery->handle.attempt);
    const marty_header set[] = {
        {"martyattempts", marty_text(count), MARTY_ATTRIBUTE},
        {MARTY__COPY_OF, marty_text(delivery->handle.message->id), MARTY_ATTRIBUTE}};
    marty__change change = {.id = id, .set = set, .set_count = 2};
    size_t group_size = strlen(consumer->group) + 1;
    marty__call *call = marty__call_new(bus, 1, 1, group_size);
    if (!call) {
        return MARTY_E_NO_MEMORY;
    }
    memcpy(call->strings, consumer->group, group_size);
    marty__call_go(call, &(marty__way){.port = consumer->port,
                                       .like.channel = {.name = delivery->handle.channel,
                                                        .group = call->strings,
                                                        .kind = consumer->kind,
                                                        .order = consumer->order,
                                                        .shards = consumer->shards,
                                                        .native = consumer->native},
                                       .like.deliver_at_us = marty__bus_wall(bus) +
                                                             (int64_t)delay_ms * MARTY__US_PER_MS});
    marty_message *copy = NULL;
    marty_err err = marty__message_copy_with(&copy, delivery->handle.message, &change, NULL);
    call->deadline_ns = marty__bus_deadline(bus, 0, MARTY__TIMEOUT_MS);
    call->completed = copied;
    call->user = marty__delivery_ref(delivery);
    if (!err) {
        marty__call_add(call, copy);
        err = marty__call_accept(call, false, NULL);
    }
    if (err) {
        marty__delivery_unref(delivery);
    }
    marty__call_unref(call);
    return err;
}

/* ---- after it */
static bool may_hold(const marty__delivery *delivery, uint32_t delay_ms)
{
    marty__consumer *consumer = delivery->consumer;
    marty__lock(&consumer->lock);
    bool room = consumer->unsettled_count <= consumer->credit - consumer->credit / 4;
    marty__unlock(&consumer->lock);
    return delay_ms <= consumer->bus->config->hold_max_ms && room;
}

/* Whether a copy may be published that comes so much later. */
static bool may_delay(const marty__consumer *consumer, uint32_t delay_ms)
{
    uint64_t limit = marty__port_granted(consumer->port)->delay_ms_max;
    return (!limit || delay_ms <= limit) &&
           marty__port_can(consumer->port, consumer->kind, consumer->order, MARTY_CAN_DELAY);
}

static void try_again(marty__delivery *delivery, uint32_t delay_ms, bool counted)
{
    marty__consumer *consumer = delivery->consumer;
    marty__port *port = consumer->port;
    const marty_capabilities *granted = marty__port_granted(port);
    uint64_t limit = granted->retry_ms_max, step = granted->delay_step_ms;
    bool coarse = step && delay_ms < 4 * step; /* it would come much later than asked */
    marty_verb verb = counted ? MARTY_SETTLE_RETRY : MARTY_SETTLE_GIVE_BACK;
    bool native = marty__port_can(port, consumer->kind, consumer->order, MARTY_CAN_DELAYED_RETRY) &&
                  (!limit || delay_ms <= limit) && !(coarse && may_hold(delivery, delay_ms));
    bool keeps_count = !counted && granted->give_back_counts;
    if (delivery->subscription && consumer->order == MARTY_ORDER_KEY) {
        marty__delivery_hold(delivery, delay_ms, counted);
    } else if (delivery->subscription && keeps_count && may_hold(delivery, delay_ms)) {
        marty__delivery_hold(delivery, delay_ms, false);
    } else if (!delay_ms || native || !delivery->subscription) {
        marty__delivery_finish(delivery, verb, native ? delay_ms : 0);
    } else if (may_hold(delivery, delay_ms) || !counted || !consumer->group ||
               !may_delay(consumer, delay_ms) || publish_copy(delivery, delay_ms)) {
        marty__delivery_hold(delivery, delay_ms, counted);
    }
}

void marty__retry_failed(marty__delivery *delivery, marty_err err, uint32_t delay_ms,
                         const char *reason)
{
    marty_retry_policy policy = policy_of(delivery);
    if (policy.attempts != UINT32_MAX && delivery->handle.attempt >= policy.attempts) {
        marty__dead_letter(delivery, err, reason);
        return;
    }
    if (delay_ms == (uint32_t)MARTY__AT_ONCE) {
        delay_ms = 0;
    } else if (!delay_ms) {
        delay_ms = backoff_ms(&policy, delivery->handle.attempt, &delivery->consumer->bus->env);
    }
    try_again(delivery, delay_ms, true);
}

void marty__retry_given_back(marty__delivery *delivery, uint32_t delay_ms)
{
    try_again(delivery, delay_ms, false);
}
