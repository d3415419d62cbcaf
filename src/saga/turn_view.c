/* SPDX-License-Identifier: Apache-2.0
 * JSON views: of what an event makes of a saga, and which definition a batch of its history is
 * under. docs/reference/saga-replay.md has the fields. */
#include "inside.h"

#include "base/time.h"

static void add_text(marty__buffer *to, const char *key, const char *text)
{
    if (text && *text) {
        marty__buffer_format(to, ",\"%s\":", key);
        marty__buffer_json(to, text, strlen(text));
    }
}

static void add_commands(const marty__saga_turn *turn, marty__buffer *to)
{
    marty__buffer_text(to, ",\"commands\":[");
    for (size_t i = 0; i < turn->command_count; i++) {
        marty__buffer_text(to, i ? "," : "");
        marty__saga_command_json(&turn->commands[i], to);
    }
    marty__buffer_byte(to, ']');
}

static const char *ignored_word(marty__saga_ignored ignored)
{
    static const char *const words[] = {"",     "duplicate", "stale",   "ended",
                                        "late", "early",     "unknown", "malformed"};
    return words[ignored];
}

marty_err marty__saga_turn_json(const marty__saga_definition *definition,
                                const marty__saga_turn *turn, marty__buffer *to, marty_error *why)
{
    char due[MARTY__TIME_TEXT] = "";
    marty__buffer_format(to, "\"changed\":%s", turn->changed ? "true" : "false");
    add_text(to, "ignored", turn->changed ? "" : ignored_word(turn->ignored));
    add_text(to, "alert", turn->alert);
    add_text(to, "refused", turn->refused);
    if (turn->due_us) {
        (void)marty__time_format(due, turn->due_us);
        add_text(to, "due", due);
    }
    add_commands(turn, to);
    if (!turn->changed) {
        return MARTY_OK;
    }
    marty__buffer_text(to, ",\"history\":");
    marty_err err = marty__saga_history_json(definition, turn->history, to, why);
    marty__buffer_text(to, ",\"state\":");
    return err ? err : marty__saga_state_json(definition, turn->decoded, to, why);
}

bool marty__saga_batch_definition(marty_bytes batch, uint8_t ret[MARTY__SAGA_HASH_BYTES])
{
    const uint8_t *data = batch.data;
    bool found = false;
    marty__wire from = {.at = data, .end = data + batch.size};
    (void)marty__wire_number(&from);
    while (from.at < from.end && !from.broken) {
        marty__saga_entry entry;
        marty__saga_entry_read(&entry, &from);
        int place = entry.kind == MARTY__ENTRY_STARTED    ? 1
                    : entry.kind == MARTY__ENTRY_MIGRATED ? 0
                                                          : -1;
        if (!from.broken && place >= 0 && entry.b[place].size == MARTY__SAGA_HASH_BYTES) {
            memcpy(ret, entry.b[place].data, MARTY__SAGA_HASH_BYTES);
            found = true;
        }
    }
    return found;
}
