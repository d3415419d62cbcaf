/* SPDX-License-Identifier: Apache-2.0
 * Records, shards, and which store a scheme means. */
#include "stores.h"

#include "backend/registry.h"
#include "base/hash.h"

#include <stdio.h>
#include <string.h>

/* Stores that are modules: their schemes, and the packages that bring them. */
static const marty_saga_store_table *load_store(const char *scheme, marty_error *why)
{
    static const struct {
        const char *scheme, *module;
    } modules[] = {
        {"postgres", "postgres"}, {"postgresql", "postgres"}, {"nats", "nats"}, {"tls", "nats"}};
    for (size_t i = 0; i < sizeof modules / sizeof *modules; i++) {
        if (strcmp(modules[i].scheme, scheme) != 0) {
            continue;
        }
        char package[40];
        (void)snprintf(package, sizeof package, "marty-%s", modules[i].module);
        void *symbol =
            marty__module_symbol(modules[i].module, package, "marty_saga_store_module", why);
        marty_saga_store_entry entry = NULL;
        memcpy(&entry, &symbol, sizeof entry); /* ISO C has no cast from an object to a function */
        const marty_saga_store_table *table = entry ? entry(MARTY_SAGA_STORE_ABI) : NULL;
        if (entry && !table) {
            (void)marty_error_set(why, MARTY_E_UNSUPPORTED,
                                  "the module marty-%s.so is of another version than the library",
                                  modules[i].module);
        }
        return table;
    }
    (void)marty_error_set(
        why, MARTY_E_CONFIG,
        "there is no store of sagas for %s: take sqlite:, postgres:, nats: or memory:", scheme);
    return NULL;
}

const marty_saga_store_table *marty__saga_store_find(const char *scheme, marty_error *why)
{
    static const marty_saga_store_table *const built_in[] = {&marty__saga_memory,
                                                             &marty__saga_sqlite};
    for (size_t i = 0; i < sizeof built_in / sizeof *built_in; i++) {
        if (strcmp(built_in[i]->scheme, scheme) == 0) {
            return built_in[i];
        }
    }
    return load_store(scheme, why);
}

uint32_t marty__saga_shard(const char *id)
{
    return (uint32_t)(marty__hash_stable(id, strlen(id)) % MARTY_SAGA_SHARDS);
}

static const char *keep(char **at, const char *text)
{
    size_t size = text ? strlen(text) + 1 : 1;
    char *copy = *at;
    memcpy(copy, text ? text : "", size);
    *at += size;
    return copy;
}

static marty_bytes keep_bytes(char **at, marty_bytes bytes)
{
    marty_bytes copy = {*at, bytes.size};
    if (bytes.size) {
        memcpy(*at, bytes.data, bytes.size);
    }
    *at += bytes.size;
    return copy;
}

static size_t text_size(const char *text)
{
    return text ? strlen(text) + 1 : 1;
}

marty_saga_record *marty_saga_record_new(const marty_saga_facts *facts, uint64_t epoch,
                                         marty_bytes state, marty_bytes outbox)
{
    size_t size = sizeof(marty_saga_record) + text_size(facts->id) + text_size(facts->name) +
                  text_size(facts->key) + text_size(facts->definition) + text_size(facts->stuck) +
                  state.size + outbox.size;
    marty_saga_record *record = marty_alloc(size);
    if (!record) {
        return NULL;
    }
    char *at = (char *)(record + 1);
    record->facts = *facts;
    record->place = 0;
    record->facts.id = keep(&at, facts->id);
    record->facts.name = keep(&at, facts->name);
    record->facts.key = keep(&at, facts->key);
    record->facts.definition = keep(&at, facts->definition);
    record->facts.stuck = keep(&at, facts->stuck);
    record->epoch = epoch;
    record->state = keep_bytes(&at, state);
    record->outbox = keep_bytes(&at, outbox);
    return record;
}

marty_err marty__saga_store_late(marty_error *why)
{
    return marty_error_set(why, MARTY_E_TIMEOUT,
                           "nothing was done: another call has had the store all the time, perhaps "
                           "a local step that does not return");
}
