/* SPDX-License-Identifier: Apache-2.0
 * The stores inside the library, and how one is found by its URL's scheme. */
#ifndef MARTY_SAGA_STORES_STORES_H
#define MARTY_SAGA_STORES_STORES_H
#include <marty/saga_store.h>

/** In this process only: for tests and simulation. memory: is private, memory:NAME shared. */
extern const marty_saga_store_table marty__saga_memory;
/** A file that the processes of one machine share. */
extern const marty_saga_store_table marty__saga_sqlite;

/** The store of a scheme: of the library, or of a module. NULL with why. Any thread. */
const marty_saga_store_table *marty__saga_store_find(const char *scheme, marty_error *why);
/** The shard of a saga: a stable hash of its id. */
uint32_t marty__saga_shard(const char *id);

MARTY_INLINE bool marty__saga_has_shard(const marty_saga_shards *shards, uint32_t shard)
{
    return (shards->bits[shard / 64] >> (shard % 64)) & 1;
}
MARTY_INLINE void marty__saga_add_shard(marty_saga_shards *shards, uint32_t shard)
{
    shards->bits[shard / 64] |= UINT64_C(1) << (shard % 64);
}
MARTY_INLINE bool marty__saga_is_over(marty_saga_status status)
{
    return status >= MARTY_SAGA_COMPLETED;
}
/** The error of a call that waited for the store until its deadline. */
marty_err marty__saga_store_late(marty_error *why);
#endif
