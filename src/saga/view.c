/* SPDX-License-Identifier: Apache-2.0
 * JSON views: of a state, of a history batch, of a command. For people, exports and other
 * implementations; docs/reference/saga-replay.md has the fields. */
#include "inside.h"

#include "base/time.h"

static void key_of(marty__buffer *to, const char *key)
{
    char last = to->size ? to->data[to->size - 1] : '{';
    if (last != '{' && last != '[') {
        marty__buffer_byte(to, ',');
    }
    marty__buffer_json(to, key, strlen(key));
    marty__buffer_byte(to, ':');
}

static void add_text(marty__buffer *to, const char *key, marty_bytes text)
{
    if (text.size) {
        key_of(to, key);
        marty__buffer_json(to, text.data, text.size);
    }
}

static void add_word(marty__buffer *to, const char *key, const char *text)
{
    add_text(to, key, marty_text(text));
}

static void add_json(marty__buffer *to, const char *key, marty_bytes json)
{
    if (json.size) {
        key_of(to, key);
        marty__buffer_add(to, json.data, json.size);
    }
}

static void add_hex(marty__buffer *to, const char *key, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    key_of(to, key);
    marty__buffer_byte(to, '"');
    for (size_t i = 0; i < size; i++) {
        marty__buffer_format(to, "%02x", at[i]);
    }
    marty__buffer_byte(to, '"');
}

static void add_number(marty__buffer *to, const char *key, uint64_t number)
{
    key_of(to, key);
    marty__buffer_format(to, "%llu", (unsigned long long)number);
}

static void add_some(marty__buffer *to, const char *key, uint64_t number)
{
    if (number) {
        add_number(to, key, number);
    }
}

static void add_time(marty__buffer *to, const char *key, int64_t time_us)
{
    char text[MARTY__TIME_TEXT];
    if (time_us) {
        (void)marty__time_format(text, time_us);
        add_word(to, key, text);
    }
}

typedef struct flag_word {
    uint32_t flag;
    const char *word;
} flag_word;

static void add_flags(marty__buffer *to, uint32_t flags, const flag_word *words, size_t count)
{
    if (!flags) {
        return;
    }
    key_of(to, "flags");
    marty__buffer_byte(to, '[');
    for (size_t i = 0; i < count; i++) {
        if (flags & words[i].flag) {
            marty__buffer_text(to, to->data[to->size - 1] == '[' ? "" : ",");
            marty__buffer_json(to, words[i].word, strlen(words[i].word));
        }
    }
    marty__buffer_byte(to, ']');
}

static const flag_word saga_flags[] = {{MARTY__SAGA_PAUSED, "paused"},
                                       {MARTY__SAGA_CANCEL, "cancel-requested"},
                                       {MARTY__SAGA_PIVOT_PASSED, "pivot-passed"},
                                       {MARTY__SAGA_CHILD_SAGA, "child"},
                                       {MARTY__SAGA_UNDO_ASKED, "undo-asked"},
                                       {MARTY__SAGA_REOPENED, "reopened"},
                                       {MARTY__SAGA_OVERDUE, "overdue"},
                                       {MARTY__SAGA_RESIDUE, "residue"},
                                       {MARTY__SAGA_BORN_DEAD, "born-dead"}};
static const flag_word slot_flags[] = {
    {MARTY__SAGA_STARTED, "started"},     {MARTY__SAGA_DOUBTFUL, "doubtful"},
    {MARTY__SAGA_KNOWN, "known"},         {MARTY__SAGA_C_REFUSED, "undo-refused"},
    {MARTY__SAGA_LEFT_OVER, "left-over"}, {MARTY__SAGA_LATE_F, "late-answer"},
    {MARTY__SAGA_BROKEN, "contradicted"}, {MARTY__SAGA_CANCELLED, "cancelled"},
    {MARTY__SAGA_FORCED, "forced"},       {MARTY__SAGA_TO_UNDO, "to-undo"}};
static const char *const timer_words[] = {"main", "start", "heartbeat", "total"};

static void add_op(marty__buffer *to, const char *name, const char *saga, const char *path,
                   bool undo, const marty__saga_op *op)
{
    uint8_t key[MARTY__SAGA_KEY_BYTES];
    if (!op->attempt && !op->generation) {
        return;
    }
    key_of(to, name);
    marty__buffer_byte(to, '{');
    marty__saga_op_key(key, saga, path, undo, op->generation);
    add_hex(to, "key", key, sizeof key);
    add_some(to, "generation", op->generation);
    add_number(to, "attempt", op->attempt);
    add_number(to, "used", op->used);
    add_time(to, "first", op->first_us);
    add_json(to, "input", op->input);
    marty__buffer_byte(to, '}');
}

static void add_timers(marty__buffer *to, const marty__saga_timer timers[MARTY__SAGA_TIMERS])
{
    bool any = false;
    for (int i = 0; i < MARTY__SAGA_TIMERS; i++) {
        if (timers[i].due_us) {
            if (!any) {
                key_of(to, "timers");
            }
            marty__buffer_text(to, any ? "," : "[");
            marty__buffer_byte(to, '{');
            add_word(to, "timer", timer_words[i]);
            add_time(to, "due", timers[i].due_us);
            add_number(to, "token", timers[i].token);
            marty__buffer_byte(to, '}');
            any = true;
        }
    }
    marty__buffer_text(to, any ? "]" : "");
}

static void add_slot(marty__arena *arena, const marty__saga_definition *definition,
                     const marty__saga_state *state, uint32_t index, marty__buffer *to)
{
    const marty__saga_slot *slot = &state->slots[index];
    const char *path = marty__saga_path_in(arena, definition, state, index);
    marty__buffer_byte(to, '{');
    add_word(to, "step", path);
    add_word(to, "status", marty__saga_status_word(slot->status));
    add_word(to, "stuck", marty__saga_stuck_word(slot->stuck));
    if (marty__saga_failing(definition, state, index)) {
        key_of(to, "failing");
        marty__buffer_text(to, "true");
    }
    add_flags(to, slot->flags, slot_flags, sizeof slot_flags / sizeof *slot_flags);
    add_some(to, "count", slot->count);
    add_some(to, "done", slot->done);
    add_some(to, "probes", slot->probes);
    add_op(to, "forward", state->id, path, false, &slot->forward);
    add_op(to, "undo", state->id, path, true, &slot->undo);
    add_timers(to, slot->timers);
    add_json(to, "result", slot->result);
    add_text(to, "reason", slot->reason);
    add_json(to, "checkpoint", slot->checkpoint);
    marty__buffer_byte(to, '}');
}

static void add_steps(marty__arena *arena, const marty__saga_definition *definition,
                      const marty__saga_state *state, marty__buffer *to)
{
    key_of(to, "steps");
    marty__buffer_byte(to, '[');
    for (uint32_t i = 0; i < state->slot_count; i++) {
        if (definition->nodes[state->slots[i].node].name) {
            marty__buffer_text(to, to->data[to->size - 1] == '[' ? "" : ",");
            add_slot(arena, definition, state, i, to);
        }
    }
    marty__buffer_byte(to, ']');
}

marty_err marty__saga_state_json(const marty__saga_definition *definition,
                                 const marty__saga_state *state, marty__buffer *to,
                                 marty_error *why)
{
    marty__arena arena = {0};
    for (uint32_t i = 0; i < state->slot_count; i++) {
        if (state->slots[i].node >= definition->node_count) {
            return marty_error_set(why, MARTY_E_MALFORMED, "saga %s: not of this definition",
                                   state->id);
        }
    }
    marty__buffer_byte(to, '{');
    add_word(to, "saga", state->id);
    add_word(to, "definition", definition->name);
    add_number(to, "definition_version", definition->version);
    add_hex(to, "hash", state->definition, sizeof state->definition);
    add_number(to, "version", state->version);
    add_word(to, "state", marty__saga_state_word(state));
    add_flags(to, state->flags, saga_flags, sizeof saga_flags / sizeof *saga_flags);
    add_text(to, "key", state->key);
    add_text(to, "parent", state->parent_saga);
    add_time(to, "started", state->started_us);
    add_time(to, "changed", state->changed_us);
    add_time(to, "deadline", state->deadline.due_us);
    add_text(to, "reason", state->reason);
    add_json(to, "input", state->input);
    add_steps(&arena, definition, state, to);
    add_some(to, "kept_signals", state->kept_count);
    marty__buffer_byte(to, '}');
    bool failed = to->failed || arena.failed;
    marty__arena_free(&arena);
    return failed ? marty_error_set(why, MARTY_E_NO_MEMORY, "saga %s: out of memory", state->id)
                  : MARTY_OK;
}

/* ---- history */
static void add_status_entry(const marty__saga_entry *entry, marty__buffer *to)
{
    bool done = entry->n[1] == MARTY__SAGA_DONE;
    add_number(to, "slot", entry->n[0]);
    add_word(to, "status", marty__saga_status_word((marty__saga_status)entry->n[1]));
    if (done) {
        add_json(to, "result", entry->b[0]);
    } else {
        add_text(to, "reason", entry->b[0]);
    }
}

static void add_value(const char *name, uint64_t value, const marty__saga_entry *entry,
                      const marty__saga_definition *definition, marty__buffer *to)
{
    static const char *const causes[] = {"",       "start",  "message", "timer",
                                         "signal", "person", "parent",  "broker"};
    if (strcmp(name, "at") == 0 || strcmp(name, "due") == 0 || strcmp(name, "until") == 0) {
        add_time(to, name, (int64_t)value);
    } else if (strcmp(name, "phase") == 0) {
        add_word(to, name, marty__saga_phase_word((marty__saga_phase)value));
    } else if (strcmp(name, "why") == 0) {
        add_word(to, name, marty__saga_stuck_word((marty__saga_stuck)value));
    } else if (strcmp(name, "which") == 0 && value < MARTY__SAGA_TIMERS) {
        add_word(to, name, timer_words[value]);
    } else if (strcmp(name, "cause") == 0 && value <= MARTY__SAGA_BY_BROKER) {
        add_word(to, name, causes[value]);
    } else if (strcmp(name, "node") == 0 && entry->kind == MARTY__ENTRY_OPENED && definition &&
               value < definition->node_count && definition->nodes[value].name) {
        add_number(to, name, value);
        add_word(to, "step", definition->nodes[value].name);
    } else {
        add_number(to, name, value);
    }
}

static void add_entry(const marty__saga_entry *entry, const marty__saga_definition *definition,
                      marty__buffer *to)
{
    const marty__saga_entry_shape *shape = &marty__saga_entry_shapes[entry->kind];
    marty__buffer_byte(to, '{');
    add_word(to, "entry", shape->name);
    if (entry->kind == MARTY__ENTRY_STATUS) {
        add_status_entry(entry, to);
        marty__buffer_byte(to, '}');
        return;
    }
    if (entry->kind == MARTY__ENTRY_MIGRATED && definition) {
        add_number(to, "definition_version", definition->version);
    }
    for (int i = 0; i < MARTY__ENTRY_NUMBERS && shape->numbers[i]; i++) {
        add_value(shape->numbers[i], entry->n[i], entry, definition, to);
    }
    for (int i = 0; i < MARTY__ENTRY_BYTES && shape->bytes[i]; i++) {
        const char *name = shape->bytes[i] + 1;
        if (shape->bytes[i][0] == 'h') {
            if (entry->b[i].size) {
                add_hex(to, name, entry->b[i].data, entry->b[i].size);
            }
        } else if (shape->bytes[i][0] == 'j') {
            add_json(to, name, entry->b[i]);
        } else {
            add_text(to, name, entry->b[i]);
        }
    }
    marty__buffer_byte(to, '}');
}

marty_err marty__saga_history_json(const marty__saga_definition *definition, marty_bytes batch,
                                   marty__buffer *to, marty_error *why)
{
    const uint8_t *data = batch.data;
    marty__wire from = {.at = data, .end = data + batch.size};
    from.broken = marty__wire_number(&from) != MARTY__SAGA_HISTORY_VERSION || from.broken;
    marty__buffer_byte(to, '[');
    for (bool first = true; from.at < from.end && !from.broken; first = false) {
        marty__saga_entry entry;
        marty__saga_entry_read(&entry, &from);
        if (!from.broken) {
            marty__buffer_text(to, first ? "" : ",");
            add_entry(&entry, definition, to);
        }
    }
    marty__buffer_byte(to, ']');
    if (from.broken) {
        return marty_error_set(why, MARTY_E_MALFORMED,
                               "a batch of a saga's history makes no sense");
    }
    return to->failed ? marty_error_set(why, MARTY_E_NO_MEMORY, "a history: out of memory")
                      : MARTY_OK;
}

/* ---- commands */
const char *marty__saga_command_word(marty__saga_command_kind kind)
{
    static const char *const words[] = {"",           "forward",    "undo",        "probe",
                                        "local",      "local-undo", "child-start", "child-cancel",
                                        "child-undo", "answer",     "publish"};
    return (size_t)kind < sizeof words / sizeof *words ? words[kind] : "?";
}

const char *marty__saga_reply_word(marty__saga_reply reply)
{
    static const char *const words[] = {"",         "ok",   "rejected", "retry",   "accepted",
                                        "progress", "done", "not_done", "unknown", "residue"};
    return (size_t)reply < sizeof words / sizeof *words ? words[reply] : "?";
}

void marty__saga_command_json(const marty__saga_command *command, marty__buffer *to)
{
    marty__buffer_byte(to, '{');
    add_word(to, "command", marty__saga_command_word(command->kind));
    add_word(to, "step", command->step);
    add_word(to, "service", command->service);
    add_word(to, "type", command->type);
    add_word(to, "message", command->message);
    add_word(to, "key", command->key);
    add_word(to, "forward_key", command->forward_key);
    add_word(to, "child", command->child);
    add_some(to, "attempt", command->attempt);
    add_some(to, "child_version", command->version);
    add_time(to, "expires", command->expires_us);
    add_word(to, "reply", command->reply ? marty__saga_reply_word(command->reply) : NULL);
    if (command->tombstone) {
        key_of(to, "tombstone");
        marty__buffer_text(to, "true");
    }
    add_word(to, "reason", command->reason);
    add_json(to, "data", command->data);
    marty__buffer_byte(to, '}');
}
