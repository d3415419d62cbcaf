/* SPDX-License-Identifier: Apache-2.0
 * What the files of the nats module share. One lock (port->lock) guards all of it unless a line
 * says otherwise. Threads: core's (the ops: never wait), the loop (sockets, the only reader of the
 * connections), the worker (JetStream API calls, may wait), the keeper (shard leases, may wait).
 * Functions named ..._locked expect the lock; the others take it. */
#ifndef MARTY_BACKENDS_NATS_NATS_H
#define MARTY_BACKENDS_NATS_NATS_H
#include "common.h"
#include "frames.h"

#include "base/list.h"

#include <marty/backend.h>
#include <nats/nats.h>
#include <pthread.h>
#include <stdatomic.h>

enum {
    NATS__NAME_MAX = 200,           /* bytes of a stream or a consumer */
    NATS__SUBJECT_MAX = 1024,       /* bytes of a subject that we make */
    NATS__PENDING_MAX = 65536,      /* publishes not yet answered */
    NATS__OUT_BYTES_MAX = 4 << 20,  /* bytes not yet taken by the kernel: then FULL */
    NATS__IN_BYTES_MAX = 16 << 20,  /* bytes of one pull, or kept for one core subscription */
    NATS__CALL_MS = 5000,           /* a JetStream API call */
    NATS__PING_MS = 1500,           /* silence after which the server is asked for a sign */
    NATS__SILENCE_MS = 4500,        /* silence after which it counts as gone */
    NATS__PULL_MS = 4700,           /* how long a pull waits at the server, at most */
    NATS__MAX_ACK_PENDING = 100000, /* of a group, over all its instances */
    NATS__GUESS_MS = 200,           /* a lease that is guessed is no shorter */
    NATS__LEVEL_TTL = 1,            /* API levels of the server */
    NATS__LEVEL_SCHEDULE = 2,
    NATS__TOLD_MAX = NATS__SUBJECT_MAX + 128, /* bytes of a text with a subject */
    NATS__BATCH = 256,                        /* messages handed to core at once */
};

/* Bytes that need a place to grow in. Freed with marty_free(data). */
typedef struct nats__buffer {
    char *data;
    size_t size, capacity;
} nats__buffer;

typedef struct nats__wire nats__wire;
typedef struct nats__inbox nats__inbox;
typedef struct nats__channel nats__channel;
typedef struct nats__source nats__source;
typedef struct nats__subscription nats__subscription;

/* A subscription whose messages the loop hands over; embedded in what it is for. arrived borrows
 * them until it returns. room: how many it takes now; NULL = all. What waits for room is kept up to
 * a limit, above it lost, and that is said. */
struct nats__inbox {
    marty__link link; /* of the wire, the last active first */
    natsSubscription *sub;
    void (*arrived)(marty_port *port, nats__inbox *inbox, const nats__message *messages,
                    size_t count);
    size_t (*room)(const nats__inbox *inbox);
    void *owner;
    nats__wire *wire;    /* NULL = not open */
    marty__link waiting; /* copies that wait for room: the loop's */
    size_t waiting_bytes;
    uint64_t sid;
    int64_t dropped; /* by the library, as told */
    bool closing;    /* the loop shall take it off */
    bool drained;    /* the library has said at the server that it listens no more */
    bool starved;    /* messages wait for room */
};

/* Tokens in their order: of what keeps nothing (core NATS), answered when an echo behind them has
 * come back. */
typedef struct nats__taken {
    uint64_t token; /* 0 = answered already */
    uint64_t mark;  /* of a query: hash of its reply subject; 0 */
} nats__taken;
typedef struct nats__ring {
    nats__taken *taken;
    size_t capacity, head, count;
} nats__ring;

/* One connection. Bulk traffic has one, queries and replies another, so that neither waits behind
 * the other. */
struct nats__wire {
    marty_port *port;
    natsConnection *nc;         /* NULL = down */
    natsConnection *live;       /* the loop's own view of it */
    natsStatistics *statistics; /* the loop's */
    int fd;
    bool tls;
    atomic_bool wants_write; /* the library has bytes for the socket */
    atomic_bool lost;        /* the library closed it */
    nats__buffer in;         /* what was read and is not whole yet: the loop's */
    nats__inbox **by_sid;    /* NULL = none */
    size_t sid_count;
    nats__buffer out;     /* frames; the loop takes them all at once */
    nats__buffer sending; /* the loop's */
    size_t sent;          /* of sending */
    size_t out_sent;      /* of out, sent by an op: only when nothing else is under way */
    bool library_busy;    /* the library has sent a part of its bytes */
    int low_water;        /* bytes that make the socket readable; 0 = not set */
    int64_t last_read_ns, ping_ns;
    uint64_t messages; /* TLS: the library's count of messages, as last seen: the loop's */
    marty__link inboxes;
    nats__inbox control;   /* answers of the API, echoes */
    char base[64];         /* of our reply subjects on this connection */
    nats__ring ring;       /* tokens without an ack of their own */
    size_t ring_asked;     /* so many of them are covered by the echo on its way */
    uint64_t echo;         /* number of the last echo */
    bool echo_out;         /* it is on its way */
    int64_t confirm_at_ns; /* when the next one goes out at the latest; INT64_MAX */
};

/* A publish that JetStream has not answered. */
typedef struct nats__pending {
    uint64_t token; /* 0 = free */
    nats__channel *channel;
    int64_t deadline_ns;
    uint64_t subject_hash, serial;
    uint32_t generation, next_free;
    uint32_t shard;
} nats__pending;

typedef enum nats__ready { NATS__UNKNOWN, NATS__ENSURING, NATS__READY } nats__ready;

/* A message that waits for its channel to be ensured. */
typedef struct nats__held {
    marty__link link;
    uint64_t token;
    marty_message *message;
    int64_t deliver_at_us, deadline_ns;
    bool copy; /* for one group only: its id is in use already */
} nats__held;

/* A channel that was used: a stream at the server, or a core subject. Lives as long as the port. */
struct nats__channel {
    nats__channel *next; /* of its bucket */
    marty_kind kind;
    _Atomic marty_order order; /* written with the lock, read without it, too; so is shards */
    bool native, retry, core;
    bool bare; /* a legacy stream: its subject is its name */
    bool shards_given;
    char *native_subject; /* of an existing stream with a name of its own */
    _Atomic uint32_t shards;
    const char *name, *group; /* group: of a retry place */
    const char *stream;       /* "" = core */
    const char *subject;      /* base of its subjects */
    const char *schedule;     /* base of its scheduled messages' subjects */
    nats__ready ready;
    marty__link held;
    nats__inbox acks;   /* of the publishes to it, on this connection */
    uint32_t id;        /* in the subject of its acks */
    uint32_t in_flight; /* publishes not answered */
    uint32_t missing; /* so many of them found no stream; which ones shows when no other is left */
    marty_level level;
    uint32_t copies;
    bool assumed, ttl, schedules, checked; /* what its stream allows */
    char *last_type, *last_subject;        /* the last subject that was made */
};

/* A message handed to core and not settled. */
typedef struct nats__entry {
    uint64_t tag; /* 0 = free */
    nats__source *source;
    uint64_t sequence;   /* of the stream */
    nats__message *kept; /* a copy, to deliver it again from memory (legacy) */
    int64_t again_ns;    /* when; 0 = with core */
    int64_t leased_ns;   /* when its lease began, as far as we know */
    uint32_t attempt, next_free;
    char tail[104]; /* of the ack subject, behind the source's prefix */
} nats__entry;

/* Ordered: a message that was given back and comes again before later ones. */
typedef struct nats__awaited {
    uint64_t sequence;
    int64_t due_ns; /* the server has it ready then */
} nats__awaited;

/* One consumer at the server that a subscription pulls from. Its inbox is its own. */
struct nats__source {
    nats__inbox inbox;
    marty__link link; /* of the subscription */
    nats__subscription *owner;
    nats__channel *channel;
    char consumer[NATS__NAME_MAX + 1];
    char *ack_prefix; /* "$JS.ACK.<stream>.<consumer>." */
    size_t ack_prefix_size;
    uint32_t id, shard, request;
    uint64_t lease_ms; /* as its consumer has it, as far as we know; once it has begun: lock */
    int64_t look_ns;   /* when it is looked at again, as another one may have changed it; 0 = no */
    bool lease_told;   /* the log says that it is longer than was asked for */
    bool ordered, running, ephemeral;
    bool shared;            /* one instance at a time has it, ordered: its lease is the URL's */
    bool optional;          /* may be missing at the server */
    bool proven;            /* its consumer has answered a pull */
    bool releasing;         /* its shard goes to another instance: nothing new */
    int64_t valid_until_ns; /* ordered: the end of our lease of its shard */
    uint32_t outstanding;   /* asked for and not come */
    int64_t expires_ns;     /* when the last pull ends */
    int64_t not_before_ns;
    int64_t hot_ns;       /* until then it counts as busy */
    int64_t arrived_ns;   /* when the last message came */
    int64_t missing_ns;   /* since when no server has its consumer; 0 = one has */
    int64_t silent_ns;    /* since when its pulls end without a word; 0 = they do not */
    nats__message **kept; /* copies: without credit, or behind one that goes back; in order */
    size_t kept_head, kept_count, kept_capacity, kept_bytes;
    int64_t kept_since_ns; /* the oldest of them came no sooner */
    nats__awaited *awaited;
    size_t awaited_count, awaited_capacity;
    int64_t awaited_until_ns;
    uint64_t last_sequence; /* highest delivered */
    int64_t due_ns[16];     /* when the last ones given back with a delay are ready again */
    uint32_t due_next;
    nats__buffer returned; /* given back by core while pulls are out */
};

/* How often a message was given back uncounted, by sequence; a small ring. */
typedef struct nats__uncounted {
    uint64_t sequence;
    const nats__channel *channel;
    uint32_t times;
} nats__uncounted;

typedef struct nats__share nats__share;

/* Where a group begins; position is its own. */
typedef struct nats__start {
    marty_from from;
    int64_t time_us;
    char *position;  /* NULL = none */
    uint64_t resume; /* group of this instance: it goes on there instead; 0 = no */
} nats__start;

/* A subscription of core. */
struct nats__subscription {
    marty__link link;
    marty_port *port;
    uint64_t number;
    marty_kind kind;
    marty_order order;
    bool native, reset, wildcard, instance;
    uint32_t shards;
    char *name, *group;
    nats__start start; /* who sets it up reads it: the worker, and the keeper while it has shards */
    nats__start sought; /* lock: takes its place when it is set up the next time */
    bool seeks;         /* lock: there is one */
    uint32_t window, credit;
    uint64_t lease_ms; /* lock: that is wanted */
    bool doubts;       /* lock: a lease is shorter than we know, it seems; the worker looks */
    bool looks;        /* lock: the worker looks whether its silent sources are there */
    bool keeps;        /* some source keeps messages that wait for credit or their turn */
    bool core, memory; /* memory: settled in memory (legacy on core subjects) */
    bool leaving, ready;
    bool retiring; /* core wants no more, and settles what it has */
    bool late;     /* a pattern's channel that was made after it: it begins at its first message */
    bool nobody;   /* of replies: the query whose echo comes next found no responder */
    uint32_t jobs;
    uint64_t serial;
    uint64_t begun; /* which beginning is set up, or will be; 0 = none, core subscribes again */
    nats__inbox inboxes[2]; /* of a core subscription: the name, and all below it */
    marty__link sources;
    nats__entry *entries;
    uint32_t entry_count, free_entry, used;
    nats__uncounted uncounted[256];
    uint32_t uncounted_next;
    uint64_t resume; /* group of this instance: where it goes on after a new connection */
    nats__share *share;
    nats__buffer orphans; /* given back when the next connection is up */
};

/* A JetStream API call that a thread waits for. */
typedef struct nats__call {
    marty__link link;
    uint32_t id;
    bool done, sign, nobody; /* sign: of life only; nobody: JetStream is off */
    uint64_t subject_hash;
    char denied[256];     /* what the server did not permit */
    nats__message *reply; /* a copy; NULL and done: the connection is gone */
} nats__call;

typedef struct nats__job nats__job;
struct nats__job {
    marty__link link;
    void (*run)(marty_port *port, nats__job *job);
    nats__subscription *subscription;
    nats__channel *channel;
    uint64_t token;
    char text[]; /* of a cancel: the id */
};

typedef enum nats__life { NATS__DOWN, NATS__CONNECTING, NATS__UP, NATS__CLOSED } nats__life;

/* Errors of permission that are to be said: a line a second. */
typedef struct nats__denied {
    int64_t next_ns; /* when the next line may be */
    unsigned count;  /* that were not said */
    char last[256];  /* of them */
} nats__denied;

/* A subject that we may not publish to, it seems, while publishes to it are not answered. */
typedef struct nats__forbidden {
    uint64_t hash;
    uint32_t refused, pending;
    char told[NATS__TOLD_MAX];
} nats__forbidden;

struct marty_port {
    const marty_sink *sink;
    marty__link living;
    uintptr_t number; /* of no other port, ever */
    nats__options options;
    pthread_mutex_t lock;
    pthread_cond_t changed, jobs_changed;
    nats__life life;
    uint32_t epoch; /* of the connection */
    bool closing;
    atomic_bool stop;
    nats__wire wires[2];
    char id[24];         /* random: of our inboxes */
    char server[256];    /* host:port of the connected server */
    char version[32];    /* of the server */
    char lost_text[384]; /* why the connection broke, if the library said */
    marty_err lost_err;
    int64_t payload_max;
    int64_t clock_us, clock_ns,
        clock_slack_ns;    /* the server's time, when, and how sure; 0 = unknown */
    atomic_uint api_level; /* also read without the lock */
    bool jetstream;
    size_t server_next; /* of the list, to try next */
    int wake_fd;
    atomic_int sleeping; /* the loop: 0 awake, 1 short nap, 2 until something happens */
    bool loop_started, worker_started; /* who runs the ops */
    bool keeper_started;               /* the worker, then who frees */
    bool loop_over;                    /* it has let go of all for good */
    bool reaps;                        /* an inbox is closing */
    pthread_t loop, worker, keeper;
    pthread_cond_t keeper_changed;
    marty__link shares;
    nats__inbox advisories; /* of streams made, once a pattern over channels is subscribed to */
    int64_t refresh_ns;     /* when such patterns look for channels again */
    nats__channel *buckets[256];
    nats__pending *pending;
    uint32_t pending_count, pending_free, pending_used;
    uint64_t pending_serial; /* of the last one */
    uint32_t held_count;
    int64_t pending_due_ns; /* not later than the first deadline */
    nats__ring asked;       /* tokens of queries: each has an echo of its own */
    marty__link calls, jobs, subscriptions, leaving;
    uint32_t next_call, next_source, next_channel;
    uint32_t calls_missing; /* calls that found nobody: as missing of a channel */
    int64_t due_ns;         /* when the loop must look, if that is sooner than it thinks */
    uint64_t rounds;        /* of the loop */
    nats__denied denied;
    nats__forbidden forbidden[16];
    uint32_t forbidden_count;
    uint64_t acked[64]; /* a bit each, by their hash: subjects with an ack on this connection */
    bool look_again;    /* an inbox that was starved has room */
    struct nats__batch *batch; /* the loop's */
    nats__buffer scratch;      /* header lines of the message being framed */
    char instance[32];
};

/* ---- buffer.c */
bool nats__buffer_room(nats__buffer *buffer, size_t size);
void nats__buffer_add(nats__buffer *buffer, const void *data, size_t size); /* room was made */
bool nats__buffer_append(nats__buffer *buffer, const void *data, size_t size);
bool nats__buffer_text(nats__buffer *buffer, const char *text);
size_t nats__decimal(char *out, uint64_t value); /* without NUL, up to 20 bytes */
uint64_t nats__number(const char **text);        /* digits at *text, which moves on */
uint64_t nats__hash(const char *text);
uint32_t nats__murmur2(const char *data, size_t size);
int64_t nats__now_ns(const marty_port *port);
int64_t nats__wall_us(const marty_port *port);

#endif
