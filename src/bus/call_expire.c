/* SPDX-License-Identifier: Apache-2.0
 * Messages that end without an answer of the broker: of a call whose time is over, that is taken
 * back, or when the bus closes; requests without a reply channel. */
#include "call_parts.h"

#include <stdio.h>

/* A request whose time is over while the broker is there was too slow, not refused: who asks is
 * told what it waited for. */
static bool asked_too_late(const marty__post *post, marty_err err)
{
    marty_state state = post->way->port->state;
    return err == MARTY_E_UNAVAILABLE && post->state == MARTY__POST_QUEUED &&
           post->way->like.reply_to && (state == MARTY_STATE_UP || state == MARTY_STATE_BLOCKED);
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
    const marty__port *port = post->way->port;
    bool too_late = asked_too_late(post, err);
    if ((!too_late && port->state == MARTY_STATE_UP) || !marty__call_may_word(call)) {
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
        marty__port *port = post->way->port;
        marty__lock(&port->lock);
        if (force) {
            wait_for_op(port, post);
        }
        if (post->state == MARTY__POST_QUEUED || (post->state == MARTY__POST_SENT && force)) {
            say_why(call, post, err);
            marty__post_answer(post, ended_with(post, err), NULL);
            finished = marty__call_count(call, 1);
        }
        marty__wake_all(&port->changed);
        marty__unlock(&port->lock);
    }
    if (finished) {
        marty__call_complete(finished);
    }
}

void marty__asks_refuse(marty__port *port, marty_err err, const char *text)
{
    marty__link finished, *link;
    marty__list_init(&finished);
    marty__lock(&port->lock);
    while ((link = marty__list_pop(&port->asks)) != NULL) {
        marty__post *post = MARTY__OWNER(link, marty__post, link);
        if (marty__call_may_word(post->way->call)) {
            (void)snprintf(post->way->call->text, sizeof post->way->call->text, "%s",
                           text ? text : "");
        }
        marty__post_answer(post, err, NULL);
        marty__call_note(&finished, marty__call_count(post->way->call, 1));
    }
    marty__wake_all(&port->changed);
    marty__unlock(&port->lock);
    marty__calls_complete(&finished);
}
