/* SPDX-License-Identifier: Apache-2.0
 * Telling core. What there is to tell hangs on the ports; whoever ends an op tells it for all
 * ports, one thread at a time for each, with the lock given back during each call. So deliveries of
 * a subscription keep their order on any number of threads, and its CLOSED comes after the last
 * one. What is published is left to a worker of whoever gets it, if that can wait. A thread that
 * has told one port for long hands the rest to such a worker, or to that port's own timer. */
#include "memory.h"

#include "message/message.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { BATCH = 256, ROUNDS_MAX = 64, DIGITS = 24 };

typedef struct offset_digits {
    uint64_t offset; /* 0 = none yet */
    size_t size;
    char digits[DIGITS];
} offset_digits;

/* Some of a batch, one behind the other, that differ in nothing but message, tag and position. The
 * first is filled in under the lock, and the messages of all. */
typedef struct part {
    size_t first, count;
    uint64_t offset;    /* of the first; 0 = no position */
    int64_t expires_ns; /* of one alone; 0 = never */
} part;

struct pump_batch {
    marty_incoming incoming[BATCH];
    char positions[BATCH][DIGITS];
    part parts[BATCH];
    channel *lent[BATCH]; /* whose names are borrowed until the call has returned */
    size_t count, part_count, lent_count;
    offset_digits at; /* behind the last one */
};

pump_batch *marty__mem_batch_new(void)
{
    return marty_alloc_zero(1, sizeof(pump_batch));
}

void marty__mem_lock(marty_port *port)
{
    broker *b = port->broker;
    marty__lock(&b->lock);
    b->env = port->sink->env;
    b->now_ns = b->wall_us = 0;
}

void marty__mem_port_ready(marty_port *port)
{
    if (!port->pumping && !port->ready_link.next) {
        marty__list_push(&port->broker->ready, &port->ready_link);
    }
}

void marty__mem_notice(subscription *s, notice what, marty_err reason, const char *text)
{
    s->notice = what;
    s->reason = reason;
    s->text = text;
    if (!s->notice_link.next) {
        marty__list_push(&s->port->notices, &s->notice_link);
    }
    marty__mem_port_ready(s->port);
}

void marty__mem_log(marty_port *port, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(port->warning, sizeof port->warning, format, arguments);
    va_end(arguments);
    marty__mem_port_ready(port);
}

/* ---- the clock */
static marty_port *keeper(const broker *b)
{
    return marty__list_empty(&b->ports) ? NULL : MARTY__OWNER(b->ports.next, marty_port, link);
}

void marty__mem_clock_changed(broker *b)
{
    marty_port *port = keeper(b);
    if (port && marty__mem_due_ns(b) < port->timer_ns) {
        port->timer_dirty = true;
        marty__mem_port_ready(port);
    }
}

void marty__mem_clock_moved(broker *b)
{
    marty_port *port = keeper(b);
    if (port) {
        port->timer_ns = MARTY__NEVER;
        marty__mem_clock_changed(b);
    }
}

/* ---- one delivery */
static void write_digits(offset_digits *at, uint64_t offset)
{
    char digits[DIGITS];
    size_t size = 0;
    at->offset = offset;
    do {
        digits[size++] = (char)('0' + offset % 10);
        offset /= 10;
    } while (offset);
    for (size_t i = 0; i < size; i++) {
        at->digits[i] = digits[size - 1 - i];
    }
    at->digits[size] = '\0';
    at->size = size;
}

/* Offsets come one after the other: mostly only the last digit moves. */
static inline void count_on(offset_digits *at)
{
    size_t place = at->size;
    while (place && at->digits[place - 1] == '9') {
        at->digits[--place] = '0';
    }
    if (place) {
        at->digits[place - 1]++;
        at->offset++;
    } else {
        write_digits(at, at->offset + 1);
    }
}

/* When it expires by the clock of the port that gets it: a copy that says so, where the sender's
 * clock showed another time. Without memory it goes as it is. */
static marty_message *in_our_time(const marty_port *port, marty_message *message,
                                  int64_t expires_ns)
{
    int64_t left_us = (expires_ns - port->sink->env->monotonic_ns(port->sink->env->user)) / 1000;
    int64_t expires_us = marty__mem_port_wall(port) + left_us;
    int64_t off_us = expires_us - message->expires_us;
    if (expires_ns == MARTY__NEVER - 1 || (off_us < CLOCKS_AGREE_US && off_us > -CLOCKS_AGREE_US)) {
        return message;
    }
    marty_message *copy = NULL;
    marty_error why;
    marty__change change = {.expires = true, .expires_us = expires_us};
    if (marty__message_copy_with(&copy, message, &change, &why)) {
        return message;
    }
    marty_message_unref(message);
    return copy;
}

static void lend_name(pump_batch *batch, const subscription *s, channel *from, marty_incoming *in)
{
    in->channel = from->name + strlen(s->port->prefix);
    from->refs++;
    batch->lent[batch->lent_count++] = from;
}

static item *behind(const subscription *s, const item *it)
{
    return it->link.next == &s->held ? NULL : MARTY__OWNER(it->link.next, item, link);
}

static part *part_of(pump_batch *batch, const item *it, uint32_t place)
{
    const channel *c = it->group->channel;
    bool has_position = it->offset && (c->kind == MARTY_KIND_TOPIC || c->kind == MARTY_KIND_STREAM);
    part *p = &batch->parts[batch->part_count++];
    *p = (part){.first = batch->count,
                .count = 1,
                .offset = has_position ? it->offset + place : 0,
                .expires_ns = it->expires_ns};
    return p;
}

/* As many of a run as the batch has room for. */
static void fill_run(pump_batch *batch, subscription *s, item *it)
{
    run *r = it->run;
    part *p = part_of(batch, it, r->told);
    size_t room = BATCH - batch->count, count = r->count - r->told;
    p->count = count < room ? count : room;
    for (size_t i = 0; i < p->count; i++) {
        batch->incoming[p->first + i].message = r->messages[r->told + i];
    }
    r->told += (uint32_t)p->count;
    s->unsent = r->told < r->count ? it : behind(s, it);
}

static void fill_one(pump_batch *batch, subscription *s, item *it)
{
    marty_incoming *in = &batch->incoming[batch->count];
    (void)part_of(batch, it, 0);
    if (!s->keeps_nothing) {
        in->message = marty__mem_item_lend(it);
        s->unsent = behind(s, it);
        return;
    }
    in->message = it->message; /* settled by that */
    it->message = NULL;
    if (s->kind == MARTY_KIND_REQUEST && it->of.reply) {
        in->reply_to = it->of.reply->name;
        batch->lent[batch->lent_count++] = it->of.reply;
        it->of.reply = NULL;
    }
    marty__mem_item_free(it);
}

/* The next of s go into the batch. */
static void fill(pump_batch *batch, subscription *s)
{
    item *it = s->unsent;
    uint64_t place = it->run ? it->run->told : 0;
    marty_incoming *in = &batch->incoming[batch->count];
    *in = (marty_incoming){.subscription = s->number,
                           .tag = it->tag | place << ITEM_INDEX_BITS,
                           .attempt = it->tries + 1,
                           .shard = it->shard,
                           .lease_until_ns = it->timer.armed ? it->timer.at_ns : INT64_MAX};
    if (s->wild) {
        lend_name(batch, s, it->group->channel, in);
    }
    if (it->run) {
        fill_run(batch, s, it);
    } else {
        fill_one(batch, s, it);
    }
    batch->count += batch->parts[batch->part_count - 1].count;
}

static void fill_positions(pump_batch *batch, const part *p)
{
    offset_digits *at = &batch->at;
    if (at->offset != p->offset) {
        write_digits(at, p->offset);
    }
    for (size_t i = p->first; i < p->first + p->count; i++) {
        batch->incoming[i].position = memcpy(batch->positions[i], at->digits, DIGITS);
        count_on(at);
    }
}

/* Without the lock: the rest of each. */
static void fill_parts(marty_port *port)
{
    pump_batch *batch = port->batch;
    for (const part *p = batch->parts; p < batch->parts + batch->part_count; p++) {
        marty_incoming *in = &batch->incoming[p->first];
        const marty_incoming like = *in;
        if (p->expires_ns) {
            in->message = in_our_time(port, in->message, p->expires_ns);
        }
        for (size_t i = 1; i < p->count; i++) {
            marty_message *message = in[i].message;
            in[i] = like;
            in[i].message = message;
            in[i].tag += (uint64_t)i << ITEM_INDEX_BITS;
        }
        if (p->offset) {
            fill_positions(batch, p);
        }
    }
}

static void fill_all(marty_port *port)
{
    pump_batch *batch = port->batch;
    batch->count = batch->part_count = batch->lent_count = 0;
    while (batch->count < BATCH && !marty__list_empty(&port->ready)) {
        subscription *s = MARTY__OWNER(port->ready.next, subscription, ready);
        while (batch->count < BATCH && s->unsent) {
            fill(batch, s);
        }
        marty__list_remove(&s->ready);
        if (s->unsent) { /* the others first */
            marty__list_push(&port->ready, &s->ready);
        }
    }
    port->urgent = port->urgent && !marty__list_empty(&port->ready);
}

static bool deliver(marty_port *port)
{
    fill_all(port);
    pump_batch *batch = port->batch;
    if (!batch->count) {
        return false;
    }
    marty__unlock(&port->broker->lock);
    fill_parts(port);
    port->sink->delivered(port->sink, batch->incoming, batch->count);
    marty__lock(&port->broker->lock);
    while (batch->lent_count) {
        marty__mem_channel_unref(batch->lent[--batch->lent_count]);
    }
    return true;
}

/* ---- the other things */
static bool tell_notice(marty_port *port)
{
    marty__link *link = marty__list_pop(&port->notices);
    if (!link) {
        return false;
    }
    subscription *s = MARTY__OWNER(link, subscription, notice_link);
    uint64_t number = s->number;
    marty_err reason = s->reason;
    const char *text = s->text;
    if (s->notice != NOTICE_SUBSCRIBED) {
        marty__mem_subscription_free(s);
    }
    marty__unlock(&port->broker->lock);
    port->sink->subscribed(port->sink, number, reason, text);
    marty__lock(&port->broker->lock);
    return true;
}

static bool tell_log(marty_port *port)
{
    char text[sizeof port->warning];
    if (!port->warning[0]) {
        return false;
    }
    memcpy(text, port->warning, sizeof text);
    port->warning[0] = '\0';
    marty__unlock(&port->broker->lock);
    port->sink->log(port->sink, 1, text);
    marty__lock(&port->broker->lock);
    return true;
}

static bool tell_timer(marty_port *port)
{
    if (!port->timer_dirty) {
        return false;
    }
    port->timer_dirty = false;
    port->timer_ns = marty__mem_due_ns(port->broker);
    int64_t at_ns = port->timer_ns;
    marty__unlock(&port->broker->lock);
    port->sink->timer(port->sink, at_ns, marty__mem_clock_rang, port);
    marty__lock(&port->broker->lock);
    return true;
}

static bool tell_closed(marty_port *port)
{
    if (!port->close_notice) {
        return false;
    }
    port->close_notice = false;
    marty__unlock(&port->broker->lock);
    port->sink->state(port->sink, MARTY_STATE_CLOSED, NULL, MARTY_OK, "closed");
    marty__lock(&port->broker->lock);
    return true;
}

void marty__mem_go_on(void *user)
{
    marty_port *port = user;
    marty__mem_lock(port);
    marty__mem_port_ready(port);
    marty__mem_unlock(port->broker);
}

static bool has_more(const marty_port *port)
{
    return !marty__list_empty(&port->ready) || !marty__list_empty(&port->notices) ||
           port->warning[0] || port->timer_dirty || port->close_notice;
}

/* Nothing but deliveries, none of them urgent: they may wait for a worker of the port's bus. */
static bool can_wait(const marty_port *port)
{
    return !port->urgent && marty__list_empty(&port->notices) && !port->warning[0] &&
           !port->timer_dirty && !port->close_notice;
}

/* What several subscriptions get is told by whoever published it, in whose cache it lies. */
static bool is_for_one(const marty_port *port)
{
    return port->ready.next == port->ready.before;
}

static void go_on_lent(void *user);

/* Have a worker come for the rest, or the timer; false: there is no worker to be had. Who frees the
 * port waits for us as for one who pumps; the worker need not. */
static bool leave_to(marty_port *port, bool worker)
{
    bool lent = true;
    port->lending++;
    marty__unlock(&port->broker->lock);
    if (worker) {
        lent = port->sink->later(port->sink, go_on_lent, port);
    } else {
        port->sink->timer(port->sink, 0, marty__mem_go_on, port);
    }
    marty__lock(&port->broker->lock);
    port->lending--;
    return lent;
}

static void rest(marty_port *port)
{
    if (port->awaited) {
        marty__wake_all(&port->broker->idle);
    }
}

/* lent: a worker runs what is in one batch before it makes more. */
static void tell(marty_port *port, bool lent)
{
    port->pumping = true;
    marty__list_remove(&port->ready_link);
    for (unsigned round = 0; round < ROUNDS_MAX; round++) {
        bool told = tell_notice(port) || deliver(port) || tell_log(port) || tell_timer(port) ||
                    tell_closed(port);
        if (!told || (lent && can_wait(port))) {
            break;
        }
    }
    port->pumping = false; /* first, else who is asked for the rest would find us at it */
    if (has_more(port) && !(can_wait(port) && leave_to(port, true))) {
        (void)leave_to(port, false);
    }
    rest(port);
}

void marty__mem_unlock(broker *b)
{
    for (marty__link *link; (link = marty__list_pop(&b->ready)) != NULL;) {
        tell(MARTY__OWNER(link, marty_port, ready_link), false);
    }
    marty__unlock(&b->lock);
}

static void unlock_lending(broker *b)
{
    for (marty__link *link; (link = marty__list_pop(&b->ready)) != NULL;) {
        marty_port *port = MARTY__OWNER(link, marty_port, ready_link);
        if ((can_wait(port) && is_for_one(port) && leave_to(port, true)) || port->pumping) {
            rest(port);
        } else {
            tell(port, false);
        }
    }
    marty__unlock(&b->lock);
}

static void go_on_lent(void *user)
{
    marty_port *port = user;
    marty__mem_lock(port);
    if (!port->pumping) {
        tell(port, true);
    }
    unlock_lending(port->broker);
}

void marty__mem_pump_later(broker *b)
{
    marty__lock(&b->lock);
    unlock_lending(b);
}

void marty__mem_pump(broker *b)
{
    marty__lock(&b->lock);
    marty__mem_unlock(b);
}

void marty__mem_pump_wait(marty_port *port)
{
    port->awaited = true;
    while (port->pumping || port->lending) {
        (void)marty__wait(&port->broker->idle, &port->broker->lock, MARTY__NEVER);
    }
}
