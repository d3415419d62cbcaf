/* SPDX-License-Identifier: Apache-2.0
 * The memory store's insides: sagas by id and in the order of their ids, one lock over all. */
#ifndef MARTY_SAGA_STORES_MEMORY_MEMORY_H
#define MARTY_SAGA_STORES_MEMORY_MEMORY_H
#include "base/gate.h"
#include "base/thread.h"
#include "saga/stores/stores.h"

typedef struct memory_batch {
    int64_t at_us;
    size_t size;
    char *data;
} memory_batch;

typedef struct memory_saga {
    marty_saga_record *record; /* its epoch is not kept here */
    memory_batch *history;     /* of version i + 1 at i */
    size_t room;               /* of history */
} memory_saga;

typedef struct memory_member {
    char owner[64];
    int64_t until_us;
} memory_member;

typedef struct memory_shard {
    char owner[64]; /* "" = free */
    uint64_t epoch;
    int64_t until_us;
} memory_shard;

typedef struct memory_definition {
    char name[65], hash[65];
    uint32_t version;
    size_t size;
    char *data;
} memory_definition;

struct marty_saga_store {
    marty__gate gate;
    marty_env env;
    char name[64]; /* "" = private */
    unsigned opened;
    memory_saga **sagas; /* by id */
    size_t count, room;
    memory_shard shards[MARTY_SAGA_SHARDS];
    memory_member members[MARTY_SAGA_SHARDS];
    memory_definition *definitions; /* by name and version */
    size_t definition_count;
    struct marty_saga_store *next; /* of those with a name */
};

/** Where an id is, or would be, among the sagas. Locked. */
size_t marty__saga_memory_place(const marty_saga_store *store, const char *id);
/** The saga of an id, or NULL. Locked. */
memory_saga *marty__saga_memory_get(const marty_saga_store *store, const char *id);
/** Free one that is in no list any more. */
void marty__saga_memory_free_saga(memory_saga *saga);

/* The calls of the table, by file. */
marty_err marty__saga_memory_commit(marty_saga_store *store, marty_saga_write *const writes[],
                                    size_t count, int64_t until_ns, marty_error *why);
marty_err marty__saga_memory_sent(marty_saga_store *store, const marty_saga_facts sagas[],
                                  size_t count, int64_t until_ns, marty_error *why);
marty_err marty__saga_memory_purge(marty_saga_store *store, int64_t before_us, uint32_t limit,
                                   uint32_t *ret_count, int64_t until_ns, marty_error *why);
marty_err marty__saga_memory_load(marty_saga_store *store, const char *id,
                                  marty_saga_record **ret_record, int64_t until_ns,
                                  marty_error *why);
marty_err marty__saga_memory_load_many(marty_saga_store *store, const char *const ids[],
                                       size_t count, marty_saga_loaded loaded, void *user,
                                       int64_t until_ns, marty_error *why);
marty_err marty__saga_memory_find(marty_saga_store *store, const char *name, const char *key,
                                  char ret_id[40], int64_t until_ns, marty_error *why);
marty_err marty__saga_memory_due(marty_saga_store *store, const marty_saga_shards *shards,
                                 int64_t now_us, uint32_t limit, marty_saga_found found, void *user,
                                 int64_t *ret_next_us, int64_t until_ns, marty_error *why);
marty_err marty__saga_memory_unsent(marty_saga_store *store, const marty_saga_shards *shards,
                                    int64_t before_us, uint32_t limit, marty_saga_found found,
                                    void *user, int64_t until_ns, marty_error *why);
marty_err marty__saga_memory_list(marty_saga_store *store, const marty_saga_filter *filter,
                                  marty_saga_found found, void *user, int64_t until_ns,
                                  marty_error *why);
marty_err marty__saga_memory_history(marty_saga_store *store, const char *id, uint64_t from,
                                     marty_saga_batch found, void *user, int64_t until_ns,
                                     marty_error *why);
marty_err marty__saga_memory_lease(marty_saga_store *store, marty_saga_lease *lease,
                                   int64_t until_ns, marty_error *why);
marty_err marty__saga_memory_release(marty_saga_store *store, const char *owner,
                                     const marty_saga_shard shards[], size_t count,
                                     int64_t until_ns, marty_error *why);
#endif
