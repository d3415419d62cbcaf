/* SPDX-License-Identifier: Apache-2.0
 * Answers to what was published: each message is answered exactly once, whatever the broker does,
 * and with its last one the call is complete. */
#include "call_parts.h"

#include <stdio.h>
#include <string.h>

/* ---- the whole call */
static void run_done(marty__task *task)
{
    marty__call *call = MARTY__OWNER(task, marty__call, task);
    if (call->done) {
        call->done(call->user, call->outcomes, call->count);
        marty__call_make_room(call, call->bus->port_count);
    }
    marty_bus *bus = marty__bus_ref(call->bus);
    (void)atomic_fetch_sub(&bus->open_calls, 1);
    marty__call_unref(call);
    marty__life_step(bus);
    marty__bus_unref(bus);
}

void marty__call_settle(marty__call *call)
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
    marty__call_settle(MARTY__OWNER(task, marty__call, task));
    run_done(task);
}

void marty__call_complete(marty__call *call)
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

/* ---- one message */
static void fill_position(marty_outcome *outcome, const marty_published *said)
{
    if (said && said->offset && !said->position[0]) {
        (void)snprintf(outcome->position, sizeof outcome->position, "%llu",
                       (unsigned long long)said->offset);
        return;
    }
    size_t length = said ? strnlen(said->position, sizeof outcome->position - 1) : 0;
    memcpy(outcome->position, said ? said->position : "", length);
    outcome->position[length] = '\0';
}

static void fill_outcome(marty__post *post, marty_err err, const marty_published *said)
{
    marty_outcome *outcome = &post->way->call->outcomes[post - post->way->call->posts];
    size_t size = strlen(post->message->id);
    outcome->id[0] = '\0';
    if (size < sizeof outcome->id) {
        memcpy(outcome->id, post->message->id, size + 1);
    }
    outcome->err = err;
    outcome->level = err || !said ? MARTY_LEVEL_ANY : said->level;
    outcome->backend = post->way->port->name;
    outcome->channel = post->way->lasts ? post->way->like.channel.name : NULL;
    fill_position(outcome, said);
}

/* With port->lock held: the message at that place. Its room is still taken. */
static inline void end(marty__post **place, marty_err err, const marty_published *said)
{
    marty__post *post = *place;
    post->err = err;
    if (post->way->call->outcomes) {
        fill_outcome(post, err, said);
    }
    *place = NULL;
    post->state = MARTY__POST_ANSWERED;
}

/* With port->lock held, of messages that ended. */
static void free_room(marty__port *port, const marty__call *call, size_t count, uint64_t bytes)
{
    if (!call->done) { /* else it counts until done has returned: what waits for a slow one is
                          bounded, too */
        port->inflight -= count;
        port->inflight_bytes -= bytes;
    }
}

void marty__post_answer(marty__post *post, marty_err err, const marty_published *said)
{
    marty__port *port = post->way->port;
    if (post->state == MARTY__POST_QUEUED) {
        marty__list_remove(&post->link);
    }
    end(marty__token_place(port, post->token), err, said);
    free_room(port, post->way->call, 1, post->bytes);
}

bool marty__call_may_word(marty__call *call)
{
    return !atomic_exchange(&call->worded, true);
}

marty__call *marty__call_count(marty__call *call, size_t count)
{
    return count && atomic_fetch_sub(&call->left, count) == count ? call : NULL;
}

static bool may_repeat(const marty__port *port, const marty__post *post)
{
    const marty_channel *channel = &post->way->like.channel;
    return marty__port_can(port, channel->kind, channel->order, MARTY_CAN_DEDUPLICATE) &&
           !post->way->call->no_retry && !port->closing &&
           port->bus->env.monotonic_ns(port->bus->env.user) < post->way->call->deadline_ns;
}

/* With port->lock held: queue it again under its id; the broker folds the copy if it has the first.
 */
static void repeat(marty__port *port, marty__post *post)
{
    *marty__token_place(port, post->token) = NULL;
    marty__tokens_take(port, post, 1);
    post->doubtful = true;
    post->state = MARTY__POST_QUEUED;
    marty__list_push(&port->posts, &post->link);
}

void marty__calls_complete(marty__link *finished)
{
    marty__link *link;
    while ((link = marty__list_pop(finished)) != NULL) {
        marty__call_complete(MARTY__OWNER(link, marty__call, task.link));
    }
}

/* With port->lock held: what a bad answer comes to. MARTY_OK: nothing yet, it is published again.
 */
static marty_err judge(marty__port *port, marty__post *post, const marty_published *result)
{
    if (result->err == MARTY_E_MAYBE_STORED && may_repeat(port, post)) {
        repeat(port, post);
        return MARTY_OK;
    }
    if (result->text && result->text[0] && marty__call_may_word(post->way->call)) {
        (void)snprintf(post->way->call->text, sizeof post->way->call->text, "%s", result->text);
    }
    bool unsure =
        post->doubtful && marty_err_describe(result->err)->error_class == MARTY_CLASS_RETRY;
    return unsure ? MARTY_E_MAYBE_STORED : result->err;
}

void marty__call_note(marty__link *finished, marty__call *call)
{
    if (call) {
        marty__list_push(finished, &call->task.link);
    }
}

/* With port->lock held: answers to messages of one call, from results on. Returns how far. */
static const marty_published *answer_call(marty__port *port, const marty_published *results,
                                          const marty_published *results_end, size_t *unknown,
                                          marty__link *finished)
{
    const marty_published *result = results;
    marty__call *call = NULL;
    size_t ended = 0;
    uint64_t bytes = 0;
    for (; result < results_end; result++) {
        marty__post **place = marty__token_place(port, result->token),
                    *post = place ? *place : NULL;
        if (!post || post->state != MARTY__POST_SENT) {
            ++*unknown;
            continue;
        }
        if (call && post->way->call != call) {
            break;
        }
        call = post->way->call;
        marty_err err = result->err ? judge(port, post, result) : MARTY_OK;
        if (err || !result->err) {
            end(place, err, result);
            ended++;
            bytes += post->bytes;
        }
    }
    if (ended) {
        free_room(port, call, ended, bytes);
        marty__call_note(finished, marty__call_count(call, ended));
    }
    return result;
}

void marty__published(marty__port *port, const marty_published *results, size_t count)
{
    const marty_published *results_end = results + count;
    marty__link finished;
    size_t unknown = 0;
    marty__list_init(&finished);
    marty__lock(&port->lock);
    while (results < results_end) {
        results = answer_call(port, results, results_end, &unknown, &finished);
    }
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
        marty__room_tell(port);
    }
    marty__calls_complete(&finished);
    if (waits) {
        marty__port_kick_later(port);
    }
}
