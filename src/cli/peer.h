/* SPDX-License-Identifier: Apache-2.0
 * `marty peer`: requests as JSON lines on stdin, answers and events as JSON lines on stdout
 * (docs/reference/peer.md). The main thread reads and runs requests one after the other; answers of
 * publish and request, and events, come from the bus's threads. One lock over the output, one over
 * the tables; neither is held while the library is called. */
#ifndef MARTY_CLI_PEER_H
#define MARTY_CLI_PEER_H
#include "message.h"

#include <pthread.h>

typedef struct peer peer;
typedef struct peer_item { /* in a table, by its number */
    struct peer_item *next;
    uint64_t number;
} peer_item;
enum { PEER_CELLS = 1024 };
typedef struct peer_table {
    peer_item *cells[PEER_CELLS];
    uint64_t last; /* number given last */
    char letter;   /* its names begin with: "d12" */
} peer_table;

typedef struct peer_bus {
    peer_item item;
    peer *peer;
    marty_bus *bus;
    bool exact, states, log; /* data always in base64; which events it wants */
    bool closing;            /* under the lock of the tables */
} peer_bus;
typedef struct peer_subscription {
    peer_item item;
    peer_bus *bus;
    marty_subscription *subscription;
    bool settle_auto, receiving; /* under the lock of the tables: ... */
    unsigned threads;            /* ... receives that use it still */
} peer_subscription;
typedef struct peer_delivery {
    peer_item item;
    peer_bus *bus;
    marty_delivery *delivery; /* kept */
} peer_delivery;
typedef struct peer_key { /* a name that calls can be cancelled by; its address is the key */
    struct peer_key *next;
    char *name;
} peer_key;
struct peer {
    cli_run *cli;
    pthread_mutex_t out, tables;
    pthread_cond_t received;
    peer_table buses, subscriptions, deliveries;
    peer_key *keys;
    json_t *request; /* the one that runs */
    char *id;        /* its id as JSON, "null" without */
    cli_text answer; /* what is added to its answer: ,"key":value */
    bool later;      /* it is answered by another thread */
    bool outlived;   /* a bus was closed before its callbacks ended */
};

/* ---- output */
/** Write one line: {"id":id,"ok":true<extra>}. extra begins with a comma, or is empty. */
void peer_ok(peer *self, const char *id, const char *extra);
/** {"id":id,"ok":false,"error":{...}<extra>}. */
void peer_failed(peer *self, const char *id, marty_err err, const marty_error *why,
                 const char *extra);
/** Append "error":{...}. */
void peer_error_json(cli_text *text, marty_err err, const marty_error *why);
/** Write a line. */
void peer_line(peer *self, const cli_text *line);

/* ---- tables */
/** Its number; the item may be taken out and freed by another thread at once. */
uint64_t peer_add(peer *self, peer_table *table, peer_item *item);
/** The item of a name such as "d12" (or 12), or NULL; take: out of the table. */
peer_item *peer_get(peer *self, peer_table *table, const json_t *name, bool take);
/** Any one that fits, taken out; NULL when none is left. */
peer_item *peer_take_any(peer *self, peer_table *table,
                         bool (*fits)(const peer_item *, const void *), const void *with);

/* ---- what a request says; all but the text of `why` borrowed from it */
const char *peer_text(const peer *self, const char *key);
int64_t peer_number(const peer *self, const char *key, int64_t without);
/** Without it 0; what does not fit is the nearest that does. */
uint32_t peer_small(const peer *self, const char *key);
/** The same of a timeout; below 0: MARTY_NO_WAIT. */
int32_t peer_ms(const peer *self, const char *key);
bool peer_true(const peer *self, const char *key);
/** The bus it names, or the newest. */
marty_err peer_bus_of(peer *self, peer_bus **ret_bus, marty_error *why);
marty_err peer_subscription_of(peer *self, peer_subscription **ret_subscription, marty_error *why);
/** A pattern by its word; without = when the request has none. */
marty_err peer_pattern_of(const peer *self, marty_pattern without, marty_pattern *ret_pattern,
                          marty_error *why);
/** A start by "from" or "position" of an object. */
marty_err peer_start_of(const json_t *object, marty_start *ret_start, marty_error *why);
/** The address that stands for a name of "cancel"; NULL when the request has none. */
const void *peer_cancel_key(peer *self, const char *name);

/* ---- messages (peer_data.c, peer_message.c) */
/** A request, or one message, in which each message's data is a string that holds its JSON. NULL:
 * ret_wrong. */
json_t *peer_parse(const char *text, size_t size, bool message, json_error_t *ret_wrong);
/** A template from a message of peer_parse. Free with cli_template_free. */
marty_err peer_template(cli_template *ret_template, json_t *object, marty_error *why);
/** ARGUMENT naming a field that is not one of "a|b|c"; MARTY_OK when all are. */
marty_err peer_fields_check(json_t *object, const char *known, marty_error *why);

/* ---- requests: MARTY_OK = answered with peer->answer, unless later */
typedef marty_err (*peer_op)(peer *self, marty_error *why);
/* clang-format off */
#define PEER_OPS(X) \
    X(open) X(close) X(start) X(flush) X(report) X(topology) X(unschedule) X(dead_letters) \
    X(cancel) X(publish) X(send) X(broadcast) X(stream) X(request) X(subscribe) X(handle) \
    X(receive) X(unsubscribe) X(stop) X(pause) X(concurrency) X(seek) X(stats) X(settle) X(reply) \
    X(fail) X(check) X(version)
/* clang-format on */
#define PEER__OP_DECLARE(name) marty_err peer_op_##name(peer *self, marty_error *why);
PEER_OPS(PEER__OP_DECLARE)
/** Give back and release what a bus (NULL = any) has delivered. */
void peer_deliveries_drop(peer *self, const peer_bus *bus);
/** Unsubscribe all of a bus. */
void peer_subscriptions_drop(peer *self, const peer_bus *bus);
#endif
