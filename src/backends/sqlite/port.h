/* SPDX-License-Identifier: Apache-2.0
 * One port on a database: what ops leave under the lock, and what its thread alone works with. Ops
 * only queue: publishes in a ring with its memory from birth, settlements in links that are part of
 * the delivery, the rest in small control blocks. The thread ("the writer") takes all that is
 * queued into one transaction (a round), commits, then answers. Nothing in memory changes for good
 * before the commit, so a round that failed is rolled back and done again or answered. No callback
 * runs under the lock. */
#ifndef MARTY_BACKENDS_SQLITE_PORT_H
#define MARTY_BACKENDS_SQLITE_PORT_H
#include "base/buffer.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "base/thread.h"
#include "db.h"

enum {
    SQ_SEQ_BITS = 40, /* of a message's number: its place in the log */
    SQ_RING = 4096,   /* publishes waiting */
    SQ_RING_BYTES = 64 << 20,
    SQ_ROUND = 1024, /* publishes in one transaction */
    SQ_ROUND_BYTES = 8 << 20,
    SQ_CLAIM_MAX = 1024,  /* messages in one claim */
    SQ_PARKED_MAX = 2048, /* messages of a group that wait for their keys */
    SQ_TAG_BITS = 10,
    SQ_BODY_MAX = 16 << 20, /* bytes of data in a message */
    SQ_POSITION_BYTES = 48
};

typedef enum sq_topology { SQ_CREATE, SQ_CHECK, SQ_NONE } sq_topology;
typedef struct sq_options { /* times in microseconds, as stored; 0 = the kind's own, no limit */
    char *path, *prefix;
    int sync;
    int64_t lease_us, dedup_us, age_us, bytes_max;
    bool age_given, trim_hard;
    sq_topology topology;
} sq_options;

/* A log: the messages of a channel with one priority, or those for one group alone. Cached for the
 * round in which it was read. */
typedef struct sq_log {
    int64_t id, channel, grp, next, messages, bytes, last_us;
    int32_t priority;
    uint64_t round;
    marty__link dirty;
    unsigned bit; /* of the channel's name */
} sq_log;

/* A channel by name and kind: made at its first use, kept. Below the line the writer's. */
typedef struct sq_channel {
    char *name; /* with the prefix */
    marty_kind kind;
    unsigned bit;
    bool temporary; /* of one reply: freed once answered */
    /* ---- */
    uint64_t generation; /* the port's, when it was looked up; 0 = not yet */
    int64_t id, age_us, bytes_max, owner;
    marty_kind found_kind; /* what the row says */
    bool ordered, trim_hard;
    int64_t logs[16]; /* ids: shared by all groups, highest priority first */
    int32_t priorities[16];
    unsigned log_count;
    int64_t first_log; /* the oldest: of priority 0 */
} sq_channel;

typedef enum sq_why { /* why a publish ended as it did: text is made when it is told */
                      SQ_WHY_STORED,
                      SQ_WHY_DUPLICATE,
                      SQ_WHY_LOCKED,
                      SQ_WHY_LATE,
                      SQ_WHY_NO_CHANNEL,
                      SQ_WHY_DIFFERENT,
                      SQ_WHY_LIMIT,
                      SQ_WHY_NO_GROUP,
                      SQ_WHY_NO_RESPONDER,
                      SQ_WHY_NOT_SCHEDULED,
                      SQ_WHY_WAL,
                      SQ_WHY_CLOSED,
                      SQ_WHY_DATABASE
} sq_why;

typedef struct sq_entry { /* a publish */
    uint64_t token;
    marty_message *message;
    sq_channel *channel;
    marty_order order;
    char *reply_to, *group; /* NULL mostly */
    int64_t deliver_at_us, deadline_ns;
    int64_t position; /* number of the stored message, 0 = none to tell */
    size_t cost;
    marty_err err;
    sq_why why;
    bool done;
} sq_entry;

typedef enum sq_stand { SQ_OUT = 1, SQ_SETTLING, SQ_OVER } sq_stand;
struct sq_claim;
typedef struct sq_item { /* one delivery out at core; link: queued to settle; extending: to extend
                          */
    marty__link link, extending;
    struct sq_claim *claim;
    int64_t message, key, lease_us;
    uint32_t attempt, bytes;
    sq_stand stand; /* under the lock */
    marty_verb verb;
    uint32_t delay_ms, extend_ms, extends;
    sq_entry *dead;
    bool extend_queued;       /* under the lock */
    bool leaving, gone, over; /* the writer's: this round settles it; no longer ours; settled */
    int64_t extended_us;      /* this round gives it that lease */
    marty_err result;
} sq_item;
struct sq_sub;
typedef struct sq_claim { /* one row of marty_claim */
    marty__link link;     /* of the subscription's */
    marty__link dirty;    /* touched in this round */
    uint64_t serial;
    struct sq_sub *sub;
    int64_t version, lease_us;
    uint32_t count, left;
    bool lost;
    sq_item items[];
} sq_claim;

typedef enum sq_control_kind {
    SQ_SUBSCRIBE = 1,
    SQ_UNSUBSCRIBE,
    SQ_CANCEL,
    SQ_TOPOLOGY
} sq_control_kind;
struct sq_ask;
typedef struct sq_control {
    marty__link link;
    sq_control_kind kind;
    struct sq_sub *sub;
    marty_start start;
    int64_t lease_us; /* SUBSCRIBE */
    bool reset;
    sq_entry entry;     /* CANCEL: token and channel */
    char *id;           /* CANCEL; SUBSCRIBE: the start's position */
    struct sq_ask *ask; /* TOPOLOGY */
    marty_err err;
    char text[300];
} sq_control;

typedef struct sq_sub {
    marty__link bucket;  /* of those that listen to one bit, or to all (wild) */
    marty__link granted; /* under the lock: got credit since the writer looked */
    marty__link hungry;  /* the writer's: credit and perhaps messages */
    marty__timer due;    /* when something waiting in marty_retry may go */
    uint64_t number;
    sq_channel *channel; /* of a wild one only name, kind, order count */
    marty_order order;
    char *group;      /* NULL = every instance */
    bool wild, owned; /* owned: the group dies with this subscription */
    uint32_t credit;  /* under the lock */
    /* ---- the writer's */
    int64_t grp, channel_id, cursor, cursor_next; /* cursor_next: once the round is committed */
    int64_t lease_us;                             /* of its deliveries */
    bool ready, ordered, maybe, gone, orphan;
    bool parked_full, parked_told; /* as many wait for their keys as may; the log says so */
    marty__link claims;
    sq_control bye; /* so that unsubscribe needs no memory */
} sq_sub;

typedef struct sq_delivery { /* made in a round, given to core after its commit */
    sq_sub *sub;
    uint64_t tag;
    marty_message *message;
    char *reply_to;
    char *channel; /* of a subscription to many: our name of the one that it came from */
    void *raw;
    size_t raw_size;
    int64_t position, lease_us;
    uint32_t attempt;
} sq_delivery;

typedef struct sq_touched { /* what a round changed that others, or answers, hang on */
    sq_news news;
    bool any_news, removed; /* removed: a channel or group; ours may have had it */
} sq_touched;

struct sq_seen_set;
struct marty_port {
    const marty_sink *sink;
    sq_options options;
    marty__mutex lock;
    /* ---- under the lock */
    sq_entry *ring;
    uint64_t ring_head, ring_tail; /* tail: next to be filled */
    size_t ring_bytes;
    marty__link settles, extends, controls, granted;
    marty__map subs;     /* number -> sq_sub */
    marty__map claims;   /* serial -> sq_claim */
    marty__map channels; /* name and kind -> sq_channel */
    sq_slot *bell;       /* in the shared file; NULL = not connected */
    bool up, closing, ended, interest_stale;
    bool resting, led, left; /* resting: the thread sleeps and was not called; led: another does its
                                work; left: something was queued since that one looked */
    int64_t rest_until_ns;
    marty__cond returned; /* led no more */
    int64_t close_deadline_ns;
    pthread_t thread;
    bool joinable;
    /* ---- the writer's */
    sq_db db;
    sq_shared shared;
    uint64_t member, serial, round, generation, census;
    int64_t removals;
    bool orphans;
    int64_t topology; /* count of changes to channels; generation moves when it does */
    marty__link dirty_logs;
    int64_t now_us, now_ns, wall_us; /* of this round */
    marty__map logs;                 /* id -> sq_log */
    sq_log *log_again;               /* the one that was asked for last */
    marty__link work_settles, work_extends, work_controls, hungry, dirty_claims;
    marty__link buckets[SQ_NEWS_BITS], wild;
    uint32_t bit_users[SQ_NEWS_BITS], wild_users;
    marty__heap due;
    int64_t later_due_us, tick_ns, retry_ns, data_version, swept_log;
    bool sweep_more;
    bool reclaim, sweep;  /* the next round does these too */
    int64_t commit_ns;    /* how long the last one took */
    uint64_t round_count; /* entries of the ring in this round */
    sq_touched touched;
    sq_delivery *deliveries;
    size_t delivery_count, delivery_room, delivery_bytes;
    marty__link new_claims, fed; /* of this round: claims made, subscriptions asked */
    marty__buffer body;
    struct sq_seen_set *seen;
    sq_news interest;
    int failures, io_failures;
    marty_err down_err;
    char down_text[sizeof(((marty_error *)0)->text)];
};

/* Numbers of messages. */
MARTY_INLINE int64_t marty__sq_first_of(int64_t log)
{
    return log << SQ_SEQ_BITS;
}
MARTY_INLINE int64_t marty__sq_log_of(int64_t message)
{
    return message >> SQ_SEQ_BITS;
}
MARTY_INLINE int64_t marty__sq_place_of(int64_t message)
{
    return message & (((int64_t)1 << SQ_SEQ_BITS) - 1);
}
MARTY_INLINE unsigned marty__sq_table_of(int64_t message)
{
    return (unsigned)((marty__sq_log_of(message) - 1) % SQ_TABLES);
}
/** Whether deliveries of that kind are settled; others are gone once delivered. */
MARTY_INLINE bool marty__sq_kind_keeps(marty_kind kind)
{
    return kind == MARTY_KIND_TOPIC || kind == MARTY_KIND_QUEUE || kind == MARTY_KIND_STREAM ||
           kind == MARTY_KIND_DEAD;
}

/* ---- url.c */
marty_err marty__sq_options_parse(sq_options *options, const char *url, marty_error *why);
void marty__sq_options_free(sq_options *options);

/* ---- queue.c: ops, any thread */
/** The channel of that name and kind, made when missing; NULL without memory. Under the lock. */
sq_channel *marty__sq_channel_of(marty_port *port, const marty_channel *channel, bool temporary);
/** Without a name in `channel`, or too long a one: why. */
marty_err marty__sq_channel_check(const marty_port *port, const marty_channel *channel,
                                  marty_error *why);
void marty__sq_channel_free(sq_channel *channel);
/** Whether a name is a pattern of names. */
bool marty__sq_is_wild(const char *name);
/** A copy, NULL of NULL; false without memory. */
bool marty__sq_copy(char **ret_copy, const char *text);
/** Why an op took nothing: NO_MEMORY or UNAVAILABLE. */
marty_err marty__sq_not_queued(const marty_port *port, marty_err err, marty_error *why);
void marty__sq_control_queue(marty_port *port, sq_control *control);
/** Give back what an entry holds. */
void marty__sq_entry_free(marty_port *port, sq_entry *entry);
void marty__sq_control_free(marty_port *port, sq_control *control);
/** Ring the writer's bell; under the lock. */
void marty__sq_wake(marty_port *port);
/** The same where the lock is given up next: what to wake then, NULL = nobody sleeps. */
sq_slot *marty__sq_swing(marty_port *port);
marty_err marty__sq_publish(marty_port *port, const marty_outgoing batch[], size_t count,
                            size_t *ret_taken, marty_error *why);
marty_err marty__sq_cancel(marty_port *port, const marty_channel *channel, const char *id,
                           uint64_t token, marty_error *why);

/* ---- subscribe_op.c */
marty_err marty__sq_subscribe(marty_port *port, uint64_t subscription, const marty_want *want,
                              marty_error *why);
void marty__sq_grant(marty_port *port, uint64_t subscription, uint32_t credit);
void marty__sq_unsubscribe(marty_port *port, uint64_t subscription);
void marty__sq_sub_free(marty_port *port, sq_sub *sub);

/* ---- settle_op.c */
void marty__sq_settle(marty_port *port, const marty_settling batch[], size_t count);

/* ---- topology */
marty_err marty__sq_topology(marty_port *port, const char *verb, const marty_want *what,
                             int64_t deadline_ns, marty_message **ret_answer, marty_error *why);

/* ---- lead.c: ops, any thread */
bool marty__sq_lead(marty_port *port, int64_t until_ns);
void marty__sq_serve(marty_port *port);

/* ---- writer.c */
void *marty__sq_writer(void *port);
#endif
