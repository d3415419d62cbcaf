/* SPDX-License-Identifier: Apache-2.0
 * From the structs of <marty/saga_definition.h> to nodes: checks what each step is made of, fills
 * in every default, copies all of it. Whether the whole makes sense is for lint. A document comes
 * here too, read into the same structs, with the lines that errors then name. */
#include "definition_build.h"

#include "base/buffer.h"
#include "inside.h"

#include <stdio.h>

enum { NAME_BYTES = 64, TEXT_BYTES = 255 };
#define LONGEST_MS (UINT64_C(10) * 366 * 24 * 3600 * 1000) /* ten years */

typedef struct builder {
    const marty__saga_source *source;
    marty__saga_definition *to;
    marty__saga_node *nodes;
    size_t count;
    marty_error *why;
    marty_err err;
    const marty_step *step; /* the one being built, for errors */
} builder;

/* ---- errors */
static bool wrong(builder *b, const char *field, const char *text)
{
    const char *name = b->step && b->step->name ? b->step->name : "";
    const char *quote = *name ? "\"" : "", *step = b->step ? "step " : "";
    if (b->err) {
        return false;
    }
    if (b->source->file) {
        b->err = marty_error_set(b->why, MARTY_E_CONFIG, "%s:%u: %s%s%s%s%s%s: %s", b->source->file,
                                 marty__saga_line_of(b->source, b->step), step, quote, name, quote,
                                 *step ? ": " : "", field, text);
    } else {
        b->err = marty_error_set(b->why, MARTY_E_ARGUMENT, "saga %s: %s%s%s%s%s%s: %s",
                                 b->source->saga->name ? b->source->saga->name : "", step, quote,
                                 name, quote, *step ? ": " : "", field, text);
    }
    return false;
}

static bool no_memory(builder *b)
{
    if (!b->err) {
        b->err = marty_error_set(b->why, MARTY_E_NO_MEMORY, "a saga's definition: out of memory");
    }
    return false;
}

/* ---- texts */
static const char *copied(builder *b, const char *text)
{
    char *copy = text ? marty__arena_text(&b->to->arena, text, strlen(text)) : NULL;
    if (text && !copy) {
        (void)no_memory(b);
    }
    return copy;
}

static bool name_fits(const char *name, const char *more)
{
    size_t size = name ? strlen(name) : 0;
    for (size_t i = 0; i < size; i++) {
        char c = name[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '_' || c == '-' || strchr(more, c);
        if (!plain) {
            return false;
        }
    }
    return size > 0 && size <= NAME_BYTES;
}

static bool text_fits(builder *b, const char *field, const char *text)
{
    size_t size = strlen(text);
    if (size == 0 || size > TEXT_BYTES) {
        return wrong(b, field, "must have 1 to 255 bytes");
    }
    return true;
}

static bool pointer_fits(builder *b, const char *field, const char *pointer)
{
    if (!pointer || strlen(pointer) > TEXT_BYTES || !marty__saga_pointer_valid(pointer)) {
        return wrong(b, field, "must be a JSON pointer, such as /results/check/status");
    }
    return true;
}

static bool reserved_is_free(builder *b, const uint64_t *reserved, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (reserved[i]) {
            b->err = b->err ? b->err
                            : marty_error_set(b->why, MARTY_E_UNSUPPORTED,
                                              "a saga's definition: made for a newer Marty");
            return false;
        }
    }
    return true;
}

/* ---- parts of a step */
static bool clocks_fit(builder *b, const marty_saga_clocks *clocks)
{
    if (clocks->start_ms > LONGEST_MS || clocks->attempt_ms > LONGEST_MS ||
        clocks->heartbeat_ms > LONGEST_MS || clocks->total_ms > LONGEST_MS) {
        return wrong(b, "timeout", "longer than ten years");
    }
    return true;
}

/* Attempts that are not counted end with their total time (docs/design/0018-retries-of-sagas.md).
 */
static void fill_call(marty__saga_call *call, const marty_saga_clocks *clocks,
                      const marty_retry_policy *retry, uint64_t attempt_ms)
{
    call->start_ms = clocks->start_ms;
    call->attempt_ms = clocks->attempt_ms ? clocks->attempt_ms : attempt_ms;
    call->heartbeat_ms = clocks->heartbeat_ms;
    call->retry = *retry;
    call->retry.attempts = retry->attempts ? retry->attempts : UINT32_MAX;
    call->total_ms = clocks->total_ms                     ? clocks->total_ms
                     : call->retry.attempts == UINT32_MAX ? MARTY__SAGA_TOTAL_MS
                                                          : 0;
    call->retry.first_ms = retry->first_ms ? retry->first_ms : MARTY__RETRY_FIRST_MS;
    call->retry.max_ms = retry->max_ms ? retry->max_ms : MARTY__SAGA_RETRY_MAX_MS;
}

static bool build_picks(builder *b, marty__saga_node *node, const marty_step *step)
{
    if (step->data_count > MARTY__SAGA_PICKS_MAX) {
        return wrong(b, "data", "over 64 members");
    }
    marty_saga_pick *picks =
        marty__arena_alloc(&b->to->arena, (step->data_count + 1) * sizeof *picks);
    if (!picks) {
        return no_memory(b);
    }
    for (size_t i = 0; i < step->data_count; i++) {
        const marty_saga_pick *pick = &step->data[i];
        if (!pointer_fits(b, "data", pick->at)) {
            return false;
        }
        if (!pick->name && step->data_count > 1) {
            return wrong(b, "data", "each of several members needs a name");
        }
        picks[i] = (marty_saga_pick){copied(b, pick->name), copied(b, pick->at)};
    }
    node->picks = picks;
    node->pick_count = step->data_count;
    return !b->err;
}

static bool build_tests(builder *b, marty__saga_node *node, const marty_step_body *body)
{
    if (body->test_count > MARTY__SAGA_TESTS_MAX) {
        return wrong(b, "when", "over 32 tests");
    }
    marty_saga_test *tests =
        marty__arena_alloc(&b->to->arena, (body->test_count + 1) * sizeof *tests);
    if (!tests) {
        return no_memory(b);
    }
    for (size_t i = 0; i < body->test_count; i++) {
        const marty_saga_test *test = &body->tests[i];
        bool lone = test->compare == MARTY_SAGA_EXISTS || test->compare == MARTY_SAGA_MISSING;
        if (!pointer_fits(b, "when.at", test->at)) {
            return false;
        }
        if (test->compare < MARTY_SAGA_EXISTS || test->compare > MARTY_SAGA_AT_LEAST ||
            (!lone && (!test->value || strlen(test->value) > TEXT_BYTES))) {
            return wrong(b, "when", "a test needs a comparison and a value of at most 255 bytes");
        }
        tests[i] = (marty_saga_test){copied(b, test->at), test->compare,
                                     lone ? NULL : copied(b, test->value)};
    }
    node->tests = tests;
    node->test_count = body->test_count;
    return !b->err;
}

/* ---- nodes */
static bool build_steps(builder *b, uint16_t sequence, const marty_step_body *body, unsigned depth);

static marty__saga_node *add_node(builder *b, uint16_t parent, uint16_t before,
                                  marty__saga_node_kind kind, unsigned depth)
{
    if (b->count >= MARTY__SAGA_NODES_MAX) {
        (void)wrong(b, "steps", "over 1,000 steps and bodies in one saga");
        return NULL;
    }
    if (depth > 2 * MARTY__SAGA_DEPTH_MAX + 1) {
        (void)wrong(b, "steps", "nested over 16 deep");
        return NULL;
    }
    uint16_t index = (uint16_t)b->count++;
    if (before != MARTY__SAGA_NONE) {
        b->nodes[before].next = index;
    } else if (index) {
        b->nodes[parent].first = index;
    }
    b->nodes[index] = (marty__saga_node){.index = index,
                                         .parent = parent,
                                         .first = MARTY__SAGA_NONE,
                                         .next = MARTY__SAGA_NONE,
                                         .kind = kind,
                                         .depth = (uint16_t)depth,
                                         .line = marty__saga_line_of(b->source, b->step)};
    return &b->nodes[index];
}

/* Bodies of a group, each a sequence; the steps in them are built when all the sequences' own
 * fields are, because errors speak of the step around. */
static bool build_bodies(builder *b, uint16_t group, const marty_step_body *bodies, size_t count,
                         bool tested, unsigned depth)
{
    uint16_t before = MARTY__SAGA_NONE;
    for (size_t i = 0; i < count; i++) {
        const marty_step *step = b->step;
        marty__saga_node *node = add_node(b, group, before, MARTY__SAGA_SEQUENCE, depth);
        if (!node || (tested && !build_tests(b, node, &bodies[i]))) {
            return false;
        }
        before = node->index;
        if (!build_steps(b, node->index, &bodies[i], depth + 1)) {
            return false;
        }
        b->step = step;
    }
    return true;
}

static marty__saga_node_kind kind_of(builder *b, const marty_step *step)
{
    const struct {
        bool set;
        marty__saga_node_kind kind;
    } kinds[] = {{step->command != NULL, MARTY__SAGA_COMMAND},
                 {step->local != NULL, MARTY__SAGA_LOCAL},
                 {step->saga != NULL, MARTY__SAGA_CHILD},
                 {step->timer_ms != 0, MARTY__SAGA_TIMER},
                 {step->signal != NULL, MARTY__SAGA_SIGNAL},
                 {step->parallel != NULL, MARTY__SAGA_PARALLEL},
                 {step->choice != NULL, MARTY__SAGA_CHOICE},
                 {step->repeat != NULL, MARTY__SAGA_LOOP},
                 {step->each != NULL, MARTY__SAGA_MAP}};
    marty__saga_node_kind found = 0;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (kinds[i].set && found) {
            found = 0;
            break;
        }
        found = kinds[i].set ? kinds[i].kind : found;
    }
    if (!found) {
        (void)wrong(b, "kind",
                    "must be exactly one of command, local, saga, timer, signal, parallel, choice, "
                    "repeat, each");
    }
    return found;
}

static bool build_called(builder *b, marty__saga_node *node, const marty_step *step)
{
    bool child = node->kind == MARTY__SAGA_CHILD, local = node->kind == MARTY__SAGA_LOCAL;
    const char *type = child ? step->saga : local ? step->local : step->command;
    if (!text_fits(b, "command", type) || !clocks_fit(b, &step->clocks) ||
        !clocks_fit(b, &step->compensate_clocks) || !build_picks(b, node, step)) {
        return false;
    }
    if (node->kind == MARTY__SAGA_COMMAND &&
        (!step->service || !text_fits(b, "service", step->service))) {
        return wrong(b, "service", "a command needs the service that handles it");
    }
    uint64_t attempt_ms = child ? MARTY__SAGA_CHILD_MS : MARTY__SAGA_ATTEMPT_MS;
    node->forward.service = local || child ? NULL : copied(b, step->service);
    node->forward.type = copied(b, type);
    node->forward.in_transaction = local && !step->outside;
    fill_call(&node->forward, &step->clocks, &step->retry, attempt_ms);
    if (child && !step->clocks.total_ms) {
        node->forward.total_ms = 0; /* its own steps have their times */
    }
    node->child_version = child ? step->saga_version : 0;
    node->at_most_once = step->at_most_once;
    node->in_doubt = child ? MARTY_IN_DOUBT_RETRY : step->in_doubt;
    node->has_undo = step->compensate || (child && step->kind != MARTY_STEP_READ_ONLY);
    if (!node->has_undo) {
        return true;
    }
    if (step->compensate && !text_fits(b, "compensate", step->compensate)) {
        return false;
    }
    const char *service = step->compensate_service ? step->compensate_service : step->service;
    node->undo.service = local || child ? NULL : copied(b, service);
    node->undo.type = copied(b, child ? step->saga : step->compensate);
    node->undo.in_transaction = local && !step->outside;
    fill_call(&node->undo, &step->compensate_clocks, &step->compensate_retry, attempt_ms);
    return !b->err;
}

static bool build_group(builder *b, uint16_t index, const marty_step *step, unsigned depth)
{
    marty__saga_node *node = &b->nodes[index];
    bool loop = node->kind == MARTY__SAGA_LOOP, map = node->kind == MARTY__SAGA_MAP;
    if ((loop || map) && (step->cap == 0 || step->cap > MARTY__SAGA_ITERATIONS_MAX)) {
        return wrong(b, "cap", "a loop or map needs a cap, from 1 to 1,000");
    }
    if (map && !pointer_fits(b, "items", step->items)) {
        return false;
    }
    if (node->kind == MARTY__SAGA_PARALLEL && step->join > step->parallel_count) {
        return wrong(b, "join", "more than there are branches");
    }
    node->cap = loop || map ? step->cap : 0;
    node->items = map ? copied(b, step->items) : NULL;
    node->at_once = map ? step->at_once : 0;
    bool group = map || node->kind == MARTY__SAGA_PARALLEL;
    node->join = group ? step->join : 0;
    node->cut = group && step->cut;
    node->until = loop && step->until;
    if (loop && !build_tests(b, node, step->repeat)) {
        return false;
    }
    if (loop || map) {
        return build_bodies(b, index, loop ? step->repeat : step->each, 1, false, depth);
    }
    bool choice = node->kind == MARTY__SAGA_CHOICE;
    size_t count = choice ? step->choice_count : step->parallel_count;
    if (count == 0) {
        return wrong(b, choice ? "choice" : "parallel", "has nothing in it");
    }
    return build_bodies(b, index, choice ? step->choice : step->parallel, count, choice, depth);
}

static bool name_is_new(builder *b, const char *name)
{
    for (size_t i = 0; i < b->count; i++) {
        if (b->nodes[i].name && strcmp(b->nodes[i].name, name) == 0) {
            return wrong(b, "name", "another step has the same");
        }
    }
    return true;
}

static bool build_step(builder *b, uint16_t sequence, uint16_t before, const marty_step *step,
                       unsigned depth)
{
    marty__saga_node_kind kind = kind_of(b, step);
    if (!kind || !reserved_is_free(b, step->reserved, 6) ||
        !reserved_is_free(b, &step->retry.reserved, 1) ||
        !reserved_is_free(b, &step->compensate_retry.reserved, 1)) {
        return false;
    }
    if (!name_fits(step->name, "")) {
        return wrong(b, "name", "must have 1 to 64 of A-Z, a-z, 0-9, _ and -");
    }
    if (step->kind < MARTY_STEP_COMPENSATABLE || step->kind > MARTY_STEP_RETRIABLE ||
        step->in_doubt < MARTY_IN_DOUBT_RETRY || step->in_doubt > MARTY_IN_DOUBT_HOLD) {
        return wrong(b, "kind", "not one that is known");
    }
    if (!name_is_new(b, step->name)) {
        return false;
    }
    marty__saga_node *node = add_node(b, sequence, before, kind, depth);
    if (!node) {
        return false;
    }
    node->name = copied(b, step->name);
    node->step = marty__saga_is_wait(node) ? MARTY_STEP_READ_ONLY : step->kind;
    if (kind == MARTY__SAGA_TIMER || kind == MARTY__SAGA_SIGNAL) {
        uint64_t wait_ms = kind == MARTY__SAGA_TIMER ? step->timer_ms : step->signal_ms;
        node->wait_ms = wait_ms ? wait_ms : MARTY__SAGA_SIGNAL_MS;
        node->signal = copied(b, step->signal);
        return (!step->signal || text_fits(b, "signal", step->signal)) &&
               (wait_ms <= LONGEST_MS || wrong(b, "timer", "longer than ten years")) && !b->err;
    }
    return marty__saga_is_leaf(node) ? build_called(b, node, step)
                                     : build_group(b, node->index, step, depth + 1);
}

static bool build_steps(builder *b, uint16_t sequence, const marty_step_body *body, unsigned depth)
{
    uint16_t before = MARTY__SAGA_NONE;
    if (body->step_count && !body->steps) {
        return wrong(b, "steps", "is NULL");
    }
    for (size_t i = 0; i < body->step_count; i++) {
        uint16_t index = (uint16_t)b->count;
        b->step = &body->steps[i];
        if (!build_step(b, sequence, before, &body->steps[i], depth)) {
            return false;
        }
        before = index;
    }
    return true;
}

static bool build(builder *b)
{
    const marty_saga *saga = b->source->saga;
    marty__saga_definition *to = b->to;
    if (!name_fits(saga->name, ".")) {
        return wrong(b, "saga", "its name must have 1 to 64 of A-Z, a-z, 0-9, _, - and .");
    }
    if (!saga->version) {
        return wrong(b, "version", "must be 1 or more");
    }
    if (saga->deadline_ms > LONGEST_MS) {
        return wrong(b, "deadline", "longer than ten years");
    }
    if (!saga->step_count) {
        return wrong(b, "steps", "there are none");
    }
    to->name = copied(b, saga->name);
    to->version = saga->version;
    to->deadline_ms = saga->deadline_ms;
    to->undo_completed = saga->undo_completed;
    to->strict_undo = saga->strict_undo;
    to->events = saga->events;
    const marty_step_body body = {.steps = saga->steps, .step_count = saga->step_count};
    if (!reserved_is_free(b, saga->reserved, 6) ||
        !add_node(b, 0, MARTY__SAGA_NONE, MARTY__SAGA_SEQUENCE, 0) ||
        !build_steps(b, 0, &body, 1) || b->err) {
        return false;
    }
    marty__saga_node *nodes = marty__arena_alloc(&to->arena, b->count * sizeof *nodes);
    if (!nodes) {
        return no_memory(b);
    }
    memcpy(nodes, b->nodes, b->count * sizeof *nodes);
    to->nodes = nodes;
    to->node_count = b->count;
    return true;
}

marty_err marty__saga_definition_from(marty__saga_definition **ret,
                                      const marty__saga_source *source, marty_error *why)
{
    builder b = {.source = source, .why = why};
    b.to = marty_alloc_zero(1, sizeof *b.to);
    b.nodes = marty_alloc_zero(MARTY__SAGA_NODES_MAX, sizeof *b.nodes);
    if (!b.to || !b.nodes) {
        (void)no_memory(&b);
    } else if (build(&b) && !marty__saga_definition_hash(b.to)) {
        (void)no_memory(&b);
    }
    marty_free(b.nodes);
    if (b.err) {
        marty__saga_definition_free(b.to);
        return b.err;
    }
    *ret = b.to;
    return MARTY_OK;
}

marty_err marty__saga_definition_build(marty__saga_definition **ret, const marty_saga *saga,
                                       marty_error *why)
{
    const marty__saga_source source = {.saga = saga};
    return marty__saga_definition_from(ret, &source, why);
}

void marty__saga_definition_free(marty__saga_definition *definition)
{
    if (definition) {
        marty__arena_free(&definition->arena);
        marty_free(definition);
    }
}
