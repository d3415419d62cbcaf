/* SPDX-License-Identifier: Apache-2.0
 * Answers of participants. An answer is matched by its op key, then by its attempt. A definite one
 * speaks for the op whichever attempt it names; RETRY, ACCEPTED and PROGRESS only for the current
 * one (invariants 18 and 33). What comes too late is recorded once, and changes nothing. */
#include "inside.h"

#include "message/json_scan.h"

enum { INTAKE_DEPTH = 32 };
static const marty_bytes none = {NULL, 0};

typedef struct match {
    uint32_t slot;
    bool undo, old; /* old: of a generation that is over */
} match;

static bool is_key(inside *in, const char *path, const uint8_t key[MARTY__SAGA_KEY_BYTES],
                   bool undo, uint32_t generation)
{
    uint8_t own[MARTY__SAGA_KEY_BYTES];
    marty__saga_op_key(own, in->state.id, path, undo, generation);
    return memcmp(own, key, sizeof own) == 0;
}

static bool find_op(inside *in, const uint8_t key[MARTY__SAGA_KEY_BYTES], bool old, match *ret)
{
    for (uint32_t i = in->state.slot_count; i-- > 0 && !in->err;) {
        const marty__saga_slot *slot = marty__saga_slot_at(in, i);
        const marty__saga_node *node = marty__saga_node_at(in, i);
        if (!marty__saga_is_leaf(node) || marty__saga_is_wait(node)) {
            continue;
        }
        const char *path = marty__saga_path(in, i);
        for (int undo = 0; undo < 2; undo++) {
            const marty__saga_op *op = undo ? &slot->undo : &slot->forward;
            uint32_t first = old ? 0 : op->generation;
            uint32_t end = old ? op->generation : op->generation + 1;
            for (uint32_t g = first; g < end; g++) {
                if (is_key(in, path, key, undo, g)) {
                    *ret = (match){i, undo != 0, old};
                    return true;
                }
            }
        }
    }
    return false;
}

/* An answer that nothing can be done with: recorded once a step. */
static void record(inside *in, uint32_t slot, uint32_t flag, const char *text)
{
    if (marty__saga_slot_at(in, slot)->flags & flag) {
        marty__saga_ignore(in, MARTY__SAGA_IGNORED_LATE);
        return;
    }
    in->late = true;
    marty__saga_emit_mark(in, slot, flag, 0);
    marty__saga_emit_note(in, text);
    in->alert = flag == MARTY__SAGA_BROKEN ? "a participant contradicts itself" : in->alert;
}

/* A result over the limits is dropped: that it was done counts for more. */
static marty_bytes fitting(inside *in, marty_bytes data)
{
    size_t room = MARTY__SAGA_STATE_BYTES_MAX / 8 * 7;
    size_t have = in->before_size;
    if (data.size > MARTY__SAGA_RESULT_BYTES_MAX || have + data.size > room) {
        marty__saga_emit_note(in, "the result is over the limit and was dropped");
        in->alert = "a result is over the limit";
        return none;
    }
    return data;
}

/* ---- of a forward */
static void on_definite(inside *in, uint32_t slot)
{
    const marty__saga_event *event = in->event;
    const marty__saga_slot *at = marty__saga_slot_at(in, slot);
    bool done = event->reply == MARTY__SAGA_OK || event->reply == MARTY__SAGA_WAS_DONE;
    if (marty__saga_in_flight(at)) {
        if (done) {
            marty__saga_done(in, slot, fitting(in, event->data));
        } else if (event->reply == MARTY__SAGA_NOT_DONE ||
                   MARTY__MUTANT(13, event->tombstone, false)) {
            marty__saga_no_effect(in, slot, event->reason ? event->reason : "it was not done");
        } else {
            marty__saga_refused(in, slot,
                                event->reason && *event->reason ? event->reason : "refused");
        }
    } else if (done && at->flags & MARTY__SAGA_KNOWN) {
        marty__saga_ignore(in, MARTY__SAGA_IGNORED_DUPLICATE);
    } else if (at->undo.attempt) {
        record(in, slot, MARTY__SAGA_LATE_F, "an answer came after the undo was sent"); /* 25 */
    } else if (at->status == MARTY__SAGA_DONE) {
        record(in, slot, MARTY__SAGA_BROKEN, "refused, after it had been done");
    } else if (done && at->flags & MARTY__SAGA_LEFT_OVER) {
        record(in, slot, MARTY__SAGA_LATE_F, "done, after a person had settled it");
    } else if (done && at->status != MARTY__SAGA_IDLE &&
               marty__saga_has_effect(marty__saga_node_at(in, slot))) {
        record(in, slot, MARTY__SAGA_BROKEN, "done, after it had been settled otherwise"); /* 25a */
    } else {
        marty__saga_ignore(in, MARTY__SAGA_IGNORED_DUPLICATE);
    }
}

static void on_left(inside *in, uint32_t slot, bool undo)
{
    const marty__saga_slot *at = marty__saga_slot_at(in, slot);
    bool current = undo
                       ? at->status == MARTY__SAGA_UNDOING || at->status == MARTY__SAGA_UNDO_BACKOFF
                       : marty__saga_in_flight(at) && at->stuck != MARTY__SAGA_STUCK_RESIDUE;
    if (!current) {
        marty__saga_ignore(in, MARTY__SAGA_IGNORED_DUPLICATE);
        return;
    }
    marty__saga_emit_status(in, slot, undo ? MARTY__SAGA_UNDO_STUCK : MARTY__SAGA_IN_DOUBT,
                            marty_text(in->event->reason));
    marty__saga_emit_stuck(in, slot, MARTY__SAGA_STUCK_RESIDUE,
                           "the child ended with effects that are left");
}

/* Signs of life: rows 3 and 4, and the same of an undo. */
static void on_alive(inside *in, uint32_t slot, bool undo)
{
    const marty__saga_event *event = in->event;
    const marty__saga_slot *at = marty__saga_slot_at(in, slot);
    const marty__saga_node *node = marty__saga_node_at(in, slot);
    const marty__saga_call *call = undo ? &node->undo : &node->forward;
    bool first = !(at->flags & MARTY__SAGA_STARTED);
    if (event->reply == MARTY__SAGA_ACCEPTED && !first) {
        marty__saga_ignore(in, MARTY__SAGA_IGNORED_DUPLICATE);
        return;
    }
    if (event->reply == MARTY__SAGA_PROGRESS && !call->heartbeat_ms && !first &&
        !event->data.size) {
        marty__saga_ignore(in, MARTY__SAGA_IGNORED_DUPLICATE); /* there is nothing to re-arm */
        return;
    }
    if (first) {
        marty__saga_emit_mark(in, slot, MARTY__SAGA_STARTED, 0);
        marty__saga_emit_timer(in, slot, MARTY__SAGA_TIMER_MAIN,
                               marty__saga_after(in, call->attempt_ms));
        marty__saga_arm_total(in, slot, undo);
        if (at->timers[MARTY__SAGA_TIMER_START].due_us) {
            marty__saga_emit_timer(in, slot, MARTY__SAGA_TIMER_START, 0);
        }
    }
    if (call->heartbeat_ms) {
        marty__saga_emit_timer(in, slot, MARTY__SAGA_TIMER_HEARTBEAT,
                               marty__saga_after(in, call->heartbeat_ms));
    }
    if (event->reply == MARTY__SAGA_PROGRESS && event->data.size) {
        marty__saga_emit_slot(in, MARTY__ENTRY_CHECKPOINT, slot, 0, fitting(in, event->data));
    }
}

/* Answers that count for the current attempt only. */
static void on_attempt(inside *in, uint32_t slot, bool undo)
{
    const marty__saga_event *event = in->event;
    const marty__saga_slot *at = marty__saga_slot_at(in, slot);
    const marty__saga_op *op = undo ? &at->undo : &at->forward;
    marty__saga_status wanted = undo ? MARTY__SAGA_UNDOING : MARTY__SAGA_CALLING;
    if (MARTY__MUTANT(14, op->attempt != event->attempt, false) || at->status != wanted) {
        marty__saga_ignore(in, MARTY__SAGA_IGNORED_STALE);
    } else if (event->reply != MARTY__SAGA_RETRY) {
        on_alive(in, slot, undo);
    } else {
        const char *reason = event->reason && *event->reason ? event->reason : "put off";
        marty__saga_emit_slot(in, MARTY__ENTRY_REASON, slot, 0, marty_text(reason));
        if (undo) {
            marty__saga_undo_over(in, slot, true, event->delay_ms);
        } else {
            marty__saga_attempt_over(in, slot, false, true, event->delay_ms);
        }
    }
}

/* ---- of an undo: rows 20 to 22 */
static void on_undo_definite(inside *in, uint32_t slot)
{
    const marty__saga_event *event = in->event;
    const marty__saga_slot *at = marty__saga_slot_at(in, slot);
    bool going = at->status == MARTY__SAGA_UNDOING || at->status == MARTY__SAGA_UNDO_BACKOFF;
    if (event->reply == MARTY__SAGA_OK) {
        if (going || at->status == MARTY__SAGA_UNDO_STUCK) {
            marty__saga_emit_status(in, slot, MARTY__SAGA_UNDONE, none);
        } else {
            marty__saga_ignore(in, MARTY__SAGA_IGNORED_DUPLICATE);
        }
    } else if (going && at->undo.attempt) {
        marty__saga_undo_refused(in, slot,
                                 event->reason && *event->reason ? event->reason : "refused");
    } else if (at->status == MARTY__SAGA_UNDO_STUCK && !(at->flags & MARTY__SAGA_C_REFUSED)) {
        marty__saga_emit_mark(in, slot, MARTY__SAGA_C_REFUSED, 0);
    } else {
        marty__saga_ignore(in, MARTY__SAGA_IGNORED_DUPLICATE);
    }
}

static bool speaks_for_the_op(marty__saga_reply reply)
{
    return reply == MARTY__SAGA_OK || reply == MARTY__SAGA_REFUSED ||
           reply == MARTY__SAGA_WAS_DONE || reply == MARTY__SAGA_NOT_DONE;
}

static void on_match(inside *in, const match *found)
{
    const marty__saga_slot *at = marty__saga_slot_at(in, found->slot);
    int64_t first_us = found->undo ? at->undo.first_us : at->forward.first_us;
    if (first_us && speaks_for_the_op(in->event->reply)) {
        in->answered_us = in->now_us > first_us ? in->now_us - first_us : 1;
    }
    switch (in->event->reply) {
    case MARTY__SAGA_OK:
    case MARTY__SAGA_REFUSED:
        if (found->undo) {
            on_undo_definite(in, found->slot);
        } else {
            on_definite(in, found->slot);
        }
        break;
    case MARTY__SAGA_WAS_DONE:
    case MARTY__SAGA_NOT_DONE:
        if (found->undo) {
            marty__saga_ignore(in, MARTY__SAGA_IGNORED_MALFORMED);
        } else {
            on_definite(in, found->slot);
        }
        break;
    case MARTY__SAGA_RETRY:
    case MARTY__SAGA_ACCEPTED:
    case MARTY__SAGA_PROGRESS:
        on_attempt(in, found->slot, found->undo);
        break;
    case MARTY__SAGA_UNKNOWN:
        marty__saga_ignore(in, MARTY__SAGA_IGNORED_EARLY); /* 15: the probe's timer asks again */
        break;
    case MARTY__SAGA_LEFT:
        on_left(in, found->slot, found->undo);
        break;
    }
}

/* An answer under a key that is over: a participant that says "done" to a sealed one is broken. */
static void on_old(inside *in, const match *found)
{
    bool done = in->event->reply == MARTY__SAGA_OK || in->event->reply == MARTY__SAGA_WAS_DONE;
    if (done) {
        record(in, found->slot, MARTY__SAGA_BROKEN, "done, under a key that was given up");
    } else {
        marty__saga_ignore(in, MARTY__SAGA_IGNORED_STALE);
    }
}

static bool well_formed(const marty__saga_event *event)
{
    marty__json_value value;
    return event->reply >= MARTY__SAGA_OK && event->reply <= MARTY__SAGA_LEFT &&
           (!event->data.size ||
            marty__json_valid(event->data.data, event->data.size, false, INTAKE_DEPTH, &value)) &&
           (!event->reason || strlen(event->reason) <= MARTY__SAGA_REASON_BYTES_MAX);
}

void marty__saga_on_reply(inside *in)
{
    uint8_t key[MARTY__SAGA_KEY_BYTES];
    match found;
    if (!marty__saga_key_parse(key, in->event->key) || !well_formed(in->event)) {
        marty__saga_ignore(in, MARTY__SAGA_IGNORED_MALFORMED);
    } else if (marty__saga_ended(&in->state)) {
        marty__saga_ignore(in, MARTY__SAGA_IGNORED_ENDED);
    } else if (find_op(in, key, false, &found)) {
        on_match(in, &found);
    } else if (find_op(in, key, true, &found)) {
        on_old(in, &found);
    } else {
        marty__saga_ignore(in, MARTY__SAGA_IGNORED_UNKNOWN);
    }
}

/* The broker surely did not take the command: as if a participant had asked for another try. */
void marty__saga_on_not_sent(inside *in)
{
    uint8_t key[MARTY__SAGA_KEY_BYTES];
    match found;
    if (!marty__saga_key_parse(key, in->event->key)) {
        marty__saga_ignore(in, MARTY__SAGA_IGNORED_MALFORMED);
    } else if (marty__saga_ended(&in->state) || !find_op(in, key, false, &found)) {
        marty__saga_ignore(in, MARTY__SAGA_IGNORED_STALE);
    } else {
        marty__saga_event retry = *in->event;
        retry.reply = MARTY__SAGA_RETRY;
        const marty__saga_event *event = in->event;
        in->event = &retry;
        on_attempt(in, found.slot, found.undo);
        in->event = event;
    }
}
