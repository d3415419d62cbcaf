/* SPDX-License-Identifier: Apache-2.0
 * A state and its history as JSON, for people and for export. */
#include "machine.h"

#include "entry.h"

#include <string.h>

static void add_text(marty__buffer *to, const char *name, marty_bytes text)
{
    if (text.size) {
        marty__buffer_format(to, ",\"%s\":", name);
        marty__buffer_json(to, text.data, text.size);
    }
}

static void add_json(marty__buffer *to, const char *name, marty_bytes json)
{
    if (json.size) {
        marty__buffer_format(to, ",\"%s\":", name);
        marty__buffer_add(to, json.data, json.size);
    }
}

static void add_step(const marty__saga_definition *definition, const marty__saga_slot *slot,
                     marty__buffer *to)
{
    const char *name = definition->nodes[slot->node].name;
    marty__buffer_text(to, "{\"step\":");
    marty__buffer_json(to, name, strlen(name));
    marty__buffer_format(to, ",\"status\":\"%s\"", marty__saga_status_word(slot->status));
    if (slot->forward.attempt) {
        marty__buffer_format(to, ",\"attempts\":%u", (unsigned)slot->forward.attempt);
    }
    if (slot->undo.attempt) {
        marty__buffer_format(to, ",\"undo_attempts\":%u", (unsigned)slot->undo.attempt);
    }
    if (slot->stuck) {
        marty__buffer_format(to, ",\"stuck\":\"%s\"", marty__saga_stuck_word(slot->stuck));
    }
    if (slot->timers[MARTY__SAGA_TIMER_MAIN].due_us) {
        marty__buffer_format(to, ",\"due_us\":%lld",
                             (long long)slot->timers[MARTY__SAGA_TIMER_MAIN].due_us);
    }
    add_text(to, "reason", slot->reason);
    add_json(to, "result", slot->result);
    marty__buffer_byte(to, '}');
}

marty_err marty__saga_state_json(const marty__saga_definition *definition,
                                 const marty__saga_state *state, marty__buffer *to,
                                 marty_error *why)
{
    bool more = false;
    marty__buffer_text(to, "{\"id\":");
    marty__buffer_json(to, state->id, strlen(state->id));
    marty__buffer_format(to, ",\"saga\":\"%s\",\"definition_version\":%u,\"status\":\"%s\"",
                         definition->name, (unsigned)definition->version,
                         marty__saga_state_word(state));
    marty__buffer_format(to, ",\"version\":%llu,\"started_us\":%lld,\"changed_us\":%lld",
                         (unsigned long long)state->version, (long long)state->started_us,
                         (long long)state->changed_us);
    add_text(to, "key", state->key);
    add_text(to, "reason", state->reason);
    add_json(to, "input", state->input);
    marty__buffer_text(to, ",\"steps\":[");
    for (uint32_t i = 0; i < state->slot_count; i++) {
        if (definition->nodes[state->slots[i].node].name) {
            marty__buffer_text(to, more ? "," : "");
            add_step(definition, &state->slots[i], to);
            more = true;
        }
    }
    marty__buffer_text(to, "]}");
    return to->failed ? marty_error_set(why, MARTY_E_NO_MEMORY, "showing a saga") : MARTY_OK;
}

static void add_hash(marty__buffer *to, marty_bytes bytes)
{
    const uint8_t *at = bytes.data;
    marty__buffer_byte(to, '"');
    for (size_t i = 0; i < bytes.size; i++) {
        marty__buffer_format(to, "%02x", at[i]);
    }
    marty__buffer_byte(to, '"');
}

/* A field of an entry; a status and a phase by their words. */
static void add_number(marty__buffer *to, const marty__saga_entry *entry, const char *name,
                       uint64_t number)
{
    marty__buffer_format(to, ",\"%s\":", name);
    if (entry->kind == MARTY__ENTRY_STATUS && strcmp(name, "status") == 0) {
        marty__buffer_format(to, "\"%s\"", marty__saga_status_word((marty__saga_status)number));
    } else if (entry->kind == MARTY__ENTRY_PHASE) {
        marty__buffer_format(to, "\"%s\"", marty__saga_phase_word((marty__saga_phase)number));
    } else {
        marty__buffer_format(to, "%llu", (unsigned long long)number);
    }
}

static void add_entry(marty__buffer *to, const marty__saga_entry *entry)
{
    const marty__saga_entry_shape *shape = &marty__saga_entry_shapes[entry->kind];
    marty__buffer_format(to, "{\"entry\":\"%s\"", shape->name);
    for (int i = 0; i < MARTY__ENTRY_NUMBERS && shape->numbers[i]; i++) {
        add_number(to, entry, shape->numbers[i], entry->n[i]);
    }
    for (int i = 0; i < MARTY__ENTRY_BYTES && shape->bytes[i]; i++) {
        if (entry->b[i].size) {
            marty__buffer_format(to, ",\"%s\":", shape->bytes[i] + 1);
            if (shape->bytes[i][0] == 't') {
                marty__buffer_json(to, entry->b[i].data, entry->b[i].size);
            } else if (shape->bytes[i][0] == 'j') {
                marty__buffer_add(to, entry->b[i].data, entry->b[i].size);
            } else {
                add_hash(to, entry->b[i]);
            }
        }
    }
    marty__buffer_byte(to, '}');
}

marty_err marty__saga_history_json(const marty__saga_definition *definition, marty_bytes batch,
                                   marty__buffer *to, marty_error *why)
{
    marty__wire from = {.at = batch.data, .end = (const uint8_t *)batch.data + batch.size};
    bool known = marty__wire_number(&from) == MARTY__SAGA_HISTORY_VERSION;
    (void)definition;
    marty__buffer_byte(to, '[');
    for (bool more = false; known && from.at < from.end; more = true) {
        marty__saga_entry entry;
        marty__saga_entry_read(&entry, &from);
        if (from.broken) {
            break;
        }
        marty__buffer_text(to, more ? "," : "");
        add_entry(to, &entry);
    }
    marty__buffer_byte(to, ']');
    return !known || from.broken
               ? marty_error_set(why, MARTY_E_MALFORMED, "a history that cannot be read")
           : to->failed ? marty_error_set(why, MARTY_E_NO_MEMORY, "showing a history")
                        : MARTY_OK;
}
