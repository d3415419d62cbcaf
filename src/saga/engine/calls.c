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
    if (key && strlen(key) > MARTY__SAGA_START_KEY_MAX) {
        return marty_error_set(why, MARTY_E_ARGUMENT, "a start key has at most %d bytes",
                               MARTY__SAGA_START_KEY_MAX);
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
