/* SPDX-License-Identifier: Apache-2.0
 * Opening the store on JetStream: what is refused and with which words, what the line of
 * description says, TLS and passwords, and a store that goes on when its server has been away. */
#include "suite.h"

#include "support/certificates.h"
#include "support/server.h"

#include "base/clock.h"

#include <marty/marty.h>
#include <marty/saga.h>

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

static void refuses(const char *hosts)
{
    static const struct {
        const char *rest, *words;
        marty_err err;
    } rows[] = {
        {"/sagas", "cannot be made with 3 copies", MARTY_E_CONFIG},
        {"/sagas?replicas=9", "expected a number from 1 to 5", MARTY_E_CONFIG},
        {"/sagas?replicas=1&sync=never", "expected always or unknown", MARTY_E_CONFIG},
        {"/sagas?replicas=1&dedup=2m", "knows no key dedup", MARTY_E_CONFIG},
        {"/sagas?create=no", "no bucket sagas; an orchestrator makes", MARTY_E_NOT_FOUND},
        {"/sagas?create=maybe", "expected yes or no", MARTY_E_CONFIG},
        {"/sa.gas?replicas=1", "a bucket has a name of", MARTY_E_CONFIG},
        {"/sagas?replicas=1&tls_ca=x", "need tls=on", MARTY_E_CONFIG},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[300];
        marty_err err = MARTY_OK;
        (void)snprintf(text, sizeof text, "%s%s", hosts, rows[i].rest);
        CHECK_HAS(suite_refusal(text, &err), rows[i].words);
        CHECK_INT(err, rows[i].err);
    }
}

static void says_what_is_unsafe(const char *hosts)
{
    char text[300];
    (void)snprintf(text, sizeof text, "%s?replicas=1", hosts);
    suite_store store = suite_open(text);
    const char *line = store.table->describe(store.handle);
    CHECK_HAS(line, "bucket sagas, 1 copy: UNSAFE");
    CHECK_HAS(line, "UNSAFE unless the server runs with sync_interval: always");
    suite_close(&store);
    (void)snprintf(text, sizeof text, "%s/sagas?replicas=1&sync=always", hosts);
    store = suite_open(text);
    CHECK_HAS(store.table->describe(store.handle), "each write synced, as the URL says");
    suite_close(&store);
    marty_err err = MARTY_OK;
    (void)snprintf(text, sizeof text, "%s/sagas?replicas=3", hosts);
    CHECK_HAS(suite_refusal(text, &err), "has 1 copies, and 3 were asked for");
}

static void goes_on_after_a_restart(test_server *server, const char *hosts)
{
    char text[300], why[300] = "";
    (void)snprintf(text, sizeof text, "%s/again?replicas=1", hosts);
    suite_store store = suite_open(text);
    CHECK_INT(suite_commit(&store, suite_write("away", 1, "")), MARTY_OK);
    unsigned long long before = 0;
    marty_saga_record *record = NULL;
    CHECK_INT(store.table->load(store.handle, "away", &record, suite_until(), NULL), MARTY_OK);
    before = record ? record->facts.version : 0;
    marty_free(record);
    test_server_kill(server);
    marty_error told = {.code = MARTY_OK};
    CHECK_INT(store.table->load(store.handle, "away", &record,
                                marty__deadline_ns(marty__monotonic_ns(), 300), &told),
              MARTY_E_UNAVAILABLE);
    CHECK_HAS(told.text, "127.0.0.1");
    CHECK_HAS(told.text, "start one with: nats-server -js");
    CHECK(test_server_restart(server, why, sizeof why));
    CHECK_INT(suite_commit(&store, suite_write("away", before + 1, "")), MARTY_OK);
    suite_close(&store);
}

/* A port that takes connections and never says a word, as a frozen server's does. */
static int listen_silently(uint16_t *ret_port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    REQUIRE(fd >= 0 && bind(fd, (struct sockaddr *)&at, size) == 0 && listen(fd, 16) == 0 &&
            getsockname(fd, (struct sockaddr *)&at, &size) == 0);
    *ret_port = ntohs(at.sin_port);
    return fd;
}

/* Though each call has less time than a connection may take. */
static void passes_over_a_frozen_server(test_server *server, const char *hosts)
{
    char text[300];
    uint16_t port = 0;
    int fd = listen_silently(&port);
    (void)snprintf(text, sizeof text, "nats://127.0.0.1:%u,%s/frozen?replicas=1", (unsigned)port,
                   hosts + strlen("nats://"));
    suite_store store = suite_open(text);
    marty_saga_record *record = NULL;
    test_server_freeze(server); /* so that the store turns to the other one */
    CHECK(store.table->load(store.handle, "nobody", &record,
                            marty__deadline_ns(marty__monotonic_ns(), 2500), NULL));
    test_server_thaw(server);
    marty_err err = MARTY_E_TIMEOUT;
    int64_t until_ms = check_now_ms() + check__patience(15000);
    while (err != MARTY_E_NOT_FOUND && check_now_ms() < until_ms) {
        err = store.table->load(store.handle, "nobody", &record,
                                marty__deadline_ns(marty__monotonic_ns(), 1500), NULL);
    }
    CHECK_INT(err, MARTY_E_NOT_FOUND);
    suite_close(&store);
    (void)close(fd);
}

static void speaks_tls_with_a_password(void)
{
    test_server server;
    char text[600], why[300] = "", url[200];
    const test_server_options options = {
        .kind = TEST_NATS_NEW, .tls = true, .user = "sagas", .password = "s3cret"};
    REQUIRE(test_server_start(&server, &options, why, sizeof why));
    test_server_url(&server, url, sizeof url);
    (void)snprintf(text, sizeof text, "%s/tls?replicas=1&tls=on&tls_ca=%s/ca.pem", url,
                   test_certificates());
    suite_store store = suite_open(text);
    for (uint64_t version = 1; version <= 5; version++) {
        marty_saga_write *writes[] = {suite_write("tls-a", version, ""),
                                      suite_write("tls-b", version, "")};
        CHECK_INT(store.table->commit(store.handle, writes, 2, suite_until(), NULL), MARTY_OK);
        CHECK_INT(writes[0]->result, MARTY_OK);
        CHECK_INT(writes[1]->result, MARTY_OK);
    }
    suite_close(&store);
    marty_err err = MARTY_OK;
    (void)snprintf(text, sizeof text, "nats://sagas:wrong@localhost:%d/tls?tls=on&tls_ca=%s/ca.pem",
                   server.port, test_certificates());
    CHECK_HAS(suite_refusal(text, &err), "credentials refused");
    CHECK_INT(err, MARTY_E_DENIED);
    (void)snprintf(text, sizeof text, "nats://sagas:s3cret@localhost:%d/tls?tls=on", server.port);
    (void)suite_refusal(text, &err);
    CHECK_INT(err, MARTY_E_TLS); /* nobody said whom to trust */
    test_server_free(&server);
}

static void needs_jetstream(void)
{
    test_server server;
    char why[300] = "", url[200], text[300];
    marty_err err = MARTY_OK;
    REQUIRE(test_server_start(&server,
                              &(test_server_options){.kind = TEST_NATS_NEW, .no_jetstream = true},
                              why, sizeof why));
    test_server_url(&server, url, sizeof url);
    (void)snprintf(text, sizeof text, "%s/sagas?replicas=1", url);
    CHECK_HAS(suite_refusal(text, &err), "JetStream");
    CHECK(err == MARTY_E_CONFIG || err == MARTY_E_TIMEOUT);
    test_server_free(&server);
}

/* What does not fit into a message is refused before anything is written, and named. */
static void names_what_a_saga_may_be(void)
{
    static const marty_step steps[] = {
        {.name = "act", .service = "acts", .command = "act", .compensate = "undo"}};
    static const marty_saga small = {
        .name = "small", .version = 1, .steps = steps, .step_count = 1};
    static char data[100000];
    test_server server;
    char text[300], url[200], id[40] = "";
    marty_error why = {.code = MARTY_OK};
    marty_bus *bus = NULL;
    marty_saga_engine *engine = NULL;
    REQUIRE(test_server_start(
        &server, &(test_server_options){.kind = TEST_NATS_NEW, .extra = "max_payload: 65536"},
        why.text, sizeof why.text));
    test_server_url(&server, url, sizeof url);
    (void)snprintf(text, sizeof text, "%s/small?replicas=1", url);
    memset(data, ' ', sizeof data);
    memcpy(data, "{}", 2);
    REQUIRE(marty_bus_open(&bus, "memory:small", &(marty_bus_options){.service = "s"}, &why) ==
            MARTY_OK);
    REQUIRE(marty_saga_open(&engine, bus, text, NULL, &why) == MARTY_OK);
    CHECK_INT(marty_saga_register(engine, &small, NULL, &why), MARTY_OK);
    CHECK_INT(marty_saga_start(engine, "small", "fits", (marty_bytes){data, 15000}, NULL, id, &why),
              MARTY_OK);
    CHECK_INT(
        marty_saga_start(engine, "small", "k", (marty_bytes){data, sizeof data}, NULL, id, &why),
        MARTY_E_TOO_LARGE);
    CHECK_HAS(why.text, "is over what its store takes");
    CHECK_HAS(why.text, "a saga is one message of at most 65536 bytes");
    CHECK_INT(marty_saga_close(engine, 0, NULL), MARTY_OK);
    marty_bus_free(bus);
    test_server_free(&server);
}

int main(void)
{
    test_server server;
    char why[300], hosts[200];
    const test_server_options options = {.kind = TEST_NATS_NEW};
    if (!test_server_find(options.kind, server.binary, sizeof server.binary, why, sizeof why)) {
        fprintf(stderr, "skipped: %s\n", why);
        return 77;
    }
    REQUIRE(test_server_start(&server, &options, why, sizeof why));
    test_server_url(&server, hosts, sizeof hosts);
    refuses(hosts);
    says_what_is_unsafe(hosts);
    goes_on_after_a_restart(&server, hosts);
    passes_over_a_frozen_server(&server, hosts);
    test_server_free(&server);
    speaks_tls_with_a_password();
    needs_jetstream();
    names_what_a_saga_may_be();
    return check_result();
}
