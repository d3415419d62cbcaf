/* SPDX-License-Identifier: Apache-2.0
 * Writing a dead letter: the message as it was, plus why, when, after how many attempts and where
 * from. In one step where the backend can; else stored first and acked then. One that cannot be
 * written stays with the original: told as STALLED, never lost. Its id follows from the message and
 * its group, so a letter written twice folds. */
#include "reliability.h"

#include "backend/capability.h"
#include "base/alloc.h"
#include "base/number.h"
#include "base/time.h"
#include "message/message.h"

#include <stdio.h>
#include <string.h>

enum { AGAIN_MS = 1000, ATTRIBUTES = 14 };

typedef struct details { /* the texts that the attributes point to */
    marty_header set[ATTRIBUTES];
    size_t count;
    char attempts[16], time[MARTY__TIME_TEXT], cause[MARTY__REASON_BYTES_MAX + 1], replays[16],
        shards[16], to[MARTY__CHANNEL_ROOM];
} details;

static void say(details *to, const char *name, const char *value)
{
    if (value && *value) {
        to->set[to->count++] = (marty_header){name, marty_text(value), MARTY_ATTRIBUTE};
    }
}

/* Service of a command, name of a stream: where a replay goes. */
static const char *addressee(const marty__delivery *delivery, char room[MARTY__CHANNEL_ROOM])
{
    const marty_subscription *subscription = delivery->subscription;
    const marty__consumer *consumer = delivery->consumer;
    if (consumer->kind == MARTY_KIND_STREAM && consumer->wild &&
        marty__route_stream(consumer->bus->config, delivery->handle.channel, room)) {
        return room;
    }
    if (!subscription) {
        return delivery->consumer->kind == MARTY_KIND_QUEUE ? delivery->consumer->group : NULL;
    }
    return subscription->pattern == MARTY_COMMAND  ? subscription->service
           : subscription->pattern == MARTY_STREAM ? subscription->name
                                                   : NULL;
}

static void describe(details *to, const marty__delivery *delivery, marty_err code,
                     const char *reason)
{
    const marty__consumer *consumer = delivery->consumer;
    const char *why = reason && *reason ? reason : marty_err_describe(code)->text;
    *to = (details){0};
    (void)marty__text_clean(to->cause, sizeof to->cause, why, strlen(why));
    (void)snprintf(to->attempts, sizeof to->attempts, "%u", delivery->handle.attempt);
    (void)marty__time_format(to->time, marty__bus_wall(consumer->bus));
    marty_bytes replays = marty__message_attribute(delivery->handle.message, "martyreplays");
    (void)snprintf(to->replays, sizeof to->replays, "%.*s",
                   (int)(replays.size < 8 ? replays.size : 8),
                   replays.data ? (const char *)replays.data : "0");
    marty_pattern pattern = delivery->subscription                ? delivery->subscription->pattern
                            : consumer->kind == MARTY_KIND_QUEUE  ? MARTY_COMMAND
                            : consumer->kind == MARTY_KIND_STREAM ? MARTY_STREAM
                                                                  : MARTY_EVENT;
    say(to, "martydeadcause", to->cause);
    say(to, "martydeadcode", marty_err_describe(code)->name);
    say(to, "martydeadattempts", to->attempts);
    say(to, "martydeadtime", to->time);
    say(to, "martydeadchannel", delivery->handle.channel);
    say(to, "martydeadgroup", consumer->group_name);
    say(to, "martydeadposition", delivery->handle.position);
    say(to, "martydeadreplays", to->replays);
    say(to, "martydeadkind", marty__kind_name(consumer->kind));
    (void)snprintf(to->shards, sizeof to->shards, "%u", consumer->shards);
    say(to, "martydeadorder", consumer->order == MARTY_ORDER_KEY ? "key" : "none");
    say(to, "martydeadshards", to->shards);
    say(to, "martydeadpattern", marty__pattern_word(pattern));
    say(to, "martydeadto", addressee(delivery, to->to));
    say(to, "martydeadid", delivery->handle.message->id);
}

static marty_err make_letter(marty__delivery *delivery, marty_err code, const char *reason,
                             marty__dead **ret_dead)
{
    marty__consumer *consumer = delivery->consumer;
    details with;
    char id[37];
    describe(&with, delivery, code, reason);
    /* a letter that was replayed and died again is another one */
    marty__derived_id(id, delivery->handle.message->id, consumer->group_name,
                      (uint32_t)marty__number_or_0(with.replays, UINT32_MAX));
    marty__change change = {.id = id, .set = with.set, .set_count = with.count, .expires = true};
    marty__dead *dead = marty_alloc_zero(1, sizeof *dead);
    if (!dead) {
        return MARTY_E_NO_MEMORY;
    }
    marty_err err =
        marty__dead_channel(consumer->bus->config, delivery->handle.channel, dead->channel, NULL);
    err = err ? err
              : marty__message_copy_with(&dead->message, delivery->handle.message, &change, NULL);
    if (err) {
        marty_free(dead);
        return err;
    }
    dead->outgoing = (marty_outgoing){
        .channel = {.kind = MARTY_KIND_DEAD, .order = MARTY_ORDER_NONE, .name = dead->channel},
        .message = dead->message,
        .deadline_ns = marty__bus_deadline(consumer->bus, 0, MARTY__TIMEOUT_MS)};
    *ret_dead = dead;
    return MARTY_OK;
}

static void later(marty__delivery *delivery, marty_err err)
{
    marty__consumer *consumer = delivery->consumer;
    char text[256];
    (void)snprintf(text, sizeof text, "a dead letter of %s cannot be written (%s); trying again",
                   consumer->channel, marty_err_describe(err)->text);
    marty__event(consumer->bus, MARTY_STATE_STALLED, consumer->port, consumer, err, text);
    if (delivery->subscription) {
        marty__delivery_hold(delivery, AGAIN_MS, false);
    } else {
        marty__delivery_finish(delivery, MARTY_SETTLE_RETRY, 0);
    }
}

static void stored(marty__call *call)
{
    marty__delivery *delivery = call->user;
    marty_err err = call->posts[0].err;
    if (err) {
        later(delivery, err);
    } else {
        marty__delivery_finish(delivery, MARTY_SETTLE_ACK, 0);
        marty__subscription_count(delivery->subscription, MARTY__REJECTED, 1);
    }
    marty__port_kick_later(delivery->consumer->port);
    marty__delivery_unref(delivery);
}

static marty_err publish_letter(marty__delivery *delivery, const marty__dead *dead)
{
    marty__consumer *consumer = delivery->consumer;
    size_t size = strlen(dead->channel) + 1;
    marty__call *call = marty__call_new(consumer->bus, 1, 1, size);
    if (!call) {
        return MARTY_E_NO_MEMORY;
    }
    memcpy(call->strings, dead->channel, size);
    marty__call_go(call, &(marty__way){.port = consumer->port,
                                       .like.channel = {.name = call->strings,
                                                        .kind = MARTY_KIND_DEAD,
                                                        .order = MARTY_ORDER_NONE}});
    marty__call_add(call, marty_message_ref(dead->message));
    call->deadline_ns = dead->outgoing.deadline_ns;
    call->completed = stored;
    call->user = marty__delivery_ref(delivery);
    marty_err err = marty__call_accept(call, false, NULL);
    if (err) {
        marty__delivery_unref(delivery);
    }
    marty__call_unref(call);
    return err;
}

void marty__dead_letter(marty__delivery *delivery, marty_err code, const char *reason)
{
    marty__consumer *consumer = delivery->consumer;
    marty__dead *dead = NULL;
    marty_err err = make_letter(delivery, code, reason, &dead);
    if (err) {
        later(delivery, err);
        return;
    }
    if (marty__port_can(consumer->port, consumer->kind, consumer->order, MARTY_CAN_DEAD_LETTER)) {
        delivery->dead = dead;
        marty__delivery_finish(delivery, MARTY_SETTLE_REJECT, 0);
        return;
    }
    err = publish_letter(delivery, dead);
    marty_message_unref(dead->message);
    marty_free(dead);
    if (err) {
        later(delivery, err);
    }
}
