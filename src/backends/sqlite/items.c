/* SPDX-License-Identifier: Apache-2.0
 * The messages of a claim as bytes: runs of neighbours with the same attempt and lease, each with
 * its keys if there are any. A claim of 64 fresh messages in a row is some 20 bytes. Pure. */
#include "work.h"

#include "base/alloc.h"
#include "base/wire.h"

enum { VERSION = 1, HELD_MAX = 1 << 20 };

static bool follows(const sq_held *run, size_t count, const sq_held *next)
{
    return next->message == run->message + (int64_t)count && next->attempt == run->attempt &&
           next->lease_us == run->lease_us && (next->key == 0) == (run->key == 0);
}

static void put_run(marty__buffer *out, const sq_held run[], size_t count)
{
    marty__wire_put(out, (uint64_t)run[0].message);
    marty__wire_put(out, count);
    marty__wire_put(out, run[0].attempt);
    marty__wire_put(out, (uint64_t)run[0].lease_us);
    marty__wire_put(out, run[0].key != 0);
    for (size_t i = 0; i < count && run[0].key; i++) {
        marty__buffer_add(out, &run[i].key, sizeof run[i].key);
    }
}

int64_t marty__sq_held_pack(marty__buffer *out, const sq_held held[], size_t count)
{
    int64_t lease_us = INT64_MAX;
    marty__buffer_byte(out, VERSION);
    for (size_t first = 0, next; first < count; first = next) {
        for (next = first + 1; next < count && follows(&held[first], next - first, &held[next]);) {
            next++;
        }
        put_run(out, &held[first], next - first);
        lease_us = held[first].lease_us < lease_us ? held[first].lease_us : lease_us;
    }
    return lease_us;
}

/* What the round leaves of it: not those that it settles, extended ones with their new lease. */
int64_t marty__sq_items_pack(marty_port *port, const sq_claim *claim)
{
    size_t count = 0;
    marty__buffer_clear(&port->body);
    sq_held *held = marty_alloc(claim->count * sizeof *held);
    if (!held) {
        port->body.failed = true;
        return 0;
    }
    for (uint32_t i = 0; i < claim->count; i++) {
        const sq_item *item = &claim->items[i];
        if (!item->over && !item->leaving && !item->gone) {
            held[count++] =
                (sq_held){.message = item->message,
                          .key = item->key,
                          .lease_us = item->extended_us ? item->extended_us : item->lease_us,
                          .attempt = item->attempt};
        }
    }
    int64_t lease_us = marty__sq_held_pack(&port->body, held, count);
    marty_free(held);
    return lease_us;
}

/* ---- reading */
static int get_run(marty__wire *from, sq_held **held, size_t *count)
{
    sq_held run = {.message = (int64_t)marty__wire_number(from)};
    uint64_t size = marty__wire_some(from, HELD_MAX);
    run.attempt = (uint32_t)marty__wire_number(from);
    run.lease_us = (int64_t)marty__wire_number(from);
    bool keys = marty__wire_number(from) != 0;
    if (from->broken || (keys && size * sizeof run.key > (size_t)(from->end - from->at))) {
        return SQLITE_CORRUPT;
    }
    sq_held *more = marty_realloc(*held, (*count + (size_t)size) * sizeof *more);
    if (!more) {
        return SQLITE_NOMEM;
    }
    *held = more;
    for (uint64_t i = 0; i < size; i++) {
        if (keys) {
            marty__wire_raw(from, &run.key, sizeof run.key);
        }
        more[(*count)++] = run;
        run.message++;
    }
    return SQLITE_OK;
}

int marty__sq_items_unpack(const void *blob, size_t size, sq_held **ret_held, size_t *ret_count)
{
    marty__wire from = {.at = blob, .end = (const uint8_t *)blob + size};
    int code = size && *from.at++ == VERSION ? SQLITE_OK : SQLITE_CORRUPT;
    *ret_held = NULL;
    *ret_count = 0;
    while (!code && from.at < from.end) {
        code = get_run(&from, ret_held, ret_count);
    }
    if (code) {
        marty_free(*ret_held);
        *ret_held = NULL;
        *ret_count = 0;
    }
    return code;
}
