/* SPDX-License-Identifier: Apache-2.0
 * The bus itself: what it was opened with, its phase, its hooks for the layers above, its end.
 * Locks, in the order in which they may be taken: bus->lock, consumer->lock, subscription->lock,
 * then one of port->lock, pool.lock, clockwork.lock (leaves). No lock is held while an op of an
 * adapter or code of the user runs. */
#ifndef MARTY_BUS_BUS_H
#define MARTY_BUS_BUS_H
#include "base/clock.h"
#include "base/limits.h"
#include "base/map.h"
#include "bus/config.h"
#include "bus/names.h"
#include "bus/route.h"
#include "bus/threads.h"

#include <stdatomic.h>

typedef enum marty__phase {
    MARTY__OPEN,
    MARTY__DRAINING,
    MARTY__FLUSHING,
    MARTY__CLOSED
} marty__phase;

/* What the layers above hang into the bus, so that it never names them. */
typedef struct marty__hooks {
    /** Before the handler, of what has a time to live or came before: false when it has been
     * settled instead (expired, worn out). */
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

enum { MARTY__KEPT_PLACES = 1024 };
typedef struct marty__kept_place {
    marty__place place;
    marty_pattern pattern;
    const char *channel; /* its name: one for all places there */
    const char *to, *type;
    _Atomic(marty_message *) like; /* one of that type that says nothing else; NULL = none yet */
    char words[];
} marty__kept_place;

struct marty_bus {
    atomic_uint refs;
    unsigned fork_generation;
    const marty__hooks *hooks;
    void *upper; /* what the layers above keep per bus (pending queries) */
    void (*upper_free)(void *upper);
    marty__config *config;
    marty_env env;
    bool simulated, driven;
    char *service, *instance, *source; /* service may be NULL */
    uint64_t source_hash;
    uint32_t inflight_max;
    uint64_t inflight_bytes_max;
    int32_t timeout_ms, drain_ms;
    bool waits;                       /* opening goes on trying until timeout_ms */
    _Atomic(marty_on_state) on_state; /* taken away when opening fails */
    marty_on_log on_log;
    void *user;
    void (*user_free)(void *user);
    marty__pool pool;
    marty__clockwork clockwork;
    marty__port *ports;
    size_t port_count;
    marty__mutex lock;   /* subscriptions, phase changes, events */
    marty__cond changed; /* phase, started, active, calls */
    marty__link subscriptions;
    atomic_int phase;
    atomic_bool stop_asked, started;
    atomic_uint stops;        /* how often; a second one cuts the drain short */
    atomic_size_t running;    /* turns of lanes: the user's code may run */
    atomic_size_t pulled;     /* subscriptions without a handler */
    atomic_size_t kept;       /* deliveries that the user keeps, unsettled */
    atomic_size_t open_calls; /* calls accepted and not completed */
    size_t subscription_count;
    uint64_t next_serial; /* of subscriptions */
    marty__alarm life_alarm, drain_alarm, unstarted_alarm;
    _Atomic int64_t drain_deadline_ns; /* 0 = none yet; written under the lock */
    atomic_bool cut_off;               /* the drain deadline passed */
    atomic_bool ports_closing;         /* the last part of the drain has begun */
    atomic_bool torn_down;             /* no thread of ours is left */
    marty__mutex close_lock;           /* one close at a time */
    marty__link events;                /* state events not yet told */
    marty__task event_task;
    bool telling;
    int wake_fd;       /* driven: an eventfd, else -1 */
    atomic_bool awake; /* wake_fd is readable already */
    atomic_bool processing;
    atomic_uint_fast64_t late_replies, unmatched, dropped, expired;
    marty__mutex kept_lock;
    marty__map kept_names; /* of channels, for outcomes: they live as long as the bus */
    _Atomic(marty__kept_place *) kept_places[MARTY__KEPT_PLACES];
};

/* ---- bus.c, life.c */
/** Refuse set slots of a caller's struct. */
marty_err marty__reserved_check(const uint64_t *slots, size_t count, const char *what,
                                marty_error *why);
/** Refuse what may not be called: NULL, another process, and from the given phase on. Fills why. */
marty_err marty__bus_enter(const marty_bus *bus, marty__phase until, marty_error *why);
marty_bus *marty__bus_ref(marty_bus *bus);
void marty__bus_unref(marty_bus *bus);
/** The same name, living as long as the bus; NULL without memory, or when it is new and as many as
 * limit are kept. */
const char *marty__bus_keep_name(marty_bus *bus, const char *name, size_t limit);
void marty__bus_free_names(marty_bus *bus);
/** Where messages of a pattern and type go, as marty__route_publish says it; NULL: not known yet,
 * or not kept. Lives as long as the bus. */
marty__kept_place *marty__place_kept(marty_bus *bus, marty_pattern pattern, const char *to,
                                     const char *type);
/** The same, or worked out: then kept, or (ret_kept NULL) in room. E: of marty__route_publish. */
marty_err marty__place_find(marty_bus *bus, marty_pattern pattern, const char *to, const char *type,
                            marty__place *room, marty__kept_place **ret_kept, marty_error *why);
void marty__places_free(marty_bus *bus);
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

/* ---- report.c uses */
const char *marty__state_name(marty_state state);
#endif
