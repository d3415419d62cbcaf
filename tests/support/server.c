/* SPDX-License-Identifier: Apache-2.0
 * See server.h. A server counts as started when /healthz says so; when it ends instead (a port was
 * taken meanwhile) other ports are tried. */
#include "server.h"

#include "certificates.h"
#include "wait.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    READY_MS = 40000, /* in a cluster an election is first: up to 9 s, and again if two tie */
    TRIES = 4,
    FIRST_PORT = 14000, /* below those that a kernel gives to connections: no client takes the */
    PORTS = 16000       /* port of a server that is down for a while */
};

/* No other test chooses it as long as this process lives: a local name says whose it is. */
static bool claim_port(int port)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int length = snprintf(name.sun_path + 1, sizeof name.sun_path - 1, "marty-test-port-%d", port);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1) + (socklen_t)length;
    int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (descriptor >= 0 && bind(descriptor, (struct sockaddr *)&name, size) == 0) {
        /* cppcheck-suppress resourceLeak ; it stays open */
        return true;
    }
    close(descriptor);
    return false;
}

static bool can_be_bound(int port)
{
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    bool bound = bind(descriptor, (struct sockaddr *)&address, sizeof address) == 0;
    close(descriptor);
    return bound;
}

int test_free_port(void)
{
    static _Atomic unsigned calls;
    unsigned spread = (unsigned)getpid() * 97 + calls++ * 7919;
    for (unsigned i = 0; i < PORTS; i++) {
        int port = FIRST_PORT + (int)((spread + i) % PORTS);
        if (claim_port(port) && can_be_bound(port)) {
            return port;
        }
    }
    return 0;
}

void test_server_cached(char *ret_path, size_t size, const char *name)
{
    const char *cache = getenv("MARTY_CACHE");
    const char *base = getenv("XDG_CACHE_HOME");
    const char *home = getenv("HOME");
    if (cache) {
        snprintf(ret_path, size, "%s/servers/%s", cache, name);
    } else if (base) {
        snprintf(ret_path, size, "%s/marty/servers/%s", base, name);
    } else {
        snprintf(ret_path, size, "%s/.cache/marty/servers/%s", home ? home : "/var/cache", name);
    }
}

bool test_server_find(test_server_kind kind, char *ret_path, size_t size, char *ret_why,
                      size_t why_size)
{
    const char *named = getenv(kind == TEST_NATS_OLD ? "MARTY_NATS_OLD" : "MARTY_NATS_NEW");
    if (named) {
        snprintf(ret_path, size, "%s", named);
    } else {
        test_server_cached(ret_path, size,
                           kind == TEST_NATS_OLD ? "nats-server-2.9.10" : "nats-server-2.15.2");
    }
    if (kind == TEST_NATS_OLD && !named && access(ret_path, X_OK) != 0) {
        snprintf(ret_path, size, "/usr/sbin/nats-server");
    }
    if (access(ret_path, X_OK) == 0) {
        return true;
    }
    snprintf(ret_why, why_size, "%s is not there; `make setup` gets it", ret_path);
    return false;
}

static void write_tls(FILE *file, const test_server_options *options)
{
    const char *folder = test_certificates();
    const char *name = options->certificate ? options->certificate : "server";
    fprintf(file,
            "tls { cert_file: \"%s/%s.pem\", key_file: \"%s/%s.key\", ca_file: \"%s/ca.pem\", "
            "verify: %s }\n",
            folder, name, folder, name, folder, options->verify_client ? "true" : "false");
}

static bool write_config(test_server *server, const int routes[3])
{
    const test_server_options *options = &server->options;
    FILE *file = fopen(server->config, "w");
    if (!file) {
        return false;
    }
    fprintf(file, "listen: \"127.0.0.1:%d\"\nhttp: \"127.0.0.1:%d\"\nserver_name: %s\n",
            server->port, server->monitor_port, server->name);
    if (!options->no_jetstream) {
        fprintf(file, "jetstream { store_dir: \"%s/store\", max_mem: 256MB, max_file: 1GB%s }\n",
                options->store_folder ? options->store_folder : server->folder,
                options->sync_always ? ", sync_interval: always" : "");
    }
    if (options->tls) {
        write_tls(file, options);
    }
    if (options->user) {
        fprintf(file, "authorization { user: \"%s\", password: \"%s\" }\n", options->user,
                options->password ? options->password : "");
    } else if (options->token) {
        fprintf(file, "authorization { token: \"%s\" }\n", options->token);
    } else if (options->nkey) {
        fprintf(file, "authorization { users = [ { nkey: %s } ] }\n", options->nkey);
    }
    if (routes) {
        fprintf(file,
                "cluster { name: marty, listen: \"127.0.0.1:%d\", routes: [ "
                "nats://127.0.0.1:%d, nats://127.0.0.1:%d, nats://127.0.0.1:%d ] }\n",
                server->cluster_port, routes[0], routes[1], routes[2]);
    }
    if (options->extra) {
        fprintf(file, "%s\n", options->extra);
    }
    return fclose(file) == 0;
}

static bool launch(test_server *server)
{
    char log[600];
    snprintf(log, sizeof log, "%s/log", server->folder);
    const char *argv[] = {server->binary, "-c", server->config, NULL};
    return test_process_start(&server->process, argv, NULL, log);
}

static bool is_decided(void *user)
{
    test_server *server = user;
    char body[256];
    return !test_process_alive(&server->process) ||
           test_server_get(server, "/healthz", body, sizeof body) == 200;
}

static bool become_ready(test_server *server, char *ret_why, size_t why_size)
{
    bool decided = test_wait_for(is_decided, server, READY_MS);
    if (decided && test_process_alive(&server->process)) {
        return true;
    }
    snprintf(ret_why, why_size, "%s %s; its log is %s/log", server->binary,
             decided ? "ended while starting" : "was not healthy in time", server->folder);
    return false;
}

static bool prepare(test_server *server, const test_server_options *options, const char *name,
                    char *ret_why, size_t why_size)
{
    *server = (test_server){.options = *options, .tls = options->tls};
    snprintf(server->name, sizeof server->name, "%s", name);
    if (!test_server_find(options->kind, server->binary, sizeof server->binary, ret_why,
                          why_size)) {
        return false;
    }
    if (options->tls && !test_certificates()) {
        snprintf(ret_why, why_size, "no test certificates: openssl is missing or failed");
        return false;
    }
    const char *parent = getenv("MARTY_TEST_SERVERS");
    bool made = parent ? test_folder_make_in(server->folder, sizeof server->folder, parent, "nats")
                       : test_folder_make(server->folder, sizeof server->folder, "nats");
    if (!made) {
        snprintf(ret_why, why_size, "no scratch folder can be made");
        return false;
    }
    snprintf(server->config, sizeof server->config, "%s/server.conf", server->folder);
    return true;
}

static void choose_ports(test_server *server)
{
    server->port = test_free_port();
    server->monitor_port = test_free_port();
    server->cluster_port = test_free_port();
}

bool test_server_start(test_server *server, const test_server_options *options, char *ret_why,
                       size_t why_size)
{
    if (!prepare(server, options, "one", ret_why, why_size)) {
        test_server_free(server);
        return false;
    }
    for (int i = 0; i < TRIES; i++) {
        choose_ports(server);
        if (write_config(server, NULL) && launch(server) &&
            become_ready(server, ret_why, why_size)) {
            return true;
        }
        test_process_kill(&server->process);
    }
    return false;
}

/* One try with fresh ports. */
static bool cluster_try(test_server servers[3], char *ret_why, size_t why_size)
{
    int routes[3];
    for (int i = 0; i < 3; i++) {
        choose_ports(&servers[i]);
        routes[i] = servers[i].cluster_port;
    }
    bool fine = true;
    for (int i = 0; i < 3 && fine; i++) {
        fine = write_config(&servers[i], routes) && launch(&servers[i]);
    }
    for (int i = 0; i < 3 && fine; i++) {
        fine = become_ready(&servers[i], ret_why, why_size);
    }
    for (int i = 0; i < 3 && !fine; i++) {
        test_process_kill(&servers[i].process);
    }
    return fine;
}

bool test_cluster_start(test_server servers[3], const test_server_options *options, char *ret_why,
                        size_t why_size)
{
    static const char *const names[3] = {"one", "two", "three"};
    memset(servers, 0, 3 * sizeof *servers);
    for (int i = 0; i < 3; i++) {
        if (!prepare(&servers[i], options, names[i], ret_why, why_size)) {
            goto failed;
        }
    }
    for (int i = 0; i < TRIES; i++) {
        if (cluster_try(servers, ret_why, why_size)) {
            return true;
        }
    }
failed:
    for (int i = 0; i < 3; i++) {
        test_server_free(&servers[i]);
    }
    return false;
}

void test_server_url(const test_server *server, char *ret_url, size_t size)
{
    const char *host = server->options.tls ? "localhost" : "127.0.0.1";
    if (server->options.user) {
        snprintf(ret_url, size, "nats://%s:%s@%s:%d", server->options.user,
                 server->options.password ? server->options.password : "", host, server->port);
    } else {
        snprintf(ret_url, size, "nats://%s:%d", host, server->port);
    }
}

void test_cluster_url(const test_server servers[3], char *ret_url, size_t size)
{
    const char *host = servers[0].options.tls ? "localhost" : "127.0.0.1";
    snprintf(ret_url, size, "nats://%s:%d,%s:%d,%s:%d", host, servers[0].port, host,
             servers[1].port, host, servers[2].port);
}

void test_server_kill(test_server *server)
{
    test_process_kill(&server->process);
}

void test_server_stop(test_server *server)
{
    test_process_signal(&server->process, SIGTERM);
    if (!test_process_join(&server->process, 10000)) {
        test_process_kill(&server->process);
    }
}

void test_server_freeze(test_server *server)
{
    test_process_freeze(&server->process);
}

void test_server_thaw(test_server *server)
{
    test_process_signal(&server->process, SIGCONT);
}

bool test_server_begin(test_server *server)
{
    return launch(server);
}

bool test_server_restart(test_server *server, char *ret_why, size_t why_size)
{
    if (!launch(server)) {
        snprintf(ret_why, why_size, "%s cannot be started again", server->binary);
        return false;
    }
    return become_ready(server, ret_why, why_size);
}

bool test_server_reload(test_server *server, const test_server_options *options)
{
    server->options = *options;
    if (!write_config(server, NULL)) {
        return false;
    }
    test_process_signal(&server->process, SIGHUP);
    return true;
}

void test_server_free(test_server *server)
{
    test_process_kill(&server->process);
    if (server->folder[0]) {
        test_folder_remove(server->folder);
    }
    server->folder[0] = 0;
}
