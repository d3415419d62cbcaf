/* SPDX-License-Identifier: Apache-2.0
 * Another definition for a saga in flight. Keys are made of paths, so a step that has begun keeps
 * its name, its kind and its place; what has not begun is free. What a migration would lose is an
 * error, and names the step. A dry run is a turn that nobody stores. */
#include "inside.h"

#include <stdio.h>

typedef struct mapping {
    const marty__saga_definition *from, *to;
    uint16_t *nodes; /* per node of from: of to, NONE = not looked for yet or not there */
    const char *wrong;
} mapping;

static uint16_t place_of(const marty__saga_definition *definition, uint16_t node)
{
    uint16_t place = 0, at = definition->nodes[definition->nodes[node].parent].first;
    for (; at != node; at = definition->nodes[at].next) {
        place++;
    }
    return place;
}

static uint16_t at_place(const marty__saga_definition *definition, uint16_t parent, uint16_t place)
{
    uint16_t at = definition->nodes[parent].first;
    for (; at != MARTY__SAGA_NONE && place > 0; place--) {
        at = definition->nodes[at].next;
    }
    return at;
}

static uint16_t by_name(const marty__saga_definition *definition, const char *name)
{
    for (uint16_t i = 0; i < definition->node_count; i++) {
        if (definition->nodes[i].name && strcmp(definition->nodes[i].name, name) == 0) {
            return i;
        }
    }
    return MARTY__SAGA_NONE;
}

/* Parents come first, as nodes are in the order of the document. */
static bool map_node(mapping *m, uint16_t node)
{
    const marty__saga_node *from = &m->from->nodes[node];
    if (m->nodes[node] != MARTY__SAGA_NONE) {
        return true;
    }
    if (node != 0 && !map_node(m, from->parent)) {
        return false;
    }
    uint16_t to = node == 0    ? 0
                  : from->name ? by_name(m->to, from->name)
                               : at_place(m->to, m->nodes[from->parent], place_of(m->from, node));
    if (to == MARTY__SAGA_NONE || m->to->nodes[to].kind != from->kind) {
        m->wrong = to == MARTY__SAGA_NONE ? "is not in the new definition"
                                          : "is of another kind in the new definition";
        return false;
    }
    if (node != 0 && m->to->nodes[to].parent != m->nodes[from->parent]) {
        m->wrong = "is elsewhere in the new definition";
        return false;
    }
    m->nodes[node] = to;
    return true;
}

/* Steps of the new definition before one that has begun, in the same sequence, would never run; nor
 * would those at the end of a sequence that is over. */
static bool would_skip(const mapping *m, const inside *in, uint32_t slot)
{
    const marty__saga_slot *own = marty__saga_slot_at(in, slot);
    const marty__saga_node *to = &m->to->nodes[m->nodes[own->node]];
    if (slot == 0 || m->to->nodes[to->parent].kind != MARTY__SAGA_SEQUENCE ||
        in->state.phase != MARTY__SAGA_RUNNING) { /* backwards nothing new runs anyway */
        return false;
    }
    const marty__saga_slot *around = marty__saga_slot_at(in, own->parent);
    if (around->last == slot && around->status == MARTY__SAGA_DONE &&
        to->next != MARTY__SAGA_NONE) {
        return true;
    }
    uint16_t first = m->to->nodes[to->parent].first;
    if (own->before) {
        first = m->to->nodes[m->nodes[marty__saga_slot_at(in, own->before)->node]].next;
    }
    return first != to->index;
}

static bool map_slots(mapping *m, inside *in)
{
    for (uint32_t i = 0; i < in->state.slot_count; i++) {
        bool found = map_node(m, marty__saga_slot_at(in, i)->node);
        if (!found || would_skip(m, in, i)) {
            const marty__saga_node *node = marty__saga_node_at(in, i);
            const char *text = marty__arena_format(
                &in->arena, "step %s %s", node->name ? marty__saga_path(in, i) : "(a body)",
                found ? "has begun, and a step that is new beside it would never run" : m->wrong);
            (void)marty__saga_fail(in, MARTY_E_STATE, text ? text : "cannot be migrated");
            return false;
        }
    }
    return true;
}

static void emit_migrated(inside *in, const mapping *m)
{
    marty__buffer nodes = {0};
    for (uint32_t i = 0; i < in->state.slot_count; i++) {
        marty__wire_put(&nodes, m->nodes[marty__saga_slot_at(in, i)->node]);
    }
    const char *copy = nodes.size ? marty__arena_text(&in->arena, nodes.data, nodes.size) : "";
    if (nodes.failed || !copy) {
        (void)marty__saga_fail(in, MARTY_E_NO_MEMORY, "out of memory");
    } else {
        marty__saga_emit(
            in, &(marty__saga_entry){.kind = MARTY__ENTRY_MIGRATED,
                                     .b = {{m->to->hash, sizeof m->to->hash}, {copy, nodes.size}}});
    }
    marty__buffer_free(&nodes);
}

void marty__saga_on_migrate(inside *in, const marty__saga_definition *to)
{
    mapping m = {.from = in->definition, .to = to};
    if (!in->state.version) {
        marty__saga_ignore(in, MARTY__SAGA_IGNORED_UNKNOWN);
        return;
    }
    if (marty__saga_ended(&in->state)) {
        marty__saga_ignore(in, MARTY__SAGA_IGNORED_ENDED);
        return;
    }
    if (memcmp(in->state.definition, to->hash, sizeof to->hash) == 0) {
        marty__saga_ignore(in, MARTY__SAGA_IGNORED_DUPLICATE);
        return;
    }
    m.nodes = marty__arena_alloc(&in->arena, m.from->node_count * sizeof *m.nodes);
    if (!m.nodes) {
        (void)marty__saga_fail(in, MARTY_E_NO_MEMORY, "out of memory");
        return;
    }
    memset(m.nodes, 0xff, m.from->node_count * sizeof *m.nodes);
    if (!map_slots(&m, in) || marty__saga_seen(in, "verb", in->event->id)) {
        marty__saga_ignore(in, MARTY__SAGA_IGNORED_DUPLICATE);
        return;
    }
    emit_migrated(in, &m);
    in->definition = to;
}
