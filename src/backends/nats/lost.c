/* SPDX-License-Identifier: Apache-2.0
 * The end of a connection, whoever ended it: both sockets are closed, every token that was held is
 * answered, every delivery of it is void from now on, and core hears why. The loop's alone. */
#include "parts.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* Close without waiting for a server that may not answer: closing with bytes to write would. */
static void end_connection(nats__wire *wire)
{
    natsConnection *nc = wire->live;
    (void)shutdown(wire->fd, SHUT_RDWR);
    for (int i = 0; i < 64 && !natsConnection_IsClosed(nc); i++) {
        natsConnection_ProcessReadEvent(nc);
    }
    natsConnection_Close(nc);
}

static void let_go_of_inboxes(nats__wire *wire)
{
    marty__link *link;
    while ((link = marty__list_pop(&wire->inboxes)) != NULL) {
        nats__inbox *inbox = MARTY__OWNER(link, nats__inbox, link);
        nats__inbox_forget_locked(inbox);
        natsSubscription_Destroy(inbox->sub);
        inbox->sub = NULL;
        inbox->wire = NULL;
        inbox->closing = false;
    }
}

/* The reason in words: ours, else the library's. */
static marty_err reason(marty_port *port, char *text, size_t size)
{
    const char *said = NULL;
    if (port->lost_err) {
        (void)snprintf(text, size, "%s", port->lost_text);
        return port->lost_err;
    }
    for (int i = 0; i < 2 && !said; i++) {
        natsStatus s = natsConnection_GetLastError(port->wires[i].live, &said);
        said = s == NATS_OK || s == NATS_SLOW_CONSUMER || !said || !*said ? NULL : said;
    }
    (void)snprintf(text, size, "nats://%s: the connection was lost%s%s", port->server,
                   said ? ": " : "", said ? said : "");
    bool denied = said && (strstr(said, "Authorization") || strstr(said, "Authentication") ||
                           strstr(said, "uthoriz"));
    return denied ? MARTY_E_DENIED : MARTY_E_UNAVAILABLE;
}

/* The next token that nobody answered; false when there is none. */
static bool next_token(marty_port *port, uint64_t *ret_token, marty_err *ret_err)
{
    for (uint32_t i = 0; i < port->pending_count && port->pending_used > 0; i++) {
        if (port->pending[i].token) {
            *ret_token = port->pending[i].token;
            *ret_err = MARTY_E_MAYBE_STORED;
            nats__pending_free_locked(port, i);
            return true;
        }
    }
    for (int i = 0; i < 3; i++) {
        nats__ring *ring = i < 2 ? &port->wires[i].ring : &port->asked;
        while (ring->count > 0) {
            *ret_token = nats__ring_take(ring);
            *ret_err = MARTY_E_MAYBE_STORED;
            if (*ret_token) {
                return true;
            }
        }
    }
    return false;
}

static bool next_held(marty_port *port, uint64_t *ret_token, marty_err *ret_err)
{
    for (size_t i = 0; i < sizeof port->buckets / sizeof port->buckets[0]; i++) {
        for (nats__channel *channel = port->buckets[i]; channel; channel = channel->next) {
            marty__link *link = marty__list_pop(&channel->held);
            if (link) {
                nats__held *held = MARTY__OWNER(link, nats__held, link);
                *ret_token = held->token;
                *ret_err = MARTY_E_UNAVAILABLE;
                marty_message_unref(held->message);
                marty_free(held);
                port->held_count--;
                return true;
            }
        }
    }
    return false;
}

static void answer_all(marty_port *port, const char *text)
{
    nats__answers answers = {.count = 0};
    bool more = true;
    while (more) {
        pthread_mutex_lock(&port->lock);
        for (answers.count = 0; more && answers.count < NATS__BATCH;) {
            marty_published *result = &answers.results[answers.count];
            *result = (marty_published){.text = text};
            more = next_token(port, &result->token, &result->err) ||
                   next_held(port, &result->token, &result->err);
            answers.count += more;
        }
        pthread_mutex_unlock(&port->lock);
        if (answers.count > 0) {
            port->sink->published(port->sink, answers.results, answers.count);
        }
    }
}

static void void_subscriptions(marty_port *port)
{
    marty__link *lists[] = {&port->subscriptions, &port->leaving};
    for (size_t i = 0; i < 2; i++) {
        for (marty__link *at = lists[i]->next; at != lists[i]; at = at->next) {
            nats__subscription *subscription = MARTY__OWNER(at, nats__subscription, link);
            nats__entries_drop_locked(subscription, NULL, true);
            subscription->ready = false;
            subscription->begun = 0;
            for (marty__link *s = subscription->sources.next; s != &subscription->sources;
                 s = s->next) {
                nats__source *source = MARTY__OWNER(s, nats__source, link);
                source->running = false;
                source->outstanding = 0;
            }
        }
    }
    nats__shares_lost_locked(port);
}

static void void_calls(marty_port *port)
{
    marty__link *link;
    while ((link = marty__list_pop(&port->calls)) != NULL) {
        MARTY__OWNER(link, nats__call, link)->done = true;
    }
    port->calls_missing = 0;
    pthread_cond_broadcast(&port->changed);
}

static void reset_wire(nats__wire *wire)
{
    wire->nc = wire->live = NULL;
    if (wire->sid_count > 0) {
        memset(wire->by_sid, 0, wire->sid_count * sizeof *wire->by_sid);
    }
    wire->in.size = 0;
    wire->out.size = wire->out_sent = wire->sending.size = wire->sent = 0;
    wire->library_busy = false;
    wire->ring_asked = 0;
    wire->echo_out = false;
    wire->confirm_at_ns = INT64_MAX;
    wire->messages = 0;
    wire->low_water = 0;
    wire->fd = -1;
    atomic_store(&wire->lost, false);
    atomic_store(&wire->wants_write, false);
}

void nats__teardown(marty_port *port)
{
    char text[400] = "";
    pthread_mutex_lock(&port->lock);
    natsConnection *connections[2] = {port->wires[0].nc, port->wires[1].nc};
    port->wires[0].live = connections[0];
    port->wires[1].live = connections[1];
    bool closing = port->closing, up = connections[0] && connections[1]; /* both or none */
    marty_err err = up ? reason(port, text, sizeof text) : MARTY_OK;
    /* nobody writes past the library any more: its number may soon be another's socket */
    port->wires[0].library_busy = port->wires[1].library_busy = up;
    pthread_mutex_unlock(&port->lock);
    if (!up) {
        return;
    }
    end_connection(&port->wires[0]);
    end_connection(&port->wires[1]);
    pthread_mutex_lock(&port->lock);
    port->epoch++;
    let_go_of_inboxes(&port->wires[0]);
    let_go_of_inboxes(&port->wires[1]);
    void_subscriptions(port);
    reset_wire(&port->wires[0]);
    reset_wire(&port->wires[1]);
    void_calls(port);
    port->lost_err = MARTY_OK;
    port->refresh_ns = INT64_MAX;
    port->life = closing ? NATS__CLOSED : NATS__DOWN;
    pthread_mutex_unlock(&port->lock);
    natsConnection_Destroy(connections[0]);
    natsConnection_Destroy(connections[1]);
    answer_all(port, text);
    port->sink->state(port->sink, closing ? MARTY_STATE_CLOSED : MARTY_STATE_DOWN, NULL,
                      closing ? MARTY_OK : err, closing ? "closed" : text);
}
