/* SPDX-License-Identifier: Apache-2.0
 * Reading one saga, by its id or its start key, and its history: the chunks that were moved to keys
 * of their own, then what is beside the state. Chunks may overlap; histories never fork, so what
 * has been told once is passed over. Definitions, too: there are few, and all are read. */
#include "kv.h"

#include <stdlib.h>
#include <string.h>

static marty_err nothing(const char *id, marty_error *why)
{
    return marty_error_set(why, MARTY_E_NOT_FOUND, "there is no saga %s", id);
}

static marty_err damaged(const char *key, marty_error *why)
{
    return marty_error_set(why, MARTY_E_MALFORMED, "the key %s is not as a saga is kept", key);
}

/* A saga that is there; entered. *ret is yours to free. */
static marty_err read_saga(marty_saga_store *store, const char *id, kv_value **ret,
                           kv_facts *ret_facts, kv_body *ret_body, int64_t until_ns,
                           marty_error *why)
{
    kv_key key;
    kv_value *value = NULL;
    kv_saga_key(key, id);
    marty_err err = kv_read(store, &store->reader, key, &value, until_ns, why);
    if (err) {
        return err;
    }
    if (!value || value->gone) {
        marty_free(value);
        return nothing(id, why);
    }
    if (!kv_facts_read(ret_facts, id, value->facts) || !kv_body_read(value->data, ret_body)) {
        marty_free(value);
        return damaged(key, why);
    }
    kv_known_put(store, &ret_facts->facts, value->seq, ret_body->run);
    kv_seen(store, value->seq);
    *ret = value;
    return MARTY_OK;
}

marty_err kv_load(marty_saga_store *store, const char *id, marty_saga_record **ret_record,
                  int64_t until_ns, marty_error *why)
{
    kv_facts facts = {.facts = {.id = NULL}};
    kv_body body = {.run = {NULL, 0}};
    kv_value *saga = NULL, *shards = NULL;
    uint64_t epochs[MARTY_SAGA_SHARDS];
    marty_err err = kv_enter(store, &store->reader, until_ns, why);
    if (err) {
        return err;
    }
    err = kv_read(store, &store->reader, KV_SHARDS_KEY, &shards, until_ns, why);
    err = err ? err : read_saga(store, id, &saga, &facts, &body, until_ns, why);
    kv_leave(&store->reader);
    err = err ? err : kv_epochs(shards, epochs, why);
    if (!err) {
        *ret_record =
            marty_saga_record_new(&facts.facts, epochs[facts.facts.shard], body.state, body.outbox);
        err = *ret_record ? MARTY_OK : marty_error_set(why, MARTY_E_NO_MEMORY, "reading %s", id);
    }
    marty_free(saga);
    marty_free(shards);
    return err;
}

marty_err kv_find(marty_saga_store *store, const char *name, const char *key, char ret_id[40],
                  int64_t until_ns, marty_error *why)
{
    kv_facts facts = {.facts = {.id = NULL}};
    kv_body body = {.run = {NULL, 0}};
    kv_key start;
    kv_value *claim = NULL, *saga = NULL;
    char id[40] = "";
    marty_err err = kv_enter(store, &store->reader, until_ns, why);
    if (err) {
        return err;
    }
    kv_start_key(start, name, key);
    err = kv_read(store, &store->reader, start, &claim, until_ns, why);
    if (!err && claim) {
        (void)snprintf(id, sizeof id, "%.*s", (int)claim->data.size,
                       (const char *)claim->data.data);
        err = read_saga(store, id, &saga, &facts, &body, until_ns, why);
    }
    kv_leave(&store->reader);
    bool there = !err && saga && strcmp(facts.name, name) == 0 && strcmp(facts.key, key) == 0;
    if (!err || err == MARTY_E_NOT_FOUND) { /* the key may be there before its saga */
        err = there
                  ? MARTY_OK
                  : marty_error_set(why, MARTY_E_NOT_FOUND, "no saga %s has the key %s", name, key);
    }
    if (!err) {
        memcpy(ret_id, facts.id, sizeof facts.id);
    }
    marty_free(claim);
    marty_free(saga);
    return err;
}

/* ---- history */
typedef struct telling {
    uint64_t next; /* the version that comes next */
    marty_saga_batch found;
    void *user;
    bool ended;
} telling;

static void tell_run(telling *to, marty_bytes run)
{
    kv_batch batch;
    for (size_t at = 0; !to->ended && kv_run_next(run, &at, &batch);) {
        if (batch.version >= to->next) {
            to->ended = !to->found(to->user, batch.version, batch.at_us, batch.batch);
            to->next = batch.version + 1;
        }
    }
}

/* Each message of the keys of a pattern, in the order they were written. */
static marty_err next_of(marty_saga_store *store, const char *pattern, uint64_t from,
                         kv_value **ret, int64_t until_ns, marty_error *why)
{
    kv_call call = {.code = 0};
    *ret = NULL;
    kv_get_next(store, &call, pattern, from);
    marty_err err = kv_ask(store, &store->reader, &call, until_ns, why);
    if (!err && call.code == 0) {
        *ret = kv_value_of(store, &call);
        err = *ret ? MARTY_OK : marty_error_set(why, MARTY_E_NO_MEMORY, "reading sagas");
    } else if (!err && call.code != KV_NO_MESSAGE) {
        err = kv_refused(&call, "reading sagas", why);
    }
    kv_end(&call);
    return err;
}

static marty_err tell_chunks(marty_saga_store *store, const char *id, telling *to, int64_t until_ns,
                             marty_error *why)
{
    kv_key pattern;
    kv_value *value = NULL;
    marty_err err = MARTY_OK;
    kv_chunk_key(pattern, id, 0, 0);
    (void)snprintf(pattern + strlen(pattern) - 3, 4, "*.*"); /* in place of "0.0" */
    uint64_t from = 1;
    while (!to->ended && (err = next_of(store, pattern, from, &value, until_ns, why)) == MARTY_OK &&
           value) {
        tell_run(to, value->data);
        from = value->seq + 1;
        marty_free(value);
    }
    return err;
}

marty_err kv_history(marty_saga_store *store, const char *id, uint64_t from, marty_saga_batch found,
                     void *user, int64_t until_ns, marty_error *why)
{
    kv_facts facts = {.facts = {.id = NULL}};
    kv_body body = {.run = {NULL, 0}};
    kv_value *saga = NULL;
    telling to = {.next = from ? from : 1, .found = found, .user = user};
    marty_err err = kv_enter(store, &store->reader, until_ns, why);
    if (err) {
        return err;
    }
    err = read_saga(store, id, &saga, &facts, &body, until_ns, why);
    kv_batch first = {.version = 1};
    size_t at = 0;
    if (!err && kv_run_next(body.run, &at, &first) && first.version > to.next) {
        err = tell_chunks(store, id, &to, until_ns, why);
    }
    if (!err) {
        tell_run(&to, body.run);
    }
    kv_leave(&store->reader);
    marty_free(saga);
    return err;
}

/* ---- definitions: the hash, a line end, the document */
marty_err kv_define(marty_saga_store *store, const char *name, uint32_t version, const char *hash,
                    marty_bytes document, int64_t until_ns, marty_error *why)
{
    kv_key key;
    size_t size = strlen(hash), all = size + 1 + document.size;
    char *body = marty_alloc(all + 1);
    if (!body) {
        return marty_error_set(why, MARTY_E_NO_MEMORY, "defining %s", name);
    }
    marty_err err = kv_enter(store, &store->writer, until_ns, why);
    if (err) {
        marty_free(body);
        return err;
    }
    memcpy(body, hash, size);
    body[size] = '\n';
    if (document.size) {
        memcpy(body + size + 1, document.data, document.size);
    }
    kv_definition_key(key, name, version);
    bool known = false;
    do {
        kv_value *value = NULL;
        uint64_t seq = 0;
        err = kv_read(store, &store->writer, key, &value, until_ns, why);
        known = !err && value;
        if (known) {
            bool same = value->data.size > size && memcmp(value->data.data, body, size + 1) == 0;
            err = same ? MARTY_OK
                       : marty_error_set(why, MARTY_E_EXISTS,
                                         "the definition %s version %u is there and is different: "
                                         "give it a new version",
                                         name, (unsigned)version);
        } else if (!err) {
            err = kv_write(store, &store->writer, key, NULL, false, (marty_bytes){body, all}, 0,
                           &seq, until_ns, why);
        }
        marty_free(value);
    } while (!known && err && err != MARTY_E_NO_MEMORY && err != MARTY_E_TOO_LARGE &&
             !kv_is_late(store, until_ns));
    kv_leave(&store->writer);
    marty_free(body);
    return err;
}

typedef struct document {
    char name[65], hash[65];
    uint32_t version;
    marty_bytes text;
    kv_value *value;
} document;

static int by_name(const void *left, const void *right)
{
    const document *a = left, *b = right;
    int order = strcmp(a->name, b->name);
    return order ? order : (a->version > b->version) - (a->version < b->version);
}

/* "d.NAME.VERSION", the name escaped as a saga's facts are. */
static bool take_document(kv_value *value, document *to)
{
    const char *data = value->data.data, *end = memchr(data, '\n', value->data.size);
    const char *name = value->key + 2, *dot = strchr(name, '.');
    if (!end || !dot || (size_t)(end - data) >= sizeof to->hash) {
        return false;
    }
    *to = (document){.version = (uint32_t)strtoul(dot + 1, NULL, 10), .value = value};
    kv_text_read(to->name, sizeof to->name, name);
    memcpy(to->hash, data, (size_t)(end - data));
    to->text = (marty_bytes){end + 1, value->data.size - (size_t)(end - data) - 1};
    return true;
}

static marty_err read_documents(marty_saga_store *store, document **ret, size_t *ret_count,
                                int64_t until_ns, marty_error *why)
{
    marty_err err = kv_enter(store, &store->reader, until_ns, why);
    kv_value *value = NULL;
    uint64_t from = 1;
    if (err) {
        return err;
    }
    while ((err = next_of(store, "d.*.*", from, &value, until_ns, why)) == MARTY_OK && value) {
        document one, *more = marty_realloc(*ret, (*ret_count + 1) * sizeof **ret);
        from = value->seq + 1;
        *ret = more ? more : *ret;
        if (!more) {
            err = marty_error_set(why, MARTY_E_NO_MEMORY, "reading definitions");
            marty_free(value);
            break;
        }
        if (take_document(value, &one)) {
            (*ret)[(*ret_count)++] = one;
        } else {
            marty_free(value);
        }
    }
    kv_leave(&store->reader);
    return err;
}

marty_err kv_definitions(marty_saga_store *store, const char *name, const char *hash,
                         marty_saga_document found, void *user, int64_t until_ns, marty_error *why)
{
    document *all = NULL;
    size_t count = 0;
    marty_err err = read_documents(store, &all, &count, until_ns, why);
    if (count) {
        qsort(all, count, sizeof *all, by_name);
    }
    for (size_t i = 0; i < count && !err; i++) {
        bool fits =
            (!name || strcmp(all[i].name, name) == 0) && (!hash || strcmp(all[i].hash, hash) == 0);
        if (fits && !found(user, all[i].name, all[i].version, all[i].hash, all[i].text)) {
            break;
        }
    }
    for (size_t i = 0; i < count; i++) {
        marty_free(all[i].value);
    }
    marty_free(all);
    return err;
}
