/* SPDX-License-Identifier: Apache-2.0
 * Reading sagas in memory: one, those that are due or unsent, those of a filter, a history. */
#include "memory.h"

#include <stdlib.h>
#include <string.h>

marty_err marty__saga_memory_load(marty_saga_store *store, const char *id,
                                  marty_saga_record **ret_record, int64_t until_ns,
                                  marty_error *why)
{
    marty_err err = MARTY_OK;
    if (!marty__gate_enter(&store->gate, until_ns)) {
        return marty__saga_store_late(why);
    }
    const memory_saga *saga = marty__saga_memory_get(store, id);
    if (saga) {
        const marty_saga_record *have = saga->record;
        *ret_record = marty_saga_record_new(&have->facts, store->shards[have->facts.shard].epoch,
                                            have->state, have->outbox);
        err = *ret_record ? MARTY_OK : MARTY_E_NO_MEMORY;
    } else {
        err = MARTY_E_NOT_FOUND;
    }
    marty__gate_leave(&store->gate);
    return err ? marty_error_set(why, err, "the saga %s: %s", id, marty_err_describe(err)->text)
               : MARTY_OK;
}

marty_err marty__saga_memory_load_many(marty_saga_store *store, const char *const ids[],
                                       size_t count, marty_saga_loaded loaded, void *user,
                                       int64_t until_ns, marty_error *why)
{
    bool goes_on = true;
    for (size_t i = 0; i < count && goes_on; i++) {
        marty_saga_record *record = NULL;
        marty_err err = marty__saga_memory_load(store, ids[i], &record, until_ns, why);
        if (err && err != MARTY_E_NOT_FOUND) {
            return err;
        }
        goes_on = err || loaded(user, record);
    }
    return MARTY_OK;
}

marty_err marty__saga_memory_find(marty_saga_store *store, const char *name, const char *key,
                                  char ret_id[40], int64_t until_ns, marty_error *why)
{
    bool there = false;
    if (!marty__gate_enter(&store->gate, until_ns)) {
        return marty__saga_store_late(why);
    }
    for (size_t i = 0; i < store->count && !there; i++) {
        const marty_saga_facts *facts = &store->sagas[i]->record->facts;
        there = strcmp(facts->name, name) == 0 && strcmp(facts->key, key) == 0;
        if (there) {
            memcpy(ret_id, facts->id, strlen(facts->id) + 1);
        }
    }
    marty__gate_leave(&store->gate);
    return there ? MARTY_OK
                 : marty_error_set(why, MARTY_E_NOT_FOUND, "no saga %s has the key %s", name, key);
}

/* ---- scans: what is found is sorted by a time, then by id */
typedef struct hit {
    int64_t at_us;
    const marty_saga_facts *facts;
} hit;

static int by_time(const void *left, const void *right)
{
    const hit *a = left, *b = right;
    if (a->at_us != b->at_us) {
        return a->at_us < b->at_us ? -1 : 1;
    }
    return strcmp(a->facts->id, b->facts->id);
}

static void tell(hit hits[], size_t count, uint32_t limit, marty_saga_found found, void *user)
{
    if (count) {
        qsort(hits, count, sizeof *hits, by_time);
    }
    for (size_t i = 0; i < count && i < limit && found(user, hits[i].facts); i++) {
    }
}

marty_err marty__saga_memory_due(marty_saga_store *store, const marty_saga_shards *shards,
                                 int64_t now_us, uint32_t limit, marty_saga_found found, void *user,
                                 int64_t *ret_next_us, int64_t until_ns, marty_error *why)
{
    if (!marty__gate_enter(&store->gate, until_ns)) {
        return marty__saga_store_late(why);
    }
    hit *hits = marty_alloc((store->count + 1) * sizeof *hits);
    if (!hits) {
        marty__gate_leave(&store->gate);
        return marty_error_set(why, MARTY_E_NO_MEMORY, "listing the sagas that are due");
    }
    size_t count = 0;
    int64_t next = INT64_MAX;
    for (size_t i = 0; i < store->count; i++) {
        const marty_saga_facts *facts = &store->sagas[i]->record->facts;
        if (!marty__saga_has_shard(shards, facts->shard)) {
            continue;
        }
        if (facts->due_us <= now_us) {
            hits[count++] = (hit){facts->due_us, facts};
        } else if (facts->due_us < next) {
            next = facts->due_us;
        }
    }
    tell(hits, count, limit, found, user);
    if (count > limit) {
        next = hits[limit].at_us;
    }
    marty_free(hits);
    marty__gate_leave(&store->gate);
    *ret_next_us = next;
    return MARTY_OK;
}

marty_err marty__saga_memory_unsent(marty_saga_store *store, const marty_saga_shards *shards,
                                    int64_t before_us, uint32_t limit, marty_saga_found found,
                                    void *user, int64_t until_ns, marty_error *why)
{
    if (!marty__gate_enter(&store->gate, until_ns)) {
        return marty__saga_store_late(why);
    }
    hit *hits = marty_alloc((store->count + 1) * sizeof *hits);
    if (!hits) {
        marty__gate_leave(&store->gate);
        return marty_error_set(why, MARTY_E_NO_MEMORY, "listing the sagas with an outbox");
    }
    size_t count = 0;
    for (size_t i = 0; i < store->count; i++) {
        const marty_saga_facts *facts = &store->sagas[i]->record->facts;
        if (facts->unsent && facts->changed_us < before_us &&
            marty__saga_has_shard(shards, facts->shard)) {
            hits[count++] = (hit){facts->changed_us, facts};
        }
    }
    tell(hits, count, limit, found, user);
    marty_free(hits);
    marty__gate_leave(&store->gate);
    return MARTY_OK;
}

static bool fits(const marty_saga_filter *filter, const marty_saga_facts *facts)
{
    return (!filter->name || strcmp(filter->name, facts->name) == 0) &&
           (!filter->key || strcmp(filter->key, facts->key) == 0) &&
           (!filter->status || filter->status == facts->status) &&
           (!filter->stuck || *facts->stuck) &&
           (!(filter->open || filter->stuck) || !marty__saga_is_over(facts->status)) &&
           (!filter->changed_before_us || facts->changed_us < filter->changed_before_us) &&
           (!filter->after || strcmp(facts->id, filter->after) > 0);
}

marty_err marty__saga_memory_list(marty_saga_store *store, const marty_saga_filter *filter,
                                  marty_saga_found found, void *user, int64_t until_ns,
                                  marty_error *why)
{
    (void)why;
    uint32_t left = filter->limit ? filter->limit : 100;
    if (!marty__gate_enter(&store->gate, until_ns)) {
        return marty__saga_store_late(why);
    }
    for (size_t i = 0; i < store->count && left; i++) {
        const marty_saga_facts *facts = &store->sagas[i]->record->facts;
        if (fits(filter, facts)) {
            left--;
            if (!found(user, facts)) {
                break;
            }
        }
    }
    marty__gate_leave(&store->gate);
    return MARTY_OK;
}

marty_err marty__saga_memory_history(marty_saga_store *store, const char *id, uint64_t from,
                                     marty_saga_batch found, void *user, int64_t until_ns,
                                     marty_error *why)
{
    if (!marty__gate_enter(&store->gate, until_ns)) {
        return marty__saga_store_late(why);
    }
    const memory_saga *saga = marty__saga_memory_get(store, id);
    uint64_t versions = saga ? saga->record->facts.version : 0;
    for (uint64_t version = from ? from : 1; version <= versions; version++) {
        const memory_batch *batch = &saga->history[version - 1];
        if (!found(user, version, batch->at_us, (marty_bytes){batch->data, batch->size})) {
            break;
        }
    }
    marty__gate_leave(&store->gate);
    return saga ? MARTY_OK : marty_error_set(why, MARTY_E_NOT_FOUND, "there is no saga %s", id);
}
