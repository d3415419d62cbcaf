/* SPDX-License-Identifier: Apache-2.0
 * A saga as data: its steps, what undoes each, and what to do when an answer does not come. The
 * same as a YAML or JSON document is in docs/reference/saga-definition.md; both give the same hash.
 * Zero means the documented default everywhere. Nothing here is kept after it was registered. */
#ifndef MARTY_SAGA_DEFINITION_PUBLIC_H
#define MARTY_SAGA_DEFINITION_PUBLIC_H
#include <marty/subscribe.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What a step is to the whole. @since 0.1 @source docs/design/0012-saga-machine.md */
typedef enum marty_step_kind {
    MARTY_STEP_COMPENSATABLE, /**< Has an effect, and something that undoes it. */
    MARTY_STEP_READ_ONLY,     /**< Has no effect: nothing to undo. */
    MARTY_STEP_PIVOT,         /**< The point of no return: once done, the saga only goes forward. */
    MARTY_STEP_RETRIABLE      /**< After the pivot: cannot be refused, is tried until it is done. */
} marty_step_kind;

/** What to do when no answer came. @since 0.1 @source docs/design/0012-saga-machine.md */
typedef enum marty_in_doubt {
    MARTY_IN_DOUBT_RETRY,      /**< Call again under the same key; without budget: hold. */
    MARTY_IN_DOUBT_PROBE,      /**< Ask the participant whether it was done. */
    MARTY_IN_DOUBT_COMPENSATE, /**< Undo what may have been done, and the saga with it. */
    MARTY_IN_DOUBT_HOLD        /**< Stuck: a person looks. */
} marty_in_doubt;

/** How a test compares. @since 0.1 @source docs/design/0012-saga-machine.md */
typedef enum marty_saga_compare {
    MARTY_SAGA_EXISTS = 1, /**< There is such a value, and it is not null. */
    MARTY_SAGA_MISSING,    /**< There is none, or it is null. */
    MARTY_SAGA_EQUALS,     /**< Numbers as numbers, all else as text. */
    MARTY_SAGA_DIFFERS,    /**< The opposite; also true when there is none. */
    MARTY_SAGA_LESS,       /**< Of two numbers; false for all else. */
    MARTY_SAGA_AT_MOST,    /**< Of two numbers. */
    MARTY_SAGA_GREATER,    /**< Of two numbers. */
    MARTY_SAGA_AT_LEAST    /**< Of two numbers. */
} marty_saga_compare;

/** One condition over what is known: {"input": ..., "results": {step: ...}, "item": ...}.
 *  @since 0.1 @source docs/design/0012-saga-machine.md */
typedef struct marty_saga_test {
    const char *at;             /**< JSON pointer, "/results/check/status". */
    marty_saga_compare compare; /**< How. */
    const char *value;          /**< With what: a JSON scalar, or any other text as it is. */
} marty_saga_test;

/** One member of a command's data. @since 0.1 @source docs/design/0012-saga-machine.md */
typedef struct marty_saga_pick {
    const char *name; /**< Its name; NULL, and it is the only one: it is the whole data. */
    const char *at;   /**< JSON pointer to its value; what is not there becomes null. */
} marty_saga_pick;

/** Limits of one direction of a step. @since 0.1 @source docs/design/0012-saga-machine.md */
typedef struct marty_saga_clocks {
    uint64_t start_ms;     /**< Until a participant has accepted it; 0 = no such limit. */
    uint64_t attempt_ms;   /**< One attempt; 0 = 30,000. */
    uint64_t heartbeat_ms; /**< From one sign of life to the next; 0 = no such limit. */
    uint64_t total_ms;     /**< All attempts together; 0 = 7 days if they are not counted, else no
                            *   such limit. */
} marty_saga_clocks;

/** A step, or a group of them. Exactly one of command, local, saga, timer_ms, signal, and one of
 *  the groups (parallel, choice, repeat, each) is set.
 *  @since 0.1 @source docs/design/0012-saga-machine.md */
typedef struct marty_step marty_step;

/** A sequence of steps: a branch, a case, a body.
 *  @since 0.1 @source docs/design/0012-saga-machine.md */
typedef struct marty_step_body {
    const marty_step *steps;      /**< The steps, one after another. */
    size_t step_count;            /**< How many. */
    const marty_saga_test *tests; /**< Of a case or a repeat: all of them must hold; else unused. */
    size_t test_count;            /**< How many; a case with none always holds. */
} marty_step_body;

/** The fields of a step. @since 0.1 @source docs/design/0012-saga-machine.md */
struct marty_step {
    const char *name;       /**< Unique in the saga; 1 to 64 of [A-Za-z0-9_-]. */
    const char *service;    /**< Whose command it is. */
    const char *command;    /**< A remote command. */
    const char *local;      /**< A function of the engine's, by the name it is registered under. */
    const char *saga;       /**< A child saga, by the name of its definition. */
    uint32_t saga_version;  /**< Of the child's definition; 0 = the newest when it starts. */
    uint64_t timer_ms;      /**< Wait that long. */
    const char *signal;     /**< Wait for a signal of that name. */
    uint64_t signal_ms;     /**< At most that long, else the saga compensates; 0 = 7 days. */
    const char *compensate; /**< What undoes it: a command of the same service, or a function. */
    const char *compensate_service; /**< Whose; NULL = service. */
    bool outside; /**< A local step that runs outside the store's transaction: at least once. */
    bool at_most_once;        /**< The participant cannot tell a repeated call: never call twice. */
    marty_step_kind kind;     /**< What it is to the whole. */
    marty_in_doubt in_doubt;  /**< What to do without an answer. */
    marty_retry_policy retry; /**< Of the step; attempts 0 = not counted: total_ms ends them, max_ms
                               * 0 = 120,000. */
    marty_retry_policy compensate_retry; /**< Of its undo; the same. */
    marty_saga_clocks clocks;            /**< Of the step. */
    marty_saga_clocks compensate_clocks; /**< Of its undo. */
    const marty_saga_pick *data;         /**< What the command carries; NULL = all that is known. */
    size_t data_count;                   /**< How many. */
    const marty_step_body *parallel;     /**< Branches that run side by side. */
    size_t parallel_count;               /**< How many. */
    const marty_step_body *choice;       /**< Cases: the first that holds is taken, or none. */
    size_t choice_count;                 /**< How many. */
    const marty_step_body *repeat;       /**< A loop, while its tests hold. */
    const marty_step_body *each;         /**< Run for each item of an array, side by side. */
    const char *items;                   /**< Of each: JSON pointer to the array. */
    bool until;       /**< Of repeat: test after each round, end when it holds. */
    uint32_t cap;     /**< Of repeat and each: most rounds or items, 1 to 1,000; required. */
    uint32_t at_once; /**< Of each: items in flight; 0 = all. */
    uint32_t join;    /**< Of parallel and each: how many must succeed; 0 = all. */
    bool cut; /**< Of them: after a refusal do not wait for the others before compensating. */
    uint64_t reserved[6]; /**< Leave it 0. */
};

/** A saga. @since 0.1 @source docs/design/0012-saga-machine.md */
typedef struct marty_saga {
    const char *name;        /**< 1 to 64 of [A-Za-z0-9_.-]. */
    uint32_t version;        /**< From 1. */
    const marty_step *steps; /**< One after another. */
    size_t step_count;       /**< How many. */
    uint64_t deadline_ms;    /**< Of the whole: then it is cancelled; 0 = none. */
    bool undo_completed;     /**< A person or a parent may undo it after it has completed. */
    bool strict_undo;        /**< Undo one at a time, in the exact reverse of completion. */
    bool events;             /**< Publish events of its life. */
    uint64_t reserved[6];    /**< Leave it 0. */
} marty_saga;

#ifdef __cplusplus
}
#endif
#endif
