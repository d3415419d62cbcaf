/* SPDX-License-Identifier: Apache-2.0
 * The life of an engine: store, core, its threads, its end. */
#include "engine.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "bus/bus.h"
#include "message/uuid.h"

#include <stdio.h>
#include <string.h>

enum { OPEN_MS = 10000, CLOSE_MS = 10000, LOOK_MS = 20 };

static const uint64_t day_ms = UINT64_C(24) * 3600 * 1000;

int64_t marty__engine_until(void)
{
    return marty__deadline_ns(marty__monotonic_ns(), OPEN_MS);
}

int64_t marty__engine_deadline(int32_t timeout_ms, int32_t otherwise_ms)
{
    int32_t ms = timeout_ms == 0 ? otherwise_ms : timeout_ms < 0 ? 0 : timeout_ms;
    return marty__deadline_ns(marty__monotonic_ns(), ms);
}

/* Turns, each when something was put in, or when core has asked for it. */
static void *run_turns(void *user)
{
    marty_saga_engine *engine = user;
    marty__lock(&engine->mutex);
    int64_t next_ns = 0;
    while (!engine->stopping) {
        if (!atomic_load(&engine->woken) && next_ns > marty__monotonic_ns()) {
            (void)marty__wait(&engine->wake, &engine->mutex, next_ns);
            continue;
        }
        atomic_store(&engine->woken, false);
        marty__unlock(&engine->mutex);
        next_ns = marty__saga_core_turn(engine->core);
        marty__lock(&engine->mutex);
        engine->counts = *marty__saga_core_counts(engine->core);
        engine->shards = marty__saga_core_shards(engine->core);
        marty__wake_all(&engine->changed);
    }
    marty__unlock(&engine->mutex);
    return NULL;
}

static marty_err name_service(marty_saga_engine *engine, const marty_saga_options *options,
                              marty_error *why)
{
    const char *service = options->service ? options->service : engine->bus->service;
    if (options->client && !service) {
        return MARTY_OK; /* the store says it */
    }
    if (!service) {
        return marty_error_set(why, MARTY_E_CONFIG,
                               "participants need somewhere to answer to: give the bus or the "
                               "engine a service");
    }
    if (strlen(service) >= sizeof engine->service) {
        return marty_error_set(why, MARTY_E_ARGUMENT, "service: at most %zu bytes",
                               sizeof engine->service - 1);
    }
    memcpy(engine->service, service, strlen(service) + 1);
    return MARTY_OK;
}

static marty_err open_store(marty_saga_engine *engine, const char *store_url, marty_error *why)
{
    marty_err err = marty_url_parse(&engine->url, store_url, why);
    if (err) {
        return err;
    }
    marty_error missing = {0};
    engine->table = marty__saga_store_find(engine->url->scheme, &missing);
    return engine->table ? engine->table->open(&engine->store, engine->url, &engine->env,
                                               marty__engine_until(), why)
                         : marty_error_set(why, missing.code, "%s", missing.text);
}

/* What may still be asked of participants, so that they surely remember when it comes. */
static marty_err set_rules(marty_saga_engine *engine, const marty_saga_options *options,
                           marty_error *why)
{
    enum { KEEP_DAYS = 30 }; /* of participants, by default */
    uint64_t horizon_ms = options->horizon_ms ? options->horizon_ms : KEEP_DAYS * day_ms;
    uint64_t redelivery_ms = options->redelivery_ms    ? options->redelivery_ms
                             : horizon_ms < 2 * day_ms ? horizon_ms / 2
                                                       : day_ms;
    if (redelivery_ms >= horizon_ms) {
        return marty_error_set(why, MARTY_E_ARGUMENT,
                               "options.redelivery_ms must be below options.horizon_ms");
    }
    bool endless = horizon_ms - redelivery_ms > INT64_MAX / 2000;
    engine->rules.horizon_ms = endless ? 0 : horizon_ms - redelivery_ms;
    return MARTY_OK;
}

/* All engines of a store answer to one service: kept with the definitions, under a name that none
 * of them can have. A client learns it from there. */
static bool on_service(void *user, const char *name, uint32_t version, const char *hash,
                       marty_bytes document)
{
    char *service = user;
    (void)name;
    (void)version;
    (void)hash;
    (void)snprintf(service, sizeof((marty_saga_engine *)NULL)->service, "%.*s", (int)document.size,
                   (const char *)document.data);
    return false;
}

static marty_err agree_on_service(marty_saga_engine *engine, const marty_saga_options *options,
                                  marty_error *why)
{
    static const char name[] = "@service";
    char kept[sizeof engine->service] = "";
    marty_err err = engine->table->definitions(engine->store, name, NULL, on_service, kept,
                                               marty__engine_until(), why);
    if (!err && !*kept && !options->client) {
        marty_bytes document = marty_text(engine->service);
        err = engine->table->define(engine->store, name, 1, name, document, marty__engine_until(),
                                    why);
        err = err ? err
                  : engine->table->definitions(engine->store, name, NULL, on_service, kept,
                                               marty__engine_until(), why);
    }
    if (err || !*kept) {
        return err;
    }
    if (!options->client && strcmp(kept, engine->service) != 0) {
        return marty_error_set(why, MARTY_E_CONFIG,
                               "participants of the sagas in this store answer to the service %s, "
                               "not %s: take that one, or another store",
                               kept, engine->service);
    }
    memcpy(engine->service, kept, sizeof kept);
    return MARTY_OK;
}

static marty_err open_core(marty_saga_engine *engine, const marty_saga_options *options,
                           marty_error *why)
{
    char unique[MARTY__UUID_TEXT];
    marty__uuid7(&engine->env, unique);
    (void)snprintf(engine->owner, sizeof engine->owner, "%.20s/%s", engine->service, unique);
    engine->lease_ms = options->lease_ms ? options->lease_ms : MARTY__SAGA_TERM_MS;
    marty__saga_core_options core = {
        .table = engine->table,
        .store = engine->store,
        .wire = marty__engine_wire(engine),
        .env = engine->env,
        .rules = engine->rules,
        .owner = engine->owner,
        .leads = !options->client,
        .term_ms = engine->lease_ms,
        .cache_max = options->cache_max,
    };
    return marty__saga_core_open(&engine->core, &core, why);
}

static marty_err start(marty_saga_engine *engine, marty_error *why)
{
    engine->started = marty__thread_start(&engine->thread, "marty-saga", run_turns, engine);
    engine->steps_started =
        engine->started &&
        marty__thread_start(&engine->steps_thread, "marty-saga-fn", marty__engine_steps, engine);
    return engine->steps_started
               ? MARTY_OK
               : marty_error_set(why, MARTY_E_NO_MEMORY, "no thread to be had for the sagas");
}

static bool init(marty_saga_engine *engine)
{
    if (!marty__mutex_init(&engine->mutex)) {
        return false;
    }
    for (size_t i = 0; i < MARTY_SAGA_SHARDS; i++) {
        marty__list_init(&engine->waiters[i]);
    }
    marty__list_init(&engine->steps);
    engine->env = *marty__env_real();
    return marty__cond_init(&engine->wake) && marty__cond_init(&engine->changed) &&
           marty__cond_init(&engine->steps_wake);
}

marty_err marty_saga_open(marty_saga_engine **ret_engine, marty_bus *bus, const char *store_url,
                          const marty_saga_options *options, marty_error *why)
{
    static const marty_saga_options defaults;
    options = options ? options : &defaults;
    if (!ret_engine || !store_url) {
        return marty_error_set(why, MARTY_E_ARGUMENT, "ret_engine and store_url are required");
    }
    marty_err err = marty__bus_enter(bus, MARTY__DRAINING, why);
    err = err ? err
              : marty__reserved_check(options->reserved,
                                      sizeof options->reserved / sizeof options->reserved[0],
                                      "options", why);
    if (err) {
        return err;
    }
    if ((bus->driven || bus->simulated) && !options->client) {
        return marty_error_set(why, MARTY_E_UNSUPPORTED,
                               "sagas need a bus with workers, not a driven one");
    }
    marty_saga_engine *engine = marty_alloc_zero(1, sizeof *engine);
    if (!engine || !init(engine)) {
        marty_free(engine);
        return marty__error_code(why, MARTY_E_NO_MEMORY);
    }
    engine->bus = marty__bus_ref(bus);
    engine->on_change = options->on_change;
    engine->user = options->user;
    err = name_service(engine, options, why);
    err = err ? err : set_rules(engine, options, why);
    err = err ? err : open_store(engine, store_url, why);
    err = err ? err : agree_on_service(engine, options, why);
    err = err ? err : open_core(engine, options, why);
    err = err ? err : start(engine, why);
    err = err || options->client ? err : marty__engine_listen(engine, why);
    if (err) {
        (void)marty_saga_close(engine, 0, NULL);
        return err;
    }
    marty__bus_log(bus, 2, "sagas: %s", engine->table->describe(engine->store));
    *ret_engine = engine;
    return MARTY_OK;
}

/* ---- the end */
static bool wait_until_idle(marty_saga_engine *engine, int64_t until_ns)
{
    while (!marty__saga_core_idle(engine->core)) { /* unlocked: core's lock comes first */
        int64_t now_ns = marty__monotonic_ns();
        if (now_ns >= until_ns) {
            return false;
        }
        int64_t look_ns = marty__deadline_ns(now_ns, LOOK_MS);
        marty__lock(&engine->mutex);
        (void)marty__wait(&engine->changed, &engine->mutex,
                          look_ns < until_ns ? look_ns : until_ns);
        marty__unlock(&engine->mutex);
    }
    return true;
}

static void tell_to_stop(marty_saga_engine *engine)
{
    marty__lock(&engine->mutex);
    engine->stopping = true;
    marty__wake_all(&engine->wake);
    marty__wake_all(&engine->steps_wake);
    marty__unlock(&engine->mutex);
}

/* Effects that run are waited for, and the bus, which answers all that it was given. */
static void join(marty_saga_engine *engine)
{
    tell_to_stop(engine);
    if (engine->started) {
        (void)pthread_join(engine->thread, NULL);
    }
    if (engine->steps_started) {
        (void)pthread_join(engine->steps_thread, NULL);
    }
    if (engine->core) {
        marty__saga_core_refuse(engine->core); /* commands between sagas wait there, too */
    }
    marty__engine_steps_drop(engine);
    while (engine->core && marty__saga_core_sending(engine->core)) {
        marty__lock(&engine->mutex);
        (void)marty__wait(&engine->wake, &engine->mutex,
                          marty__deadline_ns(marty__monotonic_ns(), LOOK_MS));
        marty__unlock(&engine->mutex);
    }
}

static void end(marty_saga_engine *engine)
{
    join(engine);
    marty__saga_core_close(engine->core);
    if (engine->store) {
        engine->table->close(engine->store);
    }
    while (engine->functions) {
        engine_function *function = engine->functions;
        engine->functions = function->next;
        marty_free(function);
    }
    marty_url_free(engine->url);
    marty_free(engine->inside_data);
    marty__cond_free(&engine->wake);
    marty__cond_free(&engine->changed);
    marty__cond_free(&engine->steps_wake);
    marty__mutex_free(&engine->mutex);
    marty__bus_unref(engine->bus);
    marty_free(engine);
}

static void *reap(void *user)
{
    marty_saga_engine *engine = user;
    marty__engine_deafen(engine, CLOSE_MS);
    end(engine);
    return NULL;
}

/* Effects that still run (perhaps this very one) end in peace: a thread of its own waits for them.
 */
static void reap_later(marty_saga_engine *engine)
{
    pthread_t thread;
    marty__engine_hush(engine);
    tell_to_stop(engine);
    if (marty__thread_start(&thread, "marty-reaper", reap, engine)) {
        (void)pthread_detach(thread);
    } else {
        marty__bus_log(engine->bus, 0, "no thread to free the engine with; its memory stays");
    }
}

static bool in_a_callback(const marty_saga_engine *engine)
{
    pthread_t self = pthread_self();
    return marty__pool_inside(engine->bus) ||
           (engine->started && pthread_equal(self, engine->thread)) ||
           (engine->steps_started && pthread_equal(self, engine->steps_thread));
}

marty_err marty_saga_close(marty_saga_engine *engine, int32_t timeout_ms, marty_error *why)
{
    marty_err err = engine ? marty__engine_enter(engine, false, why) : MARTY_OK;
    if (!engine || err) {
        return err;
    }
    int64_t until_ns = marty__engine_deadline(timeout_ms, CLOSE_MS);
    if (engine->core) {
        marty__saga_core_stop(engine->core);
    }
    if (in_a_callback(engine)) {
        reap_later(engine);
        return marty_error_set(why, MARTY_E_STATE,
                               "closing from an effect or a callback only begins it");
    }
    marty__engine_deafen(engine, timeout_ms);
    if (engine->started && !wait_until_idle(engine, until_ns)) {
        reap_later(engine);
        return marty_error_set(why, MARTY_E_TIMEOUT,
                               "effects still run, or commands of sagas are being sent; the engine "
                               "ends with them");
    }
    end(engine);
    return MARTY_OK;
}
