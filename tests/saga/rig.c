/* SPDX-License-Identifier: Apache-2.0
 * See rig.h. */
#include "rig.h"

#include "base/hash.h"

struct marty_saga_store {
    rig_engine *of;
};

static const marty__saga_definition *defined;

/* ---- the store, as one engine sees it */
static bool fails(marty_saga_store *store, int *left, marty_error *why)
{
    bool bad = store->of->dead || (left && *left > 0);
    if (left && *left > 0) {
        --*left;
    }
    if (bad) {
        (void)marty_error_set(why, MARTY_E_UNAVAILABLE, "the store is being restarted");
    }
    return bad;
}

#define INNER(store) (store)->of->in->memory
#define SHARED(store) (store)->of->in->shared

static marty_err commit(marty_saga_store *store, marty_saga_write *const writes[], size_t count,
                        int64_t until_ns, marty_error *why)
{
    return fails(store, NULL, why)
               ? MARTY_E_UNAVAILABLE
               : INNER(store)->commit(SHARED(store), writes, count, until_ns, why);
}

static marty_err settle(marty_saga_store *store, int64_t until_ns, marty_error *why)
{
    return fails(store, NULL, why) ? MARTY_E_UNAVAILABLE
                                   : INNER(store)->settle(SHARED(store), until_ns, why);
}

static marty_err load(marty_saga_store *store, const char *id, marty_saga_record **ret,
                      int64_t until_ns, marty_error *why)
{
    return fails(store, &store->of->bad_load, why)
               ? MARTY_E_UNAVAILABLE
               : INNER(store)->load(SHARED(store), id, ret, until_ns, why);
}

static marty_err due(marty_saga_store *store, const marty_saga_shards *shards, int64_t now_us,
                     uint32_t limit, marty_saga_found found, void *user, int64_t *ret_next_us,
                     int64_t until_ns, marty_error *why)
{
    if (fails(store, &store->of->bad_due, why)) {
        return MARTY_E_UNAVAILABLE;
    }
    marty_err err = INNER(store)->due(SHARED(store), shards, now_us, limit, found, user,
                                      ret_next_us, until_ns, why);
    if (store->of->after_due) {
        store->of->after_due(store->of->in);
    }
    return err;
}

static marty_err unsent(marty_saga_store *store, const marty_saga_shards *shards, int64_t before_us,
                        uint32_t limit, marty_saga_found found, void *user, int64_t until_ns,
                        marty_error *why)
{
    return fails(store, &store->of->bad_unsent, why)
               ? MARTY_E_UNAVAILABLE
               : INNER(store)->unsent(SHARED(store), shards, before_us, limit, found, user,
                                      until_ns, why);
}

static marty_err sent(marty_saga_store *store, const marty_saga_facts sagas[], size_t count,
                      int64_t until_ns, marty_error *why)
{
    return fails(store, NULL, why) ? MARTY_E_UNAVAILABLE
                                   : INNER(store)->sent(SHARED(store), sagas, count, until_ns, why);
}

static marty_err lease(marty_saga_store *store, marty_saga_lease *one, int64_t until_ns,
                       marty_error *why)
{
    store->of->leases += one->want > 0;
    return fails(store, NULL, why) ? MARTY_E_UNAVAILABLE
                                   : INNER(store)->lease(SHARED(store), one, until_ns, why);
}

static marty_err release(marty_saga_store *store, const char *owner,
                         const marty_saga_shard shards[], size_t count, int64_t until_ns,
                         marty_error *why)
{
    return fails(store, NULL, why)
               ? MARTY_E_UNAVAILABLE
               : INNER(store)->release(SHARED(store), owner, shards, count, until_ns, why);
}

static marty_err definitions(marty_saga_store *store, const char *name, const char *hash,
                             marty_saga_document found, void *user, int64_t until_ns,
                             marty_error *why)
{
    return fails(store, NULL, why)
               ? MARTY_E_UNAVAILABLE
               : INNER(store)->definitions(SHARED(store), name, hash, found, user, until_ns, why);
}

static const marty_saga_store_table table = {.abi = MARTY_SAGA_STORE_ABI,
                                             .scheme = "rig",
                                             .commit = commit,
                                             .settle = settle,
                                             .load = load,
                                             .due = due,
                                             .unsent = unsent,
                                             .sent = sent,
                                             .lease = lease,
                                             .release = release,
                                             .definitions = definitions};

/* ---- the wire */
static void wire_send(void *user, const char *saga, const marty__saga_command *command,
                      marty__saga_item *item)
{
    rig_engine *own = user;
    REQUIRE(own->sent_count < RIG_SENT);
    rig_sent *to = &own->sent[own->sent_count];
    marty_saga_record *record = NULL;
    marty_err err = own->in->memory->load(own->in->shared, saga, &record, INT64_MAX, NULL);
    (void)snprintf(to->what, sizeof to->what, "%s %s.%u", marty__saga_command_word(command->kind),
                   command->step, (unsigned)command->attempt);
    (void)snprintf(to->saga, sizeof to->saga, "%s", saga);
    (void)snprintf(to->key, sizeof to->key, "%s", command->key);
    to->attempt = command->attempt;
    to->durable = !err && record && record->outbox.size > 0;
    marty_free(record);
    if (!own->dead) {
        own->sent_count++;
        if (own->while_sending) {
            own->while_sending(own->in, to);
        }
    }
    marty__saga_item_sent(item, own->dead ? MARTY_E_UNAVAILABLE : own->refuses);
}

static void wire_local(void *user, const char *saga, const marty__saga_command *command,
                       marty__saga_item *item)
{
    wire_send(user, saga, command, item);
}

static marty_err wire_inside(void *user, const char *saga, const marty__saga_command *command,
                             void *transaction, marty__saga_event *ret_reply)
{
    (void)user;
    (void)saga;
    (void)command;
    (void)transaction;
    ret_reply->reply = MARTY__SAGA_OK;
    return MARTY_OK;
}

static void wire_wake(void *user)
{
    (void)user;
}

static void wire_changed(void *user, const marty_saga_change *change)
{
    (void)user;
    (void)change;
}

static void wire_log(void *user, int level, const char *text)
{
    (void)user;
    (void)level;
    (void)text;
}

/* ---- clocks */
static int64_t monotonic(void *user)
{
    const rig *r = user;
    return r->now_us * 1000;
}

static int64_t wall(void *user)
{
    const rig *r = user;
    return r->now_us;
}

/* ---- what tests do */
void rig_open(rig *r, const char *definition)
{
    marty_url *url = NULL;
    marty_error why = {0};
    marty__saga_definition *own = NULL;
    memset(r, 0, sizeof *r);
    r->now_us = INT64_C(1767225600) * 1000000;
    r->memory = &marty__saga_memory;
    marty_env env = {.user = r, .monotonic_ns = monotonic, .wall_us = wall};
    REQUIRE(marty_url_parse(&url, "memory:", NULL) == MARTY_OK);
    REQUIRE(r->memory->open(&r->shared, url, &env, INT64_MAX, NULL) == MARTY_OK);
    marty_url_free(url);
    if (marty__saga_definition_read(&own, "test", definition, strlen(definition), &why)) {
        fprintf(stderr, "%s\n", why.text);
        REQUIRE(false);
    }
    char hash[65];
    marty__hex(hash, own->hash, sizeof own->hash);
    REQUIRE(r->memory->define(r->shared, own->name, own->version, hash,
                              (marty_bytes){own->json, own->json_size}, INT64_MAX,
                              NULL) == MARTY_OK);
    defined = own;
    rig_start(&r->a, r, "a");
}

void rig_start(rig_engine *engine, rig *r, const char *name)
{
    *engine = (rig_engine){
        .in = r, .bad_due = r->trouble, .bad_unsent = r->trouble, .bad_load = r->trouble};
    engine->store = marty_alloc_zero(1, sizeof *engine->store);
    REQUIRE(engine->store);
    engine->store->of = engine;
    marty__saga_core_options options = {
        .table = &table,
        .store = engine->store,
        .wire = {.user = engine,
                 .send = wire_send,
                 .local = wire_local,
                 .inside = wire_inside,
                 .wake = wire_wake,
                 .changed = wire_changed,
                 .log = wire_log},
        .env = {.user = r, .monotonic_ns = monotonic, .wall_us = wall},
        .owner = name,
        .leads = true,
        .term_ms = 10000};
    REQUIRE(marty__saga_core_open(&engine->core, &options, NULL) == MARTY_OK);
    rig_turn(engine);
}

static void stop(rig_engine *engine)
{
    marty__saga_core_close(engine->core);
    marty_free(engine->store);
    engine->core = NULL;
    engine->store = NULL;
}

void rig_kill(rig_engine *engine)
{
    engine->dead = true;
    stop(engine);
}

void rig_close(rig *r)
{
    rig_engine *const engines[] = {&r->a, &r->b};
    for (int i = 0; i < 2; i++) {
        if (engines[i]->core) {
            stop(engines[i]);
        }
    }
    r->memory->close(r->shared);
    marty__saga_definition_free((marty__saga_definition *)(uintptr_t)defined);
}

void rig_turn(rig_engine *engine)
{
    for (int i = 0; i < 100; i++) {
        if (marty__saga_core_turn(engine->core) > engine->in->now_us * 1000) {
            return;
        }
    }
    fprintf(stderr, "an engine has something to do all the time\n");
    CHECK(false);
}

void rig_pass(rig *r, int64_t ms)
{
    for (int64_t end = r->now_us + ms * 1000; r->now_us < end;) {
        r->now_us += 100000; /* so that leases are renewed in time */
        r->now_us = r->now_us < end ? r->now_us : end;
        if (r->a.core) {
            rig_turn(&r->a);
        }
        if (r->b.core) {
            rig_turn(&r->b);
        }
    }
}

typedef struct event {
    marty__saga_input input;
    char saga[40], key[MARTY__SAGA_TEXT], cause[40];
} event;

static void on_event_done(marty__saga_input *input, const marty__saga_done *done)
{
    (void)done;
    marty_free(MARTY__OWNER(input, event, input));
}

static event *new_event(const char *saga, marty__saga_event_kind kind)
{
    event *one = marty_alloc_zero(1, sizeof *one);
    REQUIRE(one);
    (void)snprintf(one->saga, sizeof one->saga, "%s", saga);
    one->input = (marty__saga_input){.saga = one->saga,
                                     .name = defined->name,
                                     .done = on_event_done,
                                     .event = {.kind = kind, .saga = one->saga, .cause = "test"}};
    return one;
}

void rig_begin(rig_engine *engine, const char *id)
{
    event *one = new_event(id, MARTY__SAGA_EVENT_START);
    marty__saga_core_put(engine->core, &one->input);
}

void rig_answer(rig_engine *engine, const rig_sent *to, marty__saga_reply reply)
{
    event *one = new_event(to->saga, MARTY__SAGA_EVENT_REPLY);
    (void)snprintf(one->key, sizeof one->key, "%s", to->key);
    one->input.event.key = one->key;
    one->input.event.attempt = to->attempt;
    one->input.event.reply = reply;
    marty__saga_core_put(engine->core, &one->input);
}

int rig_count(const rig_engine *engine, const char *what)
{
    int count = 0;
    for (int i = 0; i < engine->sent_count; i++) {
        count += strcmp(engine->sent[i].what, what) == 0;
    }
    return count;
}

int rig_status(rig *r, const char *id)
{
    marty_saga_record *record = NULL;
    marty_err err = r->memory->load(r->shared, id, &record, INT64_MAX, NULL);
    int status = err ? 0 : (int)record->facts.status;
    marty_free(record);
    return status;
}
