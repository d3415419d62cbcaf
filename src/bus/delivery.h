/* SPDX-License-Identifier: Apache-2.0
 * A delivery: one attempt, from the adapter to its settlement. */
#ifndef MARTY_BUS_DELIVERY_H
#define MARTY_BUS_DELIVERY_H
#include "base/limits.h"
#include "bus/consumer.h"
#include "bus/subscription.h"

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

/* First what all deliveries of a consumer to a subscription begin with, which is copied; then what
 * each gets of its own; last what few need. */
struct marty__delivery {
    marty_delivery handle; /* first: what the user sees */
    atomic_uint refs;
    atomic_uint user_refs; /* the handler that runs, and those who keep it */
    atomic_int verdict;
    uint32_t carried;                 /* attempts that its message counts itself */
    marty__consumer *consumer;        /* counted */
    marty_subscription *subscription; /* counted; NULL when no handler matched */
    int64_t expires_ns;               /* by our monotonic clock; MARTY__NEVER = not */
    _Atomic int64_t handed_ns;        /* to its handler; 0 = not yet. Read by lease and watch */
    uint32_t delay_ms;                /* with verb: to settle at the broker */
    marty_verb verb;
    bool held;     /* until its alarm: in subscription->held, or in its place behind the first */
    bool keyed;    /* in subscription->keys or behind one that is */
    bool in_hands; /* of its handler, or kept. This and the two before under subscription->lock */
    bool answered;
    atomic_bool kept;   /* by its handler, in whose hands it may be while another thread looks */
    bool left_batch;    /* before it was over: it waits with a reference of its own; under
                           subscription->lock */
    atomic_bool active; /* counted in bus->kept */
    marty__dead *dead;
    char *reply_to;                     /* of a query */
    uint32_t extend_ms, extend_attempt; /* written under consumer->lock and port->lock */
    bool
        extending;    /* more lease is asked for. This and the next under consumer->lock, apart from
                         the flags above: those are read in one go by who runs it, without that lock */
    bool revoked;     /* its shard will be lost when its lease ends, which is not renewed */
    int64_t again_ns; /* held: when it runs again. This and the next under subscription->lock */
    int64_t stuck_ns; /* its key was found stuck behind it then; 0 = it was not */
    /* Its own; each is written before it is read. */
    marty__link link;      /* lane->ready, waiting of a key, subscription->held, consumer->spare */
    marty__link unsettled; /* consumer->unsettled; under consumer->lock */
    marty__link settle_link; /* a turn, port->settles */
    marty__link waiting;     /* of the first of a key: the later ones; under subscription->lock */
    uint64_t tag;
    _Atomic uint64_t epoch; /* of the consumer's when it came; MARTY__GONE = lost by itself */
    int64_t lease_until_ns;
    char position[48];
    /* Who has it in one of these has a reference of it: clear in every free one. */
    marty__link extend_link; /* port->extends; under port->lock */
    marty__link returning;   /* subscription->returning; under subscription->lock */
    marty__alarm alarm;      /* held: when it runs again */
};

/* ---- delivery.c, held.c, intake.c, settle.c */
enum { MARTY__AT_ONCE = -1 }; /* as a delay: not by the policy */
#define MARTY__GONE UINT64_MAX
void marty__intake(marty__port *port, const marty_incoming *batch, size_t count);
/** A free object of a consumer's; its lock held. NULL without memory. */
marty__delivery *marty__delivery_new(marty__consumer *consumer);
/** Whether its time to live is over, or its asker waits no more. */
bool marty__delivery_expired(const marty__delivery *delivery);
void marty__delivery_unref(marty__delivery *delivery);
/** One reference of each. */
void marty__deliveries_unref(marty__delivery **list, size_t count);
/** The usual end of a batch of one subscription, none keyed or kept: out of their handler's hands,
 * and acked if they are open. Takes over a reference of each. */
void marty__deliveries_ack(marty__delivery **list, size_t count);
marty__delivery *marty__delivery_ref(marty__delivery *delivery);
/** The last word on a delivery, at the broker. Its verdict must have been taken. */
void marty__delivery_finish(marty__delivery *delivery, marty_verb verb, uint32_t delay_ms);
/** Run it again from memory after a delay, attempt + 1 if counted; it stays unsettled, its lease is
 * renewed. Verdict taken before. */
void marty__delivery_hold(marty__delivery *delivery, uint32_t delay_ms, bool counted);
/** Take the right to say the last word: OK, or STATE (somebody has), LOST. */
marty_err marty__delivery_take(marty__delivery *delivery);
/** In a handler's hands, and no more. */
void marty__delivery_begin(marty__delivery *delivery, int64_t now_ns);
void marty__delivery_end(marty__delivery *delivery);
/** Whether it may go to its handler; else it is lost or settled already. No lock held. */
bool marty__delivery_admit(marty__delivery *delivery);
/** The same by the handler or a keeper of a kept one: the last of them gives up what none has
 * settled. */
void marty__delivery_let_go(marty__delivery *delivery);
/** What the handler's return value says about one that is neither settled nor kept. */
void marty__delivery_conclude(marty__delivery *delivery, marty_err err);
/** Its turn after all, after a batch that it left. */
void marty__delivery_reopen(marty__delivery *delivery);
/** Lost with its connection, shard or lease: no settling any more. */
void marty__delivery_lose(marty__delivery *delivery);
/** Settled or lost, or to run again: no drain waits for its keeper any more. */
void marty__delivery_inactive(marty__delivery *delivery);
/** Which attempt it is, in the broker's count. */
MARTY_INLINE uint32_t marty__delivery_attempt(const marty__delivery *delivery)
{
    return delivery->handle.attempt - delivery->carried;
}
MARTY_INLINE bool marty__delivery_kept(const marty__delivery *delivery)
{
    return atomic_load_explicit(&delivery->kept, memory_order_relaxed);
}
/** Whether it is: whoever has it finds out when its turn comes or when it is settled. No lock. */
bool marty__delivery_stale(const marty__delivery *delivery);
/** With consumer->lock held: it alone is lost. Its credit is to be owed by the caller. */
void marty__delivery_forfeit(marty__delivery *delivery);
/* A turn of a worker, whose settlings go together. A handler may run those of another bus inside of
 * its own. */
typedef struct marty__turn {
    marty__link settles;
    const marty_subscription *of; /* only its deliveries: whoever waits for another one's settling
                                     may be this very handler */
    struct marty__turn *outer;
} marty__turn;

/** Collect on this thread from begin until flush. */
void marty__settle_begin(marty__turn *turn, const marty_subscription *of);
void marty__settle_flush(marty__turn *turn);
/** A batch of those queued, to the adapter. */
void marty__settles_run(marty__port *port);
void marty__settle_queue(marty__delivery *delivery);
void marty__extends_run(marty__port *port);
void marty__settled(marty__port *port, uint64_t subscription, marty_verb verb, const uint64_t *tags,
                    size_t count, marty_err result, int64_t lease_until_ns);
#endif
