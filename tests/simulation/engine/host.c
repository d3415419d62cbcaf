/* SPDX-License-Identifier: Apache-2.0
 * Engines that live and die: the real core, its wire to the simulated participants, and the inputs
 * that messages become. A message is taken off only when core has said that it is durable, or
 * nothing new; then, and always, deciding it again on what is stored must change nothing. */
#include "world.h"

#include "base/alloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the host's part of the machine's simulation */
sim_saga *sim_find(sim *s, const char *id)
{
    for (uint32_t i = 0; i < s->saga_count; i++) {
        if (strcmp(s->sagas[i].id, id) == 0) {
            return &s->sagas[i];
        }
    }
    return NULL;
}

void sim_send(sim *s, const sim_message *message)
{
    if (s->message_count < SIM_MESSAGES_MAX) {
        s->messages[s->message_count++] = *message;
    }
}

void sim_event(sim *s, const char *id, int definition, const marty__saga_event *event)
{
    sim_message message = {.to_saga = true, .saga = id, .definition = definition, .event = *event};
    sim_send(s, &message);
}

/* ---- wire */
static int64_t engine_monotonic(void *user)
{
    const engine *own = user;
    return own->in->s.now_us * 1000;
}

static int64_t engine_wall(void *user)
{
    const engine *own = user;
    return own->in->s.now_us + own->skew_us;
}

static void engine_random(void *user, void *buffer, size_t size)
{
    engine *own = user;
    uint8_t *at = buffer;
    for (size_t i = 0; i < size; i++) {
        at[i] = (uint8_t)sim_random(&own->in->s);
    }
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

static void owe(engine *own, marty__saga_item *item, marty_err err)
{
    if (own->outcome_count < OUTCOMES_MAX) {
        own->outcomes[own->outcome_count++] = (outcome){item, err};
    } else {
        marty__saga_item_sent(item, err);
    }
}

static void keep_promise(world *w, const char *message)
{
    for (uint32_t i = 0; i < w->promise_count; i++) {
        w->promises[i].kept |= strcmp(w->promises[i].message, message) == 0;
    }
}

/* It may be taken the next time, or not before somebody has mended something. */
static marty_err refusal_of(sim *s)
{
    return sim_chance(s, 50) ? MARTY_E_DENIED : MARTY_E_UNAVAILABLE;
}

static void wire_send(void *user, const char *saga, const marty__saga_command *command,
                      marty__saga_item *item)
{
    engine *own = user;
    sim *s = &own->in->s;
    if (!command->at_most_once && !world_is_durable(own->in, saga, command->message)) {
        sim_wrong(s, sim_find(s, saga), "1: %s was sent before it was durable", command->message);
    }
    bool fails = !s->healing && sim_chance(s, s->faults.drop);
    bool arrives = !fails || sim_chance(s, 50);
    if (arrives && !own->dead && command->kind != MARTY__SAGA_PUBLISH) {
        sim_message message = {.saga = sim_text(s, saga), .command = copy_command(s, command)};
        sim_send(s, &message);
    }
    if (arrives && !own->dead && command->kind == MARTY__SAGA_PUBLISH) {
        keep_promise(own->in, command->message);
    }
    s->fault_count += fails;
    owe(own, item, !fails ? MARTY_OK : arrives ? MARTY_E_MAYBE_STORED : refusal_of(s));
}

/* Outside: its answer comes as a message, as from any participant. */
static void wire_local(void *user, const char *saga, const marty__saga_command *command,
                       marty__saga_item *item)
{
    engine *own = user;
    sim *s = &own->in->s;
    if (!own->dead) {
        sim_message message = {.saga = sim_text(s, saga), .command = copy_command(s, command)};
        sim_send(s, &message);
    }
    owe(own, item, MARTY_OK);
}

static uint32_t record_of(sim *s, const char *key, const char *saga, const char *path)
{
    for (uint32_t i = 0; i < s->record_count; i++) {
        if (strcmp(s->records[i].key, key) == 0) {
            return i;
        }
    }
    if (s->record_count == SIM_RECORDS_MAX) {
        return UINT32_MAX;
    }
    s->records[s->record_count] =
        (sim_record){.key = sim_text(s, key), .saga = sim_text(s, saga), .path = sim_text(s, path)};
    return s->record_count++;
}

static void inside_forward(sim *s, const marty__saga_command *command, sim_record *own,
                           marty__saga_event *ret)
{
    if (own->status == SIM_OP_ABSENT) {
        bool refuse = !s->healing && !strstr(command->step, "!") && sim_chance(s, s->faults.refuse);
        own->status = refuse ? SIM_OP_REJECTED : SIM_OP_DONE;
        own->effects = refuse ? 0 : 1;
        (void)snprintf(own->result, sizeof own->result, "{\"v\":0}");
    }
    bool done = own->status == SIM_OP_DONE;
    ret->reply = done ? MARTY__SAGA_OK : MARTY__SAGA_REFUSED;
    ret->tombstone = own->status == SIM_OP_TOMBSTONE;
    ret->data = done ? marty_text("{\"v\":0}") : (marty_bytes){NULL, 0};
}

static marty_err wire_inside(void *user, const char *saga, const marty__saga_command *command,
                             void *transaction, marty__saga_event *ret_reply)
{
    engine *own = user;
    world *w = own->in;
    sim *s = &w->s;
    bool undo = command->kind == MARTY__SAGA_LOCAL_UNDO;
    (void)transaction;
    uint32_t mine = record_of(s, command->key, undo ? "" : saga, undo ? "" : command->step);
    uint32_t forward = undo ? record_of(s, command->forward_key, saga, command->step) : UINT32_MAX;
    if (mine == UINT32_MAX || (undo && forward == UINT32_MAX)) {
        return MARTY_E_FULL;
    }
    if (!s->healing && sim_chance(s, s->faults.transient)) {
        return MARTY_E_FAILED;
    }
    inside *kept = &w->insides[w->inside_count++ % INSIDE_MAX];
    *kept = (inside){.own = mine, .forward = forward, .own_before = s->records[mine]};
    if (!undo) {
        inside_forward(s, command, &s->records[mine], ret_reply);
        return MARTY_OK;
    }
    kept->forward_before = s->records[forward];
    s->records[mine].undo = true;
    s->records[mine].forward_key = s->records[forward].key;
    if (s->records[mine].status == SIM_OP_ABSENT) {
        if (s->records[forward].status == SIM_OP_DONE) {
            s->records[forward].effects -= !s->records[forward].undone;
            s->records[forward].undone = true;
        } else if (s->records[forward].status == SIM_OP_ABSENT) {
            s->records[forward].status = SIM_OP_TOMBSTONE;
        }
        s->records[mine].status = SIM_OP_DONE;
    }
    ret_reply->reply = MARTY__SAGA_OK;
    return MARTY_OK;
}

static void wire_wake(void *user)
{
    engine *own = user;
    own->next_ns = 0;
}

static void wire_changed(void *user, const marty_saga_change *change)
{
    (void)user;
    (void)change;
}

static void wire_log(void *user, int level, const char *text)
{
    engine *own = user;
    (void)level;
    sim_tell(&own->in->s, "engine %u: %s", own->number, text);
}

/* ---- life */
void world_engine_start(world *w, unsigned number)
{
    engine *own = &w->engines[number];
    sim *s = &w->s;
    int64_t skew_us = s->faults.skew ? (int64_t)sim_below(s, 2 * s->faults.skew) * 1000 : 0;
    *own = (engine){.in = w, .number = number, .skew_us = skew_us};
    own->store = world_store_new(w, number);
    (void)snprintf(own->owner, sizeof own->owner, "e%u-%u", number, ++w->starts);
    marty__saga_core_options options = {
        .table = &world_store_table,
        .store = own->store,
        .wire = {.user = own,
                 .send = wire_send,
                 .local = wire_local,
                 .inside = wire_inside,
                 .wake = wire_wake,
                 .changed = wire_changed,
                 .log = wire_log},
        .env = {.user = own,
                .monotonic_ns = engine_monotonic,
                .wall_us = engine_wall,
                .random = engine_random},
        .rules = s->rules,
        .owner = own->owner,
        .leads = true,
        .term_ms = 3000,
        .cache_max = 1 + sim_below(s, 4),
    };
    if (marty__saga_core_open(&own->core, &options, NULL)) {
        abort();
    }
    sim_tell(s, "engine %u lives", number);
}

static void bury(world *w, unsigned number)
{
    engine *own = &w->engines[number];
    marty__saga_core_stop(own->core);
    while (own->outcome_count) { /* core frees what it gets back */
        outcome *last = &own->outcomes[--own->outcome_count];
        marty__saga_item_sent(last->item, MARTY_E_UNAVAILABLE);
    }
    marty__saga_core_close(own->core);
    world_store_table.close(own->store);
    own->core = NULL;
    own->store = NULL;
}

void world_engine_kill(world *w, unsigned number)
{
    w->engines[number].dead = true;
    w->deaths++;
    sim_tell(&w->s, "engine %u is killed", number);
    bury(w, number);
}

void world_engine_stop(world *w, unsigned number)
{
    sim_tell(&w->s, "engine %u stops", number);
    bury(w, number);
}

void world_engine_turn(world *w, unsigned number)
{
    engine *own = &w->engines[number];
    if (!own->core || own->frozen) {
        return;
    }
    int64_t next_ns = marty__saga_core_turn(own->core);
    own->next_ns = next_ns;
    if (own->dead) {
        world_engine_kill(w, number);
    }
}

void world_engine_outcome(world *w, unsigned number)
{
    engine *own = &w->engines[number];
    if (!own->core || !own->outcome_count) {
        return;
    }
    uint32_t which = sim_below(&w->s, own->outcome_count);
    outcome one = own->outcomes[which];
    own->outcomes[which] = own->outcomes[--own->outcome_count];
    marty__saga_item_sent(one.item, one.err);
}

/* ---- inputs */
typedef struct delivery {
    marty__saga_input input;
    world *in;
    sim_message message;
} delivery;

static bool changes_something(world *w, const sim_message *message)
{
    sim *s = &w->s;
    marty_saga_record *record = NULL;
    if (w->memory->load(w->shared, message->saga, &record, INT64_MAX, NULL)) {
        return false;
    }
    marty__saga_event event = message->event;
    const marty__saga_definition *under =
        s->definitions[world_definition(w, record->facts.definition)];
    marty_err err = message->migrates
                        ? marty__saga_migrate(under, s->definitions[SIM_NEXT], &s->rules,
                                              record->state, &event, s->now_us, &s->again, NULL)
                        : marty__saga_decide(under, &s->rules, record->state, &event, s->now_us,
                                             &s->again, NULL);
    bool changed = !err && s->again.changed;
    marty_free(record);
    return changed;
}

/* Invariants 3, 17 and 20: what was acknowledged is nothing new to what is stored. */
static void check_acknowledged(world *w, const sim_message *message, const marty__saga_done *done)
{
    marty__saga_event_kind kind = message->event.kind;
    bool timeless =
        kind == MARTY__SAGA_EVENT_TICK || kind == MARTY__SAGA_EVENT_TIMER ||
        (kind == MARTY__SAGA_EVENT_REPLY && message->event.reply == MARTY__SAGA_PROGRESS);
    const sim_saga *saga = sim_find(&w->s, message->saga);
    bool overtaken = saga && done->facts && done->facts->version != saga->version; /* in its turn */
    if (!timeless && !overtaken && changes_something(w, message)) {
        sim_wrong(&w->s, sim_find(&w->s, message->saga),
                  "3: an event was acknowledged (%d) that still changes what is stored",
                  (int)done->ignored);
    }
}

static void on_done(marty__saga_input *input, const marty__saga_done *done)
{
    delivery *one = MARTY__OWNER(input, delivery, input);
    world *w = one->in;
    bool verb = one->message.event.kind == MARTY__SAGA_EVENT_VERB;
    if (!done->err && one->message.event.kind == MARTY__SAGA_EVENT_REPLY &&
        done->ignored == MARTY__SAGA_IGNORED_UNKNOWN) {
        sim_wrong(&w->s, sim_find(&w->s, one->message.saga),
                  "3: the answer to a command that was sent is unknown");
    }
    if (!done->err) {
        check_acknowledged(w, &one->message, done);
    } else if (!verb && done->err != MARTY_E_EXISTS && done->err != MARTY_E_NOT_FOUND) {
        sim_send(&w->s, &one->message); /* not acknowledged: it comes again */
    }
    marty_free(one);
}

static marty__saga_core *some_core(world *w, unsigned *ret_number)
{
    unsigned from = sim_below(&w->s, ENGINES);
    for (unsigned i = 0; i < ENGINES; i++) {
        engine *own = &w->engines[(from + i) % ENGINES];
        if (own->core && !own->frozen) {
            *ret_number = own->number;
            return own->core;
        }
    }
    return NULL;
}

void world_deliver(world *w, uint32_t index)
{
    sim *s = &w->s;
    unsigned number = 0;
    marty__saga_core *core = some_core(w, &number);
    if (!core) {
        return;
    }
    sim_message message = s->messages[index];
    bool doubled = !s->healing && sim_chance(s, s->faults.duplicate);
    if (!doubled) {
        s->messages[index] = s->messages[--s->message_count];
    }
    s->fault_count += doubled;
    delivery *one = marty_alloc_zero(1, sizeof *one);
    if (!one) {
        abort();
    }
    one->in = w;
    one->message = message;
    one->input = (marty__saga_input){
        .saga = message.saga,
        .event = message.event,
        .migrates = message.migrates,
        .version = message.version,
        .name = message.definition >= 0 ? sim_format(s, "d%d", message.definition) : NULL,
        .done = on_done};
    one->input.event.saga = message.saga;
    s->events++;
    marty__saga_core_put(core, &one->input);
}

void world_drain(world *w)
{
    for (int rounds = 0; rounds < 200; rounds++) {
        bool busy = false;
        for (unsigned i = 0; i < ENGINES; i++) {
            engine *own = &w->engines[i];
            while (own->core && own->outcome_count) {
                world_engine_outcome(w, i);
                busy = true;
            }
            if (own->core && own->next_ns <= w->s.now_us * 1000) {
                world_engine_turn(w, i);
                busy = true;
            }
        }
        if (!busy) {
            return;
        }
    }
}
