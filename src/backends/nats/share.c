/* SPDX-License-Identifier: Apache-2.0
 * Joining and leaving a share: the worker's part. All consumers exist before the subscription is
 * said to be there, so a new group misses nothing, whoever owns its shards. */
#include "share.h"

#include "thread.h"

#include <stdio.h>
#include <string.h>

enum { HELPERS = 3 };

/* Another member changed the cell: look soon. */
static void news_arrived(marty_port *port, nats__inbox *inbox, const nats__message *messages,
                         size_t count)
{
    nats__share *share = inbox->owner;
    (void)messages;
    (void)count;
    pthread_mutex_lock(&port->lock);
    int64_t soon_ns = nats__now_ns(port) + 2000000;
    if (soon_ns < share->next_ns) {
        share->next_ns = soon_ns;
        pthread_cond_broadcast(&port->keeper_changed);
    }
    pthread_mutex_unlock(&port->lock);
}

static void free_share(nats__share *share)
{
    if (share) {
        marty_free(share->cell.shards);
        marty_free(share->holds);
        marty_free(share);
    }
}

static marty_err new_share(marty_port *port, nats__subscription *subscription,
                           nats__channel *channel, nats__share **ret_share, marty_error *why)
{
    char group[NATS__NAME_MAX + 1];
    uint32_t shards = channel->kind == MARTY_KIND_STREAM ? channel->shards : 1;
    nats__share *share = marty_alloc_zero(1, sizeof *share);
    marty_err err = nats__consumer_name(
        group, channel, subscription->group ? subscription->group : channel->name, -1, why);
    if (!err && share && shards <= NATS__SHARDS_MAX) {
        share->cell.shards = marty_alloc_zero(shards, sizeof *share->cell.shards);
        share->holds = marty_alloc_zero(shards, sizeof *share->holds);
    }
    if (!err && (!share || !share->cell.shards || !share->holds)) {
        err = marty_error_set(why, MARTY_E_NO_MEMORY, "nats: no memory for %u shards", shards);
    }
    if (err) {
        free_share(share);
        return err;
    }
    share->cell.shard_count = shards;
    share->subscription = subscription;
    share->channel = channel;
    (void)snprintf(share->key, sizeof share->key, "$KV.marty.%s.%s", channel->stream, group);
    (void)snprintf(share->id, sizeof share->id, "%s", port->id);
    *ret_share = share;
    return MARTY_OK;
}

/* Making the consumers of all shards: in a cluster each takes an election, so some at once. */
typedef struct making {
    marty_port *port;
    nats__share *share;
    bool reset, one; /* one: only that shard begins anew */
    uint64_t only;
    uint32_t next; /* from here on under the lock */
    marty_err err;
    marty_error why;
} making;

static marty_err make_one(const making *self, uint32_t index, marty_error *why)
{
    marty_port *port = self->port;
    nats__share *share = self->share;
    nats__source *source = NULL;
    bool single = share->channel->kind != MARTY_KIND_STREAM;
    marty_err err = nats__source_new(port, share->subscription, share->channel,
                                     single ? -1 : (int)index, &source, why);
    if (!err) {
        source->shard = index;
        err = nats__consumer_ensure(port, share->subscription, source, port->options.topology,
                                    self->reset && (!self->one || self->only == index), NULL, why);
    }
    nats__source_free(source);
    return err;
}

static void make_some(making *self)
{
    marty_error why = {0};
    marty_err err = MARTY_OK;
    for (;;) {
        pthread_mutex_lock(&self->port->lock);
        if (err && !self->err) {
            self->err = err;
            self->why = why;
        }
        uint32_t index = self->next++;
        bool done = self->err || index >= self->share->cell.shard_count;
        pthread_mutex_unlock(&self->port->lock);
        if (done) {
            return;
        }
        err = make_one(self, index, &why);
    }
}

static void *helper_main(void *argument)
{
    make_some(argument);
    nats_ReleaseThreadMemory();
    return NULL;
}

/* Every shard's consumer, at its start if it is new or all shall begin anew. */
static marty_err ensure_consumers(marty_port *port, nats__share *share, bool reset,
                                  marty_error *why)
{
    const nats__start *start = &share->subscription->start;
    const char *at = start->position ? start->position : "";
    making self = {.port = port, .share = share, .reset = reset};
    pthread_t helpers[HELPERS];
    uint32_t count = 0;
    self.one = reset && start->from == MARTY_FROM_POSITION && strchr(at, ':');
    self.only = self.one ? nats__number(&at) : 0;
    while (count < HELPERS && count + 1 < share->cell.shard_count &&
           nats__thread(&helpers[count], "nats helper", helper_main, &self)) {
        count++;
    }
    make_some(&self);
    while (count > 0) {
        (void)pthread_join(helpers[--count], NULL);
    }
    return self.err ? marty_error_set(why, self.err, "%s", self.why.text) : MARTY_OK;
}

marty_err nats__share_start(marty_port *port, nats__subscription *subscription,
                            nats__channel *channel, bool reset, marty_error *why)
{
    nats__share *share = NULL;
    marty_err err = nats__bucket_ensure(port, why);
    err = err ? err : new_share(port, subscription, channel, &share, why);
    err = err ? err : ensure_consumers(port, share, reset, why);
    err = err ? err : nats__keeper_start(port, why);
    if (err) {
        free_share(share);
        return err;
    }
    share->news.arrived = news_arrived;
    share->news.owner = share;
    pthread_mutex_lock(&port->lock);
    err = nats__inbox_open_locked(&port->wires[0], &share->news, share->key, NULL, why);
    if (!err) {
        subscription->share = share;
        marty__list_push(&port->shares, &share->link);
        pthread_cond_broadcast(&port->keeper_changed);
    }
    pthread_mutex_unlock(&port->lock);
    if (err) {
        free_share(share);
    }
    return err;
}

void nats__share_stop(marty_port *port, nats__subscription *subscription)
{
    pthread_mutex_lock(&port->lock);
    nats__share *share = subscription->share;
    if (!share) {
        pthread_mutex_unlock(&port->lock);
        return;
    }
    share->stopping = true;
    while (share->busy) {
        (void)nats__wait_locked(port, &port->keeper_changed, INT64_MAX);
    }
    marty__list_remove(&share->link);
    subscription->share = NULL;
    for (marty__link *s = subscription->sources.next; s != &subscription->sources; s = s->next) {
        nats__source *source = MARTY__OWNER(s, nats__source, link);
        if (source->ordered) {
            source->running = false;
            nats__entries_drop_locked(subscription, source, true);
        }
    }
    nats__inbox_close_locked(&share->news);
    while (share->news.wire) {
        (void)nats__wait_locked(port, &port->changed, INT64_MAX);
    }
    bool up = port->life == NATS__UP && !share->lost;
    pthread_mutex_unlock(&port->lock);
    nats__loop_barrier(port);
    if (up) {
        nats__cell_leave(port, share);
    }
    free_share(share);
}

void nats__shares_lost_locked(marty_port *port)
{
    for (marty__link *at = port->shares.next; at != &port->shares; at = at->next) {
        MARTY__OWNER(at, nats__share, link)->lost = true;
    }
}

bool nats__shared_locked(const marty_port *port, const char *stream)
{
    for (const marty__link *at = port->shares.next; at != &port->shares; at = at->next) {
        if (strcmp(MARTY__OWNER(at, nats__share, link)->channel->stream, stream) == 0) {
            return true;
        }
    }
    return false;
}

void nats__shares_free(marty_port *port)
{
    marty__link *link;
    while ((link = marty__list_pop(&port->shares)) != NULL) {
        free_share(MARTY__OWNER(link, nats__share, link));
    }
}
