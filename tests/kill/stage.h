/* SPDX-License-Identifier: Apache-2.0
 * The processes of a round, each of which may be killed, or stand still for a while: four
 * participants, two orchestrators, who places the orders, the broker's server, the server of the
 * store. What is down comes up again when its time has come. One thread; every process dies with
 * it. */
#ifndef TESTS_KILL_STAGE_H
#define TESTS_KILL_STAGE_H
#include "servers.h"

#include "support/postgres.h"

enum {
    ORDER,
    INVENTORY,
    PAYMENT,
    SHIPPING,
    ORCHESTRATOR_1,
    ORCHESTRATOR_2,
    PLACER,
    PROCESSES, /* those above are programs of ours */
    BROKER = PROCESSES,
    STORE,
    ACTORS
};

typedef struct kill_options {
    const char *store, *bus; /* sqlite, postgres, kv; sqlite, nats, cluster */
    const char *nats;        /* which nats-server: new, old */
    const char *bus_options; /* query of the bus' URL */
    const char *bin;         /* folder of the example's programs */
    const char *self;
    int sagas, kills, rounds, lease_ms;
    unsigned long long seed;
    bool takeover; /* one orchestrator is killed, and that is all */
    int away_ms;   /* the inventory is away for so long, and that is all; 0 = not so */
} kill_options;

typedef struct stage {
    const kill_options *options;
    test_process process[PROCESSES];
    int64_t up_at_ms[ACTORS]; /* when it is to come up again; 0 = it runs, or is to stay down */
    bool down[ACTORS];        /* killed, and not up again */
    bool frozen[PROCESSES];   /* it stands still, and does not know it */
    servers broker, kv;
    test_postgres postgres;
    char folder[512], bus[700], store[700];
    int64_t began_ms, trouble_until_ms;
    bool restarts; /* the store's server, else its standby takes over */
    int gave_up;   /* programs that ended by themselves because a server was down */
    char why[700];
} stage;

extern const char *const actor_names[ACTORS];

/** Servers, participants, orchestrators and the placer run. false: why says what does not;
 * missing: a server that is not installed. */
bool stage_open(stage *s, const kill_options *o, bool *ret_missing);
/** kill -9; it comes up again after down_ms, or never when that is negative. Of a primary of
 * PostgreSQL one of three times; else its standby takes over. Of three servers it is one. */
bool stage_kill(stage *s, int actor, int64_t down_ms);
/** SIGSTOP; it goes on after down_ms, with all that it believes of before. */
void stage_freeze(stage *s, int actor, int64_t down_ms);
/** Whether there is such an actor in this round and it runs. */
bool stage_runs(stage *s, int actor);
/** Brings up what is due, and looks whether one has ended that should not. false: why. */
bool stage_tend(stage *s);
/** Whether all that run serve: SIGTERM would kill one that is still starting, and one that finds no
 * broker then ends by itself. */
bool stage_serves(const stage *s);
/** SIGTERM to all of ours, and waits: each must end with 0. */
bool stage_stop(stage *s);
/** Kills what is left; removes the folder when all was right. */
void stage_close(stage *s, bool right);
/** {"at_ms": ..., "what": "what", "who": "who", and as given ("\"a\": 1")}. */
void stage_say(const stage *s, const char *what, const char *who, const char *more);
#endif
