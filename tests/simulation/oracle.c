/* SPDX-License-Identifier: Apache-2.0
 * The invariants of the specification (docs/design/0012-saga-machine.md lists them by number), as
 * far as they can be seen from outside of the machine. The oracle folds the history by itself, one
 * entry at a time, and judges each entry by the state just before it; it shares with the machine
 * only what an entry does to a state, and no rule. */
#include "sim.h"

#include <stdio.h>

typedef struct view {
    sim *s;
    sim_saga *saga;
    marty__saga_state *state;
    const marty__saga_definition *definition;
    const marty__saga_event *event;
} view;

static const marty__saga_node *node_of(const view *v, uint32_t slot)
{
    return &v->definition->nodes[v->state->slots[slot].node];
}

static const char *path_of(const view *v, uint32_t slot)
{
    return marty__saga_path_in(&v->s->arena, v->definition, v->state, slot);
}

static bool is(marty__saga_status status, unsigned set)
{
    return (1u << status) & set;
}
#define BIT(word) (1u << MARTY__SAGA_##word)
static const unsigned in_flight = BIT(CALLING) | BIT(BACKOFF) | BIT(IN_DOUBT);
static const unsigned undoing = BIT(UNDOING) | BIT(UNDO_BACKOFF) | BIT(UNDO_STUCK);

/* ---- order: whether y was reached because x was over */
static uint32_t chain(const view *v, uint32_t slot, uint32_t to[64])
{
    uint32_t count = 0;
    for (uint32_t at = slot; count < 64; at = v->state->slots[at].parent) {
        to[count++] = at;
        if (at == 0) {
            break;
        }
    }
    return count;
}

static bool depends(const view *v, uint32_t y, uint32_t x)
{
    uint32_t ys[64], xs[64];
    uint32_t y_count = chain(v, y, ys), x_count = chain(v, x, xs);
    while (y_count > 1 && x_count > 1 && ys[y_count - 2] == xs[x_count - 2]) {
        y_count--;
        x_count--;
    }
    if (y_count < 2 || x_count < 2) {
        return false;
    }
    marty__saga_node_kind kind = node_of(v, ys[y_count - 1])->kind;
    return (kind == MARTY__SAGA_SEQUENCE || kind == MARTY__SAGA_LOOP) &&
           xs[x_count - 2] < ys[y_count - 2];
}

/* ---- dispatching (6, 7, 11, 12, 13, 14, 19) */
static void check_first_forward(const view *v, uint32_t slot)
{
    if (v->state->phase != MARTY__SAGA_RUNNING) {
        sim_wrong(v->s, v->saga, "12: %s called while it does not run", path_of(v, slot));
    }
    if (v->state->flags & (MARTY__SAGA_PAUSED | MARTY__SAGA_CANCEL)) {
        sim_wrong(v->s, v->saga, "6: %s called while paused or cancelled", path_of(v, slot));
    }
    for (uint32_t i = 0; i < v->state->slot_count; i++) {
        const marty__saga_slot *other = &v->state->slots[i];
        bool leaf = marty__saga_is_leaf(node_of(v, i));
        if (leaf && other->stuck) {
            sim_wrong(v->s, v->saga, "33: %s called while %s is stuck", path_of(v, slot),
                      path_of(v, i));
        }
        uint32_t group = i;
        while (group && node_of(v, group)->kind != MARTY__SAGA_PARALLEL &&
               node_of(v, group)->kind != MARTY__SAGA_MAP) {
            group = v->state->slots[group].parent;
        }
        bool borne = group && v->state->slots[group].status == MARTY__SAGA_DONE;
        if (leaf && depends(v, slot, i) && !is(other->status, BIT(DONE) | BIT(SKIPPED)) &&
            !(borne && is(other->status, BIT(REJECTED) | BIT(IDLE)))) {
            sim_wrong(v->s, v->saga, "6: %s called before %s is done", path_of(v, slot),
                      path_of(v, i));
        }
    }
}

static bool settles(const view *v, uint32_t slot)
{
    for (uint32_t at = slot; at; at = v->state->slots[at].parent) {
        const marty__saga_node *node = node_of(v, at);
        if (node->kind == MARTY__SAGA_PARALLEL || node->kind == MARTY__SAGA_MAP) {
            return !node->cut;
        }
    }
    return true;
}

static void check_first_undo(const view *v, uint32_t slot)
{
    const marty__saga_slot *own = &v->state->slots[slot];
    if (v->state->phase != MARTY__SAGA_COMPENSATING || v->state->flags & MARTY__SAGA_PAUSED) {
        sim_wrong(v->s, v->saga, "19: %s undone while it does not compensate", path_of(v, slot));
    }
    if (!is(own->status, BIT(DONE) | BIT(IN_DOUBT)) || own->forward.attempt == 0) {
        sim_wrong(v->s, v->saga, "7: %s undone while it is %s", path_of(v, slot),
                  marty__saga_status_word(own->status));
    }
    for (uint32_t i = 0; i < v->state->slot_count; i++) {
        const marty__saga_slot *other = &v->state->slots[i];
        if (!marty__saga_has_effect(node_of(v, i)) || i == slot) {
            continue;
        }
        bool handed = other->status == MARTY__SAGA_IN_DOUBT && other->flags & MARTY__SAGA_TO_UNDO;
        if (depends(v, i, slot) && is(other->status, in_flight | undoing | BIT(DONE))) {
            sim_wrong(v->s, v->saga, "11: %s undone before %s, which is %s", path_of(v, slot),
                      path_of(v, i), marty__saga_status_word(other->status));
        }
        if (is(other->status, in_flight) && !handed && !other->stuck && settles(v, i)) {
            sim_wrong(v->s, v->saga, "9.6: %s undone before %s has settled", path_of(v, slot),
                      path_of(v, i));
        }
        if (v->definition->strict_undo && is(other->status, undoing)) {
            sim_wrong(v->s, v->saga, "strict: %s undone beside %s", path_of(v, slot),
                      path_of(v, i));
        }
        if (v->definition->strict_undo && other->status == MARTY__SAGA_DONE &&
            own->status == MARTY__SAGA_DONE && other->done > own->done) {
            sim_wrong(v->s, v->saga, "strict: %s undone before the later %s", path_of(v, slot),
                      path_of(v, i));
        }
    }
}

/* 9.10: not so late that the participant may have forgotten what it said. */
static void check_horizon(const view *v, uint32_t slot, int64_t first_us)
{
    int64_t horizon_us = (int64_t)v->s->rules.horizon_ms * 1000;
    if (horizon_us && first_us && v->state->changed_us - first_us > horizon_us) {
        sim_wrong(v->s, v->saga, "9.10: %s asked again past the horizon", path_of(v, slot));
    }
}

/* No attempt begins when the time of all of them together is over, whatever their keys. */
static void check_total(const view *v, uint32_t slot, bool undo)
{
    const marty__saga_call *call = undo ? &node_of(v, slot)->undo : &node_of(v, slot)->forward;
    const marty__saga_op *op = undo ? &v->state->slots[slot].undo : &v->state->slots[slot].forward;
    int64_t since_us = op->since_us ? op->since_us : op->first_us;
    if (call->total_ms && since_us &&
        v->state->changed_us - since_us >= (int64_t)call->total_ms * 1000) {
        sim_wrong(v->s, v->saga, "9.6: %s tried after its total time", path_of(v, slot));
    }
}

static void check_sent(const view *v, const marty__saga_entry *entry)
{
    uint32_t slot = (uint32_t)entry->n[0];
    const marty__saga_slot *own = &v->state->slots[slot];
    const marty__saga_node *node = node_of(v, slot);
    if (v->state->flags & MARTY__SAGA_PAUSED) {
        sim_wrong(v->s, v->saga, "27: %s sent while paused", path_of(v, slot));
    }
    check_horizon(v, slot, entry->n[1] ? own->undo.first_us : own->forward.first_us);
    check_total(v, slot, entry->n[1] != 0);
    if (entry->n[1]) {
        if (!is(own->status, BIT(DONE) | BIT(IN_DOUBT) | BIT(UNDO_BACKOFF))) {
            sim_wrong(v->s, v->saga, "an undo of %s sent while it is %s", path_of(v, slot),
                      marty__saga_status_word(own->status));
        }
        if (own->undo.attempt == 0 && own->undo.generation == 0) {
            check_first_undo(v, slot);
        }
        return;
    }
    if (!is(own->status, BIT(IDLE) | BIT(BACKOFF))) {
        sim_wrong(v->s, v->saga, "%s called while it is %s", path_of(v, slot),
                  marty__saga_status_word(own->status));
    }
    if (own->forward.attempt == 0) {
        check_first_forward(v, slot);
    } else if (node->at_most_once && !(own->flags & MARTY__SAGA_FORCED)) {
        sim_wrong(v->s, v->saga, "9.10: %s called twice", path_of(v, slot));
    }
    if (own->undo.attempt) {
        sim_wrong(v->s, v->saga, "12: %s called after its undo", path_of(v, slot));
    }
}

/* ---- changes of one step */
static const unsigned may_become[MARTY__SAGA_OPEN + 1] = {
    [MARTY__SAGA_IDLE] = BIT(CALLING) | BIT(DONE) | BIT(REJECTED),
    [MARTY__SAGA_CALLING] =
        BIT(DONE) | BIT(REJECTED) | BIT(BACKOFF) | BIT(IN_DOUBT) | BIT(RESOLVED),
    [MARTY__SAGA_BACKOFF] = BIT(DONE) | BIT(REJECTED) | BIT(IN_DOUBT) | BIT(RESOLVED),
    [MARTY__SAGA_IN_DOUBT] = BIT(DONE) | BIT(REJECTED) | BIT(RESOLVED) | BIT(SKIPPED) |
                             BIT(WAIVED) | BIT(BACKOFF) | BIT(IN_DOUBT) | BIT(UNDO_STUCK),
    [MARTY__SAGA_DONE] = BIT(RESOLVED) | BIT(UNDO_STUCK),
    [MARTY__SAGA_REJECTED] = BIT(REJECTED) | BIT(SKIPPED) | BIT(DONE) | BIT(OPEN),
    [MARTY__SAGA_UNDOING] = BIT(UNDONE) | BIT(UNDO_BACKOFF) | BIT(UNDO_STUCK),
    [MARTY__SAGA_UNDO_BACKOFF] = BIT(UNDONE) | BIT(UNDO_STUCK),
    [MARTY__SAGA_UNDO_STUCK] = BIT(UNDONE) | BIT(UNDO_BACKOFF) | BIT(WAIVED),
    [MARTY__SAGA_OPEN] = BIT(DONE) | BIT(REJECTED) | BIT(SKIPPED),
};

static bool said(const view *v, unsigned replies)
{
    return v->event->kind == MARTY__SAGA_EVENT_REPLY && (1u << v->event->reply) & replies;
}

static void check_definite(const view *v, uint32_t slot, marty__saga_status to)
{
    const marty__saga_node *node = node_of(v, slot);
    const marty__saga_slot *own = &v->state->slots[slot];
    bool person = v->event->kind == MARTY__SAGA_EVENT_VERB;
    if (!marty__saga_has_effect(node) || !is(own->status, in_flight)) {
        return;
    }
    if ((to == MARTY__SAGA_REJECTED || to == MARTY__SAGA_RESOLVED) && !person &&
        !said(v, 1u << MARTY__SAGA_REFUSED | 1u << MARTY__SAGA_NOT_DONE)) {
        sim_wrong(v->s, v->saga, "9.6: %s counts as refused, and nobody said so", path_of(v, slot));
    }
    if (to == MARTY__SAGA_DONE && !person &&
        !said(v, 1u << MARTY__SAGA_OK | 1u << MARTY__SAGA_WAS_DONE)) {
        sim_wrong(v->s, v->saga, "5: %s counts as done, and nobody said so", path_of(v, slot));
    }
}

static void check_status(const view *v, const marty__saga_entry *entry)
{
    uint32_t slot = (uint32_t)entry->n[0];
    const marty__saga_slot *own = &v->state->slots[slot];
    marty__saga_status to = (marty__saga_status)entry->n[1];
    if (!is(to, may_become[own->status])) {
        sim_wrong(v->s, v->saga, "%s: from %s to %s", path_of(v, slot),
                  marty__saga_status_word(own->status), marty__saga_status_word(to));
    }
    check_definite(v, slot, to);
    if (to == MARTY__SAGA_DONE && node_of(v, slot)->kind == MARTY__SAGA_SIGNAL &&
        v->event->kind != MARTY__SAGA_EVENT_VERB && ++v->saga->taken > v->saga->signals) {
        sim_wrong(v->s, v->saga, "20: %u waits ended by %u signals", v->saga->taken,
                  v->saga->signals);
    }
    if (to == MARTY__SAGA_WAIVED && v->event->kind != MARTY__SAGA_EVENT_VERB) {
        sim_wrong(v->s, v->saga, "29: %s waived by nobody", path_of(v, slot));
    }
}

static void check_generation(const view *v, const marty__saga_entry *entry)
{
    uint32_t slot = (uint32_t)entry->n[0];
    const marty__saga_slot *own = &v->state->slots[slot];
    bool person = v->event->kind == MARTY__SAGA_EVENT_VERB;
    bool refused = said(v, 1u << MARTY__SAGA_REFUSED);
    if (entry->n[1]) {
        if (!person && !(refused && is(own->status, BIT(UNDOING) | BIT(UNDO_BACKOFF)))) {
            sim_wrong(v->s, v->saga, "9.1: a new key for the undo of %s", path_of(v, slot));
        }
        return;
    }
    bool sealed = said(v, 1u << MARTY__SAGA_NOT_DONE) || (refused && v->event->tombstone);
    if (v->state->phase != MARTY__SAGA_RUNNING || (!person && !sealed)) {
        sim_wrong(v->s, v->saga, "9.1: a new key for %s without a seal", path_of(v, slot));
    }
}

/* ---- the direction of the saga (9, 10, 12, 13, 14) */
static void check_turning_back(const view *v)
{
    bool person = v->event->kind == MARTY__SAGA_EVENT_VERB;
    bool reopened = v->state->phase == MARTY__SAGA_COMPLETED;
    bool parent =
        v->event->kind == MARTY__SAGA_EVENT_PARENT_UNDO || v->state->flags & MARTY__SAGA_UNDO_ASKED;
    if (reopened && (!v->definition->undo_completed || (!person && !parent))) {
        sim_wrong(v->s, v->saga, "5: undone after it had completed");
    }
    if (!reopened && v->state->flags & MARTY__SAGA_PIVOT_PASSED && !(person && v->event->forced)) {
        sim_wrong(v->s, v->saga, "13: it turns back after its pivot");
    }
    for (uint32_t i = 0; i < v->state->slot_count && !person; i++) {
        if (node_of(v, i)->step == MARTY_STEP_PIVOT && is(v->state->slots[i].status, in_flight)) {
            sim_wrong(v->s, v->saga, "14: it turns back while its pivot is %s",
                      marty__saga_status_word(v->state->slots[i].status));
        }
    }
}

static void check_completed(const view *v)
{
    for (uint32_t i = 0; i < v->state->slot_count; i++) {
        const marty__saga_slot *slot = &v->state->slots[i];
        if (marty__saga_is_leaf(node_of(v, i)) &&
            is(slot->status, in_flight | undoing | BIT(UNDONE) | BIT(RESOLVED) | BIT(WAIVED))) {
            sim_wrong(v->s, v->saga, "10: completed while %s is %s", path_of(v, i),
                      marty__saga_status_word(slot->status));
        }
        if (!marty__saga_is_leaf(node_of(v, i)) && slot->status == MARTY__SAGA_OPEN) {
            uint32_t at = i;
            while (at && v->state->slots[at].status != MARTY__SAGA_SKIPPED) {
                at = v->state->slots[at].parent;
            }
            if (!at) {
                sim_wrong(v->s, v->saga, "10: completed while slot %u is open", i);
            }
        }
        const marty__saga_node *node = node_of(v, i);
        bool group = node->kind == MARTY__SAGA_PARALLEL || node->kind == MARTY__SAGA_MAP;
        uint32_t done = 0, need = node->join ? node->join : slot->count;
        for (uint32_t j = 1; group && j < v->state->slot_count; j++) {
            done += v->state->slots[j].parent == i && v->state->slots[j].status == MARTY__SAGA_DONE;
        }
        if (group && slot->status == MARTY__SAGA_DONE && done < need) {
            sim_wrong(v->s, v->saga, "10: %u of %u branches of %s are done", done, need,
                      path_of(v, i));
        }
    }
    if (v->state->flags & MARTY__SAGA_CANCEL) {
        sim_wrong(v->s, v->saga, "16: completed while it is cancelled");
    }
}

static void check_compensated(const view *v)
{
    for (uint32_t i = 0; i < v->state->slot_count; i++) {
        const marty__saga_slot *slot = &v->state->slots[i];
        if (marty__saga_is_leaf(node_of(v, i)) &&
            is(slot->status, in_flight | undoing | BIT(DONE))) {
            sim_wrong(v->s, v->saga, "9: compensated while %s is %s", path_of(v, i),
                      marty__saga_status_word(slot->status));
        }
    }
}

static void check_phase(const view *v, const marty__saga_entry *entry)
{
    marty__saga_phase from = v->state->phase, to = (marty__saga_phase)entry->n[0];
    bool born_dead = v->state->flags & MARTY__SAGA_BORN_DEAD;
    bool fine = (from == MARTY__SAGA_RUNNING && to != MARTY__SAGA_COMPENSATED) ||
                (from == MARTY__SAGA_COMPENSATING &&
                 (to == MARTY__SAGA_COMPENSATED || to == MARTY__SAGA_ABANDONED)) ||
                (from == MARTY__SAGA_COMPLETED && to == MARTY__SAGA_COMPENSATING) ||
                (born_dead && to == MARTY__SAGA_COMPENSATED);
    if (!fine) {
        sim_wrong(v->s, v->saga, "12: from %s to %s", marty__saga_phase_word(from),
                  marty__saga_phase_word(to));
    }
    if (to == MARTY__SAGA_COMPENSATING) {
        check_turning_back(v);
    } else if (to == MARTY__SAGA_COMPLETED) {
        check_completed(v);
    } else if (to == MARTY__SAGA_COMPENSATED) {
        check_compensated(v);
    }
}

static void check_entry(const view *v, const marty__saga_entry *entry)
{
    switch ((unsigned)entry->kind) {
    case MARTY__ENTRY_SENT:
        check_sent(v, entry);
        break;
    case MARTY__ENTRY_STATUS:
        check_status(v, entry);
        break;
    case MARTY__ENTRY_PROBED:
        check_horizon(v, (uint32_t)entry->n[0], v->state->slots[entry->n[0]].forward.first_us);
        break;
    case MARTY__ENTRY_GENERATION:
        check_generation(v, entry);
        break;
    case MARTY__ENTRY_PHASE:
        check_phase(v, entry);
        break;
    case MARTY__ENTRY_BATCH:
        if (v->event->kind == MARTY__SAGA_EVENT_VERB && !entry->b[1].size) {
            sim_wrong(v->s, v->saga, "31: a person's act without a name");
        }
        break;
    default:
        break;
    }
}

/* ---- the state after a transition */
/* 25: whatever is under way has what will move it on. */
static void check_alive(const view *v)
{
    bool any = v->state->deadline.due_us != 0, moving = false;
    if (marty__saga_ended(v->state)) {
        return;
    }
    for (uint32_t i = 0; i < v->state->slot_count; i++) {
        const marty__saga_slot *slot = &v->state->slots[i];
        bool armed = slot->timers[MARTY__SAGA_TIMER_MAIN].due_us != 0;
        bool timed =
            is(slot->status, BIT(CALLING) | BIT(BACKOFF) | BIT(UNDOING) | BIT(UNDO_BACKOFF));
        if (timed && !armed) {
            sim_wrong(v->s, v->saga, "25: %s is %s without a timer", path_of(v, i),
                      marty__saga_status_word(slot->status));
        }
        if (slot->status == MARTY__SAGA_IN_DOUBT && !armed && !slot->stuck &&
            !(slot->flags & MARTY__SAGA_TO_UNDO)) {
            sim_wrong(v->s, v->saga, "25: %s is in doubt, and nothing will end it", path_of(v, i));
        }
        if (slot->status == MARTY__SAGA_UNDO_STUCK && !slot->stuck) {
            sim_wrong(v->s, v->saga, "29: the undo of %s was given up in silence", path_of(v, i));
        }
        moving = moving || timed || armed || slot->stuck;
    }
    (void)any;
    if (!moving && !(v->state->flags & MARTY__SAGA_PAUSED)) {
        sim_wrong(v->s, v->saga, "25: nothing moves it");
    }
}

static void check_due(const view *v)
{
    int64_t due_us = v->state->deadline.due_us;
    for (uint32_t i = 0; i < v->state->slot_count && !(v->state->flags & MARTY__SAGA_PAUSED); i++) {
        for (int which = 0; which < MARTY__SAGA_TIMERS; which++) {
            int64_t at_us = v->state->slots[i].timers[which].due_us;
            due_us = at_us && (!due_us || at_us < due_us) ? at_us : due_us;
        }
    }
    if (v->s->turn.due_us != (marty__saga_ended(v->state) ? 0 : due_us)) {
        sim_wrong(v->s, v->saga, "25: its due time is not its earliest timer");
    }
}

static void check_bytes(const view *v)
{
    marty__buffer bytes = {0};
    marty__saga_state again;
    marty__saga_state_write(v->state, &bytes);
    if (bytes.size != v->s->turn.state.size ||
        memcmp(bytes.data, v->s->turn.state.data, bytes.size) != 0) {
        sim_wrong(v->s, v->saga, "4: the history does not fold to the state");
    }
    marty__arena scratch = {0};
    if (marty__saga_state_read(&again, &scratch, v->s->turn.state, NULL)) {
        sim_wrong(v->s, v->saga, "4: its state cannot be read back");
    } else {
        marty__buffer_clear(&bytes);
        marty__saga_state_write(&again, &bytes);
        if (bytes.size != v->s->turn.state.size ||
            memcmp(bytes.data, v->s->turn.state.data, bytes.size) != 0) {
            sim_wrong(v->s, v->saga, "4: its state reads back as another");
        }
    }
    marty__arena_free(&scratch);
    marty__buffer_free(&bytes);
}

/* 17: the same once more changes nothing. PROGRESS may re-arm a heartbeat again. */
static void check_repeat(const view *v)
{
    sim *s = v->s;
    marty_error why;
    if (v->event->kind == MARTY__SAGA_EVENT_REPLY && v->event->reply == MARTY__SAGA_PROGRESS) {
        return;
    }
    marty_err err = marty__saga_decide(v->definition, &s->rules, s->turn.state, v->event,
                                       v->state->changed_us, &s->again, &why);
    if (!err && s->again.changed) {
        sim_wrong(s, v->saga, "17: the same event changes it twice");
        if (s->verbose) {
            marty__buffer json = {0};
            marty__saga_history_json(v->definition, s->again.history, &json, NULL);
            sim_tell(s, "%s", json.data);
            marty__buffer_free(&json);
        }
    }
}

static void check_timeless(const view *v, marty__saga_phase before)
{
    bool reopens = before == MARTY__SAGA_COMPLETED && v->state->flags & MARTY__SAGA_REOPENED;
    if (before >= MARTY__SAGA_COMPLETED && !reopens) {
        sim_wrong(v->s, v->saga, "5: it changed after it had ended");
    }
}

void sim_check_turn(sim *s, sim_saga *saga, const marty__saga_event *event)
{
    view v = {s, saga, &saga->shadow, s->definitions[saga->definition], event};
    marty_bytes batch = sim_bytes(s, s->turn.history);
    marty__wire from = {.at = batch.data, .end = (const uint8_t *)batch.data + batch.size};
    marty__saga_phase before = saga->shadow.phase;
    saga->signals += event->kind == MARTY__SAGA_EVENT_SIGNAL;
    if (marty__wire_number(&from) != MARTY__SAGA_HISTORY_VERSION) {
        sim_wrong(s, saga, "4: a batch without a version");
    }
    while (from.at < from.end && !s->failed) {
        marty__saga_entry entry;
        marty__saga_entry_read(&entry, &from);
        if (from.broken) {
            sim_wrong(s, saga, "4: its history cannot be read");
            return;
        }
        if (saga->shadow.phase) {
            check_entry(&v, &entry);
        }
        if (!marty__saga_apply(&saga->shadow, &entry)) {
            sim_wrong(s, saga, "4: an entry does not fit: %s",
                      marty__saga_entry_shapes[entry.kind].name);
            return;
        }
    }
    if (saga->shadow.version != saga->version + 1) {
        sim_wrong(s, saga, "4: version %llu", (unsigned long long)saga->shadow.version);
    }
    check_timeless(&v, before);
    check_bytes(&v);
    check_alive(&v);
    check_due(&v);
    check_repeat(&v);
}

/* ---- commands (15, 16, 34) */
static void check_undo_data(sim *s, const sim_saga *saga, const marty__saga_command *command)
{
    char wanted[120];
    const sim_record *forward = sim_record_of(s, command->forward_key);
    const char *data = command->data.data;
    snprintf(wanted, sizeof wanted, "\"forward\":{\"key\":\"%s\"", command->forward_key);
    if (!data || !strstr(data, wanted)) {
        sim_wrong(s, saga, "15: the undo of %s does not name its forward", command->step);
        return;
    }
    bool done = strstr(data, "\"outcome\":\"done\"") != NULL;
    if (done == (strstr(data, "\"outcome\":\"unknown\"") != NULL)) {
        sim_wrong(s, saga, "15: the undo of %s says neither done nor unknown", command->step);
    }
    if (done != command->known) {
        sim_wrong(s, saga, "15: the undo of %s says two things", command->step);
    }
    bool supplied = false;
    for (uint32_t i = 0; i < saga->supplied_count; i++) {
        supplied = supplied || strcmp(saga->supplied[i], command->step) == 0;
    }
    bool remote = command->kind == MARTY__SAGA_UNDO || command->kind == MARTY__SAGA_LOCAL_UNDO;
    if (done && remote && !supplied && (!forward || forward->status != SIM_OP_DONE)) {
        sim_wrong(s, saga, "15: the undo of %s says done, and it was not", command->step);
    }
    if (done && remote && !supplied && !s->failed &&
        !strstr(data, sim_format(s, "\"result\":%s", forward->result))) {
        sim_wrong(s, saga, "15: the undo of %s lacks the forward's result", command->step);
    }
}

static void check_identity(sim *s, const sim_saga *saga, const marty__saga_command *command)
{
    uint8_t key[MARTY__SAGA_KEY_BYTES];
    char wanted[MARTY__SAGA_TEXT];
    bool undo = command->kind == MARTY__SAGA_UNDO || command->kind == MARTY__SAGA_LOCAL_UNDO ||
                command->kind == MARTY__SAGA_CHILD_UNDO;
    for (uint32_t i = 0; i < saga->shadow.slot_count; i++) {
        const char *path =
            marty__saga_path_in(&s->arena, s->definitions[saga->definition], &saga->shadow, i);
        if (strcmp(path, command->step) != 0) {
            continue;
        }
        const marty__saga_slot *slot = &saga->shadow.slots[i];
        const marty__saga_op *op = undo ? &slot->undo : &slot->forward;
        marty__saga_op_key(key, saga->id, path, undo, op->generation);
        marty__saga_key_text(wanted, key);
        if (strcmp(wanted, command->key) != 0) {
            sim_wrong(s, saga, "16: another key for %s", command->step);
        }
        return;
    }
    sim_wrong(s, saga, "16: a command for no step: %s", command->step);
}

void sim_check_command(sim *s, sim_saga *saga, const marty__saga_command *command)
{
    if (command->kind == MARTY__SAGA_PUBLISH || command->kind == MARTY__SAGA_ANSWER) {
        return;
    }
    check_identity(s, saga, command);
    if (command->kind == MARTY__SAGA_UNDO || command->kind == MARTY__SAGA_LOCAL_UNDO) {
        check_undo_data(s, saga, command);
        if (command->expires_us) {
            sim_wrong(s, saga, "9.6: the undo of %s expires", command->step);
        }
    }
    const char *what =
        sim_format(s, "%d %s %u", (int)command->kind, command->step, command->attempt);
    for (uint32_t i = 0; i < s->sent_count; i++) {
        if (strcmp(s->sent[i].message, command->message) == 0) {
            sim_wrong(s, saga, "34: message id %s twice: %s and %s", command->message,
                      s->sent[i].what, what);
            return;
        }
    }
    if (s->sent_count < SIM_MESSAGES_MAX) {
        s->sent[s->sent_count].message = sim_text(s, command->message);
        s->sent[s->sent_count++].what = what;
    }
}

/* ---- what was, or was not, ignored (18, 26, 33) */
static const marty__saga_slot *slot_of_key(sim *s, const sim_saga *saga, const char *text,
                                           bool undo)
{
    uint8_t wanted[MARTY__SAGA_KEY_BYTES], key[MARTY__SAGA_KEY_BYTES];
    if (!marty__saga_key_parse(wanted, text)) {
        return NULL;
    }
    for (uint32_t i = 0; i < saga->shadow.slot_count; i++) {
        const marty__saga_slot *slot = &saga->shadow.slots[i];
        const marty__saga_op *op = undo ? &slot->undo : &slot->forward;
        const char *path =
            marty__saga_path_in(&s->arena, s->definitions[saga->definition], &saga->shadow, i);
        marty__saga_op_key(key, saga->id, path, undo, op->generation);
        if (memcmp(key, wanted, sizeof key) == 0) {
            return slot;
        }
    }
    return NULL;
}

static void check_attempt(sim *s, const sim_saga *saga, const marty__saga_event *event)
{
    const marty__saga_slot *forward = slot_of_key(s, saga, event->key, false);
    const marty__saga_slot *undo = forward ? NULL : slot_of_key(s, saga, event->key, true);
    bool current =
        (forward && forward->status == MARTY__SAGA_CALLING &&
         forward->forward.attempt == event->attempt) ||
        (undo && undo->status == MARTY__SAGA_UNDOING && undo->undo.attempt == event->attempt);
    if (!current && s->turn.changed) {
        sim_wrong(s, saga, "18: an answer of an attempt that is over changes it");
    }
}

static void check_heard(sim *s, const sim_saga *saga, const marty__saga_event *event)
{
    const marty__saga_slot *forward = slot_of_key(s, saga, event->key, false);
    const marty__saga_slot *undo = forward ? NULL : slot_of_key(s, saga, event->key, true);
    if (!s->turn.changed && !saga->ended && forward && is(forward->status, in_flight)) {
        sim_wrong(s, saga, "33: a definite answer is not heard");
    }
    if (!s->turn.changed && !saga->ended && undo && event->reply == MARTY__SAGA_OK &&
        is(undo->status, undoing) && undo->undo.attempt) {
        sim_wrong(s, saga, "33: the end of an undo is not heard");
    }
    if (forward && s->turn.changed && event->reply == MARTY__SAGA_REFUSED && event->tombstone &&
        is(forward->status, in_flight) && saga->shadow.phase == MARTY__SAGA_COMPENSATING) {
        const marty__saga_slot *after = &s->turn.decoded->slots[forward - saga->shadow.slots];
        if (after->status != MARTY__SAGA_RESOLVED) {
            sim_wrong(s, saga, "14: a sealed key counts as refused");
        }
    }
}

/* Before the oracle's own fold has moved on. */
void sim_check_ignored(sim *s, sim_saga *saga, const marty__saga_event *event)
{
    if (!saga->version) {
        return;
    }
    if (event->kind == MARTY__SAGA_EVENT_REPLY) {
        bool definite = event->reply == MARTY__SAGA_OK || event->reply == MARTY__SAGA_REFUSED ||
                        event->reply == MARTY__SAGA_WAS_DONE ||
                        event->reply == MARTY__SAGA_NOT_DONE;
        if (definite) {
            check_heard(s, saga, event);
        } else if (event->reply != MARTY__SAGA_LEFT) {
            check_attempt(s, saga, event);
        }
    }
    if (event->kind == MARTY__SAGA_EVENT_TIMER && s->turn.changed) {
        bool found = saga->shadow.deadline.token == event->token;
        for (uint32_t i = 0; i < saga->shadow.slot_count; i++) {
            for (int which = 0; which < MARTY__SAGA_TIMERS; which++) {
                found = found || saga->shadow.slots[i].timers[which].token == event->token;
            }
        }
        if (!found) {
            sim_wrong(s, saga, "26: a timer that is not armed acts");
        }
    }
}

/* ---- what really happened (the ledger against the state) */
static bool was_supplied(const sim_saga *saga, const char *path)
{
    for (uint32_t i = 0; i < saga->supplied_count; i++) {
        if (strcmp(saga->supplied[i], path) == 0) {
            return true;
        }
    }
    return false;
}

/* A child that its parent takes for undone or never done has left nothing. */
static void check_child(sim *s, const sim_saga *saga, uint32_t slot, const char *path)
{
    uint8_t key[MARTY__SAGA_KEY_BYTES];
    char id[MARTY__SAGA_TEXT];
    const marty__saga_slot *own = &saga->shadow.slots[slot];
    marty__saga_op_key(key, saga->id, path, false, own->forward.generation);
    marty__saga_child_id(id, key);
    const sim_saga *child = sim_find(s, id);
    if (!child || !child->ended || own->flags & MARTY__SAGA_LEFT_OVER || was_supplied(saga, path)) {
        return;
    }
    bool gone = child->shadow.phase == MARTY__SAGA_COMPENSATED &&
                !(child->shadow.flags & MARTY__SAGA_RESIDUE);
    bool read_only =
        s->definitions[saga->definition]->nodes[own->node].step == MARTY_STEP_READ_ONLY;
    if (!gone && !read_only && is(own->status, BIT(REJECTED) | BIT(RESOLVED) | BIT(UNDONE))) {
        sim_wrong(s, saga, "9.6: child %s is %s, and its child saga %s", path,
                  marty__saga_status_word(own->status), marty__saga_state_word(&child->shadow));
    }
    if (own->status == MARTY__SAGA_DONE && child->shadow.phase != MARTY__SAGA_COMPLETED &&
        !(child->shadow.flags & MARTY__SAGA_REOPENED)) {
        sim_wrong(s, saga, "9.6: child %s is done, and its child saga %s", path,
                  marty__saga_state_word(&child->shadow));
    }
}

static void check_step(sim *s, const sim_saga *saga, uint32_t slot, bool at_end)
{
    view v = {s, NULL, NULL, s->definitions[saga->definition], NULL};
    marty__saga_state state = saga->shadow;
    v.state = &state;
    const marty__saga_node *node = node_of(&v, slot);
    const marty__saga_slot *own = &saga->shadow.slots[slot];
    if (node->kind == MARTY__SAGA_CHILD && at_end) {
        check_child(s, saga, slot, path_of(&v, slot));
    }
    if (!marty__saga_is_leaf(node) || node->kind == MARTY__SAGA_CHILD ||
        marty__saga_is_wait(node) || node->step == MARTY_STEP_READ_ONLY) {
        return;
    }
    const char *path = path_of(&v, slot);
    uint32_t effects = sim_effects(s, saga->id, path);
    if (effects > 1) {
        sim_wrong(s, saga, "%s took effect %u times", path, effects);
    }
    bool open = own->flags & MARTY__SAGA_LEFT_OVER || was_supplied(saga, path);
    if (!at_end || open) {
        return;
    }
    uint32_t wanted = own->status == MARTY__SAGA_DONE ? 1 : 0;
    if (effects != wanted) {
        sim_wrong(s, saga, "%s, which is %s and not listed as left over, has %u effects", path,
                  marty__saga_status_word(own->status), effects);
    }
}

void sim_check_effects(sim *s, bool at_end)
{
    for (uint32_t i = 0; i < s->saga_count; i++) {
        sim_saga *saga = &s->sagas[i];
        for (uint32_t slot = 0; slot < saga->shadow.slot_count; slot++) {
            check_step(s, saga, slot, at_end && saga->ended);
        }
    }
    for (uint32_t i = 0; i < s->record_count && at_end; i++) {
        if (s->records[i].once) {
            sim_wrong(s, NULL, "9.10: %s was called twice", s->records[i].path);
        }
    }
}
