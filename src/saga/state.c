/* SPDX-License-Identifier: Apache-2.0
 * States as bytes. What is absent is not written, and what is written is never what "absent" means,
 * so there is one encoding for each state and reading refuses all others. */
#include "state.h"

#include "base/wire.h"

enum { STATE_VERSION = 1 };
enum {
    HAS_ITERATION = 1,
    HAS_FLAGS = 2,
    HAS_COUNT = 4,
    HAS_PROBES = 8,
    HAS_DONE = 16,
    HAS_FORWARD = 32,
    HAS_UNDO = 64,
    HAS_TIMERS = 128,
    HAS_RESULT = 256,
    HAS_REASON = 512,
    HAS_CHECKPOINT = 1024,
    HAS_STUCK = 2048,
    HAS_SINCE = 4096,
    HAS_ALL = 8191
};

/* ---- writing */
static bool op_used(const marty__saga_op *op)
{
    return op->generation || op->attempt || op->used || op->first_us || op->input.size;
}

static unsigned timers_of(const marty__saga_slot *slot)
{
    unsigned mask = 0;
    for (unsigned i = 0; i < MARTY__SAGA_TIMERS; i++) {
        mask |= slot->timers[i].due_us ? 1u << i : 0;
    }
    return mask;
}

static unsigned parts_of(const marty__saga_slot *slot)
{
    return (slot->iteration ? HAS_ITERATION : 0u) | (slot->flags ? HAS_FLAGS : 0u) |
           (slot->count ? HAS_COUNT : 0u) | (slot->probes ? HAS_PROBES : 0u) |
           (slot->done ? HAS_DONE : 0u) | (op_used(&slot->forward) ? HAS_FORWARD : 0u) |
           (op_used(&slot->undo) ? HAS_UNDO : 0u) | (timers_of(slot) ? HAS_TIMERS : 0u) |
           (slot->result.size ? HAS_RESULT : 0u) | (slot->reason.size ? HAS_REASON : 0u) |
           (slot->checkpoint.size ? HAS_CHECKPOINT : 0u) | (slot->stuck ? HAS_STUCK : 0u) |
           (slot->forward.since_us || slot->undo.since_us ? HAS_SINCE : 0u);
}

static void write_op(const marty__saga_op *op, marty__buffer *to)
{
    marty__wire_put(to, op->generation);
    marty__wire_put(to, op->attempt);
    marty__wire_put(to, op->used);
    marty__wire_put(to, (uint64_t)op->first_us);
    marty__wire_put_bytes(to, op->input);
}

static void write_timer(const marty__saga_timer *timer, marty__buffer *to)
{
    marty__wire_put(to, (uint64_t)timer->due_us);
    marty__wire_put(to, timer->token);
}

static void put_if(marty__buffer *to, uint64_t number)
{
    if (number) {
        marty__wire_put(to, number);
    }
}

static void put_bytes_if(marty__buffer *to, marty_bytes bytes)
{
    if (bytes.size) {
        marty__wire_put_bytes(to, bytes);
    }
}

static void write_slot(const marty__saga_slot *slot, marty__buffer *to)
{
    unsigned parts = parts_of(slot), timers = timers_of(slot);
    marty__wire_put(to, slot->node);
    marty__wire_put(to, slot->status);
    marty__wire_put(to, slot->parent);
    marty__wire_put(to, parts);
    put_if(to, slot->iteration);
    put_if(to, slot->flags);
    put_if(to, slot->count);
    if (parts & HAS_PROBES) {
        marty__wire_put(to, slot->probes);
        marty__wire_put(to, slot->probes_used);
    }
    put_if(to, slot->done);
    if (parts & HAS_FORWARD) {
        write_op(&slot->forward, to);
    }
    if (parts & HAS_UNDO) {
        write_op(&slot->undo, to);
    }
    put_if(to, timers);
    for (unsigned i = 0; i < MARTY__SAGA_TIMERS; i++) {
        if (timers & 1u << i) {
            write_timer(&slot->timers[i], to);
        }
    }
    put_bytes_if(to, slot->result);
    put_bytes_if(to, slot->reason);
    put_bytes_if(to, slot->checkpoint);
    put_if(to, slot->stuck);
    if (parts & HAS_SINCE) {
        marty__wire_put(to, (uint64_t)slot->forward.since_us);
        marty__wire_put(to, (uint64_t)slot->undo.since_us);
    }
}

static bool is_set(const uint8_t key[MARTY__SAGA_KEY_BYTES])
{
    uint8_t any = 0;
    for (size_t i = 0; i < MARTY__SAGA_KEY_BYTES; i++) {
        any |= key[i];
    }
    return any != 0;
}

static void write_lists(const marty__saga_state *state, marty__buffer *to)
{
    marty__wire_put(to, state->slot_count);
    for (uint32_t i = 0; i < state->slot_count; i++) {
        write_slot(&state->slots[i], to);
    }
    marty__wire_put(to, state->seen_count);
    if (state->seen_count) {
        marty__buffer_add(to, state->seen, (size_t)state->seen_count * sizeof *state->seen);
    }
    marty__wire_put(to, state->kept_count);
    for (uint32_t i = 0; i < state->kept_count; i++) {
        marty__wire_put_bytes(to, state->kept[i].name);
        marty__wire_put_bytes(to, state->kept[i].data);
        marty__wire_put(to, (uint64_t)state->kept[i].until_us);
    }
}

void marty__saga_state_write(const marty__saga_state *state, marty__buffer *to)
{
    unsigned parts = (state->deadline.due_us ? 1u : 0u) | (is_set(state->parent) ? 2u : 0u) |
                     (is_set(state->parent_undo) ? 4u : 0u);
    marty__buffer_byte(to, STATE_VERSION);
    marty__wire_put(to, state->version);
    marty__wire_put(to, state->phase);
    marty__wire_put(to, state->flags);
    marty__wire_put(to, (uint64_t)state->started_us);
    marty__wire_put(to, (uint64_t)state->changed_us);
    marty__wire_put_bytes(to, marty_text(state->id));
    marty__buffer_add(to, state->definition, sizeof state->definition);
    marty__wire_put_bytes(to, state->input);
    marty__wire_put_bytes(to, state->key);
    marty__wire_put_bytes(to, state->reason);
    marty__wire_put_bytes(to, state->parent_saga);
    marty__wire_put(to, parts);
    if (parts & 1) {
        write_timer(&state->deadline, to);
    }
    if (parts & 2) {
        marty__buffer_add(to, state->parent, sizeof state->parent);
    }
    if (parts & 4) {
        marty__buffer_add(to, state->parent_undo, sizeof state->parent_undo);
    }
    marty__wire_put(to, state->tokens);
    marty__wire_put(to, state->completions);
    write_lists(state, to);
}

/* ---- reading */
static void read_op(marty__saga_op *op, marty__wire *from)
{
    op->generation = (uint32_t)marty__wire_upto(from, UINT32_MAX);
    op->attempt = (uint32_t)marty__wire_upto(from, UINT32_MAX);
    op->used = (uint32_t)marty__wire_upto(from, UINT32_MAX);
    op->first_us = (int64_t)marty__wire_upto(from, INT64_MAX);
    op->input = marty__wire_bytes(from, MARTY__SAGA_STATE_BYTES_MAX);
    from->broken = from->broken || !op_used(op);
}

static void read_timer(marty__saga_timer *timer, marty__wire *from, uint64_t tokens)
{
    timer->due_us = (int64_t)marty__wire_some(from, INT64_MAX);
    timer->token = marty__wire_some(from, tokens);
}

static uint64_t get_if(marty__wire *from, unsigned has, uint64_t max)
{
    return has ? marty__wire_some(from, max) : 0;
}

static marty_bytes get_bytes_if(marty__wire *from, unsigned has)
{
    marty_bytes bytes = {NULL, 0};
    if (has) {
        bytes = marty__wire_bytes(from, MARTY__SAGA_STATE_BYTES_MAX);
        from->broken = from->broken || !bytes.size;
    }
    return bytes;
}

static void read_slot(marty__saga_state *state, marty__saga_slot *slot, marty__wire *from)
{
    uint32_t index = (uint32_t)(slot - state->slots);
    slot->node = (uint16_t)marty__wire_upto(from, UINT16_MAX);
    slot->status = (marty__saga_status)marty__wire_some(from, MARTY__SAGA_OPEN);
    slot->parent = (uint32_t)marty__wire_upto(from, index ? index - 1 : 0);
    unsigned parts = (unsigned)marty__wire_upto(from, HAS_ALL);
    slot->iteration = (uint32_t)get_if(from, parts & HAS_ITERATION, UINT32_MAX);
    slot->flags = (uint32_t)get_if(from, parts & HAS_FLAGS, 2 * MARTY__SAGA_TO_UNDO - 1);
    slot->count = (uint32_t)get_if(from, parts & HAS_COUNT, UINT32_MAX);
    if (parts & HAS_PROBES) {
        slot->probes = (uint32_t)marty__wire_some(from, UINT32_MAX);
        slot->probes_used = (uint32_t)marty__wire_upto(from, slot->probes);
    }
    slot->done = get_if(from, parts & HAS_DONE, state->completions);
    if (parts & HAS_FORWARD) {
        read_op(&slot->forward, from);
    }
    if (parts & HAS_UNDO) {
        read_op(&slot->undo, from);
    }
    unsigned timers = (unsigned)get_if(from, parts & HAS_TIMERS, (1u << MARTY__SAGA_TIMERS) - 1);
    for (unsigned i = 0; i < MARTY__SAGA_TIMERS; i++) {
        if (timers & 1u << i) {
            read_timer(&slot->timers[i], from, state->tokens);
        }
    }
    slot->result = get_bytes_if(from, parts & HAS_RESULT);
    slot->reason = get_bytes_if(from, parts & HAS_REASON);
    slot->checkpoint = get_bytes_if(from, parts & HAS_CHECKPOINT);
    slot->stuck = (marty__saga_stuck)get_if(from, parts & HAS_STUCK, MARTY__SAGA_STUCK_MISSING);
    if (parts & HAS_SINCE) {
        slot->forward.since_us = (int64_t)marty__wire_upto(from, INT64_MAX);
        slot->undo.since_us = (int64_t)marty__wire_upto(from, INT64_MAX);
        from->broken = from->broken || !(slot->forward.since_us || slot->undo.since_us);
    }
    if (index && !from->broken) {
        slot->before = state->slots[slot->parent].last;
        state->slots[slot->parent].last = index;
    }
}

/* An array of the state with some room, zeroed; NULL: broken, or no memory (arena->failed). */
static void *room_for(marty__saga_state *state, marty__wire *from, size_t size, uint64_t count,
                      uint32_t *ret_room)
{
    /* Each takes a byte at least, so a lie about the count cannot make us allocate much. */
    if (from->broken || count > (uint64_t)(from->end - from->at)) {
        from->broken = true;
        return NULL;
    }
    *ret_room = (uint32_t)count + 8;
    void *array = marty__arena_alloc(state->arena, size * *ret_room);
    from->broken = !array;
    return array;
}

static void read_lists(marty__saga_state *state, marty__wire *from)
{
    uint64_t slots = marty__wire_upto(from, MARTY__SAGA_SLOTS_MAX);
    state->slots = room_for(state, from, sizeof *state->slots, slots, &state->slot_room);
    for (; !from->broken && state->slot_count < slots; state->slot_count++) {
        read_slot(state, &state->slots[state->slot_count], from);
    }
    uint64_t seen = marty__wire_upto(from, MARTY__SAGA_SEEN_MAX);
    if (seen) {
        state->seen = room_for(state, from, sizeof *state->seen, seen, &state->seen_room);
    }
    for (; !from->broken && state->seen_count < seen; state->seen_count++) {
        marty__wire_raw(from, state->seen[state->seen_count], sizeof *state->seen);
    }
    uint64_t kept = marty__wire_upto(from, MARTY__SAGA_KEPT_MAX);
    if (kept) {
        state->kept = room_for(state, from, sizeof *state->kept, kept, &state->kept_room);
    }
    for (; !from->broken && state->kept_count < kept; state->kept_count++) {
        marty__saga_kept *one = &state->kept[state->kept_count];
        one->name = get_bytes_if(from, 1);
        one->data = marty__wire_bytes(from, MARTY__SAGA_STATE_BYTES_MAX);
        one->until_us = (int64_t)marty__wire_upto(from, INT64_MAX);
    }
}

static void read_id(marty__saga_state *state, marty__wire *from)
{
    marty_bytes id = marty__wire_bytes(from, MARTY__SAGA_ID_TEXT_MAX);
    if (!id.size || memchr(id.data, 0, id.size)) {
        from->broken = true;
        return;
    }
    memcpy(state->id, id.data, id.size);
}

static void read_key(uint8_t key[MARTY__SAGA_KEY_BYTES], marty__wire *from)
{
    marty__wire_raw(from, key, MARTY__SAGA_KEY_BYTES);
    from->broken = from->broken || !is_set(key);
}

static void read_state(marty__saga_state *state, marty__wire *from)
{
    from->broken = marty__wire_number(from) != STATE_VERSION || from->broken;
    state->version = marty__wire_some(from, UINT64_MAX);
    state->phase = (marty__saga_phase)marty__wire_some(from, MARTY__SAGA_ABANDONED);
    state->flags = (uint32_t)marty__wire_upto(from, 2 * MARTY__SAGA_BORN_DEAD - 1);
    state->started_us = (int64_t)marty__wire_upto(from, INT64_MAX);
    state->changed_us = (int64_t)marty__wire_upto(from, INT64_MAX);
    read_id(state, from);
    marty__wire_raw(from, state->definition, sizeof state->definition);
    state->input = marty__wire_bytes(from, MARTY__SAGA_STATE_BYTES_MAX);
    state->key = marty__wire_bytes(from, MARTY__SAGA_START_KEY_MAX);
    state->reason = marty__wire_bytes(from, MARTY__SAGA_STATE_BYTES_MAX);
    state->parent_saga = marty__wire_bytes(from, MARTY__SAGA_ID_TEXT_MAX);
    unsigned parts = (unsigned)marty__wire_upto(from, 7);
    if (parts & 1) {
        read_timer(&state->deadline, from, UINT64_MAX);
    }
    if (parts & 2) {
        read_key(state->parent, from);
    }
    if (parts & 4) {
        read_key(state->parent_undo, from);
    }
    state->tokens = marty__wire_number(from);
    state->completions = marty__wire_number(from);
    from->broken = from->broken || state->deadline.token > state->tokens;
    read_lists(state, from);
}

marty_err marty__saga_state_read(marty__saga_state *ret, marty__arena *arena, marty_bytes bytes,
                                 marty_error *why)
{
    const uint8_t *data = bytes.data;
    marty__wire from = {.at = data, .end = data + bytes.size};
    *ret = (marty__saga_state){.arena = arena};
    if (!bytes.size) {
        return MARTY_OK;
    }
    read_state(ret, &from);
    if (arena->failed) {
        return marty_error_set(why, MARTY_E_NO_MEMORY, "a saga's state: out of memory");
    }
    if (from.broken || from.at != from.end) {
        return marty_error_set(why, MARTY_E_MALFORMED,
                               "a saga's state of %zu bytes makes no sense at byte %zu", bytes.size,
                               (size_t)(from.at - data));
    }
    return MARTY_OK;
}

/* ---- looking at one */
static void earliest(int64_t *due_us, const marty__saga_timer *timer)
{
    if (timer->due_us && (!*due_us || timer->due_us < *due_us)) {
        *due_us = timer->due_us;
    }
}

int64_t marty__saga_state_due(const marty__saga_state *state)
{
    int64_t due_us = 0;
    if (marty__saga_ended(state)) {
        return 0;
    }
    earliest(&due_us, &state->deadline);
    if (state->flags & MARTY__SAGA_PAUSED) {
        return due_us; /* the others are kept for the resume */
    }
    for (uint32_t i = 0; i < state->slot_count; i++) {
        for (int which = 0; which < MARTY__SAGA_TIMERS; which++) {
            earliest(&due_us, &state->slots[i].timers[which]);
        }
    }
    return due_us;
}

const marty__saga_slot *marty__saga_state_stuck(const marty__saga_state *state)
{
    for (uint32_t i = 0; i < state->slot_count; i++) {
        if (state->slots[i].stuck) {
            return &state->slots[i];
        }
    }
    return NULL;
}
