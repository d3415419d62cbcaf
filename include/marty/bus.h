/* SPDX-License-Identifier: Apache-2.0
 * The bus: open, run or drive it, watch its states, close it. One owner frees it; every other call
 * may come from any thread. Each wait is bounded by a timeout. */
#ifndef MARTY_BUS_H
#define MARTY_BUS_H
#include <marty/delivery.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What changed, of a backend, a subscription or the whole bus.
 *  @since 0.1 @source docs/design/0001-architecture.md */
typedef enum marty_state {
    /** The backend is connected. */
    MARTY_STATE_UP = 1,
    /** It is not, and why; Marty tries again. */
    MARTY_STATE_DOWN,
    /** The broker holds publishers back. */
    MARTY_STATE_BLOCKED,
    /** A subscription does not move (text says why), or every worker waits. */
    MARTY_STATE_STALLED,
    /** After a MARTY_E_FULL there is room on that backend; never merged away, and said again each
     *  second until a publish is accepted. */
    MARTY_STATE_ROOM,
    /** The bus hands out nothing more and finishes what runs. */
    MARTY_STATE_DRAINING,
    /** The bus has drained; every call answers MARTY_E_CLOSED. */
    MARTY_STATE_CLOSED,
    /** The broker has the subscription. */
    MARTY_STATE_SUBSCRIBED,
    /** The broker refused the subscription, and why. */
    MARTY_STATE_REFUSED,
    /** Shards of a subscription were gained. */
    MARTY_STATE_ASSIGNED,
    /** Shards of a subscription are about to be lost. */
    MARTY_STATE_REVOKED
} marty_state;

/** A change of state. Made by the library, borrowed until the callback returns.
 *  @since 0.1 @source docs/design/0001-architecture.md */
typedef struct marty_state_event {
    marty_state state;                /**< What changed. */
    marty_err reason;                 /**< Why; MARTY_OK when it is no failure. */
    const char *backend;              /**< Which one; NULL = the whole bus. */
    const char *channel;              /**< Which one; may be NULL. */
    const char *text;                 /**< For people. */
    marty_subscription *subscription; /**< Which one; may be NULL. */
    const uint32_t *shards;           /**< Of ASSIGNED and REVOKED. */
    size_t shard_count;               /**< How many shards. */
    int64_t deadline_ms;              /**< Of REVOKED: settle until then, Unix time. */
} marty_state_event;

/**
 * Told of every change, in order, one call at a time. A slow one delays only the next; changes that
 * are overtaken meanwhile are merged.
 *
 * @param user Of the options of the bus.
 * @param event What changed. Borrowed until the return.
 * @threads A worker; on a driven bus the thread in marty_bus_process, marty_bus_run or
 *     marty_bus_close.
 * @since 0.1
 * @source docs/design/0002-public-api.md
 */
typedef void (*marty_on_state)(void *user, const marty_state_event *event);

/**
 * Takes a line of the log. It must be quick and must not call Marty.
 *
 * @param user Of the options of the bus.
 * @param level 0 error, 1 warning, 2 information, 3 debug.
 * @param text One line, without secrets. Borrowed until the return.
 * @threads Any, also ours, at once and perhaps concurrently; on a driven bus lines are queued, and
 *     it is called in marty_bus_process only.
 * @since 0.1
 * @source docs/design/0002-public-api.md
 */
typedef void (*marty_on_log)(void *user, int level, const char *text);

/**
 * Surroundings for simulation, per bus. With it Marty starts no thread: marty_bus_process does all.
 * A slot that is NULL is the real one. Allocation is not per bus.
 *
 * @since 0.1
 * @source docs/design/0001-architecture.md
 */
typedef struct marty_env {
    void *user;                                            /**< Given to each slot. */
    uint64_t reserved[4];                                  /**< Leave it 0. */
    int64_t (*monotonic_ns)(void *user);                   /**< Time that never goes back. */
    int64_t (*wall_us)(void *user);                        /**< Unix time. */
    void (*random)(void *user, void *buffer, size_t size); /**< Fills with chance. */
} marty_env;

/** How to open a bus. Zero means the default. @since 0.1 @source docs/design/0002-public-api.md */
typedef struct marty_bus_options {
    /** Names our group, inbox and command queue; NULL = what the configuration says, else none. */
    const char *service;
    /** Names this instance among those of the service; NULL = made up. */
    const char *instance;
    /** The source of our messages, a URI reference; NULL = made from the service. */
    const char *source;
    /** YAML, in place of a file; NULL = none. */
    const char *config_text;
    /** You call marty_bus_process, and your code runs nowhere else. */
    bool driven;
    /** Do not wait for connections when opening. */
    bool lazy;
    /** Threads that run handlers; 0 = the number of cores. One that blocks in a call of Marty is
     *  replaced, up to as many again. */
    uint32_t workers;
    /** How long opening goes on trying, for brokers that are not there yet; 0 = each backend is
     *  tried once, for at most 5,000. */
    int32_t timeout_ms;
    /** How long run, stop and close let a drain take; 0 = 10,000. */
    int32_t drain_ms;
    /** Messages published and not answered yet; 0 = 10,000. */
    uint32_t inflight_max;
    /** Bytes published and not answered yet; 0 = 64 MiB. */
    uint64_t inflight_bytes_max;
    /** Told of every change; NULL = nobody. */
    marty_on_state on_state;
    /** Takes the log; NULL = nobody. */
    marty_on_log on_log;
    /** Clocks and chance; NULL = the real ones. Must outlive the bus. */
    const marty_env *env;
    /** Leave it 0. */
    uint64_t reserved[8];
    /** Given to on_state and on_log. */
    void *user;
    /** Called once with user, when no callback of this bus can run any more; NULL = none. */
    void (*user_free)(void *user);
} marty_bus_options;

/**
 * Open a bus. Nothing is delivered before marty_bus_start.
 *
 * @param ret_bus The bus; yours to give back with marty_bus_free.
 * @param where A URL, the path of a configuration file, or NULL (options->config_text, else the
 *     file that $MARTY_CONFIG names, else marty.yaml). Borrowed.
 * @param options NULL for the defaults. Borrowed and copied, but for env.
 * @param why Details on failure; may be NULL.
 * @return MARTY_OK, or nothing was opened.
 * @errors The common ones; MARTY_E_CONFIG, MARTY_E_UNAVAILABLE, MARTY_E_DENIED, MARTY_E_TLS,
 *     MARTY_E_MISSING_MODULE, MARTY_E_NOT_FOUND (the configuration file).
 * @threads Any.
 * @blocks Until each backend is up, was tried in vain, or timeout_ms, unless options->lazy.
 * @since 0.1
 * @source docs/design/0002-public-api.md
 */
MARTY_MUST marty_err marty_bus_open(marty_bus **ret_bus, const char *where,
                                    const marty_bus_options *options, marty_error *why);

/**
 * Begin to deliver; run, process and receive do it too. Until then handlers are only noted, so that
 * no message is unmatched for want of a later line. Handlers and no start for 10 s: state STALLED.
 *
 * @param bus The bus.
 * @param why Details on failure; may be NULL.
 * @return MARTY_OK, also when it has begun already.
 * @errors The common ones.
 * @threads Any.
 * @since 0.1
 * @source docs/design/0002-public-api.md
 */
MARTY_MUST marty_err marty_bus_start(marty_bus *bus, marty_error *why);

/**
 * Wait until all that was accepted so far is answered and each completion has returned.
 *
 * @param bus The bus; a driven one is processed here.
 * @param timeout_ms 0 = 10,000.
 * @param why Details on failure; may be NULL.
 * @return MARTY_OK when all is answered.
 * @errors The common ones; MARTY_E_TIMEOUT.
 * @threads Any.
 * @blocks Until then or timeout_ms.
 * @since 0.1
 * @source docs/design/0002-public-api.md
 */
MARTY_MUST marty_err marty_bus_flush(marty_bus *bus, int32_t timeout_ms, marty_error *why);

/**
 * Serve until SIGTERM, SIGINT or marty_bus_stop, then drain. The signals are handled during the
 * call only; a second one, a second later or more, cuts the drain short (what comes sooner belongs
 * to the first: `timeout` sends it twice). A driven bus runs its callbacks here.
 *
 * @param bus The bus.
 * @param why Details on failure; may be NULL.
 * @return MARTY_OK when all was drained.
 * @errors The common ones; MARTY_E_STATE (runs already, or from a callback), MARTY_E_TIMEOUT (the
 *     drain was cut off; what it cut off is delivered again).
 * @threads Any, but not from a callback.
 * @blocks Until stopped, and then for the drain, at most drain_ms.
 * @since 0.1
 * @source docs/design/0002-public-api.md
 */
MARTY_MUST marty_err marty_bus_run(marty_bus *bus, marty_error *why);

/**
 * Begin to drain, at once. Nothing more is delivered, and what is queued goes back uncounted. What
 * runs or is kept, and other threads, may still publish, ask and settle. Then calls answer
 * MARTY_E_CLOSED, and what is in flight is flushed. It ends marty_bus_run; otherwise call process
 * until it answers CLOSED, or close, which waits.
 *
 * @param bus The bus.
 * @threads Any, also in a signal handler.
 * @since 0.1
 * @source docs/design/0002-public-api.md
 */
MARTY_API void marty_bus_stop(marty_bus *bus);

/**
 * The descriptor of a driven bus, readable when process has something to do, timers included. It is
 * ours: poll it only. A housekeeping thread still renews leases, reconnects and keeps deadlines
 * while your loop is busy; it runs none of your code.
 *
 * @param bus The bus.
 * @return The descriptor, or -1 when the bus is not driven.
 * @threads Any.
 * @since 0.1
 * @source docs/design/0002-public-api.md
 */
MARTY_API int marty_bus_fd(const marty_bus *bus);

/**
 * Run what is due on a driven bus.
 *
 * @param bus The bus.
 * @param budget_ms For about how long; 0 = one round.
 * @param ret_wait_ms Milliseconds until the next timer, -1 = none; may be NULL.
 * @param why Details on failure; may be NULL.
 * @return MARTY_OK, also when there was nothing to do.
 * @errors The common ones; MARTY_E_STATE (not driven, from a callback, or another thread is in it),
 *     MARTY_E_CLOSED (drained after a stop: call close).
 * @threads One at a time, not from a callback.
 * @since 0.1
 * @source docs/design/0002-public-api.md
 */
MARTY_API marty_err marty_bus_process(marty_bus *bus, uint32_t budget_ms, int32_t *ret_wait_ms,
                                      marty_error *why);

/**
 * Stop, wait for the drain, answer what is left (MARTY_E_CLOSED, MARTY_E_MAYBE_STORED), disconnect.
 * After MARTY_OK no callback runs. From a callback it only stops.
 *
 * @param bus The bus.
 * @param timeout_ms 0 = the drain_ms of the options.
 * @param why Details on failure; may be NULL.
 * @return MARTY_OK when all has ended; again for a bus that is closed already.
 * @errors The common ones; MARTY_E_STATE (from a callback), MARTY_E_TIMEOUT (handlers still run and
 *     `user` must live on: call again to wait more).
 * @threads Any.
 * @blocks Until then or timeout_ms.
 * @since 0.1
 * @source docs/design/0002-public-api.md
 */
MARTY_API marty_err marty_bus_close(marty_bus *bus, int32_t timeout_ms, marty_error *why);

/**
 * Close, cutting off what does not end at once, and give the bus back. Handlers that still run
 * finish in peace; handles and kept deliveries stay valid and answer MARTY_E_CLOSED. In a forked
 * child it does nothing.
 *
 * @param bus Yours; NULL is fine. From a callback: given back once that has returned.
 * @threads Any; no other thread may be in a call with this bus.
 * @since 0.1
 * @source docs/design/0002-public-api.md
 */
MARTY_API void marty_bus_free(marty_bus *bus);

/**
 * Cancel pending calls, waiting or not, whose options carry this key. They end with
 * MARTY_E_CANCELLED, or with MARTY_E_MAYBE_STORED when they were sent already.
 *
 * @param bus The bus.
 * @param key The cancel_key of the options, compared as an address.
 * @return How many; 0 = none yet, and it is not remembered.
 * @threads Any.
 * @since 0.1
 * @source docs/design/0002-public-api.md
 */
MARTY_API size_t marty_bus_cancel(marty_bus *bus, const void *key);

/** What to report. @since 0.1 @source docs/design/0002-public-api.md */
typedef enum marty_report {
    MARTY_REPORT_HEALTH = 1,    /**< Whether all is well, in short. */
    MARTY_REPORT_BACKENDS,      /**< Each backend: state, version, what it grants. */
    MARTY_REPORT_SUBSCRIPTIONS, /**< Each subscription and its counters. */
    MARTY_REPORT_CHANNELS,      /**< Depth and lag of each channel in use: asks the brokers. */
    MARTY_REPORT_METRICS,       /**< Counters of the bus. */
    MARTY_REPORT_CONFIG         /**< The configuration in force, without secrets. */
} marty_report;

/**
 * A report as JSON, in the data of a message.
 *
 * @param bus The bus.
 * @param what Which report.
 * @param ret_report The report; yours to unref.
 * @param why Details on failure; may be NULL.
 * @return MARTY_OK, or there is no report.
 * @errors The common ones; MARTY_E_UNSUPPORTED (no such report); of CHANNELS those of
 *     marty_topology.
 * @threads Any.
 * @blocks CHANNELS until the brokers have answered, at most 5,000 ms; others do not.
 * @since 0.1
 * @source docs/design/0002-public-api.md
 */
MARTY_MUST marty_err marty_bus_report(marty_bus *bus, marty_report what, marty_message **ret_report,
                                      marty_error *why);

#ifdef __cplusplus
}
#endif
#endif
