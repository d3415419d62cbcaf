/* SPDX-License-Identifier: Apache-2.0
 * Setting a subscription up: the worker ensures its channels, its retry places and its consumers,
 * then begins to pull. Taking it down gives back what is not settled. */
#include "parts.h"

#include <stdio.h>
#include <string.h>

#define REFRESH_NS (10 * INT64_C(1000000000))

static marty_channel channel_of(const nats__subscription *subscription, const char *name,
                                bool retry)
{
    return (marty_channel){.kind = subscription->kind,
                           .order = subscription->order,
                           .native = subscription->native,
                           .name = name,
                           .group = retry ? subscription->group : NULL,
                           .shards = subscription->shards};
}

static marty_err ensure_channel(marty_port *port, const marty_channel *wanted,
                                nats__channel **ret_channel, marty_error *why)
{
    pthread_mutex_lock(&port->lock);
    marty_err err = nats__channel_get_locked(port, ret_channel, wanted, why);
    pthread_mutex_unlock(&port->lock);
    err = err ? err : nats__stream_ensure(port, *ret_channel, port->options.topology, NULL, why);
    if (!err && !wanted->group) {
        nats__clock_learn(port, *ret_channel);
    }
    return err;
}

/* One consumer without owner: all instances of the group pull from it. */
static marty_err add_source(marty_port *port, nats__subscription *subscription,
                            nats__channel *channel, bool reset, marty_error *why)
{
    nats__source *source = NULL;
    marty_err err = nats__source_new(port, subscription, channel, -1, &source, why);
    if (err) {
        return err;
    }
    source->optional = channel->retry && port->options.topology == NATS__NONE;
    err = nats__consumer_ensure(port, subscription, source, port->options.topology,
                                reset && !channel->retry, NULL, why);
    err = err ? err : nats__source_begin(port, source, why);
    if (err) {
        nats__source_free(source);
    }
    return err;
}

bool nats__is_shared(const nats__subscription *subscription, const nats__channel *channel)
{
    bool ordered = channel->shards > 1 || subscription->order == MARTY_ORDER_KEY ||
                   (channel->kind == MARTY_KIND_STREAM && !channel->bare &&
                    subscription->order == MARTY_ORDER_DEFAULT);
    return ordered && !subscription->instance;
}

static marty_err setup_channel(marty_port *port, nats__subscription *subscription, const char *name,
                               bool reset, marty_error *why)
{
    nats__channel *channel = NULL, *retry = NULL;
    marty_channel wanted = channel_of(subscription, name, false);
    marty_err err = ensure_channel(port, &wanted, &channel, why);
    bool with_retry = subscription->group && (subscription->kind == MARTY_KIND_TOPIC ||
                                              subscription->kind == MARTY_KIND_STREAM);
    if (!err && with_retry) {
        marty_channel place = channel_of(subscription, name, true);
        err = ensure_channel(port, &place, &retry, why);
        err = err ? err : add_source(port, subscription, retry, false, why);
    }
    if (err) {
        return err;
    }
    return nats__is_shared(subscription, channel)
               ? nats__share_start(port, subscription, channel, reset, why)
               : add_source(port, subscription, channel, reset, why);
}

/* ---- several channels by one pattern */

static bool has_source(nats__subscription *subscription, const char *stream)
{
    for (marty__link *s = subscription->sources.next; s != &subscription->sources; s = s->next) {
        if (strcmp(MARTY__OWNER(s, nats__source, link)->channel->stream, stream) == 0) {
            return true;
        }
    }
    return false;
}

static void advisory_arrived(marty_port *port, nats__inbox *inbox, const nats__message *messages,
                             size_t count)
{
    (void)inbox;
    (void)messages;
    (void)count;
    pthread_mutex_lock(&port->lock);
    port->refresh_ns = 0;
    pthread_cond_signal(&port->jobs_changed);
    pthread_mutex_unlock(&port->lock);
}

/* Hear of new streams at once where we may, and look every 10 seconds in any case. */
static void watch_streams(marty_port *port)
{
    marty_error ignored = {0};
    pthread_mutex_lock(&port->lock);
    port->refresh_ns = nats__now_ns(port) + REFRESH_NS;
    if (!port->advisories.wire) {
        port->advisories.arrived = advisory_arrived;
        (void)nats__inbox_open_locked(&port->wires[0], &port->advisories,
                                      "$JS.EVENT.ADVISORY.STREAM.CREATED.>", NULL, &ignored);
    }
    pthread_mutex_unlock(&port->lock);
}

static marty_err setup_matching(marty_port *port, nats__subscription *subscription, bool reset,
                                marty_error *why)
{
    json_t *names = NULL, *value;
    size_t index;
    watch_streams(port);
    marty_err err = nats__pages(port, "STREAM.NAMES", "streams", &names, why);
    json_array_foreach(names, index, value)
    {
        char name[256];
        const char *stream = json_string_value(value);
        bool ours = !err && stream && nats__logical_name(port, stream, name) &&
                    nats__pattern_match(subscription->name, name) &&
                    strncmp(name, "retry.", 6) != 0 && strncmp(name, "dead.", 5) != 0;
        pthread_mutex_lock(&port->lock);
        bool known = ours && has_source(subscription, stream);
        pthread_mutex_unlock(&port->lock);
        if (ours && !known) {
            err = setup_channel(port, subscription, name, reset, why);
        }
    }
    json_decref(names);
    return err;
}

void nats__refresh(marty_port *port)
{
    nats__subscription *wildcards[64];
    size_t count = 0;
    pthread_mutex_lock(&port->lock);
    port->refresh_ns = INT64_MAX;
    for (marty__link *at = port->subscriptions.next; at != &port->subscriptions && count < 64;
         at = at->next) {
        nats__subscription *subscription = MARTY__OWNER(at, nats__subscription, link);
        if (subscription->wildcard && subscription->ready) {
            wildcards[count++] = subscription; /* only this thread frees it */
        }
    }
    pthread_mutex_unlock(&port->lock);
    for (size_t i = 0; i < count; i++) {
        marty_error why = {0};
        wildcards[i]->late = true;
        if (setup_matching(port, wildcards[i], false, &why) != MARTY_OK) {
            marty_port_log(port->sink, 1, "nats: looking for channels of %s: %s",
                           wildcards[i]->name, why.text);
        }
        wildcards[i]->late = false;
    }
}

/* ---- the job */

static void remove_sources(marty_port *port, nats__subscription *subscription, bool give_back)
{
    nats__share_stop(port, subscription);
    for (;;) {
        pthread_mutex_lock(&port->lock);
        bool empty = marty__list_empty(&subscription->sources);
        nats__source *source =
            empty ? NULL : MARTY__OWNER(subscription->sources.next, nats__source, link);
        pthread_mutex_unlock(&port->lock);
        if (!source) {
            return;
        }
        nats__source_remove(port, source, give_back);
    }
}

static marty_err set_up(marty_port *port, nats__subscription *subscription, bool reset,
                        marty_error *why)
{
    remove_sources(port, subscription, false); /* the keeper lets go of it, too */
    pthread_mutex_lock(&port->lock);
    nats__take_start_locked(subscription, reset);
    pthread_mutex_unlock(&port->lock);
    if (subscription->core) {
        return nats__core_setup(port, subscription, why);
    }
    return subscription->wildcard
               ? setup_matching(port, subscription, reset, why)
               : setup_channel(port, subscription, subscription->name, reset, why);
}

void nats__setup_run(marty_port *port, nats__job *job)
{
    marty_error why = {0};
    nats__subscription *subscription = job->subscription;
    pthread_mutex_lock(&port->lock);
    uint64_t begun = subscription->begun;
    bool skip = subscription->leaving || port->life != NATS__UP || !begun;
    bool reset = subscription->reset, again = subscription->ready && !reset;
    uint64_t number = subscription->number;
    subscription->reset = skip && reset;
    pthread_mutex_unlock(&port->lock);
    if (again && !skip) {
        nats__leases_look(port, subscription, false);
    }
    marty_err err = skip || again ? MARTY_OK : set_up(port, subscription, reset, &why);
    pthread_mutex_lock(&port->lock);
    subscription->jobs--;
    subscription->reset = subscription->reset || (reset && err);
    /* not if it failed, or began anew, meanwhile: that has an answer of its own */
    bool tell = !skip && begun == subscription->begun && !subscription->leaving;
    if (tell && err) {
        subscription->begun = 0;
    } else if (tell) {
        subscription->ready = true;
        if (!subscription->core) {
            nats__give_back_orphans_locked(subscription);
            nats__pull_locked(subscription, nats__now_ns(port));
        }
        nats__core_more_locked(port, subscription);
    }
    if (tell) { /* with the lock: that it has failed since must be heard after it */
        port->sink->subscribed(port->sink, number, err, err ? why.text : NULL);
    }
    pthread_mutex_unlock(&port->lock);
}

void nats__leave(marty_port *port, nats__subscription *subscription, bool tell)
{
    uint64_t number = subscription->number;
    pthread_mutex_lock(&port->lock);
    marty__list_push(&port->leaving, &subscription->link); /* a lost connection must find it */
    subscription->jobs = UINT32_MAX;                       /* but this thread not again */
    nats__jobs_drop_locked(port, subscription); /* at a close: what was posted behind it */
    pthread_mutex_unlock(&port->lock);
    nats__core_remove(port, subscription);
    remove_sources(port, subscription, true);
    if (subscription->kind == MARTY_KIND_REPLY) {
        nats__asked_all(port); /* their echoes come back to nobody now */
    }
    nats__loop_barrier(port);
    pthread_mutex_lock(&port->lock);
    marty__list_remove(&subscription->link);
    pthread_mutex_unlock(&port->lock);
    nats__subscription_free(subscription);
    if (tell) {
        port->sink->subscribed(port->sink, number, MARTY_E_CLOSED, "unsubscribed");
    }
}
