/* SPDX-License-Identifier: Apache-2.0
 * A delivery: one attempt to hand you a message, and the verbs that settle it. Settling never fails
 * for want of memory, and any thread may do it, in the handler or later. */
#ifndef MARTY_DELIVERY_H
#define MARTY_DELIVERY_H
#include <marty/message.h>

#ifdef __cplusplus
extern "C" {
#endif

/** How services talk. @since 0.1 @source docs/design/0001-architecture.md */
typedef enum marty_pattern {
    MARTY_EVENT = 1, /**< It happened: to every group that subscribed; its members share. */
    MARTY_COMMAND,   /**< Do it: to one service, once. */
    MARTY_QUERY,     /**< Answer it: one service replies before a deadline. */
    MARTY_STREAM,    /**< An ordered log, to process and to read again. */
    MARTY_BROADCAST  /**< Every instance that runs now hears it, at most once. */
} marty_pattern;

/**
 * One attempt to hand you a message. Made by the library: read it, do not copy it. Valid until the
 * handler returns, or, kept, until it is released.
 *
 * @since 0.1
 * @source docs/design/0002-public-api.md
 */
struct marty_delivery {
    /** What was delivered; lives as long as the delivery. */
    const marty_message *message;
    /** The next of this batch; NULL at its end, and once it is kept past the handler. */
    marty_delivery *next;
    /** The bus that delivers. */
    marty_bus *bus;
    /** The subscription that it came by. */
    marty_subscription *subscription;
    /** The backend's name in the configuration. */
    const char *backend;
    /** The channel, by our name. */
    const char *channel;
    /** The group; NULL = this instance alone. */
    const char *group;
    /** Where it lies in the log, for a seek; NULL without replay. */
    const char *position;
    /** What kind of talk it is. */
    marty_pattern pattern;
    /** 1 = the first, counted over all instances where the backend can. */
    uint32_t attempt;
    /** Its lease, which is renewed while it is handled or kept; 0 = none. */
    uint32_t lease_ms;
    /** The shard of the channel. */
    uint32_t shard;
    /** A query's asker waits until then, Unix time in milliseconds; 0 = no deadline. */
    int64_t deadline_ms;
};

/**
 * Handles deliveries. What it returns settles what it has neither settled nor kept (of a batch: the
 * rest). MARTY_OK acks. Any error retries by the policy, with the error as cause (MARTY_E_FAILED
 * for failures of your own; a number that is not in the table counts as it); a query is answered
 * with it. MARTY_E_FULL, MARTY_E_UNAVAILABLE and MARTY_E_NO_MEMORY give back uncounted, and then
 * the lane waits for room or for state UP, at most retry.max_ms; any error while the bus drains
 * gives back uncounted too. An error never rejects: say marty_reject. In a batch ordered by key a
 * run of one key may stand together: retrying or keeping one gives back, uncounted, those of its
 * key behind it. It must return: no longjmp, C++ exception or pthread_exit out of it.
 *
 * @param user What the subscription was given.
 * @param delivery The first of the batch. Borrowed until the return, unless kept.
 * @return MARTY_OK to ack, or the error to retry with.
 * @errors Those of the program.
 * @threads A worker, or on a driven bus the thread in marty_bus_process, marty_bus_run or
 *     marty_bus_close; not concurrently with itself, unless the subscription has more lanes.
 * @since 0.1
 * @source docs/design/0002-public-api.md
 */
typedef marty_err (*marty_handler)(void *user, marty_delivery *delivery);

/** How a delivery is settled. @since 0.1 @source docs/design/0001-architecture.md */
typedef enum marty_verb {
    MARTY_SETTLE_ACK = 1,  /**< Done: never again. */
    MARTY_SETTLE_RETRY,    /**< Again after a delay; counts an attempt. */
    MARTY_SETTLE_REJECT,   /**< To the dead letters. */
    MARTY_SETTLE_EXTEND,   /**< Not settled yet: more time on its lease. */
    MARTY_SETTLE_GIVE_BACK /**< Again, uncounted where the backend can. */
} marty_verb;

/**
 * Settle a delivery, in the handler or later. The verbs below are shorter. MARTY_SETTLE_EXTEND asks
 * for delay_ms more of lease, which is rarely needed: leases renew themselves while a delivery is
 * handled or kept.
 *
 * @param delivery In the handler, or kept.
 * @param verb What becomes of it; MARTY_SETTLE_REJECT sends it to the dead letters.
 * @param delay_ms Of a retry and a give back: how long to wait; 0 = the policy's backoff.
 * @param reason For people, kept with dead letters; copied, cut at 200 bytes; may be NULL.
 * @return MARTY_OK = on its way; should it fail at the broker, the message is delivered again, and
 *     that is counted.
 * @errors The common ones; MARTY_E_STATE (settled already), MARTY_E_LOST (its lease is gone or its
 *     partition revoked: another one has it), MARTY_E_CLOSED.
 * @threads Any.
 * @since 0.1
 * @source docs/design/0002-public-api.md
 */
MARTY_API marty_err marty_settle(marty_delivery *delivery, marty_verb verb, uint32_t delay_ms,
                                 const char *reason);

/**
 * It is done: never deliver it again.
 *
 * @param d The delivery.
 * @return As marty_settle.
 * @errors As marty_settle.
 * @threads Any.
 * @since 0.1
 * @source docs/design/0002-public-api.md
 */
MARTY_INLINE marty_err marty_ack(marty_delivery *d)
{
    return marty_settle(d, MARTY_SETTLE_ACK, 0, NULL);
}

/**
 * It failed: deliver it again, after a delay. Counts an attempt; the last one is a reject.
 *
 * @param d The delivery.
 * @param ms The delay; 0 = the policy's backoff.
 * @param reason As in marty_settle.
 * @return As marty_settle.
 * @errors As marty_settle.
 * @threads Any.
 * @since 0.1
 * @source docs/design/0002-public-api.md
 */
MARTY_INLINE marty_err marty_retry(marty_delivery *d, uint32_t ms, const char *reason)
{
    return marty_settle(d, MARTY_SETTLE_RETRY, ms, reason);
}

/**
 * It can never be handled: to the dead letters, with the reason.
 *
 * @param d The delivery.
 * @param reason As in marty_settle.
 * @return As marty_settle.
 * @errors As marty_settle.
 * @threads Any.
 * @since 0.1
 * @source docs/design/0002-public-api.md
 */
MARTY_INLINE marty_err marty_reject(marty_delivery *d, const char *reason)
{
    return marty_settle(d, MARTY_SETTLE_REJECT, 0, reason);
}

/**
 * Not now, and that is not its fault: again later, here or elsewhere, with no attempt counted where
 * the backend can.
 *
 * @param d The delivery.
 * @param ms The delay; 0 = the policy's backoff.
 * @param reason As in marty_settle.
 * @return As marty_settle.
 * @errors As marty_settle.
 * @threads Any.
 * @since 0.1
 * @source docs/design/0002-public-api.md
 */
MARTY_INLINE marty_err marty_give_back(marty_delivery *d, uint32_t ms, const char *reason)
{
    return marty_settle(d, MARTY_SETTLE_GIVE_BACK, ms, reason);
}

/**
 * Keep a delivery past its handler: then the return value does not settle it, you do. It counts
 * against credit until then.
 *
 * @param delivery In the handler, or kept already.
 * @return The same pointer, counted; yours to release.
 * @threads Any.
 * @since 0.1
 * @source docs/design/0002-public-api.md
 */
MARTY_API marty_delivery *marty_delivery_keep(marty_delivery *delivery);

/**
 * Give back what marty_delivery_keep or marty_receive gave. Unsettled, it is retried at once and
 * counted as dropped.
 *
 * @param delivery Yours; NULL is fine.
 * @threads Any, also after the bus was closed.
 * @since 0.1
 * @source docs/design/0002-public-api.md
 */
MARTY_API void marty_delivery_release(marty_delivery *delivery);

/**
 * Release all that marty_receive gave, next by next.
 *
 * @param first The first; NULL is fine.
 * @threads Any, also after the bus was closed.
 * @since 0.1
 * @source docs/design/0002-public-api.md
 */
MARTY_API void marty_delivery_release_all(marty_delivery *first);

/**
 * Answer a query and ack it. The correlation is ours to set. A query whose handler returns MARTY_OK
 * without it leaves its asker with the error "unanswered".
 *
 * @param delivery A query.
 * @param reply A template will do (type NULL = the query's). Borrowed and copied.
 * @param why Details on failure; may be NULL.
 * @return MARTY_OK = sent; on an error the query is still unsettled.
 * @errors The common ones; MARTY_E_STATE (not a query, or answered already), MARTY_E_TIMEOUT (the
 *     asker gave up), MARTY_E_LOST.
 * @threads Any.
 * @since 0.1
 * @source docs/design/0002-public-api.md
 */
MARTY_MUST marty_err marty_reply(marty_delivery *delivery, const marty_message *reply,
                                 marty_error *why);

/**
 * Answer a query with an error and ack it: the asker gets MARTY_E_REMOTE with this class, and
 * why.remote = code, why.text = text.
 *
 * @param delivery A query.
 * @param error_class What the asker should do about it.
 * @param code For programs, for example "not_found"; at most 55 bytes. Copied.
 * @param text For people; may be NULL. Copied.
 * @return MARTY_OK = sent; on an error the query is still unsettled.
 * @errors As marty_reply.
 * @threads Any.
 * @since 0.1
 * @source docs/design/0002-public-api.md
 */
MARTY_API marty_err marty_fail(marty_delivery *delivery, marty_class error_class, const char *code,
                               const char *text);

/**
 * Ask whether a delivery is still ours, before an effect that cannot be undone.
 *
 * @param delivery In the handler, or kept.
 * @return MARTY_OK = still ours.
 * @errors The common ones; MARTY_E_LOST, MARTY_E_CANCELLED (the deadline of the drain has passed).
 * @threads Any.
 * @since 0.1
 * @source docs/design/0002-public-api.md
 */
MARTY_API marty_err marty_delivery_check(const marty_delivery *delivery);

#ifdef __cplusplus
}
#endif
#endif
