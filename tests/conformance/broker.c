/* SPDX-License-Identifier: Apache-2.0
 * See broker.h. The row of the backend says what kind of server: nats-old, nats-new, nats-tls,
 * nats-cluster. */
#include "broker.h"

#include "support/certificates.h"

#include <stdio.h>
#include <string.h>

test_server_options broker_options(void)
{
    const char *backend = suite_backend();
    test_server_options options = {.kind = TEST_NATS_NEW};
    if (strcmp(backend, "nats-old") == 0) {
        options.kind = TEST_NATS_OLD;
    }
    options.tls = strcmp(backend, "nats-tls") == 0;
    return options;
}

const char *broker_keys(bool tls)
{
    static char keys[700];
    if (!tls) {
        return "";
    }
    snprintf(keys, sizeof keys, "tls=on&tls_ca=%s/ca.pem", test_certificates());
    return keys;
}

static void use(const char *url, bool tls)
{
    char whole[1500];
    snprintf(whole, sizeof whole, "%s%s%s", url, tls ? "?" : "", broker_keys(tls));
    suite_set_url(whole);
}

void broker_start(test_server *server, const test_server_options *options)
{
    char why[700], url[256];
    EXPECT(test_server_start(server, options, why, sizeof why), "%s", why);
    test_server_url(server, url, sizeof url);
    use(url, options->tls);
}

void broker_start_cluster(test_server servers[3])
{
    char why[700], url[256];
    test_server_options options = broker_options();
    EXPECT(test_cluster_start(servers, &options, why, sizeof why), "%s", why);
    test_cluster_url(servers, url, sizeof url);
    strncat(url, "?replicas=3", sizeof url - strlen(url) - 1);
    suite_set_url(url);
}

test_proxy *broker_through_proxy(const test_server *server)
{
    char url[256];
    test_proxy *proxy = test_proxy_start(server->port);
    EXPECT(proxy, "a proxy could not be started");
    snprintf(url, sizeof url, "%s://%s:%d", "nats", server->options.tls ? "localhost" : "127.0.0.1",
             test_proxy_port(proxy));
    use(url, server->options.tls);
    return proxy;
}

void broker_restart(test_server *server)
{
    char why[700];
    EXPECT(test_server_restart(server, why, sizeof why), "%s", why);
}
