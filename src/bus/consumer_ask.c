/* SPDX-License-Identifier: Apache-2.0
 * What an adapter is asked to subscribe to, and what it answers. Each wish has a number, and one is
 * asked for at a time, so an answer is to the one told last, and who waits knows his own. A refusal
 * that may pass is asked for again. */
#include "internal.h"

#include "base/alloc.h"
#include "base/error.h"

#include <stdio.h>
#include <string.h>

/* With consumer->lock held: the shortest that a member asks for; 0 = none does. */
static uint32_t lease_of(const marty__consumer *consumer)
{
    uint32_t shortest_ms = 0;
    for (size_t i = 0; i < consumer->member_count; i++) {
        uint32_t ms = consumer->members[i]->lease_ms;
        shortest_ms = ms && (!shortest_ms || ms < shortest_ms) ? ms : shortest_ms;
    }
    return shortest_ms;
}

static const char *put_word(char **room, const char *word)
{
    size_t size = strlen(word) + 1;
    char *at = memcpy(*room, word, size);
    *room += size;
    return at;
}

/* With consumer->lock held. The position, and the patterns of the members behind the pointers to
 * them, are copies that live until the next subscribe: a member may be gone, and a seek may have
 * set another position, by the time that the adapter reads its own. */
static bool list_words(marty__consumer *consumer, marty_want *want)
{
    size_t count = consumer->member_count, size = (count + 1) * sizeof(char *);
    const char *position = consumer->start_position;
    size += position ? strlen(position) + 1 : 0;
    for (size_t i = 0; i < count; i++) {
        size += strlen(marty__subscription_types(consumer->members[i])) + 1;
    }
    const char **words = marty_realloc(consumer->words, size);
    if (!words) {
        return false;
    }
    consumer->words = words;
    char *room = (char *)(words + count + 1);
    for (size_t i = 0; i < count; i++) {
        words[i] = put_word(&room, marty__subscription_types(consumer->members[i]));
    }
    want->patterns = words;
    want->pattern_count = count;
    want->start.position = position ? put_word(&room, position) : NULL;
    return true;
}

/* With consumer->lock held; false: no memory. */
static bool want_of(marty__consumer *consumer, marty_want *ret_want)
{
    *ret_want = (marty_want){.channel = {.kind = consumer->kind,
                                         .order = consumer->order,
                                         .native = consumer->native,
                                         .name = consumer->channel,
                                         .group = consumer->group,
                                         .shards = consumer->shards},
                             .start = consumer->start,
                             .reset = consumer->reset != 0,
                             .lease_ms = lease_of(consumer)};
    return list_words(consumer, ret_want);
}

/* With consumer->lock held: what it has may come to others sooner from now on. */
static int64_t take_lease(marty__consumer *consumer, uint32_t lease_ms)
{
    bool shorter = lease_ms && (!consumer->lease_ms || lease_ms < consumer->lease_ms);
    consumer->lease_ms = lease_ms;
    return shorter ? marty__lease_shorten(consumer, lease_ms) : MARTY__NEVER;
}

void marty__subscribe_run(marty__port *port, marty__command *command)
{
    marty__consumer *consumer = MARTY__OWNER(command, marty__consumer, subscribe_command);
    marty_error why = {0};
    marty_err err = MARTY_OK;
    marty_want want;
    int64_t renew_ns = MARTY__NEVER;
    marty__lock(&consumer->lock);
    bool go = marty__port_usable(port) && !consumer->gone && consumer->member_count &&
              !consumer->asking && !consumer->restarting; /* else once that is answered */
    consumer->told = go ? consumer->wish : consumer->told;
    if (go && !want_of(consumer, &want)) {
        err = MARTY_E_NO_MEMORY;
        go = false;
    }
    if (go) {
        want.credit =
            !consumer->asked || consumer->reset ? marty__consumer_first_credit(consumer) : 0;
        consumer->asked = consumer->asking = true;
        renew_ns = take_lease(consumer, want.lease_ms);
    }
    marty__unlock(&consumer->lock);
    if (renew_ns != MARTY__NEVER) {
        marty__lease_start(consumer, renew_ns);
    }
    if (go && want.reset) {
        marty__consumer_clear(consumer, &(marty__clear){.consumer = consumer, .lost = true});
    }
    if (go) {
        err = port->backend->subscribe(port->adapter, consumer->number, &want, &why);
    }
    if (err) {
        marty__consumer_answer(consumer, err, why.text);
    }
    marty__consumer_unref(consumer);
}

void marty__consumer_subscribe(marty__consumer *consumer)
{
    marty__port *port = consumer->port;
    (void)marty__consumer_ref(consumer);
    if (!marty__port_command(port, &consumer->subscribe_command)) {
        marty__consumer_unref(consumer);
    }
    marty__port_kick_later(port);
}

/* Refused, but it may pass: again after a while. */
static bool may_pass(marty_err reason)
{
    return marty_err_describe(reason)->error_class == MARTY_CLASS_RETRY;
}

static void ask_again(marty__consumer *consumer)
{
    marty__lock(&consumer->lock);
    uint32_t doublings = consumer->resubscribes < 6 ? consumer->resubscribes : 6;
    int64_t wait_ms = (int64_t)MARTY__RESUBSCRIBE_FIRST_MS << doublings;
    wait_ms = wait_ms > MARTY__RESUBSCRIBE_MAX_MS ? MARTY__RESUBSCRIBE_MAX_MS : wait_ms;
    consumer->resubscribes++;
    marty__consumer_arm_held(consumer, &consumer->again_alarm,
                             marty__deadline_ns(marty__bus_now(consumer->bus), wait_ms));
    marty__unlock(&consumer->lock);
}

void marty__again_rang(marty__alarm *alarm)
{
    marty__consumer *consumer = MARTY__OWNER(alarm, marty__consumer, again_alarm);
    marty__consumer_subscribe(consumer);
    marty__consumer_unref(consumer);
}

/* ---- answers */
void marty__consumer_answer(marty__consumer *consumer, marty_err reason, const char *text)
{
    marty__lock(&consumer->lock);
    bool before = consumer->subscribed;
    bool gone = consumer->gone || consumer->left;
    consumer->gone = gone && (consumer->gone || reason != MARTY_OK);
    bool restart = consumer->restarting && reason == MARTY_E_CLOSED && !gone;
    consumer->restarting = consumer->restarting && reason != MARTY_E_CLOSED; /* its own answer */
    consumer->asking = false;
    consumer->answered =
        gone && reason ? UINT64_MAX : consumer->told; /* or the last word to whoever waits */
    consumer->subscribed = reason == MARTY_OK;
    consumer->refused = reason != MARTY_OK && !restart; /* that answer is ours alone */
    consumer->asked = consumer->asked && reason == MARTY_OK;
    consumer->reason = reason;
    (void)snprintf(consumer->text, sizeof consumer->text, "%s", text ? text : "");
    if (reason == MARTY_OK) {
        consumer->served = consumer->told;
        consumer->reset = consumer->reset > consumer->told ? consumer->reset : 0;
        consumer->resubscribes = 0;
        consumer->last_delivery_ns = marty__bus_now(consumer->bus);
    }
    if (consumer->kind == MARTY_KIND_REPLY) {
        marty__reply_answer(consumer->port, consumer->subscribed, reason);
    }
    bool more = consumer->wish > consumer->told;
    if (restart) { /* before anybody subscribes again: what comes then is not lost */
        marty__consumer_lose_all(consumer);
    }
    marty__wake_all(&consumer->changed);
    marty__unlock(&consumer->lock);
    if (gone) {
        if (reason != MARTY_OK) {
            marty__consumer_forget(consumer);
        }
        return;
    }
    if (restart) {
        marty__consumer_clear(consumer, &(marty__clear){.consumer = consumer, .lost = true});
        marty__consumer_subscribe(consumer);
        return;
    }
    if (more) { /* wanted meanwhile */
        marty__consumer_subscribe(consumer);
    } else if (reason != MARTY_OK && may_pass(reason)) {
        ask_again(consumer);
    }
    if (reason != MARTY_OK || !before) {
        marty__event(consumer->bus, reason ? MARTY_STATE_REFUSED : MARTY_STATE_SUBSCRIBED,
                     consumer->port, consumer, reason, text);
    }
    if (reason == MARTY_OK) {
        marty__watch_start(consumer);
    }
}

/* With consumer->lock held. A refusal that may pass is none yet: it is asked again meanwhile. Who
 * is served is, whatever others wish for since. */
static bool has_answer(const marty__consumer *consumer, uint64_t wish)
{
    bool refused = consumer->refused && consumer->answered >= wish && !may_pass(consumer->reason);
    return consumer->served >= wish || refused || atomic_load(&consumer->bus->phase) != MARTY__OPEN;
}

/* With consumer->lock held: why it is not subscribed. */
static marty_err refusal_of(const marty__consumer *consumer, marty_error *why)
{
    if (atomic_load(&consumer->bus->phase) != MARTY__OPEN) {
        return marty_error_set(why, MARTY_E_CLOSED, "the bus was stopped meanwhile");
    }
    if (consumer->refused) {
        marty_err err = consumer->reason;
        return marty_error_set(why, err == MARTY_E_TIMEOUT ? MARTY_E_UNAVAILABLE : err, "%s",
                               consumer->text);
    }
    return marty_error_set(why, MARTY_E_UNAVAILABLE,
                           "%s: no answer to subscribing to %s in time; is the backend up?",
                           consumer->port->name, consumer->channel);
}

marty_err marty__consumer_wait(marty__consumer *consumer, uint64_t wish, bool while_up,
                               int64_t deadline_ns, marty_error *why)
{
    bool in_time = true;
    marty__lock(&consumer->lock);
    wish = wish ? wish : consumer->wish;
    bool down = while_up && !marty__port_usable(consumer->port);
    bool wait = !has_answer(consumer, wish) && !down;
    if (wait) {
        marty__pool_block(consumer->bus);
    }
    while (!has_answer(consumer, wish) && !down && in_time) {
        in_time = marty__bus_wait(consumer->bus, &consumer->changed, &consumer->lock, deadline_ns);
        down = while_up && !marty__port_usable(consumer->port);
    }
    bool later = down && !has_answer(consumer, wish);
    marty_err err = consumer->served >= wish || later ? MARTY_OK : refusal_of(consumer, why);
    marty__unlock(&consumer->lock);
    if (wait) {
        marty__pool_unblock(consumer->bus);
    }
    return err;
}
