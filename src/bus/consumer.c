/* SPDX-License-Identifier: Apache-2.0
 * One native subscription per (port, channel, group), shared by the subscriptions whose patterns it
 * serves. Subscribes again after a reconnect or a refusal that may pass; watches for silence.
 * References: the port's map, each member, each delivery. */
#include "internal.h"

#include "base/alloc.h"
#include "base/error.h"

#include <stdio.h>
#include <string.h>

/* ---- lifetime */
void marty__consumer_ref_many(marty__consumer *consumer, uint32_t count)
{
    (void)atomic_fetch_add_explicit(&consumer->refs, count, memory_order_relaxed);
}

marty__consumer *marty__consumer_ref(marty__consumer *consumer)
{
    marty__consumer_ref_many(consumer, 1);
    return consumer;
}

static void free_spares(marty__consumer *consumer)
{
    marty__link *link;
    while ((link = marty__list_pop(&consumer->spare)) != NULL) {
        marty_free(MARTY__OWNER(link, marty__delivery, link));
    }
}

void marty__consumer_unref(marty__consumer *consumer)
{
    marty__consumer_unref_many(consumer, 1);
}

void marty__consumer_unref_many(marty__consumer *consumer, uint32_t count)
{
    if (atomic_fetch_sub_explicit(&consumer->refs, count, memory_order_acq_rel) != count) {
        return;
    }
    marty_bus *bus = consumer->bus;
    free_spares(consumer);
    marty__match_free(consumer->match);
    marty_free(consumer->members);
    marty_free(consumer->unmade);
    marty_free(consumer->words);
    marty_free(consumer->start_position);
    marty_free(consumer->channel);
    marty_free(consumer->group);
    marty__cond_free(&consumer->changed);
    marty__mutex_free(&consumer->lock);
    marty_free(consumer);
    marty__bus_unref(bus);
}

static void again_rang(marty__alarm *alarm)
{
    marty__consumer *consumer = MARTY__OWNER(alarm, marty__consumer, again_alarm);
    marty__consumer_subscribe(consumer);
    marty__consumer_unref(consumer);
}

/* The alarm owns a reference while it is set. Under the lock: who forgets the consumer disarms all
 * that was armed before, and nothing is after. */
void marty__consumer_arm_held(marty__consumer *consumer, marty__alarm *alarm, int64_t at_ns)
{
    if (consumer->gone) {
        return;
    }
    (void)marty__consumer_ref(consumer);
    if (marty__alarm_set(consumer->bus, alarm, at_ns)) {
        marty__consumer_unref(consumer);
    }
}

void marty__consumer_arm(marty__consumer *consumer, marty__alarm *alarm, int64_t at_ns)
{
    marty__lock(&consumer->lock);
    marty__consumer_arm_held(consumer, alarm, at_ns);
    marty__unlock(&consumer->lock);
}

static void disarm(marty__consumer *consumer, marty__alarm *alarm)
{
    if (marty__alarm_cancel(consumer->bus, alarm)) {
        marty__consumer_unref(consumer);
    }
}

/* ---- subscribing */
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

/* With consumer->lock held. All of it begins anew, so what was to be granted before is not, and
 * what came of the place that a seek leaves is lost: those that are being settled would be granted
 * twice. */
static uint32_t first_credit(marty__consumer *consumer)
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

/* With consumer->lock held: what it has may come to others sooner from now on. */
static int64_t take_lease(marty__consumer *consumer, uint32_t lease_ms)
{
    bool shorter = lease_ms && (!consumer->lease_ms || lease_ms < consumer->lease_ms);
    consumer->lease_ms = lease_ms;
    return shorter ? marty__lease_shorten(consumer, lease_ms) : MARTY__NEVER;
}

static void run_subscribe(marty__port *port, marty__command *command)
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
        want.credit = !consumer->asked || consumer->reset ? first_credit(consumer) : 0;
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

void marty__consumer_prepare(marty__consumer *consumer,
                             void (*unsubscribe)(marty__port *port, marty__command *command))
{
    consumer->subscribe_command.run = run_subscribe;
    consumer->unsubscribe_command.run = unsubscribe;
    consumer->again_alarm.ring = again_rang;
    consumer->watch_alarm.ring = marty__watch_rang;
    consumer->lease_alarm.ring = marty__lease_rang;
    consumer->leave_alarm.ring = marty__consumer_leave_rang;
    consumer->unmade_alarm.ring = marty__unmade_rang;
    consumer->unmade_command.run = marty__unmade_run;
    consumer->revoke_alarm.ring = marty__revoke_rang;
    consumer->stuck_alarm.ring = marty__stuck_rang;
    consumer->revoke_ns = MARTY__NEVER;
    consumer->watch_task.run = marty__watch_look;
    consumer->restart_command.run = marty__watch_restart;
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

/* The adapter's last word on a number: out of the port's map. */
void marty__consumer_forget(marty__consumer *consumer)
{
    marty__port *port = consumer->port;
    marty__lock(&port->lock);
    void *found = marty__map_take_u64(&port->consumers, consumer->number);
    marty__wake_all(&port->changed);
    marty__unlock(&port->lock);
    if (found) {
        marty__lock(&consumer->lock);
        consumer->gone = true; /* nothing is armed any more: on a closed bus nobody would ring */
        marty__unlock(&consumer->lock);
        disarm(consumer, &consumer->lease_alarm);
        disarm(consumer, &consumer->revoke_alarm);
        disarm(consumer, &consumer->watch_alarm);
        disarm(consumer, &consumer->again_alarm);
        disarm(consumer, &consumer->leave_alarm);
        disarm(consumer, &consumer->unmade_alarm);
        disarm(consumer, &consumer->stuck_alarm);
        marty__consumer_unref(consumer);
    }
}

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

/* ---- up and down */
/* With consumer->lock held: what was delivered before belongs to another epoch. */
void marty__consumer_lose_all(marty__consumer *consumer)
{
    (void)atomic_fetch_add(&consumer->epoch, 1);
    while (marty__list_pop(&consumer->unsettled)) {
        consumer->unsettled_count--;
    }
}

void marty__consumer_clear(marty__consumer *consumer, const marty__clear *what)
{
    marty_subscription *member;
    for (size_t at = SIZE_MAX; (member = marty__consumer_member(consumer, &at)) != NULL;) {
        marty__lanes_clear(member, what);
        marty__subscription_unref(member);
    }
}

void marty__consumer_up(marty__consumer *consumer)
{
    marty__lock(&consumer->lock);
    bool asks = !consumer->gone && !consumer->asked; /* else it joined just now, and did */
    consumer->restarting = consumer->restarting && !asks;
    marty__unlock(&consumer->lock);
    if (asks) {
        marty__consumer_subscribe(consumer);
    }
}

void marty__consumer_down(marty__consumer *consumer)
{
    marty__lock(&consumer->lock);
    consumer->subscribed = false;
    consumer->asked = consumer->asking = false;
    marty__wake_all(&consumer->changed);
    if (consumer->kind == MARTY_KIND_REPLY) {
        marty__reply_answer(consumer->port, false, MARTY_OK);
    }
    marty__consumer_lose_all(consumer);
    bool gone = consumer->gone || consumer->left;
    consumer->gone = gone;
    marty__unlock(&consumer->lock);
    marty__consumer_clear(consumer, &(marty__clear){.consumer = consumer, .lost = true});
    if (gone) {
        marty__consumer_forget(consumer);
    }
}

void marty__consumer_lose(marty__consumer *consumer)
{
    marty__lock(&consumer->lock);
    marty__consumer_lose_all(consumer);
    marty__unlock(&consumer->lock);
    marty__consumer_clear(consumer, &(marty__clear){.consumer = consumer, .lost = true});
}

/* From the last to the first: the last one takes the place of one that leaves, so none that stays
 * is passed over. */
marty_subscription *marty__consumer_member(marty__consumer *consumer, size_t *at)
{
    marty__lock(&consumer->lock);
    *at = *at < consumer->member_count ? *at : consumer->member_count;
    marty_subscription *member = *at ? marty__subscription_ref(consumer->members[--*at]) : NULL;
    marty__unlock(&consumer->lock);
    return member;
}

/* ---- credit */
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
