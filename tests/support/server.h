/* SPDX-License-Identifier: Apache-2.0
 * Real brokers for tests: nats-server, old (Debian's) and new (fetched by `make setup`), single or
 * as a cluster of three, on free loopback ports, with their data in a scratch folder. They are
 * killed, frozen and restarted on the same ports and data for real. One thread at a time per
 * server; a server dies with the thread that started it. */
#ifndef TESTS_SUPPORT_SERVER_H
#define TESTS_SUPPORT_SERVER_H
#include "process.h"

typedef enum test_server_kind { TEST_NATS_OLD = 1, TEST_NATS_NEW } test_server_kind;
typedef struct test_server_options { /* zero = default; strings are copied into the configuration */
    test_server_kind kind;
    bool tls, verify_client;             /* with the certificates of certificates.h */
    const char *certificate;             /* "server"; or expired, notyet, wronghost */
    const char *user, *password, *token; /* how clients prove themselves */
    const char *nkey;                    /* public user key "U..." */
    bool no_jetstream;
    bool sync_always;         /* each write is synced; the new server only */
    const char *store_folder; /* NULL = its own scratch folder; set for example to a small tmpfs */
    const char *extra;        /* more lines for the configuration file */
} test_server_options;
typedef struct test_server {
    test_process process;
    test_server_options options;
    char folder[512], binary[512], config[640], name[32];
    int port, monitor_port, cluster_port;
    bool tls;
} test_server;

/** Where `make setup` puts servers, and that name there: the same rule as tools/setup.sh. */
void test_server_cached(char *ret_path, size_t size, const char *name);
/** Path of the binary; false = not there, ret_why says which and how to get it (a test skips then).
 */
bool test_server_find(test_server_kind kind, char *ret_path, size_t size, char *ret_why,
                      size_t why_size);
/** Starts one and waits until it is healthy. False: ret_why; nothing is left running. */
bool test_server_start(test_server *server, const test_server_options *options, char *ret_why,
                       size_t why_size);
/** Starts three that form a cluster, and waits until all are healthy. */
bool test_cluster_start(test_server servers[3], const test_server_options *options, char *ret_why,
                        size_t why_size);
/** "nats://[user:password@]127.0.0.1:port" (no query). TLS: "localhost" as host; the caller adds
 * its TLS keys. */
void test_server_url(const test_server *server, char *ret_url, size_t size);
/** "nats://127.0.0.1:a,127.0.0.1:b,127.0.0.1:c". */
void test_cluster_url(const test_server servers[3], char *ret_url, size_t size);
/** kill -9. */
void test_server_kill(test_server *server);
/** SIGTERM, and waits for its end. */
void test_server_stop(test_server *server);
/** SIGSTOP, SIGCONT. */
void test_server_freeze(test_server *server);
void test_server_thaw(test_server *server);
/** Starts it again on the same ports and data; whether it is healthy is asked by test_server_get.
 */
bool test_server_begin(test_server *server);
/** The same, and waits until it is healthy. */
bool test_server_restart(test_server *server, char *ret_why, size_t why_size);
/** Writes the configuration again with other options (credentials rotated, other certificate) and
 * has it reloaded (SIGHUP). */
bool test_server_reload(test_server *server, const test_server_options *options);
/** GET from its monitoring port, "/healthz": HTTP status, body cut to fit. 0 = no answer. */
int test_server_get(const test_server *server, const char *path, char *ret_body, size_t size);
/** Index of the cluster's node that leads that JetStream stream, -1 = none known now. */
int test_cluster_leader(const test_server servers[3], const char *stream);
/** Kills it and removes its folder. Zeroed is fine. */
void test_server_free(test_server *server);
/** A TCP port of 127.0.0.1 that is free, and not given to any other test while this process lives.
 */
int test_free_port(void);
#endif
