/* SPDX-License-Identifier: Apache-2.0
 * A hash table of objects that carry their own link: putting and taking never allocate once there
 * is room, and taking leaves nothing behind, so a table that turns over all day stays as it is.
 * With the broker's lock held. */
#include "memory.h"

static node **bucket(const table *t, uint64_t hash)
{
    return &t->buckets[hash & (t->capacity - 1)];
}

node *marty__mem_table_get(const table *t, uint64_t hash)
{
    node *found = t->capacity ? *bucket(t, hash) : NULL;
    while (found && found->hash != hash) {
        found = found->next;
    }
    return found;
}

bool marty__mem_table_reserve(table *t)
{
    if (t->count < t->capacity) {
        return true;
    }
    table bigger = {.capacity = t->capacity ? t->capacity * 2 : 16};
    bigger.buckets = marty_alloc_zero(bigger.capacity, sizeof(node *));
    if (!bigger.buckets) {
        return false;
    }
    for (size_t i = 0; i < t->capacity; i++) {
        for (node *each = t->buckets[i], *next; each; each = next) {
            next = each->next;
            marty__mem_table_put(&bigger, each);
        }
    }
    marty_free(t->buckets);
    *t = bigger;
    return true;
}

void marty__mem_table_put(table *t, node *n)
{
    node **head = bucket(t, n->hash);
    n->next = *head;
    *head = n;
    t->count++;
}

void marty__mem_table_take(table *t, node *n)
{
    node **at = bucket(t, n->hash);
    while (*at != n) {
        at = &(*at)->next;
    }
    *at = n->next;
    t->count--;
}
