/* SPDX-License-Identifier: Apache-2.0
 * What an engine can show: one saga with its history, and lists. Read from the store on the
 * caller's thread. */
#include "engine.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/hash.h"
#include "bus/bus.h"

#include <stdio.h>
#include <string.h>

enum { LIST_MAX = 10000 };

marty_err marty__engine_report(const marty__buffer *json, const char *type,
                               marty_message **ret_report, marty_error *why)
{
    if (json->failed) {
        return marty__error_code(why, MARTY_E_NO_MEMORY);
    }
    marty_message report = {.type = type, .source = "marty", .data = {json->data, json->size}};
    return marty_message_new(ret_report, &report, NULL, why);
}

/* ---- definitions */
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

marty_err marty__engine_definition(marty_saga_engine *engine, const char *hash,
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

/* ---- a history: each batch in the words of the definition that it was made under */
typedef struct story {
    marty_saga_engine *engine;
    marty__buffer bytes; /* batches as they came, each with its size before it */
    marty__saga_definition *definition;
    marty_error *why;
} story;

static bool on_batch(void *user, uint64_t version, int64_t at_us, marty_bytes batch)
{
    story *of = user;
    (void)version;
    (void)at_us;
    marty__buffer_add(&of->bytes, &batch.size, sizeof batch.size);
    marty__buffer_add(&of->bytes, batch.data, batch.size);
    return !of->bytes.failed;
}

static marty_err use_definition(story *of, const uint8_t hash[MARTY__SAGA_HASH_BYTES])
{
    char text[2 * MARTY__SAGA_HASH_BYTES + 1];
    if (of->definition && memcmp(of->definition->hash, hash, MARTY__SAGA_HASH_BYTES) == 0) {
        return MARTY_OK;
    }
    marty__saga_definition_free(of->definition);
    of->definition = NULL;
    marty__hex(text, hash, MARTY__SAGA_HASH_BYTES);
    return marty__engine_definition(of->engine, text, &of->definition, of->why);
}

static marty_err write_batches(story *of, marty__buffer *json)
{
    marty_err err = of->bytes.failed ? marty__error_code(of->why, MARTY_E_NO_MEMORY) : MARTY_OK;
    for (size_t at = 0; at < of->bytes.size && !err;) {
        marty_bytes batch = {of->bytes.data + at + sizeof batch.size, 0};
        uint8_t hash[MARTY__SAGA_HASH_BYTES];
        memcpy(&batch.size, of->bytes.data + at, sizeof batch.size);
        marty__buffer_text(json, at ? "," : "");
        err = marty__saga_batch_definition(batch, hash) ? use_definition(of, hash) : MARTY_OK;
        err = err ? err : marty__saga_history_json(of->definition, batch, json, of->why);
        at += sizeof batch.size + batch.size;
    }
    return err;
}

static marty_err write_history(marty_saga_engine *engine, const char *id, marty__buffer *json,
                               marty_error *why)
{
    story of = {.engine = engine, .why = why};
    marty__buffer_text(json, ",\"history\":[");
    marty_err err =
        engine->table->history(engine->store, id, 0, on_batch, &of, marty__engine_until(), why);
    err = err ? err : write_batches(&of, json);
    marty__buffer_byte(json, ']');
    marty__saga_definition_free(of.definition);
    marty__buffer_free(&of.bytes);
    return err;
}

static marty_err write_saga(marty_saga_engine *engine, const marty_saga_record *record,
                            bool history, marty__buffer *json, marty_error *why)
{
    marty__arena arena = {0};
    marty__saga_state state;
    marty__saga_definition *definition = NULL;
    marty_err err = marty__engine_definition(engine, record->facts.definition, &definition, why);
    marty__buffer_text(json, "{\"saga\":");
    err = err ? err : marty__saga_state_read(&state, &arena, record->state, why);
    err = err ? err : marty__saga_state_json(definition, &state, json, why);
    marty__arena_free(&arena);
    marty__saga_definition_free(definition);
    marty__buffer_text(json, record->facts.unsent ? ",\"unsent\":true" : "");
    err = err || !history ? err : write_history(engine, record->facts.id, json, why);
    marty__buffer_byte(json, '}');
    return err;
}

marty_err marty_saga_show(marty_saga_engine *engine, const char *id, bool history,
                          marty_message **ret_report, marty_error *why)
{
    marty_err err = marty__engine_enter(engine, false, why);
    if (!err && (!id || !ret_report)) {
        err = marty_error_set(why, MARTY_E_ARGUMENT, "id and ret_report are required");
    }
    if (err) {
        return err;
    }
    marty_saga_record *record = NULL;
    marty__buffer json = {0};
    err = engine->table->load(engine->store, id, &record, marty__engine_until(), why);
    err = err ? err : write_saga(engine, record, history, &json, why);
    err = err ? err : marty__engine_report(&json, "marty.saga", ret_report, why);
    marty__buffer_free(&json);
    marty_free(record);
    return err;
}

/* What the store finds is copied first, so that whoever is told may call the engine. */
typedef struct copies {
    marty_saga_record **all;
    size_t count, room;
    bool failed;
} copies;

static bool on_found(void *user, const marty_saga_facts *facts)
{
    copies *to = user;
    if (to->count == to->room) {
        size_t room = to->room ? 2 * to->room : 64;
        marty_saga_record **more = marty_realloc(to->all, room * sizeof *more);
        if (!more) {
            to->failed = true;
            return false;
        }
        to->all = more;
        to->room = room;
    }
    marty_saga_record *copy =
        marty_saga_record_new(facts, 0, (marty_bytes){"", 0}, (marty_bytes){"", 0});
    to->failed = !copy;
    to->all[to->count] = copy;
    to->count += copy != NULL;
    return copy != NULL;
}

static void tell(copies *from, bool goes_on, marty_saga_found found, void *user)
{
    for (size_t i = 0; i < from->count; i++) {
        goes_on = goes_on && found(user, &from->all[i]->facts);
        marty_free(from->all[i]);
    }
    marty_free(from->all);
}

marty_err marty_saga_list(marty_saga_engine *engine, const marty_saga_filter *filter,
                          marty_saga_found found, void *user, marty_error *why)
{
    static const marty_saga_filter all;
    filter = filter ? filter : &all;
    marty_err err = marty__engine_enter(engine, false, why);
    if (err) {
        return err;
    }
    if (!found || filter->limit > LIST_MAX || (unsigned)filter->status > MARTY_SAGA_ABANDONED) {
        return marty_error_set(why, MARTY_E_ARGUMENT,
                               "found is required, limit is at most %d, status one of the enum",
                               LIST_MAX);
    }
    err = marty__reserved_check(
        filter->reserved, sizeof filter->reserved / sizeof filter->reserved[0], "filter", why);
    if (err) {
        return err;
    }
    copies to = {.all = NULL};
    err = engine->table->list(engine->store, filter, on_found, &to, marty__engine_until(), why);
    err = !err && to.failed ? marty__error_code(why, MARTY_E_NO_MEMORY) : err;
    tell(&to, !err, found, user);
    return err;
}

marty_err marty_saga_purge(marty_saga_engine *engine, int64_t before_us, uint64_t *ret_count,
                           marty_error *why)
{
    enum { AT_ONCE = 1000 };
    uint64_t total = 0;
    uint32_t count = AT_ONCE;
    marty_err err = marty__engine_enter(engine, false, why);
    if (!err && !ret_count) {
        err = marty_error_set(why, MARTY_E_ARGUMENT, "ret_count is required");
    }
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
