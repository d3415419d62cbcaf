/* SPDX-License-Identifier: Apache-2.0
 * What the parts of the machine share while one event is decided: the state as it is by now, the
 * batch and the commands so far, the first error. Emitting is the only way to change the state;
 * after an error nothing more is emitted, and the turn comes to nothing. */
#ifndef MARTY_SAGA_INSIDE_H
#define MARTY_SAGA_INSIDE_H
#include "entry.h"
#include "machine.h"
#include "mutant.h"

#include <marty/message.h>

enum {
    MARTY__SAGA_PROBES_MAX = 20,      /* of one doubt, once its total time is over: then a person */
    MARTY__SAGA_UNDO_REFUSED_MAX = 10 /* attempts of an undo that is refused, if not counted */
};

typedef struct marty__saga_inside {
    marty__arena arena;
    marty__buffer state_bytes, history;
    marty__saga_state state;
    const marty__saga_definition *definition;
    const marty__saga_rules *rules;
    const marty__saga_event *event;
    int64_t now_us;
    marty_err err;
    bool began; /* the batch has its header */
    marty__saga_ignored ignored;
    const char *alert, *refused;
    uint32_t doubts, undo_failures;
    int64_t answered_us;
    bool late;
    marty__saga_command *commands;
    size_t command_count, command_room;
    marty_bytes *items; /* the array of the map in slot items_of */
    size_t item_count;
    uint32_t items_of;
    size_t before_size; /* of the state as it came */
    marty_error *why;
} inside;

/* ---- emit.c */
void marty__saga_emit(inside *in, const marty__saga_entry *entry);
void marty__saga_emit_status(inside *in, uint32_t slot, marty__saga_status status,
                             marty_bytes text);
void marty__saga_emit_stuck(inside *in, uint32_t slot, marty__saga_stuck why, const char *reason);
void marty__saga_emit_mark(inside *in, uint32_t slot, uint32_t set, uint32_t clear);
void marty__saga_emit_flags(inside *in, uint32_t set, uint32_t clear);
/** due_us 0 = off; never armed for "now or before" as 0. */
void marty__saga_emit_timer(inside *in, uint32_t slot, unsigned which, int64_t due_us);
/** An entry of a slot and one more number. */
void marty__saga_emit_slot(inside *in, marty__saga_entry_kind kind, uint32_t slot, uint64_t number,
                           marty_bytes bytes);
void marty__saga_emit_note(inside *in, const char *text);
marty_err marty__saga_fail(inside *in, marty_err err, const char *text);
void marty__saga_ignore(inside *in, marty__saga_ignored why);
int64_t marty__saga_after(const inside *in, uint64_t ms);
/** The next command, zeroed; NULL without memory. */
marty__saga_command *marty__saga_command_add(inside *in);

MARTY_INLINE marty__saga_slot *marty__saga_slot_at(const inside *in, uint32_t slot)
{
    return &in->state.slots[slot];
}
MARTY_INLINE const marty__saga_node *marty__saga_node_at(const inside *in, uint32_t slot)
{
    return &in->definition->nodes[in->state.slots[slot].node];
}
MARTY_INLINE bool marty__saga_flag(const inside *in, uint32_t flag)
{
    return (in->state.flags & flag) != 0;
}

/* ---- tree.c */
/** "lines[3]/reserve", from the arena; "" without memory. */
const char *marty__saga_path(inside *in, uint32_t slot);
/** Slot of a path, or UINT32_MAX. */
uint32_t marty__saga_find_path(inside *in, const char *path);
/** CALLING, BACKOFF or IN_DOUBT. */
bool marty__saga_in_flight(const marty__saga_slot *slot);
/** In flight and not yet handed to its undo. */
bool marty__saga_unsettled(const marty__saga_slot *slot);
/** The innermost parallel or map around a slot, or UINT32_MAX. */
uint32_t marty__saga_group_of(const inside *in, uint32_t slot);
/** Whether a slot is within another (or is it). */
bool marty__saga_within(const inside *in, uint32_t slot, uint32_t outer);
bool marty__saga_any_stuck(const inside *in);
bool marty__saga_past_horizon(const inside *in, int64_t first_us);

/* ---- send.c */
void marty__saga_send_forward(inside *in, uint32_t slot);
void marty__saga_send_undo(inside *in, uint32_t slot);
void marty__saga_send_probe(inside *in, uint32_t slot);
void marty__saga_send_cancel(inside *in, uint32_t slot);
/** When all attempts of an op together have lasted long enough; INT64_MAX = never. */
int64_t marty__saga_total_us(const marty__saga_op *op, const marty__saga_call *call);
/** After its main timer: arm the one of the total time, when that comes no later. */
void marty__saga_arm_total(inside *in, uint32_t slot, bool undo);
/** Delay before the next try of an op that was tried that often. */
uint64_t marty__saga_backoff_ms(const inside *in, uint32_t slot, bool undo);

/* ---- forward.c */
/** Row 33: what may start starts, what is over ends. */
void marty__saga_advance(inside *in);

/* ---- outcome.c */
void marty__saga_done(inside *in, uint32_t slot, marty_bytes result);
void marty__saga_refused(inside *in, uint32_t slot, const char *reason);
/** Rows 13 and 14: there was no effect, and there will be none under this key. */
void marty__saga_no_effect(inside *in, uint32_t slot, const char *reason);
/** An attempt is over without an answer that counts; delay_ms is asked for by the participant. */
void marty__saga_attempt_over(inside *in, uint32_t slot, bool doubtful, bool may_retry,
                              uint64_t delay_ms);
void marty__saga_in_doubt(inside *in, uint32_t slot, const char *reason);
/** A group, loop or map is over its limit. */
void marty__saga_over_limit(inside *in, uint32_t slot, const char *reason);
/** The same of an undo; in_time: the participant has answered, and the reason is emitted. */
void marty__saga_undo_over(inside *in, uint32_t slot, bool in_time, uint64_t delay_ms);
void marty__saga_undo_refused(inside *in, uint32_t slot, const char *reason);

/* ---- undo.c */
void marty__saga_compensate(inside *in, const char *reason);
void marty__saga_cancel(inside *in, const char *reason);
void marty__saga_close_quiet(inside *in, uint32_t within, const char *reason);
/** Rows 19, 19a and the end of compensation. */
void marty__saga_undo(inside *in);
void marty__saga_finish(inside *in, marty__saga_phase phase, const char *reason);

/* ---- reply.c, timers.c, signals.c, verbs.c, family.c: one event each */
void marty__saga_on_reply(inside *in);
void marty__saga_on_not_sent(inside *in);
void marty__saga_on_tick(inside *in);
void marty__saga_on_timer(inside *in);
void marty__saga_on_signal(inside *in);
void marty__saga_on_verb(inside *in);
void marty__saga_on_start(inside *in);
void marty__saga_on_parent(inside *in);
void marty__saga_on_migrate(inside *in, const marty__saga_definition *to);
/** All timers that are due, in due order. */
void marty__saga_fire_due(inside *in);
/** The verb COMPENSATE and a parent's undo of a COMPLETED saga; false: not allowed, why is said. */
bool marty__saga_reopen(inside *in, const char **ret_why);
/** Answers to the parent, at the end. */
void marty__saga_answer_end(inside *in);
/** Whether the id is known; else it is from now on. Sets the error. */
bool marty__saga_seen(inside *in, const char *what, const char *id);

/* ---- context.c */
/** {"input": ..., "results": {...}, "item": ..., "index": n}: what a slot may know. */
void marty__saga_context(inside *in, uint32_t slot, marty__buffer *to);
/** Only the results. */
void marty__saga_results(inside *in, uint32_t slot, marty__buffer *to);
/** The data of a step's command. */
marty_bytes marty__saga_data(inside *in, uint32_t slot, bool undo);
/** Whether all tests of a node hold for what a slot may know. */
bool marty__saga_tests(inside *in, uint32_t slot, const marty__saga_node *node);
/** How many items the map's array has; false when it is no array. */
bool marty__saga_items(inside *in, uint32_t slot, uint64_t *ret_count);

/* ---- tools.c */
/** A text as a report; frees the text. */
marty_err marty__saga_report(marty_message **ret, marty__buffer *text, const char *type,
                             marty_error *why);

/* ---- pointer.c */
/** The value at a JSON pointer in a valid JSON text; false when there is none. */
bool marty__json_at(marty_bytes json, const char *pointer, marty_bytes *ret_value);
bool marty__saga_test_holds(const marty_saga_test *test, marty_bytes context);
bool marty__saga_pointer_valid(const char *pointer);
#endif
