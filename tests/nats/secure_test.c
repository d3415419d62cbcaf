/* SPDX-License-Identifier: Apache-2.0
 * Who may connect: TLS with its refusals, users, tokens, nkeys; and what a wrong address says. */
#include "harness.h"

#include "base/clock.h"

static const char *which;

static marty_err try_by(marty_err (*connect)(harness *h), const char *url, char *text, size_t size)
{
    harness *h = harness_open(url, text, size);
    if (!h) {
        return MARTY_E_CONFIG;
    }
    marty_err err = connect(h);
    (void)snprintf(text, size, "%s", h->text);
    harness_close(h);
    return err;
}

/* Connects to the server with these keys in place of the URL's own; the reason and its text. */
static marty_err try_connect(const char *url, char *text, size_t size)
{
    return try_by(harness_reach, url, text, size);
}

static void exchange(const char *url)
{
    char text[512];
    harness *h = harness_open(url, text, sizeof text);
    REQUIRE(h != NULL);
    if (!CHECK_INT(harness_reach(h), MARTY_OK)) {
        fprintf(stderr, "%s: %s\n", url, h->text);
        harness_close(h);
        return;
    }
    marty_want want = harness_want(MARTY_KIND_TOPIC, "events.safe", "g", 300);
    CHECK_INT(harness_subscribe(h, 1, &want), MARTY_OK);
    marty_outgoing out = {.channel = {.kind = MARTY_KIND_TOPIC, .name = "events.safe"}};
    char *data = calloc(1, 20001);
    REQUIRE(data != NULL);
    memset(data, 'x', 20000);
    const marty_header headers[] = {{"x-blank", {"  two  ", 7}, MARTY_HEADER},
                                    {"x-same", marty_text("1"), MARTY_HEADER},
                                    {"x-same", marty_text("2"), MARTY_HEADER}};
    for (int i = 0; i < 200; i++) {
        marty_message message = {.type = "safe.x",
                                 .data = {data, (size_t)(i * 100)},
                                 .headers = headers,
                                 .header_count = 3};
        (void)harness_send(h, &out, &message);
    }
    CHECK(harness_wait_delivered(h, 200, 10000));
    for (unsigned i = 0; i < harness_delivered(h); i++) {
        const marty_message *message = h->deliveries[i].incoming.message;
        if (!CHECK(message != NULL) || !CHECK_INT(message->data.size, i * 100)) {
            break;
        }
        marty_bytes blank = marty_message_header(message, "x-blank");
        if (message->data.size > 0) { /* the library trims where there is no body */
            CHECK_BYTES(blank.data, blank.size, "  two  ", 7);
        }
        CHECK_INT(message->header_count, 3);
    }
    harness_settle_all(h, 0, MARTY_SETTLE_ACK);
    for (uint64_t token = 1; token <= 200; token++) {
        if (!CHECK_INT(harness_wait_answer(h, token, 5000), MARTY_OK)) {
            fprintf(stderr, "%s; %s\n", h->text, h->last_error);
            break;
        }
    }
    CHECK_INT(harness_unsubscribe(h, 1), MARTY_E_CLOSED);
    free(data);
    harness_close(h);
}

static void test_wrong_addresses(void)
{
    char url[256], text[512];
    (void)snprintf(url, sizeof url, "nats://127.0.0.1:%d", test_free_port());
    CHECK_INT(try_by(harness_connect, url, text, sizeof text), MARTY_E_UNAVAILABLE);
    CHECK_HAS(text, "connection refused; start one with: nats-server -js");
    CHECK_INT(try_by(harness_connect, "nats://no.such.host.invalid:4222", text, sizeof text),
              MARTY_E_UNAVAILABLE);
    CHECK_HAS(text, "nats://no.such.host.invalid:4222");
    CHECK_INT(try_connect("nats://127.0.0.1:4222/path", text, sizeof text), MARTY_E_CONFIG);
    CHECK_INT(try_connect("nats://127.0.0.1?replica=3", text, sizeof text), MARTY_E_CONFIG);
    CHECK_HAS(text, "replicas");
    CHECK_INT(try_connect("nats://127.0.0.1?tls_ca=x", text, sizeof text), MARTY_E_CONFIG);
    CHECK_HAS(text, "tls=on");
    CHECK_INT(try_connect("nats://u:p@127.0.0.1?token=t", text, sizeof text), MARTY_E_CONFIG);
}

static void test_one_of_a_list_is_enough(void)
{
    char url[512], own[256], text[512];
    test_server *server = harness_server(which, NULL);
    test_server_url(server, own, sizeof own);
    exchange(own);
    (void)snprintf(url, sizeof url, "nats://127.0.0.1:%d,%s", test_free_port(), own + 7);
    CHECK_INT(try_connect(url, text, sizeof text), MARTY_OK);
    test_server_free(server);
    free(server);
}

static void test_tls(void)
{
    char base[256], url[1024], text[512];
    const char *ca = test_certificates();
    test_server_options options = {.tls = true};
    test_server *server = harness_server(which, &options);
    test_server_url(server, base, sizeof base);
    (void)snprintf(url, sizeof url, "%s?tls=on&tls_ca=%s/ca.pem", base, ca);
    exchange(url);
    (void)snprintf(url, sizeof url, "%s?tls=on&tls_ca=%s/otherca.pem", base, ca);
    CHECK_INT(try_connect(url, text, sizeof text), MARTY_E_TLS);
    CHECK_HAS(text, "certificate is refused");
    (void)snprintf(url, sizeof url, "%s?tls=on&tls_ca=%s/ca.pem&tls_host=elsewhere.example", base,
                   ca);
    CHECK_INT(try_connect(url, text, sizeof text), MARTY_E_TLS);
    CHECK_HAS(text, "elsewhere.example");
    CHECK_INT(try_connect(base, text, sizeof text), MARTY_E_TLS);
    CHECK_HAS(text, "demands TLS; add tls=on");
    (void)snprintf(url, sizeof url, "%s?tls=on&tls_ca=/nowhere/ca.pem", base);
    CHECK_INT(try_connect(url, text, sizeof text), MARTY_E_TLS);
    CHECK_HAS(text, "tls_ca");
    test_server_free(server);
    free(server);
}

/* Over TLS the library reads what the server says, and tells it on a thread of its own. */
static void test_each_publish_that_is_not_permitted_says_so(void)
{
    char url[1024], text[512] = "";
    test_server_options options = {
        .tls = true,
        .extra = "authorization { users: [ {user: tied, password: t, permissions: { publish: "
                 "[\"_INBOX.>\", \"$JS.API.INFO\", \"$JS.API.STREAM.INFO.>\"] }} ] }\n"};
    test_server *server = harness_server(which, &options);
    (void)snprintf(url, sizeof url,
                   "nats://tied:t@127.0.0.1:%d?tls=on&tls_ca=%s/ca.pem&topology=none", server->port,
                   test_certificates());
    harness *h = harness_open(url, text, sizeof text);
    REQUIRE(h != NULL && harness_reach(h) == MARTY_OK);
    marty_outgoing out = {.channel = {.kind = MARTY_KIND_TOPIC, .name = "events.x"},
                          .deadline_ns = marty__monotonic_ns() + 60000000000};
    uint64_t tokens[40];
    for (size_t i = 0; i < 40; i++) {
        const marty_message message = {.type = i % 4 ? "x.y" : "x.z", .data = marty_text("1")};
        tokens[i] = harness_send(h, &out, &message);
    }
    for (size_t i = 0; i < 40; i++) {
        CHECK_INT(harness_wait_answer(h, tokens[i], 60000), MARTY_E_DENIED);
    }
    CHECK_HAS(h->last_error, "publish to events.x");
    harness_close(h);
    test_server_free(server);
    free(server);
}

static void test_a_bad_certificate(const char *certificate)
{
    char base[256], url[1024], text[512];
    test_server_options options = {.tls = true, .certificate = certificate};
    test_server *server = harness_server(which, &options);
    test_server_url(server, base, sizeof base);
    (void)snprintf(url, sizeof url, "%s?tls=on&tls_ca=%s/ca.pem", base, test_certificates());
    CHECK_INT(try_connect(url, text, sizeof text), MARTY_E_TLS);
    CHECK_HAS(text, "certificate is refused");
    test_server_free(server);
    free(server);
}

static void test_client_certificates(void)
{
    char base[256], url[1024], text[512];
    const char *ca = test_certificates();
    test_server_options options = {.tls = true, .verify_client = true};
    test_server *server = harness_server(which, &options);
    test_server_url(server, base, sizeof base);
    (void)snprintf(url, sizeof url,
                   "%s?tls=on&tls_ca=%s/ca.pem&tls_cert=%s/client.pem&tls_key=%s/client.key", base,
                   ca, ca, ca);
    exchange(url);
    (void)snprintf(url, sizeof url, "%s?tls=on&tls_ca=%s/ca.pem", base, ca);
    CHECK_INT(try_connect(url, text, sizeof text), MARTY_E_TLS);
    CHECK_HAS(text, "client certificate");
    (void)snprintf(url, sizeof url,
                   "%s?tls=on&tls_ca=%s/ca.pem&tls_cert=%s/rogue.pem&tls_key=%s/rogue.key", base,
                   ca, ca, ca);
    CHECK_INT(try_connect(url, text, sizeof text), MARTY_E_TLS);
    CHECK_HAS(text, "does not trust the client certificate");
    test_server_free(server);
    free(server);
}

static void test_tls_of_a_plain_server(void)
{
    char base[256], url[512], text[512];
    test_server *server = harness_server(which, NULL);
    test_server_url(server, base, sizeof base);
    (void)snprintf(url, sizeof url, "%s?tls=on", base);
    CHECK_INT(try_connect(url, text, sizeof text), MARTY_E_TLS);
    CHECK_HAS(text, "the server has none");
    test_server_free(server);
    free(server);
}

static void test_users(void)
{
    char base[256], url[512], text[512];
    test_server_options options = {.user = "joe", .password = "secret-1"};
    test_server *server = harness_server(which, &options);
    test_server_url(server, base, sizeof base);
    CHECK_INT(try_connect(base, text, sizeof text), MARTY_OK);
    (void)snprintf(url, sizeof url, "nats://joe:wrong@127.0.0.1:%d", server->port);
    CHECK_INT(try_connect(url, text, sizeof text), MARTY_E_DENIED);
    CHECK(strstr(text, "wrong") == NULL);
    CHECK_HAS(text, "credentials refused");
    (void)snprintf(url, sizeof url, "nats://127.0.0.1:%d", server->port);
    CHECK_INT(try_connect(url, text, sizeof text), MARTY_E_DENIED);
    (void)snprintf(url, sizeof url, "nats://127.0.0.1:%d?user=joe&password=secret-1", server->port);
    CHECK_INT(try_connect(url, text, sizeof text), MARTY_OK);
    test_server_free(server);
    free(server);
}

static void test_tokens(void)
{
    char url[512], text[512];
    test_server_options options = {.token = "t-1"};
    test_server *server = harness_server(which, &options);
    (void)snprintf(url, sizeof url, "nats://127.0.0.1:%d?token=t-1", server->port);
    CHECK_INT(try_connect(url, text, sizeof text), MARTY_OK);
    (void)snprintf(url, sizeof url, "nats://t-1@127.0.0.1:%d", server->port);
    CHECK_INT(try_connect(url, text, sizeof text), MARTY_OK);
    (void)snprintf(url, sizeof url, "nats://127.0.0.1:%d?token=t-2", server->port);
    CHECK_INT(try_connect(url, text, sizeof text), MARTY_E_DENIED);
    test_server_free(server);
    free(server);
}

static void test_nkeys(void)
{
    char seed[64], public_key[64], folder[512], path[600], url[1024], text[512];
    if (!CHECK(test_nkey(seed, public_key))) {
        return;
    }
    test_server_options options = {.nkey = public_key};
    test_server *server = harness_server(which, &options);
    REQUIRE(test_folder_make(folder, sizeof folder, "nkey"));
    (void)snprintf(path, sizeof path, "%s/user.nk", folder);
    FILE *file = fopen(path, "w");
    REQUIRE(file != NULL);
    fprintf(file, "%s\n", seed);
    (void)fclose(file);
    (void)snprintf(url, sizeof url, "nats://127.0.0.1:%d?nkey=%s", server->port, path);
    CHECK_INT(try_connect(url, text, sizeof text), MARTY_OK);
    (void)snprintf(url, sizeof url, "nats://127.0.0.1:%d?nkey=%s/nothing", server->port, folder);
    CHECK_INT(try_connect(url, text, sizeof text), MARTY_E_CONFIG);
    (void)snprintf(url, sizeof url, "nats://127.0.0.1:%d", server->port);
    CHECK_INT(try_connect(url, text, sizeof text), MARTY_E_DENIED);
    test_folder_remove(folder);
    test_server_free(server);
    free(server);
}

static void test_a_server_without_jetstream(void)
{
    test_server_options options = {.no_jetstream = true};
    test_server *server = harness_server(which, &options);
    harness *h = harness_up(server, "");
    CHECK_INT(h->granted.can[MARTY_KIND_TOPIC], 0);
    CHECK_INT(harness_publish(h, MARTY_KIND_TOPIC, "events.x", "x.y", "1", NULL),
              MARTY_E_UNAVAILABLE);
    CHECK_HAS(h->last_error, "JetStream is off; start the server with: nats-server -js");
    CHECK_INT(harness_publish(h, MARTY_KIND_BROADCAST, "broadcast.x", "x.y", "1", NULL), MARTY_OK);
    harness_close(h);
    test_server_free(server);
    free(server);
}

int main(int argc, char **argv)
{
    which = argc > 1 ? argv[1] : "new";
    if (!test_certificates()) {
        printf("skipped: no openssl\n");
        return 77;
    }
    test_wrong_addresses();
    test_one_of_a_list_is_enough();
    test_tls();
    test_each_publish_that_is_not_permitted_says_so();
    test_a_bad_certificate("expired");
    test_a_bad_certificate("notyet");
    test_a_bad_certificate("wronghost");
    test_client_certificates();
    test_tls_of_a_plain_server();
    test_users();
    test_tokens();
    test_nkeys();
    test_a_server_without_jetstream();
    return check_result();
}
