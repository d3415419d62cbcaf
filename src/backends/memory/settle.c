/* SPDX-License-Identifier: Apache-2.0
 * Settling: a tag names an item and its delivery, so that what is late is LOST. Nothing here needs
 * memory, save the dead letter of a reject, which is stored before the original goes. */
#include "memory.h"

#include "base/unset.h"

#include <string.h>

enum { CHUNK = 256 };

typedef struct span { /* some of a batch, one behind the other, that are answered alike */
    size_t count;
    marty_err result;
    int64_t lease_ns;
} span;

typedef struct settle_work {
    marty_port *port;
    span spans[CHUNK];
    size_t span_count;
    uint64_t tags[CHUNK];
    drops drops;
    group *touched; /* to be dispatched once all of the chunk is settled */
    bool holds_key; /* one of an ordered group went back with a delay */
} settle_work;

void marty__mem_item_return(item *it, bool counts, int64_t due_ns)
{
    group *g = it->group;
    marty__mem_item_leave(it);
    it->tries += counts;
    if (!due_ns) {
        marty__mem_wait(it);
        return;
    }
    broker *b = g->channel->broker;
    it->state = ITEM_DELAYED;
    g->delayed_count++;
    marty__mem_item_charge(it);
    marty__list_push(&g->delayed, &it->link);
    if (g->ordered && it->of.claim) {
        marty__mem_claim_delay(it);
    }
    marty__heap_add(&b->leases, &it->timer, due_ns);
    marty__mem_clock_changed(b);
}

/* Nothing of its key goes before the delay is over, so what of it core has not got yet waits, too.
 */
static void hold_key(item *it, subscription *s)
{
    claim *c = it->of.claim;
    for (item *at = s->unsent, *next; at; at = next) {
        next = at->link.next == &s->held ? NULL : MARTY__OWNER(at->link.next, item, link);
        if (at->group == it->group && at->of.claim == c) {
            member *m = at->member;
            marty__mem_item_return(at, false, 0);
            s->credit++;
            marty__mem_member_feed(m);
        }
    }
}

static marty_err reject(marty_port *port, item *it, const marty_settling *how)
{
    marty_error why = {0};
    marty_err err = how->dead ? marty__mem_store_dead(port, how->dead, &why) : MARTY_OK;
    if (err) {
        marty__mem_log(port, "a dead letter is not stored: %s", why.text);
    } else {
        marty__mem_item_free(it);
    }
    return err;
}

static int64_t extend(marty_port *port, item *it, uint32_t delay_ms)
{
    broker *b = port->broker;
    int64_t lease_ms = (int64_t)it->member->subscription->lease_ms;
    if (!lease_ms) {
        return INT64_MAX;
    }
    int64_t ms = delay_ms ? delay_ms : lease_ms;
    int64_t until_ns = marty__deadline_ns(marty__mem_now(b), ms);
    marty__heap_add(&b->leases, &it->timer, until_ns);
    marty__mem_clock_changed(b);
    return until_ns;
}

static void touch(settle_work *work, group *g)
{
    if (work->touched && work->touched != g) {
        marty__mem_dispatch(work->touched);
    }
    work->touched = g;
}

static marty_err settle_item(settle_work *work, item *it, const marty_settling *how,
                             int64_t *ret_lease_ns)
{
    marty_port *port = work->port;
    group *g = it->group;
    int64_t due_ns =
        how->delay_ms ? marty__deadline_ns(marty__mem_now(port->broker), how->delay_ms) : 0;
    marty_err err = MARTY_OK;
    switch (how->verb) {
    case MARTY_SETTLE_ACK:
        marty__mem_item_free(it);
        break;
    case MARTY_SETTLE_RETRY:
    case MARTY_SETTLE_GIVE_BACK: {
        subscription *s = it->member->subscription;
        marty__mem_item_return(it, how->verb == MARTY_SETTLE_RETRY, due_ns);
        if (due_ns && g->ordered && it->of.claim) {
            work->holds_key = true;
            hold_key(it, s);
        }
        break;
    }
    case MARTY_SETTLE_REJECT:
        err = reject(port, it, how);
        break;
    case MARTY_SETTLE_EXTEND:
        *ret_lease_ns = extend(port, it, how->delay_ms);
        return MARTY_OK;
    default:
        return MARTY_E_ARGUMENT;
    }
    touch(work, g);
    return err;
}

/* Its message as an item of its own, unless nothing changes for it; NULL: settled already. */
static item *out_of_run(item *it, const marty_settling *how)
{
    uint32_t place = (uint32_t)((how->tag & ITEM_PLACE_MASK) >> ITEM_INDEX_BITS);
    bool open = place < it->run->told && it->run->open >> place & 1;
    return !open ? NULL : how->verb == MARTY_SETTLE_EXTEND ? it : marty__mem_run_split(it, place);
}

/* The next of a batch, or a run of acks. */
static span settle_next(settle_work *work, const marty_settling batch[], size_t count)
{
    marty_port *port = work->port;
    const marty_settling *how = batch;
    item *it = marty__mem_item_of(port->broker, how->tag);
    const subscription *s = it ? it->member->subscription : NULL;
    span next = {1, MARTY_OK, INT64_MAX};
    if (s && s->port == port && s->number == how->subscription && !s->keeps_nothing) {
        group *g = it->group;
        size_t acked = it->run ? marty__mem_run_ack(it, batch, count) : 0;
        if (acked) {
            touch(work, g);
            next.count = acked;
            return next;
        }
        it = it->run ? out_of_run(it, how) : it;
        next.result = it ? settle_item(work, it, how, &next.lease_ns) : MARTY_E_LOST;
        return next;
    }
    s = marty__map_get_u64(&port->subscriptions, how->subscription);
    next.result = s && s->keeps_nothing ? MARTY_OK : MARTY_E_LOST;
    return next;
}

static bool alike(const span *a, const marty_settling *how_a, const span *b,
                  const marty_settling *how_b)
{
    return a->result == b->result && a->lease_ns == b->lease_ns && how_a->verb == how_b->verb &&
           how_a->subscription == how_b->subscription;
}

/* Spans of one subscription, verb and result are answered together. */
static void answer(settle_work *work, const marty_settling batch[])
{
    const marty_sink *sink = work->port->sink;
    const span *end = work->spans + work->span_count;
    size_t at = 0;
    for (const span *p = work->spans, *first = p; p < end; first = p) {
        const marty_settling *how = &batch[at];
        size_t from = at;
        for (; p < end && alike(first, how, p, &batch[at]); p++) {
            for (size_t until = at + p->count; at < until; at++) {
                work->tags[at] = batch[at].tag;
            }
        }
        sink->settled(sink, how->subscription, how->verb, work->tags + from, at - from,
                      first->result, first->lease_ns);
    }
}

void marty__mem_settle(marty_port *port, const marty_settling batch[], size_t count)
{
    broker *b = port->broker;
    MARTY__UNSET settle_work work;
    work.port = port;
    for (size_t at = 0; at < count; at += CHUNK) {
        size_t size = count - at < CHUNK ? count - at : CHUNK;
        marty__mem_lock(port);
        marty__mem_drops_begin(b, &work.drops);
        work.touched = NULL;
        work.holds_key = false;
        work.span_count = 0;
        for (size_t i = 0; i < size; i += work.spans[work.span_count++].count) {
            work.spans[work.span_count] = settle_next(&work, &batch[at + i], size - i);
        }
        if (work.touched) {
            marty__mem_dispatch(work.touched);
        }
        marty__mem_drops_end(b);
        bool ready = !marty__list_empty(&b->ready);
        if (work.holds_key) { /* the answer comes after what is being told now */
            marty__mem_told_wait(port);
        }
        marty__unlock(&b->lock);
        marty__mem_drops_give(&work.drops);
        answer(&work, batch + at);
        if (ready) {
            marty__mem_pump(b);
        }
    }
}
