/* SPDX-License-Identifier: Apache-2.0
 * One attempt to open the database, and letting go of it. The shared file's door is held from
 * before the first byte is read until the port has its slot, so processes that start together make
 * or change the schema one after the other. The writer's thread. */
#include "schema.h"
#include "work.h"

#include "backend/registry.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/limits.h"

#include <stdio.h>
#include <string.h>

enum { CONNECT_MS = 4000 };

static void begin_empty(marty_port *port)
{
    for (size_t bit = 0; bit < SQ_NEWS_BITS; bit++) {
        marty__list_init(&port->buckets[bit]);
    }
    marty__link *lists[] = {&port->wild,          &port->work_settles, &port->work_extends,
                            &port->work_controls, &port->hungry,       &port->dirty_claims,
                            &port->dirty_logs,    &port->new_claims,   &port->fed};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        marty__list_init(lists[i]);
    }
    port->later_due_us = 0;
    port->topology = port->removals = port->data_version = -1;
    port->orphans = false;
    port->generation++;
    port->tick_ns = port->retry_ns = 0;
    port->failures = port->io_failures = 0;
    port->reclaim = true;
    port->sweep = false;
    port->down_err = MARTY_OK;
    port->interest_stale = true;
}

static marty_err open_all(marty_port *port, marty_error *why)
{
    const marty_env *env = port->sink->env;
    const sq_options *options = &port->options;
    int64_t deadline_ns = marty__deadline_ns(marty__monotonic_ns(), CONNECT_MS);
    int64_t env_deadline_ns = marty__deadline_ns(env->monotonic_ns(env->user), CONNECT_MS);
    marty_err err = marty__sq_db_open(&port->db, options->path, why);
    err = err ? err
              : marty__sq_shared_attach(&port->shared, marty__sq_db_path(&port->db), env,
                                        env_deadline_ns, why);
    if (err) {
        return err;
    }
    err = marty__sq_db_prepare(&port->db, options->sync, deadline_ns, why);
    err = err ? err : marty__sq_schema_ensure(&port->db, env, why);
    if (err) {
        return err;
    }
    env->random(env->user, &port->member, sizeof port->member);
    port->member = port->member >> 2 | 1;
    err = marty__sq_shared_enter(&port->shared, port->member, why);
    port->db.shared = err ? NULL : &port->shared;
    return err;
}

static marty_err register_member(marty_port *port, marty_error *why)
{
    marty__sq_clock(port);
    int code =
        marty__sq_begin(&port->db, false, marty__deadline_ns(marty__monotonic_ns(), CONNECT_MS));
    if (!code) {
        code = marty__sq_member_add(port);
        code = code ? code : marty__sq_commit(&port->db);
    }
    if (code) {
        marty__sq_rollback(&port->db);
        return marty__sq_explain(&port->db, code, port->options.path, why);
    }
    return MARTY_OK;
}

static void grant(const marty_port *port, marty_capabilities *ret)
{
    *ret = *marty__sqlite_backend.claims;
    ret->level = marty__sq_level(port, MARTY_KIND_QUEUE);
    ret->synced = port->db.sync >= SQ_SYNC_FULL ? MARTY_YES : MARTY_NO;
    ret->lease_ms = (uint64_t)port->options.lease_us / 1000;
    ret->deduplicate_ms = (uint64_t)port->options.dedup_us / 1000;
    for (size_t kind = 0; kind < 8 && !port->options.dedup_us; kind++) {
        ret->can[kind] &= ~(uint64_t)MARTY_CAN_DEDUPLICATE;
    }
}

bool marty__sq_connect(marty_port *port)
{
    static const char *const levels[] = {"off", "normal", "full", "extra"};
    marty_error why = {0};
    char text[200];
    marty_capabilities granted;
    begin_empty(port);
    marty_err err = open_all(port, &why);
    err = err ? err : register_member(port, &why);
    if (err) {
        port->down_err = err;
        (void)snprintf(port->down_text, sizeof port->down_text, "%s", why.text);
        return false;
    }
    grant(port, &granted);
    (void)snprintf(text, sizeof text, "sqlite %s, write-ahead log, synchronous=%s",
                   sqlite3_libversion(), levels[port->options.sync]);
    marty__lock(&port->lock);
    port->bell = &port->shared.slots[port->shared.slot];
    port->up = true;
    marty__unlock(&port->lock);
    port->sink->state(port->sink, MARTY_STATE_UP, &granted, MARTY_OK, text);
    return true;
}

/* ---- letting go */
static void take_queues(marty_port *port)
{
    marty__lock(&port->lock);
    port->up = false;
    marty__list_move(&port->work_settles, &port->settles);
    marty__list_move(&port->work_extends, &port->extends);
    marty__sq_controls_collect(port);
    port->round_count = port->ring_tail - port->ring_head;
    marty__unlock(&port->lock);
}

static void free_subs(marty_port *port)
{
    sq_sub *sub;
    marty__lock(&port->lock);
    for (size_t at = 0; (sub = marty__map_next(&port->subs, &at)) != NULL;) {
        marty__map_take_u64(&port->subs, sub->number);
        marty__unlock(&port->lock);
        marty__sq_claims_drop(port, sub);
        marty__lock(&port->lock);
        marty__sq_sub_free(port, sub);
    }
    marty__unlock(&port->lock);
}

void marty__sq_disconnect(marty_port *port, marty_state state, marty_err err, const char *text)
{
    take_queues(port);
    marty__sq_publish_answer(port, err ? err : MARTY_E_CLOSED, SQ_WHY_DATABASE, text);
    marty__sq_settle_answer(port, err ? err : MARTY_E_CLOSED);
    marty__sq_controls_answer(port, err ? err : MARTY_E_CLOSED, text);
    free_subs(port);
    marty__sq_logs_forget(port);
    marty__sq_seen_free(port);
    marty__sq_deliveries_end(port, false);
    marty_free(port->deliveries);
    port->deliveries = NULL;
    port->delivery_room = 0;
    marty__buffer_free(&port->body);
    marty__lock(&port->lock);
    port->bell = NULL;
    marty__unlock(&port->lock);
    marty__sq_db_close(&port->db);
    marty__sq_shared_detach(&port->shared);
    marty__lock(&port->lock);
    state = port->closing ? MARTY_STATE_CLOSED : state;
    port->ended = true; /* from here on close answers by itself */
    marty__unlock(&port->lock);
    port->sink->state(port->sink, state, NULL, err, text);
}
