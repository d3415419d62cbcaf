/* SPDX-License-Identifier: Apache-2.0
 * The bare machine as host: a store of bytes, one decision at a time, commands handed on once the
 * transition is stored. Nothing is kept between two events but what an engine's store would have.
 */
#include "sim.h"

sim_saga *sim_find(sim *s, const char *id)
{
    for (uint32_t i = 0; i < s->saga_count; i++) {
        if (strcmp(s->sagas[i].id, id) == 0) {
            return &s->sagas[i];
        }
    }
    return NULL;
}

static sim_saga *saga_for(sim *s, const char *id, int definition)
{
    sim_saga *saga = sim_find(s, id);
    if (!saga && s->saga_count < SIM_SAGAS_MAX && definition >= 0) {
        saga = &s->sagas[s->saga_count++];
        *saga = (sim_saga){.id = sim_text(s, id), .definition = definition};
        saga->shadow.arena = &s->arena;
    }
    return saga;
}

static int definition_of(const char *name)
{
    return name && name[0] == 'd' ? name[1] - '0' : -1;
}

static marty__saga_command copy_command(sim *s, const marty__saga_command *from)
{
    marty__saga_command copy = *from;
    copy.service = sim_text(s, from->service);
    copy.type = sim_text(s, from->type);
    copy.step = sim_text(s, from->step);
    copy.reason = sim_text(s, from->reason);
    copy.data = sim_bytes(s, from->data);
    return copy;
}

/* To a child, or back to a parent. */
static void to_family(sim *s, const sim_saga *saga, const marty__saga_command *command)
{
    sim_message message = {.to_saga = true,
                           .saga = sim_text(s, command->child),
                           .definition = definition_of(command->type)};
    marty__saga_event *event = &message.event;
    event->key = sim_text(s, command->key);
    event->attempt = command->attempt;
    event->saga = message.saga;
    event->parent = saga->id;
    event->cause = sim_text(s, command->message);
    event->data = sim_bytes(s, command->data);
    if (command->kind == MARTY__SAGA_CHILD_START) {
        event->kind = MARTY__SAGA_EVENT_START;
        event->data = (marty_bytes){"{\"lines\":[1,2],\"vip\":1}", 23};
    } else if (command->kind == MARTY__SAGA_CHILD_CANCEL) {
        event->kind = MARTY__SAGA_EVENT_PARENT_CANCEL;
        event->data = (marty_bytes){NULL, 0};
    } else if (command->kind == MARTY__SAGA_CHILD_UNDO) {
        event->kind = MARTY__SAGA_EVENT_PARENT_UNDO;
        event->data = (marty_bytes){NULL, 0};
    } else {
        event->kind = MARTY__SAGA_EVENT_REPLY;
        event->reply = command->reply;
        event->tombstone = command->tombstone;
        event->reason = sim_text(s, command->reason);
        event->parent = NULL;
        message.saga = sim_text(s, command->child);
        message.definition = -1;
    }
    sim_send(s, &message);
}

static void hand_on(sim *s, sim_saga *saga, bool decided)
{
    for (size_t i = 0; i < s->turn.command_count; i++) {
        const marty__saga_command *command = &s->turn.commands[i];
        if (decided) {
            sim_check_command(s, saga, command);
        }
        if (command->kind >= MARTY__SAGA_CHILD_START && command->kind <= MARTY__SAGA_ANSWER) {
            to_family(s, saga, command);
        } else if (command->kind != MARTY__SAGA_PUBLISH) {
            sim_message message = {.saga = saga->id, .command = copy_command(s, command)};
            sim_send(s, &message);
        }
    }
}

static const char *event_word(const marty__saga_event *event)
{
    static const char *const events[] = {
        "",       "start", "reply",         "tick",        "timer",
        "signal", "verb",  "parent-cancel", "parent-undo", "not-sent"};
    static const char *const replies[] = {"",         "ok",       "refused",  "retry",   "accepted",
                                          "progress", "was-done", "not-done", "unknown", "left"};
    static const char *const verbs[] = {"",     "cancel", "pause", "resume",     "retry",  "supply",
                                        "skip", "waive",  "input", "compensate", "abandon"};
    return event->kind == MARTY__SAGA_EVENT_REPLY  ? replies[event->reply]
           : event->kind == MARTY__SAGA_EVENT_VERB ? verbs[event->verb]
                                                   : events[event->kind];
}

static void tell(sim *s, const sim_saga *saga, const marty__saga_event *event, marty_err err)
{
    marty__buffer line = {0};
    if (!s->verbose) {
        return;
    }
    marty__buffer_format(&line, "%.8s %s %.8s.%u%s%s%s", saga->id, event_word(event),
                         event->key ? event->key : "", event->attempt,
                         event->tombstone ? " tombstone" : "", event->name ? " " : "",
                         event->name ? event->name : "");
    if (err) {
        marty__buffer_format(&line, " -> error %d", (int)err);
    } else if (!s->turn.changed) {
        marty__buffer_format(&line, " -> ignored %d", (int)s->turn.ignored);
    } else {
        marty__buffer_format(&line, " -> v%llu %s:", (unsigned long long)s->turn.decoded->version,
                             marty__saga_state_word(s->turn.decoded));
        for (uint32_t i = 0; i < s->turn.decoded->slot_count; i++) {
            const marty__saga_slot *slot = &s->turn.decoded->slots[i];
            marty__arena scratch = {0};
            const marty__saga_node *node = &s->definitions[saga->definition]->nodes[slot->node];
            if (marty__saga_is_leaf(node)) {
                marty__buffer_format(&line, " %s=%s%s",
                                     marty__saga_path_in(&scratch, s->definitions[saga->definition],
                                                         s->turn.decoded, i),
                                     marty__saga_status_word(slot->status), slot->stuck ? "!" : "");
            }
            marty__arena_free(&scratch);
        }
    }
    for (size_t i = 0; !err && i < s->turn.command_count; i++) {
        marty__buffer_format(&line, " [%d %s %.8s.%u]", (int)s->turn.commands[i].kind,
                             s->turn.commands[i].step, s->turn.commands[i].key,
                             s->turn.commands[i].attempt);
    }
    sim_tell(s, "%s", line.data);
    marty__buffer_free(&line);
}

static void store(sim *s, sim_saga *saga, const marty__saga_event *event)
{
    sim_check_turn(s, saga, event);
    saga->state = sim_bytes(s, s->turn.state);
    saga->due_us = s->turn.due_us;
    saga->version = s->turn.decoded->version;
    saga->ended = marty__saga_ended(s->turn.decoded);
    s->transitions++;
    for (size_t i = 0; i < s->turn.history.size; i++) {
        s->trace =
            (s->trace ^ ((const uint8_t *)s->turn.history.data)[i]) * UINT64_C(0x100000001b3);
    }
}

void sim_event(sim *s, const char *id, int definition, const marty__saga_event *event)
{
    sim_saga *saga = saga_for(s, id, definition);
    marty_error why = {0};
    s->turn.changed = false;
    if (!saga) {
        return;
    }
    int64_t skew_us = s->faults.skew ? (int64_t)sim_below(s, 2 * s->faults.skew) * 1000 -
                                           (int64_t)s->faults.skew * 1000
                                     : 0;
    s->events++;
    marty_err err = marty__saga_decide(s->definitions[saga->definition], &s->rules, saga->state,
                                       event, s->now_us + skew_us, &s->turn, &why);
    tell(s, saga, event, err);
    if (err && event->kind != MARTY__SAGA_EVENT_VERB) {
        sim_wrong(s, saga, "%s failed: %s", event_word(event), why.text);
    }
    if (err) {
        s->turn.command_count = 0;
        return;
    }
    sim_check_ignored(s, saga, event);
    bool decided = s->turn.changed;
    if (decided) {
        store(s, saga, event);
    } else if (!saga->state.size) {
        s->saga_count -= saga == &s->sagas[s->saga_count - 1]; /* it did not come to be */
    }
    hand_on(s, saga, decided);
    s->turn.changed = decided;
}

void sim_migrate(sim *s, sim_saga *saga)
{
    marty_error why = {0};
    marty__saga_event event = {
        .kind = MARTY__SAGA_EVENT_VERB, .id = sim_format(s, "m%u", ++s->ids), .who = "ann"};
    if (saga->definition != 0 || !saga->version) {
        return;
    }
    s->events++;
    marty_err err = marty__saga_migrate(s->definitions[0], s->definitions[SIM_NEXT], &s->rules,
                                        saga->state, &event, s->now_us, &s->turn, &why);
    if (err) {
        sim_wrong(s, saga, "a migration failed: %s", why.text);
    } else if (s->turn.changed) {
        saga->definition = SIM_NEXT;
        tell(s, saga, &event, err);
        store(s, saga, &event);
        hand_on(s, saga, true);
    }
}

void sim_send(sim *s, const sim_message *message)
{
    if (s->message_count < SIM_MESSAGES_MAX) {
        s->messages[s->message_count++] = *message;
    }
}
