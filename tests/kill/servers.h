/* SPDX-License-Identifier: Apache-2.0
 * The nats-servers of a round, of the broker or of the store: one, or three of which one at a time
 * is killed. One thread. */
#ifndef TESTS_KILL_SERVERS_H
#define TESTS_KILL_SERVERS_H
#include "support/server.h"

typedef struct servers {
    test_server all[3];
    int count; /* 0 = there are none */
    int down;  /* which was killed last */
} servers;

/** false: why; missing: it is not installed. */
bool servers_start(servers *s, const test_server_options *options, int count, bool *ret_missing,
                   char *ret_why, size_t why_size);
void servers_url(const servers *s, char *ret_url, size_t size);
/** kill -9 of one. */
void servers_kill(servers *s, int which);
/** Start it again; a single one is waited for. */
bool servers_start_again(servers *s, char *ret_why, size_t why_size);
/** One of three is killed only while the others have all that it has. */
bool servers_may_lose_one(const servers *s);
void servers_free(servers *s);
#endif
