/* SPDX-License-Identifier: Apache-2.0
 * Calls that publish, and the messages (posts) in them. */
#ifndef MARTY_BUS_CALL_H
#define MARTY_BUS_CALL_H
#include "bus/port.h"

/* ---- publishing */
typedef enum marty__post_state {
    MARTY__POST_QUEUED,
    MARTY__POST_SENT,
    MARTY__POST_ANSWERED
} marty__post_state;

typedef struct marty__way { /* where messages of a call go: a run of them that are all alike */
    marty__call *call;
    marty__port *port;
    marty_outgoing like; /* all but token and message, and a deadline once it is accepted; its names
                            live as long as the call, */
    bool lasts;          /* or the channel's as long as the bus */
    bool cancels;        /* takes back the scheduled message of this id, instead of publishing */
    size_t first, count; /* its posts */
    uint64_t bytes;      /* and what they cost to hold */
} marty__way;

typedef struct marty__post { /* one message on its way: a cache line, as there are many of them */
    marty__link link;        /* QUEUED: of port->posts or port->asks */
    const marty__way *way;
    marty_message *message;
    uint64_t token; /* while it is not answered */
    size_t bytes;
    marty_err err; /* once answered */
    marty__post_state state;
    bool doubtful; /* it may be stored already */
} marty__post;
_Static_assert(sizeof(marty__post) <= 64, "a post is no longer one cache line");

enum { MARTY__CALL_OPEN, MARTY__CALL_AWAITED, MARTY__CALL_FINISHED };

/* A publish (or reply, dead letter, cancel) with 1 to n messages: answered once, also on close.
 * Counted. */
struct marty__call {
    marty__task task;
    marty__alarm alarm; /* deadline */
    marty_bus *bus;
    atomic_uint refs;
    atomic_size_t left;
    int64_t deadline_ns;
    const void *cancel_key;
    marty__call *next_of_key; /* for whoever took its key away */
    marty_outcome *outcomes;  /* for whoever looks at more than err, else NULL */
    marty_done done;
    void *user;
    void (*completed)(marty__call *call); /* internal completion, in place of done: on any thread,
                                             must be quick, no lock held */
    marty_delivery *settles;
    bool at_once;        /* done is called where the answer comes, not by a worker */
    bool waited;         /* somebody waits in `answered` */
    atomic_int progress; /* waited: OPEN, AWAITED by a thread that sleeps, FINISHED */
    atomic_bool timed;   /* its alarm was set */
    atomic_bool worded;  /* somebody says in text why: one of several ports, under its own lock */
    bool no_retry;       /* do not publish a doubtful one again */
    char *strings;       /* names of the ways */
    marty__way *ways, *way;        /* way: the last one */
    size_t way_count, count, room; /* count: of posts; room: bytes of it all */
    marty__mutex lock;             /* with waited only; from here on it is not cleared */
    marty__cond answered;
    char text[256]; /* why the first bad one was not stored; to be read once all are answered */
    marty__post posts[];
};

/* ---- call*.c */
/** A call with room for that many ways and messages, and strings_size bytes of names; NULL without
 * memory. One reference, yours. */
marty__call *marty__call_new(marty_bus *bus, size_t ways, size_t count, size_t strings_size);
/** The messages that are added from now on go this way. */
void marty__call_go(marty__call *call, const marty__way *way);
/** Add a message; its reference is the call's then. */
void marty__call_add(marty__call *call, marty_message *message);
void marty__call_unref(marty__call *call);
/** Accept all posts or none: reserve room and queue. With wait, waits for room until
 * call->deadline_ns. */
marty_err marty__call_accept(marty__call *call, bool wait, marty_error *why);
/** Wait until it is answered. */
void marty__call_wait(marty__call *call);
/** End those still not answered with err (queued ones) or MAYBE_STORED (sent ones; at once only
 * when forced). */
void marty__call_expire(marty__call *call, marty_err err, bool force);
void marty__published(marty__port *port, const marty_published *results, size_t count);
typedef struct marty__call_at { /* how far one has looked for calls; 0 = not yet */
    size_t port, place;
} marty__call_at;
/** The next call with a message that is not answered, counted. NULL = no more; but one that is
 * published again meanwhile may be where one has looked already. */
marty__call *marty__call_find(marty_bus *bus, marty__call_at *at);
/** All calls of that key with a message that is not answered, counted, as a chain by next_of_key;
 * their key is taken away. */
marty__call *marty__calls_of(marty_bus *bus, const void *key);
/** A batch of those queued, to the adapter. With port->lock held, given up during the op. */
void marty__posts_run(marty__port *port);
void marty__asks_run(marty__port *port);
/** End the requests that wait for the reply channel. */
void marty__asks_refuse(marty__port *port, marty_err err, const char *text);
#endif
