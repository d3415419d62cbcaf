/* SPDX-License-Identifier: Apache-2.0
 * What is wrong with a definition as a whole. Each rule is one of those under which the machine's
 * promises hold (docs/design/0012-saga-machine.md): with an error in it a definition is not
 * registered. */
#include "definition.h"
#include "inside.h"

typedef struct linter {
    const marty__saga_definition *definition;
    marty__arena *arena;
    marty__saga_finding *first, **end;
    bool failed;
} linter;

/* What may have happened when a node's turn comes. */
typedef struct path {
    bool pivot_sure, pivot_maybe;
    unsigned concurrent; /* groups around it with others beside it */
    unsigned repeated;   /* loops and maps around it */
    bool tolerated;      /* a group around it bears its failure */
    bool effect_before;  /* in the branch that is borne: a step with an effect came before */
} path;

static void find(linter *l, const marty__saga_node *node, bool error, const char *code,
                 const char *text)
{
    marty__saga_finding *finding = marty__arena_alloc(l->arena, sizeof *finding);
    const char *name = node->name ? node->name : l->definition->name;
    char *whole = marty__arena_format(l->arena, "%s: %s", name, text);
    if (!finding || !whole) {
        l->failed = true;
        return;
    }
    *finding = (marty__saga_finding){
        .node = node->index, .line = node->line, .error = error, .code = code, .text = whole};
    *l->end = finding;
    l->end = &finding->next;
}

static const marty__saga_node *node_at(const linter *l, uint16_t index)
{
    return &l->definition->nodes[index];
}

/* ---- pointers of data and conditions */
static const marty__saga_node *by_name(const linter *l, const char *name, size_t size)
{
    for (size_t i = 0; i < l->definition->node_count; i++) {
        const char *own = l->definition->nodes[i].name;
        if (own && strlen(own) == size && memcmp(own, name, size) == 0) {
            return &l->definition->nodes[i];
        }
    }
    return NULL;
}

static bool in_kind(const linter *l, const marty__saga_node *node, marty__saga_node_kind kind)
{
    for (uint16_t at = node->index; at != 0; at = node_at(l, at)->parent) {
        if (node_at(l, node_at(l, at)->parent)->kind == kind) {
            return true;
        }
    }
    return false;
}

/* Whether other may have a result when node's turn comes. */
static bool precedes(const linter *l, const marty__saga_node *other, const marty__saga_node *node)
{
    uint16_t a = other->index, b = node->index, child_a = a, child_b = b;
    while (a != b) {
        if (node_at(l, a)->depth >= node_at(l, b)->depth) {
            child_a = a;
            a = node_at(l, a)->parent;
        } else {
            child_b = b;
            b = node_at(l, b)->parent;
        }
    }
    for (uint16_t up = a;; up = node_at(l, up)->parent) {
        if (node_at(l, up)->kind == MARTY__SAGA_LOOP && up != node->parent) {
            return true; /* a round before */
        }
        if (node_at(l, up)->kind == MARTY__SAGA_LOOP || up == 0) {
            break;
        }
    }
    return node_at(l, a)->kind == MARTY__SAGA_LOOP ||
           (node_at(l, a)->kind == MARTY__SAGA_SEQUENCE && child_a < child_b);
}

static void check_pointer(linter *l, const marty__saga_node *node, const char *pointer)
{
    const char *rest = pointer + (*pointer == '/');
    size_t size = strcspn(rest, "/");
    if (size == 0 || (size == 5 && memcmp(rest, "input", 5) == 0)) {
        return;
    }
    if ((size == 4 && memcmp(rest, "item", 4) == 0) ||
        (size == 5 && memcmp(rest, "index", 5) == 0)) {
        if (!in_kind(l, node, MARTY__SAGA_MAP)) {
            find(l, node, true, "item-outside",
                 "points to /item or /index, which exist only inside of \"each\"");
        }
        return;
    }
    if (size != 7 || memcmp(rest, "results", 7) != 0) {
        find(l, node, true, "unknown-pointer",
             "a pointer must begin with /input, /results, /item or /index");
        return;
    }
    const char *name = rest + size + (rest[size] == '/');
    const marty__saga_node *other = by_name(l, name, strcspn(name, "/"));
    if (*name && !other) {
        find(l, node, true, "unknown-step", "points to the result of a step that does not exist");
    } else if (*name && !precedes(l, other, node)) {
        find(l, node, false, "late-result",
             "points to the result of a step that does not come before it: it will be null");
    }
}

static void check_pointers(linter *l, const marty__saga_node *node)
{
    for (size_t i = 0; i < node->pick_count; i++) {
        check_pointer(l, node, node->picks[i].at);
    }
    for (size_t i = 0; i < node->test_count; i++) {
        check_pointer(l, node, node->tests[i].at);
    }
    if (node->items) {
        check_pointer(l, node, node->items);
    }
}

/* ---- one called step */
static void check_policy(linter *l, const marty__saga_node *node)
{
    bool undo = node->in_doubt == MARTY_IN_DOUBT_COMPENSATE;
    if (undo && (node->step != MARTY_STEP_COMPENSATABLE || !node->has_undo)) {
        find(l, node, true, "doubt-without-undo",
             "in_doubt: compensate is for compensatable steps that have a \"compensate\"");
    }
    if (node->in_doubt == MARTY_IN_DOUBT_PROBE && node->kind != MARTY__SAGA_COMMAND) {
        find(l, node, true, "probe-local", "only a command's participant can be probed");
    }
    if (node->at_most_once && !undo && node->in_doubt != MARTY_IN_DOUBT_HOLD) {
        find(l, node, true, "once-and-again",
             "at_most_once needs in_doubt: compensate or hold; all else would call again or ask "
             "one that does not remember");
    }
    if (node->at_most_once && node->step == MARTY_STEP_RETRIABLE) {
        find(l, node, true, "once-and-again", "a retriable step cannot be at_most_once");
    }
    if (node->at_most_once && node->kind == MARTY__SAGA_CHILD) {
        find(l, node, true, "once-and-again", "a child saga is started once by itself");
    }
}

static void check_times(linter *l, const marty__saga_node *node)
{
    const marty__saga_call *call = &node->forward;
    if (call->total_ms && call->total_ms < call->attempt_ms) {
        find(l, node, false, "total-below-attempt",
             "total_timeout is shorter than one attempt's timeout");
    }
    if (call->heartbeat_ms && call->heartbeat_ms >= call->attempt_ms) {
        find(l, node, false, "slow-heartbeat",
             "the heartbeat is not shorter than the attempt's timeout, so it says nothing");
    }
}

static void check_kind(linter *l, const marty__saga_node *node, const path *way)
{
    bool effect = marty__saga_has_effect(node);
    if (node->step == MARTY_STEP_COMPENSATABLE && way->pivot_maybe) {
        find(l, node, true, "after-pivot",
             "comes after the pivot, so it must be retriable or read_only");
    } else if (node->step == MARTY_STEP_COMPENSATABLE && !node->has_undo) {
        find(l, node, true, "no-undo",
             "has an effect and nothing that undoes it: give it a \"compensate\", or say "
             "kind: read_only");
    }
    if (node->step == MARTY_STEP_RETRIABLE && !node->has_undo && !way->pivot_sure) {
        find(l, node, true, "retriable-before-pivot",
             "is retriable without a \"compensate\", and on some way no pivot comes before it: "
             "what fails or is cancelled after it could not be undone");
    }
    if (node->step == MARTY_STEP_READ_ONLY && node->has_undo) {
        find(l, node, false, "needless-undo", "is read_only, so its \"compensate\" is never used");
    }
    if (l->definition->undo_completed && effect && !node->has_undo) {
        find(l, node, true, "undo-completed",
             "undo_completed needs a \"compensate\" of every step with an effect");
    }
    if (node->step == MARTY_STEP_PIVOT && way->pivot_maybe) {
        find(l, node, true, "two-pivots", "a second pivot on the same way");
    }
    if (node->step == MARTY_STEP_PIVOT && way->repeated) {
        find(l, node, true, "pivot-repeats", "a pivot in a loop or map would be passed twice");
    }
    if (node->step == MARTY_STEP_PIVOT && way->concurrent) {
        find(l, node, true, "pivot-beside",
             "runs beside other steps: their refusal would undo under or after the pivot");
    }
    if (way->tolerated && way->effect_before) {
        find(
            l, node, true, "effect-before-failure",
            "may fail after a step with an effect, in a branch whose failure is borne: that effect "
            "would stay; put the branch into a child saga");
    }
}

/* ---- the tree, in the order in which it runs */
static void walk(linter *l, const marty__saga_node *node, path *way);

static void walk_sequence(linter *l, const marty__saga_node *sequence, path *way)
{
    for (uint16_t at = sequence->first; at != MARTY__SAGA_NONE; at = node_at(l, at)->next) {
        walk(l, node_at(l, at), way);
    }
}

static void walk_choice(linter *l, const marty__saga_node *node, path *way)
{
    path after = *way;
    bool open = true, first = true, sure = true;
    for (uint16_t at = node->first; at != MARTY__SAGA_NONE; at = node_at(l, at)->next) {
        path taken = *way;
        if (!open) {
            find(l, node, true, "unreachable",
                 "a case after one without conditions is never taken");
        }
        check_pointers(l, node_at(l, at));
        walk_sequence(l, node_at(l, at), &taken);
        open = open && node_at(l, at)->test_count > 0;
        sure = sure && taken.pivot_sure;
        after.pivot_maybe = after.pivot_maybe || taken.pivot_maybe;
        after.effect_before = after.effect_before || taken.effect_before;
        first = false;
    }
    after.pivot_sure = way->pivot_sure || (!first && !open && sure);
    *way = after;
}

static void walk_group(linter *l, const marty__saga_node *node, path *way)
{
    bool map = node->kind == MARTY__SAGA_MAP;
    uint32_t count = 0;
    for (uint16_t at = node->first; at != MARTY__SAGA_NONE; at = node_at(l, at)->next) {
        count++;
    }
    bool tolerates = node->join && (map || node->join < count);
    path after = *way;
    for (uint16_t at = node->first; at != MARTY__SAGA_NONE; at = node_at(l, at)->next) {
        path inside_way = *way;
        inside_way.concurrent += map || count > 1;
        inside_way.repeated += map;
        inside_way.effect_before = !tolerates && way->effect_before;
        inside_way.tolerated = way->tolerated || tolerates;
        walk_sequence(l, node_at(l, at), &inside_way);
        after.pivot_maybe = after.pivot_maybe || inside_way.pivot_maybe;
        after.pivot_sure = after.pivot_sure || (!map && !tolerates && inside_way.pivot_sure);
        after.effect_before = after.effect_before || inside_way.effect_before;
    }
    if (way->tolerated && way->effect_before) {
        find(
            l, node, true, "effect-before-failure",
            "may fail after a step with an effect, in a branch whose failure is borne: that effect "
            "would stay; put the branch into a child saga");
    }
    *way = after;
}

static void walk_loop(linter *l, const marty__saga_node *node, path *way)
{
    path round = *way;
    round.repeated++;
    walk_sequence(l, node_at(l, node->first), &round);
    if (!way->effect_before && round.effect_before && way->tolerated) {
        find(l, node, true, "effect-before-failure",
             "repeats a step with an effect in a branch whose failure is borne: the effects of "
             "earlier rounds would stay; put the branch into a child saga");
    }
    way->pivot_maybe = way->pivot_maybe || round.pivot_maybe;
    way->effect_before = round.effect_before;
}

static void walk(linter *l, const marty__saga_node *node, path *way)
{
    check_pointers(l, node);
    switch (node->kind) {
    case MARTY__SAGA_SEQUENCE:
        walk_sequence(l, node, way);
        return;
    case MARTY__SAGA_CHOICE:
        walk_choice(l, node, way);
        return;
    case MARTY__SAGA_LOOP:
        walk_loop(l, node, way);
        return;
    case MARTY__SAGA_PARALLEL:
    case MARTY__SAGA_MAP:
        walk_group(l, node, way);
        return;
    case MARTY__SAGA_COMMAND:
    case MARTY__SAGA_LOCAL:
    case MARTY__SAGA_CHILD:
    case MARTY__SAGA_TIMER:
    case MARTY__SAGA_SIGNAL:
        break;
    }
    check_kind(l, node, way);
    if (!marty__saga_is_wait(node)) {
        check_policy(l, node);
        check_times(l, node);
    }
    bool pivot = node->step == MARTY_STEP_PIVOT;
    way->pivot_maybe = way->pivot_maybe || pivot;
    way->pivot_sure = way->pivot_sure || pivot;
    way->effect_before = way->effect_before || marty__saga_has_effect(node);
}

marty_err marty__saga_lint(const marty__saga_definition *definition, marty__arena *arena,
                           const marty__saga_finding **ret, marty_error *why)
{
    linter l = {.definition = definition, .arena = arena};
    path way = {0};
    l.end = &l.first;
    walk(&l, &definition->nodes[0], &way);
    if (l.failed) {
        return marty_error_set(why, MARTY_E_NO_MEMORY, "a saga's definition: out of memory");
    }
    *ret = l.first;
    return MARTY_OK;
}
