/* SPDX-License-Identifier: Apache-2.0
 * A claim in the making: rows read, deliveries made of them, and one row that says who has them.
 * Its memory is made at the first message. The writer's thread. */
#include "work.h"

#include "base/alloc.h"

void marty__sq_row_columns(sqlite3_stmt *statement, sq_row *ret_row)
{
    ret_row->id = sqlite3_column_int64(statement, 0);
    ret_row->at_us = sqlite3_column_int64(statement, 1);
    ret_row->expires_us = sqlite3_column_int64(statement, 2);
    ret_row->key = sqlite3_column_int64(statement, 3);
    ret_row->body = sqlite3_column_blob(statement, 4);
    ret_row->size = (size_t)sqlite3_column_bytes(statement, 4);
}

bool marty__sq_taking_full(const marty_port *port, const sq_taking *taking)
{
    return (taking->claim && taking->claim->count >= taking->room) || !taking->room ||
           port->delivery_bytes >= SQ_ROUND_BYTES || taking->expired_count >= SQ_EXPIRED_MAX;
}

static sq_claim *claim_new(marty_port *port, sq_sub *sub, uint32_t room)
{
    sq_claim *claim = marty_alloc(sizeof *claim + room * sizeof(sq_item));
    if (!claim) {
        return NULL;
    }
    *claim = (sq_claim){.serial = ++port->serial, .sub = sub, .version = 1};
    marty__lock(&port->lock);
    bool put = marty__map_put_u64(&port->claims, claim->serial, claim);
    marty__unlock(&port->lock);
    if (!put) {
        marty_free(claim);
        return NULL;
    }
    marty__list_push(&port->new_claims, &claim->link);
    return claim;
}

static bool has_expired(const marty_port *port, const sq_row *row)
{
    return row->expires_us && row->expires_us <= port->now_us;
}

int marty__sq_taking_add(marty_port *port, sq_taking *taking, const sq_row *row, uint32_t attempt)
{
    if (has_expired(port, row)) {
        taking->expired[taking->expired_count] = row->id;
        taking->expired_bytes[taking->expired_count++] = (uint32_t)row->size;
        return SQLITE_OK;
    }
    if (!taking->claim) {
        taking->claim = claim_new(port, taking->sub, taking->room);
    }
    sq_delivery *delivery = taking->claim ? marty__sq_delivery_add(port) : NULL;
    if (!delivery) {
        return SQLITE_NOMEM;
    }
    sq_claim *claim = taking->claim;
    int64_t lease_us = port->now_us + taking->sub->lease_us;
    delivery->sub = taking->sub;
    delivery->tag = claim->serial << SQ_TAG_BITS | claim->count;
    delivery->position = row->id;
    delivery->attempt = attempt;
    delivery->lease_us = lease_us;
    int code = marty__sq_delivery_read(delivery, row, false);
    if (!code && taking->sub->wild) {
        code = marty__sq_log_name(port, marty__sq_log_of(row->id), &delivery->channel);
    }
    if (code) {
        return code;
    }
    claim->items[claim->count++] = (sq_item){.claim = claim,
                                             .message = row->id,
                                             .key = row->key,
                                             .lease_us = lease_us,
                                             .attempt = attempt,
                                             .bytes = (uint32_t)row->size,
                                             .stand = SQ_OUT};
    claim->left = claim->count;
    port->delivery_bytes += row->size;
    return SQLITE_OK;
}

int marty__sq_taking_add_one(marty_port *port, sq_taking *taking, int64_t message, uint32_t attempt)
{
    int code;
    sqlite3_stmt *get =
        marty__sq_statement(&port->db, SQ_MESSAGE_GET, marty__sq_table_of(message), &code);
    code = code ? code : marty__sq_bind(get, SQ_I(message));
    code = code ? code : marty__sq_step(&port->db, get);
    if (code == SQLITE_ROW) {
        sq_row row;
        marty__sq_row_columns(get, &row);
        code = marty__sq_taking_add(port, taking, &row, attempt);
    }
    if (get) {
        (void)sqlite3_reset(get);
    }
    return code == SQLITE_DONE ? SQLITE_OK : code;
}

/* What only this group reads is of no more use to anyone. */
static int remove_expired(marty_port *port, sq_taking *taking)
{
    int code = SQLITE_OK;
    for (size_t i = 0; i < taking->expired_count && !code; i++) {
        sq_log *log = NULL;
        code = marty__sq_log_load(port, marty__sq_log_of(taking->expired[i]), &log);
        bool ours = log && (log->grp || taking->sub->channel->kind == MARTY_KIND_QUEUE);
        if (!code && ours) {
            code = marty__sq_log_remove(port, &taking->expired[i], &taking->expired_bytes[i], 1);
        }
    }
    taking->more = taking->more || taking->expired_count == SQ_EXPIRED_MAX;
    return code;
}

int marty__sq_taking_end(marty_port *port, sq_taking *taking)
{
    int code = remove_expired(port, taking);
    sq_claim *claim = taking->claim;
    if (code || !claim) {
        return code;
    }
    claim->lease_us = marty__sq_items_pack(port, claim);
    sqlite3_stmt *add =
        port->body.failed ? NULL : marty__sq_statement(&port->db, SQ_CLAIM_ADD, 0, &code);
    if (!add) {
        marty__buffer_free(&port->body);
        return code ? code : SQLITE_NOMEM;
    }
    code = marty__sq_bind(add, SQ_I(claim->sub->grp, (int64_t)port->member, (int64_t)claim->serial,
                                    claim->version, claim->lease_us));
    code =
        code ? code : sqlite3_bind_blob64(add, 6, port->body.data, port->body.size, SQLITE_STATIC);
    return code ? code : marty__sq_run(&port->db, add);
}
