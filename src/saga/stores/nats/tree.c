/* SPDX-License-Identifier: Apache-2.0
 * Sagas in three orders: by id, by when they are due, by how long their outbox is unsent. Each is a
 * search tree kept balanced by chance (a treap). Locked by the owner. */
#include "kv.h"

#include <string.h>

static int compare(const kv_entry *a, const kv_entry *b, kv_order order)
{
    int64_t left = order == KV_BY_DUE ? a->facts.due_us : a->facts.changed_us;
    int64_t right = order == KV_BY_DUE ? b->facts.due_us : b->facts.changed_us;
    if (order != KV_BY_ID && left != right) {
        return left < right ? -1 : 1;
    }
    return strcmp(a->facts.id, b->facts.id);
}

static bool belongs(const kv_entry *entry, kv_order order)
{
    return order == KV_BY_ID ||
           (!entry->gone &&
            (order == KV_BY_DUE ? entry->facts.due_us != INT64_MAX : entry->facts.unsent));
}

/* Where whoever is above an entry points to it. */
static kv_entry **place_of(kv_trees *trees, kv_entry *entry, kv_order order)
{
    kv_entry *up = entry->nodes[order].up;
    return !up                              ? &trees->roots[order]
           : up->nodes[order].left == entry ? &up->nodes[order].left
                                            : &up->nodes[order].right;
}

/* The entry goes up by one, in place of the one above it. */
static void rotate(kv_trees *trees, kv_entry *entry, kv_order order)
{
    kv_entry *up = entry->nodes[order].up, *moved = NULL;
    *place_of(trees, up, order) = entry;
    entry->nodes[order].up = up->nodes[order].up;
    if (up->nodes[order].left == entry) {
        moved = up->nodes[order].left = entry->nodes[order].right;
        entry->nodes[order].right = up;
    } else {
        moved = up->nodes[order].right = entry->nodes[order].left;
        entry->nodes[order].left = up;
    }
    up->nodes[order].up = entry;
    if (moved) {
        moved->nodes[order].up = up;
    }
}

static void insert(kv_trees *trees, kv_entry *entry, kv_order order)
{
    kv_entry **place = &trees->roots[order], *up = NULL;
    while (*place) {
        up = *place;
        place = compare(entry, up, order) < 0 ? &up->nodes[order].left : &up->nodes[order].right;
    }
    *place = entry;
    entry->nodes[order] = (kv_node){.up = up};
    while ((up = entry->nodes[order].up) != NULL && up->weight < entry->weight) {
        rotate(trees, entry, order);
    }
}

static void take_out(kv_trees *trees, kv_entry *entry, kv_order order)
{
    kv_node *node = &entry->nodes[order];
    while (node->left && node->right) {
        rotate(trees, node->left->weight > node->right->weight ? node->left : node->right, order);
    }
    kv_entry *below = node->left ? node->left : node->right;
    *place_of(trees, entry, order) = below;
    if (below) {
        below->nodes[order].up = node->up;
    }
}

static kv_entry *find(const kv_trees *trees, const char *id)
{
    kv_entry *at = trees->roots[KV_BY_ID];
    int order = 0;
    while (at && (order = strcmp(id, at->facts.id)) != 0) {
        at = order < 0 ? at->nodes[KV_BY_ID].left : at->nodes[KV_BY_ID].right;
    }
    return at;
}

static void drop(kv_trees *trees, kv_entry *entry)
{
    for (kv_order order = KV_BY_ID; order < KV_ORDERS; order++) {
        if (belongs(entry, order)) {
            take_out(trees, entry, order);
        }
    }
    marty_free(entry);
}

static const char *keep(char **at, const char *text)
{
    size_t size = text ? strlen(text) + 1 : 1;
    char *copy = *at;
    memcpy(copy, text ? text : "", size);
    *at += size;
    return copy;
}

static size_t size_of(const char *text)
{
    return text ? strlen(text) + 1 : 1;
}

bool kv_trees_put(kv_trees *trees, const marty_saga_facts *facts, uint64_t seq, int64_t at_us,
                  bool gone)
{
    kv_entry *old = find(trees, facts->id);
    if (old && old->seq >= seq) {
        return true;
    }
    kv_entry *entry =
        marty_alloc(sizeof *entry + size_of(facts->id) + size_of(facts->name) +
                    size_of(facts->key) + size_of(facts->definition) + size_of(facts->stuck));
    if (!entry) {
        return false;
    }
    char *at = (char *)(entry + 1);
    trees->chance = trees->chance * UINT64_C(6364136223846793005) + 1442695040888963407;
    *entry = (kv_entry){.facts = *facts,
                        .seq = seq,
                        .at_us = at_us,
                        .gone = gone,
                        .weight = (uint32_t)(trees->chance >> 32)};
    entry->facts.id = keep(&at, facts->id);
    entry->facts.name = keep(&at, facts->name);
    entry->facts.key = keep(&at, facts->key);
    entry->facts.definition = keep(&at, facts->definition);
    entry->facts.stuck = keep(&at, facts->stuck);
    if (old) {
        drop(trees, old);
    }
    for (kv_order order = KV_BY_ID; order < KV_ORDERS; order++) {
        if (belongs(entry, order)) {
            insert(trees, entry, order);
        }
    }
    return true;
}

void kv_trees_forget(kv_trees *trees, const char *id)
{
    kv_entry *entry = find(trees, id);
    if (entry) {
        drop(trees, entry);
    }
}

void kv_trees_free(kv_trees *trees)
{
    kv_entry *entry = NULL;
    while ((entry = trees->roots[KV_BY_ID]) != NULL) {
        drop(trees, entry);
    }
}

kv_entry *kv_trees_first(const kv_trees *trees, kv_order order, const char *after)
{
    kv_entry *at = trees->roots[order], *found = NULL;
    while (at) {
        bool behind = !after || strcmp(at->facts.id, after) > 0;
        found = behind ? at : found;
        at = behind ? at->nodes[order].left : at->nodes[order].right;
    }
    return found;
}

kv_entry *kv_trees_next(kv_entry *entry, kv_order order)
{
    kv_entry *at = entry->nodes[order].right;
    if (at) {
        while (at->nodes[order].left) {
            at = at->nodes[order].left;
        }
        return at;
    }
    at = entry;
    while (at->nodes[order].up && at->nodes[order].up->nodes[order].right == at) {
        at = at->nodes[order].up;
    }
    return at->nodes[order].up;
}
