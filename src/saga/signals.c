/* SPDX-License-Identifier: Apache-2.0
 * Signals: once each, by their id; kept when they come before their wait (row 29). */
#include "inside.h"

#include "message/json_scan.h"

bool marty__saga_seen(inside *in, const char *what, const char *id)
{
    uint8_t key[MARTY__SAGA_KEY_BYTES];
    marty__saga_id_key(key, what, id);
    for (uint32_t i = 0; i < in->state.seen_count; i++) {
        if (memcmp(in->state.seen[i], key, sizeof key) == 0) {
            return MARTY__MUTANT(18, true, false);
        }
    }
    if (in->state.seen_count >= MARTY__SAGA_SEEN_MAX) {
        (void)marty__saga_fail(in, MARTY_E_FULL, "it has had its most signals and verbs");
        return true;
    }
    char *kept = (char *)marty__arena_text(&in->arena, (const char *)key, sizeof key);
    if (!kept) {
        (void)marty__saga_fail(in, MARTY_E_NO_MEMORY, "out of memory");
        return true;
    }
    marty__saga_emit(in,
                     &(marty__saga_entry){.kind = MARTY__ENTRY_SEEN, .b = {{kept, sizeof key}}});
    return in->err != MARTY_OK;
}

static uint32_t open_wait(const inside *in, const char *name)
{
    for (uint32_t i = 0; i < in->state.slot_count; i++) {
        const marty__saga_node *node = marty__saga_node_at(in, i);
        if (node->kind == MARTY__SAGA_SIGNAL && strcmp(node->signal, name) == 0 &&
            marty__saga_slot_at(in, i)->status == MARTY__SAGA_CALLING) {
            return i;
        }
    }
    return UINT32_MAX;
}

static bool fits(inside *in)
{
    const marty__saga_event *event = in->event;
    marty__json_value value;
    size_t name = event->name ? strlen(event->name) : 0, id = event->id ? strlen(event->id) : 0;
    if (!name || name > MARTY__SAGA_ID_BYTES_MAX || !id || id > MARTY__SAGA_ID_BYTES_MAX) {
        (void)marty__saga_fail(in, MARTY_E_ARGUMENT,
                               "a signal needs a name and an id, of at most 255 bytes");
    } else if (event->data.size &&
               !marty__json_valid(event->data.data, event->data.size, false, 32, &value)) {
        (void)marty__saga_fail(in, MARTY_E_MALFORMED, "the data of a signal must be JSON");
    } else if (event->data.size > MARTY__SAGA_RESULT_BYTES_MAX ||
               in->before_size + event->data.size > MARTY__SAGA_STATE_BYTES_MAX / 8 * 7) {
        (void)marty__saga_fail(in, MARTY_E_TOO_LARGE, "the data of the signal is over the limit");
    }
    return in->err == MARTY_OK;
}

void marty__saga_on_signal(inside *in)
{
    const marty__saga_event *event = in->event;
    if (marty__saga_ended(&in->state)) {
        marty__saga_ignore(in, MARTY__SAGA_IGNORED_ENDED);
        return;
    }
    if (in->state.phase != MARTY__SAGA_RUNNING) {
        marty__saga_ignore(in, MARTY__SAGA_IGNORED_LATE); /* no wait will open any more */
        return;
    }
    if (!fits(in)) {
        return;
    }
    if (marty__saga_seen(in, "signal", event->id)) {
        marty__saga_ignore(in, MARTY__SAGA_IGNORED_DUPLICATE);
        return;
    }
    uint32_t wait = open_wait(in, event->name);
    if (wait != UINT32_MAX) {
        marty__saga_done(in, wait, event->data);
    } else if (in->state.kept_count >= MARTY__SAGA_KEPT_MAX) {
        (void)marty__saga_fail(in, MARTY_E_FULL, "it keeps its most signals already");
    } else {
        uint64_t until = event->ttl_ms ? (uint64_t)marty__saga_after(in, event->ttl_ms) : 0;
        marty__saga_emit(in, &(marty__saga_entry){.kind = MARTY__ENTRY_KEPT,
                                                  .n = {until},
                                                  .b = {marty_text(event->name), event->data}});
    }
}
