/* SPDX-License-Identifier: Apache-2.0
 * Calls of an engine: definitions, functions, start, steer, wait. A call that changes a saga is an
 * event put into core; the caller waits until it is durable. */
#include "engine.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "message/uuid.h"

#include <stdio.h>
#include <string.h>

enum {
    CALL_MS = 10000,
    WAIT_MS = 30000,
    LOOK_MS = 100,
    WAITING_MAX = 4096,
    ENGINE_TEXT = sizeof((marty_error *)NULL)->text
};

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
    if (!engine || !saga == !document) {
        return marty_error_set(why, MARTY_E_ARGUMENT,
                               "a definition is given as data or as a document, one of them");
    }
    marty__saga_definition *definition = NULL;
    marty_err err = saga ? marty__saga_definition_build(&definition, saga, why)
                         : marty__saga_definition_read(&definition, "definition", document,
                                                       strlen(document), why);
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
    if (!engine || !name || !*name || !effect) {
        return marty_error_set(why, MARTY_E_ARGUMENT, "a function needs a name and an effect");
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

/* ---- an event and its caller; both let go of it, in any order */
typedef struct call {
    marty__saga_input input;
    marty_saga_engine *engine;
    bool over, left; /* it was answered; the caller has gone. Under the engine's mutex */
    marty_err err;
    marty__saga_ignored ignored;
    char why[ENGINE_TEXT], id[40];
    char *texts; /* copies of what the event points to */
} call;

static void call_free(call *one)
{
    marty_free(one->texts);
    marty_free(one);
}

static void on_call_done(marty__saga_input *input, const marty__saga_done *done)
{
    call *one = MARTY__OWNER(input, call, input);
    marty_saga_engine *engine = one->engine;
    marty__lock(&engine->mutex);
    one->err = done->err;
    one->ignored = done->ignored;
    (void)snprintf(one->why, sizeof one->why, "%s", done->why ? done->why : "");
    one->over = true;
    bool left = one->left;
    marty__wake_all(&engine->changed);
    marty__unlock(&engine->mutex);
    if (left) {
        call_free(one);
    }
}

static const char *keep(char **at, const char *text)
{
    if (!text) {
        return NULL;
    }
    char *copy = *at;
    size_t size = strlen(text) + 1;
    memcpy(copy, text, size);
    *at += size;
    return copy;
}

static size_t size_of(const char *text)
{
    return text ? strlen(text) + 1 : 0;
}

/* A call owns copies of everything, since its caller may leave before it is over. */
static call *new_call(marty_saga_engine *engine, const marty__saga_input *input)
{
    const marty__saga_event *event = &input->event;
    call *one = marty_alloc_zero(1, sizeof *one);
    char *texts =
        marty_alloc(size_of(input->saga) + size_of(input->name) + size_of(event->cause) +
                    size_of(event->start_key) + size_of(event->name) + size_of(event->id) +
                    size_of(event->who) + size_of(event->note) + event->data.size + 1);
    if (!one || !texts) {
        marty_free(one);
        marty_free(texts);
        return NULL;
    }
    one->engine = engine;
    one->texts = texts;
    one->input = *input;
    one->input.done = on_call_done;
    marty__saga_event *copy = &one->input.event;
    one->input.saga = copy->saga = keep(&texts, input->saga);
    one->input.name = keep(&texts, input->name);
    copy->cause = keep(&texts, event->cause);
    copy->start_key = keep(&texts, event->start_key);
    copy->name = keep(&texts, event->name);
    copy->id = keep(&texts, event->id);
    copy->who = keep(&texts, event->who);
    copy->note = keep(&texts, event->note);
    if (event->data.size) {
        memcpy(texts, event->data.data, event->data.size);
    }
    copy->data.data = texts;
    return one;
}

/* Put it in and wait. ret_text gets the text of an error, or the id with EXISTS. */
static marty_err put_and_wait(marty_saga_engine *engine, const marty__saga_input *input,
                              int32_t timeout_ms, char ret_text[ENGINE_TEXT])
{
    if (marty__saga_core_waiting(engine->core) >= WAITING_MAX) {
        (void)snprintf(ret_text, ENGINE_TEXT,
                       "%d calls wait for the store already; try again later", WAITING_MAX);
        return MARTY_E_FULL;
    }
    call *one = new_call(engine, input);
    if (!one) {
        (void)snprintf(ret_text, ENGINE_TEXT, "out of memory");
        return MARTY_E_NO_MEMORY;
    }
    int64_t until_ns =
        marty__deadline_ns(marty__monotonic_ns(), timeout_ms > 0 ? timeout_ms : CALL_MS);
    marty__saga_core_put(engine->core, &one->input);
    marty__lock(&engine->mutex);
    bool in_time = true;
    while (!one->over && in_time) {
        in_time = marty__wait(&engine->changed, &engine->mutex, until_ns);
    }
    bool over = one->over;
    one->left = !over;
    marty_err err = over ? one->err : MARTY_E_TIMEOUT;
    (void)snprintf(ret_text, ENGINE_TEXT, "%s",
                   over ? one->why
                        : "the store has not answered in time; the same call again is safe");
    if (over && !err && one->ignored == MARTY__SAGA_IGNORED_ENDED) {
        err = MARTY_E_STATE;
        (void)snprintf(ret_text, ENGINE_TEXT, "the saga has ended");
    }
    marty__unlock(&engine->mutex);
    if (over) {
        call_free(one);
    }
    return err;
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

marty_err marty_saga_start(marty_saga_engine *engine, const char *saga, const char *key,
                           marty_bytes input, const marty_saga_start_options *options,
                           char ret_id[40], marty_error *why)
{
    static const marty_saga_start_options defaults;
    options = options ? options : &defaults;
    if (!engine || !saga || !ret_id) {
        return marty_error_set(why, MARTY_E_ARGUMENT, "engine, saga and ret_id are required");
    }
    if (key && strlen(key) > 128) {
        return marty_error_set(why, MARTY_E_ARGUMENT, "a start key has at most 128 bytes");
    }
    char id[MARTY__UUID_TEXT], text[ENGINE_TEXT];
    marty__uuid7(&engine->env, id);
    int64_t now_us = engine->env.wall_us(engine->env.user);
    marty__saga_input start = {
        .saga = id,
        .name = saga,
        .version = options->version,
        .event = {.kind = MARTY__SAGA_EVENT_START,
                  .start_key = key,
                  .cause = "start",
                  .deadline_us =
                      options->deadline_ms ? now_us + (int64_t)options->deadline_ms * 1000 : 0,
                  .data = input}};
    marty_err err = put_and_wait(engine, &start, options->timeout_ms, text);
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

/* ---- steer */
static marty__saga_verb verb_of(marty_saga_verb verb)
{
    static const marty__saga_verb verbs[] = {
        [MARTY_SAGA_CANCEL] = MARTY__SAGA_VERB_CANCEL,
        [MARTY_SAGA_PAUSE] = MARTY__SAGA_VERB_PAUSE,
        [MARTY_SAGA_RESUME] = MARTY__SAGA_VERB_RESUME,
        [MARTY_SAGA_RETRY] = MARTY__SAGA_VERB_RETRY,
        [MARTY_SAGA_SUPPLY] = MARTY__SAGA_VERB_SUPPLY,
        [MARTY_SAGA_SKIP] = MARTY__SAGA_VERB_SKIP,
        [MARTY_SAGA_WAIVE] = MARTY__SAGA_VERB_WAIVE,
        [MARTY_SAGA_REPLACE_INPUT] = MARTY__SAGA_VERB_REPLACE_INPUT,
        [MARTY_SAGA_COMPENSATE] = MARTY__SAGA_VERB_COMPENSATE,
        [MARTY_SAGA_ABANDON] = MARTY__SAGA_VERB_ABANDON,
        [MARTY_SAGA_SIGNAL] = 0,
    };
    return verbs[verb];
}

static marty_err check_order(marty_saga_verb verb, const marty_saga_order *order, marty_error *why)
{
    if (verb < MARTY_SAGA_CANCEL || verb > MARTY_SAGA_SIGNAL) {
        return marty_error_set(why, MARTY_E_ARGUMENT, "verb: there is none with the number %d",
                               (int)verb);
    }
    if (verb == MARTY_SAGA_SIGNAL) {
        return order->signal && *order->signal
                   ? MARTY_OK
                   : marty_error_set(why, MARTY_E_ARGUMENT, "signal: a signal needs its name");
    }
    if (!order->who || !*order->who) {
        return marty_error_set(why, MARTY_E_ARGUMENT, "who: the history must say who did it");
    }
    bool explains =
        verb == MARTY_SAGA_ABANDON || verb == MARTY_SAGA_WAIVE || verb == MARTY_SAGA_SKIP;
    if (explains && (!order->note || !*order->note)) {
        return marty_error_set(why, MARTY_E_ARGUMENT, "note: the history must say why");
    }
    return MARTY_OK;
}

marty_err marty_saga_act(marty_saga_engine *engine, const char *id, marty_saga_verb verb,
                         const marty_saga_order *order, marty_error *why)
{
    static const marty_saga_order nothing;
    order = order ? order : &nothing;
    if (!engine || !id) {
        return marty_error_set(why, MARTY_E_ARGUMENT, "engine and id are required");
    }
    marty_err err = check_order(verb, order, why);
    if (err) {
        return err;
    }
    char new_id[MARTY__UUID_TEXT], text[ENGINE_TEXT];
    marty__uuid7(&engine->env, new_id);
    bool signal = verb == MARTY_SAGA_SIGNAL;
    const char *own = order->id ? order->id : new_id;
    marty__saga_input input = {
        .saga = id,
        .event = {.kind = signal ? MARTY__SAGA_EVENT_SIGNAL : MARTY__SAGA_EVENT_VERB,
                  .cause = own,
                  .id = own,
                  .name = signal ? order->signal : order->step,
                  .who = order->who,
                  .note = order->note,
                  .verb = verb_of(verb),
                  .forced = order->force,
                  .no_effect = order->no_effect,
                  .key = order->key,
                  .ttl_ms = order->keep_ms,
                  .data = order->data}};
    err = put_and_wait(engine, &input, 0, text);
    return err ? marty_error_set(why, err, "%s", text) : MARTY_OK;
}

/* ---- wait */
marty_err marty_saga_wait(marty_saga_engine *engine, const char *id, int32_t timeout_ms,
                          marty_saga_status *ret_status, marty_error *why)
{
    if (!engine || !id || !ret_status) {
        return marty_error_set(why, MARTY_E_ARGUMENT, "engine, id and ret_status are required");
    }
    int64_t until_ns =
        marty__deadline_ns(marty__monotonic_ns(), timeout_ms > 0 ? timeout_ms : WAIT_MS);
    for (;;) {
        marty__lock(&engine->mutex);
        uint64_t seen = engine->changes;
        marty__unlock(&engine->mutex);
        marty_saga_record *record = NULL;
        marty_err err = engine->table->load(engine->store, id, &record, marty__engine_until(), why);
        if (err) {
            return err;
        }
        marty_saga_status status = record->facts.status;
        marty_free(record);
        if (marty__saga_is_over(status)) {
            *ret_status = status;
            return MARTY_OK;
        }
        int64_t now_ns = marty__monotonic_ns();
        if (now_ns >= until_ns) {
            return marty_error_set(why, MARTY_E_TIMEOUT, "the saga %s goes on", id);
        }
        /* Another engine may end it: then nobody tells us. */
        int64_t look_ns = marty__deadline_ns(now_ns, LOOK_MS);
        marty__lock(&engine->mutex);
        while (engine->changes == seen && marty__wait(&engine->changed, &engine->mutex,
                                                      look_ns < until_ns ? look_ns : until_ns)) {
        }
        marty__unlock(&engine->mutex);
    }
}
