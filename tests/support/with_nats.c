/* SPDX-License-Identifier: Apache-2.0
 * Run a command with nats-servers of its own: with_nats WORD... -- COMMAND. The URL of the servers
 * takes the place of @URL@ in the arguments. Words: old or new (which server), cluster (three of
 * them), sync (each write is synced). Ends as the command ends; exit code 77 (skipped), with the
 * reason, when there is no such server. */
#include "server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LIMIT_MS = 3600000, ARGUMENTS = 64, TEXT = 1024 };

static void replace(const char *from, const char *url, char ret_text[TEXT])
{
    const char *place = strstr(from, "@URL@");
    if (place) {
        snprintf(ret_text, TEXT, "%.*s%s%s", (int)(place - from), from, url, place + 5);
    } else {
        snprintf(ret_text, TEXT, "%s", from);
    }
}

static int run(int count, char **values, const char *url)
{
    static char texts[ARGUMENTS][TEXT];
    const char *argv[ARGUMENTS + 1] = {NULL};
    for (int i = 0; i < count && i < ARGUMENTS; i++) {
        replace(values[i], url, texts[i]);
        argv[i] = texts[i];
    }
    return test_process_run(argv, NULL, LIMIT_MS);
}

int main(int count, char **values)
{
    test_server servers[3] = {0};
    test_server_options options = {.kind = TEST_NATS_NEW};
    bool cluster = false;
    int at = 1;
    for (; at < count && strcmp(values[at], "--") != 0; at++) {
        options.kind = strcmp(values[at], "old") == 0 ? TEST_NATS_OLD : options.kind;
        options.sync_always |= strcmp(values[at], "sync") == 0;
        cluster |= strcmp(values[at], "cluster") == 0;
    }
    char why[400] = "", url[400] = "", path[600];
    if (!test_server_find(options.kind, path, sizeof path, why, sizeof why)) {
        fprintf(stderr, "skipped: %s\n", why);
        return 77;
    }
    bool started = cluster ? test_cluster_start(servers, &options, why, sizeof why)
                           : test_server_start(&servers[0], &options, why, sizeof why);
    if (!started) {
        fprintf(stderr, "%s\n", why);
        return 1;
    }
    if (cluster) {
        test_cluster_url(servers, url, sizeof url);
    } else {
        test_server_url(&servers[0], url, sizeof url);
    }
    int code = run(count - at - 1, values + at + 1, url);
    for (int i = 0; i < 3; i++) {
        test_server_free(&servers[i]);
    }
    return code < 0 ? 1 : code;
}
