/* SPDX-License-Identifier: Apache-2.0
 * The backends that the suite knows, as rows. A wrapper may stand before a row:
 * mask:dead_letter:memory. Whatever else has a colon is the URL of a backend of somebody else. */
#include "runner.h"

#include "support/certificates.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct row {
    const char *name, *url;
    bool processes, durable, server, cluster, tls;
    test_server_kind kind;
} row;

static const row rows[] = {
    {.name = "memory", .url = "memory:%t"},
    {.name = "sqlite", .url = "sqlite:%f/bus.db", .processes = true, .durable = true},
    {.name = "nats-old", .processes = true, .durable = true, .server = true, .kind = TEST_NATS_OLD},
    {.name = "nats-new", .processes = true, .durable = true, .server = true, .kind = TEST_NATS_NEW},
    {.name = "nats-tls",
     .processes = true,
     .durable = true,
     .server = true,
     .tls = true,
     .kind = TEST_NATS_NEW},
    {.name = "nats-cluster",
     .processes = true,
     .durable = true,
     .server = true,
     .cluster = true,
     .kind = TEST_NATS_NEW},
};
enum { ROWS = sizeof rows / sizeof rows[0] };

const char *target_row(size_t index)
{
    return index < ROWS ? rows[index].name : "";
}

static const row *find_row(const char *name)
{
    for (size_t i = 0; i < ROWS; i++) {
        if (strcmp(rows[i].name, name) == 0) {
            return &rows[i];
        }
    }
    return NULL;
}

/* Takes "mask:words:" from the front, as often as there is one. */
static const char *take_wrappers(target *self, const char *text)
{
    static const char *const wrappers[] = {"mask:", "claim:", "saboteur:", "twist:"};
    for (size_t i = 0; i < 4; i++) {
        size_t length = strlen(wrappers[i]);
        if (strncmp(text, wrappers[i], length) == 0) {
            const char *rest = text + length + strcspn(text + length, ":");
            size_t have = strlen(self->wrap);
            snprintf(self->wrap + have, sizeof self->wrap - have, "%s%.*s", have ? ":" : "",
                     (int)(rest - text), text);
            return take_wrappers(self, *rest ? rest + 1 : rest);
        }
    }
    return text;
}

bool target_find(target *self, const char *text, char *ret_why, size_t size)
{
    *self = (target){0};
    const char *rest = take_wrappers(self, text);
    const row *found = find_row(rest);
    snprintf(self->name, sizeof self->name, "%s", text);
    snprintf(self->row, sizeof self->row, "%s", rest);
    if (found) {
        self->processes = found->processes;
        self->durable = found->durable;
        self->server = found->server;
        self->cluster = found->cluster;
        snprintf(self->url, sizeof self->url, "%s", found->url ? found->url : "");
        return true;
    }
    if (!strchr(rest, ':')) {
        snprintf(ret_why, size, "there is no backend \"%s\"; give a row or a URL", rest);
        return false;
    }
    self->processes = self->durable = !getenv("MARTY_SUITE_ONE_PROCESS");
    snprintf(self->row, sizeof self->row, "%.*s", (int)strcspn(rest, ":"), rest);
    snprintf(self->name, sizeof self->name, "%s%s%s", self->wrap, *self->wrap ? ":" : "",
             self->row);
    const char *more = strchr(rest, '%') ? "" : strchr(rest, '?') ? "&prefix=%t" : "?prefix=%t";
    snprintf(self->url, sizeof self->url, "%s%s", rest, more);
    return true;
}

bool target_start(target *self, bool *ret_missing, char *ret_why, size_t size)
{
    const row *found = find_row(self->row);
    *ret_missing = false;
    if (!found || !found->server) {
        return true;
    }
    char path[600], url[400];
    if (!test_server_find(found->kind, path, sizeof path, ret_why, size)) {
        *ret_missing = true;
        return false;
    }
    test_server_options options = {.kind = found->kind, .tls = found->tls};
    if (found->cluster) {
        if (!test_cluster_start(self->servers, &options, ret_why, size)) {
            return false;
        }
        self->server_count = 3;
        test_cluster_url(self->servers, url, sizeof url);
        snprintf(self->url, sizeof self->url, "%s?replicas=3&prefix=%%t", url);
        return true;
    }
    if (!test_server_start(&self->servers[0], &options, ret_why, size)) {
        return false;
    }
    self->server_count = 1;
    test_server_url(&self->servers[0], url, sizeof url);
    if (found->tls) {
        snprintf(self->url, sizeof self->url, "%s?tls=on&tls_ca=%s/ca.pem&prefix=%%t", url,
                 test_certificates());
    } else {
        snprintf(self->url, sizeof self->url, "%s?prefix=%%t", url);
    }
    return true;
}

void target_stop(target *self)
{
    for (int i = 0; i < self->server_count; i++) {
        test_server_free(&self->servers[i]);
    }
    self->server_count = 0;
}

void target_url(const target *self, const char *tag, const char *folder, char *ret_url, size_t size)
{
    size_t at = 0;
    for (const char *from = self->url; *from && at + 1 < size; from++) {
        const char *put = from[0] == '%' && from[1] == 't'   ? tag
                          : from[0] == '%' && from[1] == 'f' ? folder
                                                             : NULL;
        if (put) {
            at += (size_t)snprintf(ret_url + at, size - at, "%s", put);
            from++;
        } else {
            ret_url[at++] = *from;
        }
    }
    ret_url[at < size ? at : size - 1] = 0;
}
