/* SPDX-License-Identifier: Apache-2.0
 * Ensuring a channel for the first messages that go to it: the worker asks the server, then what
 * was held goes out in its order, or is answered with the reason. */
#include "parts.h"

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

void nats__ensure_run(marty_port *port, nats__job *job)
{
    marty_error why = {0};
    nats__channel *channel = job->channel;
    marty_err err = nats__stream_ensure(port, channel, port->options.topology, NULL, &why);
    pthread_mutex_lock(&port->lock);
    if (err) {
        channel->ready = NATS__UNKNOWN;
    }
    release_held(port, channel, err, why.text);
    nats__send_locked(&port->wires[0]);
    pthread_mutex_unlock(&port->lock);
}
