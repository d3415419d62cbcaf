/* SPDX-License-Identifier: Apache-2.0
 * Who gets what. Members with credit take turns; a turn is a fair share of what is there, so that a
 * busy channel goes out in batches and a quiet one by turns. First what waits (by priority, then
 * what came back, in its old order), then the log from the cursor on. In an ordered group a key
 * belongs to the member that holds some of it. With the broker's lock held. */
#include "memory.h"

#include "base/assert.h"

enum { SHARE_MAX = 64, WAITING_MAX = 10000, SHORTAGE_MS = 10 };

static void short_of_memory(group *g)
{
    broker *b = g->channel->broker;
    g->starved = true;
    int64_t again_ns = marty__deadline_ns(marty__mem_now(b), SHORTAGE_MS);
    b->retry_ns = again_ns < b->retry_ns ? again_ns : b->retry_ns;
    marty__mem_clock_changed(b);
}

static bool expired(const group *g, int64_t expires_ns)
{
    return expires_ns && expires_ns <= marty__mem_now(g->channel->broker);
}

/* The next of those that may take more, or NULL. */
static member *next_hungry(group *g)
{
    while (!marty__list_empty(&g->hungry)) {
        member *m = MARTY__OWNER(g->hungry.next, member, hungry);
        if (m->subscription->credit) {
            return m;
        }
        marty__mem_member_starve(m);
    }
    return NULL;
}

static void to_the_end(group *g, member *m)
{
    if (m->hungry.next && g->hungry_count > 1) {
        marty__list_remove(&m->hungry);
        marty__list_push(&g->hungry, &m->hungry);
    }
}

static void give(item *it, member *m)
{
    group *g = it->group;
    subscription *s = m->subscription;
    marty_port *port = s->port;
    it->state = ITEM_HELD;
    it->member = m;
    it->tag += (uint64_t)1 << ITEM_TAG_BITS;
    g->held += marty__mem_item_size(it);
    g->redelivered += it->tries > 0;
    if (g->ordered && it->of.claim) {
        marty__mem_claim_hold(it, m);
    }
    marty__list_push(&s->held, &it->link);
    if (!s->unsent) {
        s->unsent = it;
        marty__list_push(&port->ready, &s->ready);
        marty__mem_port_ready(port);
    }
    if (!port->urgent && (s->keeps_nothing || s->lease_ms || it->expires_ns)) {
        port->urgent = true;
        marty__mem_port_ready(port);
    }
    if (s->lease_ms && !s->keeps_nothing) {
        broker *b = g->channel->broker;
        int64_t until_ns = marty__deadline_ns(marty__mem_now(b), (int64_t)s->lease_ms);
        marty__heap_add(&b->leases, &it->timer, until_ns);
        marty__mem_clock_changed(b);
    }
    s->credit -= marty__mem_item_size(it);
    if (s->credit == 0) {
        marty__mem_member_starve(m);
    }
}

/* ---- the log */
static void pass(group *g, entry *e)
{
    channel *c = g->channel;
    g->next++;
    if (c->moves) {
        marty__mem_entry_clear(c, e);
        marty__mem_log_advance(c->broker, &c->log, 1);
    }
}

/* The entry at the cursor, what need not be delivered passed over; NULL at the end. */
static entry *at_cursor(group *g)
{
    const record_log *log = &g->channel->log;
    if (g->next < log->first) {
        g->lost += log->first - g->next;
        g->next = log->first;
    }
    while (g->next < log->next) {
        entry *e = marty__mem_entry(log, g->next);
        bool taken = !e->message || (e->flags & ENTRY_PRIORITY && g->next >= g->since);
        if (!taken && !expired(g, e->expires_ns)) {
            return e;
        }
        g->expired += !taken;
        pass(g, e);
    }
    return NULL;
}

/* Fill a new item from the cursor's entry, which is passed. */
static void take(group *g, item *it, entry *e)
{
    channel *c = g->channel;
    it->offset = g->next;
    it->expires_ns = e->expires_ns;
    it->shard = e->shard;
    if (c->moves) { /* the entry's reference and cost become the item's */
        it->message = e->message;
        it->bytes = e->bytes;
        it->spare = e->spare;
        it->of.reply = c->kind == MARTY_KIND_REQUEST ? e->of.reply : NULL;
        c->bytes -= e->bytes;
        *e = (entry){0};
    } else if (e->spare) {
        it->message = e->message;
        e->spare--;
    } else {
        it->message = marty_message_ref(e->message);
    }
    pass(g, e);
}

/* ---- without order */
static item *first_waiting(marty__link *head)
{
    return marty__list_empty(head) ? NULL : MARTY__OWNER(head->next, item, link);
}

static item *first_of_level(group *g, bool above)
{
    levels *l = g->levels;
    if (!l || (above ? !l->above : l->count == l->above)) {
        return NULL;
    }
    item *first = NULL;
    for (int i = above ? 0 : LEVEL_MIDDLE + 1; i < LEVELS && !first; i++) {
        first = first_waiting(&l->items[i]);
    }
    return first;
}

static item *waiting_item(group *g, bool above)
{
    for (;;) {
        item *it = first_of_level(g, above);
        it = it || !above ? it : first_waiting(&g->returned);
        if (!it || !expired(g, it->expires_ns)) {
            return it;
        }
        g->expired++;
        marty__mem_item_free(it);
    }
}

/* The next message as an item in no state, or NULL. */
static item *next_item(group *g)
{
    item *it = g->waiting ? waiting_item(g, true) : NULL;
    if (!it) {
        entry *e = at_cursor(g);
        if (e) {
            it = marty__mem_item_new(g->channel->broker, g);
            if (it) {
                take(g, it, e);
                return it;
            }
            short_of_memory(g);
            return NULL;
        }
        it = g->waiting ? waiting_item(g, false) : NULL;
    }
    if (it) {
        marty__mem_item_leave(it);
    }
    return it;
}

static size_t share_of(const group *g)
{
    if (g->hungry_count < 2) {
        return SIZE_MAX;
    }
    size_t there = g->channel->log.next - g->next + g->waiting;
    size_t share = there / g->hungry_count;
    return share < 1 ? 1 : share > SHARE_MAX ? SHARE_MAX : share;
}

/* The next messages for a member, most of them at most, as one item; or the next one; or NULL. */
static item *next_items(group *g, const member *m, size_t most)
{
    const subscription *s = m->subscription;
    const channel *c = g->channel;
    most = most < s->credit ? most : s->credit;
    bool alike = !c->moves && !s->keeps_nothing && !s->port->settings.lease_ms && !g->waiting;
    if (alike && most >= RUN_MIN && c->log.next - g->next >= RUN_MIN) {
        entry *e = at_cursor(g);
        item *many = e ? marty__mem_run_take(g, e, most) : NULL;
        if (many) {
            return many;
        }
    }
    return next_item(g);
}

static void dispatch_plain(group *g)
{
    for (member *m; (m = next_hungry(g)) != NULL;) {
        size_t share = share_of(g);
        item *it = NULL;
        while (share && m->subscription->credit && (it = next_items(g, m, share)) != NULL) {
            share -= marty__mem_item_size(it);
            give(it, m);
        }
        if (!it) {
            return;
        }
        to_the_end(g, m);
    }
}

/* ---- by key */
/* All of a claim that waits, to one member, while it has credit. */
static void hand_claim(group *g, claim *c, member *m)
{
    item *it = NULL;
    while (m->subscription->credit && !c->delayed && (it = first_waiting(&c->waiting)) != NULL) {
        bool last = it->link.next == &c->waiting && !c->held && c->items == 1;
        if (expired(g, it->expires_ns)) {
            g->expired++;
            marty__mem_item_free(it);
            if (last) {
                return; /* the claim is gone */
            }
        } else {
            marty__mem_item_leave(it);
            give(it, m);
        }
    }
    marty__mem_claim_ready(g, c);
}

static void dispatch_claims(group *g)
{
    for (marty__link *at = g->members.next; at != &g->members; at = at->next) {
        member *m = MARTY__OWNER(at, member, link);
        while (m->subscription->credit && !marty__list_empty(&m->ready)) {
            hand_claim(g, MARTY__OWNER(m->ready.next, claim, ready), m);
        }
    }
    for (member *m; !marty__list_empty(&g->ready) && (m = next_hungry(g)) != NULL;) {
        hand_claim(g, MARTY__OWNER(g->ready.next, claim, ready), m);
        to_the_end(g, m);
    }
}

/* An item with a key: to the holder of its key, to whose turn it is, or to wait. */
static void place(group *g, item *it)
{
    claim *c = it->of.claim;
    member *m = c->holder ? c->holder : next_hungry(g);
    if (m->subscription->credit && marty__mem_claim_free_to_go(c)) {
        give(it, m);
        if (!c->holder || c->held == 1) {
            to_the_end(g, m);
        }
    } else {
        marty__mem_wait(it);
    }
}

static void dispatch_keyed(group *g)
{
    member *m;
    dispatch_claims(g);
    while ((m = next_hungry(g)) != NULL && !marty__list_empty(&g->returned)) {
        item *it = first_waiting(&g->returned);
        marty__mem_item_leave(it);
        give(it, m);
        to_the_end(g, m);
    }
    while (g->waiting < WAITING_MAX && (m = next_hungry(g)) != NULL) {
        entry *e = at_cursor(g);
        item *it = e ? marty__mem_item_new(g->channel->broker, g) : NULL;
        uint64_t key = e ? e->of.key : 0;
        if (it && key && !marty__mem_claim_join(it, key)) {
            marty__mem_item_unused(it);
            it = NULL;
        }
        if (!it) {
            if (e) {
                short_of_memory(g);
            }
            return;
        }
        claim *c = it->of.claim;
        take(g, it, e);
        it->of.claim = c;
        if (c) {
            place(g, it);
        } else {
            give(it, m);
            to_the_end(g, m);
        }
    }
}

void marty__mem_dispatch(group *g)
{
    if (!marty__list_empty(&g->hungry)) {
        g->starved = false;
        if (g->ordered) {
            dispatch_keyed(g);
        } else {
            dispatch_plain(g);
        }
    }
}

void marty__mem_dispatch_channel(channel *c)
{
    for (marty__link *at = c->groups.next; at != &c->groups; at = at->next) {
        marty__mem_dispatch(MARTY__OWNER(at, group, link));
    }
    marty__mem_channel_trim(c);
}

/* ---- waiting */
/* Into a list by rank; most belong at one of its ends. */
static void insert(marty__link *head, item *it)
{
    marty__link *at = head->before;
    item *first = first_waiting(head);
    if (first && it->rank < first->rank) {
        at = head;
    }
    while (at != head && MARTY__OWNER(at, item, link)->rank > it->rank) {
        at = at->before;
    }
    marty__list_insert(at, &it->link);
}

void marty__mem_wait(item *it)
{
    group *g = it->group;
    marty__assert(it->state == ITEM_FREE);
    it->state = ITEM_WAITING;
    g->waiting++;
    marty__mem_item_charge(it);
    if (g->ordered && it->of.claim) {
        insert(&it->of.claim->waiting, it);
        marty__mem_claim_ready(g, it->of.claim);
    } else if (it->level && g->levels) {
        insert(&g->levels->items[LEVEL_MIDDLE - it->level], it);
        g->levels->count++;
        g->levels->above += it->level > 0;
    } else {
        it->level = 0;
        insert(&g->returned, it);
    }
}
