/* SPDX-License-Identifier: Apache-2.0
 * Members: the ports that have the database open. One that died is noticed by its lock, which the
 * kernel took from it; what it had unsettled is delivered again, its own groups and reply channels
 * go. One that lives but let a lease run out loses only that message. Any port does this for all.
 * The writer's thread. */
#include "work.h"

#include "base/alloc.h"

#include <unistd.h>

int marty__sq_member_add(marty_port *port)
{
    return marty__sq_do(&port->db, SQ_MEMBER_ADD, 0,
                        SQ_I((int64_t)port->member, port->shared.slot, getpid(), port->now_us));
}

typedef struct claim_row {
    int64_t grp, member, serial, version;
    sq_held *held;
    size_t count;
} claim_row;

/* The first claim that the statement finds; *ret_found false: none. */
static int first_claim(marty_port *port, sq_op op, int64_t value, claim_row *ret_row,
                       bool *ret_found)
{
    int code;
    sqlite3_stmt *row = marty__sq_statement(&port->db, op, 0, &code);
    code = code ? code : marty__sq_bind(row, SQ_I(value));
    code = code ? code : marty__sq_step(&port->db, row);
    *ret_found = code == SQLITE_ROW;
    if (code == SQLITE_ROW) {
        *ret_row = (claim_row){.grp = sqlite3_column_int64(row, 0),
                               .member = sqlite3_column_int64(row, 1),
                               .serial = sqlite3_column_int64(row, 2),
                               .version = sqlite3_column_int64(row, 3)};
        code = marty__sq_items_unpack(sqlite3_column_blob(row, 4),
                                      (size_t)sqlite3_column_bytes(row, 4), &ret_row->held,
                                      &ret_row->count);
    }
    if (row) {
        (void)sqlite3_reset(row);
    }
    return code == SQLITE_DONE ? SQLITE_OK : code;
}

static int save_rest(marty_port *port, const claim_row *row, size_t left)
{
    int code;
    if (!left) {
        return marty__sq_do(&port->db, SQ_CLAIM_REMOVE, 0,
                            SQ_I(row->grp, row->member, row->serial));
    }
    marty__buffer_clear(&port->body);
    int64_t lease_us = marty__sq_held_pack(&port->body, row->held, left);
    if (port->body.failed) {
        marty__buffer_free(&port->body);
        return SQLITE_NOMEM;
    }
    sqlite3_stmt *save = marty__sq_statement(&port->db, SQ_CLAIM_SAVE, 0, &code);
    code = code ? code
                : marty__sq_bind(
                      save, SQ_I(row->grp, row->member, row->serial, row->version + 1, lease_us));
    code =
        code ? code : sqlite3_bind_blob64(save, 6, port->body.data, port->body.size, SQLITE_STATIC);
    return code ? code : marty__sq_run(&port->db, save);
}

/* Put what is over back into the queue of the group; all of it, or what has run out. */
static int take_back(marty_port *port, claim_row *row, bool all)
{
    size_t left = 0;
    int code = SQLITE_OK;
    for (size_t i = 0; i < row->count && !code; i++) {
        sq_held *held = &row->held[i];
        if (all || held->lease_us <= port->now_us) {
            code = marty__sq_wait_again(port, row->grp, held, held->attempt, port->now_us);
        } else {
            row->held[left++] = *held;
        }
    }
    return code ? code : save_rest(port, row, left);
}

static int take_claims(marty_port *port, sq_op op, int64_t value, bool all)
{
    int code = SQLITE_OK;
    for (bool found = true; found && !code;) {
        claim_row row = {0};
        code = first_claim(port, op, value, &row, &found);
        if (!code && found) {
            code = take_back(port, &row, all);
        }
        marty_free(row.held);
    }
    return code;
}

/* Everything that one column says belongs to a member, one after the other. */
static int remove_owned(marty_port *port, sq_op find, int64_t member,
                        int (*remove)(marty_port *port, int64_t id))
{
    int code = SQLITE_OK;
    for (bool found = true; found && !code;) {
        int64_t id = 0;
        code = marty__sq_get(&port->db, find, SQ_I(member), &id, 1, &found);
        code = code || !found ? code : remove(port, id);
    }
    return code;
}

static int remove_channel(marty_port *port, int64_t id)
{
    int code = marty__sq_do(&port->db, SQ_POST_REMOVE_CHANNEL, 0, SQ_I(id));
    code = code ? code : marty__sq_do(&port->db, SQ_CHANNEL_REMOVE, 0, SQ_I(id));
    return code ? code : marty__sq_topology_changed(port);
}

int marty__sq_member_remove(marty_port *port, int64_t member)
{
    int code = remove_owned(port, SQ_GROUP_OWNED, member, marty__sq_group_remove);
    code = code ? code : remove_owned(port, SQ_CHANNEL_OWNED, member, remove_channel);
    code = code ? code : take_claims(port, SQ_CLAIM_OF_MEMBER, member, true);
    code = code ? code : marty__sq_do(&port->db, SQ_SUBSCRIBER_REMOVE_MEMBER, 0, SQ_I(member));
    return code ? code : marty__sq_do(&port->db, SQ_MEMBER_REMOVE, 0, SQ_I(member));
}

/* ---- the dead */
static int next_dead(marty_port *port, int64_t *ret_member, bool *ret_found)
{
    int64_t row[2] = {0, 0};
    int code = SQLITE_OK;
    *ret_found = false;
    for (bool found = true; found && !*ret_found && !code;) {
        code = marty__sq_get(&port->db, SQ_MEMBER_ALL, SQ_I(row[0]), row, 2, &found);
        *ret_found =
            !code && found && !marty__sq_shared_alive(&port->shared, (int)row[1], (uint64_t)row[0]);
    }
    *ret_member = row[0];
    return code;
}

int marty__sq_reclaim_probe(marty_port *port, bool *ret_any)
{
    int64_t member = 0, lease_us = 0;
    bool found = false;
    int code = next_dead(port, &member, ret_any);
    if (!code && !*ret_any) {
        code = marty__sq_get(&port->db, SQ_CLAIM_NEXT_LEASE, NULL, 0, &lease_us, 1, &found);
        *ret_any = found && lease_us && lease_us <= port->now_us;
    }
    return code;
}

int marty__sq_reclaim_run(marty_port *port)
{
    int code = SQLITE_OK;
    for (bool found = true; found && !code;) {
        int64_t member = 0;
        code = next_dead(port, &member, &found);
        code = code || !found ? code : marty__sq_member_remove(port, member);
    }
    return code ? code : take_claims(port, SQ_CLAIM_EXPIRED, port->now_us, false);
}
