/* SPDX-License-Identifier: Apache-2.0
 * The shared store behind faults: calls that fail before or after they were done, commits without a
 * known end, written or not, or written later; and engines that die in the middle of a call. What
 * is committed is held against the history, here, where nothing can be missed. */
#include "world.h"

#include "base/hash.h"

#include "base/alloc.h"
#include "saga/engine/inside.h"

#include <stdlib.h>
#include <string.h>

struct marty_saga_store {
    world *in;
    unsigned number;
};

marty_saga_store *world_store_new(world *w, unsigned number)
{
    marty_saga_store *store = marty_alloc_zero(1, sizeof *store);
    if (!store) {
        abort();
    }
    store->in = w;
    store->number = number;
    return store;
}

static engine *engine_of(marty_saga_store *store)
{
    return &store->in->engines[store->number];
}

/* ---- what a call may meet */
typedef enum fate { FATE_FINE, FATE_FAILS, FATE_DIES_BEFORE, FATE_DIES_AFTER } fate;

static fate fate_of(marty_saga_store *store)
{
    world *w = store->in;
    engine *own = engine_of(store);
    w->calls++;
    if (own->dead) {
        return FATE_FAILS;
    }
    if (own->dies_in && --own->dies_in == 0) {
        own->dead = true;
        return own->dies_after ? FATE_DIES_AFTER : FATE_DIES_BEFORE;
    }
    return !w->s.healing && sim_chance(&w->s, w->store_faults) ? FATE_FAILS : FATE_FINE;
}

static marty_err down(marty_error *why)
{
    return marty_error_set(why, MARTY_E_UNAVAILABLE, "the store is away");
}

/* Calls that only read, or that do not matter when they are lost. */
#define CALL(call_)                                                                                \
    do {                                                                                           \
        fate met = fate_of(store);                                                                 \
        if (met == FATE_FAILS || met == FATE_DIES_BEFORE) {                                        \
            return down(why);                                                                      \
        }                                                                                          \
        marty_err err = store->in->memory->call_;                                                  \
        return met == FATE_DIES_AFTER ? down(why) : err;                                           \
    } while (0)

/* ---- what was committed */
static void note_promise(world *w, const char *message)
{
    for (uint32_t i = 0; i < w->promise_count; i++) {
        if (strcmp(w->promises[i].message, message) == 0) {
            return;
        }
    }
    if (w->promise_count < PROMISES_MAX) {
        w->promises[w->promise_count++] = (promise){sim_text(&w->s, message), false};
    }
}

static void note_promises(world *w, const sim_saga *saga, marty_bytes outbox)
{
    marty_err err = MARTY_OK;
    for (size_t at = 0; at < outbox.size && !err;) {
        marty__saga_item *item = marty__saga_item_read(NULL, saga->id, outbox, &at, &err);
        if (item && item->command.kind == MARTY__SAGA_PUBLISH) {
            note_promise(w, item->command.message);
        }
        marty_free(item);
    }
    if (err) {
        sim_wrong(&w->s, saga, "2: its outbox cannot be read");
    }
}

static void note_durable(world *w, const sim_saga *saga, marty_bytes outbox)
{
    note_promises(w, saga, outbox);
    if (outbox.size && w->durable_count < DURABLE_MAX) {
        w->durable[w->durable_count++] = (durable){saga->id, sim_bytes(&w->s, outbox)};
    }
}

/* Also where the room to know more is used up: sagas, or what was written. */
bool world_is_durable(world *w, const char *saga, const char *message)
{
    bool known = w->s.saga_count < SIM_SAGAS_MAX || sim_find(&w->s, saga);
    for (uint32_t i = w->durable_count; i > 0; i--) {
        const durable *one = &w->durable[i - 1];
        if (strcmp(one->saga, saga) == 0 &&
            memmem(one->outbox.data, one->outbox.size, message, strlen(message))) {
            return true;
        }
    }
    return w->durable_count == DURABLE_MAX || !known;
}

int world_definition(const world *w, const char *hash)
{
    char text[65];
    int i = 0;
    for (; i < SIM_NEXT; i++) {
        marty__hex(text, w->s.definitions[i]->hash, sizeof w->s.definitions[i]->hash);
        if (strcmp(text, hash) == 0) {
            break;
        }
    }
    return i;
}

static sim_saga *mirror_of(world *w, const marty_saga_write *write)
{
    sim *s = &w->s;
    sim_saga *saga = sim_find(s, write->facts.id);
    if (!saga && s->saga_count < SIM_SAGAS_MAX) {
        saga = &s->sagas[s->saga_count++];
        *saga = (sim_saga){.id = sim_text(s, write->facts.id)};
        saga->shadow.arena = &s->arena;
    }
    if (saga) {
        saga->definition = world_definition(w, write->facts.definition);
    }
    return saga;
}

/* Invariant 4: versions without a gap, and the history folds to the state that is stored. */
static void check_written(world *w, const marty_saga_write *write)
{
    sim *s = &w->s;
    sim_saga *saga = mirror_of(w, write);
    marty__buffer bytes = {0};
    marty_error why = {0};
    if (!saga) {
        return;
    }
    if (write->facts.version != saga->version + 1) {
        sim_wrong(s, saga, "4: version %llu was written", (unsigned long long)write->facts.version);
        return;
    }
    if (marty__saga_fold(&saga->shadow, sim_bytes(s, write->history), &why)) {
        sim_wrong(s, saga, "4: the history does not fold: %s", why.text);
        return;
    }
    marty__saga_state_write(&saga->shadow, &bytes);
    if (bytes.size != write->state.size || memcmp(bytes.data, write->state.data, bytes.size) != 0) {
        sim_wrong(s, saga, "4: the history folds to another state than was written");
    }
    marty__buffer_free(&bytes);
    saga->state = sim_bytes(s, write->state);
    saga->version = write->facts.version;
    saga->ended = marty__saga_ended(&saga->shadow);
    saga->due_us = write->facts.due_us == INT64_MAX ? 0 : write->facts.due_us;
    s->transitions++;
    note_durable(w, saga, write->outbox);
}

/* A local step's work goes with its write, or not at all. */
static void take_back(world *w, const inside *one)
{
    if (one->own != UINT32_MAX) {
        w->s.records[one->own] = one->own_before;
    }
    if (one->forward != UINT32_MAX) {
        w->s.records[one->forward] = one->forward_before;
    }
}

static void commit_inner(world *w, marty_saga_write *const writes[], size_t count)
{
    w->commits++;
    for (size_t i = 0; i < count; i++) {
        w->inside_count = 0;
        (void)w->memory->commit(w->shared, &writes[i], 1, INT64_MAX, NULL);
        if (writes[i]->result == MARTY_OK) {
            check_written(w, writes[i]);
        } else if (w->inside_count) {
            take_back(w, &w->insides[0]);
        }
    }
    w->inside_count = 0;
}

static void answer_all(marty_saga_write *const writes[], size_t count, marty_err result)
{
    for (size_t i = 0; i < count; i++) {
        writes[i]->result = result;
    }
}

static bool has_step(marty_saga_write *const writes[], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (writes[i]->fill) {
            return true;
        }
    }
    return false;
}

/* ---- writes that come later */
static const char *copy_text(world *w, const char *text)
{
    return sim_text(&w->s, text ? text : "");
}

static void keep_late(world *w, unsigned number, marty_saga_write *const writes[], size_t count)
{
    if (w->late_count == LATE_MAX || count > 8) {
        return;
    }
    late *kept = &w->lates[w->late_count++];
    *kept = (late){.number = number, .count = (uint32_t)count};
    for (size_t i = 0; i < count; i++) {
        marty_saga_write *copy = &kept->writes[i];
        *copy = *writes[i];
        copy->facts.id = copy_text(w, writes[i]->facts.id);
        copy->facts.name = copy_text(w, writes[i]->facts.name);
        copy->facts.key = copy_text(w, writes[i]->facts.key);
        copy->facts.definition = copy_text(w, writes[i]->facts.definition);
        copy->facts.stuck = copy_text(w, writes[i]->facts.stuck);
        copy->state = sim_bytes(&w->s, writes[i]->state);
        copy->outbox = sim_bytes(&w->s, writes[i]->outbox);
        copy->history = sim_bytes(&w->s, writes[i]->history);
    }
}

void world_write_late(world *w)
{
    if (!w->late_count) {
        return;
    }
    late *kept = &w->lates[sim_below(&w->s, w->late_count)];
    marty_saga_write *writes[8];
    for (uint32_t i = 0; i < kept->count; i++) {
        writes[i] = &kept->writes[i];
    }
    w->late_writes++;
    commit_inner(w, writes, kept->count);
    *kept = w->lates[--w->late_count];
}

static void forget_late(world *w, unsigned number)
{
    for (uint32_t i = 0; i < w->late_count;) {
        if (w->lates[i].number == number) {
            w->lates[i] = w->lates[--w->late_count];
        } else {
            i++;
        }
    }
}

/* ---- the table */
static marty_err world_open(marty_saga_store **ret_store, const marty_url *url,
                            const marty_env *env, int64_t until_ns, marty_error *why)
{
    (void)ret_store;
    (void)url;
    (void)env;
    (void)until_ns;
    return down(why);
}

static void world_close(marty_saga_store *store)
{
    marty_free(store);
}

static const char *world_describe(const marty_saga_store *store)
{
    (void)store;
    return "simulated";
}

static marty_err world_commit(marty_saga_store *store, marty_saga_write *const writes[],
                              size_t count, int64_t until_ns, marty_error *why)
{
    world *w = store->in;
    fate met = fate_of(store);
    (void)until_ns;
    if (met == FATE_FAILS || met == FATE_DIES_BEFORE) {
        w->s.fault_count++;
        return down(why);
    }
    bool doubt = met == FATE_FINE && !w->s.healing && sim_chance(&w->s, w->store_faults);
    if (doubt && !has_step(writes, count) && sim_chance(&w->s, 50)) {
        w->doubts++;
        if (sim_chance(&w->s, 50)) {
            keep_late(w, store->number, writes, count);
        }
        answer_all(writes, count, MARTY_E_MAYBE_STORED);
        return MARTY_OK;
    }
    commit_inner(w, writes, count);
    if (doubt) { /* it was written, and nobody says so */
        w->doubts++;
        answer_all(writes, count, MARTY_E_MAYBE_STORED);
    }
    return met == FATE_DIES_AFTER ? down(why) : MARTY_OK;
}

static marty_err world_settle(marty_saga_store *store, int64_t until_ns, marty_error *why)
{
    fate met = fate_of(store);
    (void)until_ns;
    if (met != FATE_FINE) {
        return down(why);
    }
    forget_late(store->in, store->number);
    return MARTY_OK;
}

static marty_err world_load(marty_saga_store *store, const char *id, marty_saga_record **ret,
                            int64_t until_ns, marty_error *why)
{
    fate met = fate_of(store);
    if (met != FATE_FINE) {
        return down(why);
    }
    marty_err err = store->in->memory->load(store->in->shared, id, ret, until_ns, why);
    world_meanwhile(store->in, store->number);
    return err;
}

static marty_err world_load_many(marty_saga_store *store, const char *const ids[], size_t count,
                                 marty_saga_loaded loaded, void *user, int64_t until_ns,
                                 marty_error *why)
{
    fate met = fate_of(store);
    if (met != FATE_FINE) {
        return down(why);
    }
    marty_err err =
        store->in->memory->load_many(store->in->shared, ids, count, loaded, user, until_ns, why);
    world_meanwhile(store->in, store->number);
    return err;
}

static marty_err world_find(marty_saga_store *store, const char *name, const char *key,
                            char ret_id[40], int64_t until_ns, marty_error *why)
{
    CALL(find(store->in->shared, name, key, ret_id, until_ns, why));
}

static marty_err world_due(marty_saga_store *store, const marty_saga_shards *shards, int64_t now_us,
                           uint32_t limit, marty_saga_found found, void *user, int64_t *ret_next,
                           int64_t until_ns, marty_error *why)
{
    CALL(due(store->in->shared, shards, now_us, limit, found, user, ret_next, until_ns, why));
}

static marty_err world_unsent(marty_saga_store *store, const marty_saga_shards *shards,
                              int64_t before_us, uint32_t limit, marty_saga_found found, void *user,
                              int64_t until_ns, marty_error *why)
{
    CALL(unsent(store->in->shared, shards, before_us, limit, found, user, until_ns, why));
}

static marty_err world_sent(marty_saga_store *store, const marty_saga_facts sagas[], size_t count,
                            int64_t until_ns, marty_error *why)
{
    CALL(sent(store->in->shared, sagas, count, until_ns, why));
}

static marty_err world_lease(marty_saga_store *store, marty_saga_lease *lease, int64_t until_ns,
                             marty_error *why)
{
    CALL(lease(store->in->shared, lease, until_ns, why));
}

static marty_err world_release(marty_saga_store *store, const char *owner,
                               const marty_saga_shard shards[], size_t count, int64_t until_ns,
                               marty_error *why)
{
    CALL(release(store->in->shared, owner, shards, count, until_ns, why));
}

static marty_err world_define(marty_saga_store *store, const char *name, uint32_t version,
                              const char *hash, marty_bytes document, int64_t until_ns,
                              marty_error *why)
{
    return store->in->memory->define(store->in->shared, name, version, hash, document, until_ns,
                                     why);
}

static marty_err world_definitions(marty_saga_store *store, const char *name, const char *hash,
                                   marty_saga_document found, void *user, int64_t until_ns,
                                   marty_error *why)
{
    CALL(definitions(store->in->shared, name, hash, found, user, until_ns, why));
}

const marty_saga_store_table world_store_table = {
    .abi = MARTY_SAGA_STORE_ABI,
    .scheme = "simulated",
    .open = world_open,
    .close = world_close,
    .describe = world_describe,
    .commit = world_commit,
    .settle = world_settle,
    .load = world_load,
    .load_many = world_load_many,
    .find = world_find,
    .due = world_due,
    .unsent = world_unsent,
    .sent = world_sent,
    .lease = world_lease,
    .release = world_release,
    .define = world_define,
    .definitions = world_definitions,
};
