/* SPDX-License-Identifier: Apache-2.0
 * Entries are applied as they are emitted, so that the next rule sees them. The header of the batch
 * comes with the first: an event that emits nothing makes no version. */
#include "inside.h"

static marty_err failed_with(inside *in, marty_err err, const char *text)
{
    if (!in->err) {
        const char *id = in->state.version ? in->state.id : in->event->saga;
        in->err = marty_error_set(in->why, err, "saga %s: %s", id ? id : "", text);
    }
    return in->err;
}

marty_err marty__saga_fail(inside *in, marty_err err, const char *text)
{
    return failed_with(in, err, text);
}

static void put(inside *in, const marty__saga_entry *entry)
{
    marty__saga_entry_write(entry, &in->history);
    if (!marty__saga_apply(&in->state, entry)) {
        (void)failed_with(in, in->arena.failed ? MARTY_E_NO_MEMORY : MARTY_E_TOO_LARGE,
                          in->arena.failed ? "out of memory" : "over a limit of its state");
    } else if (in->history.failed) {
        (void)failed_with(in, MARTY_E_NO_MEMORY, "out of memory");
    }
}

static marty__saga_cause cause_of(const marty__saga_event *event)
{
    switch (event->kind) {
    case MARTY__SAGA_EVENT_START:
        return event->key ? MARTY__SAGA_BY_PARENT : MARTY__SAGA_BY_START;
    case MARTY__SAGA_EVENT_TICK:
    case MARTY__SAGA_EVENT_TIMER:
        return MARTY__SAGA_BY_TIMER;
    case MARTY__SAGA_EVENT_SIGNAL:
        return MARTY__SAGA_BY_SIGNAL;
    case MARTY__SAGA_EVENT_VERB:
        return MARTY__SAGA_BY_PERSON;
    case MARTY__SAGA_EVENT_PARENT_CANCEL:
    case MARTY__SAGA_EVENT_PARENT_UNDO:
        return MARTY__SAGA_BY_PARENT;
    case MARTY__SAGA_EVENT_NOT_SENT:
        return MARTY__SAGA_BY_BROKER;
    case MARTY__SAGA_EVENT_REPLY:
        break;
    }
    return MARTY__SAGA_BY_MESSAGE;
}

void marty__saga_emit(inside *in, const marty__saga_entry *entry)
{
    if (in->err) {
        return;
    }
    if (!in->began) {
        const marty__saga_event *event = in->event;
        bool person = event->kind == MARTY__SAGA_EVENT_VERB;
        const char *id = event->cause ? event->cause : event->id;
        in->began = true;
        marty__buffer_byte(&in->history, MARTY__SAGA_HISTORY_VERSION);
        put(in, &(marty__saga_entry){
                    .kind = MARTY__ENTRY_BATCH,
                    .n = {in->state.version + 1, (uint64_t)in->now_us, cause_of(event)},
                    .b = {marty_text(id), marty_text(person ? event->who : NULL),
                          marty_text(person ? event->note : NULL)}});
    }
    if (!in->err) {
        put(in, entry);
    }
}

void marty__saga_emit_slot(inside *in, marty__saga_entry_kind kind, uint32_t slot, uint64_t number,
                           marty_bytes bytes)
{
    marty__saga_emit(in, &(marty__saga_entry){.kind = kind, .n = {slot, number}, .b = {bytes}});
}

void marty__saga_emit_status(inside *in, uint32_t slot, marty__saga_status status, marty_bytes text)
{
    in->doubts += status == MARTY__SAGA_IN_DOUBT;
    in->undo_failures += status == MARTY__SAGA_UNDO_STUCK;
    marty__saga_emit_slot(in, MARTY__ENTRY_STATUS, slot, status, text);
}

void marty__saga_emit_stuck(inside *in, uint32_t slot, marty__saga_stuck why, const char *reason)
{
    marty__saga_emit_slot(in, MARTY__ENTRY_STUCK, slot, why, marty_text(reason));
    in->alert = "a step is stuck";
}

void marty__saga_emit_mark(inside *in, uint32_t slot, uint32_t set, uint32_t clear)
{
    uint32_t flags = marty__saga_slot_at(in, slot)->flags;
    if (((flags | set) & ~clear) != flags) {
        marty__saga_emit(in,
                         &(marty__saga_entry){.kind = MARTY__ENTRY_MARK, .n = {slot, set, clear}});
    }
}

void marty__saga_emit_flags(inside *in, uint32_t set, uint32_t clear)
{
    if (((in->state.flags | set) & ~clear) != in->state.flags) {
        marty__saga_emit(in, &(marty__saga_entry){.kind = MARTY__ENTRY_FLAGS, .n = {set, clear}});
    }
}

void marty__saga_emit_timer(inside *in, uint32_t slot, unsigned which, int64_t due_us)
{
    marty__saga_emit(
        in, &(marty__saga_entry){.kind = MARTY__ENTRY_TIMER, .n = {slot, which, (uint64_t)due_us}});
}

void marty__saga_emit_note(inside *in, const char *text)
{
    marty__saga_emit(in, &(marty__saga_entry){.kind = MARTY__ENTRY_NOTE, .b = {marty_text(text)}});
}

void marty__saga_ignore(inside *in, marty__saga_ignored why)
{
    in->ignored = why;
}

int64_t marty__saga_after(const inside *in, uint64_t ms)
{
    uint64_t most = (uint64_t)(INT64_MAX - in->now_us) / 1000;
    return in->now_us + (int64_t)(ms < most ? ms : most) * 1000;
}

marty__saga_command *marty__saga_command_add(inside *in)
{
    if (in->err) {
        return NULL;
    }
    if (in->command_count == in->command_room) {
        size_t room = in->command_room ? in->command_room * 2 : 4;
        marty__saga_command *wider = marty__arena_alloc(&in->arena, room * sizeof *wider);
        if (!wider) {
            (void)failed_with(in, MARTY_E_NO_MEMORY, "out of memory");
            return NULL;
        }
        if (in->command_count) {
            memcpy(wider, in->commands, in->command_count * sizeof *wider);
        }
        in->commands = wider;
        in->command_room = room;
    }
    return &in->commands[in->command_count++];
}
