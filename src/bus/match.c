/* SPDX-License-Identifier: Apache-2.0
 * Adding patterns to the table and taking them out. Removing never allocates, so a subscription can
 * always end. Locked by the caller. */
#include "match_node.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/hash.h"

#include <string.h>

typedef marty__match_node node;
typedef marty__match_slot slot;
typedef marty__match_table table;

static bool table_reserve(table *t)
{
    if (t->count + 1 <= t->capacity / 8 * 5) {
        return true;
    }
    size_t capacity = t->capacity ? t->capacity * 2 : 16;
    slot *slots = marty_alloc_zero(capacity, sizeof *slots);
    if (!slots) {
        return false;
    }
    marty__match_room_advise(slots, capacity * sizeof *slots);
    for (size_t i = 0; i < t->capacity; i++) {
        if (t->slots[i].node) {
            size_t at = t->slots[i].hash & (capacity - 1);
            while (slots[at].node) {
                at = (at + 1) & (capacity - 1);
            }
            slots[at] = t->slots[i];
        }
    }
    marty_free(t->slots);
    t->slots = slots;
    t->capacity = capacity;
    return true;
}

static void table_put(table *t, uint64_t hash, node *value)
{
    size_t at = hash & (t->capacity - 1);
    while (t->slots[at].node) {
        at = (at + 1) & (t->capacity - 1);
    }
    t->slots[at] = (slot){hash, value};
    t->count++;
}

/* Takes it out and moves later ones of its run back, so that no mark is left to slow a lookup. */
static void table_take(table *t, uint64_t hash, const node *value)
{
    size_t mask = t->capacity - 1, hole = hash & mask;
    while (t->slots[hole].node != value) {
        marty__assert(t->slots[hole].node);
        hole = (hole + 1) & mask;
    }
    for (size_t at = (hole + 1) & mask; t->slots[at].node; at = (at + 1) & mask) {
        size_t home = t->slots[at].hash & mask;
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            t->slots[hole] = t->slots[at];
            hole = at;
        }
    }
    t->slots[hole].node = NULL;
    t->count--;
}

static node *child_of(const marty__match *match, const node *parent, const char *segment,
                      size_t size)
{
    if (size == 1 && segment[0] == '*') {
        return parent->star;
    }
    if (size == 1 && segment[0] == '>') {
        return parent->tail;
    }
    return marty__match_child(match, parent, segment, size);
}

static node *new_node(marty__match *match, node *parent, const char *pattern, size_t segment_at,
                      size_t size)
{
    node *made = marty__match_room_take(&match->room, sizeof *made + size + 1);
    if (made) {
        made->parent = parent;
        made->size = (uint16_t)size;
        made->segment_at = (uint16_t)segment_at;
        made->values = &made->one;
        made->value_room = 1;
        memcpy(made->path, pattern, size);
    }
    return made;
}

static node *add_child(marty__match *match, node *parent, const char *pattern, size_t segment_at,
                       size_t size)
{
    const char *segment = pattern + segment_at;
    size_t segment_bytes = size - segment_at;
    bool wildcard = segment_bytes == 1 && (segment[0] == '*' || segment[0] == '>');
    if (!wildcard && !table_reserve(&match->edges)) {
        return NULL;
    }
    node *made = new_node(match, parent, pattern, segment_at, size);
    if (!made) {
        return NULL;
    }
    made->path_wild = parent->path_wild || wildcard;
    if (wildcard) {
        *(segment[0] == '*' ? &parent->star : &parent->tail) = made;
        return made;
    }
    made->edge_hash = marty__match_edge_hash(parent, segment, segment_bytes);
    table_put(&match->edges, made->edge_hash, made);
    made->next = parent->child;
    if (parent->child) {
        parent->child->before = made;
    }
    parent->child = made;
    return made;
}

static void unlink_node(marty__match *match, node *leaf)
{
    node *parent = leaf->parent;
    if (parent->star == leaf) {
        parent->star = NULL;
    } else if (parent->tail == leaf) {
        parent->tail = NULL;
    } else {
        table_take(&match->edges, leaf->edge_hash, leaf);
        *(leaf->before ? &leaf->before->next : &parent->child) = leaf->next;
        if (leaf->next) {
            leaf->next->before = leaf->before;
        }
    }
}

static void free_node(marty__match *match, node *old)
{
    if (old->values != &old->one) {
        marty_free(old->values);
    }
    marty__match_room_give(&match->room, old, sizeof *old + old->size + 1u);
}

/* Frees this node and those above it that hold nothing any more; the root stays. */
static void prune(marty__match *match, node *at)
{
    while (at->parent && !at->value_count && !at->child && !at->star && !at->tail) {
        node *parent = at->parent;
        unlink_node(match, at);
        free_node(match, at);
        at = parent;
    }
}

static void count_wild(node *at, bool add)
{
    for (; at; at = at->parent) {
        at->wild = add ? at->wild + 1 : at->wild - 1;
        if (at->parent && at != at->parent->star && at != at->parent->tail) {
            uint32_t *literal = &at->parent->wild_literal;
            *literal = add ? *literal + 1 : *literal - 1;
        }
    }
}

static bool reserve_value(node *at)
{
    if (at->value_count < at->value_room) {
        return true;
    }
    uint32_t room = at->value_room * 2;
    void **values = marty_alloc(room * sizeof *values);
    if (!values) {
        return false;
    }
    memcpy(values, at->values, at->value_count * sizeof *values);
    if (at->values != &at->one) {
        marty_free(at->values);
    }
    at->values = values;
    at->value_room = room;
    return true;
}

marty_err marty__match_add(marty__match *match, const char *pattern, void *value)
{
    marty__assert(value);
    node *at = match->root;
    for (const char *segment = pattern; segment;) {
        size_t size = marty__match_segment(segment);
        node *child = child_of(match, at, segment, size);
        if (!child) {
            size_t segment_at = (size_t)(segment - pattern);
            child = add_child(match, at, pattern, segment_at, segment_at + size);
        }
        if (!child) {
            prune(match, at);
            return MARTY_E_NO_MEMORY;
        }
        at = child;
        segment = marty__match_after(segment, size);
    }
    bool index = !at->path_wild && !at->value_count;
    if (!reserve_value(at) || (index && !table_reserve(&match->exact))) {
        prune(match, at);
        return MARTY_E_NO_MEMORY;
    }
    if (index) {
        table_put(&match->exact, marty__hash(at->path, at->size), at);
    } else if (!at->value_count) {
        count_wild(at, true);
    }
    at->values[at->value_count++] = value;
    return MARTY_OK;
}

static node *node_of(const marty__match *match, const char *pattern)
{
    node *at = match->root;
    for (const char *segment = pattern; at && segment;) {
        size_t size = marty__match_segment(segment);
        at = child_of(match, at, segment, size);
        segment = marty__match_after(segment, size);
    }
    return at;
}

void marty__match_remove(marty__match *match, const char *pattern, void *value)
{
    node *at = node_of(match, pattern);
    uint32_t i = 0;
    while (at && i < at->value_count && at->values[i] != value) {
        i++;
    }
    if (!at || i == at->value_count) {
        return;
    }
    at->value_count--;
    memmove(&at->values[i], &at->values[i + 1], (at->value_count - i) * sizeof *at->values);
    if (at->value_count) {
        return;
    }
    if (at->path_wild) {
        count_wild(at, false);
    } else {
        table_take(&match->exact, marty__hash(at->path, at->size), at);
    }
    prune(match, at);
}

marty__match *marty__match_new(void)
{
    marty__match *match = marty_alloc_zero(1, sizeof *match);
    if (match) {
        match->root = new_node(match, NULL, "", 0, 0);
    }
    if (match && !match->root) {
        marty_free(match);
        return NULL;
    }
    return match;
}

void marty__match_free(marty__match *match)
{
    if (!match) {
        return;
    }
    for (node *at = match->root; at;) { /* leaves first; no stack, whatever the depth */
        node *below = at->child ? at->child : at->star ? at->star : at->tail;
        if (below) {
            *(at->child ? &at->child : at->star ? &at->star : &at->tail) = below->next;
            below->next = NULL;
            at = below;
            continue;
        }
        node *parent = at->parent;
        free_node(match, at);
        at = parent;
    }
    marty__match_room_free(&match->room);
    marty_free(match->edges.slots);
    marty_free(match->exact.slots);
    marty_free(match);
}
