/* SPDX-License-Identifier: Apache-2.0
 * Faults between us and a nats-server: nobody there, not let in, TLS, streams that are missing. */
#include "faults.h"

static void tls_keys(char *text, size_t size, const char *ca, const char *more)
{
    const char *folder = test_certificates();
    if (!folder) {
        fault_skip("there is no openssl to make certificates with");
    }
    (void)snprintf(text, size, "tls=on&tls_ca=%s/%s.pem%s", folder, ca, more);
}

void fault_nobody_listens(fault_run *r)
{
    (void)snprintf(r->url, sizeof r->url, "nats://127.0.0.1:%d", test_free_port());
    int64_t before = test_now_ms();
    fault_open(r);
    REQUIRE(test_now_ms() - before < 4500); /* not the 5 s that opening may wait */
}

void fault_unknown_host(fault_run *r)
{
    /* Where there is no network nobody answers, and the resolver waits: a second is enough. */
    REQUIRE(setenv("RES_OPTIONS", "timeout:1 attempts:1", 1) == 0);
    (void)snprintf(r->url, sizeof r->url, "nats://no.such.host.invalid:4222");
    fault_open(r);
}

void fault_refused_password(fault_run *r)
{
    test_server_options options = {.user = "ada", .password = "right"};
    fault_server(r, &options, "");
    (void)snprintf(r->url, sizeof r->url, "nats://ada:guess@127.0.0.1:%d", r->server.port);
    fault_open(r);
    REQUIRE(strstr(r->why.text, "guess") == NULL);
}

void fault_refused_token(fault_run *r)
{
    test_server_options options = {.token = "right"};
    fault_server(r, &options, "token=guess");
    fault_open(r);
    REQUIRE(strstr(r->why.text, "guess") == NULL);
}

void fault_no_permission(fault_run *r)
{
    test_server_options options = {
        .extra = "authorization { users = [ { user: ada, password: p, permissions: { publish: {"
                 " deny: [\"events.secret.>\"] } } } ] }\n"};
    fault_server(r, &options, "");
    (void)snprintf(r->url, sizeof r->url, "nats://ada:p@127.0.0.1:%d", r->server.port);
    fault_open_well(r);
    fault_publish(r, "secret.plan", marty_text("1"), NULL);
}

static void open_tls(fault_run *r, const char *certificate, const char *ca, const char *more)
{
    char keys[600];
    test_server_options options = {.tls = true, .certificate = certificate};
    tls_keys(keys, sizeof keys, ca, more);
    fault_server(r, &options, keys);
    fault_open(r);
}

void fault_wrong_ca(fault_run *r)
{
    open_tls(r, NULL, "otherca", "");
}

void fault_wrong_host(fault_run *r)
{
    open_tls(r, NULL, "ca", "&tls_host=elsewhere.example");
}

void fault_expired(fault_run *r)
{
    open_tls(r, "expired", "ca", "");
}

void fault_tls_of_plain(fault_run *r)
{
    fault_server(r, NULL, "tls=on");
    fault_open(r);
}

void fault_plain_of_tls(fault_run *r)
{
    test_server_options options = {.tls = true};
    if (!test_certificates()) {
        fault_skip("there is no openssl to make certificates with");
    }
    fault_server(r, &options, "");
    fault_open(r);
}

void fault_missing_stream(fault_run *r)
{
    fault_server(r, NULL, "topology=check");
    fault_open_well(r);
    fault_publish(r, "order.created", marty_text("1"), NULL);
}

static marty_err ignore(void *user, marty_delivery *delivery)
{
    (void)user, (void)delivery;
    return MARTY_OK;
}

void fault_missing_stream_sub(fault_run *r)
{
    fault_server(r, NULL, "topology=check");
    fault_open_well(r);
    r->err = marty_handle_commands(r->bus, "charge", ignore, NULL, NULL, NULL, &r->why);
    if (r->err == MARTY_OK) {
        r->err = marty_bus_start(r->bus, &r->why);
    }
}
