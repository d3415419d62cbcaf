/* SPDX-License-Identifier: Apache-2.0
 * Patterns over names of segments joined by ".": "*" stands for one segment, ">" for one or more at
 * the end; and a table of many patterns, each with its values, whose cost to match does not grow
 * with the patterns that do not match. Functions of patterns are pure; a table is locked by its
 * caller. */
#ifndef MARTY_BUS_MATCH_H
#define MARTY_BUS_MATCH_H
#include <marty/backend.h>

enum { MARTY__PATTERN_ROOM = 1024 }; /* an intersection may be longer than both */

/** Whether it is a pattern: 1 to 255 bytes of UTF-8, up to 32 segments, none empty, wildcards whole
 * segments. E: ARGUMENT, saying what is wrong. */
marty_err marty__pattern_check(const char *pattern, marty_error *why);
/** Whether a type (any string) matches. */
bool marty__pattern_matches(const char *pattern, const char *type);
/** Whether one type could match both. */
bool marty__pattern_overlaps(const char *a, const char *b);
/** Whether all that matches `narrow` matches `wide` too. */
bool marty__pattern_covers(const char *wide, const char *narrow);
/** The pattern of what matches both, in ret; false when nothing does. a and b together: at most
 * MARTY__PATTERN_ROOM - 2 bytes. */
bool marty__pattern_intersect(const char *a, const char *b, char ret[MARTY__PATTERN_ROOM]);
/** Whether it contains a wildcard. */
bool marty__pattern_wild(const char *pattern);

typedef struct marty__match marty__match;
/** An empty table, or NULL without memory. */
marty__match *marty__match_new(void);
/** Free the table, not the values; NULL is fine. */
void marty__match_free(marty__match *match);
/** Add a value (not NULL) under a checked pattern; a pattern may have many. E: NO_MEMORY, nothing
 * changed then. */
marty_err marty__match_add(marty__match *match, const char *pattern, void *value);
/** Take it out again; fine when it is not there. Never allocates. */
void marty__match_remove(marty__match *match, const char *pattern, void *value);
/** One value whose pattern matches, NULL when none does. */
void *marty__match_first(const marty__match *match, const char *type);
/** One value whose pattern overlaps this one, NULL when none does. */
void *marty__match_overlap(const marty__match *match, const char *pattern);
#endif
