/* SPDX-License-Identifier: Apache-2.0
 * The memory store: opening, closing, definitions, and its table of calls. Stores with a name are
 * shared by all that open that name in this process, and gone when the last of them closes. */
#include "memory.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static marty__mutex named_mutex = PTHREAD_MUTEX_INITIALIZER;
static marty_saga_store *named;

static marty_saga_store *new_store(const char *name, const marty_env *env)
{
    marty_saga_store *store = marty_alloc_zero(1, sizeof *store);
    if (store && !marty__gate_init(&store->gate)) {
        marty_free(store);
        return NULL;
    }
    if (store) {
        store->env = marty__env_complete(env);
        store->opened = 1;
        (void)snprintf(store->name, sizeof store->name, "%s", name);
    }
    return store;
}

static marty_saga_store *open_named(const char *name, const marty_env *env)
{
    marty__lock(&named_mutex);
    marty_saga_store *store = named;
    while (store && strcmp(store->name, name) != 0) {
        store = store->next;
    }
    if (store) {
        store->opened++;
    } else if ((store = new_store(name, env)) != NULL) {
        store->next = named;
        named = store;
    }
    marty__unlock(&named_mutex);
    return store;
}

static marty_err memory_open(marty_saga_store **ret_store, const marty_url *url,
                             const marty_env *env, int64_t until_ns, marty_error *why)
{
    (void)until_ns;
    static const char *const known[] = {NULL};
    const char *name = url->path ? url->path : "";
    marty_err err = marty_url_check(url, known, why);
    if (err) {
        return err;
    }
    if (strlen(name) >= sizeof((marty_saga_store *)NULL)->name) {
        return marty_error_set(why, MARTY_E_CONFIG, "memory:%s: a name has at most 63 bytes", name);
    }
    *ret_store = *name ? open_named(name, env) : new_store("", env);
    return *ret_store ? MARTY_OK : marty__error_code(why, MARTY_E_NO_MEMORY);
}

static void forget(marty_saga_store *store)
{
    for (marty_saga_store **at = &named; *at; at = &(*at)->next) {
        if (*at == store) {
            *at = store->next;
            return;
        }
    }
}

static void memory_close(marty_saga_store *store)
{
    marty__lock(&named_mutex);
    bool last = --store->opened == 0;
    if (last) {
        forget(store);
    }
    marty__unlock(&named_mutex);
    if (!last) {
        return;
    }
    for (size_t i = 0; i < store->count; i++) {
        marty__saga_memory_free_saga(store->sagas[i]);
    }
    for (size_t i = 0; i < store->definition_count; i++) {
        marty_free(store->definitions[i].data);
    }
    marty_free(store->definitions);
    marty_free(store->sagas);
    marty__gate_free(&store->gate);
    marty_free(store);
}

static const char *memory_describe(const marty_saga_store *store)
{
    (void)store;
    return "memory: sagas are lost with the process (for tests)";
}

/* ---- definitions */
static int compare(const memory_definition *definition, const char *name, uint32_t version)
{
    int order = strcmp(definition->name, name);
    return order ? order : (definition->version > version) - (definition->version < version);
}

static marty_err add_definition(marty_saga_store *store, size_t place,
                                const memory_definition *definition)
{
    memory_definition *all =
        marty_realloc(store->definitions, (store->definition_count + 1) * sizeof *all);
    if (!all) {
        return MARTY_E_NO_MEMORY;
    }
    memmove(&all[place + 1], &all[place], (store->definition_count - place) * sizeof *all);
    all[place] = *definition;
    store->definitions = all;
    store->definition_count++;
    return MARTY_OK;
}

static marty_err memory_define(marty_saga_store *store, const char *name, uint32_t version,
                               const char *hash, marty_bytes document, int64_t until_ns,
                               marty_error *why)
{
    memory_definition definition = {.version = version, .size = document.size};
    (void)snprintf(definition.name, sizeof definition.name, "%s", name);
    (void)snprintf(definition.hash, sizeof definition.hash, "%s", hash);
    if (!marty__gate_enter(&store->gate, until_ns)) {
        return marty__saga_store_late(why);
    }
    size_t place = 0;
    while (place < store->definition_count &&
           compare(&store->definitions[place], name, version) < 0) {
        place++;
    }
    marty_err err = MARTY_OK;
    if (place < store->definition_count &&
        compare(&store->definitions[place], name, version) == 0) {
        err = strcmp(store->definitions[place].hash, hash) == 0 ? MARTY_OK : MARTY_E_EXISTS;
    } else {
        definition.data = marty__memdup(document.data, document.size);
        err = definition.data ? add_definition(store, place, &definition) : MARTY_E_NO_MEMORY;
        if (err) {
            marty_free(definition.data);
        }
    }
    marty__gate_leave(&store->gate);
    return err ? marty_error_set(why, err, "the definition %s version %u: %s", name,
                                 (unsigned)version, marty_err_describe(err)->text)
               : MARTY_OK;
}

static marty_err memory_definitions(marty_saga_store *store, const char *name, const char *hash,
                                    marty_saga_document found, void *user, int64_t until_ns,
                                    marty_error *why)
{
    (void)why;
    if (!marty__gate_enter(&store->gate, until_ns)) {
        return marty__saga_store_late(why);
    }
    for (size_t i = 0; i < store->definition_count; i++) {
        const memory_definition *one = &store->definitions[i];
        bool fits =
            (!name || strcmp(one->name, name) == 0) && (!hash || strcmp(one->hash, hash) == 0);
        if (fits &&
            !found(user, one->name, one->version, one->hash, (marty_bytes){one->data, one->size})) {
            break;
        }
    }
    marty__gate_leave(&store->gate);
    return MARTY_OK;
}

static marty_err memory_settle(marty_saga_store *store, int64_t until_ns, marty_error *why)
{
    (void)until_ns;
    (void)store;
    (void)why;
    return MARTY_OK; /* nothing is ever in doubt here */
}

const marty_saga_store_table marty__saga_memory = {
    .abi = MARTY_SAGA_STORE_ABI,
    .scheme = "memory",
    .open = memory_open,
    .close = memory_close,
    .describe = memory_describe,
    .commit = marty__saga_memory_commit,
    .settle = memory_settle,
    .load = marty__saga_memory_load,
    .load_many = marty__saga_memory_load_many,
    .find = marty__saga_memory_find,
    .due = marty__saga_memory_due,
    .unsent = marty__saga_memory_unsent,
    .sent = marty__saga_memory_sent,
    .lease = marty__saga_memory_lease,
    .release = marty__saga_memory_release,
    .define = memory_define,
    .definitions = memory_definitions,
    .list = marty__saga_memory_list,
    .history = marty__saga_memory_history,
    .purge = marty__saga_memory_purge,
};
