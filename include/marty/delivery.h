/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MARTY_DELIVERY_H
#define MARTY_DELIVERY_H
#include <marty/message.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum marty_pattern {
    MARTY_EVENT = 1,
    MARTY_COMMAND,
    MARTY_QUERY,
    MARTY_STREAM,
    MARTY_BROADCAST
} marty_pattern;
/* One attempt to hand you a message. Made by the library; read it, do not copy it. Valid until the
 * handler returns, or kept. */
struct marty_delivery {
    const marty_message *message;
    marty_delivery *next; /* next of this batch, NULL at its end and once kept past the handler */
    marty_bus *bus;
    marty_subscription *subscription;
    const char *backend, *channel, *group, *position; /* position: for seek; NULL without replay */
    marty_pattern pattern;
    uint32_t attempt, lease_ms, shard; /* 1 = first, over all instances where it can; 0 = none,
                                          renewed while handled or kept */
    int64_t deadline_ms;               /* a query's asker waits until then, Unix time; 0 = none */
};
/* What it returns settles what it has not settled or kept (of a batch: the rest). MARTY_OK = ack.
 * Any error = retry by the policy, the error as cause (MARTY_E_FAILED for failures of your own;
 * numbers not in the table count as it); a query is answered with it. Given back uncounted: FULL,
 * UNAVAILABLE and NO_MEMORY, then the lane waits for room or UP, at most retry.max_ms; and any
 * error while draining. Never a reject: say marty_reject. In a batch ordered by key a run of one
 * key may stand together: retrying or keeping one gives back those of its key behind it, uncounted.
 */
typedef marty_err (*marty_handler)(void *user, marty_delivery *delivery);
typedef enum marty_verb {
    MARTY_SETTLE_ACK = 1,
    MARTY_SETTLE_RETRY,
    MARTY_SETTLE_REJECT,
    MARTY_SETTLE_EXTEND,
    MARTY_SETTLE_GIVE_BACK
} marty_verb;
/** Settle (REJECT: to the dead letters), in the handler or later, from any thread; reason is
 * copied, cut at 200 bytes. delay_ms 0 = the policy's backoff. OK = on its way (a failure at the
 * broker means redelivery and is counted). EXTEND asks for delay_ms more lease (leases renew
 * themselves while handled or kept: rarely needed). E: STATE (settled already), LOST (lease gone,
 * partition revoked), CLOSED. */
MARTY_API marty_err marty_settle(marty_delivery *delivery, marty_verb verb, uint32_t delay_ms,
                                 const char *reason);
MARTY_INLINE marty_err marty_ack(marty_delivery *d)
{
    return marty_settle(d, MARTY_SETTLE_ACK, 0, NULL);
}
MARTY_INLINE marty_err marty_retry(marty_delivery *d, uint32_t ms, const char *reason)
{
    return marty_settle(d, MARTY_SETTLE_RETRY, ms, reason);
}
MARTY_INLINE marty_err marty_reject(marty_delivery *d, const char *reason)
{
    return marty_settle(d, MARTY_SETTLE_REJECT, 0, reason);
}
/** Not now, and not its fault: again later, here or elsewhere, no attempt counted where the backend
 * can. */
MARTY_INLINE marty_err marty_give_back(marty_delivery *d, uint32_t ms, const char *reason)
{
    return marty_settle(d, MARTY_SETTLE_GIVE_BACK, ms, reason);
}
/** Keep past the handler: then its return value does not settle it, you do. Same pointer, counted.
 * Counts against credit. */
MARTY_API marty_delivery *marty_delivery_keep(marty_delivery *delivery);
/** Give back what keep or receive gave; NULL is fine. Given back unsettled = retry at once, counted
 * as dropped. Fine after close. */
MARTY_API void marty_delivery_release(marty_delivery *delivery);
/** All that marty_receive gave: release each, next by next. */
MARTY_API void marty_delivery_release_all(marty_delivery *first);
/** Answer a query and ack it; a template will do (type NULL = the query's), correlation is ours. OK
 * = sent. E: STATE (no query, or answered), TIMEOUT (asker gave up), LOST. On error it is still
 * unsettled. A query handler that returns OK without it: the asker gets "unanswered". */
MARTY_MUST marty_err marty_reply(marty_delivery *delivery, const marty_message *reply,
                                 marty_error *why);
/** Answer a query with an error: the asker gets MARTY_E_REMOTE with this class, why.remote = code,
 * why.text = text. Acks. Errors as reply. */
MARTY_API marty_err marty_fail(marty_delivery *delivery, marty_class error_class, const char *code,
                               const char *text);
/** Ask before an effect that cannot be undone: OK = still ours. E: LOST, CANCELLED (the drain
 * deadline passed). */
MARTY_API marty_err marty_delivery_check(const marty_delivery *delivery);

#ifdef __cplusplus
}
#endif
#endif
