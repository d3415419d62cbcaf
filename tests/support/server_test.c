/* SPDX-License-Identifier: Apache-2.0
 * The servers that other tests rely on: they start, die, come back with their data folder, form a
 * cluster, and the keys made for them are accepted. A server that is not installed is said and
 * skipped. */
#include "certificates.h"
#include "server.h"
#include "wait.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int failed;

static void check(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "not so: %s\n", what);
        failed++;
    }
}

static void a_server_dies_and_comes_back(const test_server_options *options)
{
    test_server server;
    char why[256], body[512];
    if (!test_server_start(&server, options, why, sizeof why)) {
        fprintf(stderr, "%s\n", why);
        check(false, "it starts");
        return;
    }
    check(test_server_get(&server, "/varz", body, sizeof body) == 200, "it answers /varz");
    test_server_kill(&server);
    check(test_server_get(&server, "/varz", body, sizeof body) == 0, "a killed one is silent");
    check(test_server_restart(&server, why, sizeof why), "it comes back");
    test_server_freeze(&server);
    check(test_process_alive(&server.process), "a frozen one still runs");
    test_server_thaw(&server);
    test_server_stop(&server);
    check(!test_process_alive(&server.process), "it stops when asked");
    char folder[512];
    snprintf(folder, sizeof folder, "%s", server.folder);
    test_server_free(&server);
    check(access(folder, F_OK) != 0, "its folder is removed");
}

static void three_form_a_cluster(test_server_kind kind)
{
    test_server servers[3];
    char why[256];
    if (!test_cluster_start(servers, &(test_server_options){.kind = kind}, why, sizeof why)) {
        fprintf(stderr, "%s\n", why);
        check(false, "the cluster starts");
        return;
    }
    check(test_cluster_leader(servers, "none") == -1, "a stream that is not there has no leader");
    for (int i = 0; i < 3; i++) {
        test_server_free(&servers[i]);
    }
}

static bool find(test_server_kind kind)
{
    char path[512], why[700];
    if (test_server_find(kind, path, sizeof path, why, sizeof why)) {
        return true;
    }
    printf("skipped: %s\n", why);
    return false;
}

int main(void)
{
    char seed[64], key[64];
    check(test_certificates() != NULL, "openssl makes certificates");
    check(test_nkey(seed, key), "an nkey is made");
    check(strlen(seed) == 58 && strncmp(seed, "SU", 2) == 0, "its seed is a user's");
    check(strlen(key) == 56 && key[0] == 'U', "its public key is a user's");
    for (int kind = TEST_NATS_OLD; kind <= TEST_NATS_NEW; kind++) {
        test_server_kind which = kind == TEST_NATS_OLD ? TEST_NATS_OLD : TEST_NATS_NEW;
        if (!find(which)) {
            continue;
        }
        a_server_dies_and_comes_back(&(test_server_options){.kind = which});
        a_server_dies_and_comes_back(
            &(test_server_options){.kind = which, .tls = true, .verify_client = true});
        a_server_dies_and_comes_back(&(test_server_options){.kind = which, .nkey = key});
        three_form_a_cluster(which);
    }
    return failed != 0;
}
