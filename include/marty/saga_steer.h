/* SPDX-License-Identifier: Apache-2.0
 * Steering and repair of a saga by a person or a service: what can be done, what goes with it, and
 * a look at what it would do. */
#ifndef MARTY_SAGA_STEER_H
#define MARTY_SAGA_STEER_H
#include <marty/message.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Runs sagas; several on one store share the work.
 *  @since 0.1 @source docs/design/0016-saga-engine.md */
typedef struct marty_saga_engine marty_saga_engine;

/** What a person, or a service, can do to a saga.
 *  @since 0.1 @source docs/design/0012-saga-machine.md */
typedef enum marty_saga_verb {
    MARTY_SAGA_CANCEL = 1, /**< Undo what was done; too late after the pivot. */
    MARTY_SAGA_PAUSE,      /**< Send nothing new until it is resumed. */
    MARTY_SAGA_RESUME,     /**< Go on. */
    MARTY_SAGA_RETRY,      /**< Try what is stuck, or failing, again at once. */
    MARTY_SAGA_SUPPLY,     /**< Give the result that a step in doubt or refused should have had. */
    MARTY_SAGA_SKIP,       /**< Go on without a stuck step. */
    MARTY_SAGA_WAIVE,      /**< Leave an undo that is stuck undone; it is listed as left. */
    MARTY_SAGA_REPLACE_INPUT, /**< Try what is stuck again with other data. */
    MARTY_SAGA_COMPENSATE,    /**< Undo instead of waiting for a stuck step. */
    MARTY_SAGA_ABANDON,       /**< End it as it is; what is left is listed. */
    MARTY_SAGA_SIGNAL,        /**< Something that it waits for, or will. */
    MARTY_SAGA_MIGRATE        /**< Go on under another version of its definition: what has begun
                               *   keeps its name, kind and place, what has not is free. */
} marty_saga_verb;

/** What goes with a verb. @since 0.1 @source docs/design/0012-saga-machine.md */
typedef struct marty_saga_order {
    const char *id;       /**< The same id again is nothing new; NULL = a new one. */
    const char *who;      /**< For the history; required of all but a signal. */
    const char *note;     /**< Why, for the history; required by ABANDON, WAIVE and SKIP. */
    const char *step;     /**< Path of the step; NULL = the only one that is stuck, or if none is,
                           *   that is tried in vain. */
    const char *signal;   /**< Of SIGNAL: its name. */
    marty_bytes data;     /**< JSON; of SUPPLY, REPLACE_INPUT and SIGNAL. */
    bool force;           /**< Also where it is refused for good reasons, which the text names. */
    bool no_effect;       /**< Of SUPPLY: the participant was made to never do it, under `key`. */
    uint64_t keep_ms;     /**< Of SIGNAL: how long it waits for its step; 0 = to the end. */
    const char *key;      /**< Of SUPPLY: the op key that it is about; required with no_effect. */
    uint32_t version;     /**< Of MIGRATE: of the definition; 0 = the newest. */
    uint64_t reserved[2]; /**< Leave it 0. */
} marty_saga_order;

/**
 * Steer or repair a saga.
 *
 * @param engine The engine.
 * @param id The saga.
 * @param verb What to do.
 * @param order The rest; NULL where nothing is needed.
 * @param why Details on failure; may be NULL.
 * @return MARTY_OK = it is in the store, or was already.
 * @errors MARTY_E_STATE (not possible now, or in an effect: the text says why), MARTY_E_NOT_FOUND
 *     (saga, step, version), MARTY_E_ARGUMENT, MARTY_E_MALFORMED (data is not JSON),
 *     MARTY_E_TOO_LARGE, MARTY_E_FULL, MARTY_E_TIMEOUT (the same again is safe with an `id`),
 *     MARTY_E_CLOSED, and those of the store.
 * @threads Any, not in an effect.
 * @blocks Until it is in the store, at most 10,000 ms.
 * @since 0.1
 * @source docs/design/0012-saga-machine.md
 */
MARTY_MUST marty_err marty_saga_act(marty_saga_engine *engine, const char *id, marty_saga_verb verb,
                                    const marty_saga_order *order, marty_error *why);

/**
 * What marty_saga_act would do, without doing it.
 *
 * @param engine The engine.
 * @param id The saga.
 * @param verb What to try.
 * @param order The rest; NULL where nothing is needed.
 * @param ret_report A message whose data is the JSON, yours to unref: {"changed", "alert", "due",
 *     "commands", "history", "state"}, as in docs/reference/saga-replay.md.
 * @param why Details on failure; may be NULL.
 * @return MARTY_OK = it would be done as the report says.
 * @errors As marty_saga_act, for what it would be refused now.
 * @threads Any.
 * @blocks On the store, at most 10,000 ms for each of three calls.
 * @since 0.1
 * @source docs/design/0012-saga-machine.md
 */
MARTY_MUST marty_err marty_saga_preview(marty_saga_engine *engine, const char *id,
                                        marty_saga_verb verb, const marty_saga_order *order,
                                        marty_message **ret_report, marty_error *why);

#ifdef __cplusplus
}
#endif
#endif
