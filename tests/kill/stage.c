/* SPDX-License-Identifier: Apache-2.0
 * See stage.h. */
#include "stage.h"

#include "support/wait.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

/* An open waits for a broker for 10 s; who listens then, for 30 s, until the servers have chosen
 * who leads. */
enum { STOP_MS = 20000, AGAIN_MS = 200, TROUBLE_MS = 45000 };

const char *const actor_names[ACTORS] = {"order",    "inventory",      "payment",
                                         "shipping", "orchestrator-1", "orchestrator-2",
                                         "placer",   "broker",         "store"};

void stage_say(const stage *s, const char *what, const char *who, const char *more)
{
    printf("{\"at_ms\": %lld, \"what\": \"%s\", \"who\": \"%s\"%s%s}\n",
           (long long)(test_now_ms() - s->began_ms), what, who, more ? ", " : "", more ? more : "");
    (void)fflush(stdout);
}

static bool fail(stage *s, const char *who, const char *what)
{
    snprintf(s->why, sizeof s->why, "%s: %s (%.500s)", who, what, s->folder);
    return false;
}

static void log_of(const stage *s, int actor, char *ret_path, size_t size)
{
    snprintf(ret_path, size, "%s/%s.log", s->folder, actor_names[actor]);
}

/* What a program said before it ended: its log may be out of reach for who reads of it. */
static void show_log(const stage *s, int actor)
{
    char log[700];
    log_of(s, actor, log, sizeof log);
    test_log_show(stderr, log);
}

static bool fail_of(stage *s, int actor, const char *what)
{
    show_log(s, actor);
    return fail(s, actor_names[actor], what);
}

/* ---- programs */
static bool start_program(stage *s, int actor)
{
    char program[700], database[700], log[700], number[16], lease[16];
    const kill_options *o = s->options;
    bool orchestrator = actor == ORCHESTRATOR_1 || actor == ORCHESTRATOR_2;
    snprintf(program, sizeof program, "%s/%s", o->bin,
             orchestrator ? "orchestrator" : actor_names[actor]);
    snprintf(database, sizeof database, "%s/%s.db", s->folder, actor_names[actor]);
    log_of(s, actor, log, sizeof log);
    snprintf(number, sizeof number, "%d", o->sagas);
    snprintf(lease, sizeof lease, "%d", o->lease_ms);
    const char *const participant[] = {program, s->bus, database, NULL};
    const char *const leading[] = {program, s->bus, s->store, lease, NULL};
    const char *const placing[] = {o->self, "--place", number, s->bus, s->store, NULL};
    return test_process_start(&s->process[actor],
                              orchestrator      ? leading
                              : actor == PLACER ? placing
                                                : participant,
                              NULL, log) ||
           fail(s, actor_names[actor], "does not start");
}

/* ---- servers */
static test_server_options server_options(const stage *s, bool synced)
{
    bool old = strcmp(s->options->nats, "old") == 0;
    return (test_server_options){.kind = old ? TEST_NATS_OLD : TEST_NATS_NEW,
                                 .sync_always = synced && !old};
}

static bool open_bus(stage *s, bool *ret_missing)
{
    const kill_options *o = s->options;
    char url[300];
    if (strcmp(o->bus, "sqlite") == 0) {
        snprintf(s->bus, sizeof s->bus, "sqlite:%s/bus.db%s", s->folder, o->bus_options);
        return true;
    }
    bool cluster = strcmp(o->bus, "cluster") == 0;
    const test_server_options options = server_options(s, cluster);
    if (!servers_start(&s->broker, &options, cluster ? 3 : 1, ret_missing, s->why, sizeof s->why)) {
        return false;
    }
    servers_url(&s->broker, url, sizeof url);
    bool more = cluster && *o->bus_options;
    snprintf(s->bus, sizeof s->bus, "%s%s%s%s", url, cluster ? "?replicas=3" : "", more ? "&" : "",
             o->bus_options + more);
    return true;
}

static bool open_store(stage *s, bool *ret_missing)
{
    if (strcmp(s->options->store, "sqlite") == 0) {
        snprintf(s->store, sizeof s->store, "sqlite:%s/sagas.db", s->folder);
        return true;
    }
    if (strcmp(s->options->store, "kv") == 0) {
        char url[300];
        const test_server_options options = server_options(s, true);
        if (!servers_start(&s->kv, &options, 3, ret_missing, s->why, sizeof s->why)) {
            return false;
        }
        servers_url(&s->kv, url, sizeof url);
        snprintf(s->store, sizeof s->store, "%s/sagas%s", url,
                 options.sync_always ? "?sync=always" : "");
        return true;
    }
    bool fine = test_postgres_start(&s->postgres, ret_missing, s->why, sizeof s->why);
    test_postgres_url(&s->postgres, s->store, sizeof s->store);
    return fine;
}

bool stage_open(stage *s, const kill_options *o, bool *ret_missing)
{
    memset(s, 0, sizeof *s);
    s->options = o;
    s->began_ms = test_now_ms();
    *ret_missing = false;
    if (!test_folder_make(s->folder, sizeof s->folder, "kill")) {
        return fail(s, "scratch", "no folder can be made");
    }
    bool fine = open_bus(s, ret_missing) && open_store(s, ret_missing);
    /* all start at once: on a busy machine their tables take longer than an open waits */
    s->trouble_until_ms = test_now_ms() + test_patience(TROUBLE_MS);
    for (int actor = 0; actor < PROCESSES && fine; actor++) {
        fine = start_program(s, actor);
    }
    s->began_ms = test_now_ms();
    return fine;
}

static bool has_server(const stage *s, int actor)
{
    return actor == BROKER ? s->broker.count > 0 : strcmp(s->options->store, "sqlite") != 0;
}

/* A primary is killed only while its standby has all that was committed. */
static bool may_lose_one(const stage *s, int actor)
{
    const servers *of = actor == BROKER ? &s->broker : &s->kv;
    return of->count ? servers_may_lose_one(of) : s->postgres.standby == TEST_STANDBY_FOLLOWS;
}

bool stage_runs(stage *s, int actor)
{
    return actor < PROCESSES ? test_process_alive(&s->process[actor])
                             : has_server(s, actor) && !s->down[actor] && may_lose_one(s, actor);
}

static bool come_up(stage *s, int actor)
{
    s->down[actor] = false;
    s->up_at_ms[actor] = 0;
    stage_say(s, "up", actor_names[actor], NULL);
    if (actor < PROCESSES && s->frozen[actor]) {
        s->frozen[actor] = false;
        test_process_signal(&s->process[actor], SIGCONT);
        return true;
    }
    if (actor >= PROCESSES) {
        s->trouble_until_ms = test_now_ms() + test_patience(TROUBLE_MS);
    }
    if (actor == BROKER) {
        return servers_start_again(&s->broker, s->why, sizeof s->why);
    }
    if (actor == STORE && s->kv.count) {
        return servers_start_again(&s->kv, s->why, sizeof s->why);
    }
    if (actor == STORE && s->restarts) {
        return test_postgres_restart(&s->postgres, s->why, sizeof s->why);
    }
    if (actor == STORE) { /* the other one takes over, and this one follows it */
        bool fine = test_postgres_promote(&s->postgres, s->why, sizeof s->why);
        stage_say(s, "promoted", actor_names[actor], NULL);
        return fine && test_postgres_rejoin(&s->postgres, s->why, sizeof s->why);
    }
    return start_program(s, actor);
}

/* A program that finds its broker or its store down while it starts says so and ends; whoever runs
 * it (systemd, say) starts it again. One that ends while its servers are up is a mistake. */
static bool look_after(stage *s, int actor)
{
    test_process *process = &s->process[actor];
    if (s->down[actor] || test_process_alive(process)) {
        return true;
    }
    int code = WIFEXITED(process->status) ? WEXITSTATUS(process->status) : -1;
    if (actor == PLACER && code == 0) {
        return true;
    }
    bool trouble = s->down[BROKER] || s->down[STORE] || test_now_ms() < s->trouble_until_ms;
    if (code != 1 || !trouble) {
        return fail_of(s, actor, "ended by itself");
    }
    stage_say(s, "gave up", actor_names[actor], NULL);
    show_log(s, actor);
    s->gave_up++;
    s->down[actor] = true;
    s->up_at_ms[actor] = test_now_ms() + AGAIN_MS;
    return true;
}

bool stage_kill(stage *s, int actor, int64_t down_ms)
{
    if (actor == BROKER) {
        servers_kill(&s->broker, (int)(down_ms % 3));
    } else if (actor == STORE && s->kv.count) {
        servers_kill(&s->kv, (int)(down_ms % 3));
    } else if (actor == STORE) {
        test_postgres_kill(&s->postgres);
        s->restarts = down_ms % 3 == 0;
    } else {
        s->frozen[actor] = false;
        test_process_kill(&s->process[actor]);
        if (!WIFSIGNALED(s->process[actor].status)) { /* it was quicker */
            return look_after(s, actor);
        }
    }
    s->down[actor] = true;
    s->up_at_ms[actor] = down_ms < 0 ? 0 : test_now_ms() + down_ms;
    return true;
}

void stage_freeze(stage *s, int actor, int64_t down_ms)
{
    test_process_freeze(&s->process[actor]);
    s->frozen[actor] = true;
    s->up_at_ms[actor] = test_now_ms() + down_ms;
}

bool stage_tend(stage *s)
{
    int64_t now_ms = test_now_ms();
    bool fine = s->postgres.standby != TEST_STANDBY_FAILED ||
                fail(s, "store", "the old primary does not come back");
    for (int actor = ACTORS - 1; actor >= 0 && fine; actor--) { /* servers first */
        if (s->up_at_ms[actor] && s->up_at_ms[actor] <= now_ms) {
            fine = come_up(s, actor);
        } else if (actor < PROCESSES) {
            fine = look_after(s, actor);
        }
    }
    return fine;
}

bool stage_serves(const stage *s)
{
    bool all = true;
    for (int actor = 0; actor < PROCESSES && all; actor++) {
        bool ended = s->down[actor] || (actor == PLACER && !s->process[actor].pid);
        all = ended || test_process_catches(&s->process[actor], SIGTERM);
    }
    return all;
}

static bool ends_well(stage *s, int actor)
{
    test_process *process = &s->process[actor];
    bool ended = !process->pid || test_process_join(process, test_patience(STOP_MS));
    if (ended && WIFEXITED(process->status) && WEXITSTATUS(process->status) == 0) {
        return true;
    }
    char how[80];
    snprintf(how, sizeof how, "does not end well: %s %d",
             !ended                       ? "not within ms"
             : WIFEXITED(process->status) ? "exit code"
                                          : "signal",
             !ended                       ? STOP_MS
             : WIFEXITED(process->status) ? WEXITSTATUS(process->status)
                                          : WTERMSIG(process->status));
    return fail_of(s, actor, how);
}

bool stage_stop(stage *s)
{
    bool fine = true;
    for (int actor = 0; actor < PROCESSES; actor++) {
        if (!s->down[actor]) {
            test_process_signal(&s->process[actor], SIGTERM);
        }
    }
    for (int actor = 0; actor < PROCESSES; actor++) {
        fine = (s->down[actor] || ends_well(s, actor)) && fine;
    }
    return fine;
}

void stage_close(stage *s, bool right)
{
    for (int actor = 0; actor < PROCESSES; actor++) {
        test_process_kill(&s->process[actor]);
    }
    servers_free(&s->broker);
    test_postgres_free(&s->postgres);
    servers_free(&s->kv);
    if (right) {
        test_folder_remove(s->folder);
    }
}
