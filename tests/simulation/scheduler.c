/* SPDX-License-Identifier: Apache-2.0
 * What happens next: messages in any order, lost and doubled; time that jumps; participants at
 * work; people. Then all faults heal, and everything must end. */
#include "sim.h"

#include <stdio.h>

enum { HEALING_STEPS = 4000 };

/* ---- messages */
static void remove_message(sim *s, uint32_t index)
{
    s->messages[index] = s->messages[--s->message_count];
}

/* A local step in the store's own transaction: its effect and the transition are one, or neither.
 */
static void run_in_transaction(sim *s, const sim_message *message)
{
    const marty__saga_command *command = &message->command;
    sim_record *record = sim_record_of(s, command->key);
    if (record) {
        sim_participant(s, message);
        return;
    }
    if (!s->healing && sim_chance(s, s->faults.crash)) {
        sim_send(s, message); /* rolled back: the outbox still has it */
        return;
    }
    bool refuse = !s->healing && !strstr(command->step, "!") && sim_chance(s, s->faults.refuse);
    marty__saga_event event = {.kind = MARTY__SAGA_EVENT_REPLY,
                               .cause = command->message,
                               .key = command->key,
                               .attempt = command->attempt,
                               .reply = refuse ? MARTY__SAGA_REFUSED : MARTY__SAGA_OK,
                               .data = marty_text("{\"v\":0}")};
    if (s->record_count == SIM_RECORDS_MAX) {
        return;
    }
    uint32_t own = s->record_count++;
    s->records[own] = (sim_record){.key = sim_text(s, command->key),
                                   .saga = message->saga,
                                   .path = command->step,
                                   .status = refuse ? SIM_OP_REJECTED : SIM_OP_DONE,
                                   .effects = refuse ? 0 : 1,
                                   .result = "{\"v\":0}"};
    sim_event(s, message->saga, -1, &event);
    if (!s->turn.changed) {
        s->record_count = own; /* nobody waits for it any more: rolled back */
    }
}

static void deliver(sim *s, uint32_t index)
{
    sim_message message = s->messages[index];
    bool local = !message.to_saga && (message.command.kind == MARTY__SAGA_LOCAL_FORWARD ||
                                      message.command.kind == MARTY__SAGA_LOCAL_UNDO);
    bool once = !message.to_saga && message.command.at_most_once;
    bool doubled = !s->healing && !once && sim_chance(s, s->faults.duplicate);
    if (doubled) {
        s->fault_count++;
    } else {
        remove_message(s, index);
    }
    if (!s->healing && !local && sim_chance(s, s->faults.drop)) {
        s->fault_count++;
        sim_tell(s, "lost: %s", message.to_saga ? "to a saga" : message.command.step);
        return;
    }
    if (message.to_saga) {
        sim_event(s, message.saga, message.definition, &message.event);
    } else if (message.command.kind == MARTY__SAGA_LOCAL_FORWARD &&
               message.command.in_transaction) {
        run_in_transaction(s, &message);
    } else {
        sim_participant(s, &message);
    }
}

static void refuse_to_send(sim *s)
{
    uint32_t index = sim_below(s, s->message_count);
    sim_message message = s->messages[index];
    if (message.to_saga || message.command.kind != MARTY__SAGA_FORWARD) {
        return;
    }
    remove_message(s, index);
    s->fault_count++;
    marty__saga_event event = {.kind = MARTY__SAGA_EVENT_NOT_SENT,
                               .cause = "broker",
                               .key = message.command.key,
                               .attempt = message.command.attempt};
    sim_event(s, message.saga, -1, &event);
}

/* ---- time */
static void tick(sim *s, sim_saga *saga)
{
    sim_event(s, saga->id, -1, &(marty__saga_event){.kind = MARTY__SAGA_EVENT_TICK});
}

static int64_t next_due(const sim *s)
{
    int64_t due_us = 0;
    for (uint32_t i = 0; i < s->saga_count; i++) {
        int64_t at_us = s->sagas[i].due_us;
        due_us = at_us && (!due_us || at_us < due_us) ? at_us : due_us;
    }
    return due_us;
}

static void pass(sim *s)
{
    int64_t due_us = next_due(s);
    bool jump = !s->healing && sim_chance(s, s->faults.late);
    if (due_us > s->now_us && (s->healing || sim_chance(s, 60))) {
        s->now_us = due_us;
    } else if (!s->healing) {
        s->now_us += 1000 * (int64_t)(1 + sim_below(s, 300));
    }
    if (jump) {
        s->now_us += 1000 * (int64_t)sim_below(s, 8000);
        s->fault_count++;
    }
    uint32_t from = s->saga_count ? sim_below(s, s->saga_count) : 0;
    for (uint32_t i = 0; i < s->saga_count; i++) {
        sim_saga *saga = &s->sagas[(from + i) % s->saga_count];
        if (saga->due_us && saga->due_us <= s->now_us && (s->healing || sim_chance(s, 80))) {
            tick(s, saga);
        }
    }
}

static void inject_timer(sim *s, sim_saga *saga)
{
    marty__saga_event event = {.kind = MARTY__SAGA_EVENT_TIMER,
                               .token = 1 + sim_below(s, (uint32_t)saga->shadow.tokens + 1)};
    sim_event(s, saga->id, -1, &event);
}

/* ---- people */
static const char *path_of(sim *s, const sim_saga *saga, uint32_t slot)
{
    return marty__saga_path_in(&s->arena, s->definitions[saga->definition], &saga->shadow, slot);
}

static marty__saga_event verb_of(sim *s, const sim_saga *saga, marty__saga_verb verb, uint32_t slot)
{
    marty__saga_event event = {.kind = MARTY__SAGA_EVENT_VERB,
                               .verb = verb,
                               .id = sim_format(s, "v%u", ++s->ids),
                               .who = "ann",
                               .note = "because",
                               .data = marty_text("{\"v\":0}")};
    event.name = slot != UINT32_MAX ? path_of(s, saga, slot) : NULL;
    return event;
}

/* Says what is true, having made sure at the participant, or tells of an outcome by hand. */
static void make_true(sim *s, sim_saga *saga, marty__saga_event *event, uint32_t slot)
{
    uint8_t key[MARTY__SAGA_KEY_BYTES];
    char text[MARTY__SAGA_TEXT];
    marty__saga_op_key(key, saga->id, event->name, false,
                       saga->shadow.slots[slot].forward.generation);
    marty__saga_key_text(text, key);
    const marty__saga_node *node =
        &s->definitions[saga->definition]->nodes[saga->shadow.slots[slot].node];
    if (node->kind != MARTY__SAGA_CHILD && sim_seal(s, text, saga->id, event->name)) {
        event->no_effect = true;
        event->key = sim_text(s, text);
    } else if (saga->supplied_count < 16) {
        saga->supplied[saga->supplied_count++] = event->name;
    } else {
        event->verb = MARTY__SAGA_VERB_RETRY;
    }
}

static uint32_t some_stuck(sim *s, const sim_saga *saga)
{
    uint32_t count = saga->shadow.slot_count, from = count ? sim_below(s, count) : 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t slot = (from + i) % count;
        if (saga->shadow.slots[slot].stuck) {
            return slot;
        }
    }
    return UINT32_MAX;
}

/* One that is stuck, or sometimes one that is called or undone: its attempts may go on. */
static uint32_t some_trouble(sim *s, const sim_saga *saga)
{
    uint32_t count = saga->shadow.slot_count, slot = some_stuck(s, saga);
    if (slot != UINT32_MAX || !count || !sim_chance(s, 30)) {
        return slot;
    }
    slot = sim_below(s, count);
    switch ((int)saga->shadow.slots[slot].status) {
    case MARTY__SAGA_CALLING:
    case MARTY__SAGA_BACKOFF:
    case MARTY__SAGA_UNDOING:
    case MARTY__SAGA_UNDO_BACKOFF:
        return slot;
    default:
        return UINT32_MAX;
    }
}

static void act(sim *s, sim_saga *saga)
{
    static const marty__saga_verb repairs[] = {
        MARTY__SAGA_VERB_RETRY,     MARTY__SAGA_VERB_RETRY, MARTY__SAGA_VERB_SUPPLY,
        MARTY__SAGA_VERB_SKIP,      MARTY__SAGA_VERB_WAIVE, MARTY__SAGA_VERB_REPLACE_INPUT,
        MARTY__SAGA_VERB_COMPENSATE};
    static const marty__saga_verb steering[] = {
        MARTY__SAGA_VERB_CANCEL, MARTY__SAGA_VERB_PAUSE,  MARTY__SAGA_VERB_PAUSE,
        MARTY__SAGA_VERB_RESUME, MARTY__SAGA_VERB_RESUME, MARTY__SAGA_VERB_COMPENSATE};
    uint32_t slot = some_trouble(s, saga);
    bool repair = slot != UINT32_MAX && sim_chance(s, 70);
    marty__saga_event event =
        repair ? verb_of(s, saga, repairs[sim_below(s, 7)], slot)
               : verb_of(s, saga,
                         sim_chance(s, 2) ? MARTY__SAGA_VERB_ABANDON : steering[sim_below(s, 6)],
                         UINT32_MAX);
    event.forced = event.verb == MARTY__SAGA_VERB_COMPENSATE && sim_chance(s, 10);
    if (event.verb == MARTY__SAGA_VERB_SUPPLY) {
        make_true(s, saga, &event, slot);
    }
    sim_message message = {.to_saga = true, .saga = saga->id, .definition = -1, .event = event};
    sim_send(s, &message);
}

static void send_signal(sim *s, const sim_saga *saga)
{
    bool repeat = s->ids && sim_chance(s, 20);
    sim_message message = {.to_saga = true,
                           .saga = saga->id,
                           .definition = -1,
                           .event = {.kind = MARTY__SAGA_EVENT_SIGNAL,
                                     .name = "go",
                                     .id = repeat ? "again" : sim_format(s, "s%u", ++s->ids),
                                     .ttl_ms = sim_chance(s, 50) ? 3000 : 0,
                                     .data = marty_text("{\"v\":1}")}};
    sim_send(s, &message);
}

/* ---- while things go wrong */
static void send_start(sim *s, uint32_t number)
{
    sim_message message = {.to_saga = true,
                           .saga = sim_format(s, "top%u", number),
                           .definition = 0,
                           .event = {.kind = MARTY__SAGA_EVENT_START, .cause = "start"}};
    message.event.saga = message.saga;
    message.event.start_key = message.saga;
    message.event.data = marty_text(sim_format(s, "{\"lines\":%s,\"vip\":%u}",
                                               sim_chance(s, 70)   ? "[1,2]"
                                               : sim_chance(s, 60) ? "[7]"
                                               : sim_chance(s, 30) ? "[]"
                                               : sim_chance(s, 50) ? "[1,2,3,4,5]"
                                                                   : "null",
                                               sim_below(s, 2)));
    sim_send(s, &message);
}

static void step(sim *s)
{
    uint32_t what = sim_below(s, 100);
    sim_saga *saga = s->saga_count ? &s->sagas[sim_below(s, s->saga_count)] : NULL;
    if (what < 60 && s->message_count) {
        deliver(s, sim_below(s, s->message_count));
    } else if (what < 68) {
        (void)sim_participant_works(s);
    } else if (what < 84 || !saga) {
        pass(s);
    } else if (what < 84 + s->faults.people) {
        act(s, saga);
    } else if (what < 92) {
        send_signal(s, saga);
    } else if (what < 94) {
        inject_timer(s, saga);
    } else if (what < 95) {
        tick(s, saga);
    } else if (what < 96) {
        sim_migrate(s, saga);
    } else if (what < 98 && s->message_count) {
        refuse_to_send(s);
    } else {
        pass(s);
    }
}

/* ---- when all is well again */
static marty__saga_verb repair_of(const sim *s, const sim_saga *saga, uint32_t slot)
{
    const marty__saga_slot *own = &saga->shadow.slots[slot];
    const marty__saga_node *node = &s->definitions[saga->definition]->nodes[own->node];
    bool running = saga->shadow.phase == MARTY__SAGA_RUNNING;
    if (own->status == MARTY__SAGA_UNDO_STUCK) {
        bool hopeless = own->stuck == MARTY__SAGA_STUCK_NO_UNDO ||
                        own->stuck == MARTY__SAGA_STUCK_HORIZON ||
                        own->stuck == MARTY__SAGA_STUCK_RESIDUE || node->kind == MARTY__SAGA_CHILD;
        return hopeless ? MARTY__SAGA_VERB_WAIVE : MARTY__SAGA_VERB_RETRY;
    }
    if (own->status == MARTY__SAGA_REJECTED) {
        bool again = node->kind == MARTY__SAGA_COMMAND || node->kind == MARTY__SAGA_LOCAL;
        return again ? MARTY__SAGA_VERB_RETRY : MARTY__SAGA_VERB_SKIP;
    }
    if (own->stuck == MARTY__SAGA_STUCK_RESIDUE || own->stuck == MARTY__SAGA_STUCK_HORIZON ||
        node->at_most_once) {
        return !running                         ? MARTY__SAGA_VERB_WAIVE
               : node->step == MARTY_STEP_PIVOT ? MARTY__SAGA_VERB_SUPPLY
                                                : MARTY__SAGA_VERB_SKIP;
    }
    return MARTY__SAGA_VERB_RETRY;
}

static bool repair(sim *s, sim_saga *saga)
{
    if (saga->ended || !saga->version) {
        return false;
    }
    if (saga->shadow.flags & MARTY__SAGA_PAUSED) {
        marty__saga_event event = verb_of(s, saga, MARTY__SAGA_VERB_RESUME, UINT32_MAX);
        sim_event(s, saga->id, -1, &event);
        return true;
    }
    uint32_t slot = some_stuck(s, saga);
    if (slot == UINT32_MAX) {
        return false;
    }
    marty__saga_event event = verb_of(s, saga, repair_of(s, saga, slot), slot);
    if (event.verb == MARTY__SAGA_VERB_SUPPLY) {
        make_true(s, saga, &event, slot);
    }
    sim_event(s, saga->id, -1, &event);
    return true;
}

static bool all_ended(const sim *s)
{
    for (uint32_t i = 0; i < s->saga_count; i++) {
        if (!s->sagas[i].ended) {
            return false;
        }
    }
    return true;
}

static void heal(sim *s)
{
    s->healing = true;
    s->faults.skew = 0;
    for (int i = 0; i < HEALING_STEPS && !s->failed; i++) {
        if (s->message_count) {
            deliver(s, 0);
        } else if (!sim_participant_works(s)) {
            bool acted = false;
            for (uint32_t saga = 0; saga < s->saga_count; saga++) {
                acted = repair(s, &s->sagas[saga]) || acted;
            }
            if (all_ended(s)) {
                return;
            }
            if (!acted) {
                pass(s);
            }
        }
    }
    for (uint32_t i = 0; i < s->saga_count; i++) {
        if (!s->sagas[i].ended) {
            sim_wrong(s, &s->sagas[i], "27: it does not end, being %s",
                      marty__saga_state_word(&s->sagas[i].shadow));
        }
    }
}

static void choose_faults(sim *s)
{
    bool calm = sim_chance(s, 15);
    s->faults = (sim_faults){.drop = calm ? 0 : sim_below(s, 25),
                             .duplicate = calm ? 0 : sim_below(s, 30),
                             .late = sim_below(s, 30),
                             .refuse = sim_below(s, 25),
                             .transient = sim_below(s, 30),
                             .slow = sim_below(s, 40),
                             .crash = calm ? 0 : sim_below(s, 30),
                             .undo_fails = sim_below(s, 50),
                             .people = sim_chance(s, 50) ? sim_below(s, 6) : 0,
                             .skew = sim_chance(s, 30) ? 1 + sim_below(s, 100) : 0};
}

bool sim_run(sim *s, uint64_t seed)
{
    sim_begin(s, seed);
    choose_faults(s);
    for (int i = 0; i < SIM_DEFINITIONS && !s->failed; i++) {
        uint64_t before = s->random;
        s->definitions[i] = sim_definition(s, i, false);
        if (i == 0 && !s->failed) {
            s->random = before; /* the same once more, and a step more */
            s->definitions[SIM_NEXT] = sim_definition(s, i, true);
        }
        sim_tell(s, "definition %d: %s", i, s->definitions[i] ? s->definitions[i]->json : "none");
    }
    s->rules.horizon_ms = sim_chance(s, 25) ? 4000 + sim_below(s, 8000) : 0;
    uint32_t sagas = 1 + sim_below(s, 3), steps = 60 + sim_below(s, 240);
    for (uint32_t i = 0; i < sagas; i++) {
        send_start(s, i);
    }
    for (uint32_t i = 0; i < steps && !s->failed; i++) {
        step(s);
        sim_check_effects(s, false);
    }
    if (!s->failed) {
        heal(s);
        sim_check_effects(s, true);
    }
    return !s->failed;
}
