/* SPDX-License-Identifier: Apache-2.0
 * What each entry does to a state. Nothing else changes one. An entry is checked as if it came from
 * a stranger, since a history may: what does not fit is refused, and nothing is read or written
 * outside of the state. */
#include "entry.h"

static const uint32_t all_slot_flags = 2 * MARTY__SAGA_TO_UNDO - 1;
static const uint32_t all_saga_flags = 2 * MARTY__SAGA_BORN_DEAD - 1;

/* Room for one more in an array of the state. */
static void *grown(marty__arena *arena, void *array, size_t size, uint32_t count, uint32_t *room)
{
    if (count < *room) {
        return array;
    }
    uint32_t more = *room ? *room * 2 : 8;
    void *wider = marty__arena_alloc(arena, size * more);
    if (wider) {
        if (count) {
            memcpy(wider, array, size * count);
        }
        *room = more;
    }
    return wider;
}

static marty__saga_slot *slot_of(const marty__saga_state *state, const marty__saga_entry *entry)
{
    return entry->n[0] < state->slot_count ? &state->slots[entry->n[0]] : NULL;
}

static marty__saga_op *op_of(marty__saga_slot *slot, const marty__saga_entry *entry)
{
    return entry->n[1] ? &slot->undo : &slot->forward;
}

static bool apply_batch(marty__saga_state *state, const marty__saga_entry *entry)
{
    if (entry->n[0] != state->version + 1 || entry->n[1] > INT64_MAX || entry->n[2] == 0 ||
        entry->n[2] > MARTY__SAGA_BY_BROKER) {
        return false;
    }
    state->version = entry->n[0];
    state->changed_us = (int64_t)entry->n[1];
    return true;
}

static bool apply_started(marty__saga_state *state, const marty__saga_entry *entry)
{
    marty_bytes id = entry->b[0], definition = entry->b[1], parent = entry->b[4];
    if (state->version != 1 || state->phase || entry->n[0] > all_saga_flags || !id.size ||
        id.size > MARTY__SAGA_ID_TEXT_MAX || definition.size != sizeof state->definition ||
        (parent.size && parent.size != MARTY__SAGA_KEY_BYTES) ||
        entry->b[5].size > MARTY__SAGA_ID_TEXT_MAX || memchr(id.data, 0, id.size)) {
        return false;
    }
    memcpy(state->id, id.data, id.size);
    memcpy(state->definition, definition.data, definition.size);
    if (parent.size) {
        memcpy(state->parent, parent.data, parent.size);
    }
    state->flags = (uint32_t)entry->n[0];
    state->phase = MARTY__SAGA_RUNNING;
    state->started_us = state->changed_us;
    state->input = entry->b[2];
    state->key = entry->b[3];
    state->parent_saga = entry->b[5];
    return true;
}

static bool apply_seen(marty__saga_state *state, marty_bytes id)
{
    if (id.size != MARTY__SAGA_KEY_BYTES || state->seen_count >= MARTY__SAGA_SEEN_MAX) {
        return false;
    }
    state->seen =
        grown(state->arena, state->seen, sizeof *state->seen, state->seen_count, &state->seen_room);
    if (!state->seen) {
        return false;
    }
    memcpy(state->seen[state->seen_count++], id.data, id.size);
    return true;
}

static bool apply_kept(marty__saga_state *state, const marty__saga_entry *entry)
{
    if (state->kept_count >= MARTY__SAGA_KEPT_MAX || entry->n[0] > INT64_MAX || !entry->b[0].size) {
        return false;
    }
    state->kept =
        grown(state->arena, state->kept, sizeof *state->kept, state->kept_count, &state->kept_room);
    if (!state->kept) {
        return false;
    }
    state->kept[state->kept_count++] =
        (marty__saga_kept){entry->b[0], entry->b[1], (int64_t)entry->n[0]};
    return true;
}

static bool apply_taken(marty__saga_state *state, uint64_t index)
{
    if (index >= state->kept_count) {
        return false;
    }
    state->kept_count--;
    memmove(&state->kept[index], &state->kept[index + 1],
            (state->kept_count - (size_t)index) * sizeof *state->kept);
    return true;
}

static bool apply_opened(marty__saga_state *state, const marty__saga_entry *entry)
{
    uint64_t parent = entry->n[1];
    if (state->slot_count >= MARTY__SAGA_SLOTS_MAX || entry->n[0] > UINT16_MAX ||
        entry->n[2] > UINT32_MAX || entry->n[3] > 1 ||
        parent >= (state->slot_count ? state->slot_count : 1)) {
        return false;
    }
    state->slots = grown(state->arena, state->slots, sizeof *state->slots, state->slot_count,
                         &state->slot_room);
    if (!state->slots) {
        return false;
    }
    uint32_t index = state->slot_count++;
    state->slots[index] = (marty__saga_slot){
        .node = (uint16_t)entry->n[0],
        .parent = (uint32_t)parent,
        .iteration = (uint32_t)entry->n[2],
        .status = entry->n[3] ? MARTY__SAGA_IDLE : MARTY__SAGA_OPEN,
    };
    if (index) {
        state->slots[index].before = state->slots[parent].last;
        state->slots[parent].last = index;
    }
    return true;
}

static void timers_off(marty__saga_slot *slot, bool total_too)
{
    for (int i = 0; i < MARTY__SAGA_TIMERS; i++) {
        if (i != MARTY__SAGA_TIMER_TOTAL || total_too) {
            slot->timers[i] = (marty__saga_timer){0};
        }
    }
}

static bool apply_status(marty__saga_state *state, marty__saga_slot *slot,
                         const marty__saga_entry *entry)
{
    uint64_t status = entry->n[1];
    if (!slot || status == 0 || status > MARTY__SAGA_OPEN) {
        return false;
    }
    slot->status = (marty__saga_status)status;
    slot->stuck = 0;
    slot->flags &= ~(uint32_t)MARTY__SAGA_STARTED;
    timers_off(slot, status != MARTY__SAGA_BACKOFF && status != MARTY__SAGA_UNDO_BACKOFF);
    if (status == MARTY__SAGA_DONE) {
        slot->done = ++state->completions;
        slot->flags |= MARTY__SAGA_KNOWN;
        slot->result = entry->b[0];
    } else if (entry->b[0].size) {
        slot->reason = entry->b[0];
    }
    return true;
}

static bool apply_sent(marty__saga_state *state, marty__saga_slot *slot,
                       const marty__saga_entry *entry)
{
    if (!slot || entry->n[1] > 1) {
        return false;
    }
    marty__saga_op *op = op_of(slot, entry);
    if (op->attempt == UINT32_MAX || op->used == UINT32_MAX) {
        return false;
    }
    op->attempt++;
    op->used++;
    op->first_us = op->first_us ? op->first_us : state->changed_us;
    slot->status = entry->n[1] ? MARTY__SAGA_UNDOING : MARTY__SAGA_CALLING;
    slot->stuck = 0;
    slot->flags &= ~(uint32_t)MARTY__SAGA_STARTED;
    timers_off(slot, false);
    return true;
}

static bool apply_generation(marty__saga_slot *slot, const marty__saga_entry *entry)
{
    if (!slot || entry->n[1] > 1) {
        return false;
    }
    marty__saga_op *op = op_of(slot, entry);
    if (op->generation == UINT32_MAX) {
        return false;
    }
    op->generation++;
    op->attempt = 0;
    op->since_us = marty__saga_budget_us(op);
    op->first_us = 0;
    slot->stuck = 0;
    timers_off(slot, true);
    if (entry->n[1]) {
        slot->status = MARTY__SAGA_UNDO_BACKOFF;
        slot->flags &= ~(uint32_t)(MARTY__SAGA_C_REFUSED | MARTY__SAGA_STARTED);
    } else {
        slot->status = MARTY__SAGA_IDLE;
        slot->flags &= ~(uint32_t)(MARTY__SAGA_STARTED | MARTY__SAGA_DOUBTFUL | MARTY__SAGA_KNOWN |
                                   MARTY__SAGA_TO_UNDO | MARTY__SAGA_CANCELLED);
        slot->probes_used = 0;
    }
    return true;
}

static bool arm(marty__saga_state *state, marty__saga_timer *timer, uint64_t due)
{
    if (due > INT64_MAX) {
        return false;
    }
    *timer = (marty__saga_timer){(int64_t)due, due ? ++state->tokens : 0};
    return true;
}

static bool apply_mark(uint32_t *flags, uint64_t set, uint64_t clear, uint32_t all)
{
    if (set > all || clear > all) {
        return false;
    }
    *flags = (*flags | (uint32_t)set) & ~(uint32_t)clear;
    return true;
}

static bool apply_budget(const marty__saga_state *state, marty__saga_slot *slot,
                         const marty__saga_entry *entry)
{
    if (!slot || entry->n[1] > 1) {
        return false;
    }
    marty__saga_op *op = op_of(slot, entry);
    op->used = 0;
    op->since_us = state->changed_us;
    slot->probes_used = 0;
    slot->timers[MARTY__SAGA_TIMER_TOTAL] = (marty__saga_timer){0}; /* it is counted from now */
    return true;
}

/* Entries about one slot. */
static bool apply_slot(marty__saga_state *state, const marty__saga_entry *entry)
{
    marty__saga_slot *slot = slot_of(state, entry);
    if (!slot) {
        return false;
    }
    switch ((unsigned)entry->kind) {
    case MARTY__ENTRY_STUCK:
        slot->stuck = (marty__saga_stuck)entry->n[1];
        slot->reason = entry->b[0].size ? entry->b[0] : slot->reason;
        return entry->n[1] && entry->n[1] <= MARTY__SAGA_STUCK_MISSING;
    case MARTY__ENTRY_TIMER:
        return entry->n[1] < MARTY__SAGA_TIMERS &&
               arm(state, &slot->timers[entry->n[1]], entry->n[2]);
    case MARTY__ENTRY_MARK:
        return apply_mark(&slot->flags, entry->n[1], entry->n[2], all_slot_flags);
    case MARTY__ENTRY_REASON:
        slot->reason = entry->b[0];
        return true;
    case MARTY__ENTRY_CHECKPOINT:
        slot->checkpoint = entry->b[0];
        return true;
    case MARTY__ENTRY_INPUT:
        op_of(slot, entry)->input = entry->b[0];
        return entry->n[1] <= 1;
    case MARTY__ENTRY_BUDGET:
        return apply_budget(state, slot, entry);
    case MARTY__ENTRY_PROBED:
        slot->probes++;
        slot->probes_used++;
        return true;
    case MARTY__ENTRY_COUNT:
        slot->count = (uint32_t)entry->n[1];
        return entry->n[1] <= UINT32_MAX;
    default:
        return false;
    }
}

static bool apply_key(uint8_t key[MARTY__SAGA_KEY_BYTES], marty_bytes from)
{
    if (from.size != MARTY__SAGA_KEY_BYTES) {
        return false;
    }
    memcpy(key, from.data, from.size);
    return true;
}

static bool apply_phase(marty__saga_state *state, const marty__saga_entry *entry)
{
    if (entry->n[0] == 0 || entry->n[0] > MARTY__SAGA_ABANDONED) {
        return false;
    }
    state->phase = (marty__saga_phase)entry->n[0];
    state->reason = entry->b[0].size ? entry->b[0] : state->reason;
    if (marty__saga_ended(state)) {
        state->deadline = (marty__saga_timer){0};
        for (uint32_t i = 0; i < state->slot_count; i++) {
            timers_off(&state->slots[i], true);
        }
        state->kept_count = 0;
    }
    return true;
}

/* Another definition: the slots are of other nodes. */
static bool apply_migrated(marty__saga_state *state, const marty__saga_entry *entry)
{
    const uint8_t *nodes = entry->b[1].data;
    marty__wire from = {.at = nodes, .end = nodes + entry->b[1].size};
    if (entry->b[0].size != sizeof state->definition) {
        return false;
    }
    for (uint32_t i = 0; i < state->slot_count; i++) {
        state->slots[i].node = (uint16_t)marty__wire_upto(&from, UINT16_MAX - 1);
    }
    memcpy(state->definition, entry->b[0].data, sizeof state->definition);
    return !from.broken && from.at == from.end;
}

bool marty__saga_apply(marty__saga_state *state, const marty__saga_entry *entry)
{
    if (entry->kind != MARTY__ENTRY_BATCH && entry->kind != MARTY__ENTRY_STARTED && !state->phase) {
        return false;
    }
    switch ((unsigned)entry->kind) {
    case MARTY__ENTRY_BATCH:
        return apply_batch(state, entry);
    case MARTY__ENTRY_STARTED:
        return apply_started(state, entry);
    case MARTY__ENTRY_PHASE:
        return apply_phase(state, entry);
    case MARTY__ENTRY_FLAGS:
        return apply_mark(&state->flags, entry->n[0], entry->n[1], all_saga_flags);
    case MARTY__ENTRY_DEADLINE:
        return arm(state, &state->deadline, entry->n[0]);
    case MARTY__ENTRY_SEEN:
        return apply_seen(state, entry->b[0]);
    case MARTY__ENTRY_KEPT:
        return apply_kept(state, entry);
    case MARTY__ENTRY_TAKEN:
        return apply_taken(state, entry->n[0]);
    case MARTY__ENTRY_UNDO_ASKED:
        return apply_key(state->parent_undo, entry->b[0]);
    case MARTY__ENTRY_OPENED:
        return apply_opened(state, entry);
    case MARTY__ENTRY_STATUS:
        return apply_status(state, slot_of(state, entry), entry);
    case MARTY__ENTRY_SENT:
        return apply_sent(state, slot_of(state, entry), entry);
    case MARTY__ENTRY_GENERATION:
        return apply_generation(slot_of(state, entry), entry);
    case MARTY__ENTRY_MIGRATED:
        return apply_migrated(state, entry);
    case MARTY__ENTRY_NOTE:
        return true;
    default:
        return apply_slot(state, entry);
    }
}
