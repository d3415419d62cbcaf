/* SPDX-License-Identifier: Apache-2.0
 * From a URL that was parsed back to texts that libpq takes, one for each host, with what we want
 * of each connection. What the user says comes last, so it counts. One host at a time, because
 * libpq itself waits without end for one that says nothing when it is not let block. */
#include "link.h"

#include <stdio.h>
#include <string.h>

enum { SETTINGS_BYTES = 256 };

static char *room_for(const marty_url *url)
{
    size_t size = SETTINGS_BYTES + 64 + (url->path ? strlen(url->path) : 0) +
                  (url->user ? strlen(url->user) * 3 : 0) +
                  (url->password ? strlen(url->password) * 3 : 0);
    for (size_t i = 0; i < url->parameter_count; i++) {
        size += strlen(url->parameters[i].name) + url->parameters[i].value.size * 3 + 4;
    }
    size_t all = size + 1;
    for (size_t i = 0; i < url->host_count; i++) {
        all += size + strlen(url->hosts[i].host);
    }
    return marty_alloc(all);
}

static char *put_escaped(char *at, const char *text, size_t size)
{
    static const char safe[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/";
    for (size_t i = 0; i < size; i++) {
        unsigned char byte = (unsigned char)text[i];
        at += byte && strchr(safe, byte) ? snprintf(at, 2, "%c", byte)
                                         : snprintf(at, 4, "%%%02X", byte);
    }
    return at;
}

static char *put(char *at, const char *text)
{
    size_t size = strlen(text);
    memcpy(at, text, size + 1);
    return at + size;
}

static char *put_host(char *at, const marty_url *url, size_t i)
{
    if (i < url->host_count) {
        bool six = strchr(url->hosts[i].host, ':') != NULL;
        at = put(put(put(at, six ? "[" : ""), url->hosts[i].host), six ? "]" : "");
        at += url->hosts[i].port ? snprintf(at, 8, ":%u", url->hosts[i].port) : 0;
    }
    return at;
}

static char *put_url(char *at, const marty_url *url, size_t host, unsigned idle_ms)
{
    at = put(at, "postgresql://");
    if (url->user) {
        at = put_escaped(at, url->user, strlen(url->user));
        if (url->password) {
            at = put_escaped(put(at, ":"), url->password, strlen(url->password));
        }
        at = put(at, "@");
    }
    const char *path = url->path ? url->path : "";
    at = put(put_host(at, url, host), "/");
    at = put_escaped(at, *path == '/' ? path + 1 : path, strlen(*path == '/' ? path + 1 : path));
    at += snprintf(at, SETTINGS_BYTES,
                   "?target_session_attrs=read-write&application_name=marty&tcp_user_timeout=5000"
                   "&options=-c%%20idle_in_transaction_session_timeout%%3D%u%%20-c%%20"
                   "lock_timeout%%3D15000%%20-c%%20statement_timeout%%3D30000%%20-c%%20"
                   "default_transaction_isolation%%3Dread%%5C%%20committed", /* fences need it */
                   idle_ms);
    for (size_t i = 0; i < url->parameter_count; i++) {
        at = put(put(put(at, "&"), url->parameters[i].name), "=");
        at = put_escaped(at, url->parameters[i].value.data, url->parameters[i].value.size);
    }
    return at;
}

char *pg_url(const marty_url *url, unsigned idle_ms)
{
    char *texts = room_for(url), *at = texts;
    if (!texts) {
        return NULL;
    }
    for (size_t host = 0; host == 0 || host < url->host_count; host++) {
        at = put_url(at, url, host, idle_ms) + 1;
    }
    *at = '\0';
    return texts;
}
