/* SPDX-License-Identifier: Apache-2.0
 * Sagas: business transactions over services, whose every completed step is carried to the end or
 * compensated. An engine keeps them in a store and talks to their participants over a bus. */
#ifndef MARTY_SAGA_H
#define MARTY_SAGA_H
#include <marty/saga_definition.h>
#include <marty/saga_steer.h>
#include <marty/saga_store.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A transition that is durable. Made by the library, borrowed until the callback returns.
 *  @since 0.1 @source docs/operations/watching.md */
typedef struct marty_saga_change {
    const marty_saga_facts *facts; /**< Of the saga now. When it has ended, changed_us - started_us
                                    *   is how long it took. */
    const char *alert;             /**< What a person should know, or NULL. */
    int64_t operation_us; /**< Of the operation that was answered, from its first attempt on; 0 =
                           *   none was. */
    uint32_t in_doubt;    /**< Steps whose outcome is not known any more. */
    uint32_t undo_stuck;  /**< Undos that were given up, for a person. */
    uint64_t reserved[4]; /**< 0. */
} marty_saga_change;

/**
 * Told of every transition that this engine has made, for metrics. It must not call the engine.
 *
 * @param user Of the options of the engine.
 * @param change What has changed. Borrowed until the return.
 * @threads The one that makes all transitions: be quick.
 * @since 0.1
 * @source docs/operations/watching.md
 */
typedef void (*marty_saga_changed)(void *user, const marty_saga_change *change);

/** How to open an engine. Zero means the default.
 *  @since 0.1 @source docs/design/0016-saga-engine.md */
typedef struct marty_saga_options {
    /** Where participants answer to: a command queue that the engines of one store share; NULL =
     * the service of the bus. */
    const char *service;
    /** Only what is asked of it: it starts, steers and shows sagas, but takes no leases, timers or
     *  answers. For tools. */
    bool client;
    /** Of the leases: when an engine dies, others take over after that long; 0 = 2,000. The answers
     *  that it was given come to them after it, too: it is the lease_ms of their queue. */
    uint32_t lease_ms;
    /** For how long participants remember operations: what was begun longer ago is not asked again
     *  without a person; 0 = 30 days, their default; UINT64_MAX = without end. */
    uint64_t horizon_ms;
    /** Sagas kept in memory; 0 = 4,096. */
    uint32_t cache_max;
    /** For how long a broker may still deliver what it was given: that much earlier than the
     *  horizon nothing is asked any more; 0 = a day, or half of a horizon below two days. */
    uint64_t redelivery_ms;
    /** Told of every transition; NULL = nobody. */
    marty_saga_changed on_change;
    /** Given to on_change. */
    void *user;
    /** Leave it 0. */
    uint64_t reserved[5];
} marty_saga_options;

/** What a saga asks of a participant or a local function, once.
 *  @since 0.1 @source docs/guide/participants.md */
typedef struct marty_operation {
    const char *saga;        /**< Its id. */
    const char *step;        /**< Path of the step, "ship" or "lines[3]/reserve". */
    const char *key;         /**< Of this operation, the same on every attempt: give it to whom you
                              *   call, so that they can tell a repetition. */
    const char *forward_key; /**< Of an undo: the key of what it undoes; else NULL. */
    uint32_t attempt;        /**< From 1. */
    bool undo;               /**< It undoes. */
    bool probe;              /**< It asks whether it was done. */
    marty_bytes data;        /**< JSON. */
    const marty_delivery *delivery; /**< That it came by; NULL for a local function. */
    uint64_t reserved[4];           /**< Leave it. */
} marty_operation;

/**
 * Do, undo or probe something: a local function of an engine, or a participant's effect. What it
 * does goes into the transaction, so that it is done and noted together or not at all.
 *
 * @param user As it was registered with.
 * @param operation What is asked. Borrowed until the return.
 * @param transaction The open transaction: sqlite3, PGconn; NULL where there is none. It must be
 *     neither committed nor rolled back: then nothing is done, whatever is returned.
 * @return MARTY_OK = done (with a result if marty_operation_reply gave one), or refused for good if
 *     marty_operation_refuse was called; an error = nothing was done, ask again later.
 * @errors Any: it is taken back and tried again by the step's policy.
 * @threads A worker of the bus. A local function runs on a thread of the engine, one at a time;
 *     inside the store's transaction all its sagas wait for it: be quick.
 * @since 0.1
 * @source docs/guide/participants.md
 */
typedef marty_err (*marty_effect)(void *user, marty_operation *operation, void *transaction);

/**
 * Give the result of an operation.
 *
 * @param operation In its effect.
 * @param json The result. Borrowed and copied; at most 256 KiB.
 * @return MARTY_OK.
 * @errors MARTY_E_ARGUMENT (NULL), MARTY_E_NO_MEMORY, MARTY_E_TOO_LARGE, MARTY_E_MALFORMED (not
 *     JSON).
 * @threads That of the effect.
 * @since 0.1
 * @source docs/guide/participants.md
 */
MARTY_API marty_err marty_operation_reply(marty_operation *operation, marty_bytes json);

/**
 * Refuse an operation for good: it has and will have no effect; the saga compensates. Of a probe:
 * it was not done, and never will be under this key.
 *
 * @param operation In its effect.
 * @param reason For people; copied, cut at 1,024 bytes.
 * @return MARTY_OK: return it from the effect.
 * @errors MARTY_E_ARGUMENT (NULL).
 * @threads That of the effect.
 * @since 0.1
 * @source docs/guide/participants.md
 */
MARTY_API marty_err marty_operation_refuse(marty_operation *operation, const char *reason);

/**
 * Open an engine. It runs from the start of the bus on, with a thread of its own.
 *
 * @param ret_engine The engine; yours to give to marty_saga_close before the bus is closed.
 * @param bus Not a driven one. Close the engine before it: what the engine sends goes over it.
 * @param store_url Where sagas are kept: "sqlite:sagas.db", "memory:",
 *     "postgres://host/db", "nats://host,host,host/bucket".
 * @param options NULL for the defaults.
 * @param why Details on failure; may be NULL.
 * @return MARTY_OK, or there is no engine.
 * @errors MARTY_E_ARGUMENT, MARTY_E_CONFIG (URL, no service), MARTY_E_UNSUPPORTED (a driven bus),
 *     MARTY_E_FORKED, MARTY_E_MISSING_MODULE, MARTY_E_UNAVAILABLE, MARTY_E_DENIED, MARTY_E_STORAGE,
 *     MARTY_E_NO_MEMORY.
 * @threads Any.
 * @blocks Until the store is open, at most 10,000 ms.
 * @since 0.1
 * @source docs/design/0016-saga-engine.md
 */
MARTY_MUST marty_err marty_saga_open(marty_saga_engine **ret_engine, marty_bus *bus,
                                     const char *store_url, const marty_saga_options *options,
                                     marty_error *why);

/**
 * Add a definition, as data or as a document, exactly one of them. Sagas in flight stay with the
 * one they began with.
 *
 * @param engine The engine.
 * @param saga As data, or NULL. Borrowed and copied.
 * @param document YAML or JSON, or NULL. Borrowed and copied.
 * @param why Details on failure, with the line or field; may be NULL.
 * @return MARTY_OK, also when it is there already and the same.
 * @errors MARTY_E_ARGUMENT, MARTY_E_CONFIG (also what lint calls an error), MARTY_E_EXISTS (that
 *     name and version is another one), and those of the store.
 * @threads Any.
 * @blocks On the store, at most 10,000 ms.
 * @since 0.1
 * @source docs/design/0012-saga-machine.md
 */
MARTY_MUST marty_err marty_saga_register(marty_saga_engine *engine, const marty_saga *saga,
                                         const char *document, marty_error *why);

/**
 * Give a local function its name, for steps that say `local`.
 *
 * @param engine The engine.
 * @param name As in the definitions. Borrowed and copied.
 * @param effect The function.
 * @param user Given to it.
 * @param why Details on failure; may be NULL.
 * @return MARTY_OK.
 * @errors MARTY_E_ARGUMENT, MARTY_E_EXISTS, MARTY_E_NO_MEMORY.
 * @threads Any; before sagas that need it are started, else they wait.
 * @since 0.1
 * @source docs/design/0016-saga-engine.md
 */
MARTY_MUST marty_err marty_saga_function(marty_saga_engine *engine, const char *name,
                                         marty_effect effect, void *user, marty_error *why);

/** How to start a saga. Zero means the default.
 *  @since 0.1 @source docs/design/0016-saga-engine.md */
typedef struct marty_saga_start_options {
    uint32_t version;     /**< Of the definition; 0 = the newest. */
    uint64_t deadline_ms; /**< From now; 0 = the definition's. */
    int32_t timeout_ms;   /**< For the answer of the store; 0 = 10,000; MARTY_NO_WAIT: TIMEOUT
                           *   unless it is there at once. */
    uint64_t reserved[6]; /**< Leave it 0. */
} marty_saga_start_options;

/**
 * Start a saga, durably. Starting twice with one key is starting once.
 *
 * @param engine The engine.
 * @param saga Name of the definition.
 * @param key What must be started but once, an order's number; NULL = always a new one.
 * @param input JSON. Borrowed and copied.
 * @param options NULL for the defaults.
 * @param ret_id The saga's id, also of the one that the key had started before.
 * @param why Details on failure; may be NULL.
 * @return MARTY_OK = it is in the store.
 * @errors MARTY_E_NOT_FOUND (no such definition), MARTY_E_EXISTS (the key has started another
 *     input), MARTY_E_MALFORMED (not JSON), MARTY_E_TOO_LARGE, MARTY_E_FULL (thousands of calls
 *     wait for the store), MARTY_E_TIMEOUT (start again with the same key), MARTY_E_STATE (in an
 *     effect), MARTY_E_CLOSED, and those of the store.
 * @threads Any, not in an effect.
 * @blocks Until it is in the store, at most timeout_ms.
 * @since 0.1
 * @source docs/design/0016-saga-engine.md
 */
MARTY_MUST marty_err marty_saga_start(marty_saga_engine *engine, const char *saga, const char *key,
                                      marty_bytes input, const marty_saga_start_options *options,
                                      char ret_id[40], marty_error *why);

/**
 * Wait until a saga has ended. A store that is away meanwhile is waited for.
 *
 * @param engine The engine.
 * @param id The saga.
 * @param timeout_ms How long; 0 = 30,000; MARTY_NO_WAIT = look once.
 * @param ret_status How it has ended.
 * @param why Details on failure; may be NULL.
 * @return MARTY_OK = it has ended.
 * @errors MARTY_E_TIMEOUT (it goes on, or is stuck: why says so), MARTY_E_NOT_FOUND, MARTY_E_STATE
 *     (in an effect), and those of the store.
 * @threads Any, not in an effect.
 * @blocks At most timeout_ms, 100 ms for a last look, and 1,000 ms where a store does not answer
 * the first one.
 * @since 0.1
 * @source docs/design/0016-saga-engine.md
 */
MARTY_MUST marty_err marty_saga_wait(marty_saga_engine *engine, const char *id, int32_t timeout_ms,
                                     marty_saga_status *ret_status, marty_error *why);

/**
 * One saga as JSON: how it stands, each step, what it waits for.
 *
 * @param engine The engine.
 * @param id The saga.
 * @param history Add what happened, in order.
 * @param ret_report A message whose data is the JSON; yours to unref.
 * @param why Details on failure; may be NULL.
 * @return MARTY_OK.
 * @errors MARTY_E_NOT_FOUND, and those of the store.
 * @threads Any.
 * @blocks On the store, at most 10,000 ms.
 * @since 0.1
 * @source docs/design/0016-saga-engine.md
 */
MARTY_MUST marty_err marty_saga_show(marty_saga_engine *engine, const char *id, bool history,
                                     marty_message **ret_report, marty_error *why);

/**
 * List sagas, by the order of their ids.
 *
 * @param engine The engine.
 * @param filter Which; NULL = the first hundred. Borrowed.
 * @param found Called for each; it may call the engine.
 * @param user Given to it.
 * @param why Details on failure; may be NULL.
 * @return MARTY_OK.
 * @errors MARTY_E_ARGUMENT, MARTY_E_NO_MEMORY, and those of the store.
 * @threads Any.
 * @blocks On the store, at most 10,000 ms.
 * @since 0.1
 * @source docs/design/0013-saga-stores.md
 */
MARTY_MUST marty_err marty_saga_list(marty_saga_engine *engine, const marty_saga_filter *filter,
                                     marty_saga_found found, void *user, marty_error *why);

/**
 * Remove sagas that have ended, with their histories.
 *
 * @param engine The engine.
 * @param before_us Those that ended before, Unix time in microseconds: no earlier than answers and
 *     starts with their keys can still come.
 * @param ret_count How many.
 * @param why Details on failure; may be NULL.
 * @return MARTY_OK.
 * @errors Those of the store.
 * @threads Any.
 * @blocks On the store, at most 10,000 ms for each thousand.
 * @since 0.1
 * @source docs/design/0013-saga-stores.md
 */
MARTY_MUST marty_err marty_saga_purge(marty_saga_engine *engine, int64_t before_us,
                                      uint64_t *ret_count, marty_error *why);

/**
 * Numbers of an engine since it was opened, and what waits in its store now, as JSON:
 * docs/operations/watching.md has the fields.
 *
 * @param engine The engine.
 * @param ret_report A message whose data is the JSON; yours to unref.
 * @param why Details on failure; may be NULL.
 * @return MARTY_OK.
 * @errors MARTY_E_NO_MEMORY; what the store does not answer is left out, and "store_error" says
 *     why.
 * @threads Any.
 * @blocks On the store, at most 3,000 ms.
 * @since 0.1
 * @source docs/design/0016-saga-engine.md
 */
MARTY_MUST marty_err marty_saga_report(marty_saga_engine *engine, marty_message **ret_report,
                                       marty_error *why);

/**
 * Hand the shards over, stop, and give the engine back: always, whatever it answers. What does not
 * end in time (an effect that runs, a broker that does not answer) ends in peace afterwards, on a
 * thread of the engine's own, which then frees everything.
 *
 * @param engine Yours; NULL is fine. No other thread may be in a call with it.
 * @param timeout_ms 0 = 10,000; MARTY_NO_WAIT = what has not ended at once ends afterwards.
 * @param why Details on failure; may be NULL.
 * @return MARTY_OK = all has ended, no effect runs any more.
 * @errors MARTY_E_TIMEOUT (effects, or a call of on_change that takes longer than 1,000 ms, may
 *     still run, and what they were given must live on), MARTY_E_STATE (from an effect or a
 *     callback: the same, and it ends once that has returned), MARTY_E_FORKED (in a forked child:
 *     nothing is done).
 * @threads Any.
 * @blocks At most timeout_ms, and what handing over takes in the store, at most 20,000 ms.
 * @since 0.1
 * @source docs/design/0016-saga-engine.md
 */
MARTY_API marty_err marty_saga_close(marty_saga_engine *engine, int32_t timeout_ms,
                                     marty_error *why);

/** How a participant takes part. Zero means the default.
 *  @since 0.1 @source docs/guide/participants.md */
typedef struct marty_participant_options {
    const char *service;  /**< Whose commands; NULL = the service of the bus. */
    marty_effect probe;   /**< Says whether it was done, where the store does not know; NULL = what
                           *   the store knows decides. */
    uint32_t concurrency; /**< Handlers at once; 0 = 1. */
    uint64_t keep_ms;     /**< How long operations are remembered; 0 = 30 days. */
    uint64_t reserved[6]; /**< Leave it 0. */
} marty_participant_options;

/**
 * Take part in sagas: a handler of one command that remembers, in its own database and in the same
 * transaction as its effect, what it did and answered. A compensation is one more.
 *
 * @param bus The bus.
 * @param command Type of the command.
 * @param store_url Its database, "sqlite:inventory.db" or "postgres://host/inventory".
 * @param effect Does it, once for each operation.
 * @param user Given to it.
 * @param options NULL for the defaults.
 * @param ret_subscription As in marty_subscribe; it is stopped with marty_unsubscribe or the bus.
 * @param why Details on failure; may be NULL.
 * @return MARTY_OK.
 * @errors As marty_subscribe; MARTY_E_STORAGE, MARTY_E_CONFIG (the URL), MARTY_E_MISSING_MODULE,
 *     MARTY_E_UNAVAILABLE and MARTY_E_DENIED (PostgreSQL).
 * @threads Any.
 * @blocks As marty_subscribe.
 * @since 0.1
 * @source docs/guide/participants.md
 */
MARTY_MUST marty_err marty_participate(marty_bus *bus, const char *command, const char *store_url,
                                       marty_effect effect, void *user,
                                       const marty_participant_options *options,
                                       marty_subscription **ret_subscription, marty_error *why);

#ifdef __cplusplus
}
#endif
#endif
