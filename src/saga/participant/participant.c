/* SPDX-License-Identifier: Apache-2.0
 * A participant: one handler that finds out what it knows of an operation, does it when it is new,
 * and notes the answer, all in one transaction; then it answers. The rules are those of
 * docs/guide/participants.md. Handlers run on workers; the notes let one at a time in. */
#include "notes.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "bus/bus.h"
#include "saga/attributes.h"
#include "saga/engine/engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OPEN_MS = 10000, EFFECT_MS = 30000, KEEP_DAYS = 30, PURGE_EVERY = 1000, BATCH_MAX = 64 };

typedef struct participant {
    marty_bus *bus;
    const marty__notes_table *table;
    marty__notes *notes;
    marty_effect effect, probe;
    void *user;
    uint64_t keep_us;
    _Atomic unsigned handled;
} participant;

/* One delivery of a batch: the operation that it asks for, and the answer that it gets. */
typedef struct asked {
    participant *self;
    struct asked *next;
    marty_delivery *delivery;
    engine_operation operation; /* texts are the headers below */
    char saga[40], step[256], key[MARTY__SAGA_TEXT], forward[MARTY__SAGA_TEXT], reply_to[128];
    char attempt[12];
    const char *reply; /* the word */
    const char *reason;
    marty_bytes result;
    bool tombstone;
    marty__note note, forward_note;
    marty_error why;
} asked;

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
        .attempt = (uint32_t)strtoul(one->attempt, NULL, 10),
        .undo = undo,
        .probe = probe,
        .data = message->data,
        .delivery = one->delivery,
    };
    return *one->saga && *one->key && *one->reply_to && (!undo || *one->forward) &&
           (undo || probe || strcmp(direction, "forward") == 0);
}

static int64_t now_us(void)
{
    return marty__wall_us();
}

static marty_err note(asked *one, const char *key, marty__note_kind kind, marty_bytes text)
{
    participant *self = one->self;
    return self->table->add(self->notes, key, kind, text.data, text.size, now_us(), &one->why);
}

static marty_bytes no_text(void)
{
    return (marty_bytes){"", 0};
}

/* The answer that was given before, again. */
static void repeat(asked *one)
{
    bool refused = one->note.kind == MARTY__NOTE_REFUSED;
    one->tombstone = one->note.kind == MARTY__NOTE_TOMBSTONE;
    one->reply = refused || one->tombstone ? "rejected" : "ok";
    if (refused) {
        one->reason = one->note.text;
    } else if (!one->tombstone) {
        one->result = (marty_bytes){one->note.text, one->note.size};
    }
}

/* Run the effect and note what it says; an error takes all of it back. */
static marty_err do_effect(asked *one, void *transaction)
{
    participant *self = one->self;
    engine_operation *operation = &one->operation;
    marty_err err = self->effect(self->user, &operation->operation, transaction);
    if (err || operation->refused) {
        marty_err undone = self->table->undo(self->notes, &one->why);
        if (err || undone) {
            one->reply = "retry";
            one->reason = marty_err_describe(err ? err : undone)->text;
            return undone;
        }
        one->reply = "rejected";
        one->reason = operation->reason;
        return note(one, one->key, MARTY__NOTE_REFUSED, marty_text(operation->reason));
    }
    one->reply = "ok";
    one->result = (marty_bytes){operation->result, operation->result_size};
    return note(one, one->key, MARTY__NOTE_DONE, one->result);
}

static marty_err do_forward(asked *one, void *transaction)
{
    int64_t expires_us = one->delivery->message->expires_us;
    if (one->note.kind) {
        repeat(one);
        return MARTY_OK;
    }
    if (expires_us && expires_us < now_us()) {
        one->reply = "retry";
        one->reason = "it came too late";
        return MARTY_OK;
    }
    return do_effect(one, transaction);
}

/* Whether the data of an undo carries the forward's result: then there was one. */
static bool knows_result(const asked *one)
{
    marty_bytes known = marty_message_header(one->delivery->message, "sagaknown");
    return known.size == 4 && memcmp(known.data, "true", 4) == 0;
}

static marty_err do_undo(asked *one, void *transaction)
{
    participant *self = one->self;
    if (one->note.kind) {
        repeat(one);
        return MARTY_OK;
    }
    marty_err err = self->table->find(self->notes, one->forward, &one->forward_note, &one->why);
    if (err) {
        return err;
    }
    bool unknown = one->forward_note.kind == MARTY__NOTE_NONE;
    if (one->forward_note.kind == MARTY__NOTE_DONE || (unknown && knows_result(one))) {
        return do_effect(one, transaction);
    }
    if (unknown) { /* it comes later, or never: it finds the key sealed */
        err = note(one, one->forward, MARTY__NOTE_TOMBSTONE, no_text());
    }
    one->reply = "ok";
    return err ? err : note(one, one->key, MARTY__NOTE_DONE, no_text());
}

static marty_err ask_effect(asked *one, void *transaction)
{
    participant *self = one->self;
    engine_operation *operation = &one->operation;
    if (self->probe) {
        marty_err err = self->probe(self->user, &operation->operation, transaction);
        if (err) {
            one->reply = "unknown";
            one->reason = marty_err_describe(err)->text;
            return self->table->undo(self->notes, &one->why);
        }
        if (!operation->refused) {
            one->reply = "done";
            one->result = (marty_bytes){operation->result, operation->result_size};
            return note(one, one->key, MARTY__NOTE_DONE, one->result);
        }
    }
    one->reply = "not_done";
    return note(one, one->key, MARTY__NOTE_TOMBSTONE, no_text());
}

static marty_err do_probe(asked *one, void *transaction)
{
    if (!one->note.kind) {
        return ask_effect(one, transaction);
    }
    bool done = one->note.kind == MARTY__NOTE_DONE;
    one->reply = done ? "done" : "not_done";
    one->result = done ? (marty_bytes){one->note.text, one->note.size} : no_text();
    return MARTY_OK;
}

static marty_err work_one(asked *one, void *transaction)
{
    participant *self = one->self;
    marty_err err = self->table->next(self->notes, &one->why);
    err = err ? err : self->table->find(self->notes, one->key, &one->note, &one->why);
    if (err) {
        return err;
    }
    const marty_operation *operation = &one->operation.operation;
    return operation->undo    ? do_undo(one, transaction)
           : operation->probe ? do_probe(one, transaction)
                              : do_forward(one, transaction);
}

/* A batch is one transaction; an error says that nothing is known to be done. */
static marty_err work(participant *self, asked *first, marty_error *why)
{
    void *transaction = NULL;
    int64_t until_ns = marty__deadline_ns(marty__monotonic_ns(), EFFECT_MS);
    marty_err err = self->table->begin(self->notes, until_ns, &transaction, why);
    if (err) {
        return err;
    }
    for (asked *one = first; one && !err; one = one->next) {
        err = work_one(one, transaction);
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
                                     .wait_for_room = true};
    marty_bytes data = one->result.size ? one->result : marty_text("null");
    return marty_send_command(one->self->bus, one->reply_to, "saga.reply", data, &options,
                              &one->why);
}

static void purge_sometimes(participant *self)
{
    if (atomic_fetch_add(&self->handled, 1) % PURGE_EVERY == PURGE_EVERY - 1) {
        (void)self->table->purge(self->notes, now_us() - (int64_t)self->keep_us,
                                 marty__deadline_ns(marty__monotonic_ns(), 1000), NULL);
    }
}

static void free_all(asked *one)
{
    while (one) {
        asked *next = one->next;
        marty_free(one->note.text);
        marty_free(one->forward_note.text);
        marty_free(one->operation.result);
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
    marty_error why = {0};
    marty_err err = read_all(self, delivery, &first);
    err = err || !first ? err : work(self, first, &why);
    for (asked *one = err ? NULL : first; one; one = one->next) {
        if (answer(one)) {
            (void)marty_retry(one->delivery, 0, one->why.text);
        }
        purge_sometimes(self);
    }
    for (asked *one = err ? first : NULL; one; one = one->next) {
        (void)marty_retry(one->delivery, 0, why.text);
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
    marty_err err = marty_url_parse(&url, store_url, why);
    if (err) {
        return err;
    }
    if (strcmp(url->scheme, marty__notes_sqlite.scheme) == 0) {
        self->table = &marty__notes_sqlite;
        err = self->table->open(&self->notes, url,
                                marty__deadline_ns(marty__monotonic_ns(), OPEN_MS), why);
    } else {
        err = marty_error_set(why, MARTY_E_CONFIG,
                              "%s: a participant keeps its notes in sqlite:FILE", url->redacted);
    }
    marty_url_free(url);
    return err;
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
    marty_err err = open_notes(self, store_url, why);
    if (err) {
        participant_free(self);
        return err;
    }
    marty_subscribe_options subscribe = {.service = options->service,
                                         .concurrency = options->concurrency,
                                         .batch_max = BATCH_MAX,
                                         .retry = {.attempts = UINT32_MAX},
                                         .user_free = participant_free};
    err = marty_handle_commands(bus, command, on_commands, self, &subscribe, ret_subscription, why);
    if (err) {
        participant_free(self);
    }
    return err;
}
