/* SPDX-License-Identifier: Apache-2.0
 * What people do: steer and repair (rows 16, 17, 23, 26 to 28, 31, 32). Each verb has an id and is
 * done once; who and why are in the header of its batch. What cannot be done now is an error, and
 * then nothing has happened. */
#include "inside.h"

#include "message/json_scan.h"

static const marty_bytes none = {NULL, 0};

static void refuse(inside *in, const char *text)
{
    (void)marty__saga_fail(in, MARTY_E_STATE, text);
}

static bool pivot_in_flight(const inside *in)
{
    for (uint32_t i = 0; i < in->state.slot_count; i++) {
        if (marty__saga_node_at(in, i)->step == MARTY_STEP_PIVOT &&
            marty__saga_in_flight(marty__saga_slot_at(in, i))) {
            return true;
        }
    }
    return false;
}

/* The same key again, now; or a new one where the old is answered for good. */
static void retry(inside *in, uint32_t slot)
{
    const marty__saga_node *node = marty__saga_node_at(in, slot);
    const marty__saga_slot *at = marty__saga_slot_at(in, slot);
    bool undo = at->status == MARTY__SAGA_UNDO_STUCK;
    if (!undo && at->status == MARTY__SAGA_REJECTED && in->state.phase != MARTY__SAGA_RUNNING) {
        refuse(in, "the saga compensates; a refused step cannot be tried again");
    } else if (undo && !node->has_undo) {
        refuse(in, "the step has no undo; waive it");
    } else if (at->status == MARTY__SAGA_REJECTED && !marty__saga_is_leaf(node)) {
        marty__saga_emit_status(in, slot, MARTY__SAGA_OPEN, none);
    } else if (at->status == MARTY__SAGA_IN_DOUBT && node->at_most_once && !in->event->forced) {
        refuse(in, "the step may be called once only; force it, or supply its result");
    } else if (at->status == MARTY__SAGA_REJECTED) {
        marty__saga_emit_slot(in, MARTY__ENTRY_BUDGET, slot, 0, none);
        marty__saga_emit_slot(in, MARTY__ENTRY_GENERATION, slot, 0, none);
    } else if (undo && MARTY__MUTANT(19, (at->flags & MARTY__SAGA_C_REFUSED), 0u)) {
        marty__saga_emit_slot(in, MARTY__ENTRY_BUDGET, slot, 1, none);
        marty__saga_emit_slot(in, MARTY__ENTRY_GENERATION, slot, 1, none);
        marty__saga_emit_timer(in, slot, MARTY__SAGA_TIMER_MAIN, in->now_us);
    } else {
        marty__saga_emit_slot(in, MARTY__ENTRY_BUDGET, slot, undo, none);
        marty__saga_emit_status(in, slot, undo ? MARTY__SAGA_UNDO_BACKOFF : MARTY__SAGA_BACKOFF,
                                none);
        marty__saga_emit_timer(in, slot, MARTY__SAGA_TIMER_MAIN, in->now_us);
    }
}

static bool good_data(inside *in)
{
    marty__json_value value;
    const marty_bytes data = in->event->data;
    if (data.size && !marty__json_valid(data.data, data.size, false, 32, &value)) {
        (void)marty__saga_fail(in, MARTY_E_MALFORMED, "the data must be JSON");
    } else if (data.size > MARTY__SAGA_RESULT_BYTES_MAX ||
               in->before_size + data.size > MARTY__SAGA_STATE_BYTES_MAX / 8 * 7) {
        (void)marty__saga_fail(in, MARTY_E_TOO_LARGE, "the data is over the limit");
    }
    return in->err == MARTY_OK;
}

/* What a person says of an op is about the key that they looked at: by now it may be another. */
static bool names_this_key(inside *in, uint32_t slot)
{
    uint8_t own[MARTY__SAGA_KEY_BYTES], named[MARTY__SAGA_KEY_BYTES];
    if (!in->event->key) {
        if (in->event->no_effect) {
            (void)marty__saga_fail(in, MARTY_E_ARGUMENT,
                                   "that there was no effect needs the op key that was sealed at "
                                   "the participant");
        }
        return !in->event->no_effect;
    }
    marty__saga_op_key(own, in->state.id, marty__saga_path(in, slot), false,
                       marty__saga_slot_at(in, slot)->forward.generation);
    if (!marty__saga_key_parse(named, in->event->key) || memcmp(own, named, sizeof own) != 0) {
        refuse(in, "the step is called under another op key by now");
        return false;
    }
    return true;
}

static void supply(inside *in, uint32_t slot)
{
    const marty__saga_slot *at = marty__saga_slot_at(in, slot);
    bool refused = at->status == MARTY__SAGA_REJECTED;
    if (at->status != MARTY__SAGA_IN_DOUBT && !refused) {
        refuse(in, "only the result of a step that is in doubt or was refused can be supplied");
    } else if (!marty__saga_is_leaf(marty__saga_node_at(in, slot)) ||
               (refused && in->state.phase != MARTY__SAGA_RUNNING)) {
        refuse(in, "there is no result to supply for it now");
    } else if (!names_this_key(in, slot)) {
        return;
    } else if (!in->event->no_effect) {
        marty__saga_done(in, slot, in->event->data);
    } else if (refused) {
        refuse(in, "it was refused: that it had no effect is known already");
    } else {
        marty__saga_no_effect(in, slot, "a person says that there was no effect");
    }
}

static void skip(inside *in, uint32_t slot)
{
    const marty__saga_slot *at = marty__saga_slot_at(in, slot);
    const marty__saga_node *node = marty__saga_node_at(in, slot);
    if (node->step == MARTY_STEP_PIVOT && marty__saga_is_leaf(node)) {
        refuse(in, "a pivot cannot be skipped; supply its result");
    } else if (at->status == MARTY__SAGA_REJECTED && in->state.phase == MARTY__SAGA_RUNNING) {
        marty__saga_emit_status(in, slot, MARTY__SAGA_SKIPPED, none);
    } else if (at->status == MARTY__SAGA_IN_DOUBT) {
        marty__saga_emit_status(in, slot, MARTY__SAGA_SKIPPED, none);
        marty__saga_emit_mark(in, slot, MARTY__MUTANT(25, MARTY__SAGA_LEFT_OVER, 0u), 0);
    } else {
        refuse(in, "only a step that is in doubt or was refused can be skipped");
    }
}

static void waive(inside *in, uint32_t slot)
{
    const marty__saga_slot *at = marty__saga_slot_at(in, slot);
    if (in->state.phase != MARTY__SAGA_COMPENSATING ||
        (at->status != MARTY__SAGA_UNDO_STUCK && at->status != MARTY__SAGA_IN_DOUBT)) {
        refuse(in, "only what must be undone and cannot be can be waived");
        return;
    }
    marty__saga_emit_status(in, slot, MARTY__SAGA_WAIVED, none);
    marty__saga_emit_mark(in, slot, MARTY__SAGA_LEFT_OVER, 0);
}

bool marty__saga_reopen(inside *in, const char **ret_why)
{
    *ret_why = NULL;
    if (!in->definition->undo_completed) {
        *ret_why = "its definition does not allow to undo it after completion";
        return false;
    }
    for (uint32_t i = 0; i < in->state.slot_count; i++) {
        const marty__saga_slot *slot = marty__saga_slot_at(in, i);
        if (slot->status == MARTY__SAGA_DONE &&
            marty__saga_has_effect(marty__saga_node_at(in, i)) &&
            marty__saga_past_horizon(in, slot->forward.first_us)) {
            *ret_why = "so long ago that participants may have forgotten it";
            return false;
        }
    }
    marty__saga_emit_flags(in, MARTY__SAGA_REOPENED, 0);
    marty__saga_compensate(in, "undone after it had completed");
    return true;
}

/* Whether its attempts go on, at least one of which was in vain. */
static bool tries_in_vain(const inside *in, const marty__saga_slot *slot)
{
    bool between = slot->status == MARTY__SAGA_BACKOFF ||
                   slot->status == MARTY__SAGA_UNDO_BACKOFF || slot->status == MARTY__SAGA_IN_DOUBT;
    bool on_its_way = slot->status == MARTY__SAGA_CALLING || slot->status == MARTY__SAGA_UNDOING;
    const marty__saga_node *node = &in->definition->nodes[slot->node];
    const marty__saga_op *op = slot->status == MARTY__SAGA_UNDOING ? &slot->undo : &slot->forward;
    return between ||
           (on_its_way && node->kind != MARTY__SAGA_CHILD && (op->used > 1 || op->attempt > 1));
}

/* A person need not wait until the attempts of a step are over: they are over now. */
static void end_attempts(inside *in, uint32_t slot)
{
    const marty__saga_slot *at = marty__saga_slot_at(in, slot);
    if (at->status == MARTY__SAGA_UNDOING || at->status == MARTY__SAGA_UNDO_BACKOFF) {
        marty__saga_emit_status(in, slot, MARTY__SAGA_UNDO_STUCK, none);
    } else if (at->status != MARTY__SAGA_IN_DOUBT) {
        marty__saga_emit_status(in, slot, MARTY__SAGA_IN_DOUBT, none);
    }
}

/* One step that is in doubt gets its undo, and the saga turns back. */
static void undo_step(inside *in, uint32_t slot)
{
    const marty__saga_slot *at = marty__saga_slot_at(in, slot);
    if (!marty__saga_in_flight(at) || !tries_in_vain(in, at)) {
        refuse(in, "only a step that is in doubt or tried in vain can be undone by name");
    } else if (!marty__saga_node_at(in, slot)->has_undo) {
        refuse(in, "the step has no undo");
    } else {
        marty__saga_emit_status(in, slot, MARTY__SAGA_IN_DOUBT, none);
        marty__saga_emit_mark(in, slot, MARTY__SAGA_TO_UNDO, 0);
    }
}

static void compensate(inside *in, uint32_t slot)
{
    const char *why = NULL;
    if (in->state.phase == MARTY__SAGA_COMPLETED) {
        if (!marty__saga_reopen(in, &why)) {
            refuse(in, why);
        }
        return;
    }
    if (in->state.phase == MARTY__SAGA_RUNNING && !in->event->forced &&
        (marty__saga_flag(in, MARTY__SAGA_PIVOT_PASSED) || pivot_in_flight(in))) {
        refuse(in, "its pivot is done or on its way; force it to undo all the same");
        return;
    }
    if (slot != UINT32_MAX) {
        undo_step(in, slot);
    }
    if (in->state.phase == MARTY__SAGA_RUNNING && !in->err) {
        marty__saga_compensate(in, "a person said so");
    }
}

/* Row 32: everything that has or may get an effect is listed. */
static void abandon(inside *in)
{
    if (!in->event->note || !*in->event->note) {
        (void)marty__saga_fail(in, MARTY_E_ARGUMENT, "to abandon it needs a note that says why");
        return;
    }
    for (uint32_t i = 0; i < in->state.slot_count; i++) {
        marty__saga_status status = marty__saga_slot_at(in, i)->status;
        bool may = MARTY__MUTANT(26, marty__saga_in_flight(marty__saga_slot_at(in, i)), false) ||
                   status == MARTY__SAGA_DONE || status == MARTY__SAGA_UNDOING ||
                   status == MARTY__SAGA_UNDO_BACKOFF || status == MARTY__SAGA_UNDO_STUCK;
        if (may && marty__saga_has_effect(marty__saga_node_at(in, i))) {
            marty__saga_emit_mark(in, i, MARTY__SAGA_LEFT_OVER, 0);
        }
    }
    marty__saga_finish(in, MARTY__SAGA_ABANDONED, in->event->note);
}

static void cancel(inside *in)
{
    if (in->state.phase != MARTY__SAGA_RUNNING || marty__saga_flag(in, MARTY__SAGA_CANCEL)) {
        return; /* on its way already; the id is noted */
    }
    if (MARTY__MUTANT(20, marty__saga_flag(in, MARTY__SAGA_PIVOT_PASSED), false)) {
        in->refused = "too late: the pivot is done"; /* 17 */
        marty__saga_emit_note(in, "a cancel came too late: the pivot is done");
        return;
    }
    marty__saga_cancel(in, "cancelled by a person");
}

static void of_step(inside *in, uint32_t slot)
{
    const marty__saga_slot *at = slot == UINT32_MAX ? NULL : marty__saga_slot_at(in, slot);
    if (!at && !(in->event->name && *in->event->name)) {
        refuse(in, "nothing is stuck, and nothing is tried in vain");
        return;
    }
    if (!at) {
        (void)marty__saga_fail(in, MARTY_E_NOT_FOUND, "it has no such step that has begun");
        return;
    }
    if (tries_in_vain(in, at)) {
        end_attempts(in, slot);
        at = marty__saga_slot_at(in, slot);
    } else if (!at->stuck) {
        refuse(in, "the step is neither stuck nor in doubt, nor was an attempt in vain");
        return;
    }
    if (in->event->verb == MARTY__SAGA_VERB_RETRY) {
        retry(in, slot);
    } else if (in->event->verb == MARTY__SAGA_VERB_SUPPLY) {
        supply(in, slot);
    } else if (in->event->verb == MARTY__SAGA_VERB_SKIP) {
        skip(in, slot);
    } else if (in->event->verb == MARTY__SAGA_VERB_WAIVE) {
        waive(in, slot);
    } else {
        bool undo = at->status == MARTY__SAGA_UNDO_STUCK;
        marty__saga_emit_slot(in, MARTY__ENTRY_INPUT, slot, undo, in->event->data);
        retry(in, slot);
    }
}

/* The one that is stuck, or if none is the one that tries in vain, when the verb names none. */
static uint32_t only_troubled(inside *in)
{
    bool any = marty__saga_any_stuck(in);
    uint32_t found = UINT32_MAX;
    for (uint32_t i = 0; i < in->state.slot_count; i++) {
        const marty__saga_slot *at = marty__saga_slot_at(in, i);
        bool meant = any ? at->stuck != 0 : tries_in_vain(in, at);
        if (meant && found != UINT32_MAX) {
            (void)marty__saga_fail(in, MARTY_E_ARGUMENT,
                                   any ? "several steps are stuck; name one"
                                       : "several steps are tried in vain; name one");
            return UINT32_MAX;
        }
        found = meant ? i : found;
    }
    return found;
}

static void act(inside *in)
{
    const char *step = in->event->name;
    uint32_t slot = step && *step ? marty__saga_find_path(in, step) : UINT32_MAX;
    switch (in->event->verb) {
    case MARTY__SAGA_VERB_CANCEL:
        cancel(in);
        break;
    case MARTY__SAGA_VERB_PAUSE:
        marty__saga_emit_flags(in, MARTY__SAGA_PAUSED, 0);
        break;
    case MARTY__SAGA_VERB_RESUME:
        marty__saga_emit_flags(in, 0, MARTY__SAGA_PAUSED);
        marty__saga_fire_due(in); /* 28: before anything starts */
        break;
    case MARTY__SAGA_VERB_COMPENSATE:
        if (step && *step && slot == UINT32_MAX) {
            (void)marty__saga_fail(in, MARTY_E_NOT_FOUND, "it has no such step that has begun");
        } else {
            compensate(in, slot);
        }
        break;
    case MARTY__SAGA_VERB_ABANDON:
        abandon(in);
        break;
    case MARTY__SAGA_VERB_RETRY:
    case MARTY__SAGA_VERB_SUPPLY:
    case MARTY__SAGA_VERB_SKIP:
    case MARTY__SAGA_VERB_WAIVE:
    case MARTY__SAGA_VERB_REPLACE_INPUT:
        slot = step && *step ? slot : only_troubled(in);
        if (!in->err) {
            of_step(in, slot);
        }
        break;
    }
}

void marty__saga_on_verb(inside *in)
{
    const marty__saga_event *event = in->event;
    size_t id = event->id ? strlen(event->id) : 0;
    bool reopens =
        event->verb == MARTY__SAGA_VERB_COMPENSATE && in->state.phase == MARTY__SAGA_COMPLETED;
    if (!id || id > MARTY__SAGA_ID_BYTES_MAX || !event->who || !*event->who ||
        strlen(event->who) > MARTY__SAGA_ID_BYTES_MAX ||
        (event->note && strlen(event->note) > MARTY__SAGA_REASON_BYTES_MAX)) {
        (void)marty__saga_fail(in, MARTY_E_ARGUMENT,
                               "a verb needs an id and who gives it, of at most 255 bytes, and a "
                               "note of at most 1,024");
        return;
    }
    if (marty__saga_ended(&in->state) && !reopens) {
        marty__saga_ignore(in, MARTY__SAGA_IGNORED_ENDED);
        return;
    }
    if (!good_data(in)) {
        return;
    }
    if (marty__saga_seen(in, "verb", event->id)) {
        marty__saga_ignore(in, MARTY__SAGA_IGNORED_DUPLICATE);
        return;
    }
    act(in);
}
