/* SPDX-License-Identifier: Apache-2.0
 * The saga machine: a pure function from (definition, state, event, time) to (new state, history
 * batch, commands, due time). No clock, no randomness, no I/O, no threads. The state goes in and
 * out as bytes; what was given is never touched, so after an error nothing has happened. Every
 * transition ends with its own rules applied (row 33 of the table): whatever may start has started.
 * One turn belongs to one thread at a time. */
#ifndef MARTY_SAGA_MACHINE_H
#define MARTY_SAGA_MACHINE_H
#include "definition.h"
#include "state.h"

/* What may happen to a saga. */
typedef enum marty__saga_event_kind {
    MARTY__SAGA_EVENT_START = 1, /* also from a parent, again and again: the first one counts */
    MARTY__SAGA_EVENT_REPLY,     /* of a participant, a local function or a child */
    MARTY__SAGA_EVENT_TICK,      /* look at the clock: all that is due acts, in due order */
    MARTY__SAGA_EVENT_TIMER,     /* one timer by its token, if it is still that one and is due */
    MARTY__SAGA_EVENT_SIGNAL,
    MARTY__SAGA_EVENT_VERB,          /* of a person */
    MARTY__SAGA_EVENT_PARENT_CANCEL, /* key = F at the parent */
    MARTY__SAGA_EVENT_PARENT_UNDO,   /* key = C at the parent; also for a saga that is not there */
    MARTY__SAGA_EVENT_NOT_SENT       /* the broker surely refused attempt `attempt` of `key` */
} marty__saga_event_kind;

typedef enum marty__saga_reply {
    MARTY__SAGA_OK = 1,   /* data = the result */
    MARTY__SAGA_REFUSED,  /* "rejected": stored, no effect now or later; `tombstone` */
    MARTY__SAGA_RETRY,    /* no effect so far, not stored; delay_ms */
    MARTY__SAGA_ACCEPTED, /* started */
    MARTY__SAGA_PROGRESS, /* alive; data = a checkpoint */
    MARTY__SAGA_WAS_DONE, /* "done": a probe's answer; data = the result */
    MARTY__SAGA_NOT_DONE, /* a probe's answer: sealed by a tombstone */
    MARTY__SAGA_UNKNOWN,  /* a probe's answer: it still runs */
    MARTY__SAGA_LEFT      /* "residue": a child ended with effects left; definite */
} marty__saga_reply;

typedef enum marty__saga_verb {
    MARTY__SAGA_VERB_CANCEL = 1,
    MARTY__SAGA_VERB_PAUSE,
    MARTY__SAGA_VERB_RESUME,
    MARTY__SAGA_VERB_RETRY,
    MARTY__SAGA_VERB_SUPPLY, /* data = the result; no_effect: `key` was sealed by hand */
    MARTY__SAGA_VERB_SKIP,
    MARTY__SAGA_VERB_WAIVE,
    MARTY__SAGA_VERB_REPLACE_INPUT, /* data; of the undo when that is what is stuck */
    MARTY__SAGA_VERB_COMPENSATE,    /* also of a COMPLETED one, where that is allowed */
    MARTY__SAGA_VERB_ABANDON
} marty__saga_verb;

typedef struct marty__saga_event {
    marty__saga_event_kind kind;
    const char
        *cause; /* id of the message, the timer's or verb's id; for the history; may be NULL */
    /* START */
    const char *saga;      /* its id */
    const char *start_key; /* may be NULL */
    const char *parent;    /* START from a parent, PARENT_*: its saga id, for the answer */
    int64_t deadline_us;   /* 0 = the definition's */
    bool known;            /* PARENT_UNDO: the parent has the result of what is to be undone */
    /* REPLY, NOT_SENT, START from a parent, PARENT_*, SUPPLY: text of an op key; else NULL */
    const char *key;
    uint32_t attempt;
    marty__saga_reply reply;
    bool tombstone;
    uint64_t delay_ms;
    const char *reason; /* of a reply; may be NULL */
    /* TIMER */
    uint64_t token;
    /* SIGNAL, VERB */
    const char
        *name;      /* the signal; the step's path of a verb ("ship", "lines[3]/reserve") or NULL */
    const char *id; /* required: the same id again is nothing new */
    const char *who, *note;
    marty__saga_verb verb;
    bool forced, no_effect;
    uint64_t ttl_ms; /* how long a signal is kept before its wait; 0 = to the end */
    /* START: the input; REPLY: result or checkpoint; SIGNAL, VERB: data. JSON; size 0 = null */
    marty_bytes data;
} marty__saga_event;

/* What is to be sent or run, once the transition is durable. */
typedef enum marty__saga_command_kind {
    MARTY__SAGA_FORWARD = 1,
    MARTY__SAGA_UNDO,
    MARTY__SAGA_PROBE,
    MARTY__SAGA_LOCAL_FORWARD, /* run the function `type` */
    MARTY__SAGA_LOCAL_UNDO,
    MARTY__SAGA_CHILD_START, /* saga `child` of definition `type`, data = its input */
    MARTY__SAGA_CHILD_CANCEL,
    MARTY__SAGA_CHILD_UNDO,
    MARTY__SAGA_ANSWER, /* to the parent's op `key`: reply, tombstone, reason, data */
    MARTY__SAGA_PUBLISH /* an event `type`, id `message`, data */
} marty__saga_command_kind;

typedef struct marty__saga_command {
    marty__saga_command_kind kind;
    const char *service, *type;         /* borrowed from the definition, or static */
    const char *step;                   /* path of the step, "lines[3]/reserve" */
    char key[MARTY__SAGA_TEXT];         /* op key; of a probe: F's */
    char message[MARTY__SAGA_TEXT];     /* message id: the same for a resend, new per attempt */
    char forward_key[MARTY__SAGA_TEXT]; /* of an undo: the key of its forward */
    char child[MARTY__SAGA_TEXT];       /* CHILD_*, ANSWER: the saga that is told */
    uint32_t attempt;
    uint32_t version;        /* CHILD_START: of the definition, 0 = newest */
    int64_t expires_us;      /* 0 = never */
    bool at_most_once;       /* remove it from the outbox before publishing */
    bool in_transaction;     /* LOCAL_*: in the store's */
    bool known;              /* an undo: the forward's result is known, and in data */
    marty__saga_reply reply; /* ANSWER */
    bool tombstone;
    const char *reason;
    marty_bytes data; /* JSON */
} marty__saga_command;

/* Why an event changed nothing: for metrics, and for what to dead-letter. */
typedef enum marty__saga_ignored {
    MARTY__SAGA_NOT_IGNORED,
    MARTY__SAGA_IGNORED_DUPLICATE, /* known already: the same answer, signal or verb again */
    MARTY__SAGA_IGNORED_STALE,     /* of an attempt, timer or generation that is over */
    MARTY__SAGA_IGNORED_ENDED,     /* the saga has ended */
    MARTY__SAGA_IGNORED_LATE,      /* its undo has begun, or it was settled otherwise */
    MARTY__SAGA_IGNORED_EARLY,     /* nothing is due, or not yet wanted */
    MARTY__SAGA_IGNORED_UNKNOWN,   /* no such op or no such saga: dead-letter it */
    MARTY__SAGA_IGNORED_MALFORMED  /* makes no sense: dead-letter it */
} marty__saga_ignored;

/* Options of the engine that reach decisions. Zero = none. */
typedef struct marty__saga_rules {
    uint64_t horizon_ms; /* for how long participants remember keys, less the redelivery limit */
} marty__saga_rules;

/* The outcome of one event. Lives until the next decide with it, or its end. */
typedef struct marty__saga_turn {
    bool changed;                /* there is a new version; else nothing is to be committed */
    marty__saga_ignored ignored; /* when it has not changed */
    const char *alert;           /* NULL, or static text: a person should know */
    const char
        *refused; /* NULL, or why the verb was recorded and not done ("too late"): to the caller */
    uint32_t doubts, undo_failures; /* steps that came into doubt, undos that are stuck now */
    bool late;                      /* an answer that came too late, and says something new */
    int64_t
        answered_us;   /* from its first attempt to the answer that this event is; 0 = it is none */
    marty_bytes state; /* the new state, encoded */
    marty_bytes history;                 /* the batch of the new version */
    const marty__saga_command *commands; /* with changed: the outbox; without: answers to repeat */
    size_t command_count;
    int64_t due_us;                    /* earliest timer, 0 = none */
    const marty__saga_state *decoded;  /* the new state (the old one, when nothing changed) */
    struct marty__saga_inside *inside; /* the machine's own */
} marty__saga_turn;

/** What follows from one event. before is empty for a saga that is not there (START, PARENT_UNDO).
 *  E: STATE (a verb that is not possible now: the text says why), NOT_FOUND (no such step),
 *  ARGUMENT (a verb or signal without id), TOO_LARGE, FULL (too many signals), MALFORMED (state,
 *  or data that is no JSON), NO_MEMORY. After an error the turn is empty. */
marty_err marty__saga_decide(const marty__saga_definition *definition,
                             const marty__saga_rules *rules, marty_bytes before,
                             const marty__saga_event *event, int64_t now_us, marty__saga_turn *turn,
                             marty_error *why);
/** Go on under another definition: what has begun must be there under the same name, kind and place
 * (keys are made of paths), and nothing new before it. event: a VERB with id, who and note; its
 * verb is not looked at. A dry run is this call without storing. E: STATE (the text names the
 * step), ARGUMENT, and as decide. */
marty_err marty__saga_migrate(const marty__saga_definition *from, const marty__saga_definition *to,
                              const marty__saga_rules *rules, marty_bytes before,
                              const marty__saga_event *event, int64_t now_us,
                              marty__saga_turn *turn, marty_error *why);
/** Free what a turn holds; it is usable again. Zero-initialised is fine. */
void marty__saga_turn_free(marty__saga_turn *turn);
/** Empty one for the next decision; keeps its memory, where that is little. */
void marty__saga_turn_reset(marty__saga_turn *turn);

/** Apply one batch of the history to a state in its arena (version 0 = before the first).
 * E: MALFORMED (also a gap in versions), NO_MEMORY. */
marty_err marty__saga_fold(marty__saga_state *state, marty_bytes batch, marty_error *why);

/** Keys, the same in every process: of an op (path: "lines[3]/reserve"), and made of any id. */
void marty__saga_op_key(uint8_t ret[MARTY__SAGA_KEY_BYTES], const char *saga, const char *path,
                        bool undo, uint32_t generation);
void marty__saga_id_key(uint8_t ret[MARTY__SAGA_KEY_BYTES], const char *what, const char *id);
/** 32 hexadecimal digits, and back; false when it is none. */
void marty__saga_key_text(char ret[MARTY__SAGA_TEXT], const uint8_t key[MARTY__SAGA_KEY_BYTES]);
bool marty__saga_key_parse(uint8_t ret[MARTY__SAGA_KEY_BYTES], const char *text);
/** Of the attempt (kind ""), or of another message about an op ("p" probe, "a" answer, ...). */
void marty__saga_message_id(char ret[MARTY__SAGA_TEXT], const uint8_t key[MARTY__SAGA_KEY_BYTES],
                            const char *kind, uint32_t number);
/** Of the saga that is the child of an op. */
void marty__saga_child_id(char ret[MARTY__SAGA_TEXT], const uint8_t key[MARTY__SAGA_KEY_BYTES]);
/** Path of a slot, "lines[3]/reserve", from the arena; "" (and failed) without memory. */
const char *marty__saga_path_in(marty__arena *arena, const marty__saga_definition *definition,
                                const marty__saga_state *state, uint32_t slot);

/** Whether a step (or its undo) tries in vain for so long that a person should know, though it goes
 * on by itself. */
bool marty__saga_failing(const marty__saga_definition *definition, const marty__saga_state *state,
                         uint32_t slot);

/** JSON views, appended: of a state (for show), of a history batch (a line of JSON per batch), of a
 *  command. What the decoder refuses is MALFORMED. */
marty_err marty__saga_state_json(const marty__saga_definition *definition,
                                 const marty__saga_state *state, marty__buffer *to,
                                 marty_error *why);
marty_err marty__saga_history_json(const marty__saga_definition *definition, marty_bytes batch,
                                   marty__buffer *to, marty_error *why);
void marty__saga_command_json(const marty__saga_command *command, marty__buffer *to);
/** The members of an object that says what an event has made of a saga. */
marty_err marty__saga_turn_json(const marty__saga_definition *definition,
                                const marty__saga_turn *turn, marty__buffer *to, marty_error *why);
/** The hash of the definition that a batch begins or changes to; false when it keeps the one
 * before. */
bool marty__saga_batch_definition(marty_bytes batch, uint8_t ret[MARTY__SAGA_HASH_BYTES]);
/** Words of the wire and of views: "rejected", "child-start". Static. */
const char *marty__saga_reply_word(marty__saga_reply reply);
const char *marty__saga_command_word(marty__saga_command_kind kind);
#endif
