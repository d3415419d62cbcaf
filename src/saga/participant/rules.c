/* SPDX-License-Identifier: Apache-2.0
 * The rules of docs/guide/participants.md: what an operation comes to, by what is known of its key.
 * On the worker that handles the batch, which holds the notes. */
#include "participant.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "message/message.h"

#include <string.h>

static marty_err note(asked *one, const char *key, marty__note_kind kind, marty_bytes text)
{
    participant *self = one->self;
    return self->table->add(self->notes, key, kind, text.data, text.size, marty__wall_us(),
                            &one->why);
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
    if (expires_us && expires_us < marty__wall_us()) {
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

/* As it was before it was tried. */
void marty__participant_reset(asked *one)
{
    marty_free(one->note.text);
    marty_free(one->forward_note.text);
    marty_free(one->operation.result);
    one->note = one->forward_note = (marty__note){0};
    one->operation.result = NULL;
    one->operation.result_size = 0;
    one->operation.refused = false;
    one->reply = one->reason = NULL;
    one->result = no_text();
    one->tombstone = false;
}

marty_err marty__participant_work(asked *one, void *transaction)
{
    participant *self = one->self;
    const marty_operation *operation = &one->operation.operation;
    marty_err err = self->table->enter(self->notes, one->key, &one->note, &one->why);
    if (err) {
        return err;
    }
    err = operation->undo    ? do_undo(one, transaction)
          : operation->probe ? do_probe(one, transaction)
                             : do_forward(one, transaction);
    return err ? err : self->table->leave(self->notes, &one->why);
}

void marty__participant_give_up(asked *one)
{
    marty__participant_reset(one);
    one->reply = one->operation.operation.probe ? "unknown" : "retry";
    (void)marty__text_clean(one->operation.reason, sizeof one->operation.reason, one->why.text,
                            strlen(one->why.text));
    one->reason = one->operation.reason;
}
