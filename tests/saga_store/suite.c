/* SPDX-License-Identifier: Apache-2.0
 * The suite of the stores of sagas: saga_store_suite URL [SEED CALLS]. "sqlite:" alone makes a file
 * of its own in a folder that is removed at the end. */
#include "suite.h"

#include "base/clock.h"

#include <unistd.h>

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

void suite_close(suite_store *store)
{
    store->table->close(store->handle);
    marty_url_free(store->url);
    *store = (suite_store){0};
}

int64_t suite_until(void)
{
    return marty__deadline_ns(marty__monotonic_ns(), 10000);
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

int main(int count, char **values)
{
    const char *text = count > 1 ? values[1] : "memory:";
    char folder[] = "/tmp/marty-saga-store-XXXXXX", url[200];
    bool own = strcmp(text, "sqlite:") == 0;
    if (own) {
        REQUIRE(mkdtemp(folder));
        (void)snprintf(url, sizeof url, "sqlite:%s/sagas.db", folder);
    } else {
        (void)snprintf(url, sizeof url, "%s%s", text, strcmp(text, "memory:") == 0 ? "suite" : "");
    }
    suite_store keep = suite_open(url); /* a shared store in memory lives as long as this */
    printf("%s\n", keep.table->describe(keep.handle));
    uint64_t seed = count > 2 ? strtoull(values[2], NULL, 10) : 1;
    int failed = suite_random(url, seed, count > 3 ? (unsigned)strtoul(values[3], NULL, 10) : 4000);
    failed |= suite_cases(url); /* after the other, which begins with the first epochs */
    failed |= suite_races(url);
    suite_close(&keep);
    if (own) {
        static const char *const ends[] = {"", "-wal", "-shm"};
        for (int i = 0; i < 3; i++) {
            char path[220];
            (void)snprintf(path, sizeof path, "%s/sagas.db%s", folder, ends[i]);
            (void)unlink(path);
        }
        (void)rmdir(folder);
    }
    return failed;
}
