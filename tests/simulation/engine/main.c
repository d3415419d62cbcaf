/* SPDX-License-Identifier: Apache-2.0
 * What happens next to two or three engines on one store: messages, turns, deaths, pauses, lost
 * commits, time. Then all faults heal, and every saga must end with the effects that it says.
 *     simulation_engine [--seeds N] [--from SEED] [--seed SEED: told in full] [--for SECONDS]
 *     simulation_engine --mutants: find each known mistake of the engine */
#include "world.h"

#include "base/hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A round delivers one message or passes time once; the largest sagas (seed 8833) take over 3,000.
 */
enum { HEALING_ROUNDS = 20000, MUTANT_FIRST = 101, MUTANT_LAST = 113, MUTANT_SEEDS = 5000 };

int marty__saga_mutant; /* which known mistake the engine has; 0 = none */

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* ---- what comes from outside */
static void send_start(world *w, uint32_t number, bool again)
{
    sim *s = &w->s;
    sim_message message = {.to_saga = true,
                           .version = 1,
                           .saga = sim_format(s, "top%u%s", number, again ? "again" : ""),
                           .definition = 0,
                           .event = {.kind = MARTY__SAGA_EVENT_START, .cause = "start"}};
    message.event.saga = message.saga;
    message.event.start_key = sim_format(s, "key%u", number);
    message.event.data = marty_text("{\"lines\":[1,2],\"vip\":1}");
    sim_send(s, &message);
}

static sim_saga *some_saga(world *w)
{
    return w->s.saga_count ? &w->s.sagas[sim_below(&w->s, w->s.saga_count)] : NULL;
}

static void send_signal(world *w)
{
    sim *s = &w->s;
    const sim_saga *saga = some_saga(w);
    if (saga) {
        sim_message message = {
            .to_saga = true,
            .saga = saga->id,
            .definition = -1,
            .event = {.kind = MARTY__SAGA_EVENT_SIGNAL,
                      .name = "go",
                      .id = sim_chance(s, 20) ? "again" : sim_format(s, "s%u", ++s->ids),
                      .data = marty_text("{\"v\":1}")}};
        sim_send(s, &message);
    }
}

static void send_verb(world *w, const sim_saga *saga, marty__saga_verb verb)
{
    sim *s = &w->s;
    sim_message message = {.to_saga = true,
                           .saga = saga->id,
                           .definition = -1,
                           .event = {.kind = MARTY__SAGA_EVENT_VERB,
                                     .verb = verb,
                                     .id = sim_format(s, "v%u", ++s->ids),
                                     .who = "ann",
                                     .note = "because",
                                     .data = marty_text("{\"v\":0}")}};
    sim_send(s, &message);
}

/* Those of the first definition may go on under the next, however often they are told. */
static void migrate(world *w)
{
    const sim_saga *saga = some_saga(w);
    if (saga && (saga->definition == 0 || saga->definition == SIM_NEXT)) {
        sim *s = &w->s;
        sim_message message = {.to_saga = true,
                               .saga = saga->id,
                               .definition = -1,
                               .migrates = true,
                               .event = {.kind = MARTY__SAGA_EVENT_VERB,
                                         .id = sim_format(s, "m%u", ++s->ids),
                                         .who = "ann"}};
        w->migrations++;
        sim_send(s, &message);
    }
}

static void act(world *w)
{
    static const marty__saga_verb verbs[] = {MARTY__SAGA_VERB_CANCEL, MARTY__SAGA_VERB_PAUSE,
                                             MARTY__SAGA_VERB_RESUME, MARTY__SAGA_VERB_RESUME,
                                             MARTY__SAGA_VERB_RETRY,  MARTY__SAGA_VERB_RETRY};
    const sim_saga *saga = some_saga(w);
    if (saga) {
        send_verb(w, saga, verbs[sim_below(&w->s, 6)]);
    }
}

/* ---- messages and time */
static void deliver(world *w)
{
    sim *s = &w->s;
    uint32_t index = s->message_count ? sim_below(s, s->message_count) : 0;
    if (!s->message_count) {
        return;
    }
    if (s->messages[index].to_saga) {
        world_deliver(w, index);
        return;
    }
    sim_message message = s->messages[index];
    bool once = message.command.at_most_once;
    if (s->healing || once || !sim_chance(s, s->faults.duplicate)) {
        s->messages[index] = s->messages[--s->message_count];
    }
    sim_participant(s, &message);
}

static int64_t next_ns(const world *w)
{
    int64_t next = INT64_MAX;
    for (unsigned i = 0; i < ENGINES; i++) {
        const engine *own = &w->engines[i];
        if (own->core && own->next_ns < next) {
            next = own->next_ns;
        }
    }
    return next;
}

static void pass(world *w)
{
    sim *s = &w->s;
    int64_t next_us = next_ns(w) / 1000 + 1;
    if (next_us > s->now_us && next_us < INT64_MAX / 1000 && (s->healing || sim_chance(s, 60))) {
        s->now_us = next_us;
    } else if (!s->healing) {
        s->now_us += 1000 * (int64_t)(1 + sim_below(s, 200));
    }
    if (!s->healing && sim_chance(s, s->faults.late)) {
        s->now_us += 1000 * (int64_t)sim_below(s, 8000);
        s->fault_count++;
    }
}

/* ---- engines */
static void disturb(world *w)
{
    sim *s = &w->s;
    unsigned number = sim_below(s, ENGINES);
    engine *own = &w->engines[number];
    s->fault_count++;
    if (!own->core) {
        world_engine_start(w, number);
        return;
    }
    switch (sim_below(s, 6)) {
    case 0:
        world_engine_kill(w, number);
        break;
    case 1:
        world_engine_stop(w, number);
        break;
    case 2:
    case 3:
        own->dies_in = 1 + sim_below(s, 12);
        own->dies_after = sim_chance(s, 50);
        break;
    default:
        own->frozen = !own->frozen;
    }
}

static void step(world *w)
{
    sim *s = &w->s;
    uint32_t what = sim_below(s, 100);
    unsigned number = sim_below(s, ENGINES);
    if (what < 35) {
        deliver(w);
    } else if (what < 65) {
        world_engine_turn(w, number);
    } else if (what < 78) {
        world_engine_outcome(w, number);
    } else if (what < 82) {
        (void)sim_participant_works(s);
    } else if (what < 91) {
        pass(w);
    } else if (what < 93) {
        world_write_late(w);
    } else if (what < 95) {
        send_signal(w);
    } else if (what < 96 && s->faults.people) {
        act(w);
    } else if (what < 98) {
        disturb(w);
    } else if (what < 99) {
        migrate(w);
    } else {
        world_engine_turn(w, number);
    }
}

void world_meanwhile(world *w, unsigned number)
{
    sim *s = &w->s;
    if (w->meanwhile || s->healing || !sim_chance(s, 20)) {
        return;
    }
    w->meanwhile = true;
    for (uint32_t left = 1 + sim_below(s, 12); left > 0; left--) {
        unsigned other = (number + 1 + sim_below(s, ENGINES - 1)) % ENGINES;
        uint32_t what = sim_below(s, 10);
        if (what < 5) {
            deliver(w);
        } else if (what < 8) {
            world_engine_turn(w, other);
        } else {
            world_engine_outcome(w, other);
        }
    }
    w->meanwhile = false;
}

/* ---- the end */
static bool repair(world *w, uint32_t round)
{
    static const marty__saga_verb verbs[] = {MARTY__SAGA_VERB_RETRY,      MARTY__SAGA_VERB_RETRY,
                                             MARTY__SAGA_VERB_WAIVE,      MARTY__SAGA_VERB_SKIP,
                                             MARTY__SAGA_VERB_COMPENSATE, MARTY__SAGA_VERB_ABANDON};
    sim *s = &w->s;
    bool acted = false;
    for (uint32_t i = 0; i < s->saga_count; i++) {
        const sim_saga *saga = &s->sagas[i];
        if (saga->ended) {
            continue;
        }
        if (saga->shadow.flags & MARTY__SAGA_PAUSED) {
            send_verb(w, saga, MARTY__SAGA_VERB_RESUME);
            acted = true;
        } else if (marty__saga_state_stuck(&saga->shadow)) {
            send_verb(w, saga, verbs[round < 60 ? round / 10 : 5]);
            acted = true;
        }
    }
    return acted;
}

static bool all_ended(const world *w)
{
    for (uint32_t i = 0; i < w->s.saga_count; i++) {
        if (!w->s.sagas[i].ended) {
            return false;
        }
    }
    return w->s.saga_count > 0;
}

static void heal(world *w)
{
    sim *s = &w->s;
    uint32_t repairs = 0;
    s->healing = true;
    for (unsigned i = 0; i < ENGINES; i++) {
        engine *own = &w->engines[i];
        own->frozen = false;
        own->dies_in = 0;
        own->skew_us = 0;
        if (!own->core) {
            world_engine_start(w, i);
        }
    }
    while (w->late_count) {
        world_write_late(w);
    }
    for (int i = 0; i < HEALING_ROUNDS && !s->failed; i++) {
        world_drain(w);
        if (s->message_count) {
            deliver(w);
        } else if (!sim_participant_works(s)) {
            if (all_ended(w) || (repair(w, repairs) && ++repairs > 200)) {
                break;
            }
            pass(w);
        }
    }
    for (uint32_t i = 0; i < s->saga_count; i++) {
        if (!s->sagas[i].ended) {
            sim_wrong(s, &s->sagas[i], "27: it does not end, being %s",
                      marty__saga_state_word(&s->sagas[i].shadow));
        }
    }
    if (!s->saga_count) {
        sim_wrong(s, NULL, "27: nothing was ever started");
    }
}

/* Invariant 19. */
static void check_keys(world *w)
{
    sim *s = &w->s;
    for (uint32_t i = 0; i < s->saga_count; i++) {
        for (uint32_t k = 0; k < i; k++) {
            marty_bytes one = s->sagas[i].shadow.key, other = s->sagas[k].shadow.key;
            if (one.size && one.size == other.size && memcmp(one.data, other.data, one.size) == 0) {
                sim_wrong(s, &s->sagas[i], "19: two sagas have one start key");
            }
        }
    }
}

/* Nothing that a committed transition wanted said is left unsaid. */
static void check_promises(world *w)
{
    for (uint32_t i = 0; i < w->promise_count; i++) {
        if (!w->promises[i].kept) {
            sim_wrong(&w->s, NULL, "27: the event %s was never published", w->promises[i].message);
        }
    }
}

/* An outbox may lie for a while after the last of its sagas has ended. */
static void send_the_rest(world *w)
{
    for (int i = 0; i < 40; i++) {
        w->s.now_us += 500000;
        world_drain(w);
    }
}

static void choose_faults(world *w)
{
    sim *s = &w->s;
    bool calm = sim_chance(s, 10);
    s->faults = (sim_faults){.drop = calm ? 0 : sim_below(s, 25),
                             .duplicate = calm ? 0 : sim_below(s, 30),
                             .late = sim_below(s, 20),
                             .refuse = sim_below(s, 25),
                             .transient = sim_below(s, 30),
                             .slow = sim_below(s, 30),
                             .crash = calm ? 0 : sim_below(s, 30),
                             .undo_fails = sim_below(s, 30),
                             .people = sim_chance(s, 50) ? 1 : 0,
                             .skew = sim_chance(s, 30) ? 1 + sim_below(s, 300) : 0};
    w->store_faults = calm ? 0 : sim_below(s, 12);
}

static void close_all(world *w)
{
    for (unsigned i = 0; i < ENGINES; i++) {
        if (w->engines[i].core) {
            world_engine_stop(w, i);
        }
    }
    if (w->shared) {
        w->memory->close(w->shared);
    }
    w->shared = NULL;
}

static int64_t store_monotonic(void *user)
{
    const world *w = user;
    return w->s.now_us * 1000;
}

static bool open_store(world *w)
{
    marty_url *url = NULL;
    marty_env env = {.user = w, .monotonic_ns = store_monotonic};
    bool fine = marty_url_parse(&url, "memory:", NULL) == MARTY_OK &&
                w->memory->open(&w->shared, url, &env, INT64_MAX, NULL) == MARTY_OK;
    marty_url_free(url);
    for (int i = 0; i <= SIM_NEXT && fine; i++) {
        const marty__saga_definition *definition = w->s.definitions[i];
        char hash[65];
        marty__hex(hash, definition->hash, sizeof definition->hash);
        fine = w->memory->define(w->shared, definition->name, definition->version, hash,
                                 (marty_bytes){definition->json, definition->json_size}, INT64_MAX,
                                 NULL) == MARTY_OK;
    }
    return fine;
}

static bool run(world *w, uint64_t seed)
{
    sim *s = &w->s;
    sim_begin(s, seed);
    w->late_count = w->durable_count = w->inside_count = w->starts = w->promise_count = 0;
    w->memory = &marty__saga_memory;
    choose_faults(w);
    for (int i = 0; i < SIM_DEFINITIONS; i++) {
        uint64_t before = s->random;
        s->definitions[i] = sim_definition(s, i, false);
        if (i == 0) {
            s->random = before; /* the same once more, and a step more */
            s->definitions[SIM_NEXT] = sim_definition(s, i, true);
        }
        sim_tell(s, "definition %d: %s", i, s->definitions[i] ? s->definitions[i]->json : "none");
        if (!s->definitions[i] || !s->definitions[SIM_NEXT]) {
            return !s->failed;
        }
    }
    if (!open_store(w)) {
        sim_wrong(s, NULL, "the store does not open");
        return false;
    }
    uint32_t engines = 2 + sim_below(s, ENGINES - 1), steps = 150 + sim_below(s, 500);
    for (unsigned i = 0; i < engines; i++) {
        world_engine_start(w, i);
    }
    for (uint32_t i = 0; i < 1 + sim_below(s, 3); i++) {
        send_start(w, i, false);
        send_start(w, i, true);
    }
    for (uint32_t i = 0; i < steps && !s->failed; i++) {
        step(w);
    }
    if (!s->failed) {
        heal(w);
    }
    if (!s->failed) {
        send_the_rest(w);
        check_promises(w);
        check_keys(w);
        sim_check_effects(s, true);
    }
    close_all(w);
    return !s->failed;
}

/* A mistake is found by a seed that has no violation without it. */
static bool find_mutant(world *w, int number)
{
    for (uint64_t seed = 1; seed <= MUTANT_SEEDS; seed++) {
        marty__saga_mutant = number;
        bool fine = run(w, seed);
        marty__saga_mutant = 0;
        if (!fine) {
            char found[sizeof w->s.violation];
            memcpy(found, w->s.violation, sizeof found);
            bool innocent = run(w, seed);
            printf("mutant %d: %s by seed %llu: %s\n", number,
                   innocent ? "found" : "NOT FOUND, for there is a violation without it",
                   (unsigned long long)seed, found);
            return innocent;
        }
    }
    printf("mutant %d: NOT FOUND\n", number);
    return false;
}

static int find_mutants(world *w)
{
    int missed = 0;
    for (int number = MUTANT_FIRST; number <= MUTANT_LAST; number++) {
        missed += !find_mutant(w, number);
    }
    printf("mutants: %d missed\n", missed);
    return missed ? 1 : 0;
}

int main(int argc, char **argv)
{
    static world w;
    if (argc == 2 && strcmp(argv[1], "--mutants") == 0) {
        return find_mutants(&w);
    }
    uint64_t from = 1, count = UINT64_MAX, wrong = 0, done = 0;
    double until = 1e18, began = seconds();
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--seeds") == 0) {
            count = strtoull(argv[i + 1], NULL, 10);
        } else if (strcmp(argv[i], "--from") == 0) {
            from = strtoull(argv[i + 1], NULL, 10);
        } else if (strcmp(argv[i], "--for") == 0) {
            until = began + strtod(argv[i + 1], NULL);
        } else if (strcmp(argv[i], "--seed") == 0) {
            from = strtoull(argv[i + 1], NULL, 10);
            count = 1;
            w.s.verbose = true;
        } else {
            fprintf(stderr,
                    "usage: simulation_engine [--seeds N] [--from SEED] [--seed SEED] [--for "
                    "SECONDS]\n");
            return 2;
        }
    }
    for (uint64_t seed = from; done < count && seconds() < until && wrong < 5; seed++, done++) {
        bool fine = run(&w, seed);
        uint64_t events = w.s.events;
        if (!fine) {
            wrong++;
            fprintf(stderr, "seed %llu: %s\n  replay: simulation_engine --seed %llu\n",
                    (unsigned long long)seed, w.s.violation, (unsigned long long)seed);
        } else if (seed % 64 == 0 && (!run(&w, seed) || w.s.events - events > events)) {
            wrong++;
            fprintf(stderr, "seed %llu: another run went another way\n", (unsigned long long)seed);
        }
    }
    printf("simulation of engines: %llu seeds, %llu events, %llu transitions, %llu calls of the "
           "store, "
           "%llu deaths, %llu migrations asked for, %llu commits in doubt, %llu late writes, %llu "
           "other faults, %llu violations "
           "(%.0f seeds a second)\n",
           (unsigned long long)done, (unsigned long long)w.s.events,
           (unsigned long long)w.s.transitions, (unsigned long long)w.calls,
           (unsigned long long)w.deaths, (unsigned long long)w.migrations,
           (unsigned long long)w.doubts, (unsigned long long)w.late_writes,
           (unsigned long long)w.s.fault_count, (unsigned long long)wrong,
           (double)done / (seconds() - began));
    sim_end(&w.s);
    return wrong ? 1 : 0;
}
