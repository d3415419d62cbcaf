/* SPDX-License-Identifier: Apache-2.0
 * A store on JetStream whose bucket goes back while it is open: the server comes back without its
 * data (as from an older copy), and another store writes into it anew. Revisions that were read of
 * the old bucket now belong to other messages; each saga must be found all the same. The clock is
 * ours, so that the minute in which a leader may be a deposed one need not be waited for. And one
 * whose last messages were removed: what was numbered last is nowhere. */
#include "suite.h"

#include "support/nats_wire.h"
#include "support/server.h"

#include "base/clock.h"

#include <stdatomic.h>

enum { SOON_MS = 15000, BEFORE = 40 };

static _Atomic int64_t ahead_ns;

static int64_t monotonic_ns(void *user)
{
    (void)user;
    return marty__monotonic_ns() + atomic_load(&ahead_ns);
}

static suite_store open_here(const char *text)
{
    marty_error why = {.code = MARTY_OK};
    suite_store store = {.handle = NULL};
    marty_env env = *marty__env_real();
    env.monotonic_ns = monotonic_ns;
    REQUIRE(marty_url_parse(&store.url, text, &why) == MARTY_OK);
    store.table = marty__saga_store_find(store.url->scheme, &why);
    REQUIRE(store.table);
    if (!CHECK_INT(store.table->open(&store.handle, store.url, &env,
                                     marty__deadline_ns(monotonic_ns(NULL), SOON_MS), &why),
                   MARTY_OK)) {
        fprintf(stderr, "%s\n", why.text);
        exit(1);
    }
    return store;
}

static marty_err start(suite_store *store, const char *name, int number)
{
    char id[40];
    (void)snprintf(id, sizeof id, "%s-%d", name, number);
    marty_saga_write *write = suite_write(id, 1, "");
    write->facts.due_us = 1;
    marty_err err = store->table->commit(store->handle, &write, 1,
                                         marty__deadline_ns(monotonic_ns(NULL), SOON_MS), NULL);
    return err ? err : write->result;
}

typedef struct count {
    int old, new;
} count;

static bool on_due(void *user, const marty_saga_facts *facts)
{
    count *to = user;
    to->old += strncmp(facts->id, "old-", 4) == 0;
    to->new += strncmp(facts->id, "new-", 4) == 0;
    return true;
}

/* As an engine does: what is due, again and again, each look some seconds after the one before. One
 * that fails says nothing. */
static count look(suite_store *store)
{
    count found = {-1, -1};
    marty_saga_shards all;
    int64_t next_us = 0, until_ms = check_now_ms() + check__patience(SOON_MS);
    memset(&all, 0xff, sizeof all);
    atomic_fetch_add(&ahead_ns, INT64_C(6000000000));
    for (marty_err err = MARTY_E_TIMEOUT; err && check_now_ms() < until_ms;) {
        found = (count){0, 0};
        err = store->table->due(store->handle, &all, 10, 1000, on_due, &found, &next_us,
                                marty__deadline_ns(monotonic_ns(NULL), 500), NULL);
        found = err ? (count){-1, -1} : found;
    }
    return found;
}

/* As a person does: up to the very end, in one call. */
static count list(suite_store *store)
{
    count found = {0, 0};
    marty_saga_filter all = {0};
    CHECK_INT(store->table->list(store->handle, &all, on_due, &found,
                                 marty__deadline_ns(monotonic_ns(NULL), SOON_MS), NULL),
              MARTY_OK);
    return found;
}

/* As when marks that are an hour old are removed, and nobody has written since. */
static void remove_the_last(const test_server *server)
{
    static nats_wire wire;
    static nats_wire_message answer;
    REQUIRE(nats_wire_connect(&wire, server->port, NULL, NULL));
    REQUIRE(nats_wire_subscribe(&wire, "_INBOX.back"));
    REQUIRE(nats_wire_publish(&wire, "$KV.back.mark", "_INBOX.back", NULL, "", 0));
    REQUIRE(nats_wire_next(&wire, &answer, SOON_MS));
    CHECK_HAS(answer.body, "\"seq\"");
    static const char marks[] = "{\"filter\":\"$KV.back.mark\"}";
    REQUIRE(nats_wire_publish(&wire, "$JS.API.STREAM.PURGE.KV_back", "_INBOX.back", NULL, marks,
                              sizeof marks - 1));
    REQUIRE(nats_wire_next(&wire, &answer, SOON_MS));
    CHECK_HAS(answer.body, "\"purged\":1");
    nats_wire_close(&wire);
}

int main(void)
{
    static test_server server;
    char folder[512], text[300], hosts[200], why[300] = "";
    test_server_options options = {.kind = TEST_NATS_NEW, .store_folder = folder};
    if (!test_server_find(options.kind, server.binary, sizeof server.binary, why, sizeof why)) {
        fprintf(stderr, "skipped: %s\n", why);
        return 77;
    }
    REQUIRE(test_folder_make(folder, sizeof folder, "back"));
    REQUIRE(test_server_start(&server, &options, why, sizeof why));
    test_server_url(&server, hosts, sizeof hosts);
    (void)snprintf(text, sizeof text, "%s/back?replicas=1", hosts);
    suite_store watcher = open_here(text);
    for (int i = 0; i < BEFORE; i++) {
        CHECK_INT(start(&watcher, "old", i), MARTY_OK);
    }
    count found = look(&watcher);
    CHECK_INT(found.old, BEFORE);

    test_server_kill(&server);
    test_folder_remove(folder);
    CHECK(test_server_restart(&server, why, sizeof why));
    suite_store other = open_here(text); /* makes the bucket */
    CHECK_INT(start(&other, "new", 1), MARTY_OK);
    for (int i = 0; i < 30 && found.new != 1; i++) {
        found = look(&watcher);
    }
    CHECK_INT(found.new, 1);
    CHECK_INT(found.old, 0); /* they are not there any more */
    CHECK_INT(start(&watcher, "new", 2), MARTY_OK);
    CHECK_INT(look(&watcher).new, 2);
    suite_close(&other);
    remove_the_last(&server);
    other = open_here(text);
    CHECK_INT(list(&other).new, 2);
    CHECK_INT(list(&watcher).new, 2);
    suite_close(&other);
    suite_close(&watcher);
    test_server_free(&server);
    test_folder_remove(folder);
    return check_result();
}
