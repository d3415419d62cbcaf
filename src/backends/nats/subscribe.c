/* SPDX-License-Identifier: Apache-2.0
 * The ops of subscriptions. They note what is wanted; the worker does what waits for the server.
 * A subscription that core makes again under the same number is the same object: after a new
 * connection it is set up again, with reset it starts over, and else it stays as it is, also while
 * it is being set up: a group is asked for its whole channel, whatever the patterns. */
#include "parts.h"

#include <string.h>

nats__subscription *nats__subscription_find_locked(marty_port *port, uint64_t number)
{
    for (marty__link *at = port->subscriptions.next; at != &port->subscriptions; at = at->next) {
        nats__subscription *subscription = MARTY__OWNER(at, nats__subscription, link);
        if (subscription->number == number) {
            return subscription;
        }
    }
    return NULL;
}

static char *duplicate(const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = marty_alloc(size);
    if (copy) {
        memcpy(copy, text, size);
    }
    return copy;
}

static bool start_from(const marty_start *from, nats__start *ret_start)
{
    char *position = from->position ? duplicate(from->position) : NULL;
    if (from->position && !position) {
        return false;
    }
    *ret_start = (nats__start){.from = from->from, .time_us = from->time_us, .position = position};
    return true;
}

/* What of a want may change from one subscribe to the next: taken when it is set up, as who sets it
 * up now reads the one before. */
static bool seek_locked(nats__subscription *subscription, const marty_start *from)
{
    nats__start sought;
    if (!start_from(from, &sought)) {
        return false;
    }
    marty_free(subscription->sought.position);
    subscription->sought = sought;
    subscription->seeks = true;
    return true;
}

void nats__take_start_locked(nats__subscription *subscription, bool reset)
{
    if (subscription->seeks) {
        marty_free(subscription->start.position);
        subscription->start = subscription->sought;
        subscription->sought = (nats__start){.position = NULL};
        subscription->seeks = false;
    }
    subscription->resume = reset ? 0 : subscription->resume;
    subscription->start.resume = subscription->resume;
}

/* What the URL says is the longest. */
static uint64_t lease_of(const marty_port *port, const marty_want *want)
{
    uint64_t most_ms = port->options.lease_ms;
    return want->lease_ms && want->lease_ms < most_ms ? want->lease_ms : most_ms;
}

static bool is_core(const marty_port *port, marty_kind kind)
{
    bool legacy = port->options.envelope == NATS__LEGACY &&
                  (kind == MARTY_KIND_TOPIC || kind == MARTY_KIND_QUEUE);
    return kind == MARTY_KIND_REQUEST || kind == MARTY_KIND_BROADCAST || kind == MARTY_KIND_REPLY ||
           legacy;
}

nats__subscription *nats__subscription_new(marty_port *port, uint64_t number,
                                           const marty_want *want)
{
    const marty_channel *channel = &want->channel;
    nats__subscription *made = marty_alloc_zero(1, sizeof *made);
    if (!made) {
        return NULL;
    }
    marty__list_init(&made->sources);
    made->port = port;
    made->number = number;
    made->kind = channel->kind;
    made->order = channel->order;
    made->native = channel->native;
    made->shards = channel->shards;
    made->lease_ms = lease_of(port, want);
    made->name = duplicate(channel->name);
    made->group = channel->group ? duplicate(channel->group) : NULL;
    made->core = is_core(port, channel->kind);
    made->memory =
        made->core && (channel->kind == MARTY_KIND_TOPIC || channel->kind == MARTY_KIND_QUEUE);
    made->instance = !channel->group && channel->kind != MARTY_KIND_QUEUE && !made->core;
    made->wildcard = !made->core && !channel->native && strpbrk(channel->name, "*>") != NULL;
    if (!made->name || (channel->group && !made->group) ||
        !start_from(&want->start, &made->start)) {
        nats__subscription_free(made);
        return NULL;
    }
    return made;
}

void nats__subscription_free(nats__subscription *subscription)
{
    if (!subscription) {
        return;
    }
    marty__link *link;
    while ((link = marty__list_pop(&subscription->sources)) != NULL) {
        nats__source_free(MARTY__OWNER(link, nats__source, link));
    }
    for (uint32_t i = 0; i < subscription->entry_count; i++) {
        marty_free(subscription->entries[i].kept);
    }
    marty_free(subscription->entries);
    marty_free(subscription->orphans.data);
    marty_free(subscription->name);
    marty_free(subscription->group);
    marty_free(subscription->start.position);
    marty_free(subscription->sought.position);
    marty_free(subscription);
}

static marty_err check_want(const marty_port *port, const marty_want *want, marty_error *why)
{
    const marty_channel *channel = &want->channel;
    bool stored = !is_core(port, channel->kind);
    if (channel->kind == MARTY_KIND_DEAD) {
        return marty_error_set(why, MARTY_E_UNSUPPORTED,
                               "channel %s: dead letters are browsed, not subscribed to",
                               channel->name);
    }
    if (stored && !port->jetstream) {
        return marty_error_set(why, MARTY_E_UNSUPPORTED,
                               "channel %s: nats://%s keeps nothing: JetStream is off; start the "
                               "server with: nats-server -js",
                               channel->name, port->server);
    }
    if (stored && channel->order == MARTY_ORDER_KEY && strpbrk(channel->name, "*>")) {
        return marty_error_set(why, MARTY_E_UNSUPPORTED,
                               "channel %s: nats orders by key within one channel; name it",
                               channel->name);
    }
    return MARTY_OK;
}

/* Everything delivered before is void: reset, or a new connection. */
static void start_over(nats__subscription *subscription, const marty_want *want)
{
    nats__entries_drop_locked(subscription, NULL, false);
    subscription->ready = subscription->retiring = false;
    subscription->begun = ++subscription->serial;
    subscription->credit = subscription->window = want->credit;
    subscription->orphans.size = want->reset ? 0 : subscription->orphans.size;
    for (marty__link *s = subscription->sources.next; s != &subscription->sources; s = s->next) {
        MARTY__OWNER(s, nats__source, link)->running = false;
    }
}

static uint32_t most(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

marty_err nats__subscribe(marty_port *port, uint64_t number, const marty_want *want,
                          marty_error *why)
{
    nats__job *job = nats__job_new(nats__setup_run, NULL);
    pthread_mutex_lock(&port->lock);
    marty_err err = port->life == NATS__UP
                        ? check_want(port, want, why)
                        : marty_error_set(why, MARTY_E_UNAVAILABLE, "nats: not connected");
    nats__subscription *subscription = err ? NULL : nats__subscription_find_locked(port, number);
    if (!err && !subscription) {
        subscription = nats__subscription_new(port, number, want);
        if (subscription) {
            marty__list_push(&port->subscriptions, &subscription->link);
            start_over(subscription, want);
        }
    } else if (!err && !want->reset && subscription->begun) { /* who sets it up reads it */
        subscription->credit = most(subscription->credit, want->credit); /* all that core owes */
    } else if (!err && job && seek_locked(subscription, &want->start)) {
        start_over(subscription, want);
    } else if (!err) {
        subscription = NULL;
    }
    if (!err && (!job || !subscription)) {
        err = marty_error_set(why, MARTY_E_NO_MEMORY, "nats: no memory for a subscription");
    }
    if (!err) {
        subscription->lease_ms = lease_of(port, want);
        subscription->reset = subscription->reset || want->reset;
        job->subscription = subscription;
        nats__job_post_locked(port, job);
    }
    pthread_mutex_unlock(&port->lock);
    if (err) {
        marty_free(job);
    }
    return err;
}

void nats__unsubscribe(marty_port *port, uint64_t number)
{
    pthread_mutex_lock(&port->lock);
    nats__subscription *subscription = nats__subscription_find_locked(port, number);
    if (!subscription) {
        pthread_mutex_unlock(&port->lock);
        port->sink->subscribed(port->sink, number, MARTY_E_CLOSED, "unsubscribed");
        return;
    }
    marty__list_remove(&subscription->link);
    marty__list_push(&port->leaving, &subscription->link);
    subscription->leaving = true;
    subscription->credit = 0;
    pthread_cond_signal(&port->jobs_changed);
    pthread_mutex_unlock(&port->lock);
}

void nats__grant(marty_port *port, uint64_t number, uint32_t credit)
{
    pthread_mutex_lock(&port->lock);
    nats__subscription *subscription = nats__subscription_find_locked(port, number);
    if (subscription && !credit) {
        subscription->credit = 0; /* what comes still is kept here, and given back at the end */
        subscription->retiring = true;
        port->due_ns = 0;
        nats__wake(port, true);
    } else if (subscription) {
        subscription->retiring = false;
        subscription->credit += credit;
        uint32_t all = subscription->credit + subscription->used;
        subscription->window = all > subscription->window ? all : subscription->window;
        if (subscription->core) {
            nats__core_more_locked(port, subscription);
        } else if (subscription->ready) {
            if (subscription->keeps) {
                port->due_ns = 0;
                nats__wake(port, true);
            }
            nats__pull_locked(subscription, nats__now_ns(port));
        }
    }
    pthread_mutex_unlock(&port->lock);
}
