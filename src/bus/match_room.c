/* SPDX-License-Identifier: Apache-2.0
 * Room for the nodes of a table of patterns. */
#include "match_room.h"

#include "base/alloc.h"
#include "base/assert.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { CHUNK_MIN = 4096, CHUNK_MAX = 64 * 1024 * 1024, LARGE = 8 * 1024 * 1024 };

void marty__match_room_advise(void *block, size_t size)
{
    if (size < LARGE) {
        return;
    }
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t first = ((uintptr_t)block + page - 1) / page * page;
    uintptr_t end = ((uintptr_t)block + size) / page * page;
    (void)madvise((unsigned char *)block + (first - (uintptr_t)block), end - first, MADV_HUGEPAGE);
}

static size_t lines_of(size_t size)
{
    size_t lines = (size + MARTY__LINE - 1) / MARTY__LINE;
    marty__assert(lines && lines <= MARTY__ROOM_LINES);
    return lines;
}

static bool add_chunk(marty__match_room *room)
{
    size_t bytes = room->chunk_bytes ? room->chunk_bytes * 2 : CHUNK_MIN;
    bytes = bytes > CHUNK_MAX ? CHUNK_MAX : bytes;
    unsigned char *chunk = marty_alloc(bytes);
    if (!chunk) {
        return false;
    }
    marty__match_room_advise(chunk, bytes);
    marty__match_piece *first = (marty__match_piece *)(void *)chunk;
    first->next = room->chunks;
    room->chunks = first;
    room->chunk_bytes = bytes;
    room->at = chunk + MARTY__LINE + (MARTY__LINE - (uintptr_t)chunk % MARTY__LINE) % MARTY__LINE;
    room->end = chunk + bytes;
    return true;
}

void *marty__match_room_take(marty__match_room *room, size_t size)
{
    size_t lines = lines_of(size), bytes = lines * MARTY__LINE;
    marty__match_piece *again = room->given_back[lines];
    if (again) {
        room->given_back[lines] = again->next;
        return memset(again, 0, bytes);
    }
    if ((size_t)(room->end - room->at) < bytes && !add_chunk(room)) {
        return NULL;
    }
    void *taken = room->at;
    room->at += bytes;
    return memset(taken, 0, bytes);
}

void marty__match_room_give(marty__match_room *room, void *taken, size_t size)
{
    marty__match_piece *piece = taken, **list = &room->given_back[lines_of(size)];
    piece->next = *list;
    *list = piece;
}

void marty__match_room_free(marty__match_room *room)
{
    while (room->chunks) {
        marty__match_piece *chunk = room->chunks;
        room->chunks = chunk->next;
        marty_free(chunk);
    }
}
