/* SPDX-License-Identifier: Apache-2.0
 * A saga's definition, compiled: an immutable array of nodes, made from a document (YAML or JSON)
 * or from the structs of <marty/saga_definition.h>, with every default filled in. Its content hash
 * is SHA-256 over its canonical JSON, so the same saga has the same hash from wherever it came.
 * Made once, then read by any thread. What it means is docs/design/0012-saga-machine.md. */
#ifndef MARTY_SAGA_DEFINITION_H
#define MARTY_SAGA_DEFINITION_H
#include "base/arena.h"

#include <marty/saga_definition.h>

enum {
    MARTY__SAGA_NODES_MAX = 1000,
    MARTY__SAGA_DEPTH_MAX = 16,        /* groups, choices, loops and maps within each other */
    MARTY__SAGA_ITERATIONS_MAX = 1000, /* of one loop, items of one map */
    MARTY__SAGA_TESTS_MAX = 32,        /* conditions of one choice's case or one loop */
    MARTY__SAGA_PICKS_MAX = 64,        /* pointers in one step's data */
    MARTY__SAGA_HASH_BYTES = 32,
    MARTY__SAGA_NONE = 0xffff /* no node */
};

/* A sequence is the body of the saga, of a branch, of a case, of a loop or of a map. */
typedef enum marty__saga_node_kind {
    MARTY__SAGA_SEQUENCE = 1,
    MARTY__SAGA_PARALLEL,
    MARTY__SAGA_CHOICE,
    MARTY__SAGA_LOOP,
    MARTY__SAGA_MAP,
    MARTY__SAGA_COMMAND, /* the first of the leaves */
    MARTY__SAGA_LOCAL,
    MARTY__SAGA_CHILD,
    MARTY__SAGA_TIMER,
    MARTY__SAGA_SIGNAL
} marty__saga_node_kind;

/* One direction of a leaf: how it is called. Times of 0 are "none". */
typedef struct marty__saga_call {
    const char *service, *type; /* type: the command, the local function, the child's definition */
    marty_retry_policy retry;   /* every default filled in */
    uint64_t start_ms;          /* schedule to start: until ACCEPTED */
    uint64_t attempt_ms;        /* one attempt; never 0 for what is called */
    uint64_t heartbeat_ms;      /* from ACCEPTED or PROGRESS to the next */
    uint64_t total_ms;          /* schedule to close: over all attempts */
    bool in_transaction;        /* local: in the store's own transaction */
} marty__saga_call;

typedef struct marty__saga_node {
    uint16_t index, parent, first, next; /* NONE where there is none; the root is 0 */
    uint16_t depth;
    uint32_t line; /* of the document, 0 = from C */
    marty__saga_node_kind kind;
    const char *name; /* unique among all steps; NULL: a sequence */

    /* leaves */
    marty_step_kind step;
    marty_in_doubt in_doubt;
    bool at_most_once, has_undo;
    marty__saga_call forward, undo;
    uint32_t child_version;       /* 0 = the newest enabled */
    const marty_saga_pick *picks; /* of the data; a lone one without a name is the whole data */
    size_t pick_count;            /* 0 = input and results */
    const char *signal;           /* its name */
    uint64_t wait_ms;             /* a timer's time; a signal's time to live, never 0 */

    /* the others */
    uint32_t join;                /* parallel, map: how many must succeed; 0 = all */
    bool cut;                     /* parallel, map: cut on the first refusal, else settle */
    uint32_t cap;                 /* loop, map: most iterations, never 0 there */
    uint32_t at_once;             /* map: items in flight; 0 = all */
    const char *items;            /* map: pointer to the array */
    bool until;                   /* loop: tested after each iteration, ends when it holds */
    const marty_saga_test *tests; /* a case's (it is a sequence) or a loop's; all must hold */
    size_t test_count;            /* a case with 0 always holds */
} marty__saga_node;

typedef struct marty__saga_definition {
    const char *name;
    uint32_t version;
    uint64_t deadline_ms; /* 0 = none */
    bool undo_completed;  /* undo after completion is allowed */
    bool strict_undo;     /* strict reverse of completion, one at a time */
    bool events;          /* lifecycle events are published */
    const marty__saga_node *nodes;
    size_t node_count;
    const char *json; /* canonical */
    size_t json_size;
    uint8_t hash[MARTY__SAGA_HASH_BYTES];
    marty__arena arena; /* all of it */
} marty__saga_definition;

/** From a document, YAML or JSON; file is its name in errors ("file:line: steps[2].timeout: ...").
 * Not linted yet. E: CONFIG, NO_MEMORY. */
marty_err marty__saga_definition_read(marty__saga_definition **ret, const char *file,
                                      const char *text, size_t size, marty_error *why);
/** From C, copied. Not linted yet. E: ARGUMENT, UNSUPPORTED (a reserved slot is set), NO_MEMORY. */
marty_err marty__saga_definition_build(marty__saga_definition **ret, const marty_saga *saga,
                                       marty_error *why);
/** NULL is fine. */
void marty__saga_definition_free(marty__saga_definition *definition);

/** Whether a node is a step that is called, waited for or done, and holds no others. */
MARTY_INLINE bool marty__saga_is_leaf(const marty__saga_node *node)
{
    return node->kind >= MARTY__SAGA_COMMAND;
}
/** Whether it waits only: a timer or a signal. */
MARTY_INLINE bool marty__saga_is_wait(const marty__saga_node *node)
{
    return node->kind == MARTY__SAGA_TIMER || node->kind == MARTY__SAGA_SIGNAL;
}
/** Whether its forward may leave an effect behind. */
MARTY_INLINE bool marty__saga_has_effect(const marty__saga_node *node)
{
    return marty__saga_is_leaf(node) && !marty__saga_is_wait(node) &&
           node->step != MARTY_STEP_READ_ONLY;
}

/** What is wrong with a definition, each with where and what to do. */
typedef struct marty__saga_finding {
    uint16_t node;
    uint32_t line;
    bool error;       /* registering refuses it; else it is only a warning */
    const char *code; /* a stable word: "two-pivots" */
    const char *text;
    struct marty__saga_finding *next;
} marty__saga_finding;
/** All findings, in the order of the nodes, from the arena; *ret is NULL when it is clean.
 * E: NO_MEMORY. */
marty_err marty__saga_lint(const marty__saga_definition *definition, marty__arena *arena,
                           const marty__saga_finding **ret, marty_error *why);
#endif
