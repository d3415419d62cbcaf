/* SPDX-License-Identifier: Apache-2.0
 * Random definitions of every shape, by the rules that lint knows; one that it refuses all the same
 * is a mistake of this file, and reported as one. */
#include "sim.h"

enum { STEPS_MAX = 40 };
typedef struct maker {
    sim *s;
    int number;
    uint32_t names, budget;
    bool after_pivot, tolerated, in_map, all_undo;
} maker;

static marty_step_body make_body(maker *m, uint32_t count, uint32_t depth, bool pivot);

static void *zeroed(maker *m, size_t count, size_t size)
{
    return marty__arena_alloc(&m->s->arena, count * size);
}

static void make_clocks(maker *m, marty_saga_clocks *clocks)
{
    sim *s = m->s;
    clocks->attempt_ms = 1000 + 500 * sim_below(s, 5);
    clocks->heartbeat_ms = sim_chance(s, 20) ? 400 : 0;
    clocks->start_ms = sim_chance(s, 10) ? 700 : 0;
    clocks->total_ms = sim_chance(s, 15) ? 6000 : 0;
}

static void make_called(maker *m, marty_step *step)
{
    sim *s = m->s;
    const char *name = step->name;
    uint32_t shape = sim_below(s, 100);
    if (shape < 15) {
        step->local = name;
        step->outside = sim_chance(s, 50);
    } else if (shape < 27 && m->number + 1 < SIM_DEFINITIONS) {
        step->saga = sim_format(s, "d%d",
                                m->number + 1 +
                                    (int)sim_below(s, (uint32_t)(SIM_DEFINITIONS - m->number - 1)));
    } else {
        step->service = "s";
        step->command = name;
    }
    step->retry.attempts = 1 + sim_below(s, 4);
    step->retry.first_ms = 100;
    step->retry.max_ms = 800;
    step->compensate_retry = step->retry;
    make_clocks(m, &step->clocks);
    make_clocks(m, &step->compensate_clocks);
    if (sim_chance(s, 25)) { /* not counted, as by default: the total time ends them, if any */
        step->retry.attempts = step->compensate_retry.attempts = 0;
        step->clocks.total_ms = sim_chance(s, 50) ? 4000 + 1000 * sim_below(s, 8) : 0;
        step->compensate_clocks.total_ms = step->clocks.total_ms;
    }
    if (step->saga) {
        step->retry.attempts = 0;
    }
}

static bool can_undo(const marty_step *step)
{
    return step->saga || step->compensate;
}

static void make_policy(maker *m, marty_step *step)
{
    static const marty_in_doubt policies[] = {MARTY_IN_DOUBT_RETRY, MARTY_IN_DOUBT_PROBE,
                                              MARTY_IN_DOUBT_COMPENSATE, MARTY_IN_DOUBT_HOLD};
    sim *s = m->s;
    step->in_doubt = policies[sim_below(s, 4)];
    if (step->in_doubt == MARTY_IN_DOUBT_COMPENSATE &&
        (step->kind != MARTY_STEP_COMPENSATABLE || !can_undo(step))) {
        step->in_doubt = MARTY_IN_DOUBT_PROBE;
    }
    if (step->in_doubt == MARTY_IN_DOUBT_PROBE && !step->command) {
        step->in_doubt = MARTY_IN_DOUBT_RETRY;
    }
    step->at_most_once =
        step->command && step->kind != MARTY_STEP_RETRIABLE &&
        (step->in_doubt == MARTY_IN_DOUBT_COMPENSATE || step->in_doubt == MARTY_IN_DOUBT_HOLD) &&
        sim_chance(s, 30);
}

static void make_leaf(maker *m, marty_step *step, bool pivot)
{
    sim *s = m->s;
    if (!pivot && sim_chance(s, 8)) {
        step->timer_ms = 500;
        return;
    }
    if (!pivot && sim_chance(s, 10)) {
        step->signal = "go";
        step->signal_ms = 4000;
        return;
    }
    make_called(m, step);
    bool read_only = sim_chance(s, 20);
    step->kind = pivot            ? MARTY_STEP_PIVOT
                 : read_only      ? MARTY_STEP_READ_ONLY
                 : m->after_pivot ? MARTY_STEP_RETRIABLE
                                  : MARTY_STEP_COMPENSATABLE;
    if (!step->saga && (step->kind == MARTY_STEP_COMPENSATABLE || m->all_undo)) {
        step->compensate = sim_format(s, "un%s", step->name);
    }
    make_policy(m, step);
}

static void make_group(maker *m, marty_step *step, uint32_t depth)
{
    sim *s = m->s;
    uint32_t count = 2 + sim_below(s, 2);
    bool outer = m->tolerated;
    bool tolerate = sim_chance(s, 35);
    m->tolerated = m->tolerated || tolerate;
    step->cut = sim_chance(s, 50);
    if (sim_chance(s, 35)) {
        marty_step_body *body = zeroed(m, 1, sizeof *body);
        *body = make_body(m, m->tolerated ? 1 : 1 + sim_below(s, 2), depth + 1, false);
        step->each = body;
        step->items = "/input/lines";
        step->cap = 4;
        step->at_once = sim_chance(s, 40) ? 1 + sim_below(s, 2) : 0;
        step->join = tolerate ? 1 : 0;
    } else {
        marty_step_body *bodies = zeroed(m, count, sizeof *bodies);
        for (uint32_t i = 0; i < count; i++) {
            bodies[i] = make_body(m, m->tolerated ? 1 : 1 + sim_below(s, 2), depth + 1, false);
        }
        step->parallel = bodies;
        step->parallel_count = count;
        step->join = tolerate ? 1 + sim_below(s, count - 1) : 0;
    }
    m->tolerated = outer;
}

static void make_choice(maker *m, marty_step *step, uint32_t depth)
{
    sim *s = m->s;
    marty_step_body *bodies = zeroed(m, 2, sizeof *bodies);
    marty_saga_test *test = zeroed(m, 1, sizeof *test);
    *test = (marty_saga_test){"/input/vip", MARTY_SAGA_EQUALS, sim_chance(s, 50) ? "1" : "0"};
    bodies[0] = make_body(m, m->tolerated ? 1 : 1 + sim_below(s, 2), depth + 1, false);
    bodies[0].tests = test;
    bodies[0].test_count = 1;
    bodies[1] = make_body(m, sim_below(s, 2), depth + 1, false);
    step->choice = bodies;
    step->choice_count = 1 + sim_below(s, 2);
}

static void make_loop(maker *m, marty_step *step, uint32_t depth)
{
    sim *s = m->s;
    marty_step_body *body = zeroed(m, 1, sizeof *body);
    marty_saga_test *test = zeroed(m, 1, sizeof *test);
    *body = make_body(m, 1 + sim_below(s, 2), depth + 1, false);
    const char *inner = body->steps[0].name;
    *test = (marty_saga_test){sim_format(s, "/results/%s/v", inner), MARTY_SAGA_EQUALS, "0"};
    body->tests = test;
    body->test_count = 1;
    step->repeat = body;
    step->until = true;
    step->cap = 3;
}

static void make_step(maker *m, marty_step *step, uint32_t depth, bool pivot)
{
    sim *s = m->s;
    uint32_t shape = sim_below(s, 100);
    step->name = sim_format(s, "n%u", m->names++);
    m->budget--;
    if (pivot || depth >= 3 || m->budget < 4 || shape < 60) {
        make_leaf(m, step, pivot);
    } else if (shape < 80 && !m->tolerated) {
        make_group(m, step, depth);
    } else if (shape < 90) {
        make_choice(m, step, depth);
    } else if (!m->tolerated) {
        make_loop(m, step, depth);
    } else {
        make_leaf(m, step, false);
    }
}

static marty_step_body make_body(maker *m, uint32_t count, uint32_t depth, bool pivot)
{
    marty_step *steps = zeroed(m, count + 1, sizeof *steps);
    uint32_t where = pivot ? sim_below(m->s, count) : UINT32_MAX;
    uint32_t made = 0;
    for (uint32_t i = 0; i < count && m->budget > 0; i++) {
        make_step(m, &steps[made++], depth, i == where);
        m->after_pivot = m->after_pivot || i == where;
    }
    return (marty_step_body){.steps = steps, .step_count = made};
}

marty__saga_definition *sim_definition(sim *s, int number, bool next)
{
    maker m = {.s = s, .number = number, .budget = 4 + sim_below(s, 8)};
    marty_error why;
    const marty__saga_finding *found = NULL;
    marty__saga_definition *made = NULL;
    m.all_undo = sim_chance(s, 40);
    marty_step_body body =
        make_body(&m, 1 + sim_below(s, 4), 0, number == 0 ? sim_chance(s, 60) : sim_chance(s, 30));
    if (next) {
        marty_step *longer = zeroed(&m, body.step_count + 1, sizeof *longer);
        memcpy(longer, body.steps, body.step_count * sizeof *longer);
        longer[body.step_count] = (marty_step){.name = "last", .timer_ms = 300};
        body = (marty_step_body){.steps = longer, .step_count = body.step_count + 1};
    }
    marty_saga saga = {.name = sim_format(s, "d%d", number),
                       .version = next ? 2 : 1,
                       .steps = body.steps,
                       .step_count = body.step_count,
                       .deadline_ms = sim_chance(s, 30) ? 3000 + 1000 * sim_below(s, 8) : 0,
                       .undo_completed = m.all_undo,
                       .strict_undo = sim_chance(s, 20),
                       .events = sim_chance(s, 40)};
    if (marty__saga_definition_build(&made, &saga, &why)) {
        sim_wrong(s, NULL, "a definition was refused: %s", why.text);
        return NULL;
    }
    if (!marty__saga_lint(made, &s->arena, &found, &why)) {
        for (; found; found = found->next) {
            if (found->error) {
                sim_wrong(s, NULL, "lint: %s: %s", found->code, found->text);
            }
        }
    }
    return made;
}
