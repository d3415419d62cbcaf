/* SPDX-License-Identifier: Apache-2.0
 * De-duplication by (channel, group, source, id) within a window. A row and an index entry for each
 * id would cost a third of a publish. Our ids are UUIDv7, which begin with the time they were made,
 * so: ids made within 2 s of now are kept in one row ("block") for each transaction, and the newest
 * 64 Ki of them in memory, in two halves of which the older one is dropped; what was dropped is
 * older than the horizon. A fresh id needs no read at all but the blocks that others added. Ids
 * that are older, of other forms, scheduled, or of dead letters have a row each ("name"). Both
 * kinds are asked, so it is exact. The writer's thread. */
#include "seen.h"

#include "base/alloc.h"
#include "base/hash.h"

#include <endian.h>
#include <string.h>

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

/* Eight hex digits as four bytes, all of them at once; false when one is none. */
static bool parse_digits(const char *text, unsigned char out[4])
{
    uint64_t word;
    memcpy(&word, text, sizeof word);
    word = le64toh(word);
    uint64_t letter = word >> 6 & EACH(1);
    uint64_t value = (word & EACH(0x0f)) + 9 * letter;
    uint64_t above_nine = (value + EACH(6)) >> 4 & EACH(1);
    uint64_t again = value + EACH('0') + ('a' - '0' - 10) * above_nine;
    if (value & EACH(0xf0) || again != (word | letter << 5)) {
        return false;
    }
    value = (value << 4 | value >> 8) & UINT64_C(0x00ff00ff00ff00ff);
    value = (value | value >> 8) & UINT64_C(0x0000ffff0000ffff);
    uint32_t bytes = htole32((uint32_t)(value | value >> 16));
    memcpy(out, &bytes, sizeof bytes);
    return true;
}

/* 16 bytes of a UUIDv7 in its usual text. */
static bool parse_uuid7(const char *id, unsigned char out[SQ_SEEN_BYTES])
{
    char digits[2 * SQ_SEEN_BYTES];
    if (strnlen(id, 37) != 36 || id[8] != '-' || id[13] != '-' || id[18] != '-' || id[23] != '-') {
        return false;
    }
    memcpy(digits, id, 8);
    memcpy(digits + 8, id + 9, 4);
    memcpy(digits + 12, id + 14, 4);
    memcpy(digits + 16, id + 19, 4);
    memcpy(digits + 20, id + 24, 12);
    return parse_digits(digits, out) && parse_digits(digits + 8, out + 4) &&
           parse_digits(digits + 16, out + 8) && parse_digits(digits + 24, out + 12) &&
           out[6] >> 4 == 7;
}

static int64_t time_of(const unsigned char uuid[SQ_SEEN_BYTES])
{
    int64_t ms = 0;
    for (size_t i = 0; i < 6; i++) {
        ms = ms << 8 | uuid[i];
    }
    return ms;
}

/* What else makes a message the same: where it goes and where it is from. */
static uint64_t context_of(const sq_channel *channel, const char *group, const char *source)
{
    unsigned char text[600];
    size_t size = sizeof channel->id, group_size = group ? strlen(group) + 1 : 0;
    size_t source_size = strlen(source);
    memcpy(text, &channel->id, size);
    if (group_size + source_size + size > sizeof text) {
        uint64_t hashes[3] = {(uint64_t)channel->id,
                              group ? marty__hash_stable(group, group_size) : 0,
                              marty__hash_stable(source, source_size)};
        return marty__hash_stable(hashes, sizeof hashes);
    }
    if (group) {
        memcpy(text + size, group, group_size);
    }
    memcpy(text + size + group_size, source, source_size);
    return marty__hash_stable(text, size + group_size + source_size);
}

/* Most messages of a round have the context of the one before. */
static uint64_t context_again(sq_seen_set *seen, const sq_channel *channel, const char *group,
                              const char *source)
{
    if (!group && seen->context_channel == channel->id &&
        strcmp(seen->context_source, source) == 0) {
        return seen->context;
    }
    uint64_t context = context_of(channel, group, source);
    size_t size = strlen(source) + 1;
    if (!group && size <= sizeof seen->context_source) {
        memcpy(seen->context_source, source, size);
        seen->context_channel = channel->id;
        seen->context = context;
    }
    return context;
}

void marty__sq_seen_name(const sq_channel *channel, const char *group, const marty_message *message,
                         int64_t ret_name[3])
{
    unsigned char uuid[SQ_SEEN_BYTES];
    uint64_t context = context_of(channel, group, message->source);
    uint64_t b = marty__hash_stable(message->id, strlen(message->id));
    uint64_t mixed[2] = {context, b};
    ret_name[0] = parse_uuid7(message->id, uuid);
    ret_name[1] = (int64_t)marty__hash_stable(mixed, sizeof mixed);
    ret_name[2] = (int64_t)(b ^ context << 1);
}

/* ---- the names: a row each */
static int64_t cutoff(const marty_port *port)
{
    return port->now_us - port->options.dedup_us;
}

static int name_seen(marty_port *port, const int64_t name[3], bool *ret_seen)
{
    int64_t one = 0;
    return marty__sq_get(&port->db, SQ_SEEN_NAME_FIND,
                         SQ_I(name[0], name[1], name[2], cutoff(port)), &one, 1, ret_seen);
}

static int add_name(marty_port *port, const int64_t name[3], bool *ret_seen)
{
    int code = marty__sq_do(&port->db, SQ_SEEN_NAME, 0,
                            SQ_I(name[0], name[1], name[2], port->now_us, cutoff(port)));
    *ret_seen = !code && sqlite3_changes(port->db.handle) == 0;
    if (!code && !*ret_seen) {
        memcpy(port->seen->undo, name, sizeof port->seen->undo);
        port->seen->undo_name = true;
        port->seen->any_late = port->seen->any_late || name[0];
    }
    return code;
}

int marty__sq_seen_forget(marty_port *port, const int64_t name[3])
{
    return marty__sq_do(&port->db, SQ_SEEN_NAME_FORGET, 0, SQ_I(name[0], name[1], name[2]));
}

/* ---- the blocks */
/* In a block that was written when ids of that time were fresh. */
static int block_seen(marty_port *port, const unsigned char entry[SQ_SEEN_BYTES], int64_t ms,
                      bool *ret_seen)
{
    int code;
    sqlite3_stmt *rows = marty__sq_statement(&port->db, SQ_SEEN_AT, 0, &code);
    code = code ? code : marty__sq_bind(rows, SQ_I(ms));
    while (!code && !*ret_seen && (code = marty__sq_step(&port->db, rows)) == SQLITE_ROW) {
        code = SQLITE_OK;
        const unsigned char *entries = sqlite3_column_blob(rows, 1);
        int size = sqlite3_column_bytes(rows, 1);
        bool inside = sqlite3_column_int64(rows, 0) >= cutoff(port);
        for (int at = 0; inside && entries && at + SQ_SEEN_BYTES <= size && !*ret_seen;
             at += SQ_SEEN_BYTES) {
            *ret_seen = memcmp(entries + at, entry, SQ_SEEN_BYTES) == 0;
        }
    }
    if (rows) {
        (void)sqlite3_reset(rows);
    }
    return code == SQLITE_DONE ? SQLITE_OK : code;
}

/* So near to now that whatever holds it in memory is inside the window. */
static bool is_fresh(const marty_port *port, int64_t ms)
{
    int64_t half = port->options.dedup_us / 2000, now = port->wall_us / 1000;
    int64_t near = half < SQ_SEEN_FRESH_MS ? half : SQ_SEEN_FRESH_MS;
    return ms >= port->seen->horizon_ms && ms >= now - near && ms <= now + near;
}

static int late_seen(marty_port *port, const unsigned char entry[SQ_SEEN_BYTES], int64_t ms,
                     const int64_t name[3], bool *ret_seen)
{
    *ret_seen = marty__sq_seen_pending(port->seen, entry);
    int code = *ret_seen ? SQLITE_OK : block_seen(port, entry, ms, ret_seen);
    return code || *ret_seen ? code : add_name(port, name, ret_seen);
}

/* The same id means another message elsewhere. */
static void mix(unsigned char key[SQ_SEEN_BYTES], uint64_t context)
{
    uint64_t halves[SQ_SEEN_BYTES / 8];
    context = htole64(context);
    memcpy(halves, key, sizeof halves);
    halves[0] ^= context;
    halves[1] ^= context;
    memcpy(key, halves, sizeof halves);
}

int marty__sq_seen_before(marty_port *port, const sq_entry *entry, bool fresh, bool *ret_seen)
{
    unsigned char key[SQ_SEEN_BYTES];
    int64_t name[3];
    const marty_message *message = entry->message;
    *ret_seen = false;
    if (!port->options.dedup_us) {
        return SQLITE_OK;
    }
    int code = marty__sq_seen_sync(port);
    if (code) {
        return code;
    }
    port->seen->undo_name = false;
    if (!parse_uuid7(message->id, key)) {
        marty__sq_seen_name(entry->channel, entry->group, message, name);
        return add_name(port, name, ret_seen);
    }
    int64_t ms = time_of(key);
    uint64_t context = context_again(port->seen, entry->channel, entry->group, message->source);
    mix(key, context);
    fresh = fresh && is_fresh(port, ms);
    if (!fresh || port->seen->any_late) {
        marty__sq_seen_name(entry->channel, entry->group, message, name);
        code = name_seen(port, name, ret_seen);
    }
    if (code || *ret_seen) {
        return code;
    }
    if (!fresh) {
        return late_seen(port, key, ms, name, ret_seen);
    }
    *ret_seen = !marty__sq_seen_add(port->seen, key, ms);
    return SQLITE_OK;
}

int marty__sq_seen_undo(marty_port *port)
{
    if (!port->seen) {
        return SQLITE_OK;
    }
    if (port->seen->undo_name) {
        port->seen->undo_name = false;
        return marty__sq_seen_forget(port, port->seen->undo);
    }
    marty__sq_seen_drop_last(port->seen);
    return SQLITE_OK;
}
