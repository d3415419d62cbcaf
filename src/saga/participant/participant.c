/* SPDX-License-Identifier: Apache-2.0
 * A participant: one handler that finds out what it knows of an operation, does it when it is new,
 * and notes the answer, all in one transaction; then it answers. The rules are in rules.c. Handlers
 * run on workers; the notes let one at a time in. */
#include "participant.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/limits.h"
#include "base/number.h"
#include "bus/bus.h"
#include "saga/attributes.h"

#include <stdio.h>
#include <string.h>

/* LEASE_MS: what comes twice because its participant stood still for that long is done once. */
enum {
    OPEN_MS = 10000,
    LEASE_MS = 2000,
    EFFECT_MS = 30000,
    KEEP_DAYS = 30,
    PURGE_EVERY = 1000,
    BATCH_MAX = 64
};

static bool read_asked(asked *one)
{
    const marty_message *message = one->delivery->message;
    char direction[12];
    marty__saga_attribute_get(one->saga, sizeof one->saga, message, "sagaid");
    marty__saga_attribute_get(one->step, sizeof one->step, message, "sagastep");
    marty__saga_attribute_get(one->key, sizeof one->key, message, "sagaop");
    marty__saga_attribute_get(one->forward, sizeof one->forward, message, "sagaforward");
    marty__saga_attribute_get(one->reply_to, sizeof one->reply_to, message, "sagareplyto");
    marty__saga_attribute_get(one->attempt, sizeof one->attempt, message, "sagaattempt");
    marty__saga_attribute_get(direction, sizeof direction, message, "sagadirection");
    bool undo = strcmp(direction, "undo") == 0, probe = strcmp(direction, "probe") == 0;
    one->operation.operation = (marty_operation){
        .saga = one->saga,
        .step = one->step,
        .key = one->key,
        .forward_key = undo ? one->forward : NULL,
        .attempt = (uint32_t)marty__number_or_0(one->attempt, UINT32_MAX),
        .undo = undo,
        .probe = probe,
        .data = message->data,
        .delivery = one->delivery,
    };
    return *one->saga && *one->key && *one->reply_to && (!undo || *one->forward) &&
           (undo || probe || strcmp(direction, "forward") == 0);
}

/* Those from one up to another, as one transaction. An error says that nothing is known to be done;
 * FAILED, that nothing is: by the fault of one of them. */
static marty_err work_on(asked *first, const asked *end, marty_error *why)
{
    participant *self = first->self;
    void *transaction = NULL;
    int64_t until_ns = marty__deadline_ns(marty__monotonic_ns(), EFFECT_MS);
    marty_err err = self->table->begin(self->notes, until_ns, &transaction, why);
    if (err) {
        return err;
    }
    for (asked *one = first; one != end && !err; one = one->next) {
        marty__participant_reset(one);
        err = marty__participant_work(one, transaction);
        if (err) {
            (void)marty_error_set(why, err, "%s", one->why.text);
        }
    }
    if (err) {
        self->table->roll_back(self->notes);
        return err;
    }
    return self->table->commit(self->notes, why);
}

/* A batch is one transaction. When that fails each is one of its own, so that none hinders another;
 * but without its database, all are. */
static void work(asked *first)
{
    marty_error why = {0};
    marty_err err = work_on(first, NULL, &why);
    for (asked *one = first; one; one = one->next) {
        if (err && err != MARTY_E_UNAVAILABLE && first->next) {
            one->err = work_on(one, one->next, &why);
            err = one->err == MARTY_E_UNAVAILABLE ? one->err : err;
        } else {
            one->err = err;
        }
        if (one->err) {
            (void)marty_error_set(&one->why, one->err, "%s", why.text);
        }
        if (one->err == MARTY_E_FAILED) {
            marty__participant_give_up(one);
            one->err = MARTY_OK;
        }
    }
}

static void on_answered(void *user, const marty_outcome *outcomes, size_t count)
{
    (void)user; /* the command is settled by it: acked when stored, else it comes again */
    (void)outcomes;
    (void)count;
}

/* The answer settles the command, and has the same id however often the command comes. */
static marty_err answer(asked *one)
{
    marty_header headers[8];
    size_t count = 0;
    marty__saga_attribute_add(headers, &count, "sagaid", one->saga);
    marty__saga_attribute_add(headers, &count, "sagaop", one->key);
    marty__saga_attribute_add(headers, &count, "sagaattempt", one->attempt);
    marty__saga_attribute_add(headers, &count, "sagareply", one->reply);
    marty__saga_attribute_add(headers, &count, "sagareason", one->reason);
    marty__saga_attribute_add(headers, &count, "sagatombstone", one->tombstone ? "true" : NULL);
    marty_message with = {.key = one->saga, .headers = headers, .header_count = count};
    marty_publish_options options = {.with = &with,
                                     .settles = one->delivery,
                                     .once = one->reply,
                                     .done = on_answered,
                                     .at_once = true,
                                     .wait_for_room = true};
    marty_bytes data = one->result.size ? one->result : marty_text("null");
    return marty_send_command(one->self->bus, one->reply_to, "saga.reply", data, &options,
                              &one->why);
}

static void purge_sometimes(participant *self)
{
    if (atomic_fetch_add(&self->handled, 1) % PURGE_EVERY == PURGE_EVERY - 1) {
        (void)self->table->purge(self->notes, marty__wall_us() - (int64_t)self->keep_us,
                                 marty__deadline_ns(marty__monotonic_ns(), 1000), NULL);
    }
}

static void free_all(asked *one)
{
    while (one) {
        asked *next = one->next;
        marty__participant_reset(one);
        marty_free(one);
        one = next;
    }
}

/* Those of a batch that can be understood, in their order; the others are rejected. */
static marty_err read_all(participant *self, marty_delivery *delivery, asked **ret_first)
{
    asked **end = ret_first;
    for (; delivery; delivery = delivery->next) {
        asked *one = marty_alloc_zero(1, sizeof *one);
        if (!one) {
            return MARTY_E_NO_MEMORY;
        }
        one->self = self;
        one->delivery = delivery;
        if (read_asked(one)) {
            *end = one;
            end = &one->next;
        } else {
            marty_free(one);
            (void)marty_reject(delivery, "a participant needs the attributes sagaid, sagaop, "
                                         "sagadirection and sagareplyto");
        }
    }
    return MARTY_OK;
}

static marty_err on_commands(void *user, marty_delivery *delivery)
{
    participant *self = user;
    asked *first = NULL;
    marty_err err = read_all(self, delivery, &first);
    if (!err && first) {
        work(first);
    }
    for (asked *one = first; one; one = one->next) {
        one->err = err ? err : one->err ? one->err : answer(one);
        if (one->err) {
            (void)marty_retry(one->delivery, 0, one->why.text);
        }
        purge_sometimes(self);
    }
    free_all(first);
    return err; /* of those that are not settled yet */
}

static void participant_free(void *user)
{
    participant *self = user;
    if (self->notes) {
        self->table->close(self->notes);
    }
    marty_free(self);
}

static marty_err open_notes(participant *self, const char *store_url, marty_error *why)
{
    marty_url *url = NULL;
    marty_error reason = {0};
    marty_err err = marty_url_parse(&url, store_url, why);
    if (err) {
        return err;
    }
    self->table = marty__notes_find(url, &reason);
    err = self->table
              ? self->table->open(&self->notes, url, marty__env_real(),
                                  marty__deadline_ns(marty__monotonic_ns(), OPEN_MS), &reason)
              : reason.code;
    marty_url_free(url);
    return err ? marty_error_set(why, err, "%s", reason.text) : MARTY_OK;
}

marty_err marty_participate(marty_bus *bus, const char *command, const char *store_url,
                            marty_effect effect, void *user,
                            const marty_participant_options *options,
                            marty_subscription **ret_subscription, marty_error *why)
{
    static const marty_participant_options defaults;
    options = options ? options : &defaults;
    if (!bus || !command || !store_url || !effect) {
        return marty_error_set(why, MARTY_E_ARGUMENT,
                               "bus, command, store_url and effect are required");
    }
    marty_err err = marty__reserved_check(
        options->reserved, sizeof options->reserved / sizeof options->reserved[0], "options", why);
    if (err) {
        return err;
    }
    participant *self = marty_alloc_zero(1, sizeof *self);
    if (!self) {
        return marty__error_code(why, MARTY_E_NO_MEMORY);
    }
    uint64_t keep_ms = options->keep_ms ? options->keep_ms : UINT64_C(86400000) * KEEP_DAYS;
    self->bus = bus;
    self->effect = effect;
    self->probe = options->probe;
    self->user = user;
    self->keep_us = keep_ms < INT64_MAX / 4000 ? keep_ms * 1000 : INT64_MAX / 4;
    err = open_notes(self, store_url, why);
    if (err) {
        participant_free(self);
        return err;
    }
    marty_subscribe_options subscribe = {.service = options->service,
                                         .concurrency = options->concurrency,
                                         .batch_max = BATCH_MAX,
                                         .timeout_ms = MARTY__LISTEN_MS,
                                         .lease_ms = LEASE_MS,
                                         .retry = {.attempts = UINT32_MAX},
                                         .user_free = participant_free};
    err = marty_handle_commands(bus, command, on_commands, self, &subscribe, ret_subscription, why);
    if (err) {
        participant_free(self);
    }
    return err;
}
