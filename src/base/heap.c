/* SPDX-License-Identifier: Apache-2.0
 * Pairing heap of timers. Not thread-safe. */
#include "heap.h"

static marty__timer *meld(marty__timer *a, marty__timer *b)
{
    if (!a || !b) {
        return a ? a : b;
    }
    if (b->at_ns < a->at_ns) {
        marty__timer *other = a;
        a = b;
        b = other;
    }
    b->next = a->child;
    if (b->next) {
        b->next->before = b;
    }
    b->before = a;
    a->child = b;
    a->next = a->before = NULL;
    return a;
}

static marty__timer *meld_pairs(marty__timer *first)
{
    marty__timer *pairs = NULL; /* melded pairs, last first */
    while (first) {
        marty__timer *second = first->next, *rest = second ? second->next : NULL;
        first->next = first->before = NULL;
        if (second) {
            second->next = second->before = NULL;
        }
        marty__timer *pair = meld(first, second);
        pair->next = pairs;
        pairs = pair;
        first = rest;
    }
    marty__timer *root = NULL;
    while (pairs) {
        marty__timer *rest = pairs->next;
        pairs->next = NULL;
        root = meld(root, pairs);
        pairs = rest;
    }
    return root;
}

void marty__heap_remove(marty__heap *heap, marty__timer *timer)
{
    if (!timer->armed) {
        return;
    }
    if (timer == heap->root) {
        heap->root = meld_pairs(timer->child);
    } else {
        if (timer->before->child == timer) {
            timer->before->child = timer->next;
        } else {
            timer->before->next = timer->next;
        }
        if (timer->next) {
            timer->next->before = timer->before;
        }
        heap->root = meld(heap->root, meld_pairs(timer->child));
    }
    timer->child = timer->next = timer->before = NULL;
    timer->armed = false;
}

void marty__heap_add(marty__heap *heap, marty__timer *timer, int64_t at_ns)
{
    marty__heap_remove(heap, timer);
    timer->at_ns = at_ns;
    timer->child = timer->next = timer->before = NULL;
    timer->armed = true;
    heap->root = meld(heap->root, timer);
}

int64_t marty__heap_next_ns(const marty__heap *heap)
{
    return heap->root ? heap->root->at_ns : INT64_MAX;
}

marty__timer *marty__heap_pop(marty__heap *heap, int64_t now_ns)
{
    marty__timer *first = heap->root;
    if (!first || first->at_ns > now_ns) {
        return NULL;
    }
    marty__heap_remove(heap, first);
    return first;
}
