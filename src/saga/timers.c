/* SPDX-License-Identifier: Apache-2.0
 * Time. All that is due acts in due order, each at most once a turn; while a saga is paused only
 * its deadline runs, and the rest is due at the resume (rows 27 and 28). */
#include "inside.h"

static const marty_bytes none = {NULL, 0};

static void on_deadline(inside *in)
{
    bool way_back =
        in->state.phase == MARTY__SAGA_RUNNING && !marty__saga_flag(in, MARTY__SAGA_PIVOT_PASSED);
    marty__saga_emit(in, &(marty__saga_entry){.kind = MARTY__ENTRY_DEADLINE});
    marty__saga_emit_flags(in, MARTY__SAGA_OVERDUE, 0);
    in->alert = "over its deadline";
    if (MARTY__MUTANT(15, way_back, in->state.phase == MARTY__SAGA_RUNNING) &&
        !marty__saga_flag(in, MARTY__SAGA_CANCEL)) {
        marty__saga_cancel(in, "the deadline has passed"); /* 16; else 18 */
    }
}

/* What is said of an op whose total time is over: how often it was tried, and the last error. */
static const char *over_its_time(inside *in, const marty__saga_op *op, marty_bytes reason)
{
    return marty__arena_format(
        &in->arena, "over its time after %u attempt%s%s%.*s", (unsigned)op->used,
        op->used == 1 ? "" : "s", reason.size ? ": " : "",
        (int)(reason.size < 200 ? reason.size : 200), reason.size ? (const char *)reason.data : "");
}

/* Schedule-to-close, and schedule-to-start, which is not tried again. */
static void on_limit(inside *in, uint32_t slot, unsigned which)
{
    const marty__saga_slot *at = marty__saga_slot_at(in, slot);
    if (at->status == MARTY__SAGA_UNDOING || at->status == MARTY__SAGA_UNDO_BACKOFF) {
        const char *reason = over_its_time(in, &at->undo, at->reason);
        marty__saga_emit_status(in, slot, MARTY__SAGA_UNDO_STUCK, none);
        marty__saga_emit_stuck(in, slot, MARTY__SAGA_STUCK_UNDO, reason);
    } else if (marty__saga_in_flight(at)) {
        marty__saga_in_doubt(in, slot,
                             which == MARTY__SAGA_TIMER_START
                                 ? "not started in time"
                                 : over_its_time(in, &at->forward, at->reason));
    } else {
        marty__saga_emit_timer(in, slot, which, 0);
    }
}

static bool total_is_over(const inside *in, uint32_t slot, bool undo)
{
    const marty__saga_slot *at = marty__saga_slot_at(in, slot);
    const marty__saga_node *node = marty__saga_node_at(in, slot);
    return in->now_us >= (undo ? marty__saga_total_us(&at->undo, &node->undo)
                               : marty__saga_total_us(&at->forward, &node->forward));
}

/* The next attempt, unless it is too late for one. */
static void try_again(inside *in, uint32_t slot, bool undo)
{
    if (MARTY__MUTANT(31, total_is_over(in, slot, undo), false)) {
        on_limit(in, slot, MARTY__SAGA_TIMER_TOTAL);
    } else if (undo) {
        marty__saga_send_undo(in, slot); /* 21b */
    } else {
        marty__saga_send_forward(in, slot); /* 12 */
    }
}

static void on_main(inside *in, uint32_t slot)
{
    const marty__saga_node *node = marty__saga_node_at(in, slot);
    const marty__saga_slot *at = marty__saga_slot_at(in, slot);
    switch (at->status) {
    case MARTY__SAGA_CALLING:
        if (node->kind == MARTY__SAGA_TIMER) {
            marty__saga_done(in, slot, none);
        } else if (node->kind == MARTY__SAGA_SIGNAL) {
            marty__saga_refused(in, slot, "the signal did not come in time"); /* 29a */
        } else {
            marty__saga_attempt_over(in, slot, true, node->in_doubt == MARTY_IN_DOUBT_RETRY, 0);
        }
        break;
    case MARTY__SAGA_BACKOFF:
        try_again(in, slot, false);
        break;
    case MARTY__SAGA_IN_DOUBT: /* 15 */
        if (at->probes_used >= MARTY__SAGA_PROBES_MAX &&
            (!node->forward.total_ms || total_is_over(in, slot, false))) {
            marty__saga_emit_timer(in, slot, MARTY__SAGA_TIMER_MAIN, 0);
            marty__saga_emit_stuck(in, slot, MARTY__SAGA_STUCK_DOUBT, "no probe was answered");
        } else {
            marty__saga_send_probe(in, slot);
        }
        break;
    case MARTY__SAGA_UNDOING:
        marty__saga_undo_over(in, slot, false, 0); /* 21, 22 */
        break;
    case MARTY__SAGA_UNDO_BACKOFF:
        try_again(in, slot, true);
        break;
    case MARTY__SAGA_IDLE:
    case MARTY__SAGA_DONE:
    case MARTY__SAGA_REJECTED:
    case MARTY__SAGA_SKIPPED:
    case MARTY__SAGA_UNDONE:
    case MARTY__SAGA_RESOLVED:
    case MARTY__SAGA_UNDO_STUCK:
    case MARTY__SAGA_WAIVED:
    case MARTY__SAGA_OPEN:
        marty__saga_emit_timer(in, slot, MARTY__SAGA_TIMER_MAIN, 0);
        break;
    }
}

static void fire(inside *in, uint32_t slot, unsigned which)
{
    const marty__saga_slot *at = marty__saga_slot_at(in, slot);
    if (slot == UINT32_MAX) {
        on_deadline(in);
    } else if (which == MARTY__SAGA_TIMER_MAIN) {
        on_main(in, slot);
    } else if (which == MARTY__SAGA_TIMER_HEARTBEAT && at->status == MARTY__SAGA_CALLING) {
        marty__saga_attempt_over(
            in, slot, true, marty__saga_node_at(in, slot)->in_doubt == MARTY_IN_DOUBT_RETRY, 0);
    } else if (which == MARTY__SAGA_TIMER_HEARTBEAT && at->status == MARTY__SAGA_UNDOING) {
        marty__saga_undo_over(in, slot, false, 0);
    } else {
        on_limit(in, slot, which);
    }
}

typedef struct due {
    const marty__saga_timer *timer;
    uint32_t slot; /* UINT32_MAX: the deadline */
    unsigned which;
} due;

static void consider(due *best, const marty__saga_timer *timer, uint32_t slot, unsigned which)
{
    if (timer->due_us &&
        (!best->timer || timer->due_us < best->timer->due_us ||
         (timer->due_us == best->timer->due_us && timer->token < best->timer->token))) {
        *best = (due){timer, slot, which};
    }
}

static due first_due(const inside *in)
{
    due best = {NULL, UINT32_MAX, 0};
    consider(&best, &in->state.deadline, UINT32_MAX, 0);
    if (!MARTY__MUTANT(16, marty__saga_flag(in, MARTY__SAGA_PAUSED), false)) {
        for (uint32_t i = 0; i < in->state.slot_count; i++) {
            for (unsigned which = 0; which < MARTY__SAGA_TIMERS; which++) {
                consider(&best, &marty__saga_slot_at(in, i)->timers[which], i, which);
            }
        }
    }
    return best;
}

void marty__saga_fire_due(inside *in)
{
    while (!in->err && !marty__saga_ended(&in->state)) {
        due next = first_due(in);
        if (!next.timer || next.timer->due_us > in->now_us) {
            return;
        }
        fire(in, next.slot, next.which);
    }
}

void marty__saga_on_tick(inside *in)
{
    if (marty__saga_ended(&in->state)) {
        marty__saga_ignore(in, MARTY__SAGA_IGNORED_ENDED);
        return;
    }
    marty__saga_fire_due(in);
    if (!in->began) {
        marty__saga_ignore(in, MARTY__SAGA_IGNORED_EARLY);
    }
}

/* One timer by its token (invariant 26). */
void marty__saga_on_timer(inside *in)
{
    due found = {NULL, UINT32_MAX, 0};
    uint64_t token = in->event->token;
    if (in->state.deadline.due_us && in->state.deadline.token == token) {
        found.timer = &in->state.deadline;
    }
    bool paused = marty__saga_flag(in, MARTY__SAGA_PAUSED);
    for (uint32_t i = 0; i < in->state.slot_count && !found.timer; i++) {
        for (unsigned which = 0; which < MARTY__SAGA_TIMERS; which++) {
            const marty__saga_timer *timer = &marty__saga_slot_at(in, i)->timers[which];
            if (!paused && timer->due_us &&
                MARTY__MUTANT(24, timer->token == token, timer->token >= token)) {
                found = (due){timer, i, which};
            }
        }
    }
    if (marty__saga_ended(&in->state) || !found.timer) {
        marty__saga_ignore(in, MARTY__SAGA_IGNORED_STALE);
    } else if (found.timer->due_us > in->now_us) {
        marty__saga_ignore(in, MARTY__SAGA_IGNORED_EARLY);
    } else {
        fire(in, found.slot, found.which);
    }
}
