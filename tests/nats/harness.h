/* SPDX-License-Identifier: Apache-2.0
 * A port of the nats module with a sink that writes everything down: what was answered, delivered,
 * settled, assigned. Waits have deadlines. One thread of the test; the sink takes any. */
#ifndef TESTS_NATS_HARNESS_H
#define TESTS_NATS_HARNESS_H
#include "check.h"
#include "support/certificates.h"
#include "support/server.h"
#include "support/wait.h"

#include <marty/backend.h>
#include <pthread.h>

enum { TOKENS = 200000, GOT = 200000 };

typedef struct got { /* one delivery */
    marty_incoming incoming;
    char position[48], reply_to[256];
    int64_t at_ns;
    bool unreadable;
} got;
typedef struct harness {
    marty_sink sink; /* first: the sink is cast back */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    marty_port *port;
    marty_state state;
    marty_err reason;
    char text[512], last_error[512];
    unsigned ups, downs;
    marty_capabilities granted;
    marty_err answers[TOKENS]; /* by token; -1 = none yet */
    marty_level levels[TOKENS];
    char positions[TOKENS][24];
    unsigned answered, answered_twice;
    uint64_t next_token;
    got deliveries[GOT];
    unsigned delivered;
    unsigned settled_ok, settled_lost, settled_failed;
    struct {
        uint64_t number;
        marty_err reason;
        unsigned count;
        char text[256];
    } subscribed[64];
    unsigned subscribed_count;
    bool shards[64][64]; /* by subscription: whether assigned */
    unsigned assigned, revoked;
} harness;

/** Made with its memory; parses the URL. NULL: text has the reason. */
harness *harness_open(const char *url, char *text, size_t size);
/** Connect and wait: up or down. */
marty_err harness_connect(harness *h);
/** The same, again while the reason is one for now, as core does: a machine that stands still for
 * longer than a server has for its greeting is such a reason. */
marty_err harness_reach(harness *h);
/** open and connect, to a server with more URL keys ("" = none); ends the program on failure. */
harness *harness_up(const test_server *server, const char *keys);
/** close, wait for it, free everything. */
void harness_close(harness *h);
/** Publish and wait for the answer. position may be NULL. */
marty_err harness_publish(harness *h, marty_kind kind, const char *channel, const char *type,
                          const char *data, char *ret_position);
/** The same with more to say. */
marty_err harness_publish_as(harness *h, marty_outgoing *outgoing, const marty_message *template_);
/** Publish without waiting; the token. */
uint64_t harness_send(harness *h, marty_outgoing *outgoing, const marty_message *template_);
marty_err harness_wait_answer(harness *h, uint64_t token, int64_t limit_ms);
/** Subscribe and wait until the broker has it. */
marty_err harness_subscribe(harness *h, uint64_t number, const marty_want *want);
/** Whether the broker has it by now. */
bool harness_subscribed(harness *h, uint64_t number);
marty_err harness_unsubscribe(harness *h, uint64_t number);
/** Wait until so many deliveries have come since the start; false: it took too long. */
bool harness_wait_delivered(harness *h, unsigned count, int64_t limit_ms);
bool harness_wait_state(harness *h, marty_state state, int64_t limit_ms);
bool harness_wait_settled(harness *h, unsigned ok, int64_t limit_ms);
bool harness_wait_shards(harness *h, uint64_t subscription, unsigned count, int64_t limit_ms);
unsigned harness_delivered(harness *h);
void harness_grant(harness *h, uint64_t number, uint32_t credit);
/** Settle the delivery with that index, and give its credit back. */
void harness_settle(harness *h, unsigned index, marty_verb verb, uint32_t delay_ms);
void harness_settle_all(harness *h, unsigned from, marty_verb verb);
/** Nothing more comes for so long, under a sanitizer too: what is held meanwhile has a lease, and
 * that is no longer there. */
bool harness_quiet(harness *h, int64_t for_ms);
/** Starts the server that argv[1] names, or ends the program with a skip. */
test_server *harness_server(const char *which, const test_server_options *options);
marty_want harness_want(marty_kind kind, const char *channel, const char *group, uint32_t credit);
#endif
