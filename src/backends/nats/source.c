/* SPDX-License-Identifier: Apache-2.0
 * Sources: one consumer at the server each. The worker and the keeper make, begin and remove them;
 * the loop delivers from them as long as they run. */
#include "parts.h"

#include "thread.h"

#include <stdio.h>
#include <string.h>

enum {
    HOT_NS = 1000000000,
    GOODBYE_MS = 1000,
    QUIET_NS = 50000000,
    PULLS_END_NS = 500000000,
    SOON_NS = 100000000,
    LATE_NS = 30000000,
    LOOK_NS = 2000000
};

marty_err nats__source_new(marty_port *port, nats__subscription *subscription,
                           nats__channel *channel, int shard, nats__source **ret_source,
                           marty_error *why)
{
    nats__source *source = marty_alloc_zero(1, sizeof *source);
    marty_err err = source ? MARTY_OK : marty_error_set(why, MARTY_E_NO_MEMORY, "nats: no memory");
    if (!err) {
        source->owner = subscription;
        source->channel = channel;
        source->shard = shard > 0 ? (uint32_t)shard : 0;
        source->ephemeral = subscription->instance;
        source->shared = !channel->retry && nats__is_shared(subscription, channel);
        pthread_mutex_lock(&port->lock);
        source->lease_ms = source->shared ? port->options.lease_ms : subscription->lease_ms;
        source->id = ++port->next_source;
        pthread_mutex_unlock(&port->lock);
    }
    if (!err && !source->ephemeral) {
        const char *group = subscription->group ? subscription->group : channel->name;
        err = nats__consumer_name(source->consumer, channel, group, shard, why);
    }
    if (err) {
        nats__source_free(source);
        return err;
    }
    *ret_source = source;
    return MARTY_OK;
}

void nats__source_free(nats__source *source)
{
    if (source) {
        for (size_t i = 0; i < source->kept_count; i++) {
            marty_free(source->kept[source->kept_head + i]);
        }
        marty_free(source->kept);
        marty_free(source->awaited);
        marty_free(source->returned.data);
        marty_free(source->ack_prefix);
        marty_free(source);
    }
}

static bool make_prefix(nats__source *source)
{
    char text[2 * NATS__NAME_MAX + 32];
    int size =
        snprintf(text, sizeof text, "$JS.ACK.%s.%s.", source->channel->stream, source->consumer);
    source->ack_prefix = size > 0 ? marty_alloc((size_t)size + 1) : NULL;
    if (source->ack_prefix) {
        memcpy(source->ack_prefix, text, (size_t)size + 1);
        source->ack_prefix_size = (size_t)size;
    }
    return source->ack_prefix != NULL;
}

marty_err nats__source_begin(marty_port *port, nats__source *source, marty_error *why)
{
    char subject[128];
    nats__wire *wire = &port->wires[0];
    if (!make_prefix(source)) {
        return marty_error_set(why, MARTY_E_NO_MEMORY, "nats: no memory");
    }
    pthread_mutex_lock(&port->lock);
    (void)snprintf(subject, sizeof subject, "%s.s.%u.*", wire->base, source->id);
    source->inbox.arrived = nats__source_arrived;
    source->inbox.owner = source;
    marty_err err = nats__inbox_open_locked(wire, &source->inbox, subject, NULL, why);
    if (!err) {
        marty__list_push(&source->owner->sources, &source->link);
        source->running = true;
        source->hot_ns = nats__now_ns(port) + (source->channel->retry ? 0 : HOT_NS);
        if (source->owner->ready) {
            nats__pull_locked(source->owner, nats__now_ns(port));
        }
    }
    pthread_mutex_unlock(&port->lock);
    return err;
}

/* Say at the server that we listen no more, and go on taking what is under way. With TLS only the
 * library may write; it takes what is under way when it drains a subscription. */
static void stop_listening(nats__source *source)
{
    char text[48];
    nats__wire *wire = source->inbox.wire;
    if (!wire) {
        return;
    }
    if (wire->tls) {
        source->inbox.drained =
            natsSubscription_DrainTimeout(source->inbox.sub, GOODBYE_MS) == NATS_OK;
        return;
    }
    int size = snprintf(text, sizeof text, "UNSUB %lld\r\n",
                        (long long)natsSubscription_GetID(source->inbox.sub));
    (void)nats__buffer_append(&wire->out, text, size > 0 ? (size_t)size : 0);
}

/* Whether the server is about to deliver again what was given back with a delay. */
static bool is_due(const nats__source *source, int64_t now_ns)
{
    bool due = false;
    for (size_t i = 0; i < sizeof source->due_ns / sizeof source->due_ns[0]; i++) {
        int64_t at_ns = source->due_ns[i];
        due = due || (at_ns && at_ns < now_ns + SOON_NS && at_ns > now_ns - LATE_NS);
    }
    return due;
}

/* What the server has sent to a pull is lost until its lease ends when it finds us gone on the way,
 * and one of 2.9 counts it as new: while messages come, or are about to, pulls that are out are let
 * end by what comes. */
static void let_pulls_end(marty_port *port, const nats__source *source)
{
    int64_t now_ns = nats__now_ns(port), end_ns = now_ns + PULLS_END_NS;
    while (source->inbox.wire && source->outstanding > 0 && now_ns < end_ns &&
           (now_ns - source->arrived_ns < QUIET_NS || is_due(source, now_ns))) {
        (void)nats__wait_locked(port, &port->changed, now_ns + LOOK_NS);
        now_ns = nats__now_ns(port);
    }
}

/* Lock held. A server that is asked about a consumer looks through the pulls that wait there and
 * forgets those that nobody listens to. It must, before anything is given back: one of 2.9 would
 * deliver to such a pull, lose the message until its lease ends, and deliver its last one twice. It
 * is asked in one breath with the word that we listen no more. */
static void have_pulls_forgotten(marty_port *port, const nats__source *source)
{
    char what[2 * NATS__NAME_MAX + 32];
    marty_error ignored = {0};
    (void)snprintf(what, sizeof what, "CONSUMER.INFO.%s.%s", source->channel->stream,
                   source->consumer);
    (void)nats__api_locked(port, what, NULL, nats__now_ns(port) + (int64_t)GOODBYE_MS * 1000000,
                           NULL, NULL, &ignored);
}

void nats__source_remove(marty_port *port, nats__source *source, bool give_back)
{
    marty_error ignored = {0};
    pthread_mutex_lock(&port->lock);
    source->running = false;
    bool ask = source->inbox.wire && give_back && !source->ordered;
    if (ask) {
        let_pulls_end(port, source);
    }
    stop_listening(source);
    if (ask) {
        have_pulls_forgotten(port, source);
    }
    nats__entries_drop_locked(source->owner, source, give_back);
    nats__inbox_close_locked(&source->inbox);
    while (source->inbox.wire) {
        (void)nats__wait_locked(port, &port->changed, INT64_MAX);
    }
    nats__entries_drop_locked(source->owner, source, give_back); /* what came meanwhile */
    marty__list_remove(&source->link);
    pthread_mutex_unlock(&port->lock);
    nats__loop_barrier(port);
    if (source->ephemeral && source->consumer[0]) {
        (void)nats__consumer_remove(port, source->channel->stream, source->consumer, &ignored);
    }
    nats__source_free(source);
}

void nats__source_failed(marty_port *port, nats__source *source, marty_err err, const char *text)
{
    pthread_mutex_lock(&port->lock);
    nats__subscription *subscription = source->owner;
    bool tell = source->running && !subscription->leaving && !source->optional;
    if (source->running) {
        source->running = false;
        source->outstanding = 0;
        nats__entries_drop_locked(subscription, source, false);
    }
    if (tell) {
        subscription->ready = false; /* core subscribes again, and it is set up anew */
        subscription->begun = 0;
        port->sink->subscribed(port->sink, subscription->number, err, text);
    }
    pthread_mutex_unlock(&port->lock);
}

/* ---- whether it is there */

/* Only this thread frees sources that are not shared. Others wait for it: once a server does not
 * answer for one, the rest is looked for when their pulls have been silent again. */
static void look_for(marty_port *port, nats__subscription *subscription)
{
    marty_err err = MARTY_OK;
    for (marty__link *s = subscription->sources.next;
         s != &subscription->sources && !err && !subscription->leaving && !port->closing;
         s = s->next) {
        nats__source *source = MARTY__OWNER(s, nats__source, link);
        marty_error why = {0};
        if (source->shared || source->optional || !source->running || !source->silent_ns) {
            continue;
        }
        pthread_mutex_unlock(&port->lock);
        err = nats__consumer_is_there(port, source, &why);
        if (err == MARTY_E_NOT_FOUND) {
            nats__source_failed(port, source, MARTY_E_UNAVAILABLE, why.text);
            err = MARTY_OK;
        }
        pthread_mutex_lock(&port->lock);
    }
}

static void look(marty_port *port, nats__job *job)
{
    nats__subscription *subscription = job->subscription;
    pthread_mutex_lock(&port->lock);
    if (subscription->ready && !subscription->leaving && port->life == NATS__UP) {
        look_for(port, subscription);
    }
    subscription->jobs--;
    subscription->looks = false;
    pthread_mutex_unlock(&port->lock);
}

void nats__source_doubt_locked(nats__source *source)
{
    nats__subscription *subscription = source->owner;
    bool asks = !source->shared && !subscription->looks && !subscription->leaving;
    nats__job *job = asks ? nats__job_new(look, NULL) : NULL;
    if (job) {
        job->subscription = subscription;
        subscription->looks = true;
        nats__job_post_locked(subscription->port, job);
    }
}
