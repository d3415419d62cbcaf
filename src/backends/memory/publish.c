/* SPDX-License-Identifier: Apache-2.0
 * Publishing a batch: what can be reckoned without the lock is; then the lock once per chunk, the
 * answers, and the deliveries. Each message is answered by its own outcome. */
#include "memory.h"

#include "backend/capability.h"

#include <stdio.h>
#include <string.h>

enum { CHUNK = 64, TEXT_BYTES = 160 };

/* Some of a chunk, one behind the other, that go to one place. Either all of them are plain, stored
 * by nothing but an entry of a log; or none is. */
typedef struct part {
    size_t first, count;
    const marty_channel *place;
    bool kept, log, folds; /* the place keeps what comes; nothing but entries of a log; once each */
    bool plain;
    channel *channel;    /* NULL: said to nobody, or all of it failed */
    uint64_t salt;       /* of their prints */
    uint64_t cost;       /* if plain, of all of them together */
    size_t largest;      /* if plain: the data of one */
    int64_t deadline_ns; /* if plain: the first of theirs */
} part;

struct publish_work { /* of a port, whose ops come one at a time: so it is no load on the stack */
    marty_port *port;
    const marty_outgoing *out;
    size_t count, part_count;
    marty_error why; /* of the one that failed last: too large to clear for each */
    marty_published results[CHUNK];
    fingerprint prints[CHUNK];
    bool fresh[CHUNK]; /* its id can be nowhere yet */
    bool folds;        /* the port folds duplicates */
    bool reserved;     /* room to remember all of these */
    part parts[CHUNK];
    drops drops;
    char texts[CHUNK][TEXT_BYTES]; /* of those that failed */
};

publish_work *marty__mem_publish_work_new(void)
{
    return marty_alloc_zero(1, sizeof(publish_work));
}

static void fail(publish_work *k, size_t i, marty_err err)
{
    (void)snprintf(k->texts[i], TEXT_BYTES, "%.*s", TEXT_BYTES - 1, k->why.text);
    k->results[i].err = err;
    k->results[i].text = k->texts[i];
}

/* Whether its id can be nowhere yet: no longer, since whoever gets it may publish it again. */
static bool take_fresh(marty__block *block)
{
    if (!block || !block->fresh) {
        return false;
    }
    block->fresh = false;
    return true;
}

static fingerprint print_of(const publish_work *k, size_t i, const marty__block *block)
{
    const dedup *d = &k->port->broker->dedup;
    return k->fresh[i] ? marty__mem_fingerprint_of(d, block->id, block->source)
                       : marty__mem_fingerprint(d, k->out[i].message);
}

static bool same_place(const marty_channel *a, const marty_channel *b)
{
    return a->name == b->name && a->kind == b->kind && a->order == b->order &&
           a->native == b->native && a->shards == b->shards && a->group == b->group;
}

/* Nothing is to be looked up for it, reckoned or asked, but its channel and room. */
static bool is_plain(const publish_work *k, size_t i, const part *p, const marty__block *block)
{
    const marty_message *message = k->out[i].message;
    return p->log && block && (k->fresh[i] || !k->folds) && !k->out[i].deliver_at_us &&
           !message->expires_us && !message->priority;
}

static part *new_part(publish_work *k, size_t i)
{
    const marty_channel *place = &k->out[i].channel;
    part *p = &k->parts[k->part_count++];
    *p = (part){.first = i, .place = place, .kept = marty__mem_is_kept(place->kind)};
    p->log = p->kept && place->kind != MARTY_KIND_DEAD && !place->group;
    p->folds = p->kept && k->folds;
    p->deadline_ns = MARTY__NEVER;
    return p;
}

/* The part that the i-th belongs to: that of the one before it (NULL: there is none), or a new one.
 */
static part *part_of(publish_work *k, size_t i, part *p, const marty__block *block)
{
    if (!p || !same_place(&k->out[i].channel, p->place) || is_plain(k, i, p, block) != p->plain) {
        p = new_part(k, i);
        p->plain = is_plain(k, i, p, block);
    }
    p->count++;
    return p;
}

/* What a part asks for as a whole. */
static void add_needs(part *p, const marty_outgoing *out)
{
    size_t size = out->message->data.size;
    int64_t deadline_ns = out->deadline_ns ? out->deadline_ns : MARTY__NEVER;
    p->cost += marty__mem_cost(out->message);
    p->largest = size > p->largest ? size : p->largest;
    p->deadline_ns = deadline_ns < p->deadline_ns ? deadline_ns : p->deadline_ns;
}

static void prepare(publish_work *k)
{
    k->folds = k->port->settings.dedup_ms != 0;
    k->reserved = false;
    k->part_count = 0;
    part *p = NULL;
    for (size_t i = 0; i < k->count; i++) {
        const marty_outgoing *out = &k->out[i];
        marty__block *block =
            marty__message_counted(out->message) ? marty__block_of(out->message) : NULL;
        marty_published *result = &k->results[i];
        result->token = out->token;
        result->err = MARTY_OK;
        result->level = MARTY_LEVEL_MEMORY;
        result->text = NULL;
        result->offset = 0;
        k->fresh[i] = take_fresh(block);
        p = part_of(k, i, p, block);
        if (p->plain) {
            add_needs(p, out);
        }
        if (p->folds) {
            k->prints[i] = print_of(k, i, block);
        }
    }
}

/* ---- where to */
static fingerprint print_in(const publish_work *k, const part *p, size_t i)
{
    return marty__mem_fingerprint_in(k->prints[i], p->salt);
}

/* What is looked for later is asked for now. */
static void look_ahead(publish_work *k, const part *p)
{
    for (size_t i = p->first; i < p->first + p->count; i++) {
        if (k->out[i].deliver_at_us && !p->kept) {
            fail(k, i,
                 marty_error_set(&k->why, MARTY_E_UNSUPPORTED,
                                 "what keeps nothing cannot be scheduled: %s of %.64s",
                                 marty__kind_name(p->place->kind), p->place->name));
        } else if (p->folds && !k->fresh[i]) {
            marty__mem_dedup_prefetch(&k->port->broker->dedup, print_in(k, p, i));
        }
    }
}

static void find_channels(publish_work *k)
{
    for (part *p = k->parts; p < k->parts + k->part_count; p++) {
        marty_err err = marty__mem_find_place(k->port, &p->channel, p->place, &k->why);
        for (size_t i = p->first; err && i < p->first + p->count; i++) {
            fail(k, i, err);
        }
        if (p->channel) {
            p->salt = marty__mem_salt(p->channel, p->place->group);
        }
        if (!p->plain && !err) {
            look_ahead(k, p);
        }
    }
}

/* ---- one message */
static marty_err check(const marty_port *port, const marty_outgoing *out, marty_error *why)
{
    uint64_t most = marty__mem_payload_max(&port->broker->settings);
    if (out->message->data.size > most) {
        return marty_error_set(why, MARTY_E_TOO_LARGE,
                               "message %.40s has %zu bytes, the limit of memory is %llu; send a "
                               "reference, or raise limit=",
                               out->message->id, out->message->data.size, (unsigned long long)most);
    }
    if (out->deadline_ns && marty__mem_now(port->broker) > out->deadline_ns) {
        return marty_error_set(why, MARTY_E_TIMEOUT, "the deadline passed before it was published");
    }
    if (!marty__message_counted(out->message)) {
        return marty_error_set(why, MARTY_E_ARGUMENT, "the port takes counted messages only");
    }
    return MARTY_OK;
}

/* A time that the port's clock will show, on the monotonic one; 0 = none was given. That clock is
 * read first, and the other one then, not before in the same op: what is said may come out late by
 * a moment, never early. */
static int64_t moment_of(const marty_port *port, int64_t wall_us)
{
    broker *b = port->broker;
    if (!wall_us) {
        return 0;
    }
    int64_t wait_us = wall_us - marty__mem_port_wall(port);
    if (wait_us <= 0) {
        return marty__mem_now(b);
    }
    int64_t now_ns = b->env->monotonic_ns(b->env->user);
    return wait_us > (MARTY__NEVER - now_ns) / 1000 ? MARTY__NEVER - 1 : now_ns + wait_us * 1000;
}

static marty_err store_one(storing *what, const marty_outgoing *out, marty_error *why)
{
    marty_err err = MARTY_OK;
    what->expires_ns = moment_of(what->port, out->message->expires_us);
    int64_t at_ns = moment_of(what->port, out->deliver_at_us);
    if (at_ns > marty__mem_now(what->port->broker)) {
        return marty__mem_schedule(what, at_ns, why);
    }
    if (out->channel.kind == MARTY_KIND_REQUEST) {
        err = marty__mem_find_answer_place(what, out, why);
    }
    return err ? err : marty__mem_store(what, why);
}

static bool reserve(publish_work *k, size_t i)
{
    broker *b = k->port->broker;
    if (!(k->fresh[i] && k->reserved)) {
        if (!marty__mem_dedup_reserve(&b->dedup, k->prints[i], marty__mem_now(b))) {
            return false;
        }
        k->reserved = k->fresh[i];
    }
    return true;
}

/* Whether it is there already, or else can be remembered. */
static marty_err look_for(publish_work *k, const part *p, size_t i, bool *ret_known,
                          marty_error *why)
{
    broker *b = k->port->broker;
    *ret_known =
        !k->fresh[i] && marty__mem_dedup_seen(&b->dedup, print_in(k, p, i), marty__mem_now(b),
                                              k->port->settings.dedup_ms);
    if (*ret_known || reserve(k, i)) {
        return MARTY_OK;
    }
    return marty_error_set(why, MARTY_E_NO_MEMORY, "no memory to remember a message's id");
}

static void remember(publish_work *k, const part *p, size_t i)
{
    broker *b = k->port->broker;
    if (k->fresh[i]) {
        marty__mem_dedup_list(&b->dedup, &k->prints[i], 1, p->salt, marty__mem_now(b));
    } else {
        marty__mem_dedup_remember(&b->dedup, print_in(k, p, i), marty__mem_now(b));
        k->reserved = false;
    }
}

static marty_err publish_one(publish_work *k, const part *p, size_t i, marty_error *why)
{
    const marty_outgoing *out = &k->out[i];
    bool known = false;
    storing what = {.port = k->port,
                    .channel = p->channel,
                    .group = out->channel.group,
                    .message = out->message};
    marty_err err = check(k->port, out, why);
    err = err || !p->folds ? err : look_for(k, p, i, &known, why);
    if (err || known) {
        return err;
    }
    err = store_one(&what, out, why);
    if (!err && p->folds) {
        remember(k, p, i);
    }
    if (!err && what.position && p->kept) {
        k->results[i].offset = what.position;
    }
    return err;
}

/* ---- many of one channel, each with its own answer */
/* Stores as many as it can of a plain part; 0: the first needs a look of its own. */
static size_t publish_plain(publish_work *k, const part *p)
{
    broker *b = k->port->broker;
    channel *c = p->channel;
    bool in_time = p->deadline_ns == MARTY__NEVER || marty__mem_now(b) <= p->deadline_ns;
    if (!in_time || p->largest > marty__mem_payload_max(&b->settings) ||
        (p->folds && !reserve(k, p->first))) {
        return 0;
    }
    uint64_t first = c->log.next;
    size_t count = marty__mem_store_plain(c, &k->out[p->first], p->count, p->cost);
    marty_published *results = &k->results[p->first];
    for (size_t at = 0; at < count; at++) {
        results[at].offset = first + at;
    }
    if (count && p->folds) { /* what is plain is fresh, then */
        marty__mem_dedup_list(&b->dedup, &k->prints[p->first], count, p->salt, marty__mem_now(b));
    }
    return count;
}

static void publish_part(publish_work *k, const part *p)
{
    size_t done = p->plain ? publish_plain(k, p) : 0;
    for (size_t i = p->first + done; i < p->first + p->count; i++) {
        marty_err err = k->results[i].err ? MARTY_OK : publish_one(k, p, i, &k->why);
        if (err) {
            fail(k, i, err);
        }
    }
}

static void publish_chunk(publish_work *k)
{
    channel *touched = NULL;
    find_channels(k);
    for (const part *p = k->parts; p < k->parts + k->part_count; p++) {
        if (p->channel && touched && touched != p->channel) {
            marty__mem_dispatch_channel(touched);
        }
        if (p->channel) {
            touched = p->channel;
            publish_part(k, p);
        }
    }
    if (touched) {
        marty__mem_dispatch_channel(touched);
    }
}

marty_err marty__mem_publish(marty_port *port, const marty_outgoing batch[], size_t count,
                             size_t *ret_taken, marty_error *why)
{
    (void)why;
    broker *b = port->broker;
    bool ready = false;
    for (size_t at = 0; at < count; at += CHUNK) {
        publish_work *k = port->publish_work;
        k->port = port;
        k->out = batch + at;
        k->count = count - at < CHUNK ? count - at : CHUNK;
        prepare(k);
        marty__mem_lock(port);
        marty__mem_drops_begin(b, &k->drops);
        publish_chunk(k);
        marty__mem_drops_end(b);
        ready = ready || !marty__list_empty(&b->ready);
        marty__unlock(&b->lock);
        marty__mem_drops_give(&k->drops);
        port->sink->published(port->sink, k->results, k->count);
    }
    if (ready) { /* all of it at once, so that who receives it wakes up once */
        marty__mem_pump_later(b);
    }
    *ret_taken = count;
    return MARTY_OK;
}

/* With the lock held; only DEAD channels, so what is not stored is not settled either. */
marty_err marty__mem_store_dead(marty_port *port, const marty_outgoing *dead, marty_error *why)
{
    broker *b = port->broker;
    storing what = {.port = port, .message = dead->message};
    marty_channel wanted = dead->channel;
    wanted.kind = MARTY_KIND_DEAD;
    marty_err err = marty__mem_find_place(port, &what.channel, &wanted, why);
    err = err ? err : check(port, dead, why);
    if (err || !port->settings.dedup_ms) {
        return err ? err : marty__mem_store(&what, why);
    }
    fingerprint of = marty__mem_fingerprint_in(marty__mem_fingerprint(&b->dedup, dead->message),
                                               marty__mem_salt(what.channel, NULL));
    if (marty__mem_dedup_seen(&b->dedup, of, marty__mem_now(b), port->settings.dedup_ms)) {
        return MARTY_OK;
    }
    if (!marty__mem_dedup_reserve(&b->dedup, of, marty__mem_now(b))) {
        return marty_error_set(why, MARTY_E_NO_MEMORY, "no memory to remember a message's id");
    }
    err = marty__mem_store(&what, why);
    if (!err) {
        marty__mem_dedup_remember(&b->dedup, of, marty__mem_now(b));
    }
    return err;
}
