/* SPDX-License-Identifier: Apache-2.0
 * What a store on JetStream finds due, while the cluster's servers are killed and frozen: watchers
 * hold their stores open through all of it and ask for what is due all the time, as orchestrators
 * do; writers change many sagas meanwhile. After each blow the writers rest, and then every watcher
 * must find each saga as it is stored, however its stream of news was cut.
 *     saga_store_index ROUNDS [SEED] */
#include "suite.h"

#include "support/server.h"
#include "support/wait.h"

#include "base/clock.h"
#include "base/thread.h"

#include <stdatomic.h>
#include <time.h>

enum { SAGAS = 400, WRITERS = 2, WATCHERS = 3, AT_ONCE = 8, FIND_MS = 20000 };

typedef struct writer {
    pthread_t thread;
    suite_store store;
    unsigned number;
    uint64_t chance;
    marty_error why; /* of the last call that failed */
} writer;

typedef struct watcher {
    pthread_t thread;
    suite_store store;
    unsigned number;
    atomic_uint looks;
    _Atomic uint64_t seen[SAGAS]; /* the version that was found last */
} watcher;

static char url[400];
static writer writers[WRITERS];
static watcher watchers[WATCHERS];
static uint64_t stored[SAGAS]; /* as a writer was told, or has read */
static atomic_uint done;
static atomic_bool rest, stop;

static uint64_t draw(uint64_t *chance)
{
    *chance = *chance * UINT64_C(6364136223846793005) + 1442695040888963407;
    return *chance >> 33;
}

static int64_t call_until(void)
{
    return marty__deadline_ns(marty__monotonic_ns(), 3000);
}

static void name_saga(unsigned saga, char ret_id[40])
{
    (void)snprintf(ret_id, 40, "index-%u", saga);
}

/* Whatever is in doubt is settled and read. */
static void read_again(writer *self, unsigned saga)
{
    char id[40];
    marty_err err = MARTY_E_TIMEOUT;
    const suite_store *store = &self->store;
    name_saga(saga, id);
    while (err && err != MARTY_E_NOT_FOUND && !atomic_load(&stop)) {
        marty_saga_record *record = NULL;
        err = store->table->settle(store->handle, call_until(), &self->why);
        err = err ? err : store->table->load(store->handle, id, &record, call_until(), &self->why);
        stored[saga] = record ? record->facts.version : 0;
        marty_free(record);
    }
}

static void write_some(writer *self)
{
    marty_saga_write writes[AT_ONCE], *list[AT_ONCE];
    char ids[AT_ONCE][40];
    unsigned sagas[AT_ONCE];
    unsigned first = (unsigned)draw(&self->chance) % (SAGAS / WRITERS);
    for (unsigned i = 0; i < AT_ONCE; i++) {
        unsigned saga = (first + i) % (SAGAS / WRITERS) * WRITERS + self->number;
        sagas[i] = saga;
        name_saga(saga, ids[i]);
        writes[i] =
            (marty_saga_write){.facts = {.id = ids[i],
                                         .name = "index",
                                         .key = ids[i],
                                         .definition = "h",
                                         .stuck = "",
                                         .status = MARTY_SAGA_RUNNING,
                                         .shard = marty__saga_shard(ids[i]),
                                         .version = stored[saga] + 1,
                                         .started_us = 1,
                                         .changed_us = (int64_t)stored[saga] + 1,
                                         .due_us = 1 + (int64_t)(draw(&self->chance) % 1000)},
                               .state = {ids[i], strlen(ids[i])},
                               .history = {ids[i], strlen(ids[i])}};
        list[i] = &writes[i];
    }
    marty_err err =
        self->store.table->commit(self->store.handle, list, AT_ONCE, call_until(), &self->why);
    for (unsigned i = 0; i < AT_ONCE; i++) {
        if (err || writes[i].result) {
            read_again(self, sagas[i]);
        } else {
            stored[sagas[i]]++;
            atomic_fetch_add(&done, 1);
        }
    }
}

static void *write_on(void *user)
{
    writer *self = user;
    while (!atomic_load(&rest)) {
        write_some(self);
    }
    return NULL;
}

/* ---- watchers */
static bool on_due(void *user, const marty_saga_facts *facts)
{
    watcher *self = user;
    unsigned saga = (unsigned)strtoul(facts->id + strlen("index-"), NULL, 10);
    atomic_store(&self->seen[saga % SAGAS], facts->version);
    return true;
}

static void *watch(void *user)
{
    watcher *self = user;
    marty_saga_shards all;
    char owner[20];
    int64_t next_lease_ms = 0;
    (void)snprintf(owner, sizeof owner, "watcher-%u", self->number);
    memset(&all, 0xff, sizeof all);
    while (!atomic_load(&stop)) {
        int64_t next_us = 0;
        const struct timespec pause = {0, 20000000};
        if (self->store.table->due(self->store.handle, &all, INT64_MAX - 1, 2 * SAGAS, on_due, self,
                                   &next_us, call_until(), NULL) == MARTY_OK) {
            atomic_fetch_add(&self->looks, 1);
        }
        if (test_now_ms() > next_lease_ms) { /* as who leads does: it writes something itself */
            marty_saga_lease lease = {.owner = owner, .term_ms = 3000, .want = 1};
            (void)self->store.table->lease(self->store.handle, &lease, call_until(), NULL);
            next_lease_ms = test_now_ms() + 1000;
        }
        (void)nanosleep(&pause, NULL);
    }
    return NULL;
}

static bool have_all(void *user)
{
    (void)user;
    for (unsigned i = 0; i < WATCHERS; i++) {
        for (unsigned saga = 0; saga < SAGAS; saga++) {
            if (atomic_load(&watchers[i].seen[saga]) != stored[saga]) {
                return false;
            }
        }
    }
    return true;
}

static void check_watchers(unsigned round)
{
    bool found = test_wait_for(have_all, NULL, test_patience(FIND_MS));
    CHECK(found);
    for (unsigned i = 0; i < WATCHERS && !found; i++) {
        for (unsigned saga = 0; saga < SAGAS; saga++) {
            uint64_t seen = atomic_load(&watchers[i].seen[saga]);
            if (seen != stored[saga]) {
                fprintf(stderr,
                        "round %u: watcher %u (%u looks) finds saga %u at version %u, and "
                        "stored is %u\n",
                        round, i, atomic_load(&watchers[i].looks), saga, (unsigned)seen,
                        (unsigned)stored[saga]);
            }
        }
    }
}

/* ---- what is done to the servers */
static bool has_gone_on(void *user)
{
    return atomic_load(&done) >= *(const unsigned *)user;
}

static void wait_for_more(unsigned more)
{
    unsigned wanted = atomic_load(&done) + more;
    if (!CHECK(test_wait_for(has_gone_on, &wanted, test_patience(60000)))) {
        for (unsigned i = 0; i < WRITERS; i++) {
            fprintf(stderr, "    writer %u: %s\n", i, writers[i].why.text);
        }
    }
}

static void restart(test_server *server)
{
    char why[300] = "";
    if (!CHECK(test_server_restart(server, why, sizeof why))) {
        fprintf(stderr, "%s\n", why);
    }
}

static void hurt(test_server servers[3], uint64_t *chance)
{
    test_server *server = &servers[draw(chance) % 3];
    bool freezes = draw(chance) % 4 == 0;
    unsigned more = (unsigned)draw(chance) % 400;
    if (freezes) {
        test_server_freeze(server);
        wait_for_more(more);
        test_server_thaw(server);
        return;
    }
    test_server_kill(server);
    wait_for_more(more);
    restart(server);
}

static void play(test_server servers[3], unsigned rounds, uint64_t chance)
{
    for (unsigned i = 0; i < WATCHERS; i++) {
        watchers[i].number = i;
        watchers[i].store = suite_open(url);
        REQUIRE(pthread_create(&watchers[i].thread, NULL, watch, &watchers[i]) == 0);
    }
    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i] = (writer){.number = i, .store = suite_open(url), .chance = chance + i};
    }
    for (unsigned round = 0; round < rounds && atomic_load(&check__failed) == 0; round++) {
        atomic_store(&rest, false);
        for (unsigned i = 0; i < WRITERS; i++) {
            REQUIRE(pthread_create(&writers[i].thread, NULL, write_on, &writers[i]) == 0);
        }
        wait_for_more(200);
        for (unsigned blow = 0; blow < 3; blow++) {
            hurt(servers, &chance);
        }
        wait_for_more(50);
        atomic_store(&rest, true);
        for (unsigned i = 0; i < WRITERS; i++) {
            (void)pthread_join(writers[i].thread, NULL);
        }
        check_watchers(round);
    }
    atomic_store(&stop, true);
    for (unsigned i = 0; i < WATCHERS; i++) {
        (void)pthread_join(watchers[i].thread, NULL);
        suite_close(&watchers[i].store);
    }
    for (unsigned i = 0; i < WRITERS; i++) {
        suite_close(&writers[i].store);
    }
}

int main(int count, char **values)
{
    static test_server servers[3];
    char why[400] = "", hosts[300] = "";
    unsigned rounds = count > 1 ? (unsigned)strtoul(values[1], NULL, 10) : 3;
    uint64_t seed = count > 2 ? strtoull(values[2], NULL, 10) : 1;
    test_server_options options = {.kind = TEST_NATS_NEW, .sync_always = true};
    if (!test_server_find(options.kind, servers[0].binary, sizeof servers[0].binary, why,
                          sizeof why)) {
        fprintf(stderr, "skipped: %s\n", why);
        return 77;
    }
    REQUIRE(test_cluster_start(servers, &options, why, sizeof why));
    test_cluster_url(servers, hosts, sizeof hosts);
    (void)snprintf(url, sizeof url, "%s/index?sync=always", hosts);
    play(servers, rounds, seed);
    for (int i = 0; i < 3; i++) {
        test_server_free(&servers[i]);
    }
    printf("%u writes, %u rounds\n", atomic_load(&done), rounds);
    return check_result();
}
