/* SPDX-License-Identifier: Apache-2.0
 * What a backend promises, as data: bits by kind of channel, the level of `stored`, and limits. The
 * same data drives core, the conformance suite, the documentation and `marty doctor`. */
#ifndef MARTY_CAPABILITY_H
#define MARTY_CAPABILITY_H
#include <marty/publish.h>
#include <marty/subscribe.h>

#ifdef __cplusplus
extern "C" {
#endif

/* clang-format off */
/**
 * The capabilities, append-only: X(name, bit). The lower-case name is the word in YAML, CLI and
 * documentation. Using one that is neither granted nor emulated is MARTY_E_UNSUPPORTED.
 *
 * @since 0.1
 * @source docs/design/0003-backend-port.md
 */
#define MARTY_CAPABILITIES(X)                                                                      \
    X(GROUPS, 0)        /* each group gets all, its members share                               */ \
    X(REPLAY, 1)        /* a group may begin anywhere in what is kept, and seek                 */ \
    X(DELAY, 2)         /* publish with a time before which it is not delivered                 */ \
    X(DELAYED_RETRY, 3) /* settle as retry or give back with a delay                            */ \
    X(CANCEL, 4)        /* take a scheduled message back                                        */ \
    X(TIME_TO_LIVE, 5)  /* what has expired is not delivered                                    */ \
    X(ORDER_BY_KEY, 6)  /* one key at one instance at a time, in order, over member changes too */ \
    X(PERSIST, 7)       /* what is stored survives a restart of the broker                      */ \
    X(CONFIRM, 8)       /* a publish is answered by the broker                                  */ \
    X(DEDUPLICATE, 9)   /* the same source and id again, in the window, stores nothing          */ \
    X(DEAD_LETTER, 10)  /* reject stores the dead letter in place of the original, atomically   */ \
    X(BROWSE, 11)       /* dead letters can be listed by position and erased                    */ \
    X(WILDCARD, 12)     /* one subscription over several channels                               */ \
    X(REPLY, 13)        /* replies by a channel of this bus                                     */ \
    X(NO_RESPONDER, 14) /* a query that nobody can answer fails at once                         */ \
    X(PRIORITY, 15)     /* higher priority is delivered first                                   */ \
    X(TRANSACTIONS, 16) /* several messages become visible together                             */ \
    X(HOLD_KEY, 17)     /* one in order, given back with a delay, holds its key, and no other   */
/* clang-format on */

/** One capability as an enumerator. @since 0.1 @source docs/design/0003-backend-port.md */
#define MARTY__CAN_ENUM(name, bit) MARTY_CAN_##name = 1 << (bit),
/** MARTY_CAN_GROUPS and so on: one bit each. @since 0.1 @source docs/design/0003-backend-port.md */
enum { MARTY_CAPABILITIES(MARTY__CAN_ENUM) };

/** What kind a channel is; REQUEST, BROADCAST and REPLY keep nothing.
 *  @since 0.1 @source docs/design/0001-architecture.md */
typedef enum marty_kind {
    MARTY_KIND_TOPIC = 1, /**< Events: fan-out to groups. */
    MARTY_KIND_QUEUE,     /**< Commands: one consumer takes it. */
    MARTY_KIND_REQUEST,   /**< Queries: a queue that keeps nothing. */
    MARTY_KIND_STREAM,    /**< An ordered log with replay. */
    MARTY_KIND_BROADCAST, /**< Fan-out to every instance. */
    MARTY_KIND_REPLY,     /**< Answers to one bus. */
    MARTY_KIND_DEAD       /**< Dead letters. */
} marty_kind;

/** A fact that may not be known. @since 0.1 @source docs/design/0003-backend-port.md */
typedef enum marty_known {
    MARTY_UNKNOWN, /**< Nobody could tell. */
    MARTY_NO,      /**< Known to be false. */
    MARTY_YES      /**< Known to be true. */
} marty_known;

/** What a backend grants: claimed by its table, or granted by this broker with this configuration.
 *  Of limits 0 means none known.
 *  @since 0.1 @source docs/design/0003-backend-port.md */
typedef struct marty_capabilities {
    /** MARTY_CAN_... by marty_kind; [0] = on all of them. */
    uint64_t can[8];
    /** Of these bits: what only channels without order by key have, as a FIFO queue has no delay.
     */
    uint64_t only_unordered;
    /** Of these bits: what only channels with order by key have. */
    uint64_t only_ordered;
    /** How well `stored` is stored: read from the broker's real configuration, else its weakest. */
    marty_level level;
    /** How many brokers have a copy when a publish is answered. */
    uint32_t copies;
    /** Whether it is on their disks then; replicated does not imply it. */
    marty_known synced;
    /** The level could not be read: the weakest value was taken. */
    bool assumed;
    /** Deliveries are not counted by the broker (a log does not): one that kills its consumer comes
     *  again as the same attempt. */
    bool uncounted;
    /** A give back counts as an attempt all the same. */
    bool give_back_counts;
    /** The level was stated in the URL, and is proved by nobody. */
    bool stated;
    /** Headers of one message. */
    uint32_t header_count_max;
    /** Bytes of a channel's or group's native name. */
    uint32_t name_bytes_max;
    /** Messages published and not answered. */
    uint32_t inflight_max;
    /** Bytes of data of one message. */
    uint64_t payload_bytes_max;
    /** Bytes of all headers of one message. */
    uint64_t header_bytes_max;
    /** The longest delay of a publish. */
    uint64_t delay_ms_max;
    /** The longest delay of a retry. */
    uint64_t retry_ms_max;
    /** Delays are rounded up to a multiple of it; 0 = they are not. */
    uint64_t delay_step_ms;
    /** How long after a settling was answered a crash may still undo it; 0 = not at all. */
    uint64_t settle_lag_ms;
    /** How long a delivery is leased; 0 = no lease. */
    uint64_t lease_ms;
    /** The window in which a duplicate is seen. */
    uint64_t deduplicate_ms;
    /** Leave it 0. */
    uint64_t reserved[8];
} marty_capabilities;

#ifdef __cplusplus
}
#endif
#endif
