/* SPDX-License-Identifier: Apache-2.0
 * What the loop: backend keeps: for each group of a channel the messages that it has not acked. One
 * hub for the process, whose channels go with the last port. Functions want hub.lock held, which is
 * never held while core is called. */
#ifndef LOOP_HUB_H
#define LOOP_HUB_H
#include <marty/backend.h>
#include <pthread.h>

enum { NAME_BYTES_MAX = 255, FULL_NAME = 800, JOBS_MAX = 100000 };

typedef struct job {        /* a message for one group */
    struct job *next, *out; /* in its group or its holder; in its port's out */
    struct group *group;
    struct sub *holder; /* NULL = it waits */
    marty_message *message;
    uint64_t seq, tag;
    uint32_t tries;
    char reply_to[]; /* of a request, else "" */
} job;

typedef struct group {
    struct group *next;
    struct channel *channel;
    struct sub *subs; /* whose turn it is comes first */
    job *waiting;     /* by seq */
    bool alone;       /* of one subscription: goes with it */
    char name[];
} group;

typedef struct channel {
    struct channel *next;
    marty_kind kind;
    group *groups;
    char name[];
} channel;

typedef struct sub {
    struct sub *next, *in_group; /* of its port; of its group */
    struct marty_port *port;
    group *group;
    uint64_t number;
    uint32_t credit;
    job *held;
} sub;

struct marty_port {
    const marty_sink *sink;
    struct marty_port *next; /* of the hub */
    sub *subs;
    job *out, **out_end; /* given, but core does not know it yet */
    bool connected, telling;
    char name[]; /* of the URL: goes before the names of channels */
};

extern struct hub {
    pthread_mutex_t lock;
    pthread_cond_t told; /* a port is not being told anything any more */
    uint64_t seq, tags, jobs;
    channel *channels;
    marty_port *ports;
} hub;

/** Queues, requests, replies and dead letters have one group, named "". */
bool has_one_group(marty_kind kind);
/** Others are done with once delivered. */
bool is_settled(marty_kind kind);
/** Found or made; NULL with why. */
channel *channel_get(marty_kind kind, const char *name, marty_error *why);
group *group_find(const channel *c, const char *name);
group *group_new(channel *c, const char *name, bool alone);
/** A job for that group, or with NULL for each: all or none. */
marty_err jobs_add(channel *c, group *only, const marty_message *message, const char *reply_to,
                   marty_error *why);
/** Into its group, where it belongs by its number. */
void job_wait(job *j);
/** Out of its holder's and its port's lists. */
void job_take(job *j);
void job_free(job *j);
/** Hand out what waits, by turns, to those with credit. */
void dispatch(group *g);
void dispatch_channel(channel *c);
/** Give back what it holds, and be gone; nobody may be telling its port anything. */
void sub_leave(sub *gone);
void wait_until_told(marty_port *port);
/** Tell core what was handed out, and unlock. */
void flush_and_unlock(void);
/** Of the hub, or no more; with the last one all channels go. */
void port_enter(marty_port *port);
void port_leave(marty_port *port);
/** An object of a size with a name at its end; NULL without memory. */
void *new_named(size_t size, const char *name);
#endif
