/* SPDX-License-Identifier: Apache-2.0
 * What a step may know: the saga's input, and the results of whatever surely precedes it (the same
 * order that undoing follows backwards). Steps of a map are seen from outside as an array, one
 * object per item, under the map's name; of a loop the latest round counts. */
#include "inside.h"
#include "message/json_scan.h"

typedef struct writer {
    inside *in;
    marty__buffer *to;
    uint32_t *seen; /* per node: the stamp under which it was written */
    uint32_t stamp, stamps;
    bool first;
} writer;

static void add_subtree(writer *w, uint32_t slot);

static void add_name(writer *w, const char *name)
{
    if (!w->first) {
        marty__buffer_byte(w->to, ',');
    }
    w->first = false;
    marty__buffer_json(w->to, name, strlen(name));
    marty__buffer_byte(w->to, ':');
}

static void add_json(marty__buffer *to, marty_bytes json)
{
    if (json.size) {
        marty__buffer_add(to, json.data, json.size);
    } else {
        marty__buffer_text(to, "null");
    }
}

static void add_children(writer *w, uint32_t slot)
{
    for (uint32_t child = marty__saga_slot_at(w->in, slot)->last; child;
         child = marty__saga_slot_at(w->in, child)->before) {
        add_subtree(w, child);
    }
}

static void add_map(writer *w, uint32_t slot)
{
    const marty__saga_slot *map = marty__saga_slot_at(w->in, slot);
    uint32_t *items = marty__arena_alloc(&w->in->arena, (map->count + 1) * sizeof *items);
    if (!items) {
        (void)marty__saga_fail(w->in, MARTY_E_NO_MEMORY, "out of memory");
        return;
    }
    for (uint32_t child = map->last; child; child = marty__saga_slot_at(w->in, child)->before) {
        items[marty__saga_slot_at(w->in, child)->iteration] = child;
    }
    uint32_t outer = w->stamp;
    add_name(w, marty__saga_node_at(w->in, slot)->name);
    marty__buffer_byte(w->to, '[');
    for (uint32_t i = 0; i < map->count; i++) {
        marty__buffer_text(w->to, i ? ",{" : "{");
        w->stamp = ++w->stamps;
        w->first = true;
        if (items[i]) {
            add_subtree(w, items[i]);
        }
        marty__buffer_byte(w->to, '}');
    }
    marty__buffer_byte(w->to, ']');
    w->stamp = outer;
    w->first = false;
}

static void add_subtree(writer *w, uint32_t slot)
{
    const marty__saga_slot *at = marty__saga_slot_at(w->in, slot);
    const marty__saga_node *node = marty__saga_node_at(w->in, slot);
    if (node->kind == MARTY__SAGA_MAP || marty__saga_is_leaf(node)) {
        if (w->seen[node->index] == w->stamp) {
            return; /* a later round has it */
        }
        w->seen[node->index] = w->stamp;
    }
    if (node->kind == MARTY__SAGA_MAP) {
        add_map(w, slot);
    } else if (!marty__saga_is_leaf(node)) {
        add_children(w, slot);
    } else if (at->flags & MARTY__SAGA_KNOWN) {
        add_name(w, node->name);
        add_json(w->to, at->result);
    }
}

void marty__saga_results(inside *in, uint32_t slot, marty__buffer *to)
{
    writer w = {.in = in, .to = to, .stamp = 1, .stamps = 1, .first = true};
    w.seen = marty__arena_alloc(&in->arena, in->definition->node_count * sizeof *w.seen);
    if (!w.seen) {
        (void)marty__saga_fail(in, MARTY_E_NO_MEMORY, "out of memory");
        return;
    }
    marty__buffer_byte(to, '{');
    marty__saga_node_kind own = marty__saga_node_at(in, slot)->kind;
    if (own == MARTY__SAGA_LOOP || own == MARTY__SAGA_SEQUENCE) {
        add_children(&w, slot);
    }
    for (uint32_t at = slot; at != 0; at = marty__saga_slot_at(in, at)->parent) {
        marty__saga_node_kind above =
            marty__saga_node_at(in, marty__saga_slot_at(in, at)->parent)->kind;
        if (above != MARTY__SAGA_SEQUENCE && above != MARTY__SAGA_LOOP) {
            continue;
        }
        for (uint32_t before = marty__saga_slot_at(in, at)->before; before;
             before = marty__saga_slot_at(in, before)->before) {
            add_subtree(&w, before);
        }
    }
    marty__buffer_byte(to, '}');
}

/* ---- the items of maps */
static bool find_items(inside *in, uint32_t map, marty_bytes *ret_array)
{
    marty__buffer context = {0};
    marty_bytes found;
    marty__saga_context(in, map, &context);
    bool there = !context.failed &&
                 marty__json_at((marty_bytes){context.data, context.size},
                                marty__saga_node_at(in, map)->items, &found) &&
                 found.size && *(const char *)found.data == '[';
    if (there) {
        *ret_array =
            (marty_bytes){marty__arena_text(&in->arena, found.data, found.size), found.size};
    }
    if (context.failed || in->arena.failed) {
        (void)marty__saga_fail(in, MARTY_E_NO_MEMORY, "out of memory");
    }
    marty__buffer_free(&context);
    return there && !in->err;
}

static marty_bytes whole(const marty__json_value *value)
{
    bool text = value->kind == MARTY__JSON_STRING;
    return (marty_bytes){value->at - (text ? 1 : 0), value->size + (text ? 2 : 0)};
}

/* The elements of a map's array, kept for this turn: a thousand items ask for them. */
static bool load_items(inside *in, uint32_t map)
{
    marty_bytes array;
    if (in->items_of == map && in->items) {
        return true;
    }
    if (!find_items(in, map, &array)) {
        return false;
    }
    marty__json_scan scan;
    marty__json_value each;
    size_t room = 1 + array.size / 2;
    in->items = marty__arena_alloc(&in->arena, room * sizeof *in->items);
    in->items_of = map;
    in->item_count = 0;
    marty__json_begin(&scan, array.data, array.size, false);
    if (!in->items) {
        (void)marty__saga_fail(in, MARTY_E_NO_MEMORY, "out of memory");
        return false;
    }
    if (marty__json_enter(&scan, '[')) {
        while (in->item_count < room &&
               marty__json_element(&scan, in->item_count == 0, &each, 0) > 0) {
            in->items[in->item_count++] = whole(&each);
        }
    }
    return true;
}

bool marty__saga_items(inside *in, uint32_t slot, uint64_t *ret_count)
{
    if (!load_items(in, slot)) {
        return false;
    }
    *ret_count = in->item_count;
    return true;
}

static void add_item(inside *in, uint32_t slot, marty__buffer *to)
{
    for (uint32_t at = slot; at != 0; at = marty__saga_slot_at(in, at)->parent) {
        uint32_t above = marty__saga_slot_at(in, at)->parent;
        if (marty__saga_node_at(in, above)->kind != MARTY__SAGA_MAP) {
            continue;
        }
        uint32_t index = marty__saga_slot_at(in, at)->iteration;
        if (load_items(in, above) && index < in->item_count) {
            marty__buffer_format(to, ",\"index\":%u,\"item\":", index);
            add_json(to, in->items[index]);
        }
        return;
    }
}

void marty__saga_context(inside *in, uint32_t slot, marty__buffer *to)
{
    marty__buffer_text(to, "{\"input\":");
    add_json(to, in->state.input);
    add_item(in, slot, to);
    marty__buffer_text(to, ",\"results\":");
    marty__saga_results(in, slot, to);
    marty__buffer_byte(to, '}');
}

bool marty__saga_tests(inside *in, uint32_t slot, const marty__saga_node *node)
{
    marty__buffer context = {0};
    if (!node->test_count) {
        return true;
    }
    marty__saga_context(in, slot, &context);
    bool holds = true;
    for (size_t i = 0; i < node->test_count && holds; i++) {
        holds = marty__saga_test_holds(&node->tests[i], (marty_bytes){context.data, context.size});
    }
    if (context.failed) {
        (void)marty__saga_fail(in, MARTY_E_NO_MEMORY, "out of memory");
    }
    marty__buffer_free(&context);
    return holds;
}

/* ---- the data of a command */
static void add_picked(const marty__saga_node *node, marty_bytes context, marty__buffer *to)
{
    bool lone = node->pick_count == 1 && !node->picks[0].name;
    for (size_t i = 0; i < node->pick_count; i++) {
        marty_bytes value = {NULL, 0};
        (void)marty__json_at(context, node->picks[i].at, &value);
        if (!lone) {
            marty__buffer_text(to, i ? "," : "{");
            marty__buffer_json(to, node->picks[i].name, strlen(node->picks[i].name));
            marty__buffer_byte(to, ':');
        }
        add_json(to, value);
    }
    if (!lone) {
        marty__buffer_byte(to, '}');
    }
}

/* What the forward did: its result, or that nobody knows (invariant 15). */
static void add_forward(inside *in, uint32_t slot, marty__buffer *to)
{
    uint8_t key[MARTY__SAGA_KEY_BYTES];
    char text[MARTY__SAGA_TEXT];
    const marty__saga_slot *at = marty__saga_slot_at(in, slot);
    marty__saga_op_key(key, in->state.id, marty__saga_path(in, slot), false,
                       at->forward.generation);
    marty__saga_key_text(text, key);
    bool known = MARTY__MUTANT(17, at->flags & MARTY__SAGA_KNOWN, true);
    marty__buffer_format(to, "\"forward\":{\"key\":\"%s\",\"outcome\":\"%s\"", text,
                         known ? "done" : "unknown");
    if (known) {
        marty__buffer_text(to, ",\"result\":");
        add_json(to, MARTY__MUTANT(29, at->result, ((marty_bytes){NULL, 0})));
    }
    marty__buffer_byte(to, '}');
}

static void add_data(inside *in, uint32_t slot, bool undo, marty__buffer *to)
{
    const marty__saga_node *node = marty__saga_node_at(in, slot);
    const marty__saga_slot *at = marty__saga_slot_at(in, slot);
    marty_bytes replaced = undo ? at->undo.input : at->forward.input;
    marty__buffer context = {0};
    (void)marty__buffer_reserve(&context, in->before_size + 256); /* mostly all that is needed */
    (void)marty__buffer_reserve(to, in->before_size + 256);
    marty__buffer_text(to, undo ? "{" : "");
    if (replaced.size || node->pick_count) {
        marty__buffer_text(to, undo ? "\"data\":" : "");
        if (!replaced.size) {
            marty__saga_context(in, slot, &context);
            add_picked(node, (marty_bytes){context.data, context.size}, to);
        } else {
            marty__buffer_add(to, replaced.data, replaced.size);
        }
        marty__buffer_text(to, undo ? "," : "");
    } else {
        marty__saga_context(in, slot, &context);
        marty__buffer_add(to, context.data ? context.data + undo : "",
                          context.size - 2 * (size_t)undo);
        marty__buffer_text(to, undo ? "," : "");
    }
    if (undo) {
        add_forward(in, slot, to);
        marty__buffer_byte(to, '}');
    }
    to->failed = to->failed || context.failed;
    marty__buffer_free(&context);
}

marty_bytes marty__saga_data(inside *in, uint32_t slot, bool undo)
{
    marty__buffer text = {0};
    add_data(in, slot, undo, &text);
    marty_bytes data = {text.failed ? NULL : marty__arena_text(&in->arena, text.data, text.size),
                        text.size};
    if (!data.data) {
        (void)marty__saga_fail(in, MARTY_E_NO_MEMORY, "out of memory");
        data.size = 0;
    }
    marty__buffer_free(&text);
    return data;
}
