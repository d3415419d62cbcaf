/* SPDX-License-Identifier: Apache-2.0
 * Asking the table of patterns: what matches a type, what overlaps a pattern. Finding changes
 * nothing, so many may ask at once under a lock for reading. */
#include "match_node.h"

#include "base/hash.h"

#include <string.h>

typedef marty__match_node node;
typedef marty__match_table table;

uint64_t marty__match_edge_hash(const node *parent, const char *segment, size_t size)
{
    uint64_t mixed =
        marty__hash(segment, size) ^ ((uint64_t)(uintptr_t)parent * 0x9e3779b97f4a7c15u);
    return mixed ^ (mixed >> 29);
}

node *marty__match_child(const marty__match *match, const node *parent, const char *segment,
                         size_t size)
{
    const table *t = &match->edges;
    uint64_t hash = marty__match_edge_hash(parent, segment, size);
    for (size_t at = hash & (t->capacity - 1); t->capacity && t->slots[at].node;
         at = (at + 1) & (t->capacity - 1)) {
        node *found = t->slots[at].node;
        if (t->slots[at].hash == hash && found->parent == parent &&
            (size_t)(found->size - found->segment_at) == size &&
            memcmp(found->path + found->segment_at, segment, size) == 0) {
            return found;
        }
    }
    return NULL;
}

static node *exact_node(const marty__match *match, const char *type)
{
    const table *t = &match->exact;
    if (!t->count) {
        return NULL;
    }
    size_t size = strlen(type);
    uint64_t hash = marty__hash(type, size);
    for (size_t at = hash & (t->capacity - 1); t->slots[at].node;
         at = (at + 1) & (t->capacity - 1)) {
        node *found = t->slots[at].node;
        if (t->slots[at].hash == hash && found->size == size &&
            memcmp(found->path, type, size) == 0) {
            return found;
        }
    }
    return NULL;
}

static void *value_of(const node *at)
{
    return at->value_count ? at->values[0] : NULL;
}

/* Of the patterns with wildcards below `at`, those that match the rest of a type. */
static void *walk_type(const marty__match *match, const node *at, const char *rest)
{
    if (!rest) {
        return at->path_wild ? value_of(at) : NULL;
    }
    void *found = at->tail ? value_of(at->tail) : NULL;
    size_t size = marty__match_segment(rest);
    const char *next = marty__match_after(rest, size);
    if (!found && at->wild_literal) {
        const node *child = marty__match_child(match, at, rest, size);
        found = child && child->wild ? walk_type(match, child, next) : NULL;
    }
    if (!found && at->star) {
        found = walk_type(match, at->star, next);
    }
    return found;
}

void *marty__match_first(const marty__match *match, const char *type)
{
    const node *exact = exact_node(match, type);
    void *found = exact ? value_of(exact) : NULL;
    return found || !match->root->wild ? found : walk_type(match, match->root, type);
}

/* Every node has a value at or below it, the root of an empty table aside. */
static void *any_value(const node *at)
{
    while (at && !at->value_count) {
        at = at->child ? at->child : at->star ? at->star : at->tail;
    }
    return at ? at->values[0] : NULL;
}

static void *overlap(const marty__match *match, const node *at, const char *rest)
{
    if (!rest) {
        return at->value_count ? at->values[0] : NULL;
    }
    if (at->tail) {
        return at->tail->values[0];
    }
    size_t size = marty__match_segment(rest);
    const char *next = marty__match_after(rest, size);
    bool any = size == 1 && (rest[0] == '*' || rest[0] == '>');
    void *found = NULL;
    if (any && rest[0] == '>') {
        return at->child ? any_value(at->child) : at->star ? any_value(at->star) : NULL;
    }
    for (const node *child = at->child; any && child && !found; child = child->next) {
        found = overlap(match, child, next);
    }
    if (!any) {
        const node *child = marty__match_child(match, at, rest, size);
        found = child ? overlap(match, child, next) : NULL;
    }
    return found || !at->star ? found : overlap(match, at->star, next);
}

void *marty__match_overlap(const marty__match *match, const char *pattern)
{
    return overlap(match, match->root, pattern);
}
