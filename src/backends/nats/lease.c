/* SPDX-License-Identifier: Apache-2.0
 * How long a consumer waits for an ack. All who pull from it share that: the shortest that somebody
 * asks for. Who finds a longer one shortens it (topology=create), who finds a shorter one takes it,
 * and nobody makes one longer. An instance that was there before, or that does not look
 * (topology=none), learns of it when something that it holds comes again. What is ordered by key is
 * left out: its lease is that of the shards, and all instances must have the same. */
#include "parts.h"

uint64_t nats__lease_of(json_t *config)
{
    json_int_t wait_ns = json_integer_value(json_object_get(config, "ack_wait"));
    return wait_ns > 0 ? (uint64_t)wait_ns / 1000000 : 0;
}

int64_t nats__lease_ns(const nats__source *source)
{
    return (int64_t)source->lease_ms * 1000000;
}

static void take(marty_port *port, nats__source *source, uint64_t lease_ms)
{
    pthread_mutex_lock(&port->lock);
    source->lease_ms = lease_ms;
    pthread_mutex_unlock(&port->lock);
}

static marty_err shorten(marty_port *port, nats__source *source, uint64_t lease_ms, json_t *config,
                         marty_error *why)
{
    json_t *changed = json_copy(config);
    (void)json_object_set_new(changed, "ack_wait", json_integer((json_int_t)lease_ms * 1000000));
    marty_err err = nats__consumer_change(port, source, changed, why);
    if (!err) {
        (void)json_object_update(config, changed);
    }
    json_decref(changed);
    return err;
}

/* A longer one is no reason to stay away, nor is one that we may not change: what a dead instance
 * had comes later then. */
marty_err nats__lease_agree(marty_port *port, nats__source *source, uint64_t wanted_ms,
                            nats__topology mode, json_t *config, marty_error *why)
{
    uint64_t found_ms = nats__lease_of(config);
    marty_err err = MARTY_OK;
    if (found_ms > wanted_ms && mode == NATS__CREATE) {
        err = shorten(port, source, wanted_ms, config, why);
        found_ms = err ? found_ms : wanted_ms;
    }
    if (err && marty_err_describe(err)->error_class == MARTY_CLASS_RETRY) {
        return err;
    }
    take(port, source, found_ms);
    if (found_ms > wanted_ms && !source->lease_told) {
        source->lease_told = true;
        marty_port_log(port->sink, 1,
                       "nats: consumer %s of stream %s: what a dead instance had comes again after "
                       "%llu ms, not after %llu as asked for: %s",
                       source->consumer, source->channel->stream, (unsigned long long)found_ms,
                       (unsigned long long)wanted_ms, err ? why->text : "topology= is not create");
    }
    return MARTY_OK;
}

/* ---- while it runs */

/* Nobody tells us: shorter, until what we hold is ours for as long as we think. */
static void guess(marty_port *port, nats__source *source)
{
    uint64_t half_ms = source->lease_ms / 2;
    if (source->lease_ms > NATS__GUESS_MS) {
        take(port, source, half_ms > NATS__GUESS_MS ? half_ms : NATS__GUESS_MS);
    }
}

static void look_at(marty_port *port, nats__source *source, uint64_t wanted_ms, bool doubts)
{
    marty_error why = {0};
    json_t *info = NULL;
    marty_err err = nats__consumer_info(port, source, &info, &why);
    err = err ? err
              : nats__lease_agree(port, source, wanted_ms, port->options.topology,
                                  json_object_get(info, "config"), &why);
    if (err) {
        marty_port_log(port->sink, 1, "nats: the lease of consumer %s of stream %s: %s",
                       source->consumer, source->channel->stream, why.text);
    }
    if (err && doubts && marty_err_describe(err)->error_class != MARTY_CLASS_RETRY) {
        guess(port, source);
    }
    json_decref(info);
}

/* Only this thread frees sources that are not shared. */
void nats__leases_look(marty_port *port, nats__subscription *subscription, bool doubts)
{
    if (subscription->core || (port->options.topology == NATS__NONE && !doubts)) {
        return;
    }
    pthread_mutex_lock(&port->lock);
    uint64_t wanted_ms = subscription->lease_ms;
    for (marty__link *s = subscription->sources.next; s != &subscription->sources; s = s->next) {
        nats__source *source = MARTY__OWNER(s, nats__source, link);
        if (!source->shared && (doubts || source->lease_ms > wanted_ms)) {
            pthread_mutex_unlock(&port->lock);
            look_at(port, source, wanted_ms, doubts);
            pthread_mutex_lock(&port->lock);
        }
    }
    pthread_mutex_unlock(&port->lock);
}

static void look_again(marty_port *port, nats__job *job)
{
    nats__subscription *subscription = job->subscription;
    pthread_mutex_lock(&port->lock);
    bool look = subscription->ready && !subscription->leaving && port->life == NATS__UP;
    pthread_mutex_unlock(&port->lock);
    if (look) {
        nats__leases_look(port, subscription, true);
    }
    pthread_mutex_lock(&port->lock);
    subscription->jobs--;
    subscription->doubts = false;
    pthread_mutex_unlock(&port->lock);
}

/* No job is about one that leaves: who takes it down drops them once, and frees it. */
void nats__lease_doubt_locked(nats__subscription *subscription)
{
    bool asks = !subscription->doubts && !subscription->leaving;
    nats__job *job = asks ? nats__job_new(look_again, NULL) : NULL;
    if (job) {
        job->subscription = subscription;
        subscription->doubts = true;
        nats__job_post_locked(subscription->port, job);
    }
}
