/* SPDX-License-Identifier: Apache-2.0
 * The objects of a running bus, for src/bus and the layers above it (patterns, reliability).
 * Locks, in the order in which they may be taken: bus->lock, consumer->lock, subscription->lock,
 * then one of port->lock, pool.lock, clockwork.lock (leaves). No lock is held while an op of an
 * adapter or code of the user runs. */
#ifndef MARTY_BUS_INTERNAL_H
#define MARTY_BUS_INTERNAL_H
#include "base/clock.h"
#include "base/heap.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/map.h"
#include "base/thread.h"
#include "bus/config.h"
#include "bus/match.h"
#include "bus/route.h"

#include <marty/backend.h>
#include <stdatomic.h>

typedef struct marty__port marty__port;
typedef struct marty__consumer marty__consumer;
typedef struct marty__delivery marty__delivery;
typedef struct marty__lane marty__lane;
typedef struct marty__call marty__call;

/* Something for a worker (or process) to run once. Embedded in its owner, so queueing never
 * allocates. */
typedef struct marty__task {
    marty__link link;
    void (*run)(struct marty__task *task);
} marty__task;

/* Rings once, on the housekeeping thread (or in process when simulated), with no lock held. Its
 * owner keeps itself alive meanwhile. */
typedef struct marty__alarm {
    marty__timer timer;
    void (*ring)(struct marty__alarm *alarm);
} marty__alarm;

/* Runs tasks: on worker threads, or on the thread that calls marty_bus_process. */
typedef struct marty__pool {
    marty__mutex lock;
    marty__cond work;
    marty__link tasks;
    pthread_t *threads;
    uint32_t size;    /* how many may run at once */
    uint32_t started; /* threads that exist, at most 2 * size */
    uint32_t running,
        waiting;      /* tasks being run by unblocked threads; threads that wait for work */
    uint32_t blocked; /* threads inside a blocking call of ours */
    bool stopping, driven, stalled;
    marty__alarm stall_alarm;
} marty__pool;

/* Alarms and the thread that rings them. */
typedef struct marty__clockwork {
    marty__mutex lock;
    marty__cond changed;
    marty__heap heap;
    pthread_t thread;
    marty__alarm *ringing;   /* being run now; cancel waits for it unless it is the canceller */
    int64_t asleep_until_ns; /* when the thread wakes by itself; 0 = it is awake */
    int wake_fd;
    bool has_thread, stopping;
} marty__clockwork;

typedef enum marty__phase {
    MARTY__OPEN,
    MARTY__DRAINING,
    MARTY__FLUSHING,
    MARTY__CLOSED
} marty__phase;

/* What the layers above hang into the bus, so that it never names them. */
typedef struct marty__hooks {
    /** Before the handler: false when it has been settled instead (expired, worn out). */
    bool (*admit)(marty__delivery *delivery);
    /** The handler or its owner asks for another try: err and reason say why, delay_ms 0 = by the
     * policy. Must finish or hold it. */
    void (*failed)(marty__delivery *delivery, marty_err err, uint32_t delay_ms, const char *reason);
    /** To the dead letters with it. Must finish or hold it. */
    void (*rejected)(marty__delivery *delivery, marty_err code, const char *reason);
    /** Not now and not its fault. Must finish or hold it. */
    void (*given_back)(marty__delivery *delivery, uint32_t delay_ms);
    /** A query ended without an answer by the handler. Must answer it; the bus settles it. */
    void (*unanswered)(marty__delivery *delivery, marty_err err);
    /** End what waits under this key beside calls (queries); returns how many. */
    size_t (*cancelled)(marty_bus *bus, const void *key);
    /** The bus is closed: end everything that still waits. */
    void (*closed)(marty_bus *bus);
    /** Something came on the reply channel. */
    void (*replied)(marty_bus *bus, const marty_message *message);
} marty__hooks;

typedef struct marty__state_node {
    marty__link link;
    marty_state_event event;
    marty__consumer *consumer;
    char text[256];
    uint32_t *shards;
} marty__state_node;

struct marty_bus {
    atomic_uint refs;
    unsigned fork_generation;
    const marty__hooks *hooks;
    void *upper; /* what the layers above keep per bus (pending queries) */
    void (*upper_free)(void *upper);
    marty__config *config;
    marty_env env;
    bool simulated, driven, started_by_user;
    char *service, *instance, *source; /* service may be NULL */
    uint32_t inflight_max;
    uint64_t inflight_bytes_max;
    int32_t timeout_ms, drain_ms;
    marty_on_state on_state;
    marty_on_log on_log;
    void *user;
    void (*user_free)(void *user);
    marty__pool pool;
    marty__clockwork clockwork;
    marty__port *ports;
    size_t port_count;
    marty__mutex lock;   /* subscriptions, phase changes, events, calls */
    marty__cond changed; /* phase, started, active, calls */
    marty__link subscriptions, calls;
    atomic_int phase;
    atomic_bool stop_asked, started;
    atomic_uint stops;        /* how often; a second one cuts the drain short */
    atomic_size_t active;     /* deliveries in the hands of user code, or kept */
    atomic_size_t open_calls; /* calls accepted and not completed */
    size_t subscription_count;
    marty__alarm life_alarm, drain_alarm, unstarted_alarm;
    int64_t drain_deadline_ns;
    atomic_bool cut_off;     /* the drain deadline passed */
    bool ports_closing;      /* the last part of the drain has begun */
    bool torn_down;          /* no thread of ours is left */
    marty__mutex close_lock; /* one close at a time */
    marty__link events;      /* state events not yet told */
    marty__task event_task;
    bool telling;
    int wake_fd;       /* driven: an eventfd, else -1 */
    atomic_bool awake; /* wake_fd is readable already */
    atomic_bool processing;
    pthread_t processing_thread;
    atomic_uint_fast64_t late_replies, unmatched, dropped, expired;
};

/* ---- ports */
typedef struct marty__command {
    marty__link link; /* next NULL = not queued */
    void (*run)(marty__port *port, struct marty__command *command);
} marty__command;

typedef struct marty__adapter_timer {
    marty__alarm alarm;
    marty__command command;
    marty__port *port;
    void (*call)(void *user);
    void *user;
} marty__adapter_timer;

enum { MARTY__ADAPTER_TIMERS = 8 };

typedef struct marty__slot { /* a token of the adapter: generation << 32 | index + 1 */
    struct marty__post *post;
    uint32_t generation, next_free;
} marty__slot;

struct marty__port {
    marty_sink sink; /* first: the adapter's view of us */
    marty_bus *bus;
    size_t index;
    const char *name; /* of the backend in the configuration */
    char *url;        /* redacted */
    const marty_backend *backend;
    marty_port *adapter;
    marty__mutex lock;
    marty__cond changed; /* state, room */
    bool busy;           /* somebody runs the ops */
    marty__link posts, settles, extends, grants, commands;
    bool full;        /* the adapter took not all: wait for its next answer */
    uint64_t answers; /* of publishes, ever */
    marty__slot *slots;
    uint32_t slot_count, free_slot; /* free_slot: index + 1, 0 = none */
    size_t inflight;
    uint64_t inflight_bytes;
    size_t settling; /* given to the adapter, not answered */
    bool room_wanted;
    marty_state state; /* UP, DOWN, BLOCKED or CLOSED; DOWN at first */
    marty_err reason;
    char text[256];
    marty_capabilities granted;
    uint32_t failures; /* attempts to connect since the last UP */
    bool connecting, ever_up, closing, closed;
    marty__alarm reconnect_alarm, kick_alarm, room_alarm;
    marty__command connect_command, close_command;
    int64_t close_deadline_ns;
    marty__adapter_timer timers[MARTY__ADAPTER_TIMERS];
    marty__map consumers; /* number -> consumer */
    uint64_t next_number;
    marty__consumer *reply; /* of our reply channel, or NULL */
};

/* ---- publishing */
typedef enum marty__post_state {
    MARTY__POST_QUEUED,
    MARTY__POST_SENT,
    MARTY__POST_ANSWERED
} marty__post_state;

typedef struct marty__post { /* one message on its way */
    marty__link link;
    marty__call *call;
    marty__port *port;
    marty_message *message;
    const char *channel, *group, *reply_to; /* live as long as the call */
    marty_kind kind;
    marty_order order;
    uint32_t shards;
    bool native;
    marty__post_state state;
    bool doubtful; /* it may be stored already */
    bool cancels;  /* takes back the scheduled message of this id, instead of publishing */
    int64_t deliver_at_us;
    uint32_t slot; /* index + 1 */
    size_t bytes;
} marty__post;

/* A publish (or reply, dead letter, cancel) with 1 to n messages: answered once, also on close.
 * Counted. */
struct marty__call {
    marty__task task;
    marty__alarm alarm; /* deadline */
    marty__link link;   /* of bus->calls */
    marty_bus *bus;
    atomic_uint refs;
    atomic_size_t left;
    int64_t deadline_ns;
    const void *cancel_key;
    marty_outcome *outcomes; /* the caller's, or own memory behind posts */
    marty_done done;
    void *user;
    void (*completed)(marty__call *call); /* internal completion, in place of done: on any thread,
                                             must be quick, no lock held */
    marty_delivery *settles;
    bool waited; /* somebody waits in `answered` */
    bool finished;
    bool no_retry;     /* do not publish a doubtful one again */
    marty__mutex lock; /* with waited only */
    marty__cond answered;
    char *strings;  /* channel names and reply_to of the posts */
    char text[256]; /* why the first bad one was not stored */
    size_t count;
    marty__post posts[];
};

/* ---- consuming */
struct marty__lane {
    marty__task task;
    marty_subscription *subscription;
    marty__link ready; /* deliveries that may run */
    size_t ready_count;
    bool scheduled;        /* queued or running; then it owns a reference of the subscription */
    bool alarm_set;        /* likewise */
    marty__alarm alarm;    /* a batch has waited long enough, or an outage is over */
    int64_t not_before_ns; /* after FULL, UNAVAILABLE or NO_MEMORY */
    uint32_t outages;
};

struct marty__consumer { /* one native subscription: (port, channel, group) */
    atomic_uint refs;
    marty_bus *bus;
    marty__port *port;
    uint64_t number;
    char *channel, *group;  /* group NULL = this instance alone */
    const char *group_name; /* as shown in deliveries */
    marty_kind kind;
    marty_order order;
    uint32_t shards;
    bool native;
    marty_start start;
    char *start_position;
    marty__mutex lock; /* what follows */
    marty__cond changed;
    marty__match *match;
    marty_subscription **members;
    size_t member_count;
    uint32_t credit; /* what the adapter may have unsettled with us */
    uint32_t owed;   /* credit to give back to it */
    bool subscribed, asked, refused, gone, reset, paused, lease_on, watching;
    uint64_t lost, settle_failed; /* as the adapter answered */
    marty_err reason;
    char text[256];
    uint64_t epoch;        /* of the connection or seek; older deliveries are LOST */
    marty__link unsettled; /* by end of lease */
    marty__link spare;     /* deliveries to use again */
    size_t unsettled_count, spare_count;
    marty__alarm lease_alarm, watch_alarm, again_alarm;
    uint32_t watch_rounds, resubscribes;
    bool restarting;
    int64_t last_delivery_ns;
    marty__link grant_link; /* of port->grants */
    uint32_t grant;         /* under port->lock */
    marty__command subscribe_command, unsubscribe_command, restart_command;
    marty__task watch_task; /* asks the broker for the lag; owns a reference while queued */
    bool suspected;
    const char **patterns; /* as told to the adapter, live until the next subscribe */
};

typedef enum marty__stat {
    MARTY__DELIVERED,
    MARTY__ACKED,
    MARTY__RETRIED,
    MARTY__REJECTED,
    MARTY__GIVEN_BACK,
    MARTY__LOST,
    MARTY__DROPPED,
    MARTY__LAST_MS,
    MARTY__STATS
} marty__stat;

struct marty_subscription {
    atomic_uint refs;
    marty_bus *bus;
    marty__link link; /* of bus->subscriptions */
    marty_pattern pattern;
    char *name, *group, *service;
    bool instance_group;
    marty_handler handler;
    void *user;
    void (*user_free)(void *user);
    marty_order order;
    marty_retry_policy retry;
    uint32_t batch_max, batch_wait_ms, credit, keep_max_ms;
    size_t batch_bytes_max;
    bool owned; /* the user has the handle */
    marty__consumer **consumers;
    size_t consumer_count;
    marty__mutex lock; /* lanes and what follows */
    marty__cond changed;
    marty__lane **lanes;
    uint32_t lane_count; /* in use; lane_made exist */
    uint32_t lane_made, next_lane;
    uint32_t running; /* lanes being run */
    marty__map keys;  /* ordered: key -> the delivery of it that goes first */
    marty__link held; /* waiting for their alarm to run again */
    bool paused, stopped, receiving, started;
    atomic_uint_fast64_t stats[MARTY__STATS];
};

typedef enum marty__verdict {
    MARTY__OPEN_VERDICT,
    MARTY__SETTLED_VERDICT,
    MARTY__LOST_VERDICT,
    MARTY__RETURNED_VERDICT /* behind a retried one of its key: it comes again */
} marty__verdict;

typedef struct marty__dead { /* a dead letter to store in place of the original */
    marty_outgoing outgoing;
    marty_message *message;
    char channel[256];
} marty__dead;

struct marty__delivery {
    marty_delivery handle; /* first: what the user sees */
    atomic_uint refs;
    atomic_uint user_refs; /* the handler that runs, and those who keep it */
    atomic_int verdict;
    atomic_bool active;               /* counted in bus->active */
    marty__consumer *consumer;        /* counted */
    marty_subscription *subscription; /* counted; NULL when no handler matched */
    marty__link
        link; /* lane->ready, waiting of a key, subscription->held, a turn, consumer->spare */
    marty__link unsettled; /* consumer->unsettled; under consumer->lock */
    marty__link waiting;   /* later ones of this key; under subscription->lock */
    marty__delivery
        *follower; /* next of the same key in the batch being handled; under subscription->lock */
    marty__link settle_link; /* a turn, port->settles */
    marty__link extend_link; /* port->extends; under port->lock */
    uint32_t extend_ms;
    marty__alarm alarm; /* held: when it runs again; owns a reference */
    uint64_t tag, epoch;
    int64_t lease_until_ns, handed_ns;
    uint32_t broker_attempt, carried, held;
    uint32_t delay_ms; /* with verb: to settle at the broker */
    marty_verb verb;
    bool keyed; /* in subscription->keys or behind one that is */
    bool in_batch, kept, extending, answered, paid;
    marty__dead *dead;
    char *reply_to; /* of a query */
    char reason[MARTY__REASON_BYTES_MAX + 1];
    char position[48]; /* last: not cleared */
};

/* ---- bus.c, life.c */
/** Refuse what may not be called: NULL, another process, and from the given phase on. Fills why. */
marty_err marty__bus_enter(const marty_bus *bus, marty__phase until, marty_error *why);
marty_bus *marty__bus_ref(marty_bus *bus);
void marty__bus_unref(marty_bus *bus);
int64_t marty__bus_now(const marty_bus *bus);
int64_t marty__bus_wall(const marty_bus *bus);
/** Absolute monotonic deadline of a timeout_ms option (0 = otherwise). */
int64_t marty__bus_deadline(const marty_bus *bus, int32_t timeout_ms, int32_t otherwise_ms);
void marty__bus_log(marty_bus *bus, int level, const char *format, ...)
    MARTY__ATTRIBUTE(format(printf, 3, 4));
/** Open, without the layers above; upper and hooks are theirs. */
marty_err marty__bus_open(marty_bus **ret_bus, const char *where, const marty_bus_options *options,
                          const marty__hooks *hooks, marty_error *why);
/** Close as far as it goes by the deadline; one caller at a time, others wait their turn. */
marty_err marty__bus_close_once(marty_bus *bus, int64_t deadline_ns, marty_error *why);
/** Go on with a drain or close if what it waits for has come. Any thread, no lock held. */
void marty__life_step(marty_bus *bus);
void marty__life_init(marty_bus *bus);
uint32_t marty__cores(void);
/** Begin to drain now (a stop that housekeeping has seen). */
void marty__life_stop(marty_bus *bus);
unsigned marty__fork_generation(void);

/* ---- pool.c */
marty_err marty__pool_open(marty_bus *bus, uint32_t workers, marty_error *why);
void marty__pool_close(marty_bus *bus);
/** Queue a task that is not queued. Never fails. */
void marty__pool_add(marty_bus *bus, marty__task *task);
/** Around a wait of ours on any thread: on a worker, another takes its place. */
void marty__pool_block(marty_bus *bus);
void marty__pool_unblock(marty_bus *bus);
/** Whether this thread is one that runs user code of this bus now. */
bool marty__pool_inside(const marty_bus *bus);
/** Run up to max queued tasks on this thread; returns how many. */
size_t marty__pool_run_some(marty_bus *bus, size_t max);
bool marty__pool_has_work(marty_bus *bus);

/* ---- clockwork.c */
marty_err marty__clockwork_open(marty_bus *bus, marty_error *why);
void marty__clockwork_close(marty_bus *bus);
void marty__alarm_set(marty_bus *bus, marty__alarm *alarm, int64_t at_ns);
/** Earlier of what it is set to and at_ns. */
void marty__alarm_set_earlier(marty_bus *bus, marty__alarm *alarm, int64_t at_ns);
/** Not any more; true when it was set (and so will not ring). */
bool marty__alarm_cancel(marty_bus *bus, marty__alarm *alarm);
/** As cancel, and not while it is ringing on another thread either. */
bool marty__alarm_cancel_wait(marty_bus *bus, marty__alarm *alarm);
/** Ring what is due on this thread (simulated); returns when the next is due. */
int64_t marty__clockwork_run(marty_bus *bus);
int64_t marty__clockwork_next(marty_bus *bus);
/** Wake housekeeping (and process). Async-signal-safe. */
void marty__clockwork_wake(marty_bus *bus);

/* ---- driven.c */
marty_err marty__driven_open(marty_bus *bus, marty_error *why);
void marty__driven_close(marty_bus *bus);
/** Make the descriptor readable. Async-signal-safe. */
void marty__driven_wake(marty_bus *bus);
/** Wait for a condition under its lock; where nobody else moves bytes (simulated) do it here. false
 * once the deadline has passed. */
bool marty__bus_wait(marty_bus *bus, marty__cond *cond, marty__mutex *lock, int64_t deadline_ns);

/* ---- events.c */
/** Tell the user a change of state; port, consumer may be NULL. Any thread, no lock of bus or above
 * held. */
void marty__event(marty_bus *bus, marty_state state, marty__port *port, marty__consumer *consumer,
                  marty_err reason, const char *text);
void marty__event_shards(marty_bus *bus, marty_state state, marty__consumer *consumer,
                         const uint32_t *shards, size_t count, int64_t deadline_ns);
void marty__events_free(marty_bus *bus);

/* ---- port.c, sink.c */
marty_err marty__port_open(marty_bus *bus, size_t index, marty_error *why);
/** Free the adapter (joins its threads); the port itself lives as long as the bus. */
void marty__port_shut(marty__port *port);
void marty__port_free(marty__port *port);
/** Run what is queued for the adapter, unless somebody is at it. No lock held. */
void marty__port_kick(marty__port *port);
/** How deep this thread is inside calls of adapters to us: no op may be called then. */
extern _Thread_local unsigned marty__in_sink;
/** The same from where no op may be called: on the housekeeping thread. */
void marty__port_kick_later(marty__port *port);
void marty__port_command(marty__port *port, marty__command *command);
void marty__port_connect(marty__port *port);
/** Up (or blocked) and not closed. Takes the lock. */
bool marty__port_usable(marty__port *port);
/** Connect again after the backoff. */
void marty__port_retry(marty__port *port);
void marty__port_close(marty__port *port, int64_t deadline_ns);
/** Whether a kind of channel has a capability there, as granted now (as claimed while it never was
 * up). */
bool marty__port_can(const marty__port *port, marty_kind kind, uint64_t bit);
void marty__sink_init(marty__port *port);

/* ---- publish.c */
/** A call with room for count posts and strings_size bytes of names; NULL without memory. One
 * reference, yours. */
marty__call *marty__call_new(marty_bus *bus, size_t count, size_t strings_size);
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
void marty__posts_run(marty__port *port);

/* ---- consumer.c, membership.c, watch.c */
/** Find or make the consumer of a place and group, and add a subscription's pattern. */
marty_err marty__consumer_join(marty_subscription *subscription, const marty__place *place,
                               const marty_subscribe_options *options,
                               marty__consumer **ret_consumer, marty_error *why);
/** Take a subscription out; the last one unsubscribes. */
void marty__consumer_leave(marty__consumer *consumer, marty_subscription *subscription);
marty__consumer *marty__consumer_ref(marty__consumer *consumer);
void marty__consumer_unref(marty__consumer *consumer);
void marty__consumer_up(marty__consumer *consumer); /* its port came up: subscribe again */
void marty__consumer_down(
    marty__consumer *consumer); /* its port went down: what is unsettled is lost */
/** Credit for n settled deliveries goes back to the adapter. No lock held. */
void marty__consumer_owe(marty__consumer *consumer, uint32_t count);
void marty__consumer_subscribe(marty__consumer *consumer, bool reset);
/** Shards are about to be lost: what is queued of them goes back. */
void marty__consumer_revoked(marty__consumer *consumer, const uint32_t *shards, size_t count);
/** Wait until the broker has it, or the deadline. */
marty_err marty__consumer_wait(marty__consumer *consumer, int64_t deadline_ns, marty_error *why);
/** What is delivered and not settled belongs to another epoch now. */
void marty__consumer_lose(marty__consumer *consumer);
/** The group goes elsewhere in the log; what was delivered before is LOST. Then wait. */
marty_err marty__consumer_seek(marty__consumer *consumer, const marty_start *to, marty_error *why);
/** Hold credit back while every member is paused. */
void marty__consumer_pause(marty__consumer *consumer);
/** The i-th member with a reference, or NULL. */
marty_subscription *marty__consumer_member(marty__consumer *consumer, size_t i);
/** Alarms and commands of a new consumer. */
void marty__consumer_prepare(marty__consumer *consumer,
                             void (*unsubscribe)(marty__port *port, marty__command *command));
void marty__consumer_arm(marty__consumer *consumer, marty__alarm *alarm, int64_t at_ns);
/** Ask for more lease; 0 = as much as the backend gives. */
marty_err marty__lease_extend(marty__delivery *delivery, uint32_t delay_ms);
void marty__lease_answer(marty__consumer *consumer, const uint64_t *tags, size_t count,
                         marty_err result, int64_t lease_until_ns);
/** Look after a consumer: renew leases, notice silence. */
void marty__watch_start(marty__consumer *consumer);
void marty__watch_rang(marty__alarm *alarm);
void marty__watch_look(marty__task *task);
void marty__watch_restart(marty__port *port, marty__command *command);
void marty__lease_rang(marty__alarm *alarm);
/** The first delivery with a lease has come: see that it is renewed. */
void marty__lease_start(marty__consumer *consumer);
void marty__consumer_answer(marty__consumer *consumer, marty_err reason, const char *text);
/** Our reply channel on a port, opened at first use; ret_name lives as long as the bus. */
marty_err marty__port_reply(marty__port *port, const char **ret_name, int64_t deadline_ns,
                            marty_error *why);
/** At the end of a bus: whatever the adapter said, it is over. */
void marty__consumer_forget(marty__consumer *consumer);

/* ---- delivery.c, intake.c, settle.c */
enum { MARTY__AT_ONCE = -1 }; /* as a delay: not by the policy */
void marty__intake(marty__port *port, const marty_incoming *batch, size_t count);
void marty__delivery_unref(marty__delivery *delivery);
marty__delivery *marty__delivery_ref(marty__delivery *delivery);
/** The last word on a delivery, at the broker. Its verdict must have been taken. */
void marty__delivery_finish(marty__delivery *delivery, marty_verb verb, uint32_t delay_ms);
/** Run it again from memory after a delay, attempt + 1 if counted; it stays unsettled, its lease is
 * renewed. Verdict taken before. */
void marty__delivery_hold(marty__delivery *delivery, uint32_t delay_ms, bool counted);
/** Take the right to say the last word: OK, or STATE (somebody has), LOST. */
marty_err marty__delivery_take(marty__delivery *delivery);
/** In a handler's hands, and no more. */
void marty__delivery_begin(marty__delivery *delivery);
void marty__delivery_end(marty__delivery *delivery);
/** What the handler's return value says about one that is neither settled nor kept. */
void marty__delivery_conclude(marty__delivery *delivery, marty_err err);
/** Lost with its connection, shard or lease: no settling any more. */
void marty__delivery_lose(marty__delivery *delivery);
/** Settles of one turn go together: collect them on this thread until flush. */
void marty__settle_begin(marty__link *turn);
void marty__settle_flush(marty__link *turn);
void marty__settles_run(marty__port *port);
void marty__settle_queue(marty__delivery *delivery);
void marty__extends_run(marty__port *port);
void marty__settled(marty__port *port, uint64_t subscription, marty_verb verb, const uint64_t *tags,
                    size_t count, marty_err result, int64_t lease_until_ns);

/* ---- lane.c, keys.c */
marty_err marty__lanes_make(marty_subscription *subscription, uint32_t count, marty_error *why);
void marty__lanes_free(marty_subscription *subscription);
/** Put deliveries (a list, all of this subscription) into their lanes and wake workers. */
void marty__lanes_add(marty_subscription *subscription, marty__link *deliveries);
/** With subscription->lock held: to the lane that it belongs to, at the front or the end. */
void marty__lane_put(marty__delivery *delivery, bool first);
/** With subscription->lock held: the next that may run, taken out, or NULL. */
marty__delivery *marty__lane_take(marty__lane *lane);
typedef struct marty__clear { /* which deliveries: consumer NULL = of all, shard_count 0 = of every
                                 shard */
    const marty__consumer *consumer;
    const uint32_t *shards;
    size_t shard_count;
    bool lost; /* dropped as LOST, else given back uncounted */
} marty__clear;
/** Give back (or drop) what is queued or held. */
void marty__lanes_clear(marty_subscription *subscription, const marty__clear *what);
void marty__lanes_wake(marty_subscription *subscription);
/** With subscription->lock held: may it run now, or must it wait behind one of its key? Waits then
 * in its list. */
bool marty__key_admit(marty__delivery *delivery);
/** A delivery is settled for good: the next of its key may run. */
void marty__key_done(marty__delivery *delivery);
/** With subscription->lock held: another object stands for the same delivery now. */
void marty__key_replace(marty__delivery *old, marty__delivery *fresh);
/** With subscription->lock held: those of its key behind it in the batch leave the batch and wait.
 */
void marty__key_unbatch(marty__delivery *delivery);

/* ---- subscription.c */
marty_subscription *marty__subscription_ref(marty_subscription *subscription);
void marty__subscription_unref(marty_subscription *subscription);
void marty__subscription_count(marty_subscription *subscription, marty__stat stat, uint64_t count);
typedef struct marty__subscribe {
    marty_pattern pattern;
    const char *name, *group, *service;
    marty_handler handler;
    void *user;
    const marty_subscribe_options *options; /* not NULL */
    const marty__place *places;
    size_t place_count;
} marty__subscribe;
/** Make a subscription on places that are already routed and checked. */
marty_err marty__subscription_open(marty_bus *bus, const marty__subscribe *what,
                                   marty_subscription **ret_subscription, marty_error *why);
void marty__subscription_drain(marty_subscription *subscription);

/* ---- report.c uses */
const char *marty__state_name(marty_state state);
#endif
