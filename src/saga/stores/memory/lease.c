/* SPDX-License-Identifier: Apache-2.0
 * Leases in memory: who is alive, and who has which shard under which epoch. */
#include "memory.h"

#include <stdio.h>
#include <string.h>

static int64_t now_us(const marty_saga_store *store)
{
    return store->env.monotonic_ns(store->env.user) / 1000;
}

/* The place of an owner among the members; NULL when there is none and no free one either. */
static memory_member *member_of(marty_saga_store *store, const char *owner, int64_t now)
{
    memory_member *place = NULL;
    for (size_t i = 0; i < MARTY_SAGA_SHARDS; i++) {
        memory_member *member = &store->members[i];
        if (*member->owner && strcmp(member->owner, owner) == 0) {
            return member;
        }
        if (!place && (!*member->owner || member->until_us <= now)) {
            place = member;
        }
    }
    return place;
}

static uint32_t count_members(const marty_saga_store *store, int64_t now)
{
    uint32_t count = 0;
    for (size_t i = 0; i < MARTY_SAGA_SHARDS; i++) {
        count += *store->members[i].owner && store->members[i].until_us > now;
    }
    return count;
}

static void own(memory_shard *shard, const char *owner, int64_t until_us)
{
    (void)snprintf(shard->owner, sizeof shard->owner, "%s", owner);
    shard->until_us = until_us;
}

/* Keep of what is held what nobody took meanwhile. */
static uint32_t renew(marty_saga_store *store, marty_saga_lease *lease, int64_t until_us,
                      marty_saga_shards *ret_kept)
{
    uint32_t kept = 0;
    memset(ret_kept, 0, sizeof *ret_kept);
    for (uint32_t i = 0; i < lease->count; i++) {
        memory_shard *shard = &store->shards[lease->held[i].shard % MARTY_SAGA_SHARDS];
        if (shard->epoch == lease->held[i].epoch && strcmp(shard->owner, lease->owner) == 0) {
            shard->until_us = until_us;
            marty__saga_add_shard(ret_kept, lease->held[i].shard);
            lease->held[kept++] = lease->held[i];
        }
    }
    return kept;
}

marty_err marty__saga_memory_lease(marty_saga_store *store, marty_saga_lease *lease,
                                   int64_t until_ns, marty_error *why)
{
    if (!marty__gate_enter(&store->gate, until_ns)) {
        return marty__saga_store_late(why);
    }
    int64_t now = now_us(store), until = now + (int64_t)lease->term_ms * 1000;
    memory_member *member = member_of(store, lease->owner, now);
    if (!member) {
        marty__gate_leave(&store->gate);
        return marty_error_set(why, MARTY_E_UNAVAILABLE, "more than %d engines", MARTY_SAGA_SHARDS);
    }
    bool leaves = !lease->want && !lease->count;
    memset(member, 0, sizeof *member);
    if (!leaves) {
        (void)snprintf(member->owner, sizeof member->owner, "%s", lease->owner);
        member->until_us = until;
    }
    marty_saga_shards kept;
    lease->count = renew(store, lease, until, &kept);
    for (uint32_t i = 0; i < MARTY_SAGA_SHARDS && lease->count < lease->want; i++) {
        memory_shard *shard = &store->shards[i];
        /* One that is ours without our knowing: the answer to its lease was lost. */
        bool mine = strcmp(shard->owner, lease->owner) == 0;
        if (!marty__saga_has_shard(&kept, i) &&
            (!*shard->owner || mine || shard->until_us <= now)) {
            memset(shard->owner, 0, sizeof shard->owner);
            own(shard, lease->owner, until);
            lease->held[lease->count++] = (marty_saga_shard){i, ++shard->epoch};
        }
    }
    lease->members = count_members(store, now);
    marty__gate_leave(&store->gate);
    return MARTY_OK;
}

marty_err marty__saga_memory_release(marty_saga_store *store, const char *owner,
                                     const marty_saga_shard shards[], size_t count,
                                     int64_t until_ns, marty_error *why)
{
    (void)why;
    if (!marty__gate_enter(&store->gate, until_ns)) {
        return marty__saga_store_late(why);
    }
    for (size_t i = 0; i < count; i++) {
        memory_shard *shard = &store->shards[shards[i].shard % MARTY_SAGA_SHARDS];
        if (shard->epoch == shards[i].epoch && strcmp(shard->owner, owner) == 0) {
            memset(shard->owner, 0, sizeof shard->owner);
        }
    }
    marty__gate_leave(&store->gate);
    return MARTY_OK;
}
