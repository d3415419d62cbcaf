/* SPDX-License-Identifier: Apache-2.0
 * The writes of a batch as the parameters of one statement: an array for each column, in the binary
 * form of the wire (as array_recv reads it), so that nothing is formatted here and parsed there. */
#include "postgres.h"

#include <stddef.h>
#include <string.h>

typedef enum value_kind { /* what a column holds, by the number of its type in the catalogue */
                          BOOLEAN = 16,
                          BYTES = 17,
                          LONG = 20,
                          SHORT = 23,
                          TEXT = 25
} value_kind;

enum { HEAD_BYTES = 20, SIZE_BYTES = 4 };

/* In the order of the parameters of marty_saga_write, behind what fences. */
static const struct {
    value_kind kind;
    size_t at;
} columns[] = {{TEXT, offsetof(marty_saga_write, facts.id)},
               {TEXT, offsetof(marty_saga_write, facts.name)},
               {TEXT, offsetof(marty_saga_write, facts.key)},
               {TEXT, offsetof(marty_saga_write, facts.definition)},
               {TEXT, offsetof(marty_saga_write, facts.stuck)},
               {SHORT, offsetof(marty_saga_write, facts.status)},
               {BOOLEAN, offsetof(marty_saga_write, facts.paused)},
               {SHORT, offsetof(marty_saga_write, facts.shard)},
               {LONG, offsetof(marty_saga_write, facts.version)},
               {LONG, offsetof(marty_saga_write, facts.started_us)},
               {LONG, offsetof(marty_saga_write, facts.changed_us)},
               {LONG, offsetof(marty_saga_write, facts.due_us)},
               {BOOLEAN, offsetof(marty_saga_write, facts.unsent)},
               {BYTES, offsetof(marty_saga_write, state)},
               {BYTES, offsetof(marty_saga_write, outbox)},
               {BYTES, offsetof(marty_saga_write, history)}};
enum { COLUMNS = sizeof columns / sizeof *columns };
_Static_assert(sizeof(marty_saga_status) == sizeof(uint32_t), "status is read as its bits");

static char *put_number(char *at, uint64_t value, size_t size)
{
    for (size_t i = size; i > 0; i--) {
        *at++ = (char)(unsigned char)(value >> (8 * (i - 1)));
    }
    return at;
}

static char *put_head(char *at, value_kind kind, size_t count)
{
    const uint64_t head[] = {1, 0, kind, count, 1}; /* dimensions, nulls, type; size, first index */
    for (size_t i = 0; i < sizeof head / sizeof *head; i++) {
        at = put_number(at, head[i], 4);
    }
    return at;
}

static marty_bytes bytes_of(const void *field, value_kind kind)
{
    const char *text = NULL;
    marty_bytes bytes = {"", 0};
    if (kind == BYTES) {
        memcpy(&bytes, field, sizeof bytes);
    } else {
        memcpy(&text, field, sizeof text);
        bytes = text ? (marty_bytes){text, strlen(text)} : bytes;
    }
    return bytes;
}

static size_t size_of(const void *field, value_kind kind)
{
    switch (kind) {
    case BOOLEAN:
        return 1;
    case SHORT:
        return 4;
    case LONG:
        return 8;
    case TEXT:
    case BYTES:
        break;
    }
    return bytes_of(field, kind).size;
}

static char *put_field(char *at, const void *field, value_kind kind)
{
    uint64_t value = 0;
    uint32_t half = 0;
    size_t size = size_of(field, kind);
    at = put_number(at, size, SIZE_BYTES);
    if (kind == BYTES || kind == TEXT) {
        marty_bytes bytes = bytes_of(field, kind);
        if (size) {
            memcpy(at, bytes.data, size);
        }
        return at + size;
    }
    if (kind == LONG) {
        memcpy(&value, field, sizeof value);
    } else if (kind == SHORT) {
        memcpy(&half, field, sizeof half);
        value = half;
    } else {
        value = *(const bool *)field;
    }
    return put_number(at, value, size);
}

static const void *field_of(const marty_saga_write *write, size_t column)
{
    return (const char *)write + columns[column].at;
}

static size_t room_for(marty_saga_write *const writes[], size_t count)
{
    size_t size = (size_t)COLUMNS * HEAD_BYTES;
    for (size_t i = 0; i < count; i++) {
        for (size_t column = 0; column < COLUMNS; column++) {
            size += SIZE_BYTES + size_of(field_of(writes[i], column), columns[column].kind);
        }
    }
    return size;
}

/* ---- what fences: a pair of shard and epoch for each epoch that is named. A shard is locked where
 * it is first named, so that comes first and in the order of shards. */
static char *put_pairs(char *at, marty_saga_write *const writes[], size_t count, bool epochs)
{
    uint64_t first[MARTY_SAGA_SHARDS] = {0};
    char *head = at;
    size_t pairs = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t *epoch = &first[writes[i]->facts.shard % MARTY_SAGA_SHARDS];
        *epoch = *epoch ? *epoch : writes[i]->epoch;
    }
    at += HEAD_BYTES;
    for (uint32_t shard = 0; shard < MARTY_SAGA_SHARDS; shard++) {
        if (first[shard]) {
            at = put_field(at, epochs ? (void *)&first[shard] : (void *)&shard,
                           epochs ? LONG : SHORT);
            pairs++;
        }
    }
    for (size_t i = 0; i < count; i++) {
        uint32_t shard = writes[i]->facts.shard % MARTY_SAGA_SHARDS;
        if (writes[i]->epoch && writes[i]->epoch != first[shard]) {
            at = put_field(at, epochs ? (void *)&writes[i]->epoch : (void *)&shard,
                           epochs ? LONG : SHORT);
            pairs++;
        }
    }
    (void)put_head(head, epochs ? LONG : SHORT, pairs);
    return at;
}

char *pg_fence_parameters(pg_parameters *to, const marty_saga_store *store,
                          marty_saga_write *const writes[], size_t count)
{
    size_t shards_size = HEAD_BYTES + count * (SIZE_BYTES + 4);
    size_t epochs_size = HEAD_BYTES + count * (SIZE_BYTES + 8);
    char *space = marty_alloc(shards_size + epochs_size);
    if (!space) {
        return NULL;
    }
    char *epochs = put_pairs(space, writes, count, false);
    char *end = put_pairs(epochs, writes, count, true);
    to->count = 0;
    pg_text(to, store->token);
    pg_number(to, (int64_t)atomic_load(&store->generation));
    pg_bytes(to, (marty_bytes){space, (size_t)(epochs - space)});
    pg_bytes(to, (marty_bytes){epochs, (size_t)(end - epochs)});
    return space;
}

char *pg_row_parameters(pg_parameters *to, marty_saga_write *const writes[], size_t count)
{
    char *space = marty_alloc(room_for(writes, count)), *at = space;
    for (size_t column = 0; space && column < COLUMNS; column++) {
        char *first = at;
        at = put_head(at, columns[column].kind, count);
        for (size_t i = 0; i < count; i++) {
            at = put_field(at, field_of(writes[i], column), columns[column].kind);
        }
        pg_bytes(to, (marty_bytes){first, (size_t)(at - first)});
    }
    return space;
}

char *pg_text_array(pg_parameters *to, const char *const texts[], size_t count)
{
    size_t size = HEAD_BYTES;
    for (size_t i = 0; i < count; i++) {
        size += SIZE_BYTES + strlen(texts[i]);
    }
    char *space = marty_alloc(size), *at = space;
    if (space) {
        at = put_head(at, TEXT, count);
        for (size_t i = 0; i < count; i++) {
            at = put_field(at, &texts[i], TEXT);
        }
        pg_bytes(to, (marty_bytes){space, size});
    }
    return space;
}
