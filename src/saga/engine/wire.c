/* SPDX-License-Identifier: Apache-2.0
 * What comes to core: the participants' answers, with the attributes of docs/guide/participants.md,
 * as events, each acked when it is durable; and local functions. Answers come on workers. */
#include "engine.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/limits.h"
#include "base/number.h"
#include "bus/bus.h"
#include "saga/attributes.h"

#include <stdio.h>
#include <string.h>

/* HUSH_MS: by then a callback has returned, as they are to be quick. */
enum { DELAY_MAX_MS = 3600000, HUSH_MS = 1000 };

/* ---- in */
typedef struct answer {
    marty__saga_input input;
    marty_delivery *delivery;
    char saga[40], key[MARTY__SAGA_TEXT], reason[MARTY__SAGA_REASON_BYTES_MAX + 1];
} answer;

static uint64_t number_header(const marty_message *message, const char *name)
{
    char text[24];
    marty__saga_attribute_get(text, sizeof text, message, name);
    return marty__number_or_0(text, UINT64_MAX);
}

/* A mistake in the unit must not put a step off for years. */
static uint64_t delay_of(const marty_message *message)
{
    uint64_t delay_ms = number_header(message, "sagadelayms");
    return delay_ms < DELAY_MAX_MS ? delay_ms : DELAY_MAX_MS;
}

static marty__saga_reply reply_of(const marty_message *message)
{
    static const struct {
        const char *word;
        marty__saga_reply reply;
    } words[] = {{"ok", MARTY__SAGA_OK},
                 {"rejected", MARTY__SAGA_REFUSED},
                 {"retry", MARTY__SAGA_RETRY},
                 {"accepted", MARTY__SAGA_ACCEPTED},
                 {"progress", MARTY__SAGA_PROGRESS},
                 {"done", MARTY__SAGA_WAS_DONE},
                 {"not_done", MARTY__SAGA_NOT_DONE},
                 {"unknown", MARTY__SAGA_UNKNOWN}};
    char text[16];
    marty__saga_attribute_get(text, sizeof text, message, "sagareply");
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcmp(words[i].word, text) == 0) {
            return words[i].reply;
        }
    }
    return 0;
}

static void settle_answer(answer *one, const marty__saga_done *done)
{
    if (done->err == MARTY_E_NOT_FOUND || done->err == MARTY_E_MALFORMED ||
        done->err == MARTY_E_TOO_LARGE) {
        (void)marty_reject(one->delivery, done->why);
    } else if (done->err) {
        (void)marty_give_back(one->delivery, 0, done->why);
    } else if (done->ignored == MARTY__SAGA_IGNORED_UNKNOWN) {
        (void)marty_reject(one->delivery, "no such operation in this saga");
    } else if (done->ignored == MARTY__SAGA_IGNORED_MALFORMED) {
        (void)marty_reject(one->delivery, "an answer that makes no sense here");
    } else {
        (void)marty_ack(one->delivery);
    }
}

static void on_answer_done(marty__saga_input *input, const marty__saga_done *done)
{
    answer *one = MARTY__OWNER(input, answer, input);
    settle_answer(one, done);
    marty_delivery_release(one->delivery);
    marty_free(one);
}

/* To core, unless the engine has gone meanwhile. */
static void put_answer(engine_ear *ear, answer *one)
{
    static const marty__saga_done closed = {.err = MARTY_E_CLOSED,
                                            .why = "the engine of sagas is closed"};
    marty__lock(&ear->mutex);
    if (ear->engine) {
        marty__saga_core_put(ear->engine->core, &one->input);
    } else {
        on_answer_done(&one->input, &closed);
    }
    marty__unlock(&ear->mutex);
}

static marty_err on_answer(void *user, marty_delivery *delivery)
{
    const marty_message *message = delivery->message;
    marty__saga_reply reply = reply_of(message);
    answer *one = marty_alloc_zero(1, sizeof *one);
    if (!one) {
        return MARTY_E_NO_MEMORY;
    }
    marty__saga_attribute_get(one->saga, sizeof one->saga, message, "sagaid");
    marty__saga_attribute_get(one->key, sizeof one->key, message, "sagaop");
    marty__saga_attribute_get(one->reason, sizeof one->reason, message, "sagareason");
    if (!reply || !*one->saga || !*one->key) {
        marty_free(one);
        return marty_reject(delivery,
                            "an answer needs the attributes sagaid, sagaop and sagareply");
    }
    char tombstone[8];
    marty__saga_attribute_get(tombstone, sizeof tombstone, message, "sagatombstone");
    one->delivery = marty_delivery_keep(delivery);
    one->input =
        (marty__saga_input){.saga = one->saga,
                            .done = on_answer_done,
                            .event = {.kind = MARTY__SAGA_EVENT_REPLY,
                                      .cause = message->id,
                                      .saga = one->saga,
                                      .key = one->key,
                                      .reply = reply,
                                      .data = message->data,
                                      .attempt = (uint32_t)number_header(message, "sagaattempt"),
                                      .tombstone = strcmp(tombstone, "true") == 0,
                                      .delay_ms = delay_of(message),
                                      .reason = *one->reason ? one->reason : NULL}};
    put_answer(user, one);
    return MARTY_OK;
}

static void ear_free(void *user)
{
    engine_ear *ear = user;
    marty__mutex_free(&ear->mutex);
    marty_free(ear);
}

/* What an engine that has died was given comes to the others when its shards do. How often that
 * happens to an answer is no fault of its own. */
marty_err marty__engine_listen(marty_saga_engine *engine, marty_error *why)
{
    uint32_t lease_ms = engine->lease_ms;
    marty_subscribe_options options = {
        .service = engine->service,
        .concurrency = 1,
        .credit = 1024,
        .timeout_ms = MARTY__LISTEN_MS,
        .lease_ms = lease_ms > MARTY__LEASE_MIN_MS ? lease_ms : (uint32_t)MARTY__LEASE_MIN_MS,
        .retry = {.attempts = UINT32_MAX},
        .user_free = ear_free};
    engine_ear *ear = marty_alloc_zero(1, sizeof *ear);
    if (!ear || !marty__mutex_init(&ear->mutex)) {
        marty_free(ear);
        return marty__error_code(why, MARTY_E_NO_MEMORY);
    }
    ear->engine = engine;
    marty_err err = marty_handle_commands(engine->bus, "saga.reply", on_answer, ear, &options,
                                          &engine->answers, why);
    if (err) {
        ear_free(ear);
        return err;
    }
    engine->ear = ear;
    return MARTY_OK;
}

void marty__engine_deafen(marty_saga_engine *engine, int32_t timeout_ms)
{
    if (!engine->answers) {
        return;
    }
    marty__lock(&engine->ear->mutex);
    engine->ear->engine = NULL;
    marty__unlock(&engine->ear->mutex);
    (void)marty_unsubscribe(engine->answers, timeout_ms, NULL); /* which frees the ear, in time */
    engine->answers = NULL;
    engine->ear = NULL;
}

/* ---- local functions */
static const engine_function *function_of(marty_saga_engine *engine, const char *name)
{
    marty__lock(&engine->mutex);
    const engine_function *function = engine->functions;
    while (function && strcmp(function->name, name) != 0) {
        function = function->next;
    }
    marty__unlock(&engine->mutex);
    return function;
}

static void fill_reply(const engine_operation *operation, marty_err err, marty__saga_event *ret)
{
    bool probe = operation->operation.probe;
    ret->data = (marty_bytes){operation->result, operation->result_size};
    ret->reason = NULL;
    if (err) {
        ret->reply = probe ? MARTY__SAGA_UNKNOWN : MARTY__SAGA_RETRY;
        ret->reason = marty_err_describe(err)->text;
    } else if (operation->refused) {
        ret->reply = probe ? MARTY__SAGA_NOT_DONE : MARTY__SAGA_REFUSED;
        ret->reason = operation->reason;
    } else {
        ret->reply = probe ? MARTY__SAGA_WAS_DONE : MARTY__SAGA_OK;
    }
}

static marty_err wire_inside(void *user, const char *saga, const marty__saga_command *command,
                             void *transaction, marty__saga_event *ret_reply)
{
    marty_saga_engine *engine = user;
    const engine_function *function = function_of(engine, command->type);
    if (!function) {
        return MARTY_E_UNAVAILABLE; /* not here, or not yet: that is no answer of the step */
    }
    engine_operation operation;
    marty_err err = marty__engine_effect(function->effect, function->user, saga, command,
                                         transaction, &operation);
    marty_free(engine->inside_data);
    engine->inside_data = operation.result;
    memcpy(engine->inside_reason, operation.reason, sizeof engine->inside_reason);
    if (!err) {
        fill_reply(&operation, MARTY_OK, ret_reply);
        ret_reply->reason = operation.refused ? engine->inside_reason : NULL;
    }
    return err;
}

typedef struct step {
    marty__link link;
    marty__saga_input input;
    engine_operation operation;
    const marty__saga_command *command; /* the item's */
    marty__saga_item *item;
    char saga[40];
} step;

static void wire_local(void *user, const char *saga, const marty__saga_command *command,
                       marty__saga_item *item)
{
    marty_saga_engine *engine = user;
    step *one = marty_alloc_zero(1, sizeof *one);
    if (!one) {
        marty__saga_item_sent(item, MARTY_E_NO_MEMORY);
        return;
    }
    one->command = command;
    one->item = item;
    (void)snprintf(one->saga, sizeof one->saga, "%s", saga);
    marty__lock(&engine->mutex);
    marty__list_push(&engine->steps, &one->link);
    marty__wake_one(&engine->steps_wake);
    marty__unlock(&engine->mutex);
}

static void on_step_done(marty__saga_input *input, const marty__saga_done *done)
{
    step *one = MARTY__OWNER(input, step, input);
    marty__saga_item_sent(one->item, done->err);
    marty_free(one->operation.result);
    marty_free(one);
}

static void run_step(marty_saga_engine *engine, step *one)
{
    const engine_function *function = function_of(engine, one->command->type);
    if (!function) { /* not here, or not yet: that is no answer of the step */
        marty__saga_item_sent(one->item, MARTY_E_UNAVAILABLE);
        marty_free(one);
        return;
    }
    marty_err err = marty__engine_effect(function->effect, function->user, one->saga, one->command,
                                         NULL, &one->operation);
    one->input = (marty__saga_input){.saga = one->saga,
                                     .done = on_step_done,
                                     .event = {.kind = MARTY__SAGA_EVENT_REPLY,
                                               .cause = one->command->message,
                                               .saga = one->saga,
                                               .key = one->command->key,
                                               .attempt = one->command->attempt}};
    fill_reply(&one->operation, err, &one->input.event);
    marty__saga_core_put(engine->core, &one->input);
}

static step *next_step(marty_saga_engine *engine, bool wait)
{
    step *one = NULL;
    marty__lock(&engine->mutex);
    while (wait && !engine->stopping && marty__list_empty(&engine->steps)) {
        (void)marty__wait(&engine->steps_wake, &engine->mutex, MARTY__NEVER);
    }
    if (!marty__list_empty(&engine->steps) && (!wait || !engine->stopping)) {
        one = MARTY__OWNER(engine->steps.next, step, link);
        marty__list_remove(&one->link);
    }
    marty__unlock(&engine->mutex);
    return one;
}

void *marty__engine_steps(void *user)
{
    marty_saga_engine *engine = user;
    step *one = NULL;
    while ((one = next_step(engine, true)) != NULL) {
        run_step(engine, one);
    }
    return NULL;
}

void marty__engine_steps_drop(marty_saga_engine *engine)
{
    step *one = NULL;
    while ((one = next_step(engine, false)) != NULL) {
        marty__saga_item_sent(one->item, MARTY_E_CLOSED);
        marty_free(one);
    }
}

/* ---- core's other calls */
static void wire_wake(void *user)
{
    marty_saga_engine *engine = user;
    if (!atomic_exchange(&engine->woken, true)) {
        marty__lock(&engine->mutex); /* it looks and goes to sleep under it */
        marty__wake_one(&engine->wake);
        marty__unlock(&engine->mutex);
    }
}

/* Whether there is an owner to be told something: he waits for the end of it before he goes. */
static bool begin_telling(marty_saga_engine *engine)
{
    marty__lock(&engine->mutex);
    bool told = !engine->left;
    engine->telling += told;
    marty__unlock(&engine->mutex);
    return told;
}

static void end_telling(marty_saga_engine *engine)
{
    marty__lock(&engine->mutex);
    engine->telling--;
    marty__wake_all(&engine->changed);
    marty__unlock(&engine->mutex);
}

void marty__engine_hush(marty_saga_engine *engine)
{
    int64_t until_ns = marty__deadline_ns(marty__monotonic_ns(), HUSH_MS);
    bool in_time = !engine->started || !pthread_equal(pthread_self(), engine->thread);
    marty__lock(&engine->mutex);
    engine->left = true;
    while (engine->telling && in_time) {
        in_time = marty__wait(&engine->changed, &engine->mutex, until_ns);
    }
    marty__unlock(&engine->mutex);
}

static void wire_changed(void *user, const marty_saga_change *change)
{
    marty_saga_engine *engine = user;
    const marty_saga_facts *facts = change->facts;
    if ((change->alert || engine->on_change) && begin_telling(engine)) {
        if (change->alert) {
            marty__bus_log(engine->bus, 1, "saga %s (%s): %s", facts->id, facts->name,
                           change->alert);
        }
        if (engine->on_change) {
            engine->on_change(engine->user, change);
        }
        end_telling(engine);
    }
    marty__engine_note(engine, facts);
}

static void wire_log(void *user, int level, const char *text)
{
    marty_saga_engine *engine = user;
    if (begin_telling(engine)) {
        marty__bus_log(engine->bus, level, "%s", text);
        end_telling(engine);
    }
}

marty__saga_wire marty__engine_wire(marty_saga_engine *engine)
{
    return (marty__saga_wire){.user = engine,
                              .send = marty__engine_send,
                              .flush = marty__engine_flush,
                              .local = wire_local,
                              .inside = wire_inside,
                              .wake = wire_wake,
                              .changed = wire_changed,
                              .log = wire_log};
}
