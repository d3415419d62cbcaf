/* SPDX-License-Identifier: Apache-2.0
 * marty_saga_lint and marty_saga_graph: a definition looked at, not run. */
#include "definition.h"
#include "inside.h"

#include "base/hash.h"

#include <marty/saga_tools.h>

marty_err marty__saga_report(marty_message **ret, marty__buffer *text, const char *type,
                             marty_error *why)
{
    marty_err err = MARTY_OK;
    if (text->failed) {
        err = marty_error_set(why, MARTY_E_NO_MEMORY, "%s: out of memory", type);
    } else {
        const marty_message report = {
            .type = type, .source = "marty", .data = {text->data ? text->data : "", text->size}};
        err = marty_message_new(ret, &report, NULL, why);
    }
    marty__buffer_free(text);
    return err;
}

/* ---- lint */
static void add_finding(const marty__saga_definition *definition,
                        const marty__saga_finding *finding, marty__buffer *to)
{
    const char *step = definition->nodes[finding->node].name;
    marty__buffer_format(to, "{\"error\":%s,\"code\":\"%s\",\"line\":%u,\"step\":",
                         finding->error ? "true" : "false", finding->code, finding->line);
    marty__buffer_json(to, step ? step : "", step ? strlen(step) : 0);
    marty__buffer_text(to, ",\"text\":");
    marty__buffer_json(to, finding->text, strlen(finding->text));
    marty__buffer_byte(to, '}');
}

static void add_report(const marty__saga_definition *definition, const marty__saga_finding *first,
                       marty__buffer *to)
{
    unsigned errors = 0;
    for (const marty__saga_finding *at = first; at; at = at->next) {
        errors += at->error;
    }
    char hash[2 * sizeof definition->hash + 1];
    marty__hex(hash, definition->hash, sizeof definition->hash);
    marty__buffer_format(to, "{\"saga\":\"%s\",\"version\":%u,\"hash\":\"%s\"", definition->name,
                         definition->version, hash);
    marty__buffer_format(to, ",\"errors\":%u,\"findings\":[", errors);
    for (const marty__saga_finding *at = first; at; at = at->next) {
        marty__buffer_text(to, at == first ? "" : ",");
        add_finding(definition, at, to);
    }
    marty__buffer_text(to, "],\"canonical\":");
    marty__buffer_add(to, definition->json, definition->json_size);
    marty__buffer_byte(to, '}');
}

marty_err marty_saga_lint(const char *file, marty_bytes text, marty_message **ret_report,
                          marty_error *why)
{
    marty__saga_definition *definition = NULL;
    const marty__saga_finding *found = NULL;
    marty__arena arena = {0};
    marty__buffer report = {0};
    marty_err err = marty__saga_definition_read(&definition, file, text.data, text.size, why);
    err = err ? err : marty__saga_lint(definition, &arena, &found, why);
    if (!err) {
        add_report(definition, found, &report);
        err = marty__saga_report(ret_report, &report, "marty.saga.lint", why);
    }
    marty__arena_free(&arena);
    marty__saga_definition_free(definition);
    return err;
}

/* ---- graphs */
typedef struct painter {
    const marty__saga_definition *definition;
    marty__buffer *to;
    bool dot;
} painter;

/* From which nodes the next step is reached; up to a whole saga of them. */
typedef struct fringe {
    uint16_t from[MARTY__SAGA_NODES_MAX];
    size_t count;
} fringe;

static void paint_sequence(const painter *p, const marty__saga_node *sequence, fringe *last);

static void add_edge(const painter *p, uint16_t from, uint16_t to)
{
    marty__buffer_format(p->to, p->dot ? "  n%u -> n%u;\n" : "  n%u --> n%u\n", from, to);
}

static void join_fringe(const painter *p, fringe *last, uint16_t to)
{
    for (size_t i = 0; i < last->count; i++) {
        add_edge(p, last->from[i], to);
    }
    last->from[0] = to;
    last->count = 1;
}

static const char *kind_word(const marty__saga_node *node)
{
    static const char *const steps[] = {"", "read only", "pivot", "retriable"};
    switch (node->kind) {
    case MARTY__SAGA_PARALLEL:
        return "parallel";
    case MARTY__SAGA_CHOICE:
        return "choice";
    case MARTY__SAGA_LOOP:
        return "repeat";
    case MARTY__SAGA_MAP:
        return "each";
    case MARTY__SAGA_TIMER:
        return "timer";
    case MARTY__SAGA_SIGNAL:
        return "signal";
    case MARTY__SAGA_CHILD:
        return "child saga";
    case MARTY__SAGA_SEQUENCE:
        return "start";
    case MARTY__SAGA_COMMAND:
    case MARTY__SAGA_LOCAL:
        break;
    }
    return steps[node->step];
}

static void add_box(const painter *p, const marty__saga_node *node)
{
    bool group = !marty__saga_is_leaf(node), pivot = node->step == MARTY_STEP_PIVOT && !group;
    const char *name = node->name ? node->name : p->definition->name, *kind = kind_word(node);
    const char *more = *kind ? p->dot ? "\\n" : "<br/>" : "";
    if (p->dot) {
        marty__buffer_format(p->to, "  n%u [label=\"%s%s%s\", shape=%s];\n", node->index, name,
                             more, kind,
                             group   ? "hexagon"
                             : pivot ? "doubleoctagon"
                                     : "box");
    } else {
        marty__buffer_format(p->to, "  n%u%s\"%s%s%s\"%s\n", node->index,
                             group   ? "{{"
                             : pivot ? "[["
                                     : "[",
                             name, more, kind,
                             group   ? "}}"
                             : pivot ? "]]"
                                     : "]");
    }
    if (!group && node->has_undo) {
        marty__buffer_format(p->to,
                             p->dot ? "  u%u [label=\"%s\", shape=box, style=dashed];\n"
                                      "  n%u -> u%u [style=dashed, arrowhead=none];\n"
                                    : "  u%u([\"%s\"])\n  n%u -.- u%u\n",
                             node->index, node->undo.type, node->index, node->index);
    }
}

static void paint_group(const painter *p, const marty__saga_node *node, fringe *last)
{
    fringe *all = marty_alloc_zero(1, sizeof *all), *one = marty_alloc_zero(1, sizeof *one);
    if (!all || !one) {
        p->to->failed = true;
    }
    bool may_pass = node->kind == MARTY__SAGA_CHOICE || node->kind == MARTY__SAGA_LOOP;
    for (uint16_t at = node->first; all && one && at != MARTY__SAGA_NONE;
         at = p->definition->nodes[at].next) {
        one->from[0] = node->index;
        one->count = 1;
        paint_sequence(p, &p->definition->nodes[at], one);
        for (size_t i = 0; i < one->count && all->count < MARTY__SAGA_NODES_MAX; i++) {
            all->from[all->count++] = one->from[i];
        }
        if (node->kind == MARTY__SAGA_LOOP) {
            join_fringe(p, one, node->index); /* back to the test */
            all->count = 0;
        }
    }
    if (all && may_pass && all->count < MARTY__SAGA_NODES_MAX) {
        all->from[all->count++] = node->index;
    }
    if (all) {
        *last = *all;
    }
    marty_free(all);
    marty_free(one);
}

static void paint_sequence(const painter *p, const marty__saga_node *sequence, fringe *last)
{
    for (uint16_t at = sequence->first; at != MARTY__SAGA_NONE && !p->to->failed;
         at = p->definition->nodes[at].next) {
        const marty__saga_node *node = &p->definition->nodes[at];
        add_box(p, node);
        join_fringe(p, last, at);
        if (!marty__saga_is_leaf(node)) {
            paint_group(p, node, last);
        }
    }
}

static void paint(const painter *p)
{
    fringe *last = marty_alloc_zero(1, sizeof *last);
    if (!last) {
        p->to->failed = true;
        return;
    }
    marty__buffer_text(p->to, p->dot ? "digraph saga {\n  rankdir=LR;\n" : "flowchart LR\n");
    add_box(p, &p->definition->nodes[0]);
    last->count = 1;
    paint_sequence(p, &p->definition->nodes[0], last);
    marty__buffer_text(p->to, p->dot ? "}\n" : "");
    marty_free(last);
}

marty_err marty_saga_graph(const char *file, marty_bytes text, const char *format,
                           marty_message **ret_report, marty_error *why)
{
    marty__saga_definition *definition = NULL;
    marty__buffer picture = {0};
    if (strcmp(format, "dot") != 0 && strcmp(format, "mermaid") != 0) {
        return marty_error_set(why, MARTY_E_ARGUMENT,
                               "a graph is drawn as \"dot\" or \"mermaid\", not as \"%.40s\"",
                               format);
    }
    marty_err err = marty__saga_definition_read(&definition, file, text.data, text.size, why);
    if (err) {
        return err;
    }
    const painter p = {definition, &picture, strcmp(format, "dot") == 0};
    paint(&p);
    marty__saga_definition_free(definition);
    return marty__saga_report(ret_report, &picture, "marty.saga.graph", why);
}
