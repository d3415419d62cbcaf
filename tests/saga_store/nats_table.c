/* SPDX-License-Identifier: Apache-2.0
 * A store on JetStream whose table of leases somebody damages or erases while it is in use: it is
 * made anew by the next who leases, nobody who held a shard before can commit under it any more,
 * and epochs never go back. Sagas can be read meanwhile. */
#include "suite.h"

#include "support/nats_wire.h"
#include "support/server.h"

#include <stdio.h>

enum { LIMIT_MS = 10000 };

static nats_wire wire;
static nats_wire_message heard;

static void put(const char *text)
{
    REQUIRE(nats_wire_publish(&wire, "$KV.table.shards", "_INBOX.table", NULL, text, strlen(text)));
    REQUIRE(nats_wire_next(&wire, &heard, LIMIT_MS));
    CHECK_HAS(heard.body, "\"seq\"");
}

static marty_err lease(suite_store *store, marty_saga_lease *of, marty_error *why)
{
    return store->table->lease(store->handle, of, suite_until(), why);
}

/* A new saga of that shard is written under that epoch. */
static marty_err write_under(suite_store *store, marty_saga_shard shard)
{
    static unsigned number;
    char id[40];
    do {
        (void)snprintf(id, sizeof id, "s-%u", number++);
    } while (marty__saga_shard(id) != shard.shard);
    marty_saga_write *write = suite_write(id, 1, "");
    write->epoch = shard.epoch;
    return suite_commit(store, write);
}

static void damaged(const char *url, const char *id, const char *with)
{
    marty_error why = {.code = MARTY_OK};
    suite_store a = suite_open(url), b = suite_open(url);
    marty_saga_lease of_a = {.owner = "a", .term_ms = 60000, .want = 8},
                     of_b = {.owner = "b", .term_ms = 60000, .want = 8};
    marty_saga_record *record = NULL;
    CHECK_INT(lease(&a, &of_a, &why), MARTY_OK);
    REQUIRE(of_a.count == 8);
    marty_saga_lease before = of_a;
    CHECK_INT(write_under(&a, before.held[0]), MARTY_OK);
    CHECK_INT(suite_commit(&a, suite_write(id, 1, "")), MARTY_OK);
    put(with);
    CHECK_INT(write_under(&a, before.held[0]), MARTY_E_LOST);
    CHECK_INT(b.table->load(b.handle, id, &record, suite_until(), &why), MARTY_OK);
    marty_free(record);
    CHECK_INT(lease(&b, &of_b, &why), MARTY_E_MALFORMED); /* so that its log says so */
    CHECK_HAS(why.text, "the key shards of table was damaged, and is made anew");
    CHECK_INT(lease(&b, &of_b, &why), MARTY_OK);
    CHECK_INT(of_b.count, 8);
    CHECK_INT(lease(&a, &of_a, &why), MARTY_OK); /* it hears that it has lost all */
    CHECK_INT(of_a.count, 8);
    CHECK_INT(of_a.members, 2);
    for (uint32_t i = 0; i < 8; i++) {
        CHECK(of_b.held[i].epoch > before.held[i].epoch);
        CHECK(of_a.held[i].epoch > before.held[i].epoch);
        CHECK_INT(write_under(&a, before.held[i]), MARTY_E_LOST);
    }
    CHECK_INT(write_under(&a, of_a.held[0]), MARTY_OK);
    CHECK_INT(write_under(&b, of_b.held[0]), MARTY_OK);
    CHECK_INT(a.table->release(a.handle, "a", of_a.held, of_a.count, suite_until(), &why),
              MARTY_OK);
    CHECK_INT(b.table->release(b.handle, "b", of_b.held, of_b.count, suite_until(), &why),
              MARTY_OK);
    suite_close(&b);
    suite_close(&a);
}

/* Erased without a marker: who comes next cannot know that there was one. */
static void erased(const char *url)
{
    static const char filter[] = "{\"filter\":\"$KV.table.shards\"}";
    marty_error why = {.code = MARTY_OK};
    suite_store a = suite_open(url), b = suite_open(url);
    marty_saga_lease of_a = {.owner = "a", .term_ms = 60000, .want = 8},
                     of_b = {.owner = "b", .term_ms = 60000, .want = 8};
    CHECK_INT(lease(&a, &of_a, &why), MARTY_OK);
    REQUIRE(of_a.count == 8);
    CHECK_INT(write_under(&a, of_a.held[0]), MARTY_OK);
    REQUIRE(nats_wire_publish(&wire, "$JS.API.STREAM.PURGE.KV_table", "_INBOX.table", NULL, filter,
                              strlen(filter)));
    REQUIRE(nats_wire_next(&wire, &heard, LIMIT_MS));
    CHECK_HAS(heard.body, "\"success\":true");
    CHECK_INT(lease(&b, &of_b, &why), MARTY_OK);
    REQUIRE(of_b.count == 8);
    for (uint32_t i = 0; i < 8; i++) {
        CHECK_INT(of_b.held[i].shard, of_a.held[i].shard);
        CHECK(of_b.held[i].epoch > of_a.held[i].epoch);
        CHECK_INT(write_under(&a, of_a.held[i]), MARTY_E_LOST);
    }
    CHECK_INT(write_under(&b, of_b.held[0]), MARTY_OK);
    CHECK_INT(b.table->release(b.handle, "b", of_b.held, of_b.count, suite_until(), &why),
              MARTY_OK);
    suite_close(&b);
    suite_close(&a);
}

int main(void)
{
    static test_server server;
    int port = 0;
    char url[300], hosts[200], why[300] = "";
    test_server_options options = {.kind = TEST_NATS_NEW};
    if (!test_server_find(options.kind, server.binary, sizeof server.binary, why, sizeof why)) {
        fprintf(stderr, "skipped: %s\n", why);
        return 77;
    }
    REQUIRE(test_server_start(&server, &options, why, sizeof why));
    test_server_url(&server, hosts, sizeof hosts);
    REQUIRE(sscanf(hosts, "nats://127.0.0.1:%d", &port) == 1);
    REQUIRE(nats_wire_connect(&wire, port, NULL, NULL) &&
            nats_wire_subscribe(&wire, "_INBOX.table"));
    (void)snprintf(url, sizeof url, "%s/table?replicas=1", hosts);
    erased(url);
    damaged(url, "first", "rubbish");
    damaged(url, "second", "");
    damaged(url, "third", "1\nM 1 ~a\nE 7 7\nO 0\n"); /* cut off */
    nats_wire_close(&wire);
    test_server_free(&server);
    return check_result();
}
