/* SPDX-License-Identifier: Apache-2.0
 * Leases in a file: who is alive, and who has which shard under which epoch. Times are the
 * machine's monotonic clock, which all processes share; a lease of another boot is free. */
#include "sqlite.h"

#include <string.h>

typedef struct shard_row {
    uint64_t epoch;
    int64_t until_us;
    bool mine, free;
} shard_row;

static int read_shards(saga_db *db, const char *owner, int64_t now_us, shard_row rows[])
{
    for (uint32_t i = 0; i < MARTY_SAGA_SHARDS; i++) {
        rows[i] = (shard_row){.free = true};
    }
    sqlite3_stmt *row = marty__saga_db_statement(db, SAGA_SQL_SHARDS);
    int code = row ? sqlite3_step(row) : marty__saga_db_code(db);
    for (; code == SQLITE_ROW; code = sqlite3_step(row)) {
        int64_t shard = marty__saga_db_int(row, 0);
        const char *who = marty__saga_db_text(row, 2);
        if (shard >= 0 && shard < MARTY_SAGA_SHARDS) {
            rows[shard] = (shard_row){(uint64_t)marty__saga_db_int(row, 1),
                                      marty__saga_db_int(row, 3), strcmp(who, owner) == 0, !*who};
            rows[shard].free |= rows[shard].until_us <= now_us;
        }
    }
    (void)sqlite3_reset(row);
    return code == SQLITE_DONE ? SQLITE_OK : code;
}

static int say_alive(saga_db *db, const marty_saga_lease *lease, int64_t now_us, int64_t until_us)
{
    bool leaves = !lease->want && !lease->count;
    int code = marty__saga_db_run(
        db, SAGA_BIND(db, SAGA_SQL_MEMBER_GONE, saga_text(lease->owner), saga_int(now_us)));
    if (code || leaves) {
        return code;
    }
    return marty__saga_db_run(
        db, SAGA_BIND(db, SAGA_SQL_MEMBER, saga_text(lease->owner), saga_int(until_us)));
}

/* Renew what is held and was not taken by another; those kept are marked in kept. */
static int renew(saga_db *db, marty_saga_lease *lease, const shard_row rows[], int64_t until_us,
                 marty_saga_shards *kept)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < lease->count; i++) {
        marty_saga_shard held = lease->held[i];
        const shard_row *row = &rows[held.shard % MARTY_SAGA_SHARDS];
        if (!row->mine || row->epoch != held.epoch) {
            continue;
        }
        int code =
            marty__saga_db_run(db, SAGA_BIND(db, SAGA_SQL_SHARD_RENEW, saga_int(held.shard),
                                             saga_int((int64_t)held.epoch), saga_int(until_us)));
        if (code) {
            return code;
        }
        marty__saga_add_shard(kept, held.shard);
        lease->held[count++] = held;
    }
    lease->count = count;
    return SQLITE_OK;
}

/* One that is ours without our knowing is taken anew: the answer to its lease was lost. */
static int take(saga_db *db, marty_saga_lease *lease, const shard_row rows[], int64_t until_us,
                const marty_saga_shards *kept)
{
    for (uint32_t i = 0; i < MARTY_SAGA_SHARDS && lease->count < lease->want; i++) {
        if (marty__saga_has_shard(kept, i) || !(rows[i].free || rows[i].mine)) {
            continue;
        }
        int code = marty__saga_db_run(db, SAGA_BIND(db, SAGA_SQL_SHARD_TAKE, saga_int(i),
                                                    saga_int((int64_t)rows[i].epoch + 1),
                                                    saga_text(lease->owner), saga_int(until_us)));
        if (code) {
            return code;
        }
        lease->held[lease->count++] = (marty_saga_shard){i, rows[i].epoch + 1};
    }
    return SQLITE_OK;
}

static int count_members(saga_db *db, marty_saga_lease *lease, int64_t now_us)
{
    sqlite3_stmt *row = SAGA_BIND(db, SAGA_SQL_MEMBERS, saga_int(now_us));
    int code = row ? sqlite3_step(row) : marty__saga_db_code(db);
    lease->members = code == SQLITE_ROW ? (uint32_t)marty__saga_db_int(row, 0) : 0;
    (void)sqlite3_reset(row);
    return code == SQLITE_ROW ? SQLITE_OK : code;
}

static int lease_all(saga_db *db, marty_saga_lease *lease, int64_t now_us)
{
    shard_row rows[MARTY_SAGA_SHARDS];
    marty_saga_shards kept = {{0}};
    int64_t until_us = now_us + (int64_t)lease->term_ms * 1000;
    int code = read_shards(db, lease->owner, now_us, rows);
    code = code ? code : say_alive(db, lease, now_us, until_us);
    code = code ? code : renew(db, lease, rows, until_us, &kept);
    code = code ? code : take(db, lease, rows, until_us, &kept);
    return code ? code : count_members(db, lease, now_us);
}

static int64_t now_of(const marty_saga_store *store)
{
    return store->env.monotonic_ns(store->env.user) / 1000;
}

/* Within a transaction; what was changed in `lease` counts only when it was committed. */
marty_err marty__saga_sqlite_lease(marty_saga_store *store, marty_saga_lease *lease,
                                   int64_t until_ns, marty_error *why)
{
    saga_db *db = &store->writer;
    marty_saga_lease changed = *lease;
    marty_err entered = marty__saga_db_enter(db, until_ns, why);
    if (entered) {
        return entered;
    }
    int code = marty__saga_db_begin(db);
    code = code ? code : lease_all(db, &changed, now_of(store));
    marty_err err = marty__saga_db_end(db, code, why);
    if (!err) {
        *lease = changed;
    }
    return err;
}

marty_err marty__saga_sqlite_release(marty_saga_store *store, const char *owner,
                                     const marty_saga_shard shards[], size_t count,
                                     int64_t until_ns, marty_error *why)
{
    saga_db *db = &store->writer;
    marty_err entered = marty__saga_db_enter(db, until_ns, why);
    if (entered) {
        return entered;
    }
    int code = marty__saga_db_begin(db);
    for (size_t i = 0; i < count && !code; i++) {
        code =
            marty__saga_db_run(db, SAGA_BIND(db, SAGA_SQL_SHARD_FREE, saga_int(shards[i].shard),
                                             saga_int((int64_t)shards[i].epoch), saga_text(owner)));
    }
    return marty__saga_db_end(db, code, why);
}
