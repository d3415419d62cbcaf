/* SPDX-License-Identifier: Apache-2.0
 * One event, from bytes to bytes: read the state, let the event act, let what follows follow, write
 * the state. */
#include "inside.h"

static void set_up(inside *in, const marty__saga_definition *definition,
                   const marty__saga_rules *rules, const marty__saga_event *event, int64_t now_us,
                   marty_error *why)
{
    marty__arena_reset(&in->arena);
    marty__buffer_clear(&in->state_bytes);
    marty__buffer_clear(&in->history);
    *in = (inside){.arena = in->arena,
                   .state_bytes = in->state_bytes,
                   .history = in->history,
                   .definition = definition,
                   .rules = rules,
                   .event = event,
                   .now_us = now_us > 0 ? now_us : 1,
                   .why = why};
}

/* Whether a state that was read fits the definition: its nodes are there, and nested the same. */
static bool fits(const inside *in)
{
    const marty__saga_state *state = &in->state;
    const marty__saga_definition *definition = in->definition;
    if (memcmp(state->definition, definition->hash, sizeof definition->hash) != 0) {
        return false;
    }
    for (uint32_t i = 0; i < state->slot_count; i++) {
        const marty__saga_slot *slot = &state->slots[i];
        if (slot->node >= definition->node_count) {
            return false;
        }
        const marty__saga_node *node = &definition->nodes[slot->node];
        bool composite = slot->status == MARTY__SAGA_OPEN;
        bool nested = i == 0 ? slot->node == 0 : node->parent == state->slots[slot->parent].node;
        if (!nested || (composite && marty__saga_is_leaf(node)) ||
            (node->kind == MARTY__SAGA_CHOICE && slot->count > definition->node_count)) {
            return false;
        }
    }
    return true;
}

static marty_err load(inside *in, marty_bytes before)
{
    marty_err err = marty__saga_state_read(&in->state, &in->arena, before, in->why);
    in->before_size = before.size;
    if (!err && in->state.version && !fits(in)) {
        err = marty_error_set(in->why, MARTY_E_MALFORMED,
                              "saga %s: its state is not one of definition %s", in->state.id,
                              in->definition->name);
    }
    return err;
}

static void dispatch(inside *in)
{
    switch (in->event->kind) {
    case MARTY__SAGA_EVENT_START:
        marty__saga_on_start(in);
        return;
    case MARTY__SAGA_EVENT_PARENT_CANCEL:
    case MARTY__SAGA_EVENT_PARENT_UNDO:
        marty__saga_on_parent(in);
        return;
    case MARTY__SAGA_EVENT_REPLY:
    case MARTY__SAGA_EVENT_TICK:
    case MARTY__SAGA_EVENT_TIMER:
    case MARTY__SAGA_EVENT_SIGNAL:
    case MARTY__SAGA_EVENT_VERB:
    case MARTY__SAGA_EVENT_NOT_SENT:
        break;
    }
    if (!in->state.version) {
        marty__saga_ignore(in, MARTY__SAGA_IGNORED_UNKNOWN);
        return;
    }
    if (in->event->kind == MARTY__SAGA_EVENT_REPLY) {
        marty__saga_on_reply(in);
    } else if (in->event->kind == MARTY__SAGA_EVENT_TICK) {
        marty__saga_on_tick(in);
    } else if (in->event->kind == MARTY__SAGA_EVENT_TIMER) {
        marty__saga_on_timer(in);
    } else if (in->event->kind == MARTY__SAGA_EVENT_SIGNAL) {
        marty__saga_on_signal(in);
    } else if (in->event->kind == MARTY__SAGA_EVENT_VERB) {
        marty__saga_on_verb(in);
    } else {
        marty__saga_on_not_sent(in);
    }
}

/* An event of the saga's life, where its definition wants them. */
static void publish_life(inside *in, const char *word_before)
{
    const char *word = marty__saga_state_word(&in->state);
    bool started = in->state.version == 1;
    if (!in->definition->events || (!started && word == word_before)) {
        return;
    }
    marty__saga_command *command = marty__saga_command_add(in);
    if (command) {
        uint8_t key[MARTY__SAGA_KEY_BYTES];
        const char *type = marty__arena_format(&in->arena, "saga.%s", started ? "started" : word);
        const char *data = marty__arena_format(
            &in->arena, "{\"saga\":\"%s\",\"definition\":\"%s\",\"state\":\"%s\"}", in->state.id,
            in->definition->name, word);
        *command = (marty__saga_command){
            .kind = MARTY__SAGA_PUBLISH, .type = type, .step = "", .data = marty_text(data)};
        marty__saga_id_key(key, "marty saga life", in->state.id);
        marty__saga_message_id(command->message, key, "e", (uint32_t)in->state.version);
    }
}

static void write_state(inside *in)
{
    marty__saga_state_write(&in->state, &in->state_bytes);
    if (in->state_bytes.failed || in->arena.failed) {
        (void)marty__saga_fail(in, MARTY_E_NO_MEMORY, "out of memory");
    } else if (in->state_bytes.size > MARTY__SAGA_STATE_BYTES_MAX) {
        (void)marty__saga_fail(in, MARTY_E_TOO_LARGE, "its state would be over 1 MiB");
    }
}

static void fill(marty__saga_turn *turn, inside *in)
{
    turn->changed = in->began;
    turn->ignored = in->began ? MARTY__SAGA_NOT_IGNORED : in->ignored;
    turn->alert = in->alert;
    turn->refused = in->refused;
    turn->doubts = in->doubts;
    turn->undo_failures = in->undo_failures;
    turn->answered_us = in->late ? 0 : in->answered_us;
    turn->late = in->late;
    turn->state = (marty_bytes){in->state_bytes.data, in->state_bytes.size};
    turn->history = (marty_bytes){in->history.data, in->history.size};
    turn->commands = in->commands;
    turn->command_count = in->command_count;
    turn->decoded = &in->state;
    turn->due_us = marty__saga_state_due(&in->state);
}

static marty_err take_turn(inside *in, marty_bytes before, const marty__saga_definition *to,
                           marty__saga_turn *turn)
{
    marty_err err = load(in, before);
    if (err) {
        return err;
    }
    const char *word = marty__saga_state_word(&in->state);
    if (to) {
        marty__saga_on_migrate(in, to);
    } else {
        dispatch(in);
    }
    if (in->began) {
        marty__saga_advance(in);
        publish_life(in, word);
        write_state(in);
    }
    if (!in->err && in->arena.failed) {
        (void)marty__saga_fail(in, MARTY_E_NO_MEMORY, "out of memory");
    }
    if (!in->err) {
        fill(turn, in);
    }
    return in->err;
}

static inside *begin(marty__saga_turn *turn, marty_error *why)
{
    inside *in = turn->inside ? turn->inside : marty_alloc_zero(1, sizeof *in);
    *turn = (marty__saga_turn){.inside = in};
    if (!in) {
        (void)marty_error_set(why, MARTY_E_NO_MEMORY, "a saga's turn: out of memory");
    }
    return in;
}

marty_err marty__saga_decide(const marty__saga_definition *definition,
                             const marty__saga_rules *rules, marty_bytes before,
                             const marty__saga_event *event, int64_t now_us, marty__saga_turn *turn,
                             marty_error *why)
{
    inside *in = begin(turn, why);
    if (!in) {
        return MARTY_E_NO_MEMORY;
    }
    set_up(in, definition, rules, event, now_us, why);
    return take_turn(in, before, NULL, turn);
}

marty_err marty__saga_migrate(const marty__saga_definition *from, const marty__saga_definition *to,
                              const marty__saga_rules *rules, marty_bytes before,
                              const marty__saga_event *event, int64_t now_us,
                              marty__saga_turn *turn, marty_error *why)
{
    inside *in = begin(turn, why);
    if (!in) {
        return MARTY_E_NO_MEMORY;
    }
    set_up(in, from, rules, event, now_us, why);
    if (event->kind != MARTY__SAGA_EVENT_VERB || !event->id || !event->who) {
        return marty_error_set(why, MARTY_E_ARGUMENT,
                               "a migration needs an id and who asks for it");
    }
    return take_turn(in, before, to, turn);
}

void marty__saga_turn_free(marty__saga_turn *turn)
{
    inside *in = turn->inside;
    if (in) {
        marty__arena_free(&in->arena);
        marty__buffer_free(&in->state_bytes);
        marty__buffer_free(&in->history);
        marty_free(in);
    }
    *turn = (marty__saga_turn){0};
}

static void keep_small(marty__buffer *buffer)
{
    enum { SMALL = 4096 };
    if (buffer->capacity > SMALL) {
        marty__buffer_free(buffer);
    }
}

void marty__saga_turn_reset(marty__saga_turn *turn)
{
    inside *in = turn->inside;
    if (in) {
        marty__arena_reset(&in->arena);
        keep_small(&in->state_bytes);
        keep_small(&in->history);
    }
    *turn = (marty__saga_turn){.inside = in};
}

marty_err marty__saga_fold(marty__saga_state *state, marty_bytes batch, marty_error *why)
{
    const uint8_t *data = batch.data;
    marty__wire from = {.at = data, .end = data + batch.size};
    marty__saga_entry entry;
    bool fine = marty__wire_number(&from) == MARTY__SAGA_HISTORY_VERSION;
    marty__saga_entry_read(&entry, &from);
    fine = fine && !from.broken && entry.kind == MARTY__ENTRY_BATCH;
    while (fine && marty__saga_apply(state, &entry)) {
        if (from.at == from.end) {
            return MARTY_OK;
        }
        marty__saga_entry_read(&entry, &from);
        fine = !from.broken && entry.kind != MARTY__ENTRY_BATCH;
    }
    return marty_error_set(why, state->arena->failed ? MARTY_E_NO_MEMORY : MARTY_E_MALFORMED,
                           "the history of saga %s makes no sense after version %llu", state->id,
                           (unsigned long long)state->version);
}
