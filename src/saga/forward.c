/* SPDX-License-Identifier: Apache-2.0
 * Forward: whatever may start has started, whatever is over has ended (row 33). Walks down the open
 * slots; each step of the walk emits, and looks again at what came of it. */
#include "inside.h"

static const marty_bytes none = {NULL, 0};
static void run(inside *in, uint32_t slot);

static bool may_start(const inside *in)
{
    return !in->err && in->state.phase == MARTY__SAGA_RUNNING &&
           !(in->state.flags &
             MARTY__MUTANT(10, (MARTY__SAGA_PAUSED | MARTY__SAGA_CANCEL), MARTY__SAGA_CANCEL)) &&
           !marty__saga_any_stuck(in);
}

static uint32_t open_slot(inside *in, uint16_t node, uint32_t parent, uint32_t iteration)
{
    uint32_t slot = in->state.slot_count;
    bool leaf = marty__saga_is_leaf(&in->definition->nodes[node]);
    marty__saga_emit(in, &(marty__saga_entry){.kind = MARTY__ENTRY_OPENED,
                                              .n = {node, parent, iteration, leaf}});
    return slot;
}

static bool over(const inside *in, uint32_t slot)
{
    marty__saga_status status = marty__saga_slot_at(in, slot)->status;
    return status == MARTY__SAGA_DONE || status == MARTY__SAGA_SKIPPED;
}

/* Whether that many rounds more of a body are allowed; else the group is over its limit. */
static bool has_room(inside *in, uint32_t slot, uint64_t rounds)
{
    const marty__saga_definition *definition = in->definition;
    size_t first = marty__saga_node_at(in, slot)->first, end = first + 1;
    while (end < definition->node_count &&
           definition->nodes[end].depth > definition->nodes[first].depth) {
        end++;
    }
    if (in->state.slot_count + rounds * (end - first) + definition->node_count <=
        MARTY__SAGA_SLOTS_MAX) {
        return true;
    }
    marty__saga_over_limit(in, slot, "too many steps in one saga");
    return false;
}

/* ---- leaves */
static bool take_kept(inside *in, uint32_t slot, const char *name)
{
    for (uint32_t i = 0; i < in->state.kept_count; i++) {
        marty__saga_kept kept = in->state.kept[i];
        if (kept.name.size != strlen(name) || memcmp(kept.name.data, name, kept.name.size) != 0 ||
            (kept.until_us && kept.until_us <= in->now_us)) {
            continue;
        }
        if (MARTY__MUTANT(23, true, false)) {
            marty__saga_emit(in, &(marty__saga_entry){.kind = MARTY__ENTRY_TAKEN, .n = {i}});
        }
        marty__saga_done(in, slot, kept.data);
        return true;
    }
    return false;
}

static void start_leaf(inside *in, uint32_t slot)
{
    const marty__saga_node *node = marty__saga_node_at(in, slot);
    const marty__saga_op *op = &marty__saga_slot_at(in, slot)->forward;
    bool over = MARTY__MUTANT(30, in->now_us >= marty__saga_total_us(op, &node->forward), false);
    if (!marty__saga_is_wait(node) && over) {
        marty__saga_refused(in, slot, "over its time"); /* it was not done, and then held back */
    } else if (!marty__saga_is_wait(node)) {
        marty__saga_send_forward(in, slot);
    } else if (node->kind == MARTY__SAGA_TIMER || !take_kept(in, slot, node->signal)) {
        marty__saga_emit_status(in, slot, MARTY__SAGA_CALLING, none);
        marty__saga_emit_timer(in, slot, MARTY__SAGA_TIMER_MAIN,
                               marty__saga_after(in, node->wait_ms));
    }
}

/* ---- sequences, choices, loops */
static void run_sequence(inside *in, uint32_t slot)
{
    while (may_start(in)) {
        uint32_t last = marty__saga_slot_at(in, slot)->last;
        if (last && !over(in, last)) {
            run(in, last);
            if (!may_start(in) || !over(in, last)) {
                return;
            }
        }
        uint16_t next =
            last ? marty__saga_node_at(in, last)->next : marty__saga_node_at(in, slot)->first;
        if (next == MARTY__SAGA_NONE) {
            marty__saga_emit_status(in, slot, MARTY__SAGA_DONE, none);
            return;
        }
        run(in, open_slot(in, next, slot, 0));
    }
}

static void run_choice(inside *in, uint32_t slot)
{
    if (!marty__saga_slot_at(in, slot)->count) {
        uint32_t number = 1;
        uint16_t node = marty__saga_node_at(in, slot)->first;
        while (node != MARTY__SAGA_NONE &&
               !marty__saga_tests(in, slot, &in->definition->nodes[node])) {
            node = in->definition->nodes[node].next;
            number++;
        }
        marty__saga_emit_slot(in, MARTY__ENTRY_COUNT, slot, number, none);
        if (node != MARTY__SAGA_NONE && !in->err) {
            (void)open_slot(in, node, slot, 0);
        }
    }
    uint32_t taken = in->err ? 0 : marty__saga_slot_at(in, slot)->last;
    if (taken) {
        run(in, taken);
    }
    if (may_start(in) && (!taken || over(in, taken))) {
        marty__saga_emit_status(in, slot, MARTY__SAGA_DONE, none);
    }
}

static void run_loop(inside *in, uint32_t slot)
{
    const marty__saga_node *node = marty__saga_node_at(in, slot);
    while (may_start(in)) {
        uint32_t last = marty__saga_slot_at(in, slot)->last;
        if (last) {
            run(in, last);
            if (!may_start(in) || !over(in, last)) {
                return;
            }
        }
        uint32_t count = marty__saga_slot_at(in, slot)->count;
        if (count || !node->until) { /* an until-loop runs once before it is tested */
            bool holds = marty__saga_tests(in, slot, node);
            if (in->err) {
                return;
            }
            if (holds == node->until) {
                marty__saga_emit_status(in, slot, MARTY__SAGA_DONE, none);
                return;
            }
        }
        if (count >= node->cap) {
            marty__saga_over_limit(in, slot, "the loop has had its most rounds");
            return;
        }
        if (!has_room(in, slot, 1)) {
            return;
        }
        marty__saga_emit_slot(in, MARTY__ENTRY_COUNT, slot, count + 1, none);
        (void)open_slot(in, node->first, slot, count);
    }
}

/* ---- groups */
typedef struct tally {
    uint32_t done, failed, open, opened;
} tally;

static tally count_children(const inside *in, uint32_t slot)
{
    tally t = {0};
    for (uint32_t child = marty__saga_slot_at(in, slot)->last; child;
         child = marty__saga_slot_at(in, child)->before) {
        marty__saga_status status = marty__saga_slot_at(in, child)->status;
        t.opened++;
        t.done += status == MARTY__SAGA_DONE;
        t.failed += status == MARTY__SAGA_REJECTED;
        t.open += status == MARTY__SAGA_OPEN;
    }
    return t;
}

/* Enough have succeeded, or nothing more can: what is in flight becomes definite, nothing starts
 * (invariant 10), and then the group is done. */
static void wind_up(inside *in, uint32_t slot)
{
    marty__saga_close_quiet(in, slot, "not needed any more");
    for (uint32_t i = slot + 1; i < in->state.slot_count; i++) {
        if (marty__saga_in_flight(marty__saga_slot_at(in, i)) && marty__saga_within(in, i, slot)) {
            return;
        }
    }
    for (uint32_t child = marty__saga_slot_at(in, slot)->last; child;
         child = marty__saga_slot_at(in, child)->before) {
        if (marty__saga_slot_at(in, child)->status == MARTY__SAGA_OPEN) {
            marty__saga_emit_status(in, child, MARTY__SAGA_SKIPPED, none);
        }
    }
    marty__saga_emit_status(in, slot, MARTY__SAGA_DONE, none);
}

/* How many branches or items; false: the group is at its end already. */
static bool begin_group(inside *in, uint32_t slot)
{
    const marty__saga_node *node = marty__saga_node_at(in, slot);
    uint64_t total = 0;
    if (node->kind == MARTY__SAGA_MAP) {
        if (!marty__saga_items(in, slot, &total)) {
            if (!in->err) {
                marty__saga_over_limit(in, slot, "there is no array where the items should be");
            }
            return false;
        }
        if (total > node->cap || node->join > total) {
            marty__saga_over_limit(in, slot,
                                   total > node->cap ? "more items than the cap allows"
                                                     : "fewer items than must succeed");
            return false;
        }
        if (total && !has_room(in, slot, total)) {
            return false;
        }
    } else {
        for (uint16_t at = node->first; at != MARTY__SAGA_NONE;
             at = in->definition->nodes[at].next) {
            total++;
        }
    }
    if (!total) {
        marty__saga_emit_status(in, slot, MARTY__SAGA_DONE, none);
        return false;
    }
    marty__saga_emit_slot(in, MARTY__ENTRY_COUNT, slot, total, none);
    return !in->err;
}

static void run_branches(inside *in, uint32_t slot, const tally *before)
{
    const marty__saga_node *node = marty__saga_node_at(in, slot);
    uint32_t *open = marty__arena_alloc(&in->arena, (before->open + 1) * sizeof *open);
    uint32_t count = 0;
    if (!open) {
        (void)marty__saga_fail(in, MARTY_E_NO_MEMORY, "out of memory");
        return;
    }
    for (uint32_t child = marty__saga_slot_at(in, slot)->last; child;
         child = marty__saga_slot_at(in, child)->before) {
        if (marty__saga_slot_at(in, child)->status == MARTY__SAGA_OPEN) {
            open[count++] = child;
        }
    }
    while (count > 0 && may_start(in)) {
        run(in, open[--count]);
    }
    uint16_t next = node->first;
    for (uint32_t i = 0; i < before->opened && node->kind == MARTY__SAGA_PARALLEL; i++) {
        next = in->definition->nodes[next].next;
    }
    uint32_t total = marty__saga_slot_at(in, slot)->count;
    for (uint32_t i = before->opened; i < total && may_start(in); i++) {
        if (node->at_once && count_children(in, slot).open >= node->at_once) {
            return;
        }
        uint32_t branch = open_slot(in, next, slot, node->kind == MARTY__SAGA_MAP ? i : 0);
        if (!in->err) {
            run(in, branch);
        }
        next = node->kind == MARTY__SAGA_PARALLEL ? in->definition->nodes[next].next : next;
    }
}

static void run_group(inside *in, uint32_t slot)
{
    if (!marty__saga_slot_at(in, slot)->count && !begin_group(in, slot)) {
        return;
    }
    uint32_t total = marty__saga_slot_at(in, slot)->count;
    uint32_t need = marty__saga_node_at(in, slot)->join;
    need = need ? need : total;
    tally before = count_children(in, slot);
    if (before.done < need) {
        run_branches(in, slot, &before);
    }
    if (may_start(in) && marty__saga_slot_at(in, slot)->status == MARTY__SAGA_OPEN) {
        tally after = count_children(in, slot);
        if (after.done >= MARTY__MUTANT(11, need, 1u)) {
            wind_up(in, slot);
        }
    }
}

static void run(inside *in, uint32_t slot)
{
    const marty__saga_slot *at = marty__saga_slot_at(in, slot);
    if (in->err || (at->status != MARTY__SAGA_OPEN && at->status != MARTY__SAGA_IDLE)) {
        return;
    }
    switch (marty__saga_node_at(in, slot)->kind) {
    case MARTY__SAGA_SEQUENCE:
        run_sequence(in, slot);
        break;
    case MARTY__SAGA_CHOICE:
        run_choice(in, slot);
        break;
    case MARTY__SAGA_LOOP:
        run_loop(in, slot);
        break;
    case MARTY__SAGA_PARALLEL:
    case MARTY__SAGA_MAP:
        run_group(in, slot);
        break;
    case MARTY__SAGA_COMMAND:
    case MARTY__SAGA_LOCAL:
    case MARTY__SAGA_CHILD:
    case MARTY__SAGA_TIMER:
    case MARTY__SAGA_SIGNAL:
        start_leaf(in, slot);
        break;
    }
}

static bool any_unsettled(const inside *in)
{
    for (uint32_t i = 0; i < in->state.slot_count; i++) {
        if (marty__saga_unsettled(marty__saga_slot_at(in, i))) {
            return true;
        }
    }
    return false;
}

void marty__saga_advance(inside *in)
{
    if (in->err || marty__saga_ended(&in->state)) {
        return;
    }
    if (may_start(in)) {
        if (!in->state.slot_count) {
            (void)open_slot(in, 0, 0, 0);
        }
        if (!in->err) {
            run(in, 0);
        }
        if (may_start(in) && over(in, 0)) {
            marty__saga_finish(in, MARTY__SAGA_COMPLETED, NULL);
        }
    } else if (in->state.phase == MARTY__SAGA_RUNNING && marty__saga_flag(in, MARTY__SAGA_CANCEL) &&
               !MARTY__MUTANT(12, any_unsettled(in), false)) {
        marty__saga_compensate(in, "cancelled");
    }
    if (!in->err && in->state.phase == MARTY__SAGA_COMPENSATING) {
        marty__saga_undo(in);
    }
}
