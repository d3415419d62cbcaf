/* SPDX-License-Identifier: Apache-2.0
 * Entries as bytes: kind, numbers, texts, as their shape says. */
#include "entry.h"

const marty__saga_entry_shape marty__saga_entry_shapes[MARTY__ENTRY_LAST + 1] = {
    [MARTY__ENTRY_BATCH] = {"batch", {"version", "at", "cause"}, {"tid", "twho", "tnote"}},
    [MARTY__ENTRY_STARTED] = {"started",
                              {"flags"},
                              {"tid", "hdefinition", "jinput", "tkey", "hparent", "tparent_saga"}},
    [MARTY__ENTRY_PHASE] = {"phase", {"phase"}, {"treason"}},
    [MARTY__ENTRY_FLAGS] = {"flags", {"set", "clear"}, {NULL}},
    [MARTY__ENTRY_DEADLINE] = {"deadline", {"due"}, {NULL}},
    [MARTY__ENTRY_SEEN] = {"seen", {NULL}, {"hid"}},
    [MARTY__ENTRY_KEPT] = {"kept", {"until"}, {"tname", "jdata"}},
    [MARTY__ENTRY_TAKEN] = {"taken", {"index"}, {NULL}},
    [MARTY__ENTRY_UNDO_ASKED] = {"undo-asked", {NULL}, {"hkey"}},
    [MARTY__ENTRY_OPENED] = {"opened", {"node", "parent", "iteration", "leaf"}, {NULL}},
    [MARTY__ENTRY_STATUS] = {"status", {"slot", "status"}, {"ttext"}},
    [MARTY__ENTRY_STUCK] = {"stuck", {"slot", "why"}, {"treason"}},
    [MARTY__ENTRY_SENT] = {"sent", {"slot", "undo"}, {NULL}},
    [MARTY__ENTRY_GENERATION] = {"generation", {"slot", "undo"}, {NULL}},
    [MARTY__ENTRY_TIMER] = {"timer", {"slot", "which", "due"}, {NULL}},
    [MARTY__ENTRY_MARK] = {"mark", {"slot", "set", "clear"}, {NULL}},
    [MARTY__ENTRY_REASON] = {"reason", {"slot"}, {"treason"}},
    [MARTY__ENTRY_CHECKPOINT] = {"checkpoint", {"slot"}, {"jdata"}},
    [MARTY__ENTRY_INPUT] = {"input", {"slot", "undo"}, {"jdata"}},
    [MARTY__ENTRY_BUDGET] = {"budget", {"slot", "undo"}, {NULL}},
    [MARTY__ENTRY_PROBED] = {"probed", {"slot"}, {NULL}},
    [MARTY__ENTRY_COUNT] = {"count", {"slot", "count"}, {NULL}},
    [MARTY__ENTRY_NOTE] = {"note", {NULL}, {"ttext"}},
    [MARTY__ENTRY_MIGRATED] = {"migrated", {NULL}, {"hdefinition", "hnodes"}},
};

void marty__saga_entry_write(const marty__saga_entry *entry, marty__buffer *to)
{
    const marty__saga_entry_shape *shape = &marty__saga_entry_shapes[entry->kind];
    marty__buffer_byte(to, (char)entry->kind);
    for (int i = 0; i < MARTY__ENTRY_NUMBERS && shape->numbers[i]; i++) {
        marty__wire_put(to, entry->n[i]);
    }
    for (int i = 0; i < MARTY__ENTRY_BYTES && shape->bytes[i]; i++) {
        marty__wire_put_bytes(to, entry->b[i]);
    }
}

void marty__saga_entry_read(marty__saga_entry *ret, marty__wire *from)
{
    *ret = (marty__saga_entry){
        .kind = (marty__saga_entry_kind)marty__wire_some(from, MARTY__ENTRY_LAST)};
    if (from->broken) {
        return;
    }
    const marty__saga_entry_shape *shape = &marty__saga_entry_shapes[ret->kind];
    for (int i = 0; i < MARTY__ENTRY_NUMBERS && shape->numbers[i]; i++) {
        ret->n[i] = marty__wire_number(from);
    }
    for (int i = 0; i < MARTY__ENTRY_BYTES && shape->bytes[i]; i++) {
        ret->b[i] = marty__wire_bytes(from, MARTY__SAGA_STATE_BYTES_MAX);
    }
}
