/* SPDX-License-Identifier: Apache-2.0
 * See round.h. When to kill whom is drawn before the round begins: not by the clock, but once so
 * many effects have happened, so that slow machines and fast ones see the same. */
#include "round.h"

#include "databases.h"
#include "support/wait.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    KILLS_MAX = 1000,
    DOWN_MS = 700,    /* at most, of what is killed */
    FROZEN_MS = 4000, /* at most, of what stands still: longer than a lease */
    DONE_MS = 120000, /* for a round, and for each kill: */
    EACH_KILL_MS = 1000,
    TAKEOVER_MS = 15000, /* for all that is open, once the lease of the dead has ended, and: */
    PACE = 2,            /* so many times what the half before took: a busy machine is slow */
    LEASE_MS = 2000,     /* the default */
    HELD_MS = 25000      /* two leases of the bus: by then all has come again */
};

typedef struct game {
    stage s;
    outcome *out;
    const kill_options *o;
    uint64_t random;
    int at[KILLS_MAX]; /* how many effects must have happened before each kill */
    int next, open;
    int64_t last_kill_ms;
    sqlite3 *effects;
    sqlite3_stmt *count;
    marty_bus *bus;
    marty_saga_engine *engine;
    bool failed, done; /* done: every saga has ended */
} game;

/* splitmix64 */
static uint64_t draw(game *g, uint64_t below)
{
    uint64_t z = (g->random += UINT64_C(0x9E3779B97F4A7C15));
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return (z ^ (z >> 31)) % below;
}

static int by_number(const void *left, const void *right)
{
    const int *a = left, *b = right;
    return *a < *b ? -1 : *a > *b;
}

static int kill_count(const kill_options *o)
{
    return o->takeover || o->away_ms ? 1 : o->kills < KILLS_MAX ? o->kills : KILLS_MAX;
}

static void plan(game *g)
{
    int all = 4 * g->o->sagas;
    for (int i = 0; i < kill_count(g->o); i++) {
        g->at[i] = g->o->takeover || g->o->away_ms ? all / 2 : (int)draw(g, (uint64_t)all);
    }
    qsort(g->at, (size_t)kill_count(g->o), sizeof *g->at, by_number);
}

/* ---- what happens */
/* The participants make their databases when they start for the first time. */
static bool are_there(const game *g)
{
    bool there = true;
    for (int actor = ORDER; actor <= SHIPPING && there; actor++) {
        char path[600];
        (void)snprintf(path, sizeof path, "%s/%s.db", g->s.folder, actor_names[actor]);
        there = access(path, R_OK) == 0;
    }
    return there;
}

/* Rows are only ever added; -1 = not to be read now, or not there yet. */
static int count_effects(game *g)
{
    static const char sql[] = "SELECT (SELECT coalesce(max(rowid), 0) FROM main.effect) +"
                              " (SELECT coalesce(max(rowid), 0) FROM inventory.effect) +"
                              " (SELECT coalesce(max(rowid), 0) FROM payment.effect) +"
                              " (SELECT coalesce(max(rowid), 0) FROM shipping.effect)";
    int rows = -1;
    if (!g->effects && (!are_there(g) || !(g->effects = databases_open(g->s.folder)))) {
        return -1;
    }
    if (!g->count && sqlite3_prepare_v2(g->effects, sql, -1, &g->count, NULL) != SQLITE_OK) {
        (void)sqlite3_close(g->effects);
        g->effects = NULL;
        return -1;
    }
    if (sqlite3_step(g->count) == SQLITE_ROW) {
        rows = sqlite3_column_int(g->count, 0);
    }
    (void)sqlite3_reset(g->count);
    return rows;
}

static bool on_open(void *user, const marty_saga_facts *facts)
{
    game *g = user;
    g->open++;
    if (*facts->stuck &&
        strncmp(facts->stuck, MARTY_SAGA_FAILING, strlen(MARTY_SAGA_FAILING)) != 0) {
        g->failed = true;
        (void)snprintf(g->s.why, sizeof g->s.why, "the saga %.39s is stuck: %.200s", facts->id,
                       facts->stuck);
    }
    return true;
}

/* All were placed, and none is open; false, too, while the store cannot be read. One that is stuck
 * waits for a person: nothing follows. */
static bool all_done(game *g)
{
    marty_saga_filter filter = {.open = true, .limit = 1};
    if (stage_runs(&g->s, PLACER) || g->s.down[PLACER]) {
        return false;
    }
    g->open = 0;
    marty_err err = marty_saga_list(g->engine, &filter, on_open, g, NULL);
    if (!err && g->open) {
        filter.stuck = true;
        err = marty_saga_list(g->engine, &filter, on_open, g, NULL);
    }
    return !err && !g->open;
}

/* One of five only stands still for a while: it comes back with what it believed. */
static bool kill_one(game *g, int effects)
{
    int victims[ACTORS], count = 0;
    char more[100];
    for (int actor = 0; actor < ACTORS; actor++) {
        if (stage_runs(&g->s, actor)) {
            victims[count++] = actor;
        }
    }
    if (!count) {
        return true; /* all of them are down: later */
    }
    g->next++;
    uint64_t choice = draw(g, UINT64_C(1) << 32), down_ms = draw(g, DOWN_MS);
    bool chosen = g->o->takeover || g->o->away_ms;
    int actor = g->o->takeover  ? ORCHESTRATOR_1
                : g->o->away_ms ? INVENTORY
                                : victims[choice % (uint64_t)count];
    bool freezes = !chosen && actor <= ORCHESTRATOR_2 && draw(g, 5) == 0;
    down_ms = freezes ? draw(g, FROZEN_MS) : g->o->away_ms ? (uint64_t)g->o->away_ms : down_ms;
    (void)snprintf(more, sizeof more, "\"effects\": %d, \"down_ms\": %d", effects, (int)down_ms);
    stage_say(&g->s, freezes ? "freeze" : "kill", actor_names[actor], more);
    g->last_kill_ms = test_now_ms();
    g->out->kills++;
    g->out->killed[actor]++;
    if (freezes) {
        stage_freeze(&g->s, actor, (int64_t)down_ms);
        return true;
    }
    return stage_kill(&g->s, actor, g->o->takeover ? -1 : (int64_t)down_ms);
}

/* The half after the kill may not take longer than it must. */
static bool is_late(const game *g)
{
    int64_t lease_ms = g->o->lease_ms ? g->o->lease_ms : LEASE_MS;
    int64_t half_ms = g->last_kill_ms - g->s.began_ms;
    int64_t limit_ms = test_patience(lease_ms + TAKEOVER_MS) + PACE * half_ms;
    return g->o->takeover && g->last_kill_ms && test_now_ms() - g->last_kill_ms > limit_ms;
}

/* One look at everything; true ends the round. */
static bool look(void *user)
{
    game *g = user;
    int effects = count_effects(g);
    g->failed = !stage_tend(&g->s);
    while (!g->failed && g->next < kill_count(g->o) && effects >= g->at[g->next]) {
        int before = g->next;
        g->failed = !kill_one(g, effects);
        if (g->next == before) {
            break;
        }
    }
    g->done = g->next == kill_count(g->o) && all_done(g);
    return g->done || g->failed || is_late(g);
}

/* All of them serve, and the broker has nothing left: what a dead one had comes again after its
 * lease and is answered from the notes. After a kill -9 a server of 2.9 counts a message as
 * unsettled for ever that was acked and removed before: there only time can tell. */
static bool is_quiet(void *user)
{
    game *g = user;
    bool old = strcmp(g->o->nats, "old") == 0;
    bool up = !old || test_now_ms() - g->last_kill_ms > test_patience(HELD_MS);
    g->failed = !stage_tend(&g->s);
    for (int actor = 0; actor < ACTORS; actor++) {
        up = up && !g->s.up_at_ms[actor];
    }
    if (up && !stage_serves(&g->s)) {
        (void)snprintf(g->s.why, sizeof g->s.why, "not all programs serve");
        up = false;
    }
    return (up && queues_are_empty(g->bus, !old, g->s.why, sizeof g->s.why)) || g->failed;
}

/* ---- the round */
static bool open_client(game *g)
{
    marty_error why = {0};
    bool failed =
        marty_bus_open(&g->bus, g->s.bus,
                       &(marty_bus_options){.service = "orders", .timeout_ms = 10000}, &why) ||
        marty_saga_open(&g->engine, g->bus, g->s.store, &(marty_saga_options){.client = true},
                        &why) ||
        marty_bus_start(g->bus, &why);
    if (failed) {
        (void)snprintf(g->s.why, sizeof g->s.why, "the round's own client: %.300s", why.text);
    }
    return !failed;
}

static bool play(game *g)
{
    if (!open_client(g)) {
        return false;
    }
    (void)test_wait_for(look, g, test_patience(DONE_MS + kill_count(g->o) * EACH_KILL_MS));
    int64_t now_ms = test_now_ms();
    g->out->done_ms = now_ms - g->s.began_ms;
    g->out->kill_to_done_ms = g->last_kill_ms ? now_ms - g->last_kill_ms : 0;
    if (!g->done || g->failed) {
        verdict_show_open(g->engine, g->s.folder);
    }
    if (!g->done && !g->failed) {
        (void)snprintf(g->s.why, sizeof g->s.why,
                       "not all sagas have ended %lld ms after the last kill, %d effects of %d",
                       (long long)g->out->kill_to_done_ms, count_effects(g), 4 * g->o->sagas);
    }
    if (!g->done || g->failed) {
        return false;
    }
    if (!test_wait_for(is_quiet, g, test_patience(DONE_MS)) || g->failed) {
        return false;
    }
    return stage_stop(&g->s) && letters_are_none(g->bus, g->s.why, sizeof g->s.why) &&
           verdict_take(g->engine, g->s.folder, g->o->sagas, g->s.why, sizeof g->s.why);
}

void round_play(outcome *ret, const kill_options *o)
{
    static game g;
    memset(&g, 0, sizeof g);
    memset(ret, 0, sizeof *ret);
    g.o = o;
    g.out = ret;
    g.random = o->seed;
    plan(&g);
    ret->right = stage_open(&g.s, o, &ret->missing) && play(&g);
    ret->gave_up = g.s.gave_up;
    (void)snprintf(ret->why, sizeof ret->why, "%s%s%s", g.s.why,
                   ret->right ? "" : "; kept: ", ret->right ? "" : g.s.folder);
    (void)sqlite3_finalize(g.count);
    (void)sqlite3_close(g.effects);
    (void)marty_saga_close(g.engine, 0, NULL);
    marty_bus_free(g.bus);
    stage_close(&g.s, ret->right);
}
