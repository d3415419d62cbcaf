/* SPDX-License-Identifier: Apache-2.0
 * Participants by the contract: they remember every op key and what they answered for good, seal a
 * key whose undo or probe came first, and refuse nothing for being late. What they really did is
 * counted here, apart from what any message says. */
#include "sim.h"

#include <stdio.h>

sim_record *sim_record_of(sim *s, const char *key)
{
    for (uint32_t i = 0; i < s->record_count; i++) {
        if (strcmp(s->records[i].key, key) == 0) {
            return &s->records[i];
        }
    }
    return NULL;
}

static sim_record *record_for(sim *s, const char *key, const char *saga, const char *path)
{
    sim_record *found = sim_record_of(s, key);
    if (!found && s->record_count < SIM_RECORDS_MAX) {
        found = &s->records[s->record_count++];
        *found = (sim_record){
            .key = sim_text(s, key), .saga = sim_text(s, saga), .path = sim_text(s, path)};
    }
    return found;
}

uint32_t sim_effects(const sim *s, const char *saga, const char *path)
{
    uint32_t effects = 0;
    for (uint32_t i = 0; i < s->record_count; i++) {
        const sim_record *record = &s->records[i];
        if (strcmp(record->saga, saga) == 0 && strcmp(record->path, path) == 0) {
            effects += record->effects;
        }
    }
    return effects;
}

bool sim_seal(sim *s, const char *key, const char *saga, const char *path)
{
    sim_record *record = record_for(s, key, saga, path);
    if (!record || record->status == SIM_OP_RUNNING || record->status == SIM_OP_DONE) {
        return false;
    }
    record->status = record->status == SIM_OP_ABSENT ? SIM_OP_TOMBSTONE : record->status;
    return true;
}

static void reply(sim *s, const char *saga, const char *key, uint32_t attempt,
                  marty__saga_reply kind, bool tombstone, const char *data)
{
    sim_message message = {.to_saga = true,
                           .saga = saga,
                           .event = {.kind = MARTY__SAGA_EVENT_REPLY,
                                     .cause = "reply",
                                     .key = sim_text(s, key),
                                     .attempt = attempt,
                                     .reply = kind,
                                     .tombstone = tombstone,
                                     .reason = kind == MARTY__SAGA_REFUSED ? "no" : NULL,
                                     .delay_ms = kind == MARTY__SAGA_RETRY ? 50 : 0,
                                     .data = marty_text(data)}};
    sim_send(s, &message);
}

static void do_effect(sim *s, sim_record *record)
{
    record->status = SIM_OP_DONE;
    record->effects++;
    snprintf(record->result, sizeof record->result, "{\"v\":%u}", sim_below(s, 3));
}

/* What a participant does with a command that it sees for the first time. */
static void act(sim *s, const sim_message *message, sim_record *record)
{
    const marty__saga_command *command = &message->command;
    bool retriable = strstr(command->step, "!") != NULL;
    bool healing = s->healing;
    if (!healing && sim_chance(s, s->faults.crash)) {
        return; /* died before its commit */
    }
    if (!healing && sim_chance(s, s->faults.transient)) {
        reply(s, message->saga, command->key, command->attempt, MARTY__SAGA_RETRY, false, "");
    } else if (!healing && !retriable && sim_chance(s, s->faults.refuse)) {
        record->status = SIM_OP_REJECTED;
        reply(s, message->saga, command->key, command->attempt, MARTY__SAGA_REFUSED, false, "");
    } else if (!healing && sim_chance(s, s->faults.slow)) {
        record->status = SIM_OP_RUNNING;
        record->attempt = command->attempt;
        reply(s, message->saga, command->key, command->attempt, MARTY__SAGA_ACCEPTED, false, "");
    } else {
        do_effect(s, record);
        if (healing || !sim_chance(s, s->faults.crash)) { /* or died before it answered */
            reply(s, message->saga, command->key, command->attempt, MARTY__SAGA_OK, false,
                  record->result);
        }
    }
}

static void on_forward(sim *s, const sim_message *message)
{
    const marty__saga_command *command = &message->command;
    sim_record *record = record_for(s, command->key, message->saga, command->step);
    if (!record) {
        return;
    }
    switch (record->status) {
    case SIM_OP_DONE:
        if (command->at_most_once) {
            record->effects++; /* it cannot tell: the promise was that this does not happen */
            record->once = true;
        }
        reply(s, message->saga, command->key, command->attempt, MARTY__SAGA_OK, false,
              record->result);
        return;
    case SIM_OP_REJECTED:
    case SIM_OP_TOMBSTONE:
        reply(s, message->saga, command->key, command->attempt, MARTY__SAGA_REFUSED,
              record->status == SIM_OP_TOMBSTONE, "");
        return;
    case SIM_OP_RUNNING:
        record->attempt = command->attempt;
        reply(s, message->saga, command->key, command->attempt,
              sim_chance(s, 50) ? MARTY__SAGA_ACCEPTED : MARTY__SAGA_PROGRESS, false, "");
        return;
    case SIM_OP_ABSENT:
        break;
    }
    if (command->expires_us && s->now_us > command->expires_us) {
        reply(s, message->saga, command->key, command->attempt, MARTY__SAGA_RETRY, false, "");
    } else {
        act(s, message, record);
    }
}

static void undo(sim *s, const sim_message *message, sim_record *own, sim_record *forward)
{
    const marty__saga_command *command = &message->command;
    bool fails = !s->healing && sim_chance(s, s->faults.undo_fails);
    if (forward->status == SIM_OP_RUNNING) {
        reply(s, message->saga, command->key, command->attempt, MARTY__SAGA_RETRY, false, "");
        return;
    }
    if (fails && sim_chance(s, 50)) {
        own->status = SIM_OP_REJECTED;
        reply(s, message->saga, command->key, command->attempt, MARTY__SAGA_REFUSED, false, "");
        return;
    }
    if (fails) {
        if (sim_chance(s, 50)) {
            reply(s, message->saga, command->key, command->attempt, MARTY__SAGA_RETRY, false, "");
        }
        return;
    }
    if (forward->status == SIM_OP_DONE) {
        forward->effects -= !forward->undone;
        forward->undone = true;
    } else if (forward->status == SIM_OP_ABSENT) {
        forward->status = SIM_OP_TOMBSTONE;
    }
    own->status = SIM_OP_DONE;
    if (s->healing || !sim_chance(s, s->faults.crash)) {
        reply(s, message->saga, command->key, command->attempt, MARTY__SAGA_OK, false, "");
    }
}

static void on_undo(sim *s, const sim_message *message)
{
    const marty__saga_command *command = &message->command;
    sim_record *own = record_for(s, command->key, "", "");
    sim_record *forward =
        own ? record_for(s, command->forward_key, message->saga, command->step) : NULL;
    if (!forward) {
        return;
    }
    own->undo = true;
    own->forward_key = forward->key;
    if (own->status == SIM_OP_DONE || own->status == SIM_OP_REJECTED) {
        reply(s, message->saga, command->key, command->attempt,
              own->status == SIM_OP_DONE ? MARTY__SAGA_OK : MARTY__SAGA_REFUSED, false, "");
    } else {
        undo(s, message, own, forward);
    }
}

static void on_probe(sim *s, const sim_message *message)
{
    const marty__saga_command *command = &message->command;
    sim_record *record = record_for(s, command->key, message->saga, command->step);
    if (!record || (!s->healing && sim_chance(s, s->faults.crash))) {
        return;
    }
    if (record->status == SIM_OP_ABSENT) {
        record->status = SIM_OP_TOMBSTONE;
    }
    marty__saga_reply kind = record->status == SIM_OP_DONE      ? MARTY__SAGA_WAS_DONE
                             : record->status == SIM_OP_RUNNING ? MARTY__SAGA_UNKNOWN
                                                                : MARTY__SAGA_NOT_DONE;
    reply(s, message->saga, command->key, command->attempt, kind, false,
          kind == MARTY__SAGA_WAS_DONE ? record->result : "");
}

void sim_participant(sim *s, const sim_message *message)
{
    switch (message->command.kind) {
    case MARTY__SAGA_FORWARD:
    case MARTY__SAGA_LOCAL_FORWARD:
        on_forward(s, message);
        break;
    case MARTY__SAGA_UNDO:
    case MARTY__SAGA_LOCAL_UNDO:
        on_undo(s, message);
        break;
    case MARTY__SAGA_PROBE:
        on_probe(s, message);
        break;
    case MARTY__SAGA_CHILD_START:
    case MARTY__SAGA_CHILD_CANCEL:
    case MARTY__SAGA_CHILD_UNDO:
    case MARTY__SAGA_ANSWER:
    case MARTY__SAGA_PUBLISH:
        break;
    }
}

bool sim_participant_works(sim *s)
{
    uint32_t from = s->record_count ? sim_below(s, s->record_count) : 0;
    for (uint32_t i = 0; i < s->record_count; i++) {
        sim_record *record = &s->records[(from + i) % s->record_count];
        if (record->status != SIM_OP_RUNNING) {
            continue;
        }
        if (!s->healing && sim_chance(s, 20)) {
            reply(s, record->saga, record->key, record->attempt, MARTY__SAGA_PROGRESS, false,
                  "{\"at\":1}");
        } else if (!s->healing && sim_chance(s, s->faults.refuse)) {
            record->status = SIM_OP_REJECTED;
            reply(s, record->saga, record->key, record->attempt, MARTY__SAGA_REFUSED, false, "");
        } else {
            do_effect(s, record);
            reply(s, record->saga, record->key, record->attempt, MARTY__SAGA_OK, false,
                  record->result);
        }
        return true;
    }
    return false;
}
