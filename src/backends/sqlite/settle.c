/* SPDX-License-Identifier: Apache-2.0
 * Settling in a round. Each claim that is touched is first compared with its row: what others took
 * from it meanwhile, because its lease ran out or the group was moved, is LOST and nothing is done
 * for it. Then its messages are settled one by one and its row is written once, or removed. The
 * writer's thread. */
#include "work.h"

#include "base/alloc.h"

#include <stdlib.h>

static void touch_claim(marty_port *port, sq_claim *claim)
{
    if (!claim->dirty.next) {
        marty__list_push(&port->dirty_claims, &claim->dirty);
    }
}

static void mark(marty_port *port)
{
    for (marty__link *at = port->work_extends.next; at != &port->work_extends; at = at->next) {
        sq_item *item = MARTY__OWNER(at, sq_item, extending);
        marty__lock(&port->lock);
        int64_t extend_us = (int64_t)item->extend_ms * 1000;
        marty__unlock(&port->lock);
        int64_t lease_us = extend_us ? extend_us : item->claim->sub->lease_us;
        item->extended_us = port->now_us + lease_us;
        touch_claim(port, item->claim);
    }
    for (marty__link *at = port->work_settles.next; at != &port->work_settles; at = at->next) {
        sq_item *item = MARTY__OWNER(at, sq_item, link);
        item->leaving = true;
        item->result = MARTY_OK;
        touch_claim(port, item->claim);
    }
}

static int by_message(const void *a, const void *b)
{
    int64_t left = ((const sq_held *)a)->message, right = ((const sq_held *)b)->message;
    return left < right ? -1 : left > right;
}

/* Others changed the row: what is no longer in it is gone. */
static int compare(sq_claim *claim, const void *blob, size_t size)
{
    sq_held *held = NULL;
    size_t count = 0;
    int code = marty__sq_items_unpack(blob, size, &held, &count);
    if (code) {
        return code;
    }
    if (count) {
        qsort(held, count, sizeof *held, by_message);
    }
    for (uint32_t i = 0; i < claim->count; i++) {
        sq_held key = {.message = claim->items[i].message};
        const sq_held *found = count ? bsearch(&key, held, count, sizeof *held, by_message) : NULL;
        claim->items[i].gone = claim->items[i].gone || !found;
    }
    marty_free(held);
    return SQLITE_OK;
}

static int check_claim(marty_port *port, sq_claim *claim)
{
    int code;
    sqlite3_stmt *row = marty__sq_statement(&port->db, SQ_CLAIM_ITEMS, 0, &code);
    code = code ? code
                : marty__sq_bind(
                      row, SQ_I(claim->sub->grp, (int64_t)port->member, (int64_t)claim->serial));
    code = code ? code : marty__sq_step(&port->db, row);
    if (code == SQLITE_DONE) {
        claim->lost = true;
        code = SQLITE_OK;
    } else if (code == SQLITE_ROW) {
        int64_t version = sqlite3_column_int64(row, 0);
        code = version == claim->version ? SQLITE_OK
                                         : compare(claim, sqlite3_column_blob(row, 1),
                                                   (size_t)sqlite3_column_bytes(row, 1));
        claim->version = code ? claim->version : version;
    }
    if (row) {
        (void)sqlite3_reset(row);
    }
    for (uint32_t i = 0; i < claim->count && claim->lost; i++) {
        claim->items[i].gone = true;
    }
    return code;
}

int marty__sq_wait_again(marty_port *port, int64_t grp, const sq_held *held, uint32_t attempt,
                         int64_t due_us)
{
    int code;
    sq_log *log = NULL;
    sqlite3_stmt *add = marty__sq_statement(&port->db, SQ_RETRY_ADD, 0, &code);
    code = code ? code : marty__sq_bind(add, SQ_I(grp, held->message, attempt, due_us, held->key));
    code = code || held->key ? code : sqlite3_bind_null(add, 5);
    code = code ? code : marty__sq_run(&port->db, add);
    code = code ? code : marty__sq_log_load(port, marty__sq_log_of(held->message), &log);
    if (!code && log) {
        marty__sq_touch(port, log->bit);
    }
    return code;
}

static int wait_item(marty_port *port, const sq_item *item)
{
    bool counted = item->verb == MARTY_SETTLE_RETRY;
    sq_held held = {.message = item->message, .key = item->key};
    uint32_t attempt = counted || !item->attempt ? item->attempt : item->attempt - 1;
    int64_t due_us = port->now_us + (int64_t)item->delay_ms * 1000;
    marty__sq_feed(port, item->claim->sub);
    return marty__sq_wait_again(port, item->claim->sub->grp, &held, attempt, due_us);
}

/* Store the dead letter; without success the message stays where it is. */
static int bury(marty_port *port, sq_item *item)
{
    if (!item->dead) {
        return SQLITE_OK;
    }
    item->dead->deadline_ns = 0;
    int code = marty__sq_publish_apply(port, item->dead);
    if (!code && item->dead->err) {
        item->result = item->dead->err;
        item->leaving = false;
    }
    return code;
}

/* Whether the message itself goes when it is settled: no other group can want it. */
static int is_own(marty_port *port, const sq_claim *claim, int64_t message, bool *ret_own)
{
    sq_log *log = NULL;
    *ret_own = claim->sub->channel->kind == MARTY_KIND_QUEUE;
    if (*ret_own) {
        return SQLITE_OK;
    }
    int code = marty__sq_log_load(port, marty__sq_log_of(message), &log);
    *ret_own = log && log->grp;
    return code;
}

static int settle_items(marty_port *port, sq_claim *claim)
{
    int64_t done[SQ_CLAIM_MAX];
    uint32_t bytes[SQ_CLAIM_MAX];
    size_t count = 0;
    int code = SQLITE_OK;
    for (uint32_t i = 0; i < claim->count && !code; i++) {
        sq_item *item = &claim->items[i];
        bool own = false;
        if (!item->leaving || item->gone || item->over) {
            continue;
        }
        if (item->verb == MARTY_SETTLE_RETRY || item->verb == MARTY_SETTLE_GIVE_BACK) {
            code = wait_item(port, item);
            continue;
        }
        code = item->verb == MARTY_SETTLE_REJECT ? bury(port, item) : SQLITE_OK;
        code = code || !item->leaving ? code : is_own(port, claim, item->message, &own);
        if (own && item->leaving) {
            done[count] = item->message;
            bytes[count++] = item->bytes;
        }
    }
    return code ? code : marty__sq_log_remove(port, done, bytes, count);
}

static int save_claim(marty_port *port, sq_claim *claim)
{
    int code;
    int64_t id[6] = {claim->sub->grp, (int64_t)port->member, (int64_t)claim->serial,
                     claim->version};
    uint32_t left = 0;
    for (uint32_t i = 0; i < claim->count; i++) {
        const sq_item *item = &claim->items[i];
        left += !item->over && !item->leaving && !item->gone;
    }
    if (claim->lost || !left) {
        return claim->lost ? SQLITE_OK : marty__sq_do(&port->db, SQ_CLAIM_REMOVE, 0, id, 3);
    }
    id[4] = marty__sq_items_pack(port, claim);
    if (port->body.failed) {
        marty__buffer_free(&port->body);
        return SQLITE_NOMEM;
    }
    sqlite3_stmt *save = marty__sq_statement(&port->db, SQ_CLAIM_SAVE, 0, &code);
    code = code ? code : marty__sq_bind(save, id, 5);
    code =
        code ? code : sqlite3_bind_blob64(save, 6, port->body.data, port->body.size, SQLITE_STATIC);
    return code ? code : marty__sq_run(&port->db, save);
}

/* A key is free again: others may have passed over messages of it. */
static int wake_others(marty_port *port, const sq_claim *claim)
{
    int64_t any = 0;
    bool found = false;
    if (!claim->sub->ordered) {
        return SQLITE_OK;
    }
    marty__sq_feed(port, claim->sub);
    int code = marty__sq_get(&port->db, SQ_RETRY_ANY, SQ_I(claim->sub->grp, 1), &any, 1, &found);
    if (!code && any) {
        sq_log *log = NULL;
        code = marty__sq_log_load(port, marty__sq_log_of(claim->items[0].message), &log);
        if (log) {
            marty__sq_touch(port, log->bit);
        }
    }
    return code;
}

int marty__sq_settle_apply(marty_port *port)
{
    int code = SQLITE_OK;
    mark(port);
    for (marty__link *at = port->dirty_claims.next; at != &port->dirty_claims && !code;
         at = at->next) {
        sq_claim *claim = MARTY__OWNER(at, sq_claim, dirty);
        code = claim->lost ? SQLITE_OK : check_claim(port, claim);
        code = code ? code : settle_items(port, claim);
        code = code ? code : save_claim(port, claim);
        code = code ? code : wake_others(port, claim);
    }
    return code;
}

int marty__sq_give_back_all(marty_port *port, sq_sub *sub)
{
    int code = SQLITE_OK;
    for (marty__link *at = sub->claims.next; at != &sub->claims && !code; at = at->next) {
        sq_claim *claim = MARTY__OWNER(at, sq_claim, link);
        code = claim->lost ? SQLITE_OK : check_claim(port, claim);
        for (uint32_t i = 0; i < claim->count && !code && !claim->lost; i++) {
            const sq_item *item = &claim->items[i];
            sq_held held = {.message = item->message, .key = item->key};
            if (!item->over && !item->leaving && !item->gone) {
                code = marty__sq_wait_again(port, sub->grp, &held, item->attempt - 1, port->now_us);
            }
        }
        code = code || claim->lost
                   ? code
                   : marty__sq_do(&port->db, SQ_CLAIM_REMOVE, 0,
                                  SQ_I(sub->grp, (int64_t)port->member, (int64_t)claim->serial));
    }
    return code;
}
