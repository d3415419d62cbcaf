/* SPDX-License-Identifier: Apache-2.0
 * The ids in memory, and how they follow the blocks in the database: before its first publish in a
 * round the writer takes in what others added (it holds the write lock, so nothing comes after),
 * at its end it adds its own block, and what was rolled back is taken out again. */
#include "seen.h"

#include "base/alloc.h"

#include <string.h>

/* Where to look, and below it 16 bits more. Ids that were made together lie together: eight
 * neighbours in time, which is how the first half of an entry ends, share a line of the cache. */
static uint32_t hash_of(const unsigned char entry[SQ_SEEN_BYTES])
{
    uint64_t a, b;
    memcpy(&a, entry, sizeof a);
    memcpy(&b, entry + sizeof a, sizeof b);
    a = __builtin_bswap64(a);
    uint32_t line = (uint32_t)((a >> 3) * 0x9e3779b97f4a7c15u >> 52);
    uint32_t place = line << 4 | (uint32_t)(a & 7) << 1;
    return place << 16 | (uint32_t)((a ^ b) * 0xff51afd7ed558ccdu >> 48);
}
_Static_assert(SQ_SEEN_SLOTS == 1 << 16, "a place is 12 bits of line, 4 of slot");

/* A slot: the index + 1 below, the hash's other 16 bits above, so that others are seldom looked at.
 */
static uint32_t index_of(uint32_t slot)
{
    return (slot & 0xffff) - 1;
}

/* The slot that holds it, or the empty one where it would be. */
static uint32_t probe(const sq_seen_half *half, const unsigned char entry[SQ_SEEN_BYTES],
                      uint32_t hash)
{
    uint32_t at = hash >> 16;
    for (uint32_t slot; (slot = half->slots[at]) != 0; at = (at + 1) % SQ_SEEN_SLOTS) {
        if (slot >> 16 == (hash & 0xffff) &&
            memcmp(half->entries[index_of(slot)], entry, SQ_SEEN_BYTES) == 0) {
            break;
        }
    }
    return at;
}

static void put(sq_seen_set *seen, const unsigned char entry[SQ_SEEN_BYTES], int64_t ms)
{
    sq_seen_half *half = seen->halves[0];
    uint32_t hash = hash_of(entry), slot = probe(half, entry, hash);
    if (half->slots[slot]) {
        return;
    }
    memcpy(half->entries[half->count++], entry, SQ_SEEN_BYTES);
    half->slots[slot] = half->count | hash << 16;
    half->last_ms = ms > half->last_ms ? ms : half->last_ms;
    seen->last_slot = slot;
}

static void rotate(sq_seen_set *seen)
{
    sq_seen_half *oldest = seen->halves[1];
    if (oldest->count && oldest->last_ms >= seen->horizon_ms) {
        seen->horizon_ms = oldest->last_ms + 1;
    }
    oldest->count = 0;
    oldest->last_ms = 0;
    memset(oldest->slots, 0, sizeof oldest->slots);
    seen->halves[1] = seen->halves[0];
    seen->halves[0] = oldest;
}

static void make_room(sq_seen_set *seen, uint32_t count)
{
    if (seen->halves[0]->count + count > SQ_SEEN_HALF) {
        rotate(seen);
    }
}

bool marty__sq_seen_add(sq_seen_set *seen, const unsigned char entry[SQ_SEEN_BYTES], int64_t ms)
{
    uint32_t before = seen->halves[0]->count;
    const sq_seen_half *older = seen->halves[1];
    if (older->count && older->slots[probe(older, entry, hash_of(entry))]) {
        return false;
    }
    put(seen, entry, ms);
    if (seen->halves[0]->count == before) {
        return false;
    }
    bool first = before == seen->pending;
    seen->first_ms = first || ms < seen->first_ms ? ms : seen->first_ms;
    seen->last_ms = first || ms > seen->last_ms ? ms : seen->last_ms;
    return true;
}

bool marty__sq_seen_pending(const sq_seen_set *seen, const unsigned char entry[SQ_SEEN_BYTES])
{
    uint32_t slot = seen->halves[0]->slots[probe(seen->halves[0], entry, hash_of(entry))];
    return slot && index_of(slot) >= seen->pending;
}

void marty__sq_seen_drop_last(sq_seen_set *seen)
{
    sq_seen_half *half = seen->halves[0];
    if (half->count > seen->pending && index_of(half->slots[seen->last_slot]) == half->count - 1) {
        half->slots[seen->last_slot] = 0;
        half->count--;
    }
}

static int start(marty_port *port, sq_seen_set *seen)
{
    bool found = false;
    seen->horizon_ms = port->wall_us / 1000 - SQ_SEEN_FRESH_MS;
    int code =
        marty__sq_get(&port->db, SQ_SEEN_START, SQ_I(seen->horizon_ms), &seen->last_id, 1, &found);
    seen->started = code == SQLITE_OK;
    return code;
}

static int make(marty_port *port)
{
    sq_seen_set *seen = marty_alloc_zero(1, sizeof *seen);
    if (!seen) {
        return SQLITE_NOMEM;
    }
    port->seen = seen;
    seen->halves[0] = marty_alloc_zero(1, sizeof *seen->halves[0]);
    seen->halves[1] = marty_alloc_zero(1, sizeof *seen->halves[1]);
    if (!seen->halves[0] || !seen->halves[1]) {
        marty__sq_seen_free(port);
        return SQLITE_NOMEM;
    }
    return SQLITE_OK;
}

static int take_blocks(marty_port *port, sq_seen_set *seen)
{
    int code;
    sqlite3_stmt *rows = marty__sq_statement(&port->db, SQ_SEEN_NEW, 0, &code);
    code = code ? code : marty__sq_bind(rows, SQ_I(seen->last_id));
    while (!code && (code = marty__sq_step(&port->db, rows)) == SQLITE_ROW) {
        code = SQLITE_OK;
        const unsigned char *entries = sqlite3_column_blob(rows, 2);
        int size = entries ? sqlite3_column_bytes(rows, 2) : 0;
        int64_t last_ms = sqlite3_column_int64(rows, 1);
        make_room(seen, (uint32_t)size / SQ_SEEN_BYTES);
        for (int at = 0; at + SQ_SEEN_BYTES <= size && at < SQ_SEEN_HALF * SQ_SEEN_BYTES;
             at += SQ_SEEN_BYTES) {
            put(seen, entries + at, last_ms);
        }
        seen->last_id = sqlite3_column_int64(rows, 0);
    }
    if (rows) {
        (void)sqlite3_reset(rows);
    }
    return code == SQLITE_DONE ? SQLITE_OK : code;
}

int marty__sq_seen_sync(marty_port *port)
{
    int64_t one = 0;
    int code = port->seen ? SQLITE_OK : make(port);
    sq_seen_set *seen = port->seen;
    if (code || seen->round == port->round) {
        return code;
    }
    code = seen->started ? SQLITE_OK : start(port, seen);
    code = code ? code : take_blocks(port, seen);
    code =
        code ? code : marty__sq_get(&port->db, SQ_SEEN_NAME_ANY, NULL, 0, &one, 1, &seen->any_late);
    if (!code) {
        make_room(seen, SQ_ROUND);
        seen->pending = seen->halves[0]->count;
        seen->saved_id = seen->last_id;
        seen->round = port->round;
    }
    return code;
}

/* The first block of a span says what times the one before is of. */
static int save_span(marty_port *port, int64_t id)
{
    return marty__sq_do(&port->db, SQ_SEEN_SPAN, 0, SQ_I(id - SQ_SEEN_SPAN_BLOCKS, id));
}

int marty__sq_seen_save(marty_port *port)
{
    sq_seen_set *seen = port->seen;
    if (!seen || seen->round != port->round || seen->halves[0]->count == seen->pending) {
        return SQLITE_OK;
    }
    int code;
    const sq_seen_half *half = seen->halves[0];
    size_t count = half->count - seen->pending;
    sqlite3_stmt *add = marty__sq_statement(&port->db, SQ_SEEN_ADD, 0, &code);
    code = code ? code : marty__sq_bind(add, SQ_I(port->now_us, seen->first_ms, seen->last_ms));
    code = code ? code
                : sqlite3_bind_blob64(add, 4, half->entries[seen->pending], count * SQ_SEEN_BYTES,
                                      SQLITE_STATIC);
    code = code ? code : marty__sq_run(&port->db, add);
    if (!code) {
        seen->saved_id = sqlite3_last_insert_rowid(port->db.handle);
        code = seen->saved_id % SQ_SEEN_SPAN_BLOCKS ? code : save_span(port, seen->saved_id);
    }
    return code;
}

/* As if the pending ones had never been put in. */
static void take_back(sq_seen_set *seen)
{
    sq_seen_half *half = seen->halves[0];
    half->count = seen->pending;
    memset(half->slots, 0, sizeof half->slots);
    for (uint32_t i = 0; i < half->count; i++) {
        uint32_t hash = hash_of(half->entries[i]);
        half->slots[probe(half, half->entries[i], hash)] = (i + 1) | hash << 16;
    }
}

void marty__sq_seen_end(marty_port *port, bool committed)
{
    sq_seen_set *seen = port->seen;
    if (!seen || seen->round != port->round) {
        return;
    }
    if (committed) {
        seen->last_id = seen->saved_id;
        seen->pending = seen->halves[0]->count;
    } else if (seen->halves[0]->count > seen->pending) {
        take_back(seen);
    }
    seen->round = 0;
}

void marty__sq_seen_free(marty_port *port)
{
    if (port->seen) {
        marty_free(port->seen->halves[0]);
        marty_free(port->seen->halves[1]);
        marty_free(port->seen);
        port->seen = NULL;
    }
}
