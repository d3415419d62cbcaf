/* SPDX-License-Identifier: Apache-2.0
 * Publishing a batch: what can be reckoned without the lock is; then the lock once per chunk, the
 * answers, and the deliveries. Each message is answered by its own outcome. */
#include "memory.h"

#include "backend/capability.h"
#include "message/block.h"
#include "message/message.h"

#include <stdio.h>
#include <string.h>

enum { CHUNK = 64, TEXT_BYTES = 160 };

struct publish_work { /* of a port, whose ops come one at a time: so it is no load on the stack */
    marty_port *port;
    const marty_outgoing *out;
    size_t count;
    marty_error why; /* of the one that failed last: too large to clear for each */
    marty_published results[CHUNK];
    fingerprint prints[CHUNK];
    bool same[CHUNK], kept[CHUNK]; /* goes where the one before it goes; to what keeps it */
    bool fresh[CHUNK];             /* its id can be nowhere yet */
    bool plain[CHUNK];             /* stored by nothing but an entry of a log */
    bool reserved;                 /* room to remember all of these */
    channel *channels[CHUNK];      /* NULL: answered already */
    offset_digits at;              /* of the one that was stored last */
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
    k->channels[i] = NULL;
}

static bool is_kept(marty_kind kind)
{
    return kind == MARTY_KIND_TOPIC || kind == MARTY_KIND_QUEUE || kind == MARTY_KIND_STREAM ||
           kind == MARTY_KIND_DEAD;
}

/* Whether its id can be nowhere yet: no longer, since whoever gets it may publish it again. */
static bool take_fresh(const marty_message *message)
{
    marty__block *block = marty__message_counted(message) ? marty__block_of(message) : NULL;
    if (!block || !block->fresh) {
        return false;
    }
    block->fresh = false;
    return true;
}

static void take_print(publish_work *k, size_t i, const marty_message *message)
{
    const dedup *d = &k->port->broker->dedup;
    const marty__block *block = marty__block_of(message);
    k->prints[i] = k->fresh[i] ? marty__mem_fingerprint_of(d, block->id, block->source)
                               : marty__mem_fingerprint(d, message);
}

/* Nothing is to be looked up for it, reckoned or asked, but its channel and room. */
static bool is_plain(const publish_work *k, size_t i)
{
    const marty_outgoing *out = &k->out[i];
    const marty_message *message = out->message;
    return k->kept[i] && out->channel.kind != MARTY_KIND_DEAD && !out->channel.group &&
           (k->fresh[i] || !k->port->settings.dedup_ms) && !out->deliver_at_us &&
           !message->expires_us && !message->priority && marty__message_counted(message);
}

static bool same_place(const marty_channel *a, const marty_channel *b)
{
    return a->name == b->name && a->kind == b->kind && a->order == b->order &&
           a->native == b->native && a->shards == b->shards && a->group == b->group;
}

static void prepare(publish_work *k)
{
    k->reserved = false;
    for (size_t i = 0; i < k->count; i++) {
        const marty_outgoing *out = &k->out[i];
        marty_published *result = &k->results[i];
        result->token = out->token;
        result->err = MARTY_OK;
        result->level = MARTY_LEVEL_MEMORY;
        result->text = NULL;
        result->position[0] = '\0';
        k->same[i] = i && same_place(&out->channel, &k->out[i - 1].channel);
        k->kept[i] = k->same[i] ? k->kept[i - 1] : is_kept(out->channel.kind);
        k->fresh[i] = take_fresh(out->message);
        k->plain[i] = is_plain(k, i);
        if (k->kept[i] && k->port->settings.dedup_ms) {
            take_print(k, i, out->message);
        }
    }
}

/* ---- which channel */
static bool same_name(const channel *c, const marty_port *port, const marty_channel *wanted)
{
    size_t prefix = strlen(port->prefix);
    return wanted->kind == c->kind && !wanted->native && wanted->name && prefix < c->name_size &&
           (wanted->order == MARTY_ORDER_DEFAULT || wanted->order == c->order) &&
           (!wanted->shards || wanted->shards == c->shards) &&
           strcmp(c->name + prefix, wanted->name) == 0;
}

/* A reply goes to the address as it is; what is no such channel any more has nobody to hear it. */
static marty_err find_reply(marty_port *port, channel **ret_channel, const marty_channel *wanted,
                            marty_error *why)
{
    channel *c = wanted->name ? marty__mem_channel_find(port->broker, wanted->name) : NULL;
    if (c && c->kind != MARTY_KIND_REPLY) {
        return marty_error_set(why, MARTY_E_ARGUMENT, "%.128s is no reply address", wanted->name);
    }
    *ret_channel = c;
    return MARTY_OK;
}

static marty_err nobody_handles(const char *name, marty_error *why)
{
    return marty_error_set(why, MARTY_E_NO_RESPONDER, "nobody handles queries on %.128s now", name);
}

static marty_err find_by_name(marty_port *port, channel **ret_channel, const marty_channel *wanted,
                              marty_error *why)
{
    char name[FULL_NAME_BYTES];
    marty_err err = marty__mem_full_name(port, name, wanted, false, why);
    if (err) {
        return err;
    }
    if (!is_kept(wanted->kind) && !marty__mem_channel_find(port->broker, name)) {
        if (wanted->kind == MARTY_KIND_REQUEST) {
            return nobody_handles(wanted->name, why);
        }
        if (marty__list_empty(&port->broker->wild)) {
            return MARTY_OK; /* nobody listens: said to nobody */
        }
    }
    bool make = port->settings.create || !is_kept(wanted->kind);
    err = marty__mem_channel(port, ret_channel, name, wanted, make, why);
    if (!err) {
        port->last = *ret_channel;
    }
    return err;
}

static marty_err find_channel(marty_port *port, channel **ret_channel, const marty_channel *wanted,
                              marty_error *why)
{
    if (wanted->kind == MARTY_KIND_REPLY) {
        return find_reply(port, ret_channel, wanted, why);
    }
    if (port->last && same_name(port->last, port, wanted)) {
        *ret_channel = port->last;
        return MARTY_OK;
    }
    return find_by_name(port, ret_channel, wanted, why);
}

static void find_channels(publish_work *k)
{
    const dedup *d = &k->port->broker->dedup;
    for (size_t i = 0; i < k->count; i++) {
        const marty_channel *wanted = &k->out[i].channel;
        marty_err err = MARTY_OK;
        k->channels[i] = NULL;
        if (k->out[i].deliver_at_us && !k->kept[i]) {
            err = marty_error_set(&k->why, MARTY_E_UNSUPPORTED,
                                  "what keeps nothing cannot be scheduled: %s of %.64s",
                                  marty__kind_name(wanted->kind), wanted->name);
        } else if (k->same[i] && k->channels[i - 1]) {
            k->channels[i] = k->channels[i - 1];
        } else {
            err = find_channel(k->port, &k->channels[i], wanted, &k->why);
        }
        if (err) {
            fail(k, i, err);
        } else if (k->channels[i] && k->kept[i] && k->port->settings.dedup_ms) {
            k->prints[i] = marty__mem_fingerprint_in(k->prints[i], k->channels[i], wanted->group);
            if (!k->fresh[i]) {
                marty__mem_dedup_prefetch(d, k->prints[i]);
            }
        }
    }
}

/* ---- one message */
static marty_err find_answer_place(storing *what, const marty_outgoing *out, marty_error *why)
{
    group *g = MARTY__OWNER(what->channel->groups.next, group, link);
    if (!g->member_count) {
        return nobody_handles(out->channel.name, why);
    }
    if (!out->reply_to) {
        return MARTY_OK;
    }
    marty_channel reply = {.kind = MARTY_KIND_REPLY, .name = out->reply_to};
    char name[FULL_NAME_BYTES];
    marty_err err = marty__mem_full_name(what->port, name, &reply, false, why);
    return err ? err : marty__mem_channel(what->port, &what->reply, name, &reply, true, why);
}

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
        err = find_answer_place(what, out, why);
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
static marty_err look_for(publish_work *k, size_t i, bool *ret_known, marty_error *why)
{
    broker *b = k->port->broker;
    *ret_known = !k->fresh[i] && marty__mem_dedup_seen(&b->dedup, k->prints[i], marty__mem_now(b),
                                                       k->port->settings.dedup_ms);
    if (*ret_known || reserve(k, i)) {
        return MARTY_OK;
    }
    return marty_error_set(why, MARTY_E_NO_MEMORY, "no memory to remember a message's id");
}

static void remember(publish_work *k, size_t i)
{
    broker *b = k->port->broker;
    if (k->fresh[i]) {
        marty__mem_dedup_list(&b->dedup, k->prints[i], marty__mem_now(b));
    } else {
        marty__mem_dedup_remember(&b->dedup, k->prints[i], marty__mem_now(b));
        k->reserved = false;
    }
}

static marty_err publish_one(publish_work *k, size_t i, marty_error *why)
{
    const marty_outgoing *out = &k->out[i];
    bool kept = k->kept[i], folds = kept && k->port->settings.dedup_ms;
    bool known = false;
    storing what = {.port = k->port,
                    .channel = k->channels[i],
                    .group = out->channel.group,
                    .message = out->message};
    marty_err err = check(k->port, out, why);
    err = err || !folds ? err : look_for(k, i, &known, why);
    if (err || known) {
        return err;
    }
    err = store_one(&what, out, why);
    if (!err && folds) {
        remember(k, i);
    }
    if (!err && what.position && kept) {
        memcpy(k->results[i].position, marty__mem_offset_text(&k->at, what.position),
               POSITION_DIGITS);
    }
    return err;
}

/* ---- many of one channel, each with its own answer */
/* How many from the i-th on are plain, in time, small enough and of one channel. */
static size_t plain_from(const publish_work *k, size_t i)
{
    broker *b = k->port->broker;
    uint64_t most = marty__mem_payload_max(&b->settings);
    const channel *c = k->channels[i];
    size_t at = i;
    for (; at < k->count && k->plain[at] && k->channels[at] == c; at++) {
        const marty_outgoing *out = &k->out[at];
        if (out->message->data.size > most ||
            (out->deadline_ns && marty__mem_now(b) > out->deadline_ns)) {
            break;
        }
    }
    return at - i;
}

/* Stores as many as it can of them; 0: the first needs a look of its own. */
static size_t publish_plain(publish_work *k, size_t i)
{
    bool folds = k->port->settings.dedup_ms;
    size_t count = plain_from(k, i);
    if (!count || (folds && !reserve(k, i))) {
        return 0;
    }
    broker *b = k->port->broker;
    channel *c = k->channels[i];
    uint64_t first = c->log.next;
    count = marty__mem_store_plain(c, &k->out[i], count);
    for (size_t at = 0; at < count; at++) {
        memcpy(k->results[i + at].position, marty__mem_offset_text(&k->at, first + at),
               POSITION_DIGITS);
    }
    int64_t now_ns = folds ? marty__mem_now(b) : 0;
    for (size_t at = 0; folds && at < count; at++) { /* what is plain is fresh, then */
        marty__mem_dedup_list(&b->dedup, k->prints[i + at], now_ns);
    }
    return count;
}

static void publish_chunk(publish_work *k)
{
    channel *touched = NULL;
    find_channels(k);
    for (size_t i = 0; i < k->count; i++) {
        if (!k->channels[i]) {
            continue; /* failed, or said to nobody */
        }
        if (touched && touched != k->channels[i]) {
            marty__mem_dispatch_channel(touched);
        }
        touched = k->channels[i];
        size_t stored = publish_plain(k, i);
        if (stored) {
            i += stored - 1;
            continue;
        }
        marty_err err = publish_one(k, i, &k->why);
        if (err) {
            fail(k, i, err);
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
        publish_chunk(k);
        ready = ready || !marty__list_empty(&b->ready);
        marty__unlock(&b->lock);
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
    marty_err err = find_channel(port, &what.channel, &wanted, why);
    err = err ? err : check(port, dead, why);
    if (err || !port->settings.dedup_ms) {
        return err ? err : marty__mem_store(&what, why);
    }
    fingerprint of = marty__mem_fingerprint_in(marty__mem_fingerprint(&b->dedup, dead->message),
                                               what.channel, NULL);
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
