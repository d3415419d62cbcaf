/* SPDX-License-Identifier: Apache-2.0
 * Slots among each other: paths, groups, who is within whom. */
#include "inside.h"

#include <stdio.h>

/* A step's path names every loop and map around it, with the round. */
static void path_of(const marty__saga_definition *definition, const marty__saga_state *state,
                    uint32_t slot, marty__buffer *to)
{
    uint32_t rounds[2 * MARTY__SAGA_DEPTH_MAX + 4];
    size_t count = 0;
    for (uint32_t at = slot; at != 0 && count < sizeof rounds / sizeof *rounds;
         at = state->slots[at].parent) {
        const marty__saga_node *above =
            &definition->nodes[state->slots[state->slots[at].parent].node];
        if (above->kind == MARTY__SAGA_LOOP || above->kind == MARTY__SAGA_MAP) {
            rounds[count++] = at;
        }
    }
    while (count > 0) {
        const marty__saga_slot *round = &state->slots[rounds[--count]];
        marty__buffer_format(to, "%s[%u]/",
                             definition->nodes[state->slots[round->parent].node].name,
                             round->iteration);
    }
    const char *name = definition->nodes[state->slots[slot].node].name;
    marty__buffer_text(to, name ? name : "");
}

const char *marty__saga_path_in(marty__arena *arena, const marty__saga_definition *definition,
                                const marty__saga_state *state, uint32_t slot)
{
    marty__buffer text = {0};
    path_of(definition, state, slot, &text);
    char *path =
        text.failed ? NULL : marty__arena_text(arena, text.data ? text.data : "", text.size);
    marty__buffer_free(&text);
    arena->failed = arena->failed || !path;
    return path ? path : "";
}

const char *marty__saga_path(inside *in, uint32_t slot)
{
    const char *path = marty__saga_path_in(&in->arena, in->definition, &in->state, slot);
    if (in->arena.failed) {
        (void)marty__saga_fail(in, MARTY_E_NO_MEMORY, "out of memory");
    }
    return path;
}

uint32_t marty__saga_find_path(inside *in, const char *path)
{
    const char *name = strrchr(path, '/');
    name = name ? name + 1 : path;
    for (uint32_t i = 0; i < in->state.slot_count && !in->err; i++) {
        const char *own = marty__saga_node_at(in, i)->name;
        if (own && strcmp(own, name) == 0 && strcmp(marty__saga_path(in, i), path) == 0) {
            return i;
        }
    }
    return UINT32_MAX;
}

bool marty__saga_in_flight(const marty__saga_slot *slot)
{
    return slot->status == MARTY__SAGA_CALLING || slot->status == MARTY__SAGA_BACKOFF ||
           slot->status == MARTY__SAGA_IN_DOUBT;
}

bool marty__saga_unsettled(const marty__saga_slot *slot)
{
    return marty__saga_in_flight(slot) &&
           !(slot->status == MARTY__SAGA_IN_DOUBT && (slot->flags & MARTY__SAGA_TO_UNDO));
}

uint32_t marty__saga_group_of(const inside *in, uint32_t slot)
{
    for (uint32_t at = slot; at != 0;) {
        at = in->state.slots[at].parent;
        marty__saga_node_kind kind = marty__saga_node_at(in, at)->kind;
        if (kind == MARTY__SAGA_PARALLEL || kind == MARTY__SAGA_MAP) {
            return at;
        }
    }
    return UINT32_MAX;
}

bool marty__saga_within(const inside *in, uint32_t slot, uint32_t outer)
{
    while (slot > outer) {
        slot = in->state.slots[slot].parent;
    }
    return slot == outer;
}

bool marty__saga_any_stuck(const inside *in)
{
    return marty__saga_state_stuck(&in->state) != NULL;
}

bool marty__saga_past_horizon(const inside *in, int64_t first_us)
{
    return MARTY__MUTANT(22, in->rules != NULL, false) && in->rules->horizon_ms && first_us &&
           in->now_us - first_us > (int64_t)in->rules->horizon_ms * 1000;
}
