/* SPDX-License-Identifier: Apache-2.0
 * Publishing: check, route, make the messages, hand them to the bus as one call that is accepted
 * whole or not at all. */
#include "target.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/unset.h"
#include "message/draft.h"
#include "message/message.h"
#include "reliability/reliability.h"

#include <stdio.h>
#include <string.h>

/* ---- checks */
static marty_err check_options(const marty__publish *self, marty_error *why)
{
    const marty_publish_options *options = self->options;
    marty_err err = marty__reserved_check(
        options->reserved, sizeof options->reserved / sizeof options->reserved[0], "options", why);
    if (err) {
        return err;
    }
    if (options->transaction) {
        return marty_error_set(
            why, MARTY_E_UNSUPPORTED,
            "options.transaction needs an outbox, which this version does not have");
    }
    if (options->once && !self->cause) {
        return marty_error_set(why, MARTY_E_ARGUMENT,
                               "options.once needs a cause: set options.cause or options.settles");
    }
    if (options->once && self->count != 1) {
        return marty_error_set(why, MARTY_E_ARGUMENT,
                               "options.once is for one message; this batch has %zu", self->count);
    }
    if (options->deliver_at_us < 0) {
        return marty_error_set(
            why, MARTY_E_ARGUMENT,
            "options.deliver_at_us is negative; expected Unix time in microseconds");
    }
    return MARTY_OK;
}

static bool same_type(const marty_message *a, const marty_message *b)
{
    return a->type == b->type || strcmp(a->type, b->type) == 0;
}

/* Counts the runs, too. */
static marty_err check(marty__publish *self, marty_error *why)
{
    size_t runs = 0;
    if (self->pattern < MARTY_EVENT || self->pattern > MARTY_BROADCAST ||
        self->pattern == MARTY_QUERY) {
        return marty_error_set(
            why, MARTY_E_ARGUMENT,
            "pattern is %d; expected EVENT, COMMAND, STREAM or BROADCAST (ask with marty_query)",
            (int)self->pattern);
    }
    if (!self->messages || !self->count) {
        return marty_error_set(why, MARTY_E_ARGUMENT, "messages is empty; expected at least one");
    }
    for (size_t i = 0; i < self->count; i++) {
        if (!self->messages[i]) {
            return marty_error_set(why, MARTY_E_ARGUMENT, "messages[%zu] is NULL", i);
        }
        if (!self->messages[i]->type) {
            return marty_error_set(
                why, MARTY_E_ARGUMENT,
                "messages[%zu].type is NULL; expected a type such as \"order.created\"", i);
        }
        runs += !i || !same_type(self->messages[i], self->messages[i - 1]);
    }
    self->runs = runs;
    return check_options(self, why);
}

/* ---- making the call */
static void derive_id(const marty__publish *self, char id[37])
{
    const marty__delivery *settles = (const marty__delivery *)(const void *)self->options->settles;
    char word[600];
    (void)snprintf(word, sizeof word, "%s|%s",
                   settles && settles->handle.group ? settles->handle.group : self->bus->source,
                   self->options->once);
    marty__derived_id(id, self->cause && self->cause->id ? self->cause->id : "", word, 0);
}

/* Whether the template says nothing but its type, data, times and priority. */
static bool is_bare(const marty_message *template_)
{
    bool bare = !template_->header_count;
    for (size_t i = 0; i < MARTY__FIELDS && bare; i++) {
        bare = i == MARTY__TYPE || !*marty__field_in(template_, (marty__field)i);
    }
    return bare;
}

/* One without data that others of its type are made from; made once for each kept place. NULL
 * without memory, or when the type is wrong, which making the message itself tells. */
static const marty_message *like_of(marty__kept_place *kept, const marty__making *how)
{
    marty_message *like = atomic_load_explicit(&kept->like, memory_order_acquire);
    if (!like) {
        marty__making making = *how;
        marty_message template_ = {.type = kept->type}, *made = NULL;
        if (marty__message_make(&made, &template_, &making, NULL)) {
            return NULL;
        }
        if (atomic_compare_exchange_strong(&kept->like, &like, made)) {
            like = made;
        } else {
            marty_message_unref(made);
        }
    }
    return like;
}

/* The first of a run of one type: what is known of its type is not looked at again. */
static void begin_run(const marty__target *to, const marty_message *from, marty__making *how)
{
    how->like = how->like_template = NULL;
    if (to->kept && !how->cause && is_bare(from)) {
        how->like = like_of(to->kept, how);
        how->like_template = how->like ? from : NULL;
    }
}

static marty_err fill_posts(const marty__publish *self, marty__call *call, char *room,
                            marty_error *why)
{
    char once[37];
    MARTY__UNSET marty__target to;
    marty__given given = marty__outgoing_given(self->bus, self->cause);
    given.expires_us = self->expires_us;
    given.how.now_us = marty__bus_wall(self->bus);
    given.how.unseen = marty__env_is_real(&self->bus->env);
    if (self->options->once) {
        derive_id(self, once);
        given.id = once;
    }
    bool plain = !given.id && !given.expires_us;
    const marty_message *before = NULL;
    for (size_t i = 0; i < self->count; i++) {
        const marty_message *from = self->messages[i];
        marty_err err = MARTY_OK;
        if (!before || !same_type(from, before)) {
            err = marty__target_find(self, from->type, &to, why);
            if (err) {
                return err;
            }
            marty__target_go(self, call, &to, &room);
            if (plain) {
                begin_run(&to, from, &given.how);
            }
        }
        err = marty__target_check(&to, from, why);
        if (err) {
            return err;
        }
        marty_message *message = NULL;
        err = plain && !from->header_count ? marty__message_make(&message, from, &given.how, why)
                                           : marty__outgoing_message(from, &given, &message, why);
        if (err) {
            return err;
        }
        marty__call_add(call, message);
        before = from;
    }
    return MARTY_OK;
}

/* Returns whether its user has kept it before. */
static bool take_settles(const marty__publish *self, marty__call *call)
{
    marty_delivery *handle = self->options->settles;
    bool kept = handle && marty__delivery_kept((const marty__delivery *)(const void *)handle);
    call->settles = handle ? marty_delivery_keep(handle) : NULL;
    return kept;
}

static void give_settles_back(marty__call *call, bool kept)
{
    marty__delivery *delivery = (marty__delivery *)(void *)call->settles;
    if (delivery) {
        call->settles = NULL;
        (void)atomic_fetch_sub(&delivery->user_refs, 1);
        if (!kept) { /* as if never kept: its handler's return value speaks again */
            atomic_store_explicit(&delivery->kept, false, memory_order_relaxed);
            marty__delivery_inactive(delivery); /* no drain waits for a keeper */
        }
        marty__delivery_unref(delivery);
    }
}

marty_err marty__call_verdict(const marty__call *call, marty_error *why)
{
    for (size_t i = 0; i < call->count; i++) {
        const marty__post *post = &call->posts[i];
        if (post->err) {
            return marty_error_set(
                why, post->err, "%s %s: %s", post->way->port->name, post->way->like.channel.name,
                call->text[0] ? call->text : marty_err_describe(post->err)->text);
        }
    }
    return MARTY_OK;
}

static marty_err send(const marty__publish *self, marty__call *call, marty_error *why)
{
    const marty_publish_options *options = self->options;
    bool asks = options->done == NULL;
    call->deadline_ns = marty__bus_deadline(self->bus, options->timeout_ms, MARTY__TIMEOUT_MS);
    call->cancel_key = options->cancel_key;
    call->done = options->done;
    call->at_once = options->at_once;
    call->user = options->user;
    call->waited = asks;
    if (options->outcomes) {
        memset(options->outcomes, 0, self->count * sizeof *options->outcomes);
        call->outcomes = options->outcomes;
    } else if (options->done) {
        call->outcomes = (marty_outcome *)(void *)call->strings;
    }
    bool kept = take_settles(self, call);
    marty_err err = marty__call_accept(call, asks || options->wait_for_room, why);
    if (err) {
        give_settles_back(call, kept);
        return err;
    }
    if (asks) {
        marty__call_wait(call);
        err = marty__call_verdict(call, why);
    }
    return err;
}

marty_err marty_publish(marty_bus *bus, marty_pattern pattern, const char *to,
                        const marty_message *const messages[], size_t count,
                        const marty_publish_options *options, marty_error *why)
{
    static const marty_publish_options none;
    marty_err err = marty__bus_enter(bus, MARTY__FLUSHING, why);
    if (err) {
        return err;
    }
    options = options ? options : &none;
    marty__publish self = {.bus = bus,
                           .pattern = pattern,
                           .to = to,
                           .messages = messages,
                           .count = count,
                           .options = options};
    self.cause = options->cause     ? options->cause
                 : options->settles ? options->settles->message
                                    : NULL;
    int64_t now = options->deliver_in_ms || options->expires_in_ms ? marty__bus_wall(bus) : 0;
    self.deliver_at_us = options->deliver_in_ms
                             ? now + (int64_t)options->deliver_in_ms * MARTY__US_PER_MS
                             : options->deliver_at_us;
    self.expires_us =
        options->expires_in_ms ? now + (int64_t)options->expires_in_ms * MARTY__US_PER_MS : 0;
    err = check(&self, why);
    if (err) {
        return err;
    }
    size_t outcomes_size = options->done && !options->outcomes ? count * sizeof(marty_outcome) : 0;
    marty__call *call =
        marty__call_new(bus, self.runs, count, outcomes_size + self.runs * MARTY__CHANNEL_ROOM);
    if (!call) {
        return marty__error_code(why, MARTY_E_NO_MEMORY);
    }
    err = fill_posts(&self, call, call->strings + outcomes_size, why);
    err = err ? err : send(&self, call, why);
    marty__call_unref(call);
    return err;
}
