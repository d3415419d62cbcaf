/* SPDX-License-Identifier: Apache-2.0
 * Sagas and definitions in memory. An entry is what the store had when it was read or last written;
 * whoever writes over an old one is refused by the version, drops it and reads again. */
#include "inside.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/error.h"
#include "base/hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CACHE_MAX = 4096 };

/* ---- sagas */
static void touch(marty__saga_core *core, saga_entry *entry)
{
    marty__list_remove(&entry->used);
    marty__list_push(&core->used, &entry->used);
}

marty_err marty__saga_entry_new(marty__saga_core *core, const char *id, saga_entry **ret_entry,
                                marty_error *why)
{
    if (strlen(id) > MARTY__SAGA_ID_TEXT_MAX) {
        return marty_error_set(why, MARTY_E_ARGUMENT,
                               "the id of a saga has at most %d characters: %.60s",
                               MARTY__SAGA_ID_TEXT_MAX, id);
    }
    saga_entry *entry = marty_alloc_zero(1, sizeof *entry);
    if (!entry) {
        return marty__error_code(why, MARTY_E_NO_MEMORY);
    }
    memcpy(entry->id, id, strlen(id) + 1);
    marty__list_init(&entry->items);
    if (!marty__map_put(&core->entries, entry->id, strlen(entry->id), entry)) {
        marty_free(entry);
        return marty__error_code(why, MARTY_E_NO_MEMORY);
    }
    entry->turn = core->turn;
    marty__list_push(&core->used, &entry->used);
    core->entry_count++;
    *ret_entry = entry;
    return MARTY_OK;
}

/* Another has decided these and is sending them, or has died: they are ours if nothing more is
 * heard. */
static marty_err park_outbox(marty__saga_core *core, saga_entry *entry)
{
    marty_err err = MARTY_OK;
    marty_bytes outbox = entry->record->outbox;
    int64_t later_ns = marty__saga_now_ns(core) + SAGA_UNSENT_MS * INT64_C(1000000);
    for (size_t at = 0; at < outbox.size && !err;) {
        marty__saga_item *item = marty__saga_item_read(core, entry->id, outbox, &at, &err);
        if (item) {
            item->entry = entry;
            item->later_ns = later_ns;
            marty__list_push(&entry->items, &item->link);
            marty__list_push(&core->later, &item->outcome);
        }
    }
    return err;
}

/* The record is the entry's, or freed. */
static marty_err make_entry(marty__saga_core *core, marty_saga_record *record,
                            saga_entry **ret_entry, marty_error *why)
{
    const char *id = record->facts.id;
    saga_entry *entry = NULL;
    marty_err err = marty__saga_entry_new(core, id, &entry, why);
    if (err) {
        marty_free(record);
        return err;
    }
    marty__assert(entry);
    entry->record = record;
    err = marty__saga_definition_by_hash(core, record->facts.definition, &entry->definition, why);
    if (!err && MARTY__MUTANT(111, record->facts.unsent, false)) {
        err = park_outbox(core, entry);
        err = err ? marty_error_set(why, err, "the outbox of the saga %s cannot be read", id) : err;
    }
    if (err) {
        marty__saga_entry_drop(core, entry);
        return err;
    }
    *ret_entry = entry;
    return MARTY_OK;
}

static marty_err read_entry(marty__saga_core *core, const char *id, saga_entry **ret_entry,
                            marty_error *why)
{
    marty_saga_record *record = NULL;
    marty_err err = core->options.table->load(core->options.store, id, &record,
                                              marty__saga_call_until(core), why);
    return err ? err : make_entry(core, record, ret_entry, why);
}

typedef struct loaded {
    marty_saga_record *records[SAGA_BATCH_MAX];
    size_t count;
} loaded;

/* Kept until the store has returned: a definition may have to be read, too. */
static bool on_loaded(void *user, marty_saga_record *record)
{
    loaded *to = user;
    to->records[to->count++] = record;
    return to->count < SAGA_BATCH_MAX;
}

/* What is wrong with one is told to those who then look for it. */
static void take_loaded(marty__saga_core *core, const loaded *from)
{
    for (size_t i = 0; i < from->count; i++) {
        marty_saga_record *record = from->records[i];
        saga_entry *entry = NULL;
        marty_error ignored = {0};
        if (marty__map_get(&core->entries, record->facts.id, strlen(record->facts.id))) {
            marty_free(record);
        } else {
            (void)make_entry(core, record, &entry, &ignored);
        }
    }
}

static int by_text(const void *left, const void *right)
{
    const char *const *a = left, *const *b = right;
    return strcmp(*a, *b);
}

void marty__saga_entries_fetch(marty__saga_core *core, const char *ids[], size_t count)
{
    size_t missing = 0;
    loaded found = {.count = 0};
    marty_error ignored = {0};
    if (!core->options.table->load_many) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (!marty__map_get(&core->entries, ids[i], strlen(ids[i]))) {
            ids[missing++] = ids[i];
        }
    }
    qsort(ids, missing, sizeof *ids, by_text);
    count = missing;
    missing = 0;
    for (size_t i = 0; i < count; i++) {
        if (!missing || strcmp(ids[missing - 1], ids[i]) != 0) {
            ids[missing++] = ids[i];
        }
    }
    if (missing > 1) {
        (void)core->options.table->load_many(core->options.store, ids, missing, on_loaded, &found,
                                             marty__saga_call_until(core), &ignored);
        take_loaded(core, &found);
    }
}

marty_err marty__saga_entry_get(marty__saga_core *core, const char *id, saga_entry **ret_entry,
                                marty_error *why)
{
    saga_entry *entry = marty__map_get(&core->entries, id, strlen(id));
    if (!entry) {
        return read_entry(core, id, ret_entry, why);
    }
    touch(core, entry);
    *ret_entry = entry;
    return MARTY_OK;
}

marty_err marty__saga_entry_confirm(marty__saga_core *core, saga_entry *entry, bool *ret_true,
                                    marty_error *why)
{
    marty_saga_record *record = NULL;
    marty_err err = core->options.table->load(core->options.store, entry->id, &record,
                                              marty__saga_call_until(core), why);
    *ret_true = !err && entry->record && entry->record->facts.version == record->facts.version;
    if (*ret_true) {
        entry->turn = core->turn;
    }
    marty_free(record);
    return err == MARTY_E_NOT_FOUND ? MARTY_OK : err;
}

void marty__saga_entry_drop(marty__saga_core *core, saga_entry *entry)
{
    while (!marty__list_empty(&entry->items)) {
        marty__saga_item *item = MARTY__OWNER(entry->items.next, marty__saga_item, link);
        marty__list_remove(&item->link);
        item->entry = NULL;
        if (!item->busy) {
            marty__saga_item_free(item);
        }
    }
    (void)marty__map_take(&core->entries, entry->id, strlen(entry->id));
    marty__list_remove(&entry->used);
    core->entry_count--;
    marty_free(entry->record);
    marty_free(entry);
}

void marty__saga_entries_trim(marty__saga_core *core)
{
    size_t max = core->options.cache_max ? core->options.cache_max : CACHE_MAX;
    for (marty__link *at = core->used.next; core->entry_count > max && at != &core->used;) {
        saga_entry *entry = MARTY__OWNER(at, saga_entry, used);
        at = at->next;
        if (marty__list_empty(&entry->items)) {
            marty__saga_entry_drop(core, entry);
        }
    }
}

/* ---- definitions: also from the threads of those who register them */
static marty_err keep_definition(marty__saga_core *core, marty__saga_definition *definition)
{
    saga_known *known = marty_alloc_zero(1, sizeof *known);
    if (!known) {
        return MARTY_E_NO_MEMORY;
    }
    marty__hex(known->hash, definition->hash, sizeof definition->hash);
    known->definition = definition;
    marty__lock(&core->mutex);
    known->next = core->known;
    core->known = known;
    marty__unlock(&core->mutex);
    return MARTY_OK;
}

/* They are only ever added, and live as long as core. */
static const saga_known *find_known(marty__saga_core *core, const char *hash)
{
    marty__lock(&core->mutex);
    const saga_known *known = core->known;
    marty__unlock(&core->mutex);
    while (known && strcmp(known->hash, hash) != 0) {
        known = known->next;
    }
    return known;
}

marty_err marty__saga_core_define(marty__saga_core *core, marty__saga_definition *definition,
                                  marty_error *why)
{
    char hash[65];
    marty__hex(hash, definition->hash, sizeof definition->hash);
    marty_err err = core->options.table->define(
        core->options.store, definition->name, definition->version, hash,
        (marty_bytes){definition->json, definition->json_size}, marty__saga_call_until(core), why);
    if (!err && find_known(core, hash)) {
        marty__saga_definition_free(definition);
        return MARTY_OK;
    }
    err = err ? err : marty__error_code(why, keep_definition(core, definition));
    if (err) {
        marty__saga_definition_free(definition);
    }
    return err;
}

typedef struct lookup {
    uint32_t version; /* in: which, 0 = the newest */
    char hash[65];
    marty__saga_definition *definition;
    marty_err err;
    marty_error why;
    bool read; /* compile it, too */
} lookup;

static bool look(void *user, const char *name, uint32_t version, const char *hash,
                 marty_bytes document)
{
    lookup *to = user;
    if (to->version && to->version != version) {
        return true;
    }
    (void)snprintf(to->hash, sizeof to->hash, "%s", hash); /* they come by version: the last wins */
    if (to->read) {
        to->err = marty__saga_definition_read(&to->definition, name, document.data, document.size,
                                              &to->why);
    }
    return !to->read;
}

marty_err marty__saga_definition_by_hash(marty__saga_core *core, const char *hash,
                                         const marty__saga_definition **ret, marty_error *why)
{
    const saga_known *known = find_known(core, hash);
    if (known) {
        *ret = known->definition;
        return MARTY_OK;
    }
    lookup found = {.read = true};
    marty_err err = core->options.table->definitions(core->options.store, NULL, hash, look, &found,
                                                     marty__saga_call_until(core), why);
    if (err) {
        return err;
    }
    if (!found.definition) {
        return found.err ? marty_error_set(why, found.err, "%s", found.why.text)
                         : marty_error_set(why, MARTY_E_NOT_FOUND,
                                           "the store has no definition with the hash %s", hash);
    }
    err = keep_definition(core, found.definition);
    if (err) {
        marty__saga_definition_free(found.definition);
        return marty__error_code(why, err);
    }
    *ret = found.definition;
    return MARTY_OK;
}

marty_err marty__saga_definition_by_name(marty__saga_core *core, const char *name, uint32_t version,
                                         const marty__saga_definition **ret, marty_error *why)
{
    lookup found = {.version = version};
    const saga_named *last = &core->named;
    if (last->turn == core->turn && last->version == version &&
        strcmp(last->definition->name, name) == 0) {
        *ret = last->definition; /* many start in a turn, of one definition mostly */
        return MARTY_OK;
    }
    marty_err err = core->options.table->definitions(core->options.store, name, NULL, look, &found,
                                                     marty__saga_call_until(core), why);
    if (err) {
        return err;
    }
    if (!found.hash[0]) {
        return version ? marty_error_set(why, MARTY_E_NOT_FOUND,
                                         "there is no saga %s version %u: register it first", name,
                                         (unsigned)version)
                       : marty_error_set(why, MARTY_E_NOT_FOUND,
                                         "there is no saga %s: register it first", name);
    }
    err = marty__saga_definition_by_hash(core, found.hash, ret, why);
    if (!err) {
        core->named = (saga_named){.definition = *ret, .version = version, .turn = core->turn};
    }
    return err;
}
