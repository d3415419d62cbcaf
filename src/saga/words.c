/* SPDX-License-Identifier: Apache-2.0
 * The words by which people and programs see states. */
#include "state.h"

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
