/* SPDX-License-Identifier: Apache-2.0
 * Commands about one step, each with the entries that make it part of the state. */
#include "inside.h"

#include "base/hash.h"

#include <stdio.h>

/* The key, message id and path of a command. */
static void name_command(inside *in, marty__saga_command *command, uint32_t slot, bool undo,
                         const char *kind, uint32_t number)
{
    uint8_t key[MARTY__SAGA_KEY_BYTES];
    const marty__saga_slot *at = marty__saga_slot_at(in, slot);
    uint32_t generation = undo ? at->undo.generation : at->forward.generation;
    command->step = marty__saga_path(in, slot);
    marty__saga_op_key(key, in->state.id, command->step, undo, generation);
    if (MARTY__MUTANT(1, false, !undo && number > 1 && !*kind)) {
        marty__saga_op_key(key, in->state.id, command->step, undo, number); /* a key per attempt */
    }
    marty__saga_key_text(command->key, key);
    marty__saga_message_id(command->message, key, kind, number);
    command->attempt = number;
    if (marty__saga_node_at(in, slot)->kind == MARTY__SAGA_CHILD) {
        marty__saga_op_key(key, in->state.id, command->step, false, at->forward.generation);
        marty__saga_child_id(command->child, key);
    }
    if (undo) {
        marty__saga_op_key(key, in->state.id, command->step, false, at->forward.generation);
        marty__saga_key_text(command->forward_key, key);
    }
}

int64_t marty__saga_total_us(const marty__saga_op *op, const marty__saga_call *call)
{
    int64_t since_us = marty__saga_budget_us(op);
    bool limited = since_us && call->total_ms < (uint64_t)(INT64_MAX - since_us) / 1000;
    return limited && call->total_ms ? since_us + (int64_t)call->total_ms * 1000 : INT64_MAX;
}

/* The end of a week is no business of an attempt of seconds: until then there is nothing to keep.
 */
void marty__saga_arm_total(inside *in, uint32_t slot, bool undo)
{
    const marty__saga_slot *at = marty__saga_slot_at(in, slot);
    const marty__saga_node *node = marty__saga_node_at(in, slot);
    int64_t total_us = undo ? marty__saga_total_us(&at->undo, &node->undo)
                            : marty__saga_total_us(&at->forward, &node->forward);
    if (total_us <= at->timers[MARTY__SAGA_TIMER_MAIN].due_us &&
        !at->timers[MARTY__SAGA_TIMER_TOTAL].due_us) {
        marty__saga_emit_timer(in, slot, MARTY__SAGA_TIMER_TOTAL, total_us);
    }
}

static void arm_op(inside *in, uint32_t slot, const marty__saga_call *call, bool undo)
{
    marty__saga_emit_timer(in, slot, MARTY__SAGA_TIMER_MAIN,
                           marty__saga_after(in, call->attempt_ms));
    if (call->start_ms) {
        marty__saga_emit_timer(in, slot, MARTY__SAGA_TIMER_START,
                               marty__saga_after(in, call->start_ms));
    }
    marty__saga_arm_total(in, slot, undo);
}

static bool wants_cancel(const inside *in, uint32_t slot)
{
    return (marty__saga_slot_at(in, slot)->flags & MARTY__SAGA_CANCELLED) != 0;
}

void marty__saga_send_forward(inside *in, uint32_t slot)
{
    const marty__saga_node *node = marty__saga_node_at(in, slot);
    const marty__saga_slot *at = marty__saga_slot_at(in, slot);
    if (at->forward.attempt && marty__saga_past_horizon(in, at->forward.first_us)) {
        marty__saga_emit_status(in, slot, MARTY__SAGA_IN_DOUBT, (marty_bytes){NULL, 0});
        marty__saga_emit_stuck(in, slot, MARTY__SAGA_STUCK_HORIZON,
                               "called so long ago that the participant may have forgotten it");
        return;
    }
    marty__saga_emit_slot(in, MARTY__ENTRY_SENT, slot, 0, (marty_bytes){NULL, 0});
    arm_op(in, slot, &node->forward, false);
    marty__saga_command *command = marty__saga_command_add(in);
    if (!command) {
        return;
    }
    at = marty__saga_slot_at(in, slot);
    bool cancel = node->kind == MARTY__SAGA_CHILD && wants_cancel(in, slot);
    *command = (marty__saga_command){
        .kind = node->kind == MARTY__SAGA_LOCAL   ? MARTY__SAGA_LOCAL_FORWARD
                : node->kind == MARTY__SAGA_CHILD ? MARTY__SAGA_CHILD_START
                                                  : MARTY__SAGA_FORWARD,
        .service = node->forward.service,
        .type = node->forward.type,
        .version = node->child_version,
        .at_most_once = node->at_most_once,
        .in_transaction = node->forward.in_transaction,
        .expires_us =
            node->kind == MARTY__SAGA_CHILD ? 0 : at->timers[MARTY__SAGA_TIMER_MAIN].due_us,
        .data = cancel ? (marty_bytes){NULL, 0} : marty__saga_data(in, slot, false)};
    command->kind = cancel ? MARTY__SAGA_CHILD_CANCEL : command->kind;
    name_command(in, command, slot, false, cancel ? "x" : "", at->forward.attempt);
}

void marty__saga_send_undo(inside *in, uint32_t slot)
{
    const marty__saga_node *node = marty__saga_node_at(in, slot);
    const marty__saga_slot *at = marty__saga_slot_at(in, slot);
    bool unknown = !(at->flags & MARTY__SAGA_KNOWN);
    if ((unknown && marty__saga_past_horizon(in, at->forward.first_us)) ||
        marty__saga_past_horizon(in, at->undo.first_us)) {
        marty__saga_emit_status(in, slot, MARTY__SAGA_UNDO_STUCK, (marty_bytes){NULL, 0});
        marty__saga_emit_stuck(in, slot, MARTY__SAGA_STUCK_HORIZON,
                               "called so long ago that the participant may have forgotten it");
        return;
    }
    marty__saga_emit_slot(in, MARTY__ENTRY_SENT, slot, 1, (marty_bytes){NULL, 0});
    arm_op(in, slot, &node->undo, true);
    marty__saga_command *command = marty__saga_command_add(in);
    if (!command) {
        return;
    }
    at = marty__saga_slot_at(in, slot);
    *command =
        (marty__saga_command){.kind = node->kind == MARTY__SAGA_LOCAL   ? MARTY__SAGA_LOCAL_UNDO
                                      : node->kind == MARTY__SAGA_CHILD ? MARTY__SAGA_CHILD_UNDO
                                                                        : MARTY__SAGA_UNDO,
                              .service = node->undo.service,
                              .type = node->undo.type,
                              .in_transaction = node->undo.in_transaction,
                              .known = !unknown,
                              .data = marty__saga_data(in, slot, true)};
    name_command(in, command, slot, true, "", at->undo.attempt);
}

void marty__saga_send_probe(inside *in, uint32_t slot)
{
    const marty__saga_node *node = marty__saga_node_at(in, slot);
    const marty__saga_slot *at = marty__saga_slot_at(in, slot);
    if (marty__saga_past_horizon(in, at->forward.first_us)) {
        marty__saga_emit_timer(in, slot, MARTY__SAGA_TIMER_MAIN, 0);
        marty__saga_emit_stuck(in, slot, MARTY__SAGA_STUCK_HORIZON,
                               "called so long ago that the participant may have forgotten it");
        return;
    }
    marty__saga_emit_slot(in, MARTY__ENTRY_PROBED, slot, 0, (marty_bytes){NULL, 0});
    marty__saga_emit_timer(in, slot, MARTY__SAGA_TIMER_MAIN,
                           marty__saga_after(in, node->forward.attempt_ms / 4 + 1 +
                                                     marty__saga_backoff_ms(in, slot, false)));
    marty__saga_command *command = marty__saga_command_add(in);
    if (command) {
        *command = (marty__saga_command){.kind = MARTY__SAGA_PROBE,
                                         .service = node->forward.service,
                                         .type = node->forward.type};
        name_command(in, command, slot, false, "p", marty__saga_slot_at(in, slot)->probes);
    }
}

void marty__saga_send_cancel(inside *in, uint32_t slot)
{
    if (marty__saga_slot_at(in, slot)->flags & MARTY__SAGA_CANCELLED) {
        return;
    }
    marty__saga_emit_mark(in, slot, MARTY__SAGA_CANCELLED, 0);
    marty__saga_command *command = marty__saga_command_add(in);
    if (command) {
        *command = (marty__saga_command){.kind = MARTY__SAGA_CHILD_CANCEL,
                                         .type = marty__saga_node_at(in, slot)->forward.type};
        name_command(in, command, slot, false, "x", 0);
        command->attempt = marty__saga_slot_at(in, slot)->forward.attempt;
    }
}

/* Full jitter, made of the key and the number of the try, so that it is the same when replayed. */
uint64_t marty__saga_backoff_ms(const inside *in, uint32_t slot, bool undo)
{
    const marty__saga_slot *at = marty__saga_slot_at(in, slot);
    const marty__saga_node *node = marty__saga_node_at(in, slot);
    const marty__saga_op *op = undo ? &at->undo : &at->forward;
    const marty_retry_policy *policy = undo ? &node->undo.retry : &node->forward.retry;
    uint32_t tries = op->used + at->probes_used;
    uint32_t doublings = tries > 1 ? tries - 1 : 0;
    uint64_t ceiling = (uint64_t)policy->first_ms << (doublings < 31 ? doublings : 31);
    ceiling = ceiling > policy->max_ms ? policy->max_ms : ceiling;
    if (policy->no_jitter || ceiling == 0) {
        return ceiling;
    }
    char text[MARTY__SAGA_TEXT + 64];
    int size = snprintf(text, sizeof text, "%s %u %d %u %u %u", in->state.id, slot, (int)undo,
                        op->generation, op->attempt, at->probes);
    return 1 + marty__hash_stable(text, (size_t)size) % ceiling;
}
