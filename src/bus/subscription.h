/* SPDX-License-Identifier: Apache-2.0
 * A subscription: handler, lanes and order by key, counters. */
#ifndef MARTY_BUS_SUBSCRIPTION_H
#define MARTY_BUS_SUBSCRIPTION_H
#include "base/map.h"
#include "bus/bus.h"
#include "bus/route.h"

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
    uint64_t serial;  /* rises along that list */
    marty_pattern pattern;
    char *name, *group, *service;
    bool instance_group;
    marty_handler handler;
    void *user;
    void (*user_free)(void *user);
    marty_order order;
    marty_retry_policy retry;
    uint32_t batch_max, batch_wait_ms, credit, keep_max_ms, lease_ms;
    uint32_t batches; /* with batch_wait_ms: as much of the credit as fills one in each lane */
    size_t batch_bytes_max;
    bool owned; /* the user has the handle */
    marty__consumer **consumers;
    atomic_size_t consumer_count; /* of those in place: others look while it is made */
    marty__mutex lock;            /* lanes and what follows */
    marty__cond changed;
    marty__lane **lanes;
    uint32_t lane_count; /* in use; lane_made exist */
    uint32_t lane_made, next_lane;
    uint32_t running;      /* lanes being run */
    marty__map keys;       /* ordered: key -> the delivery of it that goes first */
    marty__link held;      /* waiting for their alarm to run again, of a key only the first */
    marty__link returning; /* ordered: given back for want of room, and not answered yet */
    uint32_t stuck_keys;   /* when looked at last */
    atomic_bool paused;    /* written under the lock; its consumers look without it */
    bool started;
    atomic_bool stopped;
    atomic_uint_fast64_t stats[MARTY__STATS];
};

/* ---- lane.c, lane_turn.c, lane_clear.c, keys.c */
marty_err marty__lanes_make(marty_subscription *subscription, uint32_t count, marty_error *why);
void marty__lanes_free(marty_subscription *subscription);
/** Put deliveries (a list of count, all of this subscription) into their lanes. due: gets the tasks
 * of lanes that are to run, for marty__pool_add_all. */
void marty__lanes_add(marty_subscription *subscription, marty__link *deliveries, size_t count,
                      marty__link *due);
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
/** The same in all subscriptions of a consumer. */
void marty__consumer_clear(marty__consumer *consumer, const marty__clear *what);
void marty__lanes_wake(marty_subscription *subscription);
/** No lane of it waits any more, and none will: it stops. The caller has a reference. */
void marty__lanes_disarm(marty_subscription *subscription);
/** No more of it will run, so nothing of it may wait in memory. */
bool marty__subscription_stops(const marty_subscription *subscription);
/** With subscription->lock held: may it run now? Else it waits behind one of its key, in its list;
 * or, where that key is stuck, goes onto the list of those to give back. */
bool marty__key_admit(marty__delivery *delivery, marty__link *back);
/** A delivery is settled for good: if it was the first of its key, the next one may run. */
void marty__key_done(marty__delivery *delivery);
/** With subscription->lock held: the one behind that link in the list of the first of a key, if it
 * may run together with those before it; or NULL. */
marty__delivery *marty__key_next(const marty__link *after, const marty__delivery *first);
/** With subscription->lock held: no other of its key stands before it. */
bool marty__key_leads(const marty__delivery *delivery);
/** With subscription->lock held: another object stands for the same delivery now. */
void marty__key_replace(marty__delivery *old, marty__delivery *fresh);
/** With subscription->lock held, of one that is keyed: those behind it in the batch leave that and
 * wait, where they are. */
void marty__key_unbatch(marty__delivery *delivery);

/* ---- stuck.c */
/** With subscription->lock held: true when it may not wait in memory, and is on the list of those
 * to give back. first: the one of its key that goes first, or NULL. */
bool marty__stuck_turns_away(marty__delivery *delivery, const marty__delivery *first,
                             marty__link *back);
/** Give all of that list back, uncounted. No lock held. */
void marty__stuck_give_back(marty__link *back);
/** The broker has them: what comes of their keys from now on comes in order. */
void marty__stuck_answered(marty__consumer *consumer, const uint64_t *tags, size_t count);
/** With subscription->lock held: nobody will answer those of a consumer (NULL = of any); onto the
 * list, each with a reference. */
void marty__stuck_forget(marty_subscription *subscription, const marty__consumer *consumer,
                         marty__link *forgotten);

/* ---- subscription.c */
marty_subscription *marty__subscription_ref(marty_subscription *subscription);
void marty__subscription_unref(marty_subscription *subscription);
void marty__subscription_ref_many(marty_subscription *subscription, uint32_t count);
void marty__subscription_unref_many(marty_subscription *subscription, uint32_t count);
/** The pattern of the types that it takes; a stream is read whole. */
const char *marty__subscription_types(const marty_subscription *subscription);
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
#endif
