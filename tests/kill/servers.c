/* SPDX-License-Identifier: Apache-2.0
 * See servers.h. */
#include "servers.h"

#include <stdio.h>

bool servers_start(servers *s, const test_server_options *options, int count, bool *ret_missing,
                   char *ret_why, size_t why_size)
{
    char path[600];
    *ret_missing = !test_server_find(options->kind, path, sizeof path, ret_why, why_size);
    if (*ret_missing || !(count == 3 ? test_cluster_start(s->all, options, ret_why, why_size)
                                     : test_server_start(s->all, options, ret_why, why_size))) {
        return false;
    }
    s->count = count;
    return true;
}

void servers_url(const servers *s, char *ret_url, size_t size)
{
    if (s->count == 3) {
        test_cluster_url(s->all, ret_url, size);
    } else {
        test_server_url(s->all, ret_url, size);
    }
}

void servers_kill(servers *s, int which)
{
    s->down = which % s->count;
    test_server_kill(&s->all[s->down]);
}

bool servers_start_again(servers *s, char *ret_why, size_t why_size)
{
    if (s->count == 1) {
        return test_server_restart(s->all, ret_why, why_size);
    }
    bool begun = test_server_begin(&s->all[s->down]);
    if (!begun) {
        (void)snprintf(ret_why, why_size, "a server does not start again");
    }
    return begun;
}

bool servers_may_lose_one(const servers *s)
{
    char body[256];
    return s->count == 1 || test_server_get(&s->all[s->down], "/healthz", body, sizeof body) == 200;
}

void servers_free(servers *s)
{
    for (int i = 0; i < s->count; i++) {
        test_server_free(&s->all[i]);
    }
}
