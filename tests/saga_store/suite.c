/* SPDX-License-Identifier: Apache-2.0
 * What the tests of stores share; see suite.h. */
#include "suite.h"

#include "base/clock.h"

suite_store suite_open(const char *text)
{
    marty_error why = {0};
    suite_store store = {0};
    if (marty_url_parse(&store.url, text, &why) == MARTY_OK) {
        store.table = marty__saga_store_find(store.url->scheme, &why);
        marty_err err = store.table ? store.table->open(&store.handle, store.url, marty__env_real(),
                                                        suite_until(), &why)
                                    : MARTY_E_CONFIG;
        if (err) {
            store.handle = NULL;
        }
    }
    if (!store.handle) {
        fprintf(stderr, "%s: %s\n", text, why.text);
        exit(1);
    }
    return store;
}

const char *suite_refusal(const char *text, marty_err *ret_err)
{
    static marty_error why;
    marty_url *url = NULL;
    marty_saga_store *handle = NULL;
    why = (marty_error){.code = MARTY_OK};
    REQUIRE(marty_url_parse(&url, text, &why) == MARTY_OK);
    const marty_saga_store_table *table = marty__saga_store_find(url->scheme, &why);
    REQUIRE(table);
    *ret_err = table->open(&handle, url, marty__env_real(), suite_until(), &why);
    if (handle) {
        table->close(handle);
    }
    marty_url_free(url);
    return *ret_err ? why.text : "";
}

void suite_close(suite_store *store)
{
    store->table->close(store->handle);
    marty_url_free(store->url);
    *store = (suite_store){0};
}

int64_t suite_until(void)
{
    return marty__deadline_ns(marty__monotonic_ns(), (uint32_t)check__patience(10000));
}

marty_saga_write *suite_write(const char *id, uint64_t version, const char *key)
{
    enum { PLACES = 64 };
    static struct {
        marty_saga_write write;
        char id[40], key[64], state[64], history[64];
    } places[PLACES];
    static unsigned next;
    unsigned at = next++ % PLACES;
    marty_saga_write *write = &places[at].write;
    (void)snprintf(places[at].id, sizeof places[at].id, "%s", id);
    (void)snprintf(places[at].key, sizeof places[at].key, "%s", key);
    int state = snprintf(places[at].state, sizeof places[at].state, "state of %s at %u", id,
                         (unsigned)version);
    int batch = snprintf(places[at].history, sizeof places[at].history, "batch %u of %s",
                         (unsigned)version, id);
    *write = (marty_saga_write){
        .facts = {.id = places[at].id,
                  .name = "order",
                  .key = places[at].key,
                  .definition = "hash",
                  .stuck = "",
                  .status = MARTY_SAGA_RUNNING,
                  .shard = marty__saga_shard(id),
                  .version = version,
                  .started_us = 1000,
                  .changed_us = 1000 + (int64_t)version,
                  .due_us = INT64_MAX},
        .state = {places[at].state, (size_t)state},
        .history = {places[at].history, (size_t)batch},
    };
    return write;
}

marty_err suite_commit(suite_store *store, marty_saga_write *write)
{
    marty_error why;
    marty_err err = store->table->commit(store->handle, &write, 1, suite_until(), &why);
    return err ? err : write->result;
}
