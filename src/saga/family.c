/* SPDX-License-Identifier: Apache-2.0
 * Parents and children (9.6). A child's id is made of its parent's op key, so starting it twice is
 * starting it once. What a child tells its parent about F never changes once it was told; about C
 * it is told at the end of the undo. A cancel or undo that comes before the start makes the saga as
 * one that is compensated already: the late start finds it. */
#include "inside.h"

#include "message/json_scan.h"

static const marty_bytes none = {NULL, 0};

/* Whoever asks is told, else who started it. */
static void answer(inside *in, const uint8_t key[MARTY__SAGA_KEY_BYTES], marty__saga_reply reply)
{
    marty__saga_command *command = marty__saga_command_add(in);
    if (!command) {
        return;
    }
    marty_bytes parent = in->event->parent ? marty_text(in->event->parent) : in->state.parent_saga;
    *command = (marty__saga_command){
        .kind = MARTY__SAGA_ANSWER, .reply = reply, .attempt = in->event->attempt, .step = ""};
    if (parent.size && parent.size < sizeof command->child) {
        memcpy(command->child, parent.data, parent.size);
    }
    marty__saga_key_text(command->key, key);
    marty__saga_message_id(command->message, key, "a",
                           reply == MARTY__SAGA_ACCEPTED || reply == MARTY__SAGA_PROGRESS
                               ? 2 * in->event->attempt + 1
                               : 2 * in->event->attempt);
}

/* What F at the parent is told: the end as it was reached first. */
static marty__saga_reply forward_answer(const inside *in)
{
    if (in->state.phase == MARTY__SAGA_COMPLETED || marty__saga_flag(in, MARTY__SAGA_REOPENED)) {
        return MARTY__SAGA_OK;
    }
    if (in->state.phase == MARTY__SAGA_COMPENSATED) {
        return MARTY__MUTANT(21, marty__saga_flag(in, MARTY__SAGA_RESIDUE), false)
                   ? MARTY__SAGA_LEFT
                   : MARTY__SAGA_REFUSED;
    }
    return in->state.phase == MARTY__SAGA_ABANDONED ? MARTY__SAGA_LEFT : MARTY__SAGA_PROGRESS;
}

static void answer_forward(inside *in, const uint8_t key[MARTY__SAGA_KEY_BYTES])
{
    marty__saga_reply reply = forward_answer(in);
    answer(in, key, reply);
    if (in->err) {
        return;
    }
    marty__saga_command *command = &in->commands[in->command_count - 1];
    command->tombstone = marty__saga_flag(in, MARTY__SAGA_BORN_DEAD);
    if (reply == MARTY__SAGA_REFUSED && in->state.reason.size) {
        command->reason =
            marty__arena_text(&in->arena, in->state.reason.data, in->state.reason.size);
    }
    if (reply == MARTY__SAGA_OK) {
        marty__buffer results = {0};
        marty__saga_results(in, 0, &results);
        if (!results.failed && results.size <= MARTY__SAGA_RESULT_BYTES_MAX) {
            command->data = (marty_bytes){marty__arena_text(&in->arena, results.data, results.size),
                                          results.size};
        }
        marty__buffer_free(&results);
    }
}

/* What C at the parent is told. */
static marty__saga_reply undo_answer(const inside *in)
{
    switch (in->state.phase) {
    case MARTY__SAGA_COMPENSATED:
        return marty__saga_flag(in, MARTY__SAGA_RESIDUE) ? MARTY__SAGA_LEFT : MARTY__SAGA_OK;
    case MARTY__SAGA_ABANDONED:
        return MARTY__SAGA_LEFT;
    case MARTY__SAGA_COMPLETED:
        return MARTY__SAGA_REFUSED;
    case MARTY__SAGA_RUNNING:
    case MARTY__SAGA_COMPENSATING:
        break;
    }
    return MARTY__SAGA_PROGRESS;
}

void marty__saga_answer_end(inside *in)
{
    if (!marty__saga_flag(in, MARTY__SAGA_UNDO_ASKED)) {
        if (!marty__saga_flag(in, MARTY__SAGA_REOPENED)) {
            answer_forward(in, in->state.parent);
        }
        return;
    }
    const char *why = NULL;
    if (in->state.phase == MARTY__SAGA_COMPLETED && marty__saga_reopen(in, &why)) {
        return; /* it was too late to cancel; the undo goes on now, and answers at its end */
    }
    answer(in, in->state.parent_undo, undo_answer(in));
}

static bool is_parent(const inside *in, const uint8_t key[MARTY__SAGA_KEY_BYTES])
{
    return marty__saga_flag(in, MARTY__SAGA_CHILD_SAGA) &&
           memcmp(key, in->state.parent, MARTY__SAGA_KEY_BYTES) == 0;
}

/* Row 2, and what the parent of a born dead one is told. */
static void started_again(inside *in)
{
    uint8_t key[MARTY__SAGA_KEY_BYTES];
    marty__saga_ignore(in, MARTY__SAGA_IGNORED_DUPLICATE);
    if (!in->event->key) {
        return;
    }
    if (!marty__saga_key_parse(key, in->event->key)) {
        marty__saga_ignore(in, MARTY__SAGA_IGNORED_MALFORMED);
    } else if (is_parent(in, key) || marty__saga_flag(in, MARTY__SAGA_BORN_DEAD)) {
        answer_forward(in, key);
    }
}

static void emit_started(inside *in, uint32_t flags, const uint8_t *parent)
{
    marty_bytes parent_key = {parent, parent ? MARTY__SAGA_KEY_BYTES : 0};
    const marty__saga_event *event = in->event;
    bool start = event->kind == MARTY__SAGA_EVENT_START;
    marty__saga_emit(in,
                     &(marty__saga_entry){.kind = MARTY__ENTRY_STARTED,
                                          .n = {flags},
                                          .b = {marty_text(event->saga),
                                                {in->definition->hash, sizeof in->definition->hash},
                                                start ? event->data : none,
                                                marty_text(start ? event->start_key : NULL),
                                                parent_key,
                                                marty_text(event->parent)}});
}

static bool may_be_made(inside *in)
{
    const marty__saga_event *event = in->event;
    marty__json_value value;
    size_t id = event->saga ? strlen(event->saga) : 0;
    if (!id || id > MARTY__SAGA_ID_TEXT_MAX ||
        (event->parent && strlen(event->parent) > MARTY__SAGA_ID_TEXT_MAX) ||
        (event->start_key && strlen(event->start_key) > MARTY__SAGA_START_KEY_MAX)) {
        (void)marty__saga_fail(
            in, MARTY_E_ARGUMENT,
            "a saga needs an id of at most 39 bytes; its start key may have 128");
    } else if (event->data.size &&
               !marty__json_valid(event->data.data, event->data.size, false, 32, &value)) {
        (void)marty__saga_fail(in, MARTY_E_MALFORMED, "the input must be JSON");
    } else if (event->data.size > MARTY__SAGA_STATE_BYTES_MAX / 2) {
        (void)marty__saga_fail(in, MARTY_E_TOO_LARGE, "the input is over 512 KiB");
    }
    return in->err == MARTY_OK;
}

void marty__saga_on_start(inside *in)
{
    uint8_t key[MARTY__SAGA_KEY_BYTES];
    const marty__saga_event *event = in->event;
    if (in->state.version) {
        started_again(in);
        return;
    }
    if (event->key && !marty__saga_key_parse(key, event->key)) {
        marty__saga_ignore(in, MARTY__SAGA_IGNORED_MALFORMED);
        return;
    }
    if (!may_be_made(in)) {
        return;
    }
    uint8_t *parent =
        event->key ? (uint8_t *)marty__arena_text(&in->arena, (const char *)key, sizeof key) : NULL;
    emit_started(in, parent ? MARTY__SAGA_CHILD_SAGA : 0, parent);
    int64_t deadline_us = event->deadline_us;
    if (!deadline_us && in->definition->deadline_ms) {
        deadline_us = marty__saga_after(in, in->definition->deadline_ms);
    }
    if (deadline_us) {
        marty__saga_emit(
            in, &(marty__saga_entry){.kind = MARTY__ENTRY_DEADLINE, .n = {(uint64_t)deadline_us}});
    }
    if (parent) {
        answer(in, key, MARTY__SAGA_ACCEPTED);
    }
}

/* Made by what came before its start. */
static void be_born_dead(inside *in, const uint8_t *key, bool undo)
{
    if (!may_be_made(in)) {
        return;
    }
    uint8_t *copy =
        (uint8_t *)marty__arena_text(&in->arena, (const char *)key, MARTY__SAGA_KEY_BYTES);
    emit_started(
        in, MARTY__SAGA_CHILD_SAGA | MARTY__SAGA_BORN_DEAD | (undo ? MARTY__SAGA_UNDO_ASKED : 0u),
        undo ? NULL : copy);
    if (undo) {
        marty__saga_emit(in, &(marty__saga_entry){.kind = MARTY__ENTRY_UNDO_ASKED,
                                                  .b = {{copy, MARTY__SAGA_KEY_BYTES}}});
    }
    if (undo && in->event->known) { /* it has run, and was purged: never an empty OK */
        marty__saga_finish(in, MARTY__SAGA_ABANDONED, "it was purged; what it did may be left");
    } else {
        marty__saga_finish(in, MARTY__SAGA_COMPENSATED, "undone before it was started");
    }
}

static void stop(inside *in, const char *reason)
{
    if (in->state.phase == MARTY__SAGA_RUNNING && !marty__saga_flag(in, MARTY__SAGA_CANCEL) &&
        !marty__saga_flag(in, MARTY__SAGA_PIVOT_PASSED)) {
        marty__saga_cancel(in, reason);
    }
}

static void on_undo(inside *in, uint8_t *key)
{
    const char *why = NULL;
    bool known = marty__saga_flag(in, MARTY__SAGA_UNDO_ASKED) &&
                 memcmp(key, in->state.parent_undo, MARTY__SAGA_KEY_BYTES) == 0;
    if (in->state.phase == MARTY__SAGA_COMPENSATED || in->state.phase == MARTY__SAGA_ABANDONED ||
        (in->state.phase == MARTY__SAGA_COMPLETED && !in->definition->undo_completed) ||
        (known && !marty__saga_ended(&in->state))) {
        marty__saga_ignore(in, MARTY__SAGA_IGNORED_DUPLICATE);
        answer(in, key, undo_answer(in));
        return;
    }
    uint8_t *copy =
        (uint8_t *)marty__arena_text(&in->arena, (const char *)key, MARTY__SAGA_KEY_BYTES);
    if (in->state.phase == MARTY__SAGA_COMPLETED && !marty__saga_reopen(in, &why)) {
        marty__saga_ignore(in, MARTY__SAGA_IGNORED_LATE);
        answer(in, key, MARTY__SAGA_REFUSED);
        return;
    }
    marty__saga_emit_flags(in, MARTY__SAGA_UNDO_ASKED, 0);
    marty__saga_emit(in, &(marty__saga_entry){.kind = MARTY__ENTRY_UNDO_ASKED,
                                              .b = {{copy, MARTY__SAGA_KEY_BYTES}}});
    stop(in, "its parent undoes it");
    answer(in, key, MARTY__SAGA_ACCEPTED);
}

void marty__saga_on_parent(inside *in)
{
    uint8_t key[MARTY__SAGA_KEY_BYTES];
    bool undo = in->event->kind == MARTY__SAGA_EVENT_PARENT_UNDO;
    if (!marty__saga_key_parse(key, in->event->key)) {
        marty__saga_ignore(in, MARTY__SAGA_IGNORED_MALFORMED);
    } else if (!in->state.version) {
        be_born_dead(in, key, undo);
    } else if (undo) {
        on_undo(in, key);
    } else if (!is_parent(in, key) && !marty__saga_flag(in, MARTY__SAGA_BORN_DEAD)) {
        marty__saga_ignore(in, MARTY__SAGA_IGNORED_UNKNOWN);
    } else if (marty__saga_ended(&in->state) || marty__saga_flag(in, MARTY__SAGA_CANCEL) ||
               in->state.phase != MARTY__SAGA_RUNNING ||
               marty__saga_flag(in, MARTY__SAGA_PIVOT_PASSED)) {
        marty__saga_ignore(in, MARTY__SAGA_IGNORED_DUPLICATE);
        answer_forward(in, key);
    } else {
        stop(in, "its parent cancels it");
    }
}
