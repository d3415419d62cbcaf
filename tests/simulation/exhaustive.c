/* SPDX-License-Identifier: Apache-2.0
 * Small cases, every interleaving: each message in flight may be delivered, delivered and kept (one
 * duplicate in all), or wait for ever, which is to be lost; time may pass to the next timer at any
 * moment; a person may cancel once. Worlds that are the same are visited once. Participants here
 * answer as the case says, so the only freedom is the order of things. At each end the ledger is
 * compared with the state. */
#include "sim.h"

#include <stdio.h>
#include <stdlib.h>

enum { FLIGHT_MAX = 12, STATE_MAX = 1200, WORLDS_MAX = 1 << 20, DEPTH_MAX = 200 };
#define FIRST_US (INT64_C(1700000000) * 1000000)
#define LAST_US (FIRST_US + 4 * INT64_C(1000000)) /* no timer acts after that */

/* One message: of which step, which way, which answer. */
typedef struct flight {
    uint8_t kind; /* a command kind, or 100 + a reply */
    bool undo, tombstone;
    uint32_t attempt;
    char key[MARTY__SAGA_TEXT], forward_key[MARTY__SAGA_TEXT], step[8];
} flight;

typedef struct ledger_row {
    char key[MARTY__SAGA_TEXT], step[8];
    uint8_t status;
    bool undone;
} ledger_row;

typedef struct small {
    char state[STATE_MAX];
    size_t state_size;
    int64_t now_us;
    uint32_t flight_count, row_count, duplicates, cancels;
    flight flights[FLIGHT_MAX];
    ledger_row rows[FLIGHT_MAX];
} small;

typedef struct explorer {
    sim *s;
    const char *refuses; /* names of steps that refuse */
    uint32_t duplicates, cancels;
    uint64_t *seen; /* hashes of worlds */
    uint64_t worlds, ends;
    sim_saga saga;
    bool overflow;
} explorer;

static void explore(explorer *x, const small *world, uint32_t depth);

/* ---- worlds as numbers */
static uint64_t mix(uint64_t hash, const void *data, size_t size)
{
    const uint8_t *at = data;
    for (size_t i = 0; i < size; i++) {
        hash = (hash ^ at[i]) * UINT64_C(0x100000001b3);
    }
    return hash ^ hash >> 29;
}

/* What is in flight is a set: its order does not matter. Times are left as they are. */
static uint64_t number_of(const small *world)
{
    uint64_t flights = 0, rows = 0, hash = UINT64_C(0xcbf29ce484222325);
    for (uint32_t i = 0; i < world->flight_count; i++) {
        flights += mix(hash, &world->flights[i], sizeof world->flights[i]);
    }
    for (uint32_t i = 0; i < world->row_count; i++) {
        rows += mix(hash, &world->rows[i], sizeof world->rows[i]);
    }
    hash = mix(hash, world->state, world->state_size);
    hash = mix(hash, &world->now_us, sizeof world->now_us);
    hash = mix(hash, &flights, sizeof flights);
    hash = mix(hash, &rows, sizeof rows);
    uint32_t spent[] = {world->duplicates, world->cancels};
    return mix(hash, spent, sizeof spent) | 1;
}

static bool is_new(explorer *x, uint64_t number)
{
    uint64_t at = number % WORLDS_MAX;
    while (x->seen[at]) {
        if (x->seen[at] == number) {
            return false;
        }
        at = (at + 1) % WORLDS_MAX;
    }
    if (x->worlds >= WORLDS_MAX / 2) {
        x->overflow = true;
        return false;
    }
    x->seen[at] = number;
    x->worlds++;
    return true;
}

/* ---- the participant */
static ledger_row *row_of(small *world, const char *key, const char *step)
{
    for (uint32_t i = 0; i < world->row_count; i++) {
        if (strcmp(world->rows[i].key, key) == 0) {
            return &world->rows[i];
        }
    }
    if (world->row_count == FLIGHT_MAX) {
        return NULL;
    }
    ledger_row *row = &world->rows[world->row_count++];
    memset(row, 0, sizeof *row);
    snprintf(row->key, sizeof row->key, "%s", key);
    snprintf(row->step, sizeof row->step, "%s", step);
    return row;
}

static void answer(small *world, const flight *to, marty__saga_reply reply, bool tombstone)
{
    if (world->flight_count == FLIGHT_MAX) {
        return; /* lost: what may happen to any message */
    }
    flight *back = &world->flights[world->flight_count++];
    memset(back, 0, sizeof *back);
    back->kind = (uint8_t)(100 + reply);
    back->undo = to->undo;
    back->tombstone = tombstone;
    back->attempt = to->attempt;
    memcpy(back->key, to->key, sizeof back->key);
    memcpy(back->step, to->step, sizeof back->step);
}

static void on_forward(explorer *x, small *world, const flight *command)
{
    ledger_row *row = row_of(world, command->key, command->step);
    if (!row) {
        return;
    }
    if (row->status == SIM_OP_ABSENT) {
        row->status = strstr(x->refuses, command->step) ? SIM_OP_REJECTED : SIM_OP_DONE;
    }
    bool tombstone = row->status == SIM_OP_TOMBSTONE;
    answer(world, command, row->status == SIM_OP_DONE ? MARTY__SAGA_OK : MARTY__SAGA_REFUSED,
           tombstone);
}

static void on_undo(small *world, const flight *command)
{
    ledger_row *row = row_of(world, command->forward_key, command->step);
    if (row) {
        row->status = row->status == SIM_OP_ABSENT ? SIM_OP_TOMBSTONE : row->status;
        row->undone = row->undone || row->status == SIM_OP_DONE;
        answer(world, command, MARTY__SAGA_OK, false);
    }
}

static void on_probe(small *world, const flight *command)
{
    ledger_row *row = row_of(world, command->key, command->step);
    if (row) {
        row->status = row->status == SIM_OP_ABSENT ? SIM_OP_TOMBSTONE : row->status;
        answer(world, command,
               row->status == SIM_OP_DONE ? MARTY__SAGA_WAS_DONE : MARTY__SAGA_NOT_DONE, false);
    }
}

/* ---- one event at the saga, judged by the oracle */
static void put_commands(explorer *x, small *world)
{
    sim *s = x->s;
    for (size_t i = 0; i < s->turn.command_count && world->flight_count < FLIGHT_MAX; i++) {
        const marty__saga_command *command = &s->turn.commands[i];
        flight *to = &world->flights[world->flight_count++];
        memset(to, 0, sizeof *to);
        to->kind = (uint8_t)command->kind;
        to->undo = command->kind == MARTY__SAGA_UNDO;
        to->attempt = command->attempt;
        snprintf(to->key, sizeof to->key, "%s", command->key);
        snprintf(to->forward_key, sizeof to->forward_key, "%s", command->forward_key);
        snprintf(to->step, sizeof to->step, "%s", command->step);
    }
}

/* The oracle's own fold starts from the stored bytes, as there are many pasts. What it and the
 * oracle need of memory is freed with the next. */
static void set_shadow(explorer *x, const small *world)
{
    sim *s = x->s;
    marty_bytes bytes = {world->state, world->state_size};
    marty__arena_free(&s->arena);
    x->saga.version = 0;
    x->saga.ended = false;
    x->saga.shadow = (marty__saga_state){.arena = &s->arena};
    if (bytes.size) {
        (void)marty__saga_state_read(&x->saga.shadow, &s->arena, bytes, NULL);
        x->saga.version = x->saga.shadow.version;
        x->saga.ended = marty__saga_ended(&x->saga.shadow);
    }
}

static void saga_event(explorer *x, small *world, const marty__saga_event *event)
{
    sim *s = x->s;
    marty_error why;
    set_shadow(x, world);
    s->events++;
    marty_bytes before = {world->state, world->state_size};
    if (marty__saga_decide(s->definitions[0], &s->rules, before, event, world->now_us, &s->turn,
                           &why)) {
        sim_wrong(s, &x->saga, "an event failed: %s", why.text);
        return;
    }
    sim_check_ignored(s, &x->saga, event);
    if (s->turn.changed) {
        sim_check_turn(s, &x->saga, event);
        if (s->turn.state.size > sizeof world->state) {
            sim_wrong(s, &x->saga, "a state of %zu bytes", s->turn.state.size);
            return;
        }
        memcpy(world->state, s->turn.state.data, s->turn.state.size);
        world->state_size = s->turn.state.size;
        put_commands(x, world);
    }
}

static void deliver(explorer *x, small *world, const flight *message)
{
    if (message->kind > 100) {
        marty__saga_event event = {.kind = MARTY__SAGA_EVENT_REPLY,
                                   .key = message->key,
                                   .attempt = message->attempt,
                                   .reply = (marty__saga_reply)(message->kind - 100),
                                   .tombstone = message->tombstone};
        saga_event(x, world, &event);
    } else if (message->kind == MARTY__SAGA_FORWARD) {
        on_forward(x, world, message);
    } else if (message->kind == MARTY__SAGA_UNDO) {
        on_undo(world, message);
    } else if (message->kind == MARTY__SAGA_PROBE) {
        on_probe(world, message);
    }
}

/* ---- the end of a way */
static void check_end(explorer *x, const small *world)
{
    sim *s = x->s;
    set_shadow(x, world);
    x->ends++;
    const marty__saga_state *state = &x->saga.shadow;
    for (uint32_t i = 0; i < state->slot_count; i++) {
        const marty__saga_slot *slot = &state->slots[i];
        const char *name = s->definitions[0]->nodes[slot->node].name;
        uint32_t effects = 0;
        for (uint32_t row = 0; row < world->row_count; row++) {
            effects += name && strcmp(world->rows[row].step, name) == 0 &&
                       world->rows[row].status == SIM_OP_DONE && !world->rows[row].undone;
        }
        uint32_t wanted = slot->status == MARTY__SAGA_DONE;
        if (name && marty__saga_ended(state) && effects != wanted &&
            marty__saga_has_effect(&s->definitions[0]->nodes[slot->node])) {
            sim_wrong(s, &x->saga, "%s is %s and has %u effects", name,
                      marty__saga_status_word(slot->status), effects);
        }
    }
}

/* ---- every way from here */
static void each_message(explorer *x, const small *world, uint32_t depth)
{
    for (uint32_t i = 0; i < world->flight_count && !x->s->failed; i++) {
        small next = *world;
        next.flights[i] = next.flights[--next.flight_count];
        memset(&next.flights[next.flight_count], 0, sizeof *next.flights);
        deliver(x, &next, &world->flights[i]);
        explore(x, &next, depth + 1);
        if (world->duplicates < x->duplicates && !x->s->failed) {
            next = *world;
            next.duplicates++;
            deliver(x, &next, &world->flights[i]);
            explore(x, &next, depth + 1);
        }
    }
}

static void explore(explorer *x, const small *world, uint32_t depth)
{
    if (x->s->failed || x->overflow || depth > DEPTH_MAX || !is_new(x, number_of(world))) {
        return;
    }
    each_message(x, world, depth);
    set_shadow(x, world);
    int64_t due_us = marty__saga_state_due(&x->saga.shadow);
    if (due_us && due_us <= LAST_US && !x->s->failed) {
        small next = *world;
        next.now_us = due_us > next.now_us ? due_us : next.now_us;
        saga_event(x, &next, &(marty__saga_event){.kind = MARTY__SAGA_EVENT_TICK});
        explore(x, &next, depth + 1);
    }
    if (world->cancels < x->cancels && !x->s->failed) {
        small next = *world;
        next.cancels++;
        saga_event(x, &next,
                   &(marty__saga_event){.kind = MARTY__SAGA_EVENT_VERB,
                                        .verb = MARTY__SAGA_VERB_CANCEL,
                                        .id = "c",
                                        .who = "ann"});
        explore(x, &next, depth + 1);
    }
    if (!world->flight_count) {
        check_end(x, world);
    }
}

/* ---- the cases */
typedef struct small_case {
    const char *name, *steps, *refuses;
    uint32_t duplicates, cancels;
} small_case;

#define STEP(name, more)                                                                           \
    "- {name: " name ", service: s, command: " name more                                           \
    ", timeout: 1s, retry: {attempts: 2, first: 1s, jitter: none}}\n"
#define UNDO                                                                                       \
    ", compensate: {command: un, timeout: 1s, retry: {attempts: 2, first: 1s, jitter: none}}"
static const small_case cases[] = {
    {"three steps, the last refused", STEP("a", UNDO) STEP("b", UNDO) STEP("c", UNDO), "c", 1, 0},
    {"a pivot that is probed",
     STEP("a", UNDO) STEP("b", ", kind: pivot, in_doubt: probe") STEP("c", ", kind: retriable"),
     "-", 1, 1},
    {"doubt is undone",
     STEP("a", UNDO ", in_doubt: compensate") STEP("b", UNDO ", in_doubt: compensate"), "b", 1, 1},
    {"side by side, settling",
     "- {name: g, parallel: {branches: [[{name: a, service: s, command: a, compensate: un, "
     "timeout: 1s, retry: {attempts: 2, first: 1s, jitter: none}}], [{name: b, service: s, "
     "command: b, compensate: un, timeout: 1s, retry: {attempts: 2, first: 1s, jitter: "
     "none}}]]}}\n",
     "b", 1, 0},
    {"side by side, cutting",
     "- {name: g, parallel: {on_refusal: cut, branches: [[{name: a, service: s, command: a, "
     "compensate: un, in_doubt: probe, timeout: 1s, retry: {attempts: 2, first: 1s, jitter: "
     "none}}], [{name: b, service: s, command: b, compensate: un, timeout: 1s, retry: {attempts: "
     "2, first: 1s, jitter: none}}]]}}\n",
     "b", 1, 0},
    {"one of two is enough",
     "- {name: g, parallel: {join: 1, branches: [[{name: a, service: s, command: a, compensate: "
     "un, timeout: 1s, retry: {attempts: 2, first: 1s, jitter: none}}], [{name: b, service: s, "
     "command: b, compensate: un, timeout: 1s, retry: {attempts: 2, first: 1s, jitter: "
     "none}}]]}}\n",
     "b", 1, 1},
};

static bool explore_case(sim *s, const small_case *one, bool verbose)
{
    static uint64_t seen[WORLDS_MAX];
    char text[2000];
    marty_error why;
    small world = {.now_us = FIRST_US};
    sim_begin(s, 0);
    int size = snprintf(text, sizeof text, "saga: d0\nsteps:\n%s", one->steps);
    if (marty__saga_definition_read(&s->definitions[0], one->name, text, (size_t)size, &why)) {
        fprintf(stderr, "%s\n", why.text);
        return false;
    }
    memset(seen, 0, sizeof seen);
    explorer x = {.s = s,
                  .refuses = one->refuses,
                  .duplicates = one->duplicates,
                  .cancels = one->cancels,
                  .seen = seen,
                  .saga = {.id = "small"}};
    saga_event(&x, &world, &(marty__saga_event){.kind = MARTY__SAGA_EVENT_START, .saga = "small"});
    explore(&x, &world, 0);
    if (verbose || s->failed || x.overflow) {
        fprintf(stderr, "%-32s %8llu worlds, %6llu ends%s%s\n", one->name,
                (unsigned long long)x.worlds, (unsigned long long)x.ends,
                x.overflow ? ", TOO MANY" : "", s->failed ? s->violation : "");
    }
    return !s->failed && !x.overflow && x.ends > 0;
}

uint64_t sim_exhaustive(sim *s, bool verbose)
{
    bool fine = true;
    uint64_t before = s->events;
    for (size_t i = 0; i < sizeof cases / sizeof *cases && fine; i++) {
        fine = explore_case(s, &cases[i], verbose);
    }
    return fine ? s->events - before : 0;
}
