/* SPDX-License-Identifier: Apache-2.0
 * Where the nodes of one table of patterns lie: whole lines of the cache, cut from chunks that
 * double, so that a node begins where a line begins and a large table lies on few large pages.
 * What is given back is used again for a node of as many lines; chunks go when the table goes.
 * Locked by the caller. */
#ifndef MARTY_BUS_MATCH_ROOM_H
#define MARTY_BUS_MATCH_ROOM_H
#include <marty/backend.h>

enum { MARTY__LINE = 64, MARTY__ROOM_LINES = 7 };

typedef struct marty__match_piece {
    struct marty__match_piece *next;
} marty__match_piece;
typedef struct marty__match_room {
    marty__match_piece *chunks;                            /* each begins with this */
    marty__match_piece *given_back[MARTY__ROOM_LINES + 1]; /* by lines */
    unsigned char *at, *end;
    size_t chunk_bytes;
} marty__match_room;

/** Zeroed room of up to MARTY__ROOM_LINES lines, at the beginning of a line; NULL without memory.
 */
void *marty__match_room_take(marty__match_room *room, size_t size);
/** Give it back; size as it was taken. */
void marty__match_room_give(marty__match_room *room, void *taken, size_t size);
/** Free all of it. */
void marty__match_room_free(marty__match_room *room);
/** Ask for large pages for a large block: a look-up touches few of its bytes, far apart. */
void marty__match_room_advise(void *block, size_t size);
#endif
