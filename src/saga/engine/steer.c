/* SPDX-License-Identifier: Apache-2.0
 * What people do to a saga: as an event for core, or tried without storing anything. */
#include "engine.h"

#include "base/alloc.h"
#include "base/error.h"
#include "bus/bus.h"
#include "message/rules.h"
#include "message/uuid.h"

#include <stdio.h>
#include <string.h>

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
        [MARTY_SAGA_MIGRATE] = 0,
    };
    return verbs[verb];
}

static marty_err check_verb(marty_saga_verb verb, const marty_saga_order *order, marty_error *why)
{
    if (verb == MARTY_SAGA_SIGNAL) {
        return order->signal && *order->signal
                   ? MARTY_OK
                   : marty_error_set(why, MARTY_E_ARGUMENT, "signal: a signal needs its name");
    }
    if (!order->who || !*order->who) {
        return marty_error_set(why, MARTY_E_ARGUMENT, "who: the history must say who did it");
    }
    if (verb == MARTY_SAGA_REPLACE_INPUT && !order->data.size) {
        return marty_error_set(why, MARTY_E_ARGUMENT, "data: what takes the place of the input");
    }
    bool explains =
        verb == MARTY_SAGA_ABANDON || verb == MARTY_SAGA_WAIVE || verb == MARTY_SAGA_SKIP;
    if (explains && (!order->note || !*order->note)) {
        return marty_error_set(why, MARTY_E_ARGUMENT, "note: the history must say why");
    }
    return MARTY_OK;
}

/* They go into the history, onto terminals and into logs. */
static marty_err check_texts(const marty_saga_order *order, marty_error *why)
{
    const struct {
        const char *name, *text;
    } texts[] = {{"id", order->id},     {"who", order->who},       {"note", order->note},
                 {"step", order->step}, {"signal", order->signal}, {"key", order->key}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        const char *text = texts[i].text;
        const char *wrong = text ? marty__text_wrong(text, strlen(text)) : NULL;
        if (wrong) {
            return marty_error_set(why, MARTY_E_ARGUMENT, "%s: %s", texts[i].name, wrong);
        }
    }
    return MARTY_OK;
}

static marty_err check(const char *id, marty_saga_verb verb, const marty_saga_order *order,
                       marty_error *why)
{
    if (!id) {
        return marty_error_set(why, MARTY_E_ARGUMENT, "id is required");
    }
    if (verb < MARTY_SAGA_CANCEL || verb > MARTY_SAGA_MIGRATE) {
        return marty_error_set(why, MARTY_E_ARGUMENT, "verb: there is none with the number %d",
                               (int)verb);
    }
    if (order->data.size && !order->data.data) {
        return marty_error_set(why, MARTY_E_ARGUMENT, "data: %zu bytes at NULL", order->data.size);
    }
    marty_err err = marty__reserved_check(
        order->reserved, sizeof order->reserved / sizeof order->reserved[0], "order", why);
    err = err ? err : check_texts(order, why);
    return err ? err : check_verb(verb, order, why);
}

static marty__saga_input input_of(const char *id, marty_saga_verb verb,
                                  const marty_saga_order *order, const char *own_id)
{
    bool signal = verb == MARTY_SAGA_SIGNAL;
    return (marty__saga_input){
        .saga = id,
        .version = order->version,
        .migrates = verb == MARTY_SAGA_MIGRATE,
        .event = {.kind = signal ? MARTY__SAGA_EVENT_SIGNAL : MARTY__SAGA_EVENT_VERB,
                  .saga = id,
                  .cause = own_id,
                  .id = own_id,
                  .name = signal ? order->signal : order->step,
                  .who = order->who,
                  .note = order->note,
                  .verb = verb_of(verb),
                  .forced = order->force,
                  .no_effect = order->no_effect,
                  .key = order->key,
                  .ttl_ms = order->keep_ms,
                  .data = order->data}};
}

static const marty_saga_order nothing;

marty_err marty_saga_act(marty_saga_engine *engine, const char *id, marty_saga_verb verb,
                         const marty_saga_order *order, marty_error *why)
{
    order = order ? order : &nothing;
    marty_err err = marty__engine_enter(engine, true, why);
    err = err ? err : check(id, verb, order, why);
    if (err) {
        return err;
    }
    char new_id[MARTY__UUID_TEXT], text[ENGINE_TEXT];
    marty__uuid7(&engine->env, new_id);
    marty__saga_input input = input_of(id, verb, order, order->id ? order->id : new_id);
    err = marty__engine_ask(engine, &input, 0, text);
    return err ? marty_error_set(why, err, "%s", text) : MARTY_OK;
}

/* ---- without storing */
typedef struct trial {
    marty_saga_record *record;
    marty__saga_definition *from, *to; /* to: of a migration, else NULL */
    marty__saga_turn turn;
} trial;

typedef struct newest {
    uint32_t version; /* in: which, 0 = the newest */
    char hash[65];
} newest;

static bool on_version(void *user, const char *name, uint32_t version, const char *hash,
                       marty_bytes document)
{
    newest *to = user;
    (void)name;
    (void)document;
    if (!to->version || to->version == version) {
        (void)snprintf(to->hash, sizeof to->hash, "%s", hash); /* by version: the last wins */
    }
    return true;
}

static marty_err read_target(marty_saga_engine *engine, uint32_t version, trial *of,
                             marty_error *why)
{
    newest want = {.version = version};
    marty_err err = engine->table->definitions(engine->store, of->record->facts.name, NULL,
                                               on_version, &want, marty__engine_until(), why);
    if (!err && !*want.hash) {
        return marty_error_set(why, MARTY_E_NOT_FOUND,
                               "there is no saga %s version %u: register it first",
                               of->record->facts.name, (unsigned)version);
    }
    return err ? err : marty__engine_definition(engine, want.hash, &of->to, why);
}

static marty_err try_it(marty_saga_engine *engine, trial *of, const marty__saga_input *input,
                        marty_error *why)
{
    int64_t now_us = engine->env.wall_us(engine->env.user);
    marty_bytes before = of->record->state;
    marty_err err = of->to ? marty__saga_migrate(of->from, of->to, &engine->rules, before,
                                                 &input->event, now_us, &of->turn, why)
                           : marty__saga_decide(of->from, &engine->rules, before, &input->event,
                                                now_us, &of->turn, why);
    if (!err && of->turn.refused) {
        err = marty_error_set(why, MARTY_E_STATE, "%s", of->turn.refused);
    }
    if (!err && !of->turn.changed && of->turn.ignored == MARTY__SAGA_IGNORED_ENDED) {
        err = marty_error_set(why, MARTY_E_STATE, "the saga has ended");
    }
    return err;
}

static marty_err report_trial(const trial *of, marty_message **ret_report, marty_error *why)
{
    marty__buffer json = {0};
    marty__buffer_byte(&json, '{');
    marty_err err = marty__saga_turn_json(of->to ? of->to : of->from, &of->turn, &json, why);
    marty__buffer_byte(&json, '}');
    err = err ? err : marty__engine_report(&json, "marty.saga.preview", ret_report, why);
    marty__buffer_free(&json);
    return err;
}

marty_err marty_saga_preview(marty_saga_engine *engine, const char *id, marty_saga_verb verb,
                             const marty_saga_order *order, marty_message **ret_report,
                             marty_error *why)
{
    order = order ? order : &nothing;
    trial of = {0};
    marty_err err = marty__engine_enter(engine, false, why);
    err = err ? err : check(id, verb, order, why);
    if (!err && !ret_report) {
        err = marty_error_set(why, MARTY_E_ARGUMENT, "ret_report is required");
    }
    if (err) {
        return err;
    }
    char new_id[MARTY__UUID_TEXT];
    marty__uuid7(&engine->env, new_id);
    marty__saga_input input = input_of(id, verb, order, order->id ? order->id : new_id);
    err = engine->table->load(engine->store, id, &of.record, marty__engine_until(), why);
    err = err ? err : marty__engine_definition(engine, of.record->facts.definition, &of.from, why);
    err = err || !input.migrates ? err : read_target(engine, order->version, &of, why);
    err = err ? err : try_it(engine, &of, &input, why);
    err = err ? err : report_trial(&of, ret_report, why);
    marty__saga_turn_free(&of.turn);
    marty__saga_definition_free(of.to);
    marty__saga_definition_free(of.from);
    marty_free(of.record);
    return err;
}
