/* SPDX-License-Identifier: Apache-2.0
 * The store on JetStream while its servers are killed with SIGKILL, frozen and restarted: two
 * writers, each with a store of its own, write the same few sagas, and two owners take the same
 * shards from each other. In the end every write that was answered OK is in the history of its
 * saga, at its version, and none that was refused; versions have no gap; and no shard was ever two
 * owners' under one epoch.
 *     saga_store_storm single|cluster ROUNDS [SEED] */
#include "suite.h"

#include "support/server.h"
#include "support/wait.h"

#include "base/clock.h"
#include "base/thread.h"

#include <stdatomic.h>

enum { SAGAS = 8, WRITERS = 2, OWNERS = 2, ISSUES = 200000, EPOCHS = 20000, STEP = 150 };

typedef struct issue { /* what a writer has asked for, and what it was told */
    unsigned saga;
    uint64_t version;
    marty_err result;
    bool settled; /* it was in doubt first */
} issue;

typedef struct writer {
    unsigned number, count;
    issue issues[ISSUES];
} writer;

static char url[400];
static writer writers[WRITERS];
static atomic_uint done, doubts, leases;
static atomic_bool stop;
static atomic_uchar holders[MARTY_SAGA_SHARDS][EPOCHS]; /* owner + 1 */

static void name_saga(unsigned saga, char ret_id[40])
{
    (void)snprintf(ret_id, 40, "storm-%u", saga);
}

static int64_t call_until(void)
{
    return marty__deadline_ns(marty__monotonic_ns(), 3000); /* shorter than an election */
}

/* The version that is stored; false: it cannot be read in time. */
static bool read_version(suite_store *store, const char *id, uint64_t *ret, int64_t until_ns)
{
    marty_saga_record *record = NULL;
    marty_err err = store->table->load(store->handle, id, &record, until_ns, NULL);
    *ret = record ? record->facts.version : 0;
    marty_free(record);
    return err == MARTY_OK || err == MARTY_E_NOT_FOUND;
}

static void write_one(writer *self, suite_store *store, unsigned saga)
{
    char id[40], history[64];
    uint64_t version = 0;
    name_saga(saga, id);
    if (!read_version(store, id, &version, call_until())) {
        return;
    }
    int size = snprintf(history, sizeof history, "%u %u", self->number, self->count);
    marty_saga_write write = {.facts = {.id = id,
                                        .name = "storm",
                                        .key = id,
                                        .definition = "h",
                                        .stuck = "",
                                        .status = MARTY_SAGA_RUNNING,
                                        .shard = marty__saga_shard(id),
                                        .version = version + 1,
                                        .started_us = 1,
                                        .changed_us = (int64_t)version + 1,
                                        .due_us = INT64_MAX},
                              .state = {history, (size_t)size},
                              .history = {history, (size_t)size}};
    marty_saga_write *writes[] = {&write};
    marty_err err = store->table->commit(store->handle, writes, 1, call_until(), NULL);
    issue *one = &self->issues[self->count++];
    *one = (issue){saga, version + 1, err ? err : write.result, false};
    atomic_fetch_add(&done, one->result == MARTY_OK);
    if (one->result != MARTY_E_MAYBE_STORED) {
        return;
    }
    atomic_fetch_add(&doubts, 1);
    while (!atomic_load(&stop) &&
           store->table->settle(store->handle, call_until(), NULL) != MARTY_OK) {
    }
    bool known = false;
    while (!atomic_load(&stop) && !(known = read_version(store, id, &version, call_until()))) {
    }
    if (known && version < one->version) {
        one->settled = true;
        one->result = MARTY_E_STATE; /* settled: it was not written, and never will be */
    }
}

static void *write_on(void *user)
{
    writer *self = user;
    suite_store store = suite_open(url);
    uint64_t chance = self->number + 1;
    while (!atomic_load(&stop) && self->count < ISSUES) {
        chance = chance * UINT64_C(6364136223846793005) + 1442695040888963407;
        write_one(self, &store, (unsigned)(chance >> 33) % SAGAS);
    }
    suite_close(&store);
    return NULL;
}

static void *lease_on(void *user)
{
    const unsigned self = *(const unsigned *)user;
    char name[16];
    (void)snprintf(name, sizeof name, "owner-%u", self);
    suite_store store = suite_open(url);
    marty_saga_lease lease = {.owner = name, .term_ms = 200};
    while (!atomic_load(&stop)) {
        lease.want = lease.want == 200 ? 100 : 200;
        if (store.table->lease(store.handle, &lease, call_until(), NULL) != MARTY_OK) {
            lease.count = 0; /* whatever we have now, we do not know it */
            continue;
        }
        atomic_fetch_add(&leases, 1);
        for (uint32_t i = 0; i < lease.count; i++) {
            unsigned char before = 0;
            atomic_uchar *holder = &holders[lease.held[i].shard][lease.held[i].epoch % EPOCHS];
            if (!atomic_compare_exchange_strong(holder, &before, (unsigned char)(self + 1))) {
                CHECK_INT(before, self + 1);
            }
        }
        uint32_t given = lease.count / 2;
        lease.count -= given;
        (void)store.table->release(store.handle, name, &lease.held[lease.count], given,
                                   call_until(), NULL);
    }
    suite_close(&store);
    return NULL;
}

/* ---- what is in the store in the end */
typedef struct reading {
    unsigned saga;
    uint64_t version;
    bool found[WRITERS][ISSUES];
} reading;

static bool read_batch(void *user, uint64_t version, int64_t at_us, marty_bytes batch)
{
    reading *to = user;
    char text[64] = "";
    (void)at_us;
    memcpy(text, batch.data, batch.size < sizeof text ? batch.size : sizeof text - 1);
    char *end = NULL;
    unsigned long number = strtoul(text, &end, 10), count = strtoul(end, NULL, 10);
    CHECK_INT(version, to->version + 1);
    to->version = version;
    REQUIRE(number < WRITERS && count < writers[number].count);
    const issue *one = &writers[number].issues[count];
    CHECK_INT(one->saga, to->saga);
    CHECK_INT(one->version, version);
    if (!CHECK(one->result == MARTY_OK || one->result == MARTY_E_MAYBE_STORED)) {
        fprintf(stderr, "    saga %u version %u, writer %lu write %lu: was told %s%s\n", to->saga,
                (unsigned)version, number, count, marty_err_describe(one->result)->name,
                one->settled ? ", once settled" : "");
    }
    to->found[number][count] = true;
    return true;
}

static void check_all(void)
{
    suite_store store = suite_open(url);
    reading *read = calloc(1, sizeof *read);
    REQUIRE(read);
    for (read->saga = 0; read->saga < SAGAS; read->saga++) {
        char id[40], found[40] = "";
        uint64_t version = 0;
        name_saga(read->saga, id);
        read->version = 0;
        CHECK_INT(store.table->history(store.handle, id, 0, read_batch, read, suite_until(), NULL),
                  MARTY_OK);
        CHECK(read_version(&store, id, &version, suite_until()));
        CHECK_INT(version, read->version);
        CHECK_INT(store.table->find(store.handle, "storm", id, found, suite_until(), NULL),
                  MARTY_OK);
        CHECK_TEXT(found, id);
    }
    for (unsigned i = 0; i < WRITERS; i++) {
        for (unsigned at = 0; at < writers[i].count; at++) {
            if (writers[i].issues[at].result == MARTY_OK) {
                CHECK(read->found[i][at]);
            }
        }
    }
    free(read);
    suite_close(&store);
}

/* ---- what is done to the servers */
static bool has_gone_on(void *user)
{
    return atomic_load(&done) >= *(const unsigned *)user;
}

static void wait_for_more(unsigned more)
{
    unsigned wanted = atomic_load(&done) + more;
    CHECK(test_wait_for(has_gone_on, &wanted, test_patience(60000)));
}

static void restart(test_server *server)
{
    char why[300] = "";
    if (!CHECK(test_server_restart(server, why, sizeof why))) {
        fprintf(stderr, "%s\n", why);
    }
}

static void hurt_single(test_server *server)
{
    test_server_kill(server);
    restart(server);
}

static void hurt_cluster(test_server servers[3], unsigned round)
{
    int leader = test_cluster_leader(servers, "KV_storm");
    leader = leader < 0 ? 0 : leader;
    test_server *server = &servers[leader];
    switch (round % 3) {
    case 0:
        test_server_kill(server);
        wait_for_more(STEP); /* the two others go on */
        restart(server);
        break;
    case 1:
        test_server_freeze(server);
        wait_for_more(STEP);
        test_server_thaw(server);
        break;
    default: /* no quorum is left: nothing is written until one is back */
        test_server_kill(server);
        test_server_kill(&servers[(leader + 1) % 3]);
        restart(&servers[(leader + 1) % 3]);
        restart(server);
    }
}

static void storm(test_server servers[3], bool cluster, unsigned rounds)
{
    pthread_t threads[WRITERS + OWNERS];
    unsigned owners[OWNERS];
    suite_store first = suite_open(url); /* makes the bucket */
    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i].number = i;
        REQUIRE(pthread_create(&threads[i], NULL, write_on, &writers[i]) == 0);
    }
    for (unsigned i = 0; i < OWNERS; i++) {
        owners[i] = i;
        REQUIRE(pthread_create(&threads[WRITERS + i], NULL, lease_on, &owners[i]) == 0);
    }
    for (unsigned round = 0; round < rounds && atomic_load(&check__failed) == 0; round++) {
        wait_for_more(STEP);
        if (cluster) {
            hurt_cluster(servers, round);
        } else {
            hurt_single(&servers[0]);
        }
    }
    wait_for_more(STEP);
    atomic_store(&stop, true);
    for (unsigned i = 0; i < WRITERS + OWNERS; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    suite_close(&first);
    check_all();
    printf("%u writes, %u leases, %u in doubt, %u times hurt\n", atomic_load(&done),
           atomic_load(&leases), atomic_load(&doubts), rounds);
}

int main(int count, char **values)
{
    static test_server servers[3];
    char why[400] = "", hosts[300] = "";
    bool cluster = count > 1 && strcmp(values[1], "cluster") == 0;
    unsigned rounds = count > 2 ? (unsigned)strtoul(values[2], NULL, 10) : 3;
    test_server_options options = {.kind = TEST_NATS_NEW, .sync_always = true};
    if (!test_server_find(options.kind, servers[0].binary, sizeof servers[0].binary, why,
                          sizeof why)) {
        fprintf(stderr, "skipped: %s\n", why);
        return 77;
    }
    REQUIRE(cluster ? test_cluster_start(servers, &options, why, sizeof why)
                    : test_server_start(&servers[0], &options, why, sizeof why));
    if (cluster) {
        test_cluster_url(servers, hosts, sizeof hosts);
    } else {
        test_server_url(&servers[0], hosts, sizeof hosts);
    }
    (void)snprintf(url, sizeof url, "%s/storm?replicas=%d&sync=always", hosts, cluster ? 3 : 1);
    storm(servers, cluster, rounds);
    for (int i = 0; i < 3; i++) {
        test_server_free(&servers[i]);
    }
    return check_result();
}
