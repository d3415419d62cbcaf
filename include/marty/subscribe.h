/* SPDX-License-Identifier: Apache-2.0
 * Subscribing: which messages, for which group, in which order and how many at once; pulling them
 * without a handler; steering a subscription while it runs. */
#ifndef MARTY_SUBSCRIBE_H
#define MARTY_SUBSCRIBE_H
#include <marty/bus.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A group of this instance alone, from now, gone at close.
 *  @since 0.1 @source docs/design/0002-public-api.md */
#define MARTY_GROUP_INSTANCE "*"

/** Where in a log to begin. @since 0.1 @source docs/design/0002-public-api.md */
typedef enum marty_from {
    MARTY_FROM_GROUP,    /**< Where the group is; a new one: topics now, streams the earliest. */
    MARTY_FROM_EARLIEST, /**< At the oldest that is kept. */
    MARTY_FROM_NOW,      /**< At what comes from now on. */
    MARTY_FROM_TIME,     /**< At the first that is not older than time_us. */
    MARTY_FROM_POSITION  /**< At position. */
} marty_from;

/** A place in a log, where a new group begins. @since 0.1 @source docs/design/0002-public-api.md */
typedef struct marty_start {
    int64_t time_us;      /**< Of MARTY_FROM_TIME: Unix time in microseconds. */
    marty_from from;      /**< Which kind of place; 0 = topics now, streams the earliest. */
    const char *position; /**< Of MARTY_FROM_POSITION; a position is of one shard. */
} marty_start;

/** Whether messages of a key wait for each other.
 *  @since 0.1 @source docs/design/0001-architecture.md */
typedef enum marty_order {
    MARTY_ORDER_DEFAULT, /**< What the channel's route says. */
    MARTY_ORDER_NONE,    /**< In any order. */
    MARTY_ORDER_KEY      /**< Of one key, one after the other. */
} marty_order;

/** How to retry. @since 0.1 @source docs/design/0002-public-api.md */
typedef struct marty_retry_policy {
    uint32_t attempts; /**< Then to the dead letters; 0 = 5, UINT32_MAX = without end. */
    uint32_t first_ms; /**< The first delay, which doubles; 0 = 200. */
    uint32_t max_ms;   /**< The longest delay; 0 = 30,000. */
    bool no_jitter;    /**< Wait exactly that long; else for a random part of it. */
    uint64_t reserved; /**< Leave it 0. */
} marty_retry_policy;

/** How to subscribe. Zero means the default. @since 0.1 @source docs/design/0002-public-api.md */
typedef struct marty_subscribe_options {
    /** Consumers that share the work; NULL = the service's name; if there is none either:
     *  MARTY_E_ARGUMENT (else two services would share their work unasked). */
    const char *group;
    /** Of commands and queries: whose; NULL = the bus's service. */
    const char *service;
    /** How many lanes, that is handlers at once; 0 = 1: never concurrent with itself. */
    uint32_t concurrency;
    /** By key: the next of a key waits until the one before is settled, be it running, kept or
     *  retried. */
    marty_order order;
    /** Deliveries that a handler gets at once; 0 = 1. */
    uint32_t batch_max;
    /** How long to wait for a batch to fill; 0 = hand over what is there. */
    uint32_t batch_wait_ms;
    /** Bytes of a batch; 0 = no limit. */
    size_t batch_bytes_max;
    /** Unsettled deliveries, kept ones included; 0 = 64, or 2 batches a lane. */
    uint32_t credit;
    /** Give up on a kept one after that long, which is a retry; 0 = 30 minutes. */
    uint32_t keep_max_ms;
    /** How long after this process has died, or stands still, others get what it had: the lease of
     *  its deliveries, at most; 0 = the backend's (lease= in its URL), which is the longest; else
     *  at least 200. What is handled or kept for longer is renewed by the library, in time. Members
     *  of a group at one broker may share a lease: then the shortest that one of them asks for. */
    uint32_t lease_ms;
    /** Where a new group begins. */
    marty_start start;
    /** What to do with what fails. */
    marty_retry_policy retry;
    /** Begin paused. */
    bool paused;
    /** start moves a group that exists, too. */
    bool reset;
    /** How long to wait for the backend; 0 = 5,000; MARTY_NO_WAIT: the answer is the state
     *  SUBSCRIBED or REFUSED. */
    int32_t timeout_ms;
    /** Called once with user, when the handler can run no more; NULL = none. */
    void (*user_free)(void *user);
    /** Leave it 0. */
    uint64_t reserved[6];
} marty_subscribe_options;

/**
 * Subscribe to messages of a pattern. The five verbs below name the pattern. Once the bus is
 * started, handlers may run before this has returned.
 *
 * @param bus The bus.
 * @param pattern Which kind of talk.
 * @param name Of types, or a stream's name; "*" stands for one word and ">" for the rest, by words
 *     at ".". Borrowed and copied.
 * @param handler Called for each batch; NULL = you pull with marty_receive.
 * @param user Given to the handler.
 * @param options NULL for the defaults. Borrowed and copied.
 * @param ret_subscription Yours for marty_unsubscribe; NULL = it lives as long as the bus.
 * @param why Details on failure; may be NULL.
 * @return MARTY_OK when the backend has it, or will have it as soon as it is up.
 * @errors The common ones; MARTY_E_UNSUPPORTED, MARTY_E_NOT_FOUND, MARTY_E_DENIED, MARTY_E_EXISTS
 *     (it overlaps another one of the same group: name another group).
 * @threads Any.
 * @blocks Until the backend has it or timeout_ms, also while it refuses for now (it is asked
 * again); not while the backend is down. A stop of the bus ends it: MARTY_E_CLOSED.
 * @since 0.1
 * @source docs/design/0002-public-api.md
 */
MARTY_MUST marty_err marty_subscribe(marty_bus *bus, marty_pattern pattern, const char *name,
                                     marty_handler handler, void *user,
                                     const marty_subscribe_options *options,
                                     marty_subscription **ret_subscription, marty_error *why);

#ifndef MARTY_NO_INLINE
/** A verb that is marty_subscribe with its pattern given; parameters, errors and waiting are those
 *  of marty_subscribe.
 *  @since 0.1 @source docs/design/0002-public-api.md */
#define MARTY__SUBSCRIBE_VERB(verb, pattern)                                                       \
    MARTY_VERB marty_err verb(marty_bus *bus, const char *name, marty_handler handler, void *user, \
                              const marty_subscribe_options *options,                              \
                              marty_subscription **ret_subscription, marty_error *why)             \
    {                                                                                              \
        return marty_subscribe(bus, pattern, name, handler, user, options, ret_subscription, why); \
    }

/** Hear of events by their types, as a group that shares them. All else as marty_subscribe.
 *  @threads Any.
 *  @since 0.1 @source docs/design/0002-public-api.md */
MARTY__SUBSCRIBE_VERB(marty_subscribe_to_events, MARTY_EVENT)
/** Do the commands of these types that are sent to our service. All else as marty_subscribe.
 *  @threads Any.
 *  @since 0.1 @source docs/design/0002-public-api.md */
MARTY__SUBSCRIBE_VERB(marty_handle_commands, MARTY_COMMAND)
/** Answer the queries of these types with marty_reply or marty_fail. All else as marty_subscribe.
 *  @threads Any.
 *  @since 0.1 @source docs/design/0002-public-api.md */
MARTY__SUBSCRIBE_VERB(marty_handle_queries, MARTY_QUERY)
/** Process a stream, of which name is the name, in order by key. All else as marty_subscribe.
 *  @threads Any.
 *  @since 0.1 @source docs/design/0002-public-api.md */
MARTY__SUBSCRIBE_VERB(marty_process_stream, MARTY_STREAM)
/** Hear broadcasts of these types, in every instance. All else as marty_subscribe. @threads Any.
 *  @since 0.1 @source docs/design/0002-public-api.md */
MARTY__SUBSCRIBE_VERB(marty_subscribe_to_broadcasts, MARTY_BROADCAST)
#endif

/**
 * Pull deliveries of a subscription without a handler, up to its batch_max. A driven bus needs no
 * process for it; its descriptor stays readable while there is something to pull.
 *
 * @param subscription One without a handler.
 * @param timeout_ms 0 = 5,000.
 * @param ret_first The first, linked by next, each kept: settle and release each.
 * @param why Details on failure; may be NULL.
 * @return MARTY_OK when there is at least one.
 * @errors The common ones; MARTY_E_TIMEOUT (nothing came), MARTY_E_STATE (it has a handler).
 * @threads Any, several at once too.
 * @blocks Until there is one or timeout_ms; ended by marty_subscription_stop.
 * @since 0.1
 * @source docs/design/0002-public-api.md
 */
MARTY_MUST marty_err marty_receive(marty_subscription *subscription, int32_t timeout_ms,
                                   marty_delivery **ret_first, marty_error *why);

/**
 * Hold deliveries back, or go on. Membership of the group and leases stay; handlers that run
 * finish.
 *
 * @param subscription Yours.
 * @param paused Whether to hold back.
 * @param why Details on failure; may be NULL.
 * @return MARTY_OK, also when it is so already.
 * @errors The common ones.
 * @threads Any.
 * @since 0.1
 * @source docs/design/0002-public-api.md
 */
MARTY_API marty_err marty_subscription_pause(marty_subscription *subscription, bool paused,
                                             marty_error *why);

/**
 * Change the number of lanes. It takes effect as running handlers return; order by key is kept.
 *
 * @param subscription Yours.
 * @param concurrency 1 or more.
 * @param why Details on failure; may be NULL.
 * @return MARTY_OK = it will be so.
 * @errors The common ones.
 * @threads Any.
 * @since 0.1
 * @source docs/design/0002-public-api.md
 */
MARTY_API marty_err marty_subscription_concurrency(marty_subscription *subscription,
                                                   uint32_t concurrency, marty_error *why);

/**
 * Go elsewhere in the log, for the whole group. What was delivered before settles as MARTY_E_LOST.
 * While the backend is away it is waited for. After an error the group goes on where it was, but it
 * may still move after a timeout (MARTY_E_UNAVAILABLE): seek again.
 *
 * @param subscription Yours.
 * @param to Where: one place, or one position a shard.
 * @param count How many.
 * @param why Details on failure; may be NULL.
 * @return MARTY_OK when the group has moved.
 * @errors The common ones; MARTY_E_UNSUPPORTED, MARTY_E_NOT_FOUND (no such position),
 *         MARTY_E_UNAVAILABLE (no answer in time).
 * @threads Any.
 * @blocks Until the backend has moved it, at most 5,000 ms.
 * @since 0.1
 * @source docs/design/0002-public-api.md
 */
MARTY_MUST marty_err marty_subscription_seek(marty_subscription *subscription,
                                             const marty_start to[], size_t count,
                                             marty_error *why);

/** Counters of a subscription: those since its start, then those of now, of which UINT64_MAX means
 *  unknown.
 *  @since 0.1 @source docs/design/0002-public-api.md */
typedef struct marty_stats {
    uint64_t delivered;           /**< Since the start: handed to handlers or pulled. */
    uint64_t acked;               /**< Acked. */
    uint64_t retried;             /**< Retried. */
    uint64_t rejected;            /**< Sent to the dead letters. */
    uint64_t given_back;          /**< Given back uncounted. */
    uint64_t unmatched;           /**< Events that no handler's pattern matched; they are acked. */
    uint64_t lost;                /**< Settled too late. */
    uint64_t dropped;             /**< Kept and released unsettled. */
    uint64_t settle_failed;       /**< Settlements that failed at the broker. */
    uint64_t late;                /**< Came after their deadline or expiry. */
    uint64_t queued;              /**< Now: waiting in lanes. */
    uint64_t unsettled;           /**< Waiting, running or kept. */
    uint64_t lag;                 /**< Waiting at the broker. */
    uint64_t oldest_unsettled_ms; /**< Age of the oldest that is unsettled. */
    uint64_t last_delivery_ms;    /**< Time since the last delivery. */
    uint64_t reserved[8];         /**< 0. */
} marty_stats;

/**
 * The counters of a subscription. Cannot fail.
 *
 * @param subscription Yours.
 * @param ret_stats Filled in.
 * @threads Any.
 * @since 0.1
 * @source docs/design/0002-public-api.md
 */
MARTY_API void marty_subscription_stats(const marty_subscription *subscription,
                                        marty_stats *ret_stats);

/**
 * Begin to stop a subscription, from anywhere; twice is fine. marty_receive answers MARTY_E_CLOSED.
 * The handle lives until marty_unsubscribe.
 *
 * @param subscription Yours.
 * @threads Any.
 * @since 0.1
 * @source docs/design/0002-public-api.md
 */
MARTY_API void marty_subscription_stop(marty_subscription *subscription);

/**
 * Stop a subscription, let running handlers finish, and free the handle: always, whatever this
 * returns. The group and its position stay at the broker. After MARTY_OK its handler runs no more.
 *
 * @param subscription Yours; NULL is fine. No other thread may be in marty_receive: stop it first.
 * @param timeout_ms 0 = 10,000.
 * @param why Details on failure; may be NULL.
 * @return MARTY_OK when its handler runs no more.
 * @errors MARTY_E_TIMEOUT (it still runs), MARTY_E_CLOSED, MARTY_E_FORKED.
 * @threads Any; one call per handle.
 * @blocks Until its handlers have returned or timeout_ms; from its own handler it does not wait.
 * @since 0.1
 * @source docs/design/0002-public-api.md
 */
MARTY_API marty_err marty_unsubscribe(marty_subscription *subscription, int32_t timeout_ms,
                                      marty_error *why);

#ifdef __cplusplus
}
#endif
#endif
