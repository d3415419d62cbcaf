/* SPDX-License-Identifier: Apache-2.0
 * What became of a step: done, refused, without effect, in doubt, not undone; and what that means
 * for the groups around it and for the saga. The numbers are rows of the table in the design page.
 */
#include "inside.h"

static const marty_bytes none = {NULL, 0};

/* Rows 5, 13, 24. */
void marty__saga_done(inside *in, uint32_t slot, marty_bytes result)
{
    const marty__saga_node *node = marty__saga_node_at(in, slot);
    marty__saga_emit_status(in, slot, MARTY__SAGA_DONE, result);
    if (node->step != MARTY_STEP_PIVOT || in->state.phase != MARTY__SAGA_RUNNING) {
        return;
    }
    if (marty__saga_flag(in, MARTY__SAGA_CANCEL)) {
        marty__saga_emit_note(in, "the cancel came too late: the pivot is done"); /* 16a */
    }
    marty__saga_emit_flags(in, MARTY__SAGA_PIVOT_PASSED, MARTY__MUTANT(2, MARTY__SAGA_CANCEL, 0u));
}

/* Whether a group can still have as many successes as it needs, with one failure more. */
static bool tolerates(const inside *in, uint32_t group, uint32_t failing)
{
    const marty__saga_slot *at = marty__saga_slot_at(in, group);
    uint32_t need = marty__saga_node_at(in, group)->join;
    need = need ? need : at->count;
    uint32_t failed = 1;
    for (uint32_t child = at->last; child; child = marty__saga_slot_at(in, child)->before) {
        failed +=
            child != failing && marty__saga_slot_at(in, child)->status == MARTY__SAGA_REJECTED;
    }
    return failed <= at->count && at->count - failed >= need;
}

/* The group that bears this failure, UINT32_MAX when none does. */
static uint32_t bearer_of(const inside *in, uint32_t slot)
{
    for (uint32_t at = slot; at != 0;) {
        uint32_t above = marty__saga_slot_at(in, at)->parent;
        marty__saga_node_kind kind = marty__saga_node_at(in, above)->kind;
        if ((kind == MARTY__SAGA_PARALLEL || kind == MARTY__SAGA_MAP) && above != 0 &&
            (marty__saga_slot_at(in, above)->status != MARTY__SAGA_OPEN ||
             tolerates(in, above, at))) {
            return above;
        }
        at = above;
    }
    return UINT32_MAX;
}

/* Something in `slot` failed while the saga runs: rows 6 and 7. */
static void failed(inside *in, uint32_t slot, marty__saga_stuck stuck, const char *reason)
{
    const marty__saga_node *node = marty__saga_node_at(in, slot);
    uint32_t bearer = bearer_of(in, slot);
    bool no_way_back = marty__saga_flag(in, MARTY__MUTANT(3, MARTY__SAGA_PIVOT_PASSED, 0u));
    if (marty__saga_is_leaf(node) && node->step == MARTY_STEP_RETRIABLE) {
        marty__saga_emit_stuck(in, slot, stuck, NULL);
    } else if (bearer != UINT32_MAX) {
        for (uint32_t at = marty__saga_slot_at(in, slot)->parent; at != bearer;
             at = marty__saga_slot_at(in, at)->parent) {
            if (marty__saga_slot_at(in, at)->status == MARTY__SAGA_OPEN) {
                marty__saga_emit_status(in, at, MARTY__SAGA_REJECTED, none);
            }
        }
    } else if (no_way_back) {
        marty__saga_emit_stuck(in, slot, stuck, NULL);
    } else {
        marty__saga_compensate(in, reason);
    }
}

/* Row 6, 7, 14 and 29a. */
void marty__saga_refused(inside *in, uint32_t slot, const char *reason)
{
    marty__saga_emit_status(in, slot, MARTY__SAGA_REJECTED, marty_text(reason));
    if (in->state.phase == MARTY__SAGA_RUNNING) {
        failed(in, slot, MARTY__SAGA_STUCK_REFUSED, reason);
    }
}

void marty__saga_over_limit(inside *in, uint32_t slot, const char *reason)
{
    marty__saga_emit_status(in, slot, MARTY__SAGA_REJECTED, marty_text(reason));
    failed(in, slot, MARTY__SAGA_STUCK_LIMIT, reason);
}

static const char no_answer[] = "no answer in time";

/* Whether it may be tried once more by the count; its time is looked at when it is its turn. */
static bool has_budget(const inside *in, uint32_t slot, bool undo)
{
    const marty__saga_node *node = marty__saga_node_at(in, slot);
    const marty__saga_slot *at = marty__saga_slot_at(in, slot);
    uint32_t attempts = undo ? node->undo.retry.attempts : node->forward.retry.attempts;
    uint32_t used = undo ? at->undo.used : at->forward.used;
    return attempts == UINT32_MAX || used < attempts;
}

/* Row 14: the key is sealed, so another call needs another key. */
void marty__saga_no_effect(inside *in, uint32_t slot, const char *reason)
{
    const marty__saga_node *node = marty__saga_node_at(in, slot);
    if (in->state.phase == MARTY__SAGA_COMPENSATING) {
        marty__saga_emit_status(in, slot, MARTY__SAGA_RESOLVED, marty_text(reason));
        return;
    }
    bool again = !marty__saga_flag(in, MARTY__SAGA_CANCEL) && !node->at_most_once &&
                 node->kind != MARTY__SAGA_CHILD && has_budget(in, slot, false);
    if (!again) {
        marty__saga_refused(in, slot, reason);
    } else if (MARTY__MUTANT(4, true, false)) {
        marty__saga_emit_slot(in, MARTY__ENTRY_GENERATION, slot, 0, none);
    } else {
        marty__saga_emit_status(in, slot, MARTY__SAGA_IDLE, none); /* again under the sealed key */
    }
}

/* Rows 8 to 11. */
void marty__saga_attempt_over(inside *in, uint32_t slot, bool doubtful, bool may_retry,
                              uint64_t delay_ms)
{
    const marty__saga_node *node = marty__saga_node_at(in, slot);
    bool once = node->at_most_once && !MARTY__MUTANT(5, false, true);
    if (MARTY__MUTANT(27, false, !doubtful) && !has_budget(in, slot, false)) {
        marty__saga_refused(in, slot, "tried in vain"); /* RETRY without budget as a refusal */
        return;
    }
    if (!may_retry || once || !has_budget(in, slot, false)) {
        const char *asked = in->event->reason && *in->event->reason ? in->event->reason : "put off";
        marty__saga_in_doubt(in, slot, doubtful ? "no answer" : asked);
        return;
    }
    uint64_t wait_ms = marty__saga_backoff_ms(in, slot, false);
    marty__saga_emit_status(in, slot, MARTY__SAGA_BACKOFF, doubtful ? marty_text(no_answer) : none);
    if (doubtful) {
        marty__saga_emit_mark(in, slot, MARTY__SAGA_DOUBTFUL, 0);
    }
    marty__saga_emit_timer(in, slot, MARTY__SAGA_TIMER_MAIN,
                           marty__saga_after(in, delay_ms > wait_ms ? delay_ms : wait_ms));
    marty__saga_arm_total(in, slot, false);
}

/* Row 11, by the policy. */
void marty__saga_in_doubt(inside *in, uint32_t slot, const char *reason)
{
    const marty__saga_node *node = marty__saga_node_at(in, slot);
    if (node->step == MARTY_STEP_READ_ONLY) {
        marty__saga_refused(in, slot, reason);
        return;
    }
    if (MARTY__MUTANT(6, false, node->in_doubt == MARTY_IN_DOUBT_PROBE)) {
        marty__saga_refused(in, slot, reason); /* a timeout taken for a refusal */
        return;
    }
    marty__saga_emit_status(in, slot, MARTY__SAGA_IN_DOUBT, marty_text(reason));
    switch (node->in_doubt) {
    case MARTY_IN_DOUBT_PROBE:
        if (marty__saga_flag(in, MARTY__SAGA_PAUSED)) {
            marty__saga_emit_timer(in, slot, MARTY__SAGA_TIMER_MAIN, in->now_us); /* at resume */
        } else {
            marty__saga_send_probe(in, slot);
        }
        break;
    case MARTY_IN_DOUBT_COMPENSATE:
        marty__saga_emit_mark(in, slot, MARTY__SAGA_TO_UNDO, 0);
        if (in->state.phase == MARTY__SAGA_RUNNING) {
            marty__saga_compensate(in, reason);
        }
        break;
    case MARTY_IN_DOUBT_RETRY:
    case MARTY_IN_DOUBT_HOLD:
        marty__saga_emit_stuck(in, slot, MARTY__SAGA_STUCK_DOUBT, NULL);
        break;
    }
}

/* Rows 21 and 22. */
void marty__saga_undo_over(inside *in, uint32_t slot, bool in_time, uint64_t delay_ms)
{
    uint32_t used = marty__saga_slot_at(in, slot)->undo.used;
    if (!has_budget(in, slot, true)) {
        const char *reason =
            in_time ? NULL
                    : marty__arena_format(&in->arena, "no answer within the time of %u attempt%s",
                                          (unsigned)used, used == 1 ? "" : "s");
        marty__saga_emit_status(in, slot, MARTY__SAGA_UNDO_STUCK, none);
        if (MARTY__MUTANT(28, true, false)) {
            marty__saga_emit_stuck(in, slot, MARTY__SAGA_STUCK_UNDO, reason);
        }
        return;
    }
    uint64_t wait_ms = marty__saga_backoff_ms(in, slot, true);
    marty__saga_emit_status(in, slot, MARTY__SAGA_UNDO_BACKOFF,
                            in_time ? none : marty_text(no_answer));
    marty__saga_emit_timer(in, slot, MARTY__SAGA_TIMER_MAIN,
                           marty__saga_after(in, delay_ms > wait_ms ? delay_ms : wait_ms));
    marty__saga_arm_total(in, slot, true);
}

/* Row 21a: the refusal is stored under that key, so another try needs another. Who refuses is there
 * and has decided, so it is not asked for as long as one who does not answer. */
void marty__saga_undo_refused(inside *in, uint32_t slot, const char *reason)
{
    bool counted = marty__saga_node_at(in, slot)->undo.retry.attempts != UINT32_MAX;
    bool enough =
        !counted && marty__saga_slot_at(in, slot)->undo.used >= MARTY__SAGA_UNDO_REFUSED_MAX;
    marty__saga_emit_slot(in, MARTY__ENTRY_REASON, slot, 0, marty_text(reason));
    if (enough || !has_budget(in, slot, true)) {
        marty__saga_emit_status(in, slot, MARTY__SAGA_UNDO_STUCK, none);
        marty__saga_emit_stuck(in, slot, MARTY__SAGA_STUCK_UNDO, NULL);
        marty__saga_emit_mark(in, slot, MARTY__SAGA_C_REFUSED, 0);
        return;
    }
    uint64_t wait_ms = marty__saga_backoff_ms(in, slot, true);
    marty__saga_emit_slot(in, MARTY__MUTANT(7, MARTY__ENTRY_GENERATION, MARTY__ENTRY_STATUS), slot,
                          MARTY__MUTANT(7, 1, MARTY__SAGA_UNDO_BACKOFF), none);
    marty__saga_emit_timer(in, slot, MARTY__SAGA_TIMER_MAIN, marty__saga_after(in, wait_ms));
    marty__saga_arm_total(in, slot, true);
}
