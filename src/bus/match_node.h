/* SPDX-License-Identifier: Apache-2.0
 * Inside the table of patterns, for match.c (which changes it) and match_find.c (which asks it): a
 * trie by segments. Two hash tables serve all of its nodes: `edges` finds the child of a node by
 * its segment, `exact` finds the node of a whole name, so that a pattern without wildcard costs one
 * lookup and a walk follows only paths that lead to wildcards (`wild` counts them). A node lives as
 * long as it has a value or a child. Locked by the caller. */
#ifndef MARTY_BUS_MATCH_NODE_H
#define MARTY_BUS_MATCH_NODE_H
#include "match.h"
#include "match_room.h"

typedef struct marty__match_node marty__match_node;
struct marty__match_node {
    marty__match_node *next, *before; /* siblings among literal children */
    uint64_t edge_hash;
    uint32_t value_room, wild_literal; /* patterns with a wildcard below literal children */
    marty__match_node *child, *parent, *star, *tail; /* child: a literal one; tail: the child ">" */
    /* What most look-ups read, in one line: among a million nodes none is in the cache. */
    void **values, *one;        /* values points at one, until there are two */
    uint32_t value_count, wild; /* wild: patterns with wildcards at or below it */
    uint16_t size, segment_at;  /* of path: all, and where its last segment begins */
    bool path_wild;
    char path[];
};
_Static_assert(offsetof(marty__match_node, values) == MARTY__LINE, "a line begins there");
_Static_assert(sizeof(marty__match_node) + 256 <= MARTY__LINE * MARTY__ROOM_LINES,
               "a pattern has up to 255 bytes");
typedef struct marty__match_slot {
    uint64_t hash;
    marty__match_node *node;
} marty__match_slot;
typedef struct marty__match_table {
    marty__match_slot *slots;
    size_t capacity, count;
} marty__match_table;
struct marty__match {
    marty__match_node *root;
    marty__match_table edges, exact;
    marty__match_room room;
};

/** The child of a node by a segment that is no wildcard, or NULL. */
marty__match_node *marty__match_child(const marty__match *match, const marty__match_node *parent,
                                      const char *segment, size_t size);
/** Hash of that child in `edges`. */
uint64_t marty__match_edge_hash(const marty__match_node *parent, const char *segment, size_t size);
/** Bytes of the segment at `at`. */
MARTY_INLINE size_t marty__match_segment(const char *at)
{
    const char *dot = strchr(at, '.');
    return dot ? (size_t)(dot - at) : strlen(at);
}
/** What follows that segment: NULL at the end of the name. */
MARTY_INLINE const char *marty__match_after(const char *at, size_t size)
{
    return at[size] ? at + size + 1 : NULL;
}
#endif
