/* SPDX-License-Identifier: Apache-2.0
 * The keeper: one thread that gives signs of life for all shares of a port, takes shards that are
 * free, and lets shards go that others should have. A shard begins with its consumer put back
 * behind the last settled message, so that what its last owner left open comes first. What could
 * not be renewed in time is not ours any more: it stops at once and settles as LOST. */
#include "share.h"

#include "thread.h"

#include <stdio.h>
#include <string.h>

enum { SOON_NS = 20000000, RELEASE_LOOK_NS = 20000000, CONTENDED = 50, FAILING = 4 };

/* ---- one shard */

/* Say in the cell where the group goes on, before the consumer is removed: a crash in between then
 * costs nothing. */
static marty_err note_floor(void *user, uint64_t floor, marty_error *why)
{
    nats__source *source = user;
    nats__share *share = source->owner->share;
    for (int i = 0; i < 8; i++) {
        nats__shard *shard = &share->cell.shards[source->shard];
        if (strcmp(shard->owner, share->id) != 0) {
            return marty_error_set(why, MARTY_E_LOST, "shard %u has another owner", source->shard);
        }
        shard->floor = floor;
        marty_err err = nats__cell_write(source->owner->port, share, why);
        if (err != MARTY_E_LOST) {
            return err;
        }
        err = nats__cell_read(source->owner->port, share, why);
        if (err) {
            return err;
        }
    }
    return marty_error_set(why, MARTY_E_LOST, "the lease of shard %u is contended", source->shard);
}

static marty_err begin_shard(marty_port *port, nats__share *share, uint32_t index, marty_error *why)
{
    nats__source *source = NULL;
    bool single = share->channel->kind != MARTY_KIND_STREAM;
    marty_err err = nats__source_new(port, share->subscription, share->channel,
                                     single ? -1 : (int)index, &source, why);
    if (err) {
        return err;
    }
    source->ordered = true;
    source->shard = index;
    source->valid_until_ns = share->until_ns;
    err = nats__consumer_rewind(port, share->subscription, source, share->cell.shards[index].floor,
                                note_floor, source, why);
    if (err == MARTY_E_NOT_FOUND) {
        err = nats__consumer_ensure(port, share->subscription, source, port->options.topology,
                                    false, NULL, why);
    }
    err = err ? err : nats__source_begin(port, source, why);
    if (err) {
        nats__source_free(source);
        return err;
    }
    share->holds[index] = (nats__hold){.source = source};
    port->sink->assigned(port->sink, share->subscription->number, &index, 1);
    return MARTY_OK;
}

static void end_shard(marty_port *port, nats__share *share, uint32_t index, bool give_back)
{
    nats__hold *hold = &share->holds[index];
    nats__source *source = hold->source;
    *hold = (nats__hold){.source = NULL};
    if (source) {
        nats__source_remove(port, source, give_back);
    }
}

/* Whether core holds nothing of it any more. */
static bool is_settled(marty_port *port, const nats__source *source)
{
    bool open = false;
    const nats__subscription *subscription = source->owner;
    pthread_mutex_lock(&port->lock);
    for (uint32_t i = 0; i < subscription->entry_count && !open; i++) {
        open = subscription->entries[i].tag && subscription->entries[i].source == source;
    }
    pthread_mutex_unlock(&port->lock);
    return !open;
}

/* ---- all of them */

static void announce_release(marty_port *port, nats__share *share)
{
    for (uint32_t i = 0; i < share->cell.shard_count; i++) {
        nats__hold *hold = &share->holds[i];
        if (hold->source && hold->releasing && !hold->source->releasing) {
            pthread_mutex_lock(&port->lock);
            hold->source->releasing = true;
            pthread_mutex_unlock(&port->lock);
            port->sink->revoked(port->sink, share->subscription->number, &i, 1, hold->release_ns);
        }
    }
}

/* Shards that are let go and settled, or past their time: free in the cell. */
static bool finish_releases(marty_port *port, nats__share *share, int64_t now_ns, bool *ret_open)
{
    bool changed = false;
    for (uint32_t i = 0; i < share->cell.shard_count; i++) {
        nats__hold *hold = &share->holds[i];
        bool ours = strcmp(share->cell.shards[i].owner, share->id) == 0;
        if (hold->source && hold->releasing) {
            if (now_ns < hold->release_ns && !is_settled(port, hold->source)) {
                *ret_open = true;
                continue;
            }
            end_shard(port, share, i, true);
            hold->released = true;
        }
        hold->released = hold->released && ours;
        if (hold->released) {
            share->cell.shards[i].owner[0] = '\0';
            changed = true;
        }
    }
    return changed;
}

/* Until when what is ours is ours: past it nothing is delivered and nothing settles. */
static void set_validity(marty_port *port, nats__share *share)
{
    pthread_mutex_lock(&port->lock);
    for (uint32_t i = 0; i < share->cell.shard_count; i++) {
        if (share->holds[i].source) {
            share->holds[i].source->valid_until_ns = share->until_ns;
        }
    }
    pthread_mutex_unlock(&port->lock);
}

static void begin_new(marty_port *port, nats__share *share)
{
    for (uint32_t i = 0; i < share->cell.shard_count; i++) {
        marty_error why = {0};
        if (nats__now_ns(port) >= share->until_ns) {
            return; /* the sign of life comes first */
        }
        if (share->holds[i].source || share->holds[i].released ||
            strcmp(share->cell.shards[i].owner, share->id) != 0) {
            continue;
        }
        if (begin_shard(port, share, i, &why) != MARTY_OK) {
            marty_port_log(port->sink, 1, "nats: shard %u of %s cannot begin: %s", i,
                           share->channel->name, why.text);
        }
    }
}

static void lose_all(marty_port *port, nats__share *share)
{
    for (uint32_t i = 0; i < share->cell.shard_count; i++) {
        if (share->holds[i].source) {
            marty_port_log(port->sink, 1, "nats: the lease of shard %u of %s ran out", i,
                           share->channel->name);
            port->sink->revoked(port->sink, share->subscription->number, &i, 1, nats__now_ns(port));
            end_shard(port, share, i, false);
        }
    }
}

/* Shards that the cell gives to others now: we were taken for dead. */
static void lose_taken(marty_port *port, nats__share *share)
{
    for (uint32_t i = 0; i < share->cell.shard_count; i++) {
        if (share->holds[i].source && strcmp(share->cell.shards[i].owner, share->id) != 0) {
            port->sink->revoked(port->sink, share->subscription->number, &i, 1, nats__now_ns(port));
            end_shard(port, share, i, false);
        }
    }
}

/* Said once, and again after it was well meanwhile. */
static void note_trouble(marty_port *port, nats__share *share, marty_err err,
                         const marty_error *why)
{
    share->failures = err ? share->failures + 1 : 0;
    if (share->failures == (err == MARTY_E_LOST ? CONTENDED : FAILING)) {
        marty_port_log(port->sink, 1, "nats: who reads which shard of %s cannot be settled: %s",
                       share->channel->name, why->text);
    }
}

static int64_t tick(marty_port *port, nats__share *share)
{
    marty_error why = {0};
    bool open = false;
    int64_t lease_ns = nats__share_lease_ns(port), began_ns = nats__now_ns(port);
    marty_err err = nats__cell_read(port, share, &why);
    if (!err) {
        lose_taken(port, share);
        bool changed = finish_releases(port, share, began_ns, &open);
        changed = nats__cell_decide(port, share, began_ns) || changed;
        err = changed ? nats__cell_write(port, share, &why) : MARTY_OK;
        share->until_ns = changed && !err ? began_ns + lease_ns : share->until_ns;
    }
    note_trouble(port, share, err, &why);
    int64_t now_ns = nats__now_ns(port);
    if (err == MARTY_E_LOST) { /* somebody was faster: look again, a little apart */
        uint32_t random = 0;
        port->sink->env->random(port->sink->env->user, &random, sizeof random);
        share->beat_ns = 0;
        return now_ns + 1000000 + random % SOON_NS;
    }
    if (err) {
        share->beat_ns = 0;
        if (now_ns >= share->until_ns) {
            lose_all(port, share);
        }
        return now_ns + lease_ns / 8;
    }
    set_validity(port, share);
    announce_release(port, share);
    begin_new(port, share);
    now_ns = nats__now_ns(port);
    int64_t next_ns = share->beat_ns > now_ns ? share->beat_ns : now_ns;
    return open && next_ns > now_ns + RELEASE_LOOK_NS ? now_ns + RELEASE_LOOK_NS : next_ns;
}

/* ---- the thread */

static nats__share *next_due(marty_port *port, int64_t now_ns, int64_t *ret_next_ns)
{
    *ret_next_ns = INT64_MAX;
    for (marty__link *at = port->shares.next; at != &port->shares; at = at->next) {
        nats__share *share = MARTY__OWNER(at, nats__share, link);
        if (share->stopping || share->lost) {
            continue;
        }
        if (share->next_ns <= now_ns) {
            return share;
        }
        *ret_next_ns = share->next_ns < *ret_next_ns ? share->next_ns : *ret_next_ns;
    }
    return NULL;
}

static void *keeper_main(void *argument)
{
    marty_port *port = argument;
    pthread_mutex_lock(&port->lock);
    while (!atomic_load(&port->stop)) {
        int64_t next_ns = INT64_MAX;
        nats__share *share = next_due(port, nats__now_ns(port), &next_ns);
        if (!share) {
            (void)nats__wait_locked(port, &port->keeper_changed, next_ns);
            continue;
        }
        share->busy = true;
        share->next_ns = INT64_MAX; /* news during the tick set it again */
        pthread_mutex_unlock(&port->lock);
        int64_t again_ns = tick(port, share);
        pthread_mutex_lock(&port->lock);
        share->busy = false;
        share->next_ns = again_ns < share->next_ns ? again_ns : share->next_ns;
        pthread_cond_broadcast(&port->keeper_changed);
    }
    pthread_mutex_unlock(&port->lock);
    nats_ReleaseThreadMemory();
    return NULL;
}

marty_err nats__keeper_start(marty_port *port, marty_error *why)
{
    if (!port->keeper_started) {
        port->keeper_started = nats__thread(&port->keeper, "nats keeper", keeper_main, port);
    }
    return port->keeper_started
               ? MARTY_OK
               : marty_error_set(why, MARTY_E_NO_MEMORY, "nats: no thread left for the leases");
}

void nats__keeper_stop(marty_port *port)
{
    if (port->keeper_started) {
        atomic_store(&port->stop, true);
        pthread_mutex_lock(&port->lock);
        pthread_cond_broadcast(&port->keeper_changed);
        pthread_mutex_unlock(&port->lock);
        (void)pthread_join(port->keeper, NULL);
        port->keeper_started = false;
    }
}
