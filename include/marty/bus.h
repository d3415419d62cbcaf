/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MARTY_BUS_H
#define MARTY_BUS_H
#include <marty/delivery.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum marty_state { /* BLOCKED: the broker holds publishers back. STALLED: a subscription
    does not move (text says why), or every worker waits. ROOM: after a MARTY_E_FULL there is room
    on that backend; never merged away, said again each second until a publish is accepted.
    SUBSCRIBED, REFUSED: how a subscription fares at the broker. ASSIGNED, REVOKED: shards of a
    subscription gained, about to be lost */
                           MARTY_STATE_UP = 1,
                           MARTY_STATE_DOWN,
                           MARTY_STATE_BLOCKED,
                           MARTY_STATE_STALLED,
                           MARTY_STATE_ROOM,
                           MARTY_STATE_DRAINING,
                           MARTY_STATE_CLOSED,
                           MARTY_STATE_SUBSCRIBED,
                           MARTY_STATE_REFUSED,
                           MARTY_STATE_ASSIGNED,
                           MARTY_STATE_REVOKED
} marty_state;
typedef struct marty_state_event { /* made by the library; backend NULL = the whole bus; channel may
                                      be NULL */
    marty_state state;
    marty_err reason;
    const char *backend, *channel, *text;
    marty_subscription *subscription;
    const uint32_t *shards;
    size_t shard_count;
    int64_t deadline_ms; /* REVOKED: settle until then */
} marty_state_event;
/** Every change, in order, one call at a time; a slow one delays only the next, and changes
 * overtaken meanwhile are merged. */
typedef void (*marty_on_state)(void *user, const marty_state_event *event);
/** Called from any thread, also ours, at once and perhaps concurrently: must be quick, must not
 * call Marty. level 0 error .. 3 debug. Driven: queued, only in process. */
typedef void (*marty_on_log)(void *user, int level, const char *text);
/* Surroundings for simulation, per bus; with it we start no thread: process does all. A NULL slot =
 * the real one. Allocation is not per bus. */
typedef struct marty_env {
    void *user;
    uint64_t reserved[4];
    int64_t (*monotonic_ns)(void *user);
    int64_t (*wall_us)(void *user);
    void (*random)(void *user, void *buffer, size_t size);
} marty_env;
typedef struct marty_bus_options {
    const char *service, *instance, *source; /* service: names our group, inbox and command queue */
    const char *config_text;
    bool driven, lazy; /* YAML, in place of a file; you call process; do not wait for connections */
    uint32_t
        workers; /* 0 = cores. One that blocks in a Marty call is replaced, up to as many again */
    int32_t timeout_ms, drain_ms; /* connecting: 0 = 5,000; run, stop, close: 0 = 10,000 */
    uint32_t inflight_max;
    uint64_t inflight_bytes_max; /* published and not answered: 0 = 10,000; 0 = 64 MiB */
    marty_on_state on_state;
    marty_on_log on_log;
    const marty_env *env;
    uint64_t reserved[8];
    void *user;
    void (*user_free)(void *user); /* called once, when no callback of this bus can run any more */
} marty_bus_options;
/** Open. where: a URL, the path of a configuration file, or NULL (config_text, else $MARTY_CONFIG,
 * else marty.yaml). Yours to free. B: until each backend is up or timeout_ms, unless lazy. E:
 * CONFIG, UNAVAILABLE, DENIED, TLS, MISSING_MODULE, NOT_FOUND. */
MARTY_MUST marty_err marty_bus_open(marty_bus **ret_bus, const char *where,
                                    const marty_bus_options *options, marty_error *why);
/** Begin to deliver; run, process and receive do it. Until then handlers are noted only, so no
 * message is unmatched for want of a later line; handlers and no start for 10 s: state STALLED. */
MARTY_MUST marty_err marty_bus_start(marty_bus *bus, marty_error *why);
/** B: until all that is accepted so far is answered and each done has returned, or timeout_ms (0 =
 * 10,000). Driven: runs process. E: TIMEOUT. */
MARTY_MUST marty_err marty_bus_flush(marty_bus *bus, int32_t timeout_ms, marty_error *why);
/** B: serves until SIGTERM, SIGINT (handled during the call only; a second one cuts the drain
 * short) or marty_bus_stop, then drains. A driven bus runs here. Not from a callback. E: STATE,
 * TIMEOUT (drain cut off; it is delivered again). */
MARTY_MUST marty_err marty_bus_run(marty_bus *bus, marty_error *why);
/** Begin to drain, at once, async-signal-safe: nothing more is delivered, what is queued goes back
 * uncounted, what runs or is kept, and other threads, may still publish, ask and settle; then calls
 * are CLOSED and what is in flight is flushed. Ends run; process until CLOSED; close waits. */
MARTY_API void marty_bus_stop(marty_bus *bus);
/** Driven bus: one descriptor, readable when process has something to do, timers included. Ours;
 * poll it only. -1 = not driven. (A housekeeping thread still renews leases, reconnects and keeps
 * deadlines while your loop is busy; it runs none of your code.) */
MARTY_API int marty_bus_fd(const marty_bus *bus);
/** Driven bus: run what is due, for about budget_ms (0 = one round). ret_wait_ms (or NULL): until
 * the next timer, -1 = none. One thread at a time, not from a callback (STATE). E: CLOSED once
 * drained after stop: then call close. */
MARTY_API marty_err marty_bus_process(marty_bus *bus, uint32_t budget_ms, int32_t *ret_wait_ms,
                                      marty_error *why);
/** Stop, wait for the drain, answer what is left (CLOSED, MAYBE_STORED), disconnect. After OK no
 * callback runs. 0 = drain_ms. From a callback: only stops, E: STATE. E: TIMEOUT: handlers still
 * run, `user` must live on; call again to wait more. */
MARTY_API marty_err marty_bus_close(marty_bus *bus, int32_t timeout_ms, marty_error *why);
/** Close, cutting off what does not end at once, and give the bus back; NULL is fine; from a
 * callback: once it returned. Handlers that still run finish in peace; handles and kept deliveries
 * stay valid and answer CLOSED. In a forked child: does nothing. */
MARTY_API void marty_bus_free(marty_bus *bus);
/** Cancel pending calls, sync or not, whose options carry this key; they end with CANCELLED, or
 * MAYBE_STORED when already sent. Returns how many (0 = none yet: it is not remembered). */
MARTY_API size_t marty_bus_cancel(marty_bus *bus, const void *key);
typedef enum marty_report {
    MARTY_REPORT_HEALTH = 1,
    MARTY_REPORT_BACKENDS,
    MARTY_REPORT_SUBSCRIPTIONS,
    MARTY_REPORT_CHANNELS,
    MARTY_REPORT_METRICS,
    MARTY_REPORT_CONFIG,
    MARTY_REPORT_RELAYS
} marty_report;
/** A report as JSON in a message, yours to unref. B: CHANNELS asks the brokers (5,000 ms), others
 * do not block. */
MARTY_MUST marty_err marty_bus_report(marty_bus *bus, marty_report what, marty_message **ret_report,
                                      marty_error *why);

#ifdef __cplusplus
}
#endif
#endif
