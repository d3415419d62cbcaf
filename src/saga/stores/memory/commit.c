/* SPDX-License-Identifier: Apache-2.0
 * Writing sagas in memory. What a write needs is allocated before anything is changed, so that it
 * happens whole or not at all. */
#include "memory.h"

#include <stdio.h>
#include <string.h>

size_t marty__saga_memory_place(const marty_saga_store *store, const char *id)
{
    size_t low = 0, high = store->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(store->sagas[middle]->record->facts.id, id) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

memory_saga *marty__saga_memory_get(const marty_saga_store *store, const char *id)
{
    size_t place = marty__saga_memory_place(store, id);
    return place < store->count && strcmp(store->sagas[place]->record->facts.id, id) == 0
               ? store->sagas[place]
               : NULL;
}

void marty__saga_memory_free_saga(memory_saga *saga)
{
    if (!saga) {
        return;
    }
    uint64_t versions = saga->record ? saga->record->facts.version : 0;
    for (uint64_t i = 0; i < versions; i++) {
        marty_free(saga->history[i].data);
    }
    marty_free(saga->history);
    marty_free(saga->record);
    marty_free(saga);
}

static marty_err check_start(const marty_saga_store *store, marty_saga_write *write)
{
    if (!write->facts.key || !*write->facts.key) {
        return MARTY_OK;
    }
    for (size_t i = 0; i < store->count; i++) {
        const marty_saga_facts *facts = &store->sagas[i]->record->facts;
        if (strcmp(facts->name, write->facts.name) == 0 &&
            strcmp(facts->key, write->facts.key) == 0) {
            (void)snprintf(write->existing, sizeof write->existing, "%s", facts->id);
            return MARTY_E_EXISTS;
        }
    }
    return MARTY_OK;
}

static marty_err check(const marty_saga_store *store, marty_saga_write *write,
                       const memory_saga *saga)
{
    if (write->epoch && write->epoch != store->shards[write->facts.shard].epoch) {
        return MARTY_E_LOST;
    }
    uint64_t have = saga ? saga->record->facts.version : 0;
    if (write->facts.version != have + 1) {
        return MARTY_E_STATE;
    }
    return saga ? MARTY_OK : check_start(store, write);
}

/* Room for one more batch in the history, and for one more saga. */
static bool reserve(marty_saga_store *store, memory_saga *saga, uint64_t version)
{
    if (version > saga->room) {
        size_t room = saga->room ? saga->room * 2 : 8;
        memory_batch *history = marty_realloc(saga->history, room * sizeof *history);
        if (!history) {
            return false;
        }
        saga->history = history;
        saga->room = room;
    }
    if (version == 1 && store->count == store->room) {
        size_t room = store->room ? store->room * 2 : 16;
        memory_saga **sagas = marty_realloc(store->sagas, room * sizeof *sagas);
        if (!sagas) {
            return false;
        }
        store->sagas = sagas;
        store->room = room;
    }
    return true;
}

static void put(marty_saga_store *store, memory_saga *saga)
{
    size_t place = marty__saga_memory_place(store, saga->record->facts.id);
    memmove(&store->sagas[place + 1], &store->sagas[place],
            (store->count - place) * sizeof *store->sagas);
    store->sagas[place] = saga;
    store->count++;
}

static marty_err write_over(marty_saga_store *store, const marty_saga_write *write,
                            memory_saga *old)
{
    uint64_t version = write->facts.version;
    memory_saga *saga = old ? old : marty_alloc_zero(1, sizeof *saga);
    marty_saga_facts facts = write->facts;
    if (old) { /* what the start has settled for ever */
        facts.name = old->record->facts.name;
        facts.key = old->record->facts.key;
        facts.started_us = old->record->facts.started_us;
    }
    marty_saga_record *record = marty_saga_record_new(&facts, 0, write->state, write->outbox);
    char *batch = marty_alloc(write->history.size + 1);
    if (!saga || !record || !batch || !reserve(store, saga, version)) {
        marty_free(record);
        marty_free(batch);
        if (!old && saga) {
            marty_free(saga->history);
            marty_free(saga);
        }
        return MARTY_E_NO_MEMORY;
    }
    if (write->history.size) {
        memcpy(batch, write->history.data, write->history.size);
    }
    saga->history[version - 1] =
        (memory_batch){write->facts.changed_us, write->history.size, batch};
    marty_free(saga->record);
    saga->record = record;
    if (!old) {
        put(store, saga);
    }
    return MARTY_OK;
}

static marty_err write_one(marty_saga_store *store, marty_saga_write *write)
{
    memory_saga *saga = marty__saga_memory_get(store, write->facts.id);
    marty_err err = check(store, write, saga);
    if (!err && write->fill) {
        err = write->fill(write, NULL);
    }
    return err ? err : write_over(store, write, saga);
}

marty_err marty__saga_memory_commit(marty_saga_store *store, marty_saga_write *const writes[],
                                    size_t count, int64_t until_ns, marty_error *why)
{
    (void)why;
    if (!marty__gate_enter(&store->gate, until_ns)) {
        return marty__saga_store_late(why);
    }
    for (size_t i = 0; i < count; i++) {
        writes[i]->result = write_one(store, writes[i]);
    }
    marty__gate_leave(&store->gate);
    return MARTY_OK;
}

marty_err marty__saga_memory_sent(marty_saga_store *store, const marty_saga_facts sagas[],
                                  size_t count, int64_t until_ns, marty_error *why)
{
    (void)why;
    if (!marty__gate_enter(&store->gate, until_ns)) {
        return marty__saga_store_late(why);
    }
    for (size_t i = 0; i < count; i++) {
        memory_saga *saga = marty__saga_memory_get(store, sagas[i].id);
        if (saga && saga->record->facts.version == sagas[i].version) {
            saga->record->facts.unsent = false;
        }
    }
    marty__gate_leave(&store->gate);
    return MARTY_OK;
}

marty_err marty__saga_memory_purge(marty_saga_store *store, int64_t before_us, uint32_t limit,
                                   uint32_t *ret_count, int64_t until_ns, marty_error *why)
{
    (void)why;
    uint32_t removed = 0;
    size_t kept = 0;
    if (!marty__gate_enter(&store->gate, until_ns)) {
        return marty__saga_store_late(why);
    }
    for (size_t i = 0; i < store->count; i++) {
        memory_saga *saga = store->sagas[i];
        const marty_saga_facts *facts = &saga->record->facts;
        if (removed < limit && marty__saga_is_over(facts->status) &&
            facts->changed_us < before_us) {
            marty__saga_memory_free_saga(saga);
            removed++;
        } else {
            store->sagas[kept++] = saga;
        }
    }
    store->count = kept;
    marty__gate_leave(&store->gate);
    *ret_count = removed;
    return MARTY_OK;
}
