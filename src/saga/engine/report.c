/* SPDX-License-Identifier: Apache-2.0
 * What an engine can show: one saga with its history, lists, its own numbers. Read from the store
 * on the caller's thread. */
#include "engine.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"

#include <stdio.h>
#include <string.h>

static marty_err make_report(const marty__buffer *json, const char *type,
                             marty_message **ret_report, marty_error *why)
{
    if (json->failed) {
        return marty__error_code(why, MARTY_E_NO_MEMORY);
    }
    marty_message report = {.type = type, .source = "marty", .data = {json->data, json->size}};
    return marty_message_new(ret_report, &report, NULL, why);
}

typedef struct story {
    const marty__saga_definition *definition;
    marty__buffer *json;
    marty_err err;
    bool more;
} story;

static bool on_batch(void *user, uint64_t version, int64_t at_us, marty_bytes batch)
{
    story *of = user;
    (void)version;
    (void)at_us;
    if (of->more) {
        marty__buffer_byte(of->json, ',');
    }
    of->more = true;
    of->err = marty__saga_history_json(of->definition, batch, of->json, NULL);
    return !of->err;
}

typedef struct wanted {
    marty__saga_definition *definition;
    marty_err err;
    marty_error *why;
} wanted;

static bool on_document(void *user, const char *name, uint32_t version, const char *hash,
                        marty_bytes document)
{
    wanted *to = user;
    (void)version;
    (void)hash;
    to->err =
        marty__saga_definition_read(&to->definition, name, document.data, document.size, to->why);
    return false;
}

static marty_err read_definition(marty_saga_engine *engine, const char *hash,
                                 marty__saga_definition **ret, marty_error *why)
{
    wanted want = {.why = why};
    marty_err err = engine->table->definitions(engine->store, NULL, hash, on_document, &want,
                                               marty__engine_until(), why);
    err = err ? err : want.err;
    if (!err && !want.definition) {
        return marty_error_set(why, MARTY_E_NOT_FOUND, "the store has no definition %s", hash);
    }
    *ret = want.definition;
    return err;
}

static marty_err write_saga(marty_saga_engine *engine, const marty_saga_record *record,
                            const marty__saga_definition *definition, bool history,
                            marty__buffer *json, marty_error *why)
{
    marty__arena arena = {0};
    marty__saga_state state;
    marty__buffer_text(json, "{\"saga\":");
    marty_err err = marty__saga_state_read(&state, &arena, record->state, why);
    err = err ? err : marty__saga_state_json(definition, &state, json, why);
    marty__arena_free(&arena);
    if (!err && history) {
        story of = {.definition = definition, .json = json};
        marty__buffer_text(json, ",\"history\":[");
        err = engine->table->history(engine->store, record->facts.id, 0, on_batch, &of,
                                     marty__engine_until(), why);
        marty__buffer_byte(json, ']');
        err = err ? err : of.err;
    }
    marty__buffer_byte(json, '}');
    return err;
}

marty_err marty_saga_show(marty_saga_engine *engine, const char *id, bool history,
                          marty_message **ret_report, marty_error *why)
{
    if (!engine || !id || !ret_report) {
        return marty_error_set(why, MARTY_E_ARGUMENT, "engine, id and ret_report are required");
    }
    marty_saga_record *record = NULL;
    marty__saga_definition *definition = NULL;
    marty__buffer json = {0};
    marty_err err = engine->table->load(engine->store, id, &record, marty__engine_until(), why);
    err = err ? err : read_definition(engine, record->facts.definition, &definition, why);
    err = err ? err : write_saga(engine, record, definition, history, &json, why);
    err = err ? err : make_report(&json, "marty.saga", ret_report, why);
    marty__buffer_free(&json);
    marty__saga_definition_free(definition);
    marty_free(record);
    return err;
}

marty_err marty_saga_list(marty_saga_engine *engine, const marty_saga_filter *filter,
                          marty_saga_found found, void *user, marty_error *why)
{
    static const marty_saga_filter all;
    if (!engine || !found) {
        return marty_error_set(why, MARTY_E_ARGUMENT, "engine and found are required");
    }
    return engine->table->list(engine->store, filter ? filter : &all, found, user,
                               marty__engine_until(), why);
}

marty_err marty_saga_purge(marty_saga_engine *engine, int64_t before_us, uint64_t *ret_count,
                           marty_error *why)
{
    enum { AT_ONCE = 1000 };
    uint64_t total = 0;
    uint32_t count = AT_ONCE;
    marty_err err = MARTY_OK;
    while (!err && count == AT_ONCE) {
        err = engine->table->purge(engine->store, before_us, AT_ONCE, &count, marty__engine_until(),
                                   why);
        total += err ? 0 : count;
    }
    if (!err) {
        *ret_count = total;
    }
    return err;
}

marty_err marty_saga_report(marty_saga_engine *engine, marty_message **ret_report, marty_error *why)
{
    marty__lock(&engine->mutex);
    marty__saga_counts counts = engine->counts;
    uint32_t shards = engine->shards;
    marty__unlock(&engine->mutex);
    marty__buffer json = {0};
    marty__buffer_text(&json, "{\"store\":");
    const char *line = engine->table->describe(engine->store);
    marty__buffer_json(&json, line, strlen(line));
    const struct {
        const char *name;
        uint64_t value;
    } rows[] = {
        {"shards", shards},
        {"events", counts.inputs},
        {"transitions", counts.transitions},
        {"commits", counts.commits},
        {"commands_sent", counts.sent},
        {"commands_sent_again", counts.resent},
        {"send_failures", counts.send_failures},
        {"completed", counts.ended[MARTY_SAGA_COMPLETED]},
        {"compensated", counts.ended[MARTY_SAGA_COMPENSATED]},
        {"abandoned", counts.ended[MARTY_SAGA_ABANDONED]},
        {"stuck", counts.stuck},
        {"duplicates", counts.ignored[MARTY__SAGA_IGNORED_DUPLICATE]},
        {"late_replies",
         counts.ignored[MARTY__SAGA_IGNORED_LATE] + counts.ignored[MARTY__SAGA_IGNORED_ENDED]},
        {"fence_losses", counts.fence_losses},
        {"conflicts", counts.conflicts},
        {"commits_in_doubt", counts.doubts},
        {"timer_failures", counts.timer_failures},
        {"timer_lag_us", (uint64_t)(counts.timer_lag_us > 0 ? counts.timer_lag_us : 0)},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        marty__buffer_format(&json, ",\"%s\":%llu", rows[i].name,
                             (unsigned long long)rows[i].value);
    }
    marty__buffer_byte(&json, '}');
    marty_err err = make_report(&json, "marty.sagas", ret_report, why);
    marty__buffer_free(&json);
    return err;
}
