/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MARTY_SUBSCRIBE_H
#define MARTY_SUBSCRIBE_H
#include <marty/bus.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MARTY_GROUP_INSTANCE "*" /* a group of this instance alone, from now, gone at close */
typedef enum marty_from {
    MARTY_FROM_GROUP,
    MARTY_FROM_EARLIEST,
    MARTY_FROM_NOW,
    MARTY_FROM_TIME,
    MARTY_FROM_POSITION
} marty_from;
typedef struct marty_start {
    int64_t time_us;
    marty_from from;
    const char *position;
} marty_start; /* for a new group; 0 = topics now, streams earliest. A position is of one shard */
typedef enum marty_order {
    MARTY_ORDER_DEFAULT,
    MARTY_ORDER_NONE,
    MARTY_ORDER_KEY
} marty_order; /* default: what the channel's route says */
typedef struct marty_retry_policy {
    uint32_t attempts, first_ms, max_ms;
    bool no_jitter;
    uint64_t reserved;
} marty_retry_policy; /* 5 (UINT32_MAX = without end), 200, 30,000 */
typedef struct marty_subscribe_options {
    const char *group, *service; /* NULL = the bus's service; neither: ARGUMENT (two services would
                                    share their work unasked) */
    uint32_t concurrency;        /* 0 = 1: never concurrent with itself */
    marty_order order; /* by key: the next of a key waits until the one before is settled, be it
                          running, kept or retried */
    uint32_t batch_max, batch_wait_ms;
    size_t batch_bytes_max;       /* 0 = 1; 0 = hand over what is there; 0 = no limit */
    uint32_t credit, keep_max_ms; /* unsettled, kept ones included: 0 = 64, or 2 batches a lane;
                                     give up (retry): 0 = 30 minutes */
    marty_start start;
    marty_retry_policy retry;
    bool paused, reset; /* reset: start moves a group that exists, too */
    int32_t timeout_ms; /* 0 = 5,000; NO_WAIT: the answer is SUBSCRIBED or REFUSED */
    void (*user_free)(void *user);
    uint64_t reserved[6]; /* called once, when the handler can run no more */
} marty_subscribe_options;
/** Subscribe to messages of a pattern; the five verbs below name it. name: type or stream; "*" one
 * word, ">" the rest, by words at ".". ret_subscription NULL = it lives as long as the bus, else
 * yours for unsubscribe. handler NULL = you pull with marty_receive. B: until the backend has it or
 * timeout_ms (once started, handlers may run before the return), not while it is down. E:
 * UNSUPPORTED, NOT_FOUND, DENIED, EXISTS (overlap). */
MARTY_MUST marty_err marty_subscribe(marty_bus *bus, marty_pattern pattern, const char *name,
                                     marty_handler handler, void *user,
                                     const marty_subscribe_options *options,
                                     marty_subscription **ret_subscription, marty_error *why);
#ifndef MARTY_NO_INLINE
#define MARTY__SUBSCRIBE_VERB(verb, pattern)                                                       \
    MARTY_VERB marty_err verb(marty_bus *bus, const char *name, marty_handler handler, void *user, \
                              const marty_subscribe_options *options,                              \
                              marty_subscription **ret_subscription, marty_error *why)             \
    {                                                                                              \
        return marty_subscribe(bus, pattern, name, handler, user, options, ret_subscription, why); \
    }
MARTY__SUBSCRIBE_VERB(marty_subscribe_to_events, MARTY_EVENT)
MARTY__SUBSCRIBE_VERB(marty_handle_commands, MARTY_COMMAND)
MARTY__SUBSCRIBE_VERB(marty_handle_queries, MARTY_QUERY)
MARTY__SUBSCRIBE_VERB(marty_process_stream, MARTY_STREAM)
MARTY__SUBSCRIBE_VERB(marty_subscribe_to_broadcasts, MARTY_BROADCAST)
#endif
/** Pull up to batch_max, linked by next, each kept: settle and release each. B: timeout_ms (0 =
 * 5,000), ended by unsubscribe. A driven bus needs no process for it; its descriptor stays readable
 * while there is something to pull. E: TIMEOUT (nothing came), STATE (has a handler). */
MARTY_MUST marty_err marty_receive(marty_subscription *subscription, int32_t timeout_ms,
                                   marty_delivery **ret_first, marty_error *why);
/** Hold deliveries back or go on; group membership and leases stay. Those running finish. */
MARTY_API marty_err marty_subscription_pause(marty_subscription *subscription, bool paused,
                                             marty_error *why);
/** Change the number of lanes, 1 or more; takes effect as running handlers return, order by key
 * kept. */
MARTY_API marty_err marty_subscription_concurrency(marty_subscription *subscription,
                                                   uint32_t concurrency, marty_error *why);
/** Go elsewhere in the log, for the whole group; what was delivered before settles as LOST. B:
 * 5,000 ms. E: UNSUPPORTED, NOT_FOUND. */
MARTY_MUST marty_err marty_subscription_seek(marty_subscription *subscription,
                                             const marty_start to[], size_t count,
                                             marty_error *why);
typedef struct marty_stats {
    uint64_t delivered, acked, retried, rejected, given_back, unmatched, lost, dropped,
        settle_failed, late; /* since the start */
    uint64_t queued, unsettled, lag, oldest_unsettled_ms, last_delivery_ms;
    uint64_t reserved[8]; /* now; UINT64_MAX = unknown */
} marty_stats;
/** Its counters. Cannot fail. */
MARTY_API void marty_subscription_stats(const marty_subscription *subscription,
                                        marty_stats *ret_stats);
/** Begin to stop, from anywhere, twice is fine; receive answers CLOSED. The handle lives until
 * unsubscribe. */
MARTY_API void marty_subscription_stop(marty_subscription *subscription);
/** Stop, let running handlers finish, free the handle (NULL is fine; no other thread may be in
 * receive: stop first): always, whatever it returns. The group and its position stay at the broker.
 *  B: timeout_ms (0 = 10,000); from its own handler it does not wait. After OK its handler runs no
 * more. E: TIMEOUT (it still runs), CLOSED. */
MARTY_API marty_err marty_unsubscribe(marty_subscription *subscription, int32_t timeout_ms,
                                      marty_error *why);

#ifdef __cplusplus
}
#endif
#endif
