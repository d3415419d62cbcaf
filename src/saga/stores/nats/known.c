/* SPDX-License-Identifier: Apache-2.0
 * What is remembered of sagas: the revision that a write must name, and the history that it must
 * carry on. One place per hash; who has none is read first. It may be old: then the write is
 * refused, and the saga read. And the revisions that keys were seen to have: an answer that is
 * older comes from a leader that was cut off or frozen and does not know that it is deposed, which
 * takes some seconds. So no store ever goes back behind what it has seen. */
#include "kv.h"

#include <string.h>

static uint64_t hash_of(const char *text)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    for (const char *at = text; *at; at++) {
        hash = (hash ^ (unsigned char)*at) * UINT64_C(1099511628211);
    }
    return hash;
}

static kv_known *place_of(marty_saga_store *store, const char *id)
{
    return &store->known[hash_of(id) % KV_KNOWN];
}

static char *copy_of(const char *data, size_t size)
{
    char *copy = marty_alloc(size + 1);
    if (copy && size) {
        memcpy(copy, data, size);
    }
    return copy;
}

bool kv_known_get(marty_saga_store *store, const char *id, kv_known *ret)
{
    (void)pthread_mutex_lock(&store->mutex);
    const kv_known *place = place_of(store, id);
    bool is = strcmp(place->id, id) == 0;
    if (is) {
        *ret = *place;
        ret->run = copy_of(place->run, place->run_size);
        is = ret->run != NULL;
    }
    (void)pthread_mutex_unlock(&store->mutex);
    return is;
}

void kv_birth_take(kv_birth *birth, const marty_saga_facts *facts)
{
    birth->shard = facts->shard;
    birth->started_us = facts->started_us;
    (void)snprintf(birth->name, sizeof birth->name, "%s", facts->name);
    (void)snprintf(birth->key, sizeof birth->key, "%s", facts->key ? facts->key : "");
}

void kv_known_put(marty_saga_store *store, const marty_saga_facts *facts, uint64_t seq,
                  marty_bytes run)
{
    const char *id = facts->id;
    char *copy = copy_of(run.data, run.size);
    (void)pthread_mutex_lock(&store->mutex);
    kv_known *place = place_of(store, id);
    if (strcmp(place->id, id) == 0 && place->seq > seq) { /* what is known is newer */
        marty_free(copy);
    } else {
        marty_free(place->run);
        *place =
            (kv_known){.seq = seq, .version = facts->version, .run = copy, .run_size = run.size};
        kv_birth_take(&place->birth, facts);
        (void)snprintf(place->id, sizeof place->id, "%s", copy ? id : "");
    }
    (void)pthread_mutex_unlock(&store->mutex);
}

void kv_known_drop(marty_saga_store *store, const char *id)
{
    (void)pthread_mutex_lock(&store->mutex);
    kv_known *place = place_of(store, id);
    if (strcmp(place->id, id) == 0) {
        marty_free(place->run);
        *place = (kv_known){.seq = 0};
    }
    (void)pthread_mutex_unlock(&store->mutex);
}

void kv_known_free(marty_saga_store *store)
{
    for (size_t i = 0; i < KV_KNOWN; i++) {
        marty_free(store->known[i].run);
        store->known[i] = (kv_known){.seq = 0};
    }
}

void kv_forget_all(marty_saga_store *store)
{
    (void)pthread_mutex_lock(&store->mutex);
    kv_known_free(store);
    memset(store->bounds, 0, sizeof store->bounds);
    store->seen = 0;
    (void)pthread_mutex_unlock(&store->mutex);
}

void kv_seen(marty_saga_store *store, uint64_t seq)
{
    (void)pthread_mutex_lock(&store->mutex);
    store->seen = seq > store->seen ? seq : store->seen;
    (void)pthread_mutex_unlock(&store->mutex);
}

uint64_t kv_seen_last(marty_saga_store *store)
{
    (void)pthread_mutex_lock(&store->mutex);
    uint64_t seq = store->seen;
    (void)pthread_mutex_unlock(&store->mutex);
    return seq;
}

/* ---- bounds */
static int64_t now_ns(const marty_saga_store *store)
{
    return store->env.monotonic_ns(store->env.user);
}

void kv_saw(marty_saga_store *store, const char *key, uint64_t seq)
{
    uint64_t hash = hash_of(key);
    int64_t now = now_ns(store);
    (void)pthread_mutex_lock(&store->mutex);
    kv_bound *bound = &store->bounds[hash % KV_KNOWN];
    if (bound->hash != hash || bound->seq <= seq || now - bound->at_ns > KV_BOUND_NS) {
        *bound = (kv_bound){hash, seq, now};
    }
    (void)pthread_mutex_unlock(&store->mutex);
}

bool kv_is_old(marty_saga_store *store, const char *key, uint64_t seq)
{
    uint64_t hash = hash_of(key);
    int64_t now = now_ns(store);
    (void)pthread_mutex_lock(&store->mutex);
    const kv_bound *bound = &store->bounds[hash % KV_KNOWN];
    bool old = bound->hash == hash && seq < bound->seq && now - bound->at_ns <= KV_BOUND_NS;
    (void)pthread_mutex_unlock(&store->mutex);
    return old;
}

void kv_forget(marty_saga_store *store, const char *key)
{
    uint64_t hash = hash_of(key);
    (void)pthread_mutex_lock(&store->mutex);
    kv_bound *bound = &store->bounds[hash % KV_KNOWN];
    if (bound->hash == hash) {
        *bound = (kv_bound){.seq = 0};
    }
    (void)pthread_mutex_unlock(&store->mutex);
}
