/* SPDX-License-Identifier: Apache-2.0
 * The thread of a port: takes what ops queued, does a round when there is something to do, else
 * looks whether its subscriptions have news, else sleeps until its bell rings, a timer is due, or a
 * second has passed (a quarter when others are there, to see whether one died). */
#include "work.h"

#include "base/clock.h"

enum { TICK_NS = 1000 * MARTY__NS_PER_MS, TICK_SHARED_NS = 250 * MARTY__NS_PER_MS };

static int64_t env_ns(const marty_port *port)
{
    return port->sink->env->monotonic_ns(port->sink->env->user);
}

static void compute_interest(marty_port *port)
{
    for (unsigned word = 0; word < SQ_NEWS_WORDS; word++) {
        uint64_t bits = port->wild_users ? UINT64_MAX : 0;
        for (unsigned bit = 0; bit < 64; bit++) {
            bits |= (uint64_t)(port->bit_users[word * 64 + bit] > 0) << bit;
        }
        port->interest.words[word] = bits;
    }
}

/* Take over what ops left. */
void marty__sq_collect(marty_port *port)
{
    marty__link granted, *link;
    marty__list_init(&granted);
    marty__lock(&port->lock);
    port->left = false;
    marty__list_move(&port->work_settles, &port->settles);
    marty__list_move(&port->work_extends, &port->extends);
    marty__sq_controls_collect(port);
    bool stale = port->interest_stale;
    port->interest_stale = false;
    if (stale) {
        compute_interest(port);
    }
    while ((link = marty__list_pop(&port->granted)) != NULL) {
        sq_sub *sub = MARTY__OWNER(link, sq_sub, granted);
        if (sub->maybe && sub->ready && !sub->hungry.next && sub->credit) {
            marty__list_push(&port->hungry, &sub->hungry);
        }
    }
    marty__unlock(&port->lock);
    if (stale) { /* before anything is read for it */
        marty__sq_shared_listen(&port->shared, &port->interest);
    }
}

static void hear(marty_port *port)
{
    sq_news news = marty__sq_shared_heard(&port->shared);
    bool any = false;
    for (unsigned word = 0; word < SQ_NEWS_WORDS; word++) {
        for (uint64_t bits = news.words[word]; bits; bits &= bits - 1) {
            marty__sq_feed_bit(port, word * 64 + (unsigned)__builtin_ctzll(bits));
            any = true;
        }
    }
    if (any) {
        marty__sq_feed_wild(port);
    }
}

static void ring_timers(marty_port *port)
{
    marty__timer *timer;
    while ((timer = marty__heap_pop(&port->due, env_ns(port))) != NULL) {
        marty__sq_feed(port, MARTY__OWNER(timer, sq_sub, due));
    }
}

/* Channels or groups were removed: the next round ends the subscriptions that had them. */
static int look_for_removals(marty_port *port)
{
    int64_t counts[2] = {0, port->removals};
    bool found = false;
    int code = marty__sq_get(&port->db, SQ_STATE_READ, NULL, 0, counts, 2, &found);
    port->reclaim = port->reclaim || counts[1] != port->removals;
    return code;
}

/* Whether another changed the database since: a bell may have been lost. */
static void look_around(marty_port *port)
{
    int64_t version = 0;
    bool found = false, any = false;
    uint64_t census = marty__sq_shared_census(&port->shared);
    port->reclaim = port->reclaim || census != port->census;
    port->census = census;
    if (marty__sq_get(&port->db, SQ_DATA_VERSION, NULL, 0, &version, 1, &found)) {
        return; /* whatever it is, a round will meet it too */
    }
    if (version != port->data_version) {
        port->data_version = version;
        (void)marty__sq_later_look(port);
        (void)look_for_removals(port);
        marty__sq_feed_all(port);
    }
    marty__sq_clock(port);
    if (!port->reclaim && marty__sq_reclaim_probe(port, &any) == SQLITE_OK) {
        port->reclaim = any;
    }
}

static void tick(marty_port *port)
{
    int64_t now_ns = env_ns(port);
    if (now_ns < port->tick_ns && port->tick_ns - now_ns <= TICK_NS) {
        return;
    }
    bool shared = atomic_load(&port->shared.header->slots_used) > 1;
    int64_t lease_ns = port->options.lease_us * 1000 / 8,
            every_ns = shared ? TICK_SHARED_NS : TICK_NS;
    port->tick_ns = now_ns + (lease_ns < every_ns ? lease_ns : every_ns);
    look_around(port);
    port->sweep =
        port->sweep || marty__sq_shared_sweep_due(&port->shared, marty__sq_sweep_every_ns(port));
}

bool marty__sq_publishes_wait(marty_port *port)
{
    marty__lock(&port->lock);
    bool wait = port->ring_head != port->ring_tail;
    marty__unlock(&port->lock);
    return wait;
}

/* Something to write; what failed lately waits a moment, unless there is new work. */
static bool must_write(marty_port *port)
{
    bool old = !marty__list_empty(&port->work_settles) || !marty__list_empty(&port->work_extends) ||
               port->reclaim || port->sweep ||
               port->later_due_us <= marty__sq_shared_now_us(&port->shared);
    return marty__sq_publishes_wait(port) || !marty__list_empty(&port->work_controls) ||
           (old && (!port->retry_ns || env_ns(port) >= port->retry_ns));
}

/* Look for news without the lock to write; a round only if there are some to claim. */
static void look_for_news(marty_port *port)
{
    bool any = false;
    marty__sq_clock(port);
    int code = marty__sq_begin_read(&port->db);
    code = code ? code : look_for_removals(port);
    code = code ? code : marty__sq_claims_probe(port, &any);
    marty__sq_end_read(&port->db);
    if (code) {
        marty__sq_claims_end(port, false);
        marty__sq_deliveries_end(port, false);
        marty__sq_round(port); /* it meets the same, and says what it is */
        return;
    }
    marty__sq_deliveries_charge(port);
    marty__sq_claims_end(port, true);
    marty__sq_deliveries_end(port, true);
    if (any) {
        marty__sq_round(port);
    }
}

int64_t marty__sq_due_ns(const marty_port *port)
{
    int64_t now_ns = env_ns(port), until_ns = port->tick_ns;
    int64_t due_ns = marty__heap_next_ns(&port->due);
    until_ns = due_ns < until_ns ? due_ns : until_ns;
    if (port->later_due_us != INT64_MAX) {
        int64_t later_ns =
            now_ns + (port->later_due_us - marty__sq_shared_now_us(&port->shared)) * 1000;
        until_ns = later_ns < until_ns ? later_ns : until_ns;
    }
    if (port->retry_ns && !marty__list_empty(&port->work_settles)) {
        until_ns = port->retry_ns < until_ns ? port->retry_ns : until_ns;
    }
    return until_ns;
}

/* Sleep until something is due or the bell rings. Others may lead meanwhile: whoever does is let
 * end. */
static void rest(marty_port *port, uint32_t seen)
{
    int64_t until_ns = marty__sq_due_ns(port), wait_ns = until_ns - env_ns(port);
    marty__lock(&port->lock);
    port->resting = true;
    port->rest_until_ns = until_ns;
    marty__unlock(&port->lock);
    marty__sq_bell_wait(&port->shared.slots[port->shared.slot], seen,
                        wait_ns < TICK_NS ? wait_ns : TICK_NS);
    marty__lock(&port->lock);
    port->resting = false; /* whoever leads is the last: another could go on for ever */
    while (port->led) {
        (void)marty__wait(&port->returned, &port->lock, MARTY__NEVER);
    }
    marty__unlock(&port->lock);
}

static bool closing(marty_port *port)
{
    marty__lock(&port->lock);
    bool close = port->closing;
    marty__unlock(&port->lock);
    return close;
}

static void work(marty_port *port)
{
    while (!port->down_err && !closing(port)) {
        uint32_t seen = marty__sq_bell_read(&port->shared.slots[port->shared.slot]);
        marty__sq_collect(port);
        hear(port);
        tick(port);
        ring_timers(port);
        marty__sq_publish_expire(port, false);
        if (must_write(port)) {
            marty__sq_round(port);
            marty__sq_shared_yield(&port->shared);
        } else if (!marty__list_empty(&port->hungry)) {
            look_for_news(port);
        } else {
            marty__sq_checkpoint(&port->db, true);
            rest(port, seen);
        }
    }
}

/* Flush what is queued, within the deadline. */
static void drain(marty_port *port)
{
    marty__lock(&port->lock);
    int64_t deadline_ns = port->close_deadline_ns;
    marty__unlock(&port->lock);
    for (bool more = true; more && !port->down_err && env_ns(port) < deadline_ns;) {
        marty__sq_collect(port);
        marty__sq_publish_expire(port, false);
        more = marty__sq_publishes_wait(port) || !marty__list_empty(&port->work_controls) ||
               !marty__list_empty(&port->work_settles) || !marty__list_empty(&port->work_extends);
        if (more) {
            marty__sq_round(port);
        }
    }
}

/* Give back all that is out, and go. Without success it is as if we had died: others clean up. */
static void leave(marty_port *port)
{
    sq_sub *sub;
    marty__sq_clock(port);
    port->touched = (sq_touched){.any_news = false};
    int code = marty__sq_begin(&port->db, false, marty__monotonic_ns() + TICK_NS);
    port->round++;
    code = code ? code : marty__sq_topology_sync(port);
    for (size_t at = 0; !code && (sub = marty__map_next(&port->subs, &at)) != NULL;) {
        code =
            sub->ready && sub->grp && !sub->owned ? marty__sq_give_back_all(port, sub) : SQLITE_OK;
    }
    code = code ? code : marty__sq_member_remove(port, (int64_t)port->member);
    code = code ? code : marty__sq_logs_save(port);
    code = code ? code : marty__sq_commit(&port->db);
    if (code) {
        marty__sq_rollback(&port->db);
    } else {
        marty__sq_shared_tell(&port->shared, &port->touched.news);
    }
}

void *marty__sq_writer(void *user)
{
    marty_port *port = user;
    if (!marty__sq_connect(port)) {
        marty__sq_disconnect(port, MARTY_STATE_DOWN, port->down_err, port->down_text);
        return NULL;
    }
    work(port);
    if (closing(port)) {
        drain(port);
        leave(port);
        marty__sq_disconnect(port, MARTY_STATE_CLOSED, MARTY_OK, "closed");
    } else {
        marty__sq_disconnect(port, MARTY_STATE_DOWN, port->down_err, port->down_text);
    }
    return NULL;
}
