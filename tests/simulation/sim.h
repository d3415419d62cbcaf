/* SPDX-License-Identifier: Apache-2.0
 * The simulation of sagas: what its parts share. One seed makes the definitions, the participants,
 * the faults and the order of everything; nothing else is random, and no clock is read. The parts
 * know each other only through this header, so that the host (who decides and stores) can be the
 * bare machine or a whole engine:
 *   definitions.c  random sagas that lint accepts
 *   ledger.c       participants, with the effects that they really have
 *   host.c         the bare machine over a store of bytes: decides, stores, hands commands on
 *   oracle.c       every invariant that can be seen, after every transition
 *   scheduler.c    what happens next: messages, faults, time, people
 *   exhaustive.c   small cases, every interleaving */
#ifndef MARTY_TESTS_SIMULATION_SIM_H
#define MARTY_TESTS_SIMULATION_SIM_H
#include "saga/entry.h"
#include "saga/machine.h"

enum {
    SIM_SAGAS_MAX = 256,
    SIM_MESSAGES_MAX = 4000,
    SIM_RECORDS_MAX = 4000,
    SIM_DEFINITIONS = 3,
    SIM_NEXT = 3
};

typedef struct sim sim;
typedef struct sim_saga sim_saga;

/* ---- chance */
uint64_t sim_random(sim *s);
/** 0 .. below - 1. */
uint32_t sim_below(sim *s, uint32_t below);
bool sim_chance(sim *s, uint32_t percent);

/* ---- what is on its way: to a participant, or to a saga */
typedef struct sim_message {
    bool to_saga;
    const char *saga;            /* id: the receiver, or who sent it */
    uint32_t version;            /* of a start: of the definition, 0 = the newest */
    bool migrates;               /* a person has it go on under the next definition */
    int definition;              /* of the receiver, for a child that is not there yet */
    marty__saga_command command; /* to a participant; texts in the seed's arena */
    marty__saga_event event;     /* to a saga; the same */
    bool known;                  /* an undo: it says that the forward was done */
} sim_message;

/* ---- the ledger: one op key at a participant */
typedef enum sim_op_status {
    SIM_OP_ABSENT,
    SIM_OP_RUNNING,
    SIM_OP_DONE,
    SIM_OP_REJECTED,
    SIM_OP_TOMBSTONE
} sim_op_status;
typedef struct sim_record {
    const char *key, *saga, *path;
    sim_op_status status;
    bool undo, undone, once;
    uint32_t effects; /* net: done less undone */
    uint32_t attempt; /* of the one that runs */
    const char *forward_key;
    char result[24];
} sim_record;

/* ---- a saga as it lies in the store */
struct sim_saga {
    const char *id;
    int definition;
    marty_bytes state;
    int64_t due_us;
    marty__saga_state shadow; /* folded from the history, by the oracle */
    uint64_t version;
    bool ended;
    uint32_t signals, taken; /* that counted; waits that they ended */
    uint32_t supplied_count;
    const char *supplied[16]; /* paths for which a person gave an outcome */
};

typedef struct sim_faults {
    uint32_t drop, duplicate, late, refuse, transient, slow, crash, undo_fails, people, skew;
} sim_faults;

struct sim {
    uint64_t seed, random;
    marty__arena arena; /* everything of this seed */
    int64_t now_us;
    /* The last is the first with one step more at its end: what sagas may migrate to. */
    marty__saga_definition *definitions[SIM_DEFINITIONS + 1];
    sim_saga sagas[SIM_SAGAS_MAX];
    uint32_t saga_count;
    sim_message messages[SIM_MESSAGES_MAX];
    uint32_t message_count;
    sim_record records[SIM_RECORDS_MAX];
    uint32_t record_count;
    sim_faults faults;
    bool healing, verbose;
    marty__saga_turn turn, again;
    marty__saga_rules rules;
    uint32_t ids; /* for verbs and signals */
    uint64_t events, transitions, fault_count, trace;
    bool failed;
    char violation[400];
    struct {
        const char *message, *what;
    } * sent; /* every message id, and what it was */
    uint32_t sent_count;
};

/** Note a violation: the first one is kept. */
void sim_wrong(sim *s, const sim_saga *saga, const char *format, ...)
    MARTY__ATTRIBUTE(format(printf, 3, 4));
void sim_tell(sim *s, const char *format, ...) MARTY__ATTRIBUTE(format(printf, 2, 3));
const char *sim_text(sim *s, const char *text);
const char *sim_format(sim *s, const char *format, ...) MARTY__ATTRIBUTE(format(printf, 2, 3));
marty_bytes sim_bytes(sim *s, marty_bytes bytes);
void sim_begin(sim *s, uint64_t seed);
void sim_end(sim *s);

/* definitions.c */
marty__saga_definition *sim_definition(sim *s, int number, bool next);

/* ledger.c */
/** A command arrives; the answer (if any) goes out as a message. */
void sim_participant(sim *s, const sim_message *message);
/** Something that runs ends. false: nothing runs. */
bool sim_participant_works(sim *s);
sim_record *sim_record_of(sim *s, const char *key);
/** Net effects of a step, over all its keys. */
uint32_t sim_effects(const sim *s, const char *saga, const char *path);
/** A person makes sure that an op that never ran never will; false: it ran. */
bool sim_seal(sim *s, const char *key, const char *saga, const char *path);

/* host.c */
sim_saga *sim_find(sim *s, const char *id);
/** Something happens to a saga; `definition` for one that is not there. The turn is in s->turn. */
void sim_event(sim *s, const char *id, int definition, const marty__saga_event *event);
void sim_send(sim *s, const sim_message *message);
/** A person has a saga go on under the next version of its definition. */
void sim_migrate(sim *s, sim_saga *saga);

/* oracle.c */
void sim_check_turn(sim *s, sim_saga *saga, const marty__saga_event *event);
void sim_check_command(sim *s, sim_saga *saga, const marty__saga_command *command);
void sim_check_ignored(sim *s, sim_saga *saga, const marty__saga_event *event);
void sim_check_effects(sim *s, bool at_end);

/* scheduler.c */
/** One whole run; false: s->violation says what was found. */
bool sim_run(sim *s, uint64_t seed);

/* exhaustive.c */
/** Every interleaving of the small cases; how many worlds were seen, 0 when something is wrong. */
uint64_t sim_exhaustive(sim *s, bool verbose);
#endif
