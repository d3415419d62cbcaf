/* SPDX-License-Identifier: Apache-2.0
 * The canonical form: JSON with the keys of the document, always in the same order, with every
 * default written out and nothing that does not apply. Reading it gives the same definition again,
 * so a store needs no other form. Its SHA-256 is the name by which sagas are pinned. */
#include "definition_build.h"

#include "base/buffer.h"
#include "base/sha256.h"

static void add_steps(const marty__saga_definition *definition, const marty__saga_node *sequence,
                      marty__buffer *to);

static void key_of(marty__buffer *to, const char *key)
{
    char last = to->size ? to->data[to->size - 1] : '{';
    if (last != '{' && last != '[') {
        marty__buffer_byte(to, ',');
    }
    marty__buffer_json(to, key, strlen(key));
    marty__buffer_byte(to, ':');
}

static void add_text(marty__buffer *to, const char *key, const char *text)
{
    if (text) {
        key_of(to, key);
        marty__buffer_json(to, text, strlen(text));
    }
}

static void add_number(marty__buffer *to, const char *key, uint64_t number)
{
    if (number) {
        key_of(to, key);
        marty__buffer_format(to, "%llu", (unsigned long long)number);
    }
}

static void add_ms(marty__buffer *to, const char *key, uint64_t ms)
{
    if (ms) {
        key_of(to, key);
        marty__buffer_format(to, "\"%llums\"", (unsigned long long)ms);
    }
}

static void add_true(marty__buffer *to, const char *key, bool flag)
{
    if (flag) {
        key_of(to, key);
        marty__buffer_text(to, "true");
    }
}

static void add_call(marty__buffer *to, const marty__saga_call *call)
{
    add_ms(to, "timeout", call->attempt_ms);
    add_ms(to, "start_timeout", call->start_ms);
    add_ms(to, "heartbeat", call->heartbeat_ms);
    add_ms(to, "total_timeout", call->total_ms);
    key_of(to, "retry");
    marty__buffer_byte(to, '{');
    if (call->retry.attempts == UINT32_MAX) {
        add_text(to, "attempts", "unlimited");
    } else {
        add_number(to, "attempts", call->retry.attempts);
    }
    add_ms(to, "first", call->retry.first_ms);
    add_ms(to, "max", call->retry.max_ms);
    add_text(to, "jitter", call->retry.no_jitter ? "none" : "full");
    marty__buffer_byte(to, '}');
}

static void add_data(marty__buffer *to, const marty__saga_node *node)
{
    if (!node->pick_count) {
        return;
    }
    if (!node->picks[0].name) {
        add_text(to, "data", node->picks[0].at);
        return;
    }
    key_of(to, "data");
    marty__buffer_byte(to, '{');
    for (size_t i = 0; i < node->pick_count; i++) {
        add_text(to, node->picks[i].name, node->picks[i].at);
    }
    marty__buffer_byte(to, '}');
}

static void add_tests(marty__buffer *to, const char *key, const marty__saga_node *node)
{
    static const char *const compares[] = {NULL,   "exists",  "exists",  "equals",  "differs",
                                           "less", "at_most", "greater", "at_least"};
    if (!node->test_count) {
        return;
    }
    key_of(to, key);
    marty__buffer_byte(to, '[');
    for (size_t i = 0; i < node->test_count; i++) {
        const marty_saga_test *test = &node->tests[i];
        marty__buffer_text(to, i ? ",{" : "{");
        add_text(to, "at", test->at);
        if (test->compare <= MARTY_SAGA_MISSING) {
            key_of(to, "exists");
            marty__buffer_text(to, test->compare == MARTY_SAGA_EXISTS ? "true" : "false");
        } else {
            add_text(to, compares[test->compare], test->value);
        }
        marty__buffer_byte(to, '}');
    }
    marty__buffer_byte(to, ']');
}

static void add_called(marty__buffer *to, const marty__saga_node *node)
{
    static const char *const kinds[] = {"compensatable", "read_only", "pivot", "retriable"};
    static const char *const doubts[] = {"retry", "probe", "compensate", "hold"};
    const char *word = node->kind == MARTY__SAGA_COMMAND ? "command"
                       : node->kind == MARTY__SAGA_LOCAL ? "local"
                                                         : "saga";
    add_text(to, "service", node->forward.service);
    add_text(to, word, node->forward.type);
    add_number(to, "saga_version", node->child_version);
    add_true(to, "outside", node->kind == MARTY__SAGA_LOCAL && !node->forward.in_transaction);
    add_text(to, "kind", kinds[node->step]);
    if (node->kind != MARTY__SAGA_CHILD) {
        add_text(to, "in_doubt", doubts[node->in_doubt]);
    }
    add_true(to, "at_most_once", node->at_most_once);
    add_call(to, &node->forward);
    add_data(to, node);
    if (node->has_undo) {
        key_of(to, "compensate");
        marty__buffer_byte(to, '{');
        add_text(to, "service", node->undo.service);
        if (node->kind != MARTY__SAGA_CHILD) {
            add_text(to, word, node->undo.type);
        }
        add_call(to, &node->undo);
        marty__buffer_byte(to, '}');
    }
}

static void add_bodies(const marty__saga_definition *definition, const marty__saga_node *group,
                       bool cases, marty__buffer *to)
{
    marty__buffer_byte(to, '[');
    for (uint16_t at = group->first; at != MARTY__SAGA_NONE; at = definition->nodes[at].next) {
        marty__buffer_text(to, at == group->first ? "" : ",");
        if (cases) {
            marty__buffer_byte(to, '{');
            add_tests(to, "when", &definition->nodes[at]);
            key_of(to, "steps");
        }
        add_steps(definition, &definition->nodes[at], to);
        marty__buffer_text(to, cases ? "}" : "");
    }
    marty__buffer_byte(to, ']');
}

static void add_group(const marty__saga_definition *definition, const marty__saga_node *node,
                      marty__buffer *to)
{
    bool group = node->kind == MARTY__SAGA_PARALLEL || node->kind == MARTY__SAGA_MAP;
    if (node->kind == MARTY__SAGA_CHOICE) {
        key_of(to, "choice");
        add_bodies(definition, node, true, to);
        return;
    }
    key_of(to, node->kind == MARTY__SAGA_LOOP  ? "repeat"
               : node->kind == MARTY__SAGA_MAP ? "each"
                                               : "parallel");
    marty__buffer_byte(to, '{');
    add_text(to, "items", node->items);
    add_number(to, "cap", node->cap);
    add_number(to, "at_once", node->at_once);
    add_tests(to, node->until ? "until" : "while", node);
    add_number(to, "join", node->join);
    add_text(to, "on_refusal", !group ? NULL : node->cut ? "cut" : "settle");
    if (node->kind == MARTY__SAGA_PARALLEL) {
        key_of(to, "branches");
        add_bodies(definition, node, false, to);
    } else {
        key_of(to, "steps");
        add_steps(definition, &definition->nodes[node->first], to);
    }
    marty__buffer_byte(to, '}');
}

static void add_steps(const marty__saga_definition *definition, const marty__saga_node *sequence,
                      marty__buffer *to)
{
    marty__buffer_byte(to, '[');
    for (uint16_t at = sequence->first; at != MARTY__SAGA_NONE; at = definition->nodes[at].next) {
        const marty__saga_node *node = &definition->nodes[at];
        marty__buffer_text(to, at == sequence->first ? "{" : ",{");
        add_text(to, "name", node->name);
        if (node->kind == MARTY__SAGA_TIMER) {
            add_ms(to, "timer", node->wait_ms);
        } else if (node->kind == MARTY__SAGA_SIGNAL) {
            add_text(to, "signal", node->signal);
            add_ms(to, "ttl", node->wait_ms);
        } else if (marty__saga_is_leaf(node)) {
            add_called(to, node);
        } else {
            add_group(definition, node, to);
        }
        marty__buffer_byte(to, '}');
    }
    marty__buffer_byte(to, ']');
}

bool marty__saga_definition_hash(marty__saga_definition *definition)
{
    marty__buffer json = {0};
    marty__buffer_byte(&json, '{');
    add_text(&json, "saga", definition->name);
    add_number(&json, "version", definition->version);
    add_ms(&json, "deadline", definition->deadline_ms);
    add_true(&json, "undo_completed", definition->undo_completed);
    add_text(&json, "undo_order", definition->strict_undo ? "strict" : "dependency");
    add_true(&json, "events", definition->events);
    key_of(&json, "steps");
    add_steps(definition, &definition->nodes[0], &json);
    marty__buffer_byte(&json, '}');
    definition->json =
        json.failed ? NULL : marty__arena_text(&definition->arena, json.data, json.size);
    definition->json_size = json.size;
    if (definition->json) {
        marty__sha256 hash;
        marty__sha256_begin(&hash);
        marty__sha256_add(&hash, json.data, json.size);
        marty__sha256_end(&hash, definition->hash);
    }
    marty__buffer_free(&json);
    return definition->json != NULL;
}
