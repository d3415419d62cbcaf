/* SPDX-License-Identifier: Apache-2.0
 * Scans of the index: what is due, what is unsent, what a filter names; and removing what has
 * ended. Removing leaves a mark in the saga's key, so that every index hears of it, and so that no
 * late write brings it back; the mark goes an hour later. */
#include "kv.h"

#include <string.h>

enum { PURGE_AT_ONCE = 128 };

#define MARKED_US (INT64_C(3600) * 1000000)

static bool has_shard(const marty_saga_shards *shards, uint32_t shard)
{
    return (shards->bits[shard / 64] >> (shard % 64)) & 1;
}

marty_err kv_due(marty_saga_store *store, const marty_saga_shards *shards, int64_t now_us,
                 uint32_t limit, marty_saga_found found, void *user, int64_t *ret_next_us,
                 int64_t until_ns, marty_error *why)
{
    marty_err err = kv_index_enter(store, false, until_ns, why);
    if (err) {
        return err;
    }
    *ret_next_us = INT64_MAX;
    uint32_t count = 0;
    bool more = true;
    for (kv_entry *at = kv_trees_first(&store->index->trees, KV_BY_DUE, NULL); at;
         at = kv_trees_next(at, KV_BY_DUE)) {
        if (!has_shard(shards, at->facts.shard)) {
            continue;
        }
        if (at->facts.due_us > now_us || count == limit) {
            *ret_next_us = at->facts.due_us;
            break;
        }
        count++;
        more = more && found(user, &at->facts);
    }
    kv_index_leave(store);
    return MARTY_OK;
}

marty_err kv_unsent(marty_saga_store *store, const marty_saga_shards *shards, int64_t before_us,
                    uint32_t limit, marty_saga_found found, void *user, int64_t until_ns,
                    marty_error *why)
{
    marty_err err = kv_index_enter(store, false, until_ns, why);
    if (err) {
        return err;
    }
    for (kv_entry *at = kv_trees_first(&store->index->trees, KV_BY_UNSENT, NULL);
         at && limit && at->facts.changed_us < before_us; at = kv_trees_next(at, KV_BY_UNSENT)) {
        if (has_shard(shards, at->facts.shard)) {
            limit--;
            if (!found(user, &at->facts)) {
                break;
            }
        }
    }
    kv_index_leave(store);
    return MARTY_OK;
}

static bool is_over(marty_saga_status status)
{
    return status >= MARTY_SAGA_COMPLETED;
}

static bool fits(const marty_saga_filter *filter, const kv_entry *entry)
{
    const marty_saga_facts *facts = &entry->facts;
    return !entry->gone && (!filter->name || strcmp(filter->name, facts->name) == 0) &&
           (!filter->key || strcmp(filter->key, facts->key) == 0) &&
           (!filter->status || filter->status == facts->status) &&
           (!filter->stuck || facts->stuck[0]) &&
           (!(filter->open || filter->stuck) || !is_over(facts->status)) &&
           (!filter->changed_before_us || facts->changed_us < filter->changed_before_us);
}

marty_err kv_list(marty_saga_store *store, const marty_saga_filter *filter, marty_saga_found found,
                  void *user, int64_t until_ns, marty_error *why)
{
    marty_err err = kv_index_enter(store, true, until_ns, why);
    if (err) {
        return err;
    }
    uint32_t left = filter->limit ? filter->limit : 100;
    for (kv_entry *at = kv_trees_first(&store->index->trees, KV_BY_ID, filter->after); at && left;
         at = kv_trees_next(at, KV_BY_ID)) {
        if (fits(filter, at)) {
            left--;
            if (!found(user, &at->facts)) {
                break;
            }
        }
    }
    kv_index_leave(store);
    return MARTY_OK;
}

/* ---- purge */
typedef struct old {
    kv_call call;
    char id[40], name[65], key[129], facts[KV_FACTS_MAX];
    uint64_t seq;
    bool marked; /* long ago: it goes for good */
    bool done;
} old;

static void take_old(old *to, const kv_entry *entry)
{
    to->seq = entry->seq;
    to->marked = entry->gone;
    to->done = false;
    (void)snprintf(to->id, sizeof to->id, "%s", entry->facts.id);
    (void)snprintf(to->name, sizeof to->name, "%s", entry->facts.name);
    (void)snprintf(to->key, sizeof to->key, "%s", entry->facts.key);
    kv_facts_write(to->facts, &entry->facts);
}

/* Up to `room` that may go, from behind an id on. */
static size_t find_old(marty_saga_store *store, int64_t before_us, size_t room, old *all)
{
    int64_t marked_us = store->env.wall_us(store->env.user) - MARKED_US;
    size_t count = 0;
    for (kv_entry *at = kv_trees_first(&store->index->trees, KV_BY_ID, NULL); at && count < room;
         at = kv_trees_next(at, KV_BY_ID)) {
        bool ended = is_over(at->facts.status) && at->facts.changed_us < before_us;
        if (at->gone ? at->at_us < marked_us : ended) {
            take_old(&all[count++], at);
        }
    }
    return count;
}

static void ask_all(marty_saga_store *store, old *all, size_t count, int64_t until_ns)
{
    kv_call *calls[PURGE_AT_ONCE];
    size_t asked = 0;
    for (size_t i = 0; i < count; i++) {
        if (!all[i].done) {
            calls[asked++] = &all[i].call;
        }
    }
    if (asked) {
        kv_exchange(store, &store->writer, calls, asked, until_ns);
    }
}

/* Mark them; those that have changed meanwhile stay. */
static uint32_t mark_all(marty_saga_store *store, old *all, size_t count, int64_t until_ns)
{
    uint32_t marked = 0;
    for (size_t i = 0; i < count; i++) {
        kv_key key;
        kv_saga_key(key, all[i].id);
        kv_put(store, &all[i].call, key, all[i].facts, (marty_bytes){"", 0});
        kv_expect(&all[i].call, all[i].seq);
        all[i].call.gone = true;
        all[i].done = all[i].marked; /* no need */
    }
    ask_all(store, all, count, until_ns);
    for (size_t i = 0; i < count; i++) {
        bool now = !all[i].marked && all[i].call.answered && all[i].call.code == 0;
        if (now) {
            marked++;
            kv_key key;
            kv_saga_key(key, all[i].id);
            kv_saw(store, key, all[i].call.seq);
            kv_seen(store, all[i].call.seq);
            kv_known_drop(store, all[i].id);
        }
        all[i].done = !all[i].marked && !now;
    }
    return marked;
}

/* Their start keys, unless those are another's by now. */
static void remove_keys(marty_saga_store *store, old *all, size_t count, int64_t until_ns)
{
    for (size_t i = 0; i < count; i++) {
        kv_key key;
        kv_start_key(key, all[i].name, all[i].key);
        kv_get(store, &all[i].call, key);
    }
    ask_all(store, all, count, until_ns);
    for (size_t i = 0; i < count; i++) {
        kv_call *call = &all[i].call;
        kv_value *value = call->answered && !call->code ? kv_value_of(store, call) : NULL;
        size_t size = strlen(all[i].id);
        bool his = !all[i].done && value && value->data.size == size &&
                   memcmp(value->data.data, all[i].id, size) == 0;
        if (his) {
            kv_key key;
            kv_call *calls[] = {call};
            kv_start_key(key, all[i].name, all[i].key);
            kv_remove(store, call, key, value->seq);
            kv_forget(store, key);
            kv_exchange(store, &store->writer, calls, 1, until_ns);
        }
        marty_free(value);
    }
}

static void remove_rest(marty_saga_store *store, old *all, size_t count, int64_t until_ns)
{
    for (size_t i = 0; i < count; i++) {
        kv_key pattern;
        kv_chunk_key(pattern, all[i].id, 0, 0);
        (void)snprintf(pattern + strlen(pattern) - 3, 4, "*.*"); /* in place of "0.0" */
        kv_remove(store, &all[i].call, pattern, 0);
    }
    ask_all(store, all, count, until_ns);
    for (size_t i = 0; i < count; i++) {
        kv_key key;
        kv_saga_key(key, all[i].id);
        kv_remove(store, &all[i].call, key, all[i].seq);
        all[i].done |= !all[i].marked;
        if (all[i].marked) {
            kv_forget(store, key);
        }
    }
    ask_all(store, all, count, until_ns);
    for (size_t i = 0; i < count; i++) {
        kv_end(&all[i].call);
    }
}

static void forget(marty_saga_store *store, const old *all, size_t count, int64_t until_ns)
{
    if (kv_index_enter(store, false, until_ns, NULL) == MARTY_OK) {
        for (size_t i = 0; i < count; i++) {
            if (all[i].marked) {
                kv_trees_forget(&store->index->trees, all[i].id);
            }
        }
        kv_index_leave(store);
    }
}

/* As many as go at once; *ret_found: how many there were. */
static marty_err purge_some(marty_saga_store *store, int64_t before_us, old *all, size_t room,
                            size_t *ret_found, uint32_t *ret_count, int64_t until_ns,
                            marty_error *why)
{
    marty_err err = kv_index_enter(store, true, until_ns, why);
    if (err) {
        return err;
    }
    *ret_found = find_old(store, before_us, room, all);
    kv_index_leave(store);
    err = *ret_found ? kv_enter(store, &store->writer, until_ns, why) : MARTY_OK;
    if (err || !*ret_found) {
        return err;
    }
    *ret_count += mark_all(store, all, *ret_found, until_ns);
    remove_keys(store, all, *ret_found, until_ns);
    remove_rest(store, all, *ret_found, until_ns);
    kv_leave(&store->writer);
    forget(store, all, *ret_found, until_ns);
    return MARTY_OK;
}

marty_err kv_purge(marty_saga_store *store, int64_t before_us, uint32_t limit, uint32_t *ret_count,
                   int64_t until_ns, marty_error *why)
{
    old *all = marty_alloc_zero(PURGE_AT_ONCE, sizeof *all);
    if (!all) {
        return marty_error_set(why, MARTY_E_NO_MEMORY, "removing sagas that have ended");
    }
    marty_err err = MARTY_OK;
    size_t found = PURGE_AT_ONCE;
    *ret_count = 0;
    while (!err && found == PURGE_AT_ONCE && *ret_count < limit && !kv_is_late(store, until_ns)) {
        size_t room = limit - *ret_count < PURGE_AT_ONCE ? limit - *ret_count : PURGE_AT_ONCE;
        err = purge_some(store, before_us, all, room, &found, ret_count, until_ns, why);
    }
    marty_free(all);
    return err;
}
