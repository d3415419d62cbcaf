/* SPDX-License-Identifier: Apache-2.0
 * Backwards: what ends quietly, who is undone when, and the end. Undo follows the reverse of the
 * partial order in which steps ran: in a sequence or a loop the later first, in a group side by
 * side. A step is undone only when nothing that depends on it has or may have an effect. */
#include "inside.h"

static const marty_bytes none = {NULL, 0};

/* Waits and read-only steps in flight have nothing to lose: they end as refused (rows 6, 16). */
void marty__saga_close_quiet(inside *in, uint32_t within, const char *reason)
{
    for (uint32_t i = 0; i < in->state.slot_count; i++) {
        if (marty__saga_in_flight(marty__saga_slot_at(in, i)) &&
            !marty__saga_has_effect(marty__saga_node_at(in, i)) &&
            marty__saga_within(in, i, within)) {
            marty__saga_emit_status(in, i, MARTY__SAGA_REJECTED, marty_text(reason));
        }
    }
}

static void cancel_children(inside *in)
{
    for (uint32_t i = 0; i < in->state.slot_count; i++) {
        if (marty__saga_node_at(in, i)->kind == MARTY__SAGA_CHILD &&
            marty__saga_unsettled(marty__saga_slot_at(in, i))) {
            marty__saga_send_cancel(in, i);
        }
    }
}

/* Row 16. */
void marty__saga_cancel(inside *in, const char *reason)
{
    marty__saga_emit_flags(in, MARTY__SAGA_CANCEL, 0);
    marty__saga_emit_note(in, reason);
    marty__saga_close_quiet(in, 0, reason);
    for (uint32_t i = 0; i < in->state.slot_count; i++) {
        const marty__saga_slot *slot = marty__saga_slot_at(in, i);
        if ((slot->status == MARTY__SAGA_CALLING || slot->status == MARTY__SAGA_BACKOFF) &&
            marty__saga_node_at(in, i)->in_doubt == MARTY_IN_DOUBT_COMPENSATE &&
            marty__saga_node_at(in, i)->kind != MARTY__SAGA_CHILD) {
            marty__saga_emit_status(in, i, MARTY__SAGA_IN_DOUBT, marty_text(reason));
            marty__saga_emit_mark(in, i, MARTY__SAGA_TO_UNDO, 0);
        }
    }
    cancel_children(in);
}

/* Siblings in a group that cuts do not go on: what they did is in doubt at once (9.6). */
static void cut_siblings(inside *in, const char *reason)
{
    for (uint32_t i = 0; i < in->state.slot_count; i++) {
        const marty__saga_slot *slot = marty__saga_slot_at(in, i);
        const marty__saga_node *node = marty__saga_node_at(in, i);
        uint32_t group = marty__saga_group_of(in, i);
        bool called = slot->status == MARTY__SAGA_CALLING || slot->status == MARTY__SAGA_BACKOFF;
        if (called && group != UINT32_MAX && marty__saga_node_at(in, group)->cut &&
            node->in_doubt != MARTY_IN_DOUBT_RETRY && node->kind != MARTY__SAGA_CHILD) {
            marty__saga_in_doubt(in, i, reason);
        }
    }
}

void marty__saga_compensate(inside *in, const char *reason)
{
    marty__saga_emit(in, &(marty__saga_entry){.kind = MARTY__ENTRY_PHASE,
                                              .n = {MARTY__SAGA_COMPENSATING},
                                              .b = {marty_text(reason)}});
    if (in->state.deadline.due_us) {
        marty__saga_emit(in, &(marty__saga_entry){.kind = MARTY__ENTRY_DEADLINE});
    }
    for (uint32_t i = 0; i < in->state.slot_count; i++) {
        const marty__saga_slot *slot = marty__saga_slot_at(in, i);
        if (slot->status == MARTY__SAGA_REJECTED && slot->stuck) {
            marty__saga_emit_status(in, i, MARTY__SAGA_REJECTED, none); /* nothing to repair now */
        }
    }
    marty__saga_close_quiet(in, 0, reason);
    cut_siblings(in, reason);
    cancel_children(in);
}

/* Whether something still goes forward, for which every undo waits (9.6, settle). A stuck one holds
 * up only what it depends on. */
static bool settling(const inside *in)
{
    for (uint32_t i = 0; i < in->state.slot_count; i++) {
        const marty__saga_slot *slot = marty__saga_slot_at(in, i);
        if (marty__saga_unsettled(slot) && !slot->stuck) {
            uint32_t group = marty__saga_group_of(in, i);
            if (group == UINT32_MAX || !marty__saga_node_at(in, group)->cut) {
                return true;
            }
        }
    }
    return false;
}

/* Row 19 and 19a for one step whose turn it is; whether it is clear by now. */
static bool undo_step(inside *in, uint32_t slot, bool may_send)
{
    const marty__saga_node *node = marty__saga_node_at(in, slot);
    if (!may_send) {
        return false;
    }
    if (!marty__saga_has_effect(node)) {
        marty__saga_emit_status(in, slot, MARTY__SAGA_RESOLVED, none);
        return true;
    }
    if (node->has_undo) {
        marty__saga_send_undo(in, slot);
    } else {
        marty__saga_emit_status(in, slot, MARTY__SAGA_UNDO_STUCK, none);
        marty__saga_emit_stuck(in, slot, MARTY__SAGA_STUCK_NO_UNDO, "it has no undo");
    }
    return false;
}

static bool undo_leaf(inside *in, uint32_t slot, bool may_send)
{
    const marty__saga_slot *at = marty__saga_slot_at(in, slot);
    switch (at->status) {
    case MARTY__SAGA_DONE:
        return undo_step(in, slot, may_send);
    case MARTY__SAGA_IN_DOUBT:
        return (at->flags & MARTY__SAGA_TO_UNDO) && undo_step(in, slot, may_send);
    case MARTY__SAGA_CALLING:
    case MARTY__SAGA_BACKOFF:
    case MARTY__SAGA_UNDOING:
    case MARTY__SAGA_UNDO_BACKOFF:
    case MARTY__SAGA_UNDO_STUCK:
        return false;
    case MARTY__SAGA_IDLE:
    case MARTY__SAGA_REJECTED:
    case MARTY__SAGA_SKIPPED:
    case MARTY__SAGA_UNDONE:
    case MARTY__SAGA_RESOLVED:
    case MARTY__SAGA_WAIVED:
    case MARTY__SAGA_OPEN:
        break;
    }
    return true;
}

/* Later ones first; whether all in a slot is clear. */
static bool undo_within(inside *in, uint32_t slot, bool may_send)
{
    const marty__saga_node *node = marty__saga_node_at(in, slot);
    if (marty__saga_is_leaf(node)) {
        return undo_leaf(in, slot, may_send);
    }
    bool ordered = MARTY__MUTANT(
        8, node->kind == MARTY__SAGA_SEQUENCE || node->kind == MARTY__SAGA_LOOP, false);
    bool clear = true;
    for (uint32_t child = marty__saga_slot_at(in, slot)->last; child && (clear || !ordered);
         child = marty__saga_slot_at(in, child)->before) {
        clear = undo_within(in, child, may_send) && clear;
    }
    return clear;
}

/* Strictly the latest that was done, and one at a time. Doubtful ones may come to be at any time:
 * they are first. */
static bool undo_strictly(inside *in, bool may_send)
{
    for (;;) {
        uint32_t latest = UINT32_MAX;
        uint64_t when = 0;
        for (uint32_t i = 0; i < in->state.slot_count; i++) {
            const marty__saga_slot *slot = marty__saga_slot_at(in, i);
            if (!marty__saga_is_leaf(marty__saga_node_at(in, i))) {
                continue;
            }
            bool doubt = slot->status == MARTY__SAGA_IN_DOUBT;
            uint64_t order = doubt ? UINT64_MAX : slot->done;
            if ((doubt || slot->status == MARTY__SAGA_DONE) && order >= when) {
                latest = i;
                when = order;
            }
            if (slot->status != MARTY__SAGA_DONE && !undo_leaf(in, i, false) && !doubt) {
                return false; /* one is on its way */
            }
        }
        if (latest == UINT32_MAX) {
            return true;
        }
        if (!undo_leaf(in, latest, may_send)) {
            return false;
        }
    }
}

static bool left_over(const inside *in)
{
    for (uint32_t i = 0; i < in->state.slot_count; i++) {
        if (marty__saga_slot_at(in, i)->flags & MARTY__SAGA_LEFT_OVER) {
            return true;
        }
    }
    return false;
}

void marty__saga_finish(inside *in, marty__saga_phase phase, const char *reason)
{
    if (left_over(in)) {
        marty__saga_emit_flags(in, MARTY__SAGA_RESIDUE, 0);
    }
    marty__saga_emit(in, &(marty__saga_entry){
                             .kind = MARTY__ENTRY_PHASE, .n = {phase}, .b = {marty_text(reason)}});
    if (marty__saga_flag(in, MARTY__SAGA_CHILD_SAGA)) {
        marty__saga_answer_end(in);
    }
}

void marty__saga_undo(inside *in)
{
    bool paused = marty__saga_flag(in, MARTY__SAGA_PAUSED);
    bool may_send = !paused && !MARTY__MUTANT(9, settling(in), false);
    bool clear =
        in->definition->strict_undo ? undo_strictly(in, may_send) : undo_within(in, 0, may_send);
    if (clear && !in->err) {
        marty__saga_finish(in, MARTY__SAGA_COMPENSATED, NULL);
    }
}
