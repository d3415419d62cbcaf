/* SPDX-License-Identifier: Apache-2.0
 * Calls that publish: accepted all or none, each message answered exactly once, whatever the broker
 * does. The deadline belongs to the call: what is still queued then is not stored; what was sent
 * gets a moment more for its answer, then it is in doubt. References of a call: its maker's, one
 * while messages are unanswered, one while its alarm is set. */
#include "internal.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/error.h"
#include "base/unset.h"
#include "message/block.h"

#include <stdio.h>
#include <string.h>

enum { GRACE_MS = 1000, AT_ONCE = 256 };

/* ---- the object */
marty__call *marty__call_new(marty_bus *bus, size_t count, size_t strings_size)
{
    size_t posts_size = count * sizeof(marty__post);
    size_t size = sizeof(marty__call) + posts_size + strings_size;
    marty__call *call = marty__room_new(size);
    if (!call) {
        return NULL;
    }
    memset(call, 0, offsetof(marty__call, lock));
    call->text[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        call->posts[i].message = NULL; /* the rest is its maker's to fill */
    }
    call->bus = marty__bus_ref(bus);
    call->room = size;
    call->count = count;
    call->strings = (char *)call->posts + posts_size;
    atomic_init(&call->refs, 1);
    atomic_init(&call->left, count);
    return call;
}

static void call_ref(marty__call *call)
{
    (void)atomic_fetch_add_explicit(&call->refs, 1, memory_order_relaxed);
}

void marty__call_unref(marty__call *call)
{
    if (atomic_fetch_sub_explicit(&call->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    for (size_t i = 0; i < call->count; i++) {
        marty_message_unref(call->posts[i].message);
    }
    if (call->waited) {
        marty__cond_free(&call->answered);
        marty__mutex_free(&call->lock);
    }
    marty_bus *bus = call->bus;
    marty__room_free(call, call->room);
    marty__bus_unref(bus);
}

/* ---- tokens: a number for each, never given twice. With port->lock held. */
static marty__post **place_of(const marty__port *port, uint64_t token)
{
    return &port->sent[token & (port->sent_room - 1)];
}

static bool grow_tokens(marty__port *port)
{
    size_t before = port->sent_room, room = before ? before * 2 : 64;
    marty__post **old = port->sent, **bigger = marty_alloc_zero(room, sizeof *bigger);
    if (!bigger) {
        return false;
    }
    port->sent = bigger;
    port->sent_room = room;
    for (size_t i = 0; i < before; i++) {
        if (old[i]) {
            *place_of(port, old[i]->token) = old[i];
        }
    }
    marty_free(old);
    return true;
}

static bool reserve_tokens(marty__port *port, size_t count)
{
    while (port->sent_room / 2 < port->inflight + count) {
        if (!grow_tokens(port)) {
            return false;
        }
    }
    return true;
}

/* The next number whose place is free: half of them are. */
static void take_token(marty__port *port, marty__post *post)
{
    marty__post **place;
    do {
        post->token = ++port->last_token;
        place = place_of(port, post->token);
    } while (*place);
    *place = post;
}

static void free_token(marty__port *port, const marty__post *post)
{
    *place_of(port, post->token) = NULL;
}

/* NULL: no such token, or answered already. */
static marty__post *post_of(const marty__port *port, uint64_t token)
{
    marty__post *post = port->sent_room ? *place_of(port, token) : NULL;
    return post && post->token == token ? post : NULL;
}

/* ---- accepting */
static bool has_room(const marty__port *port, size_t count, uint64_t bytes)
{
    return port->inflight + count <= port->bus->inflight_max &&
           port->inflight_bytes + bytes <= port->bus->inflight_bytes_max;
}

/* With port->lock held: room for so many, waited for if asked. */
static marty_err reserve(marty__call *call, marty__port *port, size_t count, uint64_t bytes,
                         bool wait)
{
    bool blocked = wait && !has_room(port, count, bytes);
    if (blocked) {
        marty__pool_block(port->bus);
    }
    while (wait && !has_room(port, count, bytes) && !port->closed &&
           marty__bus_wait(port->bus, &port->changed, &port->lock, call->deadline_ns)) {
    }
    if (blocked) {
        marty__pool_unblock(port->bus);
    }
    if (!has_room(port, count, bytes)) {
        port->room_wanted = true;
        return MARTY_E_FULL;
    }
    if (!reserve_tokens(port, count)) {
        return MARTY_E_NO_MEMORY;
    }
    port->inflight += count;
    port->inflight_bytes += bytes;
    port->room_wanted = false;
    return MARTY_OK;
}

static marty_err say_refused(marty__port *port, marty_err err, marty_error *why)
{
    if (err == MARTY_E_FULL) {
        (void)marty__alarm_set_earlier(port->bus, &port->room_alarm,
                                       marty__bus_now(port->bus) +
                                           1000 * (int64_t)MARTY__NS_PER_MS);
        return marty_error_set(why, err,
                               "%s: %u messages or %llu bytes are published and not answered, the "
                               "limit; wait for state room, or raise inflight_max",
                               port->name, port->bus->inflight_max,
                               (unsigned long long)port->bus->inflight_bytes_max);
    }
    return err == MARTY_E_CLOSED ? marty_error_set(why, err, "the bus was closed meanwhile")
                                 : marty__error_code(why, err);
}

/* With port->lock held. */
static void unreserve(marty__port *port, size_t count, uint64_t bytes)
{
    port->inflight -= count;
    port->inflight_bytes -= bytes;
    marty__wake_all(&port->changed);
}

/* Somebody was told FULL: look at once whether there is room now. */
static void tell_room(marty__port *port)
{
    (void)marty__alarm_set_earlier(port->bus, &port->room_alarm, marty__bus_now(port->bus));
}

static size_t posts_of(const marty__call *call, const marty__port *port, uint64_t *ret_bytes)
{
    size_t count = 0;
    *ret_bytes = 0;
    for (size_t i = 0; i < call->count; i++) {
        if (call->posts[i].port == port) {
            count++;
            *ret_bytes += call->posts[i].bytes;
        }
    }
    return count;
}

/* A call that could never be accepted. */
static marty_err check_size(const marty_bus *bus, size_t count, uint64_t bytes, marty_error *why)
{
    if (count > bus->inflight_max || bytes > bus->inflight_bytes_max) {
        return marty_error_set(
            why, MARTY_E_TOO_LARGE,
            "a batch of %zu messages, %llu bytes; at most %u and %llu may be in flight: raise "
            "inflight_max, inflight_bytes_max or send less at once",
            count, (unsigned long long)bytes, bus->inflight_max,
            (unsigned long long)bus->inflight_bytes_max);
    }
    return MARTY_OK;
}

/* With port->lock held. */
static void enqueue(marty__call *call, marty__port *port)
{
    for (size_t i = 0; i < call->count; i++) {
        marty__post *post = &call->posts[i];
        if (post->port == port) {
            take_token(port, post);
            marty__list_push(&port->posts, &post->link);
        }
    }
}

/* Its messages are about to be queued: whoever finds one of them finds the call. */
static void make_known(marty__call *call)
{
    call_ref(call);
    (void)atomic_fetch_add(&call->bus->open_calls, 1);
}

static bool is_closed(const marty_bus *bus)
{
    return atomic_load(&bus->phase) == MARTY__CLOSED;
}

/* The usual case: all go to one port. Then one lock from the look for room to the op. */
static marty_err accept_at(marty__call *call, marty__port *port, uint64_t bytes, bool wait,
                           bool *ret_leads, marty_error *why)
{
    marty_err err = check_size(call->bus, call->count, bytes, why);
    if (err) {
        return err;
    }
    marty__lock(&port->lock);
    err = reserve(call, port, call->count, bytes, wait);
    if (!err && is_closed(call->bus)) { /* while it waited; nobody would answer */
        unreserve(port, call->count, bytes);
        err = MARTY_E_CLOSED;
    }
    if (err) {
        marty__unlock(&port->lock);
        return say_refused(port, err, why);
    }
    make_known(call);
    enqueue(call, port);
    if (call->waited && port->backend->lead) { /* asked without a lock */
        marty__unlock(&port->lock);
        *ret_leads = marty__port_lead(port, call->deadline_ns);
        marty__port_kick(port);
    } else {
        marty__port_kick_held(port);
    }
    return MARTY_OK;
}

/* Of the first so many ports. Who was told FULL meanwhile hears of it. */
static void make_room(const marty__call *call, size_t port_count)
{
    for (size_t i = 0; i < port_count; i++) {
        marty__port *port = &call->bus->ports[i];
        uint64_t bytes;
        size_t count = posts_of(call, port, &bytes);
        if (count) {
            marty__lock(&port->lock);
            unreserve(port, count, bytes);
            bool wanted = port->room_wanted;
            marty__unlock(&port->lock);
            if (wanted) {
                tell_room(port);
            }
        }
    }
}

static marty_err reserve_all(marty__call *call, bool wait, marty_error *why)
{
    marty_bus *bus = call->bus;
    for (size_t i = 0; i < bus->port_count; i++) {
        marty__port *port = &bus->ports[i];
        uint64_t bytes;
        size_t count = posts_of(call, port, &bytes);
        marty_err err = check_size(bus, count, bytes, why);
        if (!err && count) {
            marty__lock(&port->lock);
            err = reserve(call, port, count, bytes, wait);
            marty__unlock(&port->lock);
            err = err ? say_refused(port, err, why) : MARTY_OK;
        }
        if (err) {
            make_room(call, i);
            return err;
        }
    }
    return MARTY_OK;
}

/* To several ports: bus->lock keeps those who look for calls from one that is queued in part. */
static marty_err accept_at_all(marty__call *call, bool wait, bool *ret_leads, marty_error *why)
{
    marty_bus *bus = call->bus;
    marty_err err = reserve_all(call, wait, why);
    if (err) {
        return err;
    }
    marty__lock(&bus->lock);
    bool open = !is_closed(bus);
    if (open) {
        make_known(call);
    }
    for (size_t i = 0; open && i < bus->port_count; i++) {
        marty__lock(&bus->ports[i].lock);
        enqueue(call, &bus->ports[i]);
        marty__unlock(&bus->ports[i].lock);
    }
    marty__unlock(&bus->lock);
    if (!open) {
        make_room(call, bus->port_count);
        return say_refused(call->posts[0].port, MARTY_E_CLOSED, why);
    }
    *ret_leads = call->waited && marty__port_lead(call->posts[0].port, call->deadline_ns);
    for (size_t i = 0; i < bus->port_count; i++) {
        marty__port_kick(&bus->ports[i]);
    }
    return MARTY_OK;
}

/* The alarm owns a reference while it is set; who sees that all is answered takes it back. */
static void set_deadline(marty__call *call)
{
    call_ref(call);
    atomic_store(&call->timed, true);
    (void)marty__alarm_set(call->bus, &call->alarm, call->deadline_ns);
    if (!atomic_load(&call->left) && marty__alarm_cancel(call->bus, &call->alarm)) {
        marty__call_unref(call);
    }
}

static void deadline_rang(marty__alarm *alarm)
{
    marty__call *call = MARTY__OWNER(alarm, marty__call, alarm);
    int64_t now = marty__bus_now(call->bus),
            grace = marty__deadline_ns(call->deadline_ns, GRACE_MS);
    marty__call_expire(call, MARTY_E_UNAVAILABLE, now >= grace);
    if (atomic_load(&call->left)) {
        (void)marty__alarm_set(call->bus, alarm,
                               now >= grace ? marty__deadline_ns(now, GRACE_MS) : grace);
        if (atomic_load(&call->left) || !marty__alarm_cancel(call->bus, alarm)) {
            return; /* it rings again, and owns its reference till then */
        }
    }
    marty__call_unref(call);
}

marty_err marty__call_accept(marty__call *call, bool wait, marty_error *why)
{
    marty__port *port = call->posts[0].port;
    uint64_t bytes = 0;
    bool one_port = true;
    call->alarm.ring = deadline_rang;
    for (size_t i = 0; i < call->count; i++) {
        marty__post *post = &call->posts[i];
        post->call = call;
        post->bytes = post->message->data.size + 256; /* about what it costs to hold */
        bytes += post->bytes;
        one_port = one_port && post->port == port;
    }
    if (call->waited && (!marty__mutex_init(&call->lock) || !marty__cond_init(&call->answered))) {
        call->waited = false;
        return marty__error_code(why, MARTY_E_NO_MEMORY);
    }
    bool leads = false;
    marty_err err = one_port ? accept_at(call, port, bytes, wait, &leads, why)
                             : accept_at_all(call, wait, &leads, why);
    if (!err && atomic_load(&call->left)) { /* else answered already */
        set_deadline(call);
    }
    if (leads) {
        marty__port_serve(port);
    }
    return err;
}

/* ---- finding */
marty__call *marty__call_find(marty_bus *bus, marty__call_at *at)
{
    marty__call *found = NULL;
    marty__lock(&bus->lock);
    while (at->port < bus->port_count && !found) {
        marty__port *port = &bus->ports[at->port];
        marty__lock(&port->lock);
        for (; at->place < port->sent_room && !found; at->place++) {
            const marty__post *post = port->sent[at->place];
            if (post) {
                found = post->call;
                call_ref(found);
            }
        }
        marty__unlock(&port->lock);
        if (!found) {
            *at = (marty__call_at){.port = at->port + 1};
        }
    }
    marty__unlock(&bus->lock);
    return found;
}

marty__call *marty__calls_of(marty_bus *bus, const void *key)
{
    marty__call *first = NULL;
    marty__lock(&bus->lock);
    for (size_t i = 0; i < bus->port_count; i++) {
        marty__port *port = &bus->ports[i];
        marty__lock(&port->lock);
        for (size_t place = 0; place < port->sent_room; place++) {
            marty__call *call = port->sent[place] ? port->sent[place]->call : NULL;
            if (call && call->cancel_key == key) {
                call->cancel_key = NULL; /* once is enough */
                call->next_of_key = first;
                first = call;
                call_ref(call);
            }
        }
        marty__unlock(&port->lock);
    }
    marty__unlock(&bus->lock);
    return first;
}

/* ---- answering */
static void run_done(marty__task *task)
{
    marty__call *call = MARTY__OWNER(task, marty__call, task);
    if (call->done) {
        call->done(call->user, call->outcomes, call->count);
        make_room(call, call->bus->port_count);
    }
    marty_bus *bus = marty__bus_ref(call->bus);
    (void)atomic_fetch_sub(&bus->open_calls, 1);
    marty__call_unref(call);
    marty__life_step(bus);
    marty__bus_unref(bus);
}

static void settle_cause(marty__call *call)
{
    if (!call->settles) {
        return;
    }
    marty_err bad = MARTY_OK;
    for (size_t i = 0; i < call->count && !bad; i++) {
        bad = call->posts[i].err;
    }
    marty_delivery *cause = call->settles;
    call->settles = NULL;
    (void)marty_settle(cause, bad ? MARTY_SETTLE_RETRY : MARTY_SETTLE_ACK, 0,
                       bad ? marty_err_describe(bad)->text : NULL);
    marty_delivery_release(cause);
}

static void run_settles_then_done(marty__task *task)
{
    settle_cause(MARTY__OWNER(task, marty__call, task));
    run_done(task);
}

/* All answered: tell whoever asked. No lock held; perhaps inside an op. Consumes the reference of
 * the unanswered messages. */
static void complete(marty__call *call)
{
    marty_bus *bus = call->bus;
    if (atomic_load(&call->timed) && marty__alarm_cancel(bus, &call->alarm)) {
        marty__call_unref(call);
    }
    if (call->completed) {
        (void)atomic_fetch_sub(&bus->open_calls, 1);
        (void)marty__bus_ref(bus);
        call->completed(call);
        marty__call_unref(call);
        marty__life_step(bus);
        marty__bus_unref(bus);
    } else if (call->waited) {
        if (atomic_exchange(&call->progress, MARTY__CALL_FINISHED) == MARTY__CALL_AWAITED) {
            marty__lock(&call->lock); /* until it waits indeed */
            marty__unlock(&call->lock);
            marty__wake_all(&call->answered); /* ours till the unref, so no lock is met */
        }
        marty__call_unref(call);
    } else if (call->at_once) {
        run_settles_then_done(&call->task);
    } else {
        call->task.run = run_settles_then_done;
        marty__pool_add(bus, &call->task);
    }
}

static void fill_outcome(marty__post *post, marty_err err, marty_level level, const char *position)
{
    marty_outcome *outcome = &post->call->outcomes[post - post->call->posts];
    size_t size = strlen(post->message->id);
    outcome->id[0] = '\0';
    if (size < sizeof outcome->id) {
        memcpy(outcome->id, post->message->id, size + 1);
    }
    outcome->err = err;
    outcome->level = err ? MARTY_LEVEL_ANY : level;
    outcome->backend = post->port->name;
    outcome->channel = post->lasts ? post->channel : NULL;
    size_t length = position ? strnlen(position, sizeof outcome->position - 1) : 0;
    memcpy(outcome->position, position ? position : "", length);
    outcome->position[length] = '\0';
}

/* With port->lock held. That it is answered is still to be counted. */
static inline void answer(marty__post *post, marty_err err, marty_level level, const char *position)
{
    marty__port *port = post->port;
    if (post->state == MARTY__POST_QUEUED) {
        marty__list_remove(&post->link);
    }
    post->err = err;
    if (post->call->outcomes) {
        fill_outcome(post, err, level, position);
    }
    free_token(port, post);
    post->state = MARTY__POST_ANSWERED;
    if (!post->call->done) { /* else it counts until done has returned: what waits for a slow one is
                                bounded, too */
        port->inflight--;
        port->inflight_bytes -= post->bytes;
    }
}

/* True for the first only: it says in call->text why. */
static bool may_word(marty__call *call)
{
    return !atomic_exchange(&call->worded, true);
}

/* So many of a call are answered: the call when these were its last ones. Who is not told so must
 * not look at it any more. */
static marty__call *count_answers(marty__call *call, size_t count)
{
    return count && atomic_fetch_sub(&call->left, count) == count ? call : NULL;
}

static bool may_repeat(const marty__port *port, const marty__post *post)
{
    return marty__port_can(port, post->kind, post->order, MARTY_CAN_DEDUPLICATE) &&
           !post->call->no_retry && !port->closing &&
           port->bus->env.monotonic_ns(port->bus->env.user) < post->call->deadline_ns;
}

/* With port->lock held: queue it again under its id; the broker folds the copy if it has the first.
 */
static void repeat(marty__port *port, marty__post *post)
{
    free_token(port, post);
    take_token(port, post);
    post->doubtful = true;
    post->state = MARTY__POST_QUEUED;
    marty__list_push(&port->posts, &post->link);
}

static void complete_all(marty__link *finished)
{
    marty__link *link;
    while ((link = marty__list_pop(finished)) != NULL) {
        complete(MARTY__OWNER(link, marty__call, task.link));
    }
}

static marty_err real_outcome(const marty__post *post, marty_err err)
{
    bool unsure =
        post->doubtful && err && marty_err_describe(err)->error_class == MARTY_CLASS_RETRY;
    return unsure ? MARTY_E_MAYBE_STORED : err;
}

static void note_finished(marty__link *finished, marty__call *call)
{
    if (call) {
        marty__list_push(finished, &call->task.link);
    }
}

void marty__published(marty__port *port, const marty_published *results, size_t count)
{
    marty__link finished;
    marty__call *call = NULL; /* whose answers run here, and how many are not counted yet */
    size_t unknown = 0, answered = 0;
    marty__list_init(&finished);
    marty__lock(&port->lock);
    for (size_t i = 0; i < count; i++) {
        marty__post *post = post_of(port, results[i].token);
        if (!post || post->state != MARTY__POST_SENT) {
            unknown++;
        } else if (results[i].err == MARTY_E_MAYBE_STORED && may_repeat(port, post)) {
            repeat(port, post);
        } else {
            if (results[i].err && results[i].text && results[i].text[0] && may_word(post->call)) {
                (void)snprintf(post->call->text, sizeof post->call->text, "%s", results[i].text);
            }
            if (!call || post->call != call) {
                note_finished(&finished, count_answers(call, answered));
                call = post->call;
                answered = 0;
            }
            answer(post, real_outcome(post, results[i].err), results[i].level, results[i].position);
            answered++;
        }
    }
    note_finished(&finished, count_answers(call, answered));
    port->answers++;
    port->full = false;
    bool room = port->room_wanted, waits = marty__port_waits(port);
    marty__wake_all(&port->changed);
    marty__unlock(&port->lock);
    if (unknown) {
        marty__bus_log(port->bus, 3, "%s: %zu late or unknown answers to publishes", port->name,
                       unknown);
    }
    if (room) {
        tell_room(port);
    }
    complete_all(&finished);
    if (waits) {
        marty__port_kick_later(port);
    }
}

/* ---- ending early */
/* A request whose time is over while the broker is there was too slow, not refused: who asks is
 * told what it waited for. */
static bool asked_too_late(const marty__post *post, marty_err err)
{
    marty_state state = post->port->state;
    return err == MARTY_E_UNAVAILABLE && post->state == MARTY__POST_QUEUED && post->reply_to &&
           (state == MARTY_STATE_UP || state == MARTY_STATE_BLOCKED);
}

static marty_err ended_with(const marty__post *post, marty_err err)
{
    return post->state == MARTY__POST_SENT || post->doubtful ? MARTY_E_MAYBE_STORED
           : asked_too_late(post, err)                       ? MARTY_E_TIMEOUT
                                                             : err;
}

/* With port->lock held: why it ends. */
static void say_why(marty__call *call, const marty__post *post, marty_err err)
{
    const marty__port *port = post->port;
    bool too_late = asked_too_late(post, err);
    if ((!too_late && port->state == MARTY_STATE_UP) || !may_word(call)) {
        return;
    }
    if (too_late) {
        (void)snprintf(call->text, sizeof call->text, "not sent in time, as %s",
                       port->reply_stands ? "much waited before it"
                                          : "the reply channel was not ready; allow more time");
    } else {
        (void)snprintf(call->text, sizeof call->text, "%s", port->text);
    }
}

/* With port->lock held: an op that reads the message may not lose it, so it comes to its end
 * first, which may be the answer. It waits for nobody. */
static void wait_for_op(marty__port *port, const marty__post *post)
{
    uint64_t before = port->handed;
    while (post->state == MARTY__POST_SENT && port->handing && port->handed == before) {
        (void)marty__wait(&port->changed, &port->lock, MARTY__NEVER);
    }
}

void marty__call_expire(marty__call *call, marty_err err, bool force)
{
    marty__call *finished = NULL;
    for (size_t i = 0; i < call->count; i++) {
        marty__post *post = &call->posts[i];
        marty__port *port = post->port;
        marty__lock(&port->lock);
        if (force) {
            wait_for_op(port, post);
        }
        if (post->state == MARTY__POST_QUEUED || (post->state == MARTY__POST_SENT && force)) {
            say_why(call, post, err);
            answer(post, ended_with(post, err), MARTY_LEVEL_ANY, NULL);
            finished = count_answers(call, 1);
        }
        marty__wake_all(&port->changed);
        marty__unlock(&port->lock);
    }
    if (finished) {
        complete(finished);
    }
}

static bool is_finished(marty__call *call)
{
    return atomic_load(&call->progress) == MARTY__CALL_FINISHED;
}

static void wait_for_answer(marty__call *call)
{
    marty_bus *bus = call->bus;
    int open = MARTY__CALL_OPEN;
    marty__pool_block(bus);
    marty__lock(&call->lock);
    (void)atomic_compare_exchange_strong(&call->progress, &open, MARTY__CALL_AWAITED);
    while (!is_finished(call)) {
        if (!marty__bus_wait(bus, &call->answered, &call->lock, MARTY__NEVER) && bus->simulated &&
            !is_finished(call)) {
            marty__unlock(&call->lock); /* simulated time stands still while we wait */
            marty__call_expire(call, MARTY_E_UNAVAILABLE, true);
            marty__lock(&call->lock);
        }
    }
    marty__unlock(&call->lock);
    marty__pool_unblock(bus);
}

void marty__call_wait(marty__call *call)
{
    marty_bus *bus = call->bus;
    if (!is_finished(call)) {
        wait_for_answer(call);
    }
    settle_cause(call);
    (void)atomic_fetch_sub(&bus->open_calls, 1);
    marty__life_step(bus);
}

/* ---- handing to the adapter */
static void fill_outgoing(const marty__post *post, marty_outgoing *out)
{
    *out = (marty_outgoing){.token = post->token,
                            .channel = {.kind = post->kind,
                                        .order = post->order,
                                        .native = post->native,
                                        .name = post->channel,
                                        .group = post->group,
                                        .shards = post->shards},
                            .message = post->message,
                            .reply_to = post->reply_to,
                            .deliver_at_us = post->deliver_at_us,
                            .deadline_ns = post->call->deadline_ns};
}

/* With port->lock held: the next ones, marked as sent. One that cancels goes alone. None while a
 * command waits: a reply channel is subscribed to before its first query goes out. */
static size_t take(marty__port *port, marty_outgoing *batch, bool *ret_cancels)
{
    size_t count = 0;
    *ret_cancels = false;
    bool up = (port->state == MARTY_STATE_UP || port->state == MARTY_STATE_BLOCKED) &&
              marty__list_empty(&port->commands);
    while (up && !port->full && !port->closed && count < AT_ONCE) {
        marty__link *link = marty__list_pop(&port->posts);
        if (!link) {
            break;
        }
        marty__post *post = MARTY__OWNER(link, marty__post, link);
        if (post->reply_to && !port->reply_stands) {
            marty__list_push(&port->asks, link);
            continue;
        }
        if (post->cancels && count) {
            marty__list_push_first(&port->posts, link);
            break;
        }
        post->state = MARTY__POST_SENT;
        fill_outgoing(post, &batch[count++]);
        *ret_cancels = post->cancels;
        if (post->cancels) {
            break;
        }
    }
    port->handing = count > 0;
    return count;
}

/* With port->lock held: those not taken stand in front again, in their order. */
static void put_back(marty__port *port, const marty_outgoing *batch, size_t count)
{
    while (count-- > 0) {
        marty__post *post = post_of(port, batch[count].token);
        if (post) {
            post->state = MARTY__POST_QUEUED;
            marty__list_push_first(&port->posts, &post->link);
        }
    }
}

static void refuse(marty__port *port, const marty_outgoing *batch, size_t count, marty_err err,
                   const char *text)
{
    for (size_t i = 0; i < count; i++) {
        marty_published result = {.token = batch[i].token, .err = err, .text = text};
        marty__published(port, &result, 1);
    }
}

void marty__asks_refuse(marty__port *port, marty_err err, const char *text)
{
    marty__link finished, *link;
    marty__list_init(&finished);
    marty__lock(&port->lock);
    while ((link = marty__list_pop(&port->asks)) != NULL) {
        marty__post *post = MARTY__OWNER(link, marty__post, link);
        if (may_word(post->call)) {
            (void)snprintf(post->call->text, sizeof post->call->text, "%s", text ? text : "");
        }
        answer(post, err, MARTY_LEVEL_ANY, NULL);
        note_finished(&finished, count_answers(post->call, 1));
    }
    marty__wake_all(&port->changed);
    marty__unlock(&port->lock);
    complete_all(&finished);
}

static marty_err cancel(marty__port *port, const marty_outgoing *out, size_t *ret_taken,
                        marty_error *why)
{
    marty_err err =
        port->backend->cancel(port->adapter, &out->channel, out->message->id, out->token, why);
    *ret_taken = err ? 0 : 1;
    return err;
}

/* The message that an op reads is not lost before its end. */
static void op_is_over(marty__port *port)
{
    port->handing = false;
    port->handed++;
    marty__wake_all(&port->changed);
}

void marty__posts_run(marty__port *port)
{
    MARTY__UNSET marty_outgoing batch[AT_ONCE];
    MARTY__UNSET marty_error why;
    bool cancels;
    size_t count = take(port, batch, &cancels), taken = 0;
    uint64_t answers = port->answers;
    if (!count) {
        return;
    }
    marty__unlock(&port->lock);
    why.text[0] = '\0';
    marty_err err = cancels ? cancel(port, &batch[0], &taken, &why)
                            : port->backend->publish(port->adapter, batch, count, &taken, &why);
    bool refused = err && err != MARTY_E_FULL;
    if (refused) {
        refuse(port, batch, count, err, why.text);
    }
    taken = err && taken >= count ? 0 : taken; /* FULL may come as an error, too */
    marty__lock(&port->lock);
    if (!refused && taken < count) {
        put_back(port, batch + taken, count - taken);
        port->full = port->answers == answers;
    }
    op_is_over(port);
}
