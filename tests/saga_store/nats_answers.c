/* SPDX-License-Identifier: Apache-2.0
 * The store on JetStream when answers are lost and writes are late: through a proxy that loses what
 * the server says, or holds back what the client says and lets it pass when its sender has long
 * gone on. Each case says what may be written, what must not, and proves that the fault was real.
 */
#include "suite.h"

#include "support/proxy.h"
#include "support/server.h"

#include "base/clock.h"
#include "base/thread.h"

enum { SOON_MS = 5000 };

typedef struct world {
    test_server server;
    test_proxy *proxy;
    char near_url[200], direct_url[200];
    suite_store near, direct; /* near: through the proxy first */
} world;

static marty_err commit_within(suite_store *store, marty_saga_write *write, int64_t ms)
{
    marty_error why = {0};
    marty_err err = store->table->commit(
        store->handle, &write, 1, marty__deadline_ns(marty__monotonic_ns(), (uint32_t)ms), &why);
    return err ? err : write->result;
}

static uint64_t version_of(suite_store *store, const char *id)
{
    marty_saga_record *record = NULL;
    uint64_t version = 0;
    if (store->table->load(store->handle, id, &record, suite_until(), NULL) == MARTY_OK) {
        version = record->facts.version;
    }
    marty_free(record);
    return version;
}

static bool count_batch(void *user, uint64_t version, int64_t at_us, marty_bytes batch)
{
    (void)version;
    (void)at_us;
    (void)batch;
    ++*(unsigned *)user;
    return true;
}

static unsigned batches_of(suite_store *store, const char *id)
{
    unsigned count = 0;
    (void)store->table->history(store->handle, id, 0, count_batch, &count, suite_until(), NULL);
    return count;
}

/* From now on the store at the proxy has a fresh connection. */
static void open_near(world *w)
{
    if (w->near.handle) {
        suite_close(&w->near);
    }
    test_proxy_set(w->proxy, TEST_PROXY_PASS);
    w->near = suite_open(w->near_url);
}

static void heal(world *w)
{
    test_proxy_cut(w->proxy); /* what was lost has torn the stream of bytes */
    test_proxy_set(w->proxy, TEST_PROXY_PASS);
}

/* Let what was held back arrive, and wait until it has. */
static void let_pass(world *w)
{
    uint64_t before = test_proxy_said(w->proxy);
    test_proxy_set(w->proxy, TEST_PROXY_PASS);
    CHECK_SOON(test_proxy_said(w->proxy) > before, SOON_MS);
}

/* ---- an answer is lost, and there is no time left to ask */
static void stays_in_doubt_without_an_answer(world *w)
{
    open_near(w);
    CHECK_INT(suite_commit(&w->near, suite_write("deaf", 1, "")), MARTY_OK);
    test_proxy_set(w->proxy, TEST_PROXY_DEAF);
    CHECK_INT(commit_within(&w->near, suite_write("deaf", 2, ""), 400), MARTY_E_MAYBE_STORED);
    CHECK_SOON(version_of(&w->direct, "deaf") == 2, SOON_MS); /* it was written */
    heal(w);
    CHECK_INT(w->near.table->settle(w->near.handle, suite_until(), NULL), MARTY_OK);
    CHECK_INT(version_of(&w->near, "deaf"), 2);
    CHECK_INT(suite_commit(&w->near, suite_write("deaf", 2, "")), MARTY_E_STATE);
    CHECK_INT(suite_commit(&w->near, suite_write("deaf", 3, "")), MARTY_OK);
    CHECK_INT(batches_of(&w->direct, "deaf"), 3);
}

/* ---- an answer is lost, and there is time: the store finds its own write */
typedef struct healing {
    world *w;
    const char *id;
    uint64_t version;
} healing;

static void *heal_when_written(void *user)
{
    healing *of = user;
    CHECK_SOON(version_of(&of->w->direct, of->id) == of->version, SOON_MS);
    heal(of->w);
    return NULL;
}

static void finds_its_own_write(world *w)
{
    for (uint64_t version = 1; version <= 2; version++) {
        pthread_t thread;
        healing of = {w, "found", version};
        open_near(w);
        if (version == 2) {
            CHECK_INT(version_of(&w->near, "found"), 1); /* its connection stands */
        }
        test_proxy_set(w->proxy, TEST_PROXY_DEAF);
        REQUIRE(pthread_create(&thread, NULL, heal_when_written, &of) == 0);
        CHECK_INT(suite_commit(&w->near, suite_write("found", version, "")), MARTY_OK);
        (void)pthread_join(thread, NULL);
        CHECK_INT(batches_of(&w->direct, "found"), version);
    }
    CHECK_INT(suite_commit(&w->near, suite_write("found", 3, "")), MARTY_OK);
}

/* ---- a write that is late */
static void hold_one(world *w, const char *id)
{
    open_near(w);
    CHECK_INT(suite_commit(&w->near, suite_write(id, 1, "")), MARTY_OK);
    test_proxy_set(w->proxy, TEST_PROXY_HOLD);
    CHECK_INT(commit_within(&w->near, suite_write(id, 2, ""), 400), MARTY_E_MAYBE_STORED);
    CHECK_INT(version_of(&w->direct, id), 1);
}

static void lets_a_late_write_through_unless_settled(world *w)
{
    hold_one(w, "late");
    let_pass(w);
    CHECK_SOON(version_of(&w->direct, "late") == 2, SOON_MS); /* so it was held, and not lost */
    hold_one(w, "settled");
    CHECK_INT(w->near.table->settle(w->near.handle, suite_until(), NULL), MARTY_OK);
    CHECK_INT(version_of(&w->near, "settled"), 1);
    let_pass(w);
    CHECK_INT(version_of(&w->direct, "settled"), 1);
    marty_saga_write *other = suite_write("settled", 2, "");
    other->history = (marty_bytes){"other", 5};
    CHECK_INT(suite_commit(&w->direct, other), MARTY_OK);
    CHECK_INT(batches_of(&w->direct, "settled"), 2);
}

static void shuts_out_a_late_start(world *w)
{
    open_near(w);
    test_proxy_set(w->proxy, TEST_PROXY_HOLD);
    CHECK_INT(commit_within(&w->near, suite_write("unborn", 1, ""), 400), MARTY_E_MAYBE_STORED);
    CHECK_INT(w->near.table->settle(w->near.handle, suite_until(), NULL), MARTY_OK);
    let_pass(w);
    CHECK_INT(version_of(&w->direct, "unborn"), 0);
    CHECK_INT(suite_commit(&w->direct, suite_write("unborn", 1, "")), MARTY_OK); /* decided anew */
    CHECK_INT(batches_of(&w->direct, "unborn"), 1);
}

/* ---- two starts under one key, one of them slow */
static void check_key(world *w, const char *key, const char *id)
{
    char found[40] = "";
    CHECK_INT(w->direct.table->find(w->direct.handle, "order", key, found, suite_until(), NULL),
              MARTY_OK);
    CHECK_TEXT(found, id);
}

static void gives_a_key_to_one_when_its_claim_is_late(world *w)
{
    open_near(w);
    test_proxy_set(w->proxy, TEST_PROXY_HOLD);
    CHECK_INT(commit_within(&w->near, suite_write("slow-1", 1, "key-1"), 400), MARTY_E_TIMEOUT);
    CHECK_INT(suite_commit(&w->direct, suite_write("quick-1", 1, "key-1")), MARTY_OK);
    let_pass(w);
    check_key(w, "key-1", "quick-1");
    marty_saga_write *again = suite_write("slow-1", 1, "key-1");
    CHECK_INT(suite_commit(&w->near, again), MARTY_E_EXISTS);
    CHECK_TEXT(again->existing, "quick-1");
}

/* Called when the key is written and the saga is not yet. */
static marty_err hold_now(marty_saga_write *write, void *transaction)
{
    (void)transaction;
    test_proxy_set(((world *)write->user)->proxy, TEST_PROXY_HOLD);
    return MARTY_OK;
}

static void gives_a_key_to_one_when_its_saga_is_late(world *w)
{
    open_near(w);
    marty_saga_write *slow = suite_write("slow-2", 1, "key-2");
    slow->fill = hold_now;
    slow->user = w;
    CHECK_INT(commit_within(&w->near, slow, 2000), MARTY_E_MAYBE_STORED);
    char found[40];
    CHECK_INT(w->direct.table->find(w->direct.handle, "order", "key-2", found, suite_until(), NULL),
              MARTY_E_NOT_FOUND); /* the key is there, and tells nobody */
    CHECK_INT(suite_commit(&w->direct, suite_write("quick-2", 1, "key-2")), MARTY_OK);
    let_pass(w);
    CHECK_INT(version_of(&w->direct, "slow-2"), 0);
    check_key(w, "key-2", "quick-2");
    CHECK_INT(w->near.table->settle(w->near.handle, suite_until(), NULL), MARTY_OK);
    marty_saga_write *again = suite_write("slow-2", 1, "key-2");
    CHECK_INT(suite_commit(&w->near, again), MARTY_E_EXISTS);
    CHECK_TEXT(again->existing, "quick-2");
}

/* A saga that was purged gives its key back, and may even come back under its own name. */
static void gives_a_key_back_when_purged(world *w)
{
    marty_saga_write *over = suite_write("over", 1, "key-3");
    over->facts.status = MARTY_SAGA_COMPLETED;
    over->facts.changed_us = 5;
    CHECK_INT(suite_commit(&w->direct, over), MARTY_OK);
    uint32_t count = 0;
    CHECK_INT(w->direct.table->purge(w->direct.handle, 6, 10, &count, suite_until(), NULL),
              MARTY_OK);
    CHECK_INT(count, 1);
    CHECK_INT(suite_commit(&w->direct, suite_write("over", 1, "key-3")), MARTY_OK);
    check_key(w, "key-3", "over");
    CHECK_INT(batches_of(&w->direct, "over"), 1);
}

static void moves_old_history_out(world *w)
{
    static char long_batch[3000];
    memset(long_batch, 'x', sizeof long_batch);
    for (uint64_t version = 1; version <= 40; version++) {
        marty_saga_write *write = suite_write("long", version, "");
        write->history = (marty_bytes){long_batch, sizeof long_batch};
        CHECK_INT(suite_commit(version % 2 ? &w->direct : &w->near, write), MARTY_OK);
    }
    CHECK_INT(batches_of(&w->direct, "long"), 40);
    marty_saga_write *large = suite_write("long", 41, "");
    static char larger[1 << 20];
    large->state = (marty_bytes){larger, sizeof larger};
    CHECK_INT(suite_commit(&w->direct, large), MARTY_E_TOO_LARGE);
    large = suite_write("long", 41, "");
    large->state = (marty_bytes){larger, sizeof larger - 8192};
    CHECK_INT(suite_commit(&w->direct, large), MARTY_OK);
    CHECK_INT(batches_of(&w->near, "long"), 41);
}

int main(int count, char **values)
{
    world w = {.near_url = ""};
    char why[300];
    test_server_options options = {
        .kind = count > 1 && strcmp(values[1], "old") == 0 ? TEST_NATS_OLD : TEST_NATS_NEW};
    if (!test_server_find(options.kind, w.server.binary, sizeof w.server.binary, why, sizeof why)) {
        fprintf(stderr, "skipped: %s\n", why);
        return 77;
    }
    REQUIRE(test_server_start(&w.server, &options, why, sizeof why));
    w.proxy = test_proxy_start(w.server.port);
    REQUIRE(w.proxy);
    (void)snprintf(w.direct_url, sizeof w.direct_url, "nats://127.0.0.1:%d/faults?replicas=1",
                   w.server.port);
    (void)snprintf(w.near_url, sizeof w.near_url,
                   "nats://127.0.0.1:%d,127.0.0.1:%d/faults?replicas=1", test_proxy_port(w.proxy),
                   w.server.port);
    w.direct = suite_open(w.direct_url);
    stays_in_doubt_without_an_answer(&w);
    finds_its_own_write(&w);
    lets_a_late_write_through_unless_settled(&w);
    shuts_out_a_late_start(&w);
    gives_a_key_to_one_when_its_claim_is_late(&w);
    gives_a_key_to_one_when_its_saga_is_late(&w);
    gives_a_key_back_when_purged(&w);
    moves_old_history_out(&w);
    suite_close(&w.near);
    suite_close(&w.direct);
    test_proxy_stop(w.proxy);
    test_server_free(&w.server);
    return check_result();
}
