/* SPDX-License-Identifier: Apache-2.0
 * Telling core of deliveries, a batch at a time. Under the broker's lock only what is the broker's
 * is taken: messages, tags, and what all of a run have in common; the rest of each is written when
 * the lock is free again. One thread at a time for each port. */
#include "memory.h"

#include <string.h>

enum { BATCH = 256, DIGITS = 24 };

typedef struct offset_digits {
    uint64_t offset; /* 0 = none yet */
    size_t size;
    char digits[DIGITS];
} offset_digits;

/* Some of a batch, one behind the other, that differ in nothing but message, tag and position. The
 * first is filled in under the lock, and the messages of all. */
typedef struct stretch {
    size_t first, count;
    uint64_t offset;    /* of the first; 0 = no position */
    int64_t expires_ns; /* of one alone; 0 = never */
} stretch;

struct deliver_batch {
    marty_incoming incoming[BATCH];
    char positions[BATCH][DIGITS];
    stretch stretches[BATCH];
    channel *lent[BATCH]; /* whose names are borrowed until the call has returned */
    size_t count, stretch_count, lent_count;
    offset_digits at; /* behind the last one */
};

deliver_batch *marty__mem_batch_new(void)
{
    return marty_alloc_zero(1, sizeof(deliver_batch));
}

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

static void lend_name(deliver_batch *batch, const subscription *s, channel *from,
                      marty_incoming *in)
{
    in->channel = from->name + strlen(s->port->prefix);
    from->refs++;
    batch->lent[batch->lent_count++] = from;
}

static item *behind(const subscription *s, const item *it)
{
    return it->link.next == &s->held ? NULL : MARTY__OWNER(it->link.next, item, link);
}

static stretch *stretch_of(deliver_batch *batch, const item *it, uint32_t place)
{
    const channel *c = it->group->channel;
    bool has_position = it->offset && (c->kind == MARTY_KIND_TOPIC || c->kind == MARTY_KIND_STREAM);
    stretch *p = &batch->stretches[batch->stretch_count++];
    *p = (stretch){
        .first = batch->count, .count = 1, .offset = has_position ? it->offset + place : 0};
    return p;
}

/* As many of a run as the batch has room for. */
static void fill_run(deliver_batch *batch, subscription *s, item *it)
{
    run *r = it->run;
    stretch *p = stretch_of(batch, it, r->told);
    size_t room = BATCH - batch->count, count = r->count - r->told;
    p->count = count < room ? count : room;
    for (size_t i = 0; i < p->count; i++) {
        batch->incoming[p->first + i].message = r->messages[r->told + i];
    }
    r->told += (uint32_t)p->count;
    s->unsent = r->told < r->count ? it : behind(s, it);
}

static void fill_one(deliver_batch *batch, subscription *s, item *it)
{
    marty_incoming *in = &batch->incoming[batch->count];
    stretch_of(batch, it, 0)->expires_ns = it->expires_ns;
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
static void fill(deliver_batch *batch, subscription *s)
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
    batch->count += batch->stretches[batch->stretch_count - 1].count;
}

static void fill_positions(deliver_batch *batch, const stretch *p)
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
static void fill_stretches(marty_port *port)
{
    deliver_batch *batch = port->batch;
    for (const stretch *p = batch->stretches; p < batch->stretches + batch->stretch_count; p++) {
        marty_incoming *in = &batch->incoming[p->first];
        if (p->expires_ns) {
            in->message = in_our_time(port, in->message, p->expires_ns);
        }
        for (size_t i = 1; i < p->count; i++) {
            marty_message *message = in[i].message;
            in[i] = in[0];
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
    deliver_batch *batch = port->batch;
    batch->count = batch->stretch_count = batch->lent_count = 0;
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

bool marty__mem_deliver(marty_port *port)
{
    fill_all(port);
    deliver_batch *batch = port->batch;
    if (!batch->count) {
        return false;
    }
    marty__unlock(&port->broker->lock);
    fill_stretches(port);
    port->sink->delivered(port->sink, batch->incoming, batch->count);
    marty__lock(&port->broker->lock);
    while (batch->lent_count) {
        marty__mem_channel_unref(batch->lent[--batch->lent_count]);
    }
    return true;
}
