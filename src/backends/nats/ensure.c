/* SPDX-License-Identifier: Apache-2.0
 * Ensuring a channel for the first messages that go to it: the worker asks the server, then what
 * was held goes out in its order, or is answered with the reason. */
#include "parts.h"

#include "thread.h"

#include <stdio.h>
#include <string.h>

enum { LOOK_NS = 20000000 };

static void release_held(marty_port *port, nats__channel *channel, marty_err err, const char *text)
{
    marty__link *link;
    int64_t now_ns = nats__now_ns(port);
    while ((link = marty__list_pop(&channel->held)) != NULL) {
        nats__held *held = MARTY__OWNER(link, nats__held, link);
        port->held_count--;
        if (err) {
            nats__answer(port, held->token, err, MARTY_LEVEL_ANY, text);
        } else if (held->deadline_ns <= now_ns) {
            nats__answer(port, held->token, MARTY_E_TIMEOUT, MARTY_LEVEL_ANY,
                         "nats: its stream could not be ensured in time; it was not sent");
        } else {
            nats__publish_one_locked(port, channel, held);
        }
        marty_message_unref(held->message);
        marty_free(held);
    }
}

/* In a cluster a stream is there before every server knows that it takes its subjects: what is
 * published meanwhile finds nobody. It is asked with what no stream takes, until one says no. */
static marty_err wait_until_taken(marty_port *port, const nats__channel *channel, marty_error *why)
{
    char subject[NATS__SUBJECT_MAX + 8];
    bool words = channel->kind == MARTY_KIND_STREAM && !channel->retry && !channel->bare;
    int64_t deadline_ns = nats__api_deadline(port);
    marty_err err = MARTY_E_NO_RESPONDER;
    (void)snprintf(subject, sizeof subject, "%s%s", channel->subject, words ? ".0" : "");
    while (err == MARTY_E_NO_RESPONDER && nats__now_ns(port) < deadline_ns) {
        nats__message *answer = NULL;
        err = nats__ask(port, subject, marty_text("Nats-Expected-Stream: _none\r\n"),
                        (marty_bytes){NULL, 0}, deadline_ns, &answer, why);
        marty_free(answer);
        pthread_mutex_lock(&port->lock);
        while (err == MARTY_E_NO_RESPONDER && port->life == NATS__UP &&
               nats__wait_locked(port, &port->jobs_changed, nats__now_ns(port) + LOOK_NS)) {
        }
        pthread_mutex_unlock(&port->lock);
    }
    return err == MARTY_E_NO_RESPONDER ? MARTY_E_UNAVAILABLE : err;
}

void nats__ensure_run(marty_port *port, nats__job *job)
{
    marty_error why = {0};
    nats__channel *channel = job->channel;
    marty_err err = nats__stream_ensure(port, channel, port->options.topology, NULL, &why);
    if (!err && channel->copies > 1 && !channel->assumed && !channel->core && !channel->native) {
        err = wait_until_taken(port, channel, &why);
    }
    pthread_mutex_lock(&port->lock);
    if (err) {
        channel->ready = NATS__UNKNOWN;
    }
    release_held(port, channel, err, why.text);
    nats__send_locked(&port->wires[0]);
    pthread_mutex_unlock(&port->lock);
}
