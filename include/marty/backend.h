/* SPDX-License-Identifier: Apache-2.0
 * The port: what an adapter of a broker does for core, and what it tells core. Small, in batches,
 * and without hidden emulation. docs/design/0003-backend-port.md says what each word means on each
 * kind of channel; <marty/adapter.h> and <marty/window.h>, included here, have helpers that
 * adapters share. */
#ifndef MARTY_BACKEND_H
#define MARTY_BACKEND_H
#include <marty/adapter.h>
#include <marty/marty.h>
#include <marty/window.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Changes when a table of this version cannot be used any more.
 *  @since 0.1 @source docs/design/0003-backend-port.md */
#define MARTY_BACKEND_ABI 1u

/** The adapter's own object: one connection to one broker.
 *  @since 0.1 @source docs/design/0003-backend-port.md */
typedef struct marty_port marty_port;

/** A channel as the port sees it. @since 0.1 @source docs/design/0003-backend-port.md */
typedef struct marty_channel {
    /** What kind it is. */
    marty_kind kind;
    /** Its order, fixed when it is made. */
    marty_order order;
    /** The name is the broker's, taken as it is. */
    bool native;
    /** Our name, or with native the broker's. Publishing to REPLY: the opaque reply_to. */
    const char *name;
    /** Subscribing: NULL = every instance. Publishing: set = to that group only, through its retry
     *  place, which its subscribe reads too. */
    const char *group;
    /** How many shards when it is made; 0 = the default. */
    uint32_t shards;
} marty_channel;

/** A message to publish. Borrowed until the op returns: ref the message to keep it.
 *  @since 0.1 @source docs/design/0003-backend-port.md */
typedef struct marty_outgoing {
    uint64_t token;               /**< Answered exactly once; never 0. */
    marty_channel channel;        /**< Where to. */
    const marty_message *message; /**< What. */
    const char *reply_to;         /**< Of a REQUEST: our logical reply channel; else NULL. */
    int64_t deliver_at_us;        /**< Not before, Unix time; 0 = now. */
    int64_t deadline_ns;          /**< Monotonic: answered by it, and not begun after it. */
} marty_outgoing;

/** What became of one token. @since 0.1 @source docs/design/0003-backend-port.md */
typedef struct marty_published {
    uint64_t token;    /**< Which. */
    marty_err err;     /**< MARTY_OK = stored. */
    marty_level level; /**< How well. */
    const char *text;  /**< Why not; NULL when stored. Borrowed for the call. */
    char position[48]; /**< The broker's name for it, or "". */
    uint64_t offset;   /**< The broker's name for it, where that is a number and position is "":
                            core writes it out for who asks; 0 = none. */
} marty_published;

/** What a subscription wants, and what topology is asked about.
 *  @since 0.1 @source docs/design/0003-backend-port.md */
typedef struct marty_want {
    marty_channel channel;       /**< Which channel and group. */
    const char *const *patterns; /**< Of types, as a hint to filter; core matches again. */
    size_t pattern_count;        /**< How many; 0 = all types. */
    marty_start start;           /**< Where a new group begins. */
    bool reset;                  /**< start moves a group that exists too. */
    uint32_t credit;             /**< How many unsettled deliveries at first. */
    /** The lease of its deliveries, at most; 0, or a longer one than the backend's = the backend's.
     *  No part of topology. */
    uint32_t lease_ms;
} marty_want;

/** A delivery from the broker. @since 0.1 @source docs/design/0003-backend-port.md */
typedef struct marty_incoming {
    /** Which subscription. */
    uint64_t subscription;
    /** To settle it by: unique in the subscription, never 0, and with the adapter's epoch in it, so
     *  that one of an older connection, lease or seek is answered LOST. */
    uint64_t tag;
    /** A reference handed to core; NULL = unreadable: raw and headers go to the dead letters. */
    marty_message *message;
    /** Where to answer: native and opaque; NULL = nowhere. */
    const char *reply_to;
    /** Of a subscription to many channels: which one it came from, our name of it; NULL = the one
     *  subscribed to, or unknown. Dead letters and replays need it. */
    const char *channel;
    /** Where it lies in the log; NULL without replay. */
    const char *position;
    /** The broker's count of deliveries; 1 = the first. */
    uint32_t attempt;
    /** Which shard. */
    uint32_t shard;
    /** How long the broker has had it, by the broker's clock alone; 0 = it cannot say. */
    int64_t age_us;
    /** When its lease ends, monotonic; INT64_MAX = none. */
    int64_t lease_until_ns;
    /** The body as it came; needed when message is NULL. */
    marty_bytes raw;
    /** The headers as they came; needed when message is NULL. */
    const marty_header *headers;
    /** How many headers. */
    size_t header_count;
} marty_incoming;

/** A delivery to settle. @since 0.1 @source docs/design/0003-backend-port.md */
typedef struct marty_settling {
    /** Which subscription. */
    uint64_t subscription;
    /** Which delivery. */
    uint64_t tag;
    /** GIVE_BACK: uncounted where the broker can. EXTEND: renew the lease by delay_ms. */
    marty_verb verb;
    /** Of RETRY and GIVE_BACK; above 0 only where DELAYED_RETRY is granted. On a channel with order
     * by key a GIVE_BACK has one only where HOLD_KEY is granted: nothing of the key is delivered
     * to anyone before the delays of all that were given back of it are over. */
    uint32_t delay_ms;
    /** Which attempt it was, in the broker's count: incoming's, and more when it was tried again
     * from memory. After RETRY the next is one more, after GIVE_BACK it is this one again. */
    uint32_t attempt;
    /** Of REJECT, sent only where DEAD_LETTER is granted: stored in place of the original,
     *  atomically; else NULL. */
    const marty_outgoing *dead;
} marty_settling;

/**
 * Core's side of a port: what an adapter may tell it. Each slot may be called from any thread, also
 * inside an op; none blocks, none fails, none calls an op. All that is passed is borrowed for the
 * call, but for the message of an incoming, which is handed over.
 *
 * @since 0.1
 * @source docs/design/0003-backend-port.md
 */
struct marty_sink {
    /** MARTY_BACKEND_ABI of the library. */
    uint32_t abi;
    /** sizeof (marty_sink) of the library. */
    uint32_t size;
    /** All clocks and chance come from it; no slot is NULL here. */
    const marty_env *env;
    /** Up with what is granted; or down, blocked or closed, with the reason and a text that says
     *  which thing, what was expected, what to do. Before down every token held is answered. */
    void (*state)(const marty_sink *sink, marty_state state, const marty_capabilities *granted,
                  marty_err reason, const char *text);
    /** Answers to tokens, each exactly once. */
    void (*published)(const marty_sink *sink, const marty_published results[], size_t count);
    /** Deliveries; never more unsettled ones than were granted. */
    void (*delivered)(const marty_sink *sink, const marty_incoming batch[], size_t count);
    /** Answers to settlings of one verb, each exactly once: OK = done, LOST = too late, other =
     *  failed for good: core does not ask again, its lease or connection ends it. lease_until_ns:
     * of EXTEND, the new end. With HOLD_KEY a GIVE_BACK is answered after all that was delivered of
     * its key before. */
    void (*settled)(const marty_sink *sink, uint64_t subscription, marty_verb verb,
                    const uint64_t tags[], size_t count, marty_err result, int64_t lease_until_ns);
    /** OK = the broker has it now: nothing that is published from here on is missed, whoever gets
     *  which shard and when; CLOSED = unsubscribed, and nothing comes any more; other = gone,
     *  core tries again. */
    void (*subscribed)(const marty_sink *sink, uint64_t subscription, marty_err reason,
                       const char *text);
    /** Shards gained. */
    void (*assigned)(const marty_sink *sink, uint64_t subscription, const uint32_t shards[],
                     size_t count);
    /** Shards lost at a deadline: what waits is given back at once, what runs is settled until
     * then, after it is LOST: neither sent nor answered any more, and its credit granted again. One
     * that was lost already has a deadline that is past. */
    void (*revoked)(const marty_sink *sink, uint64_t subscription, const uint32_t shards[],
                    size_t count, int64_t deadline_ns);
    /** Call back at a monotonic time, as an op; INT64_MAX = off. One timer per call and user. */
    void (*timer)(const marty_sink *sink, int64_t at_ns, void (*call)(void *user), void *user);
    /** A line for the log of the bus: level 0 error to 3 debug; copied. Never secrets. */
    void (*log)(const marty_sink *sink, int level, const char *text);
    /** A worker of the bus calls back soon: as no op, once however often it is asked before that
     *  begins, and never after free. One call and user per adapter. false: none is lent (a driven
     *  bus, one that ends, one whose user pulls), so do it yourself, now. */
    bool (*later)(const marty_sink *sink, void (*call)(void *user), void *user);
};

/**
 * An adapter: one static table. Only topology and cancel may be NULL, and lead with serve. Core
 * calls the ops of one port one at a time (topology, lead and serve beside them, and settle if it
 * may), from any thread, holding no lock. None waits for the network, save topology and serve.
 * Subscription and token are never 0. An op that returns an error took nothing. `why` is never NULL
 * here: fill its text, core sets the code.
 *
 * @since 0.1
 * @source docs/design/0003-backend-port.md
 */
typedef struct marty_backend {
    /** MARTY_BACKEND_ABI. */
    uint32_t abi;
    /** sizeof (marty_backend). */
    uint32_t size;
    /** Of its URLs, "nats". */
    const char *scheme;
    /** What to install when it is missing. */
    const char *package;
    /** The most that it can grant. */
    const marty_capabilities *claims;
    /** Parse and check the URL; no I/O. The sink lives until free has returned. */
    marty_err (*open)(marty_port **ret_port, const char *url, const marty_sink *sink,
                      marty_error *why);
    /** Begin one attempt to connect; the answer is state. Core decides when to try again, and
     *  subscribes again, with the same numbers, after up. */
    marty_err (*connect)(marty_port *port, marty_error *why);
    /** Take the first ret_taken messages; each one taken is answered once by published. FULL = the
     *  rest later, after the next published. The channel is ensured on the way. */
    marty_err (*publish)(marty_port *port, const marty_outgoing batch[], size_t count,
                         size_t *ret_taken, marty_error *why);
    /** Take back a scheduled message; the answer is published. NULL = never granted. */
    marty_err (*cancel)(marty_port *port, const marty_channel *channel, const char *id,
                        uint64_t token, marty_error *why);
    /** Begin to deliver; the answer is subscribed. The same number again, once that is answered:
     *  reset false = new patterns, what is in flight and what was granted stay; reset true = the
     *  group moves (seek), older tags are LOST. */
    marty_err (*subscribe)(marty_port *port, uint64_t subscription, const marty_want *want,
                           marty_error *why);
    /** That many more unsettled deliveries; 0 = none but those delivered already: what was granted
     *  and is not used is taken back. */
    void (*grant)(marty_port *port, uint64_t subscription, uint32_t credit);
    /** Settle; each is answered by settled. One that is not subscribed is answered LOST. */
    void (*settle)(marty_port *port, const marty_settling batch[], size_t count);
    /** Deliver nothing more and give back what is unsettled; the answer is subscribed with CLOSED.
     */
    void (*unsubscribe)(marty_port *port, uint64_t subscription);
    /** Flush until the deadline, disconnect; the answer is state CLOSED. */
    void (*close)(marty_port *port, int64_t deadline_ns);
    /** Join the adapter's threads and free; called after state CLOSED, or after the deadline. */
    void (*free)(marty_port *port);
    /** "ensure", "check", "inspect", "remove", "list", "browse", "erase"; NULL = none of it. Blocks
     *  up to the deadline. Answers in JSON, with bodies in base64. browse: from start.position, at
     *  most credit; erase: the one at start.position; remove: reset = force; inspect without a
     * name: the server, {version, tls, unsafe: [{what, mend}]}. */
    marty_err (*topology)(marty_port *port, const char *verb, const marty_want *what,
                          int64_t deadline_ns, marty_message **ret_answer, marty_error *why);
    /** A thread that publishes next, and then waits for the answers until until_ns (monotonic),
     *  offers to do the work. true: it leads, so nobody else need be woken for what is queued from
     *  here on: serve follows, always. NULL = never. */
    bool (*lead)(marty_port *port, int64_t until_ns);
    /** The thread that leads does what is queued, sink calls and all, and leads no more. It waits
     *  for nobody but the disk or the broker; what it leaves, the adapter's own threads do. */
    void (*serve)(marty_port *port);
    /** settle may be called by several threads at once and while another op runs, any of them but
     *  free: also while the state falls or CLOSED is said. What is too late by then is LOST. */
    bool settles_beside;
} marty_backend;

/**
 * Add a backend of this program, for its lifetime. A module exports `const marty_backend
 * marty_module` instead.
 *
 * @param backend Kept for ever, so it is static.
 * @param why Details on failure; may be NULL.
 * @return MARTY_OK, and its scheme can be opened.
 * @errors The common ones; MARTY_E_EXISTS (the scheme is taken), MARTY_E_UNSUPPORTED (its abi).
 * @threads Any.
 * @since 0.1
 * @source docs/design/0003-backend-port.md
 */
MARTY_MUST marty_err marty_backend_register(const marty_backend *backend, marty_error *why);

/**
 * The table of a scheme: built in, registered, or its module loaded. For a backend that wraps
 * another.
 *
 * @param ret_backend The table; lives for ever.
 * @param scheme Of its URLs, "nats". Borrowed.
 * @param why Details on failure; may be NULL.
 * @return MARTY_OK, or there is no such backend.
 * @errors The common ones; MARTY_E_CONFIG (nobody knows the scheme), MARTY_E_MISSING_MODULE (names
 *     the package), MARTY_E_UNSUPPORTED (its abi).
 * @threads Any.
 * @blocks While a module is read from the file system.
 * @since 0.1
 * @source docs/design/0003-backend-port.md
 */
MARTY_MUST marty_err marty_backend_find(const marty_backend **ret_backend, const char *scheme,
                                        marty_error *why);

#ifdef __cplusplus
}
#endif
#endif
