/* SPDX-License-Identifier: Apache-2.0
 * The sabotages: each breaks one contract, in the way a careless adapter might, and names the case
 * that must notice. "none" breaks nothing: with it every one of these cases must pass, so that it
 * is the sabotage that is caught and not the wrapper. */
#include "wrap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_kept(marty_kind kind)
{
    return kind == MARTY_KIND_TOPIC || kind == MARTY_KIND_QUEUE || kind == MARTY_KIND_STREAM;
}

static void remake(marty_outgoing *one, const marty_message *template_)
{
    one->message = wrap_remake(template_); /* the wrapper gives it back */
}

/* ---- on the way out */

static bool lose_message(wrap *self, marty_outgoing *one, marty_published *answer)
{
    (void)answer;
    return !is_kept(one->channel.kind) || !wrap_every(self, 5);
}

static bool drop_header(wrap *self, marty_outgoing *one, marty_published *answer)
{
    (void)self, (void)answer;
    if (is_kept(one->channel.kind) && one->message->header_count) {
        marty_message less = *one->message;
        less.header_count--;
        remake(one, &less);
    }
    return true;
}

static bool drop_key(wrap *self, marty_outgoing *one, marty_published *answer)
{
    (void)self, (void)answer;
    if (is_kept(one->channel.kind) && one->message->key) {
        marty_message less = *one->message;
        less.key = NULL;
        remake(one, &less);
    }
    return true;
}

static bool new_id(wrap *self, marty_outgoing *one, marty_published *answer)
{
    (void)self, (void)answer;
    if (is_kept(one->channel.kind)) {
        marty_message other = *one->message;
        other.id = NULL;
        remake(one, &other);
    }
    return true;
}

static bool alter_byte(wrap *self, marty_outgoing *one, marty_published *answer)
{
    (void)self, (void)answer;
    size_t size = one->message->data.size;
    if (one->channel.kind == MARTY_KIND_DEAD || size < 8 || size > 65536) {
        return true;
    }
    char bytes[65536];
    memcpy(bytes, one->message->data.data, size);
    bytes[size / 2] = (char)(bytes[size / 2] ^ 1);
    marty_message other = *one->message;
    other.data.data = bytes;
    remake(one, &other);
    return true;
}

static bool truncate_body(wrap *self, marty_outgoing *one, marty_published *answer)
{
    (void)self, (void)answer;
    if (one->message->data.size > 60000) {
        marty_message less = *one->message;
        less.data.size--;
        remake(one, &less);
    }
    return true;
}

static bool drop_trace(wrap *self, marty_outgoing *one, marty_published *answer)
{
    (void)self, (void)answer;
    if (one->message->trace_parent) {
        marty_message less = *one->message;
        less.trace_parent = NULL;
        less.trace_state = NULL;
        remake(one, &less);
    }
    return true;
}

static bool no_delay(wrap *self, marty_outgoing *one, marty_published *answer)
{
    (void)self, (void)answer;
    one->deliver_at_us = 0;
    return true;
}

static bool no_expiry(wrap *self, marty_outgoing *one, marty_published *answer)
{
    (void)self, (void)answer;
    if (one->message->expires_us) {
        marty_message longer = *one->message;
        longer.expires_us = 0;
        remake(one, &longer);
    }
    return true;
}

/* Stores what was stored already under another id; undone on the way in, so that it looks like one
 * message that comes twice. */
static bool store_again(wrap *self, marty_outgoing *one, marty_published *answer)
{
    (void)answer;
    if (is_kept(one->channel.kind) && wrap_seen(self, one->message->id, one->channel.kind)) {
        static uint64_t number;
        char id[96];
        snprintf(id, sizeof id, "%.60s~%llu", one->message->id,
                 (unsigned long long)__atomic_add_fetch(&number, 1, __ATOMIC_RELAXED));
        marty_message other = *one->message;
        other.id = id;
        remake(one, &other);
    }
    return true;
}

static bool original_id(wrap *self, marty_incoming *one)
{
    (void)self;
    char id[96];
    const char *mark = one->message ? strchr(one->message->id, '~') : NULL;
    if (mark) {
        snprintf(id, sizeof id, "%.*s", (int)(mark - one->message->id), one->message->id);
        marty_message other = *one->message;
        other.id = id;
        wrap_replace(one, &other);
    }
    return true;
}

/* Confirms at once, and hands over a message only when the next one comes. */
static bool confirm_early(wrap *self, marty_outgoing *one, marty_published *answer)
{
    if (!is_kept(one->channel.kind)) {
        return true;
    }
    marty_error why = {0};
    size_t taken = 0;
    marty_outgoing before = self->late;
    answer->level = MARTY_LEVEL_SYNCED;
    marty_message *held = self->held;
    self->held = marty_message_ref(one->message);
    self->late = *one;
    self->late.token = (1ULL << 62) + self->other++;
    self->late.message = self->held;
    self->late.channel.name = strdup(one->channel.name);
    self->late.channel.group = one->channel.group ? strdup(one->channel.group) : NULL;
    if (held) {
        (void)self->inner->publish(self->port, &before, 1, &taken, &why);
        marty_message_unref(held);
    }
    return false;
}

static void hide_own_tokens(wrap *self, marty_published *one)
{
    (void)self;
    if (one->token >= 1ULL << 62) {
        one->token = 0;
    }
}

static bool dead_body(wrap *self, marty_outgoing *one, marty_published *answer)
{
    (void)self, (void)answer;
    if (one->channel.kind == MARTY_KIND_DEAD) {
        marty_message other = *one->message;
        other.data = marty_text("{}");
        remake(one, &other);
    }
    return true;
}

static const marty_message *without_cause(const marty_message *dead)
{
    static _Thread_local marty_header headers[256];
    marty_message less = *dead;
    less.header_count = 0;
    for (size_t i = 0; i < dead->header_count && i < 256; i++) {
        if (strcmp(dead->headers[i].name, "martydeadcause") != 0) {
            headers[less.header_count++] = dead->headers[i];
        }
    }
    less.headers = headers;
    return wrap_remake(&less);
}

static bool dead_no_cause(wrap *self, marty_outgoing *one, marty_published *answer)
{
    (void)self, (void)answer;
    if (one->channel.kind == MARTY_KIND_DEAD) {
        one->message = without_cause(one->message);
    }
    return true;
}

static bool replay_to_all(wrap *self, marty_outgoing *one, marty_published *answer)
{
    (void)self, (void)answer;
    one->channel.group = NULL;
    return true;
}

/* ---- answers */

static void never_answer(wrap *self, marty_published *one)
{
    if (wrap_every(self, 7)) {
        one->token = 0;
    }
}

static void higher_level(wrap *self, marty_published *one)
{
    (void)self;
    if (!one->err) {
        one->level = MARTY_LEVEL_REPLICATED;
    }
}

static void nobody_is_fine(wrap *self, marty_published *one)
{
    (void)self;
    if (one->err == MARTY_E_NO_RESPONDER) {
        one->err = MARTY_OK;
        one->level = MARTY_LEVEL_MEMORY;
    }
}

/* ---- deliveries */

static bool deliver_twice(wrap *self, marty_incoming *one)
{
    if (is_kept(wrap_kind(self, one->subscription)) && one->message && wrap_every(self, 5)) {
        marty_incoming copy = *one;
        copy.message = marty_message_ref(one->message);
        self->core->delivered(self->core, &copy, 1);
    }
    return true;
}

static void reverse(wrap *self, marty_incoming batch[], size_t count)
{
    (void)self;
    for (size_t i = 0; i < count / 2; i++) {
        marty_incoming one = batch[i];
        batch[i] = batch[count - 1 - i];
        batch[count - 1 - i] = one;
    }
}

static bool always_first(wrap *self, marty_incoming *one)
{
    (void)self;
    one->attempt = 1;
    return true;
}

static bool one_too_many(wrap *self, marty_incoming *one)
{
    (void)self;
    one->attempt += one->attempt > 1;
    return true;
}

/* Takes it away and tells the broker that it is done. */
static void swallow(wrap *self, marty_incoming *one)
{
    marty_settling ack = {
        .subscription = one->subscription, .tag = one->tag, .verb = MARTY_SETTLE_ACK};
    marty_message_unref(one->message);
    self->inner->settle(self->port, &ack, 1);
    self->inner->grant(self->port, one->subscription, 1);
}

static bool part_for_group(wrap *self, marty_incoming *one)
{
    if (wrap_kind(self, one->subscription) == MARTY_KIND_TOPIC && wrap_every(self, 3)) {
        swallow(self, one);
        return false;
    }
    return true;
}

static bool first_instance_only(wrap *self, marty_incoming *one)
{
    static wrap *first;
    if (wrap_kind(self, one->subscription) != MARTY_KIND_BROADCAST) {
        return true;
    }
    wrap *none = NULL;
    __atomic_compare_exchange_n(&first, &none, self, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    if (first != self) {
        swallow(self, one);
        return false;
    }
    return true;
}

static bool wrong_type(wrap *self, marty_incoming *one)
{
    if (wrap_kind(self, one->subscription) == MARTY_KIND_TOPIC && one->message &&
        wrap_every(self, 4)) {
        marty_message other = *one->message;
        other.type = strcmp(other.type, "order.closed") == 0 ? "order.created" : "order.closed";
        wrap_replace(one, &other);
    }
    return true;
}

/* Every second reply carries the body of the one before. */
static bool swap_replies(wrap *self, marty_incoming *one)
{
    if (wrap_kind(self, one->subscription) != MARTY_KIND_REPLY || !one->message) {
        return true;
    }
    pthread_mutex_lock(&self->lock);
    marty_message *before = self->held;
    self->held = marty_message_ref(one->message);
    pthread_mutex_unlock(&self->lock);
    if (before) {
        marty_message other = *one->message;
        other.data = before->data;
        wrap_replace(one, &other);
    }
    marty_message_unref(before);
    return true;
}

/* ---- settling */

static bool lose_ack(wrap *self, marty_settling *one)
{
    (void)self;
    return one->verb != MARTY_SETTLE_ACK;
}

static bool ack_is_retry(wrap *self, marty_settling *one)
{
    if (one->verb == MARTY_SETTLE_ACK && wrap_every(self, 5)) {
        one->verb = MARTY_SETTLE_RETRY;
    }
    return true;
}

static bool retry_is_ack(wrap *self, marty_settling *one)
{
    (void)self;
    if (one->verb == MARTY_SETTLE_RETRY) {
        one->verb = MARTY_SETTLE_ACK;
    }
    return true;
}

static bool retry_at_once(wrap *self, marty_settling *one)
{
    (void)self;
    one->delay_ms = one->verb == MARTY_SETTLE_RETRY ? 0 : one->delay_ms;
    return true;
}

static bool give_back_counts(wrap *self, marty_settling *one)
{
    (void)self;
    if (one->verb == MARTY_SETTLE_GIVE_BACK) {
        one->verb = MARTY_SETTLE_RETRY;
    }
    return true;
}

static bool held_is_ack(wrap *self, marty_settling *one)
{
    (void)self;
    if (one->verb == MARTY_SETTLE_GIVE_BACK && one->delay_ms) {
        one->verb = MARTY_SETTLE_ACK;
    }
    return true;
}

static bool reject_is_ack(wrap *self, marty_settling *one)
{
    (void)self;
    if (one->verb == MARTY_SETTLE_REJECT) {
        one->verb = MARTY_SETTLE_ACK;
        one->dead = NULL;
    }
    return true;
}

static bool reject_no_cause(wrap *self, marty_settling *one)
{
    (void)self;
    if (one->verb == MARTY_SETTLE_REJECT && one->dead) {
        static _Thread_local marty_outgoing dead;
        dead = *one->dead;
        dead.message = without_cause(dead.message);
        one->dead = &dead;
    }
    return true;
}

static bool reject_body(wrap *self, marty_settling *one)
{
    (void)self;
    if (one->verb == MARTY_SETTLE_REJECT && one->dead) {
        static _Thread_local marty_outgoing dead;
        dead = *one->dead;
        marty_message other = *dead.message;
        other.data = marty_text("{}");
        dead.message = wrap_remake(&other);
        one->dead = &dead;
    }
    return true;
}

static bool no_renewal(wrap *self, marty_settling *one)
{
    (void)self;
    return one->verb != MARTY_SETTLE_EXTEND;
}

/* ---- subscriptions, credit, capabilities, topology */

static uint32_t too_much(wrap *self, uint32_t credit)
{
    (void)self;
    return credit + 16;
}

static bool too_much_at_first(wrap *self, uint64_t subscription, marty_want *want)
{
    (void)self, (void)subscription;
    want->credit += 32;
    return true;
}

static bool seek_is_nothing(wrap *self, uint64_t subscription, marty_want *want)
{
    (void)self, (void)subscription;
    want->reset = false;
    return true;
}

static bool start_is_nothing(wrap *self, uint64_t subscription, marty_want *want)
{
    (void)self, (void)subscription;
    want->start = (marty_start){.from = MARTY_FROM_NOW};
    return true;
}

static bool lease_is_nothing(wrap *self, uint64_t subscription, marty_want *want)
{
    (void)self, (void)subscription;
    want->lease_ms = 0;
    return true;
}

static bool stay_subscribed(wrap *self, uint64_t subscription)
{
    self->inner->grant(self->port, subscription, 8);
    return false;
}

static bool cancel_is_nothing(wrap *self)
{
    (void)self;
    return false;
}

static bool erase_is_nothing(wrap *self, const char *verb)
{
    (void)self;
    return strcmp(verb, "erase") != 0;
}

static void over_claim(wrap *self, marty_capabilities *granted)
{
    (void)self;
    granted->can[MARTY_KIND_QUEUE] |= MARTY_CAN_TRANSACTIONS;
}

static void under_claim(wrap *self, marty_capabilities *granted)
{
    (void)self;
    for (size_t kind = 0; kind < 8; kind++) {
        granted->can[kind] &= ~(uint64_t)MARTY_CAN_DEDUPLICATE;
    }
}

static void claim_replicated(wrap *self, marty_capabilities *granted)
{
    (void)self;
    granted->level = MARTY_LEVEL_REPLICATED;
}

const fault saboteur_faults[] = {
    {"none", "breaks nothing", .caught_by = NULL},
    {"lose_message", "answers stored for one in five and drops it", "C08.threads",
     .publish = lose_message},
    {"drop_header", "forgets the last header", "C01.attributes", .publish = drop_header},
    {"drop_key", "forgets the key", "C01.attributes", .publish = drop_key},
    {"new_id", "gives another id", "C01.attributes", .publish = new_id},
    {"alter_byte", "flips a bit of the body", "C02.bytes", .publish = alter_byte},
    {"truncate_body", "cuts the last byte of a large body", "C04.sizes", .publish = truncate_body},
    {"drop_trace", "forgets the trace context", "C38.trace", .publish = drop_trace},
    {"delay_ignored", "delivers a scheduled message at once", "C21.queue", .publish = no_delay},
    {"expiry_ignored", "keeps what has expired", "C22.native", .publish = no_expiry},
    {"dedup_off", "claims to fold the same id and does not", "C35.window", .publish = store_again,
     .deliver = original_id},
    {"confirm_early", "confirms before storing", "C08.threads", .publish = confirm_early,
     .published = hide_own_tokens},
    {"confirm_early_crash", "confirms before storing, and the process dies", "C34.publisher_killed",
     .inner = "sqlite", .publish = confirm_early, .published = hide_own_tokens},
    {"dead_cause_published", "loses the cause of a dead letter that core publishes", "C18.garbled",
     .publish = dead_no_cause, .settle = reject_no_cause},
    {"dead_bytes", "stores a dead letter with other bytes", "C16.exhausted", .publish = dead_body,
     .settle = reject_body},
    {"dead_cause", "loses the cause of a dead letter", "C16.rejected", .publish = dead_no_cause,
     .settle = reject_no_cause},
    {"reject_lost", "acks what was rejected", "C16.rejected", .settle = reject_is_ack},
    {"replay_to_all", "replays a dead letter to every group", "C17.replay",
     .publish = replay_to_all},
    {"discard_ignored", "says a dead letter is gone and keeps it", "C17.list_and_discard",
     .topology = erase_is_nothing},
    {"answer_never", "never answers one publish in seven", "C08.threads",
     .published = never_answer},
    {"level_lies", "says a message is stored better than it is", "C34.level",
     .published = higher_level, .granted = claim_replicated},
    {"nobody_hidden", "claims no_responder and says nothing", "C23.nobody",
     .published = nobody_is_fine},
    {"deliver_twice", "delivers one in five twice", "C08.threads", .deliver = deliver_twice},
    {"reorder", "delivers each batch from its end", "C09.keys", .arrange = reverse},
    {"attempt_stuck", "says attempt 1 for ever", "C15.attempts", .deliver = always_first},
    {"attempt_jumps", "counts a redelivery twice", "C16.exhausted", .deliver = one_too_many},
    {"group_part", "gives a group only a part", "C07.groups", .deliver = part_for_group},
    {"broadcast_one", "broadcasts to one instance", "C07.broadcast",
     .deliver = first_instance_only},
    {"wrong_type", "delivers under another's type", "C06.handlers_of_a_group",
     .deliver = wrong_type},
    {"replies_swapped", "gives an asker another's reply", "C23.many", .deliver = swap_replies},
    {"lose_ack", "forgets acks", "C13.queue", .settle = lose_ack},
    {"ack_is_retry", "delivers an acked message again", "C08.threads", .settle = ack_is_retry},
    {"retry_is_ack", "forgets a message that is to be retried", "C11.retry",
     .settle = retry_is_ack},
    {"retry_early", "retries before the delay is over", "C11.delay", .settle = retry_at_once},
    {"give_back_counts", "counts an attempt for what was given back", "C47.outage",
     .settle = give_back_counts},
    {"hold_counts", "counts an attempt for what waits for its key", "C10.stuck_stream",
     .settle = give_back_counts},
    {"hold_forgets", "forgets what waits for its key", "C10.stuck_stream", .settle = held_is_ack},
    {"no_renewal", "lets the lease of a running handler end", "C12.slow", .inner = "sqlite",
     .settle = no_renewal},
    {"lease_ignored", "has one lease for all", "C12.asked_frozen", .inner = "sqlite",
     .subscribe = lease_is_nothing},
    {"over_grant", "delivers more than was granted", "C24.credit", .subscribe = too_much_at_first,
     .grant = too_much},
    {"seek_ignored", "says it has moved and stays", "C05.seek", .subscribe = seek_is_nothing},
    {"start_ignored", "starts now whatever was asked", "C05.earliest",
     .subscribe = start_is_nothing},
    {"stays", "goes on taking messages after unsubscribe", "C42.leave",
     .unsubscribe = stay_subscribed},
    {"cancel_ignored", "says it took back a scheduled message and did not", "C21.cancel",
     .cancel = cancel_is_nothing},
    {"over_claim", "claims what no case shows", "C39.claimed", .granted = over_claim},
    {"under_claim", "does what it does not claim", "C39.unclaimed", .granted = under_claim},
    {.name = NULL}};
