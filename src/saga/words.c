/* SPDX-License-Identifier: Apache-2.0
 * The words by which people and programs see states. */
#include "inside.h"

/* So long may the attempts of a step be in vain before it is said, or as soon as the next one comes
 * later than that. A broker that was restarted or a participant that was rolled over is back by
 * then. */
enum { FAILING_MS = 10 * 1000 };

const char *marty__saga_status_word(marty__saga_status status)
{
    static const char *const words[] = {"?",          "idle",         "calling",  "backoff",
                                        "done",       "rejected",     "in-doubt", "skipped",
                                        "undoing",    "undo-backoff", "undone",   "resolved",
                                        "undo-stuck", "waived",       "open"};
    return (size_t)status < sizeof words / sizeof *words ? words[status] : "?";
}

const char *marty__saga_stuck_word(marty__saga_stuck stuck)
{
    static const char *const words[] = {"",        "refused", "in-doubt",     "undo-failed",
                                        "no-undo", "residue", "past-horizon", "over-limit",
                                        "missing"};
    return (size_t)stuck < sizeof words / sizeof *words ? words[stuck] : "?";
}

const char *marty__saga_phase_word(marty__saga_phase phase)
{
    static const char *const words[] = {"?",         "running",     "compensating",
                                        "completed", "compensated", "abandoned"};
    return (size_t)phase < sizeof words / sizeof *words ? words[phase] : "?";
}

/* Whether anything can still move without a person. */
static bool moves(const marty__saga_slot *slot)
{
    switch (slot->status) {
    case MARTY__SAGA_CALLING:
    case MARTY__SAGA_BACKOFF:
    case MARTY__SAGA_UNDOING:
    case MARTY__SAGA_UNDO_BACKOFF:
        return true;
    case MARTY__SAGA_IN_DOUBT:
        return !slot->stuck;
    case MARTY__SAGA_IDLE:
    case MARTY__SAGA_DONE:
    case MARTY__SAGA_REJECTED:
    case MARTY__SAGA_SKIPPED:
    case MARTY__SAGA_UNDONE:
    case MARTY__SAGA_RESOLVED:
    case MARTY__SAGA_UNDO_STUCK:
    case MARTY__SAGA_WAIVED:
    case MARTY__SAGA_OPEN:
        break;
    }
    return false;
}

bool marty__saga_failing(const marty__saga_definition *definition, const marty__saga_state *state,
                         uint32_t slot)
{
    const marty__saga_slot *at = &state->slots[slot];
    const marty__saga_node *node = &definition->nodes[at->node];
    bool undo = at->status == MARTY__SAGA_UNDOING || at->status == MARTY__SAGA_UNDO_BACKOFF;
    bool on_its_way = at->status == MARTY__SAGA_UNDOING || at->status == MARTY__SAGA_CALLING;
    const marty__saga_op *op = undo ? &at->undo : &at->forward;
    int64_t next_us = on_its_way ? 0 : at->timers[MARTY__SAGA_TIMER_MAIN].due_us;
    int64_t until_us = next_us > state->changed_us ? next_us : state->changed_us;
    return !marty__saga_ended(state) && node->kind != MARTY__SAGA_CHILD && moves(at) &&
           op->used > (on_its_way ? 1u : 0u) &&
           until_us - marty__saga_budget_us(op) >= (int64_t)FAILING_MS * 1000;
}

const char *marty__saga_state_word(const marty__saga_state *state)
{
    if (marty__saga_ended(state) || !marty__saga_state_stuck(state)) {
        return marty__saga_phase_word(state->phase);
    }
    if (state->phase == MARTY__SAGA_RUNNING) {
        return "stuck-forward";
    }
    for (uint32_t i = 0; i < state->slot_count; i++) {
        if (moves(&state->slots[i])) {
            return "compensating";
        }
    }
    return "stuck-undo";
}
