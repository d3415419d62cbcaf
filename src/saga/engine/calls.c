/* SPDX-License-Identifier: Apache-2.0
 * Calls of an engine by who writes a service: definitions, functions, start, wait. */
#include "engine.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "bus/bus.h"
#include "message/rules.h"
#include "message/uuid.h"

#include <stdio.h>
#include <string.h>

enum { WAIT_MS = 30000, LOOK_MS = 100, LOOK_MAX_MS = 1000, FIRST_LOOK_MS = 1000, KEY_MAX = 128 };

/* ---- definitions and functions */
static marty_err lint(const marty__saga_definition *definition, marty_error *why)
{
    marty__arena arena = {0};
    const marty__saga_finding *finding = NULL;
    marty_err err = marty__saga_lint(definition, &arena, &finding, why);
    while (!err && finding && !finding->error) {
        finding = finding->next;
    }
    if (!err && finding) {
        const char *step = definition->nodes[finding->node].name;
        err = marty_error_set(why, MARTY_E_CONFIG, "%s: %s: %s (%s)", definition->name,
                              step ? step : "the saga", finding->text, finding->code);
    }
    marty__arena_free(&arena);
    return err;
}

marty_err marty_saga_register(marty_saga_engine *engine, const marty_saga *saga,
                              const char *document, marty_error *why)
{
    marty_err err = marty__engine_enter(engine, false, why);
    if (!err && !saga == !document) {
        err = marty_error_set(why, MARTY_E_ARGUMENT,
                              "a definition is given as data or as a document, one of them");
    }
    if (err) {
        return err;
    }
    marty__saga_definition *definition = NULL;
    err = saga ? marty__saga_definition_build(&definition, saga, why)
               : marty__saga_definition_read(&definition, "definition", document, strlen(document),
                                             why);
    err = err ? err : lint(definition, why);
    if (err) {
        marty__saga_definition_free(definition);
        return err;
    }
    return marty__saga_core_define(engine->core, definition, why);
}

marty_err marty_saga_function(marty_saga_engine *engine, const char *name, marty_effect effect,
                              void *user, marty_error *why)
{
    marty_err err = marty__engine_enter(engine, false, why);
    if (!err && (!name || !*name || !effect)) {
        err = marty_error_set(why, MARTY_E_ARGUMENT, "a function needs a name and an effect");
    }
    if (err) {
        return err;
    }
    engine_function *function = marty_alloc_zero(1, sizeof *function + strlen(name) + 1);
    if (!function) {
        return marty__error_code(why, MARTY_E_NO_MEMORY);
    }
    function->effect = effect;
    function->user = user;
    memcpy(function->name, name, strlen(name) + 1);
    marty__lock(&engine->mutex);
    bool there = false;
    for (const engine_function *one = engine->functions; one; one = one->next) {
        there |= strcmp(one->name, name) == 0;
    }
    if (!there) {
        function->next = engine->functions;
        engine->functions = function;
    }
    marty__unlock(&engine->mutex);
    if (there) {
        marty_free(function);
        return marty_error_set(why, MARTY_E_EXISTS, "there is a function %s already", name);
    }
    return MARTY_OK;
}

/* ---- start */
/* The saga that the key has started: the same input, or EXISTS. */
static marty_err compare_input(marty_saga_engine *engine, const char *id, marty_bytes input,
                               marty_error *why)
{
    marty_saga_record *record = NULL;
    marty_err err = engine->table->load(engine->store, id, &record, marty__engine_until(), why);
    if (err) {
        return err;
    }
    marty__arena arena = {0};
    marty__saga_state state;
    err = marty__saga_state_read(&state, &arena, record->state, why);
    if (!err &&
        (state.input.size != input.size || memcmp(state.input.data, input.data, input.size) != 0)) {
        err = marty_error_set(why, MARTY_E_EXISTS,
                              "the key %s has started the saga %s with another input",
                              record->facts.key, id);
    }
    marty__arena_free(&arena);
    marty_free(record);
    return err;
}

static marty_err check_start(const char *saga, const char *key, marty_bytes input,
                             const marty_saga_start_options *options, const char *ret_id,
                             marty_error *why)
{
    if (!saga || !ret_id || (input.size && !input.data)) {
        return marty_error_set(why, MARTY_E_ARGUMENT,
                               "saga and ret_id are required, and data where input has a size");
    }
    if (key && strlen(key) > KEY_MAX) {
        return marty_error_set(why, MARTY_E_ARGUMENT, "a start key has at most %d bytes", KEY_MAX);
    }
    const char *wrong = key ? marty__text_wrong(key, strlen(key)) : NULL;
    if (wrong) {
        return marty_error_set(why, MARTY_E_ARGUMENT, "key: %s", wrong);
    }
    return marty__reserved_check(
        options->reserved, sizeof options->reserved / sizeof options->reserved[0], "options", why);
}

static int64_t deadline_us(int64_t now_us, uint64_t deadline_ms)
{
    return !deadline_ms                     ? 0
           : deadline_ms > INT64_MAX / 4000 ? INT64_MAX / 4
                                            : now_us + (int64_t)deadline_ms * 1000;
}

marty_err marty_saga_start(marty_saga_engine *engine, const char *saga, const char *key,
                           marty_bytes input, const marty_saga_start_options *options,
                           char ret_id[40], marty_error *why)
{
    static const marty_saga_start_options defaults;
    options = options ? options : &defaults;
    marty_err err = marty__engine_enter(engine, true, why);
    err = err ? err : check_start(saga, key, input, options, ret_id, why);
    if (err) {
        return err;
    }
    char id[MARTY__UUID_TEXT], text[ENGINE_TEXT];
    marty__uuid7(&engine->env, id);
    int64_t now_us = engine->env.wall_us(engine->env.user);
    marty__saga_input start = {.saga = id,
                               .name = saga,
                               .version = options->version,
                               .event = {.kind = MARTY__SAGA_EVENT_START,
                                         .start_key = key,
                                         .cause = "start",
                                         .deadline_us = deadline_us(now_us, options->deadline_ms),
                                         .data = input}};
    err = marty__engine_ask(engine, &start, options->timeout_ms, text);
    if (err == MARTY_E_EXISTS && key) {
        err = compare_input(engine, text, input, why);
        if (!err) {
            (void)snprintf(ret_id, 40, "%.39s", text);
        }
        return err;
    }
    if (err) {
        return marty_error_set(why, err, "%s", text);
    }
    (void)snprintf(ret_id, 40, "%s", id);
    return MARTY_OK;
}

/* ---- wait */
/* How it stands, by until_ns. */
static marty_err look(marty_saga_engine *engine, engine_waiter *waiter, int64_t until_ns,
                      marty_saga_status *ret_status, marty_error *why)
{
    marty_saga_record *record = NULL;
    marty_err err = engine->table->load(engine->store, waiter->id, &record, until_ns, why);
    if (!err) {
        (void)snprintf(waiter->stuck, sizeof waiter->stuck, "%s", record->facts.stuck);
        *ret_status = record->facts.status;
        marty_free(record);
    }
    return err;
}

/* Until this engine has ended it, or for a little: when another does, nobody tells us. */
static marty_saga_status wait_for_end(marty_saga_engine *engine, engine_waiter *waiter,
                                      int64_t until_ns)
{
    marty__lock(&engine->mutex);
    while (!waiter->status && marty__wait(&waiter->ended, &engine->mutex, until_ns)) {
    }
    marty_saga_status status = waiter->status;
    marty__unlock(&engine->mutex);
    return status;
}

/* A store that is away is waited for, too. */
static marty_err look_and_wait(marty_saga_engine *engine, engine_waiter *waiter, int64_t until_ns,
                               marty_saga_status *ret_status, marty_error *why)
{
    int64_t first_ns = marty__engine_deadline(FIRST_LOOK_MS, 0);
    int32_t pause_ms = LOOK_MS;
    marty_err err =
        look(engine, waiter, first_ns > until_ns ? first_ns : until_ns, ret_status, why);
    while (err == MARTY_E_UNAVAILABLE || (!err && !marty__saga_is_over(*ret_status))) {
        int64_t look_ns = marty__deadline_ns(marty__monotonic_ns(), pause_ms);
        *ret_status = wait_for_end(engine, waiter, look_ns < until_ns ? look_ns : until_ns);
        if (*ret_status) {
            return MARTY_OK;
        }
        if (marty__monotonic_ns() >= until_ns && err) {
            return err;
        }
        if (marty__monotonic_ns() >= until_ns) {
            bool failing =
                strncmp(waiter->stuck, MARTY_SAGA_FAILING, strlen(MARTY_SAGA_FAILING)) == 0;
            return marty_error_set(why, MARTY_E_TIMEOUT, "the saga %s %s%s", waiter->id,
                                   failing          ? "goes on, "
                                   : *waiter->stuck ? "is stuck and waits for a person: "
                                                    : "goes on",
                                   waiter->stuck);
        }
        err = look(engine, waiter, until_ns, ret_status, why);
        pause_ms = 2 * pause_ms < LOOK_MAX_MS ? 2 * pause_ms : LOOK_MAX_MS;
    }
    return err;
}

marty_err marty_saga_wait(marty_saga_engine *engine, const char *id, int32_t timeout_ms,
                          marty_saga_status *ret_status, marty_error *why)
{
    marty_err err = marty__engine_enter(engine, true, why);
    if (!err && (!id || !ret_status)) {
        err = marty_error_set(why, MARTY_E_ARGUMENT, "id and ret_status are required");
    }
    if (err) {
        return err;
    }
    int64_t until_ns = marty__engine_deadline(timeout_ms, WAIT_MS);
    engine_waiter waiter = {.id = id};
    marty_saga_status status = 0;
    if (!marty__cond_init(&waiter.ended)) {
        return marty__error_code(why, MARTY_E_NO_MEMORY);
    }
    marty__lock(&engine->mutex); /* before the look: then no end is missed */
    marty__list_push(&engine->waiters[marty__saga_shard(id)], &waiter.link);
    marty__unlock(&engine->mutex);
    err = look_and_wait(engine, &waiter, until_ns, &status, why);
    marty__lock(&engine->mutex);
    marty__list_remove(&waiter.link);
    marty__unlock(&engine->mutex);
    marty__cond_free(&waiter.ended);
    if (!err) {
        *ret_status = status;
    }
    return err;
}
