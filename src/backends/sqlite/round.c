/* SPDX-License-Identifier: Apache-2.0
 * A round: one transaction for all that waits, then the answers. Settlements come first (they free
 * room and keys), then controls, publishes, what is due, what the dead left, and last the claims,
 * which see all of it. A round that fails is rolled back as if it had not been; who may try again
 * stays queued, publishes are answered, since only their caller knows how long to wait. */
#include "work.h"

#include "base/clock.h"

#include <stdio.h>

enum {
    BUSY_SLICE_NS = 200 * MARTY__NS_PER_MS,
    BACKOFF_NS = 50 * MARTY__NS_PER_MS,
    BACKOFFS_MAX = 5
};
enum { FAILURES_MAX = 6, IO_FAILURES_MAX = 3 };

/* The wall clock first: a time of it may come out late by a moment, never early. */
void marty__sq_clock(marty_port *port)
{
    const marty_env *env = port->sink->env;
    port->wall_us = env->wall_us(env->user);
    port->now_ns = env->monotonic_ns(env->user);
    port->now_us = marty__sq_shared_now_us(&port->shared);
}

/* How many publishes go into this round, whether it must reach the disk, until when it may wait. */
static int64_t choose_publishes(marty_port *port, bool *durable)
{
    size_t bytes = 0;
    int64_t until_ns = INT64_MAX;
    marty__lock(&port->lock);
    uint64_t waiting = port->ring_tail - port->ring_head;
    marty__unlock(&port->lock);
    port->round_count = 0;
    while (port->round_count < waiting && port->round_count < SQ_ROUND && bytes < SQ_ROUND_BYTES) {
        const sq_entry *entry = &port->ring[(port->ring_head + port->round_count++) % SQ_RING];
        bytes += entry->cost;
        *durable = *durable || marty__sq_kind_keeps(entry->channel->kind);
        if (entry->deadline_ns && entry->deadline_ns < until_ns) {
            until_ns = entry->deadline_ns;
        }
    }
    return until_ns;
}

static bool settles_durably(const marty_port *port)
{
    for (marty__link *at = port->work_settles.next; at != &port->work_settles; at = at->next) {
        const sq_item *item = MARTY__OWNER(at, sq_item, link);
        if (item->verb != MARTY_SETTLE_GIVE_BACK) {
            return true;
        }
    }
    return false;
}

static bool controls_durably(const marty_port *port)
{
    for (marty__link *at = port->work_controls.next; at != &port->work_controls; at = at->next) {
        const sq_control *control = MARTY__OWNER(at, sq_control, link);
        bool stands = control->kind == SQ_SUBSCRIBE && control->sub->ready && !control->reset;
        if (!control->sub || (!stands && marty__sq_kind_keeps(control->sub->channel->kind))) {
            return true; /* not for another pattern of one that stands */
        }
    }
    return false;
}

static int apply_controls(marty_port *port)
{
    int code = SQLITE_OK;
    for (marty__link *at = port->work_controls.next; at != &port->work_controls && !code;
         at = at->next) {
        sq_control *control = MARTY__OWNER(at, sq_control, link);
        switch (control->kind) {
        case SQ_SUBSCRIBE:
            code = marty__sq_subscribe_apply(port, control);
            break;
        case SQ_UNSUBSCRIBE:
            code = marty__sq_unsubscribe_apply(port, control->sub);
            break;
        case SQ_CANCEL:
            code = marty__sq_later_cancel(port, control);
            break;
        case SQ_TOPOLOGY:
            code = marty__sq_topology_apply(port, control->ask);
            break;
        default:
            break;
        }
    }
    return code;
}

static int apply_publishes(marty_port *port)
{
    int code = SQLITE_OK;
    for (uint64_t i = 0; i < port->round_count && !code; i++) {
        sq_entry *entry = &port->ring[(port->ring_head + i) % SQ_RING];
        if (!entry->done) {
            code = marty__sq_publish_apply(port, entry);
        }
    }
    return code;
}

/* What this round brought may be for our own. */
static void feed_touched(marty_port *port)
{
    if (!port->touched.any_news) {
        return;
    }
    for (unsigned word = 0; word < SQ_NEWS_WORDS; word++) {
        for (uint64_t bits = port->touched.news.words[word]; bits; bits &= bits - 1) {
            marty__sq_feed_bit(port, word * 64 + (unsigned)__builtin_ctzll(bits));
        }
    }
    marty__sq_feed_wild(port);
}

static int apply_others(marty_port *port)
{
    int code = SQLITE_OK;
    bool more = false;
    if (port->later_due_us <= port->now_us) {
        code = marty__sq_later_run(port);
    }
    if (!code && port->reclaim) {
        code = marty__sq_reclaim_run(port);
    }
    if (!code && port->sweep) {
        code = marty__sq_sweep_run(port, &more);
        port->sweep_more = more;
    }
    return code;
}

static int apply(marty_port *port)
{
    int code = marty__sq_topology_sync(port);
    code = code ? code : marty__sq_settle_apply(port);
    code = code ? code : apply_controls(port);
    code = code ? code : apply_publishes(port);
    code = code ? code : apply_others(port);
    code = code ? code : marty__sq_logs_save(port);
    if (!code) {
        feed_touched(port);
        code = marty__sq_claims_run(port);
    }
    code = code ? code : marty__sq_logs_save(port);
    code = code ? code : marty__sq_seen_save(port);
    return code ? code : marty__sq_append_flush(&port->db);
}

/* ---- afterwards */
static void succeeded(marty_port *port)
{
    if (port->touched.any_news) {
        marty__sq_shared_tell(&port->shared, &port->touched.news);
    }
    port->failures = port->io_failures = 0;
    port->retry_ns = 0;
    port->reclaim = port->touched.removed;
    port->sweep = port->sweep && port->sweep_more;
    marty__sq_seen_end(port, true);
    marty__sq_deliveries_charge(port);
    marty__sq_settle_answer(port, MARTY_OK);
    marty__sq_controls_answer(port, MARTY_OK, NULL);
    marty__sq_claims_end(port, true);
    marty__sq_publish_answer(port, MARTY_OK, SQ_WHY_STORED, NULL);
    marty__sq_deliveries_end(port, true);
    marty__sq_expel_orphans(port);
}

static void undo(marty_port *port)
{
    marty__sq_rollback(&port->db);
    marty__sq_settle_undo(port);
    marty__sq_seen_end(port, false);
    marty__sq_claims_end(port, false);
    marty__sq_deliveries_end(port, false);
    marty__sq_logs_forget(port); /* and all that this round found out or made */
    port->topology = -1;
    port->touched = (sq_touched){.any_news = false};
}

static void go_down(marty_port *port, marty_err err, const char *text)
{
    port->down_err = err;
    (void)snprintf(port->down_text, sizeof port->down_text, "%s", text);
}

/* How long those wait that can: longer each time, up to 1.6 s. */
static void back_off(marty_port *port)
{
    int doublings = port->failures < BACKOFFS_MAX ? port->failures : BACKOFFS_MAX;
    port->retry_ns = port->now_ns + ((int64_t)BACKOFF_NS << doublings);
    port->failures++;
}

static void failed(marty_port *port, int code, bool committing)
{
    marty_error why;
    marty_err err = marty__sq_explain(&port->db, code, port->options.path, &why);
    bool full = (code & 0xff) == SQLITE_FULL, io = (code & 0xff) == SQLITE_IOERR;
    bool doubt = committing && !full && err != MARTY_E_NO_MEMORY;
    undo(port);
    back_off(port);
    port->io_failures += io;
    marty__sq_publish_answer(port, doubt ? MARTY_E_MAYBE_STORED : err, SQ_WHY_DATABASE, why.text);
    marty__sq_controls_answer(port, err, why.text);
    if (marty__sq_is_fatal(code) || port->io_failures >= IO_FAILURES_MAX ||
        (port->failures >= FAILURES_MAX && !full)) {
        go_down(port, err, why.text);
    } else if (full) {
        marty__sq_log_cut(&port->db); /* an emptied log can be written without growing */
    }
}

/* Another has the lock: wait on, but let none wait past its time. */
static void locked(marty_port *port)
{
    marty__sq_publish_expire(port, true);
    marty__sq_controls_expire(port);
    port->round_count = 0;
}

/* false: nothing was written. slice_ns: how long another's lock is waited for. */
static bool run(marty_port *port, int64_t slice_ns)
{
    bool durable = false;
    marty__sq_clock(port);
    int64_t until_ns = choose_publishes(port, &durable);
    durable = durable || settles_durably(port) || controls_durably(port);
    until_ns = until_ns < port->now_ns + slice_ns ? until_ns : port->now_ns + slice_ns;
    int code =
        marty__sq_begin(&port->db, durable, marty__monotonic_ns() + (until_ns - port->now_ns));
    if ((code & 0xff) == SQLITE_BUSY) {
        locked(port);
        return false;
    }
    marty__sq_clock(port); /* the lock may have been waited for */
    port->round++;
    port->touched = (sq_touched){.any_news = false};
    code = code ? code : apply(port);
    bool committing = !code;
    int64_t began_ns = marty__monotonic_ns();
    code = code ? code : marty__sq_commit(&port->db);
    port->commit_ns = marty__monotonic_ns() - began_ns;
    if (code) {
        failed(port, code, committing);
        return false;
    }
    succeeded(port);
    return true;
}

void marty__sq_round(marty_port *port)
{
    if (run(port, BUSY_SLICE_NS)) {
        marty__sq_checkpoint(&port->db, false);
    }
}

bool marty__sq_round_led(marty_port *port)
{
    return run(port, 0);
}
